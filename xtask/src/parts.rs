//! The real parts that the demo and the bench put together inside the sandbox: the simulated Sentinel on
//! libzmq, a real nats-server with the simulated DisWall service on it, and the daemon.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;
use crate::command::{command, output};
use crate::files::write;

/// How long a part may take to answer; generous, for a machine that is compiling as well.
const ANSWER: Duration = Duration::from_secs(30);

/// The login that the NATS server of the demo and the bench knows.
pub const LOGIN: &str = "demo";

/// A running child: lines in, lines out, standard error in a file of the scratch directory.
/// Ended when dropped; at the latest with the sandbox.
pub struct Part {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Part {
    /// Starts `command` under the name `name`.
    pub fn start(name: &str, command: &mut Command, scratch: &Path) -> Result<Part> {
        let log = scratch.join(format!("{name}.log"));
        let errors = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        // A process group of its own: Ctrl-C on the terminal is for this program alone.
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let (sender, lines) = channel();
        let stdin = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(std::result::Result::ok);
                lines.map(|line| sender.send(line)).take_while(std::result::Result::is_ok).for_each(drop);
            });
        }
        Ok(Part { name: name.to_owned(), child, stdin, lines, log })
    }

    /// Its process id inside the sandbox.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes one line to it.
    pub fn send(&mut self, line: &str) -> Result<()> {
        let written = match &mut self.stdin {
            Some(stdin) => writeln!(stdin, "{line}").and_then(|()| stdin.flush()),
            None => return Err(self.complaint("its standard input is closed")),
        };
        written.map_err(|error| self.complaint(&error.to_string()))
    }

    /// The next line it prints.
    pub fn line(&self) -> Result<String> {
        self.lines.recv_timeout(ANSWER).map_err(|error| self.complaint(&error.to_string()))
    }

    /// The next line it prints, as JSON.
    pub fn json(&self) -> Result<Value> {
        let line = self.line()?;
        serde_json::from_str(&line).map_err(|error| self.complaint(&format!("{error}: {line}")))
    }

    /// The lines it has printed since the last time.
    pub fn new_lines(&self) -> impl Iterator<Item = String> {
        self.lines.try_iter()
    }

    /// An error when it has ended.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.complaint(&format!("ended with {status}"))),
            Err(error) => Err(self.complaint(&error.to_string())),
        }
    }

    /// Sends SIGTERM and waits for the end, which must be exit status 0.
    pub fn terminate(mut self) -> Result<()> {
        output(&mut command("kill", &["-TERM", &self.id().to_string()]))?;
        let start = Instant::now();
        while start.elapsed() < ANSWER {
            match self.child.try_wait() {
                Ok(None) => sleep(Duration::from_millis(20)),
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(self.complaint(&format!("ended with {status}"))),
                Err(error) => return Err(self.complaint(&error.to_string())),
            }
        }
        Err(self.complaint("does not end after SIGTERM"))
    }

    /// What went wrong, with the last lines that it wrote to standard error.
    fn complaint(&self, what: &str) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(10)..].join("\n  ");
        format!("{}: {what}\n  {tail}", self.name)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The simulated Sentinel: `tests/parts/sentinel.py`, which says what its commands are.
pub struct Sentinel {
    part: Part,
    /// Where it publishes, on 127.0.0.1.
    pub port: u64,
    /// Its CURVE key in Z85.
    pub public_key: String,
}

impl Sentinel {
    /// Starts it with `size` generated addresses.
    pub fn start(size: u32, scratch: &Path) -> Result<Sentinel> {
        let arguments = ["tests/parts/sentinel.py", "--size", &size.to_string()];
        let part = Part::start("sentinel", &mut command("/usr/bin/python3", &arguments), scratch)?;
        let hello = part.json()?;
        let port = hello["port"].as_u64().ok_or_else(|| part.complaint("names no port"))?;
        let public_key = hello["public_key"].as_str().ok_or_else(|| part.complaint("names no key"))?.to_owned();
        Ok(Sentinel { part, port, public_key })
    }

    /// Gives it a command; its answer.
    pub fn tell(&mut self, line: &str) -> Result<Value> {
        self.part.send(line)?;
        let answer = self.part.json()?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(self.part.complaint(&format!("{line}: {error}"))),
        }
    }
}

/// A real nats-server with the simulated DisWall service (`examples/diswall_service.rs`) on it.
pub struct DisWall {
    _server: Part,
    service: Part,
    /// Where the server listens, on 127.0.0.1.
    pub port: u16,
}

