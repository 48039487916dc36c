//! Whether what came may take the place of what is in force: a list that has lost nearly everything, or names the
//! router itself, is somebody's mistake.

use std::net::IpAddr;

use crate::model::{Entries, ListUse};

/// A list that had so many entries does not lose nine tenths of them between two fetches.
const LARGE: u32 = 50;

/// Checks how many entries a list has against how many there were.
///
/// # Errors
/// A sentence that says why the one in force stays.
pub fn count(now: u32, before: Option<u32>) -> Result<(), String> {
    if now == 0 {
        return Err("it has no entries that can be used".into());
    }
    match before.filter(|before| *before >= LARGE && now < before / 10) {
        Some(before) => Err(format!("it has {now} entries and had {before}: that looks like a mistake of its maker")),
        None => Ok(()),
    }
}

/// Checks a list against the one in force (`before` entries of it).
///
/// # Errors
/// A sentence that says why the one in force stays.
pub fn accept(entries: &Entries, before: Option<u32>, own: &[IpAddr], usage: ListUse) -> Result<(), String> {
    count(entries.size().all(), before)?;
    let named = own.iter().find(|address| usage == ListUse::Block && entries.find(**address).is_some());
    match named {
        Some(address) => Err(format!("it has this router's own address {address}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Builder, Family, Range};

    #[test]
    fn what_looks_like_a_mistake_is_refused() {
        let list = |count: u128| {
            let mut builder = Builder::new(u64::MAX);
            (0..count).for_each(|n| builder.take(Range::of(Family::V4, 2 * n, 2 * n)));
            builder.finish().unwrap()
        };
        let own: Vec<IpAddr> = vec!["0.0.0.8".parse().unwrap()];
        for (count, before, own, usage, fine) in [
            (0, None, &[][..], ListUse::Block, false),
            (1, None, &[][..], ListUse::Block, true),
            (5, Some(50), &[][..], ListUse::Block, true),
            (4, Some(50), &[][..], ListUse::Block, false),
            (4, Some(49), &[][..], ListUse::Block, true),
            (9, None, &own[..], ListUse::Block, false),
            (4, None, &own[..], ListUse::Block, true),
            (9, None, &own[..], ListUse::Allow, true),
            (9, None, &own[..], ListUse::Only, true),
        ] {
            assert_eq!(accept(&list(count), before, own, usage).is_ok(), fine, "{count} {before:?} {usage:?}");
        }
    }
}
