//! One simulated router: its connection, the state of its talk with the hub, and its own set of bans.
//!
//! It does what a real one does on the wire (docs/protocols.md, section 3): changes are subscribed to first, then the
//! hub is greeted, then what is missing is read from the bucket; a message that does not follow on the one before
//! means that something was missed, and only that is read.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::bans::{Bans, Batch};
use super::wire::{self, Message, Op};
use crate::Result;

/// Subscriptions by their numbers.
const CHANGES: u32 = 1;
const INBOX: u32 = 2;
const OWN: u32 = 3;

/// Messages of the bucket that are asked for at once.
const PIECE: u32 = 500;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Messages about changes that are held while the bucket is read.
const HELD: usize = 1000;

/// How often a server is asked again that may be behind the others.
const AGAIN: u32 = 3;

/// How long a router may have been out of touch and still reads only what it missed: less than the bucket remembers
/// what was taken back.
const REMEMBERED: Duration = Duration::from_secs(1800);

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not connected; to be tried at `due`.
    Away,
    /// The connection is being made.
    Connecting,
    /// The hub was greeted.
    Greeting,
    /// The bucket is being read.
    Reading,
    /// It will greet or read at `due`.
    Waiting,
    /// Its set follows the hub.
    Live,
}

/// A router.
pub struct Router {
    pub index: usize,
    pub phase: Phase,
    /// Which of the servers it is at.
    pub server: usize,
    pub socket: Option<TcpStream>,
    /// When something is to be done.
    pub due: Instant,
    /// The Unix second at which each ban ends, by the number of its address; 0 is none.
    pub bans: Vec<u32>,
    /// Up to which of the bucket's messages it knows everything; 0: nothing yet.
    pub sequence: u64,
    /// When it last heard of the hub.
    pub heard: Instant,
    /// Messages it has had about changes.
    pub messages: u64,
    /// How often something was missing.
    pub gaps: u64,
    /// Whether the kernel is asked to tell when more can be written.
    pub writing: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    /// A set that is being read from nothing.
    fresh: Option<Vec<u32>>,
    held: Vec<Rc<Batch>>,
    /// What the hub had told when it was greeted.
    wanted: u64,
    /// The highest that was read.
    top: u64,
    again: u32,
    /// The number of the last request: an answer to an older one is too late.
    request: u32,
}

impl Router {
    pub fn new(index: usize, server: usize, due: Instant) -> Router {
        Router {
            index,
            phase: Phase::Away,
            server,
            socket: None,
            due,
            bans: Vec::new(),
            sequence: 0,
            heard: due,
            messages: 0,
            gaps: 0,
            writing: false,
            input: Vec::new(),
            output: Vec::new(),
            fresh: None,
            held: Vec::new(),
            wanted: 0,
            top: 0,
            again: 0,
            request: 0,
        }
    }

