//! What the ledger answers: verdicts on an address, pages of the list, counts, and what the kernel is to
//! hold. Reads only; `control` and the firewall's reconciliation call it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::moment::Moment;
use super::nets::Net;
use super::number;
use super::protect::Protected;
use super::reason::ReasonRef;
use super::rows::{Ban, Key};
use super::{Book, Counts, Ledger, Never, Place, may_ban};
use crate::model::{AllowOrigin, Cursor, Desired, Lifetime, Range, SetId, Source};

/// How much of a ban the kernel has been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// All of it.
    Full,
    /// A network with holes, where addresses are protected or never banned.
    Partial,
    /// Nothing: it is protected.
    Withheld,
}

/// A ban, borrowed from the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanView<'a> {
    /// Who bans.
    pub source: Source,
    /// What.
    pub net: IpNet,
    /// Since when.
    pub start: Moment,
    /// Until when; `None`: until it is taken back.
    pub end: Option<Moment>,
    /// Why.
    pub reason: ReasonRef<'a>,
    /// In whose name: of the owner's bans [`CONFIGURATION`](super::CONFIGURATION), [`OWNER`](super::OWNER)
    /// or a program's; empty for every other source.
    pub by: &'a str,
    /// The number of that name.
    pub(super) origin: u8,
    /// How much of it the kernel has.
    pub force: Force,
}

/// An allowance, borrowed from the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowanceView<'a> {
    /// Who allows.
    pub origin: AllowOrigin,
    /// What.
    pub net: IpNet,
    /// Since when.
    pub start: Moment,
    /// Until when; `None`: until it is taken back.
    pub end: Option<Moment>,
    /// The comment, may be empty.
    pub comment: &'a str,
}

/// What becomes of a new connection from an address, as far as diswall decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Blocked.
    Blocked,
    /// Exempt by an allowance, banned or not.
    Allowed,
    /// Not blocked because it is protected, banned or not.
    Protected,
    /// Such an address is never banned (private ones: by no source but the owner).
    NeverBanned(Never),
    /// Nobody bans it.
    NotBanned,
}

/// Everything the ledger knows about an address.
#[derive(Clone, Debug)]
pub struct Verdict<'a> {
    /// The address, IPv4-mapped ones as IPv4.
    pub address: IpAddr,
    /// The bans that have it, networks included.
    pub bans: Vec<BanView<'a>>,
    /// The allowances that have it.
    pub allowances: Vec<AllowanceView<'a>>,
    /// The protected network that has it.
    pub protection: Option<&'a Protected>,
    /// What follows.
    pub outcome: Outcome,
}

/// The order of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sort {
    /// By address, IPv4 first.
    #[default]
    Address,
    /// The latest start first. Those that began in one second come in no particular order, which stays
    /// the same from page to page.
    Newest,
    /// The next to end first, then by address; those without end last.
    Ending,
    /// By source, then by address.
    Source,
}

/// Which bans a page is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter<'a> {
    /// Of this source alone.
    pub source: Option<Source>,
    /// An address (what bans it), a network (what it bans in there, or around), or any text: the head of
    /// the address as written, or a part of the reason. Empty: everything.
    pub text: &'a str,
    /// Of this address family alone: 4 or 6.
    pub family: Option<u8>,
    /// The order.
    pub sort: Sort,
    /// The other way round.
    pub reverse: bool,
}

/// Some of the matching bans.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// How many match in all.
    pub total: usize,
    /// The wanted ones, in order.
    pub bans: Vec<BanView<'a>>,
}

/// One set's wanted contents; see [`Ledger::desired`].
#[derive(Clone, Copy, Debug)]
pub struct DesiredSet<'a> {
    ledger: &'a Ledger,
    set: SetId,
    now: Moment,
}

