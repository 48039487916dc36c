//! One connection's conversation with DisWall: what to subscribe and ask, what to post to the daemon.
//!
//! Sans-I/O: messages and the time go in, bytes for the server and updates for the daemon come out. It
//! subscribes before it asks for the lists, posts every change at once, and posts those that arrived
//! while a list was on its way again behind that list, so that the older list cannot undo them. Only
//! `client` and the tests call it.
//!
//! The shared login `default` only receives: its password is known to everybody, so that what "other
//! routers of the login" add, take back or allow is what any stranger wants.

mod hub;
mod request;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use self::hub::{Hub, Peer};
use self::request::{ListRequest, REPLY, Stage, Which};
use super::hub::wire as words;
use super::protocol::{self, Delivery};
use super::subscriptions::{Attempt, Purpose, Subscriptions, sid};
use super::wire::{self, AllowReader, BlockReader, DEFAULT_SECONDS, Subjects, Taken, WireError};
use crate::feed::intake::Intake;
use crate::feed::{FeedState, Gauges, Update};
use crate::model::{AllowOrigin, Event, Lifetime, Reason, Source};
use crate::outside;

/// How often the notice about refused messages changes at most, and how long it stays.
const NOTICE: Duration = Duration::from_secs(600);
/// Longest piece of a subject that is named, in bytes.
const SUBJECT: usize = 120;
/// Keys of the notices this feed posts.
pub mod notice {
    /// The block list does not come.
    pub const BLOCK_LIST: &str = "block-list";
    /// The allow list does not come.
    pub const ALLOW_LIST: &str = "allow-list";
    /// The server complains of something that is none of ours.
    pub const COMPLAINT: &str = "complaint";
    /// The server does not let this login share.
    pub const SHARING: &str = "sharing";
    /// Messages or addresses were refused.
    pub const REFUSED: &str = "refused";
    /// Credentials travel unencrypted.
    pub const CLEARTEXT: &str = "cleartext";
}

/// What is to be done after a call.
#[derive(Debug, Default)]
pub struct Output {
    /// For the server.
    pub bytes: Vec<u8>,
    /// For the daemon, in order.
    pub updates: Vec<Update>,
}

impl Output {
    fn event(&mut self, event: Event) {
        self.updates.push(Update::Event(event));
    }

    fn notice(&mut self, key: &'static str, text: Option<String>) {
        self.updates.push(Update::Notice { key, text });
    }
}

/// What has been refused since the notice about it changed.
#[derive(Debug, Default)]
struct Refusals {
    count: u64,
    /// When the notice is to be looked at again; `None` while there is none.
    review: Option<Instant>,
}

/// What a PONG proves: that what was sent before its PING was taken, unless an `-ERR` came first. The
/// server works off what we send in order, and answers in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// That the server lives.
    Alive,
    Subscription(Attempt),
    /// That the login may ask; with the number of the request.
    Request(Which, u32),
    /// That the login may ask the hub; with the number of the question.
    Hub(u32),
    /// That the login may publish what the router shares.
    Publish,
}

/// What an `-ERR` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Something that the session knows and says.
    Known,
    /// The oldest of what was published and not confirmed.
    Publish,
    /// None of that.
    Unknown,
}

/// A connection's state.
#[derive(Debug)]
pub struct Session {
    subjects: Rc<Subjects>,
    gauges: Rc<Gauges>,
    intake: Intake,
    /// Everybody's login: receives only.
    shared_login: bool,
    inbox: String,
    /// Longest body the server passes on, in bytes; 0 when it did not say.
    max_payload: u64,
    block: ListRequest,
    allow: ListRequest,
    /// A list of which pieces have been read.
    block_reader: Option<BlockReader>,
    allow_reader: Option<AllowReader>,
    subscriptions: Subscriptions,
    hub: Hub,
    /// What the PONGs to come prove, and when each was asked for.
    awaited: VecDeque<(Proof, Instant)>,
    /// A complaint was posted.
    complained: bool,
    refusals: Refusals,
    /// A block list was taken, on this connection or, from the same hub, on the one before.
    has_list: bool,
    /// A block list was taken, and every change since then can have arrived.
    listed: bool,
    /// The state that was posted last, and until when nothing is tried again.
    state: FeedState,
    due: Option<Instant>,
}

