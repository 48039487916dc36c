//! What a nats-server must be, and what else may be in its streams.

use async_nats::jetstream::{self, stream};

use crate::support::{Site, wait_for};

#[tokio::test]
async fn a_nats_server_whose_keys_never_end_is_refused_with_a_sentence() {
    let mut site = Site::with(&["alice"], "/usr/sbin/nats-server").await;
    let mut hub = site.start_hub("");
    wait_for("the hub ends", async || hub.ended()).await;
    assert!(hub.said().contains("bans would last for ever"), "{}", hub.said());
    assert!(hub.said().contains("nats-server is 2."), "{}", hub.said());
    let streams = jetstream::new(site.owner().await);
    assert!(streams.get_stream("KV_diswall_bans").await.is_err(), "nothing is made there");
}

#[tokio::test]
async fn a_stream_of_another_program_is_refused_with_a_sentence() {
    let mut site = Site::new(&[]).await;
    let streams = jetstream::new(site.owner().await);
    let theirs = stream::Config {
        name: "KV_diswall_claims".into(),
        subjects: vec!["$KV.diswall_claims.>".into()],
        ..stream::Config::default()
    };
    streams.create_stream(theirs).await.unwrap();
    let mut hub = site.start_hub("");
    wait_for("the hub ends", async || hub.ended()).await;
    assert!(hub.said().contains("KV_diswall_claims is there, but diswall-hub did not make it so"), "{}", hub.said());
}

#[tokio::test]
async fn a_bucket_of_another_version_of_the_hub_is_refused_with_a_sentence() {
    let mut site = Site::new(&["alice", "pot"]).await;
    let hub = site.hub("[trust]\nhoneypots = [\"pot\"]\n").await;
    let (mut alice, pot) = (site.router("alice").await, site.router("pot").await);
    pot.report("203.0.113.1", "ssh").await;
    alice.until("it is banned", |bans| bans.len() == 1).await;
    hub.end();
    let streams = jetstream::new(site.owner().await);
    let mut config = streams.get_stream("KV_diswall_bans").await.unwrap().cached_info().config.clone();
    config.metadata.insert("diswall-hub".into(), "2".into());
    streams.update_stream(config).await.unwrap();
    let mut hub = site.start_hub("");
    wait_for("the hub ends", async || hub.ended()).await;
    let said = "the stream KV_diswall_bans was made by another version of diswall-hub (form 2)";
    assert!(hub.said().contains(said), "{}", hub.said());
    // Nothing in it is touched, by a command neither.
    assert!(site.command("hub", &["bans"]).unwrap_err().contains(said));
    let stream = streams.get_stream("KV_diswall_bans").await.unwrap();
    let kept = stream.get_last_raw_message_by_subject("$KV.diswall_bans.v4.203.0.113.1").await.unwrap();
    assert_eq!(kept.payload, "900|ssh|0");
}

#[tokio::test]
async fn a_hub_whose_nats_server_is_gone_ends_when_it_is_told_to() {
    let mut site = Site::new(&[]).await;
    let mut hub = site.hub("").await;
    site.server.take().unwrap().end();
    hub.ask_to_end();
    let told = std::time::Instant::now();
    wait_for("the hub ends", async || hub.ended()).await;
    // systemd gives it 30.
    assert!(told.elapsed() < std::time::Duration::from_secs(25), "it took {:?}", told.elapsed());
}
