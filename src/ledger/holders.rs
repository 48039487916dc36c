//! In whose name the owner's networks are banned: the configuration, the owner himself by command, and
//! programs such as fail2ban's jails by theirs.
//!
//! Bans of several holders stand side by side, each with its own end; a holder takes back its own alone.
//! Names are small numbers in the tables, and bounded: those that hold nothing any more give way.

use ipnet::IpNet;

use super::moment::Moment;
use super::nets::{self, Cause, Nets};
use super::{Applied, COMMAND, CONFIG, Ledger, normal, origin_number};
use crate::model::{AllowOrigin, Entry, Lifetime, SetChange};

/// The name of whoever bans in UCI. No program can have it.
pub const CONFIGURATION: &str = "config";

/// The name of whoever bans by command and gives none.
pub const OWNER: &str = "owner";

/// Most programs that hold bans at a time.
pub const HOLDERS_MAX: usize = 100;

/// The number of the first program.
const FIRST: u8 = COMMAND + 1;

/// Why a command cannot ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldError {
    /// [`HOLDERS_MAX`] others hold bans.
    Holders,
    /// There is no room for so many; so many networks of a family there may be in all.
    Full(usize),
}

/// The programs' names; empty: free.
#[derive(Debug, Default)]
pub(super) struct Holders(Vec<Box<str>>);

impl Holders {
    /// The name behind a number.
    pub(super) fn name(&self, origin: u8) -> &str {
        match origin {
            CONFIG => CONFIGURATION,
            COMMAND => OWNER,
            _ => self.0.get(usize::from(origin - FIRST)).map_or("", |name| name),
        }
    }

    /// The number of a name that holds bans, or may hold some.
    pub(super) fn number(&self, name: &str) -> Option<u8> {
        if name == OWNER {
            return Some(COMMAND);
        }
        (FIRST..).zip(&self.0).find(|(_, known)| !name.is_empty() && &***known == name).map(|(number, _)| number)
    }

    /// The number of a name, a free one if it is new. `held` has the networks that say which names are in use.
    pub(super) fn take(&mut self, name: &str, held: &Nets) -> Option<u8> {
        if let Some(number) = self.number(name) {
            return Some(number);
        }
        if self.0.len() < HOLDERS_MAX {
            self.0.push(name.into());
            return u8::try_from(self.0.len() - 1).ok().map(|place| place + FIRST);
        }
        let mut used = [false; HOLDERS_MAX];
        for (_, net) in held.iter(Moment(0)) {
            if let Some(used) = net.origin.checked_sub(FIRST).and_then(|place| used.get_mut(usize::from(place))) {
                *used = true;
            }
        }
        let place = used.iter().position(|used| !used)?;
        *self.0.get_mut(place)? = name.into();
        u8::try_from(place).ok().map(|place| place + FIRST)
    }
}

impl Ledger {
    /// Whether there is room for all of these allowances by command.
    ///
    /// # Errors
    /// There is not.
    pub fn may_allow(&self, nets: &[IpNet]) -> Result<(), HoldError> {
        self.find_room(&self.allow, origin_number(AllowOrigin::Command), nets)
    }

    fn find_room(&self, there: &Nets, origin: u8, nets: &[IpNet]) -> Result<(), HoldError> {
        let new = nets.iter().filter(|net| there.get(origin, normal(**net)).is_none()).count();
        let most = self.max_entries as usize;
        if new > most.saturating_sub(there.len()) { Err(HoldError::Full(most)) } else { Ok(()) }
    }

    /// Whether there is no block of exactly this network by the configuration.
    pub fn lacks_block(&self, net: IpNet) -> bool {
        self.manual.get(CONFIG, normal(net)).is_none()
    }

    /// Whether there is no allowance of exactly this network by the configuration.
    pub fn lacks_allowance(&self, net: IpNet) -> bool {
        self.allow.get(origin_number(AllowOrigin::Config), normal(net)).is_none()
    }

    /// Bans these in a holder's name: all of them, or none. A ban that the holder has already gets the new
    /// end and comment.
    ///
    /// # Errors
    /// There is no room.
    pub fn hold(
        &mut self,
        now: Moment,
        holder: &str,
        nets: &[IpNet],
        (lifetime, comment): (Lifetime, &str),
        sink: &mut dyn FnMut(SetChange),
    ) -> Result<Applied, HoldError> {
        let origin = self.holders.take(holder, &self.manual).ok_or(HoldError::Holders)?;
        self.find_room(&self.manual, origin, nets)?;
        let list = nets.iter().map(|net| Entry { net: normal(*net), lifetime, comment: comment.into() }).collect();
        Ok(self.change_manual(now, sink, |manual, cause| manual.insert_all(cause, origin, list)))
    }

