//! A soak's router on an emulated machine with 64 MB of memory, a processor and a kernel of its own: system on a disk
//! that nothing writes to, flash on a second one that outlives the power, the wan on a tap device at whose other end
//! this process's network has the servers and the strangers, a shell on the serial line.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ground::{ACCOUNT, FlashFile, GATEWAY, Ground, OPEN, ROUTER, Reading, WAN, Whole};
use super::router::FLASH;
use crate::Result;
use crate::command::{command, output, run};
use crate::files::{make_directory, write};
use crate::machine::image::{self, Image, System};
use crate::machine::kinds::{KINDS, Kind};
use crate::machine::{Machine, with_libraries};
use crate::sandbox::load_nft;

/// The kind of machine: what most routers are.
pub const KIND: &Kind = &KINDS[0];

/// As `machine`'s own up to its shell, and with flash, the wan by its name, and somebody who listens.
const INIT: &str = r#"#!/bin/busybox sh
[ -e /bin/sh ] || /bin/busybox --install -s /bin
export PATH=/bin:/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -o remount,ro /
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /var/run
dmesg -n 1
while read -r module; do insmod "/modules/$module.ko"; done </modules/order
while ! flash=$(findfs LABEL=flash); do sleep 0.1; done
mount -t ext4 -o noatime "$flash" /mnt
mount -o bind /mnt/config /etc/config
mount -o bind /mnt/diswall /etc/diswall
ip link set lo up
ip link set eth0 name WAN
ip addr add ROUTER/24 dev WAN
ip link set WAN up
ip route add default via GATEWAY
mkdir -p /var/run/diswall /var/lib/diswall
chown ACCOUNT:ACCOUNT /var/run/diswall /var/lib/diswall
httpd -p OPEN -h /var/run
"#;

/// The daemon's one capability as an attribute of its file, since nothing over there hands it on to an account: the form
/// of version 2, effective, `CAP_NET_ADMIN`.
const CAPABILITY: [u32; 5] = [0x0200_0001, 1 << 12, 0, 0, 0];

/// What the router's own account may read, and is gone after a boot.
const RAM: &str = "/tmp";

/// A line for the shell over there is no longer than this: a terminal takes 4,096 bytes.
const LINE: usize = 3000;

/// Bytes of a sector, and ticks of a second, as the kernel tells them.
const SECTOR: u64 = 512;
const TICKS: u64 = 100;

/// See the module's head.
pub struct Emulated {
    image: Image,
    flash: PathBuf,
    disk: PathBuf,
    machine: Option<Machine>,
    /// Bytes that were written to the flash's device before the last boot, and since then as last seen.
    written_before: u64,
    written: u64,
}

impl Emulated {
    /// Boots it. Its disks lie below `disk`; what it sends to the gateway's `ports` goes to this machine's own.
    pub fn new(program: &Path, disk: &Path, ports: &str) -> Result<Emulated> {
        let system = System { root: image::fetch(KIND)?, kernel: None };
        let daemon = with_libraries(KIND, program.to_path_buf())?;
        let words = [
            ("WAN", WAN.to_owned()),
            ("ROUTER", ROUTER.into()),
            ("GATEWAY", GATEWAY.into()),
            ("OPEN", OPEN.to_string()),
            ("ACCOUNT", ACCOUNT.to_string()),
        ];
        let init = words.iter().fold(INIT.to_owned(), |text, (word, value)| text.replace(word, value)) + image::SHELL;
        let accounts = format!("root:x:0:0:root:/:/bin/sh\ndiswall:x:{ACCOUNT}:{ACCOUNT}:diswall:/:/bin/false\n");
        let image =
            image::build_on_disk(KIND, &system, &daemon, "", &[("init", &init), ("etc/passwd", &accounts)], disk)?;
        permit(&image, disk)?;
        let flash = build_flash(disk)?;
        wire(disk, ports)?;
        let mut emulated =
            Emulated { image, flash, disk: disk.to_path_buf(), machine: None, written_before: 0, written: 0 };
        emulated.power()?;
        Ok(emulated)
    }

    fn log(&self) -> PathBuf {
        self.disk.join("daemon.log")
    }

    /// Switches it on, and waits until its shell answers.
    fn power(&mut self) -> Result<()> {
        let more = [
            "-drive".to_owned(),
            format!("file={},format=raw", self.flash.display()),
            "-serial".into(),
            "mon:stdio".into(),
            "-chardev".into(),
            format!("file,id=log,append=on,path={}", self.log().display()),
            "-serial".into(),
            "chardev:log".into(),
        ];
        let network = format!("tap,ifname={WAN},script=no,downscript=no");
        self.machine = Some(Machine::boot_with(KIND, &self.image, &self.disk, &network, &more)?);
        Ok(())
    }

