//! What a stranger says, over and over and in signs that a terminal obeys: one line in the log, plain text
//! everywhere.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diswall::outside::is_plain;

use crate::support::{Daemon, Netns, Sentinel, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);
const NO_DYNFW: &str = "config dynfw 'dynfw'\n\toption enabled '0'\n";
const NO_NATS: &str = "config nats 'nats'\n\toption enabled '0'\n";
const NO_EYES: &str = "config scan 'scan'\n\toption enabled '0'\nconfig login 'login'\n\toption enabled '0'\n";
/// ESC, BEL, a C1 CSI, an override and a mark of direction, a line separator.
const EVIL: &str = "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\u{200f}\u{2028}";

/// Nothing in it but what is seen, and line ends.
#[track_caller]
fn is_clean(what: &str, text: &str) {
    let bad = text.chars().find(|c| !is_plain(*c) && *c != '\n');
    assert!(bad.is_none(), "{what}: {bad:?} in {:?}", text.chars().take(2000).collect::<String>());
}

/// All that can be asked for is clean.
#[track_caller]
fn answers_are_clean(daemon: &Daemon) {
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["list"],
        &["list", "--json"],
        &["list", "--csv"],
        &["list", "allow"],
        &["check", "203.0.113.7"],
        &["config", "check"],
    ] {
        is_clean(&format!("{args:?}"), &daemon.exit(args).1);
    }
}

fn lines_about(daemon: &Daemon, what: &str) -> Vec<String> {
    daemon.process().stderr().lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
}

#[test]
fn a_flood_above_the_limit_is_two_lines() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--size", "300"]);
    sentinel.tell("publish every 0.3");
    let sections = [&sentinel.section(), NO_NATS, NO_EYES].join("\n");
    let mut daemon = Daemon::start("\toption max_entries '200'", &sections);
    wait_until(DEADLINE, "the list", || daemon.status()["feeds"][0]["state"] == "live");
    let messages = || daemon.status()["feeds"][0]["messages"].as_u64().unwrap_or(0);
    let before = messages();
    sentinel.tell("burst 20000 1.0");
    wait_until(DEADLINE, "the flood has been read", || messages() > before + 15_000);
    assert_eq!(lines_about(&daemon, "cut; max_entries is 200").len(), 1, "{}", daemon.process().stderr());
    daemon.stop(DEADLINE);
    let said = lines_about(&daemon, "cut; max_entries is 200");
    assert_eq!(said.len(), 2, "the count at the stop: {said:?}");
    assert!(said[1].contains("such lines)"), "{said:?}");
}

/// A server that refuses each client with the same text, and counts them.
fn refuse(text: Arc<Mutex<String>>, clients: Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 4222)).expect("the port");
    for socket in listener.incoming().flatten() {
        let text = text.lock().expect("unpoisoned").clone();
        clients.fetch_add(1, Ordering::SeqCst);
        // The daemon may have had enough.
        let _ = refuse_one(socket, &text);
    }
}

fn refuse_one(mut socket: TcpStream, text: &str) -> std::io::Result<()> {
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.write_all(b"INFO {\"max_payload\":1048576}\r\n")?;
    for line in BufReader::new(socket.try_clone()?).lines() {
        match line? {
            line if line.starts_with("PING") => socket.write_all(b"PONG\r\n")?,
            line if line.starts_with("SUB") => break,
            _ => {}
        }
    }
    socket.write_all(format!("-ERR '{text}'\r\n").as_bytes())
}

#[test]
fn what_a_server_says_is_cut_cleaned_and_not_repeated() {
    let _netns = Netns::enter();
    let text = Arc::new(Mutex::new(format!("{EVIL}{}{EVIL}", "A".repeat(20_000))));
    let clients = Arc::new(AtomicUsize::new(0));
    let shared = (Arc::clone(&text), Arc::clone(&clients));
    std::thread::spawn(move || refuse(shared.0, shared.1));
    let nats = "config nats 'nats'\n\toption server '127.0.0.1'\n\toption client_name 'alice'\n\
                \toption client_pass 'x'\n";
    let evil = format!(
        "config allow\n\toption ip '203.0.113.7'\n\toption comment 'a{EVIL}b'\n\
         config block\n\toption ip '203.0.113.8'\n\toption comment 'c{EVIL}d'\n\
         config block\n\toption ip '203{EVIL}'\n\
         config logwatch 'w'\n\toption source '/tmp/{EVIL}'\n\tlist pattern '{EVIL}<HOST>'\n"
    );
    let mut daemon = Daemon::start("", &[NO_DYNFW, nats, NO_EYES, &evil].join("\n"));
    for round in 1..=20 {
        wait_until(DEADLINE, "a client is refused", || clients.load(Ordering::SeqCst) >= round);
        *text.lock().expect("unpoisoned") = format!("Permissions Violation for Publish to \"{round}{EVIL}\"{EVIL}");
        wait_until(DEADLINE, "it waits", || daemon.status()["feeds"][1]["state"] == "waiting");
        if round == 1 {
            let error = daemon.status()["feeds"][1]["error"].as_str().expect("why").to_owned();
            assert!(error.contains("AAA") && error.len() < 500, "{error}");
        }
        daemon.cli(&["resync", "nats"]);
    }
    daemon.cli(&["block", "203.0.113.9", "--timeout", "600", "--by", "prog", "--comment", "e\u{202e}f\u{200f}g"]);
    assert!(daemon.cli(&["list", "--csv"]).contains("efg"));
    let (_, refusal) = daemon.exit(&["block", "203.0.113.9", "--timeout", "600", "--by", &format!("p{EVIL}")]);
    is_clean("a refused holder", &refusal);
    answers_are_clean(&daemon);
    daemon.stop(DEADLINE);
    let said = lines_about(&daemon, "nats: ");
    // Four states and two notices, each at once and once more at the stop.
    assert!(said.len() <= 12, "{} lines: {said:#?}", said.len());
    is_clean("the log", &daemon.process().stderr());
    assert!(said.iter().all(|line| line.len() < 1500), "{said:?}");
}
