//! Whole files: what they set, and every sentence that a mistake earns.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::config::{Action, Direction, MAX_NAMES, Main, Named, PortRange, Proto, States};
use crate::feed::login::LogSource;
use crate::feed::login::attempts::Limit;
use crate::feed::{self, crowdsec, dynfw, lists, nats, scan};
use crate::options::problem::MAX_PROBLEMS;

const SHIPPED: &str = include_str!("../../../openwrt/files/diswall.config");

fn loaded(text: &str) -> Loaded {
    let loaded = Settings::parse(text.as_bytes(), "f", b"");
    assert!(!loaded.problems.has_errors(), "{text}\n{}", loaded.problems);
    loaded
}

fn problems(text: &str) -> String {
    Settings::parse(text.as_bytes(), "f", b"").problems.to_string()
}

#[test]
fn an_empty_file_gives_the_defaults() {
    for text in ["", "\n# nothing\n", "package diswall\n", "config diswall 'main'\n"] {
        let loaded = loaded(text);
        assert_eq!(loaded.settings, Settings::default());
        assert!(loaded.problems.is_empty(), "{}", loaded.problems);
    }
}

#[test]
fn the_shipped_file_is_the_default() {
    let loaded = loaded(SHIPPED);
    assert_eq!(loaded.problems.to_string(), "");
    assert_eq!(loaded.settings, Settings::default());
}

