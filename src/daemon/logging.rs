//! Where log lines go: syslog on the router, standard error in the foreground.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, PoisonError};

use crate::outside;
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Lines on standard error, without time stamps: whoever runs in the foreground has them around it.
struct Foreground;

impl Log for Foreground {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = record.level().as_str().to_ascii_lowercase();
            // Standard error may be closed; there is nobody left to tell.
            let _ = writeln!(std::io::stderr().lock(), "diswall: {level}: {}", one_line(&record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// Where syslog listens: logd on OpenWrt, journald and the like elsewhere.
const SYSLOG: &str = "/dev/log";

/// Facility "daemon" (RFC 3164, section 4.1.1), in the place it has in a priority.
const FACILITY: u8 = 3 << 3;

/// Syslog for our own lines alone: the libraries' chatter is not for a router's log.
struct Syslog {
    socket: Mutex<UnixDatagram>,
}

impl Syslog {
    fn open() -> io::Result<Syslog> {
        connect().map(|socket| Syslog { socket: Mutex::new(socket) })
    }

    /// Sends a line; again over a new socket when the log has been restarted since.
    fn send(&self, line: &[u8]) -> io::Result<()> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        match socket.send(line) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(_) => {
                *socket = connect()?;
                socket.send(line).map(drop)
            }
        }
    }
}

/// A log that takes nothing must not stop the daemon: sending never waits.
fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(SYSLOG)?;
    Ok(socket)
}

/// `<PRIORITY>diswall[PID]: TEXT`. The time is the log's to write. OpenWrt's logd takes the first sixteen bytes for a time
/// where the last of them is a blank, as with a PID of five digits: with six it never is.
fn syslog_line(level: Level, text: &str) -> String {
    let severity = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    let mut line = format!("<{}>diswall[{:06}]: ", FACILITY | severity, std::process::id());
    line.push_str(&one_line(text));
    line
}

/// One line stays one line, and obeyed by no terminal, whoever wrote the text in it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if outside::is_plain(c) { c } else { ' ' }).collect()
}

impl Log for Syslog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata())
            && self.send(syslog_line(record.level(), &record.args().to_string()).as_bytes()).is_err()
        {
            Foreground.log(record);
        }
    }

    fn flush(&self) {}
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("diswall") && metadata.level() <= log::max_level()
}

/// Starts logging. Where syslog cannot be reached, lines go to standard error, and the returned
/// sentence says so.
pub fn start(level: LevelFilter, foreground: bool) -> Option<String> {
    log::set_max_level(level);
    let mut trouble = None;
    let logger: Box<dyn Log> = if foreground {
        Box::new(Foreground)
    } else {
        match Syslog::open() {
            Ok(syslog) => Box::new(syslog),
            Err(error) => {
                trouble = Some(format!("syslog cannot be reached ({SYSLOG}: {error}); logging to standard error"));
                Box::new(Foreground)
            }
        }
    };
    // Set once at the start of the process; a second logger could only come from a test.
    let _ = log::set_boxed_logger(logger);
    trouble
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_with_its_priority() {
        let pid = std::process::id();
        for (level, text, line) in [
            (Level::Error, "gone", format!("<27>diswall[{pid:06}]: gone")),
            (Level::Info, "a\nb\x1b[2J", format!("<30>diswall[{pid:06}]: a b [2J")),
            (Level::Trace, "", format!("<31>diswall[{pid:06}]: ")),
        ] {
            assert_eq!(syslog_line(level, text), line);
        }
    }
}
