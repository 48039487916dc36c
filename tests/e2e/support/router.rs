//! The door by which a router starts the daemon: the real init script says what procd is to do, and this
//! does it as procd and ujail do.
//!
//! Account, group, capabilities and command are what `openwrt/files/diswall.init` asks for, so that the
//! script and the tests cannot drift apart. The rest is what procd's `instance.c` and ujail's `jail.c` leave
//! a process: `container=ujail` as its whole environment (an ujail before 2025 hands on nothing of what a
//! script sets), `/` as its directory, nothing to read, no descriptor but three, the kernel's first limits.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::process::output_of;

/// The account's and the group's number, from the package's `USERID`.
pub const ACCOUNT: u32 = 914;

/// Where procd's part of the init script's world is played.
const PROCD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/support/procd.sh");
const INIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openwrt/files/diswall.init");

/// `RLIMIT`s of a process on a router: those of the kernel's first one (`INIT_RLIMITS`).
const LIMITS: [&str; 4] = ["--nofile=1024:4096", "--core=0:unlimited", "--stack=8388608:unlimited", "--memlock=65536"];

/// What the init script asked of procd.
struct Asked(Vec<(String, String)>);

impl Asked {
    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    #[track_caller]
    fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "the init script asks for {name} {} times: {:?}", all.len(), self.0);
        all[0]
    }
}

/// Runs the script's `start_service`, which makes the directories in `place` and gives the daemon what it
/// must read. The machine's own accounts stay as they are: the script sees others, in a mount namespace.
fn ask(program: &str, config: &Path, place: &Path, scratch: &Path) -> Asked {
    for (file, line) in [("passwd", "diswall:x:914:914::/:/bin/false\n"), ("group", "diswall:x:914:\n")] {
        let own = std::fs::read_to_string(format!("/etc/{file}")).expect("the machine's accounts");
        let others: String =
            own.lines().filter(|line| !line.starts_with("diswall:")).map(|line| format!("{line}\n")).collect();
        std::fs::write(scratch.join(file), others + line).expect("accounts for the script");
    }
    let steps = "mount --make-rprivate / && mount --bind \"$0/passwd\" /etc/passwd && mount --bind \"$0/group\" /etc/group \
                 && exec busybox ash \"$1\"";
    let mut script = Command::new("unshare");
    script.args(["--mount", "sh", "-c", steps]).arg(scratch).arg(PROCD);
    script.env("INIT", INIT).env("PROGRAM", program).env("CONFIGURATION", config).env("PLACE", place);
    script.env("JAIL", "/bin/true");
    let said = output_of(&mut script).unwrap_or_else(|error| panic!("the init script: {error}"));
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    Asked(said.lines().filter_map(pair).collect())
}

/// The command that starts the daemon as procd would, with `--foreground` beside what the script says.
/// `place` stands for `/var/run/diswall`, `notes` beside it for `/etc/diswall`.
pub fn command(program: &str, config: &Path, place: &Path, scratch: &Path) -> Command {
    let program = within_reach(Path::new(program));
    let asked = ask(program.to_str().expect("a path in UTF-8"), config, place, scratch);
    for name in ["user", "group"] {
        assert_eq!(asked.one(name), "diswall", "the tests know the number of this {name} alone");
    }
    asked.one("jail");
    let mut command = Command::new("sh");
    command.args(["-c", "umask 022; exec \"$@\" </dev/null", "procd", "prlimit"]).args(LIMITS);
    command.arg("setpriv").arg(format!("--reuid={ACCOUNT}")).arg(format!("--regid={ACCOUNT}"));
    command.arg(format!("--groups={ACCOUNT}")).args(capabilities(asked.one("capabilities")));
    if asked.one("no_new_privs") == "1" {
        command.arg("--no-new-privs");
    }
    // What a parent asked for ends with its user's id.
    command.args(["--pdeathsig", "KILL", "env", "--ignore-environment", "container=ujail"]);
    command.args(asked.all("command")).arg("--foreground").current_dir("/");
    command
}

thread_local! {
    /// A test's own copy of the program, gone with its thread.
    static COPY: TempDir = TempDir::new().expect("a directory for the program");
}

/// The program where the account may come to it: of a checkout below `/root`, which lets nobody else in, a copy.
fn within_reach(program: &Path) -> PathBuf {
    let lets_in = |place: &Path| place.metadata().is_ok_and(|place| place.permissions().mode() & 0o001 != 0);
    if program.ancestors().skip(1).all(lets_in) {
        return program.to_path_buf();
    }
    COPY.with(|place| {
        let copy = place.path().join("diswall");
        if !copy.exists() {
            std::fs::set_permissions(place.path(), Permissions::from_mode(0o755)).expect("its mode");
            std::fs::copy(program, &copy).expect("the program's copy");
        }
        copy
    })
}

/// ujail's file as setpriv's arguments. Effective and permitted ones are what an `execve` makes of the
/// inheritable and ambient ones.
fn capabilities(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let sets: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let of = |set: &str| {
        let names = sets[set].as_array().unwrap_or_else(|| panic!("{file}: no {set}"));
        let names = names.iter().map(|name| name.as_str().expect("a name").trim_start_matches("CAP_").to_lowercase());
        names.map(|name| format!(",+{name}")).collect::<String>()
    };
    assert!(of("effective") == of("ambient") && of("permitted") == of("ambient"), "{text}");
    let arguments = [("inh-caps", "inheritable"), ("ambient-caps", "ambient"), ("bounding-set", "bounding")];
    arguments.iter().map(|(argument, set)| format!("--{argument}=-all{}", of(set))).collect()
}
