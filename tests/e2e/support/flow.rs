//! Real packets: servers that echo or keep talking, flows held open against them, and single attempts
//! that tell how they were answered. All run on a machine of the test's choice.

use std::process::Command;
use std::time::Duration;

use super::netns::Peer;
use super::process::Proc;

const READY: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(40);

/// `echo.py PORT ADDRESS…`: echoes TCP and UDP on the port of each address; says `ready`.
const ECHO: &str = r#"
import socket, sys, threading
port = int(sys.argv[1])
def tcp(server):
    while True:
        peer = server.accept()[0]
        threading.Thread(target=talk, args=(peer,), daemon=True).start()
def talk(peer):
    try:
        while data := peer.recv(100): peer.sendall(data)
    except OSError: pass
def udp(sock):
    while True:
        try:
            data, peer = sock.recvfrom(100)
            sock.sendto(data, peer)
        except OSError: pass
def serve(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    t = socket.socket(family, socket.SOCK_STREAM); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    t.bind((address, port)); t.listen()
    u = socket.socket(family, socket.SOCK_DGRAM); u.bind((address, port))
    for work, sock in (tcp, t), (udp, u): threading.Thread(target=work, args=(sock,)).start()
for address in sys.argv[2:]: serve(address)
print("ready", flush=True)
"#;

/// `ticker.py PORT ADDRESS…`: keeps sending to whoever spoke to it, TCP and UDP; says `ready`.
const TICKER: &str = r#"
import socket, sys, threading, time
port = int(sys.argv[1])
def tick(send):
    while True:
        try: send(b"tick\n")
        except OSError: return
        time.sleep(0.05)
def tcp(server):
    while True:
        peer = server.accept()[0]
        threading.Thread(target=tick, args=(peer.sendall,)).start()
def udp(sock):
    while True:
        try: peer = sock.recvfrom(100)[1]
        except OSError: continue
        threading.Thread(target=tick, args=(lambda data: sock.sendto(data, peer),)).start()
for address in sys.argv[2:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    t = socket.socket(family, socket.SOCK_STREAM); t.bind((address, port)); t.listen()
    u = socket.socket(family, socket.SOCK_DGRAM); u.bind((address, port))
    for work, sock in (tcp, t), (udp, u): threading.Thread(target=work, args=(sock,)).start()
print("ready", flush=True)
"#;

/// `flow.py KIND SOURCE SERVER PORT`: opens a flow, says `open`; then for each line read sends it and
/// says what came back, or `dead`. A source may have a port: `192.0.2.1@5060`.
const FLOW: &str = r#"
import socket, sys
kind, source, server, port = sys.argv[1:]
family = socket.AF_INET6 if ":" in server else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.settimeout(10)
source, _, own = source.partition("@")
s.bind((source, int(own or 0))); s.connect((server, int(port)))
s.send(b"open\n"); s.recv(100)
s.settimeout(1)
print("open", flush=True)
for line in sys.stdin:
    try:
        s.send(line.encode()); print(s.recv(100).decode().split("\n")[0], flush=True)
    except OSError: print("dead", flush=True)
"#;

/// `flows.py KIND,SOURCE,SERVER,PORT…`: opens all of them at once and says `open`; a source may have a port, as above.
/// Then for each line read: a number of seconds sends on each and says for each `open` if anything new came back
/// within them, else `dead`; `severed` goes on sending until each has been silent for a second, at most for 25, and
/// says how many have not.
const FLOWS: &str = r#"
import select, socket, sys, time
def begin(text):
    kind, source, server, port = text.split(",")
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    source, _, own = source.partition("@")
    s.setblocking(False); s.bind((source, int(own or 0)))
    try: s.connect((server, int(port)))
    except BlockingIOError: pass
    return s
def say(some):
    for s in some:
        try: s.send(b"still\n")
        except OSError: pass
def hear(some, patience):
    heard = set()
    for s in select.select(some, [], [], patience)[0]:
        try:
            while s.recv(4096): heard.add(s)
            some.remove(s) # its end
        except OSError: pass
    return heard
def answers(seconds):
    left, heard = list(flows), set()
    while hear(left, 0): pass # what was on its way before
    say(left)
    end = time.monotonic() + seconds
    while left and (patience := end - time.monotonic()) > 0:
        now = hear(left, patience)
        heard |= now
        left = [s for s in left if s not in now]
    return heard
def severed():
    end, last = time.monotonic() + 25, {s: time.monotonic() for s in flows}
    while time.monotonic() < end:
        left = [s for s in last if last[s] + 1 > time.monotonic()]
        if not left: return 0
        say(left)
        for s in hear(left, 0.1): last[s] = time.monotonic()
        time.sleep(0.02)
    return len(left)
flows = [begin(text) for text in sys.argv[1:]]
end = time.monotonic() + 15
waiting = list(flows)
while waiting and time.monotonic() < end:
    say([s for s in select.select([], waiting, [], 0.2)[1]])
    now = hear(waiting, 0.2)
    waiting = [s for s in waiting if s not in now]
print("open" if not waiting else "%d do not open" % len(waiting), flush=True)
for line in sys.stdin:
    if line == "severed\n": print(severed(), flush=True)
    else:
        heard = answers(float(line))
        print(*["open" if s in heard else "dead" for s in flows], flush=True)
"#;

/// `attempt.py SECONDS KIND,SOURCE,SERVER,PORT…`: tries all at once and says for each how it was answered:
/// `open`, `refused` (a reset, or "port unreachable"), another error's name, or `silence`.
const ATTEMPT: &str = r#"
import errno, select, socket, sys, time
waiting, answers = {}, {}
for number, text in enumerate(sys.argv[2:]):
    kind, source, server, port = text.split(",")
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.setblocking(False); s.bind((source, 0))
    waiting[s] = (number, kind)
    try:
        s.connect((server, int(port)))
        if kind == "udp": s.send(b"?")
    except BlockingIOError: pass
    except PermissionError: pass # dropped on the way out
def answer(s, kind):
    if kind == "udp":
        try: s.recv(100); return 0
        except OSError as error: return error.errno
    return s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
deadline = time.monotonic() + float(sys.argv[1])
while waiting and (left := deadline - time.monotonic()) > 0:
    tcp = [s for s in waiting if waiting[s][1] == "tcp"]
    udp = [s for s in waiting if waiting[s][1] == "udp"]
    readable, writable, _ = select.select(udp, tcp, [], left)
    for s in readable + writable:
        number, kind = waiting.pop(s)
        code = answer(s, kind)
        answers[number] = {0: "open", errno.ECONNREFUSED: "refused"}.get(code) or errno.errorcode[code]
print(*[answers.get(number, "silence") for number in range(len(sys.argv) - 2)])
"#;

/// How long an answer that must come may take, and how long one that must not is waited for.
const PATIENCE: &str = "15";
const SILENCE: &str = "1.5";

/// One attempt to reach a server.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// `tcp` or `udp`.
    pub kind: &'a str,
    /// From this address; for a flow that is held open `ADDRESS@PORT` too.
    pub source: &'a str,
    /// To this address.
    pub server: &'a str,
    /// And this port.
    pub port: u16,
}

/// Makes all attempts at once from a machine (`None`: the router); panics unless every one is answered
/// with `wanted`: `open`, `refused` or `silence`.
#[track_caller]
pub fn expect_all(from: Option<&Peer>, attempts: &[Attempt<'_>], wanted: &str) {
    expect_each(&[(from, attempts, wanted)]);
}

/// The same from several machines at once.
#[track_caller]
pub fn expect_each(expected: &[(Option<&Peer>, &[Attempt<'_>], &str)]) {
    let trying: Vec<Proc> = expected
        .iter()
        .map(|(from, attempts, wanted)| {
            attempt_all(*from, attempts, if *wanted == "silence" { SILENCE } else { PATIENCE })
        })
        .collect();
    for (trying, (_, attempts, wanted)) in trying.into_iter().zip(expected) {
        let answers = trying.line(READY);
        let wrong: Vec<_> = attempts.iter().zip(answers.split_whitespace()).filter(|(_, got)| got != wanted).collect();
        assert!(wrong.is_empty() && !attempts.is_empty(), "wanted {wanted}, got {wrong:#?}");
    }
}

/// Makes all attempts at once, whatever comes of them.
pub fn try_all(from: Option<&Peer>, attempts: &[Attempt<'_>]) {
    attempt_all(from, attempts, "0.2").line(READY);
}

fn attempt_all(from: Option<&Peer>, attempts: &[Attempt<'_>], seconds: &str) -> Proc {
    python(from, ATTEMPT, &[seconds], attempts)
}

/// A program with these arguments and attempts on a machine (`None`: the router).
fn python(on: Option<&Peer>, program: &str, arguments: &[&str], attempts: &[Attempt<'_>]) -> Proc {
    let mut command = on.map_or_else(|| Command::new("/usr/bin/python3"), |peer| peer.command("/usr/bin/python3"));
    command.args(["-c", program]).args(arguments);
    for Attempt { kind, source, server, port } in attempts {
        command.arg(format!("{kind},{source},{server},{port}"));
    }
    Proc::spawn(&command)
}

/// Flows held open by one process, all against servers that answer at once or talk all the time.
pub struct Flows(Proc);

impl Flows {
    /// Opens all of them from a machine (`None`: the router).
    #[track_caller]
    pub fn open(from: Option<&Peer>, attempts: &[Attempt<'_>]) -> Flows {
        let mut command =
            from.map_or_else(|| Command::new("/usr/bin/python3"), |peer| peer.command("/usr/bin/python3"));
        command.args(["-c", FLOWS]);
        for Attempt { kind, source, server, port } in attempts {
            command.arg(format!("{kind},{source},{server},{port}"));
        }
        let flows = Flows(Proc::spawn(&command));
        let said = flows.0.line(READY);
        assert_eq!(said, "open", "{attempts:#?}");
        flows
    }

    /// All of them go on.
    #[track_caller]
    pub fn go_on(&mut self, what: &str) {
        let answers = self.ask("5");
        assert!(!answers.contains("dead"), "{what}: {answers}");
    }

    /// Waits until nothing comes on any of them any more, whatever was on its way.
    #[track_caller]
    pub fn are_severed<'a>(all: impl IntoIterator<Item = &'a mut Flows>, what: &str) {
        let mut all: Vec<_> = all.into_iter().collect();
        all.iter_mut().for_each(|flows| flows.0.send("severed"));
        for flows in all {
            assert_eq!(flows.0.line(ANSWER), "0", "{what}: something still comes through");
        }
    }

    /// Whether all of them go on by now.
    pub fn try_go_on(&mut self) -> bool {
        !self.ask("1").contains("dead")
    }

    fn ask(&mut self, what: &str) -> String {
        self.0.send(what);
        self.0.line(ANSWER)
    }
}

/// An echo server on this port of these addresses of a machine (`None`: the router).
pub fn echo(on: Option<&Peer>, port: u16, addresses: &[&str]) -> Proc {
    serve(ECHO, on, port, addresses)
}

/// A server that keeps sending to whoever spoke to it.
pub fn ticker(on: Option<&Peer>, port: u16, addresses: &[&str]) -> Proc {
    serve(TICKER, on, port, addresses)
}

fn serve(script: &str, on: Option<&Peer>, port: u16, addresses: &[&str]) -> Proc {
    let port = port.to_string();
    let server = python(on, script, &[&[&*port], addresses].concat(), &[]);
    server.line_with("ready", READY);
    server
}

/// A flow held open; a line sent to it comes back as the answer, or `dead`.
pub fn open_flow(from: Option<&Peer>, attempt: Attempt<'_>) -> Proc {
    let flow = begin_flow(from, attempt);
    flow.line_with("open", READY);
    flow
}

/// The same before the server has answered: it says `open` once it has.
pub fn begin_flow(from: Option<&Peer>, attempt: Attempt<'_>) -> Proc {
    let mut command = from.map_or_else(|| Command::new("/usr/bin/python3"), |peer| peer.command("/usr/bin/python3"));
    let Attempt { kind, source, server, port } = attempt;
    Proc::spawn(command.args(["-c", FLOW, kind, source, server, &port.to_string()]))
}
