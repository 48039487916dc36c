//! The DynFW feed against real publishers: what its events add up to must be what the publisher says
//! its list is. Each test has a namespace and a publisher of its own.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diswall::feed::intake::Intake;
use diswall::feed::{FeedState, Handle, Update, dynfw};
use diswall::model::{Event, Source};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::support::{Netns, Sentinel};

const SOON: Duration = Duration::from_secs(20);

/// The feed under test and everything that it has posted, added up.
struct Follower {
    runtime: Runtime,
    local: LocalSet,
    handle: Handle,
    updates: mpsc::Receiver<(Source, Update)>,
    banned: BTreeSet<String>,
    states: Vec<FeedState>,
    notices: Vec<(&'static str, Option<String>)>,
    contacts: usize,
    lapses: usize,
}

impl Follower {
    fn start(settings: dynfw::Settings) -> Follower {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = LocalSet::new();
        let (sender, updates) = mpsc::channel(256);
        let state_dir = std::env::temp_dir();
        let handle = local
            .block_on(&runtime, async { dynfw::start(&settings, &state_dir, Intake::new(1 << 20, |_| true), sender) });
        Follower {
            runtime,
            local,
            handle,
            updates,
            banned: BTreeSet::new(),
            states: Vec::new(),
            notices: Vec::new(),
            contacts: 0,
            lapses: 0,
        }
    }

    fn of(sentinel: &Sentinel) -> Follower {
        Follower::start(settings(sentinel))
    }

    /// Lets the feed run until `done`; panics with `what` after `deadline`.
    #[track_caller]
    fn until(&mut self, deadline: Duration, what: &str, mut done: impl FnMut(&Follower) -> bool) {
        let end = std::time::Instant::now() + deadline;
        while !done(self) {
            let left = end.saturating_duration_since(std::time::Instant::now());
            assert!(left > Duration::ZERO, "{what}: not within {deadline:?}; states {:?}", self.states);
            // Counters change without an update: look again soon.
            let wait = left.min(Duration::from_millis(50));
            let updates = &mut self.updates;
            let next = self.local.block_on(&self.runtime, async { timeout(wait, updates.recv()).await });
            if let Ok(Some((name, update))) = next {
                assert_eq!(name, Source::DYNFW);
                self.take(update);
            }
        }
    }

    /// Lets the feed run for a while.
    fn run(&mut self, duration: Duration) {
        let end = std::time::Instant::now() + duration;
        while let left = end.saturating_duration_since(std::time::Instant::now())
            && left > Duration::ZERO
        {
            let updates = &mut self.updates;
            let next = self.local.block_on(&self.runtime, async { timeout(left, updates.recv()).await });
            if let Ok(Some((_, update))) = next {
                self.take(update);
            }
        }
    }

    fn take(&mut self, update: Update) {
        match update {
            Update::Event(event) => self.fold(event),
            Update::State(state) => {
                assert_ne!(self.states.last(), Some(&state), "a state is sent once for each change");
                self.states.push(state);
            }
            Update::Notice { key, text } => self.notices.push((key, text)),
            Update::Sighting { .. } => panic!("sightings come only when they were asked for"),
            Update::Cut(_) => panic!("nothing is beyond the limit"),
        }
    }

    fn fold(&mut self, event: Event) {
        match event {
            Event::List { source, list } if source == Source::DYNFW => {
                let v4 = list.v4.iter().map(|entry| IpAddr::V4(entry.address));
                let v6 = list.v6.iter().map(|entry| IpAddr::V6(entry.address));
                self.banned = v4.chain(v6).map(|address| address.to_string()).collect();
            }
            Event::Ban { source, net, .. } if source == Source::DYNFW => _ = self.banned.insert(net.addr().to_string()),
            Event::Unban { source, net } if source == Source::DYNFW => _ = self.banned.remove(&net.addr().to_string()),
            Event::Contact { source } if source == Source::DYNFW => self.contacts += 1,
            Event::Lapse { source } if source == Source::DYNFW => self.lapses += 1,
            other => panic!("DynFW posts no {other:?}"),
        }
    }

    #[track_caller]
    fn until_live(&mut self) {
        self.until(SOON, "the feed is live", |feed| feed.states.last() == Some(&FeedState::Live));
    }

