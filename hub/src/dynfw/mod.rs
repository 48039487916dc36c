//! DynFW for a fleet: this hub follows Turris Sentinel once, and publishes what it says to routers as Sentinel itself
//! does, over ZeroMQ with CURVE, with a key of the hub's own. Routers need nothing new: their `server` and `server_key`
//! name the hub.
//!
//! `follow` is the router's own client, `held` what is known, `door` lets routers in, `guest` is one of them, `ears` is
//! ZMTP. All of it lives in one thread beside the hub's.

mod door;
mod ears;
mod follow;
mod guest;
mod held;
mod key;
mod pack;
mod relay;
mod shown;

use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use log::{error, warn};
use tokio::task::LocalSet;

pub use key::make;
pub use relay::Figures;
pub use shown::{LICENCE, Shown, all, lines, say};

use crate::hub::Hub;
use relay::Relay;

/// Files that the rest of the hub needs.
const FILES: usize = 256;

/// Starts it where it is configured.
///
/// # Errors
/// A sentence for the owner.
pub fn start(hub: &Arc<Hub>) -> Result<(), String> {
    let Some(file) = &hub.config.dynfw.key_file else { return Ok(()) };
    let keys = key::read(file)?;
    let wanted = hub.config.dynfw.routers;
    let most = files().map_or(wanted, |files| wanted.min(files.saturating_sub(FILES)));
    if most < wanted {
        warn!(
            "DynFW: [dynfw] routers is {wanted}, and this process may have files for {most}: raise LimitNOFILE of its unit"
        );
    }
    let hub = hub.clone();
    let thread = thread::Builder::new().name("dynfw".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return error!("DynFW: {error}"),
        };
        let relay = Rc::new(Relay::new(hub, keys));
        let both = async { tokio::join!(follow::run(relay.clone()), door::keep(relay.clone(), most)) };
        LocalSet::new().block_on(&runtime, both);
    });
    thread.map(drop).map_err(|error| format!("a thread for DynFW: {error}"))
}

/// How many files this process may have open.
fn files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
