//! What a feed tells the ledger, and the words that it takes: how long, why, on whose list.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::entries::Entries;
use super::source::Source;

/// How long a ban or an allowance holds, in whole seconds from the moment it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// Until somebody takes it back.
    Forever,
    /// So many seconds; at least 1.
    Seconds(u32),
}

impl Lifetime {
    /// Its length; `None`: it has no end.
    pub fn seconds(self) -> Option<u64> {
        match self {
            Lifetime::Forever => None,
            Lifetime::Seconds(seconds) => Some(seconds.into()),
        }
    }
}

/// Who gave an allowance. The owner's and DisWall's are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AllowOrigin {
    /// `config allow` in UCI.
    Config,
    /// `diswall allow --timeout`.
    Command,
    /// DisWall's allow list over NATS.
    Nats,
    /// A list whose entries are exempt (`use 'allow'`).
    List(Source),
}

impl AllowOrigin {
    /// What a feed of this source allows, where it does.
    pub fn of_feed(source: Source) -> Option<AllowOrigin> {
        [AllowOrigin::Nats].into_iter().find(|origin| origin.source() == Some(source))
    }

    /// Whose feed or list it is of; `None`: the owner's own.
    pub const fn source(self) -> Option<Source> {
        match self {
            AllowOrigin::Config | AllowOrigin::Command => None,
            AllowOrigin::Nats => Some(Source::NATS),
            AllowOrigin::List(source) => Some(source),
        }
    }

    /// Its name in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match (self, self.source()) {
            (_, Some(source)) => source.name(),
            (AllowOrigin::Config, None) => "config",
            (_, None) => "command",
        }
    }
}

/// What the entries of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ListUse {
    /// Blocked.
    #[default]
    Block,
    /// Exempt from blocking.
    Allow,
    /// The only ones that may open connections.
    Only,
}

impl ListUse {
    /// Its name in the configuration and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            ListUse::Block => "block",
            ListUse::Allow => "allow",
            ListUse::Only => "only",
        }
    }
}

/// Why an address is banned, as the feed states it. Texts are at most [`TAG_MAX`] bytes; the ledger
/// stores them once however many bans share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was on a source's whole list.
    Listed,
    /// The source announced it while we listened.
    Announced,
    /// As `Announced`, with the announcer's tag (`ssh`, `smtp`, …).
    Tagged(Box<str>),
    /// It touched a closed port. `protocol` is the IP protocol number.
    Port {
        /// IP protocol number (6 TCP, 17 UDP).
        protocol: u8,
        /// Destination port it tried.
        port: u16,
    },
    /// Failed log-ins at this service.
    Login(Box<str>),
    /// The owner's comment (may be empty).
    Comment(Box<str>),
}

/// Longest text a [`Reason`] carries on, in bytes; feeds cut what is longer at a character boundary.
pub const TAG_MAX: usize = 120;

/// One entry of a whole list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<A> {
    /// The address.
    pub address: A,
    /// How long it is to be banned from now.
    pub lifetime: Lifetime,
}

/// A source's whole list, the two families apart so that 100,000 IPv4 entries take 1.2 MB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// IPv4 entries; order and duplicates do not matter (the last duplicate counts).
    pub v4: Vec<Listed<Ipv4Addr>>,
    /// IPv6 entries.
    pub v6: Vec<Listed<Ipv6Addr>>,
    /// Networks, of a source that holds them; the comment is the reason.
    pub nets: Vec<Entry>,
    /// Why the first so many entries are on it, one run after the other. Those beyond have been listed, no more.
    pub runs: Vec<Run>,
    /// Entries of the source's list that are not here, because they are beyond the limit.
    pub cut: u32,
}

/// Entries of a list that follow each other and have the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// So many IPv4 entries.
    pub v4: usize,
    /// So many IPv6 entries.
    pub v6: usize,
    /// Why.
    pub reason: Reason,
}

/// One allowance of a whole allow list, or one block of the owner's block list: a network with its end
/// and a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Address or network, host bits zero.
    pub net: IpNet,
    /// How long it holds.
    pub lifetime: Lifetime,
    /// The owner's comment, or empty.
    pub comment: Box<str>,
}

/// What a feed tells the ledger.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// This is all the source bans: what it banned before and is not here is free.
    List {
        /// Whose list.
        source: Source,
        /// The entries.
        list: List,
    },
    /// This is all that a list ([`Holds::Listed`](super::Holds::Listed)) has.
    Entries {
        /// Whose list.
        source: Source,
        /// What it has.
        entries: Entries,
    },
    /// The source bans this. A ban that is already there gets the new end and reason, unless the source
    /// only prolongs ([`Source::prolongs_only`]) and it ends later.
    Ban {
        /// Who bans.
        source: Source,
        /// Address, or a network with its host bits zero where the source holds networks.
        net: IpNet,
        /// For how long.
        lifetime: Lifetime,
        /// Why.
        reason: Reason,
    },
    /// These are all of the owner's blocks in UCI that the `manual` set holds; kept apart from those
    /// that came as `Ban` with the source [`Source::MANUAL`].
    BlockList {
        /// The blocks: networks may overlap and contain each other.
        list: Vec<Entry>,
    },
    /// The source takes its ban back. Unknown bans are no error.
    Unban {
        /// Who takes back.
        source: Source,
        /// What.
        net: IpNet,
    },
    /// These are all of the origin's allowances.
    AllowList {
        /// Whose.
        origin: AllowOrigin,
        /// The allowances.
        list: Vec<Entry>,
    },
    /// One allowance more (or with a new end or comment).
    Allow {
        /// Whose.
        origin: AllowOrigin,
        /// What.
        entry: Entry,
    },
    /// The origin takes its allowance back.
    Disallow {
        /// Whose.
        origin: AllowOrigin,
        /// What.
        net: IpNet,
    },
    /// The source has been heard from: its bans do not lapse for another `max_age`.
    Contact {
        /// Which.
        source: Source,
    },
    /// The source has been silent for longer than its `max_age`: all its bans lapse.
    Lapse {
        /// Which.
        source: Source,
    },
}
