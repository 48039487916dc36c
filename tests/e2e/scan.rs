//! The router's own eyes on real scans: the real daemon with its stand-alone rules on the router (this
//! thread's namespace), nmap, hping3 and harmless hosts outside.

use std::net::TcpListener;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::nats_server::{NatsServer, PORT, Service};
use crate::support::{Daemon, Netns, Peer, Proc, nft_set_elements, run, wait_for, wait_until};

const DEADLINE: Duration = Duration::from_secs(20);

/// The router's address outside, in both families.
const ROUTER: &str = "192.0.2.1";
const ROUTER6: &str = "2001:db8:0:1::1";

/// Twenty minutes, so that the daemon's bans differ from the kernel's of fifteen.
const SCAN: &str = "config scan 'scan'\n\tlist ban_time '20m'\n";

/// The router and a machine outside that has whole networks to send from.
struct Yard {
    wan: Peer,
    daemon: Daemon,
    _netns: Netns,
}

impl Yard {
    fn start(sections: &str) -> Yard {
        Yard::with("\toption local_only '1'", sections)
    }

    fn with(main: &str, sections: &str) -> Yard {
        let (netns, wan) = street();
        let daemon = Daemon::start(main, sections);
        wait_until(DEADLINE, "the eyes are open", || daemon.status()["scan"]["state"] == "on");
        Yard { wan, daemon, _netns: netns }
    }

    /// nmap from one of the outside addresses.
    fn nmap(&self, source: &str, arguments: &[&str]) -> String {
        let target = if source.contains(':') { ROUTER6 } else { ROUTER };
        let family: &[&str] = if source.contains(':') { &["-6"] } else { &[] };
        let common = ["-n", "-Pn", "--disable-arp-ping", "-S", source, "-e", "eth0", "--max-retries", "0"];
        self.wan.run("nmap", &[&common[..], family, arguments, &[target]].concat())
    }

    /// A Python program outside.
    fn python(&self, program: &str, arguments: &[&str]) -> String {
        self.wan.run("/usr/bin/python3", &[&["-c", program], arguments].concat())
    }

    /// What the daemon's ban of an address looks like.
    fn ban(&self, address: &str) -> Option<Value> {
        let (_, text) = self.daemon.exit(&["check", address, "--json"]);
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        answer["bans"].as_array().and_then(|bans| bans.iter().find(|ban| ban["source"] == "scan").cloned())
    }

    /// Waits until the address is banned in ledger and kernel, at the daemon's length.
    #[track_caller]
    fn is_banned(&self, address: &str, seconds: u64) -> Value {
        let set = if address.contains(':') { "diswall_scan6" } else { "diswall_scan4" };
        wait_until(DEADLINE, &format!("{address} is banned for {seconds} s"), || {
            nft_set_elements(set).get(address).is_some_and(|element| element.timeout == Some(seconds))
        });
        self.ban(address).unwrap_or_else(|| panic!("{address} is in the set but not in the ledger"))
    }

    /// Nobody is banned, neither by the daemon nor by the kernel, after everything sent has been seen.
    #[track_caller]
    fn nobody_is_banned(&self, what: &str) {
        // A last packet that must be seen: what came before it has been judged when it has been.
        self.nmap("203.0.113.250", &["-sS", "-p", "22"]);
        self.is_banned("203.0.113.250", 1200);
        self.daemon.cli(&["unblock", "203.0.113.250"]);
        for set in ["diswall_scan4", "diswall_scan6"] {
            let elements = nft_set_elements(set);
            assert!(elements.is_empty(), "{what}: {elements:?}");
        }
    }
}

