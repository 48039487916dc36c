//! The record of what must outlive a power cut: what the owner and his programs have said by command, and
//! in little what the router saw itself. Frames are appended as things are said; the whole is written anew
//! when it has grown. Pure bytes: `record_file` has the disk.
//!
//! A frame stands for itself, so that whatever else is torn, cut off or foreign is passed over, and a
//! command with many addresses is there whole or not at all. Layout, integers big-endian, `varint` and texts
//! as in `snapshot`:
//!
//! ```text
//! frame    "\xd1dw1", length u32 and CRC-32 (IEEE) u32 of the body
//! body     kind u8, boot u32, Unix seconds varint, seconds since boot varint, and by kind:
//!   'c'    nothing: a reading of the clocks
//!   'b'    ban: holder, lifetime varint (0: until taken back), age varint, comment, nets
//!   'u'    taken back: holder, nets (none: all)
//!   'a'    allowed: lifetime, age, comment, nets        'd'  disallowed: nets
//!   's'    seen by the router: count varint, each: net, lifetime, age, bans so far varint, reason
//!   'f'    such bans taken back: nets
//!   'n'    what a host name of the owner's stands for: the name, nets
//!   'o'    offenders: count varint, each: key u64, bans varint, end i32 (seconds from then)
//! nets     count varint, each: prefix u8 (IPv6: 40 more), the address's first bytes as the prefix needs them
//! reason   kind u8 as in `snapshot`, protocol and port as varint, or a text
//! ```
//!
//! Both clocks are in every frame, because a router often boots with a wrong one: within one boot the time
//! since the boot counts, and a boot's last reading of the wall clock tells what the earlier ones were.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::escalation::Past;
use super::moment::{End, Moment};
use super::reason::ReasonRef;
use super::rows::Ban;
use super::snapshot::{AWAY_MAX, kind};
use super::{Applied, COMMAND, CONFIG, Ledger, Place, may_ban, nets, normal};
use crate::model::{Lifetime, Reason, Source};
use crate::outside;
use crate::whole_file::Crc;

/// The longest record that is kept: flash is small, and fills for everybody.
pub const RECORD_MAX: usize = 2 << 20;

/// Of the router's own bans, and of offenders, the newest so many are kept.
const OWN_MOST: usize = 4096;

const SYNC: [u8; 4] = *b"\xd1dw1";

/// A record whose frames are whole is summed up once. So many times its length is summed up at most, behind what only looks
/// like the beginning of a frame: somebody may have written a file of nothing else.
const SUMS: usize = 8;

/// Before a body: sync, length, checksum.
const HEAD: usize = 12;

/// Longest text in a frame, in bytes.
const TEXT_MAX: usize = 1024;

/// A reading of the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Tells this boot of the machine from others; 0: unknown.
    pub boot: u32,
    /// Unix seconds; 0: unknown.
    pub wall: u64,
    /// The ledger's now.
    pub now: Moment,
}

