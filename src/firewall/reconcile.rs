//! What a set holds, as the kernel tells it.
//!
//! A dump is kept as one sorted array of 8 bytes an IPv4 element (20 an IPv6 one); nothing else is held.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::batch::{
    self, DATA_VALUE, ELEM_EXPIRATION, ELEM_FLAGS, ELEM_KEY, ELEM_LIST_ELEMENTS, ELEM_LIST_SET, ELEM_LIST_TABLE, INET,
    INTERVAL_END,
};
use super::error::Error;
use super::names::{Names, SetKey};
use super::netlink::{
    Attributes, Dump, Message, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, Socket, be32, be64, close_message, open_netfilter,
    put_str,
};
use super::nftables::{GETSETELEM, NEWSETELEM};
use crate::model::{Lifetime, Range};

/// Time-outs that differ by at most this many seconds count as equal: the ledger counts whole seconds, and
/// applying a change takes its time.
pub(super) const TOLERANCE: u32 = 2;

/// What a reconciliation found and did, in elements of both families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Elements the kernel had.
    pub found: usize,
    /// Put in because they were missing.
    pub added: usize,
    /// Given another time-out.
    pub renewed: usize,
    /// Taken out because nobody wants them.
    pub removed: usize,
}

impl Reconciled {
    /// Elements that were not as they should be.
    pub fn changes(&self) -> usize {
        self.added + self.renewed + self.removed
    }

    /// Whether the kernel had exactly what it should.
    pub fn is_unchanged(&self) -> bool {
        self.changes() == 0
    }
}

/// An address as its bytes, which order as the addresses do and need no alignment.
pub(super) trait Key: Copy + Ord {
    /// Reads it from an attribute.
    fn read(bytes: &[u8]) -> Option<Self>;
    /// Reads it from an address of the family; `None` for the other family.
    fn of(address: IpAddr) -> Option<Self>;
    /// As an address.
    fn address(self) -> IpAddr;
    /// The address before; `None` before the lowest.
    fn before(self) -> Option<Self>;
    /// The highest address.
    const LAST: Self;
}

impl Key for [u8; 4] {
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
    fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Some(address.octets()),
            IpAddr::V6(_) => None,
        }
    }
    fn address(self) -> IpAddr {
        IpAddr::from(self)
    }
    fn before(self) -> Option<Self> {
        Some(u32::from_be_bytes(self).checked_sub(1)?.to_be_bytes())
    }
    const LAST: Self = [255; 4];
}

impl Key for [u8; 16] {
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
    fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address.octets()),
        }
    }
    fn address(self) -> IpAddr {
        IpAddr::from(self)
    }
    fn before(self) -> Option<Self> {
        Some(u128::from_be_bytes(self).checked_sub(1)?.to_be_bytes())
    }
    const LAST: Self = [255; 16];
}

/// One element of a dump. `left` orders ends of intervals before starts at the same address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen<K> {
    key: K,
    /// 0: an interval's end; `u32::MAX`: for ever; else seconds from the dump's beginning to the element's end,
    /// rounded up, and at least 1.
    left: u32,
}

const END: u32 = 0;
const FOREVER: u32 = u32::MAX;

/// All elements of one set, sorted.
pub(super) struct Present<K> {
    seen: Vec<Seen<K>>,
    interval: bool,
    /// The element is there that stands for every address.
    everybody: bool,
    /// What the seconds left count from.
    begun: Instant,
}

