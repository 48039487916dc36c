//! The named counters that the rules increment: how much each set has stopped. Reading them lists no set.

use std::io;

use super::batch::INET;
use super::error::Error;
use super::names::{Names, SetKey};
use super::netlink::{
    Attributes, Dump, Message, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, Socket, be64, close_message, open_netfilter, put,
    put_str, text,
};
use super::nftables::{GETOBJ, GETTABLE, NEWOBJ, NEWTABLE, OBJ_NAME, OBJ_TYPE, OBJECT_COUNTER, TABLE_NAME};

const TABLE_HANDLE: u16 = 4;
const OBJ_TABLE: u16 = 1;
const OBJ_DATA: u16 = 4;
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;

/// What the rules of one set have counted since the counter was made. A firewall restart begins at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Whose rules.
    pub key: SetKey,
    /// Handle of the table that it is in, by which a table made anew is told from the one before.
    pub table: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes of those packets, network header included.
    pub bytes: u64,
}

/// Reads every counter that exists; none if there is no table.
pub(super) fn read(socket: &mut Socket, names: &Names) -> Result<Vec<Counter>, Error> {
    let failed = |cause| Error::Netlink { doing: "reading the counters", cause };
    for _ in 0..super::ATTEMPTS {
        let Some(table) = table_handle(socket, names).map_err(failed)? else { return Ok(Vec::new()) };
        let Some(counters) = dump(socket, names, table).map_err(failed)? else { continue };
        // Another table may have taken its place between the two questions.
        if table_handle(socket, names).map_err(failed)? == Some(table) {
            return Ok(counters);
        }
    }
    Err(Error::Busy)
}

/// The counters; `None` if the ruleset changed while they were listed.
fn dump(socket: &mut Socket, names: &Names, table: u64) -> io::Result<Option<Vec<Counter>>> {
    let mut counters = Vec::new();
    let sequence = socket.next_sequence();
    let mut request = Vec::new();
    let start = open_netfilter(&mut request, GETOBJ, NLM_F_REQUEST | NLM_F_DUMP, sequence, INET, 0);
    put_str(&mut request, OBJ_TABLE, &names.table);
    put(&mut request, OBJ_TYPE, &OBJECT_COUNTER.to_be_bytes());
    close_message(&mut request, start);
    match socket.dump(&request, &mut |message| counters.extend(parse(message, names, table))) {
        Ok(Dump::Complete) => Ok(Some(counters)),
        Ok(Dump::Interrupted) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The table's handle, which the kernel gives to no other in this boot; `None` without a table.
fn table_handle(socket: &mut Socket, names: &Names) -> io::Result<Option<u64>> {
    let sequence = socket.next_sequence();
    let mut request = Vec::new();
    // Asking for an acknowledgement gives the answer an end, as a dump has one.
    let start = open_netfilter(&mut request, GETTABLE, NLM_F_REQUEST | NLM_F_ACK, sequence, INET, 0);
    put_str(&mut request, TABLE_NAME, &names.table);
    close_message(&mut request, start);
    let mut handle = None;
    let answer = socket.dump(&request, &mut |message| {
        if message.kind == NEWTABLE {
            handle = message.attributes().get(TABLE_HANDLE).and_then(be64);
        }
    });
    match answer {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(handle),
    }
}

fn parse(message: &Message<'_>, names: &Names, table: u64) -> Option<Counter> {
    if message.kind != NEWOBJ {
        return None;
    }
    let attributes = message.attributes();
    if text(attributes.get(OBJ_TABLE)?) != names.table.as_bytes() {
        return None;
    }
    let key = names.find(text(attributes.get(OBJ_NAME)?))?;
    let data = Attributes(attributes.get(OBJ_DATA)?);
    let (packets, bytes) = (be64(data.get(COUNTER_PACKETS)?)?, be64(data.get(COUNTER_BYTES)?)?);
    Some(Counter { key, table, packets, bytes })
}
