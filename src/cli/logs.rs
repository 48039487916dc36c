//! `diswall logs test`: what the daemon would make of the lines of a log, line by line, and their sum.
//!
//! The judge is the daemon's own. It needs neither the daemon nor the kernel: whether somebody really talked
//! to the service, and who is never banned, it does not know and does not say.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::net::IpAddr;

use super::{Failure, LogsTest, Outcome, exit, in_force, show};
use crate::daemon::logins::each_watch;
use crate::feed::login::judge::Verdict;
use crate::feed::login::{Judge, Line, known, line};

/// Addresses that the sum counts apart; the rest only in its total.
const ADDRESSES: usize = 4096;

/// What a line's end is looked for in, at most.
const LONGEST: u64 = 1 << 20;

/// Reads the lines and prints what became of each.
pub fn test(command: &LogsTest) -> Outcome {
    let (judge, names) = judge(command)?;
    let mut input = open(command.file.as_deref())?;
    let mut test = Test { judge, names, json: command.json, sums: HashMap::new(), lines: 0, counted: 0 };
    loop {
        let mut text = Vec::new();
        let read = input.by_ref().take(LONGEST).read_until(b'\n', &mut text);
        match read.map_err(|error| unreadable(command.file.as_deref(), &error))? {
            0 => break,
            _ => test.line(text.strip_suffix(b"\n").unwrap_or(&text)),
        }
    }
    test.sum();
    Ok(exit::DONE)
}

/// The configured services, or those that are named; every line may be of any log.
fn judge(command: &LogsTest) -> Result<(Judge, Vec<String>), Failure> {
    let (mut judge, mut names) = (Judge::new(true), Vec::new());
    if command.service.is_empty() {
        let settings = in_force(&super::config_path(command.config.clone()))?.settings;
        each_watch(&settings, &mut |watch| {
            watch.add_to(&mut judge, number(&names));
            names.push(watch.name.to_owned());
        });
    }
    for name in &command.service {
        let service = known::service(name).ok_or_else(|| {
            let names: Vec<&str> = known::names().map(|(name, _)| name).collect();
            Failure::usage(format!("'{name}' is no service that is known; accepted: {}", names.join(", ")))
        })?;
        judge.add_service(number(&names), &service);
        names.push(name.clone());
    }
    Ok((judge, names))
}

fn number(names: &[String]) -> u16 {
    u16::try_from(names.len()).unwrap_or(u16::MAX)
}

fn open(file: Option<&str>) -> Result<Box<dyn BufRead>, Failure> {
    let Some(path) = file else { return Ok(Box::new(std::io::stdin().lock())) };
    let opened = std::fs::File::open(path).map_err(|error| unreadable(file, &error))?;
    Ok(Box::new(std::io::BufReader::new(opened)))
}

fn unreadable(file: Option<&str>, error: &std::io::Error) -> Failure {
    Failure { status: exit::NO, text: format!("{}: {error}", file.unwrap_or("standard input")) }
}

/// A line of `--json`. Empty and 0: there is none.
#[derive(Default)]
struct Row {
    line: u64,
    program: String,
    process: String,
    service: String,
    address: String,
    port: u64,
    tries: u64,
    why: String,
}

crate::json::fields!(Row { line, program, process, service, address, port, tries, why });

struct Test {
    judge: Judge,
    names: Vec<String>,
    json: bool,
    /// Tries by address and service.
    sums: HashMap<(IpAddr, u16), u32>,
    lines: u64,
    counted: u64,
}

/// What is said of a line.
struct Said<'a> {
    service: &'a str,
    address: Option<IpAddr>,
    port: Option<u16>,
    tries: u32,
    why: &'static str,
}

impl Test {
    fn line(&mut self, text: &[u8]) {
        self.lines += 1;
        if text.len() > line::MAX {
            return self.say(text, None, Said { why: "longer than lines are looked at", ..Said::none() });
        }
        Line::read(text, &mut |line| self.judged(text, line));
    }

