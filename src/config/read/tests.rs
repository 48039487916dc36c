//! Whole files: what they set, and every sentence that a mistake earns.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::config::{Action, Direction, PortRange, States};

const SHIPPED: &str = include_str!("../../../openwrt/files/diswall.config");

fn loaded(text: &str) -> Loaded {
    Settings::parse(text.as_bytes(), "f").unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn problems(text: &str) -> String {
    match Settings::parse(text.as_bytes(), "f") {
        Ok(loaded) => loaded.warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn an_empty_file_gives_the_defaults() {
    for text in ["", "\n# nothing\n", "package diswall\n", "config diswall 'main'\n"] {
        let loaded = loaded(text);
        assert_eq!(loaded.settings, Settings::default());
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    }
}

#[test]
fn the_shipped_file_is_the_default() {
    let loaded = loaded(SHIPPED);
    assert_eq!(loaded.warnings.to_string(), "");
    assert_eq!(loaded.settings, Settings::default());
}

#[test]
fn the_shipped_file_shows_every_option_with_its_default() {
    let bare = |line: &str| line.strip_prefix('#').filter(|rest| rest.starts_with(['\t', 'c'])).map(str::to_owned);
    let text: String = SHIPPED.lines().map(|line| bare(line).unwrap_or(line.to_owned()) + "\n").collect();
    let mut loaded = loaded(&text);
    assert_eq!(loaded.warnings.to_string(), "");
    assert_eq!(loaded.settings.main.devices, ["eth0"]);
    assert_eq!((loaded.settings.allow.len(), loaded.settings.block.len()), (1, 1));
    assert_eq!(loaded.settings.scan.ban_times.len(), 3);
    loaded.settings.main.devices.clear();
    loaded.settings.scan.ban_times.clear();
    assert_eq!(loaded.settings.logwatch.len(), 1);
    loaded.settings.logwatch.clear();
    loaded.settings.allow.clear();
    loaded.settings.block.clear();
    assert_eq!(loaded.settings, Settings::default());

    let (sections, _) = uci::sections(text.as_bytes());
    let shown: BTreeSet<(&str, &str)> = sections
        .iter()
        .flat_map(|section| section.options.iter().map(|entry| (section.kind.as_ref(), entry.name.as_ref())))
        .collect();
    let mut known = BTreeSet::new();
    known.extend(MAIN.iter().map(|(name, _)| ("diswall", *name)));
    known.extend(DYNFW.iter().map(|(name, _)| ("dynfw", *name)));
    known.extend(NATS.iter().map(|(name, _)| ("nats", *name)));
    known.extend(SCAN.iter().map(|(name, _)| ("scan", *name)));
    known.extend(LOGIN.iter().map(|(name, _)| ("login", *name)));
    known.extend(LOGWATCH.iter().map(|(name, _)| ("logwatch", *name)));
    known.extend(ALLOW.iter().map(|(name, _)| ("allow", *name)));
    known.extend(BLOCK.iter().map(|(name, _)| ("block", *name)));
    assert_eq!(shown, known);
}

#[test]
fn every_option_is_read() {
    let text = "
config diswall 'main'
	option enabled 'no'
	option local_only 'true'
	option log_level 'debug'
	option table 'filter'
	option set_prefix 'dw'
	list zone 'wan'
	list zone 'guest'
	option device 'eth0  eth1'
	option action 'reject'
	option log_drops 'on'
	option states 'all'
	option direction 'src-dst'
	option disconnect '0'
	option max_entries '4194304'
	option state_dir '/srv/diswall'
	option control '/run/d.sock'
config dynfw 'dynfw'
	option enabled '0'
	option server '192.0.2.1'
	option port '1'
	option server_key 'none'
	option key_url 'none'
	option max_age '90'
	option events '1'
config nats 'nats'
	option enabled '0'
	option server 'nats.example.org'
	option port '4223'
	option client_name 'me'
	option client_pass 'it'\\''s'
	option hostname 'router'
	option tls '1'
	option ca_file '/etc/ssl/ca.pem'
	option share_bans '1'
	option send_statistics '1'
	option refresh '1'
config scan 'scan'
	option enabled '0'
	option nflog_group '65535'
	list honeypot_port '23'
	list honeypot_port '6000-6010'
	list ban_time '10m'
	list ban_time '7d'
	option forget_after '90d'
	option high_port '40000'
	option high_port_packets '5'
	option ipv6_prefix '64'
	option refresh 'on'
config allow
	option ip '198.51.100.7'
	option comment 'office'
config allow 'vpn'
	option ip '2001:db8::/32'
config block
	option ip '203.0.113.0/24'
	option comment 'scanner farm'
	option proto 'tcp'
	list dest_port '22'
	list dest_port '80-81'
	option action 'reject'
	option log '1'
config block
	option ip '203.0.113.9'
";
    let range = |first, last| PortRange { first, last };
    let net = |text: &str| text.parse().expect("a network");
    let block = Block {
        net: net("203.0.113.0/24"),
        comment: "scanner farm".into(),
        proto: Proto::Tcp,
        dest_ports: vec![range(22, 22), range(80, 81)],
        action: Some(Action::Reject),
        log: true,
    };
    let plain = Block {
        net: net("203.0.113.9/32"),
        comment: String::new(),
        proto: Proto::Any,
        dest_ports: vec![],
        action: None,
        log: false,
    };
    let expected = Settings {
        main: Main {
            enabled: false,
            local_only: true,
            log_level: log::LevelFilter::Debug,
            table: "filter".into(),
            set_prefix: "dw".into(),
            zones: vec!["wan".into(), "guest".into()],
            devices: vec!["eth0".into(), "eth1".into()],
            action: Action::Reject,
            log_drops: true,
            states: States::All,
            direction: Direction::SrcDst,
            disconnect: false,
            max_entries: 4_194_304,
            state_dir: "/srv/diswall".into(),
            control: "/run/d.sock".into(),
        },
        dynfw: Dynfw {
            enabled: false,
            server: "192.0.2.1".into(),
            port: 1,
            server_key: None,
            key_url: None,
            max_age: Duration::from_secs(90),
            events: true,
        },
        nats: Nats {
            enabled: false,
            server: "nats.example.org".into(),
            port: 4223,
            client_name: "me".into(),
            client_pass: "it's".into(),
            hostname: Some("router".into()),
            tls: true,
            ca_file: Some("/etc/ssl/ca.pem".into()),
            share_bans: true,
            send_statistics: true,
            refresh: true,
        },
        scan: Scan {
            enabled: false,
            nflog_group: 65535,
            honeypot_ports: vec![range(23, 23), range(6000, 6010)],
            ban_times: vec![Duration::from_secs(600), Duration::from_secs(604_800)],
            forget_after: Duration::from_secs(90 * 86_400),
            high_port: 40_000,
            high_port_packets: 5,
            ipv6_prefix: 64,
            refresh: true,
        },
        login: Login::default(),
        logwatch: vec![],
        allow: vec![
            Allow { net: net("198.51.100.7/32"), comment: "office".into() },
            Allow { net: net("2001:db8::/32"), comment: String::new() },
        ],
        block: vec![block, plain],
    };
    let loaded = loaded(text);
    assert_eq!(loaded.settings, expected);
    assert_eq!(loaded.warnings.to_string(), "");
}

#[test]
fn an_empty_value_leaves_the_default() {
    let text = "config diswall 'main'\n\toption table ''\n\toption zone ''\nconfig nats 'nats'\n\toption hostname ''\n\toption ca_file ''\n";
    let loaded = loaded(text);
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!(loaded.warnings.to_string(), "");
}

#[test]
fn an_empty_key_switches_curve_off_and_says_what_uci_would_do_to_it() {
    let loaded = loaded("config dynfw 'dynfw'\n\toption server_key ''\n");
    assert_eq!(loaded.settings.dynfw.server_key, None);
    assert_eq!(
        loaded.warnings.to_string(),
        "f:2: warning: an empty server_key is lost when uci or LuCI writes the file; write option server_key 'none'"
    );
}

#[test]
fn warnings() {
    let names = "enabled, nflog_group, honeypot_port, ban_time, forget_after, high_port, high_port_packets, ipv6_prefix, refresh";
    let table = [
        (
            "config scan 'scan'\n\toption enbled '1'\n",
            format!("f:2: warning: enbled is ignored; config scan knows {names}"),
        ),
        (
            "config rule\n\toption ip 'x'\n",
            "f:1: warning: config rule is ignored; known types are diswall, dynfw, nats, scan, login, logwatch, allow and block".into(),
        ),
        (
            "config scan 'scan'\n\toption enabled '1'\n\toption enabled '0'\n",
            "f:3: warning: enabled replaces what line 2 set".into(),
        ),
        (
            "config scan\n",
            "f:1: warning: uci and LuCI look for this section under a name; write config scan 'scan'".into(),
        ),
        (
            "config scan 'scan'\nconfig scan 'other'\n",
            "f:2: warning: a second config scan; what it sets replaces that of line 1".into(),
        ),
        (
            "config allow\n\toption ip '0.0.0.0/0'\n",
            "f:2: warning: allow 0.0.0.0/0: every address of that family is exempt, so diswall blocks none of them"
                .into(),
        ),
        (
            "config block\n\toption ip '::/0'\n\toption force '1'\n",
            "f:2: warning: block ::/0: every address of that family, so that nothing from outside gets in".into(),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(loaded(text).warnings.to_string(), expected, "{text}");
    }
}

#[test]
fn errors() {
    let host_bits = "has host bits set; write 203.0.113.0/24 for the network or 203.0.113.7 for the address";
    let table = [
        ("config dynfw 'dynfw'\n\toption port '70000'\n", "f:2: error: port: 70000 is no port; write a number from 1 to 65535".to_owned()),
        ("config block\n\toption ip '203.0.113.7/24'\n", format!("f:2: error: ip: 203.0.113.7/24 {host_bits}")),
        (
            "config block\n\toption ip '0.0.0.0/0'\n",
            "f:2: error: block 0.0.0.0/0: every address of that family, so that nothing from outside gets in; add option force '1' if that is meant".into(),
        ),
        ("config block\n\toption comment 'x'\n", "f:1: error: config block without option ip, an address or a network".into()),
        ("config allow\n\toption ip ''\n", "f:1: error: config allow without option ip, an address or a network".into()),
        (
            "config block\n\toption ip '192.0.2.1'\n\toption proto 'icmp'\n\tlist dest_port '22'\n",
            "f:4: error: dest_port needs option proto 'tcp' or 'udp' beside it".into(),
        ),
        (
            "config scan 'scan'\n\tlist enabled '1'\n",
            "f:2: error: list enabled: enabled takes one value; write option enabled 'VALUE'".into(),
        ),
        (
            "config scan 'scan'\n\tlist honeypot_port '1'\n\tlist honeypot_port '0'\n",
            "f:3: error: honeypot_port: 0 is neither a port nor a range of ports; write 22 or 6000-6010, numbers from 1 to 65535".into(),
        ),
        (
            "config diswall 'main'\n\toption max_entries '4194305'\n",
            "f:2: error: max_entries: 4194305 is no whole number from 1 to 4194304".into(),
        ),
        ("config dynfw 'dynfw'\n\toption max_age '0'\n", "f:2: error: max_age: 0 is too short; the least is 1s".into()),
    ];
    for (text, expected) in table {
        let problems = Settings::parse(text.as_bytes(), "f").expect_err(text);
        assert_eq!(problems.to_string(), expected, "{text}");
    }
}

#[test]
fn every_problem_is_reported_in_the_order_of_its_line() {
    let text = "config dynfw 'dynfw'\n\toption port '70000'\n\toption enbled '1'\nfoo\nconfig block\n\toption ip 'x'\n";
    let lines: Vec<String> = problems(text).lines().map(|line| line.chars().take(12).collect()).collect();
    assert_eq!(lines, ["f:2: error: ", "f:3: warning", "f:4: error: ", "f:6: error: "]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let problems = Settings::load(Path::new("/nonexistent/diswall")).expect_err("no such file");
    assert_eq!(
        problems.to_string(),
        "/nonexistent/diswall: error: cannot be read: No such file or directory (os error 2)"
    );
    let directory = tempfile::tempdir().expect("a directory");
    assert!(
        Settings::load(directory.path())
            .expect_err("a directory")
            .to_string()
            .contains("cannot be read: Is a directory")
    );
}

#[test]
fn a_file_is_read_from_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("diswall");
    std::fs::write(&path, "config scan 'scan'\n\toption enabled '0'\n").expect("a file");
    assert!(!Settings::load(&path).expect("settings").settings.scan.enabled);
    std::fs::write(&path, vec![b'#'; uci::MAX_FILE + 1]).expect("a file");
    let problems = Settings::load(&path).expect_err("too long").to_string();
    assert!(problems.ends_with(":1: error: the text goes on after 1048576 bytes, the most accepted"), "{problems}");
}

#[test]
fn log_watches() {
    let text = "
config login 'login'
	option enabled '0'
	list service 'ssh'
	option attempts '3'
	option window '1h'
	option source '/var/log/messages'
config logwatch 'vpn'
	list program 'openvpn'
	list pattern '<HOST> TLS Error: *'
	list pattern 'AUTH_FAILED from <HOST>'
	option attempts '1'
	option window '5m'
	option source '/var/log/vpn.log'
config logwatch
	option name 'panel'
	option pattern 'bad login from <HOST>'
config logwatch 'off'
	option enabled '0'
	list pattern 'x <HOST>'
config logwatch
	option preset 'nginx'
	option source '/var/log/nginx/error.log'
";
    let settings = loaded(text).settings;
    let file = |path: &str| super::super::LogSource::File(path.into());
    assert!(!settings.login.enabled);
    assert_eq!((&settings.login.services[..], settings.login.limit.attempts), (&["ssh".to_owned()][..], 3));
    assert_eq!((settings.login.limit.window.as_secs(), &settings.login.source), (3600, &file("/var/log/messages")));
    let [vpn, panel, nginx] = &settings.logwatch[..] else { panic!("{:?}", settings.logwatch) };
    assert_eq!((vpn.name.as_str(), &vpn.programs[..], vpn.patterns.len()), ("vpn", &["openvpn".to_owned()][..], 2));
    assert_eq!((vpn.limit.attempts, vpn.limit.window.as_secs(), &vpn.source), (1, 300, &file("/var/log/vpn.log")));
    assert_eq!((panel.name.as_str(), panel.patterns[0].text()), ("panel", "bad login from <HOST>"));
    assert_eq!((panel.limit, panel.programs.len()), (Limit::default(), 0));
    assert_eq!((nginx.name.as_str(), nginx.preset.as_deref(), nginx.patterns.len()), ("nginx", Some("nginx"), 0));
}

#[test]
fn mistakes_in_log_watches() {
    for (text, want) in [
        ("config logwatch 'a'\n", "without option preset or list pattern"),
        (
            "config logwatch 'a'\n\tlist pattern '* from <HOST>:*'\n",
            "f:2: error: pattern: \"* from <HOST>:*\" does not say where <HOST>",
        ),
        ("config logwatch 'a'\n\toption preset 'telnet'\n", "f:2: error: preset: telnet is no service"),
        ("config logwatch 'a'\n\tlist pattern 'x'\n", "has no <HOST>"),
        ("config logwatch 'a'\n\tlist pattern 'x <HOST>'\n\toption source 'x'\n", "write auto or a file"),
        ("config logwatch 'a'\n\tlist pattern 'x <HOST>'\n\toption attempts '0'\n", "from 1 to 100"),
        ("config login 'login'\n\tlist service 'telnet'\n", "write ssh, luci, smtp, imap, sip, ftp"),
    ] {
        assert!(problems(text).contains(want), "{text}: {}", problems(text));
    }
}
