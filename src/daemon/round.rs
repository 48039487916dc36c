//! The comparison of sets with the ledger while the daemon goes on with its work: a turn of the loop does a bounded
//! amount of it, and a large set is read from the kernel in a thread of its own.
//!
//! `Kernel` begins a round when sets may differ, and drops it when the table itself has changed. One set is compared
//! at a time, so that no more than one set's contents are held.

use tokio::task::JoinHandle;

use crate::firewall::{Comparison, Contents, Error, Family, Firewall, Look, SetKey, Stop, Touched};
use crate::ledger::{Ledger, Moment};
use crate::model::{SetChange, SetId, Source};

/// Work of one turn (see [`Comparison`]): some thousand elements looked at, or some hundred sent. A question needs
/// several turns of the loop from the socket to its answer.
const TURN: u32 = 4000;

/// Beginning with a set costs as much.
const BEGIN: u32 = 200;

/// A set with more elements is read in a thread; to read so many takes a millisecond or two.
const SMALL: usize = 4000;

/// A set is read so often at most, where elements were lost or an interval set was changed meanwhile.
const READS: usize = 4;

/// So often at most a set begins anew for what others do to it while it is compared.
const RESTARTS: usize = 3;

type Read = Result<Option<Contents>, Error>;

/// Why a set is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Somebody else may have changed it: what differs is put right.
    Doubt,
    /// The daemon's own changes were too many to be sent at once.
    Own,
    /// Likewise, of a hash set, and nothing is to go or to end at another time.
    Additions,
}

impl Why {
    /// Both.
    pub fn and(self, other: Why) -> Why {
        if self == other { self } else { Why::Own }
    }
}

/// How far a set has come.
enum Stage {
    /// It is to be read.
    Due,
    /// A thread reads it.
    Reading {
        thread: JoinHandle<Read>,
        _stop: Stop,
    },
    /// It was read.
    Read(Read),
    Comparing(Box<Comparison>),
}

/// The set that is being compared.
struct Current {
    key: SetKey,
    why: Why,
    stage: Stage,
    /// What the daemon itself has changed since it was looked at.
    touched: Touched,
    /// How often it has been read, and found to be full.
    reads: usize,
    full: usize,
}

/// See the module's head.
#[derive(Default)]
pub struct Round {
    /// Sets to come, the next last.
    queue: Vec<(SetKey, Why)>,
    current: Option<Current>,
    restarts: usize,
    /// Elements put in, taken out, or given another time-out.
    pub changes: usize,
    /// Those of them that were not as the daemon had left them.
    pub corrected: usize,
    /// The first failure.
    pub failure: Option<Error>,
    /// Sets that hold nothing that the ledger does not know.
    clean: Vec<SetKey>,
}

impl Round {
    /// Goes through this pair too. One that is being compared begins again, but not for ever: somebody may change it
    /// all the time. It stays marked then. Additions disturb nobody: they are put in afterwards.
    pub fn add(&mut self, set: SetId, mut why: Why, firewall: &mut Firewall) {
        if let Some(current) = self.current.as_mut().filter(|current| current.key.set == set) {
            if why == Why::Additions {
                current.why = current.why.and(why);
            } else if self.restarts >= RESTARTS {
                return firewall.mark_dirty(set);
            } else {
                self.restarts += 1;
                why = why.and(current.why);
                let (done, of) = (current.done(), current.why);
                self.current = None;
                self.count(done, of);
            }
        }
        if let Some((_, queued)) = self.queue.iter().find(|(key, _)| key.set == set) {
            why = why.and(*queued);
        }
        self.queue.retain(|(key, _)| key.set != set);
        if why != Why::Additions {
            self.clean.retain(|key| key.set != set);
        }
        self.queue.splice(..0, Family::ALL.map(|family| (SetKey { set, family }, why)).into_iter().rev());
    }

    /// The pairs that are not through yet.
    pub fn open(&self) -> impl Iterator<Item = SetId> + '_ {
        self.current.iter().map(|current| current.key.set).chain(self.queue.iter().map(|(key, _)| key.set))
    }

    /// Takes note of what the daemon changes meanwhile.
    pub fn note(&mut self, change: &SetChange) {
        let (SetChange::Add { set, range, .. }
        | SetChange::Renew { set, range, .. }
        | SetChange::Delete { set, range }) = change;
        if let Some(current) = self.current.as_mut().filter(|current| current.key == SetKey::of(*set, range.first)) {
            current.touched.note(*range);
        }
    }

    /// Waits until there is something to do.
    pub async fn ready(&mut self) {
        match &mut self.current {
            Some(Current { stage: stage @ Stage::Reading { .. }, .. }) => {
                let Stage::Reading { thread, .. } = stage else { return };
                let read = thread.await.unwrap_or(Ok(None));
                *stage = Stage::Read(read);
            }
            // Everybody else has a turn between two of these.
            _ => tokio::task::yield_now().await,
        }
    }

    /// The source's sets were compared, and hold nothing that the ledger does not know.
    pub fn is_clean(&self, source: Source) -> bool {
        let sets = SetId::of_source(source).count();
        self.clean.iter().filter(|key| key.set.source() == Some(source)).count() == sets * Family::ALL.len()
    }

    fn count(&mut self, changes: usize, why: Why) {
        self.changes += changes;
        if why == Why::Doubt {
            self.corrected += changes;
        }
    }

    /// Does a turn's work; `true`: the round is over. `unsettled`: of these sources nothing is taken out.
    pub fn go_on(&mut self, firewall: &mut Firewall, ledger: &Ledger, now: Moment, unsettled: &[Source]) -> bool {
        let mut work = TURN;
        while work > 0 {
            let Some(current) = &mut self.current else {
                let Some((key, why)) = self.queue.pop() else { return true };
                let touched = Touched::default();
                self.current = Some(Current { key, why, stage: Stage::Due, touched, reads: 0, full: 0 });
                continue;
            };
            let set = current.key.set;
            let keeps = set.source().is_some_and(|source| unsettled.contains(&source));
            match current.go_on(firewall, ledger, now, keeps, &mut work) {
                Ok(Some(done)) => {
                    let (key, why) = (current.key, current.why);
                    if done.over {
                        if done.strangers == 0 && why != Why::Additions {
                            self.clean.push(key);
                        }
                        self.current = None;
                    }
                    self.count(done.changes, why);
                }
                Ok(None) => return false,
                Err(error) => {
                    firewall.mark_dirty(set);
                    self.failure.get_or_insert(error);
                    self.current = None;
                }
            }
        }
        false
    }
}

