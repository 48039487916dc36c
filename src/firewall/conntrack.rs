//! Ends the connections of banned hosts: the kernel's conntrack entries, and the router's own sockets.
//!
//! An established flow passes before any of our rules (offloaded, before any rule at all), so a ban takes
//! effect on it only once its entry is gone; deleting the entry tears the offload down too. The daemon
//! calls this after it has put the ban into the set. Layout: `linux/netfilter/nfnetlink_conntrack.h`.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use super::error::Error;
use super::names::{Family, address_family};
use super::netlink::{
    Attributes, Control, Dump, Message, Messages, NLM_F_DUMP, NLM_F_REQUEST, Socket, be32, bytes_at, close_message,
    close_nested, control, open_nested, open_netfilter, put, put_nested,
};
use super::sockets::{IPPROTO_TCP, OwnSocket, Sockets};

const SUBSYSTEM: u16 = 1;
pub(super) const CT_NEW: u16 = SUBSYSTEM << 8;
pub(super) const CT_GET: u16 = SUBSYSTEM << 8 | 1;
const CT_DELETE: u16 = SUBSYSTEM << 8 | 2;
const CT_GET_STATS: u16 = SUBSYSTEM << 8 | 5;
const STATS_GLOBAL_ENTRIES: u16 = 1;
pub(super) const TUPLE_ORIG: u16 = 1;
pub(super) const TUPLE_REPLY: u16 = 2;
const PROTOINFO: u16 = 4;
const PROTOINFO_TCP: u16 = 1;
const TCP_STATE: u16 = 1;
const ID: u16 = 12;
const TUPLE_MASTER: u16 = 14;
const ZONE: u16 = 18;
pub(super) const FILTER: u16 = 25;
pub(super) const TUPLE_IP: u16 = 1;
pub(super) const TUPLE_PROTO: u16 = 2;
pub(super) const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
pub(super) const IP_V6_SRC: u16 = 3;
const IP_V6_DST: u16 = 4;
pub(super) const PROTO_NUM: u16 = 1;
pub(super) const PROTO_SRC_PORT: u16 = 2;
pub(super) const PROTO_DST_PORT: u16 = 3;
pub(super) const IPPROTO_UDP: u8 = 17;
pub(super) const FILTER_ORIG_FLAGS: u16 = 1;
const FILTER_REPLY_FLAGS: u16 = 2;
/// Compare the source address of the tuple and nothing else.
const FILTER_SOURCE: u32 = 1;

/// There is no `nf_conntrack_netlink`.
pub(super) const NO_CONNTRACK: Error =
    Error::Lacking { part: "conntrack over netlink", package: "kmod-nf-conntrack-netlink" };

/// What an entry costs, measured against a bucket that the kernel walks past (35 ns): to be compared with a
/// filter in the kernel (0.19 µs), and to be written by it and read by us (1.05 µs).
const COMPARED: usize = 5;
const READ: usize = 30;

/// What a router with 1 GB has; where the kernel does not say.
const USUAL_BUCKETS: usize = 16_384;

/// Deletions are sent when they have grown to this.
const DELETE_BYTES: usize = 16 * 1024;

/// TCP's states in which packets of either side can go on with a flow: established up to the last ACK.
const GOES_ON: std::ops::RangeInclusive<u8> = 3..=6;

/// Which flows of an address are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those that it opened. What a host inside opened goes on, and what comes as part of that (a call's voice,
    /// a transfer's data).
    Opened,
    /// Those that it answers too.
    All,
}

/// A flow that a banned host had opened, as its packets from the inside look before any translation. The next of
/// these would make a conntrack entry the other way round, for which the banned host's packets are replies. So it
/// must be remembered ([`super::Firewall::cut`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// The protocol's number: TCP or UDP.
    pub protocol: u8,
    /// The host that answered: in the LAN, or the router itself.
    pub inside: SocketAddr,
    /// The banned host.
    pub outside: SocketAddr,
}

impl Flow {
    /// Whether the socket is the inside's end of it.
    fn is_of(&self, socket: &OwnSocket) -> bool {
        self.protocol == IPPROTO_TCP && socket.is_between(self.inside, self.outside)
    }
}

