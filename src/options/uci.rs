//! UCI syntax: bytes to statements, statements to sections.
//!
//! Reads what libuci reads, in its strict mode, and refuses what libuci refuses; it knows no option by
//! name and does no I/O. Read by `section` through the configuration (typed settings)
//! and by the owner's edits (which need each statement's place in the text).
//!
//! Where it differs from libuci (2025): a NUL byte ends the reading with an error (libuci joins lines
//! there); bytes that are no UTF-8 are read as U+FFFD; a text longer than [`MAX_FILE`] and a section with
//! more than [`MAX_OPTIONS`] different options are refused. `;` right after a bare word drops the rest of
//! the line there and here; here it is said.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

/// Longest text that is read, in bytes: some 20,000 sections.
pub const MAX_FILE: usize = 1 << 20;
/// Most different options and lists in one section.
pub const MAX_OPTIONS: usize = 256;
/// After so many errors the rest of the text is not read.
pub const MAX_ERRORS: usize = 100;

/// What one line (or one part of a line, up to `;`) says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `package NAME`. libuci ignores the name when it reads `/etc/config/…`.
    Package {
        /// Its name.
        name: Cow<'a, str>,
    },
    /// `config TYPE [NAME]`.
    Config {
        /// The section's type.
        kind: Cow<'a, str>,
        /// Its name; `None`: anonymous.
        name: Option<Cow<'a, str>>,
    },
    /// `option NAME [VALUE]`; without a value it is empty.
    Option {
        /// Its name.
        name: Cow<'a, str>,
        /// Its value.
        value: Cow<'a, str>,
    },
    /// `list NAME [VALUE]`.
    List {
        /// The list's name.
        name: Cow<'a, str>,
        /// One more item.
        value: Cow<'a, str>,
    },
}

/// A command with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Line of its first byte, from 1.
    pub line: u32,
    /// Its bytes in the text, from the keyword to the end of its last word.
    pub bytes: Range<usize>,
    /// What it says.
    pub command: Command<'a>,
    /// What the owner hardly meant, as a sentence.
    pub oddity: Option<&'static str>,
}

/// A place that does not follow the syntax, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: u32,
    /// What is wrong and what was expected.
    pub message: String,
    /// An oddity, which is read all the same.
    pub harmless: bool,
    /// A section should have begun here: what follows belongs to none.
    begins: bool,
}

impl SyntaxError {
    fn new(line: u32, message: impl Into<String>) -> SyntaxError {
        SyntaxError { line, message: message.into(), harmless: false, begins: false }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for SyntaxError {}

/// The statements of a text, in order. After an error it goes on with the next line, so that one run
/// finds every error; an open quote or a NUL byte ends it.
pub struct Statements<'a> {
    text: &'a [u8],
    pos: usize,
    line: u32,
    /// Where the last word (or the keyword) ended.
    word_end: usize,
    /// The next command is on the line of the last one.
    same_line: bool,
    /// Of the statement that is being read.
    oddity: Option<&'static str>,
    /// Reported once everything before it has been read.
    last: Option<SyntaxError>,
}

impl<'a> Statements<'a> {
    /// Starts at the beginning of `text`.
    pub fn new(text: &'a [u8]) -> Statements<'a> {
        let mut statements =
            Statements { text, pos: 0, line: 1, word_end: 0, same_line: false, oddity: None, last: None };
        let end = text.len().min(MAX_FILE);
        let nul = text.iter().take(end).position(|byte| *byte == 0);
        let (cut, message) = match nul {
            Some(at) => (at, "NUL byte; a configuration is text".to_owned()),
            None if text.len() > MAX_FILE => {
                (end, format!("the text goes on after {MAX_FILE} bytes, the most accepted"))
            }
            None => return statements,
        };
        let before = text.get(..cut).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u32;
        // The broken line itself is not read: half a value is worse than none.
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        statements.text = before.get(..start).unwrap_or_default();
        statements.last = Some(SyntaxError::new(line, message));
        statements
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

    fn advance(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line += 1;
        }
        self.pos += 1;
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError::new(self.line, message))
    }

