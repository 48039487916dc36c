//! Failed log-ins: follows the logs that the settings name, counts failures, and has those banned who fail
//! too often.
//!
//! A ban ends in the same [`Daemon::offend`] as a scan's. A follower that is down is tried again and is a
//! problem in `status` until it is back.

use std::net::IpAddr;

use tokio::time::Instant;

use super::Daemon;
use super::clock;
use crate::config::{LogSource, Settings};
use crate::control::protocol::{Activity, Part};
use crate::feed::login::attempts::Limit;
use crate::feed::login::dropbear::Strangers;
use crate::feed::login::{Attempts, Follower, Line, Pattern, known};
use crate::feed::scan::detect::Bucket;
use crate::feed::{Reason, Source};
use crate::ledger::{Outcome, ReasonRef};

/// Failures told to watchers: so many a second, and so many at once.
const SHOWN: Bucket = Bucket::new(2, 20);

/// One service, or one `config logwatch`.
struct Watch {
    name: Box<str>,
    source: LogSource,
    limit: Limit,
    /// Programs with their patterns; no name: every program.
    programs: Vec<(Option<Box<str>>, Vec<Pattern>)>,
    /// For dropbear.
    strangers: Option<Strangers>,
}

impl Watch {
    /// The addresses that failed by this line, each as often as it did.
    fn failed(&mut self, line: &Line<'_>) -> impl Iterator<Item = IpAddr> + use<> {
        let stranger = self.strangers.as_mut().and_then(|strangers| strangers.take(line));
        let (address, count) = stranger.or_else(|| self.address(line).map(|address| (address, 1))).unzip();
        address.into_iter().flat_map(move |address| std::iter::repeat_n(address, count.unwrap_or(0)))
    }

    fn address(&self, line: &Line<'_>) -> Option<IpAddr> {
        // A line without a head stands in some program's own log: whose, nobody says.
        let of = |program: &Option<Box<str>>| {
            line.program.is_none() || program.as_ref().is_none_or(|program| line.is_of(program))
        };
        let programs = self.programs.iter().filter(|(program, _)| of(program));
        programs.flat_map(|(_, patterns)| patterns).find_map(|pattern| pattern.address(line.message))
    }
}

/// A failure: whose, and at which watch.
type Failure = (IpAddr, u16);

/// The followed logs and what is known of those who failed.
pub struct Logins {
    followers: Vec<Follower>,
    watches: Vec<Watch>,
    attempts: Attempts,
    shown: Bucket,
}

impl Logins {
    /// Nothing is followed before [`Logins::configure`].
    pub fn new() -> Logins {
        Logins { followers: Vec::new(), watches: Vec::new(), attempts: Attempts::default(), shown: SHOWN }
    }

    /// Follows what the settings ask for, and goes on with what is followed already. Needs the runtime.
    pub fn configure(&mut self, old: Option<&Settings>, settings: &Settings) {
        let parts = |settings: &Settings| (settings.main.enabled, settings.login.clone(), settings.logwatch.clone());
        if old.is_some_and(|old| parts(old) == parts(settings)) {
            return;
        }
        self.watches = if settings.main.enabled { watches(settings) } else { Vec::new() };
        self.attempts.clear();
        let sources: Vec<&LogSource> = self.watches.iter().map(|watch| &watch.source).collect();
        self.followers.retain(|follower| sources.contains(&follower.source()));
        for source in sources {
            if !self.followers.iter().any(|follower| follower.source() == source) {
                self.followers.push(Follower::start(source.clone()));
            }
        }
    }

