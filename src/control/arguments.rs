//! The arguments that commands share, as text from a command line, from rpcd or from the socket, to values.
//!
//! Whoever gives a command judges it before anything is changed, and the daemon judges it again: both here.

use std::net::IpAddr;

use ipnet::IpNet;

use super::protocol::{Code, Refusal};
use crate::ledger::{CONFIGURATION, OWNER, may_ban};
use crate::model::Source;
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

/// Whether the owner may block these. `own`: what the address is, if it is one of the router's own; `force`: even
/// everything at once.
///
/// # Errors
/// One that may not; the sentence names it and says why.
pub fn vet(nets: &[IpNet], force: bool, own: &dyn Fn(IpAddr) -> Option<String>) -> Result<(), Refusal> {
    nets.iter().try_for_each(|net| {
        let address = net.addr();
        let own = || if net.prefix_len() == net.max_prefix_len() { own(address) } else { None };
        let message = if value::is_everything(net) && !force {
            format!(
                "{net} is every address: each new connection from a guarded zone would be blocked, but for allowed \
                 addresses and the router's own networks; say --force if that is meant"
            )
        } else if let Err(why) = may_ban(Source::MANUAL, *net) {
            format!("{} cannot be blocked: {why}", value::written(*net))
        } else if let Some(why) = own() {
            format!("{address} is never blocked: it is {why}")
        } else {
            return Ok(());
        };
        Err(Refusal { code: Code::Refused, message })
    })
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
