//! The clocks: boot time for the ledger, wall time for people.
//!
//! The ledger never sees the wall clock, which jumps; what people see is computed from it at the
//! moment of asking.

use std::time::Duration;

pub use crate::calendar::now as wall;
use crate::ledger::Moment;
use crate::uptime;
pub use crate::uptime::seconds as boot_seconds;

/// The ledger's now.
pub fn now() -> Moment {
    Moment::from_boottime(boot_seconds())
}

/// How long it is until a moment is over for the kernel too. [`now`] rounds up, so that a ban ends here up to a
/// second before its element does there.
pub fn until(moment: Moment) -> Duration {
    let end = u64::from(moment.since(Moment::BOOT)).saturating_mul(100);
    Duration::from_millis(end.saturating_sub(uptime::hundredths()).saturating_mul(10))
}

/// Translates the ledger's moments to Unix seconds, all by one reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct WallView {
    /// The ledger's now.
    pub now: Moment,
    /// Unix seconds at that moment.
    pub wall: u64,
}

impl WallView {
    /// Reads both clocks.
    pub fn read() -> WallView {
        WallView { now: now(), wall: wall() }
    }

    /// Unix seconds of a moment, past or future.
    pub fn of(&self, moment: Moment) -> u64 {
        let offset = i64::from(moment.0) - i64::from(self.now.0);
        self.wall.saturating_add_signed(offset)
    }

    /// Unix seconds of a `CLOCK_BOOTTIME` reading in seconds.
    pub fn of_boot(&self, boot: u64) -> u64 {
        let offset = i64::try_from(boot).unwrap_or(i64::MAX) - i64::from(self.now.since(Moment::BOOT));
        self.wall.saturating_add_signed(offset)
    }
}
