//! What the kernel itself knows of who talks to whom: the proof that an address was there, which no log
//! line and no lone packet is.
//!
//! [`Witness::saw`] asks for one address, never for the table, and bounds itself: the daemon's `proof` asks before a
//! failed log-in is counted. [`Witness::look`] takes one look at everything, for the many questions of the daemon's
//! `scene` before it bans for a packet; how often is for `scene` to bound. Layouts:
//! `linux/netfilter/nfnetlink_conntrack.h`, `linux/inet_diag.h`.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use super::conntrack::{
    CT_GET, CT_NEW, FILTER, FILTER_ORIG_FLAGS, IP_V4_SRC, IPPROTO_UDP, PROTO_DST_PORT, PROTO_NUM, PROTO_SRC_PORT,
    TUPLE_IP, TUPLE_ORIG, TUPLE_PROTO, TUPLE_REPLY, source,
};
use super::names::{Family, address_family};
use super::netlink::{
    Attributes, Message, NLM_F_DUMP, NLM_F_REQUEST, Socket, be32, be64, bytes_at, close_message, close_nested,
    open_message, open_nested, open_netfilter, put,
};
use super::sockets::{ID_OFFSET, IPPROTO_TCP, PEER_OFFSET, SOCK_DIAG_BY_FAMILY};

const STATUS: u16 = 3;
const PROTOINFO: u16 = 4;
const PROTOINFO_TCP: u16 = 1;
const TCP_STATE: u16 = 1;
const STATUS_MASK: u16 = 26;
const COUNTERS_REPLY: u16 = 10;
const COUNTER_PACKETS: u16 = 1;
const COUNTER_BYTES: u16 = 2;
/// `IPS_SEEN_REPLY`, `IPS_ASSURED`.
const SEEN_REPLY: u32 = 1 << 1;
const ASSURED: u32 = 1 << 2;
/// Conntrack's TCP states from established to time-wait.
const TALKING: std::ops::RangeInclusive<u8> = 3..=7;

/// Which parts of a tuple the kernel is to compare.
const COMPARE_SOURCE: u32 = 1 << 0;
const COMPARE_PROTOCOL: u32 = 1 << 3;
const COMPARE_SOURCE_PORT: u32 = 1 << 4;

/// Socket states behind a completed handshake, as a mask of the kernel's numbers: established, fin-wait 1 and
/// 2, time-wait, close-wait, last-ack, closing.
const COMPLETED: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 9 | 1 << 11;
/// Listening, which for UDP is "closed".
const WAITING: u32 = 1 << 10 | 1 << 7;

/// Look-ups of [`Witness::saw`]: so many a second, and so many at once. Each walks the kernel's table.
const RATE: u64 = 20;
const BURST: u64 = 40;

/// Seconds for which a yes is remembered for the same address, port and service.
const REMEMBERED: u64 = 30;
/// Answers remembered.
const ANSWERS: usize = 128;

/// What is claimed: that this address talked to a service of ours.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Whoever is said to have talked to it; an IPv4-mapped address is the IPv4 one.
    pub address: IpAddr,
    /// Its own port, where the log line gives one.
    pub client_port: Option<u16>,
    /// The service's ports, as the outside or the machine inside has them; empty: any.
    pub ports: &'a [u16],
    /// Whether the service may be spoken to over TCP, over UDP.
    pub tcp: bool,
    /// See `tcp`. A UDP flow is proof of a packet and its answer alone.
    pub udp: bool,
}

/// The kernel's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// There is, or was within its time-out, such a flow.
    Yes,
    /// There is none.
    No,
    /// The kernel cannot be asked, or not now: why, as a sentence's end.
    Unknown(String),
}

/// An entry of the connection table, as far as it is looked at.
#[derive(Clone, Copy, Debug)]
struct Flow {
    /// Who opened it, and who answers.
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    from_port: u16,
    /// The port that was called, and the one that answers; they differ behind a port forward.
    called_port: u16,
    answering_port: u16,
    status: u32,
    /// Conntrack's; 0 for what is not TCP.
    tcp_state: u8,
    /// Packets and bytes of the answers, where the kernel counts.
    answers: Option<(u64, u64)>,
}

/// The connection table at one moment, as far as it matters to who is to be banned for a packet.
#[derive(Debug, Default)]
pub struct Picture {
    /// Hosts outside with which somebody here has a flow that the kernel calls assured.
    live: HashSet<IpAddr>,
    /// Hosts and their UDP ports that were called, by flows that last.
    pub talked: Vec<SocketAddr>,
    /// Protocols and ports at which somebody from outside was served, by the router or through a port forward.
    pub called: HashSet<(u8, u16)>,
}

