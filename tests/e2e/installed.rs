//! The daemon as a router runs it. Every other test goes through this door too; here it is the door itself
//! that is looked at, as the kernel shows it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::{ACCOUNT, Daemon, Netns};

/// `Name: value` and the columns of `limits` alike.
fn lines(file: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(file).expect("the process's file");
    let fields = text.lines().filter_map(|line| line.split_once([':', '\t']).or_else(|| line.split_once("  ")));
    fields.map(|(name, value)| (name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" "))).collect()
}

#[test]
fn the_daemon_has_what_procd_and_the_init_script_leave_it() {
    let _netns = Netns::enter();
    let daemon = Daemon::start("\toption local_only '1'", "config login 'login'\n\toption enabled '0'\n");
    let process = format!("/proc/{}", daemon.process().id());
    let file = |name: &str| format!("{process}/{name}");
    assert_eq!(fs::read(file("environ")).expect("its environment"), b"container=ujail\0");
    assert_eq!(fs::read_link(file("cwd")).expect("its directory"), Path::new("/"));

    assert_eq!(fs::read_link(file("fd/0")).expect("its input"), Path::new("/dev/null"));

    let status = lines(&file("status"));
    let net_admin = format!("{:016x}", 1u64 << 12);
    let ids = [ACCOUNT; 4].map(|id| id.to_string()).join(" ");
    for (name, value) in [("Uid", &ids), ("Gid", &ids), ("Groups", &ACCOUNT.to_string()), ("NoNewPrivs", &"1".into())] {
        assert_eq!(&status[name], value, "{name}");
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(status[set], net_admin, "{set}");
    }
    assert_eq!(status["CapAmb"], format!("{:016x}", 0), "what it starts has none of it");
    assert_eq!(status["Umask"], "0022");
    assert_eq!(lines(&file("limits"))["Max open files"], "1024 4096 files");

    // Its directory is made by the script in root's own, its socket by itself.
    assert_eq!(fs::symlink_metadata(daemon.path("run")).expect("root's directory").uid(), 0);
    let socket = fs::symlink_metadata(daemon.path("run/daemon/control.sock")).expect("the socket");
    assert_eq!((socket.uid(), socket.mode() & 0o777), (ACCOUNT, 0o600));
}

#[test]
fn root_can_run_it_too() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::prepare("\toption local_only '1'", "");
    daemon.load_rules();
    daemon.run_as_root();
    assert_eq!(daemon.status()["state"], "local");
}
