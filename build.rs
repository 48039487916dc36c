//! Puts version, commit and target into the program, for `diswall --version`. The version stands in
//! Cargo.toml and nowhere else; the commit comes from git, or from DISWALL_COMMIT where there is no git.

use std::env;
use std::process::Command;

fn main() {
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
