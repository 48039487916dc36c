//! Bytes as a packet from NFLOG: nothing may panic, what is read depends on nothing behind the ports, and
//! a packet that has a touch has its source.
//!
//! Run by the fuzz target of this name and, over the kept corpus, by `tests/corpus.rs`.

use diswall::feed::scan::packet::{self, TCP, UDP, Unread};

/// Panics where the parser breaks a promise.
pub fn check(data: &[u8]) {
    match packet::parse(data) {
        Ok(touch) => {
            assert!(touch.protocol == TCP || touch.protocol == UDP);
            assert_eq!(packet::source(data), Some(touch.source));
            let longer = [data, &[0xff; 64]].concat();
            assert_eq!(packet::parse(&longer), Ok(touch), "what follows the ports does not matter");
        }
        Err(Unread::Truncated) => {}
        Err(why) => {
            assert!(!why.to_string().contains('\n'), "an error is one line");
            let longer = [data, &[0xff; 64]].concat();
            assert_eq!(packet::parse(&longer), Err(why), "more of a wrong packet does not make it right");
        }
    }
}
