//! The catalogue of lists as an owner uses it: what there is, what it costs, on and off.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::packets::{DEADLINE, NO_FEED};
use crate::support::{Daemon, Netns, nft_load, wait_until, web};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openwrt/files/catalogue.json");

/// Answers with the file that the path names.
const SERVER: &str = r#"
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
"#;

/// A catalogue of lists that are at hand, one that no machine has room for, and one that is not free.
fn at_hand(place: &Path) -> String {
    fs::write(place.join("drop"), "192.0.3.0/24\n198.51.100.7\n").expect("a list");
    fs::write(place.join("six"), "2001:db8:bad::/48\n").expect("a list");
    let entry = |name: &str, more: &str| {
        format!(
            r#"{{"name":"{name}","title":"A {name}","category":"attackers","about":"For a test.",
            "url":"http://127.0.0.1:8091/{name}","format":"plain","interval":"12h","direction":"src","risk":"low",
            "home":"https://lists.example.org/",{more}}}"#
        )
    };
    let lists = [
        entry(
            "drop",
            r#""also":["http://127.0.0.1:8091/six"],"licence":"MIT","commercial":true,"hosts":1,"networks":2,"from_mb":1"#,
        ),
        entry("huge", r#""licence":"unknown","hosts":4000000000,"networks":0,"from_mb":1"#),
        entry("doh", r#""licence":"CC BY-NC-SA 4.0","commercial":false,"ports":["443"],"also":[]"#),
    ];
    let path = place.join("catalogue.json");
    fs::write(&path, format!(r#"{{"version":1,"lists":[{}]}}"#, lists.join(","))).expect("a catalogue");
    path.display().to_string()
}

fn json(daemon: &Daemon, arguments: &[&str]) -> Value {
    serde_json::from_str(&daemon.cli(&[arguments, &["--json"]].concat())).expect("JSON")
}

fn item<'a>(catalogue: &'a Value, name: &str) -> &'a Value {
    let lists = catalogue["lists"].as_array().expect("lists");
    lists.iter().find(|item| item["name"] == name).expect("the list")
}

#[test]
fn the_catalogue_is_shown_with_what_each_costs() {
    let _netns = Netns::enter();
    let daemon = Daemon::prepare("", NO_FEED);
    let shown = daemon.cli(&["lists", "--catalogue", SHIPPED]);
    for line in ["name ", "spamhaus ", "1600", "of memory are free"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let catalogue = json(&daemon, &["lists", "--catalogue", SHIPPED]);
    assert!(catalogue["lists"].as_array().expect("lists").len() >= 45);
    let drop = item(&catalogue, "spamhaus");
    assert_eq!((&drop["enabled"], &drop["memory"]), (&Value::Bool(false), &(1600 * 178).into()));
    let said = daemon.cli(&["lists", "show", "dshield", "--catalogue", SHIPPED]);
    assert!(said.contains("licence     CC BY-NC-SA 2.5\n") && said.contains("commercial  not allowed\n"), "{said}");
    let (status, said) = daemon.exit(&["lists", "show", "dshild", "--catalogue", SHIPPED]);
    assert!(status == Some(1) && said.contains("dshield"), "{status:?} {said}");
    for wrong in [&["lists", "sing"][..], &["lists", "show"], &["lists", "enable"], &["lists", "recommend", "x"]] {
        assert_eq!(daemon.exit(&[wrong, &["--catalogue", SHIPPED]].concat()).0, Some(2), "{wrong:?}");
    }
    assert_eq!(daemon.exit(&["lists", "--catalogue", "/nowhere"]).0, Some(1));
}

#[test]
fn lists_are_switched_on_and_off_all_or_none_and_never_beyond_the_memory() {
    let _netns = Netns::enter();
    let place = tempfile::tempdir().expect("a place");
    let path = at_hand(place.path());
    let _server = web::serve(SERVER, place.path(), "8091", None);
    nft_load("table inet fw4 { }");
    let daemon = Daemon::start("", NO_FEED);
    let lists = |words: &[&str]| daemon.exit(&[&["lists"], words, &["--catalogue", &path]].concat());
    let text = || fs::read_to_string(daemon.config()).expect("the configuration");
    let before = text();
    for (words, why) in
        [(&["enable", "drop", "dop"][..], "nearest: drop"), (&["enable", "drop", "huge"], "of memory are free")]
    {
        let (status, said) = lists(words);
        assert!(status == Some(1) && said.contains(why), "{words:?}: {status:?} {said}");
        assert_eq!(text(), before, "{words:?}");
    }
    let said = daemon.cli(&["lists", "enable", "drop", "doh", "--catalogue", &path]);
    assert!(said.contains("drop is switched on: about 1 address and 2 networks, 0.1 MB; licence: MIT\n"), "{said}");
    assert!(
        said.contains("doh is switched on: of unknown size; licence: CC BY-NC-SA 4.0, not for commercial use\n"),
        "{said}"
    );
    // Both of its addresses are one list.
    wait_until(DEADLINE, "it is in force", || {
        daemon.exit(&["check", "192.0.3.9"]).0 == Some(0) && daemon.exit(&["check", "2001:db8:bad::1"]).0 == Some(0)
    });
    let catalogue = json(&daemon, &["lists", "--catalogue", &path]);
    assert_eq!(item(&catalogue, "drop")["enabled"], true);
    assert_eq!(item(&catalogue, "huge")["recommended"], false);
    assert!(item(&catalogue, "huge")["refusal"].is_string());
    // What the owner says in the section stays, off and on again.
    let own = text().replace("option direction 'src'", "option direction 'src-dst' # mine");
    fs::write(daemon.config(), own).expect("written");
    for (words, said, enabled) in [
        (["disable", "drop"], "drop is switched off\n", "option enabled '0'"),
        (["disable", "drop"], "drop was not switched on\n", "option enabled '0'"),
        (["enable", "drop"], "drop is switched on: ", "option enabled '1'"),
        (["enable", "drop"], "drop was switched on already: ", "option enabled '1'"),
    ] {
        let answer = daemon.cli(&["lists", words[0], words[1], "--catalogue", &path]);
        assert!(answer.starts_with(said), "{answer}");
        assert!(text().contains(enabled) && text().contains("'src-dst' # mine"), "{}", text());
    }
    daemon.cli(&["lists", "disable", "drop", "--catalogue", &path]);
    wait_until(DEADLINE, "it is out of force", || daemon.exit(&["check", "192.0.3.9"]).0 == Some(1));
    let recommended = daemon.cli(&["lists", "recommend", "--catalogue", &path]);
    assert!(recommended.contains("drop") && recommended.contains("diswall lists recommend --enable"), "{recommended}");
    let recommended = daemon.cli(&["lists", "recommend", "--enable", "--catalogue", &path]);
    assert!(recommended.starts_with("drop is switched on"), "{recommended}");
    let recommended = daemon.cli(&["lists", "recommend", "--enable", "--catalogue", &path]);
    assert!(recommended.starts_with("all that is recommended"), "{recommended}");
    assert!(daemon.cli(&["lists", "enable", "huge", "--force", "--catalogue", &path]).contains("huge is switched on"));
    // Where no feed runs, the owner hears that none of it comes.
    let fetched =
        |daemon: &Daemon| !daemon.cli(&["lists", "enable", "doh", "--catalogue", &path]).contains("nothing is fetched");
    assert!(fetched(&daemon));
    daemon.configure("\toption local_only '1'", NO_FEED);
    assert!(!fetched(&daemon));
}

/// Answers with the file that the path names, with an ETag; says what was asked and how it was answered.
const COUNTRIES: &str = r#"
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        try:
            body, status = open('.' + self.path, 'rb').read(), 200
        except FileNotFoundError:
            body, status = b'<html>no such country</html>', 404
        if body == b'broken':
            status = 503
        mark = '"%d"' % zlib.crc32(body)
        if status == 200 and self.headers.get('If-None-Match') == mark:
            body, status = b'', 304
        print(self.path, status, flush=True)
        self.send_response(status)
        self.send_header('ETag', mark)
        if status != 304:
            self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
"#;

#[test]
fn countries_and_networks_are_one_list_that_is_kept_while_one_of_them_fails() {
    let _netns = Netns::enter();
    let place = tempfile::tempdir().expect("a place");
    let put = |name: &str, text: &str| fs::write(place.path().join(name), text).expect("written");
    put("cz4", "192.0.3.0/24\n");
    put("cz6", "2001:db8:cc::/48\n");
    put("sk4", "198.51.100.0/25\n");
    put("64496", "203.0.113.64/26\n");
    let server = web::serve(COUNTRIES, place.path(), "8092", None);
    nft_load("table inet fw4 { }");
    let near = "config list 'near'\n\tlist country 'CZ'\n\tlist country 'sk'\n\tlist country 'aq'\n\tlist asn 'AS64496'\n\
                \tlist country_url 'http://127.0.0.1:8092/{country}4'\n\tlist country_url 'http://127.0.0.1:8092/{country}6'\n\
                \tlist asn_url 'http://127.0.0.1:8092/{asn}'\n\toption interval '10m'\n";
    let daemon = Daemon::start("", &format!("{NO_FEED}{near}"));
    let feed =
        || daemon.status()["feeds"].as_array().expect("feeds").iter().find(|feed| feed["name"] == "near").cloned();
    let asked = |count: usize| -> Vec<String> { (0..count).map(|_| server.line(DEADLINE)).collect() };
    let first = asked(7);
    assert_eq!(first, ["/cz4 200", "/cz6 200", "/sk4 200", "/sk6 404", "/aq4 404", "/aq6 404", "/64496 200"]);
    let blocked = |address: &str| daemon.exit(&["check", address]).0 == Some(0);
    wait_until(DEADLINE, "all of it is in force", || {
        ["192.0.3.9", "2001:db8:cc::1", "198.51.100.7", "203.0.113.65"].into_iter().all(blocked)
    });
    let said = daemon.cli(&["check", "192.0.3.9"]);
    for words in ["by near (Czechia, Slovakia, Antarctica, AS64496)", "on the list of Czechia, Slovakia"] {
        assert!(said.contains(words), "{said}");
    }
    // Of Slovakia there is one family; of nobody's continent nothing, which is told.
    let notices = feed().expect("the feed")["notices"].to_string();
    assert!(notices.contains("no networks are published of aq\""), "{notices}");
    // One that fails leaves all of it as it was.
    put("sk4", "broken");
    put("cz4", "192.0.4.0/24\n");
    daemon.cli(&["resync", "near"]);
    wait_until(DEADLINE, "it has failed", || {
        feed().is_some_and(|feed| {
            feed["error"].as_str().is_some_and(|error| error.starts_with("sk: ") && error.contains("503"))
        })
    });
    assert!(blocked("192.0.3.9") && !blocked("192.0.4.9"));
    put("sk4", "198.51.100.0/25\n");
    daemon.cli(&["resync", "near"]);
    wait_until(DEADLINE, "it is whole again", || blocked("192.0.4.9") && !blocked("192.0.3.9"));
    assert!(["2001:db8:cc::1", "198.51.100.7", "203.0.113.65"].into_iter().all(blocked));
}

#[test]
fn a_country_that_is_none_is_refused_with_the_nearest() {
    let _netns = Netns::enter();
    let daemon = Daemon::prepare("", NO_FEED);
    let check = |options: &str| {
        let text = format!("config list 'near'\n{options}");
        fs::write(daemon.path("tried"), text).expect("a configuration");
        daemon.exit(&["config", "check", &daemon.path("tried").display().to_string()]).1
    };
    for (options, said) in [
        ("\tlist country 'chz'\n", "chz is no country and no continent; nearest: "),
        ("\tlist country 'Chzechia'\n", "cz (Czechia)"),
        ("\tlist asn '0'\n", "is no number of an autonomous system"),
        ("\tlist country 'cz'\n\tlist country_url 'https://lists.example.org/x'\n", "has no {country} in it"),
        ("\tlist asn '1'\n\tlist asn_url 'ftp://lists.example.org/{asn}'\n", "neither https:// nor http://"),
        ("\toption use 'block'\n", "without list url"),
    ] {
        let found = check(options);
        assert!(found.contains(said), "{options}: {found}");
    }
    assert!(check("\tlist country 'europe'\n\tlist country 'aq'\n\tlist asn '64496'\n").contains("no errors"));
}
