//! One ZMTP connection as a subscriber: the bytes of a TCP stream to and from `omq-proto`, which does
//! the framing and CURVE.
//!
//! It notices a dead connection within [`DEAD`], keeps only what the frame in progress needs, and knows
//! nothing of DynFW. `client` opens a session, subscribes, and reads messages until the first error.

use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use omq_proto::proto::{Command, Connection, ConnectionConfig, Role, SocketType};
use omq_proto::{CurveKeypair, CurvePublicKey, MechanismSetup, Message};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::failure::ConnectionError;

/// Largest message taken unless more entries may be kept, bytes. A list of 100,000 addresses is 1.4 MB, and a
/// message is held twice while it is decrypted.
pub const FRAME_MAX: usize = 4 << 20;
/// How long a handshake may take.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(15);
/// Silence after which a heartbeat is sent.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// Silence after which the connection counts as dead: the heartbeat was not answered.
pub const DEAD: Duration = Duration::from_secs(50);

/// Bytes asked of the socket at once; a delta takes about 180 of them.
const READ: usize = 16 << 10;
/// A frame above this is read straight into a buffer of its size, not collected from [`READ`]s.
const LARGE: usize = 64 << 10;
/// Length of a ZMTP greeting, and of its part before the minor version and the mechanism.
const GREETING: usize = 64;
const OPENING: usize = 11;
/// How long the peer's greeting is waited for before the rest of ours goes out.
const GREETING_MAX: Duration = Duration::from_secs(1);

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Session {
    stream: TcpStream,
    connection: Connection,
    buffer: BytesMut,
    /// The body of a large frame as far as it has come, and its full length.
    large: Option<(BytesMut, usize)>,
    heard: Instant,
    /// A heartbeat has been sent since `heard`.
    probed: bool,
    /// Why there will be nothing more once the queued messages are read.
    end: Option<ConnectionError>,
}

impl Session {
    /// Shakes hands on a fresh TCP connection, with CURVE if there is a server key.
    pub async fn open(
        stream: TcpStream,
        key: Option<CurvePublicKey>,
        frame_max: usize,
    ) -> Result<Session, ConnectionError> {
        prepare(&stream).map_err(ConnectionError::Io)?;
        let mechanism = match key {
            // The server knows no client keys: a fresh pair each time tells it nothing about us.
            Some(server_public) => MechanismSetup::CurveClient { our_keypair: CurveKeypair::generate(), server_public },
            None => MechanismSetup::Null,
        };
        let config =
            ConnectionConfig::new(Role::Client, SocketType::Sub).max_message_size(frame_max).mechanism(mechanism);
        let mut session = Session {
            stream,
            connection: Connection::new(config),
            buffer: BytesMut::with_capacity(READ),
            large: None,
            heard: Instant::now(),
            probed: false,
            end: None,
        };
        let mut greeting = Vec::with_capacity(GREETING);
        let wanted = if key.is_some() { "CURVE" } else { "NULL" };
        match timeout(HANDSHAKE_MAX, session.handshake(&mut greeting)).await {
            Ok(Ok(())) => Ok(session),
            Ok(Err(failure)) => Err(diagnose(&greeting, wanted, failure)),
            Err(_) => {
                Err(diagnose(&greeting, wanted, ConnectionError::HandshakeTimeout { spoke: !greeting.is_empty() }))
            }
        }
    }

    /// Queues a subscription or its end; it goes out with the next [`Session::next`].
    pub fn subscribe(&mut self, topic: &'static str, wanted: bool) -> Result<(), ConnectionError> {
        let topic = Bytes::from_static(topic.as_bytes());
        let command = if wanted { Command::Subscribe(topic) } else { Command::Cancel(topic) };
        self.connection.send_command(&command).map_err(ConnectionError::Protocol)
    }

    /// The next message. May be dropped at any await without losing anything.
    pub async fn next(&mut self) -> Result<Message, ConnectionError> {
        loop {
            if let Some(message) = self.connection.poll_message() {
                return Ok(message);
            }
            if let Some(end) = self.end.take() {
                return Err(end);
            }
            // Commands a publisher may send have no meaning for a subscriber.
            while self.connection.poll_event().is_some() {}
            self.flush().await?;
            if self.connection.has_pending_input() {
                self.end = self.connection.resume_input().err().map(failure);
                continue;
            }
            let wake = self.heard + if self.probed { DEAD } else { HEARTBEAT };
            tokio::select! {
                biased;
                read = self.read() => { read?; }
                () = sleep_until(wake) => self.probe()?,
            }
        }
    }

    /// Shakes hands, noting the peer's greeting for a diagnosis.
    async fn handshake(&mut self, greeting: &mut Vec<u8>) -> Result<(), ConnectionError> {
        // Our mechanism is held back until the peer's is known: libzmq ends the connection as soon as it
        // reads one that is not its own, mostly before its own has gone out, and the reason would be lost.
        self.write(OPENING).await?;
        let peer_greets = async {
            while greeting.len() < GREETING {
                self.read_handshake(greeting).await?;
            }
            Ok::<(), ConnectionError>(())
        };
        match timeout(GREETING_MAX, peer_greets).await {
            Ok(greeted) => greeted?,
            Err(_) => log::debug!("dynfw: the server waits for the whole greeting"),
        }
        while !self.connection.is_ready() {
            self.flush().await?;
            self.read_handshake(greeting).await?;
        }
        self.heard = Instant::now();
        Ok(())
    }

