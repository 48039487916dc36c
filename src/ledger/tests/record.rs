//! The record: what comes back after a power cut, what clocks do to it, and what damage costs.

use super::*;
use crate::ledger::{Clocks, Record, Word, read_record, record_frame};

const WALL: u64 = 1_700_000_000;

fn clocks(boot: u32, wall: u64, second: u32) -> Clocks {
    Clocks { boot, wall, now: at(second) }
}

fn said(clocks: Clocks, by: &str, seconds: u32, what: &[&str]) -> Vec<u8> {
    let nets: Vec<IpNet> = what.iter().map(|what| net(what)).collect();
    let lifetime = if seconds == 0 { Lifetime::Forever } else { Lifetime::Seconds(seconds) };
    record_frame(clocks, Word::Ban { by, lifetime, comment: "said", nets: &nets })
}

fn recalled(bytes: &[u8], now: Clocks) -> Ledger {
    let mut ledger = Ledger::new(10_000);
    ledger.recall(now.now, read_record(bytes, now), true);
    ledger
}

/// Every ban by command: whose, what, seconds left.
fn bans(ledger: &Ledger, now: Moment) -> Vec<String> {
    let mut all = Vec::new();
    ledger.for_each_ban(now, None, &mut |ban| {
        let left = ban.end.map_or("-".into(), |end| end.since(now).to_string());
        all.push(format!("{} {} {left}", ban.by, ban.net));
    });
    all
}

#[test]
fn what_was_said_comes_back_and_what_was_taken_back_does_not() {
    let then = clocks(1, WALL, 100);
    let nets = ["203.0.113.8", "203.0.113.9"].map(net);
    let bytes = [
        said(then, "a", 1000, &["203.0.113.8", "203.0.113.9", "2001:db8::/48", "0.0.0.0/0"]),
        said(then, "b", 0, &["203.0.113.8"]),
        said(then, "c", 50, &["203.0.113.8"]),
        said(then, "d", 1000, &["203.0.113.8", "203.0.113.9"]),
        record_frame(then, Word::LetGo { by: "a", nets: &nets[1..] }),
        record_frame(then, Word::LetGo { by: "d", nets: &[] }),
        record_frame(then, Word::LetGo { by: "nobody", nets: &nets }),
        record_frame(then, Word::Allow { lifetime: Lifetime::Seconds(500), comment: "guest", nets: &nets }),
        record_frame(then, Word::Disallow(&nets[1..])),
        said(then, "a", 2000, &["2001:db8::/48"]),
    ]
    .concat();
    // Another boot, a hundred seconds later.
    let now = clocks(2, WALL + 100, 7);
    let back = recalled(&bytes, now);
    let expected = ["a 0.0.0.0/0 900", "a 203.0.113.8/32 900", "b 203.0.113.8/32 -", "a 2001:db8::/48 1900"];
    assert_eq!(bans(&back, now.now), expected);
    let allowed: Vec<_> = back.allowances(now.now).map(|each| (each.net, each.end, each.comment)).collect();
    assert_eq!(allowed, [(nets[0], Some(Moment(now.now.0 + 400)), "guest")]);
    let ban = back.check(now.now, nets[0].addr()).bans[0];
    assert_eq!((now.now.since(ban.start), ban.reason), (100, ReasonRef::Comment("said")));
}

#[test]
fn clocks_that_are_wrong_or_set() {
    // Said within boot 1 at second 100, for 1,000 s: the wall clock then; the boot's last reading of it, at
    // second 200; now; what is left.
    let table = [
        ("a right clock", WALL, None, clocks(2, WALL + 300, 5), 700),
        ("the same boot", WALL, None, clocks(1, WALL + 300, 400), 700),
        ("the same boot, the clock set by a year meanwhile", WALL - 31_536_000, None, clocks(1, WALL + 300, 400), 700),
        ("the same boot, the clock set back", WALL, None, clocks(1, WALL - 5000, 400), 700),
        ("said before the clock was set", WALL - 100 * 86_400, Some(WALL + 100), clocks(2, WALL + 300, 5), 700),
        ("the next boot has a clock of the past", WALL, None, clocks(2, 1000, 5), 1000),
        ("and the record is younger than the word", WALL, Some(WALL + 100), clocks(2, 1000, 5), 900),
        ("no clock at all, ever", 0, None, clocks(2, 0, 5), 1000),
        ("said without a clock", 0, None, clocks(2, WALL, 5), 1000),
        ("years away are a wrong clock", WALL - 3 * 31_536_000, None, clocks(2, WALL, 5), 1000),
        ("something that looks like the same boot", WALL, None, clocks(1, WALL + 300, 300_000_000), 700),
    ];
    for (name, then, last, now, left) in table {
        let mut bytes = said(clocks(1, then, 100), "a", 1000, &["203.0.113.8"]);
        bytes.extend(last.map(|wall| record_frame(clocks(1, wall, 200), Word::Clock)).unwrap_or_default());
        assert_eq!(bans(&recalled(&bytes, now), now.now), [format!("a 203.0.113.8/32 {left}")], "{name}");
    }
}

