//! What every end-to-end test stands on: namespaces, child processes, `nft`, the daemon. Nothing here
//! knows a feed; helpers of one topic live in files of their own beside this one. A helper that cannot
//! do its work panics with the reason, for a test can do nothing better.

#![allow(dead_code, unused_imports)] // not every build of the crate uses every helper

mod authority;
mod daemon;
mod diswall_service;
pub mod flow;
pub mod hub;
pub mod lapi;
mod mounts;
pub mod nats_server;
mod netns;
mod nft;
mod process;
mod router;
mod sentinel;
mod wait;
pub mod web;

pub use authority::Authority;
pub use daemon::{DISWALL, Daemon};
pub use diswall_service::DisWallService;
pub use mounts::{Mount, own_mounts};
pub use netns::{Netns, Peer};
pub use nft::{Element, FW4, nft, nft_load, nft_set_elements, try_nft};
pub use process::{Proc, run, try_run};
pub use router::ACCOUNT;
pub use sentinel::Sentinel;
pub use wait::{wait_for, wait_until};
