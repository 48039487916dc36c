//! `config list 'NAME'`: a list of addresses and networks, and what becomes of what it has.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Action, PortRange, Proto};
use crate::model::{ListUse, Source};

/// Most lists.
pub const MOST: usize = 64;

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

/// Who logs in at the list's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// `login 'user:password'`.
    Words(String),
    /// `login '/path'`: the first line of this file.
    File(PathBuf),
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
    /// `format`, as [`super::format`] has them.
    pub format: String,
    /// `interval`: time between two fetches; at least 10 minutes.
    pub interval: Duration,
    /// `max_age`: what has not been fetched for longer lapses; zero: never.
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
    /// `login`.
    pub login: Option<Login>,
    /// `keep`: kept on flash, so that it is there after a reboot.
    pub keep: bool,
}

impl Settings {
    /// A list of that name as it is when nothing else is said.
    pub fn new(name: &str) -> Settings {
        Settings {
            source: Source::list(name),
            enabled: true,
            urls: Vec::new(),
            format: "auto".into(),
            interval: Duration::from_secs(12 * 3600),
            max_age: Duration::ZERO,
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
        self.urls.iter().all(|url| url.starts_with('/') || url.starts_with("file:"))
    }

    /// Name or address and port of the first server that it comes from; an empty name where it is a file.
    pub fn server(&self) -> (&str, u16) {
        let found = self.urls.iter().find_map(|url| {
            let (scheme, rest) = url.split_once("://")?;
            let default = match scheme {
                "https" => 443,
                "http" => 80,
                _ => return None,
            };
            Some((rest.split(['/', '?', '#']).next()?, default))
        });
        let Some((authority, default)) = found else { return ("", 0) };
        match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host.trim_matches(['[', ']']), port.parse().unwrap_or(default))
            }
            _ => (authority.trim_matches(['[', ']']), default),
        }
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
