//! The ledger: who is banned by whom, why and until when, and who is allowed.
//!
//! Pure: events and the time go in, set changes come out. It does no I/O (the snapshot is written to and
//! read from what it is given), has no clock of its own and no async. The daemon calls it.
//!
//! A ban of an allowed or protected address stays in the ledger. The kernel's allow rule comes before
//! its drop rules, so an allowance changes the `allow` set alone; protected addresses are withheld from
//! the kernel's ban sets. Either way the ban is in force again the moment its exemption ends.

mod escalation;
mod hash;
mod holders;
mod lists;
mod moment;
mod nets;
mod never;
mod newest;
mod number;
mod overlap;
mod page;
mod protect;
mod query;
mod ranges;
mod reason;
mod record;
pub mod record_file;
mod rows;
mod snapshot;
pub mod snapshot_file;
mod table;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

pub use escalation::{HISTORY_MAX, LONGEST_BAN, Ladder, Offence};
pub use holders::{CONFIGURATION, HOLDERS_MAX, HoldError, OWNER};
pub use lists::ListPlan;
pub use moment::Moment;
pub use never::{Never, may_ban, normal};
pub use overlap::Overlap;
pub use page::PAGE_MAX;
pub use protect::Protected;
pub use query::{AllowanceView, BanView, DesiredSet, Filter, Force, Outcome, Page, Sort, Verdict};
pub use reason::{ReasonRef, Refused};
pub use record::{Clocks, RECORD_MAX, Record, Word, frame as record_frame, read as read_record};
pub use snapshot::{AWAY_MAX, Restored, SnapshotError, Totals, VERSION};

use crate::model::{AllowOrigin, Entries, Entry, Event, Lifetime, List, Listed, Reason, Run, SetChange, SetId, Source};
use escalation::Escalation;
use holders::Holders;
use nets::Nets;
use protect::Protection;
use reason::Texts;
use table::Table;

/// What an event did. Networks and addresses as the feeds give them, not elements of the kernel's sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// New bans or allowances.
    pub added: u32,
    /// Present ones with a new end.
    pub renewed: u32,
    /// Present ones taken back.
    pub removed: u32,
    /// Present ones that were told again with the same end, give or take 2 s.
    pub unchanged: u32,
    /// Those among the added and renewed that are protected, so that the kernel was not told.
    pub withheld: u32,
    /// Not taken, because there are `max_entries` already.
    pub cut: u32,
    /// Not taken, because such an address is never banned.
    pub refused: Refused,
}

/// How much a source holds. A ban may be counted for 2 s after its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Single IPv4 addresses.
    pub v4: u32,
    /// Single IPv6 addresses.
    pub v6: u32,
    /// Networks of both families.
    pub nets: u32,
    /// Those among them of which at least a part is withheld from the kernel.
    pub withheld: u32,
    /// Not taken for want of room since the source's last whole list.
    pub cut: u32,
}

/// The bans of one source that holds single addresses, and of some of them networks too.
#[derive(Debug)]
struct Book {
    source: Source,
    v4: Table<Ipv4Addr>,
    v6: Table<Ipv6Addr>,
    nets: Nets,
    cut: u32,
}

impl Book {
    fn new(source: Source) -> Book {
        Book { source, v4: Table::new(), v6: Table::new(), nets: Nets::new(SetId::Nets(source)), cut: 0 }
    }

    /// Bans of both families.
    fn len(&self) -> usize {
        self.v4.len() + self.v6.len() + self.nets.len()
    }
}

/// Origin numbers in the owner's networks. Those of the programs that ban by command follow (`holders`).
const CONFIG: u8 = 0;
const COMMAND: u8 = 1;

/// See the module's head.
#[derive(Debug)]
pub struct Ledger {
    max_entries: u32,
    /// One for each source that holds single addresses with ends, in the order in which people are told of them.
    books: Vec<Book>,
    /// Books of a snapshot whose sources this configuration does not have: kept for when it has them again.
    apart: Vec<(Box<str>, Book)>,
    lists: Vec<lists::Listing>,
    manual: Nets,
    holders: Holders,
    manual_cut: u32,
    /// So many allowances of the configuration there is no room for.
    allow_cut: u32,
    allow: Nets,
    texts: Texts,
    protection: Protection,
    escalation: Escalation,
    /// Bits of an IPv6 address that a ban of the router's own is about: 64 or 128.
    scan_prefix: u8,
}

