//! Someone at the servers who may ask everything: what the cluster says of itself, and what the bucket really holds.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::cluster::ADMIN;
use super::wire::{self, Op};
use crate::Result;

/// A connection; what is asked is waited for.
pub struct Admin {
    socket: TcpStream,
    input: Vec<u8>,
    request: u64,
}

/// An answer: its status if it has one, and what was wanted of it.
struct Answer<T> {
    status: Option<u16>,
    pending: u64,
    content: T,
}

/// What the bucket says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub last: u64,
    pub messages: u64,
    /// Whether all copies are the same.
    pub is_whole: bool,
}

impl Admin {
    pub fn connect(server: SocketAddrV4) -> Result<Admin> {
        let told = |error: std::io::Error| format!("{server}: {error}");
        let mut socket = TcpStream::connect(server).map_err(told)?;
        socket.set_read_timeout(Some(Duration::from_secs(5))).map_err(told)?;
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true,\"user\":\"{ADMIN}\",\"pass\":\"{ADMIN}\",\
             \"name\":\"admin\",\"protocol\":1}}\r\nSUB _INBOX.admin.* 1\r\n"
        );
        socket.write_all(hello.as_bytes()).map_err(told)?;
        Ok(Admin { socket, input: Vec::new(), request: 0 })
    }

    /// Asks, and waits for the answer's text.
    pub fn ask(&mut self, subject: &str, body: &str) -> Result<String> {
        self.send(subject, body)?;
        let answer = self.answer(|message| Ok(String::from_utf8_lossy(message.payload).into_owned()))?;
        match answer.status {
            Some(status) => Err(format!("{subject}: status {status}")),
            None => Ok(answer.content),
        }
    }

    /// Asks JetStream, whose answer is JSON.
    pub fn ask_json(&mut self, subject: &str, body: &str) -> Result<Value> {
        let text = self.ask(subject, body)?;
        let value: Value = serde_json::from_str(&text).map_err(|error| format!("{subject}: {error}: {text}"))?;
        match value.get("error") {
            Some(error) => Err(format!("{subject}: {error}")),
            None => Ok(value),
        }
    }

    pub fn state(&mut self) -> Result<State> {
        let info = self.ask_json("$JS.API.STREAM.INFO.KV_diswall_bans", "")?;
        let number = |name: &str| info["state"][name].as_u64().ok_or_else(|| format!("no state.{name} in {info}"));
        let copies = info["cluster"]["replicas"].as_array().map_or(&[][..], Vec::as_slice);
        let is_same = |copy: &Value| copy["current"] == true && copy["lag"].as_u64().unwrap_or(0) == 0;
        Ok(State {
            last: number("last_seq")?,
            messages: number("messages")?,
            is_whole: copies.len() == 2 && copies.iter().all(is_same),
        })
    }

    /// All bans that the bucket holds, with the Unix second at which each ends.
    pub fn bans(&mut self) -> Result<HashMap<IpAddr, u64>> {
        for _ in 0..10 {
            let before = self.state()?;
            let (messages, bans) = self.read()?;
            // Bans end meanwhile, and a copy may be behind.
            if before == self.state()? && messages == before.messages {
                return Ok(bans);
            }
        }
        Err("the bucket does not come to rest".into())
    }

    fn read(&mut self) -> Result<(u64, HashMap<IpAddr, u64>)> {
        let (mut next, mut messages, mut bans) = (1, 0, HashMap::new());
        loop {
            let body = format!("{{\"seq\":{next},\"batch\":2000,\"next_by_subj\":\"$KV.diswall_bans.>\"}}");
            self.send("$JS.API.DIRECT.GET.KV_diswall_bans", &body)?;
            let pending = loop {
                let answer = self.answer(|message| match message.status() {
                    None => wire::kept(message).map(Some),
                    Some(_) => Ok(None),
                })?;
                match (answer.status, answer.content) {
                    (None, Some(kept)) => {
                        messages += 1;
                        next = kept.sequence + 1;
                        bans.extend(kept.until.map(|until| (kept.address, until)));
                    }
                    (Some(204 | 404), _) => break answer.pending,
                    (status, _) => return Err(format!("the bucket answers with status {status:?}")),
                }
            };
            if pending == 0 {
                return Ok((messages, bans));
            }
        }
    }

    fn send(&mut self, subject: &str, body: &str) -> Result<()> {
        self.request += 1;
        let text = format!("PUB {subject} _INBOX.admin.{} {}\r\n{body}\r\n", self.request, body.len());
        self.socket.write_all(text.as_bytes()).map_err(|error| format!("{subject}: {error}"))
    }

    /// The next message to the last request.
    fn answer<T>(&mut self, read: impl Fn(&wire::Message<'_>) -> Result<T>) -> Result<Answer<T>> {
        let subject = format!("_INBOX.admin.{}", self.request);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            while let Some((op, length)) = wire::next(&self.input)? {
                let mut found = None;
                match op {
                    Op::Ping => self.socket.write_all(b"PONG\r\n").map_err(|error| error.to_string())?,
                    Op::Error(line) => return Err(String::from_utf8_lossy(line).into_owned()),
                    Op::Message(message) if message.subject == subject => {
                        let pending = message.header("Nats-Num-Pending").and_then(|word| word.parse().ok());
                        let pending = pending.unwrap_or(0);
                        found = Some(Answer { status: message.status(), pending, content: read(&message)? });
                    }
                    _ => {}
                }
                self.input.drain(..length);
                if let Some(answer) = found {
                    return Ok(answer);
                }
            }
            let length = self.socket.read(&mut buffer).map_err(|error| format!("no answer: {error}"))?;
            if length == 0 {
                return Err("the server ended the connection".into());
            }
            self.input.extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
    }
}