/// What is said.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    /// The clocks have been set.
    Clock,
    /// Banned by command.
    Ban {
        /// In whose name.
        by: &'a str,
        /// From now.
        lifetime: Lifetime,
        /// Why.
        comment: &'a str,
        /// What.
        nets: &'a [IpNet],
    },
    /// Taken back.
    LetGo {
        /// In whose name.
        by: &'a str,
        /// What; none: everything.
        nets: &'a [IpNet],
    },
    /// Allowed by command.
    Allow {
        /// From now.
        lifetime: Lifetime,
        /// Why.
        comment: &'a str,
        /// What.
        nets: &'a [IpNet],
    },
    /// Allowed no longer.
    Disallow(&'a [IpNet]),
    /// Bans of the router's own, taken back by the owner.
    Free(&'a [IpNet]),
    /// The addresses of a host name that the owner allows or blocks.
    Name {
        /// The name.
        name: &'a str,
        /// Its addresses.
        nets: &'a [IpNet],
    },
}

/// The frame of a word.
pub fn frame(clocks: Clocks, word: Word<'_>) -> Vec<u8> {
    let mut out = Frame::new(
        clocks,
        match word {
            Word::Clock => b'c',
            Word::Ban { .. } => b'b',
            Word::LetGo { .. } => b'u',
            Word::Allow { .. } => b'a',
            Word::Disallow(_) => b'd',
            Word::Free(_) => b'f',
            Word::Name { .. } => b'n',
        },
    );
    match word {
        Word::Clock => {}
        Word::Ban { by, lifetime, comment, nets } => {
            out.text(by);
            out.entry(lifetime, 0, comment);
            out.nets(nets);
        }
        Word::LetGo { by: name, nets } | Word::Name { name, nets } => {
            out.text(name);
            out.nets(nets);
        }
        Word::Allow { lifetime, comment, nets } => {
            out.entry(lifetime, 0, comment);
            out.nets(nets);
        }
        Word::Disallow(nets) | Word::Free(nets) => out.nets(nets),
    }
    out.finish()
}

/// A frame that is being written.
struct Frame(Vec<u8>);

impl Frame {
    fn new(clocks: Clocks, kind: u8) -> Frame {
        let mut out = Frame([&SYNC[..], &[0; HEAD - SYNC.len()], &[kind], &clocks.boot.to_be_bytes()].concat());
        out.varint(clocks.wall);
        out.varint(u64::from(clocks.now.since(Moment::BOOT)));
        out
    }

    fn finish(mut self) -> Vec<u8> {
        let body = self.0.get(HEAD..).unwrap_or_default();
        let mut crc = Crc::new();
        crc.add(body);
        let head = [&SYNC[..], &(body.len() as u32).to_be_bytes(), &crc.value().to_be_bytes()].concat();
        self.0.splice(..HEAD, head);
        self.0
    }

    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn text(&mut self, text: &str) {
        let text = text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or_default();
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn entry(&mut self, lifetime: Lifetime, age: u32, comment: &str) {
        self.lifetime(Some(lifetime));
        self.varint(u64::from(age));
        self.text(comment);
    }

    fn lifetime(&mut self, lifetime: Option<Lifetime>) {
        self.varint(match lifetime {
            Some(Lifetime::Seconds(seconds)) => u64::from(seconds),
            _ => 0,
        });
    }

    fn nets(&mut self, nets: &[IpNet]) {
        self.varint(nets.len() as u64);
        nets.iter().for_each(|net| self.net(*net));
    }

    fn net(&mut self, net: IpNet) {
        let prefix = net.prefix_len();
        let bytes = usize::from(prefix.div_ceil(8));
        match net.addr() {
            IpAddr::V4(address) => {
                self.0.push(prefix);
                self.0.extend_from_slice(address.octets().get(..bytes).unwrap_or_default());
            }
            IpAddr::V6(address) => {
                self.0.push(prefix + V6);
                self.0.extend_from_slice(address.octets().get(..bytes).unwrap_or_default());
            }
        }
    }

    fn reason(&mut self, reason: ReasonRef<'_>) {
        let (number, text) = match reason {
            ReasonRef::Port { protocol, port } => {
                self.0.push(kind::PORT);
                return self.varint(u64::from(protocol) << 16 | u64::from(port));
            }
            ReasonRef::Login(text) => (kind::LOGIN, text),
            ReasonRef::Tagged(text) => (kind::TAGGED, text),
            other => (kind::COMMENT, other.text()),
        };
        self.0.push(number);
        self.text(text);
    }
}

/// What a prefix of IPv6 is written with.
const V6: u8 = 40;

/// A ban or an allowance by command.
#[derive(Debug)]
struct Commanded {
    start: Moment,
    end: End,
    comment: Box<str>,
}

/// A ban of the router's own.
#[derive(Debug)]
struct Own {
    start: Moment,
    end: End,
    reason: Reason,
}

/// What a record says.
#[derive(Debug, Default)]
pub struct Record {
    bans: BTreeMap<(Box<str>, IpNet), Commanded>,
    allowances: BTreeMap<IpNet, Commanded>,
    own: BTreeMap<IpNet, Own>,
    offenders: BTreeMap<u64, Past>,
    /// Host names of the owner's, with what they stood for last.
    pub names: BTreeMap<Box<str>, Vec<IpNet>>,
    /// Frames that are whole.
    pub frames: usize,
    /// Bytes that belong to no whole frame.
    pub lost: usize,
    /// The newest moment that it mentions, in Unix seconds.
    pub newest: u64,
}

/// Reads what can be read of a record. `clocks` are those of now.
pub fn read(bytes: &[u8], clocks: Clocks) -> Record {
    let mut record = Record::default();
    // The last reading of the wall clock in each boot.
    let mut boots: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
    record.lost = for_each_frame(bytes, &mut |_, said, _| {
        boots.insert(said.boot, (said.wall, said.now.0));
    });
    let corrected = |said: Clocks| match boots.get(&said.boot) {
        Some((wall, now)) if *wall > 0 => wall.saturating_sub(u64::from(now.saturating_sub(said.now.0))),
        _ => said.wall,
    };
    for_each_frame(bytes, &mut |_, said, _| record.newest = record.newest.max(corrected(said)));
    let newest = record.newest;
    for_each_frame(bytes, &mut |kind, said, body| {
        record.frames += 1;
        let then = Moment(clocks.now.0.saturating_sub(since(said, corrected(said), clocks, newest)));
        // What another version adds is passed over.
        let _ = record.take(kind, then, Body(body));
    });
    record
}

/// The seconds since a frame was written, then, by the wall clock.
fn since(said: Clocks, then: u64, clocks: Clocks, newest: u64) -> u32 {
    let away = |until: u64| {
        let seconds = until.checked_sub(then).filter(|_| then > 0)?;
        u32::try_from(seconds).ok().filter(|seconds| *seconds <= AWAY_MAX)
    };
    let same_boot = said.boot == clocks.boot && said.boot != 0 && said.now <= clocks.now;
    let by_boot = same_boot.then(|| clocks.now.since(said.now));
    // A wall clock that was set meanwhile, or a boot that only looks like this one: the shorter is right. A
    // clock that is behind tells at least that it is no earlier than the newest frame.
    away(clocks.wall).into_iter().chain(by_boot).min().or_else(|| away(newest)).unwrap_or(0)
}

/// Hands on every whole frame, its kind and clocks apart, and says how many bytes belong to none.
fn for_each_frame(mut bytes: &[u8], f: &mut dyn FnMut(u8, Clocks, &[u8])) -> usize {
    let mut lost = 0;
    let mut patience = bytes.len().saturating_mul(SUMS);
    while !bytes.is_empty() {
        if patience == 0 {
            return lost + bytes.len();
        }
        if let Some((body, rest)) = next_frame(bytes, &mut patience)
            && let Some((kind, clocks, body)) = clocks_of(Body(body))
        {
            f(kind, clocks, body);
            bytes = rest;
        } else {
            lost += 1;
            bytes = bytes.get(1..).unwrap_or_default();
        }
    }
    lost
}

fn next_frame<'a>(bytes: &'a [u8], patience: &mut usize) -> Option<(&'a [u8], &'a [u8])> {
    let rest = bytes.strip_prefix(&SYNC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (body, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let mut found = Crc::new();
    found.add(body);
    *patience = patience.saturating_sub(body.len());
    (found.value() == u32::from_be_bytes(*crc)).then_some((body, rest))
}

fn clocks_of(mut body: Body<'_>) -> Option<(u8, Clocks, &[u8])> {
    let [kind] = body.array()?;
    let boot = u32::from_be_bytes(body.array()?);
    let wall = body.varint()?;
    let now = Moment::from_boottime(body.varint()?);
    Some((kind, Clocks { boot, wall, now }, body.0))
}

/// The rest of a body that is being read.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn seconds(&mut self) -> Option<u32> {
        self.varint().and_then(|seconds| u32::try_from(seconds).ok())
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.varint()?).ok().filter(|length| *length <= TEXT_MAX)?;
        // The daemon's account may be somebody else's.
        str::from_utf8(self.bytes(length)?).ok().map(|text| outside::clean(text, TEXT_MAX))
    }

    /// Start and end of what was said then.
    fn span(&mut self, then: Moment) -> Option<(Moment, End)> {
        let lifetime = match self.seconds()? {
            0 => Lifetime::Forever,
            seconds => Lifetime::Seconds(seconds),
        };
        let age = self.seconds()?;
        Some((Moment(then.0.saturating_sub(age)), End::after(then, lifetime)))
    }

    fn entry(&mut self, then: Moment) -> Option<Commanded> {
        let (start, end) = self.span(then)?;
        Some(Commanded { start, end, comment: self.text()?.into() })
    }

    fn nets(&mut self) -> Option<Vec<IpNet>> {
        let count = self.varint()?;
        (0..count).map(|_| self.net()).collect()
    }

    fn net(&mut self) -> Option<IpNet> {
        let [prefix] = self.array()?;
        let (prefix, is_v6) = if prefix >= V6 { (prefix - V6, true) } else { (prefix, false) };
        let written = self.bytes(usize::from(prefix.div_ceil(8)))?;
        let mut octets = [0; 16];
        octets.get_mut(..written.len())?.copy_from_slice(written);
        let address = match is_v6 {
            true => IpAddr::V6(Ipv6Addr::from(octets)),
            false => IpAddr::V4(Ipv4Addr::from(*octets.first_chunk::<4>()?)),
        };
        IpNet::new(address, prefix).ok().map(normal)
    }

    fn reason(&mut self) -> Option<Reason> {
        let [number] = self.array()?;
        Some(match number {
            kind::PORT => {
                let value = self.varint()?;
                Reason::Port { protocol: (value >> 16) as u8, port: value as u16 }
            }
            kind::LOGIN => Reason::Login(self.text()?.into()),
            kind::TAGGED => Reason::Tagged(self.text()?.into()),
            _ => Reason::Comment(self.text()?.into()),
        })
    }
}

