//! What a lone packet may not do: packets in the name of others, late answers, tries at the sibling of a
//! served port, and the link's own protocols, sent to the real rules and the real daemon.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::packets::{self, BAD, GOOD, Lab, Wrapping};
use crate::support::flow::{Attempt, echo, expect_all, open_flow};
use crate::support::{Daemon, Netns, Peer, Proc, nft_load, nft_set_elements, run, wait_until};

const DEADLINE: Duration = Duration::from_secs(20);
const ROUTER: &str = "192.0.2.1";
const LAN: &str = "192.168.1.2";
const SERVER: &str = "203.0.113.10";

/// A LAN behind masquerading, the router, and machines outside.
struct Town {
    wan: Peer,
    lan: Peer,
    daemon: Daemon,
    _netns: Netns,
}

impl Town {
    fn build(main: &str) -> Town {
        let netns = Netns::enter();
        let wan = Peer::join("wan", "192.0.2.1/30", "192.0.2.2/30");
        let lan = Peer::join("lan", "192.168.1.1/24", "192.168.1.2/24");
        run("ip", &["route", "add", "default", "via", "192.0.2.2"]);
        wan.run("ip", &["route", "add", "local", "203.0.113.0/24", "dev", "lo"]);
        run("sysctl", &["-qw", "net.ipv4.ip_forward=1"]);
        nft_load(
            "table ip home { chain out { type nat hook postrouting priority srcnat; oifname wan masquerade; };
             chain in { type nat hook prerouting priority dstnat; iifname wan tcp dport 8443 dnat to 192.168.1.2:443; }; }",
        );
        let main = format!("\toption local_only '1'\n\tlist device 'wan'\n{main}");
        let daemon = Daemon::start(&main, "config scan 'scan'\n\tlist ban_time '20m'\n");
        wait_until(DEADLINE, "the eyes are open", || daemon.status()["scan"]["state"] == "on");
        Town { wan, lan, daemon, _netns: netns }
    }

    fn is_banned(&self, address: &str) -> bool {
        self.daemon.exit(&["check", address]).0 == Some(0)
    }

    /// A packet that must ban, from somebody nobody knows: what came before it has been judged when it has been.
    #[track_caller]
    fn a_stranger_is_banned(&self, address: &str) {
        self.forge(address, 23, 1);
        wait_until(DEADLINE, "the stranger's ban", || self.is_banned(address));
    }

    /// SYNs to a port in somebody's name.
    fn forge(&self, source: &str, port: u16, count: u32) {
        let (count, port) = (count.to_string(), port.to_string());
        let _ =
            self.wan.try_run("hping3", &["-q", "-c", &count, "-i", "u2000", "-a", source, "-S", "-p", &port, ROUTER]);
    }

    fn datagram(&self, source: &str, from_port: u16, port: u16) {
        let program = "import socket, sys\n\
                       s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], int(sys.argv[2])))\n\
                       s.sendto(b'late', ('192.0.2.1', int(sys.argv[3])))\n";
        self.wan.run("/usr/bin/python3", &["-c", program, source, &from_port.to_string(), &port.to_string()]);
    }
}

fn tcp<'a>(source: &'a str, server: &'a str, port: u16) -> Attempt<'a> {
    Attempt { kind: "tcp", source, server, port }
}

#[test]
fn a_forged_packet_cuts_nobody_off_who_is_in_use() {
    for main in ["", "\toption direction 'src-dst'\n", "\toption states 'all'\n\toption action 'reject'\n"] {
        let town = Town::build(main);
        let _server = echo(Some(&town.wan), 7, &[SERVER]);
        let mut flows = [open_flow(Some(&town.lan), tcp(LAN, SERVER, 7)), open_flow(None, tcp("0.0.0.0", SERVER, 7))];
        town.forge(SERVER, 23, 5);
        let forged = Instant::now();
        wait_until(DEADLINE, "the kernel's own ban is taken back", || {
            !nft_set_elements("diswall_scan4").contains_key(SERVER)
        });
        println!("{main:?}: the kernel's element was gone {} ms after the packets", forged.elapsed().as_millis());
        town.a_stranger_is_banned("203.0.113.99");
        assert!(!town.is_banned(SERVER), "{main:?}");
        for flow in &mut flows {
            flow.send("still");
            assert_eq!(flow.line(DEADLINE), "still", "{main:?}");
        }
        expect_all(Some(&town.lan), &[tcp(LAN, SERVER, 7)], "open");
        let status = town.daemon.status();
        assert_eq!(status["scan"]["bans_hour"], 1, "{status}");
    }
}