/// The router's namespace, and outside a machine behind the link with 203.0.113.0/24, 198.18.0.0/15 and
/// 2001:db8:bad::/48.
fn street() -> (Netns, Peer) {
    let netns = Netns::enter();
    let wan = Peer::join("wan", "192.0.2.1/30", "192.0.2.2/30");
    run("ip", &["address", "add", "2001:db8:0:1::1/64", "dev", "wan", "nodad"]);
    wan.address("2001:db8:0:1::2/64");
    for network in ["203.0.113.0/24", "198.18.0.0/15"] {
        run("ip", &["route", "add", network, "via", "192.0.2.2"]);
        wan.run("ip", &["route", "add", "local", network, "dev", "lo"]);
    }
    run("ip", &["route", "add", "2001:db8:bad::/48", "via", "2001:db8:0:1::2"]);
    wan.run("ip", &["route", "add", "local", "2001:db8:bad::/48", "dev", "lo"]);
    wan.run("ip", &["route", "replace", "default", "via", ROUTER6]);
    (netns, wan)
}

#[test]
fn every_kind_of_scan_is_banned() {
    let yard = Yard::start(SCAN);
    let scans: [(&str, &[&str], &str, u64); 7] = [
        ("203.0.113.1", &["-sS", "-p", "22"], "tcp", 22),
        ("203.0.113.2", &["-sU", "-p", "161"], "udp", 161),
        ("203.0.113.3", &["-sF", "-p", "23"], "tcp", 23),
        ("203.0.113.4", &["-sN", "-p", "25"], "tcp", 25),
        ("203.0.113.5", &["-sX", "-p", "5555"], "tcp", 5555),
        ("2001:db8:bad::1", &["-sS", "-p", "3389"], "tcp", 3389),
        ("2001:db8:bad:2::2", &["-sU", "-p", "20000"], "udp", 20_000),
    ];
    for (source, arguments, protocol, port) in scans {
        yard.nmap(source, arguments);
        let ban = yard.is_banned(source, 1200);
        assert_eq!((&ban["reason"]["kind"], &ban["reason"]["protocol"]), (&"port".into(), &protocol.into()), "{ban}");
        assert_eq!((&ban["reason"]["port"], &ban["offences"]), (&port.into(), &1.into()), "{ban}");
    }
    let status = yard.daemon.status();
    assert_eq!(status["scan"]["bans_hour"], scans.len(), "{status}");
    assert_eq!(status["state"], "local");
}

#[test]
fn a_connect_scan_gets_one_answer_and_no_more() {
    let yard = Yard::start(SCAN);
    let answered = yard.python(
        "import socket, sys\n\
         answered = 0\n\
         for port in range(1, 60):\n\
         \ts = socket.socket(); s.settimeout(0.05); s.bind(('203.0.113.7', 0))\n\
         \ttry: s.connect(('192.0.2.1', port))\n\
         \texcept ConnectionRefusedError: answered += 1\n\
         \texcept OSError: pass\n\
         print(answered)\n",
        &[],
    );
    assert_eq!(answered.trim(), "1", "the kernel drops from the second packet on");
    yard.is_banned("203.0.113.7", 1200);
}

#[test]
fn high_ports_take_three_packets() {
    let yard = Yard::start(SCAN);
    for (count, port) in ["50000", "50001"].into_iter().enumerate() {
        yard.nmap("203.0.113.8", &["-sS", "-p", port]);
        wait_until(DEADLINE, "a suspect", || yard.daemon.status()["scan"]["suspects"] == 1);
        assert!(yard.ban("203.0.113.8").is_none(), "after {} packets", count + 1);
    }
    yard.nmap("203.0.113.8", &["-sS", "-p", "60000"]);
    yard.is_banned("203.0.113.8", 1200);
    assert_eq!(yard.daemon.status()["scan"]["suspects"], 0);
}

#[test]
fn a_slow_scan_is_banned_at_its_first_port() {
    let yard = Yard::start(SCAN);
    yard.nmap("203.0.113.9", &["-sS", "-T1", "-p", "2000,2001"]);
    let ban = yard.is_banned("203.0.113.9", 1200);
    assert_eq!(ban["offences"], 1, "{ban}");
}

