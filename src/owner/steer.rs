//! The owner's commands as the command line and rpcd carry them out: what lasts goes into UCI, what
//! has a time-out into the daemon's ledger.
//!
//! Runs in the caller's process, as root: the daemon may not write the configuration. Each command is
//! judged whole before anything is changed. A command reads the configuration once, and asks the daemon once,
//! which reads it again where it has changed and says what is true then.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ipnet::IpNet;

use super::catalogue::{self, Budget, Catalogue, Item};
use super::edit::{self, EditError, Edited, Outcome};
use crate::config::{Action, Allow, Block, Main, Proto, is_services, last_good};
use crate::control::arguments::{PART, comment, holder, nets, vet};
use crate::control::client::{self, ClientError};
use crate::control::protocol::{
    BanCommand, ClearCommand, Code, Done, DoneRow, ExemptCommand, ExplainCommand, KickCommand, Refusal, Request,
    UnbanCommand,
};
use crate::firewall::routes::{self, Role};
use crate::ledger::OWNER;
use crate::model::AllowOrigin;
use crate::options::value;
use crate::programs;

/// What reloads rules and daemon on a router.
const INIT_SCRIPT: &str = "/etc/init.d/diswall";

/// Of more addresses than this a command answers with a sum.
const ROWS: usize = 100;

/// The request for a part of a command's addresses, with the name of all parts and whether more follow.
type PartOf<'a> = dyn Fn(Vec<String>, Option<String>, bool) -> Request + 'a;

/// What a block says besides its addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockOptions {
    /// Seconds; 0: in the ledger until taken back; absent: in UCI.
    pub timeout: Option<u32>,
    /// The owner's comment.
    pub comment: String,
    /// Another action than the configured one.
    pub action: Option<Action>,
    /// Even everything at once.
    pub force: bool,
    /// In whose name; absent: the owner's.
    pub by: Option<String>,
}

/// Carries commands out for one configuration file.
#[derive(Clone, Debug)]
pub struct Steer {
    config: PathBuf,
}

/// What has been edited, and what there is to tell the daemon.
struct Written {
    outcomes: Vec<Outcome>,
    /// Its socket.
    control: PathBuf,
    /// It is still to read the configuration again.
    reload: bool,
    /// The option by which no feed runs, as it is set.
    idle: Option<&'static str>,
}

impl Written {
    fn has_removed(&self) -> bool {
        self.outcomes.contains(&Outcome::Removed)
    }
}

impl Steer {
    /// For the configuration at this path.
    pub fn new(config: &Path) -> Steer {
        Steer { config: config.to_path_buf() }
    }

    /// Blocks.
    pub fn block(&self, addresses: &[String], options: &BlockOptions) -> Result<Done, Refusal> {
        let command = BanCommand {
            addresses: addresses.to_vec(),
            timeout: options.timeout.filter(|seconds| *seconds > 0),
            comment: Some(options.comment.clone()),
            force: options.force,
            by: options.by.clone(),
            ..BanCommand::default()
        };
        if options.timeout.is_some() {
            if options.action.is_some() {
                let text = "an action of its own needs a lasting block: give --action or --timeout, not both";
                return Err(Refusal::invalid(text));
            }
            return self.ban(command);
        }
        if holder(options.by.as_deref())? != OWNER {
            let text = "a program's ban is not written into the configuration: give --timeout; 0 is until taken back";
            return Err(Refusal::invalid(text));
        }
        let nets = nets(addresses)?;
        let comment = comment(&options.comment)?;
        // Where they cannot be told, the daemon keeps them free all the same.
        let own = routes::own().unwrap_or_default();
        vet(&nets, options.force, &|address| own.contains(&address.into()).then(|| Role::Own.why().into()))?;
        let blocks: Vec<Block> = nets.iter().map(|net| block(*net, &comment, options.action)).collect();
        self.explain(&nets, "blocked", &edit::Edit::Block { blocks: &blocks, force: options.force })
    }

