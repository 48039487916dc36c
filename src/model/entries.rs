//! What a list of addresses and networks says: sorted arrays, 4 bytes an IPv4 address and 8 a range (16 and 32 of
//! IPv6), and of a list that says why, a byte or two more an address ([`tags`](super::tags)).
//!
//! A list of a hundred thousand entries that are banned for as long as the list says so needs no book with a
//! reason and an end for each. [`Builder`] takes entries in any order; [`Entries`] are apart from one another, and
//! come out by number, with holes where a mask says so.

use std::net::IpAddr;

use super::family::{Family, number};
use super::range::Range;
use super::tags::{Numbers, TEXTS, Texts};

/// Single addresses, or what is more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Single addresses.
    Hosts,
    /// Ranges of two addresses or more.
    Nets,
}

/// Sorted ranges that no entry may touch, for IPv4 and IPv6; apart, and as numbers of the family.
pub type Masks<'a> = [&'a [(u128, u128)]; 2];

/// How many entries there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Single IPv4 addresses.
    pub hosts4: u32,
    /// IPv4 ranges.
    pub nets4: u32,
    /// Single IPv6 addresses.
    pub hosts6: u32,
    /// IPv6 ranges.
    pub nets6: u32,
}

impl Size {
    /// What they count for where room is counted: a range takes two elements of the kernel's sets.
    pub fn room(&self) -> u64 {
        let count = |number: u32| u64::from(number);
        count(self.hosts4) + count(self.hosts6) + 2 * (count(self.nets4) + count(self.nets6))
    }

    /// Entries of every kind.
    pub fn all(&self) -> u32 {
        self.hosts4.saturating_add(self.nets4).saturating_add(self.hosts6).saturating_add(self.nets6)
    }
}

/// A list's entries: no two of them touch one another, but for single addresses side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    hosts4: Vec<u32>,
    nets4: Vec<(u32, u32)>,
    hosts6: Vec<u128>,
    nets6: Vec<(u128, u128)>,
    texts: Box<[Box<str>]>,
    tags4: Numbers,
    tags6: Numbers,
}

/// Every part of every family, in the order in which they are shown and kept.
pub const ARRAYS: [(Shape, Family); 4] =
    [(Shape::Hosts, Family::V4), (Shape::Nets, Family::V4), (Shape::Hosts, Family::V6), (Shape::Nets, Family::V6)];

/// One of the arrays.
#[derive(Clone, Copy)]
enum Array<'a> {
    Hosts4(&'a [u32]),
    Nets4(&'a [(u32, u32)]),
    Hosts6(&'a [u128]),
    Nets6(&'a [(u128, u128)]),
}

impl Array<'_> {
    fn get(&self, at: usize) -> Option<(u128, u128)> {
        match self {
            Array::Hosts4(hosts) => hosts.get(at).map(|&host| (host.into(), host.into())),
            Array::Nets4(nets) => nets.get(at).map(|&(first, last)| (first.into(), last.into())),
            Array::Hosts6(hosts) => hosts.get(at).map(|&host| (host, host)),
            Array::Nets6(nets) => nets.get(at).copied(),
        }
    }

    /// Place of the first entry that ends at `number` or above.
    fn from(&self, number: u128) -> usize {
        match self {
            Array::Hosts4(hosts) => hosts.partition_point(|&host| u128::from(host) < number),
            Array::Nets4(nets) => nets.partition_point(|&(_, last)| u128::from(last) < number),
            Array::Hosts6(hosts) => hosts.partition_point(|&host| host < number),
            Array::Nets6(nets) => nets.partition_point(|&(_, last)| last < number),
        }
    }
}

/// Entries of one array in ascending order, first and last address as numbers, without what the mask has.
pub struct Pieces<'a> {
    array: Array<'a>,
    at: usize,
    mask: &'a [(u128, u128)],
    /// Nothing before this is told.
    from: u128,
    over: bool,
}

impl Iterator for Pieces<'_> {
    type Item = (u128, u128);

    fn next(&mut self) -> Option<(u128, u128)> {
        while !self.over {
            let (first, last) = self.array.get(self.at)?;
            let low = first.max(self.from);
            if low > last {
                self.at += 1;
                continue;
            }
            let hole = self.mask.get(self.mask.partition_point(|&(_, high)| high < low));
            let (piece, next) = match hole {
                Some(&(start, end)) if start <= low => (None, end),
                Some(&(start, end)) if start <= last => (Some((low, start - 1)), end),
                _ => (Some((low, last)), last),
            };
            match next.checked_add(1) {
                Some(next) => self.from = next,
                None => self.over = true,
            }
            if piece.is_some() {
                return piece;
            }
        }
        None
    }
}

