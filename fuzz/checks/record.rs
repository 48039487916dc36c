//! Bytes as the record on flash: nothing may panic, little memory is taken for little text, and what was read must
//! come back the same after it is written anew.
//!
//! The bytes are taken as they are, and as bodies of frames besides (each with its length in front), since a fuzzer
//! finds no checksum. Run by the fuzz target of this name and, over the kept corpus, by `tests/corpus.rs`.

use diswall::ledger::{Clocks, Ledger, Moment, read_record};

/// Now: the boot of number 7, a thousand seconds old.
const NOW: Clocks = Clocks { boot: 7, wall: 1_700_000_000, now: Moment(Moment::BOOT.0 + 1000) };

/// Panics where the reader of records breaks a promise.
pub fn check(data: &[u8]) {
    taken(data);
    let framed = framed(data);
    let first = taken(&framed);
    let written = first.record(NOW);
    assert_eq!(contents(&first), contents(&taken(&written)));
    // Whatever stands before and behind, and half a frame at the end, costs nothing of it.
    let torn = [&b"rubbish\xd1dw1"[..], &written, &framed[..framed.len() / 2]].concat();
    assert!(read_record(&torn, NOW).frames >= read_record(&written, NOW).frames);
}

fn taken(bytes: &[u8]) -> Ledger {
    let record = read_record(bytes, NOW);
    assert!(record.lost <= bytes.len());
    let mut ledger = Ledger::new(1000);
    ledger.recall(NOW.now, record, true);
    ledger
}

/// Every body with what makes it a whole frame: a body is as long as the byte before it says.
fn framed(mut data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((&length, rest)) = data.split_first() {
        let (body, rest) = rest.split_at(usize::from(length).min(rest.len()));
        data = rest;
        out.extend_from_slice(b"\xd1dw1");
        out.extend_from_slice(&(body.len() as u32).to_be_bytes());
        out.extend_from_slice(&checksum(body).to_be_bytes());
        out.extend_from_slice(body);
    }
    out
}

fn contents(ledger: &Ledger) -> Vec<String> {
    let mut all = Vec::new();
    ledger.for_each_ban(NOW.now, None, &mut |ban| {
        all.push(format!("{} {} {:?} {:?} {:?} {}", ban.source, ban.net, ban.start, ban.end, ban.reason, ban.by));
    });
    all.extend(ledger.allowances(NOW.now).map(|allowance| format!("{allowance:?}")));
    all.sort();
    all
}

/// CRC-32, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}
