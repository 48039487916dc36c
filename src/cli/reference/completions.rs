//! Completions for bash, zsh and fish.

use super::{Argument, Command, Section};
use crate::model::{Source, Teller};

/// What may stand for an argument.
enum Values {
    Files,
    Words(Vec<String>),
    Any,
}

/// What is known of the values of a command's argument.
fn values(command: &Command, argument: &Argument, sections: &[Section]) -> Values {
    let words = |words: &[&str]| Values::Words(words.iter().map(|word| (*word).to_owned()).collect());
    match (&*command.path, argument.name.trim_start_matches('-')) {
        (_, "config" | "file" | "catalogue") | ("list-test", "list") => Values::Files,
        ("resync", "source") => {
            let asked = Source::named().filter(|source| source.teller() == Teller::Feed);
            Values::Words(asked.map(|source| source.name().to_owned()).collect())
        }
        (path, "source") => {
            let sources = Source::named().map(|source| source.name().to_owned());
            Values::Words(sources.chain((path == "list").then(|| "allow".to_owned())).collect())
        }
        ("block", "action") => words(&["drop", "reject"]),
        ("logs test", "service") => {
            Values::Words(accepted(sections, "logwatch", "preset").split(", ").map(str::to_owned).collect())
        }
        ("list-test", "format") => {
            words(&["auto", "plain", "csv", "spamhaus", "dshield", "ranges", "rir", "suricata", "names"])
        }
        ("rpcd", "what") => words(&["list", "call"]),
        ("lists", "words") => words(&["show", "enable", "disable", "recommend"]),
        ("config explain", "option") => Values::Words(
            sections
                .iter()
                .flat_map(|section| {
                    let options = section.options.iter().map(|option| format!("{}.{}", section.name, option.name));
                    std::iter::once(section.name.to_owned()).chain(options)
                })
                .collect(),
        ),
        _ => Values::Any,
    }
}

fn accepted<'s>(sections: &'s [Section], name: &str, option: &str) -> &'s str {
    let section = sections.iter().find(|section| section.name == name).unwrap();
    &section.options.iter().find(|known| known.name == option).unwrap().accepts
}

/// A command's parents and name as one word of a `case`: ` run`, `config check`.
fn steps(commands: &[Command]) -> Vec<String> {
    let named = commands.iter().filter(|command| !command.path.is_empty());
    named
        .map(|command| if command.path.contains(' ') { command.path.clone() } else { format!(" {}", command.path) })
        .collect()
}

const HEAD: &str = "# Made by `cargo xtask docs` from the program's own tables: change those.\n";

/// For bash, with nothing but bash itself.
pub fn bash(commands: &[Command], sections: &[Section]) -> String {
    let steps: Vec<String> = steps(commands).iter().map(|step| format!("'{step}'")).collect();
    let mut text = format!(
        "{HEAD}
_diswall() {{
	local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} command='' i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case \"$command ${{COMP_WORDS[i]}}\" in
		{})
			command=\"${{command:+$command }}${{COMP_WORDS[i]}}\"
			;;
		esac
	done
	case \"$command:$before\" in
",
        steps.join(" | ")
    );
    let mut default = String::new();
    for command in commands {
        for option in command.options.iter().filter(|option| option.has_value) {
            text += &format!(
                "\t'{}:{}') {} ;;\n",
                command.path,
                option.name,
                bash_reply(&values(command, option, sections), &[])
            );
        }
        let mut words: Vec<&str> = command.options.iter().map(|option| option.name).chain(["--help"]).collect();
        words.extend(&command.commands);
        let of_positional = command.positionals.first().map_or(Values::Any, |first| values(command, first, sections));
        default += &format!("\t\t'{}') {} ;;\n", command.path, bash_reply(&of_positional, &words));
    }
    text + "\t*)\n\t\tcase \"$command\" in\n" + &default + "\t\tesac\n\t\t;;\n\tesac\n}\ncomplete -F _diswall diswall\n"
}

/// How bash is told of values, beside these words.
fn bash_reply(values: &Values, words: &[&str]) -> String {
    let mut words: Vec<&str> = words.to_vec();
    let files = match values {
        Values::Files => "compopt -o filenames; ",
        Values::Words(known) => {
            words.extend(known.iter().map(String::as_str));
            ""
        }
        Values::Any => "",
    };
    let words = if words.is_empty() { String::new() } else { format!(" -W '{}'", words.join(" ")) };
    match (&*words, values) {
        ("", Values::Any | Values::Words(_)) => ":".to_owned(),
        (_, Values::Files) => format!("{files}mapfile -t COMPREPLY < <(compgen -f{words} -- \"$word\")"),
        _ => format!("mapfile -t COMPREPLY < <(compgen{words} -- \"$word\")"),
    }
}

