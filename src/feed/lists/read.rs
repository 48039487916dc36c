//! Reads a list as it comes, a piece of any size at a time: the same answer whatever the pieces are.
//!
//! It holds at most one line, and gzip's window. What comes out of a piece is bounded by the piece (times 1,032 if it
//! is packed), so a caller that must not be held up gives small ones.

use std::fmt;

use super::Format;
use super::gzip::{self, Gunzip};
use super::line::{self, Outcome, Span};
use super::tags;
use crate::model::{Family, Range, Special, special};
use crate::outside;

pub use super::line::Reason;

/// Longest line that is read, in bytes.
pub const LINE_MAX: usize = 4096;

/// Most text that is read unless the caller says otherwise, unpacked, in bytes: three million addresses.
pub const TEXT_MAX: u64 = 48 << 20;

/// Refused lines that are kept to be shown.
const SHOWN_MAX: usize = 10;

/// How much of a refused line is kept, in bytes.
const SHOWN_LENGTH: usize = 60;

/// Widest of what is taken: `/8`, and `/16` of IPv6.
const WIDEST_V4: u128 = 1 << 24;
const WIDEST_V6: u128 = 1 << 112;

/// What a list holds.
pub enum Item<'a> {
    /// A host (first and last are the same) or a range, and why it is there ([`tags`]), which most lists do not say: it is
    /// empty then.
    Range(Range, &'a str),
    /// A host name in small letters.
    Name(&'a str),
}

/// Gets what a list holds.
pub type Sink<'a> = &'a mut dyn FnMut(Item<'_>);

/// Whether a list can be used, and if not, what it is instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can.
    Usable,
    /// There is nothing in it.
    Empty,
    /// A page for people.
    Markup,
    /// JSON that is no list.
    Json,
    /// Text of two bytes a character.
    Utf16,
    /// No text at all.
    Binary,
    /// Packed in a way that is not read here.
    Packed(&'static str),
    /// What is packed was changed on its way.
    Damaged,
    /// What is packed has no end.
    CutPacked,
    /// The last line, which says how many records there are, is missing.
    CutRecords,
    /// There are fewer records than its last line says.
    FewRecords {
        /// So many there are to be.
        said: u64,
        /// So many there are.
        found: u64,
    },
    /// It goes on for longer than is read.
    TooLarge {
        /// In bytes.
        most: u64,
    },
    /// A registry's file, of which only one country can be meant.
    NoCountry,
    /// Nothing in it is an address that may be banned.
    Nothing,
    /// It makes names lead nowhere.
    HostsFile,
    /// It has host names, and nobody has said that these are meant.
    Names,
    /// More of its lines are refused than read.
    MostlyRefused,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Usable => "a list",
            Verdict::Empty => "empty",
            Verdict::Markup => "a page in HTML or XML, such as an error or a log-in, and no list",
            Verdict::Json => "JSON, such as an error, and no list: its lines are no objects with a cidr",
            Verdict::Utf16 => "text in UTF-16; lists are plain text or UTF-8",
            Verdict::Binary => "binary data and no text",
            Verdict::Packed(how) => return write!(f, "packed by {how}; of packed lists only gzip is read"),
            Verdict::Damaged => "packed by gzip, and damaged",
            Verdict::CutPacked => "packed by gzip, and cut off",
            Verdict::CutRecords => "cut off: the last line, which says how many records there are, is missing",
            Verdict::FewRecords { said, found } => {
                return write!(f, "cut off: {found} records, where its last line says {said}");
            }
            Verdict::TooLarge { most } => return write!(f, "longer than {most} bytes of text"),
            Verdict::NoCountry => "a registry's file of delegations; say which country's are meant: format 'rir:CZ'",
            Verdict::Nothing => "without an address that may be banned",
            Verdict::HostsFile => {
                "a hosts file, by which a resolver keeps names from being found (dnsmasq: list addnhosts); a firewall has \
                 nothing to block in it"
            }
            Verdict::Names => "a list of host names; to have them looked up, say so: format 'names'",
            Verdict::MostlyRefused => "of another form: more lines are refused than read",
        })
    }
}

