//! What was dropped, by the day, for the report: a record that does not grow.
//!
//! The kernel's counters give each source's packets and bytes; of dropped packets themselves the rules hand out a few
//! a second, and who sent them, to which port, is counted here. A day has at most [`RUNNING`] ports and hosts while it
//! runs and [`PAST`] afterwards, the most frequent: where one has lost its place to another, what is left is what was
//! surely counted. It knows no clock and touches no disk; `tally` feeds it, `keeper` keeps it, `report` reads it.

use std::net::IpAddr;

use super::count::Count;
use crate::feed::lists;
use crate::model::Source;
use crate::options::value;
use crate::whole_file::Crc;

/// Days kept.
pub const DAYS: usize = 14;

/// Ports, and hosts, that the running day tells apart.
pub const RUNNING: usize = 64;

/// The most frequent of them, which stay when it is over.
pub const PAST: usize = 24;

/// Sources of a day, and lists of places: all that a configuration may have, and some that it had earlier that day.
const SOURCES: usize = 96;
const _: () = assert!(SOURCES >= lists::settings::MOST + Source::BUILT_IN.len() + Source::CONFIGURED.len());

const DAY: u64 = 86_400;

/// What the file begins with, and its version.
const MAGIC: &[u8; 8] = b"DISWDAY1";

/// IP protocol, and port; 0 where it has none.
pub type Service = (u8, u16);

/// A dropped packet that was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Whose rule dropped it.
    pub source: Source,
    /// The banned end.
    pub host: IpAddr,
    /// It was sent from inside, to the banned host.
    pub outgoing: bool,
    /// Where it was going.
    pub service: Option<Service>,
    /// The list of a place that has the host.
    pub place: Option<Source>,
    /// No other source bans the host.
    pub alone: bool,
}

/// How often something was met. What took the place of another has `over` of its count from that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    count: u32,
    over: u32,
}

impl Times {
    /// What was surely counted.
    pub fn surely(self) -> u32 {
        self.count - self.over
    }
}

/// A host that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Who.
    pub address: IpAddr,
    /// When last, in Unix seconds.
    pub last: u32,
    /// Where to, the last time.
    pub service: Service,
}

/// A day of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceDay {
    /// Which.
    pub source: Source,
    /// What its rules dropped.
    pub dropped: Count,
    /// Bans that began.
    pub bans: u32,
    /// Dropped packets that were looked at.
    pub looked: u32,
    /// Of these, whose sender nobody else banned.
    pub alone: u32,
}

impl SourceDay {
    /// Nothing was counted.
    pub fn none(source: Source) -> SourceDay {
        SourceDay { source, dropped: Count::default(), bans: 0, looked: 0, alone: 0 }
    }
}

/// One day of the wall clock, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// Its number since 1970.
    pub number: u32,
    /// Hours in which somebody counted, a bit each.
    pub counted: u32,
    /// Packets dropped by the hour.
    pub hours: [u32; 24],
    /// Looked at that were going out.
    pub outgoing: u32,
    /// By source.
    pub sources: Vec<SourceDay>,
    /// Looked at, by lists of places.
    pub places: Vec<(Source, u32)>,
    ports: Vec<(Service, Times)>,
    hosts: Vec<(Host, Times)>,
}

