//! What every part of a running hub shares.

use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::clock::Clock;
use crate::complaints::Complaints;
use crate::config::Config;
use crate::dynfw::Figures;
use crate::limits::Limits;
use crate::never::Never;
use crate::noted::Noted;
use crate::store::Store;

/// See the module's head.
#[derive(Debug)]
pub struct Hub {
    /// This process among the hubs.
    pub id: String,
    /// As it was read at the start.
    pub config: Config,
    /// What is kept.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Who is never banned.
    pub never: Never,
    /// How much a login may report.
    pub limits: Limits,
    /// How much of it that is only shown.
    pub shown: Limits,
    /// What was said of whom.
    pub complaints: Complaints,
    /// Which routers were noted.
    pub noted: Noted,
    /// What was counted.
    pub counts: Counts,
    /// What the relay of DynFW shows of itself.
    pub relay: Figures,
}

/// What this process counted since it started.
#[derive(Debug, Default)]
pub struct Counts {
    /// Reports that arrived.
    pub reports: AtomicU64,
    /// Those that were refused, for whatever reason.
    pub refused: AtomicU64,
    /// Addresses that were banned.
    pub banned: AtomicU64,
    /// Init requests answered.
    pub inits: AtomicU64,
    /// Greetings of routers that know a hub.
    pub hellos: AtomicU64,
    /// Messages with changes that were told.
    pub told: AtomicU64,
    /// Whether this hub tells the changes.
    pub leads: AtomicBool,
}
