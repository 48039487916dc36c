//! The DisWall feed against Debian's `nats-server`, with accounts and permissions as DisWall has them,
//! and the simulated service behind it: what the feed posts is compared with what the service holds.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::time::{Duration, Instant};

use diswall::feed::FeedState;
use diswall::feed::nats::session::notice;
use diswall::feed::nats::{self, Statistics};
use diswall::model::{Lifetime, Reason, Source};

use crate::support::nats_server::{DEADLINE, Folded, NatsFeed, NatsServer, PORT, Service, settings};
use crate::support::{Netns, wait_for};

fn live(login: &str, password: &str) -> NatsFeed {
    let mut feed = NatsFeed::start(&settings(login, password));
    feed.until("the feed is live, both lists taken", |folded| folded.is_live() && folded.allow_lists > 0);
    feed
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_login_follows_every_subject() {
    let _netns = Netns::enter();
    let _server = NatsServer::start();
    let mut service = Service::start();
    service.tell("put 203.0.113.1 3600");
    service.tell("put 2001:db8::1 2147483");
    service.tell("allow 192.0.2.0/24");
    service.tell("allow 198.51.100.9 600");
    let mut feed = live("alice", "wonder");
    assert!((3590..=3600).contains(&feed.folded.seconds("203.0.113.1")));
    assert!((2_147_400..=2_147_483).contains(&feed.folded.seconds("2001:db8::1")));
    assert_eq!(feed.folded.allowed[&"192.0.2.0/24".parse().unwrap()], Lifetime::Forever);
    assert!(matches!(feed.folded.allowed[&"198.51.100.9/32".parse().unwrap()], Lifetime::Seconds(590..=600)));
    assert_eq!(
        feed.folded.states,
        [FeedState::Connecting, FeedState::Synchronising, FeedState::Live],
        "{:?}",
        feed.folded.notices
    );

    service.tell("ban 203.0.113.2 1800");
    feed.until("the announced ban", |folded| folded.seconds("203.0.113.2") == 1800);
    assert_eq!(feed.folded.bans[&ip("203.0.113.2")].1, Reason::Announced);
    service.tell("unban 203.0.113.1");
    feed.until("a delete deletes", |folded| folded.seconds("203.0.113.1") == 0);
    service.publish("diswall.blacklist.alice.add.attic", b"203.0.113.3|ssh");
    feed.until("another router's ban", |folded| folded.seconds("203.0.113.3") == 900);
    assert_eq!(feed.folded.bans[&ip("203.0.113.3")].1, Reason::Tagged("ssh".into()));
    service.publish("diswall.blacklist.alice.del.attic", b"203.0.113.3");
    feed.until("another router's delete", |folded| folded.seconds("203.0.113.3") == 0);
    service.tell("allow 2001:db8:1::/48");
    feed.until("an allowance", |folded| folded.allows("2001:db8:1::/48"));
    service.tell("disallow 192.0.2.0/24");
    feed.until("an allowance taken back", |folded| !folded.allows("192.0.2.0/24"));

    // What is meant for others does not get here.
    service.publish("diswall.blacklist.default", b"203.0.113.66|90000");
    service.publish("diswall.blacklist.bob.add.attic", b"203.0.113.66");
    service.tell("ban 203.0.113.4 60");
    feed.until("the next ban", |folded| folded.seconds("203.0.113.4") == 60);
    assert_eq!(feed.folded.seconds("203.0.113.66"), 0);
    assert_eq!(feed.folded.notices.keys().collect::<Vec<_>>(), [&notice::CLEARTEXT]);
    assert_eq!((feed.handle.gauges.lists.get(), feed.handle.gauges.resyncs.get()), (2, 0));
}

#[test]
fn the_shared_login_gets_long_bans_and_trusts_nobody() {
    let _netns = Netns::enter();
    let _server = NatsServer::start();
    let mut service = Service::start();
    service.tell("put 203.0.113.1 90000");
    service.tell("put 203.0.113.2 900");
    service.tell("allow 0.0.0.0/1");
    let mut feed = NatsFeed::start(&settings("default", "default"));
    feed.until("the feed is live", |folded| folded.is_live());
    service.tell("ban 203.0.113.3 1800");
    service.publish("diswall.blacklist.default.add.openwrt", b"203.0.113.66");
    service.publish("diswall.whitelist.default.add.openwrt", b"203.0.113.3");
    service.publish("diswall.blacklist.default.del.openwrt", b"203.0.113.1");
    service.tell("ban 203.0.113.4 172800");
    feed.until("the long ban", |folded| folded.seconds("203.0.113.4") == 172_800);
    assert_eq!(feed.folded.bans.keys().copied().collect::<Vec<_>>(), [ip("203.0.113.1"), ip("203.0.113.4")]);
    assert!(feed.folded.allowed.is_empty());
    assert!(feed.folded.notices.is_empty(), "{:?}", feed.folded.notices);
}

#[test]
fn a_thousand_quick_changes_end_as_the_service_has_them() {
    let _netns = Netns::enter();
    let _server = NatsServer::start();
    let mut service = Service::start();
    let mut feed = live("alice", "wonder");
    // The same few addresses again and again: order is all that decides.
    let mut random = 1_u32;
    for _ in 0..1000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let address = format!("203.0.113.{}", (random >> 24) % 8);
        service.tell(&if random & 0x10_0000 == 0 { format!("unban {address}") } else { format!("ban {address} 900") });
    }
    service.tell("ban 198.51.100.1 5");
    feed.until("the last change", |folded| folded.seconds("198.51.100.1") == 5);
    assert_eq!(feed.folded.bans.keys().copied().collect::<Vec<_>>(), {
        let mut bans = service.bans();
        bans.sort();
        bans
    });
    assert_eq!(feed.handle.gauges.resyncs.get(), 0);
}

