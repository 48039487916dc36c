//! The ledger through its public face: tables of cases, and random histories against a naive model with
//! a simulated kernel.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::*;
use crate::model::{Desired, Lifetime, Range, Reason};

mod lists;
mod model;
mod record;
mod snapshot;

fn net(text: &str) -> IpNet {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).unwrap()
}

fn at(seconds: u32) -> Moment {
    Moment(Moment::BOOT.0 + seconds)
}

fn ban(source: Source, what: &str, lifetime: Lifetime) -> Event {
    Event::Ban { source, net: net(what), lifetime, reason: Reason::Announced }
}

/// Applies and returns what came out.
fn changes(ledger: &mut Ledger, now: Moment, event: Event) -> (Applied, Vec<SetChange>) {
    let mut changes = Vec::new();
    let applied = ledger.apply(now, event, &mut |change| changes.push(change));
    (applied, changes)
}

#[test]
fn a_list_costs_its_difference() {
    let list = |from: u32, to: u32| List {
        v4: (from..to)
            .map(|n| Listed { address: Ipv4Addr::from_bits(0x0900_0000 + n), lifetime: Lifetime::Forever })
            .collect(),
        ..List::default()
    };
    let mut ledger = Ledger::new(262_144);
    let event = |from, to| Event::List { source: Source::DYNFW, list: list(from, to) };
    let (applied, out) = changes(&mut ledger, at(0), event(0, 20_000));
    assert_eq!((applied.added, out.len()), (20_000, 20_000));
    let (applied, out) = changes(&mut ledger, at(5), event(6, 20_006));
    assert_eq!((applied.added, applied.removed, applied.unchanged, out.len()), (6, 6, 19_994, 12));
    assert!(out.iter().take(6).all(|change| matches!(change, SetChange::Delete { .. })), "deletions make room");
    let (applied, out) = changes(&mut ledger, at(6), Event::Lapse { source: Source::DYNFW });
    assert_eq!((applied.removed, out.len(), ledger.counts(Source::DYNFW)), (20_000, 20_000, Counts::default()));
}

#[test]
fn the_next_end_of_an_address_is_that_of_its_first_ban_to_end() {
    let mut ledger = Ledger::new(100);
    for (source, what, lifetime) in [
        (Source::DYNFW, "203.0.113.8", Lifetime::Seconds(50)),
        (Source::MANUAL, "203.0.113.0/24", Lifetime::Seconds(20)),
        (Source::MANUAL, "203.0.113.9", Lifetime::Forever),
        (Source::MANUAL, "198.51.100.1", Lifetime::Forever),
    ] {
        changes(&mut ledger, at(0), ban(source, what, lifetime));
    }
    let next_end = |second, address: &str| ledger.next_end(at(second), address.parse().unwrap());
    for address in ["203.0.113.8", "::ffff:203.0.113.8", "203.0.113.9", "203.0.113.10"] {
        assert_eq!(next_end(0, address), Some(at(20)), "{address}");
    }
    assert_eq!(next_end(20, "203.0.113.8"), Some(at(50)), "what is over has no end to come");
    assert_eq!(next_end(50, "203.0.113.8"), None);
    assert_eq!(next_end(20, "203.0.113.9"), None);
    assert_eq!(next_end(0, "198.51.100.1"), None);
}

