//! Whose word counts, and for whom: one captured router cannot ban anybody for the others.

use std::time::Duration;

use futures_util::StreamExt;

use crate::support::{Site, wait_for};

const TRUST: &str = "[trust]\nhoneypots = [\"pot\"]\nbans_per_hour = 50\nnever = [\"198.51.100.0/24\"]\n";

#[tokio::test]
async fn a_ban_for_all_needs_two_reporters_or_a_honeypot() {
    let mut site = Site::new(&["alice", "bob", "pot"]).await;
    let _hub = site.hub(TRUST).await;
    let (alice, mut bob, pot) = (site.router("alice").await, site.router("bob").await, site.router("pot").await);
    // A customer's address, by one captured router, from ten hosts and a hundred times.
    for number in 0..40 {
        let subject = format!("diswall.blacklist.alice.add.host{}", number % 10);
        alice.client.publish(subject, "203.0.113.5|ssh".into()).await.unwrap();
    }
    alice.report("203.0.113.7", "ssh").await;
    bob.report("203.0.113.7", "telnet").await;
    pot.report("2001:db9::7", "smtp").await;
    bob.until("both are banned", |bans| bans.len() >= 2).await;
    // The word of whoever came second.
    let why = bob.bans.get("203.0.113.7").map(String::as_str);
    assert!(matches!(why, Some("900 telnet" | "900 ssh")), "{why:?}");
    assert_eq!(bob.bans.get("2001:db9::7").map(String::as_str), Some("900 smtp"));
    wait_for("all is judged", async || site.run(&["check", "203.0.113.5"]).await.contains("reported by alice")).await;
    assert!(site.run(&["check", "203.0.113.5"]).await.starts_with("203.0.113.5 is not banned"));
    // Its own routers have it.
    let own = alice.init("black").await;
    assert!(own.contains("203.0.113.5 timeout ") && own.contains("203.0.113.7 timeout "), "{own}");
    assert!(!bob.init("black").await.contains("203.0.113.5"));
}

#[tokio::test]
async fn nobody_reports_in_anothers_name_or_tells_in_the_hubs() {
    let mut site = Site::new(&["alice", "bob"]).await;
    let _hub = site.hub("").await;
    let (alice, mut bob) = (site.router("alice").await, site.router("bob").await);
    alice.report("203.0.113.7", "").await;
    for subject in ["diswall.blacklist.bob.add.x", "$KV.diswall_bans.v4.203.0.113.7", "diswall.blacklist.new"] {
        alice.client.publish(subject, "203.0.113.7|900|0".into()).await.unwrap();
    }
    for subject in ["diswall.hub.told", "diswall.hub.changes"] {
        alice.client.publish(subject, "0 99 0\n+203.0.113.7 900 x\n".into()).await.unwrap();
    }
    alice.client.flush().await.unwrap();
    bob.report("203.0.113.9", "").await;
    alice.report("203.0.113.9", "").await;
    bob.until("what both say is banned", |bans| bans.contains_key("203.0.113.9")).await;
    assert_eq!(bob.bans.len(), 1, "{:?}", bob.bans);
    assert!(bob.is_whole());
}

