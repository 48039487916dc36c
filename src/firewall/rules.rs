//! The nft text: sets, counters and rules, from the configuration.
//!
//! Two wrappings of one body. For fw4 it is a script that fw4 runs at the end of its own transaction
//! (`/usr/share/nftables.d/ruleset-post`): it puts our jumps first into fw4's zone chains. Stand-alone
//! it brings base chains of its own. Both load by themselves, so that `nft -c` can judge them. Pure:
//! it only writes text; `files` checks and stores it, the command line prints it.

mod cut;
mod pots;
mod scan;

pub use scan::{KERNEL_BAN, SEEN, SEEN_AGAIN, SEEN_AGAIN_BARE, SEEN_BARE, SNAP_LENGTH};

use super::names::{Family, Names, SetKey, Side};
use crate::config::{Action, Block, Direction, Main, PortRange, Proto, Settings, States};
use crate::feed::lists::{self, settings::Sides};
use crate::memory;
use crate::model::{ListUse, SetId, Source};

/// At most so many packets a second, and so many at once, are logged for each source and family.
const LOG_LIMIT: &str = "limit rate 5/second burst 10 packets";

/// At most so many of its dropped packets are told of for each source and family.
const TOLD_LIMIT: &str = "limit rate 5/second burst 20 packets";

/// What the rules write before a dropped packet, in front of its source's name.
pub const DROPPED: &str = "drop ";

/// The devices of one guarded fw4 zone, as `fw4 zone NAME` prints them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneDevices {
    /// The zone.
    pub zone: String,
    /// Its devices at the moment; may be empty.
    pub devices: Vec<String>,
}

/// The script that fw4 includes behind its own table. `zones` is only read with `states 'all'`, where
/// the check comes before fw4 has sorted packets by zone.
pub fn for_fw4(settings: &Settings, zones: &[ZoneDevices]) -> String {
    let mut text = Text::new(settings, true);
    text.line(0, "# Written by diswall from its configuration; changes here are lost.");
    text.table();
    for guard in text.guards() {
        match settings.main.states {
            States::New => text.hooks_in_zone_chains(&guard),
            States::All => text.hooks_before_states(&guard, zones),
        }
    }
    if settings.feeds.scan.enabled {
        text.hooks_for_scans();
    }
    text.out
}

/// A script that takes away everything of ours and fails at nothing, whether it is there or not. The
/// rules that jump to our chains must be gone: fw4 has been reloaded without our include.
pub fn removal(settings: &Settings) -> String {
    let mut text = Text::new(settings, true);
    let table = &settings.main.table;
    text.line(0, &format!("add table inet {table}"));
    let (cut_chains, cut_sets) = cut::leftovers(&text.names);
    let (scan_chains, scan_sets) = scan::leftovers(&text.names.prefix);
    let chains = text.all_chains().into_iter().chain(cut_chains).chain(scan_chains);
    let chains: Vec<String> = chains.collect();
    // `add` first: deleting what is not there fails on kernels before 6.3.
    for step in ["add", "flush", "delete"] {
        for chain in &chains {
            text.line(0, &format!("{step} chain inet {table} {chain}"));
        }
    }
    let sets = text
        .names
        .keys()
        .map(|key| (text.names.set(key), definition(key, memory::set_size(settings.main.max_entries))));
    let sets: Vec<(String, String)> = sets.chain(cut_sets).chain(scan_sets).collect();
    for (name, definition) in sets {
        text.line(0, &format!("add set inet {table} {name} {{ {definition} }}"));
        text.line(0, &format!("delete set inet {table} {name}"));
    }
    for (source, family) in text.counted() {
        let name = text.names.counter(ban_set(source, family));
        text.line(0, &format!("add counter inet {table} {name}"));
        text.line(0, &format!("delete counter inet {table} {name}"));
    }
    text.out
}

/// A complete ruleset for a Linux machine without fw4, loadable with `nft -f -`, again and again:
/// the rules are replaced, the elements of sets stay.
pub fn standalone(settings: &Settings) -> String {
    let mut body = Text::new(settings, false);
    body.table();
    let body = body.out;
    let mut text = Text::new(settings, false);
    text.line(0, "# diswall without fw4. Load with: diswall rules --standalone | nft -f -");
    // Said twice in one transaction: the first makes sure that every chain is there to be flushed.
    text.out.push_str(&body);
    for chain in body.lines().filter_map(|line| line.trim().strip_prefix("chain ")?.strip_suffix(" {")) {
        text.line(0, &format!("flush chain inet {} {chain}", settings.main.table));
    }
    text.out.push_str(&body);
    text.out
}

