//! Puts version, commit and target into the program, for `diswall --version`. The version stands in
//! Cargo.toml and nowhere else; the commit comes from git, or from DISWALL_COMMIT where there is no git.
//!
//! And the table of log patterns, without what is for those who read it.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// The table; `src/feed/login/known.rs` reads what is made of it.
const PATTERNS: &str = "src/feed/login/patterns.txt";

fn main() {
    let table = fs::read_to_string(PATTERNS).unwrap_or_else(|error| panic!("{PATTERNS}: {error}"));
    let made = Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("patterns");
    fs::write(&made, lean(&table)).unwrap_or_else(|error| panic!("{}: {error}", made.display()));
    println!("cargo:rerun-if-changed={PATTERNS}");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DISWALL_COMMIT");
    let var = |name: &str| env::var(name).unwrap_or_default();
    // A debug build would be made anew after every commit only to say so.
    let commit = match var("DISWALL_COMMIT") {
        given if !given.is_empty() => given,
        _ if var("PROFILE") == "debug" => "debug build".into(),
        _ => git_commit().unwrap_or_else(|| "unknown commit".into()),
    };
    println!("cargo:rustc-env=DISWALL_VERSION={} ({commit}, {})", var("CARGO_PKG_VERSION"), var("TARGET"));
}

/// The table without comments, sources and examples, each first word down to its letter.
fn lean(table: &str) -> String {
    let mut made = String::new();
    for (number, line) in (1..).zip(table.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let letter = match word {
            "source" | "eg" => continue,
            // Upper case: about what follows.
            "service" => 'S',
            "preset" => 'O',
            "joined" => 'J',
            "program" => 'P',
            "try" => 't',
            "pam" => 'p',
            "event" => 'e',
            "session" => 's',
            "keys" => 'k',
            "held" => 'h',
            "ends" => 'x',
            "not" => 'n',
            "success" => 'y',
            _ => panic!("{PATTERNS}:{number}: {word:?} is none of the words that begin a line"),
        };
        made.push(letter);
        made.push_str(rest);
        made.push('\n');
    }
    made
}

/// The commit the checkout is at, 12 hexadecimal digits.
fn git_commit() -> Option<String> {
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    for file in ["HEAD", "logs/HEAD"] {
        println!("cargo:rerun-if-changed={}", git(&["rev-parse", "--git-path", file])?);
    }
    Some(head)
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
