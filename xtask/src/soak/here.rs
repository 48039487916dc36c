//! A soak's router on this machine's own kernel: flash, RAM, clock and network are the sandbox's.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{sleep, spawn};
use std::time::Duration;

use super::ground::{ACCOUNT, FlashFile, GATEWAY, Ground, OPEN, Pace, ROUTER, Reading};
use super::router::{CONFIGURATION, FLASH};
use crate::Result;
use crate::command::{command, output, run};
use crate::files::{make_directory, read_text, write};
use crate::measure::{cpu, memory};
use crate::parts::Part;
use crate::sandbox::Machine;

const RAM: &str = "/var/lib/diswall";
const RUN: &str = "/var/run/diswall";

/// See the module's head.
pub struct Here {
    program: PathBuf,
    scratch: PathBuf,
    daemon: Option<Part>,
    /// What is added to the boot clock, in seconds.
    boot: i64,
    /// The wire to the stranger.
    wan: Machine,
}

impl Here {
    /// Flash below `disk`, which lies on one; RAM, uplink, a server that listens. The daemon is not started.
    pub fn new(program: &Path, scratch: &Path, disk: &Path) -> Result<Here> {
        build_clock(scratch)?;
        own_etc(disk)?;
        run(&mut command("mount", &["-t", "tmpfs", "-o", "mode=755", "ram", "/var/lib"]))?;
        // /var/run leads to /run, which is the sandbox's own; on a router both are.
        let wan = Machine::on_wan(&format!("{ROUTER}/24"), &format!("{GATEWAY}/24"), "203.0.113.9/32")?;
        // The checkout may lie below /root, where the account cannot go.
        let own = scratch.join("diswall");
        fs::copy(program, &own).map_err(|error| format!("{}: {error}", own.display()))?;
        let mut here = Here { program: own, scratch: scratch.to_path_buf(), daemon: None, boot: 0, wan };
        run(&mut command("ip", &["route", "replace", "default", "via", GATEWAY]))?;
        make_directory(Path::new(CONFIGURATION).parent().unwrap_or(Path::new("/")))?;
        empty_ram()?;
        owned(&Path::new(FLASH).join("kept"))?;
        here.set_clock(0)?;
        listen()?;
        Ok(here)
    }

    fn daemon(&mut self) -> Result<&mut Part> {
        self.daemon.as_mut().ok_or_else(|| "the daemon was not started".to_owned())
    }

    fn clock_file(&self) -> String {
        self.scratch.join("clock").display().to_string()
    }

    fn preload(&self) -> String {
        self.scratch.join("clock.so").display().to_string()
    }
}

impl Ground for Here {
    fn tell(&mut self, line: &str) -> Result<String> {
        const OWN: &str = "diswall() { LD_PRELOAD=$PRELOAD \"$PROGRAM\" \"$@\"; }";
        let mut shell = command("sh", &["-c", &format!("{OWN}\n{line}")]);
        shell.env("PROGRAM", &self.program).env("PRELOAD", self.preload()).env("SOAK_CLOCK", self.clock_file());
        output(&mut shell)
    }

    fn write(&mut self, path: &str, text: &str) -> Result<()> {
        let beside = format!("{path}.soak");
        write(Path::new(&beside), text)?;
        fs::rename(&beside, path).map_err(|error| format!("{beside}: {error}"))
    }

    fn append(&mut self, path: &str, text: &str) -> Result<()> {
        let told = |error: std::io::Error| format!("{path}: {error}");
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(told)?;
        file.write_all(text.as_bytes()).map_err(told)
    }

    fn outside(&self, program: &str) -> Command {
        self.wan.command(program)
    }

