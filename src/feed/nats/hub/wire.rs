//! The hub's words: bytes in, values out. They never panic, whatever the bytes; the fuzz target
//! `nats_stream` drives them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::wire::{self, WireError};
use crate::model::Lifetime;

/// Where a hub says what it is.
pub const HELLO: &str = "diswall.hub.hello";
/// What is asked there.
pub const HELLO_BODY: &[u8] = b"1";
/// Where it tells of changes.
pub const CHANGES: &str = "diswall.hub.changes";
/// What every router tells the hub of bans.
pub const REPORTS: &str = "diswall.blacklist.*.add.*";
/// Where the server hands out what the hub keeps.
pub const KEPT: &str = "$JS.API.DIRECT.GET.KV_diswall_bans";
/// The latest of what it keeps.
pub const LATEST: &[u8] = br#"{"last_by_subj":"$KV.diswall_bans.>"}"#;
/// The protocol spoken here.
pub const PROTOCOL: u64 = 1;
/// Longest message of changes, in bytes.
pub const CHANGES_MAX: usize = 512 * 1024;
/// Time between a hub's signs of life that is believed, in seconds.
const HEARTBEATS: (u64, u64) = (1, 60);
/// What a key begins with in a message's subject.
const KEYS: &str = "$KV.diswall_bans.";
/// What a key begins with that is no address but a login whose reports count no more.
pub const LOGINS: &str = "revoked.";
/// The header of a message of changes that says which stream its sequences are of: when that was made.
pub const BORN: &str = "Diswall-Born";

/// What a hub says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The protocol it speaks.
    pub protocol: u64,
    /// The sequence up to which it has told of changes.
    pub sequence: u64,
    /// The NATS server's clock, Unix seconds.
    pub time: u64,
    /// Seconds between its signs of life, 1 to 60.
    pub heartbeat: u64,
    /// Which stream the sequence is of: when that was made. 0: the hub does not say.
    pub born: u64,
}

/// A hub's answer to `HELLO`: lines `KEY VALUE`, of which unknown ones do not matter.
///
/// # Errors
/// It lacks the protocol, the sequence or the time.
pub fn hello(body: &[u8]) -> Result<Hello, WireError> {
    let text = wire::text(body)?;
    let value = |key: &str| {
        text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(' ')?.trim().parse::<u64>().ok())
    };
    let (Some(protocol), Some(sequence), Some(time)) = (value("diswall-hub"), value("seq"), value("time")) else {
        return Err(WireError::Word(wire::excerpt(text), "diswall-hub, seq and time"));
    };
    let heartbeat = value("heartbeat").unwrap_or(5).clamp(HEARTBEATS.0, HEARTBEATS.1);
    Ok(Hello { protocol, sequence, time, heartbeat, born: value("born").unwrap_or(0) })
}

/// What a message of changes begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heading {
    /// It tells of what came after this sequence …
    pub from: u64,
    /// … up to this one.
    pub to: u64,
    /// The NATS server's clock, Unix seconds.
    pub time: u64,
    /// Bytes that this took.
    pub bytes: usize,
}

/// Reads a [`Heading`].
///
/// # Errors
/// It has another form, or goes backwards.
pub fn heading(body: &[u8]) -> Result<Heading, WireError> {
    let bytes = body.iter().take(80).position(|byte| *byte == b'\n').map_or(body.len().min(80), |at| at + 1);
    let text = wire::text(body.get(..bytes).unwrap_or_default())?;
    let mut numbers = text.split(' ').map(|word| word.parse::<u64>().ok());
    match (numbers.next().flatten(), numbers.next().flatten(), numbers.next().flatten(), numbers.next()) {
        (Some(from), Some(to), Some(time), None) if from <= to => Ok(Heading { from, to, time, bytes }),
        _ => Err(WireError::Word(wire::excerpt(text), "FROM TO TIME")),
    }
}

