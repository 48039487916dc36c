//! The emulated machines: one table, which everything else in `machine` reads.

use crate::package::targets::Cross;

/// Which binary runs on a machine.
pub enum Program {
    /// The one of the packages for this architecture, with the router's C library.
    Router(&'static str),
    /// One built for Debian there: Rust's name of the target, and its tools. For a processor that no
    /// supported router has.
    Debian(&'static str, Cross),
}

/// A kind of machine.
pub struct Kind {
    /// Debian's name of the architecture, and the name it goes by here.
    pub name: &'static str,
    /// What running the daemon there proves.
    pub why: &'static str,
    /// What is tried out there.
    pub program: Program,
    /// Debian's package that needs the newest kernel of the kind we boot.
    pub kernel: &'static str,
    /// The emulator and its options, with a card on the network `net`.
    pub qemu: &'static [&'static str],
    /// The serial console's device, as the kernel calls it.
    pub console: &'static str,
    /// The network card's module.
    pub network: &'static [&'static str],
    /// The disk's module, where a disk is tried, which then stands for a router's flash.
    pub disk: Option<&'static str>,
}

/// Every one. Each gets 64 MB of memory: the smallest router that OpenWrt still runs on.
pub const KINDS: [Kind; 3] = [
    Kind {
        name: "mipsel",
        why: "the processor of most routers: 32 bits, no 64-bit atomics",
        program: Program::Router("mipsel_24kc"),
        kernel: "linux-image-4kc-malta",
        qemu: &[
            "qemu-system-mipsel",
            "-M",
            "malta",
            "-m",
            "64",
            "-vga",
            "none",
            "-device",
            "pcnet,netdev=net,romfile=",
        ],
        console: "ttyS0",
        network: &["pcnet32"],
        disk: Some("ata_piix"),
    },
    Kind {
        name: "armhf",
        why: "the processor of the Turris Omnia",
        program: Program::Router("arm_cortex-a9_vfpv3-d16"),
        kernel: "linux-image-armmp",
        qemu: &["qemu-system-arm", "-M", "virt", "-m", "64", "-device", "virtio-net-device,netdev=net"],
        console: "ttyAMA0",
        network: &["virtio_mmio", "virtio_net"],
        disk: None,
    },
    Kind {
        name: "s390x",
        why: "big-endian, as ath79 routers are: a byte-order fault in a netlink message would show",
        program: Program::Debian(
            "s390x-unknown-linux-gnu",
            Cross { tools: "s390x-linux-gnu", zig: &["-target", "s390x-linux-gnu.2.36"] },
        ),
        kernel: "linux-image-s390x",
        qemu: &["qemu-system-s390x", "-M", "s390-ccw-virtio", "-m", "64", "-device", "virtio-net-ccw,netdev=net"],
        console: "ttysclp0",
        network: &["virtio_net"],
        disk: None,
    },
];

/// What the firewall needs of the kernel, beyond what a module brings along by itself.
pub const MODULES: [&str; 13] = [
    "crc32c_generic",
    "nf_tables",
    "nft_ct",
    "nft_chain_nat",
    "nft_socket",
    "nft_objref",
    "nft_limit",
    "nft_log",
    "nft_reject_inet",
    "nft_counter",
    "nf_conntrack_netlink",
    "nfnetlink_log",
    "tcp_diag",
];
