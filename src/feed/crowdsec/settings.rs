//! `config crowdsec 'crowdsec'`: what this feed goes by, its defaults, and its options.

use std::path::PathBuf;
use std::time::Duration;

use crate::feed::fetch;
use crate::options::value::{self, BadValue, Checked, refuse};
use crate::options::{Checks, Single, list, one, secret};

/// Shortest and longest time between two questions.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(3600));
/// Longest word that decisions are chosen by.
const WORD: usize = 128;

/// `config crowdsec 'crowdsec'`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `enabled`.
    pub enabled: bool,
    /// `url`: of the local API.
    pub url: String,
    /// `api_key`.
    pub api_key: Option<String>,
    /// `api_key_file`: has the key in its first line.
    pub api_key_file: Option<PathBuf>,
    /// `cert`: PEM file of a client certificate, in place of a key.
    pub cert: Option<PathBuf>,
    /// `key`: PEM file of its key.
    pub key: Option<PathBuf>,
    /// `interval`: time between two questions.
    pub interval: Duration,
    /// `scopes`: what decisions may be about.
    pub scopes: Vec<String>,
    /// `origins`: of these alone; empty: of all.
    pub origins: Vec<String>,
    /// `scenarios_containing`: of those with one of these words alone; empty: of all.
    pub scenarios_containing: Vec<String>,
    /// `scenarios_not_containing`: of those with one of these words none.
    pub scenarios_not_containing: Vec<String>,
    /// `dedup`: of several decisions about the same only the longest is asked for.
    pub dedup: bool,
    /// `usage_metrics`: the local API is told how much was dropped, where it wants to know.
    pub usage_metrics: bool,
    /// `types` has `captcha`: who is to solve a riddle is blocked too.
    pub captcha: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            enabled: false,
            url: "http://127.0.0.1:8080/".into(),
            api_key: None,
            api_key_file: None,
            cert: None,
            key: None,
            interval: Duration::from_secs(10),
            scopes: vec!["ip".into(), "range".into()],
            origins: Vec::new(),
            scenarios_containing: Vec::new(),
            scenarios_not_containing: Vec::new(),
            dedup: true,
            usage_metrics: true,
            captcha: false,
        }
    }
}

/// The section.
pub const SECTION: Single<Settings> = Single {
    name: "crowdsec",
    options: &[
        one("enabled", |crowdsec, given| given.set(&mut crowdsec.enabled, value::boolean)),
        one("url", |crowdsec, given| given.set(&mut crowdsec.url, url)),
        secret("api_key", |crowdsec, given| given.set(&mut crowdsec.api_key, api_key)),
        one("api_key_file", |crowdsec, given| given.set(&mut crowdsec.api_key_file, file)),
        one("cert", |crowdsec, given| given.set(&mut crowdsec.cert, file)),
        one("key", |crowdsec, given| given.set(&mut crowdsec.key, file)),
        one("interval", |crowdsec, given| given.set(&mut crowdsec.interval, interval)),
        list("scopes", |crowdsec, given| given.add(&mut crowdsec.scopes, scope)),
        list("origins", |crowdsec, given| given.add(&mut crowdsec.origins, word)),
        list("scenarios_containing", |crowdsec, given| given.add(&mut crowdsec.scenarios_containing, word)),
        list("scenarios_not_containing", |crowdsec, given| given.add(&mut crowdsec.scenarios_not_containing, word)),
        one("dedup", |crowdsec, given| given.set(&mut crowdsec.dedup, value::boolean)),
        one("usage_metrics", |crowdsec, given| given.set(&mut crowdsec.usage_metrics, value::boolean)),
        list("types", |crowdsec, given| {
            crowdsec.captcha |= kind(given.text())?;
            Ok(None)
        }),
    ],
    check,
};

/// What says to whom the key is told.
const TO_WHOM: [&str; 1] = ["url"];
/// What is told.
const TOLD: [&str; 4] = ["api_key", "api_key_file", "cert", "key"];

fn check(crowdsec: &mut Settings, section: &mut Checks<'_, '_>) {
    if section.is_bad("url") {
        // A key belongs to its server.
        let Settings { api_key, api_key_file, cert, key, .. } = Settings::default();
        *crowdsec = Settings { api_key, api_key_file, cert, key, ..std::mem::take(crowdsec) };
        section.forget(&TOLD);
        if section.had_former() {
            section.forget(&TO_WHOM);
            section.put_back(&TO_WHOM, &SECTION, crowdsec);
            section.put_back(&TOLD, &SECTION, crowdsec);
        }
        section.warn(None, "until it is certain which local API is meant, it is told no key".to_owned());
    }
    if !crowdsec.enabled {
        return;
    }
    if crowdsec.cert.is_some() && !crowdsec.url.starts_with("https://") {
        section.warn(Some("cert"), "cert: a certificate is shown over https:// alone".to_owned());
    }
    if !crowdsec.has_key() && !section.is_bad("url") {
        let message = "without api_key, api_key_file or cert the local API refuses every question: \
                       `cscli bouncers add NAME` makes a key";
        section.warn(None, message.to_owned());
    }
}

impl Settings {
    /// Whether there is something by which the local API knows this router.
    pub fn has_key(&self) -> bool {
        self.api_key.is_some() || self.api_key_file.is_some() || self.cert.is_some()
    }

