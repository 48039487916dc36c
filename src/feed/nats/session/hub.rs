//! The session's part for a hub: finds out whether one is there, takes its list, follows its changes, and,
//! while it is away, takes what several other routers report.
//!
//! A hub is asked for what it is before anything else. Where nobody answers, the bucket in which hubs keep their
//! bans says whether this server is a hub's all the same: then the hub is away. In all other cases the service is
//! DisWall's, and is followed as if there were no hubs; the first change that a hub tells of is looked into.
//!
//! A list comes from the server, not from the hub, after the changes have been subscribed: what the hub tells
//! meanwhile is posted at once and again behind the list. After a gap in the changes, or a broken connection, only what
//! changed since is asked for, after a pause by chance: all routers of a fleet see the same gap. What answers may lag
//! behind what the hub has told of: then it is asked again.

use super::super::hub::peers::{Peers, Told};
use super::super::hub::snapshot::{Snapshot, Step};
use super::super::hub::wire::{self as words, Change, Heading};
use super::super::subscriptions::Purpose;
use super::*;
use crate::feed::backoff::Backoff;

/// First and longest pause before the list is taken anew because of a gap; less of it by chance.
const GAPS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(120));
/// Without a gap for so long, the next one's pause is a short one again.
const STEADY: Duration = Duration::from_secs(600);
/// What changed is asked for if that began no longer ago: for an hour the server knows what was taken back by hand.
const SINCE: Duration = Duration::from_secs(3000);
/// How often, and after what time each, the server is asked again when it lags behind the hub.
const LAGS: (u8, Duration) = (3, Duration::from_secs(1));
/// A hub is away after so many signs of life that did not come.
const MISSED: u32 = 3;
/// Bytes of a message of changes that are read at a time.
const PIECE: usize = 8 * 1024;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// That is being found out; given up then.
    Unknown(Instant),
    /// DisWall's server.
    Server,
    /// A hub, now or lately.
    Hub,
}

/// Which answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    Nothing,
    Hello,
    Latest,
    Batch,
}

/// What is known of a hub.
#[derive(Debug)]
pub(super) struct Hub {
    pub peer: Peer,
    awaits: Awaits,
    /// Where that answer is expected, and what was asked.
    reply: String,
    pub subject: &'static str,
    asked: u32,
    /// Different logins whose reports count while it is away; 0: nothing does.
    pub quorum: u8,
    /// Which stream its sequences are of; 0: not known.
    born: u64,
    /// The sequence up to which its changes are known.
    sequence: Option<u64>,
    /// Up to there nothing is lacking, and when that was so, while something behind it is.
    pub whole: Option<(u64, Instant)>,
    /// The sequence that a list or changes must reach, and how often they did not.
    goal: u64,
    lags: u8,
    /// The server's clock, Unix seconds, and when it said so.
    time: (u64, Instant),
    /// Messages in a row that are older than that.
    behind: u8,
    /// When it was last heard of, and how often it says something.
    heard: Instant,
    heartbeat: Duration,
    pub away: bool,
    /// When a new list is to be asked for because of a gap, and when that was last so.
    resync: Option<Instant>,
    backoff: Backoff,
    resynced: Option<Instant>,
    snapshot: Option<Snapshot>,
    /// Bytes of the message of changes that have been read.
    read: usize,
    peers: Peers,
    pub told: Told,
}

impl Hub {
    pub fn new() -> Hub {
        let now = Instant::now();
        Hub {
            peer: Peer::Unknown(now),
            awaits: Awaits::Nothing,
            reply: String::new(),
            subject: words::HELLO,
            asked: 0,
            quorum: 2,
            born: 0,
            sequence: None,
            whole: None,
            goal: 0,
            lags: 0,
            time: (0, now),
            behind: 0,
            heard: now,
            heartbeat: Duration::from_secs(5),
            away: false,
            resync: None,
            backoff: Backoff::new(GAPS.0, GAPS.1),
            resynced: None,
            snapshot: None,
            read: 0,
            peers: Peers::default(),
            told: Told::default(),
        }
    }

    /// When it is to be looked at again.
    pub fn timer(&self) -> Option<Instant> {
        match self.peer {
            Peer::Unknown(until) => Some(until),
            Peer::Server => self.resync,
            Peer::Hub => [self.resync, (!self.away).then(|| self.silent())].into_iter().flatten().min(),
        }
    }

    /// When it will have been silent for too long.
    fn silent(&self) -> Instant {
        self.heard + MISSED * self.heartbeat
    }

