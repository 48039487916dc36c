//! `diswall list-test`: lists in every form that is published, and what stands in their place on bad days, through
//! the program and its ways in: a file, a pipe, a server.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Netns, Proc};

const PROGRAM: &str = env!("CARGO_BIN_EXE_diswall");

/// Runs `list-test` with this on its standard input.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("list-test").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("diswall");
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may stop reading at any time.
    let writer = thread::spawn(move || drop(pipe.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn json(format: &str, input: &[u8]) -> Value {
    let output = run(&["--format", format, "--json", "-"], input);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(output.status.code(), Some(i32::from(report["usable"] != true)), "{report}");
    assert_eq!(report["usable"] == true, report["why"].is_null(), "{report}");
    report
}

#[track_caller]
fn holds(input: &str, format: &str, entries: &[&str]) -> Value {
    let report = json("auto", input.as_bytes());
    assert_eq!(report["usable"], true, "{report}");
    assert_eq!(report["format"], format, "{report}");
    assert_eq!(report["first"], serde_json::json!(entries), "{report}");
    assert_eq!(report["refused"], 0, "{report}");
    let named = json(format, input.as_bytes());
    assert_eq!(named["first"], report["first"], "when the form is named");
    report
}

#[track_caller]
fn refused(input: &[u8], why: &str) {
    let report = json("auto", input);
    assert_eq!(report["usable"], false, "{report}");
    assert!(report["why"].as_str().unwrap().contains(why), "{why}: {report}");
    let output = run(&["-"], input);
    assert!(text(&output).starts_with("refused: it is "), "{}", text(&output));
}

#[test]
fn every_form_is_read_and_found_out() {
    let ipsum = "# IPsum Threat Intelligence Feed\n# (https://example.com)\n#\n192.0.2.80\t11\n198.51.100.9\t10\n";
    assert_eq!(holds(ipsum, "plain", &["192.0.2.80", "198.51.100.9"])["read"]["hosts4"], 2);
    let mixed = "\u{feff}# firehol\r\n192.0.2.0/24\r\n198.51.100.9 # dns.example\r\n2001:db8:1::/48\r\n2001:db8::5\r\n";
    let report = holds(mixed, "plain", &["192.0.2.0/24", "198.51.100.9", "2001:db8:1::/48", "2001:db8::5"]);
    for (what, count) in [("hosts4", 1), ("networks4", 1), ("hosts6", 1), ("networks6", 1)] {
        assert_eq!(report["read"][what], count);
    }
    let turris = "# For the terms of use see https://example.com\n# More\nAddress,Tags\n192.0.2.1,\"smtp,ssh\"\n192.0.2.2,telnet\n";
    holds(turris, "csv:1", &["192.0.2.1", "192.0.2.2"]);
    let abuse =
        "# \"first_seen_utc\",\"dst_ip\",\"dst_port\"\n\"2026-01-02 03:04:05\",\"192.0.2.1\",\"443\",\"online\"\n";
    holds(abuse, "csv:2", &["192.0.2.1"]);
    let drop = "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"SBL1\",\"rir\":\"apnic\"}\n{\"cidr\":\"2001:db8::\\/32\",\"sblid\":\"SBL2\"}\n\
                {\"type\":\"metadata\",\"timestamp\":1790000000,\"size\":130,\"records\":2,\"copyright\":\"(c) x\"}\n";
    holds(drop, "spamhaus", &["192.0.2.0/24", "2001:db8::/32"]);
    let dshield = "#   DShield.org Recommended Block List\n#\nStart\tEnd\tNetmask\tAttacks\tName\tCountry\temail\n\
                   192.0.2.0\t192.0.2.255\t24\t3100\tEXAMPLE\tCZ\tabuse@example.com\n";
    holds(dshield, "dshield", &["192.0.2.0/24"]);
    holds("Some Org, Inc:192.0.2.5-192.0.2.9\n", "ranges", &["192.0.2.5-192.0.2.9"]);
    let urlhaus = "alert http $HOME_NET any -> $EXTERNAL_NET any (msg:\"URLhaus\"; content:\"GET\"; http_method; \
                   content:\"/bin.sh\"; http_uri; content:\"192.0.2.7\"; http_host; content:!\"192.0.2.8\"; sid:1; rev:1;)\n";
    holds(urlhaus, "suricata", &["192.0.2.7"]);
    let names = "# servers\nDNS.example.org\n  doh.example.net. # one more\ndns.example.org\nxn--bcher-kva.example\n";
    let report = json("names", names.as_bytes());
    assert_eq!(
        report["first"],
        serde_json::json!(["dns.example.org", "doh.example.net", "dns.example.org", "xn--bcher-kva.example"])
    );
    assert_eq!((&report["names"], &report["refused"]), (&3.into(), &0.into()));
    assert!(text(&run(&["--format", "names", "-"], names.as_bytes())).contains("names     3, each once"));
    let rir = "2|ripencc|1790000000|3|19830705|20260101|+0100\nripencc|*|ipv4|*|2|summary\n\
               ripencc|CZ|ipv4|192.0.2.0|768|20200101|allocated|a\nripencc|DE|ipv4|198.51.100.0|256|20200101|allocated|b\n\
               ripencc|CZ|ipv6|2001:db8::|32|20200101|allocated|a\n";
    refused(rir.as_bytes(), "say which country");
    let czech = json("rir:CZ", rir.as_bytes());
    assert_eq!(czech["first"], serde_json::json!(["192.0.2.0-192.0.4.255", "2001:db8::/32"]));
}

#[test]
fn what_is_no_list_is_refused_by_its_name() {
    let utf16: Vec<u8> = "\u{feff}192.0.2.1\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (input, why) in [
        (&b""[..], "empty"),
        (b"# nothing but a head\n", "without an address"),
        (b"<!DOCTYPE html>\n<title>503</title>\n", "HTML"),
        (b"{\"message\":\"API rate limit exceeded for 192.0.2.1\"}", "JSON"),
        (b"{\"asn\":64496,\"rir\":\"arin\",\"cc\":\"US\"}\n", "JSON"),
        (&utf16, "UTF-16"),
        (b"\x7fELF\x01\x01\x01\0\0\0", "binary"),
        (b"PK\x03\x04\x14\0\0\0", "zip"),
        (b"404: Not Found", "of another form"),
        (b"# ads\n127.0.0.1 localhost\n0.0.0.0 ads.example\n0.0.0.0 more.example\n", "a hosts file"),
        (b"dns.example.org\ndoh.example.net\n", "here: --format names"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03junk", "gzip"),
        (b"{\"cidr\":\"192.0.2.0/24\"}\n", "cut off"),
        (
            b"{\"cidr\":\"192.0.2.0/24\"}\n{\"type\":\"metadata\",\"records\":1600}\n",
            "1 records, where its last line says 1600",
        ),
    ] {
        refused(input, why);
    }
}

#[test]
fn what_is_no_list_of_names_is_refused_line_by_line_and_as_a_whole() {
    let mixed = "a.example\nlocalhost\n*.b.example\n||c.example^\n192.0.2.1\n2001:db8::1\nhttps://d.example/dns-query\n\
                 0.0.0.0 e.example\nf_g.example\n-h.example\ni.example.\nj.example\t1\nk..example\n1.2.3\nl.example,x\n";
    let report = json("names", mixed.as_bytes());
    assert_eq!(report["first"], serde_json::json!(["a.example", "f_g.example", "i.example", "j.example"]));
    assert_eq!((&report["usable"], &report["refused"]), (&false.into(), &11.into()), "{report}");
    let why = |list: &str| json("names", list.as_bytes())["why"].as_str().unwrap_or_default().to_owned();
    assert!(why("0.0.0.0 a.example\n::1 b.example\n").contains("a hosts file"));
    assert!(why("192.0.2.1\n").contains("of another form"));
    assert!(why("<html>\n").contains("HTML"));
    let many: String = (0..5000).map(|n| format!("n{n}.example\n")).collect();
    assert_eq!(why(&many), "too long: all lists together may have 4096 host names");
    assert_eq!(why(&"a.example\n".repeat(5000)), "", "one name, however often");
}

#[test]
fn lines_are_refused_with_reasons_and_private_ranges_left_out() {
    let mut list = String::new();
    for length in 0..8 {
        list.push_str(&format!("192.0.0.0/{length}\n"));
    }
    for range in ["10.0.0.0/8", "172.16.0.0/12", "192.168.1.1", "100.64.0.0/10", "127.0.0.1", "fe80::/10", "fc00::/7"] {
        list.push_str(&format!("{range}\n"));
    }
    list.push_str("::/0\n010.1.1.1\n::ffff:192.0.2.1\n1.2.3\n00:11:22:33:44:55\n192.0.2.1/33\n192.168.0.0/15\n");
    for host in 0..40 {
        list.push_str(&format!("198.51.100.{host}\n"));
    }
    let report = json("auto", list.as_bytes());
    assert_eq!(report["usable"], true);
    assert_eq!(report["read"]["hosts4"], 40);
    assert_eq!(report["left_out"], 8, "{report}");
    assert_eq!(report["first"][0], "192.169.0.0/16", "the rest of a network that has private addresses");
    assert_eq!(report["refused"], 14);
    assert_eq!(report["refused_lines"].as_array().unwrap().len(), 10);
    assert_eq!(report["refused_lines"][0]["line"], 1);
    assert_eq!(report["refused_lines"][9]["text"], "010.1.1.1");
    let said = text(&run(&["-"], list.as_bytes()));
    for part in [
        "usable\n",
        "format    plain, found out\n",
        "IPv4 40 hosts, 1 network; IPv6 0 hosts, 0 networks\n",
        "left out  6 private; 1 loopback; 1 link-local\n",
        "  8: 192.0.0.0/7: wider than /8",
        "  198.51.100.0\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn duplicates_and_what_lies_in_others_is_merged() {
    let mut list = String::new();
    for number in 0..10_000 {
        list.push_str("192.0.2.7\n");
        list.push_str(&format!("198.51.{}.0/24\n198.51.100.{}/32\n2001:db8::1\n", 100 + number % 4, number % 256));
    }
    let report = json("plain", list.as_bytes());
    assert_eq!(
        report["read"],
        serde_json::json!({"hosts4": 20_000, "networks4": 10_000, "hosts6": 10_000, "networks6": 0})
    );
    // Four networks side by side are one.
    assert_eq!(report["merged"], serde_json::json!({"hosts4": 1, "networks4": 1, "hosts6": 1, "networks6": 0}));
}

/// `list-test` with 64 MB of memory at the end of a shell's pipe.
fn piped(before: &str) -> Value {
    let script = format!("{before} | (ulimit -v 65536; exec '{PROGRAM}' list-test --json -)");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn no_length_of_line_or_file_is_held() {
    let endless = piped("head -c 100000000 /dev/zero | tr '\\0' '1'");
    assert!(endless["why"].as_str().unwrap().contains("longer than"), "{endless}");
    let long = piped("(echo 192.0.2.1; head -c 20000000 /dev/zero | tr '\\0' '1'; echo; echo 192.0.2.2)");
    assert_eq!((&long["usable"], &long["refused"]), (&Value::Bool(true), &1.into()), "{long}");
    assert_eq!(long["first"], serde_json::json!(["192.0.2.1", "192.0.2.2"]));
    let bomb = piped("yes \"# $(head -c 4000 /dev/zero | tr '\\0' x)\" | head -c 60000000 | gzip -1");
    assert!(bomb["why"].as_str().unwrap().contains("longer than"), "{bomb}");
    assert_eq!(bomb["packed"], true);
}

#[test]
fn packed_lists_come_from_files_and_servers() {
    let _netns = Netns::enter();
    let directory = tempfile::tempdir().unwrap();
    let list: String = (0..5000).map(|number| format!("203.0.{}.{}\n", number / 250, number % 250)).collect();
    let plain = directory.path().join("list.txt");
    fs::write(&plain, &list).unwrap();
    assert!(Command::new("gzip").arg("-k").arg(&plain).status().unwrap().success());
    let packed = directory.path().join("list.txt.gz");
    let whole = fs::read(&packed).unwrap();
    fs::write(directory.path().join("cut.gz"), &whole[..whole.len() - 100]).unwrap();
    fs::write(directory.path().join("page"), "<html>").unwrap();
    let server = Proc::spawn(
        Command::new("/usr/bin/python3")
            .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "8080"])
            .current_dir(directory.path()),
    );
    server.line_with("Serving", Duration::from_secs(30));
    for (place, status, part) in [
        ("list.txt", 0, "entries   IPv4 5000 hosts"),
        ("list.txt.gz", 0, "format    plain, found out, packed by gzip"),
        ("cut.gz", 1, "refused: it is packed by gzip, and cut off"),
        ("page", 1, "refused: it is a page in HTML"),
    ] {
        for list in [
            directory.path().join(place).display().to_string(),
            format!("file://{}", directory.path().join(place).display()),
            format!("http://127.0.0.1:8080/{place}"),
        ] {
            let output = run(&[&list], b"");
            assert_eq!(output.status.code(), Some(status), "{list}: {output:?}");
            assert!(text(&output).contains(part), "{list}: {}", text(&output));
        }
    }
    for (list, words) in [
        ("/nowhere/list", "No such file"),
        ("http://127.0.0.1:8080/nothing", "status 404"),
        ("http://127.0.0.1:9/list", "127.0.0.1"),
    ] {
        let output = run(&[list], b"");
        assert_eq!(output.status.code(), Some(1), "{list}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{list}: {output:?}");
    }
    for wrong in [&["--format", "json", "x"][..], &[], &["a", "b"], &["--format"]] {
        assert_eq!(run(wrong, b"").status.code(), Some(2), "{wrong:?}");
    }
}
