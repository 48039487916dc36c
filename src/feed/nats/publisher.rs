//! The way out: what this router saw itself, shared where the owner has asked for it.
//!
//! [`Publisher`] is what the daemon holds. It queues and never waits; the feed's client sends when it is
//! connected. The queue is bounded: while the server is away the newest stay. Behind each message goes a
//! PING: what the server refuses before its PONG comes back into the queue and is tried again, at growing
//! intervals; what is on its way in a breaking connection is lost. Whatever came from a feed stays here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::Notify;

use super::protocol;
use super::settings::Settings;
use super::subscriptions::PAUSES;
use super::wire::{self, Statistics, Subjects};
use crate::feed::backoff::Backoff;
use crate::model::Source;
use crate::uptime;

/// Most messages that wait for a connection.
const QUEUE: usize = 256;

/// Bans of whole networks whose published address is remembered.
const REMEMBERED: usize = 1024;

/// What may be refused, each by itself: bans, bans taken back, statistics.
const KINDS: usize = 3;

/// Something to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outgoing {
    Ban(IpAddr, Box<str>),
    Unban(IpAddr),
    Statistics(Statistics),
}

impl Outgoing {
    const fn kind(&self) -> usize {
        match self {
            Outgoing::Ban(..) => 0,
            Outgoing::Unban(_) => 1,
            Outgoing::Statistics(_) => 2,
        }
    }

    fn subject<'a>(&self, subjects: &'a Subjects) -> &'a str {
        match self {
            Outgoing::Ban(..) => &subjects.block_add,
            Outgoing::Unban(_) => &subjects.block_del,
            Outgoing::Statistics(_) => &subjects.statistics,
        }
    }
}

/// What the server lets this login not publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The subject.
    pub subject: String,
    /// `CLOCK_BOOTTIME` seconds since when.
    pub since: u64,
}

/// The sentence about subjects on which the server lets this login not publish.
pub fn refusal(subjects: &str) -> String {
    format!("the server refuses this login: publish {subjects} (denied)")
}

/// What was sent and what became of it.
#[derive(Debug)]
struct Flight {
    /// Sent, and no PONG came yet; whether the server refused it.
    sent: VecDeque<(Outgoing, bool)>,
    /// Refused: to be queued again when all of `sent` is answered, so that the order stays.
    back: VecDeque<Outgoing>,
    denied: [Option<Denied>; KINDS],
    backoff: Backoff,
    /// When one of the refused is tried again.
    again: Option<Instant>,
}

/// The daemon's end of the queue; clones share it.
#[derive(Clone, Debug)]
pub struct Publisher {
    account: Rc<str>,
    share_bans: bool,
    send_statistics: bool,
    queue: Rc<RefCell<VecDeque<Outgoing>>>,
    filled: Rc<Notify>,
    flight: Rc<RefCell<Flight>>,
    /// Of bans that hold for a network: what stands for it here, and the address that was published.
    published: Rc<RefCell<VecDeque<(IpAddr, IpAddr)>>>,
}

impl Publisher {
    /// What the settings allow to be sent.
    pub(super) fn new(settings: &Settings) -> Publisher {
        Publisher {
            account: settings.client_name.as_str().into(),
            share_bans: settings.share_bans,
            send_statistics: settings.send_statistics,
            queue: Rc::default(),
            filled: Rc::default(),
            flight: Rc::new(RefCell::new(Flight {
                sent: VecDeque::new(),
                back: VecDeque::new(),
                denied: [const { None }; KINDS],
                backoff: Backoff::new(PAUSES.0, PAUSES.1),
                again: None,
            })),
            published: Rc::default(),
        }
    }

    /// Shares a ban with a tag such as `ssh` or an empty one, if `share_bans` is on and the router saw
    /// the offence itself: the owner's own blocks and what feeds announced are never sent. `element` is what
    /// stands for the address in the source's set.
    pub fn ban(&self, source: Source, address: IpAddr, element: IpAddr, tag: &str) {
        if self.shares(source) {
            self.take_published(element);
            if element != address {
                let mut published = self.published.borrow_mut();
                if published.len() == REMEMBERED {
                    published.pop_front();
                }
                published.push_back((element, address));
            }
            self.push(Outgoing::Ban(address, tag.into()));
        }
    }

    /// Takes a shared ban back, under the same conditions: of the address that was published for the element,
    /// whichever of its addresses is now freed.
    pub fn unban(&self, source: Source, address: IpAddr, element: IpAddr) {
        if self.shares(source) {
            self.push(Outgoing::Unban(self.take_published(element).unwrap_or(address)));
        }
    }

    fn take_published(&self, element: IpAddr) -> Option<IpAddr> {
        let mut published = self.published.borrow_mut();
        let at = published.iter().position(|(banned, _)| *banned == element)?;
        published.remove(at).map(|(_, address)| address)
    }

    /// Sends the past hour's statistics, if `send_statistics` is on.
    pub fn statistics(&self, statistics: Statistics) {
        if self.send_statistics {
            self.push(Outgoing::Statistics(statistics));
        }
    }

