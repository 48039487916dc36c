//! `cargo xtask bench`: the daemon measured beside `nft`, on one machine in one run, as a Markdown table.
//! It measures the release build from outside, over the same sockets and sets that a router has.

mod banip;
mod blocks;
mod comparing;
mod control;
mod counts;
mod crowdsec;
mod lists;
mod logins;
mod openwrt;
mod restart;
mod scan;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use counts::counts;

use crate::command::{cargo, command, output, run};
use crate::files::write;
use crate::measure::{Announcements, cost, cpu, cpu_at_rest, median, memory, wall};
use crate::parts::{Daemon, DisWall, Sentinel};
use crate::{Result, Subcommand, sandbox, setup};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand = Subcommand {
    name: "bench",
    summary: "the daemon measured beside nft, as a Markdown table",
    help: HELP,
    run: bench,
};

const HELP: &str = "\
Usage: cargo xtask bench [--runs N] [PART…]
       cargo xtask bench --counts [--mips [ARCH]…] [--write]

Builds the release program and measures it in a network namespace of its own, side by side with
`nft -f` and a forked `nft` on the same kernel. Prints a Markdown table: medians, their ratio, the
aim. CPU time is the kernel's own count for the process, the kernel's work on its
netlink messages included; memory is VmRSS and VmHWM.

  --runs N   repetitions of the rows with 100,000 addresses, 1 to 99 (default 5)
  --counts   instructions and memory of single pieces of work instead, by callgrind, beside the table in
             docs/counts.md; more than 10 % above it is refused. With --write: a new table.
             With --mips the same on MIPS, for mipsel_24kc and mips_24kc or the one that is named: built as for
             a router but for link-time optimization, and counted in qemu's user mode. The first time that
             builds the standard library too; afterwards, and for mips_24kc after `cargo xtask emulate
             --brief`, the pieces alone
  PART       only these rows: sets list deltas losses idle packets scan flood logins sharing
             control comparing blocks lists banip crowdsec decisions refill restart forward (default: all)

Needs root; takes about four minutes, and longer on a machine that is not quiet. fail2ban, sshguard
and gawk are installed to measure beside; where an installed service starts by itself, stop it. `crowdsec` unpacks
Debian's CrowdSec and its bouncer and takes five minutes more. `banip` and `restart` measure beside
banIP and fw4 where BANIP names a root of OpenWrt's with both (banip, firewall4, ubus, ucode, jsonfilter,
curl, gawk and base-files, for this machine's processor); nothing is written into it.";

/// The parts: name, what is said meanwhile, and what measures.
const PARTS: [(&str, &str, Measure); 20] = [
    ("sets", "the netlink part alone", Bench::sets),
    ("list", "a list of 100,000", Bench::list),
    ("deltas", "single deltas", Bench::deltas),
    ("losses", "deltas lost", Bench::losses),
    ("idle", "memory and idle", Bench::idle),
    ("packets", "a scanner's first packets", Bench::first_packets),
    ("scan", "a port scan", Bench::port_scan),
    ("flood", "a flood of forged sources", Bench::flood),
    ("logins", "lines in a log, beside fail2ban and sshguard", Bench::log_lines),
    ("sharing", "bans shared by two routers", Bench::shared_bans),
    ("control", "what LuCI asks, with 200,000 bans", Bench::control),
    ("comparing", "answers while sets are compared and filled", Bench::comparing),
    ("blocks", "20,000 addresses blocked by command", Bench::blocks),
    ("lists", "lists of hosts and networks", Bench::lists),
    ("banip", "the service with such lists, beside banIP's", Bench::banip),
    ("crowdsec", "CrowdSec's decisions, beside its own bouncer", Bench::crowdsec),
    ("decisions", "CrowdSec's decisions from a server that has them ready", Bench::decisions),
    ("refill", "refill after fw4 restart", Bench::refill),
    ("restart", "packets of a banned sender while the firewall restarts", Bench::restart),
    ("forward", "packets through the router", Bench::forward),
];

type Measure = fn(&Bench) -> Result<Vec<Row>>;

/// Addresses of the big rows.
const MANY: u32 = 100_000;

/// Addresses of the resident-memory and idle rows.
const USUAL: u32 = 20_000;

/// Deltas measured one by one.
const DELTAS: u32 = 500;

/// Deltas a second of the loss row.
const RATE: u32 = 500;

/// How long the idle daemon is looked at.
const IDLE: Duration = Duration::from_secs(30);

