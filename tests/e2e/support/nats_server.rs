//! Debian's `nats-server` with accounts, permissions and TLS, the simulated DisWall service behind it,
//! and this crate's feed in front of it with its updates folded into plain maps.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use diswall::feed::intake::Intake;
use diswall::feed::nats::{self, Publisher, start};
use diswall::feed::{FeedState, Handle, Update};
use diswall::model::{AllowOrigin, Event, Lifetime, Reason, Run, Source};
use ipnet::IpNet;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::diswall_service::program;
use super::{Proc, run, wait_until};

/// Far more than anything here takes.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Where the server listens, in the test's own namespace.
pub const PORT: u16 = 4222;

/// Accounts as DisWall has them: a service, two logins, the shared login, one that may do too little.
const ACCOUNTS: &str = r#"
authorization { users = [
  { user: "service", password: "secret", permissions: { publish: ">", subscribe: ">" } }
  { user: "alice", password: "wonder", permissions: {
      publish: ["diswall.*.alice.*.*"]
      subscribe: ["_INBOX.>", "diswall.blacklist.new", "diswall.*.alice.*.*"] } }
  { user: "bob", password: "builder", permissions: {
      publish: ["diswall.blacklist.bob.*.*"]
      subscribe: ["_INBOX.>", "diswall.*.bob.*.*"] } }
  { user: "carol", password: "christmas", permissions: { publish: ">", subscribe: "diswall.>" } }
  { user: "default", password: "default", permissions: {
      publish: ["diswall.*.default.init.*"]
      subscribe: ["_INBOX.>", "diswall.blacklist.default"] } }
] }
"#;

/// A running `nats-server`.
pub struct NatsServer {
    directory: TempDir,
    process: Option<Proc>,
}

impl NatsServer {
    /// Starts one without TLS.
    pub fn start() -> NatsServer {
        NatsServer::with("")
    }

    /// Starts one that takes no client without TLS, with a certificate for `localhost` by an authority
    /// of its own.
    pub fn with_tls() -> NatsServer {
        let directory = TempDir::new().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        authority(&path("ca.pem"), &path("ca.key"));
        authority(&path("stranger.pem"), &path("stranger.key"));
        let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
        let request = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        run(
            "openssl",
            &[&request[..], &subject, &["-keyout", &path("key.pem"), "-out", &path("request.pem")]].concat(),
        );
        let sign = ["x509", "-req", "-days", "2", "-copy_extensions", "copyall", "-CAcreateserial"];
        let (ca, key) = (path("ca.pem"), path("ca.key"));
        let files = ["-CA", &ca, "-CAkey", &key, "-in", &path("request.pem"), "-out", &path("cert.pem")];
        run("openssl", &[&sign[..], &files].concat());
        let tls = format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", path("cert.pem"), path("key.pem"));
        NatsServer::start_in(directory, &tls)
    }

    /// Starts one with more configuration.
    pub fn with(more: &str) -> NatsServer {
        NatsServer::start_in(TempDir::new().expect("a directory"), more)
    }

    fn start_in(directory: TempDir, more: &str) -> NatsServer {
        let text = format!("host: \"127.0.0.1\"\nport: {PORT}\n{ACCOUNTS}{more}\n");
        std::fs::write(directory.path().join("nats.conf"), text).expect("a written configuration");
        let mut server = NatsServer { directory, process: None };
        server.resume();
        server
    }

    /// A file beside its configuration: `ca.pem`, `stranger.pem`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Exchanges a piece of its configuration, which a running server reads again. It does not say when.
    pub fn exchange(&self, old: &str, new: &str) {
        let path = self.file("nats.conf");
        let text = std::fs::read_to_string(&path).expect("the configuration");
        assert!(text.contains(old), "no {old} in {text}");
        std::fs::write(&path, text.replace(old, new)).expect("a written configuration");
        if let Some(process) = &self.process {
            process.signal(Signal::SIGHUP);
        }
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again and waits until it listens.
    pub fn resume(&mut self) {
        self.process = Some(Proc::spawn(Command::new("nats-server").arg("-c").arg(self.file("nats.conf"))));
        wait_until(DEADLINE, "nats-server listens", || TcpStream::connect(("127.0.0.1", PORT)).is_ok());
    }
}

fn authority(certificate: &str, key: &str) {
    let kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    run("openssl", &[&kind[..], &["-subj", "/CN=test", "-keyout", key, "-out", certificate]].concat());
}

/// The simulated DisWall service: `examples/diswall_service.rs` in a process of its own.
pub struct Service {
    process: Proc,
    /// What clients published so far, subject and body, except init requests.
    pub heard: Vec<(String, String)>,
}

impl Service {
    /// Connects it to a server without TLS.
    pub fn start() -> Service {
        Service::run(Command::new(program()).arg(url()))
    }

