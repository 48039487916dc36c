//! The configuration: `/etc/config/diswall`, typed.
//!
//! This file holds the settings and their defaults, `uci` the syntax, `read` the way from one to the
//! other. Public contract: the README's UCI section. Nothing here touches the network or the firewall.

pub mod explain;
pub mod last_good;
pub mod read;
pub mod uci;
pub mod value;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::feed::lists;
use crate::feed::login::Pattern;
use crate::feed::login::attempts::Limit;
use crate::feed::login::known;
use crate::feed::registry;
use crate::model::Source;

pub use read::{KINDS, Loaded, Problem, Problems, Severity, options_of};

/// Where the configuration is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/config/diswall";
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

/// Most host names in `config allow` and `config block` together.
pub const MAX_NAMES: usize = 32;

/// Everything diswall can be told.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Settings {
    /// `config diswall 'main'`.
    pub main: Main,
    /// `config dynfw 'dynfw'`.
    pub dynfw: Dynfw,
    /// `config nats 'nats'`.
    pub nats: Nats,
    /// `config scan 'scan'`.
    pub scan: Scan,
    /// `config login 'login'`.
    pub login: Login,
    /// `config logwatch`, in file order; those that are switched off are not here.
    pub logwatch: Vec<Logwatch>,
    /// `config list`, in file order; those that are switched off are not here.
    pub lists: Vec<lists::Settings>,
    /// `config allow`, in file order.
    pub allow: Vec<Allow>,
    /// `config block`, in file order.
    pub block: Vec<Block>,
    /// Both, where `ip` is a host name; at most [`MAX_NAMES`].
    pub named: Vec<Named>,
}

/// What happens to a blocked packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Action {
    /// Silently dropped.
    #[default]
    Drop,
    /// Refused: TCP reset, or ICMP unreachable.
    Reject,
}

/// Which packets are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum States {
    /// Those that open a connection (and invalid ones).
    #[default]
    New,
    /// Every packet.
    All,
}

/// On which side a banned address is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Direction {
    /// Packets from it.
    #[default]
    Src,
    /// Also packets to it, from LAN hosts calling out.
    SrcDst,
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
            state_dir: "/var/lib/diswall".into(),
            control: "/var/run/diswall/control.sock".into(),
        }
    }
}

/// `config dynfw 'dynfw'`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dynfw {
    /// `enabled`.
    pub enabled: bool,
    /// `server`: name or address.
    pub server: String,
    /// `port`.
    pub port: u16,
    /// `server_key`: CURVE public key, 40 Z85 characters; `None`: no CURVE.
    pub server_key: Option<String>,
    /// `key_url`: where a rotated key is published; `None`: never fetched.
    pub key_url: Option<String>,
    /// `max_age`: without contact for longer, its bans lapse.
    pub max_age: Duration,
    /// `events`: follow the suspicious events that Sentinel sees, for `diswall watch`.
    pub events: bool,
}

impl Default for Dynfw {
    fn default() -> Dynfw {
        Dynfw {
            enabled: true,
            server: "sentinel.turris.cz".into(),
            port: 7087,
            server_key: Some("D=rkicUyn5AcL)>9$2Db0HIELd2F*WaS-zDTikU*".into()),
            key_url: Some("https://repo.turris.cz/sentinel/dynfw.pub".into()),
            max_age: Duration::from_secs(24 * 3600),
            events: false,
        }
    }
}

/// `config nats 'nats'`.
#[derive(Clone, Debug, PartialEq)]
pub struct Nats {
    /// `enabled`.
    pub enabled: bool,
    /// `server`: name or address.
    pub server: String,
    /// `port`.
    pub port: u16,
    /// `client_name`: the DisWall login.
    pub client_name: String,
    /// `client_pass`.
    pub client_pass: String,
    /// `hostname`: the host part of subjects; `None`: the router's, dots to underscores (and `openwrt`
    /// with the `default` account).
    pub hostname: Option<String>,
    /// `tls`.
    pub tls: bool,
    /// `ca_file`: PEM file of the accepted authorities; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// `share_bans`: publish what this router saw.
    pub share_bans: bool,
    /// `send_statistics`: publish hourly counts.
    pub send_statistics: bool,
    /// `refresh`: a ban's time starts again with every packet of the banned address.
    pub refresh: bool,
}

impl Default for Nats {
    fn default() -> Nats {
        Nats {
            enabled: true,
            server: "diswall.stream".into(),
            port: 4222,
            client_name: "default".into(),
            client_pass: "default".into(),
            hostname: None,
            tls: false,
            ca_file: None,
            share_bans: false,
            send_statistics: false,
            refresh: false,
        }
    }
}

