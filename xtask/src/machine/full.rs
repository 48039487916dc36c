//! `cargo xtask machine --full`: what a small router has left when everything is in force that one is likely to switch
//! on. DynFW, DisWall, the five lists that the catalogue recommends to 64 MB, and two large countries in both
//! families, generated in their real sizes and served by this machine over the emulated network.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Given, Machine, PATIENCE, System, image, kinds::Kind};
use crate::Result;
use crate::command::{cargo, command, programs, run};
use crate::files::{absolute, make_directory, write};
use crate::parts::{DisWall, LOGIN, Part, Sentinel, free_port};

/// MemAvailable that is to be left, in KiB: 20 MB.
const AIM: u64 = 20_000_000 / 1024;

/// Addresses of DynFW's list and of DisWall's.
const DYNFW: u32 = 30_000;
const DISWALL: u32 = 2_000;

/// A host of `slot`'s own sixteenth of what is served, no two side by side.
fn host(slot: u32, n: u32) -> String {
    Ipv4Addr::from_bits(((70 + 4 * slot) << 24) + n * 3_001).to_string()
}

/// A network of IPv4, between /19 and /24, and one of IPv6.
fn network(slot: u32, n: u32) -> String {
    format!("{}/{}", Ipv4Addr::from_bits(((128 + 24 * slot) << 24) + (n << 15)), 19 + n % 6)
}

/// As [`network`], but every sixth touches the one before it, as in Russia's list of the registries.
fn touching(slot: u32, n: u32) -> String {
    if n % 6 < 5 {
        return network(slot, n);
    }
    format!("{}/24", Ipv4Addr::from_bits(((128 + 24 * slot) << 24) + ((n - 1) << 15) + 512))
}

fn network6(slot: u32, n: u32) -> String {
    format!("{}/{}", Ipv6Addr::from_bits(((0x2a00 + 4 * u128::from(slot)) << 112) + (u128::from(n) << 97)), 32 + n % 17)
}

