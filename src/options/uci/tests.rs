//! What UCI text means, as tables that were held against real `uci`, and as properties.

use proptest::prelude::*;

use super::*;

/// One line a section: `TYPE NAME: option=value list=[item|item]`, unset options left out.
fn summary(text: &[u8]) -> String {
    let (sections, errors) = sections(text);
    if let Some(error) = errors.first() {
        return error.to_string();
    }
    let lines = sections.iter().map(|section| {
        let mut line = format!("{} {}:", section.kind, section.name.as_deref().unwrap_or("-"));
        for entry in section.options.iter().filter(|entry| !entry.is_unset()) {
            let value = match &entry.value {
                Value::Single(text) => text.to_string(),
                Value::List(items) => {
                    format!("[{}]", items.iter().map(|item| item.1.as_ref()).collect::<Vec<_>>().join("|"))
                }
            };
            line += &format!(" {}={value}", entry.name);
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn reads_what_libuci_reads() {
    // Each of these was given to `uci show` (2025), which answered the same.
    let table: &[(&str, &str)] = &[
        ("", ""),
        ("\n  \n# only a comment ' \" \\\n", ""),
        ("config t\n", "t -:"),
        ("config t", "t -:"),
        ("config t 'n'\n\toption a 'b'\n", "t n: a=b"),
        ("package x\nconfig t n\noption a b\n", "t n: a=b"),
        ("c t n\no a b\nl x y\n", "t n: a=b x=[y]"),
        ("config t n\r\n\toption a 'b'\r\n\tlist l c\r\n", "t n: a=b l=[c]"),
        ("config \"t\" 'n'\n", "t n:"),
        ("config t-1/x n\n", "t-1/x n:"),
        // Quotes, joined to each other and to bare text.
        ("config t\noption a 'b c'd\"e f\"\n", "t -: a=b cde f"),
        ("config t\noption a 'it'\\''s'\n", "t -: a=it's"),
        ("config t\noption 'a' \"say \\\"hi\\\"\"\n", "t -: a=say \"hi\""),
        ("config t\noption a 'back\\slash'\n", "t -: a=back\\slash"),
        ("config t\noption a \"\\n\\\\\"\n", "t -: a=n\\"),
        ("config t\noption a b\\ c\\#d\\;e\n", "t -: a=b c#d;e"),
        ("config t\noption a 'x;y#z'\n", "t -: a=x;y#z"),
        // Comments end a word as well.
        ("config t\noption a b#c\n", "t -: a=b"),
        ("config t # 'x\noption a b # c\n", "t -: a=b"),
        ("config t\noption a 'b'#c\n", "t -: a=b"),
        // Lines that go on.
        ("config t\noption a 'two\nlines'\n", "t -: a=two\nlines"),
        ("config t\noption a \"two\nlines\"\n", "t -: a=two\nlines"),
        ("config t\noption a \"one\\\nline\"\n", "t -: a=oneline"),
        ("config t\noption a one\\\nline\n", "t -: a=oneline"),
        ("config t\noption a one\\\r\nline\n", "t -: a=oneline"),
        ("config t\noption \\\na b\n", "t -: a=b"),
        ("config t\noption a b\\", "t -: a=b"),
        // Several commands in a line.
        ("config 't' 'n'; option 'a' 'b'; list 'l' 'c'\n", "t n: a=b l=[c]"),
        ("config t\noption a b;\noption c d\n", "t -: a=b c=d"),
        ("config t\noption a 'b'; # c\n", "t -: a=b"),
        // The same name again.
        ("config t\noption a b\noption a c\n", "t -: a=c"),
        ("config t\nlist a b\nlist a c\nlist a b\n", "t -: a=[b|c|b]"),
        ("config t\noption a b\nlist a c\n", "t -: a=[b|c]"),
        ("config t\nlist a b\noption a c\n", "t -: a=c"),
        ("config t n\noption a b\nconfig u\nconfig t n\noption a c\noption d e\n", "t n: a=c d=e\nu -:"),
        // An empty value is no value.
        ("config t\noption a ''\noption b\n", "t -:"),
        ("config t\noption a b\noption a ''\n", "t -: a=b"),
        ("config t\noption a ''\nlist a b\n", "t -: a=[b]"),
        ("config t ''\n", "t -:"),
    ];
    for (text, expected) in table {
        assert_eq!(summary(text.as_bytes()), *expected, "{text:?}");
    }
}

#[test]
fn refuses_what_libuci_refuses() {
    let table: &[(&str, &str)] = &[
        ("konfig t\n", "line 1: \"konfig\" is none of package, config, option, list"),
        ("\n'config' t\n", "line 2: \"'config'\" is none of package, config, option, list"),
        ("config\n", "line 1: config without a type; expected config TYPE or config TYPE NAME"),
        ("config ''\n", "line 1: config without a type; expected config TYPE or config TYPE NAME"),
        ("config 'a b'\n", "line 1: section type \"a b\": only visible ASCII characters are accepted"),
        ("config t a-b\n", "line 1: section name \"a-b\": only letters, digits and _ are accepted"),
        ("config t a b\n", "line 1: one word too many; a value with blanks needs quotes"),
        ("option a b\n", "line 1: option or list before the first config TYPE"),
        ("config t\noption\n", "line 2: option without a name; expected option NAME 'VALUE'"),
        ("config t\nlist a-b c\n", "line 2: list name \"a-b\": only letters, digits and _ are accepted"),
        ("config t\noption a b c d\n", "line 2: one word too many; a value with blanks needs quotes"),
        ("config t\noption a 'b' 'c'\n", "line 2: one word too many; a value with blanks needs quotes"),
        ("config t\n\noption a 'b\noption c d\n", "line 3: the quote ' opened here is never closed"),
        ("config t\noption a \"b", "line 2: the quote \" opened here is never closed"),
        ("config t\noption a 'b';\n", "line 2: nothing follows here; expected another command"),
        ("config t n\nconfig u n\n", "line 2: config u n: line 1 has a section of that name and of the type t"),
        ("package\n", "line 1: package without a name"),
        ("package a.b\n", "line 1: package name \"a.b\": only letters, digits, _ and - are accepted"),
    ];
    for (text, expected) in table {
        assert_eq!(summary(text.as_bytes()), *expected, "{text:?}");
    }
}

#[test]
fn what_libuci_takes_and_nobody_meant_is_taken_and_said() {
    let odd = |text: &[u8]| {
        let (sections, errors) = sections(text);
        assert!(errors.iter().all(|error| error.harmless), "{errors:?}");
        let values = sections.iter().flat_map(|section| &section.options).map(|entry| match &entry.value {
            Value::Single(text) => format!("{}={text}", entry.name),
            Value::List(_) => unreachable!(),
        });
        (values.collect::<Vec<_>>().join(" "), errors.first().map(ToString::to_string).unwrap_or_default())
    };
    let dropped = "line 2: what follows ';' here is not read, by uci neither; put quotes around the word before it, or start a new line";
    assert_eq!(odd(b"config t\noption a b; option c d 'e\noption f g\n"), ("a=b f=g".into(), dropped.into()));
    assert_eq!(odd(b"config t\noption a; foo\n").0, "a=");
    let (values, said) = odd(b"config t\noption a 'x\xffy'\noption b c\n");
    assert_eq!(values, "a=x\u{fffd}y b=c");
    assert!(said.starts_with("line 2: bytes that are no UTF-8"), "{said}");
    assert_eq!(odd(b"# \xff\nconfig t\n").1, "");
    // An empty word ends a command as ; does.
    assert_eq!(odd(b"config t\noption a b ''\noption c d\n").0, "a=b c=d");
    assert_eq!(odd(b"config t\noption a b '' option c d\n").0, "a=b c=d");
    assert_eq!(summary(b"config t\noption a b '' \n"), "line 2: nothing follows here; expected another command");
    assert_eq!(summary(b"config t\noption a b '' 'c'\n"), "line 2: \"'c'\" is none of package, config, option, list");
    assert_eq!(summary(b"config t\noption a b\noption c d\0e\n"), "line 3: NUL byte; a configuration is text");
    assert_eq!(summary(b"config\x0bt\n"), "line 1: \"config\\u{b}t\" is none of package, config, option, list");
}

#[test]
fn every_error_is_found_and_what_is_right_is_read() {
    let (sections, errors) = sections(b"config t\noption a b c\noption d e\nfoo\noption f g\n");
    assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(sections.len(), 1);
    assert_eq!(sections[0].options.len(), 2);
}

#[test]
fn what_follows_a_section_that_does_not_begin_changes_no_other() {
    for begin in ["config t 'bad name'", "cofig t", "Config t", "config ''", "config t a b", "config u n"] {
        let text = format!("config t n\noption a b\n{begin}\noption a c\nlist d e\nconfig t m\noption a f\n");
        let (sections, errors) = sections(text.as_bytes());
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [3], "{begin}");
        let options = sections.iter().map(|section| section.options.len());
        assert_eq!(options.collect::<Vec<_>>(), [1, 1], "{begin}");
        assert!(matches!(&sections[0].options[0].value, Value::Single(text) if text == "b"), "{begin}");
    }
}

#[test]
fn sizes_are_bounded() {
    // As long as uci takes it.
    assert!(sections(format!("config t\noption a '{}'\n", "x".repeat(100_000)).as_bytes()).1.is_empty());

    let mut text = "config t\n".repeat(MAX_FILE / 9);
    assert!(sections(text.as_bytes()).1.is_empty());
    text += "config t\n";
    let errors = sections(text.as_bytes()).1;
    assert_eq!(errors.len(), 1);
    assert!(errors[0].message.contains("goes on after 1048576 bytes"), "{}", errors[0]);

    let errors = sections("?\n".repeat(1000).as_bytes()).1;
    assert_eq!(errors.len(), MAX_ERRORS + 1);
    assert_eq!(errors[MAX_ERRORS].line as usize, MAX_ERRORS + 1);

    let many: String = (0..=MAX_OPTIONS).map(|number| format!("option a{number} b\n")).collect();
    assert_eq!(
        summary(format!("config t\n{many}").as_bytes()),
        "line 258: a section with 256 different options, the most accepted"
    );
}

#[test]
fn each_entry_knows_its_line_and_what_it_replaced() {
    let (sections, _) = sections(b"\nconfig t\n\n option a '1\n2'\n option b x\n option a y\n list l 1\n list l 2\n");
    let entries = &sections[0].options;
    assert_eq!(sections[0].line, 2);
    assert_eq!((entries[0].line, entries[0].replaces), (7, Some(4)));
    assert_eq!((entries[1].line, entries[1].replaces), (6, None));
    let items = Value::List(vec![(8, "1".into()), (9, "2".into())]);
    assert_eq!((entries[2].line, &entries[2].value), (8, &items));
}

#[test]
fn a_statement_covers_its_bytes() {
    let text = b"config t # c\n\toption a \"b\" # d\n option 'c' 'd'; list e f";
    let covered: Vec<&[u8]> =
        Statements::new(text).map(|statement| &text[statement.expect("a statement").bytes]).collect();
    let expected: [&[u8]; 4] = [b"config t", b"option a \"b\"", b"option 'c' 'd'", b"list e f"];
    assert_eq!(covered, expected);
}

#[test]
fn a_plain_word_is_borrowed() {
    let statements: Vec<_> = Statements::new(b"config t\noption a 'b c'\noption d e'f'").flatten().collect();
    let borrowed = |statement: &Statement<'_>| match &statement.command {
        Command::Option { value, .. } => matches!(value, Cow::Borrowed(_)),
        _ => unreachable!(),
    };
    assert!(borrowed(&statements[1]));
    assert!(!borrowed(&statements[2]));
}

fn text() -> impl Strategy<Value = String> {
    // Rich in what the syntax has a meaning for.
    proptest::collection::vec(
        prop_oneof![Just('\''), Just('"'), Just('\\'), Just('#'), Just(';'), Just('\n'), Just(' '), any::<char>()],
        1..20,
    )
    .prop_map(|chars| chars.into_iter().filter(|c| *c != '\0').chain(['x']).collect())
}

fn section() -> impl Strategy<Value = Section<'static>> {
    let value = prop_oneof![
        text().prop_map(|text| Value::Single(text.into())),
        proptest::collection::vec(text(), 1..4)
            .prop_map(|items| Value::List(items.into_iter().map(|item| (0, item.into())).collect())),
    ];
    let options = proptest::collection::btree_map("[a-z0-9_]{1,8}", value, 0..5);
    ("[!-~]{1,8}", options).prop_map(|(kind, options)| {
        let entry = |(name, value): (String, _)| Stated { name: name.into(), line: 0, value, replaces: None };
        Section { kind: kind.into(), name: None, line: 0, options: options.into_iter().map(entry).collect() }
    })
}

fn without_lines(mut section: Section<'_>) -> Section<'_> {
    section.line = 0;
    for entry in &mut section.options {
        entry.line = 0;
        if let Value::List(items) = &mut entry.value {
            items.iter_mut().for_each(|item| item.0 = 0);
        }
    }
    section
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(written in proptest::collection::vec(section(), 0..4)) {
        let text: String = written.iter().map(ToString::to_string).collect();
        let (read, errors) = sections(text.as_bytes());
        prop_assert!(errors.is_empty(), "{errors:?}");
        prop_assert_eq!(read.into_iter().map(without_lines).collect::<Vec<_>>(), written);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = sections(&bytes);
    }

    #[test]
    fn any_mix_of_syntax_is_read_without_a_panic(parts in proptest::collection::vec(prop_oneof![
        Just("config "), Just("option "), Just("list "), Just("'"), Just("\""), Just("\\"), Just("\n"), Just("\r\n"),
        Just(";"), Just("#"), Just(" "), Just("a"),
    ], 0..40)) {
        let _ = sections(parts.concat().as_bytes());
    }
}
