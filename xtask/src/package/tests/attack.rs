//! The daemon's account against root's scripts: whatever it puts under whatever name it can make, what is
//! outside of its own directories keeps owner, mode, and content.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{FRESH, Scratch, calls, router};

const ACCOUNT: u32 = 914;

/// What the daemon's account, got hold of by somebody, plants: every kind of thing under every name that
/// root's side uses or that a pattern of its could match, wherever it can.
const PLANT: &str = r#"
for place in /etc/diswall /etc/diswall/kept /var/lib/diswall /var/run /var/run/diswall /var/run/diswall/daemon \
	/var/run/diswall/fw4 /var/lock /srv/diswall-state; do
	[ -w "$place" ] || continue
	for name in ledger ledger.new ledger.damaged ledger.pwn dynfw.key dynfw.new record record.new control.sock daemon \
		fw4 diswall diswall.0 diswall.nft diswall.nft.new diswall.nft.rejected taken-over diswall.conf last-good \
		last-good.new kept procd_diswall.lock .hidden "a b" '*' -rf; do
		at="$place/$name"
		rm -rf "$at" 2>/dev/null
		case "$KIND" in
		link) ln -s /srv/secret "$at" ;;
		way) ln -s /srv/others "$at" ;;
		up) ln -s ../../../srv/others/deep "$at" ;;
		second) ln /srv/secret "$at" ;;
		fifo) mkfifo "$at" ;;
		directory) mkdir "$at" && ln -s /srv/others "$at/kept" && ln -s /srv/secret "$at/ledger" && ln -s / "$at/root" ;;
		esac 2>/dev/null
	done
done
exit 0
"#;

const KINDS: [&str; 6] = ["link", "way", "up", "second", "fifo", "directory"];

/// Runs a script in the root as somebody; what waits for ever is ended, and is a failure.
fn run_as(root: &Scratch, who: u32, kind: &str, script: &str) {
    let mut command = Command::new("timeout");
    command.args(["30", "chroot", &format!("--userspec={who}:{who}"), "--groups="]).arg(&root.0);
    let output = command.args(["/bin/busybox", "ash", "-c", script]).env("KIND", kind).output().unwrap();
    assert_ne!(output.status.code(), Some(124), "it waits for ever ({kind}): {script}");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!complaint.contains("not found") && !complaint.contains("syntax error"), "{complaint}");
}

fn hashed(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Owner, mode and content of everything below, links not followed.
fn look(place: &Path, found: &mut BTreeMap<String, String>) {
    let metadata = fs::symlink_metadata(place).unwrap();
    let kind = metadata.file_type();
    let content = match () {
        () if kind.is_symlink() => format!("{:?}", fs::read_link(place).unwrap()),
        () if kind.is_file() => format!("{:?}", hashed(&fs::read(place).unwrap())),
        () => format!("directory {} fifo {}", kind.is_dir(), kind.is_fifo()),
    };
    let text = format!("{}:{} {:o} {content}", metadata.uid(), metadata.gid(), metadata.mode());
    found.insert(place.display().to_string(), text);
    if kind.is_dir() {
        for entry in fs::read_dir(place).unwrap() {
            look(&entry.unwrap().path(), found);
        }
    }
}

/// All that is none of the daemon's account's, nor changes by right.
fn outside(root: &Scratch) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for place in ["srv/secret", "srv/others", "root", "etc/shadow", "etc/init.d", "usr", "bin"] {
        look(&root.0.join(place), &mut found);
    }
    found
}

fn prepare(name: &str, settings: &str) -> Scratch {
    let root = router(name, &format!("{FRESH}{settings}"));
    root.write("sbin/ujail", "", 0o755);
    root.write("srv/secret", "root's own", 0o600);
    root.write("srv/others/deep/file", "another's", 0o640);
    root.write("srv/others/ledger", "another's", 0o644);
    root.write("root/.ssh/authorized_keys", "key", 0o600);
    root.write("etc/shadow", "root:hash\ndiswall:x\n", 0o600);
    fs::create_dir_all(root.0.join("var/lock")).unwrap();
    fs::set_permissions(root.0.join("var/lock"), fs::Permissions::from_mode(0o1777)).unwrap();
    // rc.common is the interpreter of the service's script on a router; here it is called by name.
    let prerm = root.read("scripts/prerm").replace("/etc/init.d/diswall", "/bin/sh /etc/rc.common /etc/init.d/diswall");
    root.write("scripts/prerm", &prerm, 0o755);
    root
}

