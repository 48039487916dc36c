//! The daemon's work, piece by piece, for `cargo xtask bench --counts`: callgrind counts the instructions of each,
//! qemu on MIPS, and an allocator the most memory that it asked for. Prints one line a piece, bytes and name.
//!
//! The pieces are those of the library that run for every message, line, packet and question; sockets and the
//! kernel are left out, for their work is not ours. Everything is the same at every run: no clock, no chance.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use diswall::feed::dynfw::sync::{Change, Sync};
use diswall::feed::dynfw::wire::{self, Published};
use diswall::feed::intake::Intake;
use diswall::feed::lists::{Format, Item, Reader, Verdict};
use diswall::feed::login::{Judge, Line, judge, known};
use diswall::feed::scan::{Detector, Settings, packet};
use diswall::ledger::{Filter, Ledger, Moment, Sort, Totals, may_ban};
use diswall::model::{Builder, Event, Lifetime, List, Listed, Reason, Source};

mod allocator;
mod mark;
mod same;

const NOW: Moment = Moment(Moment::BOOT.0 + 1000);

/// Entries of a long list.
const MANY: u32 = 100_000;

/// Room for as many as `max_entries` may be on a router with 256 MB.
const MOST: u32 = 262_144;

const PATTERNS: &str = include_str!("../../src/feed/login/patterns.txt");

fn main() {
    // What the marks themselves cost, for xtask to take off.
    mark::begin();
    mark::end();
    lists();
    delta();
    log_lines();
    packet();
    pages();
    snapshot();
}

/// What callgrind counts: the name is known to xtask.
#[inline(never)]
fn measured_piece(work: &mut dyn FnMut()) {
    work();
}

fn piece(name: &str, mut work: impl FnMut()) {
    allocator::begin();
    mark::begin();
    measured_piece(&mut work);
    mark::end();
    println!("{} {name}", allocator::peak());
}

/// Addresses spread over the address space by a fixed permutation.
fn addresses(count: u32) -> impl Iterator<Item = Ipv4Addr> {
    (0..u32::MAX)
        .map(|n| Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b1)))
        .filter(|address| (11..100).contains(&address.octets()[0]))
        .take(count as usize)
}

/// A ledger with a long list of DynFW's.
fn full() -> Ledger {
    let mut ledger = Ledger::new(MOST);
    let v4 = addresses(MANY).map(|address| Listed { address, lifetime: Lifetime::Forever }).collect();
    ledger.apply(NOW, Event::List { source: Source::DYNFW, list: List { v4, ..List::default() } }, &mut |_| {});
    ledger
}

fn lists() {
    let message = dynfw_list();
    let intake = Intake::new(MOST as usize, |address| may_ban(Source::DYNFW, address.into()).is_ok());
    let mut ledger = Ledger::new(MOST);
    let mut sync = Sync::new();
    let mut changes = 0;
    piece("DynFW's list of 100,000 into the ledger", || {
        let Ok(Published::List(list)) = wire::parse(&[wire::TOPIC_LIST.as_bytes(), &message]) else { return };
        assert!(sync.takes_list(list.serial));
        let mut reading = intake.begin(list.addresses.most_v4());
        list.addresses.flatten().for_each(|address| reading.take(address, Lifetime::Forever));
        ledger.apply(NOW, sync.list(list.serial, reading.end().0), &mut |_| changes += 1);
    });
    assert_eq!(changes, MANY);
    let message = dynfw_list();
    piece("the same list again", || {
        sync.ask();
        let Ok(Published::List(list)) = wire::parse(&[wire::TOPIC_LIST.as_bytes(), &message]) else { return };
        let mut reading = intake.begin(list.addresses.most_v4());
        list.addresses.flatten().for_each(|address| reading.take(address, Lifetime::Forever));
        ledger.apply(NOW, sync.list(list.serial, reading.end().0), &mut |_| changes += 1);
    });
    assert_eq!(changes, MANY);

    let text: String = addresses(MANY).map(|address| format!("{address}\n")).collect();
    let source = Source::list("farm");
    let mut ledger = Ledger::new(MOST);
    let mut read = 0;
    piece("a plain list of 100,000 into arrays", || {
        let mut builder = Builder::new(MOST.into());
        let mut reader = Reader::new(Format::Auto);
        let mut take = |item: Item<'_>| {
            if let Item::Range(range, _) = item {
                builder.take(range);
            }
        };
        for bytes in text.as_bytes().chunks(16_384) {
            reader.push(bytes, &mut take);
        }
        let summary = reader.finish(&mut take);
        assert_eq!(summary.verdict, Verdict::Usable);
        let Ok(entries) = builder.finish() else { return };
        read = entries.size().all();
        ledger.apply(NOW, Event::Entries { source, entries }, &mut |_| {});
    });
    assert_eq!(read, MANY);
}

/// DynFW's list in MessagePack, as its server sends it.
fn dynfw_list() -> Vec<u8> {
    let mut out = vec![0x84];
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(0xa0 | text.len() as u8);
        out.extend(text.as_bytes());
    };
    for (key, value) in [("version", 1u8), ("serial", 7), ("ts", 9)] {
        text(&mut out, key);
        out.push(value);
    }
    text(&mut out, "list");
    out.push(0xdd);
    out.extend(MANY.to_be_bytes());
    addresses(MANY).for_each(|address| text(&mut out, &address.to_string()));
    out
}

