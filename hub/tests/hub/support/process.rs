//! Child processes: killed when dropped, and by the kernel should the test itself be; what they say is kept.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// See the module's head.
pub struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    /// Starts a command; its standard error goes to a file of that name.
    pub fn start(command: &Command, said: &Path) -> Process {
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
        let file = File::options().create(true).append(true).open(said).unwrap();
        let child = wrapped.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
        Process { child: child.expect("setpriv(1)"), said: said.to_owned() }
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end.
    pub fn ask_to_end(&self) {
        let _ = Command::new("kill").arg(self.id().to_string()).status();
    }

    /// Asks it to end, and waits until it has.
    pub fn end(mut self) {
        self.ask_to_end();
        let _ = self.child.wait();
    }

    /// Resident memory in KB, at most so far.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.said.display(), self.said());
        }
    }
}
