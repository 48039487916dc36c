//! Compares what is in force by three witnesses: the kernel's sets as nft lists them, the ledger as the control socket
//! tells it, and the soak's own truth.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use super::truth::{Book, Expected};

/// How many differences of one kind are named.
const NAMED: usize = 8;

/// A set as nft lists it: element and seconds that are left.
pub type Listing = BTreeMap<String, Option<u64>>;

/// The elements of a set that nft lists.
pub fn elements(told: &Value) -> Listing {
    let objects = told["nftables"].as_array().map_or(&[][..], Vec::as_slice);
    let elements = objects.iter().find_map(|object| object["set"]["elem"].as_array());
    let mut listing = Listing::new();
    for element in elements.map_or(&[][..], Vec::as_slice) {
        let inner = element.get("elem");
        let (name, left) =
            (inner.map_or(element, |inner| &inner["val"]), inner.and_then(|inner| inner["expires"].as_u64()));
        listing.insert(named(name), left);
    }
    listing
}

/// An element as people write it.
fn named(value: &Value) -> String {
    if let Some(address) = value.as_str() {
        return address.to_owned();
    }
    let prefix = &value["prefix"];
    match (prefix["addr"].as_str(), prefix["len"].as_u64()) {
        (Some(address), Some(length)) => format!("{address}/{length}"),
        _ => value.to_string(),
    }
}

/// What differs between a book and what a witness has read between two moments; nothing: they agree.
pub fn differences(
    who: &str,
    book: &Book,
    listing: &Listing,
    times: bool,
    before: Instant,
    after: Instant,
) -> Vec<String> {
    let Expected { must, may } = book.expected(before, after);
    let mut found = Vec::new();
    let mut tell = |what: &str, names: Vec<String>| {
        if !names.is_empty() {
            let shown = names[..names.len().min(NAMED)].join(", ");
            found.push(format!("{who}: {} {what}: {shown}", names.len()));
        }
    };
    tell("missing", must.iter().filter(|name| !listing.contains_key(*name)).cloned().collect());
    tell("that must not be there", listing.keys().filter(|name| !may.contains(*name)).cloned().collect());
    if times {
        let is_off =
            |(name, left): &(&String, &Option<u64>)| may.contains(*name) && !book.agrees(name, **left, before, after);
        let off = listing.iter().filter(is_off);
        tell("with another end", off.map(|(name, left)| format!("{name} ({left:?} s left)")).collect());
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::truth::{SLACK, Until};
    use super::*;

    #[test]
    fn every_kind_of_difference_is_named() {
        let now = Instant::now() + Duration::from_secs(1000);
        let mut book = Book::new(SLACK);
        book.enter("a".into(), Until::EVER);
        book.enter("b".into(), Until::after(now, now, Duration::from_secs(60)));
        let of = |pairs: &[(&str, Option<u64>)]| {
            let listing = pairs.iter().map(|(name, left)| ((*name).to_owned(), *left)).collect();
            differences("kernel", &book, &listing, true, now, now)
        };
        assert!(of(&[("a", None), ("b", Some(60))]).is_empty());
        assert_eq!(of(&[("b", Some(60))]), ["kernel: 1 missing: a"]);
        assert_eq!(of(&[("a", None), ("b", Some(60)), ("c", None)]), ["kernel: 1 that must not be there: c"]);
        assert_eq!(of(&[("a", None), ("b", Some(600))]), ["kernel: 1 with another end: b (Some(600) s left)"]);
    }

    #[test]
    fn elements_are_named_as_people_write_them() {
        assert_eq!(named(&json!("192.0.2.1")), "192.0.2.1");
        assert_eq!(named(&json!({"prefix": {"addr": "192.0.2.0", "len": 24}})), "192.0.2.0/24");
    }
}
