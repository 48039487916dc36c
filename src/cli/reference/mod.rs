//! The reference for owners, made from the program's own tables: `docs/reference.md`, the man pages and the
//! completions of shells. Part of the tests alone, so that no program carries it.
//!
//! `cargo xtask docs` writes the files; the test below makes them anew and compares, so that they cannot drift.
//! Commands come from argh's tables, options from those of the configuration, what an option may be from the very
//! sentence with which a wrong value is refused, and what it means from the shipped configuration.

#![allow(clippy::unwrap_used)]

mod commands;
mod completions;
mod man;
mod markdown;
mod roff;

use std::path::Path;

use argh::ArgsInfo;

use self::commands::{Argument, Command};
use super::{arguments::Arguments, exit};
use crate::config::explain::entries;
use crate::config::{Settings, kinds, options_of};

/// Set by `cargo xtask docs`: write the files in place of comparing them.
const WRITE: &str = "DISWALL_WRITE_DOCS";

impl Command {
    /// The first sentence about it, without the full stop.
    fn brief(&self) -> &'static str {
        let end = [". ", ": "].iter().filter_map(|end| self.about.find(end)).min().unwrap_or(self.about.len());
        self.about[..end].trim_end_matches('.')
    }
}

/// What stands for an argument's value.
fn value(name: &'static str) -> Option<&'static str> {
    Some(match name {
        "--config" | "file" => "FILE",
        "--timeout" => "TIME",
        "--comment" => "TEXT",
        "--hours" => "N",
        "--by" => "NAME",
        "addresses" => "ADDRESS…",
        _ => return None,
    })
}

/// Every command, those with words that follow before these.
fn commands() -> Vec<Command> {
    commands::of("diswall", &Arguments::get_args_info(), value)
}

/// The exit statuses, as the program says them.
const STATUSES: [(u8, &str); 5] = [
    (exit::DONE, "done; what was asked for is so"),
    (exit::NO, "the answer is no, or the daemon refused"),
    (exit::USAGE, "wrong use: an unknown command, a bad value, a configuration with errors"),
    (exit::UNREACHABLE, "the daemon cannot be reached"),
    (exit::RULES_REFUSED, "rules --write, rules --load: nft refuses the rules; the old ones stay"),
];

/// A type of section of the configuration.
struct Section {
    /// `diswall 'main'`, or the type alone of those of which there may be many.
    title: String,
    /// What `config explain` calls it.
    name: &'static str,
    about: String,
    options: Vec<ConfigOption>,
}

struct ConfigOption {
    name: &'static str,
    is_list: bool,
    /// As it is shipped.
    values: Vec<&'static str>,
    /// What is shipped is the default; otherwise an example.
    is_default: bool,
    accepts: String,
    means: String,
}

/// Lines without which the other options of their section cannot be tried.
const NEEDED: [(&str, &str); 5] = [
    ("list", "list url '/list'"),
    ("logwatch", "list pattern 'from <HOST>'"),
    ("allow", "option ip '192.0.2.1'"),
    ("block", "option ip '192.0.2.1'"),
    // It takes one option more.
    ("block", "option ip '0.0.0.0/0'"),
];

fn sections() -> Vec<Section> {
    let shipped = entries();
    let section = |kind: &'static str| {
        let options = options_of(kind).into_iter().map(|(name, _)| {
            let entry = shipped.iter().find(|entry| (entry.kind, entry.option) == (kind, name)).unwrap();
            let values: Vec<&str> = entry.lines.iter().map(|line| line.split('\'').nth(1).unwrap()).collect();
            let comment: Vec<&str> = entry.comment.iter().map(|line| line.trim_start_matches(['#', ' '])).collect();
            ConfigOption {
                name,
                is_list: entry.lines[0].starts_with("list "),
                is_default: is_default(kind, &entry.lines),
                values,
                accepts: accepts(kind, name),
                means: comment.join(" "),
            }
        });
        let (title, name) = match kind {
            "diswall" => ("diswall 'main'".to_owned(), "main"),
            kind if NEEDED.iter().any(|(many, _)| *many == kind) => (kind.to_owned(), kind),
            kind => (format!("{kind} '{kind}'"), kind),
        };
        Section { title, name, about: about_section(kind), options: options.collect() }
    };
    kinds().map(section).collect()
}

