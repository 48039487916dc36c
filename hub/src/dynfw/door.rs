//! Lets routers in: so many, and so many that still shake hands. Nobody knows them, for each comes with a fresh key; so
//! where all places are taken, one of whichever address has most goes to an address that has fewer, and whoever takes his
//! time with the handshake holds up his own address alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use log::info;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::ears;
use super::guest::{End, Guest, origin};
use super::relay::Relay;

/// Connections that shake hands at a time, 64 KB each: all, and those of one address.
const SHAKING: usize = 256;
const SHAKING_EACH: usize = 16;

/// How long a handshake may take, and how long one waits for it besides: a fleet may come at once, and a router gives up
/// after 15 s.
const SHAKE_MAX: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(15);

/// Lists on the way to one address.
const LISTS: usize = 8;

/// Who comes while nobody can be let in waits in the kernel.
const BACKLOG: u32 = 4096;

/// Until the next try to listen, or to take a connection when there are no files left.
const AGAIN: Duration = Duration::from_secs(1);

/// Opens when it is time, for ever.
pub async fn keep(relay: Rc<Relay>, most: usize) {
    let mut open = relay.open.subscribe();
    loop {
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        let listen = relay.hub.config.dynfw.listen;
        let listener = match bind(listen) {
            Ok(listener) => listener,
            Err(error) => {
                relay.hub.complaints.about("DynFW", "listen", || format!("nobody can listen at {listen}: {error}"));
                sleep(AGAIN).await;
                continue;
            }
        };
        info!("DynFW: routers are told at {listen}");
        let inside = Rc::new(RefCell::new(Inside::new(most)));
        tokio::select! {
            () = admit(&relay, &listener, &inside) => {}
            _ = open.wait_for(|open| !*open) => {}
        }
        inside.borrow_mut().places.clear();
    }
}

fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

async fn admit(relay: &Rc<Relay>, listener: &TcpListener, inside: &Rc<RefCell<Inside>>) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let address = address.ip().to_canonical();
                let Some(place) = Inside::take(inside, origin(address)) else {
                    relay.hub.relay.refused.fetch_add(1, Relaxed);
                    let most = inside.borrow().most;
                    relay.hub.complaints.about("DynFW", "full", || {
                        format!(
                            "{most} connections, and one more from {address}, which has as many as anybody: refused"
                        )
                    });
                    continue;
                };
                spawn_local(welcome(relay.clone(), stream, address, place));
            }
            Err(error) => {
                relay.hub.complaints.about("DynFW", "files", || format!("a connection cannot be taken: {error}"));
                sleep(AGAIN).await;
            }
        }
    }
}

/// One connection, from its first byte to its end.
async fn welcome(relay: Rc<Relay>, stream: TcpStream, address: IpAddr, mut place: Place) {
    let figures = &relay.hub.relay;
    let _ = prepare(&stream);
    let all = place.inside.borrow().shaking.clone();
    let shake = async {
        let _turn = (place.shaking.acquire().await, all.acquire().await);
        // What it needs is not kept for as long as the router stays.
        let shake = Box::pin(ears::shake(&stream, &relay.keys));
        timeout(SHAKE_MAX, shake).await.unwrap_or_else(|_| Err("it takes its time".into()))
    };
    let shaken = tokio::select! {
        shaken = timeout(WAIT_MAX, shake) => shaken.unwrap_or_else(|_| Err("others were before it".into())),
        _ = &mut place.sent_away => return,
    };
    let keys = match shaken {
        Ok(keys) => keys,
        Err(error) => {
            figures.refused.fetch_add(1, Relaxed);
            let told = || format!("no handshake with {address}: {error}. A router's server_key must be this hub's");
            return relay.hub.complaints.about("DynFW", "handshake", told);
        }
    };
    figures.routers.fetch_add(1, Relaxed);
    let guest = Guest::new(relay.clone(), stream, keys, place.lists.clone());
    let (_, sent_away) = oneshot::channel();
    let end = guest.serve(std::mem::replace(&mut place.sent_away, sent_away)).await;
    figures.routers.fetch_sub(1, Relaxed);
    if let End::Cut(matter, told) = end {
        figures.refused.fetch_add(1, Relaxed);
        relay.hub.complaints.about("DynFW", matter, || format!("{address} {told}: its connection ends"));
    }
}

/// What the kernel holds for one: twice of it. By itself it would hold 4 MB for each that does not read.
const SENDS: usize = 64 * 1024;

