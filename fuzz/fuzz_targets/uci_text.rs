//! Any bytes as `/etc/config/diswall`. See `checks/uci_text.rs`.
#![no_main]

#[path = "../checks/uci_text.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
