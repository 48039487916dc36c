//! The bench's rows about CrowdSec: Debian's local API with so many decisions, and what follows them, diswall and
//! Debian's own bouncer for nftables, one after the other in one namespace. The local API's own work is not counted.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use super::lists::{done_at, taking};
use super::{Bench, Row, megabytes, milliseconds};
use crate::Result;
use crate::command::{command, output};
use crate::files::{absolute, make_directory, write};
use crate::measure::{cpu, cpu_at_rest, memory};
use crate::parts::{Daemon, Part};

/// How long the bouncer may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// So long what has nothing new is looked at: three questions of each.
const QUIET: Duration = Duration::from_secs(30);

/// Decisions of the local API.
pub(super) const DECISIONS: [u32; 2] = [30_000, 100_000];

/// Decisions that a server has ready.
const READY: u32 = 100_000;

/// What one of them took.
struct Taken {
    wall: Duration,
    cpu: Duration,
    peak: u64,
    /// Elements in the kernel's set.
    held: usize,
    /// Memory, and CPU time of [`QUIET`], when all is in force.
    rest: Option<(u64, Duration)>,
    /// What became of the set when the rules were loaded anew.
    anew: String,
}

/// What the rows of so many decisions are called.
const COUNTS: [(u32, [&str; 5]); 2] = [
    (
        DECISIONS[0],
        [
            "30,000 decisions of CrowdSec's local API, from the start of the program to the kernel's set: CPU time",
            "the same: wall time, the local API's own work included",
            "the same: most memory of all processes (each is one)",
            "the same: memory at rest; CPU time of 30 s with nothing new, three questions",
            "the same: `nft flush ruleset`, as a firewall without fw4 does at a restart, and the rules loaded anew",
        ],
    ),
    (
        DECISIONS[1],
        [
            "100,000 decisions: CPU time",
            "the same: wall time",
            "the same: most memory of all processes",
            "the same: memory at rest; CPU time of 30 s with nothing new",
            "the same: `nft flush ruleset`, and the rules loaded anew",
        ],
    ),
];

/// Unpacks what is measured; needs the machine's network the first time.
pub(super) fn unpack() -> Result<()> {
    ["crowdsec", "crowdsec-firewall-bouncer"].into_iter().try_for_each(|package| root(package).map(drop))
}

fn root(package: &str) -> Result<PathBuf> {
    let place = absolute(Path::new("target"))?.join("debian");
    output(command("sh", &["tests/parts/lapi.sh"]).arg(place).arg(package)).map(|text| PathBuf::from(text.trim()))
}