/// The text under construction.
struct Text<'a> {
    settings: &'a Settings,
    names: Names,
    /// Sources in the order in which rules look them up.
    order: Vec<Source>,
    /// For fw4, which has zones; else base chains of our own, and devices.
    fw4: bool,
    out: String,
}

/// Zones whose packets are looked at, and the lists that hold there: those of `main`, and where a list names zones
/// of its own, these for it alone.
struct Guard<'a> {
    /// What its chains' names have between ours and the family: nothing, or a dot and the list's name.
    label: String,
    zones: &'a [String],
    lists: Vec<&'a lists::Settings>,
    /// Every other source holds here too.
    is_main: bool,
}

impl<'a> Text<'a> {
    fn new(settings: &'a Settings, fw4: bool) -> Text<'a> {
        let Main { table, set_prefix, .. } = &settings.main;
        let sources = settings.sources();
        let order = Source::in_order(&sources);
        let names = Names { table: table.clone(), prefix: set_prefix.clone(), sources };
        Text { settings, names, order, fw4, out: String::with_capacity(8 * 1024) }
    }

    /// Where packets are looked at, that of `main` first. Without fw4 there are no zones.
    fn guards(&self) -> Vec<Guard<'a>> {
        let settings = self.settings;
        let (of_main, own): (Vec<_>, Vec<_>) =
            settings.feeds.lists.iter().partition(|list| list.zones.is_empty() || !self.fw4);
        let main = Guard { label: String::new(), zones: &settings.main.zones, lists: of_main, is_main: true };
        let of_list = |list: &'a lists::Settings| {
            let label = format!(".{}", list.source);
            Guard { label, zones: &list.zones, lists: vec![list], is_main: false }
        };
        [main].into_iter().chain(own.into_iter().map(of_list)).collect()
    }

    /// The configuration of a source that is a list.
    fn list_of(&self, source: Source) -> Option<&'a lists::Settings> {
        self.settings.feeds.lists.iter().find(|list| list.source == source)
    }

    /// The names of a source's sets of one family.
    fn sets_of(&self, source: Source, family: Family) -> impl Iterator<Item = String> + '_ {
        SetId::of_source(source).map(move |set| self.names.set(SetKey { set, family }))
    }

    /// Every source and family that has a counter.
    fn counted(&self) -> Vec<(Source, Family)> {
        self.order.iter().flat_map(|source| Family::ALL.map(|family| (*source, family))).collect()
    }

    fn line(&mut self, depth: usize, text: &str) {
        for _ in 0..depth {
            self.out.push('\t');
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// Every chain that any configuration with this prefix could have made, jumping ones first.
    fn all_chains(&self) -> Vec<String> {
        let prefix = &self.names.prefix;
        let mut chains: Vec<String> = Hook::ALL.iter().map(|hook| hook.base_chain(prefix)).collect();
        for Guard { label, .. } in self.guards() {
            for side in Side::ALL {
                chains.push(self.names.here_chain_of(side, &label));
                chains.push(self.names.side_chain(side, &label));
                chains.extend(Family::ALL.map(|family| self.names.family_chain(side, &label, family)));
            }
        }
        for family in Family::ALL {
            chains.extend(self.order.iter().map(|source| self.hit_chain(*source, family)));
            chains.push(self.told_chain(family));
        }
        chains
    }

    /// The table with everything of ours that is in no chain of fw4's.
    fn table(&mut self) {
        let table = self.settings.main.table.clone();
        self.line(0, &format!("add table inet {table}"));
        self.line(0, &format!("table inet {table} {{"));
        self.sets_and_counters();
        self.checks();
        if self.settings.main.disconnect {
            self.cut_chains();
        }
        if self.settings.feeds.scan.enabled {
            self.scan_chains(!self.fw4);
        }
        if !self.fw4 {
            self.base_chains();
        }
        self.line(0, "}");
    }

    fn sets_and_counters(&mut self) {
        for key in self.names.keys() {
            let (name, definition) =
                (self.names.set(key), definition(key, memory::set_size(self.settings.main.max_entries)));
            self.line(1, &format!("set {name} {{ {definition} }}"));
        }
        for (source, family) in self.counted() {
            let name = self.names.counter(ban_set(source, family));
            self.line(1, &format!("counter {name} {{ }}"));
        }
    }

    /// The chains that look an address up, allowances first.
    fn checks(&mut self) {
        for (source, family) in self.counted() {
            if self.needs_hit_chain(source) {
                self.hit(source, family);
            }
        }
        if self.settings.main.report && blocks(self.settings).next().is_some() {
            Family::ALL.into_iter().for_each(|family| self.told(family));
        }
        for guard in self.guards() {
            for side in self.sides(&guard) {
                for family in Family::ALL {
                    self.check(&guard, side, family);
                }
                let label = &guard.label;
                self.line(1, &format!("chain {} {{", self.names.side_chain(side, label)));
                // One decision by family, so that a packet meets only its own family's look-ups.
                self.line(
                    2,
                    &format!(
                        "meta nfproto vmap {{ ipv4 : jump {}, ipv6 : jump {} }}",
                        self.names.family_chain(side, label, Family::V4),
                        self.names.family_chain(side, label, Family::V6)
                    ),
                );
                self.line(1, "}");
                if self.has_here(side) {
                    self.here(side, label);
                }
            }
        }
    }

    /// Where a hook's packets are sent to be looked up: the router's own by way of what lets its pots be called.
    fn entry(&self, hook: Hook, side: Side, label: &str) -> String {
        let is_here = hook != Hook::Forward && self.has_here(side);
        if is_here { self.names.here_chain_of(side, label) } else { self.names.side_chain(side, label) }
    }

    fn check(&mut self, guard: &Guard<'_>, side: Side, family: Family) {
        self.line(1, &format!("chain {} {{", self.names.family_chain(side, &guard.label, family)));
        self.exempt(side, family);
        let settings = self.settings;
        if guard.is_main && side == Side::From {
            for block in blocks(settings) {
                if Family::of(block.net.addr()) == family {
                    self.block_rule(block, family);
                }
            }
        }
        if guard.is_main && (side == Side::From || settings.main.direction == Direction::SrcDst) {
            let others = self.order.iter().copied().filter(|source| self.list_of(*source).is_none());
            for source in others.collect::<Vec<_>>() {
                // Bans for networks are looked up by the network; the receiver's side has the same.
                let key = self.key(side, source, family);
                self.look_up("", &key, source, family);
            }
        }
        for list in guard.lists.iter().filter(|list| looks_at(list, side)) {
            let service = service_match(list.proto, &list.dest_ports, family);
            self.look_up(service.trim_start(), side.field(family), list.source, family);
        }
        self.line(1, "}");
    }

    /// Rules that let go on what is exempt.
    fn exempt(&mut self, side: Side, family: Family) {
        let field = side.field(family);
        let allow = self.names.set(SetKey { set: SetId::Allow, family });
        self.line(2, &format!("{field} @{allow} return"));
        for list in self.settings.feeds.lists.iter().filter(|list| list.usage == ListUse::Allow) {
            for set in self.sets_of(list.source, family).collect::<Vec<_>>() {
                self.line(2, &format!("{field} @{set} return"));
            }
        }
    }

    /// The rules that refuse what a source's sets have; `service` comes first where there is one.
    fn look_up(&mut self, service: &str, key: &str, source: Source, family: Family) {
        let verdict = self.verdict(source, family);
        let space = if service.is_empty() { "" } else { " " };
        for set in self.sets_of(source, family).collect::<Vec<_>>() {
            self.line(2, &format!("{service}{space}{key} @{set} {verdict}"));
        }
    }

    /// What is looked up in a source's set.
    fn key(&self, side: Side, source: Source, family: Family) -> String {
        if source.is_own() { self.scan_key(side, family) } else { side.field(family).into() }
    }

    /// What follows a match in a source's set: the counter and the action in place where one rule can
    /// say it, else a chain.
    fn verdict(&self, source: Source, family: Family) -> String {
        if self.needs_hit_chain(source) {
            format!("goto {}", self.hit_chain(source, family))
        } else {
            format!("counter name \"{}\" drop", self.names.counter(ban_set(source, family)))
        }
    }

    /// What happens to a packet that a source blocks, and whether it is logged.
    fn action(&self, source: Source) -> (Action, bool) {
        let (main, list) = (&self.settings.main, self.list_of(source));
        let action = list.and_then(|list| list.action).unwrap_or(main.action);
        (action, list.and_then(|list| list.log_drops).unwrap_or(main.log_drops))
    }

    fn needs_hit_chain(&self, source: Source) -> bool {
        let (action, log) = self.action(source);
        log || action == Action::Reject || self.refreshes(source) || self.settings.main.report
    }

    fn hit_chain(&self, source: Source, family: Family) -> String {
        Names::hit_chain(&self.names.set(ban_set(source, family)))
    }

    fn told_chain(&self, family: Family) -> String {
        Names::told_chain(&self.names.set(ban_set(Source::MANUAL, family)))
    }

    fn hit(&mut self, source: Source, family: Family) {
        let chain = self.hit_chain(source, family);
        let counter = self.names.counter(ban_set(source, family));
        let (action, log) = self.action(source);
        self.line(1, &format!("chain {chain} {{"));
        self.line(2, &format!("counter name \"{counter}\""));
        if log {
            self.line(2, &format!("{LOG_LIMIT} log prefix \"diswall {source}: \""));
        }
        if self.settings.main.report {
            let rule = self.told_rule(source);
            self.line(2, &rule);
        }
        if self.refreshes(source) {
            let rule = self.refresh_rule();
            self.line(2, &rule);
        }
        for rule in action_rules(action) {
            self.line(2, rule);
        }
        self.line(1, "}");
    }

    /// The rule by which the daemon hears of some of a source's dropped packets, for the report.
    fn told_rule(&self, source: Source) -> String {
        let group = self.settings.feeds.scan.nflog_group;
        format!("{TOLD_LIMIT} log group {group} snaplen {SNAP_LENGTH} prefix \"{DROPPED}{source}\"")
    }

    /// One limit for all of the owner's rules, however many there are.
    fn told(&mut self, family: Family) {
        let (chain, rule) = (self.told_chain(family), self.told_rule(Source::MANUAL));
        self.line(1, &format!("chain {chain} {{"));
        self.line(2, &rule);
        self.line(1, "}");
    }

    /// A block with a protocol, ports or an action of its own is a rule of its own.
    fn block_rule(&mut self, block: &Block, family: Family) {
        let counter = self.names.counter(ban_set(Source::MANUAL, family));
        let selector = format!(
            "{} {}{}",
            Side::From.field(family),
            block.net,
            service_match(block.proto, &block.dest_ports, family)
        );
        let action = block.action.unwrap_or(self.settings.main.action);
        if self.settings.main.log_drops || block.log {
            self.line(2, &format!("{selector} {LOG_LIMIT} log prefix \"diswall manual: \""));
        }
        if self.settings.main.report {
            self.line(2, &format!("{selector} jump {}", self.told_chain(family)));
        }
        let rules = action_rules(action);
        for (index, rule) in rules.iter().enumerate() {
            // The packet is counted once: by the last rule, or by the reset that takes TCP before it.
            let guard = if rules.len() > 1 && index == 0 { " meta l4proto tcp" } else { "" };
            let verdict = rule.trim_start_matches("meta l4proto tcp ");
            self.line(2, &format!("{selector}{guard} counter name \"{counter}\" {verdict}"));
        }
    }

    /// `states 'new'` under fw4: its zone chains see only what its established rule let through.
    fn hooks_in_zone_chains(&mut self, guard: &Guard<'_>) {
        for zone in guard.zones {
            for side in self.sides(guard) {
                let chains = match side {
                    Side::From => [("input", Hook::Input), ("forward", Hook::Forward)],
                    Side::To => [("accept_to", Hook::Forward), ("output", Hook::Output)],
                };
                for (chain, hook) in chains {
                    self.jump(&format!("{chain}_{zone}"), "", &self.entry(hook, side, &guard.label));
                }
            }
        }
    }

    /// Puts a jump first into one of fw4's chains. The chain is added in case fw4 does not have it: an
    /// unused chain is nothing, a firewall that does not load is no firewall.
    fn jump(&mut self, chain: &str, condition: &str, target: &str) {
        let table = &self.settings.main.table;
        let add = format!("add chain inet {table} {chain}");
        let insert = format!("insert rule inet {table} {chain} {condition}jump {target} comment \"!diswall\"");
        self.line(0, &add);
        self.line(0, &insert);
    }

    /// What a guarded zone is about to refuse: its last chains on input, the end of its chain on forward
    /// (port forwards have been accepted by then).
    fn hooks_for_scans(&mut self) {
        let (table, seen) = (self.settings.main.table.clone(), self.seen_chain());
        for zone in &self.settings.main.zones {
            for chain in ["reject_from", "drop_from"] {
                self.jump(&format!("{chain}_{zone}"), "", &seen);
            }
            self.line(0, &format!("add chain inet {table} forward_{zone}"));
            self.line(0, &format!("add rule inet {table} forward_{zone} jump {seen} comment \"!diswall\""));
        }
    }

    /// `states 'all'` under fw4: first of all in its base chains. A zone without devices gets no rule
    /// until it has some: nft refuses an empty set, and with it the whole firewall.
    fn hooks_before_states(&mut self, guard: &Guard<'_>, zones: &[ZoneDevices]) {
        let label = &guard.label;
        let zones = zones.iter().filter(|zone| guard.zones.contains(&zone.zone));
        let devices: Vec<&str> = zones.flat_map(|zone| zone.devices.iter().map(String::as_str)).collect();
        if devices.is_empty() {
            self.line(0, "# none of the guarded zones has a device now");
            return;
        }
        let devices = device_set(&devices);
        let sides = self.sides(guard);
        for hook in Hook::ALL {
            if hook != Hook::Output && sides.contains(&Side::From) {
                self.jump(hook.name(), &format!("iifname {devices} "), &self.entry(hook, Side::From, label));
            }
            if hook != Hook::Input && sides.contains(&Side::To) {
                self.jump(hook.name(), &format!("oifname {devices} "), &self.entry(hook, Side::To, label));
            }
        }
    }

    /// Without fw4: base chains of our own, before whatever filters at the usual priority. All three,
    /// used or not, so that a former configuration's rules do not stay in one.
    fn base_chains(&mut self) {
        let prefix = self.names.prefix.clone();
        let (main, scan) = (&self.settings.main, &self.settings.feeds.scan);
        let devices: Vec<&str> = main.devices.iter().map(String::as_str).collect();
        let devices = if devices.is_empty() { " != \"lo\"".to_string() } else { format!(" {}", device_set(&devices)) };
        for hook in Hook::ALL {
            self.line(1, &format!("chain {} {{", hook.base_chain(&prefix)));
            self.line(2, &hook.head());
            let sides = self.guards().first().map(|guard| self.sides(guard)).unwrap_or_default();
            if hook != Hook::Output || sides.contains(&Side::To) {
                if main.states == States::New {
                    self.line(2, "ct state established,related return");
                }
                if hook != Hook::Output {
                    self.line(2, &format!("iifname{devices} jump {}", self.entry(hook, Side::From, "")));
                }
                if hook != Hook::Input && sides.contains(&Side::To) {
                    self.line(2, &format!("oifname{devices} jump {}", self.entry(hook, Side::To, "")));
                }
            }
            if hook == Hook::Input && scan.enabled {
                let seen = self.seen_chain();
                self.line(2, &format!("iifname{devices} jump {seen}"));
            }
            self.line(1, "}");
        }
    }

    /// The sides of a packet that are looked at.
    fn sides(&self, guard: &Guard<'_>) -> Vec<Side> {
        let both = self.settings.main.direction == Direction::SrcDst;
        let is_looked_at = |side: &Side| {
            guard.is_main && (*side == Side::From || both) || guard.lists.iter().any(|list| looks_at(list, *side))
        };
        [Side::From, Side::To].into_iter().filter(is_looked_at).collect()
    }
}

/// Whether a list is looked up for that side of a packet. Those who alone may come are looked for as senders.
fn looks_at(list: &lists::Settings, side: Side) -> bool {
    match (list.usage, list.sides) {
        (ListUse::Allow, _) => false,
        (ListUse::Only, _) => side == Side::From,
        (ListUse::Block, Sides::Both) => true,
        (ListUse::Block, Sides::Src) => side == Side::From,
        (ListUse::Block, Sides::Dst) => side == Side::To,
    }
}

impl Side {
    fn field(self, family: Family) -> &'static str {
        match (self, family) {
            (Side::From, Family::V4) => "ip saddr",
            (Side::From, Family::V6) => "ip6 saddr",
            (Side::To, Family::V4) => "ip daddr",
            (Side::To, Family::V6) => "ip6 daddr",
        }
    }
}

