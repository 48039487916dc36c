//! What each option means: the comments of the shipped configuration, which `uci commit` takes out of a
//! router's own file.
//!
//! The shipped file is part of the program, so that the two cannot drift; what an option may be is said by the very
//! sentence with which a wrong value is refused. Pure: text in, text out; `diswall config explain` prints it.

use super::Settings;

/// The configuration as it is shipped.
pub(crate) const SHIPPED: &str = include_str!("../../openwrt/files/diswall.config");

/// What the shipped file says of an option: `max_entries`, `nats.client_pass`, or of a whole section: `scan`.
/// An option that several sections have comes once for each. `None`: there is no such thing.
pub fn explain(wanted: &str) -> Option<String> {
    let (kind, option) = match wanted.split_once('.') {
        Some((kind, option)) => (Some(kind), Some(option)),
        None => (None, Some(wanted)),
    };
    let kind = kind.map(|kind| if kind == "main" { "diswall" } else { kind });
    let of_section = |entry: &ShippedOption| entry.kind == wanted || (wanted == "main" && entry.kind == "diswall");
    let of_option = |entry: &ShippedOption| option == Some(entry.option) && kind.is_none_or(|kind| kind == entry.kind);
    let found: Vec<ShippedOption> =
        entries().into_iter().filter(|entry| of_section(entry) || of_option(entry)).collect();
    let mut text = String::new();
    let mut last = None;
    for entry in &found {
        if last != Some(entry.kind) {
            let blank = if last.is_some() { "\n" } else { "" };
            text.push_str(&format!("{blank}config {}\n", entry.kind));
            last = Some(entry.kind);
        }
        let accepts = accepts(entry.kind, entry.option).map(|accepts| format!("# May be: {accepts}."));
        let is_empty = entry.lines.first().is_some_and(|line| line.ends_with(" ''"));
        let shown = match (is_default(entry.kind, &entry.lines), is_empty) {
            (true, true) => "# No default.",
            (true, false) => "# Default:",
            (false, _) => "# No default; such as:",
        };
        let said = accepts.as_deref().into_iter().chain([shown]);
        for line in entry.comment.iter().copied().chain(said).chain(entry.lines.iter().copied()) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    (!found.is_empty()).then_some(text)
}

/// One option as it is shipped.
pub(crate) struct ShippedOption {
    /// The type of its section.
    pub(crate) kind: &'static str,
    pub(crate) option: &'static str,
    /// The lines above it.
    pub(crate) comment: Vec<&'static str>,
    /// Itself; a list has several lines.
    pub(crate) lines: Vec<&'static str>,
}

pub(crate) fn entries() -> Vec<ShippedOption> {
    let mut entries: Vec<ShippedOption> = Vec::new();
    let mut kind = "";
    let mut comment = Vec::new();
    for line in SHIPPED.lines() {
        // What is commented out has its # at the line's beginning, right before the word or the tab.
        let code = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).trim();
        let mut words = code.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("config"), Some(name)) => {
                kind = name;
                comment.clear();
            }
            (Some("option" | "list"), Some(option)) => match entries.last_mut() {
                Some(last) if (last.kind, last.option) == (kind, option) && comment.is_empty() => last.lines.push(code),
                _ => entries.push(ShippedOption {
                    kind,
                    option,
                    comment: std::mem::take(&mut comment),
                    lines: vec![code],
                }),
            },
            (Some(word), _) if word.starts_with('#') => comment.push(code),
            _ => comment.clear(),
        }
    }
    entries
}

/// Lines without which the other options of their section cannot be tried.
pub(crate) const NEEDED: [(&str, &str); 5] = [
    ("list", "list url '/list'"),
    ("logwatch", "list pattern 'from <HOST>'"),
    ("allow", "option ip '192.0.2.1'"),
    ("block", "option ip '192.0.2.1'"),
    // It takes one option more.
    ("block", "option ip '0.0.0.0/0'"),
];

fn parse(kind: &str, lines: &[&str]) -> (Settings, String) {
    let name = if kind == "diswall" { "main" } else { kind };
    let text = format!("config {kind} '{name}'\n{}\n", lines.join("\n"));
    let loaded = Settings::parse(text.as_bytes(), "", b"");
    (loaded.settings, loaded.problems.to_string())
}