    /// Messages that wait for a connection, or for the server to take them.
    pub fn queued(&self) -> usize {
        self.queue.borrow().len() + self.flight.borrow().back.len()
    }

    /// Whether something is to be shared at all.
    pub fn is_open(&self) -> bool {
        self.share_bans || self.send_statistics
    }

    /// Whether bans, and whether statistics are sent.
    pub fn sends(&self) -> (bool, bool) {
        (self.share_bans, self.send_statistics)
    }

    /// The login that it is sent by.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The subjects that the server refuses at the moment.
    pub fn denied(&self) -> Vec<Denied> {
        self.flight.borrow().denied.iter().flatten().cloned().collect()
    }

    fn shares(&self, source: Source) -> bool {
        self.share_bans && source.is_own()
    }

    fn push(&self, outgoing: Outgoing) {
        let mut queue = self.queue.borrow_mut();
        if queue.len() == QUEUE {
            queue.pop_front();
        }
        queue.push_back(outgoing);
        self.filled.notify_one();
    }

    /// Waits until something has been queued since the last call.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// A new connection: nothing of the old one will be answered, and all may be tried again.
    pub(super) fn connected(&self, now: Instant) {
        let mut flight = self.flight.borrow_mut();
        flight.sent.clear();
        self.requeue(&mut flight);
        drop(flight);
        self.retry(now);
    }

    /// Tries what was refused again at once.
    pub(super) fn retry(&self, now: Instant) {
        let mut flight = self.flight.borrow_mut();
        if flight.again.is_some() {
            flight.again = Some(now);
            self.filled.notify_one();
        }
    }

    /// When [`Publisher::drain`] is due though nothing was queued.
    pub(super) fn timer(&self) -> Option<Instant> {
        self.flight.borrow().again
    }

    /// The server refuses the oldest message that is on its way; its subject if that is news.
    pub(super) fn refused(&self, subjects: &Subjects, now: Instant) -> Option<String> {
        let mut flight = self.flight.borrow_mut();
        let (outgoing, refused) = flight.sent.front_mut()?;
        *refused = true;
        let (kind, subject) = (outgoing.kind(), outgoing.subject(subjects));
        if flight.again.is_none() {
            flight.again = Some(now + flight.backoff.delay());
        }
        let denied = flight.denied.get_mut(kind).filter(|denied| denied.is_none())?;
        *denied = Some(Denied { subject: subject.to_owned(), since: uptime::seconds() });
        Some(subject.to_owned())
    }

    /// The oldest message that is on its way was worked off. True if with it nothing is refused any more.
    pub(super) fn answered(&self) -> bool {
        let mut flight = self.flight.borrow_mut();
        let Some((outgoing, refused)) = flight.sent.pop_front() else { return false };
        let mut settled = false;
        if refused {
            flight.back.push_back(outgoing);
        } else if let Some(denied) = flight.denied.get_mut(outgoing.kind())
            && denied.take().is_some()
        {
            settled = flight.denied.iter().all(Option::is_none);
            if settled {
                flight.again = None;
                flight.backoff.reset();
            }
            self.filled.notify_one();
        }
        if flight.sent.is_empty() {
            self.requeue(&mut flight);
        }
        settled
    }

    /// Puts back what was refused, in front of what has been queued since.
    fn requeue(&self, flight: &mut Flight) {
        let mut queue = self.queue.borrow_mut();
        for outgoing in flight.back.drain(..).rev() {
            if queue.len() < QUEUE {
                queue.push_front(outgoing);
            }
        }
    }

