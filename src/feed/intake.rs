//! A whole list while it is read: duplicates, never-ban rules and the limit apply entry by entry, so that a list
//! never becomes larger than what may be kept of it, whatever a server sends.
//!
//! A list within the limit passes as it is, and the ledger judges each entry. Only one that outgrows it is
//! sorted, cleaned and from then on looked up entry by entry. Knows no ledger: what is never banned is asked
//! of a function that the daemon hands in.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use crate::model::{Lifetime, List, Listed};

/// Smallest room to read a list into: a tiny limit must not mean a sort for each entry.
const LEAST: usize = 1024;

/// What a feed needs to know to read lists.
#[derive(Clone, Debug)]
pub struct Intake {
    /// Most entries that may be kept, as the daemon last said.
    most: Rc<Cell<usize>>,
    may_ban: fn(IpAddr) -> bool,
}

impl Intake {
    /// `most` entries of both families together; `may_ban` says which addresses no list can ban.
    pub fn new(most: usize, may_ban: fn(IpAddr) -> bool) -> Intake {
        Intake { most: Rc::new(Cell::new(most)), may_ban }
    }

    /// The limit from now on.
    pub fn set_most(&self, most: usize) {
        self.most.set(most);
    }

    /// Most entries that may be kept.
    pub fn most(&self) -> usize {
        self.most.get()
    }

    /// Whether a list can ban this address.
    pub fn may_ban(&self, address: IpAddr) -> bool {
        (self.may_ban)(address)
    }

    /// An empty list, with room for so many IPv4 entries, if they may be as many.
    pub fn begin(&self, v4: usize) -> Reading {
        let most = self.most.get();
        let room = most.saturating_add(most / 8).max(LEAST);
        let list = List { v4: Vec::with_capacity(v4.min(room)), v6: Vec::new(), ..List::default() };
        Reading { list, most, room, may_ban: self.may_ban, full: false, never: 0 }
    }
}

/// A list that is being read.
#[derive(Debug)]
pub struct Reading {
    list: List,
    most: usize,
    /// Entries at which the list is cleaned.
    room: usize,
    may_ban: fn(IpAddr) -> bool,
    /// It is sorted and holds `most` entries or more.
    full: bool,
    never: u64,
}

impl Reading {
    /// One more entry. The last of several for an address counts.
    pub fn take(&mut self, address: IpAddr, lifetime: Lifetime) {
        if self.full {
            return self.take_known(address, lifetime);
        }
        match address {
            IpAddr::V4(address) => self.list.v4.push(Listed { address, lifetime }),
            IpAddr::V6(address) => self.list.v6.push(Listed { address, lifetime }),
        }
        if self.list.v4.len() + self.list.v6.len() >= self.room {
            self.clean();
        }
    }

    /// The list is full: only what it has already can change.
    fn take_known(&mut self, address: IpAddr, lifetime: Lifetime) {
        let known = match address {
            IpAddr::V4(address) => find(&mut self.list.v4, address),
            IpAddr::V6(address) => find(&mut self.list.v6, address),
        };
        match known {
            Some(known) => *known = lifetime,
            None if (self.may_ban)(address) => self.list.cut = self.list.cut.saturating_add(1),
            None => self.never += 1,
        }
    }

    fn clean(&mut self) {
        let before = self.list.v4.len() + self.list.v6.len();
        let may_ban = self.may_ban;
        self.list.v4.retain(|listed| may_ban(listed.address.into()));
        self.list.v6.retain(|listed| may_ban(listed.address.into()));
        self.never += (before - self.list.v4.len() - self.list.v6.len()) as u64;
        last_of_each(&mut self.list.v4);
        last_of_each(&mut self.list.v6);
        self.full = self.list.v4.len() + self.list.v6.len() >= self.most;
    }

    /// The list, and how many entries were left out because nobody may ban them. Those beyond the limit are
    /// counted in the list.
    pub fn end(mut self) -> (List, u64) {
        if self.full {
            // Sorted by address: which of them stay is no more just than any other choice.
            let List { v4, v6, cut, .. } = &mut self.list;
            let most_v6 = self.most.saturating_sub(v4.len());
            let beyond = v6.len().saturating_sub(most_v6) + v4.len().saturating_sub(self.most);
            v6.truncate(most_v6);
            v4.truncate(self.most);
            *cut = cut.saturating_add(u32::try_from(beyond).unwrap_or(u32::MAX));
        }
        (self.list, self.never)
    }
}

