//! Lists in the ledger: what the kernel is told comes to what it is to hold, and answers say what follows.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::{Builder, Cursor, Desired, Entries, Family, ListUse, Range};

fn entries(ranges: &[(u32, u32)]) -> Entries {
    let mut builder = Builder::new(u64::MAX);
    for &(first, last) in ranges {
        builder.take(Range::of(Family::V4, first.into(), last.into()));
    }
    builder.finish().unwrap()
}

fn plan(name: &str, usage: ListUse) -> ListPlan {
    ListPlan { source: Source::list(name), usage, whole: true }
}

/// What the kernel's sets hold: every range, by set.
type Held = BTreeSet<(SetId, Range)>;

fn follow(held: &mut Held, change: SetChange) {
    let fits = match change {
        SetChange::Add { set, range, lifetime: Lifetime::Forever } => held.insert((set, range)),
        SetChange::Delete { set, range } => held.remove(&(set, range)),
        other => panic!("{other:?}"),
    };
    assert!(fits, "{change:?}");
}

fn desired(ledger: &Ledger, source: Source, most: usize) -> Held {
    let mut all = Held::new();
    for set in SetId::of_source(source) {
        let want = ledger.desired(set, at(9));
        let mut cursor = Cursor::default();
        let mut tell = |range, _| {
            assert_eq!(want.wanted(range), Some(Lifetime::Forever), "{range:?}");
            assert!(all.insert((set, range)));
        };
        while want.walk(&mut cursor, most, &mut tell) {}
    }
    all
}

fn protected(nets: &[&str]) -> Vec<Protected> {
    let net = |text: &&str| Protected { net: text.parse().unwrap(), why: "x".into(), own: false };
    nets.iter().map(net).collect()
}

#[test]
fn a_list_blocks_allows_or_lets_nobody_else_in() {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    for (usage, listed, other) in [
        (ListUse::Block, Outcome::Blocked, Outcome::NotBanned),
        (ListUse::Allow, Outcome::Allowed, Outcome::NotBanned),
        (ListUse::Only, Outcome::NotBanned, Outcome::Blocked),
    ] {
        let mut ledger = Ledger::new(1000);
        ledger.set_lists(&[plan("one", usage)], &mut |_| {});
        let mut held = Held::new();
        let list = entries(&[(0xc633_6400, 0xc633_64ff), (0xcb00_7107, 0xcb00_7107)]);
        let source = Source::list("one");
        ledger.apply(at(5), Event::Entries { source, entries: list }, &mut |change| follow(&mut held, change));
        assert_eq!(held, desired(&ledger, source, 1), "{usage:?}");
        for (text, outcome) in [
            ("198.51.100.77", listed),
            ("203.0.113.7", listed),
            ("203.0.113.8", other),
            ("192.168.1.9", Outcome::NeverBanned(Never::Private)),
            // Of another family nothing was said.
            ("2001:db8::7", Outcome::NotBanned),
        ] {
            let verdict = ledger.check(at(9), address(text));
            let outcome = match (usage, outcome) {
                (ListUse::Allow, Outcome::Allowed) => {
                    assert_eq!(verdict.allowances[0].origin, AllowOrigin::List(source));
                    Outcome::Allowed
                }
                (_, outcome) => outcome,
            };
            assert_eq!(verdict.outcome, outcome, "{usage:?} {text}");
            assert_eq!(!verdict.bans.is_empty(), outcome == Outcome::Blocked, "{usage:?} {text}: {:?}", verdict.bans);
        }
        assert_eq!(ledger.is_blocked_wholly(at(9), address("203.0.113.7")), usage == ListUse::Block);
        let bans = ledger.check(at(9), address("198.51.100.77")).bans;
        if usage == ListUse::Block {
            assert_eq!(bans[0].net, "198.51.100.0/24".parse().unwrap());
            assert_eq!(ledger.bans_around(at(9), "198.51.100.128/25".parse().unwrap()).count(), 1);
            assert_eq!(ledger.bans_around(at(9), "198.51.100.0/23".parse().unwrap()).count(), 0);
        }
        // What it was for before is not what it is for now.
        let other = if usage == ListUse::Only { ListUse::Block } else { ListUse::Only };
        ledger.set_lists(&[plan("one", other)], &mut |change| follow(&mut held, change));
        assert!(held.is_empty(), "{usage:?}");
        let list = entries(&[(0xc633_6400, 0xc633_64ff), (0xcb00_7107, 0xcb00_7107)]);
        ledger.apply(at(6), Event::Entries { source, entries: list }, &mut |change| follow(&mut held, change));
        assert_eq!(held, desired(&ledger, source, 1), "{usage:?} to {other:?}");
        ledger.apply(at(7), Event::Lapse { source }, &mut |change| follow(&mut held, change));
        assert!(held.is_empty());
        assert_eq!(ledger.outcome(at(9), address("8.8.8.8")), Outcome::NotBanned);
    }
}

