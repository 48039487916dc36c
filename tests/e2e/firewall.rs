//! The firewall module against the kernel of a namespace of its own, with `nft` as the judge.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use diswall::firewall::{Comparison, Error, Family, Firewall, Look, Names, SetKey, TableEvent, TableWatch, Touched};
use diswall::model::{Desired, Lifetime, Range, SetChange, SetId, Source};

use proptest::prelude::*;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::support::{Element, Netns, nft, nft_load, nft_set_elements, wait_until};

const DYNFW: SetId = SetId::Ban(Source::DYNFW);
const NATS: SetId = SetId::Ban(Source::NATS);
const SCAN: SetId = SetId::Ban(Source::SCAN);
const MANUAL: SetId = SetId::Ban(Source::MANUAL);
const DYNFW4: SetKey = SetKey { set: DYNFW, family: Family::V4 };
const MAX: u32 = 65_536;

/// The definitions as the rules text has them.
fn table_text(max: u32) -> String {
    let mut text = String::from("table inet fw4 {\n");
    for key in names().keys() {
        let flags = match key.set {
            set if set == MANUAL || set == SetId::Allow => "interval,timeout",
            set if set == SCAN => "dynamic,timeout",
            _ => "timeout",
        };
        let family = if key.family == Family::V4 { "ipv4_addr" } else { "ipv6_addr" };
        let name = names().set(key);
        text.push_str(&format!("set {name} {{ type {family}; flags {flags}; size {max}; }}\n"));
        text.push_str(&format!("counter {name} {{ }}\n"));
    }
    text + "}\n"
}

fn names() -> Names {
    Names { table: "fw4".into(), prefix: "diswall".into(), sources: Source::BUILT_IN.to_vec() }
}

fn open() -> Firewall {
    Firewall::open(names(), MAX).expect("root may")
}

