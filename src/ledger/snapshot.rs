//! The ledger as bytes, so that bans, growing bans and totals outlive the daemon.
//!
//! Hand-written records instead of MessagePack: they are written and read one at a time with no copy of
//! the ledger in memory (the file often lives in RAM too), a listed ban takes seven bytes, and every
//! length is checked in this one file. Works on any reader and writer; `snapshot_file` has the disk.
//!
//! Layout, integers big-endian, `varint` = LEB128 of at most 10 bytes:
//!
//! ```text
//! magic "diswall\n", version u16, wall clock u64 (Unix seconds; 0: unknown)
//! words u8   1: what was said by command is in the record (`record`); from version 2 on
//! texts      count u32, each: number varint, text
//! books      count u32, each: the source's name as a text, count u32 of IPv4 bans, count u32 of IPv6 bans,
//!            each: address, head u8, age varint, remaining varint if it ends, value varint if it has one
//!            (before version 3: three books without count and names, of dynfw, nats and scan);
//!            from version 4 on its networks: count u32, each as a block
//! blocks     count u32, then allowances count u32,
//!            each: family u8 (4, 6), prefix u8, address, origin u8, head u8, age, remaining, text,
//!            and the holder's name as a text where the origin of a block is 2 (from version 2 on)
//! offenders  count u32, each: key u64, bans varint, end of the last ban i32 (seconds from now)
//! totals     count u32, each: text, u64
//! CRC-32 (IEEE) u32 of all before
//! ```
//! A text is its length in bytes as varint, then UTF-8. A head is the kind of reason in bits 0–2, and bit
//! 7 for what does not end.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::escalation::Past;
use super::moment::{End, Moment};
use super::nets::{self, Nets};
use super::protect::Protection;
use super::reason::{NOT_KEPT, ReasonRef, TEXTS_MAX, Texts};
use super::rows::{Ban, Key};
use super::table::Table;
use super::{Applied, Book, COMMAND, CONFIG, Ledger, may_ban, normal};
use crate::model::{Lifetime, Source};
use crate::outside;
use crate::whole_file::Crc;

/// The version that is written. Every version up to it is read.
pub const VERSION: u16 = 4;

const MAGIC: &[u8; 8] = b"diswall\n";

/// Longest text in a snapshot, in bytes; longer comments are cut.
const TEXT_MAX: usize = 1024;

/// Most totals.
const TOTALS_MAX: u32 = 1024;

/// The wall clock may say that we were away for up to so many seconds (366 days). A longer time is a
/// clock that was wrong then or is wrong now, and counts as unknown: the remaining seconds stand. No
/// feed bans for longer than 25 days, so a real absence that long costs at most that much too much.
pub const AWAY_MAX: u32 = 366 * 86_400;

const FOREVER: u8 = 0x80;

/// Most books of sources that the configuration does not have.
pub(super) const APART_MAX: usize = 16;

/// Sources of the books of a snapshot before version 3.
const UNNAMED: [Source; 3] = [Source::DYNFW, Source::NATS, Source::SCAN];

/// Running totals of the daemon's, by name; the ledger only carries them.
pub type Totals = BTreeMap<Box<str>, u64>;

/// What a snapshot held.
#[derive(Debug)]
pub struct Restored {
    /// The ledger, without protection and UCI's lists: those are given anew.
    pub ledger: Ledger,
    /// As given to [`Ledger::save`].
    pub totals: Totals,
    /// Unix seconds at which it was written; 0: unknown.
    pub wall: u64,
    /// What was said by command was in the record too.
    pub words: bool,
    /// Seconds between writing and now, taken off what was left of each ban; `None`: the clocks do not
    /// tell, and the remaining seconds stand.
    pub away: Option<u32>,
}

/// Why a snapshot cannot be read.
#[derive(Debug)]
pub enum SnapshotError {
    /// Reading failed.
    Io(io::Error),
    /// It does not begin as a snapshot does.
    Foreign,
    /// It is from a newer diswall.
    Version(u16),
    /// It ends too early.
    Truncated,
    /// This part of it is impossible.
    Damaged(&'static str),
    /// The checksum is not that of the contents, or something follows it.
    Checksum,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Io(error) => write!(f, "cannot be read: {error}"),
            SnapshotError::Foreign => f.write_str("is no diswall snapshot"),
            SnapshotError::Version(found) => {
                write!(f, "is a snapshot of version {found}; this diswall reads up to {VERSION}")
            }
            SnapshotError::Truncated => f.write_str("is a truncated snapshot"),
            SnapshotError::Damaged(what) => write!(f, "is a damaged snapshot: impossible {what}"),
            SnapshotError::Checksum => f.write_str("is a damaged snapshot: the checksum does not fit"),
        }
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SnapshotError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> SnapshotError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => SnapshotError::Truncated,
            _ => SnapshotError::Io(error),
        }
    }
}

