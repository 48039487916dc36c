//! Failed log-ins at real servers: Debian's dropbear, OpenSSH, Postfix with Dovecot, vsftpd and nginx write
//! their logs, the daemon follows them, the kernel's set is the judge.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::flow::{Attempt, echo, open_flow};
use crate::support::{Daemon, Mount, Netns, Peer, Proc, nft_set_elements, own_mounts, run, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);

/// The router's namespace with two addresses that the outside guesses passwords from.
struct Door {
    wan: Peer,
    daemon: Daemon,
    log: PathBuf,
    _netns: Netns,
}

const GUESSER: &str = "203.0.113.5";

impl Door {
    fn new(attempts: u32) -> Door {
        Door::beside(attempts, "")
    }

    /// With these sections in the configuration too.
    fn beside(attempts: u32, more: &str) -> Door {
        let netns = Netns::enter();
        let wan = Peer::join("wan", "192.0.2.1/30", "192.0.2.2/30");
        run("ip", &["route", "add", "203.0.113.0/24", "via", "192.0.2.2"]);
        wan.run("ip", &["address", "add", "203.0.113.5/24", "dev", "lo"]);
        let mut daemon = Daemon::prepare("\toption local_only '1'", "");
        let log = daemon.path("auth.log");
        File::create(&log).unwrap();
        let sections = format!(
            "config login 'login'\n\toption attempts '{attempts}'\n\toption source '{}'\n\
             \tlist service 'ssh'\n\tlist service 'smtp'\n\tlist service 'ftp'\n\tlist service 'nginx'\n\tlist service 'luci'\n\
             config scan 'scan'\n\toption enabled '0'\n{more}",
            log.display()
        );
        daemon.configure("\toption local_only '1'", &sections);
        daemon.load_rules();
        daemon.run();
        Door { wan, daemon, log, _netns: netns }
    }

    /// A server that writes into the followed log.
    fn serve(&self, port: u16, program: &str, arguments: &str) -> Proc {
        let shell = format!("exec {program} {arguments} 2>>'{}'", self.log.display());
        let server = Proc::spawn(Command::new("sh").args(["-c", &shell]));
        let port = format!(":{port}");
        wait_until(DEADLINE, "the server listens", || run("ss", &["-ltnH", "sport", "=", &port]).contains(&port));
        server
    }

    /// Logs in with a password, by curl.
    fn log_in(&self, place: &str, password: &str) {
        let curl =
            format!("curl -sS --interface {GUESSER} --max-time 10 --user owner:\"$1\" {place} >/dev/null 2>&1; true");
        self.wan.run("sh", &["-c", &curl, "log_in", password]);
    }

    /// The right password twice and a wrong one five times are no ban; a sixth is.
    fn bans_the_sixth(&self, failed: &str, log_in: &dyn Fn(&str)) {
        for password in ["right", "wrong", "wrong", "wrong", "wrong", "wrong", "right"] {
            log_in(password);
        }
        wait_until(DEADLINE, "the failures are in the log", || {
            std::fs::read_to_string(&self.log).unwrap().matches(failed).count() == 5
        });
        // Whoever stands behind them is banned when they have been read.
        let line = "Failed password for root from 203.0.113.6 port 1 ssh2";
        self.write(&format!("Nov 21 10:00:00 h sshd[1]: message repeated 9 times: [ {line}]\n"));
        wait_until(DEADLINE, "the failures are read", || nft_set_elements("diswall_scan4").contains_key("203.0.113.6"));
        assert!(!self.is_banned(), "5 of 6: {}", std::fs::read_to_string(&self.log).unwrap());
        log_in("wrong");
        wait_until(DEADLINE, "the guesser is banned", || self.is_banned());
        assert_eq!(nft_set_elements("diswall_scan4").len(), 2, "and nobody else");
    }

    /// A file that every server's account may read.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.daemon.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// One wrong password.
    fn guess(&self, user: &str) {
        let ssh = format!(
            "sshpass -p wrong timeout 15 ssh -b {GUESSER} -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
             -o PreferredAuthentications=password -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1 \
             -o ConnectTimeout=5 -l \"$1\" 192.0.2.1 true; true"
        );
        self.wan.run("sh", &["-c", &ssh, "guess", user]);
    }

