//! The owner's commands and files: what is refused and leaves no trace, what lasts in UCI and is in force
//! at once, what must never be banned, and what outlives stops, kills and firewall restarts.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::fs::inotify;
use serde_json::Value;

use crate::support::{
    DISWALL, Daemon, DisWallService, Mount, Netns, Sentinel, nft, nft_load, nft_set_elements, own_mounts, run, try_nft,
    wait_until,
};

const DEADLINE: Duration = Duration::from_secs(30);

/// For what is big or starts many programs.
const LONG: Duration = Duration::from_secs(120);

const NO_DYNFW: &str = "config dynfw 'dynfw'\n\toption enabled '0'\n";
const NO_NATS: &str = "config nats 'nats'\n\toption enabled '0'\n";
const NO_SCAN: &str = "config scan 'scan'\n\toption enabled '0'\n";

fn no_feed() -> String {
    [NO_DYNFW, NO_NATS, NO_SCAN].join("\n")
}

fn only_dynfw(sentinel: &Sentinel) -> String {
    [&sentinel.section(), NO_NATS, NO_SCAN].join("\n")
}

fn set(name: &str) -> BTreeSet<String> {
    nft_set_elements(name).into_keys().collect()
}

fn manual() -> BTreeSet<String> {
    &set("diswall_manual4") | &set("diswall_manual6")
}

fn allowed() -> BTreeSet<String> {
    &set("diswall_allow4") | &set("diswall_allow6")
}

/// Whether the set says yes to the address, however its networks are merged.
fn holds(name: &str, address: &str) -> bool {
    try_nft(&["get", "element", "inet", "fw4", name, &format!("{{ {address} }}")]).is_ok()
}

fn source(daemon: &Daemon, name: &str) -> Value {
    let status = daemon.status();
    let sources = status["sources"].as_array().expect("sources");
    sources.iter().find(|source| source["name"] == name).unwrap_or_else(|| panic!("no source {name}")).clone()
}

/// An uplink with an address and a gateway of the router's.
fn uplink() {
    run("ip", &["link", "add", "up0", "type", "veth", "peer", "name", "up1"]);
    run("ip", &["link", "set", "up0", "up"]);
    run("ip", &["link", "set", "up1", "up"]);
    run("ip", &["address", "add", "203.0.113.2/24", "dev", "up0"]);
    run("ip", &["address", "add", "2001:db8:7::2/64", "dev", "up0", "nodad"]);
    run("ip", &["route", "add", "default", "via", "203.0.113.1"]);
    // A gateway that is in none of the router's networks.
    run("ip", &["route", "add", "198.18.0.1", "dev", "up0"]);
    run("ip", &["route", "add", "198.19.0.0/24", "via", "198.18.0.1"]);
}

/// Whoever may open the directory of the configuration could hold it locked, as one can hold every file that one may open.
#[test]
fn nobody_else_holds_up_an_owners_command_by_a_lock() {
    let _netns = Netns::enter();
    own_mounts();
    let _run = Mount::tmpfs("mode=755", Path::new("/run"));
    fs::create_dir("/run/diswall").expect("a directory, as the service makes it");
    let daemon = Daemon::start("", &no_feed());
    fs::create_dir_all("/etc/config").expect("UCI's directory");
    let _config = Mount::bind(daemon.directory(), Path::new("/etc/config"));
    let locked = fs::File::open("/etc/config").expect("it may be opened");
    locked.lock().expect("and locked");
    run(DISWALL, &["block", "203.0.113.9", "--comment", "for good"]);
    assert!(manual().contains("203.0.113.9"));
    run(DISWALL, &["rules", "--standalone", "--load"]);
}

#[test]
fn what_is_wrong_is_refused_by_name_and_nothing_is_half_done() {
    let _netns = Netns::enter();
    uplink();
    let daemon = Daemon::start("", &no_feed());
    let before = fs::read_to_string(daemon.config()).unwrap();
    let long = "x".repeat(5000);
    let table: &[(&[&str], i32, &[&str])] = &[
        (&["block", "203.0.113.300"], 2, &["203.0.113.300", "neither an address nor a network"]),
        (&["block", "scanner.example.com"], 2, &["scanner.example.com", "192.0.2.0/24"]),
        (&["block", ""], 2, &["neither an address"]),
        (&["block", "198.51.100.7/24"], 2, &["198.51.100.7/24", "host bits", "198.51.100.0/24"]),
        (&["block", "198.51.100.0/33"], 2, &["198.51.100.0/33", "0 to 32"]),
        (&["block", "2001:db8::1/64"], 2, &["host bits", "2001:db8::/64"]),
        (&["block", "::ffff:198.51.100.7"], 2, &["::ffff:198.51.100.7"]),
        (&["block", "0.0.0.0/0"], 1, &["0.0.0.0/0", "every address", "--force"]),
        (&["block", "::/0"], 1, &["::/0", "--force"]),
        (&["block", "--timeout", "1h", "0.0.0.0/0"], 1, &["--force"]),
        (&["block", "203.0.113.2"], 1, &["203.0.113.2", "an address of the router"]),
        (&["block", "2001:db8:7::2"], 1, &["2001:db8:7::2", "an address of the router"]),
        (&["block", "--timeout", "1h", "203.0.113.2"], 1, &["an address of the router"]),
        (&["block", "127.0.0.1"], 1, &["127.0.0.1", "loopback"]),
        (&["block", "224.0.0.0/4"], 1, &["224.0.0.0/4", "multicast"]),
        (&["block", "--timeout", "-1h", "198.51.100.7"], 2, &["-1h"]),
        (&["block", "--timeout", "soon", "198.51.100.7"], 2, &["soon"]),
        (&["block", "--action", "explode", "198.51.100.7"], 2, &["explode", "drop", "reject"]),
        (&["block", "--comment", "two\nlines", "198.51.100.7"], 2, &["line end"]),
        (&["block", "--timeout", "1h", "--comment", "two\nlines", "198.51.100.7"], 2, &["line end"]),
        (&["block", "--comment", &long, "198.51.100.7"], 2, &["5000"]),
        (&["block"], 2, &["address"]),
        // The first of these is in order, and must not be done either.
        (&["block", "198.51.100.7", "nonsense"], 2, &["nonsense"]),
        (&["block", "--timeout", "1h", "198.51.100.7", "nonsense"], 2, &["nonsense"]),
        (&["block", "198.51.100.7", "203.0.113.2"], 1, &["203.0.113.2"]),
        (&["block", "--timeout", "1h", "198.51.100.7", "203.0.113.2"], 1, &["203.0.113.2"]),
        (&["allow", "198.51.100.7", "office.example.com"], 2, &["office.example.com"]),
        (&["allow", "--timeout", "1h", "198.51.100.7", "198.51.100.9/8"], 2, &["198.51.100.9/8"]),
        (&["allow", "--comment", "two\nlines", "198.51.100.7"], 2, &["line end"]),
        (&["unblock", "198.51.100.7"], 1, &["198.51.100.7", "not banned"]),
        (&["unblock", "nonsense"], 2, &["nonsense"]),
        (&["clear"], 2, &["by"]),
        (&["disallow", "198.51.100.7"], 1, &["198.51.100.7", "not allowed"]),
        (&["kick", "nonsense"], 2, &["nonsense"]),
        (&["kick"], 2, &["address"]),
    ];
    for (args, status, words) in table {
        let (got, printed) = daemon.exit(args);
        assert_eq!(got, Some(*status), "{args:?}: {printed}");
        for word in *words {
            assert!(printed.contains(word), "{args:?} does not say {word:?}: {printed}");
        }
        assert_eq!(fs::read_to_string(daemon.config()).unwrap(), before, "{args:?} wrote into the configuration");
        assert_eq!(daemon.cli(&["list"]), "", "{args:?} banned something");
        assert_eq!(daemon.cli(&["list", "allow"]), "", "{args:?} allowed something");
        assert!(manual().is_empty() && allowed().is_empty(), "{args:?} reached the kernel");
    }
}

