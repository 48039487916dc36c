//! The control socket: its protocol, its server, its client.
//!
//! The daemon runs the server and answers; the command line and the owner's commands (`owner`) are clients.
//! Nothing is decided here.

pub mod arguments;
pub mod client;
pub mod protocol;
pub mod server;

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};

/// Connects to whoever listens there. Where the listener's queue is full, which whoever has the listener can bring about,
/// [`UnixStream::connect`] would wait for ever.
///
/// # Errors
/// Those of connect(2); `WouldBlock`: somebody listens, and had no room for so long (`None`: now).
fn reach(path: &Path, patience: Option<Duration>) -> io::Result<UnixStream> {
    let flags = if patience.is_some() { SocketFlags::empty() } else { SocketFlags::NONBLOCK };
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags | SocketFlags::CLOEXEC, None)?;
    if patience.is_some() {
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, patience)?;
    }
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}
