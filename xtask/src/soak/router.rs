//! The router of a soak: what is done on it whatever it stands on, its configuration, its log, its list, the daemon's
//! command line, and how all that starts anew.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Deserializer, Value};

use super::ground::{GATEWAY, Ground, Pace, Reading, WAN};
use super::judge::{self, Listing};
use crate::Result;

pub const CONFIGURATION: &str = "/etc/config/diswall";

/// Where flash is.
pub const FLASH: &str = "/etc/diswall";

/// How the daemon comes to its end and begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// The service is restarted: nothing else changes.
    Service,
    /// The daemon is killed and started: nothing else changes.
    Crash,
    /// It is stopped; RAM and firewall are gone, the boot clock begins anew.
    Reboot,
    /// It is killed; the same is gone.
    PowerCut,
}

impl Anew {
    /// What the router saw itself and has not written yet is lost.
    pub fn loses_scans(self) -> bool {
        self == Anew::PowerCut
    }
}

/// See the module's head.
pub struct Router {
    ground: Box<dyn Ground>,
    pace: Pace,
    clock: i64,
    /// What is in the list's file.
    list: String,
}

impl Router {
    /// Nothing is configured and nothing started.
    pub fn new(ground: Box<dyn Ground>, pace: Pace) -> Router {
        Router { ground, pace, clock: 0, list: String::new() }
    }

    /// Where the log is that the daemon follows.
    pub fn log(&self) -> String {
        format!("{}/auth.log", self.ground.ram())
    }

    /// Where the list is that it reads.
    pub fn list(&self) -> String {
        format!("{}/farm.txt", self.ground.ram())
    }

