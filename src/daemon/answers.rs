//! Answers to questions from the control socket: the ledger's and the feeds' state in the words of the
//! protocol. Reads, and hands what changes something back to the daemon.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::Daemon;
use super::clock::{self, WallView};
use super::feeds::Slot;
use super::kernel::State;
use super::standing::NOT_IN_FORCE;
use super::tally::HOURS;
use crate::config::{Action, Block, Main, PortRange, Proto};
use crate::control::protocol::{
    Activity, Allowance, AllowanceCounts, Allowances, AllowancesQuery, Ban, Check, Dropped, Events, EventsQuery, Feed,
    Feeds, Firewall, History, ListQuery, Notice, PAGE_MAX, Page, Reason, Refusal, Request, Resynced, Rule,
    SourceCounts, Status, Totals, WatchQuery,
};
use crate::control::server::{Question, Reply, StreamFilter};
use crate::feed::{FeedState, lists};
use crate::firewall::rules;
use crate::json::{self, Json};
use crate::ledger::{AllowanceView, BanView, Filter, Force, Outcome, ReasonRef, Sort};
use crate::model::{AllowOrigin, Holds, Source};
use crate::options::value;

impl Daemon {
    /// Answers one question.
    pub(super) fn answer(&mut self, question: Question) {
        let reply = match question.request {
            Request::Status(_) => answered(Ok(self.status())),
            Request::Feeds(_) => answered(Ok(Feeds { now: clock::wall(), feeds: self.feed_views() })),
            Request::Bans(query) => answered(self.bans(&query)),
            Request::Check(query) => answered(self.check(&query.address)),
            Request::Allowances(query) => answered(self.allowances(&query)),
            Request::Watch(query) => self.watch(&query).unwrap_or_else(Reply::Refused),
            Request::Resync(query) => answered(self.resync(query.source.as_deref())),
            Request::History(query) => answered(self.history(query.hours)),
            Request::Report(query) => answered(self.report(query.days)),
            Request::Events(query) => answered(self.events(&query)),
            Request::Ban(command) => answered(self.ban(&command)),
            Request::Unban(command) => answered(self.told_first(command.reload).and_then(|()| self.unban(&command))),
            Request::Exempt(command) => answered(self.exempt(&command)),
            Request::Unexempt(command) => {
                answered(self.told_first(command.reload).and_then(|()| self.unexempt(&command)))
            }
            Request::Kick(command) => answered(self.kick(&command)),
            Request::Clear(command) => answered(self.clear(&command)),
            Request::Explain(command) => {
                answered(self.told_first(command.reload).and_then(|()| self.explain(&command)))
            }
        };
        // An error means that the client has hung up.
        let _ = question.reply.send(reply);
    }

    /// Reads the configuration again where a command has changed it.
    fn told_first(&mut self, reload: bool) -> Result<(), Refusal> {
        if reload { self.reload() } else { Ok(()) }
    }

