//! Keeps the ledger over restarts: reads the snapshot at start, writes it when it is worth it.
//!
//! In RAM a copy every ten minutes costs nothing and survives a crash; flash wears, so there it is
//! written at most every twelve hours, and at the stop.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::clock;
use crate::control::protocol::Part;
use crate::ledger::snapshot_file::{self, Found};
use crate::ledger::{Ledger, Totals};
use crate::own;

/// Name of the file in `state_dir`.
const FILE: &str = "ledger";

/// Time between copies in RAM, and on anything that wears or is slow.
const RAM: Duration = Duration::from_secs(600);
const FLASH: Duration = Duration::from_secs(12 * 3600);

/// `statfs` magic numbers of file systems that live in RAM: tmpfs, ramfs (`linux/magic.h`).
const IN_RAM: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// When and where the ledger is written.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    step: Duration,
    due: Instant,
    /// Something has changed since the last copy.
    changed: bool,
    /// Why the last copy failed.
    pub trouble: Option<String>,
}

/// What was kept.
pub struct Kept {
    /// The ledger as it was; empty if nothing was kept.
    pub ledger: Ledger,
    /// Running totals of the daemon.
    pub totals: Totals,
}

impl Keeper {
    /// For this directory, which is made when it is first written to.
    pub fn new(state_dir: &Path) -> Keeper {
        let step = if is_in_ram(state_dir) { RAM } else { FLASH };
        Keeper { path: state_dir.join(FILE), step, due: Instant::now() + step, changed: false, trouble: None }
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Notes early where a copy could not be written: on flash the first one is due in twelve hours.
    pub fn look(&mut self) {
        if let Err(error) = own::check(self.directory()) {
            self.trouble.get_or_insert(format!("bans cannot be kept over a restart: {error}"));
        }
        let directory = existing(self.directory());
        let Ok(stat) = rustix::fs::statvfs(directory) else { return };
        let why = if stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            "is on a read-only file system"
        } else if stat.f_blocks > 0 && stat.f_bavail == 0 {
            "is on a full file system"
        } else {
            return;
        };
        let text = format!("bans cannot be kept over a restart: {} {why}", directory.display());
        self.trouble.get_or_insert(text);
    }

    /// Reads what is there. Whatever is wrong with it is said in the log, and the ledger begins empty.
    pub fn read(&mut self, max_entries: u32) -> Kept {
        let (now, wall) = (clock::now(), clock::wall());
        let nothing = Kept { ledger: Ledger::new(max_entries), totals: Totals::new() };
        if own::check(self.directory()).is_err() {
            // `look` says why.
            return nothing;
        }
        match snapshot_file::read(&self.path, now, Some(wall).filter(|wall| *wall > 0), max_entries) {
            Ok(Found::Nothing) => nothing,
            Ok(Found::Snapshot(restored)) => {
                let away = restored.away.map_or("a time that the clock cannot tell".into(), |seconds| {
                    crate::cli::duration_text(seconds.into())
                });
                log::info!("bans restored from {}, written {away} ago", self.path.display());
                Kept { ledger: restored.ledger, totals: restored.totals }
            }
            Ok(Found::SetAside { error, path }) => {
                self.trouble =
                    Some(format!("the kept bans could not be read ({error}); set aside as {}", path.display()));
                nothing
            }
            Err(error) => {
                self.trouble = Some(format!("the kept bans could not be read: {error}"));
                nothing
            }
        }
    }

    /// Whether a restart forgets nothing.
    pub fn part(&self) -> Part {
        match &self.trouble {
            None => Part::in_force("keep"),
            Some(why) => Part::broken("keep", why)
                .losing("bans are forgotten at the next restart")
                .remedied("make room there, or set `state_dir` to a directory that can be written"),
        }
    }

    /// The ledger has changed.
    pub fn note_change(&mut self) {
        self.changed = true;
    }

    /// When the next copy is due; `None` while nothing has changed.
    pub fn due(&self) -> Option<Instant> {
        self.changed.then_some(self.due)
    }

    /// Writes a copy.
    pub fn write(&mut self, ledger: &Ledger, totals: &Totals) {
        self.due = Instant::now() + self.step;
        self.changed = false;
        let written = own::check(self.directory())
            .and_then(|()| snapshot_file::write(&self.path, ledger, clock::now(), clock::wall(), totals));
        let trouble = written.err().map(|error| format!("bans cannot be kept over a restart: {error}"));
        if let Some(text) = trouble.as_ref().filter(|_| trouble != self.trouble) {
            log::warn!("{text}");
        }
        self.trouble = trouble;
    }
}

/// Whether the directory lives, or would live, in RAM.
fn is_in_ram(directory: &Path) -> bool {
    rustix::fs::statfs(existing(directory)).is_ok_and(|stat| IN_RAM.contains(&(stat.f_type as u64)))
}

/// The directory, or the nearest one above it that exists.
fn existing(directory: &Path) -> &Path {
    directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}
