//! Turris Sentinel's dynamic firewall: a list of attackers' addresses, and every change to it as it
//! happens, over ZeroMQ with CURVE.
//!
//! `wire` reads messages, `sync` decides what they mean, `session` carries them, `client` runs it all.
//! `settings` is what it goes by. The daemon calls [`start`] and reads the channel; nothing else of this is used outside.

mod backoff;
mod client;
mod failure;
pub mod key;
mod msgpack;
mod session;
pub mod settings;
pub mod sync;
pub mod wire;

pub use client::start;
pub use key::KEPT;
pub use settings::Settings;

/// Turris' own client (`sentinel-dynfw-client` of Turris OS 9) of the same list: two lists in memory, and an allowance
/// that holds for one of them.
pub const TWIN: super::Twin = super::Twin {
    table: "turris-sentinel",
    sets: &["dynfw_4", "dynfw_6"],
    text: "two programs block the same list: Turris' sentinel-dynfw-client runs too, so that what is allowed here stays \
           blocked there; end it with `/etc/init.d/sentinel-dynfw-client disable` and `… stop`, or this one with option \
           enabled '0' in config dynfw",
};
