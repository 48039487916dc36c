//! The settings as an account that may only read sees them: LuCI's read-only pages and a page that has to
//! say what is wrong with the file get them from here, never the file itself.
//!
//! Handed out is what diswall knows of a configuration, less its secrets. An option that diswall does not
//! know may be anything, a password with a slip in its name too, and stays where it is. Runs as root, in
//! rpcd's call; reads the configuration and nothing else.

use std::path::Path;

use crate::config::{Severity, last_good, options_of};
use crate::control::protocol::Problem;
use crate::json::fields;
use crate::options::uci;

/// Most bytes of values that are handed out: a ubus message ends at 1 MiB.
const VALUES_MAX: usize = 500_000;

/// What `config` answers, without a daemon as well: how the configuration file was read, and what it says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handout {
    /// The file.
    pub file: String,
    /// What is in force: `file`, `last_good`, `readable` (what could be read of a broken file), `nothing`.
    pub in_force: String,
    /// `uci` can read the file, and so can LuCI's own forms.
    pub readable: bool,
    /// A last good configuration is kept, for `restore`.
    pub restorable: bool,
    /// What is wrong with the file, each with its line.
    pub problems: Vec<Problem>,
    /// The file's sections, as far as they can be read.
    pub sections: Vec<HandoutSection>,
    /// Sections that were left out because there are so many.
    pub left_out: u64,
}

/// One section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HandoutSection {
    /// Its type.
    pub kind: String,
    /// Its name; absent: it has none.
    pub name: Option<String>,
    /// Its options that are no secrets.
    pub options: Vec<HandoutOption>,
}

/// One option.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HandoutOption {
    /// Its name.
    pub name: String,
    /// It is a `list`.
    pub list: bool,
    /// Its values; an `option` has one.
    pub values: Vec<String>,
}

fields!(Handout { file, in_force, readable, restorable, problems, sections, left_out });
fields!(HandoutSection { kind, name, options });
fields!(HandoutOption { name, list, values });

/// What there is to hand out of the configuration at `config`.
pub fn of(config: &Path) -> Handout {
    let restorable = last_good::text(config).is_some();
    let (in_force, readable, problems) = match last_good::load(config) {
        Ok(loaded) if !loaded.broken => ("file", true, loaded.problems),
        Ok(loaded) => (if restorable { "last_good" } else { "readable" }, false, loaded.problems),
        Err(problems) => ("nothing", false, problems),
    };
    let text = crate::config::read::read_bounded(config).unwrap_or_default();
    let (sections, _) = uci::sections(&text);
    let mut room = VALUES_MAX;
    let mut handed = Vec::new();
    let mut left_out = 0;
    for section in &sections {
        match room.checked_sub(weight(section)) {
            Some(left) => {
                room = left;
                handed.push(section_of(section));
            }
            None => left_out += 1,
        }
    }
    Handout {
        file: config.display().to_string(),
        in_force: in_force.into(),
        readable,
        restorable,
        problems: problems.lines().map(problem).collect(),
        sections: handed,
        left_out,
    }
}

fn problem((severity, text): (Severity, String)) -> Problem {
    let severity = if severity == Severity::Error { "error" } else { "warning" };
    Problem { key: "config".into(), severity: severity.into(), text }
}

/// Bytes of the section, roughly, with what JSON puts around them.
fn weight(section: &uci::Section<'_>) -> usize {
    let value = |value: &uci::Value<'_>| match value {
        uci::Value::Single(text) => text.len() + 40,
        uci::Value::List(texts) => texts.iter().map(|(_, text)| text.len() + 4).sum::<usize>() + 40,
    };
    section.options.iter().map(|entry| entry.name.len() + value(&entry.value)).sum::<usize>() + 60
}

fn section_of(section: &uci::Section<'_>) -> HandoutSection {
    let known = options_of(&section.kind);
    let shown = |entry: &&uci::Stated<'_>| known.contains(&(entry.name.as_ref(), false));
    let option = |entry: &uci::Stated<'_>| {
        let (list, values) = match &entry.value {
            uci::Value::Single(text) => (false, vec![text.to_string()]),
            uci::Value::List(texts) => (true, texts.iter().map(|(_, text)| text.to_string()).collect()),
        };
        HandoutOption { name: entry.name.to_string(), list, values }
    };
    let mut options: Vec<HandoutOption> = section.options.iter().filter(shown).map(option).collect();
    for value in options.iter_mut().filter(|option| option.name.ends_with("url")).flat_map(|option| &mut option.values)
    {
        *value = without_keys(value);
    }
    HandoutSection { kind: section.kind.to_string(), name: section.name.as_ref().map(ToString::to_string), options }
}

