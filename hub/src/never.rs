//! Addresses that no report gets past: private and reserved ones, the hub's and the nats-servers' own, what the owner
//! names, and the fleet's allowances.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{PoisonError, RwLock};

use diswall::ledger;
use diswall::model::Source;
use ipnet::IpNet;

use crate::config::host_and_port;
use crate::store::Store;

/// See the module's head.
#[derive(Debug)]
pub struct Never {
    fixed: Vec<IpNet>,
    allowed: RwLock<Vec<IpNet>>,
}

/// Why an address is not banned, as a word for counting.
pub type Why = &'static str;

impl Never {
    /// What the owner names, what this machine has, and where the nats-servers are.
    pub fn new(named: &[IpNet], store: &Store, servers: &[String]) -> Never {
        let mut fixed: Vec<IpNet> = named.iter().map(|net| ledger::normal(*net)).collect();
        let info = store.client.server_info();
        let seen_as = info.client_ip.parse().ok();
        let known = servers.iter().chain(&info.connect_urls).flat_map(|server| addresses(server));
        fixed.extend(
            own_addresses().into_iter().chain(seen_as).chain(known).map(|ip: IpAddr| IpNet::from(ip.to_canonical())),
        );
        Never { fixed, allowed: RwLock::default() }
    }

    /// Whether nobody may have this address banned, and why.
    pub fn holds(&self, address: IpAddr) -> Option<Why> {
        let net = ledger::normal(IpNet::from(address));
        if let Err(never) = ledger::may_ban(Source::NATS, net) {
            return Some(never.name());
        }
        let inside = |nets: &[IpNet]| nets.iter().any(|known| known.contains(&net));
        if inside(&self.fixed) {
            return Some("never");
        }
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        inside(&allowed).then_some("allowed")
    }

    /// The fleet's allowances that were known until now and are not among these.
    pub fn allowed_besides(&self, nets: &[IpNet]) -> Vec<IpNet> {
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        allowed.iter().copied().filter(|net| !nets.contains(net)).collect()
    }

    /// The fleet's allowances are these now. `true`: there are some that were not there before.
    pub fn allow(&self, nets: Vec<IpNet>) -> bool {
        let mut allowed = self.allowed.write().unwrap_or_else(PoisonError::into_inner);
        let more = nets.iter().any(|net| !allowed.contains(net));
        *allowed = nets;
        more
    }
}

fn own_addresses() -> Vec<IpAddr> {
    let Ok(found) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    found.filter_map(address).collect()
}

/// The addresses behind `nats://USER@HOST:PORT` or `HOST:PORT`.
fn addresses(server: &str) -> Vec<IpAddr> {
    host_and_port(server)
        .to_socket_addrs()
        .map_or_else(|_| Vec::new(), |found| found.map(|address| address.ip()).collect())
}