/// Twenty commands, the frames apart.
fn twenty() -> Vec<Vec<u8>> {
    (0..20).map(|n| said(clocks(1, WALL, 100), "a", 1000, &[&format!("203.0.113.{n}"), "198.51.100.0/24"])).collect()
}

#[test]
fn a_torn_tail_costs_what_was_being_said() {
    let frames = twenty();
    let (whole, now) = (frames.concat(), clocks(2, WALL, 5));
    for length in 0..=whole.len() {
        let record = read_record(&whole[..length], now);
        let mut sum = 0;
        let there = frames
            .iter()
            .take_while(|frame| {
                sum += frame.len();
                sum <= length
            })
            .count();
        let rest = length - frames[..there].iter().map(Vec::len).sum::<usize>();
        assert_eq!((record.frames, record.lost), (there, rest), "{length}");
    }
}

/// Every twelfth byte begins what looks like a frame that reaches to the end: each would be summed up, which for 4 MiB are
/// days.
#[test]
fn a_record_of_beginnings_is_given_up() {
    let mut bytes = Vec::new();
    for left in (0..4 * 1024 * 1024u32 / 12).rev() {
        bytes.extend_from_slice(b"\xd1dw1");
        bytes.extend_from_slice(&(left * 12).to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
    }
    let now = clocks(1, WALL, 1);
    assert!(bans(&recalled(&bytes, now), now.now).is_empty());
}

#[test]
fn damage_and_foreign_bytes_cost_the_frame_they_hit() {
    let frames = twenty();
    let (whole, now) = (frames.concat(), clocks(2, WALL, 5));
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x41;
        assert_eq!(read_record(&damaged, now).frames, 19, "{place}");
    }
    let foreign = [b"#!/bin/sh\nexit 0\n", &whole[..], b"\xd1dw1\xff\xff\xff\xff", &frames[0], &[0; 4096]].concat();
    assert_eq!(read_record(&foreign, now).frames, 21);
    for nothing in [&b""[..], b"config diswall 'main'\n", b"diswall\n\0\x01", &[0xff; 5000]] {
        let record = read_record(nothing, now);
        assert!(record.is_empty() && record.lost == nothing.len());
    }
}

#[test]
fn another_versions_frames_are_passed_over() {
    let mut frame = record_frame(clocks(1, WALL, 100), Word::Clock);
    frame[12] = b'z';
    let crc = {
        let mut crc = crate::whole_file::Crc::new();
        crc.add(&frame[12..]);
        crc.value()
    };
    frame[8..12].copy_from_slice(&crc.to_be_bytes());
    let bytes = [
        said(clocks(1, WALL, 100), "a", 0, &["203.0.113.8"]),
        frame,
        said(clocks(1, WALL, 100), "b", 0, &["203.0.113.9"]),
    ]
    .concat();
    let now = clocks(2, WALL, 5);
    assert_eq!(bans(&recalled(&bytes, now), now.now).len(), 2);
}

#[test]
fn version_1_is_read_for_ever() {
    let now = clocks(2, WALL + 100, 7);
    let back = recalled(include_bytes!("../../../tests/fixtures/record-v1.bin"), now);
    assert_eq!(bans(&back, now.now), bans(&recalled(&fixture().record(clocks(1, WALL, 2000)), now), now.now));
    assert_eq!(back.offences(now.now, [198, 51, 100, 4].into()), 2);
}

