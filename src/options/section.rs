//! Sections: a section of the text against the table of options of the part that it is for.
//!
//! A part states its options as a table ([`Opt`]), and whether there is one such section ([`Single`]) or as
//! many as the owner likes ([`Many`]); a [`SectionType`] says where in the settings they go. What a mistake costs is
//! decided here alone, so that it is the same for every part: a bad option of a single section has the value
//! that was in force before, else its default; one of many sections is left out where it would mean
//! something else without that option. Everything is said, with its line. Pure.

use std::borrow::Cow;

use super::problem::{Problems, Severity};
use super::uci::{Section, Stated, Value};
use super::value::{self, BadValue};

/// What became of a value: it was taken, perhaps with something to be said about it, or it was not.
pub type Read = Result<Option<BadValue>, BadValue>;

/// How an option is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `option NAME 'VALUE'`.
    One,
    /// The same, and `none` switches it off.
    OneOrNone,
    /// `list NAME 'VALUE'`; of `option NAME 'A B'` each word is an item, as for fw4.
    List,
    /// `list NAME 'VALUE'` of values with blanks in them; `option NAME 'A B'` is one of them.
    Texts,
}

/// One value of an option, for the reader that takes it.
#[derive(Clone, Copy, Debug)]
pub struct Given<'v> {
    /// `None`: switched off. Only for [`Form::OneOrNone`].
    text: Option<&'v str>,
    /// The first of a list that is taken.
    first: bool,
}

impl Given<'_> {
    /// As it is written.
    pub fn text(&self) -> &str {
        self.text.unwrap_or_default()
    }

    /// Puts what it says into its place.
    ///
    /// # Errors
    /// It is not accepted; the place is as it was.
    pub fn set<T>(self, into: &mut T, parse: fn(&str) -> Result<T, BadValue>) -> Read {
        *into = parse(self.text())?;
        Ok(None)
    }

    /// As [`Given::set`], for [`Form::OneOrNone`].
    ///
    /// # Errors
    /// As there.
    pub fn set_or_none<T>(self, into: &mut Option<T>, parse: fn(&str) -> Result<T, BadValue>) -> Read {
        *into = self.text.map(parse).transpose()?;
        Ok(None)
    }

    /// Adds it to a list. The first takes the place of what the list had.
    ///
    /// # Errors
    /// It is not accepted; the list is as it was.
    pub fn add<T>(self, into: &mut Vec<T>, parse: fn(&str) -> Result<T, BadValue>) -> Read {
        let parsed = parse(self.text())?;
        if self.first {
            into.clear();
        }
        into.push(parsed);
        Ok(None)
    }
}

/// One option of a section whose settings are an `S`.
pub struct Opt<S> {
    /// Its name.
    pub name: &'static str,
    /// Its value is for the owner alone: it is never handed out, nor repeated in a message.
    pub secret: bool,
    form: Form,
    take: fn(&mut S, Given<'_>) -> Read,
}

impl<S> Opt<S> {
    const fn new(name: &'static str, form: Form, take: fn(&mut S, Given<'_>) -> Read) -> Opt<S> {
        Opt { name, secret: false, form, take }
    }
}

/// An option of one value.
pub const fn one<S>(name: &'static str, take: fn(&mut S, Given<'_>) -> Read) -> Opt<S> {
    Opt::new(name, Form::One, take)
}

/// An option of one value that is for the owner alone; its reader must not repeat it either.
pub const fn secret<S>(name: &'static str, take: fn(&mut S, Given<'_>) -> Read) -> Opt<S> {
    Opt { secret: true, ..Opt::new(name, Form::One, take) }
}

/// An option of one value that can be switched off with `none`.
pub const fn one_or_none<S>(name: &'static str, take: fn(&mut S, Given<'_>) -> Read) -> Opt<S> {
    Opt::new(name, Form::OneOrNone, take)
}

/// A list of words.
pub const fn list<S>(name: &'static str, take: fn(&mut S, Given<'_>) -> Read) -> Opt<S> {
    Opt::new(name, Form::List, take)
}

/// A list of texts with blanks in them.
pub const fn texts<S>(name: &'static str, take: fn(&mut S, Given<'_>) -> Read) -> Opt<S> {
    Opt::new(name, Form::Texts, take)
}

