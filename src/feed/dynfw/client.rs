//! The DynFW feed as a task: connects, follows, posts what `sync` says, and tries again when it ends.
//!
//! It may wait for the channel, which slows the socket down and nothing else. It keeps no bans: the
//! ledger has those. [`start`] is called by the daemon, once for each configuration.

use std::path::Path;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use omq_proto::{CurvePublicKey, Message};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, sleep_until};

use crate::feed::connect::{self, Unreached};
use crate::feed::intake::Intake;
use crate::feed::{FeedState, Gauges, Handle, Update, Updates, again};
use crate::model::{Event, Lifetime, Source};
use crate::outside;
use crate::uptime;

use super::backoff::Backoff;
use super::failure::ConnectionError;
use super::key::{self, Keys};
use super::session::{self, Session};
use super::settings::Settings;
use super::sync::{Change, Sync};
use super::wire::{self, WireError};

/// How long one address of the server is tried.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The ledger is told of contact at most so often.
const CONTACT_EVERY: Duration = Duration::from_secs(60);
/// The notice of a key that is refused or replaced.
const KEY_NOTICE: &str = "server_key";
/// Refusals with less than this between them are one burst: one notice.
const BURST_ENDS: Duration = Duration::from_secs(60);
/// Longest name of an event that is handed on, in bytes.
const SIGHTING: usize = 40;
/// Addresses of a list that are read at a time.
const PIECE: usize = 4096;
/// When nothing is to come, time is looked at again after so long.
const FAR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Starts following the server that `settings` names; updates go to `updates`. Must be called inside a
/// `LocalSet`. The feed runs until the handle is dropped.
pub fn start(settings: &Settings, state_dir: &Path, intake: Intake, updates: Updates) -> Handle {
    let gauges = Rc::new(Gauges::default());
    let resync = Rc::new(Notify::new());
    let now = Instant::now();
    let client = Client {
        settings: settings.clone(),
        intake,
        keys: Keys::new(settings, state_dir),
        updates,
        gauges: Rc::clone(&gauges),
        resync: Rc::clone(&resync),
        sync: Sync::new(),
        state: None,
        live_since: None,
        heard: now,
        contact_posted: None,
        lapsed: false,
        burst_until: None,
    };
    Handle { task: tokio::task::spawn_local(client.run()), gauges, resync }
}

struct Client {
    settings: Settings,
    intake: Intake,
    keys: Keys,
    updates: Updates,
    gauges: Rc<Gauges>,
    resync: Rc<Notify>,
    sync: Sync,
    state: Option<FeedState>,
    /// When this connection first had everything.
    live_since: Option<Instant>,
    /// When the last message came, or the feed started.
    heard: Instant,
    contact_posted: Option<Instant>,
    /// The bans have lapsed and nothing was heard since.
    lapsed: bool,
    /// A burst of refusals is on, until then if no more come.
    burst_until: Option<Instant>,
}

impl Client {
    async fn run(mut self) {
        let mut backoff = Backoff::new();
        if let Some(text) = self.keys.notice() {
            self.post(Update::Notice { key: KEY_NOTICE, text: Some(text) }).await;
        }
        let gauges = Rc::clone(&self.gauges);
        loop {
            let reloaded = pin!(gauges.reloaded.notified());
            self.live_since = None;
            self.set_state(FeedState::Connecting).await;
            let Err(failure) = self.follow().await;
            let delay = backoff.after(self.live_since.map(|since| since.elapsed()));
            let retry_in = u32::try_from(delay.as_secs()).unwrap_or(u32::MAX);
            let error = outside::clean(&failure.to_string(), outside::SENTENCE);
            self.set_state(FeedState::Waiting { error, retry_in }).await;
            if matches!(failure, ConnectionError::WrongKey) {
                self.keys.refused(Instant::now());
            }
            if let Some(url) = self.keys.due(Instant::now()) {
                self.renew_key(&url).await;
            }
            self.wait(delay, reloaded).await;
        }
    }