    /// To the next byte that is no blank, or to the line's end.
    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|byte| is_space(byte) && byte != b'\n') {
            self.pos += 1;
        }
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.pos += 1;
        }
    }

    /// To the next keyword, over empty lines and comments. `false` at the end.
    fn find_keyword(&mut self) -> bool {
        if std::mem::take(&mut self.same_line) {
            self.skip_between();
            // What libuci takes for a command without a name.
            if self.peek().is_some_and(is_space) {
                return true;
            }
        }
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => self.skip_line(),
                byte if is_space(byte) => self.advance(),
                _ => return true,
            }
        }
        false
    }

    /// Over what stands between commands of one line, and after a keyword: less than what stands between words.
    fn skip_between(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.pos += 1;
        }
    }

    fn statement(&mut self) -> Result<Statement<'a>, SyntaxError> {
        let (start, line) = (self.pos, self.line);
        if self.peek().is_some_and(is_space) {
            return self.error("nothing follows here; expected another command");
        }
        while self.peek().is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'\n')) {
            self.pos += 1;
        }
        self.word_end = self.pos;
        let keyword = self.text.get(start..self.pos).unwrap_or_default();
        // `cofig`, `Config`, `konfig`: it was to begin a section. Any other word costs itself alone.
        let begins = keyword.first().is_some_and(|byte| b"cCkKpP".contains(byte));
        let lost = |error| SyntaxError { begins, ..error };
        let command = match keyword {
            b"p" | b"package" => self.package(),
            b"c" | b"config" => self.config(),
            b"o" | b"option" => self.name_and_value("option").map(|(name, value)| Command::Option { name, value }),
            b"l" | b"list" => self.name_and_value("list").map(|(name, value)| Command::List { name, value }),
            other => {
                let other = shown(other.trim_ascii_end());
                self.error(format!("{other} is none of package, config, option, list"))
            }
        }
        .map_err(lost)?;
        let bytes = start..self.word_end;
        self.end_of_command().map_err(lost)?;
        Ok(Statement { line, bytes, command, oddity: self.oddity.take() })
    }

    fn package(&mut self) -> Result<Command<'a>, SyntaxError> {
        let name = self.word()?;
        if name.is_empty() {
            return self.error("package without a name");
        }
        if !name.bytes().all(|byte| is_name_byte(byte) || byte == b'-') {
            return self.error(format!("package name {name:?}: only letters, digits, _ and - are accepted"));
        }
        Ok(Command::Package { name })
    }

    fn config(&mut self) -> Result<Command<'a>, SyntaxError> {
        let kind = self.word()?;
        if kind.is_empty() {
            return self.error("config without a type; expected config TYPE or config TYPE NAME");
        }
        if !kind.bytes().all(|byte| byte.is_ascii_graphic()) {
            return self.error(format!("section type {kind:?}: only visible ASCII characters are accepted"));
        }
        let name = self.word()?;
        if !name.bytes().all(is_name_byte) {
            return self.error(format!("section name {name:?}: only letters, digits and _ are accepted"));
        }
        Ok(Command::Config { kind, name: (!name.is_empty()).then_some(name) })
    }

    fn name_and_value(&mut self, keyword: &str) -> Result<(Cow<'a, str>, Cow<'a, str>), SyntaxError> {
        let name = self.word()?;
        if name.is_empty() {
            return self.error(format!("{keyword} without a name; expected {keyword} NAME 'VALUE'"));
        }
        if !name.bytes().all(is_name_byte) {
            return self.error(format!("{keyword} name {name:?}: only letters, digits and _ are accepted"));
        }
        Ok((name, self.word()?))
    }

    /// After the last word: a line's end, a comment, or `;` (or an empty word) with another command.
    fn end_of_command(&mut self) -> Result<(), SyntaxError> {
        self.skip_blanks();
        let start = self.pos;
        let separated = self.peek() == Some(b';');
        let extra = self.word()?;
        if !extra.is_empty() {
            // Not quoted: it may be the rest of a password.
            return self.error("one word too many; a value with blanks needs quotes");
        }
        if separated {
            self.same_line = true;
        } else if self.pos > start {
            // The byte that ended the empty word is gone with it.
            match self.peek() {
                Some(b'\n') | None => {}
                Some(byte) => {
                    self.pos += usize::from(is_space(byte));
                    self.same_line = true;
                }
            }
        }
        Ok(())
    }

    /// The next word of this command, its quotes and escapes taken off; empty where there is none.
    fn word(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        self.skip_blanks();
        if self.peek() == Some(b';') {
            // As in libuci, where it stands in for a word that was not given.
            self.pos += 1;
            return Ok(Cow::Borrowed(""));
        }
        let start = self.pos;
        let mut word = Word::new(start);
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => break,
                b';' => break,
                byte if is_space(byte) => break,
                b'\'' | b'"' => self.quoted(byte, &mut word)?,
                b'\\' => self.escaped(&mut word),
                _ => {
                    word.push(self.text, self.pos);
                    self.pos += 1;
                }
            }
        }
        if self.pos > start {
            self.word_end = self.pos;
        }
        if word.bare && self.peek() == Some(b';') {
            self.drop_rest_of_line();
        }
        let (word, valid) = match word.finish(self.text) {
            Cow::Borrowed(bytes) => match String::from_utf8_lossy(bytes) {
                Cow::Borrowed(word) => (Cow::Borrowed(word), true),
                word => (word, false),
            },
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(word) => (Cow::Owned(word), true),
                Err(error) => (Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()), false),
            },
        };
        if !valid {
            self.oddity = Some("bytes that are no UTF-8 text; each is read as \u{fffd}");
        }
        Ok(word)
    }

    /// At a quote: up to the closing one, over line ends.
    fn quoted(&mut self, quote: u8, word: &mut Word) -> Result<(), SyntaxError> {
        let opened = self.line;
        word.bare = false;
        self.pos += 1;
        while let Some(byte) = self.peek() {
            if byte == quote {
                self.pos += 1;
                return Ok(());
            }
            if byte == b'\\' && quote == b'"' {
                self.escaped(word);
            } else {
                word.push(self.text, self.pos);
                self.advance();
            }
        }
        Err(SyntaxError::new(opened, format!("the quote {} opened here is never closed", char::from(quote))))
    }

    /// At a backslash: the next byte counts as it is; before a line's end both go.
    fn escaped(&mut self, word: &mut Word) {
        word.bare = false;
        self.pos += 1;
        let rest = self.text.get(self.pos..).unwrap_or_default();
        match rest {
            [b'\n', ..] => self.advance(),
            [b'\r', b'\n', ..] => {
                self.pos += 1;
                self.advance();
            }
            [_, ..] => {
                word.push(self.text, self.pos);
                self.pos += 1;
            }
            [] => {}
        }
    }

    /// At a `;` that touches a bare word: libuci reads nothing more of the line.
    fn drop_rest_of_line(&mut self) {
        self.pos += 1;
        self.skip_blanks();
        if !matches!(self.peek(), None | Some(b'\n' | b'#')) {
            self.oddity = Some(
                "what follows ';' here is not read, by uci neither; put quotes around the word before it, or start a \
                 new line",
            );
        }
        self.skip_line();
    }
}

