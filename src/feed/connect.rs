//! The way to a feed's server: its name resolved, and its addresses tried in turn until one will do.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

/// Longest wait for the name's addresses.
const RESOLVE: Duration = Duration::from_secs(30);
/// Most addresses of a name that are tried before the name is asked for again.
const ADDRESSES: usize = 8;

/// Why nobody answered.
#[derive(Debug)]
pub enum Unreached {
    /// The name does not resolve.
    Resolve(Box<str>, io::Error),
    /// The name has no address.
    NoAddress(Box<str>),
    /// No TCP connection to the last address tried.
    Connect(SocketAddr, io::Error),
    /// The last address tried did not answer within so many seconds.
    Late(SocketAddr, u64),
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreached::Resolve(server, cause) => write!(f, "the name \"{server}\" does not resolve: {cause}"),
            Unreached::NoAddress(server) => write!(f, "the name \"{server}\" has no address"),
            Unreached::Connect(address, cause) => write!(f, "no connection to {address}: {cause}"),
            Unreached::Late(address, seconds) => {
                write!(f, "no connection to {address}: no answer within {seconds} s")
            }
        }
    }
}

impl std::error::Error for Unreached {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Unreached::Resolve(_, cause) | Unreached::Connect(_, cause) => Some(cause),
            Unreached::NoAddress(_) | Unreached::Late(..) => None,
        }
    }
}

/// What `open` makes of the first address of `server` that will do; each is tried for `patience`.
///
/// # Errors
/// Why the last address that was tried would not do, or none was there to try.
pub async fn first<T, E: From<Unreached>>(
    server: &str,
    port: u16,
    patience: Duration,
    open: impl AsyncFn(SocketAddr) -> Result<T, E>,
) -> Result<T, E> {
    let mut failure = E::from(Unreached::NoAddress(server.into()));
    for address in resolve(server, port).await? {
        match timeout(patience, open(address)).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = Unreached::Late(address, patience.as_secs()).into(),
        }
    }
    Err(failure)
}

async fn resolve(server: &str, port: u16) -> Result<Vec<SocketAddr>, Unreached> {
    let found = timeout(RESOLVE, tokio::net::lookup_host((server, port))).await.map_err(io::Error::from).flatten();
    Ok(found.map_err(|cause| Unreached::Resolve(server.into(), cause))?.take(ADDRESSES).collect())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const SOON: Duration = Duration::from_millis(100);

    async fn tcp(address: SocketAddr) -> Result<TcpStream, Unreached> {
        TcpStream::connect(address).await.map_err(|cause| Unreached::Connect(address, cause))
    }

    #[tokio::test]
    async fn each_address_is_tried_and_the_last_failure_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        // Where localhost has an IPv6 address too, nobody listens there.
        first("localhost", port, SOON, tcp).await.expect("a connection");

        let tried = RefCell::new(Vec::new());
        let never = async |address| {
            tried.borrow_mut().push(address);
            std::future::pending::<Result<(), Unreached>>().await
        };
        let late = first("127.0.0.1", port, SOON, never).await.expect_err("nobody answers").to_string();
        assert_eq!(late, format!("no connection to 127.0.0.1:{port}: no answer within 0 s"));
        assert_eq!(tried.take(), [SocketAddr::from(([127, 0, 0, 1], port))]);

        drop(listener);
        let refused = first("127.0.0.1", port, SOON, tcp).await.expect_err("nobody listens").to_string();
        // Under `cargo xtask emulate --tests` qemu's SO_ERROR is a number of the machine it runs on, and MIPS has others.
        let why = if std::env::var_os("DISWALL_EMULATED").is_some() { "" } else { "Connection refused" };
        assert!(refused.starts_with(&format!("no connection to 127.0.0.1:{port}: {why}")), "{refused}");
        let unknown = first("nowhere.invalid", port, SOON, tcp).await.expect_err("no such name").to_string();
        assert!(unknown.starts_with("the name \"nowhere.invalid\" does not resolve: "), "{unknown}");
    }
}
