//! Any bytes as a list. See `checks/list.rs`.
#![no_main]

#[path = "../checks/list.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