impl Ledger {
    /// Everything about one address. Costs a look-up a source and one pass over networks and allowances.
    pub fn check(&self, now: Moment, address: IpAddr) -> Verdict<'_> {
        let address = address.to_canonical();
        let mut bans: Vec<BanView> = self.booked(now, address).collect();
        bans.extend(self.manual.around(now, address.into()).map(|(net, entry)| self.manual_view(net, entry)));
        bans.extend(self.ranged(now, address.into()));
        bans.extend(self.listed(address.into()));
        let allowances = self.allowances_around(now, address.into()).collect();
        let protection = self.protection.find(address);
        Verdict { address, bans, allowances, protection, outcome: self.outcome(now, address) }
    }

    /// The outcome alone, cheap enough to ask for every packet seen.
    pub fn outcome(&self, now: Moment, address: IpAddr) -> Outcome {
        self.outcome_of(now, address, false)
    }

    /// Whether all that comes from an address is blocked: what lists block of some ports alone does not count.
    pub fn is_blocked_wholly(&self, now: Moment, address: IpAddr) -> bool {
        self.outcome_of(now, address, true) == Outcome::Blocked
    }

    fn outcome_of(&self, now: Moment, address: IpAddr, whole: bool) -> Outcome {
        let address = address.to_canonical();
        let (family, number) = number::of(address);
        if self.allow.covers(now, address) || self.is_exempted(address) {
            return Outcome::Allowed;
        }
        // The owner's word reaches what is protected where he means it.
        if self.manual.covers(now, address) {
            return Outcome::Blocked;
        }
        if self.protection.covers(family, number) {
            return Outcome::Protected;
        }
        let ranged = || self.books.iter().any(|book| book.nets.covers(now, address));
        if self.booked(now, address).next().is_some() || ranged() || self.is_listed(address, whole) {
            return Outcome::Blocked;
        }
        may_ban(Source::SCAN, address.into()).map_or_else(Outcome::NeverBanned, |()| Outcome::NotBanned)
    }

    /// All allowances, IPv4 first, by address.
    pub fn allowances(&self, now: Moment) -> impl Iterator<Item = AllowanceView<'_>> {
        self.allow.iter(now).map(|(net, entry)| allowance_view(net, entry))
    }

    /// The allowances that have all of the network.
    pub fn allowances_around(&self, now: Moment, net: IpNet) -> impl Iterator<Item = AllowanceView<'_>> {
        let own = self.allow.around(now, net).map(|(net, entry)| allowance_view(net, entry));
        own.chain(self.exempted(net))
    }

    /// So many allowances of the configuration are not in force, because there is no room.
    pub fn cut_allowances(&self) -> u32 {
        self.allow_cut
    }

    /// The bans that have all of the network: the owner's, and of a single address everybody's.
    pub fn bans_around(&self, now: Moment, net: IpNet) -> impl Iterator<Item = BanView<'_>> {
        let single = net.prefix_len() == net.max_prefix_len();
        let is_scan = move |source: Source| source.is_own() && self.scan_net(net.addr()) == net;
        let others = self.booked(now, net.addr()).filter(move |ban| single || is_scan(ban.source));
        let owner = self.manual.around(now, net).map(|(net, entry)| self.manual_view(net, entry));
        others.chain(owner).chain(self.ranged(now, net)).chain(self.listed(net))
    }

    /// When the next of the bans that have this address ends by itself; `None`: none does.
    pub fn next_end(&self, now: Moment, address: IpAddr) -> Option<Moment> {
        self.bans_around(now, address.to_canonical().into()).filter_map(|ban| ban.end).min()
    }

    /// Every ban of one source, or of all but lists; those of one source and family as they began.
    pub fn for_each_ban<'a>(&'a self, now: Moment, wanted: Option<Source>, f: &mut dyn FnMut(BanView<'a>)) {
        for source in self.sources().filter(|&each| wanted.is_none_or(|wanted| wanted == each)) {
            match self.place(source) {
                Place::Nowhere => {}
                Place::List(index) if wanted.is_some() => self.for_each_listed(index, f),
                Place::List(_) => {}
                Place::Book(index) => {
                    let book = &self.books[index];
                    book.v4.iter(now).for_each(|(key, ban)| f(self.view(source, key, ban)));
                    book.v6.iter(now).for_each(|(key, ban)| f(self.view(source, key, ban)));
                    self.for_each_range(book, now, f);
                }
                Place::Manual => self.manual.iter(now).for_each(|(net, entry)| f(self.manual_view(net, entry))),
            }
        }
    }

    /// How much a source holds; constant time but for the owner's networks.
    pub fn counts(&self, source: Source) -> Counts {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let book = match self.place(source) {
            Place::Manual => return self.manual_counts(),
            Place::List(index) => return self.lists[index].counts(),
            Place::Nowhere => return Counts::default(),
            Place::Book(index) => &self.books[index],
        };
        Counts {
            v4: count(book.v4.len()),
            v6: count(book.v6.len()),
            nets: count(book.nets.len()),
            withheld: book.v4.withheld() + book.v6.withheld(),
            cut: book.cut,
        }
    }

    fn manual_counts(&self) -> Counts {
        let mut counts = Counts { cut: self.manual_cut, ..Counts::default() };
        for (net, _) in self.manual.iter(Moment(0)) {
            match net {
                IpNet::V4(net) if net.prefix_len() == 32 => counts.v4 += 1,
                IpNet::V6(net) if net.prefix_len() == 128 => counts.v6 += 1,
                _ => counts.nets += 1,
            }
            counts.withheld += u32::from(self.force(Source::MANUAL, net) != Force::Full);
        }
        counts
    }

    /// What a pair of sets is to hold.
    pub fn desired(&self, set: SetId, now: Moment) -> DesiredSet<'_> {
        DesiredSet { ledger: self, set, now }
    }

    pub(super) fn is_banned_by(&self, now: Moment, source: Source, address: IpAddr) -> bool {
        self.get(now, source, address).is_some()
    }

    /// The ban of this address in a source's tables of single addresses.
    pub(super) fn get(&self, now: Moment, source: Source, address: IpAddr) -> Option<BanView<'_>> {
        let Place::Book(index) = self.place(source) else { return None };
        self.get_in(&self.books[index], now, address)
    }

    /// Every source's ban of this address, of those that hold single addresses.
    fn booked(&self, now: Moment, address: IpAddr) -> impl Iterator<Item = BanView<'_>> {
        self.books.iter().filter_map(move |book| self.get_in(book, now, address))
    }

    fn get_in(&self, book: &Book, now: Moment, address: IpAddr) -> Option<BanView<'_>> {
        let source = book.source;
        match self.element(source, address) {
            IpAddr::V4(key) => book.v4.get(key, now).map(|ban| self.view(source, key, ban)),
            IpAddr::V6(key) => book.v6.get(key, now).map(|ban| self.view(source, key, ban)),
        }
    }

    pub(super) fn view<K: Key>(&self, source: Source, key: K, ban: Ban) -> BanView<'_> {
        let address: IpAddr = key.into();
        BanView {
            source,
            net: self.net_of(source, address),
            start: ban.start,
            end: ban.end.moment(),
            reason: self.texts.unpack(ban.word),
            by: "",
            origin: 0,
            force: if ban.word.is_withheld() { Force::Withheld } else { Force::Full },
        }
    }

    fn manual_view<'a>(&'a self, net: IpNet, entry: &'a Net) -> BanView<'a> {
        BanView {
            source: Source::MANUAL,
            net,
            start: entry.start,
            end: entry.end.moment(),
            reason: ReasonRef::Comment(&entry.comment),
            by: self.holders.name(entry.origin),
            origin: entry.origin,
            force: self.force(Source::MANUAL, net),
        }
    }

    /// Whether none of it is given to the kernel, although the owner says it.
    pub fn is_protected(&self, net: IpNet) -> bool {
        self.force(Source::MANUAL, net) == Force::Withheld
    }

    /// How much of a network is left when the holes are cut.
    pub fn force(&self, source: Source, net: IpNet) -> Force {
        let (family, first, last) = number::bounds(net);
        let meant = source.is_owner() && self.protection.is_meant(family, first, last);
        let mask = if meant { self.protection.own_mask(family) } else { self.protection.mask(family) };
        force(mask, first, last)
    }
}

