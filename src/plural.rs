//! A number with its noun.

/// `1 ban`, `2 bans`.
pub fn of(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_is_singular() {
        assert_eq!([0, 1, 2].map(|count| of(count, "ban", "bans")), ["0 bans", "1 ban", "2 bans"]);
    }
}
