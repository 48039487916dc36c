//! A simulated DisWall service for the tests, the demo and the bench: the part behind a real
//! `nats-server` that keeps the lists, answers init requests and announces bans. It speaks NATS through
//! `async-nats`, so that the daemon's own NATS code meets another implementation's.
//!
//!     cargo run --example diswall_service -- nats://USER:PASSWORD@HOST:PORT [CA_FILE]
//!
//! With a file of certificate authorities it speaks TLS.
//!
//! Prints one JSON object a line: first `{"ready":true}`, then `{"done":COMMAND}` or
//! `{"error":TEXT,"command":COMMAND}` for every command, `{"asked":SUBJECT}` for every init request
//! (answered or not), `{"heard":SUBJECT,"body":TEXT}` for whatever else clients publish. Commands, one a
//! line on standard input; it ends with `quit` or with the input:
//!
//!     ban ADDRESS SECONDS      put it on the shared list and announce it (to the shared login only if
//!                              it is for more than a day, as the real service does)
//!     unban ADDRESS            take it off, and say so to every login seen so far
//!     put ADDRESS SECONDS      as ban, but announce nothing
//!     forget ADDRESS           as unban, but say nothing
//!     fill FIRST COUNT SECONDS put COUNT IPv4 addresses from FIRST on, announce nothing
//!     allow NET [SECONDS]      put it on the allow list, and say so
//!     disallow NET             take it off, and say so
//!     login NAME               count NAME as seen before it asks
//!     silence | speak          stop or go on answering init requests
//!     answer HEX               answer init requests for the block list with these bytes; without HEX
//!                              with the list again
//!     raw SUBJECT HEX          publish these bytes
//!     dump                     print {"bans":{ADDRESS:SECONDS,…},"allowed":{NET:SECONDS or null,…}}
//!     quit
//!
//! While the server is away, what announces something waits for it; the rest is done at once.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use diswall::feed::nats::wire::{self, DEFAULT_LOGIN, DEFAULT_SECONDS, MAX_SECONDS};
use futures_util::StreamExt;
use ipnet::IpNet;
use serde_json::{Value, json};

/// Bans the shared login hears of are for more than this many seconds.
const DAY: u64 = 86_400;
/// The host part of what the service itself publishes in the name of a login.
const HOST: &str = "service";

type Failure = Box<dyn Error + Send + Sync>;

struct Service {
    client: async_nats::Client,
    shared: BTreeMap<IpAddr, Instant>,
    own: BTreeMap<String, BTreeMap<IpAddr, Instant>>,
    allowed: BTreeMap<IpNet, Option<Instant>>,
    logins: BTreeSet<String>,
    silent: bool,
    answer: Option<Vec<u8>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let url = std::env::args().nth(1).ok_or("usage: diswall_service nats://USER:PASSWORD@HOST:PORT [CA_FILE]")?;
    let server: async_nats::ServerAddr = url.parse()?;
    let mut options =
        async_nats::ConnectOptions::new().no_echo().reconnect_delay_callback(|_| Duration::from_millis(100));
    // The library leaves the URL's user and password alone.
    if let (Some(user), Some(password)) = (server.username(), server.password()) {
        options = options.user_and_password(user.to_owned(), password.to_owned());
    }
    if let Some(ca_file) = std::env::args().nth(2) {
        options = options.add_root_certificates(ca_file.into()).require_tls(true);
    }
    let client = options.connect(server).await?;
    // One subscription for all, for only within one does async-nats keep the order of messages.
    let mut messages = client.subscribe("diswall.>").await?;
    client.flush().await?;
    let (sender, mut commands) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut service = Service {
        client,
        shared: BTreeMap::new(),
        own: BTreeMap::new(),
        allowed: BTreeMap::new(),
        logins: BTreeSet::new(),
        silent: false,
        answer: None,
    };
    print(&json!({"ready": true}));
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => service.message(message).await?,
                None => return Err("the connection is closed".into()),
            },
            command = commands.recv() => match command.as_deref().map(str::trim) {
                None | Some("quit") => break,
                Some(command) => match service.command(command).await {
                    Ok(()) => print(&json!({"done": command})),
                    Err(error) => print(&json!({"error": error.to_string(), "command": command})),
                },
            },
        }
    }
    service.client.flush().await?;
    Ok(())
}

fn print(line: &Value) {
    println!("{line}");
}

