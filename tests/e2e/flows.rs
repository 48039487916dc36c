//! A flow belongs to who opened it: what a ban ends, what goes on, and what is left when the ban is over. Real
//! flows through a real router's rules, TCP and UDP, IPv4 (translated both ways) and IPv6, to the router, through
//! it, and from both.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::packets::{BAD, DEADLINE, ECHO, GOOD, INSIDE, Lab, ROUTER, TALK, Wrapping, entries, ways_in, ways_out};
use crate::support::flow::{Attempt, Flows, expect_each, try_all};
use crate::support::{Daemon, Sentinel, nft, nft_load, nft_set_elements, wait_until};

/// The daemon forgets what the kernel no longer minds within a second; and what two busy cores take to see it.
const SOON: Duration = Duration::from_secs(3);

/// Of an end by itself: less than the ledger takes to tell of it.
const AT_ITS_END: Duration = Duration::from_millis(1500);

/// The router's own calls to the host outside.
fn own_calls() -> Vec<Attempt<'static>> {
    let sources = [ROUTER[0], ROUTER[0], ROUTER[1], ROUTER[1]];
    ways_out(BAD).into_iter().zip(sources).map(|(way, source)| Attempt { source, ..way }).collect()
}

#[test]
fn a_ban_ends_what_the_banned_host_opened_and_leaves_the_rest() {
    a_ban_ends(Wrapping::Fw4, "src", by_the_owner);
}

#[test]
fn a_ban_ends_what_the_banned_host_opened_without_fw4_too() {
    a_ban_ends(Wrapping::Standalone, "src", by_the_owner);
}

#[test]
fn a_ban_of_both_directions_ends_everything() {
    a_ban_ends(Wrapping::Fw4, "src-dst", by_the_owner);
}

#[test]
fn a_ban_of_both_directions_ends_everything_without_fw4_too() {
    a_ban_ends(Wrapping::Standalone, "src-dst", by_the_owner);
}

#[test]
fn a_ban_for_failed_log_ins_ends_what_the_guesser_opened_and_leaves_the_rest() {
    a_ban_ends(Wrapping::Fw4, "src", Guesses::come);
}
/// A log, and what follows it: one failed log-in is too many, if the kernel saw who it was.
struct Guesses {
    log: tempfile::NamedTempFile,
}

impl Guesses {
    fn new() -> Guesses {
        let log = tempfile::NamedTempFile::new().expect("a log");
        std::fs::set_permissions(log.path(), Permissions::from_mode(0o644)).expect("its mode");
        Guesses { log }
    }

    fn section(&self) -> String {
        format!(
            "config login 'login'\n\toption proof 'always'\nconfig logwatch 'lab'\n\toption attempts '1'\n\
             \toption source '{}'\n\tlist pattern 'bad log-in from <HOST>'\n",
            self.log.path().display()
        )
    }

    /// The bad hosts guess a password each.
    fn come(&self, _: &Daemon) {
        let line = |bad| format!("Nov 21 10:00:00 h lab[1]: bad log-in from {bad}\n");
        self.log.as_file().write_all(BAD.map(line).concat().as_bytes()).expect("written");
    }
}

fn by_the_owner(_: &Guesses, daemon: &Daemon) {
    block(daemon, "1h");
}

fn a_ban_ends(wrapping: Wrapping, direction: &str, ban: fn(&Guesses, &Daemon)) {
    let lab = Lab::build();
    let guesses = Guesses::new();
    let daemon = lab.daemon(wrapping, &format!("\toption direction '{direction}'"), &guesses.section());
    let mut outside = Flows::open(Some(&lab.wan), &[ways_in(BAD, ECHO), ways_in(BAD, TALK)].concat());
    let mut inside = [Flows::open(Some(&lab.lan), &ways_out(BAD)), Flows::open(None, &own_calls())];
    let mut good = Flows::open(Some(&lab.wan), &ways_in(GOOD, ECHO));
    let begun = Instant::now();
    ban(&guesses, &daemon);
    let left = if direction == "src" { 4 } else { 0 };
    wait_until(DEADLINE, "their entries are gone", || BAD.iter().all(|bad| entries(bad) == left));
    eprintln!("{wrapping:?} {direction}: from the command to no conntrack entry {:?}", begun.elapsed());
    let mut ended = vec![&mut outside];
    match direction {
        "src" => inside.iter_mut().for_each(|flows| flows.go_on("opened inside")),
        _ => ended.extend(&mut inside),
    }
    Flows::are_severed(ended, direction);
    good.go_on("others");
    // The talking servers have retransmitted for seconds now.
    assert!(BAD.iter().all(|bad| entries(bad) == left), "{wrapping:?} {direction}: a flow came back");
    expect_each(&[
        (Some(&lab.lan), &ways_out(BAD), if direction == "src" { "open" } else { "silence" }),
        (Some(&lab.wan), &ways_in(BAD, ECHO), "silence"),
    ]);
}

