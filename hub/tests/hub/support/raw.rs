//! A subscriber that does what no router does: raw bytes over CURVE, as many or as few as one likes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use omq_proto::proto::{Command, Connection, ConnectionConfig, Role, SocketType};
use omq_proto::{CurveKeypair, CurvePublicKey, MechanismSetup, Message};

/// See the module's head.
pub struct Raw {
    pub stream: TcpStream,
    pub connection: Connection,
}

impl Raw {
    /// Connects from any address of the loopback, and shakes hands.
    pub fn join(from: &str, port: u16, key: &str) -> Option<Raw> {
        let stream = connect(from, port)?;
        let server_public = CurvePublicKey::from_z85(key).unwrap();
        let mechanism = MechanismSetup::CurveClient { our_keypair: CurveKeypair::generate(), server_public };
        let config = ConnectionConfig::new(Role::Client, SocketType::Sub).mechanism(mechanism);
        let mut raw = Raw { stream, connection: Connection::new(config) };
        raw.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        while !raw.connection.is_ready() {
            raw.flush().ok()?;
            let mut buffer = [0; 2048];
            let count = raw.stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
            raw.connection.handle_input(Bytes::copy_from_slice(&buffer[..count])).ok()?;
        }
        while raw.connection.poll_event().is_some() {}
        Some(raw)
    }

    /// Writes all that waits.
    pub fn flush(&mut self) -> std::io::Result<()> {
        let bytes = self.connection.poll_transmit();
        self.connection.advance_transmit(bytes.len());
        self.stream.write_all(&bytes)
    }

    pub fn subscribe(&mut self, topic: &'static str) -> std::io::Result<()> {
        self.connection.send_command(&Command::Subscribe(Bytes::from_static(topic.as_bytes()))).unwrap();
        self.flush()
    }

    /// The next message, if one comes in time.
    pub fn message(&mut self, within: Duration) -> Option<Message> {
        let end = Instant::now() + within;
        let mut buffer = vec![0; 65_536];
        loop {
            if let Some(message) = self.connection.poll_message() {
                return Some(message);
            }
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.connection.handle_input(Bytes::copy_from_slice(&buffer[..count])).unwrap(),
            }
        }
    }

    /// Whether the other side ends it in time; what comes meanwhile is read.
    pub fn ends(&mut self, within: Duration) -> bool {
        ends(&mut self.stream, within)
    }
}

/// Whether the other side ends it in time.
pub fn ends(stream: &mut TcpStream, within: Duration) -> bool {
    let end = Instant::now() + within;
    let mut buffer = vec![0; 65_536];
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        stream.set_read_timeout(Some(left)).unwrap();
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return true,
        }
    }
    false
}

/// A connection from that address.
pub fn connect(from: &str, port: u16) -> Option<TcpStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};
    use std::os::fd::AsRawFd;
    let made = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let near: std::net::SocketAddrV4 = format!("{from}:0").parse().unwrap();
    bind(made.as_raw_fd(), &SockaddrIn::from(near)).unwrap();
    let far: SocketAddr = ([127, 0, 0, 1], port).into();
    let SocketAddr::V4(far) = far else { unreachable!() };
    nix::sys::socket::connect(made.as_raw_fd(), &SockaddrIn::from(far)).ok()?;
    Some(TcpStream::from(made))
}