    /// Until what it posted is the publisher's list, whose updates have stopped.
    #[track_caller]
    fn until_equal(&mut self, sentinel: &mut Sentinel) {
        let expected = sentinel.addresses();
        self.until(SOON, "the feed equals the list", |feed| feed.banned == expected);
    }

    /// The sentence of the last failure, once there is one.
    #[track_caller]
    fn until_failed(&mut self) -> String {
        let failed = |feed: &Follower| matches!(feed.states.last(), Some(FeedState::Waiting { .. }));
        self.until(SOON, "the connection fails", failed);
        match self.states.last() {
            Some(FeedState::Waiting { error, .. }) => error.clone(),
            _ => unreachable!(),
        }
    }
}

fn settings(sentinel: &Sentinel) -> dynfw::Settings {
    dynfw::Settings {
        server: "127.0.0.1".into(),
        port: u16::try_from(sentinel.port).expect("a port"),
        server_key: sentinel.public_key.clone(),
        key_url: None,
        ..dynfw::Settings::default()
    }
}

#[test]
fn takes_the_list_and_follows_deltas_over_curve() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--list-every", "0.5", "--size", "20000"]);
    let mut feed = Follower::of(&sentinel);
    feed.until_live();
    feed.until_equal(&mut sentinel);
    sentinel.tell("add 203.0.113.7");
    sentinel.tell("add 2001:db8::7");
    sentinel.tell("del 45.0.0.1");
    feed.until_equal(&mut sentinel);
    assert_eq!(feed.handle.gauges.lists.get(), 1);
    assert_eq!(feed.handle.gauges.serial.get(), 4);
    assert_eq!(feed.contacts, 1);
}

#[test]
fn started_in_the_middle_of_a_stream_nothing_is_missing() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--list-every", "2", "--size", "20000"]);
    sentinel.tell("deltas 500");
    let mut feed = Follower::of(&sentinel);
    feed.until_live();
    feed.run(Duration::from_secs(5));
    sentinel.tell("deltas 0");
    feed.until_equal(&mut sentinel);
    let gauges = &feed.handle.gauges;
    assert_eq!((gauges.lists.get(), gauges.resyncs.get()), (1, 0), "one list, and not one delta lost after it");
}

#[test]
fn a_server_without_curve_is_followed_when_no_key_is_set() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--null", "--list-every", "0.5", "--size", "100000"]);
    let mut feed = Follower::of(&sentinel);
    feed.until_live();
    sentinel.tell("burst 2000");
    feed.until_equal(&mut sentinel);
}

#[test]
fn the_list_topic_is_subscribed_only_while_a_list_is_needed() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--xpub", "--list-every", "1", "--size", "100"]);
    let mut feed = Follower::of(&sentinel);
    feed.until_live();
    feed.run(Duration::from_millis(500));
    assert_eq!(sentinel.tell("subscriptions")["subscriptions"], serde_json::json!(["dynfw/delta"]));
    sentinel.tell("publish off");
    sentinel.tell("skip 1");
    sentinel.tell("burst 1");
    feed.until(SOON, "the gap is noticed", |feed| feed.states.last() == Some(&FeedState::Synchronising));
    feed.run(Duration::from_millis(500));
    assert_eq!(sentinel.tell("subscriptions")["subscriptions"], serde_json::json!(["dynfw/delta", "dynfw/list"]));
    sentinel.tell("publish");
    feed.until_live();
    feed.until_equal(&mut sentinel);
}

#[test]
fn gaps_in_the_serials_are_healed_under_load() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--list-every", "0.5", "--size", "20000"]);
    let mut feed = Follower::of(&sentinel);
    feed.until_live();
    sentinel.tell("deltas 500");
    for lost in 1..5 {
        sentinel.tell(&format!("skip {lost}"));
        feed.run(Duration::from_millis(900));
    }
    sentinel.tell("deltas 0");
    feed.until_equal(&mut sentinel);
    feed.until_live();
    assert_eq!(feed.handle.gauges.resyncs.get(), 4, "one for each gap");
}

