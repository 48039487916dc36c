//! Clocks that differ by hours. nats-server has the machine's; hubs, commands and routers have each a wall clock of their
//! own, by a library that is loaded into them (`tests/parts/clock.c`), and those of the hubs jump.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tokio::task::LocalSet;

use crate::support::{Ours, Site, wait_for};

const HOUR: i64 = 3600;

/// Where the clocks' offsets are; set in the process in which the test itself has another time.
const PLACE: &str = "HUB_CLOCKS";

fn set(name: &str, hours: i64) -> PathBuf {
    let path = PathBuf::from(std::env::var(PLACE).unwrap()).join(name);
    // In place: whoever has it mapped sees it at once.
    let file = fs::File::options().create(true).truncate(false).write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &(hours * HOUR).to_ne_bytes(), 0).unwrap();
    path
}

/// Runs this test again in another time.
fn elsewhen(test: &str) {
    let place = TempDir::with_prefix("diswall-hub-clocks-").unwrap();
    let library = place.path().join("clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/parts/clock.c");
    let compiled = Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(compiled.unwrap().success());
    fs::write(place.path().join("own"), (26 * HOUR).to_ne_bytes()).unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args([test, "--exact", "--nocapture"]).env(PLACE, place.path());
    again.env("LD_PRELOAD", &library).env("SOAK_CLOCK", place.path().join("own"));
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Everybody's bans end when they are to end.
fn about(seconds: u64) -> bool {
    (800..=900).contains(&seconds)
}

#[tokio::test]
async fn only_the_nats_server_s_clock_counts() {
    if std::env::var_os(PLACE).is_none() {
        return elsewhen("clocks::only_the_nats_server_s_clock_counts");
    }
    let mut site = Site::new(&["alice", "bob", "carol"]).await;
    let mut hubs = Vec::new();
    for (name, hours) in [("one", 5), ("two", -7)] {
        let clock = format!("SOAK_CLOCK={}", set(name, hours).display());
        let hub = site.start_hub_with("[trust]\nbans_per_hour = 1000\n", &[clock]);
        wait_for("the hub is ready", async || hub.said().contains("taking reports")).await;
        hubs.push(hub);
    }
    let (alice, bob, mut carol) = (site.router("alice").await, site.router("bob").await, site.router("carol").await);
    let now: i64 = carol.hello().await["time"].parse().unwrap();
    let own = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    assert_eq!((own - now + HOUR / 2) / HOUR, 26, "this process has another time than nats-server");

    // Both hubs take part, and what one keeps the other reads.
    let report = async |from: u32, to: u32| {
        for number in from..to {
            for router in [&alice, &bob] {
                router.report(&format!("203.0.113.{number}"), "ssh").await;
            }
        }
    };
    report(0, 40).await;
    carol.until("all are banned", |bans| bans.len() == 40).await;
    let told = |rest: &String| rest.strip_suffix(" ssh").and_then(|left| left.parse().ok()).is_some_and(about);
    assert!(carol.bans.values().all(told), "{:?}", carol.bans);
    assert!(hubs.iter().all(|hub| hub.said().contains(" is banned (")), "both judged");

    // A report from before the window, and one from within: an hour by nats-server's clock.
    let owner = site.owner().await;
    for (address, ago) in [("203.0.113.101", 3700), ("203.0.113.102", 3500)] {
        let claim = format!("{}|900|ssh", now - ago);
        owner.request(format!("$KV.diswall_claims.v4.{address}.bob"), claim.into()).await.unwrap();
        alice.report(address, "ssh").await;
    }
    carol.until("what is said within an hour counts", |bans| bans.contains_key("203.0.113.102")).await;
    wait_for("alice is heard", async || site.run(&["check", "203.0.113.101"]).await.contains("alice")).await;
    assert!(site.run(&["check", "203.0.113.101"]).await.starts_with("203.0.113.101 is not banned"));

    // Clocks that jump while it runs.
    set("one", -30);
    set("two", 40);
    report(40, 60).await;
    carol.until("it goes on", |bans| bans.len() == 61).await;
    assert!(carol.bans.values().all(told) && carol.is_whole(), "{:?}", carol.bans);
    let bans = site.run(&["bans"]).await;
    let left: Vec<u64> = bans.lines().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert!(left.len() == 61 && left.iter().copied().all(about), "{bans}");
    let listed = alice.init("black").await;
    let mut left = listed.lines().filter_map(|line| line.split(" timeout ").nth(1)).map(|left| left.parse().unwrap());
    assert!(left.all(about), "{listed}");

    // A router of ours that comes now, in a third time; and one hub less.
    set("own", -3);
    hubs.remove(0).end();
    let tasks = LocalSet::new();
    tasks
        .run_until(async {
            let mut ours = Ours::start(&site, "carol");
            ours.live().await;
            ours.until("it has the list", |ours| ours.bans.len() == 61).await;
            report(60, 62).await;
            let wanted: IpAddr = "203.0.113.61".parse().unwrap();
            ours.until("the other hub tells on", |ours| ours.bans.contains_key(&wanted)).await;
            assert!(ours.bans.values().copied().all(about), "{:?}", ours.bans);
        })
        .await;
    assert_eq!(hubs[0].said().matches("warn").count(), 0, "{}", hubs[0].said());
}
