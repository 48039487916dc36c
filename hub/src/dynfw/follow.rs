//! Follows Sentinel with the router's own client, and says whether routers may come.
//!
//! They may once there is a list, and until Sentinel was away for `patience`: then the door shuts, so that they try
//! another hub, and so that nobody who comes takes an old list for a new one.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use diswall::feed::dynfw::{self, Settings};
use diswall::feed::intake::Intake;
use diswall::feed::{FeedState, Update};
use diswall::ledger::may_ban;
use diswall::model::{Event, List, Source};
use log::{info, warn};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::relay::{Relay, now};

/// Addresses that are passed on at most: even if all were IPv6, routers take a list of so many.
const MOST: usize = 100_000;

/// Silence after which the list is asked for, Sentinel being there: some changes may never have come.
const SILENCE: Duration = Duration::from_secs(3600);

/// Where a published key would be kept for the next start; the hub keeps nothing on its machine.
const NOWHERE: &str = "/nonexistent/diswall-hub";

/// Updates that are taken before routers are told of them.
const TOGETHER: usize = 256;

/// For ever.
pub async fn run(relay: Rc<Relay>) {
    let config = &relay.hub.config.dynfw;
    let usual = Settings::default();
    let settings = Settings {
        server: config.server.clone(),
        port: config.port,
        server_key: Some(config.server_key.clone()).filter(|key| !key.is_empty()),
        // Another server's key is not published there.
        key_url: usual.key_url.filter(|_| usual.server_key.as_ref() == Some(&config.server_key)),
        max_age: SILENCE,
        events: config.events,
        ..Settings::default()
    };
    let intake = Intake::new(MOST, may_be_banned);
    let (sender, mut updates) = mpsc::channel(TOGETHER);
    let handle = dynfw::start(&settings, Path::new(NOWHERE), intake, sender);
    let patience = Duration::from_secs(config.patience);
    let mut follow = Follow { relay: relay.clone(), away: Some(Instant::now() + patience), patience };
    loop {
        let shuts = follow.away.filter(|_| *relay.open.borrow());
        tokio::select! {
            update = updates.recv() => {
                let Some((_, update)) = update else { return };
                follow.take(update);
                for _ in 1..TOGETHER {
                    let Ok((_, update)) = updates.try_recv() else { break };
                    follow.take(update);
                }
                relay.hub.relay.serial.store(handle.gauges.serial.get(), Relaxed);
                follow.tell();
            }
            () = until(shuts) => {
                warn!("DynFW: Sentinel is away for {} s; routers are let go", config.patience);
                relay.open.send_replace(false);
            }
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

struct Follow {
    relay: Rc<Relay>,
    /// When it has been away for too long; `None`: it is followed.
    away: Option<Instant>,
    patience: Duration,
}

impl Follow {
    fn take(&mut self, update: Update) {
        match update {
            Update::Event(event) => self.event(event),
            Update::State(state) => self.state(&state),
            Update::Sighting { event, address } => {
                self.relay.held.borrow_mut().event(&event, address, now());
            }
            Update::Notice { text: Some(text), key } => self.complain(key, text),
            Update::Notice { text: None, .. } | Update::Cut(_) => {}
        }
    }

    fn complain(&self, matter: &'static str, text: String) {
        self.relay.hub.complaints.about("DynFW", matter, || text);
    }

    fn event(&mut self, event: Event) {
        let mut held = self.relay.held.borrow_mut();
        match event {
            Event::List { list, .. } => {
                let cut = list.cut;
                held.replace(addresses(list), now());
                drop(held);
                if cut > 0 {
                    self.complain(
                        "cut",
                        format!("the list has {cut} addresses more than the {MOST} that are passed on"),
                    );
                }
            }
            Event::Ban { net, .. } if !may_be_banned(net.addr()) => {}
            Event::Ban { net, .. } if held.count() < MOST => _ = held.change(net.addr(), true, now()),
            Event::Ban { .. } => {
                drop(held);
                self.complain("cut", format!("the list has more than the {MOST} addresses that are passed on"));
            }
            Event::Unban { net, .. } => _ = held.change(net.addr(), false, now()),
            _ => {}
        }
    }

    fn state(&mut self, state: &FeedState) {
        let figures = &self.relay.hub.relay;
        if *state == FeedState::Live {
            self.away = None;
            figures.follows();
            return;
        }
        match state {
            FeedState::Waiting { error, .. } => {
                self.complain("away", format!("Sentinel is not followed: {error}"));
                figures.does_not(error);
            }
            // A list now and then is part of following.
            FeedState::Synchronising => {}
            _ => figures.since.store(0, Relaxed),
        }
        self.away.get_or_insert(Instant::now() + self.patience);
    }

    /// Routers hear of it, and may come where they may.
    fn tell(&self) {
        let (figures, held) = (&self.relay.hub.relay, self.relay.held.borrow());
        figures.addresses.store(held.count() as u64, Relaxed);
        figures.changes.store(held.changes.end(), Relaxed);
        let (is_known, count) = (held.is_known(), held.count());
        drop(held);
        self.relay.changed.send_replace(());
        if is_known && self.away.is_none() && !*self.relay.open.borrow() {
            info!("DynFW: Sentinel is followed, {count} addresses");
            self.relay.open.send_replace(true);
        }
    }
}

fn addresses(list: List) -> HashSet<IpAddr> {
    let v4 = list.v4.into_iter().map(|listed| IpAddr::V4(listed.address));
    v4.chain(list.v6.into_iter().map(|listed| IpAddr::V6(listed.address)))
        .filter(|address| may_be_banned(*address))
        .collect()
}

/// Others no router would take.
fn may_be_banned(address: IpAddr) -> bool {
    may_ban(Source::DYNFW, address.into()).is_ok()
}
