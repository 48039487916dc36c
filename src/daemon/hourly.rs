//! The past hour in numbers for DisWall, where the owner has asked for it.
//!
//! Takes stock at the wall clock's hour, and hands the result out up to a minute later, so that not all
//! routers send at once. It knows no connection; the daemon publishes what it gives.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::count::Count;
use super::tally::Tally;
use crate::feed::nats::wire::Statistics;
use crate::firewall::Counter;
use crate::model::Source;

const HOUR: u64 = 3600;

/// Longest wait after the hour, in seconds; the shortest is one.
const JITTER: u64 = 60;

/// When the next hour ends, and what waits to be sent.
pub struct Hourly {
    running: Option<Running>,
}

struct Running {
    /// Number of the hour since 1970 that is being counted.
    hour: u64,
    ends: Instant,
    ready: Option<(Instant, Statistics)>,
    uplinks: Uplinks,
}

impl Hourly {
    /// Counts nothing before [`Hourly::configure`].
    pub fn new() -> Hourly {
        Hourly { running: None }
    }

    /// Begins, goes on or ends; `wall` in Unix seconds.
    pub fn configure(&mut self, wanted: bool, wall: u64) {
        match (&self.running, wanted) {
            (None, true) => {
                let mut uplinks = Uplinks::default();
                uplinks.passed(&uplink_counts());
                self.running = Some(Running { hour: wall / HOUR, ends: hour_end(wall), ready: None, uplinks });
            }
            (Some(_), false) => self.running = None,
            _ => {}
        }
    }

    /// When [`Hourly::on_time`] is due.
    pub fn due(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        Some(running.ready.as_ref().map_or(running.ends, |(at, _)| running.ends.min(*at)))
    }

    /// Takes stock if the hour is over; gives what is to be sent now. The kernel's counters are read into
    /// the tally as the old hour's. An hour in which the wall clock jumped is left out.
    pub fn on_time(&mut self, tally: &mut Tally, counters: &[Counter], wall: u64) -> Option<Statistics> {
        let running = self.running.as_mut()?;
        let now = Instant::now();
        if running.ends <= now {
            if wall / HOUR == running.hour + 1 {
                let passed = running.uplinks.passed(&uplink_counts());
                let statistics = stock(tally, counters, running.hour, passed);
                running.ready = Some((now + Duration::from_secs(jitter()), statistics));
            }
            running.hour = wall / HOUR;
            running.ends = hour_end(wall);
        }
        running.ready.take_if(|(at, _)| *at <= now).map(|(_, statistics)| statistics)
    }
}

/// The hour of that number, all of it over.
fn stock(tally: &mut Tally, counters: &[Counter], hour: u64, passed: Count) -> Statistics {
    let end = (hour + 1) * HOUR;
    tally.read(counters, end - 1);
    let (dropped, bans) = tally.hour_of(hour);
    Statistics {
        time: end,
        banned: bans(Source::SCAN),
        packets_dropped: dropped.packets,
        bytes_dropped: dropped.bytes,
        packets_accepted: passed.packets.saturating_sub(dropped.packets),
        bytes_accepted: passed.bytes.saturating_sub(dropped.bytes),
    }
}

fn hour_end(wall: u64) -> Instant {
    Instant::now() + Duration::from_secs(HOUR - wall % HOUR)
}

fn jitter() -> u64 {
    RandomState::new().build_hasher().finish() % JITTER + 1
}

/// What came in through the devices of default routes.
#[derive(Debug, Default)]
struct Uplinks {
    last: BTreeMap<String, Count>,
}

impl Uplinks {
    /// What came since the last call; a device that is new or counts anew came into being since.
    fn passed(&mut self, counts: &BTreeMap<String, Count>) -> Count {
        let mut sum = Count::default();
        for (device, now) in counts {
            let last = self.last.get(device).copied().unwrap_or_default();
            sum = sum.plus(if now.packets < last.packets { *now } else { now.minus(last) });
        }
        self.last.clone_from(counts);
        sum
    }
}

/// Packets and bytes received by each device that a default route goes through; empty where `/proc` does
/// not say.
fn uplink_counts() -> BTreeMap<String, Count> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let devices = default_devices(&read("/proc/net/route"), &read("/proc/net/ipv6_route"));
    let mut counts = received(&read("/proc/net/dev"));
    counts.retain(|device, _| devices.contains(device));
    counts
}

/// `/proc/net/route`: device, destination, …, the mask eighth. `/proc/net/ipv6_route`: destination and its
/// length first, the device last.
fn default_devices(v4: &str, v6: &str) -> BTreeSet<String> {
    let mut devices = BTreeSet::new();
    for line in v4.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [device, "00000000", _, _, _, _, _, "00000000", ..] = fields[..] {
            devices.insert(device.to_owned());
        }
    }
    for line in v6.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if let ["00000000000000000000000000000000", "00", .., device] = fields[..]
            && device != "lo"
        {
            devices.insert(device.to_owned());
        }
    }
    devices
}