impl<'a> Iterator for Statements<'a> {
    type Item = Result<Statement<'a>, SyntaxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.find_keyword() {
            return self.last.take().map(Err);
        }
        self.oddity = None;
        let statement = self.statement();
        if statement.is_err() {
            self.skip_line();
        }
        Some(statement)
    }
}

/// A word while it is read: borrowed from the text as long as nothing had to be taken out of its middle.
struct Word {
    /// The newest unbroken part, as bytes of the text.
    part: Range<usize>,
    /// The parts before it, if there are any.
    before: Option<Vec<u8>>,
    /// No quote and no backslash so far.
    bare: bool,
}

impl Word {
    fn new(at: usize) -> Word {
        Word { part: at..at, before: None, bare: true }
    }

    /// The byte at `at` belongs to the word; whatever lies between it and the one before does not.
    fn push(&mut self, text: &[u8], at: usize) {
        if self.part.end != at {
            self.set_part_aside(text);
            self.part = at..at;
        }
        self.part.end = at + 1;
    }

    fn set_part_aside(&mut self, text: &[u8]) {
        if !self.part.is_empty() {
            let part = text.get(self.part.clone()).unwrap_or_default();
            self.before.get_or_insert_default().extend_from_slice(part);
        }
    }

    fn finish(mut self, text: &[u8]) -> Cow<'_, [u8]> {
        if self.before.is_some() {
            self.set_part_aside(text);
        }
        match self.before {
            Some(bytes) => Cow::Owned(bytes),
            None => Cow::Borrowed(text.get(self.part).unwrap_or_default()),
        }
    }
}

