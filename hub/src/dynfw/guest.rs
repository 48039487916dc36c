//! One router that is told: what it wants, how far it has been told, what is on the way to it.
//!
//! What waits for a router is a place in what all are told, not a copy: 8 KB at most are sealed for it beforehand, and a
//! list where it asked for one. Who falls behind what is kept hears the newest change, sees the hole before it, and asks
//! for the list, as after any loss.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{ErrorKind, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use diswall::feed::dynfw::wire::{TOPIC_DELTA, TOPIC_EVENT, TOPIC_LIST};
use omq_proto::Message;
use omq_proto::proto::mechanism::FrameTransform;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until};

use super::ears::{self, Heard};
use super::relay::{Relay, now};

/// Bytes that are sealed beforehand: of 10,000 that read nothing, 80 MB.
const AHEAD: usize = 8 * 1024;

/// Whoever stays subscribed to the list gets it again after so long.
const LIST_EVERY: Duration = Duration::from_secs(10);

/// How long a list may be on the way.
const LIST_MAX: Duration = Duration::from_secs(60);

/// How long nothing may be taken of what is on the way.
const STUCK: Duration = Duration::from_secs(30);

/// Bytes that one may say in [`WINDOW`]: subscriptions and heartbeats are some hundreds.
const SAID: usize = 16 * 1024;
const WINDOW: Duration = Duration::from_secs(60);

/// When nothing is to be done by itself.
const FAR: Duration = Duration::from_secs(3600);

const TOPICS: [&str; 3] = [TOPIC_LIST, TOPIC_DELTA, TOPIC_EVENT];
const LIST: usize = 0;
const DELTA: usize = 1;
const EVENT: usize = 2;

/// The right to have a list on the way: one of those of an address, and one of all.
type Right = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Where a router stands with the list.
enum Listing {
    /// The next is due then, if it wants one.
    Due(Instant),
    /// Others are before it.
    Waits(Pin<Box<dyn Future<Output = Option<Right>>>>),
    /// So many bytes are on the way until it is there, which must be then.
    Sends { _right: Right, left: usize, until: Instant },
}

/// Why it ended.
#[derive(Debug)]
pub enum End {
    /// It left, or its connection broke.
    Left,
    /// It was sent away by whoever let it in.
    SentAway,
    /// It does what no router does: which matter, and what.
    Cut(&'static str, String),
}

/// See the module's head.
pub struct Guest {
    relay: Rc<Relay>,
    stream: TcpStream,
    keys: Option<FrameTransform>,
    /// Rights of its address.
    lists: Arc<Semaphore>,
    /// The beginning of a frame.
    heard: Vec<u8>,
    said: (Instant, usize),
    out: VecDeque<Bytes>,
    /// Bytes of the first in `out` that are gone.
    gone: usize,
    pending: usize,
    progress: Instant,
    wants: [u32; 3],
    /// Places of the next change and the next event for it.
    next: [u64; 2],
    /// Place behind the last change that it was told.
    told: u64,
    listing: Listing,
}

impl Guest {
    /// Whose hands were shaken.
    pub fn new(relay: Rc<Relay>, stream: TcpStream, keys: FrameTransform, lists: Arc<Semaphore>) -> Guest {
        let now = Instant::now();
        Guest {
            relay,
            stream,
            keys: Some(keys),
            lists,
            heard: Vec::new(),
            said: (now, 0),
            out: VecDeque::new(),
            gone: 0,
            pending: 0,
            progress: now,
            wants: [0; 3],
            next: [0; 2],
            told: 0,
            listing: Listing::Due(now),
        }
    }