/// A namespace with the table in it, and the firewall open.
fn loaded() -> (Netns, Firewall) {
    let netns = Netns::enter();
    nft_load(&table_text(MAX));
    (netns, open())
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// `"10.0.0.1"` or `"10.0.0.1-10.0.0.9"`.
fn range(text: &str) -> Range {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Range { first: ip(first), last: ip(last) }
}

fn add(set: SetId, what: &str, seconds: u32) -> SetChange {
    SetChange::Add { set, range: range(what), lifetime: lifetime(seconds) }
}

fn renew(set: SetId, what: &str, seconds: u32) -> SetChange {
    SetChange::Renew { set, range: range(what), lifetime: lifetime(seconds) }
}

fn delete(set: SetId, what: &str) -> SetChange {
    SetChange::Delete { set, range: range(what) }
}

/// 0: for ever.
fn lifetime(seconds: u32) -> Lifetime {
    if seconds == 0 { Lifetime::Forever } else { Lifetime::Seconds(seconds) }
}

/// What a set should hold.
#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<Range, Lifetime>);

impl Model {
    fn of(entries: &[(&str, u32)]) -> Model {
        Model(entries.iter().map(|(what, seconds)| (range(what), lifetime(*seconds))).collect())
    }
}

impl Desired for Model {
    fn wanted(&self, range: Range) -> Option<Lifetime> {
        self.0.get(&range).copied()
    }

    fn for_each(&self, f: &mut dyn FnMut(Range, Lifetime)) {
        self.0.iter().for_each(|(range, lifetime)| f(*range, *lifetime));
    }
}

fn listed(set: &str) -> Vec<String> {
    nft_set_elements(set).into_keys().collect()
}

#[test]
fn changes_of_every_kind_reach_both_families() {
    let (_netns, mut firewall) = loaded();
    for change in [
        add(DYNFW, "203.0.113.1", 3600),
        add(DYNFW, "203.0.113.2", 0),
        add(DYNFW, "2001:db8::1", 60),
        add(NATS, "203.0.113.1", 900),
        add(SCAN, "203.0.113.3", 900),
        add(MANUAL, "198.51.100.0-198.51.100.255", 0),
        add(MANUAL, "2001:db8:1::-2001:db8:1:ffff:ffff:ffff:ffff:ffff", 600),
        add(SetId::Allow, "192.0.2.7", 0),
    ] {
        firewall.push(change);
    }
    firewall.commit().unwrap();
    assert_eq!(nft_set_elements("diswall_dynfw4")["203.0.113.1"].timeout, Some(3600));
    assert_eq!(nft_set_elements("diswall_dynfw4")["203.0.113.2"], Element::default());
    assert_eq!(nft_set_elements("diswall_dynfw6")["2001:db8::1"].timeout, Some(60));
    assert_eq!(nft_set_elements("diswall_nats4")["203.0.113.1"].timeout, Some(900));
    assert_eq!(listed("diswall_scan4"), ["203.0.113.3"]);
    assert_eq!(listed("diswall_manual4"), ["198.51.100.0/24"]);
    assert_eq!(nft_set_elements("diswall_manual6")["2001:db8:1::/48"].timeout, Some(600));
    assert_eq!(listed("diswall_allow4"), ["192.0.2.7"]);

    firewall.push(renew(DYNFW, "203.0.113.1", 7200));
    firewall.push(renew(DYNFW, "203.0.113.2", 30));
    firewall.push(renew(MANUAL, "198.51.100.0-198.51.100.255", 90));
    firewall.push(delete(NATS, "203.0.113.1"));
    firewall.push(delete(NATS, "203.0.113.77"));
    firewall.push(delete(SetId::Allow, "192.0.2.7"));
    firewall.commit().unwrap();
    assert_eq!(nft_set_elements("diswall_dynfw4")["203.0.113.1"].timeout, Some(7200));
    assert_eq!(nft_set_elements("diswall_dynfw4")["203.0.113.2"].timeout, Some(30));
    assert_eq!(nft_set_elements("diswall_manual4")["198.51.100.0/24"].timeout, Some(90));
    assert!(listed("diswall_nats4").is_empty());
    assert!(listed("diswall_allow4").is_empty());
    assert!(firewall.dirty().is_empty());
}

#[test]
fn what_the_kernel_let_expire_can_be_deleted_renewed_and_added_again() {
    expire_and_change(|_| ());
}

#[test]
fn expired_elements_are_no_trouble_on_kernels_without_destroy() {
    expire_and_change(Firewall::avoid_destroy);
}

fn expire_and_change(prepare: fn(&mut Firewall)) {
    let (_netns, mut firewall) = loaded();
    prepare(&mut firewall);
    for set in [DYNFW, MANUAL] {
        for last in 1..=3 {
            firewall.push(add(set, &format!("203.0.113.{last}"), 1));
        }
    }
    firewall.commit().unwrap();
    // Expired elements stay in the kernel's memory until it collects them, about once a second: the whole
    // span around the end is tried.
    let deadline = std::time::Instant::now() + Duration::from_millis(2500);
    let mut rounds = 0;
    while std::time::Instant::now() < deadline {
        for set in [DYNFW, MANUAL] {
            firewall.push(delete(set, "203.0.113.1"));
            firewall.push(add(set, "203.0.113.1", 1));
            firewall.push(renew(set, "203.0.113.2", if rounds % 100 == 0 { 1 } else { 2 }));
            firewall.push(delete(set, "203.0.113.3"));
            firewall.push(delete(set, "203.0.113.4"));
            firewall.push(add(set, "203.0.113.4", 1));
        }
        firewall.commit().unwrap();
        rounds += 1;
        std::thread::sleep(Duration::from_millis(if rounds % 7 == 0 { 1100 } else { 10 }));
    }
    for set in [DYNFW, MANUAL] {
        firewall.push(renew(set, "203.0.113.1", 60));
        firewall.push(renew(set, "203.0.113.2", 2));
        firewall.push(add(set, "203.0.113.3", 60));
        firewall.push(delete(set, "203.0.113.4"));
    }
    firewall.commit().unwrap();
    for set in ["diswall_dynfw4", "diswall_manual4"] {
        wait_until(Duration::from_secs(20), "the kernel lets .2 expire", || {
            listed(set) == ["203.0.113.1", "203.0.113.3"]
        });
    }
}

#[test]
fn networks_at_the_edges_and_side_by_side_are_listed_back() {
    let (_netns, mut firewall) = loaded();
    let v4 = [
        ("0.0.0.0-0.0.0.255", "0.0.0.0/24"),
        ("10.0.0.0-10.0.0.255", "10.0.0.0/24"),
        ("10.0.1.0-10.0.1.255", "10.0.1.0/24"),
        ("10.0.2.0", "10.0.2.0"),
        ("10.0.2.1", "10.0.2.1"),
        ("10.1.0.3-10.1.0.9", "10.1.0.3-10.1.0.9"),
        ("255.255.255.0-255.255.255.254", "255.255.255.0-255.255.255.254"),
        ("255.255.255.255", "255.255.255.255"),
    ];
    let v6 = [
        ("::-::ffff", "::/112"),
        ("2001:db8::-2001:db8::ffff", "2001:db8::/112"),
        ("2001:db8::1:0-2001:db8::1:ffff", "2001:db8::1:0/112"),
        ("ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::/8"),
    ];
    let model = Model(v4.iter().chain(&v6).map(|(what, _)| (range(what), lifetime(3600))).collect());
    let mut expected: Vec<String> = v4.iter().map(|(_, name)| (*name).to_owned()).collect();
    expected.sort();
    let mut expected6: Vec<String> = v6.iter().map(|(_, name)| (*name).to_owned()).collect();
    expected6.sort();
    let added = firewall.reconcile(MANUAL, &model).unwrap();
    assert_eq!(added.added, v4.len() + v6.len());
    assert_eq!(listed("diswall_manual4"), expected);
    assert_eq!(listed("diswall_manual6"), expected6);
    let again = firewall.reconcile(MANUAL, &model).unwrap();
    assert_eq!((again.added, again.removed), (0, 0), "{again:?}");
    for (what, _) in v4.iter().chain(&v6).step_by(2) {
        firewall.push(renew(MANUAL, what, 7200));
    }
    for (what, _) in v4.iter().chain(&v6).skip(1).step_by(2) {
        firewall.push(delete(MANUAL, what));
    }
    firewall.commit().unwrap();
    let left: Vec<String> = v4.iter().step_by(2).map(|(_, name)| (*name).to_owned()).collect();
    assert_eq!(listed("diswall_manual4"), left);
    assert!(nft_set_elements("diswall_manual4").values().all(|element| element.timeout == Some(7200)));
}

#[test]
fn a_foreign_hand_is_undone_with_the_difference_alone() {
    let (_netns, mut firewall) = loaded();
    let mut model = Model::default();
    for number in 0..20_000u32 {
        model.0.insert(Range::single(IpAddr::V4((0x0a00_0000 + number * 7).into())), lifetime(0));
    }
    for number in 0..200u128 {
        model.0.insert(Range::single(IpAddr::V6(((0x2001_0db8 << 96) + number).into())), lifetime(0));
    }
    let first = firewall.reconcile(DYNFW, &model).unwrap();
    assert_eq!((first.found, first.added), (0, 20_200));
    assert!(firewall.reconcile(DYNFW, &model).unwrap().is_unchanged());

    nft(&["delete", "element", "inet", "fw4", "diswall_dynfw4", "{ 10.0.0.0, 10.0.0.7, 10.0.0.14 }"]);
    nft(&["add", "element", "inet", "fw4", "diswall_dynfw4", "{ 192.0.2.1 timeout 1h, 192.0.2.2 }"]);
    nft(&["delete", "element", "inet", "fw4", "diswall_dynfw6", "{ 2001:db8::5 }"]);
    nft(&["add", "element", "inet", "fw4", "diswall_dynfw6", "{ 2001:db8::5 timeout 5m }"]);
    let healed = firewall.reconcile(DYNFW, &model).unwrap();
    assert_eq!((healed.added, healed.removed, healed.renewed), (3, 2, 1), "{healed:?}");
    assert!(firewall.reconcile(DYNFW, &model).unwrap().is_unchanged());

    nft(&["flush", "set", "inet", "fw4", "diswall_dynfw4"]);
    assert_eq!(firewall.reconcile(DYNFW, &model).unwrap().added, 20_000);
    // While the kernel resizes the set after such a load, nft's own dump loses elements.
    wait_until(Duration::from_secs(20), "every element in nft's list", || listed("diswall_dynfw4").len() == 20_000);
}

#[test]
fn one_element_is_put_right_alone() {
    let (_netns, mut firewall) = loaded();
    let model = Model::of(&[("203.0.113.1", 0), ("203.0.113.2", 600), ("203.0.113.3", 600), ("2001:db8::1", 0)]);
    firewall.reconcile(DYNFW, &model).unwrap();
    nft(&["add", "element", "inet", "fw4", "diswall_dynfw4", "{ 203.0.113.9, 203.0.113.10 }"]);
    nft(&["delete", "element", "inet", "fw4", "diswall_dynfw4", "{ 203.0.113.1, 203.0.113.3 }"]);
    nft(&["add", "element", "inet", "fw4", "diswall_dynfw4", "{ 203.0.113.3 timeout 9s }"]);
    nft(&["delete", "element", "inet", "fw4", "diswall_dynfw6", "{ 2001:db8::1 }"]);
    let mut review = |address: &str, keeps| {
        let changed = firewall.review(DYNFW, ip(address), &model, keeps).unwrap();
        firewall.commit().unwrap();
        changed
    };
    let touched = ["203.0.113.1", "203.0.113.3", "203.0.113.9", "2001:db8::1"];
    assert!(touched.iter().all(|address| review(address, false)));
    assert!(!review("203.0.113.10", true), "a stranger to be kept");
    assert!(!touched.iter().chain(&["203.0.113.2", "192.0.2.77"]).any(|address| review(address, false)));
    let result = firewall.reconcile(DYNFW, &model).unwrap();
    assert_eq!((result.added, result.renewed, result.removed), (0, 0, 1), "all but the stranger was right");
}

#[test]
fn a_missing_table_or_set_is_told_and_can_be_made() {
    let _netns = Netns::enter();
    let mut firewall = open();
    let structure = firewall.structure().unwrap();
    assert!(!structure.table);
    assert_eq!(structure.missing.len(), names().keys().count());
    firewall.push(add(DYNFW, "203.0.113.1", 60));
    assert!(matches!(firewall.commit(), Err(Error::NoTable)));
    assert_eq!(firewall.dirty(), [DYNFW]);
    assert!(matches!(firewall.create_sets(&structure.missing), Err(Error::NoTable)));

    nft_load("table inet fw4 { set diswall_manual4 { type ipv4_addr; flags timeout; }; }");
    firewall.push(add(DYNFW, "203.0.113.1", 60));
    assert!(matches!(firewall.commit(), Err(Error::NoSet(key)) if key == DYNFW4));
    let structure = firewall.structure().unwrap();
    assert!(structure.table);
    assert_eq!(structure.missing.len(), names().keys().count() - 1);
    assert_eq!(structure.wrong.len(), 1);
    assert_eq!(structure.wrong[0].key, SetKey { set: MANUAL, family: Family::V4 });

    let manual4 = SetKey { set: MANUAL, family: Family::V4 };
    assert!(matches!(firewall.create_sets(&[manual4]), Err(Error::Exists(key)) if key == manual4));
    nft(&["delete", "set", "inet", "fw4", "diswall_manual4"]);
    let missing = firewall.structure().unwrap().missing;
    firewall.create_sets(&missing).unwrap();
    assert!(firewall.structure().unwrap().is_complete());
    // The same definitions as nft's text, or loading that text over them would fail.
    nft_load(&table_text(MAX));
    let ours = nft(&["list", "table", "inet", "fw4"]);
    nft(&["delete", "table", "inet", "fw4"]);
    nft_load(&table_text(MAX));
    let theirs = nft(&["list", "table", "inet", "fw4"]);
    let sets = |text: &str| text.lines().filter(|line| !line.contains("counter")).count();
    assert_eq!(sets(&ours), sets(&theirs));
    firewall.reconcile(DYNFW, &Model::of(&[("203.0.113.1", 60)])).unwrap();
    assert!(firewall.dirty().is_empty());
}

#[test]
fn a_full_set_takes_what_fits_and_says_so() {
    let _netns = Netns::enter();
    nft_load(&table_text(1000));
    let mut firewall = Firewall::open(names(), 1000).unwrap();
    let mut model = Model::default();
    for number in 0..1003u32 {
        model.0.insert(Range::single(IpAddr::V4((0x0a00_0000 + number).into())), lifetime(3600));
    }
    let full = firewall.reconcile(DYNFW, &model);
    assert!(matches!(full, Err(Error::Full(key)) if key == DYNFW4), "{full:?}");
    assert_eq!(listed("diswall_dynfw4").len(), 1000);
    assert_eq!(firewall.dirty(), [DYNFW]);
    model.0.pop_first();
    model.0.pop_first();
    model.0.pop_first();
    let fits = firewall.reconcile(DYNFW, &model).unwrap();
    assert!(fits.removed <= 3 && fits.added <= 3, "{fits:?}");
    assert_eq!(listed("diswall_dynfw4").len(), 1000);
    assert!(firewall.dirty().is_empty());
}

#[test]
fn counters_count_what_the_rules_drop() {
    let (_netns, mut firewall) = loaded();
    nft_load(
        "table inet fw4 { chain check { type filter hook input priority 0; \
         ip saddr @diswall_dynfw4 counter name diswall_dynfw4 drop; \
         ip6 saddr @diswall_manual6 counter name diswall_manual6 drop; }; }",
    );
    firewall.push(add(DYNFW, "127.0.0.9", 0));
    firewall.push(add(MANUAL, "::1", 0));
    firewall.commit().unwrap();
    assert_eq!(firewall.counters().unwrap().len(), names().keys().count());
    let from_v4 = std::net::UdpSocket::bind("127.0.0.9:0").unwrap();
    let from_v6 = std::net::UdpSocket::bind("[::1]:0").unwrap();
    for _ in 0..5 {
        from_v4.send_to(b"knock", "127.0.0.1:9").unwrap();
        from_v6.send_to(b"knock", "[::1]:9").unwrap();
    }
    let counters = firewall.counters().unwrap();
    let count = |set, family| {
        let counter = counters.iter().find(|counter| counter.key == SetKey { set, family }).unwrap();
        (counter.packets, counter.bytes)
    };
    assert_eq!(count(DYNFW, Family::V4), (5, 5 * (20 + 8 + 5)));
    assert_eq!(count(MANUAL, Family::V6), (5, 5 * (40 + 8 + 5)));
    assert_eq!(count(NATS, Family::V4), (0, 0));
    nft(&["delete", "table", "inet", "fw4"]);
    assert!(firewall.counters().unwrap().is_empty());
}

/// A current-thread runtime on this thread, and the watch in it.
fn watching(firewall: &mut Firewall) -> (tokio::runtime::Runtime, TableWatch) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let guard = runtime.enter();
    let watch = firewall.watch().unwrap();
    drop(guard);
    (runtime, watch)
}