    /// The lines that make a file of this text, or add it to one.
    fn put(&mut self, path: &str, text: &str) -> Result<()> {
        let mut line = String::new();
        for part in text.lines().map(|part| format!(" '{}'", part.replace('\'', "'\\''"))) {
            if line.len() + part.len() > LINE {
                self.tell(&format!("printf '%s\\n'{line} >>{path}"))?;
                line.clear();
            }
            line += &part;
        }
        if line.is_empty() { Ok(()) } else { self.tell(&format!("printf '%s\\n'{line} >>{path}")).map(drop) }
    }
}

impl Ground for Emulated {
    fn tell(&mut self, line: &str) -> Result<String> {
        let machine = self.machine.as_mut().ok_or("the machine is off")?;
        let (printed, status) = machine.ask(line)?;
        if status == "0" { Ok(printed) } else { Err(format!("{line}: status {status}: {printed}")) }
    }

    fn write(&mut self, path: &str, text: &str) -> Result<()> {
        self.tell(&format!(": >{path}.soak"))?;
        self.put(&format!("{path}.soak"), text)?;
        self.tell(&format!("mv {path}.soak {path}")).map(drop)
    }

    fn append(&mut self, path: &str, text: &str) -> Result<()> {
        self.put(path, text)
    }

    /// This process's network is the other end of the wire.
    fn outside(&self, program: &str) -> Command {
        command(program, &[])
    }

    fn servers(&self) -> &'static str {
        GATEWAY
    }

    fn ram(&self) -> &'static str {
        RAM
    }

    fn loss(&self, ports: &str) -> String {
        format!(
            "table inet soak {{\n\
             \tchain there {{\n\t\ttype filter hook prerouting priority -300;\n\t\tiifname {WAN} tcp dport {ports} drop\n\t}}\n\
             \tchain back {{\n\t\ttype filter hook output priority -300;\n\t\toifname {WAN} tcp sport {ports} drop\n\t}}\n}}\n"
        )
    }

    fn start(&mut self) -> Result<()> {
        self.tell("rm -f /tmp/ended /tmp/pid")?;
        let run = format!("start-stop-daemon -S -q -c {ACCOUNT}:{ACCOUNT} -x /usr/bin/diswall -- run --foreground");
        self.tell(&format!(
            "{{ sh -c 'echo $$ >/tmp/pid; exec env -i container=ujail /bin/{run}'; echo $? >/tmp/ended; }} \
             </dev/null >/dev/ttyS1 2>&1 &"
        ))?;
        self.tell("while [ ! -s /tmp/pid ]; do sleep 0.1; done").map(drop)
    }

    fn check_running(&mut self) -> Result<()> {
        self.tell("! cat /tmp/ended 2>/dev/null").map(drop).map_err(|error| format!("the daemon has ended: {error}"))
    }

    fn reload(&mut self) -> Result<()> {
        self.tell("kill -HUP $(cat /tmp/pid)").map(drop)
    }

    fn end(&mut self, killed: bool) -> Result<()> {
        let signal = if killed { "KILL" } else { "TERM" };
        self.tell(&format!("kill -{signal} $(cat /tmp/pid)"))?;
        let status = self.tell("while [ ! -s /tmp/ended ]; do sleep 0.1; done; cat /tmp/ended")?;
        if killed || status == "0" { Ok(()) } else { Err(format!("the daemon ended with status {status}")) }
    }

    fn boot(&mut self, by_power: bool, away: Duration) -> Result<()> {
        if !by_power {
            self.end(false)?;
            self.tell("sync; umount /etc/config; umount /etc/diswall; umount /mnt")?;
        }
        // The emulator's end is the power's: what the kernel over there has not written to the disk is lost.
        self.machine = None;
        self.written_before += std::mem::take(&mut self.written);
        sleep(away);
        self.power()
    }

    fn set_clock(&mut self, offset: i64) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.tell(&format!("date -s @{} >/dev/null", now as i64 + offset)).map(drop)
    }

    fn reading(&mut self) -> Result<Reading> {
        let text = self.tell(&format!(
            "p=/proc/$(cat /tmp/pid); cat $p/stat $p/status $p/io /proc/meminfo; echo fds $(ls $p/fd | wc -l); \
             echo disk $(cat /sys/block/${{flash#/dev/}}/stat); stat -c 'file %i %s %Y %n' $(find {FLASH} -type f); true"
        ))?;
        let mut reading = read(&text)?;
        if let Some(whole) = &mut reading.machine {
            self.written = whole.device;
            whole.device += self.written_before;
        }
        Ok(reading)
    }

    fn log_tail(&mut self) -> String {
        super::router::tail(&self.log())
    }
}

