//! A router as the hub sees it: it reports, hears changes, asks for lists.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use async_nats::{Client, Subscriber};
use futures_util::StreamExt;

use super::DEADLINE;

/// See the module's head.
pub struct Router {
    pub client: Client,
    pub login: String,
    changes: Subscriber,
    new: Subscriber,
    /// What is banned, as far as changes told: address, seconds and reason.
    pub bans: BTreeMap<String, String>,
    /// Logins that were revoked, as far as changes told.
    pub revoked: BTreeSet<String>,
    /// FROM and TO of every message.
    pub told: Vec<(u64, u64)>,
}

impl Router {
    /// Connects and hears what changes.
    pub async fn connect(port: u16, login: &str, password: &str) -> Router {
        let options = async_nats::ConnectOptions::with_user_and_password(login.into(), password.into());
        let options = options.custom_inbox_prefix(format!("_INBOX.{login}"));
        let options = options.reconnect_delay_callback(|_| Duration::from_millis(50));
        let client = options.connect(format!("127.0.0.1:{port}")).await.unwrap();
        let (changes, new) = if login == "default" {
            (
                client.subscribe("diswall.blacklist.default").await.unwrap(),
                client.subscribe("_INBOX.none").await.unwrap(),
            )
        } else {
            (
                client.subscribe("diswall.hub.changes").await.unwrap(),
                client.subscribe("diswall.blacklist.new").await.unwrap(),
            )
        };
        client.flush().await.unwrap();
        let (bans, revoked, told) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Router { client, login: login.to_owned(), changes, new, bans, revoked, told }
    }

    /// Publishes on a subject of its own: list, verb, body.
    pub async fn say(&self, list: &str, verb: &str, body: &str) {
        let subject = format!("diswall.{list}list.{}.{verb}.router", self.login);
        self.client.publish(subject, body.to_owned().into()).await.unwrap();
        self.client.flush().await.unwrap();
    }

    /// Reports an address.
    pub async fn report(&self, address: &str, tag: &str) {
        self.say("black", "add", &format!("{address}|{tag}")).await;
    }

    /// Asks for a list.
    pub async fn init(&self, list: &str) -> String {
        let subject = format!("diswall.{list}list.{}.init.router", self.login);
        let ask = async_nats::Request::new().payload("empty".into()).timeout(Some(DEADLINE));
        let reply = self.client.send_request(subject, ask).await.unwrap();
        String::from_utf8(reply.payload.to_vec()).unwrap()
    }

    /// Greets the hub: the lines of its answer.
    pub async fn hello(&self) -> BTreeMap<String, String> {
        let reply = self.client.request("diswall.hub.hello", "1".into()).await.unwrap();
        let text = String::from_utf8(reply.payload.to_vec()).unwrap();
        text.lines().filter_map(|line| line.split_once(' ')).map(|(key, value)| (key.into(), value.into())).collect()
    }

    /// Takes one message with changes.
    pub async fn take(&mut self, within: Duration) -> bool {
        let Ok(Some(message)) = tokio::time::timeout(within, self.changes.next()).await else { return false };
        let text = String::from_utf8(message.payload.to_vec()).unwrap();
        let mut lines = text.lines();
        let mut numbers = lines.next().unwrap().split(' ').map(|number| number.parse::<u64>().unwrap());
        self.told.push((numbers.next().unwrap(), numbers.next().unwrap()));
        for line in lines {
            let (sign, rest) = line.split_at(1);
            let (address, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            match sign {
                "+" => drop(self.bans.insert(address.to_owned(), rest.to_owned())),
                "-" => drop(self.bans.remove(address)),
                "!" => drop(self.revoked.insert(address.to_owned())),
                "~" => drop(self.revoked.remove(address)),
                _ => panic!("{line}"),
            }
        }
        true
    }

    /// Hears changes until a condition holds; how long it took.
    pub async fn until(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&BTreeMap<String, String>) -> bool,
    ) -> Duration {
        let start = Instant::now();
        while !condition(&self.bans) {
            let left = DEADLINE.saturating_sub(start.elapsed());
            assert!(self.take(left).await, "waited in vain: {what}; {:?}", self.bans);
        }
        start.elapsed()
    }

    /// The next that is announced to routers that know no hub.
    pub async fn announced(&mut self) -> String {
        let from = if self.login == "default" { &mut self.changes } else { &mut self.new };
        let message = tokio::time::timeout(DEADLINE, from.next()).await.expect("nothing is announced").unwrap();
        String::from_utf8(message.payload.to_vec()).unwrap()
    }

    /// Whether the messages heard have no hole.
    pub fn is_whole(&self) -> bool {
        self.told.windows(2).all(|two| two[1].0 == two[0].1)
    }
}
