//! Ends the connections of hosts that have just been banned.
//!
//! New bans are collected for a moment, because the kernel walks its whole connection table for each
//! look, and looks come further apart the longer they take. The kernel side tells what is new; this
//! decides nothing about bans.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::clock;
use crate::config::{Direction, Settings};
use crate::control::protocol::Part;
use crate::firewall::{Conntrack, Firewall, Flow, Kicked, Sweep, Whose};
use crate::ledger::{Ledger, Moment};
use crate::limiter;
use crate::model::{Lifetime, Range, SetChange, SetId, Source};

/// New bans are collected for so long at least, and at most: a banned host is to be cut off within a
/// second.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_millis(800);

/// In a flood the table is full and a look takes 100 ms and more: then so many times its length at least
/// passes between two, however long that is.
const REST_IN_FLOODS: u32 = 10;

/// So many times its own length passes between two looks: they take a fiftieth of the time at most.
const REST: u32 = 50;

/// So few new bans are given to the kernel by address; it may look for them alone.
const FEW: usize = 2;

/// New bans remembered one by one; of more, every banned host's connections are ended.
const REMEMBERED: usize = 4096;

/// So long after the end of a ban its severed flows are forgotten; the rules spare them at once.
const FORGET: Duration = Duration::from_millis(200);

/// Entries of the table that are gone through in one turn of the loop: a table that a flood has filled has hundreds of
/// thousands, and everybody else has a turn in between.
const PART: usize = 2000;

/// A look through the whole table that is under way.
struct Sweeping {
    sweep: Sweep,
    /// Whose connections are to end.
    hosts: Hosts,
    took: Duration,
    kicked: Kicked,
}

/// New bans, sorted and apart; or every banned host.
struct Hosts {
    ranges: Vec<Range>,
    everything: bool,
}

impl Hosts {
    fn has(&self, address: IpAddr) -> bool {
        // The last that begins at or before the address decides.
        let after = self.ranges.partition_point(|range| range.first <= address);
        let at = after.checked_sub(1).and_then(|at| self.ranges.get(at));
        self.everything || at.is_some_and(|range| address <= range.last)
    }
}

/// The connection table, and whose connections are to end.
pub struct Disconnect {
    sweeping: Option<Sweeping>,
    /// The settings want it.
    on: bool,
    /// The router's own bans of IPv6 hold for the whole /64.
    wide: bool,
    /// Lists that do not block all that a listed host sends: its connections go on.
    partial: Vec<Source>,
    conntrack: Option<Conntrack>,
    pending: Vec<Range>,
    everything: bool,
    due: Option<Instant>,
    pause: Duration,
    /// Whether the kernel may remember severed flows.
    remembers: bool,
    forget_at: Option<Instant>,
    /// Why connections cannot be ended, as a sentence.
    pub trouble: Option<String>,
}

impl Disconnect {
    /// Nothing is opened before [`Disconnect::probe`] or the first ban.
    pub fn new(settings: &Settings) -> Disconnect {
        Disconnect {
            on: settings.main.disconnect,
            wide: settings.feeds.scan.ipv6_prefix == 64,
            partial: partial(settings),
            sweeping: None,
            conntrack: None,
            pending: Vec::new(),
            everything: false,
            due: None,
            pause: SHORTEST,
            // Those of a former run.
            remembers: true,
            forget_at: None,
            trouble: None,
        }
    }

    /// Goes by these settings from now on.
    pub fn configure(&mut self, old: Option<&Settings>, settings: &Settings) {
        (self.on, self.wide) = (settings.main.disconnect, settings.feeds.scan.ipv6_prefix == 64);
        self.partial = partial(settings);
        if !self.on {
            self.give_up();
        }
        if self.on && old.is_none_or(|old| !old.main.disconnect) {
            self.probe();
        }
    }

    /// Whether a banned host's connections end; `None` where the settings do not want it. `unruled`: the
    /// rules do not keep them ended.
    pub fn part(&self, unruled: bool) -> Option<Part> {
        let part = match &self.trouble {
            _ if !self.on => return None,
            Some(why) => Part::broken("disconnect", why)
                .losing("a host that is banned goes on with the connections it has")
                .remedied("install kmod-nf-conntrack-netlink, then /etc/init.d/diswall restart"),
            None if unruled => Part::broken("disconnect", "the rules in force do not keep ended connections ended")
                .losing("a host that is banned may go on with a connection that an inside host goes on with")
                .remedied("`diswall rules --write` (without fw4: --load) says why"),
            None => Part::in_force("disconnect"),
        };
        Some(part)
    }

