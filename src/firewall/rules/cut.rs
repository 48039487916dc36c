//! The rules that keep a severed connection severed while the ban lasts.
//!
//! When a ban deletes a flow's conntrack entry, the next packet from the LAN side (a retransmission, a
//! keep-alive) would make a new entry the other way round, and the banned host's packets would count as
//! established. So the daemon writes the flow's ports into a set before it deletes the entry. Such a packet is
//! dropped only while the host is banned: whichever way the ban ends, the rule ends with it in the kernel, and
//! the daemon takes the flow out of the set. Nothing else from the inside is touched: what a LAN host opened
//! belongs to the LAN host.

use super::{Family, Side, Text};

/// A severed flow is forgotten after so long without a packet, or when the ban ends, if that is sooner: longer
/// than the pauses of any keep-alive (TCP's are two hours).
const REMEMBERED: &str = "1d";

/// Most flows remembered for each family.
const SIZE: u32 = 32_768;

/// Most hosts for each family that had more flows than there is room for.
const CROWD: u32 = 8192;

impl Text<'_> {
    /// Sets of severed flows and the chains that drop their packets. A nat chain meets only packets
    /// without a conntrack entry of their own, so that everything else pays nothing.
    pub(super) fn cut_chains(&mut self) {
        let prefix = self.names.prefix.clone();
        for family in Family::ALL {
            self.line(1, &format!("set {} {{ {} }}", self.names.cut(family), definition(family)));
            self.line(1, &format!("set {} {{ {} }}", self.names.crowd(family), crowd(family)));
            self.severed(family, true);
            self.severed(family, false);
        }
        for (chain, hook, priority) in chains(&prefix) {
            self.line(1, &format!("chain {chain} {{"));
            self.line(2, &format!("type nat hook {hook} priority {priority}; policy accept;"));
            for family in Family::ALL {
                let (set, rest) = (self.names.cut(family), rest_chain(&prefix, family));
                self.line(2, &format!("{} @{set} goto {rest}", flow(family)));
                let (set, all) = (self.names.crowd(family), all_chain(&prefix, family));
                self.line(2, &format!("{} @{set} goto {all}", Side::To.field(family)));
            }
            self.line(1, "}");
        }
    }

    /// What becomes of a packet that looks as if it went on with a severed flow; of a host of which there were too many
    /// (`known` is false) it may be any that is no beginning of a TCP connection.
    fn severed(&mut self, family: Family, known: bool) {
        let (set, flow) = (self.names.cut(family), flow(family));
        let chain = if known { rest_chain } else { all_chain };
        self.line(1, &format!("chain {} {{", chain(&self.names.prefix, family)));
        // Of TCP what opens a connection shows.
        self.line(2, "tcp flags & (fin | syn | rst | ack) == syn return");
        self.exempt(Side::To, family);
        for source in self.order.clone() {
            if self.list_of(source).is_some_and(|list| !list.is_whole()) {
                continue;
            }
            let key = self.key(Side::To, source, family);
            for ban in self.sets_of(source, family).collect::<Vec<_>>() {
                // A full set takes none, and the rest of such a rule is not looked at.
                let renewed = if known { format!(" update @{set} {{ {flow} }}") } else { String::new() };
                self.line(2, &format!("{key} @{ban}{renewed} drop"));
            }
        }
        self.line(1, "}");
    }
}

/// Chain, hook and priority: for what is forwarded or comes in, and for the router's own packets.
/// Before destination NAT: the inside's packets as they are sent.
fn chains(prefix: &str) -> [(String, &'static str, &'static str); 2] {
    [
        (format!("{prefix}_cut"), "prerouting", "dstnat - 5"),
        // The name `dstnat` is for prerouting alone; -105 is the same place.
        (format!("{prefix}_cut_own"), "output", "-105"),
    ]
}

fn rest_chain(prefix: &str, family: Family) -> String {
    format!("{prefix}_rest{}", family.digit())
}

fn all_chain(prefix: &str, family: Family) -> String {
    format!("{prefix}_all{}", family.digit())
}

fn flow(family: Family) -> &'static str {
    match family {
        Family::V4 => "meta l4proto . ip saddr . th sport . ip daddr . th dport",
        Family::V6 => "meta l4proto . ip6 saddr . th sport . ip6 daddr . th dport",
    }
}

/// The set's definition as nft writes it.
fn definition(family: Family) -> String {
    let address = super::key_type(family);
    format!(
        "type inet_proto . {address} . inet_service . {address} . inet_service; flags dynamic,timeout; \
         timeout {REMEMBERED}; size {SIZE};"
    )
}

fn crowd(family: Family) -> String {
    let address = super::key_type(family);
    format!("type {address}; flags dynamic,timeout; timeout {REMEMBERED}; size {CROWD};")
}

/// What these rules bring along, for their removal: chains, and sets with their definition.
pub(super) fn leftovers(names: &super::Names) -> (Vec<String>, Vec<(String, String)>) {
    let rests = Family::ALL.map(|family| rest_chain(&names.prefix, family));
    let alls = Family::ALL.map(|family| all_chain(&names.prefix, family));
    let chains = chains(&names.prefix).map(|(chain, ..)| chain).into_iter().chain(rests).chain(alls).collect();
    let sets = Family::ALL.map(|family| (names.cut(family), definition(family)));
    let crowds = Family::ALL.map(|family| (names.crowd(family), crowd(family)));
    let former = Family::ALL.map(|family| (format!("{}_cut{}", names.prefix, family.digit()), former(family)));
    (chains, sets.into_iter().chain(crowds).chain(former).collect())
}

/// The sets of versions before 0.2, which were for UDP alone. A set cannot change its key: today's have another
/// name.
fn former(family: Family) -> String {
    let address = super::key_type(family);
    format!("type {address} . inet_service . {address} . inet_service; flags dynamic,timeout; timeout 10m; size 16384;")
}