/// What was ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kicked {
    /// Conntrack entries, forwarded and the router's own.
    pub flows: usize,
    /// TCP sockets of the router itself.
    pub sockets: usize,
}

/// The way to the kernel's connection table.
pub struct Conntrack {
    /// Reads; while a dump runs, deletions need a socket of their own.
    reader: Socket,
    deleter: Socket,
    sockets: Option<Sockets>,
    /// Size of the kernel's table.
    buckets: usize,
}

impl Conntrack {
    /// Opens the netlink sockets.
    ///
    /// # Errors
    /// [`Error::Netlink`] if they cannot be opened, [`Error::Lacking`] if there is no netfilter netlink.
    /// Missing rights or a missing `nf_conntrack_netlink` show at the first call of `kick`.
    pub fn open() -> Result<Conntrack, Error> {
        let buckets = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_buckets");
        Conntrack::with_buckets(buckets.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(USUAL_BUCKETS))
    }

    /// [`Conntrack::open`] for a kernel whose table has so many buckets: none, and [`Conntrack::kick`] always
    /// has the kernel look for the addresses; very many, and never.
    pub fn with_buckets(buckets: usize) -> Result<Conntrack, Error> {
        let open = || {
            let opening = |cause: io::Error| match Errno::from_io_error(&cause) {
                Some(Errno::PROTONOSUPPORT) => NO_CONNTRACK,
                _ => Error::Netlink { doing: "opening the conntrack socket", cause },
            };
            Socket::open(mnl::Bus::Netfilter).map_err(opening)
        };
        Ok(Conntrack { reader: open()?, deleter: open()?, sockets: Sockets::open(), buckets })
    }

    /// Ends connections of these addresses. The kernel walks its whole table for it, however few they are:
    /// collect addresses for some 100 ms rather than call it for each. `remember` is given the flows that an
    /// address had opened, some hundred at a time, before they are ended.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_ADMIN`, [`Error::Lacking`] if the kernel has no
    /// `nf_conntrack_netlink`, [`Error::Netlink`].
    pub fn kick(
        &mut self,
        addresses: &[IpAddr],
        whose: Whose,
        remember: &mut dyn FnMut(&[Flow]),
    ) -> Result<Kicked, Error> {
        if addresses.is_empty() {
            return Ok(Kicked::default());
        }
        // The kernel can look for one address on one side of the flow: a walk for each; or one walk, and every
        // entry is handed over.
        let sides = if whose == Whose::All { &[TUPLE_ORIG, TUPLE_REPLY][..] } else { &[TUPLE_ORIG] };
        let entries = self.entries().unwrap_or(0);
        let cost = |entry: usize| entries.saturating_mul(entry).saturating_add(self.buckets);
        // Linux up to 6.18 at least hands over, of IPv6, all that the filter does not name instead of what it does.
        let unfiltered = addresses.iter().any(IpAddr::is_ipv6);
        if unfiltered || cost(COMPARED).saturating_mul(sides.len() * addresses.len()) >= cost(READ) {
            let mut sorted = addresses.to_vec();
            sorted.sort_unstable();
            return self.kick_matching(&|address| sorted.binary_search(&address).is_ok(), whose, remember);
        }
        let banned = |address: IpAddr| addresses.contains(&address);
        let mut ending = Ending { banned: &banned, whose, remember, kicked: Kicked::default() };
        let own = self.own_sockets(&mut ending);
        for address in addresses {
            for side in sides {
                self.ask(Some((*address, *side))).map_err(failed)?;
                self.end_flows(usize::MAX, &own, &mut ending)?;
            }
        }
        Ok(ending.kicked)
    }

    /// Ends connections with an address at the far end, or by `whose` at either, for which `banned` says yes; one
    /// look at the whole table.
    ///
    /// # Errors
    /// As [`Conntrack::kick`].
    pub fn kick_matching(
        &mut self,
        banned: &dyn Fn(IpAddr) -> bool,
        whose: Whose,
        remember: &mut dyn FnMut(&[Flow]),
    ) -> Result<Kicked, Error> {
        self.sweep(&mut Sweep::new(whose), usize::MAX, banned, remember)
    }

