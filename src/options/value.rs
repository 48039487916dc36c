//! One value each: text to a checked type, or a sentence that names the value and what is accepted.
//!
//! Pure functions without state or I/O, used for UCI, by the command line and by the control socket, so that
//! a value is accepted everywhere or nowhere. What only one feed knows is read in that feed's `settings`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::model::{Lifetime, TAG_MAX};
use crate::outside;

/// Longest [`duration`]: ten years, in seconds. Far below where a time-out would overflow in the kernel.
pub const MAX_DURATION: u32 = 10 * 365 * 86_400;
/// Longest name of a zone, in bytes.
pub const MAX_NAME: usize = 32;
/// Longest name of a section that goes by its name, in bytes: sets and devices have names of it.
pub const MAX_SECTION_NAME: usize = 15;
/// Longest piece of a value that a message repeats, in characters.
const SHOWN: usize = 80;

/// A value that is not accepted: a sentence that names it and says what is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue(String);

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadValue {}

impl BadValue {
    /// A sentence of its own, for a value that is not to be repeated.
    pub fn new(sentence: &str) -> BadValue {
        BadValue(sentence.to_owned())
    }
}

/// A checked value.
pub type Checked<T> = Result<T, BadValue>;

/// What happens to a blocked packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Action {
    /// Silently dropped.
    #[default]
    Drop,
    /// Refused: TCP reset, or ICMP unreachable.
    Reject,
}

/// On which side a banned address is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Direction {
    /// Packets from it.
    #[default]
    Src,
    /// Also packets to it, from LAN hosts calling out.
    SrcDst,
}

/// Of which protocol packets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Proto {
    /// Every protocol.
    #[default]
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP of the address's family.
    Icmp,
}

/// Ports from `first` to `last`, both included, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

impl fmt::Display for PortRange {
    /// As UCI, nft and [`port_range`] write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// Refuses `value`; the sentence goes on with what is accepted.
///
/// # Errors
/// Always.
pub fn refuse<T>(value: &str, expected: &str) -> Checked<T> {
    Err(BadValue(format!("{} {expected}", shown(value))))
}

/// The value for a message: as it is where it is one plain word, else quoted and escaped; cut if long.
fn shown(value: &str) -> String {
    let cut: String = value.chars().take(SHOWN).collect();
    let dots = if cut.len() < value.len() { "…" } else { "" };
    let plain = !cut.is_empty() && cut.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\'');
    if plain { format!("{cut}{dots}") } else { format!("{cut:?}{dots}") }
}

/// `1`/`0`, `on`/`off`, `yes`/`no`, `true`/`false`.
pub fn boolean(value: &str) -> Checked<bool> {
    match value {
        "1" | "on" | "yes" | "true" => Ok(true),
        "0" | "off" | "no" | "false" => Ok(false),
        _ => refuse(value, "is neither yes nor no; write 1/0, on/off, yes/no or true/false"),
    }
}

/// Seconds, or a number with `s`, `m`, `h`, `d` or `w`; 0 to [`MAX_DURATION`].
pub fn duration(value: &str) -> Checked<Duration> {
    seconds(value).map(|seconds| Duration::from_secs(seconds.into()))
}

/// A [`duration`] of at least one second.
pub fn positive_duration(value: &str) -> Checked<Duration> {
    match seconds(value)? {
        0 => refuse(value, "is too short; the least is 1s"),
        seconds => Ok(Duration::from_secs(seconds.into())),
    }
}

/// How long a ban is to hold: a [`duration`]; `0` means until it is taken back.
pub fn lifetime(value: &str) -> Checked<Lifetime> {
    Ok(match seconds(value)? {
        0 => Lifetime::Forever,
        seconds => Lifetime::Seconds(seconds),
    })
}

fn seconds(value: &str) -> Checked<u32> {
    const EXPECTED: &str = "is no duration; write seconds, or a whole number with s, m, h, d or w: 90, 15m, 24h, 7d";
    let digits = value.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match value.get(digits.len()..).unwrap_or_default() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return refuse(value, EXPECTED),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse(value, EXPECTED);
    }
    // Only digits are left, so a number that does not parse is too large.
    let seconds = digits.parse::<u32>().ok().and_then(|number| number.checked_mul(unit));
    match seconds {
        Some(seconds) if seconds <= MAX_DURATION => Ok(seconds),
        _ => refuse(value, "is too long; at most 3650d (ten years) are accepted"),
    }
}

/// A single address, either family.
pub fn address(value: &str) -> Checked<IpAddr> {
    match value.parse::<IpAddr>() {
        Ok(address) => not_mapped(value, address),
        Err(_) if value.contains('/') => refuse(value, "is a network; write a single address such as 192.0.2.7"),
        Err(_) => refuse(value, &format!("is no address{}; write one such as 192.0.2.7 or 2001:db8::7", why(value))),
    }
}