/// As the first version left a router: the account can write into what is root's now.
fn make_it_an_old_one(root: &Scratch) {
    for (place, owner, mode) in [("var/run/diswall", 0, 0o1775), ("etc/diswall", ACCOUNT, 0o755)] {
        let place = root.0.join(place);
        fs::create_dir_all(&place).unwrap();
        chown(&place, Some(owner), Some(ACCOUNT)).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
    }
    root.write("var/run/diswall/fw4/diswall.nft", "# old rules\n", 0o644);
    root.write("etc/diswall/taken-over", "turris\n", 0o644);
    root.write("etc/diswall/diswall.conf", "[nats]\nserver = \"nats.example\"\n", 0o644);
}

/// Each thing that root ever does on a router.
const STEPS: [(&str, &str); 9] = [
    ("install", "( . /etc/uci-defaults/60_diswall ); . /scripts/postinst"),
    ("start", "/bin/sh /etc/rc.common /etc/init.d/diswall start"),
    ("reload", "/bin/sh /etc/rc.common /etc/init.d/diswall reload"),
    ("upgrade, before", "PKG_UPGRADE=1 /scripts/prerm upgrade"),
    (
        "upgrade, after",
        "( . /etc/uci-defaults/60_diswall ); PKG_UPGRADE=1 /scripts/postrm upgrade; . /scripts/postinst",
    ),
    ("start after it", "/bin/sh /etc/rc.common /etc/init.d/diswall start"),
    ("withdraw", "/bin/sh /etc/rc.common /etc/init.d/diswall withdraw"),
    ("start again", "/bin/sh /etc/rc.common /etc/init.d/diswall start"),
    ("removal", "/scripts/prerm remove; rm -r /etc/init.d/diswall; /scripts/postrm remove"),
];

fn attack(name: &str, settings: &str, old: bool) {
    for kind in KINDS {
        let root = prepare(&format!("{name}-{kind}"), settings);
        if old {
            make_it_an_old_one(&root);
        }
        let mut before = outside(&root);
        for (step, script) in STEPS {
            run_as(&root, ACCOUNT, kind, PLANT);
            assert_eq!(outside(&root), before, "planting itself changes nothing ({kind})");
            run_as(&root, 0, kind, script);
            if step == "removal" {
                // The scripts take the account's line and the service's script away by right.
                root.write("etc/shadow", "root:hash\ndiswall:x\n", 0o600);
                before.retain(|path, _| !path.ends_with("init.d/diswall"));
            }
            assert_eq!(outside(&root), before, "{step}, with a {kind} under every name");
            let mine =
                fs::metadata(root.0.join("etc/diswall")).map(|metadata| (metadata.uid(), metadata.mode() & 0o7777));
            assert!(step == "install" || mine.is_err() || mine.is_ok_and(|found| found == (0, 0o755)), "{step}");
        }
        for place in ["var/run/diswall", "var/lib/diswall", "etc/diswall/kept"] {
            assert!(!root.exists(place), "{place} stays after the removal, with a {kind} in it");
        }
    }
}

#[test]
fn nothing_that_the_account_plants_reaches_what_is_outside() {
    attack("attack", "", false);
}

#[test]
fn nor_in_a_state_dir_of_its_own() {
    attack("attack-state", "diswall.main.state_dir=/srv/diswall-state\n", false);
}

#[test]
fn nor_where_an_earlier_version_gave_it_roots_places() {
    attack("attack-old", "diswall.main.state_dir=/etc/diswall\n", true);
}

/// The daemon's account at work all the time: names change between whatever root looks at and does.
struct Swapping(Child);