/// netfilter hooks that are guarded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hook {
    Input,
    Forward,
    Output,
}

impl Hook {
    const ALL: [Hook; 3] = [Hook::Input, Hook::Forward, Hook::Output];

    /// Name of our own base chain at this hook.
    fn base_chain(self, prefix: &str) -> String {
        format!("{prefix}_{}", self.name())
    }

    /// What makes it a base chain: before whatever filters at the usual priority.
    fn head(self) -> String {
        format!("type filter hook {} priority filter - 10; policy accept;", self.name())
    }

    const fn name(self) -> &'static str {
        match self {
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
        }
    }
}

/// Whether the `manual` set can hold the block: it says nothing but the address. The others become
/// rules of their own.
pub fn in_manual_set(block: &Block, main: &Main) -> bool {
    block.proto == Proto::Any
        && block.dest_ports.is_empty()
        && !block.log
        && block.action.is_none_or(|action| action == main.action)
}

/// The owner's blocks that are rules of their own.
pub fn blocks(settings: &Settings) -> impl Iterator<Item = &Block> {
    settings.block.iter().filter(|block| !in_manual_set(block, &settings.main))
}

fn action_rules(action: Action) -> &'static [&'static str] {
    match action {
        Action::Drop => &["drop"],
        Action::Reject => &["meta l4proto tcp reject with tcp reset", "reject"],
    }
}

