//! The steps of a plan carried out on the text itself: what is not touched keeps every byte.
//!
//! Pure; called by `edit` where `uci` cannot do it. Comments inside a section that is taken out go with it.

use std::collections::HashMap;
use std::ops::Range;

use super::{Kind, NewOption, Step};
use crate::options::uci::{Command, Section, Statement, Statements, quote};

/// The text after `steps`. Errors: a section to be changed shares a line with another command.
pub(super) fn apply(text: &[u8], steps: &[Step]) -> Result<Vec<u8>, String> {
    let sections = sections(text)?;
    let of_kind = |kind| sections.iter().filter(|section| section.kind == kind).collect::<Vec<_>>();
    let (allows, blocks, lists) = (of_kind(Kind::Allow), of_kind(Kind::Block), of_kind(Kind::List));
    let section = |kind: Kind, index: usize| {
        let of_kind = match kind {
            Kind::Allow => &allows,
            Kind::Block => &blocks,
            Kind::List => &lists,
        };
        of_kind.get(index).copied().ok_or_else(|| format!("there is no config {} number {index}", kind.name()))
    };
    let mut splices = Vec::new();
    let mut tail = Vec::new();
    for step in steps {
        match step {
            Step::Append { kind, name, options } => append(text, &mut tail, (*kind, name.as_deref()), options),
            Step::Set { kind, index, option, value } => {
                splices.push(set(text, section(*kind, *index)?, option, value)?);
            }
            Step::Remove { kind, index } => {
                for part in &section(*kind, *index)?.parts {
                    splices.push(removal(text, part)?);
                }
            }
        }
    }
    splices.sort_by_key(|splice| splice.at.start);
    let mut new = Vec::with_capacity(text.len() + tail.len());
    let mut kept = 0;
    for splice in splices {
        new.extend_from_slice(text.get(kept..splice.at.start).unwrap_or_default());
        new.extend_from_slice(&splice.with);
        kept = splice.at.end.max(kept);
    }
    new.extend_from_slice(text.get(kept..).unwrap_or_default());
    new.extend_from_slice(&tail);
    Ok(new)
}

/// Bytes of the text and what takes their place.
struct Splice {
    at: Range<usize>,
    with: Vec<u8>,
}

/// A section's statements; in several parts where a later `config` of the same name goes on with it.
struct Located<'a> {
    kind: Kind,
    parts: Vec<Vec<Statement<'a>>>,
}

/// Every section of the kinds that are written here, in the order in which `uci::sections` has them.
fn sections(text: &[u8]) -> Result<Vec<Located<'_>>, String> {
    let mut sections: Vec<Located<'_>> = Vec::new();
    let mut named: HashMap<String, usize> = HashMap::new();
    let mut open = None;
    for statement in Statements::new(text) {
        let statement = statement.map_err(|error| error.to_string())?;
        if let Command::Config { kind, name } = &statement.command {
            open = None;
            let Some(kind) = [Kind::Allow, Kind::Block, Kind::List].into_iter().find(|known| known.name() == kind)
            else {
                continue;
            };
            let next = sections.len();
            let index = match name {
                Some(name) => *named.entry(name.to_string()).or_insert(next),
                None => next,
            };
            if index == next {
                sections.push(Located { kind, parts: Vec::new() });
            }
            open = Some(index);
            if let Some(section) = sections.get_mut(index) {
                section.parts.push(vec![statement]);
            }
        } else if let Some(part) = open.and_then(|open| sections.get_mut(open)?.parts.last_mut()) {
            part.push(statement);
        }
    }
    Ok(sections)
}

/// The new section's lines, after an empty line.
fn append(text: &[u8], tail: &mut Vec<u8>, (kind, name): (Kind, Option<&str>), options: &[NewOption]) {
    if tail.is_empty() && text.last().is_some_and(|byte| *byte != b'\n') {
        tail.push(b'\n');
    }
    if !text.is_empty() || !tail.is_empty() {
        tail.push(b'\n');
    }
    let head = match name {
        Some(name) => Section::head(kind.name(), name),
        None => ["config ", kind.name(), "\n"].concat(),
    };
    tail.extend_from_slice(head.as_bytes());
    options.iter().for_each(|option| tail.extend_from_slice(option_line(option).as_bytes()));
}

/// The option's line.
pub(super) fn option_line(option: &NewOption) -> String {
    let keyword = if option.is_list { "\tlist " } else { "\toption " };
    [keyword, option.name, " ", &quote(&option.value), "\n"].concat()
}

/// The option's statement that is in force replaced, or a new line after `ip`, else after the section's first.
fn set(text: &[u8], section: &Located<'_>, option: &str, value: &str) -> Result<Splice, String> {
    let statements = || section.parts.iter().flatten();
    let named = |wanted: &str| {
        statements().rfind(|statement| match &statement.command {
            Command::Option { name, value } => name == wanted && !value.is_empty(),
            _ => false,
        })
    };
    let with = format!("option {option} {}", quote(value));
    if let Some(statement) = named(option) {
        whole_line(text, statement)?;
        return Ok(Splice { at: statement.bytes.clone(), with: with.into_bytes() });
    }
    let before = named("ip").or_else(|| statements().next()).ok_or("a section without a line")?;
    let end = whole_line(text, before)?.end;
    Ok(Splice { at: end..end, with: format!("\n\t{with}").into_bytes() })
}

/// From the part's first line to its last, with the empty line before it.
fn removal(text: &[u8], part: &[Statement<'_>]) -> Result<Splice, String> {
    let mut lines = part.iter().map(|statement| whole_line(text, statement));
    let first = lines.next().ok_or("a section without a line")??;
    let mut at = first;
    for line in lines {
        at.end = line?.end;
    }
    let before = text.get(..at.start).unwrap_or_default();
    let empty_line = [b"\n\r\n".as_slice(), b"\n\n"].into_iter().find(|ending| before.ends_with(ending));
    at.start -= empty_line.map_or(0, |ending| ending.len() - 1);
    if text.get(at.end) == Some(&b'\n') {
        at.end += 1;
    }
    Ok(Splice { at, with: Vec::new() })
}

/// The statement's lines, without the final line end. Error: another command is on one of them.
fn whole_line(text: &[u8], statement: &Statement<'_>) -> Result<Range<usize>, String> {
    let before = text.get(..statement.bytes.start).unwrap_or_default();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let after = text.get(statement.bytes.end..).unwrap_or_default();
    let length = after.iter().position(|byte| *byte == b'\n').unwrap_or(after.len());
    let alone_before = before.get(start..).unwrap_or_default().trim_ascii().is_empty();
    let rest = after.get(..length).unwrap_or_default().trim_ascii();
    if !alone_before || !(rest.is_empty() || rest.starts_with(b"#")) {
        return Err(format!("line {} has several commands; edit it by hand", statement.line));
    }
    Ok(start..statement.bytes.end + length)
}
