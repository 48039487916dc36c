//! The bench's rows about restarts: a banned sender's packets to a port that is open to everybody, a thousand a second,
//! and how many of them come in while the firewall, or the service itself, is restarted. With the real fw4 in a
//! router's root (`openwrt`), beside banIP and CrowdSec's bouncer, each with the same sender among many others.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use super::banip::{Served, ask, taken};
use super::crowdsec::{Bouncer, DECISIONS, Lapi, decided};
use super::lists::{HOSTS, List, NETS};
use super::openwrt::Root;
use super::{Bench, Row, milliseconds};
use crate::Result;
use crate::command::{command, output, run};
use crate::parts::{Daemon, Part};
use crate::sandbox::Machine;

/// Where the packets go to: fw4 lets one port in, and refuses what goes to the other.
const ROUTER: &str = "203.0.113.1";
const OPEN: u16 = 5000;
const CLOSED: u16 = 5001;

/// From `$1` to the port `$2`, evenly.
const SENDER: &str = r"import socket, sys, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind((sys.argv[1], 40000))
start, sent = time.monotonic(), 0
print('ready', flush=True)
while time.monotonic() - start < 600:
    while sent < (time.monotonic() - start) * 1000:
        sender.sendto(b'x', (sys.argv[3], int(sys.argv[2])))
        sent += 1
    time.sleep(0.0005)
";

/// So long nothing may have come for it to be over, and so long is looked at most.
const OVER: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(20);

/// What the bouncer is given.
const COUNT: u32 = DECISIONS[0];

/// What came in.
struct Lost {
    packets: usize,
    span: Duration,
    /// It does not end.
    goes_on: bool,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Lost { packets, span, goes_on } = self;
        match (packets, goes_on) {
            (0, _) => write!(f, "none"),
            (_, true) => write!(f, "all, {packets} after {} s", span.as_secs()),
            (_, false) => write!(f, "{packets}, within {}", milliseconds(*span)),
        }
    }
}

/// What came in at each event: `fw4 restart`, `fw4 reload`, the service's own restart, `fw4 flush` and `fw4 start`.
type Events = [Lost; 4];

/// The wire, and what comes in over it.
struct Wire {
    stranger: Machine,
    came: Arc<Mutex<Vec<Instant>>>,
}

/// The one who sends: on CrowdSec's list by its number, and put into the list of hosts.
fn sender() -> Ipv4Addr {
    decided(COUNT / 2)
}

impl Bench {
    /// Every row.
    pub(super) fn restart(&self) -> Result<Vec<Row>> {
        let Some(root) = Root::enter(&self.scratch)? else {
            let (own, other) = ("not measured: BANIP is not set".into(), "–".into());
            return Ok(vec![Row {
                work: "a banned sender's packets at a restart", own, other, ratio: None, aim: "–"
            }]);
        };
        let wire = Wire::lay()?;
        let mut alone = Vec::new();
        fw4_anew(&root)?;
        for verb in ["restart", "reload"] {
            alone.push(wire.closed(&self.scratch, || fw4(&root, verb))?);
        }
        let text = HOSTS.text() + &format!("{}\n", sender());
        let served = Served::files(HashMap::from([("/hosts".into(), text), ("/nets".into(), NETS.text())]))?;
        let lists = [HOSTS, NETS].map(|list: List| (list.name, served.url(list.name)));
        let [restart, reload, service, stopped] = self.own_events(&root, &wire, &lists)?;
        let (banip, wan) = self.banip_events(&root, &wire, &lists)?;
        let bouncer = self.bouncer_events(&root, &wire)?;
        let other = |event: usize, more: &str| {
            format!("{}{more} (banIP); {} (crowdsec-firewall-bouncer)", banip[event], bouncer[event])
        };
        let row = |work, own: String, other, aim| Row { work, own, other, ratio: None, aim };
        let fw4 = |own: &Lost, alone: &Lost| format!("{own}; through fw4 itself {alone}");
        Ok(vec![
            row(
                "a banned sender's 1,000 packets a second to an open port: how many come in while `fw4 restart` deletes \
                 its table and makes it anew",
                fw4(&restart, &alone[0]),
                other(0, ""),
                "–",
            ),
            row("the same: `fw4 reload`", fw4(&reload, &alone[1]), other(1, ""), "–"),
            row(
                "the same: the service's own restart",
                service.to_string(),
                other(2, &format!(", and {wan} when the WAN comes up")),
                "none",
            ),
            row("the same: `/etc/init.d/firewall stop` and `start`", stopped.to_string(), other(3, ""), "–"),
        ])
    }

