//! A configuration with mistakes in it: what of it is in force at a start, at a reload and in the rules, and
//! who is told.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::{Daemon, Mount, Netns, Proc, nft_load, nft_set_elements, own_mounts, wait_until};

const DEADLINE: Duration = Duration::from_secs(10);

const ALONE: &str = "config dynfw 'dynfw'\n\toption enabled '0'\nconfig nats 'nats'\n\toption enabled '0'\n\
                     config scan 'scan'\n\toption enabled '0'\nconfig login 'login'\n\toption enabled '0'\n";
const GOOD: &str = "config block\n\toption ip '198.51.100.66'\n";

/// The program under test.
const DISWALL: &str = env!("CARGO_BIN_EXE_diswall");

fn set(name: &str) -> BTreeSet<String> {
    nft_set_elements(name).into_keys().collect()
}

fn only(address: &str) -> BTreeSet<String> {
    BTreeSet::from([address.to_owned()])
}

/// Sections that cannot be used, and what is said of each.
const UNUSABLE: [(&str, [&str; 2]); 5] = [
    ("config block\n\toption ip '198.51.100.8'\n\toption proto 'tcp'\n\tlist dest_port '70000'\n", ["70000", "65535"]),
    ("config block 'typo'\n\toption ip 'Eo203.0.113.243'\n", ["Eo203.0.113.243", "config block 'typo' of line"]),
    ("config allow\n\toption ip '198.51.100.300'\n", ["198.51.100.300", "is left out"]),
    ("config allow\n\toption comment 'nobody'\n", ["without option ip", "is left out"]),
    ("config logwatch 'vpn'\n\tlist pattern 'TLS Auth Error'\n", ["TLS Auth Error", "config logwatch 'vpn'"]),
];

fn said(daemon: &Daemon) -> String {
    daemon.status()["problems"].to_string()
}

#[test]
fn one_bad_entry_costs_that_entry_at_a_start_and_at_a_reload() {
    let _netns = Netns::enter();
    let bad: String = UNUSABLE.iter().map(|(section, _)| *section).collect();
    // The rules as at a boot, before there is a daemon.
    let mut daemon = Daemon::start("\toption states 'sometimes'", &[ALONE, &bad, GOOD].concat());
    wait_until(DEADLINE, "the good block", || set("diswall_manual4") == only("198.51.100.66"));
    let problems = said(&daemon);
    for word in UNUSABLE.iter().flat_map(|(_, words)| words).chain(&["sometimes", "its default is in force"]) {
        assert!(problems.contains(word), "{word}: {problems}");
    }
    let (status, printed) = daemon.exit(&["config", "check"]);
    assert!(status == Some(2) && printed.lines().count() == 6, "{status:?} {printed}");
    // Mended, and broken again one by one.
    daemon.configure("\toption states 'all'", &[ALONE, GOOD].concat());
    daemon.reload();
    wait_until(DEADLINE, "nothing is wrong", || !said(&daemon).contains("config"));
    for (section, words) in UNUSABLE {
        let rest = [ALONE, section, "config allow\n\toption ip '192.0.2.1'\n", GOOD].concat();
        daemon.configure("\toption states 'sometimes'", &rest);
        daemon.reload();
        for word in words.iter().chain(&["the value in force stays"]) {
            wait_until(DEADLINE, &format!("{section} {word:?}"), || said(&daemon).contains(word));
        }
        assert_eq!(
            (set("diswall_manual4"), set("diswall_allow4")),
            (only("198.51.100.66"), only("192.0.2.1")),
            "{section}"
        );
    }
    assert!(daemon.stop(DEADLINE).success());
}

