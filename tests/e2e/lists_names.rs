//! Lists of host names: looked up through a real dnsmasq, followed, kept while it is away; and what those who write such
//! a list, or answer for its names, can do with them.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use diswall::resolver::wire;
use serde_json::Value;

use crate::support::{Daemon, Mount, Netns, Proc, nft_load, nft_set_elements, own_mounts, run, wait_until, web};

const DEADLINE: Duration = Duration::from_secs(30);
const SERVER: &str = r#"
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open(self.path.strip('/'), 'rb').read()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
"#;

/// A machine whose resolver is dnsmasq on 127.0.0.1, and a list of names on a server of its own.
struct Lab {
    _server: Proc,
    _mount: Mount,
    place: tempfile::TempDir,
    _netns: Netns,
}

impl Lab {
    fn enter(port: &str) -> Lab {
        let netns = Netns::enter();
        own_mounts();
        let place = tempfile::Builder::new().prefix("diswall-config-").tempdir().expect("a place");
        fs::write(place.path().join("resolv.conf"), "nameserver 127.0.0.1\n").expect("a file");
        let mount = Mount::bind(&place.path().join("resolv.conf"), Path::new("/etc/resolv.conf"));
        let server = web::serve(SERVER, place.path(), port, None);
        Lab { _server: server, _mount: mount, place, _netns: netns }
    }

    fn queries(&self) -> PathBuf {
        self.place.path().join("queries")
    }

    fn put(&self, names: &str) {
        fs::write(self.place.path().join("list"), names).expect("written");
    }
}