/// An address from the web as it is handed out: behind its question mark, or the sign of a fragment, there is a key as a rule;
/// and before its host a password, though no list that has one there is fetched.
fn without_keys(url: &str) -> String {
    let (place, key) = url.find(['?', '#']).map_or((url, ""), |at| url.split_at(at));
    let scheme = place.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = place.split_at(scheme);
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (login, host) = host.rfind('@').map_or(("", host), |at| ("…@", host.get(at + 1..).unwrap_or_default()));
    let key = key.get(..1).map_or(String::new(), |sign| format!("{sign}…"));
    [scheme, login, host, path, &key].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::kinds;
    use crate::json;

    #[test]
    fn no_key_of_an_address_is_handed_out() {
        for (url, shown) in [
            ("https://lists.example/a/b.txt", "https://lists.example/a/b.txt"),
            ("https://lists.example/a?key=hunter2&x=@/", "https://lists.example/a?…"),
            ("https://lists.example/a#key=hunter2", "https://lists.example/a#…"),
            ("http://user:hunter2@lists.example/a@b", "http://…@lists.example/a@b"),
            ("http://user:hun@ter2@lists.example", "http://…@lists.example"),
            ("user:hunter2@lists.example?", "…@lists.example?…"),
            ("/etc/lists/own.txt", "/etc/lists/own.txt"),
            ("?é", "?…"),
            ("", ""),
        ] {
            assert_eq!(without_keys(url), shown);
        }
    }

    fn handed(text: &str) -> (Handout, String) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("diswall");
        std::fs::write(&file, text).unwrap();
        let handout = of(&file);
        let text = json::to_string(&handout);
        (handout, text)
    }

    #[test]
    fn no_secret_and_nothing_unknown_is_handed_out() {
        let (handout, text) = handed(
            "config nats 'nats'\n\toption client_name 'me'\n\toption client_pass 'hunter2'\n\
             \toption client_pas 'hunter2'\n\tlist client_pass 'hunter2'\n\
             config nats 'other'\n\toption client_pass 'hunter2'\nconfig vault 'x'\n\toption key 'hunter2'\n",
        );
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(handout.sections.len(), 3);
        assert_eq!(handout.sections[0].options[0].values, ["me"]);
    }

    #[test]
    fn a_key_in_the_address_of_a_list_is_not_handed_out() {
        let (_, text) = handed("config list 'x'\n\tlist url 'https://lists.example.org/x?key=hunter2'\n");
        assert!(text.contains("lists.example.org/x") && !text.contains("hunter2"), "{text}");
    }

    /// What is said against a line must not quote a secret that stands on it.
    #[test]
    fn no_complaint_repeats_a_secret() {
        for line in [
            "option client_pass hunter2 hunter2",
            "option client_pass 'a\u{7}hunter2'",
            "list client_pass 'hunter2'",
            "option client_pass 'x'\n\toption client_pass 'hunter2'",
            "option client_pas 'hunter2'",
            "option client_pass 'hunter2",
        ] {
            let (_, text) = handed(&format!("config nats 'nats'\n\t{line}\n\toption server 'x.example'\n"));
            assert!(!text.contains("hunter2"), "{line}: {text}");
        }
    }

    #[test]
    fn a_broken_file_is_handed_out_as_far_as_it_can_be_read_with_its_lines() {
        let (handout, text) = handed("config diswall 'main'\n\toption action 'explode'\n\toption log_drops '1\n");
        assert!(!handout.readable && handout.in_force == "readable", "{text}");
        for line in [":2: error:", ":3: error:"] {
            assert!(handout.problems.iter().any(|problem| problem.text.contains(line)), "{line} {text}");
        }
        assert_eq!(handout.sections[0].options[0].name, "action");
        let (handout, text) = handed("config diswall 'main'\n\toption action 'explode'\n");
        assert!(handout.readable && handout.in_force == "file" && handout.problems[0].severity == "error", "{text}");
        let missing = of(Path::new("/nonexistent/diswall"));
        assert!(!missing.readable && missing.in_force == "nothing" && !missing.problems.is_empty());
    }

    #[test]
    fn what_is_handed_out_fits_a_message() {
        let section = format!("config allow\n\toption ip '192.0.2.1'\n\toption comment '{}'\n", "x".repeat(120));
        let (handout, text) = handed(&section.repeat(4500));
        assert!(text.len() < 1 << 20, "{}", text.len());
        assert_eq!(handout.sections.len() as u64 + handout.left_out, 4500);
        assert!(handout.left_out > 0);
    }

    /// A new option that sounds like a secret has to be judged before it is handed out.
    #[test]
    fn whatever_sounds_like_a_secret_is_one_or_is_known_not_to_be() {
        const PUBLIC: &[(&str, &str)] = &[
            ("dynfw", "server_key"),
            ("dynfw", "key_url"),
            // Paths, from here on.
            ("nats", "nkey_file"),
            ("crowdsec", "api_key_file"),
            ("crowdsec", "key"),
            ("abuseipdb", "key_file"),
        ];
        for kind in kinds() {
            for (option, secret) in options_of(kind) {
                let sounds = ["pass", "key", "token", "secret", "cred"].iter().any(|word| option.contains(word));
                assert!(!sounds || secret || PUBLIC.contains(&(kind, option)), "{kind}.{option}");
            }
        }
        assert!(options_of("nats").contains(&("client_pass", true)));
    }
}
