//! A set compared with what it is to hold, a little at a time.
//!
//! The kernel's dump of a hash set takes the square of its size: seconds with 200,000 elements. So a [`Look`] may
//! be taken in a thread of its own, and the [`Comparison`] goes through the [`Contents`] in steps, against what is
//! desired at each step. Whatever was changed meanwhile comes out right: all that is sent can be sent twice, what is
//! taken out is nothing that is desired, and what only the contents lacks is asked for before it counts as missing.
//!
//! A dump loses elements when others are taken out while it goes on, and while the kernel resizes the set, without
//! a word. Where elements that it lacks are found to be there, a new look is due ([`Comparison::must_repeat`]).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Firewall;
use super::error::Error;
use super::names::{Family, Names, SetKey};
use super::netlink::Socket;
use super::reconcile::{self, Present, Reconciled, TOLERANCE};
use crate::model::{Cursor, Desired, Lifetime, Range, SetChange};

/// Elements of what is desired that are looked at between two looks at the work done.
const AT_ONCE: usize = 64;

/// What looking at one element, sending one, and asking the kernel for one cost, in units of work.
const JUDGED: u32 = 1;
const SENT: u32 = 8;
const ASKED: u32 = 20;

/// So many missing elements are asked for in any case, and more while a quarter of them turn out to be there.
const ASK: u32 = 64;

/// A contents that lacks so many elements that are there is not worth going on with.
const LOST: u32 = 64;

/// Elements that were changed while a set is compared, by one's own hand: putting them right is no correction.
#[derive(Debug, Default)]
pub struct Touched {
    some: BTreeSet<IpAddr>,
    /// There were more than can be remembered.
    more: bool,
}

impl Touched {
    /// Remembered one by one; of more, every element counts as touched.
    const MOST: usize = 4096;

    /// Takes note of a change.
    pub fn note(&mut self, range: Range) {
        if self.some.len() < Touched::MOST {
            self.some.insert(range.first);
        } else {
            self.more = true;
        }
    }

    /// Nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.some.is_empty()
    }

    fn has(&self, range: Range) -> bool {
        self.more || self.has_surely(range)
    }

    /// It was changed for certain, and is as it is to be.
    fn has_surely(&self, range: Range) -> bool {
        self.some.contains(&range.first)
    }
}

/// What is to be read of the kernel. Can be given to a thread of the same network namespace.
#[derive(Debug)]
pub struct Look {
    names: Names,
    key: SetKey,
    stop: Arc<AtomicBool>,
}

/// Ends a [`Look`] in another thread early when it is dropped.
#[derive(Debug)]
pub struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a set held.
pub struct Contents {
    key: SetKey,
    held: Held,
}

enum Held {
    V4(Present<[u8; 4]>),
    V6(Present<[u8; 16]>),
}

impl Look {
    /// Nothing is read yet.
    pub fn new(names: Names, key: SetKey) -> Look {
        Look { names, key, stop: Arc::default() }
    }

    /// What ends it early.
    pub fn stop(&self) -> Stop {
        Stop(Arc::clone(&self.stop))
    }

    /// Reads the set over a socket of its own; `None`: it has more than about `most` elements, or it was stopped.
    ///
    /// # Errors
    /// [`Error::NoSet`], [`Error::Netlink`].
    pub fn take(&self, most: usize) -> Result<Option<Contents>, Error> {
        let failed = |cause| Error::Netlink { doing: "opening a netlink socket", cause };
        let mut socket = Socket::open(mnl::Bus::Netfilter).map_err(failed)?;
        let goes_on = &|seen: usize| seen <= most && !self.stop.load(Ordering::Relaxed);
        let (names, key) = (&self.names, self.key);
        let held = match key.family {
            Family::V4 => Present::dump(&mut socket, names, key, goes_on)?.map(Held::V4),
            Family::V6 => Present::dump(&mut socket, names, key, goes_on)?.map(Held::V6),
        };
        Ok(held.map(|held| Contents { key, held }))
    }
}

impl Contents {
    fn nothing(key: SetKey) -> Contents {
        let held = match key.family {
            Family::V4 => Held::V4(Present::nothing()),
            Family::V6 => Held::V6(Present::nothing()),
        };
        Contents { key, held }
    }

    /// Which set it is of.
    pub fn key(&self) -> SetKey {
        self.key
    }

    /// Elements, an interval counting as one.
    pub fn len(&self) -> usize {
        match &self.held {
            Held::V4(present) => present.len(),
            Held::V6(present) => present.len(),
        }
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every element, with the time that it has left by now.
    pub(super) fn for_each(&self, f: &mut dyn FnMut(Range, Lifetime)) {
        let mut at = 0;
        while let Some((range, lifetime)) = self.next(&mut at) {
            f(range, lifetime);
        }
    }

    /// The next element from that place on.
    fn next(&self, at: &mut usize) -> Option<(Range, Lifetime)> {
        match &self.held {
            Held::V4(present) => present.next(at),
            Held::V6(present) => present.next(at),
        }
    }

    fn has_everybody(&self) -> bool {
        match &self.held {
            Held::V4(present) => present.has_everybody(),
            Held::V6(present) => present.has_everybody(),
        }
    }

    fn holds(&self, range: Range) -> bool {
        match &self.held {
            Held::V4(present) => present.holds(range),
            Held::V6(present) => present.holds(range),
        }
    }
}

/// See the module's head.
pub struct Comparison {
    contents: Contents,
    /// The contents was not read, and is asked for nowhere.
    blind: bool,
    /// What is there and not desired stays.
    keeps: bool,
    /// What stands for every address is to go.
    everybody: bool,
    /// Where it has come in the contents; `None`: through.
    at: Option<usize>,
    cursor: Cursor,
    done: Reconciled,
    strangers: usize,
    asked: u32,
    lost: u32,
}

impl Comparison {
    /// Begins at the beginning. `keeps`: what is there and not desired stays.
    pub fn new(contents: Contents, keeps: bool) -> Comparison {
        let done = Reconciled { found: contents.len(), ..Reconciled::default() };
        let (at, cursor, everybody) = (Some(0), Cursor::default(), contents.has_everybody());
        Comparison { contents, blind: false, keeps, everybody, at, cursor, done, strangers: 0, asked: 0, lost: 0 }
    }

