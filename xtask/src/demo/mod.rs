//! `cargo xtask demo`: the daemon between real feeds and the real kernel, shown live, in a sandbox that
//! the kernel clears away. One host on the wan side is banned and freed while it pings the router.

mod screen;

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::screen::{Screen, View, grouped, number};
use crate::command::{cargo, command, output, programs, run};
use crate::measure::Announcements;
use crate::parts::{Daemon, DisWall, Part, Sentinel};
use crate::sandbox::{self, Interrupted, Machine};
use crate::{Result, Subcommand, setup};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand = Subcommand {
    name: "demo",
    summary: "the daemon between two feeds and the kernel, shown live",
    help: HELP,
    run: demo,
};

const HELP: &str = "\
Usage: cargo xtask demo [--seconds N]

Makes a network namespace, loads `diswall rules --standalone` there, starts a simulated Turris
Sentinel (libzmq with CURVE: a list of 20,000 addresses, then deltas) and a real nats-server with
a few DisWall bans, runs the daemon against both, and shows live: the feeds and their state, bans
and dropped packets by source, the newest changes, and a host on the wan side that pings the
router while the feeds ban it and free it. At the end nft's own listing of the set is compared
with what the Sentinel has published, address by address.

  --seconds N   how long it goes on once the feeds are live, 15 to 3600 (default 40)

Needs root. Ends by itself or with Ctrl-C, and leaves nothing behind: everything lives in
namespaces of this program's own, which the kernel removes with it.";

/// Addresses on the Sentinel's list.
const LIST: u32 = 20_000;

/// Random deltas a second.
const DELTAS: u32 = 3;

/// The router's address on the wan side; it is the visitor's gateway.
const ROUTER: &str = "192.0.2.1";

/// The host that is banned and freed.
const VISITOR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);

/// How long the feeds may take to be live on a busy machine.
const LIVE_WITHIN: Duration = Duration::from_secs(60);

const TICK: Duration = Duration::from_millis(100);

fn demo(args: &[String]) -> Result<()> {
    if let Some(args) = sandbox::is_inside(args) {
        let outcome = Demo::set_up(parse(args)?).and_then(Demo::play);
        return outcome.map_err(|error| format!("the demo broke off: {error}"));
    }
    parse(args)?;
    setup::require_root("the demo")?;
    setup::ensure(&[setup::BUILD, setup::RUN])?;
    println!("Building the daemon and the simulated DisWall service.");
    run(&mut cargo(&["build", "--quiet", "--bin", "diswall", "--example", "diswall_service"]))?;
    sandbox::enter(SUBCOMMAND.name, args)?;
    println!("Nothing is left behind: namespaces, processes and files ended with the demo.");
    Ok(())
}

/// The `--seconds` of the arguments.
fn parse(args: &[String]) -> Result<u64> {
    let value = match args {
        [] => return Ok(40),
        [flag, value] if flag == "--seconds" => value.as_str(),
        [flag] if flag.starts_with("--seconds=") => flag.trim_start_matches("--seconds="),
        _ => return Err(format!("demo takes --seconds N, and was given {args:?}")),
    };
    let seconds = value.parse().ok().filter(|seconds| (15..=3600).contains(seconds));
    seconds.ok_or_else(|| format!("--seconds takes a number from 15 to 3600, not {value:?}"))
}

/// Something that happens to the visitor.
#[derive(Clone, Copy, PartialEq)]
enum Chapter {
    /// Nothing yet.
    Welcome,
    /// The Sentinel announces it.
    Announced,
    /// The Sentinel takes that back.
    TakenBack,
    /// DisWall bans it for a few seconds.
    Timed,
    /// Those are over.
    Expired,
}

/// Chapters by the share of the demo's time at which they begin, in hundredths.
const CHAPTERS: [(u64, Chapter); 5] = [
    (0, Chapter::Welcome),
    (20, Chapter::Announced),
    (45, Chapter::TakenBack),
    (60, Chapter::Timed),
    (85, Chapter::Expired),
];

/// The seconds of DisWall's ban.
fn timed_seconds(whole: u64) -> u64 {
    whole / 5
}

struct Demo {
    seconds: u64,
    interrupted: Interrupted,
    screen: Screen,
    view: View,
    sentinel: Sentinel,
    diswall: DisWall,
    daemon: Daemon,
    watch: Part,
    ping: Part,
    _visitor: Machine,
}

