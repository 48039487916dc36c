//! Addresses and networks as keys of the buckets: `v4.192.0.2.1`, `v6.` and 32 hex digits, `_PREFIX` behind a network.
//!
//! Client libraries take no colons in keys. The dots of IPv4 make its parts tokens of the subject, so that a
//! network can be watched. An IPv4 address in the clothes of IPv6 is the IPv4 address.

use std::net::IpAddr;

pub use diswall::feed::nats::hub::wire::of_key;
use ipnet::IpNet;

/// An address's key.
pub fn key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("v4.{address}"),
        IpAddr::V6(address) => format!("v6.{:032x}", address.to_bits()),
    }
}

/// A network's key: that of its first address, with its length unless it is a single address.
pub fn net_key(net: IpNet) -> String {
    let net = diswall::ledger::normal(net);
    let key = key(net.addr());
    if net.prefix_len() == net.max_prefix_len() { key } else { format!("{key}_{}", net.prefix_len()) }
}

/// The network of a key; `None`: it is none.
pub fn net_of_key(key: &str) -> Option<IpNet> {
    match key.rsplit_once('_') {
        Some((address, length)) => IpNet::new(of_key(address)?, length.parse().ok()?).ok(),
        None => of_key(key).map(IpNet::from),
    }
}

/// The address of a claim's key and who claims: `ADDRKEY.LOGIN`.
pub fn of_claim(key: &str) -> Option<(IpAddr, &str)> {
    let (address, login) = key.rsplit_once('.')?;
    Some((of_key(address)?, login))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_written_can_be_read_back() {
        for text in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(of_key(&key(address)), Some(address.to_canonical()));
            let claim = format!("{}.alice", key(address));
            assert_eq!(of_claim(&claim), Some((address.to_canonical(), "alice")));
        }
        for text in ["192.0.2.0/24", "2001:db8::/32", "192.0.2.7/32"] {
            let net: IpNet = text.parse().unwrap();
            assert_eq!(net_of_key(&net_key(net)), Some(net));
        }
        assert_eq!(net_key("192.0.2.9/24".parse().unwrap()), "v4.192.0.2.0_24");
        for bad in ["", "v4", "v4.1.2.3", "v6.00", "v6.+0000000000000000000000000000001", "v5.1.2.3.4", "v4.1.2.3.4_33"]
        {
            assert_eq!((of_key(bad), net_of_key(bad)), (None, None), "{bad}");
        }
    }
}