impl DisWall {
    /// Starts both; `programs` is where cargo put the program's binaries.
    pub fn start(programs: &Path, scratch: &Path) -> Result<DisWall> {
        let port = free_port()?;
        let configuration = scratch.join("nats.conf");
        let text = format!(
            "listen: 127.0.0.1:{port}\nauthorization {{\n  users: [\n    {{ user: {LOGIN}, password: {LOGIN} }}\n    \
             {{ user: service, password: service }}\n  ]\n}}\n"
        );
        write(&configuration, text)?;
        let mut server = Part::start("nats-server", command("nats-server", &["-c"]).arg(&configuration), scratch)?;
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            server.check_running()?;
            if start.elapsed() > ANSWER {
                return Err(server.complaint("does not listen"));
            }
            sleep(Duration::from_millis(20));
        }
        let program = programs.join("examples/diswall_service");
        let url = format!("nats://service:service@127.0.0.1:{port}");
        let service = Part::start("diswall_service", Command::new(program).arg(url), scratch)?;
        service.line()?;
        Ok(DisWall { _server: server, service, port })
    }

    /// Gives the service a command.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        self.service.send(line)?;
        loop {
            // What clients asked and published is reported in between.
            let answer = self.service.json()?;
            if answer.get("done").is_some() {
                return Ok(());
            }
            if let Some(error) = answer.get("error") {
                return Err(self.service.complaint(&format!("{line}: {error}")));
            }
        }
    }
}

/// A port of 127.0.0.1 at which nobody listens.
pub fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(|error| format!("a free port: {error}"))?;
    Ok(listener.local_addr().map_err(|error| format!("a free port: {error}"))?.port())
}

/// The daemon, and its command line with the same configuration.
pub struct Daemon {
    part: Option<Part>,
    program: PathBuf,
    configuration: PathBuf,
    scratch: PathBuf,
}

impl Daemon {
    /// Writes the configuration for these feeds and starts nothing. A feed that is not given is off.
    pub fn configure(
        programs: &Path,
        scratch: &Path,
        sentinel: Option<&Sentinel>,
        diswall: Option<&DisWall>,
    ) -> Result<Daemon> {
        let configuration = scratch.join("diswall");
        let scratch = scratch.to_path_buf();
        let main = format!(
            "config diswall 'main'\n\toption state_dir '{0}'\n\toption control '{0}/control.sock'\n",
            scratch.display()
        );
        let dynfw = match sentinel {
            None => "config dynfw 'dynfw'\n\toption enabled '0'\n".to_owned(),
            Some(Sentinel { port, public_key, .. }) => format!(
                "config dynfw 'dynfw'\n\toption server '127.0.0.1'\n\toption port '{port}'\n\
                 \toption server_key '{public_key}'\n\toption key_url 'none'\n"
            ),
        };
        let nats = match diswall {
            None => "config nats 'nats'\n\toption enabled '0'\n".to_owned(),
            Some(DisWall { port, .. }) => format!(
                "config nats 'nats'\n\toption server '127.0.0.1'\n\toption port '{port}'\n\
                 \toption client_name '{LOGIN}'\n\toption client_pass '{LOGIN}'\n\toption hostname 'router'\n"
            ),
        };
        write(&configuration, [main, dynfw, nats].join("\n"))?;
        Ok(Daemon { part: None, program: programs.join("diswall"), configuration, scratch })
    }

    /// Adds sections to its configuration; options of a section that is there already replace its own.
    pub fn add(&self, sections: &str) -> Result<()> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.configuration.display());
        let mut file = File::options().append(true).open(&self.configuration).map_err(failed)?;
        file.write_all(sections.as_bytes()).map_err(failed)
    }

    /// A call of the command line.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).arg("--config").arg(&self.configuration).stdin(Stdio::null());
        command
    }

    /// Loads `diswall rules --standalone` into the sandbox.
    pub fn load_rules(&self) -> Result<()> {
        let text = output(&mut self.command(&["rules", "--standalone"]))?;
        crate::sandbox::load_nft(&text, &self.scratch)
    }

    /// Starts the daemon; it may take a while to answer.
    pub fn start(&mut self) -> Result<()> {
        self.part = Some(Part::start("daemon", &mut self.command(&["run", "--foreground"]), &self.scratch)?);
        Ok(())
    }

    /// The running daemon.
    pub fn part(&mut self) -> Result<&mut Part> {
        self.part.as_mut().ok_or_else(|| "the daemon was not started".to_owned())
    }

    /// Ends it as a service manager does, and waits for that.
    pub fn stop(&mut self) -> Result<()> {
        match self.part.take() {
            Some(part) => part.terminate(),
            None => Ok(()),
        }
    }

    /// `diswall watch --json`, running.
    pub fn watch(&self) -> Result<Part> {
        Part::start("watch", &mut self.command(&["watch", "--json"]), &self.scratch)
    }

    /// `diswall status --json`; `None` as long as the daemon does not answer.
    pub fn status(&mut self) -> Result<Option<Value>> {
        self.part()?.check_running()?;
        let answer = self.command(&["status", "--json"]).output().map_err(|error| error.to_string())?;
        // 1: it answers, and not all that is switched on is in force.
        if !matches!(answer.status.code(), Some(0 | 1)) {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&answer.stdout);
        serde_json::from_str(&text).map(Some).map_err(|error| format!("diswall status --json: {error}: {text}"))
    }
}
