//! The NATS client protocol, as much of it as this feed needs: server's bytes in, operations out, and
//! client's operations as bytes.
//!
//! No socket and no clock. A hostile server can make [`Decoder::operation`] fail, which ends the connection,
//! but can neither make it panic nor make it hold more than [`MAX_PAYLOAD`] and one line. Called by
//! `transport` and `client`, and by the fuzz target and the corpus test. Messages come out in the order
//! in which the server sent them, whatever their subscriptions: a ban and its taking back must not
//! change places.
//!
//! Not `async-nats`, which serves in the tests as the other side: a server can make it panic, with an
//! `-ERR` without a text or a length near 2^64, and with it the whole daemon; it takes messages of any
//! length; and its subscriptions have queues of their own, between which order is lost.

use std::fmt;
use std::io::Write as _;

use bytes::{Buf as _, BytesMut};

use crate::json::{self, fields};

/// Longest message body that is taken, in bytes. NATS servers limit it themselves, to 1 MiB unless told
/// otherwise. 4 MiB is room for some 140,000 lines of a list, and what a router with 64 MB can hold once.
pub const MAX_PAYLOAD: usize = 4 << 20;

/// Longest line that is taken, in bytes. Servers keep lines below 4096; INFO may be longer in a cluster.
pub const MAX_LINE: usize = 32 << 10;

/// The buffer's size between messages, in bytes: a longer one is given back after its message.
const IDLE_BUFFER: usize = 4 << 10;

/// What the server said that is no NATS.
#[derive(Debug)]
pub enum ProtocolError {
    /// A line longer than [`MAX_LINE`].
    Line,
    /// A message longer than [`MAX_PAYLOAD`]; its length in bytes as announced.
    Payload(u64),
    /// A line that is none of the protocol's.
    Operation(String),
    /// An INFO that is no JSON object of the known form.
    Info(json::Error),
    /// A message that does not end where its length says.
    Frame,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolError::Line => write!(f, "the server sent a line of more than {MAX_LINE} bytes"),
            ProtocolError::Payload(length) => {
                write!(f, "the server sent a message of {length} bytes; at most {MAX_PAYLOAD} are taken")
            }
            ProtocolError::Operation(line) => write!(f, "the server sent \"{line}\", which is no NATS"),
            ProtocolError::Info(cause) => write!(f, "the server's INFO cannot be read: {cause}"),
            ProtocolError::Frame => write!(f, "a message does not end where its length says"),
        }
    }
}

impl std::error::Error for ProtocolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ProtocolError::Info(cause) => Some(cause),
            _ => None,
        }
    }
}

/// What the server says of itself, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// It takes no client without TLS.
    pub tls_required: bool,
    /// It takes clients with and without.
    pub tls_available: bool,
    /// Longest body it takes and passes on, in bytes; 0 when it does not say.
    pub max_payload: u64,
    /// What a login with a key is to sign; empty where no login has one.
    pub nonce: String,
}

fields!(Info { tls_required, tls_available, max_payload, nonce });

/// A message that came on one of our subscriptions, borrowed from the buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The subscription, by the number we gave it.
    pub sid: u32,
    /// The full subject.
    pub subject: &'a str,
    /// The body.
    pub payload: &'a [u8],
    /// The headers as they came, with the line before them; none in most messages.
    pub headers: &'a [u8],
    /// The status in the headers, if there is one; 503 means that nobody listens to a request's subject.
    pub status: Option<u16>,
}

/// One operation of the server's.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// The first thing it says; later again when its cluster changes.
    Info(Info),
    /// To be answered with [`PONG`].
    Ping,
    /// The answer to [`PING`].
    Pong,
    /// Only in verbose mode, which we do not ask for.
    Ok,
    /// Something is refused. Whether the connection ends is the server's choice.
    Err(&'a str),
    /// A message.
    Message(Delivery<'a>),
}

/// Cuts the server's bytes into operations.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// Bytes at the buffer's start that the operation last given out stands on.
    given: usize,
    /// The buffer was made longer for a long message.
    grown: bool,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { buffer: BytesMut::with_capacity(IDLE_BUFFER), given: 0, grown: false }
    }
}

