//! Exit statuses of the program, a public contract.

/// Done.
pub const DONE: u8 = 0;
/// The answer is no, or the daemon refused.
pub const NO: u8 = 1;
/// Wrong use: unknown command, bad value, bad configuration.
pub const USAGE: u8 = 2;
/// The daemon cannot be reached.
pub const UNREACHABLE: u8 = 3;
/// `rules --write`, `rules --load`: the rules could not be checked, written or loaded; the old ones stay.
pub const RULES_REFUSED: u8 = 4;
