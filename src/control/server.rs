//! The server's end of the control socket: connections in, requests to the daemon, answers out.
//!
//! It parses and bounds what clients say, and leaves every decision to the daemon. One request a
//! connection. Everybody is let in at once, so that a command always has a place: where a client can stay
//! as long as it likes (it has not said its request, does not take its answer, watches), there is room for
//! so many, and the one that has stayed longest gives way.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio::time::timeout;

use super::protocol::{Activity, Code, ErrorAnswer, REQUEST_MAX, Refusal, Request};
use crate::{json, own};

/// How long a client may take to say its request or to take its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Clients that have not said their request yet.
const UNSAID_MAX: usize = 32;

/// Bytes of answers that are not taken yet.
const UNTAKEN_MAX: usize = 2 << 20;

/// Clients whose request waits for the daemon, which answers one after the other.
const ASKING_MAX: usize = 64;

/// A longer request, in bytes, waits its turn in the line of the long ones.
const SHORT: usize = 4096;

/// Watchers, and how many of them may belong to somebody else than root.
const WATCHERS_MAX: usize = 16;
const STRANGERS_MAX: usize = 8;

/// Bytes of an answer that wait in the kernel for a client that does not read: they count as the daemon's.
const IN_KERNEL: usize = 16 * 1024;

/// A request, and the way back.
pub struct Question {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Reply>,
}

/// What the daemon answers.
pub enum Reply {
    /// One JSON object, without the newline.
    Line(String),
    /// No, and why.
    Refused(Refusal),
    /// Every activity from now on that passes the filter, until the client hangs up.
    Stream(broadcast::Receiver<Rc<Activity>>, StreamFilter),
}

/// Which activities a stream carries.
pub type StreamFilter = Box<dyn Fn(&Activity) -> bool>;

/// The listening socket. Its file goes when this is dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        // Somebody may have taken the file away already; that is as good.
        if is_socket(&self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Server {
    /// Listens at `path` (mode 0600, its directory made with 0755) and posts questions.
    ///
    /// # Errors
    /// Another daemon answers there, or the file cannot be made.
    pub fn start(path: &Path, questions: mpsc::Sender<Question>) -> io::Result<Server> {
        let path = place(path);
        let listener = listen(&path)?;
        let accepting = tokio::task::spawn_local(async move {
            let house = Rc::new(House::new(questions));
            let mut accepted = 0_usize;
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let house = Rc::clone(&house);
                        tokio::task::spawn_local(async move {
                            // A client that hangs up in the middle is its own affair.
                            let _ = house.serve(stream).await;
                        });
                        // Those who have said something are heard before others take their room; and not after
                        // each one, or who comes last waits for all that the daemon does meanwhile.
                        accepted = accepted.wrapping_add(1);
                        if accepted.is_multiple_of(UNSAID_MAX / 2) {
                            tokio::task::yield_now().await;
                        }
                    }
                    // Out of file descriptors, most likely: let some be closed first.
                    Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                }
            }
        });
        Ok(Server { path, accepting })
    }
}

/// Where the socket is made. Root may have put a link at its place, which leads into a directory of the
/// daemon's own. Anybody else's link is not followed.
fn place(path: &Path) -> PathBuf {
    let is_roots = fs::symlink_metadata(path).is_ok_and(|link| link.uid() == 0);
    match (fs::read_link(path), path.parent()) {
        (Ok(target), Some(directory)) if is_roots => directory.join(target),
        _ => path.to_path_buf(),
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent().filter(|directory| !directory.is_dir()) {
        // Who may write the configuration names it, and is not always root.
        own::check(directory)?;
        fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    }
    // Nobody is waited for: a daemon may be doing this while it runs, and who is there may be anybody.
    match super::reach(path, None).map(drop) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // Of a daemon that was killed; one that ran as root, perhaps. Whatever else is there is somebody else's.
        Err(error)
            if is_socket(path)
                && matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::PermissionDenied) =>
        {
            fs::remove_file(path)?;
        }
        Ok(()) => return Err(taken(path)),
        // It has more connections before it than its queue holds.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(taken(path)),
        Err(_) => {
            let text = format!("{} is there, and is no socket of diswall's", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
    }
    // Mode 0600 from its first moment on, and nothing done by its name afterwards.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    listener
}

fn taken(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, format!("another diswall already answers at {}", path.display()))
}

