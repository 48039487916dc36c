//! What must not be blocked because the router owns it or needs it: its addresses and subnets, gateways,
//! resolvers, the feeds' servers. It changes while we run.
//!
//! A ban of such an address stays in the ledger and is withheld from the kernel, so that it takes force
//! when the protection goes. The owner's word about such an address, or about a network that lies in such a
//! one, counts all the same, unless it is the router's own; a wider network of his keeps clear of them. The daemon gives the list, the ledger's tables ask.

use std::net::IpAddr;

use ipnet::IpNet;

use super::never;
use super::number::{self, Family};
use crate::model::special;

/// One protected network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    /// Address or network.
    pub net: IpNet,
    /// What it is, for people: `gateway of wan`.
    pub why: Box<str>,
    /// An address of the router itself, which not even the owner can block.
    pub own: bool,
}

/// Sorted ranges that do not touch.
type Ranges = Vec<(u128, u128)>;

/// The protected networks, searchable.
#[derive(Debug)]
pub(super) struct Protection {
    nets: Vec<Protected>,
    ranges: [Ranges; 2],
    /// `ranges` without the router's own addresses.
    others: [Ranges; 2],
    /// `ranges` and what standards forbid: the holes in interval sets.
    masks: [Ranges; 2],
    /// The router's own addresses and what standards forbid.
    own_masks: [Ranges; 2],
    /// `masks` and private ranges: the holes in what lists say.
    outside_masks: [Ranges; 2],
}

impl Protection {
    pub(super) fn new(nets: Vec<Protected>) -> Protection {
        let ranges_of = |which: &dyn Fn(&Protected) -> bool, before: [&[(u128, u128)]; 2]| {
            Family::ALL.map(|wanted| {
                let nets = nets.iter().filter(|protected| which(protected));
                let bounds = nets.map(|protected| number::bounds(never::normal(protected.net)));
                let of_family = bounds.filter(|&(family, ..)| family == wanted);
                let fixed = before[wanted as usize].iter().copied();
                merge(fixed.chain(of_family.map(|(_, first, last)| (first, last))).collect())
            })
        };
        let (nothing, fixed): (_, [&[_]; 2]) = ([&[][..]; 2], [&never::V4_MASK, &never::V6_MASK]);
        let ranges = ranges_of(&|_| true, nothing);
        let others = ranges_of(&|protected| !protected.own, nothing);
        let masks = ranges_of(&|_| true, fixed);
        let own_masks = ranges_of(&|protected| protected.own, fixed);
        let outside_masks = Family::ALL.map(|family| {
            let special = special::rows(family).iter().map(|&(first, last, _)| (first, last));
            merge(masks[family as usize].iter().copied().chain(special).collect())
        });
        Protection { nets, ranges, others, masks, own_masks, outside_masks }
    }

    pub(super) fn is_same(&self, nets: &[Protected]) -> bool {
        self.nets == nets
    }

    pub(super) fn covers(&self, family: Family, number: u128) -> bool {
        holds(&self.ranges[family as usize], number, number)
    }

    /// Whether the owner's word about these addresses is about protected ones alone, and so counts.
    pub(super) fn is_meant(&self, family: Family, first: u128, last: u128) -> bool {
        holds(&self.others[family as usize], first, last)
    }

    /// Ranges that no element of an interval set may touch.
    pub(super) fn mask(&self, family: Family) -> &[(u128, u128)] {
        &self.masks[family as usize]
    }

    /// As [`Protection::mask`], where the owner means protected addresses.
    pub(super) fn own_mask(&self, family: Family) -> &[(u128, u128)] {
        &self.own_masks[family as usize]
    }

    /// As [`Protection::mask`], and private ranges: what a list says is nobody's word who knows this network.
    pub(super) fn outside_mask(&self, family: Family) -> &[(u128, u128)] {
        &self.outside_masks[family as usize]
    }

    /// The smallest protected network that has the address.
    pub(super) fn find(&self, address: IpAddr) -> Option<&Protected> {
        let holding = self.nets.iter().filter(|protected| never::normal(protected.net).contains(&address));
        holding.max_by_key(|protected| (protected.net.prefix_len(), protected.own))
    }
}

/// Whether one of these sorted ranges has all of this one.
pub(super) fn holds(ranges: &[(u128, u128)], first: u128, last: u128) -> bool {
    let above = ranges.partition_point(|&(low, _)| low <= first);
    above.checked_sub(1).and_then(|place| ranges.get(place)).is_some_and(|&(_, high)| last <= high)
}

fn merge(mut ranges: Ranges) -> Ranges {
    ranges.sort_unstable();
    let mut merged: Ranges = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}
