//! The NATS protocol as a simulated router needs it: whole operations out of a stream of bytes, and what the hub's
//! messages say. A reading of `docs/protocols.md` of its own, by which the daemon's and the hub's are judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Result;

/// What a server sent.
#[derive(Debug, PartialEq)]
pub enum Op<'a> {
    Info,
    Ping,
    Pong,
    Ok,
    Error(&'a [u8]),
    Message(Message<'a>),
}

/// A message to a subscription.
#[derive(Debug, PartialEq)]
pub struct Message<'a> {
    pub subject: &'a str,
    pub sid: u32,
    /// With the line `NATS/1.0 …`; empty without headers.
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.split(|byte| *byte == b'\n').skip(1);
        let values = lines.filter_map(|line| {
            let rest = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
            std::str::from_utf8(rest).ok().map(str::trim)
        });
        values.last()
    }

    /// The status in the first line of the headers, `204` in `NATS/1.0 204 EOB`.
    pub fn status(&self) -> Option<u16> {
        let line = self.headers.split(|byte| *byte == b'\r').next()?;
        std::str::from_utf8(line).ok()?.split(' ').nth(1)?.parse().ok()
    }
}

/// The first operation in `bytes` and its length; nothing as long as it is not whole.
pub fn next(bytes: &[u8]) -> Result<Option<(Op<'_>, usize)>> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let line = bytes.get(..end).unwrap_or_default();
    let words: Vec<&str> = std::str::from_utf8(line).unwrap_or_default().split(' ').collect();
    let op = match words.first().map(|word| word.to_ascii_uppercase()).as_deref() {
        Some("MSG" | "HMSG") => return message(bytes, end + 2, &words),
        Some("PING") => Op::Ping,
        Some("PONG") => Op::Pong,
        Some("+OK") => Op::Ok,
        Some("INFO") => Op::Info,
        Some("-ERR") => Op::Error(line),
        _ => return Err(format!("a server said {:?}", String::from_utf8_lossy(line))),
    };
    Ok(Some((op, end + 2)))
}

/// `MSG subject sid [reply] total` or `HMSG subject sid [reply] headers total`, then the bytes.
fn message<'a>(bytes: &'a [u8], start: usize, words: &[&'a str]) -> Result<Option<(Op<'a>, usize)>> {
    let number = |back: usize| words.len().checked_sub(back).and_then(|at| words.get(at)?.parse::<usize>().ok());
    let with_headers = words.first().is_some_and(|word| word.starts_with(['H', 'h']));
    let lengths = if with_headers { number(2).zip(number(1)) } else { Some(0).zip(number(1)) };
    let sid = words.get(2).and_then(|word| word.parse().ok());
    let (Some((headers, total)), Some(sid), Some(subject)) = (lengths, sid, words.get(1)) else {
        return Err(format!("a server said {words:?}"));
    };
    let Some(content) = bytes.get(start..start + total) else { return Ok(None) };
    if bytes.len() < start + total + 2 {
        return Ok(None);
    }
    let (headers, payload) = content.split_at_checked(headers).ok_or("a message shorter than its headers")?;
    Ok(Some((Op::Message(Message { subject, sid, headers, payload }), start + total + 2)))
}

/// A message about changes.
#[derive(Debug, PartialEq)]
pub struct Told {
    pub from: u64,
    pub to: u64,
    /// The server's clock in Unix seconds.
    pub time: u64,
    /// Each with its seconds; none when it was taken back.
    pub changes: Vec<(IpAddr, Option<u64>)>,
}

/// Reads `FROM TO TIME`, then `+ADDRESS SECONDS REASON` or `-ADDRESS`.
pub fn told(payload: &[u8]) -> Result<Told> {
    let wrong = |line: &str| format!("a message about changes has {line:?}");
    let text = std::str::from_utf8(payload).map_err(|error| wrong(&error.to_string()))?;
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let head: Vec<u64> = first.split(' ').map_while(|word| word.parse().ok()).collect();
    let [from, to, time] = head[..] else { return Err(wrong(first)) };
    let changes = lines.filter(|line| !line.is_empty()).map(|line| {
        let mut words = line.get(1..).unwrap_or_default().split(' ');
        let address = words.next().and_then(|word| word.parse().ok());
        let seconds = words.next().and_then(|word| word.parse().ok());
        match (line.as_bytes().first(), address, seconds) {
            (Some(b'+'), Some(address), Some(seconds)) => Ok((address, Some(seconds))),
            (Some(b'-'), Some(address), None) => Ok((address, None)),
            _ => Err(wrong(line)),
        }
    });
    Ok(Told { from, to, time, changes: changes.collect::<Result<_>>()? })
}

/// What the bucket holds under a key: until when, in Unix seconds; none where a ban was taken back.
#[derive(Debug, PartialEq)]
pub struct Kept {
    pub sequence: u64,
    pub address: IpAddr,
    pub until: Option<u64>,
}

