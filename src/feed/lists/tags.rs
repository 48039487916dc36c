//! Why an address is on a list: a column of a CSV file whose head calls it `Tags`, as that of Turris' greylist does.
//!
//! The words are a stranger's, and are shown to people: they are cleaned, put in order, and cut where they are long.

use super::{Format, line};
use crate::model::TAG_MAX;
use crate::outside;

/// What the head calls the column, in small letters.
const NAMES: [&[u8]; 2] = [b"tags", b"tag"];

/// Most columns of a head that are looked at.
const COLUMNS: u8 = 64;

/// Bytes of a line's tags that are looked at, and words that are taken.
const LOOKED_AT: usize = 512;
const WORDS: usize = 16;

/// Where a line says why its address is there.
#[derive(Debug)]
pub struct Column {
    number: u8,
    separator: u8,
    /// It is the last: separators in it belong to it.
    is_last: bool,
}

impl Column {
    /// The one that the first line of a file of this form names.
    pub fn in_head(head: &[u8], format: Format) -> Option<Column> {
        let Format::Csv { column: address, separator } = format else { return None };
        let name = |number| line::column_of(head, number, separator);
        let is_named =
            |number: &u8| name(*number).is_some_and(|name| NAMES.iter().any(|n| name.eq_ignore_ascii_case(n)));
        let number = (1..=COLUMNS).filter(|number| *number != address).find(is_named)?;
        Some(Column { number, separator, is_last: name(number + 1).is_none() })
    }

    /// What a line has there.
    pub fn of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let Some(rest) = line::from_column(text, self.number, self.separator) else { return &[] };
        let is_quoted = rest.trim_ascii_start().starts_with(b"\"");
        match self.is_last && !is_quoted {
            true => rest,
            false => line::column_of(rest, 1, self.separator).unwrap_or_default(),
        }
    }
}

/// The words of the line in hand, kept because those of the next are mostly the same.
#[derive(Debug, Default)]
pub struct Why {
    from: Vec<u8>,
    text: String,
}

impl Why {
    /// Reads a line's tags.
    pub fn read(&mut self, tags: &[u8]) {
        let tags = tags.get(..LOOKED_AT).unwrap_or(tags);
        if tags != self.from {
            self.from.clear();
            self.from.extend_from_slice(tags);
            self.text = in_order(tags);
        }
    }

    /// Each word once and in order, `haas, port_scan`; at most [`TAG_MAX`] bytes, and nothing but what may be shown.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn in_order(tags: &[u8]) -> String {
    let text = String::from_utf8_lossy(tags);
    let words = text.split([',', ';', '|', ' ', '\t']).map(|word| outside::clean(word, TAG_MAX));
    let mut words: Vec<String> = words.filter(|word| !word.is_empty()).take(WORDS).collect();
    words.sort_unstable();
    words.dedup();
    outside::clean(&words.join(", "), TAG_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(head: &str, format: &str, line: &str) -> Option<String> {
        let format = format.parse().unwrap();
        let column = Column::in_head(head.as_bytes(), format)?;
        let mut why = Why::default();
        why.read(column.of(line.as_bytes()));
        Some(why.text().to_owned())
    }

    #[test]
    fn the_head_says_where_the_tags_are() {
        for (head, format, line, said) in [
            ("Address,Tags", "csv:1", "192.0.2.1,haas", Some("haas")),
            ("Address,Tags", "csv:1", "192.0.2.1,\"port_scan,haas\"", Some("haas, port_scan")),
            ("Address,Tags", "csv:1", "192.0.2.1,port_scan,haas,haas", Some("haas, port_scan")),
            ("Address,Tags", "csv:1", "192.0.2.1", Some("")),
            ("Address,Tags", "csv:1", "192.0.2.1,", Some("")),
            ("Address,Tags", "csv:1", "192.0.2.1,\"open", Some("")),
            ("\"tags\";ip;seen", "csv:2:;", "\"ssh smtp\";192.0.2.1;2026", Some("smtp, ssh")),
            ("tag\tip", "csv:2:tab", "ssh|ftp\t192.0.2.1", Some("ftp, ssh")),
            ("Address,Reason", "csv:1", "192.0.2.1,haas", None),
            ("Tags,Address", "csv:1", "192.0.2.1,haas", None),
            ("Tags,Address", "plain", "192.0.2.1,haas", None),
        ] {
            assert_eq!(why(head, format, line).as_deref(), said, "{head} {line}");
        }
    }

    #[test]
    fn a_strangers_words_are_cleaned_and_cut() {
        let said = |tags: &str| why("ip,tags", "csv:1", &format!("192.0.2.1,{tags}")).unwrap();
        assert_eq!(said("\u{1b}[31mred,\u{202e}back"), "[31mred, back");
        assert_eq!(said("<b>x</b>"), "<b>x</b>", "a page shows it as text");
        let long = said(&"x".repeat(10_000));
        assert!(long.len() <= TAG_MAX && long.ends_with('…'), "{long}");
        let many = (0..200).map(|n| format!("tag{n:03}")).collect::<Vec<_>>().join(",");
        assert!(said(&many).len() <= TAG_MAX);
        let mut why = Why::default();
        why.read(b"\xff\xfe,\0haas");
        assert!(why.text().starts_with("haas, ") && !why.text().contains(char::is_control), "{:?}", why.text());
    }
}
