//! What the rules do to packets: a router between a host outside and one in the LAN, on a ruleset of
//! fw4's shape and stand-alone, TCP and UDP, IPv4 and IPv6, to the router itself, through a port forward
//! and straight through.

use std::time::Duration;

use diswall::config::Settings;
use diswall::firewall::rules::{self, ZoneDevices};

use crate::support::flow::{Attempt, echo, expect_all, open_flow, ticker};
use crate::support::{Daemon, Netns, Peer, Proc, nft, nft_load, nft_set_elements, run, wait_until};

pub const DEADLINE: Duration = Duration::from_secs(30);

/// Addresses of the host outside. They are off the router's own subnets, which are never banned.
pub const BAD: [&str; 2] = ["198.51.100.66", "2001:db8:bad::66"];
pub const WORSE: [&str; 2] = ["198.51.100.67", "2001:db8:bad::67"];
pub const GOOD: [&str; 2] = ["198.51.100.2", "2001:db8:900d::2"];

/// The router outside, and a server in the LAN.
pub const ROUTER: [&str; 2] = ["203.0.113.1", "2001:db8:0:1::1"];
pub const INSIDE: [&str; 2] = ["192.168.1.2", "2001:db8:0:2::2"];

/// Ports that are echoed, and on which is talked without end; 2200 more outside are forwarded.
pub const ECHO: u16 = 7;
pub const TALK: u16 = 8;
const FORWARDED: u16 = 2200;

pub const NO_FEED: &str = "config dynfw 'dynfw'\n\toption enabled '0'\nconfig nats 'nats'\n\toption enabled '0'\n\
                       config scan 'scan'\n\toption enabled '0'\n";

/// A router's ruleset in fw4's shape: zones wan and lan, echo and talk ports open to the router and,
/// for IPv6, to the LAN; a port forward for IPv4.
const RULESET: &str = r#"table inet fw4
flush table inet fw4
table inet fw4 {
	chain input {
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ct state vmap { established : accept, related : accept }
		iifname "lan" accept
		iifname "wan" jump input_wan
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state vmap { established : accept, related : accept }
		iifname "lan" jump forward_lan
		iifname "wan" jump forward_wan
		jump handle_reject
	}
	chain output {
		type filter hook output priority filter; policy accept;
		oif "lo" accept
		ct state vmap { established : accept, related : accept }
		oifname "wan" jump output_wan
	}
	chain input_wan {
		meta l4proto { icmp, ipv6-icmp } accept
		th dport { 7, 8 } accept
		jump reject_from_wan
	}
	chain output_wan {
		jump accept_to_wan
	}
	chain forward_lan {
		jump accept_to_wan
	}
	chain forward_wan {
		meta nfproto ipv6 th dport { 7, 8 } accept
		ct status dnat accept
	}
	chain accept_to_wan {
		oifname "wan" accept
	}
	chain reject_from_wan {
		iifname "wan" jump handle_reject
	}
	chain handle_reject {
		meta l4proto tcp reject with tcp reset
		reject
	}
	chain dstnat {
		type nat hook prerouting priority dstnat; policy accept;
		iifname "wan" meta nfproto ipv4 meta l4proto { tcp, udp } th dport 2207 dnat ip to 192.168.1.2:7
		iifname "wan" meta nfproto ipv4 meta l4proto { tcp, udp } th dport 2208 dnat ip to 192.168.1.2:8
	}
	chain srcnat {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "wan" meta nfproto ipv4 masquerade
	}
}
"#;

/// How the rules come into the kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wrapping {
    /// At the end of fw4's own ruleset.
    Fw4,
    /// In base chains of their own, beside somebody else's firewall.
    Standalone,
}

/// The three machines; this thread's namespace is the router.
pub struct Lab {
    /// The host outside.
    pub wan: Peer,
    /// The server inside.
    pub lan: Peer,
    _servers: Vec<Proc>,
    _netns: Netns,
}

