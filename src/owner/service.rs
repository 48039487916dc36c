//! The service as a whole, for whoever has no shell: what a button of LuCI's does when something is not in force.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use crate::config::last_good;
use crate::control::protocol::{Done, DoneRow, Refusal};
use crate::firewall::{Firewall, Names};
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
/// with what it said; or there is no firewall that the rules could be in.
pub fn reload(config: &Path) -> Result<Done, Refusal> {
    let (status, said) = run().map_err(|error| Refusal::failed(format!("{SCRIPT} was not run: {error}")))?;
    if !status.success() {
        let said = outside::clean(&said, outside::SENTENCE);
        return Err(Refusal::failed(format!("{SCRIPT} reload ended with {status}: {said}")));
    }
    if let Some(table) = missing_table(config) {
        return Err(Refusal::failed(format!(
            "the firewall does not run: there is no nftables table 'inet {table}' for diswall's rules; start it: \
             /etc/init.d/firewall start"
        )));
    }
    Ok(Done { done: vec![DoneRow { text: "started and read again".into(), ..DoneRow::default() }] })
}

/// The table for the rules, if it is not there. The script leaves a firewall alone that its owner has stopped.
fn missing_table(config: &Path) -> Option<String> {
    let settings = last_good::load(config).ok()?.settings;
    let main = &settings.main;
    let names = Names { table: main.table.clone(), prefix: main.set_prefix.clone(), sources: settings.sources() };
    let mut firewall = Firewall::open(names, 0).ok().filter(|_| main.enabled)?;
    firewall.structure().is_ok_and(|structure| !structure.table).then(|| main.table.clone())
}

fn run() -> io::Result<(ExitStatus, String)> {
    let mut said = programs::nameless()?;
    let mut command = programs::bare(Path::new(SCRIPT));
    let status = command.arg("reload").stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone()?).status()?;
    Ok((status, programs::said(&mut said, SAID_MAX)))
}
