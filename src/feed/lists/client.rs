//! A list as a task: reads what was kept, fetches the list now and then, and posts it as a whole when it has changed
//! and is fit to be used. What is in force stays until something better has come.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::settings::Settings;
use super::store::{self, Facts};
use super::{Context, Reader, Summary, Verdict, judge};
use crate::feed::backoff::Backoff;
use crate::feed::fetch::{self, Outcome, Request, Validators};
use crate::feed::{FeedState, Gauges, Handle, Update, Updates};
use crate::model::{Builder, Entries, Event};
use crate::{calendar, outside, own, uptime};

/// The first fetch of a list that is not there yet, and of one that is, are put off by so much at most: routers that
/// boot together, and the lists of one of them, do not come all at once.
const FIRST: Duration = Duration::from_secs(3);
const LATER: Duration = Duration::from_secs(60);

/// First and longest wait after a fetch that failed.
const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_LONGEST: Duration = Duration::from_secs(3600);

/// Starts the list's task. Must be called inside a `LocalSet`; it runs until the handle is dropped.
pub fn start(settings: Settings, state_dir: &Path, context: Rc<Context>, updates: Updates) -> Handle {
    let (gauges, resync) = (Rc::new(Gauges::default()), Rc::new(Notify::new()));
    let directory = if settings.keep { Path::new(own::KEPT) } else { state_dir };
    let client = Client {
        path: store::path(directory, settings.source.name()),
        pause: if own::is_in_ram(directory) { Duration::ZERO } else { own::FLASH },
        settings,
        context,
        updates,
        gauges: Rc::clone(&gauges),
        resync: Rc::clone(&resync),
        facts: Facts::default(),
        count: None,
        good: None,
        written: None,
    };
    Handle { task: tokio::task::spawn_local(client.run()), gauges, resync }
}

struct Client {
    settings: Settings,
    context: Rc<Context>,
    updates: Updates,
    gauges: Rc<Gauges>,
    resync: Rc<Notify>,
    /// Where it is kept.
    path: PathBuf,
    /// Time between two copies there.
    pause: Duration,
    facts: Facts,
    /// Entries in force; `None`: no list is.
    count: Option<u32>,
    /// When it was last known to be what its server has.
    good: Option<Instant>,
    /// When it was last written.
    written: Option<Instant>,
}

/// What a fetch brought.
enum Fetched {
    /// It has not changed.
    Same,
    New(Entries, Facts),
}