impl Service {
    async fn message(&mut self, message: async_nats::Message) -> Result<(), Failure> {
        let subject = message.subject.as_str();
        let parts: Vec<&str> = subject.split('.').collect();
        let ["diswall", kind, login, verb, _host] = parts[..] else { return Ok(()) };
        self.logins.insert(login.to_owned());
        if verb == "init" {
            print(&json!({"asked": subject}));
            if let (false, Some(reply)) = (self.silent, message.reply) {
                let body = match (kind, &self.answer) {
                    ("whitelist", _) => self.allow_list().into_bytes(),
                    (_, Some(answer)) => answer.clone(),
                    (_, None) => self.block_list(login).into_bytes(),
                };
                // Too long for the server's max_payload, above all: the real service only logs it too.
                if let Err(error) = self.client.publish(reply, body.into()).await {
                    print(&json!({"error": error.to_string()}));
                }
            }
            return Ok(());
        }
        print(&json!({"heard": subject, "body": String::from_utf8_lossy(&message.payload)}));
        let ladder = Instant::now() + Duration::from_secs(DEFAULT_SECONDS.into());
        match (kind, verb) {
            ("blacklist", "add") => {
                if let Ok((address, _)) = wire::shared_ban(&message.payload) {
                    self.own.entry(login.to_owned()).or_default().insert(address, ladder);
                }
            }
            ("blacklist", "del") => {
                if let (Ok(address), Some(own)) = (wire::unban(&message.payload), self.own.get_mut(login)) {
                    own.remove(&address);
                }
            }
            ("whitelist", "add") => {
                if let Ok(net) = wire::allowed(&message.payload) {
                    self.allowed.insert(net, None);
                }
            }
            ("whitelist", "del") => {
                if let Ok(net) = wire::allowed(&message.payload) {
                    self.allowed.remove(&net);
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn command(&mut self, line: &str) -> Result<(), Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ban", address, seconds] => {
                let address = self.put(address, seconds)?;
                let seconds: u64 = seconds.parse()?;
                let body = format!("{address}|{}", seconds.min(MAX_SECONDS.into()));
                self.publish("diswall.blacklist.new".into(), body.clone()).await?;
                if seconds > DAY {
                    self.publish(format!("diswall.blacklist.{DEFAULT_LOGIN}"), body).await?;
                }
            }
            ["unban", address] => {
                let address = self.forget(address)?;
                self.tell_logins("blacklist", "del", &address.to_string()).await?;
            }
            ["put", address, seconds] => {
                self.put(address, seconds)?;
            }
            ["forget", address] => {
                self.forget(address)?;
            }
            ["fill", first, count, seconds] => {
                let (first, end) = (u32::from(first.parse::<Ipv4Addr>()?), end(seconds)?);
                let addresses = (0..count.parse::<u32>()?).map(|n| Ipv4Addr::from(first.wrapping_add(n)));
                self.shared.extend(addresses.map(|address| (IpAddr::V4(address), end)));
            }
            ["allow", net] | ["allow", net, _] => {
                let net = parse_net(net)?;
                self.allowed.insert(net, words.get(2).map(|seconds| end(seconds)).transpose()?);
                self.tell_logins("whitelist", "add", &shown(net)).await?;
            }
            ["disallow", net] => {
                let net = parse_net(net)?;
                self.allowed.remove(&net);
                self.tell_logins("whitelist", "del", &shown(net)).await?;
            }
            ["login", name] => {
                self.logins.insert(name.to_owned());
            }
            ["silence"] => self.silent = true,
            ["speak"] => self.silent = false,
            ["answer"] => self.answer = None,
            ["answer", hex] => self.answer = Some(bytes(hex)?),
            ["raw", subject, hex] => self.publish(subject.to_owned(), bytes(hex)?).await?,
            ["dump"] => self.dump(),
            _ => return Err("no such command; the head of examples/diswall_service.rs lists them".into()),
        }
        Ok(())
    }

    async fn publish(&self, subject: String, body: impl Into<Vec<u8>>) -> Result<(), Failure> {
        self.client.publish(subject, body.into().into()).await?;
        Ok(self.client.flush().await?)
    }

    async fn tell_logins(&self, kind: &str, verb: &str, body: &str) -> Result<(), Failure> {
        for login in self.logins.iter().filter(|login| *login != DEFAULT_LOGIN) {
            self.publish(format!("diswall.{kind}.{login}.{verb}.{HOST}"), body.to_owned()).await?;
        }
        Ok(())
    }

    fn put(&mut self, address: &str, seconds: &str) -> Result<IpAddr, Failure> {
        let address = address.parse()?;
        self.shared.insert(address, end(seconds)?);
        Ok(address)
    }

    fn forget(&mut self, address: &str) -> Result<IpAddr, Failure> {
        let address = address.parse()?;
        self.shared.remove(&address);
        Ok(address)
    }

    /// The shared list and the login's own, joined by an empty line as the real service does.
    fn block_list(&self, login: &str) -> String {
        let least = if login == DEFAULT_LOGIN { DAY } else { 1 };
        let mut body = String::new();
        lines(&mut body, &self.shared, least);
        body.push('\n');
        if let Some(own) = self.own.get(login) {
            lines(&mut body, own, least);
        }
        body
    }

    fn allow_list(&self) -> String {
        let mut body = String::new();
        for (net, end) in &self.allowed {
            let _ = match end.map(left) {
                Some(0) => Ok(()),
                Some(seconds) => writeln!(body, "{} timeout {seconds}", shown(*net)),
                None => writeln!(body, "{}", shown(*net)),
            };
        }
        body
    }

    fn dump(&self) {
        let bans = self.shared.iter().filter(|(_, end)| left(**end) > 0);
        let bans: BTreeMap<_, _> = bans.map(|(address, end)| (address.to_string(), left(*end))).collect();
        let allowed: BTreeMap<_, _> = self.allowed.iter().map(|(net, end)| (shown(*net), end.map(left))).collect();
        print(&json!({"bans": bans, "allowed": allowed}));
    }
}

fn lines(body: &mut String, bans: &BTreeMap<IpAddr, Instant>, least: u64) {
    for (address, end) in bans {
        let seconds = left(*end);
        if seconds >= least {
            let _ = writeln!(body, "{address} timeout {}", seconds.min(MAX_SECONDS.into()));
        }
    }
}

fn end(seconds: &str) -> Result<Instant, Failure> {
    Ok(Instant::now() + Duration::from_secs(seconds.parse::<u32>()?.into()))
}

/// Seconds until then, rounded to the nearest, so that a fresh ban keeps its number.
fn left(end: Instant) -> u64 {
    (end.saturating_duration_since(Instant::now()) + Duration::from_millis(500)).as_secs()
}

fn parse_net(text: &str) -> Result<IpNet, Failure> {
    Ok(wire::allowed(text.as_bytes())?)
}

/// A single address without its prefix length, as clients write it.
fn shown(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

fn bytes(hex: &str) -> Result<Vec<u8>, Failure> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err("an odd number of hexadecimal digits".into());
    }
    let byte = |pair: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    digits.chunks(2).map(byte).collect()
}