impl Bench {
    /// Every row.
    pub(super) fn crowdsec(&self) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (count, names) in COUNTS {
            let place = self.scratch.join(format!("crowdsec-{count}"));
            let lapi = Lapi::start(&place, count)?;
            let mut own = Vec::new();
            for run in 0..self.runs {
                own.push(self.by_diswall(&place.join(format!("run{run}")), count, run + 1 == self.runs)?);
            }
            let rival = by_bouncer(&place, count)?;
            drop(lapi);
            own.sort_by_key(|taken| taken.cpu);
            let middle = own.get(own.len() / 2).ok_or("nothing was measured")?;
            let last = own.iter().find(|taken| taken.rest.is_some()).ok_or("nothing was measured")?;
            let whole = rival.held as u32 == count;
            let held = if whole { String::new() } else { format!(", by then {} of {count}", rival.held) };
            let ratio = |own: f64, other: f64| Some(own / other);
            let row = |work, own, other: String, ratio, aim| Row {
                work,
                own,
                other: format!("{other} (crowdsec-firewall-bouncer)"),
                ratio,
                aim,
            };
            let [cpu_time, wall, peak, rest, anew] = names;
            let resting = |taken: &Taken| match taken.rest {
                Some((memory, cpu)) => format!("{}; {}", megabytes(memory), milliseconds(cpu)),
                None => "not reached".into(),
            };
            let times = |taken: &Taken| (taken.cpu.as_secs_f64(), taken.wall.as_secs_f64());
            let ((own_cpu, own_wall), (its_cpu, its_wall)) = (times(middle), times(&rival));
            let aim = if count == 100_000 { "2 s" } else { "–" };
            rows.extend([
                row(cpu_time, milliseconds(middle.cpu), milliseconds(rival.cpu) + &held, ratio(own_cpu, its_cpu), aim),
                row(wall, milliseconds(middle.wall), milliseconds(rival.wall), ratio(own_wall, its_wall), "–"),
                row(
                    peak,
                    megabytes(middle.peak),
                    megabytes(rival.peak),
                    ratio(middle.peak as f64, rival.peak as f64),
                    "≤ 0.1 ×",
                ),
                row(rest, resting(last), resting(&rival), None, "–"),
                row(anew, last.anew.clone(), rival.anew, None, "nothing lost"),
            ]);
        }
        Ok(rows)
    }

    /// The rows of an answer that lies ready: what is left of the time is ours.
    pub(super) fn decisions(&self) -> Result<Vec<Row>> {
        serve_ready(READY)?;
        let place = self.scratch.join("crowdsec-ready");
        let mut own = Vec::new();
        for run in 0..self.runs.max(3) {
            own.push(self.by_diswall(&place.join(format!("run{run}")), READY, false)?);
        }
        own.sort_by_key(|taken| taken.wall);
        let middle = own.get(own.len() / 2).ok_or("nothing was measured")?;
        let row = |work, own, aim| Row { work, own, other: "–".into(), ratio: None, aim };
        Ok(vec![
            row(
                "100,000 decisions of a server that has its answer ready, from the start of the program to the kernel's \
                 set: wall time",
                milliseconds(middle.wall),
                "2 s",
            ),
            row("the same: CPU time", milliseconds(middle.cpu), "–"),
            row("the same: most memory", megabytes(middle.peak), "–"),
        ])
    }

    fn by_diswall(&self, place: &Path, count: u32, long: bool) -> Result<Taken> {
        make_directory(place)?;
        output(&mut command("nft", &["flush", "ruleset"]))?;
        let mut daemon = Daemon::configure(&self.release, place, None, None)?;
        daemon.add("\nconfig diswall 'main'\n\toption max_entries '200000'\n")?;
        daemon.add("\nconfig crowdsec 'crowdsec'\n\toption enabled '1'\n\toption api_key 'router'\n")?;
        daemon.load_rules()?;
        let start = Instant::now();
        daemon.start()?;
        let pid = daemon.part()?.id();
        loop {
            let status = daemon.status()?.unwrap_or_default();
            let mut sources = status["sources"].as_array().into_iter().flatten();
            if sources.any(|source| source["name"] == "crowdsec" && source["v4"] == count) {
                break;
            }
            if start.elapsed() > PATIENCE {
                return Err("the decisions do not come".into());
            }
            sleep(Duration::from_millis(100));
        }
        // What the daemon has decided the kernel has a little later.
        let wall = done_at(pid)? - start;
        let (used, peak) = (cpu_at_rest(pid)?, memory(pid, "VmHWM")?);
        let set = || held("inet", "fw4", "diswall_crowdsec4");
        let mut taken = Taken { wall, cpu: used, peak, held: set(), rest: None, anew: String::new() };
        if taken.held != count as usize {
            return Err(format!("diswall: {} elements of {count}", taken.held));
        }
        if long {
            // Threads that have nothing more to do end after 10 s.
            sleep(Duration::from_secs(12));
            taken.rest = Some(at_rest(pid)?);
            let whole = taking(&mut daemon, |daemon| {
                output(&mut command("nft", &["flush", "ruleset"]))?;
                daemon.load_rules()
            })?;
            taken.anew = format!("{} of {count} back after {}", set(), milliseconds(whole.wall));
        }
        daemon.stop()?;
        Ok(taken)
    }
}

