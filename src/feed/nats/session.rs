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

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use self::hub::{Hub, Peer};
use super::hub::wire as words;
use super::protocol::{self, Delivery};
use super::subscriptions::{Attempt, PAUSES, Purpose, Subscriptions, sid};
use super::wire::{self, AllowReader, BlockReader, DEFAULT_SECONDS, Subjects, Taken, WireError};
use crate::feed::backoff::Backoff;
use crate::feed::intake::Intake;
use crate::feed::{FeedState, Gauges, Update};
use crate::model::{AllowOrigin, Event, Lifetime, Reason, Source};
use crate::outside;

/// How long an init reply may take.
const REPLY: Duration = Duration::from_secs(10);
/// Most changes kept for being posted again behind a list; above it the list is asked for once more.
const HELD: usize = 4096;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Block,
    Allow,
}

impl Which {
    const fn notice(self) -> &'static str {
        match self {
            Which::Block => notice::BLOCK_LIST,
            Which::Allow => notice::ALLOW_LIST,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Which::Block => "block list",
            Which::Allow => "allow list",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Answered, or not to be asked.
    Settled,
    /// Asked; to be given up then.
    Asked(Instant),
    /// Failed; to be asked again then.
    Pausing(Instant),
}

/// One list and the request for it.
#[derive(Debug)]
struct ListRequest {
    which: Which,
    stage: Stage,
    backoff: Backoff,
    /// Where the reply to the latest request is expected.
    reply: String,
    /// Requests so far, for the next reply subject.
    asked: u32,
    /// Changes since the request went out, in order.
    held: Vec<Event>,
    /// There were more of them than are kept.
    overflown: bool,
    /// Some failure was posted.
    complained: bool,
    /// The server does not let this login ask.
    denied: bool,
    /// A list that is on its way may lack what was missed before: another is to be asked for behind it.
    stale: bool,
}

impl ListRequest {
    fn new(which: Which) -> ListRequest {
        let backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let (reply, held) = (String::new(), Vec::new());
        ListRequest {
            which,
            stage: Stage::Settled,
            backoff,
            reply,
            asked: 0,
            held,
            overflown: false,
            complained: false,
            denied: false,
            stale: false,
        }
    }

    /// What comes from now on is newer than the list that is asked for now.
    fn begin(&mut self) {
        self.reply.clear();
        self.held.clear();
        (self.overflown, self.stale) = (false, false);
    }

    fn ask(&mut self, subject: &str, inbox: &str, now: Instant, out: &mut Output) {
        self.begin();
        self.asked += 1;
        let name = if self.which == Which::Block { 'b' } else { 'a' };
        self.reply = format!("{inbox}.{name}{}", self.asked);
        self.stage = Stage::Asked(now + REPLY);
        protocol::publish(&mut out.bytes, subject, Some(&self.reply), b"empty");
    }

    /// Posts a change, and keeps it if a list that may be older is on its way.
    fn change(&mut self, event: Event, out: &mut Output) {
        if self.is_asked() {
            if self.held.len() < HELD {
                self.held.push(event.clone());
            } else {
                self.overflown = true;
            }
        }
        out.event(event);
    }

    fn fail(&mut self, why: &str, now: Instant, out: &mut Output) {
        let pause = self.backoff.delay();
        self.stage = Stage::Pausing(now + pause);
        self.held = Vec::new();
        self.complained = true;
        let text = format!("no {}: {why}; asking again within {} s", self.which.name(), pause.as_secs() + 1);
        out.notice(self.which.notice(), Some(text));
    }

    /// The server does not let this login ask. What is lost is said in the feed's state.
    fn deny(&mut self, now: Instant, out: &mut Output) {
        self.stage = Stage::Pausing(now + self.backoff.delay());
        self.held = Vec::new();
        self.denied = true;
        self.quiet(out);
    }