/// What came of one reading of a set.
struct Done {
    changes: usize,
    strangers: usize,
    /// It need not be read again.
    over: bool,
}

impl Current {
    /// What the comparison under way has changed.
    fn done(&self) -> usize {
        let Stage::Comparing(comparison) = &self.stage else { return 0 };
        comparison.result().changes()
    }

    /// `None`: the rest is for another turn.
    fn go_on(
        &mut self,
        firewall: &mut Firewall,
        ledger: &Ledger,
        now: Moment,
        keeps: bool,
        work: &mut u32,
    ) -> Result<Option<Done>, Error> {
        // The borders of an interval set that was changed meanwhile are not those that were read.
        if self.key.set.is_interval() && !self.touched.is_empty() {
            self.stage = Stage::Due;
        }
        loop {
            match std::mem::replace(&mut self.stage, Stage::Due) {
                Stage::Due if self.why == Why::Additions => {
                    self.stage = Stage::Comparing(Box::new(Comparison::additions(self.key)));
                }
                Stage::Due => {
                    *work = work.saturating_sub(BEGIN);
                    self.read(firewall)?;
                }
                reading @ Stage::Reading { .. } => {
                    self.stage = reading;
                    return Ok(None);
                }
                Stage::Read(read) => {
                    if let Some(contents) = read? {
                        *work = work.saturating_sub(contents.len().min(SMALL) as u32);
                        self.stage = Stage::Comparing(Box::new(Comparison::new(contents, keeps)));
                    }
                }
                Stage::Comparing(mut comparison) => {
                    firewall.fill_slowly(self.full);
                    let desired = ledger.desired(self.key.set, now);
                    // Read for the last time, it is compared while nobody can change it.
                    let mut whole = u32::MAX;
                    let work = if self.reads > READS { &mut whole } else { &mut *work };
                    let outcome = comparison.step(firewall, &desired, &self.touched, work);
                    firewall.fill_slowly(0);
                    match outcome {
                        Ok(false) if *work > 0 => self.stage = Stage::Comparing(comparison),
                        Ok(false) => {
                            self.stage = Stage::Comparing(comparison);
                            return Ok(None);
                        }
                        Ok(true) => {
                            let over = !comparison.must_repeat() || self.reads >= READS;
                            let changes = comparison.result().changes();
                            return Ok(Some(Done { changes, strangers: comparison.strangers(), over }));
                        }
                        Err(Error::Full(_)) if self.full < 2 => {
                            self.full += 1;
                            return Ok(Some(Done { changes: 0, strangers: 0, over: false }));
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Reads a small set, and has a large one read.
    fn read(&mut self, firewall: &Firewall) -> Result<(), Error> {
        self.reads += 1;
        self.touched = Touched::default();
        let look = Look::new(firewall.names().clone(), self.key);
        // Where somebody changes an interval set all the time it is read at last while nobody can.
        let most = if self.reads > READS { usize::MAX } else { SMALL };
        self.stage = match look.take(most)? {
            Some(contents) => Stage::Read(Ok(Some(contents))),
            None => {
                let _stop = look.stop();
                Stage::Reading { thread: tokio::task::spawn_blocking(move || look.take(usize::MAX)), _stop }
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_through_is_open() {
        let key = |source, family| SetKey { set: SetId::Ban(source), family };
        let current = Current {
            key: key(Source::NATS, Family::V6),
            why: Why::Doubt,
            stage: Stage::Due,
            touched: Touched::default(),
            reads: 1,
            full: 0,
        };
        let round = Round {
            queue: vec![(key(Source::MANUAL, Family::V4), Why::Own), (key(Source::SCAN, Family::V6), Why::Doubt)],
            current: Some(current),
            clean: vec![key(Source::DYNFW, Family::V4)],
            ..Round::default()
        };
        let open: Vec<SetId> = round.open().collect();
        assert_eq!(open, [Source::NATS, Source::MANUAL, Source::SCAN].map(SetId::Ban));
        assert_eq!(Round::default().open().count(), 0);
    }
}
