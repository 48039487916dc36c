//! The router's own eyes: packets that its rules saw at closed ports, judged, and banned for.
//!
//! Reads the NFLOG group, asks the ledger who is exempt, the detector what a touch amounts to, and `scene`
//! whether the sender is no stranger; posts the ban, and puts right what the kernel did by itself. Log-ins
//! that fail end in the same [`Daemon::offend`]. Under a flood it says less than it does.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Daemon;
use super::clock;
use super::scene::{Scene, Standing};
use crate::config::{Settings, value};
use crate::control::protocol::{self, Activity, Part};
use crate::feed::scan::detect::Bucket;
use crate::feed::scan::{Detector, Finding, Touch, packet};
use crate::firewall::nflog::{Heard, Nflog, Packet};
use crate::firewall::rules;
use crate::ledger::{Ladder, Ledger, Outcome, ReasonRef};
use crate::limiter;
use crate::model::{Event, Lifetime, Range, Reason, SetChange, SetId, Source};

/// Time until binding the group is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// Bans that are logged one by one: so many a second, and so many at once.
const LOGGED: Bucket = Bucket::new(2, 20);

/// Touches that are no bans and yet told to watchers.
const SHOWN: Bucket = Bucket::new(2, 20);

/// After so long the log says how many bans it left out.
const SUMMARY: Duration = Duration::from_secs(10);

/// So long after packets were lost the set is compared with the ledger.
const COMPARE: Duration = Duration::from_secs(5);

/// So long the kernel's bans of unconfirmed sources are collected before they are taken back together: in a
/// flood they are hundreds a second, and a real second packet comes later than that.
const COLLECT: Duration = Duration::from_millis(100);

/// So many senders within so long of whom a second packet is wanted are a flood; it is over when so long passes
/// without.
const FLOOD: u32 = 50;
const FLOOD_WITHIN: Duration = Duration::from_secs(10);

/// What a packet says, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Somebody touched a closed port; `true`: no firewall stands before us.
    Touch(Touch, bool),
    /// A banned host sent another packet.
    Again(IpAddr),
    /// Packets were lost.
    Lost,
    /// The socket failed and is closed.
    Failed,
}

enum Link {
    Off,
    On(Nflog),
    Broken(String, Instant),
}

/// The NFLOG socket and what is known of those who touched.
pub struct Eyes {
    link: Link,
    /// The group it is to be bound to.
    group: Option<u16>,
    detector: Detector,
    scene: Scene,
    flood: Flood,
    bans: Minutes,
    logged: Bucket,
    shown: Bucket,
    /// Bans that were not logged one by one, and when that is to be said.
    unlogged: u32,
    summary: Option<Instant>,
    /// How often packets were lost.
    lost: u32,
    /// When the set is to be compared with the ledger, since the kernel's bans for them were not judged.
    compare: Option<Instant>,
    /// Unconfirmed sources that the kernel may have banned, and when that is to be taken back.
    unconfirmed: Vec<IpAddr>,
    release: Option<Instant>,
    /// Packets without a port, or not of the rules' own doing.
    unread: u32,
}

impl Eyes {
    /// Nothing is opened before [`Eyes::configure`].
    pub fn new() -> Eyes {
        Eyes {
            link: Link::Off,
            group: None,
            detector: Detector::new(&crate::config::Scan::default()),
            scene: Scene::new(),
            flood: Flood::default(),
            bans: Minutes::default(),
            logged: LOGGED,
            shown: SHOWN,
            unlogged: 0,
            summary: None,
            lost: 0,
            compare: None,
            unconfirmed: Vec::new(),
            release: None,
            unread: 0,
        }
    }