impl Decoder {
    /// Where the next bytes from the server are to be put. Only between two calls of [`Decoder::operation`],
    /// the last of which gave `None`: the buffer then has all the room that the announced message needs.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether bytes are there that no operation stood on.
    pub fn has_rest(&self) -> bool {
        self.buffer.len() > self.given
    }

    /// The next whole operation; `None` when more bytes are needed. After an error the connection is to
    /// be closed.
    pub fn operation(&mut self) -> Result<Option<Operation<'_>>, ProtocolError> {
        self.buffer.advance(std::mem::take(&mut self.given));
        if self.grown && self.buffer.len() < IDLE_BUFFER {
            let mut short = BytesMut::with_capacity(IDLE_BUFFER);
            short.extend_from_slice(&self.buffer);
            (self.buffer, self.grown) = (short, false);
        }
        let window = self.buffer.get(..MAX_LINE.min(self.buffer.len())).unwrap_or_default();
        let Some(line_length) = window.iter().position(|byte| *byte == b'\n') else {
            return if window.len() == MAX_LINE { Err(ProtocolError::Line) } else { self.wait_for(1) };
        };
        let header = Header::parse(window.get(..line_length).unwrap_or_default())?;
        let body_start = line_length + 1;
        let Some((headers, total)) = header.body() else {
            self.given = body_start;
            let line = self.buffer.get(..line_length).unwrap_or_default();
            return Header::parse(line)?.without_body().map(Some);
        };
        let end = body_start + total;
        if self.buffer.len() < end + 2 {
            return self.wait_for(end + 2 - self.buffer.len());
        }
        if self.buffer.get(end..end + 2) != Some(b"\r\n".as_slice()) {
            return Err(ProtocolError::Frame);
        }
        self.given = end + 2;
        let (line, body) = self.buffer.split_at_checked(body_start).unwrap_or_default();
        let (headers, rest) = body.split_at_checked(headers).unwrap_or_default();
        let payload = rest.get(..end - body_start - headers.len()).unwrap_or_default();
        match Header::parse(line.trim_ascii_end())? {
            Header::Message { sid, subject, .. } => {
                Ok(Some(Operation::Message(Delivery { sid, subject, payload, headers, status: status(headers) })))
            }
            _ => Err(ProtocolError::Frame),
        }
    }

    /// Makes room for that many bytes more.
    fn wait_for(&mut self, missing: usize) -> Result<Option<Operation<'_>>, ProtocolError> {
        self.grown |= missing > IDLE_BUFFER;
        self.buffer.reserve(missing.max(IDLE_BUFFER / 2));
        Ok(None)
    }
}

