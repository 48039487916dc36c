//! One key-value bucket: a stream with one message a key, written with a time-out and an expected revision.
//!
//! Reads that decide something go to the stream's leader, for another replica may be behind; only whole lists
//! are read from whichever replica answers. Keys are not checked as client libraries do: a login may have any
//! character that NATS takes.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::record::Record;
use crate::error::{Error, Result};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long an operation is tried while nats-server has no answer: longer than an election of leaders takes.
const TRIES: u32 = 12;

/// The wait between tries.
const PAUSE: Duration = Duration::from_millis(400);

/// How long a key that was taken back by hand is remembered as such, in seconds.
const TOMBSTONE: u64 = 3600;

/// How a key may be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Put {
    /// Seconds until it ends; `None`: it has no end.
    pub ttl: Option<u64>,
    /// The key's revision that this one follows, 0 for none; `None`: whichever.
    pub expected: Option<u64>,
}

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub(super) client: async_nats::Client,
    name: String,
}

#[derive(Deserialize)]
struct Answer {
    seq: Option<u64>,
    message: Option<Value>,
    error: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    code: u16,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl Bucket {
    /// The bucket of that name.
    pub fn new(client: async_nats::Client, name: &str) -> Bucket {
        Bucket { client, name: name.to_owned() }
    }

    /// The stream below it.
    pub fn stream(&self) -> String {
        format!("KV_{}", self.name)
    }

    /// The subject of a key, or of many where it has wildcards.
    pub fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }

    /// Writes a key; its revision.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the key's revision is not the expected one.
    pub async fn put(&self, key: &str, value: impl Into<Bytes>, how: Put) -> Result<u64> {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = how.ttl {
            headers.insert("Nats-TTL", seconds.max(1).to_string());
        }
        self.publish(key, value.into(), headers, how.expected).await
    }

    /// Takes a key back by hand; readers of changes are told.
    ///
    /// # Errors
    /// As [`Bucket::put`].
    pub async fn purge(&self, key: &str, expected: Option<u64>) -> Result<u64> {
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "PURGE");
        headers.insert("Nats-Rollup", "sub");
        headers.insert("Nats-TTL", TOMBSTONE.to_string());
        self.publish(key, Bytes::new(), headers, expected).await
    }

    /// Removes every key that the filter names, without a trace.
    ///
    /// # Errors
    /// nats-server is away or says no.
    pub async fn remove(&self, filter: &str) -> Result<()> {
        let ask = json!({ "filter": self.subject(filter) });
        self.api(&format!("$JS.API.STREAM.PURGE.{}", self.stream()), ask).await.map(drop)
    }

    /// A key as its leader has it, even if it was taken back.
    ///
    /// # Errors
    /// nats-server is away or says no.
    pub async fn last(&self, key: &str) -> Result<Option<Record>> {
        self.get(json!({ "last_by_subj": self.subject(key) })).await
    }

    /// A key that holds.
    ///
    /// # Errors
    /// As [`Bucket::last`].
    pub async fn held(&self, key: &str) -> Result<Option<Record>> {
        Ok(self.last(key).await?.filter(|record| !record.gone))
    }

    /// The first key that the filter names and that was written at this revision or later, as the leader has it.
    ///
    /// # Errors
    /// As [`Bucket::last`].
    pub async fn next(&self, filter: &str, from: u64) -> Result<Option<Record>> {
        self.get(json!({ "seq": from.max(1), "next_by_subj": self.subject(filter) })).await
    }

    async fn get(&self, ask: Value) -> Result<Option<Record>> {
        let answer = self.api(&format!("$JS.API.STREAM.MSG.GET.{}", self.stream()), ask).await?;
        answer.message.map(|message| Record::of_answer(&self.subject(""), &message)).transpose()
    }

    async fn publish(&self, key: &str, value: Bytes, mut headers: HeaderMap, expected: Option<u64>) -> Result<u64> {
        if let Some(revision) = expected {
            headers.insert("Nats-Expected-Last-Subject-Sequence", revision.to_string());
        }
        self.store(&self.subject(key), value, headers).await
    }

    /// Publishes to any stream; the number that the message got there.
    ///
    /// # Errors
    /// As [`Bucket::put`].
    pub async fn store(&self, subject: &str, value: Bytes, headers: HeaderMap) -> Result<u64> {
        let answer = self.request(subject, value, headers).await?;
        answer.seq.ok_or_else(|| Error::Refused(format!("{subject} was acknowledged without a number")))
    }

    /// Asks JetStream for a message of any stream.
    ///
    /// # Errors
    /// nats-server is away or says no.
    pub async fn ask(&self, subject: &str, ask: Value) -> Result<Option<Value>> {
        Ok(self.api(subject, ask).await?.message)
    }

    async fn api(&self, subject: &str, ask: Value) -> Result<Answer> {
        self.request(subject, ask.to_string().into(), HeaderMap::new()).await
    }

    /// One request; tried again for some seconds while nobody answers.
    async fn request(&self, subject: &str, body: Bytes, headers: HeaderMap) -> Result<Answer> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.once(subject, body.clone(), headers.clone()).await {
                Err(Error::Away(_)) if tries < TRIES => tokio::time::sleep(PAUSE).await,
                result => return result,
            }
        }
    }

    async fn once(&self, subject: &str, body: Bytes, headers: HeaderMap) -> Result<Answer> {
        let mut request = async_nats::Request::new().payload(body).timeout(Some(PATIENCE));
        if !headers.is_empty() {
            request = request.headers(headers);
        }
        let reply =
            self.client.send_request(subject.to_owned(), request).await.map_err(|error| match error.kind() {
                RequestErrorKind::TimedOut | RequestErrorKind::NoResponders => {
                    Error::Away(format!("the stream {} does not answer ({error})", self.stream()))
                }
                _ => Error::Away(format!("nats-server is away ({error})")),
            })?;
        let answer: Answer = serde_json::from_slice(&reply.payload)
            .map_err(|error| Error::Refused(format!("the stream {} answers strangely: {error}", self.stream())))?;
        match answer.error {
            None => Ok(answer),
            // No message found.
            Some(Problem { err_code: 10037, .. }) => Ok(Answer { seq: None, message: None, error: None }),
            Some(problem) => Err(self.problem(problem)),
        }
    }

    fn problem(&self, problem: Problem) -> Error {
        match problem.err_code {
            10071 | 10164 => Error::Conflict,
            10023 | 10047 | 10077 if !problem.description.contains("leader") => Error::Full(self.stream()),
            // No leader, no quorum, being moved.
            _ if problem.code == 503 => Error::Away(format!("the stream {}: {}", self.stream(), problem.description)),
            _ => {
                Error::Refused(format!("the stream {}: {} ({})", self.stream(), problem.description, problem.err_code))
            }
        }
    }
}

