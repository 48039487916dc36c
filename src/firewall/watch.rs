//! Hears over netlink what others do to our table and sets.
//!
//! The kernel tells every change of the ruleset to the group `NFNLGRP_NFTABLES`, ours included. Single
//! changes of our own come back and are dropped by their port id. During a bulk load the group is left,
//! for otherwise the kernel would write a notification for every element; whether somebody else changed
//! anything meanwhile shows in the ruleset's generation number, which every commit raises by one.
//! [`super::Firewall`] does the leaving, the daemon does the listening.

use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use tokio::sync::Notify;

use super::batch::{ELEM_LIST_ELEMENTS, ELEM_LIST_SET, ELEM_LIST_TABLE, INET};
use super::error::Error;
use super::names::Names;
use super::netlink::{
    Attributes, Buffer, Message, Messages, NLM_F_REQUEST, Socket, be32, close_message, open_netfilter, text,
};
use super::nftables::{
    CHAIN_NAME, CHAIN_TABLE, DELCHAIN, DELRULE, DELSET, DELSETELEM, DELTABLE, GETGEN, NEWCHAIN, NEWGEN, NEWRULE,
    NEWSET, NEWSETELEM, NEWTABLE, RULE_CHAIN, TABLE_NAME,
};
use super::reconcile;
use crate::model::SetId;
use crate::sys::{Endpoint, Wakeful};

/// `NFNLGRP_NFTABLES` is group 7.
const GROUP: u32 = 1 << 6;

const GEN_ID: u16 = 1;

/// Datagrams read before other tasks get their turn.
const AT_ONCE: usize = 256;

/// So many elements are told one by one; of more, the whole set.
const SINGLE: usize = 64;

/// What somebody else did, everything that was waiting taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableEvent {
    /// The table was deleted.
    Gone,
    /// The table or one of our sets was made or deleted: look at [`super::Firewall::structure`], then
    /// reconcile every set.
    Structure,
    /// Rules that look the sets up, or lead there, were loaded or taken out, or others taken out: look at
    /// [`super::Firewall::structure`].
    Rules,
    /// Elements were put in or taken out.
    Elements {
        /// Many, or networks: reconcile these.
        whole: Vec<SetId>,
        /// A few single addresses: look at each with [`super::Firewall::review`].
        single: Vec<(SetId, IpAddr)>,
    },
    /// Something may have been missed: do as for `Structure`.
    Lost,
}

/// What the firewall and the watch share.
pub(super) struct Ear {
    endpoint: Rc<Endpoint>,
    names: Names,
    /// Port id of the socket that our own changes come from.
    own: u32,
    lost: Cell<bool>,
    wake: Notify,
}

impl Ear {
    /// Stops hearing. What waits already is still read.
    pub fn mute(&self) -> io::Result<()> {
        self.endpoint.join(0)
    }

    /// Hears again.
    pub fn unmute(&self) -> io::Result<()> {
        self.endpoint.join(GROUP)
    }

    /// Makes the watch report [`TableEvent::Lost`].
    pub fn lose(&self) {
        self.lost.set(true);
        self.wake.notify_one();
    }
}

/// The listening end. Needs a tokio runtime with I/O.
pub struct TableWatch {
    ear: Rc<Ear>,
    socket: Wakeful,
    buffer: Buffer,
}

impl TableWatch {
    pub(super) fn open(names: Names, own: u32) -> Result<(TableWatch, Rc<Ear>), Error> {
        let failed = |cause| Error::Netlink { doing: "opening the table watch", cause };
        let endpoint = Rc::new(Endpoint::open(mnl::Bus::Netfilter, GROUP).map_err(failed)?);
        let socket = Wakeful::new(Rc::clone(&endpoint)).map_err(failed)?;
        let ear = Rc::new(Ear { endpoint, names, own, lost: Cell::new(false), wake: Notify::new() });
        Ok((TableWatch { ear: Rc::clone(&ear), socket, buffer: Buffer::new() }, ear))
    }

    /// Waits for the next thing that somebody else does to our table or sets. Cancelling it loses nothing
    /// that was not read; what was read is in the result.
    pub async fn next(&mut self) -> TableEvent {
        loop {
            let (heard, more) = self.drain();
            if let Some(event) = heard.event() {
                return event;
            }
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                ready = self.socket.readable() => if ready.is_err() {
                    return TableEvent::Lost; // the runtime is shutting down
                },
                () = self.ear.wake.notified() => {}
            }
        }
    }

    /// Reads what waits, at most [`AT_ONCE`] datagrams; whether there may be more.
    fn drain(&mut self) -> (Heard, bool) {
        let ear = &self.ear;
        let mut heard = Heard { lost: ear.lost.take(), ..Heard::default() };
        for _ in 0..AT_ONCE {
            match self.socket.endpoint().receive(&mut self.buffer) {
                Ok(None) => return (heard, false),
                Ok(Some(datagram)) => {
                    Messages(datagram).for_each(|message| heard.note(&message, &ear.names, ear.own));
                }
                // ENOBUFS: notifications were dropped. Anything else is as bad.
                Err(_) => heard.lost = true,
            }
        }
        (heard, true)
    }
}

