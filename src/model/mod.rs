//! The vocabulary of the house: sources, events, set changes. Pure, and imports nothing of ours.
//!
//! Every layer speaks in these words: feeds post [`Event`]s, the ledger answers with [`SetChange`]s, the
//! firewall applies those. What a source is stands in one row ([`source`]); sets, counters, rules, books,
//! snapshot, `status` and pages follow from it.

pub mod entries;
pub mod event;
pub mod family;
pub mod range;
pub mod set;
pub mod source;
pub mod special;
pub mod tags;

pub use entries::{Builder, Entries, Shape};
pub use event::{AllowOrigin, Entry, Event, Lifetime, List, ListUse, Listed, Reason, Run, TAG_MAX};
pub use family::Family;
pub use range::Range;
pub use set::{Cursor, Desired, SetChange, SetId};
pub use source::{Holds, Row, Source, Teller};
pub use special::Special;
