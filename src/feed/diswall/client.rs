//! The DisWall feed's task: keeps a connection, runs a `session` over it, says where it stands.
//!
//! One task on the daemon's thread, no other; everything ends when the handle is dropped. It wakes for
//! messages, for the keep-alive, and for what the session waits for.

use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until};

use super::protocol::{self, Operation};
use super::publisher::Publisher;
use super::session::{Output, Session, notice};
use super::transport::{Link, LinkError};
use super::wire::{self, DEFAULT_LOGIN, Subjects};
use crate::config;
use crate::feed::backoff::Backoff;
use crate::feed::{FeedName, FeedState, Gauges, Handle, Update, Updates};

/// The server is asked for a sign of life when it has said nothing for so long …
const QUIET: Duration = Duration::from_secs(40);
/// … and given up when it has still said nothing then.
const DEAD: Duration = Duration::from_secs(60);
/// First and longest delay between attempts to connect.
const DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));
/// A connection that held for so long starts the delays anew.
const STEADY: Duration = Duration::from_secs(30);
/// Updates are passed on at the latest when so many have gathered.
const BATCH: usize = 64;

/// Starts the feed on the current `LocalSet`. `updates` is where it posts; the publisher is the daemon's
/// way to share what the router saw. A login that cannot be part of a subject ends in
/// `FeedState::Waiting` with `retry_in` 0: there is no next try before the configuration changes.
pub fn start(settings: &config::Nats, system_hostname: &str, updates: Updates) -> (Handle, Publisher) {
    let publisher = Publisher::new(settings);
    let gauges = Rc::new(Gauges::default());
    let resync = Rc::new(Notify::new());
    let host = wire::host_part(&settings.client_name, settings.hostname.as_deref(), system_hostname);
    let client = Client {
        settings: settings.clone(),
        updates,
        publisher: publisher.clone(),
        gauges: Rc::clone(&gauges),
        resync: Rc::clone(&resync),
        backoff: Backoff::new(DELAYS.0, DELAYS.1),
        session: None,
        cleartext_posted: false,
    };
    let task = tokio::task::spawn_local(async move {
        // The only error is that the daemon no longer listens: then there is nothing left to do.
        let _ = client.run(&host).await;
    });
    (Handle { task, gauges, resync }, publisher)
}

/// The daemon has dropped the receiving end.
struct DaemonGone;

/// Why a connection's work ended.
enum End {
    Broken(String),
    DaemonGone,
}

impl From<LinkError> for End {
    fn from(error: LinkError) -> End {
        End::Broken(error.to_string())
    }
}

impl From<DaemonGone> for End {
    fn from(DaemonGone: DaemonGone) -> End {
        End::DaemonGone
    }
}

struct Client {
    settings: config::Nats,
    updates: Updates,
    publisher: Publisher,
    gauges: Rc<Gauges>,
    resync: Rc<Notify>,
    backoff: Backoff,
    /// The latest session, for what it has posted still stands.
    session: Option<Session>,
    cleartext_posted: bool,
}