/// All clients, by what they are at.
struct House {
    questions: mpsc::Sender<Question>,
    unsaid: Room,
    untaken: Room,
    asking: Semaphore,
    /// Long requests and those with long answers are before the daemon one at a time: a short one never waits
    /// for more than one of them.
    long: Semaphore,
    /// Watchers: all, and those that are not root's.
    watchers: [Cell<usize>; 2],
}

impl House {
    fn new(questions: mpsc::Sender<Question>) -> House {
        House {
            questions,
            unsaid: Room::new(UNSAID_MAX),
            untaken: Room::new(UNTAKEN_MAX),
            asking: Semaphore::new(ASKING_MAX),
            long: Semaphore::new(1),
            watchers: Default::default(),
        }
    }

    async fn serve(&self, stream: UnixStream) -> io::Result<()> {
        let is_root = stream.peer_cred()?.uid() == 0;
        rustix::net::sockopt::set_socket_send_buffer_size(&stream, IN_KERNEL)?;
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::with_capacity(1024, read);
        let mut line = Vec::new();
        let limit = REQUEST_MAX as u64;
        let said = self.unsaid.stay(1, is_root, async {
            let taken = (&mut read).take(limit).read_until(b'\n', &mut line).await;
            (taken, self.asking.acquire().await)
        });
        let Some((Ok(1..), place)) = said.await else { return Ok(()) };
        let reply = self.ask(std::mem::take(&mut line)).await;
        drop(place);
        match reply {
            Reply::Line(line) => self.answer(&mut write, is_root, line).await,
            Reply::Refused(error) => self.refuse(&mut write, is_root, error).await,
            Reply::Stream(activities, filter) => match self.watch(is_root) {
                Ok(_watching) => stream_out(read, write, activities, filter).await,
                Err(error) => self.refuse(&mut write, is_root, error).await,
            },
        }
    }

    /// What the daemon answers to a request line.
    async fn ask(&self, line: Vec<u8>) -> Reply {
        let mut turn = None;
        if line.len() > SHORT {
            turn = self.long.acquire().await.ok();
        }
        let request = match parse(&line) {
            Ok(request) => request,
            Err(refusal) => return Reply::Refused(refusal),
        };
        drop(line);
        if turn.is_none() && has_long_answer(&request) {
            turn = self.long.acquire().await.ok();
        }
        let (reply, answer) = oneshot::channel();
        let stopping = || Reply::Refused(Refusal::failed("the daemon is stopping"));
        if self.questions.send(Question { request, reply }).await.is_err() {
            return stopping();
        }
        let reply = answer.await.unwrap_or_else(|_| stopping());
        drop(turn);
        reply
    }

    async fn answer(&self, write: &mut (impl AsyncWriteExt + Unpin), is_root: bool, line: String) -> io::Result<()> {
        self.untaken.stay(line.len(), is_root, say(write, line)).await.unwrap_or(Ok(()))
    }

    async fn refuse(&self, write: &mut (impl AsyncWriteExt + Unpin), is_root: bool, error: Refusal) -> io::Result<()> {
        self.answer(write, is_root, json::to_string(&ErrorAnswer { error })).await
    }

    /// A watcher's place, until it is dropped.
    fn watch(&self, is_root: bool) -> Result<Watching<'_>, Refusal> {
        let [all, strangers] = &self.watchers;
        if all.get() >= WATCHERS_MAX || (!is_root && strangers.get() >= STRANGERS_MAX) {
            let message =
                format!("{} clients watch already, and there is room for no more: end one of them", all.get());
            return Err(Refusal { code: Code::Refused, message });
        }
        let counts = if is_root { std::slice::from_ref(all) } else { &self.watchers[..] };
        counts.iter().for_each(|count| count.set(count.get() + 1));
        Ok(Watching(counts))
    }
}

