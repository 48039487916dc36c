//! `cargo xtask emulate`: the very binaries of the router packages, run here by qemu's user-mode emulation
//! beside the program built for this machine, which must say the same. They follow both feeds and answer
//! on the control socket; nftables is out of reach there, and they must say so. Called by `main` and `test`.

mod unit;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::{cargo, command, programs, run, shown};
use crate::files::{absolute, make_directory, write};
use crate::machine::kinds;
use crate::package::targets::{self, TARGETS, Target};
use crate::package::toolchain::{self, Tls};
use crate::parts::{Daemon, DisWall, Sentinel};
use crate::router::{self, Processor};
use crate::{Result, Subcommand, sandbox, setup};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand = Subcommand {
    name: "emulate",
    summary: "the packages' own binaries under user-mode emulation",
    help: HELP,
    run: emulate,
};

const HELP: &str = "\
Usage: cargo xtask emulate [--as-built|--build-only] [--brief] [ARCH]…
       cargo xtask emulate --tests [ARCH]…

Builds diswall for routers as `cargo xtask package` does and runs those very binaries, with musl's
loader and C library compiled for each processor, by qemu's user-mode emulation (x86_64 as it is):
  texts      help, rules, configuration checks of good and bad files, the rpcd methods: output and
             exit status must be those of the program built for this machine
  daemon     follows a simulated Sentinel over CURVE and DisWall on a real nats-server, obeys the
             command line, and leaves a snapshot that it and this machine's program can read
User mode has no nftables; the daemon must say so and go on. On x86_64 the sets are compared with nft.

ARCH is one of mipsel_24kc, mips_24kc, arm_cortex-a9_vfpv3-d16, aarch64_cortex-a53, x86_64; without
one, all of them. --as-built takes the binaries that are there; --build-only runs none.
--brief is what `cargo xtask test` does: without ARCH, x86_64 is left out, and what no emulated machine
runs (mips_24kc, aarch64_cortex-a53) is built without link-time optimization, to be done sooner. Needs
root, and everything runs in namespaces that the kernel clears away.

--tests builds the library's unit tests in place of the program, with the same compiler and options but
for link-time optimization, and runs them: a quarter of an hour of a core for each ARCH, most of it the
build, so that no other check does it. Without ARCH: mipsel_24kc and mips_24kc.";

/// Addresses on the Sentinel's list, and changes to it after that.
const ADDRESSES: u32 = 500;
const CHANGES: u32 = 200;

/// How long an emulated program may take for anything; generous.
const PATIENCE: Duration = Duration::from_secs(60);

/// Configurations that are checked: all that differs between processors is in numbers, bytes and lengths.
const CONFIGURATIONS: [(&str, &str); 8] = [
    ("empty", ""),
    ("unclosed quote", "config diswall 'main\n\toption enabled '1'\n"),
    ("unknown names", "config diswall 'main'\n\toption enable '1'\nconfig firewall\n\tlist zone 'wan'\n"),
    (
        "numbers beyond 32 bits",
        "config diswall\n\toption max_entries '4294967296'\nconfig dynfw\n\toption port '65536'\n",
    ),
    ("numbers beyond 64 bits", "config diswall\n\toption max_entries '18446744073709551616'\n"),
    ("durations", "config dynfw\n\toption max_age '99999999999d'\nconfig scan\n\tlist ban_time '4294967295'\n"),
    ("addresses", "config allow\n\toption ip '198.51.100.300'\nconfig block\n\toption ip '2001:db8::/129'\n"),
    ("not text", "config allow\n\toption comment '\u{fffd}\u{1}'\n\toption ip '::ffff:192.0.2.1'\n"),
];