impl Ledger {
    /// Writes everything but what the configuration states anyway. `wall` is the time in Unix seconds, 0
    /// if unknown; `words`: what was said by command is in the record.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn save(&self, now: Moment, wall: u64, words: bool, totals: &Totals, out: &mut dyn Write) -> io::Result<()> {
        let mut out = Output { out: BufWriter::with_capacity(4096, out), crc: Crc::new() };
        out.bytes(MAGIC)?;
        out.bytes(&VERSION.to_be_bytes())?;
        out.bytes(&wall.to_be_bytes())?;
        out.bytes(&[u8::from(words)])?;
        out.count(self.texts.iter().count())?;
        for (number, text) in self.texts.iter() {
            out.varint(u64::from(number))?;
            out.text(text)?;
        }
        out.count(self.books.len() + self.apart.len())?;
        let books = self.books.iter().map(|book| (book.source.name(), book));
        for (name, book) in books.chain(self.apart.iter().map(|(name, book)| (&**name, book))) {
            out.text(name)?;
            out.count(book.v4.iter(now).count())?;
            out.count(book.v6.iter(now).count())?;
            for (address, ban) in book.v4.iter(now) {
                out.bytes(&address.octets())?;
                out.ban(now, ban, ban.word.text(), self.texts.unpack(ban.word))?;
            }
            for (address, ban) in book.v6.iter(now) {
                out.bytes(&address.octets())?;
                out.ban(now, ban, ban.word.text(), self.texts.unpack(ban.word))?;
            }
            out.nets(now, &book.nets, &|_| None)?;
        }
        out.nets(now, &self.manual, &|origin| (origin > COMMAND).then(|| self.holders.name(origin)))?;
        out.nets(now, &self.allow, &|_| None)?;
        out.count(self.escalation.len())?;
        for (key, past) in self.escalation.iter() {
            out.bytes(&key.to_be_bytes())?;
            out.varint(u64::from(past.bans))?;
            let until = i64::from(past.until) - i64::from(now.0);
            out.bytes(&i32::try_from(until).unwrap_or(if until < 0 { i32::MIN } else { i32::MAX }).to_be_bytes())?;
        }
        out.count(totals.len().min(TOTALS_MAX as usize))?;
        for (name, total) in totals.iter().take(TOTALS_MAX as usize) {
            out.text(name)?;
            out.bytes(&total.to_be_bytes())?;
        }
        let crc = out.crc.value();
        out.bytes(&crc.to_be_bytes())?;
        out.out.flush()
    }

    /// Reads what [`Ledger::save`] wrote. `wall` is the time now, `None` if the clock is known to be
    /// wrong. Bans that ended meanwhile are left out; all or nothing is read.
    ///
    /// # Errors
    /// Why it is no snapshot that this diswall reads.
    pub fn restore(
        bytes: &mut dyn Read,
        now: Moment,
        wall: Option<u64>,
        max_entries: u32,
    ) -> Result<Restored, SnapshotError> {
        let mut input = Input { input: BufReader::with_capacity(4096, bytes), crc: Crc::new() };
        if input.array().map_err(foreign_if_short)? != *MAGIC {
            return Err(SnapshotError::Foreign);
        }
        let version = match u16::from_be_bytes(input.array()?) {
            version @ 1..=VERSION => version,
            found => return Err(SnapshotError::Version(found)),
        };
        let written = u64::from_be_bytes(input.array()?);
        let away = away(written, wall);
        let words = version >= 2 && input.byte()? == 1;
        let clock = Clock { now, away: away.unwrap_or(0) };
        let mut ledger = Ledger::new(max_entries);
        let names = input.names()?;
        let books = if version >= 3 { input.count()? as usize } else { UNNAMED.len() };
        for number in 0..books {
            let name = match UNNAMED.get(number).filter(|_| version < 3) {
                Some(source) => source.name().into(),
                None => input.text()?,
            };
            let (v4, v6) = (input.count()?, input.count()?);
            let (book, texts, most) = ledger.book_named(&name)?;
            let mut reader = BanReader { clock, names: &names, texts, most };
            reader.table(&mut book.v4, v4, &mut input, |input| Ok(Ipv4Addr::from(input.array::<4>()?)))?;
            reader.table(&mut book.v6, v6, &mut input, |input| Ok(Ipv6Addr::from(input.array::<16>()?)))?;
            if version >= 4 {
                read_ranges(book, most, clock, &mut input)?;
            }
        }
        drop(names);
        ledger.read_nets(version, clock, &mut input)?;
        for _ in 0..input.count()? {
            let key = u64::from_be_bytes(input.array()?);
            let bans = u32::try_from(input.varint()?).map_err(|_| SnapshotError::Damaged("number of bans"))?;
            let until = clock.moment(i64::from(i32::from_be_bytes(input.array()?)));
            ledger.escalation.restore(key, Past { bans, until: until.0 });
        }
        let totals = input.totals()?;
        let crc = input.crc.value();
        if u32::from_be_bytes(input.array()?) != crc || input.input.read(&mut [0])? != 0 {
            return Err(SnapshotError::Checksum);
        }
        // Each part was held to the limit; now all of them together are.
        ledger.set_max_entries(now, max_entries, &mut |_| {});
        Ok(Restored { ledger, totals, wall: written, words, away })
    }

    /// The book of that source, one apart where there is no such source here, and how many bans of each family are
    /// read into it. Nobody shrinks the books apart later: they have half the limit together in each family.
    fn book_named(&mut self, name: &str) -> Result<(&mut Book, &mut Texts, u32), SnapshotError> {
        if let Some(at) = self.books.iter().position(|book| book.source.name() == name) {
            return Ok((&mut self.books[at], &mut self.texts, self.max_entries));
        }
        if self.apart.len() >= APART_MAX {
            return Err(SnapshotError::Damaged("number of sources"));
        }
        // What a book apart counts as matters to nobody before it has its source again.
        self.apart.push((name.into(), Book::new(Source::DYNFW)));
        let last = self.apart.len() - 1;
        let held = self.apart.iter().map(|(_, book)| book.v4.len().max(book.v6.len())).sum::<usize>();
        let most = (self.max_entries / 2).saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
        Ok((&mut self.apart[last].1, &mut self.texts, most))
    }

    fn read_nets(&mut self, version: u16, clock: Clock, input: &mut Input) -> Result<(), SnapshotError> {
        let most = self.max_entries as usize;
        let (now, sink, applied) = (clock.now, &mut |_| {}, &mut Applied::default());
        for _ in 0..input.count()? {
            let (net, origin, found) = input.net(clock)?;
            let origin = match origin {
                NAMED if version >= 2 => self.holders.take(&input.text()?, &self.manual),
                origin => Some(origin).filter(|origin| *origin == COMMAND),
            };
            if let (Some(origin), Some((start, end, comment))) = (origin, found)
                && may_ban(Source::MANUAL, net).is_ok()
            {
                self.manual.restore(most, origin, net, start, end, comment);
            }
        }
        let protection = Some(&self.protection);
        self.manual.restored(&mut nets::Cause { now, most, protection, outside: false, sink, applied });
        for _ in 0..input.count()? {
            let (net, origin, found) = input.net(clock)?;
            if let (1..=2, Some((start, end, comment))) = (origin, found) {
                self.allow.restore(most, origin, net, start, end, comment);
            }
        }
        self.allow.restored(&mut nets::Cause { now, most, protection: None, outside: false, sink, applied });
        Ok(())
    }
}

