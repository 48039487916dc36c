//! A source of bans: one row, from which everything that differs between sources follows.
//!
//! Nothing else in the house lists sources or their properties.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// What is true of a source, whatever it bans.
#[derive(Debug)]
pub struct Row {
    /// The name in set names, on the command line, in JSON and in the snapshot: 1 to 15 of `a-z0-9_`.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What its bans are about.
    pub holds: Holds,
    /// Who tells of them.
    pub teller: Teller,
    /// Rules look sources up in ascending order, and by name where it is the same: the owner's word first, the
    /// longest list last.
    pub order: u8,
    /// An announcement has no length of its own and stands for a short one: it ends no longer ban.
    pub prolongs_only: bool,
}

/// What a source's bans are about, and so what kind of set and book it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Single addresses: hash sets, and a book of rows.
    Hosts,
    /// Networks too: interval sets.
    Networks,
    /// Both, each with an end and a reason: hash sets for the addresses, interval sets for the networks, and a book.
    Both,
    /// Both, as a list has them: sets as for [`Holds::Both`], and arrays.
    Listed,
}

/// Who tells of a source's bans: what it may ban, who may take its bans back, and what room there is follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// The owner and his programs. They may ban private addresses and networks; a ban belongs to its holder.
    Owner,
    /// The router's own eyes: rules may add elements by themselves, and there is room beyond the feeds' limit.
    Router,
    /// Somebody outside, over the network. A ban that is taken back here comes again with the next list.
    Feed,
}

/// One source. Small to copy; two are the same when their names are.
#[derive(Clone, Copy)]
pub struct Source(&'static Row);

impl Source {
    /// Turris Sentinel's dynamic firewall.
    pub const DYNFW: Source = Source(&Row {
        name: "dynfw",
        title: "DynFW",
        holds: Holds::Hosts,
        teller: Teller::Feed,
        order: 40,
        prolongs_only: false,
    });
    /// DisWall's shared bans over NATS.
    pub const NATS: Source = Source(&Row {
        name: "nats",
        title: "DisWall",
        holds: Holds::Hosts,
        teller: Teller::Feed,
        order: 30,
        prolongs_only: true,
    });
    /// Whatever this router saw itself: touched closed ports, failed log-ins.
    pub const SCAN: Source = Source(&Row {
        name: "scan",
        title: "this router",
        holds: Holds::Hosts,
        teller: Teller::Router,
        order: 20,
        prolongs_only: false,
    });
    /// The owner: `config block`, `diswall block`, fail2ban.
    pub const MANUAL: Source = Source(&Row {
        name: "manual",
        title: "by hand",
        holds: Holds::Networks,
        teller: Teller::Owner,
        order: 10,
        prolongs_only: false,
    });
    /// What a CrowdSec local API decides.
    pub const CROWDSEC: Source = Source(&Row {
        name: "crowdsec",
        title: "CrowdSec",
        holds: Holds::Both,
        teller: Teller::Feed,
        order: 35,
        prolongs_only: false,
    });

    /// Those that every router has, in the order in which people are told of them.
    pub const BUILT_IN: [Source; 4] = [Source::DYNFW, Source::NATS, Source::SCAN, Source::MANUAL];

    /// Those that a configuration may have besides.
    pub const CONFIGURED: [Source; 1] = [Source::CROWDSEC];

    /// All that have a row of their own, whether a configuration has them or not: no list is called so.
    pub fn named() -> impl Iterator<Item = Source> {
        Source::BUILT_IN.into_iter().chain(Source::CONFIGURED)
    }

    /// A list of that name (see [`Row::name`]). What stands for a name stays in memory for good: a name costs
    /// some hundred bytes, once.
    pub fn list(name: &str) -> Source {
        static LISTS: Mutex<Vec<&'static Row>> = Mutex::new(Vec::new());
        let mut lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = lists.iter().find(|row| row.name == name) {
            return Source(row);
        }
        let name: &'static str = String::from(name).leak();
        let (holds, teller) = (Holds::Listed, Teller::Feed);
        let row: &'static Row =
            Box::leak(Box::new(Row { name, title: name, holds, teller, order: 50, prolongs_only: false }));
        lists.push(row);
        Source(row)
    }

    /// The name used in set names, on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// What people call it.
    pub const fn title(self) -> &'static str {
        self.0.title
    }

    /// What its bans are about.
    pub const fn holds(self) -> Holds {
        self.0.holds
    }

    /// Who tells of its bans.
    pub const fn teller(self) -> Teller {
        self.0.teller
    }

    /// Whether an announcement of it ends no longer ban.
    pub const fn prolongs_only(self) -> bool {
        self.0.prolongs_only
    }

    /// Its place where people are told of several: feeds first, the owner's word last.
    pub const fn rank(self) -> u32 {
        (u8::MAX - self.0.order) as u32
    }

    /// Whether it is what the router itself saw.
    pub fn is_own(self) -> bool {
        self.0.teller == Teller::Router
    }

    /// Whether it is the owner's word.
    pub fn is_owner(self) -> bool {
        self.0.teller == Teller::Owner
    }

    /// These sources in the order in which rules look them up.
    pub fn in_order(sources: &[Source]) -> Vec<Source> {
        let mut sorted = sources.to_vec();
        sorted.sort_unstable();
        sorted
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Source) -> bool {
        // A constant may have several addresses.
        ptr::eq(self.0, other.0) || self.0.name == other.0.name
    }
}

impl Eq for Source {}

impl Hash for Source {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl Ord for Source {
    /// By the order of rules.
    fn cmp(&self, other: &Source) -> Ordering {
        (self.0.order, self.0.name).cmp(&(other.0.order, other.0.name))
    }
}

impl PartialOrd for Source {
    fn partial_cmp(&self, other: &Source) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
