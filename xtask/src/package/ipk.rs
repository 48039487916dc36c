//! The .ipk of opkg (OpenWrt to 24.10, Turris OS): a gzipped tar of a format number, a control archive and
//! a data archive; and the `Packages` index. Called by `package` for each package.

use super::recipe::{File, Package};
use super::tar;
use super::tools::{Effort, gzip, sha256};
use crate::Result;

/// The file's name.
pub fn file_name(package: &Package) -> String {
    format!("{}_{}_{}.ipk", package.name, package.version, package.arch)
}

/// The file's bytes.
pub fn build(package: &Package, time: u64) -> Result<Vec<u8>> {
    let text = |path: &str, mode: u32, content: String| File { path: path.into(), mode, content: content.into() };
    let mut control = vec![
        text("control", 0o644, control(package, None)),
        text("postinst", 0o755, delegate("postinst", "[ \"${IPKG_NO_SCRIPT}\" = 1 ] && exit 0\n")),
        text("prerm", 0o755, delegate("prerm", "")),
    ];
    if !package.conffiles.is_empty() {
        control.push(text("conffiles", 0o644, package.conffiles.join("\n") + "\n"));
    }
    for (script, name) in [("postinst", "postinst-pkg"), ("prerm", "prerm-pkg"), ("postrm", "postrm")] {
        if let Some(content) = package.scripts.get(script) {
            control.push(text(name, 0o755, content.clone()));
        }
    }
    control.sort_by(|a, b| a.path.cmp(&b.path));
    let part = |path: &str, content: Vec<u8>| File { path: path.into(), mode: 0o644, content };
    let parts = [
        part("debian-binary", b"2.0\n".to_vec()),
        part("data.tar.gz", gzip(&tar::archive(&package.files, time), Effort::Most)?),
        part("control.tar.gz", gzip(&tar::archive(&control, time), Effort::Most)?),
    ];
    gzip(&tar::archive(&parts, time), Effort::Little)
}

/// The paragraph of one package in `Packages`.
pub fn index_entry(package: &Package, file: &[u8]) -> Result<String> {
    let about = format!("Filename: {}\nSize: {}\nSHA256sum: {}\n", file_name(package), file.len(), sha256(file)?);
    Ok(control(package, Some(&about)))
}

/// OpenWrt's shell library does what every package needs (account, uci-defaults, enable and start the
/// service) and then runs the package's own part.
fn delegate(script: &str, first: &str) -> String {
    format!(
        "#!/bin/sh\n{first}[ -s ${{IPKG_INSTROOT}}/lib/functions.sh ] || exit 0\n\
         . ${{IPKG_INSTROOT}}/lib/functions.sh\ndefault_{script} $0 $@\n"
    )
}

fn control(package: &Package, about_file: Option<&str>) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            text += &format!("{name}: {value}\n");
        }
    };
    field("Package", &package.name);
    field("Version", &package.version);
    field("Depends", &package.depends.join(", "));
    field("License", &package.license);
    field("Section", &package.section);
    field("Require-User", package.user.as_deref().unwrap_or_default());
    field("Architecture", &package.arch);
    field("Installed-Size", &package.installed_size().to_string());
    text += about_file.unwrap_or_default();
    text + &format!("Description: {}\n", package.description)
}