    /// Name or address and port of the local API.
    pub fn server(&self) -> (&str, u16) {
        fetch::server(&self.url).unwrap_or(("", 0))
    }

    /// Whether nobody on the way can read the key.
    pub fn is_encrypted(&self) -> bool {
        self.is_local() || self.url.starts_with("https://")
    }

    /// Whether it runs on this router.
    pub fn is_local(&self) -> bool {
        let (host, _) = self.server();
        host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }

    /// The path of a question for decisions.
    pub fn path(&self, startup: bool) -> String {
        let mut path = String::from("v1/decisions/stream?startup=");
        path.push_str(if startup { "true" } else { "false" });
        if !self.dedup {
            path.push_str("&dedup=false");
        }
        for (name, words) in [
            ("scopes", &self.scopes),
            ("origins", &self.origins),
            ("scenarios_containing", &self.scenarios_containing),
            ("scenarios_not_containing", &self.scenarios_not_containing),
        ] {
            for (index, word) in words.iter().enumerate() {
                path.extend(if index == 0 { ["&", name, "="] } else { [",", "", ""] });
                encode(word, &mut path);
            }
        }
        path
    }
}

/// A word as it stands in an address.
pub fn encode(word: &str, out: &mut String) {
    for byte in word.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |number: u8| DIGITS.get(usize::from(number)).copied().map_or('0', char::from);
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

fn url(value: &str) -> Checked<String> {
    let web = value.starts_with("http://") || value.starts_with("https://");
    match fetch::check(value) {
        Ok(()) if web && !value.contains(['?', '#']) => Ok(value.to_owned()),
        Err(error) if web => Err(BadValue::new(&error)),
        // It is not repeated: what stands behind a question mark may be a key.
        _ => Err(BadValue::new("this is no address of a local API; write http://HOST:8080/")),
    }
}

/// A key: visible characters. A refusal does not repeat it.
fn api_key(value: &str) -> Checked<Option<String>> {
    if is_key(value) {
        return Ok(Some(value.to_owned()));
    }
    Err(BadValue::new("the key is not accepted; write what `cscli bouncers add NAME` says"))
}

/// Whether it can be a key. The seed of an NKEY is none: it is lent to the daemon for its signature, and whoever may
/// write the configuration must not have it sent somewhere.
pub fn is_key(value: &str) -> bool {
    let is_seed = value.len() == 58
        && value.starts_with('S')
        && value.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7'));
    (1..=256).contains(&value.len()) && !is_seed && value.bytes().all(|byte| byte.is_ascii_graphic())
}

fn file(value: &str) -> Checked<Option<PathBuf>> {
    value::path(value).map(Some)
}

fn interval(value: &str) -> Checked<Duration> {
    let interval = value::duration(value)?;
    if (INTERVALS.0..=INTERVALS.1).contains(&interval) {
        return Ok(interval);
    }
    refuse(value, "is out of range; write 2s to 1h")
}

fn scope(value: &str) -> Checked<String> {
    match value {
        "ip" | "range" => Ok(value.to_owned()),
        "as" | "country" => refuse(value, "cannot be followed by a firewall; config list has networks and countries"),
        _ => refuse(value, "is no scope; write ip or range"),
    }
}

fn word(value: &str) -> Checked<String> {
    let plain = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if plain && (1..=WORD).contains(&value.len()) {
        return Ok(value.to_owned());
    }
    refuse(value, "is not accepted; write 1 to 128 visible characters without commas")
}

fn kind(value: &str) -> Checked<bool> {
    match value {
        "ban" => Ok(false),
        "captcha" => Ok(true),
        _ => refuse(value, "is no type that a firewall can follow; write ban or captcha"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_what_is_wanted() {
        let mut settings = Settings::default();
        assert_eq!(settings.path(true), "v1/decisions/stream?startup=true&scopes=ip,range");
        settings.dedup = false;
        settings.origins = vec!["crowdsec".into(), "lists".into()];
        settings.scenarios_not_containing = vec!["a b&c=é".into()];
        let expected = "v1/decisions/stream?startup=false&dedup=false&scopes=ip,range&origins=crowdsec,lists&\
                        scenarios_not_containing=a%20b%26c%3D%C3%A9";
        assert_eq!(settings.path(false), expected);
    }

    #[test]
    fn words_that_are_no_options() {
        for text in ["http://10.0.0.2:8080/", "https://lapi.example", "http://[fd00::2]:8080/crowdsec/"] {
            assert_eq!(url(text).as_deref(), Ok(text));
        }
        for text in ["", "10.0.0.2:8080", "/etc/passwd", "file:///x", "http://a/?x=1", "http://u:p@a/", "http://a b/"] {
            assert!(url(text).is_err(), "{text}");
        }
        assert!(is_key("0123456789abcdef") && is_key(&"S".repeat(64)));
        assert!(!is_key("SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ"), "an NKEY's seed");
        for said in [api_key("top secret").unwrap_err(), url("http://a/?key=secret").unwrap_err()] {
            assert!(!said.to_string().contains("secret"), "{said}");
        }
        assert!(scope("country").unwrap_err().to_string().contains("config list"));
        assert!(kind("throttle").is_err() && word("a,b").is_err() && interval("1s").is_err());
        assert!(Settings::default().is_local());
        let other = Settings { url: "http://10.0.0.2:8080/".into(), ..Settings::default() };
        assert!(!other.is_local());
        assert_eq!(other.server(), ("10.0.0.2", 8080));
    }
}
