//! Growing, jittered delays between attempts, so that thousands of routers do not come back to a
//! restarted server in the same second. No clock, no I/O; the feeds' clients call it.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Delays that double from `first` to `most`, each shortened at random by up to a half.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
    random: RandomState,
}

impl Backoff {
    /// The first delay will be between half of `first` and `first`.
    pub fn new(first: Duration, most: Duration) -> Backoff {
        Backoff { first, most, failures: 0, random: RandomState::new() }
    }

    /// How long to wait after one more failure.
    pub fn delay(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.failures.min(20)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        whole / 2 + self.within(whole / 2)
    }

    /// A random moment within this time, the same until the next [`Backoff::delay`].
    pub fn within(&self, time: Duration) -> Duration {
        // RandomState's keys are the standard library's only randomness; that is random enough here.
        let random = self.random.hash_one(self.failures) as u16;
        time.saturating_mul(random.into()) / (1 << 16)
    }

    /// It worked: the next delay is a short one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_most_and_start_again() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 120 * second);
        for _ in 0..2 {
            let mut whole = second;
            for _ in 0..200 {
                let delay = backoff.delay();
                assert!(delay >= whole / 2 && delay <= whole, "{delay:?} of {whole:?}");
                whole = (2 * whole).min(120 * second);
            }
            backoff.reset();
        }
    }

    #[test]
    fn two_of_them_do_not_agree() {
        let delays = |mut backoff: Backoff| (0..8).map(move |_| backoff.delay()).collect::<Vec<_>>();
        let hour = Duration::from_secs(3600);
        assert_ne!(delays(Backoff::new(hour, hour)), delays(Backoff::new(hour, hour)));
    }
}
