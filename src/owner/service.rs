//! The service as a whole, for whoever has no shell: what a button of LuCI's does when something is not in force.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use crate::control::protocol::{Done, DoneRow, Refusal};
use crate::{outside, programs};

/// The service's script, OpenWrt's.
const SCRIPT: &str = "/etc/init.d/diswall";
/// Most bytes that are repeated of what it says.
const SAID_MAX: u64 = 2048;

/// Has the service start what is not running, write its rules anew, and load them where they are not in force. Nothing
/// of what the caller says goes into it.
///
/// # Errors
/// [`Code::Failed`](crate::control::protocol::Code::Failed): there is no such script here, or it ended with a failure,
/// with what it said.
pub fn reload() -> Result<Done, Refusal> {
    let (status, said) = run().map_err(|error| Refusal::failed(format!("{SCRIPT} was not run: {error}")))?;
    if !status.success() {
        let said = outside::clean(&said, outside::SENTENCE);
        return Err(Refusal::failed(format!("{SCRIPT} reload ended with {status}: {said}")));
    }
    Ok(Done { done: vec![DoneRow { text: "started and read again".into(), ..DoneRow::default() }] })
}

fn run() -> io::Result<(ExitStatus, String)> {
    let mut said = programs::nameless()?;
    let mut command = programs::bare(Path::new(SCRIPT));
    let status = command.arg("reload").stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone()?).status()?;
    Ok((status, programs::said(&mut said, SAID_MAX)))
}
