//! Lists against tables, against a naive reader that has the whole file, and cut into pieces anywhere.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use ipnet::IpNet;
use proptest::prelude::*;

use super::read::{Count, LINE_MAX, Reason};
use super::{Format, Item, Reader, Summary, Verdict};
use crate::model::{Family, Range, Special, special};

fn format(name: &str) -> Format {
    name.parse().unwrap()
}

fn range(item: &Item<'_>) -> Option<Range> {
    match item {
        Item::Range(range, _) => Some(*range),
        Item::Name(_) => None,
    }
}

/// Reads a file in pieces of these lengths, over and over; the last is the rest.
fn read_in(format: Format, file: &[u8], pieces: &[usize]) -> (Summary, Vec<Range>) {
    let mut reader = Reader::new(format);
    let mut ranges = Vec::new();
    let mut rest = file;
    for length in pieces.iter().cycle() {
        let (piece, behind) = rest.split_at(rest.len().min(*length));
        reader.push(piece, &mut |item| ranges.extend(range(&item)));
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    let summary = reader.finish(&mut |item| ranges.extend(range(&item)));
    (summary, ranges)
}

fn read(name: &str, file: impl AsRef<[u8]>) -> (Summary, Vec<Range>) {
    let file = file.as_ref();
    let whole = read_in(format(name), file, &[usize::MAX]);
    for pieces in [&[1][..], &[2, 3, 5, 7, 11], &[64], &[4095, 2]] {
        assert_eq!(read_in(format(name), file, pieces), whole, "in pieces of {pieces:?}");
    }
    whole
}

fn text(range: &Range) -> String {
    match range.nets().as_slice() {
        [net] if net.prefix_len() == net.max_prefix_len() => net.addr().to_string(),
        [net] => net.to_string(),
        _ => format!("{}-{}", range.first, range.last),
    }
}

/// What a file holds, and in which form it was read.
#[track_caller]
fn holds(name: &str, file: &str, taken: &str, entries: &[&str]) {
    let (summary, ranges) = read(name, file);
    assert_eq!(summary.verdict, Verdict::Usable, "{summary:?}");
    assert_eq!(summary.format.to_string(), taken);
    assert_eq!(ranges.iter().map(text).collect::<Vec<_>>(), entries);
    assert_eq!(summary.refused(), 0, "{:?}", summary.shown);
}

/// What becomes of one line, beside one that is good.
#[track_caller]
fn line(name: &str, text: &str) -> (Summary, Vec<Range>) {
    let good = match name {
        "spamhaus" => "{\"cidr\":\"9.9.9.9/32\"}\n{\"cidr\":\"9.9.9.9/32\"}\n{\"type\":\"metadata\",\"records\":2}\n",
        "dshield" => "Start\tEnd\n9.9.9.9\t9.9.9.9\t32\n9.9.9.9\t9.9.9.9\t32\n",
        "csv:2" => "x,9.9.9.9\nx,9.9.9.9\n",
        "rir:CZ" => "ripencc|CZ|ipv4|9.9.9.9|1|2|assigned\nripencc|CZ|ipv4|9.9.9.9|1|2|assigned\n",
        "suricata" => "drop (content:\"9.9.9.9\";)\ndrop (content:\"9.9.9.9\";)\n",
        _ => "9.9.9.9\n9.9.9.9\n",
    };
    let (summary, ranges) = read(name, format!("{good}{text}\n"));
    (summary, ranges.into_iter().skip(2).collect())
}

#[track_caller]
fn refused(name: &str, lines: &[&str], reason: Reason) {
    for text in lines {
        let (summary, ranges) = line(name, text);
        assert_eq!(ranges, [], "{text:?}");
        assert_eq!(summary.shown.iter().map(|line| line.reason).collect::<Vec<_>>(), [reason], "{text:?}");
        assert_eq!(summary.refused[reason as usize], 1);
        assert_eq!(summary.verdict, Verdict::Usable);
    }
}

#[test]
fn plain_lists_are_read_with_all_that_stands_around() {
    holds(
        "auto",
        "\u{feff}# a list\r\n; of old\r\n// and new\r\n\r\n192.0.2.1\r\n192.0.2.0/24 # a network\n\
         \t198.51.100.7\t12\t3\n203.0.113.5;SBL1\n203.0.113.6#x\n203.0.113.8/30 ; SBL2\n203.0.113.7//x\n\
         2001:db8::1\n2001:DB8:5::/48 // x\n192.0.2.9-192.0.2.20\n192.0.2.9 - 192.0.2.10 # two\n\
         203.0.113.9 - somebody\n203.0.113.1:8080\n[2001:db8::2]:443\n[2001:db8::3]\n64:ff9b::192.0.2.1\n\
         192.0.2.77/32\n9.9.9.9",
        "plain",
        &[
            "192.0.2.1",
            "192.0.2.0/24",
            "198.51.100.7",
            "203.0.113.5",
            "203.0.113.6",
            "203.0.113.8/30",
            "203.0.113.7",
            "2001:db8::1",
            "2001:db8:5::/48",
            "192.0.2.9-192.0.2.20",
            "192.0.2.9-192.0.2.10",
            "203.0.113.9",
            "203.0.113.1",
            "2001:db8::2",
            "2001:db8::3",
            "64:ff9b::c000:201",
            "192.0.2.77",
            "9.9.9.9",
        ],
    );
}

#[test]
fn columns_are_found_and_can_be_named() {
    let turris = "# Turris\n# more\nAddress,Tags\n192.0.2.1,ssh\n192.0.2.2,\"smtp,ssh\"\n";
    for name in ["auto", "csv", "csv:1"] {
        holds(name, turris, "csv:1", &["192.0.2.1", "192.0.2.2"]);
    }
    let quoted = "\"first seen\",\"a, b\",\"dst_ip\",\"port\"\n\"2026-01-01\",\"x, y\",\"192.0.2.1\",\"443\"\n\
                  \"2026-01-01\", \"x\" , \"2001:db8::/32\" ,\"443\"\n";
    for name in ["auto", "csv:3"] {
        holds(name, quoted, "csv:3", &["192.0.2.1", "2001:db8::/32"]);
    }
    let semicolons = "name;ip\n;192.0.2.1\nx;192.0.2.2;\n";
    holds("csv:2:;", semicolons, "csv:2:;", &["192.0.2.1", "192.0.2.2"]);
    holds("auto", "x;192.0.2.2\n", "csv:2:;", &["192.0.2.2"]);
    holds("csv:2:tab", "x\t192.0.2.2\ty\n", "csv:2:tab", &["192.0.2.2"]);
    refused("csv:2", &["192.0.2.1", "x", "a,b", "192.0.2.1,", "x,\"192.0.2.1", ",,"], Reason::NoAddress);
}

const DROP: &str = "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"SBL1\",\"rir\":\"apnic\"}\n\
    {\"cidr\":\"198.51.100.0\\/24\",\"sblid\":\"SBL\\\"2\"}\n{ \"sblid\" : 3 , \"cidr\" : \"2001:db8::/32\" }\n";

#[test]
fn spamhaus_lists_tell_whether_they_are_whole() {
    let whole = format!("{DROP}{{\"type\":\"metadata\",\"timestamp\":1,\"size\":9,\"records\":3,\"terms\":\"x\"}}\n");
    for name in ["auto", "spamhaus"] {
        holds(name, &whole, "spamhaus", &["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"]);
    }
    // A repeated line, and both families behind one another.
    holds(
        "auto",
        &whole.repeat(2),
        "spamhaus",
        &["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32", "192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"],
    );
    assert_eq!(read("auto", DROP).0.verdict, Verdict::CutRecords);
    let few = whole.replace("\"records\":3", "\"records\":4");
    assert_eq!(read("auto", few).0.verdict, Verdict::FewRecords { said: 4, found: 3 });
    // Records that are refused or left out are records.
    let odd = whole.replace("192.0.2.0/24", "10.0.0.0/8").replace("2001:db8::/32", "192.0.2.0/33");
    assert_eq!(read("auto", odd).0.verdict, Verdict::Usable);
    // Metadata without a number says nothing.
    let mute = format!("{DROP}{{\"type\":\"metadata\"}}");
    assert_eq!(read("auto", mute).0.verdict, Verdict::CutRecords);
    refused(
        "spamhaus",
        &["192.0.2.1", "{\"asn\":1}", "{\"cidr\":[\"192.0.2.1\"]}", "{\"cidr\":\"192.0.2.1\"", "{}", "{\"a\":{}}"],
        Reason::NoRecord,
    );
    refused("spamhaus", &["{\"cidr\":\"x\"}", "{\"cidr\":null}", "{\"cidr\":\"\"}"], Reason::NoAddress);
}

#[test]
fn dshield_lists_are_networks_by_length() {
    let list = "# DShield\n#\nStart\tEnd\tNetmask\tAttacks\tName\n192.0.2.0\t192.0.2.255\t24\t4711\tEXAMPLE\tCZ\n\
                198.51.100.0\t198.51.100.255\t24\t1\t\t\t\n";
    for name in ["auto", "dshield"] {
        holds(name, list, "dshield", &["192.0.2.0/24", "198.51.100.0/24"]);
    }
    refused("dshield", &["192.0.2.0\t192.0.2.127\t24", "192.0.2.0\t2001:db8::\t24"], Reason::Reversed);
    refused("dshield", &["192.0.2.0\t192.0.2.255\t33", "192.0.2.0\t192.0.2.255\tx"], Reason::Prefix);
    refused("dshield", &["192.0.2.0 192.0.2.255 24"], Reason::NoAddress);
}

#[test]
fn ranges_may_have_names() {
    let list = "# PeerGuardian\nSome Firm, Inc.:192.0.2.4-192.0.2.9\nhttp://x:198.51.100.0-198.51.100.255\n\
                v6 2:2001:db8::1-2001:db8::ff\n203.0.113.9-203.0.113.9\n2001:db8::1-2001:db8::2\n\
                203.0.113.0 - 203.0.113.2 , 000 , emule\n";
    for name in ["auto", "ranges"] {
        holds(
            name,
            list,
            "ranges",
            &[
                "192.0.2.4-192.0.2.9",
                "198.51.100.0/24",
                "2001:db8::1-2001:db8::ff",
                "203.0.113.9",
                "2001:db8::1-2001:db8::2",
                "203.0.113.0-203.0.113.2",
            ],
        );
    }
    refused("ranges", &["x:192.0.2.9-192.0.2.4", "x:192.0.2.9-2001:db8::"], Reason::Reversed);
    refused("ranges", &["x:1-2", "some words", ":::::", &":".repeat(4000)], Reason::NoAddress);
    refused("ranges", &["192.000.002.004 - 192.000.002.009 , 000 , x"], Reason::LeadingZero);
}

const RIR: &str = "2|ripencc|1790000000|9|19830705|20260101|+0100\nripencc|*|ipv4|*|3|summary\n\
    ripencc|*|asn|*|1|summary\nripencc|CZ|asn|64496|1|20200101|allocated|x\n\
    ripencc|CZ|ipv4|192.0.2.0|768|20200101|allocated|x\nripencc|SK|ipv4|198.51.100.0|256|20200101|assigned|y\n\
    ripencc|CZ|ipv6|2001:db8::|32|20200101|allocated|x\nripencc||ipv4|203.0.113.0|256||available|\n\
    ripencc|CZ|ipv4|203.0.113.0|256||reserved|\n";

#[test]
fn registries_files_are_read_by_country() {
    holds("rir:CZ", RIR, "rir:CZ", &["192.0.2.0-192.0.4.255", "2001:db8::/32"]);
    holds("rir", RIR, "rir", &["192.0.2.0-192.0.4.255", "198.51.100.0/24", "2001:db8::/32"]);
    let (summary, ranges) = read("auto", RIR);
    assert_eq!((summary.verdict, ranges.len()), (Verdict::NoCountry, 0));
    assert_eq!(read("rir:DE", RIR).0.verdict, Verdict::Nothing);
    refused(
        "rir:CZ",
        &[
            "ripencc|CZ|ipv4|255.255.255.0|257|2|assigned",
            "ripencc|CZ|ipv4|9.9.9.9|0|2|assigned",
            "ripencc|CZ|ipv4|9.9.9.9|4294967296|2|assigned",
            "ripencc|CZ|ipv6|2001:db8::|129|2|assigned",
        ],
        Reason::Prefix,
    );
    refused("rir:CZ", &["ripencc|CZ|ipv6|9.9.9.9|1|2|assigned"], Reason::Reversed);
    refused("rir:CZ", &["9.9.9.9", "ripencc|CZ|ipv4|x|1|2|assigned", "ripencc|CZ|ipv4"], Reason::NoAddress);
    refused("rir:CZ", &["ripencc|CZ|ipv4|16.0.0.0|16777217|2|allocated"], Reason::TooWide);
}

#[test]
fn rules_of_suricata_give_what_they_look_for() {
    let list = "# URLhaus\nalert http $HOME_NET any -> $EXTERNAL_NET any (msg:\"a; content:\\\"9.9.9.9\\\"\"; \
        flow:established,from_client; content:\"GET\"; http_method; content:\"192.0.2.1\"; http_host; sid:1; rev:1;)\n\
        alert tls any any -> any any (msg:\"name\"; content:\"example.com\"; sid:2;)\n\
        drop http any any -> any any (content:!\"192.0.2.2\"; content: \"192.0.2.3:8080\"; content:\"2001:db8::1\";)\n\
        #alert http any any -> any any (content:\"192.0.2.4\";)\npass ip any any -> any any (content:\"192.0.2.5\";)\n\
        alert http any any -> any any (content:\"192.0.2.6 \"; nocase; pcre:\"/192.0.2.7/\";)\n";
    for name in ["auto", "suricata"] {
        holds(name, list, "suricata", &["192.0.2.1", "192.0.2.3", "2001:db8::1"]);
    }
    refused("suricata", &["192.0.2.1", "content:\"192.0.2.1\"", "drop x"], Reason::NoAddress);
}

#[test]
fn lines_that_mean_something_else_are_refused_with_the_reason() {
    for name in ["plain", "auto", "csv", "ranges"] {
        refused(
            name,
            &[
                "1.2.3",
                "1.2.3.4.5",
                "256.1.1.1",
                "example.com",
                "http://192.0.2.1/x",
                "192.0.2.1x",
                "192.0.2.1,x",
                "fe80::1%eth0",
                "192.0.2.1:",
                "192.0.2.1:65536",
                "192.0.2.1:1:1",
                "1:2:3:4:5:6:7:8:9",
                "2001:db8:::1",
                "192.0.2.1-",
                "192.0.2.1-9",
                "192.0.2.1/24/24",
                "[2001:db8::1",
                "[192.0.2.1]",
                "404: Not Found",
                "0x7f.1",
                "192.0.2.1 192.0.2.2,",
                "AS64496",
                "\u{661}.2.3.4",
                "192.0.2.1\u{a0}",
            ]
            .into_iter()
            .filter(|text| !(name == "csv" && text.contains(',') || text.starts_with("192.0.2.1 ")))
            .collect::<Vec<_>>(),
            Reason::NoAddress,
        );
        refused(name, &["192.0.2.01", "010.1.1.1", "00.0.0.0", "192.0.2.0/024", "2001:db8::/032"], Reason::LeadingZero);
        refused(
            name,
            &["::ffff:192.0.2.1", "::ffff:c000:201", "[::ffff:192.0.2.1]:80", "::ffff:192.0.2.0/120"],
            Reason::Mapped,
        );
        refused(
            name,
            &["00:11:22:33:44:55", "00-11-22-33-44-55 x", "aa:bb:cc:dd:ee:ff 192.0.2.1", "02:11:22:ff:fe:33:44:55"],
            Reason::Mac,
        );
        refused(
            name,
            &[
                "0.0.0.0/0",
                "1.0.0.0/7",
                "128.0.0.0/1",
                "::/0",
                "2000::/3",
                "2000::/15",
                "1.0.0.0-2.0.0.0",
                "2001::-2002::",
            ],
            Reason::TooWide,
        );
        refused(
            name,
            &[
                "192.0.2.0/33",
                "192.0.2.0/",
                "192.0.2.0/x",
                "2001:db8::/129",
                "192.0.2.0/255.255.255.0",
                "192.0.2.0/999",
            ],
            Reason::Prefix,
        );
        refused(name, &["192.0.2.9-192.0.2.1", "192.0.2.9-2001:db8::1"], Reason::Reversed);
        refused(name, &[&"x".repeat(LINE_MAX + 1), &format!("192.0.2.1 {}", " x".repeat(1 << 14))], Reason::TooLong);
    }
    let (summary, ranges) = line("plain", &format!("192.0.2.1{}", " ".repeat(LINE_MAX - 9)));
    assert_eq!((summary.refused(), ranges.len()), (0, 1));
}

#[test]
fn the_widest_that_is_taken() {
    for (text, entry) in [("12.0.0.0/8", "12.0.0.0/8"), ("2a00::/16", "2a00::/16"), ("1.2.3.4/8", "1.0.0.0/8")] {
        let (_, ranges) = line("plain", text);
        assert_eq!(ranges.iter().map(self::text).collect::<Vec<_>>(), [entry]);
    }
    assert_eq!(line("plain", "192.0.2.1/24\n2001:db8::1/64\n192.0.2.0/24").0.masked, 2);
}

#[test]
fn what_no_feed_may_ban_is_left_out_and_cut_out() {
    for (text, kinds, taken) in [
        ("10.1.2.3", &[Special::Private][..], &[][..]),
        ("10.0.0.0/8", &[Special::Private], &[]),
        ("224.0.0.0/4", &[Special::Multicast], &[]),
        ("ff00::/8", &[Special::Multicast], &[]),
        ("fc00::/7", &[Special::Private], &[]),
        ("0.0.0.0/8", &[Special::Unspecified], &[]),
        ("127.0.0.1", &[Special::Loopback], &[]),
        ("255.255.255.255", &[Special::Broadcast], &[]),
        ("169.254.0.0/16", &[Special::LinkLocal], &[]),
        ("fe80::1", &[Special::LinkLocal], &[]),
        ("::", &[Special::Unspecified], &[]),
        ("::1", &[Special::Loopback], &[]),
        ("::192.0.2.1", &[Special::Compatible], &[]),
        ("::/96", &[Special::Unspecified, Special::Loopback, Special::Compatible], &[]),
        ("192.168.0.0/15", &[Special::Private], &["192.169.0.0/16"]),
        ("100.0.0.0/8", &[Special::Private], &["100.0.0.0/10", "100.128.0.0/9"]),
        ("9.255.255.255-11.0.0.0", &[], &[]),
        ("255.255.255.254/31", &[Special::Broadcast], &["255.255.255.254"]),
        ("240.0.0.1", &[], &["240.0.0.1"]),
        ("192.0.2.0/24", &[], &["192.0.2.0/24"]),
    ] {
        let (summary, ranges) = line("plain", text);
        let mut expected = [0; Special::ALL.len()];
        kinds.iter().for_each(|kind| expected[*kind as usize] += 1);
        assert_eq!(summary.left_out, expected, "{text}");
        assert_eq!(ranges.iter().map(self::text).collect::<Vec<_>>(), taken, "{text}");
    }
}

#[test]
fn refused_lines_are_shown_clean_short_and_few() {
    let mut file = "9.9.9.9\n".repeat(50);
    file.push_str("\x1b[31m<b>\u{202e}bad\n");
    for number in 0..30 {
        file.push_str(&format!("bad line {number} {}\n", "x".repeat(100)));
    }
    let (summary, _) = read("auto", file);
    assert_eq!((summary.refused(), summary.shown.len()), (31, 10));
    assert_eq!((summary.shown[0].line, summary.shown[0].text.as_str()), (51, "[31m<b>bad"));
    assert!(summary.shown.iter().all(|line| line.text.len() <= 60));
    assert!(summary.shown[1].text.ends_with('…'));
}

fn utf16(text: &str, low_first: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if low_first { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

#[test]
fn what_is_no_list_is_named() {
    let page = "<!DOCTYPE html>\n<html><body>192.0.2.1</body></html>\n";
    let mini = format!("<html>{}", "x".repeat(10_000));
    let mut good = "192.0.2.1\n".repeat(3);
    good.push_str("\0\u{1}\u{2}\n");
    for (file, verdict) in [
        (b"".to_vec(), Verdict::Empty),
        (b"\n\n \n".to_vec(), Verdict::Nothing),
        (b"# only\n# comments\n".to_vec(), Verdict::Nothing),
        (b"10.0.0.1\n".to_vec(), Verdict::Nothing),
        (page.into(), Verdict::Markup),
        (format!("\n# x\n  {page}").into(), Verdict::Markup),
        (mini.into(), Verdict::Markup),
        (b"<?xml version=\"1.0\"?><error/>".to_vec(), Verdict::Markup),
        (b"{\"error\":\"rate limit\",\"ip\":\"192.0.2.1\"}".to_vec(), Verdict::Json),
        (b"{\n  \"error\": \"x\"\n}\n".to_vec(), Verdict::Json),
        (b"[\"192.0.2.1\"]".to_vec(), Verdict::Json),
        (b"[\n\"192.0.2.1\"\n]".to_vec(), Verdict::Json),
        (format!("{{\"data\":\"{}\"}}", "x".repeat(10_000)).into(), Verdict::Json),
        (b"{\"asn\":64496,\"rir\":\"arin\"}\n{\"asn\":64497}\n".to_vec(), Verdict::Json),
        (utf16("\u{feff}192.0.2.1\r\n192.0.2.2\r\n", true), Verdict::Utf16),
        (utf16("\u{feff}192.0.2.1\r\n192.0.2.2\r\n", false), Verdict::Utf16),
        (utf16("192.0.2.1\n192.0.2.2\n", true), Verdict::Utf16),
        (utf16("192.0.2.1\n192.0.2.2\n", false), Verdict::Utf16),
        (b"\x7fELF\x02\x01\x01\0\0\0\0".to_vec(), Verdict::Binary),
        (vec![0; 10_000], Verdict::Binary),
        (b"PK\x03\x04rest".to_vec(), Verdict::Packed("zip")),
        (b"\xfd7zXZ\0\0".to_vec(), Verdict::Packed("xz")),
        (b"BZh91AY".to_vec(), Verdict::Packed("bzip2")),
        (b"\x28\xb5\x2f\xfd\0".to_vec(), Verdict::Packed("zstd")),
        (b"404: Not Found".to_vec(), Verdict::MostlyRefused),
        (b"192.0.2.1\nexample.com\nexample.org\n".to_vec(), Verdict::MostlyRefused),
        (b"0.0.0.0/0\n".to_vec(), Verdict::MostlyRefused),
        (good.into(), Verdict::Usable),
        (b"\x1f".to_vec(), Verdict::Binary),
        (b"\x1fx".to_vec(), Verdict::Binary),
        (b"\x1f\x8b".to_vec(), Verdict::CutPacked),
    ] {
        assert_eq!(read("auto", &file).0.verdict, verdict, "{:?}", String::from_utf8_lossy(&file));
    }
    for name in ["plain", "csv:2", "spamhaus", "dshield", "ranges", "rir", "suricata"] {
        assert_eq!(read(name, page).0.verdict, Verdict::Markup, "{name}");
        assert_eq!(read(name, "{\"error\":1}").0.verdict, Verdict::Json, "{name}");
        assert_eq!(read(name, "").0.verdict, Verdict::Empty);
    }
    assert!(Reader::new(Format::Auto).push(b"192.0.2.1\n<html>", &mut |_| {}));
    assert!(!Reader::new(Format::Auto).push(b"<html>\n192.0.2.1\n", &mut |_| {}));
}

/// Packed by the program that everybody has.
fn gzip(data: &[u8], options: &[&str]) -> Vec<u8> {
    let mut child =
        Command::new("gzip").args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    let mut input = child.stdin.take().unwrap();
    let data = data.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&data));
    let output = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap().unwrap();
    output
}

#[test]
fn packed_lists_are_unpacked_and_checked() {
    let list: String = (0..6000_u32).map(|n| format!("{}\t1\n", Ipv4Addr::from_bits(0x1000_0000 + n * 7919))).collect();
    let (plain, ranges) = read_in(Format::Auto, list.as_bytes(), &[usize::MAX]);
    for level in ["-1", "-9"] {
        let packed = gzip(list.as_bytes(), &[level]);
        let mut expected = plain.clone();
        expected.packed = true;
        for pieces in [&[usize::MAX][..], &[1], &[1000, 7], &[4096]] {
            assert_eq!(read_in(Format::Auto, &packed, pieces), (expected.clone(), ranges.clone()), "{pieces:?}");
        }
        // Cut anywhere near the ends, and at many places between.
        for cut in (2..40).chain((40..packed.len() - 40).step_by(1997)).chain(packed.len() - 40..packed.len()) {
            let (summary, _) = read_in(Format::Auto, &packed[..cut], &[4096]);
            assert_eq!(summary.verdict, Verdict::CutPacked, "cut to {cut}");
        }
        let mut changed = packed.clone();
        let end = changed.len();
        changed[end - 8] ^= 1;
        assert_eq!(read_in(Format::Auto, &changed, &[4096]).0.verdict, Verdict::Damaged);
        changed = packed.clone();
        changed[end - 4] ^= 1;
        assert_eq!(read_in(Format::Auto, &changed, &[4096]).0.verdict, Verdict::Damaged);
        changed = packed.clone();
        changed[end / 2] ^= 0x10;
        assert_eq!(read_in(Format::Auto, &changed, &[4096]).0.verdict, Verdict::Damaged);
    }
}

#[test]
fn members_follow_one_another_and_lines_go_on_in_them() {
    let mut packed = gzip(b"192.0.2.1\n192.", &["-n"]);
    packed.extend(gzip(b"", &[]));
    packed.extend(gzip(b"0.2.2\n", &["-9"]));
    let (summary, ranges) = read("auto", &packed);
    assert_eq!(
        (summary.verdict, ranges.iter().map(text).collect()),
        (Verdict::Usable, vec!["192.0.2.1".to_owned(), "192.0.2.2".to_owned()])
    );
    // Filled up with zeros, which is done; with anything else, which is not.
    packed.extend([0; 30]);
    assert_eq!(read("auto", &packed).0.verdict, Verdict::Usable);
    packed.extend(b"x");
    assert_eq!(read("auto", &packed).0.verdict, Verdict::Damaged);
    assert_eq!(read("auto", gzip(&gzip(b"192.0.2.1\n", &[]), &[])).0.verdict, Verdict::Packed("gzip twice"));
    assert_eq!(read("auto", gzip(b"", &[])).0.verdict, Verdict::Empty);
    assert_eq!(read("auto", gzip(b"<html>", &[])).0.verdict, Verdict::Markup);
}

#[test]
fn heads_with_all_their_fields_are_passed_over() {
    let packed = gzip(b"192.0.2.1\n", &["-n"]);
    let mut head = packed[..10].to_vec();
    head[3] = 2 | 4 | 8 | 16;
    head.extend([5, 0]);
    head.extend(b"extra");
    head.extend(b"a name\0a comment\0");
    head.extend([1, 2]);
    head.extend(&packed[10..]);
    assert_eq!(read("auto", &head).0.verdict, Verdict::Usable);
    for (at, byte) in [(2, 7), (3, 0x20), (3, 0x80)] {
        let mut bad = packed.clone();
        bad[at] = byte;
        assert_eq!(read("auto", bad).0.verdict, Verdict::Damaged);
    }
}

#[test]
fn a_bomb_goes_no_further_than_the_limit() {
    let bomb = gzip(&vec![b'\n'; 20 << 20], &["-9"]);
    assert!(bomb.len() < 40_000);
    for pieces in [usize::MAX, 1, 4096] {
        let mut reader = Reader::new(Format::Auto).at_most(1 << 20);
        let mut calls = 0;
        for piece in bomb.chunks(pieces.min(bomb.len())) {
            calls += 1;
            if !reader.push(piece, &mut |_| panic!("nothing is in it")) {
                break;
            }
        }
        let summary = reader.finish(&mut |_| {});
        assert_eq!(summary.verdict, Verdict::TooLarge { most: 1 << 20 });
        assert_eq!(summary.bytes, 1 << 20);
        assert!(calls <= (1 << 20) / pieces.min(bomb.len()));
    }
    // The limit holds for what is not packed too, to the byte.
    let list = b"192.0.2.1\n192.0.2.2\n";
    for (most, verdict) in [(20, Verdict::Usable), (19, Verdict::TooLarge { most: 19 })] {
        let mut reader = Reader::new(Format::Plain).at_most(most);
        reader.push(list, &mut |_| {});
        assert_eq!(reader.finish(&mut |_| {}).verdict, verdict);
    }
}

#[test]
fn a_line_without_end_takes_no_room() {
    let mut reader = Reader::new(Format::Auto).at_most(4 << 20);
    let piece = vec![b'1'; 1 << 16];
    let mut given = 0;
    while reader.push(&piece, &mut |_| {}) {
        given += piece.len();
    }
    assert!(given <= 4 << 20);
    assert!(matches!(reader.finish(&mut |_| {}).verdict, Verdict::TooLarge { most: 4_194_304 }));
}

/// What a reader makes of plain lists that has all of the file and the parsers of other people. `None`: refused.
fn naive(line: &str) -> Option<Vec<(IpAddr, IpAddr)>> {
    let line = line.trim_matches(|c: char| c.is_ascii_whitespace());
    if line.is_empty() || line.starts_with(['#', ';']) || line.starts_with("//") {
        return Some(Vec::new());
    }
    let word = line.split([' ', '\t', '#', ';']).next()?.split("//").next()?;
    let ends = if let Some((first, last)) = word.split_once('-') {
        (first.parse::<IpAddr>().ok()?, last.parse::<IpAddr>().ok()?)
    } else if word.contains('/') {
        // ipnet's own parser takes leading zeros.
        let (address, length) = word.split_once('/')?;
        if length.starts_with('+') || length.len() > 1 && length.starts_with('0') {
            return None;
        }
        let net = IpNet::new(address.parse().ok()?, length.parse().ok()?).ok()?.trunc();
        (net.network(), net.broadcast())
    } else {
        let address = word.parse::<IpAddr>().ok()?;
        (address, address)
    };
    let is_mapped = |end: IpAddr| matches!(end, IpAddr::V6(end) if end.to_ipv4_mapped().is_some());
    if is_mapped(ends.0) || is_mapped(ends.1) {
        return None;
    }
    match ends {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            let is_special = |n: u32| special::rows(Family::V4).iter().any(|r| r.0 <= n.into() && r.1 >= n.into());
            let (first, last) = (first.to_bits(), last.to_bits());
            match (is_special(first), is_special(last)) {
                // Such ranges are another test's.
                (true, true) if first == last || first >> 20 == last >> 20 => Some(Vec::new()),
                (false, false) if last - first < 1 << 12 => Some(vec![ends]),
                _ => None,
            }
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            let is_special = |n: u128| special::rows(Family::V6).iter().any(|r| r.0 <= n && r.1 >= n);
            let (first, last) = (first.to_bits(), last.to_bits());
            match (is_special(first), is_special(last)) {
                (true, _) if first == last => Some(Vec::new()),
                (false, false) if last - first < 1 << 112 => Some(vec![ends]),
                _ => None,
            }
        }
        _ => None,
    }
}

