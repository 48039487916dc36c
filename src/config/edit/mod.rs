//! Changes the owner's allow and block lists in the configuration file: `diswall allow`, `disallow`,
//! `block` and `unblock` without `--timeout`, and the same calls from LuCI.
//!
//! A request is planned on the typed settings, carried out by OpenWrt's own `uci` where it exists and by
//! editing the text where not, and put in place only if reading the result gives exactly the settings
//! that were meant: all of it or nothing. It does not tell the daemon; its caller does.

mod file;
mod program;
mod text;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::{Action, Allow, Block, Loaded, Problems, Proto, Settings, value};

/// What is asked for; each item has its [`Outcome`].
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Write these allowances. One that is there gets the new comment, unless that is empty.
    Allow(&'a [Allow]),
    /// Take every allowance of exactly these networks out.
    Disallow(&'a [IpNet]),
    /// Write these blocks. One of the same network, protocol and ports gets the new action and, unless
    /// that is empty, the new comment.
    Block {
        /// The blocks.
        blocks: &'a [Block],
        /// Accept `0.0.0.0/0` and `::/0`.
        force: bool,
    },
    /// Take every block of exactly these networks out, whatever its protocol and ports.
    Unblock(&'a [IpNet]),
}

/// What became of one item of a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A section was written for it.
    Added,
    /// It was there; its comment or action is new.
    Changed,
    /// It was there, just so.
    Unchanged,
    /// Its sections were taken out.
    Removed,
    /// There was nothing to take out.
    NotThere,
}

/// Who wrote the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Nobody: there was nothing to change.
    None,
    /// `uci`.
    Program,
    /// diswall itself, because `uci` is not installed, or could not do it (then why not).
    File(Option<String>),
}

/// A request that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// One for each item, in the order of the request.
    pub outcomes: Vec<Outcome>,
    /// Who wrote the file.
    pub method: Method,
}

/// A request that was not carried out; the file is as it was.
#[derive(Debug)]
pub enum EditError {
    /// The file has errors, so that it cannot be said what a change would mean.
    Invalid(Problems),
    /// Reading or writing failed: what was being done, with which file, and the cause.
    Io {
        /// Such as "writing".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The request cannot be met; a sentence.
    Refused(String),
}

impl EditError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EditError {
        let path = path.to_owned();
        move |source| EditError::Io { doing, path, source }
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditError::Invalid(problems) => write!(f, "nothing was changed, the configuration has errors:\n{problems}"),
            EditError::Io { doing, path, source } => {
                write!(f, "{doing} {}: {source}", path.display())?;
                match source.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::QuotaExceeded => {
                        f.write_str("; nothing was changed. With --timeout it needs no file")
                    }
                    _ => Ok(()),
                }
            }
            EditError::Refused(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for EditError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EditError::Invalid(problems) => Some(problems),
            EditError::Io { source, .. } => Some(source),
            EditError::Refused(_) => None,
        }
    }
}

/// Carries `request` out on the configuration at `path`. Blocks, for 5 s at most if another program
/// holds the file.
pub fn edit(path: &Path, request: &Request<'_>) -> Result<Done, EditError> {
    edit_with(path, request, "uci")
}

/// As [`edit`], with the name or path of the `uci` program.
fn edit_with(path: &Path, request: &Request<'_>, uci: &str) -> Result<Done, EditError> {
    // A link is followed, so that the rename at the end replaces what it points to.
    let path = path.canonicalize().map_err(EditError::io("opening", path))?;
    let _others = file::lock_directory(&path)?;
    let text = file::read(&path)?;
    let plan = Plan::new(file::parse(&text, &path)?, request)?;
    if plan.steps.is_empty() {
        return Ok(Done { outcomes: plan.outcomes, method: Method::None });
    }
    let why_not = match program::apply(uci, &path, &plan) {
        Ok(()) => return Ok(Done { outcomes: plan.outcomes, method: Method::Program }),
        Err(program::Failure::Absent) => None,
        Err(program::Failure::NothingDone(why)) => Some(why),
        Err(program::Failure::Unsure(why)) => return Err(EditError::Refused(why)),
    };
    let locked = file::Locked::open(&path)?;
    let text = locked.read()?;
    let plan = Plan::new(file::parse(&text, &path)?, request)?;
    let new = text::apply(&text, &plan.steps).map_err(EditError::Refused)?;
    plan.verify(&new).map_err(EditError::Refused)?;
    locked.replace(&new)?;
    Ok(Done { outcomes: plan.outcomes, method: Method::File(why_not) })
}

