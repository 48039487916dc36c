//! Patterns that find the address in a message: fixed text, `<HOST>`, `<PORT>`, `<WORD>`, `<NAME>`, `<NUM>`,
//! `<TIMES>`, `<REST>` and `*`.
//!
//! A pattern speaks of the whole message, from its first byte to its last. A piece that has found its place
//! keeps it, so the cost grows with the message's length and no faster. Pure; made from the configuration
//! and from `known`, matched by the daemon's `logins`.
//!
//! **What an attacker may write** (a user name, say) is `*`. Where `<HOST>` stands before the first `*` or
//! after the last, the program's own fixed text, up to one end of the message, says where the address is,
//! and no text in between can stand in for it; `<REST>`, at the end, is whatever the program itself writes
//! there. Between two `*` an address counts only where there is one such place in the whole message. A
//! pattern that begins with `*` trusts every message of the program that ends like it.

use std::fmt;
use std::net::IpAddr;

/// Longest pattern, in bytes.
const LONGEST: usize = 512;

/// Longest text that is taken for an address, in bytes.
const ADDRESS: usize = 64;

/// Longest word or number, in bytes.
const WORD: usize = 256;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    /// The pieces between one `*` and the next. The first begins the message, the last ends it.
    pieces: Vec<Piece>,
}

type Piece = Vec<Token>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Text(Box<[u8]>),
    Host,
    Port,
    Word,
    Name,
    Number,
    Times,
    Rest,
}

/// What a pattern found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The address; `None` where the pattern has no `<HOST>`, or a name stands in its place. IPv4 in IPv6 comes
    /// out as IPv4.
    pub address: Option<IpAddr>,
    /// `<PORT>`: the client's own.
    pub port: Option<u16>,
    /// `<TIMES>`.
    pub times: Option<u16>,
}

/// How to read a message, and what was found so far.
#[derive(Clone, Copy, Default)]
struct Reading {
    found: Found,
    /// Names are looked for in the place of addresses.
    names: bool,
}

/// Why a text is no pattern: a sentence that says what is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPattern(&'static str);

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadPattern {}

const MISSING: BadPattern = BadPattern(
    "has no <HOST>, or more than one; write the whole message with <HOST> for the address, <WORD>, <NUM>, \
     and * for any text",
);

const OPEN: BadPattern =
    BadPattern("does not say where <HOST>, <WORD> or <NUM> ends; follow it by a character that cannot be part of it");

impl Pattern {
    /// Compiles a pattern.
    pub fn new(text: &str) -> Result<Pattern, BadPattern> {
        let pattern = Pattern::sentence(text)?;
        pattern.pieces.iter().flatten().any(|part| *part == Token::Host).then_some(pattern).ok_or(MISSING)
    }

