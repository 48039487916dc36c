//! What sources outside ban beside single addresses: networks, each with an end and a reason of its own; and which
//! sources have a book for both.
//!
//! Private ranges and what is protected make holes in them, as in lists: it is nobody's word who knows this network.

use ipnet::IpNet;

use super::moment::Moment;
use super::nets::Net;
use super::query::{BanView, force};
use super::reason::ReasonRef;
use super::snapshot::APART_MAX;
use super::table::Cause;
use super::{Applied, Book, Ledger, may_ban, normal_entry, number};
use crate::model::{Entry, Holds, SetChange, SetId, Source};

/// Whether a source's bans are in a book.
pub(super) fn has_book(source: Source) -> bool {
    matches!(source.holds(), Holds::Hosts | Holds::Both)
}

/// Those of a list's networks that its source may ban; the others are counted.
pub(super) fn bannable(source: Source, nets: Vec<Entry>, applied: &mut Applied) -> Vec<Entry> {
    let normal = nets.into_iter().map(normal_entry);
    normal.filter(|entry| may_ban(source, entry.net).map_err(|why| applied.refused.count(why)).is_ok()).collect()
}

impl Ledger {
    /// These are all the sources that there are. The book of one that is gone is kept apart, and comes back with it.
    pub fn set_sources(&mut self, now: Moment, sources: &[Source], sink: &mut dyn FnMut(SetChange)) {
        let wanted = |book: &Book| sources.contains(&book.source);
        for book in self.books.extract_if(.., |book| !wanted(book)).filter(|book| book.len() > 0) {
            if self.apart.len() < APART_MAX {
                self.apart.push((book.source.name().into(), book));
            }
        }
        for source in sources.iter().copied().filter(|source| has_book(*source)) {
            if self.books.iter().any(|book| book.source == source) {
                continue;
            }
            let kept = self.apart.iter().position(|(name, _)| **name == *source.name());
            let mut book = kept.map_or_else(|| Book::new(source), |at| self.apart.swap_remove(at).1);
            book.source = source;
            book.nets.set = SetId::Nets(source);
            book.v4.protect(now, SetId::Ban(source), &self.protection, sink);
            book.v6.protect(now, SetId::Ban(source), &self.protection, sink);
            self.books.push(book);
        }
        self.protect_ranges(now, sink);
    }

    /// What is protected has changed.
    pub(super) fn protect_ranges(&mut self, now: Moment, sink: &mut dyn FnMut(SetChange)) {
        let (texts, protection, applied) = (&mut self.texts, &self.protection, &mut Applied::default());
        for book in self.books.iter_mut().filter(|book| book.nets.len() > 0) {
            let mut cause = Cause { now, source: book.source, most: 0, texts, protection, sink, applied };
            book.nets.protect(&mut cause.of_nets(0));
        }
    }

    /// The bans of networks by sources outside that have all of this one.
    pub(super) fn ranged(&self, now: Moment, net: IpNet) -> impl Iterator<Item = BanView<'_>> {
        self.books.iter().flat_map(move |book| {
            book.nets.around(now, net).map(|(around, entry)| self.range_view(book.source, around, entry))
        })
    }

    /// Every network of a book.
    pub(super) fn for_each_range<'a>(&'a self, book: &'a Book, now: Moment, f: &mut dyn FnMut(BanView<'a>)) {
        book.nets.iter(now).for_each(|(net, entry)| f(self.range_view(book.source, net, entry)));
    }

    fn range_view<'a>(&'a self, source: Source, net: IpNet, entry: &'a Net) -> BanView<'a> {
        let (family, first, last) = number::bounds(net);
        BanView {
            source,
            net,
            start: entry.start,
            end: entry.end.moment(),
            reason: ReasonRef::Tagged(&entry.comment),
            by: "",
            origin: 0,
            force: force(self.protection.outside_mask(family), first, last),
        }
    }
}