    /// No reply can arrive: that is what is to be said, not that none came.
    fn withdraw(&mut self, out: &mut Output) {
        self.stage = Stage::Settled;
        self.held = Vec::new();
        self.quiet(out);
    }

    fn quiet(&mut self, out: &mut Output) {
        if std::mem::take(&mut self.complained) {
            out.notice(self.which.notice(), None);
        }
    }

    /// The list has come and was posted: what came meanwhile is posted behind it.
    fn settle(&mut self, out: &mut Output) {
        self.stage = Stage::Settled;
        self.backoff.reset();
        for event in std::mem::take(&mut self.held) {
            out.event(event);
        }
        self.denied = false;
        self.quiet(out);
    }

    fn is_asked(&self) -> bool {
        matches!(self.stage, Stage::Asked(_))
    }

    fn timer(&self) -> Option<Instant> {
        match self.stage {
            Stage::Settled => None,
            Stage::Asked(when) | Stage::Pausing(when) => Some(when),
        }
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
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::model::List;

    struct Talk {
        session: Session,
        gauges: Rc<Gauges>,
        now: Instant,
        out: Output,
    }

    impl Talk {
        fn open(login: &str) -> Talk {
            let subjects = Rc::new(Subjects::new(login, "turris").unwrap());
            let gauges = Rc::new(Gauges::default());
            let shared = login == wire::DEFAULT_LOGIN;
            let session = Session::new(
                subjects,
                Rc::clone(&gauges),
                Intake::new(1000, |_| true),
                shared,
                "_INBOX.x".into(),
                1_048_576,
            );
            let mut talk = Talk { session, gauges, now: Instant::now(), out: Output::default() };
            talk.session.open(talk.now, &mut talk.out);
            if !shared {
                talk.finds_no_hub();
            }
            talk
        }

        /// The server lets this login neither listen to a hub nor ask for one.
        fn finds_no_hub(&mut self) {
            assert_eq!(
                self.sent(),
                "SUB _INBOX.x.hub.* 8\r\nSUB diswall.hub.changes 7\r\nPUB diswall.hub.hello _INBOX.x.hub.1 1\r\n1\r\n"
            );
            self.session.pong(self.now, &mut self.out);
            for denied in ["Subscription to \"diswall.hub.changes\"", "Publish to \"diswall.hub.hello\""] {
                self.refuses(&format!("Permissions Violation for {denied}"));
                self.session.pong(self.now, &mut self.out);
            }
            assert!(self.posted().is_empty());
            let ends = b"UNSUB 8\r\nUNSUB 7\r\n";
            assert!(self.out.bytes.starts_with(ends));
            self.out.bytes.drain(..ends.len());
        }

        /// What was sent since the last call, one operation a line, without the PINGs between them.
        fn sent(&mut self) -> String {
            String::from_utf8(std::mem::take(&mut self.out.bytes)).unwrap().replace("PING\r\n", "")
        }

        /// So many PONGs.
        fn pongs(&mut self, count: usize) -> Vec<String> {
            for _ in 0..count {
                self.session.pong(self.now, &mut self.out);
            }
            self.posted()
        }

        fn refuses(&mut self, text: &str) -> (Blame, Vec<String>) {
            let blame = self.session.server_error(text, self.now, &mut self.out);
            (blame, self.posted())
        }

        /// What was posted since the last call, shortly.
        fn posted(&mut self) -> Vec<String> {
            std::mem::take(&mut self.out.updates).iter().map(short).collect()
        }

        fn says(&mut self, sid: u32, subject: &str, payload: &[u8]) -> Vec<String> {
            let message = Delivery { sid, subject, payload, headers: b"", status: None };
            self.session.message(&message, self.now, &mut self.out);
            self.posted()
        }

        fn says_with(&mut self, sid: u32, headers: &[u8], payload: &[u8]) -> Vec<String> {
            let message = Delivery { sid, subject: "x", payload, headers, status: None };
            self.session.message(&message, self.now, &mut self.out);
            self.posted()
        }

        fn wait(&mut self, seconds: u64) -> Vec<String> {
            self.now += Duration::from_secs(seconds);
            self.session.tick(self.now, &mut self.out);
            self.posted()
        }
    }

    fn short(update: &Update) -> String {
        match update {
            Update::Event(Event::List { list: List { v4, v6, .. }, .. }) => format!("list of {}", v4.len() + v6.len()),
            Update::Event(Event::Ban { net, lifetime: Lifetime::Seconds(seconds), .. }) => {
                format!("ban {} {seconds}", net.addr())
            }
            Update::Event(Event::Unban { net, .. }) => format!("unban {}", net.addr()),
            Update::Event(Event::AllowList { list, .. }) => format!("allow list of {}", list.len()),
            Update::Event(Event::Allow { entry, .. }) => format!("allow {}", entry.net),
            Update::Event(Event::Disallow { net, .. }) => format!("disallow {net}"),
            Update::State(FeedState::Partial { error, lost, .. }) => format!("{error}: {lost}"),
            Update::State(state) => format!("{state:?}"),
            Update::Notice { key, text } => format!("{key}: {}", text.as_deref().unwrap_or("settled")),
            other => format!("{other:?}"),
        }
    }

    const NEW: &str = "diswall.blacklist.new";

    #[test]
    fn it_subscribes_before_it_asks() {
        let mut talk = Talk::open("alice");
        assert_eq!(
            talk.sent(),
            "SUB _INBOX.x.* 6\r\nSUB diswall.blacklist.new 1\r\n\
             SUB diswall.blacklist.alice.add.* 2\r\nSUB diswall.blacklist.alice.del.* 3\r\n\
             SUB diswall.whitelist.alice.add.* 4\r\nSUB diswall.whitelist.alice.del.* 5\r\n\
             PUB diswall.blacklist.alice.init.turris _INBOX.x.b1 5\r\nempty\r\n\
             PUB diswall.whitelist.alice.init.turris _INBOX.x.a1 5\r\nempty\r\n"
        );
        let mut shared = Talk::open("default");
        assert_eq!(
            shared.sent(),
            "SUB _INBOX.x.* 6\r\nSUB diswall.blacklist.default 1\r\n\
             PUB diswall.blacklist.default.init.turris _INBOX.x.b1 5\r\nempty\r\n"
        );
        assert_eq!(shared.posted(), ["allow list of 0"]);
    }

    #[test]
    fn what_has_a_header_is_an_answer_to_somebody_else() {
        let mut talk = Talk::open("alice");
        talk.pongs(8);
        for (sid, payload) in
            [(sid::NEW, &b"203.0.113.1|60"[..]), (sid::BLOCK_ADD, b"8.8.4.4"), (sid::ALLOW_ADD, b"8.8.4.4")]
        {
            let posted = talk.says_with(sid, b"NATS/1.0\r\nDiswall-Answer: 1\r\n\r\n", payload);
            assert!(!posted.iter().any(|event| event.starts_with("ban") || event.starts_with("allow")), "{posted:?}");
        }
    }

    #[test]
    fn what_comes_before_the_list_outlives_it() {
        let mut talk = Talk::open("alice");
        assert!(talk.pongs(8).is_empty());
        assert_eq!(talk.says(1, NEW, b"203.0.113.1|60"), ["ban 203.0.113.1 60"]);
        assert_eq!(talk.says(3, "diswall.blacklist.alice.del.b", b"203.0.113.2"), ["unban 203.0.113.2"]);
        assert_eq!(talk.says(4, "diswall.whitelist.alice.add.b", b"192.0.2.1"), ["allow 192.0.2.1/32"]);
        assert_eq!(
            talk.says(6, "_INBOX.x.b1", b"203.0.113.2 timeout 9"),
            ["list of 1", "ban 203.0.113.1 60", "unban 203.0.113.2", "Live"]
        );
        assert_eq!(talk.says(6, "_INBOX.x.a1", b"192.0.2.0/24"), ["allow list of 1", "allow 192.0.2.1/32"]);
        // From now on nothing is posted twice, and a reply that nobody waits for is none.
        assert_eq!(talk.says(1, NEW, b"203.0.113.3|60"), ["ban 203.0.113.3 60"]);
        assert!(talk.says(6, "_INBOX.x.b1", b"").is_empty());
        assert_eq!((talk.gauges.lists.get(), talk.session.timer()), (2, None));
        // What this router takes back itself does not come back with a list that is on its way.
        talk.session.resynchronise(talk.now, &mut talk.out);
        talk.session.unban("203.0.113.3".parse().unwrap(), &mut talk.out);
        assert_eq!(talk.posted(), ["unban 203.0.113.3"]);
        assert_eq!(talk.says(6, "_INBOX.x.b2", b"203.0.113.3"), ["list of 1", "unban 203.0.113.3"]);
    }

    #[test]
    fn more_changes_than_are_kept_mean_one_more_list() {
        let mut talk = Talk::open("alice");
        talk.pongs(8);
        for n in 0..=HELD {
            talk.says(1, NEW, format!("203.0.113.{}|60", n % 256).as_bytes());
        }
        talk.sent();
        assert_eq!(talk.says(6, "_INBOX.x.b1", b"").len(), HELD + 2);
        assert!(talk.sent().contains("_INBOX.x.b2"));
        assert_eq!(talk.says(6, "_INBOX.x.b2", b"203.0.113.1 timeout 5"), ["list of 1"]);
    }

    #[test]
    fn an_unanswered_request_is_given_up_and_made_again() {
        let mut talk = Talk::open("alice");
        talk.pongs(8);
        talk.says(6, "_INBOX.x.a1", b"");
        talk.sent();
        assert!(talk.wait(9).is_empty());
        let said = talk.wait(1);
        assert!(said[0].starts_with("block-list: no block list: the service has not answered within 10 s"), "{said:?}");
        assert_eq!(talk.says(1, NEW, b"203.0.113.1|60"), ["ban 203.0.113.1 60"]);
        assert!(talk.says(6, "_INBOX.x.b1", b"").is_empty(), "too late");
        talk.wait(4);
        assert_eq!(talk.sent(), "PUB diswall.blacklist.alice.init.turris _INBOX.x.b2 5\r\nempty\r\n");
        // Asked after that ban: the list knows it, and settles the matter.
        assert_eq!(talk.says(6, "_INBOX.x.b2", b""), ["list of 0", "block-list: settled", "Live"]);
    }

    #[test]
    fn a_burst_of_refusals_is_two_notices() {
        let mut talk = Talk::open("default");
        talk.says(6, "_INBOX.x.b1", b"203.0.113.1 timeout 5\nx\ny");
        talk.posted();
        assert_eq!(talk.gauges.refused_addresses.get(), 2);
        for _ in 0..100 {
            assert!(talk.says(1, "diswall.blacklist.default", b"rubbish|5").is_empty());
        }
        assert_eq!(talk.gauges.refused_messages.get(), 100);
        assert_eq!(
            talk.wait(600),
            ["refused: 100 refused within 10 min, the last: diswall.blacklist.default: \"rubbish\" is no address"]
        );
        assert_eq!(talk.wait(600), ["refused: settled"]);
        assert_eq!(talk.session.timer(), None);
    }

    #[test]
    fn the_next_connection_settles_what_the_last_one_complained_of() {
        let mut first = Talk::open("alice");
        first.pongs(8);
        assert_eq!(first.refuses("Slow Consumer").0, Blame::Unknown);
        first.session.complain("the server says: x", &mut first.out);
        first.session.complain("the server says: y", &mut first.out);
        assert_eq!(first.posted(), ["complaint: the server says: x"]);
        first.wait(11);
        let mut second = Talk::open("alice");
        second.session.succeed(&first.session);
        second.pongs(8);
        let posted = second.says(6, "_INBOX.x.b1", b"");
        assert_eq!(posted, ["list of 0", "block-list: settled", "complaint: settled", "Live"]);
    }

    #[test]
    fn a_reply_that_is_coming_is_waited_for() {
        let mut talk = Talk::open("default");
        for _ in 0..20 {
            talk.session.reply_may_be_coming(talk.now);
            assert!(talk.wait(9).iter().all(|posted| posted == "allow list of 0"));
        }
        assert!(talk.says(6, "_INBOX.x.b1", b"203.0.113.1 timeout 5").contains(&"list of 1".into()));
        talk.session.resynchronise(talk.now, &mut talk.out);
        talk.session.reply_may_be_coming(talk.now);
        assert!(talk.wait(10)[0].starts_with("block-list: no block list: the service has not answered"), "it stalled");
    }

    #[test]
    fn the_shared_login_takes_nothing_under_other_numbers() {
        let mut talk = Talk::open("default");
        talk.pongs(3);
        talk.posted();
        for (sid, body) in [(2, "203.0.113.1"), (3, "203.0.113.1"), (4, "203.0.113.1"), (5, "203.0.113.1"), (7, "x")] {
            assert!(talk.says(sid, "x", body.as_bytes()).is_empty(), "{sid}");
        }
        assert_eq!(talk.gauges.refused_messages.get(), 0);
    }

    #[test]
    fn a_server_that_says_much_is_repeated_little() {
        let mut talk = Talk::open("alice");
        let mut posted = 0;
        for n in 0..1000 {
            posted += talk.refuses(&format!("{n} {}", "x".repeat(500))).1.len();
            posted += talk.refuses("Permissions Violation for Subscription to \"diswall.blacklist.new\"").1.len();
        }
        assert_eq!(posted, 2);
        for _ in 0..100 {
            talk.wait(1);
            talk.refuses("again");
        }
        assert!(talk.session.awaited.len() < 200);
    }

    #[test]
    fn live_is_proven_for_each_subscription() {
        let mut talk = Talk::open("alice");
        assert_eq!(talk.says(6, "_INBOX.x.b1", b"203.0.113.1"), ["list of 1"], "nothing is proven yet");
        talk.says(6, "_INBOX.x.a1", b"");
        assert!(talk.pongs(3).is_empty());
        // An error without a subject is about what the next PONG answers: the fourth subscription.
        let (blame, posted) = talk.refuses("maximum subscriptions exceeded");
        assert_eq!(blame, Blame::Known);
        let refused = "the server refuses this login: subscribe diswall.blacklist.alice.del.* (maximum subscriptions \
                       exceeded): bans taken back elsewhere stay until they end";
        assert_eq!(posted, [refused]);
        assert!(talk.pongs(5).is_empty());
        talk.sent();

        // It is tried again, and again later.
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let pause = talk.session.timer().unwrap() - talk.now;
            pauses.push(pause);
            talk.now += pause;
            assert_eq!(talk.wait(0), [refused], "the next try is at another time");
            assert_eq!(talk.sent(), "SUB diswall.blacklist.alice.del.* 3\r\n");
            talk.refuses("maximum subscriptions exceeded");
            talk.pongs(1);
        }
        assert!(pauses[0] <= PAUSES.0 && pauses[0] >= PAUSES.0 / 2, "{pauses:?}");
        assert!(pauses[11] > PAUSES.0 && pauses.iter().all(|pause| *pause <= PAUSES.1), "{pauses:?}");

        // At once when the owner says so; then what was missed comes with a new list.
        talk.session.resynchronise(talk.now, &mut talk.out);
        assert!(talk.sent().starts_with("SUB diswall.blacklist.alice.del.* 3\r\nPUB diswall.blacklist.alice.init"));
        assert_eq!(talk.posted(), [refused]);
        assert_eq!(talk.pongs(1), ["Synchronising"]);
        assert_eq!(talk.says(6, "_INBOX.x.b2", b""), ["list of 0"], "it may be older than the subscription");
        assert!(talk.sent().contains("_INBOX.x.b3"));
        assert_eq!(talk.says(6, "_INBOX.x.b3", b""), ["list of 0", "Live"]);
        assert_eq!(talk.session.timer().map(|timer| timer > talk.now), Some(true), "the allow list's answer");
    }