impl Demo {
    /// Puts everything together, up to both feeds being live.
    fn set_up(seconds: u64) -> Result<Demo> {
        let interrupted = sandbox::note_interrupts()?;
        let mut screen = Screen::new();
        let scratch = sandbox::scratch()?;
        let programs = programs()?;
        screen.say("A router in a network namespace, one host on its wan side.");
        let machine = Machine::on_wan(&format!("{ROUTER}/24"), "192.0.2.2/24", &format!("{VISITOR}/32"))?;
        screen.say(&format!("A simulated Turris Sentinel with {} addresses.", grouped(LIST.into())));
        let mut sentinel = Sentinel::start(LIST, &scratch)?;
        sentinel.tell("publish every 1")?;
        screen.say("A nats-server with a few DisWall bans.");
        let mut diswall = DisWall::start(&programs, &scratch)?;
        for ban in ["203.0.113.5 3600", "203.0.113.80 86400", "198.51.100.9 1800", "2001:db8::bad 7200"] {
            diswall.tell(&format!("ban {ban}"))?;
        }
        let mut daemon = Daemon::configure(&programs, &scratch, Some(&sentinel), Some(&diswall))?;
        daemon.load_rules()?;
        screen.say("The daemon, between both feeds and the kernel's sets.");
        daemon.start()?;
        let status = wait_live(&mut daemon, &interrupted)?;
        sentinel.tell(&format!("deltas {DELTAS}"))?;
        let watch = daemon.watch()?;
        // A ping of its own each time: a new connection, as `states 'new'` looks at.
        let pings = format!("while :; do ping -n -q -c 1 -W 0.4 -I {VISITOR} {ROUTER}; sleep 0.4; done");
        let ping = Part::start("ping", machine.command("sh").args(["-c", &pings]), &scratch)?;
        let view = View { status, visitor: VISITOR.to_string(), ..View::default() };
        Ok(Demo { seconds, interrupted, screen, view, sentinel, diswall, daemon, watch, ping, _visitor: machine })
    }

    /// The show itself.
    fn play(mut self) -> Result<()> {
        let start = Instant::now();
        let mut chapter = None;
        let mut drawn_second = None;
        while start.elapsed().as_secs() < self.seconds && !self.interrupted.load(Ordering::Relaxed) {
            let second = start.elapsed().as_secs();
            let now = chapter_at(second, self.seconds);
            if chapter != Some(now) {
                chapter = Some(now);
                self.begin(now)?;
            }
            self.look();
            if drawn_second != Some(second) {
                drawn_second = Some(second);
                self.show(second)?;
            }
            sleep(TICK);
        }
        self.finish()
    }

    fn begin(&mut self, chapter: Chapter) -> Result<()> {
        self.view.story = match chapter {
            Chapter::Welcome => "Nobody has anything against it: the router answers.".into(),
            Chapter::Announced => {
                let announcements = Announcements::listen()?;
                let answer = self.sentinel.tell(&format!("add {VISITOR}"))?;
                let sent = answer["sent_ns"].as_u64().ok_or("the Sentinel does not say when it sent")?;
                let heard = announcements.heard(VISITOR.octets())?;
                let took = heard.saturating_sub(sent) as f64 / 1e6;
                format!("The Sentinel announced it; it was in the kernel's set {took:.1} ms later.")
            }
            Chapter::TakenBack => {
                self.sentinel.tell(&format!("del {VISITOR}"))?;
                "The Sentinel took that back: the router answers again.".into()
            }
            Chapter::Timed => {
                let seconds = timed_seconds(self.seconds);
                self.diswall.tell(&format!("ban {VISITOR} {seconds}"))?;
                format!("DisWall banned it for {seconds} s; the kernel itself lets that expire.")
            }
            Chapter::Expired => "DisWall's ban has expired: the router answers again.".into(),
        };
        if !self.screen.draws() {
            let line = format!("-- {VISITOR}: {}", self.view.story);
            self.screen.say(&line);
        }
        Ok(())
    }

    /// Takes in what the ping and `diswall watch` have printed.
    fn look(&mut self) {
        for line in self.ping.new_lines() {
            // "1 packets transmitted, 0 received, 100% packet loss, time 0ms"
            if line.contains("packets transmitted") {
                self.view.pings.push(!line.contains(" 0 received"));
            }
        }
        for line in self.watch.new_lines() {
            let Ok(change) = serde_json::from_str(&line) else { continue };
            if !self.screen.draws() {
                let line = self.screen.change(&change);
                self.screen.say(&line);
            }
            self.view.change(change);
        }
    }

    /// Once a second.
    fn show(&mut self, second: u64) -> Result<()> {
        if let Some(status) = self.daemon.status()? {
            self.view.status = status;
        }
        self.view.seconds = (second, self.seconds);
        if self.screen.draws() {
            self.screen.draw(&self.view);
        } else if second.is_multiple_of(5) {
            let line = plain_line(&self.view);
            self.screen.say(&line);
        }
        Ok(())
    }

