//! Decisions by their number, for a local API that is asked for all of them (`dedup '0'`): of several about the same
//! address the one that ends last counts, and when that one is taken back, the next.
//!
//! Pure, and has no clock: times are seconds since boot. 32 bytes a decision.

use ipnet::IpNet;

use super::gather::Rows;

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Its number.
    pub id: u64,
    /// Whom it is about.
    pub net: IpNet,
    /// When it ends.
    pub end: u32,
    /// The number of its reason.
    pub why: u16,
}

/// What a change makes of an address or network: until when it is banned now, and why; `None`: no more.
pub type Change = (IpNet, Option<(u32, u16)>);

/// See the module's head.
#[derive(Debug, Default)]
pub struct Known {
    /// By number.
    rows: Vec<Decided>,
}

impl Known {
    /// These are all.
    pub fn replace(&mut self, fresh: Vec<Decided>) {
        self.rows = sorted(fresh);
    }

    /// These are gone, and then those have come; at most `most` are kept. What became of those they are about, and
    /// how many were not kept.
    pub fn change(&mut self, deleted: &[u64], fresh: Vec<Decided>, now: u32, most: usize) -> (Vec<Change>, u32) {
        if deleted.is_empty() && fresh.is_empty() {
            // The usual answer. What is over meanwhile goes with the next one that says something.
            return (Vec::new(), 0);
        }
        let mut touched: Vec<IpNet> = fresh.iter().map(|row| row.net).collect();
        let fresh = sorted(fresh);
        let mut gone = deleted.to_vec();
        gone.sort_unstable();
        self.rows.retain(|row| {
            let replaced = fresh.binary_search_by_key(&row.id, |fresh| fresh.id).is_ok();
            let deleted = gone.binary_search(&row.id).is_ok();
            if deleted || replaced {
                touched.push(row.net);
            }
            // What is over has ended everywhere by itself.
            !deleted && !replaced && row.end > now
        });
        let room = most.saturating_sub(self.rows.len());
        let cut = u32::try_from(fresh.len().saturating_sub(room)).unwrap_or(u32::MAX);
        self.rows.extend(fresh.into_iter().take(room));
        // Two sorted runs.
        self.rows.sort_by_key(|row| row.id);
        touched.sort_unstable();
        touched.dedup();
        let mut changes: Vec<Change> = touched.into_iter().map(|net| (net, None)).collect();
        for row in self.rows.iter().filter(|row| row.end > now) {
            let Ok(at) = changes.binary_search_by_key(&row.net, |change| change.0) else { continue };
            if let Some((_, kept)) = changes.get_mut(at).filter(|change| change.1.is_none_or(|(end, _)| end < row.end))
            {
                *kept = Some((row.end, row.why));
            }
        }
        (changes, cut)
    }

    /// All that is in force; several about the same are for the list to sort out.
    pub fn rows(&self, now: u32) -> Rows {
        let mut rows = Rows::default();
        for row in self.rows.iter().filter(|row| row.end > now) {
            rows.push(row.net, row.end - now, row.why, usize::MAX);
        }
        rows
    }
}

/// By number; of several of one number the last.
fn sorted(mut rows: Vec<Decided>) -> Vec<Decided> {
    rows.reverse();
    rows.sort_by_key(|row| row.id);
    rows.dedup_by_key(|row| row.id);
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    fn net(n: u8) -> IpNet {
        match n {
            0..4 => IpAddr::V4(Ipv4Addr::new(203, 0, 113, n)).into(),
            _ => "198.51.100.0/24".parse().unwrap(),
        }
    }

    fn row() -> impl Strategy<Value = Decided> {
        (0u64..12, 0u8..6, 0u32..60, 0u16..3).prop_map(|(id, n, end, why)| Decided { id, net: net(n), end, why })
    }

    /// What is banned until when, by a plain map of decisions.
    fn in_force(decisions: &BTreeMap<u64, Decided>, now: u32) -> BTreeMap<IpNet, u32> {
        let mut bans = BTreeMap::new();
        for row in decisions.values().filter(|row| row.end > now) {
            let end = bans.entry(row.net).or_insert(row.end);
            *end = row.end.max(*end);
        }
        bans
    }

    proptest! {
        /// Random histories against plain maps: what one who follows the changes has banned is at every step what
        /// the decisions that are there say, whatever comes twice or is unknown.
        #[test]
        fn who_follows_the_changes_has_what_the_decisions_say(
            steps in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(0u64..14, 0..6), prop::collection::vec(row(), 0..8), 0u32..20), 1..12),
        ) {
            let (mut known, mut model) = (Known::default(), BTreeMap::new());
            let (mut banned, mut now) = (BTreeMap::<IpNet, u32>::new(), 0);
            for (whole, deleted, fresh, later) in steps {
                now += later;
                if whole {
                    model.clear();
                    known.replace(fresh.clone());
                } else {
                    model.retain(|id, _| !deleted.contains(id));
                }
                model.extend(fresh.iter().map(|row| (row.id, *row)));
                if whole {
                    banned.clear();
                    known.rows(now).for_each(|net, left, _| {
                        let end = banned.entry(net).or_insert(0);
                        *end = (*end).max(now + left);
                    });
                } else {
                    let (changes, cut) = known.change(&deleted, fresh, now, usize::MAX);
                    prop_assert_eq!(cut, 0);
                    for (net, kept) in changes {
                        match kept {
                            Some((end, _)) => banned.insert(net, end),
                            None => banned.remove(&net),
                        };
                    }
                }
                // What is over ends by itself.
                banned.retain(|_, end| *end > now);
                prop_assert_eq!(&banned, &in_force(&model, now));
            }
        }

        #[test]
        fn no_more_is_kept_than_there_is_room_for(fresh in prop::collection::vec(row(), 0..20), most in 0usize..6) {
            let mut known = Known::default();
            let (_, cut) = known.change(&[], fresh.clone(), 0, most);
            let ids: std::collections::BTreeSet<u64> = fresh.iter().map(|row| row.id).collect();
            prop_assert_eq!(known.rows.len(), ids.len().min(most));
            prop_assert_eq!(known.rows.len() + cut as usize, ids.len());
        }
    }

    #[test]
    fn a_shorter_decision_comes_back_in_force() {
        let row = |id, end| Decided { id, net: net(1), end, why: 0 };
        let mut known = Known::default();
        known.replace(vec![row(1, 3600), row(2, 7200)]);
        assert_eq!(known.change(&[2], vec![], 10, 99).0, [(net(1), Some((3600, 0)))]);
        assert_eq!(known.change(&[2], vec![], 11, 99).0, []);
        assert_eq!(known.change(&[1], vec![], 12, 99).0, [(net(1), None)]);
    }
}
