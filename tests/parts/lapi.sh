#!/bin/sh
# Puts Debian's CrowdSec below DIRECTORY, unpacked: installing it would register this machine at CrowdSec's
# central API and read its logs. What is there already is used. Prints the root of its files.
#   lapi.sh DIRECTORY [PACKAGE]
set -eu
package=${2:-crowdsec}
place=$1/$package
[ -d "$place" ] || {
	mkdir -p "$1"
	new=$(mktemp -d "$1/new.XXXXXX")
	(cd "$new" && { apt-get -q download "$package" || { apt-get -q update && apt-get -q download "$package"; }; }) >&2
	dpkg -x "$new/$package"_*.deb "$new/root"
	mv -T "$new/root" "$place" 2>/dev/null || [ -d "$place" ]
	rm -rf "$new"
}
echo "$place"
