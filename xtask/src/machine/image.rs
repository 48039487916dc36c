//! The machine's file system: an archive in memory with busybox, nft, the daemon, the kernel's modules and
//! an /init that obeys a serial line. Kept small: 64 MB hold it twice while it is unpacked.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::kinds::{Kind, MODULES};
use crate::Result;
use crate::command::{command, output, run};
use crate::debian::{Apt, list};
use crate::files::{make_directory, read, write};
use crate::package::elf;
use crate::package::tools::{Effort, gzip};

/// Loads modules and network; [`SHELL`] goes on.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /var/run
while read -r module; do insmod "/modules/$module.ko"; done </modules/order
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
"#;

/// Does what it is told: each line on the console is a command; after its output comes a line `@done STATUS`.
pub const SHELL: &str = r#"stty -echo -onlcr
echo @ready
while read -r line; do
	eval "$line" </dev/null 2>&1
	echo "@done $?"
done
poweroff -f
"#;

/// The label of the disk it goes on from: which of two disks the kernel finds first is chance.
const LABEL: &str = "system";

/// Goes on to that disk, whose module is in the archive, with memory where a router has it.
const FROM_DISK: &str = r#"#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do /bin/busybox insmod "/modules/$module.ko"; done </modules/order
while ! disk=$(/bin/busybox findfs LABEL=LABEL); do /bin/busybox usleep 100000; done
/bin/busybox mount -t ext4 -o noatime "$disk" /mnt
/bin/busybox mount -t tmpfs tmp /mnt/tmp
/bin/busybox mount -t tmpfs state /mnt/var/lib
/bin/busybox umount /dev /proc
exec /bin/busybox switch_root /mnt /init
"#;

/// The kernel and the gzipped archive for it.
pub struct Image {
    /// To boot.
    pub kernel: PathBuf,
    /// What it unpacks.
    pub archive: Vec<u8>,
    /// The disk it goes on from.
    pub disk: Option<PathBuf>,
}

/// Unpacks Debian's files for a machine below `target/machine/NAME/root`, unless they are there already:
/// the kernel, busybox, nft with its libraries.
pub fn fetch(kind: &Kind) -> Result<PathBuf> {
    let place = Path::new("target/machine").join(kind.name);
    let complete = place.join("complete");
    if complete.exists() {
        return Ok(place.join("root"));
    }
    println!("fetching Debian for {} into {}", kind.name, place.display());
    let apt = Apt::new(&place, kind.name, false)?;
    // The meta package names the kernel's own; what else it wants would make an installed system.
    let depends = output(&mut apt.call("apt-cache", &["depends", kind.kernel]))?;
    let kernel = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image"));
    let kernel = kernel.ok_or_else(|| format!("{} names no kernel", kind.kernel))?;
    run(&mut apt.call("apt-get", &["-q", "download", &format!("linux-image{kernel}")]))?;
    let install = ["-q", "-y", "--no-install-recommends", "--download-only", "install", "nftables", "busybox-static"];
    run(&mut apt.call("apt-get", &install))?;
    let root = apt.unpack()?;
    write(&complete, "")?;
    Ok(root)
}

/// What the machine runs on.
pub struct System {
    /// Where Debian's files are.
    pub root: PathBuf,
    /// A kernel in place of Debian's, which needs no modules.
    pub kernel: Option<PathBuf>,
}

/// The daemon, and the router's libraries that it is to be loaded with; Debian's without.
pub struct Daemon {
    /// The binary.
    pub program: PathBuf,
    /// What `router::root` made.
    pub libraries: Option<PathBuf>,
}

/// Puts the image together from the system's files, the daemon, its configuration, and scripts by their paths.
pub fn build(
    kind: &Kind,
    system: &System,
    daemon: &Daemon,
    configuration: &str,
    scripts: &[(&str, &str)],
) -> Result<Image> {
    let files = collect(kind, system, daemon, configuration, scripts)?;
    Ok(Image { kernel: kernel(system)?, archive: gzip(&files.archive(), Effort::Little)?, disk: None })
}