/// One `config` section with what is in force in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Its type.
    pub kind: Cow<'a, str>,
    /// Its name; `None`: anonymous.
    pub name: Option<Cow<'a, str>>,
    /// Line of its (first) `config`.
    pub line: u32,
    /// Its options, in the order in which they first came.
    pub options: Vec<Stated<'a>>,
}

/// An option or a list of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Line of the statement that is in force; a list's first.
    pub line: u32,
    /// Its value.
    pub value: Value<'a>,
    /// Line of an earlier statement of the same name that this one replaced.
    pub replaces: Option<u32>,
}

/// What an [`Stated`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `option`; empty is what libuci takes for "not set".
    Single(Cow<'a, str>),
    /// `list`, each item with its line. Never empty.
    List(Vec<(u32, Cow<'a, str>)>),
}

/// The sections of `text` in order, and every error. As in libuci, sections of one name are one section,
/// an `option` replaces what its name had (unless its value is empty), and a `list` adds to it. What belongs to a
/// broken statement is left out, with all that follows where that was to begin a section, so the sections are worth using only where there is no error.
pub fn sections(text: &[u8]) -> (Vec<Section<'_>>, Vec<SyntaxError>) {
    let mut builder = Builder::default();
    let mut errors = Vec::new();
    for statement in Statements::new(text) {
        let (line, oddity) = statement.as_ref().map_or((0, None), |statement| (statement.line, statement.oddity));
        if statement.as_ref().is_err_and(|error| error.begins) {
            (builder.open, builder.lost) = (None, true);
        }
        let added = statement.and_then(|statement| builder.add(statement).map_err(|text| SyntaxError::new(line, text)));
        let added = added
            .and(oddity.map_or(Ok(()), |text| Err(SyntaxError { harmless: true, ..SyntaxError::new(line, text) })));
        let Err(error) = added else { continue };
        if errors.len() >= MAX_ERRORS {
            if error.harmless {
                continue;
            }
            errors.push(SyntaxError::new(error.line, "and more errors from here on"));
            break;
        }
        errors.push(error);
    }
    (builder.sections, errors)
}

#[derive(Default)]
struct Builder<'a> {
    sections: Vec<Section<'a>>,
    /// Index of each named section.
    named: HashMap<Cow<'a, str>, usize>,
    /// Index of the open section.
    open: Option<usize>,
    /// One should have begun, and did not.
    lost: bool,
}

impl<'a> Builder<'a> {
    fn add(&mut self, statement: Statement<'a>) -> Result<(), String> {
        match statement.command {
            Command::Package { .. } => Ok(()),
            Command::Config { kind, name } => self.config(statement.line, kind, name),
            // What is wrong is said where the section should have begun.
            Command::Option { .. } | Command::List { .. } if self.lost => Ok(()),
            Command::Option { name, value } => {
                self.open_section()?.option(statement.line, name, value);
                Ok(())
            }
            Command::List { name, value } => {
                self.open_section()?.list(statement.line, name, value);
                Ok(())
            }
        }
    }

    fn open_section(&mut self) -> Result<&mut Section<'a>, String> {
        let Some(section) = self.open.and_then(|open| self.sections.get_mut(open)) else {
            return Err("option or list before the first config TYPE".to_owned());
        };
        if section.options.len() == MAX_OPTIONS {
            return Err(format!("a section with {MAX_OPTIONS} different options, the most accepted"));
        }
        Ok(section)
    }

    fn config(&mut self, line: u32, kind: Cow<'a, str>, name: Option<Cow<'a, str>>) -> Result<(), String> {
        let same = name.as_ref().and_then(|name| self.named.get(name).copied());
        (self.open, self.lost) = (None, false);
        if let Some((at, section)) = same.and_then(|at| Some((at, self.sections.get(at)?))) {
            if section.kind != kind {
                self.lost = true;
                return Err(format!(
                    "config {kind} {}: line {} has a section of that name and of the type {}",
                    name.unwrap_or_default(),
                    section.line,
                    section.kind
                ));
            }
            self.open = Some(at);
            return Ok(());
        }
        self.open = Some(self.sections.len());
        if let Some(name) = &name {
            self.named.insert(name.clone(), self.sections.len());
        }
        self.sections.push(Section { kind, name, line, options: Vec::new() });
        Ok(())
    }
}

