//! fail2ban's bans through the action file that we ship: Debian's real fail2ban with files of its own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{Daemon, Netns, Proc, nft_set_elements, run, try_run, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);

/// fail2ban's own files: one jail, which bans by our action at the second bad line.
fn configure(directory: &Path, diswall: &str) {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let action = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/fail2ban/diswall.conf");
    write("action.d/diswall.conf", &fs::read_to_string(action).unwrap());
    write("filter.d/door.conf", "[Definition]\nfailregex = ^ bad <HOST>$\n");
    write("fail2ban.conf", "[Definition]\nloglevel = INFO\nlogtarget = STDERR\nsyslogsocket = auto\ndbfile = None\n");
    let jail = format!(
        "[door]\nenabled = true\nfilter = door\nbackend = polling\nlogpath = {}\nmaxretry = 2\nfindtime = 600\n\
         bantime = 600\naction = diswall[name=\"%(__name__)s\", diswall=\"{diswall}\"]\n",
        directory.join("door.log").display()
    );
    write("jail.conf", &jail);
    write("door.log", "");
}

#[test]
fn fail2ban_bans_and_frees_through_the_action_file() {
    let _netns = Netns::enter();
    let daemon = Daemon::start("\toption local_only '1'", "config login 'login'\n\toption enabled '0'\n");
    let directory = daemon.path("fail2ban");
    // The action calls the program without a --config; a wrapper stands for the installed one.
    let wrapper = daemon.path("diswall-here");
    let config = daemon.config();
    fs::write(
        &wrapper,
        format!("#!/bin/sh\nexec {} \"$@\" --config '{}'\n", env!("CARGO_BIN_EXE_diswall"), config.display()),
    )
    .unwrap();
    run("chmod", &["755", wrapper.to_str().unwrap()]);
    configure(&directory, wrapper.to_str().unwrap());
    let path = |name: &str| directory.join(name).display().to_string();
    let (files, socket, pid) = (directory.display().to_string(), path("socket"), path("pid"));
    let common = ["-c", &files, "-s", &socket, "-p", &pid];
    let server = Proc::spawn(Command::new("fail2ban-server").args(common).args(["-f", "-x", "start"]));
    let client = |args: &[&str]| try_run("fail2ban-client", &[&common[..], args].concat());
    wait_until(DEADLINE, "the jail is up", || client(&["status", "door"]).is_ok());

    let elements = || nft_set_elements("diswall_manual4");
    let now = run("date", &["+%Y-%m-%d %H:%M:%S"]);
    let line = format!("{} bad 203.0.113.5\n", now.trim());
    fs::write(directory.join("door.log"), line.repeat(2)).unwrap();
    wait_until(DEADLINE, "the log's address is banned", || elements().contains_key("203.0.113.5"));
    client(&["set", "door", "banip", "2001:db8::5"]).unwrap();
    wait_until(DEADLINE, "IPv6 as well", || nft_set_elements("diswall_manual6").contains_key("2001:db8::5"));
    let ban = |address: &str| {
        let answer: serde_json::Value = serde_json::from_str(&daemon.cli(&["check", address, "--json"])).unwrap();
        answer["bans"][0].clone()
    };
    assert_eq!(ban("203.0.113.5")["by"], "fail2ban/door");
    assert_eq!(ban("203.0.113.5")["reason"]["text"], "fail2ban: door");
    // A minute more than fail2ban's own time, so that a dead fail2ban leaves nothing for ever.
    let left = ban("203.0.113.5")["left"].as_u64().unwrap();
    assert!((601..=660).contains(&left), "{left}");
    // What fail2ban means to last does.
    client(&["set", "door", "bantime", "-1"]).unwrap();
    client(&["set", "door", "banip", "203.0.113.6"]).unwrap();
    wait_until(DEADLINE, "a lasting ban", || elements().contains_key("203.0.113.6"));
    assert!(ban("203.0.113.6")["left"].is_null());

    // The owner's own blocks are not fail2ban's to take back.
    daemon.cli(&["block", "203.0.113.5", "203.0.113.6"]);
    client(&["set", "door", "unbanip", "203.0.113.5"]).unwrap();
    wait_until(DEADLINE, "its own ban is back", || ban("203.0.113.5")["by"] == "config");
    client(&["stop"]).unwrap();
    wait_until(DEADLINE, "a stop frees the rest", || nft_set_elements("diswall_manual6").is_empty());
    assert_eq!(ban("203.0.113.6")["by"], "config");
    assert_eq!(ban("203.0.113.5")["by"], "config");
    assert!(!server.stderr().contains("ERROR"), "{}", server.stderr());
    assert!(fs::read_to_string(config).unwrap().contains("203.0.113.5"));
}
