//! The lists that the ledger has taken: arrays of entries, and what of them the kernel is to hold.
//!
//! A list says what it has and nothing else: its entries have no reason, no holder and no end of their own, and
//! the whole of it is replaced at once. What is protected, and private ranges, make holes in them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::moment::Moment;
use super::number::{self, Family};
use super::query::{AllowanceView, BanView, Force};
use super::reason::ReasonRef;
use super::{Applied, Counts, Ledger, Place};
use crate::model::entries::{ARRAYS, Masks};
use crate::model::{AllowOrigin, Cursor, Entries, Lifetime, ListUse, Range, SetChange, SetId, Shape, Source};

/// Why a list of those who alone may come blocks all others.
const UNLISTED: &str = "not on the list of those who may come";

/// What a list is for, as the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPlan {
    /// Whose.
    pub source: Source,
    /// What its entries are.
    pub usage: ListUse,
    /// Whatever a blocked host sends is refused; `false`: its packets to some ports.
    pub whole: bool,
}

/// One list.
#[derive(Debug)]
pub(super) struct Listing {
    plan: ListPlan,
    /// What is in force: of a list of those who alone may come, all others.
    entries: Entries,
    /// Since when.
    start: Moment,
    /// Entries of a list for which there was no room.
    cut: u32,
}

impl Listing {
    fn new(plan: ListPlan) -> Listing {
        Listing { plan, entries: Entries::default(), start: Moment(0), cut: 0 }
    }

    pub(super) fn source(&self) -> Source {
        self.plan.source
    }

    pub(super) fn usage(&self) -> ListUse {
        self.plan.usage
    }

    /// What is in force.
    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// See [`Size::room`](crate::model::entries::Size::room).
    pub(super) fn room(&self) -> u64 {
        self.entries.size().room()
    }

    pub(super) fn counts(&self) -> Counts {
        let size = self.entries.size();
        Counts { v4: size.hosts4, v6: size.hosts6, nets: size.nets4 + size.nets6, withheld: 0, cut: self.cut }
    }

    fn blocks(&self) -> bool {
        self.plan.usage != ListUse::Allow
    }

    /// What goes with an address that is on it by itself.
    fn text(&self, net: IpNet) -> Option<&str> {
        self.entries.text(net.addr()).filter(|_| net.prefix_len() == net.max_prefix_len())
    }
}

/// The part of a list that a pair of sets holds.
pub(super) const fn part_of(set: SetId) -> Shape {
    match set {
        SetId::Nets(_) => Shape::Nets,
        _ => Shape::Hosts,
    }
}

impl Ledger {
    /// These are all the lists that there are. What one that is there already has stays, unless it is for
    /// something else now: then its sets hold nothing until it is told anew. The sets of lists that are gone are
    /// gone with their rules.
    pub fn set_lists(&mut self, plans: &[ListPlan], sink: &mut dyn FnMut(SetChange)) {
        let mut before = std::mem::take(&mut self.lists);
        let protection = &self.protection;
        let known = |plan: &ListPlan| {
            let at = before.iter().position(|list| list.source() == plan.source)?;
            let list = before.swap_remove(at);
            if list.plan.usage == plan.usage {
                return Some(Listing { plan: *plan, ..list });
            }
            let (nothing, masks) = (Listing::new(*plan), masks_of(list.plan, protection));
            tell_changes(&nothing, masks, (&list.entries, masks), &mut Applied::default(), sink);
            None
        };
        let known: Vec<Option<Listing>> = plans.iter().map(known).collect();
        let lists = plans.iter().zip(known).map(|(plan, known)| known.unwrap_or_else(|| Listing::new(*plan)));
        self.lists = lists.collect();
    }

