//! What the owner commands through the control socket: ban, free, allow and disallow in the ledger,
//! end connections, reread the configuration.
//!
//! Lasting blocks and allowances are not here: the command line writes them to UCI and asks for a
//! reload. Every command is all or nothing: all its addresses are judged before the first is touched.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Daemon, clock};
use crate::config::value;
use crate::control::protocol::{BanCommand, Code, Done, DoneRow, ExemptCommand, KickCommand, Refusal, UnbanCommand};
use crate::control::steer;
use crate::feed::{AllowOrigin, Entry, Event, Lifetime, Reason, Source};
use crate::ledger::{BanView, may_ban};

/// Most addresses in one command.
const AT_ONCE: usize = 100;

/// The networks of a command.
///
/// # Errors
/// None or too many, or one that does not parse; the sentence names it and what is accepted.
pub fn nets(addresses: &[String]) -> Result<Vec<IpNet>, Refusal> {
    if addresses.is_empty() || addresses.len() > AT_ONCE {
        let text = format!("{} addresses given; accepted: 1 to {AT_ONCE} addresses or networks", addresses.len());
        return Err(Refusal::invalid(text));
    }
    steer::nets(addresses)
}

impl Daemon {
    /// Whether the owner may block these.
    pub(super) fn vet(&self, command: &BanCommand) -> Result<Vec<IpNet>, Refusal> {
        let nets = nets(&command.addresses)?;
        for net in &nets {
            self.vet_one(net, command.force)?;
        }
        Ok(nets)
    }

    fn vet_one(&self, net: &IpNet, force: bool) -> Result<(), Refusal> {
        let refused = |message: String| Err(Refusal { code: Code::Refused, message });
        if value::is_everything(net) && !force {
            return refused(format!(
                "{net} is every address: each new connection from a guarded zone would be blocked, but for allowed \
                 addresses and the router's own networks; say --force if that is meant"
            ));
        }
        if let Err(refusal) = may_ban(Source::Manual, *net) {
            return refused(format!("{} cannot be blocked: {refusal}", value::written(*net)));
        }
        if net.prefix_len() == net.max_prefix_len()
            && let Some(protected) = self.ledger.check(clock::now(), net.addr()).protection
        {
            return refused(format!("{} is never blocked: it is {}", net.addr(), protected.why));
        }
        Ok(())
    }

    /// Bans in the ledger.
    pub(super) fn ban(&mut self, command: &BanCommand) -> Result<Done, Refusal> {
        let nets = self.vet(command)?;
        let comment = steer::comment(command.comment.as_deref().unwrap_or_default())?;
        let lifetime = lifetime(command.timeout);
        let mut done = Vec::with_capacity(nets.len());
        for net in nets {
            let reason = Reason::Comment(comment.as_str().into());
            self.apply(Event::Ban { source: Source::Manual, net, lifetime, reason });
            let text = format!("{} is blocked {}", value::written(net), for_how_long(lifetime));
            log::info!("block: {text}{}", in_brackets(&comment));
            done.push(row(net, text));
        }
        self.kernel.commit();
        Ok(Done { done })
    }

    /// Takes bans back, whoever banned. What UCI says is not touched.
    pub(super) fn unban(&mut self, command: &UnbanCommand) -> Result<Done, Refusal> {
        let nets = nets(&command.addresses)?;
        let only = match command.source.as_deref() {
            None => None,
            Some(name) => Some(super::answers::source_named(name)?),
        };
        let mut done = Vec::with_capacity(nets.len());
        for net in nets {
            let sources = self.banning(net, only);
            for source in &sources {
                self.apply(Event::Unban { source: *source, net });
                if let Some(publisher) = self.feeds.publisher() {
                    publisher.unban(*source, net.addr(), self.ledger.element(*source, net.addr()));
                }
            }
            done.push(freed(net, &sources));
        }
        self.kernel.commit();
        Ok(Done { done })
    }

    /// The sources that ban exactly this in the ledger.
    fn banning(&self, net: IpNet, only: Option<Source>) -> Vec<Source> {
        let verdict = self.ledger.check(clock::now(), net.addr());
        // A single address may be banned with the network that it stands for.
        let single = net.prefix_len() == net.max_prefix_len();
        let stands_for = single.then(|| self.ledger.scan_net(net.addr()));
        let is_it = |ban: &BanView<'_>| ban.net == net || ban.source == Source::Scan && stands_for == Some(ban.net);
        let bans = verdict.bans.iter().filter(|ban| is_it(ban) && !ban.configured);
        let mut sources: Vec<Source> =
            bans.map(|ban| ban.source).filter(|source| only.is_none_or(|only| only == *source)).collect();
        sources.dedup();
        sources
    }

