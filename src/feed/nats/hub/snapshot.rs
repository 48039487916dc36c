//! The hub's list, or what it changed since a sequence, as the NATS server hands it out: one batch of messages after
//! the other.
//!
//! In the order of their sequences, so that what changes meanwhile comes again further on. How long a batch
//! is follows the line: on a slow one a server would cut off who does not take it in time. Bounded: whatever
//! a server says, a list ends once twice as many messages came as entries may be kept.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::super::protocol::Delivery;
use super::super::wire::WireError;
use super::wire;
use crate::feed::crowdsec::gather::{Rows, Texts};
use crate::feed::intake::Intake;
use crate::model::List;
use crate::outside;

/// Shortest and longest batch, in messages of some 230 bytes.
const BATCHES: (u32, u32) = (128, 8192);
/// The first one.
const FIRST: u32 = 512;
/// A batch that took less is followed by a longer one …
const QUICK: Duration = Duration::from_secs(1);
/// … and one that took more by a shorter one.
const SLOW: Duration = Duration::from_secs(4);
/// Messages that are read of a list however few entries may be kept: ends of bans are among them.
const LEAST: u64 = 65_536;

/// What a message of the list was.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// One more of the list, or one that did not matter.
    More,
    /// Since that sequence this is banned, for so many seconds from now, and why.
    Ban(IpAddr, u32, String),
    /// Since that sequence this was taken back.
    Unban(IpAddr),
    /// A login whose reports count no more, or do again.
    Revoked(String, bool),
    /// The batch has ended, and another is to be asked for.
    Next,
    /// That was all.
    End,
}

/// A list that is coming.
#[derive(Debug)]
pub struct Snapshot {
    intake: Intake,
    /// The list; `None`: only changes are asked for.
    rows: Option<Rows>,
    texts: Texts,
    /// The server's clock, Unix seconds, and when it said so.
    time: (u64, Instant),
    /// The sequence from which the next batch is asked for.
    next: u64,
    batch: u32,
    /// When the batch was asked for, and how many messages of it came.
    asked: (Instant, u32),
    /// Messages so far.
    messages: u64,
    /// Lines that were refused.
    pub refused: u32,
    /// What was wrong with the last of them.
    pub last_refusal: Option<WireError>,
}

impl Snapshot {
    /// The whole list, or what came after a sequence. Nothing has come yet; `time` is the server's clock, Unix seconds,
    /// and when it said so.
    pub fn new(intake: &Intake, since: Option<u64>, time: (u64, Instant), now: Instant) -> Snapshot {
        Snapshot {
            intake: intake.clone(),
            rows: since.is_none().then(Rows::default),
            texts: Texts::default(),
            time,
            next: since.unwrap_or(0).saturating_add(1),
            batch: FIRST,
            asked: (now, 0),
            messages: 0,
            refused: 0,
            last_refusal: None,
        }
    }

    /// The body that asks for the next batch.
    pub fn ask(&mut self, now: Instant) -> String {
        let (asked, came) = self.asked;
        let took = now.duration_since(asked);
        if took > SLOW {
            self.batch = (self.batch / 2).max(BATCHES.0);
        } else if came >= self.batch && took < QUICK {
            self.batch = (self.batch * 2).min(BATCHES.1);
        }
        self.asked = (now, 0);
        format!("{{\"seq\":{},\"batch\":{},\"next_by_subj\":\"$KV.diswall_bans.>\"}}", self.next, self.batch)
    }

    /// Takes a message of the batch.
    ///
    /// # Errors
    /// Why no list will come of it.
    pub fn take(&mut self, message: &Delivery<'_>, now: Instant) -> Result<Step, String> {
        match message.status {
            None => self.entry(message, now),
            Some(204) => match wire::number(message.headers, "Nats-Num-Pending") {
                Some(0) => Ok(Step::End),
                Some(pending) if self.asked.1 > 0 => {
                    if self.messages < LEAST.max(2 * self.intake.most() as u64) {
                        return Ok(Step::Next);
                    }
                    let Some(rows) = &mut self.rows else { return Err("more has changed than a list has".into()) };
                    rows.cut = rows.cut.saturating_add(u32::try_from(pending).unwrap_or(u32::MAX));
                    Ok(Step::End)
                }
                _ => Err("the server ends a part of the hub's list and names nothing behind it".into()),
            },
            // There is nothing from that sequence on.
            Some(404) => Ok(Step::End),
            Some(status) => Err(format!("the server answers with status {status}")),
        }
    }