#[test]
fn a_wrong_password_is_called_that() {
    let _netns = Netns::enter();
    let _server = NatsServer::start();
    let mut feed = NatsFeed::start(&settings("alice", "wrong"));
    feed.until("a refused log-in", |folded| folded.error().contains("user name or the password"));
    feed.until("another try", |folded| folded.states.len() >= 4);
    assert!(!feed.folded.states.contains(&FeedState::Synchronising));
}

#[test]
fn a_login_that_is_no_subject_is_called_that() {
    let _netns = Netns::enter();
    let mut feed = NatsFeed::start(&settings("al.ice", "wonder"));
    feed.until("the error", |folded| folded.error().contains("\"al.ice\" cannot be part of a NATS subject"));
}

#[test]
fn what_is_denied_is_named_and_the_rest_goes_on() {
    let _netns = Netns::enter();
    let _server = NatsServer::start();
    let mut service = Service::start();
    service.tell("put 203.0.113.1 3600");
    let mut feed = NatsFeed::start(&settings("bob", "builder"));
    feed.until("the block list", |folded| folded.lists == 1);
    feed.until("both denials", |folded| {
        folded.lacks("subscribe diswall.blacklist.new (denied)", "new bans do not arrive")
            && folded.lacks("publish diswall.whitelist.bob.init.turris_lan (denied)", "the allow list does not come")
    });
    service.publish("diswall.blacklist.bob.add.attic", b"203.0.113.2");
    feed.until("the rest goes on", |folded| folded.seconds("203.0.113.2") == 900);
    assert_eq!(feed.folded.lists, 1);
    assert!(!feed.folded.states.contains(&FeedState::Live), "{:?}", feed.folded.states);
}

