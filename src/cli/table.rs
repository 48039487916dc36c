//! What the command line prints for other programs and spreadsheets: bans as CSV, the past by the hour.
//!
//! The pages of LuCI download the same CSV. Moments are UTC, since the router's time zone lives in a file
//! of another format than ours to read.

use super::show::say;
use crate::calendar::{self, iso as moment};
use crate::control::protocol::{Ban, History};
use crate::outside;

/// The first line of the CSV.
pub const CSV_HEAD: &str = "address,source,kind,text,protocol,port,since,until";

/// A ban as a line of CSV.
pub fn csv(ban: &Ban) -> String {
    let reason = &ban.reason;
    let port = reason.port.map(|port| port.to_string());
    let until = ban.until.map(moment);
    let fields = [
        Some(ban.address.as_str()),
        Some(ban.source.as_str()),
        Some(reason.kind.as_str()),
        reason.text.as_deref(),
        reason.protocol.as_deref(),
        port.as_deref(),
        Some(&moment(ban.since)),
        until.as_deref(),
    ];
    let mut line = String::new();
    for field in fields {
        if !line.is_empty() {
            line.push(',');
        }
        quote(field.unwrap_or_default(), &mut line);
    }
    line
}

/// Strangers write reasons: what a spreadsheet would take for a formula is made text.
fn quote(field: &str, line: &mut String) {
    line.push('"');
    if field.starts_with(['=', '+', '@', '-', '\t', '\r']) {
        line.push('\'');
    }
    for c in field.chars() {
        if c == '"' {
            line.push('"');
        }
        line.push(outside::plain(c));
    }
    line.push('"');
}

/// `diswall history`: dropped packets by source and new bans, an hour a line.
pub fn history(history: &History) {
    let mut head = format!("{:<20}", "hour from (UTC)");
    for source in &history.sources {
        head.push_str(&format!(" {:>9}", source.name));
    }
    say("packets dropped by source, and new bans, by the hour");
    say(&format!("{head}  new bans"));
    let hours = usize::try_from(history.hours).unwrap_or_default();
    for hour in 0..hours {
        let from = history.end.saturating_sub((history.hours - hour as u64) * history.step);
        let mut line = hour_of(from);
        let mut bans = None;
        for source in &history.sources {
            let known = |row: &[i64]| row.get(hour).copied().filter(|count| *count >= 0);
            let packets = known(&source.packets).map_or("-".into(), |count| count.to_string());
            line.push_str(&format!(" {packets:>9}"));
            bans = known(&source.bans).map(|count| count + bans.unwrap_or(0)).or(bans);
        }
        say(&format!("{line} {:>9}", bans.map_or("-".into(), |count| count.to_string())));
    }
}

/// When an hour began, as wide as a moment: in an hour of 1970 nobody had told the clock.
fn hour_of(from: u64) -> String {
    if from < calendar::SET { format!("{:<20}", "clock not set yet") } else { moment(from) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::Reason;

    #[test]
    fn an_hour_before_the_clock_was_set_has_no_date() {
        assert_eq!([0, 7200].map(hour_of), ["clock not set yet   "; 2]);
        assert_eq!(hour_of(calendar::SET), "2024-01-01T00:00:00Z");
    }

    #[test]
    fn moments_are_calendar_dates() {
        let table = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (at, text) in table {
            assert_eq!(moment(at), text);
        }
    }

    #[test]
    fn a_line_of_csv_is_quoted_and_is_no_formula() {
        let reason =
            Reason { kind: "tagged".into(), text: Some("=cmd|\"calc\"\n".into()), protocol: None, port: Some(22) };
        let ban = Ban {
            address: "203.0.113.9".into(),
            by: None,
            source: "nats".into(),
            since: 0,
            until: None,
            left: None,
            reason,
            withheld: None,
            offences: None,
        };
        assert_eq!(
            csv(&ban),
            "\"203.0.113.9\",\"nats\",\"tagged\",\"'=cmd|\"\"calc\"\"\u{fffd}\",\"\",\"22\",\"1970-01-01T00:00:00Z\",\"\""
        );
    }
}
