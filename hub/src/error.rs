//! What can go wrong between the hub and nats-server, as one sentence each.

use std::fmt;

/// See the variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Somebody else wrote the key meanwhile.
    Conflict,
    /// The stream has as much as it may hold.
    Full(String),
    /// nats-server does not answer, or has no leader for the stream; it may later.
    Away(String),
    /// It said no.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Conflict => f.write_str("another hub wrote it meanwhile"),
            Error::Full(stream) => write!(
                f,
                "the stream {stream} is full: nothing new is taken until something in it ends; give it more with \
                 [store] megabytes"
            ),
            Error::Away(what) | Error::Refused(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

/// Nothing but an error of this kind.
pub type Result<T> = std::result::Result<T, Error>;
