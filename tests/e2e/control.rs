//! Who holds the control socket: whoever squats there, a command has its place at once.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::support::{Daemon, Netns, Proc, wait_until};

const DEADLINE: Duration = Duration::from_secs(20);
const SQUATTERS: usize = 64;
/// Within which a command has its answer. The machine may run a dozen other tests: the best of three counts.
const AT_ONCE: Duration = Duration::from_millis(200);

const NOTHING: &str = "config dynfw 'dynfw'\n\toption enabled '0'\nconfig nats 'nats'\n\toption enabled '0'\n\
                       config scan 'scan'\n\toption enabled '0'\nconfig login 'login'\n\toption enabled '0'\n";

const COMMANDS: [&str; 4] = [
    r#"{"method":"status","params":{}}"#,
    r#"{"method":"check","params":{"address":"203.0.113.7"}}"#,
    r#"{"method":"ban","params":{"addresses":["203.0.113.7"],"timeout":600}}"#,
    r#"{"method":"unban","params":{"addresses":["203.0.113.7"]}}"#,
];
const WATCH: &str = r#"{"method":"watch","params":{}}"#;
const LONGEST: &str = r#"{"method":"bans","params":{"limit":1000}}"#;

fn socket(daemon: &Daemon) -> PathBuf {
    daemon.path("run/control.sock")
}

/// Connects, says something and does nothing more. A full queue of the socket refuses: as good.
fn squat(socket: &Path, says: &str) -> Option<UnixStream> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(says.as_bytes()).ok()?;
    Some(stream)
}

fn ask(socket: &Path, request: &str) -> (String, Duration) {
    let start = Instant::now();
    let mut stream = UnixStream::connect(socket).expect("the socket");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    stream.write_all(format!("{request}\n").as_bytes()).expect("a request");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    (answer, start.elapsed())
}

#[track_caller]
fn all_answer_at_once(socket: &Path, who: &str) {
    for request in COMMANDS {
        let tries = [(); 3].map(|()| ask(socket, request));
        for (answer, _) in &tries {
            assert!(answer.ends_with("}\n") && !answer.contains("\"code\":\"failed\""), "{who}: {request}: {answer:?}");
        }
        let best = tries.iter().map(|(_, took)| *took).min().expect("three tries");
        assert!(best < AT_ONCE, "{who}: {request}: {best:?}");
    }
}

/// A daemon with as many bans as a page has, each with the longest comment.
fn with_a_long_page() -> Daemon {
    let daemon = Daemon::start("", NOTHING);
    let addresses: Vec<String> = (0..1000).map(|n| format!("198.51.{}.{}", n / 250, n % 250)).collect();
    let (comment, mut args) = ("c".repeat(120), vec!["block", "--timeout", "3600", "--comment"]);
    args.push(&comment);
    args.extend(addresses.iter().map(String::as_str));
    daemon.cli(&args);
    daemon
}

#[test]
fn whoever_squats_a_command_has_its_place() {
    let _netns = Netns::enter();
    let daemon = with_a_long_page();
    let socket = socket(&daemon);
    all_answer_at_once(&socket, "nobody");
    for (who, says) in [
        ("the silent", String::new()),
        ("half a request", r#"{"method":"sta"#.into()),
        ("a long half", format!("{{\"method\":\"status\",\"x\":\"{}", "x".repeat(60_000))),
        ("watchers", format!("{WATCH}\n")),
        ("who do not read", format!("{LONGEST}\n")),
    ] {
        let squatters: Vec<_> = (0..SQUATTERS).map(|_| squat(&socket, &says)).collect();
        all_answer_at_once(&socket, who);
        drop(squatters);
    }
}

/// Who may write the configuration is not always root, and names the socket's place.
#[test]
fn what_is_no_socket_is_not_taken_away_nor_is_a_place_made_for_one() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::prepare("\toption local_only '1'", NOTHING);
    daemon.load_rules();
    daemon.run_as_root();
    let (precious, elsewhere) = (daemon.path("precious"), tempfile::tempdir().expect("a place"));
    std::fs::write(&precious, "kept").expect("a file");
    let new = elsewhere.path().join("hotplug.d/new");
    let names = |place: &Path| {
        daemon.configure(&format!("\toption local_only '1'\n\toption control '{}'", place.display()), NOTHING)
    };
    for (place, said) in [(precious.as_path(), "no socket of diswall's"), (&new.join("x"), "begins with diswall")] {
        names(place);
        daemon.reload();
        daemon.process().stderr_with(said, DEADLINE);
        assert_eq!(daemon.status()["state"], "local");
    }
    names(&precious);
    daemon.stop(DEADLINE);
    let mut again = Proc::spawn(&daemon.command(&["run", "--foreground"]));
    assert!(!again.wait(DEADLINE).success());
    again.stderr_with("no socket of diswall's", DEADLINE);
    assert_eq!(std::fs::read_to_string(&precious).expect("the file"), "kept");
    assert!(!new.exists());
}