#[test]
fn a_broken_file_at_a_first_start_is_read_as_far_as_it_can_be() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::prepare("", &[ALONE, GOOD, "config diswall 'main'\n\toption log_drops '1\n"].concat());
    daemon.load_rules();
    daemon.run();
    wait_until(DEADLINE, "the block", || set("diswall_manual4") == only("198.51.100.66"));
    let problems = said(&daemon);
    assert!(
        problems.contains("the quote ' opened here is never closed") && problems.contains("rest is the default"),
        "{problems}"
    );
    assert_eq!(daemon.exit(&["config", "check"]).0, Some(2));
    daemon.configure("", &[ALONE, "config block\n\toption ip '198.51.100.67'\n"].concat());
    daemon.reload();
    wait_until(DEADLINE, "the mended file", || set("diswall_manual4") == only("198.51.100.67"));
    assert!(!said(&daemon).contains("config"), "{}", said(&daemon));
    // A reload of a broken one changes nothing.
    daemon.configure("", "config block\n\toption ip '198.51.100.68\n");
    daemon.reload();
    wait_until(DEADLINE, "it is refused", || said(&daemon).contains("never closed"));
    assert_eq!(set("diswall_manual4"), only("198.51.100.67"));
    assert!(daemon.stop(DEADLINE).success());
}

/// A DNS server on 127.0.0.1 that answers every question for A with the address it was told last, and
/// SERVFAIL where it was told none.
struct Resolver {
    answer: Arc<Mutex<Option<Ipv4Addr>>>,
    _file: Mount,
    _directory: tempfile::TempDir,
}

impl Resolver {
    fn start(address: &str) -> Resolver {
        own_mounts();
        let directory = tempfile::Builder::new().prefix("diswall-config-").tempdir().expect("a directory");
        let file = directory.path().join("resolv.conf");
        fs::write(&file, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").expect("a file");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        let answer = Arc::new(Mutex::new(address.parse().ok()));
        let (socket, told) = (UdpSocket::bind("127.0.0.1:53").expect("the port"), answer.clone());
        thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                let address = *told.lock().expect("the answer");
                let _ = socket.send_to(&reply(&question[..length], address), from);
            }
        });
        Resolver { answer, _file: Mount::bind(&file, Path::new("/etc/resolv.conf")), _directory: directory }
    }

    fn say(&self, address: Option<&str>) {
        *self.answer.lock().expect("the answer") = address.map(|address| address.parse().expect("an address"));
    }
}

/// RFC 1035: the question as it came, and for type A an answer that points to its name.
fn reply(question: &[u8], address: Option<Ipv4Addr>) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).expect("a name") + 5;
    let is_a = question[end - 4..end] == [0, 1, 0, 1];
    let (code, answers) = match address {
        None => (2, 0),
        Some(_) => (0, u8::from(is_a)),
    };
    let mut reply = question[..2].to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
    reply.extend(&question[12..end]);
    if let Some(address) = address.filter(|_| is_a) {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        reply.extend(address.octets());
    }
    reply
}

#[test]
fn host_names_are_looked_up_and_followed() {
    let _netns = Netns::enter();
    let resolver = Resolver::start("198.51.100.7");
    let named = "config allow\n\toption ip 'Home.example.org'\n\toption comment 'mine'\nconfig block\n\toption ip 'evil.example.com.'\n";
    let mut daemon = Daemon::start("", &[ALONE, GOOD, named].concat());
    let blocked = |address: &str| BTreeSet::from(["198.51.100.66".to_owned(), address.to_owned()]);
    wait_until(DEADLINE, "the answer", || set("diswall_allow4") == only("198.51.100.7"));
    wait_until(DEADLINE, "the block", || set("diswall_manual4") == blocked("198.51.100.7"));
    assert!(daemon.cli(&["list", "allow"]).contains("home.example.org: mine"));
    // A power cut, and no resolver after it: a first answer was kept at once.
    let stays = |daemon: &Daemon, address: &str| {
        said(daemon).contains(&format!("home.example.org cannot be resolved; its last answer stays, {address}"))
    };
    resolver.say(None);
    daemon.kill();
    daemon.run();
    wait_until(DEADLINE, "it is said", || stays(&daemon, "198.51.100.7"));
    assert_eq!((set("diswall_allow4"), set("diswall_manual4")), (only("198.51.100.7"), blocked("198.51.100.7")));
    resolver.say(Some("198.51.100.8"));
    daemon.reload();
    wait_until(DEADLINE, "the new answer", || set("diswall_allow4") == only("198.51.100.8"));
    wait_until(DEADLINE, "the new block", || set("diswall_manual4") == blocked("198.51.100.8"));
    // The resolver away: the last answer stays, and that is said.
    resolver.say(None);
    daemon.reload();
    wait_until(DEADLINE, "it is said", || stays(&daemon, "198.51.100.8"));
    assert_eq!(set("diswall_allow4"), only("198.51.100.8"));
    // Over a restart too.
    assert!(daemon.stop(DEADLINE).success());
    daemon.run();
    wait_until(DEADLINE, "it is said", || stays(&daemon, "198.51.100.8"));
    assert_eq!((set("diswall_allow4"), set("diswall_manual4")), (only("198.51.100.8"), blocked("198.51.100.8")));
    // A resolver cannot have the router's own or a private address blocked.
    for address in ["127.0.0.1", "192.168.1.1"] {
        resolver.say(Some(address));
        daemon.reload();
        wait_until(DEADLINE, "it is said", || {
            said(&daemon).contains(&format!("evil.example.com. is {address}, which no name can block"))
        });
        wait_until(DEADLINE, "nothing is blocked by it", || set("diswall_manual4") == only("198.51.100.66"));
    }
    assert!(daemon.stop(DEADLINE).success());
}

