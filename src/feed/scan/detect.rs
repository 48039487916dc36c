//! When touching closed ports is an offence: at once at the ports that matter, and only after several
//! packets at the high ones, where late packets of forgotten connections arrive.
//!
//! Pure: touches and the time go in, findings come out. Bounded in memory, and in the number of bans it
//! asks for, since sources can be forged. `scans` calls it, and asks first who is exempt or banned already.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::packet::Touch;
use super::settings::Settings;
use crate::bucket::Bucket;
use crate::feed::login::Attempts;
use crate::feed::login::attempts::{Limit, room};
use crate::ledger::Moment;
use crate::options::value::PortRange;

/// Seconds within which packets to high ports count together, and within which the second packet that a
/// flood calls for must come (docs/protocols.md, section 2).
const WINDOW: u32 = 3600;

/// Counts that never are too many: the detector decides.
const COUNTED: Limit = Limit { attempts: u32::MAX, window: Duration::from_secs(WINDOW as u64) };

/// What is counted of a source: packets to high ports, and what would have been an offence but for a flood.
const HIGH: u16 = 0;
const UNCONFIRMED: u16 = 1;

/// Bans on a single packet: so many a second, and so many at once. As the kernel's own (`rules::scan`),
/// so that the two agree on when a flood begins.
const AT_ONCE: Bucket = Bucket::new(20, 100);

/// Bans on a second packet, in a flood. Forging every source twice gets no further than this.
const CONFIRMED: Bucket = Bucket::new(50, 500);

/// A host that somebody here talks with offends by so many touches, each so many seconds after the one before:
/// whoever forges its packets would have to go on, and gets no connection of the inside's ended by it.
const TALKING_TOUCHES: u8 = 3;
const TALKING_PAUSE: u32 = 10;

/// Such hosts remembered.
const TALKING: usize = 256;

/// Linux's own choice, where the system does not say.
const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;

/// What a touch amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A scan: to be banned.
    Offence,
    /// Not yet: it takes more packets to such a port.
    Suspect,
    /// It would be one, but so many come now that the source may be forged: it takes a second packet.
    Unconfirmed,
}

/// See the module's head.
#[derive(Debug)]
pub struct Detector {
    honeypots: Vec<PortRange>,
    high_port: u16,
    /// From which the router's own flows get their ports, where late packets arrive.
    ephemeral: RangeInclusive<u16>,
    /// Packets before the one that offends at a high port.
    before: usize,
    /// What those have done who have not offended yet. Who has done least gives way.
    suspects: Attempts,
    /// Touches of hosts that somebody talks with, and when the last one counted.
    talking: HashMap<IpAddr, (u8, u32)>,
    at_once: Bucket,
    confirmed: Bucket,
    /// Nobody is banned on a single packet.
    flooded: bool,
}

impl Detector {
    /// Judges by these settings. Memory bounds how many suspects are remembered.
    pub fn new(settings: &Settings) -> Detector {
        Detector::with_room(settings, room())
    }

    fn with_room(settings: &Settings, room: usize) -> Detector {
        let mut detector = Detector {
            honeypots: Vec::new(),
            high_port: 0,
            ephemeral: EPHEMERAL,
            before: 0,
            suspects: Attempts::new(room),
            talking: HashMap::new(),
            at_once: AT_ONCE,
            confirmed: CONFIRMED,
            flooded: false,
        };
        detector.configure(settings);
        detector
    }

    /// Judges by other settings from now on; what was seen stays seen.
    pub fn configure(&mut self, settings: &Settings) {
        self.honeypots.clone_from(&settings.honeypot_ports);
        self.high_port = settings.high_port;
        self.before = settings.high_port_packets.saturating_sub(1) as usize;
    }

    /// Whether a flood is on, in which most senders are forged: then every ban wants a second packet.
    pub fn set_flooded(&mut self, flooded: bool) {
        self.flooded = flooded;
    }

    /// The ports from which the router's own flows are sent.
    pub fn set_ephemeral(&mut self, ports: RangeInclusive<u16>) {
        self.ephemeral = ports;
    }