    /// Tells it until it leaves or must.
    pub async fn serve(mut self, mut sent_away: oneshot::Receiver<()>) -> End {
        let mut changed = self.relay.changed.subscribe();
        loop {
            if let Err(end) = self.turn() {
                return end;
            }
            let listens = (self.wants[DELTA] > 0 || self.wants[EVENT] > 0) && self.pending < AHEAD;
            let due = self.due();
            tokio::select! {
                biased;
                _ = &mut sent_away => return End::SentAway,
                ready = self.stream.readable() => if let Err(end) = ready.map_err(|_| End::Left).and_then(|()| self.read()) {
                    return end;
                },
                ready = self.stream.writable(), if self.pending > 0 => if ready.is_err() {
                    return End::Left;
                },
                right = right(&mut self.listing) => if let Err(end) = self.list(right) {
                    return end;
                },
                _ = changed.changed(), if listens => {}
                () = sleep_until(due) => {}
            }
        }
    }

    /// All that can be done without waiting.
    fn turn(&mut self) -> Result<(), End> {
        let now = Instant::now();
        match &self.listing {
            Listing::Due(due) if self.wants[LIST] > 0 && *due <= now => self.listing = Listing::Waits(self.ask()),
            Listing::Waits(_) if self.wants[LIST] == 0 => self.listing = Listing::Due(now),
            Listing::Sends { until, .. } if *until <= now => {
                return Err(End::Cut("slow", format!("has not taken the list within {} s", LIST_MAX.as_secs())));
            }
            _ => {}
        }
        if self.pending > 0 && now - self.progress >= STUCK {
            return Err(End::Cut("slow", format!("has taken nothing for {} s", STUCK.as_secs())));
        }
        self.fill()?;
        self.flush()
    }

    /// When [`Guest::turn`] has something to do by itself.
    fn due(&self) -> Instant {
        let mut due = Instant::now() + FAR;
        match &self.listing {
            Listing::Due(list) if self.wants[LIST] > 0 => due = due.min(*list),
            Listing::Sends { until, .. } => due = due.min(*until),
            _ => {}
        }
        if self.pending > 0 { due.min(self.progress + STUCK) } else { due }
    }

    /// Asks for the right to a list: of its address first, so that one address is not all that wait.
    fn ask(&self) -> Pin<Box<dyn Future<Output = Option<Right>>>> {
        let (own, all) = (self.lists.clone(), self.relay.lists.clone());
        Box::pin(async move {
            let own = own.acquire_owned().await.ok()?;
            Some((own, all.acquire_owned().await.ok()?))
        })
    }

