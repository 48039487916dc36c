//! Allowances: of a login, for its own routers; of the fleet, for everybody, and no report gets past those.
//!
//! They have no end unless somebody gives them one.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use log::{info, warn};

use crate::address;
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::store::{Put, Record, Store};
use crate::subject::{FLEET, HUB_HOST};

/// How often the fleet's allowances are read.
const OFTEN: Duration = Duration::from_secs(1);

/// A login allows a network for its own routers.
///
/// # Errors
/// It has as many as one may have; or nats-server is away or says no.
pub async fn own(hub: &Hub, login: &str, net: IpNet) -> Result<()> {
    let (store, most) = (&hub.store, hub.config.trust.allowances);
    let mut there = 0;
    store.allow.scan(&format!("{login}.>"), 1, |_| there += 1).await?;
    if there >= most {
        return Err(Error::Refused(format!("it has {most} allowances already")));
    }
    store.allow.put(&format!("{login}.{}", address::net_key(net)), "", Put::default()).await.map(drop)
}

/// It takes it back.
///
/// # Errors
/// nats-server is away or says no.
pub async fn disown(store: &Store, login: &str, net: IpNet) -> Result<()> {
    store.allow.remove(&format!("{login}.{}", address::net_key(net))).await
}

/// What a login's routers are to allow: its own and the fleet's, as lines of DisWall's init reply.
///
/// # Errors
/// nats-server is away.
pub async fn lines(store: &Store, login: &str, now: u64) -> Result<String> {
    let mut lines = String::new();
    for owner in [FLEET, login] {
        store
            .allow
            .scan(&format!("{owner}.>"), 1, |record| {
                let Some(net) = net_of(&record) else { return };
                if !lines.is_empty() {
                    lines.push('\n');
                }
                lines.push_str(&shown(net));
                if let Some(left) = record.left(now) {
                    lines.push_str(&format!(" timeout {}", left.max(1)));
                }
            })
            .await?;
    }
    // One line alone reads like an allowance or a report, to whoever looks at no header.
    if !lines.is_empty() && !lines.contains('\n') {
        lines = format!("{lines}\n{lines}");
    }
    Ok(lines)
}

/// What `OWNER.NETKEY` allows, while it does.
fn net_of(record: &Record) -> Option<IpNet> {
    let (_, key) = record.key.split_once('.').filter(|_| !record.gone)?;
    address::net_of_key(key)
}

/// A single address without its length, as DisWall writes it.
pub fn shown(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// The fleet's allowances.
///
/// # Errors
/// nats-server is away.
pub async fn of_fleet(store: &Store) -> Result<Vec<IpNet>> {
    let mut nets = Vec::new();
    store.allow.scan(&format!("{FLEET}.>"), 1, |record| nets.extend(net_of(&record))).await?;
    Ok(nets)
}

/// The fleet allows a network: it is written down, every known login is told, bans inside end. How many did.
///
/// # Errors
/// nats-server is away or says no.
pub async fn fleet(store: &Store, net: IpNet, seconds: Option<u64>) -> Result<u64> {
    let how = Put { ttl: seconds, expected: None };
    store.allow.put(&format!("{FLEET}.{}", address::net_key(net)), "", how).await?;
    tell(store, "add", net).await?;
    lift(store, &[net]).await
}

/// The fleet takes an allowance back.
///
/// # Errors
/// nats-server is away or says no.
pub async fn fleet_no_more(store: &Store, net: IpNet) -> Result<()> {
    store.allow.remove(&format!("{FLEET}.{}", address::net_key(net))).await?;
    tell(store, "del", net).await
}

/// Tells every known login's routers. Where a login allows the same itself, nothing ends.
async fn tell(store: &Store, verb: &str, net: IpNet) -> Result<()> {
    let mut logins = Vec::new();
    store.reporters.scan(">", 1, |record| logins.push(record.key)).await?;
    for login in logins {
        let own = format!("{login}.{}", address::net_key(net));
        if verb == "del" && store.allow.held(&own).await?.is_some() {
            continue;
        }
        // Where routers have an account of their own, nats-server makes the first of the second.
        let told =
            [format!("diswall.whitelist.{login}.{verb}.{HUB_HOST}"), format!("diswall.hub.allow.{login}.{verb}")];
        for subject in told {
            if let Err(error) = store.client.publish(subject, shown(net).into()).await {
                return Err(Error::Away(format!("nats-server is away: {error}")));
            }
        }
    }
    store.client.flush().await.map_err(|error| Error::Away(format!("nats-server is away: {error}")))
}

/// Ends every ban inside these networks; how many.
///
/// # Errors
/// nats-server is away or says no.
pub async fn lift(store: &Store, nets: &[IpNet]) -> Result<u64> {
    let mut inside = Vec::new();
    store
        .bans
        .scan(">", 1, |record| {
            let address = address::of_key(&record.key).filter(|_| !record.gone);
            if address.is_some_and(|address| nets.iter().any(|net| net.contains(&address))) {
                inside.push(record.key);
            }
        })
        .await?;
    for key in &inside {
        store.bans.purge(key, None).await?;
        store.counts.remove(key).await?;
    }
    Ok(inside.len() as u64)
}

/// Keeps to the fleet's allowances, for ever. A ban that another hub made before it knew of one ends here.
pub async fn follow(hub: Arc<Hub>) {
    let mut told = false;
    loop {
        match look(&hub).await {
            Ok(()) => told = false,
            Err(error) if !told => {
                warn!("the fleet's allowances cannot be followed: {error}");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(OFTEN).await;
    }
}

async fn look(hub: &Hub) -> Result<()> {
    let nets = of_fleet(&hub.store).await?;
    // One that has ended by its time nobody took back. Where routers cannot be told, it is known until they can.
    for ended in hub.never.allowed_besides(&nets) {
        tell(&hub.store, "del", ended).await?;
    }
    if hub.never.allow(nets.clone()) {
        info!("the fleet allows {} addresses and networks", nets.len());
        match lift(&hub.store, &nets).await {
            Ok(0) | Err(_) => {}
            Ok(ended) => info!("{ended} bans of allowed addresses ended"),
        }
    }
    Ok(())
}