impl Day {
    fn new(number: u32) -> Day {
        let (sources, places, ports, hosts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Day { number, counted: 0, hours: [0; 24], outgoing: 0, sources, places, ports, hosts }
    }

    /// Ports that packets were dropped at, the most frequent first; of what went in.
    pub fn ports(&self) -> impl Iterator<Item = (Service, u32)> {
        self.ports.iter().map(|(service, times)| (*service, times.surely())).filter(|(_, times)| *times > 0)
    }

    /// Hosts whose packets were dropped.
    pub fn hosts(&self) -> impl Iterator<Item = (&Host, u32)> {
        self.hosts.iter().map(|(host, times)| (host, times.surely())).filter(|(_, times)| *times > 0)
    }

    fn source(&mut self, source: Source) -> Option<&mut SourceDay> {
        let found = self.sources.iter().position(|each| each.source == source);
        let at = match found {
            Some(at) => at,
            None if self.sources.len() >= SOURCES => return None,
            None => {
                self.sources.push(SourceDay::none(source));
                self.sources.len() - 1
            }
        };
        self.sources.get_mut(at)
    }

    /// It is over: what was rarest goes.
    fn close(&mut self) {
        keep_most(&mut self.ports);
        keep_most(&mut self.hosts);
        self.sources.shrink_to_fit();
        self.places.shrink_to_fit();
    }
}

fn keep_most<T>(all: &mut Vec<(T, Times)>) {
    all.sort_by_key(|(_, times)| std::cmp::Reverse(times.surely()));
    all.truncate(PAST);
    all.shrink_to_fit();
}

/// The place of what `is` it; where there is none and no room, that of the rarest, which `new` takes over.
fn met<T>(all: &mut Vec<(T, Times)>, is: impl Fn(&T) -> bool, new: T) -> Option<&mut T> {
    if let Some(at) = all.iter().position(|(each, _)| is(each)) {
        let (each, times) = all.get_mut(at)?;
        times.count = times.count.saturating_add(1);
        return Some(each);
    }
    if all.len() < RUNNING {
        all.push((new, Times { count: 1, over: 0 }));
        return all.last_mut().map(|(each, _)| each);
    }
    let (each, times) = all.iter_mut().min_by_key(|(_, times)| times.count)?;
    *each = new;
    *times = Times { count: times.count.saturating_add(1), over: times.count };
    Some(each)
}

/// The record.
#[derive(Debug, Default)]
pub struct Days {
    /// In ascending order.
    days: Vec<Day>,
    changed: bool,
}

impl Days {
    /// The last `days` days up to the one that `wall` is in, the oldest first.
    pub fn last(&self, days: u32, wall: u64) -> impl Iterator<Item = &Day> {
        let today = number(wall);
        self.days.iter().filter(move |day| day.number <= today && today - day.number < days)
    }

    /// Something was counted since the last time that this was asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Somebody counts at this moment.
    pub fn note_hour(&mut self, wall: u64) {
        if let Some(day) = self.day(wall) {
            day.counted |= 1 << (wall / 3600 % 24);
        }
    }

    /// Counts what was dropped.
    pub fn drop(&mut self, source: Source, since: Count, wall: u64) {
        if since == Count::default() {
            return;
        }
        self.changed = true;
        let Some(day) = self.day(wall) else { return };
        if let Some(hour) = usize::try_from(wall / 3600 % 24).ok().and_then(|hour| day.hours.get_mut(hour)) {
            *hour = hour.saturating_add(u32::try_from(since.packets).unwrap_or(u32::MAX));
        }
        if let Some(of) = day.source(source) {
            of.dropped = of.dropped.plus(since);
        }
    }

    /// Counts bans that began.
    pub fn ban(&mut self, source: Source, bans: u32, wall: u64) {
        self.changed |= bans > 0;
        if let Some(of) = self.day(wall).and_then(|day| day.source(source)) {
            of.bans = of.bans.saturating_add(bans);
        }
    }

    /// Counts a packet that was looked at.
    pub fn look(&mut self, sample: &Sample, wall: u64) {
        self.changed = true;
        let Some(day) = self.day(wall) else { return };
        let Some(of) = day.source(sample.source) else { return };
        of.looked = of.looked.saturating_add(1);
        of.alone = of.alone.saturating_add(sample.alone.into());
        day.outgoing = day.outgoing.saturating_add(sample.outgoing.into());
        if let Some(place) = sample.place {
            let room = day.places.len() < SOURCES;
            match day.places.iter_mut().find(|(each, _)| *each == place) {
                Some((_, times)) => *times = times.saturating_add(1),
                None if room => day.places.push((place, 1)),
                None => {}
            }
        }
        if let Some(service) = sample.service.filter(|_| !sample.outgoing) {
            met(&mut day.ports, |each| *each == service, service);
        }
        let service = sample.service.unwrap_or_default();
        let new = Host { address: sample.host, last: 0, service };
        if let Some(host) = met(&mut day.hosts, |each| each.address == sample.host, new) {
            host.last = u32::try_from(wall).unwrap_or(u32::MAX);
            host.service = service;
        }
    }

