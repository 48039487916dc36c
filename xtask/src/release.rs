//! `cargo xtask release`: everything that is published of a version, from a commit and nothing else: the sources,
//! packages for routers and Debian, signed indexes, checksums. Called by `main`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{command, output, run};
use crate::debian::list;
use crate::files::{absolute, make_directory, read, read_text, write};
use crate::package::{self, targets::TARGETS, tools};
use crate::{Result, Subcommand};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand =
    Subcommand { name: "release", summary: "everything that is published of a version", help: HELP, run: release };

const HELP: &str = "\
Usage: cargo xtask release --keys DIR

Empties dist/ and fills it from the last commit, of which nothing may have been changed:
  diswall-VERSION.tar.gz   the sources
  ARCH/                    packages for mipsel, big-endian mips, ARM, AArch64 and x86-64, with signed indexes
  all/                     the packages for reForis, likewise
  debian/                  the package for Debian, for this machine's processor
  hub/                     the hub's, likewise
  sha256sums               of all of it
Everything is dated at the commit. CHANGELOG.md must have the version of Cargo.toml as a heading, with its date.

  --keys DIR   where usign.sec and apk.pem are (CONTRIBUTING.md says how they are made); never in the checkout

In another directory the same commit and the same keys give the same bytes.
About an hour of two cores.";

fn release(args: &[String]) -> Result<()> {
    let keys = match args {
        [option, keys] if option == "--keys" => keys,
        _ => return Err(format!("release takes --keys DIR, and was given {args:?}")),
    };
    let version = package::version()?;
    let changed = output(&mut command("git", &["status", "--porcelain"]))?;
    if !changed.is_empty() {
        return Err(format!("what is released is a commit, and this is none:\n{}", changed.trim_end()));
    }
    if !is_dated(&read_text(Path::new("CHANGELOG.md"))?, &version) {
        return Err(format!("CHANGELOG.md has no heading \"## {version} - YYYY-MM-DD\""));
    }
    let _ = fs::remove_dir_all("dist");
    make_directory(Path::new("dist"))?;
    sources(&version, Path::new("dist"))?;
    let mut args = vec!["--keys", keys];
    TARGETS.iter().for_each(|target| args.extend(["--arch", target.arch]));
    for args in [&args[..], &["--keys", keys, "--reforis", "3.11"], &["--format", "deb"], &["--hub"]] {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        package::run(&args)?;
    }
    write(Path::new("dist/sha256sums"), checksums(Path::new("dist"))?)
}

/// Whether the version has its heading in the change log, and its day.
fn is_dated(changes: &str, version: &str) -> bool {
    let heading = format!("## {version} - ");
    changes.lines().filter_map(|line| line.strip_prefix(&heading)).any(|date| {
        date.len() == 10 && date.bytes().enumerate().all(|(at, byte)| matches!(at, 4 | 7) == (byte == b'-'))
    })
}

/// The files of the last commit, packed.
fn sources(version: &str, place: &Path) -> Result<PathBuf> {
    let name = format!("diswall-{version}");
    let archive = place.join(format!("{name}.tar"));
    let mut git = command("git", &["archive", "--format=tar", &format!("--prefix={name}/"), "-o"]);
    run(git.arg(absolute(&archive)?).arg("HEAD").current_dir(crate::root()))?;
    let packed = archive.with_extension("tar.gz");
    write(&packed, &tools::gzip(&read(&archive)?, tools::Effort::Little)?)?;
    fs::remove_file(&archive).map_err(|error| format!("{}: {error}", archive.display()))?;
    Ok(packed)
}

/// A line for each file below a directory, as sha256sum reads them.
fn checksums(place: &Path) -> Result<String> {
    let mut directories = vec![place.to_path_buf()];
    let mut lines = Vec::new();
    while let Some(directory) = directories.pop() {
        for path in list(&directory)? {
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(place).unwrap_or(&path);
                lines.push((name.to_path_buf(), tools::sha256(&read(&path)?)?));
            }
        }
    }
    lines.sort();
    Ok(lines.iter().map(|(name, digest)| format!("{digest}  {}\n", name.display())).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_version_goes_out_with_its_day() {
        assert!(is_dated("# Changes\n\n## 0.2.0 - 2026-12-24\n\n", "0.2.0"));
        for text in [
            "## 0.2.0\n",
            "## 0.2.0 - soon\n",
            "## 0.2.0 - 2026-12-2x4\n",
            "## 0.2.1 - 2026-12-24\n",
            "0.2.0 - 2026-12-24",
        ] {
            assert!(!is_dated(text, "0.2.0"), "{text}");
        }
    }

    #[test]
    fn sources_are_the_same_whoever_packs_them_and_checksums_hold() {
        let scratch = std::env::temp_dir().join(format!("diswall-release-{}", std::process::id()));
        let _ = fs::remove_dir_all(&scratch);
        let packed = ["a", "b"].map(|name| {
            make_directory(&scratch.join(name)).unwrap();
            read(&sources("1.2.3", &scratch.join(name)).unwrap()).unwrap()
        });
        assert!(packed[0] == packed[1]);
        write(&scratch.join("sha256sums"), checksums(&scratch).unwrap()).unwrap();
        let listed = output(command("tar", &["-tzf", "a/diswall-1.2.3.tar.gz"]).current_dir(&scratch)).unwrap();
        assert!(listed.contains("diswall-1.2.3/src/daemon.rs\n"), "{listed}");
        let checked = output(command("sha256sum", &["-c", "sha256sums"]).current_dir(&scratch)).unwrap();
        assert_eq!(checked, "a/diswall-1.2.3.tar.gz: OK\nb/diswall-1.2.3.tar.gz: OK\n");
        fs::remove_dir_all(&scratch).unwrap();
    }
}
