//! The rules that see scans: what reaches a closed port is told to the daemon over NFLOG, and at
//! honeypot ports the kernel bans by itself, so that the very next packet is dropped.
//!
//! Only packets that nothing accepted come here: under fw4 those that its zone is about to refuse,
//! stand-alone those that no socket waits for. A lone packet's sender may be forged: so the kernel's own ban
//! only keeps new connections out, and the daemon takes it back at once from whom it finds to be no scanner.
//! In a forged flood, a sender who comes twice within a moment is told from the crowd.

use super::{Family, SetId, SetKey, Side, States, Text, port_set};
use crate::model::Source;

/// New bans a second that the kernel makes by itself, and at once. A forged flood is never faster; what
/// is beyond it is the daemon's to judge, which wants a second packet then.
const KERNEL_BANS: &str = "limit rate 20/second burst 100 packets";

/// More packets a second, and at once, than the daemon is told of: of senders that are new, and of those that
/// came a moment ago, whom no flood of forged senders keeps from being told. Those end here: the kernel bans
/// nobody by itself of whom the daemon does not hear.
const UNTOLD: &str = "limit rate over 200/second burst 300 packets";
const UNTOLD_AGAIN: &str = "limit rate over 300/second burst 300 packets";

/// Senders of the last moment. What is forged comes once: 16,384 of them (1 to 1.5 MB of the kernel's memory, in a
/// flood alone) for a fifth of a second are nearly all of 100,000 a second. A sender that finds no room is met
/// by its next packet again.
const MOMENT: &str = "timeout 200ms; gc-interval 100ms; size 16384;";

/// Protocols of the own link that speak to ports without a listener: DHCP of both families, NetBIOS, SSDP,
/// WS-Discovery, mDNS, LLMNR. From port, to port.
const LINK_PROTOCOLS: &str = "udp sport . udp dport { 67 . 68, 68 . 67, 547 . 546, 546 . 547, 137 . 137, 138 . 138, \
     1900 . 1900, 3702 . 3702, 5353 . 5353, 5355 . 5355 }";

/// What the rules write before a packet: who comes anew, and who came a moment ago. Where no firewall stands
/// before us (`bare`) a port is served if somebody listens there; else it is only if the firewall lets in.
pub const SEEN: &str = "seen";
/// See [`SEEN`].
pub const SEEN_AGAIN: &str = "more";
/// See [`SEEN`].
pub const SEEN_BARE: &str = "seen bare";
/// See [`SEEN`].
pub const SEEN_AGAIN_BARE: &str = "more bare";

/// Bytes of each packet that the daemon gets: IPv6 with some extension headers, and the ports.
pub const SNAP_LENGTH: u32 = 128;

/// How long the kernel bans until the daemon has set the real length, in seconds. Its sender may be forged, which the
/// daemon alone can tell: while that is away nobody is held for longer.
pub const KERNEL_BAN: u32 = 10;

/// How long a UDP port that something here sent from is expected to be answered at: late answers to
/// forgotten flows and the peers of a file-sharing program come for minutes.
const EXPECTED: &str = "10m";

/// Where traceroute probes go (`traceroute(8)`): 33434 and up, one port a probe.
const TRACEROUTE: &str = "33434-33534";

/// Sources that are never banned and can be told without asking the daemon.
const NEVER4: &str = "{ 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, \
                      192.168.0.0/16, 224.0.0.0/3 }";
const NEVER6: &str = "{ ::/96, fc00::/7, fe80::/9, ff00::/8 }";

