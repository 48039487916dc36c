//! Which routers there are, and what they say of their last hour: for people, not for trust.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use diswall::feed::nats::wire::Statistics;
use serde::{Deserialize, Serialize};

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

static NOTED: Mutex<Option<HashMap<(String, String), Instant>>> = Mutex::new(None);

/// A router's last hour, as DisWall's statistics tell it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Hour {
    /// When it ended, by the router's clock.
    pub time: u64,
    /// Addresses that it banned.
    pub banned: u64,
    /// Packets it dropped.
    pub packets_dropped: u64,
    /// Bytes it dropped.
    pub bytes_dropped: u64,
    /// Packets it let through.
    pub packets_accepted: u64,
    /// Bytes it let through.
    pub bytes_accepted: u64,
}

impl From<Hour> for Statistics {
    fn from(hour: Hour) -> Statistics {
        let Hour { time, banned, packets_dropped, bytes_dropped, packets_accepted, bytes_accepted } = hour;
        Statistics { time, banned, packets_dropped, bytes_dropped, packets_accepted, bytes_accepted }
    }
}

/// Notes that a router is there.
///
/// # Errors
/// nats-server is away or says no.
pub async fn seen(hub: &Hub, parts: &Parts, now: u64) -> Result<()> {
    if !due(parts) || !crate::reporters::hear(&hub.store, &parts.login, now).await? {
        return Ok(());
    }
    let key = format!("{}.{}", parts.login, parts.host);
    let known = hub.store.routers.held(&key).await?.map(|record| record.value).unwrap_or_default();
    hub.store.routers.put(&key, known, Put { ttl: Some(FORGOTTEN), expected: None }).await.map(drop)
}

/// Keeps a router's last hour.
///
/// # Errors
/// It is none; or nats-server is away or says no.
pub async fn statistics(hub: &Hub, parts: &Parts, body: &[u8]) -> Result<()> {
    let Ok(hour) = serde_json::from_slice::<Hour>(body) else {
        hub.complaints.about(&parts.login, "form", || "statistics of another form".into());
        return Ok(());
    };
    let key = format!("{}.{}", parts.login, parts.host);
    let value = Statistics::from(hour).encode();
    hub.store.routers.put(&key, value, Put { ttl: Some(FORGOTTEN), expected: None }).await.map(drop)
}

fn due(parts: &Parts) -> bool {
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    let noted = noted.get_or_insert_with(HashMap::new);
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
