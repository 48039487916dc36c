//! A soak while it runs: the parts, the truth, and what each card does to both.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cards::Card;
use super::emulated::Emulated;
use super::gauge::Gauge;
use super::ground::{Ground, OPEN, Pace, ROUTER};
use super::here::Here;
use super::judge::{self, Listing};
use super::random::Random;
use super::router::{Anew, Router};
use super::truth::{Book, SLACK, Until};
use crate::Result;
use crate::command::{command, output};
use crate::parts::{DisWall, LOGIN, Part, Sentinel};
use crate::sandbox::load_nft;

/// Whose addresses begin with what: nothing of them is private, and no two parts share any.
const SENTINEL: (u8, u8) = (20, 59);
const DISWALL: (u8, u8) = (60, 79);
const LISTED: (u8, u8) = (80, 89);

/// Addresses on the Sentinel's list, and on the list that is read from a file, to begin with.
const MANY: usize = 2000;
const FEW: usize = 400;

/// How long a scanner is banned the first time, the second and so on, in seconds: the router's own ladder of 15 minutes,
/// 30 minutes, an hour and so on, at a hundred times its speed, but never shorter than a busy machine can look. Longer on
/// a slower one.
const LADDER: [u64; 5] = [20, 30, 40, 90, 900];

/// Failed log-ins that are too many.
const ATTEMPTS: usize = 3;

/// At this port the kernel bans by itself, at the other it leaves that to the daemon.
const HONEYPOT: u16 = 23;
const CLOSED: u16 = 30_000;

/// The sources by the names of their sets, and whether their ends are compared.
const SOURCES: [(&str, &[&str], bool); 6] = [
    ("dynfw", &["dynfw4", "dynfw6"], false),
    ("nats", &["nats4", "nats6"], true),
    ("scan", &["scan4", "scan6"], true),
    ("manual", &["manual4", "manual6"], true),
    ("farm", &["farm4", "farm6", "farm.net4", "farm.net6"], false),
    ("allow", &["allow4", "allow6"], false),
];

/// Whoever is not banned by then offends once more.
const AGAIN: Duration = Duration::from_secs(3);

/// How near an end may not be of what is taken back, and of who is to be kept out.
const NEAR: Duration = Duration::from_secs(15);
const NEAR_TOUCHED: Duration = Duration::from_secs(20);

/// How long the stranger waits for an answer.
const ANSWER: Duration = Duration::from_millis(600);

/// A comparison that takes longer says what it waited for.
const SLOW: Duration = Duration::from_secs(10);

/// Who is told apart by packets at a comparison: so many of those that are banned.
const TOUCHED: usize = 2;

/// Where the router of a soak is.
pub struct Place<'a> {
    /// The program there.
    pub program: &'a Path,
    /// Where cargo put the simulated service.
    pub parts: PathBuf,
    /// In memory, and on a disk.
    pub scratch: &'a Path,
    pub disk: &'a Path,
    /// Whether it is an emulated machine.
    pub emulated: bool,
}

impl Place<'_> {
    /// How fast it goes there.
    pub fn pace(&self) -> Pace {
        if self.emulated { Pace::EMULATED } else { Pace::HERE }
    }

    fn ground(&self, ports: &str) -> Result<Box<dyn Ground>> {
        Ok(if self.emulated {
            Box::new(Emulated::new(self.program, self.disk, ports)?)
        } else {
            Box::new(Here::new(self.program, self.scratch, self.disk)?)
        })
    }
}

