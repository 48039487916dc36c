//! Measures the firewall module against `nft -f`: CPU time of loading N elements, one more element on an
//! open socket, a reconciliation with 12 differences, new time-outs for all, connections ended among
//! 10,000. Prints one JSON object; `cargo xtask bench` reads it. All times are CPU time but for the single add,
//! which is the median of the wall clock.
//!
//! Run it as root in a network namespace of its own: `unshare --net bench_sets [ELEMENTS] [ROUNDS]`.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use diswall::firewall::{Conntrack, Firewall, Names, Whose};
use diswall::model::{Desired, Lifetime, Range, SetChange, SetId, Source};

const SET: SetId = SetId::Ban(Source::DYNFW);
const TIMEOUT: u32 = 86_400;
const TABLE: &str = "table inet fw4 {
    set diswall_dynfw4 { type ipv4_addr; flags timeout; size 262144; }
    set diswall_dynfw6 { type ipv6_addr; flags timeout; size 262144; }
}";

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let elements: u32 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let devices = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    if devices.lines().skip(2).any(|line| !line.trim_start().starts_with("lo:")) {
        return Err("run this in a network namespace of its own: unshare --net …".into());
    }
    let addresses: Vec<Ipv4Addr> = (0..elements).map(scattered).collect();
    let script = nft_script(&addresses);
    let (mut ours, mut theirs, mut singles) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reconciles, mut renewals) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        reset()?;
        theirs.push(cpu_of(childrens_times, || nft(&script))?);
        reset()?;
        let mut firewall = Firewall::open(names(), 262_144)?;
        ours.push(cpu_of(own_times, || load(&mut firewall, &addresses))?);
        singles.push(single_adds(&mut firewall, elements)?);
        // The kernel finishes resizing the set: what a dump costs meanwhile is another matter.
        std::thread::sleep(Duration::from_secs(1));
        reconciles.push(cpu_of(own_times, || reconcile(&mut firewall, &addresses))?);
        renewals.push(cpu_of(own_times, || renew(&mut firewall, &addresses))?);
    }
    let (kick_one, kick_many) = kicks()?;
    let ours = median_cpu(ours);
    let theirs = median_cpu(theirs);
    let report = serde_json::json!({
        "elements": elements,
        "rounds": rounds,
        "diswall_user_ms": ours.user,
        "diswall_system_ms": ours.system,
        "nft_user_ms": theirs.user,
        "nft_system_ms": theirs.system,
        "cpu_ratio": ours.sum() / theirs.sum(),
        "single_add_us": median(singles),
        "reconcile_12_ms": median_cpu(reconciles).sum(),
        "renew_all_ms": median_cpu(renewals).sum(),
        "kick_one_of_10000_flows_ms": kick_one,
        "kick_1000_of_10000_flows_ms": kick_many,
        "peak_rss_kb": peak_rss()?,
    });
    println!("{report}");
    Ok(())
}

fn names() -> Names {
    Names { table: "fw4".into(), prefix: "diswall".into(), sources: Source::BUILT_IN.to_vec() }
}

/// Different addresses for different numbers, spread over the whole space.
fn scattered(number: u32) -> Ipv4Addr {
    number.wrapping_mul(2_654_435_761).into()
}

fn nft_script(addresses: &[Ipv4Addr]) -> String {
    let mut script = String::from("add element inet fw4 diswall_dynfw4 {\n");
    for address in addresses {
        script.push_str(&format!("{address} timeout {TIMEOUT}s,\n"));
    }
    script + "}\n"
}

fn nft(script: &str) -> Result<(), Failure> {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no pipe")?.write_all(script.as_bytes())?;
    if child.wait()?.success() { Ok(()) } else { Err("nft failed".into()) }
}

fn reset() -> Result<(), Failure> {
    nft(&format!("flush ruleset\n{TABLE}"))
}

fn load(firewall: &mut Firewall, addresses: &[Ipv4Addr]) -> Result<(), Failure> {
    for address in addresses {
        let range = Range::single(IpAddr::V4(*address));
        firewall.push(SetChange::Add { set: SET, range, lifetime: Lifetime::Seconds(TIMEOUT) });
    }
    Ok(firewall.commit()?)
}

