//! What Sentinel lists, as far as it is known here, and what changed of late, numbered anew: routers see one sequence
//! without a hole while this process lives, whatever the sequence that is followed does. No I/O, no clock.
//!
//! What is followed may lose messages, begin anew, or come back after an hour: all that routers then hear is the
//! difference. Only a difference that is larger than the list leaves a hole, so that they ask for the list.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;

use bytes::Bytes;

use super::pack;

/// Changes that are kept for routers that read slowly: 2 MB.
const CHANGES: usize = 16_384;

/// Events that are kept. Nobody needs those that he missed.
const EVENTS: usize = 256;

/// A larger difference is not told change by change: 2,000 changes are 0.4 MB on the wire, as much as a list of 25,000.
const BULK: usize = 2000;

/// The last of what was told, each with its place.
#[derive(Debug)]
pub struct Tape {
    most: usize,
    start: u64,
    told: VecDeque<Bytes>,
}

impl Tape {
    fn new(most: usize) -> Tape {
        Tape { most, start: 0, told: VecDeque::new() }
    }

    /// The place of what comes next.
    pub fn end(&self) -> u64 {
        self.start + self.told.len() as u64
    }

    /// Whether everything from this place on is still here.
    pub fn reaches(&self, place: u64) -> bool {
        place >= self.start
    }

    /// What stands there.
    pub fn at(&self, place: u64) -> Option<&Bytes> {
        self.told.get(usize::try_from(place.checked_sub(self.start)?).ok()?)
    }

    fn push(&mut self, message: Bytes) {
        self.told.push_back(message);
        if self.told.len() > self.most {
            self.told.pop_front();
            self.start += 1;
        }
    }

    /// Forgets all.
    fn cut(&mut self) {
        self.start = self.end();
        self.told.clear();
    }
}

/// A list as it is sent.
#[derive(Clone, Debug)]
pub struct List {
    /// The payload.
    pub payload: Bytes,
    /// The place of the first change that is not in it.
    pub end: u64,
}

/// See the module's head.
#[derive(Debug)]
pub struct Held {
    /// `None` before the first list.
    addresses: Option<HashSet<IpAddr>>,
    serial: u64,
    /// Changes of the list.
    pub changes: Tape,
    /// Suspicious events.
    pub events: Tape,
    list: Option<List>,
}

impl Held {
    /// Nothing is known.
    pub fn new() -> Held {
        Held { addresses: None, serial: 0, changes: Tape::new(CHANGES), events: Tape::new(EVENTS), list: None }
    }

    /// Whether there is a list to hand out.
    pub fn is_known(&self) -> bool {
        self.addresses.is_some()
    }

    /// How many addresses it has.
    pub fn count(&self) -> usize {
        self.addresses.as_ref().map_or(0, HashSet::len)
    }

    /// An address is listed, or no longer; whether it was otherwise.
    pub fn change(&mut self, ip: IpAddr, positive: bool, ts: u64) -> bool {
        let Some(addresses) = &mut self.addresses else { return false };
        let changed = if positive { addresses.insert(ip) } else { addresses.remove(&ip) };
        if changed {
            self.serial += 1;
            self.changes.push(pack::delta(self.serial, positive, ip, ts));
        }
        changed
    }

    /// The whole list as it is now; how many changes that makes.
    pub fn replace(&mut self, now: HashSet<IpAddr>, ts: u64) -> usize {
        let Some(before) = &self.addresses else {
            self.addresses = Some(now);
            self.serial = 1;
            return 0;
        };
        let gone = before.difference(&now).map(|ip| (*ip, false));
        let changes: Vec<_> = gone.chain(now.difference(before).map(|ip| (*ip, true))).collect();
        if changes.len() <= BULK {
            for (ip, positive) in &changes {
                self.change(*ip, *positive, ts);
            }
            return changes.len();
        }
        self.addresses = Some(now);
        self.list = None;
        self.changes.cut();
        // What routers hear of it is one change with a hole before it.
        self.serial += 2;
        if let Some((ip, positive)) = changes.last() {
            self.changes.push(pack::delta(self.serial, *positive, *ip, ts));
        }
        changes.len()
    }

    /// A suspicious event.
    pub fn event(&mut self, name: &str, ip: IpAddr, ts: u64) {
        self.events.push(pack::event(name, ip, ts));
    }

    /// The list for a router that has been told of the changes before `told`. It may be as old as the oldest that
    /// serves: the changes since follow it.
    pub fn list(&mut self, told: u64, ts: u64) -> Option<List> {
        let addresses = self.addresses.as_ref()?;
        let serves = |list: &&List| list.end >= told && self.changes.end() - list.end <= LATE;
        if let Some(list) = self.list.as_ref().filter(serves) {
            return Some(list.clone());
        }
        let list = List { payload: pack::list(self.serial, addresses.iter(), ts), end: self.changes.end() };
        self.list = Some(list.clone());
        Some(list)
    }
}