    fn own_events(&self, root: &Root, wire: &Wire, lists: &[(&str, String)]) -> Result<Events> {
        const TEXT: &str = "var/run/diswall/fw4/diswall.nft";
        const INCLUDE: &str = "usr/share/nftables.d/ruleset-post/90-diswall.nft";
        let mut daemon = Daemon::configure(&self.release, &self.scratch, None, None)?;
        daemon.add("\nconfig diswall 'main'\n\toption max_entries '500000'\n")?;
        for (name, url) in lists {
            daemon.add(&format!("\nconfig list '{name}'\n\toption url '{url}'\n"))?;
        }
        root.write(TEXT, &output(&mut daemon.command(&["rules"]))?)?;
        root.write(INCLUDE, "include \"/var/run/diswall/fw4/*.nft\"\n")?;
        fw4_anew(root)?;
        let socket = self.scratch.join("control.sock");
        let _ = std::fs::remove_file(&socket);
        daemon.start()?;
        taken(daemon.part()?.id(), Duration::ZERO, || lists.iter().all(|(name, _)| ask(&socket, name)))?;
        let events = wire.open(&self.scratch, |lost| {
            Ok([
                lost.at(|| fw4(root, "restart"))?,
                lost.at(|| fw4(root, "reload"))?,
                lost.at(|| {
                    daemon.stop()?;
                    daemon.start()
                })?,
                lost.at(|| fw4(root, "flush").and_then(|()| fw4(root, "start")))?,
            ])
        })?;
        daemon.stop()?;
        root.write(TEXT, "")?;
        root.write(INCLUDE, "")?;
        Ok(events)
    }

    /// The last is what happens when the WAN comes up, upon which its service starts over.
    fn banip_events(&self, root: &Root, wire: &Wire, lists: &[(&str, String)]) -> Result<(Events, Lost)> {
        fw4_anew(root)?;
        root.banip_has(lists)?;
        let mut service = Some(root.banip("start")?.0);
        wire.open(&self.scratch, |lost| {
            let restart = lost.at(|| fw4(root, "restart"))?;
            let reload = lost.at(|| fw4(root, "reload"))?;
            let own = lost.at(|| {
                service.take().map_or(Ok(()), |service| root.banip_stop(service))?;
                service = Some(root.banip("restart")?.0);
                Ok(())
            })?;
            let wan = lost.at(|| {
                drop(service.take());
                service = Some(root.banip("start")?.0);
                Ok(())
            })?;
            let stopped = lost.at(|| fw4(root, "flush").and_then(|()| fw4(root, "start")))?;
            Ok(([restart, reload, own, stopped], wan))
        })
    }

    fn bouncer_events(&self, root: &Root, wire: &Wire) -> Result<Events> {
        let place = self.scratch.join("crowdsec-restart");
        let _lapi = Lapi::start(&place, COUNT)?;
        fw4_anew(root)?;
        let mut bouncer = Bouncer::start(&place)?;
        bouncer.fill(COUNT)?;
        let mut bouncer = Some(bouncer);
        wire.open(&self.scratch, |lost| {
            Ok([
                lost.at(|| fw4(root, "restart"))?,
                lost.at(|| fw4(root, "reload"))?,
                lost.at(|| {
                    drop(bouncer.take());
                    let mut again = Bouncer::start(&place)?;
                    again.fill(COUNT)?;
                    bouncer = Some(again);
                    Ok(())
                })?,
                lost.at(|| fw4(root, "flush").and_then(|()| fw4(root, "start")))?,
            ])
        })
    }
}