#[test]
fn a_permission_taken_away_is_said_and_used_when_it_is_back() {
    let _netns = Netns::enter();
    let server = NatsServer::start();
    let mut service = Service::start();
    service.tell("put 203.0.113.1 3600");
    let mut feed = live("alice", "wonder");

    const ANNOUNCED: &str = "\"diswall.blacklist.new\", \"diswall.*.alice";
    server.exchange(ANNOUNCED, "\"diswall.*.alice");
    feed.until("the loss", |folded| folded.lacks("subscribe diswall.blacklist.new (denied)", "new bans"));
    service.tell("ban 203.0.113.2 1800");
    server.exchange("\"diswall.*.alice.*.*\"] } }", "\"diswall.blacklist.new\", \"diswall.*.alice.*.*\"] } }");
    // By itself; what was missed meanwhile comes too.
    feed.until("live again", Folded::is_live);
    assert!(feed.folded.seconds("203.0.113.2") > 1700, "{:?}", feed.folded.bans);
    service.tell("ban 203.0.113.3 60");
    feed.until("changes again", |folded| folded.seconds("203.0.113.3") == 60);

    // Everything else that a login of one's own has, the inbox among it; and at once when the owner says so.
    const ALL: &str = "subscribe: [\"_INBOX.>\", \"diswall.blacklist.new\", \"diswall.*.alice.*.*\"]";
    const LESS: &str = "subscribe: [\"diswall.blacklist.new\", \"diswall.whitelist.alice.add.*\"]";
    server.exchange(ALL, LESS);
    feed.until("the losses", |folded| {
        ["_INBOX.>", "diswall.blacklist.alice.add.*", "diswall.blacklist.alice.del.*", "diswall.whitelist.alice.del.*"]
            .iter()
            .all(|subject| folded.lacks(&format!("subscribe {subject} (denied)"), "no list can arrive"))
    });
    assert!(!feed.folded.error().contains("alice.add.* (denied), subscribe diswall.whitelist.alice.add"));
    server.exchange(LESS, ALL);
    feed.run_for(Duration::from_millis(300));
    let before = Instant::now();
    feed.handle.resync.notify_one();
    feed.until("live again", Folded::is_live);
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    assert_eq!(feed.folded.notices.keys().collect::<Vec<_>>(), [&notice::CLEARTEXT]);

    // The right to ask for a list: seen when one is asked for.
    const ASKS: &str = "publish: [\"diswall.*.alice.*.*\"]";
    const ASKS_NOT: &str = "publish: [\"diswall.whitelist.alice.*.*\"]";
    server.exchange(ASKS, ASKS_NOT);
    feed.run_for(Duration::from_millis(300));
    feed.handle.resync.notify_one();
    let subject = "publish diswall.blacklist.alice.init.turris_lan (denied)";
    feed.until("the loss", |folded| folded.lacks(subject, "the block list does not come"));
    server.exchange(ASKS_NOT, ASKS);
    feed.run_for(Duration::from_millis(300));
    feed.handle.resync.notify_one();
    feed.until("live again", Folded::is_live);
}

#[test]
fn a_limit_of_subscriptions_is_named_with_what_is_above_it() {
    let _netns = Netns::enter();
    let mut server = NatsServer::with("max_subscriptions: 4");
    let mut service = Service::start();
    service.tell("put 203.0.113.1 3600");
    let mut feed = NatsFeed::start(&settings("alice", "wonder"));
    let above = "subscribe diswall.whitelist.alice.add.* (maximum subscriptions exceeded), subscribe \
                 diswall.whitelist.alice.del.* (maximum subscriptions exceeded)";
    feed.until("what is refused", |folded| folded.lacks(above, "allowances taken back elsewhere stay"));
    assert!(!feed.folded.error().contains("blacklist"), "{}", feed.folded.error());
    feed.until("the lists come all the same", |folded| folded.lists == 1 && folded.allow_lists == 1);
    // A server cannot be told of another limit while it runs.
    server.exchange("max_subscriptions: 4", "max_subscriptions: 6");
    server.stop();
    server.resume();
    feed.until("live", Folded::is_live);
    assert!(!feed.folded.states[..feed.folded.states.len() - 1].contains(&FeedState::Live));
}

