//! Keeping up with a stream of numbered deltas and an occasional whole list: what to post, and whether
//! a list is needed. A state machine without I/O or clock; `client` feeds it and obeys it.
//!
//! It promises: once it is synchronised, what it has posted adds up to the server's list at
//! [`Sync::serial`]; nothing older ever undoes something newer of the same server run; whatever is lost,
//! repeated, reordered or restarted, it is synchronised again after a few lists have arrived.
//! The traps it is made for: docs/protocols.md section 1.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::model::{Event, Lifetime, List, Listed, Reason, Source};

/// Most deltas held for a list to come. At 500 a second they reach back half a minute; 640 KB at most.
/// When more come, the oldest go, which is harmless if the list that comes is newer than they.
pub const HELD_MAX: usize = 16_384;

/// How many lists a held delta outlives although those before it never come. Then it is taken for one
/// of a server run that has ended.
const LISTS_OUTLIVED: u8 = 3;

/// A change with its address already read; `None` when that was no address: the serial counts all
/// the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Number of the change.
    pub serial: u64,
    /// Added or removed.
    pub positive: bool,
    /// Whose.
    pub address: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    change: Change,
    lists: u8,
}

/// The state of following one server.
#[derive(Debug, Default)]
pub struct Sync {
    /// Everything up to this serial is in what was posted; `None` before the first list of a connection.
    base: Option<u64>,
    /// Changes above `base`, by serial, at least one before them missing (or `base` not known). They
    /// have been posted too, and go into the next list, which may be older than they.
    held: VecDeque<Held>,
    /// Changes not above `base` since a list was asked for: repeats of this server run, or the first
    /// of the next one. Not posted. By serial.
    suspects: VecDeque<Held>,
    /// Lists below `base` in a row.
    older_lists: u8,
    /// A list is needed whatever the serials say.
    asked: bool,
}

impl Sync {
    /// Nothing known; a list is needed.
    pub fn new() -> Sync {
        Sync::default()
    }

    /// A new connection: serials of the one before tell nothing any more. Also for a feed whose bans
    /// have lapsed.
    pub fn restart(&mut self) {
        *self = Sync::new();
    }

    /// Asks for a list although nothing is known to be missing.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// Whether the list topic must be subscribed. Ask after every message.
    pub fn wants_list(&self) -> bool {
        self.asked || self.base.is_none() || !self.held.is_empty()
    }

    /// The serial up to which nothing is missing; 0 before the first list.
    pub fn serial(&self) -> u64 {
        self.base.unwrap_or(0)
    }

    /// Takes a delta; returns what to post.
    pub fn delta(&mut self, change: Change) -> Option<Event> {
        let synchronised = !self.wants_list();
        match self.base {
            Some(base) if change.serial == base && synchronised => None,
            Some(base) if change.serial <= base => {
                // A repeat, or a server that counts from the beginning again: only a list can tell.
                self.asked = true;
                insert(&mut self.suspects, change);
                None
            }
            Some(base) if synchronised && base.checked_add(1) == Some(change.serial) => {
                self.base = Some(change.serial);
                event(change)
            }
            _ => self.hold(change),
        }
    }

    /// Keeps a change until those before it are there, and posts it unless a newer one of the same
    /// address has been posted.
    fn hold(&mut self, change: Change) -> Option<Event> {
        self.older_lists = 0;
        let position = insert(&mut self.held, change)?;
        let outdated = self.held.iter().skip(position + 1).any(|held| held.change.address == change.address);
        self.advance();
        if outdated { None } else { event(change) }
    }

    /// Whether a list is to be read that came, and handed to [`Sync::list`]; ask once for each.
    pub fn takes_list(&mut self, serial: u64) -> bool {
        self.wants_list() && !self.is_outdated(serial)
    }

    /// Takes a list. The event is the list with all newer changes in it, so that taking it never undoes them, not
    /// even for a moment.
    pub fn list(&mut self, serial: u64, mut list: List) -> Event {
        self.base = Some(serial);
        self.asked = false;
        self.older_lists = 0;
        self.suspects.clear();
        self.held.retain_mut(|held| {
            held.lists = held.lists.saturating_add(1);
            held.change.serial > serial && held.lists < LISTS_OUTLIVED
        });
        merge(&mut list, &self.held);
        self.advance();
        Event::List { source: Source::DYNFW, list }
    }

    /// Whether a list of that serial says less than what is known. The second such list in a row, with
    /// nothing newer in between, means that the server counts from the beginning again: then what came
    /// since is of its new run.
    fn is_outdated(&mut self, serial: u64) -> bool {
        if self.base.is_none_or(|base| serial >= base) {
            return false;
        }
        self.older_lists += 1;
        if self.older_lists < 2 {
            return true;
        }
        self.held = std::mem::take(&mut self.suspects);
        false
    }

    /// Moves `base` up over what is held without a gap. Not while a list has been asked for: that list
    /// may be a little older than the newest delta, and must then be completed from what is held.
    fn advance(&mut self) {
        let Some(mut base) = self.base.filter(|_| !self.asked) else { return };
        while let Some(held) = self.held.front()
            && base.checked_add(1) == Some(held.change.serial)
        {
            base = held.change.serial;
            self.held.pop_front();
        }
        self.base = Some(base);
        if self.held.is_empty() {
            // A burst's memory is not kept.
            self.held.shrink_to(64);
        }
    }
}

/// Puts `change` in its place by serial and says which; `None` when it is there already, or when it is
/// the oldest of too many.
fn insert(queue: &mut VecDeque<Held>, change: Change) -> Option<usize> {
    let position = queue.partition_point(|held| held.change.serial < change.serial);
    match queue.get(position).map(|held| held.change) {
        Some(there) if there == change => return None,
        // The same serial for something else: what is there from here on is of a run that has ended.
        Some(there) if there.serial == change.serial => queue.truncate(position),
        _ => {}
    }
    queue.insert(position, Held { change, lists: 0 });
    if queue.len() <= HELD_MAX {
        return Some(position);
    }
    queue.pop_front();
    position.checked_sub(1)
}

/// Applies the held changes to a list: for each address the newest.
fn merge(list: &mut List, held: &VecDeque<Held>) {
    let (mut v4, mut v6) = (BTreeMap::new(), BTreeMap::new());
    for Change { positive, address, .. } in held.iter().map(|held| held.change) {
        match address {
            Some(IpAddr::V4(address)) => _ = v4.insert(address, positive),
            Some(IpAddr::V6(address)) => _ = v6.insert(address, positive),
            None => {}
        }
    }
    merge_family::<Ipv4Addr>(&mut list.v4, v4);
    merge_family::<Ipv6Addr>(&mut list.v6, v6);
}

fn merge_family<A: Ord>(listed: &mut Vec<Listed<A>>, changed: BTreeMap<A, bool>) {
    if changed.is_empty() {
        return;
    }
    listed.retain(|entry| !changed.contains_key(&entry.address));
    let added = changed.into_iter().filter(|(_, positive)| *positive);
    listed.extend(added.map(|(address, _)| Listed { address, lifetime: Lifetime::Forever }));
}

/// What to post for a change.
fn event(change: Change) -> Option<Event> {
    let net = IpNet::from(change.address?);
    Some(if change.positive {
        Event::Ban { source: Source::DYNFW, net, lifetime: Lifetime::Forever, reason: Reason::Announced }
    } else {
        Event::Unban { source: Source::DYNFW, net }
    })
}

#[cfg(test)]
mod tests;