    /// As [`Conntrack::kick_matching`], about `most` entries at a time, until [`Sweep::is_over`]. Nothing else may be
    /// asked of this meanwhile; whoever gives a sweep up gives this up with it.
    ///
    /// # Errors
    /// As [`Conntrack::kick`]; the sweep is given up then.
    pub fn sweep(
        &mut self,
        sweep: &mut Sweep,
        most: usize,
        banned: &dyn Fn(IpAddr) -> bool,
        remember: &mut dyn FnMut(&[Flow]),
    ) -> Result<Kicked, Error> {
        let mut ending = Ending { banned, whose: sweep.whose, remember, kicked: Kicked::default() };
        if !sweep.begun {
            sweep.begun = true;
            sweep.own = self.own_sockets(&mut ending);
            sweep.over = self.entries() == Some(0);
            if !sweep.over {
                self.ask(None).map_err(failed)?;
            }
        }
        if !sweep.over {
            sweep.over = self.end_flows(most, &sweep.own, &mut ending)?;
        }
        Ok(ending.kicked)
    }

    /// How many entries the table has; `None` if the kernel does not say.
    fn entries(&mut self) -> Option<usize> {
        let mut request = Vec::new();
        let sequence = self.reader.next_sequence();
        let start = open_netfilter(&mut request, CT_GET_STATS, NLM_F_REQUEST, sequence, 0, 0);
        close_message(&mut request, start);
        self.reader.send(&request).ok()?;
        let mut entries = None;
        while let Ok(Some(datagram)) = self.reader.receive() {
            for message in Messages(datagram).filter(|message| message.kind == CT_GET_STATS) {
                entries = message.attributes().get(STATS_GLOBAL_ENTRIES).and_then(be32);
            }
        }
        entries.and_then(|entries| usize::try_from(entries).ok())
    }

    /// The router's own sockets with banned hosts. Where all are to end, they are ended now: the reset of a socket
    /// still leaves through its conntrack entry. Else the entry must tell who opened it.
    fn own_sockets(&mut self, ending: &mut Ending<'_>) -> Vec<OwnSocket> {
        let mut found = ask_sockets(&mut self.sockets, |sockets| sockets.with(ending.banned));
        if ending.whose == Whose::All {
            ending.kicked.sockets += end_sockets(&mut self.sockets, &std::mem::take(&mut found));
        }
        found
    }

    /// Asks for every entry, or for those alone whose tuple on that side has this source.
    fn ask(&mut self, only: Option<(IpAddr, u16)>) -> io::Result<()> {
        let mut request = Vec::new();
        write_request(&mut request, self.reader.next_sequence(), only);
        self.reader.send(&request)
    }

    /// Goes through about so many of the entries that were asked for; `true`: there are no more.
    fn end_flows(&mut self, most: usize, own: &[OwnSocket], ending: &mut Ending<'_>) -> Result<bool, Error> {
        let Ending { banned, whose, remember, kicked } = ending;
        let (sockets, ended) = (&mut self.sockets, &mut kicked.sockets);
        let mut before = |flows: &[Flow]| {
            let opened = |socket: &&OwnSocket| flows.iter().any(|flow| flow.is_of(socket));
            let opened: Vec<OwnSocket> = own.iter().filter(opened).copied().collect();
            *ended += end_sockets(sockets, &opened);
            remember(flows);
        };
        let mut deletions = Deletions::new(&mut self.deleter, &mut before);
        let mut each = |entry: &Message<'_>| {
            if entry.kind != CT_NEW {
                return;
            }
            let opened = is_opened_by(entry, banned);
            if opened || *whose == Whose::All && (hits(entry, TUPLE_ORIG, banned) || hits(entry, TUPLE_REPLY, banned)) {
                deletions.add(entry, opened.then(|| flow(entry)).flatten());
            }
        };
        // An interrupted dump has missed only entries that came meanwhile, and those met the ban already.
        let read: Option<Dump> = self.reader.read_on(most, &mut each).map_err(failed)?;
        kicked.flows += deletions.finish().map_err(failed)?;
        Ok(read.is_some())
    }
}

fn failed(cause: io::Error) -> Error {
    match Errno::from_io_error(&cause) {
        Some(Errno::PERM) => Error::Permission,
        // nfnetlink knows no such subsystem; of a dump's request it finds nothing else invalid.
        Some(Errno::INVAL) => NO_CONNTRACK,
        _ => Error::Netlink { doing: "ending connections", cause },
    }
}

