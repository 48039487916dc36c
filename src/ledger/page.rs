//! Pages of the list of bans, in order, out of tables that have none.
//!
//! A page holds at most [`PAGE_MAX`] bans. By the time of their start the tables have an order, and a page
//! costs what its rows cost (`newest`). In another order, or where a text is looked for, it needs memory for
//! a fixed number of candidates: the bans are passed over twice for a page near the head, a few times more
//! for one deep inside. The control socket is the caller; it must not make the packet path wait.

use std::collections::BinaryHeap;
use std::fmt::{self, Write};
use std::net::IpAddr;

use ipnet::IpNet;

use super::moment::Moment;
use super::query::{BanView, Filter, Page, Sort};
use super::reason::ReasonRef;
use super::{Ledger, normal, number};
use crate::model::Holds;

/// Longest page.
pub const PAGE_MAX: usize = 1000;

/// Candidates held at a time.
const WINDOW: usize = 2 * PAGE_MAX;

/// Dividing points of one narrowing pass.
const SAMPLE: usize = 512;

/// A ban's place in the order: no two bans have the same.
type Rank = (u32, u8, u128, u8, u32, u8);

fn rank(ban: &BanView, filter: &Filter) -> Rank {
    let (family, first, _) = number::bounds(ban.net);
    let lead = match filter.sort {
        Sort::Address => 0,
        Sort::Newest => u32::MAX - ban.start.0,
        Sort::Ending => ban.end.map_or(u32::MAX, |end| end.0),
        Sort::Source => ban.source.rank(),
    };
    let forward = (lead, family as u8, first, ban.net.prefix_len(), ban.source.rank(), ban.origin);
    let (lead, family, first, prefix, source, origin) = forward;
    if filter.reverse { (!lead, !family, !first, !prefix, !source, !origin) } else { forward }
}

impl Ledger {
    /// The bans from place `offset` of the matching ones in their order, at most `limit` (and
    /// [`PAGE_MAX`]) of them.
    pub fn page(&self, now: Moment, filter: &Filter, offset: usize, limit: usize) -> Page<'_> {
        let search = Search { ledger: self, now, filter, wanted: Wanted::new(filter.text) };
        let limit = limit.min(PAGE_MAX);
        // What a list has came all at once.
        let is_list = filter.source.is_some_and(|source| source.holds() == Holds::Listed);
        if filter.sort == Sort::Newest && matches!(search.wanted, Wanted::All) && !is_list {
            return self.page_by_start(now, filter, offset, limit);
        }
        let (total, mut within) = (search.count(), Span::default());
        if offset >= total || limit == 0 {
            return Page { total, bans: Vec::new() };
        }
        while offset - within.before + limit > WINDOW && search.narrow(&mut within, offset) {}
        // The page may reach beyond the part that was narrowed down for its first ban.
        within.to = None;
        let mut bans = search.collect(&within, offset - within.before + limit);
        bans.drain(..(offset - within.before).min(bans.len()));
        Page { total, bans }
    }
}

/// A part of the order that has the page's first ban in it.
#[derive(Default)]
struct Span {
    /// Its first rank, or the order's.
    from: Option<Rank>,
    /// The rank that follows it, or none.
    to: Option<Rank>,
    /// How many bans come before it.
    before: usize,
}

impl Span {
    fn has(&self, rank: &Rank) -> bool {
        self.from.is_none_or(|from| from <= *rank) && self.to.is_none_or(|to| *rank < to)
    }
}

struct Search<'a, 'f> {
    ledger: &'a Ledger,
    now: Moment,
    filter: &'f Filter<'f>,
    wanted: Wanted<'f>,
}