/// The next event; `None` if none comes for a while.
fn next(runtime: &tokio::runtime::Runtime, watch: &mut TableWatch) -> Option<TableEvent> {
    runtime.block_on(async { tokio::time::timeout(Duration::from_millis(300), watch.next()).await.ok() })
}

#[test]
fn the_watch_tells_what_others_do_and_not_what_we_do() {
    let (_netns, mut firewall) = loaded();
    let (runtime, mut watch) = watching(&mut firewall);
    firewall.push(add(DYNFW, "203.0.113.1", 60));
    firewall.push(add(MANUAL, "198.51.100.0-198.51.100.255", 60));
    firewall.commit().unwrap();
    nft_load("table inet other { set diswall_dynfw4 { type ipv4_addr; elements = { 192.0.2.1 }; }; }");
    nft_load("table ip fw4 { set diswall_dynfw4 { type ipv4_addr; elements = { 192.0.2.1 }; }; }");
    nft_load("table inet fw4 { set guests { type ipv4_addr; elements = { 192.0.2.1 }; }; chain c { accept; }; }");
    assert_eq!(next(&runtime, &mut watch), None);

    nft(&["delete", "element", "inet", "fw4", "diswall_dynfw4", "{ 203.0.113.1 }"]);
    let single = |set, address: &str| TableEvent::Elements { whole: vec![], single: vec![(set, ip(address))] };
    let whole = |set| TableEvent::Elements { whole: vec![set], single: vec![] };
    assert_eq!(next(&runtime, &mut watch), Some(single(DYNFW, "203.0.113.1")));
    nft(&["flush", "set", "inet", "fw4", "diswall_manual4"]);
    assert_eq!(next(&runtime, &mut watch), Some(whole(MANUAL)));
    nft(&["flush", "set", "inet", "fw4", "diswall_manual4"]);
    assert_eq!(next(&runtime, &mut watch), None, "an empty set was flushed");
    nft(&["flush", "chain", "inet", "fw4", "c"]);
    nft(&["delete", "chain", "inet", "fw4", "c"]);
    nft(&["delete", "set", "inet", "fw4", "diswall_nats6"]);
    assert_eq!(next(&runtime, &mut watch), Some(TableEvent::Structure));
    nft(&["delete", "table", "inet", "fw4"]);
    assert_eq!(next(&runtime, &mut watch), Some(TableEvent::Gone));
    nft_load(&table_text(MAX));
    assert_eq!(next(&runtime, &mut watch), Some(TableEvent::Structure));
    nft_load(&format!("flush ruleset\n{}", table_text(MAX)));
    assert_eq!(next(&runtime, &mut watch), Some(TableEvent::Structure));
    nft(&["flush", "ruleset"]);
    assert_eq!(next(&runtime, &mut watch), Some(TableEvent::Gone));
    assert_eq!(next(&runtime, &mut watch), None);
}