#[tokio::test]
async fn nobody_writes_by_the_hand_of_nats_server_or_of_the_hub() {
    let mut site = Site::new(&["alice", "bob", "pot"]).await;
    let hub = site.hub(TRUST).await;
    let (alice, mut bob, pot) = (site.router("alice").await, site.router("bob").await, site.router("pot").await);
    pot.report("203.0.113.1", "ssh").await;
    bob.until("there is a ban to copy", |bans| bans.len() == 1).await;
    // The answer to this alone is one line.
    alice.say("white", "add", "8.8.4.4").await;
    wait_for("the allowance is there", async || alice.init("white").await.contains("8.8.4.4")).await;
    let mut told = bob.client.subscribe("diswall.*.bob.*.*").await.unwrap();
    bob.client.flush().await.unwrap();
    let places = [
        "$KV.diswall_bans.v4.203.0.113.99",
        "$KV.diswall_allow._fleet.v4.203.0.113.0_24",
        "$KV.diswall_reporters.bob",
        "diswall.hub.told",
        "diswall.blacklist.bob.add.x",
        "diswall.whitelist.bob.add.x",
        "$JS.API.STREAM.DELETE.KV_diswall_bans",
    ];
    for place in places {
        for (subject, body) in [
            ("$JS.API.DIRECT.GET.KV_diswall_bans", r#"{"seq":1}"#),
            ("diswall.hub.hello", "1"),
            ("diswall.blacklist.alice.init.x", "empty"),
            ("diswall.whitelist.alice.init.x", "empty"),
        ] {
            alice.client.publish_with_reply(subject, place, body.into()).await.unwrap();
        }
    }
    alice.client.flush().await.unwrap();
    pot.report("203.0.113.2", "ssh").await;
    bob.until("the hub goes on", |bans| bans.contains_key("203.0.113.2")).await;
    assert_eq!(bob.bans.len(), 2, "{:?}", bob.bans);
    assert!(bob.is_whole());
    // nats-server lets answers through to where bob's own routers tell: they say of themselves that they are answers,
    // and are nothing that could be taken for a report.
    let mut astray = 0;
    while let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(300), told.next()).await {
        astray += 1;
        assert!(message.headers.is_some(), "{message:?}");
        assert!(diswall::feed::nats::wire::shared_ban(&message.payload).is_err(), "{message:?}");
        assert!(diswall::feed::nats::wire::allowed(&message.payload).is_err(), "{message:?}");
    }
    assert!(astray > 0, "nothing was tried");
    assert_eq!(site.run(&["bans"]).await.lines().count(), 2);
    let owner = site.owner().await;
    let streams = async_nats::jetstream::new(owner);
    for (bucket, key) in [("bans", "v4.203.0.113.99"), ("allow", "_fleet.v4.203.0.113.0_24")] {
        let stream = streams.get_stream(format!("KV_diswall_{bucket}")).await.unwrap();
        let found = stream.get_last_raw_message_by_subject(&format!("$KV.diswall_{bucket}.{key}")).await;
        assert!(found.is_err(), "{bucket} {key}: {found:?}");
    }
    assert_eq!(hub.said().matches("warn").count(), 0, "{}", hub.said());
}

#[tokio::test]
async fn some_addresses_are_never_banned() {
    let mut site = Site::new(&["alice", "pot"]).await;
    let hub = site.hub(TRUST).await;
    let (mut alice, pot) = (site.router("alice").await, site.router("pot").await);
    site.run(&["allow", "203.0.113.0/25"]).await;
    wait_for("the allowance is known", async || alice.init("white").await.contains("203.0.113.0/25")).await;
    wait_for("the hub keeps to it", async || hub.said().contains("the fleet allows 1 ")).await;
    let rubbish = ["", "rubbish", "203.0.113.0/24", "0.0.0.0/0", "203.0.113.300", "\u{1b}[2J|x"];
    let never = [
        "192.168.1.1",
        "10.0.0.1",
        "127.0.0.1",
        "::1",
        "224.0.0.1",
        "fe80::1",
        "198.51.100.9",
        "203.0.113.5",
        "0.0.0.0",
        "::ffff:10.0.0.1",
    ];
    for body in rubbish.iter().chain(&never) {
        pot.say("black", "add", body).await;
    }
    pot.report("203.0.113.200", "<b>x").await;
    alice.until("one is banned", |bans| !bans.is_empty()).await;
    assert_eq!(alice.bans.iter().next().map(|(ip, rest)| format!("{ip} {rest}")), Some("203.0.113.200 900 bx".into()));
    assert_eq!(alice.bans.len(), 1);
    assert!(hub.said().contains("pot: 192.168.1.1 is reported, which is never banned (private)"), "{}", hub.said());
    assert_eq!(hub.said().matches("never banned").count(), 1, "said once:\n{}", hub.said());
}

#[tokio::test]
async fn a_flood_by_one_costs_the_others_nothing() {
    let mut site = Site::new(&["alice", "bob", "carol"]).await;
    let hub = site.hub(TRUST).await;
    let (alice, mut bob, carol) = (site.router("alice").await, site.router("bob").await, site.router("carol").await);
    let flood = tokio::spawn(async move {
        for number in 0..100_000u32 {
            let body = format!("{}|ssh", std::net::Ipv4Addr::from_bits(0x2d00_0000 + number));
            alice.client.publish("diswall.blacklist.alice.add.h", body.into()).await.unwrap();
        }
        alice.client.flush().await.unwrap();
    });
    for number in 0..20 {
        let address = format!("203.0.113.{number}");
        bob.report(&address, "ssh").await;
        carol.report(&address, "ssh").await;
    }
    bob.until("the others' bans are there", |bans| bans.len() == 20).await;
    flood.await.unwrap();
    wait_for("the limit is told", async || hub.said().contains("alice: more than 50 reports in this hour")).await;
    assert_eq!(hub.said().matches("more than 50 reports").count(), 1, "{}", hub.said());
    let claims = site.run(&["status"]).await;
    let claims =
        claims.lines().find(|line| line.contains(" claims")).unwrap().split(' ').next().unwrap().parse::<u32>();
    let claims = claims.unwrap();
    assert!(claims <= 50 + 40, "{claims}");
    assert!(hub.memory() < 40_000, "{} KB", hub.memory());
}