    /// How many sources are under suspicion, those included whose packets no longer count.
    pub fn suspects(&self) -> usize {
        self.suspects.remembered()
    }

    /// How many had to be forgotten for want of room, those first who had done least.
    pub fn forgotten(&self) -> u64 {
        self.suspects.forgotten()
    }

    /// Judges one touch. An offender is no suspect any more: what it does later is judged anew.
    pub fn touch(&mut self, now: Moment, touch: &Touch) -> Finding {
        let finding = self.judge(now, touch);
        if finding == Finding::Offence {
            self.suspects.remove_pair(touch.source, HIGH);
            self.suspects.remove_pair(touch.source, UNCONFIRMED);
        }
        finding
    }

    /// Judges the offence of a host that somebody here talks with: whether it has touched often enough, and
    /// over time.
    pub fn talking(&mut self, now: Moment, source: IpAddr) -> bool {
        let recent = |then: u32| now.0.saturating_sub(then) < WINDOW;
        if self.talking.len() >= TALKING && !self.talking.contains_key(&source) {
            self.talking.retain(|_, (_, then)| recent(*then));
            // One more or less of those that come and go is no matter.
            let one = self.talking.keys().next().copied().filter(|_| self.talking.len() >= TALKING);
            one.and_then(|one| self.talking.remove(&one));
        }
        let (count, then) = self.talking.entry(source).or_insert((0, 0));
        if *count > 0 && now.0.saturating_sub(*then) < TALKING_PAUSE {
            return false;
        }
        (*count, *then) = (if recent(*then) { *count + 1 } else { 1 }, now.0);
        let offends = *count >= TALKING_TOUCHES;
        if offends {
            self.talking.remove(&source);
        }
        offends
    }

    fn judge(&mut self, now: Moment, touch: &Touch) -> Finding {
        let Touch { source, .. } = *touch;
        let high = self.suspects.count(now, source, HIGH, COUNTED.window);
        let is_ephemeral = self.ephemeral.contains(&touch.port);
        let before = if is_ephemeral { self.before.max(1) } else { self.before };
        let harmless = before > 0 && !self.is_honeypot(touch.port) && (is_ephemeral || touch.port >= self.high_port);
        if harmless && high < before {
            self.suspects.fail(now, source, HIGH, 1, COUNTED);
            return Finding::Suspect;
        }
        let again = touch.again || self.suspects.count(now, source, UNCONFIRMED, COUNTED.window) > 0;
        if !self.flooded && self.at_once.take(now.0) || again && self.confirmed.take(now.0) {
            return Finding::Offence;
        }
        // With what it did at high ports: who has done most is remembered longest.
        self.suspects.fail(now, source, UNCONFIRMED, high as u32 + 1, COUNTED);
        Finding::Unconfirmed
    }

