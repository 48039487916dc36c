//! How much of something there may be: so much a second, and so much at once.
//!
//! Pure: the time goes in. For bans, and for what is told of strangers' deeds; lines of the log that repeat are
//! `limiter`'s.

/// So many a second, and so many at once.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: u32,
    most: u32,
    level: u32,
    /// The second up to which the level counts; `None` before the first use.
    filled: Option<u32>,
}

impl Bucket {
    /// Full.
    pub const fn new(rate: u32, most: u32) -> Bucket {
        Bucket { rate, most, level: most, filled: None }
    }

    /// Takes one out, if there is one. `now` in seconds.
    pub fn take(&mut self, now: u32) -> bool {
        let passed = now.saturating_sub(self.filled.unwrap_or(now));
        self.filled = Some(self.filled.unwrap_or(now).max(now));
        self.level = self.level.saturating_add(passed.saturating_mul(self.rate)).min(self.most);
        let left = self.level.checked_sub(1);
        self.level = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_at_first_and_then_so_many_a_second() {
        let mut bucket = Bucket::new(2, 5);
        let mut taken = |second: u32| (0..100).filter(|_| bucket.take(second)).count();
        assert_eq!([1000, 1000, 1001, 1003, 5000].map(&mut taken), [5, 0, 2, 4, 5]);
        assert_eq!(taken(4000), 0, "a clock that goes back gives nothing");
        assert_eq!(taken(5001), 2);
    }
}
