//! Reads an OpenWrt package Makefile for what goes into the package and where, so that packages built here
//! and packages built by OpenWrt cannot differ. It knows the few forms that our Makefiles use and refuses
//! the others. Called once for every package that is packed.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::lmo;
use crate::Result;
use crate::files;

/// One file of a package.
pub struct File {
    /// Where on the router, without the leading slash.
    pub path: String,
    /// Permissions.
    pub mode: u32,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Everything that a package of either format says and holds.
pub struct Package {
    /// Its name.
    pub name: String,
    /// Version and release as OpenWrt writes them, `1.2.3-r1`.
    pub version: String,
    /// OpenWrt's architecture, or `all`.
    pub arch: String,
    /// Names of packages it needs.
    pub depends: Vec<String>,
    /// OpenWrt's section.
    pub section: String,
    /// SPDX expression.
    pub license: String,
    /// What it is, in a sentence or two.
    pub description: String,
    /// `user=uid:group=gid` of the account it needs, if any.
    pub user: Option<String>,
    /// Files, in order of their path.
    pub files: Vec<File>,
    /// Paths (with the slash) of files that are the owner's once installed.
    pub conffiles: Vec<String>,
    /// Scripts by OpenWrt's names: postinst, prerm, postrm.
    pub scripts: HashMap<&'static str, String>,
}

impl Package {
    /// Size of all files, in bytes.
    pub fn installed_size(&self) -> usize {
        self.files.iter().map(|file| file.content.len()).sum()
    }
}

/// Reads `DIRECTORY/Makefile`; `program` is the binary that cargo made.
pub fn read(directory: &str, arch: &str, version: &str, program: &Path) -> Result<Package> {
    let path = Path::new(directory).join("Makefile");
    let makefile = Makefile::read(&path)?;
    let name = makefile.variable("PKG_NAME")?.to_owned();
    let define = |what: &str| makefile.defines.get(&format!("Package/{name}{what}"));
    let about = define("").ok_or_else(|| format!("{}: defines no Package/{name}", path.display()))?;
    let field = |field: &str| {
        let lines = about.iter().map(|line| line.trim());
        lines.filter_map(|line| line.strip_prefix(field)?.strip_prefix(":=")).next().unwrap_or_default().to_owned()
    };
    let release = makefile.variable("PKG_RELEASE")?;
    let install = define("/install").ok_or_else(|| format!("{}: installs nothing", path.display()))?;
    Ok(Package {
        version: format!("{version}-r{release}"),
        arch: arch.to_owned(),
        depends: depends(&field("DEPENDS")),
        section: field("SECTION"),
        license: makefile.variable("PKG_LICENSE")?.to_owned(),
        description: define("/description").map(|lines| joined(lines)).unwrap_or_default(),
        user: Some(field("USERID")).filter(|user| !user.is_empty()),
        files: files(directory, install, program)?,
        conffiles: define("/conffiles").cloned().unwrap_or_default(),
        scripts: makefile.scripts(&name),
        name,
    })
}

impl Makefile {
    /// The scripts of a package, as the shell gets them.
    fn scripts(&self, name: &str) -> HashMap<&'static str, String> {
        let script = |script: &'static str| {
            let lines = self.defines.get(&format!("Package/{name}/{script}"))?.iter();
            Some((script, lines.map(|line| line.replace("$$", "$") + "\n").collect()))
        };
        ["postinst", "prerm", "postrm"].into_iter().filter_map(script).collect()
    }
}

/// What a LuCI application's rules say after its files are in place: menus and rights are cached.
const LUCI_POSTINST: &str = "#!/bin/sh\n[ -n \"${IPKG_INSTROOT}\" ] && exit 0\nrm -f /tmp/luci-indexcache*\n\
                             rm -rf /tmp/luci-modulecache\n[ -x /etc/init.d/rpcd ] && /etc/init.d/rpcd reload\nexit 0\n";