#[test]
fn a_zone_that_fw4_does_not_have_costs_that_zone() {
    let daemon = Daemon::prepare("\tlist zone 'wan'\n\tlist zone 'dmz'", &no_feed());
    // Nobody can tell without the firewall's configuration.
    assert_eq!(daemon.exit(&["rules"]).0, Some(0));
    let zones = "config zone\n\toption name 'lan'\n\tlist network 'lan'\nconfig zone guests\n\toption name 'wan'\n";
    fs::write(daemon.path("firewall"), zones).unwrap();
    for (arguments, guarded) in [(&["rules"][..], true), (&["config", "check"], false)] {
        let (status, printed) = daemon.exit(arguments);
        assert_eq!(status, Some(0), "{printed}");
        assert!(printed.contains("'dmz'") && printed.contains("lan, wan"), "{printed}");
        assert_eq!(printed.contains("input_wan jump"), guarded, "{printed}");
        assert!(!printed.contains("input_dmz"), "{printed}");
    }
    // None is left: the old rules stay.
    daemon.configure("\tlist zone 'internet'", &no_feed());
    let (status, printed) = daemon.exit(&["rules"]);
    assert_eq!(status, Some(2), "{printed}");
    assert!(printed.contains("'internet'") && printed.contains("lan, wan"), "{printed}");
    daemon.configure("\tlist zone 'wan'", &no_feed());
    assert_eq!(daemon.exit(&["rules"]).0, Some(0));
}

/// To UCI a section without a name is the N-th of the file. What LuCI has in hand for a new one of its own, or takes in hand at
/// that moment, would be committed into one that a command has put there.
#[test]
fn commands_write_sections_with_names_into_the_services_file() {
    let _netns = Netns::enter();
    own_mounts();
    let _run = Mount::tmpfs("mode=755", Path::new("/run"));
    fs::create_dir("/run/diswall").unwrap();
    let daemon = Daemon::start("", &no_feed());
    fs::create_dir_all("/etc/config").unwrap();
    let _config = Mount::bind(daemon.directory(), Path::new("/etc/config"));
    let text = || fs::read_to_string(daemon.config()).unwrap();
    run(DISWALL, &["allow", "198.51.100.0/24", "2001:db8::1"]);
    run(DISWALL, &["block", "203.0.113.9", "--comment", "for good"]);
    let ends = "\nconfig allow 'allow_198_51_100_0_24'\n\toption ip '198.51.100.0/24'\n\n\
                config allow 'allow_2001_db8__1'\n\toption ip '2001:db8::1'\n\n\
                config block 'block_203_0_113_9'\n\toption ip '203.0.113.9'\n\toption comment 'for good'\n";
    assert!(text().ends_with(ends), "{}", text());
    assert_eq!(manual(), BTreeSet::from(["203.0.113.9".to_owned()]));
    // Another's by that name.
    run(DISWALL, &["disallow", "198.51.100.0/24"]);
    fs::write(daemon.config(), text() + "\nconfig allow 'allow_198_51_100_0_24'\n\toption ip '192.0.2.7'\n").unwrap();
    run(DISWALL, &["allow", "198.51.100.0/24"]);
    assert!(text().contains("config allow 'allow_198_51_100_0_24_'\n"), "{}", text());
    assert!(allowed().is_superset(&["198.51.100.0/24", "192.0.2.7"].map(str::to_owned).into()));
    run(DISWALL, &["disallow", "198.51.100.0/24", "192.0.2.7", "2001:db8::1"]);
    assert!(allowed().is_empty());
}

