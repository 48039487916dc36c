//! The state machine against a naive model of a server and a channel that drops, repeats, reorders and
//! restarts.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;

fn address(number: u8) -> IpAddr {
    if number.is_multiple_of(2) {
        Ipv4Addr::new(198, 51, 100, number).into()
    } else {
        Ipv6Addr::from(u128::from(number)).into()
    }
}

fn change(serial: u64, positive: bool, number: u8) -> Change {
    Change { serial, positive, address: Some(address(number)) }
}

fn list_of(addresses: &BTreeSet<IpAddr>) -> List {
    let lifetime = Lifetime::Forever;
    let mut list = List::default();
    for &address in addresses {
        match address {
            IpAddr::V4(address) => list.v4.push(Listed { address, lifetime }),
            IpAddr::V6(address) => list.v6.push(Listed { address, lifetime }),
        }
    }
    list
}

/// What the ledger makes of the events: the naive way.
#[derive(Default, Clone, Debug, PartialEq)]
struct Folded(BTreeSet<IpAddr>);

impl Folded {
    fn apply(&mut self, event: Option<Event>) {
        match event {
            None => {}
            Some(Event::List { list, .. }) => {
                let v4 = list.v4.iter().map(|entry| IpAddr::V4(entry.address));
                self.0 = v4.chain(list.v6.iter().map(|entry| IpAddr::V6(entry.address))).collect();
            }
            Some(Event::Ban { net, .. }) => _ = self.0.insert(net.addr()),
            Some(Event::Unban { net, .. }) => _ = self.0.remove(&net.addr()),
            Some(other) => panic!("{other:?}"),
        }
    }
}

/// A follower under test, and what it posted.
#[derive(Default)]
struct Follower {
    sync: Sync,
    folded: Folded,
}

impl Follower {
    fn delta(&mut self, change: Change) {
        let event = self.sync.delta(change);
        self.folded.apply(event);
    }

    /// `true`: it was taken.
    fn list(&mut self, serial: u64, numbers: &[u8]) -> bool {
        let addresses = numbers.iter().map(|&number| address(number)).collect();
        self.whole_list(serial, &addresses)
    }

    fn whole_list(&mut self, serial: u64, addresses: &BTreeSet<IpAddr>) -> bool {
        let taken = self.sync.takes_list(serial);
        if taken {
            let event = self.sync.list(serial, list_of(addresses));
            self.folded.apply(Some(event));
        }
        taken
    }

    #[track_caller]
    fn holds(&self, numbers: &[u8]) {
        assert_eq!(self.folded.0, numbers.iter().map(|&number| address(number)).collect());
    }

    /// Synchronised at `serial` with these.
    fn at(serial: u64, numbers: &[u8]) -> Follower {
        let mut follower = Follower::default();
        assert!(follower.list(serial, numbers));
        assert!(!follower.sync.wants_list());
        follower
    }
}

#[test]
fn deltas_before_the_list_are_posted_and_not_undone_by_it() {
    let mut follower = Follower::default();
    follower.delta(change(101, true, 1));
    follower.delta(change(102, false, 2));
    follower.delta(change(103, true, 3));
    follower.holds(&[1, 3]);
    // Made before 102 and 103 happened.
    assert!(follower.list(101, &[1, 2, 4]));
    follower.holds(&[1, 3, 4]);
    assert!(!follower.sync.wants_list());
    assert_eq!(follower.sync.serial(), 103);
}

#[test]
fn a_list_beside_the_stream_is_not_read() {
    let mut follower = Follower::at(5, &[1]);
    assert!(!follower.list(6, &[2]));
    follower.holds(&[1]);
}

#[test]
fn a_gap_asks_for_a_list_and_what_follows_is_posted_meanwhile() {
    let mut follower = Follower::at(5, &[1]);
    follower.delta(change(8, true, 8));
    assert!(follower.sync.wants_list());
    follower.holds(&[1, 8]);
    follower.delta(change(9, false, 1));
    follower.holds(&[8]);
    // 6 and 7 were 6 and 7 added; the list is older than 9.
    assert!(follower.list(8, &[1, 6, 7, 8]));
    follower.holds(&[6, 7, 8]);
    assert!(!follower.sync.wants_list());
}

#[test]
fn a_list_that_does_not_close_the_gap_is_not_the_last() {
    let mut follower = Follower::at(5, &[1]);
    follower.delta(change(8, true, 8));
    assert!(follower.list(6, &[1, 6]));
    follower.holds(&[1, 6, 8]);
    assert!(follower.sync.wants_list(), "7 is still missing");
    assert!(follower.list(9, &[6, 7, 8, 9]));
    follower.holds(&[6, 7, 8, 9]);
    assert!(!follower.sync.wants_list());
}

#[test]
fn a_gap_filled_late_needs_no_list_and_undoes_nothing() {
    let mut follower = Follower::at(5, &[1]);
    follower.delta(change(7, false, 1));
    follower.delta(change(6, true, 1));
    follower.holds(&[]);
    assert!(!follower.sync.wants_list());
    assert_eq!(follower.sync.serial(), 7);
}

