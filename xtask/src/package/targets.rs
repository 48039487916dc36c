//! The routers that packages are built for: one table, which everything else in `package` reads.

/// The tools that compile and link for a processor and its C library.
pub struct Cross {
    /// The first part of the tools' names; cross.toml and the `cc` crate look for `PREFIX-gcc`.
    pub tools: &'static str,
    /// zig's name of the target and the processor's options.
    pub zig: &'static [&'static str],
}

/// A kind of router.
pub struct Target {
    /// OpenWrt's name of the architecture, as opkg and apk compare it.
    pub arch: &'static str,
    /// Rust's name of it.
    pub triple: &'static str,
    /// Its tools.
    pub cross: Cross,
    /// The loader that a router of this kind has.
    pub loader: &'static str,
    /// What the ELF header must say: class (1: 32 bits, 2: 64 bits), data (1: little-endian, 2: big-endian), machine.
    pub elf: (u8, u8, u16),
}

/// Every one, in the order in which they are built.
pub const TARGETS: [Target; 5] = [
    Target {
        arch: "mipsel_24kc",
        triple: "mipsel-unknown-linux-musl",
        cross: Cross {
            tools: "mipsel-linux-musl",
            zig: &["-target", "mipsel-linux-musleabi", "-mcpu=mips32r2+soft_float"],
        },
        loader: "/lib/ld-musl-mipsel-sf.so.1",
        elf: (1, 1, 8),
    },
    Target {
        arch: "mips_24kc",
        triple: "mips-unknown-linux-musl",
        cross: Cross {
            tools: "mips-linux-musl",
            zig: &["-target", "mips-linux-musleabi", "-mcpu=mips32r2+soft_float"],
        },
        loader: "/lib/ld-musl-mips-sf.so.1",
        elf: (1, 2, 8),
    },
    Target {
        arch: "arm_cortex-a9_vfpv3-d16",
        triple: "armv7-unknown-linux-musleabihf",
        cross: Cross { tools: "arm-linux-musleabihf", zig: &["-target", "arm-linux-musleabihf", "-mcpu=cortex_a9"] },
        loader: "/lib/ld-musl-armhf.so.1",
        elf: (1, 1, 40),
    },
    Target {
        arch: "aarch64_cortex-a53",
        triple: "aarch64-unknown-linux-musl",
        cross: Cross { tools: "aarch64-linux-musl", zig: &["-target", "aarch64-linux-musl"] },
        loader: "/lib/ld-musl-aarch64.so.1",
        elf: (2, 1, 183),
    },
    Target {
        arch: "x86_64",
        triple: "x86_64-unknown-linux-musl",
        cross: Cross { tools: "x86_64-linux-musl", zig: &["-target", "x86_64-linux-musl"] },
        loader: "/lib/ld-musl-x86_64.so.1",
        elf: (2, 1, 62),
    },
];

/// The target of that name, or a sentence that lists the names there are.
pub fn named(arch: &str) -> crate::Result<&'static Target> {
    TARGETS.iter().find(|target| target.arch == arch).ok_or_else(|| {
        let known = TARGETS.map(|target| target.arch).join(", ");
        format!("no architecture is called {arch:?}; there are {known}")
    })
}
