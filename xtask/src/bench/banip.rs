//! The bench's rows beside banIP's whole service: its own scripts in a router's root (`openwrt`), with the lists of
//! `lists` over HTTP, fetched by curl on both sides. Of each the whole process group is looked at.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use super::lists::{HOSTS, List, NETS, QUIET, WORK};
use super::openwrt::Root;
use super::{Bench, Row, megabytes, milliseconds};
use crate::Result;
use crate::command::{command, output};
use crate::measure::{Whole, group_cpu, group_memory, group_size, group_whole, started};
use crate::parts::Daemon;

/// Threads that have nothing more to do, and banIP's own tidying, end after 10 s.
const SETTLED: Duration = Duration::from_secs(12);

/// What one of them took.
struct Taken {
    start: Whole,
    /// Processes and threads.
    started: u64,
    /// Memory, and how many processes.
    rest: (u64, usize),
    anew: Whole,
    started_anew: u64,
}

impl Bench {
    /// Every row.
    pub(super) fn banip(&self) -> Result<Vec<Row>> {
        let served = Served::start(&[HOSTS, NETS])?;
        let lists = [HOSTS, NETS].map(|list| (list.name, served.url(list.name)));
        let root = Root::enter(&self.scratch)?;
        let (mut own, mut banip) = (Vec::new(), Vec::new());
        for _ in 0..self.runs {
            own.push(self.service(&lists)?);
            if let Some(root) = &root {
                banip.push(by_banip(root, &lists)?);
            }
        }
        let own = middle(own).ok_or("nothing was measured")?;
        let banip = middle(banip);
        let row = |work, aim, told: &dyn Fn(&Taken) -> String, figure: Option<fn(&Taken) -> f64>| {
            let other = banip.as_ref().map_or_else(|| "BANIP is not set".into(), |banip| told(banip) + " (banIP)");
            let ratio = figure.zip(banip.as_ref()).map(|(figure, banip)| figure(&own) / figure(banip));
            Row { work, own: told(&own), other, ratio, aim }
        };
        Ok(vec![
            row(
                "the service from its start until lists of 120,000 hosts and 42,000 networks are fetched from a web \
                 server and in force: CPU time of all processes",
                "≤ 0.1 × banIP",
                &|taken| milliseconds(taken.start.cpu),
                Some(|taken| taken.start.cpu.as_secs_f64()),
            ),
            row(
                "the same: wall time",
                "–",
                &|taken| milliseconds(taken.start.wall),
                Some(|taken| taken.start.wall.as_secs_f64()),
            ),
            row(
                "the same: most memory of all processes (PSS)",
                "≤ 0.1 × banIP",
                &|taken| megabytes(taken.start.peak),
                Some(|taken| taken.start.peak as f64),
            ),
            row(
                "the same: processes and threads started",
                "–",
                &|taken| taken.started.to_string(),
                Some(|taken| taken.started as f64),
            ),
            row(
                "the same, at rest: memory of all processes (PSS)",
                "–",
                &|taken| format!("{}, of {}", megabytes(taken.rest.0), taken.rest.1),
                Some(|taken| taken.rest.0 as f64),
            ),
            row(
                "a refresh of both lists, of which the web server says that they are unchanged: CPU time of all \
                 processes",
                "–",
                &|taken| milliseconds(taken.anew.cpu),
                Some(|taken| taken.anew.cpu.as_secs_f64()),
            ),
            row(
                "the same: wall time; most memory; processes and threads started",
                "–",
                &|taken| {
                    let Taken { anew: Whole { wall, peak, .. }, started_anew, .. } = taken;
                    format!("{}; {}; {started_anew}", milliseconds(*wall), megabytes(*peak))
                },
                None,
            ),
        ])
    }

    fn service(&self, lists: &[(&str, String)]) -> Result<Taken> {
        let mut daemon = Daemon::configure(&self.release, &self.scratch, None, None)?;
        // Twice what they have, for a network counts as two.
        daemon.add("\nconfig diswall 'main'\n\toption max_entries '500000'\n")?;
        for (name, url) in lists {
            daemon.add(&format!("\nconfig list '{name}'\n\toption url '{url}'\n"))?;
        }
        output(&mut command("nft", &["flush", "ruleset"]))?;
        // What a run before has kept would be there at once.
        output(command("find", &[]).arg(&self.scratch).args(["-maxdepth", "1", "-name", "list*", "-delete"]))?;
        daemon.load_rules()?;
        let socket = self.scratch.join("control.sock");
        let _ = std::fs::remove_file(&socket);
        let before = started()?;
        daemon.start()?;
        let group = daemon.part()?.id();
        let start = taken(group, Duration::ZERO, || lists.iter().all(|(name, _)| ask(&socket, name)))?;
        // One is the thread that reads what it prints.
        let at_start = started()? - before - 1;
        let check = || [HOSTS, NETS].iter().try_for_each(|list| list.check("fw4", list.set));
        check()?;
        sleep(SETTLED);
        let rest = (group_memory(group)?, group_size(group)?);
        let before = started()?;
        let used = group_cpu(group)?;
        let anew = taken(group, used, || lists.iter().all(|(name, _)| ask(&socket, name)))?;
        let started_anew = started()? - before;
        check()?;
        daemon.stop()?;
        Ok(Taken { start, started: at_start, rest, anew, started_anew })
    }
}

