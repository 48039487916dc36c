//! The kernel's proof that an address talked to a service: real connections, half-open and forged ones.

use std::net::IpAddr;
use std::time::Duration;

use diswall::firewall::{Claim, Picture, Proof, Witness};

use crate::support::flow::{Attempt, echo, open_flow};
use crate::support::{Netns, Peer, Proc, nft_load, run, wait_until};

const DEADLINE: Duration = Duration::from_secs(20);

/// The router with a served port 22 of its own, one that is forwarded (2222, to the LAN's 22; IPv6 goes straight
/// there), and a machine outside with many addresses.
struct Town {
    wan: Peer,
    _servers: [Proc; 2],
    _lan: Peer,
    _netns: Netns,
}

impl Town {
    fn build() -> Town {
        let netns = Netns::enter();
        let wan = Peer::join("wan", "192.0.2.1/30", "192.0.2.2/30");
        let lan = Peer::join("lan", "192.168.1.1/24", "192.168.1.2/24");
        run("ip", &["address", "add", "2001:db8:0:1::1/64", "dev", "wan", "nodad"]);
        wan.address("2001:db8:0:1::2/64");
        wan.address("2001:db8:0:1::3/64");
        run("ip", &["address", "add", "2001:db8:0:2::1/64", "dev", "lan", "nodad"]);
        lan.address("2001:db8:0:2::2/64");
        wan.run("ip", &["route", "add", "2001:db8:0:2::/64", "via", "2001:db8:0:1::1"]);
        lan.run("ip", &["route", "add", "2001:db8:0:1::/64", "via", "2001:db8:0:2::1"]);
        run("ip", &["route", "add", "203.0.113.0/24", "via", "192.0.2.2"]);
        wan.run("ip", &["route", "add", "local", "203.0.113.0/24", "dev", "lo"]);
        run("sysctl", &["-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
        nft_load(
            "table inet t {
             chain d { type nat hook prerouting priority -100; iifname wan tcp dport 2222 dnat ip to 192.168.1.2:22; }
             chain i { type filter hook input priority 0; ct state new counter; }; }",
        );
        let servers = [
            echo(None, 22, &["0.0.0.0", "2001:db8:0:1::1"]),
            echo(Some(&lan), 22, &["192.168.1.2", "2001:db8:0:2::2"]),
        ];
        Town { wan, _servers: servers, _lan: lan, _netns: netns }
    }

    fn flow(&self, kind: &str, source: &str, server: &str, port: u16) -> Proc {
        open_flow(Some(&self.wan), Attempt { kind, source, server, port })
    }
}

fn claim<'a>(address: &str, ports: &'a [u16]) -> Claim<'a> {
    Claim { address: address.parse::<IpAddr>().unwrap(), client_port: None, ports, tcp: true, udp: false }
}

/// A new witness each time, which remembers nothing.
fn saw(claim: &Claim<'_>) -> Proof {
    Witness::new().saw(0, claim)
}

/// The client's port of the only connection from that address.
fn client_port(address: &str) -> u16 {
    let family = if address.contains(':') { "ipv6" } else { "ipv4" };
    let list = run("conntrack", &["-L", "-f", family, "--orig-src", address]);
    let port = list.split("sport=").nth(1).and_then(|rest| rest.split(' ').next());
    port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{list}"))
}

