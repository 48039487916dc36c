//! `config login 'login'` and `config logwatch`: which services and logs are looked at, the defaults, and the
//! options.

use std::path::PathBuf;

use super::attempts::Limit;
use super::{Pattern, known};
use crate::options::value::{self, Checked, refuse};
use crate::options::{Checks, LeftOut, Many, Single, list, one, texts};

/// Where log lines come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum LogSource {
    /// `logread -f`, or the journal where there is no logread.
    #[default]
    Auto,
    /// A file, followed over its rotation.
    File(PathBuf),
}

/// When a failed log-in counts only if the kernel knows of a connection from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Proving {
    /// In the system's log; in a file, if its service is served here.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `config login 'login'`: the services whose failed log-ins are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `enabled`; `config logwatch` goes by its own.
    pub enabled: bool,
    /// `service`: names out of [`known::names`].
    pub services: Vec<String>,
    /// `attempts` and `window`, for each address and service.
    pub limit: Limit,
    /// `source`.
    pub source: LogSource,
    /// `proof`; for `config logwatch` too.
    pub proof: Proving,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            enabled: true,
            services: known::names().filter(|(_, preset)| !preset).map(|(name, _)| name.into()).collect(),
            limit: Limit::default(),
            source: LogSource::Auto,
            proof: Proving::Auto,
        }
    }
}

/// `config logwatch`.
#[derive(Clone, Debug, PartialEq)]
pub struct Logwatch {
    /// `name`: what the ban's reason says; at most 25 bytes, since it is DisWall's tag as well.
    pub name: String,
    /// `preset`: the sentences of that name out of [`known::names`] are looked for.
    pub preset: Option<String>,
    /// `program`: whose lines are looked at for `pattern`; empty: everybody's.
    pub programs: Vec<String>,
    /// `pattern`; never empty where there is no preset.
    pub patterns: Vec<Pattern>,
    /// `attempts` and `window`.
    pub limit: Limit,
    /// `source`.
    pub source: LogSource,
}

/// The section of the known services.
pub const SECTION: Single<Settings> = Single {
    name: "login",
    options: &[
        one("enabled", |login, given| given.set(&mut login.enabled, value::boolean)),
        list("service", |login, given| given.add(&mut login.services, service)),
        one("attempts", |login, given| given.set(&mut login.limit.attempts, attempts)),
        one("window", |login, given| given.set(&mut login.limit.window, value::positive_duration)),
        one("source", |login, given| given.set(&mut login.source, source)),
        one("proof", |login, given| given.set(&mut login.proof, proof)),
    ],
    check: |_, _| {},
};

/// `config logwatch` while it is read.
#[derive(Default)]
pub struct Draft {
    off: bool,
    name: Option<String>,
    preset: Option<String>,
    programs: Vec<String>,
    patterns: Vec<Pattern>,
    limit: Limit,
    source: LogSource,
}

/// The sections of the owner's own watches.
pub const LOGWATCH: Many<Draft, Logwatch> = Many {
    options: &[
        one("enabled", |watch, given| given.set(&mut watch.off, |text| value::boolean(text).map(|on| !on))),
        one("name", |watch, given| given.set(&mut watch.name, |text| watch_name(text).map(Some))),
        one("preset", |watch, given| given.set(&mut watch.preset, |text| service(text).map(Some))),
        list("program", |watch, given| given.add(&mut watch.programs, program)),
        texts("pattern", |watch, given| given.add(&mut watch.patterns, pattern)),
        one("attempts", |watch, given| given.set(&mut watch.limit.attempts, attempts)),
        one("window", |watch, given| given.set(&mut watch.limit.window, value::positive_duration)),
        one("source", |watch, given| given.set(&mut watch.source, source)),
    ],
    // Without these it would look at other lines than were meant.
    needed: &["enabled", "preset", "program", "pattern", "source"],
    build: logwatch,
};

fn logwatch(draft: Draft, section: &mut Checks<'_, '_>) -> Result<Option<Logwatch>, LeftOut> {
    if draft.patterns.is_empty() && draft.preset.is_none() {
        let message = "config logwatch without option preset or list pattern, messages with <HOST> for the address";
        return Err(section.refuse(None, message.to_owned()));
    }
    let name = draft.name.or_else(|| section.name().and_then(|name| watch_name(name).ok()));
    let name = name.or_else(|| draft.preset.clone()).or_else(|| draft.programs.first().cloned());
    let name = name.unwrap_or_else(|| "log".into());
    let Draft { off, preset, programs, patterns, limit, source, .. } = draft;
    Ok((!off).then_some(Logwatch { name, preset, programs, patterns, limit, source }))
}

fn attempts(value: &str) -> Checked<u32> {
    value::number(value, 1, Limit::MOST)
}

/// Where log lines come from: `auto`, or a file's path.
fn source(value: &str) -> Checked<LogSource> {
    match value {
        "auto" => Ok(LogSource::Auto),
        _ if value.starts_with('/') => value::path(value).map(LogSource::File),
        _ => refuse(value, "is no source of log lines; write auto or a file's absolute path"),
    }
}

/// `auto`, `always` or `never`.
fn proof(value: &str) -> Checked<Proving> {
    match value {
        "auto" => Ok(Proving::Auto),
        "always" => Ok(Proving::Always),
        "never" => Ok(Proving::Never),
        _ => refuse(value, "is no way to prove log-ins; write auto, always or never"),
    }
}

/// A service whose failed log-ins are known.
fn service(value: &str) -> Checked<String> {
    let known = || known::names().map(|(name, _)| name);
    if known().any(|name| name == value) {
        return Ok(value.to_owned());
    }
    let names: Vec<&str> = known().collect();
    refuse(value, &format!("is no service that is known; write {}", names.join(", ")))
}

/// The name of a log watch: DisWall is told it as the ban's tag (docs/protocols.md section 2).
fn watch_name(value: &str) -> Checked<String> {
    word(value, 25, "is no name of a log watch; write at most 25 letters, digits, - _ or .")
}

/// A program's name, as it stands in the log.
fn program(value: &str) -> Checked<String> {
    word(value, 64, "is no name of a program; write its name as the log does, without [ ] and number")
}

fn word(value: &str, most: usize, expected: &str) -> Checked<String> {
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    if plain && (1..=most).contains(&value.len()) { Ok(value.to_owned()) } else { refuse(value, expected) }
}

/// A pattern of log messages.
fn pattern(value: &str) -> Checked<Pattern> {
    Pattern::new(value).or_else(|error| refuse(value, &error.to_string()))
}
