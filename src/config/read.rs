//! UCI text to [`Settings`]: which section goes where, and everything that is wrong with a file.
//!
//! One bad entry costs that entry (see [`crate::options::section`]). What counts is the same for the daemon,
//! for `rules` and at a start: it follows from this text and the one in force.
//!
//! Called by `diswall run` at start and on SIGHUP, by `diswall config check` and by every command that
//! needs the control socket's path. It touches nothing but the files it reads.

use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::listed::{ALLOW, BLOCK, read_allow, read_block};
use super::{Allow, Block, Settings, main};
use crate::feed::settings::ROWS as OF_FEEDS;
use crate::options::section::names;
use crate::options::uci::{self, Section, Value};
use crate::options::{Problems, Reader, SectionType, Severity, value};

/// The types of sections that are no feed's; the first is told of before the feeds', the others after them.
const OWN: [SectionType<Settings>; 3] = [
    SectionType {
        kind: "diswall",
        once: true,
        options: || names(main::SECTION.options),
        read: |reader, section, settings| reader.single(section, &main::SECTION, &mut settings.main),
    },
    SectionType { kind: "allow", once: false, options: || names(ALLOW.options), read: read_allow },
    SectionType { kind: "block", once: false, options: || names(BLOCK.options), read: read_block },
];

/// Types of sections.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    let own = |rows: &'static [SectionType<Settings>]| rows.iter().map(|row| row.kind);
    let (first, rest) = OWN.split_at(1);
    own(first).chain(OF_FEEDS.iter().map(|row| row.kind)).chain(own(rest))
}

/// The options that a section of this type may have, each with whether its value is a secret; none for a
/// type that is not known.
pub fn options_of(kind: &str) -> Vec<(&'static str, bool)> {
    let own = SectionType::of(&OWN, kind).map(|row| row.options);
    own.or_else(|| SectionType::of(&OF_FEEDS, kind).map(|row| row.options)).map_or(Vec::new(), |options| options())
}

/// Is there one section of this type?
fn is_single(kind: &str) -> bool {
    SectionType::of(&OWN, kind)
        .map_or_else(|| SectionType::of(&OF_FEEDS, kind).is_some_and(|row| row.once), |row| row.once)
}

/// What is to be in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What the owner should look at.
    pub problems: Problems,
    /// `uci` would refuse the file, so that what could be read of it may be anything.
    pub broken: bool,
    /// The settings as UCI text, where they are not simply what the file says: no errors are in it.
    pub(super) corrected: Option<String>,
    /// The sections of which there is one, as UCI text without errors.
    pub options: String,
}

impl Loaded {
    /// A text without errors that says what these settings are: `text`, which they were read from, or what
    /// is left of it.
    pub fn good<'t>(&'t self, text: &'t [u8]) -> &'t [u8] {
        self.corrected.as_deref().map_or(text, str::as_bytes)
    }
}

/// A power cut leaves an empty file, whoever writes it anew for a moment, and `uci commit` where there is no room, which says
/// nothing of it.
const NOTHING: &str = "there is no section in it (was there no room, or a power cut?); `diswall config restore` puts the last good one there";

impl Settings {
    /// Reads the file at `path`; `in_force` is the text whose values stay where the file's are bad (empty:
    /// the defaults). Errors: it cannot be read; the path and the cause are named.
    pub fn load(path: &Path, in_force: &[u8]) -> Result<Loaded, Problems> {
        let file_name = path.display().to_string();
        match read_bounded(path) {
            Ok(text) => {
                let (sections, errors) = uci::sections(&text);
                let is_empty = sections.is_empty();
                let mut loaded = loaded_of(sections, errors, &file_name, in_force, &mut |_, _| {});
                if is_empty && !loaded.broken {
                    loaded.broken = true;
                    loaded.problems.add(None, Severity::Error, NOTHING.to_owned());
                }
                Ok(loaded)
            }
            Err(error) => {
                let mut problems = Problems::new(&file_name);
                problems.add(None, Severity::Error, format!("cannot be read: {error}"));
                Err(problems)
            }
        }
    }

    /// Reads a configuration from its text; `file_name` is for the messages, `in_force` as for
    /// [`Settings::load`].
    pub fn parse(text: &[u8], file_name: &str, in_force: &[u8]) -> Loaded {
        let (sections, errors) = uci::sections(text);
        loaded_of(sections, errors, file_name, in_force, &mut |_, _| {})
    }
}

/// `each`: told of every section's place and the settings behind it.
fn loaded_of(
    sections: Vec<Section<'_>>,
    errors: Vec<uci::SyntaxError>,
    file_name: &str,
    in_force: &[u8],
    each: &mut dyn FnMut(usize, &Settings),
) -> Loaded {
    let (in_force, _) = uci::sections(in_force);
    // Of the shorter of both texts' lives.
    let mut sections = sections;
    let mut reader = Reader::new(file_name, &in_force);
    let broken = errors.iter().any(|error| !error.harmless);
    for error in errors {
        let severity = if error.harmless { Severity::Warning } else { Severity::Error };
        reader.problems.add(error.line, severity, error.message);
    }
    let settings = settings_of(&mut reader, &mut sections, each);
    let mut problems = reader.problems;
    problems.list.sort_by_key(|problem| problem.line);
    let written = |wanted: fn(&&Section<'_>) -> bool| {
        let mut text = String::new();
        for section in sections.iter().filter(wanted) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{section}");
        }
        text
    };
    let corrected = problems.has_errors().then(|| written(|section| !section.kind.is_empty()));
    let options = written(|section| is_single(&section.kind));
    Loaded { settings, problems, broken, corrected, options }
}

