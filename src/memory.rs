//! How many entries this machine's memory has room for: `max_entries 'auto'`.
//!
//! A quarter of the memory is diswall's, the daemon and the kernel's sets together. Measured on x86-64: a single
//! address with a time-out is 72 bytes in the kernel's set (IPv4) or 104 (IPv6), 16 in its hash table, and 21 or 33
//! in the ledger.

use std::fs;

use crate::config::MaxEntries;

/// Most entries that `auto` comes to: what the two feeds have together is a tenth of it.
pub const AUTO_MOST: u32 = 262_144;
/// Fewest, on whatever machine.
const AUTO_LEAST: u32 = 4096;
/// The daemon without a ban, reading a list: bytes.
const BASE: u64 = 5 << 20;
/// An entry at its most, ledger and kernel together: 153 bytes, and an eighth for the entries beyond the limit
/// that are left to what the router itself sees.
const ENTRY: u64 = 172;

/// How many entries there may be, of all sources together.
pub fn entries(limit: MaxEntries) -> u32 {
    match limit {
        MaxEntries::Entries(entries) => entries,
        MaxEntries::Auto => auto(total()),
    }
}

/// Elements a set may get: what a larger machine's `auto` comes to, so that the firewall's text does not depend
/// on who renders it.
pub fn set_size(limit: MaxEntries) -> u32 {
    match limit {
        MaxEntries::Entries(entries) => entries,
        MaxEntries::Auto => AUTO_MOST,
    }
}

/// As large as a hash set may be that is to have so many elements at most, and that only the daemon fills. The kernel
/// makes its table at once for as many as the lower 16 bits of the size say: 256 KB of a router's memory (twice that
/// with 64 bits) for each of a dozen sets of 50,000, most of which never have a hundred. With none it grows as it fills.
pub fn hash_size(most: u32) -> u32 {
    most.checked_next_multiple_of(1 << 16).unwrap_or(most)
}

/// `auto` for so many bytes of memory.
fn auto(memory: u64) -> u32 {
    let entries = (memory / 4).saturating_sub(BASE) / ENTRY;
    u32::try_from(entries).unwrap_or(u32::MAX).clamp(AUTO_LEAST, AUTO_MOST)
}

/// The machine's memory in bytes, or what a control group leaves this process of it.
pub fn total() -> u64 {
    let machine = of_machine("MemTotal:").unwrap_or(64 << 20);
    group_limit().map_or(machine, |limit| limit.min(machine))
}

/// Bytes of memory that programs can still get; `None`: the kernel does not say.
pub fn free() -> Option<u64> {
    of_machine("MemAvailable:")
}

/// A line of the kernel's account, in bytes.
fn of_machine(name: &str) -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let value = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// The limit of this process' memory control group, version 1 or 2; `None` where there is none.
fn group_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let limit = |path: String| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let limits = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let path = path.trim_end_matches('/');
        match controllers {
            "memory" => limit(format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes")),
            "" => limit(format!("/sys/fs/cgroup{path}/memory.max")),
            _ => None,
        }
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_memory_for_daemon_and_kernel() {
        // Memory in MB, and what stands in the manual for it.
        for (megabytes, expected) in [(16, 4096), (40, 30_481), (64, 67_060), (128, 164_602), (256, 262_144)] {
            let entries = auto(megabytes << 20);
            assert_eq!(entries, expected, "{megabytes} MB");
            assert!(u64::from(entries) * ENTRY + BASE <= (megabytes << 20) / 4 || entries == AUTO_LEAST);
        }
        assert!((AUTO_LEAST..=AUTO_MOST).contains(&entries(MaxEntries::Auto)));
        assert_eq!(entries(MaxEntries::Entries(9)), 9);
        assert_eq!(
            [1, 65_536, 150_000, AUTO_MOST, u32::MAX].map(hash_size),
            [65_536, 65_536, 196_608, AUTO_MOST, u32::MAX]
        );
    }
}