    /// Writes what is queued as operations, oldest first, each with a word by `sent` behind it, and takes it
    /// out of the queue. Of a kind that is refused one is tried when its time has come. `unbanned` is told of
    /// every ban taken back: the login's lists may still hold it, and the server does not send us our own
    /// messages.
    pub(super) fn drain(
        &self,
        subjects: &Subjects,
        now: Instant,
        out: &mut Vec<u8>,
        sent: &mut dyn FnMut(&mut Vec<u8>),
        unbanned: &mut dyn FnMut(IpAddr),
    ) {
        let mut flight = self.flight.borrow_mut();
        let due = flight.again.is_some_and(|again| again <= now);
        if due {
            flight.again = Some(now + flight.backoff.delay());
        }
        let mut tried = [false; KINDS];
        let mut kept = VecDeque::new();
        for outgoing in self.queue.borrow_mut().drain(..) {
            let kind = outgoing.kind();
            let denied = flight.denied.get(kind).is_some_and(Option::is_some);
            let first = tried.get_mut(kind).is_some_and(|tried| !std::mem::replace(tried, true));
            if (denied && !(due && first)) || flight.sent.len() >= QUEUE {
                kept.push_back(outgoing);
                continue;
            }
            let body = match &outgoing {
                Outgoing::Ban(address, tag) => wire::encode_ban(*address, tag),
                Outgoing::Unban(address) => {
                    unbanned(*address);
                    address.to_string()
                }
                Outgoing::Statistics(statistics) => statistics.encode(),
            };
            protocol::publish(out, outgoing.subject(subjects), None, body.as_bytes());
            sent(out);
            flight.sent.push_back((outgoing, false));
        }
        *self.queue.borrow_mut() = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects() -> Subjects {
        Subjects::new("alice", "turris").unwrap()
    }

    fn drained(publisher: &Publisher) -> String {
        let mut out = Vec::new();
        publisher.drain(&subjects(), Instant::now(), &mut out, &mut |_| {}, &mut |_| {});
        let sent = publisher.flight.borrow().sent.len();
        for _ in 0..sent {
            publisher.answered();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_what_the_router_saw_and_the_owner_shares_is_sent() {
        let address = "203.0.113.7".parse().unwrap();
        let silent = Publisher::new(&Settings::default());
        silent.ban(Source::SCAN, address, address, "ssh");
        silent.unban(Source::SCAN, address, address);
        silent.statistics(Statistics::default());
        assert_eq!(drained(&silent), "");

        let open = Settings { share_bans: true, send_statistics: true, ..Settings::default() };
        let sharing = Publisher::new(&open);
        for source in Source::BUILT_IN {
            sharing.ban(source, address, address, source.name());
            sharing.unban(source, address, address);
        }
        sharing.statistics(Statistics { time: 3600, ..Statistics::default() });
        let sent = drained(&sharing);
        let lines: Vec<&str> = sent.split("\r\n").collect();
        assert_eq!(
            lines[..4],
            [
                "PUB diswall.blacklist.alice.add.turris 16",
                "203.0.113.7|scan",
                "PUB diswall.blacklist.alice.del.turris 11",
                "203.0.113.7",
            ]
        );
        assert!(lines[4].starts_with("PUB diswall.stats.alice.add.turris ") && lines[5].starts_with("{\"time\":3600,"));
        assert_eq!(lines.len(), 7);
        assert_eq!(drained(&sharing), "");
    }

    #[test]
    fn a_network_is_freed_by_the_address_that_was_published() {
        let sharing = Publisher::new(&Settings { share_bans: true, ..Settings::default() });
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let (element, seen, other) = (address("2001:db8::"), address("2001:db8::5"), address("2001:db8::9"));
        sharing.ban(Source::SCAN, seen, element, "scan");
        sharing.unban(Source::SCAN, other, element);
        let sent = drained(&sharing);
        assert!(sent.ends_with("PUB diswall.blacklist.alice.del.turris 11\r\n2001:db8::5\r\n"), "{sent}");
        // Nothing is remembered any more, as after a restart.
        sharing.unban(Source::SCAN, other, element);
        assert!(drained(&sharing).ends_with("\r\n2001:db8::9\r\n"));
        for n in 0..2 * REMEMBERED as u128 {
            sharing.ban(Source::SCAN, seen, IpAddr::V6((n << 64).into()), "");
        }
        assert_eq!(sharing.published.borrow().len(), REMEMBERED);
    }

    #[test]
    fn the_newest_stay() {
        let sharing = Publisher::new(&Settings { share_bans: true, ..Settings::default() });
        for n in 0..300_u32 {
            sharing.ban(Source::SCAN, IpAddr::V4(n.into()), IpAddr::V4(n.into()), "");
        }
        let sent = drained(&sharing);
        assert_eq!(sent.matches("PUB").count(), QUEUE);
        assert!(sent.contains("\r\n0.0.0.44\r\n") && !sent.contains("\r\n0.0.0.43\r\n"));
    }

    #[test]
    fn what_is_refused_waits_and_goes_out_in_order() {
        let sharing = Publisher::new(&Settings { share_bans: true, ..Settings::default() });
        let mut now = Instant::now();
        let ban = |last: u8| {
            let address = IpAddr::from([203, 0, 113, last]);
            sharing.ban(Source::SCAN, address, address, "");
        };
        let drain = |now| {
            let mut out = Vec::new();
            sharing.drain(&subjects(), now, &mut out, &mut |_| {}, &mut |_| {});
            String::from_utf8(out)
                .unwrap()
                .split("\r\n")
                .filter(|line| line.starts_with("203"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let refuse = |now, count: usize| {
            for _ in 0..count {
                sharing.refused(&subjects(), now);
                sharing.answered();
            }
        };
        (1..4).for_each(ban);
        assert_eq!(drain(now), "203.0.113.1 203.0.113.2 203.0.113.3");
        refuse(now, 3);
        ban(4);
        assert_eq!((drain(now).as_str(), sharing.queued()), ("", 4), "it is not tried with every ban");
        assert_eq!(sharing.denied()[0].subject, "diswall.blacklist.alice.add.turris");
        for _ in 0..9 {
            now = sharing.timer().unwrap();
            assert_eq!(drain(now), "203.0.113.1", "one is enough to know");
            refuse(now, 1);
        }
        assert!(sharing.timer().unwrap() - now <= PAUSES.1);
        sharing.retry(now);
        assert_eq!(drain(now), "203.0.113.1");
        assert!(sharing.answered());
        assert_eq!((drain(now).as_str(), sharing.denied().len()), ("203.0.113.2 203.0.113.3 203.0.113.4", 0));
        for _ in 0..3 {
            assert!(!sharing.answered());
        }
        assert_eq!((sharing.queued(), sharing.timer()), (0, None));
    }
}
