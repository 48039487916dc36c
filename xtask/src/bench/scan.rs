//! The bench's rows about scans: how soon a scanner is dropped, what a port scan still gets answered, and
//! what a flood of forged sources costs. The stranger is a machine of its own on a veth pair.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Bench, Row, megabytes, microseconds, milliseconds};
use crate::Result;
use crate::command::{command, output, run};
use crate::measure::{Announcements, cpu, cpu_at_rest, median, memory, monotonic};
use crate::parts::{Daemon, Part};
use crate::sandbox::Machine;

const ROUTER: &str = "192.0.2.1";

/// Sources that knock one after the other, below the rate at which a flood begins.
const KNOCKS: u32 = 100;

/// Time between two of them that the daemon is to ban: it takes 20 lone packets a second for what they seem.
const APART: Duration = Duration::from_millis(60);

/// How long after many bans at once a lone packet is taken for what it seems again.
const CALM: Duration = Duration::from_secs(10);

/// A port at which the kernel bans by itself, and one at which it leaves that to the daemon.
const HONEYPOT: u16 = 23;
const OTHER: u16 = 30_000;

const FLOOD: Duration = Duration::from_secs(20);

/// A daemon without feeds, and the stranger outside with all of 198.18.0.0/15 to send from.
struct Street {
    daemon: Daemon,
    pid: u32,
    stranger: Machine,
}

impl Bench {
    /// A router that has seen nothing yet.
    fn street(&self) -> Result<Street> {
        output(&mut command("nft", &["flush", "ruleset"]))?;
        // The kernel clears a former stranger's wire away in its own time.
        let _ = command("ip", &["link", "delete", "wan"]).stderr(Stdio::null()).status();
        let stranger = Machine::on_wan(&format!("{ROUTER}/24"), "192.0.2.2/24", "203.0.113.9/32")?;
        run(&mut command("ip", &["route", "replace", "198.18.0.0/15", "via", "192.0.2.2"]))?;
        let mut daemon = Daemon::configure(&self.release, &self.scratch, None, None)?;
        daemon.load_rules()?;
        daemon.start()?;
        let start = Instant::now();
        while daemon.status()?.is_none_or(|status| status["scan"]["state"] != "on") {
            if start.elapsed() > Duration::from_secs(30) {
                return Err("the router's eyes do not open within 30 s".into());
            }
        }
        let pid = daemon.part()?.id();
        Ok(Street { daemon, pid, stranger })
    }

    /// From the first SYN to the drop of the next.
    pub(super) fn first_packets(&self) -> Result<Vec<Row>> {
        let mut street = self.street()?;
        let mut program = street.stranger.command("/usr/bin/python3");
        program.args(["tests/parts/knock.py", "eth0", ROUTER]);
        let mut knock = Part::start("knock", &mut program, &self.scratch)?;
        knock.json()?;
        let (mut gaps, mut answered) = (vec![], 0);
        for number in 0..KNOCKS {
            let answer = tell(&mut knock, &format!("knock 198.18.1.{number} {HONEYPOT} 2"))?;
            gaps.push(nanoseconds(&answer, "gap_ns")?);
            answered += answer["answers"].as_u64().unwrap_or_default();
        }
        let dropped = u64::from(2 * KNOCKS).saturating_sub(answered);
        // A hundred bans at once look like a flood, in which a second packet is wanted of everybody.
        sleep(CALM);
        let announcements = Announcements::listen()?;
        let before = cpu_at_rest(street.pid)?;
        let mut latencies = vec![];
        for number in 0..KNOCKS as u8 {
            // So many bans a second that nobody's look is needed twice, as in a flood.
            sleep(APART);
            let sent = nanoseconds(&tell(&mut knock, &format!("knock 198.18.2.{number} {OTHER} 1"))?, "sent_ns")?;
            let heard = Duration::from_nanos(announcements.heard([198, 18, 2, number])?);
            latencies.push(heard.saturating_sub(sent));
        }
        let used = (cpu(street.pid)? - before) / KNOCKS;
        street.daemon.part()?.check_running()?;
        Ok(vec![
            Row {
                work: "a second SYN right behind the first, at a honeypot port (the kernel's ban)",
                own: format!("{dropped} of {KNOCKS} dropped, {} after the first", microseconds(median(&mut gaps)?)),
                other: "–".into(),
                ratio: None,
                aim: "all",
            },
            Row {
                work: "from the first SYN at another closed port to the element in the set (the daemon's ban)",
                own: format!("{}, {} of CPU time", microseconds(median(&mut latencies)?), microseconds(used)),
                other: "–".into(),
                ratio: None,
                aim: "–",
            },
        ])
    }

    /// `nmap -sS` over its 1,000 usual ports.
    pub(super) fn port_scan(&self) -> Result<Vec<Row>> {
        let mut street = self.street()?;
        let scan = [
            "-n",
            "-Pn",
            "-sS",
            "-T4",
            "--min-rate",
            "500",
            "--max-retries",
            "0",
            "-S",
            "203.0.113.9",
            "-e",
            "eth0",
            ROUTER,
            "-oG",
            "-",
        ];
        let report = output(street.stranger.command("nmap").args(scan))?;
        let closed = answered(&report)?;
        street.daemon.part()?.check_running()?;
        Ok(vec![Row {
            work: "`nmap -sS` over its 1,000 usual ports: probes that got an answer",
            own: closed.to_string(),
            other: "–".into(),
            ratio: None,
            aim: "–",
        }])
    }

