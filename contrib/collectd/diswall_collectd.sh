#!/bin/sh
# What collectd's exec plugin runs, as nobody, which the ubus ACL beside it lets ask for the status alone.
# SPDX-License-Identifier: GPL-3.0-or-later

host=${COLLECTD_HOSTNAME:-localhost}
interval=${COLLECTD_INTERVAL:-60}
interval=${interval%%.*}

# value PLUGIN-INSTANCE TYPE-INSTANCE VALUE; what is no number is left out.
value() {
	case $3 in '' | *[!0-9]*) return ;; esac
	echo "PUTVAL \"$host/$1/$2\" interval=$interval N:$3"
}

# A row of values for every source: its name, then what sources say in the order in which it is asked for.
sources() {
	while IFS='|' read -r name packets bytes v4 v6 networks; do
		# The name becomes a file's.
		case $name in '' | *[!A-Za-z0-9_.-]*) continue ;; esac
		value "diswall-$name" derive-dropped_packets "$packets"
		value "diswall-$name" derive-dropped_bytes "$bytes"
		value "diswall-$name" gauge-ipv4 "$v4"
		value "diswall-$name" gauge-ipv6 "$v6"
		value "diswall-$name" gauge-networks "$networks"
	done
}

# One line a source, in columns; nothing where they do not fit each other.
table() {
	for field in name packets bytes v4 v6 networks; do
		echo "= $field"
		jsonfilter -s "$status" -e "@.sources[*].$field"
	done | awk '/^= / { if (columns++ > 1 && row != rows) bad = 1; if (columns == 2) rows = row; row = 0; next }
		columns == 1 { line[++row] = $0; next }
		{ row++; line[row] = line[row] "|" $0 }
		END { if (!bad && row == rows) for (i = 1; i <= rows; i++) print line[i] }'
}

# Until collectd is gone.
while [ "$(awk '/^PPid:/ { print $2 }' /proc/$$/status)" != 1 ]; do
	status=$(ubus -t 2 call diswall status 2>/dev/null)
	case $status in *'"state"'*) up=1 ;; *) up=0 ;; esac
	value diswall gauge-up "$up"
	if [ "$up" = 1 ]; then
		value diswall gauge-bans "$(jsonfilter -s "$status" -e '@.bans.total')"
		value diswall derive-dropped_packets "$(jsonfilter -s "$status" -e '@.dropped.packets')"
		value diswall derive-dropped_bytes "$(jsonfilter -s "$status" -e '@.dropped.bytes')"
		table | sources
	fi
	sleep "$interval"
done
