//! A line that something outside can cause again and again: said at once, then counted.
//!
//! The daemon asks before it logs such a line. A matter that comes again within [`EVERY`] is only
//! counted, and the count is handed out with the first one after that; a matter that nobody has touched
//! for so long begins anew. The number of matters is bounded: the one that has been quiet longest goes.

/// A matter is said at most so often, in seconds.
pub const EVERY: u64 = 60;

/// Most matters known at a time.
const MATTERS: usize = 32;

struct Matter {
    key: &'static str,
    said: u64,
    untold: u64,
}

/// What was said lately.
#[derive(Default)]
pub struct Limiter {
    matters: Vec<Matter>,
}

impl Limiter {
    /// The matter has come up `count` times at `now`, in seconds of any clock that does not go back. `None`: say nothing.
    /// Else how many to speak of: these, and those that were not told since the last time.
    pub fn count(&mut self, key: &'static str, count: u64, now: u64) -> Option<u64> {
        if let Some(matter) = self.matters.iter_mut().find(|matter| matter.key == key) {
            matter.untold = matter.untold.saturating_add(count);
            if now.saturating_sub(matter.said) < EVERY {
                return None;
            }
            matter.said = now;
            return Some(std::mem::take(&mut matter.untold));
        }
        if self.matters.len() >= MATTERS
            && let Some(quietest) = (0..self.matters.len()).min_by_key(|at| self.matters.get(*at).map(|m| m.said))
        {
            self.matters.swap_remove(quietest);
        }
        self.matters.push(Matter { key, said: now, untold: 0 });
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn said_at_once_then_once_a_minute_with_what_was_not_told() {
        let mut limiter = Limiter::default();
        assert_eq!(limiter.count("nats", 1, 100), Some(1));
        for second in 100..160 {
            assert_eq!(limiter.count("nats", 1000, second), None);
        }
        assert_eq!(limiter.count("dynfw", 7, 159), Some(7), "another matter");
        assert_eq!(limiter.count("nats", 1, 160), Some(60_001));
        assert_eq!(limiter.count("nats", 1, 161), None);
        assert_eq!(limiter.count("nats", 1, 400), Some(2));
    }

    #[test]
    fn the_number_of_matters_is_bounded() {
        let mut limiter = Limiter::default();
        let names: Vec<&'static str> = (0..500).map(|n| &*Box::leak(format!("matter {n}").into_boxed_str())).collect();
        for (name, now) in names.iter().zip(0..) {
            assert_eq!(limiter.count(name, 1, now), Some(1));
            assert!(limiter.matters.len() <= MATTERS);
        }
        assert_eq!(limiter.count(names[499], 1, 500), None, "the newest is kept");
    }
}