    /// Binds, closes or changes the group as the settings say. Needs the runtime.
    pub fn configure(&mut self, settings: &Settings) {
        self.detector.configure(&settings.scan);
        if let Some(ports) = ephemeral_ports() {
            self.detector.set_ephemeral(ports);
        }
        self.scene.watch(settings.main.enabled && settings.scan.enabled);
        let wanted = settings.main.enabled && (settings.scan.enabled || settings.nats.refresh);
        let group = wanted.then_some(settings.scan.nflog_group);
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
                Heard::Packet(packet) => match read(&packet) {
                    Some(seen) => return Some(seen),
                    None => self.unread = self.unread.saturating_add(1),
                },
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

    /// When [`Eyes::on_time`] is due.
    pub fn due(&self) -> Option<Instant> {
        let retry = match &self.link {
            Link::Broken(_, at) => Some(*at),
            Link::Off | Link::On(_) => None,
        };
        [retry, self.summary, self.compare, self.release, self.scene.due()].into_iter().flatten().min()
    }

    /// Tries again what failed, and says what was left out. `true`: the scan set is to be compared with the
    /// ledger.
    pub fn on_time(&mut self) -> bool {
        let now = Instant::now();
        if matches!(&self.link, Link::Broken(_, at) if *at <= now) {
            self.open();
        }
        if self.summary.is_some_and(|at| at <= now) {
            self.summary = None;
            log::info!("scan: and {} more bans", std::mem::take(&mut self.unlogged));
        }
        self.compare.take_if(|at| *at <= now).is_some()
    }

    /// Logs a ban, or leaves it to the summary.
    fn log_ban(&mut self, text: &dyn Fn() -> String) {
        if self.logged.take(clock::now().0) {
            log::info!("scan: {}", text());
        } else {
            self.unlogged += 1;
            self.summary.get_or_insert_with(|| Instant::now() + SUMMARY);
        }
    }

    /// What is wrong, and what packets were lost, as sentences.
    pub fn troubles(&self) -> Vec<String> {
        let broken = match &self.link {
            Link::Broken(error, _) => Some(error.clone()),
            Link::Off | Link::On(_) => None,
        };
        let lost = (self.lost > 0)
            .then(|| format!("packets to closed ports came faster than they could be read, {} times", self.lost));
        let flood = self.flood.is_on(Instant::now()).then(|| {
            "a flood of packets to closed ports is on: whoever sends one alone is not banned, since most senders are \
             forged; who comes again is"
                .to_string()
        });
        broken.into_iter().chain(lost).chain(flood).collect()
    }

    /// Whether scans are seen; `None` while nobody wants to. `unruled`: the rules tell of none.
    pub fn part(&self, settings: &Settings, unruled: bool) -> Option<Part> {
        let part = match &self.link {
            _ if !settings.scan.enabled => return None,
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

    /// The part of `status`.
    pub fn view(&self, settings: &Settings) -> protocol::Scan {
        let (state, error) = match &self.link {
            _ if !settings.scan.enabled => ("off", None),
            Link::Off => ("off", None),
            Link::On(_) => ("on", None),
            Link::Broken(error, _) => ("error", Some(error.clone())),
        };
        let (suspects, forgotten) = (self.detector.suspects() as u64, self.detector.forgotten());
        let bans_hour = self.bans.sum(clock::boot_seconds()).into();
        protocol::Scan { state: state.into(), error, suspects, forgotten, bans_hour }
    }
}

/// What the packet says; `None` for one that is not of our rules' making, or has no port.
fn read(packet: &Packet<'_>) -> Option<Seen> {
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

impl Daemon {
    /// Takes in what was seen; the caller commits.
    pub(super) fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Touch(touch, bare) if self.settings.scan.enabled => self.touched(&touch, bare),
            Seen::Again(address) => self.came_again(address),
            Seen::Lost => {
                log::debug!("scan: packets to closed ports came faster than they could be read");
            }
            Seen::Touch(..) | Seen::Failed => {}
        }
    }

    fn touched(&mut self, touch: &Touch, bare: bool) {
        let now = clock::now();
        match self.ledger.outcome(now, touch.source) {
            Outcome::NotBanned => {}
            // Sent before its ban.
            Outcome::Blocked => return,
            Outcome::Allowed | Outcome::Protected | Outcome::NeverBanned(_) => {
                return self.take_back_kernel_ban(touch.source);
            }
        }
        if self.eyes.scene.was_called(touch) {
            return self.take_back_kernel_ban(touch.source);
        }
        let element = self.ledger.element(Source::SCAN, touch.source);
        let reason = Reason::Port { protocol: touch.protocol, port: touch.port };
        self.eyes.detector.set_flooded(self.eyes.flood.is_on(Instant::now()));
        match self.eyes.detector.touch(now, &Touch { source: element, ..*touch }) {
            Finding::Offence => self.offended(touch, bare, reason),
            Finding::Suspect => self.show(touch, &reason),
            Finding::Unconfirmed => self.wait_for_second(touch.source),
        }
    }

    /// A touch that is an offence, unless the sender is no stranger or the port no closed one.
    fn offended(&mut self, touch: &Touch, bare: bool, reason: Reason) {
        let Daemon { ledger, eyes, .. } = self;
        let now = clock::now();
        match eyes.scene.standing(touch, bare, &|address| is_inside(ledger, address)) {
            Standing::Stranger => {}
            Standing::Served => return self.take_back_kernel_ban(touch.source),
            Standing::Talking => {
                let element = ledger.element(Source::SCAN, touch.source);
                if !eyes.detector.talking(now, element) {
                    self.take_back_kernel_ban(touch.source);
                    return self.show(touch, &reason);
                }
            }
            Standing::Unknown => return self.wait_for_second(touch.source),
        }
        if !self.offend(touch.source, reason) {
            self.take_back_kernel_ban(touch.source);
        }
    }

    /// The kernel may have banned it already, and the second packet must be seen.
    fn wait_for_second(&mut self, address: IpAddr) {
        self.eyes.unconfirmed.push(address);
        self.eyes.release.get_or_insert_with(|| Instant::now() + COLLECT);
        self.eyes.flood.count(Instant::now());
    }

    /// Remembers of the connection table what it will have forgotten when it is asked for.
    pub(super) fn look_around(&mut self) {
        let Daemon { ledger, eyes, .. } = self;
        eyes.scene.on_time(&|address| is_inside(ledger, address));
    }

    /// Bans an address for something that the router itself saw, for as long as it has earned; the caller
    /// commits. `false`: it is exempt or never banned, or banned for such a thing already.
    pub(super) fn offend(&mut self, address: IpAddr, reason: Reason) -> bool {
        let Some(offence) = self.ledger.offence(clock::now(), address) else { return false };
        let tag = tag(&reason);
        let why = ReasonRef::from(&reason).to_string();
        let net = value::written(self.ledger.scan_net(address));
        self.apply(Event::Ban { source: Source::SCAN, net: address.into(), lifetime: offence.lifetime, reason });
        self.eyes.bans.count(clock::boot_seconds());
        self.eyes.log_ban(&|| format!("{net} banned {}: {why}", for_how_long(offence.lifetime)));
        if let Some(publisher) = self.feeds.publisher() {
            publisher.ban(Source::SCAN, address, self.ledger.element(Source::SCAN, address), &tag);
        }
        true
    }

    /// A banned host's packet: where the settings say so, its time starts again. No connection of it is
    /// left to be ended, and nobody is told.
    fn came_again(&mut self, address: IpAddr) {
        let Daemon { ledger, kernel, settings, keeper, .. } = self;
        for (source, refresh) in [(Source::SCAN, settings.scan.refresh), (Source::NATS, settings.nats.refresh)] {
            if refresh && ledger.restart(clock::now(), source, address, &mut |change| kernel.push(change)) {
                keeper.note_change();
            }
        }
    }

    /// At honeypot ports the kernel bans by itself, whomever it be.
    fn take_back_kernel_ban(&mut self, address: IpAddr) {
        let range = Range::single(self.ledger.element(Source::SCAN, address));
        self.kernel.push(SetChange::Delete { set: SetId::Ban(Source::SCAN), range });
    }

    /// Takes back what the kernel did to those who have not come again since; the caller commits.
    pub(super) fn release_unconfirmed(&mut self) {
        if self.eyes.release.take_if(|at| *at <= Instant::now()).is_none() {
            return;
        }
        let now = clock::now();
        for address in std::mem::take(&mut self.eyes.unconfirmed) {
            if self.ledger.outcome(now, address) != Outcome::Blocked {
                self.take_back_kernel_ban(address);
            }
        }
    }

    fn show(&mut self, touch: &Touch, reason: &Reason) {
        log::debug!("scan: {} touched port {}", touch.source, touch.port);
        if self.eyes.shown.take(clock::now().0) {
            let reason = Some(super::answers::reason_view(ReasonRef::from(reason)));
            let address = Some(touch.source.to_string());
            let source = Some(Source::SCAN.to_string());
            self.happened("scan", Activity { address, source, reason, ..Activity::default() });
        }
    }

    /// What there is to share.
    pub(super) fn sharing(&self) -> protocol::Sharing {
        let nats = &self.settings.nats;
        let publisher = self.feeds.publisher();
        protocol::Sharing {
            bans: publisher.is_some() && nats.share_bans,
            statistics: publisher.is_some() && nats.send_statistics,
            account: publisher.is_some().then(|| nats.client_name.clone()),
            queued: publisher.map_or(0, |publisher| publisher.queued() as u64),
        }
    }
}

/// Whether the address is the router's own, in its LAN, or of somebody it needs.
fn is_inside(ledger: &Ledger, address: IpAddr) -> bool {
    matches!(ledger.outcome(clock::now(), address), Outcome::Protected | Outcome::NeverBanned(_))
}

/// The ports that the system sends from, where it says.
fn ephemeral_ports() -> Option<std::ops::RangeInclusive<u16>> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut bounds = text.split_whitespace().filter_map(|bound| bound.parse().ok());
    Some(bounds.next()?..=bounds.next()?)
}

/// Senders of whom a second packet was wanted.
#[derive(Debug, Default)]
struct Flood {
    /// How many since when.
    count: u32,
    since: Option<Instant>,
    until: Option<Instant>,
}

impl Flood {
    fn count(&mut self, now: Instant) {
        if self.since.is_none_or(|since| now > since + FLOOD_WITHIN) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
        if self.count >= FLOOD {
            if !self.is_on(now) {
                limiter::warn(("scan", "flood"), || "scan: a flood of packets to closed ports is on".into());
            }
            self.until = Some(now + FLOOD_WITHIN);
        }
    }

    fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// The lengths of growing bans that the settings ask for.
pub fn ladder(settings: &Settings) -> Ladder {
    let seconds = |length: &Duration| u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
    Ladder {
        steps: settings.scan.ban_times.iter().map(seconds).collect(),
        forget_after: seconds(&settings.scan.forget_after),
    }
}

/// The element's whole network, where one element stands for a /64.
pub fn widened(change: SetChange, settings: &Settings) -> SetChange {
    match change {
        SetChange::Renew { set: set @ SetId::Ban(source), range: Range { first: IpAddr::V6(first), .. }, lifetime }
            if source.is_own() && settings.scan.ipv6_prefix == 64 =>
        {
            let last = (first.to_bits() | u128::from(u64::MAX)).into();
            SetChange::Renew { set, range: Range { first: first.into(), last: IpAddr::V6(last) }, lifetime }
        }
        other => other,
    }
}

/// What DisWall is told of a ban: the service whose log-ins failed, or `scan`.
fn tag(reason: &Reason) -> String {
    match reason {
        Reason::Login(service) => service.to_string(),
        _ => "scan".into(),
    }
}

fn for_how_long(lifetime: Lifetime) -> String {
    match lifetime {
        Lifetime::Forever => "until taken back".into(),
        Lifetime::Seconds(seconds) => format!("for {}", crate::cli::duration_text(seconds.into())),
    }
}

/// How many of something came in the last 60 minutes, to the minute.
#[derive(Debug)]
struct Minutes {
    counts: [u32; 60],
    /// The minute that was counted last.
    minute: u64,
}

impl Default for Minutes {
    fn default() -> Minutes {
        Minutes { counts: [0; 60], minute: 0 }
    }
}

impl Minutes {
    /// One more. `now` in seconds of a clock that never goes back.
    fn count(&mut self, now: u64) {
        self.turn_to(now / 60);
        if let Some(count) = self.counts.get_mut((self.minute % 60) as usize) {
            *count = count.saturating_add(1);
        }
    }

    fn turn_to(&mut self, minute: u64) {
        for passed in (self.minute + 1..=minute).rev().take(60) {
            if let Some(count) = self.counts.get_mut((passed % 60) as usize) {
                *count = 0;
            }
        }
        self.minute = self.minute.max(minute);
    }

    fn sum(&self, now: u64) -> u32 {
        let passed = (now / 60).saturating_sub(self.minute).min(60);
        let kept = (0..60 - passed).filter_map(|back| {
            let minute = self.minute.checked_sub(back)?;
            self.counts.get((minute % 60) as usize)
        });
        kept.fold(0, |sum, count| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_sixty_minutes() {
        let mut minutes = Minutes::default();
        for minute in 100..200 {
            minutes.count(minute * 60);
            minutes.count(minute * 60 + 59);
        }
        let at = |minute: u64| minutes.sum(minute * 60);
        assert_eq!([at(199), at(200), at(229), at(258), at(259), at(100_000)], [120, 118, 60, 2, 0, 0]);
        minutes.count(1_000_000);
        assert_eq!(minutes.sum(1_000_000), 1);
    }
}
