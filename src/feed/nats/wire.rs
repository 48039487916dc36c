//! DisWall's message bodies and subjects: bytes in, values out, and back.
//!
//! Pure functions without a socket, so that tables and a fuzzer can drive them; they never panic,
//! whatever the bytes. Called by the feed's session, and by the fuzz target and the corpus test.
//!
//! What every body has in common: it must be UTF-8 or it is refused as a whole; spaces at the ends of
//! a line and a carriage return do not matter; IPv4 addresses in IPv6 clothing (`::ffff:192.0.2.1`)
//! count as IPv4, as they do at the service. Seconds are decimal digits; 0 is refused, since a ban
//! that ends at once is none and the kernel would take 0 for "for ever"; whatever is above
//! [`MAX_SECONDS`] means that, however long the number.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::Utf8Error;

use crate::feed::intake::{Intake, Reading};
use crate::json::{self, fields};
use crate::model::{Entry, Lifetime, List};
use ipnet::IpNet;

/// The longest ban the service announces, in seconds: what it caps its own numbers at.
pub const MAX_SECONDS: u32 = 2_147_483;

/// How long a ban holds for which no seconds were announced (another router of the same login only
/// names the address): the first step of the service's ladder, in seconds.
pub const DEFAULT_SECONDS: u32 = 900;

/// Longest tag the service takes, in bytes.
pub const TAG_MAX: usize = 25;

/// The header of what a hub answers, which nothing has that is told of its own accord.
pub const ANSWER: &str = "Diswall-Answer";

/// The login that needs no registration and is shared by everybody.
pub const DEFAULT_LOGIN: &str = "default";

/// The host part of subjects for whoever did not choose one and uses the shared login.
pub const DEFAULT_HOST: &str = "openwrt";

/// Bytes of a list that are read at a time: some thousand lines.
const PIECE: usize = 64 * 1024;

/// Longest piece of a refused text that an error repeats, in characters.
const EXCERPT: usize = 60;

/// Why a body, or one line of a list, was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The body is no UTF-8.
    Encoding(Utf8Error),
    /// No address (or network, where those are taken).
    Address(String),
    /// A network where only a single address can be banned.
    Network(String),
    /// An allowance for every address there is.
    Everything(String),
    /// Seconds that are no number, or 0.
    Seconds(String),
    /// A line of a list that has another form.
    Form(String),
    /// What a hub said and the form that it has not.
    Word(String, &'static str),
    /// One allowance more than are taken: so many.
    TooMany(usize),
    /// A list in which not a single line was usable: so many lines, and what was wrong with the last.
    Useless(usize, Box<WireError>),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Encoding(cause) => write!(f, "the body is no UTF-8: {cause}"),
            WireError::Address(text) => write!(f, "\"{text}\" is no address"),
            WireError::Network(text) => write!(f, "\"{text}\" is a network; only single addresses can be banned"),
            WireError::Everything(text) => write!(f, "\"{text}\" would allow every address"),
            WireError::Seconds(text) => write!(f, "\"{text}\" is no number of seconds above 0"),
            WireError::Form(text) => write!(f, "\"{text}\" is not of the form ADDRESS timeout SECONDS"),
            WireError::Word(text, form) => write!(f, "\"{text}\" is not of the form {form}"),
            WireError::TooMany(most) => write!(f, "more than the {most} allowances that are taken"),
            WireError::Useless(lines, cause) => write!(f, "none of the list's {lines} lines is usable: {cause}"),
        }
    }
}

impl std::error::Error for WireError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WireError::Encoding(cause) => Some(cause),
            WireError::Useless(_, cause) => Some(cause.as_ref()),
            _ => None,
        }
    }
}

/// A list that was taken, and the lines that were not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken<T> {
    /// What was usable.
    pub list: T,
    /// How many lines were refused.
    pub refused: u32,
    /// What was wrong with the last of them.
    pub last_refusal: Option<WireError>,
}

