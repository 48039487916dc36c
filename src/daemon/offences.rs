//! The one way that an offence takes: from what the router itself saw to a ban that is in force, told and shared.
//!
//! The feeds of scans and of failed log-ins ask here who somebody is ([`Facts`]) and post what they hold against
//! whom; the ledger says whether he may be banned and how long he has earned (`ledger`'s ladder). At honeypot ports
//! the kernel bans by itself: what it did too quickly is taken back here. Under a flood it says less than it does.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::answers::reason_view;
use super::clock;
use super::packets::Seen;
use super::proof::Prover;
use super::scene::Scene;
use super::{Daemon, Own};
use crate::bucket::Bucket;
use crate::config::Settings;
use crate::control::protocol::{self, Activity};
use crate::duration;
use crate::feed::login::Place;
use crate::feed::offence::{Facts, Known, Offence, Post, Sender};
use crate::feed::scan::Touch;
use crate::firewall::TableEvent;
use crate::ledger::{Ladder, Ledger, Outcome, ReasonRef};
use crate::model::{Event, Range, Reason, SetChange, SetId, Source};
use crate::options::value;

/// Bans that are logged one by one: so many a second, and so many at once.
const LOGGED: Bucket = Bucket::new(2, 20);

/// After so long the log says how many bans it left out.
const SUMMARY: Duration = Duration::from_secs(10);

/// So long the kernel's bans of senders whose next packet is awaited are collected before they are taken back
/// together: in a flood they are hundreds a second, and a real second packet comes later than that.
const COLLECT: Duration = Duration::from_millis(100);

/// What is asked of the kernel before somebody is accused, and what is to follow.
pub struct Offences {
    scene: Scene,
    prover: Prover,
    bans: Minutes,
    logged: Bucket,
    /// Bans that were not logged one by one, and when that is to be said.
    unlogged: u32,
    summary: Option<Instant>,
    /// Senders whose next packet is awaited, whom the kernel may have banned, and when that is to be taken back.
    awaited: Vec<IpAddr>,
    release: Option<Instant>,
}

impl Offences {
    /// Nothing is asked before [`Offences::configure`].
    pub fn new() -> Offences {
        Offences {
            scene: Scene::new(),
            prover: Prover::default(),
            bans: Minutes::default(),
            logged: LOGGED,
            unlogged: 0,
            summary: None,
            awaited: Vec::new(),
            release: None,
        }
    }

    /// Goes by these settings from now on.
    pub fn configure(&mut self, settings: &Settings) {
        self.scene.watch(settings.main.enabled && settings.feeds.scan.enabled);
        self.prover.configure(settings.feeds.login.proof);
    }

    /// Whoever comes to a port that was open before rules changed is no scanner.
    pub fn note_table(&mut self, event: &TableEvent) {
        if !matches!(event, TableEvent::Elements { .. }) {
            self.scene.note_rules();
        }
    }

    /// When [`Daemon::follow_offences`] is due.
    pub fn due(&self) -> Option<Instant> {
        [self.summary, self.release, self.scene.due()].into_iter().flatten().min()
    }

    /// Why it cannot be proven that those were there whom logs accuse.
    pub fn unproven(&self) -> Option<&str> {
        self.prover.trouble()
    }

    /// Bans in the last hour.
    fn bans_hour(&self) -> u32 {
        self.bans.sum(clock::boot_seconds())
    }

    /// Counts a ban and logs it, or leaves it to the summary.
    fn note_ban(&mut self, text: impl FnOnce() -> String) {
        self.bans.count(clock::boot_seconds());
        if self.logged.take(clock::now().0) {
            log::info!("scan: {}", text());
        } else {
            self.unlogged += 1;
            self.summary.get_or_insert_with(|| Instant::now() + SUMMARY);
        }
    }
}

/// Who somebody is, by ledger and kernel.
struct Witnesses<'a> {
    ledger: &'a Ledger,
    scene: &'a mut Scene,
    prover: &'a mut Prover,
}

impl Facts for Witnesses<'_> {
    fn known(&self, address: IpAddr) -> Known {
        let now = clock::now();
        match self.ledger.outcome(now, address) {
            Outcome::NotBanned => Known::Nothing,
            // What is blocked of some ports alone comes to all others.
            Outcome::Blocked if !self.ledger.is_blocked_wholly(now, address) => Known::Nothing,
            Outcome::Blocked => Known::Banned,
            Outcome::Allowed | Outcome::Protected | Outcome::NeverBanned(_) => Known::Exempt,
        }
    }

    fn element(&self, address: IpAddr) -> IpAddr {
        self.ledger.element(Source::SCAN, address)
    }

    fn was_called(&self, touch: &Touch) -> bool {
        self.scene.was_called(touch)
    }

    fn sender(&mut self, touch: &Touch, bare: bool) -> Sender {
        let ledger = self.ledger;
        self.scene.sender(touch, bare, &|address| is_inside(ledger, address))
    }

    fn was_there(&mut self, address: IpAddr, port: Option<u16>, place: &mut Place) -> bool {
        self.prover.is_proven(clock::boot_seconds(), address, port, place)
    }
}

