//! Keeps the ledger over restarts: reads snapshot and record at start, writes them when it is worth it.
//!
//! The snapshot has everything. In RAM a copy every ten minutes costs nothing and survives a crash; flash
//! wears, so there it is written at most every twelve hours, and at the stop. The record is small and on
//! flash: what was said by command is in it before the command is answered, what the router saw itself, and
//! what the owner's host names stand for, every hour and at the stop. The days of the report go with the snapshot, so that
//! neither counts what the other has; of them flash gets a copy once a day and at the stop.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;

use super::clock;
use super::days::Days;
use super::former::{self, Former};
use crate::control::protocol::Part;
use crate::ledger::record_file::RecordFile;
use crate::ledger::snapshot_file::{self, Found};
use crate::ledger::{Clocks, Ledger, Moment, Totals, Word, read_record, record_frame};
use crate::limiter;
use crate::own;
use crate::whole_file;

/// Name of the file in `state_dir`.
const FILE: &str = "ledger";

/// Name of the record: there too where the owner chose the directory, else in [`own::KEPT`].
const RECORD: &str = "record";

/// Name of the report's record: beside the snapshot, and its copy beside the other record.
const DAYS: &str = "days";

/// Time between two copies of it on flash.
const DAYS_COPY: Duration = Duration::from_secs(86_400);

/// Most bytes of it that are read.
const DAYS_MOST: u64 = 128 << 10;

/// Time between two looks at what the router saw itself.
const OWN: Duration = Duration::from_secs(3600);

/// A wall clock that was set by more than so many seconds is noted in the record.
const SET: i64 = 60;

/// Time between copies in RAM; elsewhere [`own::FLASH`].
const RAM: Duration = Duration::from_secs(600);

/// When and where the ledger is written.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    step: Duration,
    due: Instant,
    /// Which directory that name leads to, by device and number; `None`: none.
    place: Option<(u64, u64)>,
    /// Something has changed since the last copy.
    changed: bool,
    /// Why the last copy failed.
    pub trouble: Option<String>,
    record: RecordFile,
    /// Why what is said by command would not outlive a power cut.
    unkept: Option<String>,
    /// The record that was read had what was said.
    had_words: bool,
    own_due: Instant,
    /// Bans of the router's own that began later are not in the record yet.
    own_since: Moment,
    /// Something has changed since the last look at them.
    own_changed: bool,
    /// The wall clock less the ledger's, as the record knows it.
    offset: i64,
    /// What the owner's host names stand for, and whether the record knows all of it.
    names: Names,
    names_kept: bool,
    /// Where the report's days are, the newer one first, and when the last of them is due.
    days: Vec<PathBuf>,
    days_due: Instant,
    /// Where it was before.
    former: Former,
    /// What was there is in snapshot and days here, as far as they can be written.
    is_moved: bool,
}

/// Host names with their addresses.
pub type Names = BTreeMap<Box<str>, Vec<IpNet>>;

/// What was kept.
pub struct Kept {
    /// The ledger as it was; empty if nothing was kept.
    pub ledger: Ledger,
    /// Running totals of the daemon.
    pub totals: Totals,
    /// The last answers to the owner's host names.
    pub names: Names,
    /// The report's days.
    pub days: Days,
}

impl Keeper {
    /// For this directory, which is made when it is first written to.
    pub fn new(state_dir: &Path) -> Keeper {
        let step = if own::is_in_ram(state_dir) { RAM } else { own::FLASH };
        let is_default = state_dir == crate::config::Main::default().state_dir;
        let directory = if is_default { Path::new(own::KEPT) } else { state_dir };
        Keeper {
            path: state_dir.join(FILE),
            step,
            due: Instant::now() + step,
            place: place_of(state_dir),
            changed: false,
            trouble: None,
            record: RecordFile::new(directory.join(RECORD)),
            unkept: None,
            had_words: false,
            own_due: Instant::now() + OWN,
            own_since: before(clock::now()),
            own_changed: false,
            offset: offset(),
            names: Names::new(),
            names_kept: true,
            days: if directory == state_dir {
                vec![state_dir.join(DAYS)]
            } else {
                vec![state_dir.join(DAYS), directory.join(DAYS)]
            },
            days_due: Instant::now() + DAYS_COPY,
            former: Former::default(),
            is_moved: false,
        }
    }

    /// For the directory that this configuration names, which may have been another when the daemon stopped.
    pub fn begin(config: &Path, state_dir: &Path) -> Keeper {
        Keeper { former: Former::noted(config, state_dir), ..Keeper::new(state_dir) }
    }

