//! The whole daemon between real feeds and the real kernel: what the feeds say is what the sets hold,
//! through restarts, reloads, cuts and other people's firewall commands.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Daemon, DisWallService, Netns, Proc, Sentinel, nft, nft_load, nft_set_elements, wait_for, wait_until,
};

/// Generous: another compiler may have the machine.
const DEADLINE: Duration = Duration::from_secs(30);

const NO_DYNFW: &str = "config dynfw 'dynfw'\n\toption enabled '0'\n";
const NO_NATS: &str = "config nats 'nats'\n\toption enabled '0'\n";
const NO_SCAN: &str = "config scan 'scan'\n\toption enabled '0'\n";

fn only_dynfw(sentinel: &Sentinel) -> String {
    [&sentinel.section(), NO_NATS, NO_SCAN].join("\n")
}

fn only_nats(service: &DisWallService) -> String {
    [NO_DYNFW, &service.section(), NO_SCAN].join("\n")
}

fn no_feed() -> String {
    [NO_DYNFW, NO_NATS, NO_SCAN].join("\n")
}

/// A publisher with a list of `size` that it publishes several times a second.
fn publishing(size: u32) -> Sentinel {
    let mut sentinel = Sentinel::start(&["--size", &size.to_string()]);
    sentinel.tell("publish every 0.3");
    sentinel
}

fn set(name: &str) -> BTreeSet<String> {
    nft_set_elements(name).into_keys().collect()
}

fn dynfw_sets() -> BTreeSet<String> {
    &set("diswall_dynfw4") | &set("diswall_dynfw6")
}

fn feed(status: &Value, name: &str) -> Value {
    let feeds = status["feeds"].as_array().expect("feeds");
    feeds.iter().find(|feed| feed["name"] == name).unwrap_or_else(|| panic!("no feed {name} in {status}")).clone()
}

fn source(status: &Value, name: &str) -> Value {
    let sources = status["sources"].as_array().expect("sources");
    sources.iter().find(|source| source["name"] == name).unwrap_or_else(|| panic!("no source {name}")).clone()
}

#[track_caller]
fn wait_live(daemon: &Daemon, name: &str) {
    wait_until(DEADLINE, &format!("{name} is live"), || feed(&daemon.status(), name)["state"] == "live");
}

