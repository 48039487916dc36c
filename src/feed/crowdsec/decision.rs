//! One decision as a local API writes it, and the lengths of time that Go writes.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::json;
use crate::model::TAG_MAX;
use crate::outside;

/// Longest ban in seconds, ten years: whoever means longer has not looked.
const LONGEST: i64 = 3653 * 86_400;
/// Widest network: what is wider would block a good part of the Internet.
const WIDEST: (u8, u8) = (8, 16);

/// What is to be done to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Blocked.
    Ban,
    /// Shown a riddle: no firewall can, but it can block.
    Captcha,
}

/// A decision that a firewall can follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its number in the local API.
    pub id: u64,
    /// Whom it is about.
    pub net: IpNet,
    /// What is left of it in seconds, rounded up; negative in one that is over, `None` where it cannot be read.
    pub left: Option<i64>,
    /// What is to be done.
    pub kind: Kind,
    /// The scenario or the list that it follows from.
    pub scenario: Box<str>,
}

/// Why a decision is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is about something that is no address, or about something else than a ban.
    Foreign,
    /// It is no decision, or its address is none.
    Bad,
    /// Wider than /8, or /16 of IPv6.
    Wide,
}

/// Reads one.
///
/// # Errors
/// Why it is not followed; `None`: the text is no JSON.
pub fn read(text: &[u8]) -> Result<Decision, Option<Unfit>> {
    let text = str::from_utf8(text).map_err(|_| None)?;
    let mut from = json::Reader::new(text);
    let (mut id, mut left) = (None, None);
    let [mut value, mut scope, mut kind, mut scenario] = [const { None }; 4];
    let read = from.object(&mut |key, from| {
        let into = match key {
            "id" => {
                id = from.raw()?.parse().ok();
                return Ok(());
            }
            "duration" => {
                left = duration(&from.text()?);
                return Ok(());
            }
            "value" => &mut value,
            "scope" => &mut scope,
            "type" => &mut kind,
            "scenario" => &mut scenario,
            _ => return from.skip(),
        };
        *into = Some(from.text()?);
        Ok(())
    });
    read.and_then(|()| from.end()).map_err(|_| None)?;
    let is = |what: &Option<std::borrow::Cow<'_, str>>, word: &str| {
        what.as_ref().is_some_and(|what| what.eq_ignore_ascii_case(word))
    };
    if !is(&scope, "ip") && !is(&scope, "range") {
        return Err(Some(Unfit::Foreign));
    }
    let kind = match () {
        () if is(&kind, "ban") => Kind::Ban,
        () if is(&kind, "captcha") => Kind::Captcha,
        () => return Err(Some(Unfit::Foreign)),
    };
    let net = value.as_deref().and_then(net).ok_or(Some(Unfit::Bad))?;
    let widest = if net.addr().is_ipv4() { WIDEST.0 } else { WIDEST.1 };
    if net.prefix_len() < widest {
        return Err(Some(Unfit::Wide));
    }
    Ok(Decision {
        id: id.unwrap_or(0),
        net,
        left: left.map(|left| left.min(LONGEST)),
        kind,
        scenario: outside::clean(scenario.as_deref().unwrap_or_default(), TAG_MAX).into(),
    })
}

/// An address or a network, as the ledger spells it.
fn net(value: &str) -> Option<IpNet> {
    let value = value.trim();
    let net = value.parse::<IpNet>().or_else(|_| value.parse::<IpAddr>().map(IpNet::from));
    match net.ok()? {
        // IPv4 in the clothes of IPv6 is as wide as what it stands for.
        IpNet::V6(net) => match net.addr().to_ipv4_mapped().zip(net.prefix_len().checked_sub(96)) {
            Some((address, length)) => Some(Ipv4Net::new(address, length).ok()?.trunc().into()),
            None => Some(net.trunc().into()),
        },
        net => Some(net.trunc()),
    }
}

