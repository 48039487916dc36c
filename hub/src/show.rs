//! What the commands print: the hub's state, its bans, and why an address is banned.

use std::fmt::Write;
use std::net::IpAddr;

use crate::address;
use crate::ban::{Ban, Claim};
use crate::changes;
use crate::dynfw;
use crate::error::Result;
use crate::hub::Hub;
use crate::lead;
use crate::reporters;
use crate::store::Store;

/// A few lines on everything.
///
/// # Errors
/// nats-server is away.
pub async fn status(store: &Store) -> Result<String> {
    let mut text = format!("nats-server {}\n", store.client.server_info().version);
    let told = changes::told_to(store).await?;
    let lead = store.lead.held(lead::KEY).await?;
    let lead =
        lead.map_or("nobody: no hub is running".into(), |record| String::from_utf8_lossy(&record.value).into_owned());
    let _ = writeln!(text, "changes told by {lead}, up to {}", told.map_or("none".into(), |to| to.to_string()));
    let (mut known, mut revoked) = (0, Vec::new());
    store
        .reporters
        .scan(">", 1, |record| {
            known += 1;
            if reporters::revoked(&record.value) {
                revoked.push(record.key);
            }
        })
        .await?;
    let _ = writeln!(
        text,
        "{known} reporters, {} revoked{}{}",
        revoked.len(),
        if revoked.is_empty() { "" } else { ": " },
        revoked.join(", ")
    );
    for (name, bucket) in [("bans", &store.bans), ("claims", &store.claims), ("allowances", &store.allow)] {
        let state = bucket.state().await?;
        let _ = writeln!(text, "{} {name}, {} KB", state.messages, state.bytes / 1024);
    }
    text.push_str(&dynfw::lines(&dynfw::all(store).await?));
    Ok(text)
}

/// A line for each ban: address, seconds left, reason, bans before.
///
/// # Errors
/// nats-server is away.
pub async fn bans(store: &Store, now: u64) -> Result<String> {
    let mut text = String::new();
    store
        .bans
        .scan(">", 1, |record| {
            let ban = Ban::decode(&record.value).filter(|_| !record.gone);
            if let Some((ip, ban)) = address::of_key(&record.key).zip(ban) {
                let _ = writeln!(
                    text,
                    "{ip} {} {} {}",
                    record.left(now).unwrap_or_default(),
                    or_dash(&ban.reason),
                    ban.count
                );
            }
        })
        .await?;
    Ok(text)
}

fn or_dash(reason: &str) -> &str {
    if reason.is_empty() { "-" } else { reason }
}

/// Why an address is banned, by whom, or why it never is.
///
/// # Errors
/// nats-server is away.
pub async fn check(hub: &Hub, ip: IpAddr) -> Result<String> {
    let (key, now) = (address::key(ip), hub.clock.now());
    let mut text = match hub.store.bans.held(&key).await? {
        Some(record) => {
            let ban = Ban::decode(&record.value).map(|ban| (ban.count + 1, ban.reason));
            let (count, reason) = ban.unwrap_or((0, "?".into()));
            let left = record.left(now).unwrap_or_default();
            format!("{ip} is banned for {left} more seconds, reason {}, for the {count}. time\n", or_dash(&reason))
        }
        None => format!("{ip} is not banned\n"),
    };
    if let Some(why) = hub.never.holds(ip) {
        let _ = writeln!(text, "no report can ban it: {why}");
    }
    for (login, claim) in claims(&hub.store, &key).await? {
        let honeypot = if hub.config.trust.honeypots.contains(&login) { ", a honeypot" } else { "" };
        let ago = now.saturating_sub(claim.time);
        let _ = writeln!(text, "reported by {login}{honeypot} {ago} seconds ago, reason {}", or_dash(&claim.reason));
    }
    Ok(text)
}

/// Who reported an address.
///
/// # Errors
/// nats-server is away.
pub async fn claims(store: &Store, key: &str) -> Result<Vec<(String, Claim)>> {
    let mut claims = Vec::new();
    store
        .claims
        .scan(&format!("{key}.*"), 1, |record| {
            let claim = Claim::decode(&record.value).filter(|_| !record.gone);
            claims.extend(address::of_claim(&record.key).map(|(_, login)| login.to_owned()).zip(claim));
        })
        .await?;
    Ok(claims)
}