/// `/proc/net/dev`: `device: bytes packets …`, received first.
fn received(text: &str) -> BTreeMap<String, Count> {
    let line = |line: &str| {
        let (device, rest) = line.split_once(':')?;
        let mut numbers = rest.split_ascii_whitespace().map(str::parse);
        let (Some(Ok(bytes)), Some(Ok(packets))) = (numbers.next(), numbers.next()) else { return None };
        Some((device.trim().to_owned(), Count { packets, bytes }))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::days::Days;
    use super::*;
    use crate::firewall::{Family, SetKey};
    use crate::ledger::Totals;
    use crate::model::SetId;

    fn dropped(table: u64, packets: u64) -> Vec<Counter> {
        let key = SetKey { set: SetId::Ban(Source::NATS), family: Family::V4 };
        vec![Counter { key, table, packets, bytes: packets * 60 }]
    }

    #[test]
    fn an_hour_is_what_happened_in_it_across_resets() {
        let mut tally = Tally::new(10 * HOUR, &Totals::new(), Days::default(), Source::BUILT_IN.to_vec());
        tally.read(&dropped(1, 100), 10 * HOUR + 1);
        tally.count_bans(Source::SCAN, 3, 10 * HOUR + 2);
        tally.count_bans(Source::NATS, 50, 10 * HOUR + 2);
        // The firewall was restarted: its counters begin at 0 again.
        let passed = Count { packets: 1000, bytes: 100_000 };
        let statistics = stock(&mut tally, &dropped(2, 7), 10, passed);
        let expected = Statistics {
            time: 11 * HOUR,
            banned: 3,
            packets_dropped: 107,
            bytes_dropped: 107 * 60,
            packets_accepted: 893,
            bytes_accepted: 100_000 - 107 * 60,
        };
        assert_eq!(statistics, expected);
        // The next hour begins at nothing.
        tally.count_bans(Source::SCAN, 1, 11 * HOUR + 1);
        let next = stock(&mut tally, &dropped(2, 9), 11, Count::default());
        assert_eq!((next.banned, next.packets_dropped, next.packets_accepted), (1, 2, 0));
    }

    #[test]
    fn uplinks_are_the_devices_of_default_routes() {
        let v4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                  wan\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                  br-lan\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let zero = "0".repeat(32);
        let v6 = format!(
            "{zero} 00 {zero} 00 {zero} 00000400 00000001 00000000 00000003 wan6\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n"
        );
        assert_eq!(default_devices(v4, &v6), BTreeSet::from(["wan".into(), "wan6".into()]));
        let dev = "Inter-|   Receive                                                |  Transmit\n \
                   face |bytes    packets errs drop fifo frame compressed multicast|bytes\n\
                   wan: 5000 50 0 0 0 0 0 0 1 2 3 4 5 6 7 8\n  wan6:600 6 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
        let counts = received(dev);
        assert_eq!(counts.get("wan"), Some(&Count { packets: 50, bytes: 5000 }));
        let mut uplinks = Uplinks::default();
        assert_eq!(uplinks.passed(&counts), Count { packets: 56, bytes: 5600 });
        assert_eq!(uplinks.passed(&counts), Count::default());
        let anew = BTreeMap::from([("wan".to_string(), Count { packets: 4, bytes: 400 })]);
        assert_eq!(uplinks.passed(&anew), Count { packets: 4, bytes: 400 }, "the device was made anew");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nothing_is_due_unless_asked_for_and_a_jump_is_no_hour() {
        let mut hourly = Hourly::new();
        assert_eq!(hourly.due(), None);
        hourly.configure(true, 10 * HOUR + 3599);
        let mut tally = Tally::new(10 * HOUR, &Totals::new(), Days::default(), Source::BUILT_IN.to_vec());
        tokio::time::sleep_until(hourly.due().unwrap()).await;
        // NTP has set the clock meanwhile.
        assert_eq!(hourly.on_time(&mut tally, &[], 500_000 * HOUR + 3599), None);
        assert!(hourly.running.as_ref().unwrap().ready.is_none());
        tokio::time::sleep_until(hourly.due().unwrap()).await;
        let _ = hourly.on_time(&mut tally, &[], 500_001 * HOUR);
        hourly.running.as_mut().unwrap().ready.as_mut().unwrap().0 = Instant::now();
        assert_eq!(hourly.on_time(&mut tally, &[], 500_001 * HOUR).unwrap().time, 500_001 * HOUR);
        hourly.configure(false, 500_001 * HOUR);
        assert_eq!(hourly.due(), None);
    }
}
