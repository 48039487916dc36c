//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use argh::FromArgs;
use ipnet::IpNet;

use crate::config::{self, Config, PLACE};
use crate::hub::Hub;
use crate::users::{self, Proof};
use crate::{allow, dynfw, logger, revoke, serve, show};

/// A hub for a fleet of diswall routers: judges what they report and shares the bans. Without a command it runs.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
pub struct Arguments {
    /// configuration file (default: /etc/diswall-hub/hub.toml)
    #[argh(option, short = 'c', default = "PLACE.into()")]
    config: PathBuf,
    /// log to syslog in place of standard error
    #[argh(switch)]
    syslog: bool,
    /// print the version and end
    #[argh(switch, short = 'V')]
    version: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand)]
enum Command {
    Status(Status),
    Bans(Bans),
    Check(Check),
    Allow(Allow),
    Revoke(Revoke),
    User(User),
    Dynfw(Dynfw),
}

/// Show how the hub and its nats-server are.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "status")]
struct Status {}

/// List the bans: address, seconds left, reason, bans before.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "bans")]
struct Bans {}

/// Tell why an address is banned, and by whom.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "check")]
struct Check {
    /// an address
    #[argh(positional)]
    address: IpAddr,
}

/// Allow an address or network for the whole fleet; bans in it end.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "allow")]
struct Allow {
    /// an address or network, such as 198.51.100.0/24
    #[argh(positional, from_str_fn(config::net))]
    net: IpNet,
    /// seconds after which the allowance ends (default: never)
    #[argh(option)]
    timeout: Option<u64>,
    /// take the allowance back
    #[argh(switch)]
    remove: bool,
}

/// Take back everything that a login reported, and believe it no more.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "revoke")]
struct Revoke {
    /// whose reports
    #[argh(positional)]
    login: String,
    /// believe it again from now on
    #[argh(switch)]
    undo: bool,
    /// even if no router has ever spoken as this login: it is believed nothing when one does
    #[argh(switch)]
    anyway: bool,
}

/// Routers' logins.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "user")]
struct User {
    #[argh(subcommand)]
    command: UserCommand,
}

#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand)]
enum UserCommand {
    Add(Add),
}

/// Print what nats-server and the router must be told for a new login.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "add")]
struct Add {
    /// its name; one for each owner of routers
    #[argh(positional)]
    login: String,
    /// a key pair in place of a password
    #[argh(switch)]
    nkey: bool,
    /// for diswall-rs, which asks from any inbox: it can then read what others are answered
    #[argh(switch)]
    any_inbox: bool,
}

/// Turris Sentinel's list for the fleet.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "dynfw")]
struct Dynfw {
    #[argh(subcommand)]
    command: DynfwCommand,
}

#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand)]
enum DynfwCommand {
    Key(Key),
}

/// Make the key by which routers know this hub, unless it is there, and print what hub and routers must be told.
#[derive(FromArgs)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand, name = "key")]
struct Key {}

/// Does what the arguments say.
///
/// # Errors
/// A sentence for the owner.
pub async fn run(arguments: Arguments) -> Result<(), String> {
    if arguments.version {
        println!("diswall-hub {}", diswall::VERSION);
        return Ok(());
    }
    let config = Config::read(&arguments.config)?;
    let Some(command) = arguments.command else {
        logger::start(arguments.syslog)?;
        return serve::run(config).await;
    };
    if let Command::User(User { command: UserCommand::Add(add) }) = command {
        let proof = if add.nkey { Proof::Nkey } else { Proof::Password };
        print!("{}", users::add(&add.login, proof, add.any_inbox, &config.nats.servers)?);
        return Ok(());
    }
    if let Command::Dynfw(Dynfw { command: DynfwCommand::Key(Key {}) }) = command {
        print!("{}", dynfw::make(&config.dynfw, &arguments.config)?);
        return Ok(());
    }
    let hub = serve::attach(config).await?;
    print!("{}", execute(&hub, command).await?);
    Ok(())
}

async fn execute(hub: &Hub, command: Command) -> Result<String, String> {
    let (store, now) = (&hub.store, hub.clock.now());
    if let Command::Revoke(Revoke { login, anyway: false, undo }) = &command
        && let Some(told) = revoke::unheard(store, login).await.map_err(|error| error.to_string())?
    {
        return Err(if *undo { told } else { format!("{told}. --anyway revokes it before it speaks") });
    }
    let done = match command {
        Command::Status(Status {}) => show::status(store).await,
        Command::Bans(Bans {}) => show::bans(store, now).await,
        Command::Check(check) => show::check(hub, check.address.to_canonical()).await,
        Command::Allow(Allow { net, remove: true, .. }) => {
            allow::fleet_no_more(store, net).await.map(|()| format!("{net} is not allowed any more\n"))
        }
        Command::Allow(Allow { net, timeout, .. }) if net.prefix_len() > 0 => {
            let ended = allow::fleet(store, net, timeout).await;
            ended.map(|ended| format!("{net} is allowed; {ended} bans ended\n"))
        }
        Command::Allow(_) => return Err("that would allow every address".into()),
        Command::Revoke(Revoke { login, undo: true, .. }) => {
            revoke::trust_again(store, &login, now).await.map(|()| format!("{login} is believed again\n"))
        }
        Command::Revoke(Revoke { login, .. }) => {
            let done = revoke::revoke(store, &hub.config.trust, &login, now).await;
            done.map(|done| format!("{login} is revoked: {done}\n"))
        }
        // Done without nats-server.
        Command::User(_) | Command::Dynfw(_) => Ok(String::new()),
    };
    done.map_err(|error| error.to_string())
}
