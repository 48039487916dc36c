//! Turris' minipots beside us: a banned host still comes to them, and nobody is banned for calling one. Tables in
//! the form that Turris' scripts make, on a ruleset of fw4's form and without fw4, loaded in every order.

use crate::packets::{BAD, DEADLINE, ECHO, GOOD, Lab, ROUTER, WORSE, Wrapping};
use crate::support::flow::{Attempt, Flows, echo, expect_all};
use crate::support::{Daemon, Proc, nft, nft_load, nft_set_elements, wait_until};

/// Where strangers find the pot, and where it listens.
const FOUND_AT: u16 = 23;
const LISTENS_AT: u16 = 2333;

const SECTIONS: &str = "config dynfw 'dynfw'\n\toption enabled '0'\nconfig nats 'nats'\n\toption enabled '0'\n\
                        config scan 'scan'\n\tlist ban_time '20m'\n";

/// The table that sentinel-firewall's script makes anew at its every run.
const SENTINEL: &str = r#"
add table inet turris-sentinel
delete table inet turris-sentinel
table inet turris-sentinel {
	set wan_ips_4 { type ipv4_addr; elements = { 203.0.113.1 }; }
	set wan_ips_6 { type ipv6_addr; elements = { 2001:db8:0:1::1 }; }
	chain minipots_dstnat {
		type nat hook prerouting priority -105; policy accept;
		iifname "wan" ip6 daddr @wan_ips_6 jump minipots_dstnat_wan comment "!sentinel: pots"
		iifname "wan" ip daddr @wan_ips_4 jump minipots_dstnat_wan comment "!sentinel: pots"
	}
	chain minipots_dstnat_wan {
		meta nfproto { ipv4, ipv6 } tcp dport 23 meta mark set 0x72 redirect to :2333 comment "!sentinel: Telnet"
	}
	chain dynfw_block { }
	chain dynfw_block_hook_input {
		type filter hook input priority -5; policy accept;
		ct state established accept
		iifname "wan" jump dynfw_block comment "!sentinel: blocking"
	}
}
"#;

/// And the rule that it puts first into fw4's chain.
const LETS_IN: &str = "insert rule inet fw4 input_wan meta mark 0x72 accept comment \"!sentinel: pots\"";

/// The iptables generation without fw4: marked by port, whatever else comes of the packet, then redirected.
const FORMER: &str = r#"
table inet former {
	chain mangle {
		type filter hook prerouting priority mangle; policy accept;
		tcp dport { 23, 25 } meta mark set 0x10
	}
	chain nat {
		type nat hook prerouting priority dstnat; policy accept;
		iifname "wan" tcp dport 23 redirect to :2333
		iifname "wan" tcp dport 2323 redirect to :7
	}
}
insert rule inet router input_wan tcp dport 2333 accept
"#;