#[test]
fn a_server_restarted_with_a_lower_serial_is_followed_again() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--serial", "1000000", "--list-every", "0.5", "--size", "2000"]);
    let mut feed = Follower::of(&sentinel);
    feed.until_live();
    sentinel.tell("deltas 500");
    feed.run(Duration::from_millis(500));
    sentinel.tell("close");
    let connection_ends = |feed: &Follower| matches!(feed.states.last(), Some(FeedState::Waiting { .. }));
    feed.until(SOON, "the end of the connection is noticed", connection_ends);
    sentinel.tell("version 0");
    sentinel.tell("restart 3");
    feed.until_live();
    feed.run(Duration::from_millis(500));
    sentinel.tell("deltas 0");
    feed.until_equal(&mut sentinel);
    assert!(feed.handle.gauges.serial.get() < 1_000_000);
}

#[test]
fn a_server_restarted_behind_a_relay_is_followed_again() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--serial", "1000000", "--list-every", "0.5", "--size", "2000"]);
    let mut feed = Follower::of(&sentinel);
    feed.until_live();
    let states = feed.states.len();
    sentinel.tell("serial 7");
    sentinel.tell("burst 20");
    feed.until(SOON, "the lower serials are noticed", |feed| feed.states.len() > states);
    feed.until_live();
    feed.until_equal(&mut sentinel);
    assert!(!feed.states.iter().any(|state| matches!(state, FeedState::Waiting { .. })), "the connection stayed");
}

#[test]
fn nothing_is_missing_after_cuts_with_data_in_flight() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--list-every", "0.5", "--size", "100000"]);
    // The first connection ends in the middle of the list.
    let relay = Relay::start(sentinel.port, 700_000);
    let mut feed = Follower::start(dynfw::Settings { port: relay.port, ..settings(&sentinel) });
    sentinel.tell("deltas 500");
    feed.until_live();
    let mut cuts = 0;
    while cuts < 2 {
        feed.run(Duration::from_millis(700));
        relay.cut();
        cuts += 1;
        feed.until(SOON, "the cut is noticed", |feed| {
            feed.states.iter().filter(|state| matches!(state, FeedState::Waiting { .. })).count() > cuts
        });
        feed.until_live();
    }
    feed.run(Duration::from_millis(700));
    sentinel.tell("deltas 0");
    feed.until_equal(&mut sentinel);
}

#[test]
fn the_owner_can_ask_for_a_list() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--list-every", "0.5", "--size", "100"]);
    let mut feed = Follower::of(&sentinel);
    feed.until_live();
    feed.handle.resync.notify_one();
    feed.until(SOON, "a second list", |feed| feed.handle.gauges.lists.get() == 2);
    feed.until_live();
    feed.until_equal(&mut sentinel);
}

#[test]
fn bans_lapse_in_silence_and_come_back_with_the_list() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--list-every", "0.5", "--size", "100"]);
    let max_age = Duration::from_secs(2);
    let mut feed = Follower::start(dynfw::Settings { max_age, ..settings(&sentinel) });
    feed.until_live();
    sentinel.tell("publish off");
    feed.until(SOON, "the bans lapse", |feed| feed.lapses == 1);
    feed.banned.clear();
    feed.run(Duration::from_secs(3));
    assert_eq!(feed.lapses, 1, "once is enough");
    sentinel.tell("publish every 0.5");
    feed.until_live();
    feed.until_equal(&mut sentinel);
    assert_eq!(feed.contacts, 2);
}

