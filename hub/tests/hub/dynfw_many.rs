//! Many routers at one hub: how soon the last of them has the list, and a change. `DYNFW_ROUTERS=2000` for figures, with
//! the program that `HUB_PROGRAM` names, for that of the tests is not optimized.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use crate::dynfw::Relayed;
use crate::support::raw::Raw;
use crate::support::{Sentinel, wait_for};

/// Changes that are timed.
const CHANGES: usize = 20;

/// Nanoseconds of `CLOCK_MONOTONIC`, which the publisher tells too.
fn monotonic() -> i64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

/// Subscribers that have shaken hands. They read nothing of what comes but how much, and when.
struct Crowd {
    arrivals: mpsc::UnboundedReceiver<(usize, usize, i64)>,
    bytes: Vec<usize>,
    /// Whoever drops it ends the connections.
    _readers: JoinSet<()>,
}

impl Crowd {
    /// They come one after the other from 16 addresses, and want these topics.
    async fn join(count: usize, port: u16, key: &str, topics: &'static [&'static str]) -> Crowd {
        let key = key.to_owned();
        let (sender, arrivals) = mpsc::unbounded_channel();
        let (streams, mut joined) = mpsc::unbounded_channel();
        tokio::task::spawn_blocking(move || {
            for number in 0..count {
                let mut raw = Raw::join(&format!("127.0.2.{}", number % 16), port, &key).unwrap();
                for topic in topics {
                    raw.subscribe(topic).unwrap();
                }
                streams.send(raw.stream).unwrap();
            }
        });
        let mut readers = JoinSet::new();
        for number in 0..count {
            let stream = joined.recv().await.unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut stream = TcpStream::from_std(stream).unwrap();
            let sender = sender.clone();
            readers.spawn_local(async move {
                let mut buffer = vec![0; 16_384];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    let _ = sender.send((number, count, monotonic()));
                }
            });
        }
        Crowd { arrivals, bytes: vec![0; count], _readers: readers }
    }

    /// Until each has so many bytes more; when each had them.
    async fn until(&mut self, more: usize) -> Vec<i64> {
        let goal: Vec<usize> = self.bytes.iter().map(|bytes| bytes + more).collect();
        let mut done = vec![0; goal.len()];
        let mut left = done.len();
        while left > 0 {
            let arrival = tokio::time::timeout(Duration::from_secs(120), self.arrivals.recv()).await;
            let (number, count, at) = arrival.unwrap_or_else(|_| panic!("{left} have not got it")).unwrap();
            self.bytes[number] += count;
            if done[number] == 0 && self.bytes[number] >= goal[number] {
                (done[number], left) = (at, left - 1);
            }
        }
        done
    }

    /// Milliseconds until a change is at half of them, and at the last: the median and the worst of some changes.
    async fn changes(&mut self, sentinel: &mut Sentinel) -> [f64; 4] {
        let (mut half, mut last) = (Vec::new(), Vec::new());
        for number in 0..CHANGES {
            let sent = sentinel.tell(&format!("add 91.3.0.{number}"))["sent_ns"].as_i64().unwrap();
            let mut at = self.until(100).await;
            at.sort_unstable();
            half.push(at[at.len() / 2] - sent);
            last.push(at[at.len() - 1] - sent);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        half.sort_unstable();
        last.sort_unstable();
        [half[CHANGES / 2], half[CHANGES - 1], last[CHANGES / 2], last[CHANGES - 1]].map(|time| time as f64 / 1e6)
    }
}

#[tokio::test]
async fn many_routers_are_told_soon() {
    let count = std::env::var("DYNFW_ROUTERS").map_or(100, |count| count.parse().unwrap());
    // A list takes a program that is not optimized some hundred times as long.
    let listed = if count > 100 { 30_000 } else { 2000 };
    let myself = std::process::id().to_string();
    let raise = std::process::Command::new("prlimit").args(["--pid", &myself, "--nofile=20000:"]).status();
    assert!(raise.unwrap().success());
    let mut sentinel = Sentinel::start(listed);
    let mut relayed = Relayed::new().await;
    let hub = relayed.hub(&sentinel, "").await;
    let (port, key) = (relayed.port, relayed.key.clone());
    let test = async {
        let before = hub.memory();
        let began = Instant::now();
        let mut crowd = Crowd::join(count, port, &key, &["dynfw/delta"]).await;
        println!("{count} connections within {:?}, {before} KB without, {} KB with", began.elapsed(), hub.memory());
        let told = format!("told to {count} routers");
        wait_for("all are inside", async || relayed.site.run(&["status"]).await.contains(&told)).await;
        let times = crowd.changes(&mut sentinel).await;
        println!("ms to half of them, to the last (median, worst of {CHANGES}): {times:.1?}, {} KB", hub.memory());
        drop(crowd);
        wait_for("all have left", async || relayed.site.run(&["status"]).await.contains("told to 0 routers")).await;

        let began = Instant::now();
        let mut crowd = Crowd::join(count, port, &key, &["dynfw/delta", "dynfw/list"]).await;
        let joined = began.elapsed();
        crowd.until(listed * 12).await;
        println!(
            "a list for all: {joined:?} to join, {:?} until the last has it, {} KB",
            began.elapsed(),
            hub.memory()
        );
        assert!(hub.memory() < 100_000 + 16 * count as u64);
        drop(crowd);

        let (port, key) = (sentinel.port as u16, sentinel.key.clone());
        let mut crowd = Crowd::join(count, port, &key, &["dynfw/delta"]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let times = crowd.changes(&mut sentinel).await;
        println!("directly at the publisher: {times:.1?}");
    };
    LocalSet::new().run_until(test).await;
}