    fn is_banned(&self) -> bool {
        nft_set_elements("diswall_scan4").contains_key(GUESSER)
    }

    fn reason(&self) -> serde_json::Value {
        let (_, text) = self.daemon.exit(&["check", GUESSER, "--json"]);
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        answer["bans"][0]["reason"].clone()
    }

    fn write(&self, text: &str) {
        OpenOptions::new().append(true).open(&self.log).unwrap().write_all(text.as_bytes()).unwrap();
    }
}

fn key(directory: &Path, name: &str) -> String {
    let path = directory.join(name);
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", path.to_str().unwrap()]);
    path.display().to_string()
}

#[test]
fn openssh() {
    let door = Door::new(4);
    std::fs::create_dir_all("/run/sshd").unwrap();
    let key = key(door.daemon.directory(), "host");
    let options = "-o ListenAddress=192.0.2.1 -o PasswordAuthentication=yes -o PermitRootLogin=yes -o UsePAM=no";
    let _server =
        door.serve(2222, "/usr/sbin/sshd", &format!("-D -e -f /dev/null -p 2222 -h {key} -o PidFile=none {options}"));
    // A user that does not exist counts once, for name and password.
    door.guess("nobody from 198.51.100.7 port 22 ssh2");
    wait_until(DEADLINE, "the failures are in the log", || {
        std::fs::read_to_string(&door.log).unwrap().contains("Failed password for invalid user")
    });
    door.guess("root");
    door.guess("root");
    wait_until(DEADLINE, "the failures are in the log", || {
        std::fs::read_to_string(&door.log).unwrap().matches("Failed password for root").count() == 2
    });
    assert!(!door.is_banned(), "3 of 4");
    door.guess("root");
    wait_until(DEADLINE, "the guesser is banned", || door.is_banned());
    assert_eq!(nft_set_elements("diswall_scan4").len(), 1, "and nobody else");
    let reason = door.reason();
    assert_eq!((&reason["kind"], &reason["text"]), (&"login".into(), &"ssh".into()), "{reason}");
}

#[test]
fn dropbear() {
    let door = Door::new(3);
    let key = door.daemon.path("dropbear");
    run("dropbearkey", &["-t", "ed25519", "-f", key.to_str().unwrap()]);
    let pid = door.daemon.path("pid");
    let _server =
        door.serve(2222, "dropbear", &format!("-F -E -p 192.0.2.1:2222 -r {} -P {}", key.display(), pid.display()));
    for user in ["root", "nobody-here", "root"] {
        assert!(!door.is_banned());
        door.guess(user);
    }
    wait_until(DEADLINE, "the guesser is banned", || door.is_banned());
    assert_eq!(nft_set_elements("diswall_scan4").len(), 1);
}

#[test]
fn postfix_with_dovecot() {
    let door = Door::new(6);
    let here = door.daemon.directory().display().to_string();
    door.file("users", "owner:right\n");
    // Dovecot 2.4 wants to know for which version its configuration is written, and names these settings anew.
    let (head, users) = if run("dovecot", &["--version"]).starts_with("2.3") {
        (String::new(), format!("passdb {{\n driver = passwd-file\n args = scheme=PLAIN {here}/users\n}}\n"))
    } else {
        (
            "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n".into(),
            format!("passdb passwd-file {{\n default_password_scheme = PLAIN\n passwd_file_path = {here}/users\n}}\n"),
        )
    };
    let dovecot = door.file(
        "dovecot.conf",
        &format!(
            "{head}base_dir = {here}/dovecot\nlog_path = {here}/dovecot.log\nprotocols =\nssl = no\n\
             auth_failure_delay = 0\n{users}\
             service auth {{\n unix_listener {here}/sasl {{\n mode = 0666\n }}\n}}\n\
             service anvil {{\n unix_listener anvil-auth-penalty {{\n mode = 0\n }}\n}}\n"
        ),
    );
    door.file(
        "postfix/main.cf",
        &format!(
            "compatibility_level = 3.6\nqueue_directory = {here}/queue\ndata_directory = {here}/data\n\
             maillog_file = {log}\nmaillog_file_prefixes = /\nmyhostname = mail.test\ninet_protocols = ipv4\n\
             alias_maps =\nlocal_recipient_maps =\nsmtpd_peername_lookup = no\nsmtpd_error_sleep_time = 0\n\
             smtpd_relay_restrictions = reject\nsmtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\n\
             smtpd_sasl_path = {here}/sasl\n",
            log = door.log.display()
        ),
    );
    let services = "192.0.2.1:25 inet n - n - - smtpd\nanvil unix - - n - 1 anvil\n\
        postlog unix-dgram n - n - 1 postlogd\n";
    door.file("postfix/master.cf", services);
    for directory in ["queue", "data"] {
        std::fs::create_dir(door.daemon.path(directory)).unwrap();
    }
    run("chown", &["postfix", &format!("{here}/data")]);
    run("postfix", &["-c", &format!("{here}/postfix"), "check"]);
    let _dovecot = Proc::spawn(Command::new("dovecot").args(["-F", "-c", &dovecot]));
    wait_until(DEADLINE, "dovecot answers", || door.daemon.path("sasl").exists());
    let _postfix = door.serve(25, "/usr/lib/postfix/sbin/master", &format!("-c {here}/postfix -d"));
    door.bans_the_sixth("SASL PLAIN authentication failed", &|password| {
        door.log_in("smtp://192.0.2.1/", password);
    });
}

