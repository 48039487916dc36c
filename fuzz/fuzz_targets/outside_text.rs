//! Any bytes. See `checks/outside_text.rs`.
#![no_main]

#[path = "../checks/outside_text.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
