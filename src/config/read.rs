//! UCI text to [`Settings`]: which option goes where, and everything that is wrong with a file.
//!
//! One bad entry costs that entry: an allow, block or logwatch section that cannot be used is left out, a
//! bad option of another section has the value that was in force before, else its default. What counts is
//! the same for the daemon, for `rules` and at a start: it follows from this text and the one in force.
//! Where a guess could tell a secret to the wrong server (`nats`), the account goes with the server.
//!
//! Called by `diswall run` at start and on SIGHUP, by `diswall config check` and by every command that
//! needs the control socket's path. It touches nothing but the files it reads.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::last_good;
use super::uci::{self, Entry, Section, Value};
use super::value::{self, BadValue};
use super::{Allow, Block, Dynfw, LogSource, Login, Logwatch, MAX_NAMES, Main, Named, Nats, Proto, Scan, Settings};
use crate::feed::login::Pattern;
use crate::feed::login::attempts::Limit;
use crate::outside;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It is in force all the same.
    Warning,
    /// Something that the file says is not in force.
    Error,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; `None`: the file as a whole.
    pub line: Option<u32>,
    /// Warning or error.
    pub severity: Severity,
    /// A sentence that names the value and what is accepted.
    pub message: String,
}

/// What is wrong with a configuration, in the order of its lines. Displayed one problem a line, as
/// `FILE:LINE: error: …` or `FILE:LINE: warning: …`, without a final line end.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Problems {
    /// The file's name as it was given.
    pub file: String,
    /// The first [`MAX_PROBLEMS`] of them.
    pub list: Vec<Problem>,
    /// How many more there are.
    more: usize,
    /// How many errors there are, those that are not listed too.
    errors: usize,
}

/// So many problems of a file are told one by one.
pub const MAX_PROBLEMS: usize = 100;
/// Longest sentence about a problem, and longest name of a file in front of it, in bytes.
const MESSAGE_MAX: usize = 2 * outside::SENTENCE;
const PATH_MAX: usize = 512;

impl Problems {
    fn new(file: &str) -> Problems {
        Problems { file: outside::clean(file, PATH_MAX), ..Problems::default() }
    }

    /// Is there nothing wrong?
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Is there an error, so that something of the file is not in force?
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Each problem as its line, with its severity, for a log that has levels of its own.
    pub fn lines(&self) -> impl Iterator<Item = (Severity, String)> {
        let more = (self.more > 0).then(|| (Severity::Error, format!("{}: and {} more", self.file, self.more)));
        self.list.iter().map(|problem| (problem.severity, self.line(problem))).chain(more)
    }

    fn line(&self, problem: &Problem) -> String {
        let severity = match problem.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        match problem.line {
            Some(line) => format!("{}:{line}: {severity}: {}", self.file, problem.message),
            None => format!("{}: {severity}: {}", self.file, problem.message),
        }
    }

    fn add(&mut self, line: impl Into<Option<u32>>, severity: Severity, message: String) {
        self.errors += usize::from(severity == Severity::Error);
        let message = outside::clean(&message, MESSAGE_MAX);
        if self.list.len() < MAX_PROBLEMS {
            self.list.push(Problem { line: line.into(), severity, message });
        } else {
            self.more += 1;
        }
    }

    /// One of the file as a whole, before the others.
    pub(super) fn whole(&mut self, message: String) {
        self.errors += 1;
        let message = outside::clean(&message, MESSAGE_MAX);
        self.list.insert(0, Problem { line: None, severity: Severity::Error, message });
    }

    /// Place of the newest problem; [`usize::MAX`] where it is not listed.
    fn newest(&self) -> usize {
        if self.more > 0 { usize::MAX } else { self.list.len().wrapping_sub(1) }
    }

