//! The arguments that commands share, as text from a command line, from rpcd or from the socket, to values.
//!
//! Whoever gives a command judges it before anything is changed, and the daemon judges it again: both here.

use ipnet::IpNet;

use super::protocol::Refusal;
use crate::ledger::{CONFIGURATION, OWNER};
use crate::options::value::{self, Checked, refuse};
use crate::outside;

/// Most addresses in one line of the control socket: 43 bytes each and a comment are less than
/// [`REQUEST_MAX`](super::protocol::REQUEST_MAX).
pub const PART: usize = 1000;

/// Longest name of a holder, in bytes.
const MAX_HOLDER: usize = 64;

/// The networks of a command.
///
/// # Errors
/// None, or one that does not parse; the sentence names it and what is accepted.
pub fn nets(addresses: &[String]) -> Result<Vec<IpNet>, Refusal> {
    let net = |text: &String| value::net(text.trim()).map_err(|error| Refusal::invalid(error.to_string()));
    if addresses.is_empty() {
        return Err(Refusal::invalid("no address given; accepted: one or more addresses or networks"));
    }
    addresses.iter().map(net).collect()
}

/// The networks of one request to the daemon, at most so many: nobody else is answered meanwhile.
///
/// # Errors
/// As [`nets`], or there are more.
pub fn nets_of_request(addresses: &[String], most: usize) -> Result<Vec<IpNet>, Refusal> {
    if addresses.len() > most {
        return Err(Refusal::invalid(format!("{} addresses in one request; accepted: up to {most}", addresses.len())));
    }
    nets(addresses)
}

/// In whose name a command is given.
///
/// # Errors
/// It is no name that a holder may have.
pub fn holder(by: Option<&str>) -> Result<&str, Refusal> {
    by.map_or(Ok(OWNER), |by| holder_name(by).map_err(|error| Refusal::invalid(error.to_string())))
}

fn holder_name(value: &str) -> Checked<&str> {
    let clean = value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'`\\".contains(&byte));
    // That name is the configuration's own.
    if clean && (1..=MAX_HOLDER).contains(&value.len()) && value != CONFIGURATION {
        return Ok(value);
    }
    refuse(
        value,
        &format!(
            "is no name of a holder; write 1 to {MAX_HOLDER} letters, digits and signs without blanks and quotes, and not config"
        ),
    )
}

/// The owner's comment.
///
/// # Errors
/// It is longer than one line may be, or has control characters.
pub fn comment(text: &str) -> Result<String, Refusal> {
    let comment = value::comment(text).map_err(|error| Refusal::invalid(error.to_string()))?;
    Ok(outside::clean(&comment, comment.len()))
}