/// See the module's head.
pub struct Play {
    router: Router,
    pace: Pace,
    sentinel: Sentinel,
    diswall: DisWall,
    stranger: Part,
    truth: BTreeMap<&'static str, Book>,
    /// DisWall's allowances, for DisWall takes back its own alone.
    diswall_allows: Vec<String>,
    /// How often the router has banned whom, of those whose ban is over.
    ladder: BTreeMap<String, usize>,
    seen: BTreeMap<String, usize>,
    listed: Vec<String>,
    list_is_on: bool,
    clock_is_off: Option<i64>,
    /// Strangers come one after the other.
    strangers: u32,
    networks: u32,
    /// What the daemon costs.
    pub gauge: Gauge,
    /// Comparisons made, elements compared in them, the longest time until all agreed.
    pub compared: (u32, usize, Duration),
}

impl Play {
    /// Everything put together, up to both feeds being live.
    pub fn set_up(place: &Place, seed: u64) -> Result<Play> {
        let (pace, mut random) = (place.pace(), Random::new(seed, u64::MAX));
        let sentinel = Sentinel::start(0, place.scratch)?;
        let diswall = DisWall::start(&place.parts, place.scratch)?;
        let mut router = Router::new(place.ground(&ports(&sentinel, &diswall))?, pace);
        router.configure(&configuration(&router, pace, &sentinel, &diswall))?;
        let mut program = router.outside("/usr/bin/python3");
        let wait = pace.long(ANSWER).as_secs_f64().to_string();
        let stranger =
            Part::start("stranger", program.args(["tests/parts/stranger.py", ROUTER, &wait]), place.scratch)?;
        stranger.json()?;
        let truth = SOURCES.map(|(name, _, _)| (name, Book::new(pace.long(SLACK)))).into();
        let mut play = Play {
            router,
            pace,
            sentinel,
            diswall,
            stranger,
            truth,
            diswall_allows: Vec::new(),
            ladder: BTreeMap::new(),
            seen: BTreeMap::new(),
            listed: Vec::new(),
            list_is_on: true,
            clock_is_off: None,
            strangers: 0,
            networks: 0,
            gauge: Gauge::new(pace),
            compared: (0, 0, Duration::ZERO),
        };
        let addresses: Vec<String> = (0..MANY).map(|_| random.address(SENTINEL).to_string()).collect();
        play.sentinel.tell(&format!("addresses {}", addresses.join(" ")))?;
        play.sentinel.tell("publish every 3")?;
        addresses.into_iter().for_each(|address| play.book("dynfw").enter(address, Until::EVER));
        play.change_list(&mut random, FEW)?;
        play.enter_list();
        play.router.load_rules()?;
        match play.router.start().and_then(|()| play.live()) {
            Ok(()) => Ok(play),
            Err(error) => Err(format!("{error}\n  the daemon's log:\n  {}", play.log_tail())),
        }
    }

    /// The last that the daemon logged.
    pub fn log_tail(&mut self) -> String {
        self.router.log_tail()
    }

    fn book(&mut self, source: &'static str) -> &mut Book {
        let slack = self.pace.long(SLACK);
        self.truth.entry(source).or_insert_with(|| Book::new(slack))
    }

    fn live(&mut self) -> Result<()> {
        self.router.wait("the feeds are live", |status| {
            let feeds = status["feeds"].as_array().map_or(&[][..], Vec::as_slice);
            !feeds.is_empty() && feeds.iter().all(|feed| feed["state"] == "live")
        })
    }

    /// Plays a card.
    pub fn play(&mut self, card: Card, random: &mut Random) -> Result<()> {
        let outcome = self.do_card(card, random);
        if !matches!(card, Card::Anew(_)) {
            self.look()?;
        }
        outcome
    }

    fn look(&mut self) -> Result<()> {
        let reading = self.router.reading()?;
        self.gauge.note(reading);
        Ok(())
    }

