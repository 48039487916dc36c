//! What one line of a list says, in each form.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::Format;
use crate::model::Family;
use crate::options::value;

/// First and last address, as numbers of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub family: Family,
    pub first: u128,
    pub last: u128,
    /// A network was written with some of its host bits set.
    pub masked: bool,
}

/// Why a line is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no whole address where one should be.
    NoAddress,
    /// `010.1.1.1`.
    LeadingZero,
    /// `::ffff:192.0.2.1`.
    Mapped,
    /// `00:11:22:33:44:55`.
    Mac,
    /// Wider than `/8`, or `/16` of IPv6.
    TooWide,
    /// `/33`.
    Prefix,
    /// `a-b` where b is below a or of the other family, or columns that contradict each other.
    Reversed,
    /// More than a line of a list has.
    TooLong,
    /// Of a JSON list: it is no flat object with a `cidr`.
    NoRecord,
    /// Of a list of names: it does not begin with one.
    NoName,
    /// `0.0.0.0 ads.example`.
    HostsFile,
}

impl Reason {
    /// Every kind; `reason as usize` is its place here.
    pub const ALL: [Reason; 11] = [
        Reason::NoAddress,
        Reason::LeadingZero,
        Reason::Mapped,
        Reason::Mac,
        Reason::TooWide,
        Reason::Prefix,
        Reason::Reversed,
        Reason::TooLong,
        Reason::NoRecord,
        Reason::NoName,
        Reason::HostsFile,
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::NoAddress => "no address or network where one should be",
            Reason::LeadingZero => "numbers with leading zeros, which some read as octal",
            Reason::Mapped => "an IPv4 address in the clothes of IPv6, which no packet carries",
            Reason::Mac => "a hardware address",
            Reason::TooWide => "wider than /8 (IPv6: /16), which would block a good part of the Internet",
            Reason::Prefix => "a prefix length or count that does not exist",
            Reason::Reversed => "two ends that do not fit together",
            Reason::TooLong => "longer than 4096 bytes",
            Reason::NoRecord => "no JSON object with a cidr",
            Reason::NoName => "no host name where one should be",
            Reason::HostsFile => "a line of a hosts file, which is a resolver's",
        })
    }
}

/// What a line was, if it was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What it holds was given out.
    Entry,
    /// It holds nothing for us: a rule for a name, another country.
    Passed,
    /// So many records there are to be.
    Records(u64),
}

/// Takes what a line holds; it may refuse it.
pub type Take<'a> = &'a mut dyn FnMut(Span) -> Result<(), Reason>;

/// Reads a line, which is trimmed, not empty and no comment. `format` must not be `Auto`.
///
/// # Errors
/// Why it is refused.
pub fn read(format: Format, text: &[u8], take: Take<'_>) -> Result<Outcome, Reason> {
    match format {
        Format::Auto | Format::Plain => take(whole(text)?)?,
        Format::Csv { column, separator } => take(whole(column_of(text, column, separator).unwrap_or_default())?)?,
        Format::Spamhaus => return spamhaus(text, take),
        Format::Dshield => take(dshield(text)?)?,
        Format::Ranges => take(named_range(text)?)?,
        Format::Rir { country } => return rir(text, country, take),
        Format::Suricata => return suricata(text, take),
        // No name is an address.
        Format::Names => return Err(Reason::NoName),
    }
    Ok(Outcome::Entry)
}

/// The host name with which a line of a list of names begins, in small letters; at most a comment behind it.
///
/// # Errors
/// Why it is none.
pub fn name(text: &[u8]) -> Result<String, Reason> {
    if is_of_hosts_file(text) {
        return Err(Reason::HostsFile);
    }
    let end = text.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'#' | b';'));
    let word = std::str::from_utf8(text.get(..end.unwrap_or(text.len())).unwrap_or_default());
    let name = word.ok().and_then(value::host).ok_or(Reason::NoName)?;
    Ok(name.trim_end_matches('.').to_owned())
}