    /// What people are told while it is away.
    pub fn absence(&self) -> String {
        let silence = u64::from(MISSED) * self.heartbeat.as_secs();
        let exchange = match self.quorum {
            0 => String::new(),
            1 => "; meanwhile every ban that another router reports is taken".into(),
            quorum => format!("; meanwhile bans that {quorum} other logins report are taken"),
        };
        format!("the NATS server answers, but the hub behind it has said nothing for {silence} s{exchange}")
    }

    /// No answer is awaited any more.
    pub fn forget(&mut self) {
        (self.awaits, self.snapshot) = (Awaits::Nothing, None);
    }

    /// Goes on with what an earlier connection knew.
    pub fn succeed(&mut self, before: &Hub) {
        self.born = before.born;
        self.peers.succeed(&before.peers);
    }

    /// What a later connection may begin with.
    pub fn handed_on(&self) -> Option<(u64, Instant)> {
        self.whole.or(self.sequence.map(|sequence| (sequence, self.heard))).filter(|_| self.peer == Peer::Hub)
    }

    /// Whether sequences of the stream that was made then say nothing of those that are known.
    fn is_another(&self, born: u64) -> bool {
        born != self.born && self.born != 0
    }

    /// From which sequence on changes suffice, in place of a list.
    fn since(&self, now: Instant) -> Option<u64> {
        self.whole.filter(|(_, when)| now.duration_since(*when) < SINCE).map(|(sequence, _)| sequence)
    }

    /// What lacks because of a gap is to be asked for, not at once.
    fn gap(&mut self, now: Instant) {
        if self.resync.is_none() {
            if self.resynced.is_none_or(|last| now.duration_since(last) > STEADY) {
                self.backoff.reset();
            }
            let pause = self.backoff.delay();
            self.resync = Some(now + self.backoff.within(pause));
            self.resynced = Some(now);
        }
    }
}

impl Session {
    /// Different logins whose reports of an address count while a hub is away; 0: nothing is taken of them.
    pub fn set_quorum(&mut self, quorum: u8) {
        self.hub.quorum = quorum;
    }

    /// Asks whether a hub is there.
    pub(super) fn look_for_hub(&mut self, now: Instant, out: &mut Output) {
        self.hub.peer = Peer::Unknown(now + REPLY);
        self.need(Purpose::Question, now, out);
        self.ask_hub(Awaits::Hello, now, out);
    }

    /// The subscriptions for a purpose.
    pub(super) fn need(&mut self, purpose: Purpose, now: Instant, out: &mut Output) {
        self.subscriptions.need(purpose, &self.subjects, &self.inbox, self.shared_login, &mut out.bytes);
        self.subscribe(now, out);
    }

    fn ask_hub(&mut self, awaits: Awaits, now: Instant, out: &mut Output) {
        self.hub.asked = self.hub.asked.wrapping_add(1);
        let batch;
        let (subject, body) = match awaits {
            Awaits::Batch => {
                batch = self.hub.snapshot.as_mut().map(|snapshot| snapshot.ask(now)).unwrap_or_default();
                (words::KEPT, batch.as_bytes())
            }
            Awaits::Latest => (words::KEPT, words::LATEST),
            Awaits::Hello | Awaits::Nothing => (words::HELLO, words::HELLO_BODY),
        };
        self.hub.reply = format!("{}.hub.{}", self.inbox, self.hub.asked);
        (self.hub.awaits, self.hub.subject) = (awaits, subject);
        protocol::publish(&mut out.bytes, subject, Some(&self.hub.reply), body);
        self.prove(Proof::Hub(self.hub.asked), now, &mut out.bytes);
        self.give_time(now);
    }

    /// The answer that is awaited may take some time from now on.
    fn give_time(&mut self, now: Instant) {
        match self.hub.peer {
            Peer::Unknown(_) => self.hub.peer = Peer::Unknown(now + REPLY),
            Peer::Hub => self.block.stage = Stage::Asked(now + REPLY),
            Peer::Server => {}
        }
    }

    /// Asks the hub for its list: first what it is, for the list is no older than that.
    pub(super) fn ask_for_hubs_list(&mut self, now: Instant, out: &mut Output) {
        self.block.begin();
        (self.hub.resync, self.hub.sequence, self.hub.snapshot) = (None, None, None);
        (self.hub.whole, self.hub.lags) = (None, 0);
        self.ask_hub(Awaits::Hello, now, out);
    }

