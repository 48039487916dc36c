//! The daemon: one loop that knows feeds, ledger, firewall and control, and the only place that does.
//!
//! Read this file first. Feeds post updates ([`feeds`]); the ledger turns them into set changes; the
//! kernel side ([`kernel`]) applies those and tells when somebody else touched the table; questions
//! from the control socket are answered from the ledger ([`answers`]); what happened is told to
//! watchers ([`journal`]) and to the log. Nothing here polls: the loop sleeps until one of them has
//! something, or something ends.

mod answers;
mod by_hand;
mod clock;
mod commands;
mod configuration;
mod count;
mod days;
mod disconnect;
mod feeds;
mod former;
mod hourly;
mod journal;
mod keeper;
mod kernel;
mod logging;
mod offences;
mod packets;
mod parts;
mod proof;
mod quarrel;
mod report;
mod round;
mod scene;
mod sharing;
mod standing;
mod surroundings;
mod tally;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::{Loaded, Settings, last_good};
use crate::control::protocol::Activity;
use crate::control::server::{Question, Server};
use crate::exit;
use crate::feed::abuseipdb::Reporter;
use crate::feed::login::Logins;
use crate::feed::scan::Scans;
use crate::feed::{FeedState, Update};
use crate::firewall::TableEvent;
use crate::ledger::{Applied, Ledger};
use crate::limiter;
use crate::memory;
use crate::model::{Event, Lifetime, Reason, SetChange, Source};
use crate::plural;
use by_hand::ByHand;
use commands::Batches;
use configuration::Configuration;
use disconnect::Disconnect;
use feeds::{Feeds, Slot};
use hourly::Hourly;
use journal::Journal;
use keeper::Keeper;
use kernel::{Kernel, Repaired, State};
use offences::Offences;
use packets::{Packets, Seen};
use surroundings::Surroundings;
use tally::Tally;

/// Updates taken in one turn before the kernel gets them: one transaction for a burst, and no longer
/// a wait than a burst of this size for whatever else is due.
const BURST: usize = 256;

/// Turns' work of comparing sets before the first question is answered.
const FIRST_TURNS: usize = 32;

/// Everything the daemon has. What has a time of its own, or something to say of protection, is a row of
/// [`parts`] besides.
struct Daemon {
    settings: Settings,
    configuration: Configuration,
    run: Run,
    ledger: Ledger,
    /// Entries that there may be, of all sources together.
    most: u32,
    kernel: Kernel,
    disconnect: Disconnect,
    own: Own,
    feeds: Feeds,
    surroundings: Surroundings,
    by_hand: ByHand,
    journal: Journal,
    tally: Tally,
    hourly: Hourly,
    keeper: Keeper,
    control: Control,
}

/// What is true of this run.
struct Run {
    /// Since when, in seconds since the machine's start.
    started: u64,
    /// Why the log does not go where it should.
    log_trouble: Option<String>,
    /// What the rules in force lacked when the sets were compared last.
    lacking: Option<String>,
}

/// What the router sees itself: the feeds of scans and of failed log-ins, where they hear of them, and what
/// becomes of it.
struct Own {
    packets: Packets,
    scans: Scans,
    logins: Logins,
    offences: Offences,
    reporter: Reporter,
}

/// The way in for commands.
struct Control {
    server: Server,
    /// For another server, elsewhere.
    questions: mpsc::Sender<Question>,
    batches: Batches,
}

impl Control {
    /// Listens at another path; where that fails, the old one stays.
    fn move_to(&mut self, path: &Path) {
        match Server::start(path, self.questions.clone()) {
            Ok(server) => self.server = server,
            Err(error) => log::error!("control socket {}: {error}; the old one stays", path.display()),
        }
    }
}

/// Runs the daemon until SIGTERM or SIGINT.
pub fn run(config: PathBuf, foreground: bool) -> ExitCode {
    // Who follows a log or fetches a list for the daemon has no business in the firewall: the capability ends
    // with this process. Where the kernel has no such set there is nothing to clear.
    let _ = rustix::thread::clear_ambient_capability_set();
    let loaded = match last_good::load(&config) {
        Ok(loaded) => loaded,
        Err(problems) => {
            // Both, because a service manager may show neither or only one.
            logging::start(log::LevelFilter::Info, foreground);
            for (_, line) in problems.lines() {
                log::error!("{line}");
            }
            return ExitCode::from(exit::USAGE);
        }
    };
    let log_trouble = logging::start(loaded.settings.main.log_level, foreground);
    if let Some(trouble) = &log_trouble {
        log::warn!("{trouble}");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, async {
        let (daemon, inputs) = Daemon::start(config, loaded, log_trouble)?;
        daemon.serve(inputs).await
    });
    // A name look-up may still sit in its thread; the process does not wait for it.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn fmt::Display) -> ExitCode {
    log::error!("cannot run: {error}");
    ExitCode::from(exit::NO)
}

