//! The .deb of Debian and Ubuntu: this machine's program with a unit for systemd, the man pages and the completions,
//! which routers do without. `dpkg-deb` packs it, and
//! lintian judges it where it is installed. Called by `package` alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{tools, version};
use crate::command::{cargo, command, find_program, output, run};
use crate::files::{make_directory, read, read_text, write};
use crate::{Result, setup};

const PROGRAM: &str = "target/release/diswall";

/// Where each file goes, and its mode.
const FILES: [(&str, &str, u32); 10] = [
    ("openwrt/files/diswall.config", "etc/config/diswall", 0o640),
    ("openwrt/files/catalogue.json", "usr/share/diswall/catalogue.json", 0o644),
    ("contrib/debian/diswall.service", "usr/lib/systemd/system/diswall.service", 0o644),
    ("contrib/debian/diswall.sysusers", "usr/lib/sysusers.d/diswall.conf", 0o644),
    ("contrib/debian/diswall.tmpfiles", "usr/lib/tmpfiles.d/diswall.conf", 0o644),
    ("contrib/debian/lintian-overrides", "usr/share/lintian/overrides/diswall", 0o644),
    ("contrib/debian/copyright", "usr/share/doc/diswall/copyright", 0o644),
    ("contrib/completions/diswall.bash", "usr/share/bash-completion/completions/diswall", 0o644),
    ("contrib/completions/_diswall", "usr/share/zsh/vendor-completions/_diswall", 0o644),
    ("contrib/completions/diswall.fish", "usr/share/fish/vendor_completions.d/diswall.fish", 0o644),
];

/// Likewise, packed.
const PACKED: [(&str, &str); 2] = [
    ("docs/man/diswall.8", "usr/share/man/man8/diswall.8.gz"),
    ("docs/man/diswall.config.5", "usr/share/man/man5/diswall.config.5.gz"),
];

const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Packs the program, built for it if none is given; the file.
pub fn package(program: Option<&Path>) -> Result<PathBuf> {
    setup::ensure(&[setup::BUILD, setup::PACK])?;
    let program = match program {
        Some(program) => program,
        None => build()?,
    };
    let (version, time) = (version()?, tools::source_date()?);
    let architecture = output(&mut command("dpkg", &["--print-architecture"]))?.trim().to_owned();
    let place = Path::new("target/deb");
    let _ = fs::remove_dir_all(place);
    put(place, "usr/bin/diswall", &read(program)?, 0o755)?;
    for (from, to, mode) in FILES {
        put(place, to, &read(Path::new(from))?, mode)?;
    }
    for (from, to) in PACKED {
        put(place, to, &tools::gzip(&read(Path::new(from))?, tools::Effort::Most)?, 0o644)?;
    }
    let changes = changelog(&version, time)?;
    put(place, "usr/share/doc/diswall/changelog.gz", &tools::gzip(changes.as_bytes(), tools::Effort::Most)?, 0o644)?;
    for script in SCRIPTS {
        put(place, &format!("DEBIAN/{script}"), &read(&Path::new("contrib/debian").join(script))?, 0o755)?;
    }
    put(place, "DEBIAN/conffiles", b"/etc/config/diswall\n", 0o644)?;
    put(place, "DEBIAN/control", control(&version, &architecture, installed(place)?)?.as_bytes(), 0o644)?;
    make_directory(Path::new("dist/debian"))?;
    let file = PathBuf::from(format!("dist/debian/diswall_{version}_{architecture}.deb"));
    let mut pack = command("dpkg-deb", &["--root-owner-group", "-Zxz", "--build", &place.to_string_lossy()]);
    run(pack.arg(&file).env("SOURCE_DATE_EPOCH", time.to_string()))?;
    if find_program("lintian").is_some() {
        run(command("lintian", &["--allow-root", "--fail-on", "error,warning"]).arg(&file))?;
    }
    Ok(file)
}

fn build() -> Result<&'static Path> {
    // Paths of this machine have no place in what others get.
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
    let (root, home) = (crate::root(), home.unwrap_or_default());
    let flags = format!("--remap-path-prefix={}=/diswall --remap-path-prefix={home}=/cargo", root.display());
    run(cargo(&["build", "--release", "--bin", "diswall"]).env("RUSTFLAGS", flags))?;
    Ok(Path::new(PROGRAM))
}

fn put(place: &Path, name: &str, content: &[u8], mode: u32) -> Result<()> {
    let path = place.join(name);
    make_directory(path.parent().unwrap_or(place))?;
    write(&path, content)?;
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    for directory in path.ancestors().skip(1).take_while(|directory| directory.starts_with(place)) {
        set(directory, 0o755)?;
    }
    set(&path, mode)
}

/// Kilobytes that it takes.
fn installed(place: &Path) -> Result<u64> {
    let printed = output(&mut command("du", &["-sk", "--apparent-size", &place.to_string_lossy()]))?;
    let number = printed.split_ascii_whitespace().next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("du printed {printed:?}"))
}

/// What `Cargo.toml` says under this name.
fn manifest(name: &str) -> Result<String> {
    let text = read_text(Path::new("Cargo.toml"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
    value.map(|value| value.trim_matches('"').to_owned()).ok_or_else(|| format!("Cargo.toml states no {name}"))
}

fn control(version: &str, architecture: &str, size: u64) -> Result<String> {
    let about = wrapped(&manifest("description")?);
    Ok(format!(
        "Package: diswall\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {}\nInstalled-Size: {size}\n\
         Depends: libc6, libgcc-s1, libmnl0, libnftnl11, nftables, systemd\nSection: net\nPriority: optional\n\
         Description: nftables block sets kept equal to threat feeds\n{about} .\n Follows Turris Sentinel's dynamic \
         firewall, DisWall and lists from the web,\n bans whoever touches closed ports or keeps failing to log in, and \
         keeps\n your own bans and allowances. systemctl enable --now diswall switches it on.\n",
        maintainer()?
    ))
}

/// A sentence in lines that a description may have.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_ascii_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 75 => *line += &format!(" {word}"),
            _ => lines.push(format!(" {word}")),
        }
    }
    lines.join("\n") + ".\n"
}

/// Who answers for the package: as Debian's tools are told, else who made the last commit.
fn maintainer() -> Result<String> {
    if let (Ok(name), Ok(address)) = (std::env::var("DEBFULLNAME"), std::env::var("DEBEMAIL")) {
        return Ok(format!("{name} <{address}>"));
    }
    Ok(output(&mut command("git", &["log", "-1", "--format=%an <%ae>"]))?.trim().to_owned())
}

/// In the form that Debian's tools read; what changed stands in the project's own.
fn changelog(version: &str, time: u64) -> Result<String> {
    let date = output(&mut command("date", &["--utc", "--rfc-email", &format!("--date=@{time}")]))?;
    let who = maintainer()?;
    Ok(format!(
        "diswall ({version}) unstable; urgency=medium\n\n  * What changed is in CHANGELOG.md of the sources.\n\n -- {who}  {}\n",
        date.trim()
    ))
}
