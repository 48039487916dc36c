//! `diswall report`: what the daemon has counted, put into words once, as [`Block`]s, and printed from these as text for
//! a terminal and a letter, or as a page of HTML. Nothing here counts or judges.

mod html;
mod plain;

use std::fmt::Write as _;

use super::show::{bytes, grouped, many, reason, time_of_day};
use crate::calendar::day as date;
use crate::control::protocol::{Report, ReportHost, ReportSource};
use crate::outside;

pub use html::page;
pub use plain::text;

/// Longest text of a stranger that is shown, in bytes.
const SHOWN: usize = 100;

/// A part of the report.
pub enum Block {
    /// What it is, over all.
    Title(String),
    /// What follows is about this.
    Heading(&'static str),
    /// A sentence or two.
    Words(String),
    /// Columns; the first is text, the others are figures. A row may have a line of words below.
    Table(Vec<&'static str>, Vec<TableRow>),
    /// Label, length and figure.
    Bars(Vec<(String, u64, String)>),
}

/// A row of a table.
pub struct TableRow {
    cells: Vec<String>,
    words: String,
}

fn row(cells: Vec<String>) -> TableRow {
    TableRow { cells, words: String::new() }
}

/// Stranger's text: freed of what a terminal would obey, and cut.
fn clean(text: &str) -> String {
    outside::clean(text, SHOWN)
}

/// `2026-11-28 03:15`.
fn minute(at: u64) -> String {
    let time = time_of_day(at);
    [&date(at), " ", time.get(..5).unwrap_or_default()].concat()
}

/// The report in words.
pub fn blocks(report: &Report) -> Vec<Block> {
    let mut out = vec![Block::Title(title(report)), Block::Words(summary(report))];
    sources(report, &mut out);
    days(report, &mut out);
    places(report, &mut out);
    ports(report, &mut out);
    hosts(report, &mut out);
    lists(report, &mut out);
    allowed(report, &mut out);
    out
}

/// The title, and a letter's subject.
pub fn title(report: &Report) -> String {
    format!("diswall: the {} to {} UTC", many(report.days.into(), "day", "days"), minute(report.now))
}

fn summary(report: &Report) -> String {
    let Some(since) = report.since else {
        return "Nothing was counted yet on these days; a report is worth reading from tomorrow on.".into();
    };
    let first = (report.now / 86_400 + 1).saturating_sub(report.days.into()) * 86_400;
    let mut text = format!(
        "{} ({}) dropped; {} began.",
        many(report.packets, "packet", "packets"),
        with_unit(report.bytes),
        many(report.bans, "ban", "bans")
    );
    if report.days > report.kept {
        let _ = write!(text, " Of the {} days asked for, {} at most are kept.", report.days, report.kept);
    }
    if since > first {
        let _ = write!(text, " There are figures since {}.", date(since));
    }
    let hours = report.by_day.iter().flat_map(|day| &day.hours);
    let counted = hours.filter(|packets| **packets >= 0).count() as u64;
    let _ = write!(text, " diswall counted in {}.", many(counted, "hour", "hours"));
    text
}

fn with_unit(count: u64) -> String {
    let text = bytes(count);
    if text.contains(' ') { text } else { text + " B" }
}

/// How much ports, countries and hosts are known of.
fn looked(report: &Report) -> String {
    if let Some(why) = &report.trouble {
        return format!("No dropped packet can be looked at: {}.", clean(why));
    }
    if report.looked == 0 && !report.looks {
        return "Dropped packets are not looked at: option report is '0' in config diswall 'main'.".into();
    }
    if report.looked == 0 {
        return "No dropped packet was looked at yet.".into();
    }
    let mut text = format!(
        "Known from the {} that were looked at, of {} dropped: at most 5 a second of each source.",
        many(report.looked, "packet", "packets"),
        grouped(report.packets)
    );
    if report.outgoing > 0 {
        let _ = write!(
            text,
            " {} on the way out, from inside to a banned host.",
            many(report.outgoing, "of them was", "of them were")
        );
    }
    text
}

fn sources(report: &Report, out: &mut Vec<Block>) {
    out.push(Block::Heading("By source"));
    let rows = report.sources.iter().filter(|each| each.packets + each.bans + each.entries > 0).map(|each| {
        row(vec![
            name(each),
            grouped(each.packets),
            with_unit(each.bytes),
            grouped(each.bans),
            if each.gone { "-".into() } else { grouped(each.entries) },
        ])
    });
    let rows: Vec<TableRow> = rows.collect();
    if rows.is_empty() {
        return out.push(Block::Words("No source has anything yet.".into()));
    }
    out.push(Block::Table(vec!["source", "packets", "bytes", "new bans", "entries now"], rows));
}

/// A source as its owner knows it: the name in the configuration, and what it has.
fn name(source: &ReportSource) -> String {
    let title = clean(&source.title);
    let name = clean(&source.name);
    let gone = if source.gone { ", no longer configured" } else { "" };
    if title == name { [&name, gone].concat() } else { [&name, " (", &title, ")", gone].concat() }
}

fn days(report: &Report, out: &mut Vec<Block>) {
    if report.by_day.is_empty() {
        return;
    }
    out.push(Block::Heading("Dropped packets by day (UTC)"));
    let bar = |label: String, packets: u64| (label, packets, grouped(packets));
    out.push(Block::Bars(report.by_day.iter().map(|day| bar(date(day.start), day.packets)).collect()));
    out.push(Block::Heading("Dropped packets by hour of the day (UTC)"));
    let hours = (0..24).map(|hour| {
        let known: Vec<i64> = report
            .by_day
            .iter()
            .filter_map(|day| day.hours.get(hour).copied())
            .filter(|packets| *packets >= 0)
            .collect();
        let sum: u64 = known.iter().map(|packets| packets.unsigned_abs()).sum();
        let figure = if known.is_empty() { "not counted".into() } else { grouped(sum) };
        (format!("{hour:02}:00"), sum, figure)
    });
    out.push(Block::Bars(hours.collect()));
}

fn places(report: &Report, out: &mut Vec<Block>) {
    out.push(Block::Heading("By country"));
    if report.looked > 0 {
        let mut bars: Vec<(String, u64, String)> =
            report.places.iter().map(|place| (clean(&place.title), place.packets, grouped(place.packets))).collect();
        bars.push(("not known".into(), report.unplaced, grouped(report.unplaced)));
        out.push(Block::Bars(bars));
    }
    out.push(Block::Words(match report.placed {
        true => {
            "Countries are those of the country lists that are configured; what is in none of them is not known.".into()
        }
        false => "No list of a country is configured. `config list` with `list country 'xx'` fetches and blocks one \
                  (in LuCI: Lists, Countries); what it drops is counted here."
            .into(),
    }));
}

fn ports(report: &Report, out: &mut Vec<Block>) {
    out.push(Block::Heading("By port"));
    if !report.ports.is_empty() {
        let bars = report
            .ports
            .iter()
            .map(|each| (service(Some(&each.protocol), each.port), each.packets, grouped(each.packets)));
        out.push(Block::Bars(bars.collect()));
    }
    out.push(Block::Words(looked(report)));
}

/// `22/tcp (ssh)`.
fn service(protocol: Option<&str>, port: Option<u16>) -> String {
    let protocol = clean(protocol.unwrap_or("?"));
    match port {
        None => protocol,
        Some(port) => {
            let known = PORTS.iter().find(|(number, _)| *number == port);
            let name = known.map_or(String::new(), |(_, name)| [" (", name, ")"].concat());
            format!("{port}/{protocol}{name}")
        }
    }
}

/// What is most often knocked at.
const PORTS: [(u16, &str); 24] = [
    (21, "FTP"),
    (22, "SSH"),
    (23, "Telnet"),
    (25, "mail"),
    (53, "DNS"),
    (80, "web"),
    (123, "time"),
    (135, "Windows"),
    (139, "Windows shares"),
    (143, "IMAP"),
    (161, "SNMP"),
    (443, "web"),
    (445, "Windows shares"),
    (1433, "SQL Server"),
    (1883, "MQTT"),
    (3306, "MySQL"),
    (3389, "remote desktop"),
    (5060, "telephony"),
    (5432, "PostgreSQL"),
    (5555, "Android"),
    (5900, "VNC"),
    (6379, "Redis"),
    (8080, "web"),
    (8443, "web"),
];

fn hosts(report: &Report, out: &mut Vec<Block>) {
    out.push(Block::Heading("The ten most stubborn"));
    if report.hosts.is_empty() {
        return out.push(Block::Words("Nobody yet.".into()));
    }
    let rows = report.hosts.iter().map(|host| TableRow {
        cells: vec![clean(&host.address), grouped(host.packets), host.days.to_string(), minute(host.last)],
        words: host_words(host),
    });
    out.push(Block::Table(vec!["address", "packets looked at", "days", "last (UTC)"], rows.collect()));
}

fn host_words(host: &ReportHost) -> String {
    let mut words = Vec::new();
    if let Some(place) = &host.place {
        words.push(clean(place));
    }
    if host.protocol.is_some() {
        words.push(["last at ", &service(host.protocol.as_deref(), host.port)].concat());
    }
    words.push(match host.sources.is_empty() {
        true => "banned by nobody now".into(),
        false => ["banned by ", &clean(&host.sources.join(", "))].concat(),
    });
    if let Some(why) = &host.reason {
        words.push(clean(&reason(why)));
    }
    words.join("; ")
}

fn lists(report: &Report, out: &mut Vec<Block>) {
    let compared = report.sources.iter().filter(|each| each.compared > 0);
    let rows: Vec<TableRow> = compared
        .map(|each| {
            let share = |of: u64, all: u64| match all {
                0 => "-".into(),
                _ => format!("{} of {}", grouped(of), grouped(all)),
            };
            row(vec![name(each), share(each.only, each.compared), share(each.alone, each.looked)])
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    out.push(Block::Heading("What each source adds"));
    let part = report.sources.iter().any(|each| each.compared < each.entries);
    let words = "Entries that no other source has now, and dropped packets that none of the others would have dropped. A \
                 source with hardly any of both can be switched off.";
    let words =
        if part { [words, " Of long lists a part was compared, evenly spread."].concat() } else { words.into() };
    out.push(Block::Table(vec!["source", "entries nobody else has", "packets looked at"], rows));
    out.push(Block::Words(words));
}

fn allowed(report: &Report, out: &mut Vec<Block>) {
    out.push(Block::Heading("Allowed although banned"));
    if report.allowed.is_empty() {
        return out.push(Block::Words("Nothing that is allowed is on a list or banned.".into()));
    }
    let rows = report.allowed.iter().map(|each| TableRow {
        cells: vec![clean(&each.address), clean(&each.origin), clean(&each.sources.join(", "))],
        words: clean(each.comment.as_deref().unwrap_or_default()),
    });
    out.push(Block::Table(vec!["allowed", "by", "banned by"], rows.collect()));
    let more = report.allowed_total.saturating_sub(report.allowed.len() as u64);
    let mut words = "How many packets these sent is not counted.".to_string();
    if more > 0 {
        let _ = write!(words, " {} not shown.", many(more, "more is", "more are"));
    }
    out.push(Block::Words(words));
}

/// What is longest of the bars.
fn longest(bars: &[(String, u64, String)]) -> u64 {
    bars.iter().map(|(_, length, _)| *length).max().unwrap_or_default().max(1)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::control::protocol::{Reason, ReportAllowed, ReportDay, ReportPlace, ReportPort};

    /// The longest and worst that can come.
    pub fn full() -> Report {
        let evil = "<script>alert(1)</script> \x1b[2J\u{202e} \"&'".repeat(20);
        let source = |number: u64| ReportSource {
            name: format!("list_of_many_{number}"),
            title: evil.clone(),
            packets: u64::MAX / 100,
            bytes: u64::MAX / 100,
            bans: u64::MAX / 100,
            looked: 4_294_967_295,
            alone: 4_294_967_294,
            entries: 4_000_000,
            compared: 4_000_000,
            only: 3_999_999,
            gone: number == 3,
        };
        let host = |number: u16| ReportHost {
            address: format!("2001:db8:1111:2222:3333:4444:5555:{number:04x}"),
            packets: 4_294_967_295,
            days: 14,
            last: 1_798_761_599,
            protocol: Some("tcp".into()),
            port: Some(65_535),
            place: Some("Bosnia and Herzegovina, Central African Republic, Svalbard and Jan Mayen".into()),
            sources: vec!["list_of_many_12".into(); 40],
            reason: Some(Reason { kind: "tagged".into(), text: Some(evil.clone()), ..Reason::default() }),
        };
        Report {
            now: 1_798_761_599,
            days: 30,
            kept: 14,
            since: Some(1_798_243_200),
            packets: u64::MAX / 2,
            bytes: u64::MAX / 2,
            bans: 9_999_999,
            looks: true,
            looked: 4_294_967_295,
            outgoing: 12,
            sources: (0..64).map(source).collect(),
            placed: true,
            places: vec![ReportPlace { list: "x".into(), title: evil.clone(), packets: 3 }; 64],
            unplaced: 17,
            ports: (1..=20)
                .map(|port| ReportPort { protocol: "icmpv6".into(), port: Some(port), packets: 1 })
                .collect(),
            hosts: (0..10).map(host).collect(),
            by_day: (0..14)
                .map(|day| ReportDay {
                    start: 1_798_243_200 + day * 86_400,
                    packets: u64::MAX / 200,
                    hours: vec![i64::MAX / 400; 24],
                    ..ReportDay::default()
                })
                .collect(),
            allowed: vec![
                ReportAllowed {
                    address: "2001:db8:1111:2222:3333:4444:5555:0/112".into(),
                    origin: "command".into(),
                    comment: Some(evil.clone()),
                    sources: vec!["list_of_many_12".into(); 40],
                };
                50
            ],
            allowed_total: 900,
            trouble: None,
        }
    }

    #[test]
    fn what_is_not_known_is_said_and_no_figure_is_made_up() {
        let words = |report: &Report| plain::text(&blocks(report)).split_whitespace().collect::<Vec<_>>().join(" ");
        let empty = words(&Report { days: 7, kept: 14, looks: true, ..Report::default() });
        assert!(empty.contains("Nothing was counted yet"), "{empty}");
        assert!(empty.contains("No dropped packet was looked at yet."), "{empty}");
        assert!(empty.contains("No list of a country is configured."), "{empty}");
        assert!(!empty.contains("not known"), "{empty}");
        let full = words(&full());
        assert!(full.contains("Of the 30 days asked for, 14 at most are kept."), "{full}");
        assert!(full.contains("Known from the 4,294,967,295 packets that were looked at"), "{full}");
        assert!(full.contains("12 of them were on the way out"), "{full}");
        assert!(full.contains("850 more are not shown."), "{full}");
        let off = words(&Report { days: 7, kept: 14, since: Some(0), packets: 5, ..Report::default() });
        assert!(off.contains("option report is '0'"), "{off}");
        let deaf = Report { trouble: Some("another program has it".into()), looks: true, ..Report::default() };
        assert!(words(&deaf).contains("No dropped packet can be looked at: another program has it."));
    }
}