/// A message that a direct get brought.
pub fn kept(message: &Message<'_>) -> Result<Kept> {
    let header = |name| message.header(name).ok_or_else(|| format!("a message of the bucket has no {name}"));
    let sequence = header("Nats-Sequence")?.parse().map_err(|error| format!("Nats-Sequence: {error}"))?;
    let subject = header("Nats-Subject")?;
    let address = address(subject).ok_or_else(|| format!("the bucket has a key {subject:?}"))?;
    if message.header("KV-Operation").is_some() || message.header("Nats-Marker-Reason").is_some() {
        return Ok(Kept { sequence, address, until: None });
    }
    let value = String::from_utf8_lossy(message.payload);
    let seconds: Option<u64> = value.split('|').next().and_then(|word| word.parse().ok());
    let seconds = seconds.ok_or_else(|| format!("the bucket has {value:?} under {subject}"))?;
    let written = unix(header("Nats-Time-Stamp")?).ok_or("Nats-Time-Stamp is no time")?;
    Ok(Kept { sequence, address, until: Some(written + seconds) })
}

/// `$KV.diswall_bans.v4.A.B.C.D` or `….v6.HEX32`.
fn address(subject: &str) -> Option<IpAddr> {
    let key = subject.strip_prefix("$KV.diswall_bans.")?;
    match key.split_once('.')? {
        ("v4", rest) => rest.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        ("v6", rest) if rest.len() == 32 => {
            u128::from_str_radix(rest, 16).ok().map(|bits| IpAddr::V6(Ipv6Addr::from(bits)))
        }
        _ => None,
    }
}

/// Unix seconds of `2026-11-28T02:40:50.123456789Z`.
fn unix(time: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // Days since 1970 by years that begin in March, so that a leap day is a year's last.
    let year = if month <= 2 { year - 1 } else { year };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day - 1 - 719_468;
    u64::try_from(((days * 24 + hour) * 60 + minute) * 60 + second).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn operations_are_taken_whole_or_not_yet() {
        let stream =
            b"INFO {\"a\":1}\r\nPING\r\nMSG s.t 3 2\r\nhi\r\nHMSG s 4 r 12 14\r\nNATS/1.0\r\n\r\nok\r\n-ERR 'no'\r\n";
        let (mut at, mut seen) = (0, Vec::new());
        while let Some((op, length)) = next(&stream[at..]).unwrap() {
            // No shorter piece makes an operation of it.
            assert!((0..length).all(|less| next(&stream[at..at + less]).unwrap().is_none()), "{op:?}");
            at += length;
            seen.push(op);
        }
        assert_eq!(at, stream.len());
        let message = |subject, sid, headers, payload| Op::Message(Message { subject, sid, headers, payload });
        let expected = [
            Op::Info,
            Op::Ping,
            message("s.t", 3, &b""[..], &b"hi"[..]),
            message("s", 4, b"NATS/1.0\r\n\r\n", b"ok"),
            Op::Error(b"-ERR 'no'"),
        ];
        assert_eq!(seen, expected);
        assert!(next(b"HTTP/1.1 400\r\n").is_err() && next(b"MSG a b\r\n").is_err());
    }

    #[test]
    fn changes_are_read_and_rubbish_is_told() {
        let read = told(b"10 12 1795834000\n+192.0.2.1 900 ssh\n-2001:db8::1\n").unwrap();
        assert_eq!((read.from, read.to, read.time), (10, 12, 1_795_834_000));
        let [v4, v6]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(read.changes, [(v4, Some(900)), (v6, None)]);
        assert_eq!(told(b"12 12 1795834005").unwrap().changes, []);
        for wrong in ["", "1 2", "1 2 3\n+192.0.2.1", "1 2 3\nx", "1 2 3\n-192.0.2.1 5", "1 2 3\n+192.0.2.0/24 5 a"] {
            assert!(told(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_buckets_messages_are_read() {
        let headers = |key: &str, more: &str| {
            format!(
                "NATS/1.0\r\nNats-Subject: $KV.diswall_bans.{key}\r\nNats-Sequence: 7\r\n\
                 Nats-Time-Stamp: 2026-11-28T02:40:50.5Z\r\n{more}\r\n"
            )
        };
        let read =
            |headers: &str| kept(&Message { subject: "i", sid: 2, headers: headers.as_bytes(), payload: b"900|ssh|1" });
        let v6 = "v6.20010db8000000000000000000000001";
        let expected = |address: &str, until| Kept { sequence: 7, address: address.parse().unwrap(), until };
        assert_eq!(read(&headers("v4.192.0.2.1", "")), Ok(expected("192.0.2.1", Some(1_795_833_650 + 900))));
        assert_eq!(read(&headers(v6, "KV-Operation: PURGE\r\n")), Ok(expected("2001:db8::1", None)));
        assert!(read(&headers("v4.192.0.2", "")).is_err() && read("NATS/1.0\r\n").is_err());
        assert_eq!(unix("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix("2024-02-29T12:00:01Z"), Some(1_709_208_001));
        let end =
            Message { subject: "i", sid: 2, headers: b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 5\r\n\r\n", payload: b"" };
        assert_eq!((end.status(), end.header("Nats-Num-Pending")), (Some(204), Some("5")));
    }
}
