//! The rpcd face: `diswall rpcd list` and `diswall rpcd call METHOD`, installed as
//! `/usr/libexec/rpcd/diswall`, make the ubus object `diswall`.
//!
//! Reads are passed on to the daemon and answered as it answers; writes are the command line's. The
//! exit status is always 0: rpcd hides the output of a failed call, and with it the reason. Whatever
//! else rpcd puts into the arguments (`ubus_rpc_session`, a secret) is neither kept nor repeated.

use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::client::{self, ClientError};
use super::protocol::{BanCommand, ErrorAnswer, ExemptCommand, KickCommand, Refusal, UnbanCommand};
use super::steer::{BlockOptions, Steer};
use crate::config::{Settings, value};

/// Most bytes of arguments.
const ARGUMENTS_MAX: u64 = 64 * 1024;

/// The methods with a sample of each argument, from which rpcd takes the types.
pub const METHODS: &str = r#"{"status":{},"feeds":{},"bans":{"source":"text","search":"text","family":4,"sort":"text","desc":true,"offset":0,"limit":50},"check":{"address":"text"},"allowances":{"origin":"text","search":"text","offset":0,"limit":100},"history":{"hours":168},"events":{"cursor":"text","limit":50,"kinds":["text"]},"allow":{"addresses":["text"],"comment":"text","timeout":3600},"disallow":{"addresses":["text"]},"block":{"addresses":["text"],"comment":"text","timeout":3600,"action":"text","force":true},"unblock":{"addresses":["text"],"source":"text"},"kick":{"addresses":["text"]},"resync":{"source":"text"}}"#;

/// Methods that the daemon answers itself, with their arguments as they come.
const PASSED_ON: [&str; 8] = ["status", "feeds", "bans", "check", "allowances", "history", "events", "resync"];

/// The answer to one call: one JSON object.
pub fn call(method: &str, config: &Path, arguments: &mut dyn Read) -> String {
    let answer = read_arguments(arguments).and_then(|arguments| {
        if PASSED_ON.contains(&method) { pass_on(method, arguments, config) } else { steer(method, arguments, config) }
    });
    answer.unwrap_or_else(|error| text_of(&ErrorAnswer { error }))
}

fn read_arguments(input: &mut dyn Read) -> Result<Value, Refusal> {
    let mut text = String::new();
    let invalid = |error: &dyn std::fmt::Display| Refusal::invalid(format!("the arguments cannot be read: {error}"));
    input.take(ARGUMENTS_MAX).read_to_string(&mut text).map_err(|error| invalid(&error))?;
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let mut arguments: Value = serde_json::from_str(&text).map_err(|error| invalid(&error))?;
    let Some(object) = arguments.as_object_mut() else {
        return Err(Refusal::invalid("the arguments are no JSON object"));
    };
    object.remove("ubus_rpc_session");
    Ok(arguments)
}

fn pass_on(method: &str, arguments: Value, config: &Path) -> Result<String, Refusal> {
    let mut request = Map::new();
    request.insert("method".into(), method.into());
    request.insert("params".into(), arguments);
    let control = Settings::control_in(config);
    let answer = client::ask_line(&control, &Value::Object(request).to_string());
    answer.map(|line| line.trim_end().to_string()).map_err(ClientError::into_refusal)
}

fn steer(method: &str, arguments: Value, config: &Path) -> Result<String, Refusal> {
    let steer = || Steer::new(config);
    let done = match method {
        "allow" => {
            let ExemptCommand { addresses, timeout, comment } = typed(arguments)?;
            steer()?.allow(&addresses, comment.as_deref().unwrap_or_default(), timeout)
        }
        "disallow" => steer()?.disallow(&typed::<KickCommand>(arguments)?.addresses),
        "block" => {
            let action = arguments.get("action").and_then(Value::as_str).map(value::action).transpose();
            let action = action.map_err(|error| Refusal::invalid(error.to_string()))?;
            let BanCommand { addresses, timeout, comment, force } = typed(arguments)?;
            let comment = comment.unwrap_or_default();
            steer()?.block(&addresses, &BlockOptions { timeout, comment, action, force })
        }
        "unblock" => {
            let UnbanCommand { addresses, source } = typed(arguments)?;
            steer()?.unblock(&addresses, source)
        }
        "kick" => steer()?.kick(&typed::<KickCommand>(arguments)?.addresses),
        other => Err(Refusal::invalid(format!("'{other}' is no method; see: diswall rpcd list"))),
    }?;
    Ok(text_of(&done))
}

fn typed<T: DeserializeOwned>(arguments: Value) -> Result<T, Refusal> {
    serde_json::from_value(arguments).map_err(|error| Refusal::invalid(format!("an argument is wrong: {error}")))
}

fn text_of(value: &impl Serialize) -> String {
    // Strings and numbers: serialising cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
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
            let answer = call(method, config, &mut input.as_bytes());
            let answer_json: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer_json["error"]["code"], code, "{method} {input}: {answer}");
            assert!(!answer.contains("0123secret"));
        }
    }
}