const LIVE_WITHIN: Duration = Duration::from_secs(60);

fn bench(args: &[String]) -> Result<()> {
    if let Some(("--counts", rest)) = args.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return counts(rest);
    }
    if let Some(args) = sandbox::is_inside(args) {
        let wanted = parse(args)?;
        let bench = Bench::set_up(wanted.runs)?;
        let outcomes = measured(&wanted.parts, &|measure| {
            // The flood's connections are nobody else's.
            output(&mut command("conntrack", &["-F"]))?;
            measure(&bench)
        });
        print!("\n{}", table(&outcomes));
        return failures(&outcomes);
    }
    let wanted = parse(args)?;
    setup::require_root("the bench")?;
    setup::ensure(&[setup::BUILD, setup::RUN, setup::TEST, setup::RIVALS])?;
    println!("Building the release program.");
    let mut build = cargo(&["build", "--release", "--bin", "diswall"]);
    for (part, example) in [("sets", "bench_sets"), ("forward", "bench_forward")] {
        if wanted.parts.contains(&part) {
            build.args(["--example", example]);
        }
    }
    run(&mut build)?;
    if wanted.parts.contains(&"crowdsec") || wanted.parts.contains(&"restart") {
        crowdsec::unpack()?;
    }
    run(&mut cargo(&["build", "--example", "diswall_service"]))?;
    sandbox::enter(SUBCOMMAND.name, args)
}

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    runs: usize,
    /// Names of [`PARTS`].
    parts: Vec<&'static str>,
}

fn parse(args: &[String]) -> Result<Wanted> {
    let mut runs = 5;
    let mut parts = Vec::new();
    let mut words = args.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let value = match word {
            "--runs" => Some(words.next().unwrap_or_default()),
            _ => word.strip_prefix("--runs="),
        };
        if let Some(value) = value {
            let number = value.parse().ok().filter(|runs| (1..=99).contains(runs));
            runs = number.ok_or_else(|| format!("--runs takes a number from 1 to 99, not {value:?}"))?;
        } else if let Some((name, ..)) = PARTS.iter().find(|(name, ..)| *name == word) {
            parts.push(*name);
        } else {
            let names = PARTS.map(|(name, ..)| name).join(" ");
            return Err(format!("bench takes --runs N and the parts {names}, and was given {word:?}"));
        }
    }
    if parts.is_empty() {
        parts = PARTS.map(|(name, ..)| name).to_vec();
    }
    Ok(Wanted { runs, parts })
}

/// What came of one part: its rows, or why there are none.
struct Outcome {
    part: &'static str,
    rows: Result<Vec<Row>>,
}

/// Measures the parts one after the other. Each stands alone: one that fails costs its own rows.
fn measured(parts: &[&str], measure: &dyn Fn(Measure) -> Result<Vec<Row>>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (part, what, function) in PARTS {
        if parts.contains(&part) {
            println!("Measuring: {what}");
            let rows = measure(function);
            if let Err(error) = &rows {
                eprintln!("{part}: {error}");
            }
            outcomes.push(Outcome { part, rows });
        }
    }
    outcomes
}

/// Names the parts that failed, for the exit status.
fn failures(outcomes: &[Outcome]) -> Result<()> {
    let failed: Vec<&str> =
        outcomes.iter().filter(|outcome| outcome.rows.is_err()).map(|outcome| outcome.part).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured: {}", failed.join(", "))) }
}

/// A line of the table.
struct Row {
    work: &'static str,
    own: String,
    other: String,
    /// Own figure over the other's.
    ratio: Option<f64>,
    aim: &'static str,
}

struct Bench {
    runs: usize,
    scratch: PathBuf,
    release: PathBuf,
    debug: PathBuf,
}

/// A daemon that follows a Sentinel, up to a point.
struct Stage {
    sentinel: Sentinel,
    daemon: Daemon,
    pid: u32,
}

impl Bench {
    fn set_up(runs: usize) -> Result<Bench> {
        let scratch = sandbox::scratch()?;
        let own = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
        let debug = own.parent().map(Path::to_path_buf).unwrap_or_default();
        let release = debug.with_file_name("release");
        Ok(Bench { runs, scratch, release, debug })
    }