    /// Writes these into the configuration and says what is true of them then.
    fn explain(&self, nets: &[IpNet], what: &str, edit: &edit::Edit<'_>) -> Result<Done, Refusal> {
        let Written { control, reload, .. } = self.edit(edit)?;
        let many = nets.len() > ROWS;
        let addresses = if many { Vec::new() } else { written(nets) };
        let sum = |rest: &str| {
            let text = format!("{} addresses and networks {rest}", nets.len());
            Ok(Done { done: vec![DoneRow { text, ..DoneRow::default() }] })
        };
        match client::ask(&control, &Request::Explain(ExplainCommand { addresses, reload })) {
            Ok(_) if many => sum(&format!("are {what} from now on")),
            Err(ClientError::Unreachable { .. }) if many => {
                sum(&format!("will be {what} when the daemon runs; they are in the configuration"))
            }
            Err(ClientError::Unreachable { .. }) => {
                Ok(rows(nets, |net| format!("{net} will be {what} when the daemon runs; it is in the configuration")))
            }
            other => other.map_err(ClientError::into_refusal),
        }
    }

    /// Has the daemon ban: all of it, or none.
    fn ban(&self, mut command: BanCommand) -> Result<Done, Refusal> {
        let addresses = std::mem::take(&mut command.addresses);
        self.in_parts(&addresses, &|addresses, batch, more| {
            Request::Ban(BanCommand { addresses, batch, more, ..command.clone() })
        })
    }

    /// Asks what may be too long for a line of the control socket: in parts, which have a common name then and say
    /// whether more follow. The answer to the last.
    fn in_parts(&self, addresses: &[String], request: &PartOf<'_>) -> Result<Done, Refusal> {
        nets(addresses)?;
        let mut parts = addresses.chunks(PART).peekable();
        let batch = (addresses.len() > PART).then(|| {
            let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
            format!("{}-{now}", std::process::id())
        });
        let mut done = Done::default();
        while let Some(part) = parts.next() {
            done = self.ask(&request(part.to_vec(), batch.clone(), parts.peek().is_some()))?;
        }
        Ok(done)
    }

    /// Takes bans back: a holder's own out of the ledger, or, without `by`, whoever's out of UCI and ledger.
    pub fn unblock(&self, addresses: &[String], source: Option<String>, by: Option<String>) -> Result<Done, Refusal> {
        let nets = nets(addresses)?;
        let written = if by.is_none() && source.as_deref().is_none_or(|source| source == "manual") {
            self.edit(&edit::Edit::Unblock(&nets))?
        } else {
            Written {
                outcomes: vec![Outcome::NotThere; nets.len()],
                control: self.control(),
                reload: false,
                idle: None,
            }
        };
        let by_program = by.is_some();
        match self.unban(&nets, &written, &UnbanCommand { source, by, ..UnbanCommand::default() }) {
            // Asked twice, a program has what it wants.
            Ok(done) if by_program => Ok(done),
            Ok(done) => found(done, |row| row.text.clone()),
            // What was in the configuration is out of it; the ledger's part needs the daemon.
            Err(ClientError::Unreachable { .. }) if written.has_removed() => {
                Ok(rows(&nets, |net| format!("{net} is out of the configuration; the daemon does not run")))
            }
            Err(error) => Err(error.into_refusal()),
        }
    }

    /// Has the daemon take bans back, however many; what has been taken out of the configuration is said to it.
    fn unban(&self, nets: &[IpNet], edited: &Written, command: &UnbanCommand) -> Result<Done, ClientError> {
        let mut all = Done::default();
        let mut reload = edited.reload;
        for (nets, outcomes) in nets.chunks(PART).zip(edited.outcomes.chunks(PART)) {
            let removed = nets.iter().zip(outcomes).filter(|(_, outcome)| **outcome == Outcome::Removed);
            let unlisted = removed.map(|(net, _)| value::written(*net)).collect();
            let command = UnbanCommand { addresses: written(nets), unlisted, reload, ..command.clone() };
            all.done.extend(client::ask::<Done>(&edited.control, &Request::Unban(command))?.done);
            reload = false;
        }
        Ok(all)
    }

    /// Takes back everything that a holder has banned by command.
    pub fn clear(&self, by: &str) -> Result<Done, Refusal> {
        self.ask(&Request::Clear(ClearCommand { by: by.into() }))
    }