#[test]
fn bans_grow_and_an_unban_lets_in() {
    let yard = Yard::start("config scan 'scan'\n\tlist ban_time '20m'\n\tlist ban_time '40m'\n\tlist ban_time '1h'\n");
    for (offences, seconds) in [(1, 1200), (2, 2400), (3, 3600), (4, 3600)] {
        yard.nmap("203.0.113.10", &["-sS", "-p", "22"]);
        let ban = yard.is_banned("203.0.113.10", seconds);
        assert_eq!(ban["offences"], offences);
        yard.daemon.cli(&["unblock", "203.0.113.10"]);
        assert!(!nft_set_elements("diswall_scan4").contains_key("203.0.113.10"));
    }
}

#[test]
fn who_finds_no_room_is_neither_said_nor_counted_and_does_not_climb() {
    let yard = Yard::with("\toption local_only '1'\n\toption max_entries '16'", SCAN);
    // The first at a port where the daemon alone bans, the last when they have filled the room.
    let probe = "import socket, sys\n\
                 for host in sys.argv[1:]:\n\
                 \ts = socket.socket(); s.setblocking(False); s.bind((host, 0)); s.connect_ex(('192.0.2.1', 2000))\n";
    let hosts: Vec<String> = (1..=30).map(|host| format!("203.0.113.{host}")).collect();
    let ask = |hosts: &[String]| yard.python(probe, &hosts.iter().map(String::as_str).collect::<Vec<_>>());
    let scan = || {
        let status = yard.daemon.status();
        let sources = status["sources"].as_array().expect("sources");
        let scan = sources.iter().find(|source| source["name"] == "scan").expect("scan").clone();
        (scan["v4"].as_u64(), scan["cut"].as_u64(), status["scan"]["bans_hour"].as_u64())
    };
    ask(&hosts);
    wait_until(DEADLINE, "all have been judged", || scan().1.is_some_and(|cut| cut + scan().0.unwrap_or(0) >= 30));
    let (held, cut, counted) = scan();
    assert!(held < Some(30) && cut > Some(0), "{held:?} {cut:?}");
    assert_eq!((held, counted), (counted, held), "{cut:?} cut");
    assert_eq!(nft_set_elements("diswall_scan4").len() as u64, held.unwrap_or(0));
    let said = |host: &str| yard.daemon.process().stderr().contains(&format!("{host} banned"));
    let without: Vec<&String> = hosts.iter().filter(|host| yard.ban(host).is_none()).collect();
    assert_eq!(without.len() as u64, 30 - held.unwrap_or(0));
    for host in &hosts {
        assert_eq!(said(host), !without.contains(&host), "{host}: {}", yard.daemon.process().stderr());
    }
    // With room again, his first ban is a first one.
    let late = without[0];
    for banned in hosts.iter().filter(|host| !without.contains(host)) {
        yard.daemon.cli(&["unblock", banned]);
    }
    wait_until(DEADLINE, "he is banned", || {
        ask(std::slice::from_ref(late));
        yard.ban(late).is_some()
    });
    assert_eq!(yard.is_banned(late, 1200)["offences"], 1);
}

#[test]
fn a_whole_64_is_banned_where_the_owner_wants_it() {
    let yard = Yard::start("config scan 'scan'\n\tlist ban_time '20m'\n\toption ipv6_prefix '64'\n");
    yard.nmap("2001:db8:bad:5::77", &["-sS", "-p", "22"]);
    wait_until(DEADLINE, "the network is banned", || {
        nft_set_elements("diswall_scan6").get("2001:db8:bad:5::").is_some_and(|e| e.timeout == Some(1200))
    });
    let ban = yard.ban("2001:db8:bad:5:1:2:3:4").expect("a neighbour is banned too");
    assert_eq!(ban["address"], "2001:db8:bad:5::/64");
    assert!(yard.ban("2001:db8:bad:6::1").is_none());
    yard.nmap("2001:db8:bad:5::78", &["-sS", "-p", "23"]);
    assert_eq!(yard.ban("2001:db8:bad:5::78").expect("still")["offences"], 1, "its packet was dropped");
    yard.daemon.cli(&["unblock", "2001:db8:bad:5::99"]);
    assert!(yard.ban("2001:db8:bad:5::77").is_none());
    assert!(nft_set_elements("diswall_scan6").is_empty());
}