#[test]
fn a_table_that_is_not_fw4s_is_named() {
    const WORDS: &str = "option table 'mine': fw4's own is 'fw4'";
    let daemon = Daemon::prepare("\toption table 'mine'", &no_feed());
    let said = |args: &[&str]| {
        let output = Command::new(DISWALL)
            .args(args)
            .args(["--config", daemon.config().to_str().unwrap()])
            .env("PATH", daemon.path("bin"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    // Where there is no fw4, any table will do.
    for there in [false, true] {
        if there {
            fs::create_dir(daemon.path("bin")).unwrap();
            fs::copy("/bin/true", daemon.path("bin/fw4")).unwrap();
        }
        assert_eq!(said(&["config", "check"]).contains(WORDS), there);
        assert_eq!(said(&["rules"]).contains(WORDS), there);
        assert!(!said(&["rules", "--standalone"]).contains(WORDS), "its own hooks are in it");
    }
    daemon.configure("", &no_feed());
    assert!(!said(&["config", "check"]).contains("table"));
}

#[test]
fn lasting_commands_write_uci_and_are_in_force_at_once() {
    let _netns = Netns::enter();
    let daemon = Daemon::start("", &no_feed());
    let before = fs::read_to_string(daemon.config()).unwrap();
    let comment = "it's \"the\" farm; $HOME `x` \\ %s";
    daemon.cli(&["block", "198.51.100.0/24", "2001:db8:bad::/48", "--comment", comment]);
    assert_eq!(manual(), BTreeSet::from(["198.51.100.0/24", "2001:db8:bad::/48"].map(str::to_owned)));
    daemon.cli(&["allow", "198.51.100.7", "--comment", "office"]);
    assert_eq!(allowed(), BTreeSet::from(["198.51.100.7".to_owned()]));
    let written = fs::read_to_string(daemon.config()).unwrap();
    assert!(written.starts_with(before.trim_end()), "the rest of the file stays:\n{written}");
    assert_eq!(daemon.exit(&["config", "check"]).0, Some(0));
    assert!(daemon.cli(&["list", "manual"]).contains(comment), "{}", daemon.cli(&["list", "manual"]));
    assert!(daemon.cli(&["list", "allow"]).contains("office"));
    let (status, printed) = daemon.exit(&["check", "198.51.100.7"]);
    assert!(status == Some(1) && printed.contains("office"), "{printed}");

    // What has a time-out is the ledger's.
    daemon.cli(&["block", "--timeout", "1h", "192.0.2.1"]);
    daemon.cli(&["block", "--timeout", "0", "192.0.2.2"]);
    daemon.cli(&["allow", "--timeout", "1h", "192.0.2.3"]);
    assert_eq!(fs::read_to_string(daemon.config()).unwrap(), written);
    let left = nft_set_elements("diswall_manual4")["192.0.2.1"].expires.expect("an end");
    assert!((3500..=3600).contains(&left), "{left}");
    assert_eq!(nft_set_elements("diswall_manual4")["192.0.2.2"].timeout, None);
    assert!(nft_set_elements("diswall_allow4")["192.0.2.3"].expires.is_some());
    for text in ["block: 192.0.2.1 is blocked for 1h", "allow: 192.0.2.3 is allowed for 1h", "allow: 198.51.100.7"] {
        daemon.process().stderr_with(text, DEADLINE);
    }

    daemon.cli(&["unblock", "198.51.100.0/24", "2001:db8:bad::/48", "192.0.2.1", "192.0.2.2"]);
    daemon.cli(&["disallow", "198.51.100.7", "192.0.2.3"]);
    assert!(manual().is_empty() && allowed().is_empty());
    assert_eq!(fs::read_to_string(daemon.config()).unwrap().trim_end(), before.trim_end());
}

/// Hands on what is said at the daemon's socket, and counts who comes.
fn counted(daemon: &Daemon) -> &'static AtomicUsize {
    let (socket, moved) = (daemon.path("run/control.sock"), daemon.path("run/moved.sock"));
    fs::rename(&socket, &moved).expect("the socket");
    let came: &AtomicUsize = Box::leak(Box::default());
    let listener = UnixListener::bind(&socket).expect("another socket in its place");
    let of_daemon = fs::metadata(&moved).expect("the daemon's socket");
    chown(&socket, Some(of_daemon.uid()), Some(of_daemon.gid())).expect("its owner");
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            came.fetch_add(1, Ordering::SeqCst);
            let Ok(mut server) = UnixStream::connect(&moved) else { return };
            let mut line = String::new();
            BufReader::new(&client).read_line(&mut line).expect("a request");
            server.write_all(line.as_bytes()).expect("it is handed on");
            // A client that has what it wants may be gone.
            let _ = std::io::copy(&mut server, &mut &client);
        }
    });
    came
}

/// How often somebody opens the file while this is done.
fn opened(file: &Path, work: impl FnOnce()) -> usize {
    let events = inotify::init(inotify::CreateFlags::NONBLOCK).expect("inotify");
    // Of two events that are the same the kernel tells one: what is closed comes between what is opened.
    let watched = inotify::WatchFlags::OPEN | inotify::WatchFlags::CLOSE;
    inotify::add_watch(&events, file, watched).expect("a watch");
    work();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&events, &mut buffer);
    let mut opened = 0;
    while let Ok(event) = reader.next() {
        opened += usize::from(event.events().contains(inotify::ReadFlags::OPEN));
    }
    opened
}

#[test]
fn a_command_opens_the_configuration_once_and_asks_the_daemon_once() {
    let _netns = Netns::enter();
    let daemon = Daemon::start("", &no_feed());
    let asked = counted(&daemon);
    let does = |args: &[&str], opens: usize| {
        let before = asked.load(Ordering::SeqCst);
        let opened = opened(&daemon.config(), || drop(daemon.cli(args)));
        assert_eq!((opened, asked.load(Ordering::SeqCst) - before), (opens, 1), "{args:?}");
    };
    // Once the command, and once the daemon where there is something new.
    does(&["block", "198.51.100.7", "--comment", "x"], 2);
    assert_eq!(manual(), BTreeSet::from(["198.51.100.7".to_owned()]));
    does(&["allow", "198.51.100.8", "192.0.2.8"], 2);
    assert_eq!(allowed().len(), 2);
    does(&["block", "--timeout", "1h", "192.0.2.1"], 1);
    does(&["allow", "--timeout", "1h", "192.0.2.2"], 1);
    does(&["unblock", "192.0.2.1"], 1);
    does(&["unblock", "198.51.100.7"], 2);
    does(&["disallow", "192.0.2.2"], 1);
    does(&["disallow", "198.51.100.8", "192.0.2.8"], 2);
    assert!(manual().is_empty() && allowed().is_empty());
}

