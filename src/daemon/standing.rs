//! What is true of an address or a network, in a sentence: whether it is blocked or allowed, by whom and
//! until when. Every command ends with it, so that none says "is free" of what another ban still blocks.

use ipnet::IpNet;

use super::Daemon;
use super::clock;
use crate::duration;
use crate::ledger::{AllowanceView, BanView, CONFIGURATION, Force, Moment, OWNER, Outcome};
use crate::model::{AllowOrigin, Source};
use crate::options::value;
use crate::plural;

/// Behind what is true by the ledger alone.
pub(super) const NOT_IN_FORCE: &str = "; but the firewall does not go by it now, see diswall status";

/// See the module's head.
pub(super) struct Standing {
    /// Without the network's name in front: `is blocked for 1h`.
    pub(super) text: String,
    /// A ban has all of it, and nothing exempts it.
    pub(super) blocked: bool,
    /// An allowance has all of it.
    pub(super) allowed: bool,
}

impl Daemon {
    /// What is true of this network. Whose ban or allowance it is need not be said where it is `speaker`'s
    /// and the only one.
    pub(super) fn standing(&self, net: IpNet, speaker: &str) -> Standing {
        let now = clock::now();
        let bans: Vec<BanView<'_>> = self.ledger.bans_around(now, net).collect();
        let allowances: Vec<AllowanceView<'_>> = self.ledger.allowances_around(now, net).collect();
        if !allowances.is_empty() {
            return self.allowed(net, now, &allowances, &bans);
        }
        let inside = if is_single(net) { String::new() } else { self.inside(net, now, !bans.is_empty()) };
        if let Some(why) = self.withheld(net, &bans) {
            let text = format!("is never blocked: it is {why}");
            return Standing { text, blocked: false, allowed: false };
        }
        let by_rule = self.has_rule_of_its_own(net);
        let text = match bans.as_slice() {
            [] if by_rule => "is blocked by an own block".into(),
            [] if is_single(net) && !self.rules_for(net.addr()).is_empty() => {
                "is blocked for some services by own blocks".into()
            }
            [] => format!("is not blocked{inside}"),
            [only] if only.net == net && only.source.is_owner() && only.by == speaker => {
                format!("is blocked {}{inside}", how_long(only.end, now))
            }
            [only] => format!("is blocked by {}{inside}", ban_list(net, &[*only], now)),
            bans => format!("is blocked {}: by {}{inside}", overall(bans, now), ban_list(net, bans, now)),
        };
        Standing { text, blocked: by_rule || !bans.is_empty(), allowed: false }
    }

    fn allowed(&self, net: IpNet, now: Moment, allowances: &[AllowanceView<'_>], bans: &[BanView<'_>]) -> Standing {
        let mut text = match allowances {
            [only] if only.net == net && only.origin == AllowOrigin::Command => {
                format!("is allowed {}", how_long(only.end, now))
            }
            all => {
                let each = all.iter().map(|each| allowance(net, each, now));
                format!("is allowed: by {}", each.collect::<Vec<_>>().join(", by "))
            }
        };
        if !bans.is_empty() {
            text.push_str(&format!("; not blocked meanwhile, though banned by {}", ban_list(net, bans, now)));
        }
        Standing { text, blocked: false, allowed: true }
    }

    /// Why the kernel has none of these bans, where it has none.
    fn withheld(&self, net: IpNet, bans: &[BanView<'_>]) -> Option<String> {
        if is_single(net) {
            let verdict = self.ledger.check(clock::now(), net.addr());
            // The owner's word counts for what is not the router's own.
            let protection = verdict.protection.filter(|_| verdict.outcome != Outcome::Blocked);
            return protection.map(|protected| protected.why.to_string());
        }
        let all = !bans.is_empty() && bans.iter().all(|ban| ban.net == net && ban.force == Force::Withheld);
        all.then(|| "what the router itself needs".into())
    }

    /// What is otherwise within a network.
    fn inside(&self, net: IpNet, now: Moment, blocked: bool) -> String {
        let mut text = String::new();
        if blocked {
            let allowed = self.ledger.allowances(now).filter(|each| net.contains(&each.net)).count();
            if allowed > 0 {
                text.push_str(&format!(", but for {allowed} allowed within it"));
            }
            if self.ledger.force(Source::MANUAL, net) == Force::Partial {
                text.push_str(", but for what the router itself needs");
            }
        } else {
            let mut banned = 0;
            self.ledger.for_each_ban(now, None, &mut |ban| banned += usize::from(net.contains(&ban.net)));
            if banned > 0 {
                let stay = plural::of(banned as u64, "ban within it stays", "bans within it stay");
                text.push_str(&[" as a whole; ", &stay].concat());
            }
        }
        text
    }
}

pub(super) fn is_single(net: IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

/// Whoever bans, as a sentence names him.
pub(super) fn who(name: &str) -> &str {
    match name {
        OWNER => "you",
        CONFIGURATION => "the configuration",
        other => other,
    }
}

fn banner<'a>(ban: &BanView<'a>) -> &'a str {
    if ban.source.is_owner() { who(ban.by) } else { ban.source.name() }
}

fn ban_list(net: IpNet, bans: &[BanView<'_>], now: Moment) -> String {
    let each = bans.iter().map(|ban| format!("{}{} {}", banner(ban), with(net, ban.net), how_long(ban.end, now)));
    each.collect::<Vec<_>>().join(", by ")
}

fn allowance(net: IpNet, each: &AllowanceView<'_>, now: Moment) -> String {
    let who = match each.origin {
        AllowOrigin::Config => "the configuration",
        AllowOrigin::Command => "you",
        AllowOrigin::Nats => Source::NATS.title(),
        AllowOrigin::List(source) => source.name(),
    };
    let comment = if each.comment.is_empty() { String::new() } else { format!(" ({})", each.comment) };
    format!("{who}{}{comment} {}", with(net, each.net), how_long(each.end, now))
}

fn with(net: IpNet, other: IpNet) -> String {
    if net == other { String::new() } else { format!(" with {}", value::written(other)) }
}

fn overall(bans: &[BanView<'_>], now: Moment) -> String {
    let lasting = bans.iter().any(|ban| ban.end.is_none());
    how_long(if lasting { None } else { bans.iter().filter_map(|ban| ban.end).max() }, now)
}

fn how_long(end: Option<Moment>, now: Moment) -> String {
    duration::holds(end.map(|end| end.since(now).into()))
}