/// The reply to an init request for the block list: lines `ADDRESS timeout SECONDS`. Empty lines are
/// skipped, a line without seconds means [`DEFAULT_SECONDS`], an empty body an empty list.
pub fn block_list(body: &[u8], intake: &Intake) -> Result<Taken<List>, WireError> {
    let mut reader = BlockReader::new(intake);
    while !reader.step(body)? {}
    reader.end()
}

/// Reads a block list piece by piece.
#[derive(Debug)]
pub struct BlockReader(Lines<Reading>);

impl BlockReader {
    /// Nothing is read yet.
    pub fn new(intake: &Intake) -> BlockReader {
        BlockReader(Lines::new(intake.begin(0)))
    }

    /// Reads the next piece of the body, which is the same each time; `true`: that was the last.
    ///
    /// # Errors
    /// It is no text: the list is of no use.
    pub fn step(&mut self, body: &[u8]) -> Result<bool, WireError> {
        self.0.step(body, &mut |line, list| {
            let (address, lifetime) = split_line(line)?;
            list.take(single(address)?, lifetime.unwrap_or(Lifetime::Seconds(DEFAULT_SECONDS)));
            Ok(())
        })
    }

    /// What was read.
    ///
    /// # Errors
    /// No line was usable.
    pub fn end(self) -> Result<Taken<List>, WireError> {
        let Taken { list, refused, last_refusal } = self.0.end()?;
        Ok(Taken { list: list.end().0, refused, last_refusal })
    }
}

/// The reply to an init request for the allow list: lines `ADDRESS[/PREFIX] [timeout SECONDS]`; without
/// seconds an allowance has no end.
/// At most `most` of them are taken; the rest is refused.
pub fn allow_list(body: &[u8], most: usize) -> Result<Taken<Vec<Entry>>, WireError> {
    let mut reader = AllowReader::new(most);
    while !reader.step(body)? {}
    reader.end()
}

/// Reads an allow list piece by piece, as [`BlockReader`] does.
#[derive(Debug)]
pub struct AllowReader(Lines<BTreeMap<IpNet, Lifetime>>, usize);

impl AllowReader {
    /// Nothing is read yet; at most so many entries will be.
    pub fn new(most: usize) -> AllowReader {
        AllowReader(Lines::new(BTreeMap::new()), most)
    }

    /// See [`BlockReader::step`].
    ///
    /// # Errors
    /// See there.
    pub fn step(&mut self, body: &[u8]) -> Result<bool, WireError> {
        let most = self.1;
        self.0.step(body, &mut |line, list| {
            let (net, lifetime) = split_line(line)?;
            let (net, lifetime) = (network(net)?, lifetime.unwrap_or(Lifetime::Forever));
            if list.len() >= most && !list.contains_key(&net) {
                return Err(WireError::TooMany(most));
            }
            list.insert(net, lifetime);
            Ok(())
        })
    }

    /// What was read.
    ///
    /// # Errors
    /// No line was usable.
    pub fn end(self) -> Result<Taken<Vec<Entry>>, WireError> {
        let Taken { list, refused, last_refusal } = self.0.end()?;
        let list = list.into_iter().map(|(net, lifetime)| allowance(net, lifetime)).collect();
        Ok(Taken { list, refused, last_refusal })
    }
}

/// `ADDRESS|SECONDS`, the body on `diswall.blacklist.new` and `….default`.
pub fn announced_ban(body: &[u8]) -> Result<(IpAddr, Lifetime), WireError> {
    let text = text(body)?;
    let (address, lifetime) = text.split_once('|').ok_or_else(|| WireError::Seconds(excerpt(text)))?;
    Ok((single(address)?, seconds(lifetime)?))
}