impl<'a> Section<'a> {
    /// The first line of a section of this type and name.
    pub fn head(kind: &str, name: &str) -> String {
        ["config ", kind, " '", name, "'\n"].concat()
    }

    /// Where this option is; where the section begins if it has none of that name.
    pub fn line_of(&self, option: &str) -> u32 {
        self.options.iter().find(|entry| entry.name == option).map_or(self.line, |entry| entry.line)
    }

    fn option(&mut self, line: u32, name: Cow<'a, str>, value: Cow<'a, str>) {
        let mut new = Stated { name, line, value: Value::Single(value), replaces: None };
        match self.options.iter_mut().find(|entry| entry.name == new.name) {
            // An empty value sets nothing, so it takes nothing back either.
            Some(_) if new.is_unset() => {}
            Some(entry) => {
                new.replaces = (!entry.is_unset()).then_some(entry.line);
                *entry = new;
            }
            None => self.options.push(new),
        }
    }

    fn list(&mut self, line: u32, name: Cow<'a, str>, value: Cow<'a, str>) {
        let Some(entry) = self.options.iter_mut().find(|entry| entry.name == name) else {
            let value = Value::List(vec![(line, value)]);
            return self.options.push(Stated { name, line, value, replaces: None });
        };
        match &mut entry.value {
            Value::List(items) => items.push((line, value)),
            Value::Single(first) => {
                let first = std::mem::take(first);
                let mut items = vec![(line, value)];
                if !first.is_empty() {
                    items.insert(0, (entry.line, first));
                }
                entry.value = Value::List(items);
            }
        }
    }
}

impl Stated<'_> {
    /// Is it an `option` with an empty value, which libuci reads as if it were not there?
    pub fn is_unset(&self) -> bool {
        matches!(&self.value, Value::Single(text) if text.is_empty())
    }
}

impl fmt::Display for Section<'_> {
    /// As `uci export` writes it, so that reading it again gives the same section; a type that needs quotes
    /// (`a#b`) has them here, which `uci export` forgets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = self.kind.bytes().all(|byte| is_name_byte(byte) || byte == b'-');
        write!(f, "config {}", if bare { self.kind.to_string() } else { quote(&self.kind) })?;
        if let Some(name) = &self.name {
            write!(f, " '{name}'")?;
        }
        f.write_str("\n")?;
        for entry in &self.options {
            match &entry.value {
                Value::Single(value) => writeln!(f, "\toption {} {}", entry.name, quote(value))?,
                Value::List(items) => {
                    for (_, item) in items {
                        writeln!(f, "\tlist {} {}", entry.name, quote(item))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// `value` in single quotes, as UCI and a shell alike read it.
pub fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// libuci's blank: what C calls a space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Bytes of the text for a message: quoted, cut where they are long.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 60;
    let cut = bytes.get(..MOST).unwrap_or(bytes);
    let dots = if cut.len() < bytes.len() { "…" } else { "" };
    format!("{:?}{dots}", String::from_utf8_lossy(cut))
}

#[cfg(test)]
mod tests;