    /// Allows in the ledger.
    pub(super) fn exempt(&mut self, command: &ExemptCommand) -> Result<Done, Refusal> {
        let nets = nets(&command.addresses)?;
        let comment = steer::comment(command.comment.as_deref().unwrap_or_default())?;
        let lifetime = lifetime(command.timeout);
        let mut done = Vec::with_capacity(nets.len());
        for net in nets {
            let entry = Entry { net, lifetime, comment: comment.as_str().into() };
            self.apply(Event::Allow { origin: AllowOrigin::Command, entry });
            let text = format!("{} is allowed {}", value::written(net), for_how_long(lifetime));
            log::info!("allow: {text}{}", in_brackets(&comment));
            done.push(row(net, text));
        }
        self.kernel.commit();
        Ok(Done { done })
    }

    /// Ends the connections of addresses and networks, banned or not.
    pub(super) fn kick(&mut self, command: &KickCommand) -> Result<Done, Refusal> {
        let nets = nets(&command.addresses)?;
        let Daemon { kernel, disconnect, .. } = self;
        let mut done = Vec::with_capacity(nets.len());
        for net in nets {
            let kicked = disconnect.kick(&|address| net.contains(&address), kernel.firewall());
            if let Some(trouble) = &disconnect.trouble {
                return Err(Refusal::failed(trouble.clone()));
            }
            let count = kicked.flows.max(kicked.sockets);
            let text = format!("{} connections of {} ended", count, value::written(net));
            log::info!("kick: {text}");
            done.push(DoneRow { connections: Some(count as u64), ..row(net, text) });
        }
        Ok(Done { done })
    }

    /// Takes the ledger's own allowances back. A row without sources: there was none.
    pub(super) fn unexempt(&mut self, command: &ExemptCommand) -> Result<Done, Refusal> {
        let nets = nets(&command.addresses)?;
        let mut done = Vec::with_capacity(nets.len());
        for net in nets {
            let allowances = self.ledger.allowances(clock::now());
            let origins: Vec<AllowOrigin> = allowances.filter(|each| each.net == net).map(|each| each.origin).collect();
            let mut row = row(net, String::new());
            if origins.contains(&AllowOrigin::Command) {
                self.apply(Event::Disallow { origin: AllowOrigin::Command, net });
                row.sources.push("command".into());
                log::info!("allow: {} is no longer allowed", value::written(net));
            }
            if origins.contains(&AllowOrigin::Nats) {
                row.sources.push("nats".into());
            }
            done.push(row);
        }
        self.kernel.commit();
        Ok(Done { done })
    }
}

/// Most lines about one change of the configuration.
const LINES: usize = 20;

/// Logs what a new configuration allows or blocks and the old one did not, and the other way round.
pub fn tell_changes(list: &str, old: &[IpNet], new: &[IpNet]) {
    let (old, new): (BTreeSet<&IpNet>, BTreeSet<&IpNet>) = (old.iter().collect(), new.iter().collect());
    let gone = old.difference(&new).map(|net| (net, "is out of the configuration"));
    let come = new.difference(&old).map(|net| (net, "is in the configuration"));
    let changes: Vec<_> = come.chain(gone).collect();
    for (net, what) in changes.iter().take(LINES) {
        log::info!("{list}: {} {what}", value::written(***net));
    }
    if changes.len() > LINES {
        log::info!("{list}: and {} more changes", changes.len() - LINES);
    }
}

fn row(net: IpNet, text: String) -> DoneRow {
    DoneRow { address: value::written(net), text, ..DoneRow::default() }
}

fn freed(net: IpNet, sources: &[Source]) -> DoneRow {
    let net = value::written(net);
    let names: Vec<String> = sources.iter().map(Source::to_string).collect();
    let from_feed = sources.iter().any(|source| matches!(source, Source::Dynfw | Source::Nats));
    let text = match (names.is_empty(), from_feed) {
        (true, _) => format!("{net} is not banned"),
        (false, false) => format!("{net} is free (it was banned by {})", names.join(" and ")),
        (false, true) => format!(
            "{net} is free (it was banned by {}) until the feed lists it again; an allowance would last",
            names.join(" and ")
        ),
    };
    if !names.is_empty() {
        log::info!("unblock: {text}");
    }
    DoneRow { address: net, text, sources: names, connections: None }
}

fn in_brackets(comment: &str) -> String {
    if comment.is_empty() { String::new() } else { format!(" ({comment})") }
}

fn lifetime(timeout: Option<u32>) -> Lifetime {
    match timeout {
        None | Some(0) => Lifetime::Forever,
        Some(seconds) => Lifetime::Seconds(seconds),
    }
}

fn for_how_long(lifetime: Lifetime) -> String {
    match lifetime {
        Lifetime::Forever => "until taken back".into(),
        Lifetime::Seconds(seconds) => format!("for {}", crate::cli::duration_text(seconds.into())),
    }
}
