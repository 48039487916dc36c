//! The DisWall feed's task: keeps a connection, runs a `session` over it, says where it stands.
//!
//! One task on the daemon's thread, no other; everything ends when the handle is dropped. It wakes for
//! messages, for the keep-alive, and for what the session waits for.

use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until};

use super::protocol::{self, Operation};
use super::publisher::{self, Publisher};
use super::session::{Blame, Output, Session, notice};
use super::settings::Settings;
use super::transport::{Link, LinkError};
use super::wire::{self, DEFAULT_LOGIN, Subjects};
use crate::feed::backoff::Backoff;
use crate::feed::intake::Intake;
use crate::feed::{Event, FeedState, Gauges, Handle, Update, Updates, again};
use crate::model::Source;
use crate::outside;
use crate::uptime;

/// The server is asked for a sign of life when it has said nothing whole for so long …
const QUIET: Duration = Duration::from_secs(40);
/// … given up when not a byte has come for so long after that …
const DEAD: Duration = Duration::from_secs(20);
/// … and whatever comes, when that is not its answer for so long. The longest message and one more fit in it
/// at 28 KB/s.
const OVERDUE: Duration = Duration::from_secs(300);
/// First and longest delay between attempts to connect.
const DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));
/// A connection that held for so long starts the delays anew.
const STEADY: Duration = Duration::from_secs(30);
/// Updates are passed on at the latest when so many have gathered.
const BATCH: usize = 64;

