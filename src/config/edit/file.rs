//! The configuration file on disk: reading it, keeping others out while it is changed, replacing it whole.
//!
//! Used by `edit` alone. libuci locks the file itself while it commits, and so does [`Locked`]; a lock on
//! the directory, which libuci does not take, keeps two of diswall's own edits apart even while `uci` runs.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::super::{Settings, uci};
use super::EditError;

const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// The file's text, and one byte more than is accepted where it is longer.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, EditError> {
    File::open(path).and_then(|file| read_all(&file)).map_err(EditError::io("reading", path))
}

fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(uci::MAX_FILE as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// The settings in `text`, which is what `path` holds.
pub(super) fn parse(text: &[u8], path: &Path) -> Result<Settings, EditError> {
    let loaded = Settings::parse(text, &path.display().to_string(), &[]);
    if loaded.problems.has_errors() { Err(EditError::Invalid(loaded.problems)) } else { Ok(loaded.settings) }
}

/// Waits for other edits of files in the directory of `path`; they wait until the result is dropped.
pub(super) fn lock_directory(path: &Path) -> Result<File, EditError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let file = File::open(directory).map_err(EditError::io("opening", directory))?;
    lock(&file).map_err(EditError::io("locking", directory))?;
    Ok(file)
}

fn lock(file: &File) -> io::Result<()> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOCK_RETRY),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another program keeps it locked"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// The file, locked as libuci locks it.
pub(super) struct Locked {
    file: File,
    path: PathBuf,
}

impl Locked {
    /// Waits for the lock. `path` must not be a link.
    pub(super) fn open(path: &Path) -> Result<Locked, EditError> {
        loop {
            let file = OpenOptions::new().read(true).write(true).open(path).map_err(EditError::io("opening", path))?;
            lock(&file).map_err(EditError::io("locking", path))?;
            // Whoever had the lock may have put another file in this one's place.
            let held = file.metadata().map_err(EditError::io("reading", path))?;
            let current = fs::metadata(path).map_err(EditError::io("reading", path))?;
            if (held.dev(), held.ino()) == (current.dev(), current.ino()) {
                return Ok(Locked { file, path: path.to_owned() });
            }
        }
    }

    /// The text, as [`read`] gives it.
    pub(super) fn read(&self) -> Result<Vec<u8>, EditError> {
        read_all(&self.file).map_err(EditError::io("reading", &self.path))
    }

    /// Puts `text` in the file's place at one stroke, with its owner and mode: a power failure leaves the
    /// old text or the new.
    pub(super) fn replace(self, text: &[u8]) -> Result<(), EditError> {
        let mut name = OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".diswall-new");
        let temporary = self.path.with_file_name(name);
        let written = self.write(&temporary, text).map_err(EditError::io("writing", &temporary));
        let renamed =
            written.and_then(|()| fs::rename(&temporary, &self.path).map_err(EditError::io("replacing", &self.path)));
        if renamed.is_err() {
            // Best effort: the error that counts is the one above.
            let _ = fs::remove_file(&temporary);
            return renamed;
        }
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(EditError::io("syncing", directory))
    }

    fn write(&self, temporary: &Path, text: &[u8]) -> io::Result<()> {
        // While the lock is held, a file of this name is what a killed edit left behind.
        match fs::remove_file(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let old = self.file.metadata()?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
        file.write_all(text)?;
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
        file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
        file.sync_all()
    }
}
