//! What must never be banned because the router lives by it: its own addresses, networks and gateways,
//! its resolvers and time servers, the far ends of its VPNs, and the feeds' servers.
//!
//! Collected at start, a moment after addresses, routes or configuration files change, and each minute while
//! there are tunnels, whose ends move without a word; the ledger is told when the result differs. Names are
//! resolved by the system's resolver: feeds' servers, and those of time servers and VPN ends.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use rustix::fs::inotify;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::keeper::Names;
use crate::config::{Named, Settings};
use crate::firewall::routes::{self, Role, RouteWatch};
use crate::firewall::tunnels;
use crate::ledger::{Protected, may_ban};
use crate::limiter;
use crate::model::Source;
use crate::needs::{self, Host};

/// Directories whose changes may name others: UCI's files, the uplinks' resolvers, `resolv.conf`, and what the
/// service's root half leaves.
const WATCHED: [&str; 4] = [needs::UCI, needs::RESOLVERS, "/etc", "/var/run/diswall/fw4"];

/// An uplink that comes up changes addresses, routes and resolvers within a second or so.
const SETTLE: Duration = Duration::from_secs(1);

/// How often the ends of tunnels are looked at.
const TUNNELS: Duration = Duration::from_secs(60);

/// A name is resolved again at the next change after so long; one that did not resolve, at the next change.
const RESOLVED_FOR: Duration = Duration::from_secs(600);

/// How often the owner's host names are looked up again; the router's resolver knows how long an answer holds.
const FOLLOW: Duration = Duration::from_secs(60);

/// Most names that are resolved, and addresses of one that count.
const NAMES: usize = 64 + crate::config::MAX_NAMES;
const ADDRESSES: usize = 32;

/// What is known of the surroundings.
pub struct Surroundings {
    watch: Option<RouteWatch>,
    /// Wakes when a file in [`WATCHED`] changes.
    files: Option<Receiver>,
    due: Option<Instant>,
    /// Addresses by name, as far as it could be resolved, and when that was asked.
    names: BTreeMap<String, (Vec<IpAddr>, Instant)>,
    /// Names that did not resolve when they were asked for last, and why.
    away: BTreeMap<String, String>,
    lookups: (mpsc::Sender<Resolved>, mpsc::Receiver<Resolved>),
    current: Vec<Protected>,
}

/// A name and its addresses, or why there are none.
type Resolved = (String, Result<Vec<IpAddr>, String>);

/// An address that the owner names by a host name: allowed, or blocked.
pub type OfName = (bool, IpAddr, String);

impl Surroundings {
    fn new() -> Surroundings {
        let watch = RouteWatch::open();
        if let Err(error) = &watch {
            log::warn!("changes of the router's own addresses are not noticed: {error}");
        }
        let files = watch_files();
        if let Err(error) = &files {
            log::info!("changes of the router's resolvers are noticed with its addresses alone: {error}");
        }
        Surroundings {
            watch: watch.ok(),
            files: files.ok(),
            due: None,
            names: BTreeMap::new(),
            away: BTreeMap::new(),
            lookups: mpsc::channel(4),
            current: Vec::new(),
        }
    }

    /// Nothing is read yet. For the owner's host names the last answers of a former run stand until there are others.
    pub fn recalling(settings: &Settings, names: &Names) -> Surroundings {
        let mut new = Surroundings::new();
        for Named { name, .. } in &settings.named {
            let nets = names.get(name.as_str()).into_iter().flatten();
            let addresses: Vec<IpAddr> = nets.map(IpNet::addr).take(ADDRESSES).collect();
            if !addresses.is_empty() {
                new.names.insert(name.clone(), (addresses, Instant::now()));
            }
        }
        new
    }

    /// What the owner's host names stand for, as far as that is known.
    pub fn answers(&self, settings: &Settings) -> Names {
        let known = |Named { name, .. }: &Named| {
            let nets: Vec<IpNet> = self.addresses(name).map(IpNet::from).collect();
            (!nets.is_empty()).then(|| (name.as_str().into(), nets))
        };
        settings.named.iter().filter_map(known).collect()
    }