    /// A fresh firewall and a daemon that is connected and waits for its list of `size`.
    fn stage(&self, size: u32) -> Result<Stage> {
        let sentinel = Sentinel::start(size, &self.scratch)?;
        let mut daemon = Daemon::configure(&self.release, &self.scratch, Some(&sentinel), None)?;
        output(&mut command("nft", &["flush", "ruleset"]))?;
        daemon.load_rules()?;
        daemon.start()?;
        wait_state(&mut daemon, "synchronising")?;
        let pid = daemon.part()?.id();
        Ok(Stage { sentinel, daemon, pid })
    }

    /// As `stage`, the list taken and all in the kernel; the CPU time that took.
    fn full_stage(&self, size: u32) -> Result<(Stage, Duration)> {
        let mut stage = self.stage(size)?;
        // The subscription is on its way once the state says so; a publisher drops what nobody wants.
        let before = cpu_at_rest(stage.pid)?;
        stage.sentinel.tell("publish")?;
        wait_state(&mut stage.daemon, "live")?;
        let used = cpu_at_rest(stage.pid)? - before;
        let held = held()?.len();
        if held != size as usize {
            return Err(format!("{size} addresses were listed, the set holds {held}"));
        }
        Ok((stage, used))
    }

    /// The text that `nft -f` loads: the same addresses into the same set.
    fn nft_text(&self, addresses: &[Ipv4Addr]) -> Result<PathBuf> {
        let mut text = String::from("add element inet fw4 diswall_dynfw4 {\n");
        for address in addresses {
            let _ = writeln!(text, "{address},");
        }
        text.push_str("}\n");
        let file = self.scratch.join("elements.nft");
        write(&file, text)?;
        Ok(file)
    }

    /// The firewall module without a daemon around it: `examples/bench_sets.rs`.
    fn sets(&self) -> Result<Vec<Row>> {
        let program = self.release.join("examples/bench_sets");
        let runs = self.runs.to_string();
        let text = output(&mut command(&program.to_string_lossy(), &[&MANY.to_string(), &runs]))?;
        let report: Value = serde_json::from_str(&text).map_err(|error| format!("bench_sets: {error}: {text}"))?;
        let figure = |key: &str| report[key].as_f64().ok_or_else(|| format!("bench_sets says no {key}: {report}"));
        let own = figure("diswall_user_ms")? + figure("diswall_system_ms")?;
        let other = figure("nft_user_ms")? + figure("nft_system_ms")?;
        Ok(vec![
            Row {
                work: "the firewall module alone, 100,000 adds over netlink: CPU time",
                own: format!("{own:.0} ms, {:.0} ms of it the kernel's", figure("diswall_system_ms")?),
                other: format!("{other:.0} ms (`nft -f`)"),
                ratio: Some(own / other),
                aim: "≤ 0.6 ×",
            },
            Row {
                work: "the same: one more add with 100,000 present",
                own: format!("{:.0} µs", figure("single_add_us")?),
                other: "43 µs (the floor, measured before)".into(),
                ratio: None,
                aim: "≤ 4 × the floor",
            },
        ])
    }

    /// Packets a second between two namespaces, on a ruleset of fw4's shape.
    fn forward(&self) -> Result<Vec<Row>> {
        let program = self.release.join("examples/bench_forward");
        let text = output(&mut command(&program.to_string_lossy(), &[]))?;
        let report: Value = serde_json::from_str(&text).map_err(|error| format!("bench_forward: {error}: {text}"))?;
        let rate = |stage: &str, kind: &str| -> Result<f64> {
            report[stage][kind].as_f64().ok_or_else(|| format!("bench_forward says no {stage} {kind}: {report}"))
        };
        let row = |work, kind, aim| -> Result<Row> {
            let (plain, empty, full) = (rate("plain", kind)?, rate("empty", kind)?, rate("full", kind)?);
            Ok(Row {
                work,
                own: format!("{:.0} k/s with 100,000 bans, {:.0} k/s with empty sets", full / 1e3, empty / 1e3),
                other: format!("{:.0} k/s (no rules of ours)", plain / 1e3),
                ratio: Some(full / plain),
                aim,
            })
        };
        Ok(vec![
            row("packets forwarded, of an established connection", "established", "nothing that can be measured")?,
            row("packets forwarded, each opening a connection", "new", "")?,
            Row {
                work: "a packet of a banned sender, from its sending to its drop, with the sample that the report takes",
                own: format!("{} ns", rate("dropped", "report")?),
                other: format!("{} ns (option report '0')", rate("dropped", "no_report")?),
                ratio: Some(rate("dropped", "report")? / rate("dropped", "no_report")?),
                aim: "nothing that can be measured",
            },
        ])
    }

