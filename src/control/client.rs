//! The client's end of the control socket: the command line and the rpcd face ask through it.
//!
//! Blocking and single-shot: a connection carries one request. It never waits longer than
//! [`PATIENCE`] for an answer, except while following a `watch`.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::protocol::{Code, ErrorAnswer, Refusal, Request};
use crate::json::{self, Json};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer line in bytes; a page of 1,000 bans is about 250 KB.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// No daemon at the socket, or it did not answer in time.
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The daemon said no.
    Refused(Refusal),
    /// The answer was not understood.
    Protocol(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Unreachable { path, error } => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    write!(f, "the daemon does not run (nothing answers at {})", path.display())
                }
                io::ErrorKind::PermissionDenied => {
                    write!(f, "no permission for {}: only root may ask the daemon", path.display())
                }
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    write!(f, "the daemon did not answer within {} s at {}", PATIENCE.as_secs(), path.display())
                }
                _ => write!(f, "cannot reach the daemon at {}: {error}", path.display()),
            },
            ClientError::Refused(refusal) => f.write_str(&refusal.message),
            ClientError::Protocol(text) => write!(f, "the daemon's answer was not understood: {text}"),
        }
    }
}

impl std::error::Error for ClientError {}

impl ClientError {
    /// The same as an answer for rpcd.
    pub fn into_refusal(self) -> Refusal {
        match self {
            ClientError::Refused(refusal) => refusal,
            ClientError::Unreachable { .. } => Refusal { code: Code::NotRunning, message: self.to_string() },
            ClientError::Protocol(_) => Refusal { code: Code::Failed, message: self.to_string() },
        }
    }
}

/// Asks and waits for the one answer.
pub fn ask<T: Json + Default>(path: &Path, request: &Request) -> Result<T, ClientError> {
    parse(&ask_line(path, &request.to_line())?)
}

/// Sends one request line as it is and returns the answer line as it is.
pub fn ask_line(path: &Path, request: &str) -> Result<String, ClientError> {
    let unreachable = |error| ClientError::Unreachable { path: path.to_path_buf(), error };
    let end = Instant::now() + PATIENCE;
    let mut answers = send(path, request).map_err(unreachable)?;
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\n") {
        // Whoever sends a byte now and then is not to hold root's command for ever.
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(unreachable(io::ErrorKind::TimedOut.into()));
        }
        answers.get_ref().get_ref().set_read_timeout(Some(left)).map_err(unreachable)?;
        let piece = match answers.fill_buf() {
            Ok([]) => break,
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreachable(error)),
        };
        let length = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |at| at + 1);
        bytes.extend_from_slice(piece.get(..length).unwrap_or_default());
        answers.consume(length);
    }
    let answer = String::from_utf8(bytes)
        .map_err(|_| unreachable(io::Error::new(io::ErrorKind::InvalidData, "it answered with what is no text")))?;
    if !answer.ends_with('\n') {
        let error = io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up before it had answered");
        return Err(unreachable(error));
    }
    Ok(answer)
}

/// Asks and hands on every answer line until the daemon hangs up or `each` returns false.
pub fn follow<T: Json + Default>(
    path: &Path,
    request: &Request,
    mut each: impl FnMut(T) -> bool,
) -> Result<(), ClientError> {
    let unreachable = |error| ClientError::Unreachable { path: path.to_path_buf(), error };
    let mut answers = send(path, &request.to_line()).map_err(unreachable)?.into_inner();
    answers.get_mut().set_read_timeout(None).map_err(unreachable)?;
    let mut lines = BufReader::new(answers.into_inner());
    let mut answer = String::new();
    loop {
        answer.clear();
        if lines.by_ref().take(ANSWER_MAX).read_line(&mut answer).map_err(unreachable)? == 0 {
            return Ok(());
        }
        if !each(parse(&answer)?) {
            return Ok(());
        }
    }
}

fn send(path: &Path, line: &str) -> io::Result<BufReader<io::Take<UnixStream>>> {
    let mut stream = super::reach(path, Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(line.as_bytes())?;
    stream.write_all(b"\n")?;
    Ok(BufReader::new(stream.take(ANSWER_MAX)))
}

fn parse<T: Json + Default>(answer: &str) -> Result<T, ClientError> {
    let wrong = |error: json::Error| ClientError::Protocol(error.to_string());
    // The envelope of a refusal has its one key first; no other answer starts so.
    if answer.starts_with("{\"error\":") {
        let refusal: ErrorAnswer = json::from_str(answer).map_err(wrong)?;
        return Err(ClientError::Refused(refusal.error));
    }
    json::from_str(answer).map_err(wrong)
}
