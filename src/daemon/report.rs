//! The report: who was dropped, by which source, from where, at which port, and what each source is good for.
//!
//! Counts a packet that the rules told of, and answers what `days` has counted, with what the ledger knows now. What it
//! looks up in the ledger is bounded, however much that holds.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Daemon;
use super::answers::{protocol_name, reason_view};
use super::clock;
use super::days::{DAYS, Host, Sample, Service, SourceDay};
use super::packets::Dropped;
use crate::control::protocol::{
    Refusal, Report, ReportAllowed, ReportDay, ReportHost, ReportPlace, ReportPort, ReportSource,
};
use crate::model::Source;
use crate::options::value;

/// Most days that can be asked for.
const DAYS_MOST: u32 = 366;

/// Days without a word about it.
const DAYS_USUAL: u32 = 7;

/// Rows of what is counted by the most frequent.
const PORTS: usize = 20;
const HOSTS: usize = 10;

/// Allowances that are looked at, and those that are told of.
const ALLOWANCES: usize = 1000;
const ALLOWED: usize = 50;

/// Look-ups of one entry in one source, for all sources together: some 10 ms of a PC, 0.1 s of a small router.
const LOOK_UPS: usize = 60_000;

/// Entries of a source that are compared at least.
const LEAST: u32 = 50;

impl Daemon {
    /// Counts a dropped packet that the rules told of.
    pub(super) fn note_dropped(&mut self, dropped: &Dropped) {
        let now = clock::now();
        let bans = |address: IpAddr| {
            let (mut by_it, mut by_others) = (false, false);
            for ban in self.ledger.bans_around(now, address.to_canonical().into()) {
                let is_it = ban.source == dropped.source;
                (by_it, by_others) = (by_it || is_it, by_others || !is_it);
            }
            (by_it, by_others)
        };
        let (from, to) = (bans(dropped.from), bans(dropped.to));
        // Rules of the owner's own are for senders alone, and in no book.
        let outgoing = !from.0 && to.0;
        let (host, others) = if outgoing { (dropped.to, to.1) } else { (dropped.from, from.1) };
        let sample = Sample {
            source: dropped.source,
            host,
            outgoing,
            service: dropped.service,
            place: self.places_of(host).next(),
            alone: !others,
        };
        self.tally.days.look(&sample, clock::wall());
    }

    /// The lists of places that have the address.
    fn places_of(&self, address: IpAddr) -> impl Iterator<Item = Source> {
        let lists = self.settings.feeds.lists.iter().filter(|list| list.is_of_places());
        lists.map(|list| list.source).filter(move |list| self.ledger.is_in_place(*list, address))
    }

    /// The answer to `report`.
    pub(super) fn report(&mut self, days: Option<u32>) -> Result<Report, Refusal> {
        let days = days.unwrap_or(DAYS_USUAL);
        if !(1..=DAYS_MOST).contains(&days) {
            return Err(Refusal::invalid(format!("days {days} is out of range; accepted: 1 to {DAYS_MOST}")));
        }
        let counters = self.kernel.counters();
        let wall = clock::wall();
        self.tally.read(&counters, wall);
        let mut report = Report { now: wall, days, kept: DAYS as u32, ..Report::default() };
        report.looks = self.settings.main.enabled && self.settings.main.report;
        report.trouble = self.own.packets.error().filter(|_| report.looks).map(Into::into);
        let mut sums = Sums::default();
        for day in self.tally.days.last(days, wall) {
            report.since.get_or_insert(u64::from(day.number) * 86_400);
            report.by_day.push(sums.add(day));
        }
        report.outgoing = sums.outgoing;
        for sum in &sums.sources {
            report.packets = report.packets.saturating_add(sum.dropped.packets);
            report.bytes = report.bytes.saturating_add(sum.dropped.bytes);
            report.bans += u64::from(sum.bans);
            report.looked += u64::from(sum.looked);
        }
        report.sources = self.report_sources(&sums.sources);
        report.placed = self.settings.feeds.lists.iter().any(|list| list.is_of_places());
        report.places = self.report_places(sums.places);
        report.unplaced = report.looked.saturating_sub(report.places.iter().map(|place| place.packets).sum());
        report.ports =
            most(sums.ports, PORTS).into_iter().map(|(service, packets)| report_port(service, packets)).collect();
        let mut hosts: Vec<(IpAddr, HostSum)> = sums.hosts.into_iter().collect();
        hosts.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.packets));
        report.hosts = hosts.iter().take(HOSTS).map(|(address, sum)| self.report_host(*address, sum)).collect();
        self.report_allowed(&mut report);
        Ok(report)
    }

    fn report_sources(&self, sums: &[SourceDay]) -> Vec<ReportSource> {
        let now: Vec<Source> = self.ledger.sources().collect();
        let gone = sums.iter().map(|sum| sum.source).filter(|source| !now.contains(source));
        let look_ups = LOOK_UPS / now.len().max(1) / (now.len() + 4);
        let most = u32::try_from(look_ups).unwrap_or(LEAST).max(LEAST);
        let row = |source: Source| {
            let sum = sums.iter().find(|sum| sum.source == source).copied().unwrap_or(SourceDay::none(source));
            let counts = self.ledger.counts(source);
            let overlap = self.ledger.overlap(clock::now(), source, most);
            ReportSource {
                name: source.name().into(),
                title: self.places(source).unwrap_or_else(|| source.title().into()),
                gone: !now.contains(&source),
                packets: sum.dropped.packets,
                bytes: sum.dropped.bytes,
                bans: sum.bans.into(),
                looked: sum.looked.into(),
                alone: sum.alone.into(),
                entries: u64::from(counts.v4) + u64::from(counts.v6) + u64::from(counts.nets),
                compared: overlap.compared.into(),
                only: overlap.alone.into(),
            }
        };
        now.iter().copied().chain(gone).map(row).collect()
    }

    fn report_places(&self, places: Vec<(Source, u64)>) -> Vec<ReportPlace> {
        let place = |(list, packets): (Source, u64)| {
            let title = self.places(list).unwrap_or_else(|| list.name().into());
            ReportPlace { list: list.name().into(), title, packets }
        };
        most(places, usize::MAX).into_iter().map(place).collect()
    }

    fn report_host(&self, address: IpAddr, sum: &HostSum) -> ReportHost {
        let verdict = self.ledger.check(clock::now(), address);
        let mut sources: Vec<String> = verdict.bans.iter().map(|ban| ban.source.to_string()).collect();
        sources.dedup();
        let service = report_port(sum.service, 0);
        ReportHost {
            address: address.to_string(),
            packets: sum.packets,
            days: sum.days,
            last: sum.last.into(),
            protocol: (sum.service.0 != 0).then_some(service.protocol),
            port: service.port,
            place: self.places_of(address).next().and_then(|list| self.places(list)),
            sources,
            reason: verdict.bans.first().map(|ban| reason_view(ban.reason)),
        }
    }

    fn report_allowed(&self, report: &mut Report) {
        self.ledger.allowed_although(clock::now(), ALLOWANCES, &mut |allowance, sources| {
            report.allowed_total += 1;
            if report.allowed.len() < ALLOWED {
                report.allowed.push(ReportAllowed {
                    address: value::written(allowance.net),
                    origin: allowance.origin.name().into(),
                    comment: Some(allowance.comment).filter(|text| !text.is_empty()).map(Into::into),
                    sources: sources.iter().map(Source::to_string).collect(),
                });
            }
        });
    }
}

