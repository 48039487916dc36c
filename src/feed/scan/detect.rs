//! When touching closed ports is an offence: at once at the ports that matter, and only after several
//! packets at the high ones, where late packets of forgotten connections arrive.
//!
//! Pure: touches and the time go in, findings come out. Bounded in memory, and in the number of bans it
//! asks for, since sources can be forged. The daemon's `eyes` calls it and asks the ledger first who is
//! exempt or banned already.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::packet::Touch;
use crate::config::{PortRange, Scan};
use crate::ledger::Moment;

/// Sources remembered that have not offended yet; the oldest give way.
pub const SUSPECTS: usize = 4096;

/// Seconds within which packets to high ports count together, and within which the second packet that a
/// flood calls for must come (docs/protocols.md, section 2).
const WINDOW: u32 = 3600;

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
    suspects: HashMap<IpAddr, Suspect>,
    /// Touches of hosts that somebody talks with, and when the last one counted.
    talking: HashMap<IpAddr, (u8, u32)>,
    /// Suspects by age. An entry whose number is no longer the suspect's own is void.
    ages: VecDeque<(u32, IpAddr)>,
    next_number: u32,
    at_once: Bucket,
    confirmed: Bucket,
    /// Nobody is banned on a single packet.
    flooded: bool,
}

#[derive(Debug)]
struct Suspect {
    number: u32,
    /// When it touched high ports, oldest first: the last [`Detector::before`] at most.
    touches: Vec<u32>,
    /// When it would have offended, in a flood.
    unconfirmed: Option<u32>,
}

impl Detector {
    /// Judges by these settings.
    pub fn new(settings: &Scan) -> Detector {
        let mut detector = Detector {
            honeypots: Vec::new(),
            high_port: 0,
            ephemeral: EPHEMERAL,
            before: 0,
            suspects: HashMap::new(),
            talking: HashMap::new(),
            ages: VecDeque::new(),
            next_number: 0,
            at_once: AT_ONCE,
            confirmed: CONFIRMED,
            flooded: false,
        };
        detector.configure(settings);
        detector
    }

    /// Judges by other settings from now on; what was seen stays seen.
    pub fn configure(&mut self, settings: &Scan) {
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
        self.suspects.len()
    }

    /// Judges one touch. An offender is no suspect any more: what it does later is judged anew.
    pub fn touch(&mut self, now: Moment, touch: &Touch) -> Finding {
        let finding = self.judge(now.0, touch);
        if finding == Finding::Offence {
            self.suspects.remove(&touch.source);
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

    fn judge(&mut self, now: u32, touch: &Touch) -> Finding {
        let recent = |then: u32| now.saturating_sub(then) < WINDOW;
        let is_ephemeral = self.ephemeral.contains(&touch.port);
        let before = if is_ephemeral { self.before.max(1) } else { self.before };
        let harmless = before > 0 && !self.is_honeypot(touch.port) && (is_ephemeral || touch.port >= self.high_port);
        if harmless {
            let suspect = self.suspect(touch.source);
            suspect.touches.retain(|then| recent(*then));
            if suspect.touches.len() < before {
                suspect.touches.push(now);
                return Finding::Suspect;
            }
        }
        let unconfirmed = self.suspects.get(&touch.source).and_then(|suspect| suspect.unconfirmed);
        let again = touch.again || unconfirmed.is_some_and(recent);
        if !self.flooded && self.at_once.take(now) || again && self.confirmed.take(now) {
            return Finding::Offence;
        }
        self.suspect(touch.source).unconfirmed = Some(now);
        Finding::Unconfirmed
    }

    fn is_honeypot(&self, port: u16) -> bool {
        self.honeypots.iter().any(|range| (range.first..=range.last).contains(&port))
    }

    /// The source's entry, made if need be, for which the oldest gives way.
    fn suspect(&mut self, source: IpAddr) -> &mut Suspect {
        if !self.suspects.contains_key(&source) {
            self.make_room();
            self.ages.push_back((self.next_number, source));
        }
        let number = self.next_number;
        self.suspects.entry(source).or_insert_with(|| {
            self.next_number = number.wrapping_add(1);
            Suspect { number, touches: Vec::new(), unconfirmed: None }
        })
    }

    fn make_room(&mut self) {
        while self.suspects.len() >= SUSPECTS {
            let Some((number, source)) = self.ages.pop_front() else { return };
            if self.suspects.get(&source).is_some_and(|suspect| suspect.number == number) {
                self.suspects.remove(&source);
            }
        }
        if self.ages.len() >= 2 * SUSPECTS {
            let suspects = &self.suspects;
            self.ages.retain(|(number, source)| suspects.get(source).is_some_and(|each| each.number == *number));
        }
    }
}

/// So many a second, and so many at once.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: u32,
    most: u32,
    level: u32,
    /// The second up to which the level counts; `None` before the first use.
    filled: Option<u32>,
}

impl Bucket {
    /// Full.
    pub const fn new(rate: u32, most: u32) -> Bucket {
        Bucket { rate, most, level: most, filled: None }
    }

    /// Takes one out, if there is one. `now` in seconds.
    pub fn take(&mut self, now: u32) -> bool {
        let passed = now.saturating_sub(self.filled.unwrap_or(now));
        self.filled = Some(self.filled.unwrap_or(now).max(now));
        self.level = self.level.saturating_add(passed.saturating_mul(self.rate)).min(self.most);
        let left = self.level.checked_sub(1);
        self.level = left.unwrap_or(0);
        left.is_some()
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
            let mut detector = Detector::new(&Scan::default());
            let last = touches.iter().map(|(time, port)| detector.touch(at(*time), &from(1, *port))).last();
            assert_eq!(last, Some(expected), "{name}");
        }
    }

    #[test]
    fn settings_decide() {
        let honeypot_ports = vec![PortRange { first: 60_000, last: 60_001 }];
        let mut settings = Scan { honeypot_ports, high_port: 1024, high_port_packets: 2, ..Scan::default() };
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
        let mut detector = Detector::new(&Scan::default());
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
        let mut detector = Detector::new(&Scan::default());
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
        let mut detector = Detector::new(&Scan::default());
        for source in 0..100 {
            assert_eq!(detector.touch(at(0), &from(source, 22)), Finding::Offence);
        }
        assert_eq!(detector.touch(at(0), &from(100, 22)), Finding::Unconfirmed);
        assert_eq!(detector.touch(at(0), &from(100, 22)), Finding::Offence, "it was no one-off");
        for source in 101..200_000 {
            assert_eq!(detector.touch(at(0), &from(source, 22)), Finding::Unconfirmed);
        }
        assert_eq!(detector.suspects(), SUSPECTS);
        assert!(detector.ages.len() <= 2 * SUSPECTS);
        assert_eq!(detector.touch(at(0), &from(101, 22)), Finding::Unconfirmed, "the oldest gave way");
        assert_eq!(detector.touch(at(0), &from(199_999, 22)), Finding::Offence, "the newest did not");
        let after = (1000..2000).filter(|source| detector.touch(at(1), &from(*source, 22)) == Finding::Offence).count();
        assert_eq!(after, 20, "a second later");
    }

    #[test]
    fn a_flood_that_sends_everything_twice_is_bounded_too() {
        let mut detector = Detector::new(&Scan::default());
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
            let mut detector = Detector::new(&Scan::default());
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
