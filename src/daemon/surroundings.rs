//! What must never be banned because the router lives by it: its own addresses, subnets and gateways,
//! its resolvers and the feeds' servers.
//!
//! Collected at start and a moment after addresses or routes change; the ledger is told when the result
//! differs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::Settings;
use crate::firewall::routes::{self, Role, RouteWatch};
use crate::ledger::Protected;

/// Where resolvers are named: netifd's file for the uplinks first, then everybody's.
const RESOLVER_FILES: [&str; 3] = ["/tmp/resolv.conf.d/resolv.conf.auto", "/tmp/resolv.conf.auto", "/etc/resolv.conf"];

/// An uplink that comes up changes addresses, routes and resolvers within a second or so.
const SETTLE: Duration = Duration::from_secs(1);

/// What is known of the surroundings.
pub struct Surroundings {
    watch: Option<RouteWatch>,
    due: Option<Instant>,
    /// Addresses of the feeds' servers by name, as far as they could be resolved.
    servers: BTreeMap<String, Vec<IpAddr>>,
    lookups: (mpsc::Sender<Resolved>, mpsc::Receiver<Resolved>),
    current: Vec<Protected>,
}

/// A server's name and its addresses.
type Resolved = (String, Vec<IpAddr>);

impl Surroundings {
    /// Nothing is read yet.
    pub fn new() -> Surroundings {
        let watch = RouteWatch::open();
        if let Err(error) = &watch {
            log::warn!("changes of the router's own addresses are not noticed: {error}");
        }
        let (servers, lookups) = (BTreeMap::new(), mpsc::channel(4));
        Surroundings { watch: watch.ok(), due: None, servers, lookups, current: Vec::new() }
    }

    /// Waits for a change of addresses or routes, or for a server's name to be resolved.
    pub async fn changed(&mut self) {
        let Surroundings { watch, lookups: (_, resolved), servers, .. } = self;
        let routes = async {
            match watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = routes => {}
            Some((name, addresses)) = resolved.recv() => {
                servers.insert(name, addresses);
            }
        }
    }

    /// Has the names of the feeds' servers resolved; the answers come through [`Surroundings::changed`].
    pub fn look_up(&self, settings: &Settings) {
        for (server, port) in settings.feed_servers() {
            let (server, answer) = (server.to_string(), self.lookups.0.clone());
            tokio::task::spawn_local(async move {
                // The feed itself tells when its name does not resolve.
                let Ok(found) = tokio::net::lookup_host((server.as_str(), port)).await else { return };
                let addresses = found.map(|socket| socket.ip()).collect();
                let _ = answer.send((server, addresses)).await;
            });
        }
    }

    /// Has everything read anew in a moment.
    pub fn read_soon(&mut self) {
        self.due = Some(Instant::now() + SETTLE);
    }

    /// When [`Surroundings::read`] is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Reads everything; the new list if it differs from the last.
    pub fn read(&mut self) -> Option<Vec<Protected>> {
        self.due = None;
        let mut list: Vec<Protected> = Vec::new();
        match routes::read() {
            Ok(found) => list.extend(found.into_iter().map(|(net, role)| protected(net, why(role)))),
            Err(error) => {
                log::warn!("the router's own addresses cannot be read: {error}");
                return None;
            }
        }
        let resolvers = RESOLVER_FILES.iter().filter_map(|path| resolvers(Path::new(path)).ok()).flatten();
        list.extend(resolvers.map(|address| protected(address.into(), "a resolver of the router")));
        for (name, addresses) in &self.servers {
            let why = format!("the feed server {name}");
            list.extend(addresses.iter().map(|address| protected((*address).into(), &why)));
        }
        (list != self.current).then(|| {
            self.current.clone_from(&list);
            list
        })
    }
}

fn protected(net: IpNet, why: &str) -> Protected {
    Protected { net, why: why.into() }
}

fn why(role: Role) -> &'static str {
    match role {
        Role::Own => "an address of the router",
        Role::Subnet => "a network the router is attached to",
        Role::Gateway => "a gateway of the router",
    }
}

/// The addresses behind `nameserver`. Scoped and malformed ones are passed over.
fn resolvers(path: &Path) -> io::Result<Vec<IpAddr>> {
    let text = fs::read_to_string(path)?;
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    Ok(servers.filter_map(|rest| rest.trim().parse().ok()).collect())
}
