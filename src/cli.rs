//! The command line: what can be said, and which exit status answers it.
//!
//! Every command but `run`, `rules`, `config`, `logs`, `lists` and `list-test` is a client of the control socket, found
//! through the configuration. `main` calls [`main`] and does nothing else.

mod arguments;
mod catalogue;
mod lists;
mod logs;
#[cfg(test)]
mod reference;
mod report;
mod show;
mod table;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argh::FromArgs as _;
use rustix::fs::FlockOperation;

use arguments::{
    Allow, Arguments, Block, Check, Command, Config, ConfigCheck, ConfigCommand, ConfigRestore, History, List, Logs,
    LogsCommand, Report, Resync, Rpcd, Rules, Status, Watch,
};

use crate::config::{self, Loaded, Settings, Severity, last_good};
use crate::control::client::{self, ClientError};
use crate::control::protocol::{
    self, AllowancesQuery, CheckQuery, Code, HistoryQuery, ListQuery, Nothing, PAGE_MAX, Refusal, ReportQuery, Request,
    ResyncQuery, WatchQuery,
};
use crate::exit;
use crate::firewall::{files, rules};
use crate::model::Lifetime;
use crate::nearest;
use crate::needs;
use crate::options::value;
use crate::outside;
use crate::own;
use crate::owner::steer::{self, BlockOptions, Steer};
use crate::owner::{mail, rpcd};

/// Runs what the process's arguments say.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    if words.starts_with(&["logs", "test"]) {
        // Taken for an option otherwise.
        words.retain(|word| *word != "-");
    }
    for at in 0..words.len() {
        let is_value = at.checked_sub(1).and_then(|before| words.get(before)).is_some_and(|before| takes_value(before));
        match words.get_mut(at) {
            Some(word) if *word == "-" && at > 0 && !is_value => *word = STANDARD_INPUT,
            Some(word) if *word == "-h" && !is_value => *word = "--help",
            _ => {}
        }
    }
    let parsed = match Arguments::from_args(&["diswall"], &words) {
        Ok(parsed) => parsed,
        Err(early) => return early_exit(early, &words),
    };
    if parsed.version {
        show::say(&["diswall ", crate::VERSION].concat());
        return ExitCode::from(exit::DONE);
    }
    let Some(command) = parsed.command else {
        eprintln!(
            "diswall: no command is given; whether all is well: diswall status; what else there is: diswall --help"
        );
        return ExitCode::from(exit::USAGE);
    };
    let status = match command {
        Command::Run(run) => return crate::daemon::run(config_path(run.config), run.foreground),
        Command::Status(command) => status(command),
        Command::Check(command) => check(command),
        Command::List(command) => list(command),
        Command::History(command) => history(command),
        Command::Report(command) => report(&command),
        Command::Watch(command) => watch(command),
        Command::Block(command) => block(command),
        Command::Unblock(command) => addresses(command.addresses)
            .and_then(|addresses| steer(command.config, |steer| steer.unblock(&addresses, command.source, command.by))),
        Command::Clear(command) => steer(command.config, |steer| steer.clear(&command.by)),
        Command::Allow(command) => allow(command),
        Command::Disallow(command) => {
            addresses(command.addresses).and_then(|addresses| steer(command.config, |steer| steer.disallow(&addresses)))
        }
        Command::Kick(command) => {
            addresses(command.addresses).and_then(|addresses| steer(command.config, |steer| steer.kick(&addresses)))
        }
        Command::Resync(command) => resync(command),
        Command::Rules(command) => print_rules(command),
        Command::Config(Config { command: ConfigCommand::Check(command) }) => config_check(command),
        Command::ListTest(command) => lists::test(&command),
        Command::Lists(command) => catalogue::run(command),
        Command::Logs(Logs { command: LogsCommand::Test(command) }) => logs::test(&command),
        Command::Config(Config { command: ConfigCommand::Restore(command) }) => config_restore(command),
        Command::Config(Config { command: ConfigCommand::Explain(command) }) => config_explain(&command.option),
        Command::Rpcd(command) => rpcd(command),
    };
    ExitCode::from(status.unwrap_or_else(Failure::report))
}

