//! Whom the router needs, as its own configuration names them: resolvers, time servers, far ends of VPNs.
//!
//! Many of OpenWrt's configuration files are root's alone, and the daemon is not root: `diswall rules
//! --write` and `--load`, which the service runs as root, leave an extract where the daemon finds it
//! ([`store`]). The daemon reads what it may by itself as well ([`read`]), and resolves the names.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::options::uci::{self, Value};

/// UCI's files.
pub const UCI: &str = "/etc/config";

/// Where the uplinks' resolvers are named, a file for each owner of them.
pub const RESOLVERS: &str = "/tmp/resolv.conf.d";

/// The extract for the daemon; [`crate::firewall::files::DIRECTORY`] is root's.
pub const EXTRACT: &str = "/var/run/diswall/fw4/needs";

/// Most hosts that are read; a router names a handful.
const MOST: usize = 256;

/// No file is read further.
const MOST_BYTES: u64 = 256 * 1024;

/// Somebody the router needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// By address.
    Address(IpAddr),
    /// By name, in lower case; to be resolved.
    Name(String),
}

/// What somebody is to the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Answers its DNS questions.
    Resolver,
    /// Tells it the time.
    TimeServer,
    /// The far end of a tunnel.
    VpnEnd,
}

impl Role {
    const ALL: [(Role, &'static str, &'static str); 3] = [
        (Role::Resolver, "resolver", "a resolver of the router"),
        (Role::TimeServer, "time", "a time server of the router"),
        (Role::VpnEnd, "vpn", "the far end of a VPN"),
    ];

    /// For people.
    pub fn why(self) -> &'static str {
        Role::ALL.iter().find(|(role, ..)| *role == self).map_or("", |(.., why)| why)
    }

    fn word(self) -> &'static str {
        Role::ALL.iter().find(|(role, ..)| *role == self).map_or("", |(_, word, _)| word)
    }
}

/// Everybody, each once a role.
pub type Needs = BTreeSet<(Role, Host)>;

/// File, type of section (empty: every), option, what the hosts in it are. Values may hold several, apart by
/// blanks or commas.
const NAMED: &[(&str, &str, &str, Role)] = &[
    ("dhcp", "dnsmasq", "server", Role::Resolver),
    ("dhcp", "dnsmasq", "rev_server", Role::Resolver),
    ("dhcp", "dhcp", "dns", Role::Resolver),
    ("network", "", "dns", Role::Resolver),
    ("https-dns-proxy", "", "bootstrap_dns", Role::Resolver),
    ("https-dns-proxy", "", "resolver_url", Role::Resolver),
    ("stubby", "resolver", "address", Role::Resolver),
    ("unbound", "zone", "server", Role::Resolver),
    ("smartdns", "server", "ip", Role::Resolver),
    ("resolver", "dns_server", "ipv4", Role::Resolver),
    ("system", "timeserver", "server", Role::TimeServer),
    ("chrony", "", "hostname", Role::TimeServer),
    ("network", "", "endpoint_host", Role::VpnEnd),
    ("network", "interface", "peeraddr", Role::VpnEnd),
    ("network", "interface", "server", Role::VpnEnd),
    ("network", "interface", "vpn_server", Role::VpnEnd),
    ("openvpn", "", "remote", Role::VpnEnd),
    ("ipsec", "", "gateway", Role::VpnEnd),
];

/// Options that name a file with more of the same: file, section, option, the line's first word there.
const ELSEWHERE: &[(&str, &str, &str, &str, Role)] = &[
    ("dhcp", "dnsmasq", "resolvfile", "nameserver", Role::Resolver),
    ("dhcp", "dnsmasq", "serversfile", "server", Role::Resolver),
    ("dhcp", "dnsmasq", "confdir", "server", Role::Resolver),
    ("openvpn", "", "config", "remote", Role::VpnEnd),
    ("resolver", "", "forward_custom", "ipv4", Role::Resolver),
    ("resolver", "", "forward_custom", "ipv6", Role::Resolver),
];