/// A byte now and then is no answer.
#[test]
fn an_answer_that_drips_is_given_up() {
    let daemon = Daemon::prepare("\toption local_only '1'", NOTHING);
    std::fs::create_dir(daemon.path("run")).expect("a directory");
    let listener = std::os::unix::net::UnixListener::bind(socket(&daemon)).expect("a socket");
    let dripping = std::thread::spawn(move || {
        let (mut guest, _) = listener.accept().expect("a guest");
        while guest.write_all(b"{").is_ok() {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let (code, said) = daemon.exit(&["status"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("did not answer within 10 s"), "{said}");
    dripping.join().expect("it dripped until nobody listened");
}

/// connect(2) waits for room in a listener's queue, and whoever holds the listener need not make any.
#[test]
fn a_full_queue_holds_up_neither_a_command_nor_the_daemon() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::prepare("\toption local_only '1'", NOTHING);
    daemon.load_rules();
    daemon.run_as_root();
    let full = daemon.path("full.sock");
    let listener = std::os::unix::net::UnixListener::bind(&full).expect("a socket");
    let queue: Vec<_> = std::iter::from_fn(|| {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let guest = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket");
        connect(&guest, &SocketAddrUnix::new(&full).expect("a path")).ok().map(|()| guest)
    })
    .collect();
    daemon.configure(&format!("\toption local_only '1'\n\toption control '{}'", full.display()), NOTHING);
    daemon.reload();
    daemon.process().stderr_with("another diswall already answers", DEADLINE);
    let (answer, _) = ask(&socket(&daemon), COMMANDS[0]);
    assert!(answer.contains("\"state\":\"local\""), "{answer}");
    let (code, said) = daemon.exit(&["status"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("did not answer within 10 s"), "{said}");
    daemon.stop(DEADLINE);
    let mut again = Proc::spawn(&daemon.command(&["run", "--foreground"]));
    assert!(!again.wait(DEADLINE).success());
    drop((listener, queue));
}

#[test]
fn an_unfinished_request_gives_way_to_newer_ones_and_a_watcher_too_many_is_told() {
    let _netns = Netns::enter();
    let daemon = Daemon::start("", NOTHING);
    let socket = socket(&daemon);
    // Of the account, which nobody but the daemon has: some, and none of root's places.
    let script = "import socket, sys\n\
                  held = []\n\
                  for says in [b'{', sys.argv[2].encode() + b'\\n'] * 64:\n\
                  \x20   try:\n\
                  \x20       s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(says); held.append(s)\n\
                  \x20   except OSError: pass\n\
                  print('ready', flush=True)\n\
                  sys.stdin.read()\n";
    let mut command = Command::new("setpriv");
    command.args(["--reuid=914", "--regid=914", "--clear-groups", "/usr/bin/python3", "-c", script]);
    let account = Proc::spawn(command.arg(&socket).arg(WATCH));
    account.line_with("ready", DEADLINE);
    all_answer_at_once(&socket, "the account");

    let mut half = squat(&socket, r#"{"method":"status","#).expect("a half request");
    half.write_all(b"\"params\":{}}\n").expect("the other half");
    let mut answer = String::new();
    BufReader::new(half).read_line(&mut answer).expect("an answer");
    assert!(answer.contains("\"version\""), "root's request is not thrown out for others': {answer}");

    let watchers: Vec<_> = (0..8).map(|_| squat(&socket, &format!("{WATCH}\n")).expect("a watcher")).collect();
    wait_until(DEADLINE, "the places are taken", || ask_watch(&socket).is_some());
    let refusal = ask_watch(&socket).expect("a refusal");
    assert!(refusal.contains("16 clients watch already"), "{refusal}");
    let (status, printed) = daemon.exit(&["watch"]);
    assert!(status != Some(0) && printed.contains("16 clients watch already"), "{status:?} {printed}");
    drop(watchers);
    wait_until(DEADLINE, "a place is free", || ask_watch(&socket).is_none());
}

/// The refusal, if there is one at once.
fn ask_watch(socket: &Path) -> Option<String> {
    let stream = squat(socket, &format!("{WATCH}\n"))?;
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).ok().filter(|length| *length > 0).map(|_| answer)
}
