//! Changes the owner's allow and block sections in the configuration file, and which lists are switched on: `diswall
//! allow`, `disallow`, `block` and `unblock` without `--timeout`, `lists enable` and `disable`, and the same from LuCI.
//!
//! A request is planned on the sections of these kinds that are there, carried out on the text, and put in
//! place only if reading the result gives exactly the sections that were meant, and all others as they were.
//! Not by `uci`: it would lose the file's comments, and it writes over what others commit at the same time.
//! Afterwards the file is read again: somebody's `uci commit` may have been about to replace it. It does not
//! tell the daemon; its caller does.

mod file;
mod text;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::config::read::{self, ListText, Listed};
use crate::config::{Action, Allow, Block, Loaded, Problems, Proto, Settings, is_services, last_good};
use crate::feed::lists;
use crate::firewall::rules;
use crate::options::{uci, value};

/// What is asked for; each item has its [`Outcome`].
#[derive(Clone, Copy, Debug)]
pub enum Edit<'a> {
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
    /// Switch these lists on. A section that is there keeps all that it says else.
    Enable(&'a [NewList]),
    /// Switch the lists of these names off; their sections stay.
    Disable(&'a [String]),
}

/// The section of a list that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewList {
    /// Its name.
    pub name: String,
    /// Its options.
    pub options: Vec<NewOption>,
}

/// What became of one item of an [`Edit`].
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