/// Waits until the kernel's sets hold what the publisher has on its list, and shows the difference if not.
#[track_caller]
fn wait_equal(sentinel: &mut Sentinel) {
    let wanted = sentinel.addresses();
    let start = std::time::Instant::now();
    loop {
        let held = dynfw_sets();
        if held == wanted {
            return;
        }
        if start.elapsed() > DEADLINE {
            let missing: Vec<_> = wanted.difference(&held).take(5).collect();
            let extra: Vec<_> = held.difference(&wanted).take(5).collect();
            panic!("{} wanted, {} held; missing {missing:?}…, extra {extra:?}…", wanted.len(), held.len());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn both_feeds_fill_their_sets_element_by_element() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(2000);
    sentinel.tell("addresses 203.0.113.1 203.0.113.2 45.9.8.7 2001:db8::7 2a00::1");
    let mut service = DisWallService::start();
    service.tell("ban 198.51.100.7 3600");
    service.tell("ban 2001:db8:1::9 7200");
    service.tell("allow 198.51.100.200");
    service.tell("allow 203.0.112.0/24 600");
    let daemon = Daemon::start("", &[&sentinel.section(), &service.section(), NO_SCAN].join("\n"));

    wait_equal(&mut sentinel);
    wait_until(DEADLINE, "DisWall's list", || set("diswall_nats4").len() == 1 && set("diswall_nats6").len() == 1);
    wait_until(DEADLINE, "DisWall's allow list", || set("diswall_allow4").len() == 2);
    let banned = nft_set_elements("diswall_nats4")["198.51.100.7"];
    assert!((3500..=3600).contains(&banned.timeout.expect("a time-out")), "{banned:?}");
    assert_eq!(nft_set_elements("diswall_dynfw4")["45.9.8.7"].timeout, None, "until the Sentinel takes it back");
    assert_eq!(nft_set_elements("diswall_allow4")["198.51.100.200"].timeout, None);
    assert!(nft_set_elements("diswall_allow4").contains_key("203.0.112.0/24"));

    service.tell("ban 198.51.100.8 900");
    sentinel.tell("add 45.1.1.1");
    sentinel.tell("del 45.9.8.7");
    wait_equal(&mut sentinel);
    wait_until(DEADLINE, "DisWall's new ban", || set("diswall_nats4").contains("198.51.100.8"));
    service.tell("unban 198.51.100.7");
    service.tell("disallow 198.51.100.200");
    wait_until(DEADLINE, "DisWall's taking back", || !set("diswall_nats4").contains("198.51.100.7"));
    wait_until(DEADLINE, "no allowance", || !set("diswall_allow4").contains("198.51.100.200"));

    let status = daemon.status();
    assert_eq!(status["state"], "protected", "{status}");
    assert_eq!(source(&status, "dynfw")["v4"], 3);
    assert_eq!(source(&status, "dynfw")["v6"], 2);
    assert_eq!(source(&status, "nats")["v4"], 1);
}

#[test]
fn ten_minutes_of_changes_leave_the_sets_equal() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(5000);
    let daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_live(&daemon, "dynfw");
    // Ten minutes at ten deltas a second, in bursts and in a stream.
    for share in ["0.9", "0.1", "0.5"] {
        sentinel.tell(&format!("burst 1000 {share}"));
        std::thread::sleep(Duration::from_millis(200));
    }
    sentinel.tell("deltas 1500 0.5");
    std::thread::sleep(Duration::from_secs(2));
    sentinel.tell("deltas 0");
    wait_equal(&mut sentinel);

    let wanted = sentinel.addresses();
    let listed: BTreeSet<String> = daemon
        .cli(&["list", "dynfw", "--json"])
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["address"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(listed, wanted, "the ledger");
    assert_eq!(source(&daemon.status(), "dynfw")["v4"], wanted.len());
}

#[test]
fn starting_in_the_middle_of_a_stream_loses_nothing() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(1000);
    sentinel.tell("deltas 500 0.5");
    let daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_live(&daemon, "dynfw");
    std::thread::sleep(Duration::from_secs(2));
    sentinel.tell("deltas 0");
    wait_equal(&mut sentinel);
    sentinel.tell("deltas 500 0.5");
    sentinel.tell("close");
    std::thread::sleep(Duration::from_secs(1));
    sentinel.tell("open");
    wait_until(DEADLINE, "a second list", || feed(&daemon.status(), "dynfw")["lists"].as_u64() > Some(1));
    sentinel.tell("deltas 0");
    wait_equal(&mut sentinel);
}

#[test]
fn bans_expire_in_ledger_and_kernel_alike() {
    let _netns = Netns::enter();
    let mut service = DisWallService::start();
    service.tell("ban 198.51.100.7 3");
    service.tell("ban 198.51.100.8 600");
    let daemon = Daemon::start("", &only_nats(&service));
    wait_until(DEADLINE, "both bans", || set("diswall_nats4").contains("198.51.100.8"));
    service.tell("ban 2001:db8::9 3");
    wait_until(DEADLINE, "the kernel lets them expire", || {
        set("diswall_nats4").len() == 1 && set("diswall_nats6").is_empty()
    });
    wait_until(DEADLINE, "the ledger lets them expire", || {
        let nats = source(&daemon.status(), "nats");
        nats["v4"] == 1 && nats["v6"] == 0
    });
    assert_eq!(daemon.exit(&["check", "198.51.100.7"]).0, Some(1));
    assert_eq!(daemon.exit(&["check", "198.51.100.8"]).0, Some(0));
}

#[test]
fn a_ban_renewed_is_not_let_go_at_its_old_end() {
    let _netns = Netns::enter();
    let mut service = DisWallService::start();
    let daemon = Daemon::start("", &only_nats(&service));
    wait_live(&daemon, "nats");
    service.tell("ban 198.51.100.7 3");
    wait_until(DEADLINE, "the ban", || set("diswall_nats4").contains("198.51.100.7"));
    service.tell("ban 198.51.100.7 600");
    wait_until(DEADLINE, "its new end", || {
        nft_set_elements("diswall_nats4").get("198.51.100.7").is_some_and(|element| element.expires > Some(500))
    });
    std::thread::sleep(Duration::from_secs(4));
    assert!(set("diswall_nats4").contains("198.51.100.7"));
    assert_eq!(daemon.exit(&["check", "198.51.100.7"]).0, Some(0));
}

#[test]
fn killed_and_started_again_it_leaves_no_gap_and_takes_over_full_sets() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(3000);
    let mut daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_equal(&mut sentinel);
    daemon.kill();
    assert_eq!(dynfw_sets(), sentinel.addresses(), "the kernel goes on alone");

    // While it is away things change unheard, and no list comes when it is back.
    sentinel.tell("publish off");
    let before = dynfw_sets();
    let kept = before.iter().next().expect("an element").clone();
    let gone = before.iter().next_back().expect("an element").clone();
    sentinel.tell(&format!("del {gone}"));
    sentinel.tell("add 203.0.113.99");
    let changes = Proc::spawn(Command::new("nft").args(["monitor", "elements"]));
    daemon.run();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(dynfw_sets(), before, "until a list says otherwise");
    sentinel.tell("publish every 0.3");
    wait_equal(&mut sentinel);

    // Two elements differed: two were touched.
    sentinel.tell("add 203.0.113.100");
    let mut touched = String::new();
    while !touched.contains("203.0.113.100") {
        touched += &(changes.line(DEADLINE) + "\n");
    }
    assert!(touched.contains(&gone) && touched.contains("203.0.113.99"), "{touched}");
    assert!(!touched.contains(&format!("{kept} ")), "an element that was right was touched: {touched}");
    assert!(touched.lines().count() < 10, "{touched}");
}

