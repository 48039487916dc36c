//! The cross compiler: Debian's rustc with its library source, zig as linker and C compiler, and stand-ins
//! for the router's libnftnl and libmnl to link against. Everything that is not Debian's lands in
//! `target/cross`. Called before a router binary is built.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::elf;
use super::targets::Cross;
use crate::Result;
use crate::command::{cargo, command, output, run};
use crate::files::{self, absolute, make_directory, read_text};
use crate::setup;

/// zig, a C compiler with musl for every target, as a Python package.
const ZIG: &str = "ziglang==0.17.1";

/// Where the tools are, from the checkout's root.
const PLACE: &str = "target/cross";

/// Installs what is missing and writes the tools for one target.
pub fn prepare(target: &Cross) -> Result<()> {
    setup::ensure(&[setup::BUILD, setup::CROSS, setup::PACK])?;
    let place = absolute(Path::new(PLACE))?;
    let python = install_zig(&place)?;
    let libraries = place.join("lib").join(target.tools);
    write_tools(target, &place.join("bin"), &python, &libraries)?;
    build_stubs(target, &python, &libraries)?;
    build_environ(target, &python, &libraries)?;
    build_unwinder(target, &python, &libraries)
}

/// Whether the daemon speaks TLS to a NATS server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// It does, at 540 KB.
    With,
    /// It does not: DisWall's public server has none.
    Without,
}

/// Builds the daemon for this target with this profile of cargo's; the path of its loaded part.
pub fn build(triple: &str, profile: &str, tls: Tls) -> Result<PathBuf> {
    build_all(&[triple], profile, tls)?;
    Ok(built(triple, profile, tls))
}

/// Builds the daemon for several targets at once, which keeps both cores busy while one is linked.
pub fn build_all(triples: &[&str], profile: &str, tls: Tls) -> Result<()> {
    let place = place_of(profile, tls);
    let mut cargo = cross_cargo("build", triples, profile, tls)?;
    run(cargo.args(["--bin", "diswall"]))?;
    for triple in triples {
        let whole = Path::new(&place).join(triple).join(profile).join("diswall");
        // Cargo compares its own file with what it remembers: the shorter one lies elsewhere.
        let binary = files::read(&whole)?;
        let part = elf::loaded_part(&binary).ok_or_else(|| format!("{}: no ELF binary", whole.display()))?;
        write_if_other(&built(triple, profile, tls), &part, 0o755)?;
    }
    Ok(())
}

/// Builds the library's unit tests. Those must be built to unwind, and so they get tables and LLVM's unwinder in place of
/// the one that finds nothing; on MIPS it does not get far, and a test that fails ends all, after its message.
pub fn build_tests(triple: &str) -> Result<()> {
    const UNWINDS: &str =
        "target.'cfg(target_env = \"musl\")'.rustflags=['-Cforce-unwind-tables=yes', '-Clink-arg=-lunwind']";
    let mut cargo = cross_cargo("test", &[triple], TESTS, Tls::Without)?;
    cargo.args(["--config", UNWINDS, "--lib", "--no-run", "--message-format", "json-render-diagnostics"]);
    let messages = output(cargo.stderr(Stdio::inherit()))?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
    let program = program.ok_or("cargo test names no program that it built")?;
    // Cargo's name for it has a hash in it.
    write_if_other(&built_tests(triple), &files::read(&program)?, 0o755).map(drop)
}

/// Where [`build_tests`] puts the program.
pub fn built_tests(triple: &str) -> PathBuf {
    Path::new(&place_of(TESTS, Tls::Without)).join(triple).join("unit-tests")
}

/// Builds what `bench --counts` counts; its path. Each crate in one part: of several, which function is in which depends on
/// all the others, and so does what is made one.
pub fn build_counts(triple: &str) -> Result<PathBuf> {
    let mut cargo = cross_cargo("build", &[triple], COUNTS, Tls::Without)?;
    run(cargo.args(["--quiet", "--package", "counts"]))?;
    Ok(Path::new(&place_of(COUNTS, Tls::Without)).join(triple).join(COUNTS).join("counts"))
}