    /// Compares the kernel's set with what was published, and sums up.
    fn finish(mut self) -> Result<()> {
        self.sentinel.tell("deltas 0")?;
        sleep(Duration::from_millis(500));
        self.look();
        self.show(self.seconds.min(self.view.seconds.0))?;
        let answer = self.sentinel.tell("dump")?;
        let mut published: Vec<&str> = strings(&answer["addresses"]).collect();
        let listing = output(&mut command("nft", &["-j", "list", "set", "inet", "fw4", "diswall_dynfw4"]))?;
        let listing: Value = serde_json::from_str(&listing).map_err(|error| format!("nft -j list set: {error}"))?;
        let set =
            listing["nftables"].as_array().and_then(|objects| objects.iter().find_map(|object| object.get("set")));
        let mut held: Vec<&str> = strings(set.map_or(&Value::Null, |set| &set["elem"])).collect();
        published.sort_unstable();
        held.sort_unstable();
        self.screen.say("");
        let (answered, dropped) = self.view.answered_and_dropped();
        let counted = number(&self.view.status["dropped"]["packets"]);
        self.screen
            .say(&format!("{VISITOR}: {answered} pings answered, {dropped} not; the kernel counted {counted} drops."));
        if !self.interrupted.load(Ordering::Relaxed) && counted == 0 {
            return Err(format!("{VISITOR} was banned and none of its packets was dropped"));
        }
        if published != held {
            return Err(format!("the Sentinel publishes {} addresses, the set holds {}", published.len(), held.len()));
        }
        let held = grouped(held.len() as u64);
        self.screen.say(&format!("The kernel's set is the Sentinel's list: {held} addresses, each compared."));
        Ok(())
    }
}

fn chapter_at(second: u64, whole: u64) -> Chapter {
    let begun = CHAPTERS.iter().rev().find(|(share, _)| second * 100 >= share * whole);
    begun.map_or(Chapter::Welcome, |(_, chapter)| *chapter)
}

/// Waits until both feeds are live; the status then.
fn wait_live(daemon: &mut Daemon, interrupted: &Interrupted) -> Result<Value> {
    let start = Instant::now();
    loop {
        let status = daemon.status()?;
        if let Some(status) = &status
            && status["feeds"].as_array().is_some_and(|feeds| feeds.iter().all(|feed| feed["state"] == "live"))
        {
            return Ok(status.clone());
        }
        if interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        if start.elapsed() > LIVE_WITHIN {
            let feeds = status.map_or(Value::Null, |status| status["feeds"].clone());
            return Err(format!("the feeds are not live within {LIVE_WITHIN:?}: {feeds}"));
        }
        sleep(TICK);
    }
}

/// One line of the state for a log.
fn plain_line(view: &View) -> String {
    let (second, of) = view.seconds;
    let feeds = view.status["feeds"].as_array().map_or(&[][..], Vec::as_slice);
    let sources = view.status["sources"].as_array().map_or(&[][..], Vec::as_slice);
    let feeds = feeds.iter().map(|feed| format!("{} {}", feed["name"], feed["state"]).replace('"', ""));
    let sources = sources.iter().map(|source| {
        let bans = number(&source["v4"]) + number(&source["v6"]);
        format!("{} {}", source["name"].as_str().unwrap_or("?"), grouped(bans))
    });
    let dropped = number(&view.status["dropped"]["packets"]);
    format!(
        "-- {second} s of {of} s · feeds: {} · bans: {} · {dropped} packets dropped",
        feeds.collect::<Vec<_>>().join(", "),
        sources.collect::<Vec<_>>().join(", ")
    )
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_taken_in_both_forms_and_bounded() {
        let parse = |words: &[&str]| parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok(40));
        assert_eq!(parse(&["--seconds", "15"]), Ok(15));
        assert_eq!(parse(&["--seconds=3600"]), Ok(3600));
        for wrong in [&["--seconds"][..], &["--seconds", "14"], &["--seconds", "x"], &["-v"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_chapter_has_its_time_even_in_the_shortest_demo() {
        let mut seen: Vec<Chapter> = (0..15).map(|second| chapter_at(second, 15)).collect();
        seen.dedup();
        assert!(seen == CHAPTERS.map(|(_, chapter)| chapter));
        for whole in [15, 40, 3600] {
            assert!(
                timed_seconds(whole) * 100 < whole * (85 - 60),
                "the timed ban ends before it is said to have ended"
            );
        }
    }
}
