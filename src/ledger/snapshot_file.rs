//! The snapshot on disk: written whole beside the old one and renamed over it, so that a crash or a power
//! cut leaves the old or the new one, never half of one; set aside when it cannot be read.
//!
//! The only file of the ledger that touches the disk. The daemon calls it, at start and stop and as often
//! as the medium bears.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Ledger, Moment, Restored, SnapshotError, Totals};
use crate::whole_file::{self, naming, with_ending};

/// Writes the snapshot for its owner's eyes alone, through to the medium. The directory is made if it is
/// missing. `wall` in Unix seconds, 0 if unknown; `words` as in [`Ledger::save`].
///
/// # Errors
/// Those of the file system, with the path in them; the old snapshot is then still there.
pub fn write(path: &Path, ledger: &Ledger, (now, wall, words): (Moment, u64, bool), totals: &Totals) -> io::Result<()> {
    whole_file::replace(path, &mut |file| ledger.save(now, wall, words, totals, file))
}

/// What [`read`] found.
#[derive(Debug)]
pub enum Found {
    /// There is no snapshot.
    Nothing,
    /// This one.
    Snapshot(Box<Restored>),
    /// One that cannot be read: why, and where it has been put (the former one there is gone).
    SetAside {
        /// What is wrong with it.
        error: SnapshotError,
        /// Its new name.
        path: PathBuf,
    },
}

/// Reads the snapshot. `wall` in Unix seconds, `None` if the clock is known to be wrong.
///
/// # Errors
/// Those of the file system, with the path in them. What is wrong inside the file is no error: it is set
/// aside, and the daemon starts with an empty ledger.
pub fn read(path: &Path, now: Moment, wall: Option<u64>, max_entries: u32) -> io::Result<Found> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(naming(path, "cannot open", error)),
    };
    match Ledger::restore(&mut file, now, wall, max_entries) {
        Ok(restored) => Ok(Found::Snapshot(Box::new(restored))),
        Err(SnapshotError::Io(error)) => Err(naming(path, "cannot read", error)),
        Err(error) => {
            let aside = with_ending(path, ".damaged");
            fs::rename(path, &aside).map_err(|error| naming(path, "cannot set aside", error))?;
            Ok(Found::SetAside { error, path: aside })
        }
    }
}
