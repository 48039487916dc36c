//! Bytes as `/etc/config/diswall`: nothing may panic, and what was read must survive being written.
//!
//! Run by the fuzz target of this name and, over the kept corpus, by `tests/corpus.rs`.

use diswall::config::Settings;
use diswall::options::uci::{self, Section, Value};

/// Panics where the reader of UCI breaks a promise.
pub fn check(data: &[u8]) {
    let (sections, errors) = uci::sections(data);
    let parsed = Settings::parse(data, "fuzz", b"");
    let broken = errors.iter().any(|error| !error.harmless);
    assert_eq!(parsed.broken, broken, "a syntax error was not reported");
    assert!(parsed.problems.has_errors() || !broken);
    let kept = Settings::parse(parsed.good(data), "fuzz", b"");
    assert!(!kept.problems.has_errors(), "what is kept has errors: {}", kept.problems);
    assert_eq!(kept.settings, parsed.settings, "what is kept says something else");
    if broken {
        return;
    }
    let written: String = sections.iter().map(ToString::to_string).collect();
    let (again, errors) = uci::sections(written.as_bytes());
    assert!(errors.is_empty(), "what was written does not parse: {errors:?}\n{written}");
    assert_eq!(meaning(&sections), meaning(&again), "writing changed the meaning");
    assert_eq!(Settings::parse(written.as_bytes(), "fuzz", b"").settings, parsed.settings);
}

/// A section without its lines.
type Meaning<'a> = (&'a str, Option<&'a str>, Vec<(&'a str, Vec<&'a str>)>);

fn meaning<'a>(sections: &'a [Section<'_>]) -> Vec<Meaning<'a>> {
    let values = |value: &'a Value<'_>| match value {
        Value::Single(text) => vec![text.as_ref()],
        Value::List(items) => items.iter().map(|(_, item)| item.as_ref()).collect(),
    };
    let options = |section: &'a Section<'_>| {
        section.options.iter().map(|entry| (entry.name.as_ref(), values(&entry.value))).collect()
    };
    sections.iter().map(|section| (section.kind.as_ref(), section.name.as_deref(), options(section))).collect()
}