#[test]
fn what_is_never_banned() {
    use Never::*;
    // Address, refused from outside, refused from the owner.
    let table = [
        ("0.0.0.0", Some(Unspecified), Some(Unspecified)),
        ("0.1.2.3", Some(Unspecified), Some(Unspecified)),
        ("1.0.0.0", None, None),
        ("9.255.255.255", None, None),
        ("10.0.0.0", Some(Private), None),
        ("10.255.255.255", Some(Private), None),
        ("11.0.0.0", None, None),
        ("100.63.255.255", None, None),
        ("100.64.0.0", Some(Private), None),
        ("100.127.255.255", Some(Private), None),
        ("100.128.0.0", None, None),
        ("126.255.255.255", None, None),
        ("127.0.0.1", Some(Loopback), Some(Loopback)),
        ("169.254.0.1", Some(LinkLocal), Some(LinkLocal)),
        ("169.255.0.0", None, None),
        ("172.15.255.255", None, None),
        ("172.16.0.0", Some(Private), None),
        ("172.31.255.255", Some(Private), None),
        ("172.32.0.0", None, None),
        ("192.0.2.1", None, None),
        ("192.167.255.255", None, None),
        ("192.168.1.1", Some(Private), None),
        ("192.169.0.0", None, None),
        ("198.51.100.7", None, None),
        ("203.0.113.7", None, None),
        ("223.255.255.255", None, None),
        ("224.0.0.1", Some(Multicast), Some(Multicast)),
        ("239.255.255.255", Some(Multicast), Some(Multicast)),
        ("240.0.0.1", None, None),
        ("255.255.255.254", None, None),
        ("255.255.255.255", Some(Broadcast), Some(Broadcast)),
        ("::", Some(Unspecified), Some(Unspecified)),
        ("::1", Some(Loopback), Some(Loopback)),
        ("::2", Some(Compatible), Some(Compatible)),
        ("::192.0.2.1", Some(Compatible), Some(Compatible)),
        ("::ffff:192.0.2.1", None, None),
        ("::ffff:10.0.0.1", Some(Private), None),
        ("::ffff:127.0.0.1", Some(Loopback), Some(Loopback)),
        ("::1:0:0", None, None),
        ("64:ff9b::1.2.3.4", None, None),
        ("2001:db8::1", None, None),
        ("2a00::1", None, None),
        ("fbff::1", None, None),
        ("fc00::1", Some(Private), None),
        ("fdff::1", Some(Private), None),
        ("fe7f::1", None, None),
        ("fe80::1", Some(LinkLocal), Some(LinkLocal)),
        ("febf::1", Some(LinkLocal), Some(LinkLocal)),
        ("fec0::1", Some(Private), None),
        ("ff02::1", Some(Multicast), Some(Multicast)),
        ("198.51.100.0/24", Some(Network), None),
        ("224.0.0.0/8", Some(Network), Some(Multicast)),
        ("0.0.0.0/0", Some(Network), None),
        ("::/0", Some(Network), None),
        ("fe80::/64", Some(Network), Some(LinkLocal)),
        ("::ffff:127.0.0.0/104", Some(Network), Some(Loopback)),
    ];
    for (text, outside, owner) in table {
        for (source, expected) in
            [(Source::DYNFW, outside), (Source::NATS, outside), (Source::SCAN, outside), (Source::MANUAL, owner)]
        {
            assert_eq!(may_ban(source, normal(net(text))).err(), expected, "{text} by {source}");
            let (applied, out) = changes(&mut Ledger::new(10), at(0), ban(source, text, Lifetime::Forever));
            let refused: Vec<(Never, u32)> = applied.refused.iter().collect();
            assert_eq!(refused, Vec::from_iter(expected.map(|kind| (kind, 1))), "{text} by {source}");
            assert_eq!(out.is_empty(), expected.is_some(), "{text} by {source}");
        }
    }
}

/// The elements of a set, as text.
fn elements(ledger: &Ledger, set: SetId, now: Moment) -> Vec<String> {
    let mut all = Vec::new();
    ledger.desired(set, now).for_each(&mut |range, lifetime| {
        let end = match lifetime {
            Lifetime::Forever => String::new(),
            Lifetime::Seconds(seconds) => format!(" {seconds}s"),
        };
        all.push(if range.first == range.last {
            format!("{}{end}", range.first)
        } else {
            format!("{}-{}{end}", range.first, range.last)
        });
    });
    all
}

#[test]
fn the_longest_end_wins_where_networks_overlap() {
    let set = SetId::Ban(Source::MANUAL);
    let mut ledger = Ledger::new(1000);
    let block = |what, seconds| ban(Source::MANUAL, what, Lifetime::Seconds(seconds));
    changes(&mut ledger, at(0), block("198.51.100.0/24", 100));
    changes(&mut ledger, at(0), block("198.51.100.64/26", 200));
    changes(&mut ledger, at(0), block("198.51.100.65", 50));
    assert_eq!(
        elements(&ledger, set, at(10)),
        ["198.51.100.0-198.51.100.63 90s", "198.51.100.64-198.51.100.127 190s", "198.51.100.128-198.51.100.255 90s"]
    );
    let (_, out) = changes(&mut ledger, at(10), ban(Source::MANUAL, "198.51.101.0/24", Lifetime::Seconds(90)));
    let added = Range { first: [198, 51, 100, 128].into(), last: [198, 51, 101, 255].into() };
    assert_eq!(out.len(), 2, "the neighbour ends together with it, so they become one: {out:?}");
    assert_eq!(out.get(1), Some(&SetChange::Add { set, range: added, lifetime: Lifetime::Seconds(90) }));
    assert_eq!(elements(&ledger, set, at(150)), ["198.51.100.64-198.51.100.127 50s"]);
}

