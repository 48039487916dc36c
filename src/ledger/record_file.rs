//! The record on disk: appended and brought to the medium at each word, written anew beside the old one and
//! renamed over it. A failed append is cut off again, so that the file ends with a whole frame.
//!
//! Beside `snapshot_file` the only file of the ledger that touches the disk. The daemon calls it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::RECORD_MAX;
use crate::whole_file::{self, naming, with_ending};

/// A record that is smaller than this is not written anew for its size.
const SMALL: u64 = 16 * 1024;

/// See the module's head.
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    /// It has been written as a whole, and every append since has come to its end. The file is not held open: an
    /// overlay could not be made read-only then.
    whole: bool,
    length: u64,
    /// The length at which it is to be written anew.
    grown: u64,
    /// Bytes given to the medium, and how often.
    pub written: u64,
    /// See `written`.
    pub syncs: u64,
}

impl RecordFile {
    /// For this file; nothing is touched yet.
    pub fn new(path: PathBuf) -> RecordFile {
        RecordFile { path, whole: false, length: 0, grown: 0, written: 0, syncs: 0 }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is there; `None`: there is no such file.
    ///
    /// # Errors
    /// Those of the file system, with the path in them.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let most = 2 * RECORD_MAX as u64;
        match File::open(&self.path).and_then(|file| file.take(most).read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(naming(&self.path, "cannot read", error)),
        }
    }

    /// Sets aside what is there. That it cannot be moved changes nothing: it is written over then.
    pub fn set_aside(&self) -> PathBuf {
        let aside = with_ending(&self.path, ".damaged");
        let _ = fs::rename(&self.path, &aside);
        aside
    }

    /// Appends a frame, on the medium when this returns.
    ///
    /// # Errors
    /// It is not there then; the file is to be written anew.
    pub fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        if !std::mem::take(&mut self.whole) {
            return Err(io::Error::other("the record is not whole"));
        }
        let named = |error| naming(&self.path, "cannot write", error);
        let mut file = OpenOptions::new().append(true).open(&self.path).map_err(named)?;
        if let Err(error) = file.write_all(frame).and_then(|()| file.sync_data()) {
            // Half a frame in front of the next one would cost nothing but its bytes.
            let _ = file.set_len(self.length);
            return Err(named(error));
        }
        self.whole = true;
        self.length += frame.len() as u64;
        self.written += frame.len() as u64;
        self.syncs += 1;
        Ok(())
    }

    /// Whether it has grown so much that it is worth writing anew.
    pub fn has_grown(&self) -> bool {
        self.whole && self.length > self.grown
    }

    /// Writes the whole, on the medium when this returns.
    ///
    /// # Errors
    /// Those of the file system, with the path in them; the old file is there still.
    pub fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > RECORD_MAX {
            return Err(io::Error::other(format!("the record would be larger than {} MiB", RECORD_MAX >> 20)));
        }
        whole_file::replace(&self.path, &mut |file| file.write_all(bytes))?;
        self.whole = true;
        self.length = bytes.len() as u64;
        self.grown = (2 * self.length).clamp(SMALL, RECORD_MAX as u64);
        self.written += self.length;
        self.syncs += 2;
        Ok(())
    }
}
