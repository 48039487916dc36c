//! The wall clock: Unix seconds, and as dates of the calendar in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Unix seconds now; 0 where the clock stands before 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Year, month and day.
pub fn date(at: u64) -> (u64, u64, u64) {
    // Years that begin in March, in eras of 400: the leap day is then the last of its year.
    let from_era = at / DAY + 719_468;
    let day_of_era = from_era % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (from_era / 146_097 * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// A clock before this has not been set since the router was switched on: 2024.
pub const SET: u64 = 1_704_067_200;

/// The day as ISO 8601 writes it: `1994-11-06`.
pub fn day(at: u64) -> String {
    let (year, month, day) = date(at);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The second likewise: `1994-11-06T08:49:37Z`.
pub fn iso(at: u64) -> String {
    format!("{}T{:02}:{:02}:{:02}Z", day(at), at / 3600 % 24, at / 60 % 60, at % 60)
}

/// As HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http(at: u64) -> String {
    const DAYS: &str = "ThuFriSatSunMonTueWed";
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let name = |names: &'static str, number: u64| {
        let start = usize::try_from(number).unwrap_or_default() * 3;
        names.get(start..start + 3).unwrap_or_default()
    };
    let (year, month, day) = date(at);
    let (week, month) = (name(DAYS, at / DAY % 7), name(MONTHS, month - 1));
    format!("{week}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT", at / 3600 % 24, at / 60 % 60, at % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_http_writes_them() {
        for (at, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
        ] {
            assert_eq!(http(at), text);
        }
        assert_eq!(iso(784_111_777), "1994-11-06T08:49:37Z");
    }
}
