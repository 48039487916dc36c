//! Reads a whole bucket, or what a filter names, in batches: no consumer, any replica answers, nothing is kept.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::bucket::Bucket;
use super::record::{Record, rfc3339, text};
use crate::error::{Error, Result};

/// Messages of one answer: some 100 KB, so that a reader who is slow is never flooded.
const BATCH: u64 = 1000;

/// How long the next message of an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl Bucket {
    /// Calls `take` with each key that the filter names and that was written at revision `from` or later, in that
    /// order, gone ones too.
    ///
    /// # Errors
    /// nats-server stopped answering; what was taken until then stays so.
    pub async fn scan(&self, filter: &str, from: u64, mut take: impl FnMut(Record)) -> Result<()> {
        let mut next = from.max(1);
        while let Some(last) = self.batch(filter, next, BATCH, &mut take).await? {
            next = last + 1;
        }
        Ok(())
    }

    /// As [`Bucket::scan`], with what was written at this time (Unix seconds of the nats-server's) or later.
    ///
    /// # Errors
    /// See there.
    pub async fn scan_since(&self, filter: &str, time: u64, mut take: impl FnMut(Record)) -> Result<()> {
        match self.ask_for(json!({ "start_time": rfc3339(time) }), filter, BATCH, &mut take).await? {
            Some(last) => self.scan(filter, last + 1, take).await,
            None => Ok(()),
        }
    }

    /// One batch of [`Bucket::scan`]; the last revision if there may be more.
    ///
    /// # Errors
    /// See there.
    pub async fn batch(
        &self,
        filter: &str,
        from: u64,
        most: u64,
        take: &mut impl FnMut(Record),
    ) -> Result<Option<u64>> {
        self.ask_for(json!({ "seq": from }), filter, most, take).await
    }

    async fn ask_for(
        &self,
        mut ask: Value,
        filter: &str,
        most: u64,
        take: &mut impl FnMut(Record),
    ) -> Result<Option<u64>> {
        let away = |error: &dyn std::fmt::Display| Error::Away(format!("the stream {}: {error}", self.stream()));
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|error| away(&error))?;
        ask["batch"] = most.into();
        ask["next_by_subj"] = self.subject(filter).into();
        let subject = format!("$JS.API.DIRECT.GET.{}", self.stream());
        let sent = self.client.publish_with_reply(subject, inbox, ask.to_string().into()).await;
        sent.map_err(|error| away(&error))?;
        let (prefix, mut last) = (self.subject(""), None);
        loop {
            let Ok(Some(message)) = tokio::time::timeout(PATIENCE, answers.next()).await else {
                return Err(away(&"it does not answer"));
            };
            match message.status.map(|status| status.as_u16()) {
                None | Some(200) => {}
                Some(404) => return Ok(None),
                Some(204) => {
                    let pending = message.headers.as_ref().and_then(|headers| text(headers, "Nats-Num-Pending"));
                    return Ok(last.filter(|_| pending != Some("0")));
                }
                Some(503) => return Err(away(&"nobody is there who answers")),
                Some(code) => return Err(away(&format_args!("status {code}"))),
            }
            let number = message.headers.as_ref().and_then(|headers| text(headers, "Nats-Sequence"));
            last = number.and_then(|number| number.parse().ok()).or(last);
            if let Some(record) = Record::of_message(&prefix, &message) {
                take(record);
            }
        }
    }
}
