//! When to try again: at once after a good connection broke, then ever more slowly. `client` asks it after
//! every failure.

use std::time::Duration;

use crate::feed::backoff;

/// The first delay that is not "at once".
const FIRST: Duration = Duration::from_secs(2);
/// The longest delay.
pub const LONGEST: Duration = Duration::from_secs(120);
/// How far apart routers spread when a server that had them all comes back.
const AT_ONCE: Duration = Duration::from_millis(500);
/// A connection that was live for so long has proved itself: the count of failures starts again.
const PROVED: Duration = Duration::from_secs(30);

/// Failures in a row.
#[derive(Debug)]
pub struct Backoff {
    delays: backoff::Backoff,
    failed: bool,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new() -> Backoff {
        Backoff { delays: backoff::Backoff::new(FIRST, LONGEST), failed: false }
    }

    /// How long to wait, given how long the connection that just ended had been live, if it was.
    pub fn after(&mut self, live: Option<Duration>) -> Duration {
        if live.is_some_and(|live| live >= PROVED) {
            *self = Backoff::new();
        }
        // A server that cuts every connection soon after the list is not worth a list each half second.
        let again = std::mem::replace(&mut self.failed, true);
        if live.is_some() && !again { self.delays.within(AT_ONCE) } else { self.delays.delay() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_longest_and_vary() {
        let mut backoff = Backoff::new();
        for full in [2, 4, 8, 16, 32, 64, 120, 120, 120] {
            let delay = backoff.after(None);
            let full = Duration::from_secs(full);
            assert!(delay >= full / 2 && delay <= full, "{delay:?} for {full:?}");
        }
        let delays: std::collections::HashSet<_> = (0..20).map(|_| backoff.after(None)).collect();
        assert!(delays.len() > 1, "no jitter");
    }

    #[test]
    fn a_break_is_mended_at_once_but_not_over_and_over() {
        let mut backoff = Backoff::new();
        let short = Some(Duration::from_secs(1));
        assert!(backoff.after(short) <= AT_ONCE);
        assert!(backoff.after(short) > AT_ONCE, "cut again right after the list");
        assert!(backoff.after(Some(PROVED)) <= AT_ONCE);
        assert!(backoff.after(None) >= FIRST / 2);
    }
}
