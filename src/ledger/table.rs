//! One source's bans of one family: rows of 16 bytes an IPv4 ban, and the order of their ends.
//!
//! Says what changes for the kernel as it changes; knows no other source and no networks. A `Book`
//! holds two of these, the ledger one book a source.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::{repeat, repeat_n};
use std::net::IpAddr;

use super::Applied;
use super::moment::{End, GRACE, Moment};
use super::nets;
use super::protect::Protection;
use super::reason::{ReasonRef, Texts};
use super::rows::{Ban, Key, Rows};
use crate::model::{Cursor, Lifetime, Listed, Range, SetChange, SetId, Source};

/// What a table needs to know and to tell while it changes.
pub(super) struct Cause<'a> {
    pub(super) now: Moment,
    pub(super) source: Source,
    /// Most bans of the source.
    pub(super) most: usize,
    pub(super) texts: &'a mut Texts,
    pub(super) protection: &'a Protection,
    pub(super) sink: &'a mut dyn FnMut(SetChange),
    pub(super) applied: &'a mut Applied,
}

impl Cause<'_> {
    /// The same for one of the source's tables, while the other has so many of its bans.
    pub(super) fn leaving(&mut self, others: usize) -> Cause<'_> {
        Cause {
            now: self.now,
            source: self.source,
            most: self.most.saturating_sub(others),
            texts: self.texts,
            protection: self.protection,
            sink: self.sink,
            applied: self.applied,
        }
    }

    /// The same for the source's networks, while its tables have so many of its bans.
    pub(super) fn of_nets(&mut self, others: usize) -> nets::Cause<'_> {
        nets::Cause {
            now: self.now,
            most: self.most.saturating_sub(others),
            protection: Some(self.protection),
            outside: true,
            sink: self.sink,
            applied: self.applied,
        }
    }

    /// A new element. The kernel may have a scanner's already: a rule adds them by itself, for a short
    /// time, and only a renewal gives such an element the ledger's end.
    fn add(&mut self, address: IpAddr, lifetime: Lifetime) {
        (self.sink)(add(SetId::Ban(self.source), address, lifetime));
    }

    fn renew(&mut self, address: IpAddr, lifetime: Lifetime) {
        let set = SetId::Ban(self.source);
        (self.sink)(SetChange::Renew { set, range: Range::single(address), lifetime });
    }

    fn delete(&mut self, address: IpAddr) {
        (self.sink)(SetChange::Delete { set: SetId::Ban(self.source), range: Range::single(address) });
    }
}

/// See [`Cause::add`].
fn add(set: SetId, address: IpAddr, lifetime: Lifetime) -> SetChange {
    let range = Range::single(address);
    if matches!(set, SetId::Ban(source) if source.is_own()) {
        SetChange::Renew { set, range, lifetime }
    } else {
        SetChange::Add { set, range, lifetime }
    }
}

/// See the module's head.
///
/// `ends` has, for every ban that ends, at least one entry that is not later than its end; entries that
/// no longer fit are dropped or put back where they belong when their time comes. So a ban that is
/// prolonged again and again costs nothing here.
#[derive(Debug)]
pub(super) struct Table<K> {
    bans: Rows<K>,
    ends: BinaryHeap<Reverse<(End, K)>>,
    withheld: u32,
}

impl<K: Key> Table<K> {
    pub(super) fn new() -> Table<K> {
        Table { bans: Rows::new(), ends: BinaryHeap::new(), withheld: 0 }
    }

    /// The bans by the time at which they began.
    pub(super) fn rows(&self) -> &Rows<K> {
        &self.bans
    }

    /// Bans held, those that ended within the last [`GRACE`] seconds included.
    pub(super) fn len(&self) -> usize {
        self.bans.len()
    }

    pub(super) fn withheld(&self) -> u32 {
        self.withheld
    }

    /// The ban of this address, if it is in force by now.
    pub(super) fn get(&self, address: K, now: Moment) -> Option<Ban> {
        self.bans.get(address).copied().filter(|ban| !ban.end.is_over(now))
    }