    fn servers(&self) -> &'static str {
        "127.0.0.1"
    }

    fn ram(&self) -> &'static str {
        "/run"
    }

    /// By other sockets the service and the server still talk: only the daemon's account is cut off there.
    fn loss(&self, ports: &str) -> String {
        format!(
            "table inet soak {{\n\tchain lost {{\n\t\ttype filter hook output priority -300;\n\t\t\
             tcp dport {ports} meta skuid {ACCOUNT} drop\n\t\ttcp sport {ports} drop\n\t}}\n}}\n"
        )
    }

    fn start(&mut self) -> Result<()> {
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
        Ok(())
    }

    fn check_running(&mut self) -> Result<()> {
        self.daemon()?.check_running()
    }

    fn reload(&mut self) -> Result<()> {
        let pid = self.daemon()?.id().to_string();
        output(&mut command("kill", &["-HUP", &pid])).map(drop)
    }

    fn end(&mut self, killed: bool) -> Result<()> {
        let daemon = self.daemon.take().ok_or("the daemon was not started")?;
        if killed {
            drop(daemon);
            return Ok(());
        }
        // unshare and setpriv have become the daemon.
        daemon.terminate()
    }

    fn boot(&mut self, by_power: bool, away: Duration) -> Result<()> {
        self.end(by_power)?;
        output(&mut command("nft", &["flush", "ruleset"]))?;
        empty_ram()?;
        self.boot = 30 - uptime()?;
        sleep(away);
        Ok(())
    }

    fn set_clock(&mut self, offset: i64) -> Result<()> {
        // In place: it is mapped where the daemon reads it.
        let told = |error: std::io::Error| format!("{}: {error}", self.clock_file());
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(false).open(self.clock_file()).map_err(told)?;
        file.write_all(&offset.to_ne_bytes()).map_err(told)
    }

    fn reading(&mut self) -> Result<Reading> {
        let pid = self.daemon()?.id();
        let directory = format!("/proc/{pid}/fd");
        let descriptors = fs::read_dir(&directory).map_err(|error| format!("{directory}: {error}"))?.count();
        Ok(Reading {
            own: memory(pid, "RssAnon")?,
            resident: memory(pid, "VmRSS")?,
            descriptors: descriptors as u64,
            cpu: cpu(pid)?,
            pages: written(pid)?,
            files: files_below(Path::new(FLASH)),
            machine: None,
        })
    }

    fn log_tail(&mut self) -> String {
        super::router::tail(&self.scratch.join("daemon.log"))
    }
}

/// The wall clock that can be set.
fn build_clock(scratch: &Path) -> Result<()> {
    let library = scratch.join("clock.so").display().to_string();
    run(&mut command("gcc", &["-O2", "-shared", "-fPIC", "-o", &library, "tests/parts/clock.c"]))
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

fn empty_ram() -> Result<()> {
    for place in [RAM, RUN] {
        let _ = fs::remove_dir_all(place);
        owned(Path::new(place))?;
    }
    Ok(())
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

/// Bytes of pages that a process has dirtied on file systems that lie on a device.
fn written(pid: u32) -> Result<u64> {
    let file = format!("/proc/{pid}/io");
    let text = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let bytes = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
    bytes.ok_or_else(|| format!("{file} has no write_bytes"))
}

/// All files below a directory.
pub fn files_below(place: &Path) -> Vec<FlashFile> {
    let (mut directories, mut found) = (vec![place.to_path_buf()], Vec::new());
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                directories.push(entry.path());
                continue;
            }
            found.push(FlashFile {
                path: entry.path().display().to_string(),
                inode: meta.ino(),
                length: meta.len(),
                changed: meta.mtime() * 1_000_000_000 + meta.mtime_nsec(),
            });
        }
    }
    found
}

/// Somebody who answers at [`OPEN`]: what comes in is read to its end.
fn listen() -> Result<()> {
    let listener = TcpListener::bind((ROUTER, OPEN)).map_err(|error| format!("{ROUTER}:{OPEN}: {error}"))?;
    spawn(move || {
        for mut visitor in listener.incoming().flatten() {
            spawn(move || {
                // A visitor whose flow was cut says nothing more.
                let _ = visitor.set_read_timeout(Some(Pace::HERE.patience()));
                let _ = visitor.read(&mut [0; 64]);
            });
        }
    });
    Ok(())
}
