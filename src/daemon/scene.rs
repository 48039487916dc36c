//! Who a lone packet's sender is to us, before it bans: somebody that a host here talks with or talked to,
//! a visitor of a port that is served, or a stranger. A packet's sender may be forged; the kernel's
//! connections are not.
//!
//! Looks through the connection table when a packet would ban, and every two minutes, so that what the table
//! forgets is remembered for a while. Looks take a twentieth of the time at most. `offences` is its only user.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use crate::feed::offence::Sender;
use crate::feed::scan::Touch;
use crate::feed::scan::packet::{TCP, UDP};
use crate::firewall::{Picture, Witness};
use crate::limiter;

/// How often the table is looked at without a cause: flows that last are met, however busy the table.
const INTERVAL: Duration = Duration::from_secs(120);

/// So long a called UDP port, and a served port, are remembered after they were met last.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Most of each that are remembered.
const MOST: usize = 2048;

/// A look is fresh for a burst of packets; an older one is used only while no other may be taken.
const FRESH: Duration = Duration::from_millis(20);
const STALE: Duration = Duration::from_millis(500);

/// So many times its length must pass after a look, once `SAVED` is used up.
const REST: u32 = 20;
const SAVED: Duration = Duration::from_secs(6);

/// See the module's head.
pub struct Scene {
    witness: Witness,
    picture: Option<(Picture, Instant)>,
    /// Why there is none, said once.
    trouble: Option<String>,
    /// When another look may be taken; up to [`SAVED`] in the past.
    free: Instant,
    talked: HashMap<SocketAddr, Instant>,
    served: HashMap<(u8, u16), Instant>,
    /// When somebody changed the firewall's rules.
    changed: Option<Instant>,
    due: Option<Instant>,
}

impl Scene {
    /// Nothing is looked at before [`Scene::watch`].
    pub fn new() -> Scene {
        Scene {
            witness: Witness::new(),
            picture: None,
            trouble: None,
            free: saved(Instant::now()),
            talked: HashMap::new(),
            served: HashMap::new(),
            changed: None,
            due: None,
        }
    }

    /// The firewall's rules have changed: what miniupnpd opened may be closed again, or until it comes again.
    pub fn note_rules(&mut self) {
        self.changed = Some(Instant::now());
    }

    /// Begins, goes on or stops to look.
    pub fn watch(&mut self, on: bool) {
        self.due = on.then(|| self.due.unwrap_or_else(|| Instant::now() + INTERVAL));
    }

    /// When [`Scene::on_time`] is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes the look that is due, if it is.
    pub fn on_time(&mut self, inside: &dyn Fn(IpAddr) -> bool) {
        let now = Instant::now();
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = Some(now + INTERVAL);
        self.look(now, inside);
        self.talked.retain(|_, met| now < *met + REMEMBERED);
        self.served.retain(|_, met| now < *met + REMEMBERED);
    }

    /// Whether somebody here called the sender's very port lately: a late answer.
    pub fn was_called(&self, touch: &Touch) -> bool {
        let peer = SocketAddr::new(touch.source.to_canonical(), touch.from_port);
        touch.protocol == UDP && self.talked.get(&peer).is_some_and(|met| Instant::now() < *met + REMEMBERED)
    }

    /// What the sender is. `bare`: no firewall stands before us, so that a port is served whose socket waits, and
    /// one that was served a moment ago is closed for its restart alone. Behind a firewall the port itself was
    /// refused by it, and only its sibling tells, unless rules have changed lately.
    pub fn sender(&mut self, touch: &Touch, bare: bool, inside: &dyn Fn(IpAddr) -> bool) -> Sender {
        let now = Instant::now();
        let age = |scene: &Scene| scene.picture.as_ref().map(|(_, taken)| now.saturating_duration_since(*taken));
        if age(self).is_none_or(|age| age > FRESH) && self.may_look(now) {
            self.look(now, inside);
        }
        if self.is_served(touch, bare, now) {
            return Sender::Served;
        }
        match &self.picture {
            Some((picture, _)) if age(self).is_some_and(|age| age <= STALE) => match picture.talks_with(touch.source) {
                true => Sender::Talking,
                false => Sender::Stranger,
            },
            // A kernel that cannot be asked cannot end a flow either.
            None if self.trouble.is_some() => Sender::Stranger,
            _ => Sender::Unknown,
        }
    }

    fn may_look(&mut self, now: Instant) -> bool {
        self.free = self.free.max(saved(now));
        self.free <= now
    }

    fn look(&mut self, now: Instant, inside: &dyn Fn(IpAddr) -> bool) {
        let taken = Instant::now();
        self.picture = None;
        match self.witness.look(inside) {
            Ok(picture) => {
                for peer in &picture.talked {
                    note(&mut self.talked, *peer, now);
                }
                for port in &picture.called {
                    note(&mut self.served, *port, now);
                }
                self.picture = Some((picture, taken));
                self.trouble = None;
            }
            Err(trouble) => {
                if self.trouble.is_none() {
                    limiter::info(("scan", "scene"), || {
                        format!("scan: hosts that somebody here talks with cannot be told from strangers: {trouble}")
                    });
                }
                self.trouble = Some(trouble);
            }
        }
        self.free += taken.elapsed() * REST;
    }

    fn is_served(&mut self, touch: &Touch, bare: bool, now: Instant) -> bool {
        let sibling = if touch.protocol == TCP { UDP } else { TCP };
        let lately = |met: &Instant| now < *met + REMEMBERED;
        let was_open = bare || self.changed.as_ref().is_some_and(lately);
        let protocols: &[u8] = if was_open { &[sibling, touch.protocol] } else { &[sibling] };
        if protocols.iter().any(|protocol| self.served.get(&(*protocol, touch.port)).is_some_and(lately)) {
            return true;
        }
        let waits = bare && self.witness.is_waited_at(sibling, &[touch.port]) == Some(true);
        if waits {
            note(&mut self.served, (sibling, touch.port), now);
        }
        waits
    }
}

/// The most that is saved for a burst of looks.
fn saved(now: Instant) -> Instant {
    now.checked_sub(SAVED).unwrap_or(now)
}

/// Remembers it, if there is room.
fn note<K: Eq + std::hash::Hash>(map: &mut HashMap<K, Instant>, key: K, now: Instant) {
    if map.len() >= MOST && !map.contains_key(&key) {
        map.retain(|_, met| now < *met + REMEMBERED);
        if map.len() >= MOST {
            return;
        }
    }
    map.insert(key, now);
}
