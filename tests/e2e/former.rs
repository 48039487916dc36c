//! Rules of a former configuration: whatever they have put into the kernel goes when another prefix, another table or
//! none is configured, and what is somebody else's stays.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{ACCOUNT, DISWALL, Daemon, FW4, Mount, Netns, nft, nft_load, own_mounts, try_nft, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);
const CONFIG: &str = "/etc/config/diswall";
const TEXT: &str = "/run/diswall/fw4/diswall.nft";
const NOTE: &str = "/run/diswall/fw4/loaded";
const LOCAL: &str = "\toption local_only '1'\n";
const BLOCK: &str = "config block\n\toption ip '198.51.100.7'\nconfig login 'login'\n\toption enabled '0'\n";
const LIST: &str = "config list 'more'\n\tlist url '/tmp/none'\n\tlist zone 'lan'\n";

/// The service's files on a machine of the test's own.
struct Machine {
    _mounts: Vec<Mount>,
    daemon: Daemon,
    _netns: Netns,
}

impl Machine {
    fn enter() -> Machine {
        let netns = Netns::enter();
        own_mounts();
        let daemon = Daemon::prepare(LOCAL, BLOCK);
        let etc = daemon.path("etc");
        fs::create_dir_all(etc.join("config")).unwrap();
        for file in ["passwd", "group", "nsswitch.conf", "resolv.conf", "ld.so.cache", "protocols"] {
            let _ = fs::copy(Path::new("/etc").join(file), etc.join(file));
        }
        symlink(daemon.config(), etc.join("config/diswall")).unwrap();
        let mounts = vec![Mount::bind(&etc, Path::new("/etc")), Mount::tmpfs("mode=755", Path::new("/run"))];
        Machine { _mounts: mounts, daemon, _netns: netns }
    }

    /// Other options of `main`, and other sections beside the block.
    fn configure(&self, main: &str, sections: &str) {
        self.daemon.configure(&[LOCAL, main].concat(), &[BLOCK, sections].concat());
    }

    /// What `/etc/init.d/diswall reload` has done, in its order; without fw4 the last step is none of its.
    fn reload(&mut self, fw4: bool) {
        if fw4 {
            let (status, said) = rules(&["--write"]);
            assert!(matches!(status, Some(0 | 1)), "{said}");
            reload_fw4();
            assert_eq!(rules(&["--clear"]), (Some(0), String::new()));
        } else {
            assert_eq!(rules(&["--load"]), (Some(0), String::new()));
        }
    }
}

