//! Reasons in four bytes: the kind, and a port or the number of a text that all bans with it share.
//!
//! The texts come from strangers (any DisWall client tags its bans), so their table is bounded; each
//! text goes when the last ban that names it goes. The ledger's tables are its only callers.

use std::fmt;

use super::Never;
use crate::model::Reason;

/// A ban's reason, borrowed from the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonRef<'a> {
    /// On a source's whole list.
    Listed,
    /// Announced by the source.
    Announced,
    /// Announced, with the announcer's tag.
    Tagged(&'a str),
    /// It touched a closed port.
    Port {
        /// IP protocol number.
        protocol: u8,
        /// Destination port.
        port: u16,
    },
    /// Failed log-ins at this service.
    Login(&'a str),
    /// The owner's comment, may be empty.
    Comment(&'a str),
}

impl<'a> ReasonRef<'a> {
    /// The text in it; empty where there is none.
    pub fn text(self) -> &'a str {
        match self {
            ReasonRef::Tagged(text) | ReasonRef::Login(text) | ReasonRef::Comment(text) => text,
            ReasonRef::Listed | ReasonRef::Announced | ReasonRef::Port { .. } => "",
        }
    }

    /// As an owned [`Reason`].
    pub fn to_reason(self) -> Reason {
        match self {
            ReasonRef::Listed => Reason::Listed,
            ReasonRef::Announced => Reason::Announced,
            ReasonRef::Tagged(text) => Reason::Tagged(text.into()),
            ReasonRef::Port { protocol, port } => Reason::Port { protocol, port },
            ReasonRef::Login(text) => Reason::Login(text.into()),
            ReasonRef::Comment(text) => Reason::Comment(text.into()),
        }
    }
}

impl<'a> From<&'a Reason> for ReasonRef<'a> {
    fn from(reason: &'a Reason) -> ReasonRef<'a> {
        match reason {
            Reason::Listed => ReasonRef::Listed,
            Reason::Announced => ReasonRef::Announced,
            Reason::Tagged(text) => ReasonRef::Tagged(text),
            Reason::Port { protocol, port } => ReasonRef::Port { protocol: *protocol, port: *port },
            Reason::Login(text) => ReasonRef::Login(text),
            Reason::Comment(text) => ReasonRef::Comment(text),
        }
    }
}

impl fmt::Display for ReasonRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ReasonRef::Listed => f.write_str("listed"),
            ReasonRef::Announced => f.write_str("announced"),
            ReasonRef::Port { protocol: 6, port } => write!(f, "closed port tcp/{port}"),
            ReasonRef::Port { protocol: 17, port } => write!(f, "closed port udp/{port}"),
            ReasonRef::Port { protocol, port } => write!(f, "closed port {port}, protocol {protocol}"),
            ReasonRef::Login(service) => write!(f, "failed log-ins: {service}"),
            ReasonRef::Tagged(text) | ReasonRef::Comment(text) => f.write_str(text),
        }
    }
}

/// A packed reason, with three bits that belong to the table it is in.
///
/// Bits 0–23: protocol and port, or the text's number; 24–26: the kind; 27: seen in the list that is
/// being taken; 28: withheld from the kernel; 29: gone, its row not yet taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u32);

const LISTED: u32 = 0;
const ANNOUNCED: u32 = 1;
const TAGGED: u32 = 2;
const PORT: u32 = 3;
const LOGIN: u32 = 4;
const COMMENT: u32 = 5;

const SEEN: u32 = 1 << 27;
const WITHHELD: u32 = 1 << 28;
const DEAD: u32 = 1 << 29;
const BITS: u32 = SEEN | WITHHELD;

impl Word {
    pub(super) const LISTED: Word = Word(LISTED << 24);

    const fn new(kind: u32, value: u32) -> Word {
        Word(kind << 24 | value & 0x00ff_ffff)
    }

    const fn kind(self) -> u32 {
        (self.0 >> 24) & 7
    }

    const fn value(self) -> u32 {
        self.0 & 0x00ff_ffff
    }

    /// The number of its text, where it has one.
    pub(super) fn text(self) -> Option<u16> {
        // Numbers come from `Texts::take`, which gives out 16 bits.
        matches!(self.kind(), TAGGED | LOGIN | COMMENT).then_some(self.value() as u16)
    }

    /// This reason with the table bits of `other`.
    pub(super) const fn with_bits_of(self, other: Word) -> Word {
        Word(self.0 & !BITS | other.0 & BITS)
    }

    pub(super) const fn is_seen(self) -> bool {
        self.0 & SEEN != 0
    }

    pub(super) const fn is_withheld(self) -> bool {
        self.0 & WITHHELD != 0
    }

    pub(super) fn set_seen(&mut self, seen: bool) {
        self.0 = if seen { self.0 | SEEN } else { self.0 & !SEEN };
    }

