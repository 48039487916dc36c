//! A list as a task: reads what was kept, fetches the list now and then, and posts it as a whole when it has changed
//! and is fit to be used. What is in force stays until something better has come.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};

use super::names::{self, Names};
use super::settings::{Address, Settings};
use super::store::{self, Facts};
use super::{Context, Format, Item, Reader, Summary, Verdict, judge};
use crate::feed::backoff::Backoff;
use crate::feed::fetch::{self, Outcome, Validators, Wanted};
use crate::feed::{FeedState, Gauges, Handle, Update, Updates, again};
use crate::model::{Builder, Entries, Event};
use crate::whole_file::Crc;
use crate::{calendar, outside, own, plural, uptime};

/// The first fetch of a list that is not there yet, and of one that is, are put off by so much at most: routers that
/// boot together, and the lists of one of them, do not come all at once.
const FIRST: Duration = Duration::from_secs(3);
const LATER: Duration = Duration::from_secs(60);

/// First and longest wait after a fetch that failed.
const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_LONGEST: Duration = Duration::from_secs(3600);

/// That a list has not changed is said where it is kept after so long, or after half of what it may be old at most.
const SEEN: Duration = Duration::from_secs(86_400);

/// How long all addresses of a list together may take, for other lists wait for their turn.
const WHOLE: Duration = Duration::from_secs(30 * 60);
/// How long the address of one place may take: a country has some hundred kilobytes.
const PLACE: Duration = Duration::from_secs(60);

/// Starts the list's task. Must be called inside a `LocalSet`; it runs until the handle is dropped.
pub fn start(settings: Settings, state_dir: &Path, context: Rc<Context>, updates: Updates) -> Handle {
    let (gauges, resync) = (Rc::new(Gauges::default()), Rc::new(Notify::new()));
    let directory = settings.directory(state_dir);
    let path = store::path(directory, settings.source.name());
    let pause = if own::is_in_ram(directory) { Duration::ZERO } else { own::FLASH };
    let names = (settings.format == Format::Names).then(|| {
        let whose = (settings.source, settings.usage);
        Names::new(whose, Rc::clone(&context), updates.clone(), path.clone(), pause)
    });
    let client = Client {
        path,
        pause,
        names,
        settings,
        context,
        updates,
        gauges: Rc::clone(&gauges),
        resync: Rc::clone(&resync),
        facts: Facts::default(),
        parts: Vec::new(),
        count: None,
        good: None,
        written: None,
        is_kept: false,
        seen: None,
    };
    Handle { task: tokio::task::spawn_local(client.run()), gauges, resync }
}

struct Client {
    settings: Settings,
    context: Rc<Context>,
    updates: Updates,
    gauges: Rc<Gauges>,
    resync: Rc<Notify>,
    /// Where it is kept.
    path: PathBuf,
    /// Time between two copies there.
    pause: Duration,
    facts: Facts,
    /// Of a list of several addresses what was there of each at the last time; `None`: nothing.
    parts: Vec<Option<Validators>>,
    /// Entries in force; `None`: no list is.
    count: Option<u32>,
    /// When it was last known to be what its server has.
    good: Option<Instant>,
    /// When it was last written.
    written: Option<Instant>,
    /// What is kept is what is in force; where it is of names, they know.
    is_kept: bool,
    /// When it was last said there that it is good.
    seen: Option<Instant>,
    /// What follows its names, if it is of names.
    names: Option<Names>,
}

/// Why a client is awake.
enum Woken {
    /// Its list is to be fetched.
    Due,
    /// Somebody asks for it.
    Asked,
    /// What is in force is too old.
    Lapses,
}

/// What a fetch brought.
enum Fetched {
    /// It has not changed.
    Same,
    New(Content, Facts, Vec<Option<Validators>>),
}

/// What a list has.
enum Content {
    /// Shared for as long as it is written: a long list is not there twice.
    Entries(Arc<Entries>),
    Names(BTreeSet<Box<str>>),
}

/// What one address of several gave.
enum Got {
    /// It has not changed.
    Same,
    /// There is nothing.
    Missing,
    New(Validators),
}

/// What all addresses gave together.
struct Read {
    builder: Builder,
    names: BTreeSet<Box<str>>,
    /// A sentence of the first lines that could not be read.
    refused: Option<String>,
}

