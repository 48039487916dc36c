//! The daemon's hold on the firewall: applies set changes, notices what others did to the table, and
//! puts right what differs from the ledger.
//!
//! It is the only place that decides *when* to compare kernel and ledger; *how* is the firewall's, and how
//! much of it a turn does is `round`'s.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::clock;
use super::quarrel::Quarrel;
use super::round::{Round, Why};
use crate::config::MaxEntries;
use crate::config::{Settings, States};
use crate::control::protocol::Part;
use crate::firewall::rules::KERNEL_BAN;
use crate::firewall::{Counter, Error, Family, Firewall, Hook, Names, SetKey, Structure, TableEvent, TableWatch, Ways};
use crate::ledger::{Ledger, Moment};
use crate::limiter;
use crate::memory;
use crate::model::{Holds, Lifetime, Range, SetChange, SetId, Source};

/// A firewall restart comes as a burst of announcements: the repair waits for its end.
const SETTLE: Duration = Duration::from_millis(20);

/// First and longest wait after a repair that failed for another reason than a missing table.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(60);

/// So many changes at once are sent at once; what a whole list changes beyond that comes in steps, so that nothing waits
/// for it.
const AT_ONCE: usize = 8000;

/// So many elements that somebody else touched are looked at one by one.
const SINGLES: usize = 256;

/// What the kernel's side is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Sets hold what the ledger says.
    Ok,
    /// Diswall is switched off: there are to be no sets.
    Off,
    /// The sets hold what the ledger says, and no rule looks at them; one sentence.
    Unguarded(String),
    /// There is no table to put sets into; one sentence.
    Missing(String),
    /// The kernel refuses; one sentence.
    Error(String),
}

/// Whether a zone's packets come to our rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    InForce,
    /// They would, if the firewall sent any to that zone.
    NoDevice,
    Missing,
}

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The state changed to this; `None`: as before.
    pub state: Option<State>,
    /// Elements put in, taken out, or given another time-out.
    pub changes: usize,
    /// Those of them that were not as the daemon had left them.
    pub corrected: usize,
    /// Sets that had to be made.
    pub made: usize,
}

/// What is to be said when a round of comparisons is over.
struct Pending {
    round: Round,
    state: State,
    made: usize,
}

/// The netlink sockets, and what is known of the table.
pub struct Kernel {
    names: Names,
    /// Option `enabled`.
    on: bool,
    max_entries: MaxEntries,
    link: Option<(Firewall, TableWatch)>,
    state: State,
    /// The table is as it must be: changes may be sent.
    in_order: bool,
    /// Changes since the last commit.
    pushed: usize,
    /// The table was made anew: what is known of its sets is worth nothing.
    remade: bool,
    /// Comparisons under way.
    pending: Option<Pending>,
    /// What the rules in force were last seen to have: a part that looks for scans, one that keeps severed
    /// connections severed.
    parts: (bool, bool),
    /// Lists that no rule in force looks up.
    unruled: Vec<Source>,
    /// The zones to guard.
    zones: Vec<String>,
    states: States,
    /// Whether they were last seen to be guarded; empty with rules of our own beside no fw4.
    guards: Vec<(String, Guard)>,
    repair_at: Option<Instant>,
    retry: Duration,
    /// Sets that lack changes of the daemon's own, or are to be looked at for its own reasons.
    late: Vec<(SetId, Why)>,
    /// Elements of hash sets that somebody else touched.
    singles: Vec<(SetId, IpAddr)>,
    /// Sources whose sets may hold more than the ledger yet: what a former run put there stays in force
    /// until the feed has told what is to be.
    unsettled: Vec<Source>,
    /// Repairs that changed something after the first.
    pub refills: u64,
    /// `CLOCK_BOOTTIME` seconds of the last of them.
    pub last_refill: Option<u64>,
    quarrel: Quarrel,
}

