//! The feed of scans: touches of closed ports come in, and what is held against their senders is posted.
//!
//! Joins the detector with what is known of the sender. A packet's sender may be forged, so in a flood a second one
//! is wanted, and somebody that a host here talks with must go on for a while. The daemon's `offences` calls it for
//! each touch and takes what it posts. No socket and no clock; under a flood it posts less than it sees.

use super::Settings;
use crate::bucket::Bucket;
use crate::feed::offence::{Facts, Known, Offence, Post, Sender};
use crate::ledger::Moment;
use crate::limiter;
use crate::model::Reason;

use super::{Detector, Finding, Touch};

/// Touches that are no offences and yet told: so many a second, and so many at once.
const SHOWN: Bucket = Bucket::new(2, 20);

/// So many senders within so many seconds of whom a second packet is wanted are a flood; it is over when so long
/// passes without.
const FLOOD: u32 = 50;
const FLOOD_WITHIN: u32 = 10;

/// What is known of those who touched.
pub struct Scans {
    detector: Detector,
    flood: Flood,
    shown: Bucket,
}

impl Scans {
    /// Judges by these settings.
    pub fn new(settings: &Settings) -> Scans {
        let mut scans = Scans { detector: Detector::new(settings), flood: Flood::default(), shown: SHOWN };
        scans.configure(settings);
        scans
    }

    /// Judges by other settings from now on; what was seen stays seen.
    pub fn configure(&mut self, settings: &Settings) {
        self.detector.configure(settings);
        if let Some(ports) = ephemeral_ports() {
            self.detector.set_ephemeral(ports);
        }
    }

    /// Takes a touch in. `bare`: no firewall stands before us, so that the port itself may have been served a moment
    /// ago; else a firewall refused it, and only its sibling of the other protocol tells.
    pub fn touched(
        &mut self,
        now: Moment,
        touch: &Touch,
        bare: bool,
        facts: &mut dyn Facts,
        post: &mut dyn FnMut(Post),
    ) {
        match facts.known(touch.source) {
            Known::Nothing => {}
            Known::Banned => return,
            Known::Exempt => return post(Post::Cleared(touch.source)),
        }
        if facts.was_called(touch) {
            return post(Post::Cleared(touch.source));
        }
        let element = facts.element(touch.source);
        self.detector.set_flooded(self.flood.is_on(now));
        match self.detector.touch(now, &Touch { source: element, ..*touch }) {
            Finding::Suspect => self.show(now, touch, post),
            Finding::Unconfirmed => self.wait(now, touch, post),
            // A look at the connections costs something: only for those whom it may save.
            Finding::Offence => match facts.sender(touch, bare) {
                Sender::Stranger => post(Post::Offence(offence(now, touch))),
                Sender::Served => post(Post::Cleared(touch.source)),
                Sender::Talking if self.detector.talking(now, element) => post(Post::Offence(offence(now, touch))),
                Sender::Talking => {
                    post(Post::Cleared(touch.source));
                    self.show(now, touch, post);
                }
                Sender::Unknown => self.wait(now, touch, post),
            },
        }
    }

    fn show(&mut self, now: Moment, touch: &Touch, post: &mut dyn FnMut(Post)) {
        log::debug!("scan: {} touched port {}", touch.source, touch.port);
        if self.shown.take(now.0) {
            post(Post::Sighting(offence(now, touch)));
        }
    }

    fn wait(&mut self, now: Moment, touch: &Touch, post: &mut dyn FnMut(Post)) {
        self.flood.count(now);
        post(Post::Awaited(touch.source));
    }

    /// What is wrong, as a sentence.
    pub fn trouble(&self, now: Moment) -> Option<&'static str> {
        self.flood.is_on(now).then_some(
            "a flood of packets to closed ports is on: whoever sends one alone is not banned, since most senders are \
             forged; who comes again is",
        )
    }

    /// How many sources are under suspicion.
    pub fn suspects(&self) -> usize {
        self.detector.suspects()
    }

    /// How many had to be forgotten for want of room, those first who had done least.
    pub fn forgotten(&self) -> u64 {
        self.detector.forgotten()
    }
}

fn offence(at: Moment, touch: &Touch) -> Offence {
    Offence { address: touch.source, reason: Reason::Port { protocol: touch.protocol, port: touch.port }, at }
}

/// The ports that the system sends from, where it says.
fn ephemeral_ports() -> Option<std::ops::RangeInclusive<u16>> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut bounds = text.split_whitespace().filter_map(|bound| bound.parse().ok());
    Some(bounds.next()?..=bounds.next()?)
}