/// The line that starts every operation.
enum Header<'a> {
    Message { subject: &'a str, sid: u32, headers: usize, total: usize },
    Info(&'a [u8]),
    Err(&'a str),
    Ping,
    Pong,
    Ok,
}

impl<'a> Header<'a> {
    fn parse(line: &'a [u8]) -> Result<Header<'a>, ProtocolError> {
        let line = line.trim_ascii();
        let refused = || ProtocolError::Operation(excerpt(line));
        let split = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (verb, rest) = line.split_at_checked(split).ok_or_else(refused)?;
        let is = |name: &str| verb.eq_ignore_ascii_case(name.as_bytes());
        if is("MSG") || is("HMSG") {
            let rest = std::str::from_utf8(rest).map_err(|_| refused())?;
            return Header::message(rest, is("HMSG"))?.ok_or_else(refused);
        }
        Ok(if is("PING") {
            Header::Ping
        } else if is("PONG") {
            Header::Pong
        } else if is("+OK") {
            Header::Ok
        } else if is("-ERR") {
            Header::Err(std::str::from_utf8(rest).map_err(|_| refused())?.trim().trim_matches('\''))
        } else if is("INFO") {
            Header::Info(rest)
        } else {
            return Err(refused());
        })
    }

    /// `SUBJECT SID [REPLY] [HEADER-BYTES] TOTAL-BYTES`; `None` for another form.
    fn message(arguments: &'a str, with_headers: bool) -> Result<Option<Header<'a>>, ProtocolError> {
        let mut words = arguments.split_ascii_whitespace();
        let (Some(subject), Some(sid), Some(total)) = (words.next(), words.next(), words.next_back()) else {
            return Ok(None);
        };
        let headers = if with_headers { words.next_back() } else { Some("0") };
        let _reply = words.next();
        let number = |text: &str| text.parse::<u64>().ok();
        let (Ok(sid), Some(headers), Some(total), None) =
            (sid.parse(), headers.and_then(number), number(total), words.next())
        else {
            return Ok(None);
        };
        match (usize::try_from(headers), usize::try_from(total)) {
            (Ok(headers), Ok(total)) if total <= MAX_PAYLOAD => {
                Ok((headers <= total).then_some(Header::Message { subject, sid, headers, total }))
            }
            _ => Err(ProtocolError::Payload(total)),
        }
    }

    /// Lengths of the headers, and of headers and payload together, where a body follows.
    fn body(&self) -> Option<(usize, usize)> {
        match *self {
            Header::Message { headers, total, .. } => Some((headers, total)),
            _ => None,
        }
    }

    fn without_body(self) -> Result<Operation<'a>, ProtocolError> {
        Ok(match self {
            Header::Info(info) => {
                let info = str::from_utf8(info).map_err(|_| ProtocolError::Operation(excerpt(info)))?;
                Operation::Info(json::from_str(info).map_err(ProtocolError::Info)?)
            }
            Header::Err(text) => Operation::Err(text),
            Header::Ping => Operation::Ping,
            Header::Pong => Operation::Pong,
            Header::Ok => Operation::Ok,
            Header::Message { .. } => return Err(ProtocolError::Frame),
        })
    }
}

/// The status in a message's headers: `NATS/1.0 503 …`.
fn status(headers: &[u8]) -> Option<u16> {
    let line = headers.strip_prefix(b"NATS/1.0 ")?;
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

/// The start of a line as an error may repeat it.
fn excerpt(line: &[u8]) -> String {
    line.get(..line.len().min(40)).unwrap_or_default().escape_ascii().to_string()
}

/// Asks whether the other side still lives.
pub const PING: &[u8] = b"PING\r\n";
/// Says that this side does.
pub const PONG: &[u8] = b"PONG\r\n";

/// By what a login proves itself.
pub enum Login<'a> {
    /// User and password.
    Password(&'a str, &'a str),
    /// A public key, and the server's nonce signed with it: neither has a character that JSON would quote.
    Key(&'a str, &'a str),
}

/// CONNECT, the client's first line. `echo` off: the server does not send us what we publish.
pub fn connect(out: &mut Vec<u8>, login: &Login<'_>, encrypted: bool) {
    let (user, password) = if let Login::Password(user, password) = login { (*user, *password) } else { ("", "") };
    let connect = Connect {
        tls_required: encrypted,
        user: user.into(),
        pass: password.into(),
        name: env!("CARGO_PKG_NAME").into(),
        lang: "rust".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: 1,
        headers: true,
        no_responders: true,
        ..Connect::default()
    };
    out.extend_from_slice(b"CONNECT ");
    let mut connect = json::to_string(&connect);
    if let Login::Key(public, signature) = login {
        connect.truncate(connect.trim_end_matches('}').len());
        for (name, value) in [("nkey", public), ("sig", signature)] {
            connect.push_str(",\"");
            connect.push_str(name);
            connect.push_str("\":\"");
            connect.push_str(value);
            connect.push('"');
        }
        connect.push('}');
    }
    out.extend_from_slice(connect.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What the client says of itself.
#[derive(Default)]
struct Connect {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    user: String,
    pass: String,
    name: String,
    lang: String,
    version: String,
    protocol: u8,
    echo: bool,
    headers: bool,
    no_responders: bool,
}

fields!(Connect {
    verbose,
    pedantic,
    tls_required,
    user,
    pass,
    name,
    lang,
    version,
    protocol,
    echo,
    headers,
    no_responders,
});

/// SUB: messages on `subject` are to come under the number `sid`.
pub fn subscribe(out: &mut Vec<u8>, subject: &str, sid: u32) {
    // Writing to a Vec cannot fail; so it is below.
    let _ = write!(out, "SUB {subject} {sid}\r\n");
}

/// UNSUB: no more messages under the number `sid`.
pub fn unsubscribe(out: &mut Vec<u8>, sid: u32) {
    let _ = write!(out, "UNSUB {sid}\r\n");
}

/// PUB: a message, with the subject where a reply is expected, if one is.
pub fn publish(out: &mut Vec<u8>, subject: &str, reply: Option<&str>, payload: &[u8]) {
    let (space, reply) = if let Some(reply) = reply { (" ", reply) } else { ("", "") };
    let _ = write!(out, "PUB {subject}{space}{reply} {}\r\n", payload.len());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every operation of a byte stream as text, the stream fed in pieces of `step` bytes.
    fn decode(bytes: &[u8], step: usize) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut shown = Vec::new();
        for piece in bytes.chunks(step.max(1)) {
            decoder.buffer().extend_from_slice(piece);
            loop {
                match decoder.operation() {
                    Ok(Some(operation)) => shown.push(format!("{operation:?}")),
                    Ok(None) => break,
                    Err(error) => {
                        shown.push(error.to_string());
                        return shown;
                    }
                }
            }
        }
        shown
    }

    fn message(sid: u32, subject: &str, payload: &[u8], headers: &[u8]) -> String {
        let status = (headers.len() > 14).then_some(503);
        format!("{:?}", Operation::Message(Delivery { sid, subject, payload, headers, status }))
    }

    #[test]
    fn a_conversation_however_it_is_cut() {
        let bytes =
            b"INFO {\"server_id\":\"x\",\"tls_required\":true,\"max_payload\":1048576,\"new\":[1]} \r\n+OK\r\nPONG\r\n\
            MSG a.b 1 4\r\n\r\n\xff.\r\nMSG a.b 2 _INBOX.x 0\r\n\r\nPING\r\nmsg\ta  3  1\r\nx\r\n\
            HMSG _INBOX.x 9 16 16\r\nNATS/1.0 503\r\n\r\n\r\nHMSG a 4 reply 12 15\r\nNATS/1.0\r\n\r\nabc\r\n\
            -ERR 'Permissions Violation for Publish to \"a.b\"'\r\n-ERR\r\n";
        let info = Info { tls_required: true, tls_available: false, max_payload: 1_048_576, nonce: String::new() };
        let expected = [
            format!("{:?}", Operation::Info(info)),
            "Ok".into(),
            "Pong".into(),
            message(1, "a.b", b"\r\n\xff.", b""),
            message(2, "a.b", b"", b""),
            "Ping".into(),
            message(3, "a", b"x", b""),
            message(9, "_INBOX.x", b"", b"NATS/1.0 503\r\n\r\n"),
            message(4, "a", b"abc", b"NATS/1.0\r\n\r\n"),
            format!("{:?}", Operation::Err("Permissions Violation for Publish to \"a.b\"")),
            format!("{:?}", Operation::Err("")),
        ];
        for step in [1, 2, 3, 7, 64, bytes.len()] {
            assert_eq!(decode(bytes, step), expected, "in pieces of {step}");
        }
    }

    #[test]
    fn what_is_no_nats_is_an_error() {
        let table: [(&[u8], &str); 12] = [
            (b"HTTP/1.1 400 Bad Request\r\n", "which is no NATS"),
            (b"\r\n", "which is no NATS"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "which is no NATS"),
            (b"INFO {\r\n", "INFO cannot be read"),
            (b"MSG a 1\r\n", "which is no NATS"),
            (b"MSG a x 1\r\n", "which is no NATS"),
            (b"MSG a 1 r r 1\r\n", "which is no NATS"),
            (b"MSG a 1 -1\r\n", "which is no NATS"),
            (b"HMSG a 1 5 4\r\n", "which is no NATS"),
            (b"MSG a 1 8388609\r\n", "message of 8388609 bytes"),
            (b"MSG a 1 18446744073709551615\r\n", "message of 18446744073709551615 bytes"),
            (b"MSG a 1 1\r\nabc\r\n", "does not end where"),
        ];
        for (bytes, expected) in table {
            let shown = decode(bytes, 5);
            assert!(shown.last().is_some_and(|last| last.contains(expected)), "{bytes:?}: {shown:?}");
        }
        assert!(decode(&vec![b'x'; MAX_LINE], 1000).concat().contains("line of more than"));
    }

    #[test]
    fn a_long_message_leaves_no_long_buffer() {
        let mut bytes = format!("MSG a 1 {MAX_PAYLOAD}\r\n").into_bytes();
        bytes.resize(bytes.len() + MAX_PAYLOAD, b'x');
        bytes.extend_from_slice(b"\r\n");
        let mut decoder = Decoder::default();
        let mut messages = 0;
        for piece in bytes.chunks(60_000) {
            decoder.buffer().extend_from_slice(piece);
            while let Some(Operation::Message(message)) = decoder.operation().unwrap() {
                assert_eq!(message.payload.len(), MAX_PAYLOAD);
                messages += 1;
            }
        }
        assert_eq!(messages, 1);
        assert!(!decoder.has_rest());
        assert!(decoder.buffer().capacity() <= 2 * IDLE_BUFFER, "{}", decoder.buffer().capacity());
    }

    #[test]
    fn what_is_said_to_the_server() {
        let mut out = Vec::new();
        connect(&mut out, &Login::Password("al\"ice", "p\r\n"), true);
        subscribe(&mut out, "diswall.blacklist.new", 1);
        publish(&mut out, "a.b", Some("_INBOX.x"), b"empty");
        publish(&mut out, "a.b", None, b"");
        let text = String::from_utf8(out).unwrap();
        let (first, rest) = text.split_once("\r\n").unwrap();
        assert!(first.starts_with("CONNECT {\"verbose\":false"), "{first}");
        assert!(first.contains(r#""user":"al\"ice","pass":"p\r\n""#) && first.contains(r#""echo":false"#), "{first}");
        assert_eq!(rest, "SUB diswall.blacklist.new 1\r\nPUB a.b _INBOX.x 5\r\nempty\r\nPUB a.b 0\r\n\r\n");
    }

    proptest! {
        #[test]
        fn the_cut_never_matters(
            bytes in prop::collection::vec(
                prop_oneof![
                    Just(b"PING\r\n".to_vec()),
                    Just(b"MSG a 1 3\r\nabc\r\n".to_vec()),
                    Just(b"HMSG a 1 12 13\r\nNATS/1.0\r\n\r\nx\r\n".to_vec()),
                    Just(b"-ERR 'x'\r\n".to_vec()),
                    prop::collection::vec(any::<u8>(), 0..6),
                ],
                0..12,
            ),
            step in 1_usize..40,
        ) {
            let bytes = bytes.concat();
            prop_assert_eq!(decode(&bytes, step), decode(&bytes, bytes.len()));
        }
    }
}