#[test]
fn a_bulk_load_is_silent_and_hides_no_foreign_commit() {
    let (_netns, mut firewall) = loaded();
    let (runtime, mut watch) = watching(&mut firewall);
    let address = |number: u32| Range::single(IpAddr::V4((0x0a00_0000 + number).into()));
    let load = |firewall: &mut Firewall, numbers: std::ops::Range<u32>| {
        for number in numbers {
            firewall.push(SetChange::Add { set: NATS, range: address(number), lifetime: lifetime(3600) });
        }
    };
    load(&mut firewall, 0..20_000);
    firewall.commit().unwrap();
    assert_eq!(next(&runtime, &mut watch), None, "our own bulk load came back");
    nft(&["delete", "element", "inet", "fw4", "diswall_nats4", "{ 10.0.0.0 }"]);
    let single = TableEvent::Elements { whole: vec![], single: vec![(NATS, ip("10.0.0.0"))] };
    assert_eq!(next(&runtime, &mut watch), Some(single), "deaf after a bulk load");

    load(&mut firewall, 20_000..30_000);
    nft(&["delete", "element", "inet", "fw4", "diswall_nats4", "{ 10.0.0.1 }"]);
    load(&mut firewall, 30_000..40_000);
    firewall.commit().unwrap();
    assert_eq!(next(&runtime, &mut watch), Some(TableEvent::Lost));
    assert_eq!(next(&runtime, &mut watch), None);

    // More notifications than the socket's buffer takes.
    nft(&["flush", "set", "inet", "fw4", "diswall_nats4"]);
    let events: Vec<TableEvent> = std::iter::from_fn(|| next(&runtime, &mut watch)).collect();
    let told = events.iter().any(|event| matches!(event, TableEvent::Lost | TableEvent::Elements { .. }));
    assert!(told, "{events:?}");
}