/// The kernel alone cannot tell who is in use: what it says while nobody looks is over in a moment.
#[test]
fn a_packet_forged_while_the_daemon_is_away_holds_nobody() {
    let mut town = Town::build("\toption direction 'src-dst'\n");
    let _server = echo(Some(&town.wan), 7, &[SERVER]);
    town.a_stranger_is_banned("203.0.113.98");
    let mut flow = open_flow(Some(&town.lan), tcp(LAN, SERVER, 7));
    town.daemon.stop(DEADLINE);
    town.forge(SERVER, 23, 1);
    let elements = nft_set_elements("diswall_scan4");
    assert!(elements.contains_key(SERVER) && elements.contains_key("203.0.113.98"), "{elements:?}");
    town.daemon.run();
    assert!(!town.is_banned(SERVER) && town.is_banned("203.0.113.98"), "{}", town.daemon.cli(&["list"]));
    wait_until(DEADLINE, "the kernel's own ban is gone", || !nft_set_elements("diswall_scan4").contains_key(SERVER));
    flow.send("still");
    assert_eq!(flow.line(DEADLINE), "still");
    expect_all(Some(&town.lan), &[tcp(LAN, SERVER, 7)], "open");
}

#[test]
fn siblings_of_served_ports_and_ports_of_a_moment_ago_are_no_honeypots() {
    let town = Town::build("");
    let server = echo(None, 443, &["0.0.0.0"]);
    let _forwarded = echo(Some(&town.lan), 443, &[LAN]);
    // Nobody has called yet: the socket alone tells. `echo` serves UDP as well, so that is another port's.
    let _web = Proc::spawn(Command::new("/usr/bin/python3").args([
        "-c",
        "import socket\ns = socket.create_server(('0.0.0.0', 80))\nprint('ready', flush=True)\nwhile True: s.accept()[0].close()",
    ]));
    _web.line_with("ready", DEADLINE);
    town.datagram("203.0.113.20", 4000, 80);
    // A port forward, once somebody has called it.
    expect_all(Some(&town.wan), &[tcp("203.0.113.21", ROUTER, 8443)], "open");
    town.datagram("203.0.113.21", 4000, 8443);
    // A service that restarts.
    expect_all(Some(&town.wan), &[tcp("203.0.113.22", ROUTER, 443)], "open");
    drop(server);
    wait_until(DEADLINE, "the service is away", || !run("ss", &["-ltnH"]).contains(":443"));
    expect_all(Some(&town.wan), &[tcp("203.0.113.23", ROUTER, 443)], "refused");
    town.a_stranger_is_banned("203.0.113.99");
    for visitor in ["203.0.113.20", "203.0.113.21", "203.0.113.22", "203.0.113.23"] {
        assert!(!town.is_banned(visitor), "{visitor}: {}", town.daemon.cli(&["list"]));
    }
    assert_eq!(nft_set_elements("diswall_scan4").len(), 1);
}

/// Whoever shares files tells its port to others, and not all of them come by UDP.
#[test]
fn peers_of_a_program_that_shares_files_are_no_scanners() {
    let town = Town::build("");
    let announce = |port: u16| {
        let program = "import socket, sys\n\
                       s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('192.168.1.2', int(sys.argv[1])))\n\
                       s.sendto(b'here', ('203.0.113.10', 6881))\n";
        town.lan.run("/usr/bin/python3", &["-c", program, &port.to_string()]);
    };
    for port in [6881, 1000] {
        announce(port);
    }
    town.datagram("203.0.113.40", 6881, 6881);
    expect_all(Some(&town.wan), &[tcp("203.0.113.41", ROUTER, 6881)], "refused");
    // A low port stays a honeypot, whoever sends from there.
    expect_all(Some(&town.wan), &[tcp("203.0.113.42", ROUTER, 1000)], "refused");
    town.a_stranger_is_banned("203.0.113.99");
    let banned = ["203.0.113.40", "203.0.113.41", "203.0.113.42"].map(|peer| town.is_banned(peer));
    assert_eq!(banned, [false, false, true], "{}", town.daemon.cli(&["list"]));
}