/// The same on a disk below `place`, as a router has it on its flash: what nobody reads takes no memory.
pub fn build_on_disk(
    kind: &Kind,
    system: &System,
    daemon: &Daemon,
    configuration: &str,
    scripts: &[(&str, &str)],
    place: &Path,
) -> Result<Image> {
    let module = kind.disk.ok_or_else(|| format!("no disk was tried with {}", kind.name))?;
    let (tree, disk) = (place.join("tree"), place.join("disk"));
    let _ = std::fs::remove_dir_all(&tree);
    let _ = std::fs::remove_file(&disk);
    collect(kind, system, daemon, configuration, scripts)?.write_below(&tree)?;
    let mut make = command("mke2fs", &["-q", "-t", "ext2", "-L", LABEL, "-m", "0", "-E", "root_owner=0:0", "-d"]);
    run(make.arg(&tree).arg(&disk).arg("64M"))?;
    let mut files = Files(BTreeMap::new());
    files.add("init", 0o755, FROM_DISK.replace("LABEL=LABEL", &format!("LABEL={LABEL}")).into());
    files.add("bin/busybox", 0o755, busybox(&system.root)?);
    add_modules(&mut files, &["crc32c_generic", "ext4", module], system)?;
    Ok(Image { kernel: kernel(system)?, archive: gzip(&files.archive(), Effort::Little)?, disk: Some(disk) })
}

fn busybox(root: &Path) -> Result<Vec<u8>> {
    read(&first(root, &["usr/bin/busybox", "bin/busybox"])?)
}

fn kernel(System { root, kernel }: &System) -> Result<PathBuf> {
    if let Some(kernel) = kernel {
        return Ok(kernel.clone());
    }
    let kernel = list(&root.join("boot"))?.into_iter().find(|path| path.to_string_lossy().contains("/vmlinuz-"));
    kernel.ok_or_else(|| "the kernel's package holds no vmlinuz".into())
}

/// Everything the machine has.
fn collect(
    kind: &Kind,
    system: &System,
    daemon: &Daemon,
    configuration: &str,
    scripts: &[(&str, &str)],
) -> Result<Files> {
    let root = &system.root;
    let mut files = Files(BTreeMap::new());
    files.add("init", 0o755, [INIT, SHELL].concat().into());
    files.add("bin/busybox", 0o755, busybox(root)?);
    files.add("etc/config/diswall", 0o644, configuration.into());
    scripts.iter().for_each(|(path, text)| files.add(path, 0o755, text.as_bytes().to_vec()));
    match &daemon.libraries {
        Some(libraries) => files.add_router_program("usr/bin/diswall", read(&daemon.program)?, libraries)?,
        None => files.add_program("usr/bin/diswall", read(&daemon.program)?, root)?,
    }
    files.add_program("usr/sbin/nft", read(&first(root, &["usr/sbin/nft", "sbin/nft"])?)?, root)?;
    let modules: Vec<&str> = MODULES.iter().chain(kind.network).copied().collect();
    add_modules(&mut files, &modules, system)?;
    Ok(files)
}

/// Directories of the machine.
const DIRECTORIES: [&str; 19] = [
    "bin",
    "dev",
    "etc",
    "etc/config",
    "etc/diswall",
    "lib",
    "lib64",
    "mnt",
    "modules",
    "proc",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/musl",
    "var/lib",
    "var/run",
];

/// Paths without the leading slash, with permissions and content.
struct Files(BTreeMap<String, (u32, Vec<u8>)>);

impl Files {
    fn add(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        self.0.insert(path.to_owned(), (mode, content));
    }

    /// A program with everything it is loaded with.
    fn add_program(&mut self, path: &str, content: Vec<u8>, root: &Path) -> Result<()> {
        let mut waiting = vec![(path.to_owned(), content)];
        while let Some((path, content)) = waiting.pop() {
            let (loader, needed) = elf::links(&content).ok_or_else(|| format!("{path}: no ELF file"))?;
            self.add(&path, 0o755, content);
            for library in needed {
                let at = format!("usr/lib/{library}");
                if !self.0.contains_key(&at) {
                    waiting.push((at, read(&library_file(root, &library)?)?));
                }
            }
            if let Some(loader) = loader {
                let name = loader.rsplit('/').next().unwrap_or_default();
                self.add(loader.trim_start_matches('/'), 0o755, read(&library_file(root, name)?)?);
            }
        }
        Ok(())
    }