/// Median microseconds of one add and its commit.
fn single_adds(firewall: &mut Firewall, present: u32) -> Result<f64, Failure> {
    let mut times = Vec::new();
    for number in present..present + 1000 {
        let range = Range::single(IpAddr::V4(scattered(number)));
        let start = Instant::now();
        firewall.push(SetChange::Add { set: SET, range, lifetime: Lifetime::Seconds(TIMEOUT) });
        firewall.commit()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    for number in present..present + 1000 {
        firewall.push(SetChange::Delete { set: SET, range: Range::single(IpAddr::V4(scattered(number))) });
    }
    firewall.commit()?;
    Ok(median(times))
}

struct Wanted(HashMap<Range, Lifetime>);

impl Desired for Wanted {
    fn wanted(&self, range: Range) -> Option<Lifetime> {
        self.0.get(&range).copied()
    }

    fn for_each(&self, f: &mut dyn FnMut(Range, Lifetime)) {
        self.0.iter().for_each(|(range, lifetime)| f(*range, *lifetime));
    }
}

/// A reconciliation that finds 12 differences.
fn reconcile(firewall: &mut Firewall, addresses: &[Ipv4Addr]) -> Result<(), Failure> {
    let entry = |address: &Ipv4Addr| (Range::single(IpAddr::V4(*address)), Lifetime::Seconds(TIMEOUT));
    let mut wanted: HashMap<_, _> = addresses.iter().skip(6).map(entry).collect();
    wanted.extend((0..6).map(|number| entry(&scattered(u32::MAX - number))));
    let result = firewall.reconcile(SET, &Wanted(wanted))?;
    if (result.added, result.removed) != (6, 6) {
        return Err(format!("not 12 differences: {result:?}").into());
    }
    Ok(())
}

fn renew(firewall: &mut Firewall, addresses: &[Ipv4Addr]) -> Result<(), Failure> {
    for address in addresses {
        let range = Range::single(IpAddr::V4(*address));
        firewall.push(SetChange::Renew { set: SET, range, lifetime: Lifetime::Seconds(TIMEOUT + 1) });
    }
    Ok(firewall.commit()?)
}

/// With 10,000 flows in the table: CPU milliseconds to end the one flow of an address, and to end those of
/// 1,000 addresses.
fn kicks() -> Result<(f64, f64), Failure> {
    nft("flush ruleset\ntable inet t { chain c { type filter hook output priority 0; ct state new counter; }; }")?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    let peer = |number: u16| Ipv4Addr::new(127, 1, (number >> 8) as u8, number as u8);
    for number in 0..10_000 {
        // Nobody listens there, and the refusals are not of interest.
        let _ = sender.send_to(b"x", (peer(number), 9));
    }
    let mut conntrack = Conntrack::open()?;
    let one = cpu_of(own_times, || {
        for number in 0..100 {
            let kicked = conntrack.kick(&[IpAddr::V4(peer(number))], Whose::All, &mut |_| {})?;
            if kicked.flows != 1 {
                return Err(format!("one flow expected: {kicked:?}").into());
            }
        }
        Ok(())
    })?;
    let many = |address: IpAddr| (IpAddr::V4(peer(1000))..IpAddr::V4(peer(2000))).contains(&address);
    let mut kicked = 0;
    let cpu = cpu_of(own_times, || {
        kicked = conntrack.kick_matching(&many, Whose::All, &mut |_| {})?.flows;
        Ok(())
    })?;
    if kicked != 1000 {
        Err(format!("1000 flows expected, not {kicked}").into())
    } else {
        Ok((one.sum() / 100.0, cpu.sum()))
    }
}

/// CPU time in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Cpu {
    user: f64,
    system: f64,
}

impl Cpu {
    fn sum(self) -> f64 {
        self.user + self.system
    }
}

fn cpu_of(clock: fn() -> Result<Cpu, Failure>, work: impl FnOnce() -> Result<(), Failure>) -> Result<Cpu, Failure> {
    let before = clock()?;
    work()?;
    let after = clock()?;
    Ok(Cpu { user: after.user - before.user, system: after.system - before.system })
}

fn own_times() -> Result<Cpu, Failure> {
    usage(nix::sys::resource::UsageWho::RUSAGE_SELF)
}

fn childrens_times() -> Result<Cpu, Failure> {
    usage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)
}

fn usage(who: nix::sys::resource::UsageWho) -> Result<Cpu, Failure> {
    let usage = nix::sys::resource::getrusage(who)?;
    let milliseconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 * 1e3 + time.tv_usec() as f64 / 1e3;
    Ok(Cpu { user: milliseconds(usage.user_time()), system: milliseconds(usage.system_time()) })
}

fn peak_rss() -> Result<i64, Failure> {
    Ok(nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?.max_rss())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn median_cpu(values: Vec<Cpu>) -> Cpu {
    Cpu {
        user: median(values.iter().map(|cpu| cpu.user).collect()),
        system: median(values.iter().map(|cpu| cpu.system).collect()),
    }
}
