//! Follows a log as it grows: `logread -f`, the journal, or a file over its rotation.
//!
//! Owns one descriptor that wakes it, the program's output or an inotify, and sleeps on nothing else. It
//! reads bounded pieces and hands on whole lines; what it cannot follow it says and tries again, later
//! each time. A program that runs and delivers nothing is found out: where the log is silent, a line of
//! diswall's own is written to it and has to come back. The daemon's `logins` calls it.

use std::collections::VecDeque;
use std::fs::{File, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::fs::inotify;
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

use super::line;
use super::settings::LogSource;
use crate::feed::backoff::Backoff;
use crate::limiter;
use crate::programs::{self, Guarded};
use crate::sys;

/// Bytes read in one turn, so that a chatty log does not hold up whatever else is due.
const PIECE: usize = 16 * 1024;

/// Programs that follow the system's log, in the order in which they are looked for.
const PROGRAMS: [(&str, &[&str]); 2] =
    [("logread", &["-f"]), ("journalctl", &["--follow", "--lines=0", "--output=short", "--quiet"])];

/// Lines about logs that cannot be followed, in a minute: there may be some of them.
const SAID: u32 = 8;

/// Where the system's log takes lines.
const SYSLOG: &str = "/dev/log";

/// Waits between a program's start, the lines that have to come back, and the end of patience: a line that is
/// written before the program listens is lost.
const PATIENCE: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(6)];

/// A log that has been silent for so long may be dead.
const SILENT: Duration = Duration::from_secs(3600);

/// How often a file's directory is looked at: no event tells that something was mounted over it.
const LOOK: Duration = Duration::from_secs(60);

/// Most bytes of a file that has come under the name which are read: what was rotated a moment ago, and not the lines of
/// last spring.
const FRESH: u64 = 64 * 1024;

/// A file that was emptied is left alone for so long: what trims it in place puts lines back that were read long ago.
const SETTLES: Duration = Duration::from_secs(1);

/// So many lines that were read last are known again in a file that has come under the name: then it is the old one, written
/// anew by an editor or whatever trims it, and what is before them is no news.
const KNOWN: usize = 32;

/// So many of them, and more than half of the lines up to there: a log without times may say the same of somebody else. A file
/// of nothing else is the old one, however short.
const ENOUGH: u32 = 4;

/// Whether a program delivers, as far as is known.
struct Proof {
    /// Lines of our own that were written and have not come back.
    asked: usize,
    /// When to write the next, or to give up.
    at: Instant,
}

impl Proof {
    fn new() -> Proof {
        Proof { asked: 0, at: Instant::now() + PATIENCE.first().copied().unwrap_or_default() }
    }

    /// Something came.
    fn given() -> Proof {
        Proof { asked: 0, at: Instant::now() + SILENT }
    }

    /// Does what is due; `false`: nothing came back in all the time.
    fn on_time(&mut self) -> bool {
        self.asked += 1;
        match PATIENCE.get(self.asked) {
            None => return false,
            Some(wait) if write_line() => self.at = Instant::now() + *wait,
            // Without a log to write to nothing can be shown, and the daemon's own log says so.
            Some(_) => *self = Proof::given(),
        }
        true
    }
}

/// Writes a line into the system's log.
fn write_line() -> bool {
    // Facility "daemon", severity "info".
    let line = format!("<30>diswall[{:06}]: login: looks whether this line comes back", std::process::id());
    let written = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.connect(SYSLOG)?;
        socket.send(line.as_bytes())
    });
    written.is_ok()
}

/// See the module's head.
pub struct Follower {
    source: LogSource,
    state: State,
    backoff: Backoff,
    lines: Lines,
    /// The file that was followed before what failed; there is none when diswall starts.
    left: Option<Left>,
    /// The program delivered nothing the last time, and has not since.
    silent: Option<String>,
}

/// How far a file was read: by its inode, for it may be mounted again as another device.
#[derive(Clone, Copy)]
struct Left {
    inode: u64,
    read: u64,
}

enum State {
    Program(Receiver, Guarded, Proof),
    File(Receiver, Tail),
    Down(String, Instant),
}

