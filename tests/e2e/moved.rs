//! `state_dir` is changed: what was kept goes along, and what is left behind never comes back.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{ACCOUNT, Daemon, Mount, Netns, nft, own_mounts, run, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);
const LOCAL: &str = "\toption local_only '1'";
const LOGIN: &str = "config login 'login'\n\toption enabled '0'\nconfig logwatch 'door'\n\tlist program 'door'\n\tlist \
                     pattern 'bad <HOST>'\n\toption attempts '1'\n\toption source 'LOG'\n";
const CONFIG: &str = "/etc/config/diswall";

/// The service on a router whose `/etc` is the test's own, with two places for its state.
struct Service {
    _mounts: [Mount; 2],
    daemon: Daemon,
    places: [PathBuf; 2],
    text: String,
    _netns: Netns,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Reload,
    Restart,
    Reboot,
}

impl Service {
    fn start() -> Service {
        let netns = Netns::enter();
        own_mounts();
        let daemon = Daemon::prepare(LOCAL, "");
        let log = daemon.path("log");
        fs::write(&log, "").unwrap();
        daemon.configure(LOCAL, &LOGIN.replace("LOG", log.to_str().unwrap()));
        let text = fs::read_to_string(daemon.config()).unwrap();
        let mounts = own_etc(&daemon.path("etc"));
        symlink(daemon.config(), CONFIG).unwrap();
        let places = [daemon.state_dir(), daemon.path("elsewhere")];
        for place in [places[1].as_path(), Path::new("/etc/diswall/kept")] {
            fs::create_dir_all(place).unwrap();
            chown(place, Some(ACCOUNT), Some(ACCOUNT)).unwrap();
        }
        daemon.load_rules();
        let mut service = Service { _mounts: mounts, daemon, places, text, _netns: netns };
        service.run();
        service
    }

    fn run(&mut self) {
        self.daemon.run_by(Path::new(CONFIG));
    }

    /// Nothing of the kernel's is left then.
    fn boot(&mut self) {
        nft(&["flush", "ruleset"]);
        self.daemon.load_rules();
        self.run();
    }

    fn move_to(&mut self, place: usize, way: Way) {
        let text = self.text.replace(self.places[0].to_str().unwrap(), self.places[place].to_str().unwrap());
        fs::write(self.daemon.config(), text).unwrap();
        match way {
            Way::Reload => self.daemon.reload(),
            Way::Restart => {
                self.daemon.stop(DEADLINE);
                self.run();
            }
            Way::Reboot => {
                self.daemon.stop(DEADLINE);
                self.boot();
            }
        }
        let [here, there] = [place, 1 - place].map(|place| self.places[place].clone());
        wait_until(DEADLINE, "all is in the new place, and nothing in the old one", || {
            ["record", "ledger", "days"].iter().all(|file| here.join(file).exists())
                && fs::read_dir(&there).unwrap().next().is_none()
        });
    }

