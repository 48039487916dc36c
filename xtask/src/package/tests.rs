//! What is packed, judged by other programs: GNU tar for the archives, shellcheck and busybox's ash for the
//! scripts, in a scratch root with stand-ins for uci, procd and fw4. The binary in them is a dummy; the
//! real one is checked where it is built.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::recipe::{self, Package};
use super::{apk, ipk, sign, tools};

mod attack;

const TIME: u64 = 1_700_000_000;

/// A directory of its own that is gone when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("diswall-xtask-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn write(&self, path: &str, content: &str, mode: u32) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap_or_default()
    }

    fn exists(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn package(scratch: &Scratch) -> Package {
    scratch.write("program", "not a program\n", 0o755);
    let feed = crate::root().join("openwrt");
    recipe::read(&feed.to_string_lossy(), "mipsel_24kc", "1.2.3", &scratch.0.join("program")).unwrap()
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{complaint}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The archive's entries as GNU tar lists them: `MODE OWNER NAME`.
fn listing(archive: &Path) -> Vec<String> {
    let lines = printed(Command::new("tar").args(["--numeric-owner", "-tzvf"]).arg(archive));
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {} {}", words[0], words[1], words[5])
    };
    lines.lines().map(entry).collect()
}

#[test]
fn the_ipk_is_what_opkg_unpacks() {
    let scratch = Scratch::new("ipk");
    let package = package(&scratch);
    let bytes = ipk::build(&package, TIME).unwrap();
    assert_eq!(bytes, ipk::build(&package, TIME).unwrap(), "the same input gives other bytes");
    let file = scratch.0.join("diswall.ipk");
    fs::write(&file, &bytes).unwrap();
    let expected = ["drwxr-xr-x 0/0 ./", "-rw-r--r-- 0/0 ./debian-binary", "-rw-r--r-- 0/0 ./data.tar.gz"];
    assert_eq!(listing(&file)[..3], expected);
    printed(Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(&scratch.0));
    assert_eq!(scratch.read("debian-binary"), "2.0\n");

    let control = listing(&scratch.0.join("control.tar.gz"));
    for script in ["postinst", "postinst-pkg", "prerm", "prerm-pkg", "postrm"] {
        assert!(control.contains(&format!("-rwxr-xr-x 0/0 ./{script}")), "{script}: {control:?}");
    }
    printed(Command::new("tar").args(["-xzf", "control.tar.gz"]).current_dir(&scratch.0));
    assert_eq!(scratch.read("conffiles"), "/etc/config/diswall\n");
    let control = scratch.read("control");
    for line in ["Package: diswall", "Version: 1.2.3-r1", "Architecture: mipsel_24kc"] {
        assert!(control.lines().any(|found| found == line), "no {line:?} in\n{control}");
    }
    assert!(control.contains("\nDepends: libc, libmnl0, libnftnl11, "), "{control}");
    assert!(!control.contains(['$', '@', '+']), "something of make's was left in\n{control}");
}

#[test]
fn files_are_roots_and_have_their_modes() {
    let scratch = Scratch::new("modes");
    let package = package(&scratch);
    fs::write(scratch.0.join("diswall.ipk"), ipk::build(&package, TIME).unwrap()).unwrap();
    printed(Command::new("tar").args(["-xzf", "diswall.ipk"]).current_dir(&scratch.0));
    let data = listing(&scratch.0.join("data.tar.gz"));
    let files: Vec<&str> = data.iter().map(String::as_str).filter(|line| line.starts_with('-')).collect();
    let expected = [
        "-rw-r--r-- 0/0 ./etc/capabilities/diswall.json",
        "-rw------- 0/0 ./etc/config/diswall",
        "-rw-r--r-- 0/0 ./etc/hotplug.d/iface/19-diswall",
        "-rwxr-xr-x 0/0 ./etc/init.d/diswall",
        "-rw-r--r-- 0/0 ./etc/uci-defaults/60_diswall",
        "-rw-r--r-- 0/0 ./lib/upgrade/keep.d/diswall",
        "-rwxr-xr-x 0/0 ./usr/bin/diswall",
        "-rw-r--r-- 0/0 ./usr/lib/lua/prometheus-collectors/diswall.lua",
        "-rwxr-xr-x 0/0 ./usr/libexec/collectd/diswall_collectd.sh",
        "-rwxr-xr-x 0/0 ./usr/libexec/rpcd/diswall",
        "-rw-r--r-- 0/0 ./usr/share/acl.d/diswall.json",
        "-rw-r--r-- 0/0 ./usr/share/acl.d/diswall_collectd.json",
        "-rw-r--r-- 0/0 ./usr/share/diswall/catalogue.json",
        "-rw-r--r-- 0/0 ./usr/share/nftables.d/ruleset-post/90-diswall.nft",
        "-rw-r--r-- 0/0 ./usr/share/ucode/node-exporter/lib/diswall.uc",
    ];
    assert_eq!(files, expected);
    let directories: Vec<&String> = data.iter().filter(|line| !line.starts_with('-')).collect();
    assert!(directories.iter().all(|line| line.starts_with("drwxr-xr-x 0/0 ./")), "{directories:?}");
}

#[test]
fn the_apk_says_what_it_is_and_is_deflated() {
    let scratch = Scratch::new("apk");
    let package = package(&scratch);
    let bytes = apk::build(&package, TIME).unwrap().content;
    assert_eq!(bytes, apk::build(&package, TIME).unwrap().content, "the same input gives other bytes");
    assert_eq!(&bytes[..4], b"ADBd");
    fs::write(scratch.0.join("deflated"), &bytes[4..]).unwrap();
    let inflate = "import sys,zlib; sys.stdout.buffer.write(zlib.decompress(open(sys.argv[1],'rb').read(), -15))";
    let output =
        Command::new("/usr/bin/python3").args(["-c", inflate]).arg(scratch.0.join("deflated")).output().unwrap();
    let file = output.stdout;
    assert_eq!(&file[..8], b"ADB.pckg");
    let holds = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
    for text in ["mipsel_24kc", "1.2.3-r1", "not a program\n", "lib/apk/packages", "diswall=914:diswall=914\n"] {
        assert!(holds(text.as_bytes()), "{text:?} is not in it");
    }
}

#[test]
fn shellcheck_finds_nothing() {
    let scratch = Scratch::new("shellcheck");
    let package = package(&scratch);
    let mut scripts: Vec<(String, String)> = Vec::new();
    for (name, text) in &package.scripts {
        scripts.push(((*name).to_owned(), text.clone()));
    }
    for file in package.files.iter().filter(|file| file.content.starts_with(b"#!/bin/sh")) {
        scripts.push((file.path.replace('/', "-"), String::from_utf8(file.content.clone()).unwrap()));
    }
    assert_eq!(scripts.len(), 8, "three of the package's, the service, uci-defaults, rpcd, hotplug, collectd");
    for (name, text) in &scripts {
        scratch.write(&format!("scripts/{name}"), text, 0o755);
        printed(Command::new("shellcheck").args(["--shell", "sh"]).arg(scratch.0.join("scripts").join(name)));
    }
}

/// A root with busybox, the package's files and the stand-ins.
fn router(name: &str, uci: &str) -> Scratch {
    let root = Scratch::new(name);
    let package = package(&root);
    for file in package.files.iter().filter(|file| file.path != "usr/bin/diswall") {
        root.write(&file.path, &String::from_utf8(file.content.clone()).unwrap(), file.mode);
    }
    for (script, text) in &package.scripts {
        root.write(&format!("scripts/{script}"), text, 0o755);
    }
    fs::create_dir_all(root.0.join("bin")).unwrap();
    fs::copy("/bin/busybox", root.0.join("bin/busybox")).unwrap();
    let applets = [
        "ls", "sh", "awk", "sed", "grep", "mkdir", "rmdir", "rm", "mv", "cat", "wc", "chmod", "chown", "chgrp",
        "sleep", "ln", "mkfifo", "pidof",
    ];
    for applet in applets {
        symlink("busybox", root.0.join("bin").join(applet)).unwrap();
    }
    for program in ["bin/logger", "bin/nft", "bin/fw4", "usr/bin/diswall", "etc/init.d/firewall", "etc/init.d/rpcd"] {
        root.write(program, include_str!("standins/router"), 0o755);
    }
    root.write("bin/uci", include_str!("standins/uci"), 0o755);
    root.write("etc/rc.common", include_str!("standins/rc.common"), 0o644);
    root.write("etc/passwd", "root:x:0:0:root:/root:/bin/ash\ndiswall:x:914:914::/:/bin/false\n", 0o644);
    root.write("etc/group", "root:x:0:\ndiswall:x:914:\n", 0o644);
    root.write("uci", uci, 0o644);
    root.write("log", "", 0o644);
    root.write("dev/null", "", 0o666);
    fs::create_dir_all(root.0.join("var/run")).unwrap();
    fs::create_dir_all(root.0.join("answers")).unwrap();
    root
}

fn sh(root: &Scratch, command: &str) -> bool {
    let chrooted = Command::new("chroot").arg(&root.0).args(["/bin/busybox", "ash", "-c", command]).output().unwrap();
    let complaint = String::from_utf8_lossy(&chrooted.stderr);
    assert!(!complaint.contains("not found") && !complaint.contains("syntax error"), "{command}: {complaint}");
    chrooted.status.success()
}

fn service(root: &Scratch, action: &str) {
    sh(root, &format!("/bin/sh /etc/rc.common /etc/init.d/diswall {action}"));
}

fn calls<'a>(log: &'a str, program: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.split(' ').next() == Some(program)).collect()
}