#[test]
fn a_block_of_everything_spares_what_is_never_banned() {
    let mut ledger = Ledger::new(1000);
    let protected = Protected { net: net("203.0.113.1"), why: "gateway of wan".into(), own: false };
    ledger.set_protected(at(0), vec![protected.clone()], &mut |_| {});
    changes(&mut ledger, at(0), ban(Source::MANUAL, "0.0.0.0/0", Lifetime::Forever));
    changes(&mut ledger, at(0), ban(Source::MANUAL, "::/0", Lifetime::Forever));
    assert_eq!(
        elements(&ledger, SetId::Ban(Source::MANUAL), at(0)),
        [
            "1.0.0.0-126.255.255.255",
            "128.0.0.0-169.253.255.255",
            "169.255.0.0-203.0.113.0",
            "203.0.113.2-223.255.255.255",
            "240.0.0.0-255.255.255.254",
            "::1:0:0-fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ]
    );
    let verdict = ledger.check(at(0), protected.net.addr());
    assert_eq!((verdict.outcome, verdict.protection, verdict.bans.len()), (Outcome::Protected, Some(&protected), 1));
    assert_eq!(verdict.bans.first().map(|ban| ban.force), Some(Force::Partial));
}

#[test]
fn a_withheld_ban_takes_force_when_protection_goes() {
    let mut ledger = Ledger::new(10);
    let protected = |text| vec![Protected { net: net(text), why: "resolver".into(), own: false }];
    ledger.set_protected(at(0), protected("198.51.100.0/30"), &mut |_| panic!("nothing is banned yet"));
    let (applied, out) = changes(&mut ledger, at(0), ban(Source::NATS, "198.51.100.3", Lifetime::Seconds(60)));
    assert_eq!((applied.added, applied.withheld, out.len()), (1, 1, 0));
    assert_eq!(ledger.counts(Source::NATS), Counts { v4: 1, withheld: 1, ..Counts::default() });
    assert_eq!(ledger.outcome(at(1), [198, 51, 100, 3].into()), Outcome::Protected);
    let mut out = Vec::new();
    ledger.set_protected(at(20), protected("198.51.100.0/31"), &mut |change| out.push(change));
    let range = Range::single([198, 51, 100, 3].into());
    let set = SetId::Ban(Source::NATS);
    assert_eq!(out, [SetChange::Add { set, range, lifetime: Lifetime::Seconds(40) }]);
    assert_eq!(ledger.outcome(at(21), [198, 51, 100, 3].into()), Outcome::Blocked);
    out.clear();
    ledger.set_protected(at(30), protected("198.51.100.3"), &mut |change| out.push(change));
    assert_eq!(out, [SetChange::Delete { set, range }]);
}

#[test]
fn check_tells_every_ban_and_allowance() {
    let mut ledger = Ledger::new(100);
    changes(&mut ledger, at(5), ban(Source::DYNFW, "198.51.100.7", Lifetime::Forever));
    let tagged = Reason::Tagged("ssh".into());
    let nats =
        Event::Ban { source: Source::NATS, net: net("198.51.100.7"), lifetime: Lifetime::Seconds(60), reason: tagged };
    changes(&mut ledger, at(6), nats);
    let list = vec![Entry { net: net("198.51.100.0/24"), lifetime: Lifetime::Forever, comment: "scanner farm".into() }];
    changes(&mut ledger, at(7), Event::BlockList { list });
    let address = "::ffff:198.51.100.7".parse().unwrap();
    let verdict = ledger.check(at(10), address);
    let view = |source, what, start, end, reason, by| BanView {
        source,
        net: net(what),
        start: at(start),
        end,
        reason,
        by,
        origin: 0,
        force: Force::Full,
    };
    assert_eq!(
        verdict.bans,
        [
            view(Source::DYNFW, "198.51.100.7", 5, None, ReasonRef::Announced, ""),
            view(Source::NATS, "198.51.100.7", 6, Some(at(66)), ReasonRef::Tagged("ssh"), ""),
            view(Source::MANUAL, "198.51.100.0/24", 7, None, ReasonRef::Comment("scanner farm"), CONFIGURATION),
        ]
    );
    assert_eq!((verdict.outcome, ledger.outcome(at(10), address)), (Outcome::Blocked, Outcome::Blocked));
    let allow = Entry { net: net("198.51.100.7"), lifetime: Lifetime::Seconds(10), comment: "office".into() };
    changes(&mut ledger, at(10), Event::Allow { origin: AllowOrigin::Command, entry: allow });
    let verdict = ledger.check(at(19), address);
    assert_eq!((verdict.outcome, verdict.bans.len(), verdict.allowances.len()), (Outcome::Allowed, 3, 1));
    let verdict = ledger.check(at(20), address);
    assert_eq!((verdict.outcome, verdict.allowances.len()), (Outcome::Blocked, 0), "the ban is in force again");
    let outcome = |text: &str| ledger.check(at(20), text.parse().unwrap()).outcome;
    assert_eq!(outcome("198.51.101.1"), Outcome::NotBanned);
    assert_eq!(outcome("192.168.1.1"), Outcome::NeverBanned(Never::Private));
}

#[test]
fn who_finds_no_room_does_not_climb_and_is_counted() {
    let mut ledger = Ledger::new(2);
    for last in [1, 2] {
        ledger.offence(at(0), [198, 51, 100, last].into()).unwrap();
        changes(&mut ledger, at(0), ban(Source::SCAN, &format!("198.51.100.{last}"), Lifetime::Seconds(900)));
    }
    for cut in 1..=3 {
        assert_eq!(ledger.offence(at(1), [198, 51, 100, 3].into()), None);
        assert_eq!((ledger.offences(at(1), [198, 51, 100, 3].into()), ledger.counts(Source::SCAN).cut), (0, cut));
    }
    assert_eq!(ledger.offence(at(1), "2001:db8::1".parse().unwrap()), None, "both families share the room");
    ledger.expire(at(1000), &mut |_, _| {});
    assert_eq!(ledger.offence(at(1000), [198, 51, 100, 3].into()).map(|offence| offence.seen), Some(0));
}

#[test]
fn a_source_beyond_the_limit_is_cut_and_says_so() {
    let mut ledger = Ledger::new(8);
    let list = |range: std::ops::Range<u32>| Event::List {
        source: Source::DYNFW,
        list: List {
            v4: range
                .map(|n| Listed { address: Ipv4Addr::from_bits(0x0900_0000 + n), lifetime: Lifetime::Forever })
                .collect(),
            ..List::default()
        },
    };
    let (applied, out) = changes(&mut ledger, at(0), list(0..11));
    assert_eq!((applied.added, applied.cut, out.len()), (8, 3, 8));
    assert_eq!(ledger.counts(Source::DYNFW), Counts { v4: 8, cut: 3, ..Counts::default() });
    let (applied, out) = changes(&mut ledger, at(0), ban(Source::DYNFW, "9.0.1.0", Lifetime::Forever));
    assert_eq!((applied.cut, out.len(), ledger.counts(Source::DYNFW).cut), (1, 0, 4));
    let (applied, _) = changes(&mut ledger, at(0), ban(Source::NATS, "2001:db8::1", Lifetime::Forever));
    assert_eq!((applied.added, applied.cut), (0, 1), "one limit for both families and all sources");
    let (applied, _) = changes(&mut ledger, at(0), ban(Source::SCAN, "2001:db8::1", Lifetime::Forever));
    assert_eq!((applied.added, applied.cut), (1, 0), "what the router itself sees has room");
    let (applied, _) = changes(&mut ledger, at(0), ban(Source::SCAN, "2001:db8::2", Lifetime::Forever));
    assert_eq!((applied.added, applied.cut), (0, 1), "an eighth more and no further");
    let (applied, _) = changes(&mut ledger, at(0), ban(Source::MANUAL, "2001:db8::3", Lifetime::Forever));
    assert_eq!((applied.added, applied.cut), (1, 0), "the owner's word has room of its own");
    let (applied, _) = changes(&mut ledger, at(0), Event::Unban { source: Source::SCAN, net: net("2001:db8::1/128") });
    assert_eq!(applied.removed, 1);
    let (applied, out) = changes(&mut ledger, at(0), list(4..12));
    assert_eq!((applied.added, applied.removed, applied.cut), (4, 4, 0), "what goes makes room");
    let first_add = out.iter().position(|change| matches!(change, SetChange::Add { .. })).unwrap();
    assert!(out.iter().skip(first_add).all(|change| match change {
        SetChange::Add { .. } => true,
        SetChange::Delete { range, .. } => range.first.is_ipv6(),
        SetChange::Renew { .. } => false,
    }));
    let mut out = Vec::new();
    let applied = ledger.set_max_entries(at(0), 4, &mut |change| out.push(change));
    assert_eq!((applied.cut, out.len(), ledger.counts(Source::DYNFW).v4), (4, 4, 4));
}

#[test]
fn the_owners_networks_count_one_each() {
    let mut ledger = Ledger::new(4);
    let list = (0..6u8)
        .map(|n| Entry { net: net(&format!("198.51.{n}.0/24")), lifetime: Lifetime::Forever, comment: "".into() })
        .collect();
    let (applied, _) = changes(&mut ledger, at(0), Event::BlockList { list });
    assert_eq!((applied.added, applied.cut, ledger.counts(Source::MANUAL).nets), (4, 2, 4));
    let (applied, _) = changes(&mut ledger, at(0), ban(Source::MANUAL, "9.9.9.9", Lifetime::Forever));
    assert_eq!((applied.added, applied.cut, ledger.counts(Source::MANUAL).cut), (0, 1, 3));
}

#[test]
fn an_offence_counts_once_while_its_ban_lasts() {
    let mut ledger = Ledger::new(10);
    let address: IpAddr = [198, 51, 100, 7].into();
    let offence = ledger.offence(at(0), address).unwrap();
    assert_eq!(offence, Offence { seen: 0, lifetime: Lifetime::Seconds(900) });
    let (_, out) = changes(&mut ledger, at(0), ban(Source::SCAN, "198.51.100.7", offence.lifetime));
    assert!(matches!(out.as_slice(), [SetChange::Renew { .. }]), "a rule may have added it already: {out:?}");
    assert_eq!(ledger.offence(at(1), address), None, "packets in flight");
    assert_eq!(ledger.offence(at(900), address).map(|offence| offence.seen), Some(1), "it has ended");
    assert_eq!(ledger.offence(at(0), [10, 0, 0, 1].into()), None);
    let allow = Entry { net: net("203.0.113.0/24"), lifetime: Lifetime::Forever, comment: "".into() };
    changes(&mut ledger, at(0), Event::Allow { origin: AllowOrigin::Config, entry: allow });
    assert_eq!(ledger.offence(at(0), [203, 0, 113, 9].into()), None);
}

#[test]
fn a_scanners_whole_64_is_one_ban() {
    let mut ledger = Ledger::new(10);
    ledger.set_scan_prefix(at(0), 64, &mut |_| {});
    let (one, other): (IpAddr, IpAddr) = ("2001:db8::1:2".parse().unwrap(), "2001:db8::ffff:3".parse().unwrap());
    let lifetime = ledger.offence(at(0), one).unwrap().lifetime;
    let (_, out) = changes(&mut ledger, at(0), ban(Source::SCAN, "2001:db8::1:2/128", lifetime));
    let element = Range::single("2001:db8::".parse().unwrap());
    assert!(matches!(out.as_slice(), [SetChange::Renew { range, .. }] if *range == element), "{out:?}");
    assert_eq!((ledger.offence(at(1), other), ledger.outcome(at(1), other)), (None, Outcome::Blocked));
    assert_eq!(ledger.check(at(1), other).bans[0].net, net("2001:db8::/64"));
    assert_eq!(ledger.outcome(at(1), "2001:db8:0:1::1".parse().unwrap()), Outcome::NotBanned);
    assert_eq!(elements(&ledger, SetId::Ban(Source::SCAN), at(1)), ["2001:db8:: 899s"]);
    // A feed's bans are of addresses all the same.
    changes(&mut ledger, at(1), ban(Source::NATS, "2001:db8:7::1", Lifetime::Forever));
    assert_eq!(ledger.outcome(at(1), "2001:db8:7::2".parse().unwrap()), Outcome::NotBanned);
    for spelling in ["2001:db8::/64", "2001:db8::9:9/128"] {
        let (applied, _) = changes(&mut ledger, at(2), Event::Unban { source: Source::SCAN, net: net(spelling) });
        assert_eq!(applied.removed, 1, "{spelling}");
        changes(&mut ledger, at(2), ban(Source::SCAN, "2001:db8::1:2/128", lifetime));
    }
    // Not where the network holds something that the router needs.
    let resolver = Protected { net: net("2001:db8:5::53/128"), why: "a resolver".into(), own: false };
    ledger.set_protected(at(3), vec![resolver], &mut |_| {});
    assert_eq!(ledger.offence(at(3), "2001:db8:5::1".parse().unwrap()), None);
}

/// The rules look networks up from then on: an address alone would be in the set, and keep nobody out.
#[test]
fn bans_of_addresses_become_bans_of_their_networks() {
    let mut ledger = Ledger::new(10);
    for (address, seconds) in [("2001:db8::1:2", 900), ("2001:db8::1:3", 300), ("2001:db8:7::1", 60)] {
        changes(&mut ledger, at(0), ban(Source::SCAN, address, Lifetime::Seconds(seconds)));
    }
    changes(&mut ledger, at(0), ban(Source::NATS, "2001:db8:9::1", Lifetime::Forever));
    let mut out = Vec::new();
    ledger.set_scan_prefix(at(100), 64, &mut |change| out.push(change));
    assert_eq!(elements(&ledger, SetId::Ban(Source::SCAN), at(100)), ["2001:db8:: 800s"]);
    assert_eq!(ledger.outcome(at(100), "2001:db8::99".parse().unwrap()), Outcome::Blocked);
    let deleted = out.iter().filter(|change| matches!(change, SetChange::Delete { .. })).count();
    assert!(deleted == 2 && out.len() == 3, "{out:?}");
    assert_eq!(ledger.outcome(at(100), "2001:db8:9::2".parse().unwrap()), Outcome::NotBanned);
    out.clear();
    ledger.set_scan_prefix(at(101), 64, &mut |change| out.push(change));
    assert_eq!(out, []);
}

#[test]
fn a_ban_starts_again_at_its_own_length_once_in_a_while() {
    let mut ledger = Ledger::new(10);
    let address: IpAddr = [198, 51, 100, 7].into();
    changes(&mut ledger, at(0), ban(Source::SCAN, "198.51.100.7", Lifetime::Seconds(100)));
    let mut restart = |now| {
        let mut out = Vec::new();
        let restarted = ledger.restart(at(now), Source::SCAN, address, &mut |change| out.push(change));
        assert_eq!(restarted, out.len() == 1);
        let end = ledger.check(at(now), address).bans.first().and_then(|ban| ban.end);
        (restarted, end.map(|end| end.since(at(0))))
    };
    assert_eq!(restart(5), (false, Some(100)), "too soon to be worth a write");
    assert_eq!(restart(6), (true, Some(106)));
    assert_eq!(restart(90), (true, Some(190)));
    assert_eq!(restart(190), (false, None), "it has ended");
    let (_, out) = changes(&mut ledger, at(200), ban(Source::NATS, "198.51.100.8", Lifetime::Forever));
    assert_eq!(out.len(), 1);
    assert!(!ledger.restart(at(9000), Source::NATS, [198, 51, 100, 8].into(), &mut |_| {}), "it has no end");
}

#[test]
fn the_texts_of_strangers_are_bounded_and_shared() {
    let mut ledger = Ledger::new(100_000);
    let tag = |n: u32, text: String| Event::Ban {
        source: Source::NATS,
        net: IpAddr::from(Ipv4Addr::from_bits(0x0900_0000 + n)).into(),
        lifetime: Lifetime::Forever,
        reason: Reason::Tagged(text.into()),
    };
    for n in 0..5000 {
        changes(&mut ledger, at(0), tag(n, format!("tag {n}")));
    }
    assert_eq!(ledger.texts.iter().count(), reason::TEXTS_MAX);
    let reason_of = |ledger: &Ledger, n: u32| {
        ledger.check(at(0), Ipv4Addr::from_bits(0x0900_0000 + n).into()).bans.first().map(|ban| ban.reason.to_string())
    };
    assert_eq!(reason_of(&ledger, 4095).as_deref(), Some("tag 4095"));
    assert_eq!(reason_of(&ledger, 4096).as_deref(), Some("…"));
    for n in 0..5000 {
        changes(&mut ledger, at(0), tag(n, "ssh".into()));
    }
    assert_eq!(ledger.texts.iter().map(|(_, text)| text).collect::<Vec<_>>(), ["ssh"]);
    changes(&mut ledger, at(0), Event::Lapse { source: Source::NATS });
    assert_eq!(ledger.texts.iter().count(), 0);
}

/// 9,000 bans of every source, starts and ends scattered.
fn crowd() -> Ledger {
    let mut ledger = Ledger::new(100_000);
    let mut turns: Vec<u32> = (0..9000).collect();
    turns.sort_by_key(|n| n % 1009);
    for n in turns {
        let address: IpAddr = match n % 3 {
            0 => Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n.wrapping_mul(0x9e37_79b9))).into(),
            _ => Ipv4Addr::from_bits(0x0900_0000 + (n.wrapping_mul(0x9e37_79b9) >> 10)).into(),
        };
        let source = [Source::DYNFW, Source::NATS, Source::SCAN, Source::MANUAL][n as usize % 4];
        let lifetime = if n % 5 == 0 { Lifetime::Forever } else { Lifetime::Seconds(5000 + n % 977) };
        let reason = if n % 7 == 0 { Reason::Port { protocol: 6, port: 22 } } else { Reason::Announced };
        changes(&mut ledger, at(n % 1009), Event::Ban { source, net: address.into(), lifetime, reason });
    }
    ledger
}