#[test]
fn bad_messages_are_refused_and_the_connection_lives_on() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--list-every", "0.5", "--size", "100"]);
    let mut feed = Follower::of(&sentinel);
    feed.until_live();
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let topic = hex("dynfw/delta");
    let whole = "84a673657269616c07a564656c7461a8706f736974697665a26970a7312e322e332e34a2747307";
    let table = [
        (topic.clone(), "1 frames"),
        (format!("{topic} {whole} {whole}"), "3 frames"),
        (format!("{topic} c1"), "no MessagePack"),
        (format!("{topic} -"), "ends in the middle"),
        (format!("{topic} {}", &whole[..30]), "ends in the middle"),
        (format!("{} {whole}", hex("dynfw/delta2")), "unknown topic \"dynfw/delta2\""),
        (format!("{topic} 80"), "\"delta\" is missing"),
        (format!("{topic} {}", whole.replace("73657269616c07", "73657269616cc3")), "\"serial\" is a boolean"),
        (format!("{topic} 9107"), "an array"),
    ];
    let mut refused = 0;
    for (frames, reason) in &table {
        sentinel.tell(&format!("raw {frames}"));
        refused += 1;
        feed.until(SOON, reason, |feed| feed.handle.gauges.refused_messages.get() == refused);
        let refusal = feed.handle.gauges.last_refusal.borrow().clone().unwrap_or_default();
        assert!(refusal.contains(reason), "{refusal:?} does not say {reason:?}");
    }
    // 3 MB of rubbish are under the limit.
    sentinel.tell("big dynfw/delta 3000000");
    refused += 1;
    feed.until(SOON, "a big frame is refused", |feed| feed.handle.gauges.refused_messages.get() == refused);
    // An address that is none costs nothing else; private ones are for the ledger to judge.
    sentinel.tell("add not-an-address");
    sentinel.tell("add 203.0.113.9");
    sentinel.tell("add 192.168.1.1");
    feed.until(SOON, "the addresses after it", |feed| feed.banned.contains("192.168.1.1"));
    assert!(feed.banned.contains("203.0.113.9"));
    assert_eq!(feed.handle.gauges.refused_addresses.get(), 1);
    let notices: Vec<_> = feed.notices.iter().map(|(key, text)| (*key, text.is_some())).collect();
    assert_eq!(notices, [("refused", true)], "one notice for the burst");
    assert!(!feed.states.iter().any(|state| matches!(state, FeedState::Waiting { .. })), "{:?}", feed.states);
    assert_eq!(feed.handle.gauges.resyncs.get(), 0);
}

#[test]
fn a_frame_above_the_limit_ends_the_connection() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--list-every", "0.5", "--size", "100"]);
    let mut feed = Follower::of(&sentinel);
    feed.until_live();
    sentinel.tell("big dynfw/delta 209715200");
    let error = feed.until_failed();
    assert!(error.contains("frame of 2097152") && error.contains("at most 16777"), "{error}");
    feed.until_live();
    sentinel.tell("add 203.0.113.9");
    feed.until_equal(&mut sentinel);
}

#[test]
fn each_kind_of_failure_has_its_own_sentence() {
    let _netns = Netns::enter();
    let curve = Sentinel::start(&[]);
    let null = Sentinel::start(&["--null"]);
    let other_key = Sentinel::start(&[]).public_key;
    let stranger = |said: &'static [u8]| dynfw::Settings { port: stranger(said), ..settings(&curve) };
    let closed = Sentinel::start(&[]);
    let closed_port = u16::try_from(closed.port).expect("a port");
    drop(closed);
    let table = [
        (dynfw::Settings { server_key: other_key.clone(), ..settings(&curve) }, "wrong server key"),
        (dynfw::Settings { server_key: None, ..settings(&curve) }, "asks for CURVE"),
        (dynfw::Settings { server_key: other_key.clone(), ..settings(&null) }, "speaks no CURVE"),
        (dynfw::Settings { server: "nowhere.invalid".into(), ..settings(&curve) }, "does not resolve"),
        (dynfw::Settings { port: closed_port, ..settings(&curve) }, "refused"),
        (dynfw::Settings { server_key: Some("short".into()), ..settings(&curve) }, "40 Z85 characters"),
        (stranger(b"SSH-2.0-dropbear\r\n"), "something else than ZeroMQ: it said \"SSH-2.0-dropbear\""),
        (stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "something else than ZeroMQ: it said \"HTTP/1.1"),
        (stranger(b""), "something else than ZeroMQ"),
        (stranger(b"\xff\0\0\0\0\0\0\0\x01\x7f\x01"), "ZMTP 1"),
    ];
    for (settings, expected) in table {
        let mut feed = Follower::start(settings);
        let error = feed.until_failed();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
}

#[test]
fn a_dead_connection_is_noticed_within_a_minute_and_a_quiet_one_is_kept() {
    let _netns = Netns::enter();
    let mut dead = Sentinel::start(&["--list-every", "0.5", "--size", "10"]);
    let mut feed = Follower::of(&dead);
    feed.until_live();
    dead.tell("publish off");
    let watcher = std::thread::spawn(|| {
        let mut quiet = Sentinel::start(&["--list-every", "0.5", "--size", "10"]);
        let mut feed = Follower::of(&quiet);
        feed.until_live();
        quiet.tell("publish off");
        feed.run(Duration::from_secs(65));
        quiet.tell("add 203.0.113.9");
        feed.until_equal(&mut quiet);
        assert_eq!(feed.states.last(), Some(&FeedState::Live));
        assert_eq!(feed.handle.gauges.lists.get(), 1, "one connection, one list");
    });
    dead.signal(nix::sys::signal::Signal::SIGSTOP);
    let noticed = |feed: &Follower| matches!(feed.states.last(), Some(FeedState::Waiting { .. }));
    feed.until(Duration::from_secs(60), "the silence is noticed", noticed);
    assert!(feed.until_failed().contains("no sign of life"), "{:?}", feed.states);
    dead.signal(nix::sys::signal::Signal::SIGCONT);
    dead.tell("publish every 0.5");
    feed.until_live();
    watcher.join().expect("the quiet connection is kept");
}

/// A port where somebody says something that is not ZMTP, then hangs up.
fn stranger(said: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.write_all(said);
            // Takes what the client says, so that the end is an orderly one.
            let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
            let _ = stream.read(&mut [0; 256]);
        }
    });
    port
}

