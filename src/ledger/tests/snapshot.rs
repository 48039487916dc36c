//! The snapshot: what comes back, what clocks do to it, and what is done with what is none.

use super::*;
use crate::ledger::snapshot_file::{self, Found};

const WALL: u64 = 1_700_000_000;

fn saved(ledger: &Ledger, now: Moment, wall: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let totals = Totals::from([("dynfw packets".into(), 12), ("nats bytes".into(), u64::MAX)]);
    ledger.save(now, wall, true, &totals, &mut bytes).unwrap();
    bytes
}

fn restored(bytes: &[u8], now: Moment, wall: Option<u64>) -> Result<Restored, SnapshotError> {
    Ledger::restore(&mut { bytes }, now, wall, 100_000)
}

/// One of everything that a snapshot can hold.
fn small() -> Ledger {
    let mut ledger = Ledger::new(1000);
    let reasons = [
        Reason::Listed,
        Reason::Announced,
        Reason::Tagged("ssh".into()),
        Reason::Port { protocol: 17, port: 53 },
        Reason::Login("dropbear".into()),
        Reason::Comment("".into()),
        Reason::Tagged("ssh".into()),
    ];
    for (n, reason) in (0u32..).zip(reasons) {
        for (source, v6) in [(Source::DYNFW, false), (Source::NATS, true), (Source::SCAN, false)] {
            let lifetime = if n % 2 == 0 { Lifetime::Forever } else { Lifetime::Seconds(1000 * n) };
            let address: IpAddr = if v6 {
                Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n)).into()
            } else {
                Ipv4Addr::from_bits(0xc633_6400 + n).into()
            };
            let event = Event::Ban { source, net: address.into(), lifetime, reason: reason.clone() };
            changes(&mut ledger, at(100 * n), event);
        }
    }
    // The kept files have a line feed in it, from days when that was let in; it is cleaned when it is read.
    let comment = || Reason::Comment("grüße \"quoted\"and more".into());
    for (what, lifetime) in [("198.51.0.0/16", Lifetime::Forever), ("2001:db8::/48", Lifetime::Seconds(77))] {
        let event = Event::Ban { source: Source::MANUAL, net: net(what), lifetime, reason: comment() };
        changes(&mut ledger, at(700), event);
    }
    for origin in [AllowOrigin::Command, AllowOrigin::Nats] {
        let entry = Entry { net: net("203.0.113.0/25"), lifetime: Lifetime::Seconds(500), comment: "office".into() };
        changes(&mut ledger, at(700), Event::Allow { origin, entry });
    }
    for seen in 0..3 {
        assert_eq!(ledger.offence(at(700), [203, 0, 114, 1].into()).map(|offence| offence.seen), Some(seen));
    }
    ledger
}

/// Everything that can be asked, as text.
fn contents(ledger: &Ledger, now: Moment) -> Vec<String> {
    let mut all = Vec::new();
    ledger.for_each_ban(now, None, &mut |ban| all.push(format!("{ban:?}")));
    all.extend(ledger.allowances(now).map(|allowance| format!("{allowance:?}")));
    for set in SetId::of(&Source::BUILT_IN) {
        all.extend(elements(ledger, set, now).into_iter().map(|element| format!("{set:?} {element}")));
    }
    all.sort();
    all
}

#[test]
fn what_is_saved_comes_back() {
    for mut ledger in [Ledger::new(10), small(), held(), crowd()] {
        let now = at(1110);
        ledger.expire(now, &mut |_, _| {});
        let back = restored(&saved(&ledger, now, WALL), now, Some(WALL)).unwrap();
        assert_eq!(contents(&back.ledger, now), contents(&ledger, now));
        assert_eq!(back.totals.get("nats bytes"), Some(&u64::MAX));
        assert_eq!(back.away, Some(0));
        for source in Source::BUILT_IN {
            assert_eq!(back.ledger.counts(source), ledger.counts(source));
        }
        assert_eq!(back.ledger.next_expiry().is_some(), ledger.next_expiry().is_some());
    }
}