#[test]
fn pages_follow_each_other_in_every_order() {
    let ledger = crowd();
    let now = at(2000);
    let sorts = [Sort::Address, Sort::Newest, Sort::Ending, Sort::Source];
    let kinds = [(None, None, false), (Some(Source::NATS), None, true), (None, Some(6), true)];
    for (sort, (source, family, reverse)) in sorts.into_iter().flat_map(|sort| kinds.map(|kind| (sort, kind))) {
        let mut naive = Vec::new();
        ledger.for_each_ban(now, source, &mut |ban| {
            if family.is_none() || ban.net.addr().is_ipv6() {
                naive.push(ban);
            }
        });
        if sort == Sort::Newest {
            // Table by table, as they came; turned round by what makes the others the other way round.
            naive.sort_by_key(|ban| ban.start);
            naive.reverse();
        }
        naive.sort_by_key(|ban| {
            let lead = match sort {
                Sort::Newest => return (u32::MAX - ban.start.0, IpAddr::from([0; 4]), Source::DYNFW),
                Sort::Address => 0,
                Sort::Ending => ban.end.map_or(u32::MAX, |end| end.0),
                Sort::Source => ban.source.rank(),
            };
            (lead, ban.net.addr(), ban.source)
        });
        if reverse {
            naive.reverse();
        }
        let filter = Filter { source, family, reverse, sort, text: "" };
        for offset in [0, 1, 49, 2000, 2001, naive.len() - 20, naive.len(), usize::MAX / 2] {
            let page = ledger.page(now, &filter, offset, 50);
            let wanted = naive.iter().skip(offset).take(50);
            assert_eq!(page.total, naive.len());
            assert!(page.bans.iter().eq(wanted), "{filter:?} from {offset}");
        }
        assert_eq!(ledger.page(now, &filter, 0, usize::MAX).bans.len(), PAGE_MAX);
        assert_eq!(ledger.page(now, &filter, 3, 0).bans.len(), 0);
    }
}