/// A line that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its number, from 1.
    pub line: u64,
    /// Why.
    pub reason: Reason,
    /// How it begins, cleaned.
    pub text: String,
}

/// Entries of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Single addresses.
    pub hosts: u64,
    /// Networks and other ranges.
    pub networks: u64,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whether the list can be used.
    pub verdict: Verdict,
    /// The form it was read in; `Auto`: none was recognised.
    pub format: Format,
    /// Whether it was packed by gzip.
    pub packed: bool,
    /// Bytes of text that were read.
    pub bytes: u64,
    /// Lines, with comments and empty ones.
    pub lines: u64,
    /// What was given out, doubles and all.
    pub v4: Count,
    /// The same of IPv6.
    pub v6: Count,
    /// Host names, doubles and all.
    pub names: u64,
    /// Networks with host bits that were set, taken without them.
    pub masked: u64,
    /// Ranges that were left out or cut because of addresses that may not be banned, by [`Special`].
    pub left_out: [u64; Special::ALL.len()],
    /// Lines that have nothing for us, and are as they should be.
    pub passed: u64,
    /// Lines that were refused, by [`Reason`].
    pub refused: [u64; Reason::ALL.len()],
    /// The first of them.
    pub shown: Vec<Refused>,
}

impl Summary {
    /// Entries that were given out.
    pub fn entries(&self) -> u64 {
        [self.v4, self.v6].iter().map(|count| count.hosts + count.networks).sum::<u64>() + self.names
    }

    /// Lines that were refused.
    pub fn refused(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Ranges that were left out, or of which a part was.
    pub fn left_out(&self) -> u64 {
        self.left_out.iter().sum()
    }
}

/// Reads one list.
pub struct Reader {
    body: Body,
    text: Text,
}

enum Body {
    /// Nothing has come, or the first byte of gzip's two.
    Begin {
        half: bool,
    },
    Plain,
    Packed(Gunzip),
    /// Unpacking failed.
    Damaged,
}

impl Reader {
    /// Before the first byte.
    pub fn new(format: Format) -> Reader {
        Reader { body: Body::Begin { half: false }, text: Text::new(format) }
    }

    /// Reads so many bytes of text, unpacked, and refuses a list that is longer.
    pub fn at_most(mut self, bytes: u64) -> Reader {
        self.text.most = bytes;
        self
    }

    /// Takes what comes next; `false`: it is no list, and nothing that follows can change that.
    pub fn push(&mut self, mut bytes: &[u8], sink: Sink<'_>) -> bool {
        if self.text.found.is_some() {
            return false;
        }
        if let Body::Begin { half } = &mut self.body {
            let [first, second] = gzip::MAGIC;
            match bytes {
                [] => return true,
                [byte] if !*half && *byte == first => {
                    *half = true;
                    return true;
                }
                [byte, ..] if *half && *byte == second => self.unpack(&gzip::MAGIC[..1], sink),
                [a, b, ..] if !*half && [*a, *b] == gzip::MAGIC => self.unpack(&[], sink),
                _ => {
                    let before = if *half { &gzip::MAGIC[..1] } else { &[] };
                    self.body = Body::Plain;
                    self.text.push(before, sink);
                }
            }
        }
        match &mut self.body {
            Body::Packed(gunzip) => {
                let text = &mut self.text;
                if gunzip.push(std::mem::take(&mut bytes), &mut |bytes| text.push(bytes, sink)).is_err() {
                    self.body = Body::Damaged;
                }
            }
            Body::Plain => _ = self.text.push(bytes, sink),
            Body::Begin { .. } | Body::Damaged => {}
        }
        self.text.found.is_none() && !matches!(self.body, Body::Damaged)
    }