/// A type of section of which there is one: `config KIND 'NAME'`.
pub struct Single<S: 'static> {
    /// The name under which uci and LuCI look for it.
    pub name: &'static str,
    /// Its options.
    pub options: &'static [Opt<S>],
    /// Its own checks, once its options are read.
    pub check: fn(&mut S, &mut Checks<'_, '_>),
}

/// A type of section of which there may be many, each read into a draft `D` and made into a `T`.
pub struct Many<D: 'static, T> {
    /// Its options.
    pub options: &'static [Opt<D>],
    /// Those without which it would mean something else: where one is bad, the section is left out.
    pub needed: &'static [&'static str],
    /// Its own checks, and what comes of it; `None`: it is switched off.
    pub build: fn(D, &mut Checks<'_, '_>) -> Result<Option<T>, LeftOut>,
}

/// A section that cannot be used, which has been said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut;

/// One type of section, and where in the settings `R` it goes.
pub struct SectionType<R> {
    /// Its type.
    pub kind: &'static str,
    /// There is one.
    pub once: bool,
    /// Its options, each with whether it is a secret.
    pub options: fn() -> Vec<(&'static str, bool)>,
    /// Reads one.
    pub read: for<'t> fn(&mut Reader<'t>, &mut Section<'t>, &mut R),
}

impl<R> SectionType<R> {
    /// The row of this type among `rows`.
    pub fn of<'r>(rows: &'r [SectionType<R>], kind: &str) -> Option<&'r SectionType<R>> {
        rows.iter().find(|row| row.kind == kind)
    }
}

/// A table's names and whether each is a secret, for [`SectionType::options`].
pub fn names<S>(options: &'static [Opt<S>]) -> Vec<(&'static str, bool)> {
    options.iter().map(|option| (option.name, option.secret)).collect()
}

/// A table and the settings that are filled by it, whatever their type: what follows is there once.
trait Target {
    fn option(&self, at: usize) -> Option<(&'static str, Form)>;
    fn take(&mut self, at: usize, given: Given<'_>) -> Read;
}

struct Filled<'s, S: 'static> {
    options: &'static [Opt<S>],
    into: &'s mut S,
}

impl<S> Target for Filled<'_, S> {
    fn option(&self, at: usize) -> Option<(&'static str, Form)> {
        self.options.get(at).map(|option| (option.name, option.form))
    }

    fn take(&mut self, at: usize, given: Given<'_>) -> Read {
        self.options.get(at).map_or(Ok(None), |option| (option.take)(self.into, given))
    }
}

fn options(target: &dyn Target) -> impl Iterator<Item = (usize, &'static str, Form)> {
    (0..).map_while(|at| target.option(at).map(|(name, form)| (at, name, form)))
}

fn find(target: &dyn Target, name: &str) -> Option<(usize, Form)> {
    options(target).find_map(|(at, known, form)| (known == name).then_some((at, form)))
}

/// What became of one option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// It is in force.
    Whole,
    /// It is a list, and [`Reader::taken`] tells which of its items are in force.
    Part,
    /// It is not in force.
    Not,
}

/// An option that is not in force, and the place of the problem that says why.
struct Bad<'t> {
    name: Cow<'t, str>,
    at: usize,
}

const DEFAULT_COUNTS: &str = "; its default is in force";

/// Reads the sections of one text.
pub struct Reader<'t> {
    /// What is wrong so far.
    pub problems: Problems,
    /// The configuration in force; empty where there is none.
    in_force: &'t [Section<'t>],
    /// The types of which there is one, and where each was first seen.
    seen: Vec<(&'static str, u32)>,
    /// Which items of the list that was read last are in force, where not all are.
    taken: Vec<bool>,
    /// What a section's own checks took out of it, to be taken out of those of its type before it as well.
    forgotten: Vec<&'static str>,
}

