//! Ending the connections of banned hosts: real flows between three namespaces, the machine in the middle
//! being the router, with `conntrack` as the judge of what is left.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use diswall::config::Settings;
use diswall::firewall::{Conntrack, Firewall, Flow, Kicked, Names, Sweep, Whose, rules};
use diswall::model::Source;

use crate::support::flow::{Attempt, begin_flow, echo, open_flow};
use crate::support::{Netns, Peer, Proc, nft, nft_load, run, wait_until};

const DEADLINE: Duration = Duration::from_secs(20);

/// The router (this thread), a host outside with a good and a bad address, a server inside.
struct Network {
    wan: Peer,
    lan: Peer,
    _echo: Proc,
    _netns: Netns,
}

const BAD: [&str; 2] = ["203.0.113.66", "2001:db8:bad::66"];
const GOOD: [&str; 2] = ["203.0.113.2", "2001:db8:bad::2"];
const INSIDE: [&str; 2] = ["192.168.1.2", "2001:db8:1::2"];

impl Network {
    fn build() -> Network {
        let netns = Netns::enter();
        let wan = Peer::join("wan", "203.0.113.1/24", "203.0.113.2/24");
        let lan = Peer::join("lan", "192.168.1.1/24", "192.168.1.2/24");
        run("ip", &["address", "add", "2001:db8:bad::1/64", "dev", "wan", "nodad"]);
        run("ip", &["address", "add", "2001:db8:1::1/64", "dev", "lan", "nodad"]);
        wan.address("2001:db8:bad::2/64");
        wan.address("2001:db8:bad::66/64");
        wan.address("203.0.113.66/24");
        lan.address("2001:db8:1::2/64");
        wan.run("ip", &["route", "add", "default", "via", "2001:db8:bad::1"]);
        lan.run("ip", &["route", "add", "default", "via", "2001:db8:1::1"]);
        run("sysctl", &["-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
        // Connection tracking starts with the first rule that asks for it.
        nft_load(
            "table inet t { chain f { type filter hook forward priority 0; ct state new counter; };
             chain i { type filter hook input priority 0; ct state new counter; }; }",
        );
        let echo = echo(Some(&lan), 7, &INSIDE);
        Network { wan, lan, _echo: echo, _netns: netns }
    }

    /// An open flow from outside.
    fn flow<'a>(&self, kind: &'a str, source: &'a str, server: &'a str, port: u16) -> Proc {
        open_flow(Some(&self.wan), Attempt { kind, source, server, port })
    }
}

fn ended(flows: usize, sockets: usize) -> Kicked {
    Kicked { flows, sockets }
}

