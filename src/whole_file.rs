//! Files that are whole or not at all: written beside the old one, brought to the medium and renamed over it, and a
//! checksum for what is inside.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes a file for its owner's eyes alone, through to the medium. The directory is made if it is missing.
///
/// # Errors
/// Those of the file system, with the path in them; the old file is then still there.
pub fn replace(path: &Path, write: &mut dyn FnMut(&mut File) -> io::Result<()>) -> io::Result<()> {
    let temporary = with_ending(path, ".new");
    let named = |error| naming(&temporary, "cannot write", error);
    let directory = directory(path);
    fs::create_dir_all(directory).map_err(|error| naming(directory, "cannot make", error))?;
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary).map_err(named)?;
    if let Err(error) = write(&mut file).and_then(|()| file.sync_all()) {
        // A full disk is no place for half a file; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&temporary);
        return Err(named(error));
    }
    fs::rename(&temporary, path).map_err(|error| naming(path, "cannot replace", error))?;
    // The rename is in the directory, which has to reach the medium too.
    File::open(directory).and_then(|directory| directory.sync_all())
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path with something behind it.
pub fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The error with the path in it.
pub fn naming(path: &Path, what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

/// CRC-32 as in Ethernet and gzip: enough to tell a truncated or damaged file, which is all it is for.
#[derive(Debug)]
pub struct Crc(u32);

impl Crc {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let (mut value, mut bit) = (byte as u32, 0);
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[byte] = value;
            byte += 1;
        }
        table
    };

    /// Of nothing yet.
    pub fn new() -> Crc {
        Crc(u32::MAX)
    }

    /// These too.
    pub fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 >> 8 ^ Crc::TABLE[usize::from(self.0 as u8 ^ byte)];
        }
    }

    /// The sum.
    pub fn value(&self) -> u32 {
        !self.0
    }
}
