//! The running hub: starts its parts, ends them in order.

use std::sync::Arc;
use std::time::Duration;

use log::{info, warn};
use tokio::signal::unix::{SignalKind, signal};

use crate::answers::Answers;
use crate::clock::Clock;
use crate::complaints::Complaints;
use crate::config::Config;
use crate::dynfw::{self, Figures};
use crate::hub::{Counts, Hub};
use crate::lead::Lease;
use crate::limits::Limits;
use crate::never::Never;
use crate::noted::Noted;
use crate::routers::STATISTICS;
use crate::{allow, changes, page, reports, store};

/// How long nats-server may take to come up at boot.
const BOOT: Duration = Duration::from_secs(60);

/// How long the last word may take.
const GOODBYE: Duration = Duration::from_secs(3);

/// Runs until it is told to end.
///
/// # Errors
/// A sentence for the owner.
pub async fn run(config: Config) -> Result<(), String> {
    let store = patiently(&config).await?;
    let hub = Arc::new(hub(config, store).await?);
    let told = |error: std::io::Error| format!("signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(told)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(told)?;
    let following = tokio::spawn({
        let hub = hub.clone();
        async move { hub.clock.follow(&hub.store).await }
    });
    let allowances = tokio::spawn(allow::follow(hub.clone()));
    let telling = tokio::spawn(changes::run(hub.clone()));
    page::start(hub.clone()).await?;
    dynfw::start(&hub)?;
    let showing = tokio::spawn(dynfw::say(hub.clone()));
    let answers = Answers::start(hub.clone());
    let end = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let ended = reports::run(hub.clone(), answers, end).await;
    for task in [following, allowances, telling, showing] {
        task.abort();
    }
    let goodbye = async {
        if let Err(error) = Lease::give(&hub).await {
            warn!("{error}");
        }
        let _ = hub.store.client.flush().await;
    };
    // Without nats-server there is nobody to tell, and a flush waits for it for ever.
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    info!("ended");
    ended
}

/// For one command: whatever runs is left alone.
///
/// # Errors
/// A sentence for the owner.
pub async fn attach(config: Config) -> Result<Hub, String> {
    let store = store::connect(&config, "diswall-hub command").await?;
    let hub = hub(config, store).await?;
    hub.never.allow(allow::of_fleet(&hub.store).await.map_err(|error| error.to_string())?);
    Ok(hub)
}

async fn hub(config: Config, store: store::Store) -> Result<Hub, String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    // An inbox's name is nobody else's, where process numbers of two containers may be the same.
    let id = format!("{} {}", host.trim(), store.client.new_inbox());
    let clock = Clock::new(&store).await.map_err(|error| error.to_string())?;
    Ok(Hub {
        id,
        never: Never::new(&config.trust.never, &store, &config.nats.servers),
        limits: Limits::new(config.trust.bans_per_hour),
        shown: Limits::new(STATISTICS),
        config,
        store,
        clock,
        complaints: Complaints::default(),
        noted: Noted::default(),
        counts: Counts::default(),
        relay: Figures::default(),
    })
}

/// A nats-server that refuses is told at once; one that is not there yet is waited for.
async fn patiently(config: &Config) -> Result<store::Store, String> {
    let start = std::time::Instant::now();
    loop {
        match store::connect(config, "diswall-hub").await {
            Err(error) if start.elapsed() < BOOT && error.contains("refused") && !error.contains("uthoriz") => {
                warn!("{error}; trying again");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            result => return result,
        }
    }
}
