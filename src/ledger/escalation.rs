//! Growing bans: who offends again is banned for longer, by a ladder of lengths.
//!
//! Keeps how often an address has been banned, forgets it after a quiet time, and holds a bounded number
//! of addresses, the oldest giving way. The ledger owns it, the daemon asks before it posts a ban of the
//! router's own, and the snapshot carries it.

use std::collections::HashMap;
use std::net::IpAddr;

use super::hash::Seed;
use super::moment::{End, Moment};
use crate::model::Lifetime;

/// The longest ban that DisWall announces, in seconds (docs/protocols.md, section 2).
pub const LONGEST_BAN: u32 = 2_147_483;

/// Days without an offence after the end of the last ban until an address is forgotten.
const QUIET_DAYS: u32 = 30;

/// Addresses remembered: 16,384 take about 400 KB.
pub const HISTORY_MAX: usize = 16_384;

/// How long the first ban lasts, the second, and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// Seconds of the first ban, the second, …; the last step is for all that follow. Empty stands for
    /// DisWall's ladder.
    pub steps: Vec<u32>,
    /// Seconds from the end of an address's last ban until it is forgotten.
    pub forget_after: u32,
}

impl Default for Ladder {
    /// DisWall's rule: 15 min, 30 min, 1 h, then n − 1 hours for n bans already seen, from 8 on n − 1
    /// days, at most [`LONGEST_BAN`].
    fn default() -> Ladder {
        Ladder { steps: (0..=26).map(diswall_step).collect(), forget_after: QUIET_DAYS * 86_400 }
    }
}

fn diswall_step(seen: u32) -> u32 {
    match seen {
        0 => 900,
        1 => 1800,
        2 => 3600,
        3..=7 => (seen - 1) * 3600,
        _ => ((seen - 1) * 86_400).min(LONGEST_BAN),
    }
}

/// An offence, and the ban that it earns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offence {
    /// Bans that the address has had before, as far as remembered.
    pub seen: u32,
    /// The length of the new one.
    pub lifetime: Lifetime,
}

/// What is remembered of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) bans: u32,
    /// When the last ban ends or ended.
    pub(super) until: u32,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Escalation {
    ladder: Ladder,
    most: usize,
    past: HashMap<u64, Past, Seed>,
}