/// One of everything that a record can hold.
fn fixture() -> Ledger {
    let mut ledger = Ledger::new(1000);
    for (by, what, lifetime) in [
        ("owner", "203.0.113.8", Lifetime::Seconds(5000)),
        ("fail2ban/sshd", "203.0.113.8", Lifetime::Forever),
        ("fail2ban/sshd", "2001:db8:9::/48", Lifetime::Seconds(9000)),
    ] {
        ledger.hold(at(1500), by, &[net(what)], (lifetime, "grüße"), &mut |_| {}).unwrap();
    }
    let entry = Entry { net: net("192.0.2.0/24"), lifetime: Lifetime::Seconds(8000), comment: "guest".into() };
    changes(&mut ledger, at(1500), Event::Allow { origin: AllowOrigin::Command, entry });
    let reasons = [
        Reason::Port { protocol: 6, port: 23 },
        Reason::Login("dropbear".into()),
        Reason::Tagged("ssh".into()),
        Reason::Comment("kept".into()),
    ];
    for (n, reason) in (1..).zip(reasons) {
        for _ in 0..n.min(2) {
            ledger.offence(at(1500), [198, 51, 100, n].into());
        }
        let net = IpAddr::from([198, 51, 100, n]).into();
        changes(
            &mut ledger,
            at(1600),
            Event::Ban { source: Source::SCAN, net, lifetime: Lifetime::Seconds(6000), reason },
        );
    }
    ledger
}

#[test]
fn written_anew_it_says_the_same() {
    let ledger = fixture();
    let then = clocks(1, WALL, 2000);
    let back = recalled(&ledger.record(then), clocks(1, WALL, 2000));
    let (now, mut one, mut other) = (at(2000), Vec::new(), Vec::new());
    ledger.for_each_ban(now, None, &mut |ban| {
        one.push((ban.by.to_owned(), ban.net, ban.start, ban.end, ban.reason.to_reason()))
    });
    back.for_each_ban(now, None, &mut |ban| {
        other.push((ban.by.to_owned(), ban.net, ban.start, ban.end, ban.reason.to_reason()))
    });
    one.sort_by_key(|ban| (ban.1, ban.0.clone()));
    other.sort_by_key(|ban| (ban.1, ban.0.clone()));
    assert_eq!(one, other);
    assert_eq!(back.allowances(now).collect::<Vec<_>>(), ledger.allowances(now).collect::<Vec<_>>());
    for last in 1..=4 {
        let offences = |ledger: &Ledger| ledger.offences(now, [198, 51, 100, last].into());
        assert_eq!(offences(&back), offences(&ledger));
    }
    // What has ended, or was never the record's, is not in it.
    let later = at(20_000);
    let short = Ledger::new(10).record(clocks(1, WALL, 2000)).len();
    let left: Record = read_record(&ledger.record(Clocks { now: later, ..then }), Clocks { now: later, ..then });
    assert!(left.frames <= 3 && short < 40, "{} frames, {short} bytes", left.frames);
}

#[test]
fn the_routers_own_are_added_and_freed() {
    let mut ledger = Ledger::new(1000);
    for (second, n) in [(100, 1), (200, 2)] {
        ledger.offence(at(second), [198, 51, 100, n].into());
        changes(&mut ledger, at(second), ban(Source::SCAN, &format!("198.51.100.{n}"), Lifetime::Seconds(5000)));
    }
    let then = clocks(1, WALL, 300);
    assert_eq!(ledger.record_of_own(then, Some(at(200))), None);
    let hour = [ledger.record_of_own(then, Some(at(0))), ledger.record_of_own(then, Some(at(150)))].map(Option::unwrap);
    assert!(hour[1].len() < hour[0].len());
    let freed = record_frame(then, Word::Free(&[net("198.51.100.1")]));
    let now = clocks(2, WALL, 5);
    let back = recalled(&[&hour[0][..], &freed].concat(), now);
    assert_eq!(bans(&back, now.now), [" 198.51.100.2/32 4900"]);
    assert_eq!(back.offences(now.now, [198, 51, 100, 1].into()), 1, "what it did is remembered");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), cut in 0usize..400) {
        let frames = twenty().concat();
        let mixed = [&frames[..cut.min(frames.len())], &bytes, &frames].concat();
        let record = read_record(&mixed, clocks(2, WALL, 5));
        proptest::prop_assert!(record.frames >= 20);
    }

    /// Whatever stands behind a checksum that fits.
    #[test]
    fn any_body_is_read(kind in proptest::sample::select(b"cbuadsfo?".to_vec()), body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
        let body = [&[kind, 0, 0, 0, 1, 5, 5][..], &body].concat();
        let mut crc = crate::whole_file::Crc::new();
        crc.add(&body);
        let frame = [b"\xd1dw1", &(body.len() as u32).to_be_bytes()[..], &crc.value().to_be_bytes(), &body].concat();
        let now = clocks(2, WALL, 5);
        proptest::prop_assert_eq!(read_record(&frame, now).frames, 1);
        recalled(&frame, now);
    }
}

