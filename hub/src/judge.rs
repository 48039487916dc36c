//! From a report to a ban: who said it, whether enough others say so too, how long it is for.
//!
//! The order of writes and reads is what makes several hubs agree without talking to one another. A claim is written
//! before the others' claims are read, so of two that come at once one sees the other. The ban is written as the
//! successor of what was read, so only one hub bans. A revocation is written before its claims are looked for, and
//! looked up here after the claim and again after the ban: whichever comes last sees the other.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::address;
use crate::ban::{Ban, Claim, step};
use crate::config::Trust;
use crate::error::{Error, Result};
use crate::reporters;
use crate::store::{Put, Record, Store};

/// Seconds for which an address's number of bans is kept.
const REMEMBERED: u64 = 30 * 86_400;

/// How often a race with other hubs is run again.
const RACES: u32 = 16;

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The address is banned now.
    Banned,
    /// It was before.
    Known,
    /// One reporter said it; not enough do.
    Claimed,
    /// The reporter is revoked.
    Revoked,
}

/// Judges one report of an address that may be banned.
///
/// # Errors
/// nats-server is away, full, or says no.
pub async fn report(store: &Store, trust: &Trust, now: u64, login: &str, ip: IpAddr, reason: &str) -> Result<Verdict> {
    let key = address::key(ip);
    claim(store, trust, now, login, &key, reason).await?;
    if !reporters::hear(store, login, now).await? {
        store.claims.remove(&format!("{key}.{login}")).await?;
        return Ok(Verdict::Revoked);
    }
    for _ in 0..RACES {
        let before = store.bans.last(&key).await?;
        if before.as_ref().is_some_and(|record| !record.gone) {
            return Ok(Verdict::Known);
        }
        let supporters = supporters(store, trust, &key, Some(now)).await?;
        if !enough(trust, &supporters) {
            return Ok(Verdict::Claimed);
        }
        let count = counted(store, &key).await?;
        let ban = Ban { seconds: step(count), reason: reason.to_owned(), count };
        match keep(store, &key, &supporters, now, ban.seconds.into()).await {
            // Somebody takes back what he said, or says it again.
            Err(Error::Conflict) => continue,
            result => result?,
        }
        let expected = Some(before.map_or(0, |record| record.revision));
        match store.bans.put(&key, ban.encode(), Put { ttl: Some(ban.seconds.into()), expected }).await {
            Err(Error::Conflict) => continue,
            result => result.map(drop)?,
        }
        grow(store, &key).await?;
        judge_again(store, trust, ip).await?;
        return Ok(Verdict::Banned);
    }
    Err(Error::Conflict)
}

/// Writes down what the login says, and how long its own routers ban the address.
async fn claim(store: &Store, trust: &Trust, now: u64, login: &str, key: &str, reason: &str) -> Result<()> {
    let place = format!("{key}.{login}");
    let before = store.claims.held(&place).await?.and_then(|record| Claim::decode(&record.value));
    let seconds = match before {
        Some(before) if before.time + u64::from(before.seconds) > now => before.seconds,
        _ => {
            let own = format!("{login}.{key}");
            step(grow(store, &own).await?)
        }
    };
    let claim = Claim { time: now, seconds, reason: reason.to_owned() };
    let how = Put { ttl: Some(trust.window.max(seconds.into())), expected: None };
    store.claims.put(&place, claim.encode(), how).await.map(drop)
}

/// Who says so.
type Supporters = BTreeMap<String, Supporter>;

/// What a login says.
struct Supporter {
    claim: Claim,
    /// The claim's revision.
    revision: u64,
    /// When it ends.
    ends: Option<u64>,
}

/// Whoever claims that the address should be banned and is not revoked: within the window before `now`, or at all.
/// No more are read than decide.
async fn supporters(store: &Store, trust: &Trust, key: &str, now: Option<u64>) -> Result<Supporters> {
    let (filter, mut from, mut found) = (format!("{key}.*"), 1, Supporters::new());
    while let Some(record) = store.claims.next(&filter, from).await? {
        from = record.revision + 1;
        let Some((login, claim)) =
            record.key.rsplit_once('.').map(|(_, login)| login).zip(Claim::decode(&record.value))
        else {
            continue;
        };
        let is_late = now.is_some_and(|now| claim.time + trust.window < now);
        if record.gone || is_late || reporters::is_revoked(store, login).await? {
            continue;
        }
        let ends = record.ttl.map(|ttl| record.written + ttl);
        found.insert(login.to_owned(), Supporter { claim, revision: record.revision, ends });
        if enough(trust, &found) {
            break;
        }
    }
    Ok(found)
}

fn enough(trust: &Trust, supporters: &Supporters) -> bool {
    supporters.len() >= trust.quorum || supporters.keys().any(|login| trust.honeypots.contains(login))
}

/// Sees to it that what a ban stands on is there for as long as the ban: a revocation must find it. What was taken back
/// since it was read stays so: [`Error::Conflict`].
async fn keep(store: &Store, key: &str, supporters: &Supporters, now: u64, seconds: u64) -> Result<()> {
    for (login, Supporter { claim, revision, ends }) in supporters {
        if ends.is_some_and(|ends| ends < now + seconds + 60) {
            let how = Put { ttl: Some(seconds + 120), expected: Some(*revision) };
            store.claims.put(&format!("{key}.{login}"), claim.encode(), how).await?;
        }
    }
    Ok(())
}

/// Takes a ban back when not enough say so any more. `true`: it was.
///
/// # Errors
/// nats-server is away or says no.
pub async fn judge_again(store: &Store, trust: &Trust, ip: IpAddr) -> Result<bool> {
    let key = address::key(ip);
    let Some(ban) = store.bans.held(&key).await? else { return Ok(false) };
    if enough(trust, &supporters(store, trust, &key, None).await?) {
        return Ok(false);
    }
    match store.bans.purge(&key, Some(ban.revision)).await {
        // A new ban, which whoever wrote it judges.
        Err(Error::Conflict) => Ok(false),
        result => result.map(|_| true),
    }
}

async fn counted(store: &Store, key: &str) -> Result<u32> {
    Ok(number(store.counts.last(key).await?.as_ref()))
}

fn number(record: Option<&Record>) -> u32 {
    record.and_then(|record| std::str::from_utf8(&record.value).ok()?.parse().ok()).unwrap_or(0)
}

/// One ban more; how many there were. Where there is no room for the number, bans do not grow; they are not lost.
async fn grow(store: &Store, key: &str) -> Result<u32> {
    let mut count = 0;
    for _ in 0..RACES {
        let record = store.counts.last(key).await?;
        let expected = Some(record.as_ref().map_or(0, |record| record.revision));
        count = number(record.as_ref());
        let how = Put { ttl: Some(REMEMBERED), expected };
        match store.counts.put(key, count.saturating_add(1).to_string(), how).await {
            Err(Error::Conflict) => continue,
            Err(Error::Full(_)) => break,
            result => return result.map(|_| count),
        }
    }
    Ok(count)
}

/// A reporter takes back what it said of an address. `true`: the ban ended with it.
///
/// # Errors
/// nats-server is away or says no.
pub async fn take_back(store: &Store, trust: &Trust, login: &str, ip: IpAddr) -> Result<bool> {
    let key = address::key(ip);
    if store.claims.held(&format!("{key}.{login}")).await?.is_none() {
        return Ok(false);
    }
    store.claims.remove(&format!("{key}.{login}")).await?;
    store.counts.remove(&format!("{login}.{key}")).await?;
    judge_again(store, trust, ip).await
}