/// The part of a rule that picks protocol and ports, with a leading space, or nothing.
fn service_match(proto: Proto, dest_ports: &[PortRange], family: Family) -> String {
    let ports = port_set(dest_ports);
    match (proto, ports.is_empty()) {
        (Proto::Any, true) => String::new(),
        (Proto::Any, false) => format!(" meta l4proto {{ tcp, udp }} th dport {ports}"),
        (Proto::Tcp, true) => " meta l4proto tcp".into(),
        (Proto::Udp, true) => " meta l4proto udp".into(),
        (Proto::Tcp, false) => format!(" tcp dport {ports}"),
        (Proto::Udp, false) => format!(" udp dport {ports}"),
        (Proto::Icmp, _) => match family {
            Family::V4 => " meta l4proto icmp".into(),
            Family::V6 => " meta l4proto ipv6-icmp".into(),
        },
    }
}

/// `{ 22, 80-90 }`, merged, since nft refuses overlapping ranges; empty for no ports.
fn port_set(ports: &[PortRange]) -> String {
    if ports.is_empty() {
        return String::new();
    }
    let mut sorted = ports.to_vec();
    sorted.sort_unstable_by_key(|range| range.first);
    let mut merged: Vec<PortRange> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => last.last = last.last.max(range.last),
            _ => merged.push(range),
        }
    }
    let texts: Vec<String> = merged.iter().map(PortRange::to_string).collect();
    format!("{{ {} }}", texts.join(", "))
}

