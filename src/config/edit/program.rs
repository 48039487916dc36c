//! The steps of a plan carried out by OpenWrt's `uci`.
//!
//! Used by `edit` alone. The changes are staged in a private directory, looked at as `uci export` shows
//! them, and committed only if they are what was meant. They are not where uci would lose a setting, or
//! where the owner has changes of his own that he has not committed yet: uci would commit those too.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::uci::quote;
use super::{NewOption, Plan, Step, file};
use crate::programs;

/// Most changes that `uci` is asked for. It reads the whole file and its own notes again for every line it
/// is told: 1,000 sections took it 21 s on a desktop machine, where an edit of the text takes milliseconds.
const MOST_STEPS: usize = 32;

/// Why `uci` did not do it.
pub(super) enum Failure {
    /// It is not installed.
    Absent,
    /// It did nothing; why.
    NothingDone(String),
    /// It was told to commit, and the file does not say what it should; a sentence.
    Unsure(String),
}

/// Lets `uci` carry the plan out on the configuration at `path`.
pub(super) fn apply(uci: &str, path: &Path, plan: &Plan) -> Result<(), Failure> {
    let (Some(directory), Some(package)) = (path.parent(), package(path)) else {
        return Err(Failure::NothingDone(format!("{} is no name of a uci configuration", path.display())));
    };
    let count = plan.steps.len();
    if count > MOST_STEPS {
        let why = format!("{count} changes would take uci too long; it gets {MOST_STEPS} at most");
        return Err(Failure::NothingDone(why));
    }
    let staging =
        Staging::new().map_err(|error| Failure::NothingDone(format!("no place to stage changes: {error}")))?;
    let uci = Uci { program: uci, directory, staging: &staging.0 };
    // `uci batch` goes on after a failed line and ends with 0 all the same: what it says is what counts.
    let staged = uci.run(&["batch"], &batch(package, &plan.steps))?;
    if !staged.stderr.is_empty() {
        return Err(Failure::NothingDone(said(&staged)));
    }
    plan.verify(&uci.run(&["export", package], "")?.stdout).map_err(Failure::NothingDone)?;
    let before = file::read(path).map_err(|error| Failure::NothingDone(error.to_string()))?;
    let committed = uci.run(&["commit", package], "")?;
    let now = file::read(path).map_err(|error| Failure::Unsure(error.to_string()))?;
    if now == before {
        // A full or read-only file system, most likely.
        return Err(Failure::NothingDone(said(&committed)));
    }
    plan.verify(&now).map_err(|_| {
        let path = path.display();
        Failure::Unsure(format!("uci did not leave in {path} what was meant; look at it. {}", said(&committed)))
    })
}

/// The name by which uci knows the file; `None`: it cannot.
fn package(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    valid.then_some(name)
}

/// What `uci batch` is told. Sections are taken out from the last to the first, so that each index still
/// holds, and added after that.
pub(super) fn batch(package: &str, steps: &[Step]) -> String {
    let mut lines = String::new();
    for step in steps {
        // Writing to a String cannot fail.
        let _ = match step {
            Step::Append { .. } | Step::Remove { .. } => Ok(()),
            Step::Set { kind, index, option, value } => {
                writeln!(lines, "set {package}.@{}[{index}].{option}={}", kind.name(), quote(value))
            }
        };
    }
    for step in steps.iter().rev() {
        if let Step::Remove { kind, index } = step {
            let _ = writeln!(lines, "delete {package}.@{}[{index}]", kind.name());
        }
    }
    for step in steps {
        let Step::Append { kind, options } = step else { continue };
        let kind = kind.name();
        let _ = writeln!(lines, "add {package} {kind}");
        for NewOption { is_list, name, value } in options {
            let verb = if *is_list { "add_list" } else { "set" };
            let _ = writeln!(lines, "{verb} {package}.@{kind}[-1].{name}={}", quote(value));
        }
    }
    lines
}

/// Names for a staging directory that are tried before giving up.
const MOST_NAMES: u32 = 100;

struct Uci<'a> {
    program: &'a str,
    directory: &'a Path,
    staging: &'a Path,
}

impl Uci<'_> {
    /// The input is a file, so that neither side ever waits for the other to read.
    fn run(&self, arguments: &[&str], input: &str) -> Result<Output, Failure> {
        let input_path = self.staging.join(".input");
        let input = fs::write(&input_path, input).and_then(|()| File::open(&input_path));
        let output = input.and_then(|input| {
            let mut command = programs::command(self.program)?;
            command.arg("-c").arg(self.directory).arg("-t").arg(self.staging).args(arguments);
            command.stdin(input).output()
        });
        output.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::Absent,
            _ => Failure::NothingDone(format!("{}: {error}", self.program)),
        })
    }
}

fn said(output: &Output) -> String {
    format!("uci said: {}", String::from_utf8_lossy(&output.stderr).trim())
}

/// A directory of this process's own, taken away at the end.
struct Staging(PathBuf);

impl Staging {
    fn new() -> io::Result<Staging> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Everybody may make names in there: what stands under one already is somebody's, and stays.
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!(".diswall-uci-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < MOST_NAMES => {}
                made => return made.map(|()| Staging(path)),
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