/// What there is to read instead of what was asked for.
fn early_exit(early: argh::EarlyExit, words: &[&str]) -> ExitCode {
    let command = words.first().copied().unwrap_or_default();
    match early.status {
        Ok(()) => {
            show::say(early.output.trim_end());
            ExitCode::from(exit::DONE)
        }
        Err(()) => {
            let known = || <Command as argh::SubCommands>::COMMANDS.iter().map(|each| each.name);
            if known().any(|name| name == command) {
                let nested = match command {
                    "config" => <ConfigCommand as argh::SubCommands>::COMMANDS,
                    "logs" => <LogsCommand as argh::SubCommands>::COMMANDS,
                    _ => &[],
                };
                let second = nested.iter().find(|each| words.get(1) == Some(&each.name));
                let second = second.map_or(String::new(), |each| format!(" {}", each.name));
                eprintln!("diswall: {}\nsee: diswall {command}{second} --help", early.output.trim_end());
            } else if command.is_empty() || command.starts_with('-') {
                eprintln!("diswall: {}\nsee: diswall --help", early.output.trim_end());
            } else {
                let (near, command) = (nearest::to(command, known()), outside::clean(command, outside::SENTENCE));
                eprintln!("diswall: no command is called '{command}'; nearest: {near}\nsee: diswall --help");
            }
            ExitCode::from(exit::USAGE)
        }
    }
}

/// Why a command did not do what it was asked, with its exit status.
struct Failure {
    status: u8,
    text: String,
}

impl Failure {
    fn usage(text: impl Into<String>) -> Failure {
        Failure { status: exit::USAGE, text: text.into() }
    }

    fn report(self) -> u8 {
        for line in self.text.lines() {
            eprintln!("diswall: {line}");
        }
        self.status
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        error.into_refusal().into()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let status = match refusal.code {
            Code::NotRunning => exit::UNREACHABLE,
            Code::Invalid => exit::USAGE,
            Code::Refused | Code::NotFound | Code::Failed => exit::NO,
        };
        Failure { status, text: refusal.message }
    }
}

type Outcome = Result<u8, Failure>;

fn config_path(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| PathBuf::from(config::DEFAULT_PATH))
}

/// What is to be in force; errors are told, warnings left to `config check` and the daemon's log.
fn in_force(path: &Path) -> Result<Loaded, Failure> {
    let loaded = last_good::load(path).map_err(|problems| Failure::usage(problems.to_string()))?;
    for (_, line) in loaded.problems.lines().filter(|(severity, _)| *severity == Severity::Error) {
        eprintln!("diswall: {line}");
    }
    Ok(loaded)
}

/// The control socket's path, also from a configuration with errors, so that `status` can tell what the
/// running daemon thinks of it.
fn control_path(given: Option<PathBuf>) -> PathBuf {
    last_good::control(&config_path(given))
}

fn status(command: Status) -> Outcome {
    let config = config_path(command.config);
    let answer: protocol::Status = match client::ask(&last_good::control(&config), &Request::Status(Nothing {})) {
        Err(error @ ClientError::Unreachable { .. }) => return Err(why_none(error, &config)),
        answer => answer?,
    };
    if command.json {
        show::json(&answer);
    } else {
        show::status(&answer);
    }
    Ok(if matches!(answer.state.as_str(), "protected" | "local") { exit::DONE } else { exit::NO })
}

/// Why there is no daemon, as far as the configuration tells.
fn why_none(error: ClientError, config: &Path) -> Failure {
    let mut failure = Failure::from(error);
    match last_good::load(config) {
        Ok(loaded) => {
            if !loaded.settings.main.enabled {
                failure.text.push_str("\ndiswall is switched off: option enabled '0' in config diswall 'main'");
            }
            if !loaded.problems.is_empty() {
                failure.text.push_str(&format!("\n{}", loaded.problems));
            }
        }
        Err(problems) => failure.text.push_str(&format!("\n{problems}")),
    }
    failure
}

fn check(command: Check) -> Outcome {
    let request = Request::Check(CheckQuery { address: command.address });
    let answer: protocol::Check = client::ask(&control_path(command.config), &request)?;
    if command.json {
        show::json(&answer);
    } else {
        show::check(&answer);
    }
    Ok(if answer.verdict == "blocked" { exit::DONE } else { exit::NO })
}

fn list(command: List) -> Outcome {
    let control = control_path(command.config);
    if command.json && command.csv {
        return Err(Failure::usage("--json and --csv exclude each other"));
    }
    if command.source.as_deref() == Some("allow") {
        if command.csv {
            return Err(Failure::usage("--csv is for bans; for allowances there is --json"));
        }
        return list_allowances(&control, command.json);
    }
    // Page after page, so that neither side ever holds the whole list.
    let mut query = ListQuery { source: command.source, limit: Some(PAGE_MAX), ..ListQuery::default() };
    if let Some(name) = &query.source {
        tell_what_it_lists(&control, name)?;
    }
    if command.csv {
        show::say(table::CSV_HEAD);
    }
    loop {
        let page: protocol::Page = client::ask(&control, &Request::Bans(query.clone()))?;
        let rows = page.bans.iter().map(|ban| match (command.json, command.csv) {
            (true, _) => crate::json::to_string(ban),
            (_, true) => table::csv(ban),
            _ => show::ban(ban),
        });
        // A thousand lines at a time: each say() is a system call.
        let rows: Vec<String> = rows.collect();
        if !rows.is_empty() {
            show::say(&rows.join("\n"));
        }
        query.offset += page.bans.len() as u32;
        if page.bans.is_empty() || u64::from(query.offset) >= page.matched {
            return Ok(exit::DONE);
        }
    }
}