impl<'t> Reader<'t> {
    /// `in_force`: the sections whose values stay where the text's are bad; empty: the defaults.
    pub fn new(file_name: &str, in_force: &'t [Section<'t>]) -> Reader<'t> {
        Reader {
            problems: Problems::new(file_name),
            in_force,
            seen: Vec::new(),
            taken: Vec::new(),
            forgotten: Vec::new(),
        }
    }

    /// Reads a section of which there is one. What is not in force is not in it afterwards.
    pub fn single<S>(&mut self, section: &mut Section<'t>, of: &Single<S>, into: &mut S) {
        let bad = self.one_section(section, of.name, &mut Filled { options: of.options, into });
        (of.check)(into, &mut Checks { reader: self, section, bad: &bad });
    }

    /// Reads a section of which there may be many. `None`: there is nothing to go by, since it is switched
    /// off, or cannot be used, is left out, and has no type afterwards.
    pub fn many<D: Default, T>(&mut self, section: &mut Section<'t>, of: &Many<D, T>) -> Option<T> {
        let mut draft = D::default();
        let bad = self.options(section, &mut Filled { options: of.options, into: &mut draft });
        let built = if self.is_usable(&bad, of.needed) {
            (of.build)(draft, &mut Checks { reader: self, section, bad: &bad })
        } else {
            Err(LeftOut)
        };
        built.unwrap_or_else(|LeftOut| {
            self.leave_out(section);
            None
        })
    }

    /// Takes out of these sections, which came before the one that was read last, what its own checks took out of
    /// it: they would say it again.
    pub fn forget_in(&mut self, before: &mut [Section<'t>], kind: &str) {
        let forgotten = std::mem::take(&mut self.forgotten);
        // As a rule: a file of thousands of sections is not gone through for each of them.
        if forgotten.is_empty() {
            return;
        }
        for section in before.iter_mut().filter(|section| section.kind == kind) {
            section.options.retain(|entry| !forgotten.contains(&entry.name.as_ref()));
        }
    }

    /// Says of the newest problem that it costs this section.
    pub fn leave_out(&mut self, section: &mut Section<'t>) {
        let name = section.name.as_deref().map(|name| format!(" '{name}'")).unwrap_or_default();
        let text = format!("; config {}{name} of line {} is left out", section.kind, section.line);
        let newest = self.problems.newest();
        self.problems.outcome(newest, &text);
        section.kind = Cow::Borrowed("");
    }

    /// There are so many sections of this type already, and no more count.
    pub fn one_too_many(&mut self, section: &mut Section<'t>, most: usize) {
        let message = format!("only {most} sections of config {} count", section.kind);
        self.problems.add(section.line, Severity::Error, message);
        self.leave_out(section);
    }

    fn is_usable(&mut self, bad: &[Bad<'t>], needed: &[&str]) -> bool {
        if bad.iter().any(|bad| needed.contains(&bad.name.as_ref())) {
            return false;
        }
        bad.iter().for_each(|bad| self.problems.outcome(bad.at, DEFAULT_COUNTS));
        true
    }

    fn one_section(&mut self, section: &mut Section<'t>, name: &'static str, target: &mut dyn Target) -> Vec<Bad<'t>> {
        if let Some((_, line)) = self.seen.iter().find(|(seen, _)| *seen == name) {
            let message = format!("a second config {}; what it sets replaces that of line {line}", section.kind);
            self.problems.add(section.line, Severity::Warning, message);
        } else {
            self.seen.push((name, section.line));
            if section.name.as_deref() != Some(name) {
                // uci and LuCI find these sections by name only.
                let message =
                    format!("uci and LuCI look for this section under a name; write config {} '{name}'", section.kind);
                self.problems.add(section.line, Severity::Warning, message);
            }
        }
        let bad = self.options(section, target);
        for Bad { name, at } in &bad {
            let stays = self.put_back(section, name, target);
            self.problems.outcome(*at, if stays { "; the value in force stays" } else { DEFAULT_COUNTS });
        }
        bad
    }

    /// Gives an option the value in force. Is there one?
    fn put_back(&mut self, section: &mut Section<'t>, name: &str, target: &mut dyn Target) -> bool {
        let of_kind = self.in_force.iter().filter(|former| former.kind == section.kind);
        let Some(former) = of_kind.flat_map(|former| &former.options).rfind(|entry| entry.name == name) else {
            return false;
        };
        let told = self.problems.clone();
        self.take(former, target);
        // What is in force was told when it came.
        self.problems = told;
        section.options.push(former.clone());
        true
    }

    /// Reads the options of a section; those of those that are not in force, which are taken out of it.
    fn options(&mut self, section: &mut Section<'t>, target: &mut dyn Target) -> Vec<Bad<'t>> {
        let mut bad: Vec<Bad<'t>> = Vec::new();
        let mut entries = std::mem::take(&mut section.options);
        entries.retain_mut(|entry| {
            self.replaced(entry);
            let Some(taken) = self.take(entry, target) else {
                self.unknown(&section.kind, entry, target);
                return true;
            };
            let at = self.problems.newest();
            match taken {
                Taken::Whole => {}
                Taken::Part => {
                    self.problems.outcome(at, "; it is left out");
                    keep_items(entry, &self.taken);
                }
                Taken::Not => bad.push(Bad { name: entry.name.clone(), at }),
            }
            taken != Taken::Not
        });
        section.options = entries;
        bad
    }

    fn replaced(&mut self, entry: &Stated<'_>) {
        if let Some(line) = entry.replaces {
            let message = format!("{} replaces what line {line} set", entry.name);
            self.problems.add(entry.line, Severity::Warning, message);
        }
    }

    fn unknown(&mut self, kind: &str, entry: &Stated<'_>, target: &dyn Target) {
        let known: Vec<&str> = options(target).map(|(_, name, _)| name).collect();
        let message = format!("{} is ignored; config {kind} knows {}", entry.name, known.join(", "));
        self.problems.add(entry.line, Severity::Warning, message);
    }

    /// `None`: there is no such option.
    fn take(&mut self, entry: &Stated<'_>, target: &mut dyn Target) -> Option<Taken> {
        let (at, form) = find(target, &entry.name)?;
        Some(match form {
            Form::One => self.take_one(entry, target, at),
            Form::OneOrNone => self.take_one_or_none(entry, target, at),
            Form::List | Form::Texts => self.take_items(entry, target, at, form),
        })
    }

    /// A single value, blanks around it taken off; an empty one is what libuci takes for "not set", so the
    /// default stays.
    fn take_one(&mut self, entry: &Stated<'_>, target: &mut dyn Target, at: usize) -> Taken {
        let Some(text) = self.single_value(entry) else { return Taken::Not };
        if text.is_empty() {
            return Taken::Whole;
        }
        let mut take = |text| target.take(at, Given { text: Some(text), first: true });
        let read = take(text).or_else(|error| {
            let read = take(text.trim()).map_err(|_| error)?;
            let message = format!("{}: the blanks around its value do not count", entry.name);
            self.problems.add(entry.line, Severity::Warning, message);
            Ok(read)
        });
        self.said(entry, entry.line, read)
    }

    /// A single value that can be switched off: `none`, or empty.
    fn take_one_or_none(&mut self, entry: &Stated<'_>, target: &mut dyn Target, at: usize) -> Taken {
        let Some(text) = self.single_value(entry) else { return Taken::Not };
        let text = text.trim();
        if text.is_empty() {
            let name = &entry.name;
            let message =
                format!("an empty {name} is lost when uci or LuCI writes the file; write option {name} 'none'");
            self.problems.add(entry.line, Severity::Warning, message);
        }
        let text = Some(text).filter(|text| !["", "none"].contains(text));
        let read = target.take(at, Given { text, first: true });
        self.said(entry, entry.line, read)
    }

    /// Items that are bad are left out; where none is good, the list stays as it is.
    fn take_items(&mut self, entry: &Stated<'_>, target: &mut dyn Target, at: usize, form: Form) -> Taken {
        let mut all: Vec<bool> = Vec::new();
        let mut item = |line: u32, text: &str| {
            let first = !all.contains(&true);
            let mut take = |text| target.take(at, Given { text: Some(text), first });
            let read = take(text).or_else(|error| take(text.trim()).map_err(|_| error));
            all.push(self.said(entry, line, read) == Taken::Whole);
        };
        match &entry.value {
            Value::List(items) => {
                items.iter().filter(|(_, text)| !text.is_empty()).for_each(|(line, text)| item(*line, text));
            }
            Value::Single(text) if form == Form::List => {
                text.split_whitespace().for_each(|text| item(entry.line, text));
            }
            Value::Single(text) if text.is_empty() => {}
            Value::Single(text) => item(entry.line, text),
        }
        let taken = match (all.contains(&true), all.contains(&false)) {
            (_, false) => Taken::Whole,
            (true, true) => Taken::Part,
            (false, true) => Taken::Not,
        };
        self.taken = all;
        taken
    }

    fn single_value<'e>(&mut self, entry: &'e Stated<'_>) -> Option<&'e str> {
        let name = &entry.name;
        match &entry.value {
            Value::Single(text) => Some(text),
            Value::List(items) => {
                let one = if let [(_, item)] = items.as_slice() { Some(item.as_ref()) } else { None };
                let severity = if one.is_some() { Severity::Warning } else { Severity::Error };
                let message = format!("list {name}: {name} takes one value; write option {name} 'VALUE'");
                self.problems.add(entry.line, severity, message);
                one
            }
        }
    }

    fn said(&mut self, entry: &Stated<'_>, line: u32, read: Read) -> Taken {
        let (severity, sentence, taken) = match read {
            Ok(None) => return Taken::Whole,
            Ok(Some(sentence)) => (Severity::Warning, sentence, Taken::Whole),
            Err(sentence) => (Severity::Error, sentence, Taken::Not),
        };
        self.problems.add(line, severity, format!("{}: {sentence}", entry.name));
        taken
    }
}

/// Leaves of a list the items that were taken; empty ones do not count.
fn keep_items(entry: &mut Stated<'_>, taken: &[bool]) {
    let items: Vec<(u32, Cow<'_, str>)> = match std::mem::replace(&mut entry.value, Value::List(Vec::new())) {
        Value::List(items) => items,
        Value::Single(text) => text.split_whitespace().map(|item| (entry.line, Cow::Owned(item.to_owned()))).collect(),
    };
    let kept = items.into_iter().filter(|(_, item)| !item.is_empty()).zip(taken).filter(|(_, taken)| **taken);
    entry.value = Value::List(kept.map(|(item, _)| item).collect());
}

/// A section whose options have been read, for the checks of the part that it is for.
pub struct Checks<'r, 't> {
    reader: &'r mut Reader<'t>,
    section: &'r mut Section<'t>,
    bad: &'r [Bad<'t>],
}

