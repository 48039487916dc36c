//! Any bytes as what a NATS server says. See `checks/nats_stream.rs`.
#![no_main]

#[path = "../checks/nats_stream.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