/// Not every list is one of whom it blocks. It is said beside the rows, which may be for another program.
fn tell_what_it_lists(control: &Path, name: &str) -> Result<(), Failure> {
    let answer: protocol::Feeds = client::ask(control, &Request::Feeds(Nothing {}))?;
    let usage = answer.feeds.iter().find(|feed| feed.name == name).and_then(|feed| feed.list.as_deref());
    let what = match usage {
        Some("only") => "is of those who alone may come (use 'only'); here is who is blocked: all others",
        Some("allow") => "is of those who are allowed (use 'allow'); nobody on it is blocked by it",
        _ => return Ok(()),
    };
    eprintln!("diswall: the list {name} {what}");
    Ok(())
}

fn list_allowances(control: &Path, json: bool) -> Outcome {
    let mut query = AllowancesQuery { limit: Some(PAGE_MAX), ..AllowancesQuery::default() };
    loop {
        let page: protocol::Allowances = client::ask(control, &Request::Allowances(query.clone()))?;
        for allowance in &page.allowances {
            if json { show::json(allowance) } else { show::allowance(allowance) }
        }
        query.offset += page.allowances.len() as u32;
        if page.allowances.is_empty() || u64::from(query.offset) >= page.matched {
            return Ok(exit::DONE);
        }
    }
}

fn history(command: History) -> Outcome {
    let request = Request::History(HistoryQuery { hours: Some(command.hours) });
    let answer: protocol::History = client::ask(&control_path(command.config), &request)?;
    if command.json {
        show::json(&answer);
    } else {
        table::history(&answer);
    }
    Ok(exit::DONE)
}

fn report(command: &Report) -> Outcome {
    let forms = [command.text, command.html, command.json, command.mail];
    if forms.into_iter().filter(|form| *form).count() > 1 {
        return Err(Failure::usage("--text, --html, --json and --mail exclude each other"));
    }
    let to = match command.mail {
        false => None,
        true => {
            let settings = in_force(&config_path(command.config.clone()))?.settings;
            let none = "nobody to send it to: option report_mail in config diswall 'main' is empty";
            Some(settings.main.report_mail.ok_or_else(|| Failure::usage(none))?)
        }
    };
    let request = Request::Report(ReportQuery { days: Some(command.days) });
    let answer: protocol::Report = client::ask(&control_path(command.config.clone()), &request)?;
    if command.json {
        show::json(&answer);
        return Ok(exit::DONE);
    }
    let blocks = report::blocks(&answer);
    if let Some(to) = to {
        let (text, page) = (report::text(&blocks), report::page(&blocks));
        let sent = mail::send(&to, &report::title(&answer), &text, &page);
        return sent.map(|()| exit::DONE).map_err(|text| Failure { status: exit::NO, text });
    }
    let text = if command.html { report::page(&blocks) } else { report::text(&blocks) };
    show::say(text.trim_end());
    Ok(exit::DONE)
}

fn watch(command: Watch) -> Outcome {
    let request = Request::Watch(WatchQuery { source: command.source, address: command.address });
    let mut painter = show::Painter::new(command.json);
    client::follow(&control_path(command.config), &request, |activity| painter.activity(&activity))?;
    Ok(exit::DONE)
}

/// Carries a command out and prints what was done about each address.
fn steer(config: Option<PathBuf>, command: impl FnOnce(&Steer) -> Result<protocol::Done, Refusal>) -> Outcome {
    let done = command(&Steer::new(&config_path(config)))?;
    for row in &done.done {
        show::say(&row.text);
    }
    Ok(exit::DONE)
}

/// What stands for a lone `-`.
const STANDARD_INPUT: &str = "/dev/stdin";

/// Whether an option of those commands that read addresses has a value behind it.
fn takes_value(word: &str) -> bool {
    word.starts_with("--") && !matches!(word, "--force" | "--json")
}