    /// Says what came of the problem at this place.
    fn outcome(&mut self, at: usize, text: &str) {
        if let Some(problem) = self.list.get_mut(at) {
            problem.message.push_str(text);
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (_, line)) in self.lines().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

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

impl Settings {
    /// Reads the file at `path`; `in_force` is the text whose values stay where the file's are bad (empty:
    /// the defaults). Errors: it cannot be read; the path and the cause are named.
    pub fn load(path: &Path, in_force: &[u8]) -> Result<Loaded, Problems> {
        let file_name = path.display().to_string();
        match read_bounded(path) {
            Ok(text) => Ok(Settings::parse(&text, &file_name, in_force)),
            Err(error) => {
                let mut problems = Problems::new(&file_name);
                problems.add(None, Severity::Error, format!("cannot be read: {error}"));
                Err(problems)
            }
        }
    }

    /// The control socket that the file names, even where the rest of it has errors; else that of the last
    /// good one, else the default. Lets the command line find a daemon that runs on with a former
    /// configuration.
    pub fn control_in(path: &Path) -> PathBuf {
        let file = read_bounded(path).unwrap_or_default();
        let named = control_of(&file).or_else(|| control_of(&last_good::text(path)?));
        named.unwrap_or_else(|| Main::default().control)
    }

    /// Reads a configuration from its text; `file_name` is for the messages, `in_force` as for
    /// [`Settings::load`].
    pub fn parse(text: &[u8], file_name: &str, in_force: &[u8]) -> Loaded {
        let (mut sections, errors) = uci::sections(text);
        let (in_force, _) = uci::sections(in_force);
        let mut reader =
            Reader { problems: Problems::new(file_name), in_force: &in_force, taken: Vec::new(), named: Vec::new() };
        let broken = errors.iter().any(|error| !error.harmless);
        for error in errors {
            let severity = if error.harmless { Severity::Warning } else { Severity::Error };
            reader.problems.add(error.line, severity, error.message);
        }
        let settings = reader.settings(&mut sections);
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
        let options = written(|section| SINGLE.contains(&section.kind.as_ref()));
        Loaded { settings, problems, broken, corrected, options }
    }
}

fn control_of(text: &[u8]) -> Option<PathBuf> {
    let (sections, _) = uci::sections(text);
    let named = sections.iter().filter(|section| section.kind == "diswall").flat_map(|section| &section.options);
    named.filter(|entry| entry.name == "control").find_map(|entry| match &entry.value {
        Value::Single(text) => value::socket_path(text.trim()).ok(),
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

/// A `config allow` or `config block` as an edit sees it; `None`: it cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Listed {
    Allow(Option<Allow>),
    Block(Option<Block>),
}

/// Every `config allow` and `config block` of a text, in order, and all its other sections as UCI text.
/// Errors: `uci` would refuse the text.
pub(crate) fn listed(text: &[u8], file_name: &str) -> Result<(Vec<Listed>, String), Problems> {
    let (sections, errors) = uci::sections(text);
    let mut reader = Reader { problems: Problems::new(file_name), in_force: &[], taken: Vec::new(), named: Vec::new() };
    for error in errors.into_iter().filter(|error| !error.harmless) {
        reader.problems.add(error.line, Severity::Error, error.message);
    }
    if reader.problems.has_errors() {
        return Err(reader.problems);
    }
    let (mut listed, mut rest) = (Vec::new(), String::new());
    for mut section in sections {
        match section.kind.as_ref() {
            "allow" => listed.push(Listed::Allow(reader.allow(&mut section).flatten())),
            "block" => listed.push(Listed::Block(reader.block(&mut section).flatten())),
            // Writing to a String cannot fail.
            _ => drop(write!(rest, "{section}")),
        }
    }
    Ok((listed, rest))
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

/// What one option does to its section's settings.
type Setter<S> = fn(&mut Reader<'_>, &Entry<'_>, &mut S) -> Taken;

const MAIN: &[(&str, Setter<Main>)] = &[
    ("enabled", |r, e, main| r.set(e, &mut main.enabled, value::boolean)),
    ("local_only", |r, e, main| r.set(e, &mut main.local_only, value::boolean)),
    ("log_level", |r, e, main| r.set(e, &mut main.log_level, value::log_level)),
    ("table", |r, e, main| r.set(e, &mut main.table, value::table)),
    ("set_prefix", |r, e, main| r.set(e, &mut main.set_prefix, value::set_prefix)),
    ("zone", |r, e, main| r.set_list(e, &mut main.zones, value::zone)),
    ("device", |r, e, main| r.set_list(e, &mut main.devices, value::device)),
    ("action", |r, e, main| r.set(e, &mut main.action, value::action)),
    ("log_drops", |r, e, main| r.set(e, &mut main.log_drops, value::boolean)),
    ("states", |r, e, main| r.set(e, &mut main.states, value::states)),
    ("direction", |r, e, main| r.set(e, &mut main.direction, value::direction)),
    ("disconnect", |r, e, main| r.set(e, &mut main.disconnect, value::boolean)),
    ("max_entries", |r, e, main| r.set(e, &mut main.max_entries, value::max_entries)),
    ("state_dir", |r, e, main| r.set(e, &mut main.state_dir, value::path)),
    ("control", |r, e, main| r.set(e, &mut main.control, value::socket_path)),
];

const DYNFW: &[(&str, Setter<Dynfw>)] = &[
    ("enabled", |r, e, dynfw| r.set(e, &mut dynfw.enabled, value::boolean)),
    ("server", |r, e, dynfw| r.set(e, &mut dynfw.server, value::server)),
    ("port", |r, e, dynfw| r.set(e, &mut dynfw.port, value::port)),
    ("server_key", |r, e, dynfw| r.set_or_none(e, &mut dynfw.server_key, value::server_key)),
    ("key_url", |r, e, dynfw| r.set_or_none(e, &mut dynfw.key_url, value::https_url)),
    ("max_age", |r, e, dynfw| r.set(e, &mut dynfw.max_age, value::positive_duration)),
    ("events", |r, e, dynfw| r.set(e, &mut dynfw.events, value::boolean)),
];

const NATS: &[(&str, Setter<Nats>)] = &[
    ("enabled", |r, e, nats| r.set(e, &mut nats.enabled, value::boolean)),
    ("server", |r, e, nats| r.set(e, &mut nats.server, value::server)),
    ("port", |r, e, nats| r.set(e, &mut nats.port, value::port)),
    ("client_name", |r, e, nats| r.set(e, &mut nats.client_name, value::client_name)),
    ("client_pass", |r, e, nats| r.set(e, &mut nats.client_pass, value::client_pass)),
    ("hostname", |r, e, nats| r.set(e, &mut nats.hostname, |text| value::host_part(text).map(Some))),
    ("tls", |r, e, nats| {
        let taken = r.set(e, &mut nats.tls, value::boolean);
        r.needs_tls(e, nats.tls);
        taken
    }),
    ("ca_file", |r, e, nats| r.set(e, &mut nats.ca_file, |text| value::path(text).map(Some))),
    ("share_bans", |r, e, nats| r.set(e, &mut nats.share_bans, value::boolean)),
    ("send_statistics", |r, e, nats| r.set(e, &mut nats.send_statistics, value::boolean)),
    ("refresh", |r, e, nats| r.set(e, &mut nats.refresh, value::boolean)),
];

const SCAN: &[(&str, Setter<Scan>)] = &[
    ("enabled", |r, e, scan| r.set(e, &mut scan.enabled, value::boolean)),
    ("nflog_group", |r, e, scan| {
        r.set(e, &mut scan.nflog_group, |text| value::number(text, 0, u16::MAX.into()).map(|group| group as u16))
    }),
    ("honeypot_port", |r, e, scan| r.set_list(e, &mut scan.honeypot_ports, value::port_range)),
    ("ban_time", |r, e, scan| r.set_list(e, &mut scan.ban_times, value::positive_duration)),
    ("forget_after", |r, e, scan| r.set(e, &mut scan.forget_after, value::positive_duration)),
    ("high_port", |r, e, scan| r.set(e, &mut scan.high_port, value::port)),
    ("high_port_packets", |r, e, scan| r.set(e, &mut scan.high_port_packets, |text| value::number(text, 1, 100))),
    ("ipv6_prefix", |r, e, scan| r.set(e, &mut scan.ipv6_prefix, value::ipv6_ban_prefix)),
    ("refresh", |r, e, scan| r.set(e, &mut scan.refresh, value::boolean)),
];

const LOGIN: &[(&str, Setter<Login>)] = &[
    ("enabled", |r, e, login| r.set(e, &mut login.enabled, value::boolean)),
    ("service", |r, e, login| r.set_list(e, &mut login.services, value::login_service)),
    ("attempts", |r, e, login| r.set(e, &mut login.limit.attempts, |text| value::number(text, 1, Limit::MOST))),
    ("window", |r, e, login| r.set(e, &mut login.limit.window, value::positive_duration)),
    ("source", |r, e, login| r.set(e, &mut login.source, value::log_source)),
    ("proof", |r, e, login| r.set(e, &mut login.proof, value::proving)),
];

/// `config logwatch` while it is read.
#[derive(Default)]
struct LogwatchDraft {
    off: bool,
    name: Option<String>,
    preset: Option<String>,
    programs: Vec<String>,
    patterns: Vec<Pattern>,
    limit: Limit,
    source: LogSource,
}

const LOGWATCH: &[(&str, Setter<LogwatchDraft>)] = &[
    ("enabled", |r, e, watch| r.set(e, &mut watch.off, |text| value::boolean(text).map(|on| !on))),
    ("name", |r, e, watch| r.set(e, &mut watch.name, |text| value::watch_name(text).map(Some))),
    ("preset", |r, e, watch| r.set(e, &mut watch.preset, |text| value::login_service(text).map(Some))),
    ("program", |r, e, watch| r.set_list(e, &mut watch.programs, value::program)),
    ("pattern", |r, e, watch| r.set_texts(e, &mut watch.patterns, value::pattern)),
    ("attempts", |r, e, watch| r.set(e, &mut watch.limit.attempts, |text| value::number(text, 1, Limit::MOST))),
    ("window", |r, e, watch| r.set(e, &mut watch.limit.window, value::positive_duration)),
    ("source", |r, e, watch| r.set(e, &mut watch.source, value::log_source)),
];

/// What `ip` says.
enum Given {
    Net(ipnet::IpNet),
    Name(String),
    /// Nothing that can be used.
    Bad,
}

/// `config allow` while it is read.
#[derive(Default)]
struct AllowDraft {
    net: Option<Given>,
    comment: String,
}

const ALLOW: &[(&str, Setter<AllowDraft>)] = &[
    ("ip", |r, e, allow| r.set_net(e, &mut allow.net)),
    ("comment", |r, e, allow| r.set_comment(e, &mut allow.comment)),
];

/// `config block` while it is read.
#[derive(Default)]
struct BlockDraft {
    net: Option<Given>,
    comment: String,
    proto: Proto,
    dest_ports: Vec<super::PortRange>,
    action: Option<super::Action>,
    log: bool,
    force: bool,
}

const BLOCK: &[(&str, Setter<BlockDraft>)] = &[
    ("ip", |r, e, block| r.set_net(e, &mut block.net)),
    ("comment", |r, e, block| r.set_comment(e, &mut block.comment)),
    ("proto", |r, e, block| r.set(e, &mut block.proto, value::proto)),
    ("dest_port", |r, e, block| r.set_list(e, &mut block.dest_ports, value::port_range)),
    ("action", |r, e, block| r.set(e, &mut block.action, |text| value::action(text).map(Some))),
    ("log", |r, e, block| r.set(e, &mut block.log, value::boolean)),
    ("force", |r, e, block| r.set(e, &mut block.force, value::boolean)),
];

/// Types of sections.
pub const KINDS: &[&str] = &["diswall", "dynfw", "nats", "scan", "login", "logwatch", "allow", "block"];

/// The options that a section of this type may have; none for a type that is not known.
pub fn options_of(kind: &str) -> Vec<&'static str> {
    fn names<S>(table: &[(&'static str, Setter<S>)]) -> Vec<&'static str> {
        table.iter().map(|(name, _)| *name).collect()
    }
    match kind {
        "diswall" => names(MAIN),
        "dynfw" => names(DYNFW),
        "nats" => names(NATS),
        "scan" => names(SCAN),
        "login" => names(LOGIN),
        "logwatch" => names(LOGWATCH),
        "allow" => names(ALLOW),
        "block" => names(BLOCK),
        _ => Vec::new(),
    }
}

/// Types of the sections of which there is one.
const SINGLE: [&str; 5] = ["diswall", "dynfw", "nats", "scan", "login"];
/// Options of `nats` that say to whom the account's name and password are told, and how safely.
const NATS_TO_WHOM: [&str; 3] = ["server", "tls", "ca_file"];
/// All that says where the server is.
const NATS_WHERE: [&str; 4] = ["server", "port", "tls", "ca_file"];
/// What is told.
const NATS_TOLD: [&str; 4] = ["client_name", "client_pass", "share_bans", "send_statistics"];

const DEFAULT_COUNTS: &str = "; its default is in force";

/// An option that is not in force, and the place of the problem that says why.
struct Bad<'s> {
    name: Cow<'s, str>,
    at: usize,
}

struct Reader<'b> {
    problems: Problems,
    /// The configuration in force; empty where there is none.
    in_force: &'b [Section<'b>],
    /// Which items of the list that was read last are in force, where not all are.
    taken: Vec<bool>,
    named: Vec<Named>,
}

impl<'b> Reader<'b> {
    /// What is not in force is not in `sections` afterwards; a section that was left out has no type.
    fn settings<'s>(&mut self, sections: &mut [Section<'s>]) -> Settings
    where
        'b: 's,
    {
        let mut settings = Settings::default();
        // Where `config diswall`, `dynfw`, `nats`, `scan` and `login` were first seen.
        let mut seen = [None; 5];
        for section in sections {
            let mut kept = true;
            match section.kind.as_ref() {
                "diswall" => drop(self.single(section, "main", &mut seen[0], MAIN, &mut settings.main)),
                "dynfw" => drop(self.single(section, "dynfw", &mut seen[1], DYNFW, &mut settings.dynfw)),
                "nats" => {
                    let bad = self.single(section, "nats", &mut seen[2], NATS, &mut settings.nats);
                    if bad.iter().any(|bad| NATS_TO_WHOM.contains(&bad.name.as_ref())) {
                        self.withhold_account(section, &mut settings.nats);
                    }
                }
                "scan" => drop(self.single(section, "scan", &mut seen[3], SCAN, &mut settings.scan)),
                "login" => drop(self.single(section, "login", &mut seen[4], LOGIN, &mut settings.login)),
                "logwatch" => kept = self.entry(section, Reader::logwatch, &mut settings.logwatch),
                "allow" => kept = self.entry(section, Reader::allow, &mut settings.allow),
                "block" => kept = self.entry(section, Reader::block, &mut settings.block),
                kind => {
                    let message = format!(
                        "config {kind} is ignored; known types are diswall, dynfw, nats, scan, login, logwatch, \
                         allow and block"
                    );
                    self.problems.add(section.line, Severity::Warning, message);
                }
            }
            if !kept {
                section.kind = Cow::Borrowed("");
            }
        }
        settings.named = std::mem::take(&mut self.named);
        settings
    }

    /// A section of which there is one.
    fn single<'s, S>(
        &mut self,
        section: &mut Section<'s>,
        name: &str,
        seen: &mut Option<u32>,
        known: &[(&str, Setter<S>)],
        into: &mut S,
    ) -> Vec<Bad<'s>>
    where
        'b: 's,
    {
        if let Some(line) = seen {
            let message = format!("a second config {}; what it sets replaces that of line {line}", section.kind);
            self.problems.add(section.line, Severity::Warning, message);
        } else if section.name.as_deref() != Some(name) {
            // uci and LuCI find these sections by name only.
            let message =
                format!("uci and LuCI look for this section under a name; write config {} '{name}'", section.kind);
            self.problems.add(section.line, Severity::Warning, message);
        }
        seen.get_or_insert(section.line);
        let bad = self.options(section, known, into);
        for Bad { name, at } in &bad {
            let stays = self.put_back(section, name, known, into);
            self.problems.outcome(*at, if stays { "; the value in force stays" } else { DEFAULT_COUNTS });
        }
        bad
    }

    /// What the owner's server may be told is not told to another, or unencrypted.
    fn withhold_account<'s>(&mut self, section: &mut Section<'s>, nats: &mut Nats)
    where
        'b: 's,
    {
        let Nats { client_name, client_pass, share_bans, send_statistics, .. } = Nats::default();
        *nats = Nats { client_name, client_pass, share_bans, send_statistics, ..std::mem::take(nats) };
        section.options.retain(|entry| !NATS_TOLD.contains(&entry.name.as_ref()));
        if self.in_force.iter().any(|former| former.kind == "nats") {
            // An account belongs to its server, so the former server comes with it.
            let Nats { server, port, tls, ca_file, .. } = Nats::default();
            *nats = Nats { server, port, tls, ca_file, ..std::mem::take(nats) };
            section.options.retain(|entry| !NATS_WHERE.contains(&entry.name.as_ref()));
            for name in NATS_WHERE.iter().chain(&NATS_TOLD) {
                self.put_back(section, name, NATS, nats);
            }
        }
        let message = "until it is certain which server is meant and how, it is told no account and no bans but those \
                       of the configuration that was in force";
        self.problems.add(section.line, Severity::Warning, message.to_owned());
    }

