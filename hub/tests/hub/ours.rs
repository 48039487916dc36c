//! Our own routers' part that speaks NATS, unmodified, on both sides of the hub.

use std::net::IpAddr;
use std::time::Duration;

use diswall::model::Source;
use tokio::task::LocalSet;

use crate::support::{Ours, Site, wait_for};

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
