//! Who is banned or allowed, why and until when: pages of them, and everything about one address.

use crate::json::fields;

/// Which bans, in which order, which part of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListQuery {
    /// A source's name; absent: all.
    pub source: Option<String>,
    /// An address or its beginning, a network, or a text in the reason.
    pub search: Option<String>,
    /// 4 or 6; absent: both.
    pub family: Option<u8>,
    /// `address`, `since` (default), `until` or `source`.
    pub sort: Option<String>,
    /// Descending; default: true for `since`, else false.
    pub desc: Option<bool>,
    /// Rows to pass over.
    pub offset: u32,
    /// Rows wanted, 1 to [`super::PAGE_MAX`]; default 50.
    pub limit: Option<u32>,
}

fields!(ListQuery { source, search, family, sort, desc, offset, limit });

/// Which address or network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckQuery {
    /// Address or network.
    pub address: String,
}

fields!(CheckQuery { address });

/// Which part of the allowances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllowancesQuery {
    /// `config`, `command` or `nats`; absent: all.
    pub origin: Option<String>,
    /// Text looked for in address and comment.
    pub search: Option<String>,
    /// Rows to pass over.
    pub offset: u32,
    /// Rows wanted, 1 to [`super::PAGE_MAX`]; default 100.
    pub limit: Option<u32>,
}

fields!(AllowancesQuery { origin, search, offset, limit });

/// Why an address is banned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reason {
    /// `listed`, `announced`, `tagged`, `port`, `login`, `comment`, or of a list `tags`, its words
    /// about the address, or `name`, the host name that stands for it.
    pub kind: String,
    /// Tag, service or comment; a stranger may have written it. Of `listed`, where it is asked about one address: the
    /// countries of the list.
    pub text: Option<String>,
    /// `tcp`, `udp`, `icmp`, or the protocol's number.
    pub protocol: Option<String>,
    /// Destination port.
    pub port: Option<u16>,
}

fields!(Reason { kind, text, protocol, port });

/// One ban.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ban {
    /// Address or network.
    pub address: String,
    /// Who bans.
    pub source: String,
    /// Since when.
    pub since: u64,
    /// Until when; absent: until taken back.
    pub until: Option<u64>,
    /// Seconds until then.
    pub left: Option<u64>,
    /// With the source `manual`: in whose name, `config`, `owner` or a program's.
    pub by: Option<String>,
    /// Why.
    pub reason: Reason,
    /// Why this ban is not in force: the address is protected, or allowed.
    pub withheld: Option<String>,
    /// How often this router has banned the address so far.
    pub offences: Option<u32>,
}

fields!(Ban { address, source, since, until, left, by, reason, withheld, offences });

/// One allowance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allowance {
    /// Address or network.
    pub address: String,
    /// `config`, `command` or `nats`.
    pub origin: String,
    /// The owner's comment.
    pub comment: Option<String>,
    /// Until when; absent: until taken back.
    pub until: Option<u64>,
    /// Seconds until then.
    pub left: Option<u64>,
}

fields!(Allowance { address, origin, comment, until, left });

/// A `config block` that is a rule of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Address or network.
    pub address: String,
    /// `any`, `tcp`, `udp` or `icmp`.
    pub proto: String,
    /// Ports and ranges; empty: all.
    pub dest_ports: Vec<String>,
    /// `drop` or `reject`.
    pub action: String,
    /// The owner's comment.
    pub comment: Option<String>,
}

fields!(Rule { address, proto, dest_ports, action, comment });

/// Answer to [`super::Request::Bans`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Wall clock.
    pub now: u64,
    /// All bans.
    pub total: u64,
    /// Those that pass the filter.
    pub matched: u64,
    /// Rows passed over.
    pub offset: u32,
    /// The rows.
    pub bans: Vec<Ban>,
}

fields!(Page { now, total, matched, offset, bans });

/// Answer to [`super::Request::Check`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    /// Wall clock.
    pub now: u64,
    /// As it was understood.
    pub address: String,
    /// `blocked`, `allowed`, `protected`, `partly` or `clear`.
    pub verdict: String,
    /// The answer in one sentence.
    pub sentence: String,
    /// Every ban of it.
    pub bans: Vec<Ban>,
    /// Every allowance of it.
    pub allowances: Vec<Allowance>,
    /// Every rule that names it.
    pub rules: Vec<Rule>,
    /// Why it is never banned.
    pub protected: Option<String>,
}

fields!(Check { now, address, verdict, sentence, bans, allowances, rules, protected });

/// Answer to [`super::Request::Allowances`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allowances {
    /// Wall clock.
    pub now: u64,
    /// All allowances.
    pub total: u64,
    /// Those that pass the filter.
    pub matched: u64,
    /// Rows passed over.
    pub offset: u32,
    /// The rows.
    pub allowances: Vec<Allowance>,
}

fields!(Allowances { now, total, matched, offset, allowances });
