//! Why there is no connection, or no longer one: sentences that let the owner tell a wrong name from a
//! wrong key from a wrong port. `session` and `client` make them; the daemon shows them.

use std::fmt;
use std::io;

use crate::feed::connect::Unreached;

/// What ended an attempt or a connection.
#[derive(Debug)]
pub enum ConnectionError {
    /// There is no TCP connection.
    Unreached(Unreached),
    /// The configured server key is no CURVE key.
    BadKey(String),
    /// The other side does not speak ZMTP: the start of what it said.
    NotZmtp(String),
    /// It speaks a ZMTP before 3.0, without CURVE.
    OldZmtp(u8),
    /// It offers this mechanism in place of the wanted one.
    Mechanism {
        /// What it offers.
        offered: String,
        /// What is configured: CURVE or NULL.
        wanted: &'static str,
    },
    /// It took the connection and ended it before saying who it is.
    ClosedAtGreeting {
        /// What is configured: CURVE or NULL.
        wanted: &'static str,
        /// It said enough to know that it speaks ZMTP: libzmq ends the connection as soon as it has read
        /// a mechanism that is not its own, often before its own has gone out.
        zmtp: bool,
    },
    /// The server cannot read what is encrypted for the configured key.
    WrongKey,
    /// The handshake went wrong in some other way.
    Handshake(omq_proto::Error),
    /// The handshake took longer than [`super::session::HANDSHAKE_MAX`].
    HandshakeTimeout {
        /// Whether it said anything at all.
        spoke: bool,
    },
    /// The other side closed the connection.
    Closed,
    /// The connection broke.
    Io(io::Error),
    /// Nothing came any more, not even an answer to a heartbeat, for so many seconds.
    Silent(u64),
    /// A frame above the limit.
    TooLarge {
        /// Its size, bytes.
        size: usize,
        /// What is accepted, bytes.
        most: usize,
    },
    /// The other side broke the protocol.
    Protocol(omq_proto::Error),
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionError::Unreached(why) => write!(f, "{why}"),
            ConnectionError::BadKey(cause) => {
                write!(f, "server_key is no CURVE public key (40 Z85 characters): {cause}")
            }
            ConnectionError::NotZmtp(said) => {
                write!(f, "the port is something else than ZeroMQ: it said \"{said}\"")
            }
            ConnectionError::OldZmtp(major) => write!(f, "the server speaks ZMTP {major}, at least 3.0 is needed"),
            ConnectionError::Mechanism { offered, wanted: "CURVE" } => write!(
                f,
                "the server speaks no CURVE but {offered}: it is not the one that server_key belongs to, \
                 or server_key must be empty"
            ),
            ConnectionError::Mechanism { offered, .. } => {
                write!(f, "the server asks for {offered}: set server_key to its public key")
            }
            ConnectionError::ClosedAtGreeting { wanted: "CURVE", zmtp: true } => write!(
                f,
                "the server ended the connection at the greeting: it speaks no CURVE, so it is not the one that \
                 server_key belongs to, or server_key must be empty"
            ),
            ConnectionError::ClosedAtGreeting { zmtp: true, .. } => write!(
                f,
                "the server ended the connection at the greeting: it asks for CURVE, set server_key to its public key"
            ),
            ConnectionError::ClosedAtGreeting { wanted, zmtp: false } => write!(
                f,
                "the server ended the connection without a word: the port is something else than ZeroMQ, or it \
                 does not take {wanted}"
            ),
            ConnectionError::WrongKey => write!(f, "wrong server key: the server does not answer to it"),
            ConnectionError::Handshake(cause) => write!(f, "the ZMTP handshake failed: {cause}"),
            ConnectionError::HandshakeTimeout { spoke: false } => {
                write!(f, "the port accepts connections but says nothing: it is something else than ZeroMQ, or stuck")
            }
            ConnectionError::HandshakeTimeout { spoke: true } => {
                write!(f, "the server did not complete the ZMTP handshake")
            }
            ConnectionError::Closed => write!(f, "the server closed the connection"),
            ConnectionError::Io(cause) => write!(f, "the connection broke: {cause}"),
            ConnectionError::Silent(seconds) => write!(f, "the connection is dead: no sign of life for {seconds} s"),
            ConnectionError::TooLarge { size, most } => {
                write!(f, "the server sent a frame of {size} bytes, at most {most} are accepted")
            }
            ConnectionError::Protocol(cause) => write!(f, "the server broke the ZMTP protocol: {cause}"),
        }
    }
}

impl std::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConnectionError::Unreached(why) => why.source(),
            ConnectionError::Io(cause) => Some(cause),
            ConnectionError::Handshake(cause) | ConnectionError::Protocol(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<Unreached> for ConnectionError {
    fn from(why: Unreached) -> ConnectionError {
        ConnectionError::Unreached(why)
    }
}