#[test]
fn who_talked_is_told_from_who_did_not() {
    let town = Town::build();
    let _own = town.flow("tcp", "203.0.113.1", "192.0.2.1", 22);
    let _forwarded = town.flow("tcp", "203.0.113.2", "192.0.2.1", 2222);
    let _six = town.flow("tcp", "2001:db8:0:1::2", "2001:db8:0:1::1", 22);
    let _udp = town.flow("udp", "203.0.113.3", "192.0.2.1", 22);
    for address in ["203.0.113.1", "::ffff:203.0.113.1", "203.0.113.2", "2001:db8:0:1::2"] {
        assert_eq!(saw(&claim(address, &[22])), Proof::Yes, "{address}");
        assert_eq!(saw(&claim(address, &[])), Proof::Yes, "{address} at any port");
        assert_eq!(saw(&claim(address, &[25, 587])), Proof::No, "{address} at another service");
    }
    assert_eq!(saw(&claim("203.0.113.2", &[2222])), Proof::Yes, "the forward's own port");
    assert_eq!(saw(&claim("203.0.113.9", &[22])), Proof::No, "a stranger");
    assert_eq!(saw(&claim("203.0.113.3", &[22])), Proof::No, "UDP is no TCP");
    assert_eq!(saw(&Claim { udp: true, ..claim("203.0.113.3", &[22]) }), Proof::Yes);
    for address in ["203.0.113.1", "203.0.113.2"] {
        let port = client_port(address);
        assert_eq!(saw(&Claim { client_port: Some(port), ..claim(address, &[22]) }), Proof::Yes);
        assert_eq!(saw(&Claim { client_port: Some(port ^ 1), ..claim(address, &[22]) }), Proof::No);
    }
}

#[test]
fn an_ipv6_flow_through_the_router_is_known_from_others() {
    let town = Town::build();
    let (caller, other) = ("2001:db8:0:1::2", "2001:db8:0:1::3");
    let _tcp = town.flow("tcp", caller, "2001:db8:0:2::2", 22);
    let _udp = town.flow("udp", other, "2001:db8:0:2::2", 22);
    let udp = |address| Claim { tcp: false, udp: true, ..claim(address, &[22]) };
    assert_eq!(saw(&claim(caller, &[22])), Proof::Yes);
    assert_eq!(saw(&claim(caller, &[25])), Proof::No, "another service");
    assert_eq!(saw(&udp(other)), Proof::Yes);
    assert_eq!(saw(&claim(other, &[22])), Proof::No, "UDP is no TCP");
    assert_eq!(saw(&udp(caller)), Proof::No, "TCP is no UDP");
    for stranger in ["2001:db8:0:1::9", "2001:db8:0:2::2"] {
        assert_eq!(saw(&claim(stranger, &[22])), Proof::No, "{stranger}");
    }
    let port = client_port(caller);
    assert_eq!(saw(&Claim { client_port: Some(port), ..claim(caller, &[22]) }), Proof::Yes);
    assert_eq!(saw(&Claim { client_port: Some(port ^ 1), ..claim(caller, &[22]) }), Proof::No);
}

#[test]
fn a_connection_that_has_ended_is_known_for_a_while() {
    let town = Town::build();
    for (address, port) in [("203.0.113.1", 22), ("203.0.113.2", 2222)] {
        let flow = town.flow("tcp", address, "192.0.2.1", port);
        drop(flow);
        // The server lets go of one connection when it takes the next.
        let _next = town.flow("tcp", "203.0.113.7", "192.0.2.1", port);
        wait_until(DEADLINE, "the connection ends", || !run("ss", &["-Htn"]).contains(address));
        assert_eq!(saw(&claim(address, &[port])), Proof::Yes, "{address}");
    }
}

#[test]
fn forged_packets_are_no_proof() {
    let town = Town::build();
    let hping = |source: &str, port: &str, flags: &[&str]| {
        let common = ["-q", "-c", "2", "-i", "u1000", "-a", source, "-p", port];
        let _ = town.wan.try_run("hping3", &[&common[..], flags, &["192.0.2.1"]].concat());
    };
    // Who is named does not answer (198.51.100.0/24 is not there), or resets what he knows nothing of.
    run("ip", &["route", "add", "198.51.100.0/24", "via", "192.0.2.2"]);
    for (source, flags) in [
        ("198.51.100.1", &["-S"][..]),
        ("198.51.100.2", &["-A"]),
        ("198.51.100.3", &["-F", "-A"]),
        ("203.0.113.4", &["-S"]),
        ("203.0.113.5", &["-A"]),
    ] {
        for port in ["22", "2222"] {
            hping(source, port, flags);
        }
        assert_eq!(saw(&claim(source, &[22])), Proof::No, "{flags:?} from {source}");
    }
    // A handshake in the table alone, as kernels without a check of sequence numbers believe it.
    run("sysctl", &["-qw", "net.netfilter.nf_conntrack_tcp_be_liberal=1", "net.netfilter.nf_conntrack_acct=1"]);
    for port in ["22", "2222"] {
        for flags in ["-S", "-A"] {
            hping("198.51.100.6", port, &[flags, "-s", "4000", "-k", "-M", "77", "-L", "99"]);
        }
    }
    assert_eq!(saw(&claim("198.51.100.6", &[22])), Proof::No, "{}", run("conntrack", &["-L"]));
    let mut real = town.flow("tcp", "203.0.113.1", "192.0.2.1", 2222);
    let banner = "as long as any server's greeting ".repeat(3);
    real.send(&banner);
    assert_eq!(real.line(DEADLINE), banner);
    assert_eq!(saw(&claim("203.0.113.1", &[22])), Proof::Yes, "with counters");
}

