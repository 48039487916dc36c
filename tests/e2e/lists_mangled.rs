//! What stands in a list's place on bad days, in each form that the catalogue has, from a real server into one daemon
//! that has a good list of each: whatever comes, the daemon says which list it is and what is wrong, the kernel keeps
//! what it had, and memory stays as it was.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::packets::NO_FEED;
use crate::support::{Daemon, Netns, nft, nft_set_elements, run, wait_until, web};

const DEADLINE: Duration = Duration::from_secs(60);

/// A list's name is the path that it is fetched by.
const FORMATS: [(&str, &str); 9] = [
    ("plain", "plain"),
    ("csv", "csv:1"),
    ("tabs", "csv:2:tab"),
    ("spamhaus", "spamhaus"),
    ("dshield", "dshield"),
    ("ranges", "ranges"),
    ("rir", "rir:CZ"),
    ("suricata", "suricata"),
    ("auto", "auto"),
];

/// Those that get what takes longest to read.
const FEW: [&str; 2] = ["plain", "spamhaus"];

/// This router's own address outside.
const OWN: &str = "203.0.113.1";

/// What is served, by the name in the file `case`, and a part of what is said of it.
const BAD: [(&str, &[&str]); 13] = [
    ("html", &["a page in HTML"]),
    ("other_keys", &["JSON, such as an error"]),
    ("utf16", &["UTF-16"]),
    ("long_line", &["longer than", "more than is taken"]),
    ("utf16_without_a_mark", &["UTF-16"]),
    ("bomb", &["longer than"]),
    ("zip", &["packed by zip"]),
    ("wide", &["line 1: wider than /8", "line 2: wider than /8"]),
    ("private", &["without an address that may be banned"]),
    ("own", &["it has this router's own address 203.0.113.1; the former list stays"]),
    ("empty", &["empty"]),
    ("own_by_its_network", &["it has this router's own address 203.0.113.1; the former list stays"]),
    ("words", &["of another form: more lines are refused than read; line"]),
];

/// The same records in each form, and what mangles them. A record is a network.
const SERVER: &str = r#"
import functools, ipaddress
network = functools.cache(lambda net: ipaddress.ip_network(net, False))
GOOD = ['198.51.100.%d/30' % (8 * n) for n in range(30)] + ['192.0.2.%d/32' % (2 * n) for n in range(30)]
DOUBLE = GOOD * 170 + ['198.51.100.%d/32' % (8 * (n % 30) + n % 4) for n in range(10000)]
WIDE = ['64.0.0.0/%d' % n for n in range(8)]
PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.1.1/32', '100.64.0.0/10', '127.0.0.1/32', '169.254.0.0/16', '224.0.0.0/4']
def lines(form, nets):
    nets = [network(net) for net in nets]
    if form in ('csv', 'tabs'):
        yield 'Address,Tags' if form == 'csv' else 'Name\tAddress'
    for net in nets:
        first, last = net[0], net[-1]
        text = str(net).removesuffix('/32')
        if form in ('plain', 'auto'): yield text
        elif form == 'csv': yield '%s,"ssh,smtp"' % text
        elif form == 'tabs': yield 'name\t' + text
        elif form == 'spamhaus': yield '{"cidr":"%s","sblid":"SBL1"}' % text.replace('/', '\\/')
        elif form == 'dshield': yield '%s\t%s\t%d\t9\tEXAMPLE\tCZ\ta@example.com' % (first, last, net.prefixlen)
        elif form == 'ranges': yield 'Some Org, Inc:%s-%s' % (first, last)
        elif form == 'rir': yield 'ripencc|CZ|ipv4|%s|%d|20200101|allocated|a' % (first, min(net.num_addresses, 2**32 - 1))
        elif form == 'suricata': yield 'alert ip any any -> any any (msg:"a"; content:"%s"; sid:1;)' % text
    if form == 'spamhaus': yield '{"type":"metadata","records":%d}' % len(nets)
def text(form, nets): return ('\n'.join(lines(form, nets)) + '\n').encode()
def pack(form):
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    yield packer.compress(text(form, GOOD))
    for _ in range(50): yield packer.compress(b'#' * 1022 + b' x' + (b'\n' + b'#' * 1023) * 1023)
    yield packer.flush()
