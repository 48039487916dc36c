//! Writes DynFW's messages as Sentinel does: MessagePack maps, docs/protocols.md section 1.

use std::net::IpAddr;

use bytes::Bytes;

/// `dynfw/delta`.
pub fn delta(serial: u64, positive: bool, ip: IpAddr, ts: u64) -> Bytes {
    let mut out = Vec::with_capacity(96);
    map(&mut out, 4);
    text(&mut out, "serial");
    number(&mut out, serial);
    text(&mut out, "delta");
    text(&mut out, if positive { "positive" } else { "negative" });
    text(&mut out, "ip");
    text(&mut out, &ip.to_string());
    text(&mut out, "ts");
    number(&mut out, ts);
    out.into()
}

/// `dynfw/event`.
pub fn event(event: &str, ip: IpAddr, ts: u64) -> Bytes {
    let mut out = Vec::with_capacity(96);
    map(&mut out, 3);
    text(&mut out, "event");
    text(&mut out, event);
    text(&mut out, "ip");
    text(&mut out, &ip.to_string());
    text(&mut out, "ts");
    number(&mut out, ts);
    out.into()
}

/// `dynfw/list`.
pub fn list<'a>(serial: u64, addresses: impl ExactSizeIterator<Item = &'a IpAddr>, ts: u64) -> Bytes {
    use std::fmt::Write;
    let mut out = Vec::with_capacity(64 + 16 * addresses.len());
    map(&mut out, 4);
    text(&mut out, "version");
    number(&mut out, 1);
    text(&mut out, "serial");
    number(&mut out, serial);
    text(&mut out, "ts");
    number(&mut out, ts);
    text(&mut out, "list");
    out.push(0xdd);
    out.extend(u32::try_from(addresses.len()).unwrap_or(u32::MAX).to_be_bytes());
    let mut shown = String::new();
    for address in addresses {
        shown.clear();
        let _ = write!(shown, "{address}");
        text(&mut out, &shown);
    }
    out.into()
}

/// Of a few pairs.
fn map(out: &mut Vec<u8>, pairs: u8) {
    out.push(0x80 | pairs);
}

/// Of less than 256 bytes: whatever is written here is.
fn text(out: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    if length < 32 {
        out.push(0xa0 | length);
    } else {
        out.extend([0xd9, length]);
    }
    out.extend(text.bytes().take(length.into()));
}

/// In the smallest width, as Sentinel writes it.
fn number(out: &mut Vec<u8>, number: u64) {
    if let Ok(small) = u8::try_from(number) {
        if small >= 0x80 {
            out.push(0xcc);
        }
        out.push(small);
    } else if let Ok(small) = u16::try_from(number) {
        out.push(0xcd);
        out.extend(small.to_be_bytes());
    } else if let Ok(small) = u32::try_from(number) {
        out.push(0xce);
        out.extend(small.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend(number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use diswall::feed::dynfw::wire::{self, Published};

    use super::*;

    #[test]
    fn a_router_reads_what_is_written() {
        let ip: IpAddr = "2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap();
        for serial in [0, 127, 128, 255, 256, 65_535, 65_536, u32::MAX.into(), 1 << 32, u64::MAX] {
            let frame = delta(serial, serial % 2 == 0, ip, 1_700_000_000);
            let Ok(Published::Delta(read)) = wire::parse(&[b"dynfw/delta", &frame]) else { panic!("{frame:?}") };
            assert_eq!((read.serial, read.positive, read.ts), (serial, serial % 2 == 0, 1_700_000_000));
            assert_eq!(wire::parse_address(read.ip), Ok(ip));
        }
        let frame = event("telnet_login", ip, 9);
        let Ok(Published::Event(read)) = wire::parse(&[b"dynfw/event", &frame]) else { panic!("{frame:?}") };
        assert_eq!((read.event, read.ts), ("telnet_login", 9));
        let addresses: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), ip];
        let frame = list(300, addresses.iter(), 9);
        let Ok(Published::List(read)) = wire::parse(&[b"dynfw/list", &frame]) else { panic!("{frame:?}") };
        assert_eq!(read.serial, 300);
        assert_eq!(read.addresses.map(Result::unwrap).collect::<Vec<_>>(), addresses);
    }
}