    /// The catalogue, and how it stands on this router.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn catalogue(&self, path: &Path) -> Result<(Catalogue, Budget), Refusal> {
        let loaded = last_good::load(&self.config).map_err(|problems| Refusal::failed(problems.to_string()))?;
        catalogue::read(path, &loaded.settings).map_err(Refusal::failed)
    }

    /// Switches lists of the catalogue on or off, all of them or none. `force`: also what does not fit.
    ///
    /// # Errors
    /// There is none of that name, or not all of them fit.
    pub fn switch(&self, path: &Path, names: &[String], on: bool, force: bool) -> Result<Done, Refusal> {
        let (catalogue, budget) = self.catalogue(path)?;
        if names.is_empty() {
            return Err(Refusal::invalid("no list is named; the names are those of: diswall lists"));
        }
        let mut names = names.to_vec();
        names.sort_unstable();
        names.dedup();
        let found: Result<Vec<&Item>, String> = names.iter().map(|name| catalogue.find(name)).collect();
        let items = found.map_err(|message| Refusal { code: Code::NotFound, message })?;
        let written = if on {
            if let Some(why) = catalogue::afford(&items, budget).err().filter(|_| !force) {
                return Err(Refusal { code: Code::Refused, message: why });
            }
            let sections: Vec<edit::NewList> = items.iter().map(|item| item.section()).collect();
            self.edit(&edit::Edit::Enable(&sections))?
        } else {
            self.edit(&edit::Edit::Disable(&names))?
        };
        tell(&written.control, written.reload)?;
        let row = |(item, outcome): (&&Item, &Outcome)| DoneRow {
            address: item.name.clone(),
            text: switched(item, on, *outcome),
            ..DoneRow::default()
        };
        let mut done: Vec<DoneRow> = items.iter().zip(&written.outcomes).map(row).collect();
        if let Some(why) = written.idle.filter(|_| on) {
            let text =
                format!("nothing is fetched, and no list of the web is in force, while {why} in config diswall 'main'");
            done.push(DoneRow { text, ..DoneRow::default() });
        }
        Ok(Done { done })
    }

    /// Allows.
    pub fn allow(&self, addresses: &[String], comment_text: &str, timeout: Option<u32>) -> Result<Done, Refusal> {
        let nets = nets(addresses)?;
        if let Some(all) = nets.iter().find(|net| net.prefix_len() == 0) {
            let text =
                format!("{all} is everybody: nothing would be blocked any more; enabled '0' switches diswall off");
            return Err(Refusal::invalid(text));
        }
        let comment = comment(comment_text)?;
        if let Some(seconds) = timeout {
            let timeout = Some(seconds).filter(|seconds| *seconds > 0);
            return self.in_parts(addresses, &|addresses, batch, more| {
                let comment = Some(comment.clone());
                Request::Exempt(ExemptCommand { addresses, timeout, comment, batch, more, reload: false })
            });
        }
        let allows: Vec<Allow> = nets.iter().map(|net| Allow { net: *net, comment: comment.clone() }).collect();
        self.explain(&nets, "allowed", &edit::Edit::Allow(&allows))
    }

    /// Takes allowances back: UCI's and the ledger's own.
    pub fn disallow(&self, addresses: &[String]) -> Result<Done, Refusal> {
        let nets = nets(addresses)?;
        let written = self.edit(&edit::Edit::Disallow(&nets))?;
        let mut done = match self.unexempt(&nets, &written) {
            Ok(done) => done,
            Err(ClientError::Unreachable { .. }) if written.has_removed() => rows(&nets, |_| String::new()),
            Err(error) => return Err(error.into_refusal()),
        };
        for (row, outcome) in done.done.iter_mut().zip(&written.outcomes) {
            let from_feed = row.sources.iter().any(|origin| origin == AllowOrigin::Nats.name());
            row.sources.retain(|origin| origin != AllowOrigin::Nats.name());
            if *outcome == Outcome::Removed {
                row.sources.push(AllowOrigin::Config.name().into());
            }
            let rest = if from_feed { "; DisWall's own allowance stays" } else { "" };
            // What is true all the same.
            let stands = Some(&row.text).filter(|text| !text.is_empty()).map(|text| format!("; it {text}"));
            row.text = format!("{} is no longer allowed by you{rest}{}", row.address, stands.unwrap_or_default());
            if row.sources.is_empty() && from_feed {
                let text = format!("{} is allowed by DisWall's account; take it back there", row.address);
                return Err(Refusal { code: Code::Refused, message: text });
            }
        }
        let untouched = |row: &DoneRow| match row.text.split_once("; it is allowed") {
            Some((_, how)) => {
                format!("{} is allowed{how}; there is no allowance of it alone to take back", row.address)
            }
            None => format!("{} is not allowed; there is nothing to take back", row.address),
        };
        found(done, untouched)
    }

    /// Has the daemon take its own allowances back, however many.
    fn unexempt(&self, nets: &[IpNet], edited: &Written) -> Result<Done, ClientError> {
        let mut all = Done::default();
        let mut reload = edited.reload;
        for part in nets.chunks(PART) {
            let command = ExemptCommand { addresses: written(part), reload, ..ExemptCommand::default() };
            all.done.extend(client::ask::<Done>(&edited.control, &Request::Unexempt(command))?.done);
            reload = false;
        }
        Ok(all)
    }

    /// Ends the connections of addresses, however many; none if one of them does not parse.
    pub fn kick(&self, addresses: &[String]) -> Result<Done, Refusal> {
        nets(addresses)?;
        let mut all = Done::default();
        for part in addresses.chunks(PART) {
            all.done.extend(self.ask(&Request::Kick(KickCommand { addresses: part.to_vec() }))?.done);
        }
        if all.done.len() > 1 && addresses.len() > ROWS {
            let ended = all.done.iter().filter_map(|row| row.connections).sum::<u64>();
            let text = format!("{ended} connections of {} addresses and networks ended", addresses.len());
            all.done = vec![DoneRow { text, connections: Some(ended), ..DoneRow::default() }];
        }
        Ok(all)
    }

    fn ask(&self, request: &Request) -> Result<Done, Refusal> {
        client::ask(&self.control(), request).map_err(ClientError::into_refusal)
    }

    fn control(&self) -> PathBuf {
        last_good::control(&self.config)
    }

    /// Edits the configuration and has the rules take it. A daemon that does not run takes it at start.
    fn edit(&self, request: &edit::Edit<'_>) -> Result<Written, Refusal> {
        let Edited { outcomes, rules, text, loaded } = edit::edit(&self.config, request).map_err(|error| {
            Refusal::failed(match error {
                EditError::Invalid(problems) => problems.to_string(),
                error => error.to_string(),
            })
        })?;
        let main = &loaded.settings.main;
        let control = main.control.clone();
        let idle = match main {
            Main { enabled: false, .. } => Some("option enabled is '0'"),
            Main { local_only: true, .. } => Some("option local_only is '1'"),
            _ => None,
        };
        if outcomes.iter().all(|outcome| *outcome == Outcome::NotThere) {
            return Ok(Written { outcomes, control, reload: false, idle });
        }
        // Where rules change, it is kept once they are written.
        if !rules && let Err(error) = last_good::keep_text(&self.config, &loaded, &text) {
            log::warn!("the last good configuration cannot be kept: {error}");
        }
        let reload = !self.take_up(rules, &control)?;
        Ok(Written { outcomes, control, reload, idle })
    }

    /// Has rules take the new configuration; whether the daemon has it by that. If not, it can read it.
    fn take_up(&self, rules: bool, control: &Path) -> Result<bool, Refusal> {
        if rules && Path::new(INIT_SCRIPT).exists() {
            // It writes the rules, reloads fw4 and signals the daemon.
            let run = programs::command(INIT_SCRIPT)
                .and_then(|mut command| command.arg("reload").stdin(Stdio::null()).stdout(Stdio::null()).status());
            return match run {
                Ok(status) if status.success() => Ok(true),
                Ok(status) => Err(Refusal::failed(format!("written, but {INIT_SCRIPT} reload failed ({status})"))),
                Err(error) => Err(Refusal::failed(format!("written, but {INIT_SCRIPT} reload: {error}"))),
            };
        }
        if rules && is_services(&self.config) {
            reload_unit();
        }
        lend(&self.config, control).map(|()| false).map_err(|error| {
            let file = self.config.display();
            Refusal::failed(format!("written, but the daemon cannot be given {file} to read: {error}"))
        })
    }
}