/// The reading out of what the machine prints of itself.
fn read(text: &str) -> Result<Reading> {
    let number = |name: &str, place: usize| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().nth(place)?.parse::<u64>().ok());
        number.ok_or_else(|| format!("the machine says no {name} of the daemon's: {text}"))
    };
    // The second field is the name in brackets: what follows it are the third and the others.
    let ticks = text.lines().next().and_then(|line| line.rsplit_once(')')).map(|(_, rest)| {
        let fields: Vec<u64> = rest.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
        fields.iter().skip(11).take(2).sum::<u64>()
    });
    let file = |line: &str| {
        let mut words = line.strip_prefix("file ")?.splitn(4, ' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (inode, length, changed) = (number()?, number()?, number()?);
        Some(FlashFile { path: words.next()?.to_owned(), inode, length, changed: i64::try_from(changed).ok()? })
    };
    Ok(Reading {
        own: number("RssAnon:", 0)?,
        resident: number("VmRSS:", 0)?,
        descriptors: number("fds ", 0)?,
        cpu: Duration::from_millis(ticks.ok_or_else(|| format!("no times in {text}"))? * 1000 / TICKS),
        pages: number("write_bytes:", 0)?,
        files: text.lines().filter_map(file).collect(),
        machine: Some(Whole { device: number("disk ", 6)? * SECTOR, available: number("MemAvailable:", 0)? }),
    })
}

/// Lets an account have the daemon's capability.
fn permit(image: &Image, disk: &Path) -> Result<()> {
    let (attribute, system) = (disk.join("capability"), image.disk.as_deref().ok_or("the machine has no disk")?);
    write(&attribute, CAPABILITY.map(u32::to_le_bytes).concat())?;
    let set = format!("ea_set -f {} /usr/bin/diswall security.capability", attribute.display());
    let told = output(command("debugfs", &["-w", "-R", &set]).arg(system))?;
    // It succeeds whatever happens, and says what went wrong.
    if told.trim().is_empty() { Ok(()) } else { Err(format!("debugfs: {set}: {told}")) }
}

/// The second disk: a file system with a journal, which a power cut does not spoil, and the places on it.
fn build_flash(disk: &Path) -> Result<PathBuf> {
    let (tree, flash) = (disk.join("flash-tree"), disk.join("flash"));
    make_directory(&tree.join("config"))?;
    let kept = tree.join("diswall/kept");
    make_directory(&kept)?;
    chown(&kept, Some(ACCOUNT), Some(ACCOUNT)).map_err(|error| format!("{}: {error}", kept.display()))?;
    let mut make = command("mke2fs", &["-q", "-t", "ext4", "-L", "flash", "-m", "0", "-E", "root_owner=0:0", "-d"]);
    run(make.arg(&tree).arg(&flash).arg("16M"))?;
    Ok(flash)
}

/// The wire: this end has the gateway's address, and leads to the servers, which listen at 127.0.0.1.
fn wire(disk: &Path, ports: &str) -> Result<()> {
    let ip = |args: &[&str]| run(&mut command("ip", args));
    ip(&["tuntap", "add", "dev", WAN, "mode", "tap"])?;
    ip(&["address", "add", &format!("{GATEWAY}/24"), "dev", WAN])?;
    ip(&["link", "set", WAN, "up"])?;
    write(Path::new(&format!("/proc/sys/net/ipv4/conf/{WAN}/route_localnet")), "1")?;
    let text = format!(
        "table ip servers {{\n\tchain there {{\n\t\ttype nat hook prerouting priority -100;\n\t\t\
         iifname {WAN} ip daddr {GATEWAY} tcp dport {ports} dnat to 127.0.0.1\n\t}}\n}}\n"
    );
    load_nft(&text, disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_taken_from_what_the_machine_prints() {
        let text = "77 (diswall) S 1 77 1 0 -1 4194560 900 0 1 0 150 50 0 0 20 0 1 0 900 4000000 800 4294967295 0\n\
                    Name:\tdiswall\nVmRSS:\t    3500 kB\nRssAnon:\t    1200 kB\n\
                    rchar: 5\nwrite_bytes: 8192\ncancelled_write_bytes: 0\nMemAvailable:      20000 kB\nfds 21\n\
                    disk 10 0 80 5 20 3 160 9 0 14 14\nfile 12 345 1700000000 /etc/diswall/kept/record";
        let reading = read(text).expect("all is there");
        assert_eq!((reading.own, reading.resident, reading.descriptors), (1200, 3500, 21));
        assert_eq!((reading.cpu, reading.pages), (Duration::from_secs(2), 8192));
        let whole = reading.machine.expect("a machine");
        assert_eq!((whole.device, whole.available), (160 * 512, 20_000));
        assert!(
            reading.files.iter().any(|file| file.inode == 12 && file.length == 345 && file.path.ends_with("record"))
        );
        assert!(read("77 (diswall) S 1").is_err());
    }
}
