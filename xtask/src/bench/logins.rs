//! The bench's rows about failed log-ins: how soon a line in a log is an element in a set, beside fail2ban and
//! sshguard of Debian's on the very same line, and how soon another router has it over a real NATS server.
//!
//! Every program gets the same: a log file of its own that it follows as it follows files by default, one
//! failure that bans, a first ban before the clock runs, and the kernel's own announcement as its end.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Bench, Row, megabytes, microseconds, milliseconds, wait_state};
use crate::Result;
use crate::command::{command, output, run};
use crate::files::{make_directory, write};
use crate::measure::{Announcements, Group, group_cpu, group_memory, median, monotonic};
use crate::parts::{Daemon, DisWall, LOGIN, Part};

/// Lines measured one by one.
const LINES: u8 = 60;

/// Between two lines, and a little more each time: no program's own rhythm is met.
const PAUSE: Duration = Duration::from_millis(230);

/// A log that is full: so many lines every [`TICK`], 5,000 a second, for [`TICKS`].
const AT_ONCE: usize = 50;
const TICK: Duration = Duration::from_millis(10);
const TICKS: u32 = 500;

/// What a program made of the lines.
struct Figures {
    latency: Duration,
    /// Per ban, of the program and whatever it starts.
    cpu: Duration,
    /// KiB, its share of shared pages included.
    memory: u64,
    /// Of a core, while the log is full of nobody's lines, and while half of them are sshd's.
    shares: [f64; 2],
}

impl Bench {
    /// From the log to the set, beside two others.
    pub(super) fn log_lines(&self) -> Result<Vec<Row>> {
        let own = self.diswall()?;
        let fail2ban = self.fail2ban()?;
        let sshguard = self.sshguard()?;
        let ratio = |figure: fn(&Figures) -> f64| Some(figure(&own) / figure(&fail2ban).min(figure(&sshguard)));
        let row = |work, said: fn(&Figures) -> String, figure| Row {
            work,
            own: said(&own),
            other: format!("{} (fail2ban), {} (sshguard)", said(&fail2ban), said(&sshguard)),
            ratio: ratio(figure),
            aim: "–",
        };
        Ok(vec![
            row(
                "from sshd's line in the log to the element in the set",
                |figures| shown(figures.latency),
                |figures| figures.latency.as_secs_f64(),
            ),
            row(
                "the same: CPU time of a ban, with every process that is started for it",
                |figures| shown(figures.cpu),
                |figures| figures.cpu.as_secs_f64(),
            ),
            row(
                "the same: memory of all its processes (PSS)",
                |figures| megabytes(figures.memory),
                |figures| figures.memory as f64,
            ),
            Row {
                aim: "< 5 %",
                ..row(
                    "a log of 5,000 lines a second of programs nobody asked about: share of a core",
                    |figures| percent(figures.shares[0]),
                    |figures| figures.shares[0],
                )
            },
            Row {
                aim: "< 5 %",
                ..row(
                    "the same, half of the lines sshd's, one in twenty a failed log-in",
                    |figures| percent(figures.shares[1]),
                    |figures| figures.shares[1],
                )
            },
        ])
    }

    fn diswall(&self) -> Result<Figures> {
        let place = self.place("follows")?;
        let log = new_log(&place)?;
        let mut daemon = Daemon::configure(&self.release, &place, None, None)?;
        daemon.add(&following(&log))?;
        output(&mut command("nft", &["flush", "ruleset"]))?;
        daemon.load_rules()?;
        daemon.start()?;
        wait(&mut || Ok(daemon.status()?.is_some()), "diswall")?;
        let group = daemon.part()?.id();
        follow(&log, group)
    }

