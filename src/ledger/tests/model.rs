//! Random histories against a naive model: every ban and allowance in plain maps, and the kernel's sets
//! as maps that the changes are applied to and that let elements expire by themselves.
//!
//! After every step three things must be equal, element by element: the simulated kernel, what the
//! ledger says it is to hold, and what the model computes address by address.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// Seconds for which the ledger may remember what has ended.
const GRACE: u32 = 2;

/// Never, as an end.
const NEVER: u32 = u32::MAX;

/// The addresses of the test's world: neighbours, so that networks and ranges meet; both ends of the
/// IPv4 space's ordinary part; some that are never banned.
fn world() -> &'static [IpAddr] {
    static WORLD: LazyLock<Vec<IpAddr>> = LazyLock::new(make_world);
    &WORLD
}

fn make_world() -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = (0..16).map(|n| Ipv4Addr::new(9, 9, 9, n).into()).collect();
    all.extend((0..8).map(|n| IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | n))));
    all.extend(["255.255.255.254", "255.255.255.255", "1.0.0.0", "0.255.255.255"].map(address));
    all.extend(["10.0.0.1", "224.0.0.1", "127.0.0.1", "fe80::1", "fd00::1", "ffff::1", "::1"].map(address));
    all
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Networks around the world's addresses.
fn networks() -> &'static [IpNet] {
    static NETWORKS: LazyLock<Vec<IpNet>> = LazyLock::new(make_networks);
    &NETWORKS
}

fn make_networks() -> Vec<IpNet> {
    let mut all = Vec::new();
    for &address in world() {
        let lengths: &[u8] = if address.is_ipv4() { &[32, 31, 30, 28, 8, 0] } else { &[128, 127, 125, 64, 0] };
        all.extend(lengths.iter().map(|&length| IpNet::new(address, length).unwrap().trunc()));
    }
    all.push(net("::ffff:9.9.9.8/125"));
    all
}

#[derive(Clone, Debug)]
enum Op {
    Wait(u32),
    List(Source, Vec<(usize, Lifetime)>),
    Ban(Source, usize, Lifetime),
    Unban(Source, usize),
    BlockList(Vec<(usize, Lifetime)>),
    Block(usize, Lifetime),
    Unblock(usize),
    AllowList(AllowOrigin, Vec<(usize, Lifetime)>),
    Allow(AllowOrigin, usize, Lifetime),
    Disallow(AllowOrigin, usize),
    Protect(Vec<usize>),
    Lapse(Source),
    Restart(u32),
}

fn lifetime() -> impl Strategy<Value = Lifetime> {
    prop_oneof![2 => Just(Lifetime::Forever), 5 => (1u32..12).prop_map(Lifetime::Seconds)]
}

fn source() -> impl Strategy<Value = Source> {
    prop::sample::select(&[Source::DYNFW, Source::NATS, Source::SCAN][..])
}

fn origin() -> impl Strategy<Value = AllowOrigin> {
    prop::sample::select(&[AllowOrigin::Config, AllowOrigin::Command, AllowOrigin::Nats][..])
}

fn op() -> impl Strategy<Value = Op> {
    let address = || 0..world().len();
    let network = || 0..networks().len();
    let list = |index: std::ops::Range<usize>| prop::collection::vec((index, lifetime()), 0..12);
    prop_oneof![
        6 => (0u32..5).prop_map(Op::Wait),
        3 => (source(), list(address())).prop_map(|(source, list)| Op::List(source, list)),
        6 => (source(), address(), lifetime()).prop_map(|(source, at, life)| Op::Ban(source, at, life)),
        2 => (source(), address()).prop_map(|(source, at)| Op::Unban(source, at)),
        2 => list(network()).prop_map(Op::BlockList),
        5 => (network(), lifetime()).prop_map(|(at, life)| Op::Block(at, life)),
        3 => network().prop_map(Op::Unblock),
        1 => (origin(), list(network())).prop_map(|(origin, list)| Op::AllowList(origin, list)),
        2 => (origin(), network(), lifetime()).prop_map(|(origin, at, life)| Op::Allow(origin, at, life)),
        2 => (origin(), network()).prop_map(|(origin, at)| Op::Disallow(origin, at)),
        2 => prop::collection::vec(network(), 0..3).prop_map(Op::Protect),
        1 => source().prop_map(Op::Lapse),
        1 => (0u32..6).prop_map(Op::Restart),
    ]
}