/// Has systemd load the rules anew, where the service is one of its own. What it cannot, `status` tells.
fn reload_unit() {
    let unit = |verb: &str| {
        let mut command = programs::command("systemctl").ok()?;
        let quiet = command.args(["--quiet", verb, "diswall.service"]).stdin(Stdio::null()).stdout(Stdio::null());
        quiet.stderr(Stdio::null()).status().ok().filter(std::process::ExitStatus::success)
    };
    if unit("is-active").is_some() {
        let _ = unit("reload");
    }
}

/// Puts the last good configuration back and has it taken up; what was done, as a sentence.
///
/// # Errors
/// There is none, or it cannot be written or taken up.
pub fn restore(config: &Path) -> Result<String, Refusal> {
    last_good::restore(config).map_err(|error| Refusal::failed(error.to_string()))?;
    let steer = Steer::new(config);
    let control = steer.control();
    tell(&control, !steer.take_up(true, &control)?)?;
    let (file, set_aside) = (config.display(), last_good::SET_ASIDE);
    Ok(format!("{file} is the last good configuration again; what was there is in {set_aside}"))
}

/// Has the daemon read the configuration again where it is to. One that does not run takes it at start.
fn tell(control: &Path, reload: bool) -> Result<(), Refusal> {
    let explain = ExplainCommand { reload, ..ExplainCommand::default() };
    match reload.then(|| client::ask::<Done>(control, &Request::Explain(explain))) {
        None | Some(Ok(_) | Err(ClientError::Unreachable { .. })) => Ok(()),
        Some(Err(error)) => Err(error.into_refusal()),
    }
}

