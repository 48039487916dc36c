//! CrowdSec as a source: asks a local API (LAPI) every few seconds what has been decided, and bans by it.
//!
//! `client` is the task; `lapi` asks, over `http` or the router's programs; `stream` reads the answer as it comes and
//! `decision` each decision in it; `gather` and `known` hold what is needed of them; `metrics` says what
//! has come of it. Only `start` and `settings` are
//! called from outside; the readers are open to the fuzzer.

mod client;
pub mod decision;
pub(in crate::feed) mod gather;
pub mod http;
mod known;
mod lapi;
mod metrics;
pub mod settings;
pub mod stream;

pub use client::start;
pub use settings::Settings;
