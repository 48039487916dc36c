//! One transaction of element changes, written straight into the buffer that is sent.
//!
//! The kernel applies a batch as a whole or not at all. A batch is bounded ([`BATCH_BYTES`]), reuses one
//! buffer, and allocates nothing per element: libnftnl would make and free an object for each.
//! Layout: `linux/netfilter/nf_tables.h`, `NFTA_SET_ELEM_*`.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::conntrack::Flow;
use super::names::{Names, SetKey};
use super::netlink::{
    self, HEADER, NFGENMSG, NLM_F_CREATE, NLM_F_REQUEST, close_message, close_nested, open_nested, open_netfilter, put,
    put_str,
};
use super::nftables::{CHAIN_NAME, CHAIN_TABLE, DELCHAIN, DELSETELEM, DESTROYSETELEM, NEWCHAIN, NEWSETELEM, SUBSYSTEM};
use crate::model::{Lifetime, Range, SetId};

/// `NFPROTO_INET`: the family of the table.
pub(super) const INET: u8 = 1;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

pub(super) const ELEM_LIST_TABLE: u16 = 1;
pub(super) const ELEM_LIST_SET: u16 = 2;
pub(super) const ELEM_LIST_ELEMENTS: u16 = 3;
const LIST_ELEM: u16 = 1;
pub(super) const ELEM_KEY: u16 = 1;
pub(super) const ELEM_FLAGS: u16 = 3;
pub(super) const ELEM_TIMEOUT: u16 = 4;
pub(super) const ELEM_EXPIRATION: u16 = 5;
pub(super) const DATA_VALUE: u16 = 1;
/// The element ends an interval and is itself outside of it.
pub(super) const INTERVAL_END: u32 = 1;
/// The element stands for every address.
pub(super) const CATCHALL: u32 = 2;

/// A batch is sent when it has grown to this. Below 64 KiB, so that no message's element list can outgrow
/// its 16-bit length; large enough that the cost of a commit is spread over 2,000 IPv4 elements.
pub(super) const BATCH_BYTES: usize = 60 * 1024;
/// The most that one change can append: three messages, with the interval's two ends each.
const CHANGE_BYTES: usize = 2048;

/// What a message does with its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Puts them in; those that are there stay (Linux ≥ 6.12 gives them the new time-out).
    Add,
    /// Takes them out; the batch fails if one is not there.
    Delete,
    /// Takes them out if they are there (Linux ≥ 6.3).
    Destroy,
}

impl Verb {
    /// Type and flags of its message.
    fn message(self) -> (u16, u16) {
        match self {
            Verb::Add => (NEWSETELEM, NLM_F_REQUEST | NLM_F_CREATE),
            Verb::Delete => (DELSETELEM, NLM_F_REQUEST),
            Verb::Destroy => (DESTROYSETELEM, NLM_F_REQUEST),
        }
    }
}

/// The message that is being written.
struct Open {
    verb: Verb,
    key: SetKey,
    start: usize,
    elements: usize,
}

/// A transaction under construction.
pub(super) struct Batch {
    buffer: Vec<u8>,
    open: Option<Open>,
    /// The sequence number of each message and its set.
    messages: Vec<(u32, SetKey)>,
    first: u32,
    elements: usize,
    /// The borders of the intervals that this batch has changed: the lower ones (`false`) and the upper ones. Addresses
    /// come first: they differ, and the name of a set is long to compare.
    borders: BTreeSet<(IpAddr, bool, SetId)>,
    /// The attributes that name table and set, one string of bytes a set, ready to copy.
    preludes: Vec<(SetKey, Vec<u8>)>,
}

impl Batch {
    pub fn new(names: &Names) -> Batch {
        let prelude = |key| {
            let mut attributes = Vec::new();
            put_str(&mut attributes, ELEM_LIST_TABLE, &names.table);
            put_str(&mut attributes, ELEM_LIST_SET, &names.set(key));
            (key, attributes)
        };
        Batch {
            buffer: Vec::new(),
            open: None,
            messages: Vec::new(),
            first: 0,
            elements: 0,
            borders: BTreeSet::new(),
            preludes: names.keys().map(prelude).collect(),
        }
    }

    /// `first` is the sequence number that the batch starts with; nothing may have been written yet.
    pub fn begin(&mut self, first: u32) {
        self.first = first;
    }