/// How much of a range is left when the holes are cut.
pub(super) fn force(mask: &[(u128, u128)], first: u128, last: u128) -> Force {
    let from = mask.partition_point(|&(_, high)| high < first);
    match mask.get(from) {
        Some(&(low, high)) if low <= first && last <= high => Force::Withheld,
        Some(&(low, _)) if low <= last => Force::Partial,
        _ => Force::Full,
    }
}

fn allowance_view(net: IpNet, entry: &Net) -> AllowanceView<'_> {
    AllowanceView {
        origin: match entry.origin {
            0 => AllowOrigin::Config,
            1 => AllowOrigin::Command,
            _ => AllowOrigin::Nats,
        },
        net,
        start: entry.start,
        end: entry.end.moment(),
        comment: &entry.comment,
    }
}

impl Desired for DesiredSet<'_> {
    fn wanted(&self, range: Range) -> Option<Lifetime> {
        let Some(source) = self.set.source() else { return self.ledger.allow.wanted(range, self.now) };
        let book = match self.ledger.place(source) {
            Place::Manual => return self.ledger.manual.wanted(range, self.now),
            Place::List(index) => return self.ledger.list_wants(index, self.set, range),
            Place::Nowhere => return None,
            Place::Book(index) if self.set.is_interval() => {
                return self.ledger.books[index].nets.wanted(range, self.now);
            }
            Place::Book(index) => &self.ledger.books[index],
        };
        let ban = match range.first {
            _ if range.first != range.last => None,
            IpAddr::V4(address) => book.v4.get(address, self.now),
            IpAddr::V6(address) => book.v6.get(address, self.now),
        };
        ban.filter(|ban| !ban.word.is_withheld())?.end.left(self.now)
    }

    fn for_each(&self, f: &mut dyn FnMut(Range, Lifetime)) {
        let Some(source) = self.set.source() else { return self.ledger.allow.for_each_element(self.now, f) };
        let book = match self.ledger.place(source) {
            Place::Manual => return self.ledger.manual.for_each_element(self.now, f),
            Place::List(index) => {
                let mut cursor = Cursor::default();
                while self.ledger.walk_list(index, self.set, &mut cursor, usize::MAX, f) {}
                return;
            }
            Place::Nowhere => return,
            Place::Book(index) if self.set.is_interval() => {
                return self.ledger.books[index].nets.for_each_element(self.now, f);
            }
            Place::Book(index) => &self.ledger.books[index],
        };
        let mut tell = |address: IpAddr, ban: Ban| {
            if let Some(lifetime) = ban.end.left(self.now).filter(|_| !ban.word.is_withheld()) {
                f(Range::single(address), lifetime);
            }
        };
        book.v4.iter(self.now).for_each(|(key, ban)| tell(key.into(), ban));
        book.v6.iter(self.now).for_each(|(key, ban)| tell(key.into(), ban));
    }

    fn walk(&self, cursor: &mut Cursor, most: usize, f: &mut dyn FnMut(Range, Lifetime)) -> bool {
        let Some(source) = self.set.source() else { return self.ledger.allow.walk(self.now, cursor, most, f) };
        let book = match self.ledger.place(source) {
            Place::Manual => return self.ledger.manual.walk(self.now, cursor, most, f),
            Place::List(index) => return self.ledger.walk_list(index, self.set, cursor, most, f),
            Place::Nowhere => return false,
            Place::Book(index) if self.set.is_interval() => {
                return self.ledger.books[index].nets.walk(self.now, cursor, most, f);
            }
            Place::Book(index) => &self.ledger.books[index],
        };
        let mut tell = |address: IpAddr, ban: Ban| {
            if let Some(lifetime) = ban.end.left(self.now).filter(|_| !ban.word.is_withheld()) {
                f(Range::single(address), lifetime);
            }
        };
        if cursor.second {
            return book.v6.walk(cursor, most, self.now, &mut |key, ban| tell(key.into(), ban));
        }
        if !book.v4.walk(cursor, most, self.now, &mut |key, ban| tell(key.into(), ban)) {
            *cursor = Cursor { second: true, ..Cursor::default() };
        }
        true
    }
}