    /// The server does not let this login ask what was asked last.
    pub(super) fn hub_denied(&mut self, now: Instant, out: &mut Output) {
        if self.hub.awaits == Awaits::Nothing {
            return;
        }
        self.hub.forget();
        match self.hub.peer {
            Peer::Unknown(_) => self.follow_server(false, now, out),
            Peer::Server => self.need(Purpose::Server(false), now, out),
            Peer::Hub if self.block.is_asked() => self.block.deny(now, out),
            _ => {}
        }
    }

    /// An answer came where the hub's are expected.
    pub(super) fn hub_reply(&mut self, message: &Delivery<'_>, now: Instant, out: &mut Output) {
        if message.subject != self.hub.reply {
            return; // a late one
        }
        match (self.hub.awaits, message.status) {
            (Awaits::Hello, None) => match words::hello(message.payload) {
                Ok(hello) if hello.protocol == words::PROTOCOL => {
                    self.hub.heartbeat = Duration::from_secs(hello.heartbeat);
                    self.heard_of_hub(hello.time, now);
                    if self.hub.away {
                        self.hub_is_back(now, out);
                    }
                    if self.hub.is_another(hello.born) {
                        (self.hub.whole, self.hub.sequence) = (None, None);
                    }
                    self.hub.born = hello.born;
                    self.take_hubs_list(hello.sequence, now, out);
                }
                Ok(hello) => {
                    let why = format!(
                        "the hub speaks protocol {}, this diswall {}: one of them is to be updated",
                        hello.protocol,
                        words::PROTOCOL
                    );
                    self.complain(&why, out);
                    self.no_hello(&why, now, out);
                }
                Err(refusal) => {
                    self.gauges.refused_messages.set(self.gauges.refused_messages.get() + 1);
                    self.refuse(1, &format!("{}: {refusal}", words::HELLO), now, out);
                    self.no_hello(&refusal.to_string(), now, out);
                }
            },
            (Awaits::Hello, Some(_)) => self.no_hello("no hub answers at the moment", now, out),
            (Awaits::Latest, status) => match words::latest(message.headers, status) {
                Some((sequence, time)) => {
                    self.hub.away = true;
                    self.hub.time = (time, now);
                    self.take_hubs_list(sequence, now, out);
                }
                None => self.no_latest(now, out),
            },
            (Awaits::Batch, _) => self.batch(message, now, out),
            (Awaits::Nothing, _) => {}
        }
    }

    /// No hub says what it is.
    fn no_hello(&mut self, why: &str, now: Instant, out: &mut Output) {
        self.hub.forget();
        match self.hub.peer {
            Peer::Unknown(_) => self.ask_hub(Awaits::Latest, now, out),
            Peer::Hub => self.fail_block(why, now, out),
            Peer::Server => self.need(Purpose::Server(true), now, out),
        }
    }

    /// Nor does the server keep a hub's bans.
    fn no_latest(&mut self, now: Instant, out: &mut Output) {
        self.hub.forget();
        self.follow_server(true, now, out);
    }

    /// The list of that sequence, or newer, begins to come; or what changed, where the list of another connection's is
    /// still there.
    fn take_hubs_list(&mut self, sequence: u64, now: Instant, out: &mut Output) {
        if self.hub.peer != Peer::Hub {
            self.hub.peer = Peer::Hub;
            self.gauges.hub.set(true);
            self.hub.heard = now;
            self.need(self.hub_purpose(), now, out);
            self.block.begin();
            if !self.subscriptions.lacks_inbox() && !self.allow.is_asked() {
                self.ask_for(Which::Allow, now, out);
            }
        }
        // What has been told of since the changes were subscribed is in the list that is asked for now.
        self.hub.sequence = Some(self.hub.sequence.unwrap_or(0).max(sequence));
        let since = self.hub.since(now).filter(|since| *since <= sequence);
        self.ask_kept(since, sequence, now, out);
    }

    /// Asks the server for what it keeps, all of it or what came after a sequence; it must reach `goal`.
    fn ask_kept(&mut self, since: Option<u64>, goal: u64, now: Instant, out: &mut Output) {
        (self.hub.whole, self.hub.goal) = (None, goal);
        if since.is_none() {
            self.hub.peers.forget_revoked();
        }
        self.hub.snapshot = Some(Snapshot::new(&self.intake, since, self.hub.time, now));
        self.ask_hub(Awaits::Batch, now, out);
        self.review(now, out);
    }

    fn hub_purpose(&self) -> Purpose {
        if self.hub.away && self.hub.quorum > 0 { Purpose::Exchange } else { Purpose::Hub }
    }