impl Lab {
    pub fn build() -> Lab {
        let netns = Netns::enter();
        run("sysctl", &["-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
        let wan = Peer::join("wan", "203.0.113.1/24", "203.0.113.2/24");
        let lan = Peer::join("lan", "192.168.1.1/24", "192.168.1.2/24");
        run("ip", &["address", "add", "2001:db8:0:1::1/64", "dev", "wan", "nodad"]);
        run("ip", &["address", "add", "2001:db8:0:2::1/64", "dev", "lan", "nodad"]);
        wan.address("2001:db8:0:1::2/64");
        lan.address("2001:db8:0:2::2/64");
        // As if they were further away: the link's own business (neighbour discovery) goes by its addresses.
        for address in [BAD, WORSE, GOOD].concat() {
            wan.run("ip", &["address", "add", address, "dev", "lo"]);
        }
        wan.run("ip", &["route", "add", "default", "via", "2001:db8:0:1::1"]);
        lan.run("ip", &["route", "add", "default", "via", "2001:db8:0:2::1"]);
        run("ip", &["route", "add", "default", "via", "203.0.113.2"]);
        run("ip", &["route", "add", "default", "via", "2001:db8:0:1::2"]);
        let servers = vec![
            echo(Some(&lan), ECHO, &INSIDE),
            ticker(Some(&lan), TALK, &INSIDE),
            echo(None, ECHO, &ROUTER),
            ticker(None, TALK, &ROUTER),
            echo(Some(&wan), ECHO, &[BAD, GOOD].concat()),
        ];
        Lab { wan, lan, _servers: servers, _netns: netns }
    }

    /// Loads the router's ruleset with the rules of the daemon's configuration, as a firewall start does.
    pub fn load(&self, daemon: &Daemon, wrapping: Wrapping) {
        match wrapping {
            Wrapping::Fw4 => {
                let settings = Settings::load(&daemon.config(), b"").expect("a valid configuration").settings;
                let zones = [ZoneDevices { zone: "wan".into(), devices: vec!["wan".into()] }];
                nft_load(&format!("{RULESET}{}", rules::for_fw4(&settings, &zones)));
            }
            Wrapping::Standalone => {
                nft_load(&RULESET.replace("inet fw4", "inet router"));
                daemon.load_rules();
            }
        }
    }

    /// The daemon on this router, its rules loaded.
    pub fn daemon(&self, wrapping: Wrapping, main: &str, sections: &str) -> Daemon {
        let mut daemon = Daemon::prepare(main, &format!("{NO_FEED}\n{sections}"));
        self.load(&daemon, wrapping);
        daemon.run();
        daemon
    }

    /// Attempts from outside come out as `wanted`.
    #[track_caller]
    fn arrive(&self, attempts: &[Attempt<'_>], wanted: &str) {
        expect_all(Some(&self.wan), attempts, wanted);
    }
}

/// Every way in from outside, for both families: to the router itself and to the server in the LAN.
pub fn ways_in(sources: [&'static str; 2], port: u16) -> Vec<Attempt<'static>> {
    let to = |source, server, port| ["tcp", "udp"].map(|kind| Attempt { kind, source, server, port });
    [
        to(sources[0], ROUTER[0], port),
        to(sources[1], ROUTER[1], port),
        to(sources[0], ROUTER[0], FORWARDED + port),
        to(sources[1], INSIDE[1], port),
    ]
    .concat()
}

/// The ways from the LAN to the host outside.
pub fn ways_out(servers: [&'static str; 2]) -> Vec<Attempt<'static>> {
    let to = |(source, server)| ["tcp", "udp"].map(|kind| Attempt { kind, source, server, port: ECHO });
    INSIDE.into_iter().zip(servers).flat_map(to).collect()
}

fn only<'a>(kind: &str, attempts: &[Attempt<'a>]) -> Vec<Attempt<'a>> {
    attempts.iter().filter(|attempt| attempt.kind == kind).copied().collect()
}

/// Packets that the manual source has dropped, as `status` has it.
fn dropped(daemon: &Daemon) -> u64 {
    let status = daemon.status();
    let sources = status["sources"].as_array().expect("sources");
    let manual = sources.iter().find(|source| source["name"] == "manual").expect("the manual source");
    manual["packets"].as_u64().expect("a number")
}

/// How many conntrack entries have this address at an end.
pub fn entries(address: &str) -> usize {
    let family = if address.contains(':') { "ipv6" } else { "ipv4" };
    let count = |side| run("conntrack", &["-L", "-f", family, side, address]).lines().filter(|l| !l.is_empty()).count();
    count("--orig-src") + count("--reply-src")
}

/// Blocks by command for an hour, several addresses at once.
fn block(daemon: &Daemon, addresses: &[&str]) {
    daemon.cli(&[&["block", "--timeout", "1h"], addresses].concat());
}

pub const BOTH: [Wrapping; 2] = [Wrapping::Fw4, Wrapping::Standalone];

#[test]
fn a_blocked_address_gets_silence_everywhere_and_others_an_answer() {
    for wrapping in BOTH {
        let lab = Lab::build();
        let daemon = lab.daemon(wrapping, "", "");
        lab.arrive(&[ways_in(BAD, ECHO), ways_in(WORSE, ECHO), ways_in(GOOD, ECHO)].concat(), "open");
        block(&daemon, &[BAD, WORSE].concat());
        lab.arrive(&[ways_in(BAD, ECHO), ways_in(WORSE, ECHO)].concat(), "silence");
        lab.arrive(&ways_in(GOOD, ECHO), "open");
        let count = dropped(&daemon);
        assert!(count >= 16, "{wrapping:?}: 16 attempts, {count} packets dropped");
        daemon.cli(&[&["unblock"], &BAD[..]].concat());
        lab.arrive(&ways_in(BAD, ECHO), "open");
        lab.arrive(&ways_in(WORSE, ECHO), "silence");
    }
}

#[test]
fn reject_tells_the_sender() {
    for wrapping in BOTH {
        let lab = Lab::build();
        let daemon = lab.daemon(wrapping, "\toption action 'reject'", "");
        block(&daemon, &BAD);
        lab.arrive(&ways_in(BAD, ECHO), "refused");
        assert_eq!(dropped(&daemon), 8, "{wrapping:?}: each attempt is counted once");
        lab.arrive(&ways_in(GOOD, ECHO), "open");
    }
}

#[test]
fn a_lasting_block_may_have_an_action_of_its_own() {
    let lab = Lab::build();
    let daemon = lab.daemon(Wrapping::Standalone, "", "");
    daemon.cli(&["block", "--action", "reject", BAD[0], BAD[1]]);
    daemon.cli(&["block", WORSE[0], WORSE[1]]);
    // There is no init script here that would load the rules anew.
    lab.load(&daemon, Wrapping::Standalone);
    lab.arrive(&ways_in(BAD, ECHO), "refused");
    lab.arrive(&ways_in(WORSE, ECHO), "silence");
}

#[test]
fn an_allowance_comes_before_every_ban_and_opens_nothing() {
    for wrapping in BOTH {
        let lab = Lab::build();
        let daemon = lab.daemon(wrapping, "", "");
        // The network holds both hosts; one is allowed, and the longer prefix does not win by length.
        daemon.cli(&["block", "198.51.100.64/26", "2001:db8:bad::/48"]);
        lab.arrive(&[ways_in(BAD, ECHO), ways_in(WORSE, ECHO)].concat(), "silence");
        lab.arrive(&ways_in(GOOD, ECHO), "open");
        daemon.cli(&["allow", "198.51.100.66", "2001:db8:bad::66", "--comment", "office"]);
        lab.arrive(&ways_in(BAD, ECHO), "open");
        lab.arrive(&ways_in(WORSE, ECHO), "silence");
        let closed = Attempt { kind: "tcp", source: BAD[0], server: ROUTER[0], port: 2299 };
        lab.arrive(&[closed], "refused");
        daemon.cli(&["disallow", "198.51.100.66", "2001:db8:bad::66"]);
        lab.arrive(&ways_in(BAD, ECHO), "silence");
    }
}

#[test]
fn a_time_out_ends_a_block_and_an_allowance() {
    let lab = Lab::build();
    let daemon = lab.daemon(Wrapping::Fw4, "", "");
    daemon.cli(&["block", "--timeout", "5s", BAD[0], BAD[1]]);
    lab.arrive(&ways_in(BAD, ECHO), "silence");
    wait_until(DEADLINE, "the kernel lets them go", || nft_set_elements("diswall_manual4").is_empty());
    lab.arrive(&ways_in(BAD, ECHO), "open");
    block(&daemon, &BAD);
    daemon.cli(&["allow", "--timeout", "6s", BAD[0], BAD[1]]);
    lab.arrive(&ways_in(BAD, ECHO), "open");
    wait_until(DEADLINE, "the allowance ends", || nft_set_elements("diswall_allow4").is_empty());
    lab.arrive(&ways_in(BAD, ECHO), "silence");
}

#[test]
fn direction_says_whether_the_lan_may_call_a_blocked_address() {
    for wrapping in BOTH {
        for (direction, wanted) in [("src", "open"), ("src-dst", "silence")] {
            let lab = Lab::build();
            let daemon = lab.daemon(wrapping, &format!("\toption direction '{direction}'"), "");
            block(&daemon, &BAD);
            // Connections are ended within a second of the ban; one opened meanwhile is among them.
            std::thread::sleep(Duration::from_secs(1));
            expect_all(Some(&lab.lan), &ways_out(BAD), wanted);
            let own: Vec<_> = ways_out(BAD).into_iter().zip([ROUTER[0], ROUTER[0], ROUTER[1], ROUTER[1]]).collect();
            let own: Vec<Attempt> = own.into_iter().map(|(way, source)| Attempt { source, ..way }).collect();
            expect_all(None, &own, wanted);
            lab.arrive(&ways_in(BAD, ECHO), "silence");
            expect_all(Some(&lab.lan), &ways_out(GOOD), "open");
        }
    }
}

#[test]
fn states_says_whether_established_packets_are_checked() {
    for wrapping in BOTH {
        for (states, wanted) in [("new", "still"), ("all", "dead")] {
            let lab = Lab::build();
            let main = format!("\toption states '{states}'\n\toption disconnect '0'");
            let daemon = lab.daemon(wrapping, &main, "");
            let mut flows: Vec<Proc> =
                ways_in(BAD, ECHO).into_iter().map(|way| open_flow(Some(&lab.wan), way)).collect();
            block(&daemon, &BAD);
            for flow in &mut flows {
                flow.send("still");
                assert_eq!(flow.line(DEADLINE), wanted, "{wrapping:?} states {states}");
            }
            lab.arrive(&ways_in(BAD, ECHO), "silence");
        }
    }
}

#[test]
fn invalid_packets_of_a_blocked_address_are_dropped_and_counted() {
    for wrapping in BOTH {
        for states in ["new", "all"] {
            let lab = Lab::build();
            let daemon = lab.daemon(wrapping, &format!("\toption states '{states}'"), "");
            block(&daemon, &BAD);
            // SYN and RST together belong to no connection: conntrack calls them invalid.
            let arguments = ["-q", "-c", "5", "-i", "u1000", "-S", "-R", "-p", "7", "-a", BAD[0], ROUTER[0]];
            // It says by its exit status that nobody answered.
            let _ = lab.wan.try_run("hping3", &arguments);
            wait_until(DEADLINE, &format!("{wrapping:?} {states}: five packets"), || dropped(&daemon) == 5);
        }
    }
}

#[test]
fn a_block_may_be_for_a_protocol_and_ports_alone() {
    let sections = format!(
        "config block\n\toption ip '{}'\n\toption proto 'tcp'\n\tlist dest_port '7'\n\toption action 'reject'\n\
         config block\n\toption ip '2001:db8:bad::/64'\n\toption proto 'udp'\n\tlist dest_port '5-7'\n\
         config block\n\toption ip '{}'\n\toption proto 'icmp'\n",
        BAD[0], BAD[0]
    );
    for wrapping in BOTH {
        let lab = Lab::build();
        let daemon = lab.daemon(wrapping, "", &sections);
        let (four, six): (Vec<_>, Vec<_>) = ways_in(BAD, ECHO).into_iter().partition(|way| way.source == BAD[0]);
        lab.arrive(&only("tcp", &four), "refused");
        lab.arrive(&only("udp", &six), "silence");
        lab.arrive(&[only("udp", &four), only("tcp", &six), ways_in(BAD, TALK)].concat(), "open");
        let ping = |source, server| lab.wan.try_run("ping", &["-c", "2", "-W", "2", "-I", source, server]).is_ok();
        assert!(!ping(BAD[0], ROUTER[0]) && ping(BAD[1], ROUTER[1]) && ping(GOOD[0], ROUTER[0]), "{wrapping:?}");
        // Port 7 on both ways and an attempt each; the pings; UDP on both ways.
        assert_eq!(dropped(&daemon), 2 + 2 + 2, "{wrapping:?}");
        let (_, text) = daemon.exit(&["check", BAD[0]]);
        assert!(text.contains("some services") && text.contains("tcp (7)"), "check tells of it: {text}");
    }
}

#[test]
fn a_kick_ends_connections_and_bans_nobody() {
    let lab = Lab::build();
    let daemon = lab.daemon(Wrapping::Fw4, "", "");
    let mut flows: Vec<Proc> =
        only("tcp", &ways_in(BAD, ECHO)).into_iter().map(|way| open_flow(Some(&lab.wan), way)).collect();
    let _own: Vec<Proc> = ways_out(BAD).into_iter().map(|way| open_flow(Some(&lab.lan), way)).collect();
    let said = daemon.cli(&["kick", BAD[0], BAD[1]]);
    assert!(said.contains("4 connections of 198.51.100.66 ended"), "whoever opened them: {said}");
    assert_eq!((entries(BAD[0]), entries(BAD[1])), (0, 0));
    // The router's own socket was reset; what is forwarded goes on by a new entry if the outside sends on.
    flows[0].send("still");
    assert_eq!(flows[0].line(DEADLINE), "dead");
    lab.arrive(&ways_in(BAD, ECHO), "open");
}

/// Lines of `nft monitor trace` until a while passes without one.
fn traced(monitor: &Proc) -> String {
    let mut text = String::new();
    while let Some(line) = monitor.try_line(Duration::from_secs(2)) {
        text += &(line + "\n");
    }
    text
}

#[test]
fn log_drops_logs_what_is_dropped_and_a_block_may_ask_for_it() {
    let of_its_own = format!("config block\n\toption ip '{}'\n\toption log '1'\n", BAD[0]);
    for (main, sections, logged) in
        [("\toption log_drops '1'", "", true), ("", of_its_own.as_str(), true), ("", "", false)]
    {
        for wrapping in BOTH {
            let lab = Lab::build();
            let daemon = lab.daemon(wrapping, main, sections);
            daemon.cli(&["block", "--timeout", "1h", BAD[0]]);
            nft_load(
                "table inet tracer { chain c { type filter hook prerouting priority -350; ip saddr 198.51.100.0/24 \
                 meta nftrace set 1; }; }",
            );
            let monitor = Proc::spawn(std::process::Command::new("stdbuf").args(["-oL", "nft", "monitor", "trace"]));
            std::thread::sleep(Duration::from_millis(500));
            let ping = |source| lab.wan.try_run("ping", &["-c", "1", "-W", "1", "-I", source, ROUTER[0]]).is_ok();
            assert!(!ping(BAD[0]) && ping(GOOD[0]));
            // The log statement is passed, with `continue`, before the verdict; of the good host none is.
            let text = traced(&monitor);
            let lines = text.lines().filter(|line| line.contains("log prefix \"diswall manual: \""));
            let verdicts = lines.filter(|line| line.contains("verdict continue")).count();
            assert_eq!(verdicts, usize::from(logged), "{wrapping:?} {main} {sections}\n{text}");
        }
    }
}

#[test]
fn the_log_is_limited() {
    let lab = Lab::build();
    let daemon = lab.daemon(Wrapping::Fw4, "\toption log_drops '1'", "");
    block(&daemon, &BAD);
    // A second rule behind the limit tells how many packets came through it.
    let chain = "diswall_manual4_hit";
    let listed = nft(&["-a", "list", "chain", "inet", "fw4", chain]);
    let rule = listed.lines().find(|line| line.contains("log prefix")).expect("the log rule");
    let handle = rule.rsplit(' ').next().expect("its handle");
    let counted = "limit rate 5/second burst 10 packets counter comment \"probe\"";
    nft(&["replace", "rule", "inet", "fw4", chain, "handle", handle, counted]);
    assert!(rule.contains("limit rate 5/second burst 10 packets log"), "{rule}");
    let _ = lab.wan.try_run("hping3", &["-q", "-c", "200", "-i", "u1000", "-S", "-p", "7", "-a", BAD[0], ROUTER[0]]);
    wait_until(DEADLINE, "the packets are dropped", || dropped(&daemon) == 200);
    let listed = nft(&["list", "chain", "inet", "fw4", chain]);
    let passed = listed.split("counter packets ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a count");
    let passed: u64 = passed.parse().expect("a number");
    assert!((1..150).contains(&passed), "{passed} of 200 would have been logged");
}

#[test]
fn the_count_of_drops_goes_on_over_a_reload_and_over_a_table_made_anew() {
    let lab = Lab::build();
    let daemon = lab.daemon(Wrapping::Fw4, "", "");
    block(&daemon, &BAD);
    let hit = |count: u64| {
        let count = count.to_string();
        let arguments = ["-q", "-c", &count, "-i", "u1000", "-2", "-p", "7", "-a", BAD[0], ROUTER[0]];
        let _ = lab.wan.try_run("hping3", &arguments);
    };
    let in_kernel = |count: u64| {
        let wanted = format!("packets {count} ");
        wait_until(DEADLINE, "the kernel has counted", || {
            nft(&["list", "counter", "inet", "fw4", "diswall_manual4"]).contains(&wanted)
        });
    };
    hit(10);
    wait_until(DEADLINE, "ten drops", || dropped(&daemon) == 10);
    lab.load(&daemon, Wrapping::Fw4);
    hit(5);
    wait_until(DEADLINE, "five more after a reload", || dropped(&daemon) == 15);
    nft(&["delete", "table", "inet", "fw4"]);
    lab.load(&daemon, Wrapping::Fw4);
    wait_until(DEADLINE, "the bans are back", || nft_set_elements("diswall_manual4").contains_key(BAD[0]));
    // More than before the restart when it is read next, so that only the table tells that it began anew.
    hit(40);
    in_kernel(40);
    assert_eq!(dropped(&daemon), 55);
}
