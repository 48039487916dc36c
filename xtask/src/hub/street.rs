//! The houses of the hub's demo: three routers and a stranger on one wire, nats-server and hub at its other end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::shipped::{self, HUB};
use super::{PATIENCE, STRANGER, go_on};
use crate::Result;
use crate::command::{command, output, programs, run};
use crate::files::{make_directory, read_text, write};
use crate::measure::monotonic;
use crate::parts::Part;
use crate::sandbox::{Interrupted, Machine};
use crate::setup;

/// The page's port, inside.
pub const PAGE: u16 = 4280;

/// The routers' logins.
pub const LOGINS: [&str; 3] = ["one", "two", "three"];

/// Where nats-server and hub are.
const HOME: &str = "192.0.2.254";

/// All of it.
pub struct Street {
    scratch: PathBuf,
    programs: PathBuf,
    _server: Part,
    hub: Part,
    routers: Vec<Router>,
    stranger: Machine,
    /// What lets people see the page, for as long as the demo lasts.
    pub token: String,
}

struct Router {
    machine: Machine,
    address: String,
    configuration: PathBuf,
    scratch: PathBuf,
    daemon: Option<Part>,
    /// nft's listening to its kernel.
    monitor: Part,
}

impl Street {
    /// Builds everything but the routers' daemons.
    pub fn build(scratch: &Path) -> Result<Street> {
        let programs = programs()?;
        ip(&["link", "add", "street", "type", "bridge"])?;
        ip(&["address", "add", &format!("{HOME}/24"), "dev", "street"])?;
        ip(&["link", "set", "street", "up"])?;
        ip(&["route", "add", &format!("{STRANGER}/32"), "dev", "street"])?;
        let hub = scratch.join("hub.toml");
        let text = format!(
            "[nats]\nservers = [\"nats://{HOME}:4222\"]\nuser = \"{HUB}\"\npassword = \"{HUB}\"\n[trust]\nquorum = 2\n\
             [page]\nlisten = \"127.0.0.1:{PAGE}\"\ntoken_file = \"{}\"\n",
            scratch.join("token").display()
        );
        write(&hub, text)?;
        let token = read_text(Path::new("/proc/sys/kernel/random/uuid"))?.trim().to_owned();
        write(&scratch.join("token"), format!("{token}\n"))?;

        let (mut users, mut routers) = (String::new(), Vec::new());
        for (number, login) in (1..).zip(LOGINS) {
            let (user, options) = shipped::user(&programs.join("diswall-hub"), &hub, login)?;
            users.push_str(&user);
            routers.push(Router::build(number, &options, scratch)?);
        }
        let configuration = scratch.join("nats.conf");
        let text = shipped::nats_server("0.0.0.0:4222", &scratch.join("store"), &users)?;
        write(&configuration, text)?;
        let mut program = command(&setup::nats_server()?.to_string_lossy(), &["-c"]);
        let mut server = Part::start("nats-server", program.arg(&configuration), scratch)?;
        let start = Instant::now();
        while std::net::TcpStream::connect((HOME, 4222)).is_err() {
            server.check_running()?;
            if start.elapsed() > PATIENCE {
                return Err("nats-server does not listen".into());
            }
            sleep(Duration::from_millis(20));
        }
        let mut program = command(&programs.join("diswall-hub").to_string_lossy(), &["-c"]);
        let hub = Part::start("hub", program.arg(&hub), scratch)?;
        let stranger = Machine::apart()?;
        plug(&stranger, 9, "eth0", &format!("{STRANGER}/32"))?;
        run(stranger.command("ip").args(["route", "add", "192.0.2.0/24", "dev", "eth0"]))?;
        Ok(Street { scratch: scratch.to_path_buf(), programs, _server: server, hub, routers, stranger, token })
    }

    /// Starts the daemons, once the hub works.
    pub fn start_routers(&mut self) -> Result<()> {
        let start = Instant::now();
        while let Err(error) = self.hub(&["status"]) {
            self.hub.check_running()?;
            if start.elapsed() > PATIENCE {
                return Err(error);
            }
            sleep(Duration::from_millis(100));
        }
        let program = self.programs.join("diswall");
        self.routers.iter_mut().try_for_each(|router| router.start(&program))
    }