    fn batch(&mut self, message: &Delivery<'_>, now: Instant, out: &mut Output) {
        let Some(snapshot) = &mut self.hub.snapshot else { return };
        match snapshot.take(message, now) {
            Ok(Step::More) => self.give_time(now),
            Ok(Step::Unban(address)) => {
                self.hub.told.remove(address);
                out.event(Event::Unban { source: Source::NATS, net: address.into() });
                self.give_time(now);
            }
            Ok(Step::Ban(address, seconds, reason)) => {
                out.event(ban(address.into(), Lifetime::Seconds(seconds), because(reason)));
                self.give_time(now);
            }
            Ok(Step::Revoked(login, revoked)) => {
                self.hub.peers.revoke(&login, revoked);
                self.give_time(now);
            }
            Ok(Step::Next) => self.ask_hub(Awaits::Batch, now, out),
            Ok(Step::End) if snapshot.is_useless() => {
                let why = snapshot.last_refusal.as_ref().map(ToString::to_string).unwrap_or_default();
                self.fail_block(&format!("nothing in the hub's list is usable: {why}"), now, out);
            }
            Ok(Step::End) => {
                let Some(mut snapshot) = self.hub.snapshot.take() else { return };
                self.hub.forget();
                let (refused, last) = (snapshot.refused, snapshot.last_refusal.take());
                let reached = snapshot.reached();
                match snapshot.end(self.hub.told.holding(now)) {
                    Some(list) => {
                        self.block_list(Taken { list, refused, last_refusal: last }, now, out);
                    }
                    None => {
                        self.listed = !self.block.stale;
                        self.taken(Which::Block, refused, last, now, out);
                    }
                }
                if reached < self.hub.goal && self.hub.lags < LAGS.0 {
                    self.hub.lags += 1;
                    self.hub.whole.get_or_insert((reached, now));
                    self.hub.resync.get_or_insert(now + LAGS.1);
                } else {
                    self.hub.lags = 0;
                }
            }
            Err(why) => self.fail_block(&why, now, out),
        }
    }

    /// No list comes of it.
    fn fail_block(&mut self, why: &str, now: Instant, out: &mut Output) {
        self.hub.forget();
        self.block.fail(why, now, out);
        self.review(now, out);
    }

    /// More changes came meanwhile than are kept: what changed since then is to be taken, not at once.
    pub(super) fn take_anew(&mut self, now: Instant) {
        let goal = self.hub.goal;
        self.hub.whole.get_or_insert((goal, now));
        self.hub.gap(now);
    }

    fn heard_of_hub(&mut self, time: u64, now: Instant) {
        (self.hub.heard, self.hub.time) = (now, (time, now));
        self.gauges.hub_heard.set(Some(crate::uptime::seconds()));
    }

    fn hub_is_back(&mut self, now: Instant, out: &mut Output) {
        self.hub.away = false;
        self.hub.peers.clear();
        self.need(Purpose::Hub, now, out);
        self.review(now, out);
    }

    /// Takes the next piece of a message of changes; true when there is more in it.
    pub(super) fn changes(
        &mut self,
        message: &Delivery<'_>,
        now: Instant,
        out: &mut Output,
    ) -> Result<bool, WireError> {
        let body = message.payload;
        if self.hub.read == 0 {
            if body.len() > words::CHANGES_MAX {
                return Err(WireError::Word(format!("{} bytes", body.len()), "at most 512 KiB"));
            }
            let heading = words::heading(body)?;
            let born = words::number(message.headers, words::BORN).unwrap_or(self.hub.born);
            if !self.are_news(&heading, born, now, out) {
                return Ok(false);
            }
            self.hub.read = heading.bytes;
        }
        let rest = body.get(self.hub.read..).unwrap_or_default();
        let end = rest.iter().skip(PIECE).position(|byte| *byte == b'\n');
        let piece = end.and_then(|more| rest.get(..PIECE + more + 1)).unwrap_or(rest);
        self.hub.read += piece.len();
        let more = self.hub.read < body.len();
        if !more {
            self.hub.read = 0;
        }
        for line in piece.split(|byte| *byte == b'\n') {
            let line = std::str::from_utf8(line).map_err(WireError::Encoding).map(str::trim);
            if line == Ok("") {
                continue;
            }
            match line.and_then(words::change) {
                Ok(Change::Unban(address)) => self.unban(address, out),
                Ok(Change::Revoked(login, revoked)) => self.hub.peers.revoke(login, revoked),
                Ok(Change::Ban(address, lifetime, reason)) => {
                    let reason = because(outside::clean(reason, wire::TAG_MAX));
                    self.block.change(ban(address.into(), lifetime, reason), out);
                }
                Err(refusal) => {
                    self.gauges.refused_addresses.set(self.gauges.refused_addresses.get() + 1);
                    self.refuse(1, &format!("{}: {refusal}", words::CHANGES), now, out);
                }
            }
        }
        Ok(more)
    }

