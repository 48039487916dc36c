//! A router behind a hub: the feed against a real nats-server with JetStream, whose bucket has the hub's bans. What
//! the feed posts is compared with what the bucket holds.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use diswall::feed::FeedState;
use diswall::feed::nats::{self, session::notice};
use diswall::model::Reason;

use crate::support::Netns;
use crate::support::hub::{Fleet, Hub, SEED, router};
use crate::support::nats_server::{Folded, NatsFeed};

fn follow(settings: &nats::Settings) -> NatsFeed {
    let mut feed = NatsFeed::start(settings);
    feed.until("the feed is live, both lists taken", |folded| folded.is_live() && folded.allow_lists > 0);
    assert!(feed.handle.gauges.hub.get());
    feed
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn is_away(folded: &Folded) -> bool {
    matches!(folded.states.last(), Some(FeedState::Waiting { error, .. }) if error.contains("the hub behind it"))
}

#[test]
fn a_list_is_taken_and_changes_are_followed() {
    let _netns = Netns::enter();
    let _fleet = Fleet::start();
    let hub = Hub::start();
    hub.ban("203.0.113.1", 3600, "ssh", true);
    hub.ban("2001:db8::1", 99_999, "web scan", true);
    hub.ban("203.0.113.2", 900, "ssh", true);
    hub.purge("203.0.113.2", true);
    hub.ban("203.0.113.3", 1, "short", true);
    std::thread::sleep(Duration::from_millis(1200)); // its end leaves a marker in the bucket
    hub.fill("198.51.100.0", 200, 7200);

    let mut feed = follow(&router("alice"));
    assert_eq!(feed.folded.bans.len(), 202, "{:?}", feed.folded.bans);
    assert!((3590..=3600).contains(&feed.folded.seconds("203.0.113.1")));
    assert!((99_990..=99_999).contains(&feed.folded.seconds("2001:db8::1")));
    assert_eq!(feed.folded.bans[&ip("203.0.113.1")].1, Reason::Tagged("ssh".into()));
    assert!(feed.folded.allows("192.0.2.0/24"));
    assert_eq!(feed.folded.states, [FeedState::Connecting, FeedState::Synchronising, FeedState::Live]);

    hub.ban("203.0.113.4", 60, "smtp", true);
    feed.until("a ban", |folded| folded.seconds("203.0.113.4") == 60);
    assert_eq!(feed.folded.bans[&ip("203.0.113.4")].1, Reason::Tagged("smtp".into()));
    hub.purge("203.0.113.1", true);
    feed.until("a ban taken back", |folded| folded.seconds("203.0.113.1") == 0);
    // Those of its own login come without the hub.
    hub.publish("diswall.blacklist.alice.add.attic", "203.0.113.5|ssh");
    feed.until("another router of the login", |folded| folded.seconds("203.0.113.5") == 900);
    hub.publish("diswall.blacklist.bob.add.attic", "203.0.113.66");
    hub.publish("diswall.blacklist.new", "203.0.113.66|60");
    feed.run_for(Duration::from_millis(1500));
    assert_eq!((feed.folded.seconds("203.0.113.66"), feed.folded.lists), (0, 1));
    assert!(feed.folded.is_live() && feed.handle.gauges.hub_heard.get().is_some());
    assert_eq!(feed.folded.notices.keys().collect::<Vec<_>>(), [&notice::CLEARTEXT]);
}

#[test]
fn a_gap_is_closed_by_what_changed_since() {
    let _netns = Netns::enter();
    let _fleet = Fleet::start();
    let hub = Hub::start();
    hub.ban("203.0.113.1", 3600, "ssh", true);
    let mut feed = follow(&router("alice"));
    hub.publish("diswall.blacklist.alice.add.attic", "203.0.113.9|ssh");
    hub.ban("203.0.113.2", 3600, "lost", false);
    hub.purge("203.0.113.1", false);
    hub.ban("203.0.113.3", 3600, "told", true);
    feed.until("what was told behind the gap", |folded| folded.seconds("203.0.113.3") > 0);
    feed.until("what was lost", |folded| folded.seconds("203.0.113.2") > 3500);
    feed.until("what was taken back", |folded| folded.seconds("203.0.113.1") == 0);
    assert_eq!(feed.folded.lists, 1, "not the whole list for a few changes");
    assert!(feed.folded.seconds("203.0.113.9") > 800, "what its own login told stays");

    // A stream that was made anew counts from 1 again. Once may be a late message.
    hub.tell(1, 1, "");
    hub.tell(1, 2, "+203.0.113.7 60 anew\n");
    feed.until("a new list", |folded| folded.lists == 2);
    assert!(feed.folded.seconds("203.0.113.9") > 800, "what its own login told stays");
    hub.tell(2, 3, "+203.0.113.8 60 anew\n");
    feed.until("its changes", |folded| folded.seconds("203.0.113.8") > 0);
}

#[test]
fn a_stream_that_was_made_anew_and_outgrew_the_old_is_taken_whole() {
    let _netns = Netns::enter();
    let mut fleet = Fleet::start();
    let hub = Hub::start();
    hub.ban("203.0.113.1", 3600, "old", true);
    hub.ban("203.0.113.2", 3600, "old", true);
    let mut feed = follow(&router("alice"));
    assert_eq!(feed.folded.bans.len(), 2);
    // All is lost, and filled anew beyond what the router knows, where it cannot see it.
    drop(hub);
    fleet.stop();
    feed.until("the break", |folded| !folded.is_live());
    fleet.lose_everything();
    fleet.resume_at(14_222);
    let hub = Hub::start_at(14_222);
    hub.fill("198.51.100.0", 50, 7200);
    drop(hub);
    fleet.stop();
    fleet.resume();
    let hub = Hub::start();
    feed.until("what is kept now, all of it", |folded| {
        folded.seconds("198.51.100.0") > 0 && folded.seconds("203.0.113.1") == 0
    });
    assert_eq!(feed.folded.bans.len(), 50, "{:?}", feed.folded.bans);
    hub.ban("203.0.113.3", 3600, "new", true);
    feed.until("and its changes", |folded| folded.seconds("203.0.113.3") > 0);
}

#[test]
fn routers_exchange_bans_while_their_hub_is_away() {
    let _netns = Netns::enter();
    let mut fleet = Fleet::start();
    let hub = Hub::start();
    hub.ban("203.0.113.1", 3600, "ssh", true);
    let mut feed = follow(&router("alice"));
    let mut alone = follow(&nats::Settings { quorum: 0, ..router("carol") });
    // A router of a login that the hub takes no word of, and of one that it believes again.
    hub.revoke("dave", true);
    hub.revoke("bob", true);
    hub.revoke("bob", false);
    hub.silence(true);
    feed.until("the hub is missed", is_away);
    assert!(feed.folded.error().contains("2 other logins"), "{}", feed.folded.error());
    alone.until("the hub is missed", is_away);
    let report = |login: &str, address: &str| {
        hub.publish(&format!("diswall.blacklist.{login}.add.attic"), &format!("{address}|ssh"));
    };
    feed.run_for(Duration::from_millis(200)); // the subscription is on its way
    for address in ["203.0.113.2", "203.0.113.2", "10.0.0.0/8", "203.0.113.0/24"] {
        report("mallory", address);
    }
    for login in ["dave", "bob"] {
        report(login, "203.0.113.10");
    }
    report("mallory", "203.0.113.3");
    report("bob", "203.0.113.3");
    feed.until("what two reported", |folded| folded.seconds("203.0.113.3") == 900);
    assert_eq!(feed.folded.bans[&ip("203.0.113.3")].1, Reason::Tagged("ssh".into()));
    report("alice", "203.0.113.4");
    feed.until("what its own login reports", |folded| folded.seconds("203.0.113.4") == 900);
    assert_eq!(feed.folded.bans.len(), 3, "nothing of one login alone: {:?}", feed.folded.bans);

    // The server restarts, and the hub is still away: nothing is taken away.
    fleet.stop();
    feed.until("the break", |folded| !is_away(folded));
    fleet.resume();
    feed.until("the bucket, and no hub", is_away);
    assert_eq!(feed.folded.bans.len(), 3, "{:?}", feed.folded.bans);
    hub.silence(false);
    feed.until("live again", Folded::is_live);
    assert_eq!((feed.folded.bans.len(), feed.folded.lists), (3, 1), "{:?}", feed.folded.bans);

    // What changed while this router was not there.
    fleet.stop();
    feed.until("the break", |folded| !folded.is_live());
    fleet.resume();
    hub.purge("203.0.113.1", false);
    hub.ban("203.0.113.6", 3600, "meanwhile", false);
    feed.until("live again", |folded| folded.is_live() && folded.seconds("203.0.113.6") > 0);
    assert_eq!((feed.folded.seconds("203.0.113.1"), feed.folded.lists), (0, 1));

    alone.until("live again", Folded::is_live);
    assert_eq!(alone.folded.seconds("203.0.113.3"), 0);
}

#[test]
fn a_hub_that_is_away_is_known_by_its_bucket() {
    let _netns = Netns::enter();
    let _fleet = Fleet::start();
    let hub = Hub::start();
    hub.ban("203.0.113.1", 3600, "ssh", true);
    hub.silence(true);
    let mut feed = NatsFeed::start(&router("alice"));
    feed.until("the list, without the hub", |folded| folded.lists == 1 && is_away(folded));
    assert!(feed.folded.seconds("203.0.113.1") > 3500);
    hub.silence(false);
    hub.ban("203.0.113.2", 60, "ssh", true);
    feed.until("the hub is back", |folded| folded.is_live() && folded.seconds("203.0.113.2") > 0);
    assert_eq!(feed.folded.lists, 1, "it is as new as it was");
}

#[test]
fn a_hub_that_comes_later_is_followed() {
    let _netns = Netns::enter();
    let _fleet = Fleet::start();
    let mut feed = NatsFeed::start(&router("alice"));
    feed.until("no hub, no service", |folded| folded.notices.contains_key(notice::BLOCK_LIST));
    assert!(!feed.handle.gauges.hub.get());
    let hub = Hub::start();
    hub.ban("203.0.113.1", 3600, "ssh", true);
    feed.until("live", |folded| folded.is_live() && folded.seconds("203.0.113.1") > 0);
    assert!(feed.handle.gauges.hub.get());
}

#[test]
fn a_hundred_thousand_bans_come_soon() {
    let _netns = Netns::enter();
    let _fleet = Fleet::start();
    let hub = Hub::start();
    hub.fill("100.64.0.0", 100_000, 86_400);
    let began = Instant::now();
    let mut feed = NatsFeed::start(&router("alice"));
    feed.until("live", Folded::is_live);
    let took = began.elapsed();
    assert_eq!(feed.folded.bans.len(), 100_000);
    println!("100,000 bans within {took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn servers_are_tried_in_turn() {
    let _netns = Netns::enter();
    let _fleet = Fleet::start();
    let hub = Hub::start();
    hub.ban("203.0.113.1", 3600, "ssh", true);
    let servers = ["127.0.0.7", "nowhere.invalid", "127.0.0.1"].map(str::to_owned).to_vec();
    let mut feed = NatsFeed::start(&nats::Settings { servers, ..router("alice") });
    feed.until("live", Folded::is_live);
    assert_eq!(feed.handle.gauges.server.get(), 2);
    let refused =
        |state: &FeedState| matches!(state, FeedState::Waiting { error, .. } if error.starts_with("127.0.0.7: "));
    assert!(feed.folded.states.iter().any(refused), "{:?}", feed.folded.states);
}

#[test]
fn a_key_is_in_place_of_a_password() {
    let _netns = Netns::enter();
    let _fleet = Fleet::start();
    let hub = Hub::start();
    hub.ban("203.0.113.1", 3600, "ssh", true);
    let directory = tempfile::tempdir().unwrap();
    let key = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        nats::Settings { nkey_file: Some(path), client_pass: "wrong".into(), ..router("alice") }
    };
    let feed = follow(&key("good", SEED));
    assert!(feed.folded.seconds("203.0.113.1") > 3500);
    assert!(feed.folded.notices.is_empty(), "no password is on the wire: {:?}", feed.folded.notices);

    let strange = "SUAACAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAN7EY";
    for (settings, error) in [
        (key("strange", strange), "the server does not know the key of nkey_file, whose public half is U"),
        (key("none", "nothing"), "no line of it is the seed of a user's key"),
    ] {
        let mut feed = NatsFeed::start(&settings);
        feed.until(error, |folded| folded.error().contains(error));
    }
}
