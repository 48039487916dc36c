//! Debian's files for another processor, and its sources: fetched and unpacked below `target`, never
//! installed. apt-get runs with directories of its own and asks the very mirror that this machine uses.
//! Called for the emulated machines and for the router's C library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::command::{command, output, run};
use crate::files::{absolute, make_directory, write};

/// apt with lists, cache and packages of its own, all below one directory.
pub struct Apt {
    place: PathBuf,
}

impl Apt {
    /// For Debian's architecture of that name; reads the mirror's lists of packages, or of sources.
    pub fn new(place: &Path, architecture: &str, sources: bool) -> Result<Apt> {
        let place = absolute(place)?;
        for directory in ["state/lists/partial", "cache/archives/partial", "root"] {
            make_directory(&place.join(directory))?;
        }
        let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let kind = if sources { "deb-src" } else { "deb" };
        write(&place.join("sources.list"), format!("{kind} [signed-by={keyring}] {} main\n", mirror()?))?;
        write(&place.join("state/status"), "")?;
        let shown = place.display();
        let text = format!(
            "APT::Architecture \"{architecture}\";\nAPT::Architectures {{ \"{architecture}\"; }};\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\n\
             Dir::State \"{shown}/state\";\nDir::State::status \"{shown}/state/status\";\n\
             Dir::Cache \"{shown}/cache\";\nDir::Etc::sourcelist \"{shown}/sources.list\";\n\
             Dir::Etc::sourceparts \"/dev/null\";\n"
        );
        write(&place.join("apt.conf"), &text)?;
        let apt = Apt { place };
        run(&mut apt.call("apt-get", &["-q", "update"]))?;
        Ok(apt)
    }

    /// One of apt's programs; files it downloads by name land where [`Apt::unpack`] looks.
    pub fn call(&self, program: &str, args: &[&str]) -> Command {
        let mut apt = command(program, args);
        apt.env("APT_CONFIG", self.place.join("apt.conf")).current_dir(self.archives());
        apt
    }

    /// Unpacks every package that was downloaded; the directory that then holds their files.
    pub fn unpack(&self) -> Result<PathBuf> {
        let root = self.place.join("root");
        for package in list(&self.archives())? {
            if package.extension() == Some("deb".as_ref()) {
                run(&mut command("dpkg", &["-x", &package.to_string_lossy(), &root.to_string_lossy()]))?;
                let _ = fs::remove_file(package);
            }
        }
        Ok(root)
    }

    /// A package's upstream source, unpacked; its directory.
    pub fn source(&self, package: &str) -> Result<PathBuf> {
        run(&mut self.call("apt-get", &["-q", "source", "--download-only", package]))?;
        let archive = list(&self.archives())?.into_iter().find(|path| path.to_string_lossy().contains(".orig.tar."));
        let archive = archive.ok_or_else(|| format!("the source package {package} has no upstream archive"))?;
        let directory = self.place.join("root").join(package);
        make_directory(&directory)?;
        let args = ["-x", "--strip-components=1", "-f", &archive.to_string_lossy()];
        run(command("tar", &args).arg("-C").arg(&directory))?;
        Ok(directory)
    }

    fn archives(&self) -> PathBuf {
        self.place.join("cache/archives")
    }
}

/// Whether this machine is a Debian that has its files for other processors; else why not.
pub fn at_hand() -> Result<()> {
    match mirror()? {
        bookworm if bookworm.ends_with(" bookworm") => Ok(()),
        other => Err(format!("{other} has no libraries for mipsel; Debian 12 is the last that has")),
    }
}

/// The mirror and the release that this machine is installed from.
fn mirror() -> Result<String> {
    let format = "$(REPO_URI) $(CODENAME) $(ORIGIN) $(COMPONENT)";
    let indices = output(&mut command("apt-get", &["indextargets", "Created-By: Packages", "--format", format]))?;
    let mirror = indices.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [mirror, codename, "Debian", "main"] if !codename.contains('-') => Some(format!("{mirror} {codename}")),
        _ => None,
    });
    mirror.ok_or_else(|| "this is no Debian: its mirror has nothing for other processors (apt-get indextargets)".into())
}

/// Every path directly in a directory, in the order of their names.
pub fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let told = |error: std::io::Error| format!("{}: {error}", directory.display());
    let entries = fs::read_dir(directory).map_err(told)?;
    let paths: Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path()).map_err(told)).collect();
    let mut paths = paths?;
    paths.sort();
    Ok(paths)
}