impl Follower {
    /// Begins to follow. Needs the runtime.
    pub fn start(source: LogSource) -> Follower {
        let mut follower = Follower {
            source,
            state: State::Down(String::new(), Instant::now()),
            backoff: Backoff::new(Duration::from_secs(2), Duration::from_secs(300)),
            lines: Lines::default(),
            left: None,
            silent: None,
        };
        follower.open();
        follower
    }

    /// What it follows.
    pub fn source(&self) -> &LogSource {
        &self.source
    }

    /// Ready when [`Follower::read`] has something to do.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        match &self.state {
            State::File(_, tail) if tail.unread => Poll::Ready(()),
            State::Program(descriptor, ..) | State::File(descriptor, _) => {
                descriptor.poll_read_ready(context).map(|_| ())
            }
            State::Down(..) => Poll::Pending,
        }
    }

    /// Reads what is there, one bounded piece of it; every whole line goes to `each`.
    pub fn read(&mut self, each: &mut dyn FnMut(&[u8])) {
        let outcome = match &mut self.state {
            State::Program(output, child, proof) => {
                let outcome = read_program(output, child, &mut self.lines, each);
                if matches!(outcome, Ok(1..)) {
                    *proof = Proof::given();
                    self.silent = None;
                }
                outcome
            }
            State::File(events, tail) => tail.read(events, &mut self.lines, each),
            State::Down(..) => return,
        };
        match outcome {
            Ok(0) => {}
            Ok(_) => self.backoff.reset(),
            Err(trouble) => self.fail(trouble),
        }
    }

    /// When [`Follower::on_time`] is due.
    pub fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Down(_, at) => Some(*at),
            State::Program(_, _, proof) => Some(proof.at),
            State::File(_, tail) => Some(tail.look),
        }
    }

    /// Tries again what failed, and whether a silent program still delivers and a file is where it was.
    pub fn on_time(&mut self) {
        if self.due().is_none_or(|at| at > Instant::now()) {
            return;
        }
        match &mut self.state {
            State::Program(_, _, proof) => {
                if proof.on_time() {
                    return;
                }
                let why = "the system log does not come through: a line of diswall's own did not come back";
                self.fail(why.into());
                self.silent = Some(why.into());
            }
            State::File(events, tail) => {
                tail.look = Instant::now() + LOOK;
                tail.unread |= tail.settles.is_some() || tail.is_elsewhere(events) || tail.is_replaced();
            }
            State::Down(..) => self.open(),
        }
    }

    /// What the owner can do about the trouble.
    pub fn remedy(&self) -> &'static str {
        match self.silent {
            Some(_) => {
                "have ubusd read its rights again and the log start anew: killall -HUP ubusd; /etc/init.d/log restart"
            }
            None => "see `option source`; another try is made by itself",
        }
    }

    /// The file that it is to follow, while there is none.
    pub fn absent(&self) -> Option<&Path> {
        match &self.state {
            State::File(_, tail) if tail.file.is_none() => Some(&tail.path),
            State::Program(..) | State::File(..) | State::Down(..) => None,
        }
    }

    /// Why it follows nothing at present, as a sentence.
    pub fn trouble(&self) -> Option<&str> {
        match &self.state {
            State::Down(trouble, _) => Some(trouble),
            // Started anew is not proven yet.
            State::Program(..) => self.silent.as_deref(),
            State::File(..) => None,
        }
    }

    fn open(&mut self) {
        self.lines = Lines::default();
        let opened = match &self.source {
            LogSource::Auto => start_program(),
            LogSource::File(path) => Tail::open(path, self.left, &mut self.lines),
        };
        match opened {
            Ok(state) => self.state = state,
            Err(trouble) => self.fail(trouble),
        }
    }

    fn fail(&mut self, trouble: String) {
        // It is tried again and again, and said once.
        if self.silent.as_ref() != Some(&trouble) {
            limiter::say(log::Level::Warn, ("login", "follow"), SAID, || format!("login: {trouble}"));
        }
        if let State::File(_, tail) = &self.state {
            self.left = tail.left().or(self.left);
        }
        self.state = State::Down(trouble, Instant::now() + self.backoff.delay());
    }
}