    fn unpack(&mut self, before: &[u8], sink: Sink<'_>) {
        let mut gunzip = Gunzip::new();
        // The magic's own bytes give nothing out.
        let _ = gunzip.push(before, &mut |bytes| self.text.push(bytes, sink));
        self.body = Body::Packed(gunzip);
    }

    /// No more comes.
    pub fn finish(mut self, sink: Sink<'_>) -> Summary {
        if let Body::Begin { half: true } = self.body {
            self.text.push(&gzip::MAGIC[..1], sink);
        }
        let broken = match &self.body {
            Body::Damaged => Some(Verdict::Damaged),
            Body::Packed(gunzip) if !gunzip.is_whole() => Some(Verdict::CutPacked),
            _ => None,
        };
        let packed = matches!(self.body, Body::Packed(_) | Body::Damaged);
        self.text.finish(broken, packed, sink)
    }
}

/// The text of a list, line by line.
struct Text {
    most: u64,
    /// The line that has begun, at most one byte more than is read of one.
    begun: Vec<u8>,
    /// What the file is instead of a list.
    found: Option<Verdict>,
    /// Whether the first line that is no comment has been seen.
    has_content: bool,
    /// The first such line was refused for this: if the form turns out to have a head, it was that.
    head: Option<(Reason, Vec<u8>)>,
    /// The column that says why an address is there, where the head names one.
    tags: Option<tags::Column>,
    /// What the line in hand says there.
    why: tags::Why,
    /// Lines of a JSON list that have a `cidr`, and how many there are to be.
    records: u64,
    records_said: Option<u64>,
    /// Lines of a hosts file, and names where addresses should be.
    hosts: u64,
    names: u64,
    sum: Summary,
}

/// How files begin that are packed otherwise.
const PACKED: [(&[u8], &str); 5] = [
    (b"PK\x03\x04", "zip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (&gzip::MAGIC, "gzip twice"),
];

impl Text {
    fn new(format: Format) -> Text {
        Text {
            most: TEXT_MAX,
            begun: Vec::new(),
            found: None,
            has_content: false,
            head: None,
            tags: None,
            why: tags::Why::default(),
            records: 0,
            records_said: None,
            hosts: 0,
            names: 0,
            sum: Summary {
                verdict: Verdict::Usable,
                format,
                packed: false,
                bytes: 0,
                lines: 0,
                v4: Count::default(),
                v6: Count::default(),
                names: 0,
                masked: 0,
                left_out: [0; Special::ALL.len()],
                passed: 0,
                refused: [0; Reason::ALL.len()],
                shown: Vec::new(),
            },
        }
    }

    /// Takes what comes next; `false`: it is no list.
    fn push(&mut self, mut bytes: &[u8], sink: Sink<'_>) -> bool {
        while self.found.is_none() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            self.sum.bytes += end.map_or(bytes.len(), |end| end + 1) as u64;
            if self.sum.bytes > self.most {
                self.sum.bytes = self.most;
                self.found = Some(Verdict::TooLarge { most: self.most });
                break;
            }
            let Some(end) = end else {
                self.keep(bytes);
                return true;
            };
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.begun.is_empty() {
                self.line(line, sink);
            } else {
                self.keep(line);
                self.end_line(sink);
            }
        }
        false
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LINE_MAX + 1 - self.begun.len();
        self.begun.extend_from_slice(part.get(..room).unwrap_or(part));
    }

    fn end_line(&mut self, sink: Sink<'_>) {
        let mut begun = std::mem::take(&mut self.begun);
        self.line(&begun, sink);
        begun.clear();
        self.begun = begun;
    }

    /// A line without its end; of one that is too long the beginning.
    fn line(&mut self, whole: &[u8], sink: Sink<'_>) {
        self.sum.lines += 1;
        let is_long = whole.len() > LINE_MAX;
        let mut text = whole.get(..LINE_MAX).unwrap_or(whole);
        if self.sum.lines == 1 {
            self.found = kind_of(text);
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        if self.sum.entries() == 0 && self.found.is_none() && text.iter().any(|byte| is_binary(*byte)) {
            self.found = Some(Verdict::Binary);
        }
        let text = text.trim_ascii();
        if self.found.is_some() || text.is_empty() || self.is_comment(text) {
            return;
        }
        let is_first = !self.has_content;
        self.has_content = true;
        let result = match is_long {
            true => Err(Reason::TooLong),
            false => self.read(text, sink),
        };
        match result {
            Ok(Outcome::Records(said)) => {
                self.records_said = Some(self.records_said.unwrap_or(0).saturating_add(said));
                self.sum.passed += 1;
            }
            Ok(Outcome::Passed) => self.sum.passed += 1,
            Ok(Outcome::Entry) => {}
            Err(_) if is_first && text.starts_with(b"<") => self.found = Some(Verdict::Markup),
            // An object whose network is refused is one of a list's.
            Err(Reason::NoAddress | Reason::NoRecord | Reason::TooLong)
                if is_first && matches!(text, [b'{' | b'[', ..]) =>
            {
                self.found = Some(Verdict::Json);
            }
            Err(reason) => self.refuse(reason, text, is_first),
        }
    }

    fn is_comment(&self, text: &[u8]) -> bool {
        let separates = matches!(self.sum.format, Format::Csv { separator: b';', .. });
        match text {
            [b'#', ..] | [b'/', b'/', ..] => true,
            [b';', ..] => !separates,
            _ => false,
        }
    }

    fn read(&mut self, text: &[u8], sink: Sink<'_>) -> Result<Outcome, Reason> {
        if self.sum.format == Format::Auto {
            self.recognise(text);
            if self.found.is_some() {
                return Ok(Outcome::Passed);
            }
        }
        self.hosts += u64::from(line::is_of_hosts_file(text));
        if self.sum.format == Format::Names {
            let name = line::name(text)?;
            self.sum.names += 1;
            sink(Item::Name(&name));
            return Ok(Outcome::Entry);
        }
        if let Some(column) = &self.tags {
            self.why.read(column.of(text));
        }
        let outcome = line::read(self.sum.format, text, &mut |span| self.take(span, sink));
        // A record is one, whatever was thought of it.
        if self.sum.format == Format::Spamhaus && !matches!(outcome, Ok(Outcome::Passed | Outcome::Records(_))) {
            self.records += u64::from(outcome != Err(Reason::NoRecord));
        }
        outcome
    }

    fn recognise(&mut self, text: &[u8]) {
        let Some(format) = line::recognise(text) else { return };
        self.sum.format = format;
        if matches!(format, Format::Rir { .. }) {
            self.found = Some(Verdict::NoCountry);
        }
        if has_head(format)
            && let Some((reason, head)) = self.head.take()
        {
            self.tags = tags::Column::in_head(&head, format);
            // It is the first that was refused, and the first that is shown.
            if let Some(count) = self.sum.refused.get_mut(reason as usize) {
                *count -= 1;
            }
            self.sum.shown.remove(0);
            self.sum.passed += 1;
        }
    }

    fn refuse(&mut self, reason: Reason, text: &[u8], is_first: bool) {
        self.names += u64::from(reason == Reason::NoAddress && line::name(text).is_ok());
        if is_first && has_head(self.sum.format) {
            self.tags = tags::Column::in_head(text, self.sum.format);
            self.sum.passed += 1;
            return;
        }
        if is_first {
            self.head = Some((reason, text.to_vec()));
        }
        if let Some(count) = self.sum.refused.get_mut(reason as usize) {
            *count += 1;
        }
        if self.sum.shown.len() < SHOWN_MAX {
            let begin = text.get(..=SHOWN_LENGTH).unwrap_or(text);
            let text = outside::clean(&String::from_utf8_lossy(begin), SHOWN_LENGTH);
            self.sum.shown.push(Refused { line: self.sum.lines, reason, text });
        }
    }

    /// Gives a span out, clear of what may not be banned.
    fn take(&mut self, span: Span, sink: Sink<'_>) -> Result<(), Reason> {
        let rows = special::rows(span.family);
        if let Some(row) = rows.iter().find(|row| row.0 <= span.first && span.last <= row.1) {
            self.leave_out(row.2);
            return Ok(());
        }
        let widest = if span.family == Family::V6 { WIDEST_V6 } else { WIDEST_V4 };
        if span.last - span.first >= widest {
            return Err(Reason::TooWide);
        }
        self.sum.masked += u64::from(span.masked);
        let mut from = span.first;
        for (first, last, kind) in rows.iter().filter(|row| row.0 <= span.last && span.first <= row.1) {
            self.leave_out(*kind);
            if *first > from {
                self.give(span.family, from, first - 1, sink);
            }
            if *last >= span.last {
                return Ok(());
            }
            from = last + 1;
        }
        self.give(span.family, from, span.last, sink);
        Ok(())
    }

    fn leave_out(&mut self, kind: Special) {
        if let Some(count) = self.sum.left_out.get_mut(kind as usize) {
            *count += 1;
        }
    }

    fn give(&mut self, family: Family, first: u128, last: u128, sink: Sink<'_>) {
        let count = if family == Family::V6 { &mut self.sum.v6 } else { &mut self.sum.v4 };
        match first == last {
            true => count.hosts += 1,
            false => count.networks += 1,
        }
        sink(Item::Range(Range::of(family, first, last), self.why.text()));
    }

    fn finish(mut self, broken: Option<Verdict>, packed: bool, sink: Sink<'_>) -> Summary {
        if self.found.is_none() && !self.begun.is_empty() {
            self.end_line(sink);
        }
        let verdict = self.found.take().or(broken).unwrap_or_else(|| self.verdict());
        Summary { verdict, packed, ..self.sum }
    }

    /// What to make of a text that was read to its end.
    fn verdict(&self) -> Verdict {
        let sum = &self.sum;
        let found = self.records;
        match (sum.format, self.records_said) {
            _ if sum.bytes == 0 => Verdict::Empty,
            (Format::Spamhaus, None) if found > 0 => Verdict::CutRecords,
            (Format::Spamhaus, Some(said)) if found < said => Verdict::FewRecords { said, found },
            _ if 2 * self.hosts > sum.refused() + sum.entries() + sum.left_out() => Verdict::HostsFile,
            _ if sum.entries() == 0 && 2 * self.names > sum.refused() + sum.left_out() => Verdict::Names,
            _ if sum.refused() > sum.entries() + sum.left_out() => Verdict::MostlyRefused,
            _ if sum.entries() == 0 => Verdict::Nothing,
            _ => Verdict::Usable,
        }
    }
}

/// Whether the first line of this form may name its columns.
fn has_head(format: Format) -> bool {
    matches!(format, Format::Csv { .. } | Format::Dshield)
}

/// What no text of one byte a character has.
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=8 | 14..=26 | 28..=31)
}

/// What a file is that begins so, if it is no text that can be read.
fn kind_of(begin: &[u8]) -> Option<Verdict> {
    let is_utf16 = match begin {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        // Without a mark: every other byte of digits and Latin letters is zero.
        [a, b, c, d, ..] => [a, c] == [&0, &0] && *b != 0 && *d != 0 || [b, d] == [&0, &0] && *a != 0 && *c != 0,
        _ => false,
    };
    if is_utf16 {
        return Some(Verdict::Utf16);
    }
    let (_, how) = PACKED.iter().find(|(magic, _)| begin.starts_with(magic))?;
    Some(Verdict::Packed(how))
}
