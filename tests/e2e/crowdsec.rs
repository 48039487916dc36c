//! CrowdSec as a source: the daemon against Debian's real local API, and against answers that none should give.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::lapi::{DEADLINE, Lapi, PORT};
use crate::support::{Authority, Daemon, Mount, Netns, nft_set_elements, own_mounts, run, wait_for, wait_until};

const SECTION: &str = "config crowdsec 'crowdsec'\n\toption enabled '1'\n\toption interval '2s'\n";
const KEY: &str = "\toption api_key 'secret'\n";

/// A daemon that has nothing but this source.
fn daemon(more: &str) -> Daemon {
    let off = "config dynfw 'dynfw'\n\toption enabled '0'\nconfig nats 'nats'\n\toption enabled '0'\n";
    Daemon::start("", &format!("{off}{SECTION}{more}"))
}

fn feed(daemon: &Daemon) -> serde_json::Value {
    let status = daemon.status();
    let feeds = status["feeds"].as_array().unwrap();
    feeds.iter().find(|feed| feed["name"] == "crowdsec").unwrap_or_else(|| panic!("{status:#}")).clone()
}

fn is_live(daemon: &Daemon) -> bool {
    feed(daemon)["state"] == "live"
}

fn error(daemon: &Daemon) -> String {
    feed(daemon)["error"].as_str().unwrap_or_default().to_owned()
}

/// Seconds until the kernel lets an address go; `None`: it is not blocked.
fn left(set: &str, element: &str) -> Option<u64> {
    nft_set_elements(set).get(element).and_then(|element| element.expires)
}

fn blocked(address: &str) -> Option<u64> {
    left("diswall_crowdsec4", address)
}

fn until(what: &str, done: impl FnMut() -> bool) {
    wait_until(DEADLINE, what, done);
}

#[test]
fn decisions_come_and_go() {
    let _netns = Netns::enter();
    let mut lapi = Lapi::start();
    lapi.decide(&["-i", "203.0.113.7", "-d", "4h"]);
    lapi.decide(&["-r", "198.51.100.0/24", "-d", "2h"]);
    lapi.decide(&["-i", "2001:db8::7", "-d", "1h"]);
    lapi.decide(&["-i", "203.0.113.8", "-t", "captcha"]);
    lapi.decide(&["-i", "203.0.113.9", "-d", "9000h"]);
    let mut daemon = daemon(KEY);
    until("all that was decided is in force", || blocked("203.0.113.7").is_some());
    assert!((14_300..=14_400).contains(&blocked("203.0.113.7").unwrap()));
    assert!((7100..=7200).contains(&left("diswall_crowdsec.net4", "198.51.100.0/24").unwrap()));
    assert!(left("diswall_crowdsec6", "2001:db8::7").is_some());
    assert!(blocked("203.0.113.9").unwrap() > 8999 * 3600);
    assert_eq!(blocked("203.0.113.8"), None, "a riddle is no ban");
    until("it is live", || is_live(&daemon));
    let said = daemon.cli(&["check", "203.0.113.7"]);
    assert!(said.contains("crowdsecurity/ssh-bf") && said.contains("by crowdsec"), "{said}");
    let said = daemon.cli(&["check", "198.51.100.200"]);
    assert!(said.contains("198.51.100.0/24"), "{said}");
    assert!(daemon.cli(&["list", "crowdsec"]).contains("198.51.100.0/24"));

    // New ones, those that are taken back, and one that ends by itself.
    lapi.decide(&["-i", "203.0.113.10", "-d", "4s"]);
    lapi.decide(&["-i", "203.0.113.11", "-d", "1h"]);
    until("the new ones come", || blocked("203.0.113.11").is_some());
    lapi.cscli(&["decisions", "delete", "-i", "203.0.113.7"]);
    lapi.cscli(&["decisions", "delete", "-r", "198.51.100.0/24"]);
    until("those that were taken back go", || {
        blocked("203.0.113.7").is_none() && nft_set_elements("diswall_crowdsec.net4").is_empty()
    });
    until("one has ended", || blocked("203.0.113.10").is_none());

    // While the local API is away all stays in force, over a restart too; what changed meanwhile follows.
    lapi.stop();
    until("it is missed", || error(&daemon).contains("no connection"));
    assert!(daemon.stop(DEADLINE).success());
    daemon.run();
    assert!(blocked("203.0.113.11").is_some() && blocked("203.0.113.9").is_some());
    let said = daemon.cli(&["check", "203.0.113.11"]);
    assert!(said.contains("crowdsecurity/ssh-bf"), "{said}");
    lapi.resume();
    lapi.cscli(&["decisions", "delete", "-i", "203.0.113.11"]);
    lapi.decide(&["-i", "203.0.113.12", "-d", "1h"]);
    daemon.cli(&["resync", "crowdsec"]);
    until("the difference is made", || blocked("203.0.113.11").is_none() && blocked("203.0.113.12").is_some());
    assert!(blocked("203.0.113.9").is_some());
}