/// Seconds of a length of time as Go writes it: `3h59m58.038548421s`, `-21.85ms`, `0`. What is left is rounded up.
fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut nanoseconds: i128 = 0;
    while !rest.is_empty() || nanoseconds == 0 {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(end)?;
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit)?;
        let unit: i128 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            // Go writes the one, and both are in Unicode.
            "us" | "\u{b5}s" | "\u{3bc}s" => 1000,
            "ns" => 1,
            _ => return None,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + part.len() == 0 || number.len() > 24 || part.contains('.') {
            return None;
        }
        let digits = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i128>().ok() };
        let scale = 10i128.checked_pow(u32::try_from(part.len()).ok()?)?;
        let fraction = digits(part)?.checked_mul(unit)?.checked_div(scale)?;
        nanoseconds = nanoseconds.checked_add(digits(whole)?.checked_mul(unit)?.checked_add(fraction)?)?;
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    let seconds = nanoseconds.checked_add(999_999_999)? / 1_000_000_000;
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Some(if negative { -seconds } else { seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_that_go_writes() {
        for (text, seconds) in [
            ("3h59m58.038548421s", 14_399),
            ("1m28.03s", 89),
            ("4h0m0s", 14_400),
            ("-21.85ms", -1),
            ("-18897h25m52.8s", -68_030_753),
            ("8760h0m0s", 31_536_000),
            ("2562047h47m16.854775807s", 9_223_372_037),
            ("999.999ms", 1),
            ("1.5\u{b5}s", 1),
            ("1.5\u{3bc}s", 1),
            ("2us", 1),
            ("1ns", 1),
            ("0s", 0),
            ("0", 0),
            ("+5s", 5),
            (".5s", 1),
            ("5.s", 5),
            ("-0.5h", -1800),
        ] {
            assert_eq!(duration(text), Some(seconds), "{text}");
        }
        let long = format!("{}h", "9".repeat(30));
        for text in ["", "-", "5", "s", "5x", "5 s", "1h5", "..5s", ".s", "1.2.3s", "h1", "5d", "1e3s", "--5s", &long] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_local_api_sends() {
        let old = r#"{"duration":"3h59m58.038548421s","id":7,"origin":"cscli","scenario":"manual 'ban' from 'localhost'","scope":"Ip","type":"ban","value":"203.0.113.7"}"#;
        let decision = read(old.as_bytes()).unwrap();
        assert_eq!((decision.id, decision.left, decision.kind), (7, Some(14_399), Kind::Ban));
        assert_eq!(
            (decision.net.to_string(), &*decision.scenario),
            ("203.0.113.7/32".into(), "manual 'ban' from 'localhost'")
        );
        let new = r#"{"duration":"48h0m0s","id":90071992547,"origin":"CAPI","scenario":"crowdsecurity/ssh-bf","scope":"ip","type":"BAN","uuid":"a","value":"91.241.19.122/32"}"#;
        let decision = read(new.as_bytes()).unwrap();
        assert_eq!((decision.id, decision.net.to_string()), (90_071_992_547, "91.241.19.122/32".into()));
        let with = |scope: &str, value: &str, kind: &str, duration: &str| {
            let text =
                format!(r#"{{"scope":"{scope}","value":"{value}","type":"{kind}","duration":"{duration}","id":1}}"#);
            read(text.as_bytes()).map(|decision| (decision.net.to_string(), decision.left))
        };
        for (scope, value, net) in [
            ("Range", "198.51.100.7/24", "198.51.100.0/24"),
            ("RANGE", "2001:db8::/32", "2001:db8::/32"),
            ("Ip", "::ffff:203.0.113.9", "203.0.113.9/32"),
            ("Ip", "::ffff:203.0.113.9/128", "203.0.113.9/32"),
            ("range", "203.0.113.9", "203.0.113.9/32"),
            ("range", "::ffff:203.0.113.7/120", "203.0.113.0/24"),
            ("range", "12.0.0.0/8", "12.0.0.0/8"),
        ] {
            assert_eq!(with(scope, value, "ban", "1s"), Ok((net.to_string(), Some(1))), "{value}");
        }
        for (scope, value, kind, duration, refusal) in [
            ("AS", "64496", "ban", "1s", Unfit::Foreign),
            ("Country", "XX", "ban", "1s", Unfit::Foreign),
            ("username", "x", "ban", "1s", Unfit::Foreign),
            ("Ip", "203.0.113.9", "throttle", "1s", Unfit::Foreign),
            ("Ip", "", "ban", "1s", Unfit::Bad),
            ("Ip", "203.0.113.256", "ban", "1s", Unfit::Bad),
            ("Range", "203.0.113.0/33", "ban", "1s", Unfit::Bad),
            ("Range", "0.0.0.0/0", "ban", "1s", Unfit::Wide),
            ("Range", "12.0.0.0/7", "ban", "1s", Unfit::Wide),
            ("Range", "2000::/3", "ban", "1s", Unfit::Wide),
            ("Range", "::ffff:0:0/96", "ban", "1s", Unfit::Wide),
            ("Range", "::ffff:0:0/97", "ban", "1s", Unfit::Wide),
        ] {
            assert_eq!(with(scope, value, kind, duration), Err(Some(refusal)), "{value}");
        }
        // Hours and nanoseconds that are one short of what a number of 128 bits holds.
        let longest = format!("{}h170141183460469231731687303715884105727ns", "0".repeat(24));
        assert_eq!(with("Ip", "203.0.113.9", "ban", &longest).map(|found| found.1), Ok(None));
        assert_eq!(with("Ip", "203.0.113.9", "ban", "soon").map(|found| found.1), Ok(None));
        assert_eq!(with("Ip", "203.0.113.9", "ban", "-3s").map(|found| found.1), Ok(Some(-3)));
        assert_eq!(with("Ip", "203.0.113.9", "ban", "99999999h").map(|found| found.1), Ok(Some(315_619_200)));
        for text in [&br#"{"id":1"#[..], b"[]", b"{\"id\":\xff}", br#"{"value":1}"#, br#"{} {}"#] {
            assert_eq!(read(text), Err(None));
        }
        assert_eq!(read(b"{}"), Err(Some(Unfit::Foreign)));
    }
}