    fn status(&mut self) -> Status {
        let counters = self.kernel.counters();
        self.tally.read(&counters, clock::wall());
        let sources: Vec<SourceCounts> = self.ledger.sources().map(|source| self.source_counts(source)).collect();
        let sum = |pick: fn(&SourceCounts) -> u64| sources.iter().map(pick).sum();
        let view = WallView::read();
        let problems = self.problems();
        let parts = self.parts();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            now: view.wall,
            uptime: clock::boot_seconds().saturating_sub(self.run.started),
            state: self.protection(&parts).into(),
            parts,
            local_only: self.settings.main.local_only,
            problems,
            firewall: self.firewall_view(&view),
            bans: Totals {
                total: sum(|each| each.v4 + each.v6 + each.networks),
                v4: sum(|each| each.v4),
                v6: sum(|each| each.v6),
            },
            dropped: Dropped {
                packets: sum(|each| each.packets),
                bytes: sum(|each| each.bytes),
                packets_hour: sum(|each| each.packets_hour),
                bytes_hour: sum(|each| each.bytes_hour),
                since: self.tally.since(),
            },
            sources,
            allowances: self.allowance_counts(),
            feeds: self.feed_views(),
            scan: self.scan_view(),
            sharing: self.sharing(),
            memory: resident_kib(),
        }
    }

    fn source_counts(&self, source: Source) -> SourceCounts {
        let counts = self.ledger.counts(source);
        let (total, hour) = self.tally.of(source);
        SourceCounts {
            name: source.name().into(),
            v4: counts.v4.into(),
            v6: counts.v6.into(),
            networks: counts.nets.into(),
            withheld: counts.withheld.into(),
            cut: counts.cut.into(),
            packets: total.packets,
            bytes: total.bytes,
            packets_hour: hour.packets,
            bytes_hour: hour.bytes,
        }
    }

    fn allowance_counts(&self) -> AllowanceCounts {
        let mut counts = AllowanceCounts::default();
        for allowance in self.ledger.allowances(clock::now()) {
            match allowance.origin {
                AllowOrigin::Config => counts.config += 1,
                AllowOrigin::Command => counts.command += 1,
                AllowOrigin::Nats => counts.nats += 1,
                AllowOrigin::List(_) => {}
            }
        }
        counts
    }

    fn firewall_view(&self, view: &WallView) -> Firewall {
        let main = &self.settings.main;
        let (state, error) = match self.kernel.state() {
            State::Ok => ("ok", None),
            State::Off => ("missing", None),
            State::Missing(text) | State::Unguarded(text) => ("missing", Some(text.clone())),
            State::Error(text) => ("error", Some(text.clone())),
        };
        Firewall {
            table: main.table.clone(),
            prefix: main.set_prefix.clone(),
            zones: main.zones.clone(),
            state: state.into(),
            error,
            refills: self.kernel.refills,
            last_refill: self.kernel.last_refill.map(|boot| view.of_boot(boot)),
        }
    }

    fn feed_views(&self) -> Vec<Feed> {
        let view = WallView::read();
        let boot = clock::boot_seconds();
        self.feeds.slots().iter().map(|slot| self.feed_view(slot, &view, boot)).collect()
    }

    fn feed_view(&self, slot: &Slot, view: &WallView, boot: u64) -> Feed {
        let counts = self.ledger.counts(slot.source());
        let notices = slot.notices.iter();
        let mut feed = Feed {
            name: slot.source().to_string(),
            since: view.of_boot(slot.since),
            entries: u64::from(counts.v4) + u64::from(counts.v6) + u64::from(counts.nets),
            notices: notices.map(|(key, text)| Notice { key: (*key).into(), text: text.clone() }).collect(),
            ..Feed::default()
        };
        feed.state = match &slot.state {
            FeedState::Off => "off",
            FeedState::Connecting => "connecting",
            FeedState::Synchronising => "synchronising",
            FeedState::Live => "live",
            FeedState::Waiting { error, retry_in } | FeedState::Partial { error, retry_in, .. } => {
                feed.error = Some(error.clone());
                feed.retry_in = Some(retry_in.saturating_sub(u32::try_from(boot - slot.since).unwrap_or(u32::MAX)));
                if matches!(slot.state, FeedState::Waiting { .. }) { "waiting" } else { "partial" }
            }
        }
        .into();
        let servers = (slot.feed.servers)(&self.settings.feeds, slot.source());
        let at = slot.handle.as_ref().map_or(0, |handle| handle.gauges.server.get());
        if let Some(&(server, port)) = servers.get(at).or(servers.first()) {
            (feed.server, feed.port) = (server.into(), port);
        }
        if let Some(handle) = &slot.handle {
            let gauges = &handle.gauges;
            feed.messages = gauges.messages.get();
            feed.refused_messages = gauges.refused_messages.get();
            feed.refused_addresses = gauges.refused_addresses.get();
            feed.lists = gauges.lists.get();
            feed.resyncs = gauges.resyncs.get();
            feed.last_message = gauges.last_message.get().map(|at| view.of_boot(at));
            feed.hub = gauges.hub.get();
            feed.hub_heard = gauges.hub_heard.get().map(|at| view.of_boot(at));
            feed.last_refusal = gauges.last_refusal.borrow().clone();
            feed.serial = Some(gauges.serial.get()).filter(|serial| *serial > 0);
        }
        let terms = (slot.feed.terms)(&self.settings.feeds, slot.source());
        feed.encrypted = terms.encrypted;
        feed.account = terms.account.map(Into::into);
        feed.list = terms.list.map(|usage| usage.name().into());
        feed.max_age = terms.max_age.map(|age| age.as_secs());
        let last = slot.handle.as_ref().and_then(|handle| handle.gauges.last_message.get());
        if let (FeedState::Waiting { .. } | FeedState::Connecting, Some(last)) = (&slot.state, last) {
            feed.lapses_in = feed.max_age.map(|age| (last + age).saturating_sub(boot));
        }
        feed
    }

    fn bans(&self, query: &ListQuery) -> Result<Page, Refusal> {
        let limit = limit(query.limit, 50)?;
        let source = query.source.as_deref().map(|name| self.source_named(name)).transpose()?;
        let (sort, default_desc) = match query.sort.as_deref() {
            None | Some("since") => (Sort::Newest, true),
            Some("address") => (Sort::Address, false),
            Some("until") => (Sort::Ending, false),
            Some("source") => (Sort::Source, false),
            Some(other) => {
                let text = format!("'{other}' is no order; accepted: address, since, until, source");
                return Err(Refusal::invalid(text));
            }
        };
        if let Some(family) = query.family.filter(|family| !matches!(family, 4 | 6)) {
            return Err(Refusal::invalid(format!("{family} is no address family; accepted: 4, 6")));
        }
        let filter = Filter {
            source,
            text: query.search.as_deref().unwrap_or_default().trim(),
            family: query.family,
            sort,
            // `Newest` is descending by nature.
            reverse: query.desc.unwrap_or(default_desc) != default_desc,
        };
        let view = WallView::read();
        let page = self.ledger.page(view.now, &filter, query.offset as usize, limit as usize);
        // What lists have is shown only where it is asked for.
        let shown = |each: &Source| each.holds() != Holds::Listed || source == Some(*each);
        let total = self.ledger.sources().filter(shown).map(|source| self.ledger.counts(source));
        Ok(Page {
            now: view.wall,
            total: total.map(|counts| u64::from(counts.v4) + u64::from(counts.v6) + u64::from(counts.nets)).sum(),
            matched: page.total as u64,
            offset: query.offset,
            bans: page.bans.iter().map(|ban| self.ban_view(ban, &view)).collect(),
        })
    }

    fn ban_view(&self, ban: &BanView<'_>, view: &WallView) -> Ban {
        let withheld = match ban.force {
            _ if self.ledger.allowances_around(view.now, ban.net).next().is_some() => Some("it is allowed".into()),
            Force::Full => None,
            Force::Withheld => Some(self.why_protected(ban.net.addr())),
            Force::Partial => Some("a part of it is never blocked, because the router needs it".into()),
        };
        Ban {
            address: value::written(ban.net),
            source: ban.source.name().into(),
            since: view.of(ban.start),
            until: ban.end.map(|end| view.of(end)),
            left: ban.end.map(|end| end.since(view.now).into()),
            by: Some(ban.by).filter(|by| !by.is_empty()).map(Into::into),
            reason: Reason { kind: self.kind_of(ban).into(), ..reason_view(ban.reason) },
            withheld,
            offences: Some(self.ledger.offences(view.now, ban.net.addr()))
                .filter(|times| ban.source.is_own() && *times > 0),
        }
    }

    /// The kind of a ban's reason in the protocol's words: what goes with a list's address is why it is there, or the
    /// name that stands for it.
    fn kind_of(&self, ban: &BanView<'_>) -> &'static str {
        match ban.reason {
            ReasonRef::Tagged(_) if ban.source.holds() == Holds::Listed => {
                let list = self.settings.feeds.lists.iter().find(|list| list.source == ban.source);
                if list.is_some_and(|list| list.format == lists::Format::Names) { "name" } else { TAGS }
            }
            reason => reason_kind(reason),
        }
    }

    /// The countries and autonomous systems of a list that is made of them.
    pub(super) fn places(&self, source: Source) -> Option<String> {
        self.settings.feeds.lists.iter().find(|list| list.source == source)?.title()
    }

    /// As [`Self::ban_view`], with the places of a list that has the address, and with what a list beside says of an
    /// address that DynFW bans, which itself says nothing.
    fn placed_view(&self, ban: &BanView<'_>, beside: &[BanView<'_>], view: &WallView) -> Ban {
        let mut shown = self.ban_view(ban, view);
        if matches!(ban.reason, ReasonRef::Listed) {
            shown.reason.text = self.places(ban.source);
        }
        let silent = matches!(ban.reason, ReasonRef::Listed | ReasonRef::Announced);
        if ban.source == Source::DYNFW
            && silent
            && let Some(other) = beside.iter().find(|other| self.kind_of(other) == TAGS)
        {
            let text = [other.reason.text(), ", as the list ", other.source.name(), " says"].concat();
            shown.reason = Reason { kind: TAGS.into(), text: Some(text), ..Reason::default() };
        }
        shown
    }

    /// A source's name; of a list of places with what it has, so that the owner hears which country it is.
    fn called(&self, source: Source) -> String {
        match self.places(source) {
            Some(title) => [source.name(), " (", &title, ")"].concat(),
            None => source.name().to_owned(),
        }
    }

    fn why_protected(&self, address: IpAddr) -> String {
        let verdict = self.ledger.check(clock::now(), address);
        verdict.protection.map_or_else(|| "such addresses are never blocked".into(), |net| net.why.to_string())
    }

    fn check(&self, address: &str) -> Result<Check, Refusal> {
        let text = address.trim();
        let address = IpAddr::from_str(text).map_err(|_| {
            Refusal::invalid(format!("'{text}' is no address; accepted: an IPv4 or IPv6 address such as 203.0.113.7"))
        })?;
        let view = WallView::read();
        let verdict = self.ledger.check(view.now, address);
        let rules = self.rules_for(verdict.address);
        let by = verdict.bans.iter().map(|ban| self.called(ban.source)).collect::<Vec<_>>();
        let by = list_of(by.iter().map(String::as_str));
        let address = verdict.address;
        let by_all =
            |are: &dyn Fn(Source) -> bool| !verdict.bans.is_empty() && verdict.bans.iter().all(|ban| are(ban.source));
        let (word, mut sentence) = match verdict.outcome {
            Outcome::Blocked if by_all(&|source| self.is_limited(source)) => {
                ("partly", format!("{address} is blocked for some services or zones, by {by}"))
            }
            Outcome::Blocked => ("blocked", format!("{address} is blocked, by {by}")),
            Outcome::Allowed if verdict.bans.is_empty() => ("allowed", format!("{address} is allowed")),
            Outcome::Allowed => ("allowed", format!("{address} is allowed, although banned by {by}")),
            Outcome::Protected => {
                let why = verdict.protection.map_or("", |net| &net.why);
                ("protected", format!("{address} is never blocked: it is {why}"))
            }
            Outcome::NeverBanned(refusal) => {
                ("protected", format!("{address} is never blocked by a feed: {}", refusal.name()))
            }
            Outcome::NotBanned if self.has_rule_of_its_own(address.into()) => {
                ("blocked", format!("{address} is blocked, by an own block"))
            }
            Outcome::NotBanned if !rules.is_empty() => {
                ("partly", format!("{address} is blocked for some services by own blocks"))
            }
            Outcome::NotBanned => ("clear", format!("{address} is not blocked")),
        };
        let nowhere = by_all(&|source| self.kernel.unruled().contains(&source));
        if matches!(word, "blocked" | "partly") && (*self.kernel.state() != State::Ok || nowhere) {
            sentence.push_str(NOT_IN_FORCE);
        }
        Ok(Check {
            now: view.wall,
            address: address.to_string(),
            verdict: word.into(),
            sentence,
            bans: verdict.bans.iter().map(|ban| self.placed_view(ban, &verdict.bans, &view)).collect(),
            allowances: verdict.allowances.iter().map(|allowance| allowance_view(allowance, &view)).collect(),
            rules,
            protected: verdict.protection.map(|net| net.why.to_string()),
        })
    }

    /// The owner's blocks that are rules of their own and name this address.
    pub(super) fn rules_for(&self, address: IpAddr) -> Vec<Rule> {
        let blocks = rules::blocks(&self.settings).filter(|block| block.net.contains(&address));
        blocks.map(|block| rule_view(block, &self.settings.main)).collect()
    }

    fn is_limited(&self, source: Source) -> bool {
        self.settings.feeds.lists.iter().any(|list| list.source == source && list.is_limited())
    }

    /// Whether one of the owner's blocks is a rule of its own and drops or refuses all of this.
    pub(super) fn has_rule_of_its_own(&self, net: IpNet) -> bool {
        let is_of_all = |block: &Block| block.proto == Proto::Any && block.dest_ports.is_empty();
        rules::blocks(&self.settings).any(|block| block.net.contains(&net) && is_of_all(block))
    }

    fn allowances(&self, query: &AllowancesQuery) -> Result<Allowances, Refusal> {
        let limit = limit(query.limit, 100)? as usize;
        let view = WallView::read();
        let wanted = query.search.as_deref().unwrap_or_default().trim().to_lowercase();
        let origins = [AllowOrigin::Config, AllowOrigin::Command, AllowOrigin::Nats];
        let origin = query.origin.as_deref().map(|name| {
            origins.into_iter().find(|origin| origin.name() == name).ok_or_else(|| {
                let names = origins.map(AllowOrigin::name).join(", ");
                Refusal::invalid(format!("'{name}' is no origin; accepted: {names}"))
            })
        });
        let origin = origin.transpose()?;
        let mut all: Vec<AllowanceView<'_>> = self.ledger.allowances(view.now).collect();
        let total = all.len() as u64;
        all.retain(|each| origin.is_none_or(|origin| origin == each.origin));
        all.retain(|each| {
            wanted.is_empty()
                || value::written(each.net).contains(&wanted)
                || each.comment.to_lowercase().contains(&wanted)
        });
        all.sort_by_key(|each| each.origin);
        let rows = all.iter().skip(query.offset as usize).take(limit);
        Ok(Allowances {
            now: view.wall,
            total,
            matched: all.len() as u64,
            offset: query.offset,
            allowances: rows.map(|allowance| allowance_view(allowance, &view)).collect(),
        })
    }

    pub(super) fn source_named(&self, name: &str) -> Result<Source, Refusal> {
        self.ledger.sources().find(|source| source.name() == name).ok_or_else(|| {
            let names: Vec<&str> = self.ledger.sources().map(Source::name).collect();
            Refusal::invalid(format!("'{name}' is no source; accepted: {}", names.join(", ")))
        })
    }

    fn watch(&self, query: &WatchQuery) -> Result<Reply, Refusal> {
        let source = query.source.as_deref().map(|name| self.source_named(name)).transpose()?;
        let net = query.address.as_deref().map(net_of).transpose()?;
        let filter: StreamFilter = Box::new(move |activity: &Activity| {
            source.is_none_or(|source| activity.source.as_deref() == Some(source.name()))
                && net.is_none_or(|net| is_inside(activity.address.as_deref(), net))
        });
        Ok(Reply::Stream(self.journal.subscribe(), filter))
    }

    fn history(&mut self, hours: Option<u32>) -> Result<History, Refusal> {
        let most = u32::try_from(HOURS).unwrap_or(u32::MAX);
        let hours = hours.unwrap_or(most);
        if !(1..=most).contains(&hours) {
            return Err(Refusal::invalid(format!("hours {hours} is out of range; accepted: 1 to {most}")));
        }
        let counters = self.kernel.counters();
        let wall = clock::wall();
        self.tally.read(&counters, wall);
        Ok(self.tally.history(hours as usize, wall))
    }

    fn events(&self, query: &EventsQuery) -> Result<Events, Refusal> {
        let limit = query.limit.unwrap_or(50);
        if !(1..=200).contains(&limit) {
            return Err(Refusal::invalid(format!("limit {limit} is out of range; accepted: 1 to 200")));
        }
        Ok(self.journal.events(query.cursor.as_deref(), limit as usize, &query.kinds))
    }

    fn resync(&mut self, source: Option<&str>) -> Result<Resynced, Refusal> {
        let only = match source {
            None => None,
            Some(name) => match self.feeds.slots().iter().find(|slot| slot.source().name() == name) {
                Some(slot) => Some(slot.source()),
                None => {
                    let names: Vec<&str> = self.feeds.slots().iter().map(|slot| slot.source().name()).collect();
                    return Err(Refusal::invalid(format!("'{name}' is no feed; accepted: {}", names.join(", "))));
                }
            },
        };
        let asked = self.feeds.resync(only);
        self.kernel.compare_all();
        if let Some(only) = only.filter(|_| asked.is_empty()) {
            return Err(Refusal::failed(format!("{only} is switched off")));
        }
        Ok(Resynced { feeds: asked.iter().map(Source::to_string).collect() })
    }
}