    /// The connection stands: says who it is, and what it wants to hear.
    pub fn connected(&mut self, now: Instant) {
        let name = format!("r{}", self.index);
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"echo\":false,\"headers\":true,\"no_responders\":true,\
             \"user\":\"{name}\",\"pass\":\"{name}\",\"name\":\"{name}\",\"lang\":\"fleet\",\"version\":\"1\",\
             \"protocol\":1}}\r\nSUB diswall.hub.changes {CHANGES}\r\nSUB _INBOX.{name}.* {INBOX}\r\n\
             SUB diswall.*.{name}.*.* {OWN}\r\n"
        );
        self.output.extend_from_slice(hello.as_bytes());
        self.greet(now);
    }

    /// The connection is gone, or is given up: to be made again at `due`.
    pub fn disconnected(&mut self, due: Instant) {
        self.socket = None;
        self.phase = Phase::Away;
        self.due = due;
        (self.input, self.output, self.held) = (Vec::new(), Vec::new(), Vec::new());
        self.fresh = None;
    }

    /// Something is due. `false`: it concerns the connection, which is the caller's.
    pub fn wake(&mut self, now: Instant) -> bool {
        match self.phase {
            Phase::Away | Phase::Connecting => return false,
            Phase::Waiting if self.again > 0 => self.read_on(now),
            Phase::Waiting | Phase::Greeting | Phase::Reading => self.greet(now),
            Phase::Live => {}
        }
        true
    }

    /// Reports an address.
    pub fn report(&mut self, address: std::net::IpAddr) {
        self.publish(&format!("diswall.blacklist.r{}.add.host", self.index), "", &format!("{address}|fleet"));
    }

    /// Takes that back.
    pub fn take_back(&mut self, address: std::net::IpAddr) {
        self.publish(&format!("diswall.blacklist.r{}.del.host", self.index), "", &address.to_string());
    }

    /// Whether something waits to be written.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Writes what waits, as far as it goes.
    pub fn flush(&mut self) -> std::io::Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        while !self.output.is_empty() {
            match socket.write(&self.output) {
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.output = Vec::new();
        Ok(())
    }

    /// Reads what came. `Ok(false)`: the connection has ended. An error is a fault in what was said.
    pub fn read(&mut self, buffer: &mut [u8], bans: &mut Bans, now: Instant) -> Result<bool> {
        loop {
            let Some(socket) = &mut self.socket else { return Ok(false) };
            let length = match socket.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(_) => return Ok(false),
            };
            let whole = length == buffer.len();
            let new = buffer.get(..length).unwrap_or_default();
            if self.input.is_empty() {
                let used = self.take(new, bans, now)?;
                self.input = new.get(used..).unwrap_or_default().to_vec();
            } else {
                let mut input = std::mem::take(&mut self.input);
                input.extend_from_slice(new);
                let used = self.take(&input, bans, now)?;
                input.drain(..used);
                input.shrink_to(4096);
                self.input = input;
            }
            if !whole {
                return Ok(true);
            }
        }
    }

    /// Takes all whole operations; their length.
    fn take(&mut self, bytes: &[u8], bans: &mut Bans, now: Instant) -> Result<usize> {
        let mut used = 0;
        while let Some((op, length)) = wire::next(bytes.get(used..).unwrap_or_default())? {
            used += length;
            match op {
                Op::Ping => self.output.extend_from_slice(b"PONG\r\n"),
                Op::Error(line) => return Err(String::from_utf8_lossy(line).into_owned()),
                Op::Info | Op::Pong | Op::Ok => {}
                Op::Message(message) if message.sid == CHANGES => self.told(&message, bans, now)?,
                Op::Message(message) if message.sid == INBOX => self.answered(&message, bans, now)?,
                // Its own login's other routers; here it has none.
                Op::Message(_) => {}
            }
        }
        Ok(used)
    }

    fn publish(&mut self, subject: &str, reply: &str, body: &str) {
        let line = format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len());
        self.output.extend_from_slice(line.as_bytes());
    }

    fn ask(&mut self, subject: &str, body: &str, now: Instant) {
        self.request += 1;
        self.due = now + PATIENCE;
        let reply = format!("_INBOX.r{}.{}", self.index, self.request);
        self.publish(subject, &reply, body);
    }

    fn greet(&mut self, now: Instant) {
        self.phase = Phase::Greeting;
        self.again = 0;
        self.ask("diswall.hub.hello", "1", now);
    }

    /// Asks for the bucket's messages after those that it has.
    fn read_on(&mut self, now: Instant) {
        self.phase = Phase::Reading;
        let from = self.top + 1;
        let body = format!("{{\"seq\":{from},\"batch\":{PIECE},\"next_by_subj\":\"$KV.diswall_bans.>\"}}");
        self.ask("$JS.API.DIRECT.GET.KV_diswall_bans", &body, now);
    }

    fn wait(&mut self, now: Instant, time: Duration) {
        self.phase = Phase::Waiting;
        self.due = now + time;
    }

    fn answered(&mut self, message: &Message<'_>, bans: &mut Bans, now: Instant) -> Result<()> {
        let number = message.subject.rsplit('.').next().and_then(|word| word.parse().ok());
        if number != Some(self.request) {
            return Ok(());
        }
        match (self.phase, message.status()) {
            // Nobody is there who could answer.
            (Phase::Greeting | Phase::Reading, Some(503)) => {
                self.again = 0;
                // Not all of them at once.
                self.wait(now, Duration::from_millis(1000 + self.index as u64 % 1000));
            }
            (Phase::Greeting, _) => self.welcomed(message.payload, now)?,
            (Phase::Reading, None) => {
                self.due = now + PATIENCE;
                self.keep(message, bans, now)?;
            }
            (Phase::Reading, Some(204)) if message.header("Nats-Num-Pending").is_some_and(|left| left != "0") => {
                self.read_on(now);
            }
            (Phase::Reading, Some(204 | 404)) if self.top < self.wanted && self.again < AGAIN => {
                self.again += 1;
                self.wait(now, Duration::from_secs(1));
            }
            (Phase::Reading, Some(204 | 404)) => self.caught_up(bans, now),
            (Phase::Reading, Some(status)) => return Err(format!("the bucket answers with status {status}")),
            _ => {}
        }
        Ok(())
    }

    /// The hub's answer to the greeting.
    fn welcomed(&mut self, body: &[u8], now: Instant) -> Result<()> {
        let text = String::from_utf8_lossy(body);
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        let sequence = value("seq").and_then(|word| word.parse().ok());
        let Some((sequence, "1")) = sequence.zip(value("diswall-hub")) else {
            return Err(format!("the hub greets with {text:?}"));
        };
        self.wanted = sequence;
        let knows_most = self.sequence > 0 && sequence >= self.sequence && now - self.heard < REMEMBERED;
        (self.top, self.fresh) = if knows_most { (self.sequence, None) } else { (0, Some(Vec::new())) };
        self.heard = now;
        self.read_on(now);
        Ok(())
    }

    fn keep(&mut self, message: &Message<'_>, bans: &mut Bans, now: Instant) -> Result<()> {
        let kept = wire::kept(message)?;
        self.top = self.top.max(kept.sequence);
        let end = kept.until.map_or(0, |until| u32::try_from(until).unwrap_or(u32::MAX));
        let number = bans.number(kept.address);
        match &mut self.fresh {
            None => self.set(number, end, bans, now),
            Some(fresh) => put(fresh, number, end),
        }
        Ok(())
    }

    /// Everything was read: what came meanwhile follows.
    fn caught_up(&mut self, bans: &mut Bans, now: Instant) {
        self.again = 0;
        self.sequence = self.top.max(self.wanted);
        self.phase = Phase::Live;
        if let Some(fresh) = self.fresh.take() {
            for (number, end) in (0..).zip(&fresh).filter(|(_, end)| **end > 0) {
                self.set(number, *end, bans, now);
            }
            self.bans = fresh;
        }
        for batch in std::mem::take(&mut self.held) {
            if self.phase == Phase::Live {
                self.follow(&batch, bans, now);
            }
        }
    }

    fn told(&mut self, message: &Message<'_>, bans: &mut Bans, now: Instant) -> Result<()> {
        self.heard = now;
        self.messages += 1;
        let batch = bans.batch(message.payload)?;
        match self.phase {
            Phase::Live => self.follow(&batch, bans, now),
            _ if self.held.len() < HELD => self.held.push(batch),
            // What is lost here makes a gap later.
            _ => self.held.clear(),
        }
        Ok(())
    }

    fn follow(&mut self, batch: &Batch, bans: &mut Bans, now: Instant) {
        if batch.from > self.sequence || (batch.from == batch.to && batch.to < self.sequence) {
            self.gaps += 1;
            self.wait(now, Duration::from_millis((self.index as u64 * 7919) % 2000));
        } else if batch.to > self.sequence {
            for (number, end) in &batch.changes {
                self.set(*number, *end, bans, now);
            }
            self.sequence = batch.to;
        }
    }

    fn set(&mut self, number: u32, end: u32, bans: &mut Bans, now: Instant) {
        let had = self.bans.get(number as usize).is_some_and(|end| *end > 0);
        put(&mut self.bans, number, end);
        if end > 0 && !had {
            bans.arrived(number, now);
        }
    }
}

fn put(bans: &mut Vec<u32>, number: u32, end: u32) {
    let place = number as usize;
    if place >= bans.len() {
        bans.resize(place + 1, 0);
    }
    if let Some(held) = bans.get_mut(place) {
        *held = end;
    }
}
