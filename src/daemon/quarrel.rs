//! Whether somebody else changes the sets again and again: then they hold what they should half of the time.
//!
//! Pure: the time goes in. A firewall's restart is a repair or two; who quarrels makes many.

use std::collections::VecDeque;

/// So many repairs within [`BEGINS`] seconds are a quarrel, which is over when as many take [`ENDS`]: one of about that
/// pace does not come and go.
const MANY: usize = 60;
const BEGINS: u64 = 60;
const ENDS: u64 = 120;

/// The last repairs.
#[derive(Debug, Default)]
pub struct Quarrel {
    /// When they were, at most [`MANY`], in seconds.
    repairs: VecDeque<u64>,
    is_on: bool,
}

impl Quarrel {
    /// Something had to be put right.
    pub fn note(&mut self, now: u64) {
        self.is_on = self.lasts(now);
        if self.repairs.len() >= MANY {
            self.repairs.pop_front();
        }
        self.repairs.push_back(now);
        self.is_on |= self.are_within(BEGINS, now);
    }

    /// Whether it goes on.
    pub fn lasts(&self, now: u64) -> bool {
        self.is_on && self.are_within(ENDS, now)
    }

    fn are_within(&self, seconds: u64, now: u64) -> bool {
        let first = self.repairs.front().filter(|_| self.repairs.len() >= MANY);
        first.is_some_and(|first| now.saturating_sub(*first) < seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as repairs come every so many milliseconds from then on, whether it is on after each.
    fn on(quarrel: &mut Quarrel, from: u64, step: u64, count: u64) -> Vec<bool> {
        let at = |number: u64| from + number * step / 1000;
        (0..count).map(at).map(|now| (quarrel.note(now), quarrel.lasts(now)).1).collect()
    }

    #[test]
    fn it_begins_with_many_in_a_minute_and_does_not_come_and_go() {
        let mut quarrel = Quarrel::default();
        // Ten minutes, over every full one, at less than the pace that it took to begin.
        let all = on(&mut quarrel, 1010, 500, 60);
        assert!(!all[58] && all[59], "with the sixtieth");
        let slower = on(&mut quarrel, 1040, 1500, 400);
        assert!(slower.iter().all(|on| *on));
        assert!(quarrel.lasts(1640) && !quarrel.lasts(1760), "it ends by itself");
        // What is slow from the beginning is none, nor is a restart of the firewall.
        let mut slow = Quarrel::default();
        assert!(!on(&mut slow, 0, 1500, 400).contains(&true));
        assert!(!on(&mut Quarrel::default(), 7, 10, 59).contains(&true));
    }
}
