//! A run of addresses of one family: what a set's element, a network and a list's entry are.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::family::Family;

/// First and last address of an element, both included, of one family. Equal for a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    /// Lowest address.
    pub first: IpAddr,
    /// Highest address, not below `first`.
    pub last: IpAddr,
}

impl Range {
    /// The range of one address.
    pub const fn single(address: IpAddr) -> Range {
        Range { first: address, last: address }
    }

    /// The range of these numbers of a family; of IPv4 only the low 32 bits count.
    pub fn of(family: Family, first: u128, last: u128) -> Range {
        Range { first: family.address(first), last: family.address(last) }
    }

    /// The fewest networks that make up the range.
    pub fn nets(&self) -> Vec<IpNet> {
        match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect(),
            (IpAddr::V6(first), IpAddr::V6(last)) => Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect(),
            _ => Vec::new(),
        }
    }
}