    #[test]
    fn a_permission_that_is_taken_away_and_given_back() {
        let mut talk = Talk::open("alice");
        talk.pongs(8);
        talk.says(6, "_INBOX.x.b1", b"");
        talk.says(6, "_INBOX.x.a1", b"");
        talk.sent();
        let taken = "Permissions Violation for Subscription to \"diswall.blacklist.new\" (sid \"1\")";
        let (blame, posted) = talk.refuses(taken);
        assert_eq!(blame, Blame::Known);
        assert_eq!(
            posted,
            ["the server refuses this login: subscribe diswall.blacklist.new (denied): new bans do not arrive"]
        );
        talk.wait(4);
        assert_eq!(talk.sent(), "SUB diswall.blacklist.new 1\r\n");
        assert_eq!(talk.pongs(1), ["Synchronising"]);
        assert!(talk.sent().contains("PUB diswall.blacklist.alice.init.turris _INBOX.x.b2"));
        assert_eq!(talk.says(6, "_INBOX.x.b2", b""), ["list of 0", "Live"]);

        // The inbox: no request is made that cannot be answered.
        let (_, posted) = talk.refuses("Permissions Violation for Subscription to \"_INBOX.x.*\" (sid \"6\")");
        assert!(posted[0].contains("subscribe _INBOX.> (denied): no list can arrive"), "{posted:?}");
        talk.sent();
        talk.wait(4);
        assert_eq!(talk.sent(), "SUB _INBOX.x.* 6\r\n");
        talk.pongs(3);
        assert!(talk.sent().contains("PUB diswall.blacklist.alice.init.turris"));

        // The right to ask, seen when it is used: at a later request.
        let denied = "Permissions Violation for Publish to \"diswall.blacklist.alice.init.turris\"";
        let (_, posted) = talk.refuses(denied);
        assert!(
            posted[0].ends_with("publish diswall.blacklist.alice.init.turris (denied): the block list does not come")
        );
        talk.pongs(2);
        talk.wait(120);
        talk.pongs(1);
        let posted = talk.says(6, &talk.session.block.reply.clone(), b"");
        assert_eq!(posted, ["list of 0", "Live"]);

        let shared = "Permissions Violation for Publish to \"diswall.stats.alice.add.turris\"";
        assert_eq!(talk.refuses(shared), (Blame::Publish, vec![]));
        let other = "Permissions Violation for Publish to \"elsewhere\"";
        assert_eq!(talk.refuses(other), (Blame::Unknown, vec![]));
    }