/// What miniupnpd opens it closes again when the program inside ends; and as it is not in fw4's own text, a reload closes
/// it until miniupnpd comes again.
#[test]
fn ports_that_were_open_before_the_firewalls_rules_changed_are_no_honeypots() {
    for reload in [true, false] {
        let lab = Lab::build();
        let mut daemon = Daemon::prepare("\toption local_only '1'\n", "");
        lab.load(&daemon, Wrapping::Fw4);
        daemon.run();
        wait_until(DEADLINE, "the eyes are open", || daemon.status()["scan"]["state"] == "on");
        let visit = |source, port, wanted| expect_all(Some(&lab.wan), &[tcp(source, packets::ROUTER[0], port)], wanted);
        let is_banned = |address: &str| daemon.exit(&["check", address]).0 == Some(0);
        visit(GOOD[0], 2207, "open");
        // Brings a look at the connections about.
        visit(BAD[0], 23, "refused");
        wait_until(DEADLINE, "the stranger's ban", || is_banned(BAD[0]));
        if reload {
            lab.load(&daemon, Wrapping::Fw4);
        }
        run("nft", &["flush", "chain", "inet", "fw4", "dstnat"]);
        visit(packets::WORSE[0], 2207, "refused");
        run("conntrack", &["-F"]);
        // A look at the connections is good for half a second.
        std::thread::sleep(Duration::from_secs(1));
        visit(GOOD[0], 2300, "refused");
        wait_until(DEADLINE, "a port that nobody has served", || is_banned(GOOD[0]));
        assert!(!is_banned(packets::WORSE[0]), "{reload}: {}", daemon.cli(&["list"]));
    }
}

#[test]
fn late_answers_and_the_links_own_protocols_are_no_scan() {
    let town = Town::build("");
    // A flow that lasts: seen by a look at the table, which any offence brings about.
    let _server = echo(Some(&town.wan), 500, &[SERVER]);
    let mut flow = open_flow(Some(&town.lan), Attempt { kind: "udp", source: LAN, server: SERVER, port: 500 });
    wait_until(DEADLINE, "the flow is assured", || {
        flow.send("more");
        flow.line(DEADLINE);
        run("conntrack", &["-L", "-p", "udp", "--orig-dst", SERVER]).contains("ASSURED")
    });
    town.a_stranger_is_banned("203.0.113.98");
    run("conntrack", &["-F"]);
    run("nft", &["flush", "set", "inet", "fw4", "diswall_expected"]);
    // To a honeypot: the far end of a flow that lasted may come from where it was called alone.
    town.wan.run("/usr/bin/python3", &[
        "-c",
        "import socket\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
         r = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP); r.bind(('203.0.113.10', 0))\n\
         import struct\n\
         r.sendto(struct.pack('!HHHH', 500, 500, 12, 0) + b'late', ('192.0.2.1', 0))\n",
    ]);
    // A port of the router's own flows.
    town.datagram("203.0.113.30", 4000, 40_000);
    const LINK: [(&str, u16, u16); 7] = [
        ("203.0.113.31", 67, 68),
        ("203.0.113.32", 68, 67),
        ("203.0.113.33", 137, 137),
        ("203.0.113.34", 5353, 5353),
        ("203.0.113.35", 1900, 1900),
        ("203.0.113.36", 3702, 3702),
        ("203.0.113.37", 5355, 5355),
    ];
    for (source, from, to) in LINK {
        town.datagram(source, from, to);
    }
    town.a_stranger_is_banned("203.0.113.99");
    for harmless in [SERVER, "203.0.113.30"].into_iter().chain(LINK.map(|(source, ..)| source)) {
        assert!(!town.is_banned(harmless), "{harmless}: {}", town.daemon.cli(&["list"]));
    }
}
