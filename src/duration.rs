//! Spans of time in people's words.

/// `3d 4h`, `12m 5s`: the two largest units.
pub fn text(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, name) in UNITS {
        if rest >= size && parts.len() < 2 {
            parts.push(format!("{}{name}", rest / size));
            rest %= size;
        } else if !parts.is_empty() {
            // Only neighbouring units: "3d", not "3d 5s".
            break;
        }
    }
    if parts.is_empty() { "0s".into() } else { parts.join(" ") }
}

/// How long something holds: `for 3d 4h`. `None`: it has no end.
pub fn holds(seconds: Option<u64>) -> String {
    seconds.map_or_else(|| "until taken back".into(), |seconds| format!("for {}", text(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        let table = [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3600, "1h"), (3605, "1h"), (90_061, "1d 1h")];
        for (seconds, expected) in table {
            assert_eq!(text(seconds), expected);
        }
    }

    #[test]
    fn what_has_no_end_is_taken_back() {
        assert_eq!([holds(None), holds(Some(90))], ["until taken back", "for 1m 30s"]);
    }
}
