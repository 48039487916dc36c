//! `cargo xtask package`: the daemon built for routers, checked, and packed as .ipk and .apk. What goes in
//! is read from openwrt/Makefile; the same checkout and SOURCE_DATE_EPOCH give the same bytes. Called by
//! `main`.

mod adb;
mod apk;
mod deb;
pub mod elf;
mod ipk;
mod lmo;
mod mo;
mod recipe;
mod reforis;
mod sign;
mod tar;
pub mod targets;
#[cfg(test)]
mod tests;
pub mod toolchain;
pub mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use recipe::Package;
use sign::Keys;
use targets::{TARGETS, Target};
use toolchain::Tls;

use crate::files::{make_directory, read, write};
use crate::{Result, Subcommand, setup};

/// The subcommand's entry in the overview.
pub const SUBCOMMAND: Subcommand =
    Subcommand { name: "package", summary: "build the router packages, .ipk and .apk", help: HELP, run };

const HELP: &str = "\
Usage: cargo xtask package [--arch ARCH]… [--format ipk|apk|deb] [--tls] [--keys DIR] [--program FILE] [--reforis PYTHON] [--hub] [--prepare ARCH]

Builds diswall for OpenWrt routers and packs it into dist/ARCH/, with an index for each format and checksums.
What a cross build needs is installed first: Debian's rustc with its library source (apt-get, as root)
and zig (PyPI, into target/cross).

  --arch ARCH      only this one; may be repeated. Without it: mipsel_24kc, mips_24kc,
                   arm_cortex-a9_vfpv3-d16 and aarch64_cortex-a53. There is x86_64 too.
  --format FORMAT  only ipk (opkg: OpenWrt to 24.10, Turris OS) or only apk (OpenWrt 25.12 and later);
                   deb: for Debian and Ubuntu, for this machine's processor, into dist/debian
  --tls            with TLS to a NATS server of one's own; above the size limit, and not held to it
  --keys DIR       sign the indexes with DIR/usign.sec (opkg) and DIR/apk.pem (apk); stands before --reforis
  --program FILE   pack this binary, unchecked, in place of building one: to try a package out
  --reforis PYTHON only the packages of reForis' pages, for every architecture, into dist/all; PYTHON is the
                   router's version, 3.11 for Turris OS 7 to 9; node and npm make the bundle
  --hub            only the hub of a fleet, diswall-hub, for Debian and Ubuntu, into dist/hub
  --prepare ARCH   only get the tools for `cargo build --config cross.toml` ready

SOURCE_DATE_EPOCH dates the files; without it the last commit does.";

/// A package that is larger does not go out, so that what it costs is noticed. Lists, with their nine forms, gzip and
/// the router's own programs for the web, cost 150 KB of the program; a hub with its keys, reports, host names by their
/// time and AbuseIPDB together 190 KB.
const PROGRAM_LIMIT: usize = 2_270_000;
const PACKAGE_LIMIT: usize = 1_035_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Ipk,
    Apk,
}

/// Which program goes into the package.
#[derive(PartialEq, Eq)]
enum Program {
    Built(Tls),
    Given(PathBuf),
}

