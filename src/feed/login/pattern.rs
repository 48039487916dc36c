//! Patterns that find the address in a message: fixed text, `<HOST>`, `<WORD>`, `<NUM>` and `*`.
//!
//! A pattern speaks of the whole message, from its first byte to its last. A piece that has found its place
//! keeps it, so the cost grows with the message's length and no faster. Pure; made from the configuration
//! and from `known`, matched by the daemon's `logins`.
//!
//! **What an attacker may write** (a user name, say) is `*`, and `<HOST>` has to stand before the first
//! `*` or after the last: then the program's own fixed text, up to one end of the message, says where the
//! address is, and no text in between can stand in for it. Between two `*` it is refused. A pattern that
//! begins with `*` trusts every message of the program that ends like it.

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

type Piece = Vec<Part>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<[u8]>),
    Host,
    Word,
    Number,
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
        if text.len() > LONGEST {
            return Err(BadPattern("is too long; a pattern has at most 512 bytes"));
        }
        let pieces = text.split('*').map(piece).collect::<Result<Vec<Piece>, _>>()?;
        let is_host = |piece: &&Piece| piece.contains(&Part::Host);
        let hosts = pieces.iter().flatten().filter(|part| **part == Part::Host).count();
        if hosts != 1 {
            return Err(MISSING);
        }
        let outer = pieces.first().filter(is_host).or(pieces.last().filter(is_host));
        if outer.is_none() {
            return Err(BadPattern(
                "has <HOST> between two *, where an attacker's own words could stand; write the fixed text from \
                 <HOST> to one end of the message",
            ));
        }
        // Where to look for a piece is found by its first text.
        let unfixed = |piece: &Piece| !matches!(piece.first(), None | Some(Part::Text(_)));
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

    /// The address in the message, if the message is one of these. IPv4 in IPv6 comes out as IPv4.
    pub fn address(&self, message: &[u8]) -> Option<IpAddr> {
        let mut host = None;
        let (first, others) = self.pieces.split_first()?;
        let mut rest = match_here(first, message, &mut host)?;
        let Some((last, middle)) = others.split_last() else {
            return host.filter(|_| rest.is_empty());
        };
        for piece in middle {
            rest = match_first(piece, rest)?;
        }
        match_end(last, rest, &mut host)?;
        host
    }
}

/// One piece of a pattern into its parts.
fn piece(text: &str) -> Result<Piece, BadPattern> {
    const NAMES: [(&str, Part); 3] = [("<HOST>", Part::Host), ("<WORD>", Part::Word), ("<NUM>", Part::Number)];
    let mut parts = Piece::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((name, part)) = NAMES.iter().find(|(name, _)| rest.starts_with(name)) {
            parts.push(part.clone());
            rest = &rest[name.len()..];
            continue;
        }
        let end = NAMES.iter().filter_map(|(name, _)| rest.find(name)).min().unwrap_or(rest.len());
        parts.push(Part::Text(rest.as_bytes()[..end].into()));
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
    let Some(host) = piece.iter().position(|part| *part == Part::Host) else { return true };
    piece.iter().take(host).any(|part| part.is_apart())
}

/// Does the address end for certain before a word or a `*`, which an attacker could make to go on like it?
fn ends(piece: &Piece, followed: bool) -> bool {
    let mut after = piece.iter().skip_while(|part| **part != Part::Host);
    if after.next().is_none() {
        return true;
    }
    let decisive = after.find(|part| part.is_apart() || **part == Part::Word);
    decisive.map_or(!followed, Part::is_apart)
}

impl Part {
    /// Text that no address can contain as a whole.
    fn is_apart(&self) -> bool {
        matches!(self, Part::Text(text) if !text.iter().copied().all(is_address))
    }
}

/// Can the second part be told from the first?
fn follows(pair: &[Part]) -> bool {
    let [first, Part::Text(text)] = pair else { return matches!(pair, [Part::Text(_), _]) };
    let next = text.first().copied().unwrap_or_default();
    match first {
        Part::Text(_) => true,
        // A colon or a dot may follow: the address then ends at the last one.
        Part::Host => !next.is_ascii_hexdigit(),
        Part::Word => !is_word(next),
        Part::Number => !next.is_ascii_digit(),
    }
}

/// Whatever a word may have in it: no blanks, brackets, quotes, commas or semicolons.
fn is_word(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !byte.is_ascii_control() && !b"()[]{}<>\"',;".contains(&byte)
}

fn is_address(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'
}

/// Matches a piece at the beginning of the message; what is left of it.
fn match_here<'m>(piece: &[Part], message: &'m [u8], host: &mut Option<IpAddr>) -> Option<&'m [u8]> {
    let mut rest = message;
    for (index, part) in piece.iter().enumerate() {
        rest = match part {
            Part::Text(text) => rest.strip_prefix(&**text)?,
            Part::Word => skip(rest, is_word)?,
            Part::Number => skip(rest, |byte| byte.is_ascii_digit())?,
            Part::Host => {
                let next = match piece.get(index + 1) {
                    Some(Part::Text(text)) => text.first().copied(),
                    _ => None,
                };
                let (address, after) = take_host(rest, next)?;
                *host = Some(address);
                after
            }
        };
    }
    Some(rest)
}

/// The piece's leftmost place; what follows it.
fn match_first<'m>(piece: &[Part], message: &'m [u8]) -> Option<&'m [u8]> {
    let Some(Part::Text(text)) = piece.first() else { return Some(message) };
    let places = message.windows(text.len()).enumerate().filter(|(_, window)| *window == &**text);
    places.map(|(at, _)| at).find_map(|at| match_here(piece, message.get(at..)?, &mut None))
}

/// The piece's place at the very end; the rightmost, if there were several.
fn match_end(piece: &[Part], message: &[u8], host: &mut Option<IpAddr>) -> Option<()> {
    let Some(Part::Text(text)) = piece.first() else { return Some(()) };
    let places = message.windows(text.len()).enumerate().rev().filter(|(_, window)| *window == &**text);
    places.map(|(at, _)| at).find_map(|at| {
        let mut found = *host;
        match_here(piece, message.get(at..)?, &mut found)?.is_empty().then(|| *host = found)
    })
}

/// At least one byte of a kind, and at most [`WORD`].
fn skip(message: &[u8], kind: fn(u8) -> bool) -> Option<&[u8]> {
    let end = message.iter().take(WORD).position(|byte| !kind(*byte)).unwrap_or(message.len().min(WORD));
    message.get(end..).filter(|_| end > 0)
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
            let end = match next.filter(|byte| is_address(*byte)) {
                Some(next) => run.iter().rposition(|byte| *byte == next)?,
                None => all,
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
            ("from <HOST>.", "from 192.0.2.1.", "192.0.2.1"),
            ("from <HOST>: no", "from 2001:db8::1: no", "2001:db8::1"),
            ("from <HOST>", "from ::ffff:192.0.2.1", "192.0.2.1"),
            ("<HOST> *", "192.0.2.1 says 192.0.2.2 ", "192.0.2.1"),
            ("* from <HOST>", "x from 192.0.2.1 from 192.0.2.2", "192.0.2.2"),
            ("a * b * c <HOST> <NUM>", "a b b b b c c 192.0.2.1 7", "192.0.2.1"),
            ("from <HOST>:<NUM> *", "from 2001:db8::1:22 :9", "2001:db8::1"),
            ("* :<HOST>", "x :2001:db8::1", "2001:db8::1"),
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
            ("* from <HOST> *", "between two *"),
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
