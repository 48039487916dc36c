//! Netlink messages as bytes, and the socket they travel on. Everything here is safe code: messages are
//! written into and read out of plain byte slices.
//!
//! Layouts and numbers: `linux/netlink.h`, `linux/netfilter/nfnetlink.h`. Message and attribute headers
//! are in the machine's byte order, the integers of netfilter's own attributes in network byte order.

use std::io;

use rustix::io::Errno;
use rustix::net::sockopt;

use crate::sys::{self, Endpoint};

pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_DUMP_INTR: u16 = 0x10;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
pub(crate) const NLM_F_CREATE: u16 = 0x400;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Extended acknowledgement attributes follow, and the failed message is not echoed behind the header.
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_OFFS: u16 = 2;

const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Bytes of `nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// Bytes of `nfgenmsg`, which every netfilter message has behind the header.
pub(crate) const NFGENMSG: usize = 4;

/// Receive buffer. The kernel fills at most 32 KiB of a dump into one message, and does so once it has
/// seen a buffer of that size.
const RECEIVE_BYTES: usize = 32 * 1024;

/// libmnl wants the alignment of `nlmsghdr`.
#[repr(C, align(8))]
struct Aligned([u8; RECEIVE_BYTES]);

/// What one socket receives into.
pub(crate) struct Buffer(Box<Aligned>);

impl Buffer {
    pub fn new() -> Buffer {
        Buffer(Box::new(Aligned([0; RECEIVE_BYTES])))
    }

    /// A part of what was received last; empty if there is no such part.
    pub fn get(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.0.0.get(range).unwrap_or_default()
    }
}

const fn align4(length: usize) -> usize {
    (length + 3) & !3
}

/// Appends one attribute. Attributes are a few bytes long here; what does not fit 16 bits of length
/// cannot come from any caller, and is cut by `debug_assert` in the tests.
pub(crate) fn put(buffer: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let length = 4 + payload.len();
    debug_assert!(length <= usize::from(u16::MAX));
    buffer.extend_from_slice(&(length as u16).to_ne_bytes());
    buffer.extend_from_slice(&kind.to_ne_bytes());
    buffer.extend_from_slice(payload);
    buffer.resize(buffer.len() + align4(length) - length, 0);
}

/// Appends a string attribute with its closing zero.
pub(crate) fn put_str(buffer: &mut Vec<u8>, kind: u16, text: &str) {
    let mut zero_ended = Vec::with_capacity(text.len() + 1);
    zero_ended.extend_from_slice(text.as_bytes());
    zero_ended.push(0);
    put(buffer, kind, &zero_ended);
}

/// Appends a nested attribute whose content is there already.
pub(crate) fn put_nested(buffer: &mut Vec<u8>, kind: u16, content: &[u8]) {
    put(buffer, kind | NLA_F_NESTED, content);
}

/// Opens a nested attribute; [`close_nested`] with the returned position ends it.
pub(crate) fn open_nested(buffer: &mut Vec<u8>, kind: u16) -> usize {
    let start = buffer.len();
    put(buffer, kind | NLA_F_NESTED, &[]);
    start
}

/// Writes the length of the attribute that starts at `start` and ends where the buffer does.
pub(crate) fn close_nested(buffer: &mut [u8], start: usize) {
    let length = buffer.len() - start;
    debug_assert!(length <= usize::from(u16::MAX));
    if let Some(field) = buffer.get_mut(start..start + 2) {
        field.copy_from_slice(&(length as u16).to_ne_bytes());
    }
}

/// Opens a message; [`close_message`] with the returned position ends it.
pub(crate) fn open_message(buffer: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&0u32.to_ne_bytes());
    buffer.extend_from_slice(&kind.to_ne_bytes());
    buffer.extend_from_slice(&flags.to_ne_bytes());
    buffer.extend_from_slice(&sequence.to_ne_bytes());
    buffer.extend_from_slice(&0u32.to_ne_bytes());
    start
}

/// Opens a netfilter message: header and `nfgenmsg`.
pub(crate) fn open_netfilter(buffer: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, family: u8, id: u16) -> usize {
    let start = open_message(buffer, kind, flags, sequence);
    let [high, low] = id.to_be_bytes();
    buffer.extend_from_slice(&[family, 0, high, low]);
    start
}

/// Writes the length of the message that starts at `start` and ends where the buffer does.
pub(crate) fn close_message(buffer: &mut [u8], start: usize) {
    let length = (buffer.len() - start) as u32;
    if let Some(field) = buffer.get_mut(start..start + 4) {
        field.copy_from_slice(&length.to_ne_bytes());
    }
}

/// The `N` bytes at `at`, if they are there.
pub(crate) fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// A 16-bit integer in the machine's byte order.
fn native_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_ne_bytes)
}

/// A 32-bit integer in the machine's byte order.
pub(crate) fn native_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_ne_bytes)
}

/// A 32-bit integer in network byte order.
pub(crate) fn be32(bytes: &[u8]) -> Option<u32> {
    bytes_at(bytes, 0).map(u32::from_be_bytes)
}

/// A 64-bit integer in network byte order.
pub(crate) fn be64(bytes: &[u8]) -> Option<u64> {
    bytes_at(bytes, 0).map(u64::from_be_bytes)
}

/// One received message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// Message type.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// Sequence number of the request it answers.
    pub sequence: u32,
    /// Port id of the request that caused it; 0 is the kernel.
    pub port: u32,
    /// What follows `nlmsghdr`.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes behind `nfgenmsg`.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes(self.payload.get(NFGENMSG..).unwrap_or_default())
    }

    /// What an error message or the end of a dump says: the error number (0: done) and, if the kernel
    /// told, at which byte of the failed message the offending attribute starts.
    fn failure(&self) -> Option<(i32, Option<u32>)> {
        let number = native_u32(self.payload, 0)? as i32;
        if self.kind == NLMSG_DONE || self.flags & NLM_F_ACK_TLVS == 0 {
            return Some((number, None));
        }
        let echoed = match self.flags & NLM_F_CAPPED {
            0 => native_u32(self.payload, 4)? as usize,
            _ => HEADER,
        };
        let behind = self.payload.get(4 + align4(echoed)..).unwrap_or_default();
        let offset = Attributes(behind).find(|(kind, _)| *kind == NLMSGERR_ATTR_OFFS);
        Some((number, offset.and_then(|(_, value)| native_u32(value, 0))))
    }
}

/// The messages in a received buffer, up to the first that is malformed.
pub(crate) struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = native_u32(self.0, 0)? as usize;
        let message = Message {
            kind: native_u16(self.0, 4)?,
            flags: native_u16(self.0, 6)?,
            sequence: native_u32(self.0, 8)?,
            port: native_u32(self.0, 12)?,
            payload: self.0.get(HEADER..length)?,
        };
        self.0 = self.0.get(align4(length)..).unwrap_or_default();
        Some(message)
    }
}

/// The attributes in a payload as (type, value), up to the first that is malformed.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(native_u16(self.0, 0)?);
        let kind = native_u16(self.0, 2)? & NLA_TYPE_MASK;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(align4(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

impl<'a> Attributes<'a> {
    /// The value of the first attribute of that type.
    pub fn get(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find(|(found, _)| *found == kind).map(|(_, value)| value)
    }
}

/// A string attribute's bytes without the closing zero.
pub(crate) fn text(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A kernel's refusal of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nack {
    /// Sequence number of the refused message.
    pub sequence: u32,
    /// Why.
    pub errno: Errno,
    /// Byte of the refused message at which the offending attribute starts.
    pub offset: Option<u32>,
}

/// What a message is when it is not data.
pub(crate) enum Control {
    /// The kernel refused something.
    Refused(Nack),
    /// A request was done, or a dump is complete.
    Done,
}

/// Tells data (`None`) from acknowledgements, refusals and ends of dumps.
pub(crate) fn control(message: &Message<'_>) -> Option<Control> {
    if message.kind != NLMSG_ERROR && message.kind != NLMSG_DONE {
        return None;
    }
    match message.failure() {
        Some((0, _)) | None => Some(Control::Done),
        Some((number, offset)) => {
            let errno = Errno::from_raw_os_error(number.saturating_neg().clamp(1, 4095));
            Some(Control::Refused(Nack { sequence: message.sequence, errno, offset }))
        }
    }
}

/// How a dump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dump {
    /// Everything was there.
    Complete,
    /// The ruleset changed under it: what was seen may lack or repeat elements.
    Interrupted,
}

impl Endpoint {
    /// Opens and binds a socket on `bus` that never blocks and is closed in child processes, joined to the
    /// multicast groups in `groups` (bit 0 is group 1).
    pub fn open(bus: mnl::Bus, groups: u32) -> io::Result<Endpoint> {
        let socket = Endpoint(mnl::Socket::open(bus)?);
        socket.0.bind(groups, 0)?;
        rustix::io::ioctl_fionbio(socket.descriptor(), true)?;
        rustix::io::fcntl_setfd(socket.descriptor(), rustix::io::FdFlags::CLOEXEC)?;
        // Both exist since Linux 4.3 and 4.12; without them errors are only less precise and longer.
        let _ = socket.set_option(sys::NETLINK_CAP_ACK, 1);
        let _ = socket.set_option(sys::NETLINK_EXT_ACK, 1);
        Ok(socket)
    }

    /// The port id by which the kernel names this socket.
    pub fn port(&self) -> u32 {
        self.0.portid()
    }

    /// Leaves every multicast group and joins those in `groups`.
    pub fn join(&self, groups: u32) -> io::Result<()> {
        self.0.bind(groups, self.0.portid() as i32)
    }

    /// Lets so many bytes of datagrams wait here, the kernel's own book-keeping included. As the system's
    /// limit allows where the rights for more are missing.
    pub fn set_receive_room(&self, bytes: usize) {
        let descriptor = self.descriptor();
        if sockopt::set_socket_recv_buffer_size_force(descriptor, bytes).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(descriptor, bytes);
        }
    }

    /// Sends whole messages; `Interrupted` is retried.
    pub fn send(&self, messages: &[u8]) -> io::Result<()> {
        loop {
            match self.0.send(messages) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next datagram, or `None` when nothing is there.
    pub fn receive<'a>(&self, buffer: &'a mut Buffer) -> io::Result<Option<&'a [u8]>> {
        loop {
            match self.0.recv_raw(&mut buffer.0.0) {
                Ok(length) => return Ok(buffer.0.0.get(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A socket for requests: what it sends is worked off by the kernel inside `send`, so that the answer is
/// there, or there is none, when `send` returns.
pub(crate) struct Socket {
    endpoint: Endpoint,
    sequence: u32,
    buffer: Buffer,
}

impl Socket {
    /// Opens a socket on `bus`.
    pub fn open(bus: mnl::Bus) -> io::Result<Socket> {
        Ok(Socket { endpoint: Endpoint::open(bus, 0)?, sequence: 0, buffer: Buffer::new() })
    }

    /// The port id by which the kernel names this socket.
    pub fn port(&self) -> u32 {
        self.endpoint.port()
    }

    /// A sequence number other than the last one.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends whole messages.
    pub fn send(&self, messages: &[u8]) -> io::Result<()> {
        self.endpoint.send(messages)
    }

    /// The next datagram, or `None` when nothing is there.
    pub fn receive(&mut self) -> io::Result<Option<&[u8]>> {
        self.endpoint.receive(&mut self.buffer)
    }

    /// Throws away whatever is still in the socket after a failure, so that it is not taken for the
    /// answer to the next request.
    pub fn discard(&mut self) {
        // Bounded: a socket that fails for good would otherwise hold us here.
        for _ in 0..1024 {
            if matches!(self.receive(), Ok(None)) {
                return;
            }
        }
    }

    /// Sends one dump request and hands every message of the answer to `each`.
    pub fn dump(&mut self, request: &[u8], each: &mut dyn FnMut(&Message<'_>)) -> io::Result<Dump> {
        let whole = self.dump_while(request, &mut |message| {
            each(message);
            true
        });
        whole.map(|whole| whole.unwrap_or(Dump::Interrupted))
    }

    /// Reads on in a dump that was asked for with [`Socket::send`]: datagrams with about so many messages. `None`:
    /// there are more to come on this socket.
    pub fn read_on(&mut self, most: usize, each: &mut dyn FnMut(&Message<'_>)) -> io::Result<Option<Dump>> {
        let mut seen = 0;
        while seen < most {
            let Some(datagram) = self.receive()? else { return Err(ended_early()) };
            let mut result = Dump::Complete;
            for message in Messages(datagram) {
                seen += 1;
                if message.flags & NLM_F_DUMP_INTR != 0 {
                    result = Dump::Interrupted;
                }
                match control(&message) {
                    None => each(&message),
                    Some(Control::Done) => return Ok(Some(result)),
                    Some(Control::Refused(refusal)) => {
                        self.discard();
                        return Err(refusal.errno.into());
                    }
                }
            }
        }
        Ok(None)
    }

    /// As [`Socket::dump`], as long as `each` says so. `None`: it wants no more, and the rest is still to come on
    /// this socket.
    pub fn dump_while(
        &mut self,
        request: &[u8],
        each: &mut dyn FnMut(&Message<'_>) -> bool,
    ) -> io::Result<Option<Dump>> {
        self.send(request)?;
        let mut result = Dump::Complete;
        loop {
            let Some(datagram) = self.receive()? else {
                return Err(ended_early());
            };
            for message in Messages(datagram) {
                if message.flags & NLM_F_DUMP_INTR != 0 {
                    result = Dump::Interrupted;
                }
                match control(&message) {
                    None if each(&message) => {}
                    None => return Ok(None),
                    Some(Control::Done) => return Ok(Some(result)),
                    Some(Control::Refused(refusal)) => {
                        self.discard();
                        return Err(refusal.errno.into());
                    }
                }
            }
        }
    }
}

fn ended_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the kernel's dump ended early")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut buffer = Vec::new();
        let start = open_netfilter(&mut buffer, 0x0a0c, NLM_F_REQUEST | NLM_F_ACK, 7, 1, 0);
        put_str(&mut buffer, 1, "fw4");
        let nest = open_nested(&mut buffer, 3);
        put(&mut buffer, 4, &7u64.to_be_bytes());
        close_nested(&mut buffer, nest);
        close_message(&mut buffer, start);
        let message = Messages(&buffer).next().unwrap();
        assert_eq!((message.kind, message.sequence), (0x0a0c, 7));
        let attributes = message.attributes();
        assert_eq!(attributes.get(1).map(text), Some(&b"fw4"[..]));
        let nested = Attributes(attributes.get(3).unwrap());
        assert_eq!(nested.get(4).and_then(be64), Some(7));
        assert_eq!(buffer.len() % 4, 0);
    }

    #[test]
    fn every_cut_of_a_message_ends_quietly() {
        let mut buffer = Vec::new();
        let start = open_netfilter(&mut buffer, 0x0a0c, 0, 1, 1, 0);
        put_str(&mut buffer, 1, "table");
        put(&mut buffer, 2, &[1, 2, 3]);
        close_message(&mut buffer, start);
        for length in 0..buffer.len() {
            assert!(Messages(&buffer[..length]).next().is_none());
            for (_, value) in Attributes(&buffer[..length]) {
                assert!(value.len() <= length);
            }
        }
        // A length below the header must not loop for ever.
        assert_eq!(Attributes(&[0, 0, 0, 0, 0, 0, 0, 0]).count(), 0);
        assert_eq!(Messages(&[0; 64]).count(), 0);
    }
}