impl Entries {
    /// How many there are.
    pub fn size(&self) -> Size {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Size {
            hosts4: count(self.hosts4.len()),
            nets4: count(self.nets4.len()),
            hosts6: count(self.hosts6.len()),
            nets6: count(self.nets6.len()),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.size().all() == 0
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        4 * self.hosts4.capacity()
            + 8 * self.nets4.capacity()
            + 16 * self.hosts6.capacity()
            + 32 * self.nets6.capacity()
            + self.tags4.bytes()
            + self.tags6.bytes()
            + self.texts.iter().map(|text| size_of::<Box<str>>() + text.len()).sum::<usize>()
    }

    /// What goes with single addresses, in the order of its numbers, which begin at 1.
    pub fn texts(&self) -> &[Box<str>] {
        &self.texts
    }

    /// The number of what goes with a single address; zero: nothing does.
    pub fn tag(&self, address: IpAddr) -> u16 {
        let (family, wanted) = number(address);
        let array = self.array(Shape::Hosts, family);
        let at = array.from(wanted);
        let tags = if family == Family::V6 { &self.tags6 } else { &self.tags4 };
        array.get(at).filter(|&(host, _)| host == wanted).map_or(0, |_| tags.get(at))
    }

    /// What goes with an address that is on the list by itself.
    pub fn text(&self, address: IpAddr) -> Option<&str> {
        let tag = usize::from(self.tag(address)).checked_sub(1)?;
        self.texts.get(tag).map(|text| &**text)
    }

    fn array(&self, part: Shape, family: Family) -> Array<'_> {
        match (part, family) {
            (Shape::Hosts, Family::V4) => Array::Hosts4(&self.hosts4),
            (Shape::Nets, Family::V4) => Array::Nets4(&self.nets4),
            (Shape::Hosts, Family::V6) => Array::Hosts6(&self.hosts6),
            (Shape::Nets, Family::V6) => Array::Nets6(&self.nets6),
        }
    }

    /// The entries of a part and family, without what the mask has; those before `from` are left out, and of one
    /// that `from` lies in, what is before it.
    pub fn pieces<'a>(&'a self, part: Shape, family: Family, from: u128, masks: Masks<'a>) -> Pieces<'a> {
        let array = self.array(part, family);
        Pieces { array, at: array.from(from), mask: masks[family as usize], from, over: false }
    }

    /// Whether exactly this range is one of the pieces.
    pub fn has_piece(&self, part: Shape, range: Range, masks: Masks<'_>) -> bool {
        let (family, first) = number(range.first);
        let (_, last) = number(range.last);
        let array = self.array(part, family);
        let Some((start, _)) = array.get(array.from(first)).filter(|&(start, end)| start <= first && last <= end)
        else {
            return false;
        };
        // A piece begins where its entry does, or behind a hole.
        let mask = masks[family as usize];
        let behind = mask.partition_point(|&(_, high)| high < first).checked_sub(1).and_then(|at| mask.get(at));
        let begins = start == first || behind.is_some_and(|&(_, high)| high + 1 == first);
        begins && self.pieces(part, family, first, masks).next() == Some((first, last))
    }