impl Daemon {
    /// Takes in what was seen; the caller commits.
    pub(super) fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Touch(touch, bare) if self.settings.feeds.scan.enabled => {
                let Daemon { own: Own { scans, offences: Offences { scene, prover, .. }, .. }, ledger, .. } = self;
                let (mut facts, mut posts) = (Witnesses { ledger, scene, prover }, Vec::new());
                scans.touched(clock::now(), &touch, bare, &mut facts, &mut |post| posts.push(post));
                posts.into_iter().for_each(|post| self.take_post(post));
            }
            Seen::Again(address) => self.came_again(address),
            Seen::Dropped(dropped) => self.note_dropped(&dropped),
            Seen::Lost => log::debug!("scan: packets to closed ports came faster than they could be read"),
            Seen::Touch(..) | Seen::Failed => {}
        }
    }

    /// Reads a log that has grown; the caller commits.
    pub(super) fn read_log(&mut self, index: usize) {
        for failed in self.own.logins.read(index) {
            let Daemon { own: Own { logins, offences: Offences { scene, prover, .. }, .. }, ledger, .. } = self;
            let (mut facts, mut posts) = (Witnesses { ledger, scene, prover }, Vec::new());
            logins.failed(clock::now(), failed, &mut facts, &mut |post| posts.push(post));
            posts.into_iter().for_each(|post| self.take_post(post));
        }
    }

    fn take_post(&mut self, post: Post) {
        match post {
            Post::Offence(offence) => {
                let address = offence.address;
                if !self.offend(offence) {
                    self.take_back_kernel_ban(address);
                }
            }
            Post::Sighting(Offence { address, reason, .. }) => {
                let kind = if matches!(reason, Reason::Login(_)) { "login" } else { "scan" };
                let reason = Some(reason_view(ReasonRef::from(&reason)));
                let (address, source) = (Some(address.to_string()), Some(Source::SCAN.to_string()));
                self.happened(kind, Activity { address, source, reason, ..Activity::default() });
            }
            Post::Cleared(address) => self.take_back_kernel_ban(address),
            Post::Awaited(address) => {
                self.own.offences.awaited.push(address);
                self.own.offences.release.get_or_insert_with(|| Instant::now() + COLLECT);
            }
        }
    }

    /// Bans for as long as has been earned. `false`: he is exempt or never banned, or banned for such a thing
    /// already, or there is no room.
    fn offend(&mut self, offence: Offence) -> bool {
        let Offence { address, reason, at } = offence;
        let Some(earned) = self.ledger.offence(at, address) else { return false };
        let shared = super::sharing::tag(&reason);
        let why = ReasonRef::from(&reason).to_string();
        let net = value::written(self.ledger.scan_net(address));
        self.apply(Event::Ban { source: Source::SCAN, net: address.into(), lifetime: earned.lifetime, reason });
        self.own.offences.note_ban(|| format!("{net} banned {}: {why}", duration::holds(earned.lifetime.seconds())));
        self.share(address, &shared);
        self.own.reporter.note(address, &shared);
        true
    }

    /// A banned host's packet: where the settings say so, its time starts again. No connection of it is
    /// left to be ended, and nobody is told.
    fn came_again(&mut self, address: IpAddr) {
        let Daemon { ledger, kernel, settings, keeper, .. } = self;
        for source in settings.sources().into_iter().filter(|source| settings.refreshes(*source)) {
            if ledger.restart(clock::now(), source, address, &mut |change| kernel.push(change)) {
                keeper.note_change();
            }
        }
    }

    /// At honeypot ports the kernel bans by itself, whomever it be.
    fn take_back_kernel_ban(&mut self, address: IpAddr) {
        let range = Range::single(self.ledger.element(Source::SCAN, address));
        self.kernel.push(SetChange::Delete { set: SetId::Ban(Source::SCAN), range });
    }

    /// Does what is due: takes back what the kernel did to those who have not come again since, and remembers of
    /// the connection table what it will have forgotten when it is asked for. The caller commits.
    pub(super) fn follow_offences(&mut self) {
        let now = Instant::now();
        if self.own.offences.summary.take_if(|at| *at <= now).is_some() {
            log::info!("scan: and {} more bans", std::mem::take(&mut self.own.offences.unlogged));
        }
        if self.own.offences.release.take_if(|at| *at <= now).is_some() {
            for address in std::mem::take(&mut self.own.offences.awaited) {
                if !self.ledger.is_blocked_wholly(clock::now(), address) {
                    self.take_back_kernel_ban(address);
                }
            }
        }
        let Daemon { ledger, own, .. } = self;
        own.offences.scene.on_time(&|address| is_inside(ledger, address));
    }

    /// The part of `status`.
    pub(super) fn scan_view(&self) -> protocol::Scan {
        protocol::Scan {
            state: self.own.packets.state(&self.settings).into(),
            error: self.own.packets.error().filter(|_| self.settings.feeds.scan.enabled).map(Into::into),
            suspects: self.own.scans.suspects() as u64,
            forgotten: self.own.scans.forgotten(),
            bans_hour: self.own.offences.bans_hour().into(),
        }
    }
}

/// Whether the address is the router's own, in its LAN, or of somebody it needs.
fn is_inside(ledger: &Ledger, address: IpAddr) -> bool {
    matches!(ledger.outcome(clock::now(), address), Outcome::Protected | Outcome::NeverBanned(_))
}

/// The lengths of growing bans that the settings ask for.
pub fn ladder(settings: &Settings) -> Ladder {
    let seconds = |length: &Duration| u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
    Ladder {
        steps: settings.feeds.scan.ban_times.iter().map(seconds).collect(),
        forget_after: seconds(&settings.feeds.scan.forget_after),
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
