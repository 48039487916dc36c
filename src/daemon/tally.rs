//! What was dropped and banned: running totals, the last hour, and every hour of the last week.
//!
//! The kernel's counters begin at 0 again when the table is made anew; the totals here do not. Samples
//! every five minutes give the last hour; the hours are those of the wall clock, so that a chart's bars
//! mean what people take them for.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::count::Count;
use super::days::Days;
use crate::control::protocol::{History, HistorySource};
use crate::firewall::{Counter, Family};
use crate::ledger::Totals;
use crate::model::Source;

/// Time between samples.
const STEP: Duration = Duration::from_secs(300);

/// A reading is as good as new for so long.
const FRESH: Duration = Duration::from_secs(10);

/// Samples that make an hour.
const SAMPLES: usize = 12;

/// Hours kept: a week.
pub const HOURS: usize = 168;

/// Hours that outlive the daemon: two days, as far as [`KEPT_MOST`] allows.
const KEPT_HOURS: usize = 48;

/// Values kept, the hours' among them. A snapshot takes 1024.
const KEPT_MOST: usize = 900;

/// Seconds in an hour.
const HOUR: u64 = 3600;

/// One value a source; the default for those that it has none of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PerSource<T>(Vec<(Source, T)>);

impl<T: Copy + Default> PerSource<T> {
    fn of(&self, source: Source) -> T {
        self.0.iter().find(|(each, _)| *each == source).map(|(_, value)| *value).unwrap_or_default()
    }

