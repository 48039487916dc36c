//! Measures the ledger alone and prints one JSON object: memory a ban, and nanoseconds an operation.
//!
//! `cargo run --release --example bench_ledger [BANS]`, 100,000 IPv4 bans unless told. Memory is this
//! process's resident set before and after (and its peak in between), so it includes what the allocator
//! wastes (and the bans that come one by one include the order of their ends). The list itself is made before, as a feed would have it. Times are CPU times of one thread.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::{env, fs, io};

use diswall::ledger::{Filter, Ledger, Moment, Sort, Totals};
use diswall::model::{Event, Lifetime, List, Listed, Reason, Source};
use ipnet::IpNet;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

const NOW: Moment = Moment(Moment::BOOT.0 + 1000);

fn main() -> io::Result<()> {
    let bans: u32 = env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let mut ledger = Ledger::new(bans.max(262_144));
    let list = event(Source::DYNFW, bans, Lifetime::Forever);
    let (same, shifted) = (event(Source::DYNFW, bans, Lifetime::Forever), shifted(bans));
    // Everything the process will need besides is resident before it is measured.
    forget_peak()?;
    let before = resident("VmRSS")?;
    let list_bytes = u64::from(bans) * size_of::<Listed<Ipv4Addr>>() as u64;
    let mut changes = 0u32;
    let fill = nanoseconds(|| ledger.apply(NOW, black_box(list), &mut |_| changes += 1));
    let (after, peak) = (resident("VmRSS")?, resident("VmHWM")?);
    assert_eq!(changes, bans);
    let unchanged = nanoseconds(|| ledger.apply(NOW, black_box(same), &mut |_| changes += 1));
    let twelve = nanoseconds(|| ledger.apply(NOW, black_box(shifted), &mut |_| changes += 1));
    assert_eq!(changes, bans + 12);

    let grown = growth(bans)?;
    let report = json!({
        "bans": bans,
        // The list was there before and is gone after.
        "bytes_a_ban": per((after + list_bytes).saturating_sub(before), bans),
        "bytes_a_ban_at_peak": per(peak.saturating_sub(before), bans),
        "bytes_a_ban_growing_one_by_one": grown.0,
        "bytes_a_ban_growing_at_peak": grown.1,
        "ns_a_ban": {
            "new_list": fill / u64::from(bans),
            "unchanged_list": unchanged / u64::from(bans),
            "list_with_12_changes": twelve / u64::from(bans),
        },
        "ns": operations(&mut ledger, bans),
    });
    println!("{report}");
    Ok(())
}

/// Bans spread over the address space by a fixed permutation.
fn addresses(count: u32) -> impl Iterator<Item = Ipv4Addr> {
    (0..u32::MAX)
        .map(|n| Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b1)))
        .filter(|address| (11..100).contains(&address.octets()[0]))
        .take(count as usize)
}

fn event(source: Source, count: u32, lifetime: Lifetime) -> Event {
    let v4 = addresses(count).map(|address| Listed { address, lifetime }).collect();
    Event::List { source, list: List { v4, ..List::default() } }
}

/// The list with its first six entries gone and six others at its end.
fn shifted(count: u32) -> Event {
    let lifetime = Lifetime::Forever;
    let v4 = addresses(count + 6).skip(6).map(|address| Listed { address, lifetime }).collect();
    Event::List { source: Source::DYNFW, list: List { v4, ..List::default() } }
}

/// Bytes a ban, and at the peak, when bans with an end come one at a time.
fn growth(count: u32) -> io::Result<(u64, u64)> {
    forget_peak()?;
    let before = resident("VmRSS")?;
    let mut ledger = Ledger::new(count);
    for address in addresses(count) {
        ledger.apply(NOW, ban(address, 3600), &mut |_| {});
    }
    let result = (resident("VmRSS")?.saturating_sub(before), resident("VmHWM")?.saturating_sub(before));
    black_box(&ledger);
    Ok((per(result.0, count), per(result.1, count)))
}

fn ban(address: Ipv4Addr, seconds: u32) -> Event {
    let lifetime = Lifetime::Seconds(seconds);
    Event::Ban { source: Source::NATS, net: single(address), lifetime, reason: Reason::Announced }
}

fn single(address: Ipv4Addr) -> IpNet {
    IpAddr::V4(address).into()
}

/// Nanoseconds of single operations on a full ledger.
fn operations(ledger: &mut Ledger, bans: u32) -> Value {
    let some: Vec<Ipv4Addr> = addresses(1000).collect();
    let each = |total: u64| total / 1000;
    let add = nanoseconds(|| {
        for at in &some {
            ledger.apply(NOW, ban(*at, 60), &mut |_| {});
        }
    });
    let again = nanoseconds(|| {
        for at in &some {
            ledger.apply(NOW, ban(*at, 60), &mut |_| {});
        }
    });
    let outcome = nanoseconds(|| {
        for at in &some {
            black_box(ledger.outcome(NOW, (*at).into()));
        }
    });
    let mut ended = 0;
    let expire = nanoseconds(|| ended = ledger.expire(Moment(NOW.0 + 70), &mut |_, _| {}));
    assert_eq!(ended, 1000);
    let head = Filter { sort: Sort::Newest, ..Filter::default() };
    let first_page = nanoseconds(|| drop(black_box(ledger.page(NOW, &head, 0, 50))));
    let deep = nanoseconds(|| drop(black_box(ledger.page(NOW, &head, bans as usize / 2, 50))));
    let search = Filter { text: "no such word", ..Filter::default() };
    let searched = nanoseconds(|| drop(black_box(ledger.page(NOW, &search, 0, 50))));
    let mut snapshot = Vec::new();
    let save = nanoseconds(|| ledger.save(NOW, 1, true, &Totals::new(), &mut snapshot).unwrap_or_default());
    let restore = nanoseconds(|| drop(Ledger::restore(&mut snapshot.as_slice(), NOW, Some(1), bans)));
    json!({
        "ban": each(add), "ban_unchanged": each(again), "outcome": each(outcome), "expire_one": each(expire),
        "page_first_50": first_page, "page_50_in_the_middle": deep, "page_searched": searched,
        "save": save, "restore": restore, "snapshot_bytes": snapshot.len(),
        "manual_block_each_of_5000": blocks(),
    })
}

/// Blocks 5,000 networks one at a time.
fn blocks() -> u64 {
    let mut ledger = Ledger::new(262_144);
    let time = nanoseconds(|| {
        for address in addresses(5000) {
            let net = single(address);
            let reason = Reason::Comment("by hand".into());
            let event = Event::Ban { source: Source::MANUAL, net, lifetime: Lifetime::Forever, reason };
            ledger.apply(NOW, event, &mut |_| {});
        }
    });
    time / 5000
}

fn nanoseconds<T>(work: impl FnOnce() -> T) -> u64 {
    let read = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
    };
    let start = read();
    black_box(work());
    read() - start
}

fn per(bytes: u64, bans: u32) -> u64 {
    bytes / u64::from(bans.max(1))
}

/// A line of `/proc/self/status`, in bytes.
fn resident(name: &str) -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other(format!("no {name} in status")))
}

/// Begins the peak anew.
fn forget_peak() -> io::Result<()> {
    fs::write("/proc/self/clear_refs", "5")
}