/// There is room for so many ended flows: of whom more are banned at once, all is dropped that does not begin anew.
#[test]
fn a_ban_ends_what_is_open_also_where_too_much_was_ended_before() {
    let lab = Lab::build();
    let daemon = lab.daemon(Wrapping::Fw4, "", "");
    let mut outside = Flows::open(Some(&lab.wan), &[ways_in(BAD, ECHO), ways_in(BAD, TALK)].concat());
    let mut good = Flows::open(Some(&lab.wan), &ways_in(GOOD, ECHO));
    let fill = |set: &str, inside: &str, outside: &str| {
        let flows = (0..32_768).map(|n| format!("udp . {inside} . {} . {outside} . {}", 1 + n % 256, 1 + n / 256));
        nft_load(&format!("add element inet fw4 {set} {{ {} }}\n", flows.collect::<Vec<_>>().join(", ")));
    };
    fill("diswall_severed4", "192.168.1.2", "203.0.113.250");
    fill("diswall_severed6", "2001:db8:1::2", "2001:db8:ffff::250");
    block(&daemon, "1h");
    wait_until(DEADLINE, "their entries are gone", || BAD.iter().all(|bad| entries(bad) == 0));
    Flows::are_severed([&mut outside], "with full sets");
    good.go_on("others");
    assert_eq!(nft_set_elements("diswall_crowd4").len() + nft_set_elements("diswall_crowd6").len(), 2);
    daemon.cli(&["unblock", BAD[0], BAD[1]]);
    wait_until(DEADLINE, "they are forgotten", || nft_set_elements("diswall_crowd4").is_empty());
    expect_each(&[(Some(&lab.wan), &ways_in(BAD, ECHO), "open")]);
}

#[test]
fn what_is_remembered_ends_when_the_owner_unblocks() {
    ends_with_the_ban(by_block("1h"), |case| case.unblock(), SOON);
}

#[test]
fn what_is_remembered_ends_when_the_ban_is_over() {
    ends_with_the_ban(by_block(SHORT), |case| case.wait_over("manual"), AT_ITS_END);
}

#[test]
fn what_is_remembered_ends_when_a_renewed_ban_is_over() {
    let ban = |case: &mut Case| {
        block(&case.daemon, "1h");
        wait_remembered();
        block(&case.daemon, "2s");
    };
    ends_with_the_ban(ban, |case| case.wait_over("manual"), AT_ITS_END);
}

#[test]
fn what_is_remembered_ends_when_the_owner_allows() {
    ends_with_the_ban(
        by_block("1h"),
        |case| drop(case.daemon.cli(&["allow", "--timeout", "1h", BAD[0], BAD[1]])),
        SOON,
    );
}

#[test]
fn what_is_remembered_ends_when_the_ban_is_over_while_the_daemon_is_away() {
    let free = |case: &mut Case| {
        case.daemon.kill();
        case.wait_over("manual");
        case.daemon.run();
    };
    ends_with_the_ban(by_block(SHORT), free, SOON);
}

#[test]
fn what_is_remembered_ends_when_the_feed_unbans() {
    ends_with_the_ban(|case| case.tell("add"), |case| case.tell("del"), SOON);
}

#[test]
fn what_is_remembered_ends_when_the_owner_frees_who_scanned() {
    ends_with_the_ban(|case| case.scan(), |case| case.unblock(), SOON);
}

#[test]
fn what_is_remembered_ends_when_the_ban_of_a_scan_is_over() {
    ends_with_the_ban(|case| case.scan(), |case| case.wait_over("scan"), AT_ITS_END);
}

#[test]
fn what_is_remembered_ends_when_the_ban_for_a_failed_log_in_is_over() {
    ends_with_the_ban(|case| case.guesses.come(&case.daemon), |case| case.wait_over("scan"), AT_ITS_END);
}