/// Of a text most of whose lines are refused: what is wrong with the first.
fn first_refused(summary: &Summary) -> String {
    match summary.shown.first().filter(|_| summary.verdict == Verdict::MostlyRefused) {
        Some(first) => format!("; line {}: {}: {}", first.line, first.reason, first.text),
        None => String::new(),
    }
}

/// Does this, and follows the list's names meanwhile.
async fn beside<T>(names: &mut Option<Names>, work: impl Future<Output = T>) -> T {
    match names {
        None => work.await,
        Some(names) => tokio::select! {
            done = work => done,
            never = names.follow() => match never {},
        },
    }
}

/// Names those of whom no address has anything.
fn nowhere(addresses: &[Address], known: &[Option<Validators>]) -> Option<String> {
    const SHOWN: usize = 8;
    let mut none: Vec<&str> = Vec::new();
    for of in addresses.iter().filter_map(|address| address.of.as_deref()) {
        let mut its = addresses.iter().zip(known).filter(|(address, _)| address.of.as_deref() == Some(of));
        if !none.contains(&of) && its.all(|(_, known)| known.is_none()) {
            none.push(of);
        }
    }
    let more = if none.len() > SHOWN { format!(" and {} more", none.len() - SHOWN) } else { String::new() };
    let shown = none.get(..SHOWN).unwrap_or(&none).join(", ");
    (!none.is_empty()).then(|| format!("no networks are published of {shown}{more}"))
}

