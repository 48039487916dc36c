//! Which of a connection's subscriptions are in force.
//!
//! A server that refuses a subscription says so and keeps the connection, and one that takes a permission
//! away later says it then; one that gives it back says nothing. So each subscription is followed by a
//! PING: it is in force when the PONG has come and no `-ERR` that is about it before. A refused one is
//! asked for again, at growing intervals, all refused ones together. Sans-I/O; only `session` calls it.

use std::time::{Duration, Instant};

use super::hub::wire as hub;
use super::protocol;
use super::wire::Subjects;
use crate::feed::backoff::Backoff;

/// The first and the longest pause before something refused is tried again.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(120));

/// The subscriptions, by the numbers they have on the wire.
pub(super) mod sid {
    pub const NEW: u32 = 1;
    pub const BLOCK_ADD: u32 = 2;
    pub const BLOCK_DEL: u32 = 3;
    pub const ALLOW_ADD: u32 = 4;
    pub const ALLOW_DEL: u32 = 5;
    pub const INBOX: u32 = 6;
    pub const CHANGES: u32 = 7;
    pub const HUB_INBOX: u32 = 8;
    pub const REPORTS: u32 = 9;
}

/// What is lost without a subscription, by its number; and without an inbox, which comes last.
const LOSSES: [(u32, &str); 9] = [
    (sid::NEW, "new bans do not arrive"),
    (sid::BLOCK_ADD, "bans of your other routers do not arrive"),
    (sid::BLOCK_DEL, "bans taken back elsewhere stay until they end"),
    (sid::ALLOW_ADD, "new allowances do not arrive"),
    (sid::ALLOW_DEL, "allowances taken back elsewhere stay"),
    (sid::INBOX, "no list can arrive"),
    (sid::CHANGES, "new bans of the hub do not arrive"),
    (sid::HUB_INBOX, "the hub's list cannot arrive"),
    (sid::REPORTS, "bans of others do not arrive while the hub is away"),
];

/// What a connection is there for, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To find out whether a hub is there.
    Question,
    /// To follow DisWall's server; and to hear of a hub, where there may be one later.
    Server(bool),
    /// To follow a hub.
    Hub,
    /// To follow what routers report while their hub is away.
    Exchange,
}

impl Purpose {
    /// The subscriptions that it needs, in the order in which they are asked for.
    fn needs(self) -> &'static [u32] {
        use sid::{ALLOW_ADD, ALLOW_DEL, BLOCK_ADD, BLOCK_DEL, CHANGES, HUB_INBOX, INBOX, NEW, REPORTS};
        match self {
            Purpose::Question => &[HUB_INBOX, CHANGES],
            Purpose::Server(_) => &[INBOX, NEW, BLOCK_ADD, BLOCK_DEL, ALLOW_ADD, ALLOW_DEL],
            Purpose::Hub => &[HUB_INBOX, CHANGES, INBOX, BLOCK_ADD, BLOCK_DEL, ALLOW_ADD, ALLOW_DEL],
            Purpose::Exchange => &[HUB_INBOX, CHANGES, INBOX, BLOCK_ADD, BLOCK_DEL, ALLOW_ADD, ALLOW_DEL, REPORTS],
        }
    }
}

/// One subscription.
#[derive(Debug)]
struct Subscription {
    sid: u32,
    subject: String,
    /// How often it was asked for.
    attempt: u32,
    /// The attempt that was refused last and the reason, until one succeeds.
    refused: Option<(u32, String)>,
    in_force: bool,
    /// It may be refused: a hub would be heard of on it, if there were one.
    optional: bool,
}

impl Subscription {
    /// It is needed and was refused.
    fn is_missed(&self) -> bool {
        self.refused.is_some() && !self.optional
    }
}

/// All of a connection's subscriptions.
#[derive(Debug)]
pub(super) struct Subscriptions {
    all: Vec<Subscription>,
    backoff: Backoff,
    /// When those that are refused are to be asked for again.
    again: Option<Instant>,
}

/// What a PONG will prove: that this attempt at this subscription was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub sid: u32,
    number: u32,
}

impl Subscriptions {
    /// None.
    pub fn new() -> Subscriptions {
        Subscriptions { all: Vec::new(), backoff: Backoff::new(PAUSES.0, PAUSES.1), again: None }
    }