/// What was heard, boiled down.
#[derive(Default)]
struct Heard {
    lost: bool,
    /// The last word on the table: made (`true`) or deleted.
    table: Option<bool>,
    sets: bool,
    rules: bool,
    whole: Vec<SetId>,
    single: Vec<(SetId, IpAddr)>,
}

impl Heard {
    /// Most of what is heard is about rules, other tables, or our own doing, and ends at the first lines.
    fn note(&mut self, message: &Message<'_>, names: &Names, own: u32) {
        if message.port == own || message.payload.first() != Some(&INET) {
            return;
        }
        let is_ours = |kind| message.attributes().get(kind).is_some_and(|name| text(name) == names.table.as_bytes());
        let set = || message.attributes().get(ELEM_LIST_SET).and_then(|name| names.find(text(name)));
        match message.kind {
            NEWTABLE | DELTABLE if is_ours(TABLE_NAME) => self.table = Some(message.kind == NEWTABLE),
            NEWRULE | DELRULE if is_ours(ELEM_LIST_TABLE) => {
                // What is taken out may have opened a port.
                self.rules |= message.kind == DELRULE
                    || message.attributes().get(RULE_CHAIN).is_some_and(|chain| is_on_the_way(text(chain), names));
            }
            NEWCHAIN | DELCHAIN if is_ours(CHAIN_TABLE) => {
                self.rules |=
                    message.attributes().get(CHAIN_NAME).is_some_and(|chain| is_on_the_way(text(chain), names));
            }
            NEWSET | DELSET if is_ours(ELEM_LIST_TABLE) => self.sets |= set().is_some(),
            NEWSETELEM | DELSETELEM if is_ours(ELEM_LIST_TABLE) => {
                if let Some(key) = set().filter(|key| !self.whole.contains(&key.set)) {
                    self.note_elements(key.set, message);
                }
            }
            _ => {}
        }
    }

    /// Comparing a large set costs seconds, a few of its elements nothing.
    fn note_elements(&mut self, set: SetId, message: &Message<'_>) {
        let elements = message.attributes().get(ELEM_LIST_ELEMENTS).filter(|_| !set.is_interval());
        for (_, element) in elements.into_iter().flat_map(Attributes) {
            match reconcile::address_of(element).filter(|_| self.single.len() < SINGLE) {
                Some(address) => self.single.push((set, address)),
                None => return self.note_whole(set),
            }
        }
        if elements.is_none() {
            self.note_whole(set);
        }
    }

    fn note_whole(&mut self, set: SetId) {
        self.single.retain(|(other, _)| *other != set);
        self.whole.push(set);
    }

    fn event(self) -> Option<TableEvent> {
        let any = !self.whole.is_empty() || !self.single.is_empty();
        match self {
            Heard { lost: true, .. } => Some(TableEvent::Lost),
            Heard { table: Some(false), .. } => Some(TableEvent::Gone),
            Heard { table: Some(true), .. } | Heard { sets: true, .. } => Some(TableEvent::Structure),
            // Both at once are rare; everything is looked at then.
            Heard { rules: true, .. } if any => Some(TableEvent::Structure),
            Heard { rules: true, .. } => Some(TableEvent::Rules),
            Heard { whole, single, .. } if any => Some(TableEvent::Elements { whole, single }),
            _ => None,
        }
    }
}

/// Whether packets may come to our rules by way of that chain: ours, and fw4's of the hooks and of zones.
fn is_on_the_way(chain: &[u8], names: &Names) -> bool {
    let ours = chain.strip_prefix(names.prefix.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'_'));
    ours || [&b"input"[..], b"forward"]
        .iter()
        .any(|hook| chain.strip_prefix(*hook).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'_')))
}

/// The ruleset's generation number.
pub(super) fn generation(socket: &mut Socket) -> io::Result<u32> {
    let sequence = socket.next_sequence();
    let mut request = Vec::new();
    let start = open_netfilter(&mut request, GETGEN, NLM_F_REQUEST, sequence, 0, 0);
    close_message(&mut request, start);
    socket.send(&request)?;
    let mut generation = None;
    while let Some(datagram) = socket.receive()? {
        let answer = Messages(datagram).find(|message| message.kind == NEWGEN);
        generation = answer.and_then(|message| message.attributes().get(GEN_ID)).and_then(be32).or(generation);
    }
    generation.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the kernel told no generation number"))
}
