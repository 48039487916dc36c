//! Bytes as a list: nothing may panic, the answer may not depend on the pieces in which it came, and what is given
//! out may never be what no feed bans.
//!
//! Run by the fuzz target of this name and, over the kept corpus, by `tests/corpus.rs`.

use std::net::IpAddr;

use diswall::feed::lists::{Format, Item, Reader, Summary, Verdict};
use diswall::model::{Range, TAG_MAX};
use diswall::options::value;

const FORMATS: [&str; 12] = [
    "auto",
    "plain",
    "csv",
    "csv:2:;",
    "csv:3:tab",
    "spamhaus",
    "dshield",
    "ranges",
    "rir",
    "rir:CZ",
    "suricata",
    "names",
];

/// Text that is read at most.
const MOST: u64 = 1 << 16;

/// Panics where the reader breaks a promise. The first byte chooses the format, the second how it is cut.
pub fn check(data: &[u8]) {
    let [form, size, file @ ..] = data else { return };
    let format: Format = FORMATS[usize::from(*form) % FORMATS.len()].parse().expect("a format");
    let whole = read(format, file, file.len().max(1));
    assert_eq!(read(format, file, usize::from(*size).max(1)), whole, "the pieces make a difference");
    let (summary, ranges, names) = whole;
    assert_eq!(summary.entries(), (ranges.len() + names.len()) as u64);
    assert!(names.iter().all(|name| value::host(name).as_deref() == Some(name) && !name.ends_with('.')), "{names:?}");
    assert!(summary.bytes <= MOST);
    assert!(summary.shown.len() <= 10 && summary.shown.len() as u64 <= summary.refused());
    assert!(summary.shown.iter().all(|line| line.text.len() <= 60 && line.line <= summary.lines));
    assert!(!summary.verdict.to_string().contains('\n'));
    assert!(summary.verdict != Verdict::Usable || summary.entries() > 0);
    ranges.iter().for_each(judge);
}

fn read(format: Format, file: &[u8], size: usize) -> (Summary, Vec<Range>, Vec<String>) {
    let mut reader = Reader::new(format).at_most(MOST);
    let (mut ranges, mut names) = (Vec::new(), Vec::new());
    for piece in file.chunks(size) {
        reader.push(piece, &mut |item| take(&mut ranges, &mut names, &item));
    }
    let summary = reader.finish(&mut |item| take(&mut ranges, &mut names, &item));
    (summary, ranges, names)
}

fn take(ranges: &mut Vec<Range>, names: &mut Vec<String>, item: &Item<'_>) {
    match item {
        Item::Range(range, why) => {
            assert!(why.len() <= TAG_MAX && !why.chars().any(char::is_control), "{why:?}");
            ranges.push(*range);
        }
        Item::Name(name) => names.push((*name).to_owned()),
    }
}

fn judge(range: &Range) {
    match (range.first, range.last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            assert!(first <= last && last.to_bits() - first.to_bits() < 1 << 24, "{range:?}");
            for end in [first, last] {
                assert!(!end.is_private() && !end.is_loopback() && !end.is_multicast() && !end.is_link_local());
                assert!(!end.is_broadcast() && end.octets()[0] != 0, "{range:?}");
            }
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            assert!(first <= last && last.to_bits() - first.to_bits() < 1 << 112, "{range:?}");
            for end in [first, last] {
                assert!(!end.is_loopback() && !end.is_multicast() && !end.is_unspecified());
                assert!(!end.is_unicast_link_local() && !end.is_unique_local(), "{range:?}");
                assert!(end.to_ipv4_mapped().is_none(), "{range:?}");
            }
        }
        _ => panic!("two families: {range:?}"),
    }
}