/// Whether a line makes a name lead to nowhere or to the machine itself.
pub fn is_of_hosts_file(text: &[u8]) -> bool {
    let mut words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let to = words.next().is_some_and(|word| [&b"0.0.0.0"[..], b"127.0.0.1", b"::", b"::1"].contains(&word));
    to && words.next().and_then(|name| std::str::from_utf8(name).ok()).is_some_and(value::is_host_name)
}

/// Which form such a line has; `None`: it does not say.
pub fn recognise(text: &[u8]) -> Option<Format> {
    let holds = |format| {
        let mut found = false;
        let outcome = read(format, text, &mut |_| {
            found = true;
            Ok(())
        });
        found || matches!(outcome, Ok(Outcome::Records(_)))
    };
    let certain = [Format::Spamhaus, Format::Dshield];
    let loose = [b',', b';', b'\t', b'|'].into_iter().filter(|separator| text.contains(separator));
    let columns = loose.flat_map(|separator| (1..=COLUMNS_TRIED).map(move |column| Format::Csv { column, separator }));
    if is_rir(text) {
        return Some(Format::Rir { country: None });
    }
    if is_rule(text) {
        return Some(Format::Suricata);
    }
    let mut forms = certain.into_iter().chain([Format::Plain]).chain(columns).chain([Format::Ranges]);
    forms.find(|format| holds(*format))
}

/// Columns in which an address is looked for when none is named.
const COLUMNS_TRIED: u8 = 12;

/// An address, a network, or `a-b`, and at most a comment behind it.
fn whole(text: &[u8]) -> Result<Span, Reason> {
    let (span, behind) = entry(text)?;
    match behind {
        [] | [b' ' | b'\t' | b'#' | b';', ..] | [b'/', b'/', ..] => Ok(span),
        _ => Err(Reason::NoAddress),
    }
}

/// The entry with which the text begins, and what is behind it.
fn entry(text: &[u8]) -> Result<(Span, &[u8]), Reason> {
    let (family, first, rest) = address(text)?;
    let single = Span { family, first, last: first, masked: false };
    match rest {
        [b'/', b'/', ..] => Ok((single, rest)),
        [b'/', length @ ..] => {
            let (length, rest) = prefix_length(length)?;
            Ok((network(family, first, length)?, rest))
        }
        _ => {
            let [b'-', last @ ..] = rest.trim_ascii_start() else { return Ok((single, rest)) };
            // `1.2.3.4 - some words` is an address with words behind it.
            let Ok((other, last, behind)) = address(last.trim_ascii_start()) else { return Ok((single, rest)) };
            if family != other || last < first {
                return Err(Reason::Reversed);
            }
            Ok((Span { last, ..single }, behind))
        }
    }
}

/// Longest text of an IPv6 address, with an IPv4 tail.
const ADDRESS_MAX: usize = 45;

/// The address with which the text begins, and what is behind it. A port behind it is passed over.
fn address(text: &[u8]) -> Result<(Family, u128, &[u8]), Reason> {
    if let [b'[', inner @ ..] = text {
        let (word, rest) = word(inner);
        let [b']', rest @ ..] = rest else { return Err(Reason::NoAddress) };
        let number = v6(word, inner)?;
        let (port, behind) = rest.strip_prefix(b":").map_or((&rest[..0], rest), digits);
        return Ok((Family::V6, number, if port.is_empty() { rest } else { behind }));
    }
    let (word, rest) = word(text);
    if !word.contains(&b':') {
        return v4(word, text).map(|number| (Family::V4, number, rest));
    }
    match v6(word, text) {
        Err(Reason::NoAddress) => {}
        number => return number.map(|number| (Family::V6, number, rest)),
    }
    let colon = word.iter().position(|byte| *byte == b':').unwrap_or_default();
    let (host, port) = (word.get(..colon).unwrap_or_default(), word.get(colon + 1..).unwrap_or_default());
    if parse::<u16>(port).is_none() {
        return Err(Reason::NoAddress);
    }
    v4(host, text).map(|number| (Family::V4, number, rest))
}