    /// At which address it finds the servers of the feeds.
    pub fn servers(&self) -> &'static str {
        self.ground.servers()
    }

    /// See [`Ground::outside`].
    pub fn outside(&self, program: &str) -> Command {
        self.ground.outside(program)
    }

    /// See [`Ground::loss`].
    pub fn loss(&self, ports: &str) -> String {
        self.ground.loss(ports)
    }

    /// See [`Ground::tell`].
    pub fn tell(&mut self, line: &str) -> Result<String> {
        self.ground.tell(line)
    }

    /// The configuration, and an empty log.
    pub fn configure(&mut self, configuration: &str) -> Result<()> {
        self.ground.write(CONFIGURATION, configuration)?;
        let log = self.log();
        self.ground.write(&log, "")
    }

    /// Adds lines to the log.
    pub fn write_log(&mut self, text: &str) -> Result<()> {
        let log = self.log();
        self.ground.append(&log, text)
    }

    /// Makes this the list.
    pub fn write_list(&mut self, text: String) -> Result<()> {
        self.list = text;
        let path = self.list();
        self.ground.write(&path, &self.list)
    }

    /// What `diswall` prints.
    pub fn cli(&mut self, args: &[&str]) -> Result<String> {
        self.tell(&format!("diswall {}", args.join(" ")))
    }

    /// The same, by what lines it prints as JSON.
    pub fn rows(&mut self, source: &str) -> Result<Vec<Value>> {
        let text = self.tell(&format!("diswall list {source} --json 2>/dev/null"))?;
        let parse = |line: &str| serde_json::from_str(line).map_err(|error| format!("list {source}: {error}: {line}"));
        text.lines().map(parse).collect()
    }

    /// What these sets of the kernel hold together. A set that is not there holds nothing.
    pub fn kernel(&mut self, sets: &[&str]) -> Result<Listing> {
        let list = "nft -j list set inet fw4 diswall_$set 2>/dev/null";
        let text = self.tell(&format!("for set in {}; do {list}; done; true", sets.join(" ")))?;
        let mut listing = Listing::new();
        for told in Deserializer::from_str(&text).into_iter::<Value>() {
            let told = told.map_err(|error| format!("nft -j list set: {error}"))?;
            listing.extend(judge::elements(&told));
        }
        Ok(listing)
    }

    /// What the daemon says of itself; nothing while it does not answer.
    pub fn status(&mut self) -> Result<Option<Value>> {
        self.ground.check_running()?;
        let answer = self.tell("diswall status --json 2>/dev/null; true")?;
        Ok(serde_json::from_str(&answer).ok())
    }

    /// What the daemon costs by now.
    pub fn reading(&mut self) -> Result<Reading> {
        self.ground.reading()
    }

    /// Loads the rules as `fw4 reload` does: sets and what is in them stay.
    pub fn load_rules(&mut self) -> Result<()> {
        let rules = format!("{}/soak.nft", self.ground.ram());
        self.tell(&format!("diswall rules --standalone >{rules} && nft -f {rules}")).map(drop)
    }

    /// As `fw4 restart` does: all anew.
    pub fn load_rules_anew(&mut self) -> Result<()> {
        let rules = format!("{}/soak.nft", self.ground.ram());
        let anew = "echo 'table inet fw4'; echo 'delete table inet fw4'; diswall rules --standalone";
        self.tell(&format!("{{ {anew}; }} >{rules} && nft -f {rules}")).map(drop)
    }

    /// The uplink goes and comes, and its routes with it.
    pub fn uplink_down(&mut self) -> Result<()> {
        self.tell(&format!(
            "ip link set {WAN} down && sleep 0.5 && ip link set {WAN} up && ip route replace default via {GATEWAY}"
        ))
        .map(drop)
    }

    /// Starts the daemon and waits until it answers and its eyes are open.
    pub fn start(&mut self) -> Result<()> {
        self.ground.start()?;
        self.wait("log and packets are followed", |status| {
            let parts = status["parts"].as_array().map_or(&[][..], Vec::as_slice);
            let is_on = |name: &str| parts.iter().any(|part| part["name"] == name && part["state"] == "in_force");
            is_on("scan") && is_on("login")
        })
    }

    /// Waits until the daemon's status is as it is to be.
    pub fn wait(&mut self, what: &str, mut is_so: impl FnMut(&Value) -> bool) -> Result<()> {
        let start = Instant::now();
        let mut last = None;
        while start.elapsed() < self.pace.patience() {
            let status = self.status()?;
            if status.as_ref().is_some_and(&mut is_so) {
                return Ok(());
            }
            last = status.or(last);
            sleep(Duration::from_millis(100));
        }
        let patience = self.pace.patience();
        Err(format!("{what}: not within {patience:?}; status: {}", last.unwrap_or_default()))
    }

    /// Ends it and starts it anew.
    pub fn begin_anew(&mut self, how: Anew, away: Duration) -> Result<()> {
        match how {
            Anew::Service => self.ground.end(false)?,
            Anew::Crash => self.ground.end(true)?,
            Anew::Reboot | Anew::PowerCut => {
                self.ground.boot(how == Anew::PowerCut, away)?;
                self.ground.set_clock(self.clock)?;
                // What others put into RAM, as they do at each boot.
                let (log, list) = (self.log(), self.list());
                self.ground.write(&log, "")?;
                self.ground.write(&list, &self.list)?;
                self.load_rules()?;
            }
        }
        self.start()
    }

    /// Has the configuration read anew.
    pub fn reload(&mut self) -> Result<()> {
        self.ground.reload()
    }

    /// Changes one line of the configuration for another, the owner's own sections staying.
    pub fn edit(&mut self, old: &str, new: &str) -> Result<()> {
        // A shell over there may take the last line's end off.
        let text = self.tell(&format!("cat {CONFIGURATION}"))?.trim_end().to_owned() + "\n";
        if !text.contains(old) {
            return Err(format!("{CONFIGURATION} has no {old:?}:\n{text}"));
        }
        self.ground.write(CONFIGURATION, &text.replacen(old, new, 1))
    }

    /// Sets the wall clock, by so many seconds.
    pub fn step_clock(&mut self, by: i64) -> Result<i64> {
        self.clock += by;
        self.ground.set_clock(self.clock)?;
        Ok(self.clock)
    }

    /// The last lines that the daemon logged.
    pub fn log_tail(&mut self) -> String {
        self.ground.log_tail()
    }
}

/// The last lines of a file.
pub fn tail(file: &Path) -> String {
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n  ")
}