    async fn read_handshake(&mut self, greeting: &mut Vec<u8>) -> Result<(), ConnectionError> {
        self.reserve();
        if self.stream.read_buf(&mut self.buffer).await.map_err(ConnectionError::Io)? == 0 {
            return Err(ConnectionError::Closed);
        }
        let missing = GREETING.saturating_sub(greeting.len());
        greeting.extend(self.buffer.iter().take(missing));
        self.connection.handle_input(self.buffer.split().freeze()).map_err(ConnectionError::Handshake)
    }

    /// Reads once. Cancel safe: the only await is the read itself.
    async fn read(&mut self) -> Result<(), ConnectionError> {
        let count = match &mut self.large {
            Some((body, length)) => {
                let missing = length.saturating_sub(body.len());
                self.stream.read_buf(&mut body.limit(missing)).await
            }
            None => {
                self.reserve();
                self.stream.read_buf(&mut self.buffer).await
            }
        };
        if count.map_err(ConnectionError::Io)? == 0 {
            return Err(ConnectionError::Closed);
        }
        self.heard = Instant::now();
        self.probed = false;
        self.end = self.decode().err().map(failure);
        Ok(())
    }

    /// Hands over what has been read.
    fn decode(&mut self) -> Result<(), omq_proto::Error> {
        match self.large.take() {
            Some((body, length)) if body.len() < length => {
                self.large = Some((body, length));
                return Ok(());
            }
            Some((body, _)) => self.connection.supply_payload(body.freeze())?,
            None => self.connection.handle_input(self.buffer.split().freeze())?,
        }
        let next = self.connection.peek_next_frame_payload_size()?;
        if next.is_some_and(|next| next.payload_len > LARGE)
            && let Some((length, prefix)) = self.connection.begin_supplied_payload_with_prefix()
        {
            let mut body = BytesMut::with_capacity(length);
            body.put_slice(prefix.as_slice());
            self.large = Some((body, length));
        }
        Ok(())
    }

    fn reserve(&mut self) {
        if self.buffer.capacity() < READ / 4 {
            self.buffer.reserve(READ);
        }
    }

    /// Silence: asks for a sign of life, or gives up. ZMTP 3.0 has no heartbeats; there, TCP's own
    /// keep-alives notice that the machine is gone.
    fn probe(&mut self) -> Result<(), ConnectionError> {
        if self.probed && self.connection.peer_minor() >= 1 {
            return Err(ConnectionError::Silent(self.heard.elapsed().as_secs()));
        }
        if self.connection.peer_minor() >= 1 {
            let ping = Command::Ping { ttl_deciseconds: 0, context: Bytes::new() };
            self.connection.send_command(&ping).map_err(ConnectionError::Protocol)?;
            self.probed = true;
        } else {
            self.heard = Instant::now();
        }
        Ok(())
    }

    /// Writes what is queued. Cancel safe: what a write took is noted before the next await.
    async fn flush(&mut self) -> Result<(), ConnectionError> {
        while self.connection.has_pending_transmit() {
            self.write(usize::MAX).await?;
        }
        Ok(())
    }

    /// Writes once, at most so many bytes of what is queued.
    async fn write(&mut self, most: usize) -> Result<(), ConnectionError> {
        let chunk = self.connection.poll_transmit();
        let written = timeout(DEAD, self.stream.writable()).await;
        written.map_err(|_| ConnectionError::Silent(DEAD.as_secs()))?.map_err(ConnectionError::Io)?;
        match self.stream.try_write(chunk.get(..most).unwrap_or(&chunk)) {
            Ok(count) => self.connection.advance_transmit(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(ConnectionError::Io(error)),
        }
        Ok(())
    }
}

/// Small writes at once; and TCP's own keep-alives, dead after 20 + 3 × 10 s.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, HEARTBEAT)?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    Ok(())
}

fn failure(error: omq_proto::Error) -> ConnectionError {
    match error {
        omq_proto::Error::MessageTooLarge { size, max } => ConnectionError::TooLarge { size, most: max },
        error => ConnectionError::Protocol(error),
    }
}

/// What a failed handshake means, from the peer's greeting as far as it came: RFC 23, "Greeting".
fn diagnose(greeting: &[u8], wanted: &'static str, failure: ConnectionError) -> ConnectionError {
    if greeting.first().is_some_and(|&byte| byte != 0xff) || greeting.get(9).is_some_and(|&byte| byte != 0x7f) {
        return ConnectionError::NotZmtp(printable(greeting));
    }
    if let Some(&major) = greeting.get(10)
        && major < 3
    {
        return ConnectionError::OldZmtp(major);
    }
    let ended = matches!(failure, ConnectionError::Closed | ConnectionError::Io(_));
    let Some(mechanism) = greeting.get(12..32) else {
        let zmtp = greeting.len() >= 10;
        return if ended { ConnectionError::ClosedAtGreeting { wanted, zmtp } } else { failure };
    };
    let end = mechanism.iter().position(|&byte| byte == 0).unwrap_or(mechanism.len());
    let (offered, _) = mechanism.split_at(end);
    if offered != wanted.as_bytes() {
        return ConnectionError::Mechanism { offered: printable(offered), wanted };
    }
    // libzmq says nothing to a client whose HELLO it cannot decrypt: it closes. Another server may send
    // an ERROR, or a WELCOME that is not for our key.
    let undecipherable = matches!(&failure, ConnectionError::Handshake(omq_proto::Error::HandshakeFailed(_)));
    if wanted == "CURVE" && (ended || undecipherable) {
        return ConnectionError::WrongKey;
    }
    failure
}

/// The start of what a stranger said, on one line.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..32).unwrap_or(bytes));
    text.trim_end().chars().flat_map(char::escape_debug).collect()
}
