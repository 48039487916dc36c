//! What runs as root in the caller's process: the owner's commands, the rpcd face, edits of the configuration.
//!
//! The daemon runs under an account of its own and may not write what belongs to root; these few files do, and
//! ask the daemon over its socket like any other client. They act by name only in root's own directories.

pub mod catalogue;
pub mod edit;
pub mod handout;
pub mod mail;
pub mod rpcd;
pub mod service;
pub mod steer;
pub mod trial;
