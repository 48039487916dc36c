//! A list of host names: each is looked up through the router's resolver and followed by the time that its answer
//! holds, and what all of them stand for is the list.
//!
//! The names are a stranger's, and what they stand for is another's to say: so there may be so many and no more, the
//! resolver is asked at a pace, and no answer makes a private address or the router's own an entry.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Context;
use super::store::{self, Facts};
use crate::feed::{Update, Updates};
use crate::model::entries::{ARRAYS, Shape};
use crate::model::{Builder, Entries, Event, ListUse, Range, Source, special};
use crate::outside;
use crate::plural;
use crate::resolver::{Follower, Pace};

/// Most names that all lists together may have.
pub const MOST: usize = 4096;

/// The names of all lists: ten a second at most, and two when they are asked for again and again.
pub fn pace() -> Pace {
    Pace::new(Duration::from_millis(100), Duration::from_millis(500))
}

/// What has been said in so long is taken together, and of many entries so many in a millisecond more: a slow router is
/// not to sort a hundred thousand again and again.
const SETTLE: Duration = Duration::from_secs(2);
const A_MILLISECOND: u32 = 4;

/// Time between two copies on disk, and between two sentences about the names.
const PAUSE: Duration = Duration::from_secs(60);

/// What a list of names is at the moment.
pub struct Names {
    source: Source,
    usage: ListUse,
    context: Rc<Context>,
    updates: Updates,
    follower: Follower,
    /// When what has been said is to be taken; `None`: nothing has been since.
    due: Option<Instant>,
    /// Entries that the names stood for at last.
    size: u32,
    /// What is wrong with the names, as it was said last, and when.
    said: Option<String>,
    said_at: Option<Instant>,
    /// What is known of the list, where it is kept, how often at most, and when it last was.
    facts: Facts,
    path: PathBuf,
    pause: Duration,
    written: Option<Instant>,
    /// The names that are kept are these.
    pub is_kept: bool,
}

