//! Bytes as a resolver's answer: nothing may panic, what is read is bounded, and what answers another question is
//! nothing.
//!
//! Run by the fuzz target of this name and, over the kept corpus, by `tests/corpus.rs`.

use std::net::IpAddr;

use diswall::resolver::wire::{ADDRESSES, Answer, Bad, Kind, answer, question};

/// Panics where the reader breaks a promise. The bytes stand behind the question's number; those with an even first
/// byte behind the whole head and the question too, so that more of them are answers.
pub fn check(data: &[u8]) {
    for kind in [Kind::A, Kind::Aaaa] {
        let asked = question(0x1234, "home.example.org", kind);
        let mut message = asked[..2].to_vec();
        if data.first().is_some_and(|byte| byte % 2 == 0) {
            message.extend([0x81, 0x80, 0, 1, 0, data[0], 0, 0, 0, 0]);
            message.extend(&asked[12..]);
            message.extend(&data[1..]);
        } else {
            message.extend(data);
        }
        let said = answer(&asked, kind, &message);
        if let Ok(Answer::Addresses(addresses, _)) = &said {
            assert!((1..=ADDRESSES).contains(&addresses.len()));
            assert!(addresses.is_sorted_by(|a, b| a < b));
            assert!(addresses.iter().all(|address| match address {
                IpAddr::V4(_) => kind == Kind::A,
                IpAddr::V6(address) => kind == Kind::Aaaa && address.to_ipv4_mapped().is_none(),
            }));
        }
        // The same to another question.
        message[0] ^= 1;
        assert_eq!(answer(&asked, kind, &message), Err(Bad::Foreign));
    }
}