/// What the loop listens to.
struct Inputs {
    updates: mpsc::Receiver<(Source, Update)>,
    questions: mpsc::Receiver<Question>,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// Why the loop woke.
enum Wake {
    Stop,
    Reload,
    Question(Question),
    Table(Option<TableEvent>),
    Surroundings,
    Seen(Seen),
    Log(usize),
    Update(Source, Update),
    Time,
}

impl Daemon {
    fn start(config: PathBuf, loaded: Loaded, log_trouble: Option<String>) -> io::Result<(Daemon, Inputs)> {
        let settings = loaded.settings;
        let (feeds, updates) = Feeds::new(&settings);
        let (questions, asked) = mpsc::channel(8);
        let inputs = Inputs {
            updates,
            questions: asked,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        };
        log::info!("diswall {} starts", crate::VERSION);
        // First of all: where another one runs, nothing of what it keeps is touched.
        let server = Server::start(&settings.main.control, questions.clone())?;
        let mut keeper = Keeper::begin(&config, &settings.main.state_dir);
        let kept = keeper.read(memory::entries(settings.main.max_entries));
        keeper.look();
        if let Some(trouble) = &keeper.trouble {
            log::warn!("{trouble}");
        }
        let mut daemon = Daemon {
            configuration: Configuration::new(config, loaded.options, loaded.problems.lines().collect(), loaded.broken),
            run: Run { started: clock::boot_seconds(), log_trouble, lacking: None },
            most: 0,
            ledger: kept.ledger,
            keeper,
            kernel: Kernel::new(&settings),
            disconnect: Disconnect::new(&settings),
            own: Own {
                packets: Packets::new(),
                scans: Scans::new(&settings.feeds.scan),
                logins: Logins::default(),
                offences: Offences::new(),
                reporter: Reporter::default(),
            },
            hourly: Hourly::new(),
            feeds,
            journal: Journal::new(),
            tally: Tally::new(clock::wall(), &kept.totals, kept.days, settings.sources()),
            surroundings: Surroundings::recalling(&settings, &kept.names),
            by_hand: ByHand::default(),
            control: Control { server, questions, batches: Batches::default() },
            settings,
        };
        let sources: Vec<Source> = daemon.feeds.slots().iter().map(Slot::source).collect();
        for source in sources {
            let counts = daemon.ledger.counts(source);
            daemon.feeds.note_list(source, counts.v4 + counts.v6 > 0);
            daemon.kernel.unsettle(source);
        }
        daemon.read_surroundings();
        daemon.configure(None);
        daemon.adopt();
        daemon.keeper.settle(&daemon.ledger, (&daemon.tally.totals(), &daemon.tally.days));
        daemon.repair();
        // As a rule that is all; what takes longer goes on while questions are answered.
        for _ in 0..FIRST_TURNS {
            daemon.compare();
        }
        Ok((daemon, inputs))
    }

