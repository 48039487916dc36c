//! What the parts of the relay share. It lives in a thread of its own: sealing a list for thousands of routers holds up
//! no judging of reports.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use omq_proto::CurveKeypair;
use tokio::sync::{Semaphore, watch};

use super::ears::Ears;
use super::held::Held;
use crate::hub::Hub;

/// Lists that are on the way at a time, to all routers: 30 MB of 30,000 addresses.
const LISTS: usize = 64;

/// See the module's head.
pub struct Relay {
    /// Of this process.
    pub hub: Arc<Hub>,
    /// Who it is to routers.
    pub keys: CurveKeypair,
    /// What is known.
    pub held: RefCell<Held>,
    /// There is something new in it.
    pub changed: watch::Sender<()>,
    /// Whether routers may come: it is known what Sentinel lists.
    pub open: watch::Sender<bool>,
    /// Rights to have a list on the way.
    pub lists: Arc<Semaphore>,
    /// Hears what routers say.
    pub ears: Ears,
}

impl Relay {
    /// Knows nothing yet.
    pub fn new(hub: Arc<Hub>, keys: CurveKeypair) -> Relay {
        Relay {
            hub,
            keys,
            held: RefCell::new(Held::new()),
            changed: watch::Sender::new(()),
            open: watch::Sender::new(false),
            lists: Arc::new(Semaphore::new(LISTS)),
            ears: Ears::default(),
        }
    }
}

/// Unix seconds, as they stand in each message; nothing depends on them.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// What is shown of the relay: written in its thread, read in all.
#[derive(Debug, Default)]
pub struct Figures {
    /// Unix seconds since which it follows Sentinel; 0: it does not.
    pub since: AtomicU64,
    /// Sentinel's number of the last change.
    pub serial: AtomicU64,
    /// Addresses that are listed.
    pub addresses: AtomicU64,
    /// Routers that are told.
    pub routers: AtomicU64,
    /// Changes that were told since the start.
    pub changes: AtomicU64,
    /// Lists that were sent since the start.
    pub lists: AtomicU64,
    /// Connections that were ended or refused since the start.
    pub refused: AtomicU64,
    /// Why it does not follow, in words.
    why: Mutex<String>,
}

impl Figures {
    /// It follows.
    pub fn follows(&self) {
        let _ = self.since.compare_exchange(0, now(), Relaxed, Relaxed);
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// It does not, and why.
    pub fn does_not(&self, why: &str) {
        self.since.store(0, Relaxed);
        why.clone_into(&mut self.why.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Why it does not.
    pub fn why(&self) -> String {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
