//! Edits of real files in temporary directories: what the file says afterwards, byte for byte, and that a
//! request that cannot be met leaves it as it was.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::PortRange;

struct Config {
    directory: tempfile::TempDir,
}

impl Config {
    fn new(text: &str) -> Config {
        let config = Config { directory: tempfile::tempdir().expect("a directory") };
        fs::write(config.path(), text).expect("a file");
        config
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("diswall")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).expect("the file")
    }

    fn edit(&self, request: &Edit<'_>) -> Result<Vec<Outcome>, EditError> {
        edit(&self.path(), request).map(|edited| edited.outcomes)
    }

    fn outcomes(&self, request: &Edit<'_>) -> Vec<Outcome> {
        self.edit(request).expect("an edit")
    }
}

fn net(text: &str) -> IpNet {
    value::net(text).expect("a network")
}

fn allow(net_text: &str, comment: &str) -> Allow {
    Allow { net: net(net_text), comment: comment.into() }
}

fn block(net_text: &str, comment: &str) -> Block {
    Block {
        net: net(net_text),
        comment: comment.into(),
        proto: Proto::Any,
        dest_ports: vec![],
        action: None,
        log: false,
    }
}

const HAND_WRITTEN: &str = "\
# mine
config diswall 'main'
	option enabled   \"1\"   # on

config allow		# the office
	option comment 'office' # not too long
	option ip 198.51.100.7

config block 'farm'
	# they scan all day
	option ip '203.0.113.0/24'

# ssh only
config block
	option ip '203.0.113.0/24'
	option proto 'tcp'
	list dest_port '22'
config block
	option ip '192.0.2.1'
	option comment 'x'
# end";

#[test]
fn sections_are_added_at_the_end() {
    let config = Config::new(HAND_WRITTEN);
    let blocks = [
        Block {
            proto: Proto::Udp,
            dest_ports: vec![PortRange { first: 53, last: 53 }, PortRange { first: 100, last: 200 }],
            action: Some(Action::Reject),
            ..block("2001:db8::/32", "it's \"quoted\"; # $(x)")
        },
        block("192.0.2.9", ""),
    ];
    let done = config.edit(&Edit::Block { blocks: &blocks, force: false }).expect("an edit");
    assert_eq!(done, [Outcome::Added; 2]);
    let added = "

config block
	option ip '2001:db8::/32'
	option comment 'it'\\''s \"quoted\"; # $(x)'
	option proto 'udp'
	list dest_port '53'
	list dest_port '100-200'
	option action 'reject'

config block
	option ip '192.0.2.9'
";
    assert_eq!(config.text(), format!("{HAND_WRITTEN}{added}"));
    let settings = Settings::load(&config.path(), b"").expect("settings").settings;
    assert_eq!(settings.block[3..], blocks);
}

/// Which edits alter the rules is told without writing them; that must be what writing them would tell. And what is
/// to be in force is what another reading of the file says.
#[test]
fn an_edit_says_what_follows_from_it() {
    let one = |block: Block| vec![block];
    let reject = |block: Block| Block { action: Some(Action::Reject), ..block };
    let ssh = Block {
        proto: Proto::Tcp,
        dest_ports: vec![PortRange { first: 22, last: 22 }],
        ..block("203.0.113.0/24", "another comment")
    };
    let blocks = [
        one(block("192.0.2.9", "")),
        one(block("192.0.2.1", "another comment")),
        one(reject(block("192.0.2.9", ""))),
        one(reject(block("192.0.2.1", ""))),
        one(ssh.clone()),
        one(Block { action: Some(Action::Drop), ..ssh.clone() }),
        one(Block { action: Some(Action::Drop), ..block("192.0.2.9", "") }),
        one(reject(ssh)),
        vec![block("192.0.2.9", ""), reject(block("2001:db8::/32", ""))],
    ];
    let nets = [net("192.0.2.1"), net("203.0.113.0/24"), net("198.51.100.7")];
    let mut edits: Vec<Edit<'_>> = blocks.iter().map(|blocks| Edit::Block { blocks, force: false }).collect();
    edits.extend(nets.chunks(1).map(Edit::Unblock));
    edits.extend(nets.chunks(1).map(Edit::Disallow));
    let allows = [allow("198.51.100.7", "new"), allow("192.0.2.0/24", "")];
    edits.push(Edit::Allow(&allows));
    let mut altered = 0;
    for request in edits {
        let config = Config::new(HAND_WRITTEN);
        let load = || Settings::load(&config.path(), b"").expect("settings");
        let before = load();
        let edited = edit(&config.path(), &request).expect("an edit");
        let after = load();
        let text = |loaded: &Loaded| rules::standalone(&loaded.settings);
        assert_eq!(edited.rules, text(&before) != text(&after), "{request:?}");
        // The edit goes by the file's real name.
        assert_eq!((&edited.loaded.settings, &edited.loaded.options), (&after.settings, &after.options), "{request:?}");
        assert_eq!(edited.text, config.text().as_bytes(), "{request:?}");
        altered += usize::from(edited.rules);
    }
    assert_eq!(altered, 5);
}