/// The two kinds of section that are written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Allow,
    Block,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Allow => "allow",
            Kind::Block => "block",
        }
    }
}

/// One line of a new section.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NewOption {
    is_list: bool,
    name: &'static str,
    value: String,
}

/// One change to the file. An index counts the sections of its kind, from 0, before any of the changes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Append { kind: Kind, options: Vec<NewOption> },
    Set { kind: Kind, index: usize, option: &'static str, value: String },
    Remove { kind: Kind, index: usize },
}

/// What is to be done, and what the file must say afterwards.
struct Plan {
    steps: Vec<Step>,
    outcomes: Vec<Outcome>,
    expected: Settings,
}

impl Plan {
    /// In a file without errors each `config allow` is one of `settings.allow`, in order, so an index into
    /// one is an index into the other; the same goes for blocks.
    fn new(settings: Settings, request: &Request<'_>) -> Result<Plan, EditError> {
        let (allows, blocks) = (settings.allow.len(), settings.block.len());
        let mut plan = Plan { steps: Vec::new(), outcomes: Vec::new(), expected: settings };
        match *request {
            Request::Allow(new) => new.iter().try_for_each(|allow| plan.allow(allow, allows))?,
            Request::Block { blocks: new, force } => {
                new.iter().filter(|_| !force).try_for_each(refuse_everything)?;
                new.iter().try_for_each(|block| plan.block(block, blocks))?;
            }
            Request::Disallow(nets) => {
                let found: Vec<IpNet> = plan.expected.allow.iter().map(|allow| allow.net).collect();
                plan.remove(Kind::Allow, nets, &found);
                plan.expected.allow.retain(|allow| !nets.contains(&allow.net));
            }
            Request::Unblock(nets) => {
                let found: Vec<IpNet> = plan.expected.block.iter().map(|block| block.net).collect();
                plan.remove(Kind::Block, nets, &found);
                plan.expected.block.retain(|block| !nets.contains(&block.net));
            }
        }
        Ok(plan)
    }

    fn allow(&mut self, new: &Allow, in_file: usize) -> Result<(), EditError> {
        refuse_bad_comment(&new.comment)?;
        let found = self.expected.allow.iter_mut().enumerate().find(|(_, old)| old.net == new.net);
        let Some((index, old)) = found else {
            let mut options = vec![single("ip", value::written(new.net))];
            options.extend(comment_option(&new.comment));
            self.append(Kind::Allow, options);
            self.expected.allow.push(new.clone());
            return Ok(());
        };
        let steps = changed_comment(&mut old.comment, &new.comment, Kind::Allow, index);
        self.change(steps.into_iter().collect(), &new.net, index < in_file)
    }

    fn block(&mut self, new: &Block, in_file: usize) -> Result<(), EditError> {
        refuse_bad_comment(&new.comment)?;
        let same = |old: &Block| old.net == new.net && old.proto == new.proto && old.dest_ports == new.dest_ports;
        let found = self.expected.block.iter_mut().enumerate().find(|(_, old)| same(old));
        let Some((index, old)) = found else {
            self.append(Kind::Block, block_options(new));
            self.expected.block.push(new.clone());
            return Ok(());
        };
        let mut steps: Vec<Step> =
            changed_comment(&mut old.comment, &new.comment, Kind::Block, index).into_iter().collect();
        if let Some(action) = new.action.filter(|_| new.action != old.action) {
            old.action = new.action;
            let value = action_name(action).to_owned();
            steps.push(Step::Set { kind: Kind::Block, index, option: "action", value });
        }
        self.change(steps, &new.net, index < in_file)
    }