    fn entry(&mut self, message: &Delivery<'_>, now: Instant) -> Result<Step, String> {
        let sequence = wire::number(message.headers, "Nats-Sequence").filter(|sequence| *sequence >= self.next);
        let Some(sequence) = sequence else { return Err("the hub's list does not come in its order".into()) };
        self.next = sequence.saturating_add(1);
        self.asked.1 = self.asked.1.saturating_add(1);
        if self.asked.1 > self.batch {
            return Err("the server sends more of the hub's list than was asked for".into());
        }
        self.messages += 1;
        let header = |name| wire::header(message.headers, name);
        let subject = header("Nats-Subject").unwrap_or_default();
        let (by_hand, by_time) = (header("KV-Operation").is_some(), header("Nats-Marker-Reason").is_some());
        let taken = if by_time {
            return Ok(Step::More);
        } else if let Some(login) = wire::revoked(subject) {
            return Ok(Step::Revoked(login.to_owned(), !by_hand));
        } else if by_hand {
            wire::address(subject).map(|address| if self.rows.is_some() { Step::More } else { Step::Unban(address) })
        } else {
            wire::kept(subject, message.payload).map(|(address, seconds, reason)| {
                let left = self.left(seconds, header("Nats-Time-Stamp").and_then(wire::unix_seconds), now);
                let reason = outside::clean(reason, super::super::wire::TAG_MAX);
                if self.rows.is_none() {
                    return Step::Ban(address, left, reason);
                }
                let why = self.texts.number(&reason);
                self.push(address, left, why);
                Step::More
            })
        };
        Ok(taken.unwrap_or_else(|refusal| {
            self.refused = self.refused.saturating_add(1);
            self.last_refusal = Some(refusal);
            Step::More
        }))
    }