    /// The day of this moment. A clock that is behind all that is kept, as it may be before it was ever set, takes
    /// nothing away: `None`.
    fn day(&mut self, wall: u64) -> Option<&mut Day> {
        let number = number(wall);
        let at = match self.days.binary_search_by_key(&number, |day| day.number) {
            Ok(at) => at,
            Err(0) if self.days.len() >= DAYS => return None,
            Err(_) => {
                self.days.iter_mut().for_each(Day::close);
                if self.days.len() >= DAYS {
                    // Of a clock that has been years ahead nothing stays for years.
                    let far = self.days.iter().enumerate().max_by_key(|(_, day)| day.number.abs_diff(number));
                    let far = far.map_or(0, |(at, _)| at);
                    self.days.remove(far);
                }
                let at = self.days.partition_point(|day| day.number < number);
                self.days.insert(at, Day::new(number));
                at
            }
        };
        self.days.get_mut(at)
    }

    /// As it is kept: packed, little-endian, with a checksum at its end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(MAGIC);
        let u32s = |out: &mut Vec<u8>, values: &[u32]| {
            values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        };
        out.push(self.days.len() as u8);
        for day in &self.days {
            // What is rare stays in memory.
            let mut day = day.clone();
            day.close();
            u32s(&mut out, &[day.number, day.counted, day.outgoing]);
            u32s(&mut out, &day.hours);
            out.extend(
                [day.sources.len(), day.places.len(), day.ports.len(), day.hosts.len()].map(|count| count as u8),
            );
            for each in &day.sources {
                put_name(&mut out, each.source);
                out.extend_from_slice(&each.dropped.packets.to_le_bytes());
                out.extend_from_slice(&each.dropped.bytes.to_le_bytes());
                u32s(&mut out, &[each.bans, each.looked, each.alone]);
            }
            for (place, times) in &day.places {
                put_name(&mut out, *place);
                u32s(&mut out, &[*times]);
            }
            for (service, times) in &day.ports {
                put_service(&mut out, *service);
                u32s(&mut out, &[times.surely()]);
            }
            for (host, times) in &day.hosts {
                match host.address {
                    IpAddr::V4(address) => {
                        out.push(4);
                        out.extend_from_slice(&address.octets());
                    }
                    IpAddr::V6(address) => {
                        out.push(6);
                        out.extend_from_slice(&address.octets());
                    }
                }
                put_service(&mut out, host.service);
                u32s(&mut out, &[host.last, times.surely()]);
            }
        }
        let mut crc = Crc::new();
        crc.add(&out);
        let sum = crc.value();
        u32s(&mut out, &[sum]);
        out
    }

    /// What was kept; `None` where it is damaged, or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Days> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let mut crc = Crc::new();
        crc.add(body);
        if crc.value().to_le_bytes() != *sum {
            return None;
        }
        let mut from = Rest(body.strip_prefix(MAGIC)?);
        let days = usize::from(from.byte()?);
        if days > DAYS {
            return None;
        }
        let mut found = Days::default();
        for _ in 0..days {
            let mut day = Day::new(from.number()?);
            (day.counted, day.outgoing) = (from.number()?, from.number()?);
            for hour in &mut day.hours {
                *hour = from.number()?;
            }
            let [sources, places, ports, hosts] = from.take::<4>()?.map(usize::from);
            // What else it may have said would be read at the wrong place.
            if sources.max(places) > SOURCES || ports.max(hosts) > PAST {
                return None;
            }
            for _ in 0..sources {
                let source = from.name()?;
                let dropped = Count { packets: from.long()?, bytes: from.long()? };
                let (bans, looked, alone) = (from.number()?, from.number()?, from.number()?);
                day.sources.push(SourceDay { source, dropped, bans, looked, alone });
            }
            for _ in 0..places {
                day.places.push((from.name()?, from.number()?));
            }
            for _ in 0..ports {
                day.ports.push((from.service()?, Times { count: from.number()?, over: 0 }));
            }
            for _ in 0..hosts {
                let address = match from.byte()? {
                    4 => IpAddr::from(from.take::<4>()?),
                    6 => IpAddr::from(from.take::<16>()?),
                    _ => return None,
                };
                let host = Host { address, service: from.service()?, last: from.number()? };
                day.hosts.push((host, Times { count: from.number()?, over: 0 }));
            }
            found.days.push(day);
        }
        found.days.is_sorted_by(|one, other| one.number < other.number).then_some(found)
    }
}

