//! The server's end of the control socket: connections in, requests to the daemon, answers out.
//!
//! It parses and bounds what clients say, and leaves every decision to the daemon. One request a
//! connection; a slow or silent client costs one small task and is dropped after a while.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot};
use tokio::time::timeout;

use super::protocol::{Activity, ErrorAnswer, REQUEST_MAX, Refusal, Request};
use crate::json;

/// How long a client may take to say its request or to take its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Clients served at a time, watchers included; further ones wait in the socket's own queue.
const CLIENTS_MAX: usize = 32;

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
        let _ = fs::remove_file(&self.path);
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
            let places = Arc::new(Semaphore::new(CLIENTS_MAX));
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let questions = questions.clone();
                        tokio::task::spawn_local(async move {
                            // A client that hangs up in the middle is its own affair.
                            let _ = serve(stream, questions, place).await;
                        });
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

fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        let text = format!("another diswall already answers at {}", path.display());
        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Mode 0600 from its first moment on, and nothing done by its name afterwards.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    listener
}

async fn serve(stream: UnixStream, questions: mpsc::Sender<Question>, _place: OwnedSemaphorePermit) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::with_capacity(1024, read);
    let mut line = Vec::new();
    let limit = REQUEST_MAX as u64;
    let taken = timeout(PATIENCE, (&mut read).take(limit).read_until(b'\n', &mut line)).await;
    if !matches!(taken, Ok(Ok(1..))) {
        return Ok(());
    }
    let reply = match parse(&line) {
        Ok(request) => ask(request, &questions).await,
        Err(refusal) => Reply::Refused(refusal),
    };
    match reply {
        Reply::Line(line) => answer(&mut write, line).await,
        Reply::Refused(error) => answer(&mut write, json::to_string(&ErrorAnswer { error })).await,
        Reply::Stream(activities, filter) => stream_out(read, write, activities, filter).await,
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

async fn ask(request: Request, questions: &mpsc::Sender<Question>) -> Reply {
    let (reply, answer) = oneshot::channel();
    let stopping = || Reply::Refused(Refusal::failed("the daemon is stopping"));
    if questions.send(Question { request, reply }).await.is_err() {
        return stopping();
    }
    answer.await.unwrap_or_else(|_| stopping())
}

async fn answer(write: &mut (impl AsyncWriteExt + Unpin), mut line: String) -> io::Result<()> {
    line.push('\n');
    timeout(PATIENCE, write.write_all(line.as_bytes())).await?
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
                answer(&mut write, json::to_string(&*activity)).await?;
            }
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                let text = format!("{missed} events came faster than they could be shown");
                let note = Activity { kind: "missed".into(), text: Some(text), ..Activity::default() };
                answer(&mut write, json::to_string(&note)).await?;
            }
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}