impl Names {
    /// None yet. `pause`: time between two copies on what is at `path`.
    pub fn new(
        (source, usage): (Source, ListUse),
        context: Rc<Context>,
        updates: Updates,
        path: PathBuf,
        pause: Duration,
    ) -> Names {
        let follower = Follower::at_pace(Rc::clone(&context.pace));
        let (due, said, said_at, written) = (None, None, None, None);
        let (facts, pause, size) = (Facts::default(), pause.max(PAUSE), 0);
        let is_kept = false;
        Names {
            source,
            usage,
            context,
            updates,
            follower,
            due,
            size,
            said,
            said_at,
            facts,
            path,
            pause,
            written,
            is_kept,
        }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.follower.names().count()).unwrap_or(u32::MAX)
    }

    /// How many there may be, other lists being what they are.
    pub fn room(&self) -> usize {
        (MOST + self.follower.names().count()).saturating_sub(self.context.pace.names())
    }

    /// Takes what was kept: names, and what they stood for.
    pub fn recall(&mut self, facts: Facts, entries: &Entries) {
        self.follower.set(entries.texts().iter().map(|name| &**name));
        let mut known: Vec<Vec<IpAddr>> = vec![Vec::new(); entries.texts().len()];
        for (part, family) in ARRAYS.into_iter().filter(|(part, _)| *part == Shape::Hosts) {
            for (first, last) in entries.pieces(part, family, 0, [&[]; 2]) {
                let address = Range::of(family, first, last).first;
                let name = usize::from(entries.tag(address)).checked_sub(1).and_then(|at| known.get_mut(at));
                name.into_iter().for_each(|name| name.push(address));
            }
        }
        for (name, addresses) in entries.texts().iter().zip(known) {
            self.follower.recall(name, addresses);
        }
        (self.facts, self.written, self.is_kept) = (facts, Some(Instant::now()), true);
    }

    /// These are its names from now on. `anew`: what is known of them is asked for again.
    pub fn set(&mut self, names: &BTreeSet<Box<str>>, facts: Facts, anew: bool) {
        self.follower.set(names.iter().map(|name| &**name));
        if anew {
            self.follower.ask_again();
        }
        self.is_kept &= self.facts.is_same(&facts);
        (self.facts, self.said_at) = (facts, None);
        self.take_soon();
    }

    fn take_soon(&mut self) {
        let wait = SETTLE + Duration::from_millis((self.size / A_MILLISECOND).into());
        let soon = Instant::now() + wait;
        // What waits for a copy or a sentence only waits up to a minute.
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    /// The list has been seen to be unchanged.
    pub fn seen(&mut self, fetched: u64) {
        self.facts.fetched = fetched;
    }

    /// There is no list any more.
    pub fn clear(&mut self) {
        self.follower.set(std::iter::empty());
        self.due = None;
    }

    /// Follows them for ever, and posts what they stand for when it has changed. May be dropped at any time.
    pub async fn follow(&mut self) -> Infallible {
        loop {
            let due = self.due;
            tokio::select! {
                () = self.follower.changed() => self.take_soon(),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.post().await,
            }
        }
    }

    async fn post(&mut self) {
        let untried = self.follower.untried();
        // Of those who alone may come all are to be known before others are kept out.
        if untried > 0 && self.usage == ListUse::Only {
            self.due = None;
            return;
        }
        let now = Instant::now();
        let (entries, trouble) = self.look();
        let mut again = None;
        if untried == 0 && trouble != self.said {
            match self.said_at.map(|at| at + PAUSE).filter(|at| *at > now) {
                // Some names come and go, and nobody wants to read of each.
                Some(later) => again = Some(later),
                None => {
                    self.send(Update::Notice { key: "names", text: trouble.clone() }).await;
                    (self.said, self.said_at) = (trouble, Some(now));
                }
            }
        }
        if let Some(entries) = entries {
            self.size = entries.size().all();
            let entries = Arc::new(entries);
            match self.written.map(|at| at + self.pause).filter(|at| *at > now) {
                _ if untried > 0 => {}
                None => self.keep(&entries).await,
                // What wears has the next change.
                Some(later) if self.pause == PAUSE => again = again.or(Some(later)),
                Some(_) => {}
            }
            let entries = Arc::unwrap_or_clone(entries);
            self.send(Update::Event(Event::Entries { source: self.source, entries })).await;
        }
        self.due = again;
    }

    /// What the names stand for, `None` if there is no room for it; and a sentence about what is wrong with them.
    fn look(&self) -> (Option<Entries>, Option<String>) {
        let room = self.context.room(self.source);
        let mut builder = Builder::with_texts(room, MOST);
        let own = self.context.own.borrow();
        let (mut silent, mut first_silent) = (0, None);
        let (mut spared, mut first_spared) = (0, None);
        for (name, addresses, trouble) in self.follower.names() {
            let tag = builder.text(name);
            if let Some(why) = trouble {
                silent += 1;
                first_silent.get_or_insert((name, why));
            }
            for address in addresses {
                if special::has(*address) || own.contains(address) {
                    spared += 1;
                    first_spared.get_or_insert((name, *address));
                } else {
                    builder.tagged(Range::single(*address), tag);
                }
            }
        }
        let entries = builder.finish().ok();
        let mut troubles = Vec::new();
        if let Some((name, why)) = first_silent {
            troubles.push(format!("{silent} of its {} names cannot be resolved; {name}: {why}", self.count()));
        }
        if let Some((name, address)) = first_spared {
            let spared = plural::of(spared, "address is", "addresses are");
            troubles.push(format!("{spared} left out; {name} is {address}, which no list can have"));
        }
        if entries.is_none() {
            troubles.push(format!(
                "its names stand for more addresses than max_entries leaves room for ({room}); what was in force stays"
            ));
        }
        let text = outside::clean(&troubles.join("; "), outside::SENTENCE);
        (entries, Some(text).filter(|text| !text.is_empty()))
    }

    /// Keeps it over a restart.
    async fn keep(&mut self, entries: &Arc<Entries>) {
        self.written = Some(Instant::now());
        let text = store::keep(self.path.clone(), self.facts.clone(), Arc::clone(entries)).await;
        self.is_kept = text.is_none();
        self.send(Update::Notice { key: "kept", text }).await;
    }

    async fn send(&self, update: Update) {
        // An error means that the daemon stops.
        let _ = self.updates.send((self.source, update)).await;
    }
}
