//! What stands in the buckets: bans, claims and reporters as text, there and back.

use diswall::feed::nats::wire::TAG_MAX;
use diswall::ledger::Ladder;

/// The shared login gets bans that hold longer than this, in seconds.
pub const DAY: u64 = 86_400;

/// A ban that holds for the whole fleet: `SECONDS|REASON|COUNT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// How long it holds from the moment it was written.
    pub seconds: u32,
    /// Why, in a few harmless characters; may be empty.
    pub reason: String,
    /// Bans of the address before it.
    pub count: u32,
}

impl Ban {
    /// As it stands in the bucket.
    pub fn encode(&self) -> String {
        format!("{}|{}|{}", self.seconds, self.reason, self.count)
    }

    /// `None`: another program's.
    pub fn decode(value: &[u8]) -> Option<Ban> {
        let mut parts = std::str::from_utf8(value).ok()?.splitn(3, '|');
        let seconds = parts.next()?.parse().ok().filter(|seconds| *seconds > 0)?;
        let reason = reason(parts.next()?);
        Some(Ban { seconds, reason, count: parts.next()?.parse().ok()? })
    }
}

/// What one reporter said of an address: `TIME|SECONDS|REASON`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When it was said, by the nats-server's clock.
    pub time: u64,
    /// How long the reporter's own routers ban it from then on.
    pub seconds: u32,
    /// Why.
    pub reason: String,
}

impl Claim {
    /// As it stands in the bucket.
    pub fn encode(&self) -> String {
        format!("{}|{}|{}", self.time, self.seconds, self.reason)
    }

    /// `None`: another program's.
    pub fn decode(value: &[u8]) -> Option<Claim> {
        let mut parts = std::str::from_utf8(value).ok()?.splitn(3, '|');
        let (time, seconds) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Claim { time, seconds, reason: reason(parts.next()?) })
    }
}

/// A tag as it is passed on: whatever could mean something to a terminal, a page or a list is left out.
pub fn reason(tag: &str) -> String {
    let harmless = |c: &char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-');
    let reason: String = tag.chars().filter(harmless).take(TAG_MAX).collect();
    reason.trim().to_owned()
}

/// How long a ban lasts for an address that was banned so often before: DisWall's ladder.
pub fn step(count: u32) -> u32 {
    let steps = Ladder::default().steps;
    steps.get(count as usize).or(steps.last()).copied().unwrap_or(900)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_back() {
        let ban = Ban { seconds: 900, reason: "ssh".into(), count: 3 };
        assert_eq!(Ban::decode(ban.encode().as_bytes()), Some(ban));
        let claim = Claim { time: 7, seconds: 900, reason: String::new() };
        assert_eq!(Claim::decode(claim.encode().as_bytes()), Some(claim));
        for bad in ["", "900", "0|ssh|1", "x|ssh|1", "900|ssh|-1", "\u{1}|"] {
            assert_eq!(Ban::decode(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Ban::decode(b"900|\xff|1"), None);
    }

    #[test]
    fn a_reason_is_harmless() {
        assert_eq!(reason("<script>alert(1)</script>\x1b[2J"), "scriptalert1script2J");
        assert_eq!(reason(&"x".repeat(99)).len(), TAG_MAX);
        assert_eq!([step(0), step(1), step(7), step(8), step(999)], [900, 1800, 6 * 3600, 7 * 86_400, 2_147_483]);
    }
}
