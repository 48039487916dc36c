//! The rpcd face: `diswall rpcd list` and `diswall rpcd call METHOD`, installed as
//! `/usr/libexec/rpcd/diswall`, make the ubus object `diswall`.
//!
//! Reads are passed on to the daemon and answered as it answers; writes are the command line's. The
//! exit status is always 0: rpcd hides the output of a failed call, and with it the reason. Whatever
//! else rpcd puts into the arguments (`ubus_rpc_session`, a secret) is neither kept nor repeated.

use std::io::Read;
use std::path::Path;

use super::handout;
use super::service;
use super::steer::{BlockOptions, Steer};
use super::trial;
use crate::config::last_good;
use crate::control::client::{self, ClientError};
use crate::control::protocol::{
    ClearCommand, Done, DoneRow, ErrorAnswer, ExemptCommand, KickCommand, Refusal, Request, UnbanCommand,
};
use crate::json::{self, Json, fields};
use crate::options::value;

/// Most bytes of arguments.
const ARGUMENTS_MAX: u64 = 64 * 1024;

/// The methods with a sample of each argument, from which rpcd takes the types.
pub const METHODS: &str = r#"{"status":{},"feeds":{},"bans":{"source":"text","search":"text","family":4,"sort":"text","desc":true,"offset":0,"limit":50},"check":{"address":"text"},"allowances":{"origin":"text","search":"text","offset":0,"limit":100},"history":{"hours":168},"report":{"days":7},"events":{"cursor":"text","limit":50,"kinds":["text"]},"allow":{"addresses":["text"],"comment":"text","timeout":3600},"disallow":{"addresses":["text"]},"block":{"addresses":["text"],"comment":"text","timeout":3600,"action":"text","force":true,"by":"text"},"unblock":{"addresses":["text"],"source":"text","by":"text"},"clear":{"by":"text"},"kick":{"addresses":["text"]},"resync":{"source":"text"},"config":{},"restore":{},"reload":{},"lists":{},"switch":{"names":["text"],"on":true,"force":true},"try":{"lines":["text"]}}"#;

/// Methods that the daemon answers itself, with their arguments as they come.
const PASSED_ON: [&str; 9] =
    ["status", "feeds", "bans", "check", "allowances", "history", "report", "events", "resync"];

/// Arguments of `block`.
#[derive(Default)]
struct BlockArguments {
    addresses: Vec<String>,
    timeout: Option<u32>,
    comment: Option<String>,
    action: Option<String>,
    force: bool,
    by: Option<String>,
}

fields!(BlockArguments { addresses, timeout, comment, action, force, by });

/// Most lines that `try` looks at.
const LINES_MAX: usize = 100;

/// `try`: lines of a log, and what is said of them.
#[derive(Default)]
struct TryArguments {
    lines: Vec<String>,
}

fields!(TryArguments { lines });

#[derive(Default)]
struct Tried {
    lines: Vec<trial::Judged>,
}

fields!(Tried { lines });

/// `switch`: lists of the catalogue, on or off.
#[derive(Default)]
struct SwitchArguments {
    names: Vec<String>,
    on: bool,
    force: bool,
}

fields!(SwitchArguments { names, on, force });

/// The answer to one call: one JSON object.
pub fn call(method: &str, config: &Path, catalogue: &Path, arguments: &mut dyn Read) -> String {
    let answer = read_arguments(arguments).and_then(|arguments| match method {
        "config" => Ok(json::to_string(&handout::of(config))),
        "reload" => service::reload(config).map(|done| json::to_string(&done)),
        "try" => try_lines(&arguments, config),
        "lists" => Steer::new(config).catalogue(catalogue).map(|(catalogue, _)| json::to_string(&catalogue)),
        "switch" => {
            let SwitchArguments { names, on, force } = typed(&arguments)?;
            Ok(json::to_string(&Steer::new(config).switch(catalogue, &names, on, force)?))
        }
        _ if PASSED_ON.contains(&method) => pass_on(method, &arguments, config),
        _ => steer(method, &arguments, config),
    });
    answer.unwrap_or_else(|error| json::to_string(&ErrorAnswer { error }))
}

