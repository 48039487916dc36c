//! The feed of failed log-ins: follows the logs that the settings name, counts failures, and posts who fails too
//! often.
//!
//! A line is a hint: it counts when the daemon says that its address was there ([`Facts`]). A follower that is down
//! is tried again. The daemon's `offences` has each log read that has grown and takes what is posted.

use std::net::IpAddr;

use tokio::time::Instant;

use super::attempts::{self, Limit};
use super::judge::Verdict;
use super::settings::{LogSource, Logwatch};
use super::{Attempts, Follower, Judge, Line, known};
use crate::bucket::Bucket;
use crate::feed::offence::{Facts, Known, Offence, Post};
use crate::feed::settings::Settings;
use crate::ledger::Moment;
use crate::model::Reason;

/// Failures that are told: so many a second, and so many at once.
const SHOWN: Bucket = Bucket::new(2, 20);

/// Offences: so many a second, and so many at once. Who is passed over fails again.
const OFFENCES: Bucket = Bucket::new(20, 100);

/// Where a watch's service is spoken to.
#[derive(Debug, Default)]
pub struct Place {
    /// TCP's ports and UDP's; none of either: nobody knows.
    pub ports: [Vec<u16>; 2],
    /// The log is a file that the owner named.
    pub file: bool,
    /// Whether the service waits at one of those ports here, and until when to believe it, in seconds since the
    /// machine's start; for whoever looks.
    pub served: Option<(bool, u64)>,
}

/// One service, or one `config logwatch`.
struct Watched {
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

/// Failures in a log: whose, and at which watch.
#[derive(Clone, Copy)]
pub struct Failed {
    address: IpAddr,
    watch: u16,
    /// The client's port, where the line tells.
    port: Option<u16>,
    /// `None`: one that was counted is taken back.
    tries: Option<u32>,
}

/// The followed logs and what is known of those who failed.
pub struct Logins {
    /// What they go by; `None`: nothing runs.
    wanted: Option<(super::Settings, Vec<Logwatch>)>,
    logs: Vec<Log>,
    watches: Vec<Watched>,
    attempts: Attempts,
    shown: Bucket,
    offences: Bucket,
}

impl Default for Logins {
    /// Nothing is followed before [`Logins::configure`].
    fn default() -> Logins {
        Logins {
            wanted: None,
            logs: Vec::new(),
            watches: Vec::new(),
            attempts: Attempts::new(attempts::room()),
            shown: SHOWN,
            offences: OFFENCES,
        }
    }
}

impl Logins {
    /// Follows what the settings ask for, and goes on with what is followed already. Needs the runtime.
    /// `settings`: `None` while nothing is to run.
    pub fn configure(&mut self, settings: Option<&Settings>) {
        let wanted = settings.map(|settings| (settings.login.clone(), settings.logwatch.clone()));
        if self.wanted == wanted {
            return;
        }
        self.wanted = wanted;
        self.attempts.clear();
        let (watches, judges) = settings.map(watches).unwrap_or_default();
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

    /// Waits until a log has grown; its number, for [`Logins::read`].
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

    /// Whether any log is to be followed.
    pub fn is_on(&self) -> bool {
        !self.logs.is_empty()
    }

    /// A log that is not there yet.
    pub fn absent(&self) -> Option<&std::path::Path> {
        self.logs.iter().find_map(|log| log.follower.absent())
    }

    /// What helps against the first of [`Logins::troubles`].
    pub fn remedy(&self) -> Option<&'static str> {
        self.logs.iter().find(|log| log.follower.trouble().is_some()).map(|log| log.follower.remedy())
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
    pub fn read(&mut self, index: usize) -> Vec<Failed> {
        let Logins { logs, watches, .. } = self;
        let mut failures = Vec::new();
        let Some(Log { follower, judge }) = logs.get_mut(index) else { return failures };
        follower.read(&mut |text| {
            Line::read(text, &mut |line| take(judge, line, watches, &mut failures));
        });
        failures
    }

    /// Counts failures that a log tells of.
    pub fn failed(&mut self, now: Moment, failed: Failed, facts: &mut dyn Facts, post: &mut dyn FnMut(Post)) {
        let Failed { address, watch: number, port, tries } = failed;
        if facts.known(address) != Known::Nothing {
            return;
        }
        let element = facts.element(address);
        let Some(tries) = tries else {
            return self.attempts.take_back(element, number);
        };
        let Some(watch) = self.watches.get_mut(usize::from(number)) else { return };
        if !facts.was_there(address, port, &mut watch.place) {
            return;
        }
        let offence = Offence { address, reason: Reason::Login(watch.name.clone()), at: now };
        let too_many = self.attempts.fail(now, element, number, tries, watch.limit);
        log::debug!("login: {address} failed at {}", watch.name);
        if self.shown.take(now.0) {
            post(Post::Sighting(offence.clone()));
        }
        if too_many && self.offences.take(now.0) {
            post(Post::Offence(offence));
        }
    }
}

/// Takes a line's failures out.
fn take(judge: &mut Judge, line: &Line<'_>, watches: &mut [Watched], failures: &mut Vec<Failed>) {
    if line.program == Some(b"diswall") {
        return;
    }
    let mut judged = false;
    judge.judge(line, &mut |watch, verdict| {
        judged = true;
        match verdict {
            Verdict::Counts { address, port, tries } => {
                failures.push(Failed { address, watch, port, tries: Some(tries) });
            }
            Verdict::TakenBack(address) => failures.push(Failed { address, watch, port: None, tries: None }),
            _ => {}
        }
    });
    if !judged {
        say_named(judge, line, watches);
    }
}

/// Says once for each watch that names stand in the place of addresses.
fn say_named(judge: &Judge, line: &Line<'_>, watches: &mut [Watched]) {
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
fn watches(settings: &Settings) -> (Vec<Watched>, Vec<(LogSource, Judge)>) {
    let (mut watches, mut judges) = (Vec::new(), Vec::new());
    each_watch(settings, &mut |watch| {
        let number = number(&watches);
        watch.add_to(judge_of(&mut judges, watch.source), number);
        watches.push(Watched { name: watch.name.into(), limit: watch.limit, place: watch.place(), named: false });
    });
    (watches, judges)
}

/// A watch as the settings have it.
pub struct Wanted<'s> {
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

    fn place(&self) -> Place {
        let service = self.service.and_then(known::service);
        let ports = |tcp| service.as_ref().map(|service| service.ports(tcp)).unwrap_or_default();
        Place { ports: [ports(true), ports(false)], file: matches!(self.source, LogSource::File(_)), served: None }
    }
}

/// Every watch of the settings, built-in services first.
pub fn each_watch<'s>(settings: &'s Settings, each: &mut dyn FnMut(Wanted<'s>)) {
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
fn number(watches: &[Watched]) -> u16 {
    u16::try_from(watches.len()).unwrap_or(u16::MAX)
}

fn judge_of<'a>(judges: &'a mut Vec<(LogSource, Judge)>, source: &LogSource) -> &'a mut Judge {
    let at = judges.iter().position(|(known, _)| known == source).unwrap_or_else(|| {
        judges.push((source.clone(), Judge::new(matches!(source, LogSource::File(_)))));
        judges.len() - 1
    });
    &mut judges[at].1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;
    use std::path::Path;