/// Every answer says what is true afterwards, and names what still blocks or allows.
#[test]
fn answers_say_what_is_true_afterwards() {
    let _netns = Netns::enter();
    let sections = "config block\n\toption ip '198.51.100.0/24'\nconfig allow\n\toption ip '192.0.2.7'\n\toption comment 'office'\n";
    let daemon = Daemon::start("", &[&no_feed(), sections].join("\n"));
    type Step<'a> = (&'a [&'a str], i32, &'a [&'a str], &'a [&'a str]);
    let steps: &[Step] = &[
        (
            &["block", "--timeout", "1h", "198.51.100.3"],
            0,
            &["blocked until taken back", "198.51.100.0/24", "you for"],
            &[],
        ),
        (&["unblock", "198.51.100.3"], 0, &["is still blocked", "198.51.100.0/24", "the configuration"], &["free"]),
        (
            &["unblock", "198.51.100.3"],
            1,
            &["is still blocked", "198.51.100.0/24", "no ban of it alone"],
            &["not banned"],
        ),
        (&["block", "--timeout", "1h", "192.0.2.7"], 0, &["is allowed", "office", "you for 1h"], &["is blocked"]),
        (&["block", "192.0.2.7"], 0, &["is allowed", "office"], &["is blocked"]),
        (&["unblock", "192.0.2.7"], 0, &["is allowed", "office"], &["free"]),
        (&["block", "203.0.113.9"], 0, &["203.0.113.9 is blocked until taken back"], &[]),
        (
            &["block", "--timeout", "5", "203.0.113.9"],
            0,
            &["blocked until taken back", "the configuration", "you for 5s"],
            &["blocked for"],
        ),
        (
            &["block", "--timeout", "5", "--by", "probe", "203.0.113.9"],
            0,
            &["until taken back", "by probe for 5s"],
            &["blocked for"],
        ),
        (&["unblock", "--by", "probe", "203.0.113.9"], 0, &["is still blocked", "no longer by probe"], &["free"]),
        (&["unblock", "--by", "probe", "203.0.113.9"], 0, &["is still blocked", "probe had no ban"], &[]),
        (&["unblock", "203.0.113.9"], 0, &["is free"], &[]),
        (&["unblock", "--by", "probe", "203.0.113.9"], 0, &["not banned by probe"], &[]),
        (&["block", "--by", "probe", "203.0.113.9"], 2, &["--timeout"], &[]),
        (&["block", "--by", "config", "--timeout", "1h", "203.0.113.9"], 2, &["no name"], &[]),
        (&["block", "--by", "two words", "--timeout", "1h", "203.0.113.9"], 2, &["no name"], &[]),
        (&["allow", "--timeout", "1h", "198.51.100.9"], 0, &["is allowed for 1h", "198.51.100.0/24"], &[]),
        (&["disallow", "198.51.100.9"], 0, &["no longer allowed by you", "is blocked", "198.51.100.0/24"], &[]),
        (
            &["block", "--timeout", "1h", "--by", "probe", "203.0.113.1", "203.0.113.2", "203.0.113.3"],
            0,
            &["203.0.113.3"],
            &[],
        ),
        (&["block", "--timeout", "1h", "203.0.113.2"], 0, &["by you", "by probe"], &[]),
        (&["clear", "--by", "probe"], 0, &["3 of probe's bans", "1 of them"], &[]),
        (&["clear", "--by", "config"], 2, &["no name"], &[]),
        (&["clear", "--by", "owner"], 0, &["1 of your bans"], &[]),
    ];
    for (args, status, words, absent) in steps {
        let (got, printed) = daemon.exit(args);
        assert_eq!(got, Some(*status), "{args:?}: {printed}");
        for word in *words {
            assert!(printed.contains(word), "{args:?} does not say {word:?}: {printed}");
        }
        for word in *absent {
            assert!(!printed.contains(word), "{args:?} says {word:?}: {printed}");
        }
    }
    assert_eq!(manual(), BTreeSet::from(["198.51.100.0/24".to_owned()]));
}

/// Bans of several programs stand side by side: each ends, and is taken back, by itself.
#[test]
fn each_program_takes_back_its_own_ban_alone() {
    let _netns = Netns::enter();
    let daemon = Daemon::start("", &no_feed());
    let before = fs::read_to_string(daemon.config()).unwrap();
    for (by, time) in [("fail2ban/sshd", "1h"), ("fail2ban/recidive", "7d"), ("sieve", "2h")] {
        daemon.cli(&["block", "203.0.113.8", "--timeout", time, "--by", by]);
    }
    let check: Value = serde_json::from_str(&daemon.cli(&["check", "203.0.113.8", "--json"])).unwrap();
    let bans = check["bans"].as_array().unwrap();
    let held: BTreeSet<(&str, u64)> =
        bans.iter().map(|ban| (ban["by"].as_str().unwrap(), (ban["left"].as_u64().unwrap() + 30) / 3600)).collect();
    assert_eq!(held, BTreeSet::from([("fail2ban/sshd", 1), ("fail2ban/recidive", 168), ("sieve", 2)]));
    assert_eq!(daemon.cli(&["list", "manual"]).lines().count(), 3);
    let left = || nft_set_elements("diswall_manual4").get("203.0.113.8").and_then(|element| element.expires);
    assert!(left().unwrap() > 6 * 86_400);
    daemon.cli(&["unblock", "203.0.113.8", "--by", "fail2ban/recidive"]);
    assert!((3600..=7200).contains(&left().unwrap()), "{:?}", left());
    daemon.cli(&["clear", "--by", "sieve"]);
    assert!((3000..=3600).contains(&left().unwrap()), "{:?}", left());
    daemon.cli(&["unblock", "203.0.113.8", "--by", "fail2ban/sshd"]);
    assert!(manual().is_empty());
    assert_eq!(fs::read_to_string(daemon.config()).unwrap(), before);
}

#[test]
fn everything_can_be_blocked_by_force_and_the_routers_own_stays_free() {
    let _netns = Netns::enter();
    uplink();
    let daemon = Daemon::start("", &no_feed());
    daemon.cli(&["block", "--force", "0.0.0.0/0", "::/0"]);
    assert!(holds("diswall_manual4", "198.51.100.7") && holds("diswall_manual6", "2001:db8:bad::1"));
    for own in ["203.0.113.2", "203.0.113.1", "198.18.0.1", "127.0.0.1"] {
        let passes = holds("diswall_allow4", own) || !holds("diswall_manual4", own);
        assert!(passes, "{own} is locked out: {:?} {:?}", set("diswall_manual4"), set("diswall_allow4"));
    }
    daemon.cli(&["unblock", "0.0.0.0/0", "::/0"]);
    assert!(manual().is_empty());
}

#[test]
fn networks_that_overlap_are_merged_for_the_kernel_and_shown_one_by_one() {
    let _netns = Netns::enter();
    let daemon = Daemon::start("", &no_feed());
    daemon.cli(&["block", "198.51.100.0/24", "198.51.101.0/24", "198.51.100.128/25", "198.51.100.7"]);
    daemon.cli(&["block", "--timeout", "1h", "198.51.96.0/20"]);
    for address in ["198.51.100.7", "198.51.100.200", "198.51.101.1", "198.51.97.1"] {
        assert!(holds("diswall_manual4", address), "{address}");
    }
    let listed = daemon.cli(&["list", "manual"]);
    for net in ["198.51.100.0/24", "198.51.101.0/24", "198.51.100.128/25", "198.51.100.7", "198.51.96.0/20"] {
        assert!(listed.contains(net), "{net}: {listed}");
    }
    daemon.cli(&["unblock", "198.51.96.0/20"]);
    assert!(!holds("diswall_manual4", "198.51.97.1") && holds("diswall_manual4", "198.51.100.1"));
    daemon.cli(&["unblock", "198.51.100.0/24"]);
    assert!(!holds("diswall_manual4", "198.51.100.1"));
    for address in ["198.51.100.7", "198.51.100.200", "198.51.101.1"] {
        assert!(holds("diswall_manual4", address), "{address} is blocked by itself");
    }
}

#[test]
fn a_limit_raised_or_lowered_is_in_force_after_the_reload() {
    let _netns = Netns::enter();
    let networks: BTreeSet<String> = (0..40).map(|n| format!("203.0.113.{}/31", n * 4)).collect();
    let blocks: String = networks.iter().map(|net| format!("config block\n\toption ip '{net}'\n")).collect();
    let main = |most: u32| format!("\toption local_only '1'\n\toption max_entries '{most}'");
    let sections = [no_feed(), blocks].join("\n");
    let daemon = Daemon::start(&main(32), &sections);
    wait_until(DEADLINE, "as many as may be", || manual().len() == 32);
    for (most, in_force) in [(4096, 40), (16, 16), (64, 40)] {
        daemon.configure(&main(most), &sections);
        // The sets' own size is the rules', which a reload of the service loads first.
        daemon.load_rules();
        daemon.reload();
        wait_until(DEADLINE, &format!("{in_force} with a limit of {most}"), || manual().len() == in_force);
        let cut = 40 - in_force;
        wait_until(DEADLINE, "what is said", || source(&daemon, "manual")["cut"] == cut);
        let problems = daemon.status()["problems"].to_string();
        assert_eq!(problems.contains(&format!("max_entries is {most}")), cut > 0, "{problems}");
    }
}

#[test]
fn diswalls_allowances_are_not_the_owners() {
    let _netns = Netns::enter();
    let mut service = DisWallService::start();
    service.tell("allow 198.51.100.200");
    let daemon = Daemon::start("", &[NO_DYNFW, &service.section(), NO_SCAN].join("\n"));
    wait_until(DEADLINE, "DisWall's allowance", || allowed().contains("198.51.100.200"));
    let (status, printed) = daemon.exit(&["disallow", "198.51.100.200"]);
    assert!(status == Some(1) && printed.contains("DisWall"), "{status:?} {printed}");
    daemon.cli(&["allow", "198.51.100.200", "--comment", "mine too"]);
    let said = daemon.cli(&["disallow", "198.51.100.200"]);
    assert!(said.contains("DisWall's own allowance stays"), "{said}");
    assert!(allowed().contains("198.51.100.200"));
    daemon.cli(&["allow", "198.51.100.200"]);
    service.tell("disallow 198.51.100.200");
    wait_until(DEADLINE, "DisWall has taken its own back", || !daemon.cli(&["list", "allow"]).contains("nats"));
    assert!(allowed().contains("198.51.100.200"), "the owner's stays");
}

#[test]
fn an_address_that_becomes_the_routers_own_is_free_while_it_is() {
    let _netns = Netns::enter();
    uplink();
    let mut sentinel = Sentinel::start(&["--size", "50"]);
    sentinel.tell("addresses 198.51.100.50 198.51.100.51");
    sentinel.tell("publish every 0.3");
    let daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_until(DEADLINE, "both bans", || set("diswall_dynfw4").len() == 2);
    daemon.cli(&["block", "198.51.100.50"]);
    // The provider gives the uplink that very address.
    run("ip", &["address", "add", "198.51.100.50/32", "dev", "up0"]);
    wait_until(DEADLINE, "it is free", || !holds("diswall_dynfw4", "198.51.100.50") && manual().is_empty());
    assert!(holds("diswall_dynfw4", "198.51.100.51"));
    assert_eq!(source(&daemon, "dynfw")["withheld"], 1);
    let (status, printed) = daemon.exit(&["check", "198.51.100.50"]);
    assert!(status == Some(1) && printed.contains("router"), "{printed}");
    // A firewall restart must not bring it back either.
    nft(&["delete", "table", "inet", "fw4"]);
    daemon.load_rules();
    wait_until(DEADLINE, "the other ban is back", || holds("diswall_dynfw4", "198.51.100.51"));
    assert!(!holds("diswall_dynfw4", "198.51.100.50") && manual().is_empty());
    run("ip", &["address", "del", "198.51.100.50/32", "dev", "up0"]);
    wait_until(DEADLINE, "it is banned again", || {
        holds("diswall_dynfw4", "198.51.100.50") && holds("diswall_manual4", "198.51.100.50")
    });
}

/// What the kernel holds of every source that was banned with an end or by a feed.
fn everything() -> BTreeSet<String> {
    &(&set("diswall_dynfw4") | &set("diswall_dynfw6")) | &manual()
}

#[test]
fn bans_outlive_a_reboot_and_are_in_the_kernel_before_any_feed_has_answered() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--size", "500"]);
    sentinel.tell("publish every 0.3");
    let mut daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_until(DEADLINE, "the list", || source(&daemon, "dynfw")["v4"] == 500);
    daemon.cli(&["block", "--timeout", "1h", "192.0.2.1", "2001:db8:bad::/48", "--comment", "kept"]);
    daemon.cli(&["allow", "--timeout", "1h", "192.0.2.9"]);
    sentinel.tell("publish off");
    let before = everything();
    assert_eq!(before.len(), 502);
    daemon.stop(DEADLINE);
    // The list comes no more; the table is gone; CLOCK_BOOTTIME is another: as after a reboot, once with a
    // clock far ahead of the former, once as it was.
    for boottime in ["315360000", "0"] {
        sleep(Duration::from_secs(2));
        nft(&["delete", "table", "inet", "fw4"]);
        daemon.load_rules();
        let run = daemon.as_installed();
        let mut moved = Command::new("unshare");
        moved.args(["--time", "--boottime", boottime]).arg(run.get_program()).args(run.get_args());
        daemon.spawn(&moved);
        daemon.wait_answering();
        wait_until(DEADLINE, "everything is back", || everything() == before);
        assert!(allowed().contains("192.0.2.9"));
        let left = nft_set_elements("diswall_manual4")["192.0.2.1"].expires.expect("an end");
        assert!((3400..=3598).contains(&left), "{left} s left: the time away counts, and no more than that");
        assert!(daemon.cli(&["list", "manual"]).contains("kept"));
        daemon.stop(DEADLINE);
    }
}

#[test]
fn a_kill_costs_no_ban_that_the_kernel_has() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::start("", &no_feed());
    daemon.cli(&["block", "--timeout", "1h", "192.0.2.1", "2001:db8:bad::/48"]);
    daemon.cli(&["block", "192.0.2.2"]);
    daemon.kill();
    daemon.run();
    let kept = BTreeSet::from(["192.0.2.1", "192.0.2.2", "2001:db8:bad::/48"].map(str::to_owned));
    assert_eq!(manual(), kept);
    let left = nft_set_elements("diswall_manual4")["192.0.2.1"].expires.expect("an end");
    assert!((3400..=3600).contains(&left), "{left}");
    let listed = daemon.cli(&["list", "manual"]);
    assert!(kept.iter().all(|net| listed.contains(net.as_str())), "{listed}");
}

/// Calls the command line with something to read.
fn fed(daemon: &Daemon, args: &[&str], input: &str) -> (Option<i32>, String) {
    use std::io::Write;
    let mut command = daemon.command(args);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn any_number_of_addresses_is_read_all_or_none() {
    let _netns = Netns::enter();
    let daemon = Daemon::start("", &no_feed());
    let address = |number: u32| std::net::Ipv4Addr::from_bits(0x2d00_0000 + 2 * number).to_string();
    let list: String = (0..4000).map(|number| format!("{} # farm\n", address(number))).collect();
    let block = ["block", "-", "--timeout", "1h", "--by", "list"];
    let (status, printed) = fed(&daemon, &block, &format!("{list}nonsense\n"));
    assert!(status == Some(2) && printed.contains("nonsense"), "{printed}");
    let (status, printed) = fed(&daemon, &block, &format!("{list}127.0.0.1\n"));
    assert!(status == Some(1) && printed.contains("127.0.0.1"), "{printed}");
    assert!(manual().is_empty() && daemon.cli(&["list"]).is_empty());
    let (status, printed) = fed(&daemon, &block, &list);
    assert!(
        status == Some(0) && printed.contains("4000 addresses and networks are blocked by list for 1h"),
        "{printed}"
    );
    assert_eq!(source(&daemon, "manual")["v4"], 4000);
    assert!(holds("diswall_manual4", &address(0)) && holds("diswall_manual4", &address(3999)));
    assert!(!holds("diswall_manual4", &std::net::Ipv4Addr::from_bits(0x2d00_0001).to_string()));
    let (status, _) = fed(&daemon, &["unblock", "-", "--by", "list"], &list);
    assert_eq!((status, manual().len()), (Some(0), 0));
    assert_eq!(fed(&daemon, &block, "").0, Some(2), "nothing to block");
}

#[test]
fn allowances_and_connections_are_taken_from_standard_input_too() {
    let _netns = Netns::enter();
    let daemon = Daemon::start("", &no_feed());
    let address = |number: u32| std::net::Ipv4Addr::from_bits(0x2d00_0000 + 2 * number).to_string();
    let list: String = (0..1500).map(|number| format!("{} # friend\n", address(number))).collect();
    for command in [&["allow", "-", "--timeout", "1h"][..], &["allow", "-"], &["disallow", "-"], &["kick", "-"]] {
        let (status, printed) = fed(&daemon, command, &format!("{list}nonsense\n"));
        assert!(status == Some(2) && printed.contains("nonsense"), "{command:?}: {printed}");
        assert_eq!(fed(&daemon, command, "# nobody\n").0, Some(2), "{command:?}: nothing at all");
    }
    assert!(allowed().is_empty());
    for lasting in [&[][..], &["--timeout", "1h"]] {
        let (status, printed) = fed(&daemon, &[&["allow", "-"], lasting].concat(), &list);
        assert!(status == Some(0) && printed.contains("1500 addresses and networks are allowed"), "{printed}");
        assert!(holds("diswall_allow4", &address(0)) && holds("diswall_allow4", &address(1499)));
        let (status, printed) = fed(&daemon, &["disallow", "-"], &list);
        assert_eq!((status, printed.lines().count(), allowed().len()), (Some(0), 1500, 0));
    }
    let (status, printed) = fed(&daemon, &["kick", "-"], &list);
    assert_eq!((status, printed.trim()), (Some(0), "0 connections of 1500 addresses and networks ended"));
}

/// As a power cut, or the kernel's OOM killer and a firewall restart: nothing is left but the record.
#[test]
fn what_was_said_outlives_a_kill_and_a_flushed_firewall() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::start("", &no_feed());
    daemon.cli(&["block", "--timeout", "1h", "192.0.2.1", "2001:db8:bad::/48", "--comment", "said"]);
    daemon.cli(&["block", "--timeout", "2h", "--by", "fail2ban/sshd", "192.0.2.1", "192.0.2.2"]);
    daemon.cli(&["block", "--timeout", "0", "--by", "sieve", "192.0.2.3"]);
    daemon.cli(&["block", "--timeout", "1h", "192.0.2.4"]);
    daemon.cli(&["allow", "--timeout", "1h", "192.0.2.9", "192.0.2.10"]);
    daemon.cli(&["unblock", "192.0.2.4"]);
    daemon.cli(&["disallow", "192.0.2.10"]);
    daemon.cli(&["unblock", "--by", "fail2ban/sshd", "192.0.2.2"]);
    let list = |daemon: &Daemon| {
        let rows = daemon.cli(&["list", "manual", "--json"]);
        let rows = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
        rows.map(|row| format!("{} {} {}", row["address"], row["by"], row["reason"]["text"])).collect::<BTreeSet<_>>()
    };
    let before = list(&daemon);
    assert_eq!(before.len(), 4);
    let record = daemon.state_dir().join("record");
    for _ in 0..3 {
        daemon.kill();
        let _ = fs::remove_file(daemon.state_dir().join("ledger"));
        nft(&["flush", "ruleset"]);
        // Torn in the middle of what would have been said next.
        let torn = [fs::read(&record).unwrap(), b"\xd1dw1\0\0\0\x40torn".to_vec()].concat();
        fs::write(&record, torn).unwrap();
        daemon.load_rules();
        daemon.run();
        assert_eq!(list(&daemon), before);
        assert_eq!(manual(), ["192.0.2.1", "192.0.2.3", "2001:db8:bad::/48"].map(str::to_owned).into());
        assert_eq!(allowed(), BTreeSet::from(["192.0.2.9".to_owned()]));
        let left = nft_set_elements("diswall_manual4")["192.0.2.1"].expires.expect("an end");
        assert!((7000..=7200).contains(&left), "{left}");
    }
    // A stop, and one second of its own for each ban, costs nothing either.
    daemon.stop(DEADLINE);
    nft(&["flush", "set", "inet", "fw4", "diswall_manual4"]);
    daemon.run();
    assert_eq!(list(&daemon), before);
}

/// What the router saw itself is in the record after a clean stop.
#[test]
fn growing_bans_outlive_a_reboot() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::start("", &[NO_DYNFW, NO_NATS, NO_SCAN, LOGIN].join("\n").replace("LOG", "/dev/null"));
    let log = daemon.path("log");
    fs::write(&log, "").unwrap();
    daemon.configure("", &[NO_DYNFW, NO_NATS, NO_SCAN, &LOGIN.replace("LOG", log.to_str().unwrap())].join("\n"));
    daemon.reload();
    let fail = |address: &str| {
        let line = format!("Nov 27 10:00:00 router door[1]: bad {address}\n");
        use std::io::Write;
        fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(line.as_bytes()).unwrap();
    };
    let bans = |daemon: &Daemon, address: &str| {
        let check: Value =
            serde_json::from_str(&daemon.try_cli(&["check", address, "--json"]).unwrap_or("{}".into())).unwrap();
        check["bans"][0]["offences"].as_u64().unwrap_or(0)
    };
    wait_until(DEADLINE, "the log is followed", || {
        fail("198.51.100.7");
        bans(&daemon, "198.51.100.7") == 1
    });
    for cleanly in [true, false] {
        if cleanly {
            daemon.stop(DEADLINE);
        } else {
            daemon.kill();
        }
        let _ = fs::remove_file(daemon.state_dir().join("ledger"));
        nft(&["flush", "ruleset"]);
        daemon.load_rules();
        daemon.run();
        assert_eq!(bans(&daemon, "198.51.100.7"), 1, "stopped cleanly: {cleanly}");
    }
    // The owner's word about it is kept at once.
    daemon.cli(&["unblock", "198.51.100.7"]);
    daemon.kill();
    let _ = fs::remove_file(daemon.state_dir().join("ledger"));
    nft(&["flush", "ruleset"]);
    daemon.load_rules();
    daemon.run();
    assert_eq!(bans(&daemon, "198.51.100.7"), 0);
}

