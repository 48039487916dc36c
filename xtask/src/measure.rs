//! What the bench and the demo read off the kernel: CPU time and memory of processes, and the moment at which an
//! element came into a set. Nothing here knows what is being measured.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket, sockopt,
};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde_json::Value;

use crate::Result;
use crate::command::{command, output, shown};
use crate::files::read_text;
use crate::parts::Part;

/// A process that used no more than this in [`QUIET`] has nothing left to do.
const REST: Duration = Duration::from_micros(500);
const QUIET: Duration = Duration::from_millis(400);

/// CPU time that all threads of a running process have used, those that have ended included, to the nanosecond.
pub fn cpu(pid: u32) -> Result<Duration> {
    threads(pid)?.ok_or_else(|| format!("process {pid} has ended"))
}

/// As [`cpu`]; nothing for a process that has ended. The process's own clock: it counts threads that have ended, too.
fn threads(pid: u32) -> Result<Option<Duration>> {
    let Ok(number) = i32::try_from(pid) else { return Ok(None) };
    match clock_getcpuclockid(Pid::from_raw(number)).and_then(clock_gettime) {
        Ok(time) => Ok(Some(time.into())),
        Err(Errno::ESRCH | Errno::EINVAL) => Ok(None),
        Err(error) => Err(format!("the clock of process {pid}: {error}")),
    }
}

/// CPU time of the thread with which a process began.
pub fn main_thread(pid: u32) -> Result<Duration> {
    let file = format!("/proc/{pid}/task/{pid}/schedstat");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let nanoseconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| format!("{file} says no time"))
}

/// Waits until a process has come to rest; its CPU time then.
pub fn cpu_at_rest(pid: u32) -> Result<Duration> {
    let mut before = cpu(pid)?;
    loop {
        sleep(QUIET);
        let now = cpu(pid)?;
        if now - before < REST {
            return Ok(now);
        }
        before = now;
    }
}

/// CPU time of a process group: of what runs, and of what has run and was waited for (that to 10 ms). Who ends
/// while this looks is waited for by its parent, which is counted at the next look.
pub fn group_cpu(group: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for member in members(group)? {
        sum += threads(member.pid)?.unwrap_or_default() + member.waited_for;
    }
    Ok(sum)
}

/// Memory of a process group in KiB, each page shared out among those that have it.
pub fn group_memory(group: u32) -> Result<u64> {
    let mut sum = 0;
    for member in members(group)? {
        let file = format!("/proc/{}/smaps_rollup", member.pid);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            // It has ended since it was listed: ESRCH once it is opened.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(3) => continue,
            Err(error) => return Err(format!("{file}: {error}")),
        };
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kibibytes: Option<u64> = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
        sum += kibibytes.ok_or_else(|| format!("{file} has no Pss"))?;
    }
    Ok(sum)
}

/// What a command and all that it starts cost.
pub struct Whole {
    /// From its start to its end.
    pub wall: Duration,
    /// User and system time of all of them, to 10 ms.
    pub cpu: Duration,
    /// Most memory that they had together in KiB, as [`group_memory`] saw it from time to time.
    pub peak: u64,
}

/// Runs a command to its end, in a process group of its own. Nothing else may be waited for meanwhile.
pub fn whole(command: &mut Command) -> Result<Whole> {
    let (before, start) = (waited_for()?, Instant::now());
    let mut child = command.process_group(0).spawn().map_err(|error| format!("{}: {error}", shown(command)))?;
    let mut peak = 0;
    let status = loop {
        match child.try_wait() {
            Ok(None) => peak = peak.max(group_memory(child.id())?),
            Ok(Some(status)) => break status,
            Err(error) => return Err(format!("{}: {error}", shown(command))),
        }
        sleep(Duration::from_millis(5));
    };
    let (wall, cpu) = (start.elapsed(), waited_for()? - before);
    if status.success() { Ok(Whole { wall, cpu, peak }) } else { Err(format!("{}: {status}", shown(command))) }
}

/// Looks at a process group that has just been started until `done` says so, and then at what it took.
pub fn group_whole(group: u32, mut done: impl FnMut() -> Result<bool>) -> Result<Whole> {
    let (start, mut peak) = (Instant::now(), 0);
    while !done()? {
        peak = peak.max(group_memory(group)?);
        sleep(Duration::from_millis(5));
    }
    Ok(Whole { wall: start.elapsed(), cpu: group_cpu(group)?, peak })
}

/// A program that does not end those it started: they end with it.
pub struct Group(pub Part);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = command("kill", &["-TERM", "--", &format!("-{}", self.0.id())]).status();
        // Time to put away its table.
        sleep(Duration::from_millis(500));
    }
}

/// How many processes and threads have been started in this namespace so far.
pub fn started() -> Result<u64> {
    let text = read_text(Path::new("/proc/loadavg"))?;
    let last = text.split_whitespace().last().and_then(|word| word.parse().ok());
    last.ok_or_else(|| format!("/proc/loadavg names no process: {text}"))
}

/// How many processes a group has.
pub fn group_size(group: u32) -> Result<usize> {
    members(group).map(|members| members.len())
}

