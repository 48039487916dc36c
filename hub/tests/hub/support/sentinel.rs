//! The simulated Sentinel (`tests/parts/sentinel.py`, which says what its commands are), on the real libzmq.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A running publisher.
pub struct Sentinel {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub port: u64,
    pub key: String,
}

impl Sentinel {
    /// Starts it with so many addresses; it publishes its list every half second.
    pub fn start(size: usize) -> Sentinel {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/parts/sentinel.py");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "/usr/bin/python3", script, "--list-every", "0.5"]);
        command.args(["--size", &size.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut sentinel = Sentinel { child, input, output: BufReader::new(output), port: 0, key: String::new() };
        let hello = sentinel.answer();
        sentinel.port = hello["port"].as_u64().unwrap();
        sentinel.key = hello["public_key"].as_str().unwrap().to_owned();
        sentinel
    }

    /// Gives it a command; its answer.
    pub fn tell(&mut self, line: &str) -> Value {
        writeln!(self.input, "{line}").unwrap();
        let answer = self.answer();
        assert!(answer["error"].is_null(), "{line}: {answer}");
        answer
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// What a follower must hold now.
    pub fn addresses(&mut self) -> BTreeSet<String> {
        let answer = self.tell("dump");
        answer["addresses"].as_array().unwrap().iter().map(|address| address.as_str().unwrap().to_owned()).collect()
    }

    /// What a hub must be told to follow it: the end of `[dynfw]`.
    pub fn followed(&self) -> String {
        format!("server = \"127.0.0.1\"\nport = {}\nserver_key = \"{}\"\n", self.port, self.key)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