    /// Debian's own configuration, with its `sshd` jail switched on.
    fn fail2ban(&self) -> Result<Figures> {
        let place = self.place("fail2ban")?;
        let log = new_log(&place)?;
        let path = |name: &str| place.join(name).display().to_string();
        let files = path("etc");
        run(&mut command("cp", &["-r", "/etc/fail2ban", &files]))?;
        // What this machine's owner has switched on stays out.
        run(&mut command("rm", &["-rf", &path("etc/jail.d"), &path("etc/jail.local"), &path("etc/fail2ban.local")]))?;
        let (socket, pid) = (path("socket"), path("pid"));
        let own = format!(
            "[Definition]\nlogtarget = {}\nsocket = {socket}\npidfile = {pid}\ndbfile = {}\n",
            path("log"),
            path("db")
        );
        write(&place.join("etc/fail2ban.local"), &own)?;
        let jail = format!(
            "[DEFAULT]\nbanaction = nftables\n\n[sshd]\nenabled = true\nmaxretry = 1\nlogpath = {}\n",
            log.display()
        );
        write(&place.join("etc/jail.local"), &jail)?;
        let common = ["-c", &files, "-s", &socket, "-p", &pid];
        let mut server = command("fail2ban-server", &common);
        let server = Group(Part::start("fail2ban", server.args(["-f", "-x", "start"]), &self.scratch)?);
        let up =
            || command("fail2ban-client", &common).args(["status", "sshd"]).output().is_ok_and(|o| o.status.success());
        wait(&mut || Ok(up()), "fail2ban")?;
        follow(&log, server.0.id())
    }

    /// Its own script with its nftables backend.
    fn sshguard(&self) -> Result<Figures> {
        let place = self.place("sshguard")?;
        let log = new_log(&place)?;
        // It reads one configuration and no other; the mounts here are the sandbox's own.
        let configuration = place.join("sshguard.conf");
        write(&configuration, "BACKEND=/usr/libexec/sshguard/sshg-fw-nft-sets\n")?;
        let own = configuration.display().to_string();
        run(&mut command("mount", &["--bind", &own, "/etc/sshguard/sshguard.conf"]))?;
        let mut program = command("sshguard", &["-a", "10"]);
        let guard = Group(Part::start("sshguard", program.arg(&log), &self.scratch)?);
        let up = || command("nft", &["list", "set", "ip", "sshguard", "attackers"]).output();
        wait(&mut || Ok(up().is_ok_and(|output| output.status.success())), "sshguard")?;
        // Its parts start one after the other and do not say when they are ready.
        sleep(Duration::from_secs(1));
        follow(&log, guard.0.id())
    }

    /// Two daemons with tables of their own, one login and a real NATS server: what the one bans for a line
    /// in its log comes into the other's set.
    pub(super) fn shared_bans(&self) -> Result<Vec<Row>> {
        let server = DisWall::start(&self.debug, &self.scratch)?;
        output(&mut command("nft", &["flush", "ruleset"]))?;
        let place = self.place("sees")?;
        let log = new_log(&place)?;
        let nats = |host: &str| {
            format!(
                "config nats 'nats'\n\toption enabled '1'\n\toption server '127.0.0.1'\n\toption port '{}'\n\
                 \toption client_name '{LOGIN}'\n\toption client_pass '{LOGIN}'\n\toption hostname '{host}'\n\
                 \toption share_bans '1'\n\n",
                server.port
            )
        };
        let mut sees = Daemon::configure(&self.release, &place, None, None)?;
        sees.add(&[nats("one"), following(&log)].concat())?;
        let mut hears = Daemon::configure(&self.release, &self.place("hears")?, None, None)?;
        let apart = "config diswall 'main'\n\toption table 'other'\n\toption set_prefix 'other'\n\n\
             config scan 'scan'\n\toption enabled '0'\n\nconfig login 'login'\n\toption enabled '0'\n\n";
        hears.add(&[&nats("two"), apart].concat())?;
        for daemon in [&mut sees, &mut hears] {
            daemon.load_rules()?;
            daemon.start()?;
            wait_state(daemon, "live")?;
        }
        let announcements = Announcements::listen()?;
        let (mut whole, mut on_the_way) = (vec![], vec![]);
        for number in 0..LINES {
            let address = [198, 51, 100, number + 1];
            pause(number);
            let written = append(&log, number + 1)?;
            let own = announcements.heard_in("diswall_scan4", address)?;
            let other = announcements.heard_in("other_nats4", address)?;
            whole.push(Duration::from_nanos(other.saturating_sub(written)));
            on_the_way.push(Duration::from_nanos(other.saturating_sub(own)));
        }
        let longest = whole.iter().max().copied().unwrap_or_default();
        Ok(vec![Row {
            work: "a ban shared by two routers over nats-server: from the line in one's log to the other's set",
            own: format!(
                "{}, {} of it after the first one's own ban; at most {}",
                microseconds(median(&mut whole)?),
                microseconds(median(&mut on_the_way)?),
                microseconds(longest)
            ),
            other: "–".into(),
            ratio: None,
            aim: "< 50 ms",
        }])
    }

