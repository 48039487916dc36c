//! The part of our own routers that speaks NATS, and what it posts to the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use diswall::feed::intake::Intake;
use diswall::feed::nats::{Publisher, Settings, start};
use diswall::feed::{FeedState, Handle, Update};
use diswall::model::{Event, Lifetime, Source};
use tokio::sync::mpsc;

use super::{DEADLINE, Site};

/// See the module's head.
pub struct Ours {
    updates: mpsc::Receiver<(Source, Update)>,
    pub publisher: Publisher,
    _handle: Handle,
    /// Who is banned, and for how many seconds it was when it was posted.
    pub bans: BTreeMap<IpAddr, u64>,
    pub allowed: BTreeSet<String>,
    pub state: Option<FeedState>,
}

impl Ours {
    /// Starts it.
    pub fn start(site: &Site, login: &str) -> Ours {
        let settings = Settings {
            servers: vec!["127.0.0.1".into()],
            port: site.port,
            client_name: login.into(),
            client_pass: site.password(login),
            share_bans: true,
            send_statistics: true,
            ..Settings::default()
        };
        let (sender, updates) = mpsc::channel(64);
        let (handle, publisher) = start(&settings, "turris.lan", Intake::new(1 << 17, |_| true), sender);
        Ours { updates, publisher, _handle: handle, bans: BTreeMap::new(), allowed: BTreeSet::new(), state: None }
    }

    /// Takes what it posts until a condition holds; how long it took.
    pub async fn until(&mut self, what: &str, mut done: impl FnMut(&Ours) -> bool) -> Duration {
        let start = Instant::now();
        while !done(self) {
            let update = tokio::time::timeout(DEADLINE, self.updates.recv()).await;
            let state = &self.state;
            match update.unwrap_or_else(|_| panic!("{what}: {:?}, {state:?}", self.bans)).unwrap().1 {
                Update::State(state) => self.state = Some(state),
                Update::Event(Event::List { list, .. }) => {
                    let v4 = list.v4.iter().map(|entry| (IpAddr::V4(entry.address), seconds(entry.lifetime)));
                    let v6 = list.v6.iter().map(|entry| (IpAddr::V6(entry.address), seconds(entry.lifetime)));
                    self.bans = v4.chain(v6).collect();
                }
                Update::Event(Event::Ban { net, lifetime, .. }) => {
                    self.bans.insert(net.addr(), seconds(lifetime));
                }
                Update::Event(Event::Unban { net, .. }) => drop(self.bans.remove(&net.addr())),
                Update::Event(Event::AllowList { list, .. }) => {
                    self.allowed = list.into_iter().map(|entry| entry.net.to_string()).collect();
                }
                Update::Event(Event::Allow { entry, .. }) => drop(self.allowed.insert(entry.net.to_string())),
                _ => {}
            }
        }
        start.elapsed()
    }

    /// Waits until it follows.
    pub async fn live(&mut self) {
        self.until("it is live", |ours| ours.state == Some(FeedState::Live)).await;
    }
}

fn seconds(lifetime: Lifetime) -> u64 {
    lifetime.seconds().unwrap_or(u64::MAX)
}