#[test]
fn offenders_are_remembered_and_ucis_lists_are_not() {
    let mut ledger = small();
    let list = vec![Entry { net: net("192.0.2.0/24"), lifetime: Lifetime::Forever, comment: "from UCI".into() }];
    changes(&mut ledger, at(700), Event::BlockList { list: list.clone() });
    changes(&mut ledger, at(700), Event::AllowList { origin: AllowOrigin::Config, list });
    let mut back = restored(&saved(&ledger, at(700), WALL), at(50), Some(WALL + 60)).unwrap().ledger;
    assert_eq!(back.offences(at(50), [203, 0, 114, 1].into()), 3);
    assert_eq!(back.offences(at(50 + 40 * 86_400), [203, 0, 114, 1].into()), 0, "forgotten");
    assert_eq!(back.offence(at(50), [203, 0, 114, 1].into()).map(|offence| offence.seen), Some(3));
    assert_eq!(back.outcome(at(50), [192, 0, 2, 1].into()), Outcome::NotBanned);
    assert_eq!((back.counts(Source::MANUAL).nets, back.allowances(at(50)).count()), (2, 2));
}

#[test]
fn clocks_that_jump() {
    let year = 365 * 86_400;
    // Written at, read at, what the difference is taken for, what is left of 1,000 seconds.
    let table = [
        (WALL, Some(WALL), Some(0), Some(1000)),
        (WALL, Some(WALL + 400), Some(400), Some(600)),
        (WALL, Some(WALL + 999), Some(999), Some(1)),
        (WALL, Some(WALL + 1000), Some(1000), None),
        (WALL, Some(WALL + year), Some(year as u32), None),
        (WALL, Some(WALL + 10 * year), None, Some(1000)),
        (WALL, Some(WALL - 1), None, Some(1000)),
        (WALL, Some(WALL - 10 * year), None, Some(1000)),
        (WALL, Some(0), None, Some(1000)),
        (WALL, Some(u64::MAX), None, Some(1000)),
        (WALL, None, None, Some(1000)),
        (0, Some(WALL), None, Some(1000)),
        (u64::MAX, Some(WALL), None, Some(1000)),
    ];
    for (then, now, away, left) in table {
        let mut ledger = Ledger::new(10);
        changes(&mut ledger, at(5000), ban(Source::NATS, "198.51.100.7", Lifetime::Seconds(1000)));
        changes(&mut ledger, at(5000), ban(Source::NATS, "198.51.100.8", Lifetime::Forever));
        // Another boot: its clock begins again.
        let back = restored(&saved(&ledger, at(5000), then), at(20), now).unwrap();
        assert_eq!(back.away, away, "{then} {now:?}");
        let range = |last| Range::single([198, 51, 100, last].into());
        let desired = back.ledger.desired(SetId::Ban(Source::NATS), at(20));
        assert_eq!(desired.wanted(range(7)), left.map(Lifetime::Seconds), "{then} {now:?}");
        assert_eq!(desired.wanted(range(8)), Some(Lifetime::Forever), "{then} {now:?}");
        let start = back.ledger.check(at(20), [198, 51, 100, 8].into()).bans.first().unwrap().start;
        assert_eq!(at(20).since(start), away.unwrap_or(0), "{then} {now:?}");
    }
}

#[test]
fn no_prefix_and_no_flipped_byte_passes() {
    let bytes = saved(&held(), at(1100), WALL);
    for length in 0..bytes.len() {
        let error = restored(&bytes[..length], at(0), Some(WALL)).unwrap_err();
        let expected = if length < 8 { "is no diswall snapshot" } else { "is a truncated snapshot" };
        assert_eq!(error.to_string(), expected, "{length} of {} bytes", bytes.len());
    }
    for place in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[place] ^= flip;
            assert!(restored(&damaged, at(0), Some(WALL)).is_err(), "byte {place} ^ {flip:#x}");
        }
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(matches!(restored(&longer, at(0), None), Err(SnapshotError::Checksum)));
}

#[test]
fn foreign_and_newer_files_are_named_as_such() {
    let newer = [b"diswall\n", &[0, 5][..], &[0; 40]].concat();
    for (bytes, expected) in [
        (&b""[..], "is no diswall snapshot"),
        (b"config diswall 'main'\n", "is no diswall snapshot"),
        (&newer, "is a snapshot of version 5; this diswall reads up to 4"),
    ] {
        assert_eq!(restored(bytes, at(0), None).unwrap_err().to_string(), expected);
    }
}