/// What is asked of a stream's description.
#[derive(Deserialize)]
struct Described {
    #[serde(default)]
    ts: String,
    #[serde(default)]
    created: String,
    state: Option<State>,
}

/// How full a bucket is.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct State {
    /// Keys, gone ones that are remembered among them.
    pub messages: u64,
    /// What they take.
    pub bytes: u64,
    /// The last revision.
    pub last_seq: u64,
}

impl Bucket {
    async fn described(&self) -> Result<Described> {
        let subject = format!("$JS.API.STREAM.INFO.{}", self.stream());
        let request = async_nats::Request::new().payload(Bytes::new()).timeout(Some(PATIENCE));
        let reply = self.client.send_request(subject, request).await;
        let reply = reply.map_err(|error| Error::Away(format!("the stream {}: {error}", self.stream())))?;
        serde_json::from_slice(&reply.payload)
            .map_err(|error| Error::Refused(format!("the stream {} is described strangely: {error}", self.stream())))
    }

    /// How full it is.
    ///
    /// # Errors
    /// nats-server does not answer.
    pub async fn state(&self) -> Result<State> {
        let state = self.described().await?.state;
        state.ok_or_else(|| Error::Away(format!("the stream {} has no leader", self.stream())))
    }

    /// When the stream was made, Unix nanoseconds: one that is made anew counts its revisions from 1 again.
    ///
    /// # Errors
    /// nats-server does not answer.
    pub async fn born(&self) -> Result<u64> {
        let born = super::record::unix_nanoseconds(&self.described().await?.created);
        born.ok_or_else(|| Error::Away(format!("the stream {} has no leader", self.stream())))
    }

    /// The clock of the bucket's leader, Unix seconds.
    ///
    /// # Errors
    /// nats-server does not answer.
    pub async fn server_time(&self) -> Result<u64> {
        let time = super::record::unix(&self.described().await?.ts);
        time.ok_or_else(|| Error::Refused("nats-server does not tell its time".into()))
    }
}