/// A watcher, as it is counted.
struct Watching<'a>(&'a [Cell<usize>]);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|count| count.set(count.get() - 1));
    }
}

/// Whether the answer may be some hundred kilobytes, and take the daemon some time.
fn has_long_answer(request: &Request) -> bool {
    matches!(request, Request::Bans(_) | Request::Allowances(_) | Request::History(_) | Request::Events(_))
}

/// Clients that would stay as long as they like. There is room for so much; when it is full, those who have
/// stayed longest give way, and none of root's for somebody else.
struct Room {
    most: usize,
    inside: RefCell<Vec<Inside>>,
    last: Cell<u64>,
}

/// One of them. Dropping this shows it out.
struct Inside {
    number: u64,
    size: usize,
    is_root: bool,
    _stays: oneshot::Sender<()>,
}

impl Room {
    fn new(most: usize) -> Room {
        Room { most, inside: RefCell::default(), last: Cell::new(0) }
    }

    /// Does what a client wants, for at most [`PATIENCE`]; `None`: it was not done, for it took too long or
    /// there was no room for it any more.
    async fn stay<T>(&self, size: usize, is_root: bool, wish: impl Future<Output = T>) -> Option<T> {
        let number = self.last.get() + 1;
        self.last.set(number);
        let (stays, leave) = oneshot::channel();
        let _place = self.enter(Inside { number, size, is_root, _stays: stays });
        tokio::select! {
            done = wish => Some(done),
            _ = leave => None,
            () = tokio::time::sleep(PATIENCE) => None,
        }
    }

    fn enter(&self, newcomer: Inside) -> Place<'_> {
        let number = newcomer.number;
        let mut inside = self.inside.borrow_mut();
        let mut size = inside.iter().map(|each| each.size).sum::<usize>() + newcomer.size;
        while size > self.most && !inside.is_empty() {
            let stranger = inside.iter().position(|each| !each.is_root);
            if stranger.is_none() && !newcomer.is_root {
                return Place { room: self, number };
            }
            size -= inside.remove(stranger.unwrap_or(0)).size;
        }
        inside.push(newcomer);
        Place { room: self, number }
    }
}

/// A client's place in a room, given up when dropped.
struct Place<'a> {
    room: &'a Room,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.room.inside.borrow_mut().retain(|each| each.number != self.number);
    }
}

/// A request line as a request.
///
/// # Errors
/// A refusal that says what is wrong with it.
pub fn parse(line: &[u8]) -> Result<Request, Refusal> {
    if !line.ends_with(b"\n") && line.len() >= REQUEST_MAX {
        return Err(Refusal::invalid(format!("the request is longer than {REQUEST_MAX} bytes")));
    }
    let line = str::from_utf8(line);
    line.map_err(|error| Refusal::invalid(format!("the request is no UTF-8: {error}"))).and_then(Request::from_line)
}

async fn say(write: &mut (impl AsyncWriteExt + Unpin), mut line: String) -> io::Result<()> {
    line.push('\n');
    write.write_all(line.as_bytes()).await
}

/// Streams until the client hangs up. A client too slow for the burst is told how many it missed.
async fn stream_out(
    mut read: impl AsyncReadExt + Unpin,
    mut write: impl AsyncWriteExt + Unpin,
    mut activities: broadcast::Receiver<Rc<Activity>>,
    filter: StreamFilter,
) -> io::Result<()> {
    let mut scratch = [0_u8; 64];
    loop {
        let activity = tokio::select! {
            activity = activities.recv() => activity,
            heard = read.read(&mut scratch) => match heard {
                Ok(1..) => continue,
                _ => return Ok(()),
            },
        };
        match activity {
            Ok(activity) if filter(&activity) => {
                timeout(PATIENCE, say(&mut write, json::to_string(&*activity))).await??;
            }
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                let text = format!("{missed} events came faster than they could be shown");
                let note = Activity { kind: "missed".into(), text: Some(text), ..Activity::default() };
                timeout(PATIENCE, say(&mut write, json::to_string(&note))).await??;
            }
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}