#[test]
fn the_protected_and_the_allowed_are_never_banned() {
    let yard = Yard::start(&format!("{SCAN}\nconfig allow\n\toption ip '203.0.113.20'\n"));
    yard.nmap("203.0.113.20", &["-sS", "-p", "22"]);
    // A neighbour on the uplink's own network: the kernel bans it by itself, the daemon frees it.
    yard.nmap("192.0.2.2", &["-sS", "-p", "22,23"]);
    yard.nobody_is_banned("allowed and protected");
}

#[test]
fn what_is_no_scan_is_no_scan() {
    let yard = Yard::start(SCAN);
    let _open = TcpListener::bind((ROUTER, 80)).expect("a web server on the router");
    // Served ports.
    yard.python(
        "import socket\n\
         for n in range(20):\n\
         \ts = socket.socket(); s.bind(('203.0.113.30', 0)); s.connect(('192.0.2.1', 80)); s.close()\n",
        &[],
    );
    // Late packets of finished connections: a FIN-ACK, an ACK and a RST to ports long closed.
    for flags in [&["-F", "-A"][..], &["-A"], &["-R"], &["-S", "-A"], &["-P", "-A"]] {
        let common = ["-q", "-c", "2", "-i", "u1000", "-a", "203.0.113.31", "-p", "4321"];
        let _ = yard.wan.try_run("hping3", &[&common[..], flags, &[ROUTER]].concat());
    }
    // Traceroute, as UDP to its ports; path-MTU and other ICMP errors about flows nobody has.
    yard.python(
        "import socket\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('203.0.113.32', 0))\n\
         for hop in range(1, 31): s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hop); s.sendto(b'x', ('192.0.2.1', 33433 + hop))\n",
        &[],
    );
    for kind in [["-C", "3", "-K", "4"], ["-C", "3", "-K", "3"], ["-C", "8", "-K", "0"], ["-C", "11", "-K", "0"]] {
        let common = ["-q", "-1", "-c", "2", "-i", "u1000", "-a", "203.0.113.33"];
        let _ = yard.wan.try_run("hping3", &[&common[..], &kind, &[ROUTER]].concat());
    }
    // Broadcast and multicast.
    yard.python(
        "import socket\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('203.0.113.34', 0))\n\
         s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n\
         s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0')\n\
         for to in '192.0.2.3', '255.255.255.255', '224.0.0.251', '239.255.255.250': s.sendto(b'x', (to, 5353))\n",
        &[],
    );
    yard.nobody_is_banned("harmless packets");
}