/// A commit is counted before the kernel tells of it: a bulk load that begins between the two must not take it for one that
/// was told of.
#[test]
fn no_foreign_commit_is_missed_that_is_under_way_when_a_bulk_load_begins() {
    let (_netns, mut firewall) = loaded();
    let address = |number: u32| Range::single(IpAddr::V4((0x0a00_0000 + number).into()));
    let load = |firewall: &mut Firewall, set: SetId, numbers: std::ops::Range<u32>| {
        for number in numbers {
            firewall.push(SetChange::Add { set, range: address(number), lifetime: lifetime(0) });
        }
        firewall.commit().unwrap();
    };
    let (runtime, mut watch) = watching(&mut firewall);
    let flush = || nft(&["flush", "set", "inet", "fw4", "diswall_dynfw4"]);
    load(&mut firewall, DYNFW, 0..60_000);
    let start = std::time::Instant::now();
    flush();
    let (takes, trials) = (start.elapsed(), 20);
    for trial in 0..trials {
        load(&mut firewall, DYNFW, 0..60_000);
        while next(&runtime, &mut watch).is_some() {}
        std::thread::scope(|scope| {
            let flush = scope.spawn(flush);
            // At another moment of its commit each time.
            std::thread::sleep(takes * trial / trials);
            load(&mut firewall, NATS, 0..200);
            flush.join().unwrap();
        });
        let told = |event: &TableEvent| match event {
            TableEvent::Lost => true,
            TableEvent::Elements { whole, single } => {
                whole.contains(&DYNFW) || single.iter().any(|(set, _)| *set == DYNFW)
            }
            _ => false,
        };
        let events: Vec<TableEvent> = std::iter::from_fn(|| next(&runtime, &mut watch)).collect();
        assert!(events.iter().any(told), "trial {trial}: {events:?}");
    }
}

