//! Packets that the rules hand out through an NFLOG group: prefix, device, and the first bytes.
//!
//! Binds one group over netlink and reads what comes; it judges nothing. The kernel sends each packet as
//! it comes instead of collecting some, so that a ban is quick. What the socket's buffer has no room for
//! is lost and told as [`Heard::Lost`]. The daemon's `packets` is its only user.
//!
//! Layouts and numbers: `linux/netfilter/nfnetlink_log.h`.

use std::io;
use std::ops::Range;
use std::rc::Rc;

use rustix::io::Errno;

use super::netlink::{
    Attributes, Buffer, Control, Messages, NFGENMSG, NLM_F_ACK, NLM_F_REQUEST, be32, close_message, control,
    open_netfilter, put, text,
};
use super::rules::SNAP_LENGTH;
use crate::sys::{Endpoint, Wakeful};

const SUBSYSTEM: u16 = 4;
const PACKET: u16 = SUBSYSTEM << 8;
const CONFIG: u16 = SUBSYSTEM << 8 | 1;

const CONFIG_COMMAND: u16 = 1;
const CONFIG_MODE: u16 = 2;
const CONFIG_BUFFER: u16 = 3;
const CONFIG_TIMEOUT: u16 = 4;
const CONFIG_THRESHOLD: u16 = 5;
const COMMAND_BIND: u8 = 1;
const COPY_PACKET: u8 = 2;

const PACKET_INPUT_DEVICE: u16 = 4;
const PACKET_PAYLOAD: u16 = 9;
const PACKET_PREFIX: u16 = 10;

/// Bytes that the kernel sets aside for a message, more if its packet needs them. The less, the more of
/// them the socket's buffer takes.
const KERNEL_BUFFER: u32 = 256;

/// Bytes that may wait in the socket (the kernel doubles it): the 500 packets that the rules let through at
/// once, each about 1.3 KB of the kernel's memory.
const ROOM: usize = 512 * 1024;

/// Hundredths of a second after which a packet is sent even if the threshold is not reached.
const KERNEL_TIMEOUT: u32 = 1;

/// A packet, as far as the kernel copied it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What the rule wrote before it.
    pub prefix: &'a [u8],
    /// Index of the device it came in through; 0: none.
    pub device: u32,
    /// From the IP header on.
    pub bytes: &'a [u8],
}

/// What came.
#[derive(Debug)]
pub enum Heard<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// Packets were lost, because they came faster than they were read.
    Lost,
    /// The socket failed: nothing more will come.
    Failed(io::Error),
}

/// One bound group. Needs a tokio runtime with I/O.
pub struct Nflog {
    socket: Wakeful,
    buffer: Buffer,
    /// What is unread of the datagram in the buffer.
    rest: Range<usize>,
}

impl Nflog {
    /// Binds the group.
    ///
    /// # Errors
    /// A sentence: without `CAP_NET_ADMIN`, when another program has the group, or when the kernel has no
    /// NFLOG.
    pub fn bind(group: u16) -> Result<Nflog, String> {
        let sentence = |error: io::Error| match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::BUSY) => {
                format!("NFLOG group {group} cannot be bound: another program has it, or CAP_NET_ADMIN is missing")
            }
            Some(Errno::INVAL | Errno::NOTSUP | Errno::PROTONOSUPPORT) => {
                "the kernel has no NFLOG (package kmod-nfnetlink-log); scans are not seen".into()
            }
            _ => format!("NFLOG group {group} cannot be bound: {error}"),
        };
        Nflog::try_bind(group).map_err(sentence)
    }

    fn try_bind(group: u16) -> io::Result<Nflog> {
        let endpoint = Rc::new(Endpoint::open(mnl::Bus::Netfilter, 0)?);
        endpoint.set_receive_room(ROOM);
        let mut buffer = Buffer::new();
        // The group exists from the first request on; the second must not come in its batch.
        configure(&endpoint, &mut buffer, group, &|request| put(request, CONFIG_COMMAND, &[COMMAND_BIND]))?;
        configure(&endpoint, &mut buffer, group, &|request| {
            let [a, b, c, d] = SNAP_LENGTH.to_be_bytes();
            put(request, CONFIG_MODE, &[a, b, c, d, COPY_PACKET, 0]);
            put(request, CONFIG_BUFFER, &KERNEL_BUFFER.to_be_bytes());
            put(request, CONFIG_TIMEOUT, &KERNEL_TIMEOUT.to_be_bytes());
            put(request, CONFIG_THRESHOLD, &1u32.to_be_bytes());
        })?;
        Ok(Nflog { socket: Wakeful::new(endpoint)?, buffer, rest: 0..0 })
    }

    /// Waits until something has come since the last time; [`Nflog::take`] then until it gives nothing.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// The next of what has come; `None` when nothing waits.
    pub fn take(&mut self) -> Option<Heard<'_>> {
        let found = loop {
            if let Some(found) = self.next_in_datagram() {
                break found;
            }
            match self.socket.endpoint().receive(&mut self.buffer) {
                Ok(Some(datagram)) => self.rest = 0..datagram.len(),
                Ok(None) => return None,
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => return Some(Heard::Lost),
                Err(error) => return Some(Heard::Failed(error)),
            }
        };
        let message = self.buffer.get(found);
        Some(Heard::Packet(packet(Messages(message).next()?.attributes())))
    }

    /// Where the next packet's message is in the buffer.
    fn next_in_datagram(&mut self) -> Option<Range<usize>> {
        loop {
            let mut messages = Messages(self.buffer.get(self.rest.clone()));
            let message = messages.next()?;
            let start = self.rest.start;
            self.rest.start = self.rest.end - messages.0.len();
            if message.kind == PACKET && message.payload.len() >= NFGENMSG {
                return Some(start..self.rest.start);
            }
        }
    }
}

/// Sends one request about the group, and reads the kernel's answer to it.
fn configure(
    endpoint: &Endpoint,
    buffer: &mut Buffer,
    group: u16,
    attributes: &dyn Fn(&mut Vec<u8>),
) -> io::Result<()> {
    let mut request = Vec::with_capacity(64);
    let start = open_netfilter(&mut request, CONFIG, NLM_F_REQUEST | NLM_F_ACK, 1, 0, group);
    attributes(&mut request);
    close_message(&mut request, start);
    endpoint.send(&request)?;
    while let Some(datagram) = endpoint.receive(buffer)? {
        for message in Messages(datagram) {
            match control(&message) {
                Some(Control::Done) => return Ok(()),
                Some(Control::Refused(refusal)) => return Err(refusal.errno.into()),
                None => {}
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the kernel did not answer"))
}

fn packet(attributes: Attributes<'_>) -> Packet<'_> {
    Packet {
        prefix: attributes.get(PACKET_PREFIX).map(text).unwrap_or_default(),
        device: attributes.get(PACKET_INPUT_DEVICE).and_then(be32).unwrap_or(0),
        bytes: attributes.get(PACKET_PAYLOAD).unwrap_or_default(),
    }
}
