//! What all simulated routers share: numbers for addresses, so that each router's own set is an array of ends, and
//! the reading of a message that came to ten thousand of them, done once. Each router still compares what came to it
//! with what was read, byte by byte.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use super::figures::Times;
use super::wire;
use crate::Result;

/// One message about changes, read.
pub struct Batch {
    body: Vec<u8>,
    pub from: u64,
    pub to: u64,
    /// Numbers of addresses with the Unix second at which their ban ends; 0: it was taken back.
    pub changes: Vec<(u32, u32)>,
}

/// What was reported, and how far it has come.
struct Report {
    sent: Instant,
    reached: usize,
}

/// Addresses, messages, and times.
pub struct Bans {
    numbers: HashMap<IpAddr, u32>,
    addresses: Vec<IpAddr>,
    reports: HashMap<u32, Report>,
    read: VecDeque<Rc<Batch>>,
    routers: usize,
    /// From a report to each router, since the last look.
    pub lately: Times,
    /// From a report to each router.
    pub to_each: Times,
    /// From a report to the last router.
    pub to_all: Times,
}

/// Messages that are remembered: more than a router that reads slowly is behind.
const REMEMBERED: usize = 64;

impl Bans {
    pub fn new(routers: usize) -> Bans {
        Bans {
            numbers: HashMap::new(),
            addresses: Vec::new(),
            reports: HashMap::new(),
            read: VecDeque::new(),
            routers,
            lately: Times::new(),
            to_each: Times::new(),
            to_all: Times::new(),
        }
    }

    /// The number of an address.
    pub fn number(&mut self, address: IpAddr) -> u32 {
        let next = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(address).or_insert_with(|| {
            self.addresses.push(address);
            next
        })
    }

    /// The address with this number.
    pub fn address(&self, number: u32) -> Option<IpAddr> {
        self.addresses.get(number as usize).copied()
    }

    /// Reads a message, or finds it among those that were read.
    pub fn batch(&mut self, body: &[u8]) -> Result<Rc<Batch>> {
        if let Some(batch) = self.read.iter().rev().find(|batch| batch.body == body) {
            return Ok(Rc::clone(batch));
        }
        let told = wire::told(body)?;
        let end =
            |seconds: Option<u64>| seconds.map_or(0, |seconds| u32::try_from(told.time + seconds).unwrap_or(u32::MAX));
        let changes = told.changes.iter().map(|(address, seconds)| (self.number(*address), end(*seconds))).collect();
        let batch = Rc::new(Batch { body: body.to_vec(), from: told.from, to: told.to, changes });
        if self.read.len() >= REMEMBERED {
            self.read.pop_front();
        }
        self.read.push_back(Rc::clone(&batch));
        Ok(batch)
    }

    /// An address is being reported by as many as it takes.
    pub fn reported(&mut self, address: IpAddr) {
        let number = self.number(address);
        self.reports.insert(number, Report { sent: Instant::now(), reached: 0 });
    }

    /// A router has banned it that had not.
    pub fn arrived(&mut self, number: u32, now: Instant) {
        let Some(report) = self.reports.get_mut(&number) else { return };
        report.reached += 1;
        let took = now.saturating_duration_since(report.sent);
        self.lately.add(took);
        self.to_each.add(took);
        if report.reached == self.routers {
            self.to_all.add(took);
        }
    }

    /// Addresses that were reported.
    pub fn all_reported(&self) -> impl Iterator<Item = IpAddr> {
        self.reports.keys().filter_map(|number| self.address(*number))
    }
}