#[test]
fn vsftpd() {
    own_mounts();
    let door = Door::new(6);
    // An account of the test's own.
    door.file("pam/vsftpd", "auth required pam_unix.so nodelay\naccount required pam_permit.so\n");
    let _pam = Mount::bind(&door.daemon.path("pam"), Path::new("/etc/pam.d"));
    let hash = run("openssl", &["passwd", "-6", "right"]);
    let users =
        format!("root:x:0:0::/:/bin/sh\nowner:{}:990:990::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", hash.trim());
    let users = door.file("passwd", &users);
    let _users = Mount::bind(Path::new(&users), Path::new("/etc/passwd"));
    let config = door.file(
        "vsftpd.conf",
        &format!(
            "listen=YES\nlisten_address=192.0.2.1\nbackground=NO\nlocal_enable=YES\nanonymous_enable=NO\n\
             delay_failed_login=0\nsecure_chroot_dir={}\nxferlog_enable=YES\nvsftpd_log_file={}\n",
            door.daemon.directory().display(),
            door.log.display()
        ),
    );
    let _server = door.serve(21, "vsftpd", &config);
    door.bans_the_sixth("FAIL LOGIN", &|password| door.log_in("ftp://192.0.2.1/", password));
    assert!(std::fs::read_to_string(&door.log).unwrap().contains("OK LOGIN"));
}

#[test]
fn nginx() {
    let door = Door::new(6);
    let users = door.file("users", "owner:{PLAIN}right\n");
    let here = door.daemon.directory().display();
    let config = door.file(
        "nginx.conf",
        &format!(
            "daemon off;\nmaster_process off;\npid {here}/nginx.pid;\nerror_log {log};\nevents {{}}\nhttp {{\n\
             access_log off;\nclient_body_temp_path {here}/a;\nproxy_temp_path {here}/b;\n\
             fastcgi_temp_path {here}/c;\nuwsgi_temp_path {here}/d;\nscgi_temp_path {here}/e;\n\
             server {{\nlisten 192.0.2.1:80;\nlocation / {{\nauth_basic x;\nauth_basic_user_file {users};\nroot {here}/www;\n}}\n}}\n}}\n",
            log = door.log.display()
        ),
    );
    door.file("www/in", "x");
    let _server = door.serve(80, "nginx", &format!("-c {config} -e {}", door.log.display()));
    door.bans_the_sixth("password mismatch", &|password| door.log_in("http://192.0.2.1/in", password));
}

