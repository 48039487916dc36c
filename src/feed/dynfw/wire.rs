//! DynFW messages: frames in, a typed message that borrows from them out.
//!
//! A function of bytes and nothing else: it knows no socket and no state, and never panics on any input
//! (fuzz target `dynfw_message`). `client` calls it for every message. Source: docs/protocols.md section 1;
//! integers of any width are taken, unknown keys are ignored.

use std::fmt;
use std::net::IpAddr;

use super::msgpack::{Broken, Cursor, Value};

/// Topic of whole lists.
pub const TOPIC_LIST: &str = "dynfw/list";
/// Topic of single changes.
pub const TOPIC_DELTA: &str = "dynfw/delta";
/// Topic of single suspicious events.
pub const TOPIC_EVENT: &str = "dynfw/event";

/// Longest piece of a refused message that an error repeats, in bytes.
const SHOWN_MAX: usize = 40;

/// One message.
#[derive(Clone, Debug)]
pub enum Published<'a> {
    /// `dynfw/list`.
    List(List<'a>),
    /// `dynfw/delta`.
    Delta(Delta<'a>),
    /// `dynfw/event`.
    Event(Sighting<'a>),
}

/// The whole list as of `serial`.
#[derive(Clone, Debug)]
pub struct List<'a> {
    /// Version of the list; the server sometimes sets it back to 0, so nothing depends on it.
    pub version: u64,
    /// Serial of the last delta that the list contains.
    pub serial: u64,
    /// When it was made, Unix seconds.
    pub ts: u64,
    /// The addresses, read where they lie.
    pub addresses: Addresses<'a>,
}

/// One address added or removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta<'a> {
    /// One more than that of the delta before.
    pub serial: u64,
    /// Whether the address was added (`positive`) or removed (`negative`).
    pub positive: bool,
    /// The address, as the server wrote it: see [`parse_address`].
    pub ip: &'a str,
    /// When, Unix seconds.
    pub ts: u64,
}

/// One suspicious event, as a minipot or a firewall reported it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting<'a> {
    /// What happened: `telnet_login`, `fwlogs_big_port_scan`, …
    pub event: &'a str,
    /// Who did it, as the server wrote it: see [`parse_address`].
    pub ip: &'a str,
    /// When, Unix seconds.
    pub ts: u64,
}

/// The addresses of a list, in its order. A member that is no address comes as `Err`.
#[derive(Clone, Debug)]
pub struct Addresses<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

impl<'a> Iterator for Addresses<'a> {
    type Item = Result<IpAddr, NotAnAddress<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // `parse` has been over these bytes: the errors cannot occur, and would end the iteration.
        match self.cursor.value().ok()? {
            Value::Text(text) => Some(address(text)),
            other => {
                self.cursor.skip(other).ok()?;
                Some(Err(NotAnAddress { text: other.kind().as_bytes() }))
            }
        }
    }
}

impl Addresses<'_> {
    /// How many IPv4 addresses these can be at most, to make room for them at once. A lying length
    /// does not reserve memory: the shortest IPv4 address takes 8 bytes of the frame.
    pub fn most_v4(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX).min(self.cursor.remaining() / 8)
    }
}

/// A text where an address should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAddress<'a> {
    text: &'a [u8],
}

impl fmt::Display for NotAnAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is no IPv4 or IPv6 address", shown(self.text))
    }
}

/// An IPv4 or IPv6 address in its usual text form; an IPv4 address in IPv6 clothes (`::ffff:192.0.2.1`)
/// becomes IPv4, for that is what its packets are.
pub fn parse_address(text: &str) -> Result<IpAddr, NotAnAddress<'_>> {
    address(text.as_bytes())
}

fn address(text: &[u8]) -> Result<IpAddr, NotAnAddress<'_>> {
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse::<IpAddr>().ok());
    parsed.map(|address| address.to_canonical()).ok_or(NotAnAddress { text })
}

/// Why a message is refused. Each names what was found and what is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// Not two frames.
    Frames(usize),
    /// A topic that DynFW does not have.
    Topic(Box<str>),
    /// The payload is no MessagePack.
    Broken(Broken),
    /// The payload is some other value than a map, this kind.
    NotAMap(&'static str),
    /// So many bytes follow the map.
    Trailing(usize),
    /// The map lacks this key.
    Missing(&'static str),
    /// This key has a value of the wrong type.
    Type {
        /// The key.
        key: &'static str,
        /// What is accepted.
        expected: &'static str,
        /// What was found.
        found: &'static str,
    },
    /// `delta` is neither `positive` nor `negative`.
    Sign(Box<str>),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Frames(count) => write!(f, "a message of {count} frames, DynFW's have 2: topic and payload"),
            WireError::Topic(topic) => {
                write!(f, "unknown topic \"{topic}\", known are {TOPIC_LIST}, {TOPIC_DELTA}, {TOPIC_EVENT}")
            }
            WireError::Broken(Broken::Truncated) => write!(f, "the MessagePack payload ends in the middle of a value"),
            WireError::Broken(Broken::Unused { at }) => {
                write!(f, "the payload is no MessagePack: byte 0xc1 at offset {at}")
            }
            WireError::NotAMap(found) => write!(f, "the payload is {found}, a map is expected"),
            WireError::Trailing(bytes) => write!(f, "{bytes} bytes follow the payload's map"),
            WireError::Missing(key) => write!(f, "the key \"{key}\" is missing"),
            WireError::Type { key, expected, found } => write!(f, "\"{key}\" is {found}, {expected} is expected"),
            WireError::Sign(found) => {
                write!(f, "\"delta\" is \"{found}\", accepted are \"positive\" and \"negative\"")
            }
        }
    }
}