/// `ADDRESS` or `ADDRESS|TAG`, the body on `….add.<host>` of the block list. An empty tag is no tag;
/// one that is longer than [`TAG_MAX`] is cut there.
pub fn shared_ban(body: &[u8]) -> Result<(IpAddr, Option<&str>), WireError> {
    let text = text(body)?;
    let (address, tag) = text.split_once('|').unwrap_or((text, ""));
    let tag = cut(tag.trim(), TAG_MAX).trim_end();
    Ok((single(address)?, (!tag.is_empty()).then_some(tag)))
}

/// `ADDRESS`, the body on `….del.<host>` of the block list. What follows a `|` is ignored.
pub fn unban(body: &[u8]) -> Result<IpAddr, WireError> {
    shared_ban(body).map(|(address, _)| address)
}

/// `ADDRESS[/PREFIX]`, the body on `….add.<host>` and `….del.<host>` of the allow list.
pub fn allowed(body: &[u8]) -> Result<IpNet, WireError> {
    network(text(body)?)
}

/// An allowance as the ledger takes it.
pub fn allowance(net: IpNet, lifetime: Lifetime) -> Entry {
    Entry { net, lifetime, comment: "".into() }
}

/// The body that shares a ban: `ADDRESS`, or `ADDRESS|TAG` with the tag cut to what the service takes
/// and freed of characters that have a meaning in the body.
pub fn encode_ban(address: IpAddr, tag: &str) -> String {
    let tag: String = tag.chars().filter(|c| *c != '|' && !c.is_control()).collect();
    let tag = cut(tag.trim(), TAG_MAX).trim_end();
    if tag.is_empty() { address.to_string() } else { format!("{address}|{tag}") }
}

/// One hour of this router's work, as the service takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// When the hour ended, Unix seconds.
    pub time: u64,
    /// Addresses this router banned.
    pub banned: u64,
    /// Packets it dropped.
    pub packets_dropped: u64,
    /// Bytes it dropped.
    pub bytes_dropped: u64,
    /// Packets it let through.
    pub packets_accepted: u64,
    /// Bytes it let through.
    pub bytes_accepted: u64,
}

impl Statistics {
    /// The JSON that is published.
    pub fn encode(&self) -> String {
        json::to_string(self)
    }
}

fields!(Statistics { time, banned, packets_dropped, bytes_dropped, packets_accepted, bytes_accepted });

/// The subjects of one login and host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    /// Where new bans are announced.
    pub new: String,
    /// Init request for the block list.
    pub block_init: String,
    /// Init request for the allow list.
    pub allow_init: String,
    /// Bans by every router of the login.
    pub block_adds: String,
    /// Bans taken back by them.
    pub block_dels: String,
    /// Allowances by them.
    pub allow_adds: String,
    /// Allowances taken back by them.
    pub allow_dels: String,
    /// Where this router shares a ban.
    pub block_add: String,
    /// Where it takes one back.
    pub block_del: String,
    /// Where it sends its statistics.
    pub statistics: String,
}

impl Subjects {
    /// The subjects for a login and a host, both of which [`token`] accepts.
    pub fn new(login: &str, host: &str) -> Result<Subjects, TokenError> {
        token(login)?;
        token(host)?;
        let list = |colour: &str, verb: &str, host: &str| format!("diswall.{colour}list.{login}.{verb}.{host}");
        let news = if login == DEFAULT_LOGIN { DEFAULT_LOGIN } else { "new" };
        Ok(Subjects {
            new: format!("diswall.blacklist.{news}"),
            block_init: list("black", "init", host),
            allow_init: list("white", "init", host),
            block_adds: list("black", "add", "*"),
            block_dels: list("black", "del", "*"),
            allow_adds: list("white", "add", "*"),
            allow_dels: list("white", "del", "*"),
            block_add: list("black", "add", host),
            block_del: list("black", "del", host),
            statistics: format!("diswall.stats.{login}.add.{host}"),
        })
    }
}

/// A name that cannot be a part of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError(String);

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" cannot be part of a NATS subject: 1 to 128 characters are accepted, none of them a space, a \
             control character, \".\", \"*\" or \">\"",
            self.0
        )
    }
}

impl std::error::Error for TokenError {}