    /// As fast as two hping3 send, each packet from another forged source; and amid them who really scans.
    pub(super) fn flood(&self) -> Result<Vec<Row>> {
        let mut street = self.street()?;
        let before = cpu_at_rest(street.pid)?;
        let quiet = memory(street.pid, "VmRSS")?;
        let start = Instant::now();
        let flooding = (0..2).map(|_| flood(&street.stranger)).collect::<Result<Vec<_>>>()?;
        while !street.daemon.status()?.is_some_and(|status| status["problems"].to_string().contains("a flood of")) {
            if start.elapsed() > FLOOD / 2 {
                return Err("`status` does not say that a flood is on".into());
            }
        }
        let told = start.elapsed();
        let announcements = Announcements::listen()?;
        let begun = monotonic()?;
        let scan = ["-q", "-c", "40", "-i", "u5000", "-a", "203.0.113.9", "-S", "-p", "++2000", ROUTER];
        let mut program = street.stranger.command("hping3");
        let scan = program.args(scan).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut scan = scan.map_err(|error| format!("hping3: {error}"))?;
        let banned = announcements.heard_in("diswall_scan4", [203, 0, 113, 9]);
        let _ = scan.wait();
        let banned = Duration::from_nanos(banned?.saturating_sub(begun));
        let left = FLOOD.saturating_sub(start.elapsed());
        let count = (left.as_secs() * 5).max(1).to_string();
        let ping = street.stranger.command("ping").args(["-q", "-i", "0.2", "-W", "1", "-c", &count, ROUTER]).output();
        let ping = ping.map_err(|error| format!("ping: {error}"))?;
        let mut sent = 0;
        for each in flooding {
            let ended = each.wait_with_output().map_err(|error| format!("hping3: {error}"))?;
            sent += transmitted(&String::from_utf8_lossy(&ended.stderr))?;
        }
        let lasted = start.elapsed().min(FLOOD);
        let pong = received(&String::from_utf8_lossy(&ping.stdout))?;
        let used = cpu_at_rest(street.pid)? - before;
        let peak = memory(street.pid, "VmHWM")?;
        let status = street.daemon.status()?.ok_or("the daemon does not answer after the flood")?;
        let bans = status["scan"]["bans_hour"].as_u64().unwrap_or_default();
        let rate = sent as f64 / lasted.as_secs_f64();
        Ok(vec![
            Row {
                work: "20 s of SYNs from forged sources: the daemon's CPU time",
                own: format!(
                    "{}, {:.1} % of a core, at {rate:.0} packets a second; {bans} bans; {} resident before, {} at \
                     most; {pong} of {count} pings answered meanwhile",
                    milliseconds(used),
                    used.as_secs_f64() / lasted.as_secs_f64() * 100.0,
                    megabytes(quiet),
                    megabytes(peak)
                ),
                other: "–".into(),
                ratio: None,
                aim: "100,000 a second, a tenth of a core",
            },
            Row {
                work: "amid them a scanner of 40 ports, from the start of its program to its ban",
                own: format!("{}; `status` said that a flood is on after {}", milliseconds(banned), milliseconds(told)),
                other: "–".into(),
                ratio: None,
                aim: "1 s",
            },
        ])
    }
}

/// Starts one that sends as fast as it can.
fn flood(stranger: &Machine) -> Result<std::process::Child> {
    let seconds = FLOOD.as_secs().to_string();
    let mut flood = stranger.command("timeout");
    flood.args(["-s", "INT", &seconds, "hping3", "-q", "--flood", "--rand-source", "-S", "-p", "22", ROUTER]);
    let flood = flood.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    flood.spawn().map_err(|error| format!("hping3: {error}"))
}

fn tell(part: &mut Part, line: &str) -> Result<Value> {
    part.send(line)?;
    let answer = part.json()?;
    match answer.get("error") {
        None => Ok(answer),
        Some(error) => Err(format!("knock: {line}: {error}")),
    }
}

fn nanoseconds(answer: &Value, key: &str) -> Result<Duration> {
    answer[key].as_u64().map(Duration::from_nanos).ok_or_else(|| format!("knock says no {key}: {answer}"))
}

/// Ports that answered, from nmap's `-oG`: those listed one by one, unless they are most.
fn answered(report: &str) -> Result<u64> {
    let line = report.lines().find(|line| line.contains("\tPorts: ") || line.contains("Ignored State:"));
    let line = line.ok_or_else(|| format!("nmap reports no ports: {report}"))?;
    let listed = line.matches("/closed/").count() + line.matches("/open/").count();
    let ignored = line.split("Ignored State: closed (").nth(1).and_then(|rest| rest.split(')').next()?.parse().ok());
    Ok(listed as u64 + ignored.unwrap_or(0))
}

/// hping3: `N packets transmitted, …`.
fn transmitted(report: &str) -> Result<u64> {
    let number = report.split(" packets t").next().and_then(|head| head.split_whitespace().last());
    number.and_then(|number| number.parse().ok()).ok_or_else(|| format!("hping3 says no number: {report}"))
}

/// ping: `N packets transmitted, M received, …`.
fn received(report: &str) -> Result<u64> {
    let number = report.split(" received").next().and_then(|head| head.split_whitespace().last());
    number.and_then(|number| number.parse().ok()).ok_or_else(|| format!("ping says no number: {report}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read() {
        let one = "Host: 192.0.2.1 ()\tPorts: 554/closed/tcp//rtsp///\tIgnored State: filtered (999)";
        assert_eq!(answered(one), Ok(1));
        let all = "Host: 192.0.2.1 ()\tPorts: 80/open/tcp//http///\tIgnored State: closed (999)";
        assert_eq!(answered(all), Ok(1000));
        assert!(answered("").is_err());
        assert_eq!(
            transmitted("hping in flood mode\n\n--- x ---\n362742 packets transmitted, 0 packets received"),
            Ok(362_742)
        );
        assert_eq!(received("100 packets transmitted, 98 received, 2% packet loss"), Ok(98));
        assert!(transmitted("no").is_err() && received("").is_err());
    }
}