    /// Forgets everything, and keeps the buffers.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.messages.clear();
        self.open = None;
        self.elements = 0;
        self.borders.clear();
    }

    /// Whether a change of this element must wait for the next batch: the kernel's tree of intervals does
    /// not find an element that was put in, taken out and put in again in one transaction. So an interval
    /// may not have a border in common with one that the batch changes already.
    pub fn clashes(&self, set: SetId, range: Range) -> bool {
        self.borders.contains(&(range.first, false, set)) || self.borders.contains(&(range.last, true, set))
    }

    /// Notes that the batch changes this element.
    pub fn note(&mut self, set: SetId, range: Range) {
        if set.is_interval() {
            self.borders.extend([(range.first, false, set), (range.last, true, set)]);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// Elements written so far; an interval counts as two.
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// Whether the next change might not fit.
    pub fn is_full(&self) -> bool {
        self.buffer.len() + CHANGE_BYTES > BATCH_BYTES
    }

    /// Appends one element. `end`: it closes an interval. A time-out goes with `Add` alone.
    pub fn element(&mut self, verb: Verb, key: SetKey, address: IpAddr, end: bool, lifetime: Option<Lifetime>) {
        self.open(verb, key);
        match address {
            IpAddr::V4(address) => write_element(&mut self.buffer, &address.octets(), end, lifetime),
            IpAddr::V6(address) => write_element(&mut self.buffer, &address.octets(), end, lifetime),
        }
        self.elements += 1;
    }

    /// Makes the message that takes the next element the last one in the buffer.
    fn open(&mut self, verb: Verb, key: SetKey) {
        if self.buffer.is_empty() {
            self.buffer.reserve(BATCH_BYTES);
            boundary(&mut self.buffer, BATCH_BEGIN, self.first);
        }
        if self.open.as_ref().is_some_and(|open| open.verb == verb && open.key == key) {
            return;
        }
        self.close();
        let sequence = self.first.wrapping_add(1).wrapping_add(self.messages.len() as u32);
        let (kind, flags) = verb.message();
        let start = open_netfilter(&mut self.buffer, kind, flags, sequence, INET, 0);
        if let Some((_, prelude)) = self.preludes.iter().find(|(each, _)| *each == key) {
            self.buffer.extend_from_slice(prelude);
        }
        let elements = open_nested(&mut self.buffer, ELEM_LIST_ELEMENTS);
        self.messages.push((sequence, key));
        self.open = Some(Open { verb, key, start, elements });
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            close_nested(&mut self.buffer, open.elements);
            close_message(&mut self.buffer, open.start);
        }
    }

    /// Makes the transaction one that raises the ruleset's generation, whatever its elements do: those that are there
    /// already, or are gone, change nothing. An empty chain comes and goes in it.
    pub fn make_certain(&mut self, table: &str, chain: &str) {
        self.close();
        for (kind, flags) in [(NEWCHAIN, NLM_F_REQUEST | NLM_F_CREATE), (DELCHAIN, NLM_F_REQUEST)] {
            // The number of no element's message.
            let start = open_netfilter(&mut self.buffer, kind, flags, self.first, INET, 0);
            put_str(&mut self.buffer, CHAIN_TABLE, table);
            put_str(&mut self.buffer, CHAIN_NAME, chain);
            close_message(&mut self.buffer, start);
        }
    }

    /// The whole transaction, ready to be sent, and the sequence number of its last message.
    pub fn finish(&mut self) -> (&[u8], u32) {
        self.close();
        let last = self.first.wrapping_add(1).wrapping_add(self.messages.len() as u32);
        boundary(&mut self.buffer, BATCH_END, last);
        (&self.buffer, last)
    }

    /// The set that the message with this sequence number is about.
    pub fn set_of(&self, sequence: u32) -> Option<SetKey> {
        self.messages.iter().find(|(number, _)| *number == sequence).map(|(_, key)| *key)
    }

    /// Every set that the batch changes; with repetitions.
    pub fn sets(&self) -> impl Iterator<Item = SetKey> {
        self.messages.iter().map(|(_, key)| *key)
    }
}

/// Appends one element of an element list.
fn write_element(buffer: &mut Vec<u8>, address: &[u8], end: bool, lifetime: Option<Lifetime>) {
    let element = open_nested(buffer, LIST_ELEM);
    let key = open_nested(buffer, ELEM_KEY);
    put(buffer, DATA_VALUE, address);
    close_nested(buffer, key);
    if end {
        put(buffer, ELEM_FLAGS, &INTERVAL_END.to_be_bytes());
    }
    if let Some(Lifetime::Seconds(seconds)) = lifetime {
        let milliseconds = u64::from(seconds.max(1)) * 1000;
        put(buffer, ELEM_TIMEOUT, &milliseconds.to_be_bytes());
    }
    close_nested(buffer, element);
}

/// Writes a message that takes the element out of the set `name` that stands for every address.
pub(super) fn everybody(buffer: &mut Vec<u8>, sequence: u32, table: &str, name: &str) {
    let start = open_netfilter(buffer, DELSETELEM, NLM_F_REQUEST, sequence, INET, 0);
    put_str(buffer, ELEM_LIST_TABLE, table);
    put_str(buffer, ELEM_LIST_SET, name);
    let elements = open_nested(buffer, ELEM_LIST_ELEMENTS);
    let element = open_nested(buffer, LIST_ELEM);
    put(buffer, ELEM_FLAGS, &CATCHALL.to_be_bytes());
    close_nested(buffer, element);
    close_nested(buffer, elements);
    close_message(buffer, start);
}

