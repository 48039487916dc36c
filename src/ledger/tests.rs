//! The ledger through its public face: tables of cases, and random histories against a naive model with
//! a simulated kernel.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::*;
use crate::feed::{Lifetime, Reason};

mod model;

fn net(text: &str) -> IpNet {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).unwrap()
}

fn at(seconds: u32) -> Moment {
    Moment(Moment::BOOT.0 + seconds)
}

fn ban(source: Source, what: &str, lifetime: Lifetime) -> Event {
    Event::Ban { source, net: net(what), lifetime, reason: Reason::Announced }
}

/// Applies and returns what came out.
fn changes(ledger: &mut Ledger, now: Moment, event: Event) -> (Applied, Vec<SetChange>) {
    let mut changes = Vec::new();
    let applied = ledger.apply(now, event, &mut |change| changes.push(change));
    (applied, changes)
}

#[test]
fn a_list_costs_its_difference() {
    let list = |from: u32, to: u32| List {
        v4: (from..to)
            .map(|n| Listed { address: Ipv4Addr::from_bits(0x0900_0000 + n), lifetime: Lifetime::Forever })
            .collect(),
        v6: Vec::new(),
    };
    let mut ledger = Ledger::new(262_144);
    let event = |from, to| Event::List { source: Source::Dynfw, list: list(from, to) };
    let (applied, out) = changes(&mut ledger, at(0), event(0, 20_000));
    assert_eq!((applied.added, out.len()), (20_000, 20_000));
    let (applied, out) = changes(&mut ledger, at(5), event(6, 20_006));
    assert_eq!((applied.added, applied.removed, applied.unchanged, out.len()), (6, 6, 19_994, 12));
    assert!(out.iter().take(6).all(|change| matches!(change, SetChange::Delete { .. })), "deletions make room");
    let (applied, out) = changes(&mut ledger, at(6), Event::Lapse { source: Source::Dynfw });
    assert_eq!((applied.removed, out.len(), ledger.counts(Source::Dynfw)), (20_000, 20_000, Counts::default()));
}
