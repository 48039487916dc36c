//! `docs/reference.md`.

use super::{Argument, Command, STATUSES, Section};

const HEAD: &str = "\
# Reference

Every command and every option. This file is made by `cargo xtask docs` from the program's own tables, and a test
compares the two: change the program, not the file. What things are for is in the [manual](manual.md).

";

/// The whole file.
pub fn reference(commands: &[Command], sections: &[Section]) -> String {
    let mut text = String::from(HEAD);
    text += "## Commands\n\nEvery command takes `--help`.\n";
    for command in commands.iter().filter(|command| command.commands.is_empty()) {
        text += &format!("\n### diswall {}\n\n    {}\n\n{}\n", command.path, command.usage(), plain(command.about));
        let arguments: Vec<&Argument> = command.options.iter().chain(&command.positionals).collect();
        if !arguments.is_empty() {
            text += "\n| | |\n| --- | --- |\n";
        }
        for argument in arguments {
            let named = argument.name.starts_with('-');
            let name = match (named, argument.has_value) {
                (true, true) => format!("{} {}", argument.name, argument.value()),
                (true, false) => argument.name.to_owned(),
                (false, _) => argument.value(),
            };
            text += &format!("| `{name}` | {} |\n", plain(argument.about));
        }
    }
    text += "\n## Exit status\n\n| | |\n| --- | --- |\n";
    for (status, means) in STATUSES {
        text += &format!("| {status} | {means} |\n");
    }
    text += "\n## Configuration\n\n`/etc/config/diswall`, in UCI's form. `diswall config explain OPTION` prints the same \
             on the router, `diswall config\ncheck` finds mistakes.\n";
    for section in sections {
        text += &format!("\n### config {}\n\n{}\n\n", section.title, plain(&section.about));
        text += "| option | default | may be | meaning |\n| --- | --- | --- | --- |\n";
        for option in &section.options {
            let list = if option.is_list { " (list)" } else { "" };
            let shown: Vec<String> = option.values.iter().map(|value| format!("`{value}`")).collect();
            let default = match (option.is_default, &option.values[..]) {
                (true, [""]) => "none".to_owned(),
                (true, _) => shown.join(" "),
                (false, _) => format!("none; such as {}", shown.join(" ")),
            };
            let (accepts, means) = (plain(&option.accepts), plain(&option.means));
            text += &format!("| `{}`{list} | {} | {accepts} | {means} |\n", option.name, default.replace('|', "\\|"));
        }
    }
    text
}

/// Text in which nothing is markup.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if matches!(letter, '<' | '|' | '*' | '[') {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}