    /// A directory of its own for a program.
    fn place(&self, name: &str) -> Result<PathBuf> {
        let place = self.scratch.join(name);
        make_directory(&place)?;
        Ok(place)
    }
}

/// Log-ins alone, one failure a ban.
fn following(log: &Path) -> String {
    let log = log.display();
    format!("config login 'login'\n\toption source '{log}'\n\toption attempts '1'\n\n")
}

/// Writes the lines one by one and waits for each address.
fn follow(log: &Path, group: u32) -> Result<Figures> {
    let announcements = Announcements::listen()?;
    append(log, 1)?;
    announcements.heard([198, 51, 100, 1])?;
    let before = group_cpu(group)?;
    let mut latencies = vec![];
    for number in 0..LINES {
        pause(number);
        let written = append(log, number + 2)?;
        let heard = announcements.heard([198, 51, 100, number + 2])?;
        latencies.push(Duration::from_nanos(heard.saturating_sub(written)));
    }
    sleep(PAUSE);
    let used = (group_cpu(group)?.saturating_sub(before)) / u32::from(LINES);
    let memory = group_memory(group)?;
    let shares = [flood(log, group, false)?, flood(log, group, true)?];
    Ok(Figures { latency: median(&mut latencies)?, cpu: used, memory, shares })
}

/// A program's share of a core while the log is full.
fn flood(log: &Path, group: u32, mixed: bool) -> Result<f64> {
    let failed = |error: std::io::Error| format!("{}: {error}", log.display());
    let date = now()?;
    let mut file = OpenOptions::new().append(true).open(log).map_err(failed)?;
    let (before, start) = (group_cpu(group)?, Instant::now());
    let mut id = 0;
    for tick in 0..TICKS {
        let mut text = String::new();
        for number in 0..AT_ONCE {
            id += 1;
            let message = match number % 20 {
                _ if number % 2 == 0 || !mixed => {
                    format!("dnsmasq[812]: query[A] host{id}.example from 192.168.1.{}", id % 250)
                }
                // Banned already.
                1 => format!("sshd[{id}]: Failed password for root from 198.51.100.1 port 22000 ssh2"),
                3..10 => format!("sshd[{id}]: Connection closed by 192.0.2.{} port {id} [preauth]", id % 250),
                _ => format!("sshd[{id}]: pam_unix(sshd:session): session opened for user root by (uid=0)"),
            };
            text.extend([&date, " router ", &message, "\n"]);
        }
        file.write_all(text.as_bytes()).map_err(failed)?;
        sleep((start + TICK * (tick + 1)).saturating_duration_since(Instant::now()));
    }
    let used = group_cpu(group)?.saturating_sub(before);
    Ok(used.as_secs_f64() / start.elapsed().as_secs_f64())
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The date as syslog writes it.
fn now() -> Result<String> {
    // fail2ban passes over lines of the past.
    Ok(output(command("date", &["+%b %e %H:%M:%S"]).env("LC_ALL", "C"))?.trim_end().to_owned())
}

fn pause(number: u8) {
    sleep(PAUSE + Duration::from_millis(u64::from(number) * 37 % 200));
}

/// In the unit that its size asks for.
fn shown(time: Duration) -> String {
    if time < Duration::from_millis(10) { microseconds(time) } else { milliseconds(time) }
}

fn new_log(place: &Path) -> Result<PathBuf> {
    let log = place.join("auth.log");
    File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    Ok(log)
}

/// One failed log-in; nanoseconds of `CLOCK_MONOTONIC` when it was about to be written.
fn append(log: &Path, host: u8) -> Result<u64> {
    let failed = |error: std::io::Error| format!("{}: {error}", log.display());
    let date = now()?;
    let process = 1000 + u32::from(host);
    let line =
        format!("{date} router sshd[{process}]: Failed password for root from 198.51.100.{host} port 22000 ssh2\n");
    let mut file = OpenOptions::new().append(true).open(log).map_err(failed)?;
    let written = monotonic()?;
    file.write_all(line.as_bytes()).map_err(failed)?;
    Ok(written)
}

fn wait(ready: &mut dyn FnMut() -> Result<bool>, what: &str) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        if ready()? {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    Err(format!("{what} is not up after 60 s"))
}
