//! A number of host names kept up to date: each asked for again when its answer has held for its time, a few at once,
//! and not many a second.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::wire::Answer;
use super::{Answers, Trouble, ask};

/// An answer holds so long at least, and at most, whatever it says itself.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How long a name is left alone that nobody could say anything of.
const RETRY: Duration = Duration::from_secs(60);
const RETRY_LONGEST: Duration = Duration::from_secs(900);

/// Names that are asked for at the same time.
const AT_ONCE: usize = 4;

/// How fast names may be asked for, by all who share it together.
#[derive(Debug)]
pub struct Pace {
    /// Time between two names.
    gap: Duration,
    /// The same in the long run: of many names an answer holds for as long as it takes to ask for all of them so.
    share: Duration,
    /// When the next name may be asked for.
    next: Cell<Instant>,
    /// How many names there are.
    names: Cell<usize>,
}

impl Pace {
    /// So much time between two names, and so much in the long run.
    pub fn new(gap: Duration, share: Duration) -> Pace {
        Pace { gap, share, next: Cell::new(Instant::now()), names: Cell::new(0) }
    }

    /// How many names are followed at it.
    pub fn names(&self) -> usize {
        self.names.get()
    }

    /// How long an answer holds at least.
    fn shortest(&self) -> Duration {
        SHORTEST.max(self.share * u32::try_from(self.names.get()).unwrap_or(u32::MAX))
    }
}

impl Default for Pace {
    /// As for the names of an owner.
    fn default() -> Pace {
        Pace::new(Duration::from_millis(50), Duration::ZERO)
    }
}

/// What is known of a name.
#[derive(Debug, Default)]
struct Name {
    addresses: Box<[IpAddr]>,
    /// When it is to be asked for; `None`: it has been, and the answer has not come.
    due: Option<Instant>,
    /// What was wrong with the last answer.
    trouble: Option<Trouble>,
    /// Since when it is said that there is nothing.
    empty: Option<Instant>,
    /// Answers in a row that said nothing.
    failures: u8,
    /// It is to be asked for again when the answer that is on its way has come.
    again: bool,
}

/// What was said of a name.
type Said = (Box<str>, Answers);

/// See the module's head.
#[derive(Debug)]
pub struct Follower {
    names: BTreeMap<Box<str>, Name>,
    answers: (mpsc::Sender<Said>, mpsc::Receiver<Said>),
    /// Names that are being asked for.
    asking: usize,
    pace: Rc<Pace>,
}

impl Default for Follower {
    fn default() -> Follower {
        Follower::at_pace(Rc::default())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.set(std::iter::empty());
    }
}

impl Follower {
    /// Follows no names yet, and never faster than this.
    pub fn at_pace(pace: Rc<Pace>) -> Follower {
        Follower { names: BTreeMap::new(), answers: mpsc::channel(AT_ONCE), asking: 0, pace }
    }