#[test]
fn version_1_is_read_for_ever() {
    let bytes = include_bytes!("../../../tests/fixtures/snapshot-v1.bin");
    let back = restored(bytes, at(1100), Some(WALL)).unwrap();
    assert_eq!(contents(&back.ledger, at(1100)), contents(&small(), at(1100)));
    assert_eq!(back.totals.get("dynfw packets"), Some(&12));
    assert!(!back.words, "there was no record then");
}

/// What came with version 2.
fn held() -> Ledger {
    let mut ledger = small();
    for (by, what) in
        [(crate::ledger::OWNER, "203.0.113.8"), ("fail2ban/sshd", "203.0.113.8"), ("fail2ban/sshd", "2001:db8:9::/48")]
    {
        ledger.hold(at(700), by, &[net(what)], (Lifetime::Seconds(5000), "by name"), &mut |_| {}).unwrap();
    }
    ledger
}

#[test]
fn version_2_is_read_for_ever() {
    let bytes = include_bytes!("../../../tests/fixtures/snapshot-v2.bin");
    let back = restored(bytes, at(1100), Some(WALL)).unwrap();
    assert_eq!(contents(&back.ledger, at(1100)), contents(&held(), at(1100)));
    assert!(back.words && back.wall == WALL);
}

#[test]
fn version_3_is_read_for_ever() {
    let bytes = include_bytes!("../../../tests/fixtures/snapshot-v3.bin");
    let back = restored(bytes, at(1100), Some(WALL)).unwrap();
    assert_eq!(contents(&back.ledger, at(1100)), contents(&held(), at(1100)));
}

/// What came with version 4.
fn ranged() -> Ledger {
    let mut ledger = held();
    ledger.set_sources(at(1000), &[&Source::BUILT_IN[..], &[Source::CROWDSEC]].concat(), &mut |_| {});
    for (what, lifetime) in [
        ("203.0.113.77", Lifetime::Seconds(900)),
        ("198.51.100.0/24", Lifetime::Seconds(800)),
        ("2001:db8:7::/48", Lifetime::Forever),
    ] {
        let reason = Reason::Tagged("crowdsecurity/ssh-bf".into());
        let event = Event::Ban { source: Source::CROWDSEC, net: net(what), lifetime, reason };
        assert_eq!(ledger.apply(at(1000), event, &mut |_| {}).added, 1);
    }
    ledger
}

#[test]
fn version_4_is_read_for_ever() {
    let bytes = include_bytes!("../../../tests/fixtures/snapshot-v4.bin");
    let mut back = restored(bytes, at(1100), Some(WALL)).unwrap();
    // It is kept apart until the configuration has its source.
    assert!(back.ledger.check(at(1100), "2001:db8:7::9".parse().unwrap()).bans.is_empty());
    back.ledger.set_sources(at(1100), &[&Source::BUILT_IN[..], &[Source::CROWDSEC]].concat(), &mut |_| {});
    assert_eq!(contents(&back.ledger, at(1100)), contents(&ranged(), at(1100)));
}

/// The snapshot with another name for one of its sources, of the same length.
fn renamed(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut bytes = bytes[..bytes.len() - 4].to_vec();
    let named = |name: &str| [&[name.len() as u8], name.as_bytes()].concat();
    let at = bytes.windows(from.len() + 1).position(|window| window == named(from)).unwrap();
    bytes.splice(at..=at + from.len(), named(to));
    let mut crc = crate::whole_file::Crc::new();
    crc.add(&bytes);
    bytes.extend_from_slice(&crc.value().to_be_bytes());
    bytes
}

#[test]
fn bans_of_a_source_that_is_not_here_wait_for_it() {
    let mut ledger = small();
    changes(&mut ledger, at(1100), ban(Source::NATS, "198.51.100.8", Lifetime::Seconds(500)));
    let strange = renamed(&saved(&ledger, at(1100), WALL), "nats", "hive");
    let back = restored(&strange, at(1100), Some(WALL)).unwrap().ledger;
    assert_eq!(back.counts(Source::NATS).v4, 0);
    assert!(!contents(&back, at(1100)).iter().any(|line| line.contains("198.51.100.8")));
    // It is written down again, and grows old meanwhile.
    let again = renamed(&saved(&back, at(1200), WALL + 100), "hive", "nats");
    let home = restored(&again, at(1200), Some(WALL + 100)).unwrap().ledger;
    let verdict = home.check(at(1200), [198, 51, 100, 8].into());
    let ends: Vec<_> = verdict.bans.iter().filter(|ban| ban.source == Source::NATS).map(|ban| ban.end).collect();
    assert_eq!(ends, [Some(at(1600))]);
}

