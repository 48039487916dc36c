//! The bench's rows about lists: files of hosts and of networks, from the file to the kernel's sets. `nft -f` alone
//! loads the same elements; `banip` has the same lists beside banIP. What others need to read and count their sets is
//! not measured.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::comparing::Asking;
use super::{Bench, Row, megabytes, milliseconds};
use crate::Result;
use crate::command::{command, output};
use crate::files::write;
use crate::measure::{Whole, cpu, cpu_at_rest, memory, whole};
use crate::parts::Daemon;
use crate::sandbox;

/// Who is done when it has used nothing for so long.
pub(super) const QUIET: Duration = Duration::from_millis(700);

/// CPU time that is work.
pub(super) const WORK: Duration = Duration::from_micros(300);

/// A list of the bench: a file of its own, the same each time, in no order.
pub(super) struct List {
    pub(super) name: &'static str,
    /// The set of its elements.
    pub(super) set: &'static str,
    count: u32,
    entry: fn(u32) -> String,
}

/// Hosts, from 11.0.0.0 to 89.0.0.0.
pub(super) const HOSTS: List =
    List { name: "hosts", set: "diswall_hosts4", count: 120_000, entry: |n| host(n * 11_000) };

/// Networks of six sizes, no two of which touch, from 128.0.0.0 to 169.0.0.0.
pub(super) const NETS: List = List {
    name: "nets",
    set: "diswall_nets.net4",
    count: 42_000,
    entry: |n| format!("{}/{}", Ipv4Addr::from_bits((128 << 24) + (n << 14)), 19 + n % 6),
};

/// Hosts that HOSTS has not.
const MORE: List = List { name: "more", set: "diswall_more4", count: 138_000, entry: |n| host(n * 9_000 + 1) };

fn host(number: u32) -> String {
    Ipv4Addr::from_bits((11 << 24) + number).to_string()
}

impl List {
    fn entries(&self) -> impl Iterator<Item = String> {
        // A prime that divides no count: every number comes, and neighbours are far apart.
        (0..self.count).map(|n| (self.entry)((u64::from(n) * 48_271 % u64::from(self.count)) as u32))
    }

    /// As a file of plain lines.
    pub(super) fn text(&self) -> String {
        let entries: Vec<String> = self.entries().collect();
        format!("# a list of the bench\n{}\n", entries.join("\n"))
    }

    /// The set has all of it.
    pub(super) fn check(&self, table: &str, set: &str) -> Result<()> {
        let text = output(&mut command("nft", &["-j", "list", "set", "inet", table, set]))?;
        let listing: Value = serde_json::from_str(&text).map_err(|error| format!("nft -j list set: {error}"))?;
        let mut objects = listing["nftables"].as_array().into_iter().flatten();
        let elements = objects.find_map(|object| object["set"]["elem"].as_array());
        let (held, count) = (elements.map_or(0, Vec::len), self.count);
        if held == count as usize { Ok(()) } else { Err(format!("{set} has {held} elements of {count}")) }
    }
}

