//! Bytes as `/etc/config/diswall`: nothing may panic, and what was read must survive being written.
//!
//! Run by the fuzz target of this name and, over the kept corpus, by `tests/corpus.rs`.

use diswall::config::Settings;
use diswall::config::uci::{self, Section, Value};

/// Panics where the reader of UCI breaks a promise.
pub fn check(data: &[u8]) {
    let (sections, errors) = uci::sections(data);
    let parsed = Settings::parse(data, "fuzz");
    if !errors.is_empty() {
        assert!(parsed.is_err(), "a syntax error was not reported");
        return;
    }
    let written: String = sections.iter().map(ToString::to_string).collect();
    let (again, errors) = uci::sections(written.as_bytes());
    assert!(errors.is_empty(), "what was written does not parse: {errors:?}\n{written}");
    assert_eq!(meaning(&sections), meaning(&again), "writing changed the meaning");
    match (parsed, Settings::parse(written.as_bytes(), "fuzz")) {
        (Ok(first), Ok(second)) => assert_eq!(first.settings, second.settings),
        (Err(_), Err(_)) => {}
        (first, second) => panic!("{first:?}\n{second:?}"),
    }
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
