//! Routers that lack something: parts of the kernel, fw4, room on the flash, a writable `/etc`, a system
//! log. What is missing is told in log and `status`, and everything else works.
//!
//! A kernel without a part is made by `tests/parts/lacking.py`: the answers are those of the real kernel to
//! messages for a part that it does not have. File systems are the real ones, in a mount namespace.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Daemon, Mount, Netns, Proc, nft, nft_set_elements, own_mounts, run, try_nft, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);
const LOCAL: &str = "\toption local_only '1'";
const BLOCK: &str = "config block\n\toption ip '203.0.113.0/24'\n";

/// The command, on a kernel without `parts`.
fn without(parts: &[&str], command: &Command) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parts/lacking.py");
    let mut lacking = Command::new("/usr/bin/python3");
    lacking.arg(script).args(parts).arg("--").arg(command.get_program()).args(command.get_args());
    lacking
}

/// Starts the daemon on a kernel without `parts`.
fn start_without(parts: &[&str], daemon: &mut Daemon) {
    let run = daemon.as_installed();
    daemon.spawn(&without(parts, &run));
    daemon.wait_answering();
}

/// Exit status and everything printed.
fn exit(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Waits until `status` has a problem of this key that says `text`; gives the status.
#[track_caller]
fn wait_problem(daemon: &Daemon, key: &str, text: &str) -> Value {
    wait_until(DEADLINE, &format!("{key} says {text:?}"), || {
        let status = daemon.status();
        status["problems"]
            .as_array()
            .expect("problems")
            .iter()
            .any(|problem| problem["key"] == key && problem["text"].as_str().is_some_and(|said| said.contains(text)))
    });
    daemon.status()
}

/// That part is broken, says what is lost and what to do, and the whole is as bad as that.
#[track_caller]
fn assert_broken(daemon: &Daemon, part: &str) {
    let status = daemon.status();
    let parts = status["parts"].as_array().expect("parts");
    let found = parts.iter().find(|each| each["name"] == part).unwrap_or_else(|| panic!("no part {part}: {status}"));
    assert_eq!(found["state"], "broken", "{status}");
    assert!(["why", "lost", "remedy"].iter().all(|key| found[*key].is_string()), "{found}");
    assert_eq!(status["state"], "degraded", "{status}");
    let (code, said) = daemon.exit(&["status"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("Protected in part") && said.contains(found["why"].as_str().expect("text")), "{said}");
}

#[test]
fn a_kernel_without_nf_tables_is_named_and_the_rest_works() {
    for part in ["nfnetlink", "10"] {
        let _netns = Netns::enter();
        let mut daemon = Daemon::prepare(LOCAL, BLOCK);
        start_without(&[part], &mut daemon);
        let status = wait_problem(&daemon, "firewall", "kmod-nft-core");
        assert_eq!(status["state"], "unprotected", "{part}: {status}");
        daemon.process().stderr_with("kmod-nft-core", DEADLINE);
        daemon.cli(&["block", "198.51.100.9", "--timeout", "60"]);
        assert_eq!(daemon.exit(&["check", "198.51.100.9"]).0, Some(0), "{part}");
        for rules in ["--write", "--load"] {
            let (status, said) = exit(without(&[part], &daemon.command(&["rules", rules])));
            assert_eq!(status, Some(4), "{part} {rules}: {said}");
        }
        assert!(daemon.stop(DEADLINE).success());
    }
}

#[test]
fn a_kernel_without_conntrack_over_netlink_still_blocks() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::prepare(LOCAL, BLOCK);
    daemon.load_rules();
    start_without(&["1"], &mut daemon);
    wait_problem(&daemon, "disconnect", "kmod-nf-conntrack-netlink");
    assert_broken(&daemon, "disconnect");
    daemon.cli(&["block", "198.51.100.9", "--timeout", "60"]);
    wait_until(DEADLINE, "the ban", || nft_set_elements("diswall_manual4").contains_key("198.51.100.9"));
    let (status, said) = daemon.exit(&["kick", "198.51.100.9"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("kmod-nf-conntrack-netlink"), "{said}");
}

#[test]
fn a_kernel_without_nflog_still_blocks() {
    let _netns = Netns::enter();
    let mut daemon = Daemon::prepare(LOCAL, BLOCK);
    daemon.load_rules();
    start_without(&["4"], &mut daemon);
    let status = wait_problem(&daemon, "nflog", "kmod-nfnetlink-log");
    assert_broken(&daemon, "scan");
    assert_eq!(status["scan"]["state"], "error", "{status}");
    wait_until(DEADLINE, "the block", || nft_set_elements("diswall_manual4").contains_key("203.0.113.0/24"));
}

/// What the kernel has no modules for is left out of the rules; the block sets are looked up all the same.
#[test]
fn rules_that_the_kernel_cannot_do_are_left_out_and_said() {
    for (part, said_by_rules, said_by_status, broken) in [
        ("nft:log", "kmod-nfnetlink-log", "look for scans", "scan"),
        ("nft:dynset", "scan detection", "keep ended connections from coming back", "disconnect"),
        ("chain:nat", "kmod-nft-nat", "keep ended connections from coming back", "disconnect"),
    ] {
        let _netns = Netns::enter();
        let mut daemon = Daemon::prepare(LOCAL, BLOCK);
        let (status, said) = exit(without(&[part], &daemon.command(&["rules", "--load"])));
        assert_eq!(status, Some(0), "{part}: {said}");
        assert!(said.contains(said_by_rules), "{part}: {said}");
        daemon.run();
        wait_problem(&daemon, "firewall", said_by_status);
        assert_broken(&daemon, broken);
        daemon.process().stderr_with(said_by_status, DEADLINE);
        wait_until(DEADLINE, "the block", || nft_set_elements("diswall_manual4").contains_key("203.0.113.0/24"));
        assert!(nft(&["list", "chain", "inet", "fw4", "diswall_from4"]).contains("@diswall_dynfw4"), "{part}");

        // With the modules there, the next load brings the rest, and `status` knows.
        assert_eq!(daemon.exit(&["rules", "--load"]), (Some(0), String::new()), "{part}");
        wait_until(DEADLINE, "no problem any more", || {
            !daemon.status()["problems"].to_string().contains(said_by_status)
        });
    }
}

/// iptables alone: no fw4, and neither its table nor, at first, nft.
#[test]
fn a_router_without_fw4_is_told_and_can_load_rules_of_its_own() {
    let _netns = Netns::enter();
    own_mounts();
    let mut daemon = Daemon::prepare(LOCAL, BLOCK);
    let no_nft = Mount::bind(Path::new("/dev/null"), Path::new("/usr/sbin/nft"));
    for rules in ["--write", "--load"] {
        let (status, said) = daemon.exit(&["rules", rules]);
        assert_eq!(status, Some(4), "{said}");
        assert!(said.contains("nft cannot be run"), "{said}");
    }
    drop(no_nft);
    daemon.run();
    let status = wait_problem(&daemon, "firewall", "no nftables table 'inet fw4'");
    assert_eq!(status["state"], "unprotected", "{status}");
    daemon.process().stderr_with("no nftables table", DEADLINE);

    assert_eq!(daemon.exit(&["rules", "--load"]), (Some(0), String::new()));
    wait_until(DEADLINE, "protection", || daemon.status()["state"] == "local");
    wait_until(DEADLINE, "the block", || nft_set_elements("diswall_manual4").contains_key("203.0.113.0/24"));
    // Again, and nothing is lost; switched off, and nothing is left.
    assert_eq!(daemon.exit(&["rules", "--load"]), (Some(0), String::new()));
    assert!(nft_set_elements("diswall_manual4").contains_key("203.0.113.0/24"));
    daemon.stop(DEADLINE);
    daemon.configure("\toption enabled '0'", BLOCK);
    assert_eq!(daemon.exit(&["rules", "--load"]), (Some(0), String::new()));
    assert_eq!(nft(&["list", "ruleset"]), "", "no table either");
}

/// The daemon with everything it has on a flash of its own, which is then full or read-only.
fn on_flash(spoil: impl Fn(&Mount)) {
    let _netns = Netns::enter();
    own_mounts();
    let mut daemon = Daemon::prepare(LOCAL, BLOCK);
    let flash = Mount::tmpfs("size=64k", daemon.directory());
    daemon.configure(LOCAL, BLOCK);
    daemon.load_rules();
    daemon.run();
    wait_until(DEADLINE, "the block", || nft_set_elements("diswall_manual4").contains_key("203.0.113.0/24"));
    let before = std::fs::read(daemon.config()).expect("the configuration");
    spoil(&flash);

    for change in [
        &["allow", "198.51.100.1"][..],
        &["block", "198.51.100.2", "--comment", "farm"],
        &["unblock", "203.0.113.0/24"],
    ] {
        let (status, said) = daemon.exit(change);
        assert_eq!(status, Some(1), "{change:?}: {said}");
        assert!(said.contains(&daemon.directory().display().to_string()), "names no file: {said}");
        assert!(said.contains("nothing was changed"), "{said}");
        assert_eq!(std::fs::read(daemon.config()).expect("the configuration"), before, "{change:?}");
    }
    assert!(!daemon.path(".diswall.diswall-new").exists());
    // What needs no file goes on.
    daemon.cli(&["block", "198.51.100.3", "--timeout", "600"]);
    daemon.cli(&["block", "198.51.100.40", "--timeout", "600"]);
    wait_until(DEADLINE, "the ban", || nft_set_elements("diswall_manual4").contains_key("198.51.100.3"));
    daemon.cli(&["unblock", "198.51.100.40"]);
    daemon.cli(&["allow", "198.51.100.5", "--timeout", "600"]);
    wait_until(DEADLINE, "the allowance", || nft_set_elements("diswall_allow4").contains_key("198.51.100.5"));

    assert!(daemon.stop(DEADLINE).success());
    daemon.process().stderr_with("bans cannot be kept over a restart", DEADLINE);
    assert!(!daemon.path("state/ledger").exists(), "half a snapshot");
}

#[test]
fn a_full_overlay_keeps_its_configuration_and_blocks_go_on() {
    on_flash(|flash| {
        flash.fill();
    });
}

#[test]
fn a_read_only_overlay_keeps_its_configuration_and_blocks_go_on() {
    on_flash(|flash| flash.again("ro"));
}

#[test]
fn a_state_directory_without_room_is_told_at_the_start() {
    for (spoil, text) in [("full", "full file system"), ("ro", "read-only file system")] {
        let _netns = Netns::enter();
        own_mounts();
        let mut daemon = Daemon::prepare(LOCAL, BLOCK);
        let flash = Mount::tmpfs("size=16k", &daemon.state_dir());
        match spoil {
            "full" => drop(flash.fill()),
            options => flash.again(options),
        }
        daemon.load_rules();
        daemon.run();
        wait_problem(&daemon, "state_dir", text);
        assert_broken(&daemon, "keep");
        daemon.process().stderr_with(text, DEADLINE);
        // Room again: the next copy is written and the warning goes.
        match spoil {
            "full" => std::fs::remove_file(daemon.state_dir().join("fill")).expect("room"),
            _ => flash.again("rw"),
        }
        daemon.reload();
        wait_until(DEADLINE, "no warning", || daemon.status()["problems"].as_array().is_some_and(Vec::is_empty));
        daemon.cli(&["block", "198.51.100.3", "--timeout", "600"]);
        daemon.stop(DEADLINE);
        assert!(daemon.state_dir().join("ledger").exists());
        daemon.run();
        wait_until(DEADLINE, "no warning", || daemon.status()["problems"].as_array().is_some_and(Vec::is_empty));
        assert_eq!(daemon.exit(&["check", "198.51.100.3"]).0, Some(0));
        let _ = daemon.stop(DEADLINE);
    }
}

#[test]
fn the_rules_on_a_full_disk_leave_no_half_of_a_file() {
    let _netns = Netns::enter();
    own_mounts();
    let daemon = Daemon::prepare(LOCAL, BLOCK);
    let run_directory = Mount::tmpfs("size=64k", Path::new("/run"));
    assert_eq!(daemon.exit(&["rules", "--write"]), (Some(0), String::new()));
    let file = Path::new("/run/diswall/fw4/diswall.nft");
    let old = std::fs::read(file).expect("the rules");
    daemon.configure("\toption local_only '1'\n\toption action 'reject'", BLOCK);
    let fill = run_directory.fill();
    let (status, said) = daemon.exit(&["rules", "--write"]);
    assert_eq!(status, Some(4), "{said}");
    assert!(said.contains("diswall.nft.new") && said.contains("No space left"), "{said}");
    assert_eq!(std::fs::read(file).expect("the rules"), old);
    assert!(!Path::new("/run/diswall/fw4/diswall.nft.new").exists());
    std::fs::remove_file(fill).expect("room");
    assert_eq!(daemon.exit(&["rules", "--write"]), (Some(0), String::new()));
    assert!(try_nft(&["-c", "-f", "/run/diswall/fw4/diswall.nft"]).is_ok());
}

/// Who can open what is locked can lock it, too: that is root alone.
#[test]
fn nobody_else_keeps_root_from_writing_the_rules() {
    let _netns = Netns::enter();
    own_mounts();
    let daemon = Daemon::prepare(LOCAL, BLOCK);
    let _run_directory = Mount::tmpfs("size=64k", Path::new("/run"));
    assert_eq!(daemon.exit(&["rules", "--write"]), (Some(0), String::new()));
    // Holds the directory, and each thing in it that others may open.
    let others = "import fcntl, glob, os, signal\n\
                  held = []\n\
                  for name in ['/run/diswall/fw4'] + glob.glob('/run/diswall/fw4/*'):\n    \
                      try: held.append(os.open(name, os.O_RDONLY)); fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)\n    \
                      except PermissionError: pass\n\
                  print(len(held), flush=True)\n\
                  signal.pause()\n";
    let mut holder = std::process::Command::new("setpriv");
    holder.args(["--reuid", "65534", "--clear-groups", "--pdeathsig", "KILL", "/usr/bin/python3", "-c", others]);
    let holder = Proc::spawn(&holder);
    assert_eq!(holder.line(DEADLINE), "3", "the directory, the rules and the extract, and not the lock");
    assert_eq!(daemon.exit(&["rules", "--write"]), (Some(1), String::new()));
}

#[test]
fn without_a_system_log_the_lines_go_to_standard_error() {
    let _netns = Netns::enter();
    own_mounts();
    let mut daemon = Daemon::prepare(LOCAL, BLOCK);
    daemon.load_rules();
    let devices = daemon.path("dev");
    std::fs::create_dir(&devices).expect("a directory");
    run("mknod", &["-m", "666", &devices.join("null").to_string_lossy(), "c", "1", "3"]);
    let _dev = Mount::bind(&devices, Path::new("/dev"));
    daemon.spawn(&daemon.command(&["run"]));
    daemon.wait_answering();
    wait_problem(&daemon, "log", "standard error");
    assert_broken(&daemon, "log");
    daemon.process().stderr_with("block list taken", DEADLINE);
}