    fn verdict(&self, address: &str) -> String {
        let said = self.daemon.exit(&["check", address, "--json"]).1;
        serde_json::from_str::<serde_json::Value>(&said).unwrap()["verdict"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    fn assert_verdicts(&self, expected: [&str; 5], when: &str) {
        let addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.8", "192.0.2.9", "198.51.100.7"];
        assert_eq!(addresses.map(|address| self.verdict(address)), expected, "{when}");
    }
}

/// `/etc` as it is, and what is written to it is gone with the test.
fn own_etc(scratch: &Path) -> [Mount; 2] {
    fs::create_dir(scratch).unwrap();
    let memory = Mount::tmpfs("mode=0755", scratch);
    let [upper, work] = ["upper", "work"].map(|name| scratch.join(name));
    [&upper, &work].into_iter().for_each(|directory| fs::create_dir(directory).unwrap());
    let options = format!("lowerdir=/etc,upperdir={},workdir={}", upper.display(), work.display());
    run("mount", &["-t", "overlay", "-o", &options, "none", "/etc"]);
    let etc = Mount::mounted(Path::new("/etc"));
    fs::create_dir_all("/etc/config").unwrap();
    [etc, memory]
}

#[test]
fn what_was_taken_back_elsewhere_does_not_come_back_with_the_former_place() {
    const FREE: &str = "clear";
    for way in [Way::Reload, Way::Restart, Way::Reboot] {
        let mut service = Service::start();
        let said = |words: &[&str]| drop(service.daemon.cli(words));
        said(&["block", "--timeout", "1h", "192.0.2.1", "192.0.2.2"]);
        said(&["allow", "--timeout", "1h", "192.0.2.8", "192.0.2.9"]);
        wait_until(DEADLINE, "the router's own ban", || {
            let line = "Nov 27 10:00:00 router door[1]: bad 198.51.100.7\n";
            fs::OpenOptions::new()
                .append(true)
                .open(service.daemon.path("log"))
                .and_then(|mut log| std::io::Write::write_all(&mut log, line.as_bytes()))
                .unwrap();
            service.verdict("198.51.100.7") == "blocked"
        });
        // So that the snapshot knows it, too.
        service.daemon.stop(DEADLINE);
        service.run();
        let before = ["blocked", "blocked", "allowed", "allowed", "blocked"];
        service.assert_verdicts(before, "at first");

        service.move_to(1, way);
        service.assert_verdicts(before, &format!("{way:?}: what was kept goes along"));
        service.daemon.cli(&["unblock", "192.0.2.1", "198.51.100.7"]);
        service.daemon.cli(&["disallow", "192.0.2.9"]);
        let after = [FREE, "blocked", "allowed", FREE, FREE];
        service.assert_verdicts(after, "taken back");

        service.move_to(0, way);
        service.assert_verdicts(after, &format!("{way:?}: back in the former place"));
        service.daemon.kill();
        service.boot();
        service.assert_verdicts(after, &format!("{way:?}: and after a power cut"));
    }
}

/// Nothing is lost on the way either: as long as the new place cannot be written, the former one is kept.
#[test]
fn the_former_place_stays_until_the_new_one_has_it_all() {
    let mut service = Service::start();
    service.daemon.cli(&["block", "--timeout", "1h", "192.0.2.1"]);
    service.daemon.stop(DEADLINE);
    // No file system refuses a directory where a file is to be.
    let blocking = service.places[1].join("record");
    fs::create_dir(&blocking).unwrap();
    let text = service.text.replace(service.places[0].to_str().unwrap(), service.places[1].to_str().unwrap());
    fs::write(service.daemon.config(), text).unwrap();
    for _ in 0..2 {
        service.boot();
        assert_eq!(service.verdict("192.0.2.1"), "blocked");
        let parts = service.daemon.status()["parts"].clone();
        let keep = parts.as_array().unwrap().iter().find(|part| part["name"] == "keep").unwrap();
        assert_eq!(keep["state"], "broken", "{keep}");
        assert!(service.places[0].join("record").exists());
        service.daemon.kill();
    }
    fs::remove_dir(&blocking).unwrap();
    service.boot();
    assert_eq!(service.verdict("192.0.2.1"), "blocked");
    assert!(fs::read_dir(&service.places[0]).unwrap().next().is_none());
    service.daemon.kill();
    service.boot();
    assert_eq!(service.verdict("192.0.2.1"), "blocked");
}

/// A disk is mounted after the service has started, as on a router whose `/mnt` comes late.
#[test]
fn what_is_kept_on_a_disk_that_is_mounted_later_is_not_written_over() {
    let mut service = Service::start();
    service.daemon.cli(&["block", "--timeout", "1h", "192.0.2.1"]);
    service.daemon.stop(DEADLINE);
    let place = service.places[0].clone();
    let kept = || ["ledger", "record", "days"].map(|file| fs::read(place.join(file)).unwrap());
    let before = kept();
    let beneath = service.daemon.path("beneath");
    fs::create_dir(&beneath).unwrap();
    chown(&beneath, Some(ACCOUNT), Some(ACCOUNT)).unwrap();
    let without = Mount::bind(&beneath, &place);
    service.boot();
    // Twice, so that files are beneath that it has made itself.
    for address in ["192.0.2.2", "192.0.2.3"] {
        service.daemon.cli(&["block", "--timeout", "1h", address]);
    }
    assert_eq!(["192.0.2.1", "192.0.2.2"].map(|address| service.verdict(address)), ["clear", "blocked"]);
    assert!(beneath.join("record").exists());
    drop(without);
    let said = service.daemon.cli(&["block", "--timeout", "1h", "192.0.2.4"]);
    assert!(said.contains("have not been read"), "{said}");
    service.daemon.reload();
    wait_until(DEADLINE, "it is said", || {
        let keep = keep_of(&service);
        keep.contains("broken") && keep.contains("have not been read")
    });
    service.daemon.stop(DEADLINE);
    assert_eq!(kept(), before);
    service.run();
    assert_eq!(service.verdict("192.0.2.1"), "blocked");
    assert!(!keep_of(&service).contains("broken"));
}

fn keep_of(service: &Service) -> String {
    let parts = service.daemon.status()["parts"].clone();
    parts.as_array().unwrap().iter().find(|part| part["name"] == "keep").unwrap().to_string()
}
