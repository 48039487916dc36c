//! The definitions of the sets: what they must be, what the kernel has, and making what is missing.

use std::fmt::Write as _;
use std::io;

use super::batch::{INET, boundary};
use super::error::Error;
use super::former::{Kind, deletion};
use super::names::{Family, Names, SetKey, Side};
use super::netlink::{
    Attributes, Dump, Message, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, Socket, be32, be64, close_message,
    open_netfilter, put_str, text,
};
use super::nftables::{GETSET, GETTABLE, NEWSET, SET_NAME, TABLE_NAME};
use super::ways::{self, Ways};
use crate::memory;
use crate::model::SetId;
use crate::sys::{self, SetDefinition};

const SET_TABLE: u16 = 1;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LEN: u16 = 5;
const SET_DESC: u16 = 9;
const SET_DESC_SIZE: u16 = 1;
const SET_TIMEOUT: u16 = 11;

/// `NFT_SET_CONSTANT` may come and go with the kernel's own optimisations; the rest defines the set.
const FLAG_INTERVAL: u32 = 0x4;
const FLAG_TIMEOUT: u32 = 0x10;
const FLAG_EVAL: u32 = 0x20;

/// No flag of the kernel's: the set ends what was put in without an end, and tells nobody.
const ENDS: u32 = 1 << 31;

/// nft's data types `ipv4_addr` and `ipv6_addr`.
const TYPE_IPADDR: u32 = 7;
const TYPE_IP6ADDR: u32 = 8;

/// A set that has our name and another definition. It must be deleted before ours can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongSet {
    /// Which of ours it stands in for.
    pub key: SetKey,
    /// In what it differs, for people.
    pub difference: String,
}

/// What the kernel has of the table and its sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// Whether the table exists. If not, every set is missing.
    pub table: bool,
    /// Whether rules look the sets up. Without them everything else is in vain. A firewall that was loaded
    /// without our include leaves the chain empty, or does not have it.
    pub rules: bool,
    /// Whether rules look for scans.
    pub scans: bool,
    /// Whether rules keep severed connections severed.
    pub cuts: bool,
    /// How packets come to them.
    pub ways: Ways,
    /// Sets that do not exist.
    pub missing: Vec<SetKey>,
    /// Sets that exist with other flags or another type. A different `size` is no difference.
    pub wrong: Vec<WrongSet>,
    /// Sets that are as a list's must be, and of no list that there is.
    pub former: Vec<String>,
}

impl Structure {
    /// Every set is there as it must be.
    pub fn is_complete(&self) -> bool {
        self.table && self.missing.is_empty() && self.wrong.is_empty()
    }
}

/// What a set must be; the same as the nft text says.
pub(super) fn definition(key: SetKey, max_entries: u32) -> SetDefinition {
    let flags = match key.set {
        set if set.is_interval() => FLAG_INTERVAL | FLAG_TIMEOUT,
        SetId::Ban(source) if source.is_own() => FLAG_EVAL | FLAG_TIMEOUT,
        _ => FLAG_TIMEOUT,
    };
    let key_type = match key.family {
        Family::V4 => TYPE_IPADDR,
        Family::V6 => TYPE_IP6ADDR,
    };
    let size = match flags {
        FLAG_TIMEOUT => memory::hash_size(max_entries),
        // A range takes two elements of an interval set, and each network can split another in two.
        flags if flags & FLAG_INTERVAL != 0 => max_entries.saturating_mul(4),
        _ => max_entries,
    };
    SetDefinition { flags, key_type, key_len: key.family.width() as u32, size }
}

/// Reads the table's sets.
pub(super) fn structure(socket: &mut Socket, names: &Names) -> Result<Structure, Error> {
    let failed = |cause| Error::Netlink { doing: "reading the table", cause };
    if !table_exists(socket, names).map_err(failed)? {
        return Ok(Structure { missing: names.keys().collect(), ..Structure::default() });
    }
    for _ in 0..super::ATTEMPTS {
        let mut found: Vec<(SetKey, SetDefinition)> = Vec::new();
        let mut former = Vec::new();
        let sequence = socket.next_sequence();
        let mut request = Vec::new();
        let start = open_netfilter(&mut request, GETSET, NLM_F_REQUEST | NLM_F_DUMP, sequence, INET, 0);
        put_str(&mut request, SET_TABLE, &names.table);
        close_message(&mut request, start);
        let outcome = socket.dump(&request, &mut |message| match read_set(message, names) {
            Some((_, Some(key), definition)) => found.push((key, definition)),
            Some((name, None, definition)) if is_of_list(name, names, &definition) => {
                former.push(String::from_utf8_lossy(name).into_owned());
            }
            _ => {}
        });
        match outcome {
            Ok(Dump::Complete) => {
                let Some(ways) = ways::read(socket, names).map_err(failed)? else { continue };
                let has = |chain: String| ways.has_rules(&chain);
                let (rules, scans, cuts) = (has(names.entry_chain()), has(names.scan_chain()), has(names.cut_chain()));
                return Ok(Structure { rules, scans, cuts, ways, former, ..compare(names, &found) });
            }
            Ok(Dump::Interrupted) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Structure { missing: names.keys().collect(), ..Structure::default() });
            }
            Err(cause) => return Err(failed(cause)),
        }
    }
    Err(Error::Busy)
}

