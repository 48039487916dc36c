//! All simulated routers in one thread: the kernel says which of their connections have something to be read.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};

use super::bans::Bans;
use super::router::{Phase, Router};
use crate::Result;

/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(50);

/// Connections that are begun a second at the start.
const PACE: u64 = 1500;

/// Without a word from the hub for so long, a router takes it to be away.
const SILENCE: Duration = Duration::from_secs(15);

/// The routers.
pub struct Crowd {
    pub routers: Vec<Router>,
    pub bans: Bans,
    /// What servers complained of, and what was wrong in what they and hubs said.
    pub complaints: BTreeMap<String, u64>,
    servers: Vec<SocketAddrV4>,
    epoll: Epoll,
    buffer: Vec<u8>,
    looked: Instant,
    random: u64,
}

/// How many there are of which kind.
#[derive(Default)]
pub struct Count {
    pub live: usize,
    pub connected: usize,
    /// Live ones who have not heard of the hub.
    pub unheard: usize,
    pub messages: u64,
    pub gaps: u64,
}

impl Crowd {
    pub fn new(number: usize, servers: Vec<SocketAddrV4>) -> Result<Crowd> {
        let now = Instant::now();
        let routers = (0..number).map(|index| {
            let due = now + Duration::from_micros(index as u64 * 1_000_000 / PACE);
            Router::new(index, index % servers.len().max(1), due)
        });
        Ok(Crowd {
            routers: routers.collect(),
            bans: Bans::new(number),
            complaints: BTreeMap::new(),
            servers,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|error| format!("epoll: {error}"))?,
            buffer: vec![0; 256 * 1024],
            looked: now,
            random: 0x9e37_79b9_7f4a_7c15,
        })
    }

    /// Works for a moment.
    pub fn work(&mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 512];
        let number = match self.epoll.wait(&mut events, EpollTimeout::from(5u8)) {
            Ok(number) => number,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(format!("epoll: {error}")),
        };
        for event in events.iter().take(number) {
            self.ready(event.data() as usize, event.events())?;
        }
        let now = Instant::now();
        if now - self.looked >= LOOK {
            self.looked = now;
            self.look(now)?;
        }
        Ok(())
    }

    /// A number below `below`.
    pub fn random(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % below.max(1) as u64) as usize
    }

    /// Lets so many routers, live ones and different, report an address. Who they were; none when too few are live.
    pub fn report(&mut self, address: IpAddr, reporters: usize) -> Result<Vec<usize>> {
        let mut chosen = Vec::new();
        for _ in 0..100 {
            let index = self.random(self.routers.len());
            if self.routers.get(index).is_some_and(|router| router.phase == Phase::Live) && !chosen.contains(&index) {
                chosen.push(index);
            }
            if chosen.len() == reporters {
                break;
            }
        }
        if chosen.len() < reporters {
            return Ok(Vec::new());
        }
        for index in &chosen {
            self.with(*index, |router| router.report(address))?;
        }
        self.bans.reported(address);
        Ok(chosen)
    }

    /// Lets a router take back what it reported. `false`: it is not connected just now.
    pub fn take_back(&mut self, index: usize, address: IpAddr) -> Result<bool> {
        let is_live = self.routers.get(index).is_some_and(|router| router.phase == Phase::Live);
        if is_live {
            self.with(index, |router| router.take_back(address))?;
        }
        Ok(is_live)
    }

    pub fn count(&self) -> Count {
        let now = Instant::now();
        let mut count = Count::default();
        for router in &self.routers {
            count.connected += usize::from(router.socket.is_some());
            count.messages += router.messages;
            count.gaps += router.gaps;
            if router.phase == Phase::Live {
                count.live += 1;
                count.unheard += usize::from(now.saturating_duration_since(router.heard) > SILENCE);
            }
        }
        count
    }

    fn with(&mut self, index: usize, act: impl FnOnce(&mut Router)) -> Result<()> {
        if let Some(router) = self.routers.get_mut(index) {
            act(router);
        }
        self.flush(index)
    }

    /// What is due: connections, requests.
    fn look(&mut self, now: Instant) -> Result<()> {
        for index in 0..self.routers.len() {
            let Some(router) = self.routers.get_mut(index) else { continue };
            if router.phase == Phase::Live || router.due > now {
                continue;
            }
            if router.wake(now) {
                self.flush(index)?;
            } else if router.phase == Phase::Away {
                self.connect(index, now)?;
            } else {
                self.lose(index, "no connection within the time for it");
            }
        }
        Ok(())
    }

    fn connect(&mut self, index: usize, now: Instant) -> Result<()> {
        let told = |error: Errno| format!("a router's socket: {error}");
        let Some(router) = self.routers.get_mut(index) else { return Ok(()) };
        let Some(server) = self.servers.get(router.server) else { return Ok(()) };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, flags, None).map_err(told)?;
        match connect(fd.as_raw_fd(), &SockaddrIn::from(*server)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(_) => {
                self.lose(index, "");
                return Ok(());
            }
        }
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
        self.epoll.add(&fd, EpollEvent::new(interest, index as u64)).map_err(told)?;
        router.socket = Some(TcpStream::from(fd));
        router.writing = true;
        router.phase = Phase::Connecting;
        router.due = now + Duration::from_secs(20);
        Ok(())
    }

    fn ready(&mut self, index: usize, events: EpollFlags) -> Result<()> {
        let now = Instant::now();
        let Some(router) = self.routers.get_mut(index) else { return Ok(()) };
        if router.phase == Phase::Connecting {
            if events.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP) {
                self.lose(index, "");
                return Ok(());
            }
            router.connected(now);
        }
        if events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            match router.read(&mut self.buffer, &mut self.bans, now) {
                Ok(true) => {}
                Ok(false) => {
                    self.lose(index, "");
                    return Ok(());
                }
                Err(complaint) => {
                    self.lose(index, &complaint);
                    return Ok(());
                }
            }
        }
        self.flush(index)
    }

    /// Writes what waits, and lets the kernel tell when more can be written.
    fn flush(&mut self, index: usize) -> Result<()> {
        let Some(router) = self.routers.get_mut(index) else { return Ok(()) };
        if router.flush().is_err() {
            self.lose(index, "");
            return Ok(());
        }
        let Some(socket) = &router.socket else { return Ok(()) };
        if router.writing == router.has_output() {
            return Ok(());
        }
        let mut interest = EpollFlags::EPOLLIN;
        interest.set(EpollFlags::EPOLLOUT, router.has_output());
        let told = |error: Errno| format!("epoll: {error}");
        self.epoll.modify(socket, &mut EpollEvent::new(interest, index as u64)).map_err(told)?;
        router.writing = router.has_output();
        Ok(())
    }

    /// Its connection is gone: another server, after a while, not all at once.
    fn lose(&mut self, index: usize, complaint: &str) {
        if !complaint.is_empty() {
            *self.complaints.entry(complaint.to_owned()).or_default() += 1;
        }
        let wait = Duration::from_millis(self.random(2000) as u64);
        let servers = self.servers.len().max(1);
        if let Some(router) = self.routers.get_mut(index) {
            router.server = (router.server + 1) % servers;
            router.disconnected(Instant::now() + wait);
        }
    }
}

/// Sees to it that this process and what it starts may have so many files open.
pub fn allow_files(number: u64) -> Result<()> {
    let told = |error: Errno| format!("{number} open files are not allowed here (ulimit -n): {error}");
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(told)?;
    let most = hard.max(number);
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(told)
}
