//! `cargo xtask machine`: the daemon on whole emulated machines, each with a processor and a kernel of its
//! own and 64 MB of memory. It follows a feed that this machine serves, and nft over there says whether the
//! sets hold what they must. Called by `main`.

mod full;
pub mod image;
pub mod kinds;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use image::{Daemon, System};
use kinds::{KINDS, Kind, Program};

use crate::command::command;
use crate::files::write;
use crate::package::toolchain::{self, Tls};
use crate::package::{targets, tools};
use crate::parts::{Part, Sentinel};
use crate::{Result, Subcommand, router, setup};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand =
    Subcommand { name: "machine", summary: "the daemon on emulated routers: MIPS, ARM, big-endian", help: HELP, run };

const HELP: &str = "\
Usage: cargo xtask machine [--build-only] [--program FILE] [--kernel FILE] [mipsel|armhf|s390x]…
       cargo xtask machine --full [--program FILE] [--kernel FILE] [mipsel|armhf|s390x]…

Boots an emulated machine with Debian's kernel and 64 MB of memory, lets the daemon there follow a
simulated Sentinel on this machine, and compares the sets with nft over there: a whole list, deltas,
bans by hand of both families, and what is left after the daemon has stopped. Without a name: all three.
On mipsel and armhf that is the very binary of the router package, with musl; for s390x, which no router
has, one is built. --program gives a binary that is built already; --build-only boots nothing.
--kernel boots this kernel in place of Debian's: one that has in itself what Debian has in modules
(nf_tables and what it needs, the network card, with --full the disk and ext4 too).

--full, on mipsel unless another is named: with DynFW, DisWall, the five lists that are recommended to 64 MB
and two countries in their real sizes, what memory is left then and was left at the least; 20 MB are to be.

What is needed is installed first (qemu, the cross compilers); Debian's kernel and libraries for the
other processor are fetched into target/machine.";

/// Addresses on the list that is followed, and changes to it after that.
const ADDRESSES: u32 = 5000;
const CHANGES: u32 = 300;

/// An emulated processor that shares two real ones with compilers takes its time.
const PATIENCE: Duration = Duration::from_secs(400);

fn run(args: &[String]) -> Result<()> {
    let Wanted { full, build_only, given, kinds } = parse(args)?;
    setup::ensure(&[setup::RUN, setup::MACHINE])?;
    if build_only {
        return kinds.iter().try_for_each(|kind| image::fetch(kind).and_then(|_| build(kind, None)).map(drop));
    }
    let mut summary = Vec::new();
    for kind in kinds {
        println!("== {}: {}", kind.name, kind.why);
        let start = Instant::now();
        let memory = if full { full::try_out(kind, &given)? } else { try_out(kind, &given)? };
        summary.push(format!("{:<7} in order, {memory}, {} s", kind.name, start.elapsed().as_secs()));
    }
    println!("\n{}", summary.join("\n"));
    Ok(())
}

/// What is there already and is not to be built or fetched.
#[derive(Default)]
struct Given {
    program: Option<PathBuf>,
    kernel: Option<PathBuf>,
}

/// What the arguments ask for.
struct Wanted {
    full: bool,
    build_only: bool,
    given: Given,
    kinds: Vec<&'static Kind>,
}

fn parse(args: &[String]) -> Result<Wanted> {
    let mut wanted = Wanted { full: false, build_only: false, given: Given::default(), kinds: Vec::new() };
    let mut words = args.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut file = || words.next().map(PathBuf::from).ok_or_else(|| format!("{word} takes a file"));
        match word {
            "--full" => wanted.full = true,
            "--build-only" => wanted.build_only = true,
            "--program" => wanted.given.program = Some(file()?),
            "--kernel" => wanted.given.kernel = Some(file()?),
            name => wanted.kinds.push(KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
                format!("no machine is called {name:?}; there are {}", KINDS.map(|kind| kind.name).join(", "))
            })?),
        }
    }
    if wanted.kinds.is_empty() {
        wanted.kinds = if wanted.full { &KINDS[..1] } else { &KINDS[..] }.iter().collect();
    }
    Ok(wanted)
}

