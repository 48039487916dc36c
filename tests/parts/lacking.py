"""Runs a program on a kernel that seems to lack parts of netfilter: lacking.py PART… -- PROGRAM ARGUMENTS…

  nfnetlink    no netfilter over netlink at all: socket(2) answers as such a kernel does
  1, 4, 10     no such subsystem of it (1 conntrack, 4 NFLOG, 10 nf_tables): the number in the program's
               messages is changed to one that no kernel has, so that the answer is the kernel's own
  nft:NAME     no such expression of nf_tables: likewise, by its name in the rules
  chain:NAME   no such type of base chain

A seccomp filter hands each message to a child of this process before it is sent. The program keeps this
process's id, and what it starts lacks the same.
"""

import ctypes
import fcntl
import os
import platform
import select
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
ARCHES = {"x86_64": (0xC000003E, 41, 44, 46, 317), "aarch64": (0xC00000B7, 198, 206, 211, 277)}
ARCH, SOCKET, SENDTO, SENDMSG, SECCOMP = ARCHES[platform.machine()]
PIDFD_GETFD = 438
AF_NETLINK, NETLINK_NETFILTER, EPROTONOSUPPORT = 16, 12, 93
ALLOW, ERRNO, NOTIFY = 0x7FFF0000, 0x00050000, 0x7FC00000
RECEIVE, SEND, VALID = 0xC0502100, 0xC0182101, 0x40082102
NOWHERE = 200  # a subsystem that there is not
NO_BATCHES = 9  # one that takes no batches, there or not


def filter_program(without_sockets):
    load, equal, give = 0x20, 0x15, 0x06
    rows = [(load, 0, 0, 4), (equal, 1, 0, ARCH), (give, 0, 0, ALLOW), (load, 0, 0, 0)]
    if without_sockets:
        rows += [(equal, 0, 6, SOCKET), (load, 0, 0, 16), (equal, 0, 2, AF_NETLINK), (load, 0, 0, 32)]
        rows += [(equal, 1, 0, NETLINK_NETFILTER), (give, 0, 0, ALLOW), (give, 0, 0, ERRNO | EPROTONOSUPPORT)]
    rows += [(equal, 1, 0, SENDTO), (equal, 0, 1, SENDMSG), (give, 0, 0, NOTIFY), (give, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *row) for row in rows)


def install(without_sockets):
    code = filter_program(without_sockets)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))
    listener = LIBC.syscall(SECCOMP, 1, 8, program)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def change(message, subsystems, words):
    """The netlink messages with the numbers and words changed; the same length."""
    changed, at = bytearray(message), 0
    while at + 16 <= len(changed):
        (length, kind) = struct.unpack_from("=IH", changed, at)
        if length < 16 or at + length > len(changed):
            return None
        if kind >> 8 in subsystems:
            struct.pack_into("=H", changed, at + 4, NOWHERE << 8 | kind & 0xFF)
        # The beginning and end of a batch name the subsystem as its id.
        if kind == 0x10 and length >= 20 and struct.unpack_from("!H", changed, at + 18)[0] in subsystems:
            struct.pack_into("!H", changed, at + 18, NO_BATCHES)
        at += (length + 3) & ~3
    for word in words:
        changed = changed.replace(word, word[:4] + b"?" + word[5:])
    return bytes(changed)


def parts(memory, call):
    """Address and length of each part of what a call sends."""
    number, arguments = call
    if number == SENDTO:
        return [(arguments[1], arguments[2])]
    header = os.pread(memory, 56, arguments[1])
    vectors, count = struct.unpack_from("@PN", header, 16)
    raw = os.pread(memory, 16 * min(count, 64), vectors)
    return [struct.unpack_from("@PN", raw, 16 * index) for index in range(len(raw) // 16)]


def supervise(listener, subsystems, words):
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        if not poll.poll()[0][1] & select.POLLIN:
            return  # the last process with the filter has ended
        notice = bytearray(80)
        try:
            fcntl.ioctl(listener, RECEIVE, notice)
        except FileNotFoundError:
            continue
        ident, pid = struct.unpack_from("=QI", notice, 0)
        number = struct.unpack_from("=i", notice, 16)[0]
        arguments = struct.unpack_from("=6Q", notice, 32)
        try:
            memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
            for address, length in parts(memory, (number, arguments)):
                if length == 0:
                    continue
                was = os.pread(memory, length, address)
                new = change(was, subsystems, words)
                if new is not None and new != was:
                    os.pwrite(memory, new, address)
            os.close(memory)
            fcntl.ioctl(listener, SEND, struct.pack("=QqiI", ident, 0, 0, 1))
        except OSError:
            continue  # it has ended meanwhile


def main():
    split = sys.argv.index("--")
    lacking, command = sys.argv[1:split], sys.argv[split + 1 :]
    subsystems = {int(part) for part in lacking if part.isdigit()}
    attribute = lambda kind, text: struct.pack("=HH", 4 + len(text) + 1, kind) + text.encode() + b"\0"
    kinds = {"nft": 1, "chain": 7}
    named = [part.split(":", 1) for part in lacking if ":" in part]
    words = [attribute(kinds[kind], text) for kind, text in named]
    (ready, tell), (watched, watching), parent = os.pipe(), os.pipe(), os.getpid()
    if os.fork() == 0:
        os.close(tell)
        os.close(watched)
        number = int(os.read(ready, 16))
        listener = LIBC.syscall(PIDFD_GETFD, os.pidfd_open(parent), number, 0)
        null = os.open("/dev/null", os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        os.write(watching, b"!")
        supervise(listener, subsystems, words)
        os._exit(0)
    listener = install("nfnetlink" in lacking)
    os.write(tell, str(listener).encode())
    os.close(watching)
    if not os.read(watched, 1):
        raise SystemExit("nobody watches the messages")
    os.execvp(command[0], command)


main()
