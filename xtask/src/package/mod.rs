//! `cargo xtask package`: the router packages. Called by `main`.

use crate::{Result, Subcommand};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand =
    Subcommand { name: "package", summary: "build the router packages (not there yet)", help: "", run };

fn run(_args: &[String]) -> Result<()> {
    Err("packages cannot be built yet".into())
}
