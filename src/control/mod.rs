//! The control socket: its protocol, its server, its client, and the rpcd face.
//!
//! The daemon runs the server; the command line and rpcd are clients. Control reads the ledger and
//! posts events like any other feed; it decides nothing by itself.

pub mod client;
pub mod handout;
pub mod protocol;
pub mod rpcd;
pub mod server;
pub mod steer;