    use super::*;
    use crate::feed::offence::Sender;
    use crate::feed::offence::tests::All;
    use crate::feed::settings::Settings;

    fn settings(log: &Path) -> Settings {
        let mut settings = Settings::default();
        settings.login.services = vec!["ssh".into()];
        settings.login.source = LogSource::File(log.into());
        settings.login.limit.attempts = 3;
        settings
    }

    /// What is posted of so many failures that are written into the log now.
    async fn posts(logins: &mut Logins, log: &mut std::fs::File, tries: usize, mut facts: All) -> Vec<Post> {
        for process in 0..tries {
            let line = "Failed password for root from 203.0.113.66 port 22000 ssh2";
            writeln!(log, "Nov 27 10:00:00 router sshd[{process}]: {line}").unwrap();
        }
        let (mut posts, mut failed) = (Vec::new(), Vec::new());
        let read = async {
            while failed.len() < tries {
                let index = logins.grown().await;
                failed.extend(logins.read(index));
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), read).await.unwrap();
        for failed in failed {
            logins.failed(Moment(1000), failed, &mut facts, &mut |post| posts.push(post));
        }
        posts
    }

    #[tokio::test(flavor = "current_thread")]
    async fn who_fails_too_often_and_was_there_is_posted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = std::fs::File::create(&path).unwrap();
        let mut logins = Logins::default();
        assert!(!logins.is_on());
        logins.configure(Some(&settings(&path)));
        assert!(logins.is_on() && logins.troubles().next().is_none() && logins.absent().is_none());
        let there = |known| All(known, true, Sender::Stranger);

        assert_eq!(posts(&mut logins, &mut log, 9, All(Known::Nothing, false, Sender::Stranger)).await, []);
        assert_eq!(posts(&mut logins, &mut log, 9, there(Known::Exempt)).await, []);
        assert_eq!(posts(&mut logins, &mut log, 9, there(Known::Banned)).await, []);
        let (address, reason) = ("203.0.113.66".parse().unwrap(), Reason::Login("ssh".into()));
        let offence = Offence { address, reason, at: Moment(1000) };
        let sighting = || Post::Sighting(offence.clone());
        let expected = [sighting(), sighting(), sighting(), Post::Offence(offence.clone())];
        assert_eq!(posts(&mut logins, &mut log, 3, there(Known::Nothing)).await, expected, "nothing counted before");

        logins.configure(None);
        assert!(!logins.is_on());
    }
}
