//! The packages of reForis' pages: foris-controller's module, the plugin with its bundle, the translation. Names,
//! dependencies and descriptions are read from the Makefiles for Turris' own tree; what those leave to Turris' build
//! rules (where Python looks, by what reForis finds a plugin, what is restarted) is here. Called by `package`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::mo;
use super::recipe::{File, Makefile, Package, add_tree};
use crate::Result;
use crate::command::{command, run};

/// Where Python on Turris OS looks.
fn site(python: &str) -> String {
    format!("usr/lib/python{python}/site-packages/")
}

/// What tells reForis of the plugin.
const ENTRY_POINT: &str = "[foris.plugins]\nreforis_diswall = reforis_diswall:diswall\n";

const RESTART_WEB: &str = "#!/bin/sh\n[ -n \"${IPKG_INSTROOT}\" ] || /usr/bin/maintain-lighttpd-restart\n";
const RESTART_CONTROLLER: &str = "#!/bin/sh\n[ -n \"${IPKG_INSTROOT}\" ] || /etc/init.d/foris-controller restart\n";

/// All three, for one version of Python.
pub fn packages(version: &str, python: &str) -> Result<Vec<Package>> {
    let site = site(python);
    let bundle = bundle()?;
    let read = |name: &str, restart: &str| package(name, version, restart);

    let mut module = read("foris-controller-diswall-module", RESTART_CONTROLLER)?;
    for tree in ["foris_controller_modules/diswall", "foris_controller_backends/diswall"] {
        add_tree(&Path::new("reforis/module").join(tree), &format!("{site}{tree}/"), &mut module.files)?;
    }
    add_tree(Path::new("reforis/module/root"), "", &mut module.files)?;
    let mut plugin = read("reforis-diswall-plugin", RESTART_WEB)?;
    let info = format!("{site}reforis_diswall-{version}.dist-info/");
    let file = |path: String, content: Vec<u8>| File { path, mode: 0o644, content };
    let metadata = format!("Metadata-Version: 2.1\nName: reforis-diswall\nVersion: {version}\n");
    add_tree(Path::new("reforis/plugin/reforis_diswall"), &format!("{site}reforis_diswall/"), &mut plugin.files)?;
    add_tree(Path::new("reforis/plugin/root"), "", &mut plugin.files)?;
    plugin.files.push(file(format!("{info}METADATA"), metadata.into_bytes()));
    plugin.files.push(file(format!("{info}entry_points.txt"), ENTRY_POINT.into()));
    plugin.files.push(file(format!("{site}reforis_static/reforis_diswall/js/app.min.js"), bundle));

    let mut czech = Package {
        name: format!("{}-l10n-cs", plugin.name),
        version: plugin.version.clone(),
        arch: "all".into(),
        depends: vec!["libc".into(), "reforis-l10n-cs".into(), plugin.name.clone()],
        section: plugin.section.clone(),
        license: plugin.license.clone(),
        description: "Czech translation of diswall's pages in reForis".into(),
        user: None,
        files: Vec::new(),
        conffiles: Vec::new(),
        scripts: plugin.scripts.clone(),
    };
    let place = "reforis_diswall/translations/cs/LC_MESSAGES/messages";
    let source = format!("reforis/plugin/{place}.po");
    let told = |error: String| format!("{source}: {error}");
    let po = fs::read_to_string(&source).map_err(|error| told(error.to_string()))?;
    czech.files.push(file(format!("{site}{place}.mo"), mo::catalogue(&po).map_err(told)?));

    for package in [&mut module, &mut plugin] {
        // What Python leaves, and translations, are no part of it.
        package.files.retain(|file| ![".pyc", ".po", ".pot", ".mo"].iter().any(|end| file.path.ends_with(end)));
    }
    let mut packages = vec![module, plugin, czech];
    for package in &mut packages {
        package.files.sort_by(|a, b| a.path.cmp(&b.path));
    }
    Ok(packages)
}

/// The one file of JavaScript, made anew of our sources and of what package-lock.json names.
fn bundle() -> Result<Vec<u8>> {
    let place = Path::new("reforis/plugin/js");
    let file = std::env::current_dir().map_err(|error| error.to_string())?.join("target/reforis/app.min.js");
    let npm = |args: &[&str]| run(command("npm", args).current_dir(place));
    npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    npm(&["run", "--silent", "build", "--", &file.to_string_lossy()])?;
    crate::files::read(&file)
}

/// A package without its files, as its Makefile describes it.
fn package(name: &str, version: &str, restart: &str) -> Result<Package> {
    let makefile = Makefile::read(&Path::new("openwrt/turris").join(name).join("Makefile"))?;
    let define = |what: &str| {
        let lines = makefile.defines.get(&format!("Package/{name}{what}"));
        lines.ok_or_else(|| format!("{name}: defines no Package/{name}{what}"))
    };
    let about = define("")?;
    let words = about.iter().flat_map(|line| line.split_whitespace());
    let depends = words.filter_map(|word| word.strip_prefix('+')).map(str::to_owned);
    let section = about.iter().find_map(|line| line.trim().strip_prefix("SECTION:=")).unwrap_or_default();
    Ok(Package {
        name: name.to_owned(),
        version: format!("{version}-r{}", makefile.variable("PKG_RELEASE")?),
        arch: "all".into(),
        depends: ["libc".to_owned()].into_iter().chain(depends).collect(),
        section: section.to_owned(),
        license: makefile.variable("PKG_LICENSE")?.to_owned(),
        description: define("/description")?.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "),
        user: None,
        files: Vec::new(),
        conffiles: Vec::new(),
        scripts: HashMap::from([("postinst", restart.to_owned()), ("postrm", restart.to_owned())]),
    })
}
