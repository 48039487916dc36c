//! Measures what the rules cost a packet on its way through the router, between two network namespaces.
//!
//! `cargo xtask bench` runs it as root; it prints one JSON object: packets a second without our rules, with
//! rules and empty sets, and with 100,000 bans, each for new connections and for an established one; and of a sender
//! who is banned, with the sample that the report takes of what is dropped, and without. The best of many short runs
//! counts, because other work on the machine can only slow a run down.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use diswall::config::Settings;
use diswall::firewall::rules;
use nix::sched::{CloneFlags, setns, unshare};

/// Packets of one run: as many connections must fit into the kernel's table.
const PACKETS: u16 = 30_000;

/// Packets of one run of what is dropped, and how many such runs there are: short ones fit between what else the machine
/// does.
const DROPPED: u16 = 200;
const BURSTS: u32 = 400;

/// Runs of each kind.
const RUNS: usize = 12;

const BANS: u32 = 100_000;

/// fw4's shape, as far as a packet from wan to lan meets it.
const RULESET: &str = "table inet fw4
flush table inet fw4
table inet fw4 {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state vmap { established : accept, related : accept }
		iifname \"wan\" jump forward_wan
	}
	chain forward_wan {
		accept
	}
	chain dstnat {
		type nat hook prerouting priority dstnat; policy accept;
		iifname \"wan\" udp dport 2207 dnat ip to 192.168.1.2:7
	}
	chain srcnat {
		type nat hook postrouting priority srcnat; policy accept;
		oifname \"wan\" meta nfproto ipv4 masquerade
	}
}
";

fn main() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (needs root)");
    run("ip link set lo up");
    let wan = Machine::join("wan", "198.51.100.1/24", "198.51.100.2/24");
    let lan = Machine::join("lan", "192.168.1.1/24", "192.168.1.2/24");
    run("sysctl -qw net.ipv4.ip_forward=1");
    // What arrives is dropped at once, but for the port that answers.
    lan.run("nft add table inet sink");
    lan.run("nft add chain inet sink in { type filter hook prerouting priority -300 ; policy accept ; }");
    lan.run("nft add rule inet sink in udp dport 1024-65535 counter drop");

    // What fw4 alone does to a packet; then with the rules; then with full sets.
    let settings = Settings::default();
    let with_rules = format!("{RULESET}{}", rules::for_fw4(&settings, &[]));
    let stages = [("plain", RULESET.to_owned()), ("empty", with_rules.clone()), ("full", with_rules + &bans())];
    let mut best = [[Duration::MAX; 2]; 3];
    let banned = "add element inet fw4 diswall_dynfw4 { 198.51.100.2 }\n";
    let dropping = [true, false].map(|report| {
        let mut settings = Settings::default();
        settings.main.report = report;
        format!("{RULESET}{}{banned}", rules::for_fw4(&settings, &[]))
    });
    let mut dropped = [Duration::MAX; 2];
    // By turns, so that a busy minute on the machine hits all alike.
    for _ in 0..RUNS {
        for ((_, text), best) in stages.iter().zip(&mut best) {
            run("nft flush ruleset");
            load(text);
            let answering = lan.socket("192.168.1.2:9");
            let sending = wan.socket("198.51.100.2:0");
            let established = wan.socket("198.51.100.2:0");
            run("conntrack -F");
            best[0] = best[0].min(send(&sending, PACKETS, &|index| 1024 + index));
            establish(&established, &answering);
            best[1] = best[1].min(send(&established, PACKETS, &|_| 9));
        }
        for (text, dropped) in dropping.iter().zip(&mut dropped) {
            run("nft flush ruleset");
            load(text);
            let sending = wan.socket("198.51.100.2:0");
            // The first are within the limit of the sample.
            send(&sending, DROPPED, &|_| 9);
            for _ in 0..BURSTS {
                *dropped = (*dropped).min(send(&sending, DROPPED, &|_| 9));
            }
        }
    }
    let mut json = String::from("{");
    for ((name, _), [new, established]) in stages.iter().zip(best) {
        let rate = |time: Duration| (f64::from(PACKETS) / time.as_secs_f64()).round();
        let comma = if json.len() > 1 { "," } else { "" };
        let (new, established) = (rate(new), rate(established));
        write!(json, "{comma}\"{name}\":{{\"new\":{new},\"established\":{established}}}").unwrap();
    }
    let [looked, unseen] = dropped.map(|time| (time.as_nanos() / u128::from(DROPPED)) as u64);
    println!("{json},\"dropped\":{{\"report\":{looked},\"no_report\":{unseen}}}}}");
}

/// Sends the packets; a packet's whole way through the router is done before the call for it returns.
fn send(socket: &UdpSocket, count: u16, port: &dyn Fn(u16) -> u16) -> Duration {
    let begun = Instant::now();
    for index in 0..count {
        // The network may be out of buffers for a moment; the packet counts all the same.
        let _ = socket.send_to(b"?", ("192.168.1.2", port(index)));
    }
    begun.elapsed()
}

/// One packet each way, so that conntrack calls the rest established.
fn establish(client: &UdpSocket, server: &UdpSocket) {
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.send_to(b"!", "192.168.1.2:9").unwrap();
    let mut buffer = [0; 1];
    let (_, from) = server.recv_from(&mut buffer).expect("the first packet");
    server.send_to(b"!", from).unwrap();
    client.recv_from(&mut buffer).expect("the answer");
}

/// The elements of 100,000 bans, none of them the sender.
fn bans() -> String {
    let mut text = String::from("add element inet fw4 diswall_dynfw4 { ");
    for index in 0..BANS {
        let address = std::net::Ipv4Addr::from(0x2d00_0000 + index * 7);
        write!(text, "{address}, ").unwrap();
    }
    text + "}\n"
}

/// Another machine, joined by a veth pair; it goes with this.
struct Machine {
    holder: Child,
}

impl Machine {
    fn join(name: &str, near: &str, far: &str) -> Machine {
        let holder = Command::new("unshare").args(["--net", "sleep", "600"]).spawn().expect("unshare(1)");
        let machine = Machine { holder };
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", machine.holder.id());
        let begun = Instant::now();
        while std::fs::read_link(&theirs).is_ok_and(|theirs| theirs == own) {
            assert!(begun.elapsed() < Duration::from_secs(10), "no namespace for {name}");
            std::thread::sleep(Duration::from_millis(5));
        }
        run(&format!("ip link add {name} type veth peer name eth0 netns {}", machine.holder.id()));
        run(&format!("ip address add {near} dev {name}"));
        run(&format!("ip link set {name} up"));
        machine.run(&format!("ip address add {far} dev eth0"));
        machine.run("ip link set eth0 up");
        let gateway = near.split('/').next().unwrap();
        machine.run(&format!("ip route add default via {gateway}"));
        machine
    }

    fn run(&self, words: &str) {
        run(&format!("nsenter --net=/proc/{}/ns/net {words}", self.holder.id()));
    }

    /// A socket on that machine: it stays where it was made.
    fn socket(&self, address: &str) -> UdpSocket {
        let namespace = File::open(format!("/proc/{}/ns/net", self.holder.id())).unwrap();
        let address = address.to_owned();
        let made = std::thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            UdpSocket::bind(address).unwrap()
        });
        made.join().unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn run(words: &str) {
    let mut words = words.split_whitespace();
    let status = Command::new(words.next().unwrap()).args(words.clone()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{:?}: {status}", words.collect::<Vec<_>>());
}

fn load(text: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft");
    nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "nft refuses the ruleset");
}
