//! Addresses and networks as numbers, so that ranges of both families are handled by the same code.

use ipnet::IpNet;

pub(super) use crate::model::Family;
pub(super) use crate::model::family::number as of;

/// Family, first and last address of a network.
pub(super) fn bounds(net: IpNet) -> (Family, u128, u128) {
    let (family, number) = of(net.addr());
    let host = family.host_bits(net.prefix_len());
    (family, number & !host, number | host)
}