fn emulate(args: &[String]) -> Result<()> {
    if let (true, args) = take(args, TESTS) {
        return unit::tests(args);
    }
    if let Some(args) = sandbox::is_inside(args) {
        let (brief, args) = take(args, BRIEF);
        return try_out_all(&chosen(args, brief)?, brief);
    }
    let (option, args) = match args {
        [option, rest @ ..] if option.starts_with("--") && option != BRIEF => (option.as_str(), rest),
        _ => ("", args),
    };
    if !matches!(option, "" | "--as-built" | "--build-only") {
        return Err(format!("no option is called {option}; see --help"));
    }
    let within = args;
    let (brief, args) = take(args, BRIEF);
    let targets = chosen(args, brief)?;
    setup::require_root("emulate")?;
    setup::ensure(&[setup::BUILD, setup::RUN, setup::EMULATE])?;
    for target in &targets {
        toolchain::prepare(&target.cross)?;
        router::root(target)?;
    }
    if option != "--as-built" {
        println!("== build for {}", targets.iter().map(|target| target.arch).collect::<Vec<_>>().join(", "));
        // What is shipped first: the machines wait for it too.
        for wanted in ["release", "machine"] {
            let alike = targets.iter().filter(|target| profile(target, brief) == wanted);
            let triples: Vec<&str> = alike.map(|target| target.triple).collect();
            if !triples.is_empty() {
                toolchain::build_all(&triples, wanted, Tls::Without)?;
            }
        }
    }
    if option == "--build-only" {
        return Ok(());
    }
    run(&mut cargo(&["build", "--quiet", "--bin", "diswall", "--example", "diswall_service"]))?;
    sandbox::enter(SUBCOMMAND.name, within)
}

/// The option by which a run of all checks stays short.
const BRIEF: &str = "--brief";

/// The option by which the unit tests are run, and not the program.
const TESTS: &str = "--tests";

/// Whether the arguments begin with this option; the others.
fn take<'a>(args: &'a [String], option: &str) -> (bool, &'a [String]) {
    match args {
        [first, rest @ ..] if first == option => (true, rest),
        _ => (false, args),
    }
}

/// The profile of cargo's that a target is built with.
fn profile(target: &Target, brief: bool) -> &'static str {
    let whole_machine =
        kinds::KINDS.iter().any(|kind| matches!(kind.program, kinds::Program::Router(arch) if arch == target.arch));
    if brief && !whole_machine { "machine" } else { "release" }
}

fn chosen(args: &[String], brief: bool) -> Result<Vec<&'static Target>> {
    if args.is_empty() {
        // No package is made for it unless one asks, and the end-to-end tests run on that processor.
        return Ok(TARGETS.iter().filter(|target| !(brief && target.arch == "x86_64")).collect());
    }
    args.iter().map(|arch| targets::named(arch)).collect()
}

fn try_out_all(targets: &[&Target], brief: bool) -> Result<()> {
    let scratch = sandbox::scratch()?;
    let mut summary = Vec::new();
    for target in targets {
        println!("== {}", target.arch);
        let start = Instant::now();
        let place = scratch.join(target.arch);
        make_directory(&place)?;
        let trial = Trial::new(target, profile(target, brief), &place)?;
        let texts = trial.texts()?;
        println!("{texts} commands: the same output and exit status as this machine's program");
        trial.daemon().map_err(|error| format!("{}: {error}\nthe daemon's log:\n{}", target.arch, trial.log()))?;
        summary.push(format!("{:<24} in order, {} s", target.arch, start.elapsed().as_secs()));
    }
    println!("\n{}", summary.join("\n"));
    Ok(())
}

/// One binary beside the native one.
struct Trial<'a> {
    target: &'a Target,
    processor: &'static Processor,
    /// For files.
    place: &'a Path,
    /// Where `diswall` is a script that runs the router's binary.
    emulated: PathBuf,
    /// Where this machine's programs are.
    native: PathBuf,
}

