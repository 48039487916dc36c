//! Child processes: ended by id when dropped, their lines read with a deadline, their standard error
//! shown when the test fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::spawn;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait::wait_for;

/// Runs a program to its end; its standard output. Panics with its standard error when it fails.
#[track_caller]
pub fn run(program: &str, args: &[&str]) -> String {
    try_run(program, args).unwrap_or_else(|error| panic!("{error}"))
}

/// As [`run`], a failure given back as text.
pub fn try_run(program: &str, args: &[&str]) -> Result<String, String> {
    output_of(Command::new(program).args(args))
}

/// Runs a command to its end; its standard output, or what failed and why.
pub fn output_of(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A running child. Dropping it kills it; so does the end of the thread that spawned it.
pub struct Proc {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Arc<Mutex<String>>,
}

impl Proc {
    /// Starts a command with its standard streams piped. Panics when the program is not there.
    #[track_caller]
    pub fn spawn(command: &Command) -> Proc {
        let name = command.get_program().to_string_lossy().into_owned();
        // setpriv(1) becomes the program; should the test be killed, the kernel then kills the child too.
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(key, value),
                None => wrapped.env_remove(key),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            wrapped.current_dir(directory);
        }
        let mut child = wrapped
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (sender, lines) = channel();
        let stdout = child.stdout.take().expect("piped");
        let mut stderr = child.stderr.take().expect("piped");
        let errors = Arc::new(Mutex::new(String::new()));
        let collected = Arc::clone(&errors);
        spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut chunk) {
                collected.lock().expect("unpoisoned").push_str(&String::from_utf8_lossy(&chunk[..length]));
            }
        });
        let stdin = child.stdin.take();
        Proc { name, child, stdin, lines, errors }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output; panics when none comes within `deadline`.
    #[track_caller]
    pub fn line(&self, deadline: Duration) -> String {
        match self.lines.recv_timeout(deadline) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("{}: no line within {deadline:?}\n{}", self.name, self.stderr()),
            Err(RecvTimeoutError::Disconnected) => panic!("{}: ended\n{}", self.name, self.stderr()),
        }
    }

    /// The next line of its standard output, if one comes within `patience`.
    pub fn try_line(&self, patience: Duration) -> Option<String> {
        self.lines.recv_timeout(patience).ok()
    }

    /// The next line that contains `needle`; those before it are dropped.
    #[track_caller]
    pub fn line_with(&self, needle: &str, deadline: Duration) -> String {
        let start = std::time::Instant::now();
        loop {
            let line = self.line(deadline.saturating_sub(start.elapsed()));
            if line.contains(needle) {
                return line;
            }
        }
    }

    /// The next line of its standard output parsed as JSON.
    #[track_caller]
    pub fn json(&self, deadline: Duration) -> serde_json::Value {
        let line = self.line(deadline);
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.name))
    }

    /// Writes one line to its standard input.
    #[track_caller]
    pub fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.errors.lock().expect("unpoisoned").clone()
    }

    /// Waits until its standard error contains `needle`.
    #[track_caller]
    pub fn stderr_with(&self, needle: &str, deadline: Duration) {
        super::wait_until(deadline, &format!("{}: standard error says {needle:?}", self.name), || {
            self.stderr().contains(needle)
        });
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, signal).unwrap_or_else(|error| panic!("{}: {signal}: {error}", self.name));
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; panics when it still runs after `deadline`.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let child = &mut self.child;
        wait_for(deadline, &format!("{} ends", self.name), || child.try_wait().expect("own child"))
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // A grandchild may hold the pipe, so the readers are not joined: what is there is shown.
            eprintln!("--- {} (standard error)\n{}---", self.name, self.stderr());
        }
    }
}