impl<'a> Search<'a, '_> {
    fn for_each(&self, f: &mut dyn FnMut(BanView<'a>)) {
        let mut each = |ban: BanView<'a>| {
            let family = if ban.net.addr().is_ipv4() { 4 } else { 6 };
            if self.filter.family.is_none_or(|wanted| wanted == family) && self.wanted.has(&ban) {
                f(ban);
            }
        };
        self.ledger.for_each_ban(self.now, self.filter.source, &mut each);
        // Lists are too long to be shown among the bans, but what they say of an address belongs there.
        if let (None, Wanted::Net(net)) = (self.filter.source, &self.wanted) {
            self.ledger.listed(*net).for_each(each);
        }
    }

    fn for_each_in(&self, span: &Span, f: &mut dyn FnMut(Rank, BanView<'a>)) {
        self.for_each(&mut |ban| {
            let rank = rank(&ban, self.filter);
            if span.has(&rank) {
                f(rank, ban);
            }
        });
    }

    fn count(&self) -> usize {
        let mut count = 0;
        self.for_each(&mut |_| count += 1);
        count
    }

    /// Makes the span smaller, the ban at `offset` still in it; `false` when it cannot.
    fn narrow(&self, span: &mut Span, offset: usize) -> bool {
        let points = self.sample(span);
        let mut sizes = vec![0usize; points.len() + 1];
        self.for_each_in(span, &mut |rank, _| {
            let place = points.partition_point(|point| *point <= rank);
            if let Some(size) = sizes.get_mut(place) {
                *size += 1;
            }
        });
        let mut place = 0;
        while let Some(size) = sizes.get(place).filter(|&&size| span.before + size <= offset) {
            span.before += size;
            place += 1;
        }
        span.from = place.checked_sub(1).and_then(|place| points.get(place).copied()).or(span.from);
        span.to = points.get(place).copied().or(span.to);
        points.len() > 1
    }

    /// Ranks from all over the span, at even distances in the order of the tables, sorted.
    fn sample(&self, span: &Span) -> Vec<Rank> {
        let (mut points, mut stride, mut seen) = (Vec::with_capacity(SAMPLE), 1usize, 0usize);
        self.for_each_in(span, &mut |rank, _| {
            if seen % stride == 0 {
                if points.len() == SAMPLE {
                    let mut keep = false;
                    points.retain(|_| {
                        keep = !keep;
                        keep
                    });
                    stride *= 2;
                }
                if seen % stride == 0 {
                    points.push(rank);
                }
            }
            seen += 1;
        });
        points.sort_unstable();
        points
    }

    /// The first `count` bans of the span, in order.
    fn collect(&self, span: &Span, count: usize) -> Vec<BanView<'a>> {
        let mut first: BinaryHeap<Ranked> = BinaryHeap::with_capacity(count.min(WINDOW) + 1);
        self.for_each_in(span, &mut |rank, ban| {
            if first.len() < count {
                first.push(Ranked(rank, ban));
            } else if let Some(mut last) = first.peek_mut().filter(|last| rank < last.0) {
                *last = Ranked(rank, ban);
            }
        });
        first.into_sorted_vec().into_iter().map(|Ranked(_, ban)| ban).collect()
    }
}

/// A ban that is compared by its rank alone.
struct Ranked<'a>(Rank, BanView<'a>);

impl PartialEq for Ranked<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Ranked<'_> {}

impl PartialOrd for Ranked<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

/// What a filter's text asks for.
enum Wanted<'f> {
    All,
    Net(IpNet),
    Text(&'f str),
}

impl<'f> Wanted<'f> {
    fn new(text: &'f str) -> Wanted<'f> {
        let text = text.trim();
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match net {
            _ if text.is_empty() => Wanted::All,
            Ok(net) => Wanted::Net(normal(net)),
            Err(_) => Wanted::Text(text),
        }
    }

    fn has(&self, ban: &BanView) -> bool {
        match *self {
            Wanted::All => true,
            Wanted::Net(net) => net.contains(&ban.net) || ban.net.contains(&net),
            Wanted::Text(text) => reason_has(ban.reason, text) || address_begins(ban.net.addr(), text),
        }
    }
}

fn reason_has(reason: ReasonRef, text: &str) -> bool {
    match reason {
        // The bulk of the bans, and nothing to format.
        ReasonRef::Listed => contains("listed", text),
        ReasonRef::Announced => contains("announced", text),
        _ => contains(Line::of(&reason).as_str(), text),
    }
}

fn address_begins(address: IpAddr, text: &str) -> bool {
    // No address begins otherwise; spares the formatting for most words.
    let possible = text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'));
    possible && starts_with(Line::of(&address).as_str(), text)
}

fn starts_with(whole: &str, head: &str) -> bool {
    whole.as_bytes().get(..head.len()).is_some_and(|start| start.eq_ignore_ascii_case(head.as_bytes()))
}

fn contains(whole: &str, part: &str) -> bool {
    whole.as_bytes().windows(part.len().max(1)).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

/// A line of text on the stack; what does not fit is left off.
struct Line {
    bytes: [u8; 192],
    length: usize,
}

impl Line {
    fn of(value: &dyn fmt::Display) -> Line {
        let mut line = Line { bytes: [0; 192], length: 0 };
        // Fails only when the line is full, and then its head is what counts.
        let _ = write!(line, "{value}");
        line
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
