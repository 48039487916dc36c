//! Which routers there are, and what they say of their last hour: for people, not for trust.
//!
//! Names of routers are whatever a login says they are, so a login has so many and no more: what is new then is not
//! kept until one that is there is forgotten.

use diswall::feed::nats::Statistics;

use crate::error::Result;
use crate::hub::Hub;
use crate::noted::EACH;
use crate::reporters;
use crate::store::Put;
use crate::subject::Parts;

/// A router that was not heard of for so many seconds is forgotten.
const FORGOTTEN: u64 = 7 * 86_400;

/// Statistics of one login that are read in an hour.
pub const STATISTICS: u32 = 4 * EACH as u32;

/// Notes that a router is there.
///
/// # Errors
/// nats-server is away or says no.
pub async fn seen(hub: &Hub, parts: &Parts, now: u64) -> Result<()> {
    match hub.noted.is_due(parts) {
        Some(true) => keep(hub, parts, None, now).await,
        Some(false) => Ok(()),
        None => {
            too_many(hub, parts);
            Ok(())
        }
    }
}

/// A router's last hour, as DisWall's statistics tell it; `None`: it is none.
pub fn hour(body: &[u8]) -> Option<Statistics> {
    diswall::json::from_str(std::str::from_utf8(body).ok()?).ok()
}

/// Keeps a router's last hour.
///
/// # Errors
/// nats-server is away or says no.
pub async fn statistics(hub: &Hub, parts: &Parts, body: &[u8], now: u64) -> Result<()> {
    let Some(hour) = hour(body) else {
        hub.complaints.about(&parts.login, "form", || "statistics of another form".into());
        return Ok(());
    };
    keep(hub, parts, Some(hour.encode()), now).await
}

/// Keeps what was said of a router, or what was said last.
async fn keep(hub: &Hub, parts: &Parts, said: Option<String>, now: u64) -> Result<()> {
    let routers = &hub.store.routers;
    if !reporters::hear(&hub.store, &parts.login, now).await? {
        return Ok(());
    }
    let key = format!("{}.{}", parts.login, parts.host);
    let mut known = routers.held(&key).await?;
    let mut _room = None;
    if known.is_none() {
        _room = Some(hub.noted.room.lock().await);
        known = routers.held(&key).await?;
    }
    if known.is_none() {
        let mut there = 0;
        routers.scan(&format!("{}.*", parts.login), 1, |_| there += 1).await?;
        if there >= EACH {
            too_many(hub, parts);
            return Ok(());
        }
    }
    let value = said.map(Into::into).or(known.map(|record| record.value)).unwrap_or_default();
    routers.put(&key, value, Put { ttl: Some(FORGOTTEN), expected: None }).await.map(drop)
}

fn too_many(hub: &Hub, parts: &Parts) {
    hub.complaints.about(&parts.login, "routers", || {
        format!("more than {EACH} routers; {} and whoever else is new is not shown", parts.host)
    });
}
