#!/usr/bin/python3
"""A stranger who sends TCP SYNs with whatever source, for the benchmark. A part of tests, never of a router.

    knock.py DEVICE TARGET

First line on standard output: {"ready": true}. Then one command a line on standard input, and for each
one line of JSON, or {"error": "…"}.

    knock SOURCE PORT COUNT    COUNT SYNs to TARGET, one right behind the other. "sent_ns": CLOCK_MONOTONIC
                               just before the first; "gap_ns": from the first to the last; "answers":
                               TCP segments that came back to SOURCE within 100 ms
"""

import json
import socket
import struct
import sys
import time

WAIT = 0.1


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def syn(source, target, port, number):
    """An IPv4 packet, header included; the kernel fills in the header's own checksum."""
    source, target = socket.inet_aton(source), socket.inet_aton(target)
    sport = 20000 + number % 20000

    def segment(check):
        return struct.pack("!HHIIBBHHH", sport, port, 1, 0, 5 << 4, 2, 1024, check, 0)

    pseudo = source + target + struct.pack("!BBH", 0, socket.IPPROTO_TCP, 20)
    tcp = segment(checksum(pseudo + segment(0)))
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, socket.IPPROTO_TCP, 0, source, target) + tcp


def answers(ear, source):
    """How many TCP segments to SOURCE come within WAIT."""
    wanted, count, end = socket.inet_aton(source), 0, time.monotonic() + WAIT
    while (left := end - time.monotonic()) > 0:
        ear.settimeout(left)
        try:
            packet = ear.recv(2048)
        except TimeoutError:
            break
        if packet[9] == socket.IPPROTO_TCP and packet[16:20] == wanted:
            count += 1
    return count


def knock(mouth, ear, target, source, port, count):
    packets = [syn(source, target, int(port), number) for number in range(int(count))]
    sent = time.monotonic_ns()
    for packet in packets:
        mouth.sendto(packet, (target, 0))
    gap = time.monotonic_ns() - sent
    return {"sent_ns": sent, "gap_ns": gap, "answers": answers(ear, source)}


def main():
    device, target = sys.argv[1:]
    mouth = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    ear.bind((device, 0x0800))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        try:
            word, source, port, count = line.split()
            if word != "knock":
                raise ValueError(f"{word!r} is no command; accepted: knock SOURCE PORT COUNT")
            answer = knock(mouth, ear, target, source, port, count)
        except (OSError, ValueError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
