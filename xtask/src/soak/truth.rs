//! What must be in force, as the soak itself keeps count of it: naively, knowing nothing of how the daemon does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// By how much an end may be off: seconds are whole, and messages have a way to go.
pub const SLACK: Duration = Duration::from_secs(4);

/// By how much more once it was written down and read again.
const RETOLD: Duration = Duration::from_secs(2);

/// An end, as exactly as it is known. `None`: there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// Until then it must be in force; nothing before the beginning of time: it need not be at all.
    pub surely: Option<Instant>,
    /// Afterwards it must not be.
    pub at_most: Option<Instant>,
}

impl Until {
    /// Until it is taken back.
    pub const EVER: Until = Until { surely: None, at_most: None };

    /// A time that began between two moments.
    pub fn after(earliest: Instant, latest: Instant, time: Duration) -> Until {
        Until { surely: Some(earliest + time), at_most: Some(latest + time) }
    }
}

/// Addresses and networks with their ends.
pub struct Book {
    entries: BTreeMap<String, Until>,
    /// By how much an end may be off.
    slack: Duration,
}

/// What a set that was read between two moments must hold and may hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// At least these.
    pub must: BTreeSet<String>,
    /// At most these.
    pub may: BTreeSet<String>,
}

impl Book {
    /// Nothing is in it.
    pub fn new(slack: Duration) -> Book {
        Book { entries: BTreeMap::new(), slack }
    }

    /// Strikes out everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Enters one; what there was of it is forgotten.
    pub fn enter(&mut self, name: String, until: Until) {
        self.entries.insert(name, until);
    }

    /// Strikes one out.
    pub fn strike(&mut self, name: &str) {
        self.entries.remove(name);
    }

    /// All of it.
    pub fn entries(&self) -> &BTreeMap<String, Until> {
        &self.entries
    }

    /// Whether one is in it, its end aside.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Those without an end.
    pub fn lasting(&self) -> Vec<String> {
        let lasting = self.entries.iter().filter(|(_, until)| **until == Until::EVER);
        lasting.map(|(name, _)| name.clone()).collect()
    }

    /// Every end was written down and read again, by whole seconds.
    pub fn retell(&mut self) {
        for Until { surely, at_most } in self.entries.values_mut() {
            *surely = surely.map(|end| end.checked_sub(RETOLD).unwrap_or(end));
            *at_most = at_most.map(|end| end + RETOLD);
        }
    }

    /// What is in it may be lost: nothing of it must be in force any more.
    pub fn doubt(&mut self, now: Instant) {
        for until in self.entries.values_mut() {
            until.surely = Some(now);
        }
    }

    /// Strikes out what has ended for certain; the names.
    pub fn forget_ended(&mut self, now: Instant) -> Vec<String> {
        let is_over = |until: &Until| until.at_most.is_some_and(|end| end + self.slack < now);
        let over: Vec<String> =
            self.entries.iter().filter(|(_, until)| is_over(until)).map(|(name, _)| name.clone()).collect();
        over.iter().for_each(|name| self.strike(name));
        over
    }

    /// What a set that was read between these moments must and may hold.
    pub fn expected(&self, before: Instant, after: Instant) -> Expected {
        let mut expected = Expected::default();
        for (name, until) in &self.entries {
            if until.surely.is_none_or(|end| after + self.slack < end) {
                expected.must.insert(name.clone());
            }
            if until.at_most.is_none_or(|end| before < end + self.slack) {
                expected.may.insert(name.clone());
            }
        }
        expected
    }

    /// Whether the kernel may say that so many seconds are left, read between these moments.
    pub fn agrees(&self, name: &str, left: Option<u64>, before: Instant, after: Instant) -> bool {
        let Some(until) = self.entries.get(name) else { return false };
        let (Some(end), Some(left)) = (until.at_most, left) else { return until.at_most.is_none() == left.is_none() };
        let left = Duration::from_secs(left);
        before + left <= end + self.slack
            && until.surely.is_none_or(|surely| surely < after || surely <= after + left + self.slack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn around_an_end_both_are_right_and_elsewhere_one() {
        let now = Instant::now() + Duration::from_secs(1000);
        let mut book = Book::new(SLACK);
        book.enter("a".into(), Until::after(now, now + Duration::from_secs(1), Duration::from_secs(60)));
        book.enter("b".into(), Until::EVER);
        let at = |seconds| {
            let moment = now + Duration::from_secs(seconds);
            let Expected { must, may } = book.expected(moment, moment);
            (must.contains("a"), may.contains("a"), must.contains("b") && may.contains("b"))
        };
        assert_eq!(at(50), (true, true, true));
        assert_eq!(at(60), (false, true, true));
        assert_eq!(at(70), (false, false, true));
    }

    #[test]
    fn an_end_that_is_off_is_seen() {
        let now = Instant::now() + Duration::from_secs(1000);
        let mut book = Book::new(SLACK);
        book.enter("a".into(), Until::after(now, now, Duration::from_secs(3600)));
        book.enter("b".into(), Until::EVER);
        for (name, left, right) in [
            ("a", Some(3600), true),
            ("a", Some(3500), false),
            ("a", Some(7200), false),
            ("a", None, false),
            ("b", None, true),
            ("b", Some(60), false),
            ("c", None, false),
        ] {
            assert_eq!(book.agrees(name, left, now, now), right, "{name} {left:?}");
        }
    }

    #[test]
    fn what_is_doubted_need_not_be_and_may_be() {
        let now = Instant::now() + Duration::from_secs(1000);
        let mut book = Book::new(SLACK);
        book.enter("a".into(), Until::after(now, now, Duration::from_secs(60)));
        book.doubt(now);
        let Expected { must, may } = book.expected(now, now);
        assert!(must.is_empty() && may.contains("a"));
        assert!(book.forget_ended(now).is_empty());
        assert_eq!(book.forget_ended(now + Duration::from_secs(90)), ["a"]);
    }
}
