//! `diswall list-test`: what would be read of a list, from a file, standard input or where it is published.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};

use super::arguments::ListTest;
use super::{Failure, Outcome, show};
use crate::exit;
use crate::feed::fetch::{self, Wanted};
use crate::feed::lists::read::{Reason, Refused};
use crate::feed::lists::{Format, Item, NAMES_MAX, Reader, Summary, Verdict};
use crate::json;
use crate::model::{Builder, Range, Special};
use crate::plural;

/// Entries that are shown.
const FIRST: usize = 10;

/// Bytes of a file that are read at once.
const PIECE: usize = 64 << 10;

/// Reads the list and prints what would become of it.
pub fn test(command: &ListTest) -> Outcome {
    let name = command.format.as_deref().unwrap_or("auto");
    let format: Format = name.parse().map_err(|error| Failure::usage(format!("--format {name} {error}")))?;
    let mut taken =
        Taken { first: Vec::new(), why: Vec::new(), builder: Builder::new(u64::MAX), names: BTreeSet::new() };
    let mut reader = Reader::new(format);
    let mut push = |piece: &[u8]| reader.push(piece, &mut |item| taken.take(&item));
    let read = match command.list.contains("://") {
        true => from_web(&command.list, &mut push),
        false => from_file(&command.list, &mut push).map_err(|error| error.to_string()),
    };
    read.map_err(|text| Failure { status: exit::NO, text: format!("{}: {text}", command.list) })?;
    let summary = reader.finish(&mut |item| taken.take(&item));
    let report = Report::of(&summary, format, taken);
    if command.json {
        show::json(&report);
    } else {
        report.print();
    }
    Ok(if report.usable { exit::DONE } else { exit::NO })
}

fn from_file(path: &str, push: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) if !push(piece.get(..count).unwrap_or_default()) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}

fn from_web(url: &str, push: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(fetch::fetch(&Wanted::new(url), push)).map(drop).map_err(|failure| failure.text)
}

/// What is kept of the entries.
struct Taken {
    first: Vec<String>,
    /// What the list says of each of them.
    why: Vec<String>,
    builder: Builder,
    /// Host names, one more than there may be at most.
    names: BTreeSet<Box<str>>,
}

impl Taken {
    fn take(&mut self, item: &Item<'_>) {
        let shown = self.first.len() < FIRST;
        match *item {
            Item::Range(range, why) => {
                if shown {
                    self.first.push(text(range));
                    self.why.push(why.to_owned());
                }
                let why = self.builder.text(why);
                self.builder.tagged(range, why);
            }
            Item::Name(name) => {
                if shown {
                    self.first.push(name.to_owned());
                }
                if self.names.len() <= NAMES_MAX {
                    self.names.insert(name.into());
                }
            }
        }
    }
}

fn text(range: Range) -> String {
    if range.first == range.last {
        return range.first.to_string();
    }
    match range.nets().as_slice() {
        [net] => net.to_string(),
        _ => format!("{}-{}", range.first, range.last),
    }
}

/// The answer, also as JSON.
#[derive(Default)]
struct Report {
    usable: bool,
    why: Option<String>,
    format: String,
    found_out: bool,
    packed: bool,
    bytes: u64,
    lines: u64,
    read: Families,
    merged: Families,
    names: Option<u64>,
    masked: u64,
    left_out: u64,
    left_out_by_kind: Vec<Kind>,
    passed: u64,
    refused: u64,
    refused_by_reason: Vec<Kind>,
    first: Vec<String>,
    tags: Vec<String>,
    refused_lines: Vec<Line>,
}
json::fields!(Report {
    usable,
    why,
    format,
    found_out,
    packed,
    bytes,
    lines,
    read,
    merged,
    names,
    masked,
    left_out,
    left_out_by_kind,
    passed,
    refused,
    refused_by_reason,
    first,
    tags,
    refused_lines
});

/// Entries by family.
#[derive(Default)]
struct Families {
    hosts4: u64,
    networks4: u64,
    hosts6: u64,
    networks6: u64,
}
json::fields!(Families { hosts4, networks4, hosts6, networks6 });

/// How many of a kind.
#[derive(Default)]
struct Kind {
    what: String,
    count: u64,
}
json::fields!(Kind { what, count });

/// A refused line.
#[derive(Default)]
struct Line {
    line: u64,
    text: String,
    reason: String,
}
json::fields!(Line { line, text, reason });