    /// The entry that has the address.
    pub fn find(&self, address: IpAddr) -> Option<Range> {
        let (family, wanted) = number(address);
        [Shape::Nets, Shape::Hosts].into_iter().find_map(|part| {
            let array = self.array(part, family);
            let (first, last) = array.get(array.from(wanted)).filter(|&(first, _)| first <= wanted)?;
            Some(Range::of(family, first, last))
        })
    }

    /// Whether there is any of the family.
    pub fn has_any(&self, family: Family) -> bool {
        [Shape::Nets, Shape::Hosts].into_iter().any(|part| self.array(part, family).get(0).is_some())
    }

    /// Whether an entry has a part of the range.
    pub fn has_within(&self, range: Range) -> bool {
        let ((family, first), (_, last)) = (number(range.first), number(range.last));
        [Shape::Nets, Shape::Hosts].into_iter().any(|part| {
            let array = self.array(part, family);
            array.get(array.from(first)).is_some_and(|(start, _)| start <= last)
        })
    }

    /// Every entry, or of more than `most` about so many, evenly spread.
    pub fn spread(&self, most: u32, f: &mut dyn FnMut(Range)) {
        let step = self.size().all().div_ceil(most.max(1)).max(1) as usize;
        for (part, family) in ARRAYS {
            let array = self.array(part, family);
            let mut at = 0;
            while let Some((first, last)) = array.get(at) {
                f(Range::of(family, first, last));
                at += step;
            }
        }
    }

    /// All that these do not have, as ranges. A family of which there is nothing stays empty: a list of IPv4
    /// says nothing of IPv6.
    pub fn complement(&self) -> Entries {
        let gaps = |family: Family| {
            let (hosts, nets) =
                (self.pieces(Shape::Hosts, family, 0, [&[]; 2]), self.pieces(Shape::Nets, family, 0, [&[]; 2]));
            let mut gaps = Vec::new();
            let (mut next, mut any) = (Some(0u128), false);
            for (first, last) in merged(hosts, nets) {
                any = true;
                if let Some(start) = next
                    && start < first
                {
                    gaps.push((start, first - 1));
                }
                next = last.checked_add(1).filter(|&next| next <= family.max());
            }
            if let Some(start) = next.filter(|_| any) {
                gaps.push((start, family.max()));
            }
            gaps
        };
        let mut rest = Entries { nets6: gaps(Family::V6), ..Entries::default() };
        rest.nets4 = gaps(Family::V4).into_iter().map(|(first, last)| (first as u32, last as u32)).collect();
        rest
    }

    /// What distinguishes these from `before`, each with the masks that hold: what is to go (`false`), then what
    /// is to come, for each family of the part.
    pub fn changes(
        &self,
        masks: Masks<'_>,
        before: (&Entries, Masks<'_>),
        part: Shape,
        f: &mut dyn FnMut(bool, Range),
    ) {
        let (before, before_masks) = before;
        for family in Family::ALL {
            let old = || before.pieces(part, family, 0, before_masks);
            let new = || self.pieces(part, family, 0, masks);
            only_in_first(old(), new(), &mut |(first, last)| f(false, Range::of(family, first, last)));
            only_in_first(new(), old(), &mut |(first, last)| f(true, Range::of(family, first, last)));
        }
    }
}

/// Two ascending sequences as one.
fn merged<'a>(hosts: Pieces<'a>, nets: Pieces<'a>) -> impl Iterator<Item = (u128, u128)> + 'a {
    let (mut hosts, mut nets) = (hosts.peekable(), nets.peekable());
    std::iter::from_fn(move || match (hosts.peek(), nets.peek()) {
        (Some(host), Some(net)) if host < net => hosts.next(),
        (Some(_), None) => hosts.next(),
        _ => nets.next(),
    })
}

/// Hands on what the first ascending sequence has and the second has not.
fn only_in_first(first: Pieces<'_>, second: Pieces<'_>, f: &mut dyn FnMut((u128, u128))) {
    let mut second = second.peekable();
    for each in first {
        while second.next_if(|other| *other < each).is_some() {}
        if second.peek() != Some(&each) {
            f(each);
        }
    }
}

/// Smallest number of entries that is worth a sort while a list is read.
const LEAST: usize = 4096;

/// Entries while they are read, in any order, never many more than what may be kept of them.
#[derive(Debug)]
pub struct Builder {
    entries: Entries,
    texts: Texts,
    /// Numbers of texts, as far as there are any: beside `hosts4` and `hosts6`, and perhaps shorter.
    tags4: Vec<u16>,
    tags6: Vec<u16>,
    /// [`Size::room`] that they may have when they are sorted.
    most: u64,
    /// Entries at which they are sorted next.
    sort_at: usize,
    full: bool,
}

/// The list has more entries than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl Builder {
    /// Nothing yet, and at most so much ([`Size::room`]) when duplicates are merged.
    pub fn new(most: u64) -> Builder {
        Builder::with_texts(most, TEXTS)
    }