#[test]
fn a_nats_server_restarted_brings_what_was_missed() {
    let _netns = Netns::enter();
    let mut service = DisWallService::start();
    service.tell("ban 198.51.100.1 3600");
    service.tell("ban 198.51.100.2 3600");
    let daemon = Daemon::start("", &only_nats(&service));
    wait_until(DEADLINE, "the list", || set("diswall_nats4").len() == 2);
    service.stop_server();
    wait_until(DEADLINE, "the loss is told", || {
        let feed = feed(&daemon.status(), "nats");
        feed["state"] != "live"
    });
    assert_eq!(set("diswall_nats4").len(), 2, "bans stay while the server is away");
    service.start_server();
    service.tell("put 198.51.100.3 3600");
    service.tell("forget 198.51.100.1");
    let expected = BTreeSet::from(["198.51.100.2", "198.51.100.3"].map(str::to_owned));
    let asked = "what was missed is there";
    wait_until(Duration::from_secs(150), asked, || {
        // The service may come back after the daemon: then its answer is asked for again.
        let _ = daemon.try_cli(&["resync", "nats"]);
        std::thread::sleep(Duration::from_millis(500));
        set("diswall_nats4") == expected
    });
}

#[test]
fn sighup_applies_what_changed_and_leaves_the_feeds_alone() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(500);
    let mut daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_equal(&mut sentinel);
    let lists = feed(&daemon.status(), "dynfw")["lists"].clone();

    let more = "config allow\n\toption ip '198.51.100.7'\n\toption comment 'office'\n\
                config block\n\toption ip '203.0.113.0/24'\n\toption comment 'scanner farm'\n";
    daemon.configure("", &[&only_dynfw(&sentinel), more].join("\n"));
    daemon.reload();
    wait_until(DEADLINE, "the allowance", || set("diswall_allow4").contains("198.51.100.7"));
    wait_until(DEADLINE, "the block", || set("diswall_manual4").contains("203.0.113.0/24"));
    assert_eq!(feed(&daemon.status(), "dynfw")["lists"], lists, "the feed was not touched");

    // What cannot be read keeps the value in force; the rest of the file is taken.
    daemon.configure("\toption max_entries 'many'", &[&only_dynfw(&sentinel), more].join("\n"));
    daemon.reload();
    daemon.process().stderr_with("max_entries", DEADLINE);
    let said = daemon.process().stderr();
    assert!(said.contains("diswall:") && said.contains("many"), "file, line and value: {said}");
    let status = daemon.status();
    let problems = status["problems"].as_array().expect("problems");
    assert!(problems.iter().any(|problem| problem["key"] == "config"), "{status}");
    assert!(set("diswall_allow4").contains("198.51.100.7"), "the running configuration stays");

    daemon.configure("", &only_dynfw(&sentinel));
    daemon.reload();
    wait_until(DEADLINE, "neither allowance nor block", || {
        set("diswall_allow4").is_empty() && set("diswall_manual4").is_empty()
    });
    assert_eq!(feed(&daemon.status(), "dynfw")["lists"], lists);
    assert!(daemon.process_mut().is_running());
}

