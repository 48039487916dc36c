//! A flow belongs to who opened it: what a ban ends, what goes on, and what is left when the ban is over. Real
//! flows through a real router's rules, TCP and UDP, IPv4 (translated both ways) and IPv6, to the router, through
//! it, and from both.

use std::time::{Duration, Instant};

use crate::packets::{
    BAD, BOTH, DEADLINE, ECHO, GOOD, INSIDE, Lab, ROUTER, TALK, Wrapping, entries, ways_in, ways_out,
};
use crate::support::flow::{Attempt, expect_all, open_flow};
use crate::support::{Daemon, Peer, Proc, Sentinel, nft, wait_until};

/// The daemon forgets what the kernel no longer minds: at once when it hears of the end, and of an end by itself
/// two seconds later, when the ledger settles it; and what two busy cores take to see it.
const SOON: Duration = Duration::from_secs(6);

/// The router's own calls to the host outside.
fn own_calls() -> Vec<Attempt<'static>> {
    let sources = [ROUTER[0], ROUTER[0], ROUTER[1], ROUTER[1]];
    ways_out(BAD).into_iter().zip(sources).map(|(way, source)| Attempt { source, ..way }).collect()
}

fn open_all(from: Option<&Peer>, ways: &[Attempt<'_>]) -> Vec<Proc> {
    ways.iter().map(|way| open_flow(from, *way)).collect()
}

/// Waits until nothing comes through any more. What was on the way already is read first.
#[track_caller]
fn wait_severed(flow: &mut Proc, what: &str) {
    let reads = || (0..1000).any(|_| !goes_on(flow));
    wait_until(DEADLINE, &format!("{what}: nothing comes through any more"), reads);
}

fn goes_on(flow: &mut Proc) -> bool {
    flow.send("still");
    flow.line(DEADLINE) != "dead"
}

/// Flows that the kernel remembers as severed.
fn severed() -> usize {
    let listed = |family: char| nft(&["list", "set", "inet", "fw4", &format!("diswall_severed{family}")]);
    ['4', '6'].map(|family| listed(family).matches("expires").count()).iter().sum()
}

#[test]
fn a_ban_ends_what_the_banned_host_opened_and_the_rest_as_direction_says() {
    for (wrapping, direction) in BOTH.into_iter().flat_map(|wrapping| [(wrapping, "src"), (wrapping, "src-dst")]) {
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
        for flow in &mut outside {
            wait_severed(flow, direction);
        }
        // The talking servers have retransmitted for seconds now.
        assert!(BAD.iter().all(|bad| entries(bad) == left), "{wrapping:?} {direction}: a flow came back");
        for flow in &mut inside {
            assert_eq!(goes_on(flow), direction == "src", "{wrapping:?} {direction}");
        }
        assert!(good.iter_mut().all(goes_on), "{wrapping:?} {direction}: others go on");
        let wanted = if direction == "src" { "open" } else { "silence" };
        expect_all(Some(&lab.lan), &ways_out(BAD), wanted);
        expect_all(Some(&lab.wan), &ways_in(BAD, ECHO), "silence");
    }
}

/// What bans the host, and what frees it.
struct Case {
    name: &'static str,
    ban: fn(&Daemon, &mut Sentinel),
    free: fn(&mut Daemon, &mut Sentinel),
}

const CASES: [Case; 5] = [
    Case {
        name: "unblocked",
        ban: |daemon, _| block(daemon, "1h"),
        free: |daemon, _| drop(daemon.cli(&["unblock", BAD[0], BAD[1]])),
    },
    Case { name: "over", ban: |daemon, _| block(daemon, "8s"), free: |_, _| wait_over() },
    Case { name: "allowed", ban: |daemon, _| block(daemon, "1h"), free: |daemon, _| allow(daemon) },
    Case {
        name: "over while the daemon is away",
        ban: |daemon, _| block(daemon, "8s"),
        free: |daemon, _| {
            daemon.kill();
            wait_over();
            daemon.run();
        },
    },
    Case {
        name: "unbanned by the feed",
        ban: |_, sentinel| tell(sentinel, "add"),
        free: |_, sentinel| tell(sentinel, "del"),
    },
];

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

#[test]
fn what_is_remembered_for_a_ban_ends_with_it() {
    for Case { name, ban, free } in CASES {
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
        for line in &mut lines {
            wait_severed(line, name);
        }
        assert!(severed() >= 2, "{name}: {} remembered", severed());
        free(&mut daemon, &mut sentinel);
        // What the inside sends all the time does not keep it.
        let begun = Instant::now();
        wait_until(SOON, &format!("{name}: forgotten"), || severed() == 0);
        eprintln!("{name}: forgotten after {:?}", begun.elapsed());
        for line in &mut lines {
            wait_until(DEADLINE, &format!("{name}: the line works again"), || goes_on(line));
        }
    }
}