    /// Compiles a pattern that may be without an address.
    pub fn sentence(text: &str) -> Result<Pattern, BadPattern> {
        if text.len() > LONGEST {
            return Err(BadPattern("is too long; a pattern has at most 512 bytes"));
        }
        let pieces = text.split('*').map(piece).collect::<Result<Vec<Piece>, _>>()?;
        if pieces.iter().flatten().filter(|part| **part == Token::Host).count() > 1 {
            return Err(MISSING);
        }
        let (last, others) = pieces.split_last().map_or((&[][..], &[][..]), |(last, others)| (&last[..], others));
        let inner = last.iter().rev().skip(1);
        if others.iter().flatten().chain(inner).any(|part| *part == Token::Rest) {
            return Err(BadPattern("has <REST> before its end; write * there"));
        }
        // Where to look for a piece is found by its first text.
        let unfixed = |piece: &Piece| !matches!(piece.first(), None | Some(Token::Text(_)));
        if pieces.iter().skip(1).any(unfixed) {
            return Err(BadPattern("has <HOST>, <WORD> or <NUM> right after a *; write fixed text between them"));
        }
        if pieces.iter().skip(1).any(|piece| !begins(piece)) {
            return Err(BadPattern(
                "does not say where <HOST> begins; between it and the * write text that cannot be part of an address",
            ));
        }
        let followed = pieces.len() - 1;
        if pieces.iter().enumerate().any(|(number, piece)| !ends(piece, number < followed)) {
            return Err(OPEN);
        }
        Ok(Pattern { text: text.into(), pieces })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The byte that every message of this kind begins with; `None`: it may be any.
    pub fn first(&self) -> Option<u8> {
        match self.pieces.first()?.first()? {
            Token::Text(text) => text.first().copied(),
            _ => None,
        }
    }

    /// Does it need the message's end? Then a message that was cut is none of these.
    pub fn needs_end(&self) -> bool {
        let Some(first) = self.pieces.first() else { return true };
        let open = self.pieces.len() > 1 || first.last() == Some(&Token::Rest);
        !(open && first.contains(&Token::Host))
    }

    /// Does an attacker's text stand on either side of the address?
    pub fn is_inner(&self) -> bool {
        self.pieces.iter().skip(1).rev().skip(1).any(|piece| piece.contains(&Token::Host))
    }

    /// What the message says, if it is one of these.
    pub fn find(&self, message: &[u8]) -> Option<Found> {
        self.read(message, Reading::default())
    }

    /// The address in the message, if the message is one of these.
    pub fn address(&self, message: &[u8]) -> Option<IpAddr> {
        self.find(message)?.address
    }

    /// Is the message one of these, but with a name in the place of the address?
    pub fn is_named(&self, message: &[u8]) -> bool {
        let named = self.read(message, Reading { names: true, ..Reading::default() });
        named.is_some_and(|found| found.address.is_none())
    }

    fn read(&self, message: &[u8], mut reading: Reading) -> Option<Found> {
        let (first, others) = self.pieces.split_first()?;
        let mut rest = match_here(first, message, &mut reading)?;
        let Some((last, middle)) = others.split_last() else {
            return rest.is_empty().then_some(reading.found);
        };
        for piece in middle {
            rest = match_first(piece, rest, &mut reading)?;
        }
        match_end(last, rest, &mut reading)?;
        Some(reading.found)
    }
}

/// One piece of a pattern into its parts.
fn piece(text: &str) -> Result<Piece, BadPattern> {
    const NAMES: [(&str, Token); 7] = [
        ("<HOST>", Token::Host),
        ("<PORT>", Token::Port),
        ("<WORD>", Token::Word),
        ("<NAME>", Token::Name),
        ("<NUM>", Token::Number),
        ("<TIMES>", Token::Times),
        ("<REST>", Token::Rest),
    ];
    let mut parts = Piece::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((name, part)) = NAMES.iter().find(|(name, _)| rest.starts_with(name)) {
            parts.push(part.clone());
            rest = &rest[name.len()..];
            continue;
        }
        let end = NAMES.iter().filter_map(|(name, _)| rest.find(name)).min().unwrap_or(rest.len());
        parts.push(Token::Text(rest.as_bytes()[..end].into()));
        rest = &rest[end..];
    }
    for pair in parts.windows(2) {
        if !follows(pair) {
            return Err(OPEN);
        }
    }
    Ok(parts)
}

/// After a `*` the piece is looked for from the message's end: does it find an address's beginning, and not
/// the `:` in its middle?
fn begins(piece: &Piece) -> bool {
    let Some(host) = piece.iter().position(|part| *part == Token::Host) else { return true };
    piece.iter().take(host).any(|part| part.is_apart())
}

/// Does the address end for certain before a word or a `*`, which an attacker could make to go on like it?
fn ends(piece: &Piece, followed: bool) -> bool {
    let mut after = piece.iter().skip_while(|part| **part != Token::Host);
    if after.next().is_none() {
        return true;
    }
    let decisive = after.find(|part| part.is_apart() || matches!(part, Token::Word | Token::Name | Token::Rest));
    decisive.map_or(!followed, Token::is_apart)
}

impl Token {
    /// Text that no address can contain as a whole.
    fn is_apart(&self) -> bool {
        matches!(self, Token::Text(text) if !text.iter().copied().all(is_address))
    }
}

/// Can the second part be told from the first?
fn follows(pair: &[Token]) -> bool {
    let [first, Token::Text(text)] = pair else { return matches!(pair, [Token::Text(_), _]) };
    let next = text.first().copied().unwrap_or_default();
    match first {
        Token::Text(_) => true,
        Token::Rest => false,
        // A colon or a dot may follow: the address then ends at the last one.
        Token::Host => !next.is_ascii_hexdigit(),
        Token::Word => !is_word(next),
        Token::Name => !is_name(next),
        Token::Number | Token::Port | Token::Times => !next.is_ascii_digit(),
    }
}