    fn append(&mut self, kind: Kind, options: Vec<NewOption>) {
        self.steps.push(Step::Append { kind, options });
        self.outcomes.push(Outcome::Added);
    }

    fn change(&mut self, steps: Vec<Step>, net: &IpNet, in_file: bool) -> Result<(), EditError> {
        if !in_file && !steps.is_empty() {
            let net = value::written(*net);
            return Err(EditError::Refused(format!("{net} is given twice and differently; nothing was changed")));
        }
        self.outcomes.push(if steps.is_empty() { Outcome::Unchanged } else { Outcome::Changed });
        self.steps.extend(steps);
        Ok(())
    }

    /// `found`: the network of every section of that kind.
    fn remove(&mut self, kind: Kind, nets: &[IpNet], found: &[IpNet]) {
        let outcome = |net| if found.contains(net) { Outcome::Removed } else { Outcome::NotThere };
        self.outcomes.extend(nets.iter().map(outcome));
        let gone = found.iter().enumerate().filter(|(_, net)| nets.contains(net));
        self.steps.extend(gone.map(|(index, _)| Step::Remove { kind, index }));
    }

    /// Does `text` say exactly what was meant? If not, a sentence.
    fn verify(&self, text: &[u8]) -> Result<(), String> {
        let Loaded { settings, problems, .. } = Settings::parse(text, "the new text", &[]);
        if problems.has_errors() {
            return Err(format!("the change would leave errors, so it was not made: {problems}"));
        }
        if settings != self.expected {
            return Err("the change would alter other settings too, so it was not made".to_owned());
        }
        Ok(())
    }
}

/// It would be cut when it is read.
fn refuse_bad_comment(comment: &str) -> Result<(), EditError> {
    value::comment(comment).map(drop).map_err(|error| EditError::Refused(error.to_string()))
}

fn refuse_everything(block: &Block) -> Result<(), EditError> {
    if !value::is_everything(&block.net) {
        return Ok(());
    }
    Err(EditError::Refused(format!(
        "block {} would block every address of that family, so that nothing from outside gets in; nothing was changed",
        block.net
    )))
}

/// Gives `old` the new comment, if there is one and it is another.
fn changed_comment(old: &mut String, new: &str, kind: Kind, index: usize) -> Option<Step> {
    if new.is_empty() || new == old {
        return None;
    }
    new.clone_into(old);
    Some(Step::Set { kind, index, option: "comment", value: new.to_owned() })
}

fn block_options(block: &Block) -> Vec<NewOption> {
    let proto = match block.proto {
        Proto::Any => None,
        Proto::Tcp => Some("tcp"),
        Proto::Udp => Some("udp"),
        Proto::Icmp => Some("icmp"),
    };
    let mut options = vec![single("ip", value::written(block.net))];
    options.extend(comment_option(&block.comment));
    options.extend(proto.map(|proto| single("proto", proto.to_owned())));
    let ports = block.dest_ports.iter().map(ToString::to_string);
    options.extend(ports.map(|value| NewOption { is_list: true, name: "dest_port", value }));
    options.extend(block.action.map(|action| single("action", action_name(action).to_owned())));
    if value::is_everything(&block.net) {
        // Only a request with `force` gets here.
        options.push(single("force", "1".to_owned()));
    }
    options
}

fn single(name: &'static str, value: String) -> NewOption {
    NewOption { is_list: false, name, value }
}

fn comment_option(comment: &str) -> Option<NewOption> {
    (!comment.is_empty()).then(|| single("comment", comment.to_owned()))
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::Drop => "drop",
        Action::Reject => "reject",
    }
}

#[cfg(test)]
mod tests;
