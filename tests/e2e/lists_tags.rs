//! What a list says of its addresses: Turris' greylist beside the live feed, over a real server, and what a hostile or
//! careless maker of such a list can do with its words.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Daemon, Netns, Sentinel, nft_load, nft_set_elements, wait_until, web};

const DEADLINE: Duration = Duration::from_secs(30);
const QUIET: &str = "config nats 'nats'\n\toption enabled '0'\nconfig scan 'scan'\n\toption enabled '0'\n";
const NO_DYNFW: &str = "config dynfw 'dynfw'\n\toption enabled '0'\n";
const HEAD: &str = "# For the terms of use see https://view.sentinel.turris.cz/\nAddress,Tags\n";

fn greylist(port: u16) -> String {
    format!(
        "config list 'turris'\n\toption url 'http://127.0.0.1:{port}/greylist-latest.csv'\n\toption format 'csv:1'\n"
    )
}

/// Each ban of an address as `source: kind: text`.
fn reasons(daemon: &Daemon, address: &str) -> Vec<String> {
    let answer: Value = serde_json::from_str(&daemon.exit(&["check", address, "--json"]).1).expect("JSON");
    let text = |ban: &Value, what: &str| ban["reason"][what].as_str().unwrap_or("-").to_owned();
    let bans = answer["bans"].as_array().expect("bans").iter();
    bans.map(|ban| {
        let source = ban["source"].as_str().unwrap_or_default();
        format!("{source}: {}: {}", text(ban, "kind"), text(ban, "text"))
    })
    .collect()
}

fn held() -> usize {
    nft_set_elements("diswall_turris4").len()
}

#[test]
fn the_greylist_says_why_dynfw_bans_an_address() {
    let _netns = Netns::enter();
    let mut sentinel = Sentinel::start(&["--size", "0"]);
    sentinel.tell("addresses 203.0.113.1 203.0.113.2 203.0.113.3 2001:db8::7");
    sentinel.tell("publish every 0.3");
    let place = tempfile::tempdir().expect("a place");
    let put = |rows: &str| fs::write(place.path().join("greylist-latest.csv"), [HEAD, rows].concat()).expect("written");
    put("203.0.113.1,\"port_scan,haas\"\n203.0.113.2,smtp\n2001:db8::7,haas\n203.0.113.4,telnet\n203.0.113.5,\n");
    let server = web::serve(web::FILES, place.path(), "8095", None);
    let mut daemon = Daemon::start("", &[&sentinel.section(), QUIET, &greylist(8095)].concat());
    wait_until(DEADLINE, "both are in force", || nft_set_elements("diswall_dynfw4").len() == 3 && held() == 4);
    assert_eq!(server.line(DEADLINE), "/greylist-latest.csv 200");
    let told = |daemon: &Daemon| {
        let dynfw = |text: &str| format!("dynfw: tags: {text}, as the list turris says");
        assert_eq!(
            reasons(daemon, "203.0.113.1"),
            [dynfw("haas, port_scan"), "turris: tags: haas, port_scan".to_owned()]
        );
        assert_eq!(reasons(daemon, "203.0.113.2"), [dynfw("smtp"), "turris: tags: smtp".to_owned()]);
        assert_eq!(reasons(daemon, "2001:db8::7"), [dynfw("haas"), "turris: tags: haas".to_owned()]);
        // Who is on one of them alone.
        assert_eq!(reasons(daemon, "203.0.113.3"), ["dynfw: listed: -"]);
        assert_eq!(reasons(daemon, "203.0.113.4"), ["turris: tags: telnet"]);
        assert_eq!(reasons(daemon, "203.0.113.5"), ["turris: listed: -"]);
    };
    told(&daemon);
    let said = daemon.cli(&["check", "203.0.113.1"]);
    assert!(said.contains("dynfw: 203.0.113.1, haas, port_scan, as the list turris says, since"), "{said}");
    assert!(daemon.cli(&["list", "turris"]).lines().any(|line| line.ends_with("haas, port_scan")));

    // Over a restart the words are there before the server is asked, which says that nothing has changed.
    daemon.stop(DEADLINE);
    nft_load("flush set inet fw4 diswall_turris4");
    daemon.run();
    wait_until(DEADLINE, "all is in force again", || nft_set_elements("diswall_dynfw4").len() == 3 && held() == 4);
    told(&daemon);
    daemon.cli(&["resync", "turris"]);
    assert_eq!(server.line(DEADLINE), "/greylist-latest.csv 200", "whoever asks for it gets it whole");

    // The same addresses with other words, then fewer: what goes leaves no word behind.
    put("203.0.113.1,ftp\n203.0.113.2,smtp\n2001:db8::7,haas\n203.0.113.4,telnet\n203.0.113.5,haas\n");
    daemon.cli(&["resync", "turris"]);
    wait_until(DEADLINE, "other words", || reasons(&daemon, "203.0.113.1").concat().contains("turris: tags: ftp"));
    assert_eq!(reasons(&daemon, "203.0.113.5"), ["turris: tags: haas"]);
    put("203.0.113.2,smtp\n");
    daemon.cli(&["resync", "turris"]);
    wait_until(DEADLINE, "it has shrunk", || held() == 1);
    assert_eq!(reasons(&daemon, "203.0.113.1"), ["dynfw: listed: -"]);
    assert_eq!(reasons(&daemon, "203.0.113.2").len(), 2);
}

#[test]
fn a_strangers_tags_are_words_and_few() {
    let _netns = Netns::enter();
    let place = tempfile::tempdir().expect("a place");
    // A terminal's commands, a page's, words that turn their reader's eyes, one of a megabyte, and far too many.
    let mut rows = "192.0.2.1,\u{1b}[31mred\u{202e}\n192.0.2.2,<script>alert(1)</script>\n".to_owned();
    rows.push_str(&format!("192.0.2.3,{}\n192.0.2.4,\"open\n", "x".repeat(4000)));
    rows.push_str(&(0..400).map(|n| format!("198.51.{}.{},tag{n:03}\n", n / 200, n % 200)).collect::<String>());
    fs::write(place.path().join("greylist-latest.csv"), [HEAD, &rows].concat()).expect("written");
    let _server = web::serve(web::FILES, place.path(), "8096", None);
    let daemon = Daemon::start("", &[NO_DYNFW, QUIET, &greylist(8096)].concat());
    wait_until(DEADLINE, "all are in force", || held() == 404);
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        let said = daemon.cli(&["check", address]);
        assert!(said.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{said:?}");
        assert!(said.len() < 400, "{said}");
    }
    assert_eq!(reasons(&daemon, "192.0.2.4"), ["turris: listed: -"]);
    // 255 texts in all: two of those above, which are words, the long one, and so many of the rest.
    assert_eq!(reasons(&daemon, "198.51.1.51"), ["turris: tags: tag251"]);
    assert_eq!(reasons(&daemon, "198.51.1.52"), ["turris: listed: -"]);
    assert_eq!(reasons(&daemon, "198.51.1.199"), ["turris: listed: -"]);
}