/// A TCP relay that can be cut. It belongs to the namespace of the thread that starts it.
struct Relay {
    port: u16,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// Relays to `server`; the first connection is cut once so many bytes have come from there.
    fn start(server: u64, first: usize) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let streams = Arc::new(Mutex::new(Vec::new()));
        let opened = Arc::clone(&streams);
        std::thread::spawn(move || {
            let mut left = first;
            for near in listener.incoming() {
                let near = near.expect("a connection");
                let far =
                    TcpStream::connect(("127.0.0.1", u16::try_from(server).expect("a port"))).expect("the server");
                let both = [&near, &far].map(|stream| stream.try_clone().expect("a handle"));
                opened.lock().expect("unpoisoned").extend(both);
                let (up, down) = (near.try_clone().expect("a handle"), far.try_clone().expect("a handle"));
                std::thread::spawn(move || relay(up, far, usize::MAX));
                let limit = std::mem::replace(&mut left, usize::MAX);
                std::thread::spawn(move || relay(down, near, limit));
            }
        });
        Relay { port, streams }
    }

    /// Ends every connection, whatever is on its way.
    fn cut(&self) {
        for stream in self.streams.lock().expect("unpoisoned").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, mut left: usize) {
    let mut chunk = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        if to.write_all(&chunk[..count.min(left)]).is_err() || count >= left {
            break;
        }
        left -= count;
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_publisher_that_is_not_libzmq_is_followed_too() {
    use zeromq::{Socket, SocketSend};

    let _netns = Netns::enter();
    let (port_sender, port) = std::sync::mpsc::channel();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let publisher = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut socket = zeromq::PubSocket::new();
            let endpoint = socket.bind("tcp://127.0.0.1:0").await.expect("bound").to_string();
            port_sender
                .send(endpoint.rsplit(':').next().expect("a port").parse::<u16>().expect("a port"))
                .expect("sent");
            let (mut serial, mut list) = (0u64, BTreeSet::new());
            while stopped.try_recv().is_err() {
                serial += 1;
                let ip = format!("198.51.{}.{}", serial / 250 % 250, serial % 250);
                list.insert(ip.clone());
                let change = serde_json::json!({"serial": serial, "delta": "positive", "ip": ip, "ts": 1});
                publish(&mut socket, "dynfw/delta", &change).await;
                if serial.is_multiple_of(100) {
                    let whole = serde_json::json!({"version": 0, "serial": serial, "ts": 1, "list": list});
                    publish(&mut socket, "dynfw/list", &whole).await;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // What is on its way arrives before the socket goes.
            tokio::time::sleep(Duration::from_millis(500)).await;
            list
        })
    });
    async fn publish(socket: &mut zeromq::PubSocket, topic: &str, payload: &serde_json::Value) {
        let mut message = zeromq::ZmqMessage::from(topic);
        message.push_back(rmp_serde::to_vec_named(payload).expect("packed").into());
        socket.send(message).await.expect("published");
    }

    let port = port.recv().expect("a port");
    let server = "127.0.0.1".into();
    let mut feed =
        Follower::start(dynfw::Settings { server, port, server_key: None, key_url: None, ..Default::default() });
    feed.until_live();
    feed.run(Duration::from_secs(2));
    stop.send(()).expect("told");
    feed.run(Duration::from_millis(400));
    let expected = publisher.join().expect("the publisher ends");
    feed.until(SOON, "the feed equals the list", |feed| feed.banned == expected);
}
