//! A line on the control socket: nothing may panic, a refusal is a sentence, and what was understood
//! must be understood the same when it is said again in our own words.
//!
//! Run by the fuzz target of this name and, over the kept corpus, by `tests/corpus.rs`.

use diswall::control::server;

/// Panics where the reader of requests breaks a promise.
pub fn check(data: &[u8]) {
    match server::parse(data) {
        Ok(request) => {
            let line = request.to_line();
            let again = server::parse(line.as_bytes()).expect("our own words");
            assert_eq!(request, again, "{line}");
        }
        Err(refusal) => assert!(!refusal.message.is_empty()),
    }
}