    /// From now on for this directory.
    pub fn move_to(&mut self, state_dir: &Path) {
        let mut new = Keeper { names: std::mem::take(&mut self.names), ..Keeper::new(state_dir) };
        std::mem::swap(&mut new.former, &mut self.former);
        new.former.leave_behind(self.directory(), state_dir);
        *self = new;
    }

    /// Whether anything is kept there.
    fn has_any(&self) -> bool {
        self.path.exists() || self.record.path().exists()
    }

    fn files(&self) -> Vec<&Path> {
        [self.path.as_path(), self.record.path()].into_iter().chain(self.days.iter().map(PathBuf::as_path)).collect()
    }

    /// Writes all where it has not been written yet: what is left in the place where it was is old from then on, and goes.
    pub fn settle(&mut self, ledger: &Ledger, (totals, days): (&Totals, &Days)) {
        self.is_moved = true;
        if self.former.fullest().is_none() {
            // Only the note may be missing.
            return self.leave();
        }
        let before = self.trouble.take();
        self.write_snapshot(ledger, totals);
        self.trouble = self.trouble.take().or(before);
        self.write_days(days, true);
        self.renew(ledger);
    }

    /// Once the record is whole here: without it the former place is read at the next start.
    fn leave(&mut self) {
        if !self.is_moved || self.unkept.is_some() {
            return;
        }
        let directory = self.directory().to_path_buf();
        for place in self.former.settle(&directory) {
            former::clear(&place, &Keeper::new(&place).files(), &self.files());
        }
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Notes early where a copy could not be written: on flash the first one is due in twelve hours.
    pub fn look(&mut self) {
        if let Err(error) = own::check(self.directory()) {
            self.trouble.get_or_insert(format!("bans cannot be kept over a restart: {error}"));
        }
        let directory = own::existing(self.directory());
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

    /// Reads what is there, or what the place had that all was in last. Whatever is wrong with it is said in the log, and
    /// what can be read is taken.
    pub fn read(&mut self, max_entries: u32) -> Kept {
        let last = self.former.fullest().map(Keeper::new).filter(Keeper::has_any);
        let Some(mut last) = last else {
            let kept = self.recall(max_entries);
            self.renew(&kept.ledger);
            return kept;
        };
        log::info!("state_dir was {} before: what is kept there goes along", last.directory().display());
        let kept = last.recall(max_entries);
        (self.had_words, self.names, self.trouble) = (last.had_words, last.names, last.trouble);
        self.unkept = last.unkept;
        kept
    }

    fn recall(&mut self, max_entries: u32) -> Kept {
        let (mut kept, words_of) = self.read_snapshot(max_entries);
        match self.may_record().and_then(|()| self.record.read()) {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                let mut record = read_record(&bytes, clocks());
                kept.names = std::mem::take(&mut record.names);
                self.names.clone_from(&kept.names);
                if record.lost > 0 {
                    let aside = self.record.set_aside();
                    let text = format!(
                        "{} bytes of the record could not be read; as it was: {}",
                        record.lost,
                        aside.display()
                    );
                    log::warn!("{text}");
                    self.trouble = Some(text);
                }
                // A snapshot that was written while the record could not be has what the record lacks.
                let words = !record.is_empty() && words_of.is_none_or(|written| written < record.newest);
                self.had_words = words;
                kept.ledger.recall(clock::now(), record, words);
            }
            Err(error) => self.unkept = Some(not_kept(&error)),
        }
        kept.days = self.days.iter().find_map(|path| read_days(path)).unwrap_or_default();
        kept
    }

    /// The snapshot, and when it was written if it knows more of what was said than the record.
    fn read_snapshot(&mut self, max_entries: u32) -> (Kept, Option<u64>) {
        let (now, wall) = (clock::now(), clock::wall());
        let nothing = Kept {
            ledger: Ledger::new(max_entries),
            totals: Totals::new(),
            names: Names::new(),
            days: Days::default(),
        };
        if own::check(self.directory()).is_err() {
            // `look` says why.
            return (nothing, None);
        }
        match snapshot_file::read(&self.path, now, Some(wall).filter(|wall| *wall > 0), max_entries) {
            Ok(Found::Nothing) => (nothing, None),
            Ok(Found::Snapshot(restored)) => {
                let away = restored.away.map_or("a time that the clock cannot tell".into(), |seconds| {
                    crate::duration::text(seconds.into())
                });
                log::info!("bans restored from {}, written {away} ago", self.path.display());
                let words_of = (!restored.words).then_some(restored.wall);
                (
                    Kept {
                        ledger: restored.ledger,
                        totals: restored.totals,
                        names: Names::new(),
                        days: Days::default(),
                    },
                    words_of,
                )
            }
            Ok(Found::SetAside { error, path }) => {
                self.trouble =
                    Some(format!("the kept bans could not be read ({error}); set aside as {}", path.display()));
                (nothing, None)
            }
            Err(error) => {
                self.trouble = Some(format!("the kept bans could not be read: {error}"));
                (nothing, None)
            }
        }
    }

    /// Puts a word that the ledger has taken in on the medium. Where that fails, [`Keeper::unkept`] says why.
    pub fn said(&mut self, ledger: &Ledger, word: Word<'_>) {
        let frame = record_frame(clocks(), word);
        match self.append(&frame) {
            // Where the new one cannot be written, the old one stands.
            Ok(()) if self.record.has_grown() => drop(self.write_record(ledger)),
            Ok(()) => {}
            Err(_) => self.renew(ledger),
        }
    }

    fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        self.may_record()?;
        self.record.append(frames)
    }