/// A file that is served: its name, how many lines, and what they are.
type Listed = (&'static str, u32, fn(u32) -> String);

/// What is served: a file's name, how many lines it has, and each of them.
const FILES: [Listed; 10] = [
    ("spamhaus4", 1600, |n| format!("{{\"cidr\":\"{}\",\"sblid\":\"SBL{n}\",\"rir\":\"apnic\"}}", network(3, n))),
    ("spamhaus6", 80, |n| format!("{{\"cidr\":\"{}\",\"sblid\":\"SBL{n}\",\"rir\":\"apnic\"}}", network6(3, n))),
    ("feodo", 20, |n| host(0, n)),
    ("cinsscore", 15_000, |n| host(1, n)),
    ("greensnow", 4_900, |n| host(2, n)),
    ("ipsum", 14_200, |n| format!("{}\t5", host(3, n))),
    ("de4", 8_600, |n| network(0, n)),
    ("de6", 3_200, |n| network6(0, n)),
    ("ru4", 8_900, |n| touching(1, n)),
    ("ru6", 2_000, |n| network6(1, n)),
];

/// The lists: what the daemon must have of each, addresses and networks, and its section without the addresses' head.
const LISTS: [(&str, u64, u64, &str); 6] = [
    ("spamhaus", 0, 1680, "\tlist url '{}/spamhaus4'\n\tlist url '{}/spamhaus6'\n\toption format 'spamhaus'\n"),
    ("feodo", 20, 0, "\tlist url '{}/feodo'\n"),
    ("cinsscore", 15_000, 0, "\tlist url '{}/cinsscore'\n"),
    ("greensnow", 4_900, 0, "\tlist url '{}/greensnow'\n"),
    ("ipsum", 14_200, 0, "\tlist url '{}/ipsum'\n"),
    (
        "countries",
        0,
        // Those that touch are one.
        22_700 - 8_900 / 6,
        "\tlist country 'de'\n\tlist country 'ru'\n\tlist country_url '{}/{country}4'\n\tlist country_url '{}/{country}6'\n",
    ),
];

/// Keeps in /tmp/least what was least available so far, in KiB; it begins anew when that file is gone.
const WATCH: &str = r#"#!/bin/busybox sh
while :; do
	[ -f /tmp/least ] || least=999999999
	while read -r name size rest; do
		[ "$name" = MemAvailable: ] && now=$size
	done </proc/meminfo
	[ "$now" -lt "$least" ] && least=$now && echo "$least" >/tmp/least
	usleep 200000
done
"#;

/// What stands for a router's uclient-fetch, whose words of how far it is are busybox'; `-O - --timeout 30` it begins.
const FETCH: &str = "#!/bin/busybox sh\nshift 4\nexec /bin/busybox wget -O - \"$@\"\n";

/// Boots the machine and fills it; a line of what was left.
pub fn try_out(kind: &Kind, given: &Given) -> Result<String> {
    let daemon = super::build(kind, given.program.as_deref())?;
    let system = System { root: image::fetch(kind)?, kernel: given.kernel.clone() };
    run(&mut cargo(&["build", "--quiet", "--example", "diswall_service"]))?;
    let scratch = absolute(&Path::new("target/machine").join(kind.name))?;
    let served = serve(&scratch)?;
    let mut sentinel = Sentinel::start(DYNFW, &scratch)?;
    sentinel.tell("publish every 20")?;
    let mut diswall = DisWall::start(&programs()?, &scratch)?;
    diswall.tell(&format!("fill 60.0.0.1 {DISWALL} 80000"))?;
    let configuration = configuration(&sentinel, &diswall, served.port);
    let scripts = [("bin/watch-memory", WATCH), ("usr/bin/uclient-fetch", FETCH)];
    let image = image::build_on_disk(kind, &system, &daemon, &configuration, &scripts, &scratch)?;
    let mut machine = Machine::boot(kind, &image, &scratch)?;
    println!("{}", machine.tell("cat /proc/version; mount; free -k")?);
    println!("before the rules:\n{}", account(&mut machine)?);
    machine.tell("diswall rules --standalone >/tmp/rules && nft -f /tmp/rules && mkdir -p /var/run/diswall")?;
    machine.tell("watch-memory >/dev/null 2>&1 &")?;
    let before = available(&mut machine)?;
    println!("before the daemon:\n{}", account(&mut machine)?);

    let start = Instant::now();
    machine.tell(
        "{ sh -c 'echo $$ >/tmp/pid; exec diswall run --foreground'; echo \"it ended with status $?\"; } >/tmp/log 2>&1 &",
    )?;
    fill(&mut machine)?;
    let taken = start.elapsed().as_secs();
    // Threads that have nothing more to do end after 10 s.
    sleep(Duration::from_secs(15));
    let (rest, least) = (available(&mut machine)?, least(&mut machine)?);
    println!("all in force after {taken} s:\n{}", account(&mut machine)?);
    let own = machine.tell("grep -E 'VmHWM|VmRSS|RssAnon' /proc/$(cat /tmp/pid)/status")?;
    let own = own.split_whitespace().collect::<Vec<_>>().join(" ");

    // All of them anew: what is in force and what comes are there at once.
    machine.tell("rm /tmp/least")?;
    for (name, ..) in LISTS {
        machine.tell(&format!("diswall resync {name}"))?;
    }
    sleep(Duration::from_secs(5));
    fill(&mut machine)?;
    sleep(Duration::from_secs(15));
    let again = self::least(&mut machine)?;
    let killed = machine.tell("dmesg | grep -ci 'out of memory'; true")?;
    if killed.trim() != "0" {
        return Err(format!("{}: the kernel ran out of memory", kind.name));
    }
    // nft, which lists whole sets, would have been the largest program of all.
    machine.tell("kill $(cat /tmp/pid); while kill -0 $(cat /tmp/pid) 2>/dev/null; do sleep 1; done")?;
    for (set, mark, count) in [("diswall_greensnow4", "78\\.", 4_900), ("diswall_spamhaus.net6", "2a0c:", 80)] {
        let line = format!("nft list set inet fw4 {set} | grep -oE '{mark}[0-9a-f.:]+' | wc -l");
        let held = machine.tell(&line)?;
        if held.trim() != count.to_string() {
            return Err(format!("{}: {set} has {held} elements of {count}", kind.name));
        }
    }
    let line = format!(
        "{} KB available before, {} with everything in force, {} at the least while it came, {} at the least while all \
         lists came anew; the daemon: {own}",
        before, rest, least, again
    );
    if rest < AIM { Err(format!("{}: {line}: {AIM} are to be left", kind.name)) } else { Ok(line) }
}

/// The web server with every file.
struct Served {
    _part: Part,
    port: u16,
}

fn serve(scratch: &Path) -> Result<Served> {
    let place = scratch.join("served");
    make_directory(&place)?;
    for (name, count, line) in FILES {
        let mut text = String::from("# generated\n");
        (0..count).for_each(|n| {
            let _ = writeln!(text, "{}", line(n));
        });
        if name.starts_with("spamhaus") {
            let _ = writeln!(text, "{{\"type\":\"metadata\",\"records\":{count}}}");
        }
        write(&place.join(name), text)?;
    }
    let port = free_port()?;
    let mut server = command("/usr/bin/python3", &["-u", "-m", "http.server", "--bind", "127.0.0.1"]);
    server.arg(port.to_string()).arg("--directory").arg(&place);
    Ok(Served { _part: Part::start("web", &mut server, scratch)?, port })
}

fn configuration(sentinel: &Sentinel, diswall: &DisWall, port: u16) -> String {
    let here = format!("http://10.0.2.2:{port}");
    let lists = LISTS.map(|(name, _, _, options)| format!("config list '{name}'\n{}", options.replace("{}", &here)));
    format!(
        "config diswall 'main'\n\toption state_dir '/var/lib/diswall'\n\toption max_entries '196608'\n\
         config dynfw 'dynfw'\n\toption server '10.0.2.2'\n\toption port '{}'\n\toption server_key '{}'\n\
         \toption key_url ''\nconfig nats 'nats'\n\toption server '10.0.2.2'\n\toption port '{}'\n\
         \toption client_name '{LOGIN}'\n\toption client_pass '{LOGIN}'\n\toption hostname 'router'\n{}",
        sentinel.port,
        sentinel.public_key,
        diswall.port,
        lists.concat()
    )
}

/// Waits until all of it is in force.
fn fill(machine: &mut Machine) -> Result<()> {
    let wanted = LISTS.map(|(name, hosts, networks, _)| (name, hosts, networks));
    let wanted: Vec<_> =
        wanted.into_iter().chain([("dynfw", u64::from(DYNFW), 0), ("nats", u64::from(DISWALL), 0)]).collect();
    let (start, mut lacking) = (Instant::now(), Vec::new());
    while start.elapsed() < PATIENCE {
        // It is there to the end, or something is wrong with it or with the memory.
        machine.tell("! grep 'it ended with' /tmp/log || { dmesg | tail -n 40; false; }")?;
        let told = machine.tell("diswall status --json; true")?;
        let status: Value = serde_json::from_str(&told).unwrap_or_default();
        let number = |source: &Value, key: &str| source[key].as_u64().unwrap_or(0);
        let sources: Vec<_> = status["sources"].as_array().into_iter().flatten().collect();
        lacking = wanted.clone();
        lacking.retain(|(name, hosts, networks)| {
            !sources.iter().any(|source| {
                source["name"] == *name
                    && number(source, "v4") + number(source, "v6") == *hosts
                    && number(source, "networks") == *networks
            })
        });
        let feeds = status["feeds"].as_array().into_iter().flatten();
        if lacking.is_empty() && feeds.clone().count() > 0 && feeds.clone().all(|feed| feed["state"] == "live") {
            return Ok(());
        }
        sleep(Duration::from_secs(3));
    }
    let said = machine.tell("tail -n 30 /tmp/log; diswall status; cat /proc/meminfo; true")?;
    Err(format!("not in force: {lacking:?}\n{said}"))
}

/// MemAvailable in KiB.
fn available(machine: &mut Machine) -> Result<u64> {
    number(&machine.tell("grep MemAvailable /proc/meminfo")?)
}

fn least(machine: &mut Machine) -> Result<u64> {
    number(&machine.tell("cat /tmp/least")?)
}

fn number(text: &str) -> Result<u64> {
    let found = text.split_whitespace().find_map(|word| word.parse().ok());
    found.ok_or_else(|| format!("no number in {text:?}"))
}

/// Where the memory is.
fn account(machine: &mut Machine) -> Result<String> {
    machine.tell("grep -E '^(MemTotal|MemFree|MemAvailable|Cached|Shmem|AnonPages|Slab|SUnreclaim|VmallocUsed|Percpu)' /proc/meminfo")
}