/// `config scan 'scan'`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// `enabled`.
    pub enabled: bool,
    /// `nflog_group`.
    pub nflog_group: u16,
    /// `honeypot_port`: ports to ban on at the first packet.
    pub honeypot_ports: Vec<PortRange>,
    /// `ban_time`: length of an address's first ban, of its second, and so on; the last is for all that
    /// follow. Each at least 1 s and at most [`value::MAX_DURATION`]; empty: DisWall's ladder.
    pub ban_times: Vec<Duration>,
    /// `forget_after`: from the end of an address's last ban until its ladder starts again.
    pub forget_after: Duration,
    /// `high_port`: from this port on a single packet may be a late one of a forgotten connection.
    pub high_port: u16,
    /// `high_port_packets`: so many packets to such ports within an hour are a scan. 1 to 100.
    pub high_port_packets: u32,
    /// `ipv6_prefix`: bans hold for the whole network of this length, 64 or 128 (the address alone).
    pub ipv6_prefix: u8,
    /// `refresh`: a ban's time starts again with every packet of the banned address.
    pub refresh: bool,
}

impl Default for Scan {
    fn default() -> Scan {
        // docs/protocols.md section 2: what DisWall bans on at once.
        const SINGLE: [u16; 21] = [
            1433, 1434, 1521, 1583, 1830, 2049, 3050, 3306, 3351, 3389, 5432, 5900, 6379, 7210, 8080, 8081, 8443, 9200,
            9216, 9300, 11211,
        ];
        let mut honeypot_ports = vec![PortRange { first: 1, last: 1024 }];
        honeypot_ports.extend(SINGLE.map(|port| PortRange { first: port, last: port }));
        let forget_after = Duration::from_secs(30 * 86_400);
        Scan {
            enabled: true,
            nflog_group: 1914,
            honeypot_ports,
            ban_times: Vec::new(),
            forget_after,
            high_port: 49_152,
            high_port_packets: 3,
            ipv6_prefix: 128,
            refresh: false,
        }
    }
}

/// Ports from `first` to `last`, both included, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

impl fmt::Display for PortRange {
    /// As UCI, nft and [`value::port_range`] write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// Where log lines come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum LogSource {
    /// `logread -f`, or the journal where there is no logread.
    #[default]
    Auto,
    /// A file, followed over its rotation.
    File(PathBuf),
}

/// When a failed log-in counts only if the kernel knows of a connection from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Proving {
    /// In the system's log; in a file, if its service is served here.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `config login 'login'`: the services whose failed log-ins are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// `enabled`; `config logwatch` goes by its own.
    pub enabled: bool,
    /// `service`: names out of [`known::names`].
    pub services: Vec<String>,
    /// `attempts` and `window`, for each address and service.
    pub limit: Limit,
    /// `source`.
    pub source: LogSource,
    /// `proof`; for `config logwatch` too.
    pub proof: Proving,
}

impl Default for Login {
    fn default() -> Login {
        Login {
            enabled: true,
            services: known::names().filter(|(_, preset)| !preset).map(|(name, _)| name.into()).collect(),
            limit: Limit::default(),
            source: LogSource::Auto,
            proof: Proving::Auto,
        }
    }
}

/// `config logwatch`.
#[derive(Clone, Debug, PartialEq)]
pub struct Logwatch {
    /// `name`: what the ban's reason says; at most 25 bytes, since it is DisWall's tag as well.
    pub name: String,
    /// `preset`: the sentences of that name out of [`known::names`] are looked for.
    pub preset: Option<String>,
    /// `program`: whose lines are looked at for `pattern`; empty: everybody's.
    pub programs: Vec<String>,
    /// `pattern`; never empty where there is no preset.
    pub patterns: Vec<Pattern>,
    /// `attempts` and `window`.
    pub limit: Limit,
    /// `source`.
    pub source: LogSource,
}

/// `config allow`.
#[derive(Clone, Debug, PartialEq)]
pub struct Allow {
    /// `ip`: address or network, host bits zero.
    pub net: IpNet,
    /// `comment`.
    pub comment: String,
}

/// A `config allow` or `config block` of a host name, whose addresses are looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// `ip`: the name.
    pub name: String,
    /// Allowed, or blocked?
    pub allow: bool,
    /// `comment`.
    pub comment: String,
}

/// Protocol of a `config block`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Proto {
    /// Every protocol.
    #[default]
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP of the address's family.
    Icmp,
}

/// `config block`.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// `ip`: address or network, host bits zero.
    pub net: IpNet,
    /// `comment`.
    pub comment: String,
    /// `proto`.
    pub proto: Proto,
    /// `dest_port`; empty means every port.
    pub dest_ports: Vec<PortRange>,
    /// `action`; `None` means `main.action`.
    pub action: Option<Action>,
    /// `log`: its packets are logged, whatever `main.log_drops` says.
    pub log: bool,
}

impl Settings {
    /// The sources that have sets and books, in the order in which people are told of them.
    pub fn sources(&self) -> Vec<Source> {
        Source::BUILT_IN.into_iter().chain(self.lists.iter().map(|list| list.source)).collect()
    }

    /// Whether a ban of this source begins anew with every packet of the banned host.
    pub fn refreshes(&self, source: Source) -> bool {
        [(Source::SCAN, self.scan.refresh), (Source::NATS, self.nats.refresh)].contains(&(source, true))
    }

    /// The address or name and port of every feed that is switched on.
    pub fn feed_servers(&self) -> impl Iterator<Item = (&str, u16)> {
        let on = registry::all(self).filter(|(feed, source)| (feed.enabled)(self, *source));
        on.map(|(feed, source)| (feed.server)(self, source)).filter(|(host, _)| !host.is_empty())
    }
}
