//! Takes back everything that one login said, and believes it no more.
//!
//! Bans that stand on nobody else end at once; the routers are told by whichever hub tells the changes.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use diswall::feed::nats::hub::peers::REVOKED;
use diswall::feed::nats::hub::wire::LOGINS;
use futures_util::StreamExt;
use futures_util::stream;

use crate::address;
use crate::config::Trust;
use crate::error::{Error, Result};
use crate::judge::judge_again;
use crate::store::{Put, Record, Store};
use crate::subject::Parts;

/// Addresses that are judged again at a time.
const AT_ONCE: usize = 64;

/// After this a replica that was behind has what the leader has.
const SETTLED: Duration = Duration::from_millis(500);

/// Logins that are named to an owner who named none of them.
const NAMED: usize = 20;

/// What an owner is told of a login that routers are not told of.
pub const UNTOLD: &str = "routers know of 1,000 revoked logins already: while no hub runs, they believe this one";

/// What a revocation did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Revoked {
    /// Addresses that the login had reported.
    pub claims: usize,
    /// Bans that ended.
    pub ended: usize,
    /// Routers know of so many revoked logins already that they are not told of this one.
    pub is_untold: bool,
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} reports taken back, {} bans ended", self.claims, self.ended)?;
        if self.is_untold { write!(f, "; {UNTOLD}") } else { Ok(()) }
    }
}

/// See the module's head.
///
/// # Errors
/// nats-server is away or says no; what was done until then stays done, and it can be done again.
pub async fn revoke(store: &Store, trust: &Trust, login: &str, now: u64) -> Result<Revoked> {
    known_form(login)?;
    store.reporters.put(login, format!("revoked|{now}"), Put::default()).await?;
    let mut done = Revoked { is_untold: !tell(store, login, now).await?, ..Revoked::default() };
    for pass in 0..2 {
        if pass > 0 {
            tokio::time::sleep(SETTLED).await;
        }
        let mut addresses = Vec::new();
        for filter in claims(login) {
            store
                .claims
                .scan(&filter, 1, |record| addresses.extend(address::of_claim(&record.key).map(|(ip, _)| ip)))
                .await?;
        }
        done.claims = done.claims.max(addresses.len());
        let judged = stream::iter(addresses).map(|ip| judge_again(store, trust, ip)).buffer_unordered(AT_ONCE);
        for ended in judged.collect::<Vec<_>>().await {
            done.ended += usize::from(ended?);
        }
    }
    for filter in claims(login) {
        store.claims.remove(&filter).await?;
    }
    store.counts.remove(&format!("{login}.>")).await?;
    Ok(done)
}

/// Tells routers that nothing of the login counts while no hub is there to judge it. `false`: they know of too many.
async fn tell(store: &Store, login: &str, now: u64) -> Result<bool> {
    let (key, mut others) = (format!("{LOGINS}{login}"), 0);
    let count = |record: Record| others += usize::from(!record.gone && record.key != key);
    store.bans.scan(&format!("{LOGINS}*"), 1, count).await?;
    if others >= REVOKED {
        return Ok(false);
    }
    store.bans.put(&key, now.to_string(), Put::default()).await.map(|_| true)
}

/// What an owner is told who names a login that the hub has never heard of; `None`: it has.
///
/// # Errors
/// Nobody can be called so; or nats-server is away or says no.
pub async fn unheard(store: &Store, login: &str) -> Result<Option<String>> {
    known_form(login)?;
    if store.reporters.held(login).await?.is_some() {
        return Ok(None);
    }
    let (mut all, mut named) = (0, BTreeSet::new());
    store
        .reporters
        .scan(">", 1, |record| {
            all += 1;
            named.insert(record.key);
            if named.len() > NAMED {
                named.pop_last();
            }
        })
        .await?;
    let more = all - named.len();
    let mut known = named.into_iter().collect::<Vec<_>>().join(", ");
    match (all, more) {
        (0, _) => known.push_str("no login yet"),
        (_, 0) => {}
        _ => known.push_str(&format!(" and {more} more")),
    }
    Ok(Some(format!("no router has ever spoken as \"{login}\"; the hub knows {known}")))
}

/// Believes it again from now on.
///
/// # Errors
/// nats-server is away or says no.
pub async fn trust_again(store: &Store, login: &str, now: u64) -> Result<()> {
    known_form(login)?;
    store.reporters.put(login, format!("trusted|{now}"), Put::default()).await?;
    store.bans.purge(&format!("{LOGINS}{login}"), None).await.map(drop)
}

/// Keys of others begin with what no login may be called.
fn known_form(login: &str) -> Result<()> {
    if Parts::is_login(login) { Ok(()) } else { Err(Error::Refused(format!("no reporter can be called \"{login}\""))) }
}

/// Every claim of a login.
pub fn claims(login: &str) -> [String; 2] {
    [format!("v4.*.*.*.*.{login}"), format!("v6.*.{login}")]
}
