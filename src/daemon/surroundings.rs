//! What must never be banned because the router lives by it: its own addresses, networks and gateways,
//! its resolvers and time servers, the far ends of its VPNs, and the feeds' servers.
//!
//! Collected at start, a moment after addresses, routes or configuration files change, and each minute while
//! there are tunnels, whose ends move without a word; the ledger is told when the result differs. Names of feeds'
//! servers, time servers and VPN ends are resolved by the system's resolver; those of the owner's lists are
//! followed ([`Follower`]).

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
use crate::resolver::Follower;

/// Directories whose changes may name others: UCI's files, the uplinks' resolvers, `resolv.conf`, and what the
/// service's root half leaves.
const WATCHED: [&str; 4] = [needs::UCI, needs::RESOLVERS, "/etc", "/var/run/diswall/fw4"];

/// An uplink that comes up changes addresses, routes and resolvers within a second or so.
const SETTLE: Duration = Duration::from_secs(1);

/// How often the ends of tunnels are looked at.
const TUNNELS: Duration = Duration::from_secs(60);

/// A name is resolved again at the next change after so long; one that did not resolve, at the next change.
const RESOLVED_FOR: Duration = Duration::from_secs(600);

/// Most names that the system's resolver is asked for, and addresses of one that count.
const NAMES: usize = 64;
const ADDRESSES: usize = 32;

/// What is known of the surroundings.
pub struct Surroundings {
    watch: Option<RouteWatch>,
    /// Wakes when a file in [`WATCHED`] changes.
    files: Option<Receiver>,
    due: Option<Instant>,
    /// Addresses by name, as far as it could be resolved, and when that was asked.
    names: BTreeMap<String, (Vec<IpAddr>, Instant)>,
    /// The names of the owner's lists.
    named: Follower,
    lookups: (mpsc::Sender<Resolved>, mpsc::Receiver<Resolved>),
    current: Vec<Protected>,
}

/// A name and its addresses; none where it did not resolve.
type Resolved = (String, Vec<IpAddr>);

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
            named: Follower::default(),
            lookups: mpsc::channel(4),
            current: Vec::new(),
        }
    }

    /// Nothing is read yet. For the owner's host names the last answers of a former run stand until there are others.
    pub fn recalling(settings: &Settings, names: &Names) -> Surroundings {
        let mut new = Surroundings::new();
        new.named.set(settings.named.iter().map(|named| named.name.as_str()));
        for Named { name, .. } in &settings.named {
            let nets = names.get(name.as_str()).into_iter().flatten();
            new.named.recall(name, nets.map(IpNet::addr).take(ADDRESSES).collect());
        }
        new
    }

    /// What the owner's host names stand for, as far as that is known.
    pub fn answers(&self, settings: &Settings) -> Names {
        let known = |Named { name, .. }: &Named| {
            let nets: Vec<IpNet> = self.named.addresses(name).iter().copied().map(IpNet::from).collect();
            (!nets.is_empty()).then(|| (name.as_str().into(), nets))
        };
        settings.named.iter().filter_map(known).collect()
    }

    /// Waits for a change of addresses, routes or files, or for a name to be resolved.
    pub async fn changed(&mut self) {
        let Surroundings { watch, files, lookups: (_, resolved), names, named, .. } = self;
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
            () = named.changed() => {}
            Some((name, addresses)) = resolved.recv() => {
                if let Some((known, _)) = names.get_mut(&name).filter(|_| !addresses.is_empty()) {
                    *known = addresses;
                }
            }
        }
    }

    /// Has the names of the feeds' servers resolved; the answers come through [`Surroundings::changed`].
    pub fn look_up(&mut self, settings: &Settings) {
        for (server, _) in settings.feed_servers() {
            self.resolve(server, Duration::ZERO);
        }
        self.named.set(settings.named.iter().map(|named| named.name.as_str()));
        self.named.ask_again();
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
            if self.names.len() >= NAMES {
                return;
            }
        }
        self.names.entry(name.into()).or_insert_with(|| (Vec::new(), now)).1 = now;
        let (name, answer) = (name.to_string(), self.lookups.0.clone());
        tokio::task::spawn_local(async move {
            // Whoever uses the name tells when it does not resolve.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let addresses = found.into_iter().flatten().map(|socket| socket.ip());
            let mut addresses: Vec<IpAddr> = addresses.take(ADDRESSES).collect();
            // Servers give them in turn.
            addresses.sort_unstable();
            addresses.dedup();
            let _ = answer.send((name, addresses)).await;
        });
    }

    /// Has everything read anew in a moment; more news does not put it off.
    pub fn read_soon(&mut self) {
        let soon = Instant::now() + SETTLE;
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
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
            let known = self.named.addresses(&named.name).iter().copied();
            let taken = known.filter(|address| named.allow || self.may_block(*address));
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
            let known = self.named.addresses(name);
            let kept: Vec<String> = known.iter().map(IpAddr::to_string).collect();
            if let Some(why) = self.named.trouble(name) {
                troubles.push(match kept.as_slice() {
                    [] => format!("{name} cannot be resolved, so that nothing is in force for it: {why}"),
                    kept => format!("{name} cannot be resolved; its last answer stays, {}: {why}", kept.join(" ")),
                });
            }
            let spared = known.iter().filter(|address| !named.allow && !self.may_block(**address));
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
