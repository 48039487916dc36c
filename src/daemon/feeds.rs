//! The network feeds as the daemon holds them: started and stopped as the configuration says, their
//! state and notices kept for `status`.

use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::mpsc;

use super::clock;
use crate::config::Settings;
use crate::control::protocol::Part;
use crate::feed::intake::Intake;
use crate::feed::{self, FeedName, FeedState, Source, Update, diswall, dynfw};
use crate::ledger::may_ban;

/// Updates that may wait for the daemon; a feed that is faster waits for room.
const WAITING: usize = 1024;

/// Seconds that a feed may be without its server before that is said of the protection: a line that is
/// dialled anew or a server that restarts takes less.
const PATIENCE: u64 = 300;

/// One feed's place.
#[derive(Debug)]
pub struct Slot {
    /// Which.
    pub name: FeedName,
    /// Where its connection stands.
    pub state: FeedState,
    /// `CLOCK_BOOTTIME` seconds at the last change of state.
    pub since: u64,
    /// It has given a whole list, now or before a restart, that has not lapsed since.
    pub has_list: bool,
    /// `CLOCK_BOOTTIME` seconds since when it is not live; `None` while it is.
    pub away: Option<u64>,
    /// What went wrong last since then.
    pub error: Option<String>,
    /// What is lost by what the server refuses, while it is connected.
    pub lost: Option<String>,
    /// What the owner should know, by matter.
    pub notices: BTreeMap<&'static str, String>,
    /// The running feed; `None` while it is off.
    pub handle: Option<feed::Handle>,
}

impl Slot {
    fn new(name: FeedName) -> Slot {
        Slot {
            name,
            state: FeedState::Off,
            since: clock::boot_seconds(),
            notices: BTreeMap::new(),
            handle: None,
            has_list: false,
            away: None,
            error: None,
            lost: None,
        }
    }

    fn set_state(&mut self, state: FeedState) {
        let now = clock::boot_seconds();
        self.lost = None;
        match &state {
            FeedState::Live | FeedState::Off => (self.away, self.error) = (None, None),
            FeedState::Waiting { error, .. } => {
                self.away.get_or_insert(now);
                self.error = Some(error.clone());
            }
            FeedState::Partial { error, lost, .. } => {
                self.away.get_or_insert(now);
                (self.error, self.lost) = (Some(error.clone()), Some(lost.clone()));
            }
            FeedState::Connecting | FeedState::Synchronising => {
                self.away.get_or_insert(now);
            }
        }
        self.state = state;
        self.since = now;
    }

    /// Whether its bans are in force, and come.
    fn part(&self, now: u64) -> Part {
        let name = format!("feed.{}", self.name);
        let Some(away) = self.away else { return Part::in_force(name) };
        let long = now.saturating_sub(away) >= PATIENCE;
        let (title, error) = (self.name.title(), self.error.as_deref());
        if let (Some(lost), Some(why)) = (&self.lost, error) {
            return refused(name, why, long).losing(lost.as_str());
        }
        if self.has_list {
            // The list it gave protects on.
            if !long {
                return Part { why: error.map(Into::into), ..Part::in_force(name) };
            }
            let why = error.unwrap_or("the server does not answer");
            return Part::waiting(name, why).losing(format!(
                "new bans of {title} do not arrive since {}; those it gave before stay",
                crate::cli::duration_text(now.saturating_sub(away))
            ));
        }
        let lost = format!("addresses that {title} knows are not blocked");
        if long {
            let why = error.unwrap_or("the server does not give its list");
            let remedy = "look at the router's line, at server and port, and at what the server says";
            return Part::broken(name, why).losing(lost).remedied(remedy);
        }
        Part::waiting(name, error.unwrap_or("connecting for the first time")).losing(lost)
    }

    fn stop(&mut self) {
        self.handle = None;
        self.notices.clear();
        self.set_state(FeedState::Off);
    }
}

/// A server that refuses something: it may change its mind; when it has not for `long`, somebody has to ask.
fn refused(name: impl Into<String>, why: &str, long: bool) -> Part {
    if !long {
        return Part::waiting(name, why);
    }
    let remedy = "ask whoever runs the server to permit it; it is tried again every two minutes, and at once by `diswall resync nats`";
    Part::broken(name, why).remedied(remedy)
}

/// Both feeds and the channel they post on.
#[derive(Debug)]
pub struct Feeds {
    dynfw: Slot,
    nats: Slot,
    publisher: Option<diswall::Publisher>,
    updates: feed::Updates,
    intake: Intake,
}

impl Feeds {
    /// No feed runs yet; what they will post arrives at the receiver.
    pub fn new() -> (Feeds, mpsc::Receiver<(FeedName, Update)>) {
        let (updates, receiver) = mpsc::channel(WAITING);
        let feeds = Feeds {
            dynfw: Slot::new(FeedName::Dynfw),
            nats: Slot::new(FeedName::Nats),
            publisher: None,
            updates,
            intake: Intake::new(usize::MAX, |address| may_ban(Source::Dynfw, address.into()).is_ok()),
        };
        (feeds, receiver)
    }

    /// Most entries that a list may have from now on.
    pub fn set_most(&self, most: u32) {
        self.intake.set_most(most as usize);
    }