    /// A server that works off what it is sent in order, as it likes.
    struct Server {
        talk: Talk,
        /// What it was sent and has not looked at.
        sent: VecDeque<String>,
        /// The subscriptions that it serves.
        served: BTreeSet<u32>,
        state: String,
    }

    impl Server {
        fn new(login: &str) -> Server {
            let talk = Talk::open(login);
            Server { talk, sent: VecDeque::new(), served: BTreeSet::new(), state: "Synchronising".into() }
        }

        /// Takes what the session has sent, and follows what it has posted.
        fn hear(&mut self) {
            let bytes = String::from_utf8(std::mem::take(&mut self.talk.out.bytes)).unwrap();
            self.sent.extend(bytes.split_terminator("\r\n").filter(|line| *line != "empty").map(str::to_owned));
            for update in std::mem::take(&mut self.talk.out.updates) {
                if let Update::State(state) = &update {
                    self.state = short(&update);
                    // The point of it all.
                    assert!(
                        *state != FeedState::Live || self.served.len() == self.all(),
                        "live with {:?}",
                        self.served
                    );
                }
            }
        }

        fn all(&self) -> usize {
            if self.talk.session.shared_login { 2 } else { 6 }
        }

        fn says(&mut self, text: &str) {
            self.talk.session.server_error(text, self.talk.now, &mut self.talk.out);
            self.hear();
        }

