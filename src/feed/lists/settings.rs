//! `config list 'NAME'`: a list of addresses and networks, and what becomes of what it has.

use std::time::Duration;

use super::Format;
use crate::feed::Terms;
use crate::feed::fetch;
use crate::model::{ListUse, Source};
use crate::options::value::{self, Action, BadValue, Checked, PortRange, Proto, refuse};
use crate::options::{Checks, LeftOut, Many, list, one, secret};

/// Most lists.
pub const MOST: usize = 64;

/// Names of sets that a list cannot have.
const TAKEN: [&str; 4] = ["allow", "severed", "once", "cut"];

/// Shortest and longest time between two fetches.
const SHORTEST: Duration = Duration::from_secs(600);
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// On which side of a packet a list's addresses are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sides {
    /// Its sender.
    #[default]
    Src,
    /// Its receiver: LAN hosts and the router calling out.
    Dst,
    /// Both.
    Both,
}

/// One list.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whose entries they are: the section's name.
    pub source: Source,
    /// `enabled`.
    pub enabled: bool,
    /// `url`: https, http, file; or a path. All of them together are the list.
    pub urls: Vec<String>,
    /// `format`.
    pub format: Format,
    /// `interval`: time between two fetches; at least 10 minutes.
    pub interval: Duration,
    /// `max_age`: a list that has not been fetched for longer lapses; zero: never.
    pub max_age: Duration,
    /// `zone`: fw4 zones in which it holds; empty: those of `main`.
    pub zones: Vec<String>,
    /// `direction`.
    pub sides: Sides,
    /// `proto`.
    pub proto: Proto,
    /// `dest_port`; empty: every port.
    pub dest_ports: Vec<PortRange>,
    /// `action`; `None`: as in `main`.
    pub action: Option<Action>,
    /// `log_drops`; `None`: as in `main`.
    pub log_drops: Option<bool>,
    /// `use`.
    pub usage: ListUse,
    /// `login`: name and password with a colon between them, or the path of a file that has them.
    pub login: Option<String>,
    /// `keep`: kept on flash, so that it is there after a reboot.
    pub keep: bool,
}

impl Default for Settings {
    /// A section without a word in it, whose name is not known yet.
    fn default() -> Settings {
        Settings::of(Source::MANUAL)
    }
}

/// The sections.
pub const SECTION: Many<Settings, Settings> = Many {
    options: &[
        list("url", |list, given| given.add(&mut list.urls, url)),
        one("format", |list, given| given.set(&mut list.format, format)),
        one("interval", |list, given| given.set(&mut list.interval, interval)),
        one("max_age", |list, given| given.set(&mut list.max_age, value::duration)),
        one("enabled", |list, given| given.set(&mut list.enabled, value::boolean)),
        one("use", |list, given| given.set(&mut list.usage, usage)),
        one("direction", |list, given| given.set(&mut list.sides, sides)),
        list("zone", |list, given| given.add(&mut list.zones, value::zone)),
        one("proto", |list, given| given.set(&mut list.proto, value::proto)),
        list("dest_port", |list, given| given.add(&mut list.dest_ports, value::port_range)),
        one("action", |list, given| given.set(&mut list.action, |text| value::action(text).map(Some))),
        one("log_drops", |list, given| given.set(&mut list.log_drops, |text| value::boolean(text).map(Some))),
        secret("login", |list, given| given.set(&mut list.login, login)),
        one("keep", |list, given| given.set(&mut list.keep, value::boolean)),
    ],
    // Without these it would be another list, or block more than was meant.
    needed: &["url", "format", "enabled", "use", "direction", "zone", "proto", "dest_port"],
    build,
};