#[test]
fn what_may_not_be_shared_waits_for_the_permission() {
    let _netns = Netns::enter();
    let server = NatsServer::start();
    let mut service = Service::start();
    let mut feed = NatsFeed::start(&nats::Settings { share_bans: true, ..settings("alice", "wonder") });
    feed.until("live", Folded::is_live);
    const MAY: &str = "publish: [\"diswall.*.alice.*.*\"]";
    const MAY_NOT: &str = "publish: [\"diswall.*.alice.init.*\"]";
    server.exchange(MAY, MAY_NOT);
    feed.run_for(Duration::from_millis(300));
    let addresses = ["203.0.113.1", "203.0.113.2", "203.0.113.3"].map(ip);
    for address in addresses {
        feed.publisher.ban(Source::SCAN, address, address, "ssh");
    }
    let deadline = Instant::now() + DEADLINE;
    while feed.publisher.denied().is_empty() || feed.publisher.queued() < 3 {
        assert!(Instant::now() < deadline, "{:?} {}", feed.publisher.denied(), feed.publisher.queued());
        feed.run_for(Duration::from_millis(20));
    }
    assert_eq!(feed.publisher.denied()[0].subject, "diswall.blacklist.alice.add.turris_lan");
    assert!(feed.folded.is_live(), "receiving goes on: {:?}", feed.folded.states);
    server.exchange(MAY_NOT, MAY);
    feed.run_for(Duration::from_millis(300));
    feed.handle.resync.notify_one();
    while feed.publisher.queued() > 0 || !feed.publisher.denied().is_empty() {
        assert!(Instant::now() < deadline, "{:?} {}", feed.publisher.denied(), feed.publisher.queued());
        feed.run_for(Duration::from_millis(20));
    }
    for address in addresses {
        service.hears("diswall.blacklist.alice.add.turris_lan", &format!("{address}|ssh"));
    }
    let order: Vec<&str> = service.heard.iter().map(|(_, body)| body.as_str()).collect();
    assert_eq!(order, ["203.0.113.1|ssh", "203.0.113.2|ssh", "203.0.113.3|ssh"]);
}

#[test]
fn a_login_that_ends_while_it_is_connected_is_tried_again() {
    let _netns = Netns::enter();
    let server = NatsServer::start();
    let _service = Service::start();
    let mut feed = live("alice", "wonder");
    server.exchange("\"wonder\"", "\"other\"");
    feed.until("the refused log-in", |folded| folded.error().contains("user name or the password"));
    server.exchange("\"other\"", "\"wonder\"");
    feed.run_for(Duration::from_millis(300));
    feed.handle.resync.notify_one();
    feed.until("live again", Folded::is_live);
    server.exchange("user: \"alice\"", "user: \"alicia\"");
    feed.until("the refused log-in", |folded| folded.error().contains("user name or the password"));
}

#[test]
fn a_login_without_an_inbox_still_gets_the_changes() {
    let _netns = Netns::enter();
    let _server = NatsServer::start();
    let mut service = Service::start();
    let mut feed = NatsFeed::start(&settings("carol", "christmas"));
    feed.until("the denial", |folded| folded.lacks("subscribe _INBOX.> (denied)", "no list can arrive"));
    service.tell("ban 203.0.113.1 60");
    feed.until("a ban all the same", |folded| folded.seconds("203.0.113.1") == 60);
    assert!(!feed.folded.is_live() && feed.folded.lists == 0);
    assert!(!feed.folded.notices.contains_key(notice::BLOCK_LIST), "{:?}", feed.folded.notices);
}