fn report_port((protocol, port): Service, packets: u64) -> ReportPort {
    ReportPort { protocol: protocol_name(protocol), port: (port != 0).then_some(port), packets }
}

/// The most frequent first, at most so many.
fn most<T>(mut all: Vec<(T, u64)>, many: usize) -> Vec<(T, u64)> {
    all.sort_by_key(|(_, packets)| std::cmp::Reverse(*packets));
    all.truncate(many);
    all
}

/// What several days have counted together.
#[derive(Default)]
struct Sums {
    outgoing: u64,
    sources: Vec<SourceDay>,
    places: Vec<(Source, u64)>,
    ports: Vec<(Service, u64)>,
    hosts: BTreeMap<IpAddr, HostSum>,
}

#[derive(Default)]
struct HostSum {
    packets: u64,
    days: u32,
    last: u32,
    service: Service,
}

impl Sums {
    /// Adds a day, and says what it alone was.
    fn add(&mut self, day: &super::days::Day) -> ReportDay {
        let hours = day.hours.iter().enumerate();
        // An hour has figures where somebody counted, or what was missed meanwhile came to light.
        let hours = hours.map(
            |(hour, packets)| {
                if *packets > 0 || day.counted >> hour & 1 == 1 { i64::from(*packets) } else { -1 }
            },
        );
        let start = u64::from(day.number) * 86_400;
        let mut of_day = ReportDay { start, hours: hours.collect(), ..ReportDay::default() };
        self.outgoing += u64::from(day.outgoing);
        for each in &day.sources {
            of_day.packets = of_day.packets.saturating_add(each.dropped.packets);
            of_day.bytes = of_day.bytes.saturating_add(each.dropped.bytes);
            of_day.bans += u64::from(each.bans);
            match self.sources.iter_mut().find(|sum| sum.source == each.source) {
                Some(sum) => {
                    sum.dropped = sum.dropped.plus(each.dropped);
                    sum.bans = sum.bans.saturating_add(each.bans);
                    sum.looked = sum.looked.saturating_add(each.looked);
                    sum.alone = sum.alone.saturating_add(each.alone);
                }
                None => self.sources.push(*each),
            }
        }
        for (place, packets) in &day.places {
            count(&mut self.places, *place, *packets);
        }
        for (service, packets) in day.ports() {
            count(&mut self.ports, service, packets);
        }
        for (Host { address, last, service }, packets) in day.hosts() {
            let sum = self.hosts.entry(*address).or_default();
            sum.packets += u64::from(packets);
            sum.days += 1;
            (sum.last, sum.service) = (*last, *service);
        }
        of_day
    }
}

fn count<T: PartialEq>(all: &mut Vec<(T, u64)>, what: T, packets: u32) {
    match all.iter_mut().find(|(each, _)| *each == what) {
        Some((_, sum)) => *sum += u64::from(packets),
        None => all.push((what, packets.into())),
    }
}