    /// Follows these names from now on, and no others. What is known of them stays.
    pub fn set<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let now = Instant::now();
        let count = self.names.len();
        let mut before = std::mem::take(&mut self.names);
        for name in names {
            // One may stand in several sections.
            let known = || before.remove(name).unwrap_or_else(|| Name { due: Some(now), ..Name::default() });
            self.names.entry(name.into()).or_insert_with(known);
        }
        self.pace.names.set(self.pace.names() - count + self.names.len());
    }

    /// Each name, what it stands for, and what is wrong with it; in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = (&str, &[IpAddr], Option<Trouble>)> {
        self.names.iter().map(|(name, known)| (&**name, &*known.addresses, known.trouble))
    }

    /// Names of which nothing has been said yet, neither now nor in a former run.
    pub fn untried(&self) -> usize {
        self.names.values().filter(|known| known.addresses.is_empty() && known.trouble.is_none()).count()
    }

    /// What a name stood for in a former run.
    pub fn recall(&mut self, name: &str, addresses: Vec<IpAddr>) {
        if let Some(known) = self.names.get_mut(name) {
            known.addresses = addresses.into();
        }
    }

    /// Has all names asked for now.
    pub fn ask_again(&mut self) {
        let now = Instant::now();
        for name in self.names.values_mut() {
            match &mut name.due {
                // Whoever waits already stays before those who were asked for a moment ago, however often this comes.
                Some(due) => *due = now.min(*due),
                None => name.again = true,
            }
        }
    }

    /// What a name stands for.
    pub fn addresses(&self, name: &str) -> &[IpAddr] {
        self.names.get(name).map_or(&[], |name| &name.addresses)
    }

    /// What is wrong with a name.
    pub fn trouble(&self, name: &str) -> Option<Trouble> {
        self.names.get(name)?.trouble
    }

    /// Waits until an answer has come that makes a difference: of what a name stands for, or of what is wrong with it.
    /// May be dropped at any time.
    pub async fn changed(&mut self) {
        loop {
            let next = self.start();
            tokio::select! {
                Some((name, answers)) = self.answers.1.recv() => {
                    self.asking = self.asking.saturating_sub(1);
                    if self.take(&name, answers, Instant::now()) {
                        return;
                    }
                }
                () = sleep_until(next) => {}
            }
        }
    }

    /// Asks for what is due; when to look again.
    fn start(&mut self) -> Instant {
        let now = Instant::now();
        let later = now + LONGEST;
        if self.asking >= AT_ONCE {
            // An answer comes before.
            return later;
        }
        let first = self.names.iter_mut().filter(|(_, known)| known.due.is_some()).min_by_key(|(_, known)| known.due);
        let Some((name, known)) = first else { return later };
        let due = known.due.unwrap_or(later).max(self.pace.next.get());
        if due > now {
            return due;
        }
        known.due = None;
        self.asking += 1;
        self.pace.next.set(now + self.pace.gap);
        let (name, answers) = (name.clone(), self.answers.0.clone());
        tokio::task::spawn_local(async move {
            let said = ask(&name).await;
            let _ = answers.send((name, said)).await;
        });
        self.pace.next.get()
    }

    /// Takes an answer; whether it makes a difference.
    fn take(&mut self, name: &str, answers: Answers, now: Instant) -> bool {
        let Some(known) = self.names.get_mut(name) else { return false };
        let before = (known.addresses.clone(), known.trouble);
        let wait = known.take(answers, now, self.pace.shortest());
        // Names that were asked for together are not for ever after.
        let part = RandomState::new().hash_one(name) as u16;
        let wait = wait + wait / 10 * u32::from(part) / (1 << 16);
        known.due = Some(if std::mem::take(&mut known.again) { now } else { now + wait });
        before != (known.addresses.clone(), known.trouble)
    }
}

impl Name {
    /// Takes an answer; for how long it holds.
    ///
    /// What nobody could say, and what one family's answer lacks, stays as it was. That there is nothing is believed of
    /// a name when it has been said for a minute, and of its addresses when it has been said for a day: a resolver
    /// whose own server is away says so too.
    fn take(&mut self, answers: Answers, now: Instant, shortest: Duration) -> Duration {
        let mut found: Vec<IpAddr> = Vec::new();
        let (mut life, mut trouble, mut any) = (LONGEST, None, false);
        for (answer, is_v4) in answers.into_iter().zip([true, false]) {
            match answer {
                Ok(Answer::Addresses(addresses, seconds)) => {
                    any = true;
                    life = life.min(Duration::from_secs(seconds.into()));
                    found.extend(addresses);
                }
                Ok(Answer::NoAddress) => {}
                Ok(Answer::NoName) => trouble = Some(Trouble::NoName),
                other => {
                    trouble = trouble.or(other.err()).or(Some(Trouble::Bad));
                    found.extend(self.addresses.iter().filter(|address| address.is_ipv4() == is_v4));
                }
            }
        }
        if any {
            found.truncate(super::wire::ADDRESSES);
            found.sort_unstable();
            self.addresses = found.into();
            (self.trouble, self.empty, self.failures) = (None, None, 0);
            return life.max(shortest);
        }
        let trouble = trouble.unwrap_or(Trouble::NoAddress);
        self.trouble = Some(trouble);
        let believed = match trouble {
            Trouble::NoName => SHORTEST,
            Trouble::NoAddress => LONGEST,
            _ => Duration::MAX,
        };
        if believed < Duration::MAX && now.duration_since(*self.empty.get_or_insert(now)) >= believed {
            self.addresses = Box::default();
        }
        self.failures = self.failures.saturating_add(1);
        RETRY.saturating_mul(1 << (self.failures - 1).min(4)).min(RETRY_LONGEST).max(shortest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str], life: u32) -> Result<Answer, Trouble> {
        Ok(Answer::Addresses(list.iter().filter_map(|text| text.parse().ok()).collect(), life))
    }

