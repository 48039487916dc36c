//! Network namespaces: one for the test's thread, more for the machines that talk to it.

use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

use super::process::{Proc, run};
use super::wait::wait_until;

/// A network namespace of the current thread's own, loopback up. Children spawned from this thread
/// and a current-thread tokio runtime on it live there too. The kernel removes it, with every table
/// and device in it, when the thread and its children have ended.
pub struct Netns {
    _private: (),
}

impl Netns {
    /// Leaves the machine's network for a fresh one. Needs root.
    pub fn enter() -> Netns {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of the test's own (needs root)");
        run("ip", &["link", "set", "lo", "up"]);
        Netns { _private: () }
    }
}

/// Another machine: a second namespace, joined to the thread's own by a veth pair. The near end is
/// called `name`, the far end `eth0`. Both go when this is dropped.
pub struct Peer {
    holder: Proc,
}

impl Peer {
    /// Joins a new machine through the near device `name` (at most 15 characters). `near` and `far`
    /// are the addresses of both ends with their prefix length; far's default route leads to near.
    pub fn join(name: &str, near: &str, far: &str) -> Peer {
        let holder = Proc::spawn(Command::new("unshare").args(["--net", "sleep", "infinity"]));
        let pid = holder.id().to_string();
        let own = std::fs::read_link("/proc/thread-self/ns/net").expect("the thread's namespace");
        wait_until(Duration::from_secs(10), "the peer's namespace", || {
            std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|theirs| theirs != own)
        });
        run("ip", &["link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", &pid]);
        let peer = Peer { holder };
        run("ip", &["link", "set", name, "up"]);
        peer.run("ip", &["link", "set", "lo", "up"]);
        peer.run("ip", &["link", "set", "eth0", "up"]);
        run("ip", &["address", "add", near, "dev", name, "nodad"]);
        peer.address(far);
        let gateway = near.split('/').next().unwrap_or(near);
        peer.run("ip", &["route", "replace", "default", "via", gateway, "dev", "eth0"]);
        peer
    }

    /// Gives the far end one more address (`203.0.113.9/32`, `2001:db8::9/128`).
    pub fn address(&self, address: &str) {
        self.run("ip", &["address", "add", address, "dev", "eth0", "nodad"]);
    }

    /// A command to be run on that machine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg("--").arg(program);
        command
    }

    /// Runs a program there to its end; its standard output. Panics when it fails.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        super::process::output_of(self.command(program).args(args)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Peer::run`], a failure given back.
    pub fn try_run(&self, program: &str, args: &[&str]) -> Result<String, String> {
        super::process::output_of(self.command(program).args(args))
    }
}
