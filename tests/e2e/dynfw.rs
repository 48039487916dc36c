//! The DynFW feed against real publishers: what its events add up to must be what the publisher says
//! its list is. Each test has a namespace and a publisher of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use diswall::config;
use diswall::feed::{Event, FeedName, FeedState, Handle, Source, Update, dynfw};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::support::{Netns, Sentinel};

const SOON: Duration = Duration::from_secs(20);

/// The feed under test and everything that it has posted, added up.
struct Follower {
    runtime: Runtime,
    local: LocalSet,
    handle: Handle,
    updates: mpsc::Receiver<(FeedName, Update)>,
    banned: BTreeSet<String>,
    states: Vec<FeedState>,
    notices: Vec<(&'static str, Option<String>)>,
    contacts: usize,
    lapses: usize,
}

impl Follower {
    fn start(settings: config::Dynfw) -> Follower {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = LocalSet::new();
        let (sender, updates) = mpsc::channel(256);
        let state_dir = std::env::temp_dir();
        let handle = local.block_on(&runtime, async { dynfw::start(&settings, &state_dir, sender) });
        Follower {
            runtime,
            local,
            handle,
            updates,
            banned: BTreeSet::new(),
            states: Vec::new(),
            notices: Vec::new(),
            contacts: 0,
            lapses: 0,
        }
    }

    fn of(sentinel: &Sentinel) -> Follower {
        Follower::start(settings(sentinel))
    }

    /// Lets the feed run until `done`; panics with `what` after `deadline`.
    #[track_caller]
    fn until(&mut self, deadline: Duration, what: &str, mut done: impl FnMut(&Follower) -> bool) {
        let end = std::time::Instant::now() + deadline;
        while !done(self) {
            let left = end.saturating_duration_since(std::time::Instant::now());
            assert!(left > Duration::ZERO, "{what}: not within {deadline:?}; states {:?}", self.states);
            let updates = &mut self.updates;
            let next = self.local.block_on(&self.runtime, async { timeout(left, updates.recv()).await });
            if let Ok(Some((name, update))) = next {
                assert_eq!(name, FeedName::Dynfw);
                self.take(update);
            }
        }
    }

    /// Lets the feed run for a while.
    fn run(&mut self, duration: Duration) {
        let end = std::time::Instant::now() + duration;
        while let left = end.saturating_duration_since(std::time::Instant::now())
            && left > Duration::ZERO
        {
            let updates = &mut self.updates;
            let next = self.local.block_on(&self.runtime, async { timeout(left, updates.recv()).await });
            if let Ok(Some((_, update))) = next {
                self.take(update);
            }
        }
    }

    fn take(&mut self, update: Update) {
        match update {
            Update::Event(event) => self.fold(event),
            Update::State(state) => {
                assert_ne!(self.states.last(), Some(&state), "a state is sent once for each change");
                self.states.push(state);
            }
            Update::Notice { key, text } => self.notices.push((key, text)),
        }
    }

    fn fold(&mut self, event: Event) {
        match event {
            Event::List { source: Source::Dynfw, list } => {
                let v4 = list.v4.iter().map(|entry| IpAddr::V4(entry.address));
                let v6 = list.v6.iter().map(|entry| IpAddr::V6(entry.address));
                self.banned = v4.chain(v6).map(|address| address.to_string()).collect();
            }
            Event::Ban { source: Source::Dynfw, net, .. } => _ = self.banned.insert(net.addr().to_string()),
            Event::Unban { source: Source::Dynfw, net } => _ = self.banned.remove(&net.addr().to_string()),
            Event::Contact { source: Source::Dynfw } => self.contacts += 1,
            Event::Lapse { source: Source::Dynfw } => self.lapses += 1,
            other => panic!("DynFW posts no {other:?}"),
        }
    }

    #[track_caller]
    fn until_live(&mut self) {
        self.until(SOON, "the feed is live", |feed| feed.states.last() == Some(&FeedState::Live));
    }

    /// Until what it posted is the publisher's list, whose updates have stopped.
    #[track_caller]
    fn until_equal(&mut self, sentinel: &mut Sentinel) {
        let expected = sentinel.addresses();
        self.until(SOON, "the feed equals the list", |feed| feed.banned == expected);
    }

    /// The sentence of the last failure, once there is one.
    #[track_caller]
    fn until_failed(&mut self) -> String {
        let failed = |feed: &Follower| matches!(feed.states.last(), Some(FeedState::Waiting { .. }));
        self.until(SOON, "the connection fails", failed);
        match self.states.last() {
            Some(FeedState::Waiting { error, .. }) => error.clone(),
            _ => unreachable!(),
        }
    }
}

fn settings(sentinel: &Sentinel) -> config::Dynfw {
    config::Dynfw {
        server: "127.0.0.1".into(),
        port: u16::try_from(sentinel.port).expect("a port"),
        server_key: sentinel.public_key.clone(),
        key_url: None,
        ..config::Dynfw::default()
    }
}

#[test]
fn takes_the_list_and_follows_deltas_over_curve() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--list-every", "0.5", "--size", "20000"]);
    let mut feed = Follower::of(&sentinel);
    feed.until_live();
    feed.until_equal(&mut sentinel);
    sentinel.tell("add 203.0.113.7");
    sentinel.tell("add 2001:db8::7");
    sentinel.tell("del 45.0.0.1");
    feed.until_equal(&mut sentinel);
    assert_eq!(feed.handle.gauges.lists.get(), 1);
    assert_eq!(feed.handle.gauges.serial.get(), 4);
    assert_eq!(feed.contacts, 1);
}

#[test]
fn started_in_the_middle_of_a_stream_nothing_is_missing() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--list-every", "2", "--size", "20000"]);
    sentinel.tell("deltas 500");
    let mut feed = Follower::of(&sentinel);
    feed.until_live();
    feed.run(Duration::from_secs(5));
    sentinel.tell("deltas 0");
    feed.until_equal(&mut sentinel);
    let gauges = &feed.handle.gauges;
    assert_eq!((gauges.lists.get(), gauges.resyncs.get()), (1, 0), "one list, and not one delta lost after it");
}