#[test]
fn look_ups_are_bounded_and_a_yes_is_remembered() {
    let town = Town::build();
    let flow = town.flow("tcp", "203.0.113.1", "192.0.2.1", 22);
    let mut witness = Witness::new();
    assert_eq!(witness.saw(0, &claim("203.0.113.1", &[22])), Proof::Yes);
    drop(flow);
    run("conntrack", &["-F"]);
    assert_eq!(witness.saw(29, &claim("203.0.113.1", &[22])), Proof::Yes);
    assert_eq!(witness.saw(29, &claim("203.0.113.1", &[25])), Proof::No, "another service");
    let mut asked = 0;
    while witness.saw(40, &claim("203.0.113.9", &[22])) == Proof::No {
        asked += 1;
        assert!(asked < 1000, "not bounded");
    }
    assert_eq!(asked, 40);
    assert_eq!(witness.saw(42, &claim("203.0.113.9", &[22])), Proof::No, "a moment later");
}

#[test]
fn what_is_served_and_who_is_talked_to_is_known() {
    let town = Town::build();
    let mut witness = Witness::new();
    assert_eq!(witness.is_waited_at(6, &[22]), Some(true));
    assert_eq!(witness.is_waited_at(17, &[22]), Some(true));
    assert_eq!(witness.is_waited_at(6, &[23, 2222]), Some(false));
    let mut look = |inside: &dyn Fn(IpAddr) -> bool| witness.look(inside).unwrap();
    let ours = |address: IpAddr| address == IpAddr::from([192, 0, 2, 1]);
    assert!(!look(&ours).called.contains(&(6, 2222)));
    let _forwarded = town.flow("tcp", "203.0.113.2", "192.0.2.1", 2222);
    let picture = look(&ours);
    assert!(picture.called.contains(&(6, 2222)) && !picture.called.contains(&(17, 2222)), "{picture:?}");
    let talks = |picture: &Picture, text: &str| picture.talks_with(text.parse().unwrap());
    assert!(talks(&picture, "203.0.113.2"), "a visitor: {picture:?}");
    assert!(!talks(&picture, "203.0.113.8"), "{picture:?}");
    let by_the_inside_alone = look(&|_| true);
    assert!(by_the_inside_alone.called.is_empty() && !talks(&by_the_inside_alone, "203.0.113.2"));
    let _outside = echo(Some(&town.wan), 7, &["203.0.113.8", "203.0.113.9"]);
    let _out = open_flow(None, Attempt { kind: "tcp", source: "0.0.0.0", server: "203.0.113.8", port: 7 });
    assert!(talks(&look(&ours), "203.0.113.8"), "a server that the router calls");
    // A UDP flow is assured once it goes on for two seconds.
    let mut out = open_flow(None, Attempt { kind: "udp", source: "0.0.0.0", server: "203.0.113.9", port: 7 });
    wait_until(DEADLINE, "the flow is assured", || {
        out.send("more");
        out.line(DEADLINE);
        talks(&look(&ours), "203.0.113.9")
    });
    assert!(look(&ours).talked.contains(&"203.0.113.9:7".parse().unwrap()));
}
