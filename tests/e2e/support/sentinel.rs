//! The simulated Sentinel (`tests/parts/sentinel.py`, which says what its commands are) as a child.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::process::Proc;

const ANSWER: Duration = Duration::from_secs(30);

/// A running publisher.
pub struct Sentinel {
    process: Proc,
    /// Where it publishes, on 127.0.0.1.
    pub port: u64,
    /// Its CURVE key in Z85; `None` with `--null`.
    pub public_key: Option<String>,
}

impl Sentinel {
    /// Starts it with these arguments.
    pub fn start(args: &[&str]) -> Sentinel {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parts/sentinel.py");
        let process = Proc::spawn(Command::new("/usr/bin/python3").arg(script).args(args));
        let hello = process.json(ANSWER);
        let port = hello["port"].as_u64().expect("a port");
        let public_key = hello["public_key"].as_str().map(str::to_owned);
        Sentinel { process, port, public_key }
    }

    /// Gives it a command; its answer. Panics when it does not understand.
    #[track_caller]
    pub fn tell(&mut self, line: &str) -> Value {
        self.process.send(line);
        let answer = self.process.json(ANSWER);
        assert!(answer.get("error").is_none(), "sentinel: {line}: {answer}");
        answer
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// What a follower must hold now.
    pub fn addresses(&mut self) -> BTreeSet<String> {
        let answer = self.tell("dump");
        let addresses = answer["addresses"].as_array().expect("addresses").iter();
        addresses.map(|address| address.as_str().expect("text").to_owned()).collect()
    }

    /// The section of a configuration that follows it.
    pub fn section(&self) -> String {
        let key = self.public_key.as_deref().unwrap_or("none");
        format!(
            "config dynfw 'dynfw'\n\toption server '127.0.0.1'\n\toption port '{}'\n\toption server_key '{key}'\n\
             \toption key_url 'none'\n",
            self.port
        )
    }
}