impl Picture {
    /// Most hosts told apart: above them everybody counts as one that somebody talks with.
    const LIVE: usize = 16_384;
    /// Most of the others: the first ones met.
    const OTHERS: usize = 2048;

    /// Whether somebody here talks with the host.
    pub fn talks_with(&self, address: IpAddr) -> bool {
        self.live.len() >= Picture::LIVE || self.live.contains(&address.to_canonical())
    }

    fn add(&mut self, flow: &Flow, inside: &dyn Fn(IpAddr) -> bool) {
        if flow.status & ASSURED == 0 {
            return;
        }
        let (from_outside, is_proof) = (!inside(flow.from), flow.is_proof());
        // Of a flow from inside, whoever answers is there; of one from outside, whoever called may be forged.
        let far = if from_outside { flow.from } else { flow.to };
        if (is_proof || !from_outside) && self.live.len() < Picture::LIVE && !inside(far) {
            self.live.insert(far);
        }
        if flow.protocol == IPPROTO_UDP && self.talked.len() < Picture::OTHERS && !inside(flow.to) {
            self.talked.push(SocketAddr::new(flow.to, flow.answering_port));
        }
        if from_outside && is_proof && self.called.len() < Picture::OTHERS {
            self.called.insert((flow.protocol, flow.called_port));
        }
    }
}

/// A dump of every flow that the kernel calls assured; kernels before 5.15 hand over the others too.
fn assured(request: &mut Vec<u8>, sequence: u32) {
    let start = open_netfilter(request, CT_GET, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0, 0);
    put(request, STATUS, &ASSURED.to_be_bytes());
    put(request, STATUS_MASK, &ASSURED.to_be_bytes());
    close_message(request, start);
}

/// See the module's head.
#[derive(Default)]
pub struct Witness {
    conntrack: Option<Socket>,
    sockets: Option<Socket>,
    /// Look-ups left, and when that was true.
    left: Option<(u64, u64)>,
    answers: VecDeque<(Remembered, u64)>,
}

/// A claim that was true a moment ago.
type Remembered = (IpAddr, Option<u16>, Option<u16>, bool);

impl Witness {
    /// Nothing is opened before the first question.
    pub fn new() -> Witness {
        Witness::default()
    }

    /// Whether the kernel saw what is claimed. `now` in seconds of a clock that never goes back.
    pub fn saw(&mut self, now: u64, claim: &Claim<'_>) -> Proof {
        let claim = Claim { address: claim.address.to_canonical(), ..*claim };
        let key = (claim.address, claim.client_port, claim.ports.first().copied(), claim.udp);
        self.answers.retain(|(_, end)| *end > now);
        if self.answers.iter().any(|(known, _)| *known == key) {
            return Proof::Yes;
        }
        if !self.may_ask(now) {
            return Proof::Unknown("too many are asked for at once".into());
        }
        let proof = self.ask(&claim);
        if proof == Proof::Yes {
            self.answers.truncate(ANSWERS - 1);
            self.answers.push_front((key, now + REMEMBERED));
        }
        proof
    }

    fn may_ask(&mut self, now: u64) -> bool {
        let (left, then) = self.left.unwrap_or((BURST, now));
        let left = now.saturating_sub(then).saturating_mul(RATE).saturating_add(left).min(BURST);
        self.left = Some((left.saturating_sub(1), now));
        left > 0
    }

    fn ask(&mut self, claim: &Claim<'_>) -> Proof {
        // A socket cannot be forged, and is looked up at less cost.
        if claim.tcp && self.has_socket(claim).unwrap_or(false) {
            return Proof::Yes;
        }
        let protocols = [(claim.tcp, IPPROTO_TCP), (claim.udp, IPPROTO_UDP)];
        for protocol in protocols.into_iter().filter(|(asked, _)| *asked).map(|(_, protocol)| protocol) {
            let filter = Filter { source: claim.address, protocol, port: claim.client_port };
            let mut found = false;
            let fits = |port: u16| claim.ports.is_empty() || claim.ports.contains(&port);
            let walked = self.walk(&|request, sequence| filter.write(request, sequence), &mut |flow| {
                found |= flow.from == claim.address
                    && flow.protocol == protocol
                    && claim.client_port.is_none_or(|port| port == flow.from_port)
                    && (fits(flow.called_port) || fits(flow.answering_port))
                    && flow.is_proof();
            });
            match walked {
                Ok(()) if found => return Proof::Yes,
                Ok(()) => {}
                Err(error) => return Proof::Unknown(error),
            }
        }
        Proof::No
    }

