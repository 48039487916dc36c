//! What the ledger asks of the kernel's sets. The firewall applies these and knows no bans.

use super::event::Lifetime;
use super::range::Range;
use super::source::{Holds, Source};

/// One pair of sets (IPv4 and IPv6); the family follows from the element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SetId {
    /// A source's bans; of one that holds both, its single addresses.
    Ban(Source),
    /// The networks of a source that holds both.
    Nets(Source),
    /// Addresses exempt from diswall's blocking.
    Allow,
}

impl SetId {
    /// The pairs of sets that these sources need, in their order, and the one of the allowances.
    pub fn of(sources: &[Source]) -> Vec<SetId> {
        sources.iter().flat_map(|source| SetId::of_source(*source)).chain([SetId::Allow]).collect()
    }

    /// The pairs of sets that one source needs.
    pub fn of_source(source: Source) -> impl Iterator<Item = SetId> {
        let both = matches!(source.holds(), Holds::Both | Holds::Listed);
        [SetId::Ban(source)].into_iter().chain(both.then_some(SetId::Nets(source)))
    }

    /// Whose bans it holds; `None`: allowances.
    pub const fn source(self) -> Option<Source> {
        match self {
            SetId::Ban(source) | SetId::Nets(source) => Some(source),
            SetId::Allow => None,
        }
    }

    /// The middle part of the set's name, in two: `<prefix>_<these>4`. No source has a dot in its name.
    pub const fn name(self) -> (&'static str, &'static str) {
        match self {
            SetId::Ban(source) => (source.name(), ""),
            SetId::Nets(source) => (source.name(), ".net"),
            SetId::Allow => ("allow", ""),
        }
    }

    /// Interval sets hold ranges; the others are hash sets of single addresses.
    pub fn is_interval(self) -> bool {
        match self {
            SetId::Ban(source) => source.holds() == Holds::Networks,
            SetId::Nets(_) | SetId::Allow => true,
        }
    }
}

/// One change to the kernel's sets. Applying any of them twice leaves what applying it once does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetChange {
    /// The element is not there; put it in.
    Add {
        /// Where.
        set: SetId,
        /// What.
        range: Range,
        /// Its time-out.
        lifetime: Lifetime,
    },
    /// The element is there with another time-out; give it this one (from now).
    Renew {
        /// Where.
        set: SetId,
        /// What.
        range: Range,
        /// Its new time-out.
        lifetime: Lifetime,
    },
    /// Take the element out; no error if the kernel has just let it expire.
    Delete {
        /// Where.
        set: SetId,
        /// What.
        range: Range,
    },
}

/// What one pair of sets is to hold, as the firewall asks when it compares the kernel with the ledger.
/// Elements that have ended, or that are withheld because they are protected, are not wanted.
pub trait Desired {
    /// The time-out from now that exactly this element is to have; `None`: it is not to be there.
    /// For an interval set `range` must be the whole element, not a part of it.
    fn wanted(&self, range: Range) -> Option<Lifetime>;

    /// Every wanted element of both families, each once. IPv4 before IPv6; interval sets ascending, hash
    /// sets in no order.
    fn for_each(&self, f: &mut dyn FnMut(Range, Lifetime));

    /// As `for_each`, about `most` at a time, from where the cursor is; `false`: that was all. What is wanted may
    /// change between two calls: nothing that is wanted all the time is left out, some may be told twice.
    fn walk(&self, cursor: &mut Cursor, most: usize, f: &mut dyn FnMut(Range, Lifetime)) -> bool {
        let _ = (cursor, most);
        self.for_each(f);
        false
    }
}

/// Where a walk through what a pair of sets is to hold has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    /// The IPv4 half is done.
    pub(crate) second: bool,
    /// Rows passed, or the lowest address to come.
    pub(crate) at: u128,
    /// How often rows had been moved then.
    pub(crate) moves: u32,
}
