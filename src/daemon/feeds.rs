//! The network feeds as the daemon holds them: started and stopped as the configuration says, their
//! state and notices kept for `status`.

use std::cell::Ref;
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::mpsc;

use super::clock;
use crate::config::Settings;
use crate::control::protocol::Part;
use crate::feed::intake::Intake;
use crate::feed::registry::{self, Feed, Start};
use crate::feed::{self, FeedState, Update, lists, nats};
use crate::ledger::may_ban;
use crate::model::{Holds, Source};
use crate::plural;

/// Updates that may wait for the daemon; a feed that is faster waits for room.
const WAITING: usize = 1024;

/// Seconds that a feed may be without its server before that is said of the protection: a line that is
/// dialled anew or a server that restarts takes less.
const PATIENCE: u64 = 300;

/// One feed's place.
pub struct Slot {
    /// Of what kind it is.
    pub feed: &'static Feed,
    source: Source,
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
    fn new(feed: &'static Feed, source: Source) -> Slot {
        Slot {
            feed,
            source,
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

    /// Whose bans it delivers.
    pub fn source(&self) -> Source {
        self.source
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
        let name = format!("feed.{}", self.source());
        let Some(away) = self.away else { return Part::in_force(name) };
        let long = now.saturating_sub(away) >= PATIENCE;
        let (title, error) = (self.source().title(), self.error.as_deref());
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
                crate::duration::text(now.saturating_sub(away))
            ));
        }
        let is_list = self.source().holds() == Holds::Listed;
        let lost = match is_list {
            // It may be one that allows.
            true => format!("what the list {title} says is not in force"),
            false => format!("addresses that {title} knows are not blocked"),
        };
        if long {
            let why = error.unwrap_or("the server does not give its list");
            let remedy = "look at the router's line, at server and port, and at what the server says";
            return Part::broken(name, why).losing(lost).remedied(remedy);
        }
        Part::waiting(name, error.unwrap_or(if is_list { "not fetched yet" } else { "connecting for the first time" }))
            .losing(lost)
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

/// Every feed's place and the channel they post on.
pub struct Feeds {
    slots: Vec<Slot>,
    start: Start,
}

impl Feeds {
    /// No feed runs yet; what those of this configuration will post arrives at the receiver.
    pub fn new(settings: &Settings) -> (Feeds, mpsc::Receiver<(Source, Update)>) {
        let (updates, receiver) = mpsc::channel(WAITING);
        let start = Start {
            host_name: host_name(),
            intake: Intake::new(usize::MAX, |address| may_ban(Source::DYNFW, address.into()).is_ok()),
            updates,
            publisher: Rc::default(),
            lists: Rc::default(),
        };
        let slots = registry::all(&settings.feeds).map(|(feed, source)| Slot::new(feed, source)).collect();
        (Feeds { slots, start }, receiver)
    }

    /// What lists have in common.
    pub fn lists(&self) -> &lists::Context {
        &self.start.lists
    }

    /// Most entries that a list may have from now on.
    pub fn set_most(&self, most: u32) {
        self.start.intake.set_most(most as usize);
    }

    /// Starts, restarts or stops what differs between the two configurations (`None`: nothing ran).
    /// Returns the sources of the feeds that were switched off, whose bans are to end.
    pub fn configure(&mut self, old: Option<&Settings>, new: &Settings) -> Vec<Source> {
        let mut switched_off = Vec::new();
        let mut before = std::mem::take(&mut self.slots);
        for (feed, source) in registry::all(&new.feeds) {
            let known = before.iter().position(|slot| slot.source == source);
            self.slots.push(known.map_or_else(|| Slot::new(feed, source), |at| before.remove(at)));
        }
        for slot in &mut self.slots {
            let (feed, source) = (slot.feed, slot.source);
            let wanted = new.wants(feed, source);
            let ran = old.is_some_and(|old| old.wants(feed, source));
            let kept = |old: &Settings| !feed.keeps || old.main.state_dir == new.main.state_dir;
            let unchanged = old.is_some_and(|old| (feed.same)(&old.feeds, &new.feeds, source) && kept(old));
            match (ran, wanted) {
                (true, true) if unchanged => {}
                (_, true) => {
                    // The old one ends before the new one starts: two logins of one client would meet.
                    slot.stop();
                    slot.handle = Some((feed.start)(&new.feeds, source, &new.main.state_dir, &self.start));
                    slot.set_state(FeedState::Connecting);
                }
                (true, false) => {
                    slot.stop();
                    switched_off.push(source);
                }
                // After a restart the snapshot may hold bans of a feed that is off by now.
                (false, false) if old.is_none() => switched_off.push(source),
                (false, false) => {}
            }
        }
        switched_off
    }

