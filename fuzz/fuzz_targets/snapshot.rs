//! Any bytes as a snapshot. See `checks/snapshot.rs`.
#![no_main]

#[path = "../checks/snapshot.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