    /// A hub tells of changes: whether they are to be read.
    fn are_news(&mut self, heading: &Heading, born: u64, now: Instant, out: &mut Output) -> bool {
        let Heading { from, to, time, .. } = *heading;
        match self.hub.peer {
            // The list is asked for later.
            Peer::Unknown(_) => {
                self.hub.sequence = Some(self.hub.sequence.unwrap_or(0).max(to));
                return false;
            }
            Peer::Server => {
                self.hub.gap(now);
                return false;
            }
            Peer::Hub => {}
        }
        let before = self.hub.heard;
        self.heard_of_hub(time, now);
        if self.hub.away {
            self.hub_is_back(now, out);
        }
        if self.hub.is_another(born) {
            // What it is now is asked for before the list, when the hub's answer has it.
            self.hub.whole = None;
            self.hub.gap(now);
            return false;
        }
        self.hub.born = born;
        let known = self.hub.sequence.unwrap_or(from);
        if to < known {
            // Once may be a late message; twice it is a stream that begins anew.
            self.hub.behind = self.hub.behind.saturating_add(1);
            if self.hub.behind >= 2 && !self.block.is_asked() {
                self.hub.gap(now);
                self.hub.whole = None;
            }
            return false;
        }
        self.hub.behind = 0;
        if from > known {
            self.hub.whole.get_or_insert((known, before));
            if self.block.is_asked() {
                self.block.stale = true;
            } else {
                self.hub.gap(now);
            }
        }
        self.hub.sequence = Some(to);
        to > known
    }

    /// A router reports an address while the hub is away.
    pub(super) fn report(&mut self, message: &Delivery<'_>, now: Instant, out: &mut Output) -> Result<(), WireError> {
        let login = |subject: &'_ str| subject.split('.').nth(2).map(str::to_owned);
        let reporter = login(message.subject);
        // Those of this login come by another subscription.
        if !self.hub.away || reporter == login(&self.subjects.block_adds) {
            return Ok(());
        }
        let (address, tag) = wire::shared_ban(message.payload)?;
        let quorum = self.hub.quorum;
        if self.intake.may_ban(address) && self.hub.peers.report(&reporter.unwrap_or_default(), address, quorum, now) {
            self.told(address, now);
            let reason = tag.map_or(Reason::Announced, |tag| Reason::Tagged(outside::clean(tag, wire::TAG_MAX).into()));
            self.block.change(ban(address.into(), Lifetime::Seconds(DEFAULT_SECONDS), reason), out);
        }
        Ok(())
    }

    /// Routers told of a ban that the hub may not know.
    pub(super) fn told(&mut self, address: IpAddr, now: Instant) {
        if self.hub.peer == Peer::Hub {
            self.hub.told.add(address, now + Duration::from_secs(DEFAULT_SECONDS.into()));
        }
    }

    /// Time has passed.
    pub(super) fn tick_hub(&mut self, now: Instant, out: &mut Output) {
        if let Peer::Unknown(until) = self.hub.peer
            && until <= now
        {
            match self.hub.awaits {
                Awaits::Hello => self.no_hello("", now, out),
                _ => self.no_latest(now, out),
            }
        }
        if self.hub.peer == Peer::Hub && !self.hub.away && self.hub.silent() <= now {
            self.hub.away = true;
            self.need(self.hub_purpose(), now, out);
        }
        if self.hub.resync.is_some_and(|due| due <= now) {
            self.hub.resync = None;
            self.gauges.resyncs.set(self.gauges.resyncs.get() + 1);
            match self.hub.peer {
                Peer::Server => {
                    self.need(Purpose::Question, now, out);
                    self.ask_hub(Awaits::Hello, now, out);
                }
                Peer::Hub if !self.block.is_asked() && !self.subscriptions.lacks_inbox() => {
                    match (self.hub.since(now), self.hub.sequence) {
                        (Some(since), Some(goal)) if self.has_list => {
                            self.block.begin();
                            self.ask_kept(Some(since), goal, now, out);
                        }
                        _ => self.ask_for(Which::Block, now, out),
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;

fn because(tag: String) -> Reason {
    if tag.is_empty() { Reason::Announced } else { Reason::Tagged(tag.into()) }
}