/// For zsh: a function for each command.
pub fn zsh(commands: &[Command], sections: &[Section]) -> String {
    let mut text = format!("#compdef diswall\n{HEAD}");
    for command in commands {
        text += &format!("\n_diswall{}() {{\n", function(&command.path));
        let mut specs = vec!["'--help[say how it is used]'".to_owned()];
        for option in &command.options {
            let about = zsh_text(option.about);
            let star = if option.is_repeated { "*" } else { "" };
            specs.push(if option.has_value {
                let name = option.name.trim_start_matches('-');
                // Without `=` behind the name: the value is a word of its own, and argh takes it in no other way.
                format!("'{star}{}[{about}]:{name}:{}'", option.name, zsh_action(&values(command, option, sections)))
            } else {
                format!("'{star}{}[{about}]'", option.name)
            });
        }
        for positional in &command.positionals {
            let action = zsh_action(&values(command, positional, sections));
            let many = match (positional.is_repeated, positional.is_needed) {
                (true, _) => "*:",
                (false, true) => ":",
                (false, false) => "::",
            };
            specs.push(format!("'{many}{}:{action}'", positional.name));
        }
        if !command.commands.is_empty() {
            specs.push("'1: :->command'".to_owned());
            specs.push("'*:: :->arguments'".to_owned());
        }
        let state = if command.commands.is_empty() { "" } else { "\tlocal line state\n" };
        let context = if command.commands.is_empty() { "" } else { "-C " };
        text += &format!("{state}\t_arguments {context}\\\n\t\t{}\n", specs.join(" \\\n\t\t"));
        if !command.commands.is_empty() {
            text += "\tcase $state in\n\tcommand)\n\t\tlocal -a commands=(\n";
            for name in &command.commands {
                let path = format!("{} {name}", command.path);
                let known = commands.iter().find(|known| known.path == path.trim_start()).unwrap();
                text += &format!("\t\t\t'{name}:{}'\n", zsh_text(known.brief()));
            }
            text += "\t\t)\n\t\t_describe command commands\n\t\t;;\n\targuments)\n\t\tcase $line[1] in\n";
            for name in &command.commands {
                text +=
                    &format!("\t\t{name}) _diswall{} ;;\n", function(format!("{} {name}", command.path).trim_start()));
            }
            text += "\t\tesac\n\t\t;;\n\tesac\n";
        }
        text += "}\n";
    }
    text + "\n_diswall \"$@\"\n"
}

fn function(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("_{}", path.replace([' ', '-'], "_")) }
}

fn zsh_action(values: &Values) -> String {
    match values {
        Values::Files => "_files".to_owned(),
        Values::Words(words) => format!("({})", words.join(" ")),
        Values::Any => " ".to_owned(),
    }
}

/// A description within single quotes, within brackets.
fn zsh_text(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\'' => out.push_str("'\\''"),
            '[' | ']' | ':' | '\\' => out.extend(['\\', letter]),
            _ => out.push(letter),
        }
    }
    out
}

/// For fish.
pub fn fish(commands: &[Command], sections: &[Section]) -> String {
    let steps: Vec<String> = steps(commands).iter().map(|step| format!("'{step}'")).collect();
    let mut text = format!(
        "{HEAD}
function __diswall_at
    set -l command ''
    for word in (commandline -opc)[2..-1]
        switch \"$command $word\"
            case {}
                set command (string trim -- \"$command $word\")
        end
    end
    test \"$command\" = \"$argv\"
end

complete -c diswall -f
complete -c diswall -l help -d 'say how it is used'
",
        steps.join(" ")
    );
    for command in commands {
        let at = format!("complete -c diswall -n '__diswall_at {}'", command.path);
        for name in &command.commands {
            let path = format!("{} {name}", command.path);
            let known = commands.iter().find(|known| known.path == path.trim_start()).unwrap();
            text += &format!("{at} -a {name} -d {}\n", fish_text(known.brief()));
        }
        for option in &command.options {
            let value =
                if option.has_value { fish_action(&values(command, option, sections), " -x") } else { String::new() };
            text += &format!("{at} -l {}{value} -d {}\n", option.name.trim_start_matches('-'), fish_text(option.about));
        }
        if let Some(positional) = command.positionals.first() {
            let action = fish_action(&values(command, positional, sections), "");
            if !action.is_empty() {
                text += &format!("{at}{action}\n");
            }
        }
    }
    text
}

fn fish_action(values: &Values, value: &str) -> String {
    match values {
        Values::Files => (if value.is_empty() { " -F" } else { " -r -F" }).to_owned(),
        Values::Words(words) => format!("{value} -a {}", fish_text(&words.join(" "))),
        Values::Any => value.to_owned(),
    }
}

fn fish_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