/// An address (a network of one) or a network, either family, its host bits zero.
pub fn net(value: &str) -> Checked<IpNet> {
    const FORMS: &str = "; write one such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32";
    let Some((address, prefix)) = value.split_once('/') else {
        return match value.parse::<IpAddr>() {
            Ok(address) => not_mapped(value, address).map(IpNet::from),
            Err(_) => refuse(value, &format!("is neither an address nor a network{}{FORMS}", why(value))),
        };
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return refuse(value, &format!("is no network{}{FORMS}", why(address)));
    };
    let address = not_mapped(value, address)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = if is_number(prefix) { prefix.parse::<u8>().ok() } else { None };
    match prefix.and_then(|prefix| IpNet::new(address, prefix).ok()) {
        Some(net) if net.addr() == net.network() => Ok(net),
        Some(net) => refuse(value, &host_bits(net)),
        None => refuse(value, &format!("has no prefix length from 0 to {most} after the /")),
    }
}

fn host_bits(net: IpNet) -> String {
    format!("has host bits set; write {} for the network or {} for the address", net.trunc(), net.addr())
}

/// As [`net`], and a network with host bits set is taken, with a sentence that says so. Not one of the
/// prefix length 0: nobody who writes an address means everybody.
pub fn net_or_near(value: &str) -> Checked<(IpNet, Option<BadValue>)> {
    let near = value.parse::<IpNet>().ok().filter(|near| near.addr() != near.network() && near.prefix_len() > 0);
    match (net(value), near) {
        (Ok(net), _) => Ok((net, None)),
        (Err(_), Some(near)) if not_mapped(value, near.addr()).is_ok() => {
            let taken = format!("{} {}; taken as {}", shown(value), host_bits(near), near.trunc());
            Ok((near.trunc(), Some(BadValue(taken))))
        }
        (Err(error), _) => Err(error),
    }
}

/// A network as people write it: one address without its prefix length.
pub fn written(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// Is it every address of its family?
pub fn is_everything(net: &IpNet) -> bool {
    net.prefix_len() == 0
}

/// `::ffff:192.0.2.7` would go into an IPv6 set, where no packet ever matches it.
fn not_mapped(value: &str, address: IpAddr) -> Checked<IpAddr> {
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => refuse(value, &format!("is an IPv4 address in IPv6 form; write {v4}")),
            None => Ok(address),
        },
        IpAddr::V4(_) => Ok(address),
    }
}

/// The likely mistake behind a text that is no address, ready to be put after "is no address".
fn why(value: &str) -> &'static str {
    let octets = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if value.contains('%') {
        " (a zone index such as %eth0 is not accepted)"
    } else if octets && value.split('.').any(|octet| octet.len() > 1 && octet.starts_with('0')) {
        " (leading zeros are not accepted)"
    } else if !value.is_ascii() && value.contains('.') {
        " (of a name with letters beyond ASCII write the form that resolvers know, such as xn--mnchen-3ya.example)"
    } else if !octets && is_host_name(value) {
        " (a host name may stand in option ip of a config allow or block alone)"
    } else {
        ""
    }
}

/// One port, 1 to 65535.
pub fn port(value: &str) -> Checked<u16> {
    match value.parse::<u16>() {
        Ok(port) if port > 0 && is_number(value) => Ok(port),
        _ => refuse(value, "is no port; write a number from 1 to 65535"),
    }
}

/// One port or two with a dash between them (`6000-6010`), 1 to 65535, the lower first.
pub fn port_range(value: &str) -> Checked<PortRange> {
    let Some((first, last)) = value.split_once('-') else {
        return port(value).map(|port| PortRange { first: port, last: port }).or_else(|_| bad_range(value));
    };
    match (port(first), port(last)) {
        (Ok(first), Ok(last)) if first <= last => Ok(PortRange { first, last }),
        (Ok(first), Ok(last)) => refuse(value, &format!("goes down; write {last}-{first}")),
        _ => bad_range(value),
    }
}

fn bad_range<T>(value: &str) -> Checked<T> {
    refuse(value, "is neither a port nor a range of ports; write 22 or 6000-6010, numbers from 1 to 65535")
}

/// A whole number from `least` to `most`.
pub fn number(value: &str, least: u32, most: u32) -> Checked<u32> {
    match value.parse::<u32>() {
        Ok(number) if (least..=most).contains(&number) && is_number(value) => Ok(number),
        _ => refuse(value, &format!("is no whole number from {least} to {most}")),
    }
}

/// The owner's words about an entry: one line, at most [`TAG_MAX`] bytes. May be empty.
pub fn comment(value: &str) -> Checked<String> {
    if value.chars().any(char::is_control) {
        return refuse(value, "has a line end or another control character in it; a comment is one line of text");
    }
    if value.len() > TAG_MAX {
        return refuse(value, &format!("is {} bytes long; a comment has at most {TAG_MAX}", value.len()));
    }
    Ok(outside::clean(value, TAG_MAX))
}