impl Kernel {
    /// Nothing is opened yet; the first [`Kernel::repair`] does that.
    pub fn new(settings: &Settings) -> Kernel {
        let main = &settings.main;
        Kernel {
            names: names(settings),
            on: main.enabled,
            max_entries: main.max_entries,
            link: None,
            state: State::Missing("not looked at yet".into()),
            in_order: false,
            pushed: 0,
            remade: false,
            pending: None,
            parts: (true, true),
            unruled: Vec::new(),
            zones: main.zones.clone(),
            states: main.states,
            guards: Vec::new(),
            repair_at: None,
            retry: RETRY_FIRST,
            late: Vec::new(),
            singles: Vec::new(),
            unsettled: Vec::new(),
            refills: 0,
            last_refill: None,
            quarrel: Quarrel::default(),
        }
    }

    /// What the kernel's side is like.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the rules in force lack of what is configured, as a sentence. The kernel may lack it too; or they
    /// are older than the configuration.
    pub fn lacking(&self, settings: &Settings) -> Option<String> {
        let (scans, cuts) = self.parts;
        let part = match (settings.feeds.scan.enabled && !scans, settings.main.disconnect && !cuts) {
            (false, false) => return None,
            (true, false) => "look for scans",
            (false, true) => "keep ended connections from coming back",
            (true, true) => "look for scans or keep ended connections from coming back",
        };
        let sentence =
            format!("the rules in force do not {part}; `diswall rules --write` (without fw4: --load) says why");
        (self.state == State::Ok).then_some(sentence)
    }

    /// Whether the rules in force do not look for scans.
    pub fn lacks_scans(&self) -> bool {
        !self.parts.0
    }

    /// Whether the rules in force do not keep ended connections ended.
    pub fn lacks_cuts(&self) -> bool {
        !self.parts.1
    }

    /// The lists that no rule in force looks up: the rules are older than the configuration.
    pub fn unruled(&self) -> &[Source] {
        &self.unruled
    }

    /// Whether each guarded zone is guarded; without fw4, whether the devices are.
    pub fn parts(&self, settings: &Settings) -> Vec<Part> {
        let nothing = |part: Part| part.losing("nothing is blocked there");
        if let State::Missing(why) | State::Error(why) | State::Unguarded(why) = &self.state {
            let broken = |zone: &String| {
                // A table that nobody loaded takes the firewall; whatever else is lost, the service finds and loads itself.
                let remedy = match &self.state {
                    State::Missing(_) => "/etc/init.d/firewall restart, and see what the system log says of it",
                    _ => {
                        "`diswall config check` says whether the firewall has zone and table; then /etc/init.d/diswall reload"
                    }
                };
                nothing(Part::broken(zone_part(zone), why)).remedied(remedy)
            };
            return settings.main.zones.iter().map(broken).collect();
        }
        if self.guards.is_empty() {
            return vec![Part::in_force("devices")];
        }
        let part = |(zone, guard): &(String, Guard)| match guard {
            Guard::InForce => Part::in_force(zone_part(zone)),
            Guard::NoDevice => nothing(Part::waiting(
                zone_part(zone),
                "the firewall sends no packets there: there is no such zone, or it has no device now",
            )),
            Guard::Missing => nothing(Part::broken(zone_part(zone), "none of its packets come to diswall's rules"))
                .remedied("look whether the firewall has a zone of that name; then /etc/init.d/diswall restart"),
        };
        self.guards.iter().map(part).collect()
    }

    /// Starts anew under other names or another size.
    pub fn configure(&mut self, settings: &Settings) {
        let main = &settings.main;
        let new = names(settings);
        let moves = (&new.table, &new.prefix) != (&self.names.table, &self.names.prefix);
        if self.on && (moves || !main.enabled) {
            self.leave(Some(&new).filter(|new| main.enabled && new.table == self.names.table));
        }
        if new != self.names || main.max_entries != self.max_entries || main.enabled != self.on {
            let (refills, last_refill) = (self.refills, self.last_refill);
            let unsettled = std::mem::take(&mut self.unsettled);
            // What was true is, until it has been looked at.
            let state = std::mem::replace(&mut self.state, State::Ok);
            let quarrel = std::mem::take(&mut self.quarrel);
            *self = Kernel { refills, last_refill, quarrel, unsettled, state, ..Kernel::new(settings) };
            self.repair_soon();
        } else if main.zones != self.zones || main.states != self.states {
            (self.zones, self.states) = (main.zones.clone(), main.states);
            self.repair_soon();
        }
    }