/// The networks of a book.
fn read_ranges(book: &mut Book, most: u32, clock: Clock, input: &mut Input) -> Result<(), SnapshotError> {
    for _ in 0..input.count()? {
        let (net, _, found) = input.net(clock)?;
        if let Some((start, end, comment)) = found
            && may_ban(Source::MANUAL, net).is_ok()
        {
            book.nets.restore(most as usize, COMMAND, net, start, end, comment);
        }
    }
    let (most, sink, applied) = (most as usize, &mut |_| {}, &mut Applied::default());
    let protection = Some(&Protection::new(Vec::new()));
    book.nets.restored(&mut nets::Cause { now: clock.now, most, protection, outside: true, sink, applied });
    Ok(())
}

/// Seconds between the two, if both clocks can be believed.
fn away(then: u64, now: Option<u64>) -> Option<u32> {
    let seconds = now.filter(|_| then > 0)?.checked_sub(then)?;
    u32::try_from(seconds).ok().filter(|&seconds| seconds <= AWAY_MAX)
}

fn foreign_if_short(error: io::Error) -> SnapshotError {
    match SnapshotError::from(error) {
        SnapshotError::Truncated => SnapshotError::Foreign,
        other => other,
    }
}

/// From the snapshot's seconds to the ledger's.
#[derive(Clone, Copy)]
struct Clock {
    now: Moment,
    away: u32,
}

