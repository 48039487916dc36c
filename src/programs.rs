//! Where other programs are, said once: everything of diswall that starts a program asks here.
//!
//! The daemon runs in a procd jail whose whole environment is `container=ujail`, so `PATH` cannot be relied
//! on, neither by diswall nor by what it starts. The system's own places come first, in a fixed order;
//! `PATH` can only add to them.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::outside;

/// Where programs are looked for, whatever the environment says.
const PLACES: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";

/// Most bytes of a line of what a program says.
const LINE: usize = 200;

/// Every program of this name, the one to use first. A name that is a whole path stands for itself.
pub fn all(name: &str) -> impl Iterator<Item = PathBuf> {
    let own = env::var_os("PATH").unwrap_or_default();
    let own: Vec<PathBuf> = env::split_paths(&own).filter(|place| place.is_absolute()).collect();
    env::split_paths(OsStr::new(PLACES)).chain(own).map(move |place| place.join(name)).filter(|path| is_program(path))
}

/// The program of this name.
pub fn find(name: &str) -> Option<PathBuf> {
    all(name).next()
}

/// A command that starts the program of this name. What it starts in turn finds its programs too.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] where there is none.
pub fn command(name: &str) -> io::Result<Command> {
    find(name).map(|path| at(&path)).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is not installed"))
}

/// As [`command`], with a program that has been found.
pub fn at(path: &Path) -> Command {
    let mut command = Command::new(path);
    if env::var_os("PATH").is_none() {
        command.env("PATH", PLACES);
    }
    command
}

/// As [`at`], whatever the environment: what it does is the same for the daemon and for an owner in his shell,
/// whose own settings (`~/.curlrc`, a proxy) it does not see.
pub fn bare(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("PATH", PLACES).env("HOME", "/dev/null");
    command
}

/// A file in memory that has no name.
///
/// # Errors
/// The kernel has no room for it.
pub fn nameless() -> io::Result<File> {
    Ok(File::from(memfd_create("diswall", MemfdFlags::CLOEXEC)?))
}

/// What a program said to a [`nameless`] file, the first `most` bytes of it in one line. Such a file takes what a program
/// says where a pipe would stay open for as long as whatever that program starts.
pub fn said(file: &mut File, most: u64) -> String {
    let mut bytes = Vec::new();
    if file.rewind().and_then(|()| file.take(most).read_to_end(&mut bytes)).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(|line| outside::clean(line.trim(), LINE)).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}

/// A child that does not outlive its owner, nor stays behind as a zombie.
pub struct Guarded(pub Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn programs_are_found_in_the_systems_places() {
        assert!(find("sh").unwrap().is_absolute());
        assert_eq!(find("/bin/sh").as_deref(), Some(Path::new("/bin/sh")), "a whole path stands for itself");
        assert_eq!(find("no-such-program"), None);
        assert_eq!(find("local"), None, "a directory is no program");
        assert_eq!(find("/etc/passwd"), None, "nor is a file that nobody may run");
        assert_eq!(command("no-such-program").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(command("sh").unwrap().args(["-c", "ls /dev/null >/dev/null"]).status().unwrap().success());
    }

    /// As procd's jail leaves it.
    #[test]
    fn without_an_environment_they_are_found_all_the_same() {
        // The kernel cannot start what `cargo xtask emulate --tests` built for another processor.
        if env::var_os("DISWALL_EMULATED").is_some() {
            return;
        }
        let mut bare = Command::new(env::current_exe().unwrap());
        bare.args(["--exact", "programs::tests::programs_are_found_in_the_systems_places"]);
        let output = bare.env_clear().env("container", "ujail").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}