    /// Waits until the daemons follow the hub.
    pub fn wait_live(&mut self, interrupted: &Interrupted) -> Result<()> {
        let program = self.programs.join("diswall");
        let start = Instant::now();
        for router in &mut self.routers {
            while let Some(lacks) = router.lacks(&program)? {
                go_on(interrupted)?;
                self.hub.check_running()?;
                if start.elapsed() > PATIENCE {
                    return Err(format!("{} is not ready: {lacks}", router.address));
                }
                sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }

    /// A call of the hub's command line.
    pub fn hub(&self, args: &[&str]) -> Result<String> {
        let mut program = command(&self.programs.join("diswall-hub").to_string_lossy(), &["-c"]);
        output(program.arg(self.scratch.join("hub.toml")).args(args))
    }

    /// An error when something has ended.
    pub fn check_running(&mut self) -> Result<()> {
        self.hub.check_running()?;
        self.routers.iter_mut().filter_map(|router| router.daemon.as_mut()).try_for_each(Part::check_running)
    }

    /// The stranger knocks at a port of one router; from then until another (or the same) has it in its kernel.
    pub fn knock(&mut self, at: usize, port: u16, seen_by: usize) -> Result<Duration> {
        let address = self.router(at)?.address.clone();
        let code = format!(
            "import socket, time\ns = socket.socket(); s.settimeout(.3)\nprint(time.monotonic_ns(), flush=True)\n\
             s.connect_ex(('{address}', {port}))"
        );
        let mut python = self.stranger.command("/usr/bin/python3");
        let knocking = Part::start("knock", python.args(["-c", &code]), &self.scratch)?;
        let seen = self.router(seen_by)?.announced(true, PATIENCE)?;
        let seen = seen.ok_or_else(|| format!("router {} does not ban {STRANGER}", seen_by + 1))?;
        let knocked = knocking.json()?.as_u64().ok_or("python3 tells no time")?;
        Ok(Duration::from_nanos(seen.saturating_sub(knocked)))
    }

    /// When a router's kernel let the stranger go, by the clock of [`monotonic`].
    pub fn freed(&mut self, router: usize) -> Result<u64> {
        let freed = self.router(router)?.announced(false, PATIENCE)?;
        freed.ok_or_else(|| format!("router {} does not free {STRANGER}", router + 1))
    }

    /// A router bans nobody for so long.
    pub fn expect_no_change(&mut self, router: usize, time: Duration) -> Result<()> {
        match self.router(router)?.announced(true, time)? {
            None => Ok(()),
            Some(_) => Err(format!("router {} bans {STRANGER}", router + 1)),
        }
    }

    /// The stranger's ping is answered by a router, or not.
    pub fn expect_ping(&mut self, router: usize, answered: bool) -> Result<()> {
        let address = self.router(router)?.address.clone();
        let mut ping = self.stranger.command("ping");
        let ping = ping.args(["-n", "-q", "-c", "1", "-W", "1", &address]).stdout(Stdio::null());
        let is = ping.status().map_err(|error| format!("ping: {error}"))?.success();
        let word = if is { "answers" } else { "does not answer" };
        if is == answered { Ok(()) } else { Err(format!("router {} {word} {STRANGER}", router + 1)) }
    }

    fn router(&mut self, index: usize) -> Result<&mut Router> {
        self.routers.get_mut(index).ok_or_else(|| format!("there is no router {}", index + 1))
    }
}

impl Router {
    /// The house with its wire, rules and configuration.
    fn build(number: u8, options: &str, scratch: &Path) -> Result<Router> {
        let scratch = scratch.join(format!("router{number}"));
        make_directory(&scratch)?;
        let machine = Machine::apart()?;
        let address = format!("192.0.2.{number}");
        run(machine.command("ip").args(["link", "set", "lo", "up"]))?;
        plug(&machine, number, "wan", &format!("{address}/24"))?;
        run(machine.command("ip").args(["route", "add", "default", "via", HOME]))?;
        run(machine.command("ip").args(["route", "add", &format!("{STRANGER}/32"), "dev", "wan"]))?;
        let configuration = scratch.join("diswall");
        let text = format!(
            "config diswall 'main'\n\toption state_dir '{0}'\n\toption control '{0}/control.sock'\n\n\
             config dynfw 'dynfw'\n\toption enabled '0'\n\nconfig nats 'nats'\n{options}\toption hostname \
             'router{number}'\n",
            scratch.display()
        );
        write(&configuration, text)?;
        let mut nft = machine.command("nft");
        let monitor = Part::start("monitor", nft.args(["-n", "monitor", "elements"]), &scratch)?;
        Ok(Router { machine, address, configuration, scratch, daemon: None, monitor })
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = self.machine.command(&program.to_string_lossy());
        command.args(args).arg("--config").arg(&self.configuration);
        command
    }

    fn start(&mut self, program: &Path) -> Result<()> {
        let rules = output(&mut self.command(program, &["rules", "--standalone"]))?;
        let file = self.scratch.join("rules.nft");
        write(&file, rules)?;
        output(self.machine.command("nft").arg("-f").arg(&file))?;
        let mut run = self.command(program, &["run", "--foreground"]);
        self.daemon = Some(Part::start("daemon", &mut run, &self.scratch)?);
        Ok(())
    }

    /// What its daemon still lacks to follow the hub and to see strangers.
    fn lacks(&mut self, program: &Path) -> Result<Option<String>> {
        if let Some(daemon) = &mut self.daemon {
            daemon.check_running()?;
        }
        let answer = self.command(program, &["status", "--json"]).output().map_err(|error| error.to_string())?;
        let status: Value = serde_json::from_slice(&answer.stdout).unwrap_or_default();
        let feeds = status["feeds"].as_array().map_or(&[][..], Vec::as_slice);
        let is_live = feeds.iter().any(|feed| feed["name"] == "nats" && feed["state"] == "live");
        let is_ready = is_live && status["scan"]["state"] == "on";
        Ok((!is_ready).then(|| format!("feeds: {}, scan: {}", status["feeds"], status["scan"])))
    }

    /// When its kernel announced that the stranger came into a set, or left one.
    fn announced(&mut self, comes: bool, within: Duration) -> Result<Option<u64>> {
        let word = if comes { "add element" } else { "delete element" };
        let start = Instant::now();
        while start.elapsed() < within {
            if self.monitor.new_lines().any(|line| line.contains(word) && line.contains(STRANGER)) {
                return monotonic().map(Some);
            }
            self.monitor.check_running()?;
            sleep(Duration::from_millis(1));
        }
        Ok(None)
    }
}

/// Puts a machine's device onto the street's wire.
fn plug(machine: &Machine, number: u8, device: &str, address: &str) -> Result<()> {
    let here = format!("house{number}");
    machine.wire(&here, device)?;
    ip(&["link", "set", &here, "master", "street", "up"])?;
    run(machine.command("ip").args(["address", "add", address, "dev", device]))?;
    run(machine.command("ip").args(["link", "set", device, "up"]))
}

fn ip(args: &[&str]) -> Result<()> {
    run(&mut command("ip", args))
}
