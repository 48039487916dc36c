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
use crate::config::explain::{NEEDED, accepts, entries, is_default};
use crate::config::{kinds, options_of};

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
                accepts: accepts(kind, name).unwrap_or_else(|| panic!("{kind}.{name}: no word on what it may be")),
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