/// CPU time of all that this process has waited for.
fn waited_for() -> Result<Duration> {
    let pid = std::process::id();
    member(pid, None).map(|own| own.waited_for).ok_or_else(|| format!("/proc/{pid}/stat cannot be read"))
}

struct Member {
    pid: u32,
    waited_for: Duration,
}

/// The processes of a group, from `/proc/PID/stat`.
fn members(group: u32) -> Result<Vec<Member>> {
    let processes = std::fs::read_dir("/proc").map_err(|error| format!("/proc: {error}"))?;
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter_map(|pid| member(pid, Some(group))).collect())
}

/// A process, if it is of that group.
fn member(pid: u32, group: Option<u32>) -> Option<Member> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may contain anything; state, parent and group follow it.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let of = number(2)?;
    let is_one = group.is_none_or(|group| u64::from(group) == of);
    is_one.then_some(Member { pid, waited_for: Duration::from_millis((number(13)? + number(14)?) * 10) })
}

/// A field of `/proc/PID/status` in KiB: `VmRSS` (resident), `VmHWM` (its peak).
pub fn memory(pid: u32, field: &str) -> Result<u64> {
    let file = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kibibytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    kibibytes.ok_or_else(|| format!("{file} has no {field}"))
}

/// What a command cost that ran to its end.
pub struct Cost {
    /// User and system time.
    pub cpu: Duration,
    /// Peak resident memory in KiB.
    pub peak: u64,
}

/// Runs a command to its end, through a Python of three lines: its resource module is getrusage(2).
pub fn cost(program: &str, args: &[&str]) -> Result<Cost> {
    const RUN: &str = "import json, resource, subprocess, sys\n\
        subprocess.run(sys.argv[1:], check=True, close_fds=False)\n\
        used = resource.getrusage(resource.RUSAGE_CHILDREN)\n\
        print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss]))";
    let text = output(command("/usr/bin/python3", &["-c", RUN, program]).args(args))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| format!("{program}: {error}: {text}"))?;
    let cpu = Duration::from_secs_f64(value[0].as_f64().unwrap_or_default());
    Ok(Cost { cpu, peak: value[1].as_u64().unwrap_or_default() })
}

/// Wall time of a command that is run to its end, output and all thrown away.
pub fn wall(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    output(command)?;
    Ok(start.elapsed())
}

/// Nanoseconds of `CLOCK_MONOTONIC`, which the simulated Sentinel stamps its deltas with.
pub fn monotonic() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(|error| format!("clock_gettime: {error}"))?;
    u64::try_from(Duration::from(now).as_nanos()).map_err(|error| format!("clock_gettime: {error}"))
}

/// Listens to the kernel's own announcements of changes to nftables.
pub struct Announcements {
    heard: Receiver<(u64, Vec<u8>)>,
}

impl Announcements {
    /// Begins to listen.
    pub fn listen() -> Result<Announcements> {
        let told = |what: &str, error: nix::Error| format!("netlink {what}: {error}");
        let fd: OwnedFd =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter)
                .map_err(|error| told("socket", error))?;
        setsockopt(&fd, sockopt::RcvBufForce, &(4 << 20)).map_err(|error| told("buffer", error))?;
        // NFNLGRP_NFTABLES is group 7: bit 6 of the mask.
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 1 << 6)).map_err(|error| told("bind", error))?;
        let (sender, heard) = channel();
        spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length) = recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                let Ok(now) = monotonic() else { break };
                let datagram = buffer.get(..length).unwrap_or_default().to_vec();
                if sender.send((now, datagram)).is_err() {
                    break;
                }
            }
        });
        Ok(Announcements { heard })
    }

    /// Nanoseconds of `CLOCK_MONOTONIC` at which these bytes, an address, were heard of.
    pub fn heard(&self, address: [u8; 4]) -> Result<u64> {
        self.heard_in("", address)
    }

    /// The same of the address in a set of this name.
    pub fn heard_in(&self, set: &str, address: [u8; 4]) -> Result<u64> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (at, datagram) =
                self.heard.recv_timeout(left).map_err(|_| "an announced address is not in its set after 10 s")?;
            let has = |wanted: &[u8]| wanted.is_empty() || datagram.windows(wanted.len()).any(|bytes| bytes == wanted);
            if has(&address) && has(set.as_bytes()) {
                return Ok(at);
            }
        }
    }
}

/// The middle value; of an even number the upper of the two in the middle.
pub fn median<T: Ord + Copy>(values: &mut [T]) -> Result<T> {
    values.sort_unstable();
    values.get(values.len() / 2).copied().ok_or_else(|| "the median of nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(&mut [5, 1, 9]), Ok(5));
        assert_eq!(median(&mut [4, 1]), Ok(4));
        assert!(median::<u8>(&mut []).is_err());
    }

    #[test]
    fn cpu_time_grows_with_work_and_memory_is_there() {
        let pid = std::process::id();
        let before = cpu(pid).expect("a clock");
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        assert!(cpu(pid).expect("a clock") > before);
        assert!(memory(pid, "VmRSS").expect("VmRSS") > 0);
        assert!(memory(pid, "VmNone").is_err());
        assert_eq!(threads(u32::MAX), Ok(None), "no such process");
    }
}