#[test]
fn pages_are_filtered_by_address_network_and_words() {
    let mut ledger = Ledger::new(1000);
    for (source, what, reason) in [
        (Source::DYNFW, "198.51.100.7", Reason::Listed),
        (Source::NATS, "198.51.100.77", Reason::Tagged("SSH".into())),
        (Source::SCAN, "198.51.101.7", Reason::Port { protocol: 6, port: 22 }),
        (Source::SCAN, "2001:db8::beef", Reason::Login("dropbear".into())),
        (Source::MANUAL, "198.51.0.0/16", Reason::Comment("scanner farm".into())),
    ] {
        let event = Event::Ban { source, net: net(what), lifetime: Lifetime::Forever, reason };
        changes(&mut ledger, at(0), event);
    }
    for (text, expected) in [
        ("", &["198.51.0.0", "198.51.100.7", "198.51.100.77", "198.51.101.7", "2001:db8::beef"][..]),
        ("198.51.100.7", &["198.51.0.0", "198.51.100.7"]),
        ("198.51.100.0/24", &["198.51.0.0", "198.51.100.7", "198.51.100.77"]),
        ("198.51.10", &["198.51.100.7", "198.51.100.77", "198.51.101.7"]),
        ("2001:DB8", &["2001:db8::beef"]),
        ("ssh", &["198.51.100.77"]),
        ("tcp/22", &["198.51.101.7"]),
        ("Farm", &["198.51.0.0"]),
        ("list", &["198.51.100.7"]),
        ("bear", &["2001:db8::beef"]),
        ("nothing like it", &[]),
    ] {
        let page = ledger.page(at(0), &Filter { text, ..Filter::default() }, 0, 50);
        let found: Vec<String> = page.bans.iter().map(|ban| ban.net.addr().to_string()).collect();
        assert_eq!(
            (found.as_slice(), page.total),
            (&expected.iter().map(|text| text.to_string()).collect::<Vec<_>>()[..], expected.len()),
            "{text}"
        );
    }
}