pub fn run(args: &[String]) -> Result<()> {
    let mut formats = vec![Format::Ipk, Format::Apk];
    let mut chosen: Vec<&Target> = Vec::new();
    let mut program = Program::Built(Tls::Without);
    let mut keys = None;
    let mut debian = None;
    let mut args = args.iter();
    while let Some(option) = args.next() {
        if option == "--tls" {
            program = Program::Built(Tls::With);
            continue;
        }
        if option == "--hub" {
            debian = Some(&deb::HUB);
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{option} is unknown or lacks its value; see --help"))?;
        match (option.as_str(), value.as_str()) {
            ("--arch", arch) => chosen.push(targets::named(arch)?),
            ("--format", "ipk") => formats = vec![Format::Ipk],
            ("--format", "apk") => formats = vec![Format::Apk],
            ("--format", "deb") => debian = Some(&deb::DISWALL),
            ("--format", other) => return Err(format!("no format is called {other:?}; there are ipk, apk and deb")),
            ("--reforis", python) => return package_reforis(python, keys.as_ref()),
            ("--keys", directory) => keys = Some(Keys::of(directory)?),
            ("--program", file) => program = Program::Given(PathBuf::from(file)),
            ("--prepare", arch) => return toolchain::prepare(&targets::named(arch)?.cross),
            _ => return Err(format!("no option is called {option}; see --help")),
        }
    }
    if let Some(deb) = debian {
        return package_for_debian(deb, &program);
    }
    if chosen.is_empty() {
        chosen = TARGETS.iter().filter(|target| target.arch != "x86_64").collect();
    }
    let mut summary = Vec::new();
    for (number, target) in (1..).zip(&chosen) {
        println!("== {} ({number} of {})", target.arch, chosen.len());
        summary.append(&mut package(target, &formats, &program, keys.as_ref())?);
    }
    println!("\n{}", summary.join("\n"));
    Ok(())
}

/// Everything for one architecture; a line for each file made.
fn package(target: &Target, formats: &[Format], wanted: &Program, keys: Option<&Keys>) -> Result<Vec<String>> {
    let program = match wanted {
        Program::Given(program) => program.clone(),
        Program::Built(tls) => build(target, *tls)?,
    };
    println!("-- pack");
    setup::ensure(&[setup::PACK])?;
    let version = version()?;
    let mut packages =
        vec![recipe::read("openwrt", target.arch, &version, &program)?, recipe::read_luci("luci-app", &version)?];
    packages.append(&mut recipe::read_translations("luci-app", &version)?);
    let place = Path::new("dist").join(target.arch);
    make_directory(&place)?;
    let mut made = Vec::new();
    for format in formats {
        made.append(&mut pack(&packages, *format, &place, keys)?);
    }
    write_checksums(&place, &made)?;
    if *wanted == Program::Built(Tls::Without) {
        for file in &made {
            let refuse = |reason| format!("{}: {reason}", file.path.display());
            within(file.content.len(), PACKAGE_LIMIT).map_err(refuse)?;
        }
    }
    Ok(made.iter().map(|file| format!("{:>8} bytes  {}", file.content.len(), file.path.display())).collect())
}

/// The pages for reForis, which Turris OS alone has: .ipk alone.
fn package_reforis(python: &str, keys: Option<&Keys>) -> Result<()> {
    setup::ensure(&[setup::PACK, setup::NPM])?;
    let packages = reforis::packages(&version()?, python)?;
    let place = Path::new("dist/all");
    make_directory(place)?;
    let made = pack(&packages, Format::Ipk, place, keys)?;
    write_checksums(place, &made)?;
    made.iter().for_each(|file| println!("{:>8} bytes  {}", file.content.len(), file.path.display()));
    Ok(())
}

/// For Debian: for whoever tries it on a server or a desk.
fn package_for_debian(deb: &deb::Deb, program: &Program) -> Result<()> {
    let given = if let Program::Given(program) = program { Some(program.as_path()) } else { None };
    let path = deb::package(deb, given)?;
    let made = Made { content: read(&path)?, path };
    println!("{:>8} bytes  {}", made.content.len(), made.path.display());
    write_checksums(Path::new(deb.place), &[made])
}

/// The daemon for a router; what a router could not run is refused.
fn build(target: &Target, tls: Tls) -> Result<PathBuf> {
    println!("-- tools");
    toolchain::prepare(&target.cross)?;
    println!("-- build");
    let program = toolchain::build(target.triple, "release", tls)?;
    println!("-- check");
    check_program(&program, target, tls)?;
    Ok(program)
}

struct Made {
    path: PathBuf,
    content: Vec<u8>,
}

fn check_program(path: &Path, target: &Target, tls: Tls) -> Result<()> {
    let program = read(path)?;
    let refuse = |reason: String| format!("{}: {reason}", path.display());
    let needed = elf::check(&program, target).map_err(refuse)?;
    println!("{} bytes, needs {}", program.len(), needed.join(", "));
    if tls == Tls::With { Ok(()) } else { within(program.len(), PROGRAM_LIMIT).map_err(refuse) }
}

fn within(size: usize, limit: usize) -> Result<()> {
    if size <= limit { Ok(()) } else { Err(format!("{size} bytes; the limit is {limit}")) }
}

/// All packages in one format, and the package manager's index of them.
fn pack(packages: &[Package], format: Format, place: &Path, keys: Option<&Keys>) -> Result<Vec<Made>> {
    let time = tools::source_date()?;
    let mut made = Vec::new();
    let mut add = |name: String, content: Vec<u8>| {
        let path = place.join(name);
        write(&path, &content)?;
        made.push(Made { path, content });
        Ok::<(), String>(())
    };
    match format {
        Format::Ipk => {
            let mut index = String::new();
            for package in packages {
                let content = ipk::build(package, time)?;
                index += &(ipk::index_entry(package, &content)? + "\n");
                add(ipk::file_name(package), content)?;
            }
            write(&place.join("Packages"), index.as_bytes())?;
            if let Some(keys) = keys {
                keys.sign_for_opkg(&place.join("Packages"))?;
            }
            write(&place.join("Packages.gz"), &tools::gzip(index.as_bytes(), tools::Effort::Most)?)?;
        }
        Format::Apk => {
            let built = packages.iter().map(|package| apk::build(package, time)).collect::<Result<Vec<_>>>()?;
            let pairs: Vec<_> = packages.iter().zip(&built).collect();
            write(&place.join("packages.adb"), &apk::index(&pairs, time, keys)?)?;
            for (package, built) in packages.iter().zip(built) {
                add(apk::file_name(package), built.content)?;
            }
        }
    }
    Ok(made)
}

fn write_checksums(place: &Path, made: &[Made]) -> Result<()> {
    let mut lines = String::new();
    for file in made {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        lines += &format!("{}  {name}\n", tools::sha256(&file.content)?);
    }
    write(&place.join("sha256sums"), lines.as_bytes())
}

/// The version in Cargo.toml, the only place it stands in.
pub fn version() -> Result<String> {
    let manifest = fs::read_to_string("Cargo.toml").map_err(|error| format!("Cargo.toml: {error}"))?;
    let quoted = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    quoted.map(|text| text.trim_matches('"').to_owned()).ok_or_else(|| "Cargo.toml states no version".into())
}