/// Ends connections of these addresses; what there was to remember beside it.
fn kick(conntrack: &mut Conntrack, addresses: &[IpAddr], whose: Whose) -> (Kicked, Vec<Flow>) {
    let mut flows = Vec::new();
    let kicked = conntrack.kick(addresses, whose, &mut |some| flows.extend_from_slice(some)).unwrap();
    (kicked, flows)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// How many entries the kernel has with this address as the source, of the first packet or of the reply.
fn entries(address: &str) -> usize {
    let family = if address.contains(':') { "ipv6" } else { "ipv4" };
    let count = |side| run("conntrack", &["-L", "-f", family, side, address]).lines().filter(|l| !l.is_empty()).count();
    count("--orig-src") + count("--reply-src")
}

#[test]
fn flows_of_a_banned_address_end_and_no_others() {
    // The kernel looks for the addresses, or hands over its whole table.
    for buckets in [0, usize::MAX] {
        only_a_banned_addresss_flows_end(buckets);
    }
}

fn only_a_banned_addresss_flows_end(buckets: usize) {
    let network = Network::build();
    let mut bad = Vec::new();
    let mut good = Vec::new();
    for ((bad_source, good_source), server) in BAD.into_iter().zip(GOOD).zip(INSIDE) {
        for kind in ["tcp", "udp"] {
            bad.push(network.flow(kind, bad_source, server, 7));
            good.push(network.flow(kind, good_source, server, 7));
        }
    }
    let mut conntrack = Conntrack::with_buckets(buckets).unwrap();
    for (kicks, source) in BAD.into_iter().enumerate() {
        assert_eq!(entries(source), 2);
        let (kicked, mut flows) = kick(&mut conntrack, &[address(source)], Whose::Opened);
        assert_eq!(kicked, ended(2, 0));
        flows.sort_unstable();
        assert_eq!(flows.iter().map(|flow| flow.protocol).collect::<Vec<_>>(), [6, 17]);
        for flow in flows {
            assert_eq!(flow.inside, SocketAddr::new(address(INSIDE[kicks]), 7));
            assert_eq!(flow.outside.ip(), address(source));
        }
        assert_eq!(entries(source), 0, "after kick {kicks}");
        assert_eq!(kick(&mut conntrack, &[address(source)], Whose::All), (Kicked::default(), Vec::new()));
    }
    for source in GOOD {
        assert_eq!(entries(source), 2);
    }
    for flow in &mut good {
        flow.send("still");
        assert_eq!(flow.line(DEADLINE), "still");
    }
}

#[test]
fn connections_to_a_banned_address_end_where_all_are_to() {
    let network = Network::build();
    let _outside = echo(Some(&network.wan), 7, &BAD);
    let _flows: Vec<Proc> = BAD
        .into_iter()
        .zip(INSIDE)
        .flat_map(|(server, source)| {
            ["tcp", "udp"].map(|kind| open_flow(Some(&network.lan), Attempt { kind, source, server, port: 7 }))
        })
        .collect();
    let banned: Vec<IpAddr> = BAD.map(address).to_vec();
    for buckets in [0, usize::MAX] {
        let mut conntrack = Conntrack::with_buckets(buckets).unwrap();
        assert_eq!(kick(&mut conntrack, &banned, Whose::Opened), (Kicked::default(), Vec::new()));
        assert_eq!((entries(BAD[0]), entries(BAD[1])), (2, 2));
    }
    // Opened from the inside: nothing to remember.
    assert_eq!(kick(&mut Conntrack::open().unwrap(), &banned, Whose::All), (ended(4, 0), Vec::new()));
    assert_eq!((entries(BAD[0]), entries(BAD[1])), (0, 0));
}

#[test]
fn one_look_at_the_table_ends_whatever_the_predicate_names() {
    let network = Network::build();
    let _bad: Vec<Proc> = (0..5).map(|_| network.flow("tcp", BAD[0], INSIDE[0], 7)).collect();
    let _good = network.flow("tcp", GOOD[0], INSIDE[0], 7);
    let mut conntrack = Conntrack::open().unwrap();
    let kicked = conntrack.kick_matching(&|host| host == address(BAD[0]), Whose::Opened, &mut |_| {}).unwrap();
    assert_eq!(kicked, ended(5, 0));
    // As many addresses as make `kick` look at everything.
    let many: Vec<IpAddr> = (2..40).map(|last| address(&format!("203.0.113.{last}"))).collect();
    assert_eq!(kick(&mut conntrack, &many, Whose::All).0, ended(1, 0));
    assert_eq!(kick(&mut conntrack, &[], Whose::All).0, Kicked::default());
}

#[test]
fn a_look_in_parts_ends_what_one_look_does_and_lets_others_have_a_turn() {
    let network = Network::build();
    // 3,000 flows, of which every hundredth is of a banned host.
    let open = "import socket, sys\n\
                for n in range(3000):\n    \
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\n        \
                s.bind((sys.argv[1 if n % 100 == 0 else 2], 20000 + n)); s.sendto(b'x', (sys.argv[3], 9))";
    network.wan.run("/usr/bin/python3", &["-c", open, BAD[0], GOOD[0], INSIDE[0]]);
    let mut conntrack = Conntrack::open().unwrap();
    let mut sweep = Sweep::new(Whose::Opened);
    let (mut parts, mut count, mut remembered) = (0, 0, 0);
    while !sweep.is_over() {
        let banned = |host| host == address(BAD[0]);
        count += conntrack.sweep(&mut sweep, 500, &banned, &mut |flows| remembered += flows.len()).unwrap().flows;
        parts += 1;
    }
    assert_eq!((count, remembered, entries(BAD[0])), (30, 30, 0));
    assert!((4..=7).contains(&parts), "{parts} parts of some 500 of 3,000");
    // And the next look begins anew.
    assert_eq!(kick(&mut conntrack, &[address(GOOD[0])], Whose::All).0, ended(2970, 0));
}

#[test]
fn the_routers_own_sockets_are_reset() {
    let network = Network::build();
    // A wildcard IPv6 listener: its IPv4 connections are IPv4-mapped.
    let listener = TcpListener::bind("[::]:2222").unwrap();
    let accept = |source: &str, server: &str| -> (Proc, TcpStream) {
        let client = begin_flow(Some(&network.wan), Attempt { kind: "tcp", source, server, port: 2222 });
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(&hello).unwrap();
        client.line_with("open", DEADLINE);
        (client, stream)
    };
    let (_bad4, mut bad4) = accept(BAD[0], "203.0.113.1");
    let (_bad6, mut bad6) = accept(BAD[1], "2001:db8:bad::1");
    let (mut good_client, mut good) = accept(GOOD[0], "203.0.113.1");
    // And one that the router itself opened.
    let _outside = echo(Some(&network.wan), 7, &BAD[..1]);
    let mut own = TcpStream::connect((BAD[0], 7)).unwrap();
    own.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut conntrack = Conntrack::open().unwrap();
    let (kicked, _) = kick(&mut conntrack, &BAD.map(address), Whose::Opened);
    assert_eq!(kicked, ended(2, 2));
    own.write_all(b"still").unwrap();
    own.read_exact(&mut [0; 5]).unwrap();
    let (kicked, _) = kick(&mut conntrack, &BAD.map(address), Whose::All);
    assert_eq!(kicked.sockets, 1);
    wait_until(DEADLINE, "no entries are left", || entries(BAD[0]) + entries(BAD[1]) == 0);
    for stream in [&mut bad4, &mut bad6] {
        let error = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted, "{error}");
    }
    good_client.send("still");
    let mut line = [0; 6];
    good.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"still\n");
}