#[test]
fn of_several_decisions_the_longest_counts_and_then_the_next() {
    let _netns = Netns::enter();
    let lapi = Lapi::start();
    lapi.decide(&["-i", "203.0.113.7", "-d", "1h"]);
    lapi.decide(&["-i", "203.0.113.7", "-d", "2h"]);
    let _daemon = daemon(&format!("{KEY}\toption dedup '0'\n"));
    until("the longer one is in force", || blocked("203.0.113.7").is_some_and(|left| left > 3600));
    lapi.cscli(&["decisions", "delete", "--id", "2"]);
    until("the shorter one is", || blocked("203.0.113.7").is_some_and(|left| left <= 3600));
    lapi.cscli(&["decisions", "delete", "--id", "1"]);
    until("none is", || blocked("203.0.113.7").is_none());
}

#[test]
fn a_wrong_key_and_one_that_another_uses_are_said() {
    let _netns = Netns::enter();
    let lapi = Lapi::start();
    lapi.decide(&["-i", "203.0.113.7"]);
    let daemon = daemon("\toption api_key 'wrong'\n");
    until("the key is refused", || error(&daemon).contains("cscli bouncers add"));
    daemon.configure("", &format!("{SECTION}{KEY}"));
    daemon.reload();
    until("the right one is taken", || is_live(&daemon));
    let status = daemon.status().to_string() + &daemon.cli(&["config", "check"]);
    assert!(!status.contains("secret"), "{status}");
    assert!(lapi.cscli(&["bouncers", "list", "-o", "raw"]).contains("diswall"));

    // Somebody else asks with the same key, first and often enough to be told alone.
    let mut other = 20;
    until("it is noticed", || {
        let address = format!("203.0.113.{other}");
        other += 1;
        lapi.decide(&["-i", &address]);
        for _ in 0..3 {
            let question =
                "GET /v1/decisions/stream HTTP/1.1\r\nHost: a\r\nX-Api-Key: secret\r\nConnection: close\r\n\r\n";
            let mut connection = std::net::TcpStream::connect(("127.0.0.1", PORT)).unwrap();
            connection.write_all(question.as_bytes()).unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).unwrap();
        }
        daemon.cli(&["resync", "crowdsec"]);
        until("it is there all the same", || blocked(&address).is_some());
        daemon.status().to_string().contains("another program used the same key")
    });
}

