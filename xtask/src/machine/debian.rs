//! Debian for another processor, unpacked and never installed: the kernel, busybox, nft with its libraries.
//! apt-get runs with directories of its own and asks the very mirror that this machine uses.

use std::fs;
use std::path::{Path, PathBuf};

use super::kinds::Kind;
use crate::Result;
use crate::command::{command, output, run};

/// Unpacks everything for a machine below `target/machine/NAME/root`, unless it is there already.
pub fn unpacked(kind: &Kind) -> Result<PathBuf> {
    let place = std::path::absolute(Path::new("target/machine").join(kind.name))
        .map_err(|error| format!("target/machine: {error}"))?;
    let (root, complete) = (place.join("root"), place.join("complete"));
    if complete.exists() {
        return Ok(root);
    }
    println!("fetching Debian for {} into {}", kind.name, place.display());
    let configuration = configure(kind, &place)?;
    let apt = |program: &str, args: &[&str]| {
        let mut apt = command(program, args);
        apt.env("APT_CONFIG", &configuration).current_dir(place.join("cache/archives"));
        apt
    };
    run(&mut apt("apt-get", &["-q", "update"]))?;
    // The meta package names the kernel's own; what else it wants would make an installed system.
    let depends = output(&mut apt("apt-cache", &["depends", kind.kernel]))?;
    let kernel = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image"));
    let kernel = kernel.ok_or_else(|| format!("{} names no kernel", kind.kernel))?;
    run(&mut apt("apt-get", &["-q", "download", &format!("linux-image{kernel}")]))?;
    let install = ["-q", "-y", "--no-install-recommends", "--download-only", "install", "nftables", "busybox-static"];
    run(&mut apt("apt-get", &install))?;
    for package in list(&place.join("cache/archives"))?.iter().filter(|path| path.extension() == Some("deb".as_ref())) {
        run(&mut command("dpkg", &["-x", &package.to_string_lossy(), &root.to_string_lossy()]))?;
        let _ = fs::remove_file(package);
    }
    write(&complete, "")?;
    Ok(root)
}

/// apt's configuration for the other architecture; its path.
fn configure(kind: &Kind, place: &Path) -> Result<PathBuf> {
    for directory in ["state/lists/partial", "cache/archives/partial", "root"] {
        let directory = place.join(directory);
        fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    let format = "$(REPO_URI) $(CODENAME) $(ORIGIN) $(COMPONENT)";
    let indices = output(&mut command("apt-get", &["indextargets", "Created-By: Packages", "--format", format]))?;
    let mirror = indices.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [mirror, codename, "Debian", "main"] if !codename.contains('-') => Some(format!("{mirror} {codename}")),
        _ => None,
    });
    let mirror =
        mirror.ok_or("this is no Debian: its mirror has no other processor's kernel (apt-get indextargets)")?;
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    write(&place.join("sources.list"), &format!("deb [signed-by={keyring}] {mirror} main\n"))?;
    write(&place.join("state/status"), "")?;
    let (name, place_shown) = (kind.name, place.display());
    let text = format!(
        "APT::Architecture \"{name}\";\nAPT::Architectures {{ \"{name}\"; }};\nAPT::Sandbox::User \"root\";\n\
         Dir::State \"{place_shown}/state\";\nDir::State::status \"{place_shown}/state/status\";\n\
         Dir::Cache \"{place_shown}/cache\";\nDir::Etc::sourcelist \"{place_shown}/sources.list\";\n\
         Dir::Etc::sourceparts \"/dev/null\";\nAcquire::Languages \"none\";\n"
    );
    let configuration = place.join("apt.conf");
    write(&configuration, &text)?;
    Ok(configuration)
}

/// Every path directly in a directory.
pub fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let told = |error: std::io::Error| format!("{}: {error}", directory.display());
    let entries = fs::read_dir(directory).map_err(told)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(told)).collect()
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