    /// Looks at the published key: design, "DynFW key".
    async fn renew_key(&mut self, url: &str) {
        let text = match key::fetch(url).await.map(|published| self.keys.replace(published)) {
            Ok(Ok(true)) => self.keys.notice(),
            Ok(Ok(false)) => Some(format!("the server refuses the server_key, and {url} still publishes the same")),
            Ok(Err(error)) => {
                let notice = self.keys.notice().unwrap_or_else(|| format!("the server_key of {url} is used"));
                Some(format!("{notice}; it could not be kept in state_dir for the next start: {error}"))
            }
            Err(error) => Some(format!("the server refuses the server_key; {error}")),
        };
        self.post(Update::Notice { key: KEY_NOTICE, text }).await;
    }

    /// Waits for the next attempt, or until the owner asks for a list or for another look.
    async fn wait(&mut self, delay: Duration, reloaded: Pin<&mut Notified<'_>>) {
        let end = Instant::now() + delay;
        // One for the whole wait: what is due meanwhile does not put it off.
        let mut again = pin!(again(reloaded));
        loop {
            let wake = end.min(self.deadline());
            tokio::select! {
                () = sleep_until(wake) => self.tick().await,
                () = self.resync.notified() => return,
                () = again.as_mut() => return,
            }
            if Instant::now() >= end {
                return;
            }
        }
    }

    /// One connection, from the name to its end.
    async fn follow(&mut self) -> Result<std::convert::Infallible, ConnectionError> {
        let key = self.keys.current().map(CurvePublicKey::from_z85);
        let key = key.transpose().map_err(|error| ConnectionError::BadKey(error.to_string()))?;
        let to = async |address| {
            let tcp = TcpStream::connect(address).await;
            tcp.map_err(|cause| ConnectionError::Unreached(Unreached::Connect(address, cause)))
        };
        let stream = connect::first(&self.settings.server, self.settings.port, CONNECT_MAX, to).await?;
        let mut session = Session::open(stream, key, frame_max(self.intake.most())).await?;
        self.keys.accepted();
        self.sync.restart();
        // Before the list: a delta that comes between the two is then held, not lost.
        session.subscribe(wire::TOPIC_DELTA, true)?;
        if self.settings.events {
            session.subscribe(wire::TOPIC_EVENT, true)?;
        }
        let mut list_subscribed = false;
        loop {
            let wanted = self.sync.wants_list();
            if wanted != list_subscribed {
                session.subscribe(wire::TOPIC_LIST, wanted)?;
                list_subscribed = wanted;
                self.wants_changed(wanted).await;
            }
            tokio::select! {
                biased;
                message = session.next() => self.take(&message?).await,
                () = self.resync.notified() => self.sync.ask(),
                () = sleep_until(self.deadline()) => self.tick().await,
            }
        }
    }

    /// The list is wanted, or has been taken.
    async fn wants_changed(&mut self, wanted: bool) {
        if !wanted {
            self.live_since.get_or_insert_with(Instant::now);
            self.set_state(FeedState::Live).await;
            return;
        }
        if self.gauges.lists.get() > 0 {
            self.gauges.resyncs.set(self.gauges.resyncs.get() + 1);
        }
        self.set_state(FeedState::Synchronising).await;
    }

    /// Takes one message: posts what follows from it, or counts why it is refused.
    async fn take(&mut self, message: &Message) {
        self.gauges.messages.set(self.gauges.messages.get() + 1);
        let parsed = match (message.len(), message.part_slice(0), message.part_slice(1)) {
            (2, Some(topic), Some(payload)) => wire::parse(&[topic, payload]),
            (frames, _, _) => Err(WireError::Frames(frames)),
        };
        let event = match parsed {
            Ok(wire::Published::Delta(delta)) => self.delta(&delta).await,
            Ok(wire::Published::List(list)) => self.list(list).await,
            Ok(wire::Published::Event(sighting)) => {
                self.sighting(&sighting).await;
                None
            }
            Err(error) => return self.refuse_message(&error).await,
        };
        if let Some(event) = event {
            self.post(Update::Event(event)).await;
        }
        self.gauges.serial.set(self.sync.serial());
        self.contact().await;
    }

    /// Hands a sighting on; its name is a stranger's text, so it is cut like every other.
    async fn sighting(&mut self, sighting: &wire::Sighting<'_>) {
        match wire::parse_address(sighting.ip) {
            Ok(address) => {
                let event = outside::clean(sighting.event, SIGHTING);
                self.post(Update::Sighting { event: event.into(), address }).await;
            }
            Err(error) => self.refuse_addresses(1, &error.to_string()).await,
        }
    }

