//! What is wrong with a reporter's messages, said once and then counted: a flood of rubbish is one line.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::warn;

/// How long the same is not said again.
const QUIET: Duration = Duration::from_secs(600);

/// Reporters and matters that are remembered.
const MOST: usize = 4096;

/// Of whom, and what.
type Matter = (String, &'static str);

/// See the module's head. When each was said last, and how often it came up since.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<HashMap<Matter, (Instant, u64)>>);

impl Complaints {
    /// `what` is a sentence's end, as in "alice: …".
    pub fn about(&self, login: &str, matter: &'static str, what: impl FnOnce() -> String) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (since, _)| since.elapsed() < QUIET);
            if known.len() >= MOST {
                known.clear();
            }
        }
        match known.entry((login.to_owned(), matter)) {
            Entry::Vacant(entry) => {
                entry.insert((Instant::now(), 0));
            }
            Entry::Occupied(mut entry) => {
                let (since, more) = entry.get_mut();
                *more += 1;
                if since.elapsed() < QUIET {
                    return;
                }
                let more = std::mem::take(more);
                *since = Instant::now();
                warn!("{login}: {} ({more} of the kind since it was last said)", what());
                return;
            }
        }
        warn!("{login}: {}", what());
    }
}