impl Checks<'_, '_> {
    /// The section's type and name as they are written.
    pub fn name(&self) -> Option<&str> {
        self.section.name.as_deref()
    }

    /// The name, for sections that go by it: 1 to 15 of `a-z0-9_`. Sections of one name are one section, as
    /// uci has it.
    ///
    /// # Errors
    /// There is none, or another; the section is left out.
    pub fn own_name(&mut self) -> Result<String, LeftOut> {
        let kind = &self.section.kind;
        let message = match self.name().map(value::section_name) {
            Some(Ok(name)) => return Ok(name),
            Some(Err(error)) => format!("config {kind}: {error}"),
            None => {
                format!("config {kind} without a name; write config {kind} 'NAME', 1 to 15 of a to z, 0 to 9 and _")
            }
        };
        Err(self.refuse(None, message))
    }

    /// Was this option given, and is it not in force?
    pub fn is_bad(&self, option: &str) -> bool {
        self.bad.iter().any(|bad| bad.name == option)
    }

    /// Says something about an option (`None`: about the section as a whole) that is in force all the same.
    pub fn warn(&mut self, option: Option<&str>, message: String) {
        self.say(option, Severity::Warning, message);
    }

    /// Says why the section cannot be used.
    #[must_use]
    pub fn refuse(&mut self, option: Option<&str>, message: String) -> LeftOut {
        self.say(option, Severity::Error, message);
        LeftOut
    }

    fn say(&mut self, option: Option<&str>, severity: Severity, message: String) {
        let line = option.map_or(self.section.line, |option| self.section.line_of(option));
        self.reader.problems.add(line, severity, message);
    }

    /// Was a section of this type in force before?
    pub fn had_former(&self) -> bool {
        self.reader.in_force.iter().any(|former| former.kind == self.section.kind)
    }

    /// What the section says of these options is no longer in it. Their settings are the caller's.
    pub fn forget(&mut self, options: &[&'static str]) {
        self.reader.forgotten.extend(options);
        self.section.options.retain(|entry| !options.contains(&entry.name.as_ref()));
    }

    /// Gives these options of the table `of` the values that were in force.
    pub fn put_back<S>(&mut self, options: &[&str], of: &Single<S>, into: &mut S) {
        let target = &mut Filled { options: of.options, into };
        for option in options {
            self.reader.put_back(self.section, option, target);
        }
    }
}

#[cfg(test)]
mod tests;