/// The words, or with `-` alone what standard input has: addresses with blanks or line ends between them, `#`
/// before what is for people.
fn addresses(words: Vec<String>) -> Result<Vec<String>, Failure> {
    if words.as_slice() != [STANDARD_INPUT] {
        if words.iter().any(|word| word == STANDARD_INPUT) {
            return Err(Failure::usage("- stands alone: all addresses come from standard input then"));
        }
        return Ok(words);
    }
    let text = std::io::read_to_string(std::io::stdin());
    let text = text.map_err(|error| Failure::usage(format!("standard input: {error}")))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    Ok(lines.flat_map(str::split_whitespace).map(str::to_owned).collect())
}

fn block(command: Block) -> Outcome {
    let addresses = addresses(command.addresses)?;
    let action = command.action.as_deref().map(value::action).transpose().map_err(bad_value)?;
    let timeout = command.timeout.as_deref().map(timeout).transpose()?;
    let options = BlockOptions { timeout, comment: command.comment, action, force: command.force, by: command.by };
    steer(command.config, |steer| steer.block(&addresses, &options))
}

fn allow(command: Allow) -> Outcome {
    let addresses = addresses(command.addresses)?;
    let timeout = command.timeout.as_deref().map(timeout).transpose()?;
    steer(command.config, |steer| steer.allow(&addresses, &command.comment, timeout))
}

/// Seconds; 0 for what does not end.
fn timeout(text: &str) -> Result<u32, Failure> {
    match value::lifetime(text).map_err(bad_value)? {
        Lifetime::Forever => Ok(0),
        Lifetime::Seconds(seconds) => Ok(seconds),
    }
}

fn bad_value(error: value::BadValue) -> Failure {
    Failure::usage(error.to_string())
}

fn rpcd(command: Rpcd) -> Outcome {
    match (command.what.as_str(), command.method.as_deref()) {
        ("list", None) => show::say(rpcd::METHODS),
        ("call", Some(method)) => {
            let config = config_path(command.config);
            let catalogue = catalogue::path(command.catalogue);
            show::say(&rpcd::call(method, &config, &catalogue, &mut std::io::stdin().lock()));
        }
        _ => return Err(Failure::usage("usage: diswall rpcd list, or diswall rpcd call METHOD")),
    }
    Ok(exit::DONE)
}

fn resync(command: Resync) -> Outcome {
    let request = Request::Resync(ResyncQuery { source: command.source });
    let answer: protocol::Resynced = client::ask(&control_path(command.config), &request)?;
    match answer.feeds.as_slice() {
        [] => show::say("no feed is switched on; comparing the kernel's sets with the ledger"),
        feeds => show::say(&format!("asked {} for a fresh list; comparing the kernel's sets", feeds.join(" and "))),
    }
    Ok(exit::DONE)
}

fn print_rules(command: Rules) -> Outcome {
    let config = config_path(command.config);
    if command.write || command.load {
        crate::owner::edit::sweep(&config);
    }
    // What is read before one's turn may be older than what another has written meanwhile.
    let _turn = (command.write || command.load || command.clear).then(store_needs).flatten();
    let mut loaded = match in_force(&config) {
        // What is noted goes without the file, too, which its owner may have deleted.
        Err(_) if command.clear && command.delete => Settings::parse(b"", "", &[]),
        loaded => loaded?,
    };
    let settings = &mut loaded.settings;
    if !command.standalone && !command.load && !command.delete && !command.clear && settings.main.enabled {
        // fw4's configuration is diswall's neighbour: /etc/config/firewall.
        leave_unknown_zones_out(settings, &config.with_file_name("firewall"))?;
    }
    let settings = &loaded.settings;
    let text = match (command.standalone, command.write, command.load, command.clear, command.delete) {
        (true, false, false, false, false) => rules::standalone(settings),
        (false, false, false, false, true) => rules::removal(settings),
        (false, false, false, false, false) => rules::for_fw4(settings, &files::zone_devices(settings)),
        (false, true, false, false, false) => return write_rules(&config, &loaded),
        (_, false, true, false, false) => return load_rules(&config, &loaded),
        (false, false, false, true, all) => return clear_rules(&config, settings, all),
        (_, _, _, true, _) => return Err(Failure::usage("--clear goes with --delete alone")),
        _ => return Err(Failure::usage("--standalone, --write, --load, --clear and --delete exclude each other")),
    };
    show::say(text.trim_end());
    Ok(exit::DONE)
}

/// A zone that fw4 does not have costs that zone: one that was renamed, or misspelt, leaves the others guarded.
fn leave_unknown_zones_out(settings: &mut Settings, firewall: &Path) -> Result<(), Failure> {
    let refused = |error: files::Error| Failure::usage(error.to_string());
    let unknown = files::unknown_zones(settings, firewall).map_err(refused)?;
    for (zone, error) in unknown {
        settings.main.zones.retain(|each| *each != zone);
        if settings.main.zones.is_empty() {
            return Err(refused(error));
        }
        eprintln!("diswall: {error}; it is left out");
    }
    tell(files::strayed(settings));
    Ok(())
}