    /// Its turn has come.
    fn list(&mut self, right: Option<Right>) -> Result<(), End> {
        let at = Instant::now();
        let list = self.relay.held.borrow_mut().list(self.told, now());
        let (Some(right), Some(list)) = (right, list) else {
            self.listing = Listing::Due(at + LIST_EVERY);
            return Ok(());
        };
        self.next[0] = list.end;
        self.seal(TOPIC_LIST, list.payload)?;
        self.listing = Listing::Sends { _right: right, left: self.pending, until: at + LIST_MAX };
        self.relay.hub.relay.lists.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Seals what it has not been told yet.
    fn fill(&mut self) -> Result<(), End> {
        while self.wants[DELTA] > 0 && self.pending < AHEAD {
            let held = self.relay.held.borrow();
            if !held.changes.reaches(self.next[0]) {
                self.next[0] = held.changes.end().saturating_sub(1);
            }
            let Some(payload) = held.changes.at(self.next[0]).cloned() else { break };
            drop(held);
            self.next[0] += 1;
            self.told = self.next[0];
            self.seal(TOPIC_DELTA, payload)?;
        }
        while self.wants[EVENT] > 0 && self.pending < AHEAD {
            let held = self.relay.held.borrow();
            if !held.events.reaches(self.next[1]) {
                self.next[1] = held.events.end();
            }
            let Some(payload) = held.events.at(self.next[1]).cloned() else { break };
            drop(held);
            self.next[1] += 1;
            self.seal(TOPIC_EVENT, payload)?;
        }
        Ok(())
    }

    fn seal(&mut self, topic: &'static str, payload: Bytes) -> Result<(), End> {
        if self.pending == 0 {
            self.progress = Instant::now();
        }
        let keys = self.keys.as_mut().ok_or(End::Left)?;
        let message = Message::multipart([Bytes::from_static(topic.as_bytes()), payload]);
        self.pending += ears::sealed(keys, &message, &mut self.out).map_err(|_| End::Left)?;
        Ok(())
    }

    /// Writes as much as the connection takes.
    fn flush(&mut self) -> Result<(), End> {
        while self.pending > 0 {
            let mut slices = [IoSlice::new(&[]); 16];
            let mut gone = self.gone;
            for (slice, chunk) in slices.iter_mut().zip(&self.out) {
                *slice = IoSlice::new(chunk.get(gone..).unwrap_or_default());
                gone = 0;
            }
            match self.stream.try_write_vectored(&slices) {
                Ok(count) => self.wrote(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(End::Left),
            }
        }
        // A list's room is not kept.
        self.out.shrink_to(16);
        Ok(())
    }

    fn wrote(&mut self, count: usize) {
        self.progress = Instant::now();
        self.pending -= count.min(self.pending);
        if let Listing::Sends { left, .. } = &mut self.listing {
            *left = left.saturating_sub(count);
            if *left == 0 {
                self.listing = Listing::Due(self.progress + LIST_EVERY);
            }
        }
        self.gone += count;
        while let Some(length) = self.out.front().map(Bytes::len).filter(|length| *length <= self.gone) {
            self.gone -= length;
            self.out.pop_front();
        }
    }

    /// Takes what it says.
    fn read(&mut self) -> Result<(), End> {
        let mut buffer = [0; 4096];
        let count = match self.stream.try_read(&mut buffer) {
            Ok(0) => return Err(End::Left),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Err(End::Left),
        };
        let (since, said) = &mut self.said;
        if since.elapsed() >= WINDOW {
            (*since, *said) = (Instant::now(), 0);
        }
        *said += count;
        if *said > SAID {
            let told = format!("says more than {SAID} bytes in {} s; a router says some hundreds", WINDOW.as_secs());
            return Err(End::Cut("flood", told));
        }
        self.heard.extend(buffer.iter().take(count));
        while let Some(length) = ears::frame(&self.heard) {
            if length > ears::FRAME {
                return Err(End::Cut("frame", format!("sends a frame of {length} bytes")));
            }
            if self.heard.len() < length {
                return Ok(());
            }
            let frame: Bytes = self.heard.drain(..length).collect::<Vec<u8>>().into();
            let heard = self.relay.ears.hear(&mut self.keys, frame);
            match heard.map_err(|error| End::Cut("rubbish", format!("breaks the protocol: {error}")))? {
                Heard::Wants(prefix, wanted) => self.want(&prefix, wanted),
                Heard::Answer(answer) => {
                    if self.pending == 0 {
                        self.progress = Instant::now();
                    }
                    self.pending += answer.len();
                    self.out.push_back(answer);
                }
                Heard::Other => {}
            }
        }
        if self.heard.is_empty() {
            self.heard = Vec::new();
        }
        Ok(())
    }

    /// However many topics it names, three are there.
    fn want(&mut self, prefix: &[u8], wanted: bool) {
        for (topic, count) in TOPICS.iter().zip(&mut self.wants) {
            if topic.as_bytes().starts_with(prefix) {
                *count = if wanted { count.saturating_add(1) } else { count.saturating_sub(1) };
                if wanted && *count == 1 {
                    let held = self.relay.held.borrow();
                    match *topic {
                        TOPIC_DELTA => self.next[0] = held.changes.end(),
                        TOPIC_EVENT => self.next[1] = held.events.end(),
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Waits for the right to a list where one is wanted.
async fn right(listing: &mut Listing) -> Option<Right> {
    match listing {
        Listing::Waits(turn) => turn.await,
        _ => std::future::pending().await,
    }
}

/// Where a connection comes from: an address, or what one IPv6 site has.
pub fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        address => address,
    }
}