impl Record {
    /// Whether there is anything that can be read.
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// One frame, said then. `None`: the rest of it makes no sense.
    fn take(&mut self, kind: u8, then: Moment, mut body: Body<'_>) -> Option<()> {
        match kind {
            b'b' => {
                let by = Box::<str>::from(body.text()?);
                let Commanded { start, end, comment } = body.entry(then)?;
                for net in body.nets()? {
                    self.bans.insert((by.clone(), net), Commanded { start, end, comment: comment.clone() });
                }
            }
            b'u' => {
                let by = Box::<str>::from(body.text()?);
                let nets = body.nets()?;
                if nets.is_empty() {
                    self.bans.retain(|(holder, _), _| *holder != by);
                }
                for net in nets {
                    self.bans.remove(&(by.clone(), net));
                }
            }
            b'a' => {
                let Commanded { start, end, comment } = body.entry(then)?;
                for net in body.nets()? {
                    self.allowances.insert(net, Commanded { start, end, comment: comment.clone() });
                }
            }
            b'n' => {
                let name = body.text()?;
                let nets = body.nets()?;
                self.names.insert(name.into(), nets);
            }
            b'd' => body.nets()?.iter().for_each(|net| drop(self.allowances.remove(net))),
            b'f' => body.nets()?.iter().for_each(|net| drop(self.own.remove(net))),
            b's' => {
                for _ in 0..body.varint()? {
                    let net = body.net()?;
                    let (start, end) = body.span(then)?;
                    let bans = body.seconds()?;
                    let reason = body.reason()?;
                    self.own.insert(net, Own { start, end, reason });
                    self.offends(super::escalation::offender(net.addr()), Past { bans, until: end.0 });
                }
            }
            b'o' => {
                for _ in 0..body.varint()? {
                    let key = u64::from_be_bytes(body.array()?);
                    let bans = body.seconds()?;
                    let until = i64::from(then.0) + i64::from(i32::from_be_bytes(body.array()?));
                    self.offends(key, Past { bans, until: u32::try_from(until.max(0)).unwrap_or(u32::MAX) });
                }
            }
            _ => {}
        }
        Some(())
    }