const LOGIN: &str = "config login 'login'\n\toption enabled '0'\nconfig logwatch 'door'\n\tlist program 'door'\n\tlist pattern 'bad <HOST>'\n\toption attempts '1'\n\toption source 'LOG'\n";

/// A command works without its record, and says what that means.
#[test]
fn a_record_that_cannot_be_written_is_said_and_heals() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::start("", &no_feed());
    let record = daemon.state_dir().join("record");
    daemon.kill();
    // No file system refuses root, but nobody writes over a directory.
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    daemon.run();
    let said = daemon.cli(&["block", "--timeout", "1h", "192.0.2.1"]);
    assert!(said.contains("192.0.2.1 is blocked for 1h") && said.contains("will not outlive a power cut"), "{said}");
    assert_eq!(manual(), BTreeSet::from(["192.0.2.1".to_owned()]));
    let part = |daemon: &Daemon| {
        daemon.status()["parts"].as_array().unwrap().iter().find(|part| part["name"] == "keep").unwrap().clone()
    };
    assert_eq!(part(&daemon)["state"], "broken");
    fs::remove_dir(&record).unwrap();
    let said = daemon.cli(&["block", "--timeout", "1h", "192.0.2.2"]);
    assert!(!said.contains("power cut"), "{said}");
    assert_eq!(part(&daemon)["state"], "in_force");
    daemon.kill();
    nft(&["flush", "set", "inet", "fw4", "diswall_manual4"]);
    daemon.run();
    assert_eq!(manual(), BTreeSet::from(["192.0.2.1-192.0.2.2".to_owned()]), "what was said meanwhile is kept too");
}