impl Bench {
    /// Every row.
    pub(super) fn lists(&self) -> Result<Vec<Row>> {
        let (both, all) = ([HOSTS, NETS], [HOSTS, NETS, MORE]);
        for list in &all {
            write(&self.file_of(list), list.text())?;
        }
        let (mut own, mut again, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.runs {
            let mut daemon = self.without_lists(&both)?;
            own.push(switch_on(&mut daemon, &both)?);
            again.push(anew(&mut daemon, &both)?);
            let rules = output(&mut daemon.command(&["rules", "--standalone"]))?;
            daemon.stop()?;
            alone.push(self.by_nft(&both, &rules)?);
        }
        let beside = |work, figure: fn(&Whole) -> f64, told: fn(f64) -> String| -> Result<Row> {
            let [own, alone] = [middle(&own, figure)?, middle(&alone, figure)?];
            Ok(Row {
                work,
                own: told(own),
                other: format!("{} (`nft -f` alone)", told(alone)),
                ratio: Some(own / alone),
                aim: "–",
            })
        };
        let time: fn(f64) -> String = |seconds| milliseconds(Duration::from_secs_f64(seconds));
        let size: fn(f64) -> String = |kibibytes| megabytes(kibibytes as u64);
        let mut rows = vec![
            beside(
                "lists of 120,000 hosts and 42,000 networks, from the files to the kernel's sets: CPU time",
                |it| it.cpu.as_secs_f64(),
                time,
            )?,
            beside("the same: wall time", |it| it.wall.as_secs_f64(), time)?,
            beside("the same: most memory of all processes", |it| it.peak as f64, size)?,
        ];
        let again = [middle(&again, |it| it.wall.as_secs_f64())?, middle(&again, |it| it.cpu.as_secs_f64())?];
        let again = format!("{}, {} of CPU time", time(again[0]), time(again[1]));
        rows.push(alone_row("the same files read anew by `resync`, with nothing new in them", again, "–"));
        rows.extend(self.resident(&all)?);
        Ok(rows)
    }

    fn file_of(&self, list: &List) -> PathBuf {
        self.scratch.join(format!("{}.list", list.name))
    }

    /// A daemon that has no list; its firewall has sets for these, and its configuration gets them now.
    fn without_lists(&self, lists: &[List]) -> Result<Daemon> {
        let mut daemon = Daemon::configure(&self.release, &self.scratch, None, None)?;
        // Twice what they have, for a network counts as two.
        daemon.add("\nconfig diswall 'main'\n\toption max_entries '500000'\n")?;
        output(&mut command("nft", &["flush", "ruleset"]))?;
        daemon.load_rules()?;
        daemon.start()?;
        while daemon.status()?.is_none() {
            sleep(Duration::from_millis(50));
        }
        for list in lists {
            daemon.add(&format!("\nconfig list '{}'\n\toption url '{}'\n", list.name, self.file_of(list).display()))?;
        }
        daemon.load_rules()?;
        cpu_at_rest(daemon.part()?.id())?;
        Ok(daemon)
    }

    /// What `nft` takes to load the same elements into the same sets, both in one file.
    fn by_nft(&self, lists: &[List], rules: &str) -> Result<Whole> {
        let mut text = String::new();
        for list in lists {
            let _ = writeln!(text, "add element inet fw4 {} {{", list.set);
            for entry in list.entries() {
                let _ = writeln!(text, "{entry},");
            }
            text.push_str("}\n");
        }
        let file = self.scratch.join("elements.nft");
        write(&file, text)?;
        output(&mut command("nft", &["flush", "ruleset"]))?;
        sandbox::load_nft(rules, &self.scratch)?;
        let whole = whole(command("nft", &["-f"]).arg(file))?;
        lists.iter().try_for_each(|list| list.check("fw4", list.set))?;
        Ok(whole)
    }

    /// The rows of a daemon with as many entries as a large router has.
    fn resident(&self, lists: &[List]) -> Result<Vec<Row>> {
        let mut daemon = self.without_lists(lists)?;
        let pid = daemon.part()?.id();
        let before = memory(pid, "VmRSS")?;
        let taken = switch_on(&mut daemon, lists)?;
        // Threads that have nothing more to do end after 10 s.
        sleep(Duration::from_secs(12));
        let resident = memory(pid, "VmRSS")?;
        daemon.stop()?;
        let mut daemon = self.without_lists(lists)?;
        let asking = Asking::begin(self.scratch.join("control.sock"), daemon.part()?.id());
        ask_for(&mut daemon, lists)?;
        // Who is asked all the time does not rest: some time more than it took without.
        sleep(taken.wall * 2 + QUIET);
        let longest = asking.end()?;
        lists.iter().try_for_each(|list| list.check("fw4", list.set))?;
        let own = format!("{}; {} before, {} at most", megabytes(resident), megabytes(before), megabytes(taken.peak));
        let time = format!("{}, {} of CPU time", milliseconds(taken.wall), milliseconds(taken.cpu));
        Ok(vec![
            alone_row("resident memory with 300,000 entries of three lists", own, "≤ 8 MB"),
            alone_row("the same: from the files to the kernel's sets", time, "–"),
            alone_row("the same: longest wait for `status` meanwhile", longest.to_string(), "≤ 100 ms"),
        ])
    }
}

fn alone_row(work: &'static str, own: String, aim: &'static str) -> Row {
    Row { work, own, other: "–".into(), ratio: None, aim }
}

/// The median of a figure.
fn middle(all: &[Whole], figure: fn(&Whole) -> f64) -> Result<f64> {
    let mut figures: Vec<f64> = all.iter().map(figure).collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().ok_or_else(|| "nothing was measured".into())
}

/// Has the daemon read its configuration, and at once the lists that are in it.
fn ask_for(daemon: &mut Daemon, lists: &[List]) -> Result<()> {
    output(&mut command("kill", &["-HUP", &daemon.part()?.id().to_string()]))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    for list in lists {
        // It does not know them before it has read it.
        while let Err(error) = output(&mut daemon.command(&["resync", list.name])) {
            if Instant::now() > deadline {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// The lists come into force in a daemon that had none.
fn switch_on(daemon: &mut Daemon, lists: &[List]) -> Result<Whole> {
    let whole = taking(daemon, |daemon| ask_for(daemon, lists))?;
    lists.iter().try_for_each(|list| list.check("fw4", list.set))?;
    Ok(whole)
}

/// The daemon reads the lists again.
fn anew(daemon: &mut Daemon, lists: &[List]) -> Result<Whole> {
    taking(daemon, |daemon| {
        let ask = |list: &List| output(&mut daemon.command(&["resync", list.name])).map(drop);
        lists.iter().try_for_each(ask)
    })
}

/// What something takes the daemon, until it has nothing left to do; its memory at its peak since it was started.
pub(super) fn taking(daemon: &mut Daemon, what: impl FnOnce(&mut Daemon) -> Result<()>) -> Result<Whole> {
    let pid = daemon.part()?.id();
    let (before, start) = (cpu_at_rest(pid)?, Instant::now());
    what(daemon)?;
    let end = done_at(pid)?;
    Ok(Whole { wall: end - start, cpu: cpu(pid)? - before, peak: memory(pid, "VmHWM")? })
}

/// When a process did something for the last time, once it has been quiet for a while.
pub(super) fn done_at(pid: u32) -> Result<Instant> {
    let (mut last, mut end) = (cpu(pid)?, Instant::now());
    while end.elapsed() < QUIET {
        sleep(Duration::from_millis(2));
        let now = cpu(pid)?;
        if now - last > WORK {
            (last, end) = (now, Instant::now());
        }
    }
    Ok(end)
}
