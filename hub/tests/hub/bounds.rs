//! Slips of the owner's, and whoever tries how much one may have: bounds hold, and are said.

use std::collections::BTreeSet;

use async_nats::jetstream;
use futures_util::TryStreamExt;

use crate::support::{Site, wait_for};

/// The keys of a bucket that a filter names.
async fn keys(owner: &async_nats::Client, bucket: &str, filter: &str) -> BTreeSet<String> {
    let stream = jetstream::new(owner.clone()).get_stream(format!("KV_{bucket}")).await.unwrap();
    let subjects = stream.info_with_subjects(format!("$KV.{bucket}.{filter}")).await.unwrap();
    subjects.map_ok(|(subject, _)| subject).try_collect().await.unwrap()
}

#[tokio::test]
async fn a_slip_of_the_pen_revokes_nobody() {
    let mut site = Site::new(&["alice", "bob"]).await;
    let hub = site.hub("").await;
    let (alice, bob) = (site.router("alice").await, site.router("bob").await);
    alice.init("white").await;
    bob.init("white").await;
    wait_for("both are known", async || site.run(&["status"]).await.contains("2 reporters")).await;
    let told = site.command("hub", &["revoke", "alcie"]).unwrap_err();
    assert!(told.contains("alcie") && told.contains("alice, bob") && told.contains("--anyway"), "{told}");
    assert!(site.command("hub", &["revoke", "--undo", "alcie"]).unwrap_err().contains("alice, bob"));
    assert!(site.run(&["status"]).await.contains("2 reporters, 0 revoked"));
    // A login that nats-server has and that never said a word.
    let told = site.run(&["revoke", "--anyway", "carol"]).await;
    assert_eq!(told, "carol is revoked: 0 reports taken back, 0 bans ended\n");
    assert!(site.run(&["status"]).await.contains("3 reporters, 1 revoked: carol"));
    assert!(site.run(&["revoke", "--undo", "carol"]).await.contains("believed again"));
    assert!(!hub.said().contains("warn"), "{}", hub.said());
}

#[tokio::test]
async fn a_login_has_so_many_routers_and_no_more() {
    let mut site = Site::new(&["alice", "mallory"]).await;
    let hub = site.hub("").await;
    let (alice, mallory) = (site.router("alice").await, site.router("mallory").await);
    let statistics = r#"{"time":1,"banned":2}"#;
    let mut number = 0;
    wait_for("mallory's are said to be too many", async || {
        for _ in 0..20 {
            number += 1;
            let subject = format!("diswall.stats.mallory.add.host{number}");
            mallory.client.publish(subject, statistics.into()).await.unwrap();
            let subject = format!("diswall.blacklist.mallory.init.more{number}");
            mallory.client.publish_with_reply(subject, "_INBOX.mallory.x", "empty".into()).await.unwrap();
        }
        mallory.client.flush().await.unwrap();
        hub.said().contains("mallory: more than 256 routers")
    })
    .await;
    alice.client.publish("diswall.stats.alice.add.turris", statistics.into()).await.unwrap();
    alice.client.flush().await.unwrap();
    let owner = site.owner().await;
    wait_for("alice's is there", async || keys(&owner, "diswall_routers", "alice.*").await.len() == 1).await;
    assert_eq!(keys(&owner, "diswall_routers", "mallory.*").await.len(), 256);
    assert_eq!(hub.said().matches("more than 256 routers").count(), 1, "{}", hub.said());
    // Whatever is only shown costs a login none of its reports.
    mallory.report("203.0.113.7", "").await;
    wait_for("it is heard", async || site.run(&["check", "203.0.113.7"]).await.contains("mallory")).await;
}

#[tokio::test]
async fn what_is_taken_back_does_not_come_back() {
    const MANY: u32 = 300;
    let mut site = Site::new(&["alice", "bob"]).await;
    let more = "[trust]\nbans_per_hour = 100000\n";
    let (_first, _second) = (site.hub(more).await, site.hub(more).await);
    let (alice, bob, owner) = (site.router("alice").await, site.router("bob").await, site.owner().await);
    let address = |number: u32| std::net::Ipv4Addr::from_bits(0x2d00_0000 + number).to_string();
    // Bans so long that what they stand on must be kept longer than it would be.
    for number in 0..MANY {
        let subject = format!("$KV.diswall_counts.v4.{}", address(number));
        owner.publish(subject, "8".into()).await.unwrap();
        alice.client.publish("diswall.blacklist.alice.add.h", address(number).into()).await.unwrap();
    }
    let claims = async |login: &str| keys(&owner, "diswall_claims", &format!("*.*.*.*.*.{login}")).await.len();
    wait_for("alice is heard", async || claims("alice").await == MANY as usize).await;
    for number in 0..MANY {
        bob.client.publish("diswall.blacklist.bob.add.h", address(number).into()).await.unwrap();
        alice.client.publish("diswall.blacklist.alice.del.h", address(number).into()).await.unwrap();
    }
    wait_for("bob is heard", async || claims("bob").await == MANY as usize).await;
    wait_for("nothing of alice's is left", async || claims("alice").await == 0).await;
    wait_for("nor a ban that stood on it", async || site.run(&["bans"]).await.is_empty()).await;
}
