//! A router's root in the bench's namespace: banIP's service, fw4, ubus and the rest as OpenWrt has them, from a
//! directory that `BANIP` names and that nobody changes. What netifd, procd and rpcd would say on the bus a script of
//! ours says.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Result;
use crate::command::{command, output, run};
use crate::files::{make_directory, read_text, write};
use crate::measure::{Group, Whole, group_whole};
use crate::parts::Part;

/// What has to be below that directory, for the sentence that says what is not.
const NEEDED: [&str; 8] = [
    "usr/bin/banip-service.sh",
    "usr/lib/banip-functions.sh",
    "usr/bin/jsonfilter",
    "usr/bin/ucode",
    "usr/bin/uci",
    "usr/bin/curl",
    "sbin/ubusd",
    "sbin/fw4",
];

/// Answers for the programs that are not there: a router with a LAN and a WAN.
const ANSWERS: &str = r#"let uloop = require("uloop"), bus;
uloop.init();
bus = require("ubus").connect();
function network(name, device, address) {
	return { interface: name, up: true, pending: false, available: true, l3_device: device, device, proto: "static",
		"ipv4-address": [ { address, mask: 24 } ], "ipv6-address": [], "ipv6-prefix": [],
		"ipv6-prefix-assignment": [], route: [], "dns-server": [], data: {} };
}
let all = [ network("lan", "lan", "192.168.1.1"), network("wan", "wan", "203.0.113.1") ], kept = [];
function tell(object, method, answer) {
	push(kept, bus.publish(object, { [method]: { call: () => answer, args: { all: true, name: "", type: "" } } }));
}
tell("network.interface", "dump", { interface: all });
for (let one in all)
	tell("network.interface." + one.interface, "status", one);
tell("network.device", "status", { lan: {}, wan: {} });
tell("system", "board", { model: "bench", release: { distribution: "OpenWrt", version: "25.12" } });
tell("rpc-sys", "packagelist", { packages: { banip: "1.8.12", curl: "8" } });
tell("service", "get_data", {});
let out = require("fs").stdout;
out.write("ready\n");
out.flush();
uloop.run();
"#;

/// The zones of OpenWrt's own file, and a port that is open to the WAN.
const FIREWALL: &str = "config defaults\n\toption input 'REJECT'\n\toption output 'ACCEPT'\n\toption forward 'REJECT'\n\
                        config zone\n\toption name 'lan'\n\tlist network 'lan'\n\toption input 'ACCEPT'\n\
                        \toption output 'ACCEPT'\n\toption forward 'ACCEPT'\nconfig zone\n\toption name 'wan'\n\
                        \tlist network 'wan'\n\toption input 'REJECT'\n\toption output 'ACCEPT'\n\
                        \toption forward 'DROP'\n\toption masq '1'\nconfig forwarding\n\toption src 'lan'\n\
                        \toption dest 'wan'\nconfig rule\n\toption name 'Open'\n\toption src 'wan'\n\
                        \toption proto 'udp'\n\toption dest_port '5000'\n\toption target 'ACCEPT'\n";

/// How long banIP may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// The root, entered.
pub(super) struct Root {
    place: PathBuf,
    scratch: PathBuf,
    _bus: Part,
    _answers: Part,
}

