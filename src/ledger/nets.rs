//! Networks that overlap, with an end each, as the disjoint ranges that an interval set takes: the
//! owner's bans, and all allowances.
//!
//! Where networks overlap the longest end wins; ranges that touch and end together are one; protected
//! addresses are left out. A change of one network recomputes the ranges within it and its neighbours,
//! a new list recomputes all of them once; either way only the difference is told to the kernel.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Applied;
use super::moment::{End, GRACE, Moment};
use super::number::{self, Family};
use super::protect::Protection;
use crate::model::{Cursor, Entry, Lifetime, Range, SetChange, SetId};

/// Up to so many networks are put in one by one.
pub(super) const FEW: usize = 8;

/// One network of one origin.
#[derive(Clone, Debug)]
pub(super) struct Net {
    first: u128,
    prefix: u8,
    /// Who gave it; the ledger gives numbers to origins.
    pub(super) origin: u8,
    pub(super) start: Moment,
    pub(super) end: End,
    pub(super) comment: Box<str>,
}

impl Net {
    /// Enclosing networks sort before what they enclose.
    fn key(&self) -> (u128, u8, u8) {
        (self.first, self.prefix, self.origin)
    }

    fn last(&self, family: Family) -> u128 {
        self.first | family.host_bits(self.prefix)
    }

    pub(super) fn net(&self, family: Family) -> IpNet {
        family.net(self.first, self.prefix)
    }
}

/// One element of the kernel's interval set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    first: u128,
    last: u128,
    end: End,
}

#[derive(Debug, Default)]
struct Half {
    /// Sorted by `Net::key`.
    nets: Vec<Net>,
    /// The prefix lengths that `nets` has, or has had: a bit each, the two longest of IPv6 share one. Most have
    /// one or two, and what is around an address is looked for in those alone.
    lengths: u128,
    /// Sorted, disjoint; what the kernel has, and for [`GRACE`] seconds what it has just let expire.
    segments: Vec<Segment>,
}

/// What a change needs to know and to tell.
pub(super) struct Cause<'a> {
    pub(super) now: Moment,
    /// Most networks of both families together.
    pub(super) most: usize,
    /// Addresses to leave out; `None`: nothing is (allowances).
    pub(super) protection: Option<&'a Protection>,
    /// It is the word of somebody who does not know this network: private ranges are left out too.
    pub(super) outside: bool,
    pub(super) sink: &'a mut dyn FnMut(SetChange),
    pub(super) applied: &'a mut Applied,
}

/// The networks behind one pair of interval sets.
#[derive(Debug)]
pub(super) struct Nets {
    /// Where its elements go.
    pub(super) set: SetId,
    halves: [Half; 2],
    /// Not later than the first end.
    first_end: End,
}

impl Nets {
    pub(super) fn new(set: SetId) -> Nets {
        Nets { set, halves: Default::default(), first_end: End::NEVER }
    }

    /// All networks that have not ended, IPv4 first, ascending.
    pub(super) fn iter(&self, now: Moment) -> impl Iterator<Item = (IpNet, &Net)> {
        Family::ALL.into_iter().flat_map(move |family| {
            let nets = self.halves[family as usize].nets.iter().filter(move |net| !net.end.is_over(now));
            nets.map(move |net| (net.net(family), net))
        })
    }

    /// The networks that have all of this one and have not ended, the widest first. Costs a look-up of each
    /// prefix length.
    pub(super) fn around(&self, now: Moment, net: IpNet) -> impl Iterator<Item = (IpNet, &Net)> {
        let (family, first, _) = number::bounds(net);
        let half = &self.halves[family as usize];
        let nets = &half.nets;
        (0..=net.prefix_len()).filter(|prefix| half.may_have(*prefix)).flat_map(move |prefix| {
            let key = (first & !family.host_bits(prefix), prefix);
            let from = nets.partition_point(|net| (net.first, net.prefix) < key);
            let same = nets.iter().skip(from).take_while(move |net| (net.first, net.prefix) == key);
            same.filter(move |net| !net.end.is_over(now)).map(move |net| (net.net(family), net))
        })
    }

    /// How many networks there are, of both families and all origins.
    pub(super) fn len(&self) -> usize {
        self.halves.iter().map(|half| half.nets.len()).sum()
    }