/// The profile of what is counted.
const COUNTS: &str = "counts";

/// The profile of the unit tests.
const TESTS: &str = "tests";

/// Debian's cargo with the tools that [`prepare`] wrote.
fn cross_cargo(subcommand: &str, triples: &[&str], profile: &str, tls: Tls) -> Result<Command> {
    let bin = absolute(Path::new(PLACE))?.join("bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut cargo = command("/usr/bin/cargo", &[subcommand, "--locked"]);
    if tls == Tls::Without {
        cargo.arg("--no-default-features");
    }
    cargo.args(["--config", "cross.toml", "--target-dir", &place_of(profile, tls), "--profile", profile]);
    cargo.args(triples.iter().flat_map(|triple| ["--target", triple]));
    cargo.env("PATH", format!("{}:{path}", bin.display()));
    cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
    // What the cargo that started this program left behind is not meant for the other one.
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR"] {
        cargo.env_remove(name);
    }
    Ok(cargo)
}

/// Where [`build`] puts what it returns.
pub fn built(triple: &str, profile: &str, tls: Tls) -> PathBuf {
    Path::new(&place_of(profile, tls)).join(triple).join("diswall")
}

fn place_of(profile: &str, tls: Tls) -> String {
    match tls {
        Tls::With => format!("{PLACE}/{profile}-tls"),
        Tls::Without => format!("{PLACE}/{profile}"),
    }
}

/// The C compiler of a target that was prepared.
pub fn compiler(target: &Cross) -> Result<Command> {
    let program = absolute(Path::new(PLACE))?.join("bin").join(format!("{}-gcc", target.tools));
    Ok(command(&program.to_string_lossy(), &[]))
}

/// zig itself, to be given more arguments.
pub fn zig(subcommand: &str) -> Result<Command> {
    let python = absolute(Path::new(PLACE))?.join("venv/bin/python");
    Ok(command(&python.to_string_lossy(), &["-m", "ziglang", subcommand]))
}

/// Where zig keeps the sources of its own library.
pub fn zig_library() -> Result<PathBuf> {
    let python = absolute(Path::new(PLACE))?.join("venv/bin/python");
    let code = "import ziglang; print(ziglang.__path__[0])";
    let package = output(&mut command(&python.to_string_lossy(), &["-c", code]))?;
    Ok(Path::new(package.trim()).join("lib"))
}

/// The C source of a stand-in that was made by [`prepare`], `nftnl` or `mnl`.
pub fn stub_source(target: &Cross, library: &str) -> Result<String> {
    let source = absolute(Path::new(PLACE))?.join("lib").join(target.tools).join(format!("{library}.c"));
    read_text(&source)
}

/// A Python of its own with zig in it; the interpreter's path.
fn install_zig(place: &Path) -> Result<PathBuf> {
    let venv = place.join("venv");
    let python = venv.join("bin/python");
    let zig_runs = |python: &Path| {
        python.exists() && output(&mut command(&python.to_string_lossy(), &["-m", "ziglang", "version"])).is_ok()
    };
    if !zig_runs(&python) {
        println!("Installing zig (a C cross-compiler, from PyPI) into {PLACE}/venv.");
        run(&mut command("/usr/bin/python3", &["-m", "venv", &venv.to_string_lossy()]))?;
        run(&mut command(&python.to_string_lossy(), &["-m", "pip", "install", "--quiet", ZIG]))?;
    }
    Ok(python)
}