    fn is_honeypot(&self, port: u16) -> bool {
        self.honeypots.iter().any(|range| (range.first..=range.last).contains(&port))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::feed::scan::packet::{TCP, UDP};

    fn from(source: u32, port: u16) -> Touch {
        let source = Ipv4Addr::from_bits(0xc633_6400 + source).into();
        Touch { source, protocol: TCP, port, from_port: 40_000, again: false }
    }

    fn at(seconds: u32) -> Moment {
        Moment(Moment::BOOT.0 + seconds)
    }

    #[test]
    fn diswalls_port_rules() {
        let (offence, suspect) = (Finding::Offence, Finding::Suspect);
        type Case = (&'static str, &'static [(u32, u16)], Finding);
        let cases: [Case; 10] = [
            ("telnet", &[(0, 23)], offence),
            ("port 0", &[(0, 0)], offence),
            ("a honeypot port", &[(0, 3389)], offence),
            ("another low port", &[(0, 32_767)], offence),
            ("a port of the router's own flows", &[(0, 32_768)], suspect),
            ("a high port", &[(0, 49_152)], suspect),
            ("twice", &[(0, 49_152), (1, 65_535)], suspect),
            ("the third", &[(0, 49_152), (1, 65_535), (3599, 50_000)], offence),
            ("the third, too late", &[(0, 49_152), (1, 65_535), (3600, 50_000)], suspect),
            ("the third within any hour", &[(0, 50_000), (1800, 50_001), (3700, 50_002), (3800, 50_003)], offence),
        ];
        for (name, touches, expected) in cases {
            let mut detector = Detector::new(&Settings::default());
            let last = touches.iter().map(|(time, port)| detector.touch(at(*time), &from(1, *port))).last();
            assert_eq!(last, Some(expected), "{name}");
        }
    }

    #[test]
    fn settings_decide() {
        let honeypot_ports = vec![PortRange { first: 60_000, last: 60_001 }];
        let mut settings = Settings { honeypot_ports, high_port: 1024, high_port_packets: 2, ..Settings::default() };
        let mut detector = Detector::new(&settings);
        let mut touch = |source, port| detector.touch(at(0), &Touch { protocol: UDP, ..from(source, port) });
        assert_eq!(touch(1, 60_001), Finding::Offence, "a honeypot among the high ports");
        assert_eq!(touch(2, 1023), Finding::Offence);
        assert_eq!([touch(3, 1024), touch(3, 1024)], [Finding::Suspect, Finding::Offence]);
        settings.high_port_packets = 1;
        detector.configure(&settings);
        assert_eq!(detector.touch(at(0), &from(4, 20_000)), Finding::Offence);
        let once = [40_000, 40_001].map(|port| detector.touch(at(0), &from(5, port)));
        assert_eq!(once, [Finding::Suspect, Finding::Offence], "never at one packet");
        assert_eq!(detector.suspects(), 0);
    }

    #[test]
    fn whom_somebody_talks_with_must_go_on_for_a_while() {
        let mut detector = Detector::new(&Settings::default());
        let one = from(1, 22).source;
        let mut judged = |seconds: u32| detector.talking(at(seconds), one);
        assert_eq!([0, 1, 5, 9, 10, 11, 19].map(&mut judged), [false; 7]);
        assert!(judged(20), "the third after two pauses");
        assert_eq!([30, 40, 40 + 3600, 4000].map(&mut judged), [false; 4], "and anew");
        for source in 2..5000 {
            detector.talking(at(5000), from(source, 22).source);
        }
        assert!(detector.talking.len() <= TALKING);
    }

    #[test]
    fn in_a_flood_who_comes_twice_in_a_moment_is_told_from_the_crowd() {
        let mut detector = Detector::new(&Settings::default());
        for source in 0..1000 {
            detector.touch(at(0), &from(source, 22));
        }
        assert_eq!(detector.touch(at(0), &Touch { again: true, ..from(2000, 22) }), Finding::Offence);
        assert_eq!(detector.touch(at(0), &from(2001, 22)), Finding::Unconfirmed);
        detector.set_flooded(true);
        assert_eq!(detector.touch(at(60), &from(2002, 22)), Finding::Unconfirmed);
        detector.set_flooded(false);
        assert_eq!(detector.touch(at(60), &from(2003, 22)), Finding::Offence, "the flood is over");
    }

    #[test]
    fn in_a_flood_a_second_packet_is_wanted() {
        let mut detector = Detector::new(&Settings::default());
        for source in 0..100 {
            assert_eq!(detector.touch(at(0), &from(source, 22)), Finding::Offence);
        }
        assert_eq!(detector.touch(at(0), &from(100, 22)), Finding::Unconfirmed);
        assert_eq!(detector.touch(at(0), &from(100, 22)), Finding::Offence, "it was no one-off");
        for source in 101..200_000 {
            assert_eq!(detector.touch(at(0), &from(source, 22)), Finding::Unconfirmed);
        }
        assert!(detector.suspects() <= room());
        let after = (300_000..301_000).filter(|source| detector.touch(at(1), &from(*source, 22)) == Finding::Offence);
        assert_eq!(after.count(), 20, "a second later");
    }

    /// As on a router with 64 MB.
    fn small() -> Detector {
        Detector::with_room(&Settings::default(), 6990)
    }

    #[test]
    fn a_botnet_of_3000_in_turn_is_banned_to_the_last() {
        let mut detector = small();
        detector.at_once = Bucket::new(20, 3000);
        let rounds = (0..3).flat_map(|_| 0..3000);
        let banned = rounds.filter(|bot| detector.touch(at(0), &from(*bot, 50_000)) == Finding::Offence).count();
        assert_eq!((banned, detector.suspects(), detector.forgotten()), (3000, 0, 0));
    }

    /// 500 forged senders a second, as many as the kernel tells of, each with one packet, for half a minute; a
    /// botnet of 3,000 that has touched twice before; and amid it a scanner of 40 ports, all of them high.
    #[test]
    fn a_flood_of_forged_sources_hides_neither_a_botnet_nor_a_scanner() {
        let mut detector = small();
        for bot in (0..3000).chain(0..3000) {
            assert_eq!(detector.touch(at(0), &from(bot, 50_000)), Finding::Suspect);
        }
        detector.set_flooded(true);
        let (mut forged, mut scanner) = (0, Vec::new());
        for second in 1..=30 {
            for _ in 0..500 {
                forged += 1;
                let port = if forged % 2 == 0 { 22 } else { 50_000 };
                assert_ne!(detector.touch(at(second), &from(10_000 + forged, port)), Finding::Offence);
            }
            if second == 15 {
                scanner.extend((0..40).map(|port| detector.touch(at(second), &from(9_000, 49_200 + port))));
            }
        }
        let banned = scanner.iter().position(|finding| *finding == Finding::Offence);
        assert_eq!(banned, Some(3), "two that may be late ones, one that may be forged, and the next");
        assert!(detector.forgotten() > 5000 && detector.suspects() <= 6990);
        detector.set_flooded(false);
        detector.at_once = Bucket::new(20, 3000);
        let banned = (0..3000).filter(|bot| detector.touch(at(31), &from(*bot, 50_000)) == Finding::Offence).count();
        assert_eq!(banned, 3000, "whom it had seen twice it has not forgotten for those it saw once");
    }

    #[test]
    fn a_flood_that_sends_everything_twice_is_bounded_too() {
        let mut detector = Detector::new(&Settings::default());
        let mut bans = 0;
        for second in 0..10 {
            for source in 0..5000 {
                let touch = from(second * 5000 + source, 22);
                bans += [detector.touch(at(second), &touch), detector.touch(at(second), &touch)]
                    .into_iter()
                    .filter(|finding| *finding == Finding::Offence)
                    .count();
            }
        }
        assert!(bans <= 100 + 500 + 10 * (20 + 50), "{bans}");
    }

    /// The rules said once more, without bounds and cleverness.
    #[derive(Default)]
    struct Naive {
        high: Vec<(IpAddr, u32)>,
        unconfirmed: Vec<(IpAddr, u32)>,
        bans: Vec<u32>,
    }

    impl Naive {
        /// Few enough bans that no bucket runs dry within the test, unless `dry`.
        fn touch(&mut self, now: u32, touch: &Touch, dry: bool) -> Finding {
            let recent = |list: &[(IpAddr, u32)]| {
                list.iter().filter(|(source, then)| *source == touch.source && now - then < 3600).count()
            };
            if touch.port >= 49_152 && recent(&self.high) < 2 {
                self.high.push((touch.source, now));
                return Finding::Suspect;
            }
            if dry && recent(&self.unconfirmed) == 0 {
                self.unconfirmed.push((touch.source, now));
                return Finding::Unconfirmed;
            }
            self.bans.push(now);
            self.high.retain(|(source, _)| *source != touch.source);
            self.unconfirmed.retain(|(source, _)| *source != touch.source);
            Finding::Offence
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_model(
            steps in proptest::collection::vec((0_u32..4000, 0_u32..6, prop_oneof![Just(22_u16), Just(50_000)]), 1..80),
            dry in any::<bool>(),
        ) {
            let mut detector = Detector::new(&Settings::default());
            if dry {
                detector.at_once = Bucket::new(0, 0);
            }
            let (mut naive, mut now) = (Naive::default(), Moment::BOOT.0);
            for (later, source, port) in steps {
                now += later;
                let touch = from(source, port);
                prop_assert_eq!(detector.touch(Moment(now), &touch), naive.touch(now, &touch, dry));
            }
        }
    }
}
