//! A place of its own for a demo or a bench: network, process and mount namespaces in which the real
//! parts run. Everything in it belongs to the one process that `enter` starts, so the kernel clears all
//! of it away when that process ends, however it ends; there is no cleaning up that could be missed.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Result;
use crate::command::{command, output, run};
use crate::files::write;

/// The hidden last argument by which this program knows that it runs inside.
const INSIDE: &str = "--inside";

/// How long the inside has to finish by itself after Ctrl-C.
const GRACE: Duration = Duration::from_secs(5);

/// Set once Ctrl-C or SIGTERM has come.
pub type Interrupted = Arc<AtomicBool>;

/// Arranges for Ctrl-C and SIGTERM to be noted instead of ending this process.
pub fn note_interrupts() -> Result<Interrupted> {
    let flag = Interrupted::default();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).map_err(|error| format!("signal handler: {error}"))?;
    }
    Ok(flag)
}

/// Whether this process is the one inside; the arguments without the mark.
pub fn is_inside(args: &[String]) -> Option<&[String]> {
    args.split_last().filter(|(last, _)| *last == INSIDE).map(|(_, rest)| rest)
}

/// Runs `cargo xtask SUBCOMMAND ARGS` once more, inside, and waits for it.
pub fn enter(subcommand: &str, args: &[String]) -> Result<()> {
    enter_with(subcommand, args, Stdio::inherit())
}

/// The same with this as its standard input: a socket of the network outside, for instance.
pub fn enter_with(subcommand: &str, args: &[String], input: Stdio) -> Result<()> {
    let interrupted = note_interrupts()?;
    let own = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
    // setpriv(1): when this process dies, even by SIGKILL, unshare dies; --kill-child then takes the
    // process inside, which is the first of its process namespace, and with it all others there.
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg("--")
        .arg(own)
        .arg(subcommand)
        .args(args)
        .arg(INSIDE)
        .stdin(input)
        .spawn()
        .map_err(|error| format!("setpriv unshare: {error}"))?;
    let mut since_interrupt: Option<Instant> = None;
    loop {
        match child.try_wait().map_err(|error| format!("waiting for the sandbox: {error}"))? {
            Some(status) if status.success() => return Ok(()),
            // The inside has said why.
            Some(status) => match status.signal() {
                None => return Err(format!("the {subcommand} did not succeed")),
                Some(signal) => return Err(format!("the {subcommand} was ended by signal {signal}")),
            },
            None => sleep(Duration::from_millis(50)),
        }
        if interrupted.load(Ordering::Relaxed) {
            let since = *since_interrupt.get_or_insert_with(Instant::now);
            if since.elapsed() > GRACE {
                child.kill().map_err(|error| format!("ending the sandbox: {error}"))?;
            }
        }
    }
}

/// A directory inside that exists nowhere outside; its path is short enough for Unix sockets.
pub fn scratch() -> Result<PathBuf> {
    let directory = Path::new("/run/diswall-xtask");
    // The mount namespace is this process's own: the machine's /run stays as it is.
    run(&mut command("mount", &["-t", "tmpfs", "tmpfs", "/run"]))?;
    std::fs::create_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    run(&mut command("ip", &["link", "set", "lo", "up"]))?;
    Ok(directory.to_path_buf())
}

/// Another machine on the wire, in a network namespace of its own.
pub struct Machine {
    holder: std::process::Child,
}

impl Machine {
    /// Makes it and the wire: here the device `wan` with the address `near`, there `eth0` with `far`
    /// (both with prefix length) and `extra` (a second address), to which the way back leads over `far`.
    pub fn on_wan(near: &str, far: &str, extra: &str) -> Result<Machine> {
        let ip = |args: &[&str]| run(&mut command("ip", args));
        let machine = Machine::apart()?;
        let host = |address: &str| address.split('/').next().unwrap_or(address).to_owned();
        machine.wire("wan", "eth0")?;
        ip(&["address", "add", near, "dev", "wan"])?;
        ip(&["link", "set", "wan", "up"])?;
        ip(&["route", "add", extra, "via", &host(far), "onlink", "dev", "wan"])?;
        for args in [
            &["address", "add", far, "dev", "eth0"][..],
            &["address", "add", extra, "dev", "eth0"],
            &["link", "set", "eth0", "up"],
            &["route", "add", "default", "via", &host(near)],
        ] {
            run(machine.command("ip").args(args))?;
        }
        Ok(machine)
    }

    /// Makes it without a wire.
    pub fn apart() -> Result<Machine> {
        let holder = command("unshare", &["--net", "sleep", "infinity"])
            .spawn()
            .map_err(|error| format!("a second network namespace: {error}"))?;
        let machine = Machine { holder };
        machine.wait_apart()?;
        Ok(machine)
    }

    /// Makes a wire from the device `here` to its device `there`; both are still down.
    pub fn wire(&self, here: &str, there: &str) -> Result<()> {
        let pid = self.holder.id().to_string();
        run(&mut command("ip", &["link", "add", here, "type", "veth", "peer", "name", there, "netns", &pid]))
    }

    /// A command to be run on that machine.
    pub fn command(&self, program: &str) -> Command {
        command("nsenter", &[&format!("--net=/proc/{}/ns/net", self.holder.id()), "--", program])
    }

    fn wait_apart(&self) -> Result<()> {
        let path = |who: &str| format!("/proc/{who}/ns/net");
        let own = std::fs::read_link(path("self")).map_err(|error| format!("own namespace: {error}"))?;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if std::fs::read_link(path(&self.holder.id().to_string())).is_ok_and(|theirs| theirs != own) {
                return Ok(());
            }
            sleep(Duration::from_millis(10));
        }
        Err("the second network namespace does not appear".into())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Feeds `text` to `nft -f -`.
pub fn load_nft(text: &str, scratch: &Path) -> Result<()> {
    let file = scratch.join("load.nft");
    write(&file, text)?;
    output(command("nft", &["-f"]).arg(&file)).map(|_| ())
}