/// Where Turris has the servers that its resolver may forward to, a file each; UCI names one without its ending.
const FORWARDERS: &str = "/etc/resolver/dns_servers";

/// Files and directories of files outside UCI, and the first word of their lines.
const FILES: &[(&str, &str, Role)] = &[
    ("/etc/resolv.conf", "nameserver", Role::Resolver),
    ("/tmp/resolv.conf.auto", "nameserver", Role::Resolver),
    ("/etc/dnsmasq.conf", "server", Role::Resolver),
];

/// Reads everything that this process may, below `uci` and `resolvers`, and the extract; what cannot be read is
/// passed over.
pub fn read(uci: &Path, resolvers: &Path, extract: &Path) -> Needs {
    let mut needs = Needs::new();
    for (path, word, role) in FILES {
        lines(Path::new(path), word, *role, &mut needs);
    }
    lines(resolvers, "nameserver", Role::Resolver, &mut needs);
    let mut names: Vec<&str> = NAMED.iter().map(|(file, ..)| *file).collect();
    names.dedup();
    for name in names {
        if let Ok(text) = whole(&uci.join(name)) {
            configured(name, &text, &mut needs);
        }
    }
    read_extract(extract, &mut needs);
    needs
}

/// Writes the extract, whole or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn store(needs: &Needs, path: &Path) -> io::Result<()> {
    let mut text = String::new();
    for (role, host) in needs {
        let _ = match host {
            Host::Address(address) => writeln!(text, "{} {address}", role.word()),
            Host::Name(name) => writeln!(text, "{} {name}", role.word()),
        };
    }
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}

fn read_extract(path: &Path, needs: &mut Needs) {
    let Ok(text) = whole(path) else { return };
    for line in String::from_utf8_lossy(&text).lines() {
        let Some((word, rest)) = line.split_once(' ') else { continue };
        if let Some((role, ..)) = Role::ALL.iter().find(|(_, known, _)| *known == word) {
            add(*role, rest, needs);
        }
    }
}

fn whole(path: &Path) -> io::Result<Vec<u8>> {
    // A FIFO that somebody put there must not hold us.
    let file = fs::OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path)?;
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

/// One UCI file.
fn configured(name: &str, text: &[u8], needs: &mut Needs) {
    // What is wrong with it is for its owner to say.
    let (sections, _) = uci::sections(text);
    for section in &sections {
        let of = |file: &str, kind: &str| file == name && (kind.is_empty() || kind == section.kind);
        for entry in &section.options {
            let values: Vec<&str> = match &entry.value {
                Value::Single(value) => vec![value],
                Value::List(items) => items.iter().map(|(_, value)| value.as_ref()).collect(),
            };
            for (_, _, _, role) in
                NAMED.iter().filter(|(file, kind, option, _)| of(file, kind) && *option == entry.name)
            {
                // OpenVPN's `remote` is a host, a port and a protocol.
                let most = if name == "openvpn" { 1 } else { MOST };
                for value in &values {
                    let hosts = value.split([' ', '\t', ',']).filter(|host| !host.is_empty());
                    hosts.take(most).for_each(|host| add(*role, host, needs));
                }
            }
            for (.., word, role) in
                ELSEWHERE.iter().filter(|(file, kind, option, ..)| of(file, kind) && *option == entry.name)
            {
                for value in &values {
                    let file = match name {
                        "resolver" => Path::new(FORWARDERS).join([*value, ".conf"].concat()),
                        _ => PathBuf::from(value),
                    };
                    lines(&file, word, *role, needs);
                }
            }
        }
    }
}

/// What the lines of a file name, or those of a directory's files.
fn lines(path: &Path, word: &str, role: Role, needs: &mut Needs) {
    match fs::read_dir(path) {
        Ok(files) => files.flatten().take(MOST).for_each(|file| lines_of(&file.path(), word, role, needs)),
        Err(_) => lines_of(path, word, role, needs),
    }
}

