//! `cargo xtask fleet`: thousands of simulated routers on three nats-servers and two hubs. Measures how long a ban
//! takes from one router to all others, takes parts away and gives them back, and compares every router's set with
//! the truth at the end.

mod admin;
mod bans;
mod cluster;
mod crowd;
mod figures;
mod router;
mod wire;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use self::cluster::Cluster;
use self::crowd::Crowd;
use self::figures::Times;
use crate::command::{cargo, run};
use crate::sandbox::{self, Interrupted};
use crate::{Result, Subcommand, measure, setup};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand = Subcommand {
    name: "fleet",
    summary: "thousands of simulated routers on a hub, with losses",
    help: HELP,
    run: fleet,
};

const HELP: &str = "\
Usage: cargo xtask fleet [--routers N] [--bans-per-second N] [--seconds N]

Starts three nats-servers with JetStream, everything kept three times, and two hubs, in namespaces
of this program's own, and N simulated routers in one process: each with its connection, its login
and its set of bans, following the hub as docs/protocols.md says. Two routers, others each time,
report the same address; it is measured when every router has it. After two fifths of the time a
hub is killed, then a server, then the third server's links to the other two are cut; each comes
back. At the end every router's set is compared with what the servers keep.

  --routers N           how many, 10 to 60000 (default 200)
  --bans-per-second N   1 to 1000 (default 50)
  --seconds N           how long they report, 20 to 3600 (default 60)

More than 1000 routers are simulated by a build that is optimized; that takes a while the first time.
Ends with a table; unsuccessfully, if a router has a ban that is none, or lacks one. Needs root.";

/// How many reporters an address takes.
pub const QUORUM: usize = 2;

/// Of so many bans, one is taken back later on.
const TAKEN_BACK: u64 = 20;

/// More than so many are not simulated without optimization.
const PLAIN: usize = 1000;

/// Where cargo puts the optimized build.
const OPTIMIZED: &str = "counts";

#[derive(Clone, Copy, Debug, PartialEq)]
struct Options {
    routers: usize,
    rate: u64,
    seconds: u64,
}

fn parse(args: &[String]) -> Result<Options> {
    let mut options = Options { routers: 200, rate: 50, seconds: 60 };
    let mut words = args.iter().flat_map(|arg| match arg.split_once('=') {
        Some((name, value)) => vec![name, value],
        None => vec![arg.as_str()],
    });
    while let Some(name) = words.next() {
        let value: Option<u64> = words.next().and_then(|word| word.parse().ok());
        let within = |least, most| {
            let value = value.filter(|value| (least..=most).contains(value));
            value.ok_or_else(|| format!("{name} takes a number from {least} to {most}"))
        };
        match name {
            "--routers" => options.routers = within(10, 60_000)? as usize,
            "--bans-per-second" => options.rate = within(1, 1000)?,
            "--seconds" => options.seconds = within(20, 3600)?,
            _ => return Err(format!("fleet does not know {name:?}; see --help")),
        }
    }
    Ok(options)
}

fn fleet(args: &[String]) -> Result<()> {
    if let Some(args) = sandbox::is_inside(args) {
        return Fleet::set_up(parse(args)?).and_then(Fleet::play);
    }
    let options = parse(args)?;
    setup::require_root("the fleet")?;
    setup::ensure(&[setup::BUILD, setup::RUN])?;
    setup::nats_server()?;
    // Each router is a socket here and at its server; when one server is lost the others have more.
    crowd::allow_files(options.routers as u64 * 3 / 2 + 2000)?;
    let own = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
    let is_optimized = own.parent().is_some_and(|place| place.ends_with(OPTIMIZED));
    if options.routers > PLAIN && !is_optimized {
        println!("Building hub and simulation, optimized.");
        run(&mut cargo(&[
            "build",
            "--quiet",
            "--profile",
            OPTIMIZED,
            "--package",
            "diswall-hub",
            "--package",
            "xtask",
        ]))?;
        let target = own.parent().and_then(Path::parent).ok_or("this program's place has no parent")?;
        return run(Command::new(target.join(OPTIMIZED).join("xtask")).arg(SUBCOMMAND.name).args(args));
    }
    if !is_optimized {
        println!("Building the hub.");
        run(&mut cargo(&["build", "--quiet", "--package", "diswall-hub"]))?;
    }
    sandbox::enter(SUBCOMMAND.name, args)
}

/// What happens, by the share of the time at which it does, in hundredths.
const SCRIPT: [(u64, Act); 7] = [
    (40, Act::Steady),
    (42, Act::KillHub),
    (50, Act::StartHub),
    (55, Act::KillServer),
    (67, Act::StartServer),
    (72, Act::Cut),
    (84, Act::Mend),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    /// The time without losses ends.
    Steady,
    KillHub,
    StartHub,
    KillServer,
    StartServer,
    Cut,
    Mend,
}

