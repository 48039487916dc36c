//! Any bytes as a pattern and a log. See `checks/log_line.rs`.
#![no_main]

#[path = "../checks/log_line.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