#[test]
fn lifetimes_at_the_edges() {
    let mut ledger = Ledger::new(10);
    let (_, out) = changes(&mut ledger, at(0), ban(Source::NATS, "198.51.100.7", Lifetime::Seconds(0)));
    assert_eq!(out.len(), 1, "nothing is held for less than a second");
    changes(&mut ledger, at(0), ban(Source::NATS, "198.51.100.8", Lifetime::Seconds(u32::MAX)));
    let verdict = ledger.check(at(1000), [198, 51, 100, 8].into());
    assert!(verdict.bans.first().unwrap().end.is_some(), "as long as it can be, and not for ever");
    assert_eq!(ledger.next_expiry(), Some(at(3)));
    let mut gone = Vec::new();
    assert_eq!(ledger.expire(at(3), &mut |source, net| gone.push((source, net))), 1);
    assert_eq!(gone, [(Source::NATS, net("198.51.100.7"))]);
}

/// What the kernel has after these changes.
fn follow(sets: &mut HashMap<(SetId, Range), Lifetime>, changes: Vec<SetChange>) {
    for change in changes {
        match change {
            SetChange::Add { set, range, lifetime } | SetChange::Renew { set, range, lifetime } => {
                sets.insert((set, range), lifetime);
            }
            SetChange::Delete { set, range } => drop(sets.remove(&(set, range))),
        }
    }
}

