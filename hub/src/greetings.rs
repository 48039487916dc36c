//! Answers routers that ask whether there is a hub.
//!
//! All that has come is answered from one reading. A greeting does not say who sent it, so that there can be no turns:
//! whoever floods must not be able to leave others without an answer.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use log::warn;
use tokio::sync::Notify;

use crate::answers;
use crate::changes;
use crate::error::Result;
use crate::hub::Hub;

/// Greetings that wait for an answer; what comes beyond them is lost, and routers ask again.
const MOST: usize = 32_768;

/// What waits, and the word that something does.
#[derive(Default)]
struct Asked {
    waiting: Mutex<Vec<Message>>,
    more: Notify,
}

/// Runs until the subscription ends.
pub async fn run(hub: Arc<Hub>, greetings: Subscriber) {
    let asked = Asked::default();
    tokio::select! {
        () = read(&asked, greetings) => {}
        () = answer_all(&hub, &asked) => {}
    }
}

/// Never waits for the answering: async-nats holds a quarter of what may wait here.
async fn read(asked: &Asked, greetings: Subscriber) {
    let mut greetings = greetings.ready_chunks(MOST);
    while let Some(mut more) = greetings.next().await {
        let mut waiting = asked.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        more.truncate(MOST.saturating_sub(waiting.len()));
        waiting.append(&mut more);
        drop(waiting);
        asked.more.notify_one();
    }
}

async fn answer_all(hub: &Hub, asked: &Asked) {
    loop {
        asked.more.notified().await;
        let all = std::mem::take(&mut *asked.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = answer(hub, all).await {
            warn!("greetings get no answer: {error}");
        }
    }
}

async fn answer(hub: &Hub, asked: Vec<Message>) -> Result<()> {
    let text = Bytes::from(changes::hello(hub).await?);
    hub.counts.hellos.fetch_add(asked.len() as u64, Relaxed);
    for message in asked {
        if answers::has_inbox(hub, "hello", &message) {
            answers::send(hub, message.reply, text.clone()).await?;
        }
    }
    Ok(())
}