/// A request that was carried out, or found done already.
#[derive(Debug)]
pub struct Edited {
    /// What became of each item, in their order.
    pub outcomes: Vec<Outcome>,
    /// The rules' text is another now: a list, or a block that is a rule of its own, has come, gone or changed.
    pub rules: bool,
    /// The file's text now.
    pub text: Vec<u8>,
    /// What is to be in force by it.
    pub loaded: Loaded,
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

/// So often an edit is made anew because somebody else's write of the file lost it.
const TRIES: usize = 50;

/// Carries `request` out on the configuration at `path`.
/// Waits for other edits, in the order in which they came, and for whoever else holds the file: a minute
/// at most.
///
/// # Errors
/// The file is as it was, as far as the request goes.
pub fn edit(path: &Path, request: &Edit<'_>) -> Result<Edited, EditError> {
    let kept = last_good::text(path).unwrap_or_default();
    let is_services = is_services(path);
    // A link is followed: what it points to is edited.
    let path = path.canonicalize().map_err(EditError::io("opening", path))?;
    let _others = file::lock_directory(&path)?;
    file::clear_away(&path);
    let mut first: Option<Vec<Outcome>> = None;
    let mut rules = false;
    for _ in 0..TRIES {
        let locked = match file::Locked::open(&path) {
            Ok(locked) => locked,
            // On a read-only overlay what is not in the file can be asked for all the same.
            Err(error) => {
                let text = file::read(&path)?;
                let Plan { steps, outcomes, loaded, .. } = Plan::new(&text, &path, request, &kept)?;
                return if steps.is_empty() { Ok(Edited { outcomes, rules, text, loaded }) } else { Err(error) };
            }
        };
        let old = locked.read()?;
        let mut plan = Plan::new(&old, &path, request, &kept)?;
        if is_services {
            name_new(&mut plan.steps, &old);
        }
        // What was there before the first try is what the owner is told.
        let outcomes = first.get_or_insert_with(|| plan.outcomes.clone());
        if plan.steps.is_empty() {
            return Ok(Edited { outcomes: std::mem::take(outcomes), rules, text: old, loaded: plan.loaded });
        }
        let text = text::apply(&old, &plan.steps).map_err(EditError::Refused)?;
        let loaded = plan.verify(&text, &kept).map_err(EditError::Refused)?;
        are_in_force(request, &loaded)?;
        rules |= alters_rules(&plan.loaded.settings, &loaded.settings);
        // The rules in force are those of what is kept; whoever has edited by hand since may not have reloaded.
        if is_services && !kept.is_empty() && kept != old {
            let kept = Settings::parse(&kept, last_good::PATH, &[]).settings;
            rules |= kept.main != loaded.settings.main || alters_rules(&kept, &loaded.settings);
        }
        locked.write(&old, &text)?;
        if locked.lasts(&text)? {
            return Ok(Edited { outcomes: std::mem::take(outcomes), rules, text, loaded });
        }
    }
    let path = path.display();
    Err(EditError::Refused(format!("another program writes {path} again and again; the change did not last")))
}

/// Names the new sections. To UCI one without a name is the N-th of the file: what somebody has staged for a new one of his
/// own, or stages while this is written, would be committed into ours.
fn name_new(steps: &mut [Step], text: &[u8]) {
    let (sections, _) = uci::sections(text);
    let mut taken: HashSet<String> =
        sections.iter().filter_map(|section| Some(section.name.as_ref()?.to_string())).collect();
    for step in steps {
        if let Step::Append { kind, name: name @ None, options } = step {
            let ip = options.first().map_or("", |option| &option.value);
            let mut new = [kind.name(), "_", &ip.replace(|c: char| !c.is_ascii_alphanumeric(), "_")].concat();
            while !taken.insert(new.clone()) {
                new.push('_');
            }
            *name = Some(new);
        }
    }
}

/// A list is switched on only if what its section says is in force.
fn are_in_force(request: &Edit<'_>, loaded: &Loaded) -> Result<(), EditError> {
    let Edit::Enable(new) = request else { return Ok(()) };
    let is_on = |list: &&NewList| loaded.settings.feeds.lists.iter().any(|on| on.source.name() == list.name);
    let Some(NewList { name, .. }) = new.iter().find(|list| !is_on(list)) else { return Ok(()) };
    let of_it = format!("config list '{name}'");
    let why = loaded.problems.list.iter().find(|problem| problem.message.contains(&of_it));
    let why = why.map_or(String::new(), |problem| format!(": {}", problem.message));
    Err(EditError::Refused(format!("config list '{name}' would not be in force, so nothing was changed{why}")))
}

/// Brings to an end what a killed edit or `uci`, or a power failure, left beside the configuration at
/// `path`. For root at a start.
pub fn sweep(path: &Path) {
    if let Ok(path) = path.canonicalize()
        && let Ok(_others) = file::lock_directory(&path)
    {
        file::clear_away(&path);
    }
}

/// The kinds of section that are written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Allow,
    Block,
    List,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Allow => "allow",
            Kind::Block => "block",
            Kind::List => "list",
        }
    }
}

/// One line of a new section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOption {
    /// Whether it is one of several.
    pub is_list: bool,
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

/// One change to the file. An index counts the sections of its kind, from 0, before any of the changes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Append { kind: Kind, name: Option<String>, options: Vec<NewOption> },
    Set { kind: Kind, index: usize, option: &'static str, value: String },
    Remove { kind: Kind, index: usize },
}

/// What is to be done, and what the file must say afterwards.
struct Plan {
    steps: Vec<Step>,
    outcomes: Vec<Outcome>,
    /// The allow and block sections in their order; `None`: one that cannot be used, and is left alone.
    allows: Vec<Option<Allow>>,
    blocks: Vec<Option<Block>>,
    /// The list sections in their order.
    lists: Vec<ListText>,
    /// Every other section.
    rest: String,
    /// What is in force by the text before any change, and the name that its problems go by.
    loaded: Loaded,
    /// Where the networks of the request's kind are.
    places: HashMap<IpNet, Vec<usize>>,
}