impl Client {
    async fn run(mut self, host: &str) -> Result<(), DaemonGone> {
        let subjects = match Subjects::new(&self.settings.client_name, host) {
            Ok(subjects) => Rc::new(subjects),
            Err(error) => {
                let error = format!("option client_name: {error}");
                return self.state(FeedState::Waiting { error, retry_in: 0 }).await;
            }
        };
        loop {
            self.state(FeedState::Connecting).await?;
            let error = match Link::open(&self.settings).await {
                Ok(link) => {
                    let since = Instant::now();
                    let end = self.serve(link, &subjects).await;
                    if since.elapsed() >= STEADY {
                        self.backoff.reset();
                    }
                    match end {
                        End::Broken(error) => error,
                        End::DaemonGone => return Err(DaemonGone),
                    }
                }
                Err(error) => error.to_string(),
            };
            let delay = self.backoff.delay();
            let retry_in = u32::try_from(delay.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            self.state(FeedState::Waiting { error, retry_in }).await?;
            tokio::select! {
                () = sleep(delay) => {}
                () = self.resync.notified() => {}
            }
        }
    }

    /// Runs a session until the connection breaks.
    async fn serve(&mut self, mut link: Link, subjects: &Rc<Subjects>) -> End {
        match self.converse(&mut link, subjects).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn converse(&mut self, link: &mut Link, subjects: &Rc<Subjects>) -> Result<std::convert::Infallible, End> {
        self.state(FeedState::Synchronising).await?;
        self.cleartext(link).await?;
        let mut out = Output::default();
        let mut session = self.open_session(link, subjects, &mut out);
        let mut alive = KeepAlive::new(Instant::now());
        let mut last_error = None;
        loop {
            let step = self.step(link, &mut session, &mut alive, &mut last_error, subjects, &mut out).await;
            if let Err(end) = step {
                self.session = Some(session);
                return Err(match (end, last_error) {
                    // What the server said before it closed explains more than that it closed.
                    (End::Broken(_), Some(error)) => End::Broken(error),
                    (end, _) => end,
                });
            }
        }
    }

    fn open_session(&mut self, link: &Link, subjects: &Rc<Subjects>, out: &mut Output) -> Session {
        let inbox = format!("_INBOX.diswall{:016x}", RandomState::new().hash_one(Instant::now()));
        let shared_login = self.settings.client_name == DEFAULT_LOGIN;
        let (subjects, gauges) = (Rc::clone(subjects), Rc::clone(&self.gauges));
        let mut session = Session::new(subjects, gauges, shared_login, inbox, link.max_payload());
        if let Some(before) = self.session.take() {
            session.succeed(&before);
            self.gauges.resyncs.set(self.gauges.resyncs.get() + 1);
        }
        session.open(Instant::now(), out);
        session
    }

    /// Works off what has been received, sends and posts what came of it, waits for the next thing.
    async fn step(
        &mut self,
        link: &mut Link,
        session: &mut Session,
        alive: &mut KeepAlive,
        last_error: &mut Option<String>,
        subjects: &Subjects,
        out: &mut Output,
    ) -> Result<(), End> {
        while out.updates.len() < BATCH {
            match link.operation()? {
                None => break,
                Some(Operation::Message(message)) => {
                    self.gauges.messages.set(self.gauges.messages.get() + 1);
                    self.gauges.last_message.set(Some(boot_seconds()));
                    session.message(&message, Instant::now(), out);
                }
                Some(Operation::Ping) => out.bytes.extend_from_slice(protocol::PONG),
                Some(Operation::Err(text)) => {
                    if !session.server_error(text, Instant::now(), out) {
                        *last_error = Some(format!("the server says: {text}"));
                    }
                }
                Some(Operation::Info(_) | Operation::Pong | Operation::Ok) => {}
            }
        }
        let more = out.updates.len() >= BATCH;
        let mut unbanned = Vec::new();
        self.publisher.drain(subjects, &mut out.bytes, &mut |address| unbanned.push(address));
        for address in unbanned {
            session.unban(address, out);
        }
        self.flush(link, out).await?;
        if more {
            return Ok(());
        }
        let timer = alive.timer().min(session.timer().unwrap_or_else(|| alive.timer()));
        tokio::select! {
            biased;
            received = link.receive() => {
                received?;
                alive.heard(Instant::now());
            }
            () = self.publisher.filled() => {}
            () = self.resync.notified() => session.resynchronise(Instant::now(), out),
            () = sleep_until(timer.into()) => {
                let now = Instant::now();
                session.tick(now, out);
                alive.tick(now, &mut out.bytes)?;
            }
        }
        Ok(())
    }

    async fn flush(&self, link: &mut Link, out: &mut Output) -> Result<(), End> {
        if !out.bytes.is_empty() {
            link.send(&out.bytes).await?;
            out.bytes.clear();
        }
        for update in out.updates.drain(..) {
            self.post(update).await?;
        }
        // A burst's room is not kept for the idle hours after it.
        out.bytes.shrink_to(1024);
        out.updates.shrink_to(BATCH);
        Ok(())
    }

    /// Says that credentials travel readable, if they are somebody's.
    async fn cleartext(&mut self, link: &Link) -> Result<(), DaemonGone> {
        let readable = !link.is_encrypted() && self.settings.client_name != DEFAULT_LOGIN;
        if readable != self.cleartext_posted {
            self.cleartext_posted = readable;
            let text = readable.then(|| {
                let server = &self.settings.server;
                format!("the DisWall password travels unencrypted to {server}; option tls asks for encryption")
            });
            self.post(Update::Notice { key: notice::CLEARTEXT, text }).await?;
        }
        Ok(())
    }

    async fn state(&self, state: FeedState) -> Result<(), DaemonGone> {
        self.post(Update::State(state)).await
    }

    async fn post(&self, update: Update) -> Result<(), DaemonGone> {
        self.updates.send((FeedName::Nats, update)).await.map_err(|_| DaemonGone)
    }
}

/// Notices a connection that died without a word.
struct KeepAlive {
    heard: Instant,
    asked: bool,
}

impl KeepAlive {
    fn new(now: Instant) -> KeepAlive {
        KeepAlive { heard: now, asked: false }
    }

    fn heard(&mut self, now: Instant) {
        *self = KeepAlive::new(now);
    }

    fn timer(&self) -> Instant {
        self.heard + if self.asked { DEAD } else { QUIET }
    }

    fn tick(&mut self, now: Instant, bytes: &mut Vec<u8>) -> Result<(), End> {
        if now < self.timer() {
            return Ok(());
        }
        if self.asked {
            return Err(End::Broken(format!("the server has been silent for {} s", DEAD.as_secs())));
        }
        self.asked = true;
        bytes.extend_from_slice(protocol::PING);
        Ok(())
    }
}

/// Seconds of `CLOCK_BOOTTIME`.
fn boot_seconds() -> u64 {
    u64::try_from(clock_gettime(ClockId::Boottime).tv_sec).unwrap_or(0)
}