/// What comes in, while something is done.
struct Counting<'a> {
    came: &'a Mutex<Vec<Instant>>,
}

impl Counting<'_> {
    fn at(&self, event: impl FnOnce() -> Result<()>) -> Result<Lost> {
        // Who sends is kept out before it.
        self.take()?;
        sleep(Duration::from_secs(1));
        let already = self.take()?.len();
        if already > 0 {
            return Err(format!("{already} packets a second come in before anything is restarted"));
        }
        event()?;
        let done = Instant::now();
        loop {
            sleep(Duration::from_millis(200));
            let last = self.all()?.last().copied().map_or(done, |last| last.max(done));
            if last.elapsed() > OVER || done.elapsed() > LONGEST {
                let came = self.take()?;
                let span = came.first().zip(came.last()).map_or(Duration::ZERO, |(first, last)| *last - *first);
                return Ok(Lost { packets: came.len(), span, goes_on: last.elapsed() < OVER });
            }
        }
    }

    fn all(&self) -> Result<Vec<Instant>> {
        self.came.lock().map(|came| came.clone()).map_err(|error| error.to_string())
    }

    fn take(&self) -> Result<Vec<Instant>> {
        self.came.lock().map(|mut came| std::mem::take(&mut *came)).map_err(|error| error.to_string())
    }
}

impl Wire {
    fn lay() -> Result<Wire> {
        for device in ["wan", "lan"] {
            let _ = command("ip", &["link", "delete", device]).stderr(Stdio::null()).status();
        }
        let stranger = Machine::on_wan(&format!("{ROUTER}/24"), "203.0.113.2/24", &format!("{}/32", sender()))?;
        run(&mut command("ip", &["link", "add", "lan", "type", "veth", "peer", "name", "lan-far"]))?;
        run(&mut command("ip", &["address", "add", "192.168.1.1/24", "dev", "lan"]))?;
        run(&mut command("ip", &["link", "set", "lan", "up"]))?;
        let came = Arc::new(Mutex::new(Vec::new()));
        for port in [OPEN, CLOSED] {
            let socket = UdpSocket::bind((ROUTER, port)).map_err(|error| format!("port {port}: {error}"))?;
            let came = Arc::clone(&came);
            spawn(move || {
                while socket.recv(&mut [0; 16]).is_ok() {
                    let Ok(mut came) = came.lock() else { return };
                    came.push(Instant::now());
                }
            });
        }
        Ok(Wire { stranger, came })
    }

    /// What comes in at the open port.
    fn open<T>(&self, scratch: &Path, all: impl FnOnce(&Counting<'_>) -> Result<T>) -> Result<T> {
        let _sender = self.sender(OPEN, scratch)?;
        all(&Counting { came: &self.came })
    }

    /// What comes in at the port that fw4 alone keeps closed.
    fn closed(&self, scratch: &Path, event: impl FnOnce() -> Result<()>) -> Result<Lost> {
        let _sender = self.sender(CLOSED, scratch)?;
        Counting { came: &self.came }.at(event)
    }

    fn sender(&self, port: u16, scratch: &Path) -> Result<Part> {
        let mut program = self.stranger.command("/usr/bin/python3");
        program.args(["-c", SENDER, &sender().to_string(), &port.to_string(), ROUTER]);
        let sender = Part::start("sender", &mut program, scratch)?;
        sender.line()?;
        Ok(sender)
    }
}

fn fw4(root: &Root, verb: &str) -> Result<()> {
    output(&mut root.command(&["/sbin/fw4", "-q", verb])).map(drop)
}

/// No table but fw4's.
fn fw4_anew(root: &Root) -> Result<()> {
    output(&mut command("nft", &["flush", "ruleset"]))?;
    output(&mut root.command(&["/bin/rm", "-f", "/var/run/fw4.state"]))?;
    fw4(root, "start")
}
