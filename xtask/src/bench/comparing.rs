//! The bench's rows about answers while the daemon compares its sets with the kernel and fills them: the longest wait
//! for `status` on the control socket, with 200,000 bans.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use super::{Bench, Row, Stage, milliseconds, wait_state};
use crate::Result;
use crate::command::{command, output};
use crate::measure::{cpu_at_rest, main_thread};

/// Bans in force.
const BANS: u32 = 200_000;

/// So long at most a comparison goes on.
const AFTERWARDS: Duration = Duration::from_secs(6);

/// Asks for the status all the time.
pub(super) struct Asking {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Waits>>,
}

/// How long answers took.
#[derive(Default)]
pub(super) struct Waits {
    longest: Duration,
    /// The most that the daemon itself worked between a question and its answer: what stays of it on an idle machine.
    own: Duration,
}

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} of them its own work)", milliseconds(self.longest), milliseconds(self.own))
    }
}

impl Asking {
    pub(super) fn begin(socket: PathBuf, pid: u32) -> Asking {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = spawn(move || {
            let mut waits = Waits::default();
            while !until.load(Ordering::Relaxed) {
                let (before, start) = (main_thread(pid)?, Instant::now());
                ask(&socket).map_err(|error| format!("status: {error}"))?;
                let (waited, own) = (start.elapsed(), main_thread(pid)? - before);
                waits.longest = waits.longest.max(waited);
                // The kernel counts a thread's time now and then.
                waits.own = waits.own.max(own.min(waited));
                sleep(Duration::from_millis(2));
            }
            Ok(waits)
        });
        Asking { over, thread }
    }

    pub(super) fn end(self) -> Result<Waits> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the asking thread ended")?
    }
}

fn ask(socket: &Path) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"{\"method\":\"status\"}\n")?;
    BufReader::new(stream).read_line(&mut String::new()).map(drop)
}

impl Bench {
    /// Every row: what goes on, and the longest wait for an answer.
    pub(super) fn comparing(&self) -> Result<Vec<Row>> {
        let (mut stage, _) = self.full_stage(BANS)?;
        let element = |verb| ["nft", verb, "element", "inet", "fw4", "diswall_dynfw4", "{ 203.0.113.77 }"];
        let added = self.meanwhile(&stage, &element("add"))?;
        let flushed = self.meanwhile(&stage, &["nft", "flush", "set", "inet", "fw4", "diswall_dynfw4"])?;
        let asking = Asking::begin(self.scratch.join("control.sock"), stage.pid);
        output(&mut stage.daemon.command(&["resync"]))?;
        wait_state(&mut stage.daemon, "synchronising")?;
        stage.sentinel.tell("publish")?;
        wait_state(&mut stage.daemon, "live")?;
        sleep(AFTERWARDS);
        let resynced = asking.end()?.to_string();
        let row = |work, own, aim| Row { work, own, other: "–".into(), ratio: None, aim };
        Ok(vec![
            row("200,000 bans, somebody else adds an element: longest wait for `status`", added, "≤ 100 ms"),
            row("the same, somebody else flushes the set, which is filled again", flushed, "≤ 100 ms"),
            row("the same, a `resync` with its list: longest wait for `status`", resynced, "≤ 100 ms"),
        ])
    }

    /// Does something, and gives the longest wait meanwhile.
    fn meanwhile(&self, stage: &Stage, what: &[&str]) -> Result<String> {
        let asking = Asking::begin(self.scratch.join("control.sock"), stage.pid);
        let (program, args) = what.split_first().ok_or("nothing to do")?;
        output(&mut command(program, args))?;
        // Whoever asks keeps the daemon from resting: the comparison is over when this is.
        sleep(AFTERWARDS);
        let longest = asking.end()?;
        cpu_at_rest(stage.pid)?;
        Ok(longest.to_string())
    }
}