fn an_address() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<u32>().prop_map(|n| Ipv4Addr::from_bits(n).to_string()),
        2 => any::<u128>().prop_map(|n| Ipv6Addr::from_bits(n >> 3 | 1 << 125).to_string()),
        1 => "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
    ]
}

fn a_line() -> impl Strategy<Value = String> {
    let behind = prop_oneof![Just(""), Just("\t12"), Just(" # x"), Just(";y"), Just("\r"), Just("//"), Just("  ")];
    prop_oneof![
        6 => (an_address(), behind).prop_map(|(address, behind)| format!("{address}{behind}")),
        2 => (an_address(), 20_u8..=130).prop_map(|(address, length)| format!("{address}/{length}")),
        1 => (an_address(), 0_u32..3000).prop_map(|(address, more)| match address.parse::<Ipv4Addr>() {
            Ok(first) => format!("{first}-{}", Ipv4Addr::from_bits(first.to_bits().saturating_add(more))),
            Err(_) => format!("{address}-{address}"),
        }),
        1 => "[#;/ ]{0,2}[a-z0-9.:/ -]{0,20}",
        1 => Just(String::new()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_naive_reader_agrees(lines in prop::collection::vec(a_line(), 0..40), crlf: bool, pieces in prop::collection::vec(1_usize..50, 1..5)) {
        let file = lines.join(if crlf { "\r\n" } else { "\n" });
        let (summary, ranges) = read_in(Format::Plain, file.as_bytes(), &pieces);
        let mut expected = Vec::new();
        let mut rows: Vec<&str> = file.split('\n').collect();
        rows.pop_if(|row| row.is_empty());
        for (at, row) in rows.iter().enumerate() {
            // Wide ones and the borders of what is special are tables' matter; so is `a - b`, and ports.
            let line = read_in(Format::Plain, format!("9.9.9.9\n{row}").as_bytes(), &[usize::MAX]);
            match naive(row) {
                Some(spans) => {
                    prop_assert_eq!(line.0.refused(), 0, "{}: {:?}", at, row);
                    expected.extend(spans);
                }
                None => expected.extend(line.1.iter().skip(1).map(|range| (range.first, range.last))),
            }
        }
        prop_assert_eq!(summary.lines, rows.len() as u64);
        prop_assert_eq!(ranges.iter().map(|range| (range.first, range.last)).collect::<Vec<_>>(), expected);
        prop_assert_eq!(summary.entries(), ranges.len() as u64);
    }

    #[test]
    fn pieces_and_mutations_change_nothing(
        form in 0_usize..10,
        at in any::<prop::sample::Index>(),
        new in any::<[u8; 3]>(),
        pieces in prop::collection::vec(0_usize..60, 1..6),
        packed: bool,
    ) {
        prop_assume!(pieces.iter().any(|piece| *piece > 0));
        let names = ["auto", "plain", "csv", "csv:2:;", "spamhaus", "dshield", "ranges", "rir", "suricata", "auto"];
        let mut file = format!(
            "{DROP}{{\"type\":\"metadata\",\"records\":3}}\n{RIR}Address,Tags\n192.0.2.1,ssh\n192.0.2.0\t192.0.2.255\t24\n\
             drop ip (content:\"192.0.2.9\";)\nx:192.0.2.1-192.0.2.2\n192.0.2.1/30\n"
        ).into_bytes();
        // Any of the lines may be the first.
        let start = at.index(file.len());
        let first = file[..start].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.rotate_left(first);
        let place = new[0] as usize % file.len();
        file[place] = new[1];
        if packed {
            file = stored(&file);
            let place = new[2] as usize % file.len();
            file[place] ^= u8::from(new[0] > 200);
        }
        let whole = read_in(format(names[form]), &file, &[usize::MAX]);
        prop_assert_eq!(read_in(format(names[form]), &file, &pieces), whole.clone());
        let Summary { v4: Count { hosts, networks }, v6, .. } = whole.0;
        prop_assert_eq!(hosts + networks + v6.hosts + v6.networks, whole.1.len() as u64);
        prop_assert!(whole.1.iter().all(|range| range.first <= range.last));
    }
}

/// gzip's simplest form, without packing anything.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    let length = data.len() as u16;
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(data);
    let mut sum = u32::MAX;
    for byte in data {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ 0xedb8_8320 };
        }
    }
    out.extend((!sum).to_le_bytes());
    out.extend((data.len() as u32).to_le_bytes());
    out
}
