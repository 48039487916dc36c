//! `config scan 'scan'`: what the router's own eyes go by, its defaults, and its options.

use std::time::Duration;

use crate::options::value::{self, Checked, PortRange, refuse};
use crate::options::{Single, list, one};

/// `config scan 'scan'`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `enabled`.
    pub enabled: bool,
    /// `nflog_group`.
    pub nflog_group: u16,
    /// `honeypot_port`: ports to ban on at the first packet.
    pub honeypot_ports: Vec<PortRange>,
    /// `ban_time`: length of an address's first ban, of its second, and so on; the last is for all that
    /// follow. Each at least 1 s and at most [`value::MAX_DURATION`]; empty: DisWall's ladder.
    pub ban_times: Vec<Duration>,
    /// `forget_after`: from the end of an address's last ban until its ladder starts again.
    pub forget_after: Duration,
    /// `high_port`: from this port on a single packet may be a late one of a forgotten connection.
    pub high_port: u16,
    /// `high_port_packets`: so many packets to such ports within an hour are a scan. 1 to 100.
    pub high_port_packets: u32,
    /// `ipv6_prefix`: bans hold for the whole network of this length, 64 or 128 (the address alone).
    pub ipv6_prefix: u8,
    /// `refresh`: a ban's time starts again with every packet of the banned address.
    pub refresh: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        // docs/protocols.md section 2: what DisWall bans on at once.
        const SINGLE: [u16; 21] = [
            1433, 1434, 1521, 1583, 1830, 2049, 3050, 3306, 3351, 3389, 5432, 5900, 6379, 7210, 8080, 8081, 8443, 9200,
            9216, 9300, 11211,
        ];
        let mut honeypot_ports = vec![PortRange { first: 1, last: 1024 }];
        honeypot_ports.extend(SINGLE.map(|port| PortRange { first: port, last: port }));
        let forget_after = Duration::from_secs(30 * 86_400);
        Settings {
            enabled: true,
            nflog_group: 1914,
            honeypot_ports,
            ban_times: Vec::new(),
            forget_after,
            high_port: 49_152,
            high_port_packets: 3,
            ipv6_prefix: 128,
            refresh: false,
        }
    }
}

/// The section.
pub const SECTION: Single<Settings> = Single {
    name: "scan",
    options: &[
        one("enabled", |scan, given| given.set(&mut scan.enabled, value::boolean)),
        one("nflog_group", |scan, given| {
            let group = |text: &str| value::number(text, 0, u16::MAX.into()).map(|group| group as u16);
            given.set(&mut scan.nflog_group, group)
        }),
        list("honeypot_port", |scan, given| given.add(&mut scan.honeypot_ports, value::port_range)),
        list("ban_time", |scan, given| given.add(&mut scan.ban_times, value::positive_duration)),
        one("forget_after", |scan, given| given.set(&mut scan.forget_after, value::positive_duration)),
        one("high_port", |scan, given| given.set(&mut scan.high_port, value::port)),
        one("high_port_packets", |scan, given| {
            given.set(&mut scan.high_port_packets, |text| value::number(text, 1, 100))
        }),
        one("ipv6_prefix", |scan, given| given.set(&mut scan.ipv6_prefix, ban_prefix)),
        one("refresh", |scan, given| given.set(&mut scan.refresh, value::boolean)),
    ],
    check: |_, _| {},
};

/// Length of the IPv6 networks that bans hold for: a subscriber's 64, or 128 for single addresses.
fn ban_prefix(value: &str) -> Checked<u8> {
    match value {
        "64" => Ok(64),
        "128" => Ok(128),
        _ => refuse(value, "is no prefix length that bans can have; write 64 or 128"),
    }
}
