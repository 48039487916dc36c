//! Chance that can be repeated: everything in a soak is drawn from here, by its seed.

use std::net::Ipv4Addr;

/// SplitMix64: small, and good enough for choosing.
pub struct Random(u64);

impl Random {
    /// The numbers of one piece of a run: what comes in one does not change the next.
    pub fn new(seed: u64, piece: u64) -> Random {
        let mut random = Random(seed ^ piece.wrapping_mul(0xd1b5_4a32_d192_ed03));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// A number in a range, both ends included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// One of these; nothing of none.
    pub fn one_of<'a, T>(&mut self, things: &'a [T]) -> Option<&'a T> {
        things.get(self.below(things.len()))
    }

    /// An address whose first byte lies in this range, where nothing is private.
    pub fn address(&mut self, first: (u8, u8)) -> Ipv4Addr {
        let first = self.between(first.0.into(), first.1.into()) as u8;
        let [a, b, c, ..] = self.next().to_be_bytes();
        Ipv4Addr::new(first, a, b, c)
    }

    /// In any order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            let other = self.below(last + 1);
            things.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_and_another_gives_another() {
        let drawn = |seed, piece| {
            let mut random = Random::new(seed, piece);
            (0..20).map(|_| random.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1, 2), drawn(1, 2));
        assert_ne!(drawn(1, 2), drawn(2, 2));
        assert_ne!(drawn(1, 2), drawn(1, 3));
    }

    #[test]
    fn nothing_is_lost_in_shuffling() {
        let mut things: Vec<u32> = (0..50).collect();
        Random::new(7, 0).shuffle(&mut things);
        assert_ne!(things, (0..50).collect::<Vec<_>>());
        things.sort_unstable();
        assert_eq!(things, (0..50).collect::<Vec<_>>());
    }
}
