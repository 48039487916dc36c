//! Asks a local API: over plain HTTP by a connection of our own, for a router that is asked every few seconds must
//! not start a program each time; over HTTPS with the router's programs (`fetch`).
//!
//! No redirection is followed and no proxy asked: the key is for this address alone. One connection for each question.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::http::Answer;
use super::settings::{self, Settings};
use crate::feed::connect::{self, Unreached};
use crate::feed::fetch::{self, Pass, Wanted};
use crate::outside;

/// How long each step of a connection may take, and how long nothing may come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long its answer may not begin: all decisions are gathered before their first byte comes, for 100,000 on a
/// busy machine that took more than a minute.
const FIRST: Duration = Duration::from_secs(120);
/// How long all of an answer may take.
const WHOLE: Duration = Duration::from_secs(180);
/// Most bytes of an answer: half a million decisions have 70 MB.
const MOST: u64 = 128 << 20;
/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// Takes the pieces of a body; `false`: no more is wanted.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> bool;

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// It answered with another status than 200 and 201.
    Status(u16),
    /// Anything else, in a sentence.
    Other(String),
}

impl From<&str> for NoAnswer {
    fn from(text: &str) -> NoAnswer {
        NoAnswer::Other(text.into())
    }
}

/// Asks for a path below the local API's address; with a body, that is told (POST). What comes goes into the sink.
pub async fn ask(settings: &Settings, path: &str, body: Option<&str>, sink: Sink<'_>) -> Result<(), NoAnswer> {
    let key = key(settings).map_err(NoAnswer::Other)?;
    let url = [settings.url.trim_end_matches('/'), "/", path].concat();
    if url.starts_with("https://") {
        return by_program(settings, &url, key, body, sink).await;
    }
    let late = |_| NoAnswer::Other(format!("it did not send all of its answer within {} s", WHOLE.as_secs()));
    timeout(WHOLE, plain(settings, &url, key.as_deref(), body, sink)).await.map_err(late)?
}

/// The key, from the configuration or its file.
fn key(settings: &Settings) -> Result<Option<String>, String> {
    let Some(path) = &settings.api_key_file else { return Ok(settings.api_key.clone()) };
    let shown = path.display();
    let key = fetch::first_line(path).map_err(|error| format!("the key in {shown} cannot be read: {error}"))?;
    let key = key.trim();
    if settings::is_key(key) { Ok(Some(key.to_owned())) } else { Err(format!("{shown} has no key in its first line")) }
}

async fn by_program(
    settings: &Settings,
    url: &str,
    key: Option<String>,
    body: Option<&str>,
    sink: Sink<'_>,
) -> Result<(), NoAnswer> {
    let headers = key.iter().map(|key| format!("X-Api-Key: {key}")).collect();
    let (certificate, key) = (settings.cert.as_deref(), settings.key.as_deref());
    let pass = Pass { headers, certificate, key, body, form: false };
    let request = Wanted {
        pass: Some(&pass),
        secure: true,
        list: false,
        most: MOST,
        time: WHOLE,
        silence: FIRST,
        ..Wanted::new(url)
    };
    fetch::fetch(&request, sink).await.map(drop).map_err(|failure| match failure.status {
        Some(status) => NoAnswer::Status(status),
        None => NoAnswer::Other(outside::clean(&failure.text, outside::SENTENCE)),
    })
}

async fn plain(
    settings: &Settings,
    url: &str,
    key: Option<&str>,
    body: Option<&str>,
    sink: Sink<'_>,
) -> Result<(), NoAnswer> {
    let mut connection = connect(settings).await?;
    let question = question(url, key, body);
    let sent = timeout(PATIENCE, connection.write_all(question.as_bytes())).await;
    sent.map_err(|_| "it takes no question")?
        .map_err(|error| NoAnswer::Other(format!("it could not be asked: {error}")))?;
    let (mut answer, mut piece, mut length, mut wants) = (Answer::default(), vec![0; PIECE], 0, true);
    while wants && !answer.is_whole() {
        let patience = if length == 0 { FIRST } else { PATIENCE };
        let read = timeout(patience, connection.read(&mut piece)).await;
        let read = read.map_err(|_| NoAnswer::Other(format!("it sent nothing for {} s", patience.as_secs())))?;
        let count = read.map_err(|error| NoAnswer::Other(format!("the answer was cut: {error}")))?;
        if count == 0 {
            answer.finish()?;
            break;
        }
        length += count as u64;
        if length > MOST {
            return Err("it sends more than is taken".into());
        }
        answer.push(piece.get(..count).unwrap_or_default(), &mut |bytes| wants = wants && sink(bytes))?;
        if let Some(status) = answer.status.filter(|status| !matches!(status, 200 | 201)) {
            return Err(NoAnswer::Status(status));
        }
        // A long answer from this very machine is always there: others have their turn.
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn connect(settings: &Settings) -> Result<TcpStream, NoAnswer> {
    let (host, port) = settings.server();
    let open = async |address| TcpStream::connect(address).await.map_err(|cause| Unreached::Connect(address, cause));
    connect::first(host, port, PATIENCE, open).await.map_err(|error| NoAnswer::Other(error.to_string()))
}

/// The text of a question.
fn question(url: &str, key: Option<&str>, body: Option<&str>) -> String {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let mut text = String::new();
    text.extend([if body.is_some() { "POST " } else { "GET " }, path, " HTTP/1.1\r\nHost: ", host]);
    text.extend([
        "\r\nUser-Agent: diswall/",
        env!("CARGO_PKG_VERSION"),
        "\r\nAccept: application/json\r\nConnection: close\r\n",
    ]);
    key.iter().for_each(|key| text.extend(["X-Api-Key: ", key, "\r\n"]));
    if let Some(body) = body {
        text.extend(["Content-Type: application/json\r\nContent-Length: ", &body.len().to_string(), "\r\n"]);
    }
    text.extend(["\r\n", body.unwrap_or_default()]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_for_one_host_with_one_key() {
        let text = question("http://[fd00::2]:8080/a/v1/x?y=z", Some("k"), None);
        assert!(text.starts_with("GET /a/v1/x?y=z HTTP/1.1\r\nHost: [fd00::2]:8080\r\nUser-Agent: diswall/"), "{text}");
        assert!(text.ends_with("\r\nConnection: close\r\nX-Api-Key: k\r\n\r\n"), "{text}");
        let told = question("http://a/v1/usage-metrics", None, Some("{}"));
        assert!(
            told.starts_with("POST /v1/usage-metrics HTTP/1.1\r\n") && told.ends_with("Content-Length: 2\r\n\r\n{}")
        );
    }
}
