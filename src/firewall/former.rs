//! What rules have put into the kernel: noted when they are written or loaded, and taken away once none of them names it.
//!
//! A table or a prefix that is configured no longer would stay until the next boot, and where there is no fw4 go on
//! blocking. The note is root's own and of this boot, as the kernel's things are. Only what it names, or what rules of
//! today's configuration would be called, is taken away, each thing by itself: what somebody else's rule still names
//! the kernel keeps, and so does the note. A table goes when nothing is in it any more.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use rustix::io::Errno;

use super::batch::{INET, single};
use super::error::Error;
use super::netlink::{
    Attributes, Dump, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, Socket, be32, close_message, open_netfilter, put, put_str,
    text,
};
use super::nftables::{
    CHAIN_HOOK, CHAIN_NAME, DELCHAIN, DELOBJ, DELRULE, DELSET, DELTABLE, GETCHAIN, GETRULE, GETTABLE, NEWCHAIN,
    NEWRULE, NEWTABLE, OBJ_NAME, OBJ_TYPE, OBJECT_COUNTER, RULE_CHAIN, SET_NAME,
};
use super::{transact, ways};
use crate::own;
use crate::whole_file;

/// The note's name. fw4 includes `*.nft` alone.
const NOTE: &str = "loaded";

/// The longest note that is read: several times what all lists that there may be bring along.
const LONGEST: u64 = 4 << 20;

/// The longest name of the kernel's.
const NAME_MAX: usize = 255;

/// Of each of these messages the first attribute names the table.
const TABLE: u16 = 1;
const TABLE_USE: u16 = 3;
const CHAIN_USE: u16 = 6;
const RULE_HANDLE: u16 = 3;
const RULE_USERDATA: u16 = 7;

/// As nft keeps the comment of every rule of ours that stands in a chain of the firewall's: its kind, its length, itself.
const COMMENT: &[u8] = b"\x00\x09!diswall\0";

/// What kind of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A chain of ours.
    Chain,
    /// A chain of the firewall's, which the text adds in case it is not there.
    Added,
    Counter,
    Set,
}

impl Kind {
    const ALL: [(Kind, &str); 4] =
        [(Kind::Chain, "chain"), (Kind::Added, "added"), (Kind::Counter, "counter"), (Kind::Set, "set")];

    fn of(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|(_, name)| *name == word).map(|(kind, _)| kind)
    }

    fn word(self) -> &'static str {
        Kind::ALL.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// Something that rules have put into the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    kind: Kind,
    table: String,
    name: String,
}

impl Thing {
    fn new(kind: Kind, table: &str, name: &str) -> Option<Thing> {
        let fits = |name: &str| !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(|byte| byte > b' ');
        (fits(table) && fits(name)).then(|| Thing { kind, table: table.into(), name: name.into() })
    }

    /// As a line of the note has it.
    fn read(line: &str) -> Option<Thing> {
        let mut words = line.split(' ');
        let (kind, table, name) = (Kind::of(words.next()?)?, words.next()?, words.next()?);
        Thing::new(kind, table, name).filter(|_| words.next().is_none())
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind.word(), self.table, self.name)
    }
}

/// What a text of `rules` puts into the kernel; of its removal, what that takes away.
pub fn named_in(text: &str) -> Vec<Thing> {
    let mut things: Vec<Thing> = Vec::new();
    let mut inside = "";
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().take(5).collect();
        let thing = match words[..] {
            ["table", "inet", table, "{"] => {
                inside = table;
                None
            }
            ["add", "chain", "inet", table, chain] => Thing::new(Kind::Added, table, chain),
            ["delete", kind, "inet", table, name] => Kind::of(kind).and_then(|kind| Thing::new(kind, table, name)),
            [kind, name, "{", ..] => Kind::of(kind).and_then(|kind| Thing::new(kind, inside, name)),
            _ => None,
        };
        add(&mut things, thing);
    }
    things
}

/// Each thing is named once, whatever number of texts name it.
fn add(things: &mut Vec<Thing>, more: impl IntoIterator<Item = Thing>) {
    for thing in more {
        if !things.contains(&thing) {
            things.push(thing);
        }
    }
}

/// What is noted. There is no note that somebody else could have written.
fn noted(directory: &Path) -> Vec<Thing> {
    let path = directory.join(NOTE);
    let is_small = || fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= LONGEST);
    let readable = own::check(directory).is_ok() && is_small();
    let text = readable.then(|| fs::read_to_string(&path).ok()).flatten().unwrap_or_default();
    text.lines().filter_map(Thing::read).collect()
}

