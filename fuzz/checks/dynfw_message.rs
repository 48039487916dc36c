//! Bytes as a DynFW message: nothing may panic, and what is accepted must be MessagePack to another
//! implementation too.
//!
//! Run by the fuzz target of this name and, over the kept corpus, by `tests/corpus.rs`.

use diswall::feed::dynfw::wire::{self, Published};
use serde::de::IgnoredAny;

/// Panics where the parser breaks a promise. The first byte chooses the topic or the number of frames.
pub fn check(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    let topic = match choice % 8 {
        0..=2 => wire::TOPIC_LIST,
        3..=4 => wire::TOPIC_DELTA,
        5 => wire::TOPIC_EVENT,
        _ => {
            // Frames as they come: NUL ends one.
            let frames: Vec<&[u8]> = rest.split(|&byte| byte == 0).collect();
            let _ = wire::parse(&frames).map_err(|error| error.to_string());
            return;
        }
    };
    match wire::parse(&[topic.as_bytes(), rest]) {
        Ok(message) => accepted(message, rest),
        Err(error) => assert!(!error.to_string().contains('\n'), "an error is one line"),
    }
}

fn accepted(message: Published<'_>, payload: &[u8]) {
    match message {
        Published::List(list) => {
            assert!(list.addresses.most_v4() <= payload.len() / 8, "more room than the frame can fill");
            let mut found = 0;
            for address in list.addresses {
                found += 1;
                let _ = address.map_err(|error| error.to_string());
            }
            assert!(found < payload.len(), "more addresses than bytes");
        }
        Published::Delta(delta) => _ = wire::parse_address(delta.ip).map_err(|error| error.to_string()),
        Published::Event(event) => _ = wire::parse_address(event.ip).map_err(|error| error.to_string()),
    }
    match rmp_serde::from_slice::<IgnoredAny>(payload) {
        // Its reader recurses and stops at a depth that ours has no need of.
        Ok(_) | Err(rmp_serde::decode::Error::DepthLimitExceeded) => {}
        Err(error) => panic!("accepted, but no MessagePack: {error}"),
    }
}
