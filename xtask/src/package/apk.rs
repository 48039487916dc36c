//! The .apk of apk-tools 3 (OpenWrt 25.12 and later): metadata, scripts and files in an ADB container (see
//! `adb`), deflated; packages are unsigned, for the index has their digests. Field numbers are those of apk-tools' schemas. Called by `package`.

use std::collections::BTreeMap;

use super::adb::{self, Value, Writer};
use super::recipe::{File, Package};
use super::sign::Keys;
use super::tools::{deflate, sha256};
use crate::Result;

/// The file's name.
pub fn file_name(package: &Package) -> String {
    format!("{}-{}.apk", package.name, package.version)
}

/// The schema of an index.
const INDEX: &[u8; 4] = b"indx";

/// A package's file, and by what an index knows it.
pub struct Built {
    /// The file's bytes.
    pub content: Vec<u8>,
    /// SHA-256 of its metadata.
    digest: Vec<u8>,
}

/// The index of these packages, `packages.adb`, as `apk mkndx` makes it.
pub fn index(packages: &[(&Package, &Built)], time: u64, keys: Option<&Keys>) -> Result<Vec<u8>> {
    let mut sorted = packages.to_vec();
    sorted.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    let mut adb = Writer::new();
    let mut entries = Vec::new();
    for (package, built) in sorted {
        let digest = adb.blob(&built.digest);
        entries.push(info(&mut adb, package, digest, time, Some(built.content.len())));
    }
    let entries = adb.array(&entries);
    let root = adb.object(&[Value::NULL, entries]);
    adb.set_root(root);
    let mut file = adb::file(INDEX, &adb);
    if let Some(keys) = keys {
        file.extend(keys.sign_for_apk(INDEX, adb.bytes())?);
    }
    Ok([b"ADBd".as_slice(), &deflate(&file)?].concat())
}

/// The package's file.
pub fn build(package: &Package, time: u64) -> Result<Built> {
    let files = with_lists(package)?;
    let directories = by_directory(&files);
    let mut adb = Writer::new();
    let identity = adb.own_blob(&[0; IDENTITY]);
    let info = info(&mut adb, package, identity, time, None);
    let paths = paths(&mut adb, &directories, time)?;
    let scripts = scripts(&mut adb, package);
    let root = adb.object(&[info, paths, scripts]);
    adb.set_root(root);
    // The package is known by a digest of its metadata, taken while its own place is still empty.
    let digest = unhex(&sha256(adb.bytes())?);
    adb.overwrite(identity, &digest[..IDENTITY]);

    let mut file = adb::file(b"pckg", &adb);
    for (path, (_, files)) in (1..).zip(&directories) {
        for (number, content) in (1..).zip(files.iter().map(|file| &file.content)).filter(|(_, c)| !c.is_empty()) {
            adb::add_data(&mut file, path, number, content);
        }
    }
    let content = [b"ADBd".as_slice(), &deflate(&file)?].concat();
    Ok(Built { content, digest: unhex(&sha256(adb.bytes())?) })
}

/// apk keeps the first 160 bits of the digest.
const IDENTITY: usize = 20;

/// OpenWrt keeps by the package what opkg kept itself: which files, which of them are the owner's, and the
/// account.
fn with_lists(package: &Package) -> Result<Vec<File>> {
    let place = format!("lib/apk/packages/{}", package.name);
    let copy = |file: &File| File { path: file.path.clone(), mode: file.mode, content: file.content.clone() };
    let mut files: Vec<File> = package.files.iter().map(copy).collect();
    let mut add = |kind: &str, content: String| {
        files.push(File { path: format!("{place}.{kind}"), mode: 0o644, content: content.into_bytes() });
    };
    if let Some(user) = &package.user {
        add("rusers", format!("{user}\n"));
    }
    if !package.conffiles.is_empty() {
        add("conffiles", package.conffiles.join("\n") + "\n");
        let mut digests = String::new();
        for file in package.files.iter().filter(|file| package.conffiles.contains(&format!("/{}", file.path))) {
            digests += &format!("/{} {}\n", file.path, sha256(&file.content)?);
        }
        add("conffiles_static", digests);
    }
    let mut list: Vec<String> = files.iter().map(|file| format!("/{}\n", file.path)).collect();
    list.sort();
    files.push(File { path: format!("{place}.list"), mode: 0o644, content: list.concat().into_bytes() });
    Ok(files)
}

