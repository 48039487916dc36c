//! The kernel side: sets over netlink, rules text for fw4, conntrack, and the table watch.
//!
//! [`Firewall`] applies the ledger's [`SetChange`]s in bounded transactions and knows no bans. It makes
//! no table and no rules: those are nft text that fw4 loads. The daemon is its only caller; it compares
//! a set ([`Comparison`]) wherever [`Firewall::dirty`] says that a change may have been missed.

mod batch;
mod comparison;
mod conntrack;
mod counters;
mod error;
pub mod files;
mod former;
mod names;
pub(crate) mod netlink;
pub mod nflog;
mod nftables;
mod reconcile;
pub mod routes;
pub mod rules;
mod sets;
mod sockets;
pub mod tunnels;
mod watch;
mod ways;
mod witness;

use std::io;
use std::net::IpAddr;
use std::rc::Rc;

pub use comparison::{Comparison, Contents, Look, Stop, Touched};
pub use conntrack::{Conntrack, Flow, Kicked, Sweep, Whose};
pub use counters::Counter;
pub use error::Error;
pub use names::{Family, Names, SetKey};
pub use reconcile::Reconciled;
pub use sets::{Structure, WrongSet};
pub use watch::{TableEvent, TableWatch};
pub use ways::{Hook, Ways};
pub use witness::{Claim, Picture, Proof, Witness};

use rustix::io::Errno;

use crate::model::{Desired, Lifetime, Range, SetChange, SetId};
use batch::{Batch, Verb};
use netlink::{Control, Messages, Nack, Socket};
use watch::Ear;

/// Severed flows that one transaction remembers or forgets.
const AT_ONCE: usize = 256;

/// How often something is tried again that failed because the ruleset changed meanwhile.
const ATTEMPTS: usize = 10;

/// The sets of one table, over one open netlink socket.
pub struct Firewall {
    names: Names,
    max_entries: u32,
    socket: Socket,
    batch: Batch,
    /// The most elements a batch takes; lowered only while a full set is filled up.
    batch_elements: usize,
    /// Whether the kernel knows `NFT_MSG_DESTROYSETELEM` (Linux 6.3).
    has_destroy: bool,
    /// Transactions so far.
    sent: u32,
    /// The sets that may differ from what was pushed.
    dirty: Vec<SetId>,
    /// The first failure since the last commit. While there is one, changes only mark their sets dirty.
    failure: Option<Error>,
    /// The watch's socket, while there is a watch.
    ear: Option<Rc<Ear>>,
    /// A bulk load under way, for the time of which the watch is muted.
    bulk: Option<Bulk>,
}

/// A transaction of so many elements and more is not heard by the watch.
const HEARD: usize = 128;

/// Tells after a bulk load whether somebody else changed the ruleset meanwhile.
struct Bulk {
    /// The ruleset's generation when it began.
    generation: u32,
    /// Our own transactions since.
    commits: u32,
}

impl Firewall {
    /// Opens the netlink socket and tries the rights on it. Neither the table nor a set needs to exist.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_ADMIN`, [`Error::Lacking`] if there is no nf_tables.
    pub fn open(names: Names, max_entries: u32) -> Result<Firewall, Error> {
        let opening = |cause: io::Error| match Errno::from_io_error(&cause) {
            Some(Errno::PROTONOSUPPORT) => Error::NO_NF_TABLES,
            _ => Error::Netlink { doing: "opening the netlink socket", cause },
        };
        let mut socket = Socket::open(mnl::Bus::Netfilter).map_err(opening)?;
        let has_destroy = probe_destroy(&mut socket, &names.table)?;
        let batch = Batch::new(&names);
        let (dirty, batch_elements) = (Vec::new(), usize::MAX);
        let (failure, ear, bulk) = (None, None, None);
        let sent = 0;
        Ok(Firewall { names, max_entries, socket, batch, batch_elements, has_destroy, sent, dirty, failure, ear, bulk })
    }