    fn list(&self) -> Result<Vec<Row>> {
        let (mut own_cpu, mut own_peak, mut other_cpu, mut other_peak) = (vec![], vec![], vec![], vec![]);
        for _ in 0..self.runs {
            let (stage, used) = self.full_stage(MANY)?;
            own_cpu.push(used);
            own_peak.push(memory(stage.pid, "VmHWM")?);
            let file = self.nft_text(&held()?)?;
            let rules = output(&mut stage.daemon.command(&["rules", "--standalone"]))?;
            drop(stage);
            output(&mut command("nft", &["flush", "ruleset"]))?;
            sandbox::load_nft(&rules, &self.scratch)?;
            let loaded = cost("nft", &["-f", &file.to_string_lossy()])?;
            other_cpu.push(loaded.cpu);
            other_peak.push(loaded.peak);
        }
        let (own, other) = (median(&mut own_cpu)?, median(&mut other_cpu)?);
        let (own_peak, other_peak) = (median(&mut own_peak)?, median(&mut other_peak)?);
        Ok(vec![
            Row {
                work: "100,000 addresses, from a list on the socket to the kernel set: CPU time",
                own: milliseconds(own),
                other: format!("{} (`nft -f`)", milliseconds(other)),
                ratio: Some(own.as_secs_f64() / other.as_secs_f64()),
                aim: "≤ 0.6 ×",
            },
            Row {
                work: "the same: peak memory of the whole process",
                own: megabytes(own_peak),
                other: format!("{} (`nft -f`)", megabytes(other_peak)),
                ratio: Some(own_peak as f64 / other_peak as f64),
                aim: "≤ 14 MB",
            },
        ])
    }