    /// Most networks that this family may have while the other has what it has.
    fn most_of(&self, family: Family, most: usize) -> usize {
        most.saturating_sub(self.len() - self.halves[family as usize].nets.len())
    }

    /// This origin's entry of exactly this network, over or not.
    pub(super) fn get(&self, origin: u8, net: IpNet) -> Option<&Net> {
        let (family, first, _) = number::bounds(net);
        let key = (first, net.prefix_len(), origin);
        let nets = &self.halves[family as usize].nets;
        nets.binary_search_by_key(&key, Net::key).ok().and_then(|place| nets.get(place))
    }

    /// Is the address in an element that is in force by now?
    pub(super) fn covers(&self, now: Moment, address: IpAddr) -> bool {
        let (family, number) = number::of(address);
        let segments = &self.halves[family as usize].segments;
        let above = segments.partition_point(|segment| segment.first <= number);
        let below = above.checked_sub(1).and_then(|place| segments.get(place));
        below.is_some_and(|segment| number <= segment.last && !segment.end.is_over(now))
    }

    /// The end of exactly this element.
    pub(super) fn wanted(&self, range: Range, now: Moment) -> Option<Lifetime> {
        let (family, first) = number::of(range.first);
        let segments = &self.halves[family as usize].segments;
        let place = segments.binary_search_by_key(&first, |segment| segment.first).ok()?;
        let segment = segments.get(place)?;
        (family.address(segment.last) == range.last).then(|| segment.end.left(now))?
    }

    pub(super) fn for_each_element(&self, now: Moment, f: &mut dyn FnMut(Range, Lifetime)) {
        for family in Family::ALL {
            for segment in &self.halves[family as usize].segments {
                if let Some(lifetime) = segment.end.left(now) {
                    f(segment.range(family), lifetime);
                }
            }
        }
    }

    /// As `for_each_element`, about `most` at a time; `false`: that was all.
    pub(super) fn walk(
        &self,
        now: Moment,
        cursor: &mut Cursor,
        most: usize,
        f: &mut dyn FnMut(Range, Lifetime),
    ) -> bool {
        let family = if cursor.second { Family::V6 } else { Family::V4 };
        let segments = &self.halves[family as usize].segments;
        let from = segments.partition_point(|segment| segment.first < cursor.at);
        for segment in segments.iter().skip(from).take(most) {
            if let Some(lifetime) = segment.end.left(now) {
                f(segment.range(family), lifetime);
            }
        }
        match segments.get(from.saturating_add(most)) {
            Some(next) => cursor.at = next.first,
            None if cursor.second => return false,
            None => *cursor = Cursor { second: true, ..Cursor::default() },
        }
        true
    }

    /// Puts one network in, or gives it a new end and comment. Costs a look-up of each shorter prefix,
    /// what lies inside the network, and moving the tails of two arrays.
    pub(super) fn insert(&mut self, cause: &mut Cause, origin: u8, entry: Entry) {
        let (family, first, last) = number::bounds(entry.net);
        let most = self.most_of(family, cause.most);
        let half = &mut self.halves[family as usize];
        let mut net = Net::new(cause.now, origin, entry);
        let end = net.end;
        match half.nets.binary_search_by_key(&net.key(), Net::key) {
            Ok(place) => {
                let Some(old) = half.nets.get_mut(place) else { return };
                net.inherit(old, cause.now, cause.applied);
                *old = net;
            }
            Err(_) if half.nets.len() >= most => {
                cause.applied.cut += 1;
                return;
            }
            Err(place) => {
                cause.applied.added += 1;
                half.lengths |= length_bit(net.prefix);
                half.nets.insert(place, net);
            }
        }
        self.first_end = self.first_end.min(end);
        self.recompute(cause, family, first, last);
    }

    /// Takes one network back; unknown ones are no error.
    pub(super) fn remove(&mut self, cause: &mut Cause, origin: u8, net: IpNet) {
        let (family, first, last) = number::bounds(net);
        let half = &mut self.halves[family as usize];
        let key = (first, net.prefix_len(), origin);
        if let Ok(place) = half.nets.binary_search_by_key(&key, Net::key) {
            let old = half.nets.remove(place);
            if !old.end.is_over(cause.now) {
                cause.applied.removed += 1;
            }
            self.recompute(cause, family, first, last);
        }
    }

