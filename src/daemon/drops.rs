//! Packets and bytes dropped per source: running totals over firewall reloads, and the last hour.
//!
//! The kernel's counters begin at 0 again when the table is made anew; the totals here do not. Samples
//! every five minutes give the last hour.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::feed::Source;
use crate::firewall::{Counter, Family};
use crate::ledger::SetId;

/// Time between samples.
const STEP: Duration = Duration::from_secs(300);

/// Samples that make an hour.
const HOUR: usize = 12;

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    fn plus(self, other: Count) -> Count {
        Count { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }

    fn minus(self, earlier: Count) -> Count {
        Count { packets: self.packets.saturating_sub(earlier.packets), bytes: self.bytes.saturating_sub(earlier.bytes) }
    }
}

/// One value a source, in the order of [`Source::ALL`].
type PerSource = [Count; Source::ALL.len()];

/// The totals.
#[derive(Debug)]
pub struct Drops {
    /// The kernel's values at the last reading, IPv4 and IPv6.
    last: [[Count; 2]; Source::ALL.len()],
    totals: PerSource,
    /// Totals at past samples, oldest first.
    samples: VecDeque<PerSource>,
    due: Instant,
}

impl Drops {
    /// Nothing counted yet. What the kernel counted before the first reading is not ours to report.
    pub fn new() -> Drops {
        Drops {
            last: Default::default(),
            totals: Default::default(),
            samples: VecDeque::from([PerSource::default()]),
            due: Instant::now() + STEP,
        }
    }

    /// When the next sample is due.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Takes a reading of the kernel's counters.
    pub fn read(&mut self, counters: &[Counter]) {
        for counter in counters {
            let SetId::Ban(source) = counter.key.set else { continue };
            let now = Count { packets: counter.packets, bytes: counter.bytes };
            let family = usize::from(counter.key.family == Family::V6);
            let last = std::mem::replace(&mut self.last[source as usize][family], now);
            // A counter that went back was made anew: all it shows came since.
            let since = if now.packets < last.packets { now } else { now.minus(last) };
            let total = &mut self.totals[source as usize];
            *total = total.plus(since);
        }
    }

    /// Takes a reading and keeps it as a sample.
    pub fn sample(&mut self, counters: &[Counter]) {
        self.read(counters);
        if self.samples.len() > HOUR {
            self.samples.pop_front();
        }
        self.samples.push_back(self.totals);
        self.due = Instant::now() + STEP;
    }

    /// Since the daemon started, and in the last hour (to five minutes).
    pub fn of(&self, source: Source) -> (Count, Count) {
        let total = self.totals[source as usize];
        let hour_ago = self.samples.front().map_or(Count::default(), |sample| sample[source as usize]);
        (total, total.minus(hour_ago))
    }
}