/// Makes the fixture of the current version: run once when the version changes, with `--ignored`.
#[test]
#[ignore = "writes tests/fixtures"]
fn write_fixture() {
    let path = format!("{}/tests/fixtures/record-v1.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::write(path, fixture().record(clocks(1, WALL, 2000))).unwrap();
}

/// What a day's record costs the flash: fail2ban with two jails, an owner, a router that is scanned.
#[test]
#[ignore = "prints a figure"]
fn a_days_writes() {
    let directory = tempfile::tempdir().unwrap();
    for (name, programs, own) in
        [("an owner alone", 0, 300), ("with fail2ban", 300, 300), ("a busy server", 3000, 3000)]
    {
        let mut file = crate::ledger::record_file::RecordFile::new(directory.path().join(name));
        let mut ledger = Ledger::new(262_144);
        file.replace(&ledger.record(clocks(1, WALL, 0))).unwrap();
        let mut since = at(0);
        let say = |file: &mut crate::ledger::record_file::RecordFile, ledger: &Ledger, clocks: Clocks, word: Word| {
            file.append(&record_frame(clocks, word)).unwrap();
            if file.has_grown() {
                file.replace(&ledger.record(clocks)).unwrap();
            }
        };
        for second in 0..86_400_u32 {
            let now = clocks(1, WALL + u64::from(second), second);
            ledger.expire(now.now, &mut |_, _| {});
            let due = |a_day: u32| a_day > 0 && second % (86_400 / a_day) == 0;
            let host = [IpNet::from(IpAddr::from((0x2d00_0000 + second.wrapping_mul(7919)).to_be_bytes()))];
            if due(programs) {
                let (by, lifetime) =
                    (if second % 2 == 0 { "fail2ban/sshd" } else { "fail2ban/postfix" }, Lifetime::Seconds(660));
                ledger.hold(now.now, by, &host, (lifetime, "fail2ban: sshd"), &mut |_| {}).unwrap();
                say(&mut file, &ledger, now, Word::Ban { by, lifetime, comment: "fail2ban: sshd", nets: &host });
            }
            if second >= 600 && (second - 600) % (86_400 / programs.max(1)) == 0 && programs > 0 {
                let then = second - 600;
                let host = [IpNet::from(IpAddr::from((0x2d00_0000 + then.wrapping_mul(7919)).to_be_bytes()))];
                let by = if then % 2 == 0 { "fail2ban/sshd" } else { "fail2ban/postfix" };
                ledger.let_go(now.now, by, Some(&host), &mut |_| {});
                say(&mut file, &ledger, now, Word::LetGo { by, nets: &host });
            }
            if due(5) {
                let lifetime = Lifetime::Seconds(3600);
                ledger.hold(now.now, "owner", &host, (lifetime, ""), &mut |_| {}).unwrap();
                say(&mut file, &ledger, now, Word::Ban { by: "owner", lifetime, comment: "", nets: &host });
            }
            if due(own) {
                let offence = ledger.offence(now.now, host[0].addr()).unwrap();
                let reason = Reason::Port { protocol: 6, port: 23 };
                changes(
                    &mut ledger,
                    now.now,
                    Event::Ban { source: Source::SCAN, net: host[0], lifetime: offence.lifetime, reason },
                );
            }
            if second % 3600 == 3599 {
                if let Some(frame) = ledger.record_of_own(now, Some(since)) {
                    file.append(&frame).unwrap();
                }
                since = now.now;
            }
        }
        println!("{name}: {} bytes a day in {} writes brought to the medium", file.written, file.syncs);
    }
}