/// The bytes that addresses are made of, with which the text begins, and the rest.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let head = text.get(..=ADDRESS_MAX).unwrap_or(text);
    let end = head.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b'.' | b':'));
    text.split_at(end.unwrap_or(head.len()))
}

fn parse<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `text` is where the word stands, for saying what is wrong with it.
fn v4(word: &[u8], text: &[u8]) -> Result<u128, Reason> {
    match parse::<Ipv4Addr>(word) {
        Some(address) => Ok(u128::from(address.to_bits())),
        None if has_leading_zeros(word) => Err(Reason::LeadingZero),
        None if is_mac(text) => Err(Reason::Mac),
        None => Err(Reason::NoAddress),
    }
}

fn v6(word: &[u8], text: &[u8]) -> Result<u128, Reason> {
    // Those of eight groups can be read as IPv6.
    if is_mac(text) {
        return Err(Reason::Mac);
    }
    let number = parse::<Ipv6Addr>(word).ok_or(Reason::NoAddress)?.to_bits();
    if number >> 32 == 0xffff { Err(Reason::Mapped) } else { Ok(number) }
}

/// Four numbers, of which one begins with a zero that it has no need of.
fn has_leading_zeros(word: &[u8]) -> bool {
    let parts = || word.split(|byte| *byte == b'.');
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    parts().count() == 4 && parts().all(is_number) && parts().any(|part| part.len() > 1 && part.starts_with(b"0"))
}

/// Six or eight groups of two hexadecimal digits, with the same sign between them.
fn is_mac(text: &[u8]) -> bool {
    let Some(&separator @ (b':' | b'-')) = text.get(2) else { return false };
    let mut groups = 0;
    for group in text.chunks(3).take(9) {
        let [a, b, rest @ ..] = group else { return false };
        if !a.is_ascii_hexdigit() || !b.is_ascii_hexdigit() {
            return false;
        }
        groups += 1;
        match rest {
            [byte] if *byte == separator => {}
            [byte] if byte.is_ascii_hexdigit() || matches!(byte, b':' | b'-' | b'.') => return false,
            _ => return matches!(groups, 6 | 8),
        }
    }
    false
}

/// The digits with which the text begins, and the rest.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

fn prefix_length(text: &[u8]) -> Result<(u8, &[u8]), Reason> {
    let (length, rest) = digits(text);
    if length.len() > 1 && length.starts_with(b"0") {
        return Err(Reason::LeadingZero);
    }
    Ok((parse(length).ok_or(Reason::Prefix)?, rest))
}

fn network(family: Family, address: u128, length: u8) -> Result<Span, Reason> {
    if length > family.bits() {
        return Err(Reason::Prefix);
    }
    let mask = family.host_bits(length);
    Ok(Span { family, first: address & !mask, last: address | mask, masked: address & mask != 0 })
}

/// The text of a column, without its quotes.
pub fn column_of(text: &[u8], column: u8, separator: u8) -> Option<&[u8]> {
    let rest = from_column(text, column, separator)?;
    Some(field(rest, separator)?.0.trim_ascii())
}

/// What stands from a column on.
pub fn from_column(text: &[u8], column: u8, separator: u8) -> Option<&[u8]> {
    let mut rest = text;
    for _ in 1..column {
        let (_, behind) = field(rest, separator)?;
        rest = behind?;
    }
    Some(rest)
}

/// The field with which the text begins, without its quotes, and what is behind the separator.
fn field(text: &[u8], separator: u8) -> Option<(&[u8], Option<&[u8]>)> {
    let start = text.trim_ascii_start();
    let (quoted, rest) = match start {
        [b'"', inner @ ..] => {
            let end = inner.iter().position(|byte| *byte == b'"')?;
            let (value, behind) = inner.split_at(end);
            (Some(value), behind)
        }
        _ => (None, text),
    };
    let end = rest.iter().position(|byte| *byte == separator);
    let value = match quoted {
        Some(value) => value,
        None => rest.get(..end.unwrap_or(rest.len()))?,
    };
    Some((value, end.and_then(|end| rest.get(end + 1..))))
}