    /// Those that are needed from now on, of a login that shares, or of the shared login. What is not needed any
    /// more ends: a server may count them.
    pub fn need(&mut self, purpose: Purpose, subjects: &Subjects, inbox: &str, shared_login: bool, out: &mut Vec<u8>) {
        let needs = if shared_login { &[sid::INBOX, sid::NEW] } else { purpose.needs() };
        self.all.retain_mut(|each| {
            if purpose == Purpose::Question {
                return true;
            }
            let listens = purpose == Purpose::Server(true) && each.sid == sid::CHANGES;
            each.optional = listens;
            let stays = listens || needs.contains(&each.sid);
            if !stays && each.attempt > 0 {
                protocol::unsubscribe(out, each.sid);
            }
            stays
        });
        for &sid in needs {
            if self.has(sid) {
                continue;
            }
            let subject = match sid {
                sid::INBOX => format!("{inbox}.*"),
                sid::HUB_INBOX => format!("{inbox}.hub.*"),
                sid::CHANGES => hub::CHANGES.to_owned(),
                sid::REPORTS => hub::REPORTS.to_owned(),
                sid::NEW => subjects.new.clone(),
                sid::BLOCK_ADD => subjects.block_adds.clone(),
                sid::BLOCK_DEL => subjects.block_dels.clone(),
                sid::ALLOW_ADD => subjects.allow_adds.clone(),
                _ => subjects.allow_dels.clone(),
            };
            let optional = purpose == Purpose::Question;
            self.all.push(Subscription { sid, subject, attempt: 0, refused: None, in_force: false, optional });
        }
        if !self.any_refused() {
            self.again = None;
        }
    }

    /// Asks for all that were never asked for or are refused; `asked` is told of each, to send a PING behind it.
    pub fn ask(&mut self, now: Instant, bytes: &mut Vec<u8>, asked: &mut dyn FnMut(Attempt, &mut Vec<u8>)) {
        for each in self.all.iter_mut().filter(|each| each.attempt == 0 || each.is_missed()) {
            each.attempt += 1;
            protocol::subscribe(bytes, &each.subject, each.sid);
            asked(Attempt { sid: each.sid, number: each.attempt }, bytes);
        }
        self.again = self.any_refused().then(|| now + self.backoff.delay());
    }

    /// The PONG behind an attempt has come. True if that subscription had been refused and now is in force.
    pub fn proven(&mut self, attempt: Attempt) -> bool {
        let Some(each) = self.all.iter_mut().find(|each| each.sid == attempt.sid) else { return false };
        let refused = each.refused.as_ref().is_some_and(|(number, _)| *number == attempt.number);
        if each.attempt != attempt.number || refused {
            return false;
        }
        each.in_force = true;
        let came_back = each.refused.take().is_some();
        if !self.any_refused() {
            self.again = None;
            self.backoff.reset();
        }
        came_back
    }

    /// The latest attempt at this subject, if it is one of ours.
    pub fn named(&self, subject: &str) -> Option<Attempt> {
        let each = self.all.iter().find(|each| each.subject == subject)?;
        Some(Attempt { sid: each.sid, number: each.attempt })
    }

    /// The server refuses a subscription, or has ended it. What it says first of an attempt stands.
    pub fn refuse(&mut self, sid: u32, why: &str, now: Instant) {
        let known = |each: &Subscription| each.refused.as_ref().is_some_and(|(number, _)| *number == each.attempt);
        if let Some(each) = self.all.iter_mut().find(|each| each.sid == sid && !known(each)) {
            each.refused = Some((each.attempt, why.to_owned()));
            each.in_force = false;
            if !each.optional {
                self.again.get_or_insert_with(|| now + self.backoff.delay());
            }
        }
    }

    /// Whether there is a subscription of that number.
    pub fn has(&self, sid: u32) -> bool {
        self.all.iter().any(|each| each.sid == sid)
    }

    /// Whether replies cannot arrive.
    pub fn lacks_inbox(&self) -> bool {
        self.all.iter().any(|each| each.sid == sid::INBOX && each.refused.is_some())
    }

    /// Whether every one is in force.
    pub fn all_in_force(&self) -> bool {
        self.all.iter().all(|each| each.in_force || each.optional)
    }

    /// Each refused subject with the reason and what is lost without it.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &str, &'static str)> {
        self.all.iter().filter(|each| each.is_missed()).filter_map(|each| {
            let (_, why) = each.refused.as_ref()?;
            let lost = LOSSES.iter().find(|(sid, _)| *sid == each.sid).map_or("", |(_, lost)| *lost);
            let subject =
                if matches!(each.sid, sid::INBOX | sid::HUB_INBOX) { "_INBOX.>" } else { each.subject.as_str() };
            Some((subject, why.as_str(), lost))
        })
    }

    /// When [`Subscriptions::ask`] is due.
    pub fn timer(&self) -> Option<Instant> {
        self.again
    }

    fn any_refused(&self) -> bool {
        self.all.iter().any(Subscription::is_missed)
    }
}
