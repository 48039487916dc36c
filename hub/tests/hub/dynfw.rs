//! DynFW for a fleet: a publisher on the real libzmq, hubs that pass it on, and routers that follow a hub with their own
//! client. What a router holds is compared with what the publisher says its list is.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use diswall::feed::dynfw::{self, Settings};
use diswall::feed::intake::Intake;
use diswall::feed::{FeedState, Handle, Update};
use diswall::model::{Event, Source};
use nix::sched::{CloneFlags, unshare};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::support::process::Process;
use crate::support::site::free_port;
use crate::support::{DEADLINE, Sentinel, Site, wait_for};

/// A site whose hubs pass a Sentinel's list on.
pub struct Relayed {
    pub site: Site,
    pub port: u16,
    pub key: String,
}

impl Relayed {
    pub async fn new() -> Relayed {
        let site = Site::new(&[]).await;
        let port = free_port();
        site.configure("hub", &format!("[dynfw]\nkey_file = \"{}\"\n", site.path("dynfw.key").display()));
        let printed = site.command("hub", &["dynfw", "key"]).unwrap();
        let key = printed.split("server_key='").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        Relayed { site, port, key }
    }

    /// The hub's configuration.
    pub fn configuration(&self, sentinel: &Sentinel, more: &str) -> String {
        format!(
            "[dynfw]\nkey_file = \"{}\"\nlisten = \"127.0.0.1:{}\"\n{}{more}",
            self.site.path("dynfw.key").display(),
            self.port,
            sentinel.followed()
        )
    }

    /// A hub that passes it on.
    pub async fn hub(&mut self, sentinel: &Sentinel, more: &str) -> Process {
        let configuration = self.configuration(sentinel, more);
        let hub = self.site.hub(&configuration).await;
        wait_for("routers are told", async || hub.said().contains("routers are told")).await;
        hub
    }

    /// What a router goes by.
    pub fn settings(&self) -> Settings {
        Settings {
            server: "127.0.0.1".into(),
            port: self.port,
            server_key: Some(self.key.clone()),
            key_url: None,
            ..Settings::default()
        }
    }

    pub fn router(&self) -> Follower {
        Follower::start(&self.settings())
    }
}

/// A router's client, and everything that it has posted, added up. Lives in a `LocalSet`.
pub struct Follower {
    pub handle: Handle,
    updates: mpsc::Receiver<(Source, Update)>,
    pub holds: BTreeSet<String>,
    pub state: Option<FeedState>,
    pub events: Vec<String>,
}

impl Follower {
    pub fn start(settings: &Settings) -> Follower {
        let (sender, updates) = mpsc::channel(256);
        let handle = dynfw::start(settings, Path::new("/nonexistent/diswall"), Intake::new(1 << 20, |_| true), sender);
        Follower { handle, updates, holds: BTreeSet::new(), state: None, events: Vec::new() }
    }

    /// Takes what it posts until a condition holds; how long it took.
    pub async fn until(&mut self, what: &str, mut done: impl FnMut(&Follower) -> bool) -> Duration {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < 2 * DEADLINE, "{what}: {:?}, {} addresses", self.state, self.holds.len());
            // Counters change without an update.
            let update = tokio::time::timeout(Duration::from_millis(50), self.updates.recv()).await;
            match update.ok().flatten().map(|(_, update)| update) {
                Some(Update::State(state)) => self.state = Some(state),
                Some(Update::Event(Event::List { list, .. })) => {
                    let v4 = list.v4.iter().map(|listed| IpAddr::V4(listed.address));
                    let v6 = list.v6.iter().map(|listed| IpAddr::V6(listed.address));
                    self.holds = v4.chain(v6).map(|address| address.to_string()).collect();
                }
                Some(Update::Event(Event::Ban { net, .. })) => drop(self.holds.insert(net.addr().to_string())),
                Some(Update::Event(Event::Unban { net, .. })) => drop(self.holds.remove(&net.addr().to_string())),
                Some(Update::Sighting { event, address }) => self.events.push(format!("{event} {address}")),
                _ => {}
            }
        }
        start.elapsed()
    }

    pub async fn equals(&mut self, sentinel: &mut Sentinel) {
        let truth = sentinel.addresses();
        self.until("it holds what Sentinel lists", |router| router.holds == truth).await;
    }

    /// Until it has no connection; why.
    pub async fn away(&mut self) -> String {
        let away = |router: &Follower| matches!(router.state, Some(FeedState::Waiting { .. }));
        self.until("the connection ends", away).await;
        match &self.state {
            Some(FeedState::Waiting { error, .. }) => error.clone(),
            _ => unreachable!(),
        }
    }
}

