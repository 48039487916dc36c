//! What happened: the newest events for whoever asks, and the live stream for `watch`.
//!
//! It keeps a bounded ring and hands each event to the watchers; it writes no log lines itself.

use std::collections::VecDeque;
use std::rc::Rc;

use ipnet::IpNet;
use tokio::sync::broadcast;

use super::answers::reason_view;
use crate::control::protocol::{Activity, Events};
use crate::ledger::{Applied, ReasonRef};
use crate::model::{Event, Lifetime, Reason, Source};
use crate::options::value;
use crate::plural;

/// Events kept for later askers.
const KEPT: usize = 200;

/// Events that a slow watcher may lag behind before it is told that it missed some.
const LAG: usize = 256;

/// The ring and the stream.
#[derive(Debug)]
pub struct Journal {
    /// Tells this run's numbers from another run's.
    run: u64,
    ring: VecDeque<Rc<Activity>>,
    next_id: u64,
    stream: broadcast::Sender<Rc<Activity>>,
}

impl Journal {
    /// An empty journal.
    pub fn new() -> Journal {
        let run = super::clock::boot_seconds() << 22 | u64::from(std::process::id());
        Journal { run, ring: VecDeque::new(), next_id: 1, stream: broadcast::Sender::new(LAG) }
    }

    /// Records an event and gives it its number.
    pub fn record(&mut self, mut activity: Activity) {
        activity.id = self.next_id;
        self.next_id += 1;
        let activity = Rc::new(activity);
        if self.ring.len() == KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back(Rc::clone(&activity));
        // An error means that nobody watches.
        let _ = self.stream.send(activity);
    }

    /// Hands an event to the watchers alone: there are many of its kind, and they would push the others
    /// out of the ring.
    pub fn mention(&mut self, activity: Activity) {
        if self.stream.receiver_count() > 0 {
            let _ = self.stream.send(Rc::new(activity));
        }
    }

    /// Everything from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Rc<Activity>> {
        self.stream.subscribe()
    }

    /// The events after `cursor` (without one, or with one of an earlier run: the newest), at most
    /// `limit`, of these kinds (none: all), oldest first.
    pub fn events(&self, cursor: Option<&str>, limit: usize, kinds: &[String]) -> Events {
        let wanted = |event: &&Rc<Activity>| kinds.is_empty() || kinds.contains(&event.kind);
        let after = cursor.and_then(|text| text.strip_prefix(&format!("{}-", self.run))?.parse::<u64>().ok());
        let restarted = cursor.is_some() && after.is_none();
        let (events, last): (Vec<&Rc<Activity>>, u64) = match after {
            Some(after) => {
                let new = self.ring.iter().filter(|event| event.id > after);
                let events: Vec<_> = new.filter(wanted).take(limit).collect();
                let full = events.len() == limit;
                let last = events.last().filter(|_| full).map_or(self.next_id - 1, |event| event.id);
                (events, last)
            }
            None => {
                let mut events: Vec<_> = self.ring.iter().rev().filter(wanted).take(limit).collect();
                events.reverse();
                (events, self.next_id - 1)
            }
        };
        let oldest = self.ring.front().map_or(self.next_id, |event| event.id);
        Events {
            now: super::clock::wall(),
            cursor: format!("{}-{last}", self.run),
            missed: after.map_or(0, |after| oldest.saturating_sub(after + 1)),
            restarted,
            events: events.into_iter().map(|event| (**event).clone()).collect(),
        }
    }
}

/// What there will be to tell of an event, taken before the ledger takes the event itself.
#[derive(Debug)]
pub enum Told {
    /// A whole list.
    List {
        /// Whose; `None` for the owner's block list and allowances.
        source: Option<Source>,
        /// What it is a list of.
        what: &'static str,
    },
    /// One address or network.
    One {
        /// `ban`, `unban`, `allow` or `disallow`.
        kind: &'static str,
        /// Which.
        net: IpNet,
        /// Its end, if it has one.
        lifetime: Lifetime,
        /// Who banned or frees, if it is about a ban.
        source: Option<Source>,
        /// What a ban is for.
        reason: Option<Reason>,
    },
    /// Nothing.
    Nothing,
}

impl Told {
    /// What to tell of this event.
    pub fn of(event: &Event) -> Told {
        match event {
            Event::List { source, .. } | Event::Entries { source, .. } => {
                Told::List { source: Some(*source), what: "list" }
            }
            Event::Lapse { source } => Told::List { source: Some(*source), what: "lapse" },
            Event::BlockList { .. } => Told::List { source: None, what: "block list" },
            Event::AllowList { .. } => Told::List { source: None, what: "allow list" },
            Event::Ban { source, net, lifetime, reason } => Told::One {
                kind: "ban",
                net: *net,
                lifetime: *lifetime,
                source: Some(*source),
                reason: Some(reason.clone()),
            },
            Event::Unban { source, net } => Told::one("unban", *net, Some(*source), Lifetime::Forever),
            Event::Allow { entry, .. } => Told::one("allow", entry.net, None, entry.lifetime),
            Event::Disallow { net, .. } => Told::one("disallow", *net, None, Lifetime::Forever),
            Event::Contact { .. } => Told::Nothing,
        }
    }

    fn one(kind: &'static str, net: IpNet, source: Option<Source>, lifetime: Lifetime) -> Told {
        Told::One { kind, net, lifetime, source, reason: None }
    }

    /// The source, where it is a source's event.
    pub fn source(&self) -> Option<Source> {
        match self {
            Told::List { source, .. } | Told::One { source, .. } => *source,
            Told::Nothing => None,
        }
    }

    /// Whether this begins a ban of one address.
    pub fn is_ban(&self) -> bool {
        matches!(self, Told::One { kind: "ban", .. })
    }

    /// The line for a whole list; `None` for anything else, and for a list that changed nothing.
    pub fn list_line(&self, applied: &Applied) -> Option<String> {
        let Told::List { what, .. } = self else { return None };
        if applied.added + applied.removed + applied.renewed + applied.refused.total() == 0 {
            return None;
        }
        let Applied { added, removed, renewed, .. } = applied;
        let mut line = match *what {
            "lapse" => plural::of((*removed).into(), "ban", "bans") + " lapsed",
            what => format!("{what} taken: {added} new, {removed} gone, {renewed} with another end"),
        };
        if applied.refused.total() > 0 {
            line.push_str(&format!(", {} never banned", applied.refused.total()));
        }
        Some(line)
    }

    /// The event of a single address, with its end by the wall clock. Made only of what has changed something: a
    /// feed repeats itself a lot.
    pub fn activity(&self, wall: u64) -> Option<(&'static str, Activity)> {
        let Told::One { kind, net, lifetime, source, reason } = self else { return None };
        let activity = Activity {
            address: Some(value::written(*net)),
            source: source.map(|source| source.to_string()),
            reason: reason.as_ref().map(|reason| reason_view(ReasonRef::from(reason))),
            until: lifetime.seconds().map(|seconds| wall + seconds),
            ..Activity::default()
        };
        Some((kind, activity))
    }
}
