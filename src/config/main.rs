//! `config diswall 'main'`: what holds for all of diswall, its defaults, and its options.

use std::path::PathBuf;

use crate::options::value::{self, Action, Checked, Direction, refuse};
use crate::options::{Single, list, one};

/// `max_entries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxEntries {
    /// What a quarter of the machine's memory has room for: see [`crate::memory`].
    Auto,
    /// So many. 1 to [`MAX_ENTRIES`].
    Entries(u32),
}

/// Most that `max_entries` may be.
pub const MAX_ENTRIES: u32 = 1 << 22;
/// Longest `table` and `set_prefix`, in bytes; nftables takes names of 255, and a set's has a suffix.
const MAX_PREFIX: usize = 32;
/// Longest path of a Unix socket, in bytes (`sun_path` less its final NUL).
const MAX_SOCKET_PATH: usize = 107;

/// Which packets are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum States {
    /// Those that open a connection (and invalid ones).
    #[default]
    New,
    /// Every packet.
    All,
}

/// `config diswall 'main'`.
#[derive(Clone, Debug, PartialEq)]
pub struct Main {
    /// `enabled`.
    pub enabled: bool,
    /// `local_only`: no connection to any feed.
    pub local_only: bool,
    /// `log_level`.
    pub log_level: log::LevelFilter,
    /// `table`: nftables table, family inet.
    pub table: String,
    /// `set_prefix`.
    pub set_prefix: String,
    /// `zone`: fw4 zones to guard.
    pub zones: Vec<String>,
    /// `device`: devices to guard without fw4; empty means every one but lo.
    pub devices: Vec<String>,
    /// `action`.
    pub action: Action,
    /// `log_drops`.
    pub log_drops: bool,
    /// `states`.
    pub states: States,
    /// `direction`.
    pub direction: Direction,
    /// `disconnect`: a ban also ends the host's connections.
    pub disconnect: bool,
    /// `max_entries`: bans of all feeds together, and as many of the owner's; what is above is cut, loudly.
    pub max_entries: MaxEntries,
    /// `report`: the rules hand out a few dropped packets a second, to be counted by port, country and sender.
    pub report: bool,
    /// `report_mail`: who gets the weekly report.
    pub report_mail: Option<String>,
    /// `report_day`: on which day, 0 for Sunday to 6.
    pub report_day: u8,
    /// `report_hour`: from which full hour on, 0 to 23, by the router's clock.
    pub report_hour: u8,
    /// `state_dir`.
    pub state_dir: PathBuf,
    /// `control`: the control socket.
    pub control: PathBuf,
}

impl Default for Main {
    fn default() -> Main {
        Main {
            enabled: true,
            local_only: false,
            log_level: log::LevelFilter::Info,
            table: "fw4".into(),
            set_prefix: "diswall".into(),
            zones: vec!["wan".into()],
            devices: Vec::new(),
            action: Action::Drop,
            log_drops: false,
            states: States::New,
            direction: Direction::Src,
            disconnect: true,
            max_entries: MaxEntries::Auto,
            report: true,
            report_mail: None,
            report_day: 1,
            report_hour: 6,
            state_dir: "/var/lib/diswall".into(),
            control: "/var/run/diswall/control.sock".into(),
        }
    }
}

/// The section.
pub const SECTION: Single<Main> = Single {
    name: "main",
    options: &[
        one("enabled", |main, given| given.set(&mut main.enabled, value::boolean)),
        one("local_only", |main, given| given.set(&mut main.local_only, value::boolean)),
        one("log_level", |main, given| given.set(&mut main.log_level, log_level)),
        one("table", |main, given| given.set(&mut main.table, nft_name)),
        one("set_prefix", |main, given| given.set(&mut main.set_prefix, nft_name)),
        list("zone", |main, given| given.add(&mut main.zones, value::zone)),
        list("device", |main, given| given.add(&mut main.devices, value::device)),
        one("action", |main, given| given.set(&mut main.action, value::action)),
        one("log_drops", |main, given| given.set(&mut main.log_drops, value::boolean)),
        one("states", |main, given| given.set(&mut main.states, states)),
        one("direction", |main, given| given.set(&mut main.direction, value::direction)),
        one("disconnect", |main, given| given.set(&mut main.disconnect, value::boolean)),
        one("max_entries", |main, given| given.set(&mut main.max_entries, max_entries)),
        one("report", |main, given| given.set(&mut main.report, value::boolean)),
        one("report_mail", |main, given| given.set(&mut main.report_mail, letters_to)),
        one("report_day", |main, given| given.set(&mut main.report_day, weekday)),
        one("report_hour", |main, given| {
            given.set(&mut main.report_hour, |text| value::number(text, 0, 23).map(|hour| hour as u8))
        }),
        one("state_dir", |main, given| given.set(&mut main.state_dir, value::path)),
        one("control", |main, given| given.set(&mut main.control, socket_path)),
    ],
    check: |_, _| {},
};

/// The name of a table, and the first part of the sets' names.
fn nft_name(value: &str) -> Checked<String> {
    let letter_first = value.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let name = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if letter_first && name && value.len() <= MAX_PREFIX {
        return Ok(value.to_owned());
    }
    let expected = format!("is no name; write a letter, then letters, digits and _, at most {MAX_PREFIX} in all");
    refuse(value, &expected)
}

