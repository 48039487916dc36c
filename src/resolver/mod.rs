//! Host names and the addresses that they stand for, followed by the time that an answer holds.
//!
//! `wire` reads and writes messages; here is who asks the router's own resolver (`/etc/resolv.conf`), and
//! [`Follower`], which keeps a number of names up to date. Who answers can say addresses and nothing else; what they are
//! good for is decided where they are used.

mod follower;
pub mod wire;

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

pub use follower::{Follower, Pace};
use wire::{Answer, Bad, Kind};

/// Where the resolvers are named.
const FILE: &str = "/etc/resolv.conf";
/// Most of them that are asked, as the C library does.
const SERVERS: usize = 3;
const PORT: u16 = 53;

/// How long an answer is waited for, and how often each server is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 2;

/// Why nobody said what a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No resolver has answered.
    Late,
    /// What came was no answer.
    Bad,
    /// The resolver could not say, with this code.
    Failed(u8),
    /// There is no such name.
    NoName,
    /// The name has no address.
    NoAddress,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::Late => "the resolver does not answer",
            Trouble::Bad => "the resolver's answer cannot be read",
            Trouble::Failed(2) => "the resolver says SERVFAIL",
            Trouble::Failed(5) => "the resolver says REFUSED",
            Trouble::Failed(_) => "the resolver says that it cannot answer",
            Trouble::NoName => "there is no such name (NXDOMAIN)",
            Trouble::NoAddress => "it has no address",
        })
    }
}

/// What was said of a name's IPv4 and of its IPv6 addresses.
type Answers = [Result<Answer, Trouble>; 2];

/// Asks for both kinds of addresses.
async fn ask(name: &str) -> Answers {
    let servers = servers(&std::fs::read_to_string(FILE).unwrap_or_default());
    let first = ask_for(&servers, name, Kind::A).await;
    // What does not answer is not asked twice as long, and of a name that is none nothing else will be true.
    let second = match first {
        Err(Trouble::Late) | Ok(Answer::NoName) => first.clone(),
        _ => ask_for(&servers, name, Kind::Aaaa).await,
    };
    [first, second]
}

/// The resolvers that the file names.
fn servers(text: &str) -> Vec<SocketAddr> {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        address.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, PORT))
    });
    let mut servers: Vec<SocketAddr> = named.take(SERVERS).collect();
    if servers.is_empty() {
        servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
    }
    servers
}

async fn ask_for(servers: &[SocketAddr], name: &str, kind: Kind) -> Result<Answer, Trouble> {
    let mut trouble = Trouble::Late;
    for server in std::iter::repeat_n(servers, ROUNDS).flatten() {
        // A number that nobody can foresee, from a port that the kernel chooses at random.
        let id = RandomState::new().hash_one(name) as u16;
        let question = wire::question(id, name, kind);
        match timeout(PATIENCE, over_udp(*server, &question, kind)).await {
            Ok(Ok(Ok(Answer::Truncated))) => match timeout(PATIENCE, over_tcp(*server, &question, kind)).await {
                Ok(Ok(Ok(answer))) if answer != Answer::Truncated => return Ok(answer),
                Ok(Ok(_)) => trouble = Trouble::Bad,
                _ => {}
            },
            Ok(Ok(Ok(answer))) => return Ok(answer),
            Ok(Ok(Err(Bad::Failed(code)))) => trouble = Trouble::Failed(code),
            Ok(Ok(Err(_))) => trouble = Trouble::Bad,
            // Nobody is there, or nobody has answered.
            Ok(Err(_)) | Err(_) => {}
        }
    }
    Err(trouble)
}

async fn over_udp(server: SocketAddr, question: &[u8], kind: Kind) -> io::Result<Result<Answer, Bad>> {
    let here: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((here, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut message = vec![0; wire::MESSAGE_MAX];
    loop {
        let length = socket.recv(&mut message).await?;
        match wire::answer(question, kind, message.get(..length).unwrap_or_default()) {
            // Somebody guesses, or an answer to an earlier question is late.
            Err(Bad::Foreign) => {}
            answer => return Ok(answer),
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8], kind: Kind) -> io::Result<Result<Answer, Bad>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).unwrap_or_default();
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let length = usize::from(stream.read_u16().await?);
    let mut message = vec![0; length.min(wire::MESSAGE_MAX)];
    stream.read_exact(&mut message).await?;
    Ok(if length > message.len() { Err(Bad::Malformed) } else { wire::answer(question, kind, &message) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_the_resolvers() {
        let text = "# by hand\nsearch lan\nnameserver 127.0.0.1\n nameserver\t::1 # local\nnameserver\nnameserver x\n\
                    nameserver 192.0.2.1\nnameserver 192.0.2.2\n";
        let named: Vec<String> = servers(text).iter().map(SocketAddr::to_string).collect();
        assert_eq!(named, ["127.0.0.1:53", "[::1]:53", "192.0.2.1:53"]);
        assert_eq!(servers("search lan\n").len(), 1);
    }
}
