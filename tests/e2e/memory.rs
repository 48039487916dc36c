//! What outsiders can make the daemon hold: with as little memory as a router has, in a control group of 40 MB,
//! it takes whatever a feed, a log, the network or a client of its socket sends, goes on answering, and takes the
//! next honest list.
//!
//! The control group is the kernel's, version 1 or 2, whichever the machine has. The peak is the kernel's own
//! count for the process.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Daemon, Netns, Peer, Proc, Sentinel, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);
/// What a router with 64 MB has to give.
const GROUP: u64 = 40 << 20;
/// The daemon's own share of it, in kB; its file is 2.2 MB more on a router.
const MOST: u64 = 20 * 1024;
const PORT: u16 = 4222;
/// What a list is when nobody means harm.
const HONEST: &str = "203.0.113.77 timeout 900\n";
const NO_NATS: &str = "config nats 'nats'\n\toption enabled '0'\n";
const NO_LOGIN: &str = "config login 'login'\n\toption enabled '0'\n";

/// A control group of the test's own, removed with it.
struct Group(PathBuf);

impl Group {
    fn new() -> Group {
        let (root, limit) = match Path::new("/sys/fs/cgroup/memory").is_dir() {
            true => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            false => ("/sys/fs/cgroup", "memory.max"),
        };
        let group = Group(Path::new(root).join(
            format!("diswall-test-{}-{:?}", std::process::id(), Instant::now()).replace([' ', '{', '}', ':', ','], ""),
        ));
        fs::create_dir(&group.0).expect("a control group");
        fs::write(group.0.join(limit), GROUP.to_string()).expect("its limit");
        group
    }