/// Lets the daemon read the file that has just been written. `uci` makes it root's alone, and the daemon
/// runs as whoever owns its socket.
fn lend(config: &Path, control: &Path) -> io::Result<()> {
    // Without a daemon nobody is to be told, and as root it may read everything.
    let Some(daemon) = owner(control).filter(|daemon| daemon.uid() != 0) else { return Ok(()) };
    let file = fs::metadata(config)?;
    if file.uid() == daemon.uid() || file.gid() == daemon.gid() && file.mode() & 0o040 != 0 {
        return Ok(());
    }
    chown(config, None, Some(daemon.gid()))?;
    fs::set_permissions(config, fs::Permissions::from_mode(file.mode() & 0o7777 | 0o040))
}

/// The socket's metadata, if it is one, where it lies in a directory of its owner's own or of root's: in another, somebody
/// could have put anybody's file there.
fn owner(control: &Path) -> Option<fs::Metadata> {
    let socket = fs::canonicalize(control).ok()?;
    let (daemon, directory) = (fs::symlink_metadata(&socket).ok()?, fs::metadata(socket.parent()?).ok()?);
    (daemon.file_type().is_socket() && [0, daemon.uid()].contains(&directory.uid())).then_some(daemon)
}

fn block(net: IpNet, comment: &str, action: Option<Action>) -> Block {
    Block { net, comment: comment.into(), proto: Proto::Any, dest_ports: Vec::new(), action, log: false }
}

fn written(nets: &[IpNet]) -> Vec<String> {
    nets.iter().map(|net| value::written(*net)).collect()
}

fn rows(nets: &[IpNet], text: impl Fn(&str) -> String) -> Done {
    let row = |net: &IpNet| {
        let address = value::written(*net);
        DoneRow { text: text(&address), address, ..DoneRow::default() }
    };
    Done { done: nets.iter().map(row).collect() }
}

/// What became of a list that was switched, with what an owner has to know of one that is on now.
fn switched(item: &Item, on: bool, outcome: Outcome) -> String {
    let changed = matches!(outcome, Outcome::Added | Outcome::Changed);
    let words = match (on, changed) {
        (true, true) => " is switched on: ",
        (true, false) => " was switched on already: ",
        (false, true) => " is switched off",
        (false, false) => " was not switched on",
    };
    let rest = if on { item.conditions() } else { String::new() };
    [&item.name, words, &rest].concat()
}

/// Refuses where nothing at all was there to take back.
fn found(done: Done, text: impl Fn(&DoneRow) -> String) -> Result<Done, Refusal> {
    if done.done.iter().any(|row| !row.sources.is_empty()) {
        return Ok(done);
    }
    let message = done.done.first().map(text).unwrap_or_default();
    Err(Refusal { code: Code::NotFound, message })
}
