#!/usr/bin/python3
"""A simulated Turris Sentinel DynFW server, on the real libzmq.

It publishes `dynfw/list`, `dynfw/delta` and `dynfw/event` as the real one does (PUB over CURVE, two
frames: topic, MessagePack map) and keeps its own model of what the list must be, so that a test, the
demo or the benchmark can compare. Needs Debian's python3-zmq and python3-msgpack. It trusts its caller:
it is a part of tests, never of a router.

    sentinel.py [--null] [--address 127.0.0.1] [--port 0] [--serial 1] [--list-every SECONDS]
                [--size N] [--seed N] [--xpub]

First line on standard output: {"port": 40123, "public_key": "<Z85>" or null}. Then one command a line
on standard input, and for each exactly one line of JSON: at least {"serial": S, "size": N}, or
{"error": "…"} when the command was not understood (nothing has been done then).

    list N [FIRST]        the model becomes N generated addresses, the same for the same N and FIRST
                          (IPv4, every 7919th from 45.0.0.1, private and special ranges left out);
                          nothing is published
    addresses A B …       the model becomes these (any text, so that rubbish can be listed)
    publish [every S|off] the list now; or now and every S seconds; or no longer
    deltas R [SHARE]      R random deltas a second, SHARE (0.5) of them positive; 0 stops
    burst N [SHARE]       N random deltas at once; answers with "sent_ns" as for add
    add A | del A         one delta; "sent_ns" is CLOCK_MONOTONIC just before the sending
    skip [N]              leave out N (1) serials: a gap, the model changing unseen with each
    silent add|del A      change the model and count the serial, publish nothing: a lost delta
    serial S              the next delta has serial S + 1
    version V             the `version` field of lists
    event NAME A          one event
    events R              R random events a second; 0 stops
    raw HEX HEX …         a message of these frames; `-` is an empty frame
    flood ADDRESS COUNT   a list of one address so often, whatever the list really is
    big TOPIC BYTES       TOPIC and a second frame of so many bytes of 0xc1
    close | open          close the socket (peers are cut, the model stays) | bind the same port again
    restart [SERIAL]      close and open, the serial set to SERIAL (0): a restarted server
    rekey                 a fresh key pair, close and open; answers with "public_key"
    subscriptions         the topics somebody is subscribed to (only with --xpub)
    dump                  {"serial": S, "addresses": [...]}: what a follower must hold now
    quit                  also at the end of standard input
"""

import argparse
import ipaddress
import json
import random
import selectors
import os
import sys
import time

import msgpack
import zmq

EVENTS = ["haas_not_logged", "haas_logged", "telnet_connect", "http_message", "smtp_login",
          "fwlogs_small_port_scan", "fwlogs_big_port_scan"]
