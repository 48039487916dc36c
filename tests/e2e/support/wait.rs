//! Waiting for something to become true, with a generous deadline instead of a guessed sleep.

use std::thread::sleep;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);

/// Returns once `done` says true; panics with `what` when `deadline` has passed.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, mut done: impl FnMut() -> bool) {
    wait_for(deadline, what, || done().then_some(()))
}

/// The first value `probe` gives; panics with `what` when `deadline` has passed.
#[track_caller]
pub fn wait_for<T>(deadline: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < deadline, "{what}: not within {deadline:?}");
        sleep(POLL);
    }
}
