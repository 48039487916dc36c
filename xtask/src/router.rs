//! What a router has beside the daemon, so that the very binary of a package runs here: musl, compiled from
//! Debian's source for each processor with the loader and the float calls that the router's own has, and
//! Debian's libmnl and libnftnl where Debian has the processor. Called by `machine` and `emulate`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::command::{command, output, run};
use crate::debian::{self, Apt};
use crate::files::{absolute, make_directory, read_text, write};
use crate::package::targets::Target;
use crate::package::toolchain;

/// A processor, as musl, Debian and qemu know it.
pub struct Processor {
    /// OpenWrt's name of it; the key.
    arch: &'static str,
    /// musl's directory for it, and whether musl keeps calls with 32-bit times for it.
    musl: &'static str,
    old_times: bool,
    /// Debian's name, and the name of glibc's loader there. Debian has no big-endian MIPS.
    debian: Option<(&'static str, &'static str)>,
    /// qemu's program for it; `None`: this machine's own.
    pub emulator: Option<&'static str>,
}

const PROCESSORS: [Processor; 5] = [
    Processor {
        arch: "mipsel_24kc",
        musl: "mips",
        old_times: true,
        debian: Some(("mipsel", "ld.so.1")),
        emulator: Some("qemu-mipsel-static"),
    },
    Processor { arch: "mips_24kc", musl: "mips", old_times: true, debian: None, emulator: Some("qemu-mips-static") },
    Processor {
        arch: "arm_cortex-a9_vfpv3-d16",
        musl: "arm",
        old_times: true,
        debian: Some(("armhf", "ld-linux-armhf.so.3")),
        emulator: Some("qemu-arm-static"),
    },
    Processor {
        arch: "aarch64_cortex-a53",
        musl: "aarch64",
        old_times: false,
        debian: Some(("arm64", "ld-linux-aarch64.so.1")),
        emulator: Some("qemu-aarch64-static"),
    },
    Processor {
        arch: "x86_64",
        musl: "x86_64",
        old_times: false,
        debian: Some(("amd64", "ld-linux-x86-64.so.2")),
        emulator: None,
    },
];

impl Processor {
    /// The file in which [`root`] puts what Debian's libraries want of glibc.
    pub fn glibc_loader(&self) -> Option<&'static str> {
        self.debian.map(|(_, loader)| loader)
    }
}

/// musl as Debian has it in its sources.
const PLACE: &str = "target/cross/musl";

/// The names that Debian's two libraries were linked against and musl lacks: glibc's checked forms of
/// ordinary calls, and its table of character classes, which only their printing functions look at.
const GLIBC_NAMES: &str = r#"
#include <stdarg.h>
#include <stdio.h>
int __fprintf_chk(FILE *file, int flag, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = vfprintf(file, format, arguments);
	va_end(arguments);
	return length;
}
int __snprintf_chk(char *text, size_t size, int flag, size_t room, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(text, size < room ? size : room, format, arguments);
	va_end(arguments);
	return length;
}
const unsigned short **__ctype_b_loc(void)
{
	static const unsigned short classes[384];
	static const unsigned short *zero = classes + 128;
	return &zero;
}
"#;

/// The processor of a target.
pub fn processor(target: &Target) -> Result<&'static Processor> {
    let found = PROCESSORS.iter().find(|processor| processor.arch == target.arch);
    found.ok_or_else(|| format!("nothing is known about the processor of {}", target.arch))
}

/// Makes `lib` with loader and libraries below a directory of the target's own, unless it is there; that
/// directory. The target's tools must be prepared.
pub fn root(target: &Target) -> Result<PathBuf> {
    let place = Path::new("target/cross/root").join(target.arch);
    let place = absolute(&place)?;
    let complete = place.join("complete");
    if complete.exists() {
        return Ok(place);
    }
    println!("making the router's C library and netfilter libraries for {}", target.arch);
    let processor = processor(target)?;
    let libraries = place.join("lib");
    make_directory(&libraries)?;
    build_musl(processor, target, &place)?;
    match processor.debian {
        Some((architecture, loader)) => {
            take_netfilter(&place, architecture)?;
            compile(target, GLIBC_NAMES, &libraries.join(loader), loader)?;
        }
        None => stand_in_for_netfilter(target, &libraries)?,
    }
    write(&complete, "")?;
    Ok(place)
}

