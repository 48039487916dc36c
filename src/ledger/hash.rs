//! The hash of the ledger's tables: multiply and shift with secret multipliers.
//!
//! Strangers choose the addresses, so an unkeyed hash could be fed collisions. With secret random
//! multipliers two given addresses collide no more often than by chance (the scheme is universal), at
//! one multiplication a word where SipHash takes dozens: it is on the way of each of 100,000 addresses.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Secret multipliers of one table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed([u64; 5]);

impl Default for Seed {
    fn default() -> Seed {
        let random = RandomState::new();
        // Each value is SipHash under a fresh secret key, so they are independent for our purpose.
        Seed([0u32, 1, 2, 3, 4].map(|index| random.hash_one(index) | 1))
    }
}

impl BuildHasher for Seed {
    type Hasher = Multiply;

    fn build_hasher(&self) -> Multiply {
        Multiply { seed: *self, sum: self.0[4], word: 0 }
    }
}

/// Sums the words of a key, each times a multiplier of its own.
pub(super) struct Multiply {
    seed: Seed,
    sum: u64,
    word: usize,
}

impl Hasher for Multiply {
    fn write_u32(&mut self, word: u32) {
        let factor = self.seed.0[self.word & 3];
        self.sum = self.sum.wrapping_add(factor.wrapping_mul(u64::from(word)));
        self.word += 1;
    }

    fn write_u64(&mut self, number: u64) {
        self.write_u32((number >> 32) as u32);
        self.write_u32(number as u32);
    }

    fn write_u128(&mut self, number: u128) {
        self.write_u64((number >> 64) as u64);
        self.write_u64(number as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    /// The upper half of the sum is the good one. The table takes its place from the low bits and its
    /// tag from the top seven, so the upper half goes down, and some of its own bits stay on top.
    fn finish(&self) -> u64 {
        (self.sum >> 32) | (self.sum & 0xfe00_0000_0000_0000)
    }
}