/// Starts the feed on the current `LocalSet`. `updates` is where it posts; the publisher is the daemon's
/// way to share what the router saw. A login that cannot be part of a subject ends in
/// `FeedState::Waiting` with `retry_in` 0: there is no next try before the configuration changes.
pub fn start(settings: &Settings, system_hostname: &str, intake: Intake, updates: Updates) -> (Handle, Publisher) {
    let publisher = Publisher::new(settings);
    let gauges = Rc::new(Gauges::default());
    let resync = Rc::new(Notify::new());
    let host = wire::host_part(&settings.client_name, settings.hostname.as_deref(), system_hostname);
    let client = Client {
        settings: settings.clone(),
        intake,
        updates,
        publisher: publisher.clone(),
        gauges: Rc::clone(&gauges),
        resync: Rc::clone(&resync),
        backoff: Backoff::new(DELAYS.0, DELAYS.1),
        session: None,
        at: 0,
        cleartext_posted: None,
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
    settings: Settings,
    intake: Intake,
    updates: Updates,
    publisher: Publisher,
    gauges: Rc<Gauges>,
    resync: Rc<Notify>,
    backoff: Backoff,
    /// The latest session, for what it has posted still stands.
    session: Option<Session>,
    /// Which of the servers it is connected to, or tries.
    at: usize,
    /// To which of them credentials travel readable, as was posted.
    cleartext_posted: Option<usize>,
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
        let gauges = Rc::clone(&self.gauges);
        loop {
            let reloaded = pin!(gauges.reloaded.notified());
            self.state(FeedState::Connecting).await?;
            self.gauges.server.set(self.at);
            let mut error = match Link::open(&self.settings, self.server()).await {
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
            if self.settings.servers.len() > 1 {
                error = format!("{}: {error}", self.server());
                self.at = (self.at + 1) % self.settings.servers.len();
            }
            let delay = self.backoff.delay();
            let retry_in = u32::try_from(delay.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            self.state(FeedState::Waiting { error, retry_in }).await?;
            tokio::select! {
                () = sleep(delay) => {}
                () = self.resync.notified() => {}
                () = again(reloaded) => {}
            }
        }
    }

    fn server(&self) -> &str {
        self.settings.servers.get(self.at).map_or("", String::as_str)
    }

    /// Runs a session over a new connection until it breaks.
    async fn serve(&mut self, link: Link, subjects: &Rc<Subjects>) -> End {
        if let Err(DaemonGone) = self.greet(&link).await {
            return End::DaemonGone;
        }
        let mut out = Output::default();
        let session = self.open_session(&link, subjects, &mut out);
        let alive = KeepAlive::new(Instant::now());
        let mut conversation = Conversation { client: self, link, subjects, session, alive, last_error: None, out };
        let end = conversation.run().await;
        let Conversation { session, last_error, .. } = conversation;
        self.session = Some(session);
        match (end, last_error) {
            // What the server said before it closed explains more than that it closed.
            (End::Broken(_), Some((error, _))) => End::Broken(error),
            (end, _) => end,
        }
    }

    fn open_session(&mut self, link: &Link, subjects: &Rc<Subjects>, out: &mut Output) -> Session {
        // Of the login's own, so that a server can let it read no other's answers.
        let random = RandomState::new().hash_one(Instant::now());
        let inbox = format!("_INBOX.{}.{random:016x}", self.settings.client_name);
        let shared_login = self.settings.client_name == DEFAULT_LOGIN;
        let (subjects, gauges) = (Rc::clone(subjects), Rc::clone(&self.gauges));
        let mut session = Session::new(subjects, gauges, self.intake.clone(), shared_login, inbox, link.max_payload());
        session.set_quorum(self.settings.quorum);
        if let Some(before) = self.session.take() {
            session.succeed(&before);
            self.gauges.resyncs.set(self.gauges.resyncs.get() + 1);
        }
        let now = Instant::now();
        session.open(now, out);
        self.publisher.connected(now);
        session
    }

    /// Says that the connection is up, and whether credentials travel readable, if they are somebody's.
    async fn greet(&mut self, link: &Link) -> Result<(), DaemonGone> {
        self.state(FeedState::Synchronising).await?;
        let secret = self.settings.client_name != DEFAULT_LOGIN && self.settings.nkey_file.is_none();
        let readable = (!link.is_encrypted() && secret).then_some(self.at);
        if readable != self.cleartext_posted {
            self.cleartext_posted = readable;
            let text = readable.map(|_| {
                let server = self.server();
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
        self.updates.send((Source::NATS, update)).await.map_err(|_| DaemonGone)
    }
}

/// A connection at work.
struct Conversation<'a> {
    client: &'a Client,
    link: Link,
    subjects: &'a Subjects,
    session: Session,
    alive: KeepAlive,
    /// What the server complained of since its last PONG.
    last_error: Option<(String, Blame)>,
    out: Output,
}

impl Conversation<'_> {
    async fn run(&mut self) -> End {
        loop {
            if let Err(end) = self.step().await {
                return end;
            }
        }
    }

    /// Works off what has been received, sends and posts what came of it; waits when that was all.
    async fn step(&mut self) -> Result<(), End> {
        while self.out.updates.len() < BATCH {
            if !self.work_off().await? {
                self.share();
                self.flush().await?;
                return self.wait().await;
            }
        }
        self.flush().await
    }

    /// Works off one operation; false when there is none.
    async fn work_off(&mut self) -> Result<bool, End> {
        let Some(operation) = self.link.operation()? else { return Ok(false) };
        let (now, out) = (Instant::now(), &mut self.out);
        self.alive.whole = now;
        match operation {
            Operation::Message(message) => {
                let gauges = &self.client.gauges;
                gauges.messages.set(gauges.messages.get() + 1);
                gauges.last_message.set(Some(uptime::seconds()));
                while self.session.message_step(&message, now, out) {
                    // What a piece says is passed on before the next: a message may say much.
                    for update in out.updates.drain(..) {
                        self.client.post(update).await?;
                    }
                    tokio::task::yield_now().await;
                }
            }
            Operation::Ping => out.bytes.extend_from_slice(protocol::PONG),
            Operation::Err(text) => {
                let blame = self.session.server_error(text, now, out);
                if blame == Blame::Publish
                    && let Some(subject) = self.client.publisher.refused(self.subjects, now)
                {
                    let text = Some(publisher::refusal(&subject));
                    out.updates.push(Update::Notice { key: notice::SHARING, text });
                }
                let text = outside::clean(text, outside::SENTENCE);
                self.last_error = Some((format!("the server says: {text}"), blame));
            }
            Operation::Pong => {
                if self.session.pong(now, out) && self.client.publisher.answered() {
                    out.updates.push(Update::Notice { key: notice::SHARING, text: None });
                }
                // The connection has outlived it.
                if let Some((text, Blame::Unknown)) = self.last_error.take() {
                    self.session.complain(&text, out);
                }
            }
            Operation::Info(_) | Operation::Ok => {}
        }
        Ok(true)
    }

    /// Takes what waits to be published.
    fn share(&mut self) {
        let (session, mut unbanned, now) = (&mut self.session, Vec::new(), Instant::now());
        let sent = &mut |bytes: &mut Vec<u8>| session.published(now, bytes);
        let publisher = &self.client.publisher;
        publisher.drain(self.subjects, now, &mut self.out.bytes, sent, &mut |address| unbanned.push(address));
        for address in unbanned {
            session.unban(address, &mut self.out);
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        if !self.out.bytes.is_empty() {
            self.link.send(&self.out.bytes).await?;
            self.out.bytes.clear();
        }
        let mut list = false;
        for update in self.out.updates.drain(..) {
            list |= matches!(update, Update::Event(Event::List { .. } | Event::AllowList { .. }));
            self.client.post(update).await?;
        }
        if list {
            // The daemon is to have taken it before the next long message is read: both at once are too much.
            tokio::task::yield_now().await;
        }
        // A burst's room is not kept for the idle hours after it.
        self.out.bytes.shrink_to(1024);
        self.out.updates.shrink_to(BATCH);
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), End> {
        if self.link.is_amid_an_operation() {
            self.session.reply_may_be_coming(Instant::now());
        }
        let timers = [self.session.timer(), self.client.publisher.timer()];
        let alive = self.alive.timer(self.session.unanswered_since());
        let timer = timers.into_iter().flatten().fold(alive, Instant::min);
        tokio::select! {
            biased;
            received = self.link.receive() => {
                received?;
                self.alive.heard = Instant::now();
            }
            () = self.client.publisher.filled() => {}
            () = self.client.resync.notified() => {
                let now = Instant::now();
                self.session.resynchronise(now, &mut self.out);
                self.client.publisher.retry(now);
            }
            () = sleep_until(timer.into()) => {
                let now = Instant::now();
                self.session.tick(now, &mut self.out);
                if self.alive.tick(now, self.session.unanswered_since())? {
                    self.session.ping(now, &mut self.out);
                }
            }
        }
        Ok(())
    }
}

/// Notices a connection that died without a word, and one on which nothing whole comes any more.
struct KeepAlive {
    /// When the last byte came.
    heard: Instant,
    /// When the last operation was whole.
    whole: Instant,
}

impl KeepAlive {
    fn new(now: Instant) -> KeepAlive {
        KeepAlive { heard: now, whole: now }
    }

    /// When [`KeepAlive::tick`] is due; `asked`: since when a PING is unanswered.
    fn timer(&self, asked: Option<Instant>) -> Instant {
        match asked {
            None => self.whole + QUIET,
            Some(asked) => (asked.max(self.heard) + DEAD).min(asked + OVERDUE),
        }
    }

    /// True when the server is to be asked for a sign of life; an error when it has given none.
    fn tick(&self, now: Instant, asked: Option<Instant>) -> Result<bool, End> {
        if now < self.timer(asked) {
            return Ok(false);
        }
        let Some(asked) = asked else { return Ok(true) };
        let (silent, waited) = (now.duration_since(self.heard), now.duration_since(asked));
        Err(End::Broken(if waited < OVERDUE {
            format!("the server has been silent for {} s", silent.as_secs())
        } else {
            format!("the server has not answered for {} s", waited.as_secs())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn broken(alive: &KeepAlive, now: Instant, asked: Instant) -> Option<String> {
        match alive.tick(now, Some(asked)) {
            Err(End::Broken(error)) => Some(error),
            _ => None,
        }
    }

    #[test]
    fn a_dead_connection_is_noticed_within_a_minute() {
        let start = Instant::now();
        let alive = KeepAlive::new(start);
        assert_eq!(alive.timer(None), start + QUIET);
        assert!(matches!(alive.tick(start + 39 * SECOND, None), Ok(false)));
        let asked = start + QUIET;
        assert!(matches!(alive.tick(asked, None), Ok(true)));
        assert_eq!(broken(&alive, asked + 19 * SECOND, asked), None);
        assert_eq!(alive.timer(Some(asked)), asked + DEAD);
        assert_eq!(broken(&alive, asked + DEAD, asked).unwrap(), "the server has been silent for 60 s");
    }

    #[test]
    fn a_trickle_is_no_sign_of_life_for_ever() {
        let start = Instant::now();
        let mut alive = KeepAlive::new(start);
        // A byte every ten seconds, of a line that never ends.
        let asked = start + QUIET;
        alive.heard = start + 35 * SECOND;
        assert!(matches!(alive.tick(asked, None), Ok(true)), "bytes alone are nothing");
        for second in (40_u32..340).step_by(10) {
            alive.heard = start + second * SECOND;
            assert_eq!(broken(&alive, alive.heard + SECOND, asked), None, "a long message may be coming");
        }
        assert_eq!(alive.timer(Some(asked)), asked + OVERDUE);
        assert_eq!(broken(&alive, asked + OVERDUE, asked).unwrap(), "the server has not answered for 300 s");
        // So it is with whole operations none of which is the answer.
        alive.whole = asked + OVERDUE;
        assert!(broken(&alive, asked + OVERDUE, asked).is_some());
    }
}