#[test]
fn what_is_there_is_not_written_twice() {
    let config = Config::new(HAND_WRITTEN);
    let same = [allow("198.51.100.7", ""), allow("198.51.100.7", "office")];
    let done = config.edit(&Edit::Allow(&same)).expect("an edit");
    assert_eq!(done, [Outcome::Unchanged; 2]);
    assert_eq!(config.text(), HAND_WRITTEN);
}

#[test]
fn a_new_comment_replaces_the_old_in_its_place() {
    let config = Config::new(HAND_WRITTEN);
    assert_eq!(config.outcomes(&Edit::Allow(&[allow("198.51.100.7", "home")])), [Outcome::Changed]);
    assert_eq!(config.text(), HAND_WRITTEN.replace("option comment 'office' #", "option comment 'home' #"));

    let config = Config::new(HAND_WRITTEN);
    let blocks = [Block { action: Some(Action::Reject), ..block("203.0.113.0/24", "farm") }];
    assert_eq!(config.outcomes(&Edit::Block { blocks: &blocks, force: false }), [Outcome::Changed]);
    let farm = "	# they scan all day\n	option ip '203.0.113.0/24'\n";
    let new = format!("{farm}	option comment 'farm'\n	option action 'reject'\n");
    assert_eq!(config.text(), HAND_WRITTEN.replacen(farm, &new, 1));
}

#[test]
fn sections_are_taken_out_and_nothing_else() {
    let config = Config::new(HAND_WRITTEN);
    let outcomes = config.outcomes(&Edit::Unblock(&[net("203.0.113.0/24"), net("203.0.113.0/25")]));
    assert_eq!(outcomes, [Outcome::Removed, Outcome::NotThere]);
    let expected = "\
# mine
config diswall 'main'
	option enabled   \"1\"   # on

config allow		# the office
	option comment 'office' # not too long
	option ip 198.51.100.7

# ssh only
config block
	option ip '192.0.2.1'
	option comment 'x'
# end";
    assert_eq!(config.text(), expected);
    assert_eq!(config.outcomes(&Edit::Disallow(&[net("198.51.100.7")])), [Outcome::Removed]);
    assert_eq!(config.outcomes(&Edit::Disallow(&[net("198.51.100.7")])), [Outcome::NotThere]);
    assert!(!config.text().contains("allow"));
}

#[test]
fn a_named_section_in_two_parts_goes_as_a_whole() {
    let config = Config::new(
        "config block 'a'\n\toption ip '192.0.2.1'\nconfig scan 'scan'\nconfig block 'a'\n\toption comment 'x'\n",
    );
    assert_eq!(config.outcomes(&Edit::Unblock(&[net("192.0.2.1")])), [Outcome::Removed]);
    assert_eq!(config.text(), "config scan 'scan'\n");
}

/// The request is refused with this sentence, and the file is as it was.
fn refused(text: &str, request: &Edit<'_>, expected: &str) {
    let config = Config::new(text);
    let error = config.edit(request).expect_err(text).to_string();
    assert!(error.contains(expected), "{error}");
    assert_eq!(config.text(), text);
    assert_eq!(fs::read_dir(config.directory.path()).expect("the directory").count(), 1, "something was left behind");
}

