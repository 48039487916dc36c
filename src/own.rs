//! Where diswall keeps what is its own, and whether it may write to a directory by the names in it.
//!
//! Root must not where somebody else can put a link under a name that root is about to use. Whoever writes
//! files asks here first: the daemon for its state, the root half for the rules.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// On flash, the daemon's own; root makes it (the init script).
pub const KEPT: &str = "/etc/diswall/kept";

/// Time between two copies of one thing on flash, and on anything that wears or is slow.
pub const FLASH: Duration = Duration::from_secs(12 * 3600);

/// `statfs` magic numbers of file systems that live in RAM: tmpfs, ramfs (`linux/magic.h`).
const IN_RAM: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Whether the directory lives, or would live, in RAM.
pub fn is_in_ram(directory: &Path) -> bool {
    rustix::fs::statfs(existing(directory)).is_ok_and(|stat| IN_RAM.contains(&(stat.f_type as u64)))
}

/// The directory, or the nearest one above it that exists.
pub fn existing(directory: &Path) -> &Path {
    directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}

/// Whether what is written there is nobody's but diswall's affair. Root runs whatever lies in many a directory, and what
/// is written holds words of others: that it is root's own says nothing. Those go by other names.
fn is_for_diswall(directory: &Path) -> bool {
    let place = existing(directory).canonicalize().unwrap_or_default();
    let parts = || directory.iter().chain(&place).map(OsStr::as_encoded_bytes);
    parts().any(|part| part.starts_with(b"diswall")) && !parts().any(|part| part.ends_with(b".d"))
}

/// Opens a file by which root's own commands take turns, and makes it: whoever else could open it could hold it locked,
/// and for ever. It must lie in a directory of root's.
pub fn turn(path: &Path) -> Result<File> {
    let no_link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    File::options().write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link).open(path)
}

/// Whether a file is diswall's own by its path, links resolved. What is not there is anybody's.
pub fn is_named_for_diswall(path: &Path) -> bool {
    let place = path.canonicalize().unwrap_or_default();
    place.iter().any(|part| part.as_encoded_bytes().starts_with(b"diswall"))
}

/// What the owner can do about what [`check`] says of `state_dir`. What root writes to must be root's.
pub fn remedy() -> &'static str {
    if rustix::process::geteuid().is_root() {
        "set `state_dir` to a directory that is not there yet, such as /srv/diswall, or, where its path is as it should be, \
         give it back to root alone (chown root:root, chmod 755)"
    } else {
        "give the directory to diswall (chown diswall), or set `state_dir` to one of its own: /etc/diswall/kept, or one that \
         is not there yet"
    }
}

/// Nothing is wrong with a directory that is not there yet.
///
/// # Errors
/// A sentence: as root, others can write to it, or it may be where root looks for what to run; as anybody else, diswall
/// cannot write.
pub fn check(directory: &Path) -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    if root && !is_for_diswall(directory) {
        let why =
            "diswall runs as root, and writes only where a part of the path begins with diswall and none ends in .d";
        return Err(Error::new(ErrorKind::PermissionDenied, format!("{}: {why}", directory.display())));
    }
    let Ok(found) = fs::metadata(directory) else { return Ok(()) };
    let why = if root {
        let others = found.uid() != 0 || found.mode() & 0o002 != 0 || found.mode() & 0o020 != 0 && found.gid() != 0;
        others.then_some("others than root can write to it, and diswall runs as root")
    } else {
        let denied = rustix::fs::access(directory, rustix::fs::Access::WRITE_OK) == Err(rustix::io::Errno::ACCESS);
        denied.then_some("it was there before and is not diswall's own; one that is not there yet is made at the start")
    };
    match why {
        Some(why) => Err(Error::new(ErrorKind::PermissionDenied, format!("{}: {why}", directory.display()))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    #[test]
    fn root_writes_where_root_alone_can() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("diswall-place");
        assert!(check(&place).is_ok(), "not there yet");
        fs::create_dir(directory.path().join("dnsmasq.d")).unwrap();
        symlink(directory.path().join("dnsmasq.d"), directory.path().join("diswall")).unwrap();
        for other in ["place", "dnsmasq.d/diswall", "diswall/x", "my-diswall", ""] {
            assert!(check(&directory.path().join(other)).is_err(), "{other}");
        }
        fs::create_dir(&place).unwrap();
        for (uid, gid, mode, fine) in [
            (0, 0, 0o755, true),
            (0, 0, 0o770, true),
            (0, 914, 0o750, true),
            (0, 914, 0o1775, false),
            (0, 0, 0o1777, false),
            (914, 0, 0o700, false),
        ] {
            chown(&place, Some(uid), Some(gid)).unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(check(&place).is_ok(), fine, "{uid}:{gid} {mode:o}");
        }
    }
}