impl Session {
    /// A conversation that has not begun. `inbox` is a subject below which nobody else listens.
    pub fn new(
        subjects: Rc<Subjects>,
        gauges: Rc<Gauges>,
        intake: Intake,
        shared_login: bool,
        inbox: String,
        max_payload: u64,
    ) -> Session {
        Session {
            subscriptions: Subscriptions::new(),
            hub: Hub::new(),
            awaited: VecDeque::new(),
            complained: false,
            has_list: false,
            listed: false,
            state: FeedState::Synchronising,
            due: None,
            subjects,
            gauges,
            intake,
            shared_login,
            inbox,
            max_payload,
            block: ListRequest::new(Which::Block),
            allow: ListRequest::new(Which::Allow),
            block_reader: None,
            allow_reader: None,
            refusals: Refusals::default(),
        }
    }

    /// Takes over which notices stand from the connection before.
    pub fn succeed(&mut self, before: &Session) {
        self.block.complained = before.block.complained;
        self.allow.complained = before.allow.complained;
        self.complained = before.complained;
        self.refusals.review = before.refusals.review;
        self.hub.told = before.hub.told.clone();
        self.hub.succeed(&before.hub);
        self.hub.whole = before.hub.handed_on().filter(|_| before.has_list);
        self.has_list = self.hub.whole.is_some();
    }

    /// Finds out who is there, subscribes, then asks. `FeedState::Synchronising` was posted before.
    pub fn open(&mut self, now: Instant, out: &mut Output) {
        if self.shared_login {
            self.follow_server(false, now, out);
        } else {
            self.look_for_hub(now, out);
        }
    }

    /// No hub is there; whether one may come.
    fn follow_server(&mut self, listens: bool, now: Instant, out: &mut Output) {
        self.hub.peer = Peer::Server;
        self.gauges.hub.set(false);
        self.gauges.hub_heard.set(None);
        self.need(Purpose::Server(listens), now, out);
        if self.shared_login {
            // What an own login allowed before does not hold for this one.
            out.event(Event::AllowList { origin: AllowOrigin::Nats, list: Vec::new() });
        }
        self.ask(now, out);
    }

    fn subscribe(&mut self, now: Instant, out: &mut Output) {
        let awaited = &mut self.awaited;
        self.subscriptions.ask(now, &mut out.bytes, &mut |attempt, bytes| {
            bytes.extend_from_slice(protocol::PING);
            awaited.push_back((Proof::Subscription(attempt), now));
        });
    }

    /// Asks for both lists again, unless a reply is awaited already, and for what was refused.
    pub fn resynchronise(&mut self, now: Instant, out: &mut Output) {
        self.gauges.resyncs.set(self.gauges.resyncs.get() + 1);
        self.subscribe(now, out);
        self.ask(now, out);
        self.review(now, out);
    }

    /// Asks for both lists where no reply is awaited. Without an inbox none can come: then when that is back.
    fn ask(&mut self, now: Instant, out: &mut Output) {
        if matches!(self.hub.peer, Peer::Unknown(_)) {
            return;
        }
        for which in [Which::Block, Which::Allow] {
            let wanted = which == Which::Block || !self.shared_login;
            if wanted && !self.subscriptions.lacks_inbox() && !self.request(which).is_asked() {
                self.ask_for(which, now, out);
            }
        }
    }

    fn ask_for(&mut self, which: Which, now: Instant, out: &mut Output) {
        if which == Which::Block && self.hub.peer == Peer::Hub {
            return self.ask_for_hubs_list(now, out);
        }
        let (request, subject) = match which {
            Which::Block => (&mut self.block, &self.subjects.block_init),
            Which::Allow => (&mut self.allow, &self.subjects.allow_init),
        };
        request.ask(subject, &self.inbox, now, out);
        let proof = Proof::Request(which, request.asked);
        self.prove(proof, now, &mut out.bytes);
    }

    fn prove(&mut self, proof: Proof, now: Instant, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(protocol::PING);
        self.awaited.push_back((proof, now));
    }