    fn judged(&mut self, text: &[u8], line: &Line<'_>) {
        let mut verdicts = Vec::new();
        self.judge.judge(line, &mut |watch, verdict| verdicts.push((watch, verdict)));
        if verdicts.is_empty() {
            let mut said = Said::none();
            let named = self.judge.named(line).map(|watch| self.name(watch));
            (said.service, said.why) = match named {
                Some(name) => (name, "a name stands in the address's place, and names are not looked up"),
                None if line.program.is_none() => ("", "no head of a program, and no failed log-in by itself"),
                None if self.judge.knows(line) => ("", "no failed log-in"),
                None => ("", "nobody asks about this program"),
            };
            return self.say(text, Some(line), said);
        }
        for (watch, verdict) in verdicts {
            let mut said = Said { service: self.name(watch), ..Said::none() };
            match verdict {
                Verdict::Counts { address, port, tries } => {
                    (said.address, said.port, said.tries, said.why) = (Some(address), port, tries, "counted");
                    self.say(text, Some(line), said);
                    self.count(address, watch, tries);
                    continue;
                }
                Verdict::Joined(address) => {
                    (said.address, said.why) = (Some(address), "counts nothing more: other lines tell of the same try");
                }
                Verdict::NoTry(address) => (said.address, said.why) = (Some(address), "no failed log-in"),
                Verdict::TakenBack(address) => {
                    (said.address, said.why) = (Some(address), "a success: one failure before it is taken back");
                }
                Verdict::Held => said.why = "its address comes with a later line",
                Verdict::TwoHosts => said.why = "two addresses could be meant; it is not counted",
                Verdict::Cut => said.why = "may have been cut by the log; it is not counted",
            }
            self.say(text, Some(line), said);
        }
    }

    fn name(&self, watch: u16) -> &str {
        self.names.get(usize::from(watch)).map_or("", String::as_str)
    }

    fn count(&mut self, address: IpAddr, watch: u16, tries: u32) {
        self.counted += 1;
        if let Some(sum) = self.sums.get_mut(&(address, watch)) {
            *sum = sum.saturating_add(tries);
        } else if self.sums.len() < ADDRESSES {
            self.sums.insert((address, watch), tries);
        }
    }

    fn say(&self, text: &[u8], line: Option<&Line<'_>>, said: Said<'_>) {
        let part = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or_default()).into_owned();
        let (program, process) = line.map_or_else(Default::default, |line| (part(line.program), part(line.process)));
        let address = said.address.map(|address| address.to_string()).unwrap_or_default();
        let (service, why) = (said.service.to_owned(), said.why.to_owned());
        if self.json {
            let (port, tries) = (said.port.unwrap_or(0).into(), said.tries.into());
            return show::json(&Row { line: self.lines, program, process, service, address, port, tries, why });
        }
        let mut row = format!("{}: {}", self.lines, if program.is_empty() { "no head" } else { &program });
        for word in [service, address, if said.tries > 1 { format!("{} tries", said.tries) } else { String::new() }] {
            if !word.is_empty() {
                row.extend([", ", &word]);
            }
        }
        // A terminal obeys what a log may hold.
        let text: String = part(Some(text)).chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        show::say(&[&text, "\n  ", &row, ": ", &why].concat());
    }

    fn sum(&self) {
        if self.json {
            return;
        }
        let mut sums: Vec<_> = self.sums.iter().collect();
        sums.sort_by_key(|(key, tries)| (Reverse(**tries), **key));
        show::say(&format!("\n{} lines, {} of them counted", self.lines, self.counted));
        for ((address, watch), tries) in sums {
            show::say(&format!("{address}, {}: {tries}", self.name(*watch)));
        }
    }
}

impl Said<'_> {
    fn none() -> Self {
        Said { service: "", address: None, port: None, tries: 0, why: "" }
    }
}