    fn deltas(&self) -> Result<Vec<Row>> {
        let (mut stage, _) = self.full_stage(MANY)?;
        let announcements = Announcements::listen()?;
        let before = cpu_at_rest(stage.pid)?;
        let mut latencies = Vec::new();
        for number in 0..DELTAS {
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(3, 0, 0, 1)) + number);
            let answer = stage.sentinel.tell(&format!("add {address}"))?;
            let sent = answer["sent_ns"].as_u64().ok_or("the Sentinel does not say when it sent")?;
            latencies.push(Duration::from_nanos(announcements.heard(address.octets())?.saturating_sub(sent)));
            sleep(Duration::from_millis(2));
        }
        let used = (cpu(stage.pid)? - before) / DELTAS;
        // The set outlasts the daemon, which would take a stranger's element out before nft does.
        drop(stage);
        let mut forks = Vec::new();
        let mut fork_cpu = Vec::new();
        for number in 0..100 {
            let element = format!("{{ 4.0.0.{number} }}");
            let add = ["add", "element", "inet", "fw4", "diswall_dynfw4", &element];
            forks.push(wall(&mut command("nft", &add))?);
            let delete = ["delete", "element", "inet", "fw4", "diswall_dynfw4", &element];
            fork_cpu.push(cost("nft", &delete)?.cpu);
        }
        let (latency, fork, fork_cpu) = (median(&mut latencies)?, median(&mut forks)?, median(&mut fork_cpu)?);
        Ok(vec![
            Row {
                work: "one delta with 100,000 present, from the publisher's send to the kernel's announcement",
                own: microseconds(latency),
                other: format!("{} (a forked `nft`, without the way there)", microseconds(fork)),
                ratio: Some(latency.as_secs_f64() / fork.as_secs_f64()),
                aim: "≤ 0.1 ×",
            },
            Row {
                work: "the same: CPU time",
                own: microseconds(used),
                other: format!("{} (a forked `nft`)", microseconds(fork_cpu)),
                ratio: Some(used.as_secs_f64() / fork_cpu.as_secs_f64()),
                aim: "≤ 4 × 43 µs",
            },
        ])
    }

    /// Start in the middle of a stream, then a cut connection, then compare.
    fn losses(&self) -> Result<Vec<Row>> {
        let mut stage = self.stage(USUAL)?;
        stage.sentinel.tell("publish every 1")?;
        stage.sentinel.tell(&format!("deltas {RATE}"))?;
        wait_state(&mut stage.daemon, "live")?;
        sleep(Duration::from_secs(5));
        let first = self.missing(&mut stage)?;
        stage.sentinel.tell(&format!("deltas {RATE}"))?;
        sleep(Duration::from_secs(1));
        stage.sentinel.tell("close")?;
        sleep(Duration::from_secs(1));
        stage.sentinel.tell("open")?;
        wait_state(&mut stage.daemon, "live")?;
        sleep(Duration::from_secs(5));
        let second = self.missing(&mut stage)?;
        let row = |work, lost: usize, other: &str| Row {
            work,
            own: lost.to_string(),
            other: other.to_owned(),
            ratio: None,
            aim: "0",
        };
        let official = "435 per list taken (Turris' own client, measured before)";
        Ok(vec![
            row("addresses wrong after starting in a stream of 500 deltas a second", first, official),
            row("the same, after a connection cut for a second", second, official),
        ])
    }

    /// Stops the deltas; in how many addresses the set differs from what was published.
    fn missing(&self, stage: &mut Stage) -> Result<usize> {
        stage.sentinel.tell("deltas 0")?;
        cpu_at_rest(stage.pid)?;
        let answer = stage.sentinel.tell("dump")?;
        let published: std::collections::BTreeSet<Ipv4Addr> = addresses(&answer["addresses"]).collect();
        let held = held()?.into_iter().collect();
        Ok(published.symmetric_difference(&held).count())
    }

    fn idle(&self) -> Result<Vec<Row>> {
        let mut sentinel = Sentinel::start(USUAL, &self.scratch)?;
        sentinel.tell("publish every 1")?;
        let mut diswall = DisWall::start(&self.debug, &self.scratch)?;
        diswall.tell("ban 203.0.113.5 86400")?;
        let mut daemon = Daemon::configure(&self.release, &self.scratch, Some(&sentinel), Some(&diswall))?;
        output(&mut command("nft", &["flush", "ruleset"]))?;
        daemon.load_rules()?;
        daemon.start()?;
        wait_state(&mut daemon, "live")?;
        let pid = daemon.part()?.id();
        let before = cpu_at_rest(pid)?;
        let switches = voluntary_switches(pid)?;
        sleep(IDLE);
        let used = cpu(pid)? - before;
        let wakeups = voluntary_switches(pid)? - switches;
        let resident = memory(pid, "VmRSS")?;
        Ok(vec![
            Row {
                work: "resident memory, 20,000 bans, both feeds live, idle",
                own: megabytes(resident),
                other: "33 MB (Turris' own client, measured before)".into(),
                ratio: None,
                aim: "≤ 6 MB",
            },
            Row {
                work: "CPU time of 30 s idle, both feeds live",
                own: format!("{} in {wakeups} wake-ups", microseconds(used)),
                other: "–".into(),
                ratio: None,
                aim: "keep-alives and expiries",
            },
        ])
    }

    /// `fw4 restart` deletes the table and makes it again.
    fn refill(&self) -> Result<Vec<Row>> {
        let (stage, _) = self.full_stage(MANY)?;
        let file = self.nft_text(&held()?)?;
        let rules = output(&mut stage.daemon.command(&["rules", "--standalone"]))?;
        let (mut own, mut other) = (vec![], vec![]);
        for _ in 0..self.runs {
            let before = cpu_at_rest(stage.pid)?;
            output(&mut command("nft", &["delete", "table", "inet", "fw4"]))?;
            sandbox::load_nft(&rules, &self.scratch)?;
            wait_full(MANY as usize)?;
            own.push(cpu_at_rest(stage.pid)? - before);
        }
        drop(stage);
        for _ in 0..self.runs {
            output(&mut command("nft", &["flush", "ruleset"]))?;
            sandbox::load_nft(&rules, &self.scratch)?;
            other.push(cost("nft", &["-f", &file.to_string_lossy()])?.cpu);
        }
        let (own, other) = (median(&mut own)?, median(&mut other)?);
        Ok(vec![Row {
            work: "100,000 addresses back after `fw4 restart`: CPU time",
            own: milliseconds(own),
            other: format!("{} (`nft -f`)", milliseconds(other)),
            ratio: Some(own.as_secs_f64() / other.as_secs_f64()),
            aim: "≤ 0.6 ×",
        }])
    }
}

/// Waits until every feed that is on is in this state.
fn wait_state(daemon: &mut Daemon, state: &str) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < LIVE_WITHIN {
        let status = daemon.status()?.unwrap_or_default();
        let mut feeds =
            status["feeds"].as_array().into_iter().flatten().filter(|feed| feed["state"] != "off").peekable();
        if feeds.peek().is_some() && feeds.all(|feed| feed["state"] == state) {
            return Ok(());
        }
        sleep(Duration::from_millis(50));
    }
    Err(format!("the feeds are not {state} within {LIVE_WITHIN:?}"))
}

