//! The named counters that the rules increment: how much each set has stopped. Reading them lists no set.

use super::batch::{INET, nft};
use super::error::Error;
use super::names::{Names, SetKey};
use super::netlink::{
    Attributes, Dump, Message, NLM_F_DUMP, NLM_F_REQUEST, Socket, be64, close_message, open_netfilter, put, put_str,
    text,
};

const NEWOBJ: u16 = nft(18);
const GETOBJ: u16 = nft(19);
const OBJ_TABLE: u16 = 1;
const OBJ_NAME: u16 = 2;
const OBJ_TYPE: u16 = 3;
const OBJ_DATA: u16 = 4;
/// `NFT_OBJECT_COUNTER`.
const OBJECT_COUNTER: u32 = 1;
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;

/// What the rules of one set have counted since the counter was made. A firewall restart begins at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Whose rules.
    pub key: SetKey,
    /// Packets.
    pub packets: u64,
    /// Bytes of those packets, network header included.
    pub bytes: u64,
}

/// Reads every counter that exists; none if there is no table.
pub(super) fn read(socket: &mut Socket, names: &Names) -> Result<Vec<Counter>, Error> {
    for _ in 0..super::ATTEMPTS {
        let mut counters = Vec::with_capacity(SetKey::COUNT);
        let sequence = socket.next_sequence();
        let mut request = Vec::new();
        let start = open_netfilter(&mut request, GETOBJ, NLM_F_REQUEST | NLM_F_DUMP, sequence, INET, 0);
        put_str(&mut request, OBJ_TABLE, &names.table);
        put(&mut request, OBJ_TYPE, &OBJECT_COUNTER.to_be_bytes());
        close_message(&mut request, start);
        match socket.dump(&request, &mut |message| counters.extend(parse(message, names))) {
            Ok(Dump::Complete) => return Ok(counters),
            Ok(Dump::Interrupted) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(Error::Netlink { doing: "reading the counters", cause }),
        }
    }
    Err(Error::Busy)
}

fn parse(message: &Message<'_>, names: &Names) -> Option<Counter> {
    if message.kind != NEWOBJ {
        return None;
    }
    let attributes = message.attributes();
    if text(attributes.get(OBJ_TABLE)?) != names.table.as_bytes() {
        return None;
    }
    let key = names.find(text(attributes.get(OBJ_NAME)?))?;
    let data = Attributes(attributes.get(OBJ_DATA)?);
    Some(Counter { key, packets: be64(data.get(COUNTER_PACKETS)?)?, bytes: be64(data.get(COUNTER_BYTES)?)? })
}
