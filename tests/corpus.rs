//! Runs every fuzz target's check over its kept corpus in `fuzz/corpus/`, so that what the fuzzer once
//! found stays found. Each corpus has at least one file.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[path = "../fuzz/checks/control_request.rs"]
mod control_request;
#[path = "../fuzz/checks/crowdsec_answer.rs"]
mod crowdsec_answer;
#[path = "../fuzz/checks/dns_answer.rs"]
mod dns_answer;
#[path = "../fuzz/checks/dynfw_message.rs"]
mod dynfw_message;
#[path = "../fuzz/checks/list.rs"]
mod list;
#[path = "../fuzz/checks/log_line.rs"]
mod log_line;
#[path = "../fuzz/checks/nats_body.rs"]
mod nats_body;
#[path = "../fuzz/checks/nats_stream.rs"]
mod nats_stream;
#[path = "../fuzz/checks/nflog_packet.rs"]
mod nflog_packet;
#[path = "../fuzz/checks/outside_text.rs"]
mod outside_text;
#[path = "../fuzz/checks/record.rs"]
mod record;
#[path = "../fuzz/checks/snapshot.rs"]
mod snapshot;
#[path = "../fuzz/checks/uci_text.rs"]
mod uci_text;

fn replay(target: &str, check: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(&directory).expect("the kept corpus") {
        let path = entry.expect("a corpus entry").path();
        let data = fs::read(&path).expect("a corpus file");
        assert!(catch_unwind(AssertUnwindSafe(|| check(&data))).is_ok(), "failed on {}", path.display());
        files += 1;
    }
    assert!(files > 0, "{} is empty", directory.display());
}

#[test]
fn control_request() {
    replay("control_request", control_request::check);
}

#[test]
fn crowdsec_answer() {
    replay("crowdsec_answer", crowdsec_answer::check);
}

#[test]
fn dynfw_message() {
    replay("dynfw_message", dynfw_message::check);
}

#[test]
fn list() {
    replay("list", list::check);
}

#[test]
fn log_line() {
    replay("log_line", log_line::check);
}

#[test]
fn uci_text() {
    replay("uci_text", uci_text::check);
}

#[test]
fn nats_body() {
    replay("nats_body", nats_body::check);
}

#[test]
fn nats_stream() {
    replay("nats_stream", nats_stream::check);
}

#[test]
fn snapshot() {
    replay("snapshot", snapshot::check);
}

#[test]
fn nflog_packet() {
    replay("nflog_packet", nflog_packet::check);
}

#[test]
fn outside_text() {
    replay("outside_text", outside_text::check);
}

#[test]
fn record() {
    replay("record", record::check);
}

#[test]
fn dns_answer() {
    replay("dns_answer", dns_answer::check);
}