const FRESH: &str = "diswall.main=diswall\ndiswall.main.zone=wan\ndiswall.dynfw=dynfw\ndiswall.dynfw.enabled=1\n\
                     diswall.nats=nats\nfirewall.@zone[0].name=lan\nfirewall.@zone[1].name=wan\n";

#[test]
fn a_fresh_install_needs_no_change() {
    let root = router("fresh", FRESH);
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    assert_eq!(root.read("uci"), FRESH);
    assert!(!root.exists("etc/diswall/taken-over"));
}

#[test]
fn turris_zone_switches_are_taken_over_once() {
    let switched = format!(
        "{FRESH}firewall.@zone[1].sentinel_dynfw=1\nfirewall.@zone[2].name=guest\n\
         firewall.@zone[2].sentinel_dynfw=on\nfirewall.@zone[2].sentinel_dynfw_input=0\n\
         firewall.@zone[3].name=vpn\nfirewall.@zone[3].sentinel_dynfw=0\n\
         firewall.@zone[4].name=both_off\nfirewall.@zone[4].sentinel_dynfw=1\n\
         firewall.@zone[4].sentinel_dynfw_input=0\nfirewall.@zone[4].sentinel_dynfw_forward=0\n"
    );
    let root = router("turris", &switched);
    let zones = |root: &Scratch| {
        let uci = root.read("uci");
        uci.lines().filter_map(|line| line.strip_prefix("diswall.main.zone=")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    assert_eq!(zones(&root), ["wan", "guest"]);
    // The owner changes his mind, and an upgrade runs the script again.
    assert!(sh(&root, "uci delete diswall.main.zone; uci add_list diswall.main.zone=vpn"));
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    assert_eq!(zones(&root), ["vpn"]);
}

#[test]
fn turris_switched_off_everywhere_stays_off() {
    let root = router("turris-off", &format!("{FRESH}firewall.@zone[1].sentinel_dynfw=0\n"));
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    assert!(root.read("uci").contains("diswall.dynfw.enabled=0\n"));
    assert!(root.read("uci").contains("diswall.main.zone=wan\n"));
}

#[test]
fn the_switch_and_exceptions_of_turris_newer_client_are_taken_over_once() {
    let sentinel = "sentinel.dynfw=dynfw\nsentinel.dynfw.enabled=0\nsentinel.dynfw.whitelist=192.0.2.7\n\
                    sentinel.dynfw.whitelist=2001:db8::/32\n";
    let root = router("sentinel", &format!("{FRESH}{sentinel}"));
    root.write("etc/config/diswall", "config diswall 'main'\n", 0o600);
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    let uci = root.read("uci");
    assert!(uci.contains("diswall.dynfw.enabled=0\n"), "{uci}");
    let allowed: Vec<&str> = uci.lines().filter_map(|line| line.split_once(".ip=").map(|(_, ip)| ip)).collect();
    assert_eq!(allowed, ["192.0.2.7", "2001:db8::/32"]);
    assert_eq!(root.read("etc/diswall/taken-over"), "sentinel\n");
    assert!(sh(&root, "uci set diswall.dynfw.enabled=1; . /etc/uci-defaults/60_diswall"));
    assert!(root.read("uci").contains("diswall.dynfw.enabled=1\n"), "taken over a second time");
    // Only what its owner set: nothing there is nothing taken over, and may come later.
    let root = router("sentinel-empty", &format!("{FRESH}sentinel.minipot=minipot\n"));
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    assert!(!root.exists("etc/diswall/taken-over"));
}

#[test]
fn the_local_api_of_crowdsecs_bouncer_is_taken_over_once() {
    let bouncer = "crowdsec.@bouncer[0].enabled=1\ncrowdsec.@bouncer[0].api_key=a-key'$(touch /pwned)\n\
                   crowdsec.@bouncer[0].api_url=http://192.0.2.5:8080/\ncrowdsec.@bouncer[0].update_frequency=20s\n";
    let root = router("crowdsec", &format!("{FRESH}{bouncer}"));
    root.write("etc/config/diswall", "config diswall 'main'\n", 0o600);
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    let uci = root.read("uci");
    for line in ["enabled=1", "api_key=a-key'$(touch /pwned)", "url=http://192.0.2.5:8080/", "interval=20s"] {
        assert!(uci.contains(&format!("diswall.crowdsec.{line}\n")), "no {line} in\n{uci}");
    }
    let log = root.read("log");
    let said = |word: &str| calls(&log, "logger").iter().any(|line| line.contains(word));
    assert!(said("two programs block the same") && said("disable") && !said("a-key"), "{log}");
    assert!(!root.exists("pwned") && !root.read("seen").contains("a-key"), "{}", root.read("seen"));
    assert!(sh(&root, "uci set diswall.crowdsec.enabled=0; . /etc/uci-defaults/60_diswall"));
    assert!(root.read("uci").contains("diswall.crowdsec.enabled=0\n"), "taken over a second time");
    // Who has set it up here has chosen.
    for own in ["api_key=own", "api_key_file=/etc/key", "cert=/etc/cert"] {
        let own = format!("diswall.crowdsec=crowdsec\ndiswall.crowdsec.{own}\n");
        let root = router("crowdsec-own", &format!("{FRESH}{own}{bouncer}"));
        root.write("etc/config/diswall", "config diswall 'main'\n", 0o600);
        assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
        let uci = root.read("uci");
        assert!(uci.contains(&own) && !uci.contains("diswall.crowdsec.url"), "{uci}");
    }
    // Switched off, or without a key, there is nothing to take over; it may come later.
    for other in [bouncer.replace("enabled=1", "enabled=0"), bouncer.replace("a-key'$(touch /pwned)", "")] {
        let root = router("crowdsec-off", &format!("{FRESH}{other}"));
        assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
        assert!(!root.exists("etc/diswall/taken-over"));
    }
}

#[test]
fn exceptions_that_diswall_refuses_are_named_and_left_out() {
    let root =
        router("sentinel-refused", &format!("{FRESH}sentinel.dynfw.whitelist=1.2.3\nsentinel.dynfw.enabled=1\n"));
    root.write("etc/config/diswall", "config diswall 'main'\n", 0o600);
    root.write("answers/diswall", "2", 0o644);
    root.write("answers/diswall-says", "diswall: line 9: ip '1.2.3' is no address\n", 0o644);
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    let log = root.read("log");
    let told =
        calls(&log, "logger").iter().any(|line| line.contains("not taken over") && line.contains("1.2.3: diswall"));
    assert!(told, "{log}");
    assert_eq!(root.read("etc/config/diswall"), "config diswall 'main'\n");
    assert!(root.read("uci").contains("diswall.dynfw.enabled=1\n"));
}

#[test]
fn diswall_toml_is_taken_over() {
    let root = router("toml", FRESH);
    let toml = "local_only = false # a comment\nsend_statistics = true\n\
                ignore_ips = [\"192.0.2.7\", # one\n  '198.51.100.0/24' ]\n\n[clickhouse]\npassword = \"not ours\"\n\
                [nats]\r\nserver = \"nats.example\"\r\nport = 4223\r\nclient_name = \"jo\"\r\n\
                client_pass = \"p#a \\\"s\\\" = s\"\r\n#hostname = \"x\"\n";
    root.write("etc/diswall/diswall.conf", toml, 0o600);
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    let uci = root.read("uci");
    let expected = [
        "diswall.main.local_only=0",
        "diswall.nats.send_statistics=1",
        "diswall.nats.server=nats.example",
        "diswall.nats.port=4223",
        "diswall.nats.client_name=jo",
        "diswall.nats.client_pass=p#a \"s\" = s",
    ];
    for line in expected {
        assert!(uci.lines().any(|found| found == line), "no {line:?} in\n{uci}");
    }
    let allowed: Vec<&str> = uci.lines().filter(|line| line.contains(".ip=")).collect();
    assert_eq!(allowed.len(), 2, "{uci}");
    assert!(allowed[0].ends_with(".ip=192.0.2.7") && allowed[1].ends_with(".ip=198.51.100.0/24"), "{allowed:?}");
    assert!(!uci.contains("not ours") && !uci.contains("hostname"), "{uci}");
    assert!(!root.read("seen").contains("p#a"), "{}", root.read("seen"));
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    assert_eq!(root.read("uci"), uci, "taken over a second time");
}

/// A file that tries to say more than its values.
#[test]
fn hostile_toml_sets_nothing_but_its_own_values() {
    let root = router("toml-hostile", FRESH);
    let toml = "local_only = \"true'; touch /pwned\"\nignore_ips = [\"192.0.2.7'\\n\\toption x '1\", \"`touch /pwned`\", \"*\"]\n\
                [nats.client_name evil]\nx = \"y\"\n[main]\nenabled = false\n[nats]\n\
                server = \"$(touch /pwned)\"\nport = \"4222\\nconfig diswall 'main'\"\nclient_name = \"jo\"\n\
                client_pass = \"  a'b \\\"c\\\" `d` $e; f=g  \"\n\"enabled\" = \"0\"\nhostname = \"x\"\"\"\n\"\"\"y\"\n";
    root.write("etc/diswall/diswall.conf", toml, 0o600);
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    assert!(!root.exists("pwned"), "a value was run");
    let uci = root.read("uci");
    for line in [
        "diswall.nats.server=$(touch /pwned)",
        "diswall.nats.client_name=jo",
        "diswall.nats.client_pass=  a'b \"c\" `d` $e; f=g  ",
    ] {
        assert!(uci.lines().any(|found| found == line), "no {line:?} in\n{uci}");
    }
    let known = ["diswall.main", "diswall.dynfw", "diswall.nats", "firewall.", "diswall.cfg"];
    assert!(uci.lines().all(|line| known.iter().any(|start| line.starts_with(start))), "{uci}");
    assert!(!uci.contains("enabled=0") && !uci.contains("enabled=false") && !uci.contains("local_only"), "{uci}");
}

#[test]
fn values_that_diswall_refuses_are_not_taken_over() {
    let root = router("toml-refused", FRESH);
    root.write("etc/config/diswall", "config diswall 'main'\n\toption enabled '1'\n", 0o600);
    root.write("etc/diswall/diswall.conf", "[nats]\nport = 99999\n", 0o600);
    root.write("answers/diswall", "2", 0o644);
    root.write("answers/diswall-says", "diswall: line 3: port '99999' is out of range\n", 0o644);
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    let log = root.read("log");
    assert!(
        calls(&log, "logger").iter().any(|line| line.contains("nothing taken over") && line.contains("99999")),
        "{log}"
    );
    assert_eq!(root.read("etc/config/diswall"), "config diswall 'main'\n\toption enabled '1'\n");
}

#[test]
fn the_default_account_sends_nothing() {
    let root = router("toml-default", FRESH);
    root.write("etc/diswall/diswall.conf", "send_statistics = true\n[nats]\nclient_name = \"default\"\n", 0o600);
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    assert!(root.read("uci").contains("diswall.nats.send_statistics=0\n"), "{}", root.read("uci"));
}

#[test]
fn fw4_is_told_where_it_does_not_look_by_itself() {
    let root = router("include", &format!("{FRESH}firewall.@defaults[0].auto_includes=0\n"));
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall"));
    assert!(root.read("uci").contains("firewall.diswall.position=ruleset-append\n"), "{}", root.read("uci"));
    assert!(sh(&root, "uci set 'firewall.@defaults[0].auto_includes=1'; . /etc/uci-defaults/60_diswall"));
    assert!(!root.read("uci").contains("firewall.diswall"), "{}", root.read("uci"));
}

/// An upgrade while the owner has a change in hand.
#[test]
fn changes_of_the_firewall_that_are_not_committed_stay_so_at_the_installation() {
    let root = router("include-staged", &format!("{FRESH}firewall.@defaults[0].auto_includes=0\n"));
    root.write("staged", "firewall.wan.input='ACCEPT'\n", 0o644);
    assert!(sh(&root, ". /etc/uci-defaults/60_diswall; :"));
    assert!(!root.read("log").contains("committed firewall"), "{}", root.read("log"));
}

/// Set at any time after the installation: the next reload of the service tells fw4, and takes it back.
#[test]
fn fw4_that_is_forbidden_to_look_by_itself_later_is_told_at_the_next_reload() {
    let root = router("include-later", FRESH);
    service(&root, "start");
    assert!(!root.read("uci").contains("firewall.diswall"), "{}", root.read("uci"));
    for (automatic, told) in [("0", true), ("1", false)] {
        sh(&root, &format!("uci set 'firewall.@defaults[0].auto_includes={automatic}'"));
        root.write("log", "", 0o644);
        for _ in 0..2 {
            service(&root, "reload");
        }
        assert_eq!(root.read("uci").contains("firewall.diswall.position=ruleset-append"), told, "{}", root.read("uci"));
        assert_eq!(root.read("log").matches("committed firewall").count(), 1, "written when it changes, and only then");
    }
}

/// Before fw4 is reloaded for an interface that is up, the rules that name devices are written anew.
#[test]
fn a_device_of_another_name_is_in_the_rules_before_fw4_loads_them() {
    let root = router("hotplug", &format!("{FRESH}diswall.main.states=all\n"));
    let interface = |action: &str| {
        root.write("log", "", 0o644);
        sh(&root, &format!("ACTION={action} INTERFACE=wan /bin/sh /etc/hotplug.d/iface/19-diswall"));
        root.read("log")
    };
    assert_eq!(interface("ifup"), "", "the service has not started");
    service(&root, "start");
    assert_eq!(interface("ifup"), "diswall rules --write\n");
    assert_eq!(interface("ifdown"), "");
    sh(&root, "uci set diswall.main.states=new");
    assert_eq!(interface("ifup"), "", "those name no devices");
}

/// The daemon starts on what is good; who started it is told what is not.
#[test]
fn a_start_with_a_broken_configuration_says_the_line_and_ends_with_1() {
    let root = router("broken", FRESH);
    let start = |action: &str| {
        let command = format!("/bin/sh /etc/rc.common /etc/init.d/diswall {action}");
        let run = Command::new("chroot").arg(&root.0).args(["/bin/busybox", "ash", "-c", &command]).output().unwrap();
        (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
    };
    assert_eq!(start("start"), (Some(0), String::new()));
    root.write("answers/diswall", "2", 0o644);
    root.write("answers/diswall-says", "/etc/config/diswall:3: the quote is not closed\n", 0o644);
    root.write("log", "", 0o644);
    let (status, said) = start("start");
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("/etc/config/diswall:3: the quote is not closed"), "{said}");
    assert!(root.read("log").contains("procd_set_param command /usr/bin/diswall"), "{}", root.read("log"));
    // Since rc.common restarts a service whose reload fails, and a restart is a gap.
    assert_eq!(start("reload").0, Some(0));
}

#[test]
fn at_boot_the_rules_are_there_before_the_firewall() {
    let root = router("boot", FRESH);
    service(&root, "start");
    assert!(root.exists("var/run/diswall/fw4/diswall.nft"));
    let log = root.read("log");
    assert_eq!(calls(&log, "firewall"), [""; 0], "reloaded a firewall that has not started");
    assert!(log.contains("procd_set_param command /usr/bin/diswall run"), "{log}");
    assert!(!log.contains("procd_set_param user"), "gives up root without ujail, and CAP_NET_ADMIN with it: {log}");
}

#[test]
fn with_ujail_only_one_capability_is_left() {
    let root = router("ujail", FRESH);
    root.write("sbin/ujail", "", 0o755);
    service(&root, "start");
    let log = root.read("log");
    for line in [
        "procd_set_param user diswall",
        "procd_set_param capabilities /etc/capabilities/diswall.json",
        "procd_set_param no_new_privs 1",
        "procd_add_jail diswall",
    ] {
        assert!(log.lines().any(|found| found == line), "no {line:?} in\n{log}");
    }
    // What is root's is root's alone, and the daemon has places of its own.
    let found = |path: &str| {
        let metadata = fs::metadata(root.0.join(path)).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    for path in ["var/run/diswall", "var/run/diswall/fw4", "etc/diswall"] {
        assert_eq!(found(path), (0, 0, 0o755), "{path}");
    }
    for path in ["var/run/diswall/daemon", "etc/diswall/kept", "var/lib/diswall"] {
        assert_eq!(found(path), (914, 914, 0o755), "{path}");
    }
    assert_eq!(found("etc/config/diswall"), (0, 914, 0o640));
    let socket = fs::read_link(root.0.join("var/run/diswall/control.sock")).unwrap();
    assert_eq!(socket, Path::new("daemon/control.sock"));
}

#[test]
fn a_logins_key_is_lent_to_the_daemon_and_no_other_file_is() {
    const KEY: &str = "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ\n";
    for (path, text, open, lent) in [
        ("etc/nats.nk", KEY, false, true),
        ("etc/diswall/nats.nk", KEY, false, true),
        ("etc/nats.nk", "root:$1$secret\n", false, false),
        // Somebody else may exchange it.
        ("tmp/keys/nats.nk", KEY, true, false),
    ] {
        let root = router("key", &format!("{FRESH}diswall.nats.nkey_file=/{path}\n"));
        root.write("sbin/ujail", "", 0o755);
        root.write(path, text, 0o600);
        if open {
            assert!(sh(&root, "chmod 777 /tmp/keys"));
        }
        service(&root, "start");
        let metadata = fs::metadata(root.0.join(path)).unwrap();
        let expected = if lent { (914, 0o640) } else { (0, 0o600) };
        assert_eq!((metadata.gid(), metadata.mode() & 0o7777), expected, "{path}: {text}");
    }
}

#[test]
fn a_running_firewall_is_reloaded_only_for_new_rules() {
    let root = router("reload", FRESH);
    root.write("var/run/fw4.state", "", 0o644);
    service(&root, "start");
    let log = root.read("log");
    assert_eq!(calls(&log, "fw4"), ["fw4 -q check"]);
    assert_eq!(calls(&log, "firewall"), ["firewall reload"]);
    // Unchanged text that is in force: nothing to do. Not in force (somebody loaded other rules): reload.
    root.write("answers/diswall", "1", 0o644);
    root.write("log", "", 0o644);
    let loaded = "\tchain input_wan {\n\t\tjump diswall_from_here comment \"!diswall\"\n\t}\n";
    root.write("answers/table", loaded, 0o644);
    service(&root, "reload");
    assert_eq!(calls(&root.read("log"), "firewall"), [""; 0]);
    assert_eq!(calls(&root.read("log"), "procd_send_signal"), ["procd_send_signal diswall"]);
    root.write("answers/table", "\tchain input_wan {\n\t}\n\tchain diswall_from {\n\t}\n", 0o644);
    service(&root, "reload");
    assert_eq!(calls(&root.read("log"), "firewall"), ["firewall reload"], "somebody flushed fw4's chain");
    root.write("answers/table", loaded, 0o644);
    // Text that somebody has written since fw4 loaded its rules, as `status` tells the owner to: reload, once.
    let loaded = fs::File::options().write(true).open(root.0.join("var/run/fw4.state")).unwrap();
    loaded.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    for expected in [1, 0] {
        root.write("log", "", 0o644);
        service(&root, "reload");
        assert_eq!(calls(&root.read("log"), "firewall").len(), expected);
    }
}

/// The service is stopped, and cron's line still there.
#[test]
fn cron_sends_no_report_of_a_service_that_does_not_run() {
    let root = router("report-stopped", FRESH);
    assert!(sh(&root, "/bin/sh /etc/rc.common /etc/init.d/diswall mail_report"));
    assert_eq!(calls(&root.read("log"), "logger"), [""; 0]);
    assert!(!root.read("log").contains("report --mail"), "{}", root.read("log"));
}

#[test]
fn rules_that_fw4_refuses_are_set_aside() {
    let root = router("refused", FRESH);
    root.write("var/run/fw4.state", "", 0o644);
    root.write("answers/fw4", "1", 0o644);
    root.write("answers/fw4-without-us", "", 0o644);
    service(&root, "start");
    assert!(!root.exists("var/run/diswall/fw4/diswall.nft"));
    assert!(root.exists("var/run/diswall/fw4/diswall.nft.rejected"));
    let log = root.read("log");
    assert_eq!(calls(&log, "firewall"), ["firewall reload"]);
    assert!(calls(&log, "logger").iter().any(|line| line.contains("fw4 refuses the rules")), "{log}");
    assert!(log.contains("procd_open_instance"), "the daemon is to run all the same");
}

/// What is kept on a disk that is mounted after the start is read then; which of fstab's it is, procd finds out.
#[test]
fn the_service_begins_anew_when_its_disk_is_mounted() {
    let root = router("disk", &[FRESH, "diswall.main.state_dir=/mnt/disk/diswall\n"].concat());
    service(&root, "start");
    assert!(root.read("log").contains("procd_add_restart_mount_trigger /mnt/disk/diswall\n"), "{}", root.read("log"));
    // A procd of earlier days has no such thing.
    root.write("etc/rc.common", &include_str!("standins/rc.common").replace("add_restart_mount_trigger", ""), 0o644);
    root.write("log", "", 0o644);
    assert!(sh(&root, "/bin/sh /etc/rc.common /etc/init.d/diswall start"));
    assert!(root.read("log").contains("procd_add_raw_trigger"));
}

/// What is wrong is the firewall's own: mended, it is to have our rules again, without anybody asking for them.
#[test]
fn rules_stay_where_fw4_refuses_its_own_configuration() {
    let root = router("refused-anyway", FRESH);
    root.write("var/run/fw4.state", "", 0o644);
    root.write("answers/fw4", "1", 0o644);
    service(&root, "start");
    assert!(root.read("var/run/diswall/fw4/diswall.nft").contains("jump diswall_from_here"));
    let log = root.read("log");
    assert_eq!(calls(&log, "firewall"), [""; 0]);
    assert!(calls(&log, "logger").iter().any(|line| line.contains("mend the firewall configuration")), "{log}");
}

#[test]
fn a_refused_configuration_leaves_the_old_rules() {
    let root = router("bad-config", FRESH);
    root.write("var/run/fw4.state", "", 0o644);
    root.write("var/run/diswall/fw4/diswall.nft", "# old rules\n", 0o644);
    root.write("answers/diswall", "2", 0o644);
    service(&root, "start");
    assert_eq!(root.read("var/run/diswall/fw4/diswall.nft"), "# old rules\n");
    assert_eq!(calls(&root.read("log"), "firewall"), [""; 0]);
}

#[test]
fn what_the_kernel_cannot_do_is_in_the_log() {
    let root = router("lacking", FRESH);
    root.write("answers/diswall-says", "diswall: the rules go without `scan` $(detection)\n* and more\n", 0o644);
    service(&root, "start");
    let log = root.read("log");
    let said = calls(&log, "logger");
    for line in ["the rules go without `scan` $(detection)", "* and more"] {
        assert!(said.contains(&format!("logger -t diswall -p daemon.warn {line}").as_str()), "{said:?}");
    }
    assert!(log.contains("procd_open_instance"));
}

#[test]
fn without_fw4_the_rules_are_loaded_and_taken_away_again() {
    let root = router("no-fw4", FRESH);
    fs::remove_file(root.0.join("bin/fw4")).unwrap();
    service(&root, "start");
    let log = root.read("log");
    assert!(calls(&log, "diswall").contains(&"diswall rules --load"), "{log}");
    assert!(calls(&log, "logger").iter().any(|line| line.contains("no fw4 here")), "{log}");
    assert!(!log.contains("rules --write") && !log.contains("firewall reload"), "{log}");
    assert!(log.contains("procd_open_instance"), "{log}");

    root.write("answers/diswall", "4", 0o644);
    service(&root, "start");
    assert!(root.read("log").contains("no firewall rules: diswall rules --load ended with 4"));
    assert_eq!(root.read("log").matches("procd_open_instance").count(), 2, "the daemon is to run all the same");

    fs::remove_file(root.0.join("answers/diswall")).unwrap();
    root.write("log", "", 0o644);
    service(&root, "withdraw");
    assert!(root.read("log").contains("diswall rules --clear --delete"), "{}", root.read("log"));
}

#[test]
fn a_read_only_etc_and_a_full_overlay_cost_no_protection() {
    let root = router("read-only", &format!("{FRESH}diswall.main.state_dir=/srv/diswall\n"));
    root.write("sbin/ujail", "", 0o755);
    root.write("etc/config/diswall", "config diswall 'main'\n", 0o600);
    root.write("srv", "a file, where a directory cannot be made\n", 0o644);
    let start = || {
        let script = "mount --bind \"$0/etc\" \"$0/etc\"; mount -o remount,bind,ro \"$0/etc\"; chroot \"$0\" \
                      /bin/busybox ash -c '/bin/sh /etc/rc.common /etc/init.d/diswall start'";
        printed(Command::new("unshare").args(["--mount", "sh", "-ec", script]).arg(&root.0));
    };
    start();
    let log = root.read("log");
    for line in ["cannot make state_dir /srv/diswall", "reads a copy of it"] {
        assert!(calls(&log, "logger").iter().any(|said| said.contains(line)), "no {line:?} in\n{log}");
    }
    // For an overlay that is full nobody runs as root.
    for line in
        ["diswall rules --write", "command /usr/bin/diswall run --config /var/run/diswall/config\n", "user diswall"]
    {
        assert!(log.contains(line), "no {line:?} in {log}");
    }
    let copy = root.0.join("var/run/diswall/config");
    let found = || fs::metadata(&copy).map(|found| (found.uid(), found.gid(), found.mode() & 0o7777)).ok();
    assert_eq!(
        (root.read("var/run/diswall/config").as_str(), found()),
        ("config diswall 'main'\n", Some((0, 914, 0o640)))
    );
    // What was given to it before need not be given again.
    assert!(sh(&root, "chgrp diswall /etc/config/diswall && chmod 640 /etc/config/diswall"));
    root.write("log", "", 0o644);
    start();
    assert!(
        root.read("log").contains("run --config /etc/config/diswall\n") && found().is_none(),
        "{}",
        root.read("log")
    );
}

/// Where the daemon could read its configuration as root alone, there is none.
#[test]
fn a_configuration_that_nobody_but_root_can_read_makes_no_daemon_of_roots() {
    let root = router("no-lending", FRESH);
    root.write("sbin/ujail", "", 0o755);
    root.write("etc/config/diswall", "config diswall 'main'\n", 0o600);
    root.write("etc/group", "root:x:0:\n", 0o644);
    assert!(!sh(&root, "/bin/sh /etc/rc.common /etc/init.d/diswall start"));
    let log = root.read("log");
    assert!(calls(&log, "logger").iter().any(|said| said.contains("the daemon is not started")), "{log}");
    assert!(log.contains("diswall rules --write") && !log.contains("procd_open_instance"), "{log}");
    assert!(!root.exists("var/run/diswall/config") && !root.exists("var/run/diswall/config.new"));
}

#[test]
fn without_a_configuration_the_daemon_is_in_its_jail_all_the_same() {
    let root = router("no-config", FRESH);
    root.write("sbin/ujail", "", 0o755);
    fs::remove_file(root.0.join("etc/config/diswall")).unwrap();
    service(&root, "start");
    let log = root.read("log");
    assert!(log.contains("procd_set_param user diswall") && !log.contains("runs as root"), "{log}");
}

/// What rules have put into the kernel goes once the daemon, which would put it back, is gone. A stop alone is no end: it may
/// be the half of a restart.
#[test]
fn switched_off_it_starts_nothing_and_leaves_nothing_in_the_kernel() {
    let root = router("off", FRESH);
    service(&root, "start");
    root.write("log", "", 0o644);
    service(&root, "stop");
    assert!(!root.read("log").contains("rules"), "{}", root.read("log"));
    sh(&root, "uci set diswall.main.enabled=0");
    for action in ["reload", "start", "stop"] {
        root.write("log", "", 0o644);
        service(&root, action);
        let log = root.read("log");
        assert!(log.contains("diswall rules --write"), "the real one takes the file away: {log}");
        assert!(!log.contains("procd_open_instance"), "{log}");
        let lines: Vec<&str> = log.lines().map(str::trim).collect();
        let at = |line: &str| lines.iter().rposition(|found| *found == line);
        let ended = if action == "stop" { at("procd_kill") } else { at("start_service ended") };
        assert!(ended.is_some() && ended < at("diswall rules --clear"), "{action}: {log}");
    }
}

/// procd says "Command failed" of a service that it does not have, and the package manager stops what it removes once more.
#[test]
fn a_second_stop_asks_procd_for_nothing_that_it_does_not_have() {
    let root = router("second-stop", FRESH);
    root.write("bin/ubus", include_str!("standins/router"), 0o755);
    for knows in [true, false] {
        if knows {
            root.write("answers/ubus-knows", "", 0o644);
        } else {
            fs::remove_file(root.0.join("answers/ubus-knows")).unwrap();
        }
        for action in ["stop", "withdraw"] {
            root.write("log", "", 0o644);
            service(&root, action);
            assert_eq!(root.read("log").contains("procd_kill"), knows, "{action}: {}", root.read("log"));
        }
    }
}

/// Whatever the text names that is in force stays; what a former one named goes once fw4 has loaded the new one.
#[test]
fn what_former_rules_left_goes_once_the_new_ones_are_loaded() {
    let root = router("former", FRESH);
    root.write("var/run/fw4.state", "", 0o644);
    service(&root, "start");
    let log = root.read("log");
    let order = ["diswall rules --write", "firewall reload", "diswall rules --clear"];
    let at: Vec<Option<usize>> = order.iter().map(|line| log.lines().position(|found| found.trim() == *line)).collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{at:?} in\n{log}");
    // A firewall that has not loaded them has the former in force.
    root.write("answers/firewall", "1", 0o644);
    root.write("log", "", 0o644);
    service(&root, "start");
    assert!(!root.read("log").contains("rules --clear"), "{}", root.read("log"));
}

/// The include's section goes with the package, and what its owner has in hand stays in his.
#[test]
fn changes_of_the_firewall_that_are_not_committed_stay_so_at_the_removal() {
    for (staged, commits) in [("", 1), ("firewall.wan.input='ACCEPT'\n", 0)] {
        let root = router("staged", &format!("{FRESH}firewall.diswall=include\n"));
        root.write("staged", staged, 0o644);
        service(&root, "withdraw");
        let log = root.read("log");
        assert!(!root.read("uci").contains("firewall.diswall"), "{}", root.read("uci"));
        assert_eq!(log.matches("committed firewall").count(), commits, "{log}");
        assert_eq!(log.contains("uci commit firewall"), commits == 0, "{log}");
    }
}

#[test]
fn removal_leaves_nothing_and_an_upgrade_everything() {
    let root = router("remove", &format!("{FRESH}firewall.diswall=include\nfirewall.diswall.type=nftables\n"));
    root.write("var/run/fw4.state", "", 0o644);
    root.write("etc/diswall/taken-over", "turris\n", 0o644);
    service(&root, "start");
    root.write("log", "", 0o644);
    root.write("var/lib/diswall/ledger", "", 0o600);
    for script in ["prerm", "postrm"] {
        sh(&root, &format!("PKG_UPGRADE=1 /scripts/{script} upgrade"));
    }
    assert_eq!(root.read("log"), "", "an upgrade takes protection down");
    assert!(root.exists("var/run/diswall/fw4/diswall.nft") && root.exists("var/lib/diswall/ledger"));
    assert!(root.read("etc/passwd").contains("diswall"));

    // rc.common is the interpreter of the service's script on a router; here it is called by name.
    let prerm = root.read("scripts/prerm").replace("/etc/init.d/diswall", "/bin/sh /etc/rc.common /etc/init.d/diswall");
    root.write("scripts/prerm", &prerm, 0o755);
    for script in ["prerm", "postrm"] {
        sh(&root, &format!("/scripts/{script} remove"));
    }
    assert!(!root.exists("var/run/diswall") && !root.exists("etc/diswall") && !root.exists("var/lib/diswall"));
    assert!(!root.read("etc/passwd").contains("diswall") && !root.read("etc/group").contains("diswall"));
    assert!(!root.read("uci").contains("firewall.diswall"));
    let log = root.read("log");
    let order = ["procd_kill", "firewall reload", "diswall rules --clear --delete", "rpcd reload"];
    let at: Vec<Option<usize>> = order.iter().map(|line| log.lines().position(|found| found.trim() == *line)).collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{at:?} in\n{log}");
}

#[test]
fn the_luci_application_goes_where_the_web_server_looks() {
    let scratch = Scratch::new("luci");
    let package = recipe::read_luci(&crate::root().join("luci-app").to_string_lossy(), "1.2.3").unwrap();
    fs::write(scratch.0.join("luci.ipk"), ipk::build(&package, TIME).unwrap()).unwrap();
    assert_eq!(ipk::file_name(&package), "luci-app-diswall_1.2.3-r1_all.ipk");
    printed(Command::new("tar").args(["-xzf", "luci.ipk"]).current_dir(&scratch.0));
    let data = listing(&scratch.0.join("data.tar.gz"));
    for path in [
        "www/luci-static/resources/view/diswall/overview.js",
        "usr/share/luci/menu.d/luci-app-diswall.json",
        "usr/share/rpcd/acl.d/luci-app-diswall.json",
    ] {
        assert!(data.contains(&format!("-rw-r--r-- 0/0 ./{path}")), "no {path} in {data:?}");
    }
    assert!(package.depends.contains(&"diswall".to_owned()), "{:?}", package.depends);
    // Every directory below LuCI's own that only our files were in goes with them.
    let postrm = package.scripts.get("postrm").expect("a script for the removal");
    for file in package.files.iter().filter(|file| file.path.contains("/diswall/")) {
        let (directory, _) = file.path.rsplit_once('/').unwrap();
        assert!(postrm.contains(&format!("/{directory}")), "{directory} stays: {postrm}");
    }
}

/// The judge is a real apk 3, which no Debian has: APK names it.
#[test]
#[ignore = "needs apk 3: APK=/path/to/apk"]
fn the_index_is_what_apk_makes_itself() {
    let real = std::env::var_os("APK").expect("APK names apk 3");
    let scratch = Scratch::new("index");
    let package = package(&scratch);
    let built = apk::build(&package, TIME).unwrap();
    let file = scratch.0.join(apk::file_name(&package));
    fs::write(&file, &built.content).unwrap();
    fs::write(scratch.0.join("packages.adb"), apk::index(&[(&package, &built)], TIME, None).unwrap()).unwrap();
    let run = |args: &[&str], file: &str| {
        printed(Command::new(&real).args(args).arg("--allow-untrusted").arg(file).current_dir(&scratch.0))
    };
    run(&["mkndx", "--output", "theirs.adb"], &file.to_string_lossy());
    let said = |index: &str| run(&["adbdump"], index).lines().filter(|line| !line.starts_with('#')).collect::<String>();
    assert_eq!(said("packages.adb"), said("theirs.adb"));
    assert!(said("theirs.adb").contains("file-size"));
}

#[test]
fn the_feed_takes_every_part_of_the_workspace_along() {
    let read = |path: &str| fs::read_to_string(crate::root().join(path)).unwrap();
    let manifest = read("Cargo.toml");
    let (_, members) = manifest.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    for member in members.split(", ").map(|member| member.trim_matches('"')) {
        assert!(read("openwrt/Makefile").contains(&format!("$(CHECKOUT)/{member} ")), "cargo would look for {member}");
    }
}

/// Keys as CONTRIBUTING.md says to make them.
fn keys(scratch: &Scratch) -> sign::Keys {
    let in_place = |program: &str, args: &[&str]| printed(Command::new(program).args(args).current_dir(&scratch.0));
    in_place("signify-openbsd", &["-G", "-n", "-c", "diswall", "-p", "usign.pub", "-s", "usign.sec"]);
    in_place("openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "apk.pem"]);
    in_place("openssl", &["ec", "-in", "apk.pem", "-pubout", "-out", "apk.pub"]);
    sign::Keys::of(&scratch.0.to_string_lossy()).unwrap()
}

#[test]
fn the_index_of_opkg_is_signed_for_usign() {
    let scratch = Scratch::new("usign");
    let keys = keys(&scratch);
    scratch.write("Packages", "Package: diswall\n", 0o644);
    keys.sign_for_opkg(&scratch.0.join("Packages")).unwrap();
    let check = || {
        let mut signify = Command::new("signify-openbsd");
        signify.args(["-V", "-q", "-p", "usign.pub", "-m", "Packages", "-x", "Packages.sig"]);
        signify.current_dir(&scratch.0).status().unwrap().success()
    };
    assert!(check());
    scratch.write("Packages", "Package: diswell\n", 0o644);
    assert!(!check());
}

/// The judge is openssl, by which apk verifies. The same content is signed the same, so that a release can be made again.
#[test]
fn the_index_of_apk_is_signed_without_chance() {
    const SCHEMA: &[u8; 4] = b"xidn";
    let scratch = Scratch::new("apk-signature");
    let keys = keys(&scratch);
    let signed = keys.sign_for_apk(SCHEMA, b"an index").unwrap();
    assert!(signed == keys.sign_for_apk(SCHEMA, b"an index").unwrap());
    // Four bytes of the block's own, two of version and kind, and the key's name; the block is filled up at its end.
    let (header, signature) = signed[4..].split_at(18);
    let length = 2 + usize::from(signature[1]);
    fs::write(scratch.0.join("signature"), &signature[..length]).unwrap();
    let verified = |content: &[u8]| {
        let digest = tools::sha512(content).unwrap();
        fs::write(scratch.0.join("signed"), [SCHEMA, header, &digest].concat()).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["dgst", "-sha512", "-verify", "apk.pub", "-signature", "signature", "signed"]);
        openssl.current_dir(&scratch.0).output().unwrap().status.success()
    };
    assert!(verified(b"an index"));
    assert!(!verified(b"an other"));
}

/// The judge is a real apk 3, which no Debian has: APK names it.
#[test]
#[ignore = "needs apk 3: APK=/path/to/apk"]
fn the_index_of_apk_is_signed_as_apk_trusts_it() {
    let real = std::env::var_os("APK").expect("APK names apk 3");
    let scratch = Scratch::new("apk-key");
    let keys = keys(&scratch);
    let package = package(&scratch);
    let built = apk::build(&package, TIME).unwrap();
    fs::create_dir_all(scratch.0.join("keys")).unwrap();
    let verified = |index: &str, content: &[u8]| {
        fs::write(scratch.0.join(index), content).unwrap();
        let mut apk = Command::new(&real);
        apk.args(["--keys-dir", &scratch.0.join("keys").to_string_lossy(), "verify", index]).current_dir(&scratch.0);
        apk.output().unwrap().status.success()
    };
    let signed = apk::index(&[(&package, &built)], TIME, Some(&keys)).unwrap();
    assert!(!verified("stranger.adb", &signed), "nobody trusts this key yet");
    fs::copy(scratch.0.join("apk.pub"), scratch.0.join("keys/diswall.pem")).unwrap();
    assert!(verified("signed.adb", &signed));
    assert!(!verified("unsigned.adb", &apk::index(&[(&package, &built)], TIME, None).unwrap()));
}

/// The judge is LuCI's own `po2lmo`, where there is one: PO2LMO names it.
#[test]
fn the_translation_is_a_package_of_its_own() {
    let scratch = Scratch::new("i18n");
    let directory = crate::root().join("luci-app");
    let packages = recipe::read_translations(&directory.to_string_lossy(), "1.2.3").unwrap();
    let package = packages.iter().find(|package| package.name == "luci-i18n-diswall-cs").expect("Czech");
    assert!(package.depends.contains(&"luci-app-diswall".to_owned()), "{:?}", package.depends);
    let paths: Vec<&str> = package.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["etc/uci-defaults/luci-i18n-diswall-cs", "usr/lib/lua/luci/i18n/diswall.cs.lmo"]);
    assert_eq!(package.files[0].content, "uci set luci.languages.cs='Čeština (Czech)'; uci commit luci\n".as_bytes());
    if let Some(po2lmo) = std::env::var_os("PO2LMO") {
        printed(Command::new(po2lmo).arg(directory.join("po/cs/diswall.po")).arg(scratch.0.join("cs.lmo")));
        assert!(fs::read(scratch.0.join("cs.lmo")).unwrap() == package.files[1].content, "po2lmo makes other bytes");
    }
}
