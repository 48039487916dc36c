//! The first bytes of an IPv4 or IPv6 packet, as NFLOG hands them out: who sent it, and to which port.
//!
//! A function of bytes that a stranger chose and the kernel may have cut short; it never panics. Called
//! by the daemon's `packets`, the fuzz target `nflog_packet` and its corpus test.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// IPv6 extension headers that are stepped over: hop-by-hop options, routing, destination options.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;

/// Somebody knocked at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Who, as far as the packet tells: it may be forged.
    pub source: IpAddr,
    /// IP protocol number: [`TCP`] or [`UDP`].
    pub protocol: u8,
    /// Destination port.
    pub port: u16,
    /// Source port.
    pub from_port: u16,
    /// The kernel met another packet of it a moment ago.
    pub again: bool,
}

/// Why a packet tells of no touched port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It ends before its ports.
    Truncated,
    /// Its version is neither 4 nor 6.
    Version(u8),
    /// A header that cannot be: so it says what.
    Malformed(&'static str),
    /// A later fragment, which has no ports.
    Fragment,
    /// A protocol without ports, or one that is not looked at.
    Protocol(u8),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Truncated => f.write_str("the packet ends before its ports"),
            Unread::Version(version) => write!(f, "IP version {version}; accepted: 4, 6"),
            Unread::Malformed(what) => f.write_str(what),
            Unread::Fragment => f.write_str("a later fragment, which has no ports"),
            Unread::Protocol(protocol) => write!(f, "IP protocol {protocol}; accepted: {TCP} (TCP), {UDP} (UDP)"),
        }
    }
}

impl std::error::Error for Unread {}

/// Reads a packet that begins with its IP header.
///
/// # Errors
/// Whatever keeps it from having a source and a destination port.
pub fn parse(packet: &[u8]) -> Result<Touch, Unread> {
    let version = packet.first().ok_or(Unread::Truncated)? >> 4;
    match version {
        4 => ipv4(packet),
        6 => ipv6(packet),
        other => Err(Unread::Version(other)),
    }
}

/// The sender alone, whatever follows; `None` where [`parse`] would not believe it.
pub fn source(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(Ipv4Addr::from(bytes::<4>(packet, 12).ok()?).into()),
        6 => {
            let source = Ipv6Addr::from(bytes::<16>(packet, 8).ok()?);
            source.to_ipv4_mapped().is_none().then_some(source.into())
        }
        _ => None,
    }
}

/// Both ends, sender first; `None` where [`source`] would not believe the one or the other.
pub fn ends(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let from = source(packet)?;
    let to: IpAddr = match from {
        IpAddr::V4(_) => Ipv4Addr::from(bytes::<4>(packet, 16).ok()?).into(),
        IpAddr::V6(_) => Ipv6Addr::from(bytes::<16>(packet, 24).ok()?).into(),
    };
    Some((from, to))
}

fn ipv4(packet: &[u8]) -> Result<Touch, Unread> {
    let header: [u8; IPV4_HEADER] = bytes(packet, 0)?;
    let length = usize::from(header[0] & 0x0f) * 4;
    if length < IPV4_HEADER {
        return Err(Unread::Malformed("an IPv4 header shorter than 20 bytes"));
    }
    if u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0 {
        return Err(Unread::Fragment);
    }
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    touch(packet, source.into(), header[9], length)
}

fn ipv6(packet: &[u8]) -> Result<Touch, Unread> {
    let header: [u8; IPV6_HEADER] = bytes(packet, 0)?;
    let source = Ipv6Addr::from(bytes::<16>(packet, 8)?);
    if source.to_ipv4_mapped().is_some() {
        return Err(Unread::Malformed("an IPv4-mapped source in an IPv6 packet, which no router forwards"));
    }
    let (mut next, mut at) = (header[6], IPV6_HEADER);
    // Every round goes at least 8 bytes on, so the packet's end ends it.
    loop {
        let step = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => (usize::from(bytes::<2>(packet, at)?[1]) + 1) * 8,
            AUTHENTICATION => (usize::from(bytes::<2>(packet, at)?[1]) + 2) * 4,
            FRAGMENT => {
                let [_, _, high, low] = bytes(packet, at)?;
                if u16::from_be_bytes([high, low]) & 0xfff8 != 0 {
                    return Err(Unread::Fragment);
                }
                8
            }
            protocol => return touch(packet, source.into(), protocol, at),
        };
        next = bytes::<1>(packet, at)?[0];
        at += step;
    }
}

/// TCP and UDP both begin with source and destination port.
fn touch(packet: &[u8], source: IpAddr, protocol: u8, at: usize) -> Result<Touch, Unread> {
    if protocol != TCP && protocol != UDP {
        return Err(Unread::Protocol(protocol));
    }
    let [from_high, from_low, high, low] = bytes(packet, at)?;
    let (from_port, port) = (u16::from_be_bytes([from_high, from_low]), u16::from_be_bytes([high, low]));
    Ok(Touch { source, protocol, port, from_port, again: false })
}

