//! `diswall report`: what the real rules dropped of real packets, counted by the daemon, over restarts.

use std::time::Duration;

use serde_json::Value;

use crate::packets::{BAD, DEADLINE, GOOD, INSIDE, Lab, ROUTER, WORSE, Wrapping};
use crate::support::{Daemon, nft, wait_until};

fn report(daemon: &Daemon) -> Value {
    let text = daemon.cli(&["report", "--json"]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn words(daemon: &Daemon) -> String {
    daemon.cli(&["report"]).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn source<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["sources"].as_array().unwrap().iter().find(|source| source["name"] == name).unwrap()
}

/// So many SYNs to a port, from an address, at a pace that all of them are looked at.
fn knock(lab: &Lab, from: &str, port: u16, count: u32) {
    let (port, count) = (port.to_string(), count.to_string());
    let _ = lab.wan.try_run("hping3", &["-q", "-c", &count, "-i", "u10000", "-S", "-p", &port, "-a", from, ROUTER[0]]);
}

const LISTS: [&str; 2] = ["list_a", "list_b"];

fn list(daemon: &Daemon, name: &str) -> String {
    format!("config list '{name}'\n\tlist url '{}'\n", daemon.path(name).display())
}

#[test]
fn who_was_dropped_at_which_port_and_by_whom_is_counted() {
    for wrapping in [Wrapping::Fw4, Wrapping::Standalone] {
        let lab = Lab::build();
        let mut daemon = Daemon::prepare("", "");
        // Two lists that share one address, and each has another of its own.
        std::fs::write(daemon.path(LISTS[0]), format!("{}\n198.51.100.200\n", BAD[0])).unwrap();
        std::fs::write(daemon.path(LISTS[1]), format!("{}\n{}\n", BAD[0], WORSE[0])).unwrap();
        let sections: String = LISTS.iter().map(|name| list(&daemon, name)).collect();
        daemon.configure("", &format!("{}\n{sections}", crate::packets::NO_FEED));
        lab.load(&daemon, wrapping);
        daemon.run();
        wait_until(DEADLINE, "the lists are there", || {
            let report = report(&daemon);
            LISTS.iter().all(|name| source(&report, name)["entries"] == 2)
        });
        knock(&lab, BAD[0], 22, 6);
        knock(&lab, WORSE[0], 445, 4);
        // On the way out, to a banned host, only where both directions are looked at; and somebody who is not banned.
        knock(&lab, GOOD[0], 7, 2);
        wait_until(DEADLINE, "ten packets are looked at", || report(&daemon)["looked"] == 10);
        let report = report(&daemon);
        assert_eq!(report["packets"], 10, "{wrapping:?}");
        assert!(report["bytes"].as_u64().unwrap() >= 400, "{report}");
        let ports = report["ports"].as_array().unwrap();
        assert_eq!(
            (&ports[0]["port"], &ports[0]["packets"], &ports[0]["protocol"]),
            (&22.into(), &6.into(), &"tcp".into())
        );
        assert_eq!((&ports[1]["port"], &ports[1]["packets"]), (&445.into(), &4.into()));
        let hosts = report["hosts"].as_array().unwrap();
        assert_eq!((&hosts[0]["address"], &hosts[0]["packets"]), (&BAD[0].into(), &6.into()));
        assert_eq!(hosts[0]["sources"], serde_json::json!(LISTS));
        assert_eq!(hosts.len(), 2, "{report}");
        // The first list drops what both have; nobody but the second has the other.
        let (first, second) = (source(&report, LISTS[0]), source(&report, LISTS[1]));
        assert_eq!((&first["packets"], &first["looked"], &first["alone"]), (&6.into(), &6.into(), &0.into()));
        assert_eq!((&second["packets"], &second["looked"], &second["alone"]), (&4.into(), &4.into(), &4.into()));
        for each in [first, second] {
            assert_eq!((&each["compared"], &each["only"]), (&2.into(), &1.into()), "{each}");
        }
        assert_eq!((&report["placed"], &report["unplaced"]), (&false.into(), &10.into()));
        let day = &report["by_day"][0];
        assert_eq!(day["packets"], 10);
        let hours = day["hours"].as_array().unwrap();
        assert_eq!(hours.iter().filter_map(Value::as_i64).filter(|packets| *packets > 0).sum::<i64>(), 10);
        let text = words(&daemon);
        assert!(text.contains("10 packets (") && text.contains("22/tcp (SSH) 6 ####"), "{text}");
        assert!(text.contains("Known from the 10 packets that were looked at, of 10 dropped"), "{text}");
    }
}

#[test]
fn what_goes_out_to_a_banned_host_is_told_apart_and_an_own_rule_counts_too() {
    let lab = Lab::build();
    let block = "config block\n\toption ip '198.51.100.67'\n\toption proto 'tcp'\n\tlist dest_port '23'\n";
    let daemon = lab.daemon(Wrapping::Fw4, "\toption direction 'src-dst'", block);
    daemon.cli(&["block", "--timeout", "1h", "--comment", "<b>\"&", BAD[0]]);
    for _ in 0..3 {
        let _ = lab.lan.try_run("hping3", &["-q", "-c", "1", "-S", "-p", "443", BAD[0]]);
    }
    knock(&lab, WORSE[0], 23, 2);
    wait_until(DEADLINE, "five packets are looked at", || report(&daemon)["looked"] == 5);
    let report = report(&daemon);
    assert_eq!(report["outgoing"], 3);
    let ports = report["ports"].as_array().unwrap();
    assert_eq!(ports.len(), 1, "what goes out has no port of ours: {report}");
    assert_eq!((&ports[0]["port"], &ports[0]["packets"]), (&23.into(), &2.into()));
    assert_eq!(report["hosts"][0]["address"], BAD[0], "the banned end: {report}");
    assert!(INSIDE[0] != report["hosts"][1]["address"]);
    // A comment is a stranger's text, whoever wrote it.
    let (text, html) = (daemon.cli(&["report"]), daemon.cli(&["report", "--html"]));
    assert!(text.contains("<b>\"&"), "{text}");
    assert!(!html.contains("<b>") && html.contains("&lt;b&gt;&quot;&amp;"), "{html}");
}

#[test]
fn the_record_outlives_a_stop_and_a_crash_counts_nothing_twice() {
    let lab = Lab::build();
    let mut daemon = lab.daemon(Wrapping::Fw4, "", "config block\n\toption ip '198.51.100.66'\n");
    knock(&lab, BAD[0], 22, 5);
    wait_until(DEADLINE, "five packets", || report(&daemon)["looked"] == 5);
    daemon.stop(Duration::from_secs(10));
    knock(&lab, BAD[0], 23, 2);
    daemon.run();
    let after = report(&daemon);
    // What came meanwhile the kernel has counted, and nobody has looked at.
    assert_eq!((&after["packets"], &after["looked"], &after["bans"]), (&7.into(), &5.into(), &0.into()), "{after}");
    assert_eq!(after["hosts"][0]["packets"], 5);
    knock(&lab, BAD[0], 24, 1);
    wait_until(DEADLINE, "one more", || report(&daemon)["looked"] == 6);
    daemon.kill();
    daemon.run();
    let after = report(&daemon);
    assert_eq!((&after["packets"], &after["looked"]), (&8.into(), &5.into()), "{after}");
    // A damaged record is no reason not to start.
    daemon.stop(Duration::from_secs(10));
    let days = daemon.state_dir().join("days");
    let mut bytes = std::fs::read(&days).unwrap();
    assert!(bytes.len() < 1024, "{} bytes", bytes.len());
    bytes[20] ^= 1;
    std::fs::write(&days, bytes).unwrap();
    daemon.run();
    assert_eq!(report(&daemon)["looked"], 0);
}

#[test]
fn a_new_owner_reads_what_is_to_come_and_one_who_wants_none_gets_no_rules() {
    let lab = Lab::build();
    let daemon = lab.daemon(Wrapping::Standalone, "", "");
    let text = words(&daemon);
    assert!(text.contains("0 packets (0 B) dropped"), "{text}");
    assert!(text.contains("No dropped packet was looked at yet."), "{text}");
    assert!(text.contains("No list of a country is configured."), "{text}");
    assert!(nft(&["list", "table", "inet", "fw4"]).contains("prefix \"drop manual\""));
    daemon.configure("\toption report '0'", crate::packets::NO_FEED);
    daemon.load_rules();
    daemon.reload();
    wait_until(DEADLINE, "the daemon has read it", || !report(&daemon)["looks"].as_bool().unwrap());
    assert!(!nft(&["list", "chain", "inet", "fw4", "diswall_from4"]).contains("_hit"));
    assert!(words(&daemon).contains("Dropped packets are not looked at: option report is '0'"));
    for (arguments, why) in [
        (&["report", "--days", "0"][..], "days 0 is out of range"),
        (&["report", "--days", "367"], "accepted: 1 to 366"),
        (&["report", "--json", "--html"], "exclude each other"),
    ] {
        let (status, said) = daemon.exit(arguments);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
    assert!(daemon.cli(&["report", "--days", "30"]).contains("Of the 30 days asked for, 14 at most are"));
}

/// A function of the real init script, in the router's shell, with its places in `place`.
fn init(daemon: &Daemon, call: &str, before: &str) -> (bool, String) {
    let steps = format!(
        "extra_command() {{ :; }}; logger() {{ shift 4; echo \"$*\"; }}; config_get() {{ eval \"$1=\\${{$3:-$4}}\"; }}; \
         . '{}/openwrt/files/diswall.init'; PROG='{}'; CONFIG='{}'; P='{}'; \
         CRONTABS=$P/crontabs CRON_D=$P/cron.d CRON=$P/cron SENT=$P/sent SENT_KEPT=$P/sent-kept; {call}",
        env!("CARGO_MANIFEST_DIR"),
        env!("CARGO_BIN_EXE_diswall"),
        daemon.config().display(),
        daemon.directory().display()
    );
    let mut shell = std::process::Command::new("unshare");
    shell.args(["--mount", "sh", "-c", &format!("{before} exec busybox ash -c \"$0\""), &steps]);
    let output = shell.env("HOME", daemon.directory()).output().expect("a shell");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_report_comes_by_mail_through_whichever_program_is_there() {
    let _netns = crate::support::Netns::enter();
    let mut daemon = Daemon::prepare("\toption report_mail 'owner@example.org'", crate::packets::NO_FEED);
    daemon.load_rules();
    daemon.run();
    let msmtp = "defaults\nhost 127.0.0.1\nport 2525\nfrom router@example.org\naccount default\n";
    std::fs::write(daemon.path(".msmtprc"), msmtp).unwrap();
    let letter = daemon.path("letter");
    let (sent, said) = init(&daemon, "mail_report", "");
    assert!(!sent && said.contains("msmtp: exit status: "), "no server yet: {said}");
    let mut sink = std::process::Command::new("python3");
    sink.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parts/smtp.py")).arg("2525").arg(&letter);
    let sink = crate::support::Proc::spawn(&sink);
    sink.line_with("ready", DEADLINE);
    let hidden = "mount --make-rprivate /; cp /usr/bin/msmtp \"$HOME/sendmail\"; mount --bind /dev/null /usr/bin/msmtp; \
                  mount --bind \"$HOME/sendmail\" /usr/sbin/sendmail;";
    for before in ["", hidden] {
        let (sent, said) = init(&daemon, "mail_report", before);
        assert!(sent && said.contains("the report was sent"), "{said}");
        let text = std::fs::read_to_string(&letter).unwrap();
        for line in ["RCPT TO:<owner@example.org>", "To: owner@example.org", "Content-Type: text/html; charset=utf-8"] {
            assert!(text.lines().any(|each| each.starts_with(line)), "{line}: {text}");
        }
        assert_eq!(text.lines().filter(|line| line.starts_with("RCPT")).count(), 1);
        std::fs::remove_file(&letter).unwrap();
        // Once a day.
        let (sent, said) = init(&daemon, "mail_report", before);
        assert!(sent && said.is_empty() && !letter.exists(), "{said}");
        // After a reboot what is in memory is gone; on a full overlay what is on flash was never there.
        for gone in ["sent", "sent-kept"] {
            let aside = daemon.path("aside");
            std::fs::rename(daemon.path(gone), &aside).unwrap();
            let (sent, said) = init(&daemon, "mail_report", before);
            assert!(sent && said.is_empty() && !letter.exists(), "{gone}: {said}");
            std::fs::rename(&aside, daemon.path(gone)).unwrap();
        }
        for note in ["sent", "sent-kept"] {
            std::fs::remove_file(daemon.path(note)).unwrap();
        }
    }
    // An address that is none of the letters' reaches no program.
    for address in ["-oQ/tmp/x", "a@b c@d", "|sh", "a@b;id"] {
        daemon.configure(&format!("\toption report_mail '{address}'"), crate::packets::NO_FEED);
        let (status, said) = daemon.exit(&["report", "--mail"]);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("is no mail address") && said.contains("nobody to send it to"), "{said}");
    }
    assert!(!letter.exists());
}

/// Who may write the configuration is not root: what stands there is no command.
#[test]
fn no_name_of_the_configurations_is_a_command_of_nfts() {
    let _netns = crate::support::Netns::enter();
    let daemon = Daemon::prepare("", "");
    let nft = |words: &str| {
        let output = std::process::Command::new("nft").arg(words).output().unwrap();
        assert!(output.status.success(), "{words}");
        String::from_utf8(output.stdout).unwrap()
    };
    nft("add table inet fw4; add chain inet fw4 input { type filter hook input priority 0; policy drop; }");
    let before = nft("list ruleset");
    for call in ["in_force", "drop_empty_table"] {
        let hostile = "set_prefix='input; insert rule inet fw4 input accept; #'; \
                       table='fw4; insert rule inet fw4 input accept; #'; ";
        init(&daemon, &format!("{hostile} {call}"), "");
        assert_eq!(nft("list ruleset"), before, "{call}");
    }
}

/// Whoever can send for many of the owner's rules is looked at no more often than for one.
#[test]
fn all_own_rules_together_have_one_limit() {
    let _netns = crate::support::Netns::enter();
    let blocks: String = (1..=20)
        .map(|n| format!("config block\n\toption ip '203.0.113.{n}'\n\toption proto 'tcp'\n\tlist dest_port '22'\n"))
        .collect();
    let daemon = Daemon::prepare("", &format!("{}\n{blocks}", crate::packets::NO_FEED));
    daemon.load_rules();
    let output = std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("jump diswall_manual4_told").count(), 20, "{text}");
    // Of each family that of the set, and that of the rules.
    assert_eq!(text.matches("prefix \"drop manual\"").count(), 4, "{text}");
}

#[test]
fn cron_gets_a_line_of_words_that_are_known_and_loses_it_again() {
    let daemon = Daemon::prepare("", "");
    let crontabs = daemon.path("crontabs");
    let root = crontabs.join("root");
    let others = "# mine\n5 4 * * * /root/backup\n";
    let line = "/etc/init.d/diswall mail_report";
    std::fs::create_dir(&crontabs).unwrap();
    std::fs::write(&root, others).unwrap();
    let schedule = |options: &str| {
        let (done, said) = init(&daemon, &format!("{options} schedule_report \"$(report_time)\""), "");
        assert!(done && said.is_empty(), "{said}");
        std::fs::read_to_string(&root).unwrap()
    };
    assert_eq!(schedule(""), others, "nobody wants it");
    assert_eq!(schedule("report_mail=a@b;"), format!("{others}0 6-23 * * 1 {line}\n"));
    assert_eq!(schedule("report_mail=a@b; report_day=sun; report_hour=23;"), format!("{others}0 23-23 * * 0 {line}\n"));
    assert_eq!(
        schedule("report_mail='a; b'; report_day='* root reboot'; report_hour='1 * * * * reboot';"),
        format!("{others}0 6-23 * * 1 {line}\n")
    );
    assert_eq!(schedule(""), others);
    assert_eq!(std::fs::read_dir(&crontabs).unwrap().count(), 1, "nothing else is left there");
    // A last line without an end stays a line of its own, and whose it was.
    std::fs::write(&root, others.trim_end()).unwrap();
    assert_eq!(schedule("report_mail=a@b;"), format!("{others}0 6-23 * * 1 {line}\n"));
    assert_eq!(schedule("report_mail=a@b; report_hour=7;"), format!("{others}0 7-23 * * 1 {line}\n"));
    // On a full file system everything stays.
    let full = "mount --make-rprivate /; cp -r \"$HOME/crontabs\" \"$HOME/kept\"; mount -t tmpfs -o size=8k none \
                \"$HOME/crontabs\"; cp \"$HOME/kept/root\" \"$HOME/crontabs/\"; cat /dev/zero 2>/dev/null \
                >\"$HOME/crontabs/zero\";";
    let (done, said) = init(&daemon, "schedule_report ''; cat $CRONTABS/root", full);
    assert!(done && said.contains("cannot be written") && said.contains("/root/backup\n0 7-23"), "{said}");
    assert_eq!(schedule(""), others);
    // Where each program has a file of its own, root's is left alone.
    std::fs::create_dir(daemon.path("cron.d")).unwrap();
    assert_eq!(schedule("report_mail=a@b; report_day=fri; report_hour=0;"), others);
    let own = daemon.path("cron.d/diswall-report");
    assert_eq!(std::fs::read_to_string(&own).unwrap(), format!("0 0-23 * * 5 root {line}\n"));
    schedule("");
    assert!(!own.exists());
}