/// Where a source's bans are.
enum Place {
    Book(usize),
    List(usize),
    Manual,
    /// The ledger keeps none of this source.
    Nowhere,
}

const fn origin_number(origin: AllowOrigin) -> u8 {
    match origin {
        // Never among these networks.
        AllowOrigin::List(_) => 3,
        AllowOrigin::Config => 0,
        AllowOrigin::Command => 1,
        AllowOrigin::Nats => 2,
    }
}

impl Ledger {
    /// An empty ledger. `max_entries` is how many bans there may be, of all feeds and both families
    /// together, and an eighth more for what the router itself sees. The owner's blocks and allowances are
    /// counted apart, each up to the same number, a network as one; what DisWall allows may take a sixteenth.
    pub fn new(max_entries: u32) -> Ledger {
        Ledger {
            max_entries,
            books: Source::BUILT_IN.into_iter().filter(|source| ranges::has_book(*source)).map(Book::new).collect(),
            apart: Vec::new(),
            lists: Vec::new(),
            manual: Nets::new(SetId::Ban(Source::MANUAL)),
            holders: Holders::default(),
            manual_cut: 0,
            allow_cut: 0,
            allow: Nets::new(SetId::Allow),
            texts: Texts::default(),
            protection: Protection::new(Vec::new()),
            escalation: Escalation::new(HISTORY_MAX),
            scan_prefix: 128,
        }
    }

