//! A flow belongs to who opened it: what a ban ends, what goes on, and what is left when the ban is over. Real
//! flows through a real router's rules, TCP and UDP, IPv4 (translated both ways) and IPv6, to the router, through
//! it, and from both.

use std::time::{Duration, Instant};

use crate::packets::{BAD, DEADLINE, ECHO, GOOD, INSIDE, Lab, ROUTER, TALK, Wrapping, entries, ways_in, ways_out};
use crate::support::flow::{Attempt, begin_flow, expect_all};
use crate::support::{Daemon, Peer, Proc, Sentinel, nft, wait_until};

/// The daemon forgets what the kernel no longer minds within a second; and what two busy cores take to see it.
const SOON: Duration = Duration::from_secs(3);

/// Of an end by itself: less than the ledger takes to tell of it.
const AT_ITS_END: Duration = Duration::from_millis(1500);

/// The router's own calls to the host outside.
fn own_calls() -> Vec<Attempt<'static>> {
    let sources = [ROUTER[0], ROUTER[0], ROUTER[1], ROUTER[1]];
    ways_out(BAD).into_iter().zip(sources).map(|(way, source)| Attempt { source, ..way }).collect()
}

fn open_all(from: Option<&Peer>, ways: &[Attempt<'_>]) -> Vec<Proc> {
    let flows: Vec<Proc> = ways.iter().map(|way| begin_flow(from, *way)).collect();
    for flow in &flows {
        flow.line_with("open", DEADLINE);
    }
    flows
}

/// Waits until nothing comes through any of them any more. What was on the way already is read first, fast: who is
/// silent is not asked again.
#[track_caller]
fn wait_severed(flows: &mut [Proc], what: &str) {
    let mut left: Vec<&mut Proc> = flows.iter_mut().collect();
    let begun = Instant::now();
    while !left.is_empty() {
        assert!(begun.elapsed() < DEADLINE, "{what}: something still comes through");
        left.iter_mut().for_each(|flow| flow.send("still"));
        left.retain_mut(|flow| flow.line(DEADLINE) != "dead");
    }
}

/// Which of them go on: all are tried at once.
fn go_on(flows: &mut [Proc]) -> Vec<bool> {
    flows.iter_mut().for_each(|flow| flow.send("still"));
    flows.iter_mut().map(|flow| flow.line(DEADLINE) != "dead").collect()
}

/// Flows that the kernel remembers as severed.
fn severed() -> usize {
    let listed = |family: char| nft(&["list", "set", "inet", "fw4", &format!("diswall_severed{family}")]);
    ['4', '6'].map(|family| listed(family).matches("expires").count()).iter().sum()
}

#[test]
fn a_ban_ends_what_the_banned_host_opened_and_leaves_the_rest() {
    a_ban_ends(Wrapping::Fw4, "src");
}

#[test]
fn a_ban_ends_what_the_banned_host_opened_without_fw4_too() {
    a_ban_ends(Wrapping::Standalone, "src");
}

#[test]
fn a_ban_of_both_directions_ends_everything() {
    a_ban_ends(Wrapping::Fw4, "src-dst");
}

#[test]
fn a_ban_of_both_directions_ends_everything_without_fw4_too() {
    a_ban_ends(Wrapping::Standalone, "src-dst");
}

fn a_ban_ends(wrapping: Wrapping, direction: &str) {
    let lab = Lab::build();
    let daemon = lab.daemon(wrapping, &format!("\toption direction '{direction}'"), "");
    let mut outside = open_all(Some(&lab.wan), &[ways_in(BAD, ECHO), ways_in(BAD, TALK)].concat());
    let mut inside = open_all(Some(&lab.lan), &ways_out(BAD));
    inside.extend(open_all(None, &own_calls()));
    let mut good = open_all(Some(&lab.wan), &ways_in(GOOD, ECHO));
    let begun = Instant::now();
    daemon.cli(&["block", "--timeout", "1h", BAD[0], BAD[1]]);
    let left = if direction == "src" { 4 } else { 0 };
    wait_until(DEADLINE, "their entries are gone", || BAD.iter().all(|bad| entries(bad) == left));
    eprintln!("{wrapping:?} {direction}: from the command to no conntrack entry {:?}", begun.elapsed());
    wait_severed(&mut outside, direction);
    let wanted = if direction == "src" { "open" } else { "silence" };
    assert_eq!(go_on(&mut inside), vec![direction == "src"; inside.len()], "{wrapping:?} {direction}");
    assert!(!go_on(&mut good).contains(&false), "{wrapping:?} {direction}: others go on");
    // The talking servers have retransmitted for seconds now.
    assert!(BAD.iter().all(|bad| entries(bad) == left), "{wrapping:?} {direction}: a flow came back");
    expect_all(Some(&lab.lan), &ways_out(BAD), wanted);
    expect_all(Some(&lab.wan), &ways_in(BAD, ECHO), "silence");
}

#[test]
fn what_is_remembered_ends_when_the_owner_unblocks() {
    ends_with_the_ban(
        |daemon, _| block(daemon, "1h"),
        |daemon, _| drop(daemon.cli(&["unblock", BAD[0], BAD[1]])),
        SOON,
    );
}

#[test]
fn what_is_remembered_ends_when_the_ban_is_over() {
    ends_with_the_ban(|daemon, _| block(daemon, SHORT), |_, _| wait_over(), AT_ITS_END);
}

#[test]
fn what_is_remembered_ends_when_a_renewed_ban_is_over() {
    let ban = |daemon: &Daemon, _: &mut Sentinel| {
        block(daemon, "1h");
        wait_remembered();
        block(daemon, SHORT);
    };
    ends_with_the_ban(ban, |_, _| wait_over(), AT_ITS_END);
}

#[test]
fn what_is_remembered_ends_when_the_owner_allows() {
    ends_with_the_ban(|daemon, _| block(daemon, "1h"), |daemon, _| allow(daemon), SOON);
}

#[test]
fn what_is_remembered_ends_when_the_ban_is_over_while_the_daemon_is_away() {
    let free = |daemon: &mut Daemon, _: &mut Sentinel| {
        daemon.kill();
        wait_over();
        daemon.run();
    };
    ends_with_the_ban(|daemon, _| block(daemon, SHORT), free, SOON);
}

#[test]
fn what_is_remembered_ends_when_the_feed_unbans() {
    ends_with_the_ban(|_, sentinel| tell(sentinel, "add"), |_, sentinel| tell(sentinel, "del"), SOON);
}

/// Long enough to see on busy cores that the ban severs.
const SHORT: &str = "6s";

fn block(daemon: &Daemon, timeout: &str) {
    daemon.cli(&["block", "--timeout", timeout, BAD[0], BAD[1]]);
}

fn allow(daemon: &Daemon) {
    daemon.cli(&["allow", "--timeout", "1h", BAD[0], BAD[1]]);
}

fn tell(sentinel: &mut Sentinel, what: &str) {
    for bad in BAD {
        sentinel.tell(&format!("{what} {bad}"));
    }
}

fn wait_over() {
    let bans = |family| nft(&["list", "set", "inet", "fw4", &format!("diswall_manual{family}")]);
    wait_until(DEADLINE, "the ban is over", || [4, 6].iter().all(|family| !bans(family).contains("expires")));
}

fn wait_remembered() {
    wait_until(DEADLINE, "both flows are remembered", || severed() >= 2);
}

fn ends_with_the_ban(ban: fn(&Daemon, &mut Sentinel), free: fn(&mut Daemon, &mut Sentinel), within: Duration) {
    let lab = Lab::build();
    let mut sentinel = Sentinel::start(&["--list-every", "1", "--size", "3"]);
    let sections = format!("{}config nats 'nats'\n\toption enabled '0'\n", sentinel.section());
    let mut daemon = Daemon::prepare("", &sections);
    lab.load(&daemon, Wrapping::Fw4);
    daemon.run();
    wait_until(DEADLINE, "the feed's list", || {
        nft(&["list", "set", "inet", "fw4", "diswall_dynfw4"]).contains("elements")
    });
    // Ports that stay the same, as a telephone's; those inside talk all the time.
    let [four, six] = BAD.map(|bad| format!("{bad}@5060"));
    let to = [(&four, ROUTER[0], 2200 + TALK), (&six, INSIDE[1], TALK)];
    let lines = to.map(|(source, server, port)| Attempt { kind: "udp", source, server, port });
    let mut lines = open_all(Some(&lab.wan), &lines);
    let _others = open_all(Some(&lab.wan), &ways_in(BAD, ECHO));
    ban(&daemon, &mut sentinel);
    wait_remembered();
    wait_severed(&mut lines, "banned");
    assert!(severed() >= 2, "{} remembered", severed());
    free(&mut daemon, &mut sentinel);
    // What the inside sends all the time does not keep it.
    let begun = Instant::now();
    wait_until(within, "forgotten", || severed() == 0);
    eprintln!("forgotten after {:?}", begun.elapsed());
    wait_until(DEADLINE, "the lines work again", || !go_on(&mut lines).contains(&false));
}
