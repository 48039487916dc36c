//! Follows a DynFW server and prints what that costs: `follow_dynfw PORT SERVER_KEY|- UPDATES`.
//!
//! For `cargo xtask bench` and for people: after so many updates beyond the first list it prints the
//! parse and total CPU time, the peak memory, and the CLOCK_MONOTONIC nanosecond at which each of the
//! single updates came out of the channel (the publisher says when it sent them).

use std::time::Instant;

use diswall::feed::intake::Intake;
use diswall::feed::{Update, dynfw};
use diswall::model::Event;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().unwrap_or_default();
    let port = next().parse().unwrap_or(7087);
    let server_key = Some(next()).filter(|key| key.len() == 40);
    let wanted: usize = next().parse().unwrap_or(0);
    let settings =
        dynfw::Settings { server: "127.0.0.1".into(), port, server_key, key_url: None, ..Default::default() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    tokio::task::LocalSet::new().block_on(&runtime, follow(&settings, wanted));
}

async fn follow(settings: &dynfw::Settings, wanted: usize) {
    let start = Instant::now();
    let (sender, mut updates) = tokio::sync::mpsc::channel(256);
    let _handle = dynfw::start(settings, &std::env::temp_dir(), Intake::new(1 << 20, |_| true), sender);
    let mut seen = 0;
    while let Some((_, update)) = updates.recv().await {
        match update {
            Update::Event(Event::List { list, .. }) => {
                println!("list {} after {:?}; {}", list.v4.len() + list.v6.len(), start.elapsed(), usage());
            }
            Update::Event(Event::Ban { .. } | Event::Unban { .. }) => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                println!("update {}", now.tv_sec * 1_000_000_000 + now.tv_nsec);
                seen += 1;
            }
            other => eprintln!("{other:?}"),
        }
        if seen > 0 && seen >= wanted {
            println!("done; {}", usage());
            return;
        }
    }
}

/// CPU time of this process and its peak memory, as the kernel counts them.
fn usage() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let status = read("/proc/self/status");
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    let schedule = read("/proc/self/schedstat");
    let cpu = schedule.split(' ').next().and_then(|time| time.parse::<f64>().ok()).unwrap_or_default();
    format!("{:.1} ms CPU, {}", cpu / 1e6, peak.replace('\t', " "))
}