    /// Takes the sets away that are the daemon's no longer, but for those that have a name of the new ones. What rules still
    /// name goes with them: root, who loads other rules, takes it away.
    fn leave(&mut self, new: Option<&Names>) {
        let Some((firewall, _)) = &mut self.link else { return };
        let sets = self.names.keys().map(|key| self.names.set(key));
        let sets: Vec<String> = sets.filter(|set| new.is_none_or(|new| new.find(set.as_bytes()).is_none())).collect();
        if let Err(error) = firewall.remove_former(&sets) {
            limiter::warn(("firewall", "former"), || format!("firewall: {error}; the sets of {} stay", self.names));
        } else if new.is_none() {
            // Sets that root's half takes away while the daemon goes by the old name come back, and the table stays for them.
            firewall.remove_empty_table();
        }
    }

    /// Until [`Kernel::settle`], nothing is taken out of the source's sets that was not put there by this
    /// run.
    pub fn unsettle(&mut self, source: Source) {
        self.unsettled.push(source);
    }

    /// The ledger knows all that the source bans: its sets are compared with it.
    pub fn settle(&mut self, source: Source) {
        if self.unsettled.contains(&source) {
            self.unsettled.retain(|each| *each != source);
            SetId::of_source(source).for_each(|set| self.compare(set));
        }
    }

    /// Compares the set with the ledger at the next opportunity: what the daemon has done, or the kernel at its word, may
    /// show there.
    pub fn compare(&mut self, set: SetId) {
        self.leave_for_later(set, Why::Own);
        self.repair_soon();
    }

    fn leave_for_later(&mut self, set: SetId, why: Why) {
        match self.late.iter_mut().find(|(late, _)| *late == set) {
            Some((_, late)) => *late = late.and(why),
            None => self.late.push((set, why)),
        }
    }

