//! Reports to AbuseIPDB: the daemon as installed against a server that answers as their documentation says, with each
//! of the router's programs that can keep a secret.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Authority, Daemon, Mount, Netns, Proc, nft_set_elements, own_mounts, wait_until, web};

const DEADLINE: Duration = Duration::from_secs(30);
/// Says `ADDRESS CATEGORIES COMMENT`, or why not. `busy` in its directory: too many for two seconds; `odd`: what is
/// said cannot be read; `again`: another program has reported him, with the status in it.
const SERVER: &str = r#"
import urllib.parse
# In pieces: this text is an argument itself.
KEY = '01234567' + '89abcdef'
def seen():
    for name in glob.glob('/proc/[0-9]*/cmdline'):
        try:
            if KEY.encode() in open(name, 'rb').read(): return True
        except OSError: pass
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def say(self, status, text, said, **headers):
        body = text.encode()
        self.send_response(status)
        for name, value in headers.items(): self.send_header(name.replace('_', '-'), value)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        print(said, flush=True)
    def do_POST(self):
        text = self.rfile.read(int(self.headers['Content-Length'])).decode()
        given = {name: values[0] for name, values in urllib.parse.parse_qs(text, strict_parsing=True).items()}
        if self.path != '/api/v2/report' or self.headers['Content-Type'] != 'application/x-www-form-urlencoded':
            self.say(404, '{}', 'wrong question')
        elif self.headers['Accept'] != 'application/json': self.say(302, '', 'no JSON wanted', Location='/')
        elif self.headers['Key'] != KEY:
            self.say(401, '{"errors":[{"detail":"Authentication failed.","status":401}]}', 'wrong key')
        elif os.path.exists('busy'):
            self.say(429, '{"errors":[{"detail":"Daily rate limit exceeded.","status":429}]}', 'busy', Retry_After='2')
        elif os.path.exists('again'):
            text = '{"errors":[{"detail":"You can only report the same IP address once in 15 minutes."}]}'
            self.say(int(open('again').read()), text, 'again')
        elif os.path.exists('odd'): self.say(422, '{"errors":[{"detail":"The ip must be valid."}]}', 'odd')
        elif sorted(given) != ['categories', 'comment', 'ip', 'timestamp'] or seen(): self.say(422, '{}', 'refused ' + text)
        else:
            self.say(200, '{"data":{"ipAddress":"%s","abuseConfidenceScore":52}}' % given['ip'],
                ' '.join(given[name] for name in ('ip', 'categories', 'comment')))
    def log_message(self, *_): pass
"#;

const KEY: &str = "\toption key '0123456789abcdef'\n";

struct Place {
    daemon: Daemon,
    server: Proc,
    place: TempDir,
    _mounts: Vec<Mount>,
    _netns: Netns,
}

impl Place {
    /// With this program alone.
    fn with(program: &str) -> Place {
        let netns = Netns::enter();
        own_mounts();
        let place = TempDir::new().unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        let authority = Authority::new(place.path());
        let certificate = authority.certify("DNS:api.abuseipdb.com");
        fs::write(place.path().join("hosts"), "127.0.0.1 localhost api.abuseipdb.com\n").unwrap();
        let other = if program == "curl" { "wget" } else { "curl" };
        let mounts = vec![
            Mount::bind(&place.path().join("hosts"), Path::new("/etc/hosts")),
            Mount::bind(&authority.certificate(), Path::new("/etc/ssl/certs/ca-certificates.crt")),
            Mount::bind(Path::new("/dev/null"), &Path::new("/usr/bin").join(other)),
        ];
        let server = web::serve(SERVER, place.path(), "443", Some(&certificate));
        let daemon = Daemon::prepare("", "");
        fs::File::create(daemon.path("auth.log")).unwrap();
        let mut here = Place { daemon, server, place, _mounts: mounts, _netns: netns };
        here.configure("", KEY);
        here.daemon.load_rules();
        here.daemon.run();
        here
    }

    fn configure(&self, main: &str, abuseipdb: &str) {
        let log = self.daemon.path("auth.log");
        let sections = format!(
            "config dynfw 'dynfw'\n\toption enabled '0'\nconfig nats 'nats'\n\toption enabled '0'\n\
             config login 'login'\n\toption source '{}'\n\tlist service 'ssh'\n\tlist service 'sip'\n\
             config abuseipdb 'abuseipdb'\n\toption enabled '1'\n{abuseipdb}",
            log.display()
        );
        self.daemon.configure(main, &sections);
    }

    /// Has somebody fail to log in until he is banned.
    fn fail(&self, address: &str) {
        let line = format!("Failed password for owner from {address} port 1 ssh2");
        let text = format!("Nov 21 10:00:00 h sshd[1]: message repeated 9 times: [ {line}]\n");
        let mut log = fs::OpenOptions::new().append(true).open(self.daemon.path("auth.log")).unwrap();
        log.write_all(text.as_bytes()).unwrap();
        wait_until(DEADLINE, "he is banned", || nft_set_elements("diswall_scan4").contains_key(address));
    }

