//! What the report asks of the ledger: what a source has that nobody else has, which place an address is in, and what
//! is allowed although somebody bans it. Reads only, and looks at no more than it is told to.

use std::net::IpAddr;

use ipnet::IpNet;

use super::moment::Moment;
use super::query::{AllowanceView, BanView};
use super::{Ledger, Place, number};
use crate::model::{ListUse, Range, Source};

/// How many entries were compared, and how many of them no other source has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Looked at.
    pub compared: u32,
    /// Of these, nobody else's.
    pub alone: u32,
}

impl Ledger {
    /// Looks for a source's entries in what all others ban; of more than `most` for so many, evenly spread. What
    /// others have only in parts is nobody else's. Of the owner's bans, and of lists that do not block, nothing is
    /// looked at.
    pub fn overlap(&self, now: Moment, source: Source, most: u32) -> Overlap {
        let mut overlap = Overlap::default();
        let mut compare = |nets: &[IpNet]| {
            let others = |net: &IpNet| self.bans_around(now, *net).any(|ban| ban.source != source);
            overlap.compared += 1;
            overlap.alone += u32::from(!nets.iter().all(others));
        };
        match self.place(source) {
            Place::List(index) => {
                if let Some(list) = self.lists.get(index).filter(|list| list.usage() == ListUse::Block) {
                    list.entries().spread(most, &mut |range| compare(&range.nets()));
                }
            }
            Place::Book(index) => {
                let Some(book) = self.books.get(index) else { return overlap };
                let all = book.v4.len() + book.v6.len() + book.nets.len();
                let step = all.div_ceil(most.max(1) as usize).max(1);
                let v4 = book.v4.iter(now).map(|(key, _)| self.net_of(source, key.into()));
                let v6 = book.v6.iter(now).map(|(key, _)| self.net_of(source, key.into()));
                let nets = book.nets.iter(now).map(|(net, _)| net);
                v4.chain(v6).chain(nets).step_by(step).for_each(|net| compare(&[net]));
            }
            Place::Manual | Place::Nowhere => {}
        }
        overlap
    }

    /// Whether the place that this list is of has the address. A list that says nothing of its family, as before it was
    /// ever fetched, has nobody.
    pub fn is_in_place(&self, source: Source, address: IpAddr) -> bool {
        let (family, _) = number::of(address);
        let list = self.lists.iter().find(|list| list.source() == source && list.entries().has_any(family));
        // Of those who alone may come the ledger has all others.
        list.is_some_and(|list| list.entries().find(address).is_some() != (list.usage() == ListUse::Only))
    }

    /// Allowances, at most `most` of them, with who bans what they allow: all of it, or where it is a list's, a part.
    pub fn allowed_although<'a>(
        &'a self,
        now: Moment,
        most: usize,
        f: &mut dyn FnMut(&AllowanceView<'a>, &mut Vec<Source>),
    ) {
        let mut sources = Vec::new();
        for allowance in self.allowances(now).take(most) {
            sources.clear();
            sources.extend(self.bans_around(now, allowance.net).map(|ban: BanView<'_>| ban.source));
            let (family, first, last) = number::bounds(allowance.net);
            let inside = self.lists.iter().filter(|list| list.usage() == ListUse::Block);
            let inside = inside.filter(|list| list.entries().has_within(Range::of(family, first, last)));
            sources.extend(inside.map(|list| list.source()));
            sources.sort_unstable();
            sources.dedup();
            if !sources.is_empty() {
                f(&allowance, &mut sources);
            }
        }
    }
}
