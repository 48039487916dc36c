//! The router of a soak: its flash and its RAM, its uplink, its log, the daemon as procd starts it, and how all that
//! starts anew.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;
use crate::command::{command, output, run};
use crate::files::{make_directory, read_text, write};
use crate::parts::Part;
use crate::sandbox::{Machine, load_nft};

/// The account, by number, that the package makes.
const ACCOUNT: u32 = 914;

/// The router's address on the wan side, and a stranger's, who is its gateway.
pub const ROUTER: &str = "192.0.2.1";
pub const GATEWAY: &str = "192.0.2.2";

/// Where somebody listens.
pub const OPEN: u16 = 22;

/// How long anything may take on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(120);

const CONFIGURATION: &str = "/etc/config/diswall";
const RAM: &str = "/var/lib/diswall";
const RUN: &str = "/var/run/diswall";
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
    fn is_boot(self) -> bool {
        matches!(self, Anew::Reboot | Anew::PowerCut)
    }

    /// What the router saw itself and has not written yet is lost.
    pub fn loses_scans(self) -> bool {
        self == Anew::PowerCut
    }
}

/// See the module's head.
pub struct Router {
    program: PathBuf,
    scratch: PathBuf,
    daemon: Option<Part>,
    /// What is added to the boot clock, in seconds.
    boot: i64,
    clock: i64,
    /// The wire to the stranger.
    pub wan: Machine,
}

impl Router {
    /// Flash below `disk`, which lies on one; RAM, uplink, log, a server that listens. The daemon is not started.
    pub fn new(program: &Path, scratch: &Path, disk: &Path, configuration: &str) -> Result<Router> {
        own_etc(disk)?;
        run(&mut command("mount", &["-t", "tmpfs", "-o", "mode=755", "ram", "/var/lib"]))?;
        // /var/run leads to /run, which is the sandbox's own; on a router both are.
        let wan = Machine::on_wan(&format!("{ROUTER}/24"), &format!("{GATEWAY}/24"), "203.0.113.9/32")?;
        let router = Router {
            program: program.to_path_buf(),
            scratch: scratch.to_path_buf(),
            daemon: None,
            boot: 0,
            clock: 0,
            wan,
        };
        router.route()?;
        make_directory(Path::new("/etc/config"))?;
        write(Path::new(CONFIGURATION), configuration)?;
        router.empty_ram()?;
        owned(&Path::new(FLASH).join("kept"))?;
        router.write_clock()?;
        listen()?;
        Ok(router)
    }

    /// The uplink's routes, which go with it.
    pub fn route(&self) -> Result<()> {
        run(&mut command("ip", &["route", "replace", "default", "via", GATEWAY]))
    }

    /// The log that the daemon follows.
    pub fn log(&self) -> PathBuf {
        self.scratch.join("auth.log")
    }

    /// Adds lines to the log.
    pub fn write_log(&self, text: &str) -> Result<()> {
        let told = |error: std::io::Error| format!("{}: {error}", self.log().display());
        let mut file = OpenOptions::new().append(true).open(self.log()).map_err(told)?;
        file.write_all(text.as_bytes()).map_err(told)
    }

    fn empty_ram(&self) -> Result<()> {
        for place in [RAM, RUN] {
            let _ = fs::remove_dir_all(place);
            owned(Path::new(place))?;
        }
        File::create(self.log()).map(drop).map_err(|error| format!("{}: {error}", self.log().display()))
    }

    /// What `diswall` prints.
    pub fn cli(&self, args: &[&str]) -> Result<String> {
        output(
            command(&self.program.to_string_lossy(), args)
                .env("SOAK_CLOCK", self.clock_file())
                .env("LD_PRELOAD", self.preload()),
        )
    }

    /// The same, by what lines it prints as JSON.
    pub fn rows(&self, source: &str) -> Result<Vec<Value>> {
        let text = self.cli(&["list", source, "--json"])?;
        let parse = |line: &str| serde_json::from_str(line).map_err(|error| format!("list {source}: {error}: {line}"));
        text.lines().map(parse).collect()
    }

    /// What the daemon says of itself; nothing while it does not answer.
    pub fn status(&mut self) -> Result<Option<Value>> {
        self.daemon.as_mut().ok_or("the daemon was not started")?.check_running()?;
        let answer = command(&self.program.to_string_lossy(), &["status", "--json"]).output();
        let answer = answer.map_err(|error| format!("diswall status: {error}"))?;
        Ok(serde_json::from_slice(&answer.stdout).ok())
    }

    /// The daemon's process.
    pub fn pid(&self) -> Result<u32> {
        self.daemon.as_ref().map(Part::id).ok_or_else(|| "the daemon was not started".to_owned())
    }

    /// Loads the rules as `fw4 reload` does: sets and what is in them stay.
    pub fn load_rules(&self) -> Result<()> {
        load_nft(&self.cli(&["rules", "--standalone"])?, &self.scratch)
    }

    /// As `fw4 restart` does: all anew.
    pub fn load_rules_anew(&self) -> Result<()> {
        let rules = self.cli(&["rules", "--standalone"])?;
        load_nft(&format!("table inet fw4\ndelete table inet fw4\n{rules}"), &self.scratch)
    }

