//! The completions that are packed for Debian, in the shells that they are for.

use crate::support::run;

/// What is typed, and what the last word becomes.
const TYPED: [(&str, &str); 7] = [
    ("diswall stat", "status"),
    ("diswall list al", "allow"),
    ("diswall config expl", "explain"),
    ("diswall config explain scan.honey", "scan.honeypot_port"),
    ("diswall block --action rej", "reject"),
    ("diswall rules --standa", "--standalone"),
    ("diswall config check --config Cargo.t", "Cargo.toml"),
];

/// What a shell prints that runs this script in the checkout, with what is typed as its arguments.
fn shell(program: &str, args: &[&str], script: &str, typed: &[&str]) -> String {
    let script = format!("cd {}\n{script}", env!("CARGO_MANIFEST_DIR"));
    run(program, &[args, &["-c", &script, "shell"], typed].concat())
}

#[test]
fn bash_completes() {
    let script = "source contrib/completions/diswall.bash; compopt() { :; }
        read -ra COMP_WORDS <<<\"$1\"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _diswall; echo \"${COMPREPLY[@]}\"";
    for (typed, completed) in TYPED {
        assert_eq!(shell("bash", &["--norc"], script, &[typed]).trim(), completed, "{typed}");
    }
}

#[test]
fn fish_completes() {
    let script = "source contrib/completions/diswall.fish; complete -C $argv[2]";
    for (typed, completed) in TYPED {
        let answer = shell("fish", &["--no-config"], script, &[typed]);
        let words: Vec<&str> = answer.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(words, [completed], "{typed}");
    }
}

/// zsh completes for whoever types alone: it is typed to on a terminal of its own, with a `diswall` that prints
/// what it was called with.
#[test]
fn zsh_completes() {
    let script = "zmodload zsh/zpty; zpty shell zsh -f -i
        zpty -w shell \"PS1= PROMPT_EOL_MARK=; fpath=($PWD/contrib/completions \\$fpath); autoload -Uz compinit
            compinit -u -D; diswall() { print -r -- CALLED:\\$*: }; print -r -- REA''DY\"
        zpty -r shell line '*READY*'
        for typed; do
            zpty -w -n shell \"$typed\"$'\\t\\n'
            zpty -r shell line '*CALLED:*:*'
            print -r -- ${${line##*CALLED:}%%:*}
        done";
    let typed = TYPED.map(|(typed, _)| typed);
    let answer = shell("timeout", &["20", "zsh", "-f"], script, &typed);
    let completed: Vec<_> = answer.lines().map(|line| line.trim().rsplit(' ').next().unwrap_or_default()).collect();
    assert_eq!(completed, TYPED.map(|(_, completed)| completed), "{answer:?}");
}