    /// As [`Nets::insert`] for each; the last of equal networks counts. Many cost one pass over all networks
    /// instead of moving the tails of the arrays for each.
    pub(super) fn insert_all(&mut self, cause: &mut Cause, origin: u8, list: Vec<Entry>) {
        if list.len() <= FEW {
            return list.into_iter().for_each(|entry| self.insert(cause, origin, entry));
        }
        for (family, fresh) in Family::ALL.into_iter().zip(by_family(cause.now, origin, list)) {
            let most = self.most_of(family, cause.most);
            let half = &mut self.halves[family as usize];
            let (Some(first), Some(last)) = (fresh.first(), fresh.iter().map(|net| net.last(family)).max()) else {
                continue;
            };
            // The smallest network that has them all: `recompute` wants a network's bounds.
            let host = u128::MAX.checked_shr((first.first ^ last).leading_zeros()).unwrap_or(0);
            let (first, last) = (first.first & !host, last | host);
            let mut added = Vec::new();
            for mut net in fresh {
                self.first_end = self.first_end.min(net.end);
                match half.nets.binary_search_by_key(&net.key(), Net::key) {
                    Ok(place) => {
                        let Some(old) = half.nets.get_mut(place) else { continue };
                        net.inherit(old, cause.now, cause.applied);
                        *old = net;
                    }
                    Err(_) if half.nets.len() + added.len() >= most => cause.applied.cut += 1,
                    Err(_) => {
                        cause.applied.added += 1;
                        added.push(net);
                    }
                }
            }
            half.lengths |= lengths_of(&added);
            half.nets.append(&mut added);
            // Two sorted runs, which this sort joins in one pass.
            half.nets.sort_by_key(Net::key);
            self.recompute(cause, family, first, last);
        }
    }

    /// Takes back the origin's networks that are wanted, and says which; one pass over all networks.
    pub(super) fn remove_all(&mut self, cause: &mut Cause, origin: u8, wanted: &dyn Fn(&IpNet) -> bool) -> Vec<IpNet> {
        let mut gone = Vec::new();
        for family in Family::ALL {
            let half = &mut self.halves[family as usize];
            let (before, held) = (gone.len(), half.nets.len());
            half.nets.retain(|net| {
                let goes = net.origin == origin && wanted(&net.net(family));
                if goes && !net.end.is_over(cause.now) {
                    gone.push(net.net(family));
                }
                !goes
            });
            cause.applied.removed += u32::try_from(gone.len() - before).unwrap_or(u32::MAX);
            if half.nets.len() < held {
                self.recompute(cause, family, 0, family.max());
            }
        }
        self.find_first_end();
        gone
    }

    /// Makes these the origin's networks. Costs sorting them and one pass over all networks.
    pub(super) fn replace(&mut self, cause: &mut Cause, origin: u8, list: Vec<Entry>) {
        for (family, fresh) in Family::ALL.into_iter().zip(by_family(cause.now, origin, list)) {
            self.replace_family(cause, family, origin, fresh);
            self.recompute(cause, family, 0, family.max());
        }
        self.find_first_end();
    }

    fn replace_family(&mut self, cause: &mut Cause, family: Family, origin: u8, fresh: Vec<Net>) {
        let most = self.most_of(family, cause.most);
        let half = &mut self.halves[family as usize];
        let (old, mut nets): (Vec<Net>, Vec<Net>) =
            std::mem::take(&mut half.nets).into_iter().partition(|net| net.origin == origin);
        let room = most.saturating_sub(nets.len());
        cause.applied.cut += u32::try_from(fresh.len().saturating_sub(room)).unwrap_or(u32::MAX);
        let others = nets.len();
        let mut old = old.into_iter().peekable();
        let gone = |net: Net, applied: &mut Applied| applied.removed += u32::from(!net.end.is_over(cause.now));
        for mut net in fresh.into_iter().take(room) {
            while let Some(before) = old.next_if(|before| before.key() < net.key()) {
                gone(before, cause.applied);
            }
            match old.next_if(|same| same.key() == net.key()) {
                Some(same) => net.inherit(&same, cause.now, cause.applied),
                None => cause.applied.added += 1,
            }
            nets.push(net);
        }
        old.for_each(|net| gone(net, cause.applied));
        if nets.len() > others && others > 0 {
            nets.sort_by_key(Net::key);
        }
        half.lengths = lengths_of(&nets);
        half.nets = nets;
    }