/// The comment right above the first section of a type.
fn about_section(kind: &str) -> String {
    let mut comment: Vec<&str> = Vec::new();
    for line in crate::config::explain::SHIPPED.lines() {
        if line.trim_start_matches('#').split_ascii_whitespace().take(2).eq(["config", kind]) {
            break;
        }
        match line.strip_prefix("# ") {
            Some(text) => comment.push(text),
            None => comment.clear(),
        }
    }
    comment.join(" ")
}

fn parse(kind: &str, lines: &[&str]) -> (Settings, String) {
    let name = if kind == "diswall" { "main" } else { kind };
    let body: String = lines.iter().map(|line| format!("\t{line}\n")).collect();
    let loaded = Settings::parse(format!("config {kind} '{name}'\n{body}").as_bytes(), "", b"");
    let said: Vec<String> = loaded.problems.lines().map(|(_, line)| line.to_string()).collect();
    (loaded.settings, said.join("\n"))
}

/// Whether these lines of a section say nothing that would not hold without them.
fn is_default(kind: &str, lines: &[&str]) -> bool {
    let mut needed: Vec<&[&str]> = Vec::new();
    needed.extend(NEEDED.iter().filter(|(many, _)| *many == kind).map(|(_, line)| std::slice::from_ref(line)));
    if needed.is_empty() {
        needed.push(&[]);
    }
    needed.iter().all(|needed| parse(kind, &[needed, lines].concat()).0 == parse(kind, needed).0)
}

/// What an option may be, out of the sentence with which a senseless value is refused.
fn accepts(kind: &str, option: &str) -> String {
    let refusal = ["?", "\u{1}", "\u{1}\u{1}"].iter().find_map(|senseless| {
        let (_, said) = parse(kind, &[&format!("option {option} '{senseless}'")]);
        let mark = format!("error: {option}: ");
        let line = said.lines().find_map(|line| Some(line.split_once(&mark)?.1.to_owned()))?;
        let shown = if *senseless == "?" { "? ".to_owned() } else { format!("{senseless:?} ") };
        Some(line.strip_prefix(&shown).unwrap_or(&line).to_owned())
    });
    let Some(refusal) = refusal else { return "any text".into() };
    let end = ["; its default is in force", &format!("; config {kind} ")];
    let end = end.iter().filter_map(|end| refusal.find(end)).min().unwrap_or(refusal.len());
    let sentence = &refusal[..end];
    if let Some((_, expected)) = sentence.split_once("; write ").or_else(|| sentence.split_once("; ")) {
        return expected.to_owned();
    }
    let plain = sentence.strip_prefix("is no ").map(|what| format!("a {what}"));
    let either = || Some(sentence.split_once("is neither ")?.1.replace(" nor ", " or ").replace('"', ""));
    let must = || Some(sentence.split_once("must be ")?.1.to_owned());
    plain
        .or_else(either)
        .or_else(must)
        .unwrap_or_else(|| panic!("{kind}.{option}: no word on what it may be: {refusal}"))
}

#[test]
fn the_committed_reference_is_what_the_program_s_tables_say() {
    let (commands, sections) = (commands(), sections());
    let files = [
        ("docs/reference.md", markdown::reference(&commands, &sections)),
        ("docs/man/diswall.8", man::program(&commands)),
        ("docs/man/diswall.config.5", man::configuration(&sections)),
        ("contrib/completions/diswall.bash", completions::bash(&commands, &sections)),
        ("contrib/completions/_diswall", completions::zsh(&commands, &sections)),
        ("contrib/completions/diswall.fish", completions::fish(&commands, &sections)),
    ];
    let mut stale = Vec::new();
    for (name, text) in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if std::env::var_os(WRITE).is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        } else if std::fs::read_to_string(path).unwrap_or_default() != text {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "no longer what the program says, run `cargo xtask docs`: {}", stale.join(", "));
}

#[test]
fn every_command_and_option_says_what_it_is_for() {
    for command in commands() {
        assert!(command.about.ends_with('.'), "diswall {}: {:?} is no sentence", command.path, command.about);
        for argument in command.options.iter().chain(&command.positionals) {
            assert!(argument.about.len() > 8, "diswall {} {}: {:?}", command.path, argument.name, argument.about);
        }
    }
    for section in sections() {
        assert!(section.about.ends_with(['.', 'S']), "config {}: {:?} is no sentence", section.title, section.about);
        for option in section.options {
            assert!(option.means.ends_with(['.', 'S']), "{}: {:?} is no sentence", option.name, option.means);
        }
    }
}