/// Senders of whom a second packet was wanted.
#[derive(Debug, Default)]
struct Flood {
    /// How many since when.
    count: u32,
    since: Option<Moment>,
    /// When the last of so many came.
    last: Option<Moment>,
}

impl Flood {
    fn count(&mut self, now: Moment) {
        if !within(self.since, now) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
        if self.count >= FLOOD {
            if !self.is_on(now) {
                limiter::warn(("scan", "flood"), || "scan: a flood of packets to closed ports is on".into());
            }
            self.last = Some(now);
        }
    }

    fn is_on(&self, now: Moment) -> bool {
        within(self.last, now)
    }
}

fn within(then: Option<Moment>, now: Moment) -> bool {
    then.is_some_and(|then| now.0.saturating_sub(then.0) <= FLOOD_WITHIN)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::feed::offence::tests::All;
    use crate::feed::scan::packet::TCP;

    fn touch(host: u32, port: u16) -> Touch {
        let source = Ipv4Addr::from_bits(0xc633_6400 + host).into();
        Touch { source, protocol: TCP, port, from_port: 40_000, again: false }
    }

    fn posts(scans: &mut Scans, second: u32, touch: &Touch, mut facts: All) -> Vec<Post> {
        let mut posts = Vec::new();
        scans.touched(Moment(second), touch, false, &mut facts, &mut |post| posts.push(post));
        posts
    }

    #[test]
    fn what_is_posted_follows_from_who_the_sender_is() {
        let telnet = touch(1, 23);
        let cleared = vec![Post::Cleared(telnet.source)];
        let cases = [
            (All(Known::Nothing, false, Sender::Stranger), vec![Post::Offence(offence(Moment(9), &telnet))]),
            (All(Known::Banned, false, Sender::Stranger), vec![]),
            (All(Known::Exempt, false, Sender::Stranger), cleared.clone()),
            (All(Known::Nothing, true, Sender::Stranger), cleared.clone()),
            (All(Known::Nothing, false, Sender::Served), cleared.clone()),
            (All(Known::Nothing, false, Sender::Unknown), vec![Post::Awaited(telnet.source)]),
            (
                All(Known::Nothing, false, Sender::Talking),
                vec![cleared[0].clone(), Post::Sighting(offence(Moment(9), &telnet))],
            ),
        ];
        for (facts, expected) in cases {
            let mut scans = Scans::new(&Settings::default());
            assert_eq!(posts(&mut scans, 9, &telnet, facts), expected);
        }
    }

    #[test]
    fn whoever_is_exempt_or_banned_leaves_no_mark() {
        let mut scans = Scans::new(&Settings::default());
        for known in [Known::Banned, Known::Exempt] {
            for port in 50_000..50_100 {
                posts(&mut scans, 9, &touch(1, port), All(known, false, Sender::Stranger));
            }
        }
        assert_eq!(scans.suspects(), 0);
    }

    #[test]
    fn sightings_are_told_sparingly() {
        let mut scans = Scans::new(&Settings::default());
        let mut told = |second| {
            let stranger =
                |host| posts(&mut scans, second, &touch(host, 50_000), All(Known::Nothing, false, Sender::Stranger));
            (0..100).flat_map(stranger).filter(|post| matches!(post, Post::Sighting(_))).count()
        };
        assert_eq!([told(1), told(2)], [20, 2]);
    }

    #[test]
    fn a_flood_wants_a_second_packet_of_everybody_until_it_is_over() {
        let mut scans = Scans::new(&Settings::default());
        let stranger = || All(Known::Nothing, false, Sender::Stranger);
        let is_offence = |posts: &[Post]| matches!(posts, [Post::Offence(_)]);
        // A hundred at once are believed, and so many more make a flood.
        let offences = (0..149).filter(|host| is_offence(&posts(&mut scans, 1, &touch(*host, 23), stranger()))).count();
        assert_eq!((offences, scans.trouble(Moment(1))), (100, None));
        posts(&mut scans, 1, &touch(149, 23), stranger());
        assert!(scans.trouble(Moment(1)).is_some());
        // By then the bucket is full again.
        let first = touch(1000, 23);
        assert_eq!(posts(&mut scans, 11, &first, stranger()), [Post::Awaited(first.source)]);
        assert!(is_offence(&posts(&mut scans, 11, &first, stranger())));
        assert_eq!(scans.trouble(Moment(30)), None);
        assert!(is_offence(&posts(&mut scans, 30, &touch(1001, 23), stranger())));
    }
}
