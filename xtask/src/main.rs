//! `cargo xtask`: everything a person or CI runs. Each subcommand is a module; this file only chooses.
//! It needs no system library to build, so that it can install those first.

mod bench;
mod command;
mod debian;
mod demo;
mod docs;
mod emulate;
mod files;
mod fleet;
mod hub;
mod licences;
mod machine;
mod measure;
mod package;
mod parts;
mod release;
mod router;
mod sandbox;
mod setup;
mod soak;
mod test;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a subcommand says when it cannot go on: one or more sentences for the person at the terminal.
pub type Result<T> = std::result::Result<T, String>;

/// One thing `cargo xtask` can do.
pub struct Subcommand {
    /// As it is typed.
    pub name: &'static str,
    /// One line for the overview.
    pub summary: &'static str,
    /// All of `cargo xtask NAME --help`.
    pub help: &'static str,
    /// Does it; gets the arguments after the name. The working directory is the checkout's root.
    pub run: fn(&[String]) -> Result<()>,
}

const SUBCOMMANDS: [Subcommand; 11] = [
    demo::SUBCOMMAND,
    test::SUBCOMMAND,
    bench::SUBCOMMAND,
    package::SUBCOMMAND,
    emulate::SUBCOMMAND,
    machine::SUBCOMMAND,
    hub::SUBCOMMAND,
    fleet::SUBCOMMAND,
    docs::SUBCOMMAND,
    release::SUBCOMMAND,
    soak::SUBCOMMAND,
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match choose(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn choose(args: &[String]) -> Result<()> {
    let (name, rest) = match args.split_first() {
        None => {
            print_overview();
            return Err("no subcommand given".into());
        }
        Some((name, rest)) => (name.as_str(), rest),
    };
    if matches!(name, "--help" | "-h" | "help") {
        print_overview();
        return Ok(());
    }
    let Some(subcommand) = SUBCOMMANDS.iter().find(|subcommand| subcommand.name == name) else {
        print_overview();
        return Err(format!("no subcommand is called {name:?}"));
    };
    if rest.iter().any(|arg| arg == "--help" || arg == "-h") {
        show(subcommand.help);
        return Ok(());
    }
    std::env::set_current_dir(root()).map_err(|error| format!("{}: {error}", root().display()))?;
    (subcommand.run)(rest)
}

fn print_overview() {
    let mut text = String::from("Usage: cargo xtask SUBCOMMAND [OPTION…]\n\n");
    for subcommand in &SUBCOMMANDS {
        text += &format!("  {:<9} {}\n", subcommand.name, subcommand.summary);
    }
    text += "\n`cargo xtask SUBCOMMAND --help` tells more. What is missing on the machine is installed with\n\
             apt-get on Debian and Ubuntu (as root), and named elsewhere.";
    show(&text);
}

/// Prints a text; `cargo xtask --help | head` ends before all of it is read, which is no error.
fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// The checkout's root directory.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
