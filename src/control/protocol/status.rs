//! How everything is that protects: parts, feeds, counts, problems; and the feeds asked for fresh lists.

use crate::json::{self, Error, Json, Reader, fields};

/// Which feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResyncQuery {
    /// `dynfw` or `nats`; absent: both.
    pub source: Option<String>,
}

fields!(ResyncQuery { source });

/// A feed's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feed {
    /// `dynfw` or `nats`.
    pub name: String,
    /// `off`, `connecting`, `synchronising`, `live`, `partial` (connected; the server refuses a part of what
    /// the feed asks for) or `waiting`.
    pub state: String,
    /// As configured; of several the one that it is connected to, or tries.
    pub server: String,
    /// As configured.
    pub port: u16,
    /// CURVE or TLS is configured.
    pub encrypted: bool,
    /// Since when in this state.
    pub since: u64,
    /// With `waiting` and `partial`: what went wrong.
    pub error: Option<String>,
    /// With them: seconds until the next try, from the moment it was said.
    pub retry_in: Option<u32>,
    /// Moment of the last message.
    pub last_message: Option<u64>,
    /// Addresses banned by this feed now.
    pub entries: u64,
    /// DynFW: the last serial applied.
    pub serial: Option<u64>,
    /// Whole lists taken since the daemon started.
    pub lists: u64,
    /// Resynchronisations since the daemon started.
    pub resyncs: u64,
    /// Messages received since the daemon started.
    pub messages: u64,
    /// Messages refused since the daemon started.
    pub refused_messages: u64,
    /// Single addresses refused since the daemon started.
    pub refused_addresses: u64,
    /// Why the last refused message was refused.
    pub last_refusal: Option<String>,
    /// DynFW: seconds without contact after which its bans lapse.
    pub max_age: Option<u64>,
    /// DynFW, without contact: seconds until its bans lapse.
    pub lapses_in: Option<u64>,
    /// DisWall: the login.
    pub account: Option<String>,
    /// DisWall: it follows a hub, not DisWall's server.
    pub hub: bool,
    /// With it: moment of the hub's last sign of life.
    pub hub_heard: Option<u64>,
    /// A list: what its entries are: `block`, `allow` or `only`.
    pub list: Option<String>,
    /// What the owner should know.
    pub notices: Vec<Notice>,
}

fields!(Feed {
    name,
    state,
    server,
    port,
    encrypted,
    since,
    error,
    retry_in,
    last_message,
    entries,
    serial,
    lists,
    resyncs,
    messages,
    refused_messages,
    refused_addresses,
    last_refusal,
    max_age,
    lapses_in,
    account,
    hub,
    hub_heard,
    list,
    notices,
});

/// Something the owner should know about a feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notice {
    /// Stable name of the matter.
    pub key: String,
    /// One sentence.
    pub text: String,
}

fields!(Notice { key, text });

/// One of the things that protect, and whether it does. Only what is switched on is a part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Stable name: `zone.<name>` or `devices` (the rules that guard them), `feed.dynfw`, `feed.nats`,
    /// `share`, `scan`, `login`, `disconnect`, `keep`, `log`, `config`.
    pub name: String,
    /// Whether it does what it is there for.
    pub state: PartState,
    /// Why not, as a sentence; with `in_force`, what the owner may want to know.
    pub why: Option<String>,
    /// What is lost meanwhile.
    pub lost: Option<String>,
    /// What the owner can do.
    pub remedy: Option<String>,
}

fields!(Part { name, state, why, lost, remedy });

impl Part {
    /// It does what it is there for.
    pub fn in_force(name: impl Into<String>) -> Part {
        Part { name: name.into(), ..Part::default() }
    }

    /// It will, without anybody's doing.
    pub fn waiting(name: impl Into<String>, why: impl Into<String>) -> Part {
        Part { state: PartState::Waiting, why: Some(why.into()), ..Part::in_force(name) }
    }

    /// It does not, and somebody has to see to it.
    pub fn broken(name: impl Into<String>, why: impl Into<String>) -> Part {
        Part { state: PartState::Broken, ..Part::waiting(name, why) }
    }

    /// The same, with what is lost meanwhile.
    #[must_use]
    pub fn losing(self, lost: impl Into<String>) -> Part {
        Part { lost: Some(lost.into()), ..self }
    }

    /// The same, with what the owner can do.
    #[must_use]
    pub fn remedied(self, remedy: impl Into<String>) -> Part {
        Part { remedy: Some(remedy.into()), ..self }
    }
}

/// How a part is; the worst is the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartState {
    /// It does what it is there for.
    #[default]
    InForce,
    /// It does not yet, or lives on what it had; nobody needs to do anything.
    Waiting,
    /// It does not.
    Broken,
}

impl PartState {
    const NAMES: [(&'static str, PartState); 3] =
        [("in_force", PartState::InForce), ("waiting", PartState::Waiting), ("broken", PartState::Broken)];

    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        PartState::NAMES.iter().find(|(_, state)| *state == self).map_or("broken", |(name, _)| name)
    }
}

impl Json for PartState {
    fn write(&self, out: &mut String) {
        json::write_text(out, self.name());
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), Error> {
        let name = from.text()?;
        let known = PartState::NAMES.iter().find(|(known, _)| *known == name);
        *self = known.ok_or_else(|| from.expected("a part's state"))?.1;
        Ok(())
    }
}

/// Something the owner should know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problem {
    /// Stable name of the matter: `firewall`, `feed.dynfw`, `cut.dynfw`, …
    pub key: String,
    /// `error`, `warning` or `notice`.
    pub severity: String,
    /// One sentence.
    pub text: String,
}

