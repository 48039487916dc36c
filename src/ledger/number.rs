//! Addresses and networks as numbers, so that ranges of both families are handled by the same code.

use std::net::IpAddr;

use ipnet::IpNet;

pub(super) use crate::model::Family;

/// An address as family and number.
pub(super) fn of(address: IpAddr) -> (Family, u128) {
    match address {
        IpAddr::V4(address) => (Family::V4, u128::from(address.to_bits())),
        IpAddr::V6(address) => (Family::V6, address.to_bits()),
    }
}

/// Family, first and last address of a network.
pub(super) fn bounds(net: IpNet) -> (Family, u128, u128) {
    let (family, number) = of(net.addr());
    let host = family.host_bits(net.prefix_len());
    (family, number & !host, number | host)
}