    fn do_card(&mut self, card: Card, random: &mut Random) -> Result<()> {
        match card {
            Card::Deltas => self.deltas(random),
            Card::LostDeltas => self.lost_deltas(random),
            Card::Ban => self.ban(random),
            Card::Unban => self.unban(random),
            Card::DisWallAllows => self.diswall_allows(random),
            Card::DisWallDisallows => self.diswall_disallows(random),
            Card::Honeypot => self.scan(HONEYPOT),
            Card::ClosedPort => self.scan(CLOSED),
            Card::Again => self.scan_again(random),
            Card::Login => self.log_in(true),
            Card::Forged => self.log_in(false),
            Card::Block => self.block(random, true),
            Card::BlockLasting => self.block(random, false),
            Card::Unblock => self.unblock(random),
            Card::Allow => self.allow(random, true),
            Card::AllowLasting => self.allow(random, false),
            Card::Disallow => self.disallow(random),
            Card::Kick => self.kick(random),
            Card::List => self.change_list(random, 0).and_then(|()| self.read_list()),
            Card::Switch => self.switch_list(),
            Card::Reload => self.reload_configuration(random),
            Card::FirewallReload => self.router.load_rules(),
            Card::FirewallRestart => self.router.load_rules_anew(),
            Card::FirewallFlush => self.flush_ruleset(),
            Card::SetsFlushed => self.flush_sets(random),
            Card::FeedCut => self.cut_feed(random),
            Card::LinkLoss => self.lose_link(random),
            Card::UplinkDown => self.router.uplink_down(),
            Card::Clock => self.set_clock(random),
            Card::Anew(how) => self.begin_anew(how, random),
            Card::Compare => self.compare(random),
        }
    }

    // the feeds

    /// One change of the Sentinel's list.
    fn change(&mut self, random: &mut Random, how: &str) -> Result<()> {
        if random.coin() {
            let address = random.address(SENTINEL).to_string();
            self.sentinel.tell(&format!("{how}add {address}"))?;
            self.book("dynfw").enter(address, Until::EVER);
        } else if let Some(address) = random.one_of(&self.book("dynfw").lasting()).cloned() {
            self.sentinel.tell(&format!("{how}del {address}"))?;
            self.book("dynfw").strike(&address);
        }
        Ok(())
    }

    fn deltas(&mut self, random: &mut Random) -> Result<()> {
        (0..random.between(5, 30)).try_for_each(|_| self.change(random, ""))
    }

    /// A delta behind the lost ones tells of the gap.
    fn lost_deltas(&mut self, random: &mut Random) -> Result<()> {
        (0..random.between(1, 5)).try_for_each(|_| self.change(random, "silent "))?;
        self.change(random, "")
    }

    fn ban(&mut self, random: &mut Random) -> Result<()> {
        for _ in 0..random.between(1, 4) {
            let (address, seconds) = (random.address(DISWALL).to_string(), random.between(15, 1500));
            let before = Instant::now();
            self.diswall.tell(&format!("ban {address} {seconds}"))?;
            let until = Until::after(before, Instant::now(), Duration::from_secs(seconds));
            self.book("nats").enter(address, until);
        }
        Ok(())
    }

    fn unban(&mut self, random: &mut Random) -> Result<()> {
        let all: Vec<String> = self.book("nats").entries().keys().cloned().collect();
        let Some(address) = random.one_of(&all) else { return Ok(()) };
        self.diswall.tell(&format!("unban {address}"))?;
        self.book("nats").strike(address);
        Ok(())
    }

    fn diswall_allows(&mut self, random: &mut Random) -> Result<()> {
        let Some(address) = random.one_of(&self.book("dynfw").lasting()).cloned() else { return Ok(()) };
        if self.book("allow").has(&address) {
            return Ok(());
        }
        self.diswall.tell(&format!("allow {address}"))?;
        self.book("allow").enter(address.clone(), Until::EVER);
        self.diswall_allows.push(address);
        Ok(())
    }

    fn diswall_disallows(&mut self, random: &mut Random) -> Result<()> {
        let Some(address) = random.one_of(&self.diswall_allows).cloned() else { return Ok(()) };
        self.diswall.tell(&format!("disallow {address}"))?;
        self.book("allow").strike(&address);
        self.diswall_allows.retain(|each| *each != address);
        Ok(())
    }

