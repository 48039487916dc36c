//! Any bytes as a resolver's answer. See `checks/dns_answer.rs`.
#![no_main]

#[path = "../checks/dns_answer.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