fn table_exists(socket: &mut Socket, names: &Names) -> io::Result<bool> {
    let sequence = socket.next_sequence();
    let mut request = Vec::new();
    let start = open_netfilter(&mut request, GETTABLE, NLM_F_REQUEST | NLM_F_ACK, sequence, INET, 0);
    put_str(&mut request, TABLE_NAME, &names.table);
    close_message(&mut request, start);
    match socket.dump(&request, &mut |_| {}) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A set of our table: its name, which of ours it is, and what it is like.
fn read_set<'m>(message: &Message<'m>, names: &Names) -> Option<(&'m [u8], Option<SetKey>, SetDefinition)> {
    if message.kind != NEWSET {
        return None;
    }
    let attributes = message.attributes();
    if text(attributes.get(SET_TABLE)?) != names.table.as_bytes() {
        return None;
    }
    let name = text(attributes.get(SET_NAME)?);
    let number = |kind| attributes.get(kind).and_then(be32).unwrap_or(0);
    let size = attributes.get(SET_DESC).and_then(|desc| Attributes(desc).get(SET_DESC_SIZE)).and_then(be32);
    let ends = attributes.get(SET_TIMEOUT).and_then(be64).is_some_and(|milliseconds| milliseconds > 0);
    let definition = SetDefinition {
        flags: number(SET_FLAGS) | if ends { ENDS } else { 0 },
        key_type: number(SET_KEY_TYPE),
        key_len: number(SET_KEY_LEN),
        size: size.unwrap_or(0),
    };
    Some((name, names.find(name), definition))
}

/// Whether a set that is none of ours could be one of a list that was. What rules fill is no list's.
fn is_of_list(name: &[u8], names: &Names, definition: &SetDefinition) -> bool {
    let rest = name.strip_prefix(names.prefix.as_bytes()).and_then(|rest| rest.strip_prefix(b"_"));
    let key_type = match rest.and_then(<[u8]>::last) {
        Some(b'4') => TYPE_IPADDR,
        Some(b'6') => TYPE_IP6ADDR,
        _ => return false,
    };
    definition.key_type == key_type && [FLAG_TIMEOUT, FLAG_INTERVAL | FLAG_TIMEOUT].contains(&definition.flags)
}

/// Transactions that take away what the rules brought along for a set of [`Structure::former`]: the chains of its list,
/// its counter, and at last the set. The kernel refuses what a rule still names.
pub(super) fn removal(names: &Names, set: &str, sequence: &mut dyn FnMut() -> u32) -> Vec<Vec<u8>> {
    let mut remove = |kind, name: &str| deletion(sequence(), kind, &names.table, name);
    let list = set.get(names.prefix.len() + 1..).unwrap_or_default();
    let (list, digit) = list.split_at_checked(list.len().saturating_sub(1)).unwrap_or_default();
    // Of what has zones of its own, the chain that jumps to the others first.
    let label = [".", list].concat();
    let family = if digit == "4" { Family::V4 } else { Family::V6 };
    let here = Side::ALL.map(|side| names.here_chain_of(side, &label));
    let entries = Side::ALL.map(|side| names.side_chain(side, &label));
    let families = Side::ALL.map(|side| names.family_chain(side, &label, family));
    let chains = here.into_iter().chain(entries).chain(families).chain([Names::hit_chain(set)]);
    let chains = chains.map(|chain| remove(Kind::Chain, &chain)).collect::<Vec<_>>();
    let rest = [remove(Kind::Counter, set), remove(Kind::Set, set)];
    chains.into_iter().chain(rest).collect()
}

fn compare(names: &Names, found: &[(SetKey, SetDefinition)]) -> Structure {
    let mut structure = Structure { table: true, ..Structure::default() };
    for key in names.keys() {
        let wanted = definition(key, 0);
        match found.iter().find(|(each, _)| *each == key).map(|(_, is)| is) {
            None => structure.missing.push(key),
            Some(is) if (is.flags, is.key_type, is.key_len) == (wanted.flags, wanted.key_type, wanted.key_len) => {}
            Some(is) => structure.wrong.push(WrongSet { key, difference: describe(is, &wanted) }),
        }
    }
    structure
}

fn describe(is: &SetDefinition, wanted: &SetDefinition) -> String {
    let mut text = String::from(if is.flags & ENDS == 0 { "" } else { "a time-out of its own" });
    let pairs = [
        ("flags", is.flags & !ENDS, wanted.flags),
        ("key type", is.key_type, wanted.key_type),
        ("key length", is.key_len, wanted.key_len),
    ];
    for (what, is, wanted) in pairs.into_iter().filter(|(_, is, wanted)| is != wanted) {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{what} {is:#x} instead of {wanted:#x}");
    }
    text
}

/// The transaction that makes the sets; those that exist with the same definition stay as they are.
/// The message for `keys[i]` has the sequence number `first + 1 + i`.
pub(super) fn create(names: &Names, keys: &[SetKey], max_entries: u32, first: u32) -> io::Result<Vec<u8>> {
    const BATCH_BEGIN: u16 = 0x10;
    const BATCH_END: u16 = 0x11;
    let mut buffer = Vec::new();
    boundary(&mut buffer, BATCH_BEGIN, first);
    let mut sequence = first;
    for (id, key) in (1..).zip(keys) {
        sequence = sequence.wrapping_add(1);
        let attributes = sys::set_attributes(&names.table, &names.set(*key), id, &definition(*key, max_entries))?;
        let start = open_netfilter(&mut buffer, NEWSET, NLM_F_REQUEST | NLM_F_CREATE, sequence, INET, 0);
        buffer.extend_from_slice(&attributes);
        close_message(&mut buffer, start);
    }
    boundary(&mut buffer, BATCH_END, sequence.wrapping_add(1));
    Ok(buffer)
}