/// Long enough to see on busy cores that the ban severs.
const SHORT: &str = "3s";

fn block(daemon: &Daemon, timeout: &str) {
    daemon.cli(&["block", "--timeout", timeout, BAD[0], BAD[1]]);
}

fn by_block(timeout: &'static str) -> impl Fn(&mut Case) {
    move |case| block(&case.daemon, timeout)
}

/// Flows that the kernel remembers as severed.
fn severed() -> usize {
    let listed = |family: char| nft(&["list", "set", "inet", "fw4", &format!("diswall_severed{family}")]);
    ['4', '6'].map(|family| listed(family).matches("expires").count()).iter().sum()
}

fn wait_remembered() {
    wait_until(DEADLINE, "both flows are remembered", || severed() >= 2);
}

/// A router with every kind of source, and two bad hosts with a telephone line each: ports that stay the same, and
/// those inside talk all the time.
struct Case {
    lines: Flows,
    daemon: Daemon,
    sentinel: Sentinel,
    guesses: Guesses,
    lab: Lab,
}

impl Case {
    fn build() -> Case {
        let lab = Lab::build();
        let sentinel = Sentinel::start(&["--list-every", "1", "--size", "3"]);
        let guesses = Guesses::new();
        let sections = format!(
            "{}{}config nats 'nats'\n\toption enabled '0'\nconfig scan 'scan'\n\tlist ban_time '{SHORT}'\n",
            sentinel.section(),
            guesses.section()
        );
        let mut daemon = Daemon::prepare("", &sections);
        lab.load(&daemon, Wrapping::Fw4);
        daemon.run();
        wait_until(DEADLINE, "the feed's list", || {
            nft(&["list", "set", "inet", "fw4", "diswall_dynfw4"]).contains("elements")
        });
        wait_until(DEADLINE, "the eyes are open", || daemon.status()["scan"]["state"] == "on");
        let lines = open_lines(&lab, 5060);
        Case { lines, daemon, sentinel, guesses, lab }
    }

    fn tell(&mut self, what: &str) {
        for bad in BAD {
            self.sentinel.tell(&format!("{what} {bad}"));
        }
    }

    fn unblock(&mut self) {
        self.daemon.cli(&["unblock", BAD[0], BAD[1]]);
    }

    /// Both try a honeypot port. A flow that has gone on for two seconds is in use, and no lone packet ends it: it
    /// has to be a new one.
    fn scan(&mut self) {
        let probes =
            BAD.into_iter().zip(ROUTER).map(|(source, server)| Attempt { kind: "tcp", source, server, port: 23 });
        let probes: Vec<_> = probes.collect();
        let is_banned = |bad: &str| self.daemon.exit(&["check", bad]).0 == Some(0);
        for port in 5061.. {
            self.lines = open_lines(&self.lab, port);
            try_all(Some(&self.lab.wan), &probes);
            if BAD.iter().all(|bad| is_banned(bad)) {
                return;
            }
            assert!(port < 5070, "they are not banned: {}", self.daemon.cli(&["status"]));
        }
    }

    fn wait_over(&mut self, source: &str) {
        let bans = |family| nft(&["list", "set", "inet", "fw4", &format!("diswall_{source}{family}")]);
        wait_until(DEADLINE, "the ban is over", || [4, 6].iter().all(|family| !bans(family).contains("expires")));
    }
}

fn open_lines(lab: &Lab, port: u16) -> Flows {
    let [four, six] = BAD.map(|bad| format!("{bad}@{port}"));
    let to = [(&four, ROUTER[0], 2200 + TALK), (&six, INSIDE[1], TALK)];
    Flows::open(Some(&lab.wan), &to.map(|(source, server, port)| Attempt { kind: "udp", source, server, port }))
}

fn ends_with_the_ban(ban: impl Fn(&mut Case), free: impl Fn(&mut Case), within: Duration) {
    let mut case = Case::build();
    ban(&mut case);
    wait_remembered();
    free(&mut case);
    // What the inside sends all the time does not keep it.
    let begun = Instant::now();
    wait_until(within, "forgotten", || severed() == 0);
    eprintln!("forgotten after {:?}", begun.elapsed());
    wait_until(DEADLINE, "the lines work again", || case.lines.try_go_on());
}
