//! Much at a time: thousands of bans, and a stream without room.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream;

use crate::support::{Site, wait_for};

const POT: &str = "[trust]\nhoneypots = [\"pot\"]\n";

#[tokio::test]
async fn many_bans_are_told_whole_and_cost_the_hub_little() {
    const MANY: u32 = 20_000;
    let mut site = Site::new(&["alice"]).await;
    let hub = site.hub("").await;
    let mut alice = site.router("alice").await;
    let streams = jetstream::new(site.owner().await);
    let mut acknowledged = Vec::new();
    for number in 0..MANY {
        let subject = format!("$KV.diswall_bans.v4.{}", std::net::Ipv4Addr::from_bits(0x2d00_0000 + number));
        let mut headers = HeaderMap::new();
        headers.insert("Nats-TTL", "604800");
        acknowledged.push(streams.publish_with_headers(subject, headers, "604800|ssh|8".into()).await.unwrap());
        if acknowledged.len() == 1000 {
            for answer in acknowledged.drain(..) {
                answer.await.unwrap();
            }
        }
    }
    alice.until("all are told", |bans| bans.len() == MANY as usize).await;
    assert!(alice.is_whole());
    assert_eq!(site.run(&["bans"]).await.lines().count(), MANY as usize);
    let list = alice.init("black").await;
    let lines = list.lines().filter(|line| line.contains(" timeout ")).count();
    assert!(list.len() < 1 << 20 && lines == MANY as usize, "{} bytes, {lines} lines", list.len());
    assert!(hub.memory() < 40_000, "{} KB", hub.memory());
}

#[tokio::test]
async fn a_full_stream_is_said_once_and_loses_nothing_that_is_there() {
    let mut site = Site::new(&["alice", "pot"]).await;
    let hub = site.hub(POT).await;
    let (mut alice, pot) = (site.router("alice").await, site.router("pot").await);
    pot.report("203.0.113.1", "ssh").await;
    alice.until("it is banned", |bans| bans.len() == 1).await;
    let streams = jetstream::new(site.owner().await);
    let resize = async |bytes| {
        let mut config = streams.get_stream("KV_diswall_bans").await.unwrap().cached_info().config.clone();
        config.max_bytes = bytes;
        streams.update_stream(config).await.unwrap();
    };
    resize(150).await;
    for number in 2..10 {
        pot.report(&format!("203.0.113.{number}"), "ssh").await;
    }
    wait_for("it is said", async || hub.said().contains("KV_diswall_bans is full")).await;
    wait_for("all are judged", async || site.run(&["check", "203.0.113.9"]).await.contains("reported by pot")).await;
    assert_eq!(hub.said().matches("is full").count(), 1, "{}", hub.said());
    assert!(site.run(&["bans"]).await.starts_with("203.0.113.1 "));
    resize(1 << 20).await;
    pot.report("203.0.113.9", "ssh").await;
    alice.until("there is room again", |bans| bans.contains_key("203.0.113.9")).await;
    assert!(!alice.take(Duration::ZERO).await || alice.is_whole());
}

#[tokio::test]
async fn where_no_report_can_be_kept_nobody_is_freed_or_banned_and_it_is_said() {
    let mut site = Site::new(&["alice", "bob", "carol"]).await;
    let hub = site.hub("").await;
    let (alice, bob, mut carol) = (site.router("alice").await, site.router("bob").await, site.router("carol").await);
    alice.report("203.0.113.1", "ssh").await;
    bob.report("203.0.113.1", "ssh").await;
    carol.until("it is banned", |bans| bans.len() == 1).await;
    alice.report("203.0.113.2", "ssh").await;
    wait_for("alice is heard", async || site.run(&["check", "203.0.113.2"]).await.contains("alice")).await;
    let streams = jetstream::new(site.owner().await);
    let resize = async |bytes| {
        let mut config = streams.get_stream("KV_diswall_claims").await.unwrap().cached_info().config.clone();
        config.max_bytes = bytes;
        streams.update_stream(config).await.unwrap();
    };
    resize(100).await;
    for number in 2..10 {
        bob.report(&format!("203.0.113.{number}"), "ssh").await;
    }
    wait_for("it is said", async || hub.said().contains("KV_diswall_claims is full")).await;
    assert_eq!(hub.said().matches("is full").count(), 1, "{}", hub.said());
    assert_eq!(site.run(&["bans"]).await.lines().count(), 1);
    let check = site.run(&["check", "203.0.113.2"]).await;
    assert!(check.contains("is not banned") && check.contains("reported by alice"), "{check}");
    // What was said before counts once there is room.
    resize(1 << 20).await;
    bob.report("203.0.113.2", "ssh").await;
    carol.until("there is room again", |bans| bans.contains_key("203.0.113.2")).await;
    assert!(carol.is_whole());
}