#[test]
fn bans_of_sources_that_are_not_here_are_held_to_the_limit() {
    let strange = [("dynfw", "mist1"), ("nats", "hive"), ("scan", "many")];
    let bytes = strange.iter().fold(saved(&crowd(), at(1100), WALL), |bytes, (from, to)| renamed(&bytes, from, to));
    let back = Ledger::restore(&mut bytes.as_slice(), at(1100), Some(WALL), 100).unwrap().ledger;
    assert_eq!(back.apart.len(), 3);
    let held = |family: fn(&Book) -> usize| back.apart.iter().map(|(_, book)| family(book)).sum::<usize>();
    assert_eq!((held(|book| book.v4.len()), held(|book| book.v6.len())), (50, 50));
}

#[test]
fn a_smaller_limit_holds_for_what_comes_back() {
    let bytes = saved(&crowd(), at(1100), WALL);
    let back = Ledger::restore(&mut bytes.as_slice(), at(1100), Some(WALL), 100).unwrap().ledger;
    let counts = [Source::DYNFW, Source::NATS, Source::SCAN, Source::MANUAL].map(|source| back.counts(source));
    let of = |counts: &crate::ledger::Counts| counts.v4 + counts.v6 + counts.nets;
    let [dynfw, nats, scan, manual] = &counts;
    assert_eq!(of(dynfw) + of(nats), 100, "the feeds together: {counts:?}");
    assert_eq!((of(scan), of(manual)), (12, 100), "an eighth for the router, and the owner's word: {counts:?}");
}

#[test]
fn the_file_is_replaced_whole_and_set_aside_when_broken() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::Builder::new().prefix("diswall-").tempdir().unwrap();
    let path = directory.path().join("state/bans");
    let read = || snapshot_file::read(&path, at(1100), Some(WALL), 1000).unwrap();
    assert!(matches!(read(), Found::Nothing));
    for _ in 0..2 {
        snapshot_file::write(&path, &small(), (at(1100), WALL, true), &Totals::new()).unwrap();
        let Found::Snapshot(back) = read() else { panic!("it was written") };
        assert_eq!(contents(&back.ledger, at(1100)), contents(&small(), at(1100)));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }
    std::fs::write(&path, b"diswall\n\0\x01half").unwrap();
    let Found::SetAside { error, path: aside } = read() else { panic!("it is broken") };
    assert_eq!(error.to_string(), "is a truncated snapshot");
    assert!(aside.exists() && !path.exists());
    assert!(matches!(read(), Found::Nothing));
}

#[test]
fn a_file_that_cannot_be_written_names_itself() {
    let directory = tempfile::Builder::new().prefix("diswall-").tempdir().unwrap();
    let path = directory.path().join("bans");
    std::fs::create_dir(&path).unwrap();
    let error = snapshot_file::write(&path, &small(), (at(0), WALL, true), &Totals::new()).unwrap_err();
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    let below = path.join("bans");
    let error = snapshot_file::write(&below, &small(), (at(0), WALL, true), &Totals::new()).unwrap_err();
    assert!(error.to_string().starts_with("cannot make"), "{error}");
}

proptest::proptest! {
    #[test]
    fn random_bytes_behind_a_header_are_refused(tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let bytes = [b"diswall\n\0\x02".as_slice(), &tail].concat();
        // A checksum that fits by chance would be one in four thousand million.
        assert!(restored(&bytes, at(0), Some(WALL)).is_err());
    }
}

/// Makes the fixture of the current version: run once when the version changes, with `--ignored`.
#[test]
#[ignore = "writes tests/fixtures"]
fn write_fixture() {
    let path = format!("{}/tests/fixtures/snapshot-v{VERSION}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::write(path, saved(&ranged(), at(1100), WALL)).unwrap();
}
