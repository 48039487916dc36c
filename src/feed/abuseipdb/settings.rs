//! `config abuseipdb 'abuseipdb'`: what reports go by, its defaults, and its options.

use std::path::PathBuf;

use crate::feed::crowdsec::settings::is_key;
use crate::feed::login::known;
use crate::options::value::{self, BadValue, Checked, refuse};
use crate::options::{Checks, Single, list, one, secret};

/// Most reports a day that may be asked for: what AbuseIPDB's largest plan takes.
const LIMIT: u32 = 50_000;

/// AbuseIPDB's categories for a service's failed log-ins: brute force (18), with SSH (22), web application (21), FTP
/// (5) or mail (11). SIP is not among them: its log-ins come by UDP, of which anybody can forge the sender.
const CATEGORIES: [(&str, &str); 7] = [
    ("ssh", "18,22"),
    ("luci", "18,21"),
    ("nginx", "18,21"),
    ("home-assistant", "18,21"),
    ("smtp", "18,11"),
    ("imap", "18,11"),
    ("ftp", "18,5"),
];

/// `config abuseipdb 'abuseipdb'`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `enabled`.
    pub enabled: bool,
    /// `key`.
    pub key: Option<String>,
    /// `key_file`: has the key in its first line.
    pub key_file: Option<PathBuf>,
    /// `daily_limit`: most reports a day, of UTC.
    pub daily_limit: u32,
    /// `categories`: other numbers than the usual, or those of a log of the owner's.
    pub own: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { enabled: false, key: None, key_file: None, daily_limit: 1000, own: Vec::new() }
    }
}

/// The section.
pub const SECTION: Single<Settings> = Single {
    name: "abuseipdb",
    options: &[
        one("enabled", |abuseipdb, given| given.set(&mut abuseipdb.enabled, value::boolean)),
        secret("key", |abuseipdb, given| given.set(&mut abuseipdb.key, key)),
        one("key_file", |abuseipdb, given| given.set(&mut abuseipdb.key_file, |text| value::path(text).map(Some))),
        one("daily_limit", |abuseipdb, given| given.set(&mut abuseipdb.daily_limit, limit)),
        list("categories", |abuseipdb, given| given.add(&mut abuseipdb.own, categories)),
    ],
    check,
};

fn check(abuseipdb: &mut Settings, section: &mut Checks<'_, '_>) {
    if abuseipdb.enabled && !abuseipdb.has_key() {
        section.warn(None, "without key or key_file nothing can be reported".to_owned());
    }
}

impl Settings {
    /// Whether there is something by which AbuseIPDB knows the owner.
    pub fn has_key(&self) -> bool {
        self.key.is_some() || self.key_file.is_some()
    }

    /// The categories for failed log-ins at this service; `None`: they are not reported.
    pub fn categories(&self, service: &str) -> Option<&str> {
        let own = self.own.iter().find(|(name, _)| name == service).map(|(_, numbers)| numbers.as_str());
        own.or_else(|| CATEGORIES.iter().find(|(name, _)| *name == service).map(|(_, numbers)| *numbers))
    }
}

/// A refusal does not repeat it.
fn key(value: &str) -> Checked<Option<String>> {
    if is_key(value) {
        Ok(Some(value.to_owned()))
    } else {
        Err(BadValue::new("the key is not accepted; write the one of your account at AbuseIPDB"))
    }
}

fn limit(value: &str) -> Checked<u32> {
    match value.parse() {
        Ok(limit @ 1..=LIMIT) => Ok(limit),
        _ => refuse(value, "is out of range; write 1 to 50000"),
    }
}

/// `ssh:18,22`.
fn categories(value: &str) -> Checked<(String, String)> {
    let is_name = |name: &str| (1..=25).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    let is_number = |number: &str| {
        (1..=3).contains(&number.len()) && !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    match value.rsplit_once(':') {
        Some((name, _)) if name == "scan" || known::by_udp(name) => {
            refuse(value, "is never reported, for anybody can forge its sender")
        }
        Some((name, numbers))
            if is_name(name) && numbers.split(',').count() <= 8 && numbers.split(',').all(is_number) =>
        {
            Ok((name.to_owned(), numbers.to_owned()))
        }
        _ => refuse(value, "is not accepted; write SERVICE:NUMBER,NUMBER"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reported_as_what() {
        let mut settings = Settings::default();
        assert_eq!(settings.categories("ssh"), Some("18,22"));
        assert_eq!(["sip", "scan", "vpn"].map(|service| settings.categories(service)), [None; 3]);
        settings.own = vec![categories("vpn:18").unwrap(), categories("ssh:22,18,15").unwrap()];
        assert_eq!([settings.categories("vpn"), settings.categories("ssh")], [Some("18"), Some("22,18,15")]);
        for text in [
            "scan:14",
            "sip:18",
            "openvpn:18",
            "strongswan:18",
            "",
            "ssh",
            "ssh:",
            ":18",
            "ssh:18,",
            "ssh:x",
            "ssh:0",
            "ssh:1818",
            "a b:18",
            "ssh:1,2,3,4,5,6,7,8,9",
        ] {
            assert!(categories(text).is_err(), "{text}");
        }
        assert!(limit("0").is_err() && limit("50001").is_err() && limit("5").is_ok());
        assert!(!key("a secret").unwrap_err().to_string().contains("secret"));
    }
}