    async fn serve(mut self, mut inputs: Inputs) -> io::Result<()> {
        loop {
            let due = self.next_due();
            let wake = tokio::select! {
                biased;
                _ = inputs.terminate.recv() => Wake::Stop,
                _ = inputs.interrupt.recv() => Wake::Stop,
                _ = inputs.hangup.recv() => Wake::Reload,
                Some(question) = inputs.questions.recv() => Wake::Question(question),
                event = self.kernel.changed() => Wake::Table(event),
                () = self.surroundings.changed() => Wake::Surroundings,
                // Before what may come without end.
                () = reached(due) => Wake::Time,
                seen = self.own.packets.seen() => Wake::Seen(seen),
                index = self.own.logins.grown() => Wake::Log(index),
                Some((feed, update)) = inputs.updates.recv() => Wake::Update(feed, update),
            };
            let (is_time, is_work) =
                (matches!(wake, Wake::Time), matches!(wake, Wake::Seen(_) | Wake::Log(_) | Wake::Update(..)));
            match wake {
                Wake::Stop => break,
                Wake::Reload => {
                    // What is wrong is in the log and in `status`.
                    let _ = self.reload();
                    self.feeds.try_again();
                }
                Wake::Question(question) => self.answer(question),
                Wake::Table(event) => event.iter().for_each(|event| {
                    self.kernel.note(event);
                    self.own.offences.note_table(event);
                }),
                Wake::Surroundings => self.surroundings.read_soon(),
                Wake::Time => self.on_time(),
                Wake::Seen(seen) => {
                    self.see(seen);
                    for _ in 1..BURST {
                        let Some(seen) = self.own.packets.take() else { break };
                        self.see(seen);
                    }
                }
                Wake::Log(index) => self.read_log(index),
                Wake::Update(feed, update) => self.take(feed, update),
            }
            // Not whenever it was time: what a comparison has not sent yet is its own to send, and to see refused.
            if is_work {
                for _ in 1..BURST {
                    let Ok((feed, update)) = inputs.updates.try_recv() else { break };
                    self.take(feed, update);
                }
                self.kernel.commit();
            }
            // A little after whatever else there was, so that nothing keeps it from coming to its end.
            self.compare();
            if self.disconnect.is_sweeping() {
                self.end_connections();
            }
            if self.tally.is_old() {
                let counters = self.kernel.counters();
                self.tally.read(&counters, clock::wall());
            }
            if is_work || is_time {
                // Of that there may be more without end: whoever asks has to be heard before the next of it.
                tokio::task::yield_now().await;
            }
        }
        self.keep(true);
        limiter::stop();
        log::info!("stops; the sets stay as they are");
        Ok(())
    }

    /// Takes the minute's sample of the counters.
    fn sample(&mut self) {
        let counters = self.kernel.counters();
        self.tally.sample(&counters, clock::wall());
        if self.tally.days.take_changed() {
            self.keeper.note_days();
        }
        for (slot, handle) in self.feeds.slots().iter().filter_map(|slot| Some((slot, slot.handle.as_ref()?))) {
            let (counts, (dropped, _)) = (self.ledger.counts(slot.source()), self.tally.of(slot.source()));
            handle.gauges.entries.set(u64::from(counts.v4) + u64::from(counts.v6) + u64::from(counts.nets));
            handle.gauges.dropped.set((dropped.packets, dropped.bytes));
        }
    }

    /// When the next ban ends.
    fn next_expiry(&self) -> Option<Instant> {
        let now = clock::now();
        self.ledger.next_expiry().map(|end| Instant::now() + Duration::from_secs(end.since(now).into()))
    }

    fn expire(&mut self) {
        let Daemon { ledger, disconnect, .. } = self;
        ledger.expire(clock::now(), &mut |source, net| {
            disconnect.note_end();
            log::debug!("{source}: {net} has served its ban");
        });
    }

    /// Ends the connections of hosts that have been banned since the last time.
    fn end_connections(&mut self) {
        let Daemon { ledger, kernel, disconnect, settings, .. } = self;
        let now = clock::now();
        let kicked = disconnect.end(ledger, now, settings.main.direction, kernel.firewall());
        let settled = kernel.is_settled();
        disconnect.forget(ledger, now, kernel.firewall(), settled);
        if kicked.flows + kicked.sockets > 0 {
            let ended = plural::of(kicked.flows.max(kicked.sockets) as u64, "connection", "connections");
            let text = [&ended, " of banned hosts ended"].concat();
            self.tell(log::Level::Info, ("firewall", "ended"), "firewall", None, text);
        }
    }

    /// Says it in the log and in the journal; what comes too often, counted in the log and to watchers alone.
    fn tell(&mut self, level: log::Level, name: limiter::Name, kind: &str, source: Option<Source>, text: String) {
        let said =
            limiter::say(level, name, 1, || match source.map(Source::name).or((kind == "firewall").then_some(kind)) {
                Some(who) => format!("{who}: {text}"),
                None => text.clone(),
            });
        let source = source.map(|source| source.to_string());
        let activity = Activity { source, text: Some(text), ..Activity::default() };
        match said {
            true => self.happened(kind, activity),
            false => self.journal.mention(Activity { kind: kind.into(), at: clock::wall(), ..activity }),
        }
    }

    /// Writes what is due to be kept; at the stop, all.
    fn keep(&mut self, stops: bool) {
        let counters = self.kernel.counters();
        self.tally.read(&counters, clock::wall());
        self.keeper.write(&self.ledger, (&self.tally.totals(), &self.tally.days), stops);
    }

