//! A connection to a NATS server: resolved, connected, encrypted where asked for, logged in.
//!
//! It reads and writes operations and knows nothing of what they mean. Every way to fail is told apart,
//! since what the owner has to do differs: [`ConnectError`] prints one sentence with the cause. Encryption
//! itself is `tls`, which a router's program may leave out. Only `client` calls it.

#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::nkey::Nkey;
use super::protocol::{self, Decoder, Info, Login, Operation, ProtocolError};
use super::settings::Settings;
use crate::feed::connect::{self, Unreached};
use crate::outside;

/// Longest wait for one address of the server, from the first packet to the accepted log-in.
const CONNECT: Duration = Duration::from_secs(15);
/// Longest wait for the server to take what we send. It is never more than a few kilobytes.
const WRITE: Duration = Duration::from_secs(30);

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// Nobody answered.
    Unreached(Unreached),
    /// The connection broke.
    Io(SocketAddr, io::Error),
    /// The other side closed the connection before the log-in was through.
    Closed(SocketAddr),
    /// What is there is no NATS server.
    NotNats(SocketAddr, ProtocolError),
    /// It is one, and has no TLS.
    NoTls(SocketAddr),
    /// TLS failed; its cause says at what.
    Tls(SocketAddr, io::Error),
    /// The router itself cannot do the TLS that was asked for. The cause is the whole sentence.
    CannotEncrypt(io::Error),
    /// The server refused the log-in. Its words.
    Login(String),
    /// The router has no key to log in with. The whole sentence.
    NoKey(String),
    /// The server refused that key, whose public half this is. Its words.
    Key(String, String),
    /// No login of the server's has a key.
    NoNonce(SocketAddr),
    /// The server refused something else. Its words.
    Refused(String),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Unreached(why) => write!(f, "{why}"),
            ConnectError::Io(address, cause) => write!(f, "{address}: {cause}"),
            ConnectError::Closed(address) => write!(f, "{address}: closed before the log-in was through"),
            ConnectError::NotNats(address, cause) => write!(f, "{address}: no NATS server: {cause}"),
            ConnectError::NoTls(address) => {
                write!(f, "{address}: the server offers no TLS, which option tls asks for")
            }
            ConnectError::Tls(address, cause) => write!(f, "{address}: TLS failed: {cause}"),
            ConnectError::CannotEncrypt(cause) => write!(f, "{cause}"),
            ConnectError::Login(text) => {
                write!(f, "the server refused the user name or the password (client_name, client_pass): {text}")
            }
            ConnectError::NoKey(text) => f.write_str(text),
            ConnectError::Key(public, text) => {
                write!(f, "the server does not know the key of nkey_file, whose public half is {public}: {text}")
            }
            ConnectError::NoNonce(address) => {
                write!(f, "{address}: the server has no login with a key, which option nkey_file is for")
            }
            ConnectError::Refused(text) => write!(f, "the server refused the connection: {text}"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConnectError::Unreached(why) => why.source(),
            ConnectError::Io(_, cause) | ConnectError::Tls(_, cause) | ConnectError::CannotEncrypt(cause) => {
                Some(cause)
            }
            ConnectError::NotNats(_, cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<Unreached> for ConnectError {
    fn from(why: Unreached) -> ConnectError {
        ConnectError::Unreached(why)
    }
}

/// What a connection that was up ended of.
#[derive(Debug)]
pub enum LinkError {
    /// The socket failed.
    Io(io::Error),
    /// The server closed the connection.
    Closed,
    /// The server did not take what was sent within 30 s.
    Stuck,
    /// The server sent what is no NATS.
    Protocol(ProtocolError),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Io(cause) => write!(f, "{cause}"),
            LinkError::Closed => write!(f, "the server closed the connection"),
            LinkError::Stuck => write!(f, "the server takes nothing any more"),
            LinkError::Protocol(cause) => write!(f, "{cause}"),
        }
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LinkError::Io(cause) => Some(cause),
            LinkError::Protocol(cause) => Some(cause),
            LinkError::Closed | LinkError::Stuck => None,
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// A connection on which the server has accepted the log-in.
pub struct Link {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    encrypted: bool,
    max_payload: u64,
}

impl Link {
    /// Connects to the first of the server's addresses that answers, and logs in.
    pub async fn open(settings: &Settings, server: &str) -> Result<Link, ConnectError> {
        let log_in = async |address| Link::log_in(settings, server, address).await;
        connect::first(server, settings.port, CONNECT, log_in).await
    }

    /// Whether credentials and lists travel encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Longest body the server passes on, in bytes; 0 when it did not say.
    pub fn max_payload(&self) -> u64 {
        self.max_payload
    }

    /// The next operation that has already been received; `None` when [`Link::receive`] is needed.
    pub fn operation(&mut self) -> Result<Option<Operation<'_>>, LinkError> {
        self.decoder.operation().map_err(LinkError::Protocol)
    }

    /// Whether an operation has begun to come and is not whole, when [`Link::operation`] gave none.
    pub fn is_amid_an_operation(&self) -> bool {
        self.decoder.has_rest()
    }

    /// Waits for more from the server. Cancelling it loses nothing.
    pub async fn receive(&mut self) -> Result<(), LinkError> {
        match self.stream.read_buf(self.decoder.buffer()).await {
            Ok(0) => Err(LinkError::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(LinkError::Io(error)),
        }
    }

    /// Sends these bytes. Not to be cancelled: half an operation may then have been sent.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(WRITE, sent).await.map_err(|_| LinkError::Stuck)?.map_err(LinkError::Io)
    }

    async fn log_in(settings: &Settings, server: &str, address: SocketAddr) -> Result<Link, ConnectError> {
        let failed = |cause| ConnectError::Io(address, cause);
        let tcp = TcpStream::connect(address).await;
        let tcp = tcp.map_err(|cause| ConnectError::Unreached(Unreached::Connect(address, cause)))?;
        tcp.set_nodelay(true).map_err(failed)?;
        let mut link = Link { stream: Box::new(tcp), decoder: Decoder::default(), encrypted: false, max_payload: 0 };
        let info = link.expect(address, |operation| match operation {
            Operation::Info(info) => Some(Ok(info)),
            Operation::Err(text) => Some(Err(ConnectError::Refused(outside::clean(text, outside::SENTENCE)))),
            _ => None,
        });
        let info: Info = info.await?;
        link.max_payload = info.max_payload;
        if settings.tls || info.tls_required {
            if !info.tls_required && !info.tls_available {
                return Err(ConnectError::NoTls(address));
            }
            link = link.encrypt(settings, server, address).await?;
        }
        let key = settings.nkey_file.as_deref().map(Nkey::read).transpose().map_err(ConnectError::NoKey)?;
        if key.is_some() && info.nonce.is_empty() {
            return Err(ConnectError::NoNonce(address));
        }
        let proof = key.map(|key| (key.public(), key.sign(&info.nonce)));
        let login = match &proof {
            Some((public, signature)) => Login::Key(public, signature),
            None => Login::Password(&settings.client_name, &settings.client_pass),
        };
        let mut hello = Vec::new();
        protocol::connect(&mut hello, &login, link.encrypted);
        hello.extend_from_slice(protocol::PING);
        link.stream.write_all(&hello).await.map_err(failed)?;
        link.stream.flush().await.map_err(failed)?;
        let accepted = link.expect(address, |operation| match operation {
            Operation::Pong => Some(Ok(())),
            Operation::Err(text) => Some(Err(refusal(text))),
            _ => None,
        });
        accepted.await.map_err(|error| match (error, proof) {
            (ConnectError::Login(text), Some((public, _))) => ConnectError::Key(public, text),
            (error, _) => error,
        })?;
        Ok(link)
    }

    /// Reads operations until `wanted` has an answer for one.
    async fn expect<T>(
        &mut self,
        address: SocketAddr,
        wanted: impl Fn(Operation<'_>) -> Option<Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        loop {
            match self.decoder.operation() {
                Ok(Some(operation)) => {
                    if let Some(answer) = wanted(operation) {
                        return answer;
                    }
                    continue;
                }
                Ok(None) => {}
                Err(cause) => return Err(ConnectError::NotNats(address, cause)),
            }
            match self.receive().await {
                Ok(()) => {}
                Err(LinkError::Io(cause)) => return Err(self.broken(address, cause)),
                Err(_) => return Err(ConnectError::Closed(address)),
            }
        }
    }

    /// TLS reports a refused certificate of ours, or an alert, at the first read.
    fn broken(&self, address: SocketAddr, cause: io::Error) -> ConnectError {
        if self.encrypted { ConnectError::Tls(address, cause) } else { ConnectError::Io(address, cause) }
    }

    #[cfg(not(feature = "tls"))]
    async fn encrypt(self, _: &Settings, _: &str, _: SocketAddr) -> Result<Link, ConnectError> {
        let why = "this diswall was built without TLS, which option tls or the server asks for";
        Err(ConnectError::CannotEncrypt(io::Error::new(io::ErrorKind::Unsupported, why)))
    }

    #[cfg(feature = "tls")]
    async fn encrypt(self, settings: &Settings, server: &str, address: SocketAddr) -> Result<Link, ConnectError> {
        // The server waits for our hello: bytes that are here already were not sent by it.
        if self.decoder.has_rest() {
            return Err(ConnectError::NotNats(address, ProtocolError::Frame));
        }
        let stream = tls::encrypt(settings, server, address, self.stream).await?;
        Ok(Link { stream, decoder: Decoder::default(), encrypted: true, ..self })
    }
}

/// The server's `-ERR` at log-in, sorted by whether the credentials are at fault.
fn refusal(text: &str) -> ConnectError {
    let text = outside::clean(text, outside::SENTENCE);
    let lower = text.to_ascii_lowercase();
    // A time-out, and credentials that were good once, are no wrong password.
    let other = ["timeout", "expired", "revoked"].iter().any(|word| lower.contains(word));
    if !other && (lower.contains("authorization") || lower.contains("authentication")) {
        ConnectError::Login(text)
    } else {
        ConnectError::Refused(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wrong_credentials_are_blamed_on_the_owner() {
        for (text, blamed) in [
            ("Authorization Violation", true),
            ("Authentication Error", true),
            ("Authorization Timeout", false),
            ("Authentication Timeout", false),
            ("User Authentication Expired", false),
            ("User Authentication Revoked", false),
            ("Account Authentication Expired", false),
            ("maximum connections exceeded", false),
        ] {
            assert_eq!(matches!(refusal(text), ConnectError::Login(_)), blamed, "{text}");
        }
    }

    #[test]
    fn a_servers_words_are_cut_and_obeyed_by_no_terminal() {
        let said = refusal(&format!("no\x1b[2J\u{9b}\u{202e}{}", "x".repeat(20_000))).to_string();
        assert!(said.len() < 500, "{} bytes", said.len());
        assert!(said.chars().all(outside::is_plain), "{said:?}");
    }
}
