//! What the demo shows: a picture that fits 80×24 and is redrawn in place on a terminal, plain lines
//! elsewhere. It leaves the terminal as it was even when it is killed: no alternate screen, no hidden
//! cursor. Called by the demo alone.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write, stdout};

use serde_json::Value;

use crate::command::{command, output};

/// Widest line.
const WIDTH: usize = 79;

/// Lines of a picture beside the newest changes.
const FIXED_LINES: usize = 17;

/// Answers of the newest pings that are shown.
const PINGS_SHOWN: usize = 60;

/// Newest changes that are kept.
const CHANGES_KEPT: usize = 12;

/// How a piece of text stands out on a terminal with colours.
#[derive(Clone, Copy)]
enum Paint {
    Bold = 1,
    Faint = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
}

/// Everything that is shown.
#[derive(Default)]
pub struct View {
    /// Whole seconds since the feeds were live, and of how many.
    pub seconds: (u64, u64),
    /// `diswall status --json`.
    pub status: Value,
    /// The visitor's address.
    pub visitor: String,
    /// Its pings: was there an answer?
    pub pings: Vec<bool>,
    /// What is happening to it now.
    pub story: String,
    /// Objects of `diswall watch --json`, the newest last.
    pub changes: VecDeque<Value>,
}

impl View {
    /// Takes in an object of `diswall watch --json`.
    pub fn change(&mut self, change: Value) {
        self.changes.push_back(change);
        if self.changes.len() > CHANGES_KEPT {
            self.changes.pop_front();
        }
    }

    /// Pings answered and dropped.
    pub fn answered_and_dropped(&self) -> (usize, usize) {
        let answered = self.pings.iter().filter(|answered| **answered).count();
        (answered, self.pings.len() - answered)
    }
}

/// The terminal, or whatever takes its place.
pub struct Screen {
    terminal: bool,
    colour: bool,
    drawn: usize,
}

impl Screen {
    /// Looks where standard output goes.
    pub fn new() -> Screen {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let terminal = stdout().is_terminal() && variable("TERM") != "dumb";
        Screen { terminal, colour: terminal && variable("NO_COLOR").is_empty(), drawn: 0 }
    }

    /// Whether pictures are drawn; if not, the caller says what happens with [`Screen::say`].
    pub fn draws(&self) -> bool {
        self.terminal
    }

    /// Draws the picture over the last one.
    pub fn draw(&mut self, view: &View) {
        let (rows, columns) = size();
        let shown = rows.saturating_sub(FIXED_LINES + 2).clamp(2, CHANGES_KEPT);
        let lines = self.picture(view, shown);
        let mut frame = String::new();
        if self.drawn > 0 {
            let _ = write!(frame, "\x1b[{}A\r", self.drawn);
        }
        for line in &lines {
            frame.push_str(&cut(line, columns.saturating_sub(1).min(WIDTH)));
            frame.push_str("\x1b[0m\x1b[K\n");
        }
        frame.push_str("\x1b[J");
        self.drawn = lines.len();
        put(&frame);
    }

    /// Prints a line for good; the next picture comes below it.
    pub fn say(&mut self, line: &str) {
        self.drawn = 0;
        put(&format!("{line}\n"));
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        if self.colour { format!("\x1b[{}m{text}\x1b[0m", paint as u8) } else { text.to_owned() }
    }

    /// The lines of the picture, `FIXED_LINES` and `shown` of the newest changes.
    fn picture(&self, view: &View, shown: usize) -> Vec<String> {
        let (second, of) = view.seconds;
        let title = self.paint(Paint::Bold, "diswall demo");
        let clock = self.paint(Paint::Faint, &format!("{:>66}", format!("{second} s of {of} s, Ctrl-C ends it")));
        let mut lines = vec![String::new(), format!(" {title}{clock}"), String::new()];
        for feed in array(&view.status["feeds"]) {
            lines.push(self.feed(feed));
        }
        lines.push(String::new());
        let heads = format!(" {:<10}{:>10}{:>10}{:>18}{:>14}", "bans by", "IPv4", "IPv6", "packets dropped", "bytes");
        lines.push(self.paint(Paint::Faint, &heads));
        for source in array(&view.status["sources"]) {
            lines.push(self.source(source));
        }
        lines.push(String::new());
        let (answered, dropped) = view.answered_and_dropped();
        lines.push(format!(
            " {} pings the router: {answered} answered, {dropped} dropped",
            self.paint(Paint::Bold, &view.visitor)
        ));
        lines.push(format!(" {}", self.pings(&view.pings)));
        lines.push(format!(" {}", view.story));
        lines.push(String::new());
        lines.push(self.paint(Paint::Faint, " newest changes (diswall watch)"));
        let newest = view.changes.iter().skip(view.changes.len().saturating_sub(shown));
        lines.extend(newest.map(|change| self.change(change)));
        lines.resize(FIXED_LINES + shown, String::new());
        lines
    }

    fn feed(&self, feed: &Value) -> String {
        let name = match text(&feed["name"]) {
            "dynfw" => "Turris Sentinel",
            "nats" => "DisWall",
            other => other,
        };
        let state = text(&feed["state"]);
        let paint = if state == "live" { Paint::Green } else { Paint::Yellow };
        let state = self.paint(paint, &format!("{state:<14}"));
        let security = if feed["encrypted"].as_bool() == Some(true) { ", encrypted" } else { "" };
        let place = format!("{}:{}{security}", text(&feed["server"]), feed["port"]);
        let messages = grouped(number(&feed["messages"]));
        format!(" {name:<17}{state}{place:<28}{messages:>8} messages")
    }