    /// Puts in all that is desired, whatever is there, and takes nothing out: where a hash set can lack only what the daemon
    /// itself has left for later. To the kernel an element that is there costs what a new one does, and to read it more.
    pub fn additions(key: SetKey) -> Comparison {
        Comparison { blind: true, ..Comparison::new(Contents::nothing(key), true) }
    }

    /// The set it is about.
    pub fn key(&self) -> SetKey {
        self.contents.key
    }

    /// What it has found and done so far.
    pub fn result(&self) -> Reconciled {
        self.done
    }

    /// Elements found that are not desired and stay.
    pub fn strangers(&self) -> usize {
        self.strangers
    }

    /// The contents lacked elements that are there: it may lack such as are to go, too.
    pub fn must_repeat(&self) -> bool {
        self.lost > 0
    }

    /// Goes on until all is done (`true`), or `work` units are, or a transaction is full, and sends what differs. `touched` has what
    /// was changed since before the look. Where an interval set was touched the result is wrong: look again.
    ///
    /// # Errors
    /// What sending fails with; part of the difference is sent then.
    pub fn step(
        &mut self,
        firewall: &mut Firewall,
        desired: &dyn Desired,
        touched: &Touched,
        work: &mut u32,
    ) -> Result<bool, Error> {
        // What nobody wants goes first: it may be in the way of an interval, or take a full set's room.
        if std::mem::take(&mut self.everybody) {
            firewall.remove_everybody(self.contents.key)?;
            self.done.removed += 1;
        }
        let sent = firewall.sent();
        while let Some(at) = &mut self.at {
            let Some(element) = self.contents.next(at) else {
                self.at = None;
                firewall.commit()?;
                break;
            };
            self.judge(firewall, desired, touched, element, work);
            if *work == 0 || firewall.sent() != sent {
                return firewall.pause().map(|()| false);
            }
        }
        while self.lost < LOST && self.add_missing(firewall, desired, touched, work)? {
            if *work == 0 || firewall.sent() != sent {
                return firewall.pause().map(|()| false);
            }
        }
        firewall.commit().map(|()| true)
    }

    fn judge(
        &mut self,
        firewall: &mut Firewall,
        desired: &dyn Desired,
        touched: &Touched,
        (range, is): (Range, Lifetime),
        work: &mut u32,
    ) {
        let set = self.contents.key.set;
        let counts = usize::from(!touched.has(range));
        *work = work.saturating_sub(JUDGED);
        let change = match desired.wanted(range) {
            // It ends by itself this very moment.
            None if is == Lifetime::Seconds(0) => return,
            None if self.keeps => return self.strangers += 1,
            None => {
                self.done.removed += counts;
                SetChange::Delete { set, range }
            }
            Some(lifetime) if reconcile::same_lifetime(is, lifetime, TOLERANCE) => return,
            Some(lifetime) => {
                self.done.renewed += counts;
                SetChange::Renew { set, range, lifetime }
            }
        };
        *work = work.saturating_sub(SENT);
        firewall.push(change);
    }

    /// Puts in the next few that the contents lacks; `false`: those were the last.
    fn add_missing(
        &mut self,
        firewall: &mut Firewall,
        desired: &dyn Desired,
        touched: &Touched,
        work: &mut u32,
    ) -> Result<bool, Error> {
        let key = self.contents.key;
        let mut missing = Vec::new();
        let more = desired.walk(&mut self.cursor, AT_ONCE, &mut |range, lifetime| {
            if Family::of(range.first) == key.family && !self.contents.holds(range) && !touched.has_surely(range) {
                missing.push((range, lifetime));
            }
        });
        *work = work.saturating_sub(AT_ONCE as u32 * JUDGED);
        for (range, lifetime) in missing {
            if self.is_there(firewall, range, work)? {
                continue;
            }
            self.done.added += usize::from(!touched.has(range));
            *work = work.saturating_sub(SENT);
            firewall.push(SetChange::Add { set: key.set, range, lifetime });
        }
        Ok(more)
    }

    /// Whether an element that the contents lacks is there all the same. While none is, it is not asked for each.
    fn is_there(&mut self, firewall: &mut Firewall, range: Range, work: &mut u32) -> Result<bool, Error> {
        if self.blind || self.contents.key.set.is_interval() || self.asked >= ASK && self.lost * 4 < self.asked {
            return Ok(false);
        }
        *work = work.saturating_sub(ASKED);
        self.asked += 1;
        let there = firewall.element(self.contents.key, range.first)?.is_some();
        self.lost += u32::from(there);
        Ok(there)
    }
}