/// The first argument of every line that begins with `word`, as `word argument` or `word=argument`; all that is in
/// quotes.
fn lines_of(path: &Path, word: &str, role: Role, needs: &mut Needs) {
    let Ok(text) = whole(path) else { return };
    for line in String::from_utf8_lossy(&text).lines() {
        let Some(rest) = line.trim_start().strip_prefix(word) else { continue };
        let value = rest.trim_start_matches([' ', '\t', '=', '"']);
        if value.len() < rest.len() {
            let most = if rest.contains('"') { MOST } else { 1 };
            // dnsmasq's port stands behind a '#', a remark behind a blank and one.
            value.split([' ', '\t', '#', ';', '"']).take(most).for_each(|host| add(role, host, needs));
        }
    }
}

/// One host as dnsmasq, resolv.conf and the others write it: `/domain/192.0.2.1#53@eth0`, `fe80::1%eth0`,
/// `[2001:db8::1]:53`, `tls://name`, `https://name/dns-query`. What is local, or no host, is passed over.
fn add(role: Role, text: &str, needs: &mut Needs) {
    let host = if text.contains("://") { text.split('/').nth(2) } else { text.rsplit('/').next() };
    let text = host.unwrap_or_default();
    let text = text.split(['#', '@', '%']).next().unwrap_or_default();
    let text = text.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(text);
    let unported = text.split_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(text, |(host, _)| host);
    let host = match unported.parse::<IpAddr>().or_else(|_| text.parse()) {
        Ok(address) if address.is_loopback() || address.is_unspecified() => return,
        Ok(address) => Host::Address(address.to_canonical()),
        Err(_) if is_name(unported) => Host::Name(unported.to_ascii_lowercase()),
        Err(_) => return,
    };
    if needs.len() < MOST {
        needs.insert((role, host));
    }
}