#[test]
fn a_line_of_64_kb_and_a_rotated_log() {
    let door = Door::new(1);
    let line =
        |address: &str| format!("Nov 21 10:00:00 h sshd[1]: Failed password for root from {address} port 1 ssh2\n");
    let long =
        format!("Nov 21 10:00:00 h sshd[1]: Failed password for {} from 203.0.113.9 port 1 ssh2\n", "x".repeat(65_536));
    door.write(&long);
    // The router's own and the documentation's private ranges stay free.
    door.write(&line("192.0.2.1"));
    door.write(&line("10.1.2.3"));
    door.write(&line(GUESSER));
    wait_until(DEADLINE, "the line after the long one counts", || door.is_banned());
    std::fs::rename(&door.log, door.daemon.path("auth.log.1")).unwrap();
    std::fs::write(&door.log, line("203.0.113.6")).unwrap();
    wait_until(DEADLINE, "the new file counts", || nft_set_elements("diswall_scan4").contains_key("203.0.113.6"));
    assert_eq!(nft_set_elements("diswall_scan4").len(), 2);
}

/// `sed -i`, or whatever trims a log, puts another file under its name, with the old lines in it.
#[test]
fn old_lines_in_a_file_that_was_written_anew_ban_nobody() {
    let door = Door::new(1);
    let line =
        |address: &str| format!("Mar 21 10:00:00 h sshd[1]: Failed password for root from {address} port 1 ssh2\n");
    let calm = "Nov 21 10:00:00 h sshd[1]: Server listening on 0.0.0.0 port 22.\n";
    // The follower begins at the end: these were there before it, and only the last of them are known to it.
    let old = [line("203.0.113.6"), calm.repeat(40), line("203.0.113.7")].concat();
    door.write(&old);
    wait_until(DEADLINE, "it is read", || nft_set_elements("diswall_scan4").contains_key("203.0.113.7"));
    door.daemon.cli(&["unblock", "203.0.113.6", "203.0.113.7"]);
    let anew = door.daemon.path("auth.log.new");
    std::fs::write(&anew, old.clone() + &line(GUESSER)).unwrap();
    std::fs::rename(&anew, &door.log).unwrap();
    wait_until(DEADLINE, "what is new in it counts", || door.is_banned());
    assert_eq!(nft_set_elements("diswall_scan4").len(), 1, "old lines ban anew");
}

/// Whoever can make a log grow keeps nothing else from its turn.
#[test]
fn a_log_with_much_unread_text_keeps_nobody_waiting() {
    let door = Door::new(1);
    door.daemon.cli(&["block", "198.51.100.66"]);
    let line = "Nov 21 10:00:00 h sshd[1]: Connection closed by authenticating user root port 1 [preauth]\n";
    let last = format!("Nov 21 10:00:00 h sshd[1]: Failed password for root from {GUESSER} port 1 ssh2\n");
    door.write(&(line.repeat(200_000) + &last));
    run("nft", &["flush", "set", "inet", "fw4", "diswall_manual4"]);
    wait_until(DEADLINE, "the set is as it should be", || !nft_set_elements("diswall_manual4").is_empty());
    assert!(!door.is_banned(), "the log has been read to its end by now, and this test shows nothing");
}

#[test]
fn a_follower_that_dies_is_said_and_started_again() {
    let _netns = Netns::enter();
    own_mounts();
    let mut daemon = Daemon::prepare(
        "\toption local_only '1'",
        "config login 'login'\n\toption attempts '1'\n\toption proof 'never'\n",
    );
    daemon.load_rules();
    // In logread's place: dies at once the first time, and gives a line the second.
    let bin = daemon.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let mark = daemon.state_dir().join("mark");
    let mut script = File::create(bin.join("logread")).unwrap();
    write!(
        script,
        "#!/bin/sh\n[ -e '{mark}' ] || {{ echo >'{mark}'; exit 3; }}\n\
         echo \"Sat Nov 21 10:00:00 2026 authpriv.warn dropbear[1]: Bad password attempt for 'root' from 203.0.113.5:22\"\n\
         exec sleep 1000\n",
        mark = mark.display()
    )
    .unwrap();
    drop(script);
    run("chmod", &["755", bin.join("logread").to_str().unwrap()]);
    let _logread = Mount::bind(&bin, Path::new("/usr/local/sbin"));
    daemon.spawn(&daemon.as_installed());
    daemon.process().stderr_with("the program that follows the system log ended", DEADLINE);
    daemon.wait_answering();
    wait_until(DEADLINE, "the second follower is heard", || nft_set_elements("diswall_scan4").contains_key(GUESSER));
    let problems = daemon.status()["problems"].to_string();
    assert!(!problems.contains("logwatch"), "{problems}");
}

