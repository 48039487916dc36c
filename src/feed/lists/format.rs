//! The forms that lists have, and how the configuration names them.

use std::fmt;
use std::str::FromStr;

/// The form of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Found out from the first lines that are no comments.
    #[default]
    Auto,
    /// An address, a network or `a-b` a line, with whatever comment or count behind it.
    Plain,
    /// Columns, of which one holds the address.
    Csv {
        /// Which, from 1.
        column: u8,
        /// What stands between them, one ASCII character.
        separator: u8,
    },
    /// JSON lines with a `cidr`, closed by one that tells how many there are.
    Spamhaus,
    /// Start, end and prefix length, with tabs between them.
    Dshield,
    /// `a-b`, also as `name:a-b`.
    Ranges,
    /// What a regional registry has delegated.
    Rir {
        /// Two capital letters; `None`: every country.
        country: Option<[u8; 2]>,
    },
    /// Rules of Suricata: addresses that are a whole `content:"…"`.
    Suricata,
    /// A host name a line, which is looked up.
    Names,
}

/// Highest column of a CSV file that can be named.
const COLUMNS: u8 = 64;

/// The name in the configuration is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFormat;

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "must be auto, plain, csv, csv:COLUMN, csv:COLUMN:SEPARATOR (one character, or tab), spamhaus, dshield, \
             ranges, rir, rir:COUNTRY (two capital letters), suricata or names",
        )
    }
}

impl std::error::Error for UnknownFormat {}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        match (name, rest) {
            ("auto", None) => Ok(Format::Auto),
            ("plain", None) => Ok(Format::Plain),
            ("csv", None) => Ok(Format::Csv { column: 1, separator: b',' }),
            ("csv", Some(rest)) => csv(rest).ok_or(UnknownFormat),
            ("spamhaus", None) => Ok(Format::Spamhaus),
            ("dshield", None) => Ok(Format::Dshield),
            ("ranges", None) => Ok(Format::Ranges),
            ("rir", None) => Ok(Format::Rir { country: None }),
            ("rir", Some(rest)) => match *rest.as_bytes() {
                [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Ok(Format::Rir { country: Some([a, b]) }),
                _ => Err(UnknownFormat),
            },
            ("suricata", None) => Ok(Format::Suricata),
            ("names", None) => Ok(Format::Names),
            _ => Err(UnknownFormat),
        }
    }
}

fn csv(rest: &str) -> Option<Format> {
    let (column, separator) = rest.split_once(':').map_or((rest, ","), |(column, separator)| (column, separator));
    let separator = match *separator.as_bytes() {
        [one] if one.is_ascii_graphic() && !one.is_ascii_alphanumeric() && !matches!(one, b'"' | b'.') => one,
        _ if separator == "tab" => b'\t',
        _ => return None,
    };
    // A sign would be taken by the parser of numbers.
    let column = column.parse().ok().filter(|_| column.starts_with(|c: char| c.is_ascii_digit()))?;
    (1..=COLUMNS).contains(&column).then_some(Format::Csv { column, separator })
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::Auto => f.write_str("auto"),
            Format::Plain => f.write_str("plain"),
            Format::Csv { column, separator: b'\t' } => write!(f, "csv:{column}:tab"),
            Format::Csv { column, separator: b',' } => write!(f, "csv:{column}"),
            Format::Csv { column, separator } => write!(f, "csv:{column}:{}", char::from(*separator)),
            Format::Spamhaus => f.write_str("spamhaus"),
            Format::Dshield => f.write_str("dshield"),
            Format::Ranges => f.write_str("ranges"),
            Format::Rir { country: None } => f.write_str("rir"),
            Format::Rir { country: Some([a, b]) } => write!(f, "rir:{}{}", char::from(*a), char::from(*b)),
            Format::Suricata => f.write_str("suricata"),
            Format::Names => f.write_str("names"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for name in [
            "auto",
            "plain",
            "csv:1",
            "csv:3",
            "csv:2:;",
            "csv:2:tab",
            "csv:64:|",
            "csv:1::",
            "spamhaus",
            "dshield",
            "ranges",
            "rir",
            "rir:CZ",
            "suricata",
            "names",
        ] {
            assert_eq!(name.parse::<Format>().map(|format| format.to_string()).as_deref(), Ok(name));
        }
        assert_eq!("csv".parse(), Ok(Format::Csv { column: 1, separator: b',' }));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in [
            "", "Plain", "plain:1", "csv:", "csv:0", "csv:65", "csv:+1", "csv:1:", "csv:1:ab", "csv:1:\"", "csv:1:.",
            "csv:1:a", "csv:1: ", "csv:1:č", "rir:", "rir:cz", "rir:CZE", "json", "auto ",
        ] {
            assert_eq!(name.parse::<Format>(), Err(UnknownFormat), "{name:?}");
        }
    }
}
