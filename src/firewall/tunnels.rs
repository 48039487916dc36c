//! The far ends of tunnels as the kernel has them: WireGuard's peers where they were heard last, and IPsec's
//! states.
//!
//! A lone packet in the name of one would otherwise have the tunnel's other end banned. The daemon's
//! `surroundings` asks. Layouts: `linux/genetlink.h`, `linux/wireguard.h`, `linux/xfrm.h`. Both need
//! `CAP_NET_ADMIN`; a kernel without them has none.

use std::net::IpAddr;

use super::netlink::{
    Attributes, Message, NLM_F_DUMP, NLM_F_REQUEST, Socket, bytes_at, close_message, open_message, put, put_str,
};

/// `GENL_ID_CTRL`, `CTRL_CMD_GETFAMILY`, `CTRL_ATTR_FAMILY_ID`, `CTRL_ATTR_FAMILY_NAME`.
const GENERIC_CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// Bytes of `genlmsghdr`.
const GENERIC: usize = 4;

/// `WG_CMD_GET_DEVICE`, `WGDEVICE_A_IFINDEX`, `WGDEVICE_A_PEERS`, `WGPEER_A_ENDPOINT`.
const WG_GET_DEVICE: u8 = 0;
const WG_INDEX: u16 = 1;
const WG_PEERS: u16 = 8;
const WG_ENDPOINT: u16 = 4;

const XFRM_NEW_STATE: u16 = 0x10;
const XFRM_GET_STATE: u16 = 0x12;
/// In `xfrm_usersa_info`: both ends, and the address family behind limits and statistics.
const XFRM_DESTINATION: usize = 56;
const XFRM_SOURCE: usize = 80;
const XFRM_FAMILY: usize = 212;

/// Most ends that are told.
const MOST: usize = 1024;

/// The endpoints of every peer of these WireGuard devices (by index), and both ends of every IPsec state:
/// our own are protected anyway.
pub fn ends(wireguard: &[u32]) -> Vec<IpAddr> {
    let mut ends = Vec::new();
    if !wireguard.is_empty() {
        // What cannot be asked has no peers.
        let _ = wireguard_ends(wireguard, &mut ends);
    }
    let _ = ipsec_ends(&mut ends);
    ends.sort_unstable();
    ends.dedup();
    ends.truncate(MOST);
    ends
}

fn wireguard_ends(devices: &[u32], ends: &mut Vec<IpAddr>) -> Option<()> {
    let mut socket = Socket::open(mnl::Bus::Generic).ok()?;
    let family = family(&mut socket)?;
    for device in devices {
        let mut request = Vec::with_capacity(32);
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        let start = open_message(&mut request, family, flags, socket.next_sequence());
        request.extend_from_slice(&[WG_GET_DEVICE, 1, 0, 0]);
        put(&mut request, WG_INDEX, &device.to_ne_bytes());
        close_message(&mut request, start);
        let _ = socket.dump(&request, &mut |message| endpoints(message, ends));
    }
    Some(())
}

/// The number under which the kernel has WireGuard.
fn family(socket: &mut Socket) -> Option<u16> {
    let mut request = Vec::with_capacity(32);
    let start = open_message(&mut request, GENERIC_CONTROL, NLM_F_REQUEST, socket.next_sequence());
    request.extend_from_slice(&[GET_FAMILY, 1, 0, 0]);
    put_str(&mut request, FAMILY_NAME, "wireguard");
    close_message(&mut request, start);
    socket.send(&request).ok()?;
    let datagram = socket.receive().ok()??;
    let message = super::netlink::Messages(datagram).next().filter(|message| message.kind == GENERIC_CONTROL)?;
    let id = Attributes(message.payload.get(GENERIC..)?).get(FAMILY_ID).and_then(|id| bytes_at(id, 0));
    id.map(u16::from_ne_bytes)
}

/// The peers' endpoints in one message of a device.
fn endpoints(message: &Message<'_>, ends: &mut Vec<IpAddr>) {
    let peers = Attributes(message.payload.get(GENERIC..).unwrap_or_default()).get(WG_PEERS).unwrap_or_default();
    for (_, peer) in Attributes(peers) {
        ends.extend(Attributes(peer).get(WG_ENDPOINT).and_then(socket_address));
    }
}