fn answered(answer: Result<impl Json, Refusal>) -> Reply {
    match answer {
        Ok(value) => Reply::Line(json::to_string(&value)),
        Err(refusal) => Reply::Refused(refusal),
    }
}

fn limit(wanted: Option<u32>, default: u32) -> Result<u32, Refusal> {
    match wanted.unwrap_or(default) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        other => Err(Refusal::invalid(format!("limit {other} is out of range; accepted: 1 to {PAGE_MAX}"))),
    }
}

fn net_of(text: &str) -> Result<IpNet, Refusal> {
    let text = text.trim();
    let net = IpNet::from_str(text).or_else(|_| IpAddr::from_str(text).map(IpNet::from));
    net.map(|net| net.trunc()).map_err(|_| {
        Refusal::invalid(format!("'{text}' is no address and no network; accepted: 203.0.113.7, 2001:db8::/32"))
    })
}

fn is_inside(address: Option<&str>, net: IpNet) -> bool {
    address.and_then(|text| net_of(text).ok()).is_some_and(|inner| net.contains(&inner) || inner.contains(&net))
}

/// The kind of reason that is what a list says of an address.
const TAGS: &str = "tags";

/// A reason in the protocol's words.
pub(super) fn reason_view(reason: ReasonRef<'_>) -> Reason {
    let (protocol, port) = match reason {
        ReasonRef::Port { protocol, port } => (Some(protocol_name(protocol)), Some(port)),
        _ => (None, None),
    };
    let text = Some(reason.text()).filter(|text| !text.is_empty()).map(Into::into);
    Reason { kind: reason_kind(reason).into(), text, protocol, port }
}