impl<K: Key> Present<K> {
    /// Dumps the set; begins again when the table changes under it. `goes_on` is asked after every message, with
    /// the number of elements so far: `None` when it says no, and the socket is of no use any more.
    pub fn dump(
        socket: &mut Socket,
        names: &Names,
        key: SetKey,
        goes_on: &dyn Fn(usize) -> bool,
    ) -> Result<Option<Present<K>>, Error> {
        for _ in 0..super::ATTEMPTS {
            let begun = Instant::now();
            let (mut seen, mut everybody) = (Vec::new(), false);
            let each = &mut |elements: Attributes<'_>| {
                let since = begun.elapsed();
                seen.extend(elements.filter_map(|(_, element)| {
                    everybody |= is_everybody(element);
                    read_element(element, since)
                }));
                goes_on(seen.len())
            };
            match dump_elements(socket, &names.table, &names.set(key), each) {
                // Hash sets never say so; whoever compares finds out what was lost.
                Ok(Some(Dump::Interrupted)) if key.set.is_interval() => {}
                Ok(Some(_)) => {
                    seen.sort_unstable();
                    seen.dedup_by_key(|seen| (seen.key, seen.left == END));
                    return Ok(Some(Present { seen, interval: key.set.is_interval(), everybody, begun }));
                }
                Ok(None) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::NoSet(key)),
                Err(cause) => return Err(Error::Netlink { doing: "dumping a set", cause }),
            }
        }
        Err(Error::Busy)
    }

    /// A hash set's, without having looked.
    pub fn nothing() -> Present<K> {
        Present { seen: Vec::new(), interval: false, everybody: false, begun: Instant::now() }
    }

    /// Elements, an interval counting as one.
    pub fn len(&self) -> usize {
        self.seen.iter().filter(|seen| seen.left != END).count()
    }

    /// Whether the element is there that stands for every address.
    pub fn has_everybody(&self) -> bool {
        self.everybody
    }

    /// The next element from that place on, in order, with the time that it has left by now: 0 if none.
    pub fn next(&self, at: &mut usize) -> Option<(Range, Lifetime)> {
        while let Some(seen) = self.seen.get(*at) {
            let position = *at;
            *at += 1;
            if seen.left == END {
                continue;
            }
            let range = Range { first: seen.key.address(), last: self.last(position).address() };
            let passed = u32::try_from(self.begun.elapsed().as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
            let lifetime = match seen.left {
                FOREVER => Lifetime::Forever,
                left => Lifetime::Seconds(left.saturating_sub(passed)),
            };
            return Some((range, lifetime));
        }
        None
    }

    /// The last address of the element at `position`.
    fn last(&self, position: usize) -> K {
        let Some(seen) = self.seen.get(position) else { return K::LAST };
        if !self.interval {
            return seen.key;
        }
        // An interval without an end of its own reaches to the next start, or to the highest address.
        self.seen.get(position + 1).and_then(|next| next.key.before()).unwrap_or(K::LAST)
    }

    /// Whether exactly this element is there. Ranges of the other family count as present: they are the
    /// other set's business.
    pub fn holds(&self, range: Range) -> bool {
        let (Some(first), Some(last)) = (K::of(range.first), K::of(range.last)) else { return true };
        let position = self.seen.partition_point(|seen| seen.key < first || (seen.key == first && seen.left == END));
        self.seen.get(position).is_some_and(|seen| seen.key == first) && self.last(position) == last
    }
}

/// nft's `*`. It has no key.
fn is_everybody(element: &[u8]) -> bool {
    Attributes(element).get(ELEM_FLAGS).and_then(be32).unwrap_or(0) & batch::CATCHALL != 0
}

/// `since`: the time since the dump began.
fn read_element<K: Key>(element: &[u8], since: Duration) -> Option<Seen<K>> {
    let element = Attributes(element);
    let key = K::read(Attributes(element.get(ELEM_KEY)?).get(DATA_VALUE)?)?;
    if element.get(ELEM_FLAGS).and_then(be32).unwrap_or(0) & INTERVAL_END != 0 {
        return Some(Seen { key, left: END });
    }
    let left = match milliseconds_left(element) {
        None => FOREVER,
        Some(left) => seconds(left.saturating_add(since.as_millis() as u64)),
    };
    Some(Seen { key, left })
}

/// Hands on the key of every element of a set; of some twice if the ruleset changes meanwhile.
pub(super) fn dump_keys(
    socket: &mut Socket,
    table: &str,
    name: &str,
    each: &mut dyn FnMut(&[u8]),
) -> Result<(), Error> {
    for _ in 0..super::ATTEMPTS {
        let outcome = dump_elements(socket, table, name, &mut |elements| {
            for (_, element) in elements {
                let key = Attributes(element).get(ELEM_KEY).and_then(|key| Attributes(key).get(DATA_VALUE));
                key.into_iter().for_each(&mut *each);
            }
            true
        });
        match outcome {
            Ok(None | Some(Dump::Complete)) => return Ok(()),
            Ok(Some(Dump::Interrupted)) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(Error::Netlink { doing: "dumping a set", cause }),
        }
    }
    Err(Error::Busy)
}

/// Whether this set of another program is there and holds anything. The socket is good for nothing else afterwards.
pub(super) fn holds_any(mut socket: Socket, table: &str, name: &str) -> bool {
    let mut any = false;
    // A set that is not there is refused.
    let _ = dump_elements(&mut socket, table, name, &mut |mut elements| {
        any |= elements.next().is_some();
        !any
    });
    any
}

/// Dumps a set once; `each` gets the elements of a message, and says whether to go on.
fn dump_elements(
    socket: &mut Socket,
    table: &str,
    name: &str,
    each: &mut dyn FnMut(Attributes<'_>) -> bool,
) -> io::Result<Option<Dump>> {
    let sequence = socket.next_sequence();
    let mut request = Vec::new();
    let start = open_netfilter(&mut request, GETSETELEM, NLM_F_REQUEST | NLM_F_DUMP, sequence, INET, 0);
    put_str(&mut request, ELEM_LIST_TABLE, table);
    put_str(&mut request, ELEM_LIST_SET, name);
    close_message(&mut request, start);
    socket.dump_while(&request, &mut |message: &Message<'_>| {
        let elements = message.attributes().get(ELEM_LIST_ELEMENTS).filter(|_| message.kind == NEWSETELEM);
        elements.is_none_or(|elements| each(Attributes(elements)))
    })
}