#[test]
fn a_refused_request_changes_nothing() {
    let blocks = [block("192.0.2.1", ""), block("0.0.0.0/0", "")];
    let everything = Edit::Block { blocks: &blocks, force: false };
    refused(HAND_WRITTEN, &everything, "block 0.0.0.0/0 would block every address of that family");
    refused(
        "config block\n\toption ip 'x\n",
        &Edit::Allow(&[allow("192.0.2.1", "")]),
        ":2: error: the quote ' opened here is never closed",
    );
    let lines = [allow("192.0.2.1", "fine"), allow("192.0.2.2", "two\nlines")];
    refused(HAND_WRITTEN, &Edit::Allow(&lines), "has a line end");
    let twice = [allow("192.0.2.1", "a"), allow("192.0.2.1", "b")];
    refused(HAND_WRITTEN, &Edit::Allow(&twice), "192.0.2.1 is given twice and differently");
    let one_line = "config 'block' 'a'; option 'ip' '192.0.2.1'\n";
    refused(one_line, &Edit::Unblock(&[net("192.0.2.1")]), "line 1 has several commands; edit it by hand");
}

#[test]
fn everything_is_blocked_by_force_alone() {
    let config = Config::new("");
    config.outcomes(&Edit::Block { blocks: &[block("::/0", "")], force: true });
    assert_eq!(config.text(), "config block\n\toption ip '::/0'\n\toption force '1'\n");
}

#[test]
fn a_missing_file_is_named() {
    let error = edit(Path::new("/nonexistent/diswall"), &Edit::Allow(&[])).expect_err("no file");
    assert_eq!(error.to_string(), "opening /nonexistent/diswall: No such file or directory (os error 2)");
}

#[test]
fn mode_owner_and_link_are_kept() {
    let config = Config::new(HAND_WRITTEN);
    fs::set_permissions(config.path(), fs::Permissions::from_mode(0o640)).expect("a mode");
    // Where the test does not run as root the owner stays what it is anyway.
    let _ = std::os::unix::fs::chown(config.path(), Some(12345), Some(54321));
    let before = fs::metadata(config.path()).expect("the file");
    let link = config.directory.path().join("link");
    symlink("diswall", &link).expect("a link");
    // What a killed edit left behind is no obstacle.
    fs::write(config.directory.path().join(".diswall.diswall-new"), "half").expect("a file");

    edit(&link, &Edit::Allow(&[allow("192.0.2.1", "")])).expect("an edit");
    let after = fs::metadata(config.path()).expect("the file");
    assert_eq!((before.mode(), before.uid(), before.gid()), (after.mode(), after.uid(), after.gid()));
    assert!(fs::symlink_metadata(&link).expect("the link").is_symlink());
    assert!(config.text().ends_with("option ip '192.0.2.1'\n"));
    assert_eq!(fs::read_dir(config.directory.path()).expect("the directory").count(), 2);
}

#[test]
fn edits_at_the_same_time_are_all_made() {
    let config = Config::new(HAND_WRITTEN);
    thread::scope(|scope| {
        for writer in 0..6 {
            let config = &config;
            scope.spawn(move || {
                for number in 0..5 {
                    let new = allow(&format!("198.18.{writer}.{number}"), "");
                    assert_eq!(config.outcomes(&Edit::Allow(&[new])), [Outcome::Added]);
                }
            });
        }
    });
    assert_eq!(Settings::load(&config.path(), b"").expect("settings").settings.allow.len(), 31);
}

#[test]
fn a_file_that_uci_has_locked_is_waited_for() {
    let config = Config::new(HAND_WRITTEN);
    let held = fs::File::open(config.path()).expect("the file");
    held.lock().expect("the lock");
    thread::scope(|scope| {
        let edit = scope.spawn(|| config.outcomes(&Edit::Allow(&[allow("192.0.2.1", "")])));
        thread::sleep(Duration::from_millis(100));
        assert_eq!(config.text(), HAND_WRITTEN);
        // As uci commits: another file in this one's place, then the lock is gone.
        let replacement = config.directory.path().join("new");
        fs::write(&replacement, "config allow\n\toption ip '192.0.2.2'\n").expect("a file");
        fs::rename(&replacement, config.path()).expect("a rename");
        drop(held);
        assert_eq!(edit.join().expect("the edit"), [Outcome::Added]);
    });
    let settings = Settings::load(&config.path(), b"").expect("settings").settings;
    assert_eq!(settings.allow, [allow("192.0.2.2", ""), allow("192.0.2.1", "")]);
}

