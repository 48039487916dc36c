//! `diswall logs test`: what the daemon would make of the lines of a log, line by line, and their sum.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{BufRead, Read};

use super::arguments::LogsTest;
use super::{Failure, Outcome, in_force, show};
use crate::exit;
use crate::owner::trial::{Judged, Trial};
use crate::plural;

/// Addresses that the sum counts apart; the rest only in its total.
const ADDRESSES: usize = 4096;

/// What a line's end is looked for in, at most.
const LONGEST: u64 = 1 << 20;

/// Reads the lines and prints what became of each.
pub fn test(command: &LogsTest) -> Outcome {
    let trial = if command.service.is_empty() {
        Trial::configured(&in_force(&super::config_path(command.config.clone()))?.settings)
    } else {
        Trial::of(&command.service).map_err(Failure::usage)?
    };
    let mut input = open(command.file.as_deref())?;
    let mut test = Test { trial, sum: Sum { json: command.json, ..Sum::default() } };
    loop {
        let mut text = Vec::new();
        let read = input.by_ref().take(LONGEST).read_until(b'\n', &mut text);
        match read.map_err(|error| unreadable(command.file.as_deref(), &error))? {
            0 => break,
            _ => test.line(text.strip_suffix(b"\n").unwrap_or(&text)),
        }
    }
    test.sum.print();
    Ok(exit::DONE)
}

fn open(file: Option<&str>) -> Result<Box<dyn BufRead>, Failure> {
    let Some(path) = file else { return Ok(Box::new(std::io::stdin().lock())) };
    let opened = std::fs::File::open(path).map_err(|error| unreadable(file, &error))?;
    Ok(Box::new(std::io::BufReader::new(opened)))
}

fn unreadable(file: Option<&str>, error: &std::io::Error) -> Failure {
    Failure { status: exit::NO, text: format!("{}: {error}", file.unwrap_or("standard input")) }
}

struct Test {
    trial: Trial,
    sum: Sum,
}

impl Test {
    fn line(&mut self, text: &[u8]) {
        let Test { trial, sum } = self;
        sum.lines += 1;
        trial.line(sum.lines, text, &mut |row| {
            if row.tries > 0 {
                sum.count(&row);
            }
            sum.say(text, &row);
        });
    }
}

#[derive(Default)]
struct Sum {
    json: bool,
    /// Tries by address and service.
    tries: HashMap<(String, String), u64>,
    lines: u64,
    counted: u64,
}

impl Sum {
    fn count(&mut self, row: &Judged) {
        self.counted += 1;
        let key = (row.address.clone(), row.service.clone());
        if let Some(sum) = self.tries.get_mut(&key) {
            *sum = sum.saturating_add(row.tries);
        } else if self.tries.len() < ADDRESSES {
            self.tries.insert(key, row.tries);
        }
    }

    fn say(&self, text: &[u8], row: &Judged) {
        if self.json {
            return show::json(row);
        }
        let program = if row.program.is_empty() { "no head" } else { &row.program };
        let mut said = format!("{}: {program}", row.line);
        let tries = if row.tries > 1 { format!("{} tries", row.tries) } else { String::new() };
        for word in [&row.service, &row.address, &tries] {
            if !word.is_empty() {
                said.extend([", ", word]);
            }
        }
        // A terminal obeys what a log may hold.
        let text: String =
            String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        show::say(&[&text, "\n  ", &said, ": ", &row.why].concat());
    }

    fn print(&self) {
        if self.json {
            return;
        }
        let mut sums: Vec<_> = self.tries.iter().collect();
        sums.sort_by_key(|(key, tries)| (Reverse(**tries), *key));
        show::say(&format!("\n{}, {} of them counted", plural::of(self.lines, "line", "lines"), self.counted));
        for ((address, service), tries) in sums {
            show::say(&format!("{address}, {service}: {tries}"));
        }
    }
}
