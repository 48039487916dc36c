//! What all man pages have in common, in man's macros. Part of the tests of every program that has one.

use super::commands::{Argument, Command};

/// How each command is called, and what it does.
pub fn commands(commands: &[Command]) -> String {
    let mut page = String::new();
    for command in commands.iter().filter(|command| command.commands.is_empty()) {
        page += &format!(".SS {}\n{}\n", roff(&command.usage()), roff(command.about));
        page += &arguments(command.options.iter().chain(&command.positionals));
    }
    page
}

/// What each is called, and what it is for.
pub fn arguments<'a>(arguments: impl Iterator<Item = &'a Argument>) -> String {
    let mut page = String::new();
    for argument in arguments {
        let name = match (argument.name.starts_with('-'), argument.has_value) {
            (true, true) => format!(".BI {} \" {}\"", roff(argument.name), roff(&argument.value())),
            (true, false) => format!(".B {}", roff(argument.name)),
            (false, _) => format!(".I {}", roff(&argument.value())),
        };
        page += &format!(".TP\n{name}\n{}\n", roff(argument.about));
    }
    page
}

/// The lines at a page's beginning.
pub fn head(title: &str, section: u8, name: &str, about: &str) -> String {
    format!(
        ".\\\" Made by `cargo xtask docs` from the program's own tables: change those.\n\
         .TH {title} {section} \"\" \"diswall {}\"\n.SH NAME\n{name} \\- {about}\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Text in which nothing is markup.
pub fn roff(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '"' => out.push_str("\\(dq"),
            '…' => out.push_str("\\&..."),
            _ => out.push(letter),
        }
    }
    if out.starts_with('.') { format!("\\&{out}") } else { out }
}