/// The address in a `sockaddr_in` or `sockaddr_in6`.
fn socket_address(bytes: &[u8]) -> Option<IpAddr> {
    match u16::from_ne_bytes(bytes_at(bytes, 0)?) {
        2 => bytes_at::<4>(bytes, 4).map(IpAddr::from),
        10 => bytes_at::<16>(bytes, 8).map(|address| IpAddr::from(address).to_canonical()),
        _ => None,
    }
}

fn ipsec_ends(ends: &mut Vec<IpAddr>) -> Option<()> {
    let mut socket = Socket::open(mnl::Bus::Xfrm).ok()?;
    let mut request = Vec::with_capacity(16);
    let start = open_message(&mut request, XFRM_GET_STATE, NLM_F_REQUEST | NLM_F_DUMP, socket.next_sequence());
    close_message(&mut request, start);
    socket.dump(&request, &mut |message| states(message, ends)).ok().map(|_| ())
}

fn states(message: &Message<'_>, ends: &mut Vec<IpAddr>) {
    if message.kind != XFRM_NEW_STATE {
        return;
    }
    let family = bytes_at(message.payload, XFRM_FAMILY).map(u16::from_ne_bytes);
    for at in [XFRM_DESTINATION, XFRM_SOURCE] {
        ends.extend(match family {
            Some(2) => bytes_at::<4>(message.payload, at).map(IpAddr::from),
            Some(10) => bytes_at::<16>(message.payload, at).map(IpAddr::from),
            _ => None,
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::netlink::{Messages, close_nested, open_nested};
    use super::*;

    /// As a kernel with WireGuard answers: one device, three peers, one of them never heard.
    #[test]
    fn endpoints_of_peers_are_read() {
        let mut bytes = Vec::new();
        let start = open_message(&mut bytes, 0x20, 0, 1);
        bytes.extend_from_slice(&[WG_GET_DEVICE, 1, 0, 0]);
        put(&mut bytes, WG_INDEX, &7u32.to_ne_bytes());
        let peers = open_nested(&mut bytes, WG_PEERS);
        let v4 = [&2u16.to_ne_bytes()[..], &51820u16.to_be_bytes(), &[203, 0, 113, 5], &[0; 8]].concat();
        let address6: std::net::Ipv6Addr = "2001:db8::5".parse().unwrap();
        let v6 = [&10u16.to_ne_bytes()[..], &51820u16.to_be_bytes(), &[0; 4], &address6.octets(), &[0; 4]].concat();
        for endpoint in [Some(v4), None, Some(v6)] {
            let peer = open_nested(&mut bytes, 0);
            put(&mut bytes, 1, &[9; 32]);
            if let Some(endpoint) = endpoint {
                put(&mut bytes, WG_ENDPOINT, &endpoint);
            }
            close_nested(&mut bytes, peer);
        }
        close_nested(&mut bytes, peers);
        close_message(&mut bytes, start);
        let mut ends = Vec::new();
        endpoints(&Messages(&bytes).next().unwrap(), &mut ends);
        assert_eq!(ends, ["203.0.113.5".parse::<IpAddr>().unwrap(), address6.into()]);
    }

    #[test]
    fn both_ends_of_a_state_are_read_and_half_a_state_is_none() {
        let mut payload = vec![0; 224];
        payload[XFRM_DESTINATION..][..4].copy_from_slice(&[203, 0, 113, 9]);
        payload[XFRM_SOURCE..][..4].copy_from_slice(&[192, 0, 2, 1]);
        payload[XFRM_FAMILY..][..2].copy_from_slice(&2u16.to_ne_bytes());
        for length in [224, 100] {
            let mut bytes = Vec::new();
            let start = open_message(&mut bytes, XFRM_NEW_STATE, 0, 1);
            bytes.extend_from_slice(&payload[..length]);
            close_message(&mut bytes, start);
            let mut ends = Vec::new();
            states(&Messages(&bytes).next().unwrap(), &mut ends);
            let wanted: &[[u8; 4]] = if length == 224 { &[[203, 0, 113, 9], [192, 0, 2, 1]] } else { &[] };
            assert_eq!(ends, wanted.iter().map(|address| IpAddr::from(*address)).collect::<Vec<_>>());
        }
    }
}
