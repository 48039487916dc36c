//! A type of section that goes by its name and may come many times, as a part would state it, read by the
//! public face. Single sections, and every sentence of those that are there, are in the configuration's tests.

use super::*;
use crate::options::{list, one, one_or_none, secret, texts, uci};

/// What such a section is made into.
#[derive(Debug, PartialEq)]
struct Watched {
    name: String,
    ports: Vec<u16>,
    every: u32,
}

#[derive(Default)]
struct Draft {
    off: bool,
    ports: Vec<u16>,
    every: Option<u32>,
    word: String,
    said: Vec<String>,
}

const WATCHED: Many<Draft, Watched> = Many {
    options: &[
        one("enabled", |draft, given| given.set(&mut draft.off, |text| value::boolean(text).map(|on| !on))),
        list("port", |draft, given| given.add(&mut draft.ports, value::port)),
        one_or_none("every", |draft, given| given.set_or_none(&mut draft.every, |text| value::number(text, 1, 9))),
        secret("word", |draft, given| given.set(&mut draft.word, |text| Ok(text.to_owned()))),
        texts("say", |draft, given| given.add(&mut draft.said, |text| Ok(text.to_owned()))),
    ],
    needed: &["enabled", "port"],
    build: |draft, section| {
        let name = section.own_name()?;
        if draft.ports.is_empty() {
            return Err(section.refuse(None, format!("config watched '{name}' without list port")));
        }
        Ok((!draft.off).then_some(Watched { name, ports: draft.ports, every: draft.every.unwrap_or(0) }))
    },
};

const ROWS: [SectionType<Vec<Watched>>; 1] = [SectionType {
    kind: "watched",
    once: false,
    options: || names(WATCHED.options),
    read: |reader, section, all| all.extend(reader.many(section, &WATCHED)),
}];

/// What comes of a text, what is said about it, and the types of the sections that are left.
fn read(text: &str) -> (Vec<Watched>, String, Vec<String>) {
    let (mut sections, errors) = uci::sections(text.as_bytes());
    assert!(errors.is_empty(), "{errors:?}");
    let mut reader = Reader::new("f", &[]);
    let mut all = Vec::new();
    for section in &mut sections {
        let row = SectionType::of(&ROWS, &section.kind).expect("a known type");
        (row.read)(&mut reader, section, &mut all);
    }
    let kinds = sections.iter().map(|section| section.kind.to_string()).collect();
    (all, reader.problems.to_string(), kinds)
}

fn watched(name: &str, ports: &[u16], every: u32) -> Watched {
    Watched { name: name.into(), ports: ports.to_vec(), every }
}

#[test]
fn each_name_is_a_section_and_the_same_name_is_the_same() {
    let text = "config watched 'a'\n\tlist port '1'\n\toption every '2'\nconfig watched 'b'\n\toption port '3 4'\n\
                config watched 'off'\n\tlist port '5'\n\toption enabled '0'\n\
                config watched 'a'\n\tlist port '6'\n\toption every '7'\n";
    let (all, said, kinds) = read(text);
    assert_eq!(all, [watched("a", &[1, 6], 7), watched("b", &[3, 4], 0)]);
    assert_eq!(said, "f:11: warning: every replaces what line 3 set");
    assert_eq!(kinds, ["watched"; 3]);
}

#[test]
fn one_that_cannot_be_used_is_left_out_by_name_and_line() {
    let good = "config watched 'good'\n\tlist port '9'\n";
    let no_name = "write 1 to 15 of a to z, 0 to 9 and _";
    let table = [
        (
            "config watched\n\tlist port '1'\n",
            "f:1: error: config watched without a name; write config watched 'NAME', 1 to 15 of a to z, 0 to 9 and _; \
             config watched of line 1 is left out"
                .to_owned(),
        ),
        (
            "config watched 'Bad'\n\tlist port '1'\n",
            format!("f:1: error: config watched: Bad is no name for it; {no_name}; config watched 'Bad' of line 1 is left out"),
        ),
        (
            "config watched 'a'\n\tlist port 'x'\n",
            "f:2: error: port: x is no port; write a number from 1 to 65535; config watched 'a' of line 1 is left out".into(),
        ),
        ("config watched 'a'\n", "f:1: error: config watched 'a' without list port; config watched 'a' of line 1 is left out".into()),
        (
            "config watched 'a'\n\tlist port '1'\n\toption enabled 'nein'\n",
            "f:3: error: enabled: nein is neither yes nor no; write 1/0, on/off, yes/no or true/false; config watched 'a' of line 1 is left out".into(),
        ),
    ];
    for (bad, expected) in table {
        let (all, said, kinds) = read(&format!("{bad}{good}"));
        assert_eq!((said, all), (expected, vec![watched("good", &[9], 0)]), "{bad}");
        assert_eq!(kinds, ["", "watched"], "what is left out is not kept");
    }
}

#[test]
fn a_bad_option_that_is_not_needed_costs_itself() {
    let (all, said, _) =
        read("config watched 'a'\n\tlist port '1'\n\tlist port 'x'\n\toption every '10'\n\toption evry '1'\n");
    assert_eq!(all, [watched("a", &[1], 0)]);
    let expected = "f:3: error: port: x is no port; write a number from 1 to 65535; it is left out\n\
                    f:4: error: every: 10 is no whole number from 1 to 9; its default is in force\n\
                    f:5: warning: evry is ignored; config watched knows enabled, port, every, word, say";
    assert_eq!(said, expected);
}

#[test]
fn a_secret_is_told_from_the_rest() {
    let options = (ROWS[0].options)();
    assert_eq!(options.iter().filter(|(_, secret)| *secret).map(|(name, _)| *name).collect::<Vec<_>>(), ["word"]);
    assert_eq!(options.len(), 5);
}
