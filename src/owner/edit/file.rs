//! The configuration file on disk: reading it, keeping others out while it is changed, changing it.
//!
//! Used by `edit`, and by `rules --write` through [`super::sweep`]. Three kinds of others are about:
//! - Edits of our own take a lock of root's, elsewhere than in UCI's directory one on the directory, in the order in which they come.
//! - `uci commit` opens the file, waits for its lock, reads it, lets go of it, and only then puts another
//!   file in its place. So an edit does not replace the file, which would leave a waiting `uci` with the old
//!   one: it writes into it. And while a temporary file of `uci`'s is there, its replacement is still to
//!   come, and an edit waits for that.
//! - Readers take a shared lock, as libuci does.
//!
//! A power failure leaves the old text or the new: the new one is on the disk beside the file before it is
//! written into it, and [`super::sweep`] goes on from there.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::EditError;
use crate::config::read::{self, read_all};
use crate::needs;
use crate::own;

/// Longest wait for a lock: fifty edits on flash, and a `uci` between any two.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// A temporary file that nobody has locked for so long is of a `uci` that was killed: one that lives lets go
/// of it and renames it at once.
const ABANDONED: Duration = Duration::from_millis(500);
/// Such a file of that age need not be looked at for so long.
const STALE: Duration = Duration::from_secs(60);

/// Root's own, for UCI's directory: every account may open that, and so hold it locked, and for ever.
const TURN: &str = "/var/run/diswall/edit.lock";

/// Waits for other edits of files in the directory of `path`; they wait until the result is dropped.
pub(super) fn lock_directory(path: &Path) -> Result<File, EditError> {
    let directory = parent(path);
    // Before the service's first start there is no such place.
    let turn = (directory == Path::new(needs::UCI)).then(|| own::turn(Path::new(TURN)));
    let file = match turn {
        Some(Ok(file)) => file,
        _ => File::open(directory).map_err(EditError::io("opening", directory))?,
    };
    lock(&file).map_err(EditError::io("locking", directory))?;
    Ok(file)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// The kernel serves those who wait in their order, which asking again and again would not.
fn lock(file: &File) -> io::Result<()> {
    if file.try_lock().is_ok() {
        return Ok(());
    }
    let (locked, answer) = mpsc::channel();
    let waiting = file.try_clone()?;
    thread::spawn(move || locked.send(waiting.lock()));
    answer
        .recv_timeout(LOCK_WAIT)
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "another program keeps it locked")))
}

/// The file, locked as libuci locks it, and nobody about to replace it.
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
            if commit_is_under_way(path) {
                drop(file);
                wait_for_commits(path);
                continue;
            }
            let locked = Locked { file, path: path.to_owned() };
            if locked.is_in_place()? {
                return Ok(locked);
            }
        }
    }

    /// The text, and one byte more than is accepted where it is longer.
    pub(super) fn read(&self) -> Result<Vec<u8>, EditError> {
        let text = (&self.file).rewind().and_then(|()| read_all(&self.file));
        text.map_err(EditError::io("reading", &self.path))
    }

    /// Writes `new` into the file, which holds `old`. On an error it holds `old` again.
    pub(super) fn write(&self, old: &[u8], new: &[u8]) -> Result<(), EditError> {
        let copy = copy_of(&self.path);
        write_copy(&copy, new).map_err(EditError::io("writing", &copy))?;
        let written = self.put(new);
        if written.is_err() {
            // What was there has room.
            let _ = self.put(old);
        }
        let _ = fs::remove_file(&copy);
        written.map_err(EditError::io("writing", &self.path))
    }

    /// Lets others go on, and says whether the file is `text` all the same: a `uci` that read it before it was written
    /// would put its own in its place now.
    pub(super) fn lasts(self, text: &[u8]) -> Result<bool, EditError> {
        self.file.unlock().map_err(EditError::io("unlocking", &self.path))?;
        wait_for_commits(&self.path);
        Ok(self.is_in_place()? && self.read()? == text && !commit_is_under_way(&self.path))
    }

    /// Whoever had the lock may have put another file in this one's place.
    fn is_in_place(&self) -> Result<bool, EditError> {
        let held = self.file.metadata().map_err(EditError::io("reading", &self.path))?;
        let current = fs::metadata(&self.path).map_err(EditError::io("reading", &self.path))?;
        Ok((held.dev(), held.ino()) == (current.dev(), current.ino()))
    }

    fn put(&self, text: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text)?;
        file.set_len(text.len() as u64)?;
        file.sync_all()
    }
}