#[test]
fn a_source_outside_bans_addresses_and_networks_with_ends_and_reasons() {
    let mut ledger = Ledger::new(1000);
    let sources = [&Source::BUILT_IN[..], &[Source::CROWDSEC]].concat();
    ledger.set_sources(at(0), &sources, &mut |_| {});
    let mut sets = HashMap::new();
    let listed =
        |last: u8, seconds| Listed { address: Ipv4Addr::new(203, 0, 113, last), lifetime: Lifetime::Seconds(seconds) };
    let entry =
        |what: &str, seconds| Entry { net: net(what), lifetime: Lifetime::Seconds(seconds), comment: "nets".into() };
    let run = |v4, text: &str| Run { v4, v6: 0, reason: Reason::Tagged(text.into()) };
    let list = List {
        v4: vec![listed(1, 100), listed(2, 200), listed(3, 300)],
        // The first has private ranges in it, the second is one.
        nets: vec![entry("172.0.0.0/8", 400), entry("192.168.0.0/16", 400), entry("198.51.100.0/24", 50)],
        runs: vec![run(1, "ssh"), run(1, "http")],
        ..List::default()
    };
    let (applied, out) = changes(&mut ledger, at(0), Event::List { source: Source::CROWDSEC, list: list.clone() });
    follow(&mut sets, out);
    assert_eq!((applied.added, applied.refused), (5, Refused::one(Never::Private)));
    let counts = ledger.counts(Source::CROWDSEC);
    assert_eq!((counts.v4, counts.nets), (3, 2));
    let range = |first: &str, last: &str| Range { first: first.parse().unwrap(), last: last.parse().unwrap() };
    let nets = SetId::Nets(Source::CROWDSEC);
    for (range, there) in [
        (range("172.0.0.0", "172.15.255.255"), true),
        (range("172.32.0.0", "172.255.255.255"), true),
        (range("172.16.0.0", "172.31.255.255"), false),
        (range("198.51.100.0", "198.51.100.255"), true),
    ] {
        assert_eq!(sets.contains_key(&(nets, range)), there, "{range:?}");
        assert_eq!(ledger.desired(nets, at(0)).wanted(range).is_some(), there, "{range:?}");
    }
    let reason = |ledger: &Ledger, address: &str| {
        let verdict = ledger.check(at(1), address.parse().unwrap());
        verdict.bans.iter().map(|ban| ban.reason.to_string()).collect::<Vec<_>>()
    };
    for (address, text) in
        [("203.0.113.1", "ssh"), ("203.0.113.2", "http"), ("203.0.113.3", "listed"), ("198.51.100.9", "nets")]
    {
        assert_eq!(reason(&ledger, address), [text]);
        assert_eq!(ledger.outcome(at(1), address.parse().unwrap()), Outcome::Blocked, "{address}");
    }
    assert_eq!(ledger.page(at(1), &Filter::default(), 0, 99).bans.len(), 5);

    // A network is announced, prolonged, taken back; it ends by itself.
    let ban = |what: &str, seconds| ban(Source::CROWDSEC, what, Lifetime::Seconds(seconds));
    let (applied, out) = changes(&mut ledger, at(2), ban("2001:db8:9::/48", 10));
    follow(&mut sets, out);
    assert_eq!(applied.added, 1);
    let (applied, out) = changes(&mut ledger, at(3), ban("198.51.100.0/24", 90));
    follow(&mut sets, out);
    assert_eq!(applied.renewed, 1);
    let unban = Event::Unban { source: Source::CROWDSEC, net: net("172.0.0.0/8") };
    let (applied, out) = changes(&mut ledger, at(4), unban.clone());
    follow(&mut sets, out);
    assert_eq!(applied.removed, 1);
    assert_eq!(changes(&mut ledger, at(4), unban).1, [], "deletions may come twice");
    assert_eq!(ledger.next_expiry(), Some(at(14)));
    let mut gone = Vec::new();
    ledger.expire(at(14), &mut |source, net| gone.push((source, net)));
    assert_eq!(gone, [(Source::CROWDSEC, net("2001:db8:9::/48"))]);

    // The whole list costs its difference, and what is not on it goes.
    let (applied, out) = changes(
        &mut ledger,
        at(20),
        Event::List { source: Source::CROWDSEC, list: List { nets: vec![entry("198.51.100.0/24", 73)], ..list } },
    );
    follow(&mut sets, out);
    assert_eq!((applied.removed, applied.unchanged), (0, 1));
    // What is protected makes holes, and fills again.
    let own = Protected { net: net("198.51.100.1"), why: "an address of lan".into(), own: true };
    let mut out = Vec::new();
    ledger.set_protected(at(21), vec![own], &mut |change| out.push(change));
    follow(&mut sets, std::mem::take(&mut out));
    assert!(sets.contains_key(&(nets, range("198.51.100.2", "198.51.100.255"))));
    assert_eq!(ledger.outcome(at(21), "198.51.100.1".parse().unwrap()), Outcome::Protected);

    // Without the source in the configuration nothing of it is in force, and all is back with it.
    ledger.set_sources(at(22), &Source::BUILT_IN, &mut |_| {});
    assert_eq!(reason(&ledger, "198.51.100.9"), [""; 0]);
    ledger.set_sources(at(23), &sources, &mut |_| {});
    assert_eq!(reason(&ledger, "198.51.100.9"), ["nets"]);
    let (_, out) = changes(&mut ledger, at(24), Event::Lapse { source: Source::CROWDSEC });
    follow(&mut sets, out);
    // This one has expired there by itself.
    assert!(sets.remove(&(nets, range("2001:db8:9::", "2001:db8:9:ffff:ffff:ffff:ffff:ffff"))).is_some());
    assert!(sets.is_empty(), "{sets:?}");
}
