//! How often an address has failed within a window, and whether that is too often.
//!
//! Pure: failures and the time go in, a verdict comes out. Bounded: the address that has been quiet for
//! longest gives way. The daemon's `logins` calls it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::ledger::Moment;

/// Pairs of address and watch that are remembered.
pub const REMEMBERED: usize = 1024;

/// How many failures within how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many failures are too many. 1 to [`Limit::MOST`].
    pub attempts: u32,
    /// The window they have to fall into.
    pub window: Duration,
}

impl Limit {
    /// Most that `attempts` may be.
    pub const MOST: u32 = 100;
}

impl Default for Limit {
    fn default() -> Limit {
        Limit { attempts: 5, window: Duration::from_secs(600) }
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Attempts {
    /// When each address failed at each watch, in seconds, oldest first; never empty.
    failed: HashMap<(IpAddr, u16), VecDeque<u32>>,
}

impl Attempts {
    /// More failures at the watch with this number. `true`: too many; they are forgotten then.
    pub fn fail(&mut self, now: Moment, address: IpAddr, watch: u16, tries: u32, limit: Limit) -> bool {
        let key = (address, watch);
        if !self.failed.contains_key(&key) && self.failed.len() >= REMEMBERED {
            self.make_room();
        }
        let times = self.failed.entry(key).or_default();
        let window = u32::try_from(limit.window.as_secs()).unwrap_or(u32::MAX);
        times.retain(|then| now.0.saturating_sub(*then) < window);
        times.extend((0..tries.min(Limit::MOST)).map(|_| now.0));
        if times.len() < limit.attempts as usize {
            return false;
        }
        self.failed.remove(&key);
        true
    }

    /// The last failure was none.
    pub fn take_back(&mut self, address: IpAddr, watch: u16) {
        let key = (address, watch);
        if let Some(times) = self.failed.get_mut(&key) {
            times.pop_back();
            if times.is_empty() {
                self.failed.remove(&key);
            }
        }
    }

    /// How many pairs are remembered.
    pub fn remembered(&self) -> usize {
        self.failed.len()
    }

    /// Forgets everything: the watches have other numbers now.
    pub fn clear(&mut self) {
        self.failed.clear();
    }

    fn make_room(&mut self) {
        let quietest = self.failed.iter().min_by_key(|(_, times)| times.back().copied()).map(|(key, _)| *key);
        if let Some(key) = quietest {
            self.failed.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn five_in_ten_minutes_are_too_many() {
        let mut attempts = Attempts::default();
        let limit = Limit::default();
        let mut fail = |at: u32| attempts.fail(Moment(at), address(1), 0, 1, limit);
        assert_eq!([0, 100, 200, 599].map(&mut fail), [false; 4]);
        // The first one is 600 s ago and counts no longer.
        assert!(!fail(600));
        assert!(fail(601));
        assert!(!fail(602), "counting starts anew");
    }

    #[test]
    fn addresses_and_watches_are_counted_apart() {
        let mut attempts = Attempts::default();
        let limit = Limit { attempts: 2, ..Limit::default() };
        assert!(!attempts.fail(Moment(0), address(1), 0, 1, limit));
        assert!(!attempts.fail(Moment(0), address(1), 1, 1, limit));
        assert!(!attempts.fail(Moment(0), address(2), 0, 1, limit));
        assert!(attempts.fail(Moment(0), address(1), 0, 1, limit));
        assert!(attempts.fail(Moment(0), address(3), 0, 1, Limit { attempts: 1, ..limit }));
    }

    #[test]
    fn several_at_once_and_taken_back() {
        let mut attempts = Attempts::default();
        let limit = Limit::default();
        assert!(!attempts.fail(Moment(0), address(1), 0, 4, limit));
        attempts.take_back(address(1), 0);
        assert!(!attempts.fail(Moment(0), address(1), 0, 1, limit));
        assert!(attempts.fail(Moment(0), address(1), 0, u32::MAX, limit));
        attempts.take_back(address(1), 0);
        attempts.fail(Moment(0), address(1), 0, 1, limit);
        attempts.take_back(address(1), 0);
        assert_eq!(attempts.remembered(), 0);
    }

    #[test]
    fn the_quietest_gives_way() {
        let mut attempts = Attempts::default();
        let limit = Limit { attempts: 3, window: Duration::from_secs(1 << 20) };
        attempts.fail(Moment(0), address(0), 0, 1, limit);
        attempts.fail(Moment(1), address(1), 0, 1, limit);
        attempts.fail(Moment(2), address(0), 0, 1, limit);
        for number in 2..=REMEMBERED as u32 {
            attempts.fail(Moment(number + 1), address(number), 0, 1, limit);
        }
        assert_eq!(attempts.remembered(), REMEMBERED);
        assert!(attempts.fail(Moment(5000), address(0), 0, 1, limit), "remembered");
        for number in 1..3 {
            assert!(!attempts.fail(Moment(5000), address(1), 0, 1, limit), "forgotten at first: {number}");
        }
    }
}
