//! Bytes as the body of every message DisWall sends: nothing may panic, no ban may be endless, nobody
//! may allow every address, and what is sent on must read back as what was read.
//!
//! Run by the fuzz target of this name and, over the kept corpus, by `tests/corpus.rs`.

use diswall::feed::intake::Intake;
use diswall::feed::nats::wire::{self, MAX_SECONDS, TAG_MAX};
use diswall::model::Lifetime;

/// Panics where the reader of bodies breaks a promise.
pub fn check(data: &[u8]) {
    if let Ok(taken) = wire::block_list(data, &Intake::new(100, |_| true)) {
        let v4 = taken.list.v4.iter().map(|entry| entry.lifetime);
        let v6 = taken.list.v6.iter().map(|entry| entry.lifetime);
        v4.chain(v6).for_each(ends);
        assert_eq!(taken.refused > 0, taken.last_refusal.is_some());
    }
    if let Ok(taken) = wire::allow_list(data, 100) {
        for entry in &taken.list {
            assert!(entry.net.prefix_len() > 0, "{} allows everybody", entry.net);
            assert_eq!(entry.net, entry.net.trunc(), "host bits are set");
        }
    }
    if let Ok(net) = wire::allowed(data) {
        assert!(net.prefix_len() > 0 && net == net.trunc(), "{net}");
        assert_eq!(wire::allowed(net.to_string().as_bytes()), Ok(net));
    }
    if let Ok((address, lifetime)) = wire::announced_ban(data) {
        ends(lifetime);
        assert_eq!(address, address.to_canonical());
    }
    if let Ok((address, tag)) = wire::shared_ban(data) {
        let tag = tag.unwrap_or_default();
        assert!(tag.len() <= TAG_MAX);
        let sent = wire::encode_ban(address, tag);
        assert_eq!(wire::unban(sent.as_bytes()), Ok(address));
        if !tag.contains(|c: char| c == '|' || c.is_control()) {
            assert_eq!(wire::shared_ban(sent.as_bytes()).map(|(_, tag)| tag.unwrap_or_default()), Ok(tag));
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        assert_eq!(wire::token(&wire::host_part("alice", Some(text), "")), Ok(()), "{text:?}");
        if wire::token(text).is_ok() {
            assert!(!text.contains(['.', '*', '>', ' ', '\r', '\n']));
        }
    }
}

fn ends(lifetime: Lifetime) {
    assert!(matches!(lifetime, Lifetime::Seconds(1..=MAX_SECONDS)), "{lifetime:?}");
}