/// `PREFIX-gcc` and `PREFIX-ar`. rustc thinks it talks to gcc: it brings start files and libraries along
/// that zig has its own of, and gcc's unwinder, in place of which it gets [`build_unwinder`]'s, or LLVM's where
/// that is asked for (`-lunwind`).
/// zig refuses options of its linker that it does not know, so that the linker is asked itself where there are any.
fn write_tools(target: &Cross, bin: &Path, python: &Path, libraries: &Path) -> Result<()> {
    let python = python.display();
    let gcc = format!(
        r#"#!/bin/sh
# Written by cargo xtask package: zig, called the way gcc is.
linker= unwinder={libraries}/unwinder.o
for argument; do
	[ "$argument" != -lunwind ] || unwinder=
done
for argument; do
	shift
	case $argument in
	*crt1.o | *crti.o | *crtn.o | *crtbegin*.o | *crtend*.o | -lgcc | -lc | --target=*) ;;
	-nostartfiles | -nodefaultlibs) ;;
	-lgcc_s | -lgcc_eh) set -- "$@" $unwinder ;;
	-lenviron) set -- "$@" {libraries}/environ.o ;;
	-Wl,--icf=* | -Wl,--bp-compression-sort=* | -Wl,-O*) linker="$linker ${{argument#-Wl,}}" ;;
	*) set -- "$@" "$argument" ;;
	esac
done
set -- {zig} -L{libraries} "$@"
[ "$linker" ] || exec {python} -m ziglang cc "$@"
said=$(ZIG_VERBOSE_LINK=1 {python} -m ziglang cc "$@" 2>&1)
call=$(printf '%s\n' "$said" | sed -n 's/^ld\.lld //p' | tail -n 1)
[ "$call" ] || {{ printf '%s\n' "$said" >&2; exit 1; }}
exec {python} -m ziglang ld.lld $call $linker
"#,
        zig = target.zig.join(" "),
        libraries = libraries.display(),
    );
    let ar = format!("#!/bin/sh\nexec {python} -m ziglang ar \"$@\"\n");
    make_directory(bin)?;
    for (tool, text) in [("gcc", gcc), ("ar", ar)] {
        write_if_other(&bin.join(format!("{}-{tool}", target.tools)), text.as_bytes(), 0o755)?;
    }
    Ok(())
}

