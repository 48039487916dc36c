//! Time as the ledger counts it: whole seconds in 32 bits, because 100,000 bans carry two of them each.
//!
//! The ledger never reads a clock; its caller passes the [`Moment`] in. Ends are compared here and
//! nowhere else, so that "forever" and the arithmetic at the edges are decided once.

use crate::model::Lifetime;

/// Seconds on the ledger's own clock: `CLOCK_BOOTTIME` seconds plus [`Moment::BOOT`], so that a ban
/// restored from before this boot has a start too. Good for 34 years before the boot and 102 after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(pub u32);

impl Moment {
    /// The moment of the boot.
    pub const BOOT: Moment = Moment(1 << 30);

    /// The moment at which `CLOCK_BOOTTIME` shows so many seconds.
    pub fn from_boottime(seconds: u64) -> Moment {
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Moment(Moment::BOOT.0.saturating_add(seconds).min(Moment::LAST))
    }

    /// Seconds from `earlier` to this moment; 0 if `earlier` is later.
    pub fn since(self, earlier: Moment) -> u32 {
        self.0.saturating_sub(earlier.0)
    }

    /// The latest moment there is: the value above it means "never".
    const LAST: u32 = u32::MAX - 1;
}

/// When something ends, in the ledger's seconds; [`End::NEVER`] sorts after every moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End(pub(super) u32);

/// Two ends closer than this are the same. A feed that repeats a list states remaining whole seconds
/// that were true when it wrote them, so they wander by a second or two without meaning anything.
const TOLERANCE: u32 = 2;

/// So long after its end a ban stays in the tables, seen by nobody. The kernel's element may outlive
/// the ledger's ban by the second that was cut off the time, and what comes back meanwhile must be
/// renewed: adding would be a success that leaves the old time-out standing.
pub(super) const GRACE: u32 = 2;

impl End {
    /// Does not end by itself.
    pub(super) const NEVER: End = End(u32::MAX);

    /// The end of what begins now and holds for `lifetime`.
    pub(super) fn after(now: Moment, lifetime: Lifetime) -> End {
        match lifetime {
            Lifetime::Forever => End::NEVER,
            Lifetime::Seconds(seconds) => End(now.0.saturating_add(seconds.max(1)).min(Moment::LAST)),
        }
    }

    /// What is left of it, `None` when it has ended.
    pub(super) fn left(self, now: Moment) -> Option<Lifetime> {
        match self {
            End::NEVER => Some(Lifetime::Forever),
            End(end) if end > now.0 => Some(Lifetime::Seconds(end - now.0)),
            End(_) => None,
        }
    }

    /// Over by now.
    pub(super) fn is_over(self, now: Moment) -> bool {
        self.0 <= now.0
    }

    /// Over for so long that the kernel has let go of it too.
    pub(super) fn is_settled(self, now: Moment) -> bool {
        self.0.saturating_add(GRACE) <= now.0
    }

    /// The same end for all purposes.
    pub(super) fn is_close_to(self, other: End) -> bool {
        self == other || (self != End::NEVER && other != End::NEVER && self.0.abs_diff(other.0) <= TOLERANCE)
    }

    /// As a moment; `None` for never.
    pub(super) fn moment(self) -> Option<Moment> {
        (self != End::NEVER).then_some(Moment(self.0))
    }
}