fn number(wall: u64) -> u32 {
    u32::try_from(wall / DAY).unwrap_or(u32::MAX)
}

fn put_name(out: &mut Vec<u8>, source: Source) {
    let name = source.name().as_bytes();
    out.push(name.len() as u8);
    out.extend_from_slice(name);
}

fn put_service(out: &mut Vec<u8>, (protocol, port): Service) {
    out.push(protocol);
    out.extend_from_slice(&port.to_le_bytes());
}

/// What is left to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn service(&mut self) -> Option<Service> {
        Some((self.byte()?, self.take().map(u16::from_le_bytes)?))
    }

    fn name(&mut self) -> Option<Source> {
        let length = self.byte()?;
        let (name, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        let name = value::section_name(std::str::from_utf8(name).ok()?).ok()?;
        Some(Source::named().find(|source| source.name() == name).unwrap_or_else(|| Source::list(&name)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const NOON: u64 = 20_000 * DAY + 12 * 3600;

    fn sample(host: u32, port: u16) -> Sample {
        let host = IpAddr::from(Ipv4Addr::from(host));
        Sample { source: Source::DYNFW, host, outgoing: false, service: Some((6, port)), place: None, alone: true }
    }

    fn packets(packets: u64) -> Count {
        Count { packets, bytes: packets * 40 }
    }

    #[test]
    fn a_day_says_what_was_counted_in_it() {
        let mut days = Days::default();
        days.note_hour(NOON);
        days.drop(Source::DYNFW, packets(7), NOON);
        days.drop(Source::SCAN, packets(2), NOON + 3600);
        days.ban(Source::SCAN, 3, NOON);
        days.look(&sample(1, 22), NOON);
        days.look(&Sample { outgoing: true, alone: false, ..sample(1, 443) }, NOON + 5);
        let day = days.last(1, NOON + 60).next().unwrap();
        assert_eq!((day.hours[12], day.hours[13], day.counted), (7, 2, 1 << 12));
        assert_eq!(day.sources.len(), 2);
        let dynfw = day.sources[0];
        assert_eq!((dynfw.dropped, dynfw.looked, dynfw.alone), (packets(7), 2, 1));
        // A port of what went out is none of ours.
        assert_eq!(day.ports().collect::<Vec<_>>(), [((6, 22), 1)]);
        assert_eq!(day.outgoing, 1);
        let (host, times) = day.hosts().next().unwrap();
        assert_eq!((times, host.last, host.service), (2, NOON as u32 + 5, (6, 443)));
        assert_eq!(days.last(1, NOON + DAY).count(), 0, "yesterday is not today");
        assert_eq!(days.last(2, NOON + DAY).count(), 1);
    }

    #[test]
    fn a_million_hosts_take_no_more_room_and_the_stubborn_one_stays() {
        let mut days = Days::default();
        for number in 0..1_000_000u32 {
            days.look(&sample(number, number as u16), NOON);
            if number % 20 == 0 {
                days.look(&sample(u32::MAX, 23), NOON);
            }
        }
        let day = &days.days[0];
        assert_eq!((day.hosts.len(), day.ports.len()), (RUNNING, RUNNING));
        let (host, times) = day.hosts().max_by_key(|(_, times)| *times).unwrap();
        assert_eq!(host.address, IpAddr::from(Ipv4Addr::BROADCAST));
        // Never more than there were.
        assert!((1000..=50_000).contains(&times), "{times}");
        assert!(day.hosts().map(|(_, times)| times).sum::<u32>() <= 1_050_000);
    }

    #[test]
    fn the_record_does_not_grow_and_its_file_is_small() {
        let mut days = Days::default();
        let sources: Vec<Source> = (0..6).map(|number| Source::list(&format!("list_of_day_{number}"))).collect();
        for day in 0..400u64 {
            for host in 0..200 {
                let source = sources[host as usize % 6];
                days.look(&Sample { source, place: Some(source), ..sample(host, host as u16) }, NOON + day * DAY);
                days.drop(source, packets(u64::from(host)), NOON + day * DAY);
            }
        }
        assert_eq!(days.days.len(), DAYS);
        let past: usize = days
            .days
            .iter()
            .map(|day| {
                size_of_val(&day.ports[..])
                    + size_of_val(&day.hosts[..])
                    + size_of_val(&day.sources[..])
                    + size_of_val(&day.places[..])
                    + size_of::<Day>()
            })
            .sum();
        assert!(past < 40 * 1024, "{past} bytes in memory");
        let bytes = days.to_bytes();
        assert!(bytes.len() < 20 * 1024, "{} bytes on the medium", bytes.len());
        println!("{past} bytes in memory, {} on the medium", bytes.len());
    }

    #[test]
    fn a_clock_that_jumps_by_years_costs_a_day_at_most() {
        let mut days = Days::default();
        for day in 0..DAYS as u64 {
            days.drop(Source::DYNFW, packets(1), NOON + day * DAY);
        }
        let today = NOON + (DAYS as u64 - 1) * DAY;
        // Before the clock is set nothing that is kept is given up.
        days.drop(Source::DYNFW, packets(1), 5);
        days.look(&sample(1, 22), 5);
        assert_eq!(days.last(DAYS as u32, today).count(), DAYS);
        // Ten years ahead, and back: the day of the future goes first.
        days.drop(Source::DYNFW, packets(1), today + 3650 * DAY);
        assert_eq!(days.days.len(), DAYS);
        assert_eq!(days.last(DAYS as u32, today).count(), DAYS - 1);
        for later in [today + DAY, today + 2 * DAY] {
            days.drop(Source::DYNFW, packets(1), later);
            assert_eq!(days.last(DAYS as u32, later).count(), DAYS);
        }
        days.drop(Source::DYNFW, packets(1), u64::MAX);
        assert_eq!(days.days.len(), DAYS);
    }

    #[test]
    fn what_is_kept_comes_back_and_what_is_damaged_does_not() {
        let mut days = Days::default();
        for number in 0..100 {
            days.look(&sample(number % 40, number as u16), NOON);
        }
        let v6 = IpAddr::from([0x2001u16, 0xdb8, 0, 0, 0, 0, 0, 9]);
        let list = Source::list("europe");
        days.look(&Sample { host: v6, place: Some(list), source: list, ..sample(0, 1) }, NOON + DAY);
        days.drop(list, packets(u64::MAX / 50), NOON + DAY);
        let bytes = days.to_bytes();
        let back = Days::from_bytes(&bytes).unwrap();
        assert_eq!(back.to_bytes(), bytes);
        assert_eq!(back.last(2, NOON + DAY).count(), 2);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(Days::from_bytes(&damaged).is_none(), "byte {at}");
            assert!(Days::from_bytes(&bytes[..at]).is_none(), "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            bytes.splice(..0, MAGIC.iter().copied());
            let mut crc = Crc::new();
            crc.add(&bytes);
            bytes.extend_from_slice(&crc.value().to_le_bytes());
            if let Some(mut days) = Days::from_bytes(&bytes) {
                days.drop(Source::DYNFW, packets(1), NOON);
                days.look(&sample(1, 2), NOON);
                prop_assert!(days.days.len() <= DAYS);
            }
        }
    }
}