    /// The same with room for so many texts.
    pub fn with_texts(most: u64, texts: usize) -> Builder {
        Builder {
            entries: Entries::default(),
            texts: Texts::new(texts),
            tags4: Vec::new(),
            tags6: Vec::new(),
            most,
            sort_at: LEAST,
            full: false,
        }
    }

    /// The number by which a text goes with an address ([`Builder::tagged`]); zero for none, and for one too many.
    pub fn text(&mut self, text: &str) -> u16 {
        self.texts.number(text)
    }

    /// One more. Both ends must be of one family; where the last is below the first nothing is taken.
    pub fn take(&mut self, range: Range) {
        self.tagged(range, 0);
    }

    /// One more, and the number of the text that goes with it if it is a single address. Of an address that comes
    /// several times the lowest counts.
    pub fn tagged(&mut self, range: Range, tag: u16) {
        if self.full || range.last < range.first {
            return;
        }
        let entries = &mut self.entries;
        match (range.first, range.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first == last => {
                entries.hosts4.push(first.to_bits());
                put(&mut self.tags4, entries.hosts4.len(), tag);
            }
            (IpAddr::V4(first), IpAddr::V4(last)) => entries.nets4.push((first.to_bits(), last.to_bits())),
            (IpAddr::V6(first), IpAddr::V6(last)) if first == last => {
                entries.hosts6.push(first.to_bits());
                put(&mut self.tags6, entries.hosts6.len(), tag);
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => entries.nets6.push((first.to_bits(), last.to_bits())),
            _ => return,
        }
        let count = entries.hosts4.len() + entries.nets4.len() + entries.hosts6.len() + entries.nets6.len();
        if count < self.sort_at {
            return;
        }
        self.sort();
        let size = self.entries.size();
        self.full = size.room() > self.most;
        // Sorting costs little where half of what is sorted is new.
        self.sort_at = LEAST.max(size.all() as usize * 2);
        if self.full {
            (self.entries, self.tags4, self.tags6) = (Entries::default(), Vec::new(), Vec::new());
        }
    }

    fn sort(&mut self) {
        let Entries { hosts4, nets4, hosts6, nets6, .. } = &mut self.entries;
        merge(nets4, |last| last.checked_add(1));
        merge(nets6, |last| last.checked_add(1));
        clear_hosts(hosts4, &mut self.tags4, nets4);
        clear_hosts(hosts6, &mut self.tags6, nets6);
    }

    /// The list.
    ///
    /// # Errors
    /// [`TooMany`] if it has more than [`Builder::new`] allows.
    pub fn finish(mut self) -> Result<Entries, TooMany> {
        self.sort();
        if self.full || self.entries.size().room() > self.most {
            return Err(TooMany);
        }
        let Entries { hosts4, nets4, hosts6, nets6, texts, tags4, tags6 } = &mut self.entries;
        (*texts, *tags4, *tags6) = (self.texts.finish(), Numbers::pack(&self.tags4), Numbers::pack(&self.tags6));
        hosts4.shrink_to_fit();
        nets4.shrink_to_fit();
        hosts6.shrink_to_fit();
        nets6.shrink_to_fit();
        Ok(self.entries)
    }
}

/// Sorts ranges, and makes one of those that overlap or touch.
fn merge<N: Copy + Ord>(nets: &mut Vec<(N, N)>, after: impl Fn(N) -> Option<N>) {
    nets.sort_unstable();
    nets.dedup_by(|next, kept| {
        let touches = after(kept.1).is_none_or(|after| next.0 <= after);
        if touches {
            kept.1 = kept.1.max(next.1);
        }
        touches
    });
}

/// Puts the number of the last of so many addresses. Where none has had one, nothing is kept.
fn put(tags: &mut Vec<u16>, count: usize, tag: u16) {
    if tag != 0 {
        tags.resize(count - 1, 0);
        tags.push(tag);
    }
}

/// Sorts addresses and leaves out those that a range has.
fn clear_hosts<N: Copy + Ord>(hosts: &mut Vec<N>, tags: &mut Vec<u16>, nets: &[(N, N)]) {
    let is_free = |host: &N| {
        let above = nets.partition_point(|(first, _)| first <= host);
        above.checked_sub(1).and_then(|at| nets.get(at)).is_none_or(|(_, last)| last < host)
    };
    if tags.is_empty() {
        hosts.sort_unstable();
        hosts.dedup();
        if !nets.is_empty() {
            hosts.retain(is_free);
        }
        return;
    }
    tags.resize(hosts.len(), 0);
    let mut both: Vec<(N, u16)> = hosts.drain(..).zip(tags.drain(..)).collect();
    both.sort_unstable();
    both.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same && kept.1 == 0 {
            kept.1 = next.1;
        }
        same
    });
    both.retain(|(host, _)| is_free(host));
    hosts.extend(both.iter().map(|(host, _)| *host));
    tags.extend(both.iter().map(|(_, tag)| *tag));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const NO_MASKS: Masks<'static> = [&[]; 2];

    fn build(ranges: &[(u32, u32)], most: u64) -> Result<Entries, TooMany> {
        let mut builder = Builder::new(most);
        for &(first, last) in ranges {
            builder.take(Range::of(Family::V4, first.into(), last.into()));
        }
        builder.finish()
    }

    fn all(entries: &Entries, masks: Masks<'_>) -> BTreeSet<u128> {
        let parts = [Shape::Hosts, Shape::Nets];
        parts.into_iter().flat_map(|part| entries.pieces(part, Family::V4, 0, masks)).flat_map(|(a, b)| a..=b).collect()
    }

    #[test]
    fn the_highest_address_ends_a_range() {
        let entries = build(&[(u32::MAX - 1, u32::MAX), (u32::MAX, u32::MAX), (0, 3)], 9).unwrap();
        assert_eq!(entries.size(), Size { nets4: 2, ..Size::default() });
        assert_eq!(entries.complement().nets4, [(4, u32::MAX - 2)]);
        assert_eq!(Entries::default().complement(), Entries::default());
        let mut builder = Builder::new(9);
        builder.take(Range::of(Family::V6, 5, u128::MAX));
        let entries = builder.finish().unwrap();
        assert_eq!(entries.pieces(Shape::Nets, Family::V6, 0, [&[], &[(9, u128::MAX)]]).collect::<Vec<_>>(), [(5, 8)]);
        assert_eq!(entries.complement().nets6, [(0, 4)]);
    }

    #[test]
    fn a_list_is_never_much_larger_than_what_may_be_kept() {
        let mut builder = Builder::new(1000);
        for n in 0..1_000_000u32 {
            builder.take(Range::of(Family::V4, (n % 500).into(), (n % 500).into()));
            assert!(builder.entries.hosts4.len() <= LEAST);
        }
        assert_eq!(builder.finish().map(|entries| entries.size().hosts4), Ok(500));
        let mut builder = Builder::new(1000);
        for n in 0..1_000_000u32 {
            builder.take(Range::of(Family::V4, (2 * n).into(), (2 * n).into()));
            assert!(builder.entries.hosts4.len() <= LEAST);
        }
        assert_eq!(builder.finish(), Err(TooMany));
        assert_eq!(build(&[(1, 1), (3, 4), (1, 1)], 3).map(|entries| entries.size().all()), Ok(2));
        assert_eq!(build(&[(1, 1), (3, 4)], 2), Err(TooMany));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Against sets of numbers: what is taken is there, pieces are apart and outside the mask, changes lead
        /// from one list to the other, and an exact piece is known as one.
        #[test]
        fn entries_are_what_was_taken(
            ranges in prop::collection::vec((0u32..400, 0u32..12), 0..60),
            before in prop::collection::vec((0u32..400, 0u32..12), 0..60),
            holes in prop::collection::btree_set(0u128..420, 0..12),
            from in 0u128..420,
        ) {
            let spread = |ranges: &[(u32, u32)]| ranges.iter().map(|&(a, n)| (a, a + n / 2)).collect::<Vec<_>>();
            let (ranges, before) = (spread(&ranges), spread(&before));
            let truth = |ranges: &[(u32, u32)]| -> BTreeSet<u128> {
                ranges.iter().flat_map(|&(a, b)| u128::from(a)..=u128::from(b)).collect()
            };
            let mask: Vec<(u128, u128)> = holes.iter().filter(|hole| !holes.contains(&(**hole + 1)))
                .map(|&hole| (hole, hole)).collect();
            let masks: Masks<'_> = [&mask, &[]];
            let entries = build(&ranges, 9999).unwrap();
            prop_assert_eq!(all(&entries, NO_MASKS), truth(&ranges));
            let kept: BTreeSet<u128> = truth(&ranges).into_iter()
                .filter(|n| !mask.iter().any(|&(low, high)| (low..=high).contains(n))).collect();
            prop_assert_eq!(all(&entries, masks), kept);
            for part in [Shape::Hosts, Shape::Nets] {
                let pieces: Vec<_> = entries.pieces(part, Family::V4, 0, masks).collect();
                prop_assert!(pieces.windows(2).all(|two| two[0].1 < two[1].0));
                for first in (0u128..420).step_by(3) {
                    for last in first..(first + 14).min(420) {
                        let is = entries.has_piece(part, Range::of(Family::V4, first, last), masks);
                        prop_assert_eq!(is, pieces.contains(&(first, last)), "{}-{}", first, last);
                    }
                }
                let later: Vec<_> = pieces.iter().filter(|piece| piece.1 >= from)
                    .map(|&(a, b)| (a.max(from), b)).collect();
                prop_assert_eq!(entries.pieces(part, Family::V4, from, masks).collect::<Vec<_>>(), later);
                let old = build(&before, 9999).unwrap();
                let mut pieces: BTreeSet<_> = old.pieces(part, Family::V4, 0, NO_MASKS).collect();
                entries.changes(masks, (&old, NO_MASKS), part, &mut |come, range| {
                    let piece = (number(range.first).1, number(range.last).1);
                    let fits = if come { pieces.insert(piece) } else { pieces.remove(&piece) };
                    assert!(fits, "{piece:?}");
                });
                prop_assert_eq!(pieces, entries.pieces(part, Family::V4, 0, masks).collect());
            }
            for n in 0..420u32 {
                let found = entries.find(IpAddr::V4(Ipv4Addr::from_bits(n)));
                prop_assert_eq!(found.is_some(), truth(&ranges).contains(&n.into()));
            }
            let rest = entries.complement();
            if ranges.is_empty() {
                prop_assert!(rest.is_empty());
            } else {
                for n in 0..420u32 {
                    let address = IpAddr::V4(Ipv4Addr::from_bits(n));
                    prop_assert_eq!(rest.find(address).is_some(), entries.find(address).is_none());
                }
                prop_assert!(rest.find(IpAddr::V4(Ipv4Addr::BROADCAST)).is_some());
            }
        }
    }
}