fn device_set(devices: &[&str]) -> String {
    let quoted: Vec<String> = devices.iter().map(|device| format!("\"{device}\"")).collect();
    format!("{{ {} }}", quoted.join(", "))
}

fn ban_set(source: Source, family: Family) -> SetKey {
    SetKey { set: SetId::Ban(source), family }
}

/// A set's definition as nft writes it.
fn definition(key: SetKey, size: u32) -> String {
    let flags = set_flags(key.set);
    let size = if flags == "timeout" { memory::hash_size(size) } else { size };
    format!("type {}; flags {flags}; size {size};", key_type(key.family))
}

fn key_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    }
}

/// `dynamic` lets rules add elements: the kernel bans whoever touches a honeypot port by itself.
fn set_flags(set: SetId) -> &'static str {
    match set {
        set if set.is_interval() => "interval,timeout",
        SetId::Ban(source) if source.is_own() => "dynamic,timeout",
        _ => "timeout",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn no_two_lists_share_a_chain_whatever_they_are_called() {
        let list = |name: &str, zone: &str| {
            format!(
                "config list '{name}'\n\tlist url '/tmp/{name}'\n\tlist zone '{zone}'\n\toption direction 'src-dst'\n"
            )
        };
        for states in ["new", "all"] {
            let lists = [("x", "guest"), ("x4", "lan"), ("x6", "wan"), ("here", "dmz"), ("here_x", "lan")];
            let lists: String = lists.iter().map(|(name, zone)| list(name, zone)).collect();
            let text = format!("config diswall 'main'\n\toption states '{states}'\n{lists}");
            let loaded = Settings::parse(text.as_bytes(), "diswall", &[]);
            assert!(!loaded.problems.has_errors(), "{}", loaded.problems);
            let text = for_fw4(&loaded.settings, &[]);
            let mut chains: Vec<&str> =
                text.lines().filter_map(|line| line.trim_start().strip_prefix("chain ")?.strip_suffix(" {")).collect();
            let all = chains.len();
            chains.sort_unstable();
            chains.dedup();
            assert!(all > 30 && chains.len() == all, "{text}");
        }
    }
}
