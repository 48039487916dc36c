//! A hub for a fleet of diswall routers.
//!
//! Routers report whom they banned to a nats-server; the hub judges the reports and tells the fleet. All it knows is
//! kept in nats-server's JetStream (`store`), so it may run as often as one likes. `reports` takes what arrives,
//! `judge` makes bans of it, `changes` tells them, `answers` and `greetings` serve routers that ask; `dynfw` passes Turris
//! Sentinel's list on.

mod address;
mod allow;
mod answers;
mod ban;
mod changes;
mod clock;
mod command;
mod complaints;
mod config;
mod dynfw;
mod error;
mod greetings;
mod hub;
mod judge;
mod lead;
mod limits;
mod logger;
#[cfg(test)]
mod manual;
mod never;
mod noted;
mod page;
mod reporters;
mod reports;
mod revoke;
mod routers;
mod serve;
mod show;
mod store;
mod subject;
mod users;
mod waiting;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: command::Arguments = argh::from_env();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(command::run(arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("diswall-hub: {error}");
            ExitCode::FAILURE
        }
    }
}