    /// Looks at the table and begins to compare kernel and ledger where they may differ.
    fn repair(&mut self) {
        let repaired = self.kernel.repair(&self.ledger, clock::now());
        self.tell_repaired(repaired);
    }

    /// Goes on with comparing kernel and ledger, where that is under way.
    fn compare(&mut self) {
        if self.kernel.is_comparing() {
            let repaired = self.kernel.go_on(&self.ledger, clock::now());
            self.tell_repaired(repaired);
        }
    }

    fn tell_repaired(&mut self, repaired: Option<Repaired>) {
        let Some(Repaired { state, changes, corrected, made }) = repaired else { return };
        // At start, and when a feed has told all that it bans: bans of a former run may be over.
        self.disconnect.note_end();
        let lacking = self.kernel.lacking(&self.settings);
        if let Some(text) = lacking.as_ref().filter(|_| lacking != self.run.lacking) {
            limiter::warn(("firewall", "lacking"), || format!("firewall: {text}"));
        }
        self.run.lacking = lacking;
        let right = |count: usize| plural::of(count as u64, "element", "elements") + " put right";
        let text = match state {
            Some(State::Ok) if made > 0 => {
                ["ready: ", &plural::of(made as u64, "set", "sets"), " made, ", &right(changes)].concat()
            }
            Some(State::Ok) => ["ready: ", &right(changes)].concat(),
            Some(State::Missing(text) | State::Error(text) | State::Unguarded(text)) => text,
            Some(State::Off) => "switched off: nothing is blocked".into(),
            None if corrected > 0 => right(corrected) + " after somebody else's change",
            None => return,
        };
        let (level, name) = match self.kernel.state() {
            State::Ok | State::Off => (log::Level::Info, ("firewall", "right")),
            _ => (log::Level::Warn, ("firewall", "wrong")),
        };
        self.tell(level, name, "firewall", None, text);
    }

    /// Takes bans of the router's and the owner's own into the ledger that only the kernel still has,
    /// because a former run was killed before it had written them down. What was said by command is in the
    /// record; where there was none, the kernel knows.
    fn adopt(&mut self) {
        let sources = if self.keeper.had_words() { &[Source::SCAN][..] } else { &[Source::SCAN, Source::MANUAL] };
        for source in sources.iter().copied() {
            for (range, seconds) in self.kernel.left_behind(source, &self.ledger, clock::now()) {
                let lifetime = Lifetime::Seconds(seconds);
                for net in range.nets() {
                    let reason = Reason::Comment("kept by the firewall over a restart".into());
                    self.apply(Event::Ban { source, net, lifetime, reason });
                }
            }
        }
        if !self.keeper.had_words() {
            self.keeper.renew(&self.ledger);
        }
    }

    /// Brings the never-ban list up to date; the caller commits.
    fn read_surroundings(&mut self) {
        let list = self.surroundings.read(&self.settings);
        self.follow_names();
        let Some(list) = list else { return };
        let own = list.iter().filter(|protected| protected.own).map(|protected| protected.net.addr());
        self.feeds.lists().set_own(own.collect());
        log::debug!("never banned: {} addresses and networks of the router's own", list.len());
        self.change(|ledger, sink| ledger.set_protected(clock::now(), list, sink));
    }

    /// A change of the ledger, of which the kernel side is told; the caller commits.
    fn change<T>(&mut self, change: impl FnOnce(&mut Ledger, &mut dyn FnMut(SetChange)) -> T) -> T {
        let Daemon { ledger, kernel, disconnect, .. } = self;
        change(ledger, &mut |change| {
            disconnect.note(&change);
            kernel.push(change);
        })
    }

    /// One update of a feed into ledger and kernel; the caller commits.
    fn take(&mut self, feed: Source, update: Update) {
        if !self.feeds.is_running(feed) {
            return;
        }
        match update {
            Update::Event(event) => {
                match event {
                    Event::List { .. } | Event::Entries { .. } => {
                        // A control group may have got another limit meanwhile.
                        self.set_most();
                        self.feeds.note_list(feed, true);
                    }
                    Event::Lapse { .. } => self.feeds.note_list(feed, false),
                    _ => {}
                }
                self.apply(event);
            }
            Update::State(state) => {
                if self.feeds.note_state(feed, state.clone()) {
                    self.tell_state(feed, &state);
                }
            }
            Update::Cut(count) => {
                self.ledger.note_cut(feed, count);
                self.tell_cut(feed.name(), count);
            }
            Update::Sighting { event, address } => self.journal.mention(Activity {
                kind: "event".into(),
                at: clock::wall(),
                address: Some(address.to_string()),
                source: Some(feed.to_string()),
                text: Some(event.into()),
                ..Activity::default()
            }),
            Update::Notice { key, text } => {
                if self.feeds.note_notice(feed, key, text.clone())
                    && let Some(text) = text
                {
                    self.tell(log::Level::Warn, (feed.name(), key), "feed", Some(feed), text);
                }
            }
        }
    }