    pub(super) const fn is_dead(self) -> bool {
        self.0 & DEAD != 0
    }

    pub(super) fn set_dead(&mut self) {
        self.0 |= DEAD;
    }

    pub(super) fn set_withheld(&mut self, withheld: bool) {
        self.0 = if withheld { self.0 | WITHHELD } else { self.0 & !WITHHELD };
    }
}

/// Most texts held at a time; at 120 bytes each they stay below 700 KB whatever strangers send.
pub(super) const TEXTS_MAX: usize = 4096;

/// Stands for a text that found no room.
pub(super) const NOT_KEPT: &str = "…";

#[derive(Debug)]
struct Slot {
    text: Box<str>,
    uses: u32,
}

/// The texts of reasons, each stored once and counted.
#[derive(Debug, Default)]
pub(super) struct Texts {
    slots: Vec<Slot>,
    /// Numbers of the slots in use, sorted by their text.
    sorted: Vec<u16>,
    free: Vec<u16>,
}

impl Texts {
    /// Packs a reason and counts its text.
    pub(super) fn pack(&mut self, reason: ReasonRef<'_>) -> Word {
        match reason {
            ReasonRef::Listed => Word::LISTED,
            ReasonRef::Announced => Word::new(ANNOUNCED, 0),
            ReasonRef::Port { protocol, port } => Word::new(PORT, u32::from(protocol) << 16 | u32::from(port)),
            ReasonRef::Tagged(text) => Word::new(TAGGED, self.take(text)),
            ReasonRef::Login(text) => Word::new(LOGIN, self.take(text)),
            ReasonRef::Comment(text) => Word::new(COMMENT, self.take(text)),
        }
    }

    /// The reason behind a word.
    pub(super) fn unpack(&self, word: Word) -> ReasonRef<'_> {
        let text = || self.slots.get(word.value() as usize).map_or(NOT_KEPT, |slot| &*slot.text);
        match word.kind() {
            LISTED => ReasonRef::Listed,
            TAGGED => ReasonRef::Tagged(text()),
            PORT => ReasonRef::Port { protocol: (word.value() >> 16) as u8, port: word.value() as u16 },
            LOGIN => ReasonRef::Login(text()),
            COMMENT => ReasonRef::Comment(text()),
            _ => ReasonRef::Announced,
        }
    }

    /// One ban with this reason has gone.
    pub(super) fn release(&mut self, word: Word) {
        let Some(number) = word.text() else { return };
        let Some(slot) = self.slots.get_mut(usize::from(number)) else { return };
        slot.uses = slot.uses.saturating_sub(1);
        if slot.uses > 0 {
            return;
        }
        let text = std::mem::take(&mut slot.text);
        if let Ok(place) = self.find(&text, number) {
            self.sorted.remove(place);
        }
        self.free.push(number);
    }

    /// The texts that are held, with their numbers, in order of the text.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &str)> {
        self.sorted.iter().filter_map(|&number| Some((number, &*self.slots.get(usize::from(number))?.text)))
    }

    fn take(&mut self, text: &str) -> u32 {
        let place = match self.find(text, u16::MAX) {
            Ok(place) => {
                let number = self.sorted.get(place).copied().unwrap_or(u16::MAX);
                if let Some(slot) = self.slots.get_mut(usize::from(number)) {
                    slot.uses = slot.uses.saturating_add(1);
                }
                return u32::from(number);
            }
            Err(place) => place,
        };
        let slot = Slot { text: text.into(), uses: 1 };
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(old) = self.slots.get_mut(usize::from(number)) {
                    *old = slot;
                }
                number
            }
            None if self.slots.len() < TEXTS_MAX => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u16
            }
            None => return u32::from(u16::MAX),
        };
        self.sorted.insert(place, number);
        u32::from(number)
    }

    /// Where `text` is in `sorted`. `emptied` is a slot whose text has been taken out already and counts
    /// as having it.
    fn find(&self, text: &str, emptied: u16) -> Result<usize, usize> {
        self.sorted.binary_search_by(|&number| {
            if number == emptied {
                return std::cmp::Ordering::Equal;
            }
            self.slots.get(usize::from(number)).map_or("", |slot| &slot.text).cmp(text)
        })
    }
}

/// How many addresses were refused, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused([u32; Never::ALL.len()]);

impl Refused {
    pub(super) fn one(refusal: Never) -> Refused {
        let mut refused = Refused::default();
        refused.count(refusal);
        refused
    }

    /// Of all kinds.
    pub fn total(&self) -> u32 {
        self.0.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// The kinds that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Never, u32)> + '_ {
        Never::ALL.into_iter().zip(self.0).filter(|&(_, count)| count > 0)
    }

    pub(super) fn count(&mut self, refusal: Never) {
        if let Some(count) = self.0.get_mut(refusal as usize) {
            *count = count.saturating_add(1);
        }
    }
}