/// Whether these lines of a section say nothing that would not hold without them: what is shipped is the default, otherwise
/// an example.
pub(crate) fn is_default(kind: &str, lines: &[&str]) -> bool {
    let same = |needed: &[&str]| parse(kind, &[needed, lines].concat()).0 == parse(kind, needed).0;
    let mut needed = NEEDED.iter().filter(|(many, _)| *many == kind).map(|(_, line)| *line).peekable();
    if needed.peek().is_none() { same(&[]) } else { needed.all(|line| same(&[line])) }
}

/// What an option may be, out of the sentence with which a senseless value is refused.
pub(crate) fn accepts(kind: &str, option: &str) -> Option<String> {
    let refusal = ["?", "\u{1}", "\u{1}\u{1}"].iter().find_map(|senseless| {
        let (_, said) = parse(kind, &[&format!("option {option} '{senseless}'")]);
        let mark = format!("error: {option}: ");
        let line = said.lines().find_map(|line| Some(line.split_once(&mark)?.1.to_owned()))?;
        let shown = if *senseless == "?" { "? ".to_owned() } else { format!("{senseless:?} ") };
        Some(line.strip_prefix(&shown).unwrap_or(&line).to_owned())
    });
    let Some(refusal) = refusal else { return Some("any text".into()) };
    let end = ["; its default is in force", &format!("; config {kind} ")];
    let sentence = end.iter().filter_map(|end| refusal.split_once(end)).map(|(before, _)| before);
    let sentence = sentence.min_by_key(|before| before.len()).unwrap_or(&refusal);
    if let Some((_, expected)) = sentence.split_once("; write ").or_else(|| sentence.split_once("; ")) {
        return Some(expected.to_owned());
    }
    let plain = sentence.strip_prefix("is no ").map(|what| format!("a {what}"));
    let either = || Some(sentence.split_once("is neither ")?.1.replace(" nor ", " or ").replace('"', ""));
    let must = || Some(sentence.split_once("must be ")?.1.to_owned());
    plain.or_else(either).or_else(must)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{kinds, options_of};

    #[test]
    fn every_option_is_shipped_with_a_word_on_what_it_means() {
        let entries = entries();
        for kind in kinds() {
            for (option, _) in options_of(kind) {
                let entry = entries.iter().find(|entry| entry.kind == kind && entry.option == option);
                let entry = entry.unwrap_or_else(|| panic!("{kind}.{option} is not in the shipped file"));
                assert!(!entry.comment.is_empty(), "{kind}.{option} has no comment of its own");
                assert!(explain(&format!("{kind}.{option}")).is_some());
            }
        }
        for entry in entries {
            let known = options_of(entry.kind).iter().any(|(option, _)| *option == entry.option);
            assert!(known, "{}.{} is unknown", entry.kind, entry.option);
        }
    }

    #[test]
    fn an_option_a_section_and_nothing() {
        let pass = explain("client_pass").unwrap();
        assert!(pass.starts_with("config nats\n    # ") && pass.contains("option client_pass 'default'"), "{pass}");
        for (option, said) in [
            (
                "max_entries",
                "    # May be: auto or a whole number from 1 to 4194304.\n    # Default:\n    option max_entries 'auto'\n",
            ),
            ("crowdsec.origins", "    # No default; such as:\n    list origins 'crowdsec'\n"),
            ("block.dest_port", "    # No default; such as:\n    list dest_port '22'\n"),
            ("api_key", "    # No default.\n    option api_key ''\n"),
            ("block.action", "    # May be: drop or reject.\n"),
        ] {
            let text = explain(option).unwrap();
            assert!(text.contains(said), "{text}");
        }
        assert_eq!(explain("nats.client_pass").unwrap(), pass);
        let zone = explain("main.zone").unwrap();
        assert!(zone.contains("list zone 'wan'") && !zone.contains("log_drops"), "{zone}");
        let refresh = explain("refresh").unwrap();
        assert!(refresh.contains("config nats") && refresh.contains("config scan"), "{refresh}");
        assert!(explain("login").unwrap().contains("option window"));
        assert!(explain("scan.honeypot_port").unwrap().matches("list honeypot_port").count() > 5);
        for nothing in ["", "nosuch", "nats.nosuch", "nosuch.server", "."] {
            assert_eq!(explain(nothing), None, "{nothing}");
        }
    }
}
