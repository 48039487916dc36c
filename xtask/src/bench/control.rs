//! The bench's rows about what LuCI asks: calls of the real rpcd face with 200,000 bans in the kernel, their wall
//! time, the daemon's share of it, and its memory meanwhile.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Bench, Row, Stage, megabytes};
use crate::Result;
use crate::command::output;
use crate::files::write;
use crate::measure::{cpu, cpu_at_rest, median, memory};

/// Bans in force.
const BANS: u32 = 200_000;

/// Calls a median is taken of.
const CALLS: usize = 21;

/// Comparisons with the kernel.
const COMPARISONS: usize = 3;

/// What the issue grants a call.
const LIMIT: Duration = Duration::from_millis(100);

/// One question and what it cost.
struct Asked {
    wall: Duration,
    slowest: Duration,
    /// CPU time of the daemon, a call.
    daemon: Duration,
}

impl Asked {
    fn told(&self) -> String {
        with_share(self.wall, self.daemon)
    }
}

impl Bench {
    /// Every method of the face; the rows name the ones that have most to do.
    pub(super) fn control(&self) -> Result<Vec<Row>> {
        let (mut stage, _) = self.full_stage(BANS)?;
        let before = memory(stage.pid, "VmRSS")?;
        forget_peak(stage.pid)?;
        let page = |number: u32| json!({ "offset": (number - 1) * 50, "limit": 50 });
        let (first, deep) = (stage.ask("bans", &page(1))?, stage.ask("bans", &page(2000))?);
        let status = stage.ask("status", &json!({}))?;
        let sorted = stage.ask("bans", &json!({ "sort": "address", "offset": 99_950 }))?;
        let search = stage.ask("bans", &json!({ "search": "no such word" }))?;
        let slowest = stage.slowest([
            ("status", &status),
            ("bans, page 1", &first),
            ("bans, page 2,000", &deep),
            ("bans, a search", &search),
        ])?;
        let listed = stage.list()?;
        let compared = stage.compare()?;
        let peak = memory(stage.pid, "VmHWM")?;
        let row = |work, own, ratio, aim| Row { work, own, other: "–".into(), ratio, aim };
        let depth = deep.daemon.as_secs_f64() / first.daemon.as_secs_f64();
        Ok(vec![
            row("rpcd call `status` with 200,000 bans", status.told(), None, "≤ 100 ms"),
            row("the same: `bans`, page 1 of 50 rows, the newest first", first.told(), None, "≤ 100 ms"),
            row("the same: `bans`, page 2,000 (ratio: to page 1)", deep.told(), Some(depth), "as page 1"),
            row("the same: `bans`, a word looked for in all reasons", search.told(), None, "≤ 100 ms"),
            row(
                "the same: the slowest single call of all 13 methods, 21 of each, those below aside",
                slowest,
                None,
                "≤ 100 ms",
            ),
            row("the same: `bans` by address, page 2,000: looks through all", sorted.told(), None, "≤ 100 ms"),
            row(
                "the same: `status` right behind a `resync`, which compares all with the kernel",
                compared,
                None,
                "≤ 100 ms",
            ),
            row("the same: `diswall list --json`, all 200,000", listed, None, "–"),
            row(
                "the daemon's memory: before these calls, and at most",
                format!("{}, {}", megabytes(before), megabytes(peak)),
                Some(peak as f64 / before as f64),
                "–",
            ),
        ])
    }
}

impl Stage {
    /// Asks the same thing `CALLS` times.
    fn ask(&mut self, method: &str, arguments: &Value) -> Result<Asked> {
        let mut walls = Vec::with_capacity(CALLS);
        let before = cpu_at_rest(self.pid)?;
        for _ in 0..CALLS {
            walls.push(self.call(method, arguments)?);
        }
        let daemon = (cpu(self.pid)? - before) / CALLS as u32;
        let slowest = walls.iter().copied().max().unwrap_or_default();
        Ok(Asked { wall: median(&mut walls)?, slowest, daemon })
    }

    /// One call of the face, as rpcd makes it.
    fn call(&mut self, method: &str, arguments: &Value) -> Result<Duration> {
        let start = Instant::now();
        let mut command = self.daemon.command(&["rpcd", "call", method]);
        let failed = |error: std::io::Error| format!("rpcd call {method}: {error}");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(arguments.to_string().as_bytes()).map_err(failed)?;
        }
        let answer = child.wait_with_output().map_err(failed)?;
        let wall = start.elapsed();
        let value: Value = serde_json::from_slice(&answer.stdout).map_err(|error| format!("{method}: {error}"))?;
        match value.get("error") {
            None => Ok(wall),
            Some(error) => Err(format!("rpcd call {method} {arguments}: {error}")),
        }
    }

    /// The slowest call of all methods: those measured, and the others now.
    fn slowest(&mut self, measured: [(&'static str, &Asked); 4]) -> Result<String> {
        let mut slowest = measured.map(|(name, asked)| (asked.slowest, name)).into_iter().max().unwrap_or_default();
        let one = json!({ "addresses": ["198.51.100.7"] });
        let others = [
            ("feeds", json!({})),
            ("check", json!({ "address": "198.51.100.7" })),
            ("allowances", json!({})),
            ("history", json!({ "hours": 168 })),
            ("events", json!({ "limit": 200 })),
            ("kick", one.clone()),
        ];
        for (method, arguments) in &others {
            slowest = slowest.max((self.ask(method, arguments)?.slowest, method));
        }
        slowest = slowest.max((self.call("resync", &json!({ "source": "dynfw" }))?, "resync"));
        cpu_at_rest(self.pid)?;
        // Those that change something, each with what takes it back.
        for _ in 0..CALLS {
            for method in ["allow", "disallow", "block", "unblock"] {
                slowest = slowest.max((self.call(method, &one)?, method));
            }
        }
        let (time, name) = slowest;
        let verdict = if time > LIMIT { ", too slow" } else { "" };
        Ok(format!("{} ({name}){verdict}", milliseconds(time)))
    }

    /// A question that comes while the daemon reads its sets back from the kernel.
    fn compare(&mut self) -> Result<String> {
        let mut walls = Vec::with_capacity(COMPARISONS);
        for _ in 0..COMPARISONS {
            self.call("resync", &json!({ "source": "dynfw" }))?;
            // The comparison begins a moment later.
            sleep(Duration::from_millis(30));
            walls.push(self.call("status", &json!({}))?);
            cpu_at_rest(self.pid)?;
        }
        Ok(milliseconds(median(&mut walls)?))
    }

    /// All bans through the command line.
    fn list(&mut self) -> Result<String> {
        let before = cpu_at_rest(self.pid)?;
        let start = Instant::now();
        let lines = output(&mut self.daemon.command(&["list", "--json"]))?.lines().count();
        let wall = start.elapsed();
        if lines < BANS as usize {
            return Err(format!("diswall list prints {lines} of {BANS} bans"));
        }
        Ok(with_share(wall, cpu(self.pid)? - before))
    }
}

/// The peak of resident memory begins anew.
fn forget_peak(pid: u32) -> Result<()> {
    write(Path::new(&format!("/proc/{pid}/clear_refs")), "5")
}

fn with_share(wall: Duration, daemon: Duration) -> String {
    format!("{}, {} of it the daemon's CPU time", milliseconds(wall), milliseconds(daemon))
}

/// With a place behind the point where that says something.
fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    if milliseconds < 10.0 { format!("{milliseconds:.2} ms") } else { format!("{milliseconds:.0} ms") }
}
