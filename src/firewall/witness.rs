//! What the kernel itself knows of who talks to whom: the proof that an address was there, which no log
//! line and no lone packet is.
//!
//! Asked for one address or one port at a time, never for a table; how often is the caller's to bound
//! ([`Witness::saw`] bounds itself). The daemon's `logins` asks before it counts a failed log-in, its
//! `eyes` before they ban for a packet. Layouts: `linux/netfilter/nfnetlink_conntrack.h`,
//! `linux/inet_diag.h`.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;

use rustix::io::Errno;

use super::conntrack::{
    CT_GET, CT_NEW, FILTER, FILTER_ORIG_FLAGS, FILTER_REPLY_FLAGS, IP_V4_SRC, IP_V6_SRC, IPPROTO_UDP, PROTO_DST_PORT,
    PROTO_NUM, PROTO_SRC_PORT, TUPLE_IP, TUPLE_ORIG, TUPLE_PROTO, TUPLE_REPLY, address_family, source,
};
use super::names::Family;
use super::netlink::{
    Attributes, Message, NLM_F_DUMP, NLM_F_REQUEST, Socket, be32, be64, bytes_at, close_message, close_nested,
    open_message, open_nested, open_netfilter, put,
};
use super::sockets::{ID_OFFSET, IPPROTO_TCP, PEER_OFFSET, SOCK_DIAG_BY_FAMILY};

const STATUS: u16 = 3;
const PROTOINFO: u16 = 4;
const PROTOINFO_TCP: u16 = 1;
const TCP_STATE: u16 = 1;
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
const COMPARE_DESTINATION_PORT: u32 = 1 << 5;

/// Socket states behind a completed handshake, as a mask of the kernel's numbers: established, fin-wait 1 and
/// 2, time-wait, close-wait, last-ack, closing.
const COMPLETED: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 9 | 1 << 11;
/// Listening, which for UDP is "closed".
const WAITING: u32 = 1 << 10 | 1 << 7;

/// Look-ups of [`Witness::saw`]: so many a second, and so many at once. Each walks the kernel's table.
const RATE: f32 = 20.0;
const BURST: f32 = 40.0;

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

/// See the module's head.
#[derive(Default)]
pub struct Witness {
    conntrack: Option<Socket>,
    sockets: Option<Socket>,
    /// Look-ups left, and when that was true.
    left: Option<(f32, u64)>,
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
        let left = (left + now.saturating_sub(then) as f32 * RATE).min(BURST);
        let may = left >= 1.0;
        self.left = Some((if may { left - 1.0 } else { left }, now));
        may
    }

    fn ask(&mut self, claim: &Claim<'_>) -> Proof {
        // A socket cannot be forged, and is looked up at less cost.
        if claim.tcp && self.has_socket(claim).unwrap_or(false) {
            return Proof::Yes;
        }
        let protocols = [(claim.tcp, IPPROTO_TCP), (claim.udp, IPPROTO_UDP)];
        for protocol in protocols.into_iter().filter(|(asked, _)| *asked).map(|(_, protocol)| protocol) {
            let ports = [claim.client_port, None];
            let filter = Filter { side: TUPLE_ORIG, source: Some(claim.address), protocol: Some(protocol), ports };
            let mut found = false;
            let fits = |port: u16| claim.ports.is_empty() || claim.ports.contains(&port);
            let walked = self.flows(Family::of(claim.address), &filter, &mut |flow| {
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

    /// Whether anybody outside `inside` has, or had within its time-out, a connection to this port here or to
    /// the port forward that has it. `None` if the kernel cannot be asked.
    pub fn is_called(&mut self, protocol: u8, port: u16, inside: &dyn Fn(IpAddr) -> bool) -> Option<bool> {
        let filter = Filter { side: TUPLE_ORIG, source: None, protocol: Some(protocol), ports: [None, Some(port)] };
        let mut found = false;
        for family in Family::ALL {
            self.flows(family, &filter, &mut |flow| {
                found |= flow.protocol == protocol && flow.called_port == port && flow.is_proof() && !inside(flow.from);
            })
            .ok()?;
        }
        Some(found)
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

    /// Whether the address talks with somebody here: a flow that it opened and the kernel calls assured, or
    /// one that somebody inside opened and it answered. `None` if the kernel cannot be asked.
    pub fn talks(&mut self, address: IpAddr) -> Option<bool> {
        let address = address.to_canonical();
        let mut found = false;
        for side in [TUPLE_REPLY, TUPLE_ORIG] {
            let filter = Filter { side, source: Some(address), protocol: None, ports: [None; 2] };
            self.flows(Family::of(address), &filter, &mut |flow| {
                found |= match side {
                    TUPLE_REPLY => flow.to == address && flow.is_answered(),
                    _ => flow.from == address && flow.status & ASSURED != 0 && flow.is_proof(),
                };
            })
            .ok()?;
            if found {
                break;
            }
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

    /// Walks the connection table with the kernel's filter. Kernels before 5.8 hand over everything, so each
    /// answer is looked at again by `each`.
    fn flows(&mut self, family: Family, filter: &Filter, each: &mut dyn FnMut(&Flow)) -> Result<(), String> {
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
        filter.write(&mut request, socket.next_sequence(), family);
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

/// What the kernel is to compare: the tuple's source, protocol, and its two ports.
struct Filter {
    side: u16,
    source: Option<IpAddr>,
    protocol: Option<u8>,
    ports: [Option<u16>; 2],
}

impl Filter {
    fn write(&self, request: &mut Vec<u8>, sequence: u32, family: Family) {
        let start = open_netfilter(request, CT_GET, NLM_F_REQUEST | NLM_F_DUMP, sequence, address_family(family), 0);
        let mut compared = 0;
        let tuple = open_nested(request, self.side);
        if let Some(address) = self.source {
            let ip = open_nested(request, TUPLE_IP);
            match address {
                IpAddr::V4(address) => put(request, IP_V4_SRC, &address.octets()),
                IpAddr::V6(address) => put(request, IP_V6_SRC, &address.octets()),
            }
            close_nested(request, ip);
            compared |= COMPARE_SOURCE;
        }
        if let Some(protocol) = self.protocol {
            let proto = open_nested(request, TUPLE_PROTO);
            put(request, PROTO_NUM, &[protocol]);
            compared |= COMPARE_PROTOCOL;
            let kinds = [(PROTO_SRC_PORT, COMPARE_SOURCE_PORT), (PROTO_DST_PORT, COMPARE_DESTINATION_PORT)];
            for (port, (kind, flag)) in self.ports.into_iter().zip(kinds) {
                if let Some(port) = port {
                    put(request, kind, &port.to_be_bytes());
                    compared |= flag;
                }
            }
            close_nested(request, proto);
        }
        close_nested(request, tuple);
        let filter = open_nested(request, FILTER);
        let flags = if self.side == TUPLE_ORIG { FILTER_ORIG_FLAGS } else { FILTER_REPLY_FLAGS };
        // In the machine's byte order.
        put(request, flags, &compared.to_ne_bytes());
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

    /// Whether the host that somebody inside called is really there.
    fn is_answered(&self) -> bool {
        match self.protocol {
            IPPROTO_TCP => self.status & SEEN_REPLY != 0 && TALKING.contains(&self.tcp_state),
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
