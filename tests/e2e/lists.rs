//! Lists on a router: what they block, let pass and shut out, by packets; how they come, stay and go, over a real
//! server and from files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::packets::{BAD, BOTH, DEADLINE, ECHO, GOOD, INSIDE, Lab, ROUTER, TALK, WORSE, Wrapping, ways_in, ways_out};
use crate::support::flow::{Attempt, Flows, expect_all, expect_each};
use crate::support::{ACCOUNT, Daemon, Netns, Proc, nft, nft_set_elements, run, wait_for, wait_until, web};

/// The networks of BAD and WORSE, which GOOD is not in.
const NETWORKS: &str = "198.51.100.64/26 # a farm\n2001:db8:bad::/48\n";

/// A `config list` of a file with this text, where the daemon may read it.
fn of_file(name: &str, text: &str, options: &str) -> (NamedTempFile, String) {
    let file = tempfile::Builder::new().permissions(Permissions::from_mode(0o644)).tempfile().expect("a file");
    fs::write(file.path(), text).expect("a list");
    let section = format!("config list '{name}'\n\toption url '{}'\n{options}", file.path().display());
    (file, section)
}

fn one(kind: &'static str, source: &'static str, server: &'static str, port: u16) -> Attempt<'static> {
    Attempt { kind, source, server, port }
}

/// Waits until the list is in force.
#[track_caller]
fn wait_live(daemon: &Daemon, name: &str) {
    wait_until(DEADLINE, name, || feed(daemon, name)["state"] == "live");
}

fn feed(daemon: &Daemon, name: &str) -> serde_json::Value {
    let status = daemon.status();
    let feeds = status["feeds"].as_array().expect("feeds");
    feeds.iter().find(|feed| feed["name"] == name).expect("the feed").clone()
}

fn source(daemon: &Daemon, name: &str) -> serde_json::Value {
    let status = daemon.status();
    let sources = status["sources"].as_array().expect("sources");
    sources.iter().find(|source| source["name"] == name).expect("the source").clone()
}

#[test]
fn a_list_blocks_its_networks_and_hosts_and_nobody_else() {
    for wrapping in BOTH {
        let lab = Lab::build();
        let text = format!("{}\n{}\n{}\n203.0.113.128/25\n", WORSE[0], WORSE[1], BAD[0]);
        let (_file, section) = of_file("farm", &text, "");
        let daemon = lab.daemon(wrapping, "", &section);
        wait_live(&daemon, "farm");
        let each = [
            ways_in(WORSE, ECHO),
            ways_in([BAD[0], BAD[0]], ECHO).into_iter().filter(|way| way.server == ROUTER[0]).collect(),
        ];
        expect_each(&[
            (Some(&lab.wan), &each.concat(), "silence"),
            (Some(&lab.wan), &ways_in(GOOD, ECHO), "open"),
            // Whom the LAN calls is not blocked.
            (Some(&lab.lan), &ways_out(BAD), "open"),
        ]);
        let counts = source(&daemon, "farm");
        assert_eq!((&counts["v4"], &counts["v6"], &counts["networks"]), (&2.into(), &1.into(), &1.into()));
        assert!(counts["packets"].as_u64() >= Some(10), "{wrapping:?} {counts}");
        let said = daemon.cli(&["check", WORSE[0]]);
        assert!(said.contains("farm"), "{said}");
        assert_eq!(daemon.exit(&["check", GOOD[0]]).0, Some(1));
        // The network that the router itself is in makes a hole of its own addresses, and says so.
        assert!(daemon.cli(&["list", "farm"]).contains("203.0.113.128/25"));
        // Nobody is struck off a list, and nobody says so.
        for address in WORSE {
            let (status, said) = daemon.exit(&["unblock", address]);
            assert!(status == Some(1) && said.contains("still blocked by farm"), "{status:?} {said}");
            assert!(said.contains(&format!("diswall allow {address}")) && !said.contains("no longer"), "{said}");
            assert_eq!(daemon.exit(&["check", address]).0, Some(0), "{address}");
        }
        // An allowance comes first, the list has nothing to say then.
        daemon.cli(&["allow", WORSE[0], WORSE[1]]);
        expect_all(Some(&lab.wan), &ways_in(WORSE, ECHO), "open");
    }
}

/// Who may write the configuration is not always root, and whoever may look at `status` sees a list's first lines: a file
/// that the daemon has for itself, with a secret in it, is no list.
/// Its sets are the daemon's, who fills them; the rules are root's, and may be older.
#[test]
fn a_list_that_no_rule_looks_up_is_not_called_in_force() {
    let _netns = Netns::enter();
    let daemon = Daemon::start("\toption local_only '1'", "");
    let (_file, section) = of_file("farm", NETWORKS, "");
    daemon.configure("\toption local_only '1'", &section);
    daemon.reload();
    wait_live(&daemon, "farm");
    let state = || {
        let status = daemon.status();
        let parts = status["parts"].as_array().expect("parts");
        let part = parts.iter().find(|part| part["name"] == "feed.farm").expect("the list's part");
        (status["state"].clone(), part["state"].clone())
    };
    wait_until(DEADLINE, "it is said", || state().1 == "broken");
    let said = daemon.exit(&["check", "198.51.100.70"]).1;
    assert!(said.contains("but the firewall does not go by it now"), "{said}");
    daemon.load_rules();
    wait_until(DEADLINE, "rules are loaded, and all is well", || state().1 == "in_force");
    let said = daemon.exit(&["check", "198.51.100.70"]).1;
    assert!(!said.contains("does not go by it"), "{said}");
}

#[test]
fn a_file_that_not_everybody_may_read_is_no_list() {
    const SECRET: &str = "SUAMK2FG4MI6UE3ACF3FK3OIQBCEIEZV7NSWFFEW63UXMRLFM2XLAXK4GY";
    let lab = Lab::build();
    let (file, section) = of_file("peek", SECRET, "");
    chown(file.path(), None, Some(ACCOUNT)).expect("the account's group");
    fs::set_permissions(file.path(), Permissions::from_mode(0o640)).expect("its mode");
    let daemon = lab.daemon(Wrapping::Fw4, "", &section);
    wait_until(DEADLINE, "it is refused", || {
        feed(&daemon, "peek")["error"].as_str().is_some_and(|error| error.contains("not everybody may read it"))
    });
    for said in [daemon.status().to_string(), daemon.cli(&["rpcd", "call", "feeds"])] {
        assert!(!said.contains("SUAMK2FG"), "{said}");
    }
}

#[test]
fn a_list_of_networks_ends_what_they_have_open() {
    let lab = Lab::build();
    let (file, section) = of_file("farm", "192.0.2.1\n", "");
    let daemon = lab.daemon(Wrapping::Fw4, "", &section);
    wait_live(&daemon, "farm");
    let mut outside = Flows::open(Some(&lab.wan), &[ways_in(BAD, ECHO), ways_in(BAD, TALK)].concat());
    let mut good = Flows::open(Some(&lab.wan), &ways_in(GOOD, ECHO));
    let mut inside = Flows::open(Some(&lab.lan), &ways_out(BAD));
    fs::write(file.path(), NETWORKS).expect("written");
    daemon.cli(&["resync", "farm"]);
    wait_until(DEADLINE, "it is in force", || !nft_set_elements("diswall_farm.net4").is_empty());
    Flows::are_severed([&mut outside], "listed");
    good.go_on("others");
    inside.go_on("opened inside");
}

#[test]
fn a_list_of_ports_and_receivers_blocks_those_calls_alone() {
    for wrapping in BOTH {
        let lab = Lab::build();
        // As for name servers over HTTPS: the LAN is not to call them there, nothing else is their business.
        let options = "\toption direction 'dst'\n\toption proto 'tcp'\n\tlist dest_port '7'\n";
        let (_file, section) = of_file("doh", NETWORKS, options);
        let daemon = lab.daemon(wrapping, "", &section);
        wait_live(&daemon, "doh");
        let out = ways_out(BAD);
        let (tcp, udp): (Vec<_>, Vec<_>) = out.into_iter().partition(|way| way.kind == "tcp");
        expect_each(&[
            (Some(&lab.lan), &tcp, "silence"),
            (Some(&lab.lan), &udp, "open"),
            (None, &[one("tcp", ROUTER[0], BAD[0], ECHO), one("tcp", ROUTER[1], BAD[1], ECHO)], "silence"),
            (Some(&lab.wan), &ways_in(BAD, ECHO), "open"),
            (Some(&lab.lan), &ways_out(GOOD), "open"),
        ]);
        drop(daemon);
        let options = "\toption direction 'src-dst'\n\toption proto 'udp'\n\toption action 'reject'\n";
        let (_file, section) = of_file("doh", NETWORKS, options);
        let lab = Lab::build();
        let daemon = lab.daemon(wrapping, "", &section);
        wait_live(&daemon, "doh");
        let (tcp, udp): (Vec<_>, Vec<_>) = ways_in(BAD, ECHO).into_iter().partition(|way| way.kind == "tcp");
        expect_each(&[
            (Some(&lab.wan), &udp, "refused"),
            (Some(&lab.wan), &tcp, "open"),
            (Some(&lab.lan), &ways_out(BAD).into_iter().filter(|way| way.kind == "udp").collect::<Vec<_>>(), "refused"),
        ]);
    }
}

#[test]
fn a_list_of_those_who_alone_may_come_shuts_out_the_others_and_never_the_owner() {
    for wrapping in BOTH {
        let lab = Lab::build();
        let (file, section) = of_file("office", NETWORKS, "\toption use 'only'\n");
        let mut daemon = Daemon::prepare("", &format!("{}{section}", crate::packets::NO_FEED));
        lab.load(&daemon, wrapping);
        // The rules are there before the daemon, and shut nobody out.
        expect_all(Some(&lab.wan), &ways_in(GOOD, ECHO), "open");
        daemon.run();
        wait_live(&daemon, "office");
        expect_each(&[
            (Some(&lab.wan), &[ways_in(BAD, ECHO), ways_in(WORSE, ECHO)].concat(), "open"),
            (Some(&lab.wan), &ways_in(GOOD, ECHO), "silence"),
            // What the inside calls answers, the router's neighbour on the line is met, and the LAN is the owner's.
            (Some(&lab.lan), &ways_out(GOOD), "open"),
            (Some(&lab.lan), &[one("tcp", INSIDE[0], "192.168.1.1", ECHO)], "refused"),
        ]);
        let (code, said) = daemon.exit(&["check", GOOD[0]]);
        assert!(code == Some(0) && said.contains("office"), "{said}");
        let (code, said) = daemon.exit(&["list", "office"]);
        assert!(code == Some(0) && said.contains("diswall: the list office is of those who alone may come"), "{said}");
        daemon.cli(&["allow", GOOD[0], GOOD[1]]);
        expect_all(Some(&lab.wan), &ways_in(GOOD, ECHO), "open");
        daemon.cli(&["disallow", GOOD[0], GOOD[1]]);
        // The list is gone: so is the restriction.
        fs::write(file.path(), "").expect("written");
        daemon.cli(&["resync", "office"]);
        wait_until(DEADLINE, "it is refused", || feed(&daemon, "office")["state"] == "waiting");
        expect_all(Some(&lab.wan), &ways_in(GOOD, ECHO), "silence");
        // The other way round: whom it let in it keeps out, and the others are free.
        fs::write(file.path(), NETWORKS).expect("written");
        daemon.configure("", &format!("{}{}", crate::packets::NO_FEED, section.replace("'only'", "'block'")));
        daemon.reload();
        wait_until(DEADLINE, "it blocks", || source(&daemon, "office")["networks"] == 2);
        expect_each(&[
            (Some(&lab.wan), &ways_in(BAD, ECHO), "silence"),
            (Some(&lab.wan), &ways_in(GOOD, ECHO), "open"),
        ]);
    }
}

#[test]
fn a_list_of_those_who_are_exempt_comes_before_every_ban() {
    let lab = Lab::build();
    let (_friends, section) =
        of_file("friends", &format!("{}\n2001:db8:bad::66/127\n", BAD[0]), "\toption use 'allow'\n");
    let (_farm, more) = of_file("farm", NETWORKS, "");
    let daemon = lab.daemon(Wrapping::Fw4, "", &format!("{section}{more}"));
    wait_live(&daemon, "friends");
    wait_live(&daemon, "farm");
    daemon.cli(&["block", "--timeout", "1h", BAD[0]]);
    let worse4: Vec<_> = ways_in(WORSE, ECHO).into_iter().filter(|way| way.source == WORSE[0]).collect();
    expect_each(&[(Some(&lab.wan), &ways_in(BAD, ECHO), "open"), (Some(&lab.wan), &worse4, "silence")]);
    let (code, said) = daemon.exit(&["check", BAD[0]]);
    assert!(code == Some(1) && said.contains("friends"), "{said}");
    let row = |source: &str| {
        let (_, said) = daemon.exit(&["list", source]);
        said.lines().find(|line| line.starts_with(BAD[0])).unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    assert!(row("manual").ends_with("; not in force: it is allowed"), "{}", row("manual"));
    assert!(row("friends").ends_with("; not in force: it is allowed"), "{}", row("friends"));
    assert!(daemon.exit(&["list", "friends"]).1.contains("nobody on it is blocked by it"));
}

#[test]
fn a_list_may_hold_in_a_zone_of_its_own() {
    let lab = Lab::build();
    // A network behind the LAN, which is not the router's own.
    lab.lan.run("ip", &["address", "add", "2001:db8:f00::5", "dev", "lo"]);
    run("ip", &["route", "add", "2001:db8:f00::/48", "via", INSIDE[1]]);
    let (_file, section) =
        of_file("guests", &format!("2001:db8:f00::/48\n{}\n{}\n", BAD[0], INSIDE[1]), "\tlist zone 'lan'\n");
    let daemon = lab.daemon(Wrapping::Fw4, "\tlist zone 'wan'", &section);
    wait_live(&daemon, "guests");
    expect_each(&[
        (Some(&lab.lan), &[one("tcp", "2001:db8:f00::5", GOOD[1], ECHO)], "silence"),
        // The LAN's own host is on it too, and is nobody's to list.
        (Some(&lab.lan), &ways_out(GOOD), "open"),
        // In the zone outside it does not hold.
        (Some(&lab.wan), &ways_in(BAD, ECHO), "open"),
    ]);
}

/// Everything in the kernel that has the list's name.
fn traces(name: &str) -> Vec<String> {
    let ruleset = nft(&["-s", "list", "ruleset"]);
    let names = |line: &&str| line.split(['_', '.', '4', '6', ' ', '"']).any(|word| word == name);
    ruleset.lines().filter(names).map(str::to_owned).collect()
}

#[test]
fn a_list_that_is_gone_leaves_nothing_in_the_kernel() {
    let lab = Lab::build();
    let text = format!("{}\n{NETWORKS}\n", GOOD[0]);
    let (_file, farm) = of_file("farm", &text, "\toption log_drops '1'\n");
    let (_other, stays) = of_file("stays", &text, "");
    let section = |own: &str| format!("{}\n{stays}{own}", crate::packets::NO_FEED);
    let daemon = lab.daemon(Wrapping::Standalone, "", &format!("{stays}{farm}"));
    wait_live(&daemon, "farm");
    wait_live(&daemon, "stays");
    let held = |name: &str| nft_set_elements(name).len();
    wait_until(DEADLINE, "all is in force", || held("diswall_farm4") == 1 && held("diswall_farm.net6") == 1);
    // While rules name them, they stay as they are, and nothing is wrong.
    daemon.configure("", &section(""));
    daemon.reload();
    let of_firewall = |daemon: &Daemon| daemon.status()["firewall"]["state"].clone();
    wait_until(DEADLINE, "the daemon has it", || !daemon.status()["sources"].to_string().contains("farm"));
    wait_until(DEADLINE, "the firewall is in order", || of_firewall(&daemon) == "ok");
    assert!(!traces("farm").is_empty());
    // A reload of the firewall leaves sets; its own rules name this one no more.
    daemon.load_rules();
    wait_until(DEADLINE, "nothing of it is left", || traces("farm").is_empty());
    assert_eq!((held("diswall_stays4"), held("diswall_stays.net6")), (1, 1));
    // The other order: the rules first, as the service does it.
    daemon.configure("", &section(&farm));
    daemon.load_rules();
    daemon.reload();
    wait_until(DEADLINE, "it is back", || held("diswall_farm4") == 1);
    daemon.configure("", &section(""));
    daemon.load_rules();
    daemon.reload();
    wait_until(DEADLINE, "nothing of it is left", || traces("farm").is_empty());
    assert_eq!(of_firewall(&daemon), "ok");
}

#[test]
fn a_list_is_fetched_kept_asked_for_again_and_never_replaced_by_rubbish() {
    let _netns = crate::support::Netns::enter();
    let place = tempfile::tempdir().expect("a place");
    let put = |bytes: &[u8]| fs::write(place.path().join("list"), bytes).expect("written");
    let many: String = (0..200).map(|n| format!("198.51.100.{n}\n")).collect();
    put(many.as_bytes());
    let server = web::serve(web::FILES, place.path(), "8090", None);
    let section = "config list 'web'\n\toption url 'http://127.0.0.1:8090/list'\n\toption interval '10m'\n";
    let mut daemon = Daemon::start("", &format!("{}{section}", crate::packets::NO_FEED));
    crate::support::nft_load("table inet fw4 { }");
    wait_live(&daemon, "web");
    assert_eq!(server.line(DEADLINE), "/list 200");
    let held = || nft_set_elements("diswall_web4").len();
    wait_until(DEADLINE, "all are in force", || held() == 200);
    // After a restart the list is there before anybody is asked.
    daemon.stop(DEADLINE);
    run("nft", &["flush", "set", "inet", "fw4", "diswall_web4"]);
    daemon.run();
    daemon.wait_answering();
    wait_until(DEADLINE, "all are in force again", || held() == 200);
    assert_eq!(feed(&daemon, "web")["lists"], 0);
    for (what, body, why) in [
        ("an error page", &b"<!DOCTYPE html><html><body>198.51.100.7</body></html>"[..], "HTML"),
        ("nothing", b"", "empty"),
        ("UTF-16", b"\xff\xfe1\09\08\0", "UTF-16"),
        ("this router", b"127.0.0.1\n10.0.0.1\n", "without an address that may be banned"),
    ] {
        put(body);
        daemon.cli(&["resync", "web"]);
        let error = wait_for(DEADLINE, what, || {
            feed(&daemon, "web")["error"].as_str().filter(|error| error.contains(why)).map(str::to_owned)
        });
        assert_eq!(held(), 200, "{what}: {error}");
    }
    // On what wears it is written once in half a day.
    let kept = || fs::read(daemon.state_dir().join("list.web")).expect("what is kept");
    let before = kept();
    put(many.replace("198.51.100.7\n", "").as_bytes());
    daemon.cli(&["resync", "web"]);
    wait_until(DEADLINE, "one has gone", || held() == 199);
    assert_eq!(feed(&daemon, "web")["state"], "live");
    let in_ram = run("stat", &["-f", "-c", "%T", &daemon.state_dir().display().to_string()]).trim() == "tmpfs";
    assert_eq!(kept() != before, in_ram);
}

#[test]
fn a_list_that_has_not_changed_leaves_the_kernel_alone() {
    let _netns = crate::support::Netns::enter();
    let place = tempfile::tempdir().expect("a place");
    let put = |text: &str| fs::write(place.path().join("list"), text).expect("written");
    let many: String = (0..100).map(|n| format!("198.51.100.{0}\n2001:db8:{0}::/48\n", 2 * n)).collect();
    put(&many);
    let server = web::serve(web::FILES, place.path(), "8091", None);
    let section = "config list 'web'\n\toption url 'http://127.0.0.1:8091/list'\n";
    let daemon = Daemon::start("", &format!("{}{section}", crate::packets::NO_FEED));
    wait_live(&daemon, "web");
    assert_eq!(server.line(DEADLINE), "/list 200");
    let held = || (nft_set_elements("diswall_web4").len(), nft_set_elements("diswall_web.net6").len());
    wait_until(DEADLINE, "all are in force", || held() == (100, 100));
    let monitor = Proc::spawn(Command::new("stdbuf").args(["-oL", "nft", "monitor"]));
    // It listens as soon as it tells of this.
    let mark = |name: &str| drop(nft(&["add", "table", "inet", name]));
    let mut tries = 0;
    wait_until(DEADLINE, "nft listens", || {
        tries += 1;
        mark(&format!("begins{tries}"));
        monitor.try_line(Duration::from_millis(100)).is_some_and(|line| line.contains("begins"))
    });
    let fetch = || {
        let before = feed(&daemon, "web")["lists"].as_u64().expect("a number");
        daemon.cli(&["resync", "web"]);
        assert_eq!(server.line(DEADLINE), "/list 200");
        wait_until(DEADLINE, "it is taken", || feed(&daemon, "web")["lists"] == before + 1);
    };
    // What the monitor has told of the sets and of the daemon's transactions until this mark.
    let told = |name: &str| {
        mark(name);
        let lines = std::iter::from_fn(|| Some(monitor.line(DEADLINE)).filter(|line| !line.contains(name)));
        lines.filter(|line| line.contains("diswall")).collect::<Vec<_>>()
    };
    fetch();
    assert_eq!(told("unchanged"), [""; 0]);
    assert_eq!(held(), (100, 100));
    // What has changed goes over in one transaction, and that alone.
    put(&many.replace("198.51.100.8\n", ""));
    fetch();
    wait_until(DEADLINE, "one has gone", || held() == (99, 100));
    let lines = told("changed");
    assert!(lines.len() == 2 && lines[0].contains("198.51.100.8") && lines[1].contains("generation"), "{lines:?}");
}

/// An uplink that comes up has the configuration read again.
#[test]
fn a_reload_ends_the_waiting_of_a_list_that_could_not_be_fetched_and_nothing_else() {
    let _netns = crate::support::Netns::enter();
    let place = tempfile::tempdir().expect("a place");
    let put = |text: &str| fs::write(place.path().join("list"), text).expect("written");
    let many: String = (0..200).map(|n| format!("198.51.100.{n}\n")).collect();
    put(&many);
    let server = web::serve(web::FILES, place.path(), "8092", None);
    let section = "config list 'web'\n\toption url 'http://127.0.0.1:8092/list'\n";
    let daemon = Daemon::start("", &format!("{}{section}", crate::packets::NO_FEED));
    wait_live(&daemon, "web");
    assert_eq!(server.line(DEADLINE), "/list 200");
    let held = || nft_set_elements("diswall_web4").len();
    wait_until(DEADLINE, "all are in force", || held() == 200);
    // One in force is left alone, and remembers nothing of it.
    daemon.reload();
    assert_eq!(server.try_line(Duration::from_secs(3)), None);
    fs::remove_file(place.path().join("list")).expect("gone");
    daemon.cli(&["resync", "web"]);
    wait_until(DEADLINE, "it is missed", || feed(&daemon, "web")["state"] == "waiting");
    // Before its wait of so long is over.
    let reload = |least: u64| {
        let wait = feed(&daemon, "web")["retry_in"].as_u64().filter(|wait| *wait >= least).expect("a longer wait");
        daemon.reload();
        assert_eq!(server.try_line(Duration::from_secs(wait - 1)).as_deref(), Some("/list 200"));
    };
    // It is nobody's wish: what looks like a mistake is one.
    put("198.51.100.1\n");
    reload(14);
    let why = || feed(&daemon, "web")["error"].to_string();
    wait_until(DEADLINE, "it is refused", || why().contains("a mistake of its maker"));
    put(&many.replace("198.51.100.7\n", ""));
    // The waits go on growing.
    reload(27);
    wait_until(DEADLINE, "it is in force", || held() == 199);
}
