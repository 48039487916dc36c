//! Tables of values, the accepted and the refused, with the sentence for each refusal.

use super::*;

fn refusal<T: std::fmt::Debug>(result: Checked<T>) -> String {
    result.expect_err("a refusal").to_string()
}

#[test]
fn booleans() {
    for (texts, expected) in [(["1", "on", "yes", "true"], true), (["0", "off", "no", "false"], false)] {
        for text in texts {
            assert_eq!(boolean(text), Ok(expected), "{text}");
        }
    }
    for text in ["2", "On", "enabled", " 1", "", "01"] {
        assert!(refusal(boolean(text)).ends_with("is neither yes nor no; write 1/0, on/off, yes/no or true/false"));
    }
    assert!(refusal(boolean("maybe")).starts_with("maybe is neither"));
    assert!(refusal(boolean("a b")).starts_with("\"a b\" is neither"));
    assert!(refusal(boolean("")).starts_with("\"\" is neither"));
}

#[test]
fn durations() {
    let table = [("90", 90), ("30s", 30), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600), ("0", 0)];
    for (text, expected) in table {
        assert_eq!(duration(text), Ok(Duration::from_secs(expected)), "{text}");
    }
    assert_eq!(duration("3650d"), Ok(Duration::from_secs(MAX_DURATION.into())));
    for text in ["", "h", "-1h", "+1h", "1.5h", "1h30m", "1 h", "1H", "1y", "１h", "0x10"] {
        let said = refusal(duration(text));
        assert!(
            said.contains("is no duration; write seconds, or a whole number with s, m, h, d or w"),
            "{text}: {said}"
        );
    }
    for text in ["3651d", "315360001", "99999999999999999999", "4294967295w"] {
        assert_eq!(refusal(duration(text)), format!("{text} is too long; at most 3650d (ten years) are accepted"));
    }
    assert_eq!(refusal(positive_duration("0h")), "0h is too short; the least is 1s");
    assert_eq!(lifetime("0"), Ok(Lifetime::Forever));
    assert_eq!(lifetime("1h"), Ok(Lifetime::Seconds(3600)));
}

#[test]
fn networks() {
    for text in ["192.0.2.7/32", "203.0.113.0/24", "0.0.0.0/0", "::/0", "2001:db8::/32", "2001:db8::7/128"] {
        assert_eq!(net(text).expect(text).to_string(), text);
    }
    assert_eq!(net("192.0.2.7").expect("an address").to_string(), "192.0.2.7/32");
    assert_eq!(net("2001:db8::7").expect("an address").to_string(), "2001:db8::7/128");
    let forms = "; write one such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32";
    let table = [
        (
            "203.0.113.7/24",
            "203.0.113.7/24 has host bits set; write 203.0.113.0/24 for the network or 203.0.113.7 for the address",
        ),
        (
            "2001:db8::7/32",
            "2001:db8::7/32 has host bits set; write 2001:db8::/32 for the network or 2001:db8::7 for the address",
        ),
        (
            "example.org",
            &format!(
                "example.org is neither an address nor a network (a host name may stand in option ip of a config allow or block alone){forms}"
            ),
        ),
        (
            "010.0.0.1",
            &format!("010.0.0.1 is neither an address nor a network (leading zeros are not accepted){forms}"),
        ),
        (
            "fe80::1%eth0",
            &format!(
                "fe80::1%eth0 is neither an address nor a network (a zone index such as %eth0 is not accepted){forms}"
            ),
        ),
        ("192.0.2", &format!("192.0.2 is neither an address nor a network{forms}")),
        ("", &format!("\"\" is neither an address nor a network{forms}")),
        ("192.0.2.7\n", &format!("\"192.0.2.7\\n\" is neither an address nor a network{forms}")),
        (
            "host/24",
            &format!(
                "host/24 is no network (a host name may stand in option ip of a config allow or block alone){forms}"
            ),
        ),
        ("192.0.2.0/33", "192.0.2.0/33 has no prefix length from 0 to 32 after the /"),
        ("2001:db8::/129", "2001:db8::/129 has no prefix length from 0 to 128 after the /"),
        ("192.0.2.0/", "192.0.2.0/ has no prefix length from 0 to 32 after the /"),
        ("192.0.2.0/+24", "192.0.2.0/+24 has no prefix length from 0 to 32 after the /"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/255.255.255.0 has no prefix length from 0 to 32 after the /"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7 is an IPv4 address in IPv6 form; write 192.0.2.7"),
    ];
    for (text, expected) in table {
        assert_eq!(refusal(net(text)), expected, "{text:?}");
    }
}

#[test]
fn addresses() {
    assert_eq!(address("192.0.2.7"), Ok("192.0.2.7".parse().expect("an address")));
    assert_eq!(refusal(address("192.0.2.0/24")), "192.0.2.0/24 is a network; write a single address such as 192.0.2.7");
    assert_eq!(
        refusal(address("router.lan")),
        "router.lan is no address (a host name may stand in option ip of a config allow or block alone); write one such as 192.0.2.7 or 2001:db8::7"
    );
}

