//! Bans in the order in which they began, found by address through a hash index of four bytes each.
//!
//! Rows lie in a row, oldest first; a ban that goes leaves a dead row behind, and dead rows are swept out
//! when there are too many. So "the bans from the 100,000th on" is found by adding up the live rows of a few
//! hundred blocks, and walking all bans is walking through memory. `Table` is the only caller.

use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Never;
use super::hash::Seed;
use super::moment::{End, Moment};
use super::never;
use super::number::Family;
use super::reason::Word;
use crate::model::Cursor;

/// Rows of which the live ones are counted together.
const BLOCK: usize = 256;

/// Bits of an index entry that are the row's number; the others are a part of the key's hash, so that a
/// search seldom looks at a row in vain.
const NUMBER_BITS: u32 = 24;
const NUMBER: u32 = (1 << NUMBER_BITS) - 1;

/// An index entry without a row.
const EMPTY: u32 = u32::MAX;

/// An address as a row's key.
pub(super) trait Key: Copy + Ord + Hash + Into<IpAddr> {
    const FAMILY: Family;
    fn number(self) -> u128;
    fn refusal(self) -> Option<Never>;
}

impl Key for Ipv4Addr {
    const FAMILY: Family = Family::V4;

    fn number(self) -> u128 {
        u128::from(self.to_bits())
    }

    fn refusal(self) -> Option<Never> {
        never::refusal_v4(self)
    }
}

impl Key for Ipv6Addr {
    const FAMILY: Family = Family::V6;

    fn number(self) -> u128 {
        self.to_bits()
    }

    fn refusal(self) -> Option<Never> {
        never::refusal_v6(self)
    }
}

/// A ban without its address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ban {
    pub(super) start: Moment,
    pub(super) end: End,
    pub(super) word: Word,
}

/// See the module's head. Holds up to 2^23 bans; `max_entries` is half of that at most.
#[derive(Debug)]
pub(super) struct Rows<K> {
    rows: Vec<(K, Ban)>,
    /// A power of two of entries, at least an eighth of them empty; or none at all.
    index: Vec<u32>,
    /// Live rows of each block.
    live: Vec<u16>,
    count: usize,
    /// How often rows have got other numbers.
    moves: u32,
    seed: Seed,
}

impl<K: Key> Rows<K> {
    pub(super) fn new() -> Rows<K> {
        Rows { rows: Vec::new(), index: Vec::new(), live: Vec::new(), count: 0, moves: 0, seed: Seed::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, key: K) -> Option<&Ban> {
        let (_, number) = self.find(key)?;
        self.rows.get(number).map(|(_, ban)| ban)
    }

    /// Its start may not be changed: the order depends on it.
    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut Ban> {
        let (_, number) = self.find(key)?;
        self.rows.get_mut(number).map(|(_, ban)| ban)
    }

    /// Adds a ban of an address that has none here. In order as long as the clock does not go back.
    pub(super) fn insert(&mut self, key: K, ban: Ban) {
        let late = self.rows.last().is_some_and(|(_, last)| last.start > ban.start);
        self.append(key, ban);
        if late {
            self.sort();
        }
    }

    /// As `insert`, in any order: `sort` has to follow.
    pub(super) fn append(&mut self, key: K, ban: Ban) {
        let dead = self.rows.len() - self.count;
        if dead > 0 && self.rows.len() == self.rows.capacity() && dead >= self.count / 8 {
            self.sweep();
        }
        self.reserve_index(1);
        let (number, hash) = (self.rows.len(), self.hash(key));
        self.rows.push((key, ban));
        self.count += 1;
        self.count_row(number, 1);
        self.enter(hash, number);
    }

    pub(super) fn remove(&mut self, key: K) -> Option<Ban> {
        let (place, number) = self.find(key)?;
        let (_, row) = self.rows.get_mut(number)?;
        let ban = *row;
        row.word.set_dead();
        self.count -= 1;
        self.count_row(number, -1);
        self.leave(place);
        if self.rows.len() > 2 * self.count + 64 {
            self.sweep();
        }
        Some(ban)
    }

    /// All bans, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, Ban)> + '_ {
        self.rows.iter().filter(|(_, ban)| !ban.word.is_dead()).copied()
    }