/// A line of a message of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Banned for so long, and why.
    Ban(IpAddr, Lifetime, &'a str),
    /// Taken back.
    Unban(IpAddr),
    /// A login whose reports count no more, or do again.
    Revoked(&'a str, bool),
}

/// `+ADDRESS SECONDS [REASON]`, `-ADDRESS`, `!LOGIN` or `~LOGIN`.
///
/// # Errors
/// It is none of them.
pub fn change(line: &str) -> Result<Change<'_>, WireError> {
    if let Some(login) = line.strip_prefix(['!', '~']) {
        return Ok(Change::Revoked(login, line.starts_with('!')));
    }
    if let Some(address) = line.strip_prefix('-') {
        return Ok(Change::Unban(wire::single(address)?));
    }
    let refused = || WireError::Word(wire::excerpt(line), "+ADDRESS SECONDS REASON or -ADDRESS");
    let (address, rest) = line.strip_prefix('+').and_then(|rest| rest.split_once(' ')).ok_or_else(refused)?;
    let (seconds, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    Ok(Change::Ban(wire::single(address)?, wire::seconds(seconds)?, wire::cut(reason.trim(), wire::TAG_MAX).trim_end()))
}

/// A ban as the hub keeps it: address, seconds from when it was kept, reason.
///
/// # Errors
/// Subject or body have another form.
pub fn kept<'a>(subject: &str, body: &'a [u8]) -> Result<(IpAddr, u32, &'a str), WireError> {
    let address = address(subject)?;
    let text = wire::text(body)?;
    let mut fields = text.split('|');
    let (seconds, reason) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    let seconds = match wire::seconds(seconds)? {
        Lifetime::Seconds(seconds) => seconds,
        Lifetime::Forever => wire::MAX_SECONDS,
    };
    Ok((address, seconds, wire::cut(reason.trim(), wire::TAG_MAX).trim_end()))
}

/// The login whose reports count no more, of a message that says so by its key.
pub fn revoked(subject: &str) -> Option<&str> {
    subject.strip_prefix(KEYS)?.strip_prefix(LOGINS)
}

/// The address under whose key a message is kept.
///
/// # Errors
/// The subject has another form.
pub fn address(subject: &str) -> Result<IpAddr, WireError> {
    let refused = || WireError::Word(wire::excerpt(subject), "v4.ADDRESS or v6.HEX");
    subject.strip_prefix(KEYS).and_then(of_key).ok_or_else(refused)
}

/// The address of a hub's key: `v4.192.0.2.1`, or `v6.` and 32 hexadecimal digits. `None`: it is none.
pub fn of_key(key: &str) -> Option<IpAddr> {
    match key.split_once('.')? {
        ("v4", text) => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        ("v6", hex) if hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            let bits = u128::from_str_radix(hex, 16).ok()?;
            Some(IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical())
        }
        _ => None,
    }
}

/// Sequence and time (Unix seconds) of what a hub kept last, from the answer to `LATEST`: no later than now by the
/// server's clock. `None`: the server keeps nothing for a hub.
pub fn latest(headers: &[u8], status: Option<u16>) -> Option<(u64, u64)> {
    match status {
        // There is such a bucket, and nothing in it.
        Some(404) => Some((0, 0)),
        Some(_) => None,
        None => {
            header(headers, "Nats-Subject").filter(|subject| subject.starts_with(KEYS))?;
            Some((number(headers, "Nats-Sequence")?, unix_seconds(header(headers, "Nats-Time-Stamp")?)?))
        }
    }
}

/// The value of a message's header.
pub fn header<'a>(headers: &'a [u8], name: &str) -> Option<&'a str> {
    headers.split(|byte| *byte == b'\n').find_map(|line| {
        let (head, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":").filter(|_| head.eq_ignore_ascii_case(name.as_bytes()))?;
        std::str::from_utf8(value).ok().map(str::trim)
    })
}

/// A header that is a number.
pub fn number(headers: &[u8], name: &str) -> Option<u64> {
    header(headers, name)?.parse().ok()
}