    /// Waits for a change of addresses, routes or files, or for a name to be resolved.
    pub async fn changed(&mut self) {
        let Surroundings { watch, files, lookups: (_, resolved), names, away, .. } = self;
        let routes = async {
            match watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        let files = async {
            match files {
                Some(files) => heard(files).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = routes => {}
            () = files => {}
            Some((name, addresses)) = resolved.recv() => {
                match (names.get_mut(&name), addresses) {
                    (Some((known, _)), Ok(addresses)) if !addresses.is_empty() => {
                        *known = addresses;
                        away.remove(&name);
                    }
                    (_, answer) => {
                        away.insert(name, answer.err().unwrap_or_else(|| "it has no address".into()));
                    }
                }
            }
        }
    }

    /// Has the names of the feeds' servers resolved; the answers come through [`Surroundings::changed`].
    pub fn look_up(&mut self, settings: &Settings) {
        for (server, _) in settings.feed_servers() {
            self.resolve(server, Duration::ZERO);
        }
        for named in &settings.named {
            self.resolve(&named.name, Duration::ZERO);
        }
        if !settings.named.is_empty() {
            self.due.get_or_insert(Instant::now() + FOLLOW);
        }
    }

    /// Asks for a name's addresses unless that was done a moment ago; the old answer stays until there is one.
    fn resolve(&mut self, name: &str, fresh: Duration) {
        let now = Instant::now();
        let known = self.names.get(name);
        let fresh = if known.is_some_and(|(addresses, _)| addresses.is_empty()) { SETTLE * 5 } else { fresh };
        if known.is_some_and(|(_, then)| now < *then + fresh) {
            return;
        }
        if known.is_none() && self.names.len() >= NAMES {
            // Names of former configurations.
            self.names.retain(|_, (_, then)| now < *then + RESOLVED_FOR);
            let Surroundings { names, away, .. } = self;
            away.retain(|name, _| names.contains_key(name));
            if names.len() >= NAMES {
                return;
            }
        }
        self.names.entry(name.into()).or_insert_with(|| (Vec::new(), now)).1 = now;
        let (name, answer) = (name.to_string(), self.lookups.0.clone());
        tokio::task::spawn_local(async move {
            // Whoever uses the name tells when it does not resolve.
            let addresses = match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(found) => {
                    let mut addresses: Vec<IpAddr> = found.map(|socket| socket.ip()).take(ADDRESSES).collect();
                    // Servers give them in turn.
                    addresses.sort_unstable();
                    addresses.dedup();
                    Ok(addresses)
                }
                Err(error) => Err(error.to_string()),
            };
            let _ = answer.send((name, addresses)).await;
        });
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
    pub fn read(&mut self, settings: &Settings) -> Option<Vec<Protected>> {
        self.due = None;
        let mut list: Vec<Protected> = Vec::new();
        let found = match routes::read(&settings.main.devices) {
            Ok(found) => found,
            Err(error) => {
                limiter::warn(("surroundings", "unread"), || {
                    format!("the router's own addresses cannot be read: {error}")
                });
                return None;
            }
        };
        list.extend(found.nets.into_iter().map(|(net, role)| protected(net, role.why(), role == Role::Own)));
        let ends = tunnels::ends(&found.wireguard);
        if !(found.wireguard.is_empty() && ends.is_empty()) {
            self.due = Some(Instant::now() + TUNNELS);
        }
        list.extend(ends.into_iter().map(|end| protected(end.into(), needs::Role::VpnEnd.why(), false)));
        for (role, host) in needs::read(Path::new(needs::UCI), Path::new(needs::RESOLVERS), Path::new(needs::EXTRACT)) {
            match host {
                Host::Address(address) => list.push(protected(address.into(), role.why(), false)),
                Host::Name(name) => {
                    self.resolve(&name, RESOLVED_FOR);
                    list.extend(self.addresses(&name).map(|address| protected(address.into(), role.why(), false)));
                }
            }
        }
        for (name, _) in settings.feed_servers() {
            let why = format!("the feed server {name}");
            list.extend(self.addresses(name).map(|address| protected(address.into(), &why, false)));
        }
        if !settings.named.is_empty() {
            settings.named.iter().for_each(|named| self.resolve(&named.name, FOLLOW));
            self.due.get_or_insert(Instant::now() + FOLLOW);
        }
        (list != self.current).then(|| {
            self.current.clone_from(&list);
            list
        })
    }

    /// The addresses behind the owner's host names, with the words that go with them. A resolver's word is
    /// not the owner's: what no feed may ban, or what the router lives by, is not blocked by a name.
    pub fn of_names(&self, settings: &Settings) -> Vec<OfName> {
        let mut found = Vec::new();
        for named in &settings.named {
            let words = if named.comment.is_empty() {
                named.name.clone()
            } else {
                format!("{}: {}", named.name, named.comment)
            };
            let (words, _) = crate::options::value::comment_cut(&words);
            let taken = self.addresses(&named.name).filter(|address| named.allow || self.may_block(*address));
            found.extend(taken.map(|address| (named.allow, address, words.clone())));
        }
        found
    }

    fn may_block(&self, address: IpAddr) -> bool {
        may_ban(Source::DYNFW, address.into()).is_ok() && !self.current.iter().any(|own| own.net.contains(&address))
    }

    /// What is wrong with the owner's host names, a sentence each.
    pub fn name_troubles(&self, settings: &Settings) -> Vec<String> {
        let mut troubles = Vec::new();
        for named in &settings.named {
            let name = &named.name;
            let kept: Vec<String> = self.addresses(name).map(|address| address.to_string()).collect();
            if let Some(why) = self.away.get(name) {
                troubles.push(match kept.as_slice() {
                    [] => format!("{name} cannot be resolved, so that nothing is in force for it: {why}"),
                    kept => format!("{name} cannot be resolved; its last answer stays, {}: {why}", kept.join(" ")),
                });
            }
            let spared = self.addresses(name).filter(|address| !named.allow && !self.may_block(*address));
            troubles.extend(spared.map(|address| format!("{name} is {address}, which no name can block")));
        }
        troubles
    }

    fn addresses(&self, name: &str) -> impl Iterator<Item = IpAddr> {
        self.names.get(name).into_iter().flat_map(|(addresses, _)| addresses).copied()
    }
}

fn protected(net: IpNet, why: &str, own: bool) -> Protected {
    Protected { net, why: why.into(), own }
}

/// A descriptor that wakes when something is written, put or taken away in [`WATCHED`]. A directory that is
/// not there is not watched; what comes with an uplink is read when its address comes.
fn watch_files() -> std::io::Result<Receiver> {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let flags = inotify::WatchFlags::CLOSE_WRITE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::DELETE
        | inotify::WatchFlags::ONLYDIR;
    for directory in WATCHED {
        let _ = inotify::add_watch(&events, directory, flags);
    }
    Receiver::from_owned_fd_unchecked(events)
}

/// Waits for a change, and reads away what waits.
async fn heard(files: &mut Receiver) {
    let mut buffer = [0; 1024];
    if files.readable().await.is_err() {
        return std::future::pending().await; // the runtime is shutting down
    }
    while files.try_read(&mut buffer).is_ok_and(|length| length > 0) {}
}