fn read_arguments(input: &mut dyn Read) -> Result<String, Refusal> {
    let mut text = String::new();
    let read = input.take(ARGUMENTS_MAX).read_to_string(&mut text);
    read.map_err(|error| Refusal::invalid(format!("the arguments cannot be read: {error}")))?;
    if text.trim().is_empty() {
        text.push_str("{}");
    }
    Ok(text)
}

/// What the daemon would make of these lines, by the configuration in force.
fn try_lines(arguments: &str, config: &Path) -> Result<String, Refusal> {
    let TryArguments { lines } = typed(arguments)?;
    if lines.len() > LINES_MAX {
        return Err(Refusal::invalid(format!("{} lines are too many; at most {LINES_MAX}", lines.len())));
    }
    let loaded = last_good::load(config).map_err(|problems| Refusal::invalid(problems.to_string()))?;
    let mut trial = trial::Trial::configured(&loaded.settings);
    let mut tried = Tried::default();
    for (number, line) in (1..).zip(&lines) {
        trial.line(number, line.as_bytes(), &mut |row| tried.lines.push(row));
    }
    Ok(json::to_string(&tried))
}

/// Only what the method knows of the arguments is said to the daemon.
fn pass_on(method: &str, arguments: &str, config: &Path) -> Result<String, Refusal> {
    let request = Request::new(method, arguments).map_err(wrong_argument)?;
    let answer = client::ask_line(&last_good::control(config), &request.to_line());
    answer.map(|line| line.trim_end().to_string()).map_err(ClientError::into_refusal)
}

fn steer(method: &str, arguments: &str, config: &Path) -> Result<String, Refusal> {
    let steer = Steer::new(config);
    let done = match method {
        "allow" => {
            let ExemptCommand { addresses, timeout, comment, .. } = typed(arguments)?;
            steer.allow(&addresses, comment.as_deref().unwrap_or_default(), timeout)
        }
        "disallow" => steer.disallow(&typed::<KickCommand>(arguments)?.addresses),
        "block" => {
            let BlockArguments { addresses, timeout, comment, action, force, by } = typed(arguments)?;
            let action = action.as_deref().map(value::action).transpose();
            let action = action.map_err(|error| Refusal::invalid(error.to_string()))?;
            let comment = comment.unwrap_or_default();
            steer.block(&addresses, &BlockOptions { timeout, comment, action, force, by })
        }
        "unblock" => {
            let UnbanCommand { addresses, source, by, .. } = typed(arguments)?;
            steer.unblock(&addresses, source, by)
        }
        "clear" => steer.clear(&typed::<ClearCommand>(arguments)?.by),
        "restore" => {
            let text = super::steer::restore(config)?;
            Ok(Done { done: vec![DoneRow { text, ..DoneRow::default() }] })
        }
        "kick" => steer.kick(&typed::<KickCommand>(arguments)?.addresses),
        other => Err(Refusal::invalid(format!("'{other}' is no method; see: diswall rpcd list"))),
    }?;
    Ok(json::to_string(&done))
}

fn typed<T: Json + Default>(arguments: &str) -> Result<T, Refusal> {
    json::from_str(arguments).map_err(|error| wrong_argument(Refusal::invalid(error.to_string())))
}

fn wrong_argument(refusal: Refusal) -> Refusal {
    Refusal { message: format!("an argument is wrong: {}", refusal.message), ..refusal }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn the_list_is_json_and_names_every_method_that_is_passed_on() {
        let methods: Map<String, Value> = serde_json::from_str(METHODS).unwrap();
        for method in PASSED_ON {
            assert!(methods.contains_key(method), "{method}");
        }
    }

    #[test]
    fn wrong_arguments_are_named_and_secrets_are_not_repeated() {
        let config = Path::new("/nonexistent/diswall");
        for (method, input, code) in [
            ("status", "[]", "invalid"),
            ("status", "{", "invalid"),
            ("status", r#"{"ubus_rpc_session":"0123secret"}"#, "not_running"),
            ("nosuch", "{}", "invalid"),
            ("block", r#"{"addresses":7}"#, "invalid"),
            ("block", r#"{"addresses":["1.2.3.4"],"action":"shoot"}"#, "invalid"),
        ] {
            let answer = call(method, config, Path::new("/nonexistent"), &mut input.as_bytes());
            let answer_json: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer_json["error"]["code"], code, "{method} {input}: {answer}");
            assert!(!answer.contains("0123secret"));
        }
    }
}
