//! Slips of the owner's, and whoever tries how much one may have: bounds hold, and are said.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures_util::TryStreamExt;

use crate::support::site::free_port;
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

#[tokio::test]
async fn nobody_who_sits_at_the_page_keeps_the_owner_out() {
    const IDLE: usize = 2000;
    let mut site = Site::new(&[]).await;
    std::fs::write(site.path("token"), "a-word-that-nobody-guesses").unwrap();
    let place = format!("127.0.0.1:{}", free_port());
    let page = format!("[page]\nlisten = \"{place}\"\ntoken_file = \"{}\"\n", site.path("token").display());
    let hub = site.hub(&page).await;
    let myself = std::process::id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &myself, "--nofile=8192:"]).status().unwrap().success());
    let files = || std::fs::read_dir(format!("/proc/{}/fd", hub.id())).unwrap().count();
    let before = files();
    let idle: Vec<_> = (0..IDLE)
        .map(|number| {
            let mut guest = TcpStream::connect(&place).unwrap();
            if number % 2 == 0 {
                std::io::Write::write_all(&mut guest, b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
            }
            guest
        })
        .collect();
    let began = Instant::now();
    let asked = tokio::process::Command::new("curl").args(["-s", "-m", "20", &format!("http://{place}/")]).output();
    let answer = String::from_utf8(asked.await.unwrap().stdout).unwrap();
    assert!(answer.contains("name=\"token\""), "{answer}");
    println!("answered within {:?}, {} files more, {} KB", began.elapsed(), files() - before, hub.memory());
    assert!(files() <= before + 160, "{} files, {before} before", files());
    assert!(hub.memory() < 40_000, "{} KB", hub.memory());
    assert_eq!(hub.said().matches("the page: 128 connections").count(), 1, "{}", hub.said());
    let mut sent_away = 0;
    for mut guest in idle {
        guest.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        sent_away += usize::from(
            !matches!(guest.read(&mut [0; 512]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
        );
    }
    assert!(sent_away >= IDLE - 160, "{sent_away}");
}

/// A greeting does not say who sent it, and nats-server hides where its answer goes.
#[tokio::test]
async fn greetings_by_the_ten_thousand_leave_nobody_without_an_answer() {
    const MANY: u32 = 100_000;
    let mut site = Site::new(&["alice", "mallory"]).await;
    let hub = site.hub("").await;
    let (alice, mallory) = (site.router("alice").await, site.router("mallory").await);
    let flood = tokio::spawn(async move {
        for _ in 0..MANY {
            mallory.client.publish_with_reply("diswall.hub.hello", "_INBOX.mallory.x", "1".into()).await.unwrap();
        }
        mallory.client.flush().await.unwrap();
    });
    // A router asks again, too, when it gets no answer.
    let mut asked = 0;
    let mut answered = async || {
        asked += 1;
        tokio::time::timeout(Duration::from_secs(3), alice.hello()).await.is_ok_and(|answer| answer["seq"] == "0")
    };
    let mut answers = 0;
    while !flood.is_finished() {
        answers += u32::from(answered().await);
    }
    flood.await.unwrap();
    answers += u32::from(answered().await);
    assert!(answers > 0 && asked - answers <= 1, "{answers} of {asked} were answered\n{}", hub.said());
}