fn reason_kind(reason: ReasonRef<'_>) -> &'static str {
    match reason {
        ReasonRef::Listed => "listed",
        ReasonRef::Announced => "announced",
        ReasonRef::Tagged(_) => "tagged",
        ReasonRef::Port { .. } => "port",
        ReasonRef::Login(_) => "login",
        ReasonRef::Comment(_) => "comment",
    }
}

pub(super) fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        58 => "icmpv6".into(),
        other => other.to_string(),
    }
}

fn allowance_view(allowance: &AllowanceView<'_>, view: &WallView) -> Allowance {
    Allowance {
        address: value::written(allowance.net),
        origin: allowance.origin.name().into(),
        comment: Some(allowance.comment).filter(|text| !text.is_empty()).map(Into::into),
        until: allowance.end.map(|end| view.of(end)),
        left: allowance.end.map(|end| end.since(view.now).into()),
    }
}

fn rule_view(block: &Block, main: &Main) -> Rule {
    let proto = match block.proto {
        Proto::Any => "any",
        Proto::Tcp => "tcp",
        Proto::Udp => "udp",
        Proto::Icmp => "icmp",
    };
    let action = match block.action.unwrap_or(main.action) {
        Action::Drop => "drop",
        Action::Reject => "reject",
    };
    Rule {
        address: value::written(block.net),
        proto: proto.into(),
        dest_ports: block.dest_ports.iter().map(PortRange::to_string).collect(),
        action: action.into(),
        comment: Some(block.comment.clone()).filter(|text| !text.is_empty()),
    }
}

fn list_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.dedup();
    names.join(" and ")
}

/// Resident memory in KiB; 0 where `/proc` cannot be read.
fn resident_kib() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    pages * rustix::param::page_size() as u64 / 1024
}
