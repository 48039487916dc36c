//! How answers look on a terminal: plain words and columns, colour only where it helps and only on a
//! terminal. Texts that strangers wrote are shown without control characters.

use std::io::{IsTerminal, Write};

use crate::control::protocol::{
    Activity, Allowance, Ban, Check, Feed, Part, PartState, Problem, Reason, Sharing, Status, Totals,
};
use crate::duration;
use crate::json::{self, Json};
use crate::ledger::{CONFIGURATION, OWNER};
use crate::outside;

/// Prints one JSON object on a line.
pub fn json(value: &dyn Json) {
    say(&json::to_string(value));
}

/// What a shell says of a program that SIGPIPE has ended.
const READER_GONE: i32 = 128 + 13;

/// Prints a line. A reader that has gone (`| head`) ends the command quietly, any other failure with a word; neither
/// with what would stand for an answer.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(READER_GONE);
        }
        eprintln!("diswall: the output cannot be written: {error}");
        std::process::exit(1);
    }
}

/// `diswall status`.
pub fn status(status: &Status) {
    let colour = Colour::detect();
    say(&colour.headline(&status.state, &headline(status)));
    for part in status.parts.iter().filter(|part| part.state != PartState::InForce) {
        part_lines(part, colour);
    }
    for problem in status.problems.iter().filter(|problem| !is_told(problem, &status.parts)) {
        say(&format!("  {}: {}", colour.severity(&problem.severity, &problem.severity), clean(&problem.text)));
    }
    let in_force = status.parts.iter().filter(|part| part.state == PartState::InForce);
    let in_force: Vec<String> = in_force.map(|part| part_title(&part.name)).collect();
    if !in_force.is_empty() {
        say(&format!("  in force: {}", in_force.join(", ")));
    }
    say("");
    // Lists have names of up to 15 characters, and networks.
    let longest = status.sources.iter().map(|source| source.name.len() + 1).max();
    let width = longest.unwrap_or_default().max(8);
    say(&format!("{:<width$}state          entries  last message  server", "feed"));
    for feed in &status.feeds {
        say(&feed_line(feed, status.now, width));
        if let Some(error) = &feed.error {
            say(&format!("{:width$}{}", "", clean(error)));
        }
        for notice in &feed.notices {
            say(&format!("{:width$}{}", "", clean(&notice.text)));
        }
    }
    say("");
    say(&format!("{:<width$}    IPv4     IPv6  networks   dropped packets       bytes   in the last hour", "source"));
    for source in &status.sources {
        say(&format!(
            "{:<width$}{:>8} {:>8} {:>9} {:>17} {:>11} {:>18}",
            source.name,
            source.v4,
            source.v6,
            source.networks,
            source.packets,
            bytes(source.bytes),
            source.packets_hour
        ));
    }
    let allowed = &status.allowances;
    say("");
    say(&format!(
        "allowed {} (configuration {}, command {}, DisWall {})",
        allowed.config + allowed.command + allowed.nats,
        allowed.config,
        allowed.command,
        allowed.nats
    ));
    let scan = &status.scan;
    let forgotten = match scan.forgotten {
        0 => String::new(),
        many => format!(" ({many} more were forgotten for want of room)"),
    };
    say(&format!(
        "scan    {}, {}{forgotten}, {} in the last hour",
        scan.state,
        many(scan.suspects, "suspect", "suspects"),
        many(scan.bans_hour, "ban", "bans")
    ));
    if let Some(line) = sharing_line(&status.sharing) {
        say(&line);
    }
    say(&format!(
        "daemon  {}, up {}, {} MB resident",
        status.version,
        duration::text(status.uptime),
        tenths(status.memory, 1024)
    ));
}

/// Whether a part says the same.
fn is_told(problem: &Problem, parts: &[Part]) -> bool {
    let says = |part: &Part| part.why.as_ref().is_some_and(|why| problem.text.contains(why.as_str()));
    parts.iter().filter(|part| part.state != PartState::InForce).any(says)
}

/// What people call a part.
fn part_title(name: &str) -> String {
    const TITLES: [(&str, &str); 12] = [
        ("devices", "rules of the devices"),
        ("feed.dynfw", "feed DynFW"),
        ("feed.nats", "feed DisWall"),
        ("feed.crowdsec", "CrowdSec"),
        ("share", "sharing with DisWall"),
        ("abuseipdb", "reports to AbuseIPDB"),
        ("scan", "scan detection"),
        ("login", "log-in detection"),
        ("disconnect", "cutting of connections"),
        ("keep", "keeping over a restart"),
        ("log", "log"),
        ("config", "configuration"),
    ];
    if let Some((_, title)) = TITLES.iter().find(|(known, _)| *known == name) {
        return (*title).into();
    }
    for (kind, title) in [("zone.", "rules of zone "), ("feed.", "list ")] {
        if let Some(name) = name.strip_prefix(kind) {
            return [title, &clean(name)].concat();
        }
    }
    clean(name)
}

