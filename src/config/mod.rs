//! The configuration: `/etc/config/diswall`, typed.
//!
//! `main` and `listed` hold the sections that are no feed's; the feeds' come from [`feed::settings`]; `read`
//! joins them. How a section is read is in [`crate::options`]. Public contract: docs/reference.md.
//! Nothing here touches the network or the firewall.

pub mod explain;
pub mod last_good;
pub mod listed;
pub mod main;
pub mod read;

use std::path::Path;

use crate::feed::registry::{self, Feed};
use crate::feed::{self, abuseipdb};
use crate::model::Source;

pub use crate::options::value::{Action, Direction, PortRange, Proto};
pub use crate::options::{Problem, Problems, Severity};
pub use listed::{Allow, Block, MAX_NAMES, Named};
pub use main::{MAX_ENTRIES, Main, MaxEntries, States};
pub use read::{Loaded, kinds, options_of};

/// Where the configuration is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/config/diswall";

/// What the daemon reads in its place where the file itself cannot be given to its account: a copy of root's in memory.
const COPY: &str = "/var/run/diswall/config";

/// Whether this is the service's configuration, of which there is one. Other daemons may have others.
pub fn is_services(path: &Path) -> bool {
    path == Path::new(DEFAULT_PATH) || path == Path::new(COPY)
}

/// Everything diswall can be told.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Settings {
    /// `config diswall 'main'`.
    pub main: Main,
    /// The feeds' sections.
    pub feeds: feed::Settings,
    /// `config allow`, in file order.
    pub allow: Vec<Allow>,
    /// `config block`, in file order.
    pub block: Vec<Block>,
    /// Both, where `ip` is a host name; at most [`MAX_NAMES`].
    pub named: Vec<Named>,
}

impl Settings {
    /// The sources that have sets and books, in the order in which people are told of them.
    pub fn sources(&self) -> Vec<Source> {
        let others = registry::all(&self.feeds).map(|(_, source)| source);
        Source::BUILT_IN.into_iter().chain(others.filter(|source| !Source::BUILT_IN.contains(source))).collect()
    }

    /// Whether a ban of this source begins anew with every packet of the banned host.
    pub fn refreshes(&self, source: Source) -> bool {
        self.feeds.refreshes().contains(&(source, true))
    }

    /// The address or name and port of every feed that is switched on.
    pub fn feed_servers(&self) -> impl Iterator<Item = (&str, u16)> {
        let on = registry::all(&self.feeds).filter(|(feed, source)| self.lets_run(feed, *source));
        on.flat_map(|(feed, source)| (feed.servers)(&self.feeds, source)).filter(|(host, _)| !host.is_empty())
    }

    /// Whether all of it together wants this feed of this source to run.
    pub fn wants(&self, feed: &Feed, source: Source) -> bool {
        self.main.enabled && (feed.sources)(&self.feeds).contains(&source) && self.lets_run(feed, source)
    }

    /// By what others are reported to AbuseIPDB; `None`: they are not.
    pub fn reports(&self) -> Option<&abuseipdb::Settings> {
        let (main, abuseipdb) = (&self.main, &self.feeds.abuseipdb);
        (main.enabled && !main.local_only && abuseipdb.enabled && abuseipdb.has_key()).then_some(abuseipdb)
    }

    fn lets_run(&self, feed: &Feed, source: Source) -> bool {
        (feed.enabled)(&self.feeds, source) && (!self.main.local_only || (feed.local)(&self.feeds, source))
    }
}