/// With each of the router's programs: a server that is trusted, a key, then a certificate in its place.
#[test]
fn over_https_by_key_and_by_certificate() {
    let place = TempDir::new().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let authority = Authority::new(place.path());
    let server = authority.certify("IP:127.0.0.1");
    let known = authority.certify_as("/OU=routers/CN=router", "DNS:router");
    let stranger = authority.certify_as("/OU=others/CN=other", "DNS:other");
    for file in [&known, &stranger] {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    for other in ["curl", "wget"] {
        let _netns = Netns::enter();
        own_mounts();
        let _alone = Mount::bind(Path::new("/dev/null"), &Path::new("/usr/bin").join(other));
        let lapi = Lapi::start_with_tls(&server, &authority.certificate());
        lapi.decide(&["-i", "203.0.113.7", "-d", "4h"]);
        let url = format!("\toption url 'https://127.0.0.1:{PORT}/'\n");
        let daemon = daemon(&format!("{url}{KEY}"));
        let configure = |who: &str| {
            daemon.configure("", &format!("{SECTION}{url}{who}"));
            daemon.reload();
        };
        until("the server is not trusted", || error(&daemon).contains("could not prove who it is"));
        assert_eq!(blocked("203.0.113.7"), None);
        let _trusted = Mount::bind(&authority.certificate(), Path::new("/etc/ssl/certs/ca-certificates.crt"));
        configure("\toption api_key 'wrong'\n");
        until("the key is refused", || error(&daemon).contains("does not know the key"));
        configure(KEY);
        until("what was decided is in force", || blocked("203.0.113.7").is_some() && is_live(&daemon));

        configure(&format!("\toption cert '{stranger}'\n\toption key '{stranger}'\n"));
        until("a stranger's certificate is refused", || error(&daemon).contains("does not know the key"));
        configure(&format!("\toption cert '{known}'\n\toption key '{known}'\n"));
        until("the certificate is taken", || is_live(&daemon));
        lapi.decide(&["-i", "203.0.113.8", "-d", "1h"]);
        until("what is new comes", || blocked("203.0.113.8").is_some());
        assert!(blocked("203.0.113.7").is_some());
    }
}

/// What a firewall cannot follow, or must not: told, and nothing else is lost by it.
#[test]
fn decisions_about_countries_and_the_whole_internet_are_said_and_not_followed() {
    let _netns = Netns::enter();
    let lapi = Lapi::start();
    lapi.decide(&["--scope", "Country", "--value", "CN"]);
    lapi.decide(&["--scope", "AS", "--value", "64496"]);
    lapi.decide(&["--scope", "username", "--value", "root"]);
    for range in ["0.0.0.0/0", "64.0.0.0/7", "::/0", "2000::/3", "127.0.0.0/8", "10.0.0.0/8"] {
        lapi.decide(&["--range", range]);
    }
    lapi.decide(&["--range", "198.51.100.0/24"]);
    lapi.decide(&["--ip", "203.0.113.7"]);
    let daemon = daemon(KEY);
    until("what can be followed is in force", || blocked("203.0.113.7").is_some() && is_live(&daemon));
    let networks = nft_set_elements("diswall_crowdsec.net4");
    assert_eq!(networks.keys().collect::<Vec<_>>(), ["198.51.100.0/24"], "{networks:?}");
    assert!(nft_set_elements("diswall_crowdsec.net6").is_empty());
    let status = daemon.status().to_string();
    assert!(status.contains("4 decisions are not followed; a decision is too wide: "), "{status}");
    assert!(!status.contains("another scope"), "they were not asked for: {status}");
    // Whoever asks for them is told, and what else he asks for comes.
    let asked = ["ip", "range", "country", "as"].map(|scope| format!("\tlist scopes '{scope}'\n")).concat();
    daemon.configure("", &format!("{SECTION}{KEY}{asked}"));
    let (_, said) = daemon.exit(&["config", "check"]);
    assert!(said.contains("country") && said.contains("cannot be followed by a firewall; config list has"), "{said}");
    daemon.reload();
    lapi.decide(&["--ip", "203.0.113.8"]);
    until("the next one comes", || blocked("203.0.113.8").is_some());
    assert!(is_live(&daemon) && blocked("203.0.113.7").is_some());
}

/// From a local API that does not look at what was asked for.
#[test]
fn decisions_about_something_else_are_counted_and_take_nothing_with_them() {
    let _netns = Netns::enter();
    let one = |(id, (scope, kind, value)): (usize, &(&str, &str, &str))| {
        format!(r#"{{"duration":"1h","id":{id},"scenario":"s","scope":"{scope}","type":"{kind}","value":"{value}"}}"#)
    };
    let all = [
        ("Country", "ban", "CN"),
        ("AS", "ban", "64496"),
        ("username", "ban", "203.0.113.66"),
        ("Ip", "throttle", "203.0.113.66"),
        ("Range", "ban", "0.0.0.0/0"),
        ("Ip", "ban", "::/0"),
        ("Range", "ban", "203.0.113.0/99"),
        ("Ip", "ban", "CN"),
        ("Ip", "ban", "127.0.0.1"),
        ("iP", "BAN", "203.0.113.7"),
    ];
    let all = all.iter().enumerate().map(one).collect::<Vec<_>>().join(",");
    answers(vec![answer(&format!(r#"{{"new":[{all}],"deleted":[]}}"#)), answer(r#"{"new":[],"deleted":[]}"#)]);
    let daemon = daemon(KEY);
    until("what can be followed is in force", || blocked("203.0.113.7").is_some() && is_live(&daemon));
    assert_eq!(nft_set_elements("diswall_crowdsec4").len(), 1);
    assert!(nft_set_elements("diswall_crowdsec.net4").is_empty());
    let status = daemon.status().to_string();
    for part in [
        "4 decisions are about something that a firewall cannot follow (another scope or type)",
        "4 decisions are not followed; a decision is too wide: ",
    ] {
        assert!(status.contains(part), "{part}: {status}");
    }
}

/// The time of day is set by ten years, forth and back: how long somebody is kept out does not go by it.
#[test]
fn a_clock_that_jumps_ends_no_ban_and_keeps_none() {
    const YEARS: i64 = 10 * 365 * 86_400;
    let _netns = Netns::enter();
    let lapi = Lapi::start();
    lapi.decide(&["-i", "203.0.113.7", "-d", "4h"]);
    let off = "config dynfw 'dynfw'\n\toption enabled '0'\nconfig nats 'nats'\n\toption enabled '0'\n";
    let mut daemon = Daemon::prepare("", &format!("{off}{SECTION}{KEY}"));
    let (clock, library) = (daemon.path("clock"), daemon.path("clock.so"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parts/clock.c");
    run("gcc", &["-O2", "-shared", "-fPIC", "-o", &library.to_string_lossy(), source]);
    let set = |seconds: i64| {
        let file = std::fs::File::options().write(true).create(true).truncate(false).open(&clock).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &seconds.to_ne_bytes(), 0).unwrap();
    };
    set(0);
    let start = |daemon: &mut Daemon| {
        let mut command = daemon.command(&["run", "--foreground"]);
        command.env("SOAK_CLOCK", &clock).env("LD_PRELOAD", &library);
        daemon.spawn(&command);
        daemon.wait_answering();
    };
    std::os::unix::fs::chown(daemon.state_dir(), Some(0), Some(0)).unwrap();
    daemon.load_rules();
    start(&mut daemon);
    until("it is in force", || blocked("203.0.113.7").is_some() && is_live(&daemon));
    for (seconds, address) in [(YEARS, "203.0.113.8"), (-YEARS, "203.0.113.9"), (0, "203.0.113.10")] {
        set(seconds);
        let short = format!("{address}0");
        lapi.decide(&["-i", address, "-d", "4h"]);
        lapi.decide(&["-i", &short, "-d", "5s"]);
        until("a short one comes", || blocked(&short).is_some());
        daemon.cli(&["resync", "crowdsec"]);
        until("the short one has ended", || blocked(&short).is_none());
        let whole = blocked(address).unwrap_or_default();
        assert!((14_300..=14_400).contains(&whole), "{seconds}: {whole}");
        // After a restart at that time too, before anybody is asked.
        assert!(daemon.stop(DEADLINE).success());
        start(&mut daemon);
        for address in [address, "203.0.113.7"] {
            let whole = blocked(address).unwrap_or_default();
            assert!((14_200..=14_400).contains(&whole), "{seconds}: {whole}");
        }
        until("it is live again", || is_live(&daemon));
    }
    assert!(blocked("203.0.113.8").is_some() && blocked("203.0.113.9").is_some());
}

/// A local API that gives these answers, one a connection, the last one for ever.
fn answers(texts: Vec<String>) {
    let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
    std::thread::spawn(move || {
        for round in 0.. {
            let Ok((mut connection, _)) = listener.accept() else { return };
            let mut question = [0; 4096];
            let _ = connection.read(&mut question);
            let _ = connection.write_all(texts[texts.len().min(round + 1) - 1].as_bytes());
        }
    });
}

fn answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn whatever_it_answers_what_was_decided_stays() {
    let _netns = Netns::enter();
    let decision = |address: &str| {
        format!(r#"{{"duration":"1h","id":1,"scenario":"s","scope":"ip","type":"ban","value":"{address}"}}"#)
    };
    let good = format!(r#"{{"new":[{},{}],"deleted":[]}}"#, decision("203.0.113.7"), decision("203.0.113.8"));
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{good}\r\n0\r\n\r\n", good.len());
    let cut = good.replace("203.0.113.7", "203.0.113.66");
    let bad = [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned(), "does not know the key"),
        (answer("null"), "no list of decisions"),
        ("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_owned(), "status 500"),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "leads elsewhere",
        ),
        (answer(&cut[..cut.len() - 20]), "cut"),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "no HTTP"),
        (format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{cut}"), "the answer was cut"),
        (answer("<html>"), "no list of decisions"),
        (answer(&cut.replace("\"id\":1", "\"id\":")), "no JSON"),
    ];
    let nothing = [answer(r#"{"deleted":null,"new":null}"#), answer(r#"{"new":[],"deleted":[]}"#)];
    let texts = [chunked.clone()].into_iter().chain(bad.iter().map(|(text, _)| text.clone()));
    answers(texts.chain([chunked]).chain(nothing).collect());
    let daemon = daemon(KEY);
    until("the list is taken", || blocked("203.0.113.8").is_some());
    for (text, said) in bad {
        wait_for(DEADLINE, said, || Some(error(&daemon)).filter(|error| error.contains(said)));
        assert_eq!((blocked("203.0.113.66"), blocked("203.0.113.7").is_some()), (None, true), "{text}");
        daemon.cli(&["resync", "crowdsec"]);
    }
    // Nothing new, in the words of both versions.
    until("it is live", || is_live(&daemon));
    until("it was asked again", || feed(&daemon)["messages"].as_u64().unwrap() >= 4);
    assert!(is_live(&daemon) && blocked("203.0.113.7").is_some());
}

/// In each unit that Go writes; what is over, has no end or is none bans nobody and takes nothing else with it.
#[test]
fn how_long_a_decision_holds_is_read_in_every_unit() {
    let _netns = Netns::enter();
    let day = 86_400;
    let durations = [
        ("1h", Some(3600)),
        ("3h59m58.038548421s", Some(14_398)),
        ("1m28.03s", Some(88)),
        ("2540400h0m0s", Some(3653 * day)),
        ("90000ms", Some(90)),
        ("90000000\u{b5}s", Some(90)),
        ("90000000\u{3bc}s", Some(90)),
        ("90000000us", Some(90)),
        ("90000000000ns", Some(90)),
        ("1h2m3s4ms5\u{b5}s6ns", Some(3724)),
        ("1.5h", Some(5400)),
        ("2562047h47m16.854775807s", Some(3653 * day)),
        ("30.5s", Some(31)),
        ("-21.85ms", None),
        ("-18897h25m52.8s", None),
        ("0s", None),
        ("", None),
        ("4", None),
        ("4d", None),
        ("99999999999999999999h", Some(3653 * day)),
    ];
    let decision = |(id, (duration, _)): (usize, &(&str, Option<u64>))| {
        let address = format!("203.0.113.{}", id + 1);
        format!(r#"{{"duration":"{duration}","id":{id},"scenario":"s","scope":"ip","type":"ban","value":"{address}"}}"#)
    };
    let all = durations.iter().enumerate().map(decision).collect::<Vec<_>>().join(",");
    answers(vec![answer(&format!(r#"{{"new":[{all}],"deleted":null}}"#)), answer(r#"{"new":[],"deleted":[]}"#)]);
    let daemon = daemon(KEY);
    until("it is live", || is_live(&daemon));
    for (id, (duration, seconds)) in durations.iter().enumerate() {
        let left = blocked(&format!("203.0.113.{}", id + 1));
        match seconds {
            Some(seconds) => {
                assert!(
                    left.is_some_and(|left| (seconds.saturating_sub(10)..=*seconds).contains(&left)),
                    "{duration}: {left:?}"
                )
            }
            None => assert_eq!(left, None, "{duration}"),
        }
    }
}

#[test]
fn more_taken_back_than_there_can_be_is_answered_by_asking_for_everything() {
    let _netns = Netns::enter();
    let decision = |id: u32, address: &str| {
        format!(r#"{{"duration":"1h","id":{id},"scenario":"s","scope":"ip","type":"ban","value":"{address}"}}"#)
    };
    let both = format!("{},{}", decision(1, "203.0.113.7"), decision(2, "203.0.113.8"));
    let gone = vec![decision(3, "203.0.113.9"); 100].join(",");
    let left = decision(1, "203.0.113.7");
    answers(vec![
        answer(&format!(r#"{{"new":[{both}],"deleted":[]}}"#)),
        answer(&format!(r#"{{"new":[],"deleted":[{gone}]}}"#)),
        answer(&format!(r#"{{"new":[{left}],"deleted":[]}}"#)),
        answer(r#"{"new":[],"deleted":[]}"#),
    ]);
    let off = "config dynfw 'dynfw'\n\toption enabled '0'\nconfig nats 'nats'\n\toption enabled '0'\n";
    let _daemon = Daemon::start("\toption max_entries '50'\n", &format!("{off}{SECTION}{KEY}"));
    until("the list is taken", || blocked("203.0.113.8").is_some());
    until("what is no longer in the list is free", || blocked("203.0.113.8").is_none());
    assert!(blocked("203.0.113.7").is_some());
}

/// Each decision is a row of its own, or only the longest about an address.
#[test]
fn what_is_beyond_the_limit_is_said_at_once() {
    for dedup in ["1", "0"] {
        let _netns = Netns::enter();
        let decisions = |ids: std::ops::Range<u32>| {
            let one = |id| {
                format!(
                    r#"{{"duration":"1h","id":{id},"scenario":"s","scope":"ip","type":"ban","value":"203.0.113.{id}"}}"#
                )
            };
            answer(&format!(r#"{{"new":[{}],"deleted":[]}}"#, ids.map(one).collect::<Vec<_>>().join(",")))
        };
        answers(vec![decisions(1..11), decisions(11..111), answer(r#"{"new":[],"deleted":[]}"#)]);
        let off = "config dynfw 'dynfw'\n\toption enabled '0'\nconfig nats 'nats'\n\toption enabled '0'\n";
        let more = format!("{off}{SECTION}{KEY}\toption dedup '{dedup}'\n");
        let daemon = Daemon::start("\toption max_entries '50'\n", &more);
        let cut = |status: &serde_json::Value| {
            let sources = status["sources"].as_array().unwrap();
            sources.iter().find(|source| source["name"] == "crowdsec").unwrap()["cut"].as_u64().unwrap()
        };
        let blocked = || nft_set_elements("diswall_crowdsec4").len() as u64;
        until("those beyond are counted", || cut(&daemon.status()) + blocked() == 110);
        assert_eq!(blocked(), 50);
        let status = daemon.status();
        assert!(status.to_string().contains("entries are not in force, because max_entries is 50"), "{status:#}");
    }
}

/// An uplink that comes up has the configuration read again.
#[test]
fn a_reload_ends_the_waiting_for_a_local_api_that_was_away() {
    let _netns = Netns::enter();
    let daemon = daemon(&format!("{KEY}\toption interval '2m'\n"));
    until("it is missed", || feed(&daemon)["state"] == "waiting");
    let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
    listener.set_nonblocking(true).unwrap();
    daemon.reload();
    // By itself it would come after a minute at the earliest.
    wait_until(Duration::from_secs(30), "it asks again", || listener.accept().is_ok());
}