    /// Takes back everything.
    pub(super) fn clear(&mut self, cause: &mut Cause) {
        for family in Family::ALL {
            let half = &mut self.halves[family as usize];
            let gone = half.nets.iter().filter(|net| !net.end.is_over(cause.now)).count();
            cause.applied.removed += u32::try_from(gone).unwrap_or(u32::MAX);
            half.nets.clear();
            self.recompute(cause, family, 0, family.max());
        }
        self.first_end = End::NEVER;
    }

    /// Protection has changed.
    pub(super) fn protect(&mut self, cause: &mut Cause) {
        for family in Family::ALL {
            self.recompute(cause, family, 0, family.max());
        }
    }

    /// Puts a network back as the snapshot has it, without a word to the kernel; [`Nets::restored`] ends
    /// the series.
    pub(super) fn restore(&mut self, most: usize, origin: u8, net: IpNet, start: Moment, end: End, comment: Box<str>) {
        let (family, first, _) = number::bounds(net);
        if self.len() < most {
            let half = &mut self.halves[family as usize];
            half.lengths |= length_bit(net.prefix_len());
            half.nets.push(Net { first, prefix: net.prefix_len(), origin, start, end, comment });
        }
    }

    /// Drops what is of these origins, without a word to the kernel; [`Nets::restored`] follows.
    pub(super) fn forget(&mut self, origins: &dyn Fn(u8) -> bool) {
        self.halves.iter_mut().for_each(|half| half.nets.retain(|net| !origins(net.origin)));
    }

    /// Sorts what was restored and computes the ranges.
    pub(super) fn restored(&mut self, cause: &mut Cause) {
        for family in Family::ALL {
            let half = &mut self.halves[family as usize];
            half.nets.sort_by_key(Net::key);
            half.nets.dedup_by_key(|net| net.key());
            self.recompute(cause, family, 0, family.max());
        }
        self.find_first_end();
    }

    /// Evicts what is beyond `most`, the highest addresses of each family first.
    pub(super) fn shrink_to_most(&mut self, cause: &mut Cause) {
        for family in Family::ALL {
            let most = self.most_of(family, cause.most);
            let half = &mut self.halves[family as usize];
            let excess = half.nets.len().saturating_sub(most);
            if excess > 0 {
                half.nets.truncate(most);
                cause.applied.cut += u32::try_from(excess).unwrap_or(u32::MAX);
                self.recompute(cause, family, 0, family.max());
            }
        }
    }

    /// When [`Nets::expire`] has something to do next; may be early, never late.
    pub(super) fn next_expiry(&self) -> Option<Moment> {
        self.first_end.moment().map(|end| Moment(end.0.saturating_add(GRACE)))
    }

    /// Drops what has ended, and says what. The kernel drops its elements by itself, and never has to be
    /// told more: an element's end is the longest of its networks', so none is left when it goes.
    pub(super) fn expire(&mut self, now: Moment, gone: &mut dyn FnMut(IpNet)) {
        if !self.first_end.is_settled(now) {
            return;
        }
        for family in Family::ALL {
            let half = &mut self.halves[family as usize];
            half.segments.retain(|segment| !segment.end.is_settled(now));
            half.nets.retain(|net| {
                let settled = net.end.is_settled(now);
                if settled {
                    gone(net.net(family));
                }
                !settled
            });
        }
        self.find_first_end();
    }

    fn find_first_end(&mut self) {
        let nets = self.halves.iter().flat_map(|half| &half.nets);
        self.first_end = nets.map(|net| net.end).min().unwrap_or(End::NEVER);
    }