STRIDE = 7919
SPECIAL = [ipaddress.ip_network(net) for net in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3")]
SPECIAL = [(int(net.network_address), int(net.broadcast_address)) for net in SPECIAL]


def is_special(number):
    """Whether a follower may refuse the address for what it is."""
    return any(first <= number <= last for first, last in SPECIAL)


def text(number):
    """Dotted quad; four times faster than the ipaddress module."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def generated(count, first):
    """`count` addresses, deterministic."""
    number, result = int(ipaddress.IPv4Address(first)), []
    while len(result) < count:
        if not is_special(number):
            result.append(text(number))
        number = (number + STRIDE) % 2**32
    return result


class Model:
    """A set that also picks a random member in constant time."""

    def __init__(self):
        self.items, self.index = [], {}

    def replace(self, items):
        self.items = list(dict.fromkeys(items))
        self.index = {item: position for position, item in enumerate(self.items)}

    def add(self, item):
        if item not in self.index:
            self.index[item] = len(self.items)
            self.items.append(item)

    def discard(self, item):
        position = self.index.pop(item, None)
        if position is not None:
            last = self.items.pop()
            if last != item:
                self.items[position] = last
                self.index[last] = position


class Ticker:
    """So many times a second, caught up in bursts when the process was late."""

    def __init__(self):
        self.rate, self.origin, self.done = 0.0, 0.0, 0

    def start(self, rate):
        self.rate, self.origin, self.done = rate, time.monotonic(), 0

    def due(self, now):
        count = int((now - self.origin) * self.rate) - self.done if self.rate else 0
        self.done += count
        return count

    def wait(self, now):
        return max(0.0, self.origin + (self.done + 1) / self.rate - now) if self.rate else 3600.0


class Sentinel:
    def __init__(self, options):
        self.options, self.random = options, random.Random(options.seed)
        self.context, self.socket, self.port = zmq.Context(), None, options.port
        self.public, self.secret = (None, None) if options.null else zmq.curve_keypair()
        self.model, self.serial, self.version = Model(), options.serial, 1
        self.share, self.deltas, self.events, self.lists = 0.5, Ticker(), Ticker(), Ticker()
        self.model.replace(generated(options.size, "45.0.0.1"))
        self.subscriptions = set()
        self.open()
        if options.list_every:
            self.lists.start(1 / options.list_every)

    # the socket

    def open(self):
        if self.socket:
            return
        self.socket = self.context.socket(zmq.XPUB if self.options.xpub else zmq.PUB)
        self.socket.linger = 0
        self.socket.sndhwm = 0
        if self.secret:
            self.socket.curve_server = True
            self.socket.curve_publickey, self.socket.curve_secretkey = self.public, self.secret
        deadline = time.monotonic() + 5
        while True:
            try:
                self.socket.bind(f"tcp://{self.options.address}:{self.port or '*'}")
                break
            except zmq.ZMQError:  # libzmq closes in the background: the port is free a little later
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self.port = int(self.socket.getsockopt_string(zmq.LAST_ENDPOINT).rsplit(":", 1)[1])

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None
            self.subscriptions.clear()

    def send(self, *frames):
        if self.socket:
            self.socket.send_multipart(frames, copy=len(frames[-1]) < 65536)

    def publish(self, topic, payload):
        payload["ts"] = int(time.time())
        self.send(topic, msgpack.packb(payload))

    # what is published

    def publish_list(self):
        self.publish(b"dynfw/list", {"version": self.version, "serial": self.serial, "list": self.model.items})

    def change(self, positive, address, silent=False):
        self.serial += 1
        (self.model.add if positive else self.model.discard)(address)
        if not silent:
            self.publish(b"dynfw/delta", {
                "serial": self.serial, "delta": "positive" if positive else "negative", "ip": address})

    def random_address(self):
        while True:
            number = self.random.getrandbits(32)
            if not is_special(number):
                return text(number)

    def random_change(self, silent=False):
        if self.model.items and self.random.random() >= self.share:
            self.change(False, self.random.choice(self.model.items), silent)
        else:
            self.change(True, self.random_address(), silent)

    def publish_event(self, name, address):
        self.publish(b"dynfw/event", {"event": name, "ip": address})

    def tick(self):
        """Everything that is due; how long until something is."""
        now = time.monotonic()
        for _ in range(self.deltas.due(now)):
            self.random_change()
        for _ in range(self.events.due(now)):
            self.publish_event(self.random.choice(EVENTS), self.random_address())
        if self.lists.due(now):
            self.publish_list()
        now = time.monotonic()
        return min(ticker.wait(now) for ticker in (self.deltas, self.events, self.lists))

    # commands: each returns what its answer has beside serial and size

    def do_list(self, count, first="45.0.0.1"):
        self.model.replace(generated(int(count), first))

    def do_addresses(self, *addresses):
        self.model.replace(addresses)

    def do_publish(self, mode=None, seconds=None):
        if mode not in (None, "every", "off"):
            raise ValueError("publish takes nothing, `every SECONDS` or `off`")
        self.lists.start(1 / float(seconds) if mode == "every" else 0 if mode == "off" else self.lists.rate)
        if mode != "off":
            self.publish_list()

    def do_deltas(self, rate, share=0.5):
        self.share = float(share)
        self.deltas.start(float(rate))

    def do_burst(self, count, share=0.5):
        self.share, sent = float(share), time.monotonic_ns()
        for _ in range(int(count)):
            self.random_change()
        return {"sent_ns": sent}

    def do_add(self, address):
        sent = time.monotonic_ns()
        self.change(True, address)
        return {"sent_ns": sent}

    def do_del(self, address):
        sent = time.monotonic_ns()
        self.change(False, address)
        return {"sent_ns": sent}

    def do_skip(self, count=1):
        for _ in range(int(count)):
            self.random_change(silent=True)

    def do_silent(self, which, address):
        self.change({"add": True, "del": False}[which], address, silent=True)

    def do_serial(self, serial):
        self.serial = int(serial)

    def do_version(self, version):
        self.version = int(version)

    def do_event(self, name, address):
        self.publish_event(name, address)

    def do_events(self, rate):
        self.events.start(float(rate))

    def do_raw(self, *frames):
        self.send(*[b"" if frame == "-" else bytes.fromhex(frame) for frame in frames])

    def do_big(self, topic, size):
        self.send(topic.encode(), b"\xc1" * int(size))

    def do_flood(self, address, count):
        """A list of one address so many times over, whatever the list really is."""
        addresses = [address] * int(count)
        self.publish(b"dynfw/list", {"version": self.version, "serial": self.serial, "list": addresses})

    def do_close(self):
        self.close()

    def do_open(self):
        self.open()

    def do_restart(self, serial=0):
        self.serial = int(serial)
        self.close()
        self.open()

    def do_rekey(self):
        self.public, self.secret = zmq.curve_keypair()
        self.close()
        self.open()
        return {"public_key": self.public.decode()}

    def do_subscriptions(self):
        return {"subscriptions": sorted(self.subscriptions)}

    def do_dump(self):
        return {"addresses": self.model.items}

    def command(self, line):
        """One answer for one line."""
        name, *words = line.split() or [""]
        try:
            method = getattr(self, f"do_{name}", None)
            if method is None:
                raise ValueError(f"no such command: {name!r}")
            answer = method(*words) or {}
        except (ValueError, TypeError, KeyError, zmq.ZMQError) as error:
            return {"error": f"{name}: {error}"}
        return {"serial": self.serial, "size": len(self.model.items), **answer}

    def take_subscriptions(self):
        while self.options.xpub and self.socket and self.socket.poll(0):
            frame = self.socket.recv()
            change = self.subscriptions.add if frame[:1] == b"\x01" else self.subscriptions.discard
            change(frame[1:].decode(errors="replace"))


def answer(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description="A simulated Turris Sentinel DynFW server.")
    parser.add_argument("--null", action="store_true", help="no CURVE")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--serial", type=int, default=1)
    parser.add_argument("--list-every", type=float, default=0, help="seconds; 0: only when told")
    parser.add_argument("--size", type=int, default=0, help="generated addresses to begin with")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--xpub", action="store_true", help="XPUB in place of PUB, to see subscriptions")
    sentinel = Sentinel(parser.parse_args())
    answer({"port": sentinel.port, "public_key": sentinel.public and sentinel.public.decode()})

    selector, pending = selectors.DefaultSelector(), b""
    selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
    while True:
        wait = sentinel.tick()
        if selector.select(min(wait, 0.05) if sentinel.options.xpub else wait):
            received = os.read(sys.stdin.fileno(), 65536)
            if not received:
                return
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                if line.strip() == b"quit":
                    return
                sentinel.take_subscriptions()
                answer(sentinel.command(line.decode()))
        sentinel.take_subscriptions()


if __name__ == "__main__":
    main()
