//! The DisWall feed: bans and allowances shared through a NATS server.
//!
//! `wire` turns message bodies and subjects into values and back, `protocol` does the same for NATS's
//! own lines, `session` decides what to subscribe (`subscriptions`), ask and post; all three are functions of bytes and
//! time without a socket. `transport` makes the connection, `client` runs it, `publisher` is the way
//! out for what this router saw, `settings` what it goes by. Facts of the service: docs/protocols.md section 2. The daemon calls
//! [`start`] and the [`Publisher`] it gives.

mod client;
pub mod hub;
mod nkey;
pub mod protocol;
mod publisher;
pub mod session;
pub mod settings;
mod subscriptions;
mod transport;
pub mod wire;

pub use client::start;
pub use publisher::{Publisher, refusal};
pub use settings::Settings;
pub use wire::Statistics;