fn build(mut list: Settings, section: &mut Checks<'_, '_>) -> Result<Option<Settings>, LeftOut> {
    let name = section.own_name()?;
    if TAKEN.contains(&name.as_str()) || Source::BUILT_IN.iter().any(|source| source.name() == name) {
        return Err(section.refuse(None, format!("config list '{name}': that name is taken; give the list another")));
    }
    list.source = Source::list(&name);
    if list.urls.is_empty() {
        return Err(section.refuse(None, format!("config list '{name}' without list url, an address or a file")));
    }
    if list.proto == Proto::Icmp && !list.dest_ports.is_empty() {
        return Err(section.refuse(Some("dest_port"), "dest_port: icmp has no ports".to_owned()));
    }
    let narrowed = list.sides != Sides::Src
        || list.usage == ListUse::Allow
            && (list.proto != Proto::Any || !list.dest_ports.is_empty() || !list.zones.is_empty());
    if list.usage != ListUse::Block && narrowed {
        let message = match list.usage {
            ListUse::Allow => "use 'allow' holds everywhere: direction, zone, proto and dest_port count for nothing",
            _ => "use 'only' is about who comes in: direction counts for nothing",
        };
        section.warn(Some("use"), message.to_owned());
        list.sides = Sides::Src;
    }
    Ok(Some(list).filter(|list| list.enabled))
}

fn url(value: &str) -> Checked<String> {
    fetch::check(value).map(|()| value.to_owned()).map_err(|error| BadValue::new(&error))
}

fn format(value: &str) -> Checked<Format> {
    value.parse().or_else(|error: super::format::UnknownFormat| refuse(value, &error.to_string()))
}

fn interval(value: &str) -> Checked<Duration> {
    let interval = value::duration(value)?;
    if (SHORTEST..=LONGEST).contains(&interval) {
        return Ok(interval);
    }
    refuse(value, "is out of range; write 10m to 30d")
}

fn usage(value: &str) -> Checked<ListUse> {
    let known = [ListUse::Block, ListUse::Allow, ListUse::Only];
    let found = known.into_iter().find(|usage| usage.name() == value);
    found.map_or_else(|| refuse(value, "is no use of a list; write block, allow or only"), Ok)
}

fn sides(value: &str) -> Checked<Sides> {
    match value {
        "src" => Ok(Sides::Src),
        "dst" => Ok(Sides::Dst),
        "src-dst" => Ok(Sides::Both),
        _ => refuse(value, "is no direction; write src, dst or src-dst"),
    }
}

/// A name and a password, or a file that has them. A refusal repeats neither.
fn login(value: &str) -> Checked<Option<String>> {
    let plain = value.len() <= 256 && !value.chars().any(char::is_control);
    match plain && (value.starts_with('/') || value.contains(':')) {
        true => Ok(Some(value.to_owned())),
        false => {
            Err(BadValue::new("the login is not accepted; write name:password, or the path of a file that has it"))
        }
    }
}

impl Settings {
    /// A list of that name as it is when nothing else is said.
    pub fn new(name: &str) -> Settings {
        Settings::of(Source::list(name))
    }

    fn of(source: Source) -> Settings {
        Settings {
            source,
            enabled: true,
            urls: Vec::new(),
            format: Format::Auto,
            interval: Duration::from_secs(12 * 3600),
            max_age: Duration::from_secs(30 * 86_400),
            zones: Vec::new(),
            sides: Sides::Src,
            proto: Proto::Any,
            dest_ports: Vec::new(),
            action: None,
            log_drops: None,
            usage: ListUse::Block,
            login: None,
            keep: false,
        }
    }

    /// Whether nothing of it comes over the network.
    pub fn is_local(&self) -> bool {
        self.urls.iter().all(|url| fetch::server(url).is_none())
    }

    /// Name or address and port of the first server that it comes from; an empty name where it is a file.
    pub fn server(&self) -> (&str, u16) {
        self.urls.iter().find_map(|url| fetch::server(url)).unwrap_or(("", 0))
    }

    /// On which terms it is got.
    pub fn terms(&self) -> Terms<'_> {
        let encrypted = !self.urls.is_empty() && self.urls.iter().all(|url| !url.starts_with("http://"));
        let max_age = Some(self.max_age).filter(|age| !age.is_zero());
        Terms { encrypted, account: None, max_age, list: Some(self.usage) }
    }

    /// Whether everything that a listed host sends is blocked, in every zone.
    pub fn is_whole(&self) -> bool {
        self.usage == ListUse::Block
            && self.sides != Sides::Dst
            && self.proto == Proto::Any
            && self.dest_ports.is_empty()
            && self.zones.is_empty()
    }
}
