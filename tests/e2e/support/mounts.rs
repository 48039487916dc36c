//! Mounts that one test sees alone: file systems without room, programs and files put in place of others.

use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};

use super::process::{run, try_run};

/// Gives the thread a mount namespace of its own. A mount goes when its [`Mount`] is dropped.
pub fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace of the test's own (needs root)");
    run("mount", &["--make-rprivate", "/"]);
}

/// Something mounted.
pub struct Mount(PathBuf);

impl Mount {
    /// Puts a directory or file in another one's place.
    pub fn bind(what: &Path, place: &Path) -> Mount {
        run("mount", &["--bind", &what.to_string_lossy(), &place.to_string_lossy()]);
        Mount(place.to_path_buf())
    }

    /// An empty file system in memory.
    pub fn tmpfs(options: &str, place: &Path) -> Mount {
        run("mount", &["-t", "tmpfs", "-o", options, "none", &place.to_string_lossy()]);
        Mount(place.to_path_buf())
    }

    /// What the caller has mounted there.
    pub fn mounted(place: &Path) -> Mount {
        Mount(place.to_path_buf())
    }

    /// Mounts it anew with other options.
    pub fn again(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}"), &self.0.to_string_lossy()]);
    }

    /// Takes every free block.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.join("fill");
        let mut file = std::fs::File::create(&path).expect("a file");
        while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // The namespace's end takes it away too.
        let _ = try_run("umount", &["--lazy", &self.0.to_string_lossy()]);
    }
}