fn at(sources: [&'static str; 2], port: u16) -> Vec<Attempt<'static>> {
    let to = |(source, server)| Attempt { kind: "tcp", source, server, port };
    sources.into_iter().zip(ROUTER).map(to).collect()
}

/// A router with a pot, and a host that is banned.
fn yard(wrapping: Wrapping, main: &str) -> (Lab, Daemon, Proc) {
    let lab = Lab::build();
    let pot = echo(None, LISTENS_AT, &ROUTER);
    let mut daemon = Daemon::prepare(&format!("\toption local_only '1'\n{main}"), SECTIONS);
    lab.load(&daemon, wrapping);
    daemon.run();
    wait_until(DEADLINE, "the eyes are open", || daemon.status()["scan"]["state"] == "on");
    // The daemon finds its rules in force.
    wait_until(DEADLINE, "all is in force", || daemon.status()["state"] == "local");
    daemon.cli(&[&["block", "--timeout", "1h"], &BAD[..]].concat());
    (lab, daemon, pot)
}

/// Whom the router banned for a scan.
fn scanners() -> Vec<String> {
    ["diswall_scan4", "diswall_scan6"].into_iter().flat_map(nft_set_elements).map(|(address, _)| address).collect()
}

/// Nobody but one who really touches a closed port, last of all, is banned for it.
#[track_caller]
fn only_a_scanner_is_banned(lab: &Lab) {
    crate::support::flow::try_all(Some(&lab.wan), &at(WORSE, 4444)[..1]);
    wait_until(DEADLINE, "who scans is banned", || scanners().iter().any(|who| who == WORSE[0]));
    assert_eq!(scanners(), [WORSE[0]], "and nobody else");
}

/// What is said in a call is answered, and not its opening alone. One that was under way when a ban's host was cut
/// off is made again.
#[track_caller]
fn a_call_goes_on(lab: &Lab, calls: &[Attempt<'_>]) {
    wait_until(DEADLINE, "calls go on", || Flows::open(Some(&lab.wan), calls).try_go_on());
}

#[test]
fn the_banned_and_strangers_come_to_the_pots_in_whatever_order_the_tables_are_loaded() {
    let (lab, daemon, _pot) = yard(Wrapping::Fw4, "");
    let calls = [at(BAD, FOUND_AT), at(GOOD, FOUND_AT)].concat();
    nft_load(SENTINEL);
    nft_load(LETS_IN);
    expect_all(Some(&lab.wan), &calls, "open");
    // Between a load of fw4 and the end of Turris' script nothing lets in; the redirection is there.
    lab.load(&daemon, Wrapping::Fw4);
    expect_all(Some(&lab.wan), &calls, "refused");
    nft_load(LETS_IN);
    // Their nat chain is registered last.
    nft_load(SENTINEL);
    expect_all(Some(&lab.wan), &calls, "open");
    // Theirs may come behind ours, should a later program put its own first as we do.
    lab.load(&daemon, Wrapping::Fw4);
    nft_load(&LETS_IN.replace("insert", "add").replace("input_wan", "input"));
    nft_load("insert rule inet fw4 reject_from_wan meta mark 0x72 return");
    nft_load("insert rule inet fw4 handle_reject meta mark 0x72 accept");
    expect_all(Some(&lab.wan), &calls, "open");
    expect_all(Some(&lab.wan), &at(BAD, ECHO), "silence");
    only_a_scanner_is_banned(&lab);
}

/// `diswall_cut` and the redirection are nat chains at the same priority: what was ended stays so, and a pot still
/// answers, whichever was registered last.
#[test]
fn what_a_ban_ended_stays_ended_beside_the_redirection() {
    for cut_is_last in [false, true] {
        let (lab, daemon, _pot) = yard(Wrapping::Fw4, "");
        nft_load(SENTINEL);
        if cut_is_last {
            for chain in ["diswall_cut", "diswall_cut_own"] {
                nft(&["delete", "chain", "inet", "fw4", chain]);
            }
            lab.load(&daemon, Wrapping::Fw4);
        }
        nft_load(LETS_IN);
        let mut ticking = Flows::open(Some(&lab.wan), &at(WORSE, crate::packets::TALK));
        daemon.cli(&[&["block", "--timeout", "1h"], &WORSE[..]].concat());
        Flows::are_severed([&mut ticking], "beside the redirection");
        expect_all(Some(&lab.wan), &at(WORSE, FOUND_AT), "open");
    }
}

#[test]
fn every_packet_of_a_call_comes_through_where_every_packet_is_looked_at() {
    for direction in ["src", "src-dst"] {
        let main = format!("\toption states 'all'\n\toption direction '{direction}'");
        let (lab, _daemon, _pot) = yard(Wrapping::Fw4, &main);
        nft_load(SENTINEL);
        nft_load(LETS_IN);
        expect_all(Some(&lab.wan), &at(BAD, ECHO), "silence");
        a_call_goes_on(&lab, &at(BAD, FOUND_AT));
        only_a_scanner_is_banned(&lab);
    }
}

#[test]
fn the_former_mark_opens_a_pot_and_nothing_else() {
    for states in ["new", "all"] {
        let (lab, _daemon, _pot) = yard(Wrapping::Standalone, &format!("\toption states '{states}'"));
        nft_load(FORMER);
        // Marked and not redirected, redirected and not marked, and plain.
        expect_all(Some(&lab.wan), &[at(BAD, 25), at(BAD, 2323), at(BAD, ECHO)].concat(), "silence");
        // A bit that another program sets is not enough.
        nft_load("insert rule inet former mangle tcp dport 2323 meta mark set 0x30");
        expect_all(Some(&lab.wan), &at(BAD, 2323), "silence");
        a_call_goes_on(&lab, &[at(BAD, FOUND_AT), at(GOOD, FOUND_AT)].concat());
        only_a_scanner_is_banned(&lab);
    }
}