impl Root {
    /// Where `BANIP` is set: its directory below a layer in memory, and the bus.
    pub(super) fn enter(scratch: &Path) -> Result<Option<Root>> {
        let Some(lower) = std::env::var_os("BANIP").map(PathBuf::from) else { return Ok(None) };
        if let Some(lacking) = NEEDED.iter().find(|file| !lower.join(file).exists()) {
            return Err(format!("BANIP: {} has no {lacking}", lower.display()));
        }
        let at = |name: &str| scratch.join("openwrt").join(name);
        let (upper, work, place) = (at("upper"), at("work"), at("root"));
        [&upper, &work, &place].into_iter().try_for_each(|directory| make_directory(directory))?;
        let layers = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        run(command("mount", &["-t", "overlay", "-o", &layers, "overlay"]).arg(&place))?;
        for directory in ["proc", "dev", "tmp", "var/run/ubus", "etc/config", "etc/banip", "var/run/diswall/fw4"] {
            make_directory(&place.join(directory))?;
        }
        run(command("mount", &["-t", "proc", "proc"]).arg(place.join("proc")))?;
        run(command("mount", &["--rbind", "/dev"]).arg(place.join("dev")))?;
        write(&place.join("tmp/answers.uc"), ANSWERS)?;
        write(&place.join("tmp/messages"), "")?;
        write(&place.join("etc/config/firewall"), FIREWALL)?;
        let bus = Part::start("ubusd", &mut enter(&place, &["/sbin/ubusd"]), scratch)?;
        let start = Instant::now();
        while !place.join("var/run/ubus/ubus.sock").exists() {
            if start.elapsed() > Duration::from_secs(5) {
                return Err("ubusd does not listen".into());
            }
            sleep(Duration::from_millis(20));
        }
        let answers = Part::start("answers", &mut enter(&place, &["/usr/bin/ucode", "/tmp/answers.uc"]), scratch)?;
        answers.line()?;
        Ok(Some(Root { place, scratch: scratch.to_path_buf(), _bus: bus, _answers: answers }))
    }

    /// A command in it.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        enter(&self.place, words)
    }

    /// A file of it.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.place.join(path);
        path.parent().map_or(Ok(()), make_directory)?;
        write(&path, text)
    }

    /// banIP's configuration for lists of IPv4 by these names and addresses, nothing of it kept from before. Of its
    /// limits for floods that of UDP is off: they are not what is measured.
    pub(super) fn banip_has(&self, lists: &[(&str, String)]) -> Result<()> {
        let mut section = String::from(
            "config banip 'global'\n\toption ban_enabled '1'\n\toption ban_autodetect '0'\n\toption ban_protov4 '1'\n\
             \tlist ban_ifv4 'wan'\n\tlist ban_dev 'wan'\n\toption ban_fetchcmd 'curl'\n\toption ban_udplimit '0'\n\
             \tlist ban_logterm 'Exit before auth from'\n\tlist ban_logterm 'luci: failed login'\n\
             \toption ban_logreadfile '/tmp/messages'\n",
        );
        let mut feeds = Vec::new();
        for (name, url) in lists {
            section.push_str(&format!("\tlist ban_feed '{name}'\n"));
            feeds.push(format!("\"{name}\": {{\"url_4\": \"{url}\", \"rule\": \"feed 1\", \"chain\": \"in\"}}"));
        }
        self.write("etc/config/banip", &section)?;
        self.write("etc/banip/banip.custom.feeds", &format!("{{{}}}", feeds.join(", ")))?;
        run(command("rm", &["-rf"]).arg(self.place.join("tmp/banIP-backup")))
    }

    /// Has banIP's service do this, until its status says that it is active; what it and all that it started took.
    pub(super) fn banip(&self, action: &str) -> Result<(Group, Whole)> {
        let status = self.place.join("var/run/banIP/banIP.runtime.json");
        let _ = std::fs::remove_file(&status);
        let mut service = self.command(&["/usr/bin/banip-service.sh", action]);
        let mut group = Group(Part::start("banip", &mut service, &self.scratch)?);
        let start = Instant::now();
        let whole = group_whole(group.0.id(), || {
            if start.elapsed() > PATIENCE {
                return Err("banIP: not active".into());
            }
            Ok(read_text(&status).is_ok_and(|text| text.contains("\"status\": \"active\"")))
        });
        match whole {
            Ok(whole) => Ok((group, whole)),
            Err(error) => group.0.check_running().and(Err(error)),
        }
    }

    /// What `/etc/init.d/banip restart` does first.
    pub(super) fn banip_stop(&self, service: Group) -> Result<()> {
        drop(service);
        output(&mut command("nft", &["delete", "table", "inet", "banIP"])).map(drop)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = command("umount", &["--recursive", "--lazy"]).arg(&self.place).status();
    }
}

fn enter(place: &Path, words: &[&str]) -> Command {
    let mut command = command("chroot", &[]);
    command.arg(place).args(words);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}