    /// Starts, restarts or stops what differs between the two configurations (`None`: nothing ran).
    /// Returns the feeds that were switched off, whose bans are to end.
    pub fn configure(&mut self, old: Option<&Settings>, new: &Settings) -> Vec<FeedName> {
        let mut switched_off = Vec::new();
        for name in [FeedName::Dynfw, FeedName::Nats] {
            let wanted = is_wanted(name, new);
            let ran = old.is_some_and(|old| is_wanted(name, old));
            let unchanged = old.is_some_and(|old| same_section(name, old, new));
            match (ran, wanted) {
                (true, true) if unchanged => {}
                (_, true) => self.start(name, new),
                (true, false) => {
                    self.slot_mut(name).stop();
                    switched_off.push(name);
                }
                // After a restart the snapshot may hold bans of a feed that is off by now.
                (false, false) if old.is_none() => switched_off.push(name),
                (false, false) => {}
            }
        }
        switched_off
    }

    fn start(&mut self, name: FeedName, settings: &Settings) {
        let updates = self.updates.clone();
        // The old one ends before the new one starts: two logins of one client would meet.
        self.slot_mut(name).stop();
        let handle = match name {
            FeedName::Dynfw => dynfw::start(&settings.dynfw, &settings.main.state_dir, self.intake.clone(), updates),
            FeedName::Nats => {
                let (handle, publisher) = diswall::start(&settings.nats, &host_name(), self.intake.clone(), updates);
                self.publisher = Some(publisher);
                handle
            }
        };
        let slot = self.slot_mut(name);
        slot.handle = Some(handle);
        slot.set_state(FeedState::Connecting);
    }

    /// Takes note that the feed has given a whole list, or that its list has lapsed.
    pub fn note_list(&mut self, name: FeedName, has_list: bool) {
        self.slot_mut(name).has_list = has_list;
    }

    /// Takes note of a feed's state or notice; true if it is news.
    pub fn note_state(&mut self, name: FeedName, state: FeedState) -> bool {
        let slot = self.slot_mut(name);
        if slot.handle.is_none() || slot.state == state {
            return false;
        }
        // What is refused as before is tried at another time, no more.
        let known = match (&slot.state, &state) {
            (FeedState::Partial { error: before, .. }, FeedState::Partial { error, .. }) => before == error,
            _ => false,
        };
        slot.set_state(state);
        !known
    }

    /// Takes note of a notice; true if it is news.
    pub fn note_notice(&mut self, name: FeedName, key: &'static str, text: Option<String>) -> bool {
        let notices = &mut self.slot_mut(name).notices;
        match text {
            Some(text) => notices.insert(key, text.clone()).as_ref() != Some(&text),
            None => {
                notices.remove(key);
                false
            }
        }
    }

    /// Whether updates of this feed still count: those a stopped feed had posted before do not.
    pub fn is_running(&self, name: FeedName) -> bool {
        self.slot(name).handle.is_some()
    }

    /// Whether the feed's bans are in force; `None` while it is switched off.
    pub fn part(&self, name: FeedName) -> Option<Part> {
        self.is_running(name).then(|| self.slot(name).part(clock::boot_seconds()))
    }

    /// Whether the server takes what the router shares; `None` while nothing is to be shared.
    pub fn share_part(&self) -> Option<Part> {
        const NAME: &str = "share";
        let publisher = self.publisher().filter(|publisher| publisher.is_open())?;
        let denied = publisher.denied();
        let Some(since) = denied.iter().map(|denied| denied.since).min() else { return Some(Part::in_force(NAME)) };
        let subjects: Vec<&str> = denied.iter().map(|denied| denied.subject.as_str()).collect();
        let why = format!("the server refuses this login: publish {} (denied)", subjects.join(", "));
        let lost = format!("what this router saw is not shared; {} messages wait", publisher.queued());
        let long = clock::boot_seconds().saturating_sub(since) >= PATIENCE;
        Some(refused(NAME, &why, long).losing(lost))
    }

    /// The way out, while DisWall's feed runs.
    pub fn publisher(&self) -> Option<&diswall::Publisher> {
        self.publisher.as_ref().filter(|_| self.is_running(FeedName::Nats))
    }

    /// Asks feeds for a fresh list; returns those that run and were asked.
    pub fn resync(&self, only: Option<FeedName>) -> Vec<FeedName> {
        [FeedName::Dynfw, FeedName::Nats]
            .into_iter()
            .filter(|name| only.is_none_or(|only| only == *name))
            .filter(|name| match &self.slot(*name).handle {
                Some(handle) => {
                    handle.resync.notify_one();
                    true
                }
                None => false,
            })
            .collect()
    }

    /// A feed's place.
    pub fn slot(&self, name: FeedName) -> &Slot {
        match name {
            FeedName::Dynfw => &self.dynfw,
            FeedName::Nats => &self.nats,
        }
    }

    fn slot_mut(&mut self, name: FeedName) -> &mut Slot {
        match name {
            FeedName::Dynfw => &mut self.dynfw,
            FeedName::Nats => &mut self.nats,
        }
    }

    /// A feed's counters while it runs.
    pub fn gauges(&self, name: FeedName) -> Option<Rc<feed::Gauges>> {
        self.slot(name).handle.as_ref().map(|handle| Rc::clone(&handle.gauges))
    }
}

fn is_wanted(name: FeedName, settings: &Settings) -> bool {
    let enabled = match name {
        FeedName::Dynfw => settings.dynfw.enabled,
        FeedName::Nats => settings.nats.enabled,
    };
    settings.main.enabled && !settings.main.local_only && enabled
}

fn same_section(name: FeedName, old: &Settings, new: &Settings) -> bool {
    match name {
        FeedName::Dynfw => old.dynfw == new.dynfw && old.main.state_dir == new.main.state_dir,
        FeedName::Nats => old.nats == new.nats,
    }
}

/// The machine's name, `openwrt` where it has none that is text.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "openwrt".into() } else { name }
}
