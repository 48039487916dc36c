//! Takes what routers say, refuses what is none of it, and hands the rest to those who judge.
//!
//! The first look costs no question to nats-server: a router that floods costs the hub a table look-up a message. What
//! passes is bounded by each login's limit an hour, and waits in short queues, one address always in the same, so
//! that what was said first is done first.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_nats::Message;
use diswall::feed::nats::hub::wire::HELLO;
use diswall::feed::nats::wire;
use futures_util::StreamExt;
use log::{info, warn};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::allow;
use crate::answers::Answers;
use crate::ban;
use crate::error::Error;
use crate::greetings;
use crate::hub::Hub;
use crate::judge::{self, Verdict};
use crate::routers;
use crate::subject::Parts;

/// Hubs share what arrives.
pub const QUEUE: &str = "diswall-hub";

/// Reports that are worked on at a time.
const WORKERS: usize = 32;

/// Reports that wait for one of them: more than one login may make in an hour, so that whoever reports one address two
/// hundred times at once stops the reading of what others say for no moment.
const WAITING: usize = 512;

/// What is to be done.
#[derive(Debug)]
enum Job {
    Ban(IpAddr, String),
    Unban(IpAddr),
    Allow(ipnet::IpNet),
    Disallow(ipnet::IpNet),
    Statistics(Vec<u8>),
    /// It is there.
    Seen,
}

type Queues = Vec<mpsc::Sender<(Parts, Job)>>;

/// Runs until `end`; then what waits is done, and nothing new is taken.
///
/// # Errors
/// nats-server takes no subscription.
pub async fn run(hub: Arc<Hub>, answers: Answers, end: impl Future<Output = ()>) -> Result<(), String> {
    let told = |error: async_nats::SubscribeError| format!("nats-server takes no subscription: {error}");
    let subscribe = |subject: &'static str| hub.store.client.queue_subscribe(subject, QUEUE.to_owned());
    let black = subscribe("diswall.blacklist.*.*.*").await.map_err(told)?;
    let white = subscribe("diswall.whitelist.*.*.*").await.map_err(told)?;
    let statistics = subscribe("diswall.stats.*.add.*").await.map_err(told)?;
    let hellos = subscribe(HELLO).await.map_err(told)?;
    hub.store.client.flush().await.map_err(|error| format!("nats-server is away: {error}"))?;
    info!("taking reports; a ban needs {} reporters", hub.config.trust.quorum);
    let (queues, mut workers) = workers(&hub);
    let mut all = futures_util::stream::select_all([black, white, statistics]);
    let mut greeted = JoinSet::new();
    greeted.spawn(greetings::run(Arc::clone(&hub), hellos));
    tokio::pin!(end);
    loop {
        tokio::select! {
            message = all.next() => match message {
                Some(message) => take(&hub, &answers, &queues, message).await,
                None => return Err("nats-server ended the subscriptions".into()),
            },
            () = &mut end => break,
        }
    }
    drop((all, queues, greeted));
    while workers.join_next().await.is_some() {}
    Ok(())
}

fn workers(hub: &Arc<Hub>) -> (Queues, JoinSet<()>) {
    let mut workers = JoinSet::new();
    let mut start = |_| {
        let (sender, mut jobs) = mpsc::channel(WAITING);
        let hub = hub.clone();
        workers.spawn(async move {
            while let Some((parts, job)) = jobs.recv().await {
                work(&hub, &parts, job).await;
            }
        });
        sender
    };
    ((0..WORKERS).map(&mut start).collect(), workers)
}

async fn take(hub: &Arc<Hub>, answers: &Answers, queues: &Queues, message: Message) {
    let Some(parts) = Parts::of(message.subject.as_str()) else { return };
    match (parts.list.as_str(), parts.verb.as_str()) {
        (_, "init") => {
            answers.init(hub, &parts, message);
            pass(queues, parts, Job::Seen).await;
        }
        ("blacklist", "add") => {
            hub.counts.reports.fetch_add(1, Relaxed);
            if let Some(job) = ban(hub, &parts.login, &message.payload) {
                pass(queues, parts, job).await;
            } else {
                hub.counts.refused.fetch_add(1, Relaxed);
            }
        }
        (list, verb) => {
            let job = match (list, verb) {
                ("blacklist", "del") => wire::unban(&message.payload).map(Job::Unban),
                ("whitelist", "add") => wire::allowed(&message.payload).map(Job::Allow),
                ("whitelist", "del") => wire::allowed(&message.payload).map(Job::Disallow),
                ("stats", "add") => Ok(Job::Statistics(message.payload.to_vec())),
                _ => return,
            };
            match job {
                Err(error) => hub.complaints.about(&parts.login, "form", || error.to_string()),
                // What is only shown is not taken off what a login may report.
                Ok(job @ Job::Statistics(_)) if hub.shown.take(&parts.login, hub.clock.now()) => {
                    pass(queues, parts, job).await;
                }
                Ok(Job::Statistics(_)) => {}
                Ok(job) if within(hub, &parts.login) => pass(queues, parts, job).await,
                Ok(_) => {}
            }
        }
    }
}