    /// Starts it as procd does, account, rights and all, and waits until it answers and its eyes are open.
    pub fn start(&mut self) -> Result<()> {
        let mut start = Command::new("unshare");
        start.args(["--time", "--boottime", &self.boot.to_string(), "setpriv"]);
        start.args([&format!("--reuid={ACCOUNT}"), &format!("--regid={ACCOUNT}"), "--clear-groups", "--no-new-privs"]);
        for set in ["inh-caps", "ambient-caps", "bounding-set"] {
            start.arg(format!("--{set}=-all,+net_admin"));
        }
        start.args(["env", "--ignore-environment", "container=ujail"]);
        start.arg(format!("SOAK_CLOCK={}", self.clock_file())).arg(format!("LD_PRELOAD={}", self.preload()));
        // glibc keeps freed pieces by their size, up to some 230 KiB: that looks like growth, and a router's libc does not.
        start.arg("GLIBC_TUNABLES=glibc.malloc.tcache_count=0");
        start.arg(&self.program).args(["run", "--foreground"]);
        self.daemon = Some(Part::start("daemon", &mut start, &self.scratch)?);
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
        while start.elapsed() < PATIENCE {
            let status = self.status()?;
            if status.as_ref().is_some_and(&mut is_so) {
                return Ok(());
            }
            last = status.or(last);
            sleep(Duration::from_millis(100));
        }
        Err(format!("{what}: not within {PATIENCE:?}; status: {}", last.unwrap_or_default()))
    }

    /// Ends it and starts it anew.
    pub fn begin_anew(&mut self, how: Anew, away: Duration) -> Result<()> {
        let daemon = self.daemon.take().ok_or("the daemon was not started")?;
        if matches!(how, Anew::Service | Anew::Reboot) {
            // unshare and setpriv have become the daemon.
            daemon.terminate()?;
        } else {
            drop(daemon);
        }
        if how.is_boot() {
            output(&mut command("nft", &["flush", "ruleset"]))?;
            self.empty_ram()?;
            self.boot = 30 - uptime()?;
            // How long a router takes to boot.
            sleep(away);
            self.load_rules()?;
        }
        self.start()
    }

    /// Sends SIGHUP.
    pub fn reload(&self) -> Result<()> {
        output(&mut command("kill", &["-HUP", &self.pid()?.to_string()])).map(drop)
    }

    /// Changes one line of the configuration for another, the owner's own sections staying.
    pub fn edit(&self, old: &str, new: &str) -> Result<()> {
        let text = read_text(Path::new(CONFIGURATION))?;
        if !text.contains(old) {
            return Err(format!("{CONFIGURATION} has no {old:?}:\n{text}"));
        }
        let beside = format!("{CONFIGURATION}.soak");
        write(Path::new(&beside), text.replacen(old, new, 1))?;
        fs::rename(&beside, CONFIGURATION).map_err(|error| format!("{beside}: {error}"))
    }

    /// Sets the wall clock, by so many seconds.
    pub fn step_clock(&mut self, by: i64) -> Result<i64> {
        self.clock += by;
        self.write_clock()?;
        Ok(self.clock)
    }

    fn write_clock(&self) -> Result<()> {
        // In place: it is mapped where the daemon reads it.
        let told = |error: std::io::Error| format!("{}: {error}", self.clock_file());
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(false).open(self.clock_file()).map_err(told)?;
        file.write_all(&self.clock.to_ne_bytes()).map_err(told)
    }

    fn clock_file(&self) -> String {
        self.scratch.join("clock").display().to_string()
    }

    fn preload(&self) -> String {
        self.scratch.join("clock.so").display().to_string()
    }

    /// The last lines that the daemon logged.
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.scratch.join("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n  ")
    }
}

/// An /etc of the sandbox's own, on the disk, with the little of the machine's that programs want.
fn own_etc(disk: &Path) -> Result<()> {
    let etc = disk.join("etc");
    make_directory(&etc.join("diswall"))?;
    for file in ["passwd", "group", "nsswitch.conf", "resolv.conf", "hosts", "ld.so.cache", "protocols"] {
        let _ = fs::copy(Path::new("/etc").join(file), etc.join(file));
    }
    write(&etc.join("resolv.conf"), "nameserver 127.0.0.1\n")?;
    run(&mut command("mount", &["--bind", &etc.to_string_lossy(), "/etc"]))
}

/// A directory of the daemon's account.
fn owned(place: &Path) -> Result<()> {
    make_directory(place)?;
    let told = |error: std::io::Error| format!("{}: {error}", place.display());
    chown(place, Some(ACCOUNT), Some(ACCOUNT)).map_err(told)?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).map_err(told)
}

fn uptime() -> Result<i64> {
    let text = read_text(Path::new("/proc/uptime"))?;
    let seconds = text.split('.').next().and_then(|seconds| seconds.parse().ok());
    seconds.ok_or_else(|| format!("/proc/uptime: {text}"))
}

/// Somebody who answers at [`OPEN`]: what comes in is read to its end.
fn listen() -> Result<()> {
    let listener = TcpListener::bind((ROUTER, OPEN)).map_err(|error| format!("{ROUTER}:{OPEN}: {error}"))?;
    spawn(move || {
        for mut visitor in listener.incoming().flatten() {
            spawn(move || {
                // A visitor whose flow was cut says nothing more.
                let _ = visitor.set_read_timeout(Some(PATIENCE));
                let _ = visitor.read(&mut [0; 64]);
            });
        }
    });
    Ok(())
}
