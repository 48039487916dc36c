//! The subjects of DisWall, taken apart: `diswall.LIST.LOGIN.VERB.HOST`.

use diswall::feed::nats::wire::token;

/// The host part of what a hub itself publishes in the name of a login; no host name begins so.
pub const HUB_HOST: &str = "_hub";

/// The login that allowances of the whole fleet stand under; no reporter may have it.
pub const FLEET: &str = "_fleet";

/// The hub's own subjects have these where a login stands: `diswall.hub.allow.LOGIN.VERB`.
const WORDS: [&str; 2] = ["allow", "ban"];

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// `blacklist`, `whitelist` or `stats`.
    pub list: String,
    /// Whose; nats-server sees to it that nobody writes another's.
    pub login: String,
    /// `add`, `del` or `init`.
    pub verb: String,
    /// Which of its routers; trust never depends on it.
    pub host: String,
}

impl Parts {
    /// Whether a reporter may have this name. Keys begin with a login or with the family of an address.
    pub fn is_login(name: &str) -> bool {
        token(name).is_ok() && ![FLEET, "v4", "v6"].iter().chain(&WORDS).any(|word| *word == name)
    }

    /// `None`: another subject, or a name that nobody may have.
    pub fn of(subject: &str) -> Option<Parts> {
        let mut parts = subject.split('.').map(str::to_owned);
        if parts.next()? != "diswall" {
            return None;
        }
        let (list, login, verb, host) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let known = parts.next().is_none() && Parts::is_login(&login) && token(&host).is_ok();
        (known && host != HUB_HOST).then_some(Parts { list, login, verb, host })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_diswalls_subjects() {
        let parts = Parts::of("diswall.blacklist.alice.add.turris").map(|parts| (parts.login, parts.verb, parts.host));
        assert_eq!(parts, Some(("alice".into(), "add".into(), "turris".into())));
        let bad = [
            "diswall.blacklist.alice.add",
            "diswall.blacklist.alice.add.a.b",
            "diswall.whitelist._fleet.add.x",
            "diswall.blacklist.v4.add.x",
            "diswall.hub.allow.bob.add",
            "other.blacklist.alice.add.x",
            "diswall.whitelist.alice.add._hub",
            "diswall.blacklist..add.x",
        ];
        for subject in bad {
            assert_eq!(Parts::of(subject), None, "{subject}");
        }
    }
}
