//! diswall keeps a router's nftables block sets equal to what its threat feeds say and to what the
//! router itself sees.
//!
//! Data runs one way: a [`feed`] turns bytes into [`model::Event`]s, the [`ledger`] turns events and
//! the time into [`model::SetChange`]s, the [`firewall`] applies those. Only the `daemon` module
//! knows all of them; [`control`] lets the command line and LuCI look in and post events.
//! The library exists for the binary, the tests, the fuzz targets and the benchmarks.

pub mod bucket;
pub mod calendar;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod duration;
pub mod exit;
pub mod feed;
pub mod firewall;
pub mod json;
pub mod ledger;
mod letters;
pub mod limiter;
pub mod memory;
pub mod model;
mod nearest;
pub mod needs;
pub mod options;
pub mod outside;
mod own;
pub mod owner;
mod plural;
pub mod programs;
pub mod resolver;
mod sys;
pub mod uptime;
mod whole_file;

/// Version, commit and target, as `diswall --version` prints them.
pub const VERSION: &str = env!("DISWALL_VERSION");
