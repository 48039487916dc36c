//! The man pages: `diswall(8)` and `diswall.config(5)`, in man's macros.

use super::roff::{self, head, roff};
use super::{Command, STATUSES, Section};

/// `diswall(8)`.
pub fn program(commands: &[Command]) -> String {
    let mut page = head("DISWALL", 8, "diswall", "keep a firewall's block sets equal to threat feeds");
    page +=
        ".SH SYNOPSIS\n.B diswall\n.I COMMAND\n.RI [ OPTION \\&...]\n.br\n.B diswall \\-\\-version\n.SH DESCRIPTION\n";
    let about = commands.first().map_or("", |program| program.about);
    page += &format!(
        "{}\n.PP\n.B diswall run\nis the daemon. Every other command asks it over its socket, or works on the \
         configuration,\n.BR diswall.config (5).\n.SH COMMANDS\n",
        roff(about)
    );
    page += &roff::commands(commands);
    page += ".SH EXIT STATUS\n";
    for (status, means) in STATUSES {
        page += &format!(".TP\n.B {status}\n{}\n", roff(means));
    }
    page += ".SH FILES\n.TP\n.I /etc/config/diswall\nThe configuration.\n.TP\n.I /etc/diswall/last\\-good\nThe last good \
             configuration, which root keeps.\n.TP\n.I /etc/diswall/kept\nWhat was said by command, over restarts.\n.TP\n\
             .I /var/run/diswall/control.sock\nThe daemon's socket.\n.SH EXAMPLES\n";
    for (example, about) in EXAMPLES {
        page += &format!(".TP\n.B {}\n{}\n", roff(example), roff(about));
    }
    page + ".SH SEE ALSO\n.BR diswall.config (5),\n.BR nft (8)\n"
}

const EXAMPLES: [(&str, &str); 5] = [
    ("diswall status", "Is everything that is switched on in force, and what was dropped?"),
    ("diswall check 203.0.113.9", "Why is this address blocked?"),
    ("diswall block 203.0.113.0/24 --timeout 1d", "Block a network for a day."),
    ("diswall allow 198.51.100.7 --comment office", "Never block the office."),
    ("diswall list --json scan", "Whom the router banned by itself, for a program."),
];

/// `diswall.config(5)`.
pub fn configuration(sections: &[Section]) -> String {
    let mut page = head("DISWALL.CONFIG", 5, "diswall.config", "configuration of diswall");
    page += ".SH SYNOPSIS\n.I /etc/config/diswall\n.SH DESCRIPTION\nThe file is in the form of OpenWrt's\n.BR uci :\n\
             sections that begin with\n.BI config \" TYPE \" \\(aqNAME\\(aq\nand have lines\n.BI option \" NAME \" \
             \\(aqVALUE\\(aq\nor, where several values may be given, one each,\n.BI list \" NAME \" \\(aqVALUE\\(aq.\n.PP\n\
             Yes and no are written 1/0, on/off, yes/no or true/false; durations in seconds, or as a number with s, m, \
             h, d\nor w.\n.B diswall config check\nnames every mistake with its line. The daemon reads the file again \
             on SIGHUP.\n";
    for section in sections {
        page += &format!(".SH \"CONFIG {}\"\n{}\n", roff(&section.title.to_uppercase()), roff(&section.about));
        for option in &section.options {
            let word = if option.is_list { "list" } else { "option" };
            page += &format!(".TP\n.BI \"{word} {} \" \\(aqVALUE\\(aq\n{}\n", roff(option.name), roff(&option.means));
            page += &format!("May be: {}.\n", roff(&option.accepts));
            let values = roff(&option.values.join(" "));
            page += &match (option.is_default, &option.values[..]) {
                (true, [""]) => "No default.\n".to_owned(),
                (true, _) => format!("Default: {values}.\n"),
                (false, _) => format!("No default; such as: {values}.\n"),
            };
        }
    }
    page + ".SH SEE ALSO\n.BR diswall (8)\n"
}
