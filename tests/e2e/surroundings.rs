//! Whom the router needs is spared, and nobody else: neighbours on an uplink, resolvers and time servers as
//! the configuration files name them, while they change.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Daemon, Mount, Netns, Peer, nft_load, nft_set_elements, own_mounts, run, wait_until};

const DEADLINE: Duration = Duration::from_secs(20);

/// What `check` says: `blocked`, `protected`, `clear`.
fn state(daemon: &Daemon, address: &str) -> String {
    let (_, text) = daemon.exit(&["check", address, "--json"]);
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    answer["verdict"].as_str().unwrap_or_default().to_string()
}

#[test]
fn neighbours_on_a_public_uplink_are_strangers() {
    let _netns = Netns::enter();
    let wan = Peer::join("wan", "198.51.100.10/24", "198.51.100.77/24");
    run("ip", &["address", "add", "2001:db8:5::10/64", "dev", "wan", "nodad"]);
    let _lan = Peer::join("lan", "203.0.113.1/28", "203.0.113.2/28");
    run("ip", &["route", "add", "default", "via", "198.51.100.1"]);
    run("ip", &["route", "add", "default", "via", "fe80::1", "dev", "wan"]);
    let daemon = Daemon::start("\toption local_only '1'", "config scan 'scan'\n\tlist ban_time '20m'\n");
    wait_until(DEADLINE, "the eyes are open", || daemon.status()["scan"]["state"] == "on");
    for (address, wanted) in [
        ("198.51.100.1", "protected"),
        ("198.51.100.10", "protected"),
        ("203.0.113.9", "protected"),
        ("198.51.100.77", "clear"),
        ("2001:db8:5::77", "clear"),
        ("2001:db8:5::10", "protected"),
    ] {
        assert_eq!(state(&daemon, address), wanted, "{address}");
    }
    let _ = wan.try_run("hping3", &["-q", "-c", "1", "-S", "-p", "23", "198.51.100.10"]);
    wait_until(DEADLINE, "the neighbour who scans is banned", || {
        nft_set_elements("diswall_scan4").contains_key("198.51.100.77")
    });
    // The owner's word counts for all but the router itself.
    for address in ["198.51.100.78", "198.51.100.1", "203.0.113.9"] {
        daemon.cli(&["block", address, "--timeout", "1h"]);
        assert_eq!(state(&daemon, address), "blocked", "{address}");
        assert!(nft_set_elements("diswall_manual4").contains_key(address), "{address}");
    }
    for own in ["198.51.100.10", "2001:db8:5::10"] {
        let (status, said) = daemon.exit(&["block", own, "--timeout", "1h"]);
        assert!(status != Some(0) && said.contains("an address of the router"), "{said}");
    }
    daemon.cli(&["block", "198.51.100.0/24", "--timeout", "1h"]);
    assert_eq!(state(&daemon, "198.51.100.10"), "protected", "a wider network keeps clear of it");
}

/// A dialled line: the default route leads to the peer, and names no gateway.
#[test]
fn the_far_end_of_a_point_to_point_line_is_spared_and_nobody_else_there() {
    let _netns = Netns::enter();
    run("ip", &["link", "add", "wan", "type", "veth", "peer", "name", "far"]);
    ["wan", "far"].iter().for_each(|device| drop(run("ip", &["link", "set", device, "up"])));
    run("ip", &["address", "add", "198.51.100.10", "peer", "203.0.113.1/32", "dev", "wan"]);
    run("ip", &["route", "add", "default", "dev", "wan"]);
    let daemon = Daemon::start("\toption local_only '1'", "config scan 'scan'\n\toption enabled '0'\n");
    for (address, wanted) in [
        ("198.51.100.10", "protected"),
        ("203.0.113.1", "protected"),
        ("198.51.100.11", "clear"),
        ("203.0.113.2", "clear"),
    ] {
        assert_eq!(state(&daemon, address), wanted, "{address}");
    }
}

#[test]
fn whom_the_configuration_files_name_is_spared_as_soon_as_they_do() {
    let _netns = Netns::enter();
    own_mounts();
    fs::create_dir_all("/etc/config").expect("a place to mount at");
    let directory = tempfile::tempdir().expect("a directory");
    let _mount = Mount::bind(directory.path(), Path::new("/etc/config"));
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("written");
    write("dhcp", "config dnsmasq\n\tlist server '/example.org/198.51.100.53#53'\n");
    let daemon = Daemon::start("\toption local_only '1'", "config scan 'scan'\n\toption enabled '0'\n");
    assert_eq!(state(&daemon, "198.51.100.53"), "protected");
    assert_eq!(state(&daemon, "198.51.100.54"), "clear");
    write("system", "config timeserver 'ntp'\n\tlist server '198.51.100.54'\n");
    wait_until(DEADLINE, "a new time server is spared", || state(&daemon, "198.51.100.54") == "protected");
    write("dhcp", "config dnsmasq\n\tlist server '198.51.100.55@eth0'\n");
    wait_until(DEADLINE, "a former resolver is none", || state(&daemon, "198.51.100.53") == "clear");
    assert_eq!(state(&daemon, "198.51.100.55"), "protected");
    write("https-dns-proxy", "config https-dns-proxy\n\toption resolver_url 'https://198.51.100.56/dns-query'\n");
    wait_until(DEADLINE, "a resolver named by its address on the web", || {
        state(&daemon, "198.51.100.56") == "protected"
    });
}

/// Turris' own client beside us: said as long as its sets hold anything. They stay, empty, when it is stopped.
#[test]
fn turris_own_client_beside_us_is_said() {
    let _netns = Netns::enter();
    let dynfw = "config dynfw 'dynfw'\n\toption server '127.0.0.1'\n\toption port '9'\n";
    let daemon = Daemon::start("", &format!("{dynfw}config nats 'nats'\n\toption enabled '0'\n"));
    let said = |daemon: &Daemon| {
        let problems = daemon.status()["problems"].to_string();
        problems.contains("two programs block the same list")
    };
    assert!(!said(&daemon));
    nft_load(
        "table inet turris-sentinel {\n set dynfw_4 { type ipv4_addr; }\n\
         set dynfw_6 { type ipv6_addr; flags interval; }\n}",
    );
    assert!(!said(&daemon), "a set that holds nothing");
    nft_load("add element inet turris-sentinel dynfw_6 { 2001:db8::/48 }");
    assert!(said(&daemon), "{}", daemon.status());
    assert_eq!(daemon.status()["problems"][0]["severity"], "warning");
    nft_load("flush set inet turris-sentinel dynfw_6\nadd element inet turris-sentinel dynfw_4 { 192.0.2.1 }");
    assert!(said(&daemon));
    nft_load("delete table inet turris-sentinel");
    assert!(!said(&daemon));
    nft_load("table inet turris-sentinel {\n set dynfw_4 { type ipv4_addr; elements = { 192.0.2.1 }; }\n}");
    daemon.configure("", "config dynfw 'dynfw'\n\toption enabled '0'\nconfig nats 'nats'\n\toption enabled '0'\n");
    daemon.reload();
    wait_until(DEADLINE, "one of them alone blocks it", || !said(&daemon));
}
