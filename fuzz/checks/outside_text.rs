//! Bytes as a text from outside: what is kept of it is short, obeys no terminal, and is kept again as it is.
//!
//! The first byte says how much may be kept. Run by the fuzz target of this name and, over the kept corpus, by
//! `tests/corpus.rs`.

use diswall::outside::{clean, is_plain};

/// Panics where the cleaning breaks a promise.
pub fn check(data: &[u8]) {
    let Some((&most, text)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    for most in [usize::from(most), text.len()] {
        let kept = clean(&text, most);
        assert!(kept.len() <= most, "{} of {most} bytes", kept.len());
        assert!(kept.chars().all(is_plain), "{kept:?}");
        assert_eq!(clean(&kept, most), kept);
    }
    // A text that needs nothing is not touched.
    if text.chars().all(is_plain) {
        assert_eq!(clean(&text, text.len()), text);
    }
}
