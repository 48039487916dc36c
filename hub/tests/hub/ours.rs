//! Our own routers' part that speaks NATS, unmodified, on both sides of the hub.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use diswall::feed::intake::Intake;
use diswall::feed::nats::{Publisher, Settings, start};
use diswall::feed::{FeedState, Handle, Update};
use diswall::model::{Event, Source};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::support::{DEADLINE, Site, wait_for};

/// A router's feed, and what it posted.
struct Ours {
    updates: mpsc::Receiver<(Source, Update)>,
    publisher: Publisher,
    _handle: Handle,
    bans: BTreeSet<IpAddr>,
    allowed: BTreeSet<String>,
    state: Option<FeedState>,
}

impl Ours {
    fn start(site: &Site, login: &str) -> Ours {
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
        Ours { updates, publisher, _handle: handle, bans: BTreeSet::new(), allowed: BTreeSet::new(), state: None }
    }

    async fn until(&mut self, what: &str, mut done: impl FnMut(&Ours) -> bool) -> Duration {
        let start = Instant::now();
        while !done(self) {
            let update = tokio::time::timeout(DEADLINE, self.updates.recv()).await;
            let state = &self.state;
            match update.unwrap_or_else(|_| panic!("{what}: {:?}, {state:?}", self.bans)).unwrap().1 {
                Update::State(state) => self.state = Some(state),
                Update::Event(Event::List { list, .. }) => {
                    let v4 = list.v4.iter().map(|entry| IpAddr::V4(entry.address));
                    self.bans = v4.chain(list.v6.iter().map(|entry| IpAddr::V6(entry.address))).collect();
                }
                Update::Event(Event::Ban { net, .. }) => drop(self.bans.insert(net.addr())),
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

    async fn live(&mut self) {
        self.until("it is live", |ours| ours.state == Some(FeedState::Live)).await;
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn our_own_routers_share_their_bans_by_it() {
    let mut site = Site::new(&["alice", "bob", "carol"]).await;
    let _hub = site.hub("").await;
    let tasks = LocalSet::new();
    tasks
        .run_until(async {
            let (mut alice, mut bob) = (Ours::start(&site, "alice"), Ours::start(&site, "bob"));
            alice.live().await;
            bob.live().await;
            for address in ["203.0.113.7", "2001:db9::7", "203.0.113.8"] {
                alice.publisher.ban(Source::SCAN, ip(address), ip(address), "ssh");
                bob.publisher.ban(Source::SCAN, ip(address), ip(address), "telnet");
            }
            alice.until("alice has them", |ours| ours.bans.len() == 3).await;
            bob.until("bob has them", |ours| ours.bans.len() == 3).await;
            // A newcomer takes the list from the bucket.
            let mut carol = Ours::start(&site, "carol");
            carol.live().await;
            carol.until("carol has them", |ours| ours.bans.len() == 3).await;
            wait_for("carol is known", async || site.run(&["status"]).await.contains("3 reporters")).await;
            site.run(&["allow", "203.0.113.8"]).await;
            carol.until("it is free", |ours| ours.bans.len() == 2 && ours.allowed.contains("203.0.113.8/32")).await;
            let (told, took) = tokio::join!(
                site.run(&["revoke", "bob"]),
                carol.until("what bob said is taken back", |ours| ours.bans.is_empty())
            );
            assert!(told.contains("2 bans ended") && took < Duration::from_secs(1), "{told} {took:?}");
        })
        .await;
}