    // strangers

    fn next_stranger(&mut self) -> String {
        self.strangers += 1;
        Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + self.strangers % (1 << 17)).to_string()
    }

    fn stranger(&mut self, what: &str, address: &str, port: u16) -> Result<Value> {
        self.stranger.send(&format!("{what} {address} {port}"))?;
        let answer = self.stranger.json()?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(format!("the stranger: {what} {address} {port}: {error}")),
        }
    }

    /// Does something until the router has banned this address, and enters that.
    fn until_banned(&mut self, address: &str, offend: &mut dyn FnMut(&mut Play) -> Result<()>) -> Result<()> {
        let (start, patience) = (Instant::now(), self.pace.patience());
        while start.elapsed() < patience {
            // Whoever offends while he is banned offends for nothing.
            let before = Instant::now();
            offend(self)?;
            while before.elapsed() < self.pace.long(AGAIN) {
                if self.router.kernel(&["scan4"])?.contains_key(address) {
                    let level = self.seen.get(address).copied().unwrap_or(0);
                    let time = self.pace.long(Duration::from_secs(LADDER[level.min(LADDER.len() - 1)]));
                    self.book("scan").enter(address.to_owned(), Until::after(start, Instant::now(), time));
                    self.seen.insert(address.to_owned(), level + 1);
                    return Ok(());
                }
                sleep(Duration::from_millis(50));
            }
        }
        Err(format!("{address} has offended for {patience:?} and is not banned"))
    }

    fn scan(&mut self, port: u16) -> Result<()> {
        let address = self.next_stranger();
        self.until_banned(&address.clone(), &mut |play| play.stranger("try", &address, port).map(drop))
    }

    fn scan_again(&mut self, random: &mut Random) -> Result<()> {
        for address in self.book("scan").forget_ended(Instant::now()) {
            if let Some(count) = self.seen.get(&address) {
                self.ladder.insert(address, *count);
            }
        }
        let over: Vec<String> = self.ladder.keys().cloned().collect();
        let Some(address) = random.one_of(&over) else { return Ok(()) };
        self.ladder.remove(address);
        self.until_banned(address, &mut |play| play.stranger("try", address, HONEYPOT).map(drop))
    }

    /// Too many failures of somebody who was there; or of somebody who was not, which must ban nobody.
    fn log_in(&mut self, was_there: bool) -> Result<()> {
        let address = self.next_stranger();
        let lines = |port: u64| {
            let line =
                format!("Nov 28 10:00:00 router sshd[77]: Failed password for root from {address} port {port} ssh2\n");
            line.repeat(ATTEMPTS)
        };
        if !was_there {
            return self.router.write_log(&lines(4000));
        }
        let answer = self.stranger("visit", &address, OPEN)?;
        if answer["answer"] != "open" {
            return Err(format!("{address}, whom nobody has banned, is not let in: {answer}"));
        }
        let text = lines(answer["port"].as_u64().unwrap_or_default());
        self.until_banned(&address, &mut |play| play.router.write_log(&text))
    }

    // the owner

    fn block(&mut self, random: &mut Random, timed: bool) -> Result<()> {
        self.networks += 1;
        let (high, low) = (self.networks / 120 % 120, self.networks % 120 * 2);
        // Never side by side: the kernel would merge them.
        let name = match random.below(3) {
            0 => format!("128.{}.{low}.0/24", 66 + high),
            1 => format!("128.{}.{low}.7", 66 + high),
            _ => format!("2a0e:{high:x}:{low:x}::/48"),
        };
        let seconds = random.between(20, 2000);
        let timeout = seconds.to_string();
        let args = ["block", &name, "--timeout", &timeout];
        let before = Instant::now();
        self.router.cli(if timed { &args } else { &args[..2] })?;
        let until =
            if timed { Until::after(before, Instant::now(), Duration::from_secs(seconds)) } else { Until::EVER };
        self.book("manual").enter(name, until);
        Ok(())
    }

    fn unblock(&mut self, random: &mut Random) -> Result<()> {
        // One whose end is near may be over before it is taken back.
        let (now, near) = (Instant::now(), self.pace.long(NEAR));
        let all: Vec<String> = self.book("manual").expected(now, now + near).must.into_iter().collect();
        let Some(name) = random.one_of(&all) else { return Ok(()) };
        self.router.cli(&["unblock", name])?;
        self.book("manual").strike(name);
        Ok(())
    }

    fn allow(&mut self, random: &mut Random, timed: bool) -> Result<()> {
        let name = match random.one_of(&self.book("dynfw").lasting()).cloned() {
            Some(address) if random.coin() => address,
            _ => {
                self.networks += 1;
                format!("130.{}.{}.9", self.networks / 120 % 120, self.networks % 120 * 2)
            }
        };
        if self.book("allow").has(&name) {
            return Ok(());
        }
        let seconds = random.between(20, 2000);
        let timeout = seconds.to_string();
        let args = ["allow", &name, "--timeout", &timeout];
        let before = Instant::now();
        self.router.cli(if timed { &args } else { &args[..2] })?;
        let until =
            if timed { Until::after(before, Instant::now(), Duration::from_secs(seconds)) } else { Until::EVER };
        self.book("allow").enter(name, until);
        Ok(())
    }

    fn disallow(&mut self, random: &mut Random) -> Result<()> {
        let (now, near) = (Instant::now(), self.pace.long(NEAR));
        let own: Vec<String> = self.book("allow").expected(now, now + near).must.into_iter().collect();
        let own: Vec<String> = own.into_iter().filter(|name| !self.diswall_allows.contains(name)).collect();
        let Some(name) = random.one_of(&own) else { return Ok(()) };
        self.router.cli(&["disallow", name])?;
        self.book("allow").strike(name);
        Ok(())
    }

    fn kick(&mut self, random: &mut Random) -> Result<()> {
        self.router.cli(&["kick", &random.address(SENTINEL).to_string()]).map(drop)
    }

    // lists, configuration, firewall

    /// The list's file with some taken off and some more on it.
    fn change_list(&mut self, random: &mut Random, more: usize) -> Result<()> {
        for _ in 0..random.between(1, 40) {
            let gone = random.below(self.listed.len());
            if gone < self.listed.len() {
                self.listed.swap_remove(gone);
            }
        }
        for _ in 0..more + random.between(1, 40) as usize {
            let address = random.address(LISTED);
            let [a, b, c, _] = address.octets();
            // Only every second network: those side by side are one for the kernel.
            self.listed.push(if random.below(4) == 0 {
                format!("{a}.{b}.{}.0/24", c & !1)
            } else {
                format!("{a}.{b}.{}.9", c | 1)
            });
        }
        self.listed.sort();
        self.listed.dedup();
        self.router.write_list(self.listed.join("\n") + "\n")
    }

    fn enter_list(&mut self) {
        let listed = if self.list_is_on { self.listed.clone() } else { Vec::new() };
        let book = self.book("farm");
        book.clear();
        listed.into_iter().for_each(|name| book.enter(name, Until::EVER));
    }

    fn read_list(&mut self) -> Result<()> {
        self.enter_list();
        if self.list_is_on { self.router.cli(&["resync", "farm"]).map(drop) } else { Ok(()) }
    }

    fn switch_list(&mut self) -> Result<()> {
        let line = |on| format!("\toption enabled '{}' # farm\n", u8::from(on));
        self.router.edit(&line(self.list_is_on), &line(!self.list_is_on))?;
        self.list_is_on = !self.list_is_on;
        self.enter_list();
        self.router.reload()?;
        self.router.load_rules()?;
        if !self.list_is_on {
            return Ok(());
        }
        // What it had is in force at once, and good for as long as the interval says: who wants the newest asks for it.
        self.router.wait("the list that was switched on is in force", |status| {
            let feeds = status["feeds"].as_array().map_or(&[][..], Vec::as_slice);
            feeds.iter().any(|feed| feed["name"] == "farm" && feed["state"] == "live")
        })?;
        self.router.cli(&["resync", "farm"]).map(drop)
    }

    fn reload_configuration(&mut self, random: &mut Random) -> Result<()> {
        let word = |drops| format!("\toption log_level '{}'\n", if drops { "info" } else { "debug" });
        let to_debug = self.router.edit(&word(true), &word(false));
        if to_debug.is_err() {
            self.router.edit(&word(false), &word(true))?;
        }
        // Twice in a row now and then: the second comes while the first is worked on.
        (0..=random.below(2)).try_for_each(|_| self.router.reload())
    }

    fn flush_ruleset(&mut self) -> Result<()> {
        self.router.tell("nft flush ruleset")?;
        self.router.load_rules()
    }

    /// As somebody does who tries things out.
    fn flush_sets(&mut self, random: &mut Random) -> Result<()> {
        for (source, sets, _) in SOURCES {
            let is_there = source != "farm" || self.list_is_on;
            if random.coin() && is_there {
                self.router.tell(&format!("nft flush set inet fw4 diswall_{}", sets[0]))?;
            }
        }
        Ok(())
    }

    // what goes wrong

    fn cut_feed(&mut self, random: &mut Random) -> Result<()> {
        self.sentinel.tell("close")?;
        (0..random.between(1, 10)).try_for_each(|_| self.change(random, ""))?;
        self.sentinel.tell("open").map(drop)
    }

    /// Nothing of the feeds comes through for a moment, and nothing says so.
    fn lose_link(&mut self, random: &mut Random) -> Result<()> {
        load_nft(&self.router.loss(&ports(&self.sentinel, &self.diswall)), Path::new("/run"))?;
        let outcome = self.deltas(random);
        sleep(Duration::from_millis(random.between(200, 2500)));
        output(&mut command("nft", &["delete", "table", "inet", "soak"]))?;
        outcome
    }

    /// There, and the next time back.
    fn set_clock(&mut self, random: &mut Random) -> Result<()> {
        let by = match self.clock_is_off.take() {
            Some(by) => -by,
            None => {
                // A summer time, a day, or a clock that has not been set since 2000.
                let by = *random.one_of(&[3600, -3600, 86_400, -86_400, -800_000_000]).unwrap_or(&3600);
                self.clock_is_off = Some(by);
                by
            }
        };
        let offset = self.router.step_clock(by)?;
        let wall = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
        };
        self.router.wait("the daemon reads the wall clock that was set", |status| {
            status["now"].as_i64().is_some_and(|now| (now - wall() - offset).abs() < 30)
        })
    }

    fn begin_anew(&mut self, how: Anew, random: &mut Random) -> Result<()> {
        let away = Duration::from_millis(random.between(100, 2000));
        self.look()?;
        self.gauge.ends();
        if how.loses_scans() {
            self.book("scan").doubt(Instant::now());
        }
        // Who has been banned how often is on flash once an hour, and at a clean stop.
        if matches!(how, Anew::Crash | Anew::PowerCut) {
            self.seen.clear();
            self.ladder.clear();
        }
        self.router.begin_anew(how, away)?;
        self.truth.values_mut().for_each(Book::retell);
        self.live()
    }

    // the judge

    fn compare(&mut self, random: &mut Random) -> Result<()> {
        let start = Instant::now();
        let mut last = String::new();
        loop {
            let (found, count) = self.differences()?;
            if found.is_empty() {
                if start.elapsed() > self.pace.long(SLOW) {
                    println!("  equal after {:.1} s only; until then: {last}", start.elapsed().as_secs_f64());
                }
                self.compared = (self.compared.0 + 1, self.compared.1 + count, self.compared.2.max(start.elapsed()));
                break;
            }
            let patience = self.pace.patience();
            if start.elapsed() > patience {
                return Err(format!("after {patience:?} there still differ:\n  {}", found.join("\n  ")));
            }
            last = found.join("; ");
            sleep(Duration::from_millis(300));
        }
        self.touch(random)
    }

    fn differences(&mut self) -> Result<(Vec<String>, usize)> {
        let (mut found, mut count) = (Vec::new(), 0);
        for (source, sets, timed) in SOURCES {
            let before = Instant::now();
            let kernel = self.router.kernel(sets)?;
            let ledger: Listing = if source == "farm" && !self.list_is_on {
                Listing::new()
            } else {
                let rows = self.router.rows(source)?;
                rows.iter()
                    .filter_map(|row| Some((row["address"].as_str()?.to_owned(), row["left"].as_u64())))
                    .collect()
            };
            let after = Instant::now();
            let book = &self.truth[source];
            found.extend(judge::differences(&format!("{source}, the kernel"), book, &kernel, timed, before, after));
            found.extend(judge::differences(&format!("{source}, the ledger"), book, &ledger, timed, before, after));
            count += kernel.len() + ledger.len();
        }
        Ok((found, count))
    }

    /// Packets of some who are banned, and of one who is not.
    fn touch(&mut self, random: &mut Random) -> Result<()> {
        let now = Instant::now();
        let allowed = self.truth["allow"].expected(now, now).may;
        for (source, _, _) in &SOURCES[..SOURCES.len() - 1] {
            let must = self.truth[source].expected(now, now + self.pace.long(NEAR_TOUCHED)).must;
            let hosts: Vec<String> =
                must.into_iter().filter(|name| name.parse::<Ipv4Addr>().is_ok() && !allowed.contains(name)).collect();
            for _ in 0..TOUCHED {
                let Some(address) = random.one_of(&hosts) else { continue };
                let answer = self.stranger("try", address, OPEN)?;
                if answer["answer"] != "silence" {
                    return Err(format!("{address}, whom {source} bans, gets an answer: {answer}"));
                }
            }
        }
        let free = self.next_stranger();
        let answer = self.stranger("try", &free, OPEN)?;
        if answer["answer"] != "open" {
            return Err(format!("{free}, whom nobody bans, gets no answer at an open port: {answer}"));
        }
        Ok(())
    }
}