    /// Computes the elements between `first` and `last`, the bounds of one network, anew, joins them to
    /// their neighbours, and tells the difference: deletions first, so that nothing overlaps.
    fn recompute(&mut self, cause: &mut Cause, family: Family, first: u128, last: u128) {
        let half = &mut self.halves[family as usize];
        let from = half.segments.partition_point(|old| old.last.saturating_add(1) < first);
        let to = half.segments.partition_point(|old| old.first <= last.saturating_add(1));
        let old: Vec<Segment> = half.segments.get(from..to).map(<[Segment]>::to_vec).unwrap_or_default();

        let mut new = Joined { now: cause.now, segments: Vec::new() };
        for part in old.iter().filter(|part| part.first < first) {
            new.push(Segment { last: part.last.min(first - 1), ..*part });
        }
        half.in_force(family, cause, (first, last)).into_iter().for_each(|segment| new.push(segment));
        for part in old.iter().filter(|part| part.last > last) {
            new.push(Segment { first: part.first.max(last + 1), ..*part });
        }

        tell_difference(self.set, family, &old, &new.segments, cause);
        half.segments.splice(from..to, new.segments);
    }
}

/// The entries as networks, a family each, sorted; the last of equal ones counts.
fn by_family(now: Moment, origin: u8, list: Vec<Entry>) -> [Vec<Net>; 2] {
    let mut fresh: [Vec<Net>; 2] = Default::default();
    for entry in list {
        let (family, ..) = number::bounds(entry.net);
        fresh[family as usize].push(Net::new(now, origin, entry));
    }
    for nets in &mut fresh {
        // Turned round, the stable sort puts the last of equal ones first, and dedup keeps it.
        nets.reverse();
        nets.sort_by_key(Net::key);
        nets.dedup_by_key(|net| net.key());
    }
    fresh
}

impl Net {
    fn new(now: Moment, origin: u8, entry: Entry) -> Net {
        let (_, first, _) = number::bounds(entry.net);
        let end = End::after(now, entry.lifetime);
        Net { first, prefix: entry.net.prefix_len(), origin, start: now, end, comment: entry.comment }
    }

    /// Takes over the start, and the end too if it means the same, of the network's former entry.
    fn inherit(&mut self, old: &Net, now: Moment, applied: &mut Applied) {
        if old.end.is_over(now) {
            applied.added += 1;
            return;
        }
        self.start = old.start;
        if old.end.is_close_to(self.end) {
            self.end = old.end;
            applied.unchanged += 1;
        } else {
            applied.renewed += 1;
        }
    }
}

impl Segment {
    fn is_where(&self, other: &Segment) -> bool {
        (self.first, self.last) == (other.first, other.last)
    }

    fn range(&self, family: Family) -> Range {
        Range { first: family.address(self.first), last: family.address(self.last) }
    }
}

fn length_bit(prefix: u8) -> u128 {
    1 << prefix.min(127)
}

fn lengths_of(nets: &[Net]) -> u128 {
    nets.iter().fold(0, |lengths, net| lengths | length_bit(net.prefix))
}

impl Half {
    /// Whether there may be a network of this prefix length.
    fn may_have(&self, prefix: u8) -> bool {
        self.lengths & length_bit(prefix) != 0
    }

    /// The elements between `bounds`. Protected addresses are left out of what is wider than they; what the
    /// owner says of them alone stands beside it.
    fn in_force(&self, family: Family, cause: &Cause, bounds: (u128, u128)) -> Vec<Segment> {
        let mut out = Joined { now: cause.now, segments: Vec::new() };
        let Some(protection) = cause.protection else {
            self.sweep(family, cause.now, bounds, &|_| true, &mut |segment| out.push(segment));
            return out.segments;
        };
        let mask = if cause.outside { protection.outside_mask(family) } else { protection.mask(family) };
        self.sweep(family, cause.now, bounds, &|_| true, &mut |segment| cut_out(segment, mask, &mut out));
        if cause.outside {
            return out.segments;
        }
        let meant = |net: &Net| protection.is_meant(family, net.first, net.last(family));
        let (mask, parts) = (protection.own_mask(family), out.segments.len());
        self.sweep(family, cause.now, bounds, &meant, &mut |segment| cut_out(segment, mask, &mut out));
        if out.segments.len() > parts {
            out.segments.sort_unstable_by_key(|segment| segment.first);
        }
        out.segments
    }