    /// How much room there is for a list ([`Size::room`](crate::model::entries::Size::room)): all lists together
    /// may have three quarters of what there is, and no more than the feeds leave.
    pub fn list_room(&self, source: Source) -> u64 {
        let limit = u64::from(self.max_entries);
        let others: u64 = self.lists.iter().filter(|list| list.source() != source).map(Listing::room).sum();
        let feeds = self.books.iter().filter(|book| !book.source.is_own()).map(|book| book.len() as u64).sum::<u64>();
        (limit - limit / 4).min(limit.saturating_sub(feeds)).saturating_sub(others)
    }

    /// Takes a list out of force if there is not room for it any more. How many entries that were.
    pub(super) fn shrink_list(
        &mut self,
        index: usize,
        now: Moment,
        source: Source,
        sink: &mut dyn FnMut(SetChange),
    ) -> u32 {
        let size = self.lists[index].entries.size();
        if size.room() <= self.list_room(source) {
            return 0;
        }
        self.take_entries(now, source, Entries::default(), sink);
        self.lists[index].cut = size.all();
        size.all()
    }

    /// The list has this now.
    pub(super) fn take_entries(
        &mut self,
        now: Moment,
        source: Source,
        entries: Entries,
        sink: &mut dyn FnMut(SetChange),
    ) -> Applied {
        let Place::List(index) = self.place(source) else { return Applied::default() };
        let entries = if self.lists[index].plan.usage == ListUse::Only { entries.complement() } else { entries };
        if entries.size().room() > self.list_room(source) {
            let cut = entries.size().all();
            self.lists[index].cut = cut;
            return Applied { cut, ..Applied::default() };
        }
        let before = std::mem::replace(&mut self.lists[index].entries, entries);
        let list = &mut self.lists[index];
        (list.start, list.cut) = (now, 0);
        let masks = masks_of(list.plan, &self.protection);
        let mut applied = Applied::default();
        tell_changes(list, masks, (&before, masks), &mut applied, sink);
        applied
    }

    /// What is protected has changed from what these masks say.
    pub(super) fn protect_lists(&self, before: &super::Protection, sink: &mut dyn FnMut(SetChange)) {
        for list in &self.lists {
            let (old, new) = (masks_of(list.plan, before), masks_of(list.plan, &self.protection));
            if old != new {
                tell_changes(list, new, (&list.entries, old), &mut Applied::default(), sink);
            }
        }
    }