/// musl's shared object, which is C library and loader in one.
fn build_musl(processor: &Processor, target: &Target, place: &Path) -> Result<()> {
    let source = musl_source()?;
    let made = place.join("musl");
    generate_headers(processor, &source, &made)?;
    let support = build_compiler_support(target, &made)?;
    let mut compiler = toolchain::compiler(&target.cross)?;
    compiler.current_dir(&source);
    compiler.args(["-std=c99", "-nostdinc", "-ffreestanding", "-frounding-math", "-fno-strict-aliasing", "-w"]);
    compiler.args(["-D_XOPEN_SOURCE=700", "-Os", "-fPIC", "-fomit-frame-pointer", "-fno-stack-protector"]);
    compiler.args(["-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-ffunction-sections", "-fdata-sections"]);
    let made = made.display();
    compiler.arg(format!("-Iarch/{}", processor.musl)).arg("-Iarch/generic").arg(format!("-I{made}/internal"));
    compiler.args(["-Isrc/include", "-Isrc/internal"]).arg(format!("-I{made}/include")).arg("-Iinclude");
    compiler.args(["-shared", "-nostdlib", "-Wl,-e,_dlstart", "-Wl,--hash-style=both", "-Wl,--gc-sections"]);
    compiler.args(["-Wl,-soname,libc.so", "-o"]).arg(place.join(target.loader.trim_start_matches('/'))).arg(support);
    run(compiler.args(musl_files(processor, &source)?))
}

/// Debian's source of musl, fetched once for all processors.
fn musl_source() -> Result<PathBuf> {
    let place = Path::new(PLACE);
    let source = place.join("root/musl");
    if !source.join("ldso/dynlink.c").exists() {
        // Whose source it is does not depend on the architecture.
        return Apt::new(place, "amd64", true)?.source("musl");
    }
    absolute(&source)
}

/// The version of the musl that [`root`] compiles.
pub fn musl_version() -> Result<String> {
    read_text(&musl_source()?.join("VERSION")).map(|version| version.trim().to_owned())
}

/// What musl's own Makefile generates: types and system call numbers of the processor, and the version.
fn generate_headers(processor: &Processor, source: &Path, made: &Path) -> Result<()> {
    make_directory(&made.join("include/bits"))?;
    make_directory(&made.join("internal"))?;
    let bits = source.join("arch").join(processor.musl).join("bits");
    let mut sed = command("sed", &["-f"]);
    sed.arg(source.join("tools/mkalltypes.sed")).arg(bits.join("alltypes.h.in"));
    let types = output(sed.arg(source.join("include/alltypes.h.in")))?;
    write(&made.join("include/bits/alltypes.h"), &types)?;
    let calls = bits.join("syscall.h.in");
    let calls = read_text(&calls)?;
    let other_names: Vec<String> =
        calls.lines().filter(|line| line.contains("__NR_")).map(|line| line.replace("__NR_", "SYS_")).collect();
    write(&made.join("include/bits/syscall.h"), format!("{calls}\n{}\n", other_names.join("\n")))?;
    write(&made.join("internal/version.h"), "#define VERSION \"Debian\"\n")
}

/// Every file of the C library and its loader; where there is one for the processor, that takes the place
/// of the general one.
fn musl_files(processor: &Processor, source: &Path) -> Result<Vec<PathBuf>> {
    let mut directories = debian::list(&source.join("src"))?;
    directories.extend([source.join("src/malloc/mallocng"), source.join("ldso")]);
    if processor.old_times {
        directories.push(source.join("compat/time32"));
    }
    let is_source = |path: &PathBuf| matches!(path.extension().and_then(|end| end.to_str()), Some("c" | "s" | "S"));
    let mut files = Vec::new();
    for directory in directories.iter().filter(|path| path.is_dir()) {
        let own = directory.join(processor.musl);
        let own = if own.is_dir() { debian::list(&own)? } else { Vec::new() };
        let replaced = |path: &PathBuf| own.iter().any(|other| other.file_stem() == path.file_stem());
        let general = debian::list(directory)?;
        files.extend(general.into_iter().filter(|path| path.extension() == Some("c".as_ref()) && !replaced(path)));
        files.extend(own.iter().filter(|path| is_source(path)).cloned());
    }
    Ok(files)
}