    /// All bans that have not ended, oldest first.
    pub(super) fn iter(&self, now: Moment) -> impl Iterator<Item = (K, Ban)> + '_ {
        self.bans.iter().filter(move |(_, ban)| !ban.end.is_over(now))
    }

    /// As `iter`, about `most` at a time; see [`Rows::walk`].
    pub(super) fn walk(&self, cursor: &mut Cursor, most: usize, now: Moment, f: &mut dyn FnMut(K, Ban)) -> bool {
        self.bans.walk(cursor, most, &mut |key, ban| {
            if !ban.end.is_over(now) {
                f(key, ban);
            }
        })
    }

    /// Bans an address, or gives its ban a new end; `reason` `None` keeps the one that it has.
    pub(super) fn ban(&mut self, cause: &mut Cause, key: K, lifetime: Lifetime, reason: Option<ReasonRef>) {
        if let Some(refusal) = key.refusal() {
            cause.applied.refused.count(refusal);
            return;
        }
        let end = End::after(cause.now, lifetime);
        let full = self.bans.len() >= cause.most;
        match self.bans.get_mut(key) {
            Some(ban) if ban.end.is_over(cause.now) => self.ban_again(cause, key, lifetime, reason),
            Some(ban) => {
                if let Some(reason) = reason {
                    // Packed before the old one is released, so that a shared text is not made anew.
                    let word = cause.texts.pack(reason);
                    cause.texts.release(ban.word);
                    ban.word = word.with_bits_of(ban.word);
                }
                let old = ban.end;
                if old.is_close_to(end) {
                    cause.applied.unchanged += 1;
                    return;
                }
                ban.end = end;
                cause.applied.renewed += 1;
                if ban.word.is_withheld() {
                    cause.applied.withheld += 1;
                } else {
                    cause.renew(key.into(), lifetime);
                }
                if end < old {
                    self.note_end(key, end);
                }
            }
            None if full => cause.applied.cut += 1,
            None => self.insert(cause, key, lifetime, reason, false),
        }
    }

    /// Starts a ban's time again, at its length; see [`super::Ledger::restart`].
    pub(super) fn restart(&mut self, cause: &mut Cause, key: K) {
        let Some(&ban) = self.bans.get(key).filter(|ban| ban.end != End::NEVER && !ban.end.is_over(cause.now)) else {
            return;
        };
        let length = ban.end.0.saturating_sub(ban.start.0);
        if cause.now.since(ban.start) <= (length / 20).min(30) {
            return;
        }
        let lifetime = Lifetime::Seconds(length);
        self.bans.remove(key);
        self.bans.insert(key, Ban { start: cause.now, end: End::after(cause.now, lifetime), word: ban.word });
        cause.applied.renewed += 1;
        if !ban.word.is_withheld() {
            cause.renew(key.into(), lifetime);
        }
    }

    /// A ban within the grace after its end is banned anew.
    fn ban_again(&mut self, cause: &mut Cause, key: K, lifetime: Lifetime, reason: Option<ReasonRef>) {
        let Some(old) = self.bans.remove(key) else { return };
        cause.texts.release(old.word);
        self.withheld -= u32::from(old.word.is_withheld());
        self.insert(cause, key, lifetime, reason, !old.word.is_withheld());
    }

    /// `lingers`: the kernel may have an element of a former ban for a moment yet.
    fn insert(&mut self, cause: &mut Cause, key: K, lifetime: Lifetime, reason: Option<ReasonRef>, lingers: bool) {
        let end = End::after(cause.now, lifetime);
        let mut word = cause.texts.pack(reason.unwrap_or(ReasonRef::Listed));
        cause.applied.added += 1;
        if cause.protection.covers(K::FAMILY, key.number()) {
            word.set_withheld(true);
            self.withheld += 1;
            cause.applied.withheld += 1;
        } else if lingers {
            cause.renew(key.into(), lifetime);
        } else {
            cause.add(key.into(), lifetime);
        }
        self.bans.insert(key, Ban { start: cause.now, end, word });
        self.note_end(key, end);
    }

    /// Makes room for so many more bans at once.
    pub(super) fn reserve(&mut self, bans: usize) {
        self.bans.reserve(bans);
    }

    /// Puts a ban back as the snapshot has it, without a word to the kernel; [`Table::restored`] ends it.
    pub(super) fn restore(&mut self, key: K, ban: Ban, most: usize, texts: &mut Texts) {
        if key.refusal().is_some() || self.bans.len() >= most {
            texts.release(ban.word);
        } else {
            if let Some(old) = self.bans.remove(key) {
                texts.release(old.word);
            }
            self.bans.append(key, ban);
        }
        self.note_end(key, ban.end);
    }

    /// Everything that the snapshot has is back.
    pub(super) fn restored(&mut self) {
        self.bans.sort();
    }

    /// Takes a ban back.
    pub(super) fn unban(&mut self, cause: &mut Cause, key: K) {
        if let Some(ban) = self.bans.remove(key) {
            self.forget(cause, key, ban);
        }
    }

    /// Takes all bans back.
    pub(super) fn clear(&mut self, cause: &mut Cause) {
        self.replace(cause, &[], &[]);
    }

    /// Makes these the source's bans, by the difference: first what has gone, so that there is room, then
    /// what is new. Costs two look-ups an entry and one pass over the table; copies nothing. `runs`: how many
    /// entries have which reason; those beyond keep theirs.
    pub(super) fn replace(&mut self, cause: &mut Cause, list: &[Listed<K>], runs: &[(usize, ReasonRef)]) {
        let mut missing = 0;
        for entry in list {
            match self.bans.get_mut(entry.address) {
                Some(ban) => ban.word.set_seen(true),
                None => missing += 1,
            }
        }
        self.sweep(cause);
        self.bans.reserve(missing.min(cause.most.saturating_sub(self.bans.len())));
        let reasons = runs.iter().flat_map(|&(count, reason)| repeat_n(Some(reason), count));
        for (entry, reason) in list.iter().zip(reasons.chain(repeat(None))) {
            self.ban(cause, entry.address, entry.lifetime, reason);
        }
        self.give_back_memory();
    }

    /// Keeps what was seen, at most `most`.
    fn sweep(&mut self, cause: &mut Cause) {
        let mut kept = 0;
        let mut bans = std::mem::replace(&mut self.bans, Rows::new());
        bans.retain(&mut |key, ban| {
            let seen = ban.word.is_seen();
            if seen && kept < cause.most {
                kept += 1;
                ban.word.set_seen(false);
                return true;
            }
            self.forget(cause, key, *ban);
            false
        });
        self.bans = bans;
    }

    /// Evicts what is beyond `most`, whichever it hits, and counts it as cut.
    pub(super) fn shrink_to_most(&mut self, cause: &mut Cause) {
        if self.bans.len() > cause.most {
            self.bans.iter_mut().for_each(|(_, ban)| ban.word.set_seen(true));
            cause.applied.cut += u32::try_from(self.bans.len() - cause.most).unwrap_or(u32::MAX);
            self.sweep(cause);
            self.give_back_memory();
        }
    }

    /// Accounts for a ban that has left the table before its time.
    fn forget(&mut self, cause: &mut Cause, key: K, ban: Ban) {
        cause.texts.release(ban.word);
        self.withheld -= u32::from(ban.word.is_withheld());
        if !ban.end.is_over(cause.now) {
            cause.applied.removed += 1;
        }
        // Ended within the grace: the kernel may have it for a moment yet, so the deletion goes out too.
        if !ban.word.is_withheld() {
            cause.delete(key.into());
        }
    }

    /// Protection has changed: withholds what is covered now, gives the kernel what no longer is.
    pub(super) fn protect(
        &mut self,
        now: Moment,
        set: SetId,
        protection: &Protection,
        sink: &mut dyn FnMut(SetChange),
    ) {
        // What has ended stays as it was: the mark says whether the kernel had it.
        for (key, ban) in self.bans.iter_mut() {
            let covered = protection.covers(K::FAMILY, key.number());
            let Some(lifetime) = ban.end.left(now).filter(|_| covered != ban.word.is_withheld()) else { continue };
            ban.word.set_withheld(covered);
            if covered {
                self.withheld += 1;
                sink(SetChange::Delete { set, range: Range::single(key.into()) });
            } else {
                self.withheld -= 1;
                sink(add(set, key.into(), lifetime));
            }
        }
    }

    /// When [`Table::expire`] has something to do next; may be early, never late.
    pub(super) fn next_expiry(&self) -> Option<Moment> {
        self.ends.peek().map(|Reverse((end, _))| Moment(end.0.saturating_add(GRACE)))
    }

    /// Drops what has ended, and says what.
    pub(super) fn expire(&mut self, now: Moment, texts: &mut Texts, gone: &mut dyn FnMut(K)) {
        while let Some(&Reverse((end, key))) = self.ends.peek() {
            if !end.is_settled(now) {
                break;
            }
            self.ends.pop();
            match self.bans.get(key).map(|ban| ban.end) {
                Some(actual) if actual.is_settled(now) => {
                    if let Some(ban) = self.bans.remove(key) {
                        texts.release(ban.word);
                        self.withheld -= u32::from(ban.word.is_withheld());
                        gone(key);
                    }
                }
                Some(actual) => self.note_end(key, actual),
                None => {}
            }
        }
    }

    fn note_end(&mut self, key: K, end: End) {
        if end == End::NEVER {
            return;
        }
        self.ends.push(Reverse((end, key)));
        // Bans that are taken back and come again leave entries behind.
        if self.ends.len() > 2 * self.bans.len() + 64 {
            let ends = self.bans.iter().filter(|(_, ban)| ban.end != End::NEVER);
            self.ends = ends.map(|(key, ban)| Reverse((ban.end, key))).collect();
        }
    }

    fn give_back_memory(&mut self) {
        self.bans.give_back();
    }
}