/// For the daemon, which may not read every file that root may. Without it, it goes by what it can read. Until what is
/// given is dropped, another such command waits: the service is reloaded by several things at once, and their new files
/// have one name.
fn store_needs() -> Option<File> {
    let extract = Path::new(needs::EXTRACT);
    let place = extract.parent().unwrap_or(Path::new("/"));
    let found = needs::read(Path::new(needs::UCI), Path::new(needs::RESOLVERS), Path::new(""));
    let stored = std::fs::create_dir_all(place).and_then(|()| {
        let turn = own::turn(&place.join("lock"))?;
        rustix::fs::flock(&turn, FlockOperation::LockExclusive)?;
        needs::store(&found, extract).map(|()| turn)
    });
    stored.inspect_err(|error| eprintln!("diswall: {}: {error}", extract.display())).ok()
}

fn write_rules(config: &Path, loaded: &Loaded) -> Outcome {
    let written = files::write(&loaded.settings, Path::new(files::DIRECTORY)).map_err(rules_refused)?;
    tell(written.lacking);
    accept(config, loaded);
    Ok(if written.changed { exit::DONE } else { exit::NO })
}

fn load_rules(config: &Path, loaded: &Loaded) -> Outcome {
    tell(files::load(&loaded.settings, noted(config)).map_err(rules_refused)?);
    accept(config, loaded);
    Ok(exit::DONE)
}

fn clear_rules(config: &Path, settings: &Settings, all: bool) -> Outcome {
    tell(files::clear(settings, noted(config), all).map_err(rules_refused)?);
    Ok(exit::DONE)
}

/// Where it is noted what rules have put into the kernel: of the service's configuration alone, for there is room for one.
fn noted(config: &Path) -> Option<&'static Path> {
    (config == Path::new(config::DEFAULT_PATH)).then_some(Path::new(files::DIRECTORY))
}

/// The rules of this configuration are in place: it is kept as the last good one.
fn accept(config: &Path, loaded: &Loaded) {
    if let Err(error) = last_good::keep(config, loaded) {
        eprintln!("diswall: the last good configuration cannot be kept: {error}");
    }
}

fn rules_refused(error: files::Error) -> Failure {
    Failure { status: exit::RULES_REFUSED, text: error.to_string() }
}

fn tell(lacking: Option<String>) {
    if let Some(text) = lacking {
        eprintln!("diswall: {text}");
    }
}

fn config_explain(option: &str) -> Outcome {
    match config::explain::explain(option) {
        Some(text) => {
            show::say(text.trim_end());
            Ok(exit::DONE)
        }
        None => {
            let section = option.split_once('.').map_or("", |(section, _)| section);
            let section = if section == "main" { "diswall" } else { section };
            let known: Vec<&str> = config::options_of(section).iter().map(|(name, _)| *name).collect();
            let (what, names) = match known.is_empty() {
                true => ("sections".to_owned(), config::kinds().collect()),
                false => (format!("options of {section}"), known),
            };
            Err(Failure::usage(format!("no option and no section is called '{option}'; {what}: {}", names.join(", "))))
        }
    }
}

fn config_check(command: ConfigCheck) -> Outcome {
    let path = config_path(command.file.or(command.config));
    let in_force = last_good::text(&path).unwrap_or_default();
    // Where the firewall's configuration is not beside it, or cannot be read, nobody can tell.
    let unknown = |settings: &Settings| files::unknown_zones(settings, &path.with_file_name("firewall"));
    let (problems, unknown, strayed) = match Settings::load(&path, &in_force) {
        Ok(loaded) => {
            (loaded.problems, unknown(&loaded.settings).unwrap_or_default(), files::strayed(&loaded.settings))
        }
        Err(problems) => (problems, Vec::new(), None),
    };
    if !problems.is_empty() {
        show::say(&problems.to_string());
    }
    let warnings = unknown.iter().map(|(_, error)| error.to_string()).chain(strayed);
    for text in warnings {
        show::say(&format!("warning: config diswall 'main': {text}; nothing is guarded there"));
    }
    if problems.has_errors() {
        return Ok(exit::USAGE);
    }
    show::say(&format!("{}: no errors", path.display()));
    Ok(exit::DONE)
}

fn config_restore(command: ConfigRestore) -> Outcome {
    let config = config_path(command.config);
    show::say(&steer::restore(&config)?);
    Ok(exit::DONE)
}