#[test]
fn ports() {
    assert_eq!(port("1"), Ok(1));
    assert_eq!(port("65535"), Ok(65535));
    for text in ["0", "70000", "-1", "+80", "ssh", "", "80 "] {
        assert!(refusal(port(text)).ends_with("is no port; write a number from 1 to 65535"), "{text}");
    }
    assert_eq!(port_range("22"), Ok(PortRange { first: 22, last: 22 }));
    assert_eq!(port_range("6000-6010"), Ok(PortRange { first: 6000, last: 6010 }));
    assert_eq!(refusal(port_range("6010-6000")), "6010-6000 goes down; write 6000-6010");
    for text in ["0-5", "1-70000", "1-2-3", "-", "22-", "22:25", "ssh", ""] {
        assert!(
            refusal(port_range(text)).contains("is neither a port nor a range of ports; write 22 or 6000-6010"),
            "{text}"
        );
    }
}

#[test]
fn numbers() {
    assert_eq!(number("5", 1, 5), Ok(5));
    for text in ["0", "6", "+5", "", "5.0", "4294967296"] {
        assert!(refusal(number(text, 1, 5)).ends_with("is no whole number from 1 to 5"), "{text}");
    }
}

#[test]
fn comments() {
    for text in ["", "office", "it's \"quoted\"; # $(x)", "kancelář", &"x".repeat(TAG_MAX)] {
        assert_eq!(comment(text).as_deref(), Ok(text));
    }
    for text in ["a\nb", "a\tb", "\u{7f}", "\u{1b}[31m", "\u{85}"] {
        let said = refusal(comment(text));
        assert!(
            said.contains("has a line end or another control character in it; a comment is one line of text"),
            "{said}"
        );
        assert!(!said.chars().any(char::is_control), "{said:?}");
    }
    assert!(refusal(comment(&"é".repeat(61))).ends_with("is 122 bytes long; a comment has at most 120"));
}

#[test]
fn servers() {
    for text in [
        "sentinel.turris.cz",
        "diswall.stream",
        "localhost",
        "a_b.example.",
        "192.0.2.1",
        "2001:db8::1",
        "1.example.org",
    ] {
        assert_eq!(server(text).as_deref(), Ok(text));
    }
    let long = "a".repeat(64);
    for text in [
        "",
        "-a.org",
        "a-.org",
        "a..b",
        "host:80",
        "[::1]",
        "192.0.2.256",
        "192.0.2",
        "a b",
        "tcp://host",
        &long,
        "é.org",
    ] {
        assert!(refusal(server(text)).contains("is neither a host name nor an address"), "{text}");
    }
}

#[test]
fn urls() {
    for text in [
        "https://repo.turris.cz/sentinel/dynfw.pub",
        "https://host",
        "https://host:8443/a?b=c#d",
        "https://[2001:db8::1]:8443/key",
        "https://192.0.2.1/key",
    ] {
        assert_eq!(https_url(text).as_deref(), Ok(text));
    }
    for text in [
        "",
        "http://host/key",
        "HTTPS://host/",
        "https://",
        "https:///key",
        "https://ho st/",
        "https://host/a b",
        "https://host/\"",
        "https://host:0/",
        "https://host:x/",
        "https://user@host/",
        "https://host/é",
        "-O/etc/passwd",
    ] {
        let said = refusal(https_url(text));
        assert!(
            said.ends_with("is not accepted; write an address such as https://host.example.org/file"),
            "{text}: {said}"
        );
    }
}

#[test]
fn names() {
    for text in ["wan", "wan6", "guest_wifi", "vpn-1"] {
        assert_eq!(zone(text).as_deref(), Ok(text));
    }
    for text in ["", "wan lan", "*", "-x", "a\"b", "a/b", "{"] {
        assert!(refusal(zone(text)).contains("is no name of a zone"), "{text}");
    }
    for text in ["eth0", "pppoe-wan", "br-lan.10", "a23456789012345"] {
        assert_eq!(device(text).as_deref(), Ok(text));
    }
    for text in ["", ".", "..", "eth 0", "eth*", "eth0@if2", "a/b", "eth\"", "a234567890123456"] {
        assert!(refusal(device(text)).contains("is no name of a network device"), "{text}");
    }
}

#[test]
fn names_of_sections() {
    for text in ["a", "drop_v4", "0123456789abcde"] {
        assert_eq!(section_name(text).as_deref(), Ok(text));
    }
    for text in ["", "Drop", "a-b", "a.b", "é", "a b", "0123456789abcdef"] {
        assert!(refusal(section_name(text)).ends_with("is no name for it; write 1 to 15 of a to z, 0 to 9 and _"));
    }
}

#[test]
fn paths() {
    assert_eq!(path("/var/lib/diswall"), Ok(PathBuf::from("/var/lib/diswall")));
    for text in ["", "var/lib", "./x", "/var/../etc", "/a\nb"] {
        assert!(refusal(path(text)).contains("write an absolute path without .."), "{text}");
    }
}

#[test]
fn words() {
    assert_eq!(action("reject"), Ok(Action::Reject));
    assert_eq!(refusal(action("allow")), "allow is no action; write drop or reject");
    assert_eq!(direction("src-dst"), Ok(Direction::SrcDst));
    assert_eq!(refusal(direction("dst")), "dst is no direction; write src or src-dst");
    assert_eq!(proto("icmp"), Ok(Proto::Icmp));
    assert_eq!(refusal(proto("6")), "6 is no protocol; write any, tcp, udp or icmp");
}

#[test]
fn a_long_value_is_cut_in_the_message() {
    let said = refusal(boolean(&"é".repeat(5000)));
    assert!(said.len() < 400, "{said}");
    assert!(said.contains('…'));
}