    fn offends(&mut self, key: u64, past: Past) {
        if past.bans > 0 {
            self.offenders.insert(key, past);
        }
    }
}

impl Ledger {
    /// Takes in what a record says. With `words`, what was said by command is as it says and not as it is
    /// here; of the router's own bans, it only adds.
    pub fn recall(&mut self, now: Moment, record: Record, words: bool) {
        let Record { bans, allowances, own, offenders, .. } = record;
        if words {
            self.recall_words(now, bans, allowances);
        }
        let Place::Book(index) = self.place(Source::SCAN) else { return };
        let most = self.max_entries as usize;
        for (net, Own { start, end, reason }) in own.into_iter().filter(|(_, own)| !own.end.is_over(now)) {
            let ban = Ban { start, end, word: self.texts.pack(ReasonRef::from(&reason)) };
            let book = &mut self.books[index];
            match net.network() {
                IpAddr::V4(key) if book.v4.get(key, now).is_none() => book.v4.restore(key, ban, most, &mut self.texts),
                IpAddr::V6(key) if book.v6.get(key, now).is_none() => book.v6.restore(key, ban, most, &mut self.texts),
                _ => self.texts.release(ban.word),
            }
        }
        self.books[index].v4.restored();
        self.books[index].v6.restored();
        for (key, past) in offenders {
            self.escalation.restore_later(key, past);
        }
    }