/// Who gets letters; empty: nobody.
fn letters_to(value: &str) -> Checked<Option<String>> {
    if value.is_empty() { Ok(None) } else { mail_address(value).map(Some) }
}

/// An address for letters: of what RFC 5322 allows the part that no program, header or shell takes for anything else.
fn mail_address(value: &str) -> Checked<String> {
    let (user, host) = value.split_once('@').map_or((value, None), |(user, host)| (user, Some(host)));
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._%+=-".contains(&byte);
    let is_label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    let user_fits = (1..=64).contains(&user.len()) && user.bytes().all(is_word) && !user.starts_with(['-', '.']);
    let host_fits = host.is_none_or(|host| host.len() <= 189 && host.split('.').all(is_label));
    if user_fits && host_fits {
        return Ok(value.to_owned());
    }
    refuse(value, "is no mail address; write one such as owner@example.org, or the name of a user of this router")
}

/// `sun` to `sat`.
fn weekday(value: &str) -> Checked<u8> {
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    match DAYS.iter().position(|day| *day == value) {
        Some(day) => Ok(day as u8),
        None => refuse(value, "is no day of the week; write mon, tue, wed, thu, fri, sat or sun"),
    }
}

/// A path short enough for a Unix socket.
pub(super) fn socket_path(value: &str) -> Checked<PathBuf> {
    if value.len() > MAX_SOCKET_PATH {
        return refuse(value, &format!("is {} bytes long; a socket's path has at most {MAX_SOCKET_PATH}", value.len()));
    }
    value::path(value)
}

/// `new` or `all`.
fn states(value: &str) -> Checked<States> {
    match value {
        "new" => Ok(States::New),
        "all" => Ok(States::All),
        _ => refuse(value, "says no states; write new (packets that open a connection) or all"),
    }
}

/// `error`, `warn`, `info`, `debug` or `trace`.
fn log_level(value: &str) -> Checked<log::LevelFilter> {
    match value {
        "error" => Ok(log::LevelFilter::Error),
        "warn" => Ok(log::LevelFilter::Warn),
        "info" => Ok(log::LevelFilter::Info),
        "debug" => Ok(log::LevelFilter::Debug),
        "trace" => Ok(log::LevelFilter::Trace),
        _ => refuse(value, "is no log level; write error, warn, info, debug or trace"),
    }
}

/// `max_entries`: `auto`, or how many.
fn max_entries(value: &str) -> Checked<MaxEntries> {
    if value == "auto" {
        return Ok(MaxEntries::Auto);
    }
    match value::number(value, 1, MAX_ENTRIES) {
        Ok(entries) => Ok(MaxEntries::Entries(entries)),
        Err(_) => refuse(value, &format!("is neither \"auto\" nor a whole number from 1 to {MAX_ENTRIES}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: std::fmt::Debug>(result: Checked<T>) -> String {
        result.expect_err("a refusal").to_string()
    }

    #[test]
    fn names() {
        for text in ["fw4", "diswall", "My_table2", &"x".repeat(MAX_PREFIX)] {
            assert_eq!(nft_name(text).as_deref(), Ok(text));
        }
        for text in ["", "4fw", "_x", "a-b", "a b", "a;flush ruleset", "a\"", "é", &"x".repeat(MAX_PREFIX + 1)] {
            assert!(
                refusal(nft_name(text))
                    .ends_with("is no name; write a letter, then letters, digits and _, at most 32 in all")
            );
        }
    }

    #[test]
    fn mail_addresses() {
        for text in ["root", "owner@example.org", "a.b+c@x", "o@xn--p1ai.xn--abc", "x@192-0-2-1.example"] {
            assert_eq!(mail_address(text).as_deref(), Ok(text));
        }
        let long = ["x".repeat(65), format!("x@{}", "a.".repeat(95))];
        for text in [
            "",
            "@",
            "a@",
            "@b",
            "-oQ/tmp",
            "--host=evil",
            "a b@c",
            "a@b@c",
            "a@b\nBcc: c@d",
            "a\r\n@b",
            "a,b@c",
            "\"a\"@b",
            "<a@b>",
            "a@-b",
            "a@b-",
            "a@b..c",
            "a@[192.0.2.1]",
            "a@b;reboot",
            "a`id`@b",
            "$(id)@b",
            "|sh",
            "/etc/passwd",
            ".a@b",
            "ž@b",
            "a@b/c",
            "a:b@c",
            "a!b",
            "a\0@b",
            &long[0],
            &long[1],
        ] {
            assert!(refusal(mail_address(text)).contains("is no mail address; write one"), "{text}");
        }
        assert_eq!((weekday("sun"), weekday("sat")), (Ok(0), Ok(6)));
        assert!(refusal(weekday("Monday")).contains("is no day of the week"));
    }

    #[test]
    fn sockets() {
        assert!(socket_path(&format!("/{}", "x".repeat(106))).is_ok());
        assert!(
            refusal(socket_path(&format!("/{}", "x".repeat(107))))
                .ends_with("is 108 bytes long; a socket's path has at most 107")
        );
    }

    #[test]
    fn words() {
        assert_eq!(states("all"), Ok(States::All));
        assert!(refusal(states("established")).starts_with("established says no states; write new"));
        assert_eq!(log_level("trace"), Ok(log::LevelFilter::Trace));
        assert_eq!(refusal(log_level("off")), "off is no log level; write error, warn, info, debug or trace");
    }
}