/// Where the servers of the feeds listen.
fn ports(sentinel: &Sentinel, diswall: &DisWall) -> String {
    format!("{{ {}, {} }}", sentinel.port, diswall.port)
}

fn configuration(router: &Router, pace: Pace, sentinel: &Sentinel, diswall: &DisWall) -> String {
    let ladder: String = LADDER
        .iter()
        .map(|seconds| format!("\tlist ban_time '{}s'\n", pace.long(Duration::from_secs(*seconds)).as_secs()))
        .collect();
    format!(
        "config diswall 'main'\n\toption log_level 'info'\n\n\
         config dynfw 'dynfw'\n\toption server '{0}'\n\toption port '{1}'\n\toption server_key '{2}'\n\
         \toption key_url 'none'\n\n\
         config nats 'nats'\n\toption server '{0}'\n\toption port '{3}'\n\toption client_name '{LOGIN}'\n\
         \toption client_pass '{LOGIN}'\n\toption hostname 'router'\n\n\
         config scan 'scan'\n{ladder}\n\
         config login 'login'\n\toption source '{4}'\n\toption attempts '{ATTEMPTS}'\n\toption proof 'always'\n\n\
         config list 'farm'\n\toption enabled '1' # farm\n\toption url '{5}'\n\n",
        router.servers(),
        sentinel.port,
        sentinel.public_key,
        diswall.port,
        router.log(),
        router.list(),
    )
}