    /// The command, run inside the group.
    fn command(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", self.0.display());
        inside.args(["-c", &enter]).arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            inside.current_dir(directory);
        }
        inside
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Once its last process has gone.
        for _ in 0..50 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What the fake server answers to a request for a list: the block list and the allow list.
type Answers = Arc<Mutex<(String, String)>>;

/// A NATS server that answers every request with what it is given last. What the attacker on the path would be.
fn serve(answers: &Answers, told: &Sender<()>) {
    let listener = TcpListener::bind(("127.0.0.1", PORT)).expect("the port");
    for socket in listener.incoming().flatten() {
        let (answers, told) = (answers.lock().expect("the answers").clone(), told.clone());
        std::thread::spawn(move || {
            // The daemon ends the connection when it is given too much: that is no error here.
            let _ = converse(socket, &answers, &told);
        });
    }
}

fn converse(mut socket: TcpStream, (block, allow): &(String, String), told: &Sender<()>) -> std::io::Result<()> {
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_write_timeout(Some(Duration::from_secs(20)))?;
    socket.write_all(b"INFO {\"max_payload\":8388608}\r\n")?;
    let lines = BufReader::new(socket.try_clone()?).lines();
    let mut inbox = String::new();
    for line in lines {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["PING"] => socket.write_all(b"PONG\r\n")?,
            ["SUB", subject, sid] if subject.starts_with("_INBOX") => inbox = (*sid).to_owned(),
            ["PUB", subject, reply, _] => {
                let body = if subject.contains("whitelist") { allow } else { block };
                socket.write_all(format!("MSG {reply} {inbox} {}\r\n", body.len()).as_bytes())?;
                let sent = socket.write_all(body.as_bytes()).and_then(|()| socket.write_all(b"\r\n"));
                told.send(()).map_err(std::io::Error::other)?;
                sent?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn lines_of(line: &str, bytes: usize) -> String {
    line.repeat(bytes / line.len())
}

/// Different IPv6 addresses, one a line.
fn different(bytes: usize) -> String {
    let mut text = String::new();
    let mut number = 0u32;
    while text.len() < bytes {
        let _ = writeln!(text, "{:x}:{:x}::1", 0x2001 + (number >> 16), number & 0xffff);
        number += 1;
    }
    text
}

/// Memory of the process' own at its most, in kB: what is resident without the program's file, of which a build for
/// finding mistakes has ten megabytes more than a router's.
fn peak(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.process().id())).expect("it lives");
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes")
    };
    // A program that lies in /tmp may be shared memory to the kernel.
    kilobytes("VmHWM:").saturating_sub(kilobytes("RssFile:") + kilobytes("RssShmem:"))
}

/// Asks for the status all the time, while the rest goes on.
struct Asking {
    waits: Arc<Mutex<Waits>>,
    pid: u32,
}

/// The longest wait for an answer, by the clock, and by what the daemon itself did meanwhile; and when the question was
/// asked that waits now, with the daemon's time by then.
#[derive(Default)]
struct Waits {
    clock: Duration,
    work: Duration,
    open: Option<(Instant, Duration)>,
}

impl Waits {
    fn note(&mut self, pid: u32) {
        if let Some((begun, before)) = self.open {
            self.clock = self.clock.max(begun.elapsed());
            self.work = self.work.max(cpu(pid).saturating_sub(before));
        }
    }
}

impl Asking {
    /// Begins, and goes on until this is dropped.
    fn begin(daemon: &Daemon) -> Asking {
        let asking = Asking { waits: Arc::default(), pid: daemon.process().id() };
        let (waits, socket, pid) = (Arc::clone(&asking.waits), daemon.path("run/control.sock"), asking.pid);
        std::thread::spawn(move || {
            while Arc::strong_count(&waits) > 1 {
                waits.lock().expect("unpoisoned").open = Some((Instant::now(), cpu(pid)));
                let answered = ask(&socket);
                let mut waits = waits.lock().expect("unpoisoned");
                if answered.is_ok() {
                    waits.note(pid);
                }
                waits.open = None;
                drop(waits);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        asking
    }

    /// The longest waits since this was called last, the one that goes on included.
    fn longest(&self) -> Waits {
        let mut waits = self.waits.lock().expect("unpoisoned");
        waits.note(self.pid);
        let open = waits.open;
        std::mem::replace(&mut waits, Waits { open, ..Waits::default() })
    }
}

/// What the process's first thread has had of a CPU, to the nanosecond.
fn cpu(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0))
}

fn ask(socket: &Path) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"{\"method\":\"status\"}\n")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    if answer.contains("uptime") { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

/// It lives, is small, and has answered all the time.
#[track_caller]
fn stands(daemon: &mut Daemon, asking: &Asking, what: &str) {
    assert!(daemon.process_mut().is_running(), "{what}: the daemon ended:\n{}", daemon.process().stderr());
    let start = Instant::now();
    daemon.status();
    let (peak, Waits { clock, work, .. }) = (peak(daemon), asking.longest());
    let clock = clock.max(start.elapsed());
    println!("| {what} | {peak} kB | {} ms, {} of them the daemon's | ", clock.as_millis(), work.as_millis());
    // By the clock a second on a router's quiet machine; this one may run a dozen tests. The daemon's own part, of a
    // program made for finding mistakes, is the same everywhere.
    assert!(clock < Duration::from_secs(10), "{what}: {clock:?} for status");
    assert!(work < Duration::from_secs(2), "{what}: {work:?} of work before status is answered");
    assert!(peak <= MOST, "{what}: {peak} kB at its most");
}

#[test]
fn no_list_of_nats_becomes_larger_than_a_router_can_hold() {
    let _netns = Netns::enter();
    let group = Group::new();
    let answers = Answers::default();
    let give = |login: &str, text: String| {
        // An honest server does not allow whom it blocks.
        let allow = if login == "default" || text == HONEST { String::new() } else { text.clone() };
        *answers.lock().expect("the answers") = (text, allow);
    };
    let (told, served) = channel();
    let shared = Arc::clone(&answers);
    std::thread::spawn(move || serve(&shared, &told));
    for login in ["default", "alice"] {
        let nats = |host: usize| {
            format!(
                "config nats 'nats'\n\toption server '127.0.0.1'\n\toption client_name '{login}'\n\
                 \toption client_pass 'x'\n\toption hostname 'h{host}'\nconfig dynfw 'dynfw'\n\toption enabled '0'\n\
                 config login 'login'\n\toption enabled '0'\n"
            )
        };
        let mut daemon = Daemon::prepare("", &nats(0));
        daemon.load_rules();
        let command = group.command(&daemon.as_installed());
        give(login, String::new());
        daemon.spawn(&command);
        daemon.wait_answering();
        let asking = Asking::begin(&daemon);
        let attacks = [
            ("8 MiB of ::1", lines_of("::1\n", 8 << 20)),
            ("4 MiB of ::1", lines_of("::1\n", (4 << 20) - 8)),
            ("as many addresses as 4 MiB have", different((4 << 20) - 64)),
            ("an honest list", HONEST.into()),
        ];
        for (number, (what, body)) in attacks.into_iter().enumerate() {
            give(login, body);
            while served.try_recv().is_ok() {}
            // Another host name: the feed begins anew, and asks.
            daemon.configure("", &nats(number + 1));
            daemon.reload();
            served.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{login}: {what}: nobody asked"));
            wait_until(DEADLINE, &format!("{login}: {what} is taken, or refused"), || {
                let status = daemon.status();
                let feeds = status["feeds"].as_array().expect("feeds");
                let state = &feeds.iter().find(|feed| feed["name"] == "nats").expect("the feed")["state"];
                state == "live" || state == "waiting"
            });
            stands(&mut daemon, &asking, &format!("{login}: {what}"));
        }
        wait_until(DEADLINE, "the honest list is taken", || daemon.try_cli(&["check", "203.0.113.77"]).is_ok());
        stands(&mut daemon, &asking, login);
    }
}

#[test]
fn no_list_of_dynfw_becomes_larger_than_a_router_can_hold() {
    let _netns = Netns::enter();
    let group = Group::new();
    let mut sentinel = Sentinel::start(&["--size", "0"]);
    let sections = format!(
        "{}config nats 'nats'\n\toption enabled '0'\nconfig login 'login'\n\toption enabled '0'\n",
        sentinel.section()
    );
    let mut daemon = Daemon::prepare("", &sections);
    daemon.load_rules();
    let command = group.command(&daemon.as_installed());
    daemon.spawn(&command);
    daemon.wait_answering();
    let asking = Asking::begin(&daemon);
    let waits = |daemon: &Daemon| {
        wait_until(DEADLINE, "the feed waits for a list", || daemon.status()["feeds"][0]["state"] == "synchronising");
    };
    waits(&daemon);
    for (what, attack) in [
        ("31 MiB of rubbish", format!("big dynfw/list {}", 31 << 20)),
        ("4 MB of ::1", "flood ::1 1000000".into()),
        ("32 MB of ::1", "flood ::1 8000000".into()),
        ("4 MB of addresses", "list 270000".into()),
    ] {
        waits(&daemon);
        sentinel.tell(&attack);
        if what.ends_with("addresses") {
            sentinel.tell("publish");
        }
        let messages = |daemon: &Daemon| {
            let feed = &daemon.status()["feeds"][0];
            feed["messages"].as_u64().unwrap_or(0) + u64::from(feed["state"] == "waiting")
        };
        wait_until(DEADLINE, &format!("{what} has arrived"), || {
            !daemon.process_mut().is_running() || messages(&daemon) > 0
        });
        stands(&mut daemon, &asking, what);
        daemon.cli(&["resync", "dynfw"]);
    }
    sentinel.tell("addresses 203.0.113.77");
    wait_until(DEADLINE, "the honest list is taken", || {
        // Asked for while the last list was coming, it was that one.
        if daemon.status()["feeds"][0]["state"] == "live" {
            daemon.cli(&["resync", "dynfw"]);
        }
        sentinel.tell("publish");
        daemon.try_cli(&["check", "203.0.113.77"]).is_ok()
    });
    stands(&mut daemon, &asking, "at the end");
}

/// A daemon in a group of 40 MB with a feed that gives its list; the rest of its configuration is `sections`.
struct Besieged {
    daemon: Daemon,
    sentinel: Sentinel,
    asking: Asking,
    _group: Group,
}

impl Besieged {
    fn start(sections: &[&str]) -> Besieged {
        let group = Group::new();
        let sentinel = Sentinel::start(&["--size", "1000"]);
        let mut daemon = Daemon::prepare("", &format!("{}{NO_NATS}{}", sentinel.section(), sections.concat()));
        daemon.load_rules();
        let command = group.command(&daemon.as_installed());
        daemon.spawn(&command);
        daemon.wait_answering();
        let asking = Asking::begin(&daemon);
        Besieged { daemon, sentinel, asking, _group: group }
    }

    /// It lives, is small and answers.
    #[track_caller]
    fn holds(&mut self, what: &str) {
        stands(&mut self.daemon, &self.asking, what);
    }

    /// What was done to it is over or goes on: it answers, is small, and takes the next honest list.
    fn stands(&mut self, what: &str) {
        self.holds(what);
        self.sentinel.tell("addresses 203.0.113.77");
        self.daemon.cli(&["resync", "dynfw"]);
        let Besieged { daemon, sentinel, .. } = self;
        wait_until(DEADLINE, &format!("{what}: the honest list is taken"), || {
            sentinel.tell("publish");
            daemon.try_cli(&["check", "203.0.113.77"]).is_ok()
        });
        sentinel.tell("addresses 203.0.113.78");
    }
}

#[test]
fn no_clients_of_the_socket_make_it_larger() {
    let _netns = Netns::enter();
    let mut besieged = Besieged::start(&[NO_LOGIN]);
    let addresses: Vec<String> = (0..1000).map(|n| format!("198.51.{}.{}", n / 250, n % 250)).collect();
    let (comment, mut args) = ("c".repeat(120), vec!["block", "--timeout", "3600", "--comment"]);
    args.push(&comment);
    args.extend(addresses.iter().map(String::as_str));
    besieged.daemon.cli(&args);
    let many = |address: &str| vec![format!("\"{address}\""); 63_000 / (address.len() + 3)].join(",");
    let thousand = addresses.iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(",");
    for (what, request) in [
        ("long pages", r#"{"method":"bans","params":{"limit":1000}}"#.to_owned()),
        ("long explanations", format!(r#"{{"method":"explain","params":{{"addresses":[{}]}}}}"#, many("::"))),
        ("long bans", format!(r#"{{"method":"ban","params":{{"addresses":[{}]}}}}"#, many("203.0.113.9"))),
        ("a thousand bans", format!(r#"{{"method":"ban","params":{{"addresses":[{thousand}]}}}}"#)),
        ("long takings back", format!(r#"{{"method":"unban","params":{{"addresses":[{}]}}}}"#, many("203.0.113.9"))),
        ("long nonsense", format!("{{\"method\":\"{}\"}}", "x".repeat(65_000))),
        ("deep nonsense", "[".repeat(65_000)),
        ("without an end", "x".repeat(70_000)),
    ] {
        let request = format!("{request}\n");
        let socket = besieged.daemon.path("run/control.sock");
        let clients: Vec<_> = (0..64)
            .map(|_| {
                let mut client = UnixStream::connect(&socket).expect("a connection");
                client.set_write_timeout(Some(Duration::from_secs(5))).expect("a time-out");
                // It may have been given up.
                let _ = client.write_all(request.as_bytes());
                client
            })
            .collect();
        besieged.holds(what);
        drop(clients);
    }
    besieged.stands("at the end");
}

#[test]
fn no_log_makes_it_larger() {
    let _netns = Netns::enter();
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = directory.path().join("log");
    let mut log = fs::File::create(&path).expect("a log");
    let mut besieged = Besieged::start(&[
        "config login 'login'\n\toption proof 'never'\n\toption attempts '1'\n",
        &format!(
            "config logwatch 'flood'\n\toption source '{}'\n\tlist pattern 'bad login from <HOST>'\n",
            path.display()
        ),
    ]);
    let failing = |n: u32| format!("Nov 21 10:00:00 h prog[1]: bad login from 100.{}.{}.9\n", n / 250 % 100, n % 250);
    let start = Instant::now();
    for round in 0..10 {
        let mut text: String = (0..10_000).map(|n| failing(round * 10_000 + n)).collect();
        text.push_str(&"x".repeat(3 << 20));
        text.push('\n');
        log.write_all(text.as_bytes()).expect("written");
    }
    println!("100000 lines and ten of 3 MB written after {:?}", start.elapsed());
    besieged.holds("a log at full speed");
    wait_until(DEADLINE, "a failure behind it all is seen", || {
        log.write_all(b"Nov 21 10:00:00 h prog[1]: bad login from 198.51.100.9\n").expect("written");
        besieged.daemon.try_cli(&["check", "198.51.100.9"]).is_ok()
    });
    besieged.stands("after a log at full speed");
}

#[test]
fn no_packets_make_it_larger() {
    let _netns = Netns::enter();
    let wan = Peer::join("wan", "192.0.2.1/30", "192.0.2.2/30");
    let mut besieged = Besieged::start(&[NO_LOGIN]);
    wait_until(DEADLINE, "the eyes are open", || besieged.daemon.status()["scan"]["state"] == "on");
    let mut flood = wan.command("timeout");
    // Who is killed with `timeout` does not flood on.
    flood.args([
        "5",
        "setpriv",
        "--pdeathsig",
        "KILL",
        "hping3",
        "-q",
        "--flood",
        "--rand-source",
        "-S",
        "-p",
        "++1",
        "192.0.2.1",
    ]);
    let mut flood = Proc::spawn(&flood);
    wait_until(DEADLINE, "the flood is told", || {
        besieged.daemon.status()["problems"].to_string().contains("a flood of packets to closed ports is on")
    });
    besieged.stands("in a flood of forged packets");
    let _ = flood.wait(DEADLINE);
    besieged.holds("after it");
}
