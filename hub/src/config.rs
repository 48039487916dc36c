//! The hub's configuration file: TOML, every key with a default but where nats-server is.
//!
//! A key that nobody knows is refused, for it is a slip of the pen. Read at the start; what changes while the hub
//! runs (reporters, allowances) stands in nats-server.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use omq_proto::CurvePublicKey;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::subject::Parts;

/// Where it is unless a command names another.
pub const PLACE: &str = "/etc/diswall-hub/hub.toml";

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How to reach nats-server.
    pub nats: Nats,
    /// Whom to believe.
    #[serde(default)]
    pub trust: Trust,
    /// Routers that want something else than ours.
    #[serde(default)]
    pub routers: Routers,
    /// How much nats-server keeps, and how often.
    #[serde(default)]
    pub store: Store,
    /// The page for people, and `/metrics`.
    #[serde(default)]
    pub page: Page,
    /// Turris Sentinel's list for the fleet.
    #[serde(default)]
    pub dynfw: Dynfw,
}

/// `[nats]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nats {
    /// Addresses, tried in turn: `nats://HOST:4222`, or `tls://HOST:4222`.
    pub servers: Vec<String>,
    /// The hub's own login.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// A file with it, which only the hub can read.
    pub password_file: Option<PathBuf>,
    /// A file with the seed of an NKEY, in place of login and password.
    pub nkey_file: Option<PathBuf>,
    /// Certificate authorities to believe, in place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// `[trust]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trust {
    /// Logins whose word is enough.
    pub honeypots: Vec<String>,
    /// How many different logins must report an address otherwise.
    pub quorum: usize,
    /// Within how many seconds.
    pub window: u64,
    /// Reports that are taken of one login in an hour.
    pub bans_per_hour: u32,
    /// Allowances that are kept for one login.
    pub allowances: usize,
    /// Addresses and networks that no report gets past.
    #[serde(deserialize_with = "nets")]
    pub never: Vec<IpNet>,
}

impl Default for Trust {
    fn default() -> Trust {
        Trust {
            honeypots: Vec::new(),
            quorum: 2,
            window: 3600,
            bans_per_hour: 200,
            allowances: 1000,
            never: Vec::new(),
        }
    }
}

/// `[routers]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Routers {
    /// Logins that run diswall-rs, which bans whatever an allow list names that it is answered, and hears of bans only
    /// what its own login says.
    pub diswall_rs: Vec<String>,
}

/// `[store]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Copies of everything: 1 on one server, 3 on three.
    pub replicas: usize,
    /// What the largest of the streams may take on disk.
    pub megabytes: i64,
}

impl Default for Store {
    fn default() -> Store {
        Store { replicas: 1, megabytes: 256 }
    }
}

/// `[page]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Page {
    /// Where it listens; loopback, unless somebody says otherwise.
    pub listen: String,
    /// A file with the word that lets people in. Without one there is no page.
    pub token_file: Option<PathBuf>,
}

impl Default for Page {
    fn default() -> Page {
        Page { listen: "127.0.0.1:4280".into(), token_file: None }
    }
}

/// `[dynfw]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dynfw {
    /// A file with the secret CURVE key by which routers know this hub. Without one nothing is passed on.
    pub key_file: Option<PathBuf>,
    /// Where routers come.
    pub listen: SocketAddr,
    /// Name or address of Turris Sentinel's server.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// Its public CURVE key in Z85; empty: no CURVE.
    pub server_key: String,
    /// Whether suspicious events are passed on too.
    pub events: bool,
    /// How many routers may come.
    pub routers: usize,
    /// Seconds that Sentinel may be away until routers are let go.
    pub patience: u64,
}

impl Default for Dynfw {
    fn default() -> Dynfw {
        let sentinel = diswall::feed::dynfw::Settings::default();
        Dynfw {
            key_file: None,
            listen: (Ipv4Addr::UNSPECIFIED, sentinel.port).into(),
            server: sentinel.server,
            port: sentinel.port,
            server_key: sentinel.server_key.unwrap_or_default(),
            events: false,
            routers: 10_000,
            patience: 600,
        }
    }
}