/// The time that a hash set's element of this address has left now; `None`: there is none.
pub(super) fn element(
    socket: &mut Socket,
    names: &Names,
    key: SetKey,
    address: IpAddr,
) -> Result<Option<Lifetime>, Error> {
    let sequence = socket.next_sequence();
    let mut request = Vec::new();
    // Asking for an acknowledgement gives the answer an end, as a dump has one.
    let start = open_netfilter(&mut request, GETSETELEM, NLM_F_REQUEST | NLM_F_ACK, sequence, INET, 0);
    put_str(&mut request, ELEM_LIST_TABLE, &names.table);
    put_str(&mut request, ELEM_LIST_SET, &names.set(key));
    batch::put_one_element(&mut request, address);
    close_message(&mut request, start);
    let mut found = None;
    let asked = socket.dump(&request, &mut |message| {
        let elements = message.attributes().get(ELEM_LIST_ELEMENTS).into_iter().flat_map(Attributes);
        let left =
            |element| milliseconds_left(Attributes(element)).map(seconds).map_or(Lifetime::Forever, Lifetime::Seconds);
        found = elements.map(|(_, element)| left(element)).next().or(found);
    });
    match asked {
        Ok(_) => Ok(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::Netlink { doing: "asking for an element", cause }),
    }
}

/// The address of a hash set's element.
pub(super) fn address_of(element: &[u8]) -> Option<IpAddr> {
    let key = Attributes(Attributes(element).get(ELEM_KEY)?).get(DATA_VALUE)?;
    <[u8; 4]>::read(key).map(Key::address).or_else(|| <[u8; 16]>::read(key).map(Key::address))
}

/// The time that an element has left; `None`: it has no end.
fn milliseconds_left(element: Attributes<'_>) -> Option<u64> {
    element.get(ELEM_EXPIRATION).and_then(be64)
}

/// Rounded up, at least 1.
fn seconds(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds.div_ceil(1000)).unwrap_or(FOREVER).clamp(1, FOREVER - 1)
}

/// Whether the kernel's remaining lifetime is near enough to the wanted one.
pub(super) fn same_lifetime(is: Lifetime, wanted: Lifetime, tolerance: u32) -> bool {
    match (is, wanted) {
        (Lifetime::Forever, Lifetime::Forever) => true,
        (Lifetime::Seconds(is), Lifetime::Seconds(wanted)) => is.abs_diff(wanted) <= tolerance,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: &str, last: &str) -> Range {
        Range { first: first.parse().unwrap(), last: last.parse().unwrap() }
    }

    #[test]
    fn intervals_come_back_from_starts_and_ends() {
        let at = |text: &str, left| Seen { key: <[u8; 4]>::of(text.parse().unwrap()).unwrap(), left };
        let mut seen = vec![
            at("10.0.1.0", 7),
            at("10.0.0.0", FOREVER),
            at("10.0.1.0", END),
            at("10.0.2.0", END),
            at("0.0.0.0", END),
            at("240.0.0.0", 9),
        ];
        seen.sort_unstable();
        // Half a second ago: what has passed counts as a whole one.
        let begun = Instant::now() - Duration::from_millis(500);
        let present = Present { seen, interval: true, everybody: false, begun };
        let mut at = 0;
        let elements: Vec<_> = std::iter::from_fn(|| present.next(&mut at)).collect();
        assert_eq!(
            elements,
            [
                (range("10.0.0.0", "10.0.0.255"), Lifetime::Forever),
                (range("10.0.1.0", "10.0.1.255"), Lifetime::Seconds(6)),
                (range("240.0.0.0", "255.255.255.255"), Lifetime::Seconds(8)),
            ]
        );
        assert_eq!(present.len(), 3);
        assert!(present.holds(range("10.0.1.0", "10.0.1.255")));
        assert!(present.holds(range("240.0.0.0", "255.255.255.255")));
        assert!(!present.holds(range("10.0.1.0", "10.0.1.254")));
        assert!(!present.holds(range("10.0.2.0", "10.0.2.0")));
    }

    #[test]
    fn lifetimes_within_the_tolerance_are_equal() {
        use Lifetime::{Forever, Seconds};
        assert!(same_lifetime(Seconds(10), Seconds(12), 2));
        assert!(!same_lifetime(Seconds(10), Seconds(13), 2));
        assert!(same_lifetime(Forever, Forever, 0));
        assert!(!same_lifetime(Forever, Seconds(u32::MAX), 2));
    }
}
