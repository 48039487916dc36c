//! Bytes as all that a NATS server says: nothing may panic, and how the network cuts the bytes may not
//! change what they mean. The first byte chooses the cut; the rest goes through decoder and session.
//!
//! Run by the fuzz target of this name and, over the kept corpus, by `tests/corpus.rs`.

use std::rc::Rc;
use std::time::{Duration, Instant};

use diswall::feed::intake::Intake;
use diswall::feed::nats::protocol::{Decoder, Operation};
use diswall::feed::nats::session::{Output, Session};
use diswall::feed::nats::wire::Subjects;
use diswall::feed::{FeedState, Gauges, Update};
use diswall::model::{Event, Lifetime};

/// Panics where decoder or session break a promise.
pub fn check(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    for before in BEFORE {
        let stream = [before, stream].concat();
        judge(&stream, usize::from(*step).max(1));
    }
}

/// What a server says first, before it says the bytes: nothing, that no hub is there, that one is.
const BEFORE: [&[u8]; 3] = [
    b"",
    b"-ERR 'Permissions Violation for Publish to \"diswall.hub.hello\"'\r\n",
    b"MSG _INBOX.x.hub.1 8 37\r\ndiswall-hub 1\nseq 5\ntime 1795834000\n\n\r\n",
];

fn judge(stream: &[u8], step: usize) {
    let updates = converse(stream, step);
    assert_eq!(updates, converse(stream, stream.len().max(1)), "the cut matters");
    for update in &updates {
        if let Update::Event(Event::Ban { lifetime, net, .. }) = update {
            assert_ne!(*lifetime, Lifetime::Forever);
            assert_eq!(net.prefix_len(), net.max_prefix_len());
        }
    }
}

/// All that a session posts while a server says these bytes, given out in pieces of `step`.
fn converse(stream: &[u8], step: usize) -> Vec<Update> {
    let subjects = Rc::new(Subjects::new("alice", "turris").expect("tokens"));
    let gauges = Rc::new(Gauges::default());
    let mut session =
        Session::new(subjects, Rc::clone(&gauges), Intake::new(100, |_| true), false, "_INBOX.x".into(), 0);
    let (mut decoder, mut out, mut now) = (Decoder::default(), Output::default(), Instant::now());
    session.open(now, &mut out);
    for piece in stream.chunks(step) {
        decoder.buffer().extend_from_slice(piece);
        loop {
            match decoder.operation() {
                Ok(None) => break,
                Ok(Some(Operation::Message(message))) => session.message(&message, now, &mut out),
                Ok(Some(Operation::Err(text))) => {
                    session.server_error(text, now, &mut out);
                }
                Ok(Some(Operation::Pong)) => {
                    session.pong(now, &mut out);
                    // Longer than any pause goes by whenever the server says PONG, so that chance decides nothing.
                    now += Duration::from_secs(150);
                    session.tick(now, &mut out);
                }
                Ok(Some(_)) => {}
                Err(_) => return settled(out),
            }
        }
    }
    settled(out)
}

/// Pauses are random: what is said of them is left out of the comparison.
fn settled(out: Output) -> Vec<Update> {
    assert!(out.bytes.ends_with(b"\r\n"));
    let fixed = |update: &Update| match update {
        Update::Notice { text: Some(text), .. } => !text.contains("asking again"),
        Update::State(state) => !matches!(state, FeedState::Partial { .. }),
        _ => true,
    };
    out.updates.into_iter().filter(fixed).collect()
}
