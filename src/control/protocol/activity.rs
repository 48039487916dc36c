//! What happened: the last hours by source, the newest events, and those that `watch` follows.

use super::bans::Reason;
use crate::json::fields;

/// What part of the past.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryQuery {
    /// Hours back from now, 1 to 168 (default).
    pub hours: Option<u32>,
}

fields!(HistoryQuery { hours });

/// Which events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventsQuery {
    /// As the last answer gave it; absent: the newest events.
    pub cursor: Option<String>,
    /// Most events wanted, 1 to 200; default 50.
    pub limit: Option<u32>,
    /// Only these kinds; empty: all.
    pub kinds: Vec<String>,
}

fields!(EventsQuery { cursor, limit } omit_empty { kinds });

/// Answer to [`super::Request::History`]. Element `i` of a row covers the `step` seconds before
/// `end - (hours - 1 - i) * step`; -1 means that the daemon did not run then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Wall clock.
    pub now: u64,
    /// End of the running hour.
    pub end: u64,
    /// Seconds an element covers.
    pub step: u64,
    /// Elements in a row.
    pub hours: u64,
    /// Every source.
    pub sources: Vec<HistorySource>,
}

fields!(History { now, end, step, hours, sources });

/// One source's past.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistorySource {
    /// Its name.
    pub name: String,
    /// Packets dropped.
    pub packets: Vec<i64>,
    /// Bytes dropped.
    pub bytes: Vec<i64>,
    /// Bans that began.
    pub bans: Vec<i64>,
}

fields!(HistorySource { name, packets, bytes, bans });

/// Answer to [`super::Request::Events`], oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// Wall clock.
    pub now: u64,
    /// To be handed back for what comes next.
    pub cursor: String,
    /// Events since the cursor that are no longer kept.
    pub missed: u64,
    /// The cursor was of an earlier run of the daemon.
    pub restarted: bool,
    /// The events.
    pub events: Vec<Activity>,
}

fields!(Events { now, cursor, missed, events } omit_empty { restarted });

/// What to watch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchQuery {
    /// Only this source.
    pub source: Option<String>,
    /// Only this address, or addresses in this network.
    pub address: Option<String>,
}

fields!(WatchQuery { source, address });

/// Something that happened: a line of `watch`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activity {
    /// Number of the event in this run of the daemon.
    pub id: u64,
    /// When.
    pub at: u64,
    /// `ban`, `unban`, `allow`, `disallow`, `feed`, `firewall`, `scan`, `login`, `config`, `event` (Sentinel saw it), or `missed` (the
    /// reader was too slow).
    pub kind: String,
    /// Address or network.
    pub address: Option<String>,
    /// Source or feed.
    pub source: Option<String>,
    /// Until when.
    pub until: Option<u64>,
    /// Why.
    pub reason: Option<Reason>,
    /// A sentence.
    pub text: Option<String>,
}

fields!(Activity { id, at, kind, address, source, until, reason, text });
