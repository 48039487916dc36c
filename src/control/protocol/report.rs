//! What was dropped in the last days, by source, place, port, host and day.

use super::bans::Reason;
use crate::json::fields;

/// A report on which days.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportQuery {
    /// The last so many days, today among them, 1 to 366; default 7.
    pub days: Option<u32>,
}

fields!(ReportQuery { days });

/// Answer to [`super::Request::Report`]: what was dropped, and who was. Days are those of UTC. Packets that were looked at are
/// a few a second of each source; nothing is said of the others but their number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Wall clock.
    pub now: u64,
    /// So many days were asked for.
    pub days: u32,
    /// So many are kept at most.
    pub kept: u32,
    /// When the first day of which there are figures began; absent: there are none.
    pub since: Option<u64>,
    /// Packets dropped.
    pub packets: u64,
    /// Bytes dropped.
    pub bytes: u64,
    /// Bans that began.
    pub bans: u64,
    /// Whether dropped packets are looked at: option `report`.
    pub looks: bool,
    /// Why they cannot be.
    pub trouble: Option<String>,
    /// Dropped packets that were looked at.
    pub looked: u64,
    /// Of these, on their way from inside to a banned host.
    pub outgoing: u64,
    /// By source, in the order of `status`.
    pub sources: Vec<ReportSource>,
    /// Whether a list of a country is configured.
    pub placed: bool,
    /// Packets looked at by country or autonomous system, the most frequent first.
    pub places: Vec<ReportPlace>,
    /// Packets looked at whose sender is in no such list.
    pub unplaced: u64,
    /// Packets looked at by port, the most frequent first, at most 20.
    pub ports: Vec<ReportPort>,
    /// The ten most stubborn.
    pub hosts: Vec<ReportHost>,
    /// By day, the oldest first; days without figures are left out.
    pub by_day: Vec<ReportDay>,
    /// Allowances of what somebody bans, at most 50.
    pub allowed: Vec<ReportAllowed>,
    /// How many there are; of many thousands, among the first 1000.
    pub allowed_total: u64,
}

fields!(Report {
    now,
    days,
    kept,
    since,
    packets,
    bytes,
    bans,
    looks,
    trouble,
    looked,
    outgoing,
    sources,
    placed,
    places,
    unplaced,
    ports,
    hosts,
    by_day,
    allowed,
    allowed_total,
});

/// One source's part of a [`Report`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportSource {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// It is none of the configuration any more.
    pub gone: bool,
    /// Packets dropped.
    pub packets: u64,
    /// Bytes dropped.
    pub bytes: u64,
    /// Bans that began.
    pub bans: u64,
    /// Packets looked at.
    pub looked: u64,
    /// Of these, whose sender no other source banned.
    pub alone: u64,
    /// Addresses and networks that it has now.
    pub entries: u64,
    /// Of these, so many were looked for in all other sources.
    pub compared: u64,
    /// Of those, so many no other source has.
    pub only: u64,
}

fields!(ReportSource { name, title, packets, bytes, bans, looked, alone, entries, compared, only } omit_empty { gone });

/// A country's part, or that of several that are one list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportPlace {
    /// The list.
    pub list: String,
    /// What people call it.
    pub title: String,
    /// Packets looked at.
    pub packets: u64,
}

fields!(ReportPlace { list, title, packets });

/// A port's part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportPort {
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or the protocol's number.
    pub protocol: String,
    /// The port; absent where the protocol has none.
    pub port: Option<u16>,
    /// Packets looked at.
    pub packets: u64,
}

fields!(ReportPort { protocol, port, packets });

/// A host's part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportHost {
    /// Its address.
    pub address: String,
    /// Packets looked at.
    pub packets: u64,
    /// On so many days.
    pub days: u32,
    /// When last.
    pub last: u64,
    /// At which port last.
    pub protocol: Option<String>,
    /// See `protocol`.
    pub port: Option<u16>,
    /// Its country, where a list has it.
    pub place: Option<String>,
    /// Who bans it now.
    pub sources: Vec<String>,
    /// Why.
    pub reason: Option<Reason>,
}

fields!(ReportHost { address, packets, days, last, protocol, port, place, sources, reason });

/// A day's part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportDay {
    /// When it begins.
    pub start: u64,
    /// Packets dropped.
    pub packets: u64,
    /// Bytes dropped.
    pub bytes: u64,
    /// Bans that began.
    pub bans: u64,
    /// Packets dropped by the hour; -1: the daemon did not run then.
    pub hours: Vec<i64>,
}

fields!(ReportDay { start, packets, bytes, bans, hours });

/// An allowance that keeps a ban from holding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportAllowed {
    /// Address or network.
    pub address: String,
    /// `config`, `command` or `nats`.
    pub origin: String,
    /// The allowance's comment.
    pub comment: Option<String>,
    /// Who bans it, or a part of it.
    pub sources: Vec<String>,
}

fields!(ReportAllowed { address, origin, comment, sources });