/// More than is sent at once: it comes in steps, which are no repairs.
#[test]
fn a_large_list_is_nobody_elses_change() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(20_000);
    let daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_equal(&mut sentinel);
    let refills = || daemon.status()["firewall"]["refills"].clone();
    assert_eq!(refills(), 0);
    // Most of it goes, and as much comes.
    sentinel.tell("list 21000 60.0.0.1");
    sentinel.tell("skip");
    sentinel.tell("add 203.0.113.99");
    wait_equal(&mut sentinel);
    assert_eq!(refills(), 0);
    // Nor are a new list's sets, and blocks that come with it.
    let block = |last: u8| format!("config block\n\toption ip '192.0.2.{last}'\n");
    let list = "config list 'none'\n\toption url '/nowhere'\n";
    daemon.configure("", &[&only_dynfw(&sentinel), list, &block(1), &block(9)].concat());
    daemon.reload();
    wait_until(DEADLINE, "the blocks", || set("diswall_manual4").len() == 2);
    wait_equal(&mut sentinel);
    assert_eq!(refills(), 0);
    nft(&["flush", "set", "inet", "fw4", "diswall_dynfw4"]);
    wait_equal(&mut sentinel);
    wait_until(DEADLINE, "it is counted", || refills() == 1);
}

/// More deltas than a comparison remembers one by one come while a set that somebody has emptied is filled again.
#[test]
fn many_deltas_leave_no_gap_in_a_set_that_is_being_filled() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(100_000);
    let daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_equal(&mut sentinel);
    sentinel.tell("publish off");
    nft(&["flush", "set", "inet", "fw4", "diswall_dynfw4"]);
    for _ in 0..6 {
        sentinel.tell("burst 1000 1");
    }
    wait_until(DEADLINE, "the set is filled again", || daemon.status()["firewall"]["refills"].as_u64() > Some(0));
    wait_equal(&mut sentinel);
}

#[test]
fn sighup_with_another_server_changes_feeds() {
    let _netns = Netns::enter();
    let (mut first, mut second) = (publishing(100), publishing(100));
    second.tell("addresses 203.0.113.1 203.0.113.2");
    let daemon = Daemon::start("", &only_dynfw(&first));
    wait_equal(&mut first);
    daemon.configure("", &only_dynfw(&second));
    daemon.reload();
    wait_equal(&mut second);
}

#[test]
fn local_only_ends_the_feeds_and_their_bans_stay_until_they_lapse() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(100);
    let daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_equal(&mut sentinel);
    daemon.configure("\toption local_only '1'", &only_dynfw(&sentinel));
    daemon.reload();
    wait_until(DEADLINE, "the feed is off", || feed(&daemon.status(), "dynfw")["state"] == "off");
    assert_eq!(daemon.status()["local_only"], true);
}

#[test]
fn sigterm_stops_within_two_seconds_and_leaves_the_sets() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(2000);
    let mut daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_equal(&mut sentinel);
    sentinel.tell("deltas 200 0.5");
    let status = daemon.stop(Duration::from_secs(2));
    assert!(status.success(), "{status}");
    assert!(dynfw_sets().len() > 1900);
    assert_eq!(daemon.exit(&["status"]).0, Some(3), "nobody answers any more");
}

#[test]
fn a_table_deleted_is_said_and_filled_again_when_it_returns() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(3000);
    let daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_equal(&mut sentinel);
    nft(&["delete", "table", "inet", "fw4"]);
    wait_until(DEADLINE, "the loss is told", || daemon.status()["firewall"]["state"] == "missing");
    assert_eq!(daemon.status()["state"], "unprotected");
    sentinel.tell("add 203.0.113.99");
    daemon.load_rules();
    wait_equal(&mut sentinel);
    wait_until(DEADLINE, "all is well again", || daemon.status()["firewall"]["state"] == "ok");
    assert!(daemon.status()["firewall"]["refills"].as_u64() > Some(0));
}

#[test]
fn what_others_take_out_comes_back() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(300);
    let _daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_equal(&mut sentinel);
    let one = dynfw_sets().into_iter().next().expect("an element");
    nft(&["delete", "element", "inet", "fw4", "diswall_dynfw4", &format!("{{ {one} }}")]);
    wait_equal(&mut sentinel);
    nft(&["flush", "set", "inet", "fw4", "diswall_dynfw4"]);
    wait_equal(&mut sentinel);
    nft(&["add", "element", "inet", "fw4", "diswall_dynfw4", "{ 203.0.113.77 }"]);
    wait_equal(&mut sentinel);
}

