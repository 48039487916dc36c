//! How often an address has failed within a window, and whether that is too often.
//!
//! Pure: failures and the time go in, a verdict comes out. Bounded: under a botnet whoever has failed least
//! often gives way, so that newcomers push out nobody who is about to be banned. Among those it is chance
//! that decides: by age, hosts that fail in turn would push one another out for ever. `logins` calls
//! it; the detector of scans counts its suspects with it too.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use crate::ledger::Moment;

/// Bytes that a pair of address and watch takes, about.
const PAIR: u64 = 150;

/// Seconds between two searches for those whose window is over.
const SWEEP: u32 = 60;

/// Those who have failed so often and more are one class.
const CLASSES: usize = 8;

/// How many pairs of address and watch to remember: a 64th of the machine's memory has room for them.
pub fn room() -> usize {
    let system = rustix::system::sysinfo();
    // A word on 32-bit routers.
    #[allow(clippy::useless_conversion)]
    let bytes = u64::from(system.totalram).saturating_mul(u64::from(system.mem_unit));
    usize::try_from((bytes / 64 / PAIR).clamp(4096, 32_768)).unwrap_or(4096)
}

/// How many failures within how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many failures are too many. 1 to [`Limit::MOST`]; more: none are, and the newest `MOST` are counted.
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

type Key = (IpAddr, u16);

#[derive(Debug)]
struct Suspect {
    key: Key,
    /// When it failed, in seconds, oldest first; never empty for long.
    times: Vec<u32>,
    /// When the last of them counts no longer.
    until: u32,
    class: usize,
    /// Its place in its class.
    place: usize,
}

/// See the module's head.
#[derive(Debug)]
pub struct Attempts {
    most: usize,
    entries: Vec<Suspect>,
    index: HashMap<Key, usize>,
    /// The entries by how often they have failed.
    classes: [Vec<usize>; CLASSES],
    swept: u32,
    chance: u64,
    forgotten: u64,
}

impl Attempts {
    /// Remembers at most so many pairs of address and watch.
    pub fn new(most: usize) -> Attempts {
        let chance = std::hash::RandomState::new().build_hasher().finish() | 1;
        let (entries, index) = (Vec::new(), HashMap::new());
        Attempts { most, entries, index, classes: Default::default(), swept: 0, chance, forgotten: 0 }
    }

    /// More failures at the watch with this number. `true`: too many; they are forgotten then.
    pub fn fail(&mut self, now: Moment, address: IpAddr, watch: u16, tries: u32, limit: Limit) -> bool {
        let window = u32::try_from(limit.window.as_secs()).unwrap_or(u32::MAX);
        let at = self.entry(now.0, (address, watch));
        let Some(entry) = self.entries.get_mut(at) else { return false };
        entry.times.retain(|then| now.0.saturating_sub(*then) < window);
        entry.times.extend((0..tries.min(Limit::MOST)).map(|_| now.0));
        entry.times.drain(..entry.times.len().saturating_sub(Limit::MOST as usize));
        entry.until = now.0.saturating_add(window);
        if entry.times.len() >= limit.attempts as usize {
            self.remove(at);
            return true;
        }
        self.sort_in(at);
        false
    }

    /// How many failures of this pair fall into the window by now.
    pub fn count(&self, now: Moment, address: IpAddr, watch: u16, window: Duration) -> usize {
        let window = u32::try_from(window.as_secs()).unwrap_or(u32::MAX);
        let entry = self.index.get(&(address, watch)).and_then(|at| self.entries.get(*at));
        let times = entry.map_or(&[][..], |entry| &entry.times);
        times.iter().filter(|then| now.0.saturating_sub(**then) < window).count()
    }

    /// Forgets this pair, whose failures have been dealt with.
    pub fn remove_pair(&mut self, address: IpAddr, watch: u16) {
        if let Some(&at) = self.index.get(&(address, watch)) {
            self.remove(at);
        }
    }

    /// The last failure was none.
    pub fn take_back(&mut self, address: IpAddr, watch: u16) {
        let Some(&at) = self.index.get(&(address, watch)) else { return };
        let Some(entry) = self.entries.get_mut(at) else { return };
        entry.times.pop();
        if entry.times.is_empty() { self.remove(at) } else { self.sort_in(at) }
    }

    /// How many pairs are remembered.
    pub fn remembered(&self) -> usize {
        self.entries.len()
    }

    /// How many had to be forgotten for want of room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets everything: the watches have other numbers now.
    pub fn clear(&mut self) {
        *self = Attempts { forgotten: self.forgotten, ..Attempts::new(self.most) };
    }

    /// The entry of this pair, made if need be.
    fn entry(&mut self, now: u32, key: Key) -> usize {
        if let Some(at) = self.index.get(&key) {
            return *at;
        }
        if self.entries.len() >= self.most {
            self.make_room(now);
        }
        let at = self.entries.len();
        let place = self.classes.first().map_or(0, Vec::len);
        self.entries.push(Suspect { key, times: Vec::new(), until: now, class: 0, place });
        self.classes.first_mut().into_iter().for_each(|class| class.push(at));
        self.index.insert(key, at);
        at
    }

    fn make_room(&mut self, now: u32) {
        if now.saturating_sub(self.swept) >= SWEEP || self.swept == 0 {
            self.swept = now;
            for at in (0..self.entries.len()).rev() {
                if self.entries.get(at).is_some_and(|entry| entry.until <= now) {
                    self.remove(at);
                }
            }
        }
        while self.entries.len() >= self.most {
            // xorshift64
            self.chance ^= self.chance << 13;
            self.chance ^= self.chance >> 7;
            self.chance ^= self.chance << 17;
            let Some(class) = self.classes.iter().find(|class| !class.is_empty()) else { return };
            let Some(&at) = class.get((self.chance >> 32) as usize % class.len()) else { return };
            self.remove(at);
            self.forgotten += 1;
        }
    }