/// The whole scenario; what the daemon's memory was.
fn try_out(kind: &Kind, given: &Given) -> Result<String> {
    let daemon = build(kind, given.program.as_deref())?;
    let system = System { root: image::fetch(kind)?, kernel: given.kernel.clone() };
    let scratch = Path::new("target/machine").join(kind.name);
    let mut sentinel = Sentinel::start(ADDRESSES, &scratch)?;
    sentinel.tell("publish every 5")?;
    let configuration = format!(
        "config diswall 'main'\n\toption state_dir '/var/lib/diswall'\n\
         config dynfw 'dynfw'\n\toption server '10.0.2.2'\n\toption port '{}'\n\toption server_key '{}'\n\
         \toption key_url ''\nconfig nats 'nats'\n\toption enabled '0'\n",
        sentinel.port, sentinel.public_key
    );
    let image = image::build(kind, &system, &daemon, &configuration, &[])?;
    let mut machine = Machine::boot(kind, &image, &scratch)?;
    println!("{}", machine.tell("diswall --version; cat /proc/version; free")?);
    machine.tell("diswall rules --standalone >/tmp/rules && nft -f /tmp/rules && mkdir -p /var/run/diswall")?;
    machine.tell("diswall run --foreground >/tmp/log 2>&1 & echo $! >/tmp/pid")?;

    machine.follows(&mut sentinel, "the whole list")?;
    sentinel.tell(&format!("burst {CHANGES}"))?;
    machine.follows(&mut sentinel, &format!("{CHANGES} deltas"))?;

    machine.tell("diswall block 203.0.113.0/24 --timeout 1h && diswall block 2001:db8:bad::/48 --timeout 1h")?;
    machine.tell("diswall check 203.0.113.77 && diswall check 2001:db8:bad::1")?;
    machine.tell("! diswall check 203.0.114.1")?;
    machine.tell("nft list set inet fw4 diswall_manual4 | grep -F 203.0.113.0/24")?;
    machine.tell("nft list set inet fw4 diswall_manual6 | grep -F 2001:db8:bad::/48")?;
    println!("bans of networks, both families, as nft shows them: in order");

    let memory = machine.tell("grep -E 'VmHWM|VmRSS' /proc/$(cat /tmp/pid)/status")?;
    let memory = memory.split_whitespace().collect::<Vec<_>>().join(" ");
    println!("the daemon's memory: {memory}");
    machine.tell("kill $(cat /tmp/pid) && sleep 2 && ! kill -0 $(cat /tmp/pid)")?;
    machine.follows(&mut sentinel, "the sets after the daemon has stopped")?;
    Ok(memory)
}

/// The daemon for a machine, built unless it is given.
pub fn build(kind: &Kind, given: Option<&Path>) -> Result<Daemon> {
    let (triple, profile, cross) = match &kind.program {
        Program::Router(arch) => {
            let target = targets::named(arch)?;
            (target.triple, "release", &target.cross)
        }
        Program::Debian(triple, cross) => (*triple, "machine", cross),
    };
    toolchain::prepare(cross)?;
    let program = match given {
        Some(program) => program.to_path_buf(),
        None => toolchain::build(triple, profile, Tls::Without)?,
    };
    with_libraries(kind, program)
}

/// A daemon that is built, with the libraries of a router where it is a router's.
pub fn with_libraries(kind: &Kind, program: PathBuf) -> Result<Daemon> {
    let libraries = match kind.program {
        Program::Router(arch) => Some(router::root(targets::named(arch)?)?),
        Program::Debian(..) => None,
    };
    Ok(Daemon { program, libraries })
}

/// A running machine and its serial line.
pub struct Machine {
    part: Part,
    name: &'static str,
}

impl Machine {
    fn boot(kind: &Kind, image: &image::Image, scratch: &Path) -> Result<Machine> {
        Machine::boot_with(kind, image, scratch, "user", &[])
    }