        /// Works off one thing: 0 refuses it by name, 1 without, 2 takes a request and does not answer it.
        fn work(&mut self, how: u8) {
            self.hear();
            let Some(line) = self.sent.pop_front() else { return };
            let words: Vec<&str> = line.split(' ').collect();
            match (words.as_slice(), how) {
                (["PING"], _) => {
                    self.talk.session.pong(self.talk.now, &mut self.talk.out);
                }
                (_, 1) => self.says("refused"),
                (["SUB", subject, _], 0) => {
                    self.says(&format!("Permissions Violation for Subscription to \"{subject}\""))
                }
                (["SUB", _, sid], _) => drop(self.served.insert(sid.parse().unwrap())),
                (["PUB", subject, ..], 0) => self.says(&format!("Permissions Violation for Publish to \"{subject}\"")),
                (["PUB", _, reply, _], 3..) if self.served.contains(&sid::INBOX) => {
                    let message =
                        Delivery { sid: sid::INBOX, subject: reply, payload: b"", headers: b"", status: None };
                    self.talk.session.message(&message, self.talk.now, &mut self.talk.out);
                }
                _ => {}
            }
            self.hear();
        }

        fn take_away(&mut self, sid: u32) {
            let name = |each: &(u32, String)| each.0 == sid;
            let subjects = Rc::clone(&self.talk.session.subjects);
            let all = [
                (sid::NEW, subjects.new.clone()),
                (sid::BLOCK_ADD, subjects.block_adds.clone()),
                (sid::ALLOW_DEL, subjects.allow_dels.clone()),
                (sid::INBOX, "_INBOX.x.*".into()),
            ];
            if self.served.remove(&sid)
                && let Some((_, subject)) = all.into_iter().find(name)
            {
                self.says(&format!("Permissions Violation for Subscription to \"{subject}\" (sid \"{sid}\")"));
            }
        }
    }

