#!/usr/bin/python3
"""A stranger on the wan side with any address he likes, for the soak. A part of tests, never of a router.

    stranger.py TARGET [WAIT]

First line on standard output: {"ready": true}. Then one command a line on standard input, and for each
one line of JSON, or {"error": "…"}. An address is made his own before it is used.

    try SOURCE PORT      a TCP connection that is closed at once: "answer" is open, refused or silence
                         (nothing within WAIT seconds, 0.6), "port" the one it came from
    visit SOURCE PORT    the same, and the connection stays; the newest sixteen do
"""

import json
import selectors
import socket
import subprocess
import sys

KEPT = 16


def connect(source, target, port, wait):
    """The socket, and how the other side answered."""
    own = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    own.bind((source, 0))
    own.setblocking(False)
    own.connect_ex((target, port))
    waiting = selectors.DefaultSelector()
    waiting.register(own, selectors.EVENT_WRITE)
    if not waiting.select(wait):
        return own, "silence"
    return own, "refused" if own.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) else "open"


def main():
    target, known, kept = sys.argv[1], set(), []
    wait = float(sys.argv[2]) if len(sys.argv) > 2 else 0.6
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        try:
            what, source, port = line.split()
            if what not in ("try", "visit"):
                raise ValueError(f"no such command: {what}")
            if source not in known:
                subprocess.run(["ip", "address", "replace", f"{source}/32", "dev", "lo"], check=True)
                known.add(source)
            own, answer = connect(source, target, int(port), wait)
            result = {"answer": answer, "port": own.getsockname()[1]}
            if what == "visit":
                kept.append(own)
                if len(kept) > KEPT:
                    kept.pop(0).close()
            else:
                own.close()
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            result = {"error": str(error)}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
