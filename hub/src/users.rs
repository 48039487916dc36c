//! A router's login: what nats-server must know of it, and what the router must.
//!
//! The permissions are what makes a reporter a reporter: a login can write on its own subjects alone.

use std::io::Read;

use diswall::feed::nats::hub::wire::{CHANGES, HELLO, KEPT, REPORTS};
use diswall::feed::nats::wire::{DEFAULT_LOGIN, token};

use crate::config::host_and_port;
use crate::subject::Parts;

/// What a leaf's nats-server makes of a question for the first list: nothing of `$JS` crosses to the hub's.
const KEPT_OVER_LEAVES: &str = "diswall.hub.kept";

/// Letters and digits of a password: 143 bits.
const LENGTH: usize = 24;

/// How the router proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A password, which nats-server's configuration has too.
    Password,
    /// A key pair: nothing secret crosses the wire, and nothing secret is in nats-server's configuration.
    Nkey,
}

/// What to paste where.
///
/// # Errors
/// The name cannot be a login; or there is nothing random.
pub fn add(login: &str, proof: Proof, any_inbox: bool, servers: &[String]) -> Result<String, String> {
    token(login).map_err(|error| error.to_string())?;
    if login == DEFAULT_LOGIN || !Parts::is_login(login) || login.contains(['\'', '"', '\\']) {
        return Err(format!("\"{login}\" cannot be a router's login"));
    }
    let (known, router) = match proof {
        Proof::Password => {
            let password = password()?;
            (
                format!("user: \"{login}\", password: \"{password}\""),
                format!("uci set diswall.nats.client_pass='{password}'"),
            )
        }
        Proof::Nkey => {
            let pair = nkeys::KeyPair::new_user();
            let seed = pair.seed().map_err(|error| error.to_string())?;
            let put = "install -d -m 750 -g diswall /etc/diswall\n(umask 037; echo SEED > /etc/diswall/nkey; chgrp diswall \
                       /etc/diswall/nkey)\nuci set diswall.nats.nkey_file='/etc/diswall/nkey'";
            (format!("nkey: {}", pair.public_key()), put.replace("SEED", &seed))
        }
    };
    if any_inbox {
        let Some(password) = known.rsplit_once(": ").map(|(_, password)| password).filter(|_| proof == Proof::Password)
        else {
            return Err("diswall-rs knows passwords alone: leave --nkey out".into());
        };
        return Ok(format!("{NATS}{}\n\n{}", entry(login, &known, true), theirs(login, password, servers)));
    }
    Ok(format!(
        "{NATS}{}\n\n# For the router, as root\n{}{router}\nuci set diswall.nats.enabled='1'\nuci set diswall.nats.client_name='{login}'\nuci \
         set diswall.nats.share_bans='1'\nuci commit diswall\nservice diswall reload\n",
        entry(login, &known, false),
        place(servers)
    ))
}

/// Where the first part goes.
const NATS: &str = "# For nats-server's configuration, among FLEET's users; then: nats-server --signal reload\n";

/// What the hub and diswall-rs must be told.
fn theirs(login: &str, password: &str, servers: &[String]) -> String {
    let (host, port) = servers.first().map_or(("", 4222), |server| host_and_port(server));
    format!(
        "# For /etc/diswall-hub/hub.toml; then: systemctl restart diswall-hub\n[routers]\ndiswall_rs = \
         [\"{login}\"]\n\n# For /etc/diswall/diswall.conf, where diswall-rs is; server is the address by which it \
         reaches nats-server\n[nats]\nserver = \"{host}\"\nport = {port}\nclient_name = \"{login}\"\nclient_pass = \
         {password}\n"
    )
}

/// What a login may do. `publish: []` would forbid nothing, so every list names something.
fn entry(login: &str, known: &str, any_inbox: bool) -> String {
    // async-nats asks from inboxes of three words, everybody else's here have more. The denial is needed because
    // nats-server takes a subscription that is wider than what is allowed, and then hands on what it does not deny.
    let (inbox, deny) = if any_inbox {
        ("_INBOX.*.*".to_owned(), ", deny: [\"_INBOX.*.*.>\"]")
    } else {
        (format!("_INBOX.{login}.>"), "")
    };
    format!(
        "{{ {known}, permissions: {{\n    publish: {{ allow: [\"diswall.*.{login}.*.*\", \"{HELLO}\", \"{KEPT}\", \
         \"{KEPT_OVER_LEAVES}\"] }}\n    subscribe: {{ allow: [\"{inbox}\", \"diswall.*.{login}.*.*\", \"{CHANGES}\", \
         \"diswall.blacklist.new\", \"{REPORTS}\"]{deny} }} }} }}"
    )
}

/// Where the router finds the nats-servers; all of them have one port there.
fn place(servers: &[String]) -> String {
    let Some(first) = servers.first() else { return String::new() };
    let mut lines = String::from("uci -q delete diswall.nats.server\n");
    let mut local = false;
    for server in servers {
        let (host, _) = host_and_port(server);
        local |= host.starts_with("127.") || host == "localhost" || host == "::1";
        lines.push_str(&format!("uci add_list diswall.nats.server='{host}'\n"));
    }
    if local {
        lines.insert_str(0, "# Put the address by which routers reach nats-server in place of the hub's own:\n");
    }
    lines.push_str(&format!("uci set diswall.nats.port='{}'\n", host_and_port(first).1));
    if first.starts_with("tls://") {
        lines.push_str("uci set diswall.nats.tls='1'\n");
    }
    lines
}

/// Something that nobody can guess.
///
/// # Errors
/// There is nothing random.
pub fn password() -> Result<String, String> {
    let told = |error: std::io::Error| format!("/dev/urandom: {error}");
    let file = std::fs::File::open("/dev/urandom").map_err(told)?;
    let mut random = std::io::BufReader::with_capacity(2 * LENGTH, file).bytes();
    let mut password = String::new();
    while password.len() < LENGTH {
        let byte = random.next().ok_or("/dev/urandom ended")?.map_err(told)?;
        // 62 characters; what is above four times that would make some likelier.
        if let Some(character) = (byte < 248).then(|| ALPHABET.get(usize::from(byte % 62))).flatten() {
            password.push(char::from(*character));
        }
    }
    Ok(password)
}

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_that_cannot_be_logins_are_refused() {
        for bad in ["", "a.b", "*", "default", "_fleet", "allow", "ban", "a'b", "a\"b", "a b"] {
            assert!(add(bad, Proof::Password, false, &[]).is_err(), "{bad}");
        }
        let text = add("alice", Proof::Password, false, &["tls://hub.example.net:4223".into()]).unwrap();
        for line in
            ["add_list diswall.nats.server='hub.example.net'", "diswall.nats.port='4223'", "diswall.nats.tls='1'"]
        {
            assert!(text.contains(line), "{text}");
        }
        let theirs = add("old", Proof::Password, true, &["nats://hub.example.net".into()]).unwrap();
        for line in [
            "diswall_rs = [\"old\"]",
            "server = \"hub.example.net\"\nport = 4222",
            "client_pass = \"",
            "deny: [\"_INBOX.*.*.>\"]",
        ] {
            assert!(theirs.contains(line) && !theirs.contains("uci"), "{theirs}");
        }
        assert!(add("old", Proof::Nkey, true, &[]).is_err());
        assert_ne!(text, add("alice", Proof::Password, false, &[]).unwrap());
    }
}