    /// Takes note that the feed has given a whole list, or that its list has lapsed.
    pub fn note_list(&mut self, source: Source, has_list: bool) {
        if let Some(slot) = self.slot_mut(source) {
            slot.has_list = has_list;
        }
    }

    /// Takes note of a feed's state or notice; true if it is news.
    pub fn note_state(&mut self, source: Source, state: FeedState) -> bool {
        let Some(slot) = self.slot_mut(source).filter(|slot| slot.handle.is_some() && slot.state != state) else {
            return false;
        };
        // What is refused as before is tried at another time, no more.
        let known = match (&slot.state, &state) {
            (FeedState::Partial { error: before, .. }, FeedState::Partial { error, .. }) => before == error,
            _ => false,
        };
        slot.set_state(state);
        !known
    }

    /// Takes note of a notice; true if it is news.
    pub fn note_notice(&mut self, source: Source, key: &'static str, text: Option<String>) -> bool {
        let Some(slot) = self.slot_mut(source) else { return false };
        match text {
            Some(text) => slot.notices.insert(key, text.clone()).as_ref() != Some(&text),
            None => {
                slot.notices.remove(key);
                false
            }
        }
    }

    /// Whether updates of this feed still count: those a stopped feed had posted before do not.
    pub fn is_running(&self, source: Source) -> bool {
        self.slots.iter().any(|slot| slot.source() == source && slot.handle.is_some())
    }

    /// Whether any feed runs.
    pub fn run(&self) -> bool {
        self.slots.iter().any(|slot| slot.handle.is_some())
    }

    /// Whether the bans of each feed that is switched on are in force; those of `unruled` are not.
    pub fn parts(&self, unruled: &[Source]) -> impl Iterator<Item = Part> {
        let now = clock::boot_seconds();
        self.slots.iter().filter(|slot| slot.handle.is_some()).map(move |slot| match slot.source() {
            source if unruled.contains(&source) => {
                const WHY: &str = "no rule looks it up: the firewall's rules are older than the configuration";
                Part::broken(format!("feed.{source}"), WHY)
                    .losing(format!("what the list {source} says is not in force"))
                    .remedied("/etc/init.d/diswall reload")
            }
            _ => slot.part(now),
        })
    }

    /// Whether the server takes what the router shares; `None` while nothing is to be shared.
    pub fn share_part(&self) -> Option<Part> {
        const NAME: &str = "share";
        let publisher = self.publisher().filter(|publisher| publisher.is_open())?;
        let denied = publisher.denied();
        let Some(since) = denied.iter().map(|denied| denied.since).min() else { return Some(Part::in_force(NAME)) };
        let subjects: Vec<&str> = denied.iter().map(|denied| denied.subject.as_str()).collect();
        let why = nats::refusal(&subjects.join(", "));
        let lost = [
            "what this router saw is not shared; ",
            &plural::of(publisher.queued() as u64, "message waits", "messages wait"),
        ]
        .concat();
        let long = clock::boot_seconds().saturating_sub(since) >= PATIENCE;
        Some(refused(NAME, &why, long).losing(lost))
    }

    /// The way out, while its feed runs.
    pub fn publisher(&self) -> Option<Ref<'_, nats::Publisher>> {
        let running = |(source, _): &&(Source, nats::Publisher)| self.is_running(*source);
        let way = self.start.publisher.borrow();
        Ref::filter_map(way, |way| way.as_ref().filter(running).map(|(_, publisher)| publisher)).ok()
    }

    /// Asks feeds for a fresh list; returns those that run and were asked.
    pub fn resync(&self, only: Option<Source>) -> Vec<Source> {
        let mut asked = Vec::new();
        for slot in self.slots.iter().filter(|slot| only.is_none_or(|only| only == slot.source())) {
            if let Some(handle) = &slot.handle {
                handle.resync.notify_one();
                asked.push(slot.source());
            }
        }
        asked
    }

    /// Has those that wait after a failure try again.
    pub fn try_again(&self) {
        self.slots
            .iter()
            .filter_map(|slot| slot.handle.as_ref())
            .for_each(|handle| handle.gauges.reloaded.notify_waiters());
    }

    /// Every feed's place, in the order in which people are told of them.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    fn slot_mut(&mut self, source: Source) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.source() == source)
    }
}

/// The machine's name, `openwrt` where it has none that is text.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "openwrt".into() } else { name }
}
