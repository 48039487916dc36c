//! `/metrics`: what this hub counted, and how full the buckets are.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::dynfw::Figures;
use crate::error::{Error, Result};
use crate::hub::Hub;

/// The form, for the header.
pub const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The numbers as text.
///
/// # Errors
/// nats-server is away.
pub async fn text(hub: &Hub) -> Result<String> {
    let mut registry = Registry::with_prefix("diswall_hub");
    let counts = &hub.counts;
    let mut counter = |name: &str, help: &str, count: &AtomicU64| {
        registry.register(name, help, ConstCounter::new(count.load(Relaxed)));
    };
    counter("reports", "Reports that arrived here", &counts.reports);
    counter("refused", "Reports that were refused here", &counts.refused);
    counter("banned", "Addresses that this hub banned", &counts.banned);
    counter("inits", "Lists that routers asked this hub for", &counts.inits);
    counter("hellos", "Greetings of routers that this hub answered", &counts.hellos);
    counter("changes", "Messages with changes that this hub told", &counts.told);
    let leads = i64::from(counts.leads.load(Relaxed));
    registry.register("leads", "Whether this hub tells the changes", ConstGauge::new(leads));
    for (name, help, bucket) in [
        ("bans", "Addresses that are banned, and those freed by hand within the hour", &hub.store.bans),
        ("claims", "Reports that are kept", &hub.store.claims),
        ("reporters", "Logins that are known", &hub.store.reporters),
        ("routers", "Routers that were heard of in the last week", &hub.store.routers),
    ] {
        let state = bucket.state().await?;
        registry.register(name, help, ConstGauge::new(state.messages as i64));
    }
    if hub.config.dynfw.key_file.is_some() {
        dynfw(&mut registry, &hub.relay);
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| Error::Refused(error.to_string()))?;
    Ok(text)
}

/// The relay of DynFW.
fn dynfw(registry: &mut Registry, figures: &Figures) {
    let counter = |count: &AtomicU64| ConstCounter::new(count.load(Relaxed));
    let gauge = |count: &AtomicU64| ConstGauge::new(i64::try_from(count.load(Relaxed)).unwrap_or(i64::MAX));
    let follows = i64::from(figures.since.load(Relaxed) > 0);
    registry.register("dynfw_follows", "Whether Turris Sentinel is followed", ConstGauge::new(follows));
    registry.register("dynfw_serial", "Sentinel's number of the last change", gauge(&figures.serial));
    registry.register("dynfw_addresses", "Addresses on its list", gauge(&figures.addresses));
    registry.register("dynfw_routers", "Routers that are told of it", gauge(&figures.routers));
    registry.register("dynfw_changes", "Changes of the list that routers were told", counter(&figures.changes));
    registry.register("dynfw_lists", "Whole lists that routers were sent", counter(&figures.lists));
    registry.register("dynfw_refused", "Connections that were refused or ended", counter(&figures.refused));
}
