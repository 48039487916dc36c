//! The rules that let packets through to the honeypots of Turris' Sentinel, its minipots: whoever is banned is
//! still to come to them, and nobody is to be banned for calling one.
//!
//! Turris marks what it redirects to a pot, and lets it in under fw4 by a rule of its own in front of ours. That
//! rule is not there between a load of fw4 and the end of Turris' script, comes too late with `states 'all'`, and
//! says nothing where there is no fw4. A mark alone opens nothing here: the flow must have been redirected on this
//! machine too, by its one way to have a mark of the right kind and be for the router itself.

use super::{Side, States, Text};

/// Of sentinel-firewall with nftables: set by the redirection itself, so on a flow's first packet alone.
const MARKED: &str = "meta mark 0x72 meta l4proto tcp ct status dnat return";

/// Ports at which strangers find the pots, whatever ports these listen at: Turris' scripts have no others.
/// Of several in one rule nft 1.0.6 lists what it does not read itself, and an owner who keeps his ruleset
/// (`nft list ruleset`) would have none at the next boot.
const PORTS: [u16; 5] = [21, 23, 25, 80, 587];

impl Text<'_> {
    /// Whether packets from the router itself can be a pot's answers and yet be looked at.
    pub(super) fn has_here(&self, side: Side) -> bool {
        side == Side::From || self.settings.main.states == States::All
    }

    /// The chain between a hook of the router's own packets and `side`'s look-ups.
    pub(super) fn here(&mut self, side: Side, label: &str) {
        let (chain, next) = (self.names.here_chain_of(side, label), self.names.side_chain(side, label));
        self.line(1, &format!("chain {chain} {{"));
        self.pots();
        // What a flow's first packet was let through for is not said by the next ones. Which flows a banned host
        // had before its ban, `disconnect` sees to: those that are left began at the rules above.
        let main = &self.settings.main;
        if main.states == States::All && main.disconnect {
            for port in PORTS {
                self.line(
                    2,
                    &format!(
                        "ct state established ct status dnat meta l4proto tcp ct original proto-dst {port} return"
                    ),
                );
            }
        }
        self.line(2, &format!("goto {next}"));
        self.line(1, "}");
    }

    /// Rules that let go on what was redirected to a pot.
    pub(super) fn pots(&mut self) {
        self.line(2, MARKED);
        // The iptables generation marks by port before it redirects, with a bit that others use too. It cannot be
        // installed beside fw4.
        if !self.fw4 {
            for port in PORTS {
                self.line(
                    2,
                    &format!(
                        "meta mark & 0x10 == 0x10 meta l4proto tcp ct status dnat ct original proto-dst {port} return"
                    ),
                );
            }
        }
    }
}
