//! Any bytes as the body of a message of DisWall's. See `checks/nats_body.rs`.
#![no_main]

#[path = "../checks/nats_body.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