impl Swapping {
    fn start(root: &Scratch) -> Swapping {
        let script = "while :; do for place in /var/lib/diswall /var/run/diswall/daemon /etc/diswall/kept; do \
                      for name in ledger ledger.new sub control.sock; do at=$place/$name; mkdir $at; mkdir $at/deep; \
                      rm -rf $at; ln -s /srv/others $at; rm -f $at; ln -s /srv/secret $at; rm -f $at; done; done; done \
                      2>/dev/null";
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "chroot", &format!("--userspec={ACCOUNT}:{ACCOUNT}"), "--groups="]);
        command.arg(&root.0).args(["/bin/busybox", "timeout", "60", "/bin/busybox", "ash", "-c", script]);
        Swapping(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Swapping {
    fn drop(&mut self) {
        // `timeout` hands SIGTERM on to what it has started.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

#[test]
fn names_that_change_all_the_time_are_no_way_out_either() {
    let root = prepare("attack-race", "");
    let before = outside(&root);
    run_as(&root, 0, "", STEPS[1].1);
    let swapping = Swapping::start(&root);
    for _ in 0..12 {
        for step in [2, 1, 6, 1] {
            run_as(&root, 0, "", STEPS[step].1);
        }
    }
    drop(swapping);
    assert_eq!(outside(&root), before);
}

/// What was there before is the owner's, dotfiles too, and is said to be.
#[test]
fn a_state_dir_that_was_not_made_for_diswall_is_left_alone_and_said() {
    for (number, state_dir) in
        ["/root", "/root/", "/etc", "/srv/others", "/srv/link", "/etc/diswall", "/etc/diswall/x", "/tmp/a/b"]
            .into_iter()
            .enumerate()
    {
        let root = prepare(&format!("state-{number}"), &format!("diswall.main.state_dir={state_dir}\n"));
        symlink("/root", root.0.join("srv/link")).unwrap();
        // Somebody was at /tmp before: a way that is not root's.
        fs::create_dir_all(root.0.join("tmp/a")).unwrap();
        chown(root.0.join("tmp/a"), Some(ACCOUNT), Some(ACCOUNT)).unwrap();
        fs::set_permissions(root.0.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        let before = outside(&root);
        for step in [1, 2, 6] {
            run_as(&root, 0, "", STEPS[step].1);
            assert_eq!(outside(&root), before, "{state_dir}");
        }
        let owner = |path: &str| fs::metadata(root.0.join(path)).unwrap().uid();
        assert_eq!((owner("etc"), owner("etc/config")), (0, 0));
        assert!(!root.exists("tmp/a/b") && !root.exists("etc/diswall/x"));
        let log = root.read("log");
        let said = calls(&log, "logger");
        let sentence =
            said.iter().any(|line| line.contains(&format!("state_dir {state_dir}")) && line.contains("not be kept"));
        assert!(sentence, "{state_dir}: {said:?}");
    }
}

/// Root runs and reads what it finds in many a directory as soon as there is one, and what the daemon writes has words of
/// others in it: whoever may write diswall's configuration must not choose among them.
#[test]
fn no_state_dir_is_made_where_root_looks_for_work() {
    for (number, (state_dir, made)) in [
        ("/etc/hotplug.d/queues", false),
        ("/etc/hotplug.d/diswall", false),
        ("/usr/share/nftables.d/diswall/x", false),
        ("/tmp/dnsmasq.d", false),
        ("/tmp/dnsmasq.d/diswall", false),
        ("/srv/state", false),
        ("/srv/link/queues/diswall", false),
        ("/srv/link2/diswall-state", false),
        ("/srv/none/../../etc/hotplug.d/diswall", false),
        ("/www/cgi-bin/diswall", false),
        ("/root/diswall-state", false),
        ("/srv/usb/diswall-state/", true),
        ("/var/lib/diswall2", true),
        ("/tmp/diswall", true),
    ]
    .into_iter()
    .enumerate()
    {
        for jail in [true, false] {
            let root = prepare(&format!("place-{number}-{jail}"), &format!("diswall.main.state_dir={state_dir}\n"));
            if !jail {
                fs::remove_file(root.0.join("sbin/ujail")).unwrap();
            }
            for place in ["etc/hotplug.d", "usr/share/nftables.d", "www/cgi-bin"] {
                fs::create_dir_all(root.0.join(place)).unwrap();
            }
            symlink("/etc/hotplug.d", root.0.join("srv/link")).unwrap();
            symlink("/root", root.0.join("srv/link2")).unwrap();
            run_as(&root, 0, "", STEPS[1].1);
            assert_eq!(root.exists(state_dir.trim_start_matches('/')), made, "{state_dir}");
            assert!(!root.exists("etc/hotplug.d/queues") && !root.exists("root/diswall-state"), "{state_dir}");
            let log = root.read("log");
            assert_eq!(calls(&log, "logger").iter().any(|line| line.contains("not be kept")), !made, "{log}");
        }
    }
}

/// One that the owner gave to the account himself is used, and gives up at the end what is ours alone.
#[test]
fn a_state_dir_that_the_owner_gave_away_keeps_what_is_his() {
    let root = prepare("state-given", "diswall.main.state_dir=/srv/diswall-state\n");
    root.write("srv/diswall-state/photos", "the owner's", 0o644);
    chown(root.0.join("srv/diswall-state"), Some(ACCOUNT), Some(ACCOUNT)).unwrap();
    fs::set_permissions(root.0.join("srv/diswall-state"), fs::Permissions::from_mode(0o700)).unwrap();
    run_as(&root, 0, "", STEPS[1].1);
    assert!(!root.read("log").contains("not be kept"), "{}", root.read("log"));
    root.write("srv/diswall-state/ledger", "", 0o600);
    root.write("srv/diswall-state/list.drop", "dwlist\0\u{2}", 0o600);
    root.write("srv/diswall-state/list.of-photos", "the owner's", 0o600);
    run_as(&root, 0, "", STEPS[6].1);
    assert!(!root.exists("srv/diswall-state/ledger") && root.exists("srv/diswall-state/photos"));
    assert!(!root.exists("srv/diswall-state/list.drop") && root.exists("srv/diswall-state/list.of-photos"));
}
