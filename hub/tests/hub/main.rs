//! The real program against real nats-servers: routers are real clients with the permissions that
//! `diswall-hub user add` gives them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bounds;
mod changes;
mod clocks;
mod commands;
mod dynfw;
mod dynfw_attacked;
mod dynfw_many;
mod much;
mod ours;
mod page;
mod support;
mod theirs;
mod trust;
mod versions;