/// What was measured while nothing was lost.
struct Steady {
    to_each: Times,
    to_all: Times,
    /// A second: messages to routers, bans to routers.
    messages: f64,
    bans: f64,
    servers: f64,
    hubs: f64,
    own: f64,
    memory: (Vec<u64>, Vec<u64>),
    reports: u64,
}

struct Fleet {
    options: Options,
    interrupted: Interrupted,
    cluster: Cluster,
    crowd: Crowd,
    /// All that were reported.
    reported: u64,
    /// Who will take what back, and when.
    regrets: VecDeque<(Instant, usize, IpAddr)>,
    taken_back: u64,
    steady: Option<Steady>,
}

impl Fleet {
    fn set_up(options: Options) -> Result<Fleet> {
        let interrupted = sandbox::note_interrupts()?;
        let scratch = sandbox::scratch()?;
        let own = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
        println!("Three nats-servers, two hubs.");
        let start = Instant::now();
        let cluster =
            Cluster::start(&scratch, setup::nats_server()?, own.with_file_name("diswall-hub"), options.routers)?;
        println!("They work after {:.1} s. Now {} routers.", start.elapsed().as_secs_f64(), options.routers);
        let crowd = Crowd::new(options.routers, cluster.addresses.clone())?;
        let (regrets, steady) = (VecDeque::new(), None);
        let mut fleet = Fleet { options, interrupted, cluster, crowd, reported: 0, regrets, taken_back: 0, steady };
        let start = Instant::now();
        let within = Duration::from_secs(60 + options.routers as u64 / 100);
        fleet.work_until(within, "all routers follow the hub", |fleet| {
            Ok(fleet.crowd.count().live == fleet.options.routers)
        })?;
        println!("All follow the hub after {:.1} s.", start.elapsed().as_secs_f64());
        Ok(fleet)
    }

    /// Works until something is so, with a line from time to time.
    fn work_until(
        &mut self,
        within: Duration,
        what: &str,
        mut done: impl FnMut(&mut Fleet) -> Result<bool>,
    ) -> Result<()> {
        let (start, mut looked) = (Instant::now(), Instant::now());
        loop {
            self.crowd.work()?;
            if looked.elapsed() >= Duration::from_millis(500) {
                looked = Instant::now();
                self.cluster.check_running()?;
                if done(self)? {
                    return Ok(());
                }
                if self.interrupted.load(Ordering::Relaxed) {
                    return Err("interrupted".into());
                }
                if start.elapsed() > within {
                    let count = self.crowd.count();
                    return Err(format!(
                        "not so within {} s: {what}. {} of {} follow the hub, {} are connected; complaints: {:?}",
                        within.as_secs(),
                        count.live,
                        self.options.routers,
                        count.connected,
                        self.crowd.complaints
                    ));
                }
            }
        }
    }

    fn play(mut self) -> Result<()> {
        let whole = Duration::from_secs(self.options.seconds);
        let (start, mut script) = (Instant::now(), SCRIPT.iter().peekable());
        let begun = self.mark()?;
        let mut last = (Instant::now(), begun.messages);
        while start.elapsed() < whole && !self.interrupted.load(Ordering::Relaxed) {
            self.crowd.work()?;
            self.report(start.elapsed())?;
            if let Some((_, act)) = script.next_if(|(share, _)| start.elapsed() * 100 >= whole * *share as u32) {
                self.act(*act, &begun)?;
            }
            if last.0.elapsed() >= Duration::from_secs(1) {
                last = self.line(start.elapsed(), last)?;
            }
        }
        self.settle()?;
        self.table();
        self.compare()
    }

    /// Where the counters stand.
    fn mark(&self) -> Result<Mark> {
        let (servers, hubs) = self.cluster.cpu();
        let own = measure::cpu(std::process::id())?;
        Ok(Mark { at: Instant::now(), messages: self.crowd.count().messages, servers, hubs, own })
    }

    /// Reports what is due by now.
    fn report(&mut self, elapsed: Duration) -> Result<()> {
        let due = elapsed.as_millis() as u64 * self.options.rate / 1000;
        while self.reported < due {
            self.reported += 1;
            let address = address(self.reported);
            let reporters = self.crowd.report(address, QUORUM)?;
            if let (0, Some(router)) = (self.reported % TAKEN_BACK, reporters.first()) {
                self.regrets.push_back((Instant::now() + Duration::from_secs(5), *router, address));
            }
        }
        while let Some((at, router, address)) = self.regrets.front().copied() {
            if at > Instant::now() {
                break;
            }
            self.regrets.pop_front();
            self.taken_back += u64::from(self.crowd.take_back(router, address)?);
        }
        Ok(())
    }