#[test]
fn a_service_that_is_silent_or_away_is_said_and_asked_again() {
    let _netns = Netns::enter();
    let _server = NatsServer::start();
    let mut feed = NatsFeed::start(&settings("alice", "wonder"));
    feed.until("nobody answers", |folded| {
        let says = |key| folded.notices.get(key).is_some_and(|text| text.contains("nobody"));
        says(notice::BLOCK_LIST) && says(notice::ALLOW_LIST)
    });
    let mut service = Service::start();
    service.tell("put 203.0.113.1 3600");
    service.tell("silence");
    feed.until("no answer in time", |folded| {
        folded.notices.get(notice::BLOCK_LIST).is_some_and(|text| text.contains("not answered within"))
    });
    assert_eq!(feed.folded.states.last(), Some(&FeedState::Synchronising));
    service.tell("ban 203.0.113.2 60");
    feed.until("a change without a list", |folded| folded.seconds("203.0.113.2") == 60);
    service.tell("speak");
    feed.until("the lists at last", |folded| folded.is_live() && folded.allow_lists > 0 && folded.notices.len() == 1);
    assert!(feed.folded.seconds("203.0.113.1") > 3500 && feed.folded.seconds("203.0.113.2") > 0);
    assert_eq!(feed.folded.notices.keys().collect::<Vec<_>>(), [&notice::CLEARTEXT]);
}

#[test]
fn rubbish_is_refused_counted_and_said_once() {
    let _netns = Netns::enter();
    let _server = NatsServer::start();
    let mut service = Service::start();
    service.tell("put 203.0.113.1 3600");
    let mut feed = live("alice", "wonder");
    let rubbish: [(&str, &[u8]); 7] = [
        ("diswall.blacklist.new", b"\xff\xfe|900"),
        ("diswall.blacklist.new", b""),
        ("diswall.blacklist.new", b"203.0.113.5|0"),
        ("diswall.blacklist.new", b"203.0.113.0/24|900"),
        ("diswall.blacklist.alice.add.attic", b"\xc3\x28"),
        ("diswall.blacklist.alice.del.attic", b"everything"),
        ("diswall.whitelist.alice.add.attic", b"0.0.0.0/0"),
    ];
    for (subject, body) in rubbish {
        if body.is_empty() {
            service.publish(subject, b" ");
        } else {
            service.publish(subject, body);
        }
    }
    service.tell("ban 203.0.113.2 60");
    feed.until("the next good message", |folded| folded.seconds("203.0.113.2") == 60);
    assert_eq!(feed.handle.gauges.refused_messages.get(), 7);
    assert!(feed.folded.notices[notice::REFUSED].contains("diswall.blacklist.new: the body is no UTF-8"));
    assert_eq!(feed.folded.bans.len(), 2);

    // A list that is no list changes nothing.
    service.tell("answer 3c68746d6c3e");
    feed.handle.resync.notify_one();
    feed.until("the refused list", |folded| {
        folded.notices.get(notice::BLOCK_LIST).is_some_and(|text| text.contains("<html>"))
    });
    assert_eq!(feed.folded.bans.len(), 2);
    service.tell("answer");
    feed.until("a good list", |folded| folded.lists == 2 && !folded.notices.contains_key(notice::BLOCK_LIST));
}

#[test]
fn a_restarted_server_brings_what_was_missed() {
    let _netns = Netns::enter();
    let mut server = NatsServer::start();
    let mut service = Service::start();
    service.tell("put 203.0.113.1 3600");
    service.tell("put 203.0.113.2 3600");
    let mut feed = live("alice", "wonder");
    server.stop();
    feed.until("the break is seen", |folded| matches!(folded.states.last(), Some(FeedState::Waiting { .. })));
    service.tell("put 203.0.113.3 3600");
    service.tell("forget 203.0.113.1");
    server.resume();
    feed.until("the second list", |folded| folded.lists == 2);
    assert_eq!(feed.folded.bans.keys().copied().collect::<Vec<_>>(), [ip("203.0.113.2"), ip("203.0.113.3")]);
    service.tell("ban 203.0.113.4 60");
    feed.until("the changes go on", |folded| folded.seconds("203.0.113.4") == 60);
    assert!(feed.folded.is_live());
}

