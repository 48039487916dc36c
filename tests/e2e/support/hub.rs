//! A nats-server with JetStream (2.11 or newer) and a simulated hub on it, for what the real one does not do when it
//! is told to: leave changes out, fall silent, lie. It keeps its bans in the real bucket.

use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

use super::nats_server::{DEADLINE, PORT, settings};
use super::{Proc, run, wait_until};
use diswall::feed::nats;

/// A user's key: the seed and its public half.
pub const SEED: &str = "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ";
const PUBLIC: &str = "UB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGJBFE";

/// Seconds between the simulated hub's signs of life.
pub const HEARTBEAT: u64 = 1;

/// The program: `nats-server` of at least 2.11, which Debian 12 does not have.
fn program() -> PathBuf {
    PathBuf::from(run("sh", &["tests/parts/nats.sh", "target"]).trim())
}

/// A running nats-server with JetStream.
pub struct Fleet {
    directory: TempDir,
    process: Option<Proc>,
}

impl Fleet {
    /// Starts one.
    pub fn start() -> Fleet {
        let directory = TempDir::new().expect("a directory");
        let router = |login: &str| {
            format!(
                "{{ user: \"{login}\", password: \"wonder\", permissions: {{
                    publish: [\"diswall.*.{login}.*.*\", \"diswall.hub.hello\", \"$JS.API.DIRECT.GET.KV_diswall_bans\"]
                    subscribe: [\"_INBOX.>\", \"diswall.hub.changes\", \"diswall.blacklist.new\",
                                \"diswall.*.{login}.*.*\", \"diswall.blacklist.*.add.*\"] }} }}\n"
            )
        };
        let mut routers: String = ["alice", "bob", "carol", "mallory"].map(router).concat();
        // The same as alice's, by a key in place of a password.
        routers.push_str(&router("alice").replace("user: \"alice\", password: \"wonder\"", &format!("nkey: {PUBLIC}")));
        let text = format!(
            "host: \"127.0.0.1\"\nport: {PORT}\njetstream {{ store_dir: \"{}\" }}\nauthorization {{ users = [\n\
             {{ user: \"service\", password: \"secret\" }}\n{routers}] }}\n",
            directory.path().join("js").display()
        );
        std::fs::write(directory.path().join("nats.conf"), text).expect("a written configuration");
        let mut fleet = Fleet { directory, process: None };
        fleet.resume();
        fleet
    }

    /// Loses all that it keeps; it does not run.
    pub fn lose_everything(&self) {
        std::fs::remove_dir_all(self.directory.path().join("js")).expect("what it kept");
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again and waits until it listens.
    pub fn resume(&mut self) {
        self.resume_at(PORT);
    }

    /// Starts it where routers do not look for it.
    pub fn resume_at(&mut self, port: u16) {
        let mut command = Command::new(program());
        command.arg("-c").arg(self.directory.path().join("nats.conf")).args(["-p", &port.to_string()]);
        self.process = Some(Proc::spawn(&command));
        wait_until(DEADLINE, "nats-server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }
}

/// The settings of a router of the fleet.
pub fn router(login: &str) -> nats::Settings {
    settings(login, "wonder")
}

/// What the simulated hub is told to do.
enum Order {
    Ban(IpAddr, u32, String, bool),
    Fill(u32, u32, u32),
    Purge(IpAddr, bool),
    Revoke(String, bool),
    Tell(u64, u64, String),
    Publish(String, String),
    Silence(bool),
    Sequence,
}

/// The simulated hub, in a thread of its own.
pub struct Hub {
    orders: mpsc::UnboundedSender<(Order, oneshot::Sender<u64>)>,
}

impl Hub {
    /// Starts one that answers.
    pub fn start() -> Hub {
        Hub::start_at(PORT)
    }

    /// Starts one at a nats-server elsewhere.
    pub fn start_at(port: u16) -> Hub {
        let (orders, receiver) = mpsc::unbounded_channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(port, receiver));
        });
        let hub = Hub { orders };
        hub.order(Order::Sequence);
        hub
    }

    /// Bans and tells of it; `told` false: as if the message were lost.
    pub fn ban(&self, address: &str, seconds: u32, reason: &str, told: bool) {
        self.order(Order::Ban(address.parse().expect("an address"), seconds, reason.into(), told));
    }

    /// Bans so many IPv4 addresses from this one on, without telling.
    pub fn fill(&self, first: &str, count: u32, seconds: u32) {
        let first: std::net::Ipv4Addr = first.parse().expect("an address");
        self.order(Order::Fill(first.to_bits(), count, seconds));
    }

    /// Takes a ban back.
    pub fn purge(&self, address: &str, told: bool) {
        self.order(Order::Purge(address.parse().expect("an address"), told));
    }

    /// Takes a login's word no more, or does again.
    pub fn revoke(&self, login: &str, revoked: bool) {
        self.order(Order::Revoke(login.into(), revoked));
    }

    /// Says that it tells of what came after `from` up to `to`.
    pub fn tell(&self, from: u64, to: u64, lines: &str) {
        self.order(Order::Tell(from, to, lines.into()));
    }

    /// Publishes anything.
    pub fn publish(&self, subject: &str, body: &str) {
        self.order(Order::Publish(subject.into(), body.into()));
    }

    /// Answers nothing and says nothing from now on, or does again.
    pub fn silence(&self, silent: bool) {
        self.order(Order::Silence(silent));
    }

    /// The sequence up to which it has told.
    pub fn sequence(&self) -> u64 {
        self.order(Order::Sequence)
    }

    fn order(&self, order: Order) -> u64 {
        let (done, answer) = oneshot::channel();
        self.orders.send((order, done)).expect("the hub runs");
        answer.blocking_recv().expect("the hub runs")
    }
}

struct State {
    client: async_nats::Client,
    told: u64,
    born: String,
}

async fn serve(port: u16, mut orders: mpsc::UnboundedReceiver<(Order, oneshot::Sender<u64>)>) {
    let options = async_nats::ConnectOptions::with_user_and_password("service".into(), "secret".into());
    let client = options.connect(format!("127.0.0.1:{port}")).await.expect("a connection");
    let bucket = json!({
        "name": "KV_diswall_bans", "subjects": ["$KV.diswall_bans.>"], "max_msgs_per_subject": 1, "storage": "file",
        "allow_msg_ttl": true, "subject_delete_marker_ttl": 60_000_000_000_u64, "allow_direct": true,
        "allow_rollup_hdrs": true, "discard": "new", "retention": "limits", "num_replicas": 1,
    });
    let made = client.request("$JS.API.STREAM.CREATE.KV_diswall_bans", bucket.to_string().into()).await;
    let made: Value = serde_json::from_slice(&made.expect("an answer").payload).expect("JSON");
    assert!(made["error"].is_null(), "{made}");
    let mut hello = Some(client.subscribe("diswall.hub.hello").await.expect("a subscription"));
    let mut inits = client.subscribe("diswall.whitelist.*.init.*").await.expect("a subscription");
    // When the stream was made, as far as a number holds it: whoever compares needs no more.
    let born =
        made["created"].as_str().expect("a time").chars().filter(char::is_ascii_digit).skip(4).take(15).collect();
    let told = made["state"]["last_seq"].as_u64().expect("a number");
    let mut state = State { client, told, born };
    let mut heartbeat = tokio::time::interval(Duration::from_secs(HEARTBEAT));
    loop {
        tokio::select! {
            Some(asked) = async { match &mut hello { Some(hello) => hello.next().await, None => std::future::pending().await } } => {
                let text = format!(
                    "diswall-hub 1\nseq {}\nborn {}\ntime {}\nstream KV_diswall_bans\nsubject $KV.diswall_bans.>\n\
                     heartbeat {HEARTBEAT}\nquorum 2\n",
                    state.told, state.born, now()
                );
                if let Some(reply) = asked.reply {
                    state.client.publish(reply, text.into()).await.expect("sent");
                }
            }
            Some(asked) = inits.next() => {
                if let Some(reply) = asked.reply {
                    state.client.publish(reply, "192.0.2.0/24\n".into()).await.expect("sent");
                }
            }
            _ = heartbeat.tick() => if hello.is_some() { state.tell(state.told, state.told, "").await },
            order = orders.recv() => {
                let Some((order, done)) = order else { return };
                if let Order::Silence(silent) = order {
                    hello = None;
                    if !silent {
                        hello = Some(state.client.subscribe("diswall.hub.hello").await.expect("a subscription"));
                    }
                }
                state.obey(order).await;
                state.client.flush().await.expect("sent");
                let _ = done.send(state.told);
            }
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

fn key(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("$KV.diswall_bans.v4.{address}"),
        IpAddr::V6(address) => format!("$KV.diswall_bans.v6.{:032x}", address.to_bits()),
    }
}

impl State {
    async fn obey(&mut self, order: Order) {
        match order {
            Order::Ban(address, seconds, reason, told) => {
                let sequence = self.put(address, seconds, &reason).await;
                if told {
                    self.tell(self.told, sequence, &format!("+{address} {seconds} {reason}\n")).await;
                }
                self.told = sequence;
            }
            Order::Fill(first, count, seconds) => {
                for n in 0..count {
                    let address = IpAddr::V4((first + n).into());
                    if n + 1 == count {
                        self.told = self.put(address, seconds, "fill").await;
                        break;
                    }
                    let (subject, headers) = (key(address), ttl(seconds));
                    let body = format!("{seconds}|fill|1").into();
                    self.client.publish_with_headers(subject, headers, body).await.expect("sent");
                }
            }
            Order::Revoke(login, revoked) => {
                let subject = format!("$KV.diswall_bans.revoked.{login}");
                let headers = if revoked { HeaderMap::new() } else { purge() };
                let sequence = self.request(subject, headers, if revoked { "1" } else { "" }).await;
                self.tell(self.told, sequence, &format!("{}{login}\n", if revoked { '!' } else { '~' })).await;
                self.told = sequence;
            }
            Order::Purge(address, told) => {
                let sequence = self.request(key(address), purge(), "").await;
                if told {
                    self.tell(self.told, sequence, &format!("-{address}\n")).await;
                }
                self.told = sequence;
            }
            Order::Tell(from, to, lines) => {
                self.tell(from, to, &lines).await;
                self.told = to;
            }
            Order::Publish(subject, body) => self.client.publish(subject, body.into()).await.expect("sent"),
            Order::Silence(_) | Order::Sequence => {}
        }
    }

    async fn put(&mut self, address: IpAddr, seconds: u32, reason: &str) -> u64 {
        self.request(key(address), ttl(seconds), &format!("{seconds}|{reason}|1")).await
    }

    async fn request(&mut self, subject: String, headers: HeaderMap, body: &str) -> u64 {
        let answer = self.client.request_with_headers(subject, headers, body.to_owned().into()).await;
        let answer: Value = serde_json::from_slice(&answer.expect("an answer").payload).expect("JSON");
        answer["seq"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    }

    async fn tell(&self, from: u64, to: u64, lines: &str) {
        let body = format!("{from} {to} {}\n{lines}", now());
        let mut headers = HeaderMap::new();
        headers.insert("Diswall-Born", self.born.as_str());
        self.client.publish_with_headers("diswall.hub.changes", headers, body.into()).await.expect("sent");
    }
}

fn purge() -> HeaderMap {
    let mut headers = ttl(60);
    headers.insert("KV-Operation", "PURGE");
    headers.insert("Nats-Rollup", "sub");
    headers
}

fn ttl(seconds: u32) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-TTL", seconds.to_string());
    headers
}
