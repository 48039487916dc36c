//! What the router itself is and talks through: its addresses, subnets and gateways, from rtnetlink.
//!
//! The daemon asks at start and whenever [`RouteWatch`] says that something changed, so that no feed
//! can ban the router's own uplink. Layouts: `linux/if_addr.h`, `linux/rtnetlink.h`.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;

use super::netlink::{self, Attributes, Buffer, Endpoint, Message, Socket};
use super::sys::Wakeful;

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_GATEWAY: u16 = 5;
const RTA_MULTIPATH: u16 = 9;
const RTA_VIA: u16 = 18;

/// Bytes of `ifaddrmsg`, `rtmsg` and `rtnexthop`.
const IFADDRMSG: usize = 8;
const RTMSG: usize = 12;
const RTNEXTHOP: usize = 8;

/// `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_IFADDR`, `RTMGRP_IPV6_ROUTE`.
const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;

/// How the router knows a network or address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// An address of its own.
    Own,
    /// A network it is attached to.
    Subnet,
    /// A gateway of a route.
    Gateway,
}

/// Every own address, attached network and gateway of both families, sorted, each once.
///
/// # Errors
/// rtnetlink cannot be opened or breaks off.
pub fn read() -> io::Result<Vec<(IpNet, Role)>> {
    let mut socket = Socket::open(mnl::Bus::Route)?;
    let mut found = Vec::new();
    dump(&mut socket, RTM_GETADDR, IFADDRMSG, &mut |message| address(message, &mut found))?;
    dump(&mut socket, RTM_GETROUTE, RTMSG, &mut |message| gateways(message, &mut found))?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn dump(socket: &mut Socket, kind: u16, body: usize, each: &mut dyn FnMut(&Message<'_>)) -> io::Result<()> {
    let mut request = Vec::with_capacity(netlink::HEADER + body);
    let flags = netlink::NLM_F_REQUEST | netlink::NLM_F_DUMP;
    let start = netlink::open_message(&mut request, kind, flags, socket.next_sequence());
    // All zero: every family, every interface, every table.
    request.resize(start + netlink::HEADER + body, 0);
    netlink::close_message(&mut request, start);
    // An interrupted dump may lack what has just changed; that change is announced, and read then.
    socket.dump(&request, each).map(|_| ())
}

fn address(message: &Message<'_>, found: &mut Vec<(IpNet, Role)>) {
    let (RTM_NEWADDR, Some(&prefix)) = (message.kind, message.payload.get(1)) else { return };
    let attributes = Attributes(message.payload.get(IFADDRMSG..).unwrap_or_default());
    // On a point-to-point link ADDRESS is the peer's and LOCAL is ours; elsewhere they are the same.
    let peer = attributes.get(IFA_ADDRESS).and_then(ip);
    let Some(own) = attributes.get(IFA_LOCAL).and_then(ip).or(peer) else { return };
    found.push((IpNet::from(own), Role::Own));
    if let Ok(subnet) = IpNet::new(peer.unwrap_or(own), prefix)
        && prefix > 0
    {
        found.push((subnet.trunc(), Role::Subnet));
    }
}

fn gateways(message: &Message<'_>, found: &mut Vec<(IpNet, Role)>) {
    if message.kind != RTM_NEWROUTE {
        return;
    }
    let attributes = Attributes(message.payload.get(RTMSG..).unwrap_or_default());
    gateways_in(attributes, found);
    let mut hops = attributes.get(RTA_MULTIPATH).unwrap_or_default();
    while let Some(length) = netlink::bytes_at(hops, 0).map(u16::from_ne_bytes).map(usize::from) {
        let Some(hop) = hops.get(RTNEXTHOP..length) else { return };
        gateways_in(Attributes(hop), found);
        hops = hops.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn gateways_in(attributes: Attributes<'_>, found: &mut Vec<(IpNet, Role)>) {
    // VIA is a family (two bytes) and an address: an IPv4 route through an IPv6 neighbour.
    let via = attributes.get(RTA_VIA).and_then(|value| value.get(2..));
    for value in [attributes.get(RTA_GATEWAY), via].into_iter().flatten() {
        found.extend(ip(value).map(|gateway| (IpNet::from(gateway), Role::Gateway)));
    }
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(value).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

/// Hears of every change to addresses and routes.
pub struct RouteWatch {
    socket: Wakeful,
    buffer: Buffer,
}

impl RouteWatch {
    /// Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// rtnetlink cannot be opened.
    pub fn open() -> io::Result<RouteWatch> {
        let endpoint = Rc::new(Endpoint::open(mnl::Bus::Route, GROUPS)?);
        Ok(RouteWatch { socket: Wakeful::new(endpoint)?, buffer: Buffer::new() })
    }

    /// Waits until something changed. What changed is not told: the caller reads everything anew.
    pub async fn changed(&mut self) {
        loop {
            if self.drain() {
                return;
            }
            if self.socket.readable().await.is_err() {
                // The runtime is going down.
                return std::future::pending().await;
            }
        }
    }

    /// Throws away what waits; whether anything did.
    fn drain(&mut self) -> bool {
        let mut heard = false;
        loop {
            match self.socket.endpoint().receive(&mut self.buffer) {
                Ok(None) => return heard,
                // An overrun (ENOBUFS) is told once, and means that more changed than fitted.
                Ok(Some(_)) | Err(_) => heard = true,
            }
        }
    }
}
