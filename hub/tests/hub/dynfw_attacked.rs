//! Whoever reaches the port at which routers are told: rubbish, floods, many connections, nobody who reads. What is
//! promised: the others are told, memory is bounded, each matter is one sentence.

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use omq_proto::Message;
use omq_proto::proto::Command;
use tokio::task::LocalSet;

use crate::dynfw::Relayed;
use crate::support::raw::{Raw, connect, ends};
use crate::support::{Sentinel, wait_for};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn rubbish_and_floods_end_their_own_connection() {
    let mut sentinel = Sentinel::start(2000);
    let mut relayed = Relayed::new().await;
    let hub = relayed.hub(&sentinel, "").await;
    let (port, key) = (relayed.port, relayed.key.clone());
    let test = async {
        let mut router = relayed.router();
        router.equals(&mut sentinel).await;
        let evil = tokio::task::spawn_blocking(move || {
            // Before the handshake: another protocol, a frame of 200 KB, half a greeting.
            for (said, within) in [
                (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), SOON),
                (vec![0xff; 100_000], SOON),
                (vec![0xff, 0, 0, 0], Duration::from_secs(20)),
            ] {
                let mut stream = connect("127.0.0.9", port).unwrap();
                let _ = stream.write_all(&said);
                assert!(ends(&mut stream, within), "{} bytes", said.len());
            }
            // Topics by the hundred thousand, some of them again and again.
            let mut raw = Raw::join("127.0.0.9", port, &key).unwrap();
            for number in 0..100_000 {
                let topic = Bytes::from(format!("dynfw/{}", number % 7777));
                raw.connection.send_command(&Command::Subscribe(topic)).unwrap();
                if raw.flush().is_err() {
                    break;
                }
            }
            assert!(raw.ends(SOON), "topics");
            // A long frame that is announced; another's bytes; half a message.
            for said in [
                [2u8, 0, 0, 0, 0, 255, 255, 255, 255].to_vec(),
                vec![0, 40, 7],
                vec![0, 9, 7, 77, 69, 83, 83, 65, 71, 69, 0],
            ] {
                let mut raw = Raw::join("127.0.0.9", port, &key).unwrap();
                raw.stream.write_all(&said).unwrap();
                raw.stream.write_all(&[9; 64]).unwrap();
                assert!(raw.ends(SOON), "{said:?}");
            }
            let mut raw = Raw::join("127.0.0.9", port, &key).unwrap();
            raw.connection
                .send_message(&Message::multipart([Bytes::from_static(b"\x01dynfw/"), Bytes::new()]))
                .unwrap();
            raw.flush().unwrap();
            assert!(raw.ends(SOON), "half a message");
            // A word that means nothing to a publisher ends nothing; cancelling what was never wanted neither.
            let mut raw = Raw::join("127.0.0.9", port, &key).unwrap();
            raw.connection.send_message(&Message::single(Bytes::from_static(b"hello"))).unwrap();
            raw.connection.send_command(&Command::Cancel("dynfw/".into())).unwrap();
            raw.connection.send_command(&Command::Join("group".into())).unwrap();
            raw.subscribe("dynfw/list").unwrap();
            let list = raw.message(SOON).unwrap();
            assert_eq!(list.part_slice(0), Some(&b"dynfw/list"[..]));
        });
        evil.await.unwrap();
        sentinel.tell("burst 100");
        router.equals(&mut sentinel).await;
        assert_eq!(router.handle.gauges.lists.get(), 1, "it was never cut off");
        for matter in ["no handshake with", "says more than", "sends a frame of", "breaks the protocol"] {
            assert_eq!(hub.said().matches(matter).count(), 1, "{matter}: {}", hub.said());
        }
        assert!(hub.memory() < 60_000, "{} KB", hub.memory());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn many_connections_of_one_keep_nobody_out() {
    let mut sentinel = Sentinel::start(1000);
    let mut relayed = Relayed::new().await;
    let hub = relayed.hub(&sentinel, "routers = 300\n").await;
    let (port, key) = (relayed.port, relayed.key.clone());
    let test = async {
        // From 127.0.0.1, as everybody after it who is asked nothing.
        let mut before = relayed.router();
        before.equals(&mut sentinel).await;
        let evil = tokio::task::spawn_blocking(move || {
            let silent: Vec<_> = (0..100).map(|_| connect("127.0.0.8", port)).collect();
            let shaken: Vec<_> = (0..600).map_while(|_| Raw::join("127.0.0.9", port, &key)).collect();
            (silent, shaken)
        });
        let (silent, shaken) = evil.await.unwrap();
        let mut after = relayed.router();
        after.equals(&mut sentinel).await;
        sentinel.tell("burst 50");
        for router in [&mut before, &mut after] {
            router.equals(&mut sentinel).await;
            assert_eq!(router.handle.gauges.lists.get(), 1);
        }
        println!("{} of {} shaken", shaken.len(), silent.len());
        wait_for("it is said", async || hub.said().contains("300 connections, and one more from 127.0.0.9")).await;
        assert_eq!(hub.said().matches("one more from").count(), 1, "{}", hub.said());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn whoever_reads_nothing_is_cut_off_and_costs_nobody() {
    let mut sentinel = Sentinel::start(30_000);
    let mut relayed = Relayed::new().await;
    let hub = relayed.hub(&sentinel, "").await;
    let (port, key) = (relayed.port, relayed.key.clone());
    let test = async {
        let mut router = relayed.router();
        router.equals(&mut sentinel).await;
        let before = hub.memory();
        let slow = tokio::task::spawn_blocking(move || {
            let mut slow = Vec::new();
            for number in 0..60 {
                let mut raw = Raw::join(&format!("127.0.1.{number}"), port, &key).unwrap();
                nix::sys::socket::setsockopt(&raw.stream, nix::sys::socket::sockopt::RcvBuf, &4096).unwrap();
                for topic in ["", "dynfw/delta", "dynfw/list"] {
                    raw.subscribe(topic).unwrap();
                }
                slow.push(raw);
            }
            slow
        });
        let slow = slow.await.unwrap();
        let began = Instant::now();
        // A router that comes meanwhile gets its list.
        let mut late = relayed.router();
        late.equals(&mut sentinel).await;
        println!("a list beside 60 that do not read: {:?}", began.elapsed());
        while began.elapsed() < Duration::from_secs(33) {
            sentinel.tell("burst 300");
            tokio::time::sleep(Duration::from_secs(1)).await;
            for router in [&mut router, &mut late] {
                router.equals(&mut sentinel).await;
            }
        }
        for router in [&router, &late] {
            assert_eq!(router.handle.gauges.lists.get(), 1);
        }
        println!("memory {before} KB before, {} KB at most", hub.memory());
        assert!(hub.memory() < before + 60_000);
        wait_for("it is said", async || hub.said().contains("has taken nothing for 30 s")).await;
        assert_eq!(hub.said().matches("has taken nothing").count(), 1, "{}", hub.said());
        let told = " told to 2 routers";
        wait_for("none of them is there", async || relayed.site.run(&["status"]).await.contains(told)).await;
        drop(slow);
    };
    LocalSet::new().run_until(test).await;
}
