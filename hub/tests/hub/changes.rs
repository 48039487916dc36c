//! What routers are told, and when; by whichever hub.

use std::time::Duration;

use crate::support::{Site, wait_for};

const POT: &str = "[trust]\nhoneypots = [\"pot\"]\nbans_per_hour = 100000\n";

#[tokio::test]
async fn old_routers_get_lists_and_announcements() {
    let mut site = Site::new(&["alice", "pot"]).await;
    let _hub = site.hub(POT).await;
    let (mut alice, pot, mut shared) =
        (site.router("alice").await, site.router("pot").await, site.router("default").await);
    pot.report("203.0.113.7", "ssh").await;
    assert_eq!(alice.announced().await, "203.0.113.7|900");
    // Bans that came and went: the ladder's ninth step is for a week.
    let owner = site.owner().await;
    owner.request("$KV.diswall_counts.v4.203.0.113.8", "8".into()).await.unwrap();
    pot.report("203.0.113.8", "ssh").await;
    assert_eq!(alice.announced().await, "203.0.113.8|604800");
    assert_eq!(shared.announced().await, "203.0.113.8|604800");
    wait_for("the list is there", async || alice.init("black").await.contains("203.0.113.8 timeout 60")).await;
    assert!(alice.init("black").await.contains("203.0.113.7 timeout "));
    assert!(shared.init("black").await.starts_with("203.0.113.8 timeout "));
    // Allowances have no end, and are the login's own.
    alice.say("white", "add", "192.0.2.0/24").await;
    // Twice, so that the answer is more than one line.
    wait_for("the allowance is kept", async || alice.init("white").await == "192.0.2.0/24\n192.0.2.0/24").await;
    assert_eq!(pot.init("white").await, "");
    alice.say("white", "del", "192.0.2.0/24").await;
    wait_for("it is gone", async || alice.init("white").await.is_empty()).await;
}

#[tokio::test]
async fn a_reporter_takes_back_what_it_said() {
    let mut site = Site::new(&["alice", "bob", "carol"]).await;
    let _hub = site.hub("").await;
    let (alice, bob, mut carol) = (site.router("alice").await, site.router("bob").await, site.router("carol").await);
    for address in ["203.0.113.1", "203.0.113.2"] {
        alice.report(address, "").await;
        bob.report(address, "").await;
    }
    carol.report("203.0.113.2", "").await;
    carol.until("both are banned", |bans| bans.len() == 2).await;
    wait_for("carol is heard", async || site.run(&["check", "203.0.113.2"]).await.contains("carol")).await;
    for address in ["203.0.113.1", "203.0.113.2"] {
        bob.say("black", "del", address).await;
    }
    carol.until("one is free", |bans| bans.len() == 1).await;
    assert!(carol.bans.contains_key("203.0.113.2"), "two others still say so");
}

#[tokio::test]
async fn a_revocation_reaches_routers_within_a_second() {
    let mut site = Site::new(&["alice", "bob", "mallory"]).await;
    let _hub = site.hub("[trust]\nbans_per_hour = 1000\n").await;
    let (alice, mallory, mut bob) =
        (site.router("alice").await, site.router("mallory").await, site.router("bob").await);
    for number in 0..100 {
        let address = format!("203.0.113.{number}");
        mallory.report(&address, "").await;
        alice.report(&address, "").await;
    }
    bob.report("203.0.113.99", "").await;
    bob.until("all are banned", |bans| bans.len() == 100).await;
    wait_for("bob is heard", async || site.run(&["check", "203.0.113.99"]).await.contains("bob")).await;
    let (told, took) =
        tokio::join!(site.run(&["revoke", "mallory"]), bob.until("they are free", |bans| bans.len() == 1));
    assert_eq!(told, "mallory is revoked: 100 reports taken back, 99 bans ended\n");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(bob.bans.contains_key("203.0.113.99"));
    // Routers know it too, for when no hub is there.
    assert_eq!(bob.revoked.iter().collect::<Vec<_>>(), ["mallory"]);
    mallory.report("203.0.113.150", "").await;
    alice.report("203.0.113.150", "").await;
    wait_for("alice is heard", async || site.run(&["check", "203.0.113.150"]).await.contains("alice")).await;
    assert!(site.run(&["check", "203.0.113.150"]).await.starts_with("203.0.113.150 is not banned"));
    site.run(&["revoke", "--undo", "mallory"]).await;
    mallory.report("203.0.113.151", "").await;
    alice.report("203.0.113.151", "").await;
    bob.until("both count again", |bans| bans.contains_key("203.0.113.151")).await;
    assert!(bob.revoked.is_empty() && bob.is_whole(), "{:?} {:?}", bob.revoked, bob.told);
}

