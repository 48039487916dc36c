//! Any line on the control socket. See `checks/control_request.rs`.
#![no_main]

#[path = "../checks/control_request.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
