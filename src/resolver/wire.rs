//! DNS messages: a question for a name's addresses, and what an answer to it says. Pure.
//!
//! The standard library's resolver tells no time to live, and resolver libraries bring caches, transports and tasks
//! of their own; what is needed is this. Everything that came is taken for hostile: it is read within bounds, a compressed
//! name only ever points further back, and records that nobody asked for count for nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest message that is read, in bytes.
pub const MESSAGE_MAX: usize = 8192;
/// Most addresses of a name that count, of each family.
pub const ADDRESSES: usize = 32;
/// Most records of an answer that are looked at.
const RECORDS: usize = 256;
/// Most names that an answer leads through (CNAME).
const CHAIN: usize = 8;
/// Longest name on the wire.
const NAME_MAX: usize = 255;

const HEADER: usize = 12;
const CNAME: u16 = 5;
const INTERNET: u16 = 1;
/// The answer is cut, and whole over TCP.
const TRUNCATED: u8 = 0x02;
const NO_NAME: u8 = 3;

/// The type of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A = 1,
    /// IPv6 addresses.
    Aaaa = 28,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These, in order and each once, at least one; and for how many seconds that holds.
    Addresses(Vec<IpAddr>, u32),
    /// There is the name, and it has no address of this kind.
    NoAddress,
    /// There is no such name.
    NoName,
    /// It has to be asked for over TCP.
    Truncated,
}

/// Why a message is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It answers something else, or is no answer.
    Foreign,
    /// It breaks off, or contradicts itself.
    Malformed,
    /// The server could not or would not say (its response code).
    Failed(u8),
}

/// The question. `name`: at most 253 letters, digits, dots, `-` and `_`, labels of 1 to 63.
pub fn question(id: u16, name: &str, kind: Kind) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + name.len() + 6);
    message.extend(id.to_be_bytes());
    // One question, and the server is to find the answer itself.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.extend([0, 0, kind as u8, 0, INTERNET as u8]);
    message
}

/// What `message` says to the `asked` question.
///
/// # Errors
/// Why it says nothing.
pub fn answer(asked: &[u8], kind: Kind, message: &[u8]) -> Result<Answer, Bad> {
    let asked_name = asked.get(HEADER..).ok_or(Bad::Foreign)?;
    let is_same = message.get(..2) == asked.get(..2)
        && message.get(4..6) == Some(&[0, 1])
        && message.get(HEADER..asked.len()).is_some_and(|name| name.eq_ignore_ascii_case(asked_name));
    // An answer (top bit) to a plain question (the next four).
    let [flags, code] = message.get(2..4).and_then(|two| two.try_into().ok()).unwrap_or_default();
    if !is_same || flags & 0xf8 != 0x80 {
        return Err(Bad::Foreign);
    }
    let code = code & 0x0f;
    if !matches!(code, 0 | NO_NAME) {
        return Err(Bad::Failed(code));
    }
    if flags & TRUNCATED != 0 {
        return Ok(Answer::Truncated);
    }
    let records = records(message, asked.len()).ok_or(Bad::Malformed)?;
    let (mut name, _) = name_at(message, HEADER).ok_or(Bad::Malformed)?;
    let mut life = u32::MAX;
    for _ in 0..=CHAIN {
        let its = || records.iter().filter(|record| record.name == name);
        let mut addresses = Vec::new();
        for record in its().filter(|record| record.kind == kind as u16) {
            addresses.extend(address(record.data, kind).ok_or(Bad::Malformed)?);
            life = life.min(record.life);
        }
        if !addresses.is_empty() {
            addresses.sort_unstable();
            addresses.dedup();
            addresses.truncate(ADDRESSES);
            return Ok(Answer::Addresses(addresses, life));
        }
        let Some(alias) = its().find(|record| record.kind == CNAME) else {
            return Ok(if code == NO_NAME { Answer::NoName } else { Answer::NoAddress });
        };
        life = life.min(alias.life);
        name = name_at(message, alias.at).ok_or(Bad::Malformed)?.0;
    }
    // It leads in a circle, or nowhere near.
    Err(Bad::Malformed)
}

struct Record<'a> {
    name: Vec<u8>,
    kind: u16,
    life: u32,
    data: &'a [u8],
    /// Where its data begin.
    at: usize,
}

