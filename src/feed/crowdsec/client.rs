//! The task: asks for everything at the start, after each error and once an hour, in between for what is new, and
//! posts the difference. What was decided stays in force while the local API is away: every decision has an end.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::decision::{self, Kind, Unfit};
use super::gather::{Rows, Texts};
use super::known::{Decided, Known};
use super::lapi::{self, NoAnswer};
use super::metrics::Metrics;
use super::settings::Settings;
use super::stream::{self, Change};
use crate::feed::backoff::Backoff;
use crate::feed::intake::Intake;
use crate::feed::{FeedState, Gauges, Handle, Update, Updates, again};
use crate::model::{Event, Lifetime, Source};
use crate::{outside, uptime};

/// Longest delay after a question that failed; the first is the time between two questions.
const LONGEST: Duration = Duration::from_secs(120);
/// Everything is asked for again after so long: what was lost on the way, or taken back without a word because
/// something shorter is left, is put right.
const WHOLE: Duration = Duration::from_secs(3600);
/// A question is followed by a pause of so many times what it took, less one.
const BUSY: u32 = 5;
/// What is said of a local API that wants no questions of ours.
const NO_KEY: &str = "`cscli bouncers add NAME`, where CrowdSec runs, makes a key for this router; option api_key \
                      (or api_key_file) is where it belongs";

/// Starts the feed on the current `LocalSet`; it ends when the handle is dropped.
pub fn start(settings: &Settings, intake: Intake, updates: Updates) -> Handle {
    let (gauges, resync) = (Rc::new(Gauges::default()), Rc::new(Notify::new()));
    let client = Client {
        settings: settings.clone(),
        intake,
        updates,
        gauges: Rc::clone(&gauges),
        resync: Rc::clone(&resync),
        texts: Texts::default(),
        // Of two kinds of decision about the same one may go and the other stay.
        known: (!settings.dedup || settings.captcha).then(Known::default),
        highest: None,
        missed: 0,
        metrics: Metrics::new(settings.usage_metrics),
        state: FeedState::Off,
    };
    Handle { task: tokio::task::spawn_local(client.run()), gauges, resync }
}

struct Client {
    settings: Settings,
    intake: Intake,
    updates: Updates,
    gauges: Rc<Gauges>,
    resync: Rc<Notify>,
    texts: Texts,
    /// Decisions by number, where it takes that to know what is left when one goes.
    known: Option<Known>,
    /// The highest number of a decision that has come; `None`: it is not known what came before.
    highest: Option<u64>,
    /// How often in a row decisions were there that had not been told.
    missed: u32,
    metrics: Metrics,
    /// As it was posted last.
    state: FeedState,
}

/// What one answer has.
struct Found<'a> {
    texts: &'a mut Texts,
    captcha: bool,
    /// Everything was asked for.
    whole: bool,
    /// By number.
    numbered: bool,
    most: usize,
    now: u32,
    /// Until now.
    highest: Option<u64>,
    rows: Rows,
    fresh: Vec<Decided>,
    deleted: Vec<IpNet>,
    deleted_ids: Vec<u64>,
    /// More was taken back than there can be here.
    overflow: bool,
    /// The highest number in it.
    top: u64,
    /// Decisions beyond the highest known.
    newer: u32,
    refused: u64,
    /// About what no firewall can follow.
    foreign: u64,
    refusal: Option<String>,
    broken: bool,
}

impl Found<'_> {
    fn take(&mut self, part: Change, text: &[u8]) {
        let decision = match decision::read(text) {
            Ok(decision) => decision,
            Err(None) => {
                self.broken = true;
                return;
            }
            Err(Some(Unfit::Foreign)) => {
                self.foreign += u64::from(part == Change::New);
                return;
            }
            Err(Some(refusal)) => return self.refuse(text, refusal),
        };
        if decision.kind == Kind::Captcha && !self.captcha || part == Change::Deleted && self.whole {
            return;
        }
        let id = decision.id;
        if part == Change::Deleted {
            self.overflow = self.deleted.len().max(self.deleted_ids.len()) >= self.most;
            if self.overflow {
                return;
            }
            if self.numbered {
                self.deleted_ids.push(id)
            } else {
                self.deleted.push(decision.net)
            }
            return;
        }
        let Some(left) = decision.left else { return self.refuse(text, Unfit::Bad) };
        let Some(left) = u32::try_from(left).ok().filter(|left| *left > 0) else { return };
        self.top = self.top.max(id);
        self.newer += u32::from(self.highest.is_some_and(|highest| id > highest));
        let why = self.texts.number(&decision.scenario);
        if !self.numbered {
            self.rows.push(decision.net, left, why, self.most);
        } else if self.fresh.len() < self.most {
            self.fresh.push(Decided { id, net: decision.net, end: self.now.saturating_add(left), why });
        } else {
            self.rows.cut += 1;
        }
    }

    fn refuse(&mut self, text: &[u8], refusal: Unfit) {
        self.refused += 1;
        let what = if refusal == Unfit::Wide { "is too wide" } else { "cannot be read" };
        self.refusal.get_or_insert_with(|| {
            let text = outside::clean(&String::from_utf8_lossy(text), outside::SENTENCE / 2);
            format!("a decision {what}: {text}")
        });
    }
}

