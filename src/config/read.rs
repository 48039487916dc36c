//! UCI text to [`Settings`]: which option goes where, and everything that is wrong with a file.
//!
//! Called by `diswall run` at start and on SIGHUP, by `diswall config check` and by every command that
//! needs the control socket's path. It reads one file and touches nothing else.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::uci::{self, Entry, Section, Value};
use super::value::{self, BadValue};
use super::{Allow, Block, Dynfw, LogSource, Login, Logwatch, Main, Nats, Proto, Scan, Settings};
use crate::feed::login::Pattern;
use crate::feed::login::attempts::Limit;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is used all the same.
    Warning,
    /// The file is not used.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file's name as it was given.
    pub file: String,
    /// The problems.
    pub list: Vec<Problem>,
}

impl Problems {
    fn new(file: &str) -> Problems {
        Problems { file: file.to_owned(), list: Vec::new() }
    }

    /// Is there nothing wrong?
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Is there an error, so that the file is not used?
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Each problem as its line, with its severity, for a log that has levels of its own.
    pub fn lines(&self) -> impl Iterator<Item = (Severity, String)> {
        self.list.iter().map(|problem| (problem.severity, self.line(problem)))
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

    fn add(&mut self, line: u32, severity: Severity, message: String) {
        self.list.push(Problem { line: Some(line), severity, message });
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", self.line(problem))?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A configuration that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub settings: Settings,
    /// What the owner should look at; no errors among them.
    pub warnings: Problems,
}

impl Settings {
    /// Reads the file at `path`. Errors: it cannot be read (the path and the cause are named), or it has
    /// an error in it; then every error and warning is there.
    pub fn load(path: &Path) -> Result<Loaded, Problems> {
        let file_name = path.display().to_string();
        let text = read_bounded(path).map_err(|error| Problems {
            file: file_name.clone(),
            list: vec![Problem { line: None, severity: Severity::Error, message: format!("cannot be read: {error}") }],
        })?;
        Settings::parse(&text, &file_name)
    }

    /// The control socket that the file names, even where the rest of it has errors; the default where it
    /// names none. Lets the command line find a daemon that runs on with a former configuration.
    pub fn control_in(path: &Path) -> PathBuf {
        let text = read_bounded(path).unwrap_or_default();
        let (sections, _) = uci::sections(&text);
        let named = sections.iter().filter(|section| section.kind == "diswall").flat_map(|section| &section.options);
        let control = named.filter(|entry| entry.name == "control").find_map(|entry| match &entry.value {
            Value::Single(text) => value::socket_path(text).ok(),
            Value::List(_) => None,
        });
        control.unwrap_or_else(|| Main::default().control)
    }

    /// Reads a configuration from its text; `file_name` is for the messages.
    pub fn parse(text: &[u8], file_name: &str) -> Result<Loaded, Problems> {
        let (sections, errors) = uci::sections(text);
        let mut reader = Reader { problems: Problems::new(file_name) };
        for error in errors {
            reader.problems.add(error.line, Severity::Error, error.message);
        }
        let settings = reader.settings(&sections);
        let mut problems = reader.problems;
        problems.list.sort_by_key(|problem| problem.line);
        if problems.has_errors() { Err(problems) } else { Ok(Loaded { settings, warnings: problems }) }
    }
}

/// One byte above the limit at most, so that the syntax can say that the text is too long.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(uci::MAX_FILE as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// What one option does to its section's settings.
type Setter<S> = fn(&mut Reader, &Entry<'_>, &mut S);

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
    ("max_entries", |r, e, main| r.set(e, &mut main.max_entries, |text| value::number(text, 1, super::MAX_ENTRIES))),
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
        r.set(e, &mut nats.tls, value::boolean);
        r.needs_tls(e, nats.tls);
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

/// `config allow` while it is read.
#[derive(Default)]
struct AllowDraft {
    net: Option<ipnet::IpNet>,
    comment: String,
}

const ALLOW: &[(&str, Setter<AllowDraft>)] = &[
    ("ip", |r, e, allow| r.set(e, &mut allow.net, |text| value::net(text).map(Some))),
    ("comment", |r, e, allow| r.set(e, &mut allow.comment, value::comment)),
];

/// `config block` while it is read.
#[derive(Default)]
struct BlockDraft {
    net: Option<ipnet::IpNet>,
    comment: String,
    proto: Proto,
    dest_ports: Vec<super::PortRange>,
    action: Option<super::Action>,
    log: bool,
    force: bool,
}

const BLOCK: &[(&str, Setter<BlockDraft>)] = &[
    ("ip", |r, e, block| r.set(e, &mut block.net, |text| value::net(text).map(Some))),
    ("comment", |r, e, block| r.set(e, &mut block.comment, value::comment)),
    ("proto", |r, e, block| r.set(e, &mut block.proto, value::proto)),
    ("dest_port", |r, e, block| r.set_list(e, &mut block.dest_ports, value::port_range)),
    ("action", |r, e, block| r.set(e, &mut block.action, |text| value::action(text).map(Some))),
    ("log", |r, e, block| r.set(e, &mut block.log, value::boolean)),
    ("force", |r, e, block| r.set(e, &mut block.force, value::boolean)),
];

struct Reader {
    problems: Problems,
}

impl Reader {
    fn settings(&mut self, sections: &[Section<'_>]) -> Settings {
        let mut settings = Settings::default();
        // Where `config diswall`, `dynfw`, `nats`, `scan` and `login` were first seen.
        let mut seen = [None; 5];
        for section in sections {
            match section.kind.as_ref() {
                "diswall" => self.single(section, "main", &mut seen[0], MAIN, &mut settings.main),
                "dynfw" => self.single(section, "dynfw", &mut seen[1], DYNFW, &mut settings.dynfw),
                "nats" => self.single(section, "nats", &mut seen[2], NATS, &mut settings.nats),
                "scan" => self.single(section, "scan", &mut seen[3], SCAN, &mut settings.scan),
                "login" => self.single(section, "login", &mut seen[4], LOGIN, &mut settings.login),
                "logwatch" => settings.logwatch.extend(self.logwatch(section)),
                "allow" => settings.allow.extend(self.allow(section)),
                "block" => settings.block.extend(self.block(section)),
                kind => {
                    let message = format!(
                        "config {kind} is ignored; known types are diswall, dynfw, nats, scan, login, logwatch, \
                         allow and block"
                    );
                    self.problems.add(section.line, Severity::Warning, message);
                }
            }
        }
        settings
    }

    /// A section of which there is one.
    fn single<S>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        seen: &mut Option<u32>,
        known: &[(&str, Setter<S>)],
        into: &mut S,
    ) {
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
        self.options(section, known, into);
    }

    fn options<S>(&mut self, section: &Section<'_>, known: &[(&str, Setter<S>)], into: &mut S) {
        for entry in &section.options {
            self.replaced(entry);
            match known.iter().find(|(name, _)| *name == entry.name) {
                Some((_, set)) => set(self, entry, into),
                None => {
                    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                    self.unknown(section, entry, &names);
                }
            }
        }
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

    fn unknown(&mut self, section: &Section<'_>, entry: &Entry<'_>, known: &[&str]) {
        let message = format!("{} is ignored; config {} knows {}", entry.name, section.kind, known.join(", "));
        self.problems.add(entry.line, Severity::Warning, message);
    }

    fn logwatch(&mut self, section: &Section<'_>) -> Option<Logwatch> {
        let mut draft = LogwatchDraft::default();
        let before = self.problems.list.len();
        self.options(section, LOGWATCH, &mut draft);
        let sound = self.problems.list[before..].iter().all(|problem| problem.severity == Severity::Warning);
        if draft.patterns.is_empty() && draft.preset.is_none() && sound {
            let message = "config logwatch without option preset or list pattern, messages with <HOST> for the address"
                .to_owned();
            self.problems.add(section.line, Severity::Error, message);
        }
        let name = draft.name.or_else(|| section.name.as_deref().and_then(|name| value::watch_name(name).ok()));
        let name = name.or_else(|| draft.preset.clone()).or_else(|| draft.programs.first().cloned());
        let name = name.unwrap_or_else(|| "log".into());
        let LogwatchDraft { off, preset, programs, patterns, limit, source, .. } = draft;
        (!off).then_some(Logwatch { name, preset, programs, patterns, limit, source })
    }

    fn allow(&mut self, section: &Section<'_>) -> Option<Allow> {
        let mut draft = AllowDraft::default();
        self.options(section, ALLOW, &mut draft);
        let net = self.required_ip(section, draft.net)?;
        if value::is_everything(&net) {
            let message =
                format!("allow {net}: every address of that family is exempt, so diswall blocks none of them");
            self.problems.add(line_of(section, "ip"), Severity::Warning, message);
        }
        Some(Allow { net, comment: draft.comment })
    }

    fn block(&mut self, section: &Section<'_>) -> Option<Block> {
        let mut draft = BlockDraft::default();
        self.options(section, BLOCK, &mut draft);
        let net = self.required_ip(section, draft.net)?;
        if value::is_everything(&net) {
            let effect = format!("block {net}: every address of that family, so that nothing from outside gets in");
            let (severity, message) = match draft.force {
                true => (Severity::Warning, effect),
                false => (Severity::Error, format!("{effect}; add option force '1' if that is meant")),
            };
            self.problems.add(line_of(section, "ip"), severity, message);
        }
        if !draft.dest_ports.is_empty() && !matches!(draft.proto, Proto::Tcp | Proto::Udp) {
            let message = "dest_port needs option proto 'tcp' or 'udp' beside it".to_owned();
            self.problems.add(line_of(section, "dest_port"), Severity::Error, message);
        }
        let BlockDraft { comment, proto, dest_ports, action, log, .. } = draft;
        Some(Block { net, comment, proto, dest_ports, action, log })
    }

    fn required_ip(&mut self, section: &Section<'_>, net: Option<ipnet::IpNet>) -> Option<ipnet::IpNet> {
        let given = section.options.iter().any(|entry| entry.name == "ip" && !entry.is_unset());
        if !given {
            let message = format!("config {} without option ip, an address or a network", section.kind);
            self.problems.add(section.line, Severity::Error, message);
        }
        net
    }

    /// A single value; an empty one is what libuci takes for "not set", so the default stays.
    fn set<T>(&mut self, entry: &Entry<'_>, into: &mut T, parse: fn(&str) -> Result<T, BadValue>) {
        let Some(text) = self.single_value(entry) else { return };
        if text.is_empty() {
            return;
        }
        match parse(text) {
            Ok(parsed) => *into = parsed,
            Err(error) => self.bad_value(entry.line, &entry.name, &error),
        }
    }

    /// A single value that can be switched off: `none`, or empty.
    fn set_or_none<T>(&mut self, entry: &Entry<'_>, into: &mut Option<T>, parse: fn(&str) -> Result<T, BadValue>) {
        let Some(text) = self.single_value(entry) else { return };
        match text {
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
                Err(error) => self.bad_value(entry.line, &entry.name, &error),
            },
        }
    }

    /// A list of texts that have blanks in them; `option NAME 'A B'` is one of them.
    fn set_texts<T>(&mut self, entry: &Entry<'_>, into: &mut Vec<T>, parse: fn(&str) -> Result<T, BadValue>) {
        let items: &[(u32, Cow<'_, str>)] = match &entry.value {
            Value::List(items) => items,
            Value::Single(text) => &[(entry.line, Cow::Borrowed(text.as_ref()))],
        };
        into.clear();
        for (line, item) in items.iter().filter(|(_, item)| !item.is_empty()) {
            match parse(item) {
                Ok(parsed) => into.push(parsed),
                Err(error) => self.bad_value(*line, &entry.name, &error),
            }
        }
    }

    /// A list; `option NAME 'A B'` is taken for a list as well, as fw4 takes it.
    fn set_list<T>(&mut self, entry: &Entry<'_>, into: &mut Vec<T>, parse: fn(&str) -> Result<T, BadValue>) {
        let items: Cow<'_, [(u32, Cow<'_, str>)]> = match &entry.value {
            Value::List(items) => Cow::Borrowed(items),
            Value::Single(text) if text.trim().is_empty() => return,
            Value::Single(text) => text.split_whitespace().map(|item| (entry.line, Cow::Borrowed(item))).collect(),
        };
        into.clear();
        for (line, item) in items.iter() {
            match parse(item) {
                Ok(parsed) => into.push(parsed),
                Err(error) => self.bad_value(*line, &entry.name, &error),
            }
        }
    }

    fn single_value<'e>(&mut self, entry: &'e Entry<'_>) -> Option<&'e str> {
        match &entry.value {
            Value::Single(text) => Some(text),
            Value::List(_) => {
                let name = &entry.name;
                let message = format!("list {name}: {name} takes one value; write option {name} 'VALUE'");
                self.problems.add(entry.line, Severity::Error, message);
                None
            }
        }
    }

    fn bad_value(&mut self, line: u32, name: &str, error: &BadValue) {
        self.problems.add(line, Severity::Error, format!("{name}: {error}"));
    }
}

fn line_of(section: &Section<'_>, option: &str) -> u32 {
    section.options.iter().find(|entry| entry.name == option).map_or(section.line, |entry| entry.line)
}

#[cfg(test)]
mod tests;
