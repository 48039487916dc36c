//! Tables of messages as servers send them and as they never should; and every well-formed message
//! that another MessagePack implementation writes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Serialize;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A payload from parts in which single letters stand for what would be tedious to spell.
fn delta(serial: &str, delta: &str, ip: &str, ts: &str) -> Vec<u8> {
    // {"serial": …, "delta": …, "ip": …, "ts": …}
    hex(&format!("84 a6 73657269616c {serial} a5 64656c7461 {delta} a2 6970 {ip} a2 7473 {ts}"))
}

const POSITIVE: &str = "a8 706f736974697665";
const IP: &str = "a7 312e322e332e34"; // 1.2.3.4
const TS: &str = "ce 6b01fa83";

fn parse_delta(payload: &[u8]) -> Result<Delta<'_>, WireError> {
    match parse(&[TOPIC_DELTA.as_bytes(), payload])? {
        Published::Delta(delta) => Ok(delta),
        other => panic!("{other:?}"),
    }
}

#[test]
fn integers_of_every_width_are_taken() {
    let table = [
        ("07", 7),
        ("cc 07", 7),
        ("cd 0007", 7),
        ("ce 00000007", 7),
        ("cf 0000000000000007", 7),
        ("d0 07", 7),
        ("d1 0007", 7),
        ("d2 00000007", 7),
        ("d3 0000000000000007", 7),
        ("cd 03e9", 1001),
        ("cf ffffffffffffffff", u64::MAX),
    ];
    for (serial, expected) in table {
        assert_eq!(parse_delta(&delta(serial, POSITIVE, IP, TS)).map(|delta| delta.serial), Ok(expected), "{serial}");
    }
}