    /// Asks the server for a sign of life.
    pub fn ping(&mut self, now: Instant, out: &mut Output) {
        self.prove(Proof::Alive, now, &mut out.bytes);
    }

    /// Something was published: what comes of it is told by [`Session::pong`] and [`Session::server_error`].
    pub fn published(&mut self, now: Instant, bytes: &mut Vec<u8>) {
        self.prove(Proof::Publish, now, bytes);
    }

    /// When the oldest PING was sent that is not answered yet.
    pub fn unanswered_since(&self) -> Option<Instant> {
        self.awaited.front().map(|(_, since)| *since)
    }

    /// The server answered a PING: what was sent before it is in force, unless it was refused. True when
    /// that was something published.
    pub fn pong(&mut self, now: Instant, out: &mut Output) -> bool {
        match self.awaited.pop_front() {
            Some((Proof::Publish, _)) => return true,
            Some((Proof::Subscription(attempt), _)) => {
                if self.subscriptions.proven(attempt) {
                    self.close_gap(now, out);
                }
            }
            Some((Proof::Request(which, number), _)) => {
                let request = self.request(which);
                if request.is_asked() && request.asked == number {
                    request.denied = false;
                }
            }
            Some((Proof::Hub(_) | Proof::Alive, _)) | None => {}
        }
        self.review(now, out);
        false
    }

    /// A subscription is back: what was missed meanwhile is in the lists.
    fn close_gap(&mut self, now: Instant, out: &mut Output) {
        self.listed = false;
        for which in [Which::Block, Which::Allow] {
            // A list that was asked for before may be older than the subscription.
            let request = self.request(which);
            request.stale = request.is_asked();
        }
        self.ask(now, out);
    }

    /// Posts where the feed stands, if that is news.
    fn review(&mut self, now: Instant, out: &mut Output) {
        let (refused, due) = self.refused();
        let state = if let Some((error, lost)) = refused {
            let wait = due.map_or(0, |due| due.saturating_duration_since(now).as_secs());
            let retry_in = u32::try_from(wait).unwrap_or(u32::MAX).saturating_add(1);
            FeedState::Partial { error, lost, retry_in }
        } else if self.hub.away {
            let retry_in = u32::try_from(REPLY.as_secs()).unwrap_or(u32::MAX);
            FeedState::Waiting { error: self.hub.absence(), retry_in }
        } else if self.listed && self.subscriptions.all_in_force() {
            FeedState::Live
        } else {
            FeedState::Synchronising
        };
        if state == FeedState::Live && std::mem::take(&mut self.complained) {
            out.notice(notice::COMPLAINT, None);
        }
        // That time alone passes is no news.
        let same = match (&state, &self.state) {
            (FeedState::Partial { error, .. }, FeedState::Partial { error: said, .. }) => {
                error == said && due == self.due
            }
            (state, said) => state == said,
        };
        if !same {
            out.updates.push(Update::State(state.clone()));
            (self.state, self.due) = (state, due);
        }
    }

    /// What the server refuses and what is lost by that, if it refuses something; when that is tried again.
    fn refused(&self) -> (Option<(String, String)>, Option<Instant>) {
        let (mut errors, mut losses, mut due) = (Vec::new(), Vec::new(), self.subscriptions.timer());
        for (subject, why, lost) in self.subscriptions.refused() {
            errors.push(format!("subscribe {subject} ({why})"));
            losses.push(lost);
        }
        let block_list = if self.hub.peer == Peer::Hub { self.hub.subject } else { &self.subjects.block_init };
        for (request, subject, lost) in [
            (&self.block, block_list, "the block list does not come"),
            (&self.allow, &self.subjects.allow_init, "the allow list does not come"),
        ] {
            if request.denied {
                errors.push(format!("publish {subject} (denied)"));
                losses.push(lost);
                due = due.into_iter().chain(request.timer()).min();
            }
        }
        let said = || (format!("the server refuses this login: {}", errors.join(", ")), losses.join("; "));
        ((!errors.is_empty()).then(said), due)
    }