    /// Puts an entry into the class that it belongs to by now.
    fn sort_in(&mut self, at: usize) {
        let Some(class) = self.entries.get(at).map(|entry| entry.times.len().clamp(1, CLASSES) - 1) else { return };
        self.leave_class(at);
        let Some(members) = self.classes.get_mut(class) else { return };
        members.push(at);
        let place = members.len() - 1;
        self.entries.get_mut(at).into_iter().for_each(|entry| (entry.class, entry.place) = (class, place));
    }

    fn leave_class(&mut self, at: usize) {
        let Some(&Suspect { class, place, .. }) = self.entries.get(at) else { return };
        let Some(members) = self.classes.get_mut(class) else { return };
        members.swap_remove(place);
        if let Some(moved) = members.get(place).and_then(|moved| self.entries.get_mut(*moved)) {
            moved.place = place;
        }
    }

    fn remove(&mut self, at: usize) {
        self.leave_class(at);
        let gone = self.entries.swap_remove(at);
        self.index.remove(&gone.key);
        // The last entry has its place now.
        if let Some(&Suspect { key, class, place, .. }) = self.entries.get(at) {
            self.index.insert(key, at);
            self.classes
                .get_mut(class)
                .and_then(|members| members.get_mut(place))
                .into_iter()
                .for_each(|each| *each = at);
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
        let mut attempts = Attempts::new(1024);
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
        let mut attempts = Attempts::new(1024);
        let limit = Limit { attempts: 2, ..Limit::default() };
        assert!(!attempts.fail(Moment(0), address(1), 0, 1, limit));
        assert!(!attempts.fail(Moment(0), address(1), 1, 1, limit));
        assert!(!attempts.fail(Moment(0), address(2), 0, 1, limit));
        assert!(attempts.fail(Moment(0), address(1), 0, 1, limit));
        assert!(attempts.fail(Moment(0), address(3), 0, 1, Limit { attempts: 1, ..limit }));
    }

    #[test]
    fn several_at_once_and_taken_back() {
        let mut attempts = Attempts::new(1024);
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

    /// Hosts that fail in turn, five times each: how many are banned.
    fn banned(attempts: &mut Attempts, hosts: u32) -> usize {
        let rounds = (0..5).flat_map(|_| 0..hosts);
        rounds.filter(|host| attempts.fail(Moment(100), address(*host), 0, 1, Limit::default())).count()
    }

    #[test]
    fn a_botnet_of_3000_in_turn_is_banned_to_the_last() {
        // As on a router with 64 MB.
        let mut attempts = Attempts::new((64 << 20) / 64 / PAIR as usize);
        assert_eq!(banned(&mut attempts, 3000), 3000);
        assert_eq!((attempts.remembered(), attempts.forgotten()), (0, 0));
        assert!((4096..=32_768).contains(&room()));
    }

    #[test]
    fn a_botnet_larger_than_the_table_does_not_blind_it() {
        let mut attempts = Attempts::new(1000);
        let banned = banned(&mut attempts, 2000);
        // By age it would be nobody: each would be forgotten right before it comes again.
        assert!(banned > 300, "{banned}");
        assert!(attempts.forgotten() > 0 && attempts.remembered() <= 1000);
    }

    #[test]
    fn who_failed_once_gives_way_to_who_failed_four_times() {
        let mut attempts = Attempts::new(1000);
        for host in 0..500 {
            attempts.fail(Moment(0), address(host), 0, 4, Limit::default());
        }
        for newcomer in 10_000..60_000 {
            attempts.fail(Moment(1), address(newcomer), 0, 1, Limit::default());
        }
        assert_eq!((attempts.remembered(), attempts.forgotten()), (1000, 50_000 - 500));
        assert!((0..500).all(|host| attempts.fail(Moment(2), address(host), 0, 1, Limit::default())));
        // Whose window is over goes first, however often he failed, and is not counted.
        let mut attempts = Attempts::new(10);
        for host in 0..10 {
            attempts.fail(Moment(100), address(host), 0, 4, Limit::default());
        }
        attempts.fail(Moment(1000), address(10), 0, 1, Limit::default());
        assert_eq!((attempts.remembered(), attempts.forgotten()), (1, 0));
    }

    proptest::proptest! {
        #[test]
        fn the_tables_agree(steps in proptest::collection::vec((0_u32..30, 1_u32..4, proptest::prelude::any::<bool>()), 1..200)) {
            let mut attempts = Attempts::new(10);
            for (now, (host, tries, back)) in (0..).zip(steps) {
                if back {
                    attempts.take_back(address(host), 0);
                } else {
                    attempts.fail(Moment(now * 20), address(host), 0, tries, Limit::default());
                }
                proptest::prop_assert!(attempts.remembered() <= 10);
                proptest::prop_assert_eq!(attempts.index.len(), attempts.entries.len());
                proptest::prop_assert_eq!(attempts.classes.iter().map(Vec::len).sum::<usize>(), attempts.entries.len());
                for (at, entry) in attempts.entries.iter().enumerate() {
                    proptest::prop_assert_eq!(attempts.index.get(&entry.key), Some(&at));
                    proptest::prop_assert_eq!(attempts.classes[entry.class][entry.place], at);
                    proptest::prop_assert_eq!(entry.times.len().clamp(1, CLASSES) - 1, entry.class);
                }
            }
        }
    }
}