    /// Looks through the connection table once, for the answers to many questions. Costs some 30 ns a bucket of
    /// the kernel's table, 20 ns an entry, and 1 µs an assured one. `inside` says which addresses are nobody's
    /// business: ours.
    ///
    /// # Errors
    /// A sentence's end: why the kernel cannot be asked.
    pub fn look(&mut self, inside: &dyn Fn(IpAddr) -> bool) -> Result<Picture, String> {
        let mut picture = Picture::default();
        self.walk(&assured, &mut |flow| picture.add(flow, inside))?;
        Ok(picture)
    }

    /// Whether a socket of this machine that others can reach waits at one of these ports. `None` if the
    /// kernel has no list of sockets.
    pub fn is_waited_at(&mut self, protocol: u8, ports: &[u16]) -> Option<bool> {
        let mut found = false;
        for family in Family::ALL {
            self.dump_sockets(family, protocol, WAITING, &mut |socket| {
                found |= !socket.own.is_loopback() && socket.peer_port == 0 && ports.contains(&socket.own_port);
            })?;
        }
        Some(found)
    }

    fn has_socket(&mut self, claim: &Claim<'_>) -> Option<bool> {
        let mut found = false;
        // An IPv6 socket may speak IPv4.
        for family in Family::ALL {
            self.dump_sockets(family, IPPROTO_TCP, COMPLETED, &mut |socket| {
                found |= socket.peer == claim.address
                    && claim.client_port.is_none_or(|port| port == socket.peer_port)
                    && (claim.ports.is_empty() || claim.ports.contains(&socket.own_port));
            })?;
        }
        Some(found)
    }

    /// Walks the connection table. Kernels before 5.8 know no filter and hand over everything, so each answer is
    /// looked at again by `each`.
    fn walk(&mut self, write: &dyn Fn(&mut Vec<u8>, u32), each: &mut dyn FnMut(&Flow)) -> Result<(), String> {
        let sentence = |cause: io::Error| match Errno::from_io_error(&cause) {
            Some(Errno::PERM) => "CAP_NET_ADMIN is missing".to_string(),
            Some(Errno::INVAL | Errno::PROTONOSUPPORT) => super::conntrack::NO_CONNTRACK.to_string(),
            _ => format!("the kernel's connections cannot be read: {cause}"),
        };
        let socket = match &mut self.conntrack {
            Some(socket) => socket,
            closed => closed.insert(Socket::open(mnl::Bus::Netfilter).map_err(sentence)?),
        };
        let mut request = Vec::with_capacity(128);
        write(&mut request, socket.next_sequence());
        let walked = socket.dump(&request, &mut |message| {
            if let Some(flow) = Flow::read(message) {
                each(&flow);
            }
        });
        walked.map(|_| ()).map_err(sentence)
    }

    fn dump_sockets(&mut self, family: Family, protocol: u8, states: u32, each: &mut dyn FnMut(&Ends)) -> Option<()> {
        let socket = match &mut self.sockets {
            Some(socket) => socket,
            closed => closed.insert(Socket::open(mnl::Bus::SockDiag).ok()?),
        };
        let mut request = Vec::with_capacity(80);
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        let start = open_message(&mut request, SOCK_DIAG_BY_FAMILY, flags, socket.next_sequence());
        request.extend_from_slice(&[address_family(family), protocol, 0, 0]);
        request.extend_from_slice(&states.to_ne_bytes());
        request.extend_from_slice(&[0; 48]);
        close_message(&mut request, start);
        let walked = socket.dump(&request, &mut |message| {
            if let Some(ends) = Ends::read(message, family) {
                each(&ends);
            }
        });
        walked.ok().map(|_| ())
    }
}

/// What the kernel is to compare: who opened the flow (IPv4), the protocol, and the port it was opened from.
struct Filter {
    source: IpAddr,
    protocol: u8,
    port: Option<u16>,
}