    /// One event into ledger and kernel; the caller commits.
    fn apply(&mut self, event: Event) {
        let told = journal::Told::of(&event);
        let whole = matches!(event, Event::List { .. } | Event::Entries { .. } | Event::Lapse { .. })
            .then(|| told.source())
            .flatten();
        let applied = self.change(|ledger, sink| ledger.apply(clock::now(), event, sink));
        if let Some(source) = whole {
            self.kernel.settle(source);
            self.tell_room();
        }
        if changed(&applied) {
            self.keeper.note_change();
        }
        if let Some(source) = told.source().filter(|_| told.is_ban()) {
            self.tally.count_bans(source, applied.added, clock::wall());
        }
        self.tell_event(told, &applied);
    }

    /// Tells the lists how much of one there is room for now.
    fn tell_room(&self) {
        let room = |source| self.ledger.list_room(source);
        self.feeds
            .lists()
            .set_rooms(self.settings.feeds.lists.iter().map(|list| (list.source, room(list.source))).collect());
    }

    /// Each delta above the limit comes here.
    fn tell_cut(&self, what: &'static str, count: u32) {
        if count > 0 {
            limiter::warn((what, "cut"), || {
                let cut = plural::of(count.into(), "entry", "entries");
                format!("{what}: {cut} cut; max_entries is {}", self.most)
            });
        }
    }

    fn tell_event(&mut self, told: journal::Told, applied: &Applied) {
        self.tell_cut(told.source().map_or("configuration", Source::name), applied.cut);
        if let Some(text) = told.list_line(applied) {
            self.tell(
                log::Level::Info,
                (told.source().map_or("own", Source::name), "list"),
                "feed",
                told.source(),
                text,
            );
        } else if changed(applied)
            && let Some((kind, activity)) = told.activity(clock::wall())
        {
            let address = activity.address.as_deref().unwrap_or_default();
            log::debug!("{}: {kind} {address}", activity.source.as_deref().unwrap_or_default());
            self.happened(kind, activity);
        }
    }

    fn tell_state(&mut self, feed: Source, state: &FeedState) {
        if *state == FeedState::Synchronising {
            // The network is there now, and the name may have another address than at start.
            self.surroundings.look_up(&self.settings);
        }
        let text = match state {
            FeedState::Off => "switched off".to_string(),
            FeedState::Connecting => "connecting".to_string(),
            FeedState::Synchronising => "connected, waiting for the whole list".to_string(),
            FeedState::Live => "live".to_string(),
            FeedState::Waiting { error, retry_in } | FeedState::Partial { error, retry_in, .. } => {
                format!("{error}; next try in {retry_in} s")
            }
        };
        // Each state has its own limit: the way from one to the next is seen.
        let (level, name) = match state {
            FeedState::Waiting { .. } => (log::Level::Warn, "waiting"),
            FeedState::Partial { .. } => (log::Level::Warn, "partial"),
            FeedState::Off => (log::Level::Info, "off"),
            FeedState::Connecting => (log::Level::Info, "connecting"),
            FeedState::Synchronising => (log::Level::Info, "synchronising"),
            FeedState::Live => (log::Level::Info, "live"),
        };
        self.tell(level, (feed.name(), name), "feed", Some(feed), text);
    }

    fn happened(&mut self, kind: &str, activity: Activity) {
        self.journal.record(Activity { kind: kind.into(), at: clock::wall(), ..activity });
    }
}

/// Done when it is that late; at once where it was before, which a timer would first have to be told by its driver.
async fn reached(due: Instant) {
    if due > Instant::now() {
        tokio::time::sleep_until(due).await;
    }
}

/// Whether the event made a difference to the ledger.
fn changed(applied: &Applied) -> bool {
    applied.added + applied.removed + applied.renewed > 0
}
