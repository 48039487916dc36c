//! The ground the other tests stand on: a namespace really is the test's own.

use crate::support::{Netns, Peer, nft, nft_load, nft_set_elements, try_nft};

#[test]
fn a_table_stays_in_the_tests_own_namespace() {
    let _netns = Netns::enter();
    nft_load("table inet fw4 { set probe { type ipv4_addr; flags timeout; }; }");
    nft(&["add", "element", "inet", "fw4", "probe", "{ 203.0.113.7 timeout 1h, 203.0.113.8 }"]);
    let elements = nft_set_elements("probe");
    assert_eq!(elements["203.0.113.7"].timeout, Some(3600));
    assert_eq!(elements["203.0.113.8"].timeout, None);
    assert_eq!(elements.len(), 2);

    let elsewhere = std::thread::spawn(|| {
        let _netns = Netns::enter();
        try_nft(&["list", "table", "inet", "fw4"])
    });
    assert!(elsewhere.join().expect("no panic").is_err(), "the table shows in another namespace");
}

#[test]
fn a_peer_reaches_this_machine_over_its_own_wire() {
    let _netns = Netns::enter();
    let peer = Peer::join("wan", "192.0.2.1/24", "192.0.2.2/24");
    peer.address("203.0.113.7/32");
    peer.run("ping", &["-c", "1", "-W", "5", "192.0.2.1"]);
}