impl Plan {
    /// An index into `allows` is one into the file's `config allow`, before any change; so with blocks.
    /// `kept`: the last good configuration.
    fn new(text: &[u8], path: &Path, request: &Edit<'_>, kept: &[u8]) -> Result<Plan, EditError> {
        let listed = read::listed(text, &path.display().to_string(), kept).map_err(EditError::Invalid)?;
        let mut plan = Plan::of(listed);
        let (allows, blocks) = (plan.allows.len(), plan.blocks.len());
        match *request {
            Edit::Allow(new) => {
                plan.places = places(plan.allows.iter().map(|allow| allow.as_ref().map(|allow| allow.net)));
                new.iter().try_for_each(|allow| plan.allow(allow, allows))?;
            }
            Edit::Block { blocks: new, force } => {
                new.iter().filter(|_| !force).try_for_each(refuse_everything)?;
                plan.places = places(plan.blocks.iter().map(|block| block.as_ref().map(|block| block.net)));
                new.iter().try_for_each(|block| plan.block(block, blocks))?;
            }
            Edit::Disallow(nets) => {
                let found = places(plan.allows.iter().map(|allow| allow.as_ref().map(|allow| allow.net)));
                let gone = plan.remove(Kind::Allow, nets, &found);
                plan.allows = without(plan.allows, &gone);
            }
            Edit::Unblock(nets) => {
                let found = places(plan.blocks.iter().map(|block| block.as_ref().map(|block| block.net)));
                let gone = plan.remove(Kind::Block, nets, &found);
                plan.blocks = without(plan.blocks, &gone);
            }
            Edit::Enable(new) => new.iter().try_for_each(|list| plan.enable(list))?,
            Edit::Disable(names) => names.iter().for_each(|name| plan.disable(name)),
        }
        if plan.steps.is_empty() {
            are_in_force(request, &plan.loaded)?;
        }
        Ok(plan)
    }

    /// Nothing is to be done; what the text says.
    fn of(Listed { allows, blocks, lists, rest, loaded }: Listed) -> Plan {
        let (steps, outcomes, places) = (Vec::new(), Vec::new(), HashMap::new());
        Plan { steps, outcomes, allows, blocks, lists, rest, loaded, places }
    }

    fn allow(&mut self, new: &Allow, in_file: usize) -> Result<(), EditError> {
        refuse_bad_comment(&new.comment)?;
        let index = self.places.get(&new.net).and_then(|places| places.first()).copied();
        let found = index.and_then(|index| Some((index, self.allows.get_mut(index)?.as_mut()?)));
        let Some((index, old)) = found else {
            let mut options = vec![single("ip", value::written(new.net))];
            options.extend(comment_option(&new.comment));
            self.append(Kind::Allow, None, options);
            self.places.entry(new.net).or_default().push(self.allows.len());
            self.allows.push(Some(new.clone()));
            return Ok(());
        };
        let steps = changed_comment(&mut old.comment, &new.comment, Kind::Allow, index);
        self.change(steps.into_iter().collect(), &new.net, index < in_file)
    }