impl Client {
    async fn run(mut self) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST.min(self.settings.interval));
        self.set_state(FeedState::Connecting).await;
        let mut due = Instant::now() + self.recall(&backoff).await;
        loop {
            let asked = self.wait(due).await;
            let fetched = {
                let context = Rc::clone(&self.context);
                let _turn = context.turn.acquire().await;
                self.fetch(asked).await
            };
            let taken = match fetched {
                Ok(fetched) => self.take(fetched, asked).await,
                Err(text) => Err(text),
            };
            match taken {
                Ok(()) => {
                    backoff.reset();
                    self.gauges.last_message.set(Some(uptime::seconds()));
                    self.good = Some(Instant::now());
                    self.set_state(FeedState::Live).await;
                    due = Instant::now() + self.interval(&backoff);
                }
                Err(text) => {
                    let delay = backoff.delay();
                    let retry_in = u32::try_from(delay.as_secs()).unwrap_or(u32::MAX);
                    let error = outside::clean(&text, outside::SENTENCE);
                    self.set_state(FeedState::Waiting { error, retry_in }).await;
                    due = Instant::now() + delay;
                }
            }
            self.lapse().await;
        }
    }

    /// The time until the next fetch when all goes well: a tenth more or less, so that nobody comes at the full hour.
    fn interval(&self, backoff: &Backoff) -> Duration {
        let whole = self.settings.interval;
        whole - whole / 10 + backoff.within(whole / 5)
    }

    /// Brings the list that was kept in force. The time until it is to be fetched.
    async fn recall(&mut self, backoff: &Backoff) -> Duration {
        let (path, room) = (self.path.clone(), self.context.room(self.settings.source));
        let kept = spawn_blocking(move || store::read(&path, room)).await.ok().flatten();
        let Some((facts, entries)) = kept.filter(|(facts, _)| facts.origin == self.origin()) else {
            return backoff.within(FIRST);
        };
        // A clock that is not set yet makes it old, which costs a fetch.
        let age = Duration::from_secs(calendar::now().abs_diff(facts.fetched));
        if !self.settings.max_age.is_zero() && age > self.settings.max_age {
            return backoff.within(FIRST);
        }
        self.good = Instant::now().checked_sub(age).or(self.good);
        // Unknown where it came before the machine was started.
        self.gauges.last_message.set(uptime::seconds().checked_sub(age.as_secs()));
        (self.facts, self.written) = (facts, Some(Instant::now()));
        self.post(entries).await;
        self.set_state(FeedState::Live).await;
        self.interval(backoff).saturating_sub(age).max(backoff.within(LATER))
    }

    /// Everything by which one list is told from another of the same name.
    fn origin(&self) -> String {
        format!("{} {}", self.settings.format, self.settings.urls.join(" "))
    }

    /// Waits until the next fetch is due (`false`), or somebody asks for one.
    async fn wait(&mut self, due: Instant) -> bool {
        let resync = Rc::clone(&self.resync);
        loop {
            let lapses = self.lapses_at();
            tokio::select! {
                () = resync.notified() => return true,
                () = sleep_until(due) => return false,
                () = sleep_until(lapses.unwrap_or(due)), if lapses.is_some_and(|at| at < due) => self.lapse().await,
            }
        }
    }

    /// When the list in force will be too old.
    fn lapses_at(&self) -> Option<Instant> {
        let max_age = Some(self.settings.max_age).filter(|age| !age.is_zero() && self.count.is_some())?;
        self.good?.checked_add(max_age)
    }

    /// Takes a list out of force that is too old.
    async fn lapse(&mut self) {
        if self.lapses_at().is_some_and(|at| at <= Instant::now()) {
            self.count = None;
            self.facts = Facts::default();
            self.send(Update::Event(Event::Lapse { source: self.settings.source })).await;
        }
    }

    /// What its server has now. `anew`: even if it has not changed.
    async fn fetch(&mut self, anew: bool) -> Result<Fetched, String> {
        let room = self.context.room(self.settings.source);
        let mut builder = Builder::new(room);
        let mut facts = Facts { fetched: calendar::now(), origin: self.origin(), validators: Validators::default() };
        let single = self.settings.urls.len() == 1;
        let mut refused = None;
        for url in &self.settings.urls {
            let before = if single && self.count.is_some() && !anew {
                self.facts.validators.clone()
            } else {
                Validators::default()
            };
            let request = Request { login: self.settings.login.as_deref(), before, ..Request::new(url) };
            let mut reader = Reader::new(self.settings.format);
            let mut take = |range| builder.take(range);
            match fetch::fetch(&request, &mut |bytes| reader.push(bytes, &mut take)).await? {
                Outcome::NotModified => return Ok(Fetched::Same),
                Outcome::Body { validators, .. } if single => facts.validators = validators,
                Outcome::Body { .. } | Outcome::Enough => {}
            }
            let summary = reader.finish(&mut take);
            if summary.verdict != Verdict::Usable {
                return Err(format!("what came is {}", summary.verdict));
            }
            refused = refused.or_else(|| self.note_refused(&summary));
        }
        self.send(Update::Notice { key: "lines", text: refused }).await;
        // Long lists take a while to sort; questions are answered meanwhile.
        match spawn_blocking(move || builder.finish()).await {
            Ok(Ok(entries)) => Ok(Fetched::New(entries, facts)),
            Ok(Err(_)) => {
                Err(format!("it is too long: max_entries leaves room for {room} addresses, or half as many networks"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Counts the lines that could not be read; a sentence if there were any.
    fn note_refused(&self, summary: &Summary) -> Option<String> {
        let (count, gauges) = (summary.refused(), &self.gauges);
        gauges.refused_addresses.set(gauges.refused_addresses.get() + count);
        let first = summary.shown.first()?;
        let text = format!("{count} lines could not be read; line {}: {}: {}", first.line, first.reason, first.text);
        gauges.last_refusal.replace(Some(text.clone()));
        Some(text)
    }

    async fn take(&mut self, fetched: Fetched, asked: bool) -> Result<(), String> {
        self.gauges.messages.set(self.gauges.messages.get() + 1);
        let (entries, facts) = match fetched {
            Fetched::Same => {
                self.facts.fetched = calendar::now();
                return Ok(());
            }
            Fetched::New(entries, facts) => (entries, facts),
        };
        // Who asks for it has looked at it.
        let before = self.count.filter(|_| !asked);
        let judged = judge::accept(&entries, before, &self.context.own.borrow(), self.settings.usage);
        if let Err(text) = judged {
            self.gauges.refused_messages.set(self.gauges.refused_messages.get() + 1);
            self.gauges.last_refusal.replace(Some(text.clone()));
            let rest = if self.count.is_some() { "; the former list stays" } else { "" };
            return Err(format!("{text}{rest}"));
        }
        self.facts = facts;
        // Shared for as long as it is written: a long list is not there twice.
        let entries = Arc::new(entries);
        self.keep(&entries).await;
        self.gauges.lists.set(self.gauges.lists.get() + 1);
        self.post(Arc::unwrap_or_clone(entries)).await;
        Ok(())
    }

    /// Puts it in force.
    async fn post(&mut self, entries: Entries) {
        self.count = Some(entries.size().all());
        self.send(Update::Event(Event::Entries { source: self.settings.source, entries })).await;
    }

    /// Keeps it over a restart.
    async fn keep(&mut self, entries: &Arc<Entries>) {
        if self.written.is_some_and(|at| at.elapsed() < self.pause) {
            return;
        }
        self.written = Some(Instant::now());
        let (path, facts, entries) = (self.path.clone(), self.facts.clone(), Arc::clone(entries));
        let kept = spawn_blocking(move || store::write(&path, &facts, &entries)).await;
        let text = match kept {
            Ok(Err(error)) => Some(format!("it cannot be kept over a restart: {error}")),
            _ => None,
        };
        self.send(Update::Notice { key: "kept", text }).await;
    }

    async fn set_state(&mut self, state: FeedState) {
        self.send(Update::State(state)).await;
    }

    async fn send(&mut self, update: Update) {
        // An error means that the daemon stops.
        let _ = self.updates.send((self.settings.source, update)).await;
    }
}
