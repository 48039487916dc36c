//! Lines that something outside can cause again and again: said at once, then counted.
//!
//! Whoever has such a line for the log hands it over here, under the name of its matter. A matter that comes
//! again within [`EVERY`] is only counted; the count comes out when that time is over, whether or not another
//! comes, and at the stop. The daemon's loop asks for [`due`] and calls [`on_time`]. Names of matters are
//! words of the program, so that there are only so many.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::Level;

/// A matter is said at most so often.
pub const EVERY: Duration = Duration::from_secs(60);

/// What a line is about: of what part, and which of its lines.
pub type Name = (&'static str, &'static str);

static LIMITER: Mutex<Limiter> = Mutex::new(Limiter { matters: Vec::new() });

/// Says it as a warning, or counts it; true if it was said.
pub fn warn(name: Name, text: impl FnOnce() -> String) -> bool {
    say(Level::Warn, name, 1, text)
}

/// Says it for information, or counts it; true if it was said.
pub fn info(name: Name, text: impl FnOnce() -> String) -> bool {
    say(Level::Info, name, 1, text)
}

/// As the others; of this matter so many lines are said in [`EVERY`] before they are counted.
pub fn say(level: Level, name: Name, most: u32, text: impl FnOnce() -> String) -> bool {
    if level > log::max_level() {
        return false;
    }
    let line = with(|limiter| limiter.take(level, name, most, text, Instant::now()));
    line.is_some_and(|line| {
        tell(&line);
        true
    })
}

/// When a count is to come out.
pub fn due() -> Option<Instant> {
    with(|limiter| limiter.due())
}

/// Says the counts that are due.
pub fn on_time() {
    with(|limiter| limiter.untold(Some(Instant::now()))).iter().for_each(tell);
}

/// Says every count: nothing will follow.
pub fn stop() {
    with(|limiter| limiter.untold(None)).iter().for_each(tell);
}

fn with<T>(act: impl FnOnce(&mut Limiter) -> T) -> T {
    act(&mut LIMITER.lock().unwrap_or_else(PoisonError::into_inner))
}

fn tell((level, text): &(Level, String)) {
    log::log!(*level, "{text}");
}

struct Matter {
    name: Name,
    level: Level,
    /// When its first line since was said, and how many have been.
    since: Instant,
    said: u32,
    /// Those that were not, and the last of them.
    untold: u64,
    last: String,
}

/// What was said lately.
struct Limiter {
    matters: Vec<Matter>,
}

impl Limiter {
    /// The line to be said now; `None`: it is counted.
    fn take(
        &mut self,
        level: Level,
        name: Name,
        most: u32,
        text: impl FnOnce() -> String,
        now: Instant,
    ) -> Option<(Level, String)> {
        let at = self.matters.iter().position(|matter| matter.name == name).unwrap_or_else(|| {
            self.matters.push(Matter { name, level, since: now, said: 0, untold: 0, last: String::new() });
            self.matters.len() - 1
        });
        let matter = self.matters.get_mut(at)?;
        if matter.untold == 0 && now.saturating_duration_since(matter.since) >= EVERY {
            (matter.since, matter.said) = (now, 0);
        }
        if matter.said < most && matter.untold == 0 {
            matter.said += 1;
            return Some((level, text()));
        }
        matter.level = level;
        matter.untold = matter.untold.saturating_add(1);
        matter.last = text();
        None
    }

    fn due(&self) -> Option<Instant> {
        self.matters.iter().filter(|matter| matter.untold > 0).map(|matter| matter.since + EVERY).min()
    }

    /// The counts that are due then, or all of them; each is a line that was said.
    fn untold(&mut self, then: Option<Instant>) -> Vec<(Level, String)> {
        let is_due = |matter: &&mut Matter| matter.untold > 0 && then.is_none_or(|then| matter.since + EVERY <= then);
        let line = |matter: &mut Matter| {
            if let Some(then) = then {
                (matter.since, matter.said) = (then, 1);
            }
            let (untold, last) = (std::mem::take(&mut matter.untold), std::mem::take(&mut matter.last));
            (matter.level, if untold == 1 { last } else { format!("{last} (the last of {untold} such lines)") })
        };
        self.matters.iter_mut().filter(is_due).map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NATS: Name = ("nats", "cut");

    fn take(limiter: &mut Limiter, name: Name, most: u32, text: &str, now: Instant) -> Option<String> {
        limiter.take(Level::Warn, name, most, || text.into(), now).map(|(_, text)| text)
    }

    fn texts(lines: Vec<(Level, String)>) -> Vec<String> {
        lines.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn said_at_once_then_counted_and_the_count_comes_out_by_itself() {
        let (mut limiter, start) = (Limiter { matters: Vec::new() }, Instant::now());
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(take(&mut limiter, NATS, 1, "a", start).as_deref(), Some("a"));
        assert_eq!(limiter.due(), None, "there is nothing to be said later");
        for second in 0..60 {
            assert_eq!(take(&mut limiter, NATS, 1, &second.to_string(), after(second)), None);
        }
        assert_eq!(take(&mut limiter, ("dynfw", "cut"), 1, "b", after(59)).as_deref(), Some("b"), "another matter");
        assert_eq!(limiter.due(), Some(after(60)));
        assert!(limiter.untold(Some(after(59))).is_empty());
        assert_eq!(texts(limiter.untold(Some(after(60)))), ["59 (the last of 60 such lines)"]);
        assert_eq!(limiter.due(), None);
        // That was a line: the next minute begins with it.
        assert_eq!(take(&mut limiter, NATS, 1, "c", after(61)), None);
        assert_eq!(texts(limiter.untold(Some(after(120)))), ["c"]);
        assert_eq!(take(&mut limiter, NATS, 1, "d", after(400)).as_deref(), Some("d"), "long after");
        assert_eq!(take(&mut limiter, NATS, 1, "e", after(401)), None);
        assert_eq!(texts(limiter.untold(None)), ["e"], "at the stop");
    }

    #[test]
    fn a_matter_may_have_some_lines_before_it_is_counted() {
        let (mut limiter, start) = (Limiter { matters: Vec::new() }, Instant::now());
        let said = (0..500).filter(|n| take(&mut limiter, NATS, 100, &n.to_string(), start).is_some()).count();
        assert_eq!(said, 100);
        let minute = start + EVERY;
        assert_eq!(texts(limiter.untold(Some(minute))), ["499 (the last of 400 such lines)"]);
        let said = (0..500).filter(|_| take(&mut limiter, NATS, 100, "", minute).is_some()).count();
        assert_eq!(said, 99);
    }
}
