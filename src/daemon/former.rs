//! Where the state was kept before: it is taken over from there, and what is left there goes. Read one day as if it
//! were of that day, it would bring back what has been taken back since.
//!
//! A note on flash names the place that had it all last, so that one that was changed while the daemon was stopped is
//! found, too. `keeper` is the one that asks.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::config::is_services;
use crate::feed::{dynfw, lists};
use crate::limiter;
use crate::options::value;
use crate::own;
use crate::whole_file;

/// Name of the note in [`own::KEPT`].
const NOTE: &str = "place";

/// The longest path of Linux: a note that is longer is none of ours.
const LONGEST: u64 = 4096;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Former {
    /// Where the note is; `None`: nobody keeps one.
    note: Option<PathBuf>,
    /// What it says.
    noted: Option<PathBuf>,
    /// Places that have what is not all in the present one yet, the fullest first.
    places: Vec<PathBuf>,
}

impl Former {
    /// As the note has it, for a daemon that begins with this configuration. There is room for one: other
    /// configurations than the service's have none.
    pub fn noted(config: &Path, state_dir: &Path) -> Former {
        if !is_services(config) {
            return Former::default();
        }
        let note = Path::new(own::KEPT).join(NOTE);
        let noted = read(&note);
        let places = noted.iter().filter(|noted| !is_same(noted, state_dir)).cloned().collect();
        Former { note: Some(note), noted, places }
    }

    /// The state moves away from there.
    pub fn leave_behind(&mut self, place: &Path, new: &Path) {
        self.places.retain(|each| !is_same(each, new));
        self.places.push(place.to_path_buf());
    }

    /// The place that had all, if it is not the present one.
    pub fn fullest(&self) -> Option<&Path> {
        self.places.first().map(PathBuf::as_path)
    }

    /// All is in this place now, which the note says then; which are the others.
    pub fn settle(&mut self, place: &Path) -> Vec<PathBuf> {
        let unnoted = self.note.as_deref().filter(|_| self.noted.as_deref() != Some(place));
        // Where root has made no directory for it, there is no note.
        if let Some(note) = unnoted.filter(|_| Path::new(own::KEPT).is_dir()) {
            match write(note, place) {
                Ok(()) => self.noted = Some(place.to_path_buf()),
                Err(error) => {
                    limiter::warn(("keep", "place"), || format!("where bans are kept cannot be noted: {error}"));
                }
            }
        }
        std::mem::take(&mut self.places)
    }
}

/// `None`: there is none that can be believed.
fn read(note: &Path) -> Option<PathBuf> {
    own::check(note.parent()?).ok()?;
    if fs::symlink_metadata(note).ok()?.len() > LONGEST {
        return None;
    }
    value::path(fs::read_to_string(note).ok()?.trim_end_matches('\n')).ok()
}

fn write(note: &Path, place: &Path) -> io::Result<()> {
    let text = [place.as_os_str().as_encoded_bytes(), b"\n"].concat();
    whole_file::replace(note, &mut |file| file.write_all(&text))
}

/// Whether both names lead to one file or directory.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// Takes files of the daemon's away but for those that are `here`, and what feeds have laid beside them in `place`.
pub fn clear(place: &Path, files: &[&Path], here: &[&Path]) {
    files.iter().filter(|file| !here.iter().any(|ours| is_same(file, ours))).for_each(|file| remove(file));
    // What they keep on flash lies in one of these places, wherever the state is.
    if is_same(place, Path::new(own::KEPT))
        || here.iter().filter_map(|file| file.parent()).any(|dir| is_same(dir, place))
    {
        return;
    }
    remove(&place.join(dynfw::KEPT));
    lists::forget(place, &[]);
}

fn remove(file: &Path) {
    let removed = file.parent().map_or(Ok(()), own::check).and_then(|()| fs::remove_file(file));
    if let Err(error) = removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }) {
        limiter::warn(("keep", "former"), || {
            format!("{} is no longer used, and cannot be removed: {error}", file.display())
        });
    }
}