/// Whether `name` can be one part of a subject: 1 to 128 bytes without spaces, control characters,
/// dots and NATS's wildcards.
pub fn token(name: &str) -> Result<(), TokenError> {
    if (1..=128).contains(&name.len()) && !name.contains(forbidden) { Ok(()) } else { Err(TokenError(excerpt(name))) }
}

/// The host part of subjects: the owner's choice if there is one, else [`DEFAULT_HOST`] for the shared
/// login, else the router's own name. Dots, and whatever else NATS forbids, become underscores.
pub fn host_part(login: &str, chosen: Option<&str>, system_hostname: &str) -> String {
    let name = chosen.unwrap_or(if login == DEFAULT_LOGIN { DEFAULT_HOST } else { system_hostname });
    let host: String = cut(name.trim(), 128).chars().map(|c| if forbidden(c) { '_' } else { c }).collect();
    if host.is_empty() { DEFAULT_HOST.into() } else { host }
}

fn forbidden(c: char) -> bool {
    matches!(c, '.' | '*' | '>') || c.is_whitespace() || c.is_control()
}

/// A list that is taken line by line, a piece of it at a time: whoever else has something to do is not held up.
#[derive(Debug)]
struct Lines<T> {
    taken: Taken<T>,
    lines: usize,
    /// Bytes that were read.
    at: usize,
}

/// Puts a line's content into the list, or says what is wrong with it.
type TakeLine<'a, T> = &'a mut dyn FnMut(&str, &mut T) -> Result<(), WireError>;

impl<T> Lines<T> {
    fn new(empty: T) -> Lines<T> {
        Lines { taken: Taken { list: empty, refused: 0, last_refusal: None }, lines: 0, at: 0 }
    }

    fn step(&mut self, body: &[u8], take: TakeLine<'_, T>) -> Result<bool, WireError> {
        let rest = body.get(self.at..).unwrap_or_default();
        let end = rest.iter().skip(PIECE).position(|byte| *byte == b'\n');
        let piece = end.and_then(|more| rest.get(..PIECE + more + 1)).unwrap_or(rest);
        let text = std::str::from_utf8(piece).map_err(WireError::Encoding)?;
        for line in text.split('\n').map(str::trim).filter(|line| !line.is_empty()) {
            self.lines += 1;
            if let Err(refusal) = take(line, &mut self.taken.list) {
                self.taken.refused += 1;
                self.taken.last_refusal = Some(refusal);
            }
        }
        self.at += piece.len();
        Ok(self.at >= body.len())
    }

    fn end(self) -> Result<Taken<T>, WireError> {
        let Lines { taken, lines, .. } = self;
        // An error text in place of a list must not free whatever is banned.
        match taken.last_refusal {
            Some(refusal) if taken.refused as usize == lines => Err(WireError::Useless(lines, Box::new(refusal))),
            last_refusal => Ok(Taken { last_refusal, ..taken }),
        }
    }
}

/// `FIRST` or `FIRST timeout SECONDS`.
fn split_line(line: &str) -> Result<(&str, Option<Lifetime>), WireError> {
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(first), None, None, None) => Ok((first, None)),
        (Some(first), Some("timeout"), Some(lifetime), None) => Ok((first, Some(seconds(lifetime)?))),
        _ => Err(WireError::Form(excerpt(line))),
    }
}

pub(super) fn text(body: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(body).map(str::trim).map_err(WireError::Encoding)
}

pub(super) fn seconds(text: &str) -> Result<Lifetime, WireError> {
    let digits = text.trim();
    let number = digits.trim_start_matches('0');
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(WireError::Seconds(excerpt(digits)));
    }
    // All digits, so the only way to fail is to be too large.
    Ok(Lifetime::Seconds(number.parse::<u32>().unwrap_or(MAX_SECONDS).min(MAX_SECONDS)))
}

