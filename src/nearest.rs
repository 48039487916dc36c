//! Which of the words that there are somebody may have meant. Pure; for sentences that refuse a word.

/// Words that are named.
const NAMED: usize = 3;

/// The nearest of these to `word`, the best first, with commas between them.
pub fn to<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    ranked(word, known).join(", ")
}

/// The nearest of these to `word`, the best first.
pub fn ranked<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let word = word.to_lowercase();
    let mut ranked: Vec<(usize, &str)> = known.map(|known| (distance(&word, &known.to_lowercase()), known)).collect();
    ranked.sort_by_key(|(distance, _)| *distance);
    ranked.into_iter().take(NAMED).map(|(_, known)| known).collect()
}

/// Letters to change, add or take out; one that begins with the other is near.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, one) in a.iter().enumerate() {
        let mut corner = at;
        let mut left = at + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            let changed = corner + usize::from(one != other);
            (corner, left) = (above, changed.min(above + 1).min(left + 1));
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    let whole = row.last().copied().unwrap_or(0);
    let begins = !a.is_empty() && !b.is_empty() && (a.starts_with(&b) || b.starts_with(&a));
    if begins { whole.min(1) } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_are_seen_through() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "abd", 1),
            ("abc", "ac", 1),
            ("kitten", "sitting", 3),
            ("de", "debl_ssh", 1),
            ("", "abc", 3),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
        assert_eq!(to("Spanhaus", ["tor", "spamhaus", "doh", "dns"].into_iter()).split(',').next(), Some("spamhaus"));
        assert_eq!(to("x", std::iter::empty()), "");
    }
}