/// A part that is not in force: why, what is lost, what to do.
fn part_lines(part: &Part, colour: Colour) {
    let why = clean(part.why.as_deref().unwrap_or_default());
    let state = colour.severity(if part.state == PartState::Broken { "error" } else { "warning" }, part.state.name());
    say(&format!("  {state}: {}: {why}", part_title(&part.name)));
    for (what, text) in [("meanwhile", &part.lost), ("what to do", &part.remedy)] {
        if let Some(text) = text {
            say(&format!("    {what}: {}", clean(text)));
        }
    }
}

/// What leaves the router; `None` if nothing does.
fn sharing_line(sharing: &Sharing) -> Option<String> {
    let what = match (sharing.bans, sharing.statistics) {
        (true, true) => "bans and hourly statistics",
        (true, false) => "bans",
        (false, true) => "hourly statistics",
        (false, false) => return None,
    };
    let account = clean(sharing.account.as_deref().unwrap_or_default());
    let waiting = many(sharing.queued, "message", "messages");
    Some(format!("shares  {what} with DisWall as {account}, {waiting} waiting"))
}

fn headline(status: &Status) -> String {
    let total = counted(&status.bans);
    let dropped = many(status.dropped.packets_hour, "packet", "packets");
    match status.state.as_str() {
        "protected" => format!("Protected: {total} blocked, {dropped} dropped in the last hour"),
        "local" => format!("Protected without feeds: {total} blocked, {dropped} dropped in the last hour"),
        "waiting" => format!("Not everything is in force yet: {total} blocked, {}", waiting(status)),
        "degraded" => format!("Protected in part: {total} blocked, but see below"),
        "unprotected" => "NOT protected: the firewall does not look at the sets".into(),
        "off" => "Switched off (enabled '0')".into(),
        other => other.to_string(),
    }
}

/// `16,200 addresses and 2 networks`: a network is no address.
fn counted(bans: &Totals) -> String {
    let addresses = bans.v4 + bans.v6;
    match (addresses, bans.total.saturating_sub(addresses)) {
        (addresses, 0) => many(addresses, "address", "addresses"),
        (0, networks) => many(networks, "network", "networks"),
        (addresses, networks) => {
            format!("{} and {}", many(addresses, "address", "addresses"), many(networks, "network", "networks"))
        }
    }
}

/// For what the whole waits.
fn waiting(status: &Status) -> String {
    let waiting = status.parts.iter().filter(|part| part.state == PartState::Waiting);
    let titles: Vec<String> = waiting.map(|part| part_title(&part.name)).collect();
    format!("waiting for {}", titles.join(" and "))
}

fn feed_line(feed: &Feed, now: u64, width: usize) -> String {
    let last = feed.last_message.map_or("-".into(), |at| format!("{} ago", duration::text(now.saturating_sub(at))));
    let server = match (&feed.list, feed.server.as_str()) {
        (Some(usage), "") => format!("a file, {usage}"),
        (Some(usage), host) => format!("{host}, {usage}"),
        (None, host) if feed.hub => {
            let heard = feed.hub_heard.map(|at| duration::text(now.saturating_sub(at)));
            let heard = heard.map_or("not heard of yet".into(), |ago| format!("heard {ago} ago"));
            format!("{host}:{}, hub, {heard}", feed.port)
        }
        (None, host) => format!("{host}:{}", feed.port),
    };
    format!("{:<width$}{:<14} {:>7}  {last:<12}  {server}", feed.name, feed.state, feed.entries)
}

/// `diswall check`.
pub fn check(check: &Check) {
    say(&clean(&check.sentence));
    for each in &check.bans {
        say(&format!("  banned by {}", ban_line(each, check.now)));
    }
    for each in &check.allowances {
        say(&format!("  allowed: {}", allowance_line(each)));
    }
    for rule in &check.rules {
        let ports = if rule.dest_ports.is_empty() { "every port".into() } else { rule.dest_ports.join(", ") };
        say(&format!("  own block: {} {} {} ({})", rule.action, rule.address, rule.proto, ports));
    }
}

fn ban_line(ban: &Ban, now: u64) -> String {
    let since = duration::text(now.saturating_sub(ban.since));
    let left = ban.left.map_or("until taken back".into(), |left| format!("for another {}", duration::text(left)));
    let by = ban.by.as_deref().map_or(String::new(), |by| format!(" ({})", clean(by)));
    let mut line = format!("{}{by}: {}, {}, since {since} ago, {left}", ban.source, ban.address, reason(&ban.reason));
    if let Some(why) = &ban.withheld {
        line.push_str(&format!("; not in force: {}", clean(why)));
    }
    line
}

/// A row of `diswall list`.
pub fn ban(ban: &Ban) -> String {
    let left = ban.left.map_or("-".into(), duration::text);
    // The source says all of the owner's own.
    let program = ban.by.as_deref().filter(|by| !matches!(*by, CONFIGURATION | OWNER));
    let by = program.map_or(String::new(), |by| format!(" (by {})", clean(by)));
    let withheld = ban.withheld.as_ref().map_or(String::new(), |why| format!("; not in force: {}", clean(why)));
    format!("{:<39} {:<7} {:>9}  {}{by}{withheld}", ban.address, ban.source, left, reason(&ban.reason))
}

