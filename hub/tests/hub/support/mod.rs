//! A place of its own for each test: a nats-server, hubs, routers.

pub mod ours;
pub mod process;
pub mod raw;
pub mod router;
pub mod sentinel;
pub mod site;

use std::time::{Duration, Instant};

pub use ours::Ours;
pub use router::Router;
pub use sentinel::Sentinel;
pub use site::Site;

/// Far more than anything here takes.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for a condition.
pub async fn wait_for(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
