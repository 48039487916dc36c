//! Text from outside: cut to a length and freed of what a terminal would obey.
//!
//! A feed, a server or a log line may hold anything. It is cleaned once, where it enters, so that no
//! log, answer or table behind that has to think about it; whoever prints texts of another process (the
//! command line) asks [`is_plain`] again, since that process may be another version.

/// Longest sentence of a server that is kept, in bytes: the longest subject it may name, and its words.
pub const SENTENCE: usize = 400;

/// Whether a character only shows itself: no control character (C0, DEL, C1), none that changes the
/// direction of what follows, ends a line, or is not seen at all.
pub fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A character as it may be shown: itself, or a mark in its place.
pub fn plain(c: char) -> char {
    if is_plain(c) { c } else { '\u{fffd}' }
}

/// The text without what is not plain, at most `most` bytes of it; one that was cut ends with `…`.
pub fn clean(text: &str, most: usize) -> String {
    const CUT: char = '…';
    // The rest of a text of megabytes is not looked at.
    let window = text.get(..text.floor_char_boundary(most.saturating_mul(4))).unwrap_or(text);
    let mut kept: String = window.chars().filter(|c| is_plain(*c)).collect();
    if kept.len() > most || window.len() < text.len() {
        kept.truncate(kept.floor_char_boundary(most.saturating_sub(CUT.len_utf8())));
        if most >= CUT.len_utf8() {
            kept.push(CUT);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_gone_and_the_rest_stays() {
        for (text, most, cleaned) in [
            ("plain words", 40, "plain words"),
            ("žluťoučký kůň", 40, "žluťoučký kůň"),
            ("a\x1b[2Jb\x07c\rd\ne\tf", 40, "a[2Jbcdef"),
            ("c1 \u{9b}31m and \u{85}", 40, "c1 31m and "),
            ("\u{202e}gnp.exe\u{2066}x\u{200f}\u{61c}", 40, "gnp.exex"),
            ("line\u{2028}line\u{feff}", 40, "lineline"),
            ("0123456789", 10, "0123456789"),
            ("0123456789a", 10, "0123456…"),
            ("ééééé", 9, "ééé…"),
            ("abc", 2, ""),
            ("", 0, ""),
        ] {
            assert_eq!(clean(text, most), cleaned, "{text:?} in {most} bytes");
        }
        assert_eq!(clean(&"\x1b".repeat(1 << 20), 8), "…");
    }

    proptest! {
        #[test]
        fn never_longer_never_anything_else(text in any::<String>(), most in 0_usize..200) {
            let cleaned = clean(&text, most);
            prop_assert!(cleaned.len() <= most);
            prop_assert!(cleaned.chars().all(is_plain));
            prop_assert_eq!(clean(&cleaned, most), cleaned);
        }
    }
}