/// The resolver of a router, with names of its own, for `/etc/resolv.conf` as a [`Resolver`] has left it.
fn dnsmasq(records: &[&str]) -> Proc {
    let mut command = Command::new("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]);
    command.args(["--pid-file=", "--listen-address=127.0.0.1", "--bind-interfaces", "--local=/example.test/"]);
    Proc::spawn(command.args(records))
}

#[test]
fn host_names_are_followed_through_dnsmasq() {
    let _netns = Netns::enter();
    own_mounts();
    let directory = tempfile::Builder::new().prefix("diswall-config-").tempdir().expect("a directory");
    let file = directory.path().join("resolv.conf");
    fs::write(&file, "search lan\nnameserver 127.0.0.1\n").expect("a file");
    let _file = Mount::bind(&file, Path::new("/etc/resolv.conf"));
    // One of which the answer has no room in a packet, and comes over TCP.
    let many: Vec<String> = (1..=40).map(|n| format!("--host-record=many.example.test,203.0.113.{n}")).collect();
    let mut records = vec!["--cname=alias.example.test,home.example.test,60"];
    records.extend(many.iter().map(String::as_str));
    let before = [&["--host-record=home.example.test,198.51.100.7,2001:db8::7,120"], records.as_slice()].concat();
    let resolver = dnsmasq(&before);
    let named = "config allow\n\toption ip 'alias.example.test'\n\toption comment 'mine'\n\
                 config block\n\toption ip 'many.example.test'\n\
                 config block\n\toption ip 'gone.example.test'\nconfig block\n\toption ip 'elsewhere.example.net'\n";
    let mut daemon = Daemon::start("", &[ALONE, named].concat());
    wait_until(DEADLINE, "IPv4 through the alias", || set("diswall_allow4") == only("198.51.100.7"));
    wait_until(DEADLINE, "IPv6 through the alias", || set("diswall_allow6") == only("2001:db8::7"));
    let blocked = |daemon: &Daemon| daemon.cli(&["list", "manual"]).matches("many.example.test").count();
    wait_until(DEADLINE, "as many as count", || blocked(&daemon) == 32 && !set("diswall_manual4").is_empty());
    assert!(daemon.exit(&["check", "198.51.100.7"]).1.contains("alias.example.test: mine"));
    assert!(daemon.exit(&["check", "203.0.113.1"]).1.contains("many.example.test"));
    for text in [
        "gone.example.test cannot be resolved, so that nothing is in force for it: there is no such name (NXDOMAIN)",
        "elsewhere.example.net cannot be resolved, so that nothing is in force for it: the resolver says REFUSED",
    ] {
        wait_until(DEADLINE, text, || said(&daemon).contains(text));
    }
    // It moves.
    drop(resolver);
    let after = [&["--host-record=home.example.test,198.51.100.8,120"], records.as_slice()].concat();
    let resolver = dnsmasq(&after);
    wait_until(DEADLINE, "the new address", || {
        // As soon as it listens.
        daemon.reload();
        set("diswall_allow4") == only("198.51.100.8") && set("diswall_allow6").is_empty()
    });
    // It goes away: that is said, and what is known stays.
    drop(resolver);
    daemon.reload();
    let text =
        "alias.example.test cannot be resolved; its last answer stays, 198.51.100.8: the resolver does not answer";
    wait_until(DEADLINE, text, || said(&daemon).contains(text));
    assert_eq!((set("diswall_allow4"), blocked(&daemon)), (only("198.51.100.8"), 32));
    assert!(daemon.stop(DEADLINE).success());
}

/// A machine whose `/etc` and `/var/run/diswall` are the test's own.
struct Etc {
    _mounts: Vec<Mount>,
    directory: tempfile::TempDir,
    daemon: Option<Proc>,
}

impl Etc {
    fn enter() -> Etc {
        own_mounts();
        let directory = tempfile::Builder::new().prefix("diswall-config-").tempdir().expect("a directory");
        let etc = directory.path().join("etc");
        fs::create_dir_all(etc.join("config")).expect("a directory");
        for file in ["passwd", "group", "nsswitch.conf", "resolv.conf", "ld.so.cache", "protocols"] {
            let _ = fs::copy(Path::new("/etc").join(file), etc.join(file));
        }
        Etc { _mounts: vec![Mount::bind(&etc, Path::new("/etc"))], directory, daemon: None }
    }

    fn configure(&self, text: &str) {
        let main = format!(
            "config diswall 'main'\n\toption control '{0}/control.sock'\n\toption state_dir '{0}/state'\n",
            self.directory.path().display()
        );
        fs::write("/etc/config/diswall", [&main, ALONE, text].concat()).expect("the configuration");
    }

    fn cli(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(DISWALL).args(args).output().expect("diswall runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    fn start(&mut self) {
        self.daemon = None;
        let rules = Command::new(DISWALL).args(["rules", "--standalone"]).output().expect("diswall runs");
        nft_load(&String::from_utf8_lossy(&rules.stdout));
        self.daemon = Some(Proc::spawn(Command::new(DISWALL).args(["run", "--foreground"])));
        wait_until(DEADLINE, "the daemon answers", || {
            self.cli(&["status"]).1.contains("Ledger") || self.cli(&["status"]).0 != Some(3)
        });
    }

    fn reload(&self) {
        self.daemon.as_ref().expect("the daemon").signal(nix::sys::signal::Signal::SIGHUP);
    }
}

/// Rules are root's to write: with the first command after an edit by hand the service is reloaded, which does that.
#[test]
fn a_command_after_an_edit_by_hand_has_rules_written() {
    let _netns = Netns::enter();
    let mut etc = Etc::enter();
    etc.configure(GOOD);
    assert_eq!(etc.cli(&["rules", "--load"]).0, Some(0));
    let script = "#!/bin/sh\necho \"$1\" >>/etc/asked\n";
    fs::create_dir("/etc/init.d").unwrap();
    fs::write("/etc/init.d/diswall", script).unwrap();
    fs::set_permissions("/etc/init.d/diswall", fs::Permissions::from_mode(0o755)).unwrap();
    etc.start();
    let asked = || fs::read_to_string("/etc/asked").unwrap_or_default();
    assert_eq!(etc.cli(&["allow", "198.51.100.9"]).0, Some(0));
    assert_eq!(asked(), "", "no rule is about that");
    let by_hand = "\nconfig list 'mine'\n\toption url '/etc/hosts'\n";
    fs::write("/etc/config/diswall", fs::read_to_string("/etc/config/diswall").unwrap() + by_hand).unwrap();
    assert_eq!(etc.cli(&["allow", "198.51.100.10"]).0, Some(0));
    assert_eq!(asked(), "reload\n");
}

#[test]
fn the_last_good_configuration_is_in_force_while_the_file_is_broken() {
    let _netns = Netns::enter();
    let mut etc = Etc::enter();
    let kept = Path::new("/etc/diswall/last-good");
    // One bad section does not keep the rest from being kept.
    etc.configure(&[GOOD, "config block\n\toption ip 'x'\n"].concat());
    let (status, printed) = etc.cli(&["rules", "--load"]);
    assert_eq!(status, Some(0), "{printed}");
    let text = fs::read_to_string(kept).expect("what was accepted is kept");
    assert!(text.contains("198.51.100.66") && !text.contains("'x'"), "{text}");
    etc.configure(GOOD);
    assert_eq!(etc.cli(&["rules", "--load"]).0, Some(0));
    assert_eq!(fs::read("/etc/config/diswall").unwrap(), fs::read(kept).unwrap());

    let broken = "config diswall 'main'\n\toption log_drops '1\n";
    fs::write("/etc/config/diswall", broken).unwrap();
    let (status, printed) = etc.cli(&["status", "--config", "/etc/config/diswall"]);
    assert!(status == Some(3) && printed.contains("/etc/config/diswall:2: error: the quote ' opened"), "{printed}");
    assert!(printed.contains("the last good configuration is in force"), "{printed}");
    assert!(etc.cli(&["rules", "--standalone"]).1.contains("never closed"));
    etc.start();
    wait_until(DEADLINE, "the block of the last good one", || set("diswall_manual4") == only("198.51.100.66"));
    let (_, printed) = etc.cli(&["status"]);
    assert!(printed.contains("never closed") && printed.contains("last good configuration is in force"), "{printed}");
    assert!(printed.contains("nothing that was changed in the file is in force"), "{printed}");
    assert!(
        printed.contains("`diswall config restore`") && printed.contains("then systemctl reload diswall"),
        "{printed}"
    );
    // What is in force is not edited away, and nothing is kept of it.
    assert_eq!(etc.cli(&["block", "192.0.2.77"]).0, Some(1));
    assert_eq!(etc.cli(&["rules", "--load"]).0, Some(0));
    assert_eq!(fs::read_to_string("/etc/config/diswall").unwrap(), broken);
    assert!(fs::read_to_string(kept).unwrap().contains("198.51.100.66"));

    // Mended by hand.
    etc.configure("config block\n\toption ip '198.51.100.67'\n");
    etc.reload();
    wait_until(DEADLINE, "the mended file", || set("diswall_manual4") == only("198.51.100.67"));

    // Broken again, and the last good one put back.
    fs::write("/etc/config/diswall", broken).unwrap();
    let (status, printed) = etc.cli(&["config", "restore"]);
    assert_eq!(status, Some(0), "{printed}");
    wait_until(DEADLINE, "the last good one", || set("diswall_manual4") == only("198.51.100.66"));
    assert_eq!(fs::read_to_string("/etc/diswall/set-aside").unwrap(), broken);
    // Whoever asks for it twice keeps what he had.
    assert_eq!(etc.cli(&["config", "restore"]).0, Some(0));
    assert_eq!(fs::read_to_string("/etc/diswall/set-aside").unwrap(), broken);
    assert_eq!(fs::read("/etc/config/diswall").unwrap(), fs::read(kept).unwrap());

    // As a power cut leaves it, or an editor that has begun to write: neither said nor kept as a good one.
    let good = fs::read_to_string(kept).unwrap();
    for text in ["", "\n", "# diswall\n", "\0\0\0\0\0\0\0\0"] {
        fs::write("/etc/config/diswall", text).unwrap();
        assert_eq!(etc.cli(&["rules", "--load"]).0, Some(0));
        assert_eq!(etc.cli(&["config", "check"]).0, Some(2), "{text:?}");
        etc.reload();
        wait_until(DEADLINE, "it is refused", || etc.cli(&["status"]).1.contains("configuration: /etc/config/diswall"));
        assert_eq!(set("diswall_manual4"), only("198.51.100.66"), "{text:?}");
        // A command's section would make a configuration of it, and take the last good one's place.
        assert_ne!(etc.cli(&["block", "192.0.2.88"]).0, Some(0), "{text:?}");
        assert_eq!(fs::read_to_string("/etc/config/diswall").unwrap(), text);
        assert_eq!(set("diswall_manual4"), only("198.51.100.66"), "{text:?}");
        assert_eq!(fs::read_to_string(kept).unwrap(), good);
        fs::write("/etc/config/diswall", &good).unwrap();
        etc.reload();
        wait_until(DEADLINE, "all is well", || !etc.cli(&["status"]).1.contains("configuration: /etc"));
    }

    // An owner's edit is kept as well; what another than root could have written is not taken.
    assert_eq!(etc.cli(&["block", "192.0.2.77"]).0, Some(0));
    assert!(fs::read_to_string(kept).unwrap().contains("192.0.2.77"));
    std::os::unix::fs::chown(kept, Some(914), None).unwrap();
    assert_eq!(etc.cli(&["config", "restore"]).0, Some(1));
}