#[test]
fn a_kill_during_a_snapshot_leaves_the_old_one_or_the_new() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--size", "20000"]);
    sentinel.tell("publish every 1");
    let mut daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_until(LONG, "the list", || source(&daemon, "dynfw")["v4"] == 20_000);
    sentinel.tell("publish off");
    daemon.stop(DEADLINE);
    for milliseconds in [0, 1, 3, 6, 10, 15, 25, 40] {
        daemon.run();
        daemon.cli(&["block", "--timeout", "1h", &format!("192.0.2.{milliseconds}")]);
        daemon.process().signal(Signal::SIGTERM);
        sleep(Duration::from_millis(milliseconds));
        daemon.kill();
        daemon.run();
        assert!(!daemon.state_dir().join("ledger.damaged").exists(), "after {milliseconds} ms");
        assert_eq!(source(&daemon, "dynfw")["v4"], 20_000, "after {milliseconds} ms");
        daemon.stop(DEADLINE);
    }
}

#[test]
fn a_snapshot_that_is_foreign_or_cut_off_is_set_aside_and_said() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::start("", &no_feed());
    daemon.cli(&["block", "--timeout", "1h", "192.0.2.1"]);
    daemon.stop(DEADLINE);
    let ledger = daemon.state_dir().join("ledger");
    let whole = fs::read(&ledger).unwrap();
    for broken in [&b"#!/bin/sh\necho not mine\n"[..], &whole[..whole.len() - 1], &whole[..10], b""] {
        fs::write(&ledger, broken).unwrap();
        nft(&["flush", "set", "inet", "fw4", "diswall_manual4"]);
        daemon.run();
        let problems = daemon.status()["problems"].to_string();
        assert!(problems.contains("ledger.damaged"), "{} bytes: {problems}", broken.len());
        assert_eq!(fs::read(daemon.state_dir().join("ledger.damaged")).unwrap(), broken);
        assert_eq!(manual(), BTreeSet::from(["192.0.2.1".to_owned()]), "the record has it");
        daemon.stop(DEADLINE);
    }
    // A record with nothing to be read in it: the snapshot has what was said.
    let record = daemon.state_dir().join("record");
    for broken in [&b"#!/bin/sh\necho not mine\n"[..], &[0xff; 3000], b""] {
        fs::write(&record, broken).unwrap();
        nft(&["flush", "set", "inet", "fw4", "diswall_manual4"]);
        daemon.run();
        let problems = daemon.status()["problems"].to_string();
        assert_eq!(problems.contains("record.damaged"), !broken.is_empty(), "{problems}");
        assert_eq!(manual(), BTreeSet::from(["192.0.2.1".to_owned()]));
        daemon.stop(DEADLINE);
    }
}