    /// Queues a change. A full batch is sent at once; the rest waits for [`Firewall::commit`].
    pub fn push(&mut self, change: SetChange) {
        let (SetChange::Add { set, range, .. }
        | SetChange::Renew { set, range, .. }
        | SetChange::Delete { set, range }) = change;
        if self.batch.clashes(set, range) {
            self.flush();
        }
        if self.failure.is_some() {
            self.set_dirty(set, true);
            return;
        }
        self.batch.note(set, range);
        match change {
            SetChange::Add { set, range, lifetime } => self.write(Verb::Add, set, range, Some(lifetime)),
            SetChange::Renew { set, range, lifetime } => {
                self.remove(set, range);
                self.write(Verb::Add, set, range, Some(lifetime));
            }
            SetChange::Delete { set, range } => self.remove(set, range),
        }
        if self.batch.is_full() || self.batch.elements() >= self.batch_elements {
            self.begin_bulk();
            self.flush();
        }
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// The first failure since the last call. The sets of every batch that failed, and of every change
    /// that came after, are dirty.
    pub fn commit(&mut self) -> Result<(), Error> {
        self.flush();
        self.end_bulk();
        self.failure.take().map_or(Ok(()), Err)
    }

    /// As [`Firewall::commit`] where nothing is left to send; else that waits.
    pub(super) fn pause(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() { self.commit() } else { Ok(()) }
    }

    /// Counts the transactions.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    /// The sets that may differ from what was pushed.
    pub fn dirty(&self) -> Vec<SetId> {
        self.names.sets().into_iter().filter(|set| self.dirty.contains(set)).collect()
    }

    /// Whether it is one of [`Firewall::dirty`].
    pub fn is_dirty(&self, set: SetId) -> bool {
        self.dirty.contains(&set)
    }

    /// As [`Firewall::dirty`]; they count as clean from now on.
    pub fn take_dirty(&mut self) -> Vec<SetId> {
        let dirty = self.dirty();
        self.dirty = Default::default();
        dirty
    }

    /// Notes that a set may differ from what was pushed.
    pub fn mark_dirty(&mut self, set: SetId) {
        self.set_dirty(set, true);
    }

    /// Makes both sets of the pair hold exactly what is desired: dumps them and sends the difference, all at once.
    /// The daemon does the same in steps ([`Comparison`]). On success the pair is clean.
    ///
    /// # Errors
    /// [`Error::NoSet`], [`Error::Full`] (then as much as fits is in) and whatever netlink can fail with.
    pub fn reconcile(&mut self, set: SetId, desired: &dyn Desired) -> Result<Reconciled, Error> {
        self.commit()?;
        self.set_dirty(set, true);
        let mut total = Reconciled::default();
        for key in Family::ALL.map(|family| SetKey { set, family }) {
            let one = self.reconcile_set(key, desired)?;
            total.found += one.found;
            total.added += one.added;
            total.renewed += one.renewed;
            total.removed += one.removed;
        }
        self.set_dirty(set, false);
        Ok(total)
    }

    fn reconcile_set(&mut self, key: SetKey, desired: &dyn Desired) -> Result<Reconciled, Error> {
        let mut total = Reconciled::default();
        let mut full = 0;
        for _ in 0..ATTEMPTS {
            let look = Look::new(self.names.clone(), key);
            let Some(contents) = look.take(usize::MAX)? else { break };
            let mut comparison = Comparison::new(contents, false);
            self.fill_slowly(full);
            let mut outcome = Ok(false);
            while let Ok(false) = outcome {
                outcome = comparison.step(self, desired, &Touched::default(), &mut { u32::MAX });
            }
            self.fill_slowly(0);
            let Reconciled { found, added, renewed, removed } = comparison.result();
            total.found = found;
            total.added += added;
            total.renewed += renewed;
            total.removed += removed;
            match outcome {
                Err(Error::Full(_)) if full < 2 => full += 1,
                Err(error) => return Err(error),
                Ok(true) if !comparison.must_repeat() => break,
                Ok(_) => {}
            }
        }
        Ok(total)
    }

    /// A full set refuses a whole batch: smaller ones fill it to the brim. How often it has been found to be full.
    pub fn fill_slowly(&mut self, full: usize) {
        self.batch_elements = [usize::MAX, 64, 1].get(full).copied().unwrap_or(1);
    }

    /// Takes the element out of a set that stands for every address: none of ours has one.
    pub(super) fn remove_everybody(&mut self, key: SetKey) -> Result<(), Error> {
        let failed = |cause| Error::Netlink { doing: "taking out what stands for every address", cause };
        let sequence = self.socket.next_sequence();
        let (table, name) = (&self.names.table, self.names.set(key));
        let request = batch::single(sequence, &mut |buffer| batch::everybody(buffer, sequence, table, &name));
        match transact(&mut self.socket, &request).map_err(failed)? {
            Some(refusal) if refusal.errno != Errno::NOENT => Err(failed(refusal.errno.into())),
            _ => Ok(()),
        }
    }

    /// The time that the set's element of this address has left; `None`: it has none.
    pub(super) fn element(&mut self, key: SetKey, address: IpAddr) -> Result<Option<Lifetime>, Error> {
        reconcile::element(&mut self.socket, &self.names, key, address)
    }

    /// Makes a pair of hash sets hold what is desired of one address, and nothing else of it. `keeps`: what is
    /// there and not desired stays. The caller commits. Returns whether anything had to be changed.
    ///
    /// # Errors
    /// [`Error::Netlink`].
    pub fn review(&mut self, set: SetId, address: IpAddr, desired: &dyn Desired, keeps: bool) -> Result<bool, Error> {
        let (range, key) = (Range::single(address), SetKey::of(set, address));
        let is = self.element(key, address)?;
        let change = match (is, desired.wanted(range)) {
            (Some(_), None) if !keeps => SetChange::Delete { set, range },
            (None, Some(lifetime)) => SetChange::Add { set, range, lifetime },
            (Some(is), Some(lifetime)) if !reconcile::same_lifetime(is, lifetime, reconcile::TOLERANCE) => {
                SetChange::Renew { set, range, lifetime }
            }
            _ => return Ok(false),
        };
        self.push(change);
        Ok(true)
    }

    /// Hands on every element of both sets of the pair that is not desired, with its remaining time.
    ///
    /// # Errors
    /// [`Error::NoSet`], [`Error::Netlink`].
    pub fn strangers(
        &mut self,
        set: SetId,
        desired: &dyn Desired,
        each: &mut dyn FnMut(Range, Lifetime),
    ) -> Result<(), Error> {
        let mut stranger = |range: Range, lifetime: Lifetime| {
            if desired.wanted(range).is_none() {
                each(range, lifetime);
            }
        };
        for family in Family::ALL {
            let look = Look::new(self.names.clone(), SetKey { set, family });
            if let Some(contents) = look.take(usize::MAX)? {
                contents.for_each(&mut stranger);
            }
        }
        Ok(())
    }

    /// What the kernel has of the table and the sets.
    ///
    /// # Errors
    /// [`Error::Busy`] if the ruleset changes all the time, [`Error::Netlink`].
    pub fn structure(&mut self) -> Result<Structure, Error> {
        sets::structure(&mut self.socket, &self.names)
    }

    /// Makes sets in the existing table, as the nft text defines them. A set that is there already stays.
    ///
    /// # Errors
    /// [`Error::NoTable`]; [`Error::Exists`] if a set of that name has another definition.
    pub fn create_sets(&mut self, keys: &[SetKey]) -> Result<(), Error> {
        let failed = |cause| Error::Netlink { doing: "making the sets", cause };
        let first = self.socket.next_sequence();
        let request = sets::create(&self.names, keys, self.max_entries, first).map_err(failed)?;
        match transact(&mut self.socket, &request).map_err(failed)? {
            None => Ok(()),
            Some(refusal) if refusal.errno == Errno::NOENT => Err(Error::NoTable),
            Some(refusal) => {
                let position = refusal.sequence.wrapping_sub(first).wrapping_sub(1) as usize;
                Err(explain(&refusal, keys.get(position).copied()))
            }
        }
    }

    /// Takes sets of lists that are no more away, with what the rules brought along for them. One that a rule still
    /// names stays. Returns how many are gone.
    ///
    /// # Errors
    /// [`Error::Netlink`].
    pub fn remove_former(&mut self, former: &[String]) -> Result<usize, Error> {
        let failed = |cause| Error::Netlink { doing: "taking sets away", cause };
        let mut gone = 0;
        for set in former {
            let requests = sets::removal(&self.names, set, &mut || self.socket.next_sequence());
            let mut refused = None;
            for request in requests {
                refused = transact(&mut self.socket, &request).map_err(failed)?;
            }
            gone += usize::from(refused.is_none());
        }
        Ok(gone)
    }

    /// Takes the table away if nothing is in it any more.
    pub fn remove_empty_table(&mut self) {
        // Of no use and no harm where it stays.
        let _ = former::remove_empty(&mut self.socket, &self.names.table);
    }

    /// Reads the named counters of the table; those that do not exist are not in the result.
    ///
    /// # Errors
    /// [`Error::Busy`] if the ruleset changes all the time, [`Error::Netlink`].
    pub fn counters(&mut self) -> Result<Vec<Counter>, Error> {
        counters::read(&mut self.socket, &self.names)
    }

    /// Remembers flows that are about to be ended in the sets [`Names::cut`], by which the rules drop what the
    /// inside still sends as long as the outside is banned; where those are full, whose they are ([`Names::crowd`]).
    /// Those sets are the rules' own: without them this fails.
    ///
    /// # Errors
    /// [`Error::Netlink`], also if a set is missing or full; nothing else is affected.
    pub fn cut(&mut self, flows: &[Flow]) -> Result<(), Error> {
        match self.write_severed(&[Verb::Add], flows) {
            Err(Error::Netlink { cause, .. }) if Errno::from_io_error(&cause) == Some(Errno::NFILE) => {
                let mut hosts: Vec<IpAddr> = flows.iter().map(|flow| flow.outside.ip()).collect();
                hosts.sort_unstable();
                hosts.dedup();
                self.write_crowd(&[Verb::Add], &hosts)
            }
            done => done,
        }
    }

    fn write_crowd(&mut self, verbs: &[Verb], hosts: &[IpAddr]) -> Result<(), Error> {
        let failed = |cause| Error::Netlink { doing: "remembering whose connections ended", cause };
        for host in hosts {
            let sequence = self.socket.next_sequence();
            let (table, name) = (&self.names.table, self.names.crowd(Family::of(*host)));
            let request = batch::single(sequence, &mut |buffer| {
                verbs.iter().for_each(|verb| batch::one(buffer, *verb, sequence, table, &name, *host));
            });
            if let Some(refusal) = transact(&mut self.socket, &request).map_err(failed)? {
                return Err(failed(refusal.errno.into()));
            }
        }
        Ok(())
    }

    /// Forgets severed flows whose outside `ended` says yes to. Returns how many are still remembered.
    ///
    /// # Errors
    /// [`Error::Netlink`], also if a set is missing; [`Error::Busy`] if the ruleset changes all the time.
    pub fn forget(&mut self, ended: &dyn Fn(IpAddr) -> bool) -> Result<usize, Error> {
        let (mut over, mut left): (Vec<Flow>, usize) = (Vec::new(), 0);
        for family in Family::ALL {
            let name = self.names.cut(family);
            reconcile::dump_keys(&mut self.socket, &self.names.table, &name, &mut |key| {
                let Some(flow) = batch::read_severed(key) else { return };
                if ended(flow.outside.ip()) {
                    over.push(flow);
                } else {
                    left += 1;
                }
            })?;
        }
        let mut hosts: Vec<IpAddr> = Vec::new();
        for family in Family::ALL {
            let name = self.names.crowd(family);
            let dumped = reconcile::dump_keys(&mut self.socket, &self.names.table, &name, &mut |key| {
                let Some(host) = batch::read_address(key) else { return };
                if ended(host) {
                    hosts.push(host);
                } else {
                    left += 1;
                }
            });
            match dumped {
                // The rules are older than this program.
                Err(Error::Netlink { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        hosts.sort_unstable();
        hosts.dedup();
        // A dump that was begun anew has told some twice.
        over.sort_unstable();
        over.dedup();
        // What expires meanwhile cannot be deleted, as in `remove`.
        let verbs = if self.has_destroy { &[Verb::Destroy][..] } else { &[Verb::Add, Verb::Delete] };
        self.write_severed(verbs, &over)?;
        self.write_crowd(verbs, &hosts)?;
        Ok(left)
    }

    fn write_severed(&mut self, verbs: &[Verb], flows: &[Flow]) -> Result<(), Error> {
        let failed = |cause| Error::Netlink { doing: "remembering ended connections", cause };
        for family in Family::ALL {
            let of_family = |flow: &&Flow| Family::of(flow.outside.ip()) == family;
            let flows: Vec<Flow> = flows.iter().filter(of_family).copied().collect();
            // 80 bytes an element at most: the list's length is 16 bits.
            for flows in flows.chunks(AT_ONCE) {
                let sequence = self.socket.next_sequence();
                let (table, name) = (&self.names.table, self.names.cut(family));
                let request = batch::single(sequence, &mut |buffer| {
                    for verb in verbs {
                        batch::severed(buffer, *verb, sequence, table, &name, flows);
                    }
                });
                if let Some(refusal) = transact(&mut self.socket, &request).map_err(failed)? {
                    return Err(failed(refusal.errno.into()));
                }
            }
        }
        Ok(())
    }

    /// Starts listening for what others do to the table. Must be called inside a tokio runtime; a second
    /// watch takes the place of the first.
    ///
    /// # Errors
    /// [`Error::Netlink`] if the socket cannot be opened.
    pub fn watch(&mut self) -> Result<TableWatch, Error> {
        let (watch, ear) = TableWatch::open(self.names.clone(), self.socket.port())?;
        self.ear = Some(ear);
        Ok(watch)
    }

    /// Does as on kernels before 6.3, which lack `NFT_MSG_DESTROYSETELEM`. For tests on newer ones.
    pub fn avoid_destroy(&mut self) {
        self.has_destroy = false;
    }

    /// The names it was opened with.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Mutes the watch. The generation is read first, and again after unmuting: what others do at the
    /// seams is then heard, counted, or both, but never missed.
    fn begin_bulk(&mut self) {
        if self.bulk.is_some() || self.ear.is_none() {
            return;
        }
        let Some(generation) = self.told_generation() else { return };
        if self.ear.as_ref().is_some_and(|ear| ear.mute().is_ok()) {
            self.bulk = Some(Bulk { generation, commits: 0 });
        }
    }

    /// The generation, where the watch has been told of all that is counted in it. The kernel counts a commit before it
    /// tells of it; until it has told, it takes no other transaction, not even an empty one, which is counted nowhere.
    /// `None`: others commit all the time.
    fn told_generation(&mut self) -> Option<u32> {
        for _ in 0..ATTEMPTS {
            let counted = watch::generation(&mut self.socket).ok()?;
            let nothing = batch::single(self.socket.next_sequence(), &mut |_| {});
            transact(&mut self.socket, &nothing).ok()?;
            if watch::generation(&mut self.socket).ok()? == counted {
                return Some(counted);
            }
        }
        None
    }

    /// Unmutes the watch, and tells it if anybody else committed anything since `begin_bulk`. Each commit of ours raises
    /// the generation ([`Batch::make_certain`]): one that did not would stand for one of somebody else's.
    fn end_bulk(&mut self) {
        let (Some(bulk), Some(ear)) = (self.bulk.take(), self.ear.as_ref()) else { return };
        let unmuted = ear.unmute();
        let expected = bulk.generation.wrapping_add(bulk.commits);
        if unmuted.is_err() || watch::generation(&mut self.socket).ok() != Some(expected) {
            ear.lose();
        }
    }

    fn set_dirty(&mut self, set: SetId, dirty: bool) {
        match self.dirty.iter().position(|each| *each == set) {
            None if dirty => self.dirty.push(set),
            Some(at) if !dirty => drop(self.dirty.swap_remove(at)),
            _ => {}
        }
    }

    /// Takes an element out whether or not the kernel still has it: it may have expired a moment ago, and
    /// an expired element cannot be deleted. Kernels without `DESTROYSETELEM` get it added first (which
    /// changes nothing if it is there) in the same transaction.
    fn remove(&mut self, set: SetId, range: Range) {
        if self.has_destroy {
            self.write(Verb::Destroy, set, range, None);
        } else {
            self.write(Verb::Add, set, range, Some(Lifetime::Seconds(60)));
            self.write(Verb::Delete, set, range, None);
        }
    }

    fn write(&mut self, verb: Verb, set: SetId, range: Range, lifetime: Option<Lifetime>) {
        if self.batch.is_empty() {
            self.batch.begin(self.socket.next_sequence());
        }
        let key = SetKey::of(set, range.first);
        self.batch.element(verb, key, range.first, false, lifetime);
        if let Some(end) = set.is_interval().then(|| after(range.last)).flatten() {
            self.batch.element(verb, key, end, true, None);
        }
    }

    /// Sends the batch. A failure is kept for `commit` and marks the batch's sets dirty.
    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        // The kernel holds a message for each element, 4 or 8 KiB of memory, until the transaction is whole.
        if self.batch.elements() >= HEARD {
            self.begin_bulk();
        }
        if self.bulk.is_some() {
            self.batch.make_certain(&self.names.table, &self.names.moment_chain());
        }
        self.sent = self.sent.wrapping_add(1);
        let (bytes, _) = self.batch.finish();
        let failure = match transact(&mut self.socket, bytes) {
            Ok(None) => None,
            Ok(Some(refusal)) => Some(explain(&refusal, self.batch.set_of(refusal.sequence))),
            Err(cause) => Some(Error::Netlink { doing: "sending changes", cause }),
        };
        if let (None, Some(bulk)) = (&failure, &mut self.bulk) {
            bulk.commits = bulk.commits.wrapping_add(1);
        }
        if let Some(error) = failure {
            let sets: Vec<SetKey> = self.batch.sets().collect();
            sets.into_iter().for_each(|key| self.set_dirty(key.set, true));
            self.failure.get_or_insert(error);
        }
        self.batch.clear();
    }
}

/// Whether a set of another program, in a table of family inet, is there and holds anything.
pub fn holds_any(table: &str, set: &str) -> bool {
    Socket::open(mnl::Bus::Netfilter).is_ok_and(|socket| reconcile::holds_any(socket, table, set))
}

/// The address after, which ends an interval; `None` after the highest.
fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(IpAddr::V4(address.to_bits().checked_add(1)?.into())),
        IpAddr::V6(address) => Some(IpAddr::V6(address.to_bits().checked_add(1)?.into())),
    }
}

/// Sends a transaction and returns the kernel's first refusal, if any. What the kernel itself calls
/// temporary is tried again.
fn transact(socket: &mut Socket, bytes: &[u8]) -> io::Result<Option<Nack>> {
    let mut refusal = None;
    for _ in 0..ATTEMPTS {
        socket.send(bytes)?;
        refusal = first_refusal(socket).inspect_err(|_| socket.discard())?;
        if !refusal.is_some_and(|refusal: Nack| matches!(refusal.errno, Errno::AGAIN | Errno::RESTART)) {
            break;
        }
    }
    Ok(refusal)
}

/// Reads all answers that wait on the socket. Success is silent: no message asks to be acknowledged.
fn first_refusal(socket: &mut Socket) -> io::Result<Option<Nack>> {
    let mut first = None;
    while let Some(datagram) = socket.receive()? {
        for message in Messages(datagram) {
            if let (None, Some(Control::Refused(refusal))) = (first, netlink::control(&message)) {
                first = Some(refusal);
            }
        }
    }
    Ok(first)
}

/// What a refusal means. `key` is the set of the refused message, if it was about one.
fn explain(refusal: &Nack, key: Option<SetKey>) -> Error {
    match (refusal.errno, key) {
        (Errno::PERM, _) => Error::Permission,
        (Errno::NOMEM | Errno::NOBUFS, _) => Error::NoBuffers,
        (Errno::AGAIN | Errno::RESTART, _) => Error::Busy,
        (Errno::NOENT, Some(_)) if refusal.offset.is_some_and(batch::names_table) => Error::NoTable,
        (Errno::NOENT, Some(key)) => Error::NoSet(key),
        (Errno::NFILE | Errno::NOSPC, Some(key)) => Error::Full(key),
        (Errno::EXIST | Errno::NOTEMPTY, Some(key)) => Error::Exists(key),
        (errno, Some(set)) => Error::Refused { set, cause: errno.into() },
        (errno, None) => Error::Netlink { doing: "sending a transaction", cause: errno.into() },
    }
}

/// Whether the kernel knows `NFT_MSG_DESTROYSETELEM`; on the way, whether we may change anything.
fn probe_destroy(socket: &mut Socket, table: &str) -> Result<bool, Error> {
    let failed = |cause| Error::Netlink { doing: "asking for nf_tables", cause };
    let sequence = socket.next_sequence();
    let request = batch::single(sequence, &mut |buffer| batch::destroy_probe(buffer, sequence, table));
    match transact(socket, &request).map_err(failed)? {
        None => Ok(true),
        Some(refusal) if refusal.errno == Errno::PERM => Err(Error::Permission),
        // Nobody takes batches of this subsystem (`nfnetlink_rcv_batch`).
        Some(refusal) if refusal.errno == Errno::OPNOTSUPP => Err(Error::NO_NF_TABLES),
        Some(refusal) => Ok(refusal.errno == Errno::NOENT),
    }
}
