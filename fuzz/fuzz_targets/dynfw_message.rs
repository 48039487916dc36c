//! Any bytes as a DynFW message. See `checks/dynfw_message.rs`.
#![no_main]

#[path = "../checks/dynfw_message.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