impl Clock {
    /// The moment so many seconds after the snapshot was written.
    fn moment(self, offset: i64) -> Moment {
        let moment = i64::from(self.now.0) - i64::from(self.away) + offset;
        Moment(u32::try_from(moment.max(0)).unwrap_or(u32::MAX).min(u32::MAX - 1))
    }

    /// The end of what had so many seconds left when the snapshot was written, if that is not past.
    fn end(self, remaining: u32) -> Option<End> {
        let left = remaining.checked_sub(self.away).filter(|&left| left > 0)?;
        Some(End::after(self.now, Lifetime::Seconds(left)))
    }
}

/// The kinds of reason in a head.
pub(super) mod kind {
    pub(in crate::ledger) const LISTED: u8 = 0;
    pub(in crate::ledger) const ANNOUNCED: u8 = 1;
    pub(in crate::ledger) const TAGGED: u8 = 2;
    pub(in crate::ledger) const PORT: u8 = 3;
    pub(in crate::ledger) const LOGIN: u8 = 4;
    pub(in crate::ledger) const COMMENT: u8 = 5;
}

/// Reads the bans of a book.
struct BanReader<'a> {
    clock: Clock,
    names: &'a BTreeMap<u64, Box<str>>,
    texts: &'a mut Texts,
    most: u32,
}

impl BanReader<'_> {
    fn table<K: Key>(
        &mut self,
        table: &mut Table<K>,
        count: u32,
        input: &mut Input,
        address: impl Fn(&mut Input) -> io::Result<K>,
    ) -> Result<(), SnapshotError> {
        let most = self.most as usize;
        table.reserve((count as usize).min(most));
        for _ in 0..count {
            let key = address(input)?;
            let head = input.byte()?;
            let (start, end) = input.span(self.clock, head)?;
            let reason = reason(head & 7, self.names, input)?;
            if let Some(end) = end {
                let word = self.texts.pack(reason);
                table.restore(key, Ban { start, end, word }, most, self.texts);
            }
        }
        table.restored();
        Ok(())
    }
}

/// The reason of that kind, its value read from the input.
fn reason<'a>(kind: u8, names: &'a BTreeMap<u64, Box<str>>, input: &mut Input) -> Result<ReasonRef<'a>, SnapshotError> {
    let text = |number: u64| names.get(&number).map_or(NOT_KEPT, |text| &**text);
    Ok(match kind {
        kind::LISTED => ReasonRef::Listed,
        kind::ANNOUNCED => ReasonRef::Announced,
        kind::TAGGED => ReasonRef::Tagged(text(input.varint()?)),
        kind::PORT => {
            let value = input.varint()?;
            ReasonRef::Port { protocol: (value >> 16) as u8, port: value as u16 }
        }
        kind::LOGIN => ReasonRef::Login(text(input.varint()?)),
        kind::COMMENT => ReasonRef::Comment(text(input.varint()?)),
        _ => return Err(SnapshotError::Damaged("kind of reason")),
    })
}

/// Writes records and keeps the checksum.
struct Output<'a> {
    out: BufWriter<&'a mut dyn Write>,
    crc: Crc,
}

impl Output<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.add(bytes);
        self.out.write_all(bytes)
    }

    fn count(&mut self, count: usize) -> io::Result<()> {
        self.bytes(&u32::try_from(count).map_err(io::Error::other)?.to_be_bytes())
    }

    fn varint(&mut self, mut number: u64) -> io::Result<()> {
        while number > 0x7f {
            self.bytes(&[number as u8 | 0x80])?;
            number >>= 7;
        }
        self.bytes(&[number as u8])
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let text = text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or_default();
        self.varint(text.len() as u64)?;
        self.bytes(text.as_bytes())
    }

    fn span(&mut self, now: Moment, start: Moment, end: End) -> io::Result<()> {
        self.varint(u64::from(now.since(start)))?;
        match end.left(now) {
            Some(Lifetime::Seconds(left)) => self.varint(u64::from(left)),
            _ => Ok(()),
        }
    }

    fn ban(&mut self, now: Moment, ban: Ban, number: Option<u16>, reason: ReasonRef) -> io::Result<()> {
        let (kind, value) = match reason {
            ReasonRef::Listed => (kind::LISTED, None),
            ReasonRef::Announced => (kind::ANNOUNCED, None),
            ReasonRef::Tagged(_) => (kind::TAGGED, number.map(u64::from)),
            ReasonRef::Port { protocol, port } => (kind::PORT, Some(u64::from(protocol) << 16 | u64::from(port))),
            ReasonRef::Login(_) => (kind::LOGIN, number.map(u64::from)),
            ReasonRef::Comment(_) => (kind::COMMENT, number.map(u64::from)),
        };
        self.bytes(&[kind | if ban.end == End::NEVER { FOREVER } else { 0 }])?;
        self.span(now, ban.start, ban.end)?;
        value.map_or(Ok(()), |value| self.varint(value))
    }

    /// The networks of every origin but UCI's.
    fn nets<'a>(&mut self, now: Moment, nets: &Nets, name: &dyn Fn(u8) -> Option<&'a str>) -> io::Result<()> {
        let kept = || nets.iter(now).filter(|(_, entry)| entry.origin != CONFIG);
        self.count(kept().count())?;
        for (net, entry) in kept() {
            match net.addr() {
                IpAddr::V4(address) => {
                    self.bytes(&[4, net.prefix_len()])?;
                    self.bytes(&address.octets())?;
                }
                IpAddr::V6(address) => {
                    self.bytes(&[6, net.prefix_len()])?;
                    self.bytes(&address.octets())?;
                }
            }
            let name = name(entry.origin);
            let origin = if name.is_some() { NAMED } else { entry.origin };
            self.bytes(&[origin, if entry.end == End::NEVER { FOREVER } else { 0 }])?;
            self.span(now, entry.start, entry.end)?;
            self.text(&entry.comment)?;
            name.map_or(Ok(()), |name| self.text(name))?;
        }
        Ok(())
    }
}

