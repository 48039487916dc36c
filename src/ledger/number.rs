//! Addresses and networks as numbers, so that ranges of both families are handled by the same code.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The family of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// The highest address.
    pub(super) const fn max(self) -> u128 {
        match self {
            Family::V4 => u32::MAX as u128,
            Family::V6 => u128::MAX,
        }
    }

    /// Bits of an address.
    pub(super) const fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// The address of that number; only the family's low bits count.
    pub(super) fn address(self, number: u128) -> IpAddr {
        match self {
            Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
        }
    }

    /// The mask of a prefix's host bits: all ones for the prefix 0.
    pub(super) fn host_bits(self, prefix: u8) -> u128 {
        let host = u32::from(self.bits().saturating_sub(prefix));
        u128::MAX.checked_shr(128 - host).unwrap_or(0)
    }

    /// The network of a first address and a prefix length, host bits cleared.
    pub(super) fn net(self, first: u128, prefix: u8) -> IpNet {
        IpNet::new_assert(self.address(first), prefix.min(self.bits())).trunc()
    }
}

/// An address as family and number.
pub(super) fn of(address: IpAddr) -> (Family, u128) {
    match address {
        IpAddr::V4(address) => (Family::V4, u128::from(address.to_bits())),
        IpAddr::V6(address) => (Family::V6, address.to_bits()),
    }
}

/// Family, first and last address of a network.
pub(super) fn bounds(net: IpNet) -> (Family, u128, u128) {
    let (family, number) = of(net.addr());
    let host = family.host_bits(net.prefix_len());
    (family, number & !host, number | host)
}