fn by_banip(root: &Root, lists: &[(&str, String)]) -> Result<Taken> {
    output(&mut command("nft", &["flush", "ruleset"]))?;
    root.banip_has(lists)?;
    let before = started()?;
    let (service, start) = root.banip("start")?;
    let at_start = started()? - before - 1;
    let check = || [HOSTS, NETS].iter().try_for_each(|list| list.check("banIP", &format!("{}.v4", list.name)));
    check()?;
    // The first reload notes what the server says of the lists.
    drop(service);
    let (service, _) = root.banip("reload")?;
    sleep(SETTLED);
    let rest = (group_memory(service.0.id())?, group_size(service.0.id())?);
    drop(service);
    let before = started()?;
    let (service, anew) = root.banip("reload")?;
    let started_anew = started()? - before - 1;
    check()?;
    drop(service);
    Ok(Taken { start, started: at_start, rest, anew, started_anew })
}

/// What the daemon's process group takes once it was asked, until it has been quiet for a while.
pub(super) fn taken(group: u32, before: Duration, mut ask: impl FnMut() -> bool) -> Result<Whole> {
    let (start, mut asked) = (Instant::now(), false);
    let (mut last, mut end) = (before, start);
    let whole = group_whole(group, || {
        if start.elapsed() > Duration::from_secs(60) {
            return Err("the daemon does not answer, or has no rest".into());
        }
        asked = asked || ask();
        let now = group_cpu(group)?;
        if now.saturating_sub(last) > WORK || !asked {
            (last, end) = (now, Instant::now());
        }
        Ok(end.elapsed() > QUIET)
    })?;
    Ok(Whole { wall: end - start, cpu: whole.cpu.saturating_sub(before), peak: whole.peak })
}

/// Has the daemon fetch a list now; whether it said that it will. No process is started for it.
pub(super) fn ask(socket: &Path, list: &str) -> bool {
    let asked = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(format!("{{\"method\":\"resync\",\"params\":{{\"source\":\"{list}\"}}}}\n").as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer)
    };
    asked().is_ok_and(|answer| !answer.contains("\"error\""))
}

/// The run that is in the middle by CPU time.
fn middle(mut all: Vec<Taken>) -> Option<Taken> {
    all.sort_by_key(|taken| taken.start.cpu);
    let middle = all.len() / 2;
    all.into_iter().nth(middle)
}

/// A web server of one thread, which ends with this program. Its files never change, and it says so.
pub(super) struct Served {
    port: u16,
}

impl Served {
    pub(super) fn start(lists: &[List]) -> Result<Served> {
        let files = lists.iter().map(|list| (format!("/{}", list.name), list.text()));
        Served::files(files.collect())
    }

    pub(super) fn files(files: HashMap<String, String>) -> Result<Served> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| format!("a web server: {error}"))?;
        let port = listener.local_addr().map_err(|error| format!("a web server: {error}"))?.port();
        spawn(move || {
            // Who hangs up early is seen by what he lacks.
            listener.incoming().flatten().for_each(|stream| drop(answer(stream, &files)));
        });
        Ok(Served { port })
    }

    pub(super) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }
}

fn answer(mut stream: TcpStream, files: &HashMap<String, String>) -> std::io::Result<()> {
    let (mut request, mut known) = (String::new(), false);
    let mut lines = BufReader::new(stream.try_clone()?);
    lines.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        match line.trim_end().to_lowercase().as_str() {
            "" => break,
            "if-none-match: \"1\"" => known = true,
            _ => {}
        }
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Some(text) = files.get(path) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    };
    let (status, length) = if known { ("304 Not Modified", 0) } else { ("200 OK", text.len()) };
    let head = format!("HTTP/1.1 {status}\r\nETag: \"1\"\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    if known || method == "HEAD" { Ok(()) } else { stream.write_all(text.as_bytes()) }
}