/// Reads a directory as luci.mk does: `htdocs` is the web server's root, `root` the router's.
pub fn read_luci(directory: &str, version: &str) -> Result<Package> {
    let makefile = Makefile::read(&Path::new(directory).join("Makefile"))?;
    let mut files = Vec::new();
    for (part, place) in [("htdocs", "www/"), ("root", "")] {
        add_tree(&Path::new(directory).join(part), place, &mut files)?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let name = makefile.variable("PKG_NAME")?.to_owned();
    let mut scripts = makefile.scripts(&name);
    scripts.insert("postinst", LUCI_POSTINST.to_owned());
    Ok(Package {
        name,
        version: format!("{version}-r1"),
        arch: makefile.variable("LUCI_PKGARCH")?.to_owned(),
        depends: depends(makefile.variable("LUCI_DEPENDS")?),
        section: "luci".into(),
        license: makefile.variable("PKG_LICENSE")?.to_owned(),
        description: makefile.variable("LUCI_DESCRIPTION")?.to_owned(),
        user: None,
        files,
        conffiles: Vec::new(),
        scripts,
    })
}

/// The languages there are translations for: LuCI's code, and the name in the language itself and in English.
const LANGUAGES: [(&str, &str); 1] = [("cs", "Čeština (Czech)")];

/// The packages that luci.mk makes of `po`: one for each language, which adds it to LuCI's languages.
pub fn read_translations(directory: &str, version: &str) -> Result<Vec<Package>> {
    let application = read_luci(directory, version)?;
    let basename = application.name.trim_start_matches("luci-app-");
    let translation = |(code, language): (&str, &str)| {
        let name = format!("luci-i18n-{basename}-{code}");
        let source = Path::new(directory).join(format!("po/{code}/{basename}.po"));
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", source.display());
        let po = fs::read_to_string(&source).map_err(|error| told(&error))?;
        let content = lmo::catalogue(&po).map_err(|error| told(&error))?;
        let adds = format!("uci set luci.languages.{code}='{language}'; uci commit luci\n");
        let file = |path: String, content: Vec<u8>| File { path, mode: 0o644, content };
        Ok(Package {
            files: vec![
                file(format!("etc/uci-defaults/{name}"), adds.into_bytes()),
                file(format!("usr/lib/lua/luci/i18n/{basename}.{code}.lmo"), content),
            ],
            version: application.version.clone(),
            arch: application.arch.clone(),
            depends: vec!["libc".into(), application.name.clone()],
            section: application.section.clone(),
            license: application.license.clone(),
            description: format!("Translation for {} - {language}", application.name),
            user: None,
            conffiles: Vec::new(),
            scripts: HashMap::new(),
            name,
        })
    };
    LANGUAGES.into_iter().map(translation).collect()
}

/// Every file below a directory; what may be executed stays so.
pub fn add_tree(directory: &Path, place: &str, files: &mut Vec<File>) -> Result<()> {
    let told = |error: std::io::Error| format!("{}: {error}", directory.display());
    for entry in fs::read_dir(directory).map_err(told)? {
        let entry = entry.map_err(told)?;
        let path = format!("{place}{}", entry.file_name().to_string_lossy());
        let about = entry.metadata().map_err(told)?;
        if about.is_dir() {
            add_tree(&entry.path(), &format!("{path}/"), files)?;
        } else {
            let mode = if about.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            files.push(File { path, mode, content: fs::read(entry.path()).map_err(told)? });
        }
    }
    Ok(())
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// What OpenWrt's build makes of DEPENDS: libraries carry the version of their interface in their name.
fn depends(field: &str) -> Vec<String> {
    let named = field.split_whitespace().filter_map(|word| word.strip_prefix('+')).map(|name| match name {
        "libmnl" => "libmnl0",
        "libnftnl" => "libnftnl11",
        other => other,
    });
    ["libc"].into_iter().chain(named).map(str::to_owned).collect()
}

/// The lines of an install recipe: `$(INSTALL_BIN) FROM $(1)/TO`.
fn files(directory: &str, install: &[String], program: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for line in install {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (mode, from, to) = match words[..] {
            ["$(INSTALL_DIR)", _] | [] => continue,
            ["$(INSTALL_BIN)", from, to] => (0o755, from, to),
            ["$(INSTALL_DATA)", from, to] => (0o644, from, to),
            ["$(INSTALL_CONF)", from, to] => (0o600, from, to),
            _ => return Err(format!("{directory}/Makefile: an install line of unknown form: {line}")),
        };
        let to = to.strip_prefix("$(1)/").ok_or_else(|| format!("{directory}/Makefile: not below $(1)/: {to}"))?;
        let source = match from.strip_prefix("$(PKG_INSTALL_DIR)/") {
            Some(_) => program.to_path_buf(),
            None => PathBuf::from(directory).join(from),
        };
        let content = files::read(&source)?;
        files.push(File { path: to.to_owned(), mode, content });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Variables and defines of a Makefile.
pub struct Makefile {
    path: PathBuf,
    variables: HashMap<String, String>,
    /// The lines of each define.
    pub defines: HashMap<String, Vec<String>>,
}

impl Makefile {
    /// Reads it.
    pub fn read(path: &Path) -> Result<Makefile> {
        let text = files::read_text(path)?;
        let mut makefile = Makefile { path: path.to_path_buf(), variables: HashMap::new(), defines: HashMap::new() };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(name) = line.strip_prefix("define ") {
                let body = lines.by_ref().take_while(|line| *line != "endef").map(str::to_owned).collect();
                makefile.defines.insert(name.trim().to_owned(), body);
            } else if let Some((name, value)) = line.split_once(":=") {
                makefile.variables.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        Ok(makefile)
    }

    /// What a variable is set to.
    pub fn variable(&self, name: &str) -> Result<&str> {
        let value = self.variables.get(name).map(String::as_str);
        value.ok_or_else(|| format!("{}: sets no {name}", self.path.display()))
    }
}