    /// Whether the ledger knows all that is in force.
    pub fn is_settled(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// The firewall while its table is in order.
    pub fn firewall(&mut self) -> Option<&mut Firewall> {
        self.link.as_mut().filter(|_| self.in_order).map(|(firewall, _)| firewall)
    }

    /// Queues a change. While the table is not in order nothing is sent: the repair brings it all.
    pub fn push(&mut self, change: SetChange) {
        let Some((firewall, _)) = &mut self.link else { return };
        let (SetChange::Add { set, .. } | SetChange::Renew { set, .. } | SetChange::Delete { set, .. }) = change;
        self.pushed += 1;
        if !self.in_order {
            // What is looked at for somebody else's sake is looked at anyway.
            if !firewall.is_dirty(set) {
                self.leave_for_later(set, Why::Own);
            }
            return;
        }
        if self.pushed > AT_ONCE && (!set.is_interval() || matches!(set, SetId::Nets(_))) {
            let adds = matches!(change, SetChange::Add { .. }) && !set.is_interval();
            return self.leave_for_later(set, if adds { Why::Additions } else { Why::Own });
        }
        if let Some(pending) = &mut self.pending {
            pending.round.note(&change);
        }
        firewall.push(change);
    }

    /// Sends what was queued. A failure is not lost: the sets it hit are compared soon.
    pub fn commit(&mut self) {
        let more = std::mem::take(&mut self.pushed) > AT_ONCE;
        let Some(committed) = self.firewall().map(Firewall::commit) else { return };
        if more {
            self.repair_soon();
        }
        if let Err(error) = committed {
            limiter::warn(("firewall", "commit"), || format!("firewall: {error}; comparing the sets with the ledger"));
            self.repair_soon();
        }
    }

    /// Waits until somebody else changed our table, or (`None`) comparisons can go on; for ever while no socket is
    /// open.
    pub async fn changed(&mut self) -> Option<TableEvent> {
        let Kernel { link, pending, .. } = self;
        let (Some((_, watch)), pending) = (link, pending) else { return std::future::pending().await };
        let ready = async {
            match pending {
                Some(pending) => pending.round.ready().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            event = watch.next() => Some(event),
            () = ready => None,
        }
    }

    /// Takes note of what somebody else did.
    pub fn note(&mut self, event: &TableEvent) {
        if let Some((firewall, _)) = &mut self.link {
            self.remade |= matches!(event, TableEvent::Gone | TableEvent::Structure);
            match event {
                TableEvent::Rules => {}
                TableEvent::Elements { whole, single } => {
                    whole.iter().for_each(|set| firewall.mark_dirty(*set));
                    self.singles.extend_from_slice(single);
                    if self.singles.len() > SINGLES {
                        self.singles.drain(..).for_each(|(set, _)| firewall.mark_dirty(set));
                    }
                }
                _ => self.names.sets().into_iter().for_each(|set| firewall.mark_dirty(set)),
            }
        }
        self.repair_soon();
    }

    /// Compares every set at the next opportunity.
    pub fn compare_all(&mut self) {
        self.note(&TableEvent::Lost);
    }

    /// Somebody else changes the sets again and again, so that they hold what they should half of the time; a sentence.
    pub fn quarrel(&self) -> Option<String> {
        self.quarrel.lasts(clock::boot_seconds()).then(|| {
            let table = &self.names.table;
            format!("another program changes the sets of table '{table}' again and again; does another diswall run?")
        })
    }

    /// When [`Kernel::repair`] is due.
    pub fn due(&self) -> Option<Instant> {
        self.repair_at
    }

    fn repair_soon(&mut self) {
        self.repair_in(SETTLE);
    }

    fn repair_in(&mut self, wait: Duration) {
        let soon = Instant::now() + wait;
        self.repair_at = Some(self.repair_at.map_or(soon, |at| at.min(soon)));
    }

    /// The bans with an end that the kernel has from a former run and the ledger does not know: those
    /// that came after the last snapshot, when the daemon was killed. What the kernel said by itself, while nobody
    /// looked who the sender was, is none of them.
    pub fn left_behind(&mut self, source: Source, ledger: &Ledger, now: Moment) -> Vec<(Range, u32)> {
        let mut found = Vec::new();
        let Ok((firewall, _)) = self.open() else { return found };
        let mut keep = |range, lifetime| {
            if let Lifetime::Seconds(seconds) = lifetime
                && (source != Source::SCAN || seconds > KERNEL_BAN)
            {
                found.push((range, seconds));
            }
        };
        let set = SetId::Ban(source);
        // No table or no set: nothing was left behind.
        let _ = firewall.strangers(set, &ledger.desired(set, now), &mut keep);
        found
    }

    fn open(&mut self) -> Result<&mut (Firewall, TableWatch), Error> {
        if self.link.is_none() {
            let mut firewall = Firewall::open(self.names.clone(), memory::set_size(self.max_entries))?;
            let watch = firewall.watch()?;
            self.link = Some((firewall, watch));
            self.names.sets().into_iter().for_each(|set| self.leave_for_later(set, Why::Own));
        }
        self.link.as_mut().ok_or(Error::NoTable)
    }

    /// Opens what is closed, makes what is missing, and begins to compare what may differ. What came of it, where
    /// that is known at once; else [`Kernel::go_on`] tells.
    pub fn repair(&mut self, ledger: &Ledger, now: Moment) -> Option<Repaired> {
        self.repair_at = None;
        match self.begin(ledger, now) {
            Ok(State::Ok | State::Unguarded(_)) => self.go_on(ledger, now),
            Ok(state) => Some(self.give_up(state)),
            Err(error) => Some(self.give_up(State::Error(error.to_string()))),
        }
    }

    /// The end of a repair that could not begin. What was being compared is compared in the next.
    fn give_up(&mut self, state: State) -> Repaired {
        let (mut changes, mut corrected, mut made) = (0, 0, 0);
        if let (Some(pending), Some((firewall, _))) = (self.pending.take(), &mut self.link) {
            (changes, corrected, made) = (pending.round.changes, pending.round.corrected, pending.made);
            pending.round.open().for_each(|set| firewall.mark_dirty(set));
        }
        self.end(state, (changes, corrected), made)
    }

    /// Comparisons are under way.
    pub fn is_comparing(&self) -> bool {
        self.pending.is_some()
    }

    /// Does a turn's work of the comparisons under way; what came of them when they are over.
    pub fn go_on(&mut self, ledger: &Ledger, now: Moment) -> Option<Repaired> {
        let (Some((firewall, _)), Some(pending)) = (&mut self.link, &mut self.pending) else { return None };
        if !pending.round.go_on(firewall, ledger, now, &self.unsettled) {
            return None;
        }
        let Pending { round, state, made } = self.pending.take()?;
        self.unsettled.retain(|source| !round.is_clean(*source));
        match round.failure {
            // Somebody takes the table away at this moment.
            Some(Error::NoSet(_) | Error::NoTable) => {
                self.repair_soon();
                None
            }
            Some(error) => Some(self.end(State::Error(error.to_string()), (round.changes, round.corrected), made)),
            None => Some(self.end(state, (round.changes, round.corrected), made)),
        }
    }

    /// The end of a repair.
    fn end(&mut self, state: State, (changes, corrected): (usize, usize), made: usize) -> Repaired {
        self.in_order = matches!(state, State::Ok | State::Unguarded(_));
        match &state {
            State::Ok | State::Off => self.retry = RETRY_FIRST,
            // The watch tells when the table comes; asking again is for the case that it cannot.
            State::Missing(_) | State::Unguarded(_) => self.repair_in(RETRY_LONGEST),
            State::Error(_) => {
                self.repair_in(self.retry);
                self.retry = (self.retry * 2).min(RETRY_LONGEST);
            }
        }
        // What was touched meanwhile, and what could not be sent.
        if self.firewall().is_some_and(|firewall| !firewall.dirty().is_empty()) {
            self.repair_soon();
        }
        if corrected > 0 {
            let now = clock::boot_seconds();
            self.quarrel.note(now);
            self.refills += 1;
            self.last_refill = Some(now);
        }
        let news = (state != self.state).then(|| state.clone());
        self.state = state;
        Repaired { state: news, changes, corrected, made }
    }

    /// Looks at the table, makes what is missing, and queues the sets to compare. The state that the repair comes
    /// to where all goes well.
    fn begin(&mut self, ledger: &Ledger, now: Moment) -> Result<State, Error> {
        let remade = std::mem::take(&mut self.remade);
        if remade {
            self.pending = None;
        }
        self.in_order = false;
        if !self.on {
            return Ok(State::Off);
        }
        self.open()?;
        let Kernel {
            link: Some((firewall, _)),
            pending,
            names,
            late,
            singles,
            unsettled,
            parts,
            unruled,
            zones,
            states,
            guards,
            ..
        } = self
        else {
            return Err(Error::NoTable);
        };
        let structure = firewall.structure()?;
        *parts = (structure.scans, structure.cuts);
        let is_unruled = |source: &Source| {
            let sets = SetId::of_source(*source);
            let mut keys = sets.flat_map(|set| Family::ALL.map(|family| SetKey { set, family }));
            source.holds() == Holds::Listed && structure.rules && !keys.any(|key| structure.ways.look_up(key))
        };
        *unruled = names.sources.iter().copied().filter(is_unruled).collect();
        *guards = guards_of(zones, *states, &structure.ways, names);
        if !structure.table {
            let text = format!("there is no nftables table 'inet {}'; waiting for the firewall", names.table);
            return Ok(State::Missing(text));
        }
        if let Some(wrong) = structure.wrong.first() {
            let (name, difference) = (names.set(wrong.key), &wrong.difference);
            let text = format!("set {name} is not as it must be ({difference}); delete it and reload the firewall");
            return Ok(State::Error(text));
        }
        let gone = firewall.remove_former(&structure.former)?;
        if gone > 0 {
            log::info!("firewall: {gone} sets of lists that are no more were taken away");
        }
        let made = structure.missing.len();
        if made > 0 {
            firewall.create_sets(&structure.missing)?;
            names.sets().into_iter().for_each(|set| firewall.mark_dirty(set));
        }
        let pending = pending.get_or_insert_with(|| Pending { round: Round::default(), state: State::Ok, made: 0 });
        pending.made += made;
        let reviewed = review(firewall, singles, unsettled, ledger, now);
        pending.round.changes += reviewed;
        pending.round.corrected += reviewed;
        let dirty = firewall.take_dirty();
        let doubtful = dirty.into_iter().map(|set| (set, Why::Doubt));
        for (set, why) in doubtful.chain(late.drain(..)) {
            pending.round.add(set, why, firewall);
        }
        pending.state = state_of(&structure, names, guards);
        let state = pending.state.clone();
        self.in_order = true;
        Ok(state)
    }

    /// The kernel's drop counters; empty while the table is not in order.
    pub fn counters(&mut self) -> Vec<Counter> {
        let Some((firewall, _)) = &mut self.link else { return Vec::new() };
        firewall.counters().unwrap_or_default()
    }
}

/// Looks at elements that somebody else touched, where their set is not compared as a whole anyway.
fn review(
    firewall: &mut Firewall,
    singles: &mut Vec<(SetId, IpAddr)>,
    unsettled: &[Source],
    ledger: &Ledger,
    now: Moment,
) -> usize {
    let (mut changes, dirty) = (0, firewall.dirty());
    for (set, address) in singles.drain(..).filter(|(set, _)| !dirty.contains(set)) {
        let keeps = set.source().is_some_and(|source| unsettled.contains(&source));
        match firewall.review(set, address, &ledger.desired(set, now), keeps) {
            Ok(changed) => changes += usize::from(changed),
            // It is compared as a whole then, and so is what the commit fails at.
            Err(_) => firewall.mark_dirty(set),
        }
    }
    let _ = firewall.commit();
    changes
}

/// What is to be said of a table that has its sets.
fn state_of(structure: &Structure, names: &Names, guards: &[(String, Guard)]) -> State {
    if !structure.rules {
        let text = "no rule looks the sets up: reload the firewall, or without fw4 load `diswall rules --standalone`";
        return State::Unguarded(text.into());
    }
    if !Hook::ALL.into_iter().all(|hook| structure.ways.has_base(hook)) {
        let text =
            format!("the firewall itself is not loaded: table 'inet {}' has no chain that meets packets", names.table);
        return State::Unguarded(text);
    }
    if !guards.is_empty() && guards.iter().all(|(_, guard)| *guard == Guard::Missing) {
        return State::Unguarded("no rule of the firewall leads to diswall's rules: reload the firewall".into());
    }
    State::Ok
}

fn zone_part(zone: &str) -> String {
    format!("zone.{zone}")
}

/// Whether each zone is guarded at both hooks; empty where rules of our own guard devices.
fn guards_of(zones: &[String], states: States, ways: &Ways, names: &Names) -> Vec<(String, Guard)> {
    let (entry, here) = (names.entry_chain(), names.here_chain());
    let jumps = |chain: &str| ways.jumps(chain, &entry) || ways.jumps(chain, &here) && ways.jumps(&here, &entry);
    if Hook::ALL.into_iter().all(|hook| jumps(&names.base_chain(hook))) {
        return Vec::new();
    }
    let guard = |zone: &String| {
        let at = |hook: Hook| {
            // With `states 'all'` the jump stands in fw4's base chain, for the devices of all zones.
            let chain = match states {
                States::New => format!("{}_{zone}", hook.name()),
                States::All => hook.name().into(),
            };
            match (jumps(&chain), ways.lead(hook, &chain)) {
                (true, true) => Guard::InForce,
                (true, false) => Guard::NoDevice,
                (false, _) if states == States::All && ways.has_rules(&entry) => Guard::NoDevice,
                (false, _) => Guard::Missing,
            }
        };
        let [input, forward] = Hook::ALL.map(at);
        let worst = match (input, forward) {
            (Guard::Missing, _) | (_, Guard::Missing) => Guard::Missing,
            (Guard::NoDevice, _) | (_, Guard::NoDevice) => Guard::NoDevice,
            _ => Guard::InForce,
        };
        (zone.clone(), worst)
    };
    zones.iter().map(guard).collect()
}

fn names(settings: &Settings) -> Names {
    let Settings { main, .. } = settings;
    Names { table: main.table.clone(), prefix: main.set_prefix.clone(), sources: settings.sources() }
}