#[test]
fn tls_is_used_and_its_authority_checked() {
    let _netns = Netns::enter();
    let server = NatsServer::with_tls();
    let tls = |server_name: &str, ca_file: &str| nats::Settings {
        servers: vec![server_name.into()],
        tls: true,
        ca_file: Some(server.file(ca_file)),
        ..settings("alice", "wonder")
    };
    let mut service = Service::start_with_tls(&server);
    service.tell("fill 100.64.0.0 30000 2147483");
    for server_name in ["localhost", "127.0.0.1"] {
        let mut feed = NatsFeed::start(&tls(server_name, "ca.pem"));
        feed.until("the feed is live", |folded| folded.is_live());
        assert_eq!(feed.folded.bans.len(), 30_000);
        service.tell("ban 203.0.113.1 60");
        feed.until("a change", |folded| folded.seconds("203.0.113.1") == 60);
        assert!(feed.folded.notices.is_empty(), "{:?}", feed.folded.notices);
        service.tell("forget 203.0.113.1");
    }
    // A server that insists on TLS gets it, whatever the option says.
    let mut feed = NatsFeed::start(&nats::Settings { tls: false, ..tls("127.0.0.1", "ca.pem") });
    feed.until("connected", |folded| folded.states.last() == Some(&FeedState::Synchronising));
    for (ca_file, expected) in [
        ("stranger.pem", "TLS failed: invalid peer certificate"),
        ("key.pem", "no certificate in PEM form"),
        ("none.pem", "none.pem: No such file"),
    ] {
        let mut feed = NatsFeed::start(&tls("127.0.0.1", ca_file));
        feed.until(expected, |folded| folded.error().contains(expected));
    }
}

#[test]
fn no_password_is_sent_where_tls_is_asked_for_and_missing() {
    let _netns = Netns::enter();
    let _server = NatsServer::start();
    let mut feed = NatsFeed::start(&nats::Settings { tls: true, ..settings("alice", "wonder") });
    feed.until("the error", |folded| folded.error().contains("offers no TLS"));
}

#[test]
fn a_list_near_the_limit_comes_and_one_above_it_is_explained() {
    let _netns = Netns::enter();
    let _server = NatsServer::start();
    let mut service = Service::start();
    service.tell("fill 100.64.0.0 30000 2147483");
    let mut feed = live("alice", "wonder");
    assert_eq!(feed.folded.bans.len(), 30_000);
    service.tell("fill 100.65.0.0 30000 2147483");
    feed.handle.resync.notify_one();
    feed.until("the explanation", |folded| {
        folded.notices.get(notice::BLOCK_LIST).is_some_and(|text| text.contains("more than 1048576 bytes"))
    });
    assert_eq!(feed.folded.bans.len(), 30_000);
    assert!(feed.folded.is_live());
}

#[test]
fn what_one_router_saw_reaches_the_others_of_its_login() {
    let _netns = Netns::enter();
    let mut server = NatsServer::start();
    let mut service = Service::start();
    let open = nats::Settings { share_bans: true, send_statistics: true, ..settings("alice", "wonder") };
    let mut feed = NatsFeed::start(&nats::Settings { hostname: Some("attic.lan".into()), ..open });
    feed.until("the feed is live", |folded| folded.is_live());
    let mut other = live("alice", "wonder");
    let (seen, told) = (ip("203.0.113.1"), ip("203.0.113.2"));
    feed.publisher.ban(Source::SCAN, seen, seen, "ssh");
    feed.publisher.ban(Source::NATS, told, told, "");
    feed.publisher.statistics(Statistics { time: 7200, banned: 1, ..Statistics::default() });
    feed.run_for(Duration::from_millis(200));
    service.hears("diswall.blacklist.alice.add.attic_lan", "203.0.113.1|ssh");
    service.hears(
        "diswall.stats.alice.add.attic_lan",
        &Statistics { time: 7200, banned: 1, ..Statistics::default() }.encode(),
    );
    other.until("the other router's ban", |folded| folded.seconds("203.0.113.1") == 900);

    server.stop();
    feed.until("the break is seen", |folded| !folded.error().is_empty());
    feed.publisher.unban(Source::SCAN, seen, seen);
    server.resume();
    feed.until("back again", |folded| folded.lists == 2);
    service.hears("diswall.blacklist.alice.del.attic_lan", "203.0.113.1");
    feed.run_for(Duration::from_millis(200));
    assert!(feed.folded.bans.is_empty(), "its own ban came back: {:?}", feed.folded.bans);
    assert_eq!(service.heard.len(), 3, "{:?}", service.heard);
}

