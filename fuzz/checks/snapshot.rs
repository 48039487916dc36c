//! Bytes as a snapshot: nothing may panic, and what was read must survive being written.
//!
//! The checksum is put behind the data here, because a fuzzer does not find one. Run by the fuzz target
//! of this name and, over the kept corpus, by `tests/corpus.rs`.

use diswall::ledger::{BanView, Ledger, Moment, Restored};
use diswall::model::{Desired, Range, SetId, Source};

const NOW: Moment = Moment(Moment::BOOT.0 + 1000);

/// Panics where the reader of snapshots breaks a promise.
pub fn check(data: &[u8]) {
    let _ = read(data);
    let bytes = [data, &checksum(data).to_be_bytes()].concat();
    let Ok(first) = read(&bytes) else { return };
    let mut written = Vec::new();
    first.ledger.save(NOW, 0, first.words, &first.totals, &mut written).expect("a vector takes everything");
    let second = read(&written).expect("what was written is a snapshot");
    assert_eq!(contents(&first), contents(&second));
    for set in SetId::of(&Source::BUILT_IN) {
        if set.is_interval() {
            let mut before: Option<Range> = None;
            first.ledger.desired(set, NOW).for_each(&mut |range, _| {
                assert!(range.first <= range.last);
                assert!(before.is_none_or(|before| before.last < range.first), "{before:?} {range:?}");
                before = Some(range);
            });
        }
    }
}

fn read(mut bytes: &[u8]) -> Result<Restored, impl std::fmt::Debug> {
    Ledger::restore(&mut bytes, NOW, None, 1000)
}

fn contents(restored: &Restored) -> Vec<String> {
    let mut all = Vec::new();
    restored.ledger.for_each_ban(NOW, None, &mut |ban| {
        let BanView { source, net, start, end, reason, by, force, .. } = ban;
        // The number of a name is the ledger's own affair: a name of a ban that was left out had one too.
        all.push(format!("{source} {net} {start:?} {end:?} {reason:?} {by} {force:?}"));
    });
    all.extend(restored.ledger.allowances(NOW).map(|allowance| format!("{allowance:?}")));
    all.extend(restored.totals.iter().map(|total| format!("{total:?}")));
    all.sort();
    all
}

/// CRC-32, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}
