//! What the daemon would make of the lines of a log: `diswall logs test`, and the box on LuCI's page.
//!
//! The judge is the daemon's own. It needs neither the daemon nor the kernel: whether somebody really talked
//! to the service, and who is never banned, it does not know and does not say. Lines are hostile: nothing of
//! them is handed on but the program's name, its process and the address.

use std::net::IpAddr;

use crate::config::Settings;
use crate::feed::login::judge::Verdict;
use crate::feed::login::{Judge, Line, each_watch, known, line};
use crate::json::fields;

/// A judge, and the names of whom it looks for.
pub struct Trial {
    judge: Judge,
    names: Vec<String>,
}

/// What is said of a line. Empty and 0: there is none.
#[derive(Default)]
pub struct Judged {
    /// The line's number, from 1.
    pub line: u64,
    /// Who wrote it.
    pub program: String,
    /// Its process id.
    pub process: String,
    /// Whose failure it is, or what else it tells of the service.
    pub service: String,
    /// Who failed.
    pub address: String,
    /// The client's port.
    pub port: u64,
    /// So many tries count.
    pub tries: u64,
    /// `why` as one word, for programs.
    pub verdict: String,
    /// Why it counts, or not.
    pub why: String,
}

fields!(Judged { line, program, process, service, address, port, tries, verdict, why });

/// A line too many bytes long.
const LONG: [&str; 2] = ["too_long", "longer than lines are looked at"];

impl Trial {
    /// For everything that the settings look for.
    pub fn configured(settings: &Settings) -> Trial {
        let mut trial = Trial::empty();
        each_watch(&settings.feeds, &mut |watch| {
            watch.add_to(&mut trial.judge, number(&trial.names));
            trial.names.push(watch.name.to_owned());
        });
        trial
    }

    /// For services by their names; a sentence where one is not known.
    pub fn of(services: &[String]) -> Result<Trial, String> {
        let mut trial = Trial::empty();
        for name in services {
            let service = known::service(name).ok_or_else(|| {
                let names: Vec<&str> = known::names().map(|(name, _)| name).collect();
                format!("'{name}' is no service that is known; accepted: {}", names.join(", "))
            })?;
            trial.judge.add_service(number(&trial.names), &service);
            trial.names.push(name.clone());
        }
        Ok(trial)
    }

    /// Every line may be of any log.
    fn empty() -> Trial {
        Trial { judge: Judge::new(true), names: Vec::new() }
    }

    /// Judges a line; one row, or one for each service that it concerns.
    pub fn line(&mut self, number: u64, text: &[u8], each: &mut dyn FnMut(Judged)) {
        if text.len() > line::MAX {
            return each(row(number, None, LONG));
        }
        Line::read(text, &mut |line| self.judged(number, line, each));
    }

    fn judged(&mut self, number: u64, line: &Line<'_>, each: &mut dyn FnMut(Judged)) {
        let mut verdicts = Vec::new();
        self.judge.judge(line, &mut |watch, verdict| verdicts.push((watch, verdict)));
        for (watch, verdict) in &verdicts {
            let (said, address) = of_verdict(*verdict);
            let mut row = row(number, Some(line), said);
            row.service = self.name(*watch).to_owned();
            row.address = address.map(|address| address.to_string()).unwrap_or_default();
            if let Verdict::Counts { port, tries, .. } = verdict {
                (row.port, row.tries) = (port.unwrap_or(0).into(), (*tries).into());
            }
            each(row);
        }
        if verdicts.is_empty() {
            let named = self.judge.named(line).map(|watch| self.name(watch));
            let said = match named {
                Some(_) => ["named", "a name stands in the address's place, and names are not looked up"],
                None if line.program.is_none() => ["no_head", "no head of a program, and no failed log-in by itself"],
                None if self.judge.knows(line) => ["no_failure", "no failed log-in"],
                None => ["unknown", "nobody asks about this program"],
            };
            each(Judged { service: named.unwrap_or_default().to_owned(), ..row(number, Some(line), said) });
        }
    }

    fn name(&self, watch: u16) -> &str {
        self.names.get(usize::from(watch)).map_or("", String::as_str)
    }
}

fn number(names: &[String]) -> u16 {
    u16::try_from(names.len()).unwrap_or(u16::MAX)
}

fn row(number: u64, line: Option<&Line<'_>>, [verdict, why]: [&str; 2]) -> Judged {
    let part = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or_default()).into_owned();
    Judged {
        line: number,
        program: part(line.and_then(|line| line.program)),
        process: part(line.and_then(|line| line.process)),
        verdict: verdict.into(),
        why: why.into(),
        ..Judged::default()
    }
}

fn of_verdict(verdict: Verdict) -> ([&'static str; 2], Option<IpAddr>) {
    match verdict {
        Verdict::Counts { address, .. } => (["counted", "counted"], Some(address)),
        Verdict::Joined(address) => {
            (["joined", "counts nothing more: other lines tell of the same try"], Some(address))
        }
        Verdict::NoTry(address) => (["no_failure", "no failed log-in"], Some(address)),
        Verdict::TakenBack(address) => {
            (["taken_back", "a success: one failure before it is taken back"], Some(address))
        }
        Verdict::Held => (["held", "its address comes with a later line"], None),
        Verdict::TwoHosts => (["two_hosts", "two addresses could be meant; it is not counted"], None),
        Verdict::Cut => (["cut", "may have been cut by the log; it is not counted"], None),
    }
}
