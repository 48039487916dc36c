//! A program's commands out of argh's tables. Part of the tests of every program that has a man page.

use argh::{CommandInfoWithArgs, FlagInfoKind, Optionality};

/// What stands for the value of an argument: by its name, unless its name says it.
pub type Values = fn(&'static str) -> Option<&'static str>;

/// An option of a command, or what it takes without a name.
pub struct Argument {
    /// With its dashes, if it has any.
    pub name: &'static str,
    pub about: &'static str,
    /// It takes a value.
    pub has_value: bool,
    pub is_needed: bool,
    pub is_repeated: bool,
    values: Values,
}

/// A command, or, with nothing in `commands`, one that does something.
pub struct Command {
    program: &'static str,
    /// The words that call it, without the program's name.
    pub path: String,
    pub about: &'static str,
    pub options: Vec<Argument>,
    pub positionals: Vec<Argument>,
    /// The words that may follow.
    pub commands: Vec<&'static str>,
}

impl Command {
    /// How it is typed.
    pub fn usage(&self) -> String {
        let mut usage = String::from(self.program);
        let words = self.path.split_ascii_whitespace().map(str::to_owned);
        let options = self.options.iter().map(|option| {
            let value = if option.has_value { format!(" {}", option.value()) } else { String::new() };
            bracketed(option, format!("{}{value}", option.name))
        });
        let positionals = self.positionals.iter().map(|positional| bracketed(positional, positional.value()));
        let follows = (!self.commands.is_empty()).then(|| "COMMAND".to_owned());
        for word in words.chain(options).chain(positionals).chain(follows) {
            usage.push(' ');
            usage.push_str(&word);
        }
        usage
    }
}

impl Argument {
    /// What stands for its value.
    pub fn value(&self) -> String {
        (self.values)(self.name).map_or_else(|| self.name.trim_start_matches('-').to_uppercase(), str::to_owned)
    }
}

fn bracketed(argument: &Argument, text: String) -> String {
    if argument.is_needed { text } else { format!("[{text}]") }
}

/// Every command, those with words that follow before these.
pub fn of(program: &'static str, info: &CommandInfoWithArgs, values: Values) -> Vec<Command> {
    let mut all = Vec::new();
    add(program, "", info, values, &mut all);
    all
}

fn add(program: &'static str, path: &str, info: &CommandInfoWithArgs, values: Values, all: &mut Vec<Command>) {
    let argument = |name, about, optionality: &Optionality, has_value| Argument {
        name,
        about,
        has_value,
        is_needed: matches!(optionality, Optionality::Required),
        is_repeated: matches!(optionality, Optionality::Repeating | Optionality::Greedy),
        values,
    };
    let options = info.flags.iter().filter(|flag| flag.long != "--help").map(|flag| {
        argument(flag.long, flag.description, &flag.optionality, matches!(flag.kind, FlagInfoKind::Option { .. }))
    });
    let positionals =
        info.positionals.iter().map(|word| argument(word.name, word.description, &word.optionality, true));
    all.push(Command {
        program,
        path: path.to_owned(),
        about: info.description,
        options: options.collect(),
        positionals: positionals.collect(),
        commands: info.commands.iter().map(|command| command.name).collect(),
    });
    for command in &info.commands {
        add(program, format!("{path} {}", command.name).trim_start(), &command.command, values, all);
    }
}