#[tokio::test]
async fn two_hubs_ban_once_and_one_goes_on_without_the_other() {
    let mut site = Site::new(&["alice", "bob", "carol"]).await;
    let more = "[trust]\nbans_per_hour = 1000\n";
    let (first, _second) = (site.hub(more).await, site.hub(more).await);
    let (alice, bob, mut carol) = (site.router("alice").await, site.router("bob").await, site.router("carol").await);
    wait_for("somebody leads", async || !site.run(&["status"]).await.contains("told by nobody")).await;
    let hello = carol.hello().await;
    assert_eq!(hello.get("diswall-hub").map(String::as_str), Some("1"), "{hello:?}");
    for number in 0..100 {
        let (one, other) = (format!("203.0.113.{number}|a"), format!("203.0.113.{number}|b"));
        alice.client.publish("diswall.blacklist.alice.add.h", one.into()).await.unwrap();
        bob.client.publish("diswall.blacklist.bob.add.h", other.into()).await.unwrap();
    }
    carol.until("all are banned", |bans| bans.len() == 100).await;
    assert!(site.run(&["bans"]).await.lines().all(|line| line.ends_with(" 0")), "each was banned once");
    first.end();
    alice.report("203.0.113.200", "").await;
    bob.report("203.0.113.200", "").await;
    carol.until("the other goes on", |bans| bans.contains_key("203.0.113.200")).await;
    assert!(carol.is_whole(), "{:?}", carol.told);
}

#[tokio::test]
async fn nothing_is_forgotten_when_everything_starts_again() {
    let mut site = Site::new(&["alice", "bob", "carol"]).await;
    let hub = site.hub("").await;
    let (alice, bob) = (site.router("alice").await, site.router("bob").await);
    let mut carol = site.router("carol").await;
    alice.report("203.0.113.1", "").await;
    alice.report("203.0.113.2", "").await;
    bob.report("203.0.113.2", "").await;
    carol.until("one is banned", |bans| bans.contains_key("203.0.113.2")).await;
    wait_for("alice is heard", async || site.run(&["check", "203.0.113.1"]).await.contains("alice")).await;
    drop(hub);
    site.server.take().unwrap().end();
    site.start_server(crate::support::site::nats_server()).await;
    let _hub = site.hub("").await;
    wait_for("bob is back", async || bob.client.flush().await.is_ok()).await;
    wait_for("carol is back", async || carol.client.flush().await.is_ok()).await;
    bob.report("203.0.113.1", "").await;
    carol.until("what alice said still counts", |bans| bans.contains_key("203.0.113.1")).await;
    assert!(carol.is_whole(), "{:?}", carol.told);
}

#[tokio::test]
async fn a_nats_server_that_lost_everything_is_begun_anew() {
    let mut site = Site::new(&["alice", "bob"]).await;
    let hub = site.hub("").await;
    let (alice, mut bob) = (site.router("alice").await, site.router("bob").await);
    alice.report("203.0.113.1", "").await;
    bob.report("203.0.113.1", "").await;
    bob.until("there is a ban", |bans| bans.contains_key("203.0.113.1")).await;
    let before = bob.hello().await;
    assert!(before.contains_key("born"), "{before:?}");
    site.server.take().unwrap().end();
    std::fs::remove_dir_all(site.path("jetstream")).unwrap();
    site.start_server(crate::support::site::nats_server()).await;
    wait_for("the buckets are there again", async || hub.said().contains("the buckets are there")).await;
    wait_for("it is told on", async || hub.said().matches("this hub tells the changes").count() == 2).await;
    wait_for("alice is back", async || alice.client.flush().await.is_ok()).await;
    wait_for("bob is back", async || bob.client.flush().await.is_ok()).await;
    alice.report("203.0.113.2", "").await;
    bob.report("203.0.113.2", "").await;
    bob.until("another is banned", |bans| bans.contains_key("203.0.113.2")).await;
    assert_ne!(bob.hello().await.get("born"), before.get("born"), "a router sees that it is another stream");
}
