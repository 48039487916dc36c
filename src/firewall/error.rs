//! Why the kernel did not do what it was asked, in terms the daemon can act on.

use std::{fmt, io};

use super::names::SetKey;

/// A failed call of the firewall. Every set that may have missed a change because of it is marked dirty.
#[derive(Debug)]
pub enum Error {
    /// The process lacks `CAP_NET_ADMIN` (`EPERM`).
    Permission,
    /// The kernel lacks a whole part of netfilter.
    Lacking {
        /// Which: "nf_tables".
        part: &'static str,
        /// OpenWrt's package that brings it.
        package: &'static str,
    },
    /// The table does not exist.
    NoTable,
    /// The table exists, this set does not.
    NoSet(SetKey),
    /// The set holds as many elements as its `size` allows (`ENFILE`).
    Full(SetKey),
    /// An interval overlaps one that is already in the set (`EEXIST`), or a set of another definition has
    /// the name.
    Exists(SetKey),
    /// The ruleset kept changing while it was read or written (`EAGAIN`, dump interrupted).
    Busy,
    /// The kernel had no memory left for it (`ENOBUFS`, `ENOMEM`).
    NoBuffers,
    /// Any other refusal that concerns one set.
    Refused {
        /// Which set.
        set: SetKey,
        /// The kernel's error.
        cause: io::Error,
    },
    /// The netlink socket failed.
    Netlink {
        /// What was being done: "dumping a set".
        doing: &'static str,
        /// The system's error.
        cause: io::Error,
    },
}

impl Error {
    /// There is no nf_tables.
    pub(super) const NO_NF_TABLES: Error = Error::Lacking { part: "nf_tables", package: "kmod-nft-core" };

    /// The set the error is about, if it is about one.
    pub fn set(&self) -> Option<SetKey> {
        match self {
            Error::NoSet(key) | Error::Full(key) | Error::Exists(key) | Error::Refused { set: key, .. } => Some(*key),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |f: &mut fmt::Formatter<'_>, key: &SetKey| {
            let (name, part) = key.set.name();
            write!(f, "set {name}{part}{}: ", key.family.digit())
        };
        match self {
            Error::Permission => f.write_str("not permitted to change the firewall; CAP_NET_ADMIN is needed"),
            Error::Lacking { part, package } => write!(f, "the kernel has no {part} (package {package})"),
            Error::NoTable => f.write_str("nftables: the table does not exist"),
            Error::NoSet(key) => set(f, key).and_then(|()| f.write_str("it does not exist")),
            Error::Full(key) => set(f, key).and_then(|()| f.write_str("it is full (see max_entries)")),
            Error::Exists(key) => set(f, key).and_then(|()| f.write_str("something there is in the way")),
            Error::Busy => f.write_str("nftables: the ruleset keeps changing"),
            Error::NoBuffers => f.write_str("nftables: the kernel is out of memory"),
            Error::Refused { set: key, cause } => set(f, key).and_then(|()| write!(f, "{cause}")),
            Error::Netlink { doing, cause } => write!(f, "{doing}: {cause}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Refused { cause, .. } | Error::Netlink { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
