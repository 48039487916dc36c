//! Addresses that no list can have banned, whatever it holds: what is never banned at all, and private ones.
//!
//! A network or range of a list keeps clear of them, as it is read and in force: what is beside them is taken. The
//! ledger refuses single addresses by the same standards (`ledger::may_ban`); a test there holds the two against
//! each other.

use std::fmt;
use std::net::IpAddr;

use super::family::{Family, number};

/// Why a range is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// RFC 1918, RFC 6598 (`100.64.0.0/10`), `fc00::/7`, `fec0::/10`.
    Private,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// The rest of `::/96`, and `::ffff:0:0/96`: IPv4 in the clothes of IPv6, which no packet carries.
    Compatible,
}

impl Special {
    /// Every kind; `kind as usize` is its place here.
    pub const ALL: [Special; 7] = [
        Special::Unspecified,
        Special::Private,
        Special::Loopback,
        Special::LinkLocal,
        Special::Multicast,
        Special::Broadcast,
        Special::Compatible,
    ];
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Special::Unspecified => "unspecified",
            Special::Private => "private",
            Special::Loopback => "loopback",
            Special::LinkLocal => "link-local",
            Special::Multicast => "multicast",
            Special::Broadcast => "broadcast",
            Special::Compatible => "ipv4-compatible",
        })
    }
}

/// First, last, kind; as numbers of the family.
pub type SpecialRange = (u128, u128, Special);

/// Ascending and apart.
const V4: [SpecialRange; 9] = [
    (0x0000_0000, 0x00ff_ffff, Special::Unspecified),
    (0x0a00_0000, 0x0aff_ffff, Special::Private),
    (0x6440_0000, 0x647f_ffff, Special::Private),
    (0x7f00_0000, 0x7fff_ffff, Special::Loopback),
    (0xa9fe_0000, 0xa9fe_ffff, Special::LinkLocal),
    (0xac10_0000, 0xac1f_ffff, Special::Private),
    (0xc0a8_0000, 0xc0a8_ffff, Special::Private),
    (0xe000_0000, 0xefff_ffff, Special::Multicast),
    (0xffff_ffff, 0xffff_ffff, Special::Broadcast),
];

/// Ascending and apart.
const V6: [SpecialRange; 8] = [
    (0, 0, Special::Unspecified),
    (1, 1, Special::Loopback),
    (2, 0xffff_ffff, Special::Compatible),
    (0xffff << 32, (0x1_0000 << 32) - 1, Special::Compatible),
    (0xfc00 << 112, (0xfe00 << 112) - 1, Special::Private),
    (0xfe80 << 112, (0xfec0 << 112) - 1, Special::LinkLocal),
    (0xfec0 << 112, (0xff00 << 112) - 1, Special::Private),
    (0xff00 << 112, u128::MAX, Special::Multicast),
];

/// A family's rows.
pub fn rows(family: Family) -> &'static [SpecialRange] {
    match family {
        Family::V4 => &V4,
        Family::V6 => &V6,
    }
}

/// Whether an address is one of them.
pub fn has(address: IpAddr) -> bool {
    let (family, number) = number(address);
    rows(family).iter().any(|row| row.0 <= number && number <= row.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order() {
        for family in Family::ALL {
            assert!(rows(family).iter().all(|(first, last, _)| first <= last));
            assert!(rows(family).windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
        assert!(Special::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at));
    }
}