fn delta() {
    let mut ledger = full();
    let mut sync = Sync::new();
    sync.list(8, List::default());
    // The first ban after a list makes room for more.
    let net = IpAddr::from([203, 0, 113, 8]).into();
    let first = Event::Ban { source: Source::DYNFW, net, lifetime: Lifetime::Forever, reason: Reason::Announced };
    ledger.apply(NOW, first, &mut |_| {});
    // {"serial": 9, "delta": "positive", "ip": "203.0.113.9", "ts": 9}
    let message = b"\x84\xa6serial\x09\xa5delta\xa8positive\xa2ip\xab203.0.113.9\xa2ts\x09";
    let mut changes = 0;
    piece("a delta of DynFW's, 100,000 banned", || {
        let Ok(Published::Delta(delta)) = wire::parse(&[wire::TOPIC_DELTA.as_bytes(), message]) else { return };
        let address = wire::parse_address(delta.ip).ok();
        let change = Change { serial: delta.serial, positive: delta.positive, address };
        let Some(event) = sync.delta(change) else { return };
        ledger.apply(NOW, event, &mut |_| changes += 1);
    });
    assert_eq!(changes, 1);
}

/// A line of each service's that counts; those of presets as a log of their own has them.
fn log_lines() {
    let mut all = Judge::new(false);
    for (number, (name, preset)) in (0..).zip(known::names()) {
        if let Some(service) = known::service(name).filter(|_| !preset) {
            all.add_service(number, &service);
        }
    }
    for (name, preset) in known::names() {
        let mut own = Judge::new(true);
        if let Some(service) = known::service(name) {
            own.add_service(0, &service);
        }
        let judge = if preset { &mut own } else { &mut all };
        let Some(line) = examples(name).find(|line| counts(judge, line)) else { panic!("no example of {name} counts") };
        // Another connection, so that it is not taken for the same try.
        let line = line.replace("[7]:", "[8]:");
        let mut counted = false;
        piece(&format!("a log line of {name}"), || counted = counts(judge, &line));
        black_box(counted);
    }
    let line = "Nov 27 22:55:36 router dnsmasq[7]: query[A] www.example.org from 192.168.1.7";
    piece("a log line of nobody's", || assert!(!counts(&mut all, line)));
}

fn counts(judge: &mut Judge, line: &str) -> bool {
    let mut counted = false;
    Line::read(line.as_bytes(), &mut |line| {
        judge.judge(line, &mut |_, verdict| counted |= matches!(verdict, judge::Verdict::Counts { .. }));
    });
    counted
}

/// The examples of a service in the table of patterns, as lines of the system log.
fn examples(service: &str) -> impl Iterator<Item = String> + '_ {
    let mut current = "";
    let mut program = "";
    PATTERNS.lines().filter_map(move |line| {
        let (word, rest) = line.split_once(' ')?;
        let first = rest.split(' ').next().unwrap_or_default();
        match word {
            "service" | "preset" => (current, program) = (first, ""),
            "program" => program = first,
            "eg" if current == service && program.is_empty() => return Some(rest.to_owned()),
            "eg" if current == service => {
                let more = if program.ends_with('-') { "smtpd" } else { "" };
                return Some(format!("Nov 27 22:55:36 router {program}{more}[7]: {rest}"));
            }
            _ => {}
        }
        None
    })
}

/// A packet to a closed port, from its bytes to the ban.
fn packet() {
    let mut ledger = full();
    let mut detector = Detector::new(&Settings::default());
    // IPv4 and TCP: 203.0.113.9:40000 to 198.51.100.1:23.
    let mut bytes = vec![0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 203, 0, 113, 9, 198, 51, 100, 1];
    bytes.extend([0x9c, 0x40, 0, 23, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0]);
    let mut changes = 0;
    piece("a packet to a closed port, 100,000 banned", || {
        let Ok(touch) = packet::parse(&bytes) else { return };
        black_box(ledger.outcome(NOW, touch.source));
        black_box(detector.touch(NOW, &touch));
        let Some(offence) = ledger.offence(NOW, touch.source) else { return };
        let reason = Reason::Port { protocol: touch.protocol, port: touch.port };
        let event = Event::Ban { source: Source::SCAN, net: touch.source.into(), lifetime: offence.lifetime, reason };
        ledger.apply(NOW, event, &mut |_| changes += 1);
    });
    assert_eq!(changes, 1);
}

fn pages() {
    let ledger = full();
    let newest = Filter { sort: Sort::Newest, ..Filter::default() };
    piece("the first page of 50 newest of 100,000 bans", || {
        assert_eq!(ledger.page(NOW, &newest, 0, 50).bans.len(), 50)
    });
    piece("page 1,000 of them", || assert_eq!(ledger.page(NOW, &newest, 50_000, 50).bans.len(), 50));
    let by_address = Filter { sort: Sort::Address, ..Filter::default() };
    piece("a page by address", || assert_eq!(ledger.page(NOW, &by_address, 50_000, 50).bans.len(), 50));
    let search = Filter { text: "no such word", ..newest };
    piece("a search without a hit", || assert_eq!(ledger.page(NOW, &search, 0, 50).total, 0));
    let address: Option<IpAddr> = addresses(MANY).last().map(IpAddr::V4);
    piece("the check of an address", || {
        assert!(address.is_some_and(|address| !ledger.check(NOW, address).bans.is_empty()))
    });
}

fn snapshot() {
    let mut ledger = full();
    let mut bytes = Vec::new();
    piece("a snapshot of 100,000 written", || {
        assert!(ledger.save(NOW, 1, true, &Totals::new(), &mut bytes).is_ok());
    });
    ledger = Ledger::new(MOST);
    piece("a start with it", || {
        let Ok(back) = Ledger::restore(&mut bytes.as_slice(), NOW, Some(1), MOST) else { return };
        ledger = back.ledger;
    });
    assert_eq!(ledger.counts(Source::DYNFW).v4, MANY);
}