impl Client {
    async fn run(mut self) {
        if !self.settings.has_key() {
            let error = format!("there is no key: {NO_KEY}");
            return self.tell(FeedState::Waiting { error, retry_in: 0 }).await;
        }
        let mut backoff = Backoff::new(self.settings.interval.min(LONGEST), LONGEST);
        self.tell(FeedState::Connecting).await;
        let gauges = Rc::clone(&self.gauges);
        loop {
            let reloaded = pin!(gauges.reloaded.notified());
            let failure = self.follow(&mut backoff).await;
            self.highest = None;
            let delay = backoff.delay();
            let retry_in = u32::try_from(delay.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            self.tell(FeedState::Waiting { error: sentence(failure), retry_in }).await;
            tokio::select! {
                () = sleep(delay) => {}
                () = self.resync.notified() => {}
                () = again(reloaded) => {}
            }
            self.gauges.resyncs.set(self.gauges.resyncs.get() + 1);
        }
    }

    /// Follows what is decided until something fails.
    async fn follow(&mut self, backoff: &mut Backoff) -> NoAnswer {
        let mut whole_at = Instant::now();
        let mut due = whole_at;
        loop {
            let asked = tokio::select! {
                biased;
                () = sleep_until(due) => false,
                () = self.resync.notified() => true,
            };
            let begin = Instant::now();
            let whole = asked || whole_at <= Instant::now();
            // What is new since the last question comes first: what is there beyond it was told to somebody else.
            let first = if whole && self.highest.is_none() { Ok(true) } else { self.ask(false).await };
            let whole = whole || matches!(first, Ok(false));
            let asked = match first {
                Ok(_) if whole => self.ask(true).await,
                first => first,
            };
            if let Err(failure) = asked {
                return failure;
            }
            // Answers that keep the router busy come at longer intervals.
            due = begin + self.settings.interval.max(begin.elapsed() * BUSY);
            if whole {
                whole_at = Instant::now() + WHOLE;
            }
            backoff.reset();
            self.gauges.last_message.set(Some(uptime::seconds()));
            self.tell(FeedState::Live).await;
            self.metrics.tell(&self.settings, &self.gauges).await;
        }
    }

    /// Asks once, and posts what came; `false`: it was more than is held, so everything must be asked for.
    async fn ask(&mut self, whole: bool) -> Result<bool, NoAnswer> {
        let mut found = Found {
            texts: &mut self.texts,
            captcha: self.settings.captcha,
            whole,
            numbered: self.known.is_some(),
            most: self.intake.most(),
            now: u32::try_from(uptime::seconds()).unwrap_or(u32::MAX),
            highest: self.highest,
            rows: Rows::default(),
            fresh: Vec::new(),
            deleted: Vec::new(),
            deleted_ids: Vec::new(),
            overflow: false,
            top: 0,
            newer: 0,
            refused: 0,
            foreign: 0,
            refusal: None,
            broken: false,
        };
        let (mut reader, mut wrong) = (stream::Reader::default(), None);
        let sink = &mut |bytes: &[u8]| {
            wrong = reader.push(bytes, &mut |part, text| found.take(part, text)).err();
            wrong.is_none() && !found.broken
        };
        lapi::ask(&self.settings, &self.settings.path(whole), None, sink).await?;
        if found.broken {
            return Err("a decision in its answer is no JSON".into());
        }
        wrong.map_or_else(|| reader.finish(), Err).map_err(|error| NoAnswer::Other(error.to_string()))?;
        if found.overflow {
            return Ok(false);
        }
        let Found { rows, fresh, deleted, deleted_ids, top, newer, refused, foreign, refusal, now, most, .. } = found;
        self.gauges.messages.set(self.gauges.messages.get() + 1);
        self.note(refused + reader.long, foreign, refusal, whole).await;
        self.note_numbers(top, newer, whole).await;
        if whole {
            self.post_list(rows, fresh, now).await;
        } else {
            self.post_changes(rows, fresh, (deleted, deleted_ids), now, most).await;
        }
        Ok(true)
    }

    /// Says what could not be followed.
    async fn note(&mut self, refused: u64, foreign: u64, refusal: Option<String>, whole: bool) {
        let gauges = &self.gauges;
        gauges.refused_addresses.set(gauges.refused_addresses.get() + refused);
        if refused > 0 {
            gauges.last_refusal.replace(refusal.clone());
        }
        if whole || refused > 0 {
            let text = refusal.map(|refusal| format!("{refused} decisions are not followed; {refusal}"));
            self.send(Update::Notice { key: "decisions", text }).await;
        }
        if whole || foreign > 0 {
            let text = (foreign > 0).then(|| {
                format!("{foreign} decisions are about something that a firewall cannot follow (another scope or type)")
            });
            self.send(Update::Notice { key: "scopes", text }).await;
        }
    }

    /// Notices decisions that were there before and had never been told.
    async fn note_numbers(&mut self, top: u64, newer: u32, whole: bool) {
        if whole && self.highest.is_some() {
            self.missed = if newer > 0 { self.missed.saturating_add(1) } else { 0 };
            let text = (self.missed > 1).then(|| {
                "decisions were not told to this router, as if another program used the same key: each needs one of \
                 its own (`cscli bouncers add NAME`)"
                    .to_owned()
            });
            self.send(Update::Notice { key: "key", text }).await;
        }
        self.highest = if whole { Some(top) } else { self.highest.map(|highest| highest.max(top)) };
    }

    async fn post_list(&mut self, rows: Rows, fresh: Vec<Decided>, now: u32) {
        let cut = rows.cut;
        let rows = match &mut self.known {
            None => rows,
            Some(known) => {
                known.replace(fresh);
                let mut rows = known.rows(now);
                rows.cut = cut;
                rows
            }
        };
        let list = rows.into_list(&self.texts);
        self.gauges.lists.set(self.gauges.lists.get() + 1);
        if self.state != FeedState::Live {
            self.tell(FeedState::Synchronising).await;
        }
        self.send(Update::Event(Event::List { source: Source::CROWDSEC, list })).await;
    }

    async fn post_changes(
        &mut self,
        rows: Rows,
        fresh: Vec<Decided>,
        (deleted, deleted_ids): (Vec<IpNet>, Vec<u64>),
        now: u32,
        most: usize,
    ) {
        let cut = rows.cut;
        let Some(known) = &mut self.known else {
            let mut new = Vec::new();
            if !deleted.is_empty() {
                rows.for_each(|net, _, _| new.push(net));
                new.sort_unstable();
            }
            // What comes again at once stays in force meanwhile.
            for net in deleted.into_iter().filter(|net| new.binary_search(net).is_err()) {
                self.unban(net).await;
            }
            let mut bans = Vec::with_capacity(rows.len());
            rows.for_each(|net, seconds, why| bans.push((net, seconds, why)));
            drop(rows);
            for (net, seconds, why) in bans {
                self.ban(net, seconds, why).await;
            }
            return self.tell_cut(cut).await;
        };
        let (changes, beyond) = known.change(&deleted_ids, fresh, now, most);
        for (net, kept) in changes {
            match kept {
                None => self.unban(net).await,
                Some((end, why)) => self.ban(net, end.saturating_sub(now), why).await,
            }
        }
        self.tell_cut(cut.saturating_add(beyond)).await;
    }

    async fn tell_cut(&mut self, count: u32) {
        if count > 0 {
            self.send(Update::Cut(count)).await;
        }
    }

    async fn ban(&mut self, net: IpNet, seconds: u32, why: u16) {
        let (source, reason) = (Source::CROWDSEC, self.texts.reason(why));
        self.send(Update::Event(Event::Ban { source, net, lifetime: Lifetime::Seconds(seconds), reason })).await;
    }

    async fn unban(&mut self, net: IpNet) {
        self.send(Update::Event(Event::Unban { source: Source::CROWDSEC, net })).await;
    }

    async fn tell(&mut self, state: FeedState) {
        if self.state != state {
            self.state = state.clone();
            self.send(Update::State(state)).await;
        }
    }

    async fn send(&mut self, update: Update) {
        // An error means that the daemon stops.
        let _ = self.updates.send((Source::CROWDSEC, update)).await;
    }
}

/// What went wrong, and what to do, for people.
fn sentence(failure: NoAnswer) -> String {
    match failure {
        NoAnswer::Other(text) => format!("the local API: {text}"),
        NoAnswer::Status(401 | 403) => format!("the local API does not know the key (status 403): {NO_KEY}"),
        NoAnswer::Status(404) => {
            "there is no local API at this address (status 404): option url ends before /v1/".into()
        }
        NoAnswer::Status(status @ 300..=399) => {
            format!("the local API leads elsewhere (status {status}), which is not followed: mend option url")
        }
        NoAnswer::Status(status) => format!("the local API answered with status {status}: CrowdSec's log says why"),
    }
}
