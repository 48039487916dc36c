//! `config nats 'nats'`: what this feed goes by, its defaults, and its options.
//!
//! Where a guess could tell a secret to the wrong server, the account goes with the server.

use std::path::PathBuf;

use crate::options::value::{self, BadValue, Checked, is_host_name, refuse};
use crate::options::{Checks, Single, one, secret, texts};

/// `config nats 'nats'`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `enabled`.
    pub enabled: bool,
    /// `server`: names or addresses, tried in turn; one at least.
    pub servers: Vec<String>,
    /// `port`.
    pub port: u16,
    /// `client_name`: the DisWall login.
    pub client_name: String,
    /// `client_pass`.
    pub client_pass: String,
    /// `nkey_file`: has the seed of the key in it by which the server knows the login, in place of the password.
    pub nkey_file: Option<PathBuf>,
    /// `hostname`: the host part of subjects; `None`: the router's, dots to underscores (and `openwrt`
    /// with the `default` account).
    pub hostname: Option<String>,
    /// `tls`.
    pub tls: bool,
    /// `ca_file`: PEM file of the accepted authorities; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// `share_bans`: publish what this router saw.
    pub share_bans: bool,
    /// `send_statistics`: publish hourly counts.
    pub send_statistics: bool,
    /// `quorum`: other logins that must report an address before it is banned while a hub is away; 0: none will do.
    pub quorum: u8,
    /// `refresh`: a ban's time starts again with every packet of the banned address.
    pub refresh: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            enabled: true,
            servers: vec!["diswall.stream".into()],
            port: 4222,
            client_name: "default".into(),
            client_pass: "default".into(),
            nkey_file: None,
            hostname: None,
            tls: false,
            ca_file: None,
            share_bans: false,
            send_statistics: false,
            quorum: 2,
            refresh: false,
        }
    }
}

/// The section.
pub const SECTION: Single<Settings> = Single {
    name: "nats",
    options: &[
        one("enabled", |nats, given| given.set(&mut nats.enabled, value::boolean)),
        texts("server", |nats, given| given.add(&mut nats.servers, value::server)),
        one("port", |nats, given| given.set(&mut nats.port, value::port)),
        one("client_name", |nats, given| given.set(&mut nats.client_name, client_name)),
        secret("client_pass", |nats, given| given.set(&mut nats.client_pass, client_pass)),
        one("nkey_file", |nats, given| given.set(&mut nats.nkey_file, |text| value::path(text).map(Some))),
        one("hostname", |nats, given| given.set(&mut nats.hostname, |text| host_part(text).map(Some))),
        one("tls", |nats, given| given.set(&mut nats.tls, value::boolean)),
        one("ca_file", |nats, given| given.set(&mut nats.ca_file, |text| value::path(text).map(Some))),
        one("share_bans", |nats, given| given.set(&mut nats.share_bans, value::boolean)),
        one("send_statistics", |nats, given| given.set(&mut nats.send_statistics, value::boolean)),
        one("quorum", |nats, given| given.set(&mut nats.quorum, quorum)),
        one("refresh", |nats, given| given.set(&mut nats.refresh, value::boolean)),
    ],
    check,
};

/// Options that say to whom the account's name and password are told, and how safely.
const TO_WHOM: [&str; 3] = ["server", "tls", "ca_file"];
/// All that says where the server is.
const WHERE: [&str; 4] = ["server", "port", "tls", "ca_file"];
/// What is told.
const TOLD: [&str; 5] = ["client_name", "client_pass", "nkey_file", "share_bans", "send_statistics"];

fn check(nats: &mut Settings, section: &mut Checks<'_, '_>) {
    if nats.tls && !section.is_bad("tls") && !cfg!(feature = "tls") {
        let message = "this diswall was built without TLS: while tls is on, it cannot connect to that feed";
        section.warn(Some("tls"), message.to_owned());
    }
    if TO_WHOM.iter().any(|option| section.is_bad(option)) {
        withhold_account(nats, section);
    }
}

/// What the owner's server may be told is not told to another, or unencrypted.
fn withhold_account(nats: &mut Settings, section: &mut Checks<'_, '_>) {
    let Settings { client_name, client_pass, nkey_file, share_bans, send_statistics, .. } = Settings::default();
    *nats = Settings { client_name, client_pass, nkey_file, share_bans, send_statistics, ..std::mem::take(nats) };
    section.forget(&TOLD);
    if section.had_former() {
        // An account belongs to its server, so the former server comes with it.
        let Settings { servers, port, tls, ca_file, .. } = Settings::default();
        *nats = Settings { servers, port, tls, ca_file, ..std::mem::take(nats) };
        section.forget(&WHERE);
        section.put_back(&WHERE, &SECTION, nats);
        section.put_back(&TOLD, &SECTION, nats);
    }
    let message = "until it is certain which server is meant and how, it is told no account and no bans but those of \
                   the configuration that was in force";
    section.warn(None, message.to_owned());
}

/// How many logins must agree: 0 to 16.
fn quorum(value: &str) -> Checked<u8> {
    match value.parse() {
        Ok(number @ 0..=16) => Ok(number),
        _ => refuse(value, "is no number of logins; write 0 (nothing is taken) to 16"),
    }
}

/// A DisWall login: it becomes one token of a NATS subject, so no blanks, dots, `*` or `>`.
fn client_name(value: &str) -> Checked<String> {
    if is_token(value) {
        return Ok(value.to_owned());
    }
    refuse(value, "is no login; write 1 to 64 visible characters without dots, * and >")
}

/// A password: no control characters, at most 256 bytes. A refusal does not repeat it.
fn client_pass(value: &str) -> Checked<String> {
    if value.len() <= 256 && !value.chars().any(char::is_control) {
        return Ok(value.to_owned());
    }
    Err(BadValue::new("the password is not accepted; write at most 256 bytes without control characters"))
}

/// The host part of a NATS subject: a host name; its dots become underscores on the wire.
fn host_part(value: &str) -> Checked<String> {
    if is_host_name(value) && value.len() <= 64 {
        return Ok(value.to_owned());
    }
    refuse(value, "is no host name; write 1 to 64 letters, digits, -, _ and dots")
}

fn is_token(value: &str) -> bool {
    (1..=64).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic() && !b".*>".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: std::fmt::Debug>(result: Checked<T>) -> String {
        result.expect_err("a refusal").to_string()
    }

    #[test]
    fn logins() {
        for text in ["default", "me@home", "a-b_c"] {
            assert_eq!(client_name(text).as_deref(), Ok(text));
        }
        for text in ["", "a.b", "*", ">", "a b", "é"] {
            assert!(
                refusal(client_name(text))
                    .ends_with("is no login; write 1 to 64 visible characters without dots, * and >")
            );
        }
        assert_eq!(client_pass("it's é").as_deref(), Ok("it's é"));
        let said = refusal(client_pass("secret\n"));
        assert!(!said.contains("secret"), "a password must not be repeated: {said}");
        for text in ["", "-1", "17", "two"] {
            assert!(refusal(quorum(text)).contains("0 (nothing is taken) to 16"), "{text}");
        }
        assert_eq!((quorum("0"), quorum("16")), (Ok(0), Ok(16)));
        assert_eq!(host_part("router.example.org").as_deref(), Ok("router.example.org"));
        for text in ["", "a b", "*", ">", "a..b"] {
            assert!(refusal(host_part(text)).contains("is no host name"), "{text}");
        }
    }
}
