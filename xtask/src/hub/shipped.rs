//! What an owner of a hub pastes together: nats-server's configuration as it is shipped, and what `diswall-hub user add`
//! prints.

use std::path::Path;

use crate::Result;
use crate::command::{command, output};
use crate::files::read_text;

/// The hub's login, and its password, which is the same word.
pub const HUB: &str = "hub";

/// nats-server's configuration with these users.
pub fn nats_server(listen: &str, store: &Path, users: &str) -> Result<String> {
    let text = read_text(Path::new("contrib/hub/nats-server.conf"))?;
    let store = store.display().to_string();
    let changes = [
        ("0.0.0.0:4222", listen),
        ("/var/lib/nats", store.as_str()),
        ("A-LONG-WORD", HUB),
        ("# Here goes what `diswall-hub user add LOGIN` prints.", users),
    ];
    changes.iter().try_fold(text, |text, (old, new)| {
        if text.contains(old) { Ok(text.replace(old, new)) } else { Err(format!("nats-server.conf has no {old:?}")) }
    })
}

/// The entry for nats-server, and the router's options, of a new login.
pub fn user(hub: &Path, configuration: &Path, login: &str) -> Result<(String, String)> {
    let mut add = command(&hub.to_string_lossy(), &["-c"]);
    pasted(&output(add.arg(configuration).args(["user", "add", login]))?)
}

fn pasted(printed: &str) -> Result<(String, String)> {
    let user = printed.lines().skip_while(|line| !line.starts_with('{')).take_while(|line| !line.is_empty());
    let user: String = user.flat_map(|line| [line, "\n"]).collect();
    let options = printed.lines().filter_map(|line| {
        // `uci -q delete` and `uci commit` are none.
        let (kind, rest) = line.strip_prefix("uci set ").map(|rest| ("option", rest)).or_else(|| {
            let rest = line.strip_prefix("uci add_list ")?;
            Some(("list", rest))
        })?;
        let (name, value) = rest.strip_prefix("diswall.nats.")?.split_once('=')?;
        Some(format!("\t{kind} {name} {value}\n"))
    });
    let options: String = options.collect();
    if user.is_empty() || options.is_empty() {
        return Err(format!("diswall-hub user add printed neither:\n{printed}"));
    }
    Ok((user, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_pasted_is_found() {
        let printed = "# For nats-server\n{ user: \"a\", x: {\n  y } }\n\n# Router\nuci set diswall.nats.port='1'\nuci add_list diswall.nats.server='s'\nuci commit\n";
        let expected =
            ("{ user: \"a\", x: {\n  y } }\n".to_owned(), "\toption port '1'\n\tlist server 's'\n".to_owned());
        assert_eq!(pasted(printed), Ok(expected));
        assert!(pasted("no such login\n").is_err());
    }
}