/// What is in the set already, or is gone, changes nothing: such a commit would raise no generation, and stand for one of
/// somebody else's.
#[test]
fn a_bulk_that_changes_nothing_hides_no_foreign_commit() {
    let (_netns, mut firewall) = loaded();
    let load = |firewall: &mut Firewall, change: fn(&str) -> SetChange| {
        (0..200).for_each(|number| firewall.push(change(&format!("10.0.0.{number}"))));
        firewall.commit().unwrap();
    };
    load(&mut firewall, |address| add(NATS, address, 3600));
    nft(&["add", "element", "inet", "fw4", "diswall_scan4", "{ 203.0.113.9 }"]);
    let (runtime, mut watch) = watching(&mut firewall);
    // Deleted twice: the second time there is nothing to delete.
    load(&mut firewall, |address| delete(NATS, address));
    assert_eq!(next(&runtime, &mut watch), None);
    for number in 0..200 {
        firewall.push(delete(NATS, &format!("10.0.0.{number}")));
        if number == 150 {
            nft(&["flush", "set", "inet", "fw4", "diswall_scan4"]);
        }
    }
    firewall.commit().unwrap();
    let heard = next(&runtime, &mut watch);
    assert!(heard.is_some(), "somebody flushed a set meanwhile");
}

/// What has no end of its own would end with the set's, and nobody would hear of it.
#[test]
fn a_set_with_a_time_out_of_its_own_is_not_ours() {
    let (_netns, mut firewall) = loaded();
    assert!(firewall.structure().unwrap().is_complete());
    nft_load(&format!("add set inet fw4 diswall_nats4 {{ type ipv4_addr; flags timeout; timeout 5s; size {MAX}; }}\n"));
    let structure = firewall.structure().unwrap();
    assert_eq!(structure.wrong.len(), 1);
    assert_eq!(structure.wrong[0].key, SetKey { set: NATS, family: Family::V4 });
    assert!(structure.wrong[0].difference.contains("a time-out of its own"), "{}", structure.wrong[0].difference);
}

/// nft's `*`, which has no address, and is every address.
#[test]
fn an_element_for_everybody_is_taken_out() {
    let (_netns, mut firewall) = loaded();
    firewall.push(add(NATS, "203.0.113.1", 3600));
    firewall.commit().unwrap();
    nft(&["add", "element", "inet", "fw4", "diswall_nats4", "{ * }"]);
    let done = firewall.reconcile(NATS, &Model::of(&[("203.0.113.1", 3600)])).unwrap();
    assert_eq!((done.added, done.removed), (0, 1));
    assert_eq!(listed("diswall_nats4"), ["203.0.113.1"]);
    assert!(firewall.reconcile(NATS, &Model::of(&[("203.0.113.1", 3600)])).unwrap().is_unchanged());
}

#[test]
fn a_dump_under_a_resize_of_the_set_is_made_whole() {
    let _netns = Netns::enter();
    nft_load(&table_text(262_144));
    for round in 0..3u32 {
        let mut firewall = Firewall::open(names(), 262_144).unwrap();
        let address = |number: u32| Range::single(IpAddr::V4((number.wrapping_mul(2_654_435_761) ^ round).into()));
        let model = Model((0..60_000).map(|number| (address(number), lifetime(0))).collect());
        for (range, lifetime) in &model.0 {
            firewall.push(SetChange::Add { set: DYNFW, range: *range, lifetime: *lifetime });
        }
        firewall.commit().unwrap();
        let result = firewall.reconcile(DYNFW, &model).unwrap();
        assert!(result.is_unchanged() && result.found == 60_000, "round {round}: {result:?}");
        nft(&["flush", "set", "inet", "fw4", "diswall_dynfw4"]);
    }
}

#[test]
fn without_rights_it_says_so() {
    let (_netns, mut firewall) = loaded();
    let all = capabilities(None).unwrap();
    let mut fewer = all;
    fewer.effective.remove(CapabilitySet::NET_ADMIN);
    set_capabilities(None, fewer).unwrap();
    assert!(matches!(Firewall::open(names(), MAX), Err(Error::Permission)));
    firewall.push(add(DYNFW, "203.0.113.1", 60));
    assert!(matches!(firewall.commit(), Err(Error::Permission)));
    assert_eq!(firewall.dirty(), [DYNFW]);
    set_capabilities(None, all).unwrap();
    firewall.reconcile(DYNFW, &Model::of(&[("203.0.113.1", 60)])).unwrap();
    assert_eq!(listed("diswall_dynfw4"), ["203.0.113.1"]);
}

#[test]
fn foreign_networks_in_the_way_are_cleared() {
    let (_netns, mut firewall) = loaded();
    nft(&["add", "element", "inet", "fw4", "diswall_manual4", "{ 10.0.0.0/8, 192.0.2.0-192.0.2.99 }"]);
    firewall.push(add(MANUAL, "10.1.0.0-10.1.255.255", 0));
    assert!(matches!(firewall.commit(), Err(Error::Exists(key)) if key == SetKey { set: MANUAL, family: Family::V4 }));
    assert_eq!(firewall.dirty(), [MANUAL]);
    let model = Model::of(&[("10.1.0.0-10.1.255.255", 0), ("192.0.2.50-192.0.2.59", 600), ("192.0.2.60", 0)]);
    let result = firewall.reconcile(MANUAL, &model).unwrap();
    assert_eq!((result.found, result.removed, result.added), (2, 2, 3));
    assert_eq!(listed("diswall_manual4"), ["10.1.0.0/16", "192.0.2.50-192.0.2.59", "192.0.2.60"]);
    let again = firewall.reconcile(MANUAL, &model).unwrap();
    assert_eq!((again.added, again.removed), (0, 0), "{again:?}");
}