#[test]
fn icmpv6_about_own_and_unknown_packets_is_no_scan() {
    let yard = Yard::start(SCAN);
    for address in ["2001:db8:bad::35/128", "2001:db8:bad::40/128"] {
        yard.wan.address(address);
    }
    // A server outside that answers with what routers on the way would say of the packet, and of another one
    // that was never sent.
    let server = Proc::spawn(yard.wan.command("/usr/bin/python3").args([
        "-c",
        "import socket, struct\n\
         here, hop, router = '2001:db8:bad::40', '2001:db8:bad::35', '2001:db8:0:1::1'\n\
         s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind((here, 5000)); print('ready', flush=True)\n\
         data, peer = s.recvfrom(2000)\n\
         icmp = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6); icmp.bind((hop, 0))\n\
         ip = lambda text: socket.inet_pton(socket.AF_INET6, text)\n\
         def about(port):\n\
         \tlength = 8 + len(data)\n\
         \thead = struct.pack('!IHBB', 6 << 28, length, 17, 60) + ip(router) + ip(here)\n\
         \treturn (head + struct.pack('!HHHH', port, 5000, length, 0) + data)[:1200]\n\
         for port in peer[1], 4321:\n\
         \tfor kind, code, word in (2, 0, 1280), (1, 0, 0), (1, 3, 0), (1, 4, 0), (3, 0, 0), (4, 1, 40):\n\
         \t\ticmp.sendto(struct.pack('!BBHI', kind, code, 0, word) + about(port), (router, 0))\n\
         icmp.sendto(struct.pack('!BBHI', 128, 0, 0, 7), (router, 0))\n\
         print('done', flush=True)\n",
    ]));
    server.line_with("ready", DEADLINE);
    let asking = std::net::UdpSocket::bind((ROUTER6, 0)).expect("a socket");
    asking.send_to(&[0; 1400], ("2001:db8:bad::40", 5000)).expect("sent");
    server.line_with("done", DEADLINE);
    yard.nobody_is_banned("ICMPv6");
    let route = run("ip", &["-6", "route", "get", "2001:db8:bad::40"]);
    assert!(route.contains("mtu 1280"), "\"packet too big\" has reached the router: {route}");
}

/// `packet.py SOURCE CHAIN`: one IPv6 packet to the router: headers as `next` numbers (60 options, 43 routing, 44
/// a later fragment), then a SYN to port 23.
const PACKET6: &str = "import socket, struct, sys\n\
     source, router = (socket.inet_pton(socket.AF_INET6, text) for text in (sys.argv[1], '2001:db8:0:1::1'))\n\
     chain = [int(number) for number in sys.argv[2].split(',')] + [6]\n\
     tcp = struct.pack('!HHIIBBHHH', 40000, 23, 1, 0, 5 << 4, 2, 1024, 0, 0)\n\
     total = sum(struct.unpack('!30H', source + router + struct.pack('!II', len(tcp), 6) + tcp))\n\
     while total >> 16: total = (total & 0xffff) + (total >> 16)\n\
     body = tcp[:16] + struct.pack('!H', ~total & 0xffff) + tcp[18:]\n\
     for number, following in list(zip(chain, chain[1:]))[::-1]:\n\
     \tbody = struct.pack('!BBHI', following, 0, 0x0140 if number == 44 else 0x0104 if number == 60 else 0, 0) + body\n\
     head = struct.pack('!IHBB', 6 << 28, len(body), chain[0], 64) + source + router\n\
     s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)\n\
     s.sendto(head + body, ('2001:db8:0:1::1', 0))\n";

#[test]
fn extension_headers_hide_nothing_and_fragments_without_ports_are_no_scan() {
    let yard = Yard::start(SCAN);
    let _ = yard.wan.try_run(
        "hping3",
        &["-q", "-c", "2", "-i", "u1000", "-a", "203.0.113.61", "-S", "-p", "23", "-g", "64", ROUTER],
    );
    yard.python(PACKET6, &["2001:db8:bad::52", "44"]);
    yard.nobody_is_banned("later fragments");
    yard.nmap("203.0.113.60", &["-sS", "-f", "-p", "23"]);
    yard.is_banned("203.0.113.60", 1200);
    for (source, chain) in [("2001:db8:bad::53", "60"), ("2001:db8:bad::54", "60,43,60")] {
        yard.python(PACKET6, &[source, chain]);
        let ban = yard.is_banned(source, 1200);
        assert_eq!(ban["reason"]["port"], 23, "{ban}");
    }
}

