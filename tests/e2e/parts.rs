//! "Protected" is the sum of its parts: whatever is switched on and does not do its work is told, and the
//! sentence, the word in JSON and the exit status follow from the worst.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Daemon, FW4, Netns, Sentinel, nft, nft_load, wait_for, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);
const LOCAL: &str = "\toption local_only '1'";
const QUIET: &str = "config login 'login'\n\toption enabled '0'\n";

fn part(status: &Value, name: &str) -> Option<Value> {
    status["parts"].as_array().expect("parts").iter().find(|part| part["name"] == name).cloned()
}

/// Waits until the part is in that state, and the whole is of that word, in JSON, in words and by exit status.
#[track_caller]
fn wait_part(daemon: &Daemon, name: &str, state: &str, whole: &str) -> Value {
    let found = wait_for(DEADLINE, &format!("{name} is {state} and the whole {whole}"), || {
        let status = daemon.status();
        part(&status, name).filter(|part| part["state"] == state && status["state"] == whole)
    });
    let (code, said) = daemon.exit(&["status"]);
    let good = matches!(whole, "protected" | "local");
    assert_eq!(code, Some(i32::from(!good)), "{said}");
    assert_eq!(said.starts_with("Protected: ") || said.starts_with("Protected without"), good, "{said}");
    found
}

/// fw4's table, and diswall's include in it.
fn load_fw4(daemon: &Daemon) {
    nft_load(&format!("add table inet fw4\ndelete table inet fw4\n{FW4}\n{}", daemon.cli(&["rules"])));
}

#[test]
fn a_zone_whose_packets_do_not_come_by_is_not_protected() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::prepare(LOCAL, QUIET);
    load_fw4(&daemon);
    daemon.run();
    wait_part(&daemon, "zone.wan", "in_force", "local");

    // Somebody takes one of our two jumps out of the firewall's chains.
    nft(&["flush", "chain", "inet", "fw4", "forward_wan"]);
    let broken = wait_part(&daemon, "zone.wan", "broken", "unprotected");
    assert!(broken["why"].is_string() && broken["lost"].is_string() && broken["remedy"].is_string(), "{broken}");
    load_fw4(&daemon);
    wait_part(&daemon, "zone.wan", "in_force", "local");

    // The line is down: fw4 has no device to make a rule for.
    nft(&["flush", "chain", "inet", "fw4", "input"]);
    wait_part(&daemon, "zone.wan", "waiting", "waiting");
}

#[test]
fn one_open_zone_of_two_is_named() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::prepare(&format!("{LOCAL}\n\tlist zone 'wan'\n\tlist zone 'guest'"), QUIET);
    load_fw4(&daemon);
    daemon.run();
    // Our include made the chains of a zone to which fw4 sends nothing.
    wait_part(&daemon, "zone.guest", "waiting", "waiting");
    nft(&["flush", "chain", "inet", "fw4", "input_guest"]);
    wait_part(&daemon, "zone.guest", "broken", "degraded");
    wait_part(&daemon, "zone.wan", "in_force", "degraded");
}

/// fw4 itself cannot be loaded: our sets, chains and jumps may be there, and no packet comes to them.
#[test]
fn without_the_firewall_itself_nothing_is_protected() {
    for states in ["new", "all"] {
        let _netns = Netns::enter();
        let mut daemon = Daemon::prepare(&format!("{LOCAL}\n\toption states '{states}'"), QUIET);
        nft_load(&daemon.cli(&["rules"]));
        daemon.run();
        let broken = wait_part(&daemon, "zone.wan", "broken", "unprotected");
        assert!(broken["why"].as_str().expect("text").contains("firewall itself"), "{broken}");
        load_fw4(&daemon);
        wait_until(DEADLINE, "the firewall is noticed", || daemon.status()["state"] != "unprotected");
    }
}

#[test]
fn a_feed_waits_for_its_first_list_and_is_in_force_with_it() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--size", "20"]);
    let daemon =
        Daemon::start("", &[&sentinel.section(), "config nats 'nats'\n\toption enabled '0'\n", QUIET].join("\n"));
    wait_part(&daemon, "feed.dynfw", "waiting", "waiting");
    assert!(part(&daemon.status(), "feed.nats").is_none(), "what is switched off is no part");
    sentinel.tell("publish every 0.3");
    wait_part(&daemon, "feed.dynfw", "in_force", "protected");
}

#[test]
fn a_detector_that_is_dead_is_never_under_protected() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::prepare("", "");
    let log = daemon.path("logs/the.log");
    let logins = format!("config login 'login'\n\toption source '{}'\n", log.display());
    daemon.configure(LOCAL, &logins);
    daemon.load_rules();
    daemon.run();
    wait_part(&daemon, "login", "broken", "degraded");
    std::fs::create_dir(daemon.path("logs")).expect("a directory");
    wait_part(&daemon, "login", "waiting", "waiting");
    std::fs::write(&log, "").expect("a log");
    wait_part(&daemon, "login", "in_force", "local");
}

#[test]
fn a_file_that_was_refused_is_told_until_it_is_mended() {
    let _netns = Netns::enter();
    let daemon = Daemon::start(LOCAL, QUIET);
    wait_part(&daemon, "config", "in_force", "local");
    daemon.configure(&format!("{LOCAL}\n\toption action 'explode'"), QUIET);
    daemon.reload();
    let broken = wait_part(&daemon, "config", "broken", "degraded");
    assert!(broken["why"].as_str().expect("text").contains(":5:"), "names the line: {broken}");
    daemon.configure(LOCAL, QUIET);
    daemon.reload();
    wait_part(&daemon, "config", "in_force", "local");
}

/// It is an error as long as it lasts. The boot's clock passes a full minute meanwhile.
#[test]
fn two_daemons_that_quarrel_about_the_sets_are_told_of_all_the_while() {
    let _netns = Netns::enter();
    let block = |address: &str| format!("{QUIET}config block\n\toption ip '{address}'\n");
    let mut first = Daemon::prepare(LOCAL, &block("198.51.100.7"));
    first.load_rules();
    let uptime: f64 = std::fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
    let to_minute = (120 - uptime as u64 % 60 - 15).to_string();
    let run = first.as_installed();
    let mut moved = Command::new("unshare");
    moved.args(["--time", "--boottime", &to_minute]).arg(run.get_program()).args(run.get_args());
    first.spawn(&moved);
    first.wait_answering();
    let quarrels = || first.status()["problems"].to_string().contains("another program changes the sets");
    assert!(!quarrels());
    let mut second = Daemon::prepare(LOCAL, &block("198.51.100.8"));
    second.run();
    wait_until(DEADLINE, "the quarrel", quarrels);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        assert!(quarrels(), "over after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    second.stop(DEADLINE);
}
