//! Running other programs, with their failure told in one sentence. Every subcommand uses it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// A command with no standard input: nothing that is run here may wait for a person.
pub fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    command
}

/// `cargo`, the very one that runs this program.
pub fn cargo(args: &[&str]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    command(&cargo, args)
}

/// This program's own path.
pub fn own_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))
}

/// The directory of the programs that cargo has built: this one is there too.
pub fn programs() -> Result<PathBuf> {
    Ok(own_program()?.parent().map(Path::to_path_buf).unwrap_or_default())
}

/// As a person would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs a command to its end, its output going where this program's goes.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| format!("{}: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", shown(command))) }
}

/// Runs a command to its end; its standard output as text.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| format!("{}: {error}", shown(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}: {}", shown(command), output.status, complaint.trim_end()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command to its end; each line of its standard output is printed and shown to `look`.
/// Whether it succeeded.
pub fn run_watching(command: &mut Command, mut look: impl FnMut(&str)) -> Result<bool> {
    let told = |error: std::io::Error, command: &Command| format!("{}: {error}", shown(command));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| told(error, command))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(|error| told(error, command))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            look(&line);
        }
    }
    Ok(child.wait().map_err(|error| told(error, command))?.success())
}

/// Where a program is: on the search path, or where Debian keeps what only root used to need.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.map(|place| place.join(name)).find(|candidate| candidate.is_file())
}