/// Debian's bouncer, running, with tables of its own.
pub(super) struct Bouncer {
    part: Option<Part>,
    start: Instant,
}

impl Bouncer {
    pub(super) fn start(place: &Path) -> Result<Bouncer> {
        let file = place.join("bouncer.yaml");
        // `daemonize`, as in Debian's file: without it nothing of it is put away when it ends.
        let text = "mode: nftables\ndaemonize: true\nupdate_frequency: 10s\nlog_mode: stdout\nlog_level: info\n\
                    prometheus: { enabled: false }\napi_url: http://127.0.0.1:8080/\napi_key: rival\n\
                    deny_action: DROP\ndisable_ipv6: false\n\
                    nftables: { ipv4: { enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain },\n\
                    \x20 ipv6: { enabled: true, set-only: false, table: crowdsec6, chain: crowdsec6-chain } }\n";
        write(&file, text)?;
        let start = Instant::now();
        let program = root("crowdsec-firewall-bouncer")?.join("usr/bin/crowdsec-firewall-bouncer");
        let part = Part::start("bouncer", command(&program.to_string_lossy(), &["-c"]).arg(&file), place)?;
        Ok(Bouncer { part: Some(part), start })
    }

    /// Waits until its set has so many elements, or for as long as it is given; how many it has.
    pub(super) fn fill(&mut self, count: u32) -> Result<usize> {
        let set = || held("ip", "crowdsec", "crowdsec-blacklists");
        while set() < count as usize && self.start.elapsed() < PATIENCE {
            self.part.as_mut().map_or(Ok(()), Part::check_running)?;
            sleep(Duration::from_secs(2));
        }
        Ok(set())
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // It may have ended by itself when its table was gone.
        let _ = self.part.take().map(Part::terminate);
    }
}

fn by_bouncer(place: &Path, count: u32) -> Result<Taken> {
    output(&mut command("nft", &["flush", "ruleset"]))?;
    let mut bouncer = Bouncer::start(place)?;
    let pid = bouncer.part.as_ref().map_or(0, Part::id);
    bouncer.fill(count)?;
    let set = || held("ip", "crowdsec", "crowdsec-blacklists");
    let (wall, used, peak) = (bouncer.start.elapsed(), cpu(pid)?, memory(pid, "VmHWM")?);
    let mut taken = Taken { wall, cpu: used, peak, held: set(), rest: None, anew: "not reached".into() };
    if taken.held == count as usize {
        sleep(Duration::from_secs(12));
        taken.rest = Some(at_rest(pid)?);
        output(&mut command("nft", &["flush", "ruleset"]))?;
        sleep(QUIET);
        taken.anew = format!("{} of {count} back after 30 s", set());
    }
    Ok(taken)
}

/// Memory, and CPU time of [`QUIET`].
fn at_rest(pid: u32) -> Result<(u64, Duration)> {
    let (before, resident) = (cpu(pid)?, memory(pid, "VmRSS")?);
    sleep(QUIET);
    Ok((resident, cpu(pid)? - before))
}

/// Answers at the local API's port, in its form and with its words, for as long as this program runs.
fn serve_ready(count: u32) -> Result<()> {
    let mut body = String::from("{\"deleted\":null,\"new\":[");
    for n in 0..count {
        let (address, comma) = (decided(n), if n == 0 { "" } else { "," });
        let _ = write!(
            body,
            "{comma}{{\"duration\":\"{}h59m58.038548421s\",\"id\":{n},\"origin\":\"cscli-import\",\"scenario\":\
             \"crowdsecurity/scenario-{}\",\"scope\":\"ip\",\"type\":\"ban\",\"value\":\"{address}\"}}",
            24 + n % 100,
            n % 40
        );
    }
    body.push_str("]}");
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (whole, nothing) = (answer(&body), answer("{\"deleted\":null,\"new\":null}"));
    let listener = TcpListener::bind(("127.0.0.1", 8080)).map_err(|error| format!("port 8080: {error}"))?;
    spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let mut question = [0; 4096];
            let length = connection.read(&mut question).unwrap_or(0);
            let is_whole = String::from_utf8_lossy(&question[..length]).contains("startup=true");
            // Who does not listen to the end is seen by what he lacks.
            let _ = connection.write_all(if is_whole { &whole } else { &nothing }.as_bytes());
        }
    });
    Ok(())
}

