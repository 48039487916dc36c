//! Reads JSON text in place (RFC 8259), one value after the other, as its caller expects them.
//!
//! It never panics, whatever the text, and never nests deeper than [`DEPTH`]. A key that comes twice is
//! given out twice. Only this directory's `Json` implementations and `fields!` call it.

use std::borrow::Cow;
use std::fmt;

/// How many lists and objects may stand in one another; ours have five.
const DEPTH: u8 = 64;

/// Why a text was not understood: what was expected, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The keys that lead there, each with `: ` behind it.
    keys: String,
    expected: Cow<'static, str>,
    /// Offset in bytes.
    at: usize,
}

impl Error {
    /// The same, known to be in this key's value.
    pub fn within(mut self, key: &str) -> Error {
        self.keys.insert_str(0, ": ");
        self.keys.insert_str(0, key);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}expected {} at byte {}", self.keys, self.expected, self.at)
    }
}

impl std::error::Error for Error {}

/// A text, and how far it has been read.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u8,
}

impl<'a> Reader<'a> {
    /// Begins at the text's beginning.
    pub fn new(text: &'a str) -> Reader<'a> {
        Reader { text, at: 0, depth: 0 }
    }

    /// An error at the place reached: something else was expected there.
    pub fn expected(&self, what: impl Into<Cow<'static, str>>) -> Error {
        Error { keys: String::new(), expected: what.into(), at: self.at }
    }

    /// Nothing but white space is left.
    ///
    /// # Errors
    /// Something is.
    pub fn end(&mut self) -> Result<(), Error> {
        match self.next_byte() {
            None => Ok(()),
            Some(_) => Err(self.expected("nothing more")),
        }
    }

    /// Passes over `null`; whether it was there.
    ///
    /// # Errors
    /// A word begins like it and goes on otherwise.
    pub fn null(&mut self) -> Result<bool, Error> {
        if self.next_byte() == Some(b'n') { self.word("null").map(|()| true) } else { Ok(false) }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// It is something else.
    pub fn boolean(&mut self) -> Result<bool, Error> {
        match self.next_byte() {
            Some(b't') => self.word("true").map(|()| true),
            Some(b'f') => self.word("false").map(|()| false),
            _ => Err(self.expected("true or false")),
        }
    }

    /// A whole number from 0 to `max`.
    ///
    /// # Errors
    /// It is something else.
    pub fn unsigned(&mut self, max: u64) -> Result<u64, Error> {
        let number = self.number_as(&|digits| digits.parse::<u64>().ok().filter(|number| *number <= max));
        number.ok_or_else(|| self.expected(format!("a whole number from 0 to {max}")))
    }

    /// A whole number of either sign.
    ///
    /// # Errors
    /// It is something else.
    pub fn signed(&mut self) -> Result<i64, Error> {
        self.number_as(&|digits| digits.parse().ok()).ok_or_else(|| self.expected("a whole number"))
    }

    /// A number of which `take` makes something; else it is not taken.
    fn number_as<T>(&mut self, take: &dyn Fn(&str) -> Option<T>) -> Option<T> {
        self.next_byte();
        let start = self.at;
        let number = self.number().and_then(take);
        if number.is_none() {
            self.at = start;
        }
        number
    }

    /// A string.
    ///
    /// # Errors
    /// It is something else, or has an escape or a raw control character that JSON does not know.
    pub fn text(&mut self) -> Result<Cow<'a, str>, Error> {
        if self.next_byte() != Some(b'"') {
            return Err(self.expected("a string"));
        }
        self.at += 1;
        let mut written = None::<String>;
        loop {
            let rest = self.rest();
            let plain = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            let Some((plain, stop)) = plain.and_then(|length| rest.split_at_checked(length)) else {
                self.at = self.text.len();
                return Err(self.expected("the string's end"));
            };
            self.at += plain.len();
            match stop.as_bytes().first() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match written {
                        None => Cow::Borrowed(plain),
                        Some(text) => Cow::Owned(text + plain),
                    });
                }
                Some(b'\\') => {
                    let text = written.get_or_insert_default();
                    text.push_str(plain);
                    text.push(self.escape()?);
                }
                _ => return Err(self.expected("no control character in a string")),
            }
        }
    }

    /// A list; `each` takes its values one by one.
    ///
    /// # Errors
    /// It is something else, nested too deep, or `each` fails.
    pub fn array(&mut self, each: &mut dyn FnMut(&mut Reader<'a>) -> Result<(), Error>) -> Result<(), Error> {
        self.enclosed(b'[', b']', "a list", each)
    }

    /// An object; `each` gets every key and takes its value.
    ///
    /// # Errors
    /// It is something else, nested too deep, or `each` fails.
    pub fn object(&mut self, each: &mut dyn FnMut(&str, &mut Reader<'a>) -> Result<(), Error>) -> Result<(), Error> {
        self.enclosed(b'{', b'}', "an object", &mut |from| {
            let key = from.text()?;
            if from.next_byte() != Some(b':') {
                return Err(from.expected("a colon"));
            }
            from.at += 1;
            each(&key, from)
        })
    }

    /// Passes over the next value, whatever it is.
    ///
    /// # Errors
    /// It is no JSON, or nested too deep.
    pub fn skip(&mut self) -> Result<(), Error> {
        match self.next_byte() {
            Some(b'"') => self.text().map(drop),
            Some(b'[') => self.array(&mut |from| from.skip()),
            Some(b'{') => self.object(&mut |_, from| from.skip()),
            Some(b't' | b'f') => self.boolean().map(drop),
            Some(b'n') => self.null().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop).ok_or_else(|| self.expected("a number")),
            _ => Err(self.expected("a value")),
        }
    }

    /// The text of the next value, whatever it is.
    ///
    /// # Errors
    /// As [`Reader::skip`]'s.
    pub fn raw(&mut self) -> Result<&'a str, Error> {
        self.next_byte();
        let start = self.at;
        self.skip()?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn enclosed(
        &mut self,
        open: u8,
        close: u8,
        what: &'static str,
        each: &mut dyn FnMut(&mut Reader<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.next_byte() != Some(open) {
            return Err(self.expected(what));
        }
        if self.depth >= DEPTH {
            return Err(self.expected("fewer lists and objects in one another"));
        }
        self.at += 1;
        self.depth += 1;
        if self.next_byte() == Some(close) {
            self.at += 1;
        } else {
            loop {
                each(self)?;
                let next = self.next_byte();
                if next == Some(b',') {
                    self.at += 1;
                } else if next == Some(close) {
                    self.at += 1;
                    break;
                } else {
                    return Err(self.expected("a comma or the end"));
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char, Error> {
        let character = match self.rest().as_bytes().get(1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\x08',
            Some(b'f') => '\x0c',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.escaped_unit(),
            _ => return Err(self.expected("an escape that JSON has")),
        };
        self.at += 2;
        Ok(character)
    }

    /// `\uXXXX`, or two of them where UTF-16 needs two.
    fn escaped_unit(&mut self) -> Result<char, Error> {
        let first = self.unit().ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 6;
        let units = match first {
            0xd800..0xdc00 => {
                let second = self.unit();
                self.at += 6;
                [first, second.unwrap_or(0)]
            }
            _ => return char::from_u32(u32::from(first)).ok_or_else(|| self.expected("the first half of a pair")),
        };
        match char::decode_utf16(units).next() {
            Some(Ok(character)) => Ok(character),
            _ => {
                self.at -= 6;
                Err(self.expected("the second half of a pair"))
            }
        }
    }

    fn unit(&self) -> Option<u16> {
        let digits = self.rest().strip_prefix("\\u")?.get(..4)?;
        // from_str_radix takes a sign too.
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    }

    /// A number's text, as JSON writes them.
    fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let byte = |at: usize| bytes.get(at).copied();
        let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let mut at = start;
        if byte(at) == Some(b'-') {
            at += 1;
        }
        let whole = digits(at);
        if whole == 0 || whole > 1 && byte(at) == Some(b'0') {
            return None;
        }
        at += whole;
        if byte(at) == Some(b'.') {
            let fraction = digits(at + 1);
            if fraction == 0 {
                return None;
            }
            at += 1 + fraction;
        }
        if matches!(byte(at), Some(b'e' | b'E')) {
            at += 1;
            if matches!(byte(at), Some(b'+' | b'-')) {
                at += 1;
            }
            let exponent = digits(at);
            if exponent == 0 {
                return None;
            }
            at += exponent;
        }
        self.at = at;
        self.text.get(start..at)
    }

    fn word(&mut self, word: &'static str) -> Result<(), Error> {
        if !self.rest().starts_with(word) {
            return Err(self.expected(word));
        }
        self.at += word.len();
        Ok(())
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no white space; it is not taken.
    fn next_byte(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }
}