/// OpenWrt's logread takes no notice of a reader that has gone.
#[test]
fn a_follower_ends_with_the_daemon_however_that_ends() {
    let _netns = Netns::enter();
    own_mounts();
    let mut daemon = Daemon::prepare("\toption local_only '1'", "config login 'login'\n\toption proof 'never'\n");
    daemon.load_rules();
    let (bin, mark) = (daemon.path("bin"), daemon.state_dir().join("mark"));
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("logread"), format!("#!/bin/sh\necho $$ >'{}'\nexec sleep 1000\n", mark.display()))
        .unwrap();
    run("chmod", &["755", bin.join("logread").to_str().unwrap()]);
    let _logread = Mount::bind(&bin, Path::new("/usr/local/sbin"));
    daemon.run();
    let follower = || std::fs::read_to_string(&mark).ok().filter(|text| text.ends_with('\n'));
    wait_until(DEADLINE, "it follows", || follower().is_some());
    let follower = Path::new("/proc").join(follower().unwrap().trim());
    assert!(follower.exists());
    daemon.kill();
    wait_until(DEADLINE, "it has ended", || !follower.exists());
}

/// As after an installation on a router whose ubusd has not heard of the account's right yet: logread runs and
/// waits for ever.
#[test]
fn a_program_that_delivers_nothing_is_found_out_and_started_again() {
    let _netns = Netns::enter();
    own_mounts();
    let mut daemon = Daemon::prepare(
        "\toption local_only '1'",
        "config login 'login'\n\toption attempts '1'\n\toption proof 'never'\n",
    );
    daemon.load_rules();
    let (bin, devices, log) = (daemon.path("bin"), daemon.path("dev"), daemon.path("system.log"));
    std::fs::create_dir(&bin).unwrap();
    std::fs::create_dir(&devices).unwrap();
    File::create(&log).unwrap();
    let logread = |text: &str| {
        std::fs::write(bin.join("logread.new"), format!("#!/bin/sh\n{text}\n")).unwrap();
        run("chmod", &["755", bin.join("logread.new").to_str().unwrap()]);
        std::fs::rename(bin.join("logread.new"), bin.join("logread")).unwrap();
    };
    logread("exec sleep 1000");
    run("mknod", &["-m", "666", devices.join("null").to_str().unwrap(), "c", "1", "3"]);
    // In logd's place: what is written to /dev/log comes to stand in a file.
    let syslog = UnixDatagram::bind(devices.join("log")).unwrap();
    run("chmod", &["666", devices.join("log").to_str().unwrap()]);
    let mut file = OpenOptions::new().append(true).open(&log).unwrap();
    let written = std::thread::spawn(move || {
        let (mut line, mut count) = ([0; 1024], 0);
        while let Ok(length @ 1..) = syslog.recv(&mut line) {
            let text = String::from_utf8_lossy(&line[..length]).replace("<30>", "");
            writeln!(file, "Sat Nov 21 10:00:00 2026 daemon.info {text}").unwrap();
            count += 1;
        }
        count
    });
    let _logread = Mount::bind(&bin, Path::new("/usr/local/sbin"));
    let _dev = Mount::bind(&devices, Path::new("/dev"));
    daemon.run();
    let part = || {
        let parts = daemon.status()["parts"].clone();
        parts.as_array().unwrap().iter().find(|part| part["name"] == "login").unwrap().clone()
    };
    wait_until(DEADLINE, "the silence is found out", || part()["state"] == "broken");
    assert!(part()["why"].as_str().unwrap().contains("did not come back"), "{}", part());
    assert!(part()["remedy"].as_str().unwrap().contains("ubusd"), "{}", part());

    logread(&format!("exec tail -n 0 -f '{}'", log.display()));
    wait_until(DEADLINE, "the way is proven", || part()["state"] == "in_force");
    let line = format!(
        "Sat Nov 21 10:00:00 2026 authpriv.warn dropbear[1]: Bad password attempt for 'root' from {GUESSER}:22\n"
    );
    OpenOptions::new().append(true).open(&log).unwrap().write_all(line.as_bytes()).unwrap();
    wait_until(DEADLINE, "and is heard", || nft_set_elements("diswall_scan4").contains_key(GUESSER));
    UnixDatagram::unbound().unwrap().send_to(&[], devices.join("log")).unwrap();
    assert!(written.join().unwrap() <= 4, "a line or two for each try, and no more");
}

