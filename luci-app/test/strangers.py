#!/usr/bin/env python3
"""Packets from any address, for the pictures: on the standard input lines "SOURCE TARGET PORT COUNT [icmp]", on the
standard output a line for each when its packets are sent. Needs CAP_NET_RAW; sends where the network namespace leads."""

import socket
import struct
import sys


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def packet(source, target, port, number, icmp):
    source, target = socket.inet_aton(source), socket.inet_aton(target)
    protocol = 1 if icmp else 6
    if icmp:
        body = struct.pack("!BBHHH", 8, 0, 0, 1, number & 0xFFFF)
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    else:
        body = struct.pack("!HHIIBBHHH", 1024 + number % 60000, port, number, 0, 5 << 4, 2, 64240, 0, 0)
        pseudo = source + target + struct.pack("!BBH", 0, protocol, len(body))
        body = body[:16] + struct.pack("!H", checksum(pseudo + body)) + body[18:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number & 0xFFFF, 0, 50, protocol, 0) + source + target
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def main():
    out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    number = 0
    for line in sys.stdin:
        source, target, port, count, *kind = line.split()
        for _ in range(int(count)):
            number += 1
            out.sendto(packet(source, target, int(port), number, bool(kind)), (target, 0))
        print("{}", flush=True)


main()
