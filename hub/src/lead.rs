//! Which hub tells the changes: who holds a key that ends after three seconds unless it is renewed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::info;

use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::store::{self, Put, Store};

/// The key in its bucket.
pub const KEY: &str = "batcher";

/// Seconds until another may take it.
const LENGTH: u64 = 3;

/// How often it is renewed, and how often others look.
const OFTEN: Duration = Duration::from_millis(900);

/// How long nothing may be had of the buckets before they are made where they are not.
const MENDED: Duration = Duration::from_secs(5);

/// Held by this hub.
#[derive(Debug)]
pub struct Lease {
    id: String,
    revision: u64,
    renewed: Instant,
}

impl Lease {
    /// Waits until nobody holds it, and takes it.
    pub async fn take(hub: &Arc<Hub>) -> Lease {
        let mut looked = Instant::now();
        loop {
            match Lease::try_take(hub).await {
                Ok(Some(lease)) => return lease,
                // A nats-server that lost all it kept has no buckets any more.
                Err(_) if looked.elapsed() >= MENDED => {
                    match store::make(&hub.store, &hub.config.store).await {
                        Ok(()) => info!("the buckets are there"),
                        Err(why) => hub.complaints.about("nats-server", "buckets", || why),
                    }
                    looked = Instant::now();
                }
                _ => {}
            }
            tokio::time::sleep(OFTEN / 2).await;
        }
    }

    async fn try_take(hub: &Hub) -> Result<Option<Lease>> {
        let before = hub.store.lead.last(KEY).await?;
        let expected = before.as_ref().map_or(0, |record| record.revision);
        if before.is_some_and(|record| !record.gone && record.value != hub.id.as_bytes()) {
            return Ok(None);
        }
        let revision = put(&hub.store, &hub.id, expected).await?;
        Ok(Some(Lease { id: hub.id.clone(), revision, renewed: Instant::now() }))
    }

    /// Holds it on.
    ///
    /// # Errors
    /// [`Error::Conflict`]: another has it.
    pub async fn renew(&mut self, store: &Store) -> Result<()> {
        if self.renewed.elapsed() >= OFTEN {
            // It may have ended here while nobody else took it.
            self.revision = match put(store, &self.id, self.revision).await {
                Err(Error::Conflict) => put(store, &self.id, 0).await?,
                result => result?,
            };
            self.renewed = Instant::now();
        }
        Ok(())
    }

    /// Gives it away, so that the next need not wait.
    ///
    /// # Errors
    /// nats-server is away or says no.
    pub async fn give(hub: &Hub) -> Result<()> {
        let held = hub.store.lead.held(KEY).await?;
        if held.is_some_and(|record| record.value == hub.id.as_bytes()) {
            hub.store.lead.remove(KEY).await?;
        }
        Ok(())
    }
}

async fn put(store: &Store, id: &str, expected: u64) -> Result<u64> {
    store.lead.put(KEY, id.to_owned(), Put { ttl: Some(LENGTH), expected: Some(expected) }).await
}