#[test]
fn answers_to_the_routers_own_traffic_are_no_scan() {
    let yard = Yard::start(SCAN);
    // A name server outside that answers, and answers again when the router has closed its socket.
    let server = Proc::spawn(yard.wan.command("/usr/bin/python3").args([
        "-c",
        "import socket, time\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('203.0.113.40', 53)); print('ready', flush=True)\n\
         data, peer = s.recvfrom(100)\n\
         s.sendto(b'answer', peer); time.sleep(0.3)\n\
         for n in range(3): s.sendto(b'late', peer)\n\
         t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); t.bind(('203.0.113.41', 6881))\n\
         for n in range(3): t.sendto(b'peer', peer)\n\
         print('done', flush=True)\n",
    ]));
    server.line_with("ready", DEADLINE);
    let asking = std::net::UdpSocket::bind((ROUTER, 0)).expect("a socket");
    asking.send_to(b"question", ("203.0.113.40", 53)).expect("sent");
    asking.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    asking.recv(&mut [0; 16]).expect("the answer");
    drop(asking);
    server.line_with("done", DEADLINE);
    yard.nobody_is_banned("answers");
}

#[test]
fn what_one_router_sees_bans_on_the_other_and_an_unban_frees() {
    let (netns, wan) = street();
    let _server = NatsServer::start();
    let mut service = Service::start();
    let nats = |host: &str| {
        format!(
            "config nats 'nats'\n\toption server '127.0.0.1'\n\toption port '{PORT}'\n\toption client_name 'alice'\n\
             \toption client_pass 'wonder'\n\toption hostname '{host}'\n\toption share_bans '1'\n\n\
             config dynfw 'dynfw'\n\toption enabled '0'\n\n"
        )
    };
    let seeing = Daemon::start("", &format!("{}{SCAN}", nats("one")));
    let other = format!("{}config scan 'scan'\n\toption enabled '0'\n", nats("two"));
    let hearing = Daemon::start("\toption table 'other'", &other);
    for daemon in [&seeing, &hearing] {
        wait_until(DEADLINE, "the feed is live", || daemon.status()["feeds"][1]["state"] == "live");
    }
    let sharing = &seeing.status()["sharing"];
    assert_eq!((&sharing["bans"], &sharing["account"]), (&true.into(), &"alice".into()), "{sharing}");
    let yard = Yard { wan, daemon: seeing, _netns: netns };
    yard.nmap("203.0.113.50", &["-sS", "-p", "22"]);
    yard.is_banned("203.0.113.50", 1200);
    wait_until(DEADLINE, "the other bans it too", || hearing.exit(&["check", "203.0.113.50"]).0 == Some(0));
    let set = run("nft", &["list", "set", "inet", "other", "diswall_nats4"]);
    assert!(set.contains("203.0.113.50"), "{set}");
    service.hears("diswall.blacklist.alice.add.one", "203.0.113.50|scan");
    yard.daemon.cli(&["unblock", "203.0.113.50"]);
    wait_until(DEADLINE, "the other frees it too", || hearing.exit(&["check", "203.0.113.50"]).0 == Some(1));
    service.hears("diswall.blacklist.alice.del.one", "203.0.113.50");
    let back: Vec<_> = service.heard.iter().filter(|(subject, _)| subject.contains(".two")).collect();
    assert!(back.is_empty(), "what came from a feed was sent back: {back:?}");
}

