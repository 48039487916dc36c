//! Answers routers that ask whether there is a hub.
//!
//! All that has come is answered from one reading. A greeting does not say who sent it, so that there can be no turns:
//! whoever floods must not be able to leave others without an answer.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use log::warn;
use tokio::sync::mpsc;

use crate::answers;
use crate::changes;
use crate::error::Result;
use crate::hub::Hub;

/// Who greets, in a complaint.
const NOBODY: &str = "hello";

/// Greetings that wait for an answer; what comes beyond them is lost, and routers ask again.
const MOST: usize = 32_768;

/// Runs until the subscription ends.
pub async fn run(hub: Arc<Hub>, greetings: Subscriber) {
    let (waiting, asked) = mpsc::channel(MOST);
    tokio::join!(read(&hub, greetings, waiting), answer_all(&hub, asked));
}

/// Never waits for the answering: async-nats holds a quarter of what may wait here.
async fn read(hub: &Hub, mut greetings: Subscriber, waiting: mpsc::Sender<Message>) {
    while let Some(greeting) = greetings.next().await {
        if waiting.try_send(greeting).is_err() {
            answers::say_too_many(hub, NOBODY);
        }
    }
}

async fn answer_all(hub: &Hub, mut asked: mpsc::Receiver<Message>) {
    let mut all = Vec::new();
    while asked.recv_many(&mut all, MOST).await > 0 {
        if let Err(error) = answer(hub, std::mem::take(&mut all)).await {
            warn!("greetings get no answer: {error}");
        }
    }
}

async fn answer(hub: &Hub, asked: Vec<Message>) -> Result<()> {
    let text = Bytes::from(changes::hello(hub).await?);
    hub.counts.hellos.fetch_add(asked.len() as u64, Relaxed);
    for message in asked {
        if answers::has_inbox(hub, NOBODY, &message) {
            answers::send(hub, message.reply, text.clone()).await?;
        }
    }
    Ok(())
}