/// A row of `diswall list allow`.
pub fn allowance(allowance: &Allowance) {
    say(&allowance_line(allowance));
}

fn allowance_line(allowance: &Allowance) -> String {
    let left = allowance.left.map_or("-".into(), duration::text);
    let comment = clean(allowance.comment.as_deref().unwrap_or_default());
    format!("{:<39} {:<7} {:>9}  {comment}", allowance.address, allowance.origin, left).trim_end().to_string()
}

/// A reason in words.
pub fn reason(reason: &Reason) -> String {
    let text = clean(reason.text.as_deref().unwrap_or_default());
    match reason.kind.as_str() {
        "listed" if text.is_empty() => "on the list".into(),
        "listed" => format!("on the list of {text}"),
        "announced" => "announced".into(),
        "tagged" => format!("announced: {text}"),
        "port" => {
            let protocol = reason.protocol.as_deref().unwrap_or("?");
            format!("touched closed port {protocol}/{}", reason.port.unwrap_or(0))
        }
        "login" => format!("failed log-ins: {text}"),
        _ if text.is_empty() => "blocked by hand".into(),
        _ => text,
    }
}

/// Prints the live view.
pub struct Painter {
    json: bool,
    colour: Colour,
}

impl Painter {
    /// JSON lines when asked for, or when nobody looks.
    pub fn new(json: bool) -> Painter {
        Painter { json: json || !std::io::stdout().is_terminal(), colour: Colour::detect() }
    }

    /// One event; true to go on.
    pub fn activity(&mut self, activity: &Activity) -> bool {
        if self.json {
            json(activity);
        } else {
            say(&self.line(activity));
        }
        true
    }

    fn line(&self, activity: &Activity) -> String {
        let mut line = format!("{} {:<8}", time_of_day(activity.at), self.colour.kind(&activity.kind));
        for part in [&activity.source, &activity.address, &activity.text].into_iter().flatten() {
            line.push_str(&format!(" {}", clean(part)));
        }
        if let Some(why) = &activity.reason {
            line.push_str(&format!(" ({})", reason(why)));
        }
        if let Some(until) = activity.until {
            line.push_str(&format!(" for {}", duration::text(until.saturating_sub(activity.at))));
        }
        line
    }
}

/// ANSI colours, or none.
#[derive(Clone, Copy)]
struct Colour(bool);

impl Colour {
    fn detect() -> Colour {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Colour(std::io::stdout().is_terminal() && !refused)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    fn headline(self, state: &str, text: &str) -> String {
        let code = match state {
            "protected" | "local" => "1;32",
            "waiting" | "degraded" => "1;33",
            _ => "1;31",
        };
        self.paint(code, text)
    }

    fn severity(self, severity: &str, text: &str) -> String {
        let code = if severity == "error" { "31" } else { "33" };
        self.paint(code, text)
    }

    fn kind(self, kind: &str) -> String {
        // Padded before it is painted: the escape codes have no width.
        let padded = format!("{kind:<8}");
        match kind {
            "ban" => self.paint("31", &padded),
            "unban" | "allow" => self.paint("32", &padded),
            _ => self.paint("36", &padded),
        }
    }
}

/// Without control characters: a stranger's text must not steer the terminal.
fn clean(text: &str) -> String {
    text.chars().map(outside::plain).collect()
}

/// `16,200 bans`, `1 ban`.
pub fn many(count: u64, one: &str, more: &str) -> String {
    [grouped(count).as_str(), " ", if count == 1 { one } else { more }].concat()
}

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `812`, `3.4 MB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
    for (size, name) in UNITS {
        if number >= size {
            return format!("{} {name}", tenths(number, size));
        }
    }
    number.to_string()
}

/// How many of this size (below 2⁶⁰), to one decimal. In integers: to print floats takes 10 KB of program.
fn tenths(number: u64, size: u64) -> String {
    let tenths = (number % size * 10 + size / 2) / size;
    format!("{}.{}", number / size + tenths / 10, tenths % 10)
}

/// UTC time of day; the router's time zone lives in a file of another format than ours to read.
pub fn time_of_day(at: u64) -> String {
    let second = at % 86_400;
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_one_decimal() {
        let printed = [1023, 1024, 2047, 3_565_158, (1 << 30) - 1, 5 << 30, u64::MAX].map(bytes);
        assert_eq!(printed, ["1023", "1.0 kB", "2.0 kB", "3.4 MB", "1024.0 MB", "5.0 GB", "17179869184.0 GB"]);
    }

    #[test]
    fn a_network_is_no_address() {
        for (v4, v6, total, text) in [
            (0, 0, 0, "0 addresses"),
            (1, 0, 1, "1 address"),
            (0, 0, 2, "2 networks"),
            (1500, 500, 2001, "2,000 addresses and 1 network"),
        ] {
            assert_eq!(counted(&Totals { total, v4, v6 }), text);
        }
    }

    #[test]
    fn large_numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_strangers_text_cannot_steer_the_terminal() {
        assert_eq!(clean("ssh\x1b[2J\n"), "ssh\u{fffd}[2J\u{fffd}");
    }
}
