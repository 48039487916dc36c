//! The service as a whole, for whoever has no shell: what a button of LuCI's does when something is not in force.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

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
    let said = outside::clean(said.trim(), outside::SENTENCE);
    if !status.success() {
        return Err(Refusal::failed(format!("{SCRIPT} reload ended with {status}: {said}")));
    }
    Ok(Done { done: vec![DoneRow { text: "started and read again".into(), ..DoneRow::default() }] })
}

/// What it says goes to a file without a name: a pipe would stay open for as long as whatever the script starts.
fn run() -> io::Result<(ExitStatus, String)> {
    let mut said = File::from(memfd_create("diswall", MemfdFlags::CLOEXEC)?);
    let mut command = programs::bare(Path::new(SCRIPT));
    let status = command.arg("reload").stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone()?).status()?;
    let mut bytes = Vec::new();
    said.rewind()?;
    said.take(SAID_MAX).read_to_end(&mut bytes)?;
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}