    fn act(&mut self, act: Act, begun: &Mark) -> Result<()> {
        match act {
            Act::Steady => self.end_steady(begun)?,
            Act::KillHub => self.cluster.kill_hub(0),
            Act::StartHub => self.cluster.start_hub(0)?,
            Act::KillServer => self.cluster.kill_server(1),
            Act::StartServer => self.cluster.start_server(1)?,
            Act::Cut => self.cluster.cut_links()?,
            Act::Mend => self.cluster.mend_links()?,
        }
        let told = match act {
            Act::Steady => "nothing was lost so far; what follows is counted apart",
            Act::KillHub => "hub 1 is killed",
            Act::StartHub => "hub 1 is started again",
            Act::KillServer => "server 2 is killed",
            Act::StartServer => "server 2 is started again",
            Act::Cut => "server 3 is cut off from the other two",
            Act::Mend => "server 3's links are mended",
        };
        println!("-- {told}");
        Ok(())
    }

    fn end_steady(&mut self, begun: &Mark) -> Result<()> {
        let now = self.mark()?;
        let seconds = (now.at - begun.at).as_secs_f64();
        let bans = &mut self.crowd.bans;
        let to_each = std::mem::replace(&mut bans.to_each, Times::new());
        let to_all = std::mem::replace(&mut bans.to_all, Times::new());
        self.steady = Some(Steady {
            messages: (now.messages - begun.messages) as f64 / seconds,
            bans: to_each.number() as f64 / seconds,
            to_each,
            to_all,
            servers: (now.servers - begun.servers).as_secs_f64() / seconds,
            hubs: (now.hubs - begun.hubs).as_secs_f64() / seconds,
            own: (now.own - begun.own).as_secs_f64() / seconds,
            memory: self.cluster.memory(),
            reports: self.reported,
        });
        Ok(())
    }

    /// Once a second.
    fn line(&mut self, elapsed: Duration, last: (Instant, u64)) -> Result<(Instant, u64)> {
        self.cluster.check_running()?;
        let (now, count) = (Instant::now(), self.crowd.count());
        let messages = (count.messages - last.1) as f64 / (now - last.0).as_secs_f64();
        let (servers, hubs) = self.cluster.memory();
        let unheard = if count.unheard > 0 { format!(", {} hear no hub", count.unheard) } else { String::new() };
        println!(
            "{:>4} s  {} of {} follow{unheard} · {} reported · {messages:.0} messages/s, {} bans arrived, {} · \
             {} gaps · servers {} MB, hubs {} MB",
            elapsed.as_secs(),
            count.live,
            self.options.routers,
            self.reported,
            self.crowd.bans.lately.number(),
            self.crowd.bans.lately.shown(),
            count.gaps,
            sum(&servers),
            sum(&hubs),
        );
        self.crowd.bans.lately.clear();
        Ok((now, count.messages))
    }

    /// Until everything that was said has come everywhere.
    fn settle(&mut self) -> Result<()> {
        println!("-- no more reports; waiting until all is told");
        let within = Duration::from_secs(60 + self.options.routers as u64 / 100);
        let mut still = (Instant::now(), 0);
        self.work_until(within, "every router knows what the servers keep", |fleet| {
            let Ok(state) = fleet.cluster.admin().and_then(|mut admin| admin.state()) else { return Ok(false) };
            if state.last != still.1 {
                still = (Instant::now(), state.last);
            }
            let routers = &fleet.crowd.routers;
            let all = routers.iter().all(|router| router.phase == router::Phase::Live && router.sequence >= state.last);
            Ok(all && state.is_whole && still.0.elapsed() > Duration::from_secs(2))
        })
    }

    fn table(&self) {
        let Options { routers, rate, seconds } = self.options;
        println!("\n{routers} routers, {rate} bans a second, {seconds} s, {} addresses reported", self.reported);
        let row = |what: &str, value: String| println!("| {what:<44} | {value} |");
        if let Some(steady) = &self.steady {
            row("bans reported while nothing was lost", steady.reports.to_string());
            row("from the second report to each router", steady.to_each.shown());
            row("from the second report to the last router", steady.to_all.shown());
            row("messages to routers a second", format!("{:.0}", steady.messages));
            row("bans to routers a second", format!("{:.0}", steady.bans));
            row("memory of the servers, MB", format!("{:?}", steady.memory.0));
            row("memory of the hubs, MB", format!("{:?}", steady.memory.1));
            row("processors used by servers", format!("{:.2}", steady.servers));
            row("processors used by hubs", format!("{:.2}", steady.hubs));
            row("processors used by the simulation", format!("{:.2}", steady.own));
        }
        let bans = &self.crowd.bans;
        row("with losses: to each router", bans.to_each.shown());
        row("with losses: to the last router", bans.to_all.shown());
        let count = self.crowd.count();
        row("something was missed, and read from the bucket", format!("{} times", count.gaps));
        for (complaint, number) in &self.crowd.complaints {
            row("complaint", format!("{number} times: {complaint}"));
        }
    }

