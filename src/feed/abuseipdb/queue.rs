//! Reports that wait: few, each address once in 15 minutes, so many a day. Pure.

use std::collections::VecDeque;
use std::net::IpAddr;

/// Most that wait.
const WAITING: usize = 32;
/// Most addresses that are remembered; who comes beyond them is not reported.
const REMEMBERED: usize = 512;
/// Seconds for which an address is not reported again.
const AGAIN: u64 = 15 * 60;
/// Seconds after which a report that could not be sent is of no use.
const OLD: u64 = 86_400;
/// Seconds of a day.
const DAY: u64 = 86_400;

/// Who did what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who.
    pub address: IpAddr,
    /// AbuseIPDB's numbers for it, with commas between them.
    pub categories: Box<str>,
    /// Where he tried to log in.
    pub service: Box<str>,
    /// Unix seconds.
    pub at: u64,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Report>,
    /// Who was taken, and when, in seconds since the start.
    recent: VecDeque<(IpAddr, u64)>,
    /// Since 1970.
    day: u64,
    /// Reports that were handed out on that day.
    today: u32,
    /// The day's limit keeps the first one waiting.
    limited: bool,
    /// Those of that day for which there was no room, or that had become too old.
    lost: u64,
}

impl Queue {
    /// Takes a report; `false`: it is one too many. `now` in seconds since the start.
    pub fn add(&mut self, report: Report, now: u64) -> bool {
        while self.recent.front().is_some_and(|(_, at)| now.saturating_sub(*at) >= AGAIN) {
            self.recent.pop_front();
        }
        if self.recent.iter().any(|(address, _)| *address == report.address) {
            return false;
        }
        if self.waiting.len() >= WAITING || self.recent.len() >= REMEMBERED {
            self.lost += 1;
            return false;
        }
        self.recent.push_back((report.address, now));
        self.waiting.push_back(report);
        true
    }

    /// The next one, unless there were `limit` today. `now` in Unix seconds.
    pub fn next(&mut self, now: u64, limit: u32) -> Option<Report> {
        if now / DAY != self.day {
            (self.day, self.today, self.lost) = (now / DAY, 0, 0);
        }
        while self.waiting.front().is_some_and(|report| now.saturating_sub(report.at) >= OLD) {
            self.waiting.pop_front();
            self.lost += 1;
        }
        self.limited = self.today >= limit && !self.waiting.is_empty();
        if self.limited {
            return None;
        }
        let report = self.waiting.pop_front()?;
        self.today += 1;
        Some(report)
    }

    /// It could not be sent.
    pub fn put_back(&mut self, report: Report) {
        self.today = self.today.saturating_sub(1);
        self.waiting.push_front(report);
    }

    /// Nothing waits any more.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What the owner should know.
    pub fn trouble(&self) -> Option<String> {
        if self.limited {
            return Some(format!("{} reports wait for a new day: daily_limit", self.waiting.len()));
        }
        (self.lost > 0)
            .then(|| format!("{} reports of today were left out: they came faster than they may be sent", self.lost))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn report(number: u32, at: u64) -> Report {
        let address = IpAddr::V4(Ipv4Addr::from(0xcb00_7100 + number));
        Report { address, categories: "18".into(), service: "ssh".into(), at }
    }

    #[test]
    fn an_address_is_taken_once_in_15_minutes() {
        let mut queue = Queue::default();
        assert!(queue.add(report(1, 0), 100));
        assert!(queue.next(0, 9).is_some());
        assert!(!queue.add(report(1, 0), 999) && queue.add(report(2, 0), 999));
        assert!(queue.add(report(1, 0), 1000));
    }

    #[test]
    fn what_waits_and_what_is_remembered_is_bounded() {
        let mut queue = Queue::default();
        for number in 0..100 {
            queue.add(report(number, 0), 0);
        }
        assert_eq!((queue.len(), queue.lost), (WAITING, 100 - WAITING as u64));
        for number in 0..100_000 {
            queue.add(report(number, 0), 0);
            queue.next(0, u32::MAX);
        }
        assert_eq!(queue.recent.len(), REMEMBERED);
        assert!(queue.trouble().is_some_and(|text| text.contains("left out")));
        // What was lost on one day is no trouble of the next.
        while queue.next(DAY, u32::MAX).is_some() {}
        assert_eq!(queue.trouble(), None);
    }

    #[test]
    fn a_day_has_its_limit_and_what_is_old_goes() {
        let mut queue = Queue::default();
        assert!((0..3).all(|number| queue.add(report(number, 2 * DAY), 0)));
        assert!(queue.next(2 * DAY, 1).is_some());
        assert!(
            queue.next(2 * DAY, 1).is_none() && queue.trouble().is_some_and(|text| text.contains("2 reports wait"))
        );
        let back = queue.next(3 * DAY - 1, 2).unwrap();
        queue.put_back(back);
        // The clock jumps: what was of another day counts no more.
        assert!(queue.next(DAY, 1).is_some_and(|report| report.address == self::report(1, 0).address));
        assert!(queue.next(3 * DAY, 1).is_none());
        assert_eq!((queue.len(), queue.lost), (0, 1));
    }
}