    proptest! {
        #[test]
        fn live_is_true_and_comes_in_the_end(
            own in any::<bool>(),
            steps in prop::collection::vec((0_u8..12, 0_u64..130), 0..120),
        ) {
            let mut server = Server::new(if own { "alice" } else { "default" });
            for (step, seconds) in steps {
                match step {
                    0..=5 => server.work(step),
                    6 => server.work(9),
                    7 => {
                        server.talk.now += Duration::from_secs(seconds);
                        server.talk.session.tick(server.talk.now, &mut server.talk.out);
                    }
                    8 => server.talk.session.resynchronise(server.talk.now, &mut server.talk.out),
                    9 => server.take_away(sid::NEW),
                    10 => server.take_away(sid::INBOX),
                    _ => server.take_away(if seconds % 2 == 0 { sid::ALLOW_DEL } else { sid::BLOCK_ADD }),
                }
                server.hear();
            }
            // From now on everything is permitted, and time passes.
            for _ in 0..60 {
                server.hear();
                while !server.sent.is_empty() {
                    server.work(9);
                }
                let Some(due) = server.talk.session.timer() else { break };
                server.talk.now = server.talk.now.max(due);
                server.talk.session.tick(server.talk.now, &mut server.talk.out);
            }
            server.hear();
            prop_assert_eq!(server.state, "Live");
            prop_assert!(server.talk.session.awaited.is_empty() && server.talk.session.timer().is_none());
        }
    }
}