    /// Takes back these of a holder's bans, or all (`None`), and says which there were.
    pub fn let_go(
        &mut self,
        now: Moment,
        holder: &str,
        nets: Option<&[IpNet]>,
        sink: &mut dyn FnMut(SetChange),
    ) -> (Applied, Vec<IpNet>) {
        let Some(origin) = self.holders.number(holder) else { return (Applied::default(), Vec::new()) };
        let mut sorted = nets.map(|nets| nets.iter().map(|net| normal(*net)).collect::<Vec<_>>());
        if let Some(sorted) = &mut sorted {
            sorted.sort_unstable();
            sorted.dedup();
        }
        let mut gone = Vec::new();
        let applied = self.change_manual(now, sink, |manual, cause| match &sorted {
            Some(few) if few.len() <= nets::FEW => {
                gone.extend(
                    few.iter().filter(|net| manual.get(origin, **net).is_some_and(|old| !old.end.is_over(now))),
                );
                few.iter().for_each(|net| manual.remove(cause, origin, *net));
            }
            Some(many) => gone = manual.remove_all(cause, origin, &|net| many.binary_search(net).is_ok()),
            None => gone = manual.remove_all(cause, origin, &|_| true),
        });
        (applied, gone)
    }

    /// The programs, and the owner, that hold this very network, with nothing of the configuration.
    pub fn holders_of(&self, now: Moment, net: IpNet) -> impl Iterator<Item = &str> {
        let net = normal(net);
        let exact = self.manual.around(now, net).filter(move |(each, entry)| *each == net && entry.origin != CONFIG);
        exact.map(|(_, entry)| self.holders.name(entry.origin))
    }

    fn change_manual(
        &mut self,
        now: Moment,
        sink: &mut dyn FnMut(SetChange),
        change: impl FnOnce(&mut Nets, &mut Cause),
    ) -> Applied {
        let mut applied = Applied::default();
        let (manual, mut cause) = self.manual(now, sink, &mut applied);
        change(manual, &mut cause);
        applied
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Desired, Range, SetId, Source};

    fn net(text: &str) -> IpNet {
        text.parse().unwrap_or_else(|_| IpNet::from(text.parse::<std::net::IpAddr>().unwrap()))
    }

    fn at(second: u32) -> Moment {
        Moment(Moment::BOOT.0 + second)
    }

    fn hold(ledger: &mut Ledger, second: u32, holder: &str, what: &str, seconds: u32) -> Result<Applied, HoldError> {
        ledger.hold(at(second), holder, &[net(what)], (Lifetime::Seconds(seconds), ""), &mut |_| {})
    }

    fn holders(ledger: &Ledger, second: u32, what: &str) -> Vec<String> {
        ledger.holders_of(at(second), net(what)).map(str::to_owned).collect()
    }

    #[test]
    fn bans_of_several_holders_stand_side_by_side() {
        let mut ledger = Ledger::new(1000);
        hold(&mut ledger, 0, "sshd", "203.0.113.8", 10).unwrap();
        hold(&mut ledger, 0, "recidive", "203.0.113.8", 100).unwrap();
        hold(&mut ledger, 0, OWNER, "203.0.113.8", 50).unwrap();
        let ends: Vec<_> =
            ledger.check(at(1), net("203.0.113.8").addr()).bans.iter().map(|ban| (ban.by, ban.end)).collect();
        assert_eq!(ends, [(OWNER, Some(at(50))), ("sshd", Some(at(10))), ("recidive", Some(at(100)))]);
        let (applied, gone) = ledger.let_go(at(2), "recidive", Some(&[net("203.0.113.8")]), &mut |_| {});
        assert_eq!((applied.removed, gone), (1, vec![net("203.0.113.8")]));
        assert_eq!(holders(&ledger, 3, "203.0.113.8"), [OWNER, "sshd"]);
        assert_eq!(ledger.let_go(at(3), "nobody", None, &mut |_| {}).0, Applied::default());
        let set = ledger.desired(SetId::Ban(Source::MANUAL), at(3));
        assert_eq!(set.wanted(Range::single(net("203.0.113.8").addr())), Some(Lifetime::Seconds(47)));
        assert_eq!(holders(&ledger, 11, "203.0.113.8"), [OWNER]);
    }

