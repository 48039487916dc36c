//! Packets that our rules tell of over NFLOG: touches of closed ports, and what banned hosts send on.
//!
//! Binds the group, reads it, and tries again what failed; it judges nothing. The daemon hands touches to the feed of
//! scans, lets a ban's time start again where the settings say so, and counts who was dropped for the report.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Settings;
use crate::control::protocol::Part;
use crate::feed::scan::Touch;
use crate::feed::scan::packet::{self, Unread};
use crate::firewall::nflog::{Heard, Nflog, Packet};
use crate::firewall::rules;
use crate::limiter;
use crate::model::Source;

/// Time until binding the group is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// So long after packets were lost the set is compared with the ledger.
const COMPARE: Duration = Duration::from_secs(5);

/// What a packet says, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Somebody touched a closed port; `true`: no firewall stands before us.
    Touch(Touch, bool),
    /// A banned host sent another packet.
    Again(IpAddr),
    /// A packet was dropped.
    Dropped(Dropped),
    /// Packets were lost.
    Lost,
    /// The socket failed and is closed.
    Failed,
}

/// A dropped packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Whose rule dropped it.
    pub source: Source,
    /// Who sent it.
    pub from: IpAddr,
    /// To whom.
    pub to: IpAddr,
    /// IP protocol and port; port 0: it has none.
    pub service: Option<(u8, u16)>,
}

enum Link {
    Off,
    On(Nflog),
    Broken(String, Instant),
}

/// See the module's head.
pub struct Packets {
    link: Link,
    /// The group it is to be bound to.
    group: Option<u16>,
    /// Whose drops are told of.
    sources: Vec<Source>,
    /// How often packets were lost.
    lost: u32,
    /// When the set is to be compared with the ledger, since the kernel's bans for them were not judged.
    compare: Option<Instant>,
}

impl Packets {
    /// Nothing is opened before [`Packets::configure`].
    pub fn new() -> Packets {
        Packets { link: Link::Off, group: None, sources: Vec::new(), lost: 0, compare: None }
    }

    /// Binds, closes or changes the group as the settings say. Needs the runtime.
    pub fn configure(&mut self, settings: &Settings) {
        let refreshes = settings.feeds.refreshes().iter().any(|(_, refresh)| *refresh);
        let wanted = settings.main.enabled && (settings.feeds.scan.enabled || refreshes || settings.main.report);
        self.sources = settings.sources();
        let group = wanted.then_some(settings.feeds.scan.nflog_group);
        if group != self.group || matches!(self.link, Link::Broken(..)) {
            // Closed first: the group that follows may be the same.
            self.link = Link::Off;
            self.group = group;
            self.open();
        }
    }

    fn open(&mut self) {
        let Some(group) = self.group else { return };
        self.link = match Nflog::bind(group) {
            Ok(nflog) => Link::On(nflog),
            Err(error) => {
                limiter::warn(("scan", "opened"), || format!("scan: {error}"));
                Link::Broken(error, Instant::now() + RETRY)
            }
        };
    }

    /// Waits for the next packet; for ever while there is no socket.
    pub async fn seen(&mut self) -> Seen {
        loop {
            if let Some(seen) = self.take() {
                return seen;
            }
            match &self.link {
                Link::On(nflog) => {
                    if nflog.readable().await.is_err() {
                        return std::future::pending().await; // the runtime is shutting down
                    }
                }
                Link::Off | Link::Broken(..) => return std::future::pending().await,
            }
        }
    }

    /// The next packet that is there already.
    pub fn take(&mut self) -> Option<Seen> {
        let Link::On(nflog) = &mut self.link else { return None };
        loop {
            match nflog.take()? {
                Heard::Packet(packet) => {
                    if let Some(seen) = read(&packet, &self.sources) {
                        return Some(seen);
                    }
                }
                Heard::Lost => {
                    self.lost = self.lost.saturating_add(1);
                    self.compare.get_or_insert_with(|| Instant::now() + COMPARE);
                    return Some(Seen::Lost);
                }
                Heard::Failed(error) => {
                    let text = format!("the NFLOG socket failed: {error}");
                    limiter::warn(("scan", "failed"), || format!("scan: {text}"));
                    self.link = Link::Broken(text, Instant::now() + RETRY);
                    return Some(Seen::Failed);
                }
            }
        }
    }