    /// Connects it to a server with TLS.
    pub fn start_with_tls(server: &NatsServer) -> Service {
        Service::run(Command::new(program()).arg(url()).arg(server.file("ca.pem")))
    }

    fn run(command: &mut Command) -> Service {
        let process = Proc::spawn(command);
        assert_eq!(process.json(DEADLINE)["ready"], Value::Bool(true));
        Service { process, heard: Vec::new() }
    }

    /// Gives a command and waits until it is done.
    pub fn tell(&mut self, command: &str) {
        self.process.send(command);
        let line = self.until(|line| line["done"] == command || line["command"] == command);
        assert!(line["error"].is_null(), "{line}");
    }

    /// Publishes a text on a subject.
    pub fn publish(&mut self, subject: &str, body: &[u8]) {
        let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
        self.tell(&format!("raw {subject} {hex}"));
    }

    /// What it holds: every shared ban, by address.
    pub fn bans(&mut self) -> Vec<IpAddr> {
        self.process.send("dump");
        let line = self.until(|line| line["bans"].is_object());
        let bans = line["bans"].as_object().expect("an object").keys();
        let mut bans: Vec<IpAddr> = bans.map(|address| address.parse().expect("an address")).collect();
        bans.sort();
        bans
    }

    /// Waits until it has heard a body on a subject.
    pub fn hears(&mut self, subject: &str, body: &str) {
        let wanted = (subject.to_owned(), body.to_owned());
        while !self.heard.contains(&wanted) {
            self.until(|line| line["heard"].is_string());
        }
    }

    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.process.json(DEADLINE);
            if let (Some(subject), Some(body)) = (line["heard"].as_str(), line["body"].as_str()) {
                self.heard.push((subject.to_owned(), body.to_owned()));
            }
            if wanted(&line) {
                return line;
            }
        }
    }
}

fn url() -> String {
    format!("nats://service:secret@127.0.0.1:{PORT}")
}

/// The settings of a login.
pub fn settings(login: &str, password: &str) -> nats::Settings {
    nats::Settings {
        servers: vec!["127.0.0.1".into()],
        port: PORT,
        client_name: login.into(),
        client_pass: password.into(),
        ..nats::Settings::default()
    }
}

/// What a feed has posted, folded.
#[derive(Debug, Default)]
pub struct Folded {
    /// Every ban in force.
    pub bans: BTreeMap<IpAddr, (Lifetime, Reason)>,
    /// Every allowance.
    pub allowed: BTreeMap<IpNet, Lifetime>,
    /// Every state, in order.
    pub states: Vec<FeedState>,
    /// The notices that stand.
    pub notices: BTreeMap<&'static str, String>,
    /// Block lists so far.
    pub lists: usize,
    /// Allow lists so far.
    pub allow_lists: usize,
}

impl Folded {
    /// Whether the feed follows the service now.
    pub fn is_live(&self) -> bool {
        self.states.last() == Some(&FeedState::Live)
    }

    /// The seconds of a ban, 0 when there is none.
    pub fn seconds(&self, address: &str) -> u32 {
        match self.bans.get(&address.parse().expect("an address")) {
            Some((Lifetime::Seconds(seconds), _)) => *seconds,
            Some((Lifetime::Forever, _)) => u32::MAX,
            None => 0,
        }
    }

    /// Whether a network is allowed.
    pub fn allows(&self, net: &str) -> bool {
        self.allowed.contains_key(&net.parse().expect("a network"))
    }

    /// Whether the feed is connected and says that this is refused, and what is lost by it.
    pub fn lacks(&self, what: &str, loss: &str) -> bool {
        matches!(self.states.last(), Some(FeedState::Partial { error, lost, .. })
            if error.contains(what) && lost.contains(loss))
    }