    /// Every router's set against what the servers keep.
    fn compare(&mut self) -> Result<()> {
        let truth = self.cluster.admin()?.bans()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?.as_secs();
        let numbered: HashMap<u32, u64> =
            truth.iter().map(|(address, until)| (self.crowd.bans.number(*address), *until)).collect();
        let (mut wrong, mut shown) = (0, 0);
        for router in &self.crowd.routers {
            let faults = faults(&router.bans, &numbered, now);
            wrong += usize::from(!faults.is_empty());
            if let Some((number, what)) = faults.first().filter(|_| shown < 10) {
                shown += 1;
                let address = self.crowd.bans.address(*number);
                println!("router {}: {} faults, first {address:?}: {what}", router.index, faults.len());
            }
        }
        let kept: HashSet<IpAddr> = truth.keys().copied().collect();
        let lost = self.crowd.bans.all_reported().filter(|address| !kept.contains(address)).count() as u64;
        println!(
            "\n{} bans are kept; {} were taken back; {} reports became no ban. {} of {} routers have exactly these.",
            truth.len(),
            self.taken_back,
            lost.saturating_sub(self.taken_back),
            self.options.routers - wrong,
            self.options.routers
        );
        if truth.is_empty() {
            return Err("no report became a ban".into());
        }
        if wrong > 0 {
            return Err(format!("{wrong} routers are wrong"));
        }
        Ok(())
    }
}

/// Counters at a moment.
struct Mark {
    at: Instant,
    messages: u64,
    servers: Duration,
    hubs: Duration,
    own: Duration,
}

/// Where a set differs from the truth: numbers of addresses, and how. What ends just now may be in one of them only.
fn faults(set: &[u32], truth: &HashMap<u32, u64>, now: u64) -> Vec<(u32, String)> {
    const JUST: u64 = 5;
    let holds = |number: u32| set.get(number as usize).map_or(0, |until| u64::from(*until));
    let mut faults = Vec::new();
    for (number, until) in truth {
        let held = holds(*number);
        if held.abs_diff(*until) > JUST && *until > now + JUST {
            let what = if held == 0 { "it is missing".to_owned() } else { format!("it ends at {held}, not {until}") };
            faults.push((*number, what));
        }
    }
    for (number, until) in (0..).zip(set) {
        if u64::from(*until) > now + JUST && !truth.contains_key(&number) {
            faults.push((number, "it is no ban".into()));
        }
    }
    faults
}

/// The address that is reported as the `number`th: public ones, one of ten in IPv6.
fn address(number: u64) -> IpAddr {
    if number.is_multiple_of(10) {
        return IpAddr::V6(Ipv6Addr::from((0x2a00_1450_u128 << 96) | u128::from(number)));
    }
    let [.., b, c, d] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(45, b, c, d))
}

fn sum(values: &[u64]) -> u64 {
    values.iter().sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn options_are_taken_in_both_forms_and_bounded() {
        let parse = |words: &[&str]| parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok(Options { routers: 200, rate: 50, seconds: 60 }));
        let all = ["--routers=10000", "--bans-per-second", "5", "--seconds=30"];
        assert_eq!(parse(&all), Ok(Options { routers: 10_000, rate: 5, seconds: 30 }));
        for wrong in [&["--routers"][..], &["--routers", "1"], &["--seconds=x"], &["-v"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_kind_of_fault_is_found() {
        let truth = HashMap::from([(0, 1000), (1, 1000), (2, 103), (4, 1000)]);
        // 0 is right, 1 is missing, 2 ends just now, 3 is none, 4 is too short, 5 was one.
        let found = faults(&[1002, 0, 0, 1000, 900, 100], &truth, 100);
        let mut numbers: Vec<u32> = found.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 3, 4]);
    }

    #[test]
    fn reported_addresses_differ_and_acts_are_in_order() {
        let addresses: HashSet<IpAddr> = (0..70_000).map(address).collect();
        assert_eq!(addresses.len(), 70_000);
        assert!(SCRIPT.is_sorted_by_key(|(share, _)| share));
    }
}