impl Text<'_> {
    /// The chain that a packet to a closed port is sent through. It returns, and never decides what
    /// becomes of the packet.
    pub(super) fn scan_chains(&mut self, standalone: bool) {
        let prefix = self.names.prefix.clone();
        let (seen, touched, expected) = (self.seen_chain(), format!("{prefix}_touched"), expected_set(&prefix));
        for (name, definition) in once_sets(&prefix) {
            self.line(1, &format!("set {name} {{ {definition} }}"));
        }
        self.line(
            1,
            &format!("set {expected} {{ type inet_service; flags dynamic,timeout; timeout {EXPECTED}; size 8192; }}"),
        );
        self.line(1, &format!("chain {prefix}_sending {{"));
        // A nat chain meets only the first packet of each flow. Before srcnat: a flow that has been given
        // its translation meets no further chain.
        self.line(2, "type nat hook postrouting priority srcnat - 5; policy accept;");
        // Not a visitor's port on his way to a port forward.
        self.line(2, "ct status dnat return");
        self.line(2, &format!("meta l4proto udp update @{expected} {{ udp sport }}"));
        self.line(1, "}");
        self.touched_chains(&touched, standalone);
        self.line(1, &format!("chain {seen} {{"));
        self.pots();
        if standalone {
            // Whether somebody listens: `wildcard` matches with either value where there is a socket.
            self.line(2, "socket wildcard 0 return");
            self.line(2, "socket wildcard 1 return");
        }
        self.line(2, "meta pkttype { broadcast, multicast } return");
        self.line(2, "ip daddr { 224.0.0.0/4, 255.255.255.255 } return");
        self.line(2, "ip6 daddr ff00::/8 return");
        self.line(2, &format!("{LINK_PROTOCOLS} return"));
        for (family, never) in [(Family::V4, NEVER4), (Family::V6, NEVER6)] {
            let field = Side::From.field(family);
            self.line(2, &format!("{field} {never} return"));
            self.exempt(Side::From, family);
        }
        // Whoever shares files tells its port to others, and they come by TCP to where it sends UDP from.
        self.line(2, &format!("tcp dport > 1024 tcp dport @{expected} return"));
        // What opens a connection; and what no connection has (FIN, NULL and Xmas scans). Late packets of
        // finished connections carry ACK or RST.
        self.line(2, &format!("tcp flags & (fin | syn | rst | ack) == syn goto {touched}"));
        self.line(2, &format!("tcp flags & (syn | rst | ack) == 0 goto {touched}"));
        self.line(2, &format!("udp dport {TRACEROUTE} return"));
        self.line(2, &format!("ct state new udp dport != @{expected} goto {touched}"));
        self.line(1, "}");
    }

    /// Where a touch is told of, and banned for: a sender that came a moment ago apart from the others.
    fn touched_chains(&mut self, chain: &str, standalone: bool) {
        let twice = twice_chain(&self.names.prefix);
        let [seen, again] = if standalone { [SEEN_BARE, SEEN_AGAIN_BARE] } else { [SEEN, SEEN_AGAIN] };
        self.line(1, &format!("chain {twice} {{"));
        self.tell(UNTOLD_AGAIN, again);
        self.line(1, "}");
        self.line(1, &format!("chain {chain} {{"));
        for (key, (set, _)) in ONCE_KEYS.into_iter().zip(once_sets(&self.names.prefix)) {
            self.line(2, &format!("{key} @{set} goto {twice}"));
            // A full set takes none, and the packet goes on.
            self.line(2, &format!("add @{set} {{ {key} }}"));
        }
        self.tell(UNTOLD, seen);
        self.line(1, "}");
    }

    fn tell(&mut self, untold: &str, prefix: &str) {
        let scan = &self.settings.feeds.scan;
        let (ports, group) = (port_set(&scan.honeypot_ports), scan.nflog_group);
        self.line(2, &format!("{untold} return"));
        // With `states 'all'` a ban meets the packets of connections that last, and an ended one cannot be
        // given back.
        if !ports.is_empty() && self.settings.main.states == States::New {
            for family in Family::ALL {
                let set = self.names.set(SetKey { set: SetId::Ban(Source::SCAN), family });
                let key = self.scan_key(Side::From, family);
                let of_family = if family == Family::V4 { "ipv4" } else { "ipv6" };
                self.line(
                    2,
                    &format!(
                        "meta nfproto {of_family} meta l4proto {{ tcp, udp }} th dport {ports} {KERNEL_BANS} \
                         add @{set} {{ {key} timeout {KERNEL_BAN}s }}"
                    ),
                );
            }
        }
        self.line(2, &format!("log group {group} snaplen {SNAP_LENGTH} prefix \"{prefix}\""));
    }

    /// What is looked up in the scan set: the address, or its network where bans hold for networks.
    pub(super) fn scan_key(&self, side: Side, family: Family) -> String {
        let field = side.field(family);
        match (family, self.settings.feeds.scan.ipv6_prefix) {
            (Family::V6, 64) => format!("{field} & ffff:ffff:ffff:ffff::"),
            _ => field.into(),
        }
    }

    pub(super) fn seen_chain(&self) -> String {
        self.names.scan_chain()
    }

    /// The rule by which the daemon hears of a banned host's packets, to start its time again.
    pub(super) fn refresh_rule(&self) -> String {
        let group = self.settings.feeds.scan.nflog_group;
        format!("limit rate 50/second burst 50 packets log group {group} snaplen {SNAP_LENGTH} prefix \"again\"")
    }

    /// Whether a source's bans start again with every packet.
    pub(super) fn refreshes(&self, source: Source) -> bool {
        self.settings.refreshes(source)
    }
}

fn expected_set(prefix: &str) -> String {
    format!("{prefix}_expected")
}

/// What one sender is: an IPv6 host has all of its /64.
const ONCE_KEYS: [&str; 2] = ["ip saddr", "ip6 saddr & ffff:ffff:ffff:ffff::"];

fn once_sets(prefix: &str) -> [(String, String); 2] {
    Family::ALL.map(|family| {
        let (name, kind) = (format!("{prefix}_once{}", family.digit()), super::key_type(family));
        (name, format!("type {kind}; flags dynamic,timeout; {MOMENT}"))
    })
}

fn twice_chain(prefix: &str) -> String {
    format!("{prefix}_twice")
}

/// The sets and chains that these rules bring along, for their removal: chains, then sets with their
/// definition.
pub(super) fn leftovers(prefix: &str) -> ([String; 4], [(String, String); 3]) {
    let definition = format!("type inet_service; flags dynamic,timeout; timeout {EXPECTED}; size 8192;");
    let [once4, once6] = once_sets(prefix);
    (
        [format!("{prefix}_seen"), format!("{prefix}_touched"), twice_chain(prefix), format!("{prefix}_sending")],
        [(expected_set(prefix), definition), once4, once6],
    )
}
