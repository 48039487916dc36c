//! What routers tell one another while the hub is away, and what is taken of it.
//!
//! Everybody of the fleet may report, so a report counts once `quorum` different logins have made it within
//! an hour: the server sees to it that a login reports in its own name alone. Of one login no more counts
//! than a hub would take, so that none of them can push out what the others say. Pure: time goes in.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Within which time reports of the same address count together.
const WINDOW: Duration = Duration::from_secs(3600);
/// Most reports that are remembered.
const CLAIMS: usize = 2048;
/// Most reports of one login that count within [`WINDOW`].
const EACH: u8 = 200;
/// Logins share this many counters, by chance: who reports too much can spoil it for few.
const COUNTERS: usize = 256;
/// Most revoked logins that are known: a hub tells of no more.
pub const REVOKED: usize = 1000;
/// Most bans of which it is remembered that routers told of them.
const TOLD: usize = 1024;

/// One router's report of an address.
#[derive(Debug)]
struct Claim {
    address: IpAddr,
    login: u64,
    at: Instant,
}

/// The reports that may still count.
#[derive(Debug)]
pub struct Peers {
    claims: VecDeque<Claim>,
    reports: [u8; COUNTERS],
    /// When the counters began.
    since: Option<Instant>,
    random: RandomState,
    /// Logins whose reports count for nothing.
    revoked: Vec<u64>,
}

impl Default for Peers {
    fn default() -> Peers {
        Peers {
            claims: VecDeque::new(),
            reports: [0; COUNTERS],
            since: None,
            random: RandomState::new(),
            revoked: Vec::new(),
        }
    }
}

impl Peers {
    /// A login reports an address. True when with it at least `quorum` different ones have.
    pub fn report(&mut self, login: &str, address: IpAddr, quorum: u8, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            (self.since, self.reports) = (Some(now), [0; COUNTERS]);
        }
        let login = self.random.hash_one(login);
        if self.revoked.contains(&login) {
            return false;
        }
        let counter = usize::try_from(login % COUNTERS as u64).unwrap_or_default();
        match self.reports.get_mut(counter) {
            Some(count) if *count < EACH => *count += 1,
            _ => return false,
        }
        while self.claims.front().is_some_and(|claim| now.duration_since(claim.at) >= WINDOW) {
            self.claims.pop_front();
        }
        let mut others = 0;
        for claim in self.claims.iter_mut().filter(|claim| claim.address == address) {
            if claim.login == login {
                return false;
            }
            others += 1;
        }
        if self.claims.len() >= CLAIMS {
            self.claims.pop_front();
        }
        self.claims.push_back(Claim { address, login, at: now });
        quorum > 0 && others + 1 >= usize::from(quorum)
    }

    /// The hub takes a login's word no more, or does again.
    pub fn revoke(&mut self, login: &str, revoked: bool) {
        let login = self.random.hash_one(login);
        self.revoked.retain(|known| *known != login);
        if revoked {
            self.claims.retain(|claim| claim.login != login);
            if self.revoked.len() < REVOKED {
                self.revoked.push(login);
            }
        }
    }

    /// Which logins are revoked is to be told anew.
    pub fn forget_revoked(&mut self) {
        self.revoked = Vec::new();
    }

    /// Goes on with what an earlier connection knew of revoked logins.
    pub fn succeed(&mut self, before: &Peers) {
        (self.random, self.revoked) = (before.random.clone(), before.revoked.clone());
    }

    /// The hub is back: nothing that was reported meanwhile counts any more.
    pub fn clear(&mut self) {
        (self.claims, self.reports, self.since) = (VecDeque::new(), [0; COUNTERS], None);
    }
}

/// Bans that routers told of and the hub may not know: a list of the hub's must not end them.
#[derive(Clone, Debug, Default)]
pub struct Told(VecDeque<(IpAddr, Instant)>);

impl Told {
    /// Banned until then.
    pub fn add(&mut self, address: IpAddr, until: Instant) {
        self.remove(address);
        if self.0.len() >= TOLD {
            self.0.pop_front();
        }
        self.0.push_back((address, until));
    }

    /// Taken back.
    pub fn remove(&mut self, address: IpAddr) {
        self.0.retain(|(known, _)| *known != address);
    }

    /// What holds, and for how many seconds.
    pub fn holding(&mut self, now: Instant) -> impl Iterator<Item = (IpAddr, u32)> + '_ {
        self.0.retain(|(_, until)| *until > now);
        let left = move |until: Instant| until.duration_since(now).as_secs().clamp(1, u32::MAX.into()) as u32;
        self.0.iter().map(move |(address, until)| (*address, left(*until)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::V4((0xcb00_7100 + n).into())
    }

    #[test]
    fn it_takes_different_logins() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        assert!(!peers.report("bob", address(1), 2, now));
        assert!(!peers.report("bob", address(1), 2, now), "one router twice");
        assert!(!peers.report("carol", address(2), 2, now), "another address");
        assert!(peers.report("carol", address(1), 2, now));
        assert!(peers.report("dave", address(1), 2, now));
        assert!(!peers.report("dave", address(2), 3, now));
        assert!(peers.report("erin", address(2), 3, now));
        assert!(!peers.report("frank", address(2), 0, now), "nothing is taken");
        assert!(!peers.report("bob", address(9), 2, now));
        assert!(!peers.report("carol", address(9), 2, now + WINDOW), "long ago");
        peers.clear();
        assert!(!peers.report("dave", address(9), 2, now + WINDOW));
    }

    #[test]
    fn a_revoked_login_counts_for_nothing() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        assert!(!peers.report("mallory", address(1), 2, now));
        peers.revoke("mallory", true);
        assert!(!peers.report("bob", address(1), 2, now), "what it said before");
        assert!(!peers.report("mallory", address(1), 2, now));
        peers.clear();
        let mut next = Peers::default();
        next.succeed(&peers);
        assert!(!next.report("bob", address(2), 2, now));
        assert!(!next.report("mallory", address(2), 2, now));
        next.revoke("mallory", false);
        assert!(next.report("mallory", address(2), 2, now));
        for login in 0..5000 {
            next.revoke(&format!("sybil{login}"), true);
            next.revoke("sybil0", true);
        }
        assert_eq!(next.revoked.len(), REVOKED);
    }

    #[test]
    fn who_reports_without_end_spoils_it_for_nobody() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        assert!(!peers.report("bob", address(1), 2, now));
        for n in 10..100_000 {
            peers.report("mallory", address(n), 2, now);
        }
        assert!(peers.claims.len() <= usize::from(EACH) + 1);
        assert!(peers.report("carol", address(1), 2, now), "what bob said is still there");
        for login in 0..1000 {
            for n in 0..100 {
                peers.report(&format!("sybil{login}"), address(1000 * login + n), 255, now);
            }
        }
        assert_eq!(peers.claims.len(), CLAIMS);
    }

    #[test]
    fn what_routers_told_has_ends() {
        let (mut told, now) = (Told::default(), Instant::now());
        let second = Duration::from_secs(1);
        told.add(address(1), now + 900 * second);
        told.add(address(2), now + 5 * second);
        told.add(address(1), now + 100 * second);
        told.add(address(3), now + 100 * second);
        told.remove(address(3));
        assert_eq!(told.holding(now + 10 * second).collect::<Vec<_>>(), [(address(1), 90)]);
        for n in 0..5000 {
            told.add(address(n), now + 900 * second);
        }
        assert_eq!(told.holding(now).count(), TOLD);
    }
}
