//! Times by the hundred thousand, kept as counts, and how they and memory are shown.

use std::time::Duration;

/// How many times of each length there were, to a millisecond up to a minute.
pub struct Times {
    counts: Vec<u64>,
    number: u64,
}

const LONGEST: usize = 60_000;

impl Times {
    pub fn new() -> Times {
        Times { counts: vec![0; LONGEST + 1], number: 0 }
    }

    pub fn add(&mut self, time: Duration) {
        let milliseconds = usize::try_from(time.as_millis()).unwrap_or(LONGEST).min(LONGEST);
        if let Some(count) = self.counts.get_mut(milliseconds) {
            *count += 1;
            self.number += 1;
        }
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    /// The time in milliseconds that this share of them did not exceed.
    pub fn within(&self, percent: u64) -> Option<usize> {
        let wanted = (self.number * percent).div_ceil(100).max(1);
        let mut sum = 0;
        self.counts.iter().position(|count| {
            sum += count;
            sum >= wanted
        })
    }

    /// Median, 99th of a hundred, and the longest.
    pub fn shown(&self) -> String {
        match (self.within(50), self.within(99), self.within(100)) {
            (Some(median), Some(most), Some(longest)) => {
                format!("median {median} ms, p99 {most} ms, longest {longest} ms")
            }
            _ => "none".into(),
        }
    }

    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.number = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_hundred_are_exact() {
        let mut times = Times::new();
        assert_eq!(times.within(50), None);
        for milliseconds in 1..=200 {
            times.add(Duration::from_millis(milliseconds));
        }
        times.add(Duration::from_secs(1000));
        assert_eq!((times.within(50), times.within(99), times.within(100)), (Some(101), Some(199), Some(LONGEST)));
        assert_eq!(times.number(), 201);
        times.clear();
        assert_eq!(times.shown(), "none");
    }
}