impl Dynfw {
    fn check(&self) -> Result<(), String> {
        if let Err(error) = CurvePublicKey::from_z85(&self.server_key)
            && !self.server_key.is_empty()
        {
            return Err(format!("[dynfw] server_key is no CURVE public key (40 characters of Z85): {error}"));
        }
        if !(1..=86_400).contains(&self.patience) {
            return Err(format!("[dynfw] patience is {} seconds; a second to a day can be", self.patience));
        }
        if !(1..=1_000_000).contains(&self.routers) {
            return Err(format!("[dynfw] routers is {}; 1 to 1,000,000 can be", self.routers));
        }
        Ok(())
    }
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// A sentence for the owner.
    pub fn read(path: &Path) -> Result<Config, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Config::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let trust = &config.trust;
        if config.nats.servers.is_empty() {
            return Err("[nats] servers names none".into());
        }
        if !(1..=16).contains(&trust.quorum) {
            return Err(format!("[trust] quorum is {}; 1 to 16 can be", trust.quorum));
        }
        if !(60..=7 * 86_400).contains(&trust.window) {
            return Err(format!("[trust] window is {} seconds; a minute to a week can be", trust.window));
        }
        if !matches!(config.store.replicas, 1 | 3 | 5) {
            return Err(format!("[store] replicas is {}; 1, 3 or 5 can be", config.store.replicas));
        }
        if !(16..=1 << 20).contains(&config.store.megabytes) {
            return Err(format!("[store] megabytes is {}; 16 or more can be", config.store.megabytes));
        }
        if let Some(bad) = config.routers.diswall_rs.iter().find(|login| !Parts::is_login(login)) {
            return Err(format!("[routers] diswall_rs: \"{bad}\" cannot be a login"));
        }
        config.dynfw.check()?;
        Ok(config)
    }
}

/// An address or a network.
///
/// # Errors
/// It is none.
pub fn net(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse()).map_err(|_| format!("\"{text}\" is no address and no network"))
}

fn nets<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| net(text).map_err(D::Error::custom)).collect()
}

/// Host and port of `nats://USER@HOST:PORT` or `HOST`; nats-server's own port where none is named.
pub fn host_and_port(server: &str) -> (&str, u16) {
    let host = server.rsplit_once("://").map_or(server, |(_, host)| host);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host).trim_end_matches('/');
    let with_port = host.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = with_port.unwrap_or((host, 4222));
    (host.trim_matches(['[', ']']), port)
}

/// What a file with a secret holds: its first line.
///
/// # Errors
/// It cannot be read, or is empty.
pub fn secret(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(format!("{} is empty", path.display())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_server_has_a_host_and_a_port() {
        for (server, parts) in [
            ("nats://a:b@192.0.2.1:4223/", ("192.0.2.1", 4223)),
            ("tls://hub.example.net", ("hub.example.net", 4222)),
            ("192.0.2.1:4222", ("192.0.2.1", 4222)),
            ("nats://[2001:db8::1]:9", ("2001:db8::1", 9)),
            ("[2001:db8::1]", ("2001:db8::1", 4222)),
        ] {
            assert_eq!(host_and_port(server), parts, "{server}");
        }
    }

    #[test]
    fn little_is_enough_and_slips_are_told() {
        let config = Config::parse("[nats]\nservers = [\"nats://127.0.0.1:4222\"]\n").unwrap();
        assert_eq!((config.trust.quorum, config.trust.window, config.store.replicas), (2, 3600, 1));
        assert!(config.page.listen.starts_with("127."));
        for (bad, told) in [
            ("", "nats"),
            ("[nats]\nservers = []", "names none"),
            ("[nats]\nservers = [\"x\"]\n[trust]\nqorum = 3", "qorum"),
            ("[nats]\nservers = [\"x\"]\n[trust]\nquorum = 0", "quorum is 0"),
            ("[nats]\nservers = [\"x\"]\n[trust]\nnever = [\"lan\"]", "never"),
            ("[nats]\nservers = [\"x\"]\n[store]\nreplicas = 2", "replicas is 2"),
            ("[nats]\nservers = [\"x\"]\n[dynfw]\nserver_key = \"x\"", "40 characters of Z85"),
            ("[nats]\nservers = [\"x\"]\n[dynfw]\nlisten = \"hub:7087\"", "listen"),
            ("[nats]\nservers = [\"x\"]\n[dynfw]\npatience = 0", "patience is 0"),
            ("[nats]\nservers = [\"x\"]\n[routers]\ndiswall_rs = [\"a.*\"]", "\"a.*\" cannot be a login"),
        ] {
            let error = Config::parse(bad).unwrap_err();
            assert!(error.contains(told), "{bad}: {error}");
        }
    }
}