/// How a shell starts a program for this kind of router, with musl's loader and the router's libraries.
fn start(target: &Target, program: &Path) -> Result<String> {
    let (processor, root) = (router::processor(target)?, router::root(target)?);
    let (root, program) = (root.display(), absolute(program)?);
    let program = program.display();
    Ok(match processor.emulator {
        Some(emulator) => format!("{emulator} -L '{root}' '{program}'"),
        // Debian's libraries for this processor do not name the one that has glibc's calls.
        None => {
            let (loader, glibc) = (target.loader, processor.glibc_loader().unwrap_or_default());
            format!("'{root}{loader}' --preload '{root}/lib/{glibc}' --library-path '{root}/lib' '{program}'")
        }
    })
}

impl Trial<'_> {
    fn new<'a>(target: &'a Target, profile: &str, place: &'a Path) -> Result<Trial<'a>> {
        let processor = router::processor(target)?;
        let start = start(target, &toolchain::built(target.triple, profile, Tls::Without))?;
        let emulated = place.join("bin");
        make_directory(&emulated)?;
        let script = emulated.join("diswall");
        write(&script, format!("#!/bin/sh\nexec {start} \"$@\"\n"))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
            .map_err(|error| format!("{}: {error}", script.display()))?;
        Ok(Trial { target, processor, place, emulated, native: programs()? })
    }

    /// Everything that only prints, from both programs; how many commands that was.
    fn texts(&self) -> Result<usize> {
        let version = answer(&self.emulated.join("diswall"), &["--version"])?;
        println!("{}", version.trim_end());
        if !version.contains(self.target.triple) {
            return Err(format!("--version does not name {}: {version}", self.target.triple));
        }
        let mut commands: Vec<Vec<String>> = Vec::new();
        for words in ["--help", "rpcd list", "frobnicate", "", "block", "check 203.0.113.300", "rpcd call frobnicate"] {
            commands.push(words.split_whitespace().map(str::to_owned).collect());
        }
        let shipped = fs::read_to_string("openwrt/files/diswall.config").map_err(|error| error.to_string())?;
        for (name, text) in CONFIGURATIONS.iter().copied().chain([("as shipped", shipped.as_str())]) {
            let file = self.place.join(name.replace(' ', "-"));
            write(&file, text)?;
            let file = file.display().to_string();
            for words in [&["config", "check"][..], &["rules", "--config"], &["rules", "--standalone", "--config"]] {
                commands.push(words.iter().map(|word| (*word).to_owned()).chain([file.clone()]).collect());
            }
            commands.push(["status", "--config", &file].map(str::to_owned).to_vec());
        }
        for args in &commands {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let (here, there) =
                (answer(&self.native.join("diswall"), &args)?, answer(&self.emulated.join("diswall"), &args)?);
            if here != there {
                return Err(format!("diswall {}: {}", args.join(" "), difference(&here, &there)));
            }
        }
        Ok(commands.len())
    }

    /// The daemon between both feeds, obeying the command line, and its snapshot.
    fn daemon(&self) -> Result<()> {
        let mut sentinel = Sentinel::start(ADDRESSES, self.place)?;
        sentinel.tell("publish every 2")?;
        let mut diswall = DisWall::start(&self.native, self.place)?;
        let from_diswall = ["203.0.113.5", "198.51.100.9", "2001:db8::bad"];
        for address in from_diswall {
            diswall.tell(&format!("ban {address} 90000"))?;
        }
        let mut daemon = Daemon::configure(&self.emulated, self.place, Some(&sentinel), Some(&diswall))?;
        if self.processor.emulator.is_none() {
            daemon.load_rules()?;
        }
        daemon.start()?;
        wait_live(&mut daemon)?;
        self.lists(&daemon, &mut sentinel, "the whole list over CURVE")?;
        wait_for("DisWall's bans over NATS", || {
            let listed = listed(&daemon, "nats")?;
            let expected = from_diswall.map(str::to_owned).into_iter().collect();
            Ok(differing(&expected, &listed))
        })?;
        // What no publisher should send: the daemon counts it and goes on.
        sentinel.tell("raw 64796e66772f64656c7461 c1")?;
        sentinel.tell("raw 64796e66772f6c697374 df7fffffff")?;
        sentinel.tell(&format!("burst {CHANGES}"))?;
        self.lists(&daemon, &mut sentinel, &format!("{CHANGES} deltas after two messages of rubbish"))?;
        obeys(&daemon)?;
        self.judges_protection(&daemon)?;
        daemon.stop()?;
        println!("stopped by SIGTERM");

        sentinel.tell("close")?;
        daemon.start()?;
        self.lists(&daemon, &mut sentinel, "the snapshot, read back without the feed")?;
        daemon.stop()?;
        let mut native = Daemon::configure(&self.native, self.place, Some(&sentinel), None)?;
        native.start()?;
        self.lists(&native, &mut sentinel, "the snapshot, read by this machine's program")?;
        native.stop()
    }

    /// The end of what the daemon has logged.
    fn log(&self) -> String {
        let log = fs::read_to_string(self.place.join("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Waits until the daemon lists exactly what the Sentinel publishes; natively, the kernel's set too.
    fn lists(&self, daemon: &Daemon, sentinel: &mut Sentinel, what: &str) -> Result<()> {
        let dump = sentinel.tell("dump")?;
        let addresses = dump["addresses"].as_array().ok_or("the simulated Sentinel dumps no addresses")?;
        let expected: BTreeSet<String> =
            addresses.iter().filter_map(|address| address.as_str().map(str::to_owned)).collect();
        wait_for(what, || Ok(differing(&expected, &listed(daemon, "dynfw")?)))?;
        if self.processor.emulator.is_none() {
            let set = ["list", "set", "inet", "fw4", "diswall_dynfw4"];
            wait_for(&format!("{what}, in the kernel's set"), || {
                let text = answer(Path::new("nft"), &set)?;
                let words = text.split([' ', ',', '{', '\n', '\t']);
                let held = words.filter(|word| word.parse::<std::net::Ipv4Addr>().is_ok()).map(str::to_owned);
                Ok(differing(&expected, &held.collect()))
            })?;
        }
        Ok(())
    }

    /// Without nftables the daemon must not claim to protect; with it, it must.
    fn judges_protection(&self, daemon: &Daemon) -> Result<()> {
        let (printed, _) = call(daemon, &["status"])?;
        let says_unprotected = printed.contains("NOT protected") && printed.contains("netlink");
        if says_unprotected == self.processor.emulator.is_none() {
            return Err(format!("status misjudges the firewall:\n{printed}"));
        }
        println!("status: {}", printed.lines().next().unwrap_or_default());
        Ok(())
    }
}

/// Commands that change and ask, each with what it must print and its exit status.
fn obeys(daemon: &Daemon) -> Result<()> {
    const DIALOGUE: [(&[&str], &str, i32); 11] = [
        (&["block", "203.0.113.0/24", "--timeout", "1h"], "203.0.113.0/24", 0),
        (&["block", "2001:db8:bad::/48"], "2001:db8:bad::/48", 0),
        (&["check", "203.0.113.77"], "by manual", 0),
        (&["check", "2001:db8:bad:1::1"], "2001:db8:bad::/48", 0),
        (&["check", "203.0.114.1"], "203.0.114.1", 1),
        (&["allow", "203.0.113.77"], "203.0.113.77", 0),
        (&["check", "203.0.113.77"], "allowed", 1),
        (&["list", "allow"], "203.0.113.77", 0),
        (&["unblock", "203.0.113.0/24"], "203.0.113.0/24", 0),
        (&["check", "203.0.113.78"], "203.0.113.78", 1),
        (&["rpcd", "call", "status"], "\"uptime\"", 0),
    ];
    for (words, expected, status) in DIALOGUE {
        let (printed, ended) = call(daemon, words)?;
        if !printed.contains(expected) || ended != Some(status) {
            let line = words.join(" ");
            return Err(format!("diswall {line}: expected {expected:?} and status {status}; got {ended:?}\n{printed}"));
        }
    }
    println!("{} commands over the control socket: done", DIALOGUE.len());
    Ok(())
}

/// What a source's bans are, by the command line.
fn listed(daemon: &Daemon, source: &str) -> Result<BTreeSet<String>> {
    let (printed, status) = call(daemon, &["list", source])?;
    let first_words = printed.lines().filter_map(|line| line.split_whitespace().next());
    Ok(if status == Some(0) { first_words.map(str::to_owned).collect() } else { BTreeSet::new() })
}

/// A call of the command line: both outputs, and the exit status.
fn call(daemon: &Daemon, words: &[&str]) -> Result<(String, Option<i32>)> {
    let call = daemon.command(words);
    let mut bounded = bounded(Path::new(call.get_program()));
    bounded.args(call.get_args());
    let output = bounded.output().map_err(|error| format!("{}: {error}", shown(&call)))?;
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Ok((printed.into_owned(), output.status.code()))
}

/// A program that is ended when it takes too long.
fn bounded(program: &Path) -> Command {
    let mut timeout = command("timeout", &["--kill-after=5", &PATIENCE.as_secs().to_string()]);
    timeout.arg(program);
    timeout
}

/// Everything a program prints, and how it ends, as one text.
fn answer(program: &Path, args: &[&str]) -> Result<String> {
    let output = bounded(program).args(args).output().map_err(|error| format!("{}: {error}", program.display()))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(format!("{stdout}{stderr}{}\n", output.status))
}

/// The first line in which two texts differ.
fn difference(here: &str, there: &str) -> String {
    let longest = here.lines().count().max(there.lines().count());
    let (mut near, mut far) = (here.lines(), there.lines());
    let differing = (1..=longest).map(|number| (number, near.next(), far.next())).find(|(_, a, b)| a != b);
    match differing {
        Some((number, here, there)) => {
            format!("line {number} differs\n  here:     {}\n  emulated: {}", line(here), line(there))
        }
        None => "the line ends differ".into(),
    }
}

fn line(text: Option<&str>) -> &str {
    text.unwrap_or("(nothing)")
}

/// `None` when the two are the same; otherwise what is missing and what is too much.
fn differing(expected: &BTreeSet<String>, found: &BTreeSet<String>) -> Option<String> {
    let some = |all: Vec<&String>| {
        let first: Vec<&str> = all.iter().take(5).map(|each| each.as_str()).collect();
        format!("{} ({}…)", all.len(), first.join(" "))
    };
    let missing: Vec<&String> = expected.difference(found).collect();
    let extra: Vec<&String> = found.difference(expected).collect();
    if missing.is_empty() && extra.is_empty() {
        return None;
    }
    Some(format!("{} expected; missing {}, too much {}", expected.len(), some(missing), some(extra)))
}

/// Repeats `look` until it finds nothing wrong; an error with the last thing found wrong.
fn wait_for(what: &str, mut look: impl FnMut() -> Result<Option<String>>) -> Result<()> {
    let start = Instant::now();
    loop {
        match look()? {
            None => break,
            Some(wrong) if start.elapsed() > PATIENCE => {
                return Err(format!("{what}: not within {} s: {wrong}", PATIENCE.as_secs()));
            }
            Some(_) => sleep(Duration::from_millis(200)),
        }
    }
    println!("{what}: in order");
    Ok(())
}

/// Waits until both feeds are live.
fn wait_live(daemon: &mut Daemon) -> Result<()> {
    wait_for("both feeds live", || {
        let status = daemon.status()?.unwrap_or_default();
        let feeds = status["feeds"].as_array().map_or(&[][..], Vec::as_slice);
        let live = !feeds.is_empty() && feeds.iter().all(|feed| feed["state"] == "live");
        Ok((!live).then(|| Value::from(feeds).to_string()))
    })
}