impl Filter {
    fn write(&self, request: &mut Vec<u8>, sequence: u32) {
        let family = address_family(Family::of(self.source));
        let start = open_netfilter(request, CT_GET, NLM_F_REQUEST | NLM_F_DUMP, sequence, family, 0);
        let mut compared = COMPARE_PROTOCOL;
        let tuple = open_nested(request, TUPLE_ORIG);
        // Linux up to 6.18 at least hands over, of IPv6, all that come from elsewhere: `ask` compares those itself.
        if let IpAddr::V4(address) = self.source {
            let ip = open_nested(request, TUPLE_IP);
            put(request, IP_V4_SRC, &address.octets());
            close_nested(request, ip);
            compared |= COMPARE_SOURCE;
        }
        let proto = open_nested(request, TUPLE_PROTO);
        put(request, PROTO_NUM, &[self.protocol]);
        if let Some(port) = self.port {
            put(request, PROTO_SRC_PORT, &port.to_be_bytes());
            compared |= COMPARE_SOURCE_PORT;
        }
        close_nested(request, proto);
        close_nested(request, tuple);
        let filter = open_nested(request, FILTER);
        // In the machine's byte order.
        put(request, FILTER_ORIG_FLAGS, &compared.to_ne_bytes());
        close_nested(request, filter);
        close_message(request, start);
    }
}

impl Flow {
    fn read(message: &Message<'_>) -> Option<Flow> {
        if message.kind != CT_NEW {
            return None;
        }
        let attributes = message.attributes();
        let (from, protocol, from_port, called_port) = tuple(attributes.get(TUPLE_ORIG)?)?;
        let (to, _, answering_port, _) = tuple(attributes.get(TUPLE_REPLY)?)?;
        let tcp = attributes.get(PROTOINFO).and_then(|info| Attributes(info).get(PROTOINFO_TCP));
        let counters = attributes.get(COUNTERS_REPLY).map(Attributes);
        let counter = |kind| counters.and_then(|counters| counters.get(kind)).and_then(be64);
        Some(Flow {
            from,
            to,
            protocol,
            from_port,
            called_port,
            answering_port,
            status: attributes.get(STATUS).and_then(be32).unwrap_or(0),
            tcp_state: tcp
                .and_then(|tcp| Attributes(tcp).get(TCP_STATE))
                .and_then(|state| state.first().copied())
                .unwrap_or(0),
            answers: counter(COUNTER_PACKETS).zip(counter(COUNTER_BYTES)),
        })
    }

    /// Whether both ends have taken part. What a forger can bring about is a SYN and its answer, a lone later
    /// packet that makes an entry in the middle of nothing, and where the kernel does not check sequence
    /// numbers (OpenWrt's do not) a handshake that only the connection table believes in: there the server
    /// has never sent anything but headers.
    fn is_proof(&self) -> bool {
        match self.protocol {
            IPPROTO_TCP => {
                let talking = self.status & SEEN_REPLY != 0 && TALKING.contains(&self.tcp_state);
                let headers: u64 = if self.from.is_ipv4() { 60 } else { 80 };
                let only_headers = |(packets, bytes): (u64, u64)| bytes <= packets.saturating_mul(headers);
                (talking || self.status & ASSURED != 0) && !self.answers.is_some_and(only_headers)
            }
            _ => self.status & SEEN_REPLY != 0,
        }
    }
}

/// Source, protocol, source port and destination port.
fn tuple(tuple: &[u8]) -> Option<(IpAddr, u8, u16, u16)> {
    let tuple = Attributes(tuple);
    let protocol = Attributes(tuple.get(TUPLE_PROTO)?);
    let port = |kind| protocol.get(kind).and_then(|port| bytes_at(port, 0)).map_or(0, u16::from_be_bytes);
    let number = protocol.get(PROTO_NUM)?.first().copied()?;
    Some((source(tuple.get(TUPLE_IP)?)?, number, port(PROTO_SRC_PORT), port(PROTO_DST_PORT)))
}

/// Both ends of a socket of this machine.
struct Ends {
    own: IpAddr,
    own_port: u16,
    peer: IpAddr,
    peer_port: u16,
}

impl Ends {
    fn read(message: &Message<'_>, family: Family) -> Option<Ends> {
        if message.kind != SOCK_DIAG_BY_FAMILY {
            return None;
        }
        let id = message.payload.get(ID_OFFSET..)?;
        let port = |at| bytes_at(id, at).map(u16::from_be_bytes);
        let address = |at| match family {
            Family::V4 => bytes_at::<4>(id, at).map(IpAddr::from),
            Family::V6 => bytes_at::<16>(id, at).map(|bytes| IpAddr::from(bytes).to_canonical()),
        };
        Some(Ends {
            own: address(PEER_OFFSET - 16)?,
            own_port: port(0)?,
            peer: address(PEER_OFFSET)?,
            peer_port: port(2)?,
        })
    }
}