#[test]
fn a_server_that_throws_everybody_out_is_left_alone_longer_and_longer() {
    let _netns = Netns::enter();
    let listener = TcpListener::bind(("127.0.0.1", PORT)).expect("the port");
    let server = std::thread::spawn(move || {
        let mut times = Vec::new();
        for _ in 0..3 {
            let (mut socket, _) = listener.accept().expect("a client");
            times.push(Instant::now());
            socket.write_all(b"INFO {\"connect_urls\":[\"127.0.0.1:1\"]}\r\n").expect("a greeting");
            assert!(socket.read(&mut [0; 1024]).expect("a log-in") > 0);
            let last = b"PONG\r\nINFO {\"ldm\":true,\"connect_urls\":[\"127.0.0.1:1\"]}\r\n-ERR 'User Authentication Expired'\r\n";
            socket.write_all(last).expect("an answer");
        }
        times
    });
    let mut feed = NatsFeed::start(&settings("alice", "wonder"));
    let expired = |folded: &Folded| {
        folded.error().contains("says: User Authentication Expired")
            && folded.states.iter().filter(|state| matches!(state, FeedState::Waiting { .. })).count() == 3
    };
    feed.until("the third refusal", expired);
    let times = server.join().expect("the server's thread");
    let pauses = [times[1] - times[0], times[2] - times[1]];
    // Between a half and the whole of one second and of two.
    assert!(pauses[0] >= Duration::from_millis(450) && pauses[1] >= Duration::from_millis(950), "{pauses:?}");
    assert!(!feed.folded.states.contains(&FeedState::Live));
}

#[test]
fn a_hostile_server_ends_the_connection_and_nothing_else() {
    static ENDLESS: [u8; 40_000] = [b'x'; 40_000];
    let _netns = Netns::enter();
    let table: [(&[u8], &[u8], &str); 10] = [
        (&ENDLESS, b"", "a line of more than 32768 bytes"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", "no NATS server"),
        (b"INFO {\"max_payload\":\r\n", b"", "INFO cannot be read"),
        (b"-ERR 'maximum connections exceeded'\r\n", b"", "maximum connections exceeded"),
        (b"INFO {}\r\n", b"-ERR\r\n", "refused the connection"),
        (b"INFO {}\r\n", b"-ERR 'Authorization Timeout'\r\n", "refused the connection: Authorization Timeout"),
        (b"INFO {}\r\n", b"PONG\r\n-ERR 'User Authentication Expired'\r\n", "says: User Authentication Expired"),
        (b"INFO {}\r\n", b"PONG\r\nMSG x 1 18446744073709551615\r\n", "message of 18446744073709551615 bytes"),
        (b"INFO {}\r\n", b"PONG\r\nMSG x 1 1\r\nabcdef\r\n", "does not end where"),
        (b"INFO {}\r\n", b"PONG\r\n-ERR 'Stale Connection'\r\n", "Stale Connection"),
    ];
    for (greeting, answer, expected) in table {
        // A child that another test just forked may hold the last listener for a moment.
        let listener = wait_for(DEADLINE, "the port", || TcpListener::bind(("127.0.0.1", PORT)).ok());
        let mut feed = NatsFeed::start(&settings("alice", "wonder"));
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            socket.write_all(greeting).expect("a greeting");
            if !answer.is_empty() {
                let mut chunk = [0; 1024];
                let length = socket.read(&mut chunk).expect("a log-in");
                assert!(chunk[..length].starts_with(b"CONNECT "), "{:?}", &chunk[..length]);
                socket.write_all(answer).expect("an answer");
            }
        });
        feed.until(expected, |folded| folded.error().contains(expected));
        server.join().expect("the server's thread");
    }
}