#[tokio::test]
async fn routers_hold_what_sentinel_lists_and_take_one_list() {
    let mut sentinel = Sentinel::start(3000);
    let mut relayed = Relayed::new().await;
    std::fs::write(relayed.site.path("token"), "a-word-that-nobody-guesses").unwrap();
    let place = format!("127.0.0.1:{}", free_port());
    let page = format!("[page]\nlisten = \"{place}\"\ntoken_file = \"{}\"\n", relayed.site.path("token").display());
    let hub = relayed.hub(&sentinel, &format!("events = true\n{page}")).await;
    let test = async {
        let mut router = relayed.router();
        let mut watching = Follower::start(&Settings { events: true, ..relayed.settings() });
        for router in [&mut router, &mut watching] {
            router.equals(&mut sentinel).await;
        }
        sentinel.tell("burst 400");
        sentinel.tell("add 2001:db8:77::1");
        sentinel.tell("del 45.0.0.1");
        router.equals(&mut sentinel).await;
        assert!(router.holds.contains("2001:db8:77::1") && !router.holds.contains("45.0.0.1"));
        sentinel.tell("event telnet_login 45.9.9.9");
        watching.until("an event", |router| router.events == ["telnet_login 45.9.9.9"]).await;
        // Changes are lost on the way to the hub; Sentinel begins anew, at another serial and with another list.
        sentinel.tell("skip 20");
        sentinel.tell("add 45.8.8.8");
        router.equals(&mut sentinel).await;
        sentinel.tell("skip 300");
        sentinel.tell("restart 7");
        router.equals(&mut sentinel).await;
        sentinel.tell("add 45.8.8.9");
        for router in [&mut router, &mut watching] {
            router.equals(&mut sentinel).await;
            assert_eq!((router.handle.gauges.lists.get(), router.handle.gauges.resyncs.get()), (1, 0));
            assert_eq!(router.handle.gauges.refused_messages.get(), 0);
        }
        // A list that has nothing to do with the one before is asked for.
        sentinel.tell("list 9000 91.0.0.1");
        sentinel.tell("restart 7");
        for router in [&mut router, &mut watching] {
            router.equals(&mut sentinel).await;
            assert_eq!(router.handle.gauges.lists.get(), 2);
        }
        router.handle.resync.notify_one();
        router.until("a list when it asks for one", |router| router.handle.gauges.lists.get() == 3).await;
        let status = relayed.site.run(&["status"]).await;
        assert!(status.contains("follows Sentinel") && status.contains("CC BY-NC-SA 4.0"), "{status}");
        wait_for("status knows", async || {
            relayed.site.run(&["status"]).await.contains("9000 addresses told to 2 routers")
        })
        .await;
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["-s", "-H", "Authorization: Bearer a-word-that-nobody-guesses", &format!("http://{place}/metrics")]);
        let metrics = String::from_utf8(curl.output().await.unwrap().stdout).unwrap();
        for line in ["follows 1", "addresses 9000", "routers 2", "lists_total 5", "refused_total 0"] {
            assert!(metrics.contains(&format!("diswall_hub_dynfw_{line}\n")), "{line}: {metrics}");
        }
    };
    LocalSet::new().run_until(test).await;
    assert!(!hub.said().contains("DynFW: 127.0.0.1"), "{}", hub.said());
}