/// What a compiler calls where the processor has no instruction: floats in software, divisions. zig's own is
/// linked hidden, and would hide musl's functions of the same names with it, so most of it is not hidden
/// here. ARM's division is: the loader divides before it has relocated itself.
fn build_compiler_support(target: &Target, made: &Path) -> Result<PathBuf> {
    let library = toolchain::zig_library()?;
    let root =
        fs::read_to_string(library.join("compiler_rt.zig")).map_err(|error| format!("zig's library: {error}"))?;
    if !root.contains(".visibility = .hidden") {
        return Err("zig's compiler_rt.zig is not the one that was looked at: nothing in it is hidden".into());
    }
    let source = made.join("compiler_rt.zig");
    let integers =
        "std.mem.startsWith(u8, name, \"__aeabi_\") and (name[8] == 'u' or name[8] == 'i' or name[8] == 'l')";
    let visible = format!("if ({integers}) .hidden else .default");
    write(&source, root.replace(".visibility = .hidden", &format!(".visibility = {visible}")))?;
    run(command("cp", &["-r"]).arg(library.join("compiler_rt")).arg(made))?;
    let object = made.join("compiler_rt.o");
    let mut zig = toolchain::zig("build-obj")?;
    zig.arg(&source).args(target.cross.zig).args(["-O", "ReleaseSmall", "-fPIC", "-fstrip"]);
    run(zig.arg(format!("-femit-bin={}", object.display())))?;
    Ok(object)
}

/// Debian's libmnl and libnftnl, under the names they are looked for.
fn take_netfilter(place: &Path, architecture: &str) -> Result<()> {
    let apt = Apt::new(&place.join("debian"), architecture, false)?;
    run(&mut apt.call("apt-get", &["-q", "download", "libmnl0", "libnftnl11"]))?;
    let files = apt.unpack()?.join("usr/lib");
    for name in ["libmnl.so.0", "libnftnl.so.11"] {
        let found = debian::list(&files)?.into_iter().map(|directory| directory.join(name)).find(|file| file.exists());
        let found = found.ok_or_else(|| format!("Debian's packages for {architecture} hold no {name}"))?;
        let copy = place.join("lib").join(name);
        fs::copy(&found, &copy).map_err(|error| format!("{}: {error}", copy.display()))?;
    }
    Ok(())
}

/// Where there are none: functions that fail with EPROTONOSUPPORT, as qemu's own sockets do in the end.
fn stand_in_for_netfilter(target: &Target, libraries: &Path) -> Result<()> {
    for (library, soname) in [("mnl", "libmnl.so.0"), ("nftnl", "libnftnl.so.11")] {
        let declared = toolchain::stub_source(&target.cross, library)?;
        let source = declared.replace("(void) {}", "(void) { errno = EPROTONOSUPPORT; return 0; }");
        let source = source.replace("void mnl_", "void *mnl_").replace("void nftnl_", "void *nftnl_");
        compile(target, &format!("#include <errno.h>\n{source}"), &libraries.join(soname), soname)?;
    }
    Ok(())
}

/// A shared object out of one text.
fn compile(target: &Target, text: &str, object: &Path, soname: &str) -> Result<()> {
    let source = object.with_file_name(format!("{soname}.c"));
    write(&source, text)?;
    let mut compiler = toolchain::compiler(&target.cross)?;
    compiler.args(["-shared", "-fPIC", "-Os", &format!("-Wl,-soname,{soname}"), "-o"]).arg(object).arg(&source);
    run(&mut compiler)
}
