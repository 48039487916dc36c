//! How each hub's relay is, for `diswall-hub status` and the page: kept in nats-server for half a minute, where every hub
//! can read it.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::relay::{Figures, now};
use crate::error::Result;
use crate::hub::Hub;
use crate::store::{Put, Store};

/// What must be said with the list.
pub const LICENCE: &str = "The list is Turris Sentinel's, under CC BY-NC-SA 4.0";

/// The key of each in the bucket of those that live: this, and a word of its own.
const KEYS: &str = "dynfw.";

/// How often it is written, and how long it holds.
const OFTEN: Duration = Duration::from_secs(2);
const LENGTH: u64 = 30;

/// Relays that are shown.
const MOST: usize = 64;

/// What is shown of one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Shown {
    /// The hub's machine.
    pub host: String,
    /// Seconds since it follows Sentinel; `None`: it does not.
    pub follows: Option<u64>,
    /// Why it does not.
    pub why: String,
    /// Sentinel's number of the last change.
    pub serial: u64,
    /// Addresses that are listed.
    pub addresses: u64,
    /// Routers that are told.
    pub routers: u64,
}

impl Shown {
    fn of(hub: &Hub) -> Shown {
        let figures: &Figures = &hub.relay;
        let since = figures.since.load(Relaxed);
        Shown {
            host: hub.id.split(' ').next().unwrap_or_default().to_owned(),
            follows: (since > 0).then(|| now().saturating_sub(since)),
            why: figures.why(),
            serial: figures.serial.load(Relaxed),
            addresses: figures.addresses.load(Relaxed),
            routers: figures.routers.load(Relaxed),
        }
    }

    /// Whether it follows, in words.
    pub fn state(&self) -> String {
        match self.follows {
            Some(seconds) => format!("follows Sentinel for {seconds} s, serial {}", self.serial),
            None if self.why.is_empty() => "does not follow Sentinel yet".into(),
            None => format!("does not follow Sentinel: {}", self.why),
        }
    }
}

/// Writes it down, for ever; nothing where there is no relay.
pub async fn say(hub: Arc<Hub>) {
    if hub.config.dynfw.key_file.is_none() {
        return;
    }
    let word = hub.id.rsplit(['.', ' ']).next().unwrap_or_default();
    let key = format!("{KEYS}{word}");
    loop {
        if let Ok(value) = serde_json::to_vec(&Shown::of(&hub)) {
            // Whoever looks sees that it is not there; the rest of the hub says that nats-server is away.
            let _ = hub.store.lead.put(&key, value, Put { ttl: Some(LENGTH), expected: None }).await;
        }
        tokio::time::sleep(OFTEN).await;
    }
}

/// All hubs' relays.
///
/// # Errors
/// nats-server is away.
pub async fn all(store: &Store) -> Result<Vec<Shown>> {
    let mut all = Vec::new();
    store
        .lead
        .scan(&format!("{KEYS}*"), 1, |record| {
            if !record.gone && all.len() < MOST {
                all.extend(serde_json::from_slice::<Shown>(&record.value));
            }
        })
        .await?;
    Ok(all)
}

/// A line for each, and the licence.
pub fn lines(all: &[Shown]) -> String {
    let mut text = String::new();
    for each in all {
        let _ = writeln!(
            text,
            "DynFW: {} {}; {} addresses told to {} routers",
            each.host,
            each.state(),
            each.addresses,
            each.routers
        );
    }
    if !all.is_empty() {
        let _ = writeln!(text, "{LICENCE}");
    }
    text
}