    /// The same on a network of qemu's of this kind, with more options of qemu's.
    pub fn boot_with(
        kind: &Kind,
        image: &image::Image,
        scratch: &Path,
        network: &str,
        more: &[String],
    ) -> Result<Machine> {
        let archive = scratch.join("initramfs.gz");
        write(&archive, &image.archive)?;
        // setpriv(1): however this process ends, the emulator ends with it.
        let mut qemu = command("setpriv", &["--pdeathsig", "KILL", "--"]);
        qemu.args(kind.qemu).args(["-netdev", &format!("{network},id=net")]);
        qemu.args(["-nographic", "-no-reboot", "-kernel"]).arg(&image.kernel).arg("-initrd").arg(&archive);
        if let Some(disk) = &image.disk {
            qemu.args(["-drive", &format!("file={},format=raw", disk.display())]);
        }
        qemu.args(more);
        // cma=0: Debian's ARM kernel puts 16 of the 64 MB aside for devices that no router has; with them gone
        // the kernel, not the daemon, runs out of memory over a list of 5,000.
        qemu.args(["-append", &format!("console={} quiet panic=-1 cma=0", kind.console)]);
        let start = Instant::now();
        let mut machine = Machine { part: Part::start("qemu", &mut qemu, scratch)?, name: kind.name };
        machine.until("@ready")?;
        println!("booted in {} s, the initramfs has {} KB", start.elapsed().as_secs(), image.archive.len() / 1024);
        Ok(machine)
    }

    /// Runs a command over there; what it prints, and its exit status.
    pub fn ask(&mut self, line: &str) -> Result<(String, String)> {
        self.part.send(line)?;
        self.until("@done ")
    }

    /// The same; an error when it fails.
    fn tell(&mut self, line: &str) -> Result<String> {
        let (printed, status) = self.ask(line)?;
        if status == "0" {
            return Ok(printed);
        }
        let (log, _) = self.ask("tail -n 20 /tmp/log")?;
        Err(format!("{}: {line}: status {status}\n{printed}\nthe daemon's log:\n{log}", self.name))
    }

    /// Everything up to a line with this mark, and what follows the mark in that line.
    fn until(&mut self, mark: &str) -> Result<(String, String)> {
        let start = Instant::now();
        let mut seen = Vec::new();
        while start.elapsed() < PATIENCE {
            for line in self.part.new_lines().collect::<Vec<_>>() {
                let line = line.trim_end().to_owned();
                if let Some((before, after)) = line.split_once(mark) {
                    seen.push(before.to_owned());
                    return Ok((seen.join("\n").trim_end().to_owned(), after.to_owned()));
                }
                seen.push(line);
            }
            self.part.check_running().map_err(|error| format!("{error}\n{}", seen.join("\n")))?;
            sleep(Duration::from_millis(20));
        }
        Err(format!("{}: no {mark:?} within {} s\n{}", self.name, PATIENCE.as_secs(), seen.join("\n")))
    }

    /// Waits until nft over there lists exactly the feed's addresses.
    fn follows(&mut self, sentinel: &mut Sentinel, what: &str) -> Result<()> {
        const LIST: &str = "nft list set inet fw4 diswall_dynfw4 | grep -oE '([0-9]+\\.){3}[0-9]+' | sort >/tmp/set; \
                            wc -l </tmp/set; sha256sum </tmp/set";
        let dump = sentinel.tell("dump")?;
        let addresses = dump["addresses"].as_array().ok_or("the simulated Sentinel dumps no addresses")?;
        let mut addresses: Vec<&str> = addresses.iter().filter_map(|address| address.as_str()).collect();
        addresses.sort_unstable();
        let expected = tools::sha256((addresses.join("\n") + "\n").as_bytes())?;
        let start = Instant::now();
        let mut printed = String::new();
        while start.elapsed() < PATIENCE {
            printed = self.tell(LIST)?;
            if printed.contains(&expected) {
                println!("{what}: the set holds exactly the feed's {} addresses", addresses.len());
                return Ok(());
            }
            sleep(Duration::from_secs(1));
        }
        let log = self.tell("tail -n 20 /tmp/log; diswall status")?;
        Err(format!("{}: {what}: {} addresses expected, the set has {printed}\n{log}", self.name, addresses.len()))
    }
}