impl Report {
    fn of(summary: &Summary, asked: Format, taken: Taken) -> Report {
        let too_many = taken.names.len() > NAMES_MAX;
        let usable = summary.verdict == Verdict::Usable && !too_many;
        let size = taken.builder.finish().map(|entries| entries.size()).unwrap_or_default();
        let line = |refused: &Refused| Line {
            line: refused.line,
            text: refused.text.clone(),
            reason: refused.reason.to_string(),
        };
        Report {
            usable,
            why: match too_many {
                true => Some(format!("too long: all lists together may have {NAMES_MAX} host names")),
                false if summary.verdict == Verdict::Names => {
                    Some(format!("{}; here: --format names", summary.verdict))
                }
                false => (!usable).then(|| summary.verdict.to_string()),
            },
            format: summary.format.to_string(),
            found_out: asked != summary.format,
            packed: summary.packed,
            bytes: summary.bytes,
            lines: summary.lines,
            read: Families {
                hosts4: summary.v4.hosts,
                networks4: summary.v4.networks,
                hosts6: summary.v6.hosts,
                networks6: summary.v6.networks,
            },
            merged: Families {
                hosts4: size.hosts4.into(),
                networks4: size.nets4.into(),
                hosts6: size.hosts6.into(),
                networks6: size.nets6.into(),
            },
            names: (summary.format == Format::Names).then_some(taken.names.len() as u64),
            masked: summary.masked,
            left_out: summary.left_out(),
            left_out_by_kind: kinds(Special::ALL.iter().map(Special::to_string), &summary.left_out),
            passed: summary.passed,
            refused: summary.refused(),
            refused_by_reason: kinds(Reason::ALL.iter().map(Reason::to_string), &summary.refused),
            first: taken.first,
            tags: if taken.why.iter().all(String::is_empty) { Vec::new() } else { taken.why },
            refused_lines: summary.shown.iter().map(line).collect(),
        }
    }

    fn print(&self) {
        match &self.why {
            None => show::say("usable"),
            Some(why) => show::say(&["refused: it is ", why].concat()),
        }
        let found_out = if self.found_out { ", found out" } else { "" };
        let packed = if self.packed { ", packed by gzip" } else { "" };
        row("format", &[&self.format, found_out, packed].concat());
        row("read", &format!("{}, {} bytes of text", plural::of(self.lines, "line", "lines"), self.bytes));
        if let Some(names) = self.names {
            row("names", &format!("{names}, each once; they are looked up when the list is in force"));
        } else {
            families("entries", &self.read);
            families("merged", &self.merged);
        }
        for (name, count, by) in
            [("left out", self.left_out, &self.left_out_by_kind), ("refused", self.refused, &self.refused_by_reason)]
        {
            if count > 0 {
                let by: Vec<String> = by.iter().map(|kind| format!("{} {}", kind.count, kind.what)).collect();
                row(name, &by.join("; "));
            }
        }
        if self.masked > 0 {
            let masked = plural::of(self.masked, "network was", "networks were");
            row("cut short", &[&masked, " written with host bits"].concat());
        }
        if self.passed > 0 {
            let passed = plural::of(self.passed, "line has", "lines have");
            row("passed", &[&passed, " nothing for us"].concat());
        }
        if !self.first.is_empty() {
            show::say("the first entries");
        }
        for (at, entry) in self.first.iter().enumerate() {
            let why = self.tags.get(at).filter(|why| !why.is_empty()).map_or(String::new(), |why| [": ", why].concat());
            show::say(&["  ", entry, &why].concat());
        }
        if !self.refused_lines.is_empty() {
            show::say("the first refused lines");
        }
        for line in &self.refused_lines {
            show::say(&format!("  {}: {}: {}", line.line, line.text, line.reason));
        }
    }
}

fn kinds(names: impl Iterator<Item = String>, counts: &[u64]) -> Vec<Kind> {
    let kinds = names.zip(counts).map(|(what, count)| Kind { what, count: *count });
    kinds.filter(|kind| kind.count > 0).collect()
}

fn families(name: &str, families: &Families) {
    let Families { hosts4, networks4, hosts6, networks6 } = families;
    let counted = |hosts: &u64, networks: &u64| {
        [plural::of(*hosts, "host", "hosts"), plural::of(*networks, "network", "networks")].join(", ")
    };
    row(name, &["IPv4 ", &counted(hosts4, networks4), "; IPv6 ", &counted(hosts6, networks6)].concat());
}

fn row(name: &str, text: &str) {
    show::say(&format!("{name:<10}{text}"));
}