fn keep(directory: &Path, things: &[Thing]) -> io::Result<()> {
    let path = directory.join(NOTE);
    if things.is_empty() {
        return fs::remove_file(&path)
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) });
    }
    let text: String = things.iter().map(|thing| format!("{thing}\n")).collect();
    whole_file::replace(&path, &mut |file| file.write_all(text.as_bytes()))
}

/// Notes what these texts put into the kernel, beside what is noted already. The kernel, or nft for it, must have said
/// yes to them: what it refuses may be somebody else's.
///
/// # Errors
/// Those of the file system.
pub fn note(directory: &Path, texts: &[&str]) -> io::Result<()> {
    let before = noted(directory);
    let mut things = before.clone();
    add(&mut things, texts.iter().flat_map(|text| named_in(text)));
    if things == before { Ok(()) } else { keep(directory, &things) }
}

/// Takes away what is noted and not kept, and what of `besides` there is. Gives what stays.
///
/// # Errors
/// Netlink's. A note that cannot be written names what is gone, which is no harm.
pub fn clear(directory: Option<&Path>, besides: Vec<Thing>, kept: &[Thing]) -> Result<Vec<Thing>, Error> {
    let mut things = Vec::new();
    let noted = directory.map(noted).unwrap_or_default();
    add(&mut things, noted.into_iter().chain(besides).filter(|thing| !kept.contains(thing)));
    if things.is_empty() {
        return Ok(things);
    }
    let left = take_away(&things, kept)?;
    if let Some(directory) = directory {
        let mut stays = Vec::new();
        add(&mut stays, kept.iter().chain(&left).cloned());
        let _ = keep(directory, &stays);
    }
    Ok(left)
}

fn take_away(things: &[Thing], kept: &[Thing]) -> Result<Vec<Thing>, Error> {
    let failed = |cause| Error::Netlink { doing: "taking away what former rules left", cause };
    let mut socket = Socket::open(mnl::Bus::Netfilter).map_err(failed)?;
    let mut tables: Vec<&str> = Vec::new();
    for table in things.iter().map(|thing| thing.table.as_str()) {
        if !tables.contains(&table) && !kept.iter().any(|thing| thing.table == table) {
            tables.push(table);
        }
    }
    // In a table that is ours still, the firewall has been loaded without them.
    for table in &tables {
        remove_jumps(&mut socket, table, things).map_err(failed)?;
    }
    let (added, mut left): (Vec<&Thing>, Vec<&Thing>) = things.iter().partition(|thing| thing.kind == Kind::Added);
    // What is named by another goes after it, in whatever order they stand.
    let mut before = usize::MAX;
    while left.len() < before {
        before = left.len();
        let mut refused = Vec::new();
        for thing in left {
            if !is_gone(&mut socket, thing).map_err(failed)? {
                refused.push(thing);
            }
        }
        left = refused;
    }
    for thing in added {
        remove_unused(&mut socket, thing).map_err(failed)?;
    }
    for table in tables {
        remove_empty(&mut socket, table).map_err(failed)?;
    }
    Ok(left.into_iter().cloned().collect())
}

/// Deletes a table that nothing is in.
pub(super) fn remove_empty(socket: &mut Socket, table: &str) -> io::Result<()> {
    if used(socket, (GETTABLE, NEWTABLE, TABLE_USE), table, None)? == Some(0) {
        let request = message(socket.next_sequence(), DELTABLE, &|buffer| put_str(buffer, TABLE, table));
        transact(socket, &request)?;
    }
    Ok(())
}

/// A transaction of one message.
fn message(sequence: u32, kind: u16, write: &dyn Fn(&mut Vec<u8>)) -> Vec<u8> {
    single(sequence, &mut |buffer| {
        let start = open_netfilter(buffer, kind, NLM_F_REQUEST, sequence, INET, 0);
        write(buffer);
        close_message(buffer, start);
    })
}

/// The transaction that deletes a chain with its rules, a counter or a set. The kernel refuses what a rule elsewhere
/// names.
pub(super) fn deletion(sequence: u32, kind: Kind, table: &str, name: &str) -> Vec<u8> {
    let (message_kind, attribute) = match kind {
        Kind::Chain | Kind::Added => (DELCHAIN, CHAIN_NAME),
        Kind::Counter => (DELOBJ, OBJ_NAME),
        Kind::Set => (DELSET, SET_NAME),
    };
    message(sequence, message_kind, &|buffer| {
        put_str(buffer, TABLE, table);
        put_str(buffer, attribute, name);
        if kind == Kind::Counter {
            put(buffer, OBJ_TYPE, &OBJECT_COUNTER.to_be_bytes());
        }
    })
}

/// Deletes it, unless something still names it.
fn is_gone(socket: &mut Socket, thing: &Thing) -> io::Result<bool> {
    let request = deletion(socket.next_sequence(), thing.kind, &thing.table, &thing.name);
    Ok(transact(socket, &request)?.is_none_or(|refusal| refusal.errno == Errno::NOENT))
}