    /// Whether all that was said by command before the start has been read.
    pub fn had_words(&self) -> bool {
        self.had_words
    }

    /// Why what is said by command would not outlive a power cut; `None`: it would.
    pub fn unkept(&self) -> Option<&str> {
        self.unkept.as_deref()
    }

    fn may_record(&mut self) -> io::Result<()> {
        if self.record.path().parent() == Some(self.directory()) {
            return self.may_write();
        }
        self.record.path().parent().map_or(Ok(()), own::check)
    }

    /// A disk that is mounted after the start has what was kept of former days. It has not been read, and must not be
    /// written over.
    fn may_write(&mut self) -> io::Result<()> {
        own::check(self.directory())?;
        let now = place_of(self.directory());
        if now != self.place && self.has_any() {
            let text = format!(
                "{} is another directory than at the start, with bans in it that have not been read: /etc/init.d/diswall \
                 restart reads them",
                self.directory().display()
            );
            return Err(io::Error::other(text));
        }
        self.place = now;
        Ok(())
    }

    /// The first that is written there makes it.
    fn note_place(&mut self) {
        self.place = place_of(self.directory());
    }

    /// Writes the record anew.
    pub fn renew(&mut self, ledger: &Ledger) {
        let unkept = self.write_record(ledger).err().map(|error| not_kept(&error));
        if let Some(text) = unkept.as_ref().filter(|_| unkept != self.unkept) {
            limiter::warn(("keep", "record"), || text.clone());
        }
        self.unkept = unkept;
        self.leave();
    }

    fn write_record(&mut self, ledger: &Ledger) -> io::Result<()> {
        let clocks = clocks();
        self.may_record()?;
        let mut bytes = ledger.record(clocks);
        bytes.extend(self.names_record(clocks));
        self.record.replace(&bytes)?;
        self.note_place();
        self.names_kept = true;
        (self.own_since, self.own_changed, self.offset) = (before(clocks.now), false, offset());
        Ok(())
    }

    fn names_record(&self, clocks: Clocks) -> Vec<u8> {
        self.names.iter().flat_map(|(name, nets)| record_frame(clocks, Word::Name { name, nets })).collect()
    }

    /// What the owner's host names stand for now. A first answer is kept at once, another within the hour: those of
    /// some names change every minute.
    pub fn note_names(&mut self, ledger: &Ledger, names: Names) {
        if names == self.names {
            return;
        }
        let first = names.keys().any(|name| !self.names.contains_key(name));
        self.names = names;
        if first {
            return self.renew(ledger);
        }
        (self.names_kept, self.own_changed) = (false, true);
    }

    /// Notes in the record that the wall clock has been set, so that what was said before keeps its time.
    pub fn note_clock(&mut self) {
        let offset = offset();
        if self.unkept.is_none() && (offset - self.offset).abs() > SET {
            self.offset = offset;
            // The next word says it too.
            let _ = self.append(&record_frame(clocks(), Word::Clock));
        }
    }

    fn keep_own(&mut self, ledger: &Ledger) {
        self.own_due = Instant::now() + OWN;
        self.own_changed = false;
        let clocks = clocks();
        let mut frames = ledger.record_of_own(clocks, Some(self.own_since)).unwrap_or_default();
        if !std::mem::replace(&mut self.names_kept, true) {
            frames.extend(self.names_record(clocks));
        }
        if !frames.is_empty() && (self.append(&frames).is_err() || self.record.has_grown()) {
            return self.renew(ledger);
        }
        self.own_since = before(clocks.now);
    }

    /// Whether all could be written so far.
    pub fn keeps(&self) -> bool {
        self.trouble.is_none() && self.unkept.is_none()
    }

