//! Ends the router's own TCP connections with banned hosts, for which deleting the conntrack entry alone
//! would leave a socket waiting for hours. Only `conntrack` calls it.
//!
//! Layout: `linux/inet_diag.h`, `linux/sock_diag.h`. Needs `INET_DIAG_DESTROY` in the kernel.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use super::names::{Family, address_family};
use super::netlink::{
    Control, Message, Messages, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, Socket, bytes_at, close_message, control,
    open_message,
};

pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
pub(super) const IPPROTO_TCP: u8 = 6;
/// Every state but listening (10), closed (7) and time-wait (6), as a mask of the kernel's numbers.
const STATES: u32 = 0xfff & !(1 << 10 | 1 << 7 | 1 << 6);
/// Bytes of `inet_diag_sockid`; in `inet_diag_msg` it starts behind four bytes.
const ID_BYTES: usize = 48;
pub(super) const ID_OFFSET: usize = 4;
/// The peer's address inside the id: behind two ports and our own address.
pub(super) const PEER_OFFSET: usize = 2 + 2 + 16;
/// Where port and address of each end stand inside the id.
const OWN: (usize, usize) = (0, 4);
const PEER: (usize, usize) = (2, PEER_OFFSET);

/// A socket to the kernel's list of sockets.
pub(super) struct Sockets(Socket);

impl Sockets {
    /// `None` if the kernel has no such list.
    pub fn open() -> Option<Sockets> {
        Socket::open(mnl::Bus::SockDiag).ok().map(Sockets)
    }

    /// The TCP connections whose peer `banned` says yes to.
    pub fn with(&mut self, banned: &dyn Fn(IpAddr) -> bool) -> io::Result<Vec<OwnSocket>> {
        let mut found = Vec::new();
        for family in Family::ALL {
            let mut request = Vec::new();
            let sequence = self.0.next_sequence();
            write_request(&mut request, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sequence, family, &[0; ID_BYTES]);
            self.0.dump(&request, &mut |message| {
                let socket = read_id(message).map(|id| OwnSocket { family, id });
                found.extend(socket.filter(|socket| socket.end(PEER).is_some_and(|peer| banned(peer.ip()))));
            })?;
        }
        Ok(found)
    }

    /// Resets connections; returns how many were still there.
    pub fn end(&mut self, which: &[OwnSocket]) -> io::Result<usize> {
        let mut ended = 0;
        for OwnSocket { family, id } in which {
            ended += usize::from(self.destroy(*family, id)?);
        }
        Ok(ended)
    }

    /// Whether the socket was still there.
    fn destroy(&mut self, family: Family, id: &[u8; ID_BYTES]) -> io::Result<bool> {
        let mut request = Vec::new();
        let sequence = self.0.next_sequence();
        write_request(&mut request, SOCK_DESTROY, NLM_F_ACK, sequence, family, id);
        self.0.send(&request)?;
        let mut ended = false;
        while let Some(datagram) = self.0.receive()? {
            for message in Messages(datagram) {
                match control(&message) {
                    Some(Control::Done) => ended = true,
                    Some(Control::Refused(refusal)) if refusal.errno != Errno::NOENT => {
                        return Err(refusal.errno.into());
                    }
                    _ => {}
                }
            }
        }
        Ok(ended)
    }
}

/// Writes an `inet_diag_req_v2`.
fn write_request(buffer: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, family: Family, id: &[u8; ID_BYTES]) {
    let start = open_message(buffer, kind, NLM_F_REQUEST | flags, sequence);
    buffer.extend_from_slice(&[address_family(family), IPPROTO_TCP, 0, 0]);
    buffer.extend_from_slice(&STATES.to_ne_bytes());
    buffer.extend_from_slice(id);
    close_message(buffer, start);
}

fn read_id(message: &Message<'_>) -> Option<[u8; ID_BYTES]> {
    if message.kind != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    bytes_at(message.payload, ID_OFFSET)
}

/// A connection of the router's own.
#[derive(Clone, Copy)]
pub(super) struct OwnSocket {
    family: Family,
    id: [u8; ID_BYTES],
}

impl OwnSocket {
    /// Whether it joins these two, its own end first.
    pub fn is_between(&self, own: SocketAddr, peer: SocketAddr) -> bool {
        self.end(OWN) == Some(own) && self.end(PEER) == Some(peer)
    }

    /// One of its ends; that of an IPv6 socket which speaks IPv4 is an IPv4 address.
    fn end(&self, (port, address): (usize, usize)) -> Option<SocketAddr> {
        let port = bytes_at(&self.id, port).map(u16::from_be_bytes)?;
        let address = match self.family {
            Family::V4 => bytes_at::<4>(&self.id, address).map(IpAddr::from),
            Family::V6 => bytes_at::<16>(&self.id, address).map(|bytes| IpAddr::from(bytes).to_canonical()),
        };
        Some(SocketAddr::new(address?, port))
    }
}
