//! Which routers this process has noted of late, so that a router that says much is written down seldom, and a login that
//! invents names has no more of them than others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::subject::Parts;

/// A router is noted at most so often.
const OFTEN: Duration = Duration::from_secs(600);

/// Routers that one process remembers to have noted.
const MOST: usize = 16_384;

/// Routers of one login that are kept. Where several hubs hear of new ones at once, it may be one more for each.
pub const EACH: usize = 256;

#[derive(Debug, Default)]
struct Logins {
    routers: usize,
    noted: HashMap<String, HashMap<String, Instant>>,
}

/// When each router was noted last, by this process.
#[derive(Debug, Default)]
pub struct Noted {
    logins: Mutex<Logins>,
    /// One new router after the other, so that the number of those that are kept is still true when one is added.
    pub room: tokio::sync::Mutex<()>,
}

impl Noted {
    /// Whether it is to be noted; then it counts as noted. `None`: its login has too many.
    pub fn is_due(&self, parts: &Parts) -> Option<bool> {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.routers >= MOST {
            *logins = Logins::default();
        }
        let Logins { routers, noted } = &mut *logins;
        let hosts = noted.entry(parts.login.clone()).or_default();
        if hosts.get(&parts.host).is_some_and(|at| at.elapsed() < OFTEN) {
            return Some(false);
        }
        if hosts.len() >= EACH && !hosts.contains_key(&parts.host) {
            *routers -= hosts.extract_if(|_, at| at.elapsed() >= OFTEN).count();
            if hosts.len() >= EACH {
                return None;
            }
        }
        *routers += usize::from(hosts.insert(parts.host.clone(), Instant::now()).is_none());
        Some(true)
    }
}
