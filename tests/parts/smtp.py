"""A mail server that keeps the first letter: port, file. Prints `ready`. The envelope's lines come first in the file."""

import os
import socket
import sys

port, path = int(sys.argv[1]), sys.argv[2]
server = socket.create_server(("127.0.0.1", port))
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    kept, said = [], connection.makefile("rb")
    say = lambda text: connection.sendall(text.encode() + b"\r\n")
    say("220 sink.example ESMTP")
    for line in said:
        word = line.strip().split(b" ")[0].upper()
        if word in (b"MAIL", b"RCPT"):
            kept.append(line)
        if word == b"DATA":
            say("354 go on")
            for line in said:
                if line == b".\r\n":
                    break
                kept.append(line)
            with open(path + ".new", "wb") as file:
                file.writelines(kept)
            os.rename(path + ".new", path)
        if word == b"QUIT":
            say("221 bye")
            break
        say("250 fine")
    connection.close()