/// The kernel's sets: the end of every element. An element lives a little longer than the ledger's whole
/// seconds say, which is when it can surprise.
#[derive(Default)]
struct Kernel(HashMap<(SetId, Range), u32>);

impl Kernel {
    fn apply(&mut self, now: Moment, change: SetChange) {
        match change {
            SetChange::Add { set, range, lifetime } => {
                let met = self.0.keys().find(|(other, there)| *other == set && overlap(*there, range));
                assert!(met.is_none(), "{change:?} meets {met:?}");
                self.0.insert((set, range), end(now, lifetime));
            }
            SetChange::Renew { set, range, lifetime } => {
                let known = self.0.insert((set, range), end(now, lifetime)).is_some();
                assert!(known || set == SetId::Ban(Source::SCAN), "{change:?} of nothing");
            }
            SetChange::Delete { set, range } => {
                assert!(self.0.remove(&(set, range)).is_some(), "{change:?} of nothing");
            }
        }
    }

    /// Forgets what even the ledger no longer remembers.
    fn expire(&mut self, now: Moment) {
        self.0.retain(|_, end| *end == NEVER || *end + GRACE > now.0);
    }

    fn elements(&self, set: SetId, now: Moment) -> BTreeMap<Range, u32> {
        let of_set = self.0.iter().filter(|((other, _), end)| *other == set && **end > now.0);
        of_set.map(|((_, range), end)| (*range, *end)).collect()
    }
}

fn overlap(one: Range, other: Range) -> bool {
    one.first.is_ipv4() == other.first.is_ipv4() && one.first <= other.last && other.first <= one.last
}

