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

/// What goes into one package, and what is said of it.
pub struct Deb {
    name: &'static str,
    /// Cargo's package, and so the program's name.
    build: &'static [&'static str],
    /// Where each file goes, and its mode.
    files: &'static [(&'static str, &'static str, u32)],
    /// Likewise, packed.
    packed: &'static [(&'static str, &'static str)],
    /// Where Debian's own scripts are.
    scripts: &'static str,
    /// Where it is put, with its checksum.
    pub place: &'static str,
    conffile: &'static str,
    depends: &'static str,
    summary: &'static str,
    /// Lines behind the sentence that `manifest` has.
    about: &'static str,
    manifest: &'static str,
}

/// The daemon.
pub const DISWALL: Deb = Deb {
    name: "diswall",
    build: &["--bin", "diswall"],
    files: &[
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
    ],
    packed: &[
        ("docs/man/diswall.8", "usr/share/man/man8/diswall.8.gz"),
        ("docs/man/diswall.config.5", "usr/share/man/man5/diswall.config.5.gz"),
    ],
    scripts: "contrib/debian",
    place: "dist/debian",
    conffile: "/etc/config/diswall",
    depends: "libc6, libgcc-s1, libmnl0, libnftnl11, nftables, systemd",
    summary: "nftables block sets kept equal to threat feeds",
    about: " Follows Turris Sentinel's dynamic firewall, DisWall and lists from the web,\n bans whoever touches closed \
            ports or keeps failing to log in, and keeps\n your own bans and allowances. systemctl enable --now diswall \
            switches it on.\n",
    manifest: "Cargo.toml",
};

/// The hub of a fleet.
pub const HUB: Deb = Deb {
    name: "diswall-hub",
    build: &["--package", "diswall-hub"],
    files: &[
        ("contrib/hub/hub.toml", "etc/diswall-hub/hub.toml", 0o640),
        ("contrib/hub/diswall-hub.service", "usr/lib/systemd/system/diswall-hub.service", 0o644),
        ("contrib/hub/diswall-hub.sysusers", "usr/lib/sysusers.d/diswall-hub.conf", 0o644),
        ("contrib/hub/lintian-overrides", "usr/share/lintian/overrides/diswall-hub", 0o644),
        ("contrib/hub/nats-server.conf", "usr/share/doc/diswall-hub/examples/nats-server.conf", 0o644),
        ("contrib/debian/copyright", "usr/share/doc/diswall-hub/copyright", 0o644),
    ],
    packed: &[
        ("docs/hub.md", "usr/share/doc/diswall-hub/hub.md.gz"),
        ("docs/man/diswall-hub.8", "usr/share/man/man8/diswall-hub.8.gz"),
    ],
    scripts: "contrib/hub",
    place: "dist/hub",
    conffile: "/etc/diswall-hub/hub.toml",
    depends: "libc6, libgcc-s1, systemd",
    summary: "hub of a fleet of diswall routers",
    about: " Needs a nats-server 2.11 or newer with JetStream, on this machine or another,\n which keeps all that the hub \
            knows.\n",
    manifest: "hub/Cargo.toml",
};

const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Packs the program, built for it if none is given; the file.
pub fn package(deb: &Deb, program: Option<&Path>) -> Result<PathBuf> {
    setup::ensure(&[setup::BUILD, setup::PACK])?;
    let program = match program {
        Some(program) => program.to_owned(),
        None => build(deb)?,
    };
    let name = deb.name;
    let (version, time) = (version()?, tools::source_date()?);
    let architecture = output(&mut command("dpkg", &["--print-architecture"]))?.trim().to_owned();
    let place = Path::new("target/deb");
    let _ = fs::remove_dir_all(place);
    put(place, &format!("usr/bin/{name}"), &read(&program)?, 0o755)?;
    for (from, to, mode) in deb.files {
        put(place, to, &read(Path::new(from))?, *mode)?;
    }
    for (from, to) in deb.packed {
        put(place, to, &tools::gzip(&read(Path::new(from))?, tools::Effort::Most)?, 0o644)?;
    }
    let changes = changelog(name, &version, time)?;
    put(
        place,
        &format!("usr/share/doc/{name}/changelog.gz"),
        &tools::gzip(changes.as_bytes(), tools::Effort::Most)?,
        0o644,
    )?;
    for script in SCRIPTS {
        put(place, &format!("DEBIAN/{script}"), &read(&Path::new(deb.scripts).join(script))?, 0o755)?;
    }
    put(place, "DEBIAN/conffiles", format!("{}\n", deb.conffile).as_bytes(), 0o644)?;
    put(place, "DEBIAN/control", control(deb, &version, &architecture, installed(place)?)?.as_bytes(), 0o644)?;
    make_directory(Path::new(deb.place))?;
    let file = PathBuf::from(format!("{}/{name}_{version}_{architecture}.deb", deb.place));
    let mut pack = command("dpkg-deb", &["--root-owner-group", "-Zxz", "--build", &place.to_string_lossy()]);
    run(pack.arg(&file).env("SOURCE_DATE_EPOCH", time.to_string()))?;
    if find_program("lintian").is_some() {
        run(command("lintian", &["--allow-root", "--fail-on", "error,warning"]).arg(&file))?;
    }
    Ok(file)
}

fn build(deb: &Deb) -> Result<PathBuf> {
    // Paths of this machine have no place in what others get.
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
    let (root, home) = (crate::root(), home.unwrap_or_default());
    let flags = format!("--remap-path-prefix={}=/diswall --remap-path-prefix={home}=/cargo", root.display());
    run(cargo(&["build", "--release"]).args(deb.build).env("RUSTFLAGS", flags))?;
    Ok(Path::new("target/release").join(deb.name))
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

/// What a `Cargo.toml` says under this name.
fn manifest(file: &str, name: &str) -> Result<String> {
    let text = read_text(Path::new(file))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
    value.map(|value| value.trim_matches('"').to_owned()).ok_or_else(|| format!("{file} states no {name}"))
}

fn control(deb: &Deb, version: &str, architecture: &str, size: u64) -> Result<String> {
    let sentence = wrapped(&manifest(deb.manifest, "description")?);
    let Deb { name, depends, summary, about, .. } = deb;
    Ok(format!(
        "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {}\nInstalled-Size: {size}\n\
         Depends: {depends}\nSection: net\nPriority: optional\nDescription: {summary}\n{sentence} .\n{about}",
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
fn changelog(name: &str, version: &str, time: u64) -> Result<String> {
    let date = output(&mut command("date", &["--utc", "--rfc-email", &format!("--date=@{time}")]))?;
    let who = maintainer()?;
    Ok(format!(
        "{name} ({version}) unstable; urgency=medium\n\n  * What changed is in CHANGELOG.md of the sources.\n\n -- {who}  {}\n",
        date.trim()
    ))
}