/// Unix seconds of `2026-11-28T02:44:58.888Z`, which is how a NATS server writes the time.
pub fn unix_seconds(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once('T')?;
    let clock = rest.get(..8).filter(|_| rest.ends_with('Z'))?;
    let three = |text: &str, by: char| {
        let mut parts = text.split(by).map(|part| part.parse::<u64>().ok());
        Some([parts.next()??, parts.next()??, parts.next()??]).filter(|_| parts.next().is_none())
    };
    let ([year, month, day], [hour, minute, second]) = (three(date, '-')?, three(clock, ':')?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March, so that the leap day is a year's last.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    const UNIX: u64 = 719_468;
    Some((days - UNIX) * 86_400 + hour.min(23) * 3600 + minute.min(59) * 60 + second.min(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hub_says_of_itself() {
        let said = b"diswall-hub 1\nseq 812\ntime 1795834000\nstream KV_diswall_bans\nheartbeat 0\nnew thing\n";
        assert_eq!(hello(said), Ok(Hello { protocol: 1, sequence: 812, time: 1_795_834_000, heartbeat: 1, born: 0 }));
        assert_eq!(hello(b"diswall-hub 1\nseq 1\ntime 1\nborn 7").map(|hello| hello.born), Ok(7));
        for bad in
            [&b""[..], b"diswall-hub 1\nseq -1\ntime 5", b"diswall-hub x\nseq 1\ntime 5", b"\xff", b"seq 1\ntime 5"]
        {
            assert!(hello(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn changes_have_a_heading_and_lines() {
        let first = Heading { from: 5, to: 9, time: 1_795_834_000, bytes: 15 };
        assert_eq!(heading(b"5 9 1795834000\n+203.0.113.1 60 ssh\n"), Ok(first));
        assert_eq!(heading(b"5 5 0"), Ok(Heading { from: 5, to: 5, time: 0, bytes: 5 }));
        for bad in ["", "\n", "9 5 0\n", "1 2\n", "1 2 3 4\n", "-1 2 3\n", "18446744073709551616 0 0", "x"] {
            assert!(heading(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(heading(&[b'1'; 1000]).unwrap_err().to_string().len() < 200);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            change("+203.0.113.1 60 ssh"),
            Ok(Change::Ban(address("203.0.113.1"), Lifetime::Seconds(60), "ssh"))
        );
        assert_eq!(change("+2001:db8::1 9999999"), {
            Ok(Change::Ban(address("2001:db8::1"), Lifetime::Seconds(wire::MAX_SECONDS), ""))
        });
        assert_eq!(change("!bob"), Ok(Change::Revoked("bob", true)));
        assert_eq!(change("~bob"), Ok(Change::Revoked("bob", false)));
        assert_eq!(change("-::ffff:203.0.113.1"), Ok(Change::Unban(address("203.0.113.1"))));
        for bad in
            ["", "+", "-", "203.0.113.1", "+203.0.113.0/24 60", "-203.0.113.0/24", "+203.0.113.1 0", "+1.2.3.4 -5"]
        {
            assert!(change(bad).is_err(), "{bad}");
        }
        let long = format!("+203.0.113.1 5 {}é", "x".repeat(24));
        assert!(matches!(change(&long), Ok(Change::Ban(_, _, reason)) if reason == "x".repeat(24)));
    }

    #[test]
    fn bans_are_kept_under_their_address() {
        let kept = |key: &str, body: &str| {
            kept(&format!("$KV.diswall_bans.{key}"), body.as_bytes())
                .map(|(address, seconds, reason)| format!("{address} {seconds} {reason}"))
        };
        assert_eq!(kept("v4.203.0.113.1", "900|ssh|3").as_deref(), Ok("203.0.113.1 900 ssh"));
        assert_eq!(
            kept("v6.20010db8000000000000000000000001", "99999999999||1").as_deref(),
            Ok("2001:db8::1 2147483 ")
        );
        assert_eq!(kept("v6.00000000000000000000ffffcb007101", "9").as_deref(), Ok("203.0.113.1 9 "));
        for key in ["v4.203.0.113", "v4.203.0.113.1.5", "v6.+0010db8000000000000000000000001", "v6.1", "v5.1", ""] {
            assert!(kept(key, "900|ssh|1").is_err(), "{key}");
        }
        assert!(kept("v4.203.0.113.1", "|ssh|1").is_err());
        assert!(super::kept("$KV.other.v4.203.0.113.1", b"900|ssh|1").is_err());
    }

    #[test]
    fn headers_are_found_by_name() {
        let headers = b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 2\r\nNats-Sequence-X: 1\r\nnats-sequence:7\r\n\r\n";
        assert_eq!(number(headers, "Nats-Sequence"), Some(7));
        assert_eq!(number(headers, "Nats-Num-Pending"), Some(2));
        assert_eq!(header(headers, "Nats-Time-Stamp"), None);
        let kept = b"NATS/1.0\r\nNats-Subject: $KV.diswall_bans.v4.1.2.3.4\r\nNats-Sequence: 7\r\n\
            Nats-Time-Stamp: 1970-01-01T00:00:09Z\r\n\r\n";
        assert_eq!(latest(kept, None), Some((7, 9)));
        assert_eq!((latest(b"", Some(404)), latest(kept, Some(503)), latest(b"", None)), (Some((0, 0)), None, None));
        assert_eq!(number(b"Nats-Sequence: 99999999999999999999", "Nats-Sequence"), None);
    }

    #[test]
    fn a_servers_time() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-28T02:44:58.888813131Z", Some(1_795_833_898)),
            ("2024-02-29T23:59:59.1Z", Some(1_709_251_199)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2026-11-28T02:44:58+01:00", None),
            ("2026-13-01T00:00:00Z", None),
            ("0000-01-01T00:00:00Z", None),
            ("99999999999999999999-01-01T00:00:00Z", None),
            ("2026-11-28", None),
            ("T", None),
        ] {
            assert_eq!(unix_seconds(text), seconds, "{text}");
        }
    }
}