/// A report that may become a ban, or why not.
fn ban(hub: &Hub, login: &str, body: &[u8]) -> Option<Job> {
    let said = |matter, what: String| hub.complaints.about(login, matter, || what);
    if hub.limits.used_up(login, hub.clock.now()) {
        within(hub, login);
        return None;
    }
    let (ip, tag) = match wire::shared_ban(body) {
        Ok(report) => report,
        Err(error) => {
            said("form", error.to_string());
            return None;
        }
    };
    if let Some(why) = hub.never.holds(ip) {
        said("never", format!("{ip} is reported, which is never banned ({why})"));
        return None;
    }
    within(hub, login).then(|| Job::Ban(ip, ban::reason(tag.unwrap_or_default())))
}

fn within(hub: &Hub, login: &str) -> bool {
    let left = hub.limits.take(login, hub.clock.now());
    if !left {
        let most = hub.config.trust.bans_per_hour;
        hub.complaints.about(login, "limit", || format!("more than {most} reports in this hour; the rest is refused"));
    }
    left
}

async fn pass(queues: &Queues, parts: Parts, job: Job) {
    let mut hasher = DefaultHasher::new();
    match &job {
        Job::Ban(ip, _) | Job::Unban(ip) => ip.hash(&mut hasher),
        Job::Allow(_) | Job::Disallow(_) | Job::Statistics(_) | Job::Seen => parts.login.hash(&mut hasher),
    }
    let Some(queue) = queues.get(hasher.finish() as usize % queues.len()) else { return };
    // Nobody's ban waits for what is only shown. One that waits longer than the subscription holds messages is told
    // as a slow consumer.
    match &job {
        Job::Statistics(_) | Job::Seen => drop(queue.try_send((parts, job))),
        _ => drop(queue.send((parts, job)).await),
    }
}

async fn work(hub: &Arc<Hub>, parts: &Parts, job: Job) {
    let (store, trust, login) = (&hub.store, &hub.config.trust, parts.login.as_str());
    let now = hub.clock.now();
    let done = match job {
        Job::Ban(ip, reason) => judged(hub, parts, ip, &reason).await,
        Job::Unban(ip) => judge::take_back(store, trust, login, ip).await.map(drop),
        Job::Allow(net) => allow::own(hub, login, net).await,
        Job::Disallow(net) => allow::disown(store, login, net).await,
        Job::Statistics(body) => routers::statistics(hub, parts, &body, now).await,
        Job::Seen => routers::seen(hub, parts, now).await,
    };
    if let Err(error) = done {
        hub.complaints.about(login, matter(&error), || format!("what it said is lost: {error}"));
    }
}

fn matter(error: &Error) -> &'static str {
    match error {
        Error::Conflict => "conflict",
        Error::Full(_) => "full",
        Error::Away(_) => "away",
        Error::Refused(_) => "refused",
    }
}

async fn judged(hub: &Arc<Hub>, parts: &Parts, ip: IpAddr, reason: &str) -> Result<(), Error> {
    let (now, login) = (hub.clock.now(), parts.login.as_str());
    if !hub.limits.share(&hub.store, login, now).await? {
        hub.counts.refused.fetch_add(1, Relaxed);
        return Ok(());
    }
    match judge::report(&hub.store, &hub.config.trust, now, login, ip, reason).await? {
        Verdict::Banned => {
            hub.counts.banned.fetch_add(1, Relaxed);
            info!("{ip} is banned ({login}, {})", if reason.is_empty() { "no reason" } else { reason });
        }
        Verdict::Revoked => {
            hub.counts.refused.fetch_add(1, Relaxed);
            hub.complaints.about(login, "revoked", || "revoked, and still reports".into());
        }
        Verdict::Known | Verdict::Claimed => {}
    }
    if let Err(error) = routers::seen(hub, parts, now).await {
        warn!("{error}");
    }
    Ok(())
}