#[test]
fn lists_leave_room_for_the_feeds_and_for_one_another() {
    let mut ledger = Ledger::new(1000);
    ledger.set_lists(&[plan("one", ListUse::Block), plan("two", ListUse::Block)], &mut |_| {});
    let many =
        |count: u32| entries(&(0..count).map(|n| (0x0900_0000 + 2 * n, 0x0900_0000 + 2 * n)).collect::<Vec<_>>());
    let [one, two] = ["one", "two"].map(Source::list);
    assert_eq!(ledger.list_room(one), 750);
    let take =
        |ledger: &mut Ledger, source, entries| ledger.apply(at(5), Event::Entries { source, entries }, &mut |_| {});
    assert_eq!(take(&mut ledger, one, many(751)).cut, 751);
    assert_eq!((ledger.counts(one).v4, ledger.counts(one).cut), (0, 751));
    assert_eq!(take(&mut ledger, one, many(500)).added, 500);
    assert_eq!(ledger.counts(one).cut, 0);
    assert_eq!(ledger.list_room(two), 250);
    assert_eq!(take(&mut ledger, two, many(251)).cut, 251);
    assert_eq!(
        take(
            &mut ledger,
            two,
            entries(&(0..125).map(|n| (0x0900_0000 + 4 * n, 0x0900_0001 + 4 * n)).collect::<Vec<_>>())
        )
        .added,
        125
    );
    // A feed has what is left.
    let list = List {
        v4: (0..600u32)
            .map(|n| Listed { address: Ipv4Addr::from_bits(0x0b00_0000 + n), lifetime: Lifetime::Forever })
            .collect(),
        ..List::default()
    };
    let applied = ledger.apply(at(5), Event::List { source: Source::DYNFW, list }, &mut |_| {});
    assert_eq!((applied.added, applied.cut), (250, 350));
    let mut gone = 0;
    let applied = ledger.set_max_entries(at(6), 600, &mut |_| gone += 1);
    assert!(ledger.counts(one).v4 + ledger.counts(two).nets * 2 <= 450, "{:?}", ledger.counts(one));
    assert!(applied.cut >= 125, "{applied:?}");
    assert!(gone >= 125);
}

#[test]
fn a_page_has_a_list_only_where_it_is_asked_for() {
    let mut ledger = Ledger::new(1000);
    ledger.set_lists(&[plan("one", ListUse::Block)], &mut |_| {});
    let source = Source::list("one");
    let list = entries(&[(0xc633_6400, 0xc633_64ff), (0xcb00_7107, 0xcb00_7107), (0xcb00_7109, 0xcb00_710b)]);
    ledger.apply(at(5), Event::Entries { source, entries: list }, &mut |_| {});
    let page = |filter: Filter| {
        ledger.page(at(9), &filter, 0, 10).bans.iter().map(|ban| ban.net.to_string()).collect::<Vec<_>>()
    };
    for sort in [Sort::Newest, Sort::Address, Sort::Ending, Sort::Source] {
        assert!(page(Filter { sort, ..Filter::default() }).is_empty());
        let nets = page(Filter { sort, source: Some(source), ..Filter::default() });
        assert_eq!(nets, ["198.51.100.0/24", "203.0.113.7/32", "203.0.113.9/32", "203.0.113.10/31"], "{sort:?}");
        assert_eq!(page(Filter { sort, text: "203.0.113.11", ..Filter::default() }), ["203.0.113.10/31"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes after what, the sets hold what is desired, and nothing protected or private.
    #[test]
    fn the_sets_follow(
        steps in prop::collection::vec((0u32..3, prop::collection::vec((0u32..600, 0u32..70), 0..12)), 1..8),
        usage in prop_oneof![Just(ListUse::Block), Just(ListUse::Only), Just(ListUse::Allow)],
        most in 1usize..5,
    ) {
        // Around the border of a private network.
        let base = 0x0aff_ff00;
        let source = Source::list("prop");
        let mut ledger = Ledger::new(100_000);
        ledger.set_lists(&[plan("prop", usage)], &mut |_| {});
        let mut held = Held::new();
        for (kind, ranges) in steps {
            let ranges: Vec<_> = ranges.into_iter().map(|(first, n)| (base + first, base + first + n / 5)).collect();
            match kind {
                0 => {
                    let nets: Vec<String> = ranges.iter().map(|(first, _)| Ipv4Addr::from_bits(*first).to_string() + "/31").collect();
                    let nets = protected(&nets.iter().map(String::as_str).collect::<Vec<_>>());
                    ledger.set_protected(at(3), nets, &mut |change| follow(&mut held, change));
                }
                _ => {
                    let event = Event::Entries { source, entries: entries(&ranges) };
                    ledger.apply(at(3), event, &mut |change| follow(&mut held, change));
                }
            }
            prop_assert_eq!(&held, &desired(&ledger, source, most));
            if usage != ListUse::Allow {
                for (_, range) in &held {
                    let (IpAddr::V4(first), IpAddr::V4(last)) = (range.first, range.last) else { panic!() };
                    for number in [first.to_bits(), last.to_bits()] {
                        let address = IpAddr::V4(Ipv4Addr::from_bits(number));
                        prop_assert_eq!(ledger.outcome(at(9), address), Outcome::Blocked, "{}", address);
                    }
                }
            }
        }
    }
}
