//! The two families of addresses, and addresses of both as numbers, so that one code handles them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4, 4-byte keys.
    V4,
    /// IPv6, 16-byte keys.
    V6,
}

/// An address as family and number.
pub fn number(address: IpAddr) -> (Family, u128) {
    match address {
        IpAddr::V4(address) => (Family::V4, u128::from(address.to_bits())),
        IpAddr::V6(address) => (Family::V6, address.to_bits()),
    }
}

impl Family {
    /// Both families.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// The family of an address. An IPv4-mapped IPv6 address counts as IPv6, as it does on the wire.
    pub const fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// The last character of a set's name.
    pub const fn digit(self) -> char {
        match self {
            Family::V4 => '4',
            Family::V6 => '6',
        }
    }

    /// Bytes of one address.
    pub const fn width(self) -> usize {
        match self {
            Family::V4 => 4,
            Family::V6 => 16,
        }
    }

    /// The highest address.
    pub const fn max(self) -> u128 {
        match self {
            Family::V4 => u32::MAX as u128,
            Family::V6 => u128::MAX,
        }
    }

    /// Bits of an address.
    pub const fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// The address of that number; only the family's low bits count.
    pub fn address(self, number: u128) -> IpAddr {
        match self {
            Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
        }
    }

    /// The mask of a prefix's host bits: all ones for the prefix 0.
    pub fn host_bits(self, prefix: u8) -> u128 {
        let host = u32::from(self.bits().saturating_sub(prefix));
        u128::MAX.checked_shr(128 - host).unwrap_or(0)
    }

    /// The network of a first address and a prefix length, host bits cleared.
    pub fn net(self, first: u128, prefix: u8) -> IpNet {
        IpNet::new_assert(self.address(first), prefix.min(self.bits())).trunc()
    }
}
