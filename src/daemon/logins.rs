//! Failed log-ins: follows the logs that the settings name, counts failures, and has those banned who fail
//! too often.
//!
//! A ban ends in the same [`Daemon::offend`] as a scan's. A follower that is down is tried again and is a
//! problem in `status` until it is back.

use std::net::IpAddr;

use tokio::time::Instant;

use super::Daemon;
use super::clock;
use super::proof::{Place, Prover};
use crate::config::{LogSource, Logwatch, Settings};
use crate::control::protocol::{Activity, Part};
use crate::feed::login::attempts::{self, Limit};
use crate::feed::login::judge::Verdict;
use crate::feed::login::{Attempts, Follower, Judge, Line, known};
use crate::feed::scan::detect::Bucket;
use crate::ledger::{Outcome, ReasonRef};
use crate::model::{Reason, Source};

/// Failures told to watchers: so many a second, and so many at once.
const SHOWN: Bucket = Bucket::new(2, 20);

/// Bans for failed log-ins: so many a second, and so many at once. Who is passed over fails again.
const BANS: Bucket = Bucket::new(20, 100);

/// One service, or one `config logwatch`.
struct Watch {
    name: Box<str>,
    limit: Limit,
    place: Place,
    /// It was said that lines of this watch have names in the place of addresses.
    named: bool,
}

/// A log, and who reads it.
struct Log {
    follower: Follower,
    judge: Judge,
}

/// Failures: whose, and at which watch.
#[derive(Clone, Copy)]
struct Failure {
    address: IpAddr,
    watch: u16,
    /// The client's port, where the line tells.
    port: Option<u16>,
    /// `None`: one that was counted is taken back.
    tries: Option<u32>,
}

/// The followed logs and what is known of those who failed.
pub struct Logins {
    logs: Vec<Log>,
    watches: Vec<Watch>,
    attempts: Attempts,
    prover: Prover,
    shown: Bucket,
    bans: Bucket,
}

impl Logins {
    /// Nothing is followed before [`Logins::configure`].
    pub fn new() -> Logins {
        Logins {
            logs: Vec::new(),
            watches: Vec::new(),
            attempts: Attempts::new(attempts::room()),
            prover: Prover::default(),
            shown: SHOWN,
            bans: BANS,
        }
    }

    /// Follows what the settings ask for, and goes on with what is followed already. Needs the runtime.
    pub fn configure(&mut self, old: Option<&Settings>, settings: &Settings) {
        let parts = |settings: &Settings| (settings.main.enabled, settings.login.clone(), settings.logwatch.clone());
        if old.is_some_and(|old| parts(old) == parts(settings)) {
            return;
        }
        self.attempts.clear();
        self.prover.configure(settings.login.proof);
        let (watches, judges) = if settings.main.enabled { watches(settings) } else { Default::default() };
        self.watches = watches;
        let mut before = std::mem::take(&mut self.logs);
        for (source, judge) in judges {
            let at = before.iter().position(|log| *log.follower.source() == source);
            let follower = match at {
                Some(at) => before.swap_remove(at).follower,
                None => Follower::start(source),
            };
            self.logs.push(Log { follower, judge });
        }
    }