/// How many elements a set has; 0 where it is not there.
fn held(family: &str, table: &str, set: &str) -> usize {
    output(&mut command("nft", &["list", "set", family, table, set]))
        .map_or(0, |text| text.matches(" expires ").count())
}

/// The address that a decision is about.
pub(super) fn decided(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((11 << 24) + n * 11_003)
}

/// A running local API with that many decisions about single addresses, and two keys.
pub(super) struct Lapi {
    _part: Part,
}

impl Lapi {
    pub(super) fn start(place: &Path, count: u32) -> Result<Lapi> {
        make_directory(place)?;
        let (here, theirs) = (place.display(), root("crowdsec")?);
        let shown = theirs.display();
        let text = format!(
            "common: {{ daemonize: false, log_media: stdout, log_level: error }}\n\
             config_paths: {{ config_dir: {here}, data_dir: {here}, simulation_path: {shown}/etc/crowdsec/simulation.yaml,\n\
             \x20 hub_dir: {here}, index_path: {here}/index.json, notification_dir: {here}, plugin_dir: {here} }}\n\
             crowdsec_service: {{ acquisition_path: {here}/acquis.yaml, parser_routines: 1 }}\n\
             cscli: {{ output: human }}\n\
             db_config: {{ type: sqlite, db_path: {here}/crowdsec.db, use_wal: true }}\n\
             api:\n  client: {{ insecure_skip_verify: false, credentials_path: {here}/credentials.yaml }}\n\
             \x20 server: {{ log_level: error, listen_uri: '127.0.0.1:8080',\n\
             \x20   profiles_path: {shown}/etc/crowdsec/profiles.yaml, console_path: {here}/console.yaml }}\n"
        );
        let configuration = place.join("config.yaml");
        write(&configuration, text)?;
        for (name, text) in [("index.json", "{}"), ("acquis.yaml", ""), ("console.yaml", ""), ("credentials.yaml", "")]
        {
            write(&place.join(name), text)?;
        }
        let mut lines = String::from("duration,scope,value,type,reason\n");
        for n in 0..count {
            let address = decided(n);
            let _ = writeln!(lines, "{}h,ip,{address},ban,crowdsecurity/scenario-{}", 24 + n % 100, n % 40);
        }
        let decisions = place.join("decisions.csv");
        write(&decisions, lines)?;
        let cscli = |args: &[&str]| {
            let program = theirs.join("usr/bin/cscli");
            output(command(&program.to_string_lossy(), &["-c"]).arg(&configuration).args(args)).map(drop)
        };
        let credentials = place.join("credentials.yaml");
        cscli(&["machines", "add", "t", "--password", "p", "-f", &credentials.to_string_lossy(), "--force"])?;
        cscli(&["bouncers", "add", "router", "-k", "router"])?;
        cscli(&["bouncers", "add", "rival", "-k", "rival"])?;
        let program = theirs.join("usr/bin/crowdsec");
        let part =
            Part::start("lapi", command(&program.to_string_lossy(), &["-no-cs", "-c"]).arg(&configuration), place)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", 8080)).is_err() {
            if Instant::now() > deadline {
                return Err("the local API does not listen".into());
            }
            sleep(Duration::from_millis(100));
        }
        cscli(&["decisions", "import", "-i", &decisions.to_string_lossy()])?;
        Ok(Lapi { _part: part })
    }
}