#[test]
fn a_failed_batch_leaves_the_other_sets_alone() {
    let (_netns, mut firewall) = loaded();
    firewall.push(add(NATS, "203.0.113.1", 0));
    firewall.commit().unwrap();
    nft(&["delete", "set", "inet", "fw4", "diswall_dynfw6"]);
    firewall.push(add(NATS, "203.0.113.2", 0));
    firewall.push(add(DYNFW, "2001:db8::1", 0));
    let error = firewall.commit().unwrap_err();
    assert_eq!(error.set(), Some(SetKey { set: DYNFW, family: Family::V6 }));
    // A batch counts as a whole: both sets missed something, and only those.
    assert_eq!(firewall.dirty(), [DYNFW, NATS]);
    assert_eq!(firewall.reconcile(NATS, &Model::of(&[("203.0.113.1", 0), ("203.0.113.2", 0)])).unwrap().added, 1);
    assert_eq!(firewall.dirty(), [DYNFW]);
}

/// One step of a random history: which set, which of a few elements, what happens to it.
#[derive(Clone, Debug)]
struct Step {
    set: SetId,
    element: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Ban(u32),
    Free,
    Commit,
    Foreign,
    Reconcile,
}

const SINGLES: [&str; 6] = [
    "203.0.113.1",
    "203.0.113.2",
    "0.0.0.0",
    "255.255.255.255",
    "2001:db8::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];
/// Side by side, at the edges, never overlapping.
const NETWORKS: [&str; 6] = [
    "10.0.0.0-10.0.0.255",
    "10.0.1.0-10.0.1.255",
    "0.0.0.0-0.255.255.255",
    "240.0.0.0-255.255.255.255",
    "::-::ffff",
    "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
];

fn element(set: SetId, index: usize) -> &'static str {
    let elements = if set.is_interval() { NETWORKS } else { SINGLES };
    elements[index % elements.len()]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        6 => prop_oneof![Just(0), 100..10_000u32].prop_map(What::Ban),
        3 => Just(What::Free),
        2 => Just(What::Commit),
        1 => Just(What::Foreign),
        1 => Just(What::Reconcile),
    ];
    let step = (proptest::sample::select(vec![DYNFW, SCAN, MANUAL, SetId::Allow]), 0..6usize, what);
    proptest::collection::vec(step.prop_map(|(set, element, what)| Step { set, element, what }), 1..60)
}

/// Compares one pair of sets with its model, element by element, time-outs included.
fn assert_equal(set: SetId, model: &Model) {
    let mut left: BTreeMap<String, Element> = BTreeMap::new();
    for family in Family::ALL {
        left.extend(nft_set_elements(&names().set(SetKey { set, family })));
    }
    assert_eq!(left.len(), model.0.len(), "{set:?}: {left:?}\nmodel {model:?}");
    for (range, lifetime) in &model.0 {
        let net = ipnet_text(range);
        let element = left.get(&net).unwrap_or_else(|| panic!("{set:?} lacks {net}: {left:?}"));
        match lifetime {
            Lifetime::Forever => assert_eq!(element.timeout, None, "{net}"),
            Lifetime::Seconds(seconds) => {
                let expires = element.expires.unwrap_or_else(|| panic!("{net} never ends"));
                assert!(expires.abs_diff(u64::from(*seconds)) <= 30, "{net}: {expires} instead of {seconds}");
            }
        }
    }
}

/// As nft writes a range: an address, a network, or both ends.
fn ipnet_text(range: &Range) -> String {
    if range.first == range.last {
        return range.first.to_string();
    }
    let nets: Vec<ipnet::IpNet> = match (range.first, range.last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => ipnet::Ipv4Subnets::new(first, last, 0).map(Into::into).collect(),
        (IpAddr::V6(first), IpAddr::V6(last)) => ipnet::Ipv6Subnets::new(first, last, 0).map(Into::into).collect(),
        _ => panic!("two families in {range:?}"),
    };
    if nets.len() == 1 { nets[0].to_string() } else { format!("{}-{}", range.first, range.last) }
}

fn play(firewall: &mut Firewall, steps: &[Step]) {
    let mut models: BTreeMap<SetId, Model> = BTreeMap::new();
    for step in steps {
        let Step { set, .. } = *step;
        let model = models.entry(set).or_default();
        let what = element(set, step.element);
        match step.what {
            What::Ban(seconds) => {
                let (range, lifetime) = (range(what), lifetime(seconds));
                firewall.push(match model.0.insert(range, lifetime) {
                    None => SetChange::Add { set, range, lifetime },
                    Some(_) => SetChange::Renew { set, range, lifetime },
                });
            }
            What::Free => {
                model.0.remove(&range(what));
                firewall.push(delete(set, what));
            }
            What::Commit => firewall.commit().unwrap(),
            What::Foreign => {
                firewall.commit().unwrap();
                let name = names().set(SetKey::of(set, range(what).first));
                nft(&["flush", "set", "inet", "fw4", &name]);
                firewall.reconcile(set, &*model).unwrap();
            }
            What::Reconcile => {
                let result = firewall.reconcile(set, &*model).unwrap();
                // The model does not age with the clock, so a slow machine may see renewals.
                assert_eq!((result.added, result.removed), (0, 0), "{set:?}: {result:?}");
            }
        }
    }
    firewall.commit().unwrap();
    for (set, model) in &models {
        assert_equal(*set, model);
    }
}

