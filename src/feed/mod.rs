//! Feeds: whatever tells diswall to ban, free or allow an address.
//!
//! A feed turns bytes into [`Event`]s and posts them on a channel; it knows neither the ledger nor the
//! firewall. This file holds the vocabulary that every feed shares; the daemon is its only reader.

pub mod backoff;
pub mod diswall;

pub mod dynfw;
pub mod intake;
pub mod login;
pub mod scan;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use ipnet::IpNet;
use tokio::sync::mpsc;

/// Who banned an address. Each source has a pair of sets of its own in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Turris Sentinel's dynamic firewall.
    Dynfw,
    /// DisWall's shared bans over NATS.
    Nats,
    /// Whatever this router saw itself: touched closed ports, failed log-ins.
    Scan,
    /// The owner: `config block`, `diswall block`, fail2ban.
    Manual,
}

impl Source {
    /// Every source, in the order in which their indices count.
    pub const ALL: [Source; 4] = [Source::Dynfw, Source::Nats, Source::Scan, Source::Manual];

    /// The name used in set names, on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Dynfw => "dynfw",
            Source::Nats => "nats",
            Source::Scan => "scan",
            Source::Manual => "manual",
        }
    }

    /// The source of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Source> {
        Source::ALL.into_iter().find(|source| source.name() == name)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How long a ban or an allowance holds, in whole seconds from the moment it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// Until somebody takes it back.
    Forever,
    /// So many seconds; at least 1.
    Seconds(u32),
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
    /// Entries of the source's list that are not here, because they are beyond the limit.
    pub cut: u32,
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
    /// The source bans this. A ban that is already there gets the new end and reason, unless it is DisWall's
    /// ([`Source::Nats`]) and ends later.
    Ban {
        /// Who bans.
        source: Source,
        /// Address, or (only `Manual`) a network with its host bits zero.
        net: IpNet,
        /// For how long.
        lifetime: Lifetime,
        /// Why.
        reason: Reason,
    },
    /// These are all of the owner's blocks in UCI that the `manual` set holds; kept apart from those
    /// that came as `Ban` with the source `Manual`.
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

/// The two feeds that come over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FeedName {
    /// Turris Sentinel DynFW.
    Dynfw,
    /// DisWall over NATS.
    Nats,
}

impl FeedName {
    /// The source whose bans this feed delivers.
    pub const fn source(self) -> Source {
        match self {
            FeedName::Dynfw => Source::Dynfw,
            FeedName::Nats => Source::Nats,
        }
    }

    /// What people call it.
    pub const fn title(self) -> &'static str {
        match self {
            FeedName::Dynfw => "DynFW",
            FeedName::Nats => "DisWall",
        }
    }
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source().name())
    }
}

/// Where a feed's connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedState {
    /// Switched off (`enabled '0'` or `local_only '1'`).
    Off,
    /// Resolving, connecting, shaking hands.
    Connecting,
    /// Connected; waiting for the whole list.
    Synchronising,
    /// Connected, the list is taken, every update is followed.
    Live,
    /// Connected, but the server refuses a part of what the feed asks for; asked for again later.
    Partial {
        /// What is refused, in one sentence for people.
        error: String,
        /// What is lost without it.
        lost: String,
        /// Seconds until the next try.
        retry_in: u32,
    },
    /// Not connected; trying again later. Why, in one sentence for people.
    Waiting {
        /// What went wrong, with its cause.
        error: String,
        /// Seconds until the next try.
        retry_in: u32,
    },
}

/// What a feed posts to the daemon.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// Something for the ledger.
    Event(Event),
    /// The feed's state changed. Sent once for each change; the daemon logs it.
    State(FeedState),
    /// Something that the feed's sensors saw, for whoever watches; nothing follows from it.
    Sighting {
        /// What it was, in the feed's word: `telnet_login`.
        event: Box<str>,
        /// Who did it.
        address: std::net::IpAddr,
    },
    /// Something the owner should know that does not end the connection (a refused permission, a burst
    /// of refused messages, credentials travelling unencrypted), as one sentence. `None` clears `key`.
    Notice {
        /// Stable short name of the matter, `permission` for example; a new text replaces the old.
        key: &'static str,
        /// The sentence, or `None` when the matter is settled.
        text: Option<String>,
    },
}

/// The sending end that a feed is given: its name goes with every update.
pub type Updates = mpsc::Sender<(FeedName, Update)>;

/// Counters that a feed keeps and the daemon reads. One thread, so plain cells.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Messages received, of every kind.
    pub messages: Cell<u64>,
    /// Messages refused as a whole.
    pub refused_messages: Cell<u64>,
    /// Single addresses refused inside accepted messages.
    pub refused_addresses: Cell<u64>,
    /// Whole lists taken.
    pub lists: Cell<u64>,
    /// Resynchronisations after a gap, a serial that went back, or a reconnect.
    pub resyncs: Cell<u64>,
    /// The last serial applied (DynFW), 0 before the first.
    pub serial: Cell<u64>,
    /// Seconds of `CLOCK_BOOTTIME` at the last message; `None` before the first.
    pub last_message: Cell<Option<u64>>,
    /// Why the last refused message was refused.
    pub last_refusal: RefCell<Option<String>>,
}

/// A running feed, as the daemon holds it. Dropping it ends the feed.
#[derive(Debug)]
pub struct Handle {
    /// The feed's task; aborted on drop.
    pub task: tokio::task::JoinHandle<()>,
    /// Its counters.
    pub gauges: Rc<Gauges>,
    /// Ask for a fresh whole list now.
    pub resync: Rc<tokio::sync::Notify>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}