/// Whatever a word may have in it: no blanks, brackets, quotes, commas or semicolons.
fn is_word(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !byte.is_ascii_control() && !b"()[]{}<>\"',;".contains(&byte)
}

/// Whatever a name may have in it.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

fn is_address(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'
}

/// Matches a piece at the beginning of the message; what is left of it.
fn match_here<'m>(piece: &[Token], message: &'m [u8], reading: &mut Reading) -> Option<&'m [u8]> {
    let mut rest = message;
    for (index, part) in piece.iter().enumerate() {
        rest = match part {
            Token::Text(text) => rest.strip_prefix(&**text)?,
            Token::Word => skip(rest, is_word)?,
            Token::Name => skip(rest, is_name)?,
            Token::Number => skip(rest, |byte| byte.is_ascii_digit())?,
            Token::Port => number(rest, &mut reading.found.port)?,
            Token::Times => number(rest, &mut reading.found.times)?,
            Token::Rest => b"",
            Token::Host => {
                let next = match piece.get(index + 1) {
                    Some(Token::Text(text)) => text.first().copied(),
                    _ => None,
                };
                if reading.names {
                    skip_named(rest)?
                } else {
                    let (address, after) = take_host(rest, next)?;
                    reading.found.address = Some(address);
                    after
                }
            }
        };
    }
    Some(rest)
}

/// The piece's leftmost place; what follows it. An address must have no second place.
fn match_first<'m>(piece: &[Token], message: &'m [u8], reading: &mut Reading) -> Option<&'m [u8]> {
    let Some(Token::Text(text)) = piece.first() else { return Some(message) };
    let places = message.windows(text.len()).enumerate().filter(|(_, window)| *window == &**text);
    let mut matching = places.filter_map(|(at, _)| {
        let mut found = *reading;
        Some((match_here(piece, message.get(at..)?, &mut found)?, found))
    });
    let (rest, found) = matching.next()?;
    if piece.contains(&Token::Host) && matching.next().is_some() {
        return None;
    }
    *reading = found;
    Some(rest)
}

/// The piece's place at the very end; the rightmost, if there were several.
fn match_end(piece: &[Token], message: &[u8], reading: &mut Reading) -> Option<()> {
    let Some(Token::Text(text)) = piece.first() else { return Some(()) };
    let places = message.windows(text.len()).enumerate().rev().filter(|(_, window)| *window == &**text);
    places.map(|(at, _)| at).find_map(|at| {
        let mut found = *reading;
        match_here(piece, message.get(at..)?, &mut found)?.is_empty().then(|| *reading = found)
    })
}

/// A name in the place of an address.
fn skip_named(message: &[u8]) -> Option<&[u8]> {
    let rest = skip(message, |byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))?;
    let name = message.get(..message.len() - rest.len())?;
    let number = name.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    (name.contains(&b'.') && !number).then_some(rest)
}

/// A number of at most five digits.
fn number<'m>(message: &'m [u8], value: &mut Option<u16>) -> Option<&'m [u8]> {
    let rest = skip(message, |byte| byte.is_ascii_digit())?;
    let digits = message.get(..message.len() - rest.len())?;
    *value = Some(std::str::from_utf8(digits).ok()?.parse().ok()?);
    Some(rest)
}

/// At least one byte of a kind, and at most [`WORD`].
fn skip(message: &[u8], kind: fn(u8) -> bool) -> Option<&[u8]> {
    let end = message.iter().take(WORD).position(|byte| !kind(*byte)).unwrap_or(message.len().min(WORD));
    message.get(end..).filter(|_| end > 0)
}

/// Is it an IPv4 address?
fn is_quad(text: Option<&[u8]>) -> bool {
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    text.is_some_and(|text| text.parse::<std::net::Ipv4Addr>().is_ok())
}