fn bytes<const N: usize>(packet: &[u8], at: usize) -> Result<[u8; N], Unread> {
    let found = at.checked_add(N).and_then(|end| packet.get(at..end));
    found.and_then(|found| found.try_into().ok()).ok_or(Unread::Truncated)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// `45..` of a packet from 198.51.100.7, with this flags-and-offset field, protocol and the rest.
    fn v4(first: u8, offset: [u8; 2], protocol: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![first, 0, 0, 40, 0, 1, offset[0], offset[1], 64, protocol, 0, 0];
        packet.extend([198, 51, 100, 7, 192, 0, 2, 1]);
        packet.extend(rest);
        packet
    }

    fn v6(source: &str, next: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 20, next, 64];
        packet.extend(source.parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(rest);
        packet
    }

    /// From port 40000 to port 23.
    const PORTS: [u8; 4] = [0x9c, 0x40, 0, 23];

    fn with_ports(before: &[u8]) -> Vec<u8> {
        [before, &PORTS].concat()
    }

    #[test]
    fn what_has_ports_is_a_touch() {
        let touch = |source: &str, protocol| {
            let source = source.parse().unwrap();
            Touch { source, protocol, port: 23, from_port: 40_000, again: false }
        };
        let four = |protocol| Ok(touch("198.51.100.7", protocol));
        let six = |protocol| Ok(touch("2001:db8:5::9", protocol));
        let src = "2001:db8:5::9";
        let options = [&[17, 1][..], &[0; 14], &[43, 0, 0, 0, 0, 0, 0, 0], &[6, 0, 0, 0, 0, 0, 0, 0]].concat();
        let routing_then_tcp = [&[43, 1][..], &[0; 14], &[6, 0, 0, 0, 0, 0, 0, 0]].concat();
        let cases = [
            ("TCP", v4(0x45, [0, 0], 6, &PORTS), four(6)),
            ("UDP, do not fragment", v4(0x45, [0x40, 0], 17, &PORTS), four(17)),
            ("IPv4 options", v4(0x46, [0, 0], 6, &with_ports(&[1, 1, 1, 0])), four(6)),
            ("most IPv4 options", v4(0x4f, [0, 0], 6, &with_ports(&[0; 40])), four(6)),
            ("first fragment", v4(0x45, [0x20, 0], 17, &PORTS), four(17)),
            ("TCP over IPv6", v6(src, 6, &PORTS), six(6)),
            ("hop-by-hop and routing", v6(src, 0, &with_ports(&routing_then_tcp)), six(6)),
            ("destination options, UDP", v6(src, 60, &with_ports(&options[..16])), six(17)),
            ("first IPv6 fragment", v6(src, 44, &with_ports(&[6, 0, 0, 1, 0, 0, 0, 9])), six(6)),
            ("authentication header", v6(src, 51, &with_ports(&[6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1])), six(6)),
        ];
        for (name, packet, expected) in cases {
            assert_eq!(parse(&packet), expected, "{name}");
        }
    }

    #[test]
    fn what_has_none_says_why() {
        let src = "2001:db8:5::9";
        let cases = [
            ("empty", vec![], Unread::Truncated),
            ("ARP-like", vec![0x00, 1, 8, 0], Unread::Version(0)),
            ("half a header", vec![0x45; 10], Unread::Truncated),
            ("header length 4", v4(0x44, [0, 0], 6, &PORTS), Unread::Malformed("an IPv4 header shorter than 20 bytes")),
            ("options beyond the end", v4(0x4f, [0, 0], 6, &PORTS), Unread::Truncated),
            ("three bytes of ports", v4(0x45, [0, 0], 6, &PORTS[..3]), Unread::Truncated),
            ("later fragment", v4(0x45, [0, 1], 17, &PORTS), Unread::Fragment),
            ("last fragment", v4(0x45, [0x1f, 0xff], 6, &PORTS), Unread::Fragment),
            ("ICMP", v4(0x45, [0, 0], 1, &PORTS), Unread::Protocol(1)),
            ("later IPv6 fragment", v6(src, 44, &with_ports(&[6, 0, 0, 8, 0, 0, 0, 9])), Unread::Fragment),
            ("ICMPv6", v6(src, 58, &PORTS), Unread::Protocol(58)),
            ("no next header", v6(src, 59, &PORTS), Unread::Protocol(59)),
            ("extension header cut off", v6(src, 0, &[6]), Unread::Truncated),
            ("extension header longer than the packet", v6(src, 0, &[6, 255, 0, 0, 0, 0, 0, 0]), Unread::Truncated),
            ("a chain of options to the end", v6(src, 0, &[0; 88]), Unread::Truncated),
        ];
        for (name, packet, expected) in cases {
            assert_eq!(parse(&packet), Err(expected), "{name}");
        }
        assert!(matches!(parse(&v6("::ffff:198.51.100.7", 6, &PORTS)), Err(Unread::Malformed(_))));
    }

    #[test]
    fn every_beginning_of_a_packet_is_survived() {
        let chain = [&[43, 1][..], &[0; 14], &[44, 0, 0, 0, 0, 0, 0, 0], &[6, 0, 0, 1, 0, 0, 0, 9], &PORTS].concat();
        for packet in [v6("2001:db8:5::9", 0, &chain), v4(0x46, [0, 0], 6, &with_ports(&[1, 1, 1, 0]))] {
            for length in 0..packet.len() {
                assert_eq!(parse(&packet[..length]), Err(Unread::Truncated), "{length} bytes");
            }
            assert!(parse(&packet).is_ok());
        }
    }
}