    /// Waits until a log has grown; its number, for [`Daemon::read_log`].
    pub async fn grown(&self) -> usize {
        std::future::poll_fn(|context| {
            let ready = self.followers.iter().position(|follower| follower.poll_ready(context).is_ready());
            ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }

    /// When [`Logins::on_time`] is due.
    pub fn due(&self) -> Option<Instant> {
        self.followers.iter().filter_map(Follower::due).min()
    }

    /// Tries again what failed.
    pub fn on_time(&mut self) {
        for follower in &mut self.followers {
            follower.on_time();
        }
    }

    /// Whether failed log-ins are noticed; `None` while nothing is to be followed.
    pub fn part(&self) -> Option<Part> {
        if self.followers.is_empty() {
            return None;
        }
        let absent = self.followers.iter().find_map(Follower::absent);
        Some(match (self.troubles().next(), absent) {
            (None, None) => Part::in_force("login"),
            (None, Some(path)) => Part::waiting("login", format!("there is no file {} yet", path.display()))
                .losing("nobody is banned for failed log-ins that stand there"),
            (Some(why), _) => Part::broken("login", why)
                .losing("nobody is banned for failed log-ins that stand there")
                .remedied("see `option source`; another try is made by itself"),
        })
    }

    /// What is wrong, as sentences.
    pub fn troubles(&self) -> impl Iterator<Item = &str> {
        self.followers.iter().filter_map(Follower::trouble)
    }

    /// The failures in the next piece of a log.
    fn read(&mut self, index: usize) -> Vec<Failure> {
        let Logins { followers, watches, .. } = self;
        let mut failures = Vec::new();
        let Some(follower) = followers.get_mut(index) else { return failures };
        let source = follower.source().clone();
        follower.read(&mut |text| {
            let line = Line::parse(text);
            if line.program == Some(b"diswall") {
                return;
            }
            for (number, watch) in (0..).zip(&mut *watches).filter(|(_, watch)| watch.source == source) {
                failures.extend(watch.failed(&line).map(|address| (address, number)));
            }
        });
        failures
    }
}

/// Built-in services first.
fn watches(settings: &Settings) -> Vec<Watch> {
    let login = &settings.login;
    let services = login.services.iter().filter(|_| login.enabled).filter_map(|name| known::service(name));
    let known = services.map(|service| Watch {
        name: service.name.into(),
        source: login.source.clone(),
        limit: login.limit,
        strangers: service.programs.iter().any(|(program, _)| *program == "dropbear").then(Strangers::new),
        programs: service
            .programs
            .iter()
            .map(|(program, patterns)| (Some((*program).into()), compiled(patterns)))
            .collect(),
    });
    let own = settings.logwatch.iter().map(|watch| Watch {
        name: watch.name.as_str().into(),
        source: watch.source.clone(),
        limit: watch.limit,
        strangers: None,
        programs: match watch.programs.is_empty() {
            true => vec![(None, watch.patterns.clone())],
            false => watch.programs.iter().map(|name| (Some(name.as_str().into()), watch.patterns.clone())).collect(),
        },
    });
    known.chain(own).collect()
}

/// Built-in patterns compile: `known`'s tests see to that.
fn compiled(patterns: &[&str]) -> Vec<Pattern> {
    patterns.iter().filter_map(|text| Pattern::new(text).ok()).collect()
}

impl Daemon {
    /// Reads a log that has grown; the caller commits.
    pub(super) fn read_log(&mut self, index: usize) {
        for (address, number) in self.logins.read(index) {
            self.failed_login(address, number);
        }
    }

    fn failed_login(&mut self, address: IpAddr, number: u16) {
        let now = clock::now();
        if self.ledger.outcome(now, address) != Outcome::NotBanned {
            return;
        }
        let element = self.ledger.element(Source::Scan, address);
        let Some(watch) = self.logins.watches.get(usize::from(number)) else { return };
        let reason = Reason::Login(watch.name.clone());
        let too_many = self.logins.attempts.fail(now, element, number, watch.limit);
        log::debug!("login: {address} failed at {}", watch.name);
        if self.logins.shown.take(now.0) {
            let reason = Some(super::answers::reason_view(ReasonRef::from(&reason)));
            let (address, source) = (Some(address.to_string()), Some(Source::Scan.to_string()));
            self.happened("login", Activity { address, source, reason, ..Activity::default() });
        }
        if too_many {
            self.offend(address, reason);
        }
    }
}