    fn part(&self) -> Option<Value> {
        let status = self.daemon.status();
        status["parts"].as_array().unwrap().iter().find(|part| part["name"] == "abuseipdb").cloned()
    }

    fn until(&self, state: &str, why: &str) {
        wait_until(DEADLINE, why, || {
            let part = self.part().unwrap_or_default();
            part["state"] == state && part["why"].as_str().unwrap_or_default().contains(why)
        });
    }
}

#[test]
fn curl_reports_who_was_banned_for_failed_log_ins() {
    reports("curl");
}

#[test]
fn wget_reports_who_was_banned_for_failed_log_ins() {
    reports("wget");
}

fn reports(program: &str) {
    let here = Place::with(program);
    let told = |address: &str| {
        let expected = format!("{address} 18,22 Repeated failed log-ins over TCP: ssh. Banned by a router (diswall).");
        assert_eq!(here.server.line(DEADLINE), expected);
    };
    here.until("in_force", "");
    here.fail("203.0.113.6");
    told("203.0.113.6");

    // He comes back at once: not again within a quarter of an hour. Nor is a neighbour of the owner's ever reported.
    here.daemon.cli(&["unblock", "203.0.113.6"]);
    here.fail("203.0.113.6");
    let line = "Nov 21 10:00:00 h sshd[1]: message repeated 9 times: [ Failed password for owner from 192.168.1.9 port 1 ssh2]\n";
    let mut log = fs::OpenOptions::new().append(true).open(here.daemon.path("auth.log")).unwrap();
    log.write_all(line.as_bytes()).unwrap();

    // They are busy: it waits as long as they say, and then comes.
    fs::write(here.place.path().join("busy"), "").unwrap();
    here.fail("203.0.113.7");
    assert_eq!(here.server.line(DEADLINE), "busy");
    here.until("in_force", "wants no more reports");
    fs::remove_file(here.place.path().join("busy")).unwrap();
    told("203.0.113.7");
    let at_rest = || wait_until(DEADLINE, "nothing is wrong", || here.part().is_some_and(|part| part["why"].is_null()));
    at_rest();

    // They are busy, and then refuse that report: it is gone, and nothing waits any more.
    fs::write(here.place.path().join("busy"), "").unwrap();
    here.fail("203.0.113.12");
    assert_eq!(here.server.line(DEADLINE), "busy");
    here.until("in_force", "wants no more reports");
    fs::rename(here.place.path().join("busy"), here.place.path().join("odd")).unwrap();
    here.server.line_with("odd", DEADLINE);
    at_rest();
    fs::remove_file(here.place.path().join("odd")).unwrap();

    // Whom another program of the owner's has reported costs his report alone.
    let again = here.place.path().join("again");
    for (status, address) in [("429", "203.0.113.13"), ("403", "203.0.113.14")] {
        fs::write(&again, status).unwrap();
        here.fail(address);
        assert_eq!(here.server.line(DEADLINE), "again");
        at_rest();
    }
    fs::remove_file(&again).unwrap();
    here.fail("203.0.113.15");
    told("203.0.113.15");

    // When nothing else comes it is the limit after all, and that report waits; with the other status, the key.
    let all = |status: &str, hosts: std::ops::Range<u8>| {
        fs::write(&again, status).unwrap();
        for host in hosts {
            here.fail(&format!("203.0.113.{host}"));
            assert_eq!(here.server.line(DEADLINE), "again");
        }
    };
    all("429", 20..24);
    here.until("in_force", "wants no more");
    here.configure("", "\toption enabled '0'\n");
    here.daemon.reload();
    wait_until(DEADLINE, "it is off", || here.part().is_none());
    here.configure("", KEY);
    here.daemon.reload();
    here.until("in_force", "");
    all("403", 24..28);
    here.until("broken", "does not take the key");
    fs::remove_file(&again).unwrap();

    // A key that they do not know: said, and never tried again.
    here.configure("", "\toption key 'another0api_key'\n");
    here.daemon.reload();
    here.until("in_force", "");
    here.fail("203.0.113.8");
    assert_eq!(here.server.line(DEADLINE), "wrong key");
    here.until("broken", "does not take the key");
    here.fail("203.0.113.9");
    assert!(!here.daemon.status().to_string().contains("another0"));

    // Off, off with everything else that leaves the router, and on again with a key in a file.
    for (main, rest) in [("", "\toption enabled '0'\n"), ("\toption local_only '1'", KEY)] {
        here.configure(main, rest);
        here.daemon.reload();
        wait_until(DEADLINE, "it is off", || here.part().is_none());
    }
    here.fail("203.0.113.10");
    let file = here.place.path().join("key");
    fs::write(&file, "0123456789abcdef\n").unwrap();
    here.configure("", &format!("\toption key_file '{}'\n\toption daily_limit '1'\n", file.display()));
    here.daemon.reload();
    here.until("in_force", "");
    here.fail("203.0.113.11");
    here.until("in_force", "daily_limit");
    assert_eq!(here.server.try_line(Duration::from_secs(1)), None, "somebody was reported who should not");
}
