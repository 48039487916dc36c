//! Any bytes as a packet. See `checks/nflog_packet.rs`.
#![no_main]

#[path = "../checks/nflog_packet.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