    /// The elements between `first` and `last` by the networks that `counts` says yes to, before protection:
    /// networks either enclose each other or are apart, so a stack of those around the current address is
    /// enough.
    fn sweep(
        &self,
        family: Family,
        now: Moment,
        (first, last): (u128, u128),
        counts: &dyn Fn(&Net) -> bool,
        out: &mut dyn FnMut(Segment),
    ) {
        let mut stack: Vec<(u128, End)> = Vec::new();
        if let Some(end) = self.end_around(family, now, counts, first, last) {
            stack.push((last, end));
        }
        // The next address that is not told yet; `None` above the family's highest.
        let mut next = Some(first);
        let from = self.nets.partition_point(|net| net.first < first);
        let within = self.nets.iter().skip(from).take_while(|net| net.first <= last);
        for net in within.filter(|net| net.last(family) <= last && !net.end.is_over(now) && counts(net)) {
            while let Some(&(until, end)) = stack.last().filter(|&&(until, _)| until < net.first) {
                emit(&mut next, until, end, out);
                stack.pop();
            }
            let mut end = net.end;
            if let Some(&(_, around)) = stack.last() {
                if let Some(before) = net.first.checked_sub(1) {
                    emit(&mut next, before, around, out);
                }
                end = end.max(around);
            }
            next = Some(net.first);
            stack.push((net.last(family), end));
        }
        while let Some((until, end)) = stack.pop() {
            emit(&mut next, until, end, out);
        }
    }

    /// The longest end of the networks that are wider than this range and have it.
    fn end_around(
        &self,
        family: Family,
        now: Moment,
        counts: &dyn Fn(&Net) -> bool,
        first: u128,
        last: u128,
    ) -> Option<End> {
        let prefix = family.bits() - (128 - (last - first).leading_zeros()) as u8;
        let wider = (0..prefix).filter(|prefix| self.may_have(*prefix)).flat_map(|prefix| {
            let start = first & !family.host_bits(prefix);
            let from = self.nets.partition_point(|net| (net.first, net.prefix) < (start, prefix));
            self.nets.iter().skip(from).take_while(move |net| (net.first, net.prefix) == (start, prefix))
        });
        wider.filter(|net| counts(net)).map(|net| net.end).filter(|end| !end.is_over(now)).max()
    }
}

/// Tells the addresses from `next` to `until`, if there are any, and moves `next` behind them.
fn emit(next: &mut Option<u128>, until: u128, end: End, out: &mut dyn FnMut(Segment)) {
    if let Some(first) = next.filter(|&first| first <= until) {
        out(Segment { first, last: until, end });
        *next = until.checked_add(1);
    }
}

/// Segments in ascending order, joined where they touch and end together, without those that are over.
struct Joined {
    now: Moment,
    segments: Vec<Segment>,
}

impl Joined {
    fn push(&mut self, segment: Segment) {
        match self.segments.last_mut() {
            _ if segment.end.is_over(self.now) => {}
            Some(before) if before.end == segment.end && before.last.checked_add(1) == Some(segment.first) => {
                before.last = segment.last;
            }
            _ => self.segments.push(segment),
        }
    }
}

/// Pushes what the sorted ranges of `mask` leave of the segment.
fn cut_out(segment: Segment, mask: &[(u128, u128)], out: &mut Joined) {
    let mut rest = segment;
    let from = mask.partition_point(|&(_, high)| high < segment.first);
    for &(low, high) in mask.iter().skip(from).take_while(|&&(low, _)| low <= segment.last) {
        if low > rest.first {
            out.push(Segment { last: low - 1, ..rest });
        }
        if high >= segment.last {
            return;
        }
        rest.first = high + 1;
    }
    out.push(rest);
}

/// Tells what leads from `old` to `new`, both sorted and disjoint: deletions first, so that nothing overlaps.
fn tell_difference(set: SetId, family: Family, old: &[Segment], new: &[Segment], cause: &mut Cause) {
    let mut others = new.iter().peekable();
    for segment in old {
        while others.next_if(|other| other.first < segment.first).is_some() {}
        if others.peek().is_none_or(|other| !other.is_where(segment)) {
            (cause.sink)(SetChange::Delete { set, range: segment.range(family) });
        }
    }
    let mut others = old.iter().peekable();
    for segment in new {
        while others.next_if(|other| other.first < segment.first).is_some() {}
        let Some(lifetime) = segment.end.left(cause.now) else { continue };
        let range = segment.range(family);
        match others.peek().filter(|other| other.is_where(segment)) {
            None => (cause.sink)(SetChange::Add { set, range, lifetime }),
            Some(before) if before.end != segment.end => (cause.sink)(SetChange::Renew { set, range, lifetime }),
            Some(_) => {}
        }
    }
}