fn rules(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(DISWALL).arg("rules").args(args).output().expect("diswall runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// As fw4 does it: its own rules anew, with whatever is included, and whatever else is in its table stays.
fn reload_fw4() {
    let ours = fs::read_to_string(TEXT).unwrap_or_default();
    nft_load(&format!("add table inet fw4\nflush table inet fw4\n{FW4}\n{ours}"));
}

fn table(name: &str) -> String {
    try_nft(&["list", "table", "inet", name]).unwrap_or_default()
}

fn blocks(table: &str, set: &str) -> bool {
    try_nft(&["get", "element", "inet", table, set, "{ 198.51.100.7 }"]).is_ok()
}

#[test]
fn a_prefix_that_was_leaves_nothing_in_fw4s_table() {
    let mut machine = Machine::enter();
    let prefix = |name: &str| format!("\toption set_prefix '{name}'\n");
    machine.configure(&prefix("one"), LIST);
    machine.reload(true);
    // Somebody else's, by names that begin as ours.
    nft_load(
        "table inet fw4 {\n set one_mine { type ipv4_addr; }\n chain one_theirs { accept; }\n counter one_x { }\n}",
    );
    machine.daemon.run_by(Path::new(CONFIG));
    wait_until(DEADLINE, "the block", || blocks("fw4", "one_manual4"));
    assert!(table("fw4").contains("one_more4") && table("fw4").contains("one_from.more"));

    // While the daemon runs, and while it does not.
    for (name, runs) in [("two", true), ("three", false), ("four", true)] {
        if !runs {
            machine.daemon.stop(DEADLINE);
        }
        machine.configure(&prefix(name), "");
        machine.reload(true);
        if runs {
            machine.daemon.reload();
        } else {
            machine.daemon.run_by(Path::new(CONFIG));
        }
        wait_until(DEADLINE, "the block by its new name", || blocks("fw4", &format!("{name}_manual4")));
        for former in ["one", "two", "three"].into_iter().filter(|former| *former != name) {
            let left = || -> Vec<String> {
                let words = table("fw4");
                let of_former = words.split_whitespace().filter(|word| word.contains(&format!("{former}_")));
                of_former.map(str::to_owned).collect()
            };
            let expected: &[&str] = if former == "one" { &["one_x", "one_mine", "one_theirs"] } else { &[] };
            wait_until(DEADLINE, &format!("nothing of {former}: {:?}", left()), || left() == expected);
        }
    }
    let rules = table("fw4");
    let mut jumps = rules.lines().filter(|line| line.ends_with("comment \"!diswall\"")).peekable();
    assert!(jumps.peek().is_some() && jumps.all(|line| line.contains("jump four_")), "{rules}");
    assert!(!rules.contains("chain input_lan"), "a chain that was added for a list's zone: {rules}");
}

#[test]
fn without_fw4_a_table_that_was_stops_blocking_and_goes() {
    let mut machine = Machine::enter();
    let named = |name: &str| format!("\toption table '{name}'\n");
    machine.configure(&named("one"), LIST);
    machine.reload(false);
    machine.daemon.run_by(Path::new(CONFIG));
    wait_until(DEADLINE, "the block", || blocks("one", "diswall_manual4"));
    // The owner's own rule goes by a set of ours.
    nft(&["add", "chain", "inet", "one", "mine"]);
    nft(&["add", "rule", "inet", "one", "mine", "ip", "saddr", "@diswall_manual4", "accept"]);
    machine.configure(&named("two"), LIST);
    let (status, said) = rules(&["--load"]);
    assert!(status == Some(0) && said.contains("set one diswall_manual4"), "{said}");
    machine.daemon.reload();
    wait_until(DEADLINE, "the block in the new table", || blocks("two", "diswall_manual4"));
    let left = || table("one").split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    wait_until(DEADLINE, "the set alone", || !left().contains("_dynfw") && !left().contains("hook"));
    assert!(left().contains("set diswall_manual4") && left().contains("chain mine"), "{}", left());
    nft(&["flush", "chain", "inet", "one", "mine"]);
    nft(&["delete", "chain", "inet", "one", "mine"]);
    machine.reload(false);
    assert_eq!(nft(&["list", "tables"]), "table inet two\n");

    // Switched off, nothing is left, and the daemon makes nothing; switched on, all is back.
    machine.configure(&[&named("two"), "\toption enabled '0'\n"].concat(), LIST);
    machine.reload(false);
    machine.daemon.reload();
    wait_until(DEADLINE, "it is off", || machine.daemon.status()["state"] == "off");
    assert_eq!(rules(&["--clear"]), (Some(0), String::new()));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(nft(&["list", "tables"]), "");
    let status = machine.daemon.status();
    assert!(status["problems"].as_array().is_some_and(Vec::is_empty), "{status}");
    machine.configure(&named("two"), LIST);
    machine.reload(false);
    machine.daemon.reload();
    wait_until(DEADLINE, "the block again", || blocks("two", "diswall_manual4"));
}

#[test]
fn switched_off_nothing_is_left_in_fw4s_table() {
    let mut machine = Machine::enter();
    nft_load(FW4);
    let before = table("fw4");
    // With it goes a chain of fw4's that our text has added.
    machine.configure("", LIST);
    machine.reload(true);
    machine.daemon.run_by(Path::new(CONFIG));
    wait_until(DEADLINE, "the block", || blocks("fw4", "diswall_manual4"));
    assert!(table("fw4").contains("chain drop_from_wan"));
    machine.reload(true);
    assert!(blocks("fw4", "diswall_manual4"), "a mere reload leaves what is in force");
    machine.configure("\toption enabled '0'\n", LIST);
    // procd ends it in between.
    machine.reload(true);
    machine.daemon.stop(DEADLINE);
    assert_eq!(rules(&["--clear"]), (Some(0), String::new()));
    assert_eq!(table("fw4"), before);
    assert!(!Path::new(NOTE).exists());
}

/// At the removal, whatever state the firewall is in.
#[test]
fn everything_goes_from_a_firewall_that_is_stopped_or_cannot_be_reloaded() {
    let mut machine = Machine::enter();
    machine.configure("", LIST);
    machine.reload(true);
    nft(&["flush", "ruleset"]);
    assert_eq!(rules(&["--clear", "--delete"]), (Some(0), String::new()));
    assert_eq!(nft(&["list", "ruleset"]), "", "a table that nobody asked for");

    nft_load(FW4);
    let before = table("fw4");
    machine.reload(true);
    assert_ne!(table("fw4"), before);
    assert_eq!(rules(&["--clear", "--delete"]), (Some(0), String::new()));
    assert_eq!(table("fw4"), before, "fw4 was not loaded without our rules");
    // Nor is the configuration needed for what is noted, or the note for what is configured.
    machine.configure("\toption set_prefix 'one'\n", LIST);
    machine.reload(true);
    fs::remove_file(machine.daemon.config()).unwrap();
    fs::remove_file("/etc/diswall/last-good").unwrap();
    assert_eq!(rules(&["--clear", "--delete"]), (Some(0), String::new()));
    assert_eq!(table("fw4"), before);
    machine.configure("", LIST);
    machine.reload(true);
    fs::remove_file(NOTE).unwrap();
    assert_eq!(rules(&["--clear", "--delete"]), (Some(0), String::new()));
    assert_eq!(table("fw4"), before);
}

#[test]
fn a_note_that_others_could_have_written_names_nothing() {
    let mut machine = Machine::enter();
    machine.reload(true);
    nft_load(
        "table inet fw4 {\n set theirs { type ipv4_addr; }\n}\ntable inet theirs {\n set x { type ipv4_addr; }\n}",
    );
    let honest = fs::read_to_string(NOTE).unwrap();
    fs::write(NOTE, [&honest, "set fw4 theirs\nset theirs x\n"].concat()).unwrap();
    chown("/run/diswall/fw4", Some(ACCOUNT), Some(ACCOUNT)).unwrap();
    let said = [rules(&["--clear"]), rules(&["--clear", "--delete"])];
    assert!(table("fw4").contains("set theirs") && table("theirs").contains("set x"), "{said:?}");
    // What the kernel has refused is not noted: it is somebody else's.
    chown("/run/diswall/fw4", Some(0), Some(0)).unwrap();
    fs::write(NOTE, honest).unwrap();
    nft_load("table inet fw4 {\n set taken_manual4 { type inet_service; }\n}");
    machine.configure("\toption set_prefix 'taken'\n", "");
    assert_eq!(rules(&["--write"]).0, Some(4));
    machine.configure("", "");
    machine.reload(true);
    assert!(table("fw4").contains("set taken_manual4"));
}

#[test]
fn what_stays_is_named_once() {
    let mut machine = Machine::enter();
    machine.reload(true);
    for name in ["one", "two"] {
        machine.configure(&format!("\toption set_prefix '{name}'\n"), "");
        machine.reload(true);
    }
    machine.configure("\toption set_prefix 'three'\n", "");
    assert_eq!(rules(&["--write"]).0, Some(0));
    reload_fw4();
    // As fw4 fills a chain of the owner's again, out of a file of his.
    nft(&["add", "chain", "inet", "fw4", "mine"]);
    nft(&["add", "rule", "inet", "fw4", "mine", "ip", "saddr", "@two_manual4", "accept"]);
    for _ in 0..2 {
        let (status, said) = rules(&["--clear"]);
        assert!(status == Some(0) && said.matches("two_manual4").count() == 1, "{said}");
    }
}

/// The daemon goes by the former table until it is told of the new one, and puts its sets back as long as there is one.
#[test]
fn a_table_that_was_goes_with_the_last_set_in_it() {
    let mut machine = Machine::enter();
    machine.configure("\toption table 'one'\n", "");
    machine.reload(true);
    machine.daemon.run_by(Path::new(CONFIG));
    wait_until(DEADLINE, "the block", || blocks("one", "diswall_manual4"));
    machine.configure("", "");
    machine.reload(true);
    let _ = try_nft(&["add", "table", "inet", "one"]);
    wait_until(DEADLINE, "the daemon's set again", || blocks("one", "diswall_manual4"));
    machine.daemon.reload();
    wait_until(DEADLINE, "the block in fw4's table", || blocks("fw4", "diswall_manual4"));
    wait_until(DEADLINE, "fw4's table alone", || nft(&["list", "tables"]) == "table inet fw4\n");
    // One in which somebody else has something stays.
    machine.configure("\toption table 'two'\n", "");
    machine.reload(true);
    machine.daemon.reload();
    wait_until(DEADLINE, "the block in the other table", || blocks("two", "diswall_manual4"));
    nft(&["add", "chain", "inet", "two", "theirs"]);
    machine.configure("", "");
    machine.reload(true);
    machine.daemon.reload();
    wait_until(DEADLINE, "theirs alone", || table("two") == "table inet two {\n\tchain theirs {\n\t}\n}\n");
}