fn end(now: Moment, lifetime: Lifetime) -> u32 {
    match lifetime {
        Lifetime::Forever => NEVER,
        Lifetime::Seconds(seconds) => now.0 + seconds,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Single(Source),
    Configured,
    Command,
    Allow(AllowOrigin),
}

/// Everything as it was told.
#[derive(Default)]
struct Model {
    entries: BTreeMap<(Who, IpNet), u32>,
    protected: Vec<IpNet>,
}

impl Model {
    fn put(&mut self, now: Moment, who: Who, net: IpNet, lifetime: Lifetime) {
        let net = plain(net);
        let refused = match who {
            Who::Single(_) => never(net.addr(), true),
            Who::Configured | Who::Command => {
                // Wholly within one of the ranges that nobody bans.
                let (first, last) = (net.network(), net.broadcast());
                never(first, false) && never(last, false) && net.prefix_len() > 3
            }
            Who::Allow(_) => false,
        };
        if refused {
            return;
        }
        let end = end(now, lifetime);
        let old = self.entries.get(&(who, net)).copied().filter(|old| *old > now.0);
        let same = old.is_some_and(|old| old != NEVER && end != NEVER && old.abs_diff(end) <= 2);
        if !same {
            self.entries.insert((who, net), end);
        }
    }

    /// No ban of DisWall's is ended earlier by another.
    fn holds_longer(&self, now: Moment, source: Source, address: IpAddr, lifetime: Lifetime) -> bool {
        let old = self.entries.get(&(Who::Single(source), plain(address.into())));
        old.is_some_and(|old| *old > now.0 && *old > end(now, lifetime))
    }

    fn replace(&mut self, now: Moment, who: Who, list: Vec<(IpNet, Lifetime)>) {
        let nets: BTreeSet<IpNet> = list.iter().map(|(net, _)| plain(*net)).collect();
        self.entries.retain(|(other, net), _| *other != who || nets.contains(net));
        // Of equal entries the last one counts, whether they are weighed one by one or at once.
        let last: BTreeMap<IpNet, Lifetime> = list.into_iter().map(|(net, life)| (plain(net), life)).collect();
        for (net, lifetime) in last {
            self.put(now, who, net, lifetime);
        }
    }

    fn protected(&self) -> Vec<Protected> {
        self.protected.iter().map(|net| Protected { net: *net, why: "test".into(), own: is_own(*net) }).collect()
    }

    fn is_protected(&self, address: IpAddr) -> bool {
        self.protected.iter().any(|net| plain(*net).contains(&address))
    }

    fn is_own(&self, address: IpAddr) -> bool {
        self.protected.iter().any(|net| is_own(*net) && plain(*net).contains(&address))
    }

    /// Whether all of the network is protected, as something else than the router's own.
    fn is_meant(&self, net: IpNet) -> bool {
        let others = || self.protected.iter().filter(|net| !is_own(**net)).map(|net| plain(*net));
        if others().any(|other| other.contains(&net)) {
            return true;
        }
        net.prefix_len() < net.max_prefix_len()
            && others().any(|other| net.contains(&other))
            && net.subnets(net.prefix_len() + 1).unwrap().all(|half| self.is_meant(half))
    }

    /// The end that the set's element at this address should have.
    fn end_at(&self, set: SetId, address: IpAddr, now: Moment) -> Option<u32> {
        let belongs = |who: Who| match who {
            Who::Single(source) => set == SetId::Ban(source),
            Who::Configured | Who::Command => set == SetId::Ban(Source::MANUAL),
            Who::Allow(_) => set == SetId::Allow,
        };
        let manual = set == SetId::Ban(Source::MANUAL);
        let protected = if manual { self.is_own(address) } else { self.is_protected(address) };
        let exempt = set != SetId::Allow && (never(address, false) || protected);
        let holding =
            self.entries.iter().filter(|((who, net), end)| belongs(*who) && net.contains(&address) && **end > now.0);
        let holding = holding.filter(|((_, net), _)| !manual || !self.is_protected(address) || self.is_meant(*net));
        holding.map(|(_, end)| *end).max().filter(|_| !exempt)
    }

    fn outcome(&self, address: IpAddr, now: Moment) -> Outcome {
        if self.end_at(SetId::Allow, address, now).is_some() {
            return Outcome::Allowed;
        }
        if self.end_at(SetId::Ban(Source::MANUAL), address, now).is_some() {
            return Outcome::Blocked;
        }
        if self.is_protected(address) {
            return Outcome::Protected;
        }
        if Source::BUILT_IN.into_iter().any(|source| self.end_at(SetId::Ban(source), address, now).is_some()) {
            return Outcome::Blocked;
        }
        may_ban(Source::DYNFW, address.into()).map_or_else(Outcome::NeverBanned, |()| Outcome::NotBanned)
    }
}

/// Some single addresses are the router's own.
fn is_own(net: IpNet) -> bool {
    super::super::number::bounds(plain(net)).1 % 2 == 1
}

fn plain(net: IpNet) -> IpNet {
    match net {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() && v6.prefix_len() >= 96 => {
            IpNet::new(v6.addr().to_canonical(), v6.prefix_len() - 96).unwrap().trunc()
        }
        other => other.trunc(),
    }
}

/// The never-ban list, said once more and differently.
fn never(address: IpAddr, private_too: bool) -> bool {
    static FIXED: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
        let v4 = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"];
        v4.into_iter().chain(["::/96", "fe80::/10", "ff00::/8"]).map(net).collect()
    });
    static PRIVATE: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
        let v4 = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];
        v4.into_iter().chain(["fc00::/7", "fec0::/10"]).map(net).collect()
    });
    let has = |net: &IpNet| net.contains(&address);
    FIXED.iter().any(has) || private_too && PRIVATE.iter().any(has)
}

struct World {
    now: Moment,
    ledger: Ledger,
    model: Model,
    kernel: Kernel,
}