/// What is not in force is not in `sections` afterwards; a section that was left out has no type.
fn settings_of<'t>(
    reader: &mut Reader<'t>,
    sections: &mut [Section<'t>],
    each: &mut dyn FnMut(usize, &Settings),
) -> Settings {
    let mut settings = Settings::default();
    for at in 0..sections.len() {
        let (before, rest) = sections.split_at_mut(at);
        let Some(section) = rest.first_mut() else { break };
        if let Some(row) = SectionType::of(&OWN, &section.kind) {
            (row.read)(reader, section, &mut settings);
        } else if let Some(row) = SectionType::of(&OF_FEEDS, &section.kind) {
            (row.read)(reader, section, &mut settings.feeds);
        } else {
            let known: Vec<&str> = kinds().collect();
            let (last, known) = known.split_last().unwrap_or((&"", &[]));
            let message =
                format!("config {} is ignored; known types are {} and {last}", section.kind, known.join(", "));
            reader.problems.add(section.line, Severity::Warning, message);
        }
        reader.forget_in(before, &section.kind);
        each(at, &settings);
    }
    settings
}

pub(super) fn control_of(text: &[u8]) -> Option<PathBuf> {
    let (sections, _) = uci::sections(text);
    let named = sections.iter().filter(|section| section.kind == "diswall").flat_map(|section| &section.options);
    named.filter(|entry| entry.name == "control").find_map(|entry| match &entry.value {
        Value::Single(text) => main::socket_path(text.trim()).ok(),
        Value::List(_) => None,
    })
}

/// The file's text, while nobody is writing it: one byte above the limit at most, so that the syntax can
/// say that it is too long. Whoever keeps it locked is waited for a moment.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    const STEP: Duration = Duration::from_millis(2);
    let file = File::open(path)?;
    // libuci's readers wait for as long as it takes; the daemon has other things to do.
    for _ in 0..50 {
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(STEP),
            _ => break,
        }
    }
    read_all(&file)
}

/// As [`read_bounded`], from where the file stands.
pub(crate) fn read_all(file: &File) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(uci::MAX_FILE as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// A `config list` as an edit sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ListText {
    /// Its name; `None`: it has none, and cannot be used.
    pub name: Option<String>,
    /// `option enabled`.
    pub enabled: Option<String>,
    /// The section as UCI text without that option.
    pub rest: String,
}

impl ListText {
    fn of(mut section: Section<'_>) -> ListText {
        let at =
            section.options.iter().position(|entry| entry.name == "enabled" && matches!(entry.value, Value::Single(_)));
        let enabled = at.map(|at| section.options.remove(at)).filter(|entry| !entry.is_unset());
        let enabled = enabled.map(|entry| match entry.value {
            Value::Single(text) => text.into_owned(),
            Value::List(_) => String::new(),
        });
        let name = section.name.as_deref().map(str::to_owned);
        ListText { name, enabled, rest: section.to_string() }
    }

    /// Whether it is switched on.
    pub(crate) fn is_on(&self) -> bool {
        self.enabled.as_deref().is_none_or(|text| value::boolean(text).unwrap_or(true))
    }
}

/// A text as an edit sees it.
pub(crate) struct Listed {
    /// Every `config allow`, in order; `None`: one that has no address, or cannot be used.
    pub(crate) allows: Vec<Option<Allow>>,
    /// Every `config block`, likewise.
    pub(crate) blocks: Vec<Option<Block>>,
    /// Every `config list`, likewise.
    pub(crate) lists: Vec<ListText>,
    /// All other sections as UCI text.
    pub(crate) rest: String,
    /// What is to be in force by it.
    pub(crate) loaded: Loaded,
}

/// Reads a text once, for an edit and for what is to be in force by it. Errors: `uci` would refuse the text.
pub(crate) fn listed(text: &[u8], file_name: &str, in_force: &[u8]) -> Result<Listed, Problems> {
    let (sections, errors) = uci::sections(text);
    let mut problems = Problems::new(file_name);
    for error in errors.iter().filter(|error| !error.harmless) {
        problems.add(error.line, Severity::Error, error.message.clone());
    }
    // What a command adds would make a configuration of it, and the last good one would be gone.
    if sections.is_empty() && !in_force.is_empty() {
        problems.add(None, Severity::Error, NOTHING.to_owned());
    }
    if problems.has_errors() {
        return Err(problems);
    }
    let (mut lists, mut rest) = (Vec::new(), String::new());
    let kinds: Vec<[bool; 3]> =
        sections.iter().map(|section| ["allow", "block", "list"].map(|kind| section.kind == kind)).collect();
    for (section, kind) in sections.iter().zip(&kinds) {
        match kind {
            [_, _, true] => lists.push(ListText::of(section.clone())),
            // Writing to a String cannot fail.
            [false, false, _] => drop(write!(rest, "{section}")),
            _ => {}
        }
    }
    let (mut allows, mut blocks) = (Vec::new(), Vec::new());
    let mut known = 0;
    let loaded = loaded_of(sections, errors, file_name, in_force, &mut |at, settings| {
        let now = settings.allow.len() + settings.block.len();
        match kinds.get(at) {
            Some([true, ..]) => allows.push(settings.allow.last().filter(|_| now > known).cloned()),
            Some([_, true, _]) => blocks.push(settings.block.last().filter(|_| now > known).cloned()),
            _ => {}
        }
        known = now;
    });
    Ok(Listed { allows, blocks, lists, rest, loaded })
}

#[cfg(test)]
mod tests;