fn find<A: Ord + Copy>(sorted: &mut [Listed<A>], address: A) -> Option<&mut Lifetime> {
    let place = sorted.binary_search_by_key(&address, |listed| listed.address).ok()?;
    sorted.get_mut(place).map(|listed| &mut listed.lifetime)
}

/// Sorts by address and keeps the last entry of each.
fn last_of_each<A: Ord + Copy>(list: &mut Vec<Listed<A>>) {
    list.sort_by_key(|listed| listed.address);
    list.dedup_by(|later, kept| {
        let same = later.address == kept.address;
        if same {
            kept.lifetime = later.lifetime;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn may_ban(address: IpAddr) -> bool {
        !address.is_loopback()
    }

    fn read(most: usize, entries: &[(IpAddr, u32)]) -> (List, u64, usize) {
        let mut reading = Intake::new(most, may_ban).begin(0);
        let mut peak = 0;
        for (address, seconds) in entries {
            reading.take(*address, Lifetime::Seconds(*seconds));
            peak = peak.max(reading.list.v4.len() + reading.list.v6.len());
        }
        let (list, never) = reading.end();
        (list, never, peak)
    }

    #[test]
    fn a_million_of_the_same_take_the_room_of_a_few() {
        let same = [(IpAddr::V6(Ipv6Addr::LOCALHOST), 1), (Ipv4Addr::new(203, 0, 113, 1).into(), 2)];
        let mut entries = Vec::new();
        for _ in 0..500_000 {
            entries.extend(same);
        }
        let (list, never, peak) = read(10_000, &entries);
        assert!(peak <= 11_250, "{peak}");
        // The rest has not been looked at: the ledger will.
        assert!(never >= 480_000, "{never}");
        assert_eq!(list.cut, 0);
    }

    #[test]
    fn a_list_within_the_limit_passes_as_it_is() {
        let entries: Vec<_> = (0..900).map(|n| (Ipv4Addr::from_bits(0x0900_0000 + 899 - n).into(), n)).collect();
        let (list, never, _) = read(1000, &entries);
        assert_eq!((list.v4.len(), list.cut, never), (900, 0, 0));
        assert_eq!(list.v4.first().map(|listed| listed.lifetime), Some(Lifetime::Seconds(0)), "in its order");
    }

    proptest! {
        /// Against a map: what is kept is in the list with its last lifetime, at most `most` of it, and kept
        /// and cut together are all.
        #[test]
        fn kept_and_cut_are_all(entries in prop::collection::vec((0u32..6000, 1u32..9, any::<bool>()), 0..8000), most in 1usize..3000) {
            let entries: Vec<(IpAddr, u32)> = entries
                .into_iter()
                .map(|(n, seconds, six)| match six {
                    true => (Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(n)).into(), seconds),
                    false => (Ipv4Addr::from_bits(0x0900_0000 + n).into(), seconds),
                })
                .collect();
            let truth: BTreeMap<IpAddr, u32> = entries.iter().copied().collect();
            let (list, never, peak) = read(most, &entries);
            prop_assert!(peak <= (most + most / 8).max(LEAST));
            prop_assert_eq!(never, 0);
            let v4 = list.v4.iter().map(|listed| (IpAddr::V4(listed.address), listed.lifetime));
            let v6 = list.v6.iter().map(|listed| (IpAddr::V6(listed.address), listed.lifetime));
            let kept: BTreeMap<IpAddr, Lifetime> = v4.chain(v6).collect();
            for (address, lifetime) in &kept {
                prop_assert_eq!(*lifetime, Lifetime::Seconds(truth[address]));
            }
            if list.cut == 0 {
                prop_assert_eq!(kept.len(), truth.len());
            } else {
                prop_assert_eq!(kept.len(), most.min(truth.len()));
            }
        }
    }
}
