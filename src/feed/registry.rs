//! The feeds that come over the network: the only list of them.
//!
//! A row says whose bans a feed delivers, when it is wanted, what of the configuration it goes by, and how it
//! starts. The daemon holds a place for each (`daemon::feeds`) and knows nothing else of them.

use std::cell::RefCell;
use std::rc::Rc;

use super::intake::Intake;
use super::nats::{self, Publisher};
use super::{Handle, Updates, dynfw};
use crate::config::Settings;
use crate::model::Source;

/// One feed.
pub struct Feed {
    /// Whose bans it delivers; its name is the feed's.
    pub source: Source,
    /// Whether its own section switches it on.
    pub enabled: fn(&Settings) -> bool,
    /// Name or address and port of its server.
    pub server: fn(&Settings) -> (&str, u16),
    /// Whether it goes by the same options in both, so that it need not start anew.
    pub same: fn(&Settings, &Settings) -> bool,
    /// Starts it.
    pub start: fn(&Settings, &Start) -> Handle,
}

/// What every feed is given at its start.
pub struct Start {
    /// The machine's name.
    pub host_name: String,
    /// Where its lists are held to the limit.
    pub intake: Intake,
    /// Where it posts.
    pub updates: Updates,
    /// Where one that takes reports from this router puts its way out.
    pub publisher: Rc<RefCell<Option<Publisher>>>,
}

/// Every feed, in the order in which people are told of them.
pub const FEEDS: [Feed; 2] = [
    Feed {
        source: Source::DYNFW,
        enabled: |settings| settings.dynfw.enabled,
        server: |settings| (&settings.dynfw.server, settings.dynfw.port),
        same: |old, new| old.dynfw == new.dynfw && old.main.state_dir == new.main.state_dir,
        start: |settings, start| {
            let state_dir = &settings.main.state_dir;
            dynfw::start(&settings.dynfw, state_dir, start.intake.clone(), start.updates.clone())
        },
    },
    Feed {
        source: Source::NATS,
        enabled: |settings| settings.nats.enabled,
        server: |settings| (&settings.nats.server, settings.nats.port),
        same: |old, new| old.nats == new.nats,
        start: |settings, start| {
            let (intake, updates) = (start.intake.clone(), start.updates.clone());
            let (handle, publisher) = nats::start(&settings.nats, &start.host_name, intake, updates);
            start.publisher.replace(Some(publisher));
            handle
        },
    },
];

impl Feed {
    /// Whether the configuration as a whole wants it to run.
    pub fn is_wanted(&self, settings: &Settings) -> bool {
        settings.main.enabled && !settings.main.local_only && (self.enabled)(settings)
    }
}