/// Reads records and keeps the checksum.
struct Input<'a> {
    input: BufReader<&'a mut dyn Read>,
    crc: Crc,
}

/// Start, end and comment of a network.
type NetRecord = (Moment, End, Box<str>);

/// The origin of a block whose holder's name follows.
const NAMED: u8 = 2;

impl Input<'_> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.crc.add(&bytes);
        Ok(bytes)
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn count(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn varint(&mut self) -> Result<u64, SnapshotError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(SnapshotError::Damaged("number"))
    }

    fn seconds(&mut self) -> Result<u32, SnapshotError> {
        u32::try_from(self.varint()?).map_err(|_| SnapshotError::Damaged("time"))
    }

    fn text(&mut self) -> Result<Box<str>, SnapshotError> {
        let length = usize::try_from(self.varint()?).ok().filter(|&length| length <= TEXT_MAX);
        let mut bytes = vec![0; length.ok_or(SnapshotError::Damaged("length of a text"))?];
        self.input.read_exact(&mut bytes)?;
        self.crc.add(&bytes);
        let text = str::from_utf8(&bytes).map_err(|_| SnapshotError::Damaged("text"))?;
        // The daemon's account may be somebody else's.
        Ok(outside::clean(text, TEXT_MAX).into())
    }

    /// Start, and the end if it is not past.
    fn span(&mut self, clock: Clock, head: u8) -> Result<(Moment, Option<End>), SnapshotError> {
        let start = clock.moment(-i64::from(self.seconds()?));
        let end = if head & FOREVER != 0 { Some(End::NEVER) } else { clock.end(self.seconds()?) };
        Ok((start, end))
    }

    fn names(&mut self) -> Result<BTreeMap<u64, Box<str>>, SnapshotError> {
        let mut names = BTreeMap::new();
        for _ in 0..self.count()? {
            let number = self.varint()?;
            names.insert(number, self.text()?);
            if names.len() > TEXTS_MAX {
                return Err(SnapshotError::Damaged("number of texts"));
            }
        }
        Ok(names)
    }

    /// A network, its origin, and the rest of its record if it has not ended.
    fn net(&mut self, clock: Clock) -> Result<(IpNet, u8, Option<NetRecord>), SnapshotError> {
        let (family, prefix) = (self.byte()?, self.byte()?);
        let address = match family {
            4 => IpAddr::from(self.array::<4>()?),
            6 => IpAddr::from(self.array::<16>()?),
            _ => return Err(SnapshotError::Damaged("address family")),
        };
        let net = IpNet::new(address, prefix).map_err(|_| SnapshotError::Damaged("prefix length"))?;
        let (origin, head) = (self.byte()?, self.byte()?);
        let (start, end) = self.span(clock, head)?;
        let comment = self.text()?;
        Ok((normal(net), origin, end.map(|end| (start, end, comment))))
    }

    fn totals(&mut self) -> Result<Totals, SnapshotError> {
        let mut totals = Totals::new();
        let count = self.count()?;
        if count > TOTALS_MAX {
            return Err(SnapshotError::Damaged("number of totals"));
        }
        for _ in 0..count {
            let name = self.text()?;
            totals.insert(name, u64::from_be_bytes(self.array()?));
        }
        Ok(totals)
    }
}