    /// When [`Packets::on_time`] is due.
    pub fn due(&self) -> Option<Instant> {
        let retry = match &self.link {
            Link::Broken(_, at) => Some(*at),
            Link::Off | Link::On(_) => None,
        };
        retry.into_iter().chain(self.compare).min()
    }

    /// Tries again what failed. `true`: the scan set is to be compared with the ledger.
    pub fn on_time(&mut self) -> bool {
        let now = Instant::now();
        if matches!(&self.link, Link::Broken(_, at) if *at <= now) {
            self.open();
        }
        self.compare.take_if(|at| *at <= now).is_some()
    }

    /// Why nothing is heard.
    pub fn error(&self) -> Option<&str> {
        match &self.link {
            Link::Broken(error, _) => Some(error),
            Link::Off | Link::On(_) => None,
        }
    }

    /// What is wrong, and what packets were lost, as sentences.
    pub fn troubles(&self) -> impl Iterator<Item = String> {
        let lost = (self.lost > 0)
            .then(|| format!("packets to closed ports came faster than they could be read, {} times", self.lost));
        self.error().map(str::to_owned).into_iter().chain(lost)
    }

    /// Whether scans are seen; `None` while nobody wants to. `unruled`: the rules tell of none.
    pub fn part(&self, settings: &Settings, unruled: bool) -> Option<Part> {
        let part = match &self.link {
            _ if !settings.feeds.scan.enabled => return None,
            Link::Broken(error, _) => Part::broken("scan", error).remedied(
                "install kmod-nfnetlink-log, or choose another `nflog_group` if another program listens there",
            ),
            _ if unruled => Part::broken("scan", "the rules in force do not look for scans")
                .remedied("`diswall rules --write` (without fw4: --load) says why"),
            Link::On(_) => return Some(Part::in_force("scan")),
            Link::Off => Part::waiting("scan", "nothing was opened yet"),
        };
        Some(part.losing("nobody is banned for touching closed ports"))
    }

    /// In the protocol's word: `off`, `on` or `error`.
    pub fn state(&self, settings: &Settings) -> &'static str {
        match &self.link {
            _ if !settings.feeds.scan.enabled => "off",
            Link::Off => "off",
            Link::On(_) => "on",
            Link::Broken(..) => "error",
        }
    }
}

/// What the packet says; `None` for one that is not of our rules' making, or has no port.
fn read(packet: &Packet<'_>, sources: &[Source]) -> Option<Seen> {
    if let Some(name) = packet.prefix.strip_prefix(rules::DROPPED.as_bytes()) {
        let source = sources.iter().copied().find(|source| source.name().as_bytes() == name)?;
        let (from, to) = packet::ends(packet.bytes)?;
        let service = match packet::parse(packet.bytes) {
            Ok(touch) => Some((touch.protocol, touch.port)),
            Err(Unread::Protocol(protocol)) => Some((protocol, 0)),
            Err(_) => None,
        };
        return Some(Seen::Dropped(Dropped { source, from, to, service }));
    }
    if packet.prefix == b"again" {
        return packet::source(packet.bytes).map(Seen::Again);
    }
    let prefixes = [
        (rules::SEEN, false, false),
        (rules::SEEN_AGAIN, true, false),
        (rules::SEEN_BARE, false, true),
        (rules::SEEN_AGAIN_BARE, true, true),
    ];
    let (_, again, bare) = prefixes.into_iter().find(|(text, ..)| text.as_bytes() == packet.prefix)?;
    match packet::parse(packet.bytes) {
        Ok(touch) => Some(Seen::Touch(Touch { again, ..touch }, bare)),
        Err(why) => {
            log::debug!("scan: a packet of {} bytes is no touch: {why}", packet.bytes.len());
            None
        }
    }
}