#[test]
fn the_shipped_file_shows_every_option_with_its_default() {
    let bare = |line: &str| line.strip_prefix('#').filter(|rest| rest.starts_with(['\t', 'c'])).map(str::to_owned);
    let text: String = SHIPPED.lines().map(|line| bare(line).unwrap_or(line.to_owned()) + "\n").collect();
    let mut loaded = loaded(&text);
    assert_eq!(loaded.problems.to_string(), "");
    assert_eq!(loaded.settings.main.devices, ["eth0"]);
    assert_eq!((loaded.settings.allow.len(), loaded.settings.block.len()), (1, 1));
    assert_eq!(loaded.settings.feeds.scan.ban_times.len(), 3);
    loaded.settings.main.devices.clear();
    loaded.settings.feeds.scan.ban_times.clear();
    assert_eq!(loaded.settings.feeds.logwatch.len(), 1);
    loaded.settings.feeds.logwatch.clear();
    // What the example of a list says beside its defaults.
    let list = loaded.settings.feeds.lists.pop().unwrap();
    let shown =
        (list.urls.len(), list.zones.len(), list.dest_ports.len(), list.action, list.log_drops, list.login.is_some());
    assert_eq!(shown, (1, 1, 1, Some(Action::Drop), Some(false), true));
    let new = lists::Settings::new("farm");
    let bare = lists::Settings {
        urls: vec![],
        countries: vec![],
        asns: vec![],
        zones: vec![],
        dest_ports: vec![],
        action: None,
        log_drops: None,
        login: None,
        ..list
    };
    assert_eq!(bare, new);
    loaded.settings.allow.clear();
    loaded.settings.block.clear();
    let crowdsec = &mut loaded.settings.feeds.crowdsec;
    for examples in [&mut crowdsec.origins, &mut crowdsec.scenarios_containing, &mut crowdsec.scenarios_not_containing]
    {
        assert_eq!(examples.len(), 1);
        examples.clear();
    }
    assert_eq!(std::mem::take(&mut loaded.settings.feeds.abuseipdb.own).len(), 1);
    assert_eq!(loaded.settings, Settings::default());

    let (sections, _) = uci::sections(text.as_bytes());
    let shown: BTreeSet<(&str, &str)> = sections
        .iter()
        .flat_map(|section| section.options.iter().map(|entry| (section.kind.as_ref(), entry.name.as_ref())))
        .collect();
    let mut known = BTreeSet::new();
    for kind in kinds() {
        known.extend(options_of(kind).iter().map(|(name, _)| (kind, *name)));
    }
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
	option report '0'
	option report_mail 'ops@example.org'
	option report_day 'sun'
	option report_hour '23'
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
	option nkey_file '/etc/diswall/nats.nk'
	option quorum '3'
	option share_bans '1'
	option send_statistics '1'
	option refresh '1'
config crowdsec 'crowdsec'
	option enabled '1'
	option url 'https://lapi.example.org:8443/'
	option api_key 'it-is-a-key'
	option api_key_file '/etc/diswall/crowdsec.key'
	option cert '/etc/ssl/router.pem'
	option key '/etc/ssl/router.key'
	option interval '30s'
	list scopes 'ip'
	list origins 'CAPI'
	list scenarios_containing 'ssh'
	list scenarios_not_containing 'http'
	option dedup '0'
	option usage_metrics '0'
	list types 'ban'
	list types 'captcha'
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
            max_entries: crate::config::MaxEntries::Entries(4_194_304),
            report: false,
            report_mail: Some("ops@example.org".into()),
            report_day: 0,
            report_hour: 23,
            state_dir: "/srv/diswall".into(),
            control: "/run/d.sock".into(),
        },
        feeds: feed::Settings {
            dynfw: dynfw::Settings {
                enabled: false,
                server: "192.0.2.1".into(),
                port: 1,
                server_key: None,
                key_url: None,
                max_age: Duration::from_secs(90),
                events: true,
            },
            nats: nats::Settings {
                enabled: false,
                servers: vec!["nats.example.org".into()],
                port: 4223,
                client_name: "me".into(),
                client_pass: "it's".into(),
                hostname: Some("router".into()),
                tls: true,
                ca_file: Some("/etc/ssl/ca.pem".into()),
                nkey_file: Some("/etc/diswall/nats.nk".into()),
                quorum: 3,
                share_bans: true,
                send_statistics: true,
                refresh: true,
            },
            crowdsec: crowdsec::Settings {
                enabled: true,
                url: "https://lapi.example.org:8443/".into(),
                api_key: Some("it-is-a-key".into()),
                api_key_file: Some("/etc/diswall/crowdsec.key".into()),
                cert: Some("/etc/ssl/router.pem".into()),
                key: Some("/etc/ssl/router.key".into()),
                interval: Duration::from_secs(30),
                scopes: vec!["ip".into()],
                origins: vec!["CAPI".into()],
                scenarios_containing: vec!["ssh".into()],
                scenarios_not_containing: vec!["http".into()],
                dedup: false,
                usage_metrics: false,
                captcha: true,
            },
            scan: scan::Settings {
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
            ..feed::Settings::default()
        },
        allow: vec![
            Allow { net: net("198.51.100.7/32"), comment: "office".into() },
            Allow { net: net("2001:db8::/32"), comment: String::new() },
        ],
        block: vec![block, plain],
        named: vec![],
    };
    let loaded = loaded(text);
    assert_eq!(loaded.settings, expected);
    let problems = loaded.problems.to_string();
    // A program without TLS, as in the packages, says so.
    let said = if cfg!(feature = "tls") { vec![] } else { vec!["without TLS"] };
    assert_eq!(problems.lines().count(), said.len(), "{problems}");
    assert!(said.iter().all(|words| problems.contains(words)), "{problems}");
}

#[test]
fn an_empty_value_leaves_the_default() {
    let text = "config diswall 'main'\n\toption table ''\n\toption zone ''\nconfig nats 'nats'\n\toption hostname ''\n\toption ca_file ''\n";
    let loaded = loaded(text);
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!(loaded.problems.to_string(), "");
}

#[test]
fn an_empty_key_switches_curve_off_and_says_what_uci_would_do_to_it() {
    let loaded = loaded("config dynfw 'dynfw'\n\toption server_key ''\n");
    assert_eq!(loaded.settings.feeds.dynfw.server_key, None);
    assert_eq!(
        loaded.problems.to_string(),
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
            "f:1: warning: config rule is ignored; known types are diswall, dynfw, nats, crowdsec, abuseipdb, scan, login, logwatch, list, allow and block".into(),
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
        assert_eq!(loaded(text).problems.to_string(), expected, "{text}");
    }
}

