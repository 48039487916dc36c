//! Reports to AbuseIPDB, where the owner has asked for them: who failed to log in here so often that this router
//! banned him. The one thing besides DisWall's sharing that this router says about others.
//!
//! Their rules are kept here: nobody who may be forged (a packet to a closed port proves no sender, nor does UDP, so
//! scans and SIP are never reported), an address once in 15 minutes, so many a day. `queue` holds what waits,
//! `settings` what the owner says; this file is the task that tells it, one report at a time, with the router's own
//! program for HTTPS. A report has the address, the time, their categories and the name of a kind of log-in. What
//! waits is lost when the daemon ends.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::queue::{Queue, Report};
pub use self::settings::Settings;
use crate::control::protocol::Part;
use crate::feed::backoff::Backoff;
use crate::feed::crowdsec::settings::{encode, is_key};
use crate::feed::fetch::{self, Failure, Pass, Wanted};
use crate::{calendar, limiter, outside, uptime};

mod queue;
pub mod settings;

/// Where reports go.
const URL: &str = "https://api.abuseipdb.com/api/v2/report";
/// Seconds that they are left alone when they say "too many" without saying for how long, and longest.
const ALONE: (u32, u32) = (900, 86_400);
/// So many answers in a row may be about one address alone: another program of the owner's has reported it within
/// their 15 minutes. They say so as they say that there were too many, and in older days that the key is wrong, but
/// not for how long.
const TWICE: u32 = 3;
/// First and longest delay after a report that did not arrive.
const DELAYS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// Pause after one that did: a burst is no reason for a burst of programs.
const PAUSE: Duration = Duration::from_secs(2);
/// A new day is looked for so often.
const LOOK: Duration = Duration::from_secs(60);
/// How long a report may take, and the most that is read of an answer.
const TIME: Duration = Duration::from_secs(60);
const MOST: u64 = 64 << 10;

/// How it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Well,
    /// Tried again; why.
    Waiting(String),
    /// Not before the settings change; why.
    Refused(String),
}

#[derive(Default)]
struct Shared {
    queue: RefCell<Queue>,
    wake: Notify,
    state: RefCell<State>,
}

/// The daemon's end. What waits, and whom it was about, stays over a change of the settings.
#[derive(Default)]
pub struct Reporter {
    shared: Rc<Shared>,
    /// `None`: off.
    settings: Option<Settings>,
    task: Option<JoinHandle<()>>,
}

impl Reporter {
    /// Goes by these settings from now on, on the current `LocalSet`; `None`: reports nothing.
    pub fn configure(&mut self, settings: Option<&Settings>) {
        if self.settings.as_ref() == settings {
            return;
        }
        self.stop();
        self.settings = settings.cloned();
        self.shared.state.replace(State::Well);
        if let Some(settings) = &self.settings {
            let task = Task { settings: settings.clone(), shared: Rc::clone(&self.shared) };
            self.task = Some(tokio::task::spawn_local(task.run()));
        } else {
            self.shared.queue.borrow_mut().clear();
        }
    }

    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// Somebody was banned for failed log-ins at this service.
    pub fn note(&self, address: IpAddr, service: &str) {
        let Some(categories) = self.settings.as_ref().and_then(|settings| settings.categories(service)) else { return };
        if matches!(*self.shared.state.borrow(), State::Refused(_)) {
            return;
        }
        let report = Report { address, categories: categories.into(), service: service.into(), at: calendar::now() };
        if self.shared.queue.borrow_mut().add(report, uptime::seconds()) {
            self.shared.wake.notify_one();
        }
    }

    /// Whether reports arrive; `None` while none are to be made.
    pub fn part(&self) -> Option<Part> {
        const NAME: &str = "abuseipdb";
        self.settings.as_ref()?;
        Some(match &*self.shared.state.borrow() {
            State::Well => Part { why: self.shared.queue.borrow().trouble(), ..Part::in_force(NAME) },
            // Nobody is less protected.
            State::Waiting(why) => Part { why: Some(why.clone()), ..Part::in_force(NAME) },
            State::Refused(why) => Part::broken(NAME, why.as_str()).losing("nobody is reported to AbuseIPDB").remedied(
                "make a key in your account there and write it to option key; or switch `config abuseipdb` off",
            ),
        })
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.stop();
        let waiting = self.shared.queue.borrow().len();
        if waiting > 0 {
            log::info!("abuseipdb: {waiting} reports are not sent any more");
        }
    }
}

struct Task {
    settings: Settings,
    shared: Rc<Shared>,
}