#[tokio::test]
async fn routers_are_let_go_while_sentinel_is_away_and_come_back() {
    let mut sentinel = Sentinel::start(500);
    let mut relayed = Relayed::new().await;
    let configuration = relayed.configuration(&sentinel, "patience = 6\n");
    let hub = relayed.site.hub(&configuration).await;
    let test = async {
        let mut router = relayed.router();
        router.equals(&mut sentinel).await;
        // Shorter than its patience: after the first cut it is back at once, after more of them ever later.
        sentinel.tell("restart 3");
        sentinel.tell("add 45.8.8.8");
        router.equals(&mut sentinel).await;
        assert_eq!(router.handle.gauges.lists.get(), 1);
        let held = router.holds.clone();
        sentinel.tell("close");
        let error = router.away().await;
        assert!(hub.said().contains("routers are let go"), "{error}: {}", hub.said());
        router
            .until("nobody is there", |router| match &router.state {
                Some(FeedState::Waiting { error, .. }) => error.contains("Connection refused"),
                _ => false,
            })
            .await;
        assert_eq!(router.holds, held, "bans stay as long as max_age says");
        sentinel.tell("skip 100");
        sentinel.tell("open");
        let again = async || hub.said().matches("Sentinel is followed").count() == 2;
        wait_for("it follows again", again).await;
        router.handle.resync.notify_one();
        router.equals(&mut sentinel).await;
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_hub_that_knows_nothing_lets_nobody_in() {
    let mut sentinel = Sentinel::start(500);
    sentinel.tell("close");
    let mut relayed = Relayed::new().await;
    let configuration = relayed.configuration(&sentinel, "");
    let hub = relayed.site.hub(&configuration).await;
    let test = async {
        let mut router = relayed.router();
        let error = router.away().await;
        assert!(error.contains("Connection refused"), "{error}");
        let told = "does not follow Sentinel: no connection";
        wait_for("status says why", async || relayed.site.run(&["status"]).await.contains(told)).await;
        sentinel.tell("open");
        wait_for("it follows", async || hub.said().contains("Sentinel is followed")).await;
        router.handle.resync.notify_one();
        router.equals(&mut sentinel).await;
    };
    LocalSet::new().run_until(test).await;
}

/// A name with the addresses of two hubs, as a router's `server` has it.
#[tokio::test]
async fn routers_go_to_the_hub_that_follows() {
    // The name is in a file that is this thread's alone.
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let mut relayed = Relayed::new().await;
    let hosts = relayed.site.path("hosts");
    std::fs::write(&hosts, "127.0.0.2 hubs.example\n127.0.0.3 hubs.example\n").unwrap();
    run("mount", &["--make-rprivate", "/"]);
    run("mount", &["--bind", hosts.to_str().unwrap(), "/etc/hosts"]);
    let mut sentinels = [Sentinel::start(300), Sentinel::start(301)];
    let mut hubs = Vec::new();
    for (sentinel, place) in sentinels.iter().zip(["127.0.0.2", "127.0.0.3"]) {
        let configuration =
            relayed.configuration(sentinel, "patience = 1\n").replace("\"127.0.0.1:", &format!("\"{place}:"));
        hubs.push(relayed.site.hub(&configuration).await);
        wait_for("routers are told", async || hubs.last().unwrap().said().contains("routers are told")).await;
    }
    let test = async {
        let mut router = Follower::start(&Settings { server: "hubs.example".into(), ..relayed.settings() });
        router.until("it holds one's list", |router| matches!(router.holds.len(), 300 | 301)).await;
        let first = router.holds.len() - 300;
        for here in [first, 1 - first] {
            let there = 1 - here;
            sentinels[here].tell("close");
            router.equals(&mut sentinels[there]).await;
            sentinels[here].tell("open");
            wait_for("it follows again", async || hubs[here].said().matches("routers are told").count() == 2).await;
        }
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn another_hub_takes_on() {
    let mut sentinel = Sentinel::start(2000);
    let mut relayed = Relayed::new().await;
    let first = relayed.hub(&sentinel, "").await;
    let test = async {
        let mut router = relayed.router();
        router.equals(&mut sentinel).await;
        // The second waits until the first gives its place up, as behind an address that moves.
        let configuration = relayed.configuration(&sentinel, "");
        let second = relayed.site.hub(&configuration).await;
        wait_for("it says that it waits", async || second.said().contains("nobody can listen at 127.0.0.1")).await;
        sentinel.tell("burst 100");
        drop(first);
        sentinel.tell("burst 100");
        wait_for("the second listens", async || second.said().contains("routers are told")).await;
        router.equals(&mut sentinel).await;
        sentinel.tell("burst 100");
        router.equals(&mut sentinel).await;
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_key_is_made_once_and_none_but_it_is_believed() {
    let sentinel = Sentinel::start(10);
    let mut relayed = Relayed::new().await;
    let file = relayed.site.path("dynfw.key");
    let (made, mode) = (std::fs::read_to_string(&file).unwrap(), std::fs::metadata(&file).unwrap().mode() & 0o777);
    assert_eq!((made.len(), mode), (41, 0o640));
    let again = relayed.site.command("hub", &["dynfw", "key"]).unwrap();
    assert!(again.contains(&relayed.key) && !again.contains(made.trim()), "{again}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), made);
    let hub = relayed.hub(&sentinel, "").await;
    let test = async {
        let wrong = Settings { server_key: Settings::default().server_key, ..relayed.settings() };
        let error = Follower::start(&wrong).away().await;
        assert!(error.contains("wrong server key"), "{error}");
        let none = Settings { server_key: None, ..relayed.settings() };
        let error = Follower::start(&none).away().await;
        assert!(error.contains("CURVE"), "{error}");
        wait_for("it is said", async || hub.said().contains("no handshake with 127.0.0.1")).await;
        assert_eq!(hub.said().matches("no handshake").count(), 1, "{}", hub.said());
        // The hub follows nobody but the Sentinel whose key it knows.
        std::fs::write(&file, "nonsense\n").unwrap();
        let configuration = relayed.configuration(&sentinel, "");
        let bad = relayed.site.start_hub(&configuration);
        wait_for("no key", async || bad.said().contains("holds no CURVE key in Z85")).await;
        assert!(!bad.said().contains("nonsense"), "{}", bad.said());
        std::fs::write(&file, &made).unwrap();
        let other = relayed.configuration(&sentinel, "").replace(&sentinel.followed(), &{
            let key = Settings::default().server_key.unwrap();
            format!("server = \"127.0.0.1\"\nport = {}\nserver_key = \"{key}\"\n", sentinel.port)
        });
        let other = relayed.site.hub(&other).await;
        wait_for("wrong key", async || other.said().contains("Sentinel is not followed: wrong server key")).await;
    };
    LocalSet::new().run_until(test).await;
}

/// The real daemon of a router with its own firewall, in a namespace with a Sentinel and a hub.
#[tokio::test]
async fn a_routers_kernel_has_what_sentinel_lists() {
    // All children of this thread live there.
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    run("ip", &["link", "set", "lo", "up"]);
    let mut sentinel = Sentinel::start(3000);
    let mut relayed = Relayed::new().await;
    let first = relayed.hub(&sentinel, "").await;
    let place = tempfile::Builder::new().prefix("diswall-test-").tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    let text = format!(
        "config diswall 'main'\n\toption state_dir '{}'\n\toption control '{}'\n\nconfig dynfw 'dynfw'\n\toption server \
         '127.0.0.1'\n\toption port '{}'\n\toption server_key '{}'\n\toption key_url 'none'\n\nconfig nats \
         'nats'\n\toption enabled '0'\n",
        at("diswall-state"),
        at("control.sock"),
        relayed.port,
        relayed.key
    );
    std::fs::create_dir(at("diswall-state")).unwrap();
    std::fs::write(at("diswall"), text).unwrap();
    let diswall = diswall();
    let rules = Command::new(&diswall).args(["rules", "--standalone", "--config", &at("diswall")]).output().unwrap();
    assert!(rules.status.success(), "{}", String::from_utf8_lossy(&rules.stderr));
    std::fs::write(at("rules.nft"), rules.stdout).unwrap();
    run("nft", &["-f", &at("rules.nft")]);
    let mut daemon = Command::new(&diswall);
    daemon.args(["run", "--foreground", "--config", &at("diswall")]);
    let daemon = Process::start(&daemon, &place.path().join("daemon.log"));

    equals(&mut sentinel, &daemon).await;
    sentinel.tell("burst 300");
    equals(&mut sentinel, &daemon).await;
    sentinel.tell("skip 50");
    sentinel.tell("restart 2");
    equals(&mut sentinel, &daemon).await;
    drop(first);
    sentinel.tell("burst 300");
    let _second = relayed.hub(&sentinel, "").await;
    equals(&mut sentinel, &daemon).await;
    let status = Command::new(&diswall).args(["status", "--config", &at("diswall")]).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("in force") && status.contains("dynfw   live"), "{status}");
    let check = sentinel.addresses().pop_first().unwrap();
    let check = Command::new(&diswall).args(["check", "--config", &at("diswall"), &check]).output().unwrap();
    let check = String::from_utf8(check.stdout).unwrap();
    assert!(check.contains("banned by dynfw"), "{check}");
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The router's program, built beside the hub's.
fn diswall() -> std::path::PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let build = Command::new(env!("CARGO")).args(["build", "--quiet", "--bin", "diswall"]).current_dir(root).status();
    assert!(build.unwrap().success());
    Path::new(crate::support::site::HUB).with_file_name("diswall")
}

async fn equals(sentinel: &mut Sentinel, daemon: &Process) {
    let truth = sentinel.addresses();
    wait_for(&format!("the kernel has the {} that are listed", truth.len()), async || {
        let mut held = kernel("diswall_dynfw4");
        held.extend(kernel("diswall_dynfw6"));
        assert!(daemon.id() > 0);
        held == truth
    })
    .await;
}

fn kernel(set: &str) -> BTreeSet<String> {
    let output = Command::new("nft").args(["-j", "list", "set", "inet", "fw4", set]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listing: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let set = listing["nftables"].as_array().unwrap().iter().find_map(|object| object.get("set")).unwrap();
    let elements = set["elem"].as_array().cloned().unwrap_or_default();
    elements.iter().map(|element| element.as_str().unwrap_or_else(|| panic!("{element}")).to_owned()).collect()
}
