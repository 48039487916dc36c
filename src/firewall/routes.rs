//! What the router itself is and talks through: its addresses, subnets and gateways, from rtnetlink.
//!
//! The daemon asks at start and whenever [`RouteWatch`] says that something changed, so that no feed
//! can ban the router's own uplink. Layouts: `linux/if_addr.h`, `linux/rtnetlink.h`.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;

use super::netlink::{self, Attributes, Buffer, Message, Socket};
use crate::sys::{Endpoint, Wakeful};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const INFO_KIND: u16 = 1;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_MULTIPATH: u16 = 9;
const RTA_VIA: u16 = 18;

/// Bytes of `ifinfomsg`, `ifaddrmsg`, `rtmsg` and `rtnexthop`.
const IFINFOMSG: usize = 16;
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
    /// A network it is attached to, and not by an uplink.
    Subnet,
    /// A gateway of a route.
    Gateway,
}

impl Role {
    /// What it is, for people.
    pub fn why(self) -> &'static str {
        match self {
            Role::Own => "an address of the router",
            Role::Subnet => "a network the router is attached to",
            Role::Gateway => "a gateway of the router",
        }
    }
}

/// What rtnetlink tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Every own address, attached network and gateway of both families, sorted, each once. The networks of
    /// uplinks are not among them: the neighbours there are strangers.
    pub nets: Vec<(IpNet, Role)>,
    /// Indices of the WireGuard devices.
    pub wireguard: Vec<u32>,
}

/// Reads everything anew. `guarded` are the devices that the owner named as uplinks; those with a default
/// route are uplinks as well, and those through whose gateways other public networks are reached.
///
/// # Errors
/// rtnetlink cannot be opened or breaks off.
pub fn read(guarded: &[String]) -> io::Result<Found> {
    let mut socket = Socket::open(mnl::Bus::Route)?;
    let (mut found, mut uplinks) = (Found::default(), Vec::new());
    let nets = &mut found.nets;
    dump(&mut socket, RTM_GETLINK, IFINFOMSG, &mut |message| {
        if let Some((index, name, kind)) = link(message) {
            uplinks.extend(guarded.iter().any(|guarded| guarded.as_bytes() == name).then_some(index));
            found.wireguard.extend((kind == b"wireguard").then_some(index));
        }
    })?;
    dump(&mut socket, RTM_GETROUTE, RTMSG, &mut |message| {
        gateways(message, nets);
        uplinks_of(message, &mut uplinks);
    })?;
    dump(&mut socket, RTM_GETADDR, IFADDRMSG, &mut |message| address(message, &uplinks, nets))?;
    nets.sort_unstable();
    nets.dedup();
    Ok(found)
}

/// The router's own addresses.
///
/// # Errors
/// As [`read`]'s.
pub fn own() -> io::Result<Vec<IpNet>> {
    let mut nets = Vec::new();
    let mut socket = Socket::open(mnl::Bus::Route)?;
    dump(&mut socket, RTM_GETADDR, IFADDRMSG, &mut |message| address(message, &[], &mut nets))?;
    Ok(nets.into_iter().filter(|(_, role)| *role == Role::Own).map(|(net, _)| net).collect())
}

/// Index, name and kind of a device.
fn link<'a>(message: &Message<'a>) -> Option<(u32, &'a [u8], &'a [u8])> {
    if message.kind != RTM_NEWLINK {
        return None;
    }
    let index = netlink::native_u32(message.payload, 4)?;
    let attributes = Attributes(message.payload.get(IFINFOMSG..)?);
    let kind = attributes.get(IFLA_LINKINFO).and_then(|info| Attributes(info).get(INFO_KIND));
    Some((index, netlink::text(attributes.get(IFLA_IFNAME)?), kind.map(netlink::text).unwrap_or_default()))
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

fn address(message: &Message<'_>, uplinks: &[u32], found: &mut Vec<(IpNet, Role)>) {
    let (RTM_NEWADDR, Some(&prefix)) = (message.kind, message.payload.get(1)) else { return };
    let attributes = Attributes(message.payload.get(IFADDRMSG..).unwrap_or_default());
    // On a point-to-point link ADDRESS is the peer's and LOCAL is ours; elsewhere they are the same.
    let peer = attributes.get(IFA_ADDRESS).and_then(ip);
    let Some(own) = attributes.get(IFA_LOCAL).and_then(ip).or(peer) else { return };
    found.push((IpNet::from(own), Role::Own));
    // What a default route without a gateway leads to.
    found.extend(peer.filter(|peer| *peer != own).map(|peer| (IpNet::from(peer), Role::Gateway)));
    let on_uplink = netlink::native_u32(message.payload, 4).is_some_and(|index| uplinks.contains(&index));
    if let Ok(subnet) = IpNet::new(peer.unwrap_or(own), prefix)
        && prefix > 0
        && !on_uplink
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
    each_hop(attributes, &mut |hop| gateways_in(Attributes(hop.get(RTNEXTHOP..).unwrap_or_default()), found));
}

/// Every next hop of a route that has several, its head included.
fn each_hop(attributes: Attributes<'_>, each: &mut dyn FnMut(&[u8])) {
    let mut hops = attributes.get(RTA_MULTIPATH).unwrap_or_default();
    while let Some(length) = netlink::bytes_at(hops, 0).map(u16::from_ne_bytes).map(usize::from) {
        let Some(hop) = hops.get(..length).filter(|hop| hop.len() >= RTNEXTHOP) else { return };
        each(hop);
        hops = hops.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// The devices of a route that leads to the world: to everything, or to a public network behind a gateway.
fn uplinks_of(message: &Message<'_>, uplinks: &mut Vec<u32>) {
    let (RTM_NEWROUTE, Some(&length)) = (message.kind, message.payload.get(1)) else { return };
    let attributes = Attributes(message.payload.get(RTMSG..).unwrap_or_default());
    let private = attributes.get(RTA_DST).and_then(ip).is_some_and(|address| match address {
        IpAddr::V4(address) => address.is_private() || address.is_link_local() || address.is_multicast(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local() || address.is_multicast(),
    });
    let has_gateway = attributes.get(RTA_GATEWAY).or(attributes.get(RTA_VIA)).is_some();
    // Two halves of everything are what VPNs put before a default route.
    if private || length > 1 && !has_gateway {
        return;
    }
    uplinks.extend(attributes.get(RTA_OIF).and_then(|index| netlink::native_u32(index, 0)));
    each_hop(attributes, &mut |hop| uplinks.extend(netlink::native_u32(hop, 4)));
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
