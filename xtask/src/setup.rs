//! What the machine must have beside Rust: finds what is missing and installs it. On Debian and Ubuntu,
//! as root, with apt-get; elsewhere it names what to install. Every other subcommand calls it first.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::command::{cargo, command, find_program, output, run};
use crate::files::read_text;

/// Something a subcommand stands on.
pub struct Need {
    /// How to tell that it is there.
    probe: Probe,
    /// Debian's package.
    package: &'static str,
    /// What for.
    why: &'static str,
}

enum Probe {
    /// A file.
    File(&'static str),
    /// A file of the compiler for routers, which must be of the version that Cargo.toml asks for, or newer.
    Compiler(&'static str),
    /// A program on the search path (or in /usr/sbin).
    Program(&'static str),
    /// A library, by its pkg-config name.
    Library(&'static str),
    /// A module of Debian's own Python.
    Python(&'static str),
}

impl Probe {
    fn found(&self) -> bool {
        let succeeds = |program: &str, args: &[&str]| {
            let quiet = command(program, args).stdout(Stdio::null()).stderr(Stdio::null()).status();
            quiet.is_ok_and(|status| status.success())
        };
        match self {
            Probe::File(path) => Path::new(path).is_file(),
            Probe::Compiler(path) => Path::new(path).is_file() && compiler_is_new_enough(),
            Probe::Program(name) => find_program(name).is_some(),
            Probe::Library(name) => succeeds("pkg-config", &["--exists", name]),
            Probe::Python(name) => succeeds("/usr/bin/python3", &["-c", &format!("import {name}")]),
        }
    }
}

const fn program(name: &'static str, package: &'static str, why: &'static str) -> Need {
    Need { probe: Probe::Program(name), package, why }
}

const fn library(name: &'static str, package: &'static str, why: &'static str) -> Need {
    Need { probe: Probe::Library(name), package, why }
}

const fn python(name: &'static str, package: &'static str, why: &'static str) -> Need {
    Need { probe: Probe::Python(name), package, why }
}

const fn file(path: &'static str, package: &'static str, why: &'static str) -> Need {
    Need { probe: Probe::File(path), package, why }
}

const fn compiler(path: &'static str, package: &'static str, why: &'static str) -> Need {
    Need { probe: Probe::Compiler(path), package, why }
}

/// Whether Debian's rustc builds this: a machine's package lists may be of a day when it was too old.
fn compiler_is_new_enough() -> bool {
    let Ok(manifest) = read_text(Path::new("Cargo.toml")) else { return false };
    let asked = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let there = output(&mut command("/usr/bin/rustc", &["-V"])).unwrap_or_default();
    let there = there.split(' ').nth(1).and_then(release);
    asked.and_then(|asked| release(asked.trim_matches('"'))).is_some_and(|asked| there >= Some(asked))
}

/// The first two numbers of a version.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// To build diswall.
pub const BUILD: &[Need] = &[
    program("gcc", "gcc", "the linker, and the C parts of ring"),
    program("pkg-config", "pkg-config", "finds the two libraries"),
    library("libmnl", "libmnl-dev", "netlink messages"),
    library("libnftnl", "libnftnl-dev", "nftables objects in netlink messages"),
];

/// To run it against feeds in a network namespace: the demo, the bench, the tests.
pub const RUN: &[Need] = &[
    program("nft", "nftables", "loads the rules, judges the sets"),
    program("ip", "iproute2", "devices and addresses of a network namespace"),
    program("unshare", "util-linux", "network namespaces"),
    program("ping", "iputils-ping", "packets from a banned address"),
    program("python3", "python3", "the simulated Sentinel"),
    python("zmq", "python3-zmq", "the simulated Sentinel: libzmq with CURVE"),
    python("msgpack", "python3-msgpack", "the simulated Sentinel: its messages"),
    program("nats-server", "nats-server", "a real NATS server"),
];

/// What the tests use beyond that.
pub const TEST: &[Need] = &[
    program("conntrack", "conntrack", "judges the connection table"),
    program("openssl", "openssl", "certificates for NATS over TLS"),
    program("curl", "curl", "lists and the published key, over HTTPS"),
    program("wget", "wget", "lists and the published key, over HTTPS"),
    program("nmap", "nmap", "scans of closed ports"),
    program("hping3", "hping3", "floods and forged packets"),
    program("dnsmasq", "dnsmasq-base", "resolves host names"),
    program("dropbear", "dropbear-bin", "failed log-ins"),
    program("sshd", "openssh-server", "failed log-ins"),
    program("sshpass", "sshpass", "wrong passwords"),
    program("postfix", "postfix", "failed log-ins"),
    program("msmtp", "msmtp", "sends the report by mail"),
    program("dovecot", "dovecot-core", "judges them for Postfix"),
    program("vsftpd", "vsftpd", "failed log-ins"),
    program("nginx", "nginx-light", "failed log-ins"),
    program("fail2ban-server", "fail2ban", "another program's bans"),
    program("zsh", "zsh", "completes words"),
    program("fish", "fish", "completes words"),
];

/// To run a hub: a newer nats-server than Debian's, see [`nats_server`].
pub const HUB: &[Need] = &[
    python("ensurepip", "python3-venv", "a place of its own for nats-server"),
    program("flock", "util-linux", "lets one of several install it"),
];

/// Whom the bench measures beside diswall, with what Debian recommends to them.
pub const RIVALS: &[Need] = &[
    program("fail2ban-server", "fail2ban", "bans by log lines, measured beside ours"),
    python("pyinotify", "python3-pyinotify", "by which fail2ban follows files"),
    program("sshguard", "sshguard", "bans by log lines, measured beside ours"),
    program("gawk", "gawk", "with which banIP reads lists"),
];

/// To test the LuCI pages.
pub const LUCI: &[Need] = &[
    program("node", "nodejs", "runs the pages' tests"),
    program("npm", "npm", "fetches playwright-core, which drives the browser"),
    program("chromium", "chromium", "the browser"),
];

/// To try what is in contrib for those who draw graphs; Prometheus itself is unpacked, since it would be started.
pub const GRAPHS: &[Need] = &[
    program("lua5.1", "lua5.1", "runs a collector of an exporter"),
    file("/usr/share/lua/5.1/cjson/util.lua", "lua-cjson", "gives it the daemon's answer"),
    program("collectd", "collectd-core", "runs its exec script"),
    program("jq", "jq", "reads the daemon's answer for a script"),
    program("mosquitto", "mosquitto", "an MQTT broker"),
    program("mosquitto_pub", "mosquitto-clients", "speaks to it"),
];

/// To build the pages for reForis.
pub const NPM: &[Need] =
    &[program("node", "nodejs", "bundles the pages"), program("npm", "npm", "fetches what they stand on")];

/// To pack, and to check what is packed.
pub const PACK: &[Need] = &[
    program("zopfli", "zopfli", "packages 4 % smaller than gzip makes them"),
    program("shellcheck", "shellcheck", "judges the packages' scripts"),
    program("busybox", "busybox-static", "runs them as a router does"),
];

/// To count instructions.
pub const COUNT: &[Need] = &[program("valgrind", "valgrind", "counts instructions")];

/// To count those of MIPS.
pub const COUNT_MIPS: &[Need] =
    &[program("qemu-mips", "qemu-user", "counts instructions of MIPS; the static one takes no plugin")];

/// To sign what is released.
pub const SIGN: &[Need] = &[
    program("signify-openbsd", "signify-openbsd", "signs opkg's index"),
    program("openssl", "openssl", "names the key of apk's index"),
    python("ecdsa", "python3-ecdsa", "signs apk's index"),
];

/// To build for routers.
pub const CROSS: &[Need] = &[
    compiler("/usr/bin/rustc", "rustc-web", "a compiler, new enough, whose library source Debian has too"),
    compiler("/usr/bin/cargo", "cargo-web", "the cargo that goes with it"),
    compiler(
        "/usr/lib/rustlib/src/rust/library/std/Cargo.toml",
        "rust-web-src",
        "the standard library, built for MIPS",
    ),
    python("ensurepip", "python3-venv", "a place of its own for zig"),
];

/// To run router binaries here.
pub const EMULATE: &[Need] =
    &[program("qemu-mips-static", "qemu-user-static", "runs the binaries of other processors")];

/// To emulate whole machines.
pub const MACHINE: &[Need] = &[
    program("qemu-system-mipsel", "qemu-system-mips", "emulates a MIPS router"),
    program("qemu-system-arm", "qemu-system-arm", "emulates an ARM router"),
    program("qemu-system-s390x", "qemu-system-misc", "emulates a big-endian machine"),
];

/// Sees to it that everything in `groups` is there.
pub fn ensure(groups: &[&[Need]]) -> Result<()> {
    let missing: Vec<&Need> = groups.iter().copied().flatten().filter(|need| !need.probe.found()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("This machine lacks:");
    for need in &missing {
        println!("  {:<16} {}", need.package, need.why);
    }
    install(&missing)?;
    match missing.iter().find(|need| !need.probe.found()) {
        None => Ok(()),
        Some(need) => Err(format!("{} was installed, and yet what it is for is not found: {}", need.package, need.why)),
    }
}

/// One of Debian's packages that is unpacked below `target` and not installed; the root of its files.
pub fn unpack(package: &str) -> Result<String> {
    let root = output(&mut command("sh", &["tests/parts/lapi.sh", "target/debian", package]))?;
    Ok(root.trim().to_owned())
}

/// The path of a nats-server whose buckets' keys can time out, which Debian's cannot; installed below `target`.
pub fn nats_server() -> Result<PathBuf> {
    ensure(&[HUB])?;
    output(&mut command("sh", &["tests/parts/nats.sh", "target"])).map(|path| PathBuf::from(path.trim()))
}

/// rustfmt and clippy, which a minimal Rust lacks.
pub fn ensure_rust_components() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if output(&mut cargo(&[subcommand, "--version"])).is_ok() {
            continue;
        }
        if find_program("rustup").is_none() {
            return Err(format!("cargo {subcommand} is missing, and no rustup is here to add it: install {component}"));
        }
        println!("Adding {component} to the Rust toolchain (rustup component add {component}).");
        run(&mut command("rustup", &["component", "add", component]))?;
    }
    Ok(())
}

/// Network namespaces and nftables are root's.
pub fn require_root(what: &str) -> Result<()> {
    if is_root()? { Ok(()) } else { Err(format!("{what} makes network namespaces: run it as root")) }
}

fn is_root() -> Result<bool> {
    Ok(output(&mut command("id", &["-u"]))?.trim() == "0")
}

fn install(missing: &[&Need]) -> Result<()> {
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let by_hand = format!("install them and run this again (Debian's names): {}", packages.join(" "));
    if find_program("apt-get").is_none() {
        return Err(format!("this is no Debian or Ubuntu; {by_hand}"));
    }
    if !is_root()? {
        return Err(format!("only root can install; as root: apt-get install {}", packages.join(" ")));
    }
    println!("Installing them with apt-get.");
    let installed = run(&mut apt(&["install"], &packages)).is_ok();
    if installed && missing.iter().all(|need| need.probe.found()) {
        return Ok(());
    }
    println!("Once more, with fresh package lists.");
    run(&mut apt(&["update"], &[]))?;
    run(&mut apt(&["install"], &packages)).map_err(|error| format!("{error}; {by_hand}"))
}

fn apt(action: &[&str], packages: &[&str]) -> Command {
    let mut command = command("apt-get", &["-q", "-y", "-o", "DPkg::Lock::Timeout=600"]);
    command.args(action);
    if !packages.is_empty() {
        command.arg("--no-install-recommends").args(packages);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(release("1.96.0"), Some((1, 96)));
        assert!(release("1.100.0") > release("1.93"));
        assert!(release("1.85.0") < release("1.93"));
        assert_eq!(release("nightly"), None);
    }
}
