//! A nats-server with JetStream, users as `diswall-hub user add` prints them, and hubs.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::process::Process;
use super::{Router, wait_for};

/// The hub under test.
pub const HUB: &str = env!("CARGO_BIN_EXE_diswall-hub");

/// The same, or another build of it where figures are wanted.
fn program() -> String {
    std::env::var("HUB_PROGRAM").unwrap_or_else(|_| HUB.to_owned())
}

/// The nats-server's configuration, as it is shipped.
const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contrib/hub/nats-server.conf");

/// A nats-server whose keys can time out.
pub fn nats_server() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let output = Command::new("sh").args(["tests/parts/nats.sh", "target"]).current_dir(root).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    })
}

/// A port that nobody has.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// See the module's head.
pub struct Site {
    pub directory: TempDir,
    pub port: u16,
    pub server: Option<Process>,
    logins: Vec<(String, String)>,
    hubs: usize,
}

impl Site {
    /// A nats-server with these logins beside the hub's, and nothing else yet.
    pub async fn new(logins: &[&str]) -> Site {
        Site::with(logins, nats_server()).await
    }

    /// As [`Site::new`], with another program for it.
    pub async fn with(logins: &[&str], program: &str) -> Site {
        let directory = TempDir::with_prefix("diswall-hub-").unwrap();
        let mut site = Site { directory, port: free_port(), server: None, logins: Vec::new(), hubs: 0 };
        site.configure("hub", "");
        let mut users = String::new();
        for login in logins {
            // A login, and options of the command.
            let words: Vec<&str> = ["user", "add"].into_iter().chain(login.split(' ')).collect();
            let printed = site.command("hub", &words).unwrap();
            let login = &words[2];
            let entry = printed.split("\n\n").next().unwrap().split_once('\n').unwrap().1;
            let password = entry.split("password: \"").nth(1).unwrap().split('"').next().unwrap();
            users.push_str(entry);
            users.push('\n');
            site.logins.push(((*login).to_owned(), password.to_owned()));
        }
        users.push_str(
            "{ user: default, password: default, permissions: { publish: { allow: [\"diswall.*.default.init.*\"] }, \
             subscribe: { allow: [\"_INBOX.>\", \"diswall.blacklist.default\"] } } }\n",
        );
        let text = std::fs::read_to_string(CONFIGURATION).unwrap();
        let replaced = [
            ("0.0.0.0:4222", format!("127.0.0.1:{}", site.port)),
            ("/var/lib/nats", site.path("jetstream").display().to_string()),
            ("A-LONG-WORD", "hub".into()),
            ("# Here goes what `diswall-hub user add LOGIN` prints.", users),
        ];
        let text = replaced.iter().fold(text, |text, (old, new)| {
            assert!(text.contains(old), "{old}");
            text.replace(old, new)
        });
        std::fs::write(site.path("nats.conf"), text).unwrap();
        site.start_server(program).await;
        site
    }

    /// Starts the nats-server, again perhaps.
    pub async fn start_server(&mut self, program: &str) {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.path("nats.conf"));
        let process = Process::start(&command, &self.path("nats.log"));
        wait_for("nats-server is ready", async || process.said().contains("Server is ready")).await;
        self.server = Some(process);
    }

    /// A file of this site.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The configuration for hubs of that name: where nats-server is, and `more`.
    pub fn configure(&self, name: &str, more: &str) {
        let text = format!(
            "[nats]\nservers = [\"nats://127.0.0.1:{}\"]\nuser = \"hub\"\npassword = \"hub\"\n{more}",
            self.port
        );
        std::fs::write(self.path(&format!("{name}.toml")), text).unwrap();
    }

    /// A hub with more configuration, ready.
    pub async fn hub(&mut self, more: &str) -> Process {
        let hub = self.start_hub(more);
        wait_for("the hub is ready", async || hub.said().contains("taking reports")).await;
        hub
    }

    /// A hub, perhaps one that cannot run.
    pub fn start_hub(&mut self, more: &str) -> Process {
        self.start_hub_with(more, &[])
    }

    /// The same, with something in its environment: `NAME=VALUE`.
    pub fn start_hub_with(&mut self, more: &str, environment: &[String]) -> Process {
        self.hubs += 1;
        let name = format!("hub{}", self.hubs);
        self.configure("hub", more);
        self.configure(&name, more);
        let mut command = Command::new("env");
        command.args(environment).arg(program()).arg("-c").arg(self.path(&format!("{name}.toml")));
        Process::start(&command, &self.path(&format!("{name}.log")))
    }

    /// Runs one of the hub's commands.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(HUB);
        let output = command.arg("-c").arg(self.path(&format!("{name}.toml"))).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// As [`Site::command`], while routers go on listening.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let mut command = tokio::process::Command::new(HUB);
        let output = command.arg("-c").arg(self.path("hub.toml")).args(arguments).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A login's password.
    pub fn password(&self, login: &str) -> String {
        let known = self.logins.iter().find(|(known, _)| known == login);
        known.map_or("default", |(_, password)| password).to_owned()
    }

    /// A router with that login.
    pub async fn router(&self, login: &str) -> Router {
        Router::connect(self.port, login, &self.password(login)).await
    }

    /// Whoever may do everything.
    pub async fn owner(&self) -> async_nats::Client {
        let options = async_nats::ConnectOptions::with_user_and_password("hub".into(), "hub".into());
        options.connect(format!("127.0.0.1:{}", self.port)).await.unwrap()
    }
}
