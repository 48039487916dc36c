//! The way out: what this router saw itself, shared where the owner has asked for it.
//!
//! [`Publisher`] is what the daemon holds. It queues and never waits; the feed's client sends when it is
//! connected. The queue is bounded: while the server is away the newest stay. NATS confirms nothing, so
//! what is lost in a breaking connection is lost. Whatever came from a feed stays here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

use tokio::sync::Notify;

use super::protocol;
use super::wire::{self, Statistics, Subjects};
use crate::config;
use crate::feed::Source;

/// Most messages that wait for a connection.
const QUEUE: usize = 256;

/// Bans of whole networks whose published address is remembered.
const REMEMBERED: usize = 1024;

/// Something to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outgoing {
    Ban(IpAddr, Box<str>),
    Unban(IpAddr),
    Statistics(Statistics),
}

/// The daemon's end of the queue; clones share it.
#[derive(Clone, Debug)]
pub struct Publisher {
    share_bans: bool,
    send_statistics: bool,
    queue: Rc<RefCell<VecDeque<Outgoing>>>,
    filled: Rc<Notify>,
    /// Of bans that hold for a network: what stands for it here, and the address that was published.
    published: Rc<RefCell<VecDeque<(IpAddr, IpAddr)>>>,
}

impl Publisher {
    /// What the settings allow to be sent.
    pub(super) fn new(settings: &config::Nats) -> Publisher {
        Publisher {
            share_bans: settings.share_bans,
            send_statistics: settings.send_statistics,
            queue: Rc::default(),
            filled: Rc::default(),
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

    /// Messages that wait for a connection.
    pub fn queued(&self) -> usize {
        self.queue.borrow().len()
    }

    fn shares(&self, source: Source) -> bool {
        self.share_bans && source == Source::Scan
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

    /// Writes what is queued as operations, oldest first, and empties the queue. `unbanned` is told of
    /// every ban taken back: the login's lists may still hold it, and the server does not send us our own
    /// messages.
    pub(super) fn drain(&self, subjects: &Subjects, out: &mut Vec<u8>, unbanned: &mut dyn FnMut(IpAddr)) {
        for outgoing in self.queue.borrow_mut().drain(..) {
            let (subject, body) = match outgoing {
                Outgoing::Ban(address, tag) => (&subjects.block_add, wire::encode_ban(address, &tag)),
                Outgoing::Unban(address) => {
                    unbanned(address);
                    (&subjects.block_del, address.to_string())
                }
                Outgoing::Statistics(statistics) => (&subjects.statistics, statistics.encode()),
            };
            protocol::publish(out, subject, None, body.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(publisher: &Publisher) -> String {
        let mut out = Vec::new();
        publisher.drain(&Subjects::new("alice", "turris").unwrap(), &mut out, &mut |_| {});
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_what_the_router_saw_and_the_owner_shares_is_sent() {
        let address = "203.0.113.7".parse().unwrap();
        let silent = Publisher::new(&config::Nats::default());
        silent.ban(Source::Scan, address, address, "ssh");
        silent.unban(Source::Scan, address, address);
        silent.statistics(Statistics::default());
        assert_eq!(drained(&silent), "");

        let open = config::Nats { share_bans: true, send_statistics: true, ..config::Nats::default() };
        let sharing = Publisher::new(&open);
        for source in Source::ALL {
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
        let sharing = Publisher::new(&config::Nats { share_bans: true, ..config::Nats::default() });
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let (element, seen, other) = (address("2001:db8::"), address("2001:db8::5"), address("2001:db8::9"));
        sharing.ban(Source::Scan, seen, element, "scan");
        sharing.unban(Source::Scan, other, element);
        let sent = drained(&sharing);
        assert!(sent.ends_with("PUB diswall.blacklist.alice.del.turris 11\r\n2001:db8::5\r\n"), "{sent}");
        // Nothing is remembered any more, as after a restart.
        sharing.unban(Source::Scan, other, element);
        assert!(drained(&sharing).ends_with("\r\n2001:db8::9\r\n"));
        for n in 0..2 * REMEMBERED as u128 {
            sharing.ban(Source::Scan, seen, IpAddr::V6((n << 64).into()), "");
        }
        assert_eq!(sharing.published.borrow().len(), REMEMBERED);
    }

    #[test]
    fn the_newest_stay() {
        let sharing = Publisher::new(&config::Nats { share_bans: true, ..config::Nats::default() });
        for n in 0..300_u32 {
            sharing.ban(Source::Scan, IpAddr::V4(n.into()), IpAddr::V4(n.into()), "");
        }
        let sent = drained(&sharing);
        assert_eq!(sent.matches("PUB").count(), QUEUE);
        assert!(sent.contains("\r\n0.0.0.44\r\n") && !sent.contains("\r\n0.0.0.43\r\n"));
    }
}