/// Shared objects with the router's names and the functions the bindings declare for libnftnl 1.2.0 (the
/// oldest on a supported router), all of them empty: enough to link against, never shipped. A function that
/// only a newer library has is missing here and so ends the build.
fn build_stubs(target: &Cross, python: &Path, libraries: &Path) -> Result<()> {
    make_directory(libraries)?;
    let stubs = [
        ("nftnl-sys", "src/nftnl_1_2_0.rs", "nftnl", "libnftnl.so.11"),
        ("mnl-sys", "src/bindings.rs", "mnl", "libmnl.so.0"),
    ];
    for (package, bindings, library, soname) in stubs {
        let bindings = source_of(package)?.join(bindings);
        let functions = declared_functions(&bindings, &format!("{library}_"))?;
        let source = libraries.join(format!("{library}.c"));
        let text: String = functions.iter().map(|name| format!("void {name}(void) {{}}\n")).collect();
        let object = libraries.join(format!("lib{library}.so"));
        if !write_if_other(&source, text.as_bytes(), 0o644)? && object.exists() {
            continue;
        }
        let mut zig = command(&python.to_string_lossy(), &["-m", "ziglang", "cc"]);
        zig.args(target.zig).args(["-shared", "-nostdlib", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables"]);
        zig.args(["-fno-exceptions", &format!("-Wl,-soname,{soname}"), "-o"]).arg(object).arg(source);
        run(&mut zig)?;
    }
    Ok(())
}

/// What `-lenviron` means to the tools: the environment's variable under all of musl's names for it.
/// A program at fixed addresses has a copy of that variable, and the linker gives the copy every name that
/// stands at the same address in libc. In zig's stand-in for musl all variables stand at one address: the
/// copy would be `__progname` and `tzname` too, and the daemon crash as soon as it reads its environment.
/// Defined in the program, it is not copied.
fn build_environ(target: &Cross, python: &Path, libraries: &Path) -> Result<()> {
    const NAMES: [&str; 3] = ["environ", "_environ", "___environ"];
    let alias = |name| format!("extern __typeof(__environ) {name} __attribute__((alias(\"__environ\")));\n");
    let text = format!("char **__environ;\n{}", NAMES.map(alias).concat());
    build_object(target, python, libraries, "environ", &text)
}

/// An unwinder that finds no frame. These programs have no tables to unwind by and end at a panic, so LLVM's
/// finds none either, and is 29 KB. The message of a panic asks it for frames when RUST_BACKTRACE is set; what
/// nobody can reach ends the program.
fn build_unwinder(target: &Cross, python: &Path, libraries: &Path) -> Result<()> {
    const UNREACHED: [&str; 18] = [
        "_Unwind_DeleteException",
        "_Unwind_FindEnclosingFunction",
        "_Unwind_ForcedUnwind",
        "_Unwind_GetCFA",
        "_Unwind_GetDataRelBase",
        "_Unwind_GetGR",
        "_Unwind_GetIP",
        "_Unwind_GetIPInfo",
        "_Unwind_GetLanguageSpecificData",
        "_Unwind_GetRegionStart",
        "_Unwind_GetTextRelBase",
        "_Unwind_RaiseException",
        "_Unwind_Resume",
        "_Unwind_SetGR",
        "_Unwind_SetIP",
        "_Unwind_VRS_Get",
        "_Unwind_VRS_Set",
        "__gnu_unwind_frame",
    ];
    // ARM's tables, which C objects have, name these.
    const ROUTINES: [&str; 3] = ["__aeabi_unwind_cpp_pr0", "__aeabi_unwind_cpp_pr1", "__aeabi_unwind_cpp_pr2"];
    const END_OF_STACK: u8 = 5;
    let unreached = UNREACHED
        .iter()
        .chain(&ROUTINES)
        .map(|name| format!("__attribute__((weak)) void {name}(void) {{ __builtin_trap(); }}\n"));
    let text = format!(
        "__attribute__((weak)) int _Unwind_Backtrace(void) {{ return {END_OF_STACK}; }}\n{}",
        unreached.collect::<String>()
    );
    build_object(target, python, libraries, "unwinder", &text)
}

/// An object out of one text, which is linked into the program.
fn build_object(target: &Cross, python: &Path, libraries: &Path, name: &str, text: &str) -> Result<()> {
    let (source, object) = (libraries.join(format!("{name}.c")), libraries.join(format!("{name}.o")));
    if !write_if_other(&source, text.as_bytes(), 0o644)? && object.exists() {
        return Ok(());
    }
    let mut zig = command(&python.to_string_lossy(), &["-m", "ziglang", "cc"]);
    zig.args(target.zig).args(["-c", "-Os", "-ffunction-sections", "-fno-unwind-tables"]);
    run(zig.args(["-fno-asynchronous-unwind-tables", "-o"]).arg(object).arg(source))
}

/// The directory of a dependency's source, as cargo has it.
fn source_of(package: &str) -> Result<PathBuf> {
    let metadata = output(&mut cargo(&["metadata", "--format-version", "1", "--locked"]))?;
    // "manifest_path":"/…/nftnl-sys-0.6.4/Cargo.toml"; JSON that cargo writes has no spaces there.
    let found = metadata.split("\"manifest_path\":\"").skip(1).filter_map(|rest| rest.split('"').next()).find(|path| {
        let directory = Path::new(path).parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        directory.strip_prefix(package).is_some_and(|rest| rest.starts_with("-0") || rest.starts_with("-1"))
    });
    let manifest = found.ok_or_else(|| format!("cargo metadata names no package {package}"))?;
    Ok(Path::new(manifest).parent().unwrap_or(Path::new("")).to_path_buf())
}

fn declared_functions(bindings: &Path, prefix: &str) -> Result<Vec<String>> {
    let text = read_text(bindings)?;
    let mut names: Vec<String> = text
        .split("pub fn ")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next())
        .filter(|name| name.starts_with(prefix))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() { Err(format!("{}: declares no {prefix} function", bindings.display())) } else { Ok(names) }
}

/// Leaves a file alone that is as it should be, so that cargo sees no reason to build anew. Whether it wrote.
fn write_if_other(path: &Path, content: &[u8], mode: u32) -> Result<bool> {
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(false);
    }
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    fs::write(path, content).map_err(told)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(told)?;
    Ok(true)
}