#[test]
fn repeats_and_older_serials_change_nothing() {
    let mut follower = Follower::at(5, &[1]);
    follower.delta(change(6, false, 1));
    follower.delta(change(6, true, 1));
    assert!(!follower.sync.wants_list(), "a mere repeat");
    follower.delta(change(3, true, 1));
    assert!(follower.sync.wants_list(), "older: a repeat or a restart, a list tells");
    follower.holds(&[]);
    assert!(follower.list(6, &[]));
    assert!(!follower.sync.wants_list());
}

#[test]
fn an_older_list_undoes_nothing_unless_the_server_insists() {
    let mut follower = Follower::at(50, &[1, 2]);
    follower.delta(change(3, true, 3));
    assert!(!follower.list(3, &[3]));
    follower.holds(&[1, 2]);
    follower.delta(change(4, true, 4));
    assert!(follower.list(3, &[3]), "counts from the beginning again");
    follower.holds(&[3, 4]);
    assert!(!follower.sync.wants_list());
    assert_eq!(follower.sync.serial(), 4);
}

#[test]
fn an_older_list_is_forgotten_when_the_old_run_goes_on() {
    let mut follower = Follower::at(50, &[1, 2]);
    follower.sync.ask();
    for serial in 51..60 {
        assert!(!follower.list(40, &[]));
        follower.delta(change(serial, true, 9));
    }
    follower.holds(&[1, 2, 9]);
}

#[test]
fn a_list_asked_for_may_lag_behind_the_deltas() {
    let mut follower = Follower::at(50, &[1]);
    follower.sync.ask();
    follower.delta(change(51, true, 2));
    follower.delta(change(52, true, 3));
    assert!(follower.list(50, &[1, 9]));
    follower.holds(&[1, 2, 3, 9]);
    assert_eq!(follower.sync.serial(), 52);
    assert!(!follower.sync.wants_list());
}

#[test]
fn a_new_connection_begins_anew() {
    let mut follower = Follower::at(1000, &[1]);
    follower.sync.restart();
    assert!(follower.sync.wants_list());
    follower.holds(&[1]);
    follower.delta(change(4, true, 4));
    follower.holds(&[1, 4]);
    assert!(follower.list(3, &[3]));
    follower.holds(&[3, 4]);
    assert!(!follower.sync.wants_list());
}

#[test]
fn a_delta_whose_address_is_rubbish_leaves_no_gap() {
    let mut follower = Follower::at(5, &[1]);
    follower.delta(Change { serial: 6, positive: true, address: None });
    follower.delta(change(7, true, 2));
    assert!(!follower.sync.wants_list());
    follower.holds(&[1, 2]);
}

#[test]
fn leftovers_of_an_ended_run_are_dropped_after_a_few_lists() {
    let mut follower = Follower::at(5, &[1]);
    follower.delta(change(u64::MAX, true, 8));
    let mut lists = 0;
    while follower.sync.wants_list() {
        lists += 1;
        assert!(lists <= 3, "for ever");
        assert!(follower.list(5 + lists, &[1]));
    }
    follower.holds(&[1]);
}

#[test]
fn what_is_held_is_bounded() {
    let mut sync = Sync::new();
    let most = u64::try_from(HELD_MAX).unwrap();
    for serial in 1..=most + 100 {
        assert!(sync.delta(change(serial, true, 1)).is_some(), "posted all the same");
    }
    assert_eq!(sync.held.len(), HELD_MAX);
    // A list older than what was let go leaves a gap, a newer one does not.
    assert!(sync.takes_list(50));
    sync.list(50, List::default());
    assert!(sync.wants_list());
    assert!(sync.takes_list(most));
    sync.list(most, List::default());
    assert!(!sync.wants_list());
    for serial in (1..=most + 100).rev() {
        assert_eq!(sync.delta(change(serial, true, 1)), None, "old");
    }
    assert!(sync.suspects.len() <= HELD_MAX);
}

/// What happens at the server or on the way.
#[derive(Clone, Debug)]
enum Step {
    Change(bool, u8),
    List,
    Lose(bool, u8),
    Repeat(u8),
    Swap,
    /// Behind a relay that keeps the connection: serials never seen before, lower or higher.
    Restart(bool),
    /// A new connection, to a server at some serial.
    Reconnect(u8),
    Ask,
}

/// A server that remembers what its list was at every serial of this run.
#[derive(Default)]
struct Server {
    serial: u64,
    list: BTreeSet<IpAddr>,
    history: HashMap<u64, BTreeSet<IpAddr>>,
}

impl Server {
    fn change(&mut self, positive: bool, number: u8) -> Packet {
        self.serial += 1;
        if positive {
            self.list.insert(address(number))
        } else {
            self.list.remove(&address(number))
        };
        self.history.insert(self.serial, self.list.clone());
        Packet::Delta(change(self.serial, positive, number))
    }

