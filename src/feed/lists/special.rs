//! Addresses that no list can have banned, whatever it holds: what is never banned at all, and private ones.
//!
//! A network or range of a list keeps clear of them: what is beside them is taken. The ledger refuses single
//! addresses by the same standards (`ledger::may_ban`); a test holds the two against each other.

use std::fmt;

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
pub(super) type Row = (u128, u128, Special);

/// Ascending and apart.
const V4: [Row; 9] = [
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
const V6: [Row; 8] = [
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
pub(super) fn rows(v6: bool) -> &'static [Row] {
    if v6 { &V6 } else { &V4 }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::ledger::may_ban;
    use crate::model::Source;

    /// What the ledger says of a single address from a feed. It knows IPv4-mapped ones as IPv4 only.
    fn refused(v6: bool, number: u128) -> bool {
        let address = match v6 {
            false => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).unwrap())),
            true if number >> 32 == 0xffff => return true,
            true => IpAddr::V6(Ipv6Addr::from_bits(number)),
        };
        may_ban(Source::DYNFW, address.into()).is_err()
    }

    #[test]
    fn the_ledger_draws_the_same_borders() {
        for v6 in [false, true] {
            let inside = |number| rows(v6).iter().any(|(first, last, _)| (first..=last).contains(&&number));
            let highest = if v6 { u128::MAX } else { u128::from(u32::MAX) };
            for (first, last, kind) in rows(v6) {
                for number in [first.checked_sub(1), Some(*first), Some(*last), last.checked_add(1)] {
                    let Some(number) = number.filter(|number| *number <= highest) else { continue };
                    assert_eq!(refused(v6, number), inside(number), "{kind}, {number:#x}");
                }
            }
            // Borders of the ledger's that are not in the table would show as a change at a power of two.
            for bit in 0..if v6 { 128 } else { 32 } {
                for number in [1 << bit, (1 << bit) - 1, highest ^ (1 << bit), highest - (1 << bit)] {
                    assert_eq!(refused(v6, number), inside(number), "{number:#x}");
                }
            }
        }
    }

    #[test]
    fn rows_are_in_order() {
        for v6 in [false, true] {
            assert!(rows(v6).iter().all(|(first, last, _)| first <= last));
            assert!(rows(v6).windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
        assert!(Special::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at));
    }
}