    /// The error of the latest state, if it has one.
    pub fn error(&self) -> &str {
        match self.states.last() {
            Some(FeedState::Waiting { error, .. } | FeedState::Partial { error, .. }) => error,
            _ => "",
        }
    }

    fn apply(&mut self, update: Update) {
        match update {
            Update::State(state) => self.states.push(state),
            Update::Notice { key, text: Some(text) } => drop(self.notices.insert(key, text)),
            Update::Notice { key, text: None } => drop(self.notices.remove(key)),
            Update::Event(event) => self.event(event),
            Update::Sighting { .. } => panic!("DisWall has no sensors"),
            Update::Cut(_) => panic!("nothing is beyond the limit"),
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::List { source, list } if source == Source::NATS => {
                self.lists += 1;
                let why = |of: &dyn Fn(&Run) -> usize| -> Vec<Reason> {
                    list.runs.iter().flat_map(|run| std::iter::repeat_n(run.reason.clone(), of(run))).collect()
                };
                let why4 = why(&|run| run.v4).into_iter().chain(std::iter::repeat(Reason::Listed));
                let why6 = why(&|run| run.v6).into_iter().chain(std::iter::repeat(Reason::Listed));
                let v4 =
                    list.v4.iter().zip(why4).map(|(entry, why)| (IpAddr::V4(entry.address), (entry.lifetime, why)));
                let v6 =
                    list.v6.iter().zip(why6).map(|(entry, why)| (IpAddr::V6(entry.address), (entry.lifetime, why)));
                self.bans = v4.chain(v6).collect();
            }
            Event::Ban { source, net, lifetime, reason } if source == Source::NATS => {
                assert_eq!(net.prefix_len(), net.max_prefix_len(), "a feed bans single addresses");
                self.bans.insert(net.addr(), (lifetime, reason));
            }
            Event::Unban { source, net } if source == Source::NATS => drop(self.bans.remove(&net.addr())),
            Event::AllowList { origin: AllowOrigin::Nats, list } => {
                self.allow_lists += 1;
                self.allowed = list.into_iter().map(|entry| (entry.net, entry.lifetime)).collect();
            }
            Event::Allow { origin: AllowOrigin::Nats, entry } => drop(self.allowed.insert(entry.net, entry.lifetime)),
            Event::Disallow { origin: AllowOrigin::Nats, net } => drop(self.allowed.remove(&net)),
            other => panic!("not this feed's event: {other:?}"),
        }
    }
}

/// A feed running on this thread, while the test waits for it.
pub struct NatsFeed {
    runtime: tokio::runtime::Runtime,
    tasks: LocalSet,
    updates: mpsc::Receiver<(Source, Update)>,
    /// Its handle.
    pub handle: Handle,
    /// Its way out.
    pub publisher: Publisher,
    /// What it has posted.
    pub folded: Folded,
}

impl NatsFeed {
    /// Starts it on a router called `turris.lan`.
    pub fn start(settings: &nats::Settings) -> NatsFeed {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let tasks = LocalSet::new();
        let (sender, updates) = mpsc::channel(64);
        let (handle, publisher) = runtime
            .block_on(tasks.run_until(async { start(settings, "turris.lan", Intake::new(1 << 20, |_| true), sender) }));
        NatsFeed { runtime, tasks, updates, handle, publisher, folded: Folded::default() }
    }

    /// Lets it run until `done` says true of what it has posted.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&Folded) -> bool) {
        let met = self.fold(DEADLINE, &mut done);
        assert!(met, "{what}: not within {DEADLINE:?}: {:?}", self.folded);
    }

    /// Lets it run for a while.
    pub fn run_for(&mut self, time: Duration) {
        self.fold(time, &mut |_| false);
    }

    /// Folds updates until `done` says true; false when `time` is over or the feed has ended before.
    fn fold(&mut self, time: Duration, done: &mut dyn FnMut(&Folded) -> bool) -> bool {
        let NatsFeed { runtime, tasks, updates, folded, .. } = self;
        runtime.block_on(tasks.run_until(async {
            let deadline = tokio::time::Instant::now() + time;
            while !done(folded) {
                match tokio::time::timeout_at(deadline, updates.recv()).await {
                    Ok(Some((name, update))) => {
                        assert_eq!(name, Source::NATS);
                        folded.apply(update);
                    }
                    Ok(None) | Err(_) => return false,
                }
            }
            true
        }))
    }
}