#[test]
fn no_follower_is_a_problem_in_status() {
    let _netns = Netns::enter();
    let sections = "config login 'login'\n\toption source '/nowhere/auth.log'\n";
    let daemon = Daemon::start("\toption local_only '1'", sections);
    let problems = daemon.status()["problems"].clone();
    let problem = problems.as_array().unwrap().iter().find(|problem| problem["key"] == "logwatch");
    assert!(problem.is_some_and(|problem| problem["text"].to_string().contains("/nowhere/auth.log")), "{problems}");
}

/// A log of this machine's own services is believed where the kernel saw the one whom it accuses.
#[test]
fn who_was_not_there_is_not_banned() {
    let door = Door::new(1);
    let _server = echo(None, 22, &["192.0.2.1"]);
    let line = |process: u32, address: &str, port: &str| {
        format!("Nov 21 10:00:00 h sshd[{process}]: Invalid user x from {address}{port}\n")
    };
    let flow = |source| open_flow(Some(&door.wan), Attempt { kind: "tcp", source, server: "192.0.2.1", port: 22 });
    let _flows = [flow(GUESSER), flow("203.0.113.9")];
    // Nobody; somebody, but from another port; somebody else.
    door.write(&line(1, "203.0.113.6", ""));
    door.write(&line(2, GUESSER, " port 1"));
    door.write(&line(3, "203.0.113.9", ""));
    wait_until(DEADLINE, "who was there is banned", || nft_set_elements("diswall_scan4").contains_key("203.0.113.9"));
    assert_eq!(nft_set_elements("diswall_scan4").len(), 1, "and nobody else");
    door.write(&line(4, GUESSER, ""));
    wait_until(DEADLINE, "the other one too, without a port", || door.is_banned());
    assert_eq!(nft_set_elements("diswall_scan4").len(), 2);
}

/// A list of which some ports alone are blocked says nothing about the others.
#[test]
fn who_is_on_a_list_for_another_port_is_banned_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = directory.path().join("list.txt");
    std::fs::write(&file, format!("{GUESSER}\n")).unwrap();
    let mail =
        format!("config list 'mail'\n\toption url '{}'\n\toption proto 'tcp'\n\tlist dest_port '25'\n", file.display());
    let door = Door::beside(1, &mail);
    let _server = echo(None, 22, &["192.0.2.1"]);
    let _flow = open_flow(Some(&door.wan), Attempt { kind: "tcp", source: GUESSER, server: "192.0.2.1", port: 22 });
    wait_until(DEADLINE, "the list is in force", || nft_set_elements("diswall_mail4").contains_key(GUESSER));
    let (status, said) = door.daemon.exit(&["check", GUESSER]);
    assert!(status == Some(1) && said.contains("is blocked for some services or zones, by mail"), "{said}");
    door.write(&format!("Nov 21 10:00:00 h sshd[4]: Invalid user x from {GUESSER}\n"));
    wait_until(DEADLINE, "he is banned", || door.is_banned());
}