/// Calls `pair` for each key and value of a flat JSON object; a text comes without its quotes.
fn json_pairs<'a>(text: &'a [u8], pair: &mut dyn FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    let mut rest = text.strip_prefix(b"{")?.trim_ascii_start();
    loop {
        let (key, behind) = json_text(rest)?;
        rest = behind.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let (value, behind) = match rest {
            [b'"', ..] => json_text(rest)?,
            [b'{' | b'[', ..] => return None,
            _ => rest.split_at(rest.iter().position(|byte| matches!(byte, b',' | b'}'))?),
        };
        pair(key, value.trim_ascii_end());
        rest = behind.trim_ascii_start();
        match rest {
            [b',', next @ ..] => rest = next.trim_ascii_start(),
            [b'}'] | [b'}', b','] => return Some(()),
            _ => return None,
        }
    }
}

/// What is between the quotes with which the text begins, escapes as they are, and what is behind them.
fn json_text(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"\"")?;
    let mut escaped = false;
    let end = inner.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    Some((inner.get(..end)?, inner.get(end + 1..)?))
}

fn spamhaus(text: &[u8], take: Take<'_>) -> Result<Outcome, Reason> {
    let (mut cidr, mut kind, mut records) = (None, None, None);
    json_pairs(text, &mut |key, value| match key {
        b"cidr" => cidr = Some(value),
        b"type" => kind = Some(value),
        b"records" => records = parse(value),
        _ => {}
    })
    .ok_or(Reason::NoRecord)?;
    if let Some(cidr) = cidr {
        // `1.10.16.0\/20` is the same to JSON.
        let mut plain = [0; ADDRESS_MAX + 4];
        let mut kept = 0;
        for byte in cidr.iter().filter(|byte| **byte != b'\\') {
            *plain.get_mut(kept).ok_or(Reason::NoAddress)? = *byte;
            kept += 1;
        }
        take(whole(plain.get(..kept).unwrap_or_default())?)?;
        return Ok(Outcome::Entry);
    }
    match kind {
        Some(b"metadata") => Ok(records.map_or(Outcome::Passed, Outcome::Records)),
        _ => Err(Reason::NoRecord),
    }
}

fn dshield(text: &[u8]) -> Result<Span, Reason> {
    let mut fields = text.split(|byte| *byte == b'\t').map(<[u8]>::trim_ascii);
    let mut next = || fields.next().unwrap_or_default();
    let (start, end, length) = (whole(next())?, whole(next())?, prefix_length(next())?);
    let span = match length {
        (length, []) => network(start.family, start.first, length)?,
        _ => return Err(Reason::Prefix),
    };
    if start.family == end.family && span.last == end.last { Ok(span) } else { Err(Reason::Reversed) }
}

/// Colons of a name that are passed over in search of its range; an IPv6 range has at most 14 of its own.
const COLONS: usize = 16;

/// `a-b`, or `name:a-b`.
fn named_range(text: &[u8]) -> Result<Span, Reason> {
    let bare = whole(text);
    if bare.is_ok() {
        return bare;
    }
    let mut end = text.len();
    let mut found = bare;
    for _ in 0..COLONS {
        let Some(colon) = text.get(..end).and_then(|head| head.iter().rposition(|byte| *byte == b':')) else { break };
        let behind = text.get(colon + 1..).unwrap_or_default().trim_ascii_start();
        let span = whole(behind);
        // A single address would be found behind any colon of IPv6.
        if behind.contains(&b'-') && !matches!(span, Err(Reason::NoAddress)) {
            found = span;
        }
        end = colon;
    }
    found
}

