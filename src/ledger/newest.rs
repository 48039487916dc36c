//! Pages of the bans by the time at which they began, which cost what their rows cost.
//!
//! Every source's table keeps its bans in that order (`rows`), and knows how many had begun by a given
//! moment. A search for the moment that has the page's first ban says how many bans of each table come
//! before it; from there on the tables are read. `page` is the caller. A ban may be shown for the 2 s after
//! its end during which the tables keep it.

use super::moment::Moment;
use super::query::{BanView, Filter, Page};
use super::rows::Key;
use super::table::Table;
use super::{Ledger, Place};
use crate::model::{Holds, Source};

/// One table's bans in the order of their starts.
trait Timeline<'a> {
    /// How many had begun by then.
    fn begun_by(&self, moment: Moment) -> usize;

    /// A time that has all starts in it.
    fn span(&self) -> Option<(Moment, Moment)>;

    /// Those from place `first` to before `end`, oldest first.
    fn bans(&self, first: usize, end: usize, into: &mut Vec<BanView<'a>>);
}

struct Single<'a, K> {
    ledger: &'a Ledger,
    source: Source,
    table: &'a Table<K>,
}

impl<'a, K: Key> Timeline<'a> for Single<'a, K> {
    fn begun_by(&self, moment: Moment) -> usize {
        self.table.rows().begun_by(moment)
    }

    fn span(&self) -> Option<(Moment, Moment)> {
        self.table.rows().span()
    }

    fn bans(&self, first: usize, end: usize, into: &mut Vec<BanView<'a>>) {
        let rows = self.table.rows().from(first).take(end.saturating_sub(first));
        into.extend(rows.map(|(key, ban)| self.ledger.view(self.source, key, ban)));
    }
}

/// Networks, which are few.
struct Networks<'a>(Vec<BanView<'a>>);

impl<'a> Networks<'a> {
    fn boxed(filter: &Filter, mut bans: Vec<BanView<'a>>) -> Box<dyn Timeline<'a> + 'a> {
        bans.retain(|ban| filter.family.is_none_or(|wanted| wanted == if ban.net.addr().is_ipv4() { 4 } else { 6 }));
        bans.sort_by_key(|ban| ban.start);
        Box::new(Networks(bans))
    }
}

impl<'a> Timeline<'a> for Networks<'a> {
    fn begun_by(&self, moment: Moment) -> usize {
        self.0.partition_point(|ban| ban.start <= moment)
    }

    fn span(&self) -> Option<(Moment, Moment)> {
        Some((self.0.first()?.start, self.0.last()?.start))
    }

    fn bans(&self, first: usize, end: usize, into: &mut Vec<BanView<'a>>) {
        into.extend(self.0.get(first..end.min(self.0.len())).unwrap_or_default());
    }
}

impl Ledger {
    /// The bans from place `offset` on, at most `limit`, the newest first (`filter.reverse`: the oldest);
    /// those of one second table by table, as they came. The filter's text is not looked at.
    pub(super) fn page_by_start(&self, now: Moment, filter: &Filter, offset: usize, limit: usize) -> Page<'_> {
        let timelines = self.timelines(now, filter);
        let total = begun_by(&timelines, Moment(u32::MAX));
        let end = offset.saturating_add(limit).min(total);
        let offset = offset.min(end);
        let (first, end) = if filter.reverse { (offset, end) } else { (total - end, total - offset) };
        let mut bans = Vec::with_capacity(end - first);
        for ((timeline, first), end) in timelines.iter().zip(split(&timelines, first)).zip(split(&timelines, end)) {
            timeline.bans(first, end, &mut bans);
        }
        // Stable, so that those of one second stay in the order of the tables.
        bans.sort_by_key(|ban| ban.start);
        if !filter.reverse {
            bans.reverse();
        }
        Page { total, bans }
    }

    fn timelines<'a>(&'a self, now: Moment, filter: &Filter) -> Vec<Box<dyn Timeline<'a> + 'a>> {
        let mut timelines: Vec<Box<dyn Timeline<'a> + 'a>> = Vec::new();
        let wanted =
            |each: &Source| each.holds() != Holds::Listed && filter.source.is_none_or(|wanted| wanted == *each);
        for source in self.sources().filter(wanted) {
            let Place::Book(index) = self.place(source) else {
                let mut bans = Vec::new();
                self.for_each_ban(now, Some(source), &mut |ban| bans.push(ban));
                timelines.push(Networks::boxed(filter, bans));
                continue;
            };
            let book = &self.books[index];
            if book.nets.len() > 0 {
                let mut bans = Vec::new();
                self.for_each_range(book, now, &mut |ban| bans.push(ban));
                timelines.push(Networks::boxed(filter, bans));
            }
            if filter.family != Some(6) {
                timelines.push(Box::new(Single { ledger: self, source, table: &book.v4 }));
            }
            if filter.family != Some(4) {
                timelines.push(Box::new(Single { ledger: self, source, table: &book.v6 }));
            }
        }
        timelines
    }
}

fn begun_by(timelines: &[Box<dyn Timeline<'_> + '_>], moment: Moment) -> usize {
    timelines.iter().map(|timeline| timeline.begun_by(moment)).sum()
}

/// How many of each timeline are among the `count` oldest.
fn split(timelines: &[Box<dyn Timeline<'_> + '_>], count: usize) -> Vec<usize> {
    let spans = timelines.iter().filter_map(|timeline| timeline.span());
    let span = spans.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    let Some((Moment(mut low), Moment(mut high))) = span else { return vec![0; timelines.len()] };
    // The first moment by which so many had begun.
    while low < high {
        let middle = low + (high - low) / 2;
        if begun_by(timelines, Moment(middle)) >= count {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let before: Vec<usize> = match low.checked_sub(1) {
        Some(before) => timelines.iter().map(|timeline| timeline.begun_by(Moment(before))).collect(),
        None => vec![0; timelines.len()],
    };
    let mut left = count.saturating_sub(before.iter().sum());
    let within = timelines.iter().zip(before).map(|(timeline, before)| {
        let taken = timeline.begun_by(Moment(low)).saturating_sub(before).min(left);
        left -= taken;
        before + taken
    });
    within.collect()
}