fn start_program() -> Result<State, String> {
    for (program, arguments) in PROGRAMS {
        let Ok(mut command) = programs::command(program) else { continue };
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        sys::end_with_us(&mut command);
        let mut child =
            command.spawn().map(Guarded).map_err(|error| format!("{program} cannot be started: {error}"))?;
        let output = child.0.stdout.take().ok_or_else(|| format!("{program} has no output"))?;
        let output = Receiver::from_owned_fd(output.into()).map_err(|error| format!("{program}'s output: {error}"))?;
        return Ok(State::Program(output, child, Proof::new()));
    }
    Err("the system log cannot be followed: there is neither logread nor journalctl".into())
}

fn read_program(
    output: &Receiver,
    child: &mut Guarded,
    lines: &mut Lines,
    each: &mut dyn FnMut(&[u8]),
) -> Result<usize, String> {
    let mut piece = [0; PIECE];
    match output.try_read(&mut piece) {
        Ok(0) => {
            // The output is closed: it has ended, or is of no use any more.
            let _ = child.0.kill();
            let how = child.0.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(format!("the program that follows the system log ended: {how}"))
        }
        Ok(length) => {
            lines.take(piece.get(..length).unwrap_or_default(), each);
            Ok(length)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        Err(error) => Err(format!("the program that follows the system log cannot be read: {error}")),
    }
}

/// A file, and whatever comes to stand under its name.
struct Tail {
    path: PathBuf,
    file: Option<File>,
    /// Bytes of it that were read.
    read: u64,
    /// There may be something to read of which no event will tell.
    unread: bool,
    /// The number of the watch of its directory.
    watch: i32,
    /// When to look whether it is still the one that the name leads to.
    look: Instant,
    /// It was emptied, and is read on from then.
    settles: Option<Instant>,
    /// The lines that were read last, as numbers.
    known: VecDeque<u64>,
    seed: RandomState,
}

/// Device and inode.
type Identity = Option<(u64, u64)>;

fn identity(metadata: io::Result<Metadata>) -> Identity {
    metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn identity_at(path: &Path) -> Identity {
    identity(std::fs::metadata(path))
}

/// Has events told of the directory that this file is in, and gives the watch's number: the same one as long as it is
/// the same directory.
fn watch(events: impl AsFd, path: &Path) -> rustix::io::Result<i32> {
    let flags = inotify::WatchFlags::MODIFY
        | inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::DELETE_SELF
        | inotify::WatchFlags::MOVE_SELF;
    inotify::add_watch(events, path.parent().unwrap_or(Path::new("/")), flags)
}

impl Tail {
    /// Follows a file from where it was left, a new one from its end: what came while nobody looked may be of any age.
    fn open(path: &Path, left: Option<Left>, lines: &mut Lines) -> Result<State, String> {
        let say = |error: io::Error| format!("{} cannot be followed: {error}", path.display());
        // The name may be a link to a file in another directory, where it then changes.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(|error| say(error.into()))?;
        let watch = watch(&events, &path).map_err(|error| say(error.into()))?;
        let look = Instant::now() + LOOK;
        let (known, seed) = (VecDeque::with_capacity(KNOWN), RandomState::new());
        let mut tail =
            Tail { path: path.clone(), file: None, read: 0, unread: true, watch, look, settles: None, known, seed };
        tail.reopen(lines).map_err(say)?;
        if let Some(metadata) = tail.file.as_ref().map(File::metadata) {
            let metadata = metadata.map_err(say)?;
            match left {
                None => {
                    tail.learn().map_err(say)?;
                    tail.go_to(metadata.len(), lines).map_err(say)?;
                }
                Some(left) if left.inode == metadata.ino() && left.read <= metadata.len() => {
                    tail.go_to(left.read, lines).map_err(say)?;
                }
                Some(_) => {}
            }
        }
        // No pipe, but read in the same way.
        let events = Receiver::from_owned_fd_unchecked(events).map_err(say)?;
        Ok(State::File(events, tail))
    }

    /// Opens whatever stands under the name now, to be read from its beginning, or the end of it where it is long;
    /// nothing there is no error.
    fn reopen(&mut self, lines: &mut Lines) -> io::Result<()> {
        self.read = 0;
        self.file = None;
        self.settles = None;
        *lines = Lines::default();
        // Not to wait for the other end of a pipe.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        match OpenOptions::new().read(true).custom_flags(nonblocking).open(&self.path) {
            Ok(file) => {
                let metadata = file.metadata()?;
                if !metadata.is_file() {
                    return Err(io::Error::other("it is no regular file"));
                }
                self.file = Some(file);
                let place = self.behind_known()?;
                self.go_to(place, lines)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The end of the file, and where that begins.
    fn end(&mut self) -> io::Result<(u64, Vec<u8>)> {
        let Some(file) = &mut self.file else { return Ok((0, Vec::new())) };
        let place = file.metadata()?.len().saturating_sub(FRESH);
        file.seek(SeekFrom::Start(place))?;
        let mut end = Vec::new();
        file.take(FRESH).read_to_end(&mut end)?;
        Ok((place, end))
    }

    /// Its last lines are known from now on.
    fn learn(&mut self) -> io::Result<()> {
        let (_, end) = self.end()?;
        for line in end.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n")) {
            note(&mut self.known, &self.seed, line);
        }
        Ok(())
    }

    /// Where news begins in a file that has come under the name.
    fn behind_known(&mut self) -> io::Result<u64> {
        let (mut at, end) = self.end()?;
        let mut place = at;
        // A bit for each of the last lines, as many as are known.
        let (mut lately, mut lines): (u32, u32) = (0, 0);
        for line in end.split_inclusive(|byte| *byte == b'\n') {
            at += line.len() as u64;
            let Some(line) = line.strip_suffix(b"\n").filter(|line| !line.is_empty()) else { continue };
            let is_known = self.known.contains(&self.seed.hash_one(line));
            (lately, lines) = (lately << 1 | u32::from(is_known), (lines + 1).min(KNOWN as u32));
            let count = lately.count_ones();
            if is_known && (count == lines || count >= ENOUGH && 2 * count > lines) {
                place = at;
            }
        }
        Ok(place)
    }

    /// Goes on from there with the next whole line.
    fn go_to(&mut self, place: u64, lines: &mut Lines) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        // Where a line has just ended, its end is passed over and nothing else.
        self.read = file.seek(SeekFrom::Start(place.saturating_sub(1)))?;
        *lines = Lines { over: place > 0, ..Lines::default() };
        Ok(())
    }

    /// How far it was read, where there was something to read.
    fn left(&self) -> Option<Left> {
        let inode = self.file.as_ref()?.metadata().ok()?.ino();
        Some(Left { inode, read: self.read })
    }

    fn read(&mut self, events: &Receiver, lines: &mut Lines, each: &mut dyn FnMut(&[u8])) -> Result<usize, String> {
        let say = |path: &Path, error: io::Error| format!("{} cannot be read: {error}", path.display());
        let length = self.read_piece(lines, each).map_err(|error| say(&self.path, error))?;
        if length > 0 {
            // The events stay until the file has been read to its end, so that it is called again.
            return Ok(length);
        }
        self.drain(events).map_err(|error| say(&self.path, error))?;
        if self.is_elsewhere(events) {
            return Err(say(&self.path, io::Error::other("its directory is gone")));
        }
        if self.is_replaced() {
            self.reopen(lines).map_err(|error| say(&self.path, error))?;
        }
        // What came between reading and draining.
        let length = self.read_piece(lines, each).map_err(|error| say(&self.path, error))?;
        self.unread = length > 0 || self.is_replaced();
        Ok(length)
    }

    fn read_piece(&mut self, lines: &mut Lines, each: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        let Some(file) = &mut self.file else { return Ok(0) };
        if file.metadata()?.len() < self.read {
            // Emptied in place.
            self.read = file.seek(SeekFrom::Start(0))?;
            *lines = Lines::default();
            self.look = Instant::now() + SETTLES;
            self.settles = Some(self.look);
        }
        if let Some(at) = self.settles {
            if at > Instant::now() {
                return Ok(0);
            }
            self.settles = None;
            let place = self.behind_known()?;
            self.go_to(place, lines)?;
        }
        let Some(file) = &mut self.file else { return Ok(0) };
        let mut piece = [0; PIECE];
        let length = file.read(&mut piece)?;
        self.read += length as u64;
        let (known, seed) = (&mut self.known, &self.seed);
        lines.take(piece.get(..length).unwrap_or_default(), &mut |line| {
            note(known, seed, line);
            each(line);
        });
        Ok(length)
    }

    /// Does another file stand under the name by now?
    fn is_replaced(&self) -> bool {
        let here = self.file.as_ref().and_then(|file| identity(file.metadata()));
        let there = identity_at(&self.path);
        there.is_some() && there != here
    }

    /// Does the name lead to another directory by now, of which no events come?
    fn is_elsewhere(&self, events: &Receiver) -> bool {
        watch(events, &self.path) != Ok(self.watch)
    }

    /// Takes the events away.
    fn drain(&self, events: &Receiver) -> io::Result<()> {
        let mut space = [0; 4096];
        loop {
            match events.try_read(&mut space) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// A line that was read.
fn note(known: &mut VecDeque<u64>, seed: &RandomState, line: &[u8]) {
    if known.len() >= KNOWN {
        known.pop_front();
    }
    known.push_back(seed.hash_one(line));
}

/// Bytes into lines of at most [`line::MAX`]; longer ones are passed over.
#[derive(Default)]
struct Lines {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// It is too long already.
    over: bool,
}

impl Lines {
    fn take(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (piece, rest) = bytes.split_at(end);
            if self.begun.is_empty() && !self.over && piece.len() <= line::MAX {
                each(piece);
            } else {
                self.keep(piece);
                if !self.over {
                    each(&self.begun);
                }
                self.begun.clear();
                self.over = false;
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.keep(bytes);
    }

    fn keep(&mut self, piece: &[u8]) {
        self.over |= self.begun.len() + piece.len() > line::MAX;
        if self.over {
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let long = "x".repeat(line::MAX + 1);
        let fits = "y".repeat(line::MAX);
        let text = format!("one\n\ntwo\n{long}\nthree\n{fits}\n{}\nfour\nfive", "z".repeat(65_536));
        let want = ["one", "", "two", "three", &fits, "four"];
        for size in [1, 2, 3, 7, 1000, 4096, 4097, text.len()] {
            let mut lines = Lines::default();
            let mut got = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                lines.take(piece, &mut |line| got.push(String::from_utf8(line.to_vec()).unwrap()));
            }
            assert_eq!(got, want, "pieces of {size}");
        }
    }

    /// Reads until so many lines are there.
    async fn next(follower: &mut Follower, count: usize) -> Vec<String> {
        let mut got = Vec::new();
        let read = async {
            while got.len() < count {
                let ready = std::future::poll_fn(|context| follower.poll_ready(context));
                let due = follower.due();
                tokio::select! {
                    () = ready => follower.read(&mut |line| got.push(String::from_utf8(line.to_vec()).unwrap())),
                    () = tokio::time::sleep_until(due.unwrap()), if due.is_some() => follower.on_time(),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
        got
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_file_is_followed_over_rotation_and_truncation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = File::create(&path).unwrap();
        log.write_all(b"before\n").unwrap();
        let mut follower = Follower::start(LogSource::File(path.clone()));
        assert_eq!(follower.trouble(), None);
        log.write_all(b"one\ntw").unwrap();
        assert_eq!(next(&mut follower, 1).await, ["one"]);
        log.write_all(b"o\n").unwrap();
        assert_eq!(next(&mut follower, 1).await, ["two"]);
        log.set_len(0).unwrap();
        log.seek(SeekFrom::Start(0)).unwrap();
        log.write_all(b"3\n").unwrap();
        assert_eq!(next(&mut follower, 1).await, ["3"]);
        std::fs::rename(&path, directory.path().join("log.1")).unwrap();
        log.write_all(b"late\n").unwrap();
        let mut log = File::create(&path).unwrap();
        log.write_all(b"four\n").unwrap();
        assert_eq!(next(&mut follower, 2).await, ["late", "four"]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn old_lines_of_a_file_that_is_trimmed_in_place_are_no_news() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let old: String = (0..100).map(|number| format!("Mar  3 failed {number}\n")).collect();
        std::fs::write(&path, &old).unwrap();
        let mut follower = Follower::start(LogSource::File(path.clone()));
        for pause in [0, 300] {
            let mut log = OpenOptions::new().append(true).open(&path).unwrap();
            log.write_all(format!("one {pause}\n").as_bytes()).unwrap();
            assert_eq!(next(&mut follower, 1).await, [format!("one {pause}")]);
            let whole = std::fs::read_to_string(&path).unwrap();
            let trimmed = whole.split_at(whole.find("failed 60").unwrap()).1;
            // As `cat trimmed >log` does it: who follows may wake between the two.
            log.set_len(0).unwrap();
            let writes = async {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                log.write_all(format!("{trimmed}two {pause}\n").as_bytes()).unwrap();
            };
            let (got, ()) = tokio::join!(next(&mut follower, 1), writes);
            assert_eq!(got, [format!("two {pause}")]);
        }
    }

    /// A log without times says of the next one what it said of the last.
    #[tokio::test(flavor = "current_thread")]
    async fn a_line_like_an_old_one_does_not_make_a_new_file_an_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "").unwrap();
        let mut follower = Follower::start(LogSource::File(path.clone()));
        let replace = |lines: &[&str]| {
            let new = directory.path().join("new");
            std::fs::write(&new, lines.join("\n") + "\n").unwrap();
            std::fs::rename(&new, &path).unwrap();
        };
        replace(&["one", "two", "again"]);
        assert_eq!(next(&mut follower, 3).await, ["one", "two", "again"]);
        replace(&["three", "four", "again", "five"]);
        assert_eq!(next(&mut follower, 4).await, ["three", "four", "again", "five"]);
        // Trimmed, and with a line taken out: that is the old one.
        replace(&["four", "again", "five", "six"]);
        assert_eq!(next(&mut follower, 1).await, ["six"]);
        replace(&["of last spring", "one", "two", "three", "four", "five", "six", "seven"]);
        assert_eq!(next(&mut follower, 1).await, ["seven"]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_file_may_come_later_and_a_directory_be_missing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut follower = Follower::start(LogSource::File(path.clone()));
        assert_eq!(follower.trouble(), None);
        std::fs::write(&path, "first\n").unwrap();
        assert_eq!(next(&mut follower, 1).await, ["first"]);

        std::fs::rename(&path, directory.path().join("log.1")).unwrap();
        std::fs::write(&path, "last spring\n".repeat(100_000) + "now\n").unwrap();
        let got = next(&mut follower, 5_000).await;
        assert!(got.iter().all(|line| line == "last spring"), "whole lines");
        assert!(next(&mut follower, 1).await.len() < 7_000, "of a long file its end alone");

        let missing = Follower::start(LogSource::File("/nowhere/at/all".into()));
        assert!(missing.trouble().unwrap().contains("/nowhere/at/all"), "{:?}", missing.trouble());
        assert!(missing.due().is_some());
    }

    /// What comes while the follower looks, fails and tries again, its waits left out.
    fn looks(follower: &mut Follower) -> Vec<String> {
        let mut got = Vec::new();
        for _ in 0..4 {
            match &mut follower.state {
                State::File(_, tail) => tail.look = Instant::now(),
                State::Down(_, at) => *at = Instant::now(),
                State::Program(..) => {}
            }
            follower.on_time();
            follower.read(&mut |line| got.push(String::from_utf8(line.to_vec()).unwrap()));
        }
        got
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_was_in_a_file_that_is_mounted_later_is_not_news() {
        let directory = tempfile::tempdir().unwrap();
        let (place, away) = (directory.path().join("usb"), directory.path().join("away"));
        let path = place.join("log");
        let append = |line: &str| {
            let mut log = OpenOptions::new().append(true).create(true).open(&path).unwrap();
            log.write_all(line.as_bytes()).unwrap();
        };
        for is_there in [false, true] {
            if is_there {
                std::fs::create_dir(&place).unwrap();
            }
            let mut follower = Follower::start(LogSource::File(path.clone()));
            let _ = std::fs::remove_dir(&place);
            std::fs::create_dir(&place).unwrap();
            append("Mar  3 03:03:03 of last spring\n");
            assert!(looks(&mut follower).is_empty());
            append("one\n");
            assert_eq!(next(&mut follower, 1).await, ["one"]);
            // Away, and there again as it was, less what was written meanwhile.
            std::fs::rename(&place, &away).unwrap();
            std::fs::create_dir(&place).unwrap();
            assert!(looks(&mut follower).is_empty());
            std::fs::remove_dir(&place).unwrap();
            std::fs::rename(&away, &place).unwrap();
            append("two\n");
            assert_eq!(looks(&mut follower), ["two"]);
            std::fs::remove_dir_all(&place).unwrap();
        }
    }
}