/// A single address; `/32` and `/128` may say so.
pub(super) fn single(text: &str) -> Result<IpAddr, WireError> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical());
    }
    let net: IpNet = text.parse().map_err(|_| WireError::Address(excerpt(text)))?;
    if net.prefix_len() == net.max_prefix_len() {
        Ok(net.addr().to_canonical())
    } else {
        Err(WireError::Network(excerpt(text)))
    }
}

/// An address or a network, host bits cleared.
fn network(text: &str) -> Result<IpNet, WireError> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let net: IpNet = text.parse().map_err(|_| WireError::Address(excerpt(text)))?;
    let net = canonical(net).trunc();
    if net.prefix_len() == 0 { Err(WireError::Everything(excerpt(text))) } else { Ok(net) }
}

/// A network of IPv4-mapped IPv6 addresses as the IPv4 network it stands for.
fn canonical(net: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = Ipv6Addr::BITS as u8 - Ipv4Addr::BITS as u8;
    match (net.addr().to_canonical(), net.prefix_len().checked_sub(MAPPED_BITS)) {
        (IpAddr::V4(address), Some(prefix)) if matches!(net, IpNet::V6(_)) => {
            IpNet::new(address.into(), prefix).unwrap_or(net)
        }
        _ => net,
    }
}

/// The longest start of `text` that is at most `bytes` long and ends between characters.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// A refused text as an error may repeat it: short, and nothing in it that a terminal would obey.
pub(super) fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(EXCERPT).flat_map(char::escape_debug).collect();
    if text.chars().nth(EXCERPT).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn intake() -> Intake {
        Intake::new(1000, |_| true)
    }

    fn listed(body: &str) -> (Vec<(String, u32)>, u32) {
        let taken = block_list(body.as_bytes(), &intake()).unwrap();
        let seconds = |lifetime| match lifetime {
            Lifetime::Seconds(seconds) => seconds,
            Lifetime::Forever => panic!("a feed's ban without an end"),
        };
        let v4 = taken.list.v4.iter().map(|entry| (entry.address.to_string(), seconds(entry.lifetime)));
        let v6 = taken.list.v6.iter().map(|entry| (entry.address.to_string(), seconds(entry.lifetime)));
        (v4.chain(v6).collect(), taken.refused)
    }

    #[test]
    fn block_lists_of_every_kind() {
        type Expected = &'static [(&'static str, u32)];
        let table: [(&str, Expected, u32); 8] = [
            ("", &[], 0),
            ("\n", &[], 0),
            (
                "203.0.113.7 timeout 900\n\n198.51.100.9 timeout 3600",
                &[("203.0.113.7", 900), ("198.51.100.9", 3600)],
                0,
            ),
            (
                "203.0.113.7 timeout 900\r\n2001:db8::7  timeout\t86400 \r\n",
                &[("203.0.113.7", 900), ("2001:db8::7", 86400)],
                0,
            ),
            ("::ffff:203.0.113.7 timeout 5\n203.0.113.8/32 timeout 6", &[("203.0.113.7", 5), ("203.0.113.8", 6)], 0),
            ("203.0.113.7\n203.0.113.8 timeout 007", &[("203.0.113.7", 900), ("203.0.113.8", 7)], 0),
            (
                "203.0.113.7 timeout 2147483\n203.0.113.8 timeout 2147484\n203.0.113.9 timeout 99999999999999999999999",
                &[("203.0.113.7", 2_147_483), ("203.0.113.8", 2_147_483), ("203.0.113.9", 2_147_483)],
                0,
            ),
            (
                "203.0.113.1 timeout 0\n203.0.113.2 timeout -5\n203.0.113.3 timeout\n203.0.113.4 timeout 1s\n\
                 203.0.113.5 expires 9\n203.0.113.6 timeout 9 x\n203.0.113.0/24 timeout 9\nrubbish timeout 9\n\
                 203.0.113.300 timeout 9\n203.0.113.7 timeout +9\n203.0.113.8 timeout 9",
                &[("203.0.113.8", 9)],
                10,
            ),
        ];
        for (body, expected, refused) in table {
            let expected: Vec<_> = expected.iter().map(|(text, seconds)| ((*text).to_owned(), *seconds)).collect();
            assert_eq!(listed(body), (expected, refused), "{body:?}");
        }
    }

    #[test]
    fn a_long_list_is_read_in_pieces_and_no_line_is_lost() {
        let body: String = (0..20_000).map(|number| format!("{} timeout 9\n", Ipv4Addr::from_bits(number))).collect();
        let mut reader = BlockReader::new(&Intake::new(30_000, |_| true));
        let pieces = 1 + (0..1000).take_while(|_| !reader.step(body.as_bytes()).unwrap()).count();
        assert_eq!(pieces, body.len().div_ceil(PIECE));
        let taken = reader.end().unwrap();
        assert_eq!((taken.list.v4.len(), taken.refused), (20_000, 0));
        let long = [body.as_bytes(), &[b'x'; 3 * PIECE]].concat();
        assert_eq!(block_list(&long, &Intake::new(30_000, |_| true)).unwrap().refused, 1);
        let damaged = [body.as_bytes(), b"\xff"].concat();
        assert!(matches!(block_list(&damaged, &intake()), Err(WireError::Encoding(_))));
        assert_eq!(allow_list(body.as_bytes(), 30_000).unwrap().list.len(), 20_000);
    }

    #[test]
    fn an_error_text_is_no_list() {
        let refusal = block_list(b"internal error\ntry later", &intake()).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "none of the list's 2 lines is usable: \"try later\" is not of the form ADDRESS timeout SECONDS"
        );
        assert!(matches!(block_list(b"203.0.113.7 timeout 9\n\xff", &intake()), Err(WireError::Encoding(_))));
        assert!(matches!(allow_list(b"\xc3\x28", 9), Err(WireError::Encoding(_))));
    }

    #[test]
    fn allow_lists_hold_networks() {
        let taken = allow_list(
            b"192.0.2.77/24\n198.51.100.7 timeout 60\n2001:db8::1/32\n::ffff:203.0.113.0/120\n0.0.0.0/0\n::/0\n1.2.3.4 timeout 0",
            9,
        )
        .unwrap();
        let shown: Vec<_> = taken.list.iter().map(|entry| (entry.net.to_string(), entry.lifetime)).collect();
        assert_eq!(
            shown,
            [
                ("192.0.2.0/24".to_owned(), Lifetime::Forever),
                ("198.51.100.7/32".to_owned(), Lifetime::Seconds(60)),
                ("203.0.113.0/24".to_owned(), Lifetime::Forever),
                ("2001:db8::/32".to_owned(), Lifetime::Forever),
            ]
        );
        assert_eq!(taken.refused, 3);
        let taken = allow_list(b"192.0.2.0/24\n192.0.2.0/24\n198.51.100.7\n198.51.100.8", 2).unwrap();
        assert_eq!((taken.list.len(), taken.refused), (2, 1), "one too many");
    }

    #[test]
    fn announced_bans() {
        assert_eq!(announced_ban(b"203.0.113.7|900"), Ok((ip("203.0.113.7"), Lifetime::Seconds(900))));
        assert_eq!(announced_ban(b" 2001:db8::7 | 5 \n"), Ok((ip("2001:db8::7"), Lifetime::Seconds(5))));
        assert_eq!(announced_ban(b"203.0.113.7|4294967296"), Ok((ip("203.0.113.7"), Lifetime::Seconds(MAX_SECONDS))));
        for bad in
            ["", "203.0.113.7", "203.0.113.7|", "203.0.113.7|0", "203.0.113.7|x", "|9", "203.0.113.0/24|9", "x|9"]
        {
            assert!(announced_ban(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(
            announced_ban(b"203.0.113.7|soon").unwrap_err().to_string(),
            "\"soon\" is no number of seconds above 0"
        );
    }

    #[test]
    fn shared_bans_and_their_tags() {
        assert_eq!(shared_ban(b"203.0.113.7"), Ok((ip("203.0.113.7"), None)));
        assert_eq!(shared_ban(b"203.0.113.7|"), Ok((ip("203.0.113.7"), None)));
        assert_eq!(shared_ban(b"203.0.113.7|ssh"), Ok((ip("203.0.113.7"), Some("ssh"))));
        let long = format!("203.0.113.7|{}", "ä".repeat(20));
        assert_eq!(shared_ban(long.as_bytes()), Ok((ip("203.0.113.7"), Some("ä".repeat(12).as_str()))));
        let cut_at_a_space = format!("203.0.113.7|{} rest", "x".repeat(24));
        assert_eq!(shared_ban(cut_at_a_space.as_bytes()), Ok((ip("203.0.113.7"), Some("x".repeat(24).as_str()))));
        assert_eq!(unban(b"203.0.113.7|whatever"), Ok(ip("203.0.113.7")));
        assert!(unban(b"203.0.113.0/24").is_err());
        assert_eq!(allowed(b"203.0.113.9/24"), Ok("203.0.113.0/24".parse().unwrap()));
    }

    #[test]
    fn what_is_sent_can_be_read_back() {
        assert_eq!(encode_ban(ip("203.0.113.7"), ""), "203.0.113.7");
        assert_eq!(encode_ban(ip("2001:db8::7"), "s|s\nh"), "2001:db8::7|ssh");
        let body = encode_ban(ip("203.0.113.7"), &"x".repeat(26));
        assert_eq!(shared_ban(body.as_bytes()), Ok((ip("203.0.113.7"), Some("x".repeat(25).as_str()))));
        let statistics =
            Statistics { time: 1, banned: 2, packets_dropped: 3, bytes_dropped: u64::MAX, ..Statistics::default() };
        assert_eq!(
            statistics.encode(),
            r#"{"time":1,"banned":2,"packets_dropped":3,"bytes_dropped":18446744073709551615,"packets_accepted":0,"bytes_accepted":0}"#
        );
    }

    #[test]
    fn subjects_of_a_login() {
        let subjects = Subjects::new("alice", &host_part("alice", None, "turris.lan")).unwrap();
        assert_eq!(subjects.new, "diswall.blacklist.new");
        assert_eq!(subjects.block_init, "diswall.blacklist.alice.init.turris_lan");
        assert_eq!(subjects.allow_dels, "diswall.whitelist.alice.del.*");
        assert_eq!(subjects.block_add, "diswall.blacklist.alice.add.turris_lan");
        assert_eq!(subjects.statistics, "diswall.stats.alice.add.turris_lan");
        let shared = Subjects::new("default", &host_part("default", None, "turris")).unwrap();
        assert_eq!(shared.new, "diswall.blacklist.default");
        assert_eq!(shared.block_init, "diswall.blacklist.default.init.openwrt");
        assert_eq!(host_part("default", Some("my.host"), "turris"), "my_host");
        assert_eq!(host_part("alice", None, ""), "openwrt");
        assert_eq!(host_part("alice", None, "a b*>\n"), "a_b__");
        for bad in ["", "a.b", "*", "a>", "a b", "a\r\nPUB x", &"x".repeat(129)] {
            assert!(Subjects::new(bad, "host").is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_ban_is_endless(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (announced_ban(&body), shared_ban(&body), allowed(&body), allow_list(&body, 9));
            if let Ok(taken) = block_list(&body, &intake()) {
                for entry in &taken.list.v4 {
                    prop_assert!(matches!(entry.lifetime, Lifetime::Seconds(1..=MAX_SECONDS)));
                }
            }
        }

        #[test]
        fn hosts_are_always_tokens(login in "[a-z]{1,8}", chosen in proptest::option::of(".{0,200}"), system in ".{0,200}") {
            prop_assert_eq!(token(&host_part(&login, chosen.as_deref(), &system)), Ok(()));
        }
    }
}