impl Client {
    async fn run(mut self) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST.min(self.settings.interval));
        self.set_state(FeedState::Connecting).await;
        let mut due = Instant::now() + self.recall(&backoff).await;
        let (gauges, mut failed) = (Rc::clone(&self.gauges), false);
        let mut reloaded = pin!(gauges.reloaded.notified());
        loop {
            let mut names = self.names.take();
            let asked = match beside(&mut names, self.wait(due, failed, reloaded.as_mut())).await {
                Woken::Lapses => {
                    self.names = names;
                    self.lapse().await;
                    continue;
                }
                Woken::Asked => true,
                Woken::Due => false,
            };
            reloaded.set(gauges.reloaded.notified());
            let fetched = beside(&mut names, async {
                let context = Rc::clone(&self.context);
                let _turn = context.turn.acquire().await;
                let late = |_| Err(format!("not all of its addresses were read in {} minutes", WHOLE.as_secs() / 60));
                timeout(WHOLE, self.fetch(asked)).await.unwrap_or_else(late)
            });
            let fetched = fetched.await;
            self.names = names;
            let taken = match fetched {
                Ok(fetched) => self.take(fetched, asked).await,
                Err(text) => Err(text),
            };
            failed = taken.is_err();
            match taken {
                Ok(()) => {
                    backoff.reset();
                    self.gauges.last_message.set(Some(uptime::seconds()));
                    self.good = Some(Instant::now());
                    self.set_state(FeedState::Live).await;
                    due = Instant::now() + self.interval(&backoff);
                }
                Err(text) => {
                    let delay = backoff.delay();
                    let retry_in = u32::try_from(delay.as_secs()).unwrap_or(u32::MAX);
                    let error = outside::clean(&text, outside::SENTENCE);
                    self.set_state(FeedState::Waiting { error, retry_in }).await;
                    due = Instant::now() + delay;
                }
            }
            self.lapse().await;
        }
    }

    /// The time until the next fetch when all goes well: a tenth more or less, so that nobody comes at the full hour.
    fn interval(&self, backoff: &Backoff) -> Duration {
        let whole = self.settings.interval;
        whole - whole / 10 + backoff.within(whole / 5)
    }

    /// Brings the list that was kept in force. The time until it is to be fetched.
    async fn recall(&mut self, backoff: &Backoff) -> Duration {
        let (path, room) = (self.path.clone(), self.context.room(self.settings.source));
        let kept = spawn_blocking(move || store::read(&path, room)).await.ok().flatten();
        let Some((facts, entries)) = kept.filter(|(facts, _)| facts.origin == self.origin()) else {
            return backoff.within(FIRST);
        };
        // A clock that is not set yet makes it old, which costs a fetch.
        let age = Duration::from_secs(calendar::now().abs_diff(facts.fetched));
        if !self.settings.max_age.is_zero() && age > self.settings.max_age {
            return backoff.within(FIRST);
        }
        self.good = Instant::now().checked_sub(age).or(self.good);
        // Unknown where it came before the machine was started.
        self.gauges.last_message.set(uptime::seconds().checked_sub(age.as_secs()));
        (self.facts, self.written) = (facts, Some(Instant::now()));
        (self.is_kept, self.seen) = (true, self.good);
        if let Some(names) = &mut self.names {
            names.recall(self.facts.clone(), &entries);
        }
        self.post(entries).await;
        self.set_state(FeedState::Live).await;
        self.interval(backoff).saturating_sub(age).max(backoff.within(LATER))
    }

    /// Everything by which one list is told from another of the same name.
    fn origin(&self) -> String {
        let urls: Vec<String> = self.settings.addresses().into_iter().map(|address| address.url).collect();
        let whole = format!("{} {}", self.settings.format, urls.join(" "));
        if whole.len() <= store::TEXT_MAX {
            return whole;
        }
        let mut crc = Crc::new();
        crc.add(whole.as_bytes());
        format!("{} addresses {} {}", urls.len(), whole.len(), crc.value())
    }

    /// Waits until the next fetch is due, somebody asks for one, or the list is too old. After one that
    /// `failed` another is due when there was a reload, which is nobody's wish.
    async fn wait(&self, due: Instant, failed: bool, reloaded: Pin<&mut Notified<'_>>) -> Woken {
        let lapses = self.lapses_at();
        tokio::select! {
            () = self.resync.notified() => Woken::Asked,
            () = sleep_until(due) => Woken::Due,
            () = again(reloaded), if failed => Woken::Due,
            () = sleep_until(lapses.unwrap_or(due)), if lapses.is_some_and(|at| at < due) => Woken::Lapses,
        }
    }

    /// When the list in force will be too old.
    fn lapses_at(&self) -> Option<Instant> {
        let max_age = Some(self.settings.max_age).filter(|age| !age.is_zero() && self.count.is_some())?;
        self.good?.checked_add(max_age)
    }

    /// Takes a list out of force that is too old.
    async fn lapse(&mut self) {
        if self.lapses_at().is_some_and(|at| at <= Instant::now()) {
            self.count = None;
            self.facts = Facts::default();
            self.parts.clear();
            self.names.iter_mut().for_each(Names::clear);
            self.send(Update::Event(Event::Lapse { source: self.settings.source })).await;
        }
    }

    /// What its servers have now. `anew`: even if it has not changed. Of several addresses each is asked for only if it
    /// has changed; if one has, all are read, and if one fails, all of it has failed.
    async fn fetch(&mut self, anew: bool) -> Result<Fetched, String> {
        let room = self.context.room(self.settings.source);
        let addresses = self.settings.addresses();
        let mut parts = self.known(addresses.len()).filter(|_| !anew);
        let mut read = Read { builder: Builder::new(room), names: BTreeSet::new(), refused: None };
        let mut fresh: Vec<Option<Option<Validators>>> = Vec::new();
        for (at, address) in addresses.iter().enumerate() {
            let before = parts.as_ref().and_then(|parts| parts.get(at)).cloned();
            let got = self.part(address, before.clone().flatten().unwrap_or_default(), &mut read).await?;
            // From the first that has changed on nothing is known any more.
            if !matches!((&got, &before), (Got::Same, _) | (Got::Missing, Some(None))) {
                parts = None;
            }
            fresh.push(match got {
                Got::Same => None,
                Got::Missing => Some(None),
                Got::New(validators) => Some(Some(validators)),
            });
        }
        if parts.is_some() {
            return Ok(Fetched::Same);
        }
        let mut known = Vec::new();
        for (address, fresh) in addresses.iter().zip(fresh) {
            known.push(match fresh {
                Some(fresh) => fresh,
                // It was the same, and others were not.
                None => match self.part(address, Validators::default(), &mut read).await? {
                    Got::New(validators) => Some(validators),
                    Got::Missing | Got::Same => None,
                },
            });
        }
        let lacking = nowhere(&addresses, &known);
        let mut facts = Facts { fetched: calendar::now(), origin: self.origin(), validators: Validators::default() };
        if let [Some(only)] = known.as_mut_slice() {
            facts.validators = std::mem::take(only);
        }
        self.send(Update::Notice { key: "lines", text: read.refused }).await;
        self.send(Update::Notice { key: "lacking", text: lacking }).await;
        if self.settings.format == Format::Names {
            return Ok(Fetched::New(Content::Names(read.names), facts, known));
        }
        let builder = read.builder;
        // Long lists take a while to sort; questions are answered meanwhile.
        match spawn_blocking(move || builder.finish()).await {
            Ok(Ok(entries)) => Ok(Fetched::New(Content::Entries(Arc::new(entries)), facts, known)),
            Ok(Err(_)) => {
                Err(format!("it is too long: max_entries leaves room for {room} addresses, or half as many networks"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// What is known of each of so many addresses, if all of it is in force.
    fn known(&self, count: usize) -> Option<Vec<Option<Validators>>> {
        self.count?;
        match count {
            1 => Some(vec![Some(self.facts.validators.clone())]),
            _ => Some(self.parts.clone()).filter(|parts| parts.len() == count),
        }
    }

    /// Reads what one address has.
    async fn part(&self, address: &Address, before: Validators, read: &mut Read) -> Result<Got, String> {
        // It is for those whom the owner named.
        let login = self.settings.login.as_deref().filter(|_| address.of.is_none());
        let mut request = Wanted { login, before, may_lack: address.of.is_some(), ..Wanted::new(&address.url) };
        if address.of.is_some() {
            request.time = PLACE;
        }
        let mut reader = Reader::new(self.settings.format);
        let mut take = |item: Item<'_>| match item {
            Item::Range(range, why) => {
                let why = read.builder.text(why);
                read.builder.tagged(range, why);
            }
            // One more tells that there are too many.
            Item::Name(name) if read.names.len() <= names::MOST => _ = read.names.insert(name.into()),
            Item::Name(_) => {}
        };
        let named = |error: String| match &address.of {
            Some(of) => [of, ": ", &error].concat(),
            None => error,
        };
        let validators = match fetch::fetch(&request, &mut |bytes| reader.push(bytes, &mut take))
            .await
            .map_err(|failure| named(failure.text))?
        {
            Outcome::NotModified => return Ok(Got::Same),
            Outcome::Missing => return Ok(Got::Missing),
            Outcome::Body { validators, .. } => validators,
            Outcome::Enough => Validators::default(),
        };
        let summary = reader.finish(&mut take);
        if summary.verdict != Verdict::Usable {
            return Err(named(["what came is ", &summary.verdict.to_string(), &first_refused(&summary)].concat()));
        }
        if let Some(text) = self.note_refused(&summary) {
            read.refused.get_or_insert(text);
        }
        Ok(Got::New(validators))
    }

    /// Counts the lines that could not be read; a sentence if there were any.
    fn note_refused(&self, summary: &Summary) -> Option<String> {
        let (count, gauges) = (summary.refused(), &self.gauges);
        gauges.refused_addresses.set(gauges.refused_addresses.get() + count);
        let first = summary.shown.first()?;
        let lines = plural::of(count, "line", "lines");
        let text = format!("{lines} could not be read; line {}: {}: {}", first.line, first.reason, first.text);
        gauges.last_refusal.replace(Some(text.clone()));
        Some(text)
    }

    async fn take(&mut self, fetched: Fetched, asked: bool) -> Result<(), String> {
        self.gauges.messages.set(self.gauges.messages.get() + 1);
        let (content, facts, parts) = match fetched {
            Fetched::Same => {
                self.facts.fetched = calendar::now();
                self.names.iter_mut().for_each(|names| names.seen(self.facts.fetched));
                self.confirm();
                return Ok(());
            }
            Fetched::New(content, facts, parts) => (content, facts, parts),
        };
        // Who asks for it has looked at it.
        let before = self.count.filter(|_| !asked);
        let judged = match &content {
            Content::Entries(entries) => {
                judge::accept(entries, before, &self.context.own.borrow(), self.settings.usage)
            }
            Content::Names(names) => self.judge_names(names.len(), before),
        };
        if let Err(text) = judged {
            self.gauges.refused_messages.set(self.gauges.refused_messages.get() + 1);
            self.gauges.last_refusal.replace(Some(text.clone()));
            let rest = if self.count.is_some() { "; the former list stays" } else { "" };
            return Err(format!("{text}{rest}"));
        }
        self.is_kept &= self.facts.is_same(&facts);
        (self.facts, self.parts) = (facts, parts);
        self.gauges.lists.set(self.gauges.lists.get() + 1);
        match content {
            Content::Entries(entries) => {
                self.keep(&entries).await;
                self.post(Arc::unwrap_or_clone(entries)).await;
            }
            Content::Names(all) => {
                let facts = self.facts.clone();
                self.names.iter_mut().for_each(|names| names.set(&all, facts.clone(), asked));
                self.count = self.names.as_ref().map(Names::count);
            }
        }
        Ok(())
    }

    fn judge_names(&self, count: usize, before: Option<u32>) -> Result<(), String> {
        let room = self.names.as_ref().map_or(0, Names::room);
        if count > room {
            let most = names::MOST;
            return Err(format!("it has more than {room} names; all lists together may have {most}"));
        }
        judge::count(u32::try_from(count).unwrap_or(u32::MAX), before)
    }

    /// Puts it in force.
    async fn post(&mut self, entries: Entries) {
        self.count = Some(self.names.as_ref().map_or(entries.size().all(), Names::count));
        self.send(Update::Event(Event::Entries { source: self.settings.source, entries })).await;
    }

    /// Says where it is kept that it is still good, which else would be too old after a restart: by the file's date, and
    /// seldom, for flash wears.
    fn confirm(&mut self) {
        let pause = SEEN.min(self.settings.max_age / 2).max(self.pause);
        if self.names.as_ref().map_or(self.is_kept, |names| names.is_kept)
            && self.seen.is_none_or(|at| at.elapsed() >= pause)
            && let Ok(file) = File::open(&self.path)
        {
            self.seen = Some(Instant::now());
            store::date(&file, self.facts.fetched);
        }
    }

    /// Keeps it over a restart.
    async fn keep(&mut self, entries: &Arc<Entries>) {
        if self.written.is_some_and(|at| at.elapsed() < self.pause) {
            return;
        }
        self.written = Some(Instant::now());
        let text = store::keep(self.path.clone(), self.facts.clone(), Arc::clone(entries)).await;
        (self.is_kept, self.seen) = (text.is_none(), self.written);
        self.send(Update::Notice { key: "kept", text }).await;
    }

    async fn set_state(&mut self, state: FeedState) {
        self.send(Update::State(state)).await;
    }

    async fn send(&mut self, update: Update) {
        // An error means that the daemon stops.
        let _ = self.updates.send((self.settings.source, update)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::net::IpAddr;

    use tokio::sync::mpsc;

    use super::*;
    use crate::model::Source;

    /// What a list of these addresses does, as if its time had come.
    struct Bench {
        client: Client,
        _updates: mpsc::Receiver<(Source, Update)>,
    }

    impl Bench {
        fn new(settings: Settings, place: &Path) -> Bench {
            let (updates, received) = mpsc::channel(1000);
            let context = Rc::new(Context::default());
            context.set_rooms(vec![(settings.source, 1000)]);
            let client = Client {
                path: store::path(place, "x"),
                pause: Duration::ZERO,
                settings,
                context,
                updates,
                gauges: Rc::new(Gauges::default()),
                resync: Rc::new(Notify::new()),
                facts: Facts::default(),
                parts: Vec::new(),
                count: None,
                good: None,
                written: None,
                is_kept: false,
                seen: None,
                names: None,
            };
            Bench { client, _updates: received }
        }

        /// Fetches and takes: how many entries there are, `None` if nothing has changed, or what is wrong.
        async fn round(&mut self) -> Result<Option<u32>, String> {
            let fetched = self.client.fetch(false).await?;
            let count = match &fetched {
                Fetched::Same => None,
                Fetched::New(Content::Entries(entries), ..) => Some(entries.size().all()),
                Fetched::New(Content::Names(names), ..) => u32::try_from(names.len()).ok(),
            };
            self.client.take(fetched, false).await.map(|()| count)
        }
    }

    #[tokio::test]
    async fn of_several_addresses_all_are_read_when_one_has_changed_and_none_when_none_has() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let mut settings = Settings::new("x");
        settings.urls = vec![at("own").display().to_string()];
        settings.countries = vec!["cz", "sk"];
        settings.country_urls = vec![at("{country}").display().to_string()];
        for (name, text) in [("own", "192.0.2.1\n"), ("cz", "192.0.3.1\n192.0.3.3\n")] {
            fs::write(at(name), text).unwrap();
        }
        let mut bench = Bench::new(settings, place.path());
        assert_eq!(bench.round().await, Ok(Some(3)), "one country has nothing");
        assert_eq!(bench.round().await, Ok(None));
        fs::write(at("cz"), "192.0.3.1\n192.0.3.3\n192.0.3.5\n").unwrap();
        assert_eq!(bench.round().await, Ok(Some(4)), "what was the same before the one that changed is read too");
        fs::write(at("sk"), "192.0.4.1\n").unwrap();
        assert_eq!(bench.round().await, Ok(Some(5)), "it has something now");
        assert_eq!(bench.round().await, Ok(None));
        // What is not taken is not known: it is read again.
        bench.client.context.set_own(vec![IpAddr::from([192, 0, 4, 9])]);
        fs::write(at("sk"), "192.0.4.8/29\n").unwrap();
        for _ in 0..2 {
            assert!(bench.round().await.is_err_and(|error| error.contains("own address")));
        }
        // A country that has gone is a change; an address of the owner's that has gone is a failure.
        fs::remove_file(at("sk")).unwrap();
        assert_eq!(bench.round().await, Ok(Some(4)));
        fs::remove_file(at("own")).unwrap();
        assert!(bench.round().await.is_err_and(|error| error.contains("cannot be read")));
    }

    #[tokio::test]
    async fn what_is_kept_is_as_good_as_when_it_was_last_seen_unchanged() {
        let place = tempfile::Builder::new().prefix("diswall-").tempdir().unwrap();
        let (list, kept) = (place.path().join("own"), store::path(place.path(), "x"));
        let mut settings = Settings::new("x");
        settings.urls = vec![list.display().to_string()];
        settings.max_age = Duration::from_secs(3600);
        fs::write(&list, "192.0.2.1\n").unwrap();
        let mut bench = Bench::new(settings.clone(), place.path());
        assert_eq!(bench.round().await, Ok(Some(1)));
        // After a restart, so many minutes after it was fetched, it is seen to be the same.
        let restarted = async |minutes: u64, pause: Duration| {
            let (facts, entries) = store::read(&kept, 9).unwrap();
            let then = calendar::now() - 60 * minutes;
            store::write(&kept, &Facts { fetched: then, ..facts }, &entries).unwrap();
            let mut bench = Bench::new(settings.clone(), place.path());
            bench.client.pause = pause;
            bench.client.recall(&Backoff::new(FIRST, FIRST)).await;
            let round = bench.round().await;
            (bench, round, (calendar::now() - store::read(&kept, 9).unwrap().0.fetched) / 60)
        };
        let of = |(_, round, minutes): (Bench, _, _)| (round, minutes);
        assert_eq!(of(restarted(40, Duration::ZERO).await), (Ok(None), 0));
        // Not each time, and seldom on flash.
        assert_eq!(of(restarted(20, Duration::ZERO).await), (Ok(None), 20));
        assert_eq!(of(restarted(40, own::FLASH).await), (Ok(None), 40));
        // What is too old is fetched, and what is kept is not what is in force until it is written again.
        assert_eq!(of(restarted(61, own::FLASH).await), (Ok(Some(1)), 0));
        let (mut bench, ..) = restarted(40, own::FLASH).await;
        fs::write(&list, "192.0.2.1\n192.0.2.2\n").unwrap();
        assert_eq!((bench.round().await, bench.round().await), (Ok(Some(2)), Ok(None)));
        bench.client.pause = Duration::ZERO;
        bench.client.confirm();
        assert_eq!((calendar::now() - store::read(&kept, 9).unwrap().0.fetched) / 60, 40);
    }

    #[test]
    fn a_list_of_a_continent_is_told_from_another_without_all_its_addresses() {
        let of = |countries: Vec<&'static str>| {
            let mut settings = Settings::new("x");
            settings.countries = countries;
            Bench::new(settings, Path::new("/nowhere")).client.origin()
        };
        let (europe, both) = (of(vec!["europe"]), of(vec!["europe", "asia"]));
        assert!(europe.len() < store::TEXT_MAX && europe != both && europe == of(vec!["europe", "cz"]), "{europe}");
        assert!(of(vec!["cz"]).contains("/cz-aggregated.zone"));
    }
}