    /// Waits until a log has grown; its number, for [`Daemon::read_log`].
    pub async fn grown(&self) -> usize {
        std::future::poll_fn(|context| {
            let ready = self.logs.iter().position(|log| log.follower.poll_ready(context).is_ready());
            ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }

    /// When [`Logins::on_time`] is due.
    pub fn due(&self) -> Option<Instant> {
        self.logs.iter().filter_map(|log| log.follower.due()).min()
    }

    /// Tries again what failed.
    pub fn on_time(&mut self) {
        for log in &mut self.logs {
            log.follower.on_time();
        }
    }

    /// Whether failed log-ins are noticed; `None` while nothing is to be followed.
    pub fn part(&self) -> Option<Part> {
        if self.logs.is_empty() {
            return None;
        }
        let absent = self.logs.iter().find_map(|log| log.follower.absent());
        let remedy = || self.logs.iter().find(|log| log.follower.trouble().is_some()).map(|log| log.follower.remedy());
        Some(match (self.troubles().next(), absent) {
            (None, Some(path)) => Part::waiting("login", format!("there is no file {} yet", path.display()))
                .losing("nobody is banned for failed log-ins that stand there"),
            (None, None) if self.prover.trouble().is_some() => {
                Part::broken("login", self.prover.trouble().unwrap_or_default())
                    .losing("nobody is banned for failed log-ins")
                    .remedied("a kernel with nf_conntrack_netlink; or `option proof 'never'`, see the manual")
            }
            (Some(why), _) => Part::broken("login", why)
                .losing("nobody is banned for failed log-ins that stand there")
                .remedied(remedy().unwrap_or_default()),
            (None, None) => Part::in_force("login"),
        })
    }

    /// What is wrong, as sentences.
    pub fn troubles(&self) -> impl Iterator<Item = &str> {
        self.logs.iter().filter_map(|log| log.follower.trouble())
    }

    /// How many who had failed had to be forgotten for want of room.
    pub fn forgotten(&self) -> u64 {
        self.attempts.forgotten()
    }

    /// The failures in the next piece of a log.
    fn read(&mut self, index: usize) -> Vec<Failure> {
        let Logins { logs, watches, .. } = self;
        let mut failures = Vec::new();
        let Some(Log { follower, judge }) = logs.get_mut(index) else { return failures };
        follower.read(&mut |text| {
            Line::read(text, &mut |line| take(judge, line, watches, &mut failures));
        });
        failures
    }
}

/// Takes a line's failures out.
fn take(judge: &mut Judge, line: &Line<'_>, watches: &mut [Watch], failures: &mut Vec<Failure>) {
    if line.program == Some(b"diswall") {
        return;
    }
    let mut judged = false;
    judge.judge(line, &mut |watch, verdict| {
        judged = true;
        match verdict {
            Verdict::Counts { address, port, tries } => {
                failures.push(Failure { address, watch, port, tries: Some(tries) });
            }
            Verdict::TakenBack(address) => failures.push(Failure { address, watch, port: None, tries: None }),
            _ => {}
        }
    });
    if !judged {
        say_named(judge, line, watches);
    }
}

/// Says once for each watch that names stand in the place of addresses.
fn say_named(judge: &Judge, line: &Line<'_>, watches: &mut [Watch]) {
    if watches.iter().all(|watch| watch.named) {
        return;
    }
    let watch = judge.named(line).and_then(|watch| watches.get_mut(usize::from(watch)));
    if let Some(watch) = watch.filter(|watch| !watch.named) {
        watch.named = true;
        log::warn!(
            "login: lines about {} have host names in the place of addresses and are not counted; \
             have the server log addresses (for sshd: UseDNS no)",
            watch.name
        );
    }
}

/// Every watch, and for each log its judge.
fn watches(settings: &Settings) -> (Vec<Watch>, Vec<(LogSource, Judge)>) {
    let (mut watches, mut judges) = (Vec::new(), Vec::new());
    each_watch(settings, &mut |watch| {
        let number = number(&watches);
        watch.add_to(judge_of(&mut judges, watch.source), number);
        watches.push(Watch { name: watch.name.into(), limit: watch.limit, place: watch.place(), named: false });
    });
    (watches, judges)
}

/// A watch as the settings have it.
pub(crate) struct Wanted<'s> {
    /// What a ban's reason says.
    pub name: &'s str,
    /// Where to look.
    pub source: &'s LogSource,
    limit: Limit,
    service: Option<&'s str>,
    own: Option<&'s Logwatch>,
}

impl Wanted<'_> {
    /// Has a judge look for it, under this number.
    pub fn add_to(&self, judge: &mut Judge, number: u16) {
        if let Some(service) = self.service.and_then(known::service) {
            judge.add_service(number, &service);
        }
        if let Some(own) = self.own {
            judge.add_own(number, &own.programs, &own.patterns);
        }
    }
}

impl Wanted<'_> {
    fn place(&self) -> Place {
        let service = self.service.and_then(known::service);
        let ports = |tcp| service.as_ref().map(|service| service.ports(tcp)).unwrap_or_default();
        Place::new([ports(true), ports(false)], self.source)
    }
}

/// Every watch of the settings, built-in services first.
pub(crate) fn each_watch<'s>(settings: &'s Settings, each: &mut dyn FnMut(Wanted<'s>)) {
    let login = &settings.login;
    for name in login.services.iter().filter(|_| login.enabled) {
        each(Wanted { name, source: &login.source, limit: login.limit, service: Some(name), own: None });
    }
    for own in &settings.logwatch {
        let service = own.preset.as_deref();
        each(Wanted { name: &own.name, source: &own.source, limit: own.limit, service, own: Some(own) });
    }
}

/// Every entry of a configuration, whose size is bounded, has its number.
fn number(watches: &[Watch]) -> u16 {
    u16::try_from(watches.len()).unwrap_or(u16::MAX)
}

fn judge_of<'a>(judges: &'a mut Vec<(LogSource, Judge)>, source: &LogSource) -> &'a mut Judge {
    let at = judges.iter().position(|(known, _)| known == source).unwrap_or_else(|| {
        judges.push((source.clone(), Judge::new(matches!(source, LogSource::File(_)))));
        judges.len() - 1
    });
    &mut judges[at].1
}

impl Daemon {
    /// Reads a log that has grown; the caller commits.
    pub(super) fn read_log(&mut self, index: usize) {
        for failure in self.logins.read(index) {
            self.failed_login(failure);
        }
    }

    fn failed_login(&mut self, failure: Failure) {
        let Failure { address, watch: number, port, tries } = failure;
        let now = clock::now();
        if self.ledger.outcome(now, address) != Outcome::NotBanned {
            return;
        }
        let element = self.ledger.element(Source::SCAN, address);
        let Some(tries) = tries else {
            return self.logins.attempts.take_back(element, number);
        };
        let Some(watch) = self.logins.watches.get_mut(usize::from(number)) else { return };
        if !self.logins.prover.is_proven(clock::boot_seconds(), address, port, &mut watch.place) {
            return;
        }
        let reason = Reason::Login(watch.name.clone());
        let too_many = self.logins.attempts.fail(now, element, number, tries, watch.limit);
        log::debug!("login: {address} failed at {}", watch.name);
        if self.logins.shown.take(now.0) {
            let reason = Some(super::answers::reason_view(ReasonRef::from(&reason)));
            let (address, source) = (Some(address.to_string()), Some(Source::SCAN.to_string()));
            self.happened("login", Activity { address, source, reason, ..Activity::default() });
        }
        if too_many && self.logins.bans.take(now.0) {
            self.offend(address, reason);
        }
    }
}
