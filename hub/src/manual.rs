//! The man page `diswall-hub(8)`, made from the program's own tables and from the configuration as it is shipped. Part of
//! the tests alone; `cargo xtask docs` writes it, and the test below compares.

#![allow(clippy::unwrap_used)]

// The router's program makes more of these tables than a man page.
#[allow(dead_code)]
#[path = "../../src/cli/reference/commands.rs"]
mod commands;
#[path = "../../src/cli/reference/roff.rs"]
mod roff;

use argh::ArgsInfo;

use self::commands::Command;
use self::roff::{arguments, head, roff};

const PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/man/diswall-hub.8");

const CONFIGURATION: &str = include_str!("../../contrib/hub/hub.toml");

const FILES: [(&str, &str); 3] = [
    ("/etc/diswall-hub/hub.toml", "The configuration."),
    ("/usr/share/doc/diswall-hub/examples/nats-server.conf", "What nats-server must be told."),
    ("/usr/share/doc/diswall-hub/hub.md.gz", "How a hub is set up, and what happens when."),
];

const EXAMPLES: [(&str, &str); 4] = [
    (
        "diswall-hub user add alice --nkey",
        "A login for alice's routers, to be pasted into nats-server's configuration and theirs.",
    ),
    ("diswall-hub check 203.0.113.9", "Why is this address banned, and who reported it?"),
    ("diswall-hub allow 198.51.100.0/24", "No report bans the office, and no router of the fleet."),
    ("diswall-hub revoke mallory", "Take back everything that this login reported, from every router."),
];

fn values(name: &'static str) -> Option<&'static str> {
    match name {
        "--config" => Some("FILE"),
        "--timeout" => Some("SECONDS"),
        _ => None,
    }
}

fn page(commands: &[Command]) -> String {
    let program = commands.first().unwrap();
    let mut page = head("DISWALL\\-HUB", 8, "diswall\\-hub", "hub of a fleet of diswall routers");
    let usage = program.usage().replace(" COMMAND", " [COMMAND]");
    page += &format!(".SH SYNOPSIS\n{}\n.SH DESCRIPTION\n{}\n", roff(&usage), roff(program.about));
    page += "It keeps nothing itself: bans, reports and allowances are a nats-server\\(aqs with JetStream, 2.11 or \
             newer.\n.SH OPTIONS\n";
    page += &arguments(program.options.iter());
    page += &format!(".SH COMMANDS\n{}", roff::commands(commands));
    page += ".SH EXIT STATUS\n.TP\n.B 0\ndone\n.TP\n.B 1\nnot done; a sentence on standard error says why\n";
    page += &format!(
        ".SH CONFIGURATION\nAs it is shipped:\n.PP\n.nf\n{}.fi\n",
        CONFIGURATION.lines().map(line).collect::<String>()
    );
    for (title, rows) in [("FILES", &FILES[..]), ("EXAMPLES", &EXAMPLES)] {
        page += &format!(".SH {title}\n");
        for (name, about) in rows {
            page += &format!(".TP\n.B {}\n{}\n", roff(name), roff(about));
        }
    }
    page + ".SH SEE ALSO\n.BR diswall (8)\n"
}

fn line(text: &str) -> String {
    format!("{}\n", roff(text))
}

#[test]
fn the_committed_man_page_is_what_the_program_s_tables_say() {
    let commands = commands::of("diswall-hub", &crate::command::Arguments::get_args_info(), values);
    let text = page(&commands);
    if std::env::var_os("DISWALL_WRITE_DOCS").is_some() {
        std::fs::write(PLACE, text).unwrap();
    } else {
        let kept = std::fs::read_to_string(PLACE).unwrap_or_default();
        assert!(kept == text, "docs/man/diswall-hub.8 is not what the program says: run `cargo xtask docs`");
    }
}

#[test]
fn every_command_and_option_says_what_it_is_for() {
    for command in commands::of("diswall-hub", &crate::command::Arguments::get_args_info(), values) {
        assert!(command.about.ends_with('.'), "{}: {:?} is no sentence", command.usage(), command.about);
        for argument in command.options.iter() {
            assert!(argument.about.len() > 8, "{}: {:?}", argument.name, argument.about);
        }
    }
}
