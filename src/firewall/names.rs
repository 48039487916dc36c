//! What the firewall's objects are called: the table, the sets of each source and family, the named
//! counters beside them.
//!
//! The nft text (`rules`) and the netlink calls take every name from here, so that they cannot differ.

use std::fmt;
use std::net::IpAddr;

pub use crate::model::Family;
use crate::model::{SetId, Source};

/// One set of the kernel: one of the pairs, one of the families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetKey {
    /// The pair.
    pub set: SetId,
    /// The half of it.
    pub family: Family,
}

impl SetKey {
    /// The set that a change to `address` goes to.
    pub const fn of(set: SetId, address: IpAddr) -> SetKey {
        SetKey { set, family: Family::of(address) }
    }
}

/// `AF_INET`, `AF_INET6`.
pub(super) const fn address_family(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

/// Whether a banned address is looked for as the sender or as the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    From,
    To,
}

impl Side {
    pub(super) const ALL: [Side; 2] = [Side::From, Side::To];

    const fn name(self) -> &'static str {
        match self {
            Side::From => "from",
            Side::To => "to",
        }
    }
}

/// The names that the configuration chooses (`table`, `set_prefix`), and of whose sets they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Name of the nftables table; its family is inet.
    pub table: String,
    /// What every set and counter name starts with.
    pub prefix: String,
    /// The sources that have sets, in the order in which people are told of them.
    pub sources: Vec<Source>,
}

impl Names {
    /// Every pair of sets, that of the allowances last.
    pub fn sets(&self) -> Vec<SetId> {
        SetId::of(&self.sources)
    }

    /// Every set.
    pub fn keys(&self) -> impl Iterator<Item = SetKey> + use<> {
        self.sets().into_iter().flat_map(|set| Family::ALL.map(|family| SetKey { set, family }))
    }

    /// Name of a set: `diswall_dynfw4`.
    pub fn set(&self, key: SetKey) -> String {
        let (name, part) = key.set.name();
        format!("{}_{name}{part}{}", self.prefix, key.family.digit())
    }

    /// Name of the counter that the rules of a source increment: one for both of its sets of a family. Sets and
    /// counters have name spaces of their own in the kernel, so it is the first set's name.
    pub fn counter(&self, key: SetKey) -> String {
        let set = key.set.source().map_or(key.set, SetId::Ban);
        self.set(SetKey { set, ..key })
    }

    /// Name of the set that holds severed flows: `diswall_severed4`. Its key is `inet_proto . ADDRESS .
    /// inet_service . ADDRESS . inet_service`, inside first, as an inside host's packets have it.
    pub fn cut(&self, family: Family) -> String {
        format!("{}_severed{}", self.prefix, family.digit())
    }

    /// Name of the set of banned hosts that had more flows than [`Names::cut`] has room for: `diswall_crowd4`.
    pub fn crowd(&self, family: Family) -> String {
        format!("{}_crowd{}", self.prefix, family.digit())
    }

    /// Name of the chain that every packet from a guarded device goes through: `diswall_from`.
    pub fn entry_chain(&self) -> String {
        self.side_chain(Side::From, "")
    }

    /// Name of the chain that packets for the router itself go through before: `diswall_from_here`.
    pub fn here_chain(&self) -> String {
        self.here_chain_of(Side::From, "")
    }

    /// Name of the chain that looks for addresses of one side: `diswall_to`. The label is empty, or a list's own that
    /// has zones of its own: `diswall_to.name`. It stands last: a list's name may end with a digit.
    pub(super) fn side_chain(&self, side: Side, label: &str) -> String {
        format!("{}_{}{label}", self.prefix, side.name())
    }

    /// The same for what is the router's own, before: `diswall_to_here.name`.
    pub(super) fn here_chain_of(&self, side: Side, label: &str) -> String {
        format!("{}_{}_here{label}", self.prefix, side.name())
    }

    /// The same for one family: `diswall_to4.name`.
    pub(super) fn family_chain(&self, side: Side, label: &str, family: Family) -> String {
        format!("{}_{}{}{label}", self.prefix, side.name(), family.digit())
    }

    /// Name of the chain that packets of a set of this name end in, where a rule has no room for all that happens to
    /// them: `diswall_dynfw4_hit`.
    pub(super) fn hit_chain(set: &str) -> String {
        format!("{set}_hit")
    }

    /// Name of the chain by which the daemon hears of some of what rules beside a set of this name drop:
    /// `diswall_manual4_told`.
    pub(super) fn told_chain(set: &str) -> String {
        format!("{set}_told")
    }

    /// Name of our own chain at a hook, where there is no fw4: `diswall_input`.
    pub fn base_chain(&self, hook: super::Hook) -> String {
        format!("{}_{}", self.prefix, hook.name())
    }

    /// Name of the chain that packets to closed ports go through: `diswall_seen`.
    pub fn scan_chain(&self) -> String {
        format!("{}_seen", self.prefix)
    }

    /// Name of the chain that drops what goes on after a ban: `diswall_cut`.
    pub fn cut_chain(&self) -> String {
        format!("{}_cut", self.prefix)
    }

    /// Name of a chain that is there within a transaction alone: `diswall.moment`. Nobody who looks for ours takes it for
    /// one.
    pub fn moment_chain(&self) -> String {
        format!("{}.moment", self.prefix)
    }

    /// The set of that name, if it is one of ours.
    pub fn find(&self, name: &[u8]) -> Option<SetKey> {
        let rest = name.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b"_")?;
        let (&digit, middle) = rest.split_last()?;
        let family = Family::ALL.into_iter().find(|family| family.digit() as u8 == digit)?;
        let is_it = |set: &SetId| {
            let (name, part) = set.name();
            middle.strip_prefix(name.as_bytes()) == Some(part.as_bytes())
        };
        let set = self.sets().into_iter().find(is_it)?;
        Some(SetKey { set, family })
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inet {} {}_*", self.table, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_set() {
        let lists = ["a", "a4", "of_two_4"].map(Source::list);
        let sources = Source::BUILT_IN.into_iter().chain(lists).collect();
        let names = Names { table: "fw4".into(), prefix: "dis_wall".into(), sources };
        for key in names.keys() {
            assert_eq!(names.find(names.set(key).as_bytes()), Some(key));
        }
        // Two of a list, and those who are allowed; of both families.
        assert_eq!(names.keys().count(), 2 * (Source::BUILT_IN.len() + 2 * 3 + 1));
        for stranger in ["", "dis_wall", "dis_wall_", "dis_wall_dynfw", "dis_wall_dynfw5", "dis_wall_4", "x_dynfw4"] {
            assert_eq!(names.find(stranger.as_bytes()), None, "{stranger}");
        }
    }
}