    fn source(&self, source: &Value) -> String {
        let count = |key: &str| grouped(number(&source[key]));
        let packets = format!("{:>18}", count("packets"));
        let packets = if number(&source["packets"]) > 0 { self.paint(Paint::Red, &packets) } else { packets };
        let (v4, v6, bytes) = (count("v4"), count("v6"), count("bytes"));
        format!(" {:<10}{v4:>10}{v6:>10}{packets}{bytes:>14}", text(&source["name"]))
    }

    /// One object of `diswall watch --json` as a line.
    pub fn change(&self, change: &Value) -> String {
        let kind = change["kind"].as_str().unwrap_or("?");
        let paint = match kind {
            "ban" => Paint::Red,
            "unban" => Paint::Green,
            _ => Paint::Yellow,
        };
        let until = match (change["until"].as_u64(), change["at"].as_u64()) {
            (Some(until), Some(at)) => format!(", {} s", grouped(until.saturating_sub(at))),
            _ => String::new(),
        };
        let kind = self.paint(paint, &format!("{kind:<9}"));
        let address = change["address"].as_str().unwrap_or_default();
        let source = change["source"].as_str().unwrap_or_default();
        let why = change["text"].as_str().map_or_else(|| reason(&change["reason"]), str::to_owned);
        format!(" {kind}{address:<18} {source:<8}{why}{until}")
    }

    fn pings(&self, pings: &[bool]) -> String {
        let newest = &pings[pings.len().saturating_sub(PINGS_SHOWN)..];
        let mark = |answered: &bool| {
            if *answered { self.paint(Paint::Green, "·") } else { self.paint(Paint::Red, "×") }
        };
        newest.iter().map(mark).collect()
    }
}

/// A ban's reason in a few words.
fn reason(reason: &Value) -> String {
    let word = |key: &str| reason[key].as_str().unwrap_or_default();
    match (word("kind"), reason["port"].as_u64(), word("text")) {
        (_, Some(port), _) => format!("tried {} port {port}", word("protocol")),
        (kind, None, "") => kind.to_owned(),
        (kind, None, text) => format!("{kind}: {text}"),
    }
}

/// Rows and columns of the terminal; 24 and 80 where it does not say.
fn size() -> (usize, usize) {
    let told = output(command("stty", &["-F", "/dev/tty", "size"]).stderr(std::process::Stdio::null()));
    let told = told.unwrap_or_default();
    let mut numbers = told.split_whitespace().filter_map(|word| word.parse().ok()).filter(|number| *number > 0);
    (numbers.next().unwrap_or(24), numbers.next().unwrap_or(80))
}

/// The line's first `width` visible characters; escape sequences take no room.
fn cut(line: &str, width: usize) -> String {
    let (mut visible, mut escape) = (0, false);
    let keep = |character: &char| {
        if escape {
            escape = *character != 'm';
            return true;
        }
        if *character == '\x1b' {
            escape = true;
            return true;
        }
        visible += 1;
        visible <= width && !character.is_control()
    };
    line.chars().filter(keep).collect()
}

/// 20012 as `20,012`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn put(text: &str) {
    let mut stdout = stdout().lock();
    // Nobody is left to tell when the terminal is gone.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// A whole number of the status, 0 when it is not there.
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view() -> View {
        let source = |name: &str| json!({"name": name, "v4": 4_000_000, "v6": 12, "packets": 7, "bytes": 1_234_567});
        let feed = |name: &str| {
            json!({"name": name, "state": "synchronising", "server": "127.0.0.1", "port": 65535,
                "encrypted": true, "messages": 1_234_567})
        };
        let feeds = ["dynfw", "nats"].map(feed);
        let sources = ["dynfw", "nats", "scan", "manual"].map(source);
        let mut view = View {
            seconds: (999, 999),
            status: json!({"feeds": feeds, "sources": sources}),
            visitor: "198.51.100.77".into(),
            pings: vec![true; 100],
            ..View::default()
        };
        for number in 0..40 {
            view.change(json!({"id": number, "kind": "ban", "address": "203.0.113.7", "source": "dynfw",
                "reason": {"kind": "tagged", "text": "x".repeat(90)}}));
        }
        view
    }

    #[test]
    fn the_picture_fits_a_terminal_of_80_by_24() {
        let screen = Screen { terminal: true, colour: true, drawn: 0 };
        let lines = screen.picture(&view(), 24 - FIXED_LINES - 2);
        assert!(lines.len() < 24, "{} lines", lines.len());
        let plain = Screen { colour: false, ..screen };
        for line in plain.picture(&view(), 5).iter().take(FIXED_LINES) {
            assert!(line.chars().count() <= WIDTH, "{} characters: {line}", line.chars().count());
        }
    }

    #[test]
    fn a_change_says_what_happened_to_whom_and_why() {
        let screen = Screen { terminal: true, colour: false, drawn: 0 };
        let table = [
            (
                json!({"at": 100, "kind": "ban", "address": "203.0.113.7", "source": "nats", "until": 1600,
                    "reason": {"kind": "tagged", "text": "ssh"}}),
                " ban      203.0.113.7        nats    tagged: ssh, 1,500 s",
            ),
            (
                json!({"kind": "ban", "address": "203.0.113.7", "source": "scan",
                    "reason": {"kind": "port", "protocol": "tcp", "port": 23}}),
                " ban      203.0.113.7        scan    tried tcp port 23",
            ),
            (json!({"kind": "feed", "source": "nats", "text": "live"}), " feed                        nats    live"),
        ];
        for (change, expected) in table {
            assert_eq!(screen.change(&change), expected);
        }
    }

    #[test]
    fn a_cut_line_keeps_its_colours_and_loses_control_characters() {
        assert_eq!(cut("\x1b[31mabc\x1b[0mdef", 4), "\x1b[31mabc\x1b[0md");
        assert_eq!(cut("a\tb\rc", 80), "abc");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), expected);
        }
    }
}