    /// A message is coming that is not whole yet: it may be the reply, which takes its time on a slow line. A
    /// PING behind the request bounds that.
    pub fn reply_may_be_coming(&mut self, now: Instant) {
        for request in [&mut self.block, &mut self.allow] {
            if let Stage::Asked(until) = &mut request.stage {
                *until = (*until).max(now + REPLY);
            }
        }
    }

    /// A message came.
    pub fn message(&mut self, message: &Delivery<'_>, now: Instant, out: &mut Output) {
        while self.message_step(message, now, out) {}
    }

    /// A message came: takes it, or the next piece of a long list. `true`: there is more in it, and this is to
    /// be called with it again, after others have had their turn.
    #[must_use]
    pub fn message_step(&mut self, message: &Delivery<'_>, now: Instant, out: &mut Output) -> bool {
        // A server could say anything under a number that this login does not have: an allowance to all.
        if !self.subscriptions.has(message.sid) {
            return false;
        }
        // An answer to somebody else, which a server sends wherever he said. What routers and hubs tell has no headers.
        const TOLD: [u32; 6] = [sid::NEW, sid::BLOCK_ADD, sid::BLOCK_DEL, sid::ALLOW_ADD, sid::ALLOW_DEL, sid::REPORTS];
        let astray = TOLD.contains(&message.sid) && !message.headers.is_empty();
        let taken = match message.sid {
            _ if astray => Err(WireError::Word("a message with headers".into(), "a message without any")),
            sid::NEW => wire::announced_ban(message.payload)
                .map(|(address, lifetime)| self.block.change(ban(address.into(), lifetime, Reason::Announced), out)),
            sid::BLOCK_ADD => wire::shared_ban(message.payload).map(|(address, tag)| {
                let reason =
                    tag.map_or(Reason::Announced, |tag| Reason::Tagged(outside::clean(tag, wire::TAG_MAX).into()));
                self.told(address, now);
                self.block.change(ban(address.into(), Lifetime::Seconds(DEFAULT_SECONDS), reason), out);
            }),
            sid::BLOCK_DEL => wire::unban(message.payload).map(|address| self.unban(address, out)),
            sid::ALLOW_ADD => wire::allowed(message.payload).map(|net| {
                let entry = wire::allowance(net, Lifetime::Forever);
                self.allow.change(Event::Allow { origin: AllowOrigin::Nats, entry }, out);
            }),
            sid::ALLOW_DEL => wire::allowed(message.payload)
                .map(|net| self.allow.change(Event::Disallow { origin: AllowOrigin::Nats, net }, out)),
            sid::INBOX => return self.reply(message, now, out),
            sid::HUB_INBOX => {
                self.hub_reply(message, now, out);
                Ok(())
            }
            sid::CHANGES => match self.changes(message, now, out) {
                Ok(more) => return more,
                Err(refusal) => Err(refusal),
            },
            sid::REPORTS => self.report(message, now, out),
            _ => Ok(()),
        };
        if let Err(refusal) = taken {
            self.gauges.refused_messages.set(self.gauges.refused_messages.get() + 1);
            self.refuse(1, &format!("{}: {refusal}", outside::clean(message.subject, SUBJECT)), now, out);
        }
        false
    }

    /// This router has taken back a ban of the login's: as if another router of it had.
    pub fn unban(&mut self, address: IpAddr, out: &mut Output) {
        self.hub.told.remove(address);
        self.block.change(Event::Unban { source: Source::NATS, net: address.into() }, out);
    }