/// A host name that some resolver may know: dots in it, letters, digits and hyphens.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= 253
        && text.contains('.')
        && text.trim_end_matches('.').split('.').all(label)
        && !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn hosts(role: Role, texts: &[&str]) -> Vec<String> {
        let mut needs = Needs::new();
        texts.iter().for_each(|text| add(role, text, &mut needs));
        shown(&needs)
    }

    fn shown(needs: &Needs) -> Vec<String> {
        needs
            .iter()
            .map(|(role, host)| match host {
                Host::Address(address) => format!("{} {address}", role.word()),
                Host::Name(name) => format!("{} {name}", role.word()),
            })
            .collect()
    }

    #[test]
    fn hosts_are_read_as_programs_write_them() {
        let cases: [(&str, &str); 24] = [
            ("https://cloudflare-dns.example/dns-query", "cloudflare-dns.example"),
            ("https://192.0.2.1/dns-query", "192.0.2.1"),
            ("https://[2001:db8::53]:8443/dns-query", "2001:db8::53"),
            ("tls://dns.example.org:853", "dns.example.org"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1#5353", "192.0.2.1"),
            ("/example.org/192.0.2.1", "192.0.2.1"),
            ("/example.org/local/192.0.2.1#53", "192.0.2.1"),
            ("192.0.2.1@eth0", "192.0.2.1"),
            ("192.0.2.1#53@192.0.2.9#4000", "192.0.2.1"),
            ("2001:db8::53", "2001:db8::53"),
            ("2001:db8::53#5353", "2001:db8::53"),
            ("fe80::1%eth0", "fe80::1"),
            ("[2001:db8::53]:5353", "2001:db8::53"),
            ("192.0.2.1:53", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("0.OpenWrt.pool.ntp.org", "0.openwrt.pool.ntp.org"),
            ("vpn.example.org:1194", "vpn.example.org"),
            ("/example.org/", ""),
            ("/example.org/#", ""),
            ("127.0.0.1#5053", ""),
            ("::1", ""),
            ("1.2.3", ""),
            ("one word", ""),
        ];
        for (text, wanted) in cases {
            let wanted: Vec<String> = (!wanted.is_empty()).then(|| format!("resolver {wanted}")).into_iter().collect();
            assert_eq!(hosts(Role::Resolver, &[text]), wanted, "{text}");
        }
    }

    #[test]
    fn configurations_name_whom_they_need() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let ovpn = at("client.ovpn");
        fs::write(&ovpn, "client\nremote 203.0.113.4 1194\nremote-cert-tls server\n").unwrap();
        fs::write(
            at("99_a.conf"),
            "name=\"99_a.conf\"\nport=\"853\"\nipv4=\"203.0.113.11 203.0.113.12\"\nipv6=\"2001:db8::11\"\n",
        )
        .unwrap();
        fs::create_dir(at("dnsmasq.d")).unwrap();
        fs::write(at("dnsmasq.d/own.conf"), "server=/example.org/203.0.113.14#53\n").unwrap();
        fs::create_dir(at("resolvers")).unwrap();
        fs::write(at("resolvers/resolv.conf.auto"), "# wan\nnameserver 203.0.113.5 # ISP\nnameserver\t2001:db8::5\n")
            .unwrap();
        let files = [
            ("dhcp", format!("config dnsmasq\n\toption confdir '{}'\n\tlist server '203.0.113.1'\n\tlist server '/lan/'\n\tlist rev_server '10.0.0.0/8,203.0.113.8#5353'\nconfig dhcp 'lan'\n\tlist server '203.0.113.99'\n\tlist dns '2001:db8::9'\n", at("dnsmasq.d").display())),
            ("system", "config timeserver 'ntp'\n\tlist server 'pool.example.org'\n\tlist server '203.0.113.2'\n".into()),
            ("openvpn", format!("config openvpn 'x'\n\tlist remote '203.0.113.3 1194 udp'\nconfig openvpn 'y'\n\toption config '{}'\n", ovpn.display())),
            ("https-dns-proxy", "config https-dns-proxy\n\toption resolver_url 'https://doh.example.org/dns-query'\n".into()),
            ("resolver", format!("config resolver 'common'\n\toption forward_custom '{}'\nconfig dns_server\n\toption ipv4 '203.0.113.13'\n", at("99_a").display())),
            ("network", "config interface 'wan'\n\toption dns '203.0.113.6 203.0.113.7'\nconfig wireguard_wg0\n\toption endpoint_host 'wg.example.org'\nbroken 'x\n".into()),
        ];
        for (name, text) in &files {
            fs::write(at(name), text).unwrap();
        }
        let needs = read(directory.path(), &at("resolvers"), &at("none"));
        let wanted = [
            "resolver 203.0.113.1",
            "resolver 203.0.113.5",
            "resolver 203.0.113.6",
            "resolver 203.0.113.7",
            "resolver 203.0.113.8",
            "resolver 203.0.113.11",
            "resolver 203.0.113.12",
            "resolver 203.0.113.13",
            "resolver 203.0.113.14",
            "resolver 2001:db8::5",
            "resolver 2001:db8::9",
            "resolver 2001:db8::11",
            "resolver doh.example.org",
            "time 203.0.113.2",
            "time pool.example.org",
            "vpn 203.0.113.3",
            "vpn 203.0.113.4",
            "vpn wg.example.org",
        ];
        let found = shown(&needs);
        for host in wanted {
            assert!(found.iter().any(|found| found == host), "{host} is not in {found:?}");
        }
        assert!(!found.iter().any(|found| found.contains("203.0.113.99")), "{found:?}");
        // By root for the daemon.
        store(&needs, &at("extract")).unwrap();
        assert_eq!(read(&at("none"), &at("none"), &at("extract")), needs);
    }
}