    /// Gives an option the value in force. Is there one?
    fn put_back<'s, S>(
        &mut self,
        section: &mut Section<'s>,
        name: &str,
        known: &[(&str, Setter<S>)],
        into: &mut S,
    ) -> bool
    where
        'b: 's,
    {
        let of_kind = self.in_force.iter().filter(|former| former.kind == section.kind);
        let Some(former) = of_kind.flat_map(|former| &former.options).rfind(|entry| entry.name == name) else {
            return false;
        };
        let told = self.problems.clone();
        if let Some((_, set)) = known.iter().find(|(known, _)| *known == name) {
            set(self, former, into);
        }
        // What is in force was told when it came.
        self.problems = told;
        section.options.push(former.clone());
        true
    }

    /// A section of which there may be many. `false`: it cannot be used, and is left out.
    fn entry<'s, T>(
        &mut self,
        section: &mut Section<'s>,
        read: fn(&mut Self, &mut Section<'s>) -> Option<Option<T>>,
        into: &mut Vec<T>,
    ) -> bool {
        match read(self, section) {
            Some(entry) => into.extend(entry),
            None => {
                let name = section.name.as_deref().map(|name| format!(" '{name}'")).unwrap_or_default();
                let text = format!("; config {}{name} of line {} is left out", section.kind, section.line);
                let newest = self.problems.newest();
                self.problems.outcome(newest, &text);
                return false;
            }
        }
        true
    }

    /// Reads the options of a section; those of those that are not in force, which are taken out of it.
    fn options<'s, S>(&mut self, section: &mut Section<'s>, known: &[(&str, Setter<S>)], into: &mut S) -> Vec<Bad<'s>> {
        let mut bad: Vec<Bad<'s>> = Vec::new();
        let mut options = std::mem::take(&mut section.options);
        options.retain_mut(|entry| {
            self.replaced(entry);
            let Some((_, set)) = known.iter().find(|(name, _)| *name == entry.name) else {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                self.unknown(&section.kind, entry, &names);
                return true;
            };
            let taken = set(self, entry, into);
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
        section.options = options;
        bad
    }

    fn needs_tls(&mut self, entry: &Entry<'_>, wanted: bool) {
        if wanted && !cfg!(feature = "tls") {
            let message = "this diswall was built without TLS: while tls is on, it cannot connect to that feed";
            self.problems.add(entry.line, Severity::Warning, message.to_owned());
        }
    }

    fn replaced(&mut self, entry: &Entry<'_>) {
        if let Some(line) = entry.replaces {
            let message = format!("{} replaces what line {line} set", entry.name);
            self.problems.add(entry.line, Severity::Warning, message);
        }
    }

    fn unknown(&mut self, kind: &str, entry: &Entry<'_>, known: &[&str]) {
        let message = format!("{} is ignored; config {kind} knows {}", entry.name, known.join(", "));
        self.problems.add(entry.line, Severity::Warning, message);
    }

    fn logwatch(&mut self, section: &mut Section<'_>) -> Option<Option<Logwatch>> {
        let mut draft = LogwatchDraft::default();
        let bad = self.options(section, LOGWATCH, &mut draft);
        // Without these it would look at other lines than were meant.
        let needed = ["enabled", "preset", "program", "pattern", "source"];
        if bad.iter().any(|bad| needed.contains(&bad.name.as_ref())) {
            return None;
        }
        bad.iter().for_each(|bad| self.problems.outcome(bad.at, DEFAULT_COUNTS));
        if draft.patterns.is_empty() && draft.preset.is_none() {
            let message = "config logwatch without option preset or list pattern, messages with <HOST> for the address"
                .to_owned();
            self.problems.add(section.line, Severity::Error, message);
            return None;
        }
        let name = draft.name.or_else(|| section.name.as_deref().and_then(|name| value::watch_name(name).ok()));
        let name = name.or_else(|| draft.preset.clone()).or_else(|| draft.programs.first().cloned());
        let name = name.unwrap_or_else(|| "log".into());
        let LogwatchDraft { off, preset, programs, patterns, limit, source, .. } = draft;
        Some((!off).then_some(Logwatch { name, preset, programs, patterns, limit, source }))
    }

    fn allow(&mut self, section: &mut Section<'_>) -> Option<Option<Allow>> {
        let mut draft = AllowDraft::default();
        self.options(section, ALLOW, &mut draft);
        if let Some(Given::Name(name)) = draft.net {
            return self.name(section, Named { name, allow: true, comment: draft.comment });
        }
        let net = self.required_ip(section, draft.net)?;
        if value::is_everything(&net) {
            let message =
                format!("allow {net}: every address of that family is exempt, so diswall blocks none of them");
            self.problems.add(line_of(section, "ip"), Severity::Warning, message);
        }
        Some(Some(Allow { net, comment: draft.comment }))
    }

    fn block(&mut self, section: &mut Section<'_>) -> Option<Option<Block>> {
        let mut draft = BlockDraft::default();
        let bad = self.options(section, BLOCK, &mut draft);
        // Without these it would block more than was meant.
        if bad.iter().any(|bad| ["proto", "dest_port"].contains(&bad.name.as_ref())) {
            return None;
        }
        bad.iter().filter(|bad| bad.name != "ip").for_each(|bad| self.problems.outcome(bad.at, DEFAULT_COUNTS));
        if let Some(Given::Name(name)) = draft.net {
            if draft.proto != Proto::Any || !draft.dest_ports.is_empty() || draft.action.is_some() || draft.log {
                let message = format!(
                    "{name}: a host name is blocked as a whole; proto, dest_port, action and log need an address"
                );
                self.problems.add(line_of(section, "ip"), Severity::Error, message);
                return None;
            }
            return self.name(section, Named { name, allow: false, comment: draft.comment });
        }
        let net = self.required_ip(section, draft.net)?;
        if value::is_everything(&net) {
            let effect = format!("block {net}: every address of that family, so that nothing from outside gets in");
            if !draft.force {
                let message = format!("{effect}; add option force '1' if that is meant");
                self.problems.add(line_of(section, "ip"), Severity::Error, message);
                return None;
            }
            self.problems.add(line_of(section, "ip"), Severity::Warning, effect);
        }
        if !draft.dest_ports.is_empty() && !matches!(draft.proto, Proto::Tcp | Proto::Udp) {
            let message = "dest_port needs option proto 'tcp' or 'udp' beside it".to_owned();
            self.problems.add(line_of(section, "dest_port"), Severity::Error, message);
            return None;
        }
        let BlockDraft { comment, proto, dest_ports, action, log, .. } = draft;
        Some(Some(Block { net, comment, proto, dest_ports, action, log }))
    }

    /// Keeps a host name beside the addresses.
    fn name<T>(&mut self, section: &Section<'_>, named: Named) -> Option<Option<T>> {
        if self.named.len() == MAX_NAMES {
            let message = format!("{}: only {MAX_NAMES} host names are looked up", named.name);
            self.problems.add(line_of(section, "ip"), Severity::Error, message);
            return None;
        }
        self.named.push(named);
        Some(None)
    }

    /// `None`: there is none, and that has been said.
    fn required_ip(&mut self, section: &Section<'_>, net: Option<Given>) -> Option<ipnet::IpNet> {
        match net {
            Some(Given::Net(net)) => Some(net),
            Some(Given::Bad | Given::Name(_)) => None,
            None => {
                let message = format!("config {} without option ip, an address or a network", section.kind);
                self.problems.add(section.line, Severity::Error, message);
                None
            }
        }
    }

    /// A single value, blanks around it taken off; an empty one is what libuci takes for "not set", so the
    /// default stays.
    fn set<T>(&mut self, entry: &Entry<'_>, into: &mut T, parse: fn(&str) -> Result<T, BadValue>) -> Taken {
        let Some(text) = self.single_value(entry) else { return Taken::Not };
        if text.is_empty() {
            return Taken::Whole;
        }
        let parsed = parse(text).or_else(|error| {
            let trimmed = parse(text.trim()).map_err(|_| error)?;
            self.warn_blanks(entry);
            Ok(trimmed)
        });
        match parsed {
            Ok(parsed) => *into = parsed,
            Err(error) => return self.bad_value(entry.line, &entry.name, &error),
        }
        Taken::Whole
    }

    fn warn_blanks(&mut self, entry: &Entry<'_>) {
        let message = format!("{}: the blanks around its value do not count", entry.name);
        self.problems.add(entry.line, Severity::Warning, message);
    }

    fn set_net(&mut self, entry: &Entry<'_>, into: &mut Option<Given>) -> Taken {
        let Some(text) = self.single_value(entry) else {
            *into = Some(Given::Bad);
            return Taken::Not;
        };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Taken::Whole;
        }
        match value::net_or_near(trimmed) {
            Ok((net, near)) => {
                if trimmed.len() < text.len() {
                    self.warn_blanks(entry);
                }
                if let Some(near) = near {
                    self.problems.add(entry.line, Severity::Warning, format!("ip: {near}"));
                }
                *into = Some(Given::Net(net));
                Taken::Whole
            }
            Err(error) => {
                *into = Some(value::host(trimmed).map_or(Given::Bad, Given::Name));
                if matches!(into, Some(Given::Name(_))) {
                    return Taken::Whole;
                }
                self.bad_value(entry.line, &entry.name, &error)
            }
        }
    }

    fn set_comment(&mut self, entry: &Entry<'_>, into: &mut String) -> Taken {
        let Some(text) = self.single_value(entry) else { return Taken::Not };
        let (comment, cut) = value::comment_cut(text);
        *into = comment;
        if let Some(why) = cut {
            self.problems.add(entry.line, Severity::Warning, format!("comment: {why}"));
        }
        Taken::Whole
    }

    /// A single value that can be switched off: `none`, or empty.
    fn set_or_none<T>(
        &mut self,
        entry: &Entry<'_>,
        into: &mut Option<T>,
        parse: fn(&str) -> Result<T, BadValue>,
    ) -> Taken {
        let Some(text) = self.single_value(entry) else { return Taken::Not };
        match text.trim() {
            "none" => *into = None,
            "" => {
                *into = None;
                let name = &entry.name;
                let message =
                    format!("an empty {name} is lost when uci or LuCI writes the file; write option {name} 'none'");
                self.problems.add(entry.line, Severity::Warning, message);
            }
            text => match parse(text) {
                Ok(parsed) => *into = Some(parsed),
                Err(error) => return self.bad_value(entry.line, &entry.name, &error),
            },
        }
        Taken::Whole
    }

    /// A list of texts that have blanks in them; `option NAME 'A B'` is one of them.
    fn set_texts<T>(&mut self, entry: &Entry<'_>, into: &mut Vec<T>, parse: fn(&str) -> Result<T, BadValue>) -> Taken {
        let items: &[(u32, Cow<'_, str>)] = match &entry.value {
            Value::List(items) => items,
            Value::Single(text) => &[(entry.line, Cow::Borrowed(text.as_ref()))],
        };
        self.items(entry, items, into, parse)
    }

    /// A list; `option NAME 'A B'` is taken for a list as well, as fw4 takes it.
    fn set_list<T>(&mut self, entry: &Entry<'_>, into: &mut Vec<T>, parse: fn(&str) -> Result<T, BadValue>) -> Taken {
        let items: Cow<'_, [(u32, Cow<'_, str>)]> = match &entry.value {
            Value::List(items) => Cow::Borrowed(items),
            Value::Single(text) => text.split_whitespace().map(|item| (entry.line, Cow::Borrowed(item))).collect(),
        };
        self.items(entry, &items, into, parse)
    }

    /// Items that are bad are left out; where none is good, `into` stays as it is.
    fn items<T>(
        &mut self,
        entry: &Entry<'_>,
        items: &[(u32, Cow<'_, str>)],
        into: &mut Vec<T>,
        parse: fn(&str) -> Result<T, BadValue>,
    ) -> Taken {
        let mut good = Vec::new();
        self.taken.clear();
        for (line, item) in items.iter().filter(|(_, item)| !item.is_empty()) {
            let parsed = parse(item).or_else(|error| parse(item.trim()).map_err(|_| error));
            self.taken.push(parsed.is_ok());
            match parsed {
                Ok(parsed) => good.push(parsed),
                Err(error) => drop(self.bad_value(*line, &entry.name, &error)),
            }
        }
        let all = !self.taken.contains(&false);
        if good.is_empty() {
            return if all { Taken::Whole } else { Taken::Not };
        }
        *into = good;
        if all { Taken::Whole } else { Taken::Part }
    }

    fn single_value<'e>(&mut self, entry: &'e Entry<'_>) -> Option<&'e str> {
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

    fn bad_value(&mut self, line: u32, name: &str, error: &BadValue) -> Taken {
        self.problems.add(line, Severity::Error, format!("{name}: {error}"));
        Taken::Not
    }
}

/// Leaves of a list the items that were taken; empty ones do not count.
fn keep_items(entry: &mut Entry<'_>, taken: &[bool]) {
    let items: Vec<(u32, Cow<'_, str>)> = match std::mem::replace(&mut entry.value, Value::List(Vec::new())) {
        Value::List(items) => items,
        Value::Single(text) => text.split_whitespace().map(|item| (entry.line, Cow::Owned(item.to_owned()))).collect(),
    };
    let kept = items.into_iter().filter(|(_, item)| !item.is_empty()).zip(taken).filter(|(_, taken)| **taken);
    entry.value = Value::List(kept.map(|(item, _)| item).collect());
}

fn line_of(section: &Section<'_>, option: &str) -> u32 {
    section.options.iter().find(|entry| entry.name == option).map_or(section.line, |entry| entry.line)
}

#[cfg(test)]
mod tests;