#[test]
fn many_at_once_are_one_edit() {
    let config = Config::new(HAND_WRITTEN);
    let many: Vec<Allow> = (0..10_000).map(|n| allow(&format!("198.18.{}.{}", n / 256, n % 256), "x")).collect();
    assert_eq!(config.outcomes(&Edit::Allow(&many)), vec![Outcome::Added; 10_000]);
    let nets: Vec<IpNet> = many.iter().map(|allow| allow.net).collect();
    assert_eq!(config.outcomes(&Edit::Disallow(&nets)), vec![Outcome::Removed; 10_000]);
    assert_eq!(config.text(), format!("{HAND_WRITTEN}\n"));
}

/// One section that cannot be used keeps nobody from editing the others, and stays as it is.
#[test]
fn sections_that_cannot_be_used_are_left_alone() {
    let text = "config block\n\toption ip 'x'\nconfig block\n\toption ip '192.0.2.1'\nconfig diswall 'main'\n\toption action 'y'\n";
    let config = Config::new(text);
    assert_eq!(
        config.outcomes(&Edit::Block { blocks: &[block("192.0.2.1", "new")], force: false }),
        [Outcome::Changed]
    );
    assert_eq!(config.outcomes(&Edit::Unblock(&[net("192.0.2.1")])), [Outcome::Removed]);
    assert_eq!(config.text(), "config block\n\toption ip 'x'\nconfig diswall 'main'\n\toption action 'y'\n");
}

/// What libuci does for `uci commit` (`uci_file_commit`, 2025), with a stop at each of its hazards.
fn foreign_commit(path: &Path, number: u32, pause: impl Fn()) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("the file");
    pause();
    file.lock().expect("the lock");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut &file, &mut text).expect("the text");
    let temporary = path.with_file_name(format!(".diswall.uci-{number:06}"));
    let new = fs::File::create(&temporary).expect("a temporary file");
    new.lock().expect("its lock");
    text.push_str(&format!("\nconfig foreign 'f{number}'\n"));
    std::io::Write::write_all(&mut &new, text.as_bytes()).expect("the new text");
    drop((new, file));
    pause();
    fs::rename(&temporary, path).expect("the rename");
}

#[test]
fn an_edit_outlasts_the_commits_of_others_and_theirs_outlast_it() {
    let config = Config::new(HAND_WRITTEN);
    let path = config.path();
    thread::scope(|scope| {
        let foreign = scope.spawn(|| {
            for number in 0..150 {
                foreign_commit(&path, number, || thread::sleep(Duration::from_millis(u64::from(number % 3))));
            }
        });
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let config = &config;
                scope.spawn(move || {
                    for number in 0..60 {
                        let new = [block(&format!("198.18.{client}.{number}"), "")];
                        assert_eq!(config.outcomes(&Edit::Block { blocks: &new, force: false }), [Outcome::Added]);
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().expect("a client"));
        foreign.join().expect("the commits");
    });
    let text = config.text();
    let (sections, errors) = crate::options::uci::sections(text.as_bytes());
    assert!(errors.is_empty(), "{errors:?}");
    let of = |kind: &str| sections.iter().filter(|section| section.kind == kind).count();
    assert_eq!((of("foreign"), of("block")), (150, 3 + 240));
    assert_eq!(fs::read_dir(config.directory.path()).expect("the directory").count(), 1, "something was left behind");
}

#[test]
fn what_others_left_behind_is_swept() {
    let config = Config::new(HAND_WRITTEN);
    let beside = |name: &str| config.directory.path().join(name);
    // A uci that was killed before its rename: just now, and long ago.
    fs::write(beside(".diswall.uci-abcdef"), "half").expect("a file");
    let old = fs::File::create(beside(".diswall.uci-ghijkl")).expect("a file");
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("a time");
    assert_eq!(config.outcomes(&Edit::Allow(&[allow("192.0.2.1", "")])), [Outcome::Added]);
    assert_eq!(fs::read_dir(config.directory.path()).expect("the directory").count(), 1);

    // An edit that a power failure cut off while it wrote into the file: its copy is whole.
    let new = config.text();
    for torn in [&new[..0], &new[..40], &format!("{}\0\0", &new[..30])] {
        fs::write(config.path(), torn).expect("the file");
        fs::write(beside(".diswall.diswall-new"), &new).expect("the copy");
        fs::write(beside(".diswall.diswall-half"), "h").expect("another");
        sweep(&config.path());
        assert_eq!(config.text(), new, "{torn:?}");
    }
    // What somebody wrote since stays.
    fs::write(config.path(), HAND_WRITTEN).expect("the file");
    fs::write(beside(".diswall.diswall-new"), "config scan 'scan'\n").expect("the copy");
    sweep(&config.path());
    assert_eq!(config.text(), HAND_WRITTEN);
    assert_eq!(fs::read_dir(config.directory.path()).expect("the directory").count(), 1);
}

#[test]
fn without_room_for_a_copy_the_file_stays_as_it_was() {
    let config = Config::new(HAND_WRITTEN);
    // A directory in the copy's place: nothing can be written beside the file.
    fs::create_dir(config.directory.path().join(".diswall.diswall-half")).expect("a directory");
    let error = config.edit(&Edit::Allow(&[allow("192.0.2.1", "")])).expect_err("no room");
    assert!(error.to_string().starts_with("writing "), "{error}");
    assert_eq!(config.text(), HAND_WRITTEN);
}

/// How many wait for the lock on this directory, as the kernel tells.
fn waiting(directory: &Path) -> usize {
    let inode = format!(":{} ", fs::metadata(directory).expect("the directory").ino());
    let locks = fs::read_to_string("/proc/locks").expect("the kernel's locks");
    locks.lines().filter(|line| line.contains("-> FLOCK") && line.contains(&inode)).count()
}

#[test]
fn waiting_edits_are_served_in_their_order() {
    let config = Config::new("");
    let held = file::lock_directory(&config.path()).expect("the lock");
    thread::scope(|scope| {
        for number in 0..20 {
            let config = &config;
            scope.spawn(move || config.outcomes(&Edit::Allow(&[allow(&format!("198.18.0.{number}"), "")])));
            while waiting(config.directory.path()) <= number {
                thread::sleep(Duration::from_millis(1));
            }
        }
        drop(held);
    });
    let order: Vec<String> = Settings::load(&config.path(), b"")
        .expect("settings")
        .settings
        .allow
        .iter()
        .map(|allow| allow.net.addr().to_string())
        .collect();
    let asked: Vec<String> = (0..20).map(|number| format!("198.18.0.{number}")).collect();
    assert_eq!(order, asked);
}

fn line() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("config scan 'scan'\n"),
        Just("config block\n\toption ip '198.51.100.0/24'\n"),
        Just("config allow  # c\n\n\toption ip \"198.51.100.1\"\n"),
        Just("# comment\n"),
        Just("\n"),
        Just("  \n"),
        Just("\r\n"),
    ]
}