/// A report that the login may still make, again and again: its own address is judged one after the other.
#[tokio::test]
async fn one_address_over_and_over_costs_the_others_nothing() {
    let mut site = Site::new(&["alice", "bob", "carol"]).await;
    let hub = site.hub("[trust]\nbans_per_hour = 400").await;
    let (alice, mut bob, carol) = (site.router("alice").await, site.router("bob").await, site.router("carol").await);
    // More than the hub holds unread, not faster than it can read.
    for number in 1..=9_000 {
        alice.client.publish("diswall.blacklist.alice.add.h", "45.0.0.1|ssh".into()).await.unwrap();
        if number % 500 == 0 {
            alice.client.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for number in 0..20 {
        let address = format!("203.0.113.{number}");
        bob.report(&address, "ssh").await;
        carol.report(&address, "ssh").await;
    }
    bob.until("the others' bans are there", |bans| bans.len() == 20).await;
    assert!(!hub.said().contains("more arrives than can be read"), "{}", hub.said());
}

/// Lists that one login asks for, far faster than they can be answered: another's turn comes all the same.
#[tokio::test]
async fn whoever_asks_for_lists_without_end_keeps_nobody_waiting() {
    let mut site = Site::new(&["alice", "mallory"]).await;
    let hub = site.hub("").await;
    let (alice, mallory) = (site.router("alice").await, site.router("mallory").await);
    // Each of mallory's own lists is read anew from the bucket: none is answered quickly.
    for number in 0..50 {
        mallory.client.publish("diswall.blacklist.mallory.add.h", format!("45.0.1.{number}|ssh").into()).await.unwrap();
    }
    for number in 0..12_000 {
        let subject = "diswall.blacklist.mallory.init.router";
        mallory.client.publish_with_reply(subject, "_INBOX.mallory.x", "empty".into()).await.unwrap();
        if number % 500 == 0 {
            mallory.client.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    mallory.client.flush().await.unwrap();
    wait_for("too much was asked", async || hub.said().contains("mallory: more is asked than can be answered")).await;
    let answered = tokio::time::timeout(Duration::from_secs(3), alice.init("black"));
    assert_eq!(answered.await.expect("alice's turn comes"), "");
}

#[tokio::test]
async fn a_login_reads_no_answer_to_another() {
    let mut site = Site::new(&["alice", "bob"]).await;
    let _hub = site.hub(TRUST).await;
    let (alice, bob) = (site.router("alice").await, site.router("bob").await);
    let mut heard = Vec::new();
    for subject in ["_INBOX.>", "_INBOX.bob.>", "_INBOX.*.>"] {
        heard.push(alice.client.subscribe(subject).await.unwrap());
    }
    alice.client.flush().await.unwrap();
    assert_eq!(bob.init("white").await, "");
    for subscriber in &mut heard {
        let message = tokio::time::timeout(Duration::from_millis(200), subscriber.next()).await;
        assert!(!matches!(message, Ok(Some(_))), "{message:?}");
    }
    for name in ["v4", "v6", "_fleet", "default", "a.b"] {
        assert!(site.command("hub", &["user", "add", name]).is_err(), "{name}");
    }
    for name in ["v4", "v6", "_fleet", "a.b", ">"] {
        for more in [&["revoke", name][..], &["revoke", name, "--undo"]] {
            let refusal = site.command("hub", more).unwrap_err();
            assert!(refusal.contains("no reporter can be called"), "{refusal}");
        }
    }
}

#[tokio::test]
async fn an_allowance_that_has_ended_ends_at_the_routers() {
    let mut site = Site::new(&["alice", "bob"]).await;
    let _hub = site.hub(TRUST).await;
    let (alice, bob) = (site.router("alice").await, site.router("bob").await);
    alice.report("203.0.113.1", "").await;
    // Bob allows it himself, and goes on to.
    bob.report("203.0.113.2", "").await;
    bob.say("white", "add", "203.0.113.0/24").await;
    wait_for("bob allows it", async || bob.init("white").await.contains("203.0.113.0/24")).await;
    let mut bobs = bob.client.subscribe("diswall.whitelist.bob.del.*").await.unwrap();
    let mut told = alice.client.subscribe("diswall.whitelist.alice.*.*").await.unwrap();
    wait_for("alice is known", async || site.run(&["check", "203.0.113.1"]).await.contains("alice")).await;
    wait_for("bob is known", async || site.run(&["check", "203.0.113.2"]).await.contains("bob")).await;
    site.run(&["allow", "203.0.113.0/24", "--timeout", "4"]).await;
    let mut verbs = Vec::new();
    while verbs.last().is_none_or(|verb| verb != "del") {
        let message = tokio::time::timeout(crate::support::DEADLINE, told.next()).await.unwrap().unwrap();
        assert_eq!(message.payload, "203.0.113.0/24");
        verbs.push(message.subject.split('.').nth(3).unwrap_or_default().to_owned());
    }
    assert_eq!(verbs.first().map(String::as_str), Some("add"));
    let told = tokio::time::timeout(Duration::from_millis(500), bobs.next()).await;
    assert!(told.is_err(), "{told:?}");
}

#[tokio::test]
async fn a_login_that_asks_from_any_inbox_reads_no_answer_to_another() {
    let mut site = Site::new(&["alice", "bob", "legacy --any-inbox"]).await;
    let _hub = site.hub(TRUST).await;
    let bob = site.router("bob").await;
    let options = async_nats::ConnectOptions::with_user_and_password("legacy".into(), site.password("legacy"));
    let legacy = options.connect(format!("127.0.0.1:{}", site.port)).await.unwrap();
    let mut heard = Vec::new();
    for subject in
        ["_INBOX.>", "_INBOX.*", "_INBOX.*.*", "_INBOX.*.>", "_INBOX.*.*.*", "_INBOX.bob.>", "_INBOX.bob.*.*"]
    {
        heard.push(legacy.subscribe(subject).await.unwrap());
    }
    legacy.flush().await.unwrap();
    assert_eq!(bob.init("white").await, "");
    assert_eq!(bob.hello().await["quorum"], "2");
    for subscriber in &mut heard {
        let message = tokio::time::timeout(Duration::from_millis(200), subscriber.next()).await;
        assert!(!matches!(message, Ok(Some(_))), "{message:?}");
    }
    // Its own, as async-nats asks for them by itself and as diswall-rs does.
    let asked = "diswall.whitelist.legacy.init.h";
    assert_eq!(legacy.request(asked, "empty".into()).await.unwrap().payload, "");
    let mut inbox = legacy.subscribe("_INBOX.abc.def").await.unwrap();
    legacy.publish_with_reply(asked, "_INBOX.abc.def", "empty".into()).await.unwrap();
    let answer = tokio::time::timeout(crate::support::DEADLINE, inbox.next()).await.unwrap().unwrap();
    assert_eq!(answer.payload, "");
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_its_senders_connection_and_nobody_elses() {
    let mut site = Site::new(&["alice", "bob", "pot"]).await;
    let hub = site.hub(TRUST).await;
    let (alice, mut bob, pot) = (site.router("alice").await, site.router("bob").await, site.router("pot").await);
    let sent = "PUB diswall.blacklist.alice.add.h 200000\r\n".to_owned() + &"x".repeat(200_000) + "\r\n";
    let port = site.port;
    let answer = tokio::task::spawn_blocking({
        let password = site.password("alice");
        move || raw(port, "alice", &password, &sent)
    });
    let answer = answer.await.unwrap();
    assert!(answer.is_ok(), "{answer:?}");
    // What a router says at most passes.
    alice.say("black", "add", &"x".repeat(60_000)).await;
    wait_for("it is looked at", async || hub.said().contains("alice: ")).await;
    pot.report("203.0.113.1", "ssh").await;
    bob.until("the others go on", |bans| bans.len() == 1).await;
    // What is answered from the hub's account may be longer.
    let owner = site.owner().await;
    let mut asked = owner.subscribe("diswall.long.bob.*.*").await.unwrap();
    // An answer proves that nats-server has the subscription; a flush does not.
    owner.request("$JS.API.INFO", "".into()).await.unwrap();
    let answering = tokio::spawn(async move {
        let reply = asked.next().await.unwrap().reply.unwrap();
        owner.publish(reply, vec![b'x'; 900_000].into()).await.unwrap();
        owner.flush().await.unwrap();
    });
    let answer = bob.client.request("diswall.long.bob.ask.h", "".into()).await.unwrap();
    answering.await.unwrap();
    assert_eq!(answer.payload.len(), 900_000);
    assert!(!hub.said().contains("nats-server is away"), "{}", hub.said());
}

/// Whether nats-server ends the connection of a client that says this. Its last word may be lost with it.
fn raw(port: u16, user: &str, password: &str, said: &str) -> Result<(), std::io::Error> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
    let connect = format!("CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\nPING\r\n");
    stream.write_all(connect.as_bytes()).unwrap();
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains("PONG") {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&piece[..read]);
    }
    let _ = stream.write_all(said.as_bytes());
    match stream.read_to_end(&mut heard) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
        ended => ended.map(drop),
    }
}
