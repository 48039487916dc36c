//! Where log lines go: syslog on the router, standard error in the foreground.

use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};

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
            let _ = writeln!(std::io::stderr().lock(), "diswall: {level}: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Syslog for our own lines alone: the libraries' chatter is not for a router's log.
struct Syslog(syslog::BasicLogger);

impl Log for Syslog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
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
        let formatter = syslog::Formatter3164 {
            facility: syslog::Facility::LOG_DAEMON,
            hostname: None,
            process: "diswall".into(),
            pid: std::process::id(),
        };
        match syslog::unix(formatter) {
            Ok(logger) => Box::new(Syslog(syslog::BasicLogger::new(logger))),
            Err(error) => {
                trouble = Some(format!("syslog cannot be reached ({error}); logging to standard error"));
                Box::new(Foreground)
            }
        }
    };
    // Set once at the start of the process; a second logger could only come from a test.
    let _ = log::set_boxed_logger(logger);
    trouble
}
