//! The control socket: its protocol, its server, its client.
//!
//! The daemon runs the server and answers; the command line and the owner's commands (`owner`) are clients.
//! Nothing is decided here.

pub mod arguments;
pub mod client;
pub mod protocol;
pub mod server;
