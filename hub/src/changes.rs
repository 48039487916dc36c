//! Tells all routers what changed: one hub at a time, several times a second, many bans in one message.
//!
//! What was told last stands in a stream, and the next message is accepted only as its successor: whichever hub leads,
//! routers see one sequence without a hole. The stream itself passes on what it accepted. The form of the messages:
//! docs/protocols.md, section 3.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use diswall::feed::nats::hub::wire::{BORN, LOGINS};
use diswall::feed::nats::wire::MAX_SECONDS;
use log::{info, warn};
use serde_json::json;

use crate::address;
use crate::ban::{Ban, DAY};
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::lead::Lease;
use crate::store::{CHANGES, Record, Store, TOLD};
use crate::subject::HUB_HOST;

/// Between two messages at least.
const PACE: Duration = Duration::from_millis(200);

/// With nothing to tell, so often, in seconds.
pub const HEARTBEAT: u64 = 5;

/// Changes that one message tells at most: it stays under 512 KiB.
const MOST: u64 = 6000;

/// What was told last.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// Number of the message in its stream.
    message: u64,
    /// Revision of the bans up to which everything was told.
    to: u64,
    /// Which stream of bans that is.
    born: u64,
}

/// Leads whenever nobody else does, for ever.
pub async fn run(hub: Arc<Hub>) {
    loop {
        let mut lease = Lease::take(&hub).await;
        info!("this hub tells the changes");
        hub.counts.leads.store(true, Relaxed);
        let ended = lead(&hub, &mut lease).await;
        hub.counts.leads.store(false, Relaxed);
        match ended {
            Err(Error::Conflict) => info!("another hub tells the changes"),
            Err(error) => warn!("this hub does not tell the changes any more: {error}"),
            Ok(()) => {}
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn lead(hub: &Arc<Hub>, lease: &mut Lease) -> Result<()> {
    let mut told = begin(hub).await?;
    let mut last = Instant::now();
    loop {
        lease.renew(&hub.store).await?;
        let batch = batch(&hub.store, told.to, hub.clock.now()).await?;
        let silent = last.elapsed() >= Duration::from_secs(HEARTBEAT);
        if silent && hub.store.bans.born().await.is_ok_and(|born| born != told.born) {
            return Err(Error::Refused("the stream of bans was made anew".into()));
        }
        if !batch.lines.is_empty() || silent {
            told = tell(hub, told, &batch).await?;
            last = Instant::now();
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Goes on where the last one ended. A stream of bans that was made anew begins anew.
async fn begin(hub: &Hub) -> Result<Told> {
    let (last_seq, born) = (hub.store.bans.state().await?.last_seq, hub.store.bans.born().await?);
    match last(&hub.store).await? {
        Some(told) if told.to <= last_seq && told.born == born => Ok(told),
        other => {
            let told = Told { message: other.map_or(0, |told| told.message), to: last_seq, born };
            tell(hub, told, &Batch { to: last_seq, ..Batch::default() }).await
        }
    }
}

/// What the stream has as told last.
async fn last(store: &Store) -> Result<Option<Told>> {
    let ask = json!({ "last_by_subj": TOLD });
    let answer = store.bans.ask(&format!("$JS.API.STREAM.MSG.GET.{CHANGES}"), ask).await?;
    let Some(message) = answer else { return Ok(None) };
    let record = Record::of_answer("", &message)?;
    let first = std::str::from_utf8(&record.value).ok().and_then(|body| body.lines().next()).unwrap_or_default();
    let to = first.split(' ').nth(1).and_then(|to| to.parse().ok());
    let to = to.ok_or_else(|| Error::Refused(format!("the stream {CHANGES} holds something else than changes")))?;
    Ok(Some(Told { message: record.revision, to, born: record.born.unwrap_or_default() }))
}

/// What is to be told.
#[derive(Debug, Default)]
struct Batch {
    to: u64,
    lines: String,
    /// For routers that know no hub.
    bans: Vec<(std::net::IpAddr, u64)>,
}

async fn batch(store: &Store, from: u64, now: u64) -> Result<Batch> {
    let mut batch = Batch { to: from, ..Batch::default() };
    store.bans.batch(">", from + 1, MOST, &mut |record: Record| batch.add(&record, now)).await?;
    Ok(batch)
}

impl Batch {
    fn add(&mut self, record: &Record, now: u64) {
        use std::fmt::Write;
        self.to = record.revision;
        if let Some(login) = record.key.strip_prefix(LOGINS) {
            let _ = writeln!(self.lines, "{}{login}", if record.gone { '~' } else { '!' });
            return;
        }
        let Some(ip) = address::of_key(&record.key) else { return };
        if record.gone {
            let _ = writeln!(self.lines, "-{ip}");
            return;
        }
        let left = record.left(now).map(|left| left.min(MAX_SECONDS.into())).filter(|left| *left > 0);
        if let Some((left, ban)) = left.zip(Ban::decode(&record.value)) {
            let _ = writeln!(self.lines, "+{ip} {left} {}", ban.reason);
            self.bans.push((ip, left));
        }
    }
}

/// Tells it, unless another hub did meanwhile.
async fn tell(hub: &Hub, told: Told, batch: &Batch) -> Result<Told> {
    let body = format!("{} {} {}\n{}", told.to, batch.to, hub.clock.now(), batch.lines);
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Sequence", told.message.to_string());
    headers.insert(BORN, told.born.to_string());
    let message = hub.store.bans.store(TOLD, body.into(), headers).await?;
    hub.counts.told.fetch_add(1, Relaxed);
    for (ip, left) in &batch.bans {
        let body = format!("{ip}|{left}");
        announce(hub, "diswall.blacklist.new", &body).await?;
        if *left > DAY {
            announce(hub, "diswall.blacklist.default", &body).await?;
        }
        for login in &hub.config.routers.diswall_rs {
            // Where routers have an account of their own, nats-server makes the first of the second.
            for subject in [format!("diswall.blacklist.{login}.add.{HUB_HOST}"), format!("diswall.hub.ban.{login}")] {
                announce(hub, subject, &ip.to_string()).await?;
            }
        }
    }
    Ok(Told { message, to: batch.to, born: told.born })
}

async fn announce(hub: &Hub, subject: impl async_nats::subject::ToSubject, body: &str) -> Result<()> {
    let sent = hub.store.client.publish(subject, body.to_owned().into()).await;
    sent.map_err(|error| Error::Away(format!("nats-server is away: {error}")))
}

/// The answer to a router's greeting.
///
/// # Errors
/// nats-server is away, or nothing was told yet.
pub async fn hello(hub: &Hub) -> Result<String> {
    let told = last(&hub.store).await?;
    let Told { to, born, .. } = told.ok_or_else(|| Error::Away("no hub has told anything yet".into()))?;
    Ok(format!(
        "diswall-hub 1\nseq {to}\nborn {born}\ntime {}\nstream {}\nsubject {}\nheartbeat {HEARTBEAT}\nquorum {}\n",
        hub.clock.now(),
        hub.store.bans.stream(),
        hub.store.bans.subject(">"),
        hub.config.trust.quorum
    ))
}

/// Revision of the bans up to which everything was told; `None`: nothing was.
///
/// # Errors
/// nats-server is away.
pub async fn told_to(store: &Store) -> Result<Option<u64>> {
    Ok(last(store).await?.map(|told| told.to))
}