#[test]
fn without_a_table_it_waits_and_sets_that_lack_are_made() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(100);
    let mut daemon = Daemon::prepare("", &only_dynfw(&sentinel));
    daemon.run();
    wait_live(&daemon, "dynfw");
    assert_eq!(daemon.status()["firewall"]["state"], "missing");
    nft_load("table inet fw4 { }");
    let made = || crate::support::try_nft(&["list", "set", "inet", "fw4", "diswall_dynfw4"]).is_ok();
    wait_until(DEADLINE, "the sets are made", made);
    wait_equal(&mut sentinel);
    // Sets without rules protect nobody, and that is said.
    assert_eq!(daemon.status()["state"], "unprotected");
    nft(&["delete", "set", "inet", "fw4", "diswall_dynfw4"]);
    wait_until(DEADLINE, "the set is made again", made);
    wait_equal(&mut sentinel);
    daemon.load_rules();
    wait_until(DEADLINE, "the rules are noticed", || daemon.status()["state"] == "protected");
    nft(&["flush", "table", "inet", "fw4"]);
    wait_until(DEADLINE, "the flush is noticed", || daemon.status()["state"] == "unprotected");
}

#[test]
fn without_rights_it_says_so_and_lives_on() {
    let _netns = Netns::enter();
    let sentinel = publishing(100);
    let mut daemon = Daemon::prepare("", &only_dynfw(&sentinel));
    daemon.load_rules();
    let run = daemon.command(&["run", "--foreground"]);
    let mut weak = Command::new("setpriv");
    weak.args(["--inh-caps=-net_admin", "--bounding-set=-net_admin"]).arg(run.get_program()).args(run.get_args());
    daemon.spawn(&weak);
    daemon.wait_answering();
    wait_live(&daemon, "dynfw");
    let error = wait_for(DEADLINE, "the firewall's refusal", || {
        let firewall = daemon.status()["firewall"].clone();
        (firewall["state"] == "error").then(|| firewall["error"].as_str().unwrap_or_default().to_owned())
    });
    assert!(error.to_lowercase().contains("permi") || error.contains("CAP_NET_ADMIN"), "{error}");
    assert_eq!(daemon.status()["state"], "unprotected");
    assert!(daemon.process_mut().is_running());
}

#[test]
fn a_list_above_max_entries_is_cut_and_said() {
    let _netns = Netns::enter();
    let sentinel = publishing(300);
    let daemon = Daemon::start("\toption max_entries '200'", &only_dynfw(&sentinel));
    wait_until(DEADLINE, "as much as there is room for", || set("diswall_dynfw4").len() == 200);
    let status = daemon.status();
    assert_eq!(source(&status, "dynfw")["cut"], 100, "{status}");
    let problems = status["problems"].as_array().expect("problems");
    assert!(problems.iter().any(|problem| problem["key"] == "cut.dynfw"), "{status}");
}

#[test]
fn a_kernel_set_that_is_full_is_said_and_the_rest_goes_on() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(300);
    let mut daemon = Daemon::prepare("", &only_dynfw(&sentinel));
    let rules = daemon.cli(&["rules", "--standalone"]).replace("size 262144", "size 100");
    nft_load(&rules);
    daemon.run();
    wait_live(&daemon, "dynfw");
    wait_until(DEADLINE, "the full set is told", || {
        let status = daemon.status();
        status["problems"].as_array().is_some_and(|problems| {
            problems.iter().any(|problem| problem["text"].as_str().unwrap_or_default().contains("full"))
        })
    });
    assert!(daemon.process_mut().is_running());
    sentinel.tell("addresses 203.0.113.1 203.0.113.2");
    daemon.cli(&["resync", "dynfw"]);
    wait_equal(&mut sentinel);
}