/// The records that answer the question, those of other classes left out.
fn records(message: &[u8], mut at: usize) -> Option<Vec<Record<'_>>> {
    let count = usize::from(number(message, 6)?);
    let mut records = Vec::new();
    for _ in 0..count.min(RECORDS) {
        let (name, end) = name_at(message, at)?;
        let (kind, class) = (number(message, end)?, number(message, end + 2)?);
        let life = u32::from(number(message, end + 4)?) << 16 | u32::from(number(message, end + 6)?);
        let length = usize::from(number(message, end + 8)?);
        let begin = end + 10;
        let data = message.get(begin..begin + length)?;
        at = begin + length;
        if class == INTERNET {
            // A number with its top bit set stands for none (RFC 2181, 8).
            let life = if life > i32::MAX as u32 { 0 } else { life };
            records.push(Record { name, kind, life, data, at: begin });
        }
    }
    Some(records)
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

/// The address of a record; none where IPv4 stands in IPv6's clothes, which no packet carries.
fn address(data: &[u8], kind: Kind) -> Option<Option<IpAddr>> {
    Some(match kind {
        Kind::A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
        Kind::Aaaa => {
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?);
            address.to_ipv4_mapped().is_none().then_some(address.into())
        }
    })
}

/// The name at a place, in small letters, as its labels with their lengths; and where what follows begins.
fn name_at(message: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let (mut name, mut end, mut lowest) = (Vec::new(), None, at);
    loop {
        let length = *message.get(at)?;
        match length {
            0 => {
                name.push(0);
                return Some((name, end.unwrap_or(at + 1)));
            }
            1..=63 => {
                let next = at + 1 + usize::from(length);
                name.push(length);
                name.extend(message.get(at + 1..next)?.iter().map(u8::to_ascii_lowercase));
                at = next;
            }
            0xc0.. => {
                end.get_or_insert(at + 2);
                let to = usize::from(number(message, at)? & 0x3fff);
                // Ever further back: it comes to an end.
                if to >= lowest {
                    return None;
                }
                (at, lowest) = (to, to);
            }
            _ => return None,
        }
        if name.len() >= NAME_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "home.example.org";

    fn asked() -> Vec<u8> {
        question(0x1234, NAME, Kind::A)
    }

    /// An answer to [`asked`] with this response code, of these records behind the question.
    fn message(code: u8, records: &[&[u8]]) -> Vec<u8> {
        let asked = asked();
        let mut message = vec![0x12, 0x34, 0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0];
        message.extend(&asked[HEADER..]);
        records.iter().for_each(|record| message.extend(*record));
        message
    }

    fn record(name: &[u8], kind: u8, life: u32, data: &[u8]) -> Vec<u8> {
        let mut record = name.to_vec();
        record.extend([0, kind, 0, 1]);
        record.extend(life.to_be_bytes());
        record.extend([0, data.len() as u8]);
        record.extend(data);
        record
    }

    fn read(message: &[u8]) -> Result<Answer, Bad> {
        answer(&asked(), Kind::A, message)
    }

    const SELF: &[u8] = &[0xc0, 12];
    const OTHER: &[u8] = b"\x02cd\x03net\x00";

    fn addresses(list: &[[u8; 4]], life: u32) -> Result<Answer, Bad> {
        Ok(Answer::Addresses(list.iter().map(|address| IpAddr::from(*address)).collect(), life))
    }

    /// What dnsmasq 2.90 answered to the questions for `alias.example.test`, A and AAAA, and `gone.example.test`.
    const REAL: [(&str, Kind, &str); 3] = [
        (
            "Alias.example.test.",
            Kind::A,
            "12348580000100020000000005616c696173076578616d706c6504746573740000010001c00c000500010000003c001304686f6d6507\
             6578616d706c65047465737400c03000010001000000780004c6336407",
        ),
        (
            "alias.example.test",
            Kind::Aaaa,
            "12348580000100020000000005616c696173076578616d706c65047465737400001c0001c00c000500010000003c001304686f6d6507\
             6578616d706c65047465737400c030001c000100000078001020010db8000000000000000000000007",
        ),
        ("gone.example.test", Kind::A, "12348183000100000000000004676f6e65076578616d706c6504746573740000010001"),
    ];

    #[test]
    fn real_answers_are_read() {
        let said = REAL.map(|(name, kind, hex)| {
            let two = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok();
            let bytes: Vec<u8> = hex.as_bytes().chunks(2).filter_map(two).collect();
            answer(&question(0x1234, name, kind), kind, &bytes)
        });
        let v6 = Answer::Addresses(vec!["2001:db8::7".parse().unwrap()], 60);
        assert_eq!(said, [addresses(&[[198, 51, 100, 7]], 60), Ok(v6), Ok(Answer::NoName)]);
    }

    #[test]
    fn what_answers_say() {
        let a = |name, life, address: [u8; 4]| record(name, 1, life, &address);
        let alias = record(SELF, 5, 30, OTHER);
        let (one, two) = (a(SELF, 300, [203, 0, 113, 9]), a(SELF, 200, [203, 0, 113, 7]));
        for (message, wanted) in [
            (message(0, &[&one, &two, &one]), addresses(&[[203, 0, 113, 7], [203, 0, 113, 9]], 200)),
            (message(0, &[&a(OTHER, 500, [203, 0, 113, 1]), &alias]), addresses(&[[203, 0, 113, 1]], 30)),
            // Nobody asked for that.
            (message(0, &[&a(OTHER, 500, [203, 0, 113, 1])]), Ok(Answer::NoAddress)),
            (message(0, &[&a(SELF, 0x8000_0001, [203, 0, 113, 1])]), addresses(&[[203, 0, 113, 1]], 0)),
            (message(0, &[]), Ok(Answer::NoAddress)),
            (message(0, &[&alias]), Ok(Answer::NoAddress)),
            (message(3, &[]), Ok(Answer::NoName)),
            (message(3, &[&alias]), Ok(Answer::NoName)),
            (message(2, &[&one]), Err(Bad::Failed(2))),
            (message(5, &[]), Err(Bad::Failed(5))),
            (message(0, &[&record(SELF, 1, 1, &[1, 2, 3])]), Err(Bad::Malformed)),
            (message(0, &[&record(SELF, 5, 1, SELF)]), Err(Bad::Malformed)),
            // A pointer to itself, and forward.
            (message(0, &[&record(&[0xc0, 34], 1, 1, &[1, 2, 3, 4])]), Err(Bad::Malformed)),
            (message(0, &[&record(&[0xc0, 40], 1, 1, &[1, 2, 3, 4])]), Err(Bad::Malformed)),
            (message(0, &[&record(&[0x40, 1], 1, 1, &[1, 2, 3, 4])]), Err(Bad::Malformed)),
        ] {
            assert_eq!(read(&message), wanted, "{message:?}");
        }
    }

    #[test]
    fn what_answers_something_else_is_foreign() {
        let good = message(0, &[&record(SELF, 1, 300, &[203, 0, 113, 9])]);
        assert_eq!(read(&good), addresses(&[[203, 0, 113, 9]], 300));
        // Another number, no answer, another kind of question, another count, another name, another type.
        for at in [0, 1, 2, 4, 5, 12, 13, 30, 31, 33] {
            let mut other = good.clone();
            other[at] ^= 0x90;
            assert_eq!(read(&other), Err(Bad::Foreign), "{at}");
        }
        let mut capitals = good.clone();
        capitals[13..17].make_ascii_uppercase();
        assert!(read(&capitals).is_ok());
        for end in 0..good.len() {
            assert!(read(&good[..end]).is_err(), "{end}");
        }
        let mut cut = good;
        cut[2] |= TRUNCATED;
        assert_eq!(read(&cut), Ok(Answer::Truncated));
    }

    #[test]
    fn a_long_way_ends() {
        let label = |n: usize| vec![2, b'a' + (n / 26) as u8, b'a' + (n % 26) as u8, 0];
        let hops = |count: usize| {
            let mut records = vec![record(SELF, 5, 60, &label(0))];
            records.extend((0..count).map(|n| record(&label(n), 5, 60, &label(n + 1))));
            records.push(record(&label(count), 1, 60, &[203, 0, 113, 9]));
            read(&message(0, &records.iter().map(Vec::as_slice).collect::<Vec<_>>()))
        };
        assert_eq!(hops(CHAIN - 1), addresses(&[[203, 0, 113, 9]], 60));
        assert_eq!(hops(CHAIN), Err(Bad::Malformed));
        let many: Vec<Vec<u8>> = (0..200).map(|n| record(SELF, 1, 60, &[203, 0, 113, n])).collect();
        let many = read(&message(0, &many.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        assert!(matches!(many, Ok(Answer::Addresses(list, 60)) if list.len() == ADDRESSES));
    }
}