#[test]
fn reloads_ten_times_a_second_under_a_stream_of_deltas_lose_nothing() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--size", "2000"]);
    sentinel.tell("publish every 0.3");
    let daemon = Daemon::start("", &only_dynfw(&sentinel));
    daemon.cli(&["block", "198.51.100.0/24"]);
    wait_until(DEADLINE, "the list", || source(&daemon, "dynfw")["v4"] == 2000);
    sentinel.tell("publish off");
    sentinel.tell("deltas 500 0.5");
    let rules = daemon.cli(&["rules", "--standalone"]);
    // By turns what fw4's reload does (rules anew, sets stay), its restart (all anew), and a stranger's flush.
    let anew = format!("delete table inet fw4\n{rules}");
    let flushed = "flush set inet fw4 diswall_dynfw4\nflush set inet fw4 diswall_manual4\n";
    let begun = Instant::now();
    for text in [rules.as_str(), &anew, &rules, flushed].into_iter().cycle() {
        nft_load(text);
        sleep(Duration::from_millis(100));
        if begun.elapsed() > Duration::from_secs(20) {
            break;
        }
    }
    sentinel.tell("deltas 0");
    let wanted = sentinel.addresses();
    wait_until(DEADLINE, "the sets are equal to the list", || {
        &set("diswall_dynfw4") | &set("diswall_dynfw6") == wanted
    });
    assert_eq!(manual(), BTreeSet::from(["198.51.100.0/24".to_owned()]));
    let listed = daemon.cli(&["list", "dynfw", "--json"]);
    assert_eq!(listed.lines().count(), wanted.len(), "the ledger");
}