    fn recall_words(
        &mut self,
        now: Moment,
        bans: BTreeMap<(Box<str>, IpNet), Commanded>,
        allowances: BTreeMap<IpNet, Commanded>,
    ) {
        let (most, sink, applied) = (self.max_entries as usize, &mut |_| {}, &mut Applied::default());
        self.manual.forget(&|origin| origin != CONFIG);
        for ((by, net), entry) in bans.into_iter().filter(|(_, entry)| !entry.end.is_over(now)) {
            if let Some(origin) = self.holders.take(&by, &self.manual)
                && may_ban(Source::MANUAL, net).is_ok()
            {
                self.manual.restore(most, origin, net, entry.start, entry.end, entry.comment);
            }
        }
        let protection = Some(&self.protection);
        self.manual.restored(&mut nets::Cause { now, most, protection, outside: false, sink, applied });
        self.allow.forget(&|origin| origin == COMMAND);
        for (net, entry) in allowances.into_iter().filter(|(_, entry)| !entry.end.is_over(now)) {
            self.allow.restore(most, COMMAND, net, entry.start, entry.end, entry.comment);
        }
        self.allow.restored(&mut nets::Cause { now, most, protection: None, outside: false, sink, applied });
    }

    /// A record of all that is in force.
    pub fn record(&self, clocks: Clocks) -> Vec<u8> {
        let mut out = frame(clocks, Word::Clock);
        for (set, kind) in [(&self.manual, b'b'), (&self.allow, b'a')] {
            let kept =
                set.iter(clocks.now).filter(|(_, net)| net.origin != CONFIG && (kind == b'b' || net.origin == COMMAND));
            let mut kept: Vec<(IpNet, &nets::Net)> = kept.collect();
            let same = |net: &nets::Net| (net.origin, net.start, net.end);
            kept.sort_by(|(_, one), (_, other)| (same(one), &one.comment).cmp(&(same(other), &other.comment)));
            for group in kept.chunk_by(|(_, one), (_, other)| same(one) == same(other) && one.comment == other.comment)
            {
                let Some((_, first)) = group.first() else { continue };
                let mut frame = Frame::new(clocks, kind);
                if kind == b'b' {
                    frame.text(self.holders.name(first.origin));
                }
                frame.lifetime(first.end.left(clocks.now));
                frame.varint(u64::from(clocks.now.since(first.start)));
                frame.text(&first.comment);
                frame.nets(&group.iter().map(|(net, _)| *net).collect::<Vec<_>>());
                out.append(&mut frame.finish());
            }
        }
        out.extend(self.record_of_own(clocks, None).unwrap_or_default());
        let mut offenders: Vec<(u64, Past)> = self.escalation.iter().collect();
        offenders.sort_unstable_by_key(|(_, past)| std::cmp::Reverse(past.until));
        offenders.truncate(OWN_MOST);
        if !offenders.is_empty() {
            let mut frame = Frame::new(clocks, b'o');
            frame.varint(offenders.len() as u64);
            for (key, past) in offenders {
                frame.0.extend_from_slice(&key.to_be_bytes());
                frame.varint(u64::from(past.bans));
                let until = i64::from(past.until) - i64::from(clocks.now.0);
                let until = i32::try_from(until).unwrap_or(if until < 0 { i32::MIN } else { i32::MAX });
                frame.0.extend_from_slice(&until.to_be_bytes());
            }
            out.append(&mut frame.finish());
        }
        out
    }

    /// The frame of the router's own bans, or of those that began after a moment; `None` if there are none.
    pub fn record_of_own(&self, clocks: Clocks, after: Option<Moment>) -> Option<Vec<u8>> {
        let mut rows = Vec::new();
        self.for_each_ban(clocks.now, Some(Source::SCAN), &mut |ban| {
            if after.is_none_or(|after| ban.start > after) {
                rows.push(ban);
            }
        });
        rows.sort_unstable_by_key(|ban| std::cmp::Reverse(ban.start));
        rows.truncate(OWN_MOST);
        let mut frame = Frame::new(clocks, b's');
        frame.varint(rows.len() as u64);
        for ban in &rows {
            frame.net(ban.net);
            frame.lifetime(ban.end.map(|end| Lifetime::Seconds(end.since(clocks.now))));
            frame.varint(u64::from(clocks.now.since(ban.start)));
            frame.varint(u64::from(self.offences(clocks.now, ban.net.addr())));
            frame.reason(ban.reason);
        }
        (!rows.is_empty()).then(|| frame.finish())
    }
}