/// An address, in brackets or not, and what follows. `next` is what the pattern has after it.
fn take_host(message: &[u8], next: Option<u8>) -> Option<(IpAddr, &[u8])> {
    let (text, after) = match message.strip_prefix(b"[") {
        Some(inner) => {
            let end = inner.iter().take(ADDRESS).position(|byte| *byte == b']')?;
            (inner.get(..end)?, inner.get(end + 1..)?)
        }
        None => {
            let all = message.iter().take(ADDRESS).position(|byte| !is_address(*byte));
            let all = all.unwrap_or(message.len().min(ADDRESS));
            let run = message.get(..all)?;
            let quad = run.iter().position(|byte| *byte == b':').filter(|end| is_quad(run.get(..*end)));
            let end = match (next.filter(|byte| is_address(*byte)), quad) {
                // The colon behind four numbers ends them, whatever follows.
                (Some(b':'), Some(end)) => end,
                (Some(next), _) => run.iter().rposition(|byte| *byte == next)?,
                (None, _) => all,
            };
            message.split_at_checked(end)?
        }
    };
    let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some((address.to_canonical(), after))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn find(pattern: &str, message: &str) -> Option<String> {
        Pattern::new(pattern).unwrap().address(message.as_bytes()).map(|address| address.to_string())
    }

    #[test]
    fn messages_and_their_addresses() {
        let table = [
            ("from <HOST>", "from 192.0.2.1", "192.0.2.1"),
            ("from <HOST>", "from [2001:db8::1]", "2001:db8::1"),
            ("from [<HOST>]", "from [2001:db8::1]", "2001:db8::1"),
            ("from <HOST>:<NUM>", "from 192.0.2.1:22", "192.0.2.1"),
            ("from <HOST>:<NUM>", "from 2001:db8::1:22", "2001:db8::1"),
            ("from <HOST>:<NUM>", "from [2001:db8::1]:22", "2001:db8::1"),
            ("from <HOST>:<NUM>: x", "from 192.0.2.1:22: x", "192.0.2.1"),
            ("from <HOST>:<NUM>: x", "from [2001:db8::1]:22: x", "2001:db8::1"),
            ("from <HOST>.", "from 192.0.2.1.", "192.0.2.1"),
            ("from <HOST>: no", "from 2001:db8::1: no", "2001:db8::1"),
            ("from <HOST>", "from ::ffff:192.0.2.1", "192.0.2.1"),
            ("<HOST> *", "192.0.2.1 says 192.0.2.2 ", "192.0.2.1"),
            ("* from <HOST>", "x from 192.0.2.1 from 192.0.2.2", "192.0.2.2"),
            ("a * b * c <HOST> <NUM>", "a b b b b c c 192.0.2.1 7", "192.0.2.1"),
            ("from <HOST>:<NUM> *", "from 2001:db8::1:22 :9", "2001:db8::1"),
            ("* :<HOST>", "x :2001:db8::1", "2001:db8::1"),
            ("* rip=<HOST>,<REST>", "a rip=192.0.2.1, b rip=192.0.2.2, c", "192.0.2.2"),
            ("u <NAME>: <HOST>", "u imap-login: 192.0.2.1", "192.0.2.1"),
            // Between two *: the only place or none.
            ("a * from <HOST> b*", "a x from 192.0.2.1 b y", "192.0.2.1"),
            ("a * from <HOST> b*", "a from 192.0.2.1 from 192.0.2.2 b y", "192.0.2.2"),
            ("a * from <HOST> b*", "a x from 192.0.2.1 b y from 192.0.2.2 b", ""),
            ("a * from <HOST> b*", "a x from 192.0.2.1 b from 192.0.2.1 b", ""),
            ("a * from <HOST> b*c", "a x from 192.0.2.1 b c", "192.0.2.1"),
            ("a * from <HOST> b*c", "a x from 192.0.2.1 b", ""),
            ("*c<WORD>;<HOST>*", "", ""),
            ("from <HOST>", "from 192.0.2.1 ", ""),
            ("from <HOST>", " from 192.0.2.1", ""),
            ("from <HOST>", "from 192.0.2.256", ""),
            ("from <HOST>", "from 192.0.2.01", ""),
            ("from <HOST>", "from ", ""),
            ("from <HOST>", "from [", ""),
            ("from <HOST>", "from []", ""),
            ("* from <HOST> x", "from 192.0.2.1 x from 192.0.2.2", ""),
            ("u <WORD> from <HOST>", "u a b from 192.0.2.1", ""),
            ("<NUM> <HOST>", "x 192.0.2.1", ""),
        ];
        for (pattern, message, want) in table {
            let Ok(compiled) = Pattern::new(pattern) else {
                assert_eq!(pattern, "*c<WORD>;<HOST>*");
                continue;
            };
            let found = compiled.address(message.as_bytes()).map(|address| address.to_string());
            assert_eq!(found.unwrap_or_default(), want, "{pattern}: {message}");
        }
    }

    #[test]
    fn texts_that_are_no_patterns() {
        let long = format!("<HOST>{}", "x".repeat(LONGEST));
        let table = [
            ("", "has no <HOST>"),
            ("from <host>", "has no <HOST>"),
            ("<HOST> <HOST>", "more than one"),
            ("<REST> from <HOST>", "where <HOST>"),
            ("<HOST> <REST>*x", "before its end"),
            ("<HOST> <REST>*", "before its end"),
            ("* from <HOST><REST>", "where <HOST>"),
            ("* from <HOST>:<REST>", "where <HOST>"),
            ("*<HOST>", "right after a *"),
            ("<HOST><NUM>", "where <HOST>"),
            ("from <HOST>*", "where <HOST>"),
            ("from <HOST>:*", "where <HOST>"),
            ("from <HOST>:<NUM>*", "where <HOST>"),
            ("from <HOST>:<WORD>", "where <HOST>"),
            ("*:<HOST>", "where <HOST> begins"),
            ("*2<HOST>", "where <HOST> begins"),
            ("*a<NUM>:<HOST>", "where <HOST> begins"),
            ("<HOST>a", "where <HOST>"),
            ("<WORD>x <HOST>", "where <HOST>"),
            ("<NUM>1 <HOST>", "where <HOST>"),
            (&long, "too long"),
        ];
        for (pattern, want) in table {
            let error = Pattern::new(pattern).unwrap_err().to_string();
            assert!(error.contains(want), "{pattern}: {error}");
        }
    }

    #[test]
    fn ports_and_times_are_read() {
        let find = |pattern: &str, message: &str| Pattern::sentence(pattern).unwrap().find(message.as_bytes());
        let found = find("from <HOST> port <PORT> (<TIMES> fails)", "from 192.0.2.1 port 22 (3 fails)").unwrap();
        assert_eq!((found.port, found.times), (Some(22), Some(3)));
        assert_eq!(find("from <HOST> port <PORT>", "from 192.0.2.1 port 65536"), None);
        let bare = find("* user", "no such user").unwrap();
        assert_eq!(bare, Found::default());
    }

    #[test]
    fn a_name_is_no_address() {
        let pattern = Pattern::new("* from <HOST> port <NUM>").unwrap();
        assert!(pattern.is_named(b"x from host.example port 1"));
        for message in ["x from 192.0.2.1 port 1", "x from 192.0.2.256 port 1", "x from host port 1", "x"] {
            assert!(!pattern.is_named(message.as_bytes()), "{message}");
        }
        assert_eq!(pattern.address(b"x from fe80::1%br-lan port 1"), None);
    }

    #[test]
    fn a_hostile_message_costs_no_more_than_its_length() {
        // What makes backtracking engines take years; here it takes as long as one pass for each part.
        let pattern = format!("{}z from <HOST>", "a*".repeat(200));
        let message = "a".repeat(4096);
        assert_eq!(find(&pattern, &message), None);
        assert_eq!(find(&pattern, &format!("{message}z from 192.0.2.1")), Some("192.0.2.1".into()));
    }

    proptest::proptest! {
        #[test]
        fn no_user_name_chooses_who_is_banned(user in ".{0,200}") {
            let message = format!("Failed password for {user} from 192.0.2.9 port 5 ssh2");
            let found = find("Failed password for * from <HOST> port <NUM> ssh2", &message);
            proptest::prop_assert_eq!(found, Some("192.0.2.9".into()));
        }

        #[test]
        fn any_bytes_are_survived(pattern in "[ab<>*HOSTNUM: ]{0,40}", message: Vec<u8>) {
            if let Ok(pattern) = Pattern::new(&format!("<HOST> {pattern}")) {
                pattern.address(&message);
            }
        }
    }
}