impl Task {
    async fn run(self) {
        let mut backoff = Backoff::new(DELAYS.0, DELAYS.1);
        let mut twice = 0;
        loop {
            let next = self.shared.queue.borrow_mut().next(calendar::now(), self.settings.daily_limit);
            let Some(report) = next else {
                // The one that could not be sent is too old by now.
                if self.shared.queue.borrow().len() == 0 {
                    self.shared.state.replace(State::Well);
                }
                // It may be a day's limit that keeps the next one waiting.
                let _ = timeout(LOOK, self.shared.wake.notified()).await;
                continue;
            };
            let outcome = self.tell(&report).await;
            let Err(failure) = outcome else {
                self.shared.state.replace(State::Well);
                backoff.reset();
                twice = 0;
                let address = report.address;
                limiter::info(("abuseipdb", "told"), || {
                    format!("abuseipdb: {address} is reported ({})", report.service)
                });
                sleep(PAUSE).await;
                continue;
            };
            let text = outside::clean(&failure.text, outside::SENTENCE);
            let is_twice = matches!(failure.status, Some(403 | 429)) && failure.retry_after.is_none() && twice < TWICE;
            twice += u32::from(is_twice);
            let delay = match failure.status {
                Some(401 | 403) if !is_twice => {
                    let text = format!("AbuseIPDB does not take the key, so that nothing is reported any more: {text}");
                    log::error!("abuseipdb: {text}");
                    self.shared.queue.borrow_mut().clear();
                    self.shared.state.replace(State::Refused(text));
                    return;
                }
                Some(429) if !is_twice => {
                    let seconds = failure.retry_after.unwrap_or(ALONE.0).clamp(1, ALONE.1);
                    let length = crate::duration::text(seconds.into());
                    self.wait(report, format!("AbuseIPDB wants no more reports for {length}"));
                    Duration::from_secs(seconds.into())
                }
                // Another try would be answered likewise.
                Some(400..500) => {
                    self.shared.state.replace(State::Well);
                    backoff.reset();
                    limiter::warn(("abuseipdb", "refused"), || format!("abuseipdb: a report is refused: {text}"));
                    PAUSE
                }
                _ => {
                    self.wait(report, format!("reports to AbuseIPDB do not arrive: {text}"));
                    backoff.delay()
                }
            };
            sleep(delay).await;
        }
    }

    /// Keeps a report for later.
    fn wait(&self, report: Report, why: String) {
        limiter::warn(("abuseipdb", "waits"), || format!("abuseipdb: {why}"));
        self.shared.queue.borrow_mut().put_back(report);
        self.shared.state.replace(State::Waiting(why));
    }

    async fn tell(&self, report: &Report) -> Result<(), Failure> {
        let body = report.body();
        let headers = vec![["Key: ", &self.key()?].concat(), "Accept: application/json".into()];
        let pass = Pass { headers, body: Some(&body), form: true, ..Pass::default() };
        let request = Wanted {
            pass: Some(&pass),
            secure: true,
            list: false,
            most: MOST,
            time: TIME,
            silence: TIME,
            ..Wanted::new(URL)
        };
        fetch::fetch(&request, &mut |_| true).await.map(drop)
    }

    fn key(&self) -> Result<String, String> {
        let Settings { key, key_file, .. } = &self.settings;
        let Some(path) = key_file else { return key.clone().ok_or_else(|| "there is no key".into()) };
        let shown = path.display();
        let key = fetch::first_line(path).map_err(|error| format!("the key in {shown} cannot be read: {error}"))?;
        let key = key.trim();
        if is_key(key) { Ok(key.into()) } else { Err(format!("{shown} has no key in its first line")) }
    }
}

impl Report {
    /// As a form's fields: the address, their categories, when it was, and what for. Nothing of who he said he was,
    /// and nothing of this router.
    fn body(&self) -> String {
        let mut text = String::from("ip=");
        encode(&self.address.to_string(), &mut text);
        text.extend(["&categories=", &self.categories]);
        // A router without a clock of its own thinks that it is long ago.
        if self.at > calendar::SET {
            text.push_str("&timestamp=");
            encode(&calendar::iso(self.at), &mut text);
        }
        text.push_str("&comment=");
        encode(
            &["Repeated failed log-ins over TCP: ", &self.service, ". Banned by a router (diswall)."].concat(),
            &mut text,
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_who_when_and_what_for() {
        let report = |at| Report {
            address: "2001:db8::7".parse().unwrap(),
            categories: "18,22".into(),
            service: "ssh".into(),
            at,
        };
        let comment =
            "comment=Repeated%20failed%20log-ins%20over%20TCP:%20ssh.%20Banned%20by%20a%20router%20%28diswall%29.";
        assert_eq!(report(0).body(), format!("ip=2001:db8::7&categories=18,22&{comment}"));
        let known = format!("ip=2001:db8::7&categories=18,22&timestamp=2026-12-31T23:59:59Z&{comment}");
        assert_eq!(report(1_798_761_599).body(), known);
    }
}