impl World {
    fn new() -> World {
        World { now: at(100), ledger: Ledger::new(10_000), model: Model::default(), kernel: Kernel::default() }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Wait(seconds) => self.wait(seconds),
            Op::Restart(seconds) => self.restart(seconds),
            Op::Protect(nets) => {
                let nets: Vec<IpNet> = nets.into_iter().map(|index| networks()[index]).collect();
                // Protecting everything would leave little to test.
                self.model.protected = nets.into_iter().filter(|net| net.prefix_len() > 8).collect();
                let (now, kernel) = (self.now, &mut self.kernel);
                self.ledger.set_protected(now, self.model.protected(), &mut |change| kernel.apply(now, change));
            }
            op => self.event(op),
        }
    }

    fn event(&mut self, op: Op) {
        let (now, model) = (self.now, &mut self.model);
        let net_at = |index: usize| networks()[index];
        let entries = |list: &[(usize, Lifetime)]| -> Vec<(IpNet, Lifetime)> {
            list.iter().map(|&(index, lifetime)| (net_at(index), lifetime)).collect()
        };
        let event = match op {
            Op::List(source, list) => {
                let list: Vec<(IpAddr, Lifetime)> = list.into_iter().map(|(at, life)| (world()[at], life)).collect();
                model.replace(now, Who::Single(source), list.iter().map(|(at, life)| ((*at).into(), *life)).collect());
                Event::List { source, list: last_of_each(list) }
            }
            Op::Ban(source, at, lifetime) => {
                if source != Source::NATS || !model.holds_longer(now, source, world()[at], lifetime) {
                    model.put(now, Who::Single(source), world()[at].into(), lifetime);
                }
                Event::Ban { source, net: world()[at].into(), lifetime, reason: Reason::Announced }
            }
            Op::Unban(source, at) => {
                model.entries.remove(&(Who::Single(source), world()[at].into()));
                Event::Unban { source, net: world()[at].into() }
            }
            Op::BlockList(list) => {
                model.replace(now, Who::Configured, entries(&list));
                Event::BlockList { list: entries(&list).into_iter().map(entry).collect() }
            }
            Op::Block(at, lifetime) => {
                model.put(now, Who::Command, net_at(at), lifetime);
                let reason = Reason::Comment("by hand".into());
                Event::Ban { source: Source::MANUAL, net: net_at(at), lifetime, reason }
            }
            Op::Unblock(at) => {
                model.entries.remove(&(Who::Command, plain(net_at(at))));
                Event::Unban { source: Source::MANUAL, net: net_at(at) }
            }
            Op::AllowList(origin, list) => {
                model.replace(now, Who::Allow(origin), entries(&list));
                Event::AllowList { origin, list: entries(&list).into_iter().map(entry).collect() }
            }
            Op::Allow(origin, at, lifetime) => {
                model.put(now, Who::Allow(origin), net_at(at), lifetime);
                Event::Allow { origin, entry: entry((net_at(at), lifetime)) }
            }
            Op::Disallow(origin, at) => {
                model.entries.remove(&(Who::Allow(origin), plain(net_at(at))));
                Event::Disallow { origin, net: net_at(at) }
            }
            Op::Lapse(source) => {
                model.replace(now, Who::Single(source), Vec::new());
                Event::Lapse { source }
            }
            Op::Wait(_) | Op::Restart(_) | Op::Protect(_) => return,
        };
        let kernel = &mut self.kernel;
        self.ledger.apply(now, event, &mut |change| kernel.apply(now, change));
    }

    fn wait(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now.0 += 1;
            let (now, entries) = (self.now, &mut self.model.entries);
            if self.ledger.next_expiry().is_some_and(|next| next <= now) {
                self.ledger.expire(now, &mut |source, net| {
                    let who = if source == Source::MANUAL {
                        vec![Who::Configured, Who::Command]
                    } else {
                        vec![Who::Single(source)]
                    };
                    let found = who
                        .into_iter()
                        .find(|who| entries.get(&(*who, net)).is_some_and(|end| end.saturating_add(GRACE) <= now.0));
                    let key = found.unwrap_or_else(|| panic!("{source} {net} has not ended"));
                    entries.remove(&(key, net));
                });
            }
            let forgotten = |who: &Who, end: u32| !matches!(who, Who::Allow(_)) && end.saturating_add(GRACE) <= now.0;
            let left = entries.iter().find(|((who, _), end)| forgotten(who, **end));
            assert_eq!(left, None, "ended and not told");
            entries.retain(|_, end| end.saturating_add(GRACE) > now.0);
            self.kernel.expire(now);
        }
    }

    /// The daemon stops, and another one starts from the snapshot onto the same kernel.
    fn restart(&mut self, seconds: u32) {
        let mut bytes = Vec::new();
        self.ledger.save(self.now, 1_700_000_000, true, &Totals::new(), &mut bytes).unwrap();
        self.now.0 += seconds;
        let now = self.now;
        let restored = Ledger::restore(&mut bytes.as_slice(), now, Some(1_700_000_000 + u64::from(seconds)), 10_000);
        self.ledger = restored.unwrap().ledger;
        self.model.entries.retain(|_, end| *end > now.0);
        self.kernel.0.clear();
        self.ledger.set_protected(now, self.model.protected(), &mut |_| {});
        let configured = |model: &Model, wanted: Who| -> Vec<Entry> {
            let of = model.entries.iter().filter(|((who, _), _)| *who == wanted);
            of.map(|((_, net), end)| entry((*net, left(*end, now)))).collect()
        };
        let block = Event::BlockList { list: configured(&self.model, Who::Configured) };
        let allow = AllowOrigin::Config;
        let allow = Event::AllowList { origin: allow, list: configured(&self.model, Who::Allow(allow)) };
        for event in [block, allow] {
            self.ledger.apply(now, event, &mut |_| {});
        }
        for set in SetId::of(&Source::BUILT_IN) {
            let kernel = &mut self.kernel;
            self.ledger.desired(set, now).for_each(&mut |range, lifetime| {
                kernel.apply(now, SetChange::Add { set, range, lifetime });
            });
        }
    }

    fn verify(&self) {
        for set in SetId::of(&Source::BUILT_IN) {
            let kernel = self.kernel.elements(set, self.now);
            let desired = self.ledger.desired(set, self.now);
            let mut wanted = BTreeMap::new();
            desired.for_each(&mut |range, lifetime| {
                assert_eq!(desired.wanted(range), Some(lifetime));
                assert_eq!(wanted.insert(range, end(self.now, lifetime)), None, "{range:?} twice");
            });
            assert_eq!(kernel, wanted, "kernel and ledger differ in {set:?}");
            for address in probes() {
                let in_kernel = kernel.iter().find(|(range, _)| overlap(**range, Range::single(address)));
                let expected = self.model.end_at(set, address, self.now);
                assert_eq!(in_kernel.map(|(_, end)| *end), expected, "{address} in {set:?}");
            }
        }
        for address in probes() {
            assert_eq!(self.ledger.outcome(self.now, address), self.model.outcome(address, self.now), "{address}");
        }
        for source in [Source::DYNFW, Source::NATS, Source::SCAN] {
            let bans = || self.model.entries.iter().filter(|((who, _), _)| *who == Who::Single(source));
            let counts = self.ledger.counts(source);
            assert_eq!(counts.v4 + counts.v6, bans().count() as u32, "{source}");
            // What has just ended keeps its mark for the grace.
            if bans().all(|(_, end)| *end > self.now.0) {
                let withheld = bans().filter(|((_, net), _)| self.model.is_protected(net.addr())).count();
                assert_eq!(counts.withheld, withheld as u32, "{source}");
            }
        }
    }
}