    /// The bans by lists that have all of this network.
    pub(super) fn listed(&self, net: IpNet) -> impl Iterator<Item = BanView<'_>> {
        self.lists.iter().filter(|list| list.blocks()).filter_map(move |list| self.listed_by(list, net))
    }

    /// The exemptions by lists that have all of this network.
    pub(super) fn exempted(&self, net: IpNet) -> impl Iterator<Item = AllowanceView<'_>> {
        self.lists.iter().filter(|list| !list.blocks()).filter_map(move |list| {
            let net = net_around(list.entries.find(net.addr())?, net)?;
            let origin = AllowOrigin::List(list.source());
            let comment = list.text(net).unwrap_or_default();
            Some(AllowanceView { origin, net, start: list.start, end: None, comment })
        })
    }

    /// Whether a list exempts the address; without a look at which network of it does.
    pub(super) fn is_exempted(&self, address: IpAddr) -> bool {
        self.lists.iter().any(|list| !list.blocks() && list.entries.find(address).is_some())
    }

    /// Whether a list blocks the address. `whole`: only if it blocks all that comes from there.
    pub(super) fn is_listed(&self, address: IpAddr, whole: bool) -> bool {
        let (family, number) = number::of(address);
        let free = super::protect::holds(self.protection.outside_mask(family), number, number);
        let has = |list: &Listing| list.blocks() && (list.plan.whole || !whole) && list.entries.find(address).is_some();
        !free && self.lists.iter().any(has)
    }

    fn listed_by<'a>(&'a self, list: &'a Listing, net: IpNet) -> Option<BanView<'a>> {
        let around = net_around(list.entries.find(net.addr())?, net)?;
        let (family, first, last) = number::bounds(net);
        let spared = super::query::force(self.protection.outside_mask(family), first, last) == Force::Withheld;
        // Who is on a list and spared is told so; whom a list merely does not have is not banned by it.
        (list.plan.usage != ListUse::Only || !spared).then(|| self.list_view(list, around))
    }

    fn list_view<'a>(&'a self, list: &'a Listing, net: IpNet) -> BanView<'a> {
        let (family, first, last) = number::bounds(net);
        BanView {
            source: list.source(),
            net,
            start: list.start,
            end: None,
            reason: match list.plan.usage {
                ListUse::Only => ReasonRef::Comment(UNLISTED),
                ListUse::Block | ListUse::Allow => list.text(net).map_or(ReasonRef::Listed, ReasonRef::Tagged),
            },
            by: "",
            origin: 0,
            force: super::query::force(self.protection.outside_mask(family), first, last),
        }
    }

    /// Every entry of one list, ranges as the networks that make them up.
    pub(super) fn for_each_listed<'a>(&'a self, index: usize, f: &mut dyn FnMut(BanView<'a>)) {
        let Some(list) = self.lists.get(index) else { return };
        for (part, family) in ARRAYS {
            for (first, last) in list.entries.pieces(part, family, 0, [&[]; 2]) {
                let nets = Range::of(family, first, last).nets();
                nets.into_iter().for_each(|net| f(self.list_view(list, net)));
            }
        }
    }

    pub(super) fn list_wants(&self, index: usize, set: SetId, range: Range) -> Option<Lifetime> {
        let list = self.lists.get(index)?;
        let masks = masks_of(list.plan, &self.protection);
        list.entries.has_piece(part_of(set), range, masks).then_some(Lifetime::Forever)
    }

    /// As [`Desired::walk`](crate::model::Desired::walk).
    pub(super) fn walk_list(
        &self,
        index: usize,
        set: SetId,
        cursor: &mut Cursor,
        most: usize,
        f: &mut dyn FnMut(Range, Lifetime),
    ) -> bool {
        let Some(list) = self.lists.get(index) else { return false };
        let masks = masks_of(list.plan, &self.protection);
        let family = if cursor.second { Family::V6 } else { Family::V4 };
        let mut pieces = list.entries.pieces(part_of(set), family, cursor.at, masks);
        for (first, last) in pieces.by_ref().take(most) {
            f(Range::of(family, first, last), Lifetime::Forever);
            match last.checked_add(1) {
                Some(next) => cursor.at = next,
                None => return false,
            }
        }
        if pieces.next().is_some() {
            return true;
        }
        *cursor = Cursor { second: true, ..Cursor::default() };
        family == Family::V4
    }
}

/// What makes holes in a list's entries: nothing in those that are exempt.
fn masks_of(plan: ListPlan, protection: &super::Protection) -> Masks<'_> {
    match plan.usage {
        ListUse::Allow => [&[]; 2],
        ListUse::Block | ListUse::Only => Family::ALL.map(|family| protection.outside_mask(family)),
    }
}

/// Tells what a list has now and had not before, what goes first.
fn tell_changes(
    list: &Listing,
    masks: Masks<'_>,
    before: (&Entries, Masks<'_>),
    applied: &mut Applied,
    sink: &mut dyn FnMut(SetChange),
) {
    for set in SetId::of_source(list.source()) {
        list.entries.changes(masks, before, part_of(set), &mut |come, range| {
            if come {
                applied.added += 1;
                sink(SetChange::Add { set, range, lifetime: Lifetime::Forever });
            } else {
                applied.removed += 1;
                sink(SetChange::Delete { set, range });
            }
        });
    }
}

/// The largest network of the range that has all of `net`.
fn net_around(range: Range, net: IpNet) -> Option<IpNet> {
    range.nets().into_iter().find(|around| around.contains(&net))
}
