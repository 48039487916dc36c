//! Answers init requests of routers that know no hub.
//!
//! One at a time, from a list that is a few seconds old at most: a fleet that comes back at once is answered from one
//! reading of the bucket. Logins have their turns one after the other, and what waits is bounded; a router that gets no
//! answer asks again.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Message, Subject};
use bytes::Bytes;
use diswall::feed::nats::wire::{ANSWER, DEFAULT_LOGIN, MAX_SECONDS};
use log::warn;
use tokio::sync::mpsc;

use crate::address;
use crate::allow;
use crate::ban::{Claim, DAY};
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::revoke;
use crate::subject::Parts;
use crate::waiting::Waiting;

/// Requests that wait.
const WAITING: usize = 4096;

/// Where answers go: to a client's inbox, as it is or as nats-server maps it between accounts.
const INBOXES: [&str; 2] = ["_INBOX.", "_R_."];

/// How old the list may be.
const AGE: Duration = Duration::from_secs(3);

/// Bytes of a reply that are left to a login's own bans.
const OWN: usize = 64 * 1024;

/// The way to whoever answers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Answers {
    waiting: Arc<Mutex<Waiting<Ask>>>,
    /// Says that something waits; ends the answering when nobody can ask any more.
    wake: mpsc::Sender<()>,
}

type Ask = (Parts, Message);

impl Answers {
    /// Starts answering.
    pub fn start(hub: Arc<Hub>) -> Answers {
        let (wake, mut woken) = mpsc::channel(1);
        let waiting = Arc::new(Mutex::new(Waiting::new(WAITING)));
        let asked = Arc::clone(&waiting);
        tokio::spawn(async move {
            let mut shared = Shared::default();
            while woken.recv().await.is_some() {
                loop {
                    let next = locked(&asked).pop();
                    let Some(ask) = next else { break };
                    if let Err(error) = answer(&hub, &mut shared, ask).await {
                        warn!("a router gets no answer: {error}");
                    }
                }
            }
        });
        Answers { waiting, wake }
    }

    /// A router asks for a list.
    pub fn init(&self, hub: &Hub, parts: &Parts, message: Message) {
        if !has_inbox(hub, &parts.login, &message) {
            return;
        }
        let loser = locked(&self.waiting).push(&parts.login, (parts.clone(), message));
        // A word that is there already says the same.
        let _ = self.wake.try_send(());
        if let Some(loser) = loser {
            say_too_many(hub, &loser);
        }
    }
}

/// Says that something of `login`'s is lost.
pub fn say_too_many(hub: &Hub, login: &str) {
    hub.complaints.about(login, "asks", || "more is asked than can be answered; some must ask again".into());
}

/// Whether `login` asks for an answer where answers belong; otherwise he is said to be wrong. The hub may write anywhere: a
/// router that could choose where would write there by its hand.
pub fn has_inbox(hub: &Hub, login: &str, message: &Message) -> bool {
    let has = message.reply.as_ref().is_some_and(|reply| INBOXES.iter().any(|inbox| reply.starts_with(inbox)));
    if !has {
        hub.complaints.about(login, "reply", || "asks for an answer where none belongs".into());
    }
    has
}

/// Nothing panics while it holds the lock.
fn locked(waiting: &Mutex<Waiting<Ask>>) -> MutexGuard<'_, Waiting<Ask>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(hub: &Arc<Hub>, shared: &mut Shared, (parts, message): Ask) -> Result<()> {
    hub.counts.inits.fetch_add(1, Relaxed);
    let body = match parts.list.as_str() {
        // It would ban them.
        "whitelist" if hub.config.routers.diswall_rs.contains(&parts.login) => Bytes::new(),
        "whitelist" => allow::lines(&hub.store, &parts.login, hub.clock.now()).await?.into(),
        _ => block(hub, shared, &parts.login).await?,
    };
    send(hub, message.reply, body).await
}

/// Answers whoever named a place for it.
///
/// # Errors
/// nats-server is away.
pub async fn send(hub: &Hub, reply: Option<Subject>, body: Bytes) -> Result<()> {
    let Some(reply) = reply else { return Ok(()) };
    // nats-server sends it wherever the asker said, without asking whether he may write there: so that nobody takes
    // it for a report or an allowance, it has a header, which those never have.
    let mut mark = async_nats::HeaderMap::new();
    mark.insert(ANSWER, "1");
    let sent = hub.store.client.publish_with_headers(reply, mark, body).await;
    sent.map_err(|error| Error::Away(error.to_string()))
}

/// What holds for everybody, as lines.
#[derive(Default)]
struct Shared {
    at: Option<Instant>,
    all: String,
    long: String,
}

impl Shared {
    async fn refresh(&mut self, hub: &Hub) -> Result<()> {
        if self.at.is_some_and(|at| at.elapsed() < AGE) {
            return Ok(());
        }
        let room = hub.store.client.server_info().max_payload.saturating_sub(OWN);
        let (now, most) = (hub.clock.now(), room / 16);
        let mut bans: Vec<(u64, IpAddr)> = Vec::new();
        hub.store
            .bans
            .scan(">", 1, |record| {
                let left = record.left(now).filter(|left| *left > 0 && !record.gone);
                bans.extend(left.zip(address::of_key(&record.key)));
                if bans.len() > 2 * most {
                    longest(&mut bans, most);
                }
            })
            .await?;
        longest(&mut bans, most);
        (self.all, self.long) = (String::new(), String::new());
        for (left, ip) in bans {
            if self.all.len() + 64 < room {
                line(&mut self.all, ip, left);
                if left > DAY {
                    line(&mut self.long, ip, left);
                }
            }
        }
        self.at = Some(Instant::now());
        Ok(())
    }
}

/// Those that hold longest, should not all fit into a message.
fn longest(bans: &mut Vec<(u64, IpAddr)>, most: usize) {
    bans.sort_unstable_by(|one, other| other.cmp(one));
    bans.truncate(most);
}

fn line(lines: &mut String, ip: IpAddr, seconds: u64) {
    use std::fmt::Write;
    if !lines.is_empty() {
        lines.push('\n');
    }
    // Writing to a text cannot fail.
    let _ = write!(lines, "{ip} timeout {}", seconds.min(MAX_SECONDS.into()));
}

/// The shared list, and what the login itself reported and nobody else takes from it.
async fn block(hub: &Hub, shared: &mut Shared, login: &str) -> Result<Bytes> {
    shared.refresh(hub).await?;
    if login == DEFAULT_LOGIN {
        return Ok(Bytes::copy_from_slice(shared.long.as_bytes()));
    }
    let (now, mut own, mut seen) = (hub.clock.now(), String::new(), HashSet::new());
    for filter in revoke::claims(login) {
        hub.store
            .claims
            .scan(&filter, 1, |record| {
                let left = Claim::decode(&record.value)
                    .map(|claim| (claim.time + u64::from(claim.seconds)).saturating_sub(now));
                let Some((ip, _)) = address::of_claim(&record.key).filter(|_| !record.gone) else { return };
                if let Some(left) = left.filter(|left| *left > 0)
                    && own.len() + 64 < OWN
                    && seen.insert(ip)
                {
                    line(&mut own, ip, left);
                }
            })
            .await?;
    }
    // No line is empty: diswall-rs hands each to nft, which refuses all for one.
    let parts = [shared.all.as_str(), &own];
    Ok(parts.iter().filter(|part| !part.is_empty()).flat_map(|part| [part, "\n"]).collect::<String>().into())
}
