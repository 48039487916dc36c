//! Reads what the page shows, in one pass over each bucket; what is kept of it is bounded.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::IpAddr;

use diswall::feed::nats::Statistics;

use crate::address;
use crate::ban::{Ban, Claim};
use crate::dynfw::{self, Shown};
use crate::error::Result;
use crate::hub::Hub;
use crate::reporters;
use crate::routers;
use crate::show;

/// Rows of each table.
const ROWS: usize = 20;

/// Routers and reporters that are shown.
const MANY: usize = 2000;

/// Addresses banned in the last hour of which it is known who reported them: 3 MB.
const HOURLY: usize = 100_000;

/// A ban as it is shown.
#[derive(Clone, Debug)]
pub struct ShownBan {
    /// Who.
    pub ip: IpAddr,
    /// Seconds that are left.
    pub left: u64,
    /// Seconds since it was banned.
    pub ago: u64,
    /// Why, and how often before.
    pub ban: Ban,
}

/// A reporter's last hour.
#[derive(Clone, Debug, Default)]
pub struct Reporter {
    /// What it says counts for nothing.
    pub revoked: bool,
    /// Addresses that it reported, for each reason: how many of them were banned for all, and how many there are.
    pub reasons: BTreeMap<String, (u32, u32)>,
}

/// A router that was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its login and name.
    pub name: String,
    /// Seconds since.
    pub ago: u64,
    /// Its last hour, where it tells.
    pub hour: Option<Statistics>,
}

/// Everything that the page shows.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Bans that hold.
    pub bans: u64,
    /// Addresses that were banned in the last hour, some of which hold no more.
    pub hourly: u64,
    /// The newest, newest first.
    pub newest: Vec<ShownBan>,
    /// Those with the most bans before.
    pub stubborn: Vec<ShownBan>,
    /// By login.
    pub reporters: BTreeMap<String, Reporter>,
    /// Whom it knows besides.
    pub more_reporters: u64,
    /// Routers, those first that were heard of last.
    pub routers: VecDeque<Seen>,
    /// Those that were heard of before them.
    pub more_routers: u64,
    /// Relays of DynFW, one a hub.
    pub relays: Vec<Shown>,
    /// What was asked, and the answer.
    pub answer: Option<(String, String)>,
}

/// Reads it; and why `asked` is banned.
///
/// # Errors
/// nats-server is away.
pub async fn gather(hub: &Hub, asked: Option<&str>) -> Result<Gathered> {
    let (store, now, mut all) = (&hub.store, hub.clock.now(), Gathered::default());
    bans(hub, now, &mut all).await?;
    let banned = hourly(hub, now, &mut all).await?;
    store
        .reporters
        .scan(">", 1, |record| {
            if all.reporters.len() < MANY {
                let revoked = reporters::revoked(&record.value);
                all.reporters.insert(record.key, Reporter { revoked, ..Reporter::default() });
            } else {
                all.more_reporters += 1;
            }
        })
        .await?;
    store
        .claims
        .scan(">", 1, |record| {
            let claim = Claim::decode(&record.value).filter(|claim| !record.gone && claim.time + 3600 >= now);
            let Some((ip, login)) = address::of_claim(&record.key) else { return };
            if let Some((reporter, claim)) = all.reporters.get_mut(login).zip(claim) {
                let is_shown = reporter.reasons.len() < ROWS || reporter.reasons.contains_key(&claim.reason);
                let reason = if is_shown { claim.reason } else { "other".into() };
                let (bans, reports) = reporter.reasons.entry(reason).or_default();
                *bans += u32::from(banned.contains(&ip));
                *reports += 1;
            }
        })
        .await?;
    store
        .routers
        .scan(">", 1, |record| {
            if record.gone {
                return;
            }
            let hour = routers::hour(&record.value);
            all.routers.push_front(Seen { ago: now.saturating_sub(record.written), hour, name: record.key });
            if all.routers.len() > MANY {
                all.routers.pop_back();
                all.more_routers += 1;
            }
        })
        .await?;
    all.relays = dynfw::all(store).await?;
    if let Some(asked) = asked {
        let answer = match asked.parse::<IpAddr>() {
            Ok(ip) => show::check(hub, ip.to_canonical()).await?,
            Err(_) => "That is no address.".into(),
        };
        all.answer = Some((asked.to_owned(), answer));
    }
    Ok(all)
}

/// Whom the fleet banned in the last hour: each ban is counted under its address when it is made.
async fn hourly(hub: &Hub, now: u64, all: &mut Gathered) -> Result<HashSet<IpAddr>> {
    let mut banned = HashSet::new();
    for family in ["v4.>", "v6.>"] {
        hub.store
            .counts
            .scan_since(family, now.saturating_sub(3600), |record| {
                all.hourly += 1;
                if banned.len() < HOURLY {
                    banned.extend(address::of_key(&record.key));
                }
            })
            .await?;
    }
    Ok(banned)
}

async fn bans(hub: &Hub, now: u64, all: &mut Gathered) -> Result<()> {
    let mut newest = VecDeque::with_capacity(ROWS + 1);
    hub.store
        .bans
        .scan(">", 1, |record| {
            let ban = Ban::decode(&record.value).filter(|_| !record.gone);
            let Some((ip, ban)) = address::of_key(&record.key).zip(ban) else { return };
            all.bans += 1;
            let (left, ago) = (record.left(now).unwrap_or_default(), now.saturating_sub(record.written));
            let row = ShownBan { ip, left, ago, ban };
            if row.ban.count > 0 {
                let place = all.stubborn.partition_point(|other| other.ban.count >= row.ban.count);
                if place < ROWS {
                    all.stubborn.insert(place, row.clone());
                    all.stubborn.truncate(ROWS);
                }
            }
            newest.push_front(row);
            newest.truncate(ROWS);
        })
        .await?;
    all.newest = newest.into();
    Ok(())
}
