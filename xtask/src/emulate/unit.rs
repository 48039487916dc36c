//! `cargo xtask emulate --tests`: the library's unit tests, built for routers and run here by qemu's user-mode
//! emulation, with musl's loader and the netfilter libraries that the emulated program gets. Called by `emulate`.

use crate::command::{command, run_watching};
use crate::package::targets::{self, Target};
use crate::package::toolchain;
use crate::{Result, router, sandbox, setup};

/// Those that are like nothing else the tests run on: 32 bits, no 64-bit atomics, and one of them big-endian.
const USUAL: [&str; 2] = ["mipsel_24kc", "mips_24kc"];

/// Seconds for all tests of one kind of router; generous.
const PATIENCE: &str = "1800";

/// Builds and runs them: the first outside of the namespaces, the second inside.
pub fn tests(args: &[String]) -> Result<()> {
    if let Some(args) = sandbox::is_inside(args) {
        return run_all(&chosen(args)?);
    }
    let targets = chosen(args)?;
    setup::require_root("emulate")?;
    setup::ensure(&[setup::BUILD, setup::EMULATE])?;
    for target in &targets {
        println!("== build the unit tests for {}", target.arch);
        toolchain::prepare(&target.cross)?;
        router::root(target)?;
        toolchain::build_tests(target.triple)?;
    }
    let args: Vec<String> =
        std::iter::once(super::TESTS).chain(targets.iter().map(|target| target.arch)).map(str::to_owned).collect();
    sandbox::enter(super::SUBCOMMAND.name, &args)
}

fn chosen(args: &[String]) -> Result<Vec<&'static Target>> {
    let names: Vec<&str> = args.iter().map(String::as_str).collect();
    let names = if names.is_empty() { &USUAL[..] } else { &names };
    names.iter().map(|arch| targets::named(arch)).collect()
}

/// Runs the tests of each; those of one that fail do not stop the others.
fn run_all(targets: &[&Target]) -> Result<()> {
    sandbox::scratch()?;
    let mut all_well = true;
    let mut summary = Vec::new();
    for target in targets {
        println!("== {}", target.arch);
        let start = super::start(target, &toolchain::built_tests(target.triple))?;
        let mut result = String::new();
        // Uncaptured: where a panic ends the program, its message has been printed.
        let start = format!("exec {start} --nocapture");
        let mut tests = command("timeout", &["--kill-after=5", PATIENCE, "sh", "-c", &start]);
        // By this the tests know: the kernel cannot start their program, and some numbers are not MIPS' own.
        let passed = run_watching(tests.env("DISWALL_EMULATED", "1"), |line| {
            if let Some(said) = line.strip_prefix("test result: ") {
                result = said.to_owned();
            }
        })?;
        // A program that ends before its last test says nothing of how many passed.
        all_well &= passed && !result.is_empty();
        summary.push(format!("{:<24} {}", target.arch, if result.is_empty() { "ended early" } else { &result }));
    }
    println!("\n{}", summary.join("\n"));
    if all_well { Ok(()) } else { Err("not every unit test passed, see above".into()) }
}
