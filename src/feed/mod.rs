//! Feeds: whatever tells diswall to ban, free or allow an address.
//!
//! A feed turns bytes into [`Event`]s and posts them on a channel; it knows neither the ledger nor the
//! firewall. The feeds of what the router sees itself post offences instead ([`offence`]), of which the daemon makes
//! bans. This file holds what the feeds over the network share: states, notices, counters; [`registry`] lists them.
//! The daemon is their only reader.

pub mod abuseipdb;
pub mod backoff;
pub mod connect;
pub mod crowdsec;
pub mod dynfw;
pub mod fetch;
pub mod intake;
pub mod lists;
pub mod login;
pub mod nats;
pub mod offence;
pub mod registry;
pub mod scan;
pub mod settings;

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::model::{Event, ListUse, Source};

pub use settings::Settings;

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
    /// So many entries were left out of what changed, because there is no room for them.
    Cut(u32),
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

/// The sending end that a feed is given: its source goes with every update.
pub type Updates = mpsc::Sender<(Source, Update)>;

/// Time between a failure and the next try, whatever is reloaded.
const SOON: Duration = Duration::from_secs(10);

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
    /// Packets and bytes dropped because of its bans, and how many these are, as the daemon said a minute ago.
    pub dropped: Cell<(u64, u64)>,
    /// See `dropped`.
    pub entries: Cell<u64>,
    /// It follows a hub, not DisWall's server.
    pub hub: Cell<bool>,
    /// Seconds of `CLOCK_BOOTTIME` at the hub's last sign of life; `None` before the first.
    pub hub_heard: Cell<Option<u64>>,
    /// Which of the configured servers it is connected to, or tries.
    pub server: Cell<usize>,
    /// Why the last refused message was refused.
    pub last_refusal: RefCell<Option<String>>,
    /// The other way round: the daemon was told to look anew, as it is when an uplink comes up. Whoever waits after a
    /// failure tries again ([`again`]); nobody else hears of it, then or later.
    pub reloaded: Notify,
}

/// Ends a wait after a failure that has just been, when the daemon is told to look anew. `reloaded` is from before the
/// try that failed: the uplink may have come up in the middle of it.
pub async fn again(reloaded: Pin<&mut Notified<'_>>) {
    let soon = Instant::now() + SOON;
    reloaded.await;
    sleep_until(soon).await;
}

/// On which terms a feed is connected.
#[derive(Default)]
pub struct Terms<'s> {
    /// What is said cannot be read on the way.
    pub encrypted: bool,
    /// The login, where the server knows several.
    pub account: Option<&'s str>,
    /// Without contact for longer, its bans lapse; `None`: they have ends of their own.
    pub max_age: Option<Duration>,
    /// What the entries of a list are.
    pub list: Option<ListUse>,
}

/// Another program that blocks what a feed blocks.
pub struct Twin {
    /// Its table, of the family inet.
    pub table: &'static str,
    /// Its sets; they are empty while it is stopped.
    pub sets: &'static [&'static str],
    /// What it means that both run, and how to end one.
    pub text: &'static str,
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