    #[test]
    fn names_are_bounded_and_come_free_again() {
        let mut ledger = Ledger::new(10_000);
        for number in 0..HOLDERS_MAX {
            hold(&mut ledger, 0, &format!("jail{number}"), &format!("203.0.113.{number}"), 60).unwrap();
        }
        assert_eq!(hold(&mut ledger, 1, "one-more", "198.51.100.1", 60), Err(HoldError::Holders));
        ledger.let_go(at(2), "jail7", None, &mut |_| {});
        hold(&mut ledger, 3, "one-more", "198.51.100.1", 60).unwrap();
        assert_eq!(holders(&ledger, 3, "198.51.100.1"), ["one-more"]);
        assert_eq!(holders(&ledger, 3, "203.0.113.8"), ["jail8"]);
    }

    #[test]
    fn all_or_none_find_room() {
        let mut ledger = Ledger::new(4);
        let three = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(net);
        let ban = (Lifetime::Forever, "");
        ledger.hold(at(0), "a", &three, ban, &mut |_| {}).unwrap();
        assert_eq!(ledger.hold(at(0), "b", &three, ban, &mut |_| {}), Err(HoldError::Full(4)));
        assert_eq!(holders(&ledger, 0, "192.0.2.1"), ["a"]);
        // Those that are there need no room.
        let applied = ledger.hold(at(0), "a", &[three[0], net("192.0.2.4")], ban, &mut |_| {}).unwrap();
        assert_eq!((applied.added, applied.unchanged), (1, 1));
    }

    /// What the kernel has after these changes.
    fn follow(kernel: &mut BTreeMap<Range, Option<u32>>, now: Moment, change: SetChange) {
        let end = |lifetime| match lifetime {
            Lifetime::Forever => None,
            Lifetime::Seconds(seconds) => Some(now.0 + seconds),
        };
        match change {
            SetChange::Add { range, lifetime, .. } => assert_eq!(kernel.insert(range, end(lifetime)), None),
            SetChange::Renew { range, lifetime, .. } => assert!(kernel.insert(range, end(lifetime)).is_some()),
            SetChange::Delete { range, .. } => assert!(kernel.remove(&range).is_some()),
        }
    }

    proptest! {
        /// Many at once leave what the same leave one by one, in the tables and in the kernel.
        #[test]
        fn many_at_once_are_as_one_by_one(
            rounds in proptest::collection::vec(
                (0_usize..3, proptest::collection::vec((0_u32..64, 26_u8..=32), 1..30), prop_oneof![Just(None), (1_u32..3).prop_map(|end| Some(end * 1000))], any::<bool>()),
                1..8,
            ),
        ) {
            let (mut whole, mut single) = (Ledger::new(100_000), Ledger::new(100_000));
            let (mut kernel, mut other) = (BTreeMap::new(), BTreeMap::new());
            for (second, (holder, nets, end, takes_back)) in (0..).zip(rounds) {
                let (now, holder) = (at(second), [OWNER, "a", "b"][holder]);
                let lifetime = end.map_or(Lifetime::Forever, Lifetime::Seconds);
                let nets: Vec<IpNet> = nets.iter()
                    .map(|(low, prefix)| IpNet::new(std::net::Ipv4Addr::from_bits(0xcb00_7100 + low).into(), *prefix).unwrap().trunc())
                    .collect();
                if takes_back {
                    whole.let_go(now, holder, Some(&nets), &mut |change| follow(&mut kernel, now, change));
                } else {
                    whole.hold(now, holder, &nets, (lifetime, ""), &mut |change| follow(&mut kernel, now, change)).unwrap();
                }
                for net in &nets {
                    let mut sink = |change| follow(&mut other, now, change);
                    if takes_back {
                        single.let_go(now, holder, Some(&[*net]), &mut sink);
                    } else {
                        single.hold(now, holder, &[*net], (lifetime, ""), &mut sink).unwrap();
                    }
                }
                prop_assert_eq!(&kernel, &other);
            }
            let all = |ledger: &Ledger| ledger.manual.iter(at(9)).map(|(net, entry)| (net, entry.origin, entry.end)).collect::<Vec<_>>();
            prop_assert_eq!(all(&whole), all(&single));
        }
    }
}
