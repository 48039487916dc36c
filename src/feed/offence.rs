//! What the feeds of the router's own post, and what they ask before they hold anything against anybody.
//!
//! They count what they see, and know neither the ledger nor the kernel's connections: the daemon answers for both
//! ([`Facts`]) and takes what is posted ([`Post`]) further, by its `offences`. Pure.

use std::net::IpAddr;

use super::login::Place;
use super::scan::Touch;
use crate::ledger::Moment;
use crate::model::Reason;

/// Somebody did what is to be banned for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offence {
    /// Who.
    pub address: IpAddr,
    /// What for.
    pub reason: Reason,
    /// When.
    pub at: Moment,
}

/// What a feed of the router's own posts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Post {
    /// To be banned, for as long as that has earned.
    Offence(Offence),
    /// No offence yet; for whoever watches.
    Sighting(Offence),
    /// Nothing is held against this sender of a packet; rules that ban by themselves did not know.
    Cleared(IpAddr),
    /// The next packet of this sender must be seen before anything is held against it.
    Awaited(IpAddr),
}

/// What the ledger says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// It is banned already: what is seen of it was on its way before.
    Banned,
    /// It is allowed, protected or never banned.
    Exempt,
}

/// Who the sender of a packet is to the hosts here, as far as the kernel's connections tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Nobody here knows it.
    Stranger,
    /// The port, or its sibling of the other protocol, is served.
    Served,
    /// Somebody here talks with it.
    Talking,
    /// Too many are asked for to tell.
    Unknown,
}

/// Answers about an address.
pub trait Facts {
    /// What the ledger says of it.
    fn known(&self, address: IpAddr) -> Known;

    /// What stands for it in what is counted: itself, or the network that one customer has.
    fn element(&self, address: IpAddr) -> IpAddr;

    /// Whether somebody here called the sender's very port lately: a late answer.
    fn was_called(&self, touch: &Touch) -> bool;

    /// Who the sender is. `bare`: no firewall stands before us, see [`super::scan::Scans::touched`]. Costs a look at
    /// the connection table now and then.
    fn sender(&mut self, touch: &Touch, bare: bool) -> Sender;

    /// Whether somebody whom a log accuses was there, from this port of his where the line tells.
    fn was_there(&mut self, address: IpAddr, port: Option<u16>, place: &mut Place) -> bool;
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Answers the same about everybody: what is known, whether somebody was called or was there, and who a sender is.
    pub struct All(pub Known, pub bool, pub Sender);

    impl Facts for All {
        fn known(&self, _: IpAddr) -> Known {
            self.0
        }

        fn element(&self, address: IpAddr) -> IpAddr {
            address
        }

        fn was_called(&self, _: &Touch) -> bool {
            self.1
        }

        fn sender(&mut self, _: &Touch, _: bool) -> Sender {
            self.2
        }

        fn was_there(&mut self, _: IpAddr, _: Option<u16>, _: &mut Place) -> bool {
            self.1
        }
    }
}
