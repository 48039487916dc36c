//! Any bytes as an answer of CrowdSec's local API. See `checks/crowdsec_answer.rs`.
#![no_main]

#[path = "../checks/crowdsec_answer.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
