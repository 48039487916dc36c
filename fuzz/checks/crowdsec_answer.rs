//! Bytes as an answer of CrowdSec's local API: nothing may panic, the pieces in which it came may make no difference,
//! and what is given out may never be too wide, too long or steer a terminal.
//!
//! Run by the fuzz target of this name and, over the kept corpus, by `tests/corpus.rs`.

use diswall::feed::crowdsec::decision;
use diswall::feed::crowdsec::http::Answer;
use diswall::feed::crowdsec::stream::{Change, MOST, Reader};

/// Panics where a reader breaks a promise. The first byte says whether it is HTTP or the answer's body, the second
/// how it is cut.
pub fn check(data: &[u8]) {
    let [form, size, text @ ..] = data else { return };
    let size = usize::from(*size).max(1);
    if form % 2 == 0 {
        let whole = http(text, text.len().max(1));
        assert_eq!(http(text, size), whole, "the pieces make a difference");
        return;
    }
    let whole = body(text, text.len().max(1));
    assert_eq!(body(text, size), whole, "the pieces make a difference");
    whole.0.iter().for_each(|(_, object)| judge(object));
}

type Heard = (Option<u16>, Vec<u8>, Result<(), &'static str>);

fn http(text: &[u8], size: usize) -> Heard {
    let (mut answer, mut body) = (Answer::default(), Vec::new());
    let result = text.chunks(size).try_for_each(|piece| answer.push(piece, &mut |bytes| body.extend_from_slice(bytes)));
    assert!(body.len() <= text.len());
    (answer.status, body, result.and_then(|()| answer.finish()))
}

type Read = (Vec<(Change, Vec<u8>)>, bool, u64);

fn body(text: &[u8], size: usize) -> Read {
    let (mut reader, mut found) = (Reader::default(), Vec::new());
    let pushed = text
        .chunks(size)
        .try_for_each(|piece| reader.push(piece, &mut |part, object| found.push((part, object.to_vec()))));
    (found, pushed.and_then(|()| reader.finish()).is_ok(), reader.long)
}

fn judge(object: &[u8]) {
    assert!(object.len() <= MOST);
    let Ok(decision) = decision::read(object) else { return };
    let widest = if decision.net.addr().is_ipv4() { 8 } else { 16 };
    assert!(decision.net.prefix_len() >= widest && decision.net == decision.net.trunc());
    assert!(decision.left.is_none_or(|left| left <= 3653 * 86_400));
    assert!(decision.scenario.len() <= 120 && !decision.scenario.contains(char::is_control));
}