/// Deletes a chain that nothing is in and nothing leads to.
fn remove_unused(socket: &mut Socket, thing: &Thing) -> io::Result<()> {
    if used(socket, (GETCHAIN, NEWCHAIN, CHAIN_USE), &thing.table, Some(&thing.name))? == Some(0) {
        is_gone(socket, thing)?;
    }
    Ok(())
}

/// How many things are in a table, or in a chain and lead to it; `None`: it is not there, or packets come to it by
/// themselves.
fn used(
    socket: &mut Socket,
    (question, answer, attribute): (u16, u16, u16),
    table: &str,
    chain: Option<&str>,
) -> io::Result<Option<u32>> {
    let mut request = Vec::new();
    let start = open_netfilter(&mut request, question, NLM_F_REQUEST | NLM_F_ACK, socket.next_sequence(), INET, 0);
    put_str(&mut request, TABLE, table);
    if let Some(chain) = chain {
        put_str(&mut request, CHAIN_NAME, chain);
    }
    close_message(&mut request, start);
    let mut used = None;
    let asked = socket.dump(&request, &mut |message| {
        let attributes = message.attributes();
        if message.kind == answer && (chain.is_none() || attributes.get(CHAIN_HOOK).is_none()) {
            used = attributes.get(attribute).and_then(be32);
        }
    });
    match asked {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(used),
    }
}

/// Deletes the rules of ours, in whatever chain of the table, that jump to a chain that goes.
fn remove_jumps(socket: &mut Socket, table: &str, things: &[Thing]) -> io::Result<()> {
    let goes = |chain: &[u8]| {
        let is_it = |thing: &Thing| thing.kind == Kind::Chain && thing.table == table && thing.name.as_bytes() == chain;
        things.iter().any(is_it)
    };
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for _ in 0..super::ATTEMPTS {
        found.clear();
        let mut request = Vec::new();
        let start = open_netfilter(&mut request, GETRULE, NLM_F_REQUEST | NLM_F_DUMP, socket.next_sequence(), INET, 0);
        put_str(&mut request, TABLE, table);
        close_message(&mut request, start);
        let asked = socket.dump(&request, &mut |message| {
            let attributes = message.attributes();
            let is_ours = || attributes.get(RULE_USERDATA) == Some(COMMENT);
            if message.kind == NEWRULE
                && is_in(attributes, table)
                && is_ours()
                && ways::jump(attributes).is_some_and(goes)
            {
                let value = |kind| attributes.get(kind).unwrap_or_default();
                found.push((text(value(RULE_CHAIN)).to_vec(), value(RULE_HANDLE).to_vec()));
            }
        });
        match asked {
            Ok(Dump::Interrupted) => {}
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => break,
        }
    }
    for (chain, handle) in found {
        let sequence = socket.next_sequence();
        let request = message(sequence, DELRULE, &|buffer| {
            put_str(buffer, TABLE, table);
            put(buffer, RULE_CHAIN, &[&chain[..], b"\0"].concat());
            put(buffer, RULE_HANDLE, &handle);
        });
        transact(socket, &request)?;
    }
    Ok(())
}

fn is_in(attributes: Attributes<'_>, table: &str) -> bool {
    attributes.get(TABLE).is_some_and(|found| text(found) == table.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_note_has_what_a_text_names_and_no_other_line_counts() {
        let text = "# chain x {\nadd table inet fw4\ntable inet fw4 {\n\tset d_a4 { type ipv4_addr; size 1; }\n\
                    \tcounter d_a4 { }\n\tchain d_from {\n\t\tip saddr @d_a4 counter name \"d_a4\" drop\n\t}\n}\n\
                    add chain inet fw4 input_wan\ninsert rule inet fw4 input_wan jump d_from comment \"!diswall\"\n\
                    delete chain inet other d_to\ndelete set inet other d_b4\ndelete set inet other d_b4\n";
        let lines: Vec<String> = named_in(text).iter().map(Thing::to_string).collect();
        let expected = [
            "set fw4 d_a4",
            "counter fw4 d_a4",
            "chain fw4 d_from",
            "added fw4 input_wan",
            "chain other d_to",
            "set other d_b4",
        ];
        assert_eq!(lines, expected);
        assert!(lines.iter().all(|line| Thing::read(line).unwrap().to_string() == *line));
        let long = format!("set fw4 {}", "x".repeat(256));
        for line in ["", "set fw4", "set fw4 a b", "table fw4 x", "set  a", "set fw4 a\tb", &long] {
            assert_eq!(Thing::read(line), None, "{line:?}");
        }
    }
}