fields!(Problem { key, severity, text });

/// The firewall's side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Firewall {
    /// nftables table, family inet.
    pub table: String,
    /// Prefix of set names.
    pub prefix: String,
    /// Guarded zones.
    pub zones: Vec<String>,
    /// `ok`, `missing` or `error`.
    pub state: String,
    /// What is wrong.
    pub error: Option<String>,
    /// How often sets had to be put right since the daemon started.
    pub refills: u64,
    /// When the last time.
    pub last_refill: Option<u64>,
}

fields!(Firewall { table, prefix, zones, state, error, refills, last_refill });

/// Entries over all sources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Addresses and networks.
    pub total: u64,
    /// Single IPv4 addresses.
    pub v4: u64,
    /// Single IPv6 addresses.
    pub v6: u64,
}

fields!(Totals { total, v4, v6 });

/// One source's bans and drops.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceCounts {
    /// Its name.
    pub name: String,
    /// Single IPv4 addresses.
    pub v4: u64,
    /// Single IPv6 addresses.
    pub v6: u64,
    /// Networks of both families.
    pub networks: u64,
    /// Bans that the kernel does not get because the address is protected.
    pub withheld: u64,
    /// Entries cut because of `max_entries`.
    pub cut: u64,
    /// Packets dropped.
    pub packets: u64,
    /// Bytes dropped.
    pub bytes: u64,
    /// Packets dropped in the last 60 minutes.
    pub packets_hour: u64,
    /// Bytes dropped in the last 60 minutes.
    pub bytes_hour: u64,
}

fields!(SourceCounts { name, v4, v6, networks, withheld, cut, packets, bytes, packets_hour, bytes_hour });

/// Drops over all sources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dropped {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Packets in the last 60 minutes.
    pub packets_hour: u64,
    /// Bytes in the last 60 minutes.
    pub bytes_hour: u64,
    /// Counted since.
    pub since: u64,
}

fields!(Dropped { packets, bytes, packets_hour, bytes_hour, since });

/// Allowances by origin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllowanceCounts {
    /// `config allow`.
    pub config: u64,
    /// `diswall allow --timeout`.
    pub command: u64,
    /// DisWall's.
    pub nats: u64,
}

fields!(AllowanceCounts { config, command, nats });

/// Answer to [`super::Request::Status`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Program version.
    pub version: String,
    /// Wall clock.
    pub now: u64,
    /// Seconds the daemon has run.
    pub uptime: u64,
    /// By the worst part: `protected`; `local` (the same, and no feed is switched on); `waiting`; `degraded`
    /// (something is broken); `unprotected` (the rules are not in force); `off`.
    pub state: String,
    /// Everything that is switched on, and whether it is in force.
    pub parts: Vec<Part>,
    /// No feed is connected to, by configuration.
    pub local_only: bool,
    /// Worst first.
    pub problems: Vec<Problem>,
    /// The firewall's side.
    pub firewall: Firewall,
    /// Entries over all sources.
    pub bans: Totals,
    /// Every source.
    pub sources: Vec<SourceCounts>,
    /// Drops over all sources.
    pub dropped: Dropped,
    /// Allowances by origin.
    pub allowances: AllowanceCounts,
    /// Both feeds.
    pub feeds: Vec<Feed>,
    /// The router's own eyes.
    pub scan: Scan,
    /// What leaves the router.
    pub sharing: Sharing,
    /// Resident memory of the daemon in KiB.
    pub memory: u64,
}

fields!(Status {
    version,
    now,
    uptime,
    state,
    parts,
    local_only,
    problems,
    firewall,
    bans,
    sources,
    dropped,
    allowances,
    feeds,
    scan,
    sharing,
    memory,
});

/// The router's own eyes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// `off`, `on` or `error`.
    pub state: String,
    /// With `error`: what is wrong.
    pub error: Option<String>,
    /// Sources that touched closed ports and are not banned for it yet.
    pub suspects: u64,
    /// Suspects that had to be forgotten for want of room since the start, those first who had done least.
    pub forgotten: u64,
    /// Bans by the router itself in the last 60 minutes.
    pub bans_hour: u64,
}

fields!(Scan { state, error, suspects, forgotten, bans_hour });

/// What leaves the router.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sharing {
    /// Bans are shared.
    pub bans: bool,
    /// Hourly statistics are sent.
    pub statistics: bool,
    /// Under which login, while DisWall's feed runs.
    pub account: Option<String>,
    /// Messages that wait for a connection.
    pub queued: u64,
}

fields!(Sharing { bans, statistics, account, queued });

/// Answer to [`super::Request::Feeds`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feeds {
    /// Wall clock.
    pub now: u64,
    /// Both feeds.
    pub feeds: Vec<Feed>,
}

fields!(Feeds { now, feeds });

/// Answer to [`super::Request::Resync`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resynced {
    /// The feeds that were asked for a fresh list.
    pub feeds: Vec<String>,
}

fields!(Resynced { feeds });
