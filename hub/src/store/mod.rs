//! Everything the hub knows, where it is kept: nats-server's JetStream. The hub keeps nothing of its own.

mod bucket;
mod record;
mod scan;
mod setup;

use async_nats::jetstream::{self, Context};

pub use bucket::{Bucket, Put};
pub use record::Record;
pub use setup::{CHANGES, TOLD, connect, make};

use crate::error::Result;

/// The buckets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    /// The connection.
    pub client: async_nats::Client,
    /// JetStream on it.
    pub jetstream: Context,
    /// `ADDRKEY` → [`crate::ban::Ban`], ends with the ban.
    pub bans: Bucket,
    /// `ADDRKEY` → bans of the fleet so far, `LOGIN.ADDRKEY` → bans of one login's; ends after 30 quiet days.
    pub counts: Bucket,
    /// `ADDRKEY.LOGIN` → [`crate::ban::Claim`].
    pub claims: Bucket,
    /// `LOGIN.NETKEY`, `_fleet.NETKEY` → empty: allowances.
    pub allow: Bucket,
    /// `LOGIN` → `trusted|SINCE` or `revoked|SINCE`.
    pub reporters: Bucket,
    /// `LOGIN` → `HOUR COUNT`: how much it reported this hour.
    pub rates: Bucket,
    /// `LOGIN.HOST` → what was last heard of a router.
    pub routers: Bucket,
    /// `batcher` → the hub that tells the changes.
    pub lead: Bucket,
}

impl Store {
    fn new(client: async_nats::Client) -> Store {
        let bucket = |name| Bucket::new(client.clone(), name);
        Store {
            jetstream: jetstream::new(client.clone()),
            bans: bucket("diswall_bans"),
            counts: bucket("diswall_counts"),
            claims: bucket("diswall_claims"),
            allow: bucket("diswall_allow"),
            reporters: bucket("diswall_reporters"),
            rates: bucket("diswall_rates"),
            routers: bucket("diswall_routers"),
            lead: bucket("diswall_lead"),
            client,
        }
    }

    /// Every bucket.
    pub fn buckets(&self) -> [&Bucket; 8] {
        [&self.bans, &self.counts, &self.claims, &self.allow, &self.reporters, &self.rates, &self.routers, &self.lead]
    }

    /// The nats-server's clock, Unix seconds.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn server_time(&self) -> Result<u64> {
        self.bans.server_time().await
    }
}
