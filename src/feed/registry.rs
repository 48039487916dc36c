//! The feeds that come from outside: the only list of them.
//!
//! A row says whose bans a kind of feed delivers, when it is wanted, what of the configuration it goes by, and how
//! it starts. The daemon holds a place for each source of them (`daemon::feeds`) and knows nothing else of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::intake::Intake;
use super::lists::Context;
use super::nats::{self, Publisher};
use super::{Handle, Updates, dynfw};
use crate::config::Settings;
use crate::model::Source;

/// One kind of feed. Where a function takes a source, it is one of those that `sources` names.
pub struct Feed {
    /// Whose bans it delivers; the sources' names are the feeds'.
    pub sources: fn(&Settings) -> Vec<Source>,
    /// Whether its own section, and `local_only`, let it run.
    pub enabled: fn(&Settings, Source) -> bool,
    /// Name or address and port of its server; the name is empty where there is none.
    pub server: fn(&Settings, Source) -> (&str, u16),
    /// What people are told of its connection.
    pub terms: fn(&Settings, Source) -> Terms<'_>,
    /// Whether it goes by the same options in both, so that it need not start anew.
    pub same: fn(&Settings, &Settings, Source) -> bool,
    /// Starts it.
    pub start: fn(&Settings, Source, &Start) -> Handle,
}

/// On which terms a feed is connected.
#[derive(Default)]
pub struct Terms<'s> {
    /// What is said cannot be read on the way.
    pub encrypted: bool,
    /// The login, where the server knows several.
    pub account: Option<&'s str>,
    /// Without contact for longer, its bans lapse; `None`: they have ends of their own.
    pub max_age: Option<Duration>,
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
    /// What lists have in common.
    pub lists: Rc<Context>,
}

/// Every kind of feed, in the order in which people are told of them.
static FEEDS: [Feed; 2] = [
    Feed {
        sources: |_| vec![Source::DYNFW],
        enabled: |settings, _| settings.dynfw.enabled && !settings.main.local_only,
        server: |settings, _| (&settings.dynfw.server, settings.dynfw.port),
        terms: |Settings { dynfw, .. }, _| Terms {
            encrypted: dynfw.server_key.is_some(),
            max_age: Some(dynfw.max_age),
            account: None,
        },
        same: |old, new, _| old.dynfw == new.dynfw && old.main.state_dir == new.main.state_dir,
        start: |settings, _, start| {
            let state_dir = &settings.main.state_dir;
            dynfw::start(&settings.dynfw, state_dir, start.intake.clone(), start.updates.clone())
        },
    },
    Feed {
        sources: |_| vec![Source::NATS],
        enabled: |settings, _| settings.nats.enabled && !settings.main.local_only,
        server: |settings, _| (&settings.nats.server, settings.nats.port),
        terms: |Settings { nats, .. }, _| Terms {
            encrypted: nats.tls,
            account: Some(&nats.client_name),
            max_age: None,
        },
        same: |old, new, _| old.nats == new.nats,
        start: |settings, _, start| {
            let (intake, updates) = (start.intake.clone(), start.updates.clone());
            let (handle, publisher) = nats::start(&settings.nats, &start.host_name, intake, updates);
            start.publisher.replace(Some(publisher));
            handle
        },
    },
];

/// Every feed that the configuration has, running or not.
pub fn all(settings: &Settings) -> impl Iterator<Item = (&'static Feed, Source)> {
    FEEDS.iter().flat_map(|feed| (feed.sources)(settings).into_iter().map(move |source| (feed, source)))
}

impl Feed {
    /// Whether the configuration as a whole wants it to run.
    pub fn is_wanted(&self, settings: &Settings, source: Source) -> bool {
        settings.main.enabled && (self.sources)(settings).contains(&source) && (self.enabled)(settings, source)
    }
}
