//! The nft text, judged by the real `nft`: every shape of it loads, twice, and keeps the sets' elements.

use diswall::config::{Action, Block, Direction, PortRange, Proto, Settings, States};
use diswall::firewall::rules::{self, ZoneDevices};

use super::support::{Netns, nft, nft_load, nft_set_elements};

/// A ruleset of fw4's shape with the text that it includes at its end.
fn fw4_with(include: &str) -> String {
    format!(
        "table inet fw4\nflush table inet fw4\ntable inet fw4 {{
	chain input {{
		type filter hook input priority filter; policy drop;
		ct state vmap {{ established : accept, related : accept }}
		iifname \"wan0\" jump input_wan
	}}
	chain forward {{
		type filter hook forward priority filter; policy drop;
		ct state vmap {{ established : accept, related : accept }}
		iifname \"wan0\" jump forward_wan
	}}
	chain output {{
		type filter hook output priority filter; policy accept;
		oifname \"wan0\" jump output_wan
	}}
	chain input_wan {{
		counter jump reject_from_wan
	}}
	chain output_wan {{
		jump accept_to_wan
	}}
	chain forward_wan {{
		ct status dnat accept
	}}
	chain accept_to_wan {{
		oifname \"wan0\" accept
	}}
	chain reject_from_wan {{
		reject
	}}
}}\n{include}"
    )
}

/// Settings that reach every branch of the text, each with a name.
fn shapes() -> Vec<(&'static str, Settings)> {
    let plain = Settings::default();
    let mut rejecting = plain.clone();
    rejecting.main.action = Action::Reject;
    rejecting.main.log_drops = true;
    let mut everywhere = plain.clone();
    everywhere.main.states = States::All;
    everywhere.main.direction = Direction::SrcDst;
    everywhere.main.devices = vec!["wan0".into(), "eth0.2".into()];
    let mut both_ways = plain.clone();
    both_ways.main.direction = Direction::SrcDst;
    both_ways.main.zones = vec!["wan".into(), "guest".into()];
    let mut blocks = rejecting.clone();
    let ports =
        vec![PortRange { first: 80, last: 90 }, PortRange { first: 22, last: 22 }, PortRange { first: 85, last: 100 }];
    for (net, proto, dest_ports, action) in [
        ("203.0.113.0/24", Proto::Tcp, ports.clone(), Some(Action::Reject)),
        ("2001:db8::/32", Proto::Udp, ports.clone(), None),
        ("198.51.100.7/32", Proto::Any, ports, Some(Action::Drop)),
        ("198.51.100.8/32", Proto::Icmp, vec![], None),
        ("2001:db8::8/128", Proto::Icmp, vec![], Some(Action::Drop)),
        ("198.51.100.9/32", Proto::Any, vec![], Some(Action::Drop)),
        ("198.51.100.10/32", Proto::Udp, vec![], None),
    ] {
        let net = net.parse().unwrap();
        blocks.block.push(Block { net, comment: "a \"quoted\" comment".into(), proto, dest_ports, action, log: false });
    }
    vec![
        ("plain", plain),
        ("rejecting and logging", rejecting),
        ("every packet, both directions, devices", everywhere),
        ("both directions, two zones", both_ways),
        ("blocks with ports", blocks),
    ]
}

#[test]
fn every_shape_loads_without_fw4_and_keeps_the_elements() {
    for (name, settings) in shapes() {
        let _netns = Netns::enter();
        let text = rules::standalone(&settings);
        nft_load(&text);
        nft(&["add", "element", "inet", "fw4", "diswall_dynfw4", "{ 203.0.113.5 }"]);
        let before = nft(&["list", "ruleset"]);
        nft_load(&text);
        assert_eq!(nft(&["list", "ruleset"]), before, "{name}: loading it again changes something");
        assert!(nft_set_elements("diswall_dynfw4").contains_key("203.0.113.5"), "{name}");
    }
}

#[test]
fn every_shape_loads_behind_fw4_and_comes_first_in_its_chains() {
    let zones = [ZoneDevices { zone: "wan".into(), devices: vec!["wan0".into()] }];
    for (name, settings) in shapes() {
        let _netns = Netns::enter();
        let text = fw4_with(&rules::for_fw4(&settings, &zones));
        nft_load(&text);
        nft(&["add", "element", "inet", "fw4", "diswall_nats6", "{ 2001:db8::5 }"]);
        // fw4's reload flushes the table's rules and loads the text again.
        nft_load(&text);
        assert!(nft_set_elements("diswall_nats6").contains_key("2001:db8::5"), "{name}");
        let chain = if settings.main.states == States::All { "input" } else { "input_wan" };
        let listed = nft(&["list", "chain", "inet", "fw4", chain]);
        let first_rule = listed.lines().find(|line| line.contains("jump") || line.contains("ct state")).unwrap();
        assert!(first_rule.contains("jump diswall_from"), "{name}: first in {chain} is {first_rule}");
    }
}

#[test]
fn a_zone_without_devices_must_not_break_the_firewall() {
    let _netns = Netns::enter();
    let mut settings = Settings::default();
    settings.main.states = States::All;
    nft_load(&fw4_with(&rules::for_fw4(&settings, &[ZoneDevices { zone: "wan".into(), devices: vec![] }])));
}

/// As `nft list ruleset >/etc/nftables.conf` has it: what nft does not read back takes the owner's own rules along.
#[test]
fn every_shape_is_listed_so_that_it_loads_again() {
    for (name, settings) in shapes() {
        let _netns = Netns::enter();
        nft_load(&rules::standalone(&settings));
        let kept = nft(&["list", "ruleset"]);
        nft_load(&format!("flush ruleset\n{kept}"));
        assert_eq!(nft(&["list", "ruleset"]), kept, "{name}");
    }
}

#[test]
fn the_removal_takes_everything_and_fails_at_nothing() {
    for (name, settings) in shapes() {
        let _netns = Netns::enter();
        nft_load("table inet fw4 {\n\tset strangers { type ipv4_addr; }\n}\n");
        let before = nft(&["list", "ruleset"]);
        // What a reload of fw4 without our include leaves: our sets, counters and chains, and no jump.
        nft_load(&fw4_with(&rules::for_fw4(&settings, &[])));
        nft_load("flush table inet fw4\n");
        let listed = nft(&["list", "table", "inet", "fw4"]);
        let chains = listed.lines().filter_map(|line| line.trim().strip_prefix("chain ")?.strip_suffix(" {"));
        for chain in chains.filter(|chain| !chain.starts_with("diswall_")) {
            nft(&["delete", "chain", "inet", "fw4", chain]);
        }
        for _ in 0..2 {
            nft_load(&rules::removal(&settings));
            assert_eq!(nft(&["list", "ruleset"]), before, "{name}");
        }
    }
}