/// Appends an element list of one address.
pub(super) fn put_one_element(buffer: &mut Vec<u8>, address: IpAddr) {
    let elements = open_nested(buffer, ELEM_LIST_ELEMENTS);
    match address {
        IpAddr::V4(address) => write_element(buffer, &address.octets(), false, None),
        IpAddr::V6(address) => write_element(buffer, &address.octets(), false, None),
    }
    close_nested(buffer, elements);
}

/// Appends the message that begins or ends a transaction.
pub(super) fn boundary(buffer: &mut Vec<u8>, kind: u16, sequence: u32) {
    let start = open_netfilter(buffer, kind, NLM_F_REQUEST, sequence, 0, SUBSYSTEM);
    close_message(buffer, start);
}

/// Writes a message that puts severed flows into the set `name`, or takes them out.
pub(super) fn severed(buffer: &mut Vec<u8>, verb: Verb, sequence: u32, table: &str, name: &str, flows: &[Flow]) {
    let (kind, flags) = verb.message();
    let start = open_netfilter(buffer, kind, flags, sequence, INET, 0);
    put_str(buffer, ELEM_LIST_TABLE, table);
    put_str(buffer, ELEM_LIST_SET, name);
    let elements = open_nested(buffer, ELEM_LIST_ELEMENTS);
    let mut key = Vec::with_capacity(44);
    for flow in flows {
        key.clear();
        // Every part of a concatenated key is filled up to 4 bytes.
        key.extend_from_slice(&[flow.protocol, 0, 0, 0]);
        for end in [flow.inside, flow.outside] {
            match end.ip() {
                IpAddr::V4(address) => key.extend_from_slice(&address.octets()),
                IpAddr::V6(address) => key.extend_from_slice(&address.octets()),
            }
            key.extend_from_slice(&end.port().to_be_bytes());
            key.extend_from_slice(&[0, 0]);
        }
        write_element(buffer, &key, false, None);
    }
    close_nested(buffer, elements);
    close_message(buffer, start);
}

/// Writes a message that puts a host into the set `name`, or takes it out.
pub(super) fn one(buffer: &mut Vec<u8>, verb: Verb, sequence: u32, table: &str, name: &str, host: IpAddr) {
    let (kind, flags) = verb.message();
    let start = open_netfilter(buffer, kind, flags, sequence, INET, 0);
    put_str(buffer, ELEM_LIST_TABLE, table);
    put_str(buffer, ELEM_LIST_SET, name);
    put_one_element(buffer, host);
    close_message(buffer, start);
}

/// Reads a key that [`one`] has written.
pub(super) fn read_address(key: &[u8]) -> Option<IpAddr> {
    match key.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(key).ok()?)),
        _ => Some(IpAddr::from(<[u8; 16]>::try_from(key).ok()?)),
    }
}

/// Reads a key that [`severed`] has written.
pub(super) fn read_severed(key: &[u8]) -> Option<Flow> {
    let (protocol, ends) = (*key.first()?, key.get(4..)?);
    let end = |bytes: &[u8]| {
        let (address, port) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let address = match address.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
            _ => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
        };
        Some(SocketAddr::new(address, u16::from_be_bytes(netlink::bytes_at(port, 0)?)))
    };
    let (inside, outside) = ends.split_at_checked(ends.len() / 2)?;
    Some(Flow { protocol, inside: end(inside)?, outside: end(outside)? })
}

/// A whole transaction of one message, for what is not an element.
pub(super) fn single(sequence: u32, write: &mut dyn FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let mut buffer = Vec::new();
    boundary(&mut buffer, BATCH_BEGIN, sequence);
    write(&mut buffer);
    boundary(&mut buffer, BATCH_END, sequence);
    buffer
}

/// Whether the attribute at `offset` of a refused element message is the one that names the table.
pub(super) fn names_table(offset: u32) -> bool {
    offset as usize == HEADER + NFGENMSG
}

/// Writes the message by which [`super::Firewall::open`] learns whether the kernel knows
/// `NFT_MSG_DESTROYSETELEM`: it names a set that cannot exist, so a kernel that knows it answers `ENOENT`.
pub(super) fn destroy_probe(buffer: &mut Vec<u8>, sequence: u32, table: &str) {
    let start = open_netfilter(buffer, DESTROYSETELEM, NLM_F_REQUEST, sequence, INET, 0);
    put_str(buffer, ELEM_LIST_TABLE, table);
    // nft's grammar knows no such name; and an empty element list is no request to flush.
    put_str(buffer, ELEM_LIST_SET, "?");
    let elements = netlink::open_nested(buffer, ELEM_LIST_ELEMENTS);
    let element = netlink::open_nested(buffer, LIST_ELEM);
    close_nested(buffer, element);
    close_nested(buffer, elements);
    close_message(buffer, start);
}