proptest! {
    #[test]
    fn taking_out_what_was_added_gives_the_text_back(
        lines in proptest::collection::vec(line(), 0..8),
        addresses in proptest::collection::btree_set(any::<u32>(), 1..4),
    ) {
        let text = lines.concat();
        let nets: Vec<IpNet> = addresses.iter().map(|bits| IpNet::from(IpAddr::from(bits.to_be_bytes()))).collect();
        let blocks: Vec<Block> =
            nets.iter().map(|net| Block { net: *net, ..block("192.0.2.1", "a 'comment'") }).collect();
        let added = Plan::new(text.as_bytes(), Path::new("f"), &Edit::Block { blocks: &blocks, force: false }, b"").expect("a plan");
        let with = text::apply(text.as_bytes(), &added.steps).expect("a text");
        prop_assert_eq!(added.verify(&with, b"").map(drop), Ok(()));
        let removed = Plan::new(&with, Path::new("f"), &Edit::Unblock(&nets), b"").expect("a plan");
        let without = text::apply(&with, &removed.steps).expect("a text");
        prop_assert_eq!(removed.verify(&without, b"").map(drop), Ok(()));
        prop_assert_eq!(String::from_utf8_lossy(&without), text);
    }
}

#[test]
fn a_list_that_would_not_be_in_force_is_not_switched_on() {
    for (name, url) in [("spamhaus", "www.example.org/drop.txt"), ("manual", "https://a.example/x")] {
        let text = format!("config list '{name}'\n\tlist url '{url}'\n\toption enabled '0'\n");
        for text in [text.clone(), text.replace("'0'", "'1'")] {
            let config = Config::new(&text);
            let error = config.edit(&Edit::Enable(&[NewList { name: name.into(), options: vec![] }]));
            let error = error.expect_err("a refusal").to_string();
            assert!(error.contains(&format!("config list '{name}' would not be in force")), "{error}");
            assert_eq!(config.text(), text);
        }
    }
}