/// The file as it is now, whoever holds a lock.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, EditError> {
    read::read_bounded(path).map_err(EditError::io("reading", path))
}

/// Where the new text is while it is written into the file. A name with a dot is no configuration to uci.
fn copy_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".diswall-new");
    path.with_file_name(name)
}

/// On the disk whole, or not under this name.
fn write_copy(copy: &Path, text: &[u8]) -> io::Result<()> {
    let half = copy.with_extension("diswall-half");
    remove_if_there(&half)?;
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&half, copy)?;
        File::open(parent(copy))?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&half);
        let _ = fs::remove_file(copy);
    }
    written
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `uci commit`'s temporary files for `path`.
fn commits(path: &Path) -> Vec<PathBuf> {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".uci-");
    let entries = fs::read_dir(parent(path)).into_iter().flatten().flatten();
    let found = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()));
    found.map(|entry| entry.path()).collect()
}

fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Is there a `uci` that will soon put another file in the place of `path`? It lets go of the lock before.
fn commit_is_under_way(path: &Path) -> bool {
    !commits(path).is_empty()
}

/// Waits until each `uci` that is about to replace `path` has done so. The file of one that was killed is
/// removed.
fn wait_for_commits(path: &Path) {
    let deadline = Instant::now() + LOCK_WAIT;
    let mut waiting = commits(path);
    let mut idle = Instant::now();
    while Instant::now() < deadline {
        waiting.retain(|temporary| temporary.exists());
        if waiting.is_empty() {
            return;
        }
        if waiting.iter().any(|temporary| is_locked(temporary)) {
            idle = Instant::now();
        }
        if idle.elapsed() > ABANDONED {
            waiting.iter().for_each(|temporary| drop(fs::remove_file(temporary)));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Brings to an end what a killed edit, a killed `uci` or a power failure left beside the file at `path`.
/// Root's alone, under the lock of [`lock_directory`].
pub(super) fn clear_away(path: &Path) {
    for temporary in commits(path) {
        if !is_locked(&temporary)
            && fs::metadata(&temporary).is_ok_and(|file| apart(file.modified(), Ok(SystemTime::now())) > STALE)
        {
            let _ = fs::remove_file(temporary);
        }
    }
    let copy = copy_of(path);
    let _ = fs::remove_file(copy.with_extension("diswall-half"));
    if let Ok(new) = fs::read(&copy) {
        if was_interrupted(path, &copy, &new)
            && let Ok(locked) = Locked::open(path)
            && let Err(error) = locked.put(&new)
        {
            log::warn!("{}: {error}", path.display());
            return;
        }
        let _ = fs::remove_file(copy);
    }
}

/// Is the file at `path` what an edit to `new` leaves that was cut off in its middle?
fn was_interrupted(path: &Path, copy: &Path, new: &[u8]) -> bool {
    let (Ok(file), Ok(meta), Ok(copied)) = (fs::read(path), fs::metadata(path), fs::metadata(copy)) else {
        return false;
    };
    let torn = file.len() < new.len() && new.starts_with(&file) || file.contains(&0);
    let at_once = apart(meta.modified(), copied.modified()) < STALE;
    file != new && (torn || at_once && crate::options::uci::sections(&file).1.iter().any(|error| !error.harmless))
}

/// A router's clock jumps: what is of tomorrow is old as well.
fn apart(one: io::Result<SystemTime>, other: io::Result<SystemTime>) -> Duration {
    let (Ok(one), Ok(other)) = (one, other) else { return Duration::MAX };
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}
