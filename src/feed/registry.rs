//! The feeds that come from outside: the only list of them.
//!
//! A row says whose bans a kind of feed delivers, when it is wanted, what of the configuration it goes by, and how
//! it starts. The daemon holds a place for each source of them (`daemon::feeds`) and knows nothing else of them.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use super::intake::Intake;
use super::lists::{self, Context};
use super::nats::{self, Publisher};
use super::settings::Settings;
use super::{Handle, Terms, Twin, Updates, crowdsec, dynfw};
use crate::model::Source;

/// One kind of feed. Where a function takes a source, it is one of those that `sources` names.
pub struct Feed {
    /// Whose bans it delivers; the sources' names are the feeds'.
    pub sources: fn(&Settings) -> Vec<Source>,
    /// Whether its own section lets it run.
    pub enabled: fn(&Settings, Source) -> bool,
    /// Whether nothing of it comes over the network, so that `local_only` lets it run.
    pub local: fn(&Settings, Source) -> bool,
    /// Name or address and port of each of its servers, one at least; the name is empty where there is none.
    pub servers: fn(&Settings, Source) -> Vec<(&str, u16)>,
    /// What people are told of its connection.
    pub terms: fn(&Settings, Source) -> Terms<'_>,
    /// Whether it goes by the same options in both, so that it need not start anew.
    pub same: fn(&Settings, &Settings, Source) -> bool,
    /// Whether it keeps something in `state_dir`, so that it starts anew with another one.
    pub keeps: bool,
    /// Another program that may do the same on this machine.
    pub twin: Option<&'static Twin>,
    /// Starts it; the path is `state_dir`.
    pub start: fn(&Settings, Source, &Path, &Start) -> Handle,
}

/// What every feed is given at its start.
pub struct Start {
    /// The machine's name.
    pub host_name: String,
    /// Where its lists are held to the limit.
    pub intake: Intake,
    /// Where it posts.
    pub updates: Updates,
    /// Where one that takes reports from this router puts its way out, beside whose it is.
    pub publisher: Rc<RefCell<Option<(Source, Publisher)>>>,
    /// What lists have in common.
    pub lists: Rc<Context>,
}

/// Every kind of feed, in the order in which people are told of them.
static FEEDS: [Feed; 4] = [
    Feed {
        sources: |_| vec![Source::DYNFW],
        enabled: |settings, _| settings.dynfw.enabled,
        local: |_, _| false,
        servers: |settings, _| vec![(&settings.dynfw.server, settings.dynfw.port)],
        terms: |Settings { dynfw, .. }, _| Terms {
            encrypted: dynfw.server_key.is_some(),
            max_age: Some(dynfw.max_age),
            ..Terms::default()
        },
        same: |old, new, _| old.dynfw == new.dynfw,
        keeps: true,
        twin: Some(&dynfw::TWIN),
        start: |settings, _, state_dir, start| {
            dynfw::start(&settings.dynfw, state_dir, start.intake.clone(), start.updates.clone())
        },
    },
    Feed {
        sources: |_| vec![Source::NATS],
        enabled: |settings, _| settings.nats.enabled,
        local: |_, _| false,
        servers: |Settings { nats, .. }, _| nats.servers.iter().map(|server| (server.as_str(), nats.port)).collect(),
        terms: |Settings { nats, .. }, _| Terms {
            encrypted: nats.tls,
            account: Some(&nats.client_name),
            ..Terms::default()
        },
        same: |old, new, _| old.nats == new.nats,
        keeps: false,
        twin: None,
        start: |settings, source, _, start| {
            let (intake, updates) = (start.intake.clone(), start.updates.clone());
            let (handle, publisher) = nats::start(&settings.nats, &start.host_name, intake, updates);
            start.publisher.replace(Some((source, publisher)));
            handle
        },
    },
    Feed {
        // A router without it has no sets for it.
        sources: |settings| Vec::from_iter(settings.crowdsec.enabled.then_some(Source::CROWDSEC)),
        enabled: |_, _| true,
        local: |Settings { crowdsec, .. }, _| crowdsec.is_local(),
        servers: |Settings { crowdsec, .. }, _| vec![crowdsec.server()],
        terms: |Settings { crowdsec, .. }, _| Terms { encrypted: crowdsec.is_encrypted(), ..Terms::default() },
        same: |old, new, _| old.crowdsec == new.crowdsec,
        keeps: false,
        twin: None,
        start: |settings, _, _, start| crowdsec::start(&settings.crowdsec, start.intake.clone(), start.updates.clone()),
    },
    Feed {
        sources: |settings| settings.lists.iter().map(|list| list.source).collect(),
        // Those that are switched off are not there.
        enabled: |_, _| true,
        local: |settings, source| list(settings, source).is_some_and(lists::Settings::is_local),
        servers: |settings, source| list(settings, source).map(lists::Settings::server).into_iter().collect(),
        terms: |settings, source| list(settings, source).map_or_else(Terms::default, lists::Settings::terms),
        same: |old, new, source| list(old, source) == list(new, source),
        keeps: true,
        twin: None,
        start: |settings, source, state_dir, start| {
            let list = list(settings, source).cloned().unwrap_or_else(|| lists::Settings::new(source.name()));
            lists::start(list, state_dir, Rc::clone(&start.lists), start.updates.clone())
        },
    },
];

fn list(settings: &Settings, source: Source) -> Option<&lists::Settings> {
    settings.lists.iter().find(|list| list.source == source)
}

/// Every feed that the configuration has, running or not.
pub fn all(settings: &Settings) -> impl Iterator<Item = (&'static Feed, Source)> {
    FEEDS.iter().flat_map(|feed| (feed.sources)(settings).into_iter().map(move |source| (feed, source)))
}