/// LuCI of OpenWrt 24.10 writes the name that was typed to uhttpd's standard error, and procd makes a message of each
/// line of it: one form with line feeds in the name is as many lines as its sender likes, in the server's own name.
#[test]
fn lines_forged_in_a_name_typed_at_luci_ban_nobody_who_was_not_there() {
    let door = Door::new(5);
    let _servers = [echo(None, 80, &["192.0.2.1"]), echo(None, 22, &["192.0.2.1"])];
    let flow = |source, port| open_flow(Some(&door.wan), Attempt { kind: "tcp", source, server: "192.0.2.1", port });
    // Who types it; a visitor of another service; and nobody.
    let (_typist, _other) = (flow(GUESSER, 80), flow("203.0.113.9", 22));
    let failed = |address: &str| format!("[info] luci: failed login on / for root from {address}");
    let named = |lines: &[String]| format!("[info] luci: failed login on / for {} from {GUESSER}", lines.join("\n"));
    let strangers: Vec<String> = (1..=254).map(|host| failed(&format!("198.51.100.{host}"))).collect();
    let cut = |address: &str| {
        let (begin, end) = ("[info] luci: failed login on / for ", format!(" from {address}"));
        let name = "x".repeat(1023 - "uhttpd[2430]: ".len() - begin.len() - end.len());
        format!("{begin}{name}{end}")
    };
    let head = "Sat Nov 21 10:00:00 2026 daemon.err uhttpd[2430]: ";
    let write = |lines: &str| door.write(&lines.lines().map(|line| format!("{head}{line}\n")).collect::<String>());
    for form in [vec![failed("203.0.113.6"); 5], vec![failed("203.0.113.9"); 5], vec![cut("203.0.113.6"); 5]] {
        write(&named(&form));
    }
    write(&[cut(GUESSER), cut(GUESSER), cut(GUESSER), cut(GUESSER), cut(GUESSER)].join("\n"));
    // More than the kernel is asked about at once.
    write(&named(&[&strangers[..]; 5].concat()));
    let banned = || nft_set_elements("diswall_scan4");
    let _third = flow("203.0.113.7", 80);
    wait_until(DEADLINE, "who did fail is banned", || {
        write(&failed("203.0.113.7"));
        banned().contains_key("203.0.113.7")
    });
    assert_eq!(banned().len(), 1, "{:?}", banned());
    assert_eq!(nft_set_elements("diswall_scan6").len(), 0);
    let parts = door.daemon.status()["parts"].to_string();
    assert!(!parts.contains("too many are asked for"), "it is over: {parts}");
    write(&[failed(GUESSER), failed(GUESSER), failed(GUESSER), failed(GUESSER), failed(GUESSER)].join("\n"));
    wait_until(DEADLINE, "the typist's own", || door.is_banned());
}

/// The command line judges as the daemon does.
#[test]
fn logs_test_says_what_becomes_of_each_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (config, log) = (path("diswall"), path("log"));
    std::fs::write(&config, "config login 'login'\n\tlist service 'ssh'\n").unwrap();
    let lines = "Nov 21 10:00:00 h sshd[1]: Invalid user x from 203.0.113.5 port 22\n\
        Nov 21 10:00:00 h sshd[1]: Failed password for invalid user x from 203.0.113.5 port 22 ssh2\n\
        Nov 21 10:00:00 h sshd[2]: message repeated 2 times: [ Failed password for root from 203.0.113.6 port 22 ssh2]\n\
        Nov 21 10:00:00 h sshd[3]: Invalid user x from host.example port 22\n\
        Nov 21 10:00:00 h any[4]: sshd[3]: Invalid user x from 203.0.113.7 port 22\n\
        Nov 21 10:00:00 h sshd[5]: Accepted password for \x1b[1mx from 203.0.113.8 port 22 ssh2\n\
        ?\n";
    std::fs::write(&log, lines.replace('?', "\u{9b}")).unwrap();
    let say = |arguments: &[&str], input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diswall"));
        command.args(["logs", "test", "--config", &config]).args(arguments).stdin(File::open(input).unwrap());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (status, text) = say(&[&log], "/dev/null");
    assert_eq!(status, Some(0));
    for part in [
        "  1: sshd, ssh, 203.0.113.5: counted\n",
        "  2: sshd, ssh, 203.0.113.5: counts nothing more",
        "  3: sshd, ssh, 203.0.113.6, 2 tries: counted\n",
        "  4: sshd, ssh: a name stands in the address's place",
        "  5: any: nobody asks about this program\n",
        "  6: sshd, ssh, 203.0.113.8: no failed log-in\n",
        "  7: no head: ",
        "\n7 lines, 2 of them counted\n203.0.113.6, ssh: 2\n203.0.113.5, ssh: 1\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(['\x1b', '\u{9b}']), "what a terminal obeys");
    assert_eq!(say(&["-"], &log), (Some(0), text), "standard input");
    let (_, rows) = say(&["--json", "--service", "nginx", "--service", "ssh"], &log);
    let row: serde_json::Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    assert_eq!((&row["address"], &row["port"], &row["tries"]), (&"203.0.113.5".into(), &22.into(), &1.into()), "{row}");
    assert_eq!(say(&["--service", "telnet", &log], "/dev/null").0, Some(2));
    assert_eq!(say(&[&path("nothing")], "/dev/null").0, Some(1));
}
