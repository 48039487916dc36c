//! The instructions of the daemon's work on MIPS: the same pieces, built as for a router and run by qemu's user mode,
//! which a plugin of ours makes count (`count.c`). Called by `counts`.

use std::path::{Path, PathBuf};

use super::table::Table;
use super::{joined, printed};
use crate::command::{command, find_program, output, run};
use crate::files::{absolute, make_directory, read_text};
use crate::package::targets::{self, Target};
use crate::package::toolchain;
use crate::{Result, router, setup};

/// The routers that are counted for, all of them when none is named.
const ROUTERS: [&str; 2] = ["mipsel_24kc", "mips_24kc"];

/// The plugin's source, and where it is built.
const SOURCE: &str = "xtask/src/bench/counts/count.c";
const PLACE: &str = "target/count";

/// The routers of these names.
pub fn chosen(names: &[&str]) -> Result<Vec<&'static Target>> {
    let names = if names.is_empty() { &ROUTERS[..] } else { names };
    if let Some(other) = names.iter().find(|name| !ROUTERS.contains(name)) {
        return Err(format!("--mips counts for {}, and was given {other}", ROUTERS.join(" and ")));
    }
    names.iter().map(|name| targets::named(name)).collect()
}

/// Builds the pieces for this kind of router and counts their instructions.
pub fn count(target: &Target) -> Result<Table> {
    setup::ensure(&[setup::BUILD, setup::EMULATE, setup::COUNT_MIPS])?;
    toolchain::prepare(&target.cross)?;
    let root = router::root(target)?;
    let program = absolute(&toolchain::build_counts(target.triple)?)?;
    let emulator = emulator(target)?;
    make_directory(Path::new(PLACE))?;
    let plugin = build_plugin(&emulator)?;
    // A path with a comma in it would be two options to qemu: these are seen from the checkout's root.
    let out = Path::new(PLACE).join("instructions");
    let plugin = format!("file={},out={}", plugin.display(), out.display());
    // No chance, and nothing of this machine's environment.
    let mut qemu = command(&emulator.to_string_lossy(), &["-seed", "1", "-plugin", &plugin, "-L"]);
    let pieces = printed(&output(qemu.arg(root).arg(program).env_clear())?)?;
    let numbers: Option<Vec<u64>> = read_text(&out)?.lines().map(|line| line.parse().ok()).collect();
    let numbers = numbers.ok_or_else(|| format!("{}: holds something else than numbers", out.display()))?;
    // The first is what the marks alone cost.
    let (marks, instructions) = numbers.split_first().ok_or("qemu's plugin saw no mark")?;
    let instructions = instructions.iter().map(|number| number.saturating_sub(*marks)).collect();
    Ok(Table { processor: target.arch.to_owned(), tools: tools()?, counts: joined(pieces, instructions)? })
}

/// qemu's program that takes plugins: Debian's static one does not.
fn emulator(target: &Target) -> Result<PathBuf> {
    let name = router::processor(target)?.emulator.and_then(|name| name.strip_suffix("-static"));
    let name = name.ok_or_else(|| format!("qemu has nothing to emulate for {}", target.arch))?;
    find_program(name).ok_or_else(|| format!("no program {name} is here"))
}

/// The plugin, for this qemu.
fn build_plugin(emulator: &Path) -> Result<PathBuf> {
    let says = output(&mut command(&emulator.to_string_lossy(), &["--version"]))?;
    let version = interface(&says).ok_or_else(|| format!("qemu says no version: {says}"))?;
    let plugin = Path::new(PLACE).join("count.so");
    let mut gcc = command("gcc", &["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]);
    run(gcc.arg(format!("-DVERSION={version}")).arg("-o").arg(&plugin).arg(SOURCE))?;
    Ok(plugin)
}

/// The number of the plugins' interface in the qemu that says this of itself.
fn interface(says: &str) -> Option<u32> {
    let (_, version) = says.split_once(" version ")?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    Some(if major < 9 { 1 } else { 2 })
}

/// The tools on which counts depend: qemu's version is none of them, for what it runs is the same.
fn tools() -> Result<String> {
    let rustc = output(&mut command("/usr/bin/rustc", &["-V"]))?;
    let zig = output(&mut toolchain::zig("version")?)?;
    Ok(format!("{}, zig {}, musl {}", rustc.trim(), zig.trim(), router::musl_version()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_goes_with_qemus_version() {
        let debian = "qemu-mips version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) …";
        assert_eq!(interface(debian), Some(1));
        assert_eq!(interface("qemu-mips version 10.0.2"), Some(2));
        assert_eq!(interface("qemu"), None);
    }
}
