//! One of the two lists that DisWall's service keeps, and the request for it: when it is asked for, given up and asked
//! for again, and what is posted once more behind it. Sans-I/O like the session, which alone calls it.

use std::time::{Duration, Instant};

use super::super::protocol;
use super::super::subscriptions::PAUSES;
use super::{Output, notice};
use crate::feed::backoff::Backoff;
use crate::model::Event;

/// How long an init reply may take.
pub(super) const REPLY: Duration = Duration::from_secs(10);
/// Most changes kept for being posted again behind a list; above it the list is asked for once more.
pub(super) const HELD: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Block,
    Allow,
}

impl Which {
    pub(super) const fn notice(self) -> &'static str {
        match self {
            Which::Block => notice::BLOCK_LIST,
            Which::Allow => notice::ALLOW_LIST,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Which::Block => "block list",
            Which::Allow => "allow list",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Answered, or not to be asked.
    Settled,
    /// Asked; to be given up then.
    Asked(Instant),
    /// Failed; to be asked again then.
    Pausing(Instant),
}

/// One list and the request for it.
#[derive(Debug)]
pub(super) struct ListRequest {
    which: Which,
    pub(super) stage: Stage,
    backoff: Backoff,
    /// Where the reply to the latest request is expected.
    pub(super) reply: String,
    /// Requests so far, for the next reply subject.
    pub(super) asked: u32,
    /// Changes since the request went out, in order.
    pub(super) held: Vec<Event>,
    /// There were more of them than are kept.
    pub(super) overflown: bool,
    /// Some failure was posted.
    pub(super) complained: bool,
    /// The server does not let this login ask.
    pub(super) denied: bool,
    /// A list that is on its way may lack what was missed before: another is to be asked for behind it.
    pub(super) stale: bool,
}

impl ListRequest {
    pub(super) fn new(which: Which) -> ListRequest {
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
    pub(super) fn begin(&mut self) {
        self.reply.clear();
        self.held.clear();
        (self.overflown, self.stale) = (false, false);
    }

    pub(super) fn ask(&mut self, subject: &str, inbox: &str, now: Instant, out: &mut Output) {
        self.begin();
        self.asked += 1;
        let name = if self.which == Which::Block { 'b' } else { 'a' };
        self.reply = format!("{inbox}.{name}{}", self.asked);
        self.stage = Stage::Asked(now + REPLY);
        protocol::publish(&mut out.bytes, subject, Some(&self.reply), b"empty");
    }

    /// Posts a change, and keeps it if a list that may be older is on its way.
    pub(super) fn change(&mut self, event: Event, out: &mut Output) {
        if self.is_asked() {
            if self.held.len() < HELD {
                self.held.push(event.clone());
            } else {
                self.overflown = true;
            }
        }
        out.event(event);
    }

    pub(super) fn fail(&mut self, why: &str, now: Instant, out: &mut Output) {
        let pause = self.backoff.delay();
        self.stage = Stage::Pausing(now + pause);
        self.held = Vec::new();
        self.complained = true;
        let text = format!("no {}: {why}; asking again within {} s", self.which.name(), pause.as_secs() + 1);
        out.notice(self.which.notice(), Some(text));
    }

    /// The server does not let this login ask. What is lost is said in the feed's state.
    pub(super) fn deny(&mut self, now: Instant, out: &mut Output) {
        self.stage = Stage::Pausing(now + self.backoff.delay());
        self.held = Vec::new();
        self.denied = true;
        self.quiet(out);
    }

    /// No reply can arrive: that is what is to be said, not that none came.
    pub(super) fn withdraw(&mut self, out: &mut Output) {
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
    pub(super) fn settle(&mut self, out: &mut Output) {
        self.stage = Stage::Settled;
        self.backoff.reset();
        for event in std::mem::take(&mut self.held) {
            out.event(event);
        }
        self.denied = false;
        self.quiet(out);
    }

    pub(super) fn is_asked(&self) -> bool {
        matches!(self.stage, Stage::Asked(_))
    }

    pub(super) fn timer(&self) -> Option<Instant> {
        match self.stage {
            Stage::Settled => None,
            Stage::Asked(when) | Stage::Pausing(when) => Some(when),
        }
    }
}