/// The world's addresses and those around them.
fn probes() -> Vec<IpAddr> {
    let mut all = world().to_vec();
    all.extend(
        ["9.9.8.255", "9.9.9.16", "9.0.0.0", "0.0.0.0", "223.255.255.255", "2001:db8::8", "2000::", "fec0::"]
            .map(address),
    );
    all
}

fn entry((net, lifetime): (IpNet, Lifetime)) -> Entry {
    Entry { net, lifetime, comment: "a comment".into() }
}

fn left(end: u32, now: Moment) -> Lifetime {
    if end == NEVER { Lifetime::Forever } else { Lifetime::Seconds(end - now.0) }
}

/// As a feed's list; only the last of equal entries, because a list whose own entries differ by less
/// than the tolerance has no one answer.
fn last_of_each(list: Vec<(IpAddr, Lifetime)>) -> List {
    let mut all = List::default();
    for (address, lifetime) in list.into_iter().collect::<BTreeMap<_, _>>() {
        match address {
            IpAddr::V4(address) => all.v4.push(Listed { address, lifetime }),
            IpAddr::V6(address) => all.v6.push(Listed { address, lifetime }),
        }
    }
    all
}

proptest! {
    // PROPTEST_CASES scales it.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 4,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn kernel_ledger_and_model_agree(history in prop::collection::vec(op(), 1..60)) {
        let mut world = World::new();
        for op in history {
            world.step(op);
            world.verify();
        }
    }
}