#[test]
fn the_command_line_answers_with_its_exit_status() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(5);
    sentinel.tell("addresses 203.0.113.1 203.0.113.2 2001:db8::7");
    let daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_equal(&mut sentinel);

    let table: &[(&[&str], i32, &str)] = &[
        (&["check", "203.0.113.1"], 0, "dynfw"),
        (&["check", "2001:db8::7"], 0, "dynfw"),
        (&["check", "203.0.113.200"], 1, "203.0.113.200"),
        (&["check", "203.0.113"], 2, "203.0.113"),
        (&["check"], 2, ""),
        (&["status"], 0, "dynfw"),
        (&["list", "dynfw"], 0, "203.0.113.2"),
        (&["list", "nonsense"], 2, "nonsense"),
        (&["resync", "dynfw"], 0, ""),
        (&["resync", "nonsense"], 2, "nonsense"),
        (&["rules", "--standalone"], 0, "diswall_dynfw4"),
        (&["config", "check"], 0, ""),
        (&["nonsense"], 2, "nonsense"),
        (&["status", "--nonsense"], 2, "nonsense"),
    ];
    for (args, status, text) in table {
        let (got, printed) = daemon.exit(args);
        assert_eq!(got, Some(*status), "{args:?}: {printed}");
        assert!(printed.contains(text), "{args:?} does not say {text:?}: {printed}");
    }
    let check: Value = serde_json::from_str(&daemon.cli(&["check", "203.0.113.1", "--json"])).expect("JSON");
    assert_eq!(check["verdict"], "blocked", "{check}");
    assert_eq!(check["bans"][0]["source"], "dynfw");
}

#[test]
fn without_a_daemon_the_command_line_says_so() {
    let daemon = Daemon::prepare("", &no_feed());
    for args in [&["status"][..], &["check", "203.0.113.1"], &["list"], &["watch"], &["resync"]] {
        let (status, printed) = daemon.exit(args);
        assert_eq!(status, Some(3), "{args:?}: {printed}");
        assert!(printed.contains("control.sock"), "{args:?} does not name the socket: {printed}");
    }
}

#[test]
fn config_check_names_file_and_line() {
    let daemon = Daemon::prepare("\toption max_entries 'many'\n\toption colour 'red'", &no_feed());
    let (status, printed) = daemon.exit(&["config", "check"]);
    assert_eq!(status, Some(2), "{printed}");
    let file = daemon.config();
    assert!(printed.contains(&format!("{}:4: ", file.display())), "{printed}");
    assert!(printed.contains(&format!("{}:5: ", file.display())), "{printed}");
    assert!(printed.contains("many") && printed.contains("colour"), "{printed}");
}

#[test]
fn watch_shows_bans_as_they_come() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(10);
    let daemon = Daemon::start("", &only_dynfw(&sentinel));
    wait_equal(&mut sentinel);
    let watch = Proc::spawn(&daemon.command(&["watch", "--json"]));
    let one = Proc::spawn(&daemon.command(&["watch", "--json", "--address", "203.0.113.8"]));
    // Nothing says when a watcher is listening: changes are made until it shows one.
    let seen = wait_for(DEADLINE, "a ban on watch", || {
        sentinel.tell("add 203.0.113.7");
        sentinel.tell("del 203.0.113.7");
        watch.try_line(Duration::from_millis(200))
    });
    let seen: Value = serde_json::from_str(&seen).expect("JSON");
    assert_eq!(seen["address"], "203.0.113.7");
    assert_eq!(seen["source"], "dynfw");
    assert!(["ban", "unban"].contains(&seen["kind"].as_str().expect("a kind")), "{seen}");
    let seen = wait_for(DEADLINE, "a ban on the narrow watch", || {
        sentinel.tell("add 203.0.113.8");
        sentinel.tell("del 203.0.113.8");
        one.try_line(Duration::from_millis(200))
    });
    assert!(seen.contains("203.0.113.8"), "{seen}");
}

#[test]
fn watch_shows_what_sentinel_sees_when_asked_to() {
    let _netns = Netns::enter();
    let mut sentinel = publishing(10);
    let with_events =
        only_dynfw(&sentinel).replace("config dynfw 'dynfw'", "config dynfw 'dynfw'\n\toption events '1'");
    let daemon = Daemon::start("", &with_events);
    wait_equal(&mut sentinel);
    let watch = Proc::spawn(&daemon.command(&["watch", "--json"]));
    let seen = wait_for(DEADLINE, "a sighting on watch", || {
        sentinel.tell("event telnet_login 203.0.113.9");
        watch.try_line(Duration::from_millis(200))
    });
    let seen: Value = serde_json::from_str(&seen).expect("JSON");
    assert_eq!(
        (&seen["kind"], &seen["address"], &seen["text"]),
        (&"event".into(), &"203.0.113.9".into(), &"telnet_login".into())
    );
    // It is news, not a ban.
    assert!(!nft_set_elements("diswall_dynfw4").contains_key("203.0.113.9"));
}