/// A look through the whole table, as far as it has come: see [`Conntrack::sweep`].
pub struct Sweep {
    whose: Whose,
    begun: bool,
    over: bool,
    /// The router's own sockets whose entries are still to tell who opened them.
    own: Vec<OwnSocket>,
}

impl Sweep {
    /// Nothing has been looked at.
    pub fn new(whose: Whose) -> Sweep {
        Sweep { whose, begun: false, over: false, own: Vec::new() }
    }

    /// It has been through the whole table.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

/// One look through the table.
struct Ending<'a> {
    banned: &'a dyn Fn(IpAddr) -> bool,
    whose: Whose,
    remember: &'a mut dyn FnMut(&[Flow]),
    kicked: Kicked,
}

fn end_sockets(sockets: &mut Option<Sockets>, which: &[OwnSocket]) -> usize {
    if which.is_empty() {
        return 0;
    }
    ask_sockets(sockets, |sockets| sockets.end(which))
}

/// Asks the kernel about the router's own sockets; for the last time if it cannot answer.
fn ask_sockets<T: Default>(sockets: &mut Option<Sockets>, ask: impl FnOnce(&mut Sockets) -> io::Result<T>) -> T {
    let Some(open) = sockets else { return T::default() };
    ask(open).unwrap_or_else(|error| {
        use io::ErrorKind::{InvalidInput, NotFound, PermissionDenied, Unsupported};
        if matches!(error.kind(), InvalidInput | NotFound | PermissionDenied | Unsupported) {
            *sockets = None; // it will not be different next time
            // OpenWrt's own kernels are made without it: no news for its owner.
            log::info!(
                "the kernel does not let the router's own TCP sockets be ended (INET_DIAG_DESTROY: \
                 {error}); with a banned host they fall silent and time out"
            );
        }
        T::default()
    })
}

/// A dump of every entry, or of those alone whose tuple on `side` has this source. Kernels before 5.8 do
/// not know the filter and send all, so that each answer is looked at again.
fn write_request(request: &mut Vec<u8>, sequence: u32, only: Option<(IpAddr, u16)>) {
    let family = only.map_or(0, |(address, _)| address_family(Family::of(address)));
    let start = open_netfilter(request, CT_GET, NLM_F_REQUEST | NLM_F_DUMP, sequence, family, 0);
    if let Some((address, side)) = only {
        let tuple = open_nested(request, side);
        let ip = open_nested(request, TUPLE_IP);
        match address {
            IpAddr::V4(address) => put(request, IP_V4_SRC, &address.octets()),
            IpAddr::V6(address) => put(request, IP_V6_SRC, &address.octets()),
        }
        close_nested(request, ip);
        close_nested(request, tuple);
        let filter = open_nested(request, FILTER);
        let flags = if side == TUPLE_ORIG { FILTER_ORIG_FLAGS } else { FILTER_REPLY_FLAGS };
        // These two are in the machine's byte order.
        put(request, flags, &FILTER_SOURCE.to_ne_bytes());
        close_nested(request, filter);
    }
    close_message(request, start);
}

/// Whether a banned host opened the flow. One that a helper expected belongs to who opened the flow that it came
/// from.
fn is_opened_by(entry: &Message<'_>, banned: &dyn Fn(IpAddr) -> bool) -> bool {
    let master = entry.attributes().get(TUPLE_MASTER).is_none_or(|_| hits(entry, TUPLE_MASTER, banned));
    master && hits(entry, TUPLE_ORIG, banned)
}

/// Whether the entry's tuple on `side` comes from a banned address. The source of the reply is the host
/// that answers, whatever address translation lies between.
fn hits(message: &Message<'_>, side: u16, banned: &dyn Fn(IpAddr) -> bool) -> bool {
    let tuple = message.attributes().get(side);
    let ip = tuple.and_then(|tuple| Attributes(tuple).get(TUPLE_IP));
    ip.and_then(source).is_some_and(banned)
}

pub(super) fn source(ip: &[u8]) -> Option<IpAddr> {
    address(ip, IP_V4_SRC, IP_V6_SRC)
}

fn destination(ip: &[u8]) -> Option<IpAddr> {
    address(ip, IP_V4_DST, IP_V6_DST)
}