/// Waits until the set holds so many addresses.
fn wait_full(count: usize) -> Result<()> {
    let start = Instant::now();
    let mut last = 0;
    while start.elapsed() < Duration::from_secs(30) {
        last = held()?.len();
        if last == count {
            return Ok(());
        }
        sleep(Duration::from_millis(200));
    }
    Err(format!("{last} of {count} addresses are in the set after 30 s"))
}

/// What the kernel's set holds, in ascending order.
fn held() -> Result<Vec<Ipv4Addr>> {
    let text = output(&mut command("nft", &["-j", "list", "set", "inet", "fw4", "diswall_dynfw4"]))?;
    let listing: Value = serde_json::from_str(&text).map_err(|error| format!("nft -j list set: {error}"))?;
    let mut objects = listing["nftables"].as_array().into_iter().flatten();
    let set = objects.find_map(|object| object.get("set")).ok_or("nft lists no set")?;
    let mut held: Vec<Ipv4Addr> = addresses(&set["elem"]).collect();
    held.sort_unstable();
    Ok(held)
}

fn addresses(value: &Value) -> impl Iterator<Item = Ipv4Addr> {
    value.as_array().into_iter().flatten().filter_map(|address| address.as_str()?.parse().ok())
}

fn voluntary_switches(pid: u32) -> Result<u64> {
    let file = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|rest| rest.trim().parse().ok()).ok_or_else(|| format!("{file} counts no switches"))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}

fn microseconds(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1e6)
}

/// Kibibytes as megabytes of a million bytes.
fn megabytes(kibibytes: u64) -> String {
    format!("{:.1} MB", kibibytes as f64 * 1024.0 / 1e6)
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table = String::from("| work | diswall | beside it | ratio | aim |\n| --- | --- | --- | --- | --- |\n");
    for Outcome { part, rows } in outcomes {
        match rows {
            Ok(rows) => rows.iter().for_each(|row| line(&mut table, row)),
            Err(error) => {
                // One line, whatever a program printed.
                let why: Vec<&str> = error.split_whitespace().collect();
                let _ = writeln!(table, "| {part} | not measured: {} | – | – | – |", why.join(" "));
            }
        }
    }
    table
}

fn line(table: &mut String, Row { work, own, other, ratio, aim }: &Row) {
    let ratio = ratio.map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}"));
    let _ = writeln!(table, "| {work} | {own} | {other} | {ratio} | {aim} |");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_a_line_of_markdown() {
        assert_eq!(
            table(&[Outcome { part: "p", rows: Ok(vec![row()]) }]).lines().last(),
            Some("| w | 1 | 2 | 0.50 | a |")
        );
    }

    fn row() -> Row {
        Row { work: "w", own: "1".into(), other: "2".into(), ratio: Some(0.5), aim: "a" }
    }

    #[test]
    fn a_part_that_fails_costs_its_own_rows_alone_and_the_exit_status() {
        let (first, second) = (PARTS[0].0, PARTS[1].0);
        let calls = std::cell::Cell::new(0);
        let outcomes = measured(&[first, second], &|_| {
            calls.set(calls.get() + 1);
            if calls.get() == 1 { Err("/proc/7/task:\nNo such file".into()) } else { Ok(vec![row()]) }
        });
        let table = table(&outcomes);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        let failed = format!("| {first} | not measured: /proc/7/task: No such file | – | – | – |");
        assert_eq!(lines, [failed.as_str(), "| w | 1 | 2 | 0.50 | a |"]);
        assert_eq!(failures(&outcomes), Err(format!("not measured: {first}")));
        assert_eq!(failures(&outcomes[1..]), Ok(()));
    }

    #[test]
    fn runs_are_bounded_and_parts_known() {
        let parse = |words: &[&str]| parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let all = parse(&[]).expect("everything");
        assert_eq!((all.runs, all.parts.len()), (5, PARTS.len()));
        assert_eq!(parse(&["scan", "--runs=3", "logins"]), Ok(Wanted { runs: 3, parts: vec!["scan", "logins"] }));
        assert!(parse(&["--runs", "0"]).is_err());
        assert!(parse(&["--runs"]).is_err());
        assert!(parse(&["scans"]).is_err());
    }
}