    async fn delta(&mut self, delta: &wire::Delta<'_>) -> Option<Event> {
        let address = wire::parse_address(delta.ip);
        if let Err(error) = &address {
            self.refuse_addresses(1, &error.to_string()).await;
        }
        self.sync.delta(Change { serial: delta.serial, positive: delta.positive, address: address.ok() })
    }

    async fn list(&mut self, message: wire::List<'_>) -> Option<Event> {
        if !self.sync.takes_list(message.serial) {
            return None;
        }
        let (mut refused, mut first) = (0, None);
        let mut list = self.intake.begin(message.addresses.most_v4());
        for (number, address) in message.addresses.enumerate() {
            match address {
                Ok(address) => list.take(address, Lifetime::Forever),
                Err(error) => {
                    refused += 1;
                    first.get_or_insert_with(|| error.to_string());
                }
            }
            if number % PIECE == PIECE - 1 {
                // Whoever else has something to do is not held up.
                tokio::task::yield_now().await;
            }
        }
        let (list, never) = list.end();
        let event = self.sync.list(message.serial, list);
        self.gauges.lists.set(self.gauges.lists.get() + 1);
        if let Some(first) = first {
            self.refuse_addresses(refused, &first).await;
        }
        if never > 0 {
            self.refuse_addresses(never, "such an address is never banned").await;
        }
        Some(event)
    }

    async fn refuse_message(&mut self, error: &WireError) {
        self.gauges.refused_messages.set(self.gauges.refused_messages.get() + 1);
        let text = outside::clean(&error.to_string(), outside::SENTENCE);
        *self.gauges.last_refusal.borrow_mut() = Some(text.clone());
        self.refused(&format!("a message was refused: {text}")).await;
    }

    async fn refuse_addresses(&mut self, count: u64, first: &str) {
        self.gauges.refused_addresses.set(self.gauges.refused_addresses.get() + count);
        self.refused(&format!("an address was refused: {first}")).await;
    }

    /// One notice for a burst of refusals, however long it lasts.
    async fn refused(&mut self, what: &str) {
        let begins = self.burst_until.is_none();
        self.burst_until = Some(Instant::now() + BURST_ENDS);
        if begins {
            let text = Some(format!("{what}; more of them are only counted"));
            self.post(Update::Notice { key: "refused", text }).await;
        }
    }

    /// Something was heard.
    async fn contact(&mut self) {
        let now = Instant::now();
        self.heard = now;
        self.lapsed = false;
        self.gauges.last_message.set(Some(uptime::seconds()));
        if self.contact_posted.is_none_or(|posted| now - posted >= CONTACT_EVERY) {
            self.contact_posted = Some(now);
            self.post(Update::Event(Event::Contact { source: Source::DYNFW })).await;
        }
    }

    /// When [`Client::tick`] has something to do.
    fn deadline(&self) -> Instant {
        let lapse = if self.lapsed { None } else { self.heard.checked_add(self.settings.max_age) };
        let lapse = lapse.unwrap_or_else(|| Instant::now() + FAR);
        self.burst_until.map_or(lapse, |burst| burst.min(lapse))
    }

    /// What time alone brings: the end of a burst, the end of trust in what is known.
    async fn tick(&mut self) {
        let now = Instant::now();
        if self.burst_until.is_some_and(|until| now >= until) {
            self.burst_until = None;
            self.post(Update::Notice { key: "refused", text: None }).await;
        }
        if !self.lapsed && now - self.heard >= self.settings.max_age {
            self.lapsed = true;
            self.contact_posted = None;
            // Should the connection be there all the same, it begins with a list.
            self.sync.restart();
            self.post(Update::Event(Event::Lapse { source: Source::DYNFW })).await;
        }
    }

    async fn set_state(&mut self, state: FeedState) {
        if self.state.as_ref() != Some(&state) {
            self.state = Some(state.clone());
            self.post(Update::State(state)).await;
        }
    }

    async fn post(&mut self, update: Update) {
        if self.updates.send((Source::DYNFW, update)).await.is_err() {
            // The daemon is ending and will drop this task.
            std::future::pending::<()>().await;
        }
    }
}

/// Longest message taken, bytes: room for the addresses that may be kept, at 16 each, and never less than
/// [`session::FRAME_MAX`].
fn frame_max(most: usize) -> usize {
    most.saturating_mul(16).max(session::FRAME_MAX)
}