    /// Finds out whether connections can be ended, before it matters: a look for an address that has none.
    fn probe(&mut self) {
        let nobody = [IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)];
        self.look(&|conntrack, remember| conntrack.kick(&nobody, Whose::Opened, remember), &|_| None, None);
    }

    /// Takes note of what a change bans, or no longer does.
    pub fn note(&mut self, change: &SetChange) {
        let (SetChange::Add { set, .. } | SetChange::Renew { set, .. } | SetChange::Delete { set, .. }) = change;
        if !self.on || set.source().is_some_and(|source| self.partial.contains(&source)) {
            return;
        }
        let range = match change {
            SetChange::Delete { set: SetId::Ban(_) | SetId::Nets(_), .. }
            | SetChange::Add { set: SetId::Allow, .. } => {
                return self.note_end();
            }
            SetChange::Add { set: SetId::Ban(_) | SetId::Nets(_), range, .. } => *range,
            SetChange::Renew { set: SetId::Ban(source), range, lifetime } => {
                // It may end sooner than it was to.
                if let Lifetime::Seconds(seconds) = lifetime {
                    self.forget_in(Duration::from_secs((*seconds).into()));
                }
                if self.wide && source.is_own() { slash_64(*range) } else { *range }
            }
            _ => return,
        };
        if self.pending.len() < REMEMBERED {
            self.pending.push(range);
        } else {
            self.everything = true;
        }
        self.due.get_or_insert_with(|| Instant::now() + self.pause);
    }

    /// A ban has ended: what is remembered for it is to end too.
    pub fn note_end(&mut self) {
        self.forget_in(FORGET);
    }

    fn forget_in(&mut self, wait: Duration) {
        if self.remembers {
            self.forget_at = self.forget_at.into_iter().chain([Instant::now() + wait]).min();
        }
    }

    /// When [`Disconnect::end`] or [`Disconnect::forget`] is due.
    pub fn due(&self) -> Option<Instant> {
        if self.is_sweeping() {
            return Some(Instant::now());
        }
        [self.due, self.forget_at].into_iter().flatten().min()
    }

    /// A look through the table is under way.
    pub fn is_sweeping(&self) -> bool {
        self.sweeping.is_some()
    }

    /// Gives up a look that is under way; where connections are to end at all, every banned host's are looked for
    /// again.
    fn give_up(&mut self) {
        if self.sweeping.take().is_some() {
            // The rest of its answer waits there.
            self.conntrack = None;
            if self.on {
                self.everything = true;
                self.due.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Forgets the severed flows of hosts that are not banned any more, where that is due. `settled`: the ledger
    /// knows every ban that is in force; else it is tried again when it does.
    pub fn forget(&mut self, ledger: &Ledger, now: Moment, firewall: Option<&mut Firewall>, settled: bool) {
        if self.forget_at.take_if(|due| *due <= Instant::now()).is_none() || !settled {
            return;
        }
        let next = Cell::new(None);
        let ended = |address| {
            let ended = !ledger.is_blocked_wholly(now, address);
            if !ended {
                next.set(sooner(next.get(), ledger.next_end(now, address)));
            }
            ended
        };
        match firewall.map(|firewall| firewall.forget(&ended)) {
            Some(Ok(left)) => {
                self.remembers = left > 0;
                // The ledger tells of an end when it has settled it, 2 s after it.
                if let Some(end) = next.get() {
                    self.forget_in(clock::until(end));
                }
            }
            // Without the sets (an older rules text) nothing is remembered; the table made anew begins empty.
            Some(Err(error)) => log::debug!("severed connections are not forgotten: {error}"),
            None => {}
        }
    }

    /// Ends the connections of what was noted, where that is due, or goes on with it. What came of a look is told at
    /// its end.
    pub fn end(
        &mut self,
        ledger: &Ledger,
        now: Moment,
        direction: Direction,
        firewall: Option<&mut Firewall>,
    ) -> Kicked {
        let begun = std::time::Instant::now();
        let blocked = |address: IpAddr| ledger.is_blocked_wholly(now, address);
        let next_end = |address| ledger.next_end(now, address);
        let whose = match direction {
            Direction::Src => Whose::Opened,
            Direction::SrcDst => Whose::All,
        };
        let mut sweeping = match self.sweeping.take() {
            Some(sweeping) => sweeping,
            None if self.due.take_if(|due| *due <= Instant::now()).is_none() => return Kicked::default(),
            None => {
                let (mut ranges, everything) =
                    (std::mem::take(&mut self.pending), std::mem::take(&mut self.everything));
                merge(&mut ranges);
                if !everything && ranges.len() <= FEW && ranges.iter().all(|range| range.first == range.last) {
                    let hosts = ranges.iter().map(|range| range.first).filter(|host| blocked(*host));
                    let hosts: Vec<IpAddr> = hosts.collect();
                    let kicked =
                        self.look(&|conntrack, remember| conntrack.kick(&hosts, whose, remember), &next_end, firewall);
                    self.rest(begun.elapsed());
                    return kicked;
                }
                Sweeping {
                    sweep: Sweep::new(whose),
                    hosts: Hosts { ranges, everything },
                    took: Duration::ZERO,
                    kicked: Kicked::default(),
                }
            }
        };
        let Sweeping { sweep, hosts, took, kicked } = &mut sweeping;
        let banned = |address| hosts.has(address) && blocked(address);
        let sweep = RefCell::new(sweep);
        let step = |conntrack: &mut Conntrack, remember: &mut dyn FnMut(&[Flow])| {
            conntrack.sweep(&mut sweep.borrow_mut(), PART, &banned, remember)
        };
        let part = self.look(&step, &next_end, firewall);
        (kicked.flows, kicked.sockets) = (kicked.flows + part.flows, kicked.sockets + part.sockets);
        *took += begun.elapsed();
        if self.trouble.is_some() {
            // What is left of an answer is no answer to the next question.
            self.conntrack = None;
        } else if !sweep.into_inner().is_over() {
            self.sweeping = Some(sweeping);
            return Kicked::default();
        }
        self.rest(sweeping.took);
        sweeping.kicked
    }

    /// The time until the next look, after one that took so long.
    fn rest(&mut self, took: Duration) {
        self.pause = (took * REST).clamp(SHORTEST, LONGEST).max(took * REST_IN_FLOODS);
    }

    /// Ends every connection of addresses for which `named` says yes, whoever opened it. Of those that are not
    /// banned nothing is remembered: they may come back.
    pub fn kick(
        &mut self,
        named: &dyn Fn(IpAddr) -> bool,
        ledger: &Ledger,
        now: Moment,
        firewall: Option<&mut Firewall>,
    ) -> Kicked {
        self.give_up();
        let banned = |flow: &&Flow| ledger.is_blocked_wholly(now, flow.outside.ip());
        let look = |conntrack: &mut Conntrack, remember: &mut dyn FnMut(&[Flow])| {
            let mut of_banned = |flows: &[Flow]| remember(&flows.iter().filter(banned).copied().collect::<Vec<_>>());
            conntrack.kick_matching(named, Whose::All, &mut of_banned)
        };
        self.look(&look, &|address| ledger.next_end(now, address), firewall)
    }

    /// `next_end`: when what is remembered of an address is to be looked at again.
    fn look(&mut self, look: &Look<'_>, next_end: &NextEnd<'_>, firewall: Option<&mut Firewall>) -> Kicked {
        let outcome = self.try_look(look, next_end, firewall);
        let trouble = outcome.as_ref().err().cloned();
        if let Some(text) = trouble.as_ref().filter(|_| trouble != self.trouble) {
            limiter::warn(("disconnect", "trouble"), || text.clone());
        }
        self.trouble = trouble;
        outcome.unwrap_or_default()
    }

    fn try_look(
        &mut self,
        look: &Look<'_>,
        next_end: &NextEnd<'_>,
        mut firewall: Option<&mut Firewall>,
    ) -> Result<Kicked, String> {
        let sentence = |error: crate::firewall::Error| format!("connections of banned hosts cannot be ended: {error}");
        if self.conntrack.is_none() {
            self.conntrack = Some(Conntrack::open().map_err(sentence)?);
        }
        let Some(conntrack) = &mut self.conntrack else { unreachable!("opened above") };
        let remembers = &mut self.remembers;
        let mut next = None;
        let mut remember = |flows: &[Flow]| {
            // Without the sets (an older rules text), or with full ones, the flow may come back; the ban itself holds.
            match firewall.as_mut().map(|firewall| firewall.cut(flows)) {
                Some(Ok(())) => {
                    *remembers = true;
                    next = flows.iter().map(|flow| next_end(flow.outside.ip())).fold(next, sooner);
                }
                Some(Err(error)) => {
                    limiter::warn(("disconnect", "full"), || {
                        format!("connections of banned hosts may come back, for they cannot be remembered: {error}")
                    });
                }
                None => {}
            }
        };
        let kicked = look(conntrack, &mut remember).map_err(sentence);
        if let Some(end) = next {
            self.forget_in(clock::until(end));
        }
        kicked
    }
}

fn partial(settings: &Settings) -> Vec<Source> {
    settings.feeds.lists.iter().filter(|list| !list.is_whole()).map(|list| list.source).collect()
}

/// The whole network, where its first address stands for it.
fn slash_64(range: Range) -> Range {
    let IpAddr::V6(first) = range.first else { return range };
    Range { last: IpAddr::V6((first.to_bits() | u128::from(u64::MAX)).into()), ..range }
}

fn sooner(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    one.into_iter().chain(other).min()
}

/// When the next ban of an address ends by itself.
type NextEnd<'a> = dyn Fn(IpAddr) -> Option<Moment> + 'a;

/// A look through the connection table that ends what it is after.
type Look<'a> = dyn Fn(&mut Conntrack, &mut dyn FnMut(&[Flow])) -> Result<Kicked, crate::firewall::Error> + 'a;

/// Sorts ranges and unites those that overlap: sources ban each for itself, one a host in another's network.
fn merge(ranges: &mut Vec<Range>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.first <= kept.last;
        if overlaps {
            kept.last = kept.last.max(next.last);
        }
        overlaps
    });
}
