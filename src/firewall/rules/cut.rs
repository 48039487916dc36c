//! The rules that keep a severed connection severed.
//!
//! When a ban deletes a flow's conntrack entry, the next packet from the LAN side (a retransmission, a
//! keep-alive) would make a new entry the other way round, and the banned host's packets would count as
//! established. A TCP packet that goes on with a flow is no SYN, so that it can be told from a LAN host
//! opening a connection of its own; of UDP flows the daemon remembers the ports in a set before it
//! deletes the entry.

use super::{Family, ORDER, SetId, SetKey, Side, Text, ban_set};

/// How long a severed UDP flow is remembered after its last packet: longer than the pauses of keep-alives.
const REMEMBERED: &str = "10m";

/// Most flows remembered for each family.
const SIZE: u32 = 16_384;

impl Text<'_> {
    /// Sets of severed flows and the chains that drop their packets. A nat chain meets only packets
    /// without a conntrack entry of their own, so that everything else pays nothing.
    pub(super) fn cut_chains(&mut self) {
        let prefix = self.names.prefix.clone();
        for family in Family::ALL {
            self.line(1, &format!("set {} {{ {} }}", self.names.cut(family), definition(family)));
        }
        for (chain, hook, priority) in chains(&prefix) {
            self.line(1, &format!("chain {chain} {{"));
            self.line(2, &format!("type nat hook {hook} priority {priority}; policy accept;"));
            for family in Family::ALL {
                self.severed(family);
            }
            self.line(1, "}");
        }
    }

    fn severed(&mut self, family: Family) {
        let (set, flow) = (self.names.cut(family), flow(family));
        self.line(2, &format!("{flow} @{set} update @{set} {{ {flow} }} drop"));
        let allow = self.names.set(SetKey { set: SetId::Allow, family });
        self.line(2, &format!("{} @{allow} return", Side::To.field(family)));
        for source in ORDER {
            let set = self.names.set(ban_set(source, family));
            let key = self.key(Side::To, source, family);
            self.line(2, &format!("tcp flags & (fin | syn | rst | ack) != syn {key} @{set} drop"));
        }
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

fn flow(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip saddr . udp sport . ip daddr . udp dport",
        Family::V6 => "ip6 saddr . udp sport . ip6 daddr . udp dport",
    }
}

/// The set's definition as nft writes it.
fn definition(family: Family) -> String {
    let address = super::key_type(family);
    format!(
        "type {address} . inet_service . {address} . inet_service; flags dynamic,timeout; timeout {REMEMBERED}; \
         size {SIZE};"
    )
}

/// What these rules bring along, for their removal: chains, and sets with their definition.
pub(super) fn leftovers(names: &super::Names) -> (Vec<String>, Vec<(String, String)>) {
    let chains = chains(&names.prefix).map(|(chain, ..)| chain).to_vec();
    (chains, Family::ALL.map(|family| (names.cut(family), definition(family))).to_vec())
}