/// A line of a registry's file: its version, a sum, or a delegation.
fn is_rir(text: &[u8]) -> bool {
    const REGISTRIES: [&[u8]; 6] = [b"afrinic", b"apnic", b"arin", b"iana", b"lacnic", b"ripencc"];
    let fields = || text.split(|byte| *byte == b'|');
    fields().count() >= 6 && fields().take(2).any(|field| REGISTRIES.contains(&field))
}

/// `registry|country|type|start|count or length|date|state`.
fn rir(text: &[u8], country: Option<[u8; 2]>, take: Take<'_>) -> Result<Outcome, Reason> {
    if !is_rir(text) {
        return Err(Reason::NoAddress);
    }
    let mut fields = text.split(|byte| *byte == b'|');
    let mut next = || fields.next().unwrap_or_default();
    let (registry, whose, kind, start, size) = (next(), next(), next(), next(), next());
    let state = { (next(), next()).1 };
    let is_given = state.eq_ignore_ascii_case(b"allocated") || state.eq_ignore_ascii_case(b"assigned");
    let is_version = registry.first().is_some_and(u8::is_ascii_digit);
    if is_version || !is_given || country.is_some_and(|country| !whose.eq_ignore_ascii_case(&country)) {
        return Ok(Outcome::Passed);
    }
    let family = match kind {
        b"ipv4" => Family::V4,
        b"ipv6" => Family::V6,
        _ => return Ok(Outcome::Passed),
    };
    let (other, first, []) = address(start)? else { return Err(Reason::NoAddress) };
    if family != other {
        return Err(Reason::Reversed);
    }
    let span = if family == Family::V6 {
        network(family, first, parse(size).ok_or(Reason::Prefix)?)?
    } else {
        let more = parse::<u32>(size).and_then(|count| count.checked_sub(1)).ok_or(Reason::Prefix)?;
        let last = first + u128::from(more);
        if last > family.max() {
            return Err(Reason::Prefix);
        }
        Span { family, first, last, masked: false }
    };
    take(span)?;
    Ok(Outcome::Entry)
}

/// Whether a line is a rule of Suricata's.
fn is_rule(text: &[u8]) -> bool {
    const ACTIONS: [&[u8]; 7] = [b"alert", b"drop", b"pass", b"reject", b"rejectsrc", b"rejectdst", b"rejectboth"];
    let mut words = text.split(|byte| *byte == b' ');
    words.next().is_some_and(|action| ACTIONS.contains(&action)) && text.ends_with(b")") && text.contains(&b'(')
}

fn suricata(text: &[u8], take: Take<'_>) -> Result<Outcome, Reason> {
    if !is_rule(text) {
        return Err(Reason::NoAddress);
    }
    if text.starts_with(b"pass ") {
        return Ok(Outcome::Passed);
    }
    let open = text.iter().position(|byte| *byte == b'(').unwrap_or_default();
    let mut rest = text.get(open + 1..).unwrap_or_default();
    let mut outcome = Outcome::Passed;
    // `key:value;`, where a `;` in quotes ends nothing.
    while let Some(stop) = rest.iter().position(|byte| matches!(byte, b':' | b';')) {
        let key = rest.get(..stop).unwrap_or_default().trim_ascii();
        let has_value = rest.get(stop) == Some(&b':');
        rest = rest.get(stop + 1..).unwrap_or_default().trim_ascii_start();
        if !has_value {
            continue;
        }
        if let Some((value, behind)) = json_text(rest) {
            if key == b"content"
                && let Ok((span, [])) = entry(value)
            {
                take(span)?;
                outcome = Outcome::Entry;
            }
            rest = behind;
        } else if let Some(negated) = rest.strip_prefix(b"!") {
            rest = json_text(negated.trim_ascii_start()).map_or(negated, |(_, behind)| behind);
        }
        let Some(end) = rest.iter().position(|byte| *byte == b';') else { break };
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    Ok(outcome)
}