def body(form, case):
    good = text(form, GOOD)
    if case == 'good': return good
    if case == 'double': return text(form, DOUBLE)
    if case == 'among_good': return text(form, WIDE + PRIVATE + GOOD)
    if case == 'html': return b'<!DOCTYPE html>\n<title>503</title>\n<p>198.51.100.7</p>\n' + good
    if case == 'other_keys': return b'{"network":"198.51.100.0/24","rir":"arin"}\n' * 100
    if case == 'utf16': return good.decode().encode('utf-16')
    if case == 'utf16_without_a_mark': return good.decode().encode('utf-16-be')
    if case == 'long_line': return good + b'1' * 100_000_000
    if case == 'bomb': return b''.join(pack(form))
    if case == 'zip': return b'PK\x03\x04\x14\0\0\0' + good
    if case == 'wide': return text(form, WIDE)
    if case == 'private': return text(form, PRIVATE)
    if case == 'own': return text(form, GOOD + ['203.0.113.1/32'])
    if case == 'own_by_its_network': return text(form, GOOD + ['203.0.112.0/20'])
    if case == 'empty': return b''
    return b'Service Unavailable\nTry again\n'
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        case, form = open('case').read(), self.path.strip('/')
        whole = body(form, case)
        self.send_response(200)
        self.send_header('Content-Length', str(len(whole)))
        self.end_headers()
        try: self.wfile.write(whole)
        except OSError: pass
        print(case, form, flush=True)
    def log_message(self, *_): pass
"#;

fn feed(status: &Value, name: &str) -> Value {
    let feeds = status["feeds"].as_array().expect("feeds");
    feeds.iter().find(|feed| feed["name"] == name).expect("the feed").clone()
}

/// The daemon's most memory so far, in kB.
fn peak(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.process().id())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn whatever_comes_in_whichever_form_the_good_list_stays() {
    let _netns = Netns::enter();
    run("ip", &["address", "add", &format!("{OWN}/32"), "dev", "lo"]);
    let place = tempfile::tempdir().expect("a place");
    let serve = |case: &str| fs::write(place.path().join("case"), case).expect("written");
    serve("good");
    let server = web::serve(SERVER, place.path(), "8092", None);
    let section = |(name, format): &(&str, &str)| {
        format!("config list '{name}'\n\toption url 'http://127.0.0.1:8092/{name}'\n\toption format '{format}'\n")
    };
    let daemon = Daemon::start("", &[NO_FEED, &FORMATS.iter().map(section).collect::<String>()].concat());
    daemon.load_rules();
    let names = FORMATS.map(|(name, _)| name);
    // These lists are asked for, and each is answered with this.
    let fetch = |case: &str, names: &[&str]| {
        serve(case);
        for name in names {
            daemon.cli(&["resync", name]);
        }
        for _ in names {
            server.line_with(case, DEADLINE);
        }
    };
    let live = |case: &str| {
        wait_until(DEADLINE, case, || {
            let status = daemon.status();
            FORMATS.iter().all(|(name, _)| feed(&status, name)["state"] == "live")
        });
    };
    live("good");
    let held = |name: &str| nft_set_elements(name).len();
    for (name, _) in FORMATS {
        let sets = [format!("diswall_{name}4"), format!("diswall_{name}.net4")];
        wait_until(DEADLINE, name, || sets.iter().map(|set| held(set)).sum::<usize>() == 60);
        assert_eq!((held(&sets[0]), held(&sets[1])), (30, 30), "{name}");
    }
    let in_kernel = || nft(&["-s", "list", "table", "inet", "fw4"]);
    let before = in_kernel();
    let resting = peak(&daemon);
    for (case, reasons) in BAD {
        // Unpacking comes before any form.
        let names: Vec<&str> = names.iter().copied().filter(|name| case != "bomb" || FEW.contains(name)).collect();
        fetch(case, &names);
        wait_until(DEADLINE, &format!("{case}: {reasons:?}"), || {
            let status = daemon.status();
            names.iter().all(|name| {
                let said = feed(&status, name)["error"].as_str().unwrap_or_default().to_owned();
                reasons.iter().any(|reason| said.contains(reason))
            })
        });
        assert_eq!(in_kernel(), before, "{case}");
    }
    for (name, _) in FORMATS {
        daemon.process().stderr_with(&format!("{name}: what came is a page in HTML"), DEADLINE);
    }
    // What can be used among what cannot: told, and the rest is in force.
    for case in ["among_good", "double"] {
        fetch(case, &names);
        live(case);
        assert_eq!(in_kernel(), before, "{case}");
    }
    let grown = peak(&daemon) - resting;
    assert!(grown < 4096, "{resting} kB and {grown} more");
}