    fn packet(&mut self) -> Packet {
        self.history.insert(self.serial, self.list.clone());
        Packet::List(self.serial, self.list.clone())
    }
}

#[derive(Clone, Debug)]
enum Packet {
    Delta(Change),
    List(u64, BTreeSet<IpAddr>),
}

impl Follower {
    fn receive(&mut self, packet: Packet) {
        match packet {
            Packet::Delta(change) => self.delta(change),
            Packet::List(serial, list) => {
                self.whole_list(serial, &list);
            }
        }
    }
}

fn steps(hostile: bool) -> impl Strategy<Value = Vec<Step>> {
    let number = 0..12u8;
    let change = (any::<bool>(), number.clone()).prop_map(|(positive, number)| Step::Change(positive, number));
    let lose = (any::<bool>(), number).prop_map(|(positive, number)| Step::Lose(positive, number));
    let odd = u32::from(hostile);
    let step = prop_oneof![
        12 => change,
        2 => Just(Step::List),
        1 => lose,
        1 => Just(Step::Ask),
        odd => (0..20u8).prop_map(Step::Repeat),
        odd => Just(Step::Swap),
        odd => any::<bool>().prop_map(Step::Restart),
        odd => (0..60u8).prop_map(Step::Reconnect),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    /// On a channel that only loses, being synchronised means being equal, at every step.
    #[test]
    fn synchronised_means_equal(first in 0..100u64, steps in steps(false)) {
        let mut server = Server { serial: first, ..Server::default() };
        let mut follower = Follower::default();
        for step in steps {
            match step {
                Step::Change(positive, number) => follower.receive(server.change(positive, number)),
                Step::List => follower.receive(server.packet()),
                Step::Lose(positive, number) => _ = server.change(positive, number),
                Step::Ask => follower.sync.ask(),
                _ => unreachable!(),
            }
            if !follower.sync.wants_list() {
                prop_assert_eq!(&follower.folded.0, &server.history[&follower.sync.serial()]);
            }
        }
    }

    /// Without losses nothing that the follower holds is ever older than the newest delta of that
    /// address, lists or no lists, even if each list comes only when the next is due.
    #[test]
    fn nothing_newer_is_undone(first in 0..100u64, lag in 0..2usize, steps in steps(false)) {
        let mut server = Server { serial: first, ..Server::default() };
        let mut follower = Follower::default();
        let mut newest = HashMap::new();
        let mut late = VecDeque::new();
        for step in steps {
            match step {
                Step::Change(positive, number) | Step::Lose(positive, number) => {
                    newest.insert(address(number), positive);
                    follower.receive(server.change(positive, number));
                }
                Step::List => late.push_back(server.packet()),
                Step::Ask => follower.sync.ask(),
                _ => unreachable!(),
            }
            if late.len() > lag && let Some(list) = late.pop_front() {
                follower.receive(list);
            }
            for (address, positive) in &newest {
                prop_assert_eq!(follower.folded.0.contains(address), *positive, "{}", address);
            }
        }
    }

    /// Whatever happened before, on a channel that has become good a few lists and changes heal it.
    #[test]
    fn it_always_recovers(first in 0..100u64, steps in steps(true)) {
        let mut runs = (10_000_000, 20_000_000);
        let mut server = Server { serial: first, ..Server::default() };
        let mut follower = Follower::default();
        let mut sent: Vec<Packet> = Vec::new();
        let mut kept_back = None;
        for step in steps {
            let packet = match step {
                Step::Change(positive, number) => server.change(positive, number),
                Step::List => server.packet(),
                Step::Lose(positive, number) => {
                    server.change(positive, number);
                    continue;
                }
                Step::Repeat(back) => match sent.iter().rev().nth(back.into()) {
                    Some(packet) => packet.clone(),
                    None => continue,
                },
                Step::Swap => {
                    kept_back = Some(server.change(true, 3));
                    continue;
                }
                Step::Restart(up) => {
                    runs = if up { (runs.0, runs.1 + 10_000) } else { (runs.0 - 10_000, runs.1) };
                    server = Server { serial: if up { runs.1 } else { runs.0 }, ..Server::default() };
                    continue;
                }
                Step::Reconnect(serial) => {
                    server = Server { serial: serial.into(), ..Server::default() };
                    runs = (10_000_000, 20_000_000);
                    sent.clear();
                    kept_back = None;
                    follower.sync.restart();
                    continue;
                }
                Step::Ask => {
                    follower.sync.ask();
                    continue;
                }
            };
            sent.push(packet.clone());
            follower.receive(packet);
            if let Some(late) = kept_back.take() {
                follower.receive(late);
            }
        }
        // Two changes show a follower that it is at the wrong serial; then lists as they come.
        for round in 0..8u8 {
            let packet = server.change(round.is_multiple_of(2), round);
            follower.receive(packet);
            let packet = server.packet();
            follower.receive(packet);
        }
        prop_assert!(!follower.sync.wants_list());
        prop_assert_eq!(follower.sync.serial(), server.serial);
        prop_assert_eq!(follower.folded.0, server.list);
    }
}