#[test]
fn a_firewall_restart_with_100_000_bans_puts_every_one_back() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--size", "100000"]);
    sentinel.tell("publish every 3");
    let daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_until(LONG, "the list", || source(&daemon, "dynfw")["v4"] == 100_000);
    sentinel.tell("publish off");
    let wanted = sentinel.addresses();
    nft(&["delete", "table", "inet", "fw4"]);
    daemon.load_rules();
    wait_until(LONG, "every one is back", || set("diswall_dynfw4") == wanted);
}

/// Asks for the status over and over until it is over; the most CPU time that the daemon's loop spent between a
/// question and its answer. The clock on the wall would tell of the machine's other work.
fn most_work(id: u32, socket: &Path, over: &AtomicBool) -> Duration {
    let spent = || {
        let text = fs::read_to_string(format!("/proc/{id}/task/{id}/schedstat")).expect("it lives");
        let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
        Duration::from_nanos(nanoseconds.expect("a number"))
    };
    let mut most = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let start = spent();
        let mut stream = UnixStream::connect(socket).expect("the daemon listens");
        stream.write_all(b"{\"method\":\"status\"}\n").expect("it takes the question");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("it answers");
        assert!(answer.contains("\"sources\""), "{answer}");
        most = most.max(spent() - start);
        sleep(Duration::from_millis(5));
    }
    most
}

#[test]
fn questions_and_deltas_do_not_wait_while_a_large_set_is_compared_and_filled() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--size", "60000"]);
    sentinel.tell("publish every 3");
    let daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_until(LONG, "the list", || source(&daemon, "dynfw")["v4"] == 60_000);
    sentinel.tell("publish off");
    let refills = |daemon: &Daemon| daemon.status()["firewall"]["refills"].as_u64();
    let (id, socket, over) = (daemon.process().id(), daemon.path("run/control.sock"), AtomicBool::new(false));
    let most = std::thread::scope(|scope| {
        let asking = scope.spawn(|| most_work(id, &socket, &over));
        nft(&["add", "element", "inet", "fw4", "diswall_dynfw4", "{ 203.0.113.77 }"]);
        wait_until(DEADLINE, "the stranger goes", || !holds("diswall_dynfw4", "203.0.113.77"));
        // Compares everything; in the middle of it the firewall is loaded anew.
        daemon.cli(&["resync"]);
        sleep(Duration::from_millis(60));
        let before = refills(&daemon);
        nft(&["flush", "set", "inet", "fw4", "diswall_dynfw4"]);
        sentinel.tell("add 203.0.113.99");
        wait_until(DEADLINE, "a delta reaches the kernel", || holds("diswall_dynfw4", "203.0.113.99"));
        wait_until(LONG, "the set is filled again", || refills(&daemon) > before);
        over.store(true, Ordering::Relaxed);
        asking.join().expect("it was answered")
    });
    wait_until(LONG, "every one is back", || set("diswall_dynfw4") == sentinel.addresses());
    println!("at most {most:?} between question and answer");
    assert!(most < Duration::from_millis(250), "{most:?} of other work between a question and its answer");
}

/// As on a router: the daemon is no root, and `uci` leaves the configuration to root alone.
#[test]
fn a_change_reaches_a_daemon_that_is_not_root() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::prepare("\toption local_only '1'", &no_feed());
    daemon.load_rules();
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    daemon.run();
    run("chown", &["0:0", &path(&daemon.config())]);
    run("chmod", &["0600", &path(&daemon.config())]);
    daemon.cli(&["allow", "198.51.100.9"]);
    wait_until(DEADLINE, "the allowance", || holds("diswall_allow4", "198.51.100.9"));
    let file = fs::metadata(daemon.config()).expect("the configuration");
    use std::os::unix::fs::MetadataExt;
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (0, 914, 0o640));
}