#[test]
fn what_is_remembered_is_told_apart_by_its_outside() {
    let network = Network::build();
    nft_load(&rules::standalone(&Settings::default()));
    let mut flows: Vec<Proc> = BAD
        .into_iter()
        .zip(INSIDE)
        .flat_map(|(source, server)| ["tcp", "udp"].map(|kind| network.flow(kind, source, server, 7)))
        .collect();
    let names = Names { table: "fw4".into(), prefix: "diswall".into(), sources: Source::BUILT_IN.to_vec() };
    for destroys in [true, false] {
        let mut firewall = Firewall::open(names.clone(), 1000).unwrap();
        if !destroys {
            firewall.avoid_destroy();
        }
        let mut conntrack = Conntrack::open().unwrap();
        let cut = &mut |some: &[Flow]| firewall.cut(some).unwrap();
        let kicked = conntrack.kick(&BAD.map(address), Whose::Opened, cut).unwrap();
        assert_eq!(kicked, ended(4, 0));
        let of = |family: char| {
            nft(&["list", "set", "inet", "fw4", &format!("diswall_severed{family}")]).matches("expires").count()
        };
        assert_eq!((of('4'), of('6')), (2, 2));
        assert_eq!(firewall.forget(&|outside| outside == address(BAD[0])).unwrap(), 2);
        assert_eq!((of('4'), of('6')), (0, 2));
        assert_eq!(firewall.forget(&|_| true).unwrap(), 0);
        assert_eq!((of('4'), of('6')), (0, 0));
        // Nobody is banned: they come back.
        for flow in &mut flows {
            flow.send("still");
            assert_eq!(flow.line(DEADLINE), "still");
        }
    }
}