#[test]
fn what_the_server_refuses_is_a_part_that_is_not_in_force() {
    let (netns, wan) = street();
    let server = NatsServer::start();
    let mut service = Service::start();
    let nats = format!(
        "config nats 'nats'\n\toption server '127.0.0.1'\n\toption port '{PORT}'\n\toption client_name 'alice'\n\
         \toption client_pass 'wonder'\n\toption hostname 'one'\n\toption share_bans '1'\n\n\
         config dynfw 'dynfw'\n\toption enabled '0'\n\n"
    );
    let yard = Yard { wan, daemon: Daemon::start("", &format!("{nats}{SCAN}")), _netns: netns };
    let part = |name: &str, state: &str| {
        wait_for(DEADLINE, &format!("{name} is {state}"), || {
            let status = yard.daemon.status();
            let parts = status["parts"].as_array().expect("parts");
            parts
                .iter()
                .find(|part| part["name"] == name && part["state"] == state)
                .map(|part| (part.clone(), status["feeds"][1].clone()))
        })
    };
    part("feed.nats", "in_force");
    part("share", "in_force");
    const ALL: &str = "publish: [\"diswall.*.alice.*.*\"]\n      subscribe: [\"_INBOX.>\", \"diswall.blacklist.new\"";
    const LESS: &str = "publish: [\"diswall.*.alice.init.*\"]\n      subscribe: [\"_INBOX.>\"";
    server.exchange(ALL, LESS);
    let (lacking, feed) = part("feed.nats", "waiting");
    assert!(lacking["why"].as_str().is_some_and(|why| why.contains("subscribe diswall.blacklist.new (denied)")));
    assert_eq!(lacking["lost"], "new bans do not arrive");
    assert_eq!(feed["state"], "partial");
    assert!(feed["retry_in"].is_number() && feed["error"] == lacking["why"], "{feed}");
    let (code, said) = yard.daemon.exit(&["status"]);
    assert_eq!(code, Some(1), "{said}");
    yard.nmap("203.0.113.50", &["-sS", "-p", "22"]);
    yard.is_banned("203.0.113.50", 1200);
    let (share, _) = part("share", "waiting");
    assert!(share["why"].as_str().is_some_and(|why| why.contains("publish diswall.blacklist.alice.add.one (denied)")));

    server.exchange(LESS, ALL);
    part("feed.nats", "in_force");
    part("share", "in_force");
    service.hears("diswall.blacklist.alice.add.one", "203.0.113.50|scan");
}

#[test]
fn a_banned_hosts_packets_start_its_time_again() {
    let yard = Yard::start("config scan 'scan'\n\tlist ban_time '20s'\n\toption refresh '1'\n");
    yard.nmap("203.0.113.51", &["-sS", "-p", "22"]);
    yard.is_banned("203.0.113.51", 20);
    let end = || yard.ban("203.0.113.51").and_then(|ban| ban["until"].as_u64()).unwrap_or(0);
    let first = end();
    wait_until(DEADLINE, "the end moves on", || {
        yard.nmap("203.0.113.51", &["-sS", "-p", "80"]);
        end() >= first + 4
    });
    let element = nft_set_elements("diswall_scan4")["203.0.113.51"];
    assert_eq!(element.timeout, Some(20), "at its own length");
    assert_eq!(yard.ban("203.0.113.51").expect("banned")["offences"], 1);
}

#[test]
fn a_forged_flood_fills_neither_set_nor_memory() {
    let yard = Yard::start(SCAN);
    let before = yard.daemon.status()["memory"].as_u64().expect("a number");
    let seconds = 4;
    let mut flood = yard.wan.command("timeout");
    flood.args([&seconds.to_string(), "hping3", "-q", "--flood", "--rand-source", "-S", "-p", "22", ROUTER]);
    let mut flood = Proc::spawn(&flood);
    wait_until(DEADLINE, "bans by the flood", || {
        yard.daemon.status()["scan"]["suspects"].as_u64().is_some_and(|suspects| suspects > 100)
    });
    flood.wait(DEADLINE);
    let status = yard.daemon.status();
    // 100 at once and 20 a second, of each family; a second or two more for a slow machine.
    let most = 100 + 20 * (seconds + 3);
    let bans = status["scan"]["bans_hour"].as_u64().expect("a number");
    assert!((100..=most).contains(&bans), "{bans} bans, at most {most} expected");
    wait_until(DEADLINE, "the kernel's own bans are taken back", || {
        nft_set_elements("diswall_scan4").len() as u64
            <= yard.daemon.status()["scan"]["bans_hour"].as_u64().unwrap_or(0)
    });
    assert!(status["scan"]["suspects"].as_u64() <= Some(4096), "{status}");
    let grown = yard.daemon.status()["memory"].as_u64().expect("a number").saturating_sub(before);
    assert!(grown < 4096, "{grown} KiB more");
    // The flood is over: who really scans is banned, at the second packet at the latest.
    wait_until(DEADLINE, "a real scanner's ban", || {
        yard.nmap("203.0.113.52", &["-sS", "-p", "22"]);
        yard.ban("203.0.113.52").is_some()
    });
}

