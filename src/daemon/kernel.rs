//! The daemon's hold on the firewall: applies set changes, notices what others did to the table, and
//! puts right what differs from the ledger.
//!
//! It is the only place that decides *when* to compare kernel and ledger; *how* is the firewall's.

use std::time::Duration;

use tokio::time::Instant;

use super::clock;
use crate::config::Main;
use crate::firewall::{Counter, Error, Firewall, Names, Reconciled, TableEvent, Watch};
use crate::ledger::{Ledger, Moment, SetChange, SetId};

/// A firewall restart comes as a burst of announcements: the repair waits for its end.
const SETTLE: Duration = Duration::from_millis(20);

/// First and longest wait after a repair that failed for another reason than a missing table.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(60);

/// What the kernel's side is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Sets hold what the ledger says.
    Ok,
    /// There is no table to put sets into; one sentence.
    Missing(String),
    /// The kernel refuses; one sentence.
    Error(String),
}

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The state changed to this; `None`: as before.
    pub state: Option<State>,
    /// Elements put in, taken out, or given another time-out.
    pub changes: usize,
    /// Sets that had to be made.
    pub made: usize,
}

/// The netlink sockets, and what is known of the table.
pub struct Kernel {
    names: Names,
    max_entries: u32,
    link: Option<(Firewall, Watch)>,
    state: State,
    repair_at: Option<Instant>,
    retry: Duration,
    /// Repairs that changed something after the first.
    pub refills: u64,
    /// `CLOCK_BOOTTIME` seconds of the last of them.
    pub last_refill: Option<u64>,
}

impl Kernel {
    /// Nothing is opened yet; the first [`Kernel::repair`] does that.
    pub fn new(main: &Main) -> Kernel {
        Kernel {
            names: names(main),
            max_entries: main.max_entries,
            link: None,
            state: State::Missing("not looked at yet".into()),
            repair_at: None,
            retry: RETRY_FIRST,
            refills: 0,
            last_refill: None,
        }
    }

    /// What the kernel's side is like.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Starts anew under other names or another size.
    pub fn configure(&mut self, main: &Main) {
        if names(main) != self.names || main.max_entries != self.max_entries {
            let (refills, last_refill) = (self.refills, self.last_refill);
            *self = Kernel { refills, last_refill, ..Kernel::new(main) };
            self.repair_soon();
        }
    }

    /// Queues a change. While the table is not in order nothing is sent: the repair brings it all.
    pub fn push(&mut self, change: SetChange) {
        if let (State::Ok, Some((firewall, _))) = (&self.state, &mut self.link) {
            firewall.push(change);
        }
    }

    /// Sends what was queued. A failure is not lost: the sets it hit are compared soon.
    pub fn commit(&mut self) {
        if let (State::Ok, Some((firewall, _))) = (&self.state, &mut self.link)
            && let Err(error) = firewall.commit()
        {
            log::warn!("firewall: {error}; comparing the sets with the ledger");
            self.repair_soon();
        }
    }

    /// Waits until somebody else changed our table; forever while no socket is open.
    pub async fn changed(&mut self) -> TableEvent {
        match &mut self.link {
            Some((_, watch)) => watch.next().await,
            None => std::future::pending().await,
        }
    }

    /// Takes note of what somebody else did.
    pub fn note(&mut self, event: &TableEvent) {
        if let Some((firewall, _)) = &mut self.link {
            match event {
                TableEvent::Elements(sets) => sets.iter().for_each(|set| firewall.mark_dirty(*set)),
                _ => SetId::ALL.into_iter().for_each(|set| firewall.mark_dirty(set)),
            }
        }
        self.repair_soon();
    }

    /// Compares every set at the next opportunity.
    pub fn compare_all(&mut self) {
        self.note(&TableEvent::Lost);
    }

    /// When [`Kernel::repair`] is due.
    pub fn due(&self) -> Option<Instant> {
        self.repair_at
    }

    fn repair_soon(&mut self) {
        let soon = Instant::now() + SETTLE;
        self.repair_at = Some(self.repair_at.map_or(soon, |at| at.min(soon)));
    }

    /// Opens what is closed, makes what is missing, and sends the differences.
    pub fn repair(&mut self, ledger: &Ledger, now: Moment) -> Repaired {
        self.repair_at = None;
        let (state, changes, made) = match self.try_repair(ledger, now) {
            Ok((state, changes, made)) => (state, changes, made),
            Err(error) => (State::Error(error.to_string()), 0, 0),
        };
        match &state {
            State::Ok => self.retry = RETRY_FIRST,
            // The watch tells when the table comes; asking again is for the case that it cannot.
            State::Missing(_) => self.repair_at = Some(Instant::now() + RETRY_LONGEST),
            State::Error(_) => {
                self.repair_at = Some(Instant::now() + self.retry);
                self.retry = (self.retry * 2).min(RETRY_LONGEST);
            }
        }
        if changes > 0 {
            self.refills += 1;
            self.last_refill = Some(clock::boot_seconds());
        }
        let news = (state != self.state).then(|| state.clone());
        self.state = state;
        Repaired { state: news, changes, made }
    }

    fn try_repair(&mut self, ledger: &Ledger, now: Moment) -> Result<(State, usize, usize), Error> {
        if self.link.is_none() {
            let mut firewall = Firewall::open(self.names.clone(), self.max_entries)?;
            let watch = firewall.watch()?;
            SetId::ALL.into_iter().for_each(|set| firewall.mark_dirty(set));
            self.link = Some((firewall, watch));
        }
        let Some((firewall, _)) = &mut self.link else { unreachable!("opened above") };
        let structure = firewall.structure()?;
        if !structure.table {
            let text = format!("there is no nftables table 'inet {}'; waiting for the firewall", self.names.table);
            return Ok((State::Missing(text), 0, 0));
        }
        if let Some(wrong) = structure.wrong.first() {
            let (name, difference) = (self.names.set(wrong.key), &wrong.difference);
            let text = format!("set {name} is not as it must be ({difference}); delete it and reload the firewall");
            return Ok((State::Error(text), 0, 0));
        }
        let made = structure.missing.len();
        if made > 0 {
            firewall.create_sets(&structure.missing)?;
            SetId::ALL.into_iter().for_each(|set| firewall.mark_dirty(set));
        }
        let mut changes = 0;
        for set in firewall.dirty() {
            let Reconciled { added, removed, renewed, .. } = firewall.reconcile(set, &ledger.desired(set, now))?;
            changes += added + removed + renewed;
        }
        Ok((State::Ok, changes, made))
    }

    /// The kernel's drop counters; empty while the table is not in order.
    pub fn counters(&mut self) -> Vec<Counter> {
        let Some((firewall, _)) = &mut self.link else { return Vec::new() };
        firewall.counters().unwrap_or_default()
    }
}

fn names(main: &Main) -> Names {
    Names { table: main.table.clone(), prefix: main.set_prefix.clone() }
}
