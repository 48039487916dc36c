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
