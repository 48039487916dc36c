//! The ledger: who is banned by whom, why and until when, and who is allowed.
//!
//! Pure: events and the time go in, set changes come out. It does no I/O, has no clock of its own and
//! no async. The daemon calls it.

mod change;

pub use change::{Desired, Range, SetChange, SetId};