/// The beginning of a [`comment`] that is too long, control characters as blanks; a sentence where that
/// changed it.
pub fn comment_cut(value: &str) -> (String, Option<BadValue>) {
    let Err(why) = comment(value) else { return (value.to_owned(), None) };
    let mut end = value.len().min(TAG_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let kept = value.get(..end).unwrap_or_default();
    (
        kept.chars().map(|c| if outside::is_plain(c) { c } else { ' ' }).collect(),
        Some(BadValue(format!("{why}; it was cut"))),
    )
}

/// A server: host name or address, without a port.
pub fn server(value: &str) -> Checked<String> {
    let looks_like_v4 = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if value.parse::<IpAddr>().is_ok() || (!looks_like_v4 && is_host_name(value)) {
        return Ok(value.to_owned());
    }
    refuse(
        value,
        "is neither a host name nor an address; write feed.example.org or 192.0.2.7, the port in its own option",
    )
}

/// Is it a host's name? RFC 1123, and the underscore that some networks use; a final dot is allowed.
pub fn is_host_name(value: &str) -> bool {
    let value = value.strip_suffix('.').unwrap_or(value);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    value.len() <= 253 && value.split('.').all(is_label)
}

/// A host name that cannot be taken for an address with a slip in it: at least one dot, and not only digits
/// after the last.
pub fn host(value: &str) -> Option<String> {
    let last = value.strip_suffix('.').unwrap_or(value).rsplit_once('.')?.1;
    (is_host_name(value) && last.bytes().any(|byte| !byte.is_ascii_digit())).then(|| value.to_ascii_lowercase())
}

/// An `https://` address of a file.
pub fn https_url(value: &str) -> Checked<String> {
    const EXPECTED: &str = "is not accepted; write an address such as https://host.example.org/file";
    let Some(rest) = value.strip_prefix("https://") else {
        return refuse(value, EXPECTED);
    };
    // The text becomes an argument of the router's download program: nothing but what a URL may hold.
    let visible = rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&byte));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port_number) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, after)) if host.parse::<Ipv6Addr>().is_ok() => (host, after.strip_prefix(':')),
        _ => match authority.split_once(':') {
            Some((host, port_number)) => (host, Some(port_number)),
            None => (authority, None),
        },
    };
    if visible && server(host).is_ok() && port_number.is_none_or(|number| port(number).is_ok()) {
        return Ok(value.to_owned());
    }
    refuse(value, EXPECTED)
}

/// A zone of fw4: letters, digits, `_`, `-` and `.`, at most [`MAX_NAME`]. Whether fw4 has it is not known here.
pub fn zone(value: &str) -> Checked<String> {
    let name = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    let starts = value.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name && starts && value.len() <= MAX_NAME {
        return Ok(value.to_owned());
    }
    refuse(value, "is no name of a zone; write one as in /etc/config/firewall, such as wan")
}

/// A network device's name: 1 to 15 letters, digits, `_`, `-` and `.`. No `@`: what `ip link` shows as
/// `eth0@if2` is called `eth0`.
pub fn device(value: &str) -> Checked<String> {
    let name = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if name && (1..=15).contains(&value.len()) && !value.bytes().all(|byte| byte == b'.') {
        return Ok(value.to_owned());
    }
    refuse(value, "is no name of a network device; write one such as eth0 or pppoe-wan, at most 15 characters")
}

/// The name of a section that goes by it: 1 to [`MAX_SECTION_NAME`] of `a-z0-9_`.
pub fn section_name(value: &str) -> Checked<String> {
    let plain = value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain && (1..=MAX_SECTION_NAME).contains(&value.len()) {
        return Ok(value.to_owned());
    }
    refuse(value, "is no name for it; write 1 to 15 of a to z, 0 to 9 and _")
}

/// An absolute path without `..`.
pub fn path(value: &str) -> Checked<PathBuf> {
    let path = Path::new(value);
    let climbs = path.components().any(|component| component == Component::ParentDir);
    if !path.is_absolute() || climbs || !value.chars().all(outside::is_plain) {
        return refuse(value, "is not accepted; write an absolute path without .., such as /var/lib/diswall");
    }
    Ok(path.to_owned())
}

fn is_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// `drop` or `reject`.
pub fn action(value: &str) -> Checked<Action> {
    match value {
        "drop" => Ok(Action::Drop),
        "reject" => Ok(Action::Reject),
        _ => refuse(value, "is no action; write drop or reject"),
    }
}

/// `src` or `src-dst`.
pub fn direction(value: &str) -> Checked<Direction> {
    match value {
        "src" => Ok(Direction::Src),
        "src-dst" => Ok(Direction::SrcDst),
        _ => refuse(value, "is no direction; write src or src-dst"),
    }
}

/// `any`, `tcp`, `udp` or `icmp`.
pub fn proto(value: &str) -> Checked<Proto> {
    match value {
        "any" => Ok(Proto::Any),
        "tcp" => Ok(Proto::Tcp),
        "udp" => Ok(Proto::Udp),
        "icmp" => Ok(Proto::Icmp),
        _ => refuse(value, "is no protocol; write any, tcp, udp or icmp"),
    }
}

#[cfg(test)]
mod tests;