#[test]
fn a_short_ban_from_another_router_does_not_end_a_long_one() {
    let _netns = Netns::enter();
    let mut service = DisWallService::start();
    service.tell("ban 203.0.113.5 7200");
    let daemon = Daemon::start("", &only_nats(&service));
    wait_live(&daemon, "nats");
    service.tell("ban 203.0.113.5 900");
    service.tell("ban 203.0.113.6 900");
    wait_until(DEADLINE, "the second ban", || nft_set_elements("diswall_nats4").contains_key("203.0.113.6"));
    let left = nft_set_elements("diswall_nats4")["203.0.113.5"].timeout;
    assert!(left.is_some_and(|left| left > 7000), "{left:?}");
}

#[test]
fn the_owners_lists_reach_their_sets_merged() {
    let _netns = Netns::enter();
    let lists = "config allow\n\toption ip '203.0.113.50'\n\toption comment 'office'\n\
                 config block\n\toption ip '203.0.113.0/24'\n\
                 config block\n\toption ip '203.0.113.7'\n\toption comment 'worst of them'\n\
                 config block\n\toption ip '2001:db8::/32'\n";
    let mut daemon = Daemon::start("", &[&no_feed(), lists].join("\n"));
    let blocked = BTreeSet::from(["203.0.113.0/24".to_owned()]);
    wait_until(DEADLINE, "the blocks", || set("diswall_manual4") == blocked);
    wait_until(DEADLINE, "the IPv6 block", || set("diswall_manual6").contains("2001:db8::/32"));
    assert_eq!(set("diswall_allow4"), BTreeSet::from(["203.0.113.50".to_owned()]));
    for (address, status, word) in
        [("203.0.113.7", 0, "worst of them"), ("203.0.113.50", 1, "office"), ("203.0.112.1", 1, "203.0.112.1")]
    {
        let (got, printed) = daemon.exit(&["check", address]);
        assert_eq!(got, Some(status), "{address}: {printed}");
        assert!(printed.contains(word), "{address}: {printed}");
    }
    // Killed and started again without one of them, it takes out what is no longer wanted.
    daemon.kill();
    daemon.configure("", &[&no_feed(), "config block\n\toption ip '203.0.113.7'\n"].join("\n"));
    daemon.run();
    let blocked = BTreeSet::from(["203.0.113.7".to_owned()]);
    wait_until(DEADLINE, "the smaller block", || set("diswall_manual4") == blocked);
    wait_until(DEADLINE, "nothing else", || set("diswall_manual6").is_empty() && set("diswall_allow4").is_empty());
}

#[test]
fn a_second_daemon_on_the_same_socket_gives_way() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::start("", &no_feed());
    let mut second = Proc::spawn(&daemon.command(&["run", "--foreground"]));
    let status = second.wait(DEADLINE);
    assert!(!status.success(), "{status}");
    second.stderr_with("control.sock", DEADLINE);
    assert!(daemon.process_mut().is_running());
    daemon.status();
}

/// Whoever mistypes a command hears which there are, and where to read about the one he meant.
#[test]
fn a_mistyped_command_is_told_what_there_is() {
    let run = |words: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_diswall")).args(words).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    for (words, parts) in [
        (&["stauts"][..], &["no command is called 'stauts'", "nearest: status"][..]),
        (&["lists", "--colour"], &["--colour", "see: diswall lists --help"]),
        (&["check"], &["address", "see: diswall check --help"]),
        (&["--colour"], &["see: diswall --help"]),
        (&["config", "explain"], &["option", "see: diswall config explain --help"]),
        (&["config", "--colour"], &["see: diswall config --help"]),
        (&["logs", "test", "--x"], &["--x", "see: diswall logs test --help"]),
        (&["block", "-", "192.0.2.1"], &["- stands alone"]),
        (&["list", "allow", "--csv"], &["--csv is for bans"]),
        (&["\x1b[2J"], &["no command is called '[2J'"]),
    ] {
        let (status, said) = run(words);
        assert_eq!(status, Some(2), "{words:?}: {said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{words:?}: {said}");
    }
    for words in [&["-h"][..], &["list", "-h"]] {
        let (status, said) = run(words);
        assert!(status == Some(0) && said.starts_with("Usage: diswall"), "{said}");
    }
}