/// Random histories of changes, commits and foreign hands end with equal sets, with the messages of new
/// kernels and those of old ones.
#[test]
fn random_histories_end_with_equal_sets() {
    let _netns = Netns::enter();
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&(steps(), any::<bool>()), |(steps, old)| {
        nft_load(&format!("flush ruleset\n{}", table_text(MAX)));
        let mut firewall = open();
        if old {
            firewall.avoid_destroy();
        }
        play(&mut firewall, &steps);
        Ok(())
    });
    outcome.unwrap();
}

/// What somebody does to one of a few elements: its number, and its new time-out (0: for ever) or that it goes.
type Hand = (u8, Option<u32>);

fn hands() -> impl Strategy<Value = Vec<Hand>> {
    let lifetime = prop_oneof![Just(None), Just(Some(0)), (600u32..5000).prop_map(Some)];
    proptest::collection::vec((0..40u8, lifetime), 0..30)
}

/// What a foreign hand does, what the daemon does meanwhile and afterwards, and the work that a step may do.
type Round = (Vec<Hand>, Vec<Hand>, Vec<Hand>, u32);

/// Between the look at a set and each step of its comparison the daemon's own changes go on; whatever a foreign
/// hand did before, the set ends as the model is, and a second comparison finds nothing.
fn compare_among_changes(set: SetId, rounds: &[Round], old: bool) {
    let (mut firewall, mut foreign, mut model) = (open(), open(), Model::default());
    if old {
        firewall.avoid_destroy();
    }
    let wide = if set == MANUAL { 9 } else { 0 };
    let place = |number: u8| range(&format!("198.51.{number}.0-198.51.{number}.{wide}"));
    let change = |(number, new): Hand, model: &mut Model| {
        let range = place(number);
        match (new.map(lifetime), model.0.contains_key(&range)) {
            (Some(lifetime), there) => {
                model.0.insert(range, lifetime);
                if there { SetChange::Renew { set, range, lifetime } } else { SetChange::Add { set, range, lifetime } }
            }
            (None, _) => {
                model.0.remove(&range);
                SetChange::Delete { set, range }
            }
        }
    };
    for (strange, own, later, work) in rounds {
        // Each of a foreign hand's changes stands for itself, as its own model knows.
        for hand in strange {
            let range = place(hand.0);
            foreign.push(SetChange::Delete { set, range });
            if let Some(lifetime) = hand.1.map(lifetime) {
                foreign.push(SetChange::Add { set, range, lifetime });
            }
            foreign.commit().unwrap();
        }
        for family in Family::ALL {
            let look = Look::new(names(), SetKey { set, family });
            let mut comparison = Comparison::new(look.take(usize::MAX).unwrap().unwrap(), false);
            let mut touched = Touched::default();
            let mut own = own.iter().chain(later);
            loop {
                if set == MANUAL && !touched.is_empty() {
                    touched = Touched::default();
                    firewall.commit().unwrap();
                    comparison = Comparison::new(look.take(usize::MAX).unwrap().unwrap(), false);
                }
                if comparison.step(&mut firewall, &model, &touched, &mut { *work }).unwrap() {
                    break;
                }
                for hand in own.by_ref().take(3) {
                    let change = change(*hand, &mut model);
                    touched.note(place(hand.0));
                    firewall.push(change);
                }
            }
            assert!(!comparison.must_repeat());
        }
        let again = firewall.reconcile(set, &model).unwrap();
        assert_eq!((again.added, again.renewed, again.removed), (0, 0, 0), "{again:?}");
    }
    assert_equal(set, &model);
}

#[test]
fn a_comparison_in_steps_among_changes_ends_with_equal_sets() {
    let _netns = Netns::enter();
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let rounds = proptest::collection::vec((hands(), hands(), hands(), 1u32..120), 1..5);
    let sets = proptest::sample::select(vec![DYNFW, MANUAL]);
    let outcome = runner.run(&(sets, rounds, any::<bool>()), |(set, rounds, old)| {
        nft_load(&format!("flush ruleset\n{}", table_text(MAX)));
        compare_among_changes(set, &rounds, old);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_large_set_is_not_read_to_its_end_where_a_few_elements_are_enough() {
    let (_netns, mut firewall) = loaded();
    for number in 0..5000u32 {
        let range = Range::single(IpAddr::V4((0x0a00_0000 + number).into()));
        firewall.push(SetChange::Add { set: NATS, range, lifetime: lifetime(0) });
    }
    firewall.commit().unwrap();
    let look = Look::new(names(), SetKey { set: NATS, family: Family::V4 });
    assert!(look.take(4000).unwrap().is_none());
    assert_eq!(look.take(6000).unwrap().map(|contents| contents.len()), Some(5000));
    drop(look.stop());
    assert!(look.take(6000).unwrap().is_none(), "it was stopped");
}
