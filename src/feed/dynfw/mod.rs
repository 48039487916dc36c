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
pub use settings::Settings;