/// It writes what it is asked to a file.
fn dnsmasq(lab: &Lab, records: &[String]) -> Proc {
    let mut command = Command::new("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]);
    command.args(["--pid-file=", "--listen-address=127.0.0.1", "--bind-interfaces", "--local=/example.test/"]);
    command.arg("--log-queries").arg(format!("--log-facility={}", lab.queries().display()));
    Proc::spawn(command.args(records))
}

fn records(given: &[&str]) -> Vec<String> {
    given.iter().map(|record| format!("--host-record={record}")).collect()
}

fn section(port: u16, options: &str) -> String {
    let url = format!("http://127.0.0.1:{port}/list");
    let no_feed = crate::packets::NO_FEED;
    format!("{no_feed}config list 'doh'\n\toption url '{url}'\n\toption format 'names'\n{options}")
}

fn set(name: &str) -> BTreeSet<String> {
    nft_set_elements(name).into_keys().collect()
}

fn only<const N: usize>(addresses: [&str; N]) -> BTreeSet<String> {
    addresses.map(str::to_owned).into()
}

fn feed(daemon: &Daemon) -> Value {
    let status = daemon.status();
    status["feeds"].as_array().expect("feeds").iter().find(|feed| feed["name"] == "doh").expect("the list").clone()
}

/// Whether the list's notices have these words.
fn says(daemon: &Daemon, words: &str) -> bool {
    feed(daemon)["notices"].to_string().contains(words)
}

#[test]
fn a_list_of_names_is_followed_and_kept_while_the_resolver_is_away() {
    let lab = Lab::enter("8101");
    run("ip", &["link", "add", "config0", "type", "veth", "peer", "name", "config1"]);
    run("ip", &["address", "add", "203.0.113.77/24", "dev", "config0"]);
    run("ip", &["link", "set", "config0", "up"]);
    run("ip", &["link", "set", "config1", "up"]);
    let list = "# servers\nOne.example.test\ntwo.example.test # and more\nsame.example.test.\nmany.example.test\n";
    lab.put(list);
    let mut all = records(&[
        "one.example.test,198.51.100.1,2001:db8::1,120",
        "two.example.test,198.51.100.2,120",
        "same.example.test,198.51.100.2,120",
        "own.example.test,203.0.113.77,120",
        "home.example.test,192.168.1.1,120",
    ]);
    all.extend((1..=40).map(|n| format!("--host-record=many.example.test,192.0.2.{n}")));
    let resolver = dnsmasq(&lab, &all);
    let mut daemon = Daemon::prepare("", &section(8101, ""));
    // As on a router: in memory, where a copy is written every minute.
    let _memory = Mount::tmpfs("size=4m", &daemon.state_dir());
    daemon.load_rules();
    daemon.run();
    wait_until(DEADLINE, "all names", || {
        set("diswall_doh4").len() == 34 && set("diswall_doh6") == only(["2001:db8::1"])
    });
    // Who asks about an address hears the list and the name that stands for it.
    let answer: Value = serde_json::from_str(&daemon.exit(&["check", "198.51.100.1", "--json"]).1).expect("JSON");
    let reason = &answer["bans"][0]["reason"];
    assert_eq!((&reason["kind"], &reason["text"]), (&"name".into(), &"one.example.test".into()), "{answer}");
    assert!(daemon.cli(&["check", "2001:db8::1"]).contains("doh: 2001:db8::1, one.example.test, since"));
    assert!(daemon.cli(&["check", "198.51.100.2"]).contains("same.example.test"), "the first of two");

    // What nobody may have blocked is left out, and what stands for nothing said.
    lab.put("one.example.test\ntwo.example.test\nown.example.test\nhome.example.test\ngone.example.test\n");
    daemon.cli(&["resync", "doh"]);
    wait_until(DEADLINE, "another list", || set("diswall_doh4") == only(["198.51.100.1", "198.51.100.2"]));
    wait_until(DEADLINE, "a name of nothing", || {
        says(&daemon, "1 of its 5 names cannot be resolved; gone.example.test: there is no such name (NXDOMAIN)")
            && says(&daemon, "2 addresses are left out; home.example.test is 192.168.1.1, which no list can have")
    });

    // It moves; and when the resolver is away, and over a restart, what is known stays.
    drop(resolver);
    let resolver = dnsmasq(&lab, &records(&["one.example.test,198.51.100.9,120", "two.example.test,198.51.100.2,120"]));
    wait_until(DEADLINE, "the new address", || {
        daemon.cli(&["resync", "doh"]);
        set("diswall_doh4") == only(["198.51.100.2", "198.51.100.9"]) && set("diswall_doh6").is_empty()
    });
    drop(resolver);
    // What was first known of all is on disk; a minute later, where it does not wear, the next would be.
    assert!(daemon.state_dir().join("list.doh").exists());
    lab.put(list);
    daemon.stop(DEADLINE);
    nft_load("flush set inet fw4 diswall_doh4");
    daemon.run();
    wait_until(DEADLINE, "what was kept", || set("diswall_doh4").contains("198.51.100.2"));
    assert!(daemon.cli(&["check", "198.51.100.2"]).contains("same.example.test"));

    // Without the list nothing of it is left.
    daemon.configure("", crate::packets::NO_FEED);
    daemon.load_rules();
    daemon.reload();
    wait_until(DEADLINE, "nothing is left", || !daemon.status()["sources"].to_string().contains("doh"));
}

#[test]
fn a_hostile_list_of_names_is_bounded_and_the_resolver_not_flooded() {
    let lab = Lab::enter("8102");
    let many = |count: usize| (0..count).map(|n| format!("n{n}.example.test\n")).collect::<String>();
    lab.put(&many(200));
    let all: Vec<String> =
        (0..200).map(|n| format!("--host-record=n{n}.example.test,198.51.{}.{},120", 100 + n / 100, n % 100)).collect();
    let resolver = dnsmasq(&lab, &all);
    let daemon = Daemon::start("", &section(8102, ""));
    let asked = || fs::read_to_string(lab.queries()).expect("a file").matches("query[A]").count();
    wait_until(DEADLINE, "the first", || asked() > 0);
    let first = Instant::now();
    wait_until(DEADLINE, "some more", || asked() > 20);
    let (count, seconds) = (asked() as f32, first.elapsed().as_secs_f32());
    assert!(count <= 10.0 * seconds + 3.0, "{count} names in {seconds} s");
    wait_until(DEADLINE, "some are in force", || set("diswall_doh4").len() >= 20);

    // Too many, another thing, or the list's own error: one sentence, and what was in force stays.
    let hosts: String = (0..100).map(|n| format!("0.0.0.0 ads{n}.example.test\n")).collect();
    for (what, list, why) in [
        ("too many", many(5000), "it has more than 4096 names; all lists together may have 4096"),
        ("a hosts file", hosts, "a hosts file, by which a resolver keeps names from being found"),
        ("addresses", "198.51.100.1\n198.51.100.2\n".to_owned(), "more lines are refused than read"),
        ("a page", "<html>".to_owned(), "HTML"),
    ] {
        lab.put(&list);
        daemon.cli(&["resync", "doh"]);
        wait_until(DEADLINE, what, || feed(&daemon)["error"].to_string().contains(why));
        assert!(set("diswall_doh4").len() >= 20, "{what}");
    }
    drop(resolver);
}

/// Asks the resolver for the IPv4 addresses of a name, and has its answer.
fn look_up(name: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a time-out");
    let question = wire::question(7, name, wire::Kind::A);
    let mut answer = [0; 512];
    wait_until(DEADLINE, name, || {
        // As soon as it listens.
        let sent = socket.send_to(&question, "127.0.0.1:53");
        let length = sent.and_then(|_| socket.recv(&mut answer)).unwrap_or(0);
        matches!(wire::answer(&question, wire::Kind::A, &answer[..length]), Ok(wire::Answer::Addresses(..)))
    });
}

/// As the manual says: sets of the owner's stand beside diswall's, and what is not diswall's does not stay in its own.
#[test]
fn dnsmasqs_own_sets_stand_beside_diswalls() {
    let lab = Lab::enter("8103");
    nft_load("table inet fw4 {\n set away4 {\n type ipv4_addr\n }\n}");
    let mut daemon = Daemon::prepare("", crate::packets::NO_FEED);
    daemon.load_rules();
    let mut upstream = Command::new("dnsmasq");
    upstream.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]);
    upstream.args(["--pid-file=", "--listen-address=127.0.0.1", "--bind-interfaces", "--port=5353"]);
    let names = ["away.example.org,198.51.100.7", "one.example.org,198.51.100.8", "two.example.org,198.51.100.9"];
    let _upstream = Proc::spawn(upstream.args(records(&names)));
    let _resolver = dnsmasq(
        &lab,
        &[
            "--server=127.0.0.1#5353".to_owned(),
            "--nftset=/away.example.org/4#inet#fw4#away4".to_owned(),
            "--nftset=/one.example.org/4#inet#fw4#diswall_manual4".to_owned(),
            "--nftset=/two.example.org/4#inet#fw4#diswall_manual4".to_owned(),
        ],
    );
    look_up("away.example.org");
    look_up("one.example.org");
    assert_eq!((set("away4"), set("diswall_manual4")), (only(["198.51.100.7"]), only(["198.51.100.8"])));
    // The daemon has its own sets as its ledger says, from its start on, and no others.
    daemon.run();
    daemon.wait_answering();
    wait_until(DEADLINE, "what is not its own is gone", || set("diswall_manual4").is_empty());
    daemon.cli(&["block", "--timeout", "1h", "198.51.100.66"]);
    look_up("two.example.org");
    let added = || fs::read_to_string(lab.queries()).expect("a file").contains("diswall_manual4 198.51.100.9");
    wait_until(DEADLINE, "dnsmasq has put it there", added);
    wait_until(DEADLINE, "it is taken out again", || set("diswall_manual4") == only(["198.51.100.66"]));
    daemon.reload();
    daemon.load_rules();
    wait_until(DEADLINE, "all is as it was", || set("diswall_manual4") == only(["198.51.100.66"]));
    assert_eq!(set("away4"), only(["198.51.100.7"]));
}
