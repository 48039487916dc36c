//! The last good configuration: what was in force when the rules were last written, kept by root for the
//! day on which `/etc/config/diswall` cannot be read.
//!
//! Written by root alone (`diswall rules --write`, and the owner's edits), whole and at one stroke, from the
//! moment a configuration is accepted; read by the daemon and by everything that needs the settings. It
//! belongs to the configuration at [`DEFAULT_PATH`]: a daemon with another never takes it. A copy that
//! another than root could have written is not read.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::read::{control_of, read_bounded};
use super::{DEFAULT_PATH, Loaded, Main, Problems, Settings, is_services};

/// Root's directory for what outlasts a reboot.
const DIRECTORY: &str = "/etc/diswall";
/// The last good configuration.
pub const PATH: &str = "/etc/diswall/last-good";
/// Where [`restore`] puts the file that it replaces.
pub const SET_ASIDE: &str = "/etc/diswall/set-aside";
/// The account of the daemon, which must read what root keeps.
const GROUP: &str = "diswall";

/// The text that is kept for `config`, if there is one.
pub fn text(config: &Path) -> Option<Vec<u8>> {
    if !is_services(config) {
        return None;
    }
    (is_roots(DIRECTORY) && is_roots(PATH)).then(|| read_bounded(Path::new(PATH)).ok()).flatten()
}

/// The control socket that the file at `config` names, even where the rest of it has errors; else that of the last
/// good one, else the default. Lets the command line find a daemon that runs on with a former configuration.
pub fn control(config: &Path) -> PathBuf {
    let file = read_bounded(config).unwrap_or_default();
    let named = control_of(&file).or_else(|| control_of(&text(config)?));
    named.unwrap_or_else(|| Main::default().control)
}

/// Could nobody but root have made it what it is?
fn is_roots(path: &str) -> bool {
    let found = fs::symlink_metadata(path);
    found.is_ok_and(|found| found.uid() == 0 && found.mode() & 0o022 == 0 && !found.is_symlink())
}

/// What is to be in force by the file at `config`: itself, where it is broken the last good one, and where
/// there is none what can be read of it.
///
/// # Errors
/// The file cannot be read, and nothing was kept.
pub fn load(config: &Path) -> Result<Loaded, Problems> {
    let kept = text(config);
    let file = Settings::load(config, kept.as_deref().unwrap_or_default());
    let (mut problems, rest) = match file {
        Ok(loaded) if !loaded.broken => return Ok(loaded),
        Ok(loaded) => (loaded.problems.clone(), Some(loaded)),
        Err(problems) => (problems, None),
    };
    if let Some(kept) = kept {
        problems.whole("until the file is mended, the last good configuration is in force".to_owned());
        let loaded = Settings::parse(&kept, PATH, &[]);
        return Ok(Loaded { problems, broken: true, ..loaded });
    }
    let Some(loaded) = rest else { return Err(problems) };
    problems.whole(
        "until the file is mended, what can be read of it is in force, the rest is the default; no last good \
         configuration was kept"
            .to_owned(),
    );
    Ok(Loaded { problems, ..loaded })
}

/// Root keeps `loaded`, which was read from `config` and accepted. A broken file is not kept, nor one of
/// another place. Writes only where something is new, since flash wears.
///
/// # Errors
/// It cannot be written.
pub fn keep(config: &Path, loaded: &Loaded) -> io::Result<()> {
    if !is_kept(config, loaded) {
        return Ok(());
    }
    let file = read_bounded(config)?;
    // Somebody may have written it since it was read.
    let now = Settings::parse(&file, &loaded.problems.file, loaded.options.as_bytes());
    if now.broken || now.settings != loaded.settings {
        return Ok(());
    }
    keep_text(config, loaded, &file)
}

/// As [`keep`], where the text that `loaded` was read from is at hand.
///
/// # Errors
/// It cannot be written.
pub fn keep_text(config: &Path, loaded: &Loaded, file: &[u8]) -> io::Result<()> {
    if !is_kept(config, loaded) {
        return Ok(());
    }
    let good = loaded.good(file);
    if text(config).is_some_and(|kept| kept == good) {
        return Ok(());
    }
    if let Err(error) = DirBuilder::new().mode(0o755).create(DIRECTORY)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    if !is_roots(DIRECTORY) {
        return Err(io::Error::other(format!("{DIRECTORY} is not a directory of root's alone")));
    }
    write(PATH, good)
}

fn is_kept(config: &Path, loaded: &Loaded) -> bool {
    !loaded.broken && config == Path::new(DEFAULT_PATH) && rustix::process::geteuid().is_root()
}

/// Puts the last good configuration in the place of the one at `config`, which is set aside.
///
/// # Errors
/// There is none, or a file cannot be written: the configuration is as it was then.
pub fn restore(config: &Path) -> io::Result<()> {
    let Some(good) = text(config) else {
        let text = format!("no last good configuration is kept for {}", config.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    };
    // What was set aside the first time stays when it is asked for twice.
    if let Ok(old) = read_bounded(config)
        && old != good
    {
        write(SET_ASIDE, &old)?;
    }
    let mode = fs::metadata(config).map_or(0o640, |old| old.mode() & 0o777);
    let place = config.canonicalize().unwrap_or_else(|_| config.to_path_buf());
    replace(&place, &good, mode)
}

/// For root and the daemon's account only: a configuration may hold a password.
fn write(path: &str, text: &[u8]) -> io::Result<()> {
    replace(Path::new(path), text, 0o640)
}

/// A power failure leaves the old text or the new.
fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text)?;
        if let Some(group) = group_number(GROUP) {
            fchown(&file, None, Some(group))?;
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The number of a group by `/etc/group`.
fn group_number(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut lines = groups.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten())
}