    /// Every source of which the ledger keeps bans, the lists last.
    pub fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        self.books
            .iter()
            .map(|book| book.source)
            .chain([Source::MANUAL])
            .chain(self.lists.iter().map(|list| list.source()))
    }

    fn place(&self, source: Source) -> Place {
        if source.is_owner() {
            return Place::Manual;
        }
        if let Some(index) = self.books.iter().position(|book| book.source == source) {
            return Place::Book(index);
        }
        self.lists.iter().position(|list| list.source() == source).map_or(Place::Nowhere, Place::List)
    }

    /// Changes the limit of [`Ledger::new`]. What is beyond a lower one goes, the feeds' first, and is
    /// counted as cut; what an earlier limit cut comes back with the source's next list.
    pub fn set_max_entries(&mut self, now: Moment, max_entries: u32, sink: &mut dyn FnMut(SetChange)) -> Applied {
        self.max_entries = max_entries;
        let mut applied = Applied::default();
        for source in self.sources().collect::<Vec<_>>() {
            let before = applied.cut;
            match self.place(source) {
                Place::Nowhere => {}
                // One list at a time makes room for the others.
                Place::List(index) => applied.cut += self.shrink_list(index, now, source, sink),
                Place::Book(index) => {
                    let (book, mut cause) = self.book(index, now, sink, &mut applied);
                    book.v6.shrink_to_most(&mut cause.leaving(book.v4.len() + book.nets.len()));
                    book.v4.shrink_to_most(&mut cause.leaving(book.v6.len() + book.nets.len()));
                    book.nets.shrink_to_most(&mut cause.of_nets(book.v4.len() + book.v6.len()));
                    book.cut = book.cut.saturating_add(cause.applied.cut - before);
                }
                Place::Manual => {
                    let (manual, mut cause) = self.manual(now, sink, &mut applied);
                    manual.shrink_to_most(&mut cause);
                    let cut = cause.applied.cut - before;
                    self.manual_cut += cut;
                }
            }
        }
        let cut = self.change_allowances(now, None, sink, Nets::shrink_to_most).cut;
        self.allow_cut += cut;
        applied.cut += cut;
        applied
    }

    /// These are all the networks that must not be blocked: the router's own addresses and subnets, its
    /// gateways and resolvers, the feeds' servers. Costs one pass over all bans if the list has changed.
    pub fn set_protected(&mut self, now: Moment, nets: Vec<Protected>, sink: &mut dyn FnMut(SetChange)) {
        if self.protection.is_same(&nets) {
            return;
        }
        let before = std::mem::replace(&mut self.protection, Protection::new(nets));
        self.protect_lists(&before, sink);
        for book in &mut self.books {
            book.v4.protect(now, SetId::Ban(book.source), &self.protection, sink);
            book.v6.protect(now, SetId::Ban(book.source), &self.protection, sink);
        }
        self.protect_ranges(now, sink);
        let mut applied = Applied::default();
        let (manual, mut cause) = self.manual(now, sink, &mut applied);
        manual.protect(&mut cause);
    }

    /// Takes an event in and tells what it changes for the kernel, deletions before what needs their
    /// room. A whole list costs its difference in changes and no copy of itself.
    pub fn apply(&mut self, now: Moment, event: Event, sink: &mut dyn FnMut(SetChange)) -> Applied {
        match event {
            Event::List { source, list } => self.list(now, source, list, sink),
            Event::Entries { source, entries } => self.take_entries(now, source, entries, sink),
            Event::Ban { source, net, lifetime, reason } => {
                let net = normal(net);
                match may_ban(source, net) {
                    Ok(()) => self.ban(now, source, net, lifetime, &reason, sink),
                    Err(refusal) => Applied { refused: Refused::one(refusal), ..Applied::default() },
                }
            }
            Event::BlockList { list } => self.owner_list(now, CONFIG, list, sink),
            Event::Unban { source, net } => self.unban(now, source, normal(net), sink),
            Event::AllowList { origin, list } => {
                let list = list.into_iter().map(normal_entry).collect();
                let change = |allow: &mut Nets, cause: &mut nets::Cause| {
                    allow.replace(cause, origin_number(origin), list);
                };
                let applied = self.change_allowances(now, Some(origin), sink, change);
                if origin == AllowOrigin::Config {
                    self.allow_cut = applied.cut;
                }
                applied
            }
            Event::Allow { origin, entry } => self.change_allowances(now, Some(origin), sink, |allow, cause| {
                allow.insert(cause, origin_number(origin), normal_entry(entry));
            }),
            Event::Disallow { origin, net } => self.change_allowances(now, None, sink, |allow, cause| {
                allow.remove(cause, origin_number(origin), normal(net));
            }),
            Event::Lapse { source } => self.lapse(now, source, sink),
            Event::Contact { .. } => Applied::default(),
        }
    }

    /// Lengths of growing bans from now on.
    pub fn set_ladder(&mut self, ladder: Ladder) {
        self.escalation.set_ladder(ladder);
    }

    /// Makes the router's own bans ([`Source::SCAN`]) of IPv6 addresses hold for their whole /64 (64) or for
    /// the address alone (128) from now on. The kernel's set has the network's first address, and its rules
    /// look the network up. Bans that there are of addresses become bans of their networks.
    pub fn set_scan_prefix(&mut self, now: Moment, bits: u8, sink: &mut dyn FnMut(SetChange)) {
        self.scan_prefix = bits;
        let source = Source::SCAN;
        let Some(book) = self.books.iter().find(|book| book.source == source) else { return };
        let is_former = |(address, _): &(Ipv6Addr, _)| self.element(source, (*address).into()) != *address;
        for (address, ban) in book.v6.iter(now).filter(is_former).collect::<Vec<_>>() {
            let reason = self.texts.unpack(ban.word).to_reason();
            if let (Place::Book(index), Some(lifetime)) = (self.place(source), ban.end.left(now)) {
                let mut applied = Applied::default();
                let (book, mut cause) = self.book(index, now, sink, &mut applied);
                book.v6.unban(&mut cause, address);
                if !self.holds_longer(now, source, address.into(), lifetime) {
                    self.ban(now, source, IpAddr::from(address).into(), lifetime, &reason, sink);
                }
            }
        }
    }

    /// What stands for the address in a source's table and in its set.
    pub fn element(&self, source: Source, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V6(address) if source == Source::SCAN && self.scan_prefix == 64 => {
                Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()
            }
            address => address,
        }
    }

    /// What a ban by the router itself of this address is about.
    pub fn scan_net(&self, address: IpAddr) -> IpNet {
        self.net_of(Source::SCAN, self.element(Source::SCAN, address))
    }

    /// What a ban of this element is about.
    fn net_of(&self, source: Source, element: IpAddr) -> IpNet {
        match element {
            IpAddr::V6(first) if source == Source::SCAN && first.to_bits() << 64 == 0 => {
                Ipv6Net::new(first, self.scan_prefix).map_or(element.into(), IpNet::V6)
            }
            _ => element.into(),
        }
    }

    /// A packet of a banned host has come: the time of its ban starts again, at its original length, and the
    /// ban counts as begun now. Once in a while is enough: a twentieth of the length, at most 30 s. `false`:
    /// there was nothing to do.
    pub fn restart(&mut self, now: Moment, source: Source, address: IpAddr, sink: &mut dyn FnMut(SetChange)) -> bool {
        let Place::Book(index) = self.place(source) else { return false };
        let element = self.element(source, address);
        let mut applied = Applied::default();
        let (book, mut cause) = self.book(index, now, sink, &mut applied);
        match element {
            IpAddr::V4(address) => book.v4.restart(&mut cause, address),
            IpAddr::V6(address) => book.v6.restart(&mut cause, address),
        }
        applied.renewed > 0
    }

    /// So many entries of this source never came here, because there is no room for them; counted as cut until
    /// its next list.
    pub fn note_cut(&mut self, source: Source, count: u32) {
        if let Place::Book(index) = self.place(source)
            && let Some(book) = self.books.get_mut(index)
        {
            book.cut = book.cut.saturating_add(count);
        }
    }

    /// The router has seen this address offend: counts it and says for how long to ban it. The ban itself
    /// is an event like any other, with [`Source::SCAN`]. `None`: there is nothing to ban, because the
    /// address is banned by this source already (packets in flight are no new offence), is exempt, or is
    /// of a kind that is never banned; or there is no room for it, which is counted as cut.
    pub fn offence(&mut self, now: Moment, address: IpAddr) -> Option<Offence> {
        let address = address.to_canonical();
        let exempt = matches!(self.outcome(now, address), Outcome::Allowed | Outcome::Protected);
        let net = self.scan_net(address);
        if exempt
            || net.prefix_len() < net.max_prefix_len() && self.force(Source::SCAN, net) != Force::Full
            || may_ban(Source::SCAN, address.into()).is_err()
            || self.is_banned_by(now, Source::SCAN, address)
        {
            return None;
        }
        if let Place::Book(index) = self.place(Source::SCAN) {
            let held = self.books.get(index).map_or(0, Book::len);
            let most = self.most(held, Source::SCAN);
            if let Some(book) = self.books.get_mut(index).filter(|_| held >= most) {
                // It would be cut: nobody is to be told of a ban that is not in force, nor to climb for it.
                book.cut = book.cut.saturating_add(1);
                return None;
            }
        }
        Some(self.escalation.offence(now, address))
    }

    /// How many bans of the router's own making this address has had, as far as remembered.
    pub fn offences(&self, now: Moment, address: IpAddr) -> u32 {
        self.escalation.seen(now, address)
    }

    /// When [`Ledger::expire`] is to be called next; `None`: nothing here ends by itself. May be early,
    /// never late.
    pub fn next_expiry(&self) -> Option<Moment> {
        let tables = self.books.iter().flat_map(|book| [book.v4.next_expiry(), book.v6.next_expiry()]);
        let nets = [self.manual.next_expiry(), self.allow.next_expiry()];
        let nets = nets.into_iter().chain(self.books.iter().map(|book| book.nets.next_expiry()));
        tables.chain(nets).flatten().min()
    }

    /// Drops the bans and allowances that ended at least 2 s ago (everything else stops counting them at
    /// their end), tells each ban to `gone` and returns how many bans there were. The kernel lets its
    /// elements expire by itself, so there is nothing to change in the sets.
    pub fn expire(&mut self, now: Moment, gone: &mut dyn FnMut(Source, IpNet)) -> usize {
        let mut count = 0;
        for Book { source, v4, v6, nets, .. } in &mut self.books {
            let mut tell = |net: IpNet| {
                count += 1;
                gone(*source, net);
            };
            v4.expire(now, &mut self.texts, &mut |address| tell(IpAddr::from(address).into()));
            v6.expire(now, &mut self.texts, &mut |address| tell(IpAddr::from(address).into()));
            nets.expire(now, &mut tell);
        }
        self.manual.expire(now, &mut |net| {
            count += 1;
            gone(Source::MANUAL, net);
        });
        self.allow.expire(now, &mut |_| {});
        count
    }

    fn list(&mut self, now: Moment, source: Source, mut list: List, sink: &mut dyn FnMut(SetChange)) -> Applied {
        let Place::Book(index) = self.place(source) else {
            if !source.is_owner() {
                return Applied::default();
            }
            let v4 = list.v4.iter().map(|listed| single_entry(listed.address.into(), listed.lifetime));
            let v6 = list.v6.iter().map(|listed| single_entry(listed.address.into(), listed.lifetime));
            return self.owner_list(now, COMMAND, v4.chain(v6).collect(), sink);
        };
        let List { v4, v6, nets, runs, cut } = &mut list;
        if runs.is_empty() {
            v6.retain(|listed| match listed.address.to_ipv4_mapped() {
                Some(address) => {
                    v4.push(Listed { address, lifetime: listed.lifetime });
                    false
                }
                None => true,
            });
        }
        let mut applied = Applied::default();
        let nets = ranges::bannable(source, std::mem::take(nets), &mut applied);
        let runs =
            |count: fn(&Run) -> usize| runs.iter().map(|run| (count(run), ReasonRef::from(&run.reason))).collect();
        let (runs4, runs6): (Vec<_>, Vec<_>) = (runs(|run| run.v4), runs(|run| run.v6));
        let (book, mut cause) = self.book(index, now, sink, &mut applied);
        // The few first: what goes of them makes room.
        book.nets.replace(&mut cause.of_nets(book.v4.len() + book.v6.len()), COMMAND, nets);
        book.v6.replace(&mut cause.leaving(book.v4.len() + book.nets.len()), v6, &runs6);
        book.v4.replace(&mut cause.leaving(book.v6.len() + book.nets.len()), v4, &runs4);
        cause.applied.cut = cause.applied.cut.saturating_add(*cut);
        book.cut = cause.applied.cut;
        applied
    }

    /// Replaces one origin of the owner's networks.
    fn owner_list(&mut self, now: Moment, origin: u8, list: Vec<Entry>, sink: &mut dyn FnMut(SetChange)) -> Applied {
        let mut applied = Applied::default();
        let mut list: Vec<Entry> = list.into_iter().map(normal_entry).collect();
        list.retain(|entry| {
            may_ban(Source::MANUAL, entry.net).map_err(|refusal| applied.refused.count(refusal)).is_ok()
        });
        let (manual, mut cause) = self.manual(now, sink, &mut applied);
        manual.replace(&mut cause, origin, list);
        self.manual_cut = applied.cut;
        applied
    }

    fn ban(
        &mut self,
        now: Moment,
        source: Source,
        net: IpNet,
        lifetime: Lifetime,
        reason: &Reason,
        sink: &mut dyn FnMut(SetChange),
    ) -> Applied {
        let mut applied = Applied::default();
        let reason = ReasonRef::from(reason);
        match self.place(source) {
            // A list is told as a whole.
            Place::Nowhere | Place::List(_) => {}
            // Another router's announcement has no length and stands for a short one: it ends no longer ban.
            Place::Book(index) if !self.is_element(source, net) => {
                let entry = Entry { net, lifetime, comment: reason.to_string().into() };
                let (book, mut cause) = self.book(index, now, sink, &mut applied);
                book.nets.insert(&mut cause.of_nets(book.v4.len() + book.v6.len()), COMMAND, entry);
                book.cut = book.cut.saturating_add(cause.applied.cut);
            }
            Place::Book(_) if source.prolongs_only() && self.holds_longer(now, source, net.addr(), lifetime) => {
                applied.unchanged = 1;
            }
            Place::Book(index) => {
                let element = self.element(source, net.addr());
                let (book, mut cause) = self.book(index, now, sink, &mut applied);
                match element {
                    IpAddr::V4(address) => {
                        let mut cause = cause.leaving(book.v6.len() + book.nets.len());
                        book.v4.ban(&mut cause, address, lifetime, Some(reason));
                    }
                    IpAddr::V6(address) => {
                        let mut cause = cause.leaving(book.v4.len() + book.nets.len());
                        book.v6.ban(&mut cause, address, lifetime, Some(reason));
                    }
                }
                book.cut = book.cut.saturating_add(cause.applied.cut);
            }
            Place::Manual => {
                let comment = match reason {
                    ReasonRef::Comment(text) => text.into(),
                    other => other.to_string().into(),
                };
                let (manual, mut cause) = self.manual(now, sink, &mut applied);
                manual.insert(&mut cause, COMMAND, Entry { net, lifetime, comment });
                self.manual_cut = self.manual_cut.saturating_add(applied.cut);
            }
        }
        applied
    }

    /// Whether this source bans this single address for longer than `lifetime` from now already.
    fn holds_longer(&self, now: Moment, source: Source, address: IpAddr, lifetime: Lifetime) -> bool {
        let Some(ban) = self.get(now, source, address) else { return false };
        match (ban.end, lifetime) {
            (None, Lifetime::Seconds(_)) => true,
            (Some(end), Lifetime::Seconds(seconds)) => end.since(now) > seconds,
            (_, Lifetime::Forever) => false,
        }
    }

    fn unban(&mut self, now: Moment, source: Source, net: IpNet, sink: &mut dyn FnMut(SetChange)) -> Applied {
        let mut applied = Applied::default();
        match self.place(source) {
            Place::Nowhere | Place::List(_) => {}
            Place::Book(index) if !self.is_element(source, net) => {
                let (book, mut cause) = self.book(index, now, sink, &mut applied);
                book.nets.remove(&mut cause.of_nets(0), COMMAND, net);
            }
            Place::Book(index) => {
                let element = self.element(source, net.addr());
                let (book, mut cause) = self.book(index, now, sink, &mut applied);
                match element {
                    IpAddr::V4(address) => book.v4.unban(&mut cause, address),
                    IpAddr::V6(address) => book.v6.unban(&mut cause, address),
                }
            }
            Place::Manual => {
                let (manual, mut cause) = self.manual(now, sink, &mut applied);
                manual.remove(&mut cause, COMMAND, net);
            }
        }
        applied
    }

    /// Whether it is what one ban of this source is about: an address, or the network it stands for.
    fn is_element(&self, source: Source, net: IpNet) -> bool {
        net.prefix_len() == net.max_prefix_len() || net == self.net_of(source, net.addr())
    }

    fn lapse(&mut self, now: Moment, source: Source, sink: &mut dyn FnMut(SetChange)) -> Applied {
        let mut applied = Applied::default();
        match self.place(source) {
            Place::Nowhere => {}
            Place::List(_) => applied = self.take_entries(now, source, Entries::default(), sink),
            Place::Book(index) => {
                let (book, mut cause) = self.book(index, now, sink, &mut applied);
                book.v4.clear(&mut cause);
                book.v6.clear(&mut cause);
                book.nets.clear(&mut cause.of_nets(0));
                book.cut = 0;
            }
            Place::Manual => {
                let (manual, mut cause) = self.manual(now, sink, &mut applied);
                manual.clear(&mut cause);
                self.manual_cut = 0;
            }
        }
        applied
    }

    /// Changes allowances in the name of `origin` (`None`: nothing is added).
    fn change_allowances(
        &mut self,
        now: Moment,
        origin: Option<AllowOrigin>,
        sink: &mut dyn FnMut(SetChange),
        change: impl FnOnce(&mut Nets, &mut nets::Cause),
    ) -> Applied {
        let mut applied = Applied::default();
        let most = match origin {
            Some(AllowOrigin::Nats) => self.max_entries as usize / 16 + 16,
            _ => self.max_entries as usize,
        };
        let protection = None;
        change(
            &mut self.allow,
            &mut nets::Cause { now, most, protection, outside: false, sink, applied: &mut applied },
        );
        applied
    }

    /// Most bans that a book may have that has `own` now. The feeds have the limit together; for what the router
    /// itself sees there is an eighth more, so that no list, however long, keeps it from banning.
    fn most(&self, own: usize, source: Source) -> usize {
        let limit = self.max_entries as usize;
        let held: usize = self.books.iter().map(Book::len).sum();
        if source.is_own() {
            return (limit + (limit / 8).max(1)).saturating_sub(held - own).min(limit);
        }
        let scans: usize = self.books.iter().filter(|book| book.source.is_own()).map(Book::len).sum();
        let lists: u64 = self.lists.iter().map(|list| list.room()).sum();
        limit.saturating_sub(held - scans - own).saturating_sub(usize::try_from(lists).unwrap_or(usize::MAX))
    }

    /// A book, and the rest of the ledger as its tables need it.
    fn book<'a>(
        &'a mut self,
        index: usize,
        now: Moment,
        sink: &'a mut dyn FnMut(SetChange),
        applied: &'a mut Applied,
    ) -> (&'a mut Book, table::Cause<'a>) {
        let (own, source) = (self.books[index].len(), self.books[index].source);
        let cause = table::Cause {
            now,
            source,
            most: self.most(own, source),
            texts: &mut self.texts,
            protection: &self.protection,
            sink,
            applied,
        };
        (&mut self.books[index], cause)
    }

    fn manual<'a>(
        &'a mut self,
        now: Moment,
        sink: &'a mut dyn FnMut(SetChange),
        applied: &'a mut Applied,
    ) -> (&'a mut Nets, nets::Cause<'a>) {
        let most = self.max_entries as usize;
        let protection = Some(&self.protection);
        (&mut self.manual, nets::Cause { now, most, protection, outside: false, sink, applied })
    }
}

fn normal_entry(entry: Entry) -> Entry {
    Entry { net: normal(entry.net), ..entry }
}

fn single_entry(address: IpAddr, lifetime: Lifetime) -> Entry {
    Entry { net: address.into(), lifetime, comment: "".into() }
}

#[cfg(test)]
mod tests;