/// Changes that may follow a list that was made before them: it is made for many routers, not for each.
const LATE: u64 = 256;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use diswall::feed::dynfw::sync::{Change, Sync};
    use diswall::feed::dynfw::wire::{self, Published};
    use diswall::model::{self, Event, Lifetime, Listed};

    use super::*;

    /// A router's own reading of what it is told.
    struct Reader {
        sync: Sync,
        next: u64,
        told: u64,
        holds: BTreeSet<IpAddr>,
        lists: usize,
    }

    impl Reader {
        fn new(held: &Held) -> Reader {
            Reader { sync: Sync::new(), next: held.changes.end(), told: 0, holds: BTreeSet::new(), lists: 0 }
        }

        fn take(&mut self, event: Option<Event>) {
            match event {
                Some(Event::List { list, .. }) => {
                    self.holds = list.v4.iter().map(|listed| IpAddr::V4(listed.address)).collect();
                }
                Some(Event::Ban { net, .. }) => drop(self.holds.insert(net.addr())),
                Some(Event::Unban { net, .. }) => drop(self.holds.remove(&net.addr())),
                _ => {}
            }
        }

        /// Hears all that there is.
        fn hear(&mut self, held: &mut Held) {
            loop {
                if self.sync.wants_list() && self.lists < 100 {
                    let list = held.list(self.told, 0).unwrap();
                    self.lists += 1;
                    self.next = list.end;
                    let Ok(Published::List(read)) = wire::parse(&[b"dynfw/list", &list.payload]) else { panic!() };
                    if self.sync.takes_list(read.serial) {
                        let v4 = read.addresses.clone().map(|ip| match ip.unwrap() {
                            IpAddr::V4(address) => Listed { address, lifetime: Lifetime::Forever },
                            IpAddr::V6(_) => panic!(),
                        });
                        let list = model::List { v4: v4.collect(), ..model::List::default() };
                        let event = self.sync.list(read.serial, list);
                        self.take(Some(event));
                    }
                }
                if !held.changes.reaches(self.next) {
                    self.next = held.changes.end() - 1;
                }
                let Some(payload) = held.changes.at(self.next).cloned() else { return };
                self.next += 1;
                self.told = self.next;
                let Ok(Published::Delta(read)) = wire::parse(&[b"dynfw/delta", &payload]) else { panic!() };
                let address = wire::parse_address(read.ip).ok();
                let event = self.sync.delta(Change { serial: read.serial, positive: read.positive, address });
                self.take(event);
            }
        }
    }

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4((0x2d00_0000 + number).into())
    }

    fn all(held: &Held) -> BTreeSet<IpAddr> {
        held.addresses.clone().unwrap().into_iter().collect()
    }

    #[test]
    fn routers_hear_the_difference_and_no_second_list() {
        let mut held = Held::new();
        assert!(!held.change(ip(1), true, 0) && held.list(0, 0).is_none(), "nothing is known yet");
        held.replace((0..3000).map(ip).collect(), 0);
        let mut router = Reader::new(&held);
        router.hear(&mut held);
        assert_eq!((router.lists, &router.holds), (1, &all(&held)));
        held.change(ip(5000), true, 0);
        held.change(ip(1), false, 0);
        assert!(!held.change(ip(1), false, 0), "a repeat is none");
        // What is followed was away, and counts anew.
        assert_eq!(held.replace((100..3500).map(ip).collect(), 0), 500 + 99 + 1);
        router.hear(&mut held);
        assert_eq!((router.lists, &router.holds), (1, &all(&held)));
    }

    #[test]
    fn a_large_difference_makes_routers_ask_for_the_list() {
        let mut held = Held::new();
        held.replace((0..3000).map(ip).collect(), 0);
        let mut router = Reader::new(&held);
        router.hear(&mut held);
        let mut late = Reader::new(&held);
        late.hear(&mut held);
        held.change(ip(9000), true, 0);
        router.hear(&mut held);
        assert_eq!(held.replace((10_000..14_000).map(ip).collect(), 0), 7001);
        for router in [&mut router, &mut late] {
            router.hear(&mut held);
            assert_eq!((router.lists, &router.holds), (2, &all(&held)));
        }
    }

    #[test]
    fn whoever_reads_too_slowly_asks_for_the_list_too() {
        let mut held = Held::new();
        held.replace((0..10).map(ip).collect(), 0);
        let mut router = Reader::new(&held);
        router.hear(&mut held);
        for number in 0..40_000 {
            held.change(ip(100 + number), true, 0);
        }
        assert!(!held.changes.reaches(router.next) && held.changes.told.len() == CHANGES);
        router.hear(&mut held);
        assert_eq!((router.lists, &router.holds), (2, &all(&held)));
    }

    #[test]
    fn one_list_serves_many_and_none_that_has_heard_more() {
        let mut held = Held::new();
        held.replace((0..10).map(ip).collect(), 0);
        let first = held.list(0, 0).unwrap();
        for number in 0..100 {
            held.change(ip(100 + number), true, 0);
        }
        assert_eq!(held.list(0, 0).unwrap().end, first.end);
        let mut router = Reader::new(&held);
        router.hear(&mut held);
        assert_eq!(router.holds, all(&held), "the changes since follow it");
        assert_eq!(held.list(50, 0).unwrap().end, 100);
        for number in 0..300 {
            held.change(ip(1000 + number), true, 0);
        }
        assert_eq!(held.list(0, 0).unwrap().end, 400);
    }
}