#[test]
fn a_scanner_is_seen_in_a_flood() {
    let yard = Yard::start(SCAN);
    // By itself, so that it ends with the test: a `timeout` that is killed leaves it running for ever.
    let mut flood = yard.wan.command("hping3");
    flood.args(["-q", "--flood", "--rand-source", "-S", "-p", "22", ROUTER]);
    let mut flood = Proc::spawn(&flood);
    wait_until(DEADLINE, "the flood is told", || {
        yard.daemon.status()["problems"].to_string().contains("a flood of packets to closed ports is on")
    });
    // Forty ports, once each; the kernel's own bans are used up by the flood. On a busy machine one program's packets
    // may come so far apart that none is told from the crowd: it scans on.
    let scan = ["-q", "-c", "40", "-i", "u5000", "-a", "203.0.113.54", "-S", "-p", "++2000", ROUTER];
    let begun = std::time::Instant::now();
    while yard.ban("203.0.113.54").is_none() && begun.elapsed() < DEADLINE {
        let _ = yard.wan.try_run("hping3", &scan);
    }
    println!("banned {} ms after its first packet", begun.elapsed().as_millis());
    assert!(yard.ban("203.0.113.54").is_some(), "the scanner's ban");
    assert!(flood.is_running(), "the ban came after the flood");
}

#[test]
fn a_taken_nflog_group_is_told_and_tried_again() {
    let (_netns, _wan) = street();
    let first = Daemon::start("\toption local_only '1'", SCAN);
    wait_until(DEADLINE, "the first has it", || first.status()["scan"]["state"] == "on");
    let second = Daemon::start("\toption local_only '1'\n\toption table 'other'", SCAN);
    let status = second.status();
    assert_eq!(status["scan"]["state"], "error", "{status}");
    let error = status["scan"]["error"].as_str().expect("a sentence");
    assert!(error.contains("1914") && error.contains("another program"), "{error}");
    assert!(status["problems"].to_string().contains("\"nflog\""), "{status}");
    drop(first);
    second.reload();
    wait_until(DEADLINE, "the second has it", || second.status()["scan"]["state"] == "on");
}

#[test]
fn lost_packets_are_told_and_detection_goes_on() {
    let yard = Yard::start(SCAN);
    yard.daemon.process().signal(Signal::SIGSTOP);
    // More than the socket holds: the rules let 500 through at once, and 500 a second.
    let flood = ["4", "hping3", "-q", "-i", "u500", "--rand-source", "-S", "-p", "40000", ROUTER];
    let _ = yard.wan.try_run("timeout", &flood);
    let _ =
        yard.wan.try_run("timeout", &["2", "hping3", "-q", "-i", "u500", "--rand-source", "-S", "-p", "22", ROUTER]);
    yard.daemon.process().signal(Signal::SIGCONT);
    wait_until(DEADLINE, "the loss is told", || {
        yard.daemon.status()["problems"].to_string().contains("faster than they could be read")
    });
    // While what had waited is worked off, a second packet may be wanted.
    wait_until(DEADLINE, "who scans now is banned", || {
        yard.nmap("203.0.113.53", &["-sS", "-p", "22"]);
        yard.ban("203.0.113.53").is_some()
    });
    wait_until(DEADLINE, "bans of the kernel's that nobody judged are taken back", || {
        nft_set_elements("diswall_scan4").values().all(|element| element.timeout == Some(1200))
    });
}
