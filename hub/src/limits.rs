//! How much one login may report in an hour, wherever its reports arrive.
//!
//! The number stands in nats-server, so that several hubs count together; here is only what is known of it, so that
//! a flood costs a look into a table and nothing else.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::store::{Put, Store};

/// Logins that are remembered; a nats-server with more forgets and asks again.
const MOST: usize = 65_536;

const HOUR: u64 = 3600;

/// See the module's head.
#[derive(Debug)]
pub struct Limits {
    most: u32,
    /// Which hour, how many in it.
    known: Mutex<HashMap<String, (u64, u32)>>,
}

impl Limits {
    /// At most so many an hour.
    pub fn new(most: u32) -> Limits {
        Limits { most, known: Mutex::default() }
    }

    /// Whether it is certain already that the login has no report left.
    pub fn used_up(&self, login: &str, now: u64) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(login).is_some_and(|(hour, count)| *hour == now / HOUR && *count >= self.most)
    }

    /// Counts a report before it is worked on: whatever waits in the hub counts already. `false`: none is left.
    pub fn take(&self, login: &str, now: u64) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST && !known.contains_key(login) {
            known.clear();
        }
        let entry = known.entry(login.to_owned()).or_insert((now / HOUR, 0));
        if entry.0 != now / HOUR {
            *entry = (now / HOUR, 0);
        }
        let left = entry.1 < self.most;
        entry.1 = entry.1.saturating_add(u32::from(left));
        left
    }

    /// Counts it where all hubs count. `false`: with what the others took none is left.
    ///
    /// # Errors
    /// nats-server is away or says no.
    pub async fn share(&self, store: &Store, login: &str, now: u64) -> Result<bool> {
        let hour = now / HOUR;
        for _ in 0..16 {
            let last = store.rates.last(login).await?;
            let revision = last.as_ref().map_or(0, |record| record.revision);
            let count = last.and_then(|record| counted(&record.value, hour)).unwrap_or(0);
            if count >= self.most {
                self.learn(login, hour, count);
                return Ok(false);
            }
            let value = format!("{hour} {}", count + 1);
            match store.rates.put(login, value, Put { ttl: Some(2 * HOUR), expected: Some(revision) }).await {
                Err(Error::Conflict) => continue,
                result => {
                    result?;
                    self.learn(login, hour, count + 1);
                    return Ok(true);
                }
            }
        }
        // Sixteen others were faster each time: this one has waited long enough.
        Ok(true)
    }

    fn learn(&self, login: &str, hour: u64, count: u32) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get_mut(login).filter(|(known, _)| *known == hour) {
            entry.1 = entry.1.max(count);
        }
    }
}

fn counted(value: &[u8], hour: u64) -> Option<u32> {
    let (known, count) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    (known.parse() == Ok(hour)).then(|| count.parse().ok())?
}