    /// Hands on about `most` bans from where the cursor is; `false`: that was all. Where rows were moved meanwhile
    /// it begins anew.
    pub(super) fn walk(&self, cursor: &mut Cursor, most: usize, f: &mut dyn FnMut(K, Ban)) -> bool {
        if cursor.moves != self.moves {
            (cursor.at, cursor.moves) = (0, self.moves);
        }
        let from = usize::try_from(cursor.at).unwrap_or(usize::MAX);
        let rows = self.rows.iter().skip(from).take(most);
        rows.filter(|(_, ban)| !ban.word.is_dead()).for_each(|(key, ban)| f(*key, *ban));
        let to = from.saturating_add(most);
        cursor.at = to as u128;
        to < self.rows.len()
    }

    /// All bans, to be changed but for their starts.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut Ban)> + '_ {
        self.rows.iter_mut().filter(|(_, ban)| !ban.word.is_dead()).map(|(key, ban)| (*key, ban))
    }

    /// Keeps the bans for which `keep` says so.
    pub(super) fn retain(&mut self, keep: &mut dyn FnMut(K, &mut Ban) -> bool) {
        let before = self.count;
        for (key, ban) in &mut self.rows {
            if !ban.word.is_dead() && !keep(*key, ban) {
                ban.word.set_dead();
                self.count -= 1;
            }
        }
        if self.count < before {
            self.sweep();
        }
    }

    /// Makes room for so many more at once.
    pub(super) fn reserve(&mut self, more: usize) {
        self.rows.reserve_exact(more);
        self.reserve_index(more);
    }

    /// Gives back memory when most of it is unused.
    pub(super) fn give_back(&mut self) {
        if self.rows.capacity() > 4 * self.count + 64 {
            self.rows.shrink_to(self.count);
            self.live.shrink_to_fit();
            self.build_index(self.count);
        }
    }

    /// Puts the rows into the order of their starts.
    pub(super) fn sort(&mut self) {
        if !self.rows.is_sorted_by_key(|(_, ban)| ban.start) {
            self.rows.sort_by_key(|(_, ban)| ban.start);
            self.sweep();
        }
    }

    /// When the oldest and the newest ban began.
    pub(super) fn span(&self) -> Option<(Moment, Moment)> {
        // Dead rows may make it longer than it is.
        Some((self.rows.first()?.1.start, self.rows.last()?.1.start))
    }

    /// How many bans had begun by then.
    pub(super) fn begun_by(&self, moment: Moment) -> usize {
        let rows = self.rows.partition_point(|(_, ban)| ban.start <= moment);
        let (block, rest) = (rows / BLOCK, rows % BLOCK);
        let blocks: usize = self.live.iter().take(block).map(|&live| usize::from(live)).sum();
        let rest = self.rows.iter().skip(block * BLOCK).take(rest).filter(|(_, ban)| !ban.word.is_dead());
        blocks + rest.count()
    }

    /// The bans from the `first` oldest on, counted from 0.
    pub(super) fn from(&self, first: usize) -> impl Iterator<Item = (K, Ban)> + '_ {
        let (mut left, mut block) = (first, 0);
        while let Some(live) = self.live.get(block).map(|&live| usize::from(live)).filter(|&live| live <= left) {
            left -= live;
            block += 1;
        }
        let rows = self.rows.iter().skip(block * BLOCK).filter(|(_, ban)| !ban.word.is_dead());
        rows.skip(left).copied()
    }

    fn hash(&self, key: K) -> u64 {
        self.seed.hash_one(key)
    }

    /// The index entry of a row. The hash's top bits are not among those that choose the place.
    fn entry(hash: u64, number: usize) -> u32 {
        let tag = (hash >> 56) as u32 & 0xfe;
        tag << NUMBER_BITS | number as u32 & NUMBER
    }

    /// Where the key is in the index, and its row.
    fn find(&self, key: K) -> Option<(usize, usize)> {
        let mask = self.index.len().checked_sub(1)?;
        let hash = self.hash(key);
        let tag = Self::entry(hash, 0);
        let mut place = hash as usize & mask;
        loop {
            let entry = *self.index.get(place)?;
            if entry == EMPTY {
                return None;
            }
            let number = (entry & NUMBER) as usize;
            if entry & !NUMBER == tag && self.rows.get(number).is_some_and(|(other, _)| *other == key) {
                return Some((place, number));
            }
            place = (place + 1) & mask;
        }
    }

    fn enter(&mut self, hash: u64, number: usize) {
        let mask = self.index.len() - 1;
        let mut place = hash as usize & mask;
        while let Some(entry) = self.index.get_mut(place) {
            if *entry == EMPTY {
                *entry = Self::entry(hash, number);
                return;
            }
            place = (place + 1) & mask;
        }
    }

    /// Empties a place and moves up what had to go past it.
    fn leave(&mut self, place: usize) {
        let mask = self.index.len() - 1;
        let (mut hole, mut next) = (place, place);
        loop {
            next = (next + 1) & mask;
            let entry = self.index.get(next).copied().unwrap_or(EMPTY);
            if entry == EMPTY {
                break;
            }
            let Some((key, _)) = self.rows.get((entry & NUMBER) as usize) else { break };
            let home = self.hash(*key) as usize & mask;
            // From its home on, the entry has come at least as far as the hole is away.
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.index.swap(hole, next);
                hole = next;
            }
        }
        if let Some(entry) = self.index.get_mut(hole) {
            *entry = EMPTY;
        }
    }

    fn count_row(&mut self, number: usize, by: i16) {
        let block = number / BLOCK;
        if self.live.len() <= block {
            self.live.resize(block + 1, 0);
        }
        if let Some(live) = self.live.get_mut(block) {
            *live = live.saturating_add_signed(by);
        }
    }

    /// Takes the dead rows out.
    fn sweep(&mut self) {
        self.rows.retain(|(_, ban)| !ban.word.is_dead());
        self.moves = self.moves.wrapping_add(1);
        self.live.clear();
        self.live.extend(self.rows.chunks(BLOCK).map(|block| block.len() as u16));
        self.build_index(self.count);
    }

    /// Keeps an eighth of the index empty with so many bans more.
    fn reserve_index(&mut self, more: usize) {
        if (self.count + more) * 8 > self.index.len() * 7 {
            self.build_index(self.count + more);
        }
    }

    /// Makes the index anew, for so many bans.
    fn build_index(&mut self, bans: usize) {
        let size = (bans * 8 / 7 + 1).next_power_of_two().max(8);
        if self.index.len() == size {
            self.index.fill(EMPTY);
        } else {
            // The old one goes first.
            self.index = Vec::new();
            self.index = vec![EMPTY; size];
        }
        for number in 0..self.rows.len() {
            if let Some((key, _)) = self.rows.get(number).copied().filter(|(_, ban)| !ban.word.is_dead()) {
                let hash = self.hash(key);
                self.enter(hash, number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::super::moment::End;
    use super::super::reason::Word;
    use super::*;

    fn ban(start: u32) -> Ban {
        Ban { start: Moment(start), end: End::NEVER, word: Word::LISTED }
    }

    /// What is in the rows, oldest first, as the public face tells it.
    fn told(rows: &Rows<Ipv4Addr>) -> Vec<(Ipv4Addr, u32)> {
        rows.iter().map(|(key, ban)| (key, ban.start.0)).collect()
    }

    proptest! {
        #[test]
        fn rows_are_a_map_in_the_order_of_the_starts(
            steps in prop::collection::vec((0u8..10, 0u32..400, 0u32..3), 0..900),
            questions in prop::collection::vec(0usize..400, 8),
        ) {
            let mut rows = Rows::new();
            let mut model: BTreeMap<Ipv4Addr, (u32, usize)> = BTreeMap::new();
            let mut clock = 100;
            for (turn, (kind, address, wait)) in steps.into_iter().enumerate() {
                clock += wait;
                let key = Ipv4Addr::from_bits(0x0900_0000 + address * 257);
                match kind {
                    0..=5 => {
                        if rows.get(key).is_none() {
                            rows.insert(key, ban(clock));
                            model.insert(key, (clock, turn));
                        }
                    }
                    6..=8 => prop_assert_eq!(rows.remove(key).map(|ban| ban.start.0), model.remove(&key).map(|(start, _)| start)),
                    _ => {
                        let keep = |key: Ipv4Addr| key.to_bits() % 5 != address % 5;
                        rows.retain(&mut |key, _| keep(key));
                        model.retain(|key, _| keep(*key));
                        rows.give_back();
                    }
                }
                prop_assert_eq!(rows.get(key).map(|ban| ban.start.0), model.get(&key).map(|(start, _)| *start));
            }
            let mut expected: Vec<(Ipv4Addr, u32, usize)> =
                model.into_iter().map(|(key, (start, turn))| (key, start, turn)).collect();
            expected.sort_by_key(|(_, start, turn)| (*start, *turn));
            let expected: Vec<(Ipv4Addr, u32)> = expected.into_iter().map(|(key, start, _)| (key, start)).collect();
            prop_assert_eq!(&told(&rows), &expected);
            prop_assert_eq!(rows.len(), expected.len());
            let (mut walked, mut cursor) = (Vec::new(), Cursor::default());
            while rows.walk(&mut cursor, 7, &mut |key, ban| walked.push((key, ban.start.0))) {}
            prop_assert_eq!(&walked, &expected);
            for question in questions {
                let from: Vec<_> = rows.from(question).map(|(key, ban)| (key, ban.start.0)).collect();
                prop_assert_eq!(&from[..], expected.get(question..).unwrap_or_default());
                let moment = 80 + question as u32 * 3;
                let begun = expected.iter().filter(|(_, start)| *start <= moment).count();
                prop_assert_eq!(rows.begun_by(Moment(moment)), begun);
            }
        }
    }

    proptest! {
        /// Bans that are there all the time are told, whatever goes and comes between two steps of a walk.
        #[test]
        fn a_walk_among_changes_leaves_nothing_out(steps in prop::collection::vec((0u32..300, any::<bool>()), 0..400)) {
            let key = |number: u32| Ipv4Addr::from_bits(0x0900_0000 + number);
            let mut rows = Rows::new();
            (0..300).for_each(|number| rows.insert(key(number), ban(1)));
            let (mut told, mut gone) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
            let (mut cursor, mut steps, mut more) = (Cursor::default(), steps.into_iter(), true);
            while more {
                more = rows.walk(&mut cursor, 5, &mut |key, _| {
                    told.insert(key);
                });
                for (number, removes) in steps.by_ref().take(9) {
                    match removes {
                        true => drop(rows.remove(key(number)).map(|_| gone.insert(key(number)))),
                        false if rows.get(key(number)).is_none() => rows.insert(key(number), ban(2)),
                        false => {}
                    }
                }
            }
            for number in 0..300 {
                prop_assert!(told.contains(&key(number)) || gone.contains(&key(number)));
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_leaves_the_order_right() {
        let mut rows = Rows::new();
        for (address, start) in [(1, 50), (2, 70), (3, 60), (4, 40)] {
            rows.insert(Ipv4Addr::from_bits(address), ban(start));
        }
        assert_eq!(told(&rows).iter().map(|(_, start)| *start).collect::<Vec<_>>(), [40, 50, 60, 70]);
        assert!((1..5).all(|address| rows.get(Ipv4Addr::from_bits(address)).is_some()));
    }
}