    fn block(&mut self, new: &Block, in_file: usize) -> Result<(), EditError> {
        refuse_bad_comment(&new.comment)?;
        let same = |old: &Block| old.proto == new.proto && old.dest_ports == new.dest_ports;
        let mut of_net = self.places.get(&new.net).into_iter().flatten().copied();
        let index = of_net.find(|index| self.blocks.get(*index).is_some_and(|old| old.as_ref().is_some_and(same)));
        let found = index.and_then(|index| Some((index, self.blocks.get_mut(index)?.as_mut()?)));
        let Some((index, old)) = found else {
            self.append(Kind::Block, None, block_options(new));
            self.places.entry(new.net).or_default().push(self.blocks.len());
            self.blocks.push(Some(new.clone()));
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

    fn enable(&mut self, new: &NewList) -> Result<(), EditError> {
        if let Some(index) = self.list(&new.name) {
            self.switch(index, true);
            return Ok(());
        }
        if self.lists.len() >= lists::settings::MOST {
            let most = lists::settings::MOST;
            return Err(EditError::Refused(format!("there are {most} lists already, the most accepted")));
        }
        let (mut enabled, mut rest) = (None, uci::Section::head("list", &new.name));
        for option in &new.options {
            match option.name {
                "enabled" => enabled = Some(option.value.clone()),
                _ => rest.push_str(&text::option_line(option)),
            }
        }
        self.lists.push(ListText { name: Some(new.name.clone()), enabled, rest });
        self.append(Kind::List, Some(new.name.clone()), new.options.clone());
        Ok(())
    }

    fn disable(&mut self, name: &str) {
        match self.list(name) {
            Some(index) => self.switch(index, false),
            None => self.outcomes.push(Outcome::NotThere),
        }
    }

    fn list(&self, name: &str) -> Option<usize> {
        self.lists.iter().position(|list| list.name.as_deref() == Some(name))
    }

    fn switch(&mut self, index: usize, on: bool) {
        let Some(list) = self.lists.get_mut(index) else { return };
        // What cannot be read counts as on.
        if list.is_on() == on && list.enabled.as_deref().is_none_or(|text| value::boolean(text).is_ok()) {
            return self.outcomes.push(Outcome::Unchanged);
        }
        let value = if on { "1" } else { "0" };
        list.enabled = Some(value.to_owned());
        self.steps.push(Step::Set { kind: Kind::List, index, option: "enabled", value: value.to_owned() });
        self.outcomes.push(Outcome::Changed);
    }

    fn append(&mut self, kind: Kind, name: Option<String>, options: Vec<NewOption>) {
        self.steps.push(Step::Append { kind, name, options });
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

    /// `found`: where the networks of every section of that kind are. The indices that go, in their order.
    fn remove(&mut self, kind: Kind, nets: &[IpNet], found: &HashMap<IpNet, Vec<usize>>) -> Vec<usize> {
        let has = |net| if found.contains_key(net) { Outcome::Removed } else { Outcome::NotThere };
        self.outcomes.extend(nets.iter().map(has));
        let wanted: HashSet<&IpNet> = nets.iter().collect();
        let mut gone: Vec<usize> = wanted.into_iter().filter_map(|net| found.get(net)).flatten().copied().collect();
        gone.sort_unstable();
        self.steps.extend(gone.iter().map(|index| Step::Remove { kind, index: *index }));
        gone
    }

    /// What is to be in force by `text`, which says exactly what was meant. If it does not, a sentence.
    fn verify(&self, text: &[u8], kept: &[u8]) -> Result<Loaded, String> {
        let found = read::listed(text, &self.loaded.problems.file, kept)
            .map_err(|problems| format!("the change would leave errors, so it was not made: {problems}"))?;
        let same = found.lists == self.lists && found.rest == self.rest;
        if same && found.allows == self.allows && found.blocks == self.blocks {
            return Ok(found.loaded);
        }
        Err("the change would alter other settings too, so it was not made".to_owned())
    }
}

/// Whether rules follow from these settings that did not from the old ones, which differ in what is allowed and
/// blocked, and in lists, alone.
fn alters_rules(old: &Settings, new: &Settings) -> bool {
    let usual = new.main.action;
    // The comment is in no rule.
    let rule = |block: &Block| Block { comment: String::new(), action: block.action.or(Some(usual)), ..block.clone() };
    old.feeds.lists != new.feeds.lists || !rules::blocks(old).map(rule).eq(rules::blocks(new).map(rule))
}

fn places(nets: impl Iterator<Item = Option<IpNet>>) -> HashMap<IpNet, Vec<usize>> {
    let mut places: HashMap<IpNet, Vec<usize>> = HashMap::new();
    for (index, net) in nets.enumerate() {
        if let Some(net) = net {
            places.entry(net).or_default().push(index);
        }
    }
    places
}

/// What is left once the indices of `gone`, which are in order, are taken out.
fn without<T>(all: Vec<T>, gone: &[usize]) -> Vec<T> {
    let stays = |(index, item): (usize, T)| gone.binary_search(&index).is_err().then_some(item);
    all.into_iter().enumerate().filter_map(stays).collect()
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
