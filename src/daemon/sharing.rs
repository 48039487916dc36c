//! What leaves this router for DisWall, where the owner has asked for it: bans for what the router itself saw, and
//! the hour's numbers.
//!
//! The publisher is the feed's; it does nothing that the settings do not want.

use std::net::IpAddr;

use super::{Daemon, clock};
use crate::control::protocol::Sharing;
use crate::model::{Reason, Source};

impl Daemon {
    /// Shares a ban of the router's own.
    pub(super) fn share(&self, address: IpAddr, tag: &str) {
        if let Some(publisher) = self.feeds.publisher() {
            publisher.ban(Source::SCAN, address, self.ledger.element(Source::SCAN, address), tag);
        }
    }

    /// Shares the past hour, when it is over.
    pub(super) fn share_statistics(&mut self) {
        let counters = self.kernel.counters();
        if let Some(statistics) = self.hourly.on_time(&mut self.tally, &counters, clock::wall())
            && let Some(publisher) = self.feeds.publisher()
        {
            publisher.statistics(statistics);
        }
    }

    /// What there is to share.
    pub(super) fn sharing(&self) -> Sharing {
        let Some(publisher) = self.feeds.publisher() else { return Sharing::default() };
        let (bans, statistics) = publisher.sends();
        Sharing { bans, statistics, account: Some(publisher.account().into()), queued: publisher.queued() as u64 }
    }
}

/// What DisWall is told of a ban: the service whose log-ins failed, or `scan`.
pub(super) fn tag(reason: &Reason) -> Box<str> {
    match reason {
        Reason::Login(service) => service.clone(),
        _ => "scan".into(),
    }
}
