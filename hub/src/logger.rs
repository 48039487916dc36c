//! Where sentences go: standard error, which the journal dates, or syslog.

use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // The journal knows these numbers; the libraries' own words are not the hub's.
        if record.target().starts_with("diswall_hub") {
            let text = record.args().to_string().replace(char::is_control, " ");
            let _ = writeln!(std::io::stderr().lock(), "{}: {text}", record.level().as_str().to_lowercase());
        }
    }

    fn flush(&self) {}
}

/// Starts logging.
///
/// # Errors
/// syslog does not take it.
pub fn start(syslog: bool) -> Result<(), String> {
    let level = LevelFilter::Info;
    if syslog {
        return syslog::init(syslog::Facility::LOG_DAEMON, level, Some("diswall-hub"))
            .map_err(|error| format!("syslog: {error}"));
    }
    static STDERR: Stderr = Stderr;
    log::set_max_level(level);
    log::set_logger(&STDERR).map_err(|error| error.to_string())
}