/// Every directory that leads to a file, in order, with the files in it, in order.
fn by_directory(files: &[File]) -> BTreeMap<String, Vec<&File>> {
    let mut directories: BTreeMap<String, Vec<&File>> = BTreeMap::new();
    directories.insert(String::new(), Vec::new());
    for file in files {
        for (end, _) in file.path.match_indices('/') {
            directories.entry(file.path[..end].to_owned()).or_default();
        }
        let directory = file.path.rsplit_once('/').map_or("", |(directory, _)| directory);
        directories.entry(directory.to_owned()).or_default().push(file);
    }
    for files in directories.values_mut() {
        files.sort_by(|a, b| a.path.cmp(&b.path));
    }
    directories
}

/// What is said of a package; an index also says how large its file is.
fn info(adb: &mut Writer, package: &Package, identity: Value, time: u64, file_size: Option<usize>) -> Value {
    let arch = if package.arch == "all" { "noarch" } else { &package.arch };
    let mut depends = package.depends.clone();
    depends.sort();
    let mut needed = Vec::new();
    for name in &depends {
        let name = adb.blob(name.as_bytes());
        needed.push(adb.object(&[name]));
    }
    let fields = [
        adb.blob(package.name.as_bytes()),
        adb.blob(package.version.as_bytes()),
        identity,
        adb.blob(package.description.as_bytes()),
        adb.blob(arch.as_bytes()),
        adb.blob(package.license.as_bytes()),
        adb.blob(package.name.as_bytes()), // origin
        Value::NULL,                       // maintainer
        Value::NULL,                       // url
        Value::NULL,                       // commit of the package repository
        adb.int(time),
        adb.int(package.installed_size() as u64),
        file_size.map_or(Value::NULL, |size| adb.int(size as u64)),
        Value::NULL, // provider priority
        adb.array(&needed),
    ];
    adb.object(&fields)
}

fn paths(adb: &mut Writer, directories: &BTreeMap<String, Vec<&File>>, time: u64) -> Result<Value> {
    let mut paths = Vec::new();
    for (name, files) in directories {
        let mut entries = Vec::new();
        for file in files {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            let fields = [
                adb.blob(name.as_bytes()),
                access(adb, file.mode),
                adb.int(file.content.len() as u64),
                adb.int(time),
                adb.blob(&unhex(&sha256(&file.content)?)),
            ];
            entries.push(adb.object(&fields));
        }
        let fields = [adb.blob(name.as_bytes()), access(adb, 0o755), adb.array(&entries)];
        paths.push(adb.object(&fields));
    }
    Ok(adb.array(&paths))
}

fn access(adb: &mut Writer, mode: u32) -> Value {
    let fields = [adb.int(mode.into()), adb.blob(b"root"), adb.blob(b"root")];
    adb.object(&fields)
}

fn scripts(adb: &mut Writer, package: &Package) -> Value {
    let own = |script: &str| {
        let text = package.scripts.get(script).map(String::as_str).unwrap_or_default();
        text.strip_prefix("#!/bin/sh\n").unwrap_or(text).to_owned()
    };
    let library = format!(
        "[ -s ${{IPKG_INSTROOT}}/lib/functions.sh ] || exit 0\n. ${{IPKG_INSTROOT}}/lib/functions.sh\n\
         export root=\"${{IPKG_INSTROOT}}\"\nexport pkgname=\"{}\"\n",
        package.name
    );
    let start = format!("{library}add_group_and_user\ndefault_postinst\n{}", own("postinst"));
    let skip = "[ \"${IPKG_NO_SCRIPT}\" = 1 ] && exit 0\n";
    // opkg runs a package's own prerm before the service is stopped, and so does this.
    let end = format!("(\n{})\n{library}default_prerm\n", own("prerm"));
    let script = |text: &str| format!("#!/bin/sh\n{text}").into_bytes();
    let fields = [
        Value::NULL, // trigger
        Value::NULL, // before installation
        adb.blob(&script(&format!("{skip}{start}"))),
        adb.blob(&script(&end)),
        adb.blob(&script(&own("postrm"))),
        Value::NULL, // before an upgrade
        adb.blob(&script(&format!("export PKG_UPGRADE=1\n{skip}{start}"))),
    ];
    adb.object(&fields)
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
    text.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, half| byte << 4 | digit(*half))).collect()
}
