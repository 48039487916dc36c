//! What is never banned, whoever asks, and the one spelling of an address that the ledger works with.
//!
//! Fixed by standards alone: what the router owns or talks to changes and is `protect`'s. The ledger
//! asks for every address that comes in; the command line asks so as to refuse in the owner's words.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::number;
use crate::model::{Holds, Source};

/// Why a ban is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// Private, from a source outside: RFC 1918, RFC 6598 (`100.64.0.0/10`), `fc00::/7`, `fec0::/10`.
    Private,
    /// The rest of `::/96`: IPv4-compatible IPv6 addresses, which no packet carries.
    Compatible,
    /// A network from a source that bans single addresses.
    Network,
}

impl Never {
    /// Every kind; `refusal as usize` is its place here.
    pub const ALL: [Never; 8] = [
        Never::Unspecified,
        Never::Loopback,
        Never::LinkLocal,
        Never::Multicast,
        Never::Broadcast,
        Never::Private,
        Never::Compatible,
        Never::Network,
    ];

    /// One word for counters and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Never::Unspecified => "unspecified",
            Never::Loopback => "loopback",
            Never::LinkLocal => "link-local",
            Never::Multicast => "multicast",
            Never::Broadcast => "broadcast",
            Never::Private => "private",
            Never::Compatible => "ipv4-compatible",
            Never::Network => "network",
        }
    }
}

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Never::Private => "a private address, which only the owner may ban",
            Never::Compatible => "an IPv4-compatible IPv6 address, which no packet carries",
            Never::Network => "a network, and this source bans single addresses",
            Never::Unspecified => "an unspecified address",
            Never::Loopback => "a loopback address",
            Never::LinkLocal => "a link-local address",
            Never::Multicast => "a multicast address",
            Never::Broadcast => "the broadcast address",
        })
    }
}

/// Ranges that no source can ban, sorted and apart, as numbers of the family. The kernel's interval
/// sets get holes there when a ban of the owner's is wider.
pub(super) const V4_MASK: [(u128, u128); 5] = [
    (0x0000_0000, 0x00ff_ffff),
    (0x7f00_0000, 0x7fff_ffff),
    (0xa9fe_0000, 0xa9fe_ffff),
    (0xe000_0000, 0xefff_ffff),
    (0xffff_ffff, 0xffff_ffff),
];

/// As [`V4_MASK`]: `::/96`, `fe80::/10`, `ff00::/8`.
pub(super) const V6_MASK: [(u128, u128); 3] =
    [(0, 0xffff_ffff), (0xfe80 << 112, (0xfec0 << 112) - 1), (0xff00 << 112, u128::MAX)];

/// The net as the ledger spells it: host bits zero, and IPv4-mapped IPv6 (`::ffff:0:0/96`) as the IPv4
/// that it stands for.
pub fn normal(net: IpNet) -> IpNet {
    match net {
        IpNet::V4(net) => IpNet::V4(net.trunc()),
        IpNet::V6(net) => mapped(net).map_or(IpNet::V6(net.trunc()), IpNet::V4),
    }
}

fn mapped(net: Ipv6Net) -> Option<Ipv4Net> {
    let length = net.prefix_len().checked_sub(96)?;
    let address = net.addr().to_ipv4_mapped()?;
    Ipv4Net::new(address, length).ok().map(|net| net.trunc())
}

/// May this source ban this net? `net` must be normal. A network of the owner's is refused when all of
/// it is never banned; one that only contains such ranges is taken, and keeps clear of them in force.
///
/// # Errors
/// The reason, for counting and for telling.
pub fn may_ban(source: Source, net: IpNet) -> Result<(), Never> {
    if matches!(source.holds(), Holds::Hosts) && net.prefix_len() != net.max_prefix_len() {
        return Err(Never::Network);
    }
    let (family, first, last) = number::bounds(net);
    let mask: &[(u128, u128)] = match family {
        number::Family::V4 => &V4_MASK,
        number::Family::V6 => &V6_MASK,
    };
    let inside = mask.iter().any(|&(low, high)| low <= first && last <= high);
    let refusal = match net.addr() {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    };
    match refusal {
        Some(Never::Private) if source.is_owner() => Ok(()),
        Some(Never::Private) => Err(Never::Private),
        Some(refusal) if inside => Err(refusal),
        _ => Ok(()),
    }
}

/// The never-ban rule for a single IPv4 address, private ranges included.
pub(super) fn refusal_v4(address: Ipv4Addr) -> Option<Never> {
    let [a, b, ..] = address.octets();
    match (a, b) {
        (0, _) => Some(Never::Unspecified),
        (127, _) => Some(Never::Loopback),
        (169, 254) => Some(Never::LinkLocal),
        (10, _) | (172, 16..=31) | (192, 168) | (100, 64..=127) => Some(Never::Private),
        (224..=239, _) => Some(Never::Multicast),
        _ => (address == Ipv4Addr::BROADCAST).then_some(Never::Broadcast),
    }
}

/// The never-ban rule for a single IPv6 address. IPv4-mapped ones have become IPv4 before they come here;
/// one that has not, from a forged snapshot, is refused.
pub(super) fn refusal_v6(address: Ipv6Addr) -> Option<Never> {
    let head = address.segments()[0];
    match head {
        0 => match address.to_bits() {
            0 => Some(Never::Unspecified),
            1 => Some(Never::Loopback),
            low if low <= 0xffff_ffff || low >> 32 == 0xffff => Some(Never::Compatible),
            _ => None,
        },
        0xfe80..=0xfebf => Some(Never::LinkLocal),
        0xfec0..=0xfeff | 0xfc00..=0xfdff => Some(Never::Private),
        0xff00.. => Some(Never::Multicast),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Family;
    use crate::model::special::rows;

    /// What the ledger says of a single address from a feed. It knows IPv4-mapped ones as IPv4 only.
    fn refused(family: Family, number: u128) -> bool {
        let is_mapped = family == Family::V6 && number >> 32 == 0xffff;
        is_mapped || may_ban(Source::DYNFW, family.address(number).into()).is_err()
    }

    #[test]
    fn lists_and_single_addresses_have_the_same_borders() {
        for family in Family::ALL {
            let inside = |number| rows(family).iter().any(|(first, last, _)| (first..=last).contains(&&number));
            let highest = family.max();
            for (first, last, kind) in rows(family) {
                for number in [first.checked_sub(1), Some(*first), Some(*last), last.checked_add(1)] {
                    let Some(number) = number.filter(|number| *number <= highest) else { continue };
                    assert_eq!(refused(family, number), inside(number), "{kind}, {number:#x}");
                }
            }
            // Borders of the ledger's that are not in the table would show as a change at a power of two.
            for bit in 0..family.bits() {
                for number in [1 << bit, (1 << bit) - 1, highest ^ (1 << bit), highest - (1 << bit)] {
                    assert_eq!(refused(family, number), inside(number), "{number:#x}");
                }
            }
        }
    }
}
