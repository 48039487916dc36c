//! Ends the connections of hosts that have just been banned.
//!
//! New bans are collected for a moment, because the kernel walks its whole connection table for each
//! look, and looks come further apart the longer they take. The kernel side tells what is new; this
//! decides nothing about bans.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Settings;
use crate::control::protocol::Part;
use crate::firewall::{Conntrack, Firewall, Kicked};
use crate::ledger::{Ledger, Moment, Outcome, Range, SetChange, SetId};

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

/// Seconds for which the rules drop what an inside host still sends on a severed UDP flow; every such
/// packet starts them anew.
const SEVERED: u32 = 600;

/// The connection table, and whose connections are to end.
pub struct Disconnect {
    conntrack: Option<Conntrack>,
    pending: Vec<Range>,
    everything: bool,
    due: Option<Instant>,
    pause: Duration,
    /// Why connections cannot be ended, as a sentence.
    pub trouble: Option<String>,
}

impl Disconnect {
    /// Nothing is opened before the first ban.
    pub fn new() -> Disconnect {
        Disconnect {
            conntrack: None,
            pending: Vec::new(),
            everything: false,
            due: None,
            pause: SHORTEST,
            trouble: None,
        }
    }

    /// Whether a banned host's connections end; `None` where the settings do not want it. `unruled`: the
    /// rules do not keep them ended.
    pub fn part(&self, settings: &Settings, unruled: bool) -> Option<Part> {
        let part = match &self.trouble {
            _ if !settings.main.disconnect => return None,
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
    pub fn probe(&mut self) {
        let nobody = [IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)];
        self.look(&|conntrack| conntrack.kick(&nobody), None);
    }

    /// Takes note of what a change bans.
    pub fn note(&mut self, change: &SetChange) {
        let (SetChange::Add { set, range, .. } | SetChange::Renew { set, range, .. }) = change else { return };
        if !matches!(set, SetId::Ban(_)) {
            return;
        }
        if self.pending.len() < REMEMBERED {
            self.pending.push(*range);
        } else {
            self.everything = true;
        }
        self.due.get_or_insert_with(|| Instant::now() + self.pause);
    }

    /// When [`Disconnect::end`] is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Ends the connections of what was noted.
    pub fn end(&mut self, ledger: &Ledger, now: Moment, firewall: Option<&mut Firewall>) -> Kicked {
        let mut ranges = std::mem::take(&mut self.pending);
        let everything = std::mem::take(&mut self.everything);
        self.due = None;
        merge(&mut ranges);
        let newly = |address: IpAddr| {
            // Ranges do not overlap: the last that begins at or before the address decides.
            let after = ranges.partition_point(|range| range.first <= address);
            after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| address <= range.last)
        };
        let blocked = |address: IpAddr| ledger.outcome(now, address) == Outcome::Blocked;
        let few = !everything && ranges.len() <= FEW && ranges.iter().all(|range| range.first == range.last);
        let begun = std::time::Instant::now();
        let kicked = if few {
            let hosts = ranges.iter().map(|range| range.first).filter(|host| blocked(*host));
            let hosts: Vec<IpAddr> = hosts.collect();
            self.look(&|conntrack| conntrack.kick(&hosts), firewall)
        } else {
            let whose = |address| (everything || newly(address)) && blocked(address);
            self.look(&|conntrack| conntrack.kick_matching(&whose), firewall)
        };
        let took = begun.elapsed();
        self.pause = (took * REST).clamp(SHORTEST, LONGEST).max(took * REST_IN_FLOODS);
        kicked
    }

    /// Ends every connection of addresses for which `whose` says yes, and keeps them from coming back.
    pub fn kick(&mut self, whose: &dyn Fn(IpAddr) -> bool, firewall: Option<&mut Firewall>) -> Kicked {
        self.look(&|conntrack| conntrack.kick_matching(whose), firewall)
    }

    fn look(&mut self, look: &Look<'_>, firewall: Option<&mut Firewall>) -> Kicked {
        let outcome = self.try_look(look, firewall);
        let trouble = outcome.as_ref().err().cloned();
        if let Some(text) = trouble.as_ref().filter(|_| trouble != self.trouble) {
            log::warn!("{text}");
        }
        self.trouble = trouble;
        outcome.unwrap_or_default()
    }

    fn try_look(&mut self, look: &Look<'_>, firewall: Option<&mut Firewall>) -> Result<Kicked, String> {
        let sentence = |error: crate::firewall::Error| format!("connections of banned hosts cannot be ended: {error}");
        if self.conntrack.is_none() {
            self.conntrack = Some(Conntrack::open().map_err(sentence)?);
        }
        let Some(conntrack) = &mut self.conntrack else { unreachable!("opened above") };
        let mut kicked = look(conntrack).map_err(sentence)?;
        if let Some(firewall) = firewall.filter(|_| !kicked.udp.is_empty()) {
            // Without the sets (an older rules text) the flow may come back; the ban itself holds.
            match firewall.cut(&kicked.udp, SEVERED) {
                Ok(()) => {
                    // A packet from the inside may have come between the two.
                    let again = look(conntrack).map_err(sentence)?;
                    kicked.flows += again.flows;
                    kicked.sockets += again.sockets;
                }
                Err(error) => log::debug!("severed UDP flows are not remembered: {error}"),
            }
        }
        Ok(kicked)
    }
}

/// A look through the connection table that ends what it is after.
type Look<'a> = dyn Fn(&mut Conntrack) -> Result<Kicked, crate::firewall::Error> + 'a;

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
