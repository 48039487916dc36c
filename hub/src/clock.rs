//! The nats-server's clock, by which every ban is dated: the hub's own may be wrong by hours.
//!
//! Asked for now and then; in between the time that passed here is added.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::store::Store;

/// How often it is asked for.
const OFTEN: Duration = Duration::from_secs(30);

/// See the module's head.
#[derive(Debug)]
pub struct Clock(Mutex<(u64, Instant)>);

impl Clock {
    /// Asks for the first time.
    ///
    /// # Errors
    /// nats-server does not answer.
    pub async fn new(store: &Store) -> Result<Clock> {
        Ok(Clock(Mutex::new((store.server_time().await?, Instant::now()))))
    }

    /// Unix seconds.
    pub fn now(&self) -> u64 {
        let (time, at) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        time + at.elapsed().as_secs()
    }

    /// Asks again, for ever.
    pub async fn follow(&self, store: &Store) {
        loop {
            tokio::time::sleep(OFTEN).await;
            if let Ok(time) = store.server_time().await {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (time, Instant::now());
            }
        }
    }
}