fn address(ip: &[u8], v4: u16, v6: u16) -> Option<IpAddr> {
    let ip = Attributes(ip);
    match ip.get(v4) {
        Some(address) => bytes_at::<4>(address, 0).map(IpAddr::from),
        None => bytes_at::<16>(ip.get(v6)?, 0).map(IpAddr::from),
    }
}

/// The flow as the one that answered sees it, if it can be gone on with: UDP, and TCP that is open.
fn flow(entry: &Message<'_>) -> Option<Flow> {
    let tuple = Attributes(entry.attributes().get(TUPLE_REPLY)?);
    let ports = Attributes(tuple.get(TUPLE_PROTO)?);
    let [protocol] = *ports.get(PROTO_NUM)? else { return None };
    match protocol {
        IPPROTO_UDP => {}
        IPPROTO_TCP => {
            let tcp = entry.attributes().get(PROTOINFO).and_then(|info| Attributes(info).get(PROTOINFO_TCP));
            let state = tcp.and_then(|tcp| Attributes(tcp).get(TCP_STATE)).and_then(|state| state.first());
            state.is_none_or(|state| GOES_ON.contains(state)).then_some(())?;
        }
        _ => return None,
    }
    let ip = tuple.get(TUPLE_IP)?;
    let port = |kind| ports.get(kind).and_then(|port| bytes_at(port, 0)).map(u16::from_be_bytes);
    Some(Flow {
        protocol,
        inside: SocketAddr::new(source(ip)?, port(PROTO_SRC_PORT)?),
        outside: SocketAddr::new(destination(ip)?, port(PROTO_DST_PORT)?),
    })
}

/// Deletions of single entries, several to a datagram.
struct Deletions<'a> {
    socket: &'a mut Socket,
    /// Is told of the flows before a datagram leaves: what is remembered after the entry is gone would come too
    /// late for a packet between the two.
    before: &'a mut dyn FnMut(&[Flow]),
    flows: Vec<Flow>,
    buffer: Vec<u8>,
    pending: usize,
    deleted: usize,
    failure: Option<io::Error>,
}

impl<'a> Deletions<'a> {
    fn new(socket: &'a mut Socket, before: &'a mut dyn FnMut(&[Flow])) -> Deletions<'a> {
        Deletions { socket, before, flows: Vec::new(), buffer: Vec::new(), pending: 0, deleted: 0, failure: None }
    }

    /// Names the entry by tuple, zone and id: an entry made anew with the same tuple has another id.
    fn add(&mut self, entry: &Message<'_>, flow: Option<Flow>) {
        let Some(&family) = entry.payload.first() else { return };
        let Some(tuple) = entry.attributes().get(TUPLE_ORIG) else { return };
        let sequence = self.socket.next_sequence();
        let start = open_netfilter(&mut self.buffer, CT_DELETE, NLM_F_REQUEST, sequence, family, 0);
        put_nested(&mut self.buffer, TUPLE_ORIG, tuple);
        for kind in [ID, ZONE] {
            if let Some(value) = entry.attributes().get(kind) {
                put(&mut self.buffer, kind, value);
            }
        }
        close_message(&mut self.buffer, start);
        self.flows.extend(flow);
        self.pending += 1;
        if self.buffer.len() >= DELETE_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        if !self.flows.is_empty() {
            (self.before)(&self.flows);
            self.flows.clear();
        }
        if let Err(error) = self.try_send() {
            self.failure.get_or_insert(error);
        }
        self.buffer.clear();
        self.pending = 0;
    }

    fn try_send(&mut self) -> io::Result<()> {
        self.socket.send(&self.buffer)?;
        let mut refused = 0;
        while let Some(datagram) = self.socket.receive()? {
            for message in Messages(datagram) {
                if let Some(Control::Refused(refusal)) = control(&message) {
                    refused += 1;
                    // Gone by itself meanwhile: as good.
                    if refusal.errno != Errno::NOENT {
                        self.failure.get_or_insert(refusal.errno.into());
                    }
                }
            }
        }
        self.deleted += self.pending.saturating_sub(refused);
        Ok(())
    }

    fn finish(mut self) -> io::Result<usize> {
        if self.pending > 0 {
            self.send();
        }
        self.failure.map_or(Ok(self.deleted), Err)
    }
}