#[test]
fn malformed_payloads_are_refused_by_name() {
    let unsigned = |key, found| WireError::Type { key, expected: "an unsigned integer", found };
    let text = |key, found| WireError::Type { key, expected: "a text in UTF-8", found };
    let table = [
        (delta("ff", POSITIVE, IP, TS), unsigned("serial", "a negative integer")),
        (delta("d3 ffffffffffffffff", POSITIVE, IP, TS), unsigned("serial", "a negative integer")),
        (delta("ca 40000000", POSITIVE, IP, TS), unsigned("serial", "a float")),
        (delta("a1 37", POSITIVE, IP, TS), unsigned("serial", "a text")),
        (delta("c0", POSITIVE, IP, TS), unsigned("serial", "nil")),
        (delta("07", "c3", IP, TS), text("delta", "a boolean")),
        (delta("07", "a2 6f6b", IP, TS), WireError::Sign("ok".into())),
        (delta("07", POSITIVE, "91 07", TS), text("ip", "an array")),
        (delta("07", POSITIVE, "c4 01 07", TS), text("ip", "binary data")),
        (delta("07", POSITIVE, "a1 ff", TS), text("ip", "a text that is not UTF-8")),
        (delta("07", POSITIVE, IP, "d6 ff 00000000"), unsigned("ts", "an extension")),
        (hex("80"), WireError::Missing("delta")),
        (hex("81 a5 64656c7461 a8 706f736974697665"), WireError::Missing("serial")),
        (hex("93 01 02 03"), WireError::NotAMap("an array")),
        (hex("07"), WireError::NotAMap("an unsigned integer")),
        (hex("c1"), WireError::Broken(Broken::Unused { at: 0 })),
        (hex("81 a1 61 c1"), WireError::Broken(Broken::Unused { at: 3 })),
        (hex(""), WireError::Broken(Broken::Truncated)),
        (hex("df ffffffff"), WireError::Broken(Broken::Truncated)),
        (hex("81 a1 61 dd ffffffff"), WireError::Broken(Broken::Truncated)),
        (hex("81 a1 61 db ffffffff 61"), WireError::Broken(Broken::Truncated)),
        (hex("80 00"), WireError::Trailing(1)),
    ];
    for (payload, error) in table {
        assert_eq!(parse_delta(&payload), Err(error.clone()), "{payload:02x?}");
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn every_cut_of_a_message_is_refused() {
    let whole = delta("cd 03e9", POSITIVE, IP, TS);
    assert!(parse_delta(&whole).is_ok());
    for length in 0..whole.len() {
        let cut = parse_delta(&whole[..length]);
        assert!(matches!(cut, Err(WireError::Broken(Broken::Truncated))), "{length}: {cut:?}");
    }
}

#[test]
fn frames_and_topics() {
    let payload = delta("07", POSITIVE, IP, TS);
    let refused = |frames: &[&[u8]]| parse(frames).map(|_| ()).map_err(|error| error.to_string());
    let count = |count| Err(format!("a message of {count} frames, DynFW's have 2: topic and payload"));
    assert_eq!(refused(&[]), count(0));
    assert_eq!(refused(&[b"dynfw/delta"]), count(1));
    assert_eq!(refused(&[b"dynfw/delta", &payload, b""]), count(3));
    for topic in [&b"dynfw/deltas"[..], b"dynfw", b"", b"\xff\xfe", b"DYNFW/DELTA"] {
        assert!(matches!(parse(&[topic, &payload]), Err(WireError::Topic(_))), "{topic:?}");
    }
    let long = [b'\n'; 200];
    let Err(WireError::Topic(shown)) = parse(&[&long, b""]) else { panic!("a topic of newlines") };
    assert_eq!(&*shown, format!("{}…", "\\n".repeat(40)), "fit for a line of a log");
}

#[test]
fn unknown_keys_are_ignored_however_deep() {
    // {"x": [[…]], 7: nil, "serial": 7, …}: an array in an array, a thousand deep, and an odd key.
    let mut payload = hex("86 a1 78");
    payload.extend([0x91].repeat(1000));
    payload.extend(hex("c0 07 c0"));
    payload.extend(delta("07", POSITIVE, IP, TS).split_off(1));
    let parsed = parse_delta(&payload);
    assert_eq!(parsed.map(|delta| (delta.serial, delta.ip.to_owned())), Ok((7, "1.2.3.4".to_owned())));
}

#[test]
fn events_are_read() {
    let event = BTreeMap::from([("event", "telnet_login"), ("ip", "1.2.3.4")]);
    let missing = rmp_serde::to_vec_named(&event).unwrap();
    assert_eq!(parse(&[b"dynfw/event", &missing]).map(|_| ()), Err(WireError::Missing("ts")));
    let whole = hex("83 a5 6576656e74 a3 666f6f a2 6970 a7 312e322e332e34 a2 7473 07");
    let Ok(Published::Event(event)) = parse(&[b"dynfw/event", &whole]) else { panic!("an event") };
    assert_eq!(event, Sighting { event: "foo", ip: "1.2.3.4", ts: 7 });
}

#[test]
fn addresses_and_rubbish() {
    let good = [("1.2.3.4", "1.2.3.4"), ("2001:DB8::1", "2001:db8::1"), ("::ffff:192.0.2.1", "192.0.2.1")];
    for (text, expected) in good {
        assert_eq!(parse_address(text).map(|address| address.to_string()), Ok(expected.to_owned()));
    }
    for text in ["", "1.2.3", "1.2.3.4/32", " 1.2.3.4", "1.2.3.04", "256.1.1.1", "host", "fe80::1%eth0", "1.2.3.4\0"] {
        assert!(parse_address(text).is_err(), "{text:?}");
    }
    // Rubbish in a list costs the one entry: {"version", "serial", "ts", "list": ["1.2.3.4", 7, [[]], "x", "::1"]}.
    let list = hex(
        "84 a7 76657273696f6e 00 a6 73657269616c 09 a2 7473 07 a4 6c697374 95 a7 312e322e332e34 07 91 90 a1 78 a3 3a3a31",
    );
    let Ok(Published::List(list)) = parse(&[b"dynfw/list", &list]) else { panic!("a list") };
    let addresses: Vec<_> = list.addresses.map(|address| address.map_err(|error| error.to_string())).collect();
    let refused = |text: &str| Err(format!("\"{text}\" is no IPv4 or IPv6 address"));
    assert_eq!(
        addresses,
        [
            Ok("1.2.3.4".parse().unwrap()),
            refused("an unsigned integer"),
            refused("an array"),
            refused("x"),
            Ok("::1".parse().unwrap()),
        ]
    );
}

#[test]
fn a_lying_length_reserves_nothing() {
    let Err(error) = parse(&[b"dynfw/list", &hex("81 a4 6c697374 dd ffffffff")]) else { panic!("refused") };
    assert_eq!(error, WireError::Broken(Broken::Truncated));
    let mut payload = hex("84 a7 76657273696f6e 00 a6 73657269616c 09 a2 7473 07 a4 6c697374 dd 00010000");
    payload.extend([0].repeat(0x10000));
    let Ok(Published::List(list)) = parse(&[b"dynfw/list", &payload]) else { panic!("a list of zeros") };
    assert_eq!(list.addresses.most_v4(), 0x10000 / 8);
    assert_eq!(list.addresses.filter(Result::is_err).count(), 0x10000);
}

/// A list as a server in another language may write it, keys in any order that serde gives them.
#[derive(Serialize, Debug, Clone)]
struct Written {
    extra: Option<Vec<BTreeMap<String, f64>>>,
    ts: u64,
    list: Vec<String>,
    serial: u64,
    note: String,
    version: u64,
}

proptest! {
    #[test]
    fn what_rmp_serde_writes_is_read(
        addresses in prop::collection::vec(any::<u128>().prop_map(|bits| if bits % 3 == 0 {
            std::net::Ipv6Addr::from(bits).to_string()
        } else {
            std::net::Ipv4Addr::from(u32::try_from(bits >> 96).unwrap()).to_string()
        }), 0..300),
        serial: u64, version: u64, ts: u64, note: String,
        extra in prop::option::of(prop::collection::vec(prop::collection::btree_map(any::<String>(), any::<f64>(), 0..4), 0..4)),
    ) {
        let written = Written { extra, ts, list: addresses.clone(), serial, note, version };
        let payload = rmp_serde::to_vec_named(&written).unwrap();
        let Ok(Published::List(list)) = parse(&[b"dynfw/list", &payload]) else { panic!("refused") };
        prop_assert_eq!((list.serial, list.version, list.ts), (serial, version, ts));
        prop_assert!(list.addresses.most_v4() >= addresses.len() || addresses.iter().any(|text| text.len() < 7));
        let read: Vec<_> = list.addresses.map(|address| address.ok()).collect();
        let expected: Vec<Option<IpAddr>> =
            addresses.iter().map(|text| text.parse::<IpAddr>().ok().map(|address| address.to_canonical())).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn no_bytes_panic(topic in 0..3usize, payload: Vec<u8>) {
        let topic = [TOPIC_LIST, TOPIC_DELTA, TOPIC_EVENT][topic];
        if let Ok(Published::List(list)) = parse(&[topic.as_bytes(), &payload]) {
            prop_assert!(list.addresses.count() <= payload.len());
        }
    }
}
