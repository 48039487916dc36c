//! A message of a bucket's stream, read from the two forms in which nats-server gives it.
//!
//! A stored message that says which stream it is of is a copy that nats-server sent as an answer: whoever asked named
//! the bucket as the place for it. It counts as none.

use async_nats::{HeaderMap, Message};
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use diswall::feed::nats::hub;
use diswall::feed::nats::hub::wire::BORN;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{Error, Result};

/// A key, and what it holds.
#[derive(Clone, Debug)]
pub struct Record {
    /// Without the bucket's name.
    pub key: String,
    /// Its number in the stream.
    pub revision: u64,
    /// When it was written, Unix seconds of the nats-server's clock.
    pub written: u64,
    /// Seconds from then until it ends; `None`: it has no end.
    pub ttl: Option<u64>,
    /// Which stream of bans a message with changes is about.
    pub born: Option<u64>,
    /// Empty where it is gone.
    pub value: Bytes,
    /// It was taken back by hand, or it ended; or it is no hub's.
    pub gone: bool,
}

impl Record {
    /// Seconds that are left of it; `None`: it has no end.
    pub fn left(&self, now: u64) -> Option<u64> {
        // Of two clocks that differ by a little, none makes it longer than it is.
        self.ttl.map(|ttl| (self.written + ttl).saturating_sub(now).min(ttl))
    }

    /// From an answer of `STREAM.MSG.GET`: headers and body in base64. `prefix` is the subject without the key.
    ///
    /// # Errors
    /// It has another form.
    pub fn of_answer(prefix: &str, message: &Value) -> Result<Record> {
        let strange = || Error::Refused("nats-server answers with a message of another form".into());
        let text = |name: &str| message.get(name).and_then(Value::as_str);
        let decoded = |name: &str| text(name).map_or(Some(Vec::new()), |text| BASE64_STANDARD.decode(text).ok());
        let headers = decoded("hdrs").ok_or_else(strange)?;
        let header = |name| hub::wire::header(&headers, name);
        let key = text("subject").and_then(|subject| subject.strip_prefix(prefix)).ok_or_else(strange)?;
        Ok(Record {
            key: key.to_owned(),
            revision: message.get("seq").and_then(Value::as_u64).ok_or_else(strange)?,
            written: text("time").and_then(unix).ok_or_else(strange)?,
            ttl: header("Nats-TTL").and_then(seconds),
            born: header(BORN).and_then(|born| born.parse().ok()),
            value: decoded("data").ok_or_else(strange)?.into(),
            gone: header("KV-Operation").is_some_and(|operation| operation != "PUT")
                || header("Nats-Marker-Reason").is_some()
                || header("Nats-Stream").is_some(),
        })
    }

    /// From a message of a direct get. `None`: it has another form.
    pub fn of_message(prefix: &str, message: &Message) -> Option<Record> {
        let headers = message.headers.as_ref()?;
        let header = |name: &str| text(headers, name);
        Some(Record {
            key: header("Nats-Subject")?.strip_prefix(prefix)?.to_owned(),
            revision: header("Nats-Sequence")?.parse().ok()?,
            written: unix(header("Nats-Time-Stamp")?)?,
            ttl: header("Nats-TTL").and_then(seconds),
            born: None,
            value: message.payload.clone(),
            gone: header("KV-Operation").is_some_and(|operation| operation != "PUT")
                || header("Nats-Marker-Reason").is_some()
                || headers.get_all("Nats-Stream").count() > 1,
        })
    }
}

/// A header's text.
pub fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.as_str())
}

/// RFC 3339 as Unix seconds.
pub fn unix(time: &str) -> Option<u64> {
    OffsetDateTime::parse(time, &Rfc3339).ok().and_then(|time| time.unix_timestamp().try_into().ok())
}

/// RFC 3339 as Unix nanoseconds.
pub fn unix_nanoseconds(time: &str) -> Option<u64> {
    OffsetDateTime::parse(time, &Rfc3339).ok().and_then(|time| time.unix_timestamp_nanos().try_into().ok())
}

/// Unix seconds as RFC 3339.
pub fn rfc3339(time: u64) -> String {
    let time = i64::try_from(time).ok().and_then(|time| OffsetDateTime::from_unix_timestamp(time).ok());
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let ((hour, minute, second), month) = (time.to_hms(), u8::from(time.month()));
    format!("{:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", time.year(), time.day())
}

/// `900`, `15m0s` or `1h0m0s` as seconds: nats-server writes durations as Go does.
fn seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let mut all = 0u64;
    let mut number = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' | '.' => number.push(c),
            _ => {
                let unit = match c {
                    'h' => 3600,
                    'm' => 60,
                    's' => 1,
                    _ => return None,
                };
                let whole = number.split('.').next().and_then(|number| number.parse::<u64>().ok())?;
                all = all.saturating_add(whole.saturating_mul(unit));
                number.clear();
            }
        }
    }
    (number.is_empty() && !text.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_read() {
        let message = json!({
            "subject": "$KV.b.v4.192.0.2.1", "seq": 7, "time": "2026-11-28T02:41:53.25Z",
            "hdrs": "TkFUUy8xLjANCk5hdHMtVFRMOiAxaDBtNXMNCg0K", "data": "OTAwfHNzaHww",
        });
        let record = Record::of_answer("$KV.b.", &message).unwrap();
        assert_eq!((record.key.as_str(), record.revision, record.ttl), ("v4.192.0.2.1", 7, Some(3605)));
        assert_eq!((&record.value[..], record.gone), (&b"900|ssh|0"[..], false));
        assert_eq!(record.left(record.written + 5), Some(3600));
        assert_eq!(rfc3339(record.written), "2026-11-28T02:41:53Z");
        assert_eq!(record.left(record.written + 5000), Some(0));
        for bad in [json!({}), json!({"subject": "x", "seq": 1, "time": "2026-11-28T02:41:53Z"})] {
            assert!(Record::of_answer("$KV.b.", &bad).is_err());
        }
    }

    #[test]
    fn durations_as_go_writes_them() {
        assert_eq!(["900", "15m0s", "1h0m0s", "1.5s"].map(seconds), [Some(900), Some(900), Some(3600), Some(1)]);
        assert_eq!(["", "never", "5x", "5m3"].map(seconds), [None, None, None, None]);
    }
}