    /// Whether a restart forgets nothing.
    pub fn part(&self) -> Part {
        match self.trouble.as_ref().or(self.unkept.as_ref()) {
            None => Part::in_force("keep"),
            Some(why) => {
                let kept = self.record.path().parent().map_or(Ok(()), own::check);
                let remedy = match own::check(self.directory()).and(kept) {
                    Ok(()) => "make room there, or set `state_dir` to a place that has some",
                    Err(_) => own::remedy(),
                };
                Part::broken("keep", why).losing("bans are forgotten at the next restart").remedied(remedy)
            }
        }
    }

    /// The ledger has changed.
    pub fn note_change(&mut self) {
        (self.changed, self.own_changed) = (true, true);
    }

    /// The report's days have changed, which is worth a copy, and not at once.
    pub fn note_days(&mut self) {
        self.changed = true;
    }

    /// When [`Keeper::write`] is due; `None` while nothing has changed.
    pub fn due(&self) -> Option<Instant> {
        let own = self.own_changed.then_some(self.own_due);
        self.changed.then_some(self.due).into_iter().chain(own).min()
    }

    /// Writes what is due; at the stop, all.
    pub fn write(&mut self, ledger: &Ledger, (totals, days): (&Totals, &Days), stops: bool) {
        if stops || self.own_changed && self.own_due <= Instant::now() {
            self.note_clock();
            self.keep_own(ledger);
        }
        if stops || self.changed && self.due <= Instant::now() {
            self.write_snapshot(ledger, totals);
            self.write_days(days, stops);
        }
    }

    fn write_days(&mut self, days: &Days, stops: bool) {
        let copies = stops || self.days_due <= Instant::now();
        if copies {
            self.days_due = Instant::now() + DAYS_COPY;
        }
        let bytes = days.to_bytes();
        if self.may_write().is_err() {
            // The snapshot says why.
            return;
        }
        for path in self.days.iter().take(if copies { 2 } else { 1 }) {
            // A report that begins anew is no reason to call the protection broken; `trouble` says what the disk lacks.
            if let Err(error) = whole_file::replace(path, &mut |file| file.write_all(&bytes)) {
                limiter::warn(("keep", "days"), || format!("the report's record cannot be kept: {error}"));
            }
        }
    }

    fn write_snapshot(&mut self, ledger: &Ledger, totals: &Totals) {
        self.due = Instant::now() + self.step;
        self.changed = false;
        let about = (clock::now(), clock::wall(), self.unkept.is_none());
        let written = self.may_write().and_then(|()| snapshot_file::write(&self.path, ledger, about, totals));
        if written.is_ok() {
            self.note_place();
        }
        let trouble = written.err().map(|error| format!("bans cannot be kept over a restart: {error}"));
        if let Some(text) = trouble.as_ref().filter(|_| trouble != self.trouble) {
            limiter::warn(("keep", "snapshot"), || text.clone());
        }
        self.trouble = trouble;
    }
}

fn place_of(directory: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(directory).ok().map(|found| (found.dev(), found.ino()))
}

/// `None`: there is none that can be read.
fn read_days(path: &Path) -> Option<Days> {
    path.parent().map_or(Ok(()), own::check).ok()?;
    if std::fs::symlink_metadata(path).ok()?.len() > DAYS_MOST {
        return None;
    }
    let days = Days::from_bytes(&std::fs::read(path).ok()?);
    if days.is_none() {
        log::warn!("{}: damaged; the report begins anew", path.display());
    }
    days
}

/// Bans that begin later within a second count as after it.
fn before(now: Moment) -> Moment {
    Moment(now.0.saturating_sub(1))
}

fn not_kept(error: &io::Error) -> String {
    format!("what is banned or allowed by command will not outlive a power cut: {error}")
}

fn clocks() -> Clocks {
    Clocks { boot: boot(), wall: clock::wall(), now: clock::now() }
}

/// The wall clock less the ledger's.
fn offset() -> i64 {
    i64::try_from(clock::wall()).unwrap_or(i64::MAX).saturating_sub(i64::from(clock::now().0))
}

/// A number of this boot of the machine: the head of the kernel's random name for it; 0 if it has none.
fn boot() -> u32 {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.get(..8).and_then(|head| u32::from_str_radix(head, 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    fn root_is_not_told_to_give_the_directory_away() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let scratch = tempfile::Builder::new().prefix("diswall").tempdir().unwrap();
        let remedy = |owner: u32| {
            chown(scratch.path(), Some(owner), None).unwrap();
            let mut keeper = Keeper::new(scratch.path());
            keeper.look();
            keeper.part().remedy
        };
        assert_eq!(remedy(0), None);
        let said = remedy(914).unwrap();
        assert!(said.contains("chown root:root") && !said.contains("chown diswall"), "{said}");
    }
}