impl std::error::Error for WireError {}

impl From<Broken> for WireError {
    fn from(broken: Broken) -> WireError {
        WireError::Broken(broken)
    }
}

/// Reads one message from its frames. A list is walked once to be sure of its form; its addresses are
/// not looked at before [`Addresses`] is iterated.
pub fn parse<'a>(frames: &[&'a [u8]]) -> Result<Published<'a>, WireError> {
    let &[topic, payload] = frames else { return Err(WireError::Frames(frames.len())) };
    match std::str::from_utf8(topic) {
        Ok(TOPIC_LIST) => fields(payload)?.list().map(Published::List),
        Ok(TOPIC_DELTA) => fields(payload)?.delta().map(Published::Delta),
        Ok(TOPIC_EVENT) => fields(payload)?.event().map(Published::Event),
        _ => Err(WireError::Topic(shown(topic))),
    }
}

/// Whether these frames carry a whole list, without reading it.
pub fn is_list(frames: &[&[u8]]) -> bool {
    frames.first() == Some(&TOPIC_LIST.as_bytes())
}

/// The values of the keys that any topic knows; the last of several with the same key counts.
#[derive(Default)]
struct Fields<'a> {
    version: Option<Value<'a>>,
    serial: Option<Value<'a>>,
    ts: Option<Value<'a>>,
    delta: Option<Value<'a>>,
    event: Option<Value<'a>>,
    ip: Option<Value<'a>>,
    /// With the place of the first member.
    list: Option<(Value<'a>, Cursor<'a>)>,
}

fn fields(payload: &[u8]) -> Result<Fields<'_>, WireError> {
    let mut cursor = Cursor::new(payload);
    let pairs = match cursor.value()? {
        Value::Map(pairs) => pairs,
        other => return Err(WireError::NotAMap(other.kind())),
    };
    let mut fields = Fields::default();
    for _ in 0..pairs {
        let key = cursor.value()?;
        cursor.skip(key)?;
        let value = cursor.value()?;
        match key {
            Value::Text(b"version") => fields.version = Some(value),
            Value::Text(b"serial") => fields.serial = Some(value),
            Value::Text(b"ts") => fields.ts = Some(value),
            Value::Text(b"delta") => fields.delta = Some(value),
            Value::Text(b"event") => fields.event = Some(value),
            Value::Text(b"ip") => fields.ip = Some(value),
            Value::Text(b"list") => fields.list = Some((value, cursor)),
            _ => {}
        }
        cursor.skip(value)?;
    }
    if cursor.remaining() > 0 {
        return Err(WireError::Trailing(cursor.remaining()));
    }
    Ok(fields)
}

impl<'a> Fields<'a> {
    fn list(self) -> Result<List<'a>, WireError> {
        let (value, cursor) = self.list.ok_or(WireError::Missing("list"))?;
        let Value::Array(left) = value else {
            return Err(WireError::Type { key: "list", expected: "an array of texts", found: value.kind() });
        };
        Ok(List {
            version: number("version", self.version)?,
            serial: number("serial", self.serial)?,
            ts: number("ts", self.ts)?,
            addresses: Addresses { cursor, left },
        })
    }

    fn delta(self) -> Result<Delta<'a>, WireError> {
        let positive = match text("delta", self.delta)? {
            "positive" => true,
            "negative" => false,
            other => return Err(WireError::Sign(shown(other.as_bytes()))),
        };
        Ok(Delta {
            serial: number("serial", self.serial)?,
            positive,
            ip: text("ip", self.ip)?,
            ts: number("ts", self.ts)?,
        })
    }

    fn event(self) -> Result<Sighting<'a>, WireError> {
        Ok(Sighting { event: text("event", self.event)?, ip: text("ip", self.ip)?, ts: number("ts", self.ts)? })
    }
}

fn number(key: &'static str, value: Option<Value<'_>>) -> Result<u64, WireError> {
    match value.ok_or(WireError::Missing(key))? {
        Value::Unsigned(number) => Ok(number),
        other => Err(WireError::Type { key, expected: "an unsigned integer", found: other.kind() }),
    }
}

fn text<'a>(key: &'static str, value: Option<Value<'a>>) -> Result<&'a str, WireError> {
    const EXPECTED: &str = "a text in UTF-8";
    match value.ok_or(WireError::Missing(key))? {
        Value::Text(text) => std::str::from_utf8(text).map_err(|_| WireError::Type {
            key,
            expected: EXPECTED,
            found: "a text that is not UTF-8",
        }),
        other => Err(WireError::Type { key, expected: EXPECTED, found: other.kind() }),
    }
}

/// The start of a foreign text, fit for one line of a log: no control characters, at most [`SHOWN_MAX`]
/// bytes of it.
fn shown(text: &[u8]) -> Box<str> {
    let cut = text.get(..SHOWN_MAX).unwrap_or(text);
    let mut shown: String = String::from_utf8_lossy(cut).chars().flat_map(char::escape_debug).collect();
    if cut.len() < text.len() {
        shown.push('…');
    }
    shown.into()
}

#[cfg(test)]
mod tests;