    /// The daemon as a router has it. musl looks where its path file says: the two libraries are the ones
    /// that came with nft, and what they want of glibc beside `libc.so.6` is in a place of musl's own.
    fn add_router_program(&mut self, path: &str, content: Vec<u8>, libraries: &Path) -> Result<()> {
        let (loader, _) = elf::links(&content).ok_or_else(|| format!("{path}: no ELF file"))?;
        let loader = loader.ok_or_else(|| format!("{path} is linked statically: a router's binary is not"))?;
        let name = loader.rsplit('/').next().unwrap_or_default();
        self.add(path, 0o755, content);
        let search = name.replace(".so.1", ".path");
        self.add(&format!("etc/{search}"), 0o644, b"/usr/musl\n/usr/lib\n".to_vec());
        for file in list(&libraries.join("lib"))? {
            let found = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if found == name {
                self.add(&format!("lib/{found}"), 0o755, read(&file)?);
            } else if found.starts_with("ld") && !found.ends_with(".c") {
                self.add(&format!("usr/musl/{found}"), 0o755, read(&file)?);
            }
        }
        Ok(())
    }

    /// The same as files and directories.
    fn write_below(&self, place: &Path) -> Result<()> {
        DIRECTORIES.iter().try_for_each(|directory| make_directory(&place.join(directory)))?;
        for (path, (mode, content)) in &self.0 {
            let path = place.join(path);
            write(&path, content)?;
            let mode = std::fs::Permissions::from_mode(*mode);
            std::fs::set_permissions(&path, mode).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// The archive in cpio's "newc" form, which the kernel unpacks.
    fn archive(&self) -> Vec<u8> {
        let mut archive = Archive::default();
        archive.add("var", 0o040_755, &[]);
        for directory in DIRECTORIES {
            archive.add(directory, 0o040_755, &[]);
        }
        for (path, (mode, content)) in &self.0 {
            archive.add(path, 0o100_000 | mode, content);
        }
        archive.add("TRAILER!!!", 0, &[]);
        archive.bytes
    }
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: usize,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        // inode, mode, user, group, links, time, size, four device numbers, length of the name, checksum
        let fields = [self.entries, mode as usize, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The modules in an order in which each finds what it depends on.
fn add_modules(files: &mut Files, all: &[&str], System { root, kernel }: &System) -> Result<()> {
    if kernel.is_some() {
        files.add("modules/order", 0o644, Vec::new());
        return Ok(());
    }
    let mut modules = HashMap::new();
    collect_modules(&first(root, &["usr/lib/modules", "lib/modules"])?, &mut modules)?;
    let mut order: Vec<String> = Vec::new();
    for wanted in all {
        load(wanted, &modules, &mut order)?;
    }
    for name in &order {
        files.add(&format!("modules/{name}.ko"), 0o644, read(&modules[name.as_str()])?);
    }
    files.add("modules/order", 0o644, (order.join("\n") + "\n").into_bytes());
    Ok(())
}

/// What is no module is part of the kernel, or missed as soon as a rule needs it.
fn load(name: &str, modules: &HashMap<String, PathBuf>, order: &mut Vec<String>) -> Result<()> {
    let Some(path) = modules.get(name) else { return Ok(()) };
    if order.iter().any(|loaded| loaded == name) {
        return Ok(());
    }
    let content = read(path)?;
    let key = b"\0depends=";
    let at = content.windows(key.len()).position(|window| window == key).map(|at| at + key.len());
    let depends = at.and_then(|at| content[at..].split(|byte| *byte == 0).next()).unwrap_or_default();
    for needed in String::from_utf8_lossy(depends).split(',').filter(|needed| !needed.is_empty()) {
        load(&needed.replace('-', "_"), modules, order)?;
    }
    order.push(name.to_owned());
    Ok(())
}

fn collect_modules(directory: &Path, modules: &mut HashMap<String, PathBuf>) -> Result<()> {
    for path in list(directory)? {
        if path.is_dir() {
            collect_modules(&path, modules)?;
        } else if path.extension() == Some("ko".as_ref()) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_");
            modules.insert(name, path);
        }
    }
    Ok(())
}

/// A library below one of the directories that Debian keeps them in.
fn library_file(root: &Path, name: &str) -> Result<PathBuf> {
    for directory in ["lib", "usr/lib"].map(|directory| root.join(directory)).iter().filter(|path| path.is_dir()) {
        for place in std::iter::once(directory.clone()).chain(list(directory)?) {
            if place.join(name).is_file() {
                return Ok(place.join(name));
            }
        }
    }
    Err(format!("{name} is not below {}", root.display()))
}

fn first(root: &Path, candidates: &[&str]) -> Result<PathBuf> {
    let found = candidates.iter().map(|candidate| root.join(candidate)).find(|path| path.exists());
    found.ok_or_else(|| format!("{}: has none of {}", root.display(), candidates.join(", ")))
}
