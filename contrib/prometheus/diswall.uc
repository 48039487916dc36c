// The collector "diswall" of prometheus-node-exporter-ucode: /usr/share/ucode/node-exporter/lib/diswall.uc.
// Nothing reads it where that exporter is not installed. No label ever holds an address.
// SPDX-License-Identifier: GPL-3.0-or-later

import { connect } from "ubus";

// A connection of its own: the exporter's would wait 30 seconds for a daemon that hangs.
const bus = connect(null, 2);
const answer = bus ? bus.call("diswall", "status", {}) : null;

if (bus)
	bus.disconnect();

// A refusal has no state.
const status = answer?.state ? answer : null;

gauge("diswall_up", "Whether the daemon answers.")(null, status ? 1 : 0);

if (!status)
	return true;

// One metric with a sample for each row of a list.
function rows(metric, label, list, value) {
	for (let row in list) {
		const v = value(row);

		if (v != null)
			metric({ [label]: `${row.name}` }, v);
	}
}

gauge("diswall_build_info", "The program's version.")({ version: `${status.version}` }, 1);
gauge("diswall_uptime_seconds", "How long the daemon has run.")(null, status.uptime);
gauge("diswall_resident_memory_bytes", "Memory of the daemon.")(null, status.memory * 1024);

const state = gauge("diswall_state", "1 for the state that diswall is in.");
for (let name in [ "protected", "local", "waiting", "degraded", "unprotected", "off" ])
	state({ state: name }, name == status.state ? 1 : 0);

rows(gauge("diswall_part_in_force", "Whether a part does what it is there for."), "part", status.parts,
	part => part.state == "in_force" ? 1 : 0);

const problems = gauge("diswall_problems", "What the owner should know, by severity.");
for (let severity in [ "error", "warning", "notice" ])
	problems({ severity }, length(filter(status.problems, problem => problem.severity == severity)));

const bans = gauge("diswall_bans", "Addresses and networks that are banned.");
for (let source in status.sources) {
	bans({ source: `${source.name}`, kind: "ipv4" }, source.v4);
	bans({ source: `${source.name}`, kind: "ipv6" }, source.v6);
	bans({ source: `${source.name}`, kind: "network" }, source.networks);
}

rows(gauge("diswall_bans_withheld", "Bans that are not in force, of protected addresses."), "source", status.sources, s => s.withheld);
rows(gauge("diswall_bans_cut", "Entries for which there is no room."), "source", status.sources, s => s.cut);
rows(counter("diswall_dropped_packets_total", "Packets dropped."), "source", status.sources, s => s.packets);
rows(counter("diswall_dropped_bytes_total", "Bytes dropped."), "source", status.sources, s => s.bytes);

rows(gauge("diswall_feed_connected", "Whether the feed's server answers."), "feed", status.feeds,
	feed => (feed.state in [ "live", "partial", "synchronising" ]) ? 1 : 0);
rows(gauge("diswall_feed_last_message_timestamp_seconds", "When the feed was last heard of."), "feed", status.feeds, f => f.last_message);
rows(counter("diswall_feed_messages_total", "Messages received."), "feed", status.feeds, f => f.messages);
rows(counter("diswall_feed_refused_addresses_total", "Addresses refused."), "feed", status.feeds, f => f.refused_addresses);

const allowances = gauge("diswall_allowances", "Addresses and networks that are never blocked.");
for (let origin in [ "config", "command", "nats" ])
	allowances({ origin }, status.allowances[origin]);

counter("diswall_set_refills_total", "How often the sets had to be put right.")(null, status.firewall.refills);
gauge("diswall_scan_suspects", "Senders that touched closed ports and are not banned for it yet.")(null, status.scan.suspects);