    /// As [`Session::message_step`].
    fn reply(&mut self, message: &Delivery<'_>, now: Instant, out: &mut Output) -> bool {
        let awaited = |request: &ListRequest| request.is_asked() && request.reply == message.subject;
        let which = if awaited(&self.block) {
            Which::Block
        } else if awaited(&self.allow) {
            Which::Allow
        } else {
            return false; // a late one, to a request that was given up
        };
        let failure = match (message.status, which) {
            (Some(503), _) => Some("nobody at the server answers such requests at the moment".to_owned()),
            (Some(status), _) => Some(format!("the server answers with status {status}")),
            (None, Which::Block) => {
                let mut reader = self.block_reader.take().unwrap_or_else(|| BlockReader::new(&self.intake));
                match reader.step(message.payload) {
                    Ok(false) => {
                        self.block_reader = Some(reader);
                        return true;
                    }
                    read => match read.and_then(|_| reader.end()) {
                        Ok(taken) => self.block_list(taken, now, out),
                        Err(refusal) => Some(self.refuse_list(&refusal)),
                    },
                }
            }
            (None, Which::Allow) => {
                let most = self.intake.most() / 16 + 16;
                let mut reader = self.allow_reader.take().unwrap_or_else(|| AllowReader::new(most));
                match reader.step(message.payload) {
                    Ok(false) => {
                        self.allow_reader = Some(reader);
                        return true;
                    }
                    read => match read.and_then(|_| reader.end()) {
                        Ok(taken) => self.allow_list(taken, now, out),
                        Err(refusal) => Some(self.refuse_list(&refusal)),
                    },
                }
            }
        };
        if let Some(why) = failure {
            self.request(which).fail(&why, now, out);
        }
        false
    }

    fn block_list(&mut self, taken: Taken<crate::model::List>, now: Instant, out: &mut Output) -> Option<String> {
        let (refused, last) = (taken.refused, taken.last_refusal);
        out.event(Event::List { source: Source::NATS, list: taken.list });
        self.has_list = true;
        self.listed = !self.block.stale;
        self.taken(Which::Block, refused, last, now, out);
        None
    }

    fn allow_list(&mut self, taken: Taken<Vec<crate::model::Entry>>, now: Instant, out: &mut Output) -> Option<String> {
        let (refused, last) = (taken.refused, taken.last_refusal);
        out.event(Event::AllowList { origin: AllowOrigin::Nats, list: taken.list });
        self.taken(Which::Allow, refused, last, now, out);
        None
    }

    /// What both lists have in common once they are posted.
    fn taken(&mut self, which: Which, refused: u32, last: Option<WireError>, now: Instant, out: &mut Output) {
        self.gauges.lists.set(self.gauges.lists.get() + 1);
        let again = self.request(which).overflown || self.request(which).stale;
        self.request(which).settle(out);
        self.review(now, out);
        if again && self.hub.peer == Peer::Hub {
            self.take_anew(now);
        } else if again {
            self.gauges.resyncs.set(self.gauges.resyncs.get() + 1);
            self.ask(now, out);
        }
        if let Some(last) = last {
            self.gauges.refused_addresses.set(self.gauges.refused_addresses.get() + u64::from(refused));
            self.refuse(refused.into(), &format!("{}: {last}", which.name()), now, out);
        }
    }

    fn refuse_list(&mut self, refusal: &WireError) -> String {
        self.gauges.refused_messages.set(self.gauges.refused_messages.get() + 1);
        let text = outside::clean(&refusal.to_string(), outside::SENTENCE);
        self.gauges.last_refusal.replace(Some(text.clone()));
        text
    }

    fn request(&mut self, which: Which) -> &mut ListRequest {
        match which {
            Which::Block => &mut self.block,
            Which::Allow => &mut self.allow,
        }
    }

    /// Counts what was refused; the first of a burst is posted at once, the rest summed up later.
    fn refuse(&mut self, count: u64, why: &str, now: Instant, out: &mut Output) {
        let why = outside::clean(why, outside::SENTENCE);
        self.gauges.last_refusal.replace(Some(why.clone()));
        if self.refusals.review.is_none() {
            self.refusals.review = Some(now + NOTICE);
            out.notice(notice::REFUSED, Some(format!("{count} refused: {why}")));
        } else {
            self.refusals.count += count;
        }
    }