/// Small writes at once; and TCP's own look whether the router is still there.
fn prepare(stream: &TcpStream) -> nix::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    setsockopt(stream, sockopt::TcpNoDelay, &true)?;
    setsockopt(stream, sockopt::SndBuf, &SENDS)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &60)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &20)?;
    setsockopt(stream, sockopt::TcpKeepCount, &3)
}

/// Who is inside.
struct Inside {
    most: usize,
    all: usize,
    shaking: Rc<Semaphore>,
    number: u64,
    /// By where they come from; whoever drops a sender sends its guest away.
    places: HashMap<IpAddr, Origin>,
}

struct Origin {
    lists: Arc<Semaphore>,
    shaking: Rc<Semaphore>,
    guests: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A place inside; dropping it gives it back.
struct Place {
    inside: Rc<RefCell<Inside>>,
    origin: IpAddr,
    number: u64,
    lists: Arc<Semaphore>,
    shaking: Rc<Semaphore>,
    sent_away: oneshot::Receiver<()>,
}

impl Origin {
    fn new() -> Origin {
        Origin {
            lists: Arc::new(Semaphore::new(LISTS)),
            shaking: Rc::new(Semaphore::new(SHAKING_EACH)),
            guests: BTreeMap::new(),
        }
    }
}

impl Inside {
    fn new(most: usize) -> Inside {
        Inside { most, all: 0, shaking: Rc::new(Semaphore::new(SHAKING)), number: 0, places: HashMap::new() }
    }

    /// `None`: there is none for this one.
    fn take(inside: &Rc<RefCell<Inside>>, origin: IpAddr) -> Option<Place> {
        let mut this = inside.borrow_mut();
        if this.all >= this.most && !this.make_room(origin) {
            return None;
        }
        this.number += 1;
        this.all += 1;
        let number = this.number;
        let entry = this.places.entry(origin).or_insert_with(Origin::new);
        let (stay, sent_away) = oneshot::channel();
        entry.guests.insert(number, stay);
        let (lists, shaking) = (entry.lists.clone(), entry.shaking.clone());
        drop(this);
        Some(Place { inside: inside.clone(), origin, number, lists, shaking, sent_away })
    }

    /// Sends one away of whichever has most, if that is more than this one would have.
    fn make_room(&mut self, origin: IpAddr) -> bool {
        let own = self.places.get(&origin).map_or(0, |entry| entry.guests.len());
        let Some(largest) = self.places.values_mut().max_by_key(|entry| entry.guests.len()) else { return false };
        if largest.guests.len() <= own + 1 {
            return false;
        }
        self.all -= usize::from(largest.guests.pop_last().is_some());
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.inside.borrow_mut();
        let Some(entry) = inside.places.get_mut(&self.origin) else { return };
        let was_there = entry.guests.remove(&self.number).is_some();
        let is_last = entry.guests.is_empty();
        if is_last {
            inside.places.remove(&self.origin);
        }
        inside.all -= usize::from(was_there);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn inside(most: usize) -> Rc<RefCell<Inside>> {
        Rc::new(RefCell::new(Inside::new(most)))
    }

    fn ip(text: &str) -> IpAddr {
        origin(text.parse().unwrap())
    }

    #[test]
    fn whoever_has_most_gives_way_and_nobody_else() {
        let inside = inside(10);
        let mut theirs: Vec<_> = (0..10).map(|_| Inside::take(&inside, ip("203.0.113.1")).unwrap()).collect();
        assert!(Inside::take(&inside, ip("203.0.113.1")).is_none(), "no more for who has all");
        let mut others: Vec<_> =
            (1..=5).map(|number| Inside::take(&inside, ip(&format!("198.51.100.{number}"))).unwrap()).collect();
        let sent_away = theirs.iter_mut().filter_map(|place| place.sent_away.try_recv().err());
        let sent_away = sent_away.filter(|error| *error == oneshot::error::TryRecvError::Closed).count();
        assert_eq!((sent_away, inside.borrow().all), (5, 10));
        // One IPv6 site is one, whatever addresses it has.
        for number in 0..9 {
            others.extend(Inside::take(&inside, ip(&format!("2001:db8::{number}"))));
        }
        assert_eq!(inside.borrow().places[&ip("2001:db8::")].guests.len(), 2);
        drop((theirs, others));
        let inside = inside.borrow();
        assert_eq!((inside.all, inside.places.len()), (0, 0));
    }
}
