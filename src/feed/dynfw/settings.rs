//! `config dynfw 'dynfw'`: what this feed goes by, its defaults, and its options.

use std::time::Duration;

use crate::options::value::{self, Checked, refuse};
use crate::options::{Single, one, one_or_none};

/// `config dynfw 'dynfw'`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `enabled`.
    pub enabled: bool,
    /// `server`: name or address.
    pub server: String,
    /// `port`.
    pub port: u16,
    /// `server_key`: CURVE public key, 40 Z85 characters; `None`: no CURVE.
    pub server_key: Option<String>,
    /// `key_url`: where a rotated key is published; `None`: never fetched.
    pub key_url: Option<String>,
    /// `max_age`: without contact for longer, its bans lapse.
    pub max_age: Duration,
    /// `events`: follow the suspicious events that Sentinel sees, for `diswall watch`.
    pub events: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            enabled: true,
            server: "sentinel.turris.cz".into(),
            port: 7087,
            server_key: Some("D=rkicUyn5AcL)>9$2Db0HIELd2F*WaS-zDTikU*".into()),
            key_url: Some("https://repo.turris.cz/sentinel/dynfw.pub".into()),
            max_age: Duration::from_secs(24 * 3600),
            events: false,
        }
    }
}

/// The section.
pub const SECTION: Single<Settings> = Single {
    name: "dynfw",
    options: &[
        one("enabled", |dynfw, given| given.set(&mut dynfw.enabled, value::boolean)),
        one("server", |dynfw, given| given.set(&mut dynfw.server, value::server)),
        one("port", |dynfw, given| given.set(&mut dynfw.port, value::port)),
        one_or_none("server_key", |dynfw, given| given.set_or_none(&mut dynfw.server_key, server_key)),
        one_or_none("key_url", |dynfw, given| given.set_or_none(&mut dynfw.key_url, value::https_url)),
        one("max_age", |dynfw, given| given.set(&mut dynfw.max_age, value::positive_duration)),
        one("events", |dynfw, given| given.set(&mut dynfw.events, value::boolean)),
    ],
    check: |_, _| {},
};

/// A CURVE public key: 40 characters of Z85 (ZeroMQ RFC 32) that decode to 32 bytes.
fn server_key(value: &str) -> Checked<String> {
    if value.len() != 40 {
        let length = value.chars().count();
        return refuse(value, &format!("has {length} characters; write a CURVE public key, 40 characters of Z85"));
    }
    match omq_proto::CurvePublicKey::from_z85(value) {
        Ok(_) => Ok(value.to_owned()),
        Err(error) => refuse(value, &format!("is no CURVE public key in Z85: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: std::fmt::Debug>(result: Checked<T>) -> String {
        result.expect_err("a refusal").to_string()
    }

    #[test]
    fn server_keys() {
        let good = "D=rkicUyn5AcL)>9$2Db0HIELd2F*WaS-zDTikU*";
        assert_eq!(server_key(good).as_deref(), Ok(good));
        assert!(
            refusal(server_key(&good[1..]))
                .ends_with("has 39 characters; write a CURVE public key, 40 characters of Z85")
        );
        // Right in form: characters of Z85, but beyond 32 bits in a group.
        assert!(refusal(server_key(&"#".repeat(40))).contains("is no CURVE public key in Z85: "));
        assert!(refusal(server_key(&good.replace('=', "\""))).contains("is no CURVE public key in Z85: "));
        assert!(refusal(server_key(&"é".repeat(20))).contains("is no CURVE public key in Z85: "));
    }
}
