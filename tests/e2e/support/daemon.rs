//! The daemon under test: the real binary, in the test thread's namespace, with a configuration,
//! a state directory and a control socket of its own, started as a router starts it.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::nft::nft_load;
use super::process::{Proc, output_of};
use super::router;
use super::wait::wait_until;

/// The program under test.
pub const DISWALL: &str = env!("CARGO_BIN_EXE_diswall");

const START: Duration = Duration::from_secs(20);

/// A daemon with its files. Dropping it kills the process and removes the files.
pub struct Daemon {
    directory: TempDir,
    process: Option<Proc>,
}

impl Daemon {
    /// Writes the configuration and starts nothing. `main` are the options of `config diswall 'main'`
    /// beside `state_dir` and `control`, which are given; `sections` is the rest of the file.
    pub fn prepare(main: &str, sections: &str) -> Daemon {
        let directory = tempfile::Builder::new().prefix("diswall-test-").tempdir().expect("a temporary directory");
        // As on a router, everybody may look for what is his.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("its mode");
        let daemon = Daemon { directory, process: None };
        daemon.configure(main, sections);
        daemon
    }

    /// As [`Daemon::prepare`], then loads the rules, starts the daemon and waits until it answers.
    pub fn start(main: &str, sections: &str) -> Daemon {
        let mut daemon = Daemon::prepare(main, sections);
        daemon.load_rules();
        daemon.run();
        daemon
    }

    /// Writes the configuration anew; the daemon hears of it with [`Daemon::reload`].
    pub fn configure(&self, main: &str, sections: &str) {
        let state = self.state_dir();
        let control = self.path("run/control.sock");
        if !state.exists() {
            std::fs::create_dir(&state).expect("a state directory");
            chown(&state, Some(router::ACCOUNT), Some(router::ACCOUNT)).expect("its owner");
        }
        let text = format!(
            "config diswall 'main'\n\toption state_dir '{}'\n\toption control '{}'\n{main}\n\n{sections}\n",
            state.display(),
            control.display()
        );
        std::fs::write(self.config(), text).expect("the configuration is written");
        // Asking for the status must work while the daemon's own configuration is broken.
        let asking = format!("config diswall 'main'\n\toption control '{}'\n", control.display());
        std::fs::write(self.path("asking"), asking).expect("the configuration is written");
    }

    /// A path in the daemon's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.path("diswall")
    }

    /// Loads `diswall rules --standalone` into this namespace.
    pub fn load_rules(&self) {
        nft_load(&self.cli(&["rules", "--standalone"]));
    }

    /// Starts the process as a router does (see `router`) and waits until it answers on the control socket.
    pub fn run(&mut self) {
        let command = self.as_installed();
        self.spawn(&command);
        self.wait_answering();
    }

    /// As [`Daemon::run`], by another name of the configuration: that by which the service knows it, say.
    pub fn run_by(&mut self, config: &Path) {
        self.spawn(&router::command(DISWALL, config, &self.path("run"), self.directory.path()));
        self.wait_answering();
    }

    /// As [`Daemon::run`], by the ordinary door: as root, from a shell.
    pub fn run_as_root(&mut self) {
        // Root writes to nobody's directory but its own.
        chown(self.state_dir(), Some(0), Some(0)).expect("the state directory's owner");
        let command = self.command(&["run", "--foreground"]);
        self.spawn(&command);
        self.wait_answering();
    }

    /// The command by which a router starts the daemon. Its directories are made when this is called.
    pub fn as_installed(&self) -> Command {
        router::command(DISWALL, &self.config(), &self.path("run"), self.directory.path())
    }

    /// Starts the process through a command of the caller's making (other rights, a limit); waits for nothing.
    pub fn spawn(&mut self, command: &Command) {
        self.process = Some(Proc::spawn(command));
    }

    /// Waits until the daemon answers on the control socket.
    pub fn wait_answering(&mut self) {
        wait_until(START, "the daemon answers", || {
            assert!(self.process_mut().is_running(), "the daemon ended:\n{}", self.process().stderr());
            self.try_status(&self.config()).is_ok()
        });
    }

    /// The process.
    pub fn process(&self) -> &Proc {
        self.process.as_ref().expect("the daemon was started")
    }

    /// The process, to wait for it.
    pub fn process_mut(&mut self) -> &mut Proc {
        self.process.as_mut().expect("the daemon was started")
    }

    /// A call of the command line with this daemon's configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(DISWALL);
        command.args(args).arg("--config").arg(self.config());
        command
    }

    /// Calls the command line; its standard output. Panics when it fails.
    #[track_caller]
    pub fn cli(&self, args: &[&str]) -> String {
        self.try_cli(args).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Daemon::cli`], a failure given back.
    pub fn try_cli(&self, args: &[&str]) -> Result<String, String> {
        output_of(&mut self.command(args))
    }

    /// Calls the command line; its exit status and everything it printed.
    pub fn exit(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.command(args).output().expect("diswall runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// `diswall status --json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let text = self.try_status(&self.path("asking")).unwrap_or_else(|error| panic!("{error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("status: {error}: {text}"))
    }

    /// What a daemon that answers says of itself; its exit status is 0 or, when not all is in force, 1.
    fn try_status(&self, config: &Path) -> Result<String, String> {
        let mut command = Command::new(DISWALL);
        let output = command.args(["status", "--json", "--config"]).arg(config).output().expect("diswall runs");
        match output.status.code() {
            Some(0 | 1) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            code => Err(format!("status: {code:?}: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// SIGHUP: the configuration is read again.
    pub fn reload(&self) {
        self.process().signal(Signal::SIGHUP);
    }

    /// SIGTERM, then its exit status; panics when it needs longer than `deadline`.
    #[track_caller]
    pub fn stop(&mut self, deadline: Duration) -> ExitStatus {
        self.process().signal(Signal::SIGTERM);
        self.process_mut().wait(deadline)
    }

    /// SIGKILL, as a power cut would.
    pub fn kill(&mut self) {
        self.process().signal(Signal::SIGKILL);
        self.process_mut().wait(Duration::from_secs(10));
        self.process = None;
    }

    /// The state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// The daemon's own directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}