#[test]
fn errors() {
    let table = [
        ("config dynfw 'dynfw'\n\toption port '70000'\n", "f:2: error: port: 70000 is no port; write a number from 1 to 65535; its default is in force".to_owned()),
        (
            "config block\n\toption ip '203.0.113.7/0'\n",
            "f:2: error: ip: 203.0.113.7/0 has host bits set; write 0.0.0.0/0 for the network or 203.0.113.7 for the address; config block of line 1 is left out".into(),
        ),
        (
            "config block\n\toption ip '0.0.0.0/0'\n",
            "f:2: error: block 0.0.0.0/0: every address of that family, so that nothing from outside gets in; add option force '1' if that is meant; config block of line 1 is left out".into(),
        ),
        ("config block\n\toption comment 'x'\n", "f:1: error: config block without option ip, an address or a network; config block of line 1 is left out".into()),
        ("config allow 'a'\n\toption ip ''\n", "f:1: error: config allow without option ip, an address or a network; config allow 'a' of line 1 is left out".into()),
        (
            "config block\n\toption ip '192.0.2.1'\n\toption proto 'icmp'\n\tlist dest_port '22'\n",
            "f:4: error: dest_port needs option proto 'tcp' or 'udp' beside it; config block of line 1 is left out".into(),
        ),
        (
            "config scan 'scan'\n\tlist enabled '1'\n\tlist enabled '0'\n",
            "f:2: error: list enabled: enabled takes one value; write option enabled 'VALUE'; its default is in force".into(),
        ),
        (
            "config scan 'scan'\n\tlist honeypot_port '1'\n\tlist honeypot_port '0'\n",
            "f:3: error: honeypot_port: 0 is neither a port nor a range of ports; write 22 or 6000-6010, numbers from 1 to 65535; it is left out".into(),
        ),
        (
            "config diswall 'main'\n\toption max_entries '4194305'\n",
            "f:2: error: max_entries: 4194305 is neither \"auto\" nor a whole number from 1 to 4194304; its default is in force".into(),
        ),
        ("config dynfw 'dynfw'\n\toption max_age '0'\n", "f:2: error: max_age: 0 is too short; the least is 1s; its default is in force".into()),
    ];
    for (text, expected) in table {
        let loaded = Settings::parse(text.as_bytes(), "f", b"");
        assert!(loaded.problems.has_errors() && !loaded.broken, "{text}");
        assert_eq!(loaded.problems.to_string(), expected, "{text}");
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
    let problems = Settings::load(Path::new("/nonexistent/diswall"), b"").expect_err("no such file");
    assert_eq!(
        problems.to_string(),
        "/nonexistent/diswall: error: cannot be read: No such file or directory (os error 2)"
    );
    let directory = tempfile::tempdir().expect("a directory");
    assert!(
        Settings::load(directory.path(), b"")
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
    assert!(!Settings::load(&path, b"").expect("settings").settings.feeds.scan.enabled);
    std::fs::write(&path, vec![b'#'; uci::MAX_FILE + 1]).expect("a file");
    let problems = Settings::load(&path, b"").expect("what fits").problems.to_string();
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
    let file = |path: &str| LogSource::File(path.into());
    assert!(!settings.feeds.login.enabled);
    assert_eq!((&settings.feeds.login.services[..], settings.feeds.login.limit.attempts), (&["ssh".to_owned()][..], 3));
    assert_eq!(
        (settings.feeds.login.limit.window.as_secs(), &settings.feeds.login.source),
        (3600, &file("/var/log/messages"))
    );
    let [vpn, panel, nginx] = &settings.feeds.logwatch[..] else { panic!("{:?}", settings.feeds.logwatch) };
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

/// What is in force of a text, over `in_force`.
fn over(text: &str, in_force: &str) -> Loaded {
    Settings::parse(text.as_bytes(), "f", in_force.as_bytes())
}

#[test]
fn one_bad_entry_costs_that_entry() {
    let good = "config block\n\toption ip '198.51.100.66'\n";
    for bad in [
        "config block\n\toption ip 'Eo203.0.113.243'\n",
        "config block 'b'\n\toption ip '203.0.113.1'\n\toption proto 'tpc'\n",
        "config block\n\toption ip '203.0.113.1'\n\toption proto 'tcp'\n\tlist dest_port 'ssh'\n",
        "config block\n\toption ip '0.0.0.0/0'\n",
        "config allow\n\toption ip '198.51.100.300'\n",
        "config allow\n\tlist ip '198.51.100.1'\n\tlist ip '198.51.100.2'\n",
        "config logwatch 'vpn'\n\tlist pattern 'TLS Auth Error'\n",
        "config logwatch 'vpn'\n\tlist pattern '<HOST> x'\n\tlist program 'a b'\n",
        "config logwatch 'vpn'\n\tlist pattern '<HOST> x'\n\toption enabled 'nein'\n",
    ] {
        let loaded = over(&format!("{bad}{good}"), "");
        let said = loaded.problems.to_string();
        assert!(loaded.problems.has_errors() && !loaded.broken && said.ends_with("is left out"), "{bad}: {said}");
        let settings = Settings { block: over(good, "").settings.block, ..Settings::default() };
        assert_eq!(loaded.settings, settings, "{bad}");
        let kept = over(std::str::from_utf8(loaded.good(b"")).expect("text"), "");
        assert_eq!((kept.settings, kept.problems.to_string()), (settings, String::new()), "{bad}");
    }
}

#[test]
fn what_was_plainly_meant_is_taken_and_said() {
    let long = "é".repeat(200);
    let text = format!(
        "config block\n\toption ip '203.0.113.7/24'\nconfig allow\n\toption ip ' 198.51.100.9\t'\n\toption comment '{long}'\n\
         config allow\n\toption ip '2001:db8::7/32 '\n\toption comment 'a\tb'\nconfig scan 'scan'\n\toption enabled ' 0 '\n"
    );
    let loaded = loaded(&text);
    assert_eq!(loaded.settings.block[0].net.to_string(), "203.0.113.0/24");
    let nets: Vec<String> = loaded.settings.allow.iter().map(|allow| allow.net.to_string()).collect();
    assert_eq!(nets, ["198.51.100.9/32", "2001:db8::/32"]);
    assert_eq!(
        (loaded.settings.allow[0].comment.as_str(), loaded.settings.allow[1].comment.as_str()),
        (&*"é".repeat(60), "a b")
    );
    assert!(!loaded.settings.feeds.scan.enabled);
    let said = loaded.problems.to_string();
    assert_eq!(said.lines().count(), 7, "{said}");
    assert!(
        said.contains("f:2: warning: ip: 203.0.113.7/24 has host bits set") && said.contains("taken as 203.0.113.0/24"),
        "{said}"
    );
}

#[test]
fn a_bad_option_leaves_the_value_in_force_else_the_default() {
    let bad = "config diswall 'main'\n\toption action 'shoot'\n\toption states 'all'\n\tlist zone 'w!'\nconfig dynfw 'dynfw'\n\toption port 'x'\n";
    let start = over(bad, "");
    assert_eq!((start.settings.main.action, start.settings.main.states), (Action::Drop, States::All));
    assert_eq!((start.settings.feeds.dynfw.port, &start.settings.main.zones[..]), (7087, &["wan".to_owned()][..]));
    assert!(start.problems.to_string().contains("write drop or reject; its default is in force"), "{}", start.problems);

    let former = "config diswall 'main'\n\toption action 'reject'\n\toption states 'new'\n\tlist zone 'a'\n\tlist zone 'b'\nconfig dynfw 'dynfw'\n\toption port '99'\n";
    let reload = over(bad, former);
    assert_eq!((reload.settings.main.action, reload.settings.main.states), (Action::Reject, States::All));
    assert_eq!((reload.settings.feeds.dynfw.port, reload.settings.main.zones.len()), (99, 2));
    assert!(reload.problems.to_string().contains("write drop or reject; the value in force stays"));
    // A second reload, and a start from what was kept, find the same.
    assert_eq!(over(bad, &reload.options).settings, reload.settings);
    let kept = over(std::str::from_utf8(reload.good(b"")).expect("text"), "");
    assert_eq!((kept.settings, kept.problems.to_string()), (reload.settings, String::new()));
}

#[test]
fn bad_items_of_a_list_are_left_out() {
    let loaded = over("config diswall 'main'\n\tlist zone 'wan'\n\tlist zone 'w!'\n\tlist zone 'vpn'\n", "");
    assert_eq!(loaded.settings.main.zones, ["wan", "vpn"]);
    assert!(loaded.problems.has_errors());
    assert!(String::from_utf8_lossy(loaded.good(b"")).contains("\tlist zone 'wan'\n\tlist zone 'vpn'\n"));
    let ports = "config block\n\toption ip '203.0.113.1'\n\toption proto 'tcp'\n\toption dest_port '22 ssh 80'\n";
    let block = &over(ports, "").settings.block[0];
    assert_eq!(block.dest_ports.len(), 2);
}

#[test]
fn an_account_is_not_told_to_a_server_that_was_not_meant() {
    let account = "\toption client_name 'me'\n\toption client_pass 'secret'\n\toption share_bans '1'\n";
    for bad in ["server 'my server'", "tls 'ja'", "ca_file 'ca.pem'"] {
        let text = format!("config nats 'nats'\n\toption {bad}\n{account}");
        let nats = over(&text, "").settings.feeds.nats;
        assert_eq!(
            (nats.client_name.as_str(), nats.client_pass.as_str(), nats.share_bans),
            ("default", "default", false)
        );
        let former = format!("config nats 'nats'\n\toption server 'a.example'\n{}", account.replace("'me'", "'you'"));
        let nats = over(&text, &former).settings.feeds.nats;
        assert_eq!(
            (nats.servers == ["diswall.stream"], nats.client_name.as_str(), nats.share_bans),
            (false, "you", true),
            "{bad}"
        );
    }
}

#[test]
fn the_problems_that_are_told_are_bounded() {
    let loaded = over(&"config block\n\toption ip 'x'\n".repeat(5000), "");
    let said = loaded.problems.to_string();
    assert_eq!(said.lines().count(), MAX_PROBLEMS + 1);
    assert!(said.ends_with("f: and 4900 more"), "{said}");
}

#[test]
fn host_names_are_kept_for_the_resolver() {
    let text = "config allow\n\toption ip 'Home.example.org '\n\toption comment 'me'\nconfig block\n\toption ip 'evil.example.com'\n";
    let named = loaded(text).settings.named;
    let expected = |name: &str, allow, comment: &str| Named { name: name.into(), allow, comment: comment.into() };
    assert_eq!(named, [expected("home.example.org", true, "me"), expected("evil.example.com", false, "")]);
    // A slip in an address is no name, nor is a word.
    for bad in ["Eo203.0.113.243", "198.51.100.300", "nas", "a..b", "-a.example"] {
        let loaded = over(&format!("config allow\n\toption ip '{bad}'\n"), "");
        assert!(loaded.settings.named.is_empty() && loaded.problems.has_errors(), "{bad}");
    }
    let foreign = over("config block\n\toption ip 'münchen.example'\n", "");
    assert!(foreign.problems.to_string().contains("xn--mnchen-3ya.example") && foreign.settings.named.is_empty());
    let ports = over("config block\n\toption ip 'a.example'\n\toption proto 'tcp'\n", "");
    assert!(ports.problems.to_string().contains("blocked as a whole") && ports.settings.named.is_empty());
    let many: String = (0..=MAX_NAMES).map(|n| format!("config allow\n\toption ip 'a{n}.example'\n")).collect();
    let loaded = over(&many, "");
    assert_eq!((loaded.settings.named.len(), loaded.problems.list.len()), (MAX_NAMES, 1));
}

#[test]
fn what_a_second_section_may_not_say_is_not_kept_of_the_first() {
    let text = "config nats 'a'\n\toption client_name 'me'\n\toption client_pass 'secret'\n\
                config nats 'nats'\n\toption server 'bad host'\n";
    let loaded = Settings::parse(text.as_bytes(), "f", b"");
    assert_eq!(loaded.settings.feeds.nats, nats::Settings::default());
    let kept = Settings::parse(loaded.good(text.as_bytes()), "f", b"");
    assert_eq!(kept.settings, loaded.settings);
    assert!(!loaded.options.contains("secret"), "{}", loaded.options);
}

#[test]
fn no_list_has_the_name_of_another_source() {
    for name in ["dynfw", "nats", "scan", "manual", "crowdsec", "allow"] {
        let text = format!("config list '{name}'\n\tlist url '/tmp/x'\nconfig crowdsec 'c'\n");
        let loaded = Settings::parse(text.as_bytes(), "f", &[]);
        assert!(loaded.settings.feeds.lists.is_empty(), "{name}");
        assert!(loaded.problems.to_string().contains("that name is taken"), "{}", loaded.problems);
    }
}