    fn said(name: &Name) -> String {
        name.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_answer_holds_for_its_time_and_silence_changes_nothing() {
        let (mut name, now) = (Name::default(), Instant::now());
        let none = || Ok(Answer::NoAddress);
        assert_eq!(name.take([addresses(&["192.0.2.1"], 300), none()], now, SHORTEST), Duration::from_secs(300));
        assert_eq!(name.take([addresses(&["192.0.2.1"], 1), none()], now, SHORTEST), SHORTEST);
        assert_eq!(
            name.take([addresses(&["192.0.2.1"], u32::MAX), addresses(&["2001:db8::1"], 900_000)], now, SHORTEST),
            LONGEST
        );
        assert_eq!((said(&name), name.trouble), ("192.0.2.1 2001:db8::1".into(), None));
        // One family is away: what it said stays, and the other is followed.
        name.take([addresses(&["192.0.2.2"], 60), Err(Trouble::Failed(2))], now, SHORTEST);
        assert_eq!((said(&name), name.trouble), ("192.0.2.2 2001:db8::1".into(), None));
        let waits = [60, 120, 240, 480, 900, 900];
        for wait in waits {
            let later = now + Duration::from_secs(40 * 86_400);
            assert_eq!(name.take([Err(Trouble::Late), Err(Trouble::Late)], later, SHORTEST), Duration::from_secs(wait));
        }
        assert_eq!((said(&name), name.trouble), ("192.0.2.2 2001:db8::1".into(), Some(Trouble::Late)));
        // It has an address of one family only, from now on.
        name.take([none(), addresses(&["2001:db8::2"], 60)], now, SHORTEST);
        assert_eq!((said(&name), name.trouble), ("2001:db8::2".into(), None));
    }

    #[test]
    fn whoever_waits_is_asked_for_first_however_often_all_are_to_be() {
        let (mut follower, before) = (Follower::default(), Instant::now() - Duration::from_secs(1));
        follower.set(["a.example", "b.example"].into_iter());
        follower.names.get_mut("b.example").unwrap().due = Some(before);
        for _ in 0..3 {
            follower.names.get_mut("a.example").unwrap().due = Some(Instant::now() + SHORTEST);
            follower.ask_again();
            assert_eq!(follower.names["b.example"].due, Some(before));
            assert!(follower.names["a.example"].due.is_some_and(|due| due > before && due <= Instant::now()));
        }
    }

    #[test]
    fn a_name_that_stands_twice_keeps_what_is_known_of_it() {
        let (mut follower, known) = (Follower::default(), ["192.0.2.1".parse().unwrap()]);
        for _ in 0..2 {
            follower.set(["a.example", "b.example", "a.example"].into_iter());
            follower.recall("a.example", known.to_vec());
            follower.set(["a.example", "a.example"].into_iter());
            assert_eq!(follower.addresses("a.example"), known);
        }
        follower.set(std::iter::empty());
        assert!(follower.addresses("a.example").is_empty());
    }

    #[test]
    fn a_name_that_is_gone_ends() {
        for (answer, trouble, grace) in
            [(Answer::NoName, Trouble::NoName, SHORTEST), (Answer::NoAddress, Trouble::NoAddress, LONGEST)]
        {
            let (mut name, now) = (Name::default(), Instant::now());
            name.take([addresses(&["192.0.2.1"], 300), Ok(Answer::NoAddress)], now, SHORTEST);
            let gone = || [Ok(answer.clone()), Ok(answer.clone())];
            name.take(gone(), now, SHORTEST);
            name.take(gone(), now + grace - Duration::from_secs(1), SHORTEST);
            assert_eq!((said(&name), name.trouble), ("192.0.2.1".into(), Some(trouble)));
            // It was a slip: the time begins anew.
            name.take([addresses(&["192.0.2.1"], 300), Ok(Answer::NoAddress)], now + grace, SHORTEST);
            name.take(gone(), now + grace, SHORTEST);
            assert_eq!(said(&name), "192.0.2.1");
            name.take([Err(Trouble::Late), Err(Trouble::Late)], now + grace, SHORTEST);
            name.take(gone(), now + grace * 2, SHORTEST);
            assert_eq!((said(&name), name.trouble), (String::new(), Some(trouble)));
        }
    }
}