/// One number for an offender: an IPv4 address as it is, an IPv6 address by its /64, which is what one
/// customer has and can change addresses in. Numbers of the two do not meet: those below 2³² would be
/// IPv6 networks in `::/32`, where no routed address is.
pub(super) fn offender(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

impl Escalation {
    pub(super) fn new(most: usize) -> Escalation {
        Escalation { ladder: Ladder::default(), most, past: HashMap::with_hasher(Seed::default()) }
    }

    pub(super) fn set_ladder(&mut self, mut ladder: Ladder) {
        if ladder.steps.is_empty() {
            ladder.steps = Ladder::default().steps;
        }
        self.ladder = ladder;
    }

    /// How many bans of the address are remembered.
    pub(super) fn seen(&self, now: Moment, address: IpAddr) -> u32 {
        let past = self.past.get(&offender(address)).filter(|past| past.until >= self.forgotten(now));
        past.map_or(0, |past| past.bans)
    }

    /// What ended before this second is forgotten.
    fn forgotten(&self, now: Moment) -> u32 {
        now.0.saturating_sub(self.ladder.forget_after)
    }

    /// Counts an offence.
    pub(super) fn offence(&mut self, now: Moment, address: IpAddr) -> Offence {
        let (key, seen) = (offender(address), self.seen(now, address));
        let step = self.ladder.steps.get(seen as usize).or(self.ladder.steps.last());
        let lifetime = Lifetime::Seconds(step.copied().unwrap_or(LONGEST_BAN).max(1));
        let past = Past { bans: seen.saturating_add(1), until: End::after(now, lifetime).0 };
        self.remember(self.forgotten(now), key, past);
        Offence { seen, lifetime }
    }

    /// Puts an address's past back as the snapshot has it.
    pub(super) fn restore(&mut self, key: u64, past: Past) {
        self.remember(0, key, past);
    }

    /// As [`Escalation::restore`], unless a later past is known.
    pub(super) fn restore_later(&mut self, key: u64, past: Past) {
        if self.past.get(&key).is_none_or(|known| known.until < past.until) {
            self.restore(key, past);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.past.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Past)> + '_ {
        self.past.iter().map(|(&key, &past)| (key, past))
    }

    fn remember(&mut self, forgotten: u32, key: u64, past: Past) {
        if self.past.len() >= self.most && !self.past.contains_key(&key) {
            self.make_room(forgotten);
        }
        self.past.insert(key, past);
    }

    /// Drops what is forgotten, and if that is less than a quarter, the quarter whose bans ended first:
    /// one pass over the table pays for a quarter of it in new addresses.
    fn make_room(&mut self, forgotten: u32) {
        self.past.retain(|_, past| past.until >= forgotten);
        let keep = self.most - self.most / 4 - 1;
        let Some(excess) = self.past.len().checked_sub(keep).filter(|&excess| excess > 0) else { return };
        let mut ends: Vec<u32> = self.past.values().map(|past| past.until).collect();
        let (_, &mut last, _) = ends.select_nth_unstable(excess - 1);
        let earlier = ends.iter().filter(|&&end| end < last).count();
        let mut ties = excess - earlier;
        self.past.retain(|_, past| {
            let goes = past.until < last || past.until == last && ties > 0;
            ties -= usize::from(goes && past.until == last);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::Ipv4Addr;

    use super::*;

    fn at(seconds: u32) -> Moment {
        Moment(Moment::BOOT.0 + seconds)
    }

    #[test]
    fn the_default_ladder_is_diswalls() {
        let (hour, day) = (3600, 86_400);
        let expected = [900, 1800, hour, 2 * hour, 3 * hour, 4 * hour, 5 * hour, 6 * hour, 7 * day, 8 * day];
        let mut escalation = Escalation::new(16);
        for (seen, seconds) in expected.into_iter().enumerate() {
            let offence = escalation.offence(at(0), "192.0.2.1".parse().unwrap());
            assert_eq!(offence, Offence { seen: seen as u32, lifetime: Lifetime::Seconds(seconds) });
        }
        for seen in 10..40 {
            let offence = escalation.offence(at(0), "192.0.2.1".parse().unwrap());
            let seconds = ((seen - 1) * day).min(LONGEST_BAN);
            assert_eq!(offence, Offence { seen, lifetime: Lifetime::Seconds(seconds) });
        }
    }

    #[test]
    fn quiet_time_counts_from_the_end_of_the_ban() {
        let mut escalation = Escalation::new(16);
        escalation.set_ladder(Ladder { steps: vec![100, 1000], forget_after: 500 });
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        let mut seen = |now| escalation.offence(at(now), address).seen;
        assert_eq!(seen(0), 0);
        assert_eq!(seen(600), 1, "the ban ended at 100; 500 later it is still known");
        assert_eq!(seen(2100), 2, "ended at 1600");
        assert_eq!(seen(2100 + 1000 + 501), 0, "forgotten");
    }

    #[test]
    fn a_slash_64_is_one_offender_and_v4_mapped_is_v4() {
        let mut escalation = Escalation::new(16);
        let mut seen = |text: &str| escalation.offence(at(0), text.parse().unwrap()).seen;
        assert_eq!([seen("2001:db8::1"), seen("2001:db8::ffff:2"), seen("2001:db8:0:1::1")], [0, 1, 0]);
        assert_eq!([seen("192.0.2.1"), seen("::ffff:192.0.2.1"), seen("192.0.2.2")], [0, 1, 0]);
    }

    #[test]
    fn the_oldest_give_way() {
        let mut escalation = Escalation::new(100);
        for n in 0..1000 {
            escalation.offence(at(n), Ipv4Addr::from_bits(n).into());
            assert!(escalation.len() <= 100);
        }
        for n in 930..1000 {
            assert_eq!(escalation.offence(at(1000), Ipv4Addr::from_bits(n).into()).seen, 1, "{n} is young");
        }
    }

    #[test]
    fn a_flood_within_one_second_leaves_most_of_the_table() {
        let mut escalation = Escalation::new(100);
        for n in 0..1000 {
            escalation.offence(at(0), Ipv4Addr::from_bits(n).into());
            assert!(escalation.len() <= 100 && (n < 74 || escalation.len() >= 75));
        }
    }
}