    /// The server said `-ERR`, in these words as they came.
    pub fn server_error(&mut self, text: &str, now: Instant, out: &mut Output) -> Blame {
        let named = denied_subject(text).and_then(|(publish, subject)| self.named(publish, subject));
        // What names nothing of ours is about what the server works off: what the next PONG is to prove.
        let Some(proof) = named.or_else(|| self.awaited.front().map(|(proof, _)| *proof)) else {
            return Blame::Unknown;
        };
        match proof {
            Proof::Publish => return Blame::Publish,
            Proof::Alive => return Blame::Unknown,
            Proof::Subscription(attempt) => {
                let why = if named.is_some() { "denied".into() } else { outside::clean(text, SUBJECT) };
                self.subscriptions.refuse(attempt.sid, &why, now);
                if attempt.sid == sid::HUB_INBOX {
                    self.hub_denied(now, out);
                }
                if self.subscriptions.lacks_inbox() {
                    self.block.withdraw(out);
                    self.allow.withdraw(out);
                }
            }
            Proof::Hub(_) => self.hub_denied(now, out),
            Proof::Request(which, _) => {
                if self.request(which).is_asked() {
                    self.request(which).deny(now, out);
                }
            }
        }
        self.review(now, out);
        Blame::Known
    }

    /// What of ours a refused subject stands for.
    fn named(&self, publish: bool, subject: &str) -> Option<Proof> {
        let subjects = &self.subjects;
        if !publish {
            return self.subscriptions.named(subject).map(Proof::Subscription);
        }
        if [words::HELLO, words::KEPT].contains(&subject) {
            return Some(Proof::Hub(0));
        }
        if *subject == subjects.block_init {
            return Some(Proof::Request(Which::Block, 0));
        }
        if *subject == subjects.allow_init {
            return Some(Proof::Request(Which::Allow, 0));
        }
        let shared = [&subjects.block_add, &subjects.block_del, &subjects.statistics];
        shared.into_iter().any(|each| *each == subject).then_some(Proof::Publish)
    }

    /// The connection goes on after an error that is about nothing of ours, in these clean words: the first
    /// is said.
    pub fn complain(&mut self, text: &str, out: &mut Output) {
        if !std::mem::replace(&mut self.complained, true) {
            out.notice(notice::COMPLAINT, Some(text.to_owned()));
        }
    }

    /// When [`Session::tick`] is due.
    pub fn timer(&self) -> Option<Instant> {
        let timers = [
            self.block.timer(),
            self.allow.timer(),
            self.refusals.review,
            self.subscriptions.timer(),
            self.hub.timer(),
        ];
        timers.into_iter().flatten().min()
    }

    /// Time has passed: gives up what was not answered, asks again what is due.
    pub fn tick(&mut self, now: Instant, out: &mut Output) {
        if self.subscriptions.timer().is_some_and(|due| due <= now) {
            self.subscribe(now, out);
        }
        self.tick_hub(now, out);
        for which in [Which::Block, Which::Allow] {
            match self.request(which).stage {
                Stage::Asked(until) if until <= now => {
                    let why = self.unanswered();
                    if which == Which::Block {
                        self.hub.forget();
                    }
                    self.request(which).fail(&why, now, out);
                }
                Stage::Pausing(until) if until <= now => self.ask_for(which, now, out),
                _ => {}
            }
        }
        self.review(now, out);
        if self.refusals.review.is_some_and(|review| review <= now) {
            let count = std::mem::take(&mut self.refusals.count);
            self.refusals.review = (count > 0).then_some(now + NOTICE);
            let last = self.gauges.last_refusal.borrow().clone().unwrap_or_default();
            let text =
                (count > 0).then(|| format!("{count} refused within {} min, the last: {last}", NOTICE.as_secs() / 60));
            out.notice(notice::REFUSED, text);
        }
    }

    fn unanswered(&self) -> String {
        let mut why = format!("the service has not answered within {} s", REPLY.as_secs());
        if self.max_payload > 0 && self.hub.peer != Peer::Hub {
            why.push_str(&format!(" (a list of more than {} bytes cannot pass this server)", self.max_payload));
        }
        why
    }
}

fn ban(net: IpNet, lifetime: Lifetime, reason: Reason) -> Event {
    Event::Ban { source: Source::NATS, net, lifetime, reason }
}

/// Whether it is about publishing, and the subject in `Permissions Violation for Publish to "SUBJECT"`.
fn denied_subject(text: &str) -> Option<(bool, &str)> {
    let lower = text.to_ascii_lowercase();
    if !lower.starts_with("permissions violation") {
        return None;
    }
    Some((!lower.contains("subscription"), text.split('"').nth(1)?))
}

#[cfg(test)]
mod tests;
