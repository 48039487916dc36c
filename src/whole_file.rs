//! Files that are whole or not at all: written beside the old one, brought to the medium and renamed over it, and a
//! checksum for what is inside.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::own;

/// Writes a file for its owner's eyes alone, through to the medium. The directory is made if it is missing.
///
/// # Errors
/// Those of the file system, with the path in them, and [`own::check`]'s; the old file is then still there.
pub fn replace(path: &Path, write: &mut dyn FnMut(&mut File) -> io::Result<()>) -> io::Result<()> {
    let temporary = with_ending(path, ".new");
    let named = |error| naming(&temporary, "cannot write", error);
    let directory = directory(path);
    own::check(directory)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        let of = |bytes: &[u8]| {
            let mut crc = Crc::new();
            crc.add(bytes);
            crc.value()
        };
        assert_eq!(of(b"123456789"), 0xcbf4_3926);
        assert_eq!(of(b""), 0);
    }

    #[test]
    fn root_writes_no_file_where_others_could_have_put_a_link() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let directory = tempfile::Builder::new().prefix("diswall-").tempdir().unwrap();
        let (place, victim) = (directory.path().join("place"), directory.path().join("victim"));
        fs::create_dir(&place).unwrap();
        fs::write(&victim, "root's").unwrap();
        symlink(&victim, place.join("file.new")).unwrap();
        let write = || replace(&place.join("file"), &mut |file: &mut File| file.write_all(b"ours"));
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(write().is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"root's");
        fs::remove_file(place.join("file.new")).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        write().unwrap();
        assert_eq!(fs::read(place.join("file")).unwrap(), b"ours");
    }
}