    fn of_mut(&mut self, source: Source) -> &mut T {
        let at = self.0.iter().position(|(each, _)| *each == source).unwrap_or_else(|| {
            self.0.push((source, T::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

impl<T> Default for PerSource<T> {
    fn default() -> PerSource<T> {
        PerSource(Vec::new())
    }
}

impl<T> FromIterator<(Source, T)> for PerSource<T> {
    fn from_iter<I: IntoIterator<Item = (Source, T)>>(values: I) -> PerSource<T> {
        PerSource(values.into_iter().collect())
    }
}

/// One hour of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hour {
    dropped: Count,
    bans: u32,
}

/// The totals.
#[derive(Debug)]
pub struct Tally {
    /// Those that people are told of, in their order.
    sources: Vec<Source>,
    /// The kernel's values at the last reading, IPv4 and IPv6.
    last: PerSource<[Count; 2]>,
    /// Handle of the table in which these were read.
    table: u64,
    read_at: Instant,
    totals: PerSource<Count>,
    /// Totals at past samples with the wall clock of each, oldest first.
    samples: VecDeque<(u64, PerSource<Count>)>,
    /// Hours of the wall clock, the running one last; `None`: the daemon did not run then.
    hours: VecDeque<Option<PerSource<Hour>>>,
    /// Number of the running hour since 1970.
    running: u64,
    /// Unix seconds since when the totals count.
    since: u64,
    due: Instant,
    /// For the report.
    pub days: Days,
}

impl Tally {
    /// Goes on from the totals that were kept, if any; `wall` is the wall clock in Unix seconds.
    pub fn new(wall: u64, kept: &Totals, days: Days, sources: Vec<Source>) -> Tally {
        let kept_count = |what: &str| kept.get(what).copied().unwrap_or(0);
        let total = |source: &Source| Count {
            packets: kept_count(&format!("{source}.packets")),
            bytes: kept_count(&format!("{source}.bytes")),
        };
        let totals: PerSource<Count> = sources.iter().map(|source| (*source, total(source))).collect();
        let seen = |source: &Source| {
            ["4", "6"].map(|family| Count {
                packets: kept_count(&format!("{source}{family}.kernel_packets")),
                bytes: kept_count(&format!("{source}{family}.kernel_bytes")),
            })
        };
        let last = sources.iter().map(|source| (*source, seen(source))).collect();
        Tally {
            last,
            table: kept_count("table"),
            read_at: Instant::now(),
            since: kept.get("since").copied().unwrap_or(wall),
            samples: kept_samples(kept, wall, &sources).unwrap_or_else(|| VecDeque::from([(wall, totals.clone())])),
            hours: kept_hours(kept, wall / HOUR, &sources),
            running: wall / HOUR,
            totals,
            sources,
            due: Instant::now() + STEP,
            days,
        }
    }

    /// These are told of from now on.
    pub fn set_sources(&mut self, sources: Vec<Source>) {
        self.sources = sources;
    }

    /// When the next sample is due.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Takes a reading of the kernel's counters.
    pub fn read(&mut self, counters: &[Counter], wall: u64) {
        self.turn_to(wall);
        self.days.note_hour(wall);
        self.read_at = Instant::now();
        let anew = counters.first().is_some_and(|counter| counter.table != self.table);
        if anew {
            self.last = PerSource::default();
        }
        for counter in counters {
            self.table = counter.table;
            let Some(source) = counter.key.set.source() else { continue };
            let now = Count { packets: counter.packets, bytes: counter.bytes };
            let family = usize::from(counter.key.family == Family::V6);
            let last = std::mem::replace(&mut self.last.of_mut(source)[family], now);
            // A counter that went back was made anew in the same table: all it shows came since.
            let since = if now.packets < last.packets { now } else { now.minus(last) };
            let total = self.totals.of_mut(source);
            *total = total.plus(since);
            let hour = self.hour(source);
            hour.dropped = hour.dropped.plus(since);
            self.days.drop(source, since, wall);
        }
    }

    /// Whether so much time has passed since the last reading that a table deleted now would take too many
    /// counts with it. Whoever is awake anyway then reads again.
    pub fn is_old(&self) -> bool {
        self.read_at.elapsed() >= FRESH
    }

    /// Takes a reading and keeps it as a sample.
    pub fn sample(&mut self, counters: &[Counter], wall: u64) {
        self.read(counters, wall);
        // A run before this one may have left samples of another step.
        let old = |at: u64| at + HOUR + STEP.as_secs() <= wall;
        while self.samples.len() > SAMPLES
            || self.samples.len() > 1 && self.samples.front().is_some_and(|(at, _)| old(*at))
        {
            self.samples.pop_front();
        }
        self.samples.push_back((wall, self.totals.clone()));
        self.due = Instant::now() + STEP;
    }

    /// Counts bans that began now.
    pub fn count_bans(&mut self, source: Source, bans: u32, wall: u64) {
        self.turn_to(wall);
        self.days.ban(source, bans, wall);
        let hour = self.hour(source);
        hour.bans = hour.bans.saturating_add(bans);
    }

    /// Unix seconds since when the totals count.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// The totals in a form that can be kept over a restart, the kernel's own values included, so that
    /// what it counted meanwhile is not lost.
    pub fn totals(&self) -> Totals {
        let mut kept = Totals::from([("since".into(), self.since), ("table".into(), self.table)]);
        for source in self.sources.iter().copied() {
            let Count { packets, bytes } = self.totals.of(source);
            kept.insert(format!("{source}.packets").into(), packets);
            kept.insert(format!("{source}.bytes").into(), bytes);
            for (family, last) in ["4", "6"].into_iter().zip(self.last.of(source)) {
                kept.insert(format!("{source}{family}.kernel_packets").into(), last.packets);
                kept.insert(format!("{source}{family}.kernel_bytes").into(), last.bytes);
            }
        }
        for (number, (at, sample)) in self.samples.iter().enumerate() {
            // More than a snapshot takes would cost it what comes behind; the oldest say what the last hour had.
            if kept.len() + 1 + 2 * sample.0.len() > KEPT_MOST {
                break;
            }
            kept.insert(format!("hour{number}.at").into(), *at);
            for (source, count) in sample.0.iter().filter(|(_, count)| *count != Count::default()) {
                kept.insert(format!("hour{number}.{source}.packets").into(), count.packets);
                kept.insert(format!("hour{number}.{source}.bytes").into(), count.bytes);
            }
        }
        self.keep_hours(&mut kept);
        kept
    }

    /// The newest hours, by their number since 1970; of what is 0 nothing is kept.
    fn keep_hours(&self, kept: &mut Totals) {
        for (hour, past) in (0..=self.running).rev().zip(self.hours.iter().rev()).take(KEPT_HOURS) {
            let Some(past) = past else { continue };
            if kept.len() + 1 + 3 * past.0.len() > KEPT_MOST {
                return;
            }
            kept.insert(format!("past{hour}").into(), 1);
            for (source, Hour { dropped, bans }) in &past.0 {
                let values = [("bans", u64::from(*bans)), ("packets", dropped.packets), ("bytes", dropped.bytes)];
                for (what, value) in values.into_iter().filter(|(_, value)| *value > 0) {
                    kept.insert(format!("past{hour}.{source}.{what}").into(), value);
                }
            }
        }
    }

    /// In all, and in the last hour (to five minutes).
    pub fn of(&self, source: Source) -> (Count, Count) {
        let total = self.totals.of(source);
        let hour_ago = self.samples.front().map_or(Count::default(), |(_, sample)| sample.of(source));
        (total, total.minus(hour_ago))
    }

    /// The last `hours` hours (1 to [`HOURS`]), the running one last.
    pub fn history(&self, hours: usize, now: u64) -> History {
        let source = |source: Source| {
            let value = |pick: fn(&Hour) -> u64| {
                let known = self.hours.len();
                let value = move |index: usize| {
                    let hour = (index + known).checked_sub(hours).and_then(|at| self.hours.get(at))?.as_ref()?;
                    i64::try_from(pick(&hour.of(source))).ok()
                };
                (0..hours).map(|index| value(index).unwrap_or(-1)).collect()
            };
            HistorySource {
                name: source.name().into(),
                packets: value(|hour| hour.dropped.packets),
                bytes: value(|hour| hour.dropped.bytes),
                bans: value(|hour| hour.bans.into()),
            }
        };
        History {
            now,
            end: (self.running + 1) * HOUR,
            step: HOUR,
            hours: hours as u64,
            sources: self.sources.iter().copied().map(source).collect(),
        }
    }

    /// All that was dropped in the hour of that number, and each source's bans that began in it.
    pub fn hour_of(&self, hour: u64) -> (Count, impl Fn(Source) -> u64) {
        let back = usize::try_from(self.running.saturating_sub(hour)).unwrap_or(usize::MAX);
        let at = self.hours.len().checked_sub(back.saturating_add(1));
        let found = at.and_then(|at| self.hours.get(at)).cloned().flatten().unwrap_or_default();
        let dropped = found.0.iter().fold(Count::default(), |sum, (_, each)| sum.plus(each.dropped));
        (dropped, move |source: Source| u64::from(found.of(source).bans))
    }

    fn hour(&mut self, source: Source) -> &mut Hour {
        if self.hours.is_empty() {
            self.hours.push_back(None);
        }
        let at = self.hours.len() - 1;
        self.hours[at].get_or_insert_default().of_mut(source)
    }

    /// Begins new hours as the wall clock says. A clock that went back leaves the running hour running, unless by more
    /// than a week: then it was wrong before, and its hours are gone. One that jumped leaves a gap.
    fn turn_to(&mut self, wall: u64) {
        let hour = wall / HOUR;
        if hour + (HOURS as u64) < self.running {
            self.hours.clear();
            self.hours.push_back(None);
            self.running = hour;
        }
        let passed = hour.saturating_sub(self.running).min(HOURS as u64);
        for left in (0..passed).rev() {
            if self.hours.len() == HOURS {
                self.hours.pop_front();
            }
            self.hours.push_back((left == 0).then(PerSource::default));
        }
        self.running = self.running.max(hour);
    }
}

/// The samples of the last hour that a former run has left; `None` if there are none, or the clock says that
/// they are none of the last hour's.
fn kept_samples(kept: &Totals, wall: u64, sources: &[Source]) -> Option<VecDeque<(u64, PerSource<Count>)>> {
    let value = |number: usize, what: &str| kept.get(format!("hour{number}.{what}").as_str()).copied();
    let sample = |number: usize| {
        let at =
            value(number, "at").filter(|at| wall.checked_sub(*at).is_some_and(|age| age <= HOUR + STEP.as_secs()))?;
        let count = |source: Source| Count {
            packets: value(number, &format!("{source}.packets")).unwrap_or(0),
            bytes: value(number, &format!("{source}.bytes")).unwrap_or(0),
        };
        Some((at, sources.iter().map(|source| (*source, count(*source))).collect()))
    };
    let samples: VecDeque<_> = (0..=SAMPLES).filter_map(sample).collect();
    (!samples.is_empty()).then_some(samples)
}

/// The hours that a former run has left, up to the running one, which goes on.
fn kept_hours(kept: &Totals, running: u64, sources: &[Source]) -> VecDeque<Option<PerSource<Hour>>> {
    let value = |name: &str| kept.get(name).copied();
    let past = |hour: u64| {
        value(&format!("past{hour}"))?;
        let of = |source: &Source| {
            let value = |what: &str| value(&format!("past{hour}.{source}.{what}")).unwrap_or(0);
            let dropped = Count { packets: value("packets"), bytes: value("bytes") };
            (*source, Hour { dropped, bans: u32::try_from(value("bans")).unwrap_or(u32::MAX) })
        };
        Some(sources.iter().map(of).collect::<PerSource<Hour>>())
    };
    let mut hours: VecDeque<_> =
        (running.saturating_sub(KEPT_HOURS as u64)..=running).map(past).skip_while(Option::is_none).collect();
    match hours.back_mut() {
        Some(last) => _ = last.get_or_insert_default(),
        None => hours.push_back(Some(PerSource::default())),
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::lists::settings::Settings as ListSettings;
    use crate::firewall::SetKey;
    use crate::model::SetId;

    fn of(history: &History, source: Source) -> &HistorySource {
        history.sources.iter().find(|row| row.name == source.name()).unwrap()
    }

    fn counter(packets: u64) -> [Counter; 1] {
        counter_in(1, packets)
    }

    fn counter_in(table: u64, packets: u64) -> [Counter; 1] {
        let key = SetKey { set: SetId::Ban(Source::DYNFW), family: Family::V4 };
        [Counter { key, table, packets, bytes: packets * 40 }]
    }

    #[tokio::test(flavor = "current_thread")]
    async fn totals_go_on_over_a_table_that_was_made_anew() {
        let mut tally = Tally::new(0, &Totals::new(), Days::default(), Source::BUILT_IN.to_vec());
        tally.read(&counter(100), 10);
        tally.read(&counter(130), 20);
        // fw4 restart: the kernel counts from 0 again, and may be further when it is asked.
        tally.read(&counter_in(2, 140), 30);
        // A counter alone made anew.
        tally.read(&counter_in(2, 7), 40);
        let (total, hour) = tally.of(Source::DYNFW);
        assert_eq!((total.packets, total.bytes), (277, 277 * 40));
        assert_eq!(hour, total);
        assert_eq!(tally.of(Source::NATS).0, Count::default());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn totals_go_on_over_a_restart_of_the_daemon() {
        let mut before = Tally::new(50, &Totals::new(), Days::default(), Source::BUILT_IN.to_vec());
        before.read(&counter(100), 60);
        // 20 packets come while no daemon runs. The last hour is that of the router, not of the run.
        for (wall, hour) in [(1000, 120), (50 + HOUR, 120), (50 + 3 * HOUR, 20), (10, 20)] {
            let mut after = Tally::new(wall, &before.totals(), Days::default(), Source::BUILT_IN.to_vec());
            after.read(&counter(120), wall + 1);
            assert_eq!(after.of(Source::DYNFW).0.packets, 120);
            assert_eq!(after.of(Source::DYNFW).1.packets, hour, "at {wall}");
            assert_eq!(after.since(), 50);
        }
        // The hour goes on to pass in the next run.
        let mut after = Tally::new(1000, &before.totals(), Days::default(), Source::BUILT_IN.to_vec());
        for step in 0..=13 {
            after.sample(&counter(120), 1000 + 300 * step);
        }
        assert_eq!(after.of(Source::DYNFW).1.packets, 0);
    }

    /// A snapshot takes the first 1024 by name: what the last hour is told from may not push the rest out.
    #[tokio::test(flavor = "current_thread")]
    async fn the_totals_of_many_lists_outlive_the_daemon() {
        let lists = (0..64).map(|number| ListSettings::new(&format!("a{number:02}")).source);
        let sources: Vec<Source> = Source::BUILT_IN.into_iter().chain(lists).collect();
        let counters = |packets: u64| -> Vec<Counter> {
            let key = |source: &Source| SetKey { set: SetId::Ban(*source), family: Family::V4 };
            sources.iter().map(|source| Counter { key: key(source), table: 1, packets, bytes: packets }).collect()
        };
        let mut before = Tally::new(50, &Totals::new(), Days::default(), sources.clone());
        for step in 1..=13 {
            before.sample(&counters(100 * step), 50 + 300 * step);
        }
        let kept = before.totals();
        assert!(kept.len() <= KEPT_MOST, "{}", kept.len());
        let mut after = Tally::new(5000, &kept, Days::default(), sources.clone());
        after.read(&counters(1300), 5001);
        assert!(sources.iter().all(|source| after.of(*source).0.packets == 1300));
        assert_eq!(after.since(), 50);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_hours_outlive_the_daemon() {
        let mut before = Tally::new(10 * HOUR + 5, &Totals::new(), Days::default(), Source::BUILT_IN.to_vec());
        before.count_bans(Source::SCAN, 3, 10 * HOUR + 6);
        before.read(&counter(5), 12 * HOUR);
        before.count_bans(Source::SCAN, 1, 12 * HOUR + 1);
        for (wall, bans) in [
            (12 * HOUR + 60, [-1, 3, -1, 1]),
            (13 * HOUR, [3, -1, 1, 0]),
            (15 * HOUR, [1, -1, -1, 0]),
            // The clock is wrong: nothing of it is the past.
            (9 * HOUR, [-1, -1, -1, 0]),
            (500 * HOUR, [-1, -1, -1, 0]),
        ] {
            let after = Tally::new(wall, &before.totals(), Days::default(), Source::BUILT_IN.to_vec());
            assert_eq!(of(&after.history(4, wall), Source::SCAN).bans, bans, "at {wall}");
        }
        // However many hours and values there are, a snapshot has room for them.
        for hour in 0..200 {
            for source in Source::BUILT_IN {
                before.count_bans(source, 1, (20 + hour) * HOUR);
            }
        }
        assert!((100..=KEPT_MOST).contains(&before.totals().len()), "{}", before.totals().len());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_last_hour_forgets_what_is_older() {
        let mut tally = Tally::new(0, &Totals::new(), Days::default(), Source::BUILT_IN.to_vec());
        tally.sample(&counter(1000), 300);
        for step in 2..=13 {
            tally.sample(&counter(1000 + step), 300 * step);
        }
        assert_eq!(tally.of(Source::DYNFW).1.packets, 13);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn hours_follow_the_wall_clock_and_leave_gaps() {
        let mut tally = Tally::new(10 * HOUR + 5, &Totals::new(), Days::default(), Source::BUILT_IN.to_vec());
        tally.count_bans(Source::SCAN, 3, 10 * HOUR + 6);
        tally.count_bans(Source::SCAN, 1, 11 * HOUR);
        // The clock goes back: the hour goes on.
        tally.count_bans(Source::SCAN, 1, 10 * HOUR);
        // Nobody counted during hour 12.
        tally.read(&counter(5), 13 * HOUR + 1);
        let history = tally.history(6, 13 * HOUR + 2);
        assert_eq!(history.end, 14 * HOUR);
        assert_eq!(of(&history, Source::SCAN).bans, [-1, -1, 3, 2, -1, 0]);
        assert_eq!(history.sources[0].packets, [-1, -1, 0, 0, -1, 5]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_jump_of_ten_years_costs_a_week_of_gaps_and_no_more() {
        let mut tally = Tally::new(0, &Totals::new(), Days::default(), Source::BUILT_IN.to_vec());
        tally.read(&counter(1), 10 * 365 * 86_400);
        assert_eq!(tally.hours.len(), HOURS);
        let history = tally.history(HOURS, 10 * 365 * 86_400);
        assert_eq!(history.sources[0].packets.iter().filter(|value| **value >= 0).count(), 1);
    }

    /// One wrong answer to a question for the time, and the right one.
    #[tokio::test(flavor = "current_thread")]
    async fn a_jump_forward_and_back_leaves_hours_that_go_on() {
        const NOW: u64 = 500_000;
        let mut tally = Tally::new(NOW * HOUR, &Totals::new(), Days::default(), Source::BUILT_IN.to_vec());
        tally.count_bans(Source::SCAN, 7, (NOW + 90_000) * HOUR);
        tally.count_bans(Source::SCAN, 1, NOW * HOUR + 60);
        tally.count_bans(Source::SCAN, 2, (NOW + 1) * HOUR);
        let history = tally.history(3, (NOW + 1) * HOUR + 1);
        assert_eq!(history.end, (NOW + 2) * HOUR);
        assert_eq!(of(&history, Source::SCAN).bans, [-1, 1, 2]);
    }
}
