//! Which routers there are, and what they say of their last hour: for people, not for trust.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use diswall::feed::nats::wire::Statistics;

use crate::error::Result;
use crate::hub::Hub;
use crate::store::Put;
use crate::subject::Parts;

/// A router that was not heard of for so many seconds is forgotten.
const FORGOTTEN: u64 = 7 * 86_400;

/// A router is noted at most so often.
const OFTEN: Duration = Duration::from_secs(600);

/// Routers that one process remembers to have noted.
const MOST: usize = 16_384;

/// When each router was noted last, by this process.
#[derive(Debug, Default)]
pub struct Noted(Mutex<HashMap<(String, String), Instant>>);

/// Notes that a router is there.
///
/// # Errors
/// nats-server is away or says no.
pub async fn seen(hub: &Hub, parts: &Parts, now: u64) -> Result<()> {
    if !hub.noted.is_due(parts) || !crate::reporters::hear(&hub.store, &parts.login, now).await? {
        return Ok(());
    }
    let key = format!("{}.{}", parts.login, parts.host);
    let known = hub.store.routers.held(&key).await?.map(|record| record.value).unwrap_or_default();
    hub.store.routers.put(&key, known, Put { ttl: Some(FORGOTTEN), expected: None }).await.map(drop)
}

/// A router's last hour, as DisWall's statistics tell it; `None`: it is none.
pub fn hour(body: &[u8]) -> Option<Statistics> {
    diswall::json::from_str(std::str::from_utf8(body).ok()?).ok()
}

/// Keeps a router's last hour.
///
/// # Errors
/// It is none; or nats-server is away or says no.
pub async fn statistics(hub: &Hub, parts: &Parts, body: &[u8]) -> Result<()> {
    let Some(hour) = hour(body) else {
        hub.complaints.about(&parts.login, "form", || "statistics of another form".into());
        return Ok(());
    };
    let key = format!("{}.{}", parts.login, parts.host);
    let value = hour.encode();
    hub.store.routers.put(&key, value, Put { ttl: Some(FORGOTTEN), expected: None }).await.map(drop)
}

impl Noted {
    /// Whether it is to be noted; then it counts as noted.
    fn is_due(&self, parts: &Parts) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (parts.login.clone(), parts.host.clone());
        if noted.get(&key).is_some_and(|at| at.elapsed() < OFTEN) {
            return false;
        }
        if noted.len() >= MOST {
            noted.clear();
        }
        noted.insert(key, Instant::now());
        true
    }
}
