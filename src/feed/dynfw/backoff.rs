//! When to try again: at once after a good connection broke, then ever more slowly, never in step with
//! other routers. Pure but for the random part; `client` asks it after every failure.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first delay that is not "at once".
const FIRST: Duration = Duration::from_secs(2);
/// The longest delay.
pub const LONGEST: Duration = Duration::from_secs(120);
/// How far apart routers spread when a server that had them all comes back.
const AT_ONCE: Duration = Duration::from_millis(500);
/// A connection that was live for so long has proved itself: the count of failures starts again.
const PROVED: Duration = Duration::from_secs(30);

/// Failures in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait, given how long the connection that just ended had been live, if it was.
    pub fn after(&mut self, live: Option<Duration>) -> Duration {
        // A server that cuts every connection soon after the list is not worth a list each half second.
        let at_once = match live {
            Some(live) => live >= PROVED || self.failures == 0,
            None => false,
        };
        if live.is_some_and(|live| live >= PROVED) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        if at_once {
            return jitter(AT_ONCE, 0);
        }
        let doublings = self.failures.saturating_sub(1).min(6);
        jitter(FIRST.saturating_mul(1 << doublings).min(LONGEST), 75)
    }
}

/// A random duration from `floor` percent of `longest` up to `longest`.
fn jitter(longest: Duration, floor: u32) -> Duration {
    // The standard library's hash keys are its one public source of randomness; it serves here.
    let random = RandomState::new().hash_one(0u8);
    let share = u32::try_from(random % 1024).unwrap_or(0);
    let least = longest * floor / 100;
    least + (longest - least) * share / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_longest_and_vary() {
        let mut backoff = Backoff::default();
        for full in [2, 4, 8, 16, 32, 64, 120, 120, 120] {
            let delay = backoff.after(None);
            let full = Duration::from_secs(full);
            assert!(delay >= full * 3 / 4 && delay <= full, "{delay:?} for {full:?}");
        }
        let delays: std::collections::HashSet<_> = (0..20).map(|_| backoff.after(None)).collect();
        assert!(delays.len() > 1, "no jitter");
    }

    #[test]
    fn a_break_is_mended_at_once_but_not_over_and_over() {
        let mut backoff = Backoff::default();
        let short = Some(Duration::from_secs(1));
        assert!(backoff.after(short) <= AT_ONCE);
        assert!(backoff.after(short) > AT_ONCE, "cut again right after the list");
        assert!(backoff.after(Some(PROVED)) <= AT_ONCE);
        assert!(backoff.after(None) >= FIRST * 3 / 4);
    }
}