    /// What is left of so many seconds that began at that time of the server's; one that is still there has
    /// not ended.
    fn left(&self, seconds: u32, began: Option<u64>, now: Instant) -> u32 {
        let time = self.time.0.saturating_add(now.duration_since(self.time.1).as_secs());
        let gone = time.saturating_sub(began.unwrap_or(time));
        seconds.saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX)).max(1)
    }

    fn push(&mut self, address: IpAddr, seconds: u32, why: u16) {
        if let Some(rows) = &mut self.rows
            && self.intake.may_ban(address)
        {
            rows.push(address.into(), seconds, why, self.intake.most());
        }
    }

    /// The sequence of what came last; before the first the one that was asked from.
    pub fn reached(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// The list, and in it what routers told of besides; `None`: only changes were asked for.
    pub fn end(mut self, told: impl Iterator<Item = (IpAddr, u32)>) -> Option<List> {
        let why = self.texts.number("");
        for (address, seconds) in told {
            self.push(address, seconds, why);
        }
        self.rows.map(|rows| rows.into_list(&self.texts))
    }

    /// Whether messages came and none of them was of use: an error in place of a list must not free anybody.
    pub fn is_useless(&self) -> bool {
        self.refused > 0 && self.rows.as_ref().is_some_and(|rows| rows.len() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lifetime, Reason};

    fn message<'a>(headers: &'a str, payload: &'a str, status: Option<u16>) -> Delivery<'a> {
        Delivery { sid: 8, subject: "x", payload: payload.as_bytes(), headers: headers.as_bytes(), status }
    }

    fn entry(sequence: u64, address: &str, more: &str) -> String {
        format!(
            "NATS/1.0\r\nNats-Subject: $KV.diswall_bans.v4.{address}\r\nNats-Sequence: {sequence}\r\n\
             Nats-Time-Stamp: 2026-11-28T02:44:58.9Z\r\n{more}\r\n"
        )
    }

    const TIME: u64 = 1_795_833_898;

    #[test]
    fn batches_follow_each_other_until_nothing_is_left() {
        let now = Instant::now();
        let mut snapshot =
            Snapshot::new(&Intake::new(100, |address| !address.is_loopback()), None, (TIME + 100, now), now);
        assert_eq!(snapshot.ask(now), r#"{"seq":1,"batch":512,"next_by_subj":"$KV.diswall_bans.>"}"#);
        let take = |snapshot: &mut Snapshot, headers: &str, body: &str, status| {
            snapshot.take(&message(headers, body, status), now + Duration::from_secs(10))
        };
        assert_eq!(take(&mut snapshot, &entry(3, "203.0.113.1", ""), "900|ssh|1", None), Ok(Step::More));
        assert_eq!(take(&mut snapshot, &entry(9, "203.0.113.2", ""), "60|web|1", None), Ok(Step::More));
        assert_eq!(take(&mut snapshot, "NATS/1.0 204\r\nNats-Num-Pending: 3\r\n\r\n", "", Some(204)), Ok(Step::Next));
        assert!(snapshot.ask(now + Duration::from_secs(10)).starts_with(r#"{"seq":10,"batch":256,"#), "it was slow");
        assert_eq!(take(&mut snapshot, &entry(10, "203.0.113.3", "KV-Operation: PURGE\r\n"), "", None), Ok(Step::More));
        assert_eq!(take(&mut snapshot, &entry(11, "203.0.113.1", ""), "2000|ssh|2", None), Ok(Step::More));
        assert_eq!(take(&mut snapshot, &entry(12, "127.0.0.1", ""), "900|x|1", None), Ok(Step::More));
        assert_eq!(take(&mut snapshot, &entry(13, "203.0.113.0/24", ""), "900|x|1", None), Ok(Step::More));
        assert_eq!(take(&mut snapshot, "NATS/1.0 204\r\nNats-Num-Pending: 0\r\n\r\n", "", Some(204)), Ok(Step::End));
        assert_eq!((snapshot.refused, snapshot.is_useless()), (1, false));
        let list = snapshot.end([("203.0.113.7".parse().unwrap(), 50)].into_iter()).unwrap();
        let shown: Vec<String> =
            list.v4.iter().map(|listed| format!("{} {:?}", listed.address, listed.lifetime)).collect();
        assert_eq!(shown, ["203.0.113.1 Seconds(1890)", "203.0.113.2 Seconds(1)", "203.0.113.7 Seconds(50)"]);
        assert_eq!(list.runs.first().map(|run| run.reason.clone()), Some(Reason::Tagged("ssh".into())));
        assert!(!shown.iter().any(|line| line.contains(&format!("{:?}", Lifetime::Forever))));
    }

    #[test]
    fn changes_since_a_sequence_come_one_by_one() {
        let now = Instant::now();
        let mut since = Snapshot::new(&Intake::new(100, |_| true), Some(41), (TIME, now), now);
        assert!(since.ask(now).starts_with(r#"{"seq":42,"#));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let headers = entry(45, "203.0.113.1", "");
        let banned = Step::Ban(address("203.0.113.1"), 900, "ssh".into());
        assert_eq!(since.take(&message(&headers, "900|ssh|1", None), now), Ok(banned));
        let headers = entry(46, "203.0.113.2", "KV-Operation: PURGE\r\n");
        assert_eq!(since.take(&message(&headers, "", None), now), Ok(Step::Unban(address("203.0.113.2"))));
        let headers = entry(47, "203.0.113.3", "Nats-Marker-Reason: MaxAge\r\n");
        assert_eq!(since.take(&message(&headers, "", None), now), Ok(Step::More));
        assert_eq!(since.take(&message("NATS/1.0 404\r\n\r\n", "", Some(404)), now), Ok(Step::End));
        assert_eq!((since.reached(), since.end(std::iter::empty())), (47, None));
    }

    #[test]
    fn no_server_makes_it_endless() {
        let now = Instant::now();
        let fresh = || Snapshot::new(&Intake::new(100, |_| true), None, (TIME, now), now);
        let eob = "NATS/1.0 204\r\nNats-Num-Pending: 1000000000\r\n\r\n";
        let mut snapshot = fresh();
        let (mut sequence, mut asked) = (0, 0);
        loop {
            snapshot.ask(now);
            asked += 1;
            for _ in 0..snapshot.batch {
                sequence += 1;
                let address = format!("{}", std::net::Ipv4Addr::from_bits(sequence as u32));
                let headers = entry(sequence, &address, "");
                assert_eq!(snapshot.take(&message(&headers, "9|x|1", None), now), Ok(Step::More));
            }
            if snapshot.take(&message(eob, "", Some(204)), now) == Ok(Step::End) {
                break;
            }
        }
        assert!(asked < 20 && sequence < 2 * LEAST, "{asked} {sequence}");
        let list = snapshot.end(std::iter::empty()).unwrap();
        assert_eq!(list.v4.len(), 100);
        assert!(list.cut > 1_000_000_000);

        // Nothing behind which something is said to be; the same again; more than was asked for; no number.
        let mut snapshot = fresh();
        snapshot.ask(now);
        assert!(snapshot.take(&message(eob, "", Some(204)), now).is_err());
        let one = entry(5, "203.0.113.1", "");
        assert!(snapshot.take(&message(&one, "9|x|1", None), now).is_ok());
        assert!(snapshot.take(&message(&one, "9|x|1", None), now).is_err());
        assert!(fresh().take(&message("NATS/1.0\r\n\r\n", "9|x|1", None), now).is_err());
        assert!(fresh().take(&message("NATS/1.0 408\r\n\r\n", "", Some(408)), now).is_err());
        assert_eq!(fresh().take(&message("NATS/1.0 404\r\n\r\n", "", Some(404)), now), Ok(Step::End));
        let mut snapshot = fresh();
        snapshot.ask(now);
        let far = entry(u64::MAX, "203.0.113.1", "");
        assert!(snapshot.take(&message(&far, "9|x|1", None), now).is_ok());
        assert!(snapshot.take(&message(&far, "9|x|1", None), now).is_ok_and(|step| step == Step::More));
        for n in 0..FIRST {
            let headers = entry(u64::MAX, "203.0.113.1", "");
            let taken = snapshot.take(&message(&headers, "9|x|1", None), now);
            assert_eq!(taken.is_err(), n + 2 >= FIRST, "{n}");
        }
    }
}
