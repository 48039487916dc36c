//! What must not be blocked because the router owns it or needs it: its addresses and subnets, gateways,
//! resolvers, the feeds' servers. It changes while we run.
//!
//! A ban of such an address stays in the ledger and is withheld from the kernel, so that it takes force
//! when the protection goes. The daemon gives the list, the ledger's tables ask.

use std::net::IpAddr;

use ipnet::IpNet;

use super::never;
use super::number::{self, Family};

/// One protected network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    /// Address or network.
    pub net: IpNet,
    /// What it is, for people: `gateway of wan`.
    pub why: Box<str>,
}

/// Sorted ranges that do not touch.
type Ranges = Vec<(u128, u128)>;

/// The protected networks, searchable.
#[derive(Debug)]
pub(super) struct Protection {
    nets: Vec<Protected>,
    ranges: [Ranges; 2],
    /// `ranges` and what standards forbid: the holes in interval sets.
    masks: [Ranges; 2],
}

impl Protection {
    pub(super) fn new(nets: Vec<Protected>) -> Protection {
        let ranges = Family::ALL.map(|wanted| {
            let bounds = nets.iter().map(|protected| number::bounds(never::normal(protected.net)));
            merge(bounds.filter(|&(family, ..)| family == wanted).map(|(_, first, last)| (first, last)).collect())
        });
        let masks = Family::ALL.map(|family| {
            let fixed: &[(u128, u128)] = match family {
                Family::V4 => &never::V4_MASK,
                Family::V6 => &never::V6_MASK,
            };
            let mut all = fixed.to_vec();
            all.extend(&ranges[family as usize]);
            merge(all)
        });
        Protection { nets, ranges, masks }
    }

    pub(super) fn is_same(&self, nets: &[Protected]) -> bool {
        self.nets == nets
    }

    pub(super) fn covers(&self, family: Family, number: u128) -> bool {
        let ranges = &self.ranges[family as usize];
        let above = ranges.partition_point(|&(first, _)| first <= number);
        above.checked_sub(1).and_then(|place| ranges.get(place)).is_some_and(|&(_, last)| number <= last)
    }

    /// Ranges that no element of an interval set may touch.
    pub(super) fn mask(&self, family: Family) -> &[(u128, u128)] {
        &self.masks[family as usize]
    }

    /// The smallest protected network that has the address.
    pub(super) fn find(&self, address: IpAddr) -> Option<&Protected> {
        let holding = self.nets.iter().filter(|protected| never::normal(protected.net).contains(&address));
        holding.max_by_key(|protected| protected.net.prefix_len())
    }
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
