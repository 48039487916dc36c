//! What the owner commands through the control socket: ban, free, allow and disallow in the ledger, and end
//! connections.
//!
//! Lasting blocks and allowances are not here: the command line writes them to UCI and asks for a
//! reload. Every command is all or nothing: all its addresses are judged before the first is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::kernel::State;
use super::standing::{NOT_IN_FORCE, is_single, who};
use super::{Daemon, clock, journal};
use crate::config::Settings;
use crate::control::arguments;
use crate::control::protocol::{
    Activity, BanCommand, ClearCommand, Code, Done, DoneRow, ExemptCommand, ExplainCommand, KickCommand, Refusal,
    UnbanCommand,
};
use crate::duration;
use crate::firewall::rules;
use crate::ledger::{BanView, HOLDERS_MAX, HoldError, Ledger, OWNER, Word};
use crate::limiter;
use crate::model::{AllowOrigin, Entry, Event, Holds, Lifetime, Reason, SetChange, Source, Teller};
use crate::options::value;
use crate::plural;

/// Lines of the log about commands in a minute.
const TOLD: u32 = 200;

/// Addresses of one command that are told one by one: to the log and to whoever watches, …
pub(super) const LINES: usize = 20;

/// Long commands under way at a time, and how long one waits for its next part.
const BATCHES: usize = 2;
const BATCH_KEPT: Duration = Duration::from_secs(60);

/// … and in the answer. Of more there is a sum.
const ROWS: usize = 100;

impl Daemon {
    /// Bans in the ledger, in the holder's name: all of them, or none.
    pub(super) fn ban(&mut self, command: &BanCommand) -> Result<Done, Refusal> {
        let nets = arguments::nets_of_request(&command.addresses, arguments::PART)?;
        arguments::vet(&nets, command.force, &|address| {
            let protected = self.ledger.check(clock::now(), address).protection.filter(|net| net.own)?;
            Some(protected.why.to_string())
        })?;
        let holder = arguments::holder(command.by.as_deref())?;
        let gathered = self.control.batches.gather(command.batch.as_deref(), nets, command.more, self.most as usize)?;
        let Some(nets) = gathered else { return Ok(Done::default()) };
        let comment = arguments::comment(command.comment.as_deref().unwrap_or_default())?;
        let lifetime = lifetime(command.timeout);
        self.hold(holder, &nets, lifetime, &comment)?;
        self.kernel.commit();
        Ok(self.blocked(holder, &nets, lifetime, &comment))
    }

    /// What to answer and to log when these have been banned.
    fn blocked(&self, holder: &str, nets: &[IpNet], lifetime: Lifetime, comment: &str) -> Done {
        let name = if holder == OWNER { String::new() } else { format!(" by {holder}") };
        if nets.len() > ROWS {
            let exempt = nets.iter().filter(|net| self.standing_is_exempt(**net)).count();
            let mut text = format!(
                "{} addresses and networks are blocked{name} {}",
                nets.len(),
                duration::holds(lifetime.seconds())
            );
            if exempt > 0 {
                text.push_str(&format!(", but for {exempt} that are allowed or never blocked"));
            }
            told(|| format!("block: {text}{}", in_brackets(comment)));
            return self.kept(vec![DoneRow { text, ..DoneRow::default() }]);
        }
        let row = |(index, net): (usize, &IpNet)| {
            let text = self.stands(*net, holder);
            if index < LINES {
                told(|| format!("block{name}: {text}{}", in_brackets(comment)));
            }
            row(*net, text)
        };
        let done = nets.iter().enumerate().map(row).collect();
        if nets.len() > LINES {
            told(|| format!("block{name}: and {} more{}", nets.len() - LINES, in_brackets(comment)));
        }
        self.kept(done)
    }

    /// What is true of it now, as an answer to whoever commanded that.
    fn stands(&self, net: IpNet, speaker: &str) -> String {
        let aside = if *self.kernel.state() == State::Ok { "" } else { NOT_IN_FORCE };
        [&value::written(net), " ", &self.standing(net, speaker).text, aside].concat()
    }

    /// Whether a ban of it changes nothing for now.
    fn standing_is_exempt(&self, net: IpNet) -> bool {
        self.ledger.allowances_around(clock::now(), net).next().is_some() || self.ledger.is_protected(net)
    }

    /// Bans into ledger, kernel, counts and journal; the caller commits.
    fn hold(&mut self, holder: &str, nets: &[IpNet], lifetime: Lifetime, comment: &str) -> Result<(), Refusal> {
        let held = self.command(|ledger, sink| ledger.hold(clock::now(), holder, nets, (lifetime, comment), sink));
        let applied = held.map_err(full)?;
        self.keeper.said(&self.ledger, Word::Ban { by: holder, lifetime, comment, nets });
        self.tally.count_bans(Source::MANUAL, applied.added, clock::wall());
        self.note_commanded("ban", holder, nets, |net| {
            let reason = Reason::Comment(comment.into());
            Event::Ban { source: Source::MANUAL, net, lifetime, reason }
        });
        Ok(())
    }
    /// A change of the ledger by command; the caller commits.
    fn command<T>(&mut self, change: impl FnOnce(&mut Ledger, &mut dyn FnMut(SetChange)) -> T) -> T {
        self.keeper.note_change();
        self.change(change)
    }

    /// Tells whoever watches what was commanded: a few one by one, the rest as a sum.
    fn note_commanded(&mut self, kind: &str, holder: &str, nets: &[IpNet], event: impl Fn(IpNet) -> Event) {
        let by = (holder != OWNER).then(|| format!("by {holder}"));
        for net in nets.iter().take(LINES) {
            if let Some((kind, mut activity)) = journal::Told::of(&event(*net)).activity(clock::wall()) {
                activity.text.clone_from(&by);
                self.happened(kind, activity);
            }
        }
        if nets.len() > LINES {
            let text = Some(format!("and {} more", nets.len() - LINES));
            self.happened(kind, Activity { source: Some(Source::MANUAL.to_string()), text, ..Activity::default() });
        }
    }

    /// Takes bans back: a holder's own, or whoever's. What UCI says is not touched.
    pub(super) fn unban(&mut self, command: &UnbanCommand) -> Result<Done, Refusal> {
        let nets = arguments::nets_of_request(&command.addresses, arguments::PART)?;
        let unlisted = command.unlisted.iter().map(String::as_str).collect::<BTreeSet<&str>>();
        let taken = match (command.by.as_deref(), command.source.as_deref()) {
            (Some(by), None | Some("manual")) => self.take_back(&nets, Some(arguments::holder(Some(by))?)),
            (Some(_), Some(_)) => return Err(Refusal::invalid("only bans of the source manual have a holder")),
            (None, None) => self.unban_all(&nets, None),
            (None, Some(name)) => self.unban_all(&nets, Some(self.source_named(name)?)),
        };
        self.kernel.commit();
        let row = |(net, mut taken): (&IpNet, Taken)| {
            if unlisted.contains(&*value::written(*net)) {
                taken.names.push("the configuration".into());
                taken.sources.push(Source::MANUAL);
            }
            self.freed(*net, taken, command.by.as_deref())
        };
        let done: Vec<DoneRow> = nets.iter().zip(taken).map(row).collect();
        for row in done.iter().filter(|row| !row.sources.is_empty()).take(LINES) {
            told(|| format!("unblock: {}", row.text));
        }
        if done.len() > LINES {
            told(|| format!("unblock: and {} more", done.len() - LINES));
        }
        Ok(self.kept(done))
    }

    /// Takes back a holder's bans of these, or every holder's, and says for each whose there were.
    fn take_back(&mut self, nets: &[IpNet], holder: Option<&str>) -> Vec<Taken> {
        let mut taken: Vec<Taken> = nets.iter().map(|_| Taken::default()).collect();
        let mut by_holder: BTreeMap<String, Vec<IpNet>> = BTreeMap::new();
        for (net, taken) in nets.iter().zip(&mut taken) {
            for name in
                self.ledger.holders_of(clock::now(), *net).filter(|name| holder.is_none_or(|wanted| wanted == *name))
            {
                taken.names.push(who(name).into());
                taken.sources = vec![Source::MANUAL];
                by_holder.entry(name.into()).or_default().push(*net);
            }
        }
        for (holder, nets) in by_holder {
            self.command(|ledger, sink| ledger.let_go(clock::now(), &holder, Some(&nets), sink));
            self.keeper.said(&self.ledger, Word::LetGo { by: &holder, nets: &nets });
            self.note_commanded("unban", &holder, &nets, |net| Event::Unban { source: Source::MANUAL, net });
        }
        taken
    }

    fn unban_all(&mut self, nets: &[IpNet], only: Option<Source>) -> Vec<Taken> {
        let mut taken = if only.is_none_or(Source::is_owner) {
            self.take_back(nets, None)
        } else {
            nets.iter().map(|_| Taken::default()).collect()
        };
        let mut own = Vec::new();
        for (net, taken) in nets.iter().zip(&mut taken) {
            for source in self.banning(*net, only) {
                self.apply(Event::Unban { source, net: *net });
                if let Some(publisher) = self.feeds.publisher() {
                    publisher.unban(source, net.addr(), self.ledger.element(source, net.addr()));
                }
                taken.names.push(source.to_string());
                taken.sources.push(source);
                if source.is_own() {
                    own.push(self.ledger.scan_net(net.addr()));
                }
            }
        }
        if !own.is_empty() {
            self.keeper.said(&self.ledger, Word::Free(&own));
        }
        taken
    }

    /// The answer to what has been taken back, and what is true now.
    fn freed(&self, net: IpNet, taken: Taken, by: Option<&str>) -> DoneRow {
        let (name, mut stands) = (value::written(net), self.standing(net, ""));
        stands.text = stands.text.replacen("is blocked", "is still blocked", 1);
        let from_feed = taken.sources.iter().any(|source| source.teller() == Teller::Feed);
        let listed = self.ledger.bans_around(clock::now(), net).any(|ban| ban.source.holds() == Holds::Listed);
        let whose = taken.names.join(" and ");
        let text = match (taken.names.is_empty(), stands.blocked) {
            (true, true) => match by {
                Some(by) => format!("{name} {}; {} had no ban of it", stands.text, who(by)),
                None if listed => format!("{name} {}; unblock changes no list: diswall allow {name}", stands.text),
                None => format!("{name} {}; there is no ban of it alone to take back", stands.text),
            },
            (true, false) if listed => format!("{name} {}; there is nothing to take back", stands.text),
            (true, false) => format!("{name} is not banned{}; there is nothing to take back", of(by)),
            (false, true) => format!("{name} {}; no longer by {whose}", stands.text),
            (false, false) if stands.allowed => format!("{name} {}; no longer banned by {whose}", stands.text),
            (false, false) if !is_single(net) => format!("{name} {} (it was banned by {whose})", stands.text),
            (false, false) if from_feed => {
                format!(
                    "{name} is free (it was banned by {whose}) until the feed lists it again; an allowance would last"
                )
            }
            (false, false) => format!("{name} is free (it was banned by {whose})"),
        };
        let mut sources: Vec<String> = taken.sources.iter().map(Source::to_string).collect();
        sources.dedup();
        DoneRow { address: name, text, sources, connections: None }
    }

    /// Takes back everything that a holder has banned by command.
    pub(super) fn clear(&mut self, command: &ClearCommand) -> Result<Done, Refusal> {
        let holder = arguments::holder(Some(&command.by))?;
        let (_, gone) = self.command(|ledger, sink| ledger.let_go(clock::now(), holder, None, sink));
        if !gone.is_empty() {
            self.keeper.said(&self.ledger, Word::LetGo { by: holder, nets: &[] });
        }
        self.note_commanded("unban", holder, &gone, |net| Event::Unban { source: Source::MANUAL, net });
        self.kernel.commit();
        let whose = if holder == OWNER { "your".into() } else { format!("{holder}'s") };
        let mut text = format!("{} of {whose} bans taken back", gone.len());
        let others = |net: &&IpNet| self.ledger.bans_around(clock::now(), **net).next().is_some();
        let still = gone.iter().filter(others).count();
        if still > 0 {
            let still = plural::of(still as u64, "of them is", "of them are");
            text.push_str(&["; ", &still, " still banned by others"].concat());
        }
        told(|| format!("clear: {text}"));
        Ok(self.kept(vec![DoneRow { text, ..DoneRow::default() }]))
    }

    /// The answer, with a row more where what was said would not outlive a power cut.
    fn kept(&self, mut done: Vec<DoneRow>) -> Done {
        if let Some(why) = self.keeper.unkept() {
            done.push(DoneRow { text: why.into(), ..DoneRow::default() });
        }
        Done { done }
    }

    /// What is true of these now; nothing is changed.
    pub(super) fn explain(&self, command: &ExplainCommand) -> Result<Done, Refusal> {
        if command.addresses.is_empty() {
            return Ok(Done::default());
        }
        let nets = arguments::nets_of_request(&command.addresses, ROWS)?;
        let Settings { main, allow, block, .. } = &self.settings;
        let lacking = nets.iter().find(|net| {
            let net = net.trunc();
            self.ledger.lacks_block(net)
                && block.iter().any(|block| block.net == net && rules::in_manual_set(block, main))
                || self.ledger.lacks_allowance(net) && allow.iter().any(|allow| allow.net == net)
        });
        if let Some(net) = lacking {
            let text = format!(
                "{} is in the configuration, and not in force: there is no room for it, max_entries is {}",
                value::written(*net),
                self.most
            );
            return Err(Refusal { code: Code::Refused, message: text });
        }
        let text = |net: IpNet| self.stands(net, crate::ledger::CONFIGURATION);
        Ok(Done { done: nets.into_iter().map(|net| row(net, text(net))).collect() })
    }

    /// The sources, the owner apart, that ban exactly this and can take it back: a list is what its maker says.
    fn banning(&self, net: IpNet, only: Option<Source>) -> Vec<Source> {
        let verdict = self.ledger.check(clock::now(), net.addr());
        // A single address may be banned with the network that it stands for.
        let single = net.prefix_len() == net.max_prefix_len();
        let stands_for = single.then(|| self.ledger.scan_net(net.addr()));
        let is_it = |ban: &BanView<'_>| ban.net == net || ban.source.is_own() && stands_for == Some(ban.net);
        let can = |ban: &BanView<'_>| ban.source != Source::MANUAL && ban.source.holds() != Holds::Listed;
        let bans = verdict.bans.iter().filter(|ban| is_it(ban) && can(ban));
        bans.map(|ban| ban.source).filter(|source| only.is_none_or(|only| only == *source)).collect()
    }

    /// Allows in the ledger.
    pub(super) fn exempt(&mut self, command: &ExemptCommand) -> Result<Done, Refusal> {
        let nets = arguments::nets_of_request(&command.addresses, arguments::PART)?;
        let gathered = self.control.batches.gather(command.batch.as_deref(), nets, command.more, self.most as usize)?;
        let Some(nets) = gathered else { return Ok(Done::default()) };
        let comment = arguments::comment(command.comment.as_deref().unwrap_or_default())?;
        let lifetime = lifetime(command.timeout);
        self.ledger.may_allow(&nets).map_err(full)?;
        for net in nets.iter().copied() {
            let entry = Entry { net, lifetime, comment: comment.as_str().into() };
            self.apply(Event::Allow { origin: AllowOrigin::Command, entry });
        }
        self.keeper.said(&self.ledger, Word::Allow { lifetime, comment: &comment, nets: &nets });
        self.kernel.commit();
        Ok(self.told_allowed(&nets, lifetime, &comment))
    }

    /// What to answer and to log when these have been allowed.
    fn told_allowed(&self, nets: &[IpNet], lifetime: Lifetime, comment: &str) -> Done {
        if nets.len() > ROWS {
            let many = nets.len();
            let text = format!("{many} addresses and networks are allowed {}", duration::holds(lifetime.seconds()));
            told(|| format!("allow: {text}{}", in_brackets(comment)));
            return self.kept(vec![DoneRow { text, ..DoneRow::default() }]);
        }
        let row = |net: &IpNet| {
            let text = self.stands(*net, OWNER);
            told(|| format!("allow: {text}{}", in_brackets(comment)));
            row(*net, text)
        };
        self.kept(nets.iter().map(row).collect())
    }

    /// Ends the connections of addresses and networks, banned or not.
    pub(super) fn kick(&mut self, command: &KickCommand) -> Result<Done, Refusal> {
        let nets = arguments::nets_of_request(&command.addresses, arguments::PART)?;
        let Daemon { ledger, kernel, disconnect, .. } = self;
        let mut done = Vec::with_capacity(nets.len());
        // Each look reads every connection: one for all where there are many.
        let at_once = if nets.len() > ROWS { nets.len() } else { 1 };
        for nets in nets.chunks(at_once) {
            let named = |address| nets.iter().any(|net| net.contains(&address));
            let kicked = disconnect.kick(&named, ledger, clock::now(), kernel.firewall());
            if let Some(trouble) = &disconnect.trouble {
                return Err(Refusal::failed(trouble.clone()));
            }
            let count = kicked.flows.max(kicked.sockets);
            let (whose, address) = match nets {
                [net] => (value::written(*net), value::written(*net)),
                nets => (format!("{} addresses and networks", nets.len()), String::new()),
            };
            let text = [&plural::of(count as u64, "connection", "connections"), " of ", &whose, " ended"].concat();
            told(|| format!("kick: {text}"));
            done.push(DoneRow { connections: Some(count as u64), address, text, ..DoneRow::default() });
        }
        Ok(Done { done })
    }

    /// Takes the ledger's own allowances back. A row without sources: there was none. Its text says what is
    /// true then, where it is still allowed, or blocked.
    pub(super) fn unexempt(&mut self, command: &ExemptCommand) -> Result<Done, Refusal> {
        let nets = arguments::nets_of_request(&command.addresses, arguments::PART)?;
        let (mut done, mut gone) = (Vec::with_capacity(nets.len()), Vec::new());
        for net in nets {
            let allowances = self.ledger.allowances_around(clock::now(), net);
            let allowances = allowances.filter(|each| each.net == net);
            let origins: Vec<AllowOrigin> = allowances.map(|each| each.origin).collect();
            let mut row = row(net, String::new());
            if origins.contains(&AllowOrigin::Command) {
                self.apply(Event::Disallow { origin: AllowOrigin::Command, net });
                row.sources.push(AllowOrigin::Command.name().into());
                gone.push(net);
                told(|| format!("allow: {} is no longer allowed", value::written(net)));
            }
            let of_feeds = origins.iter().filter(|origin| origin.source().and_then(AllowOrigin::of_feed).is_some());
            row.sources.extend(of_feeds.map(|origin| origin.name().into()));
            let stands = self.standing(net, "");
            if stands.allowed || stands.blocked {
                row.text = stands.text;
            }
            done.push(row);
        }
        if !gone.is_empty() {
            self.keeper.said(&self.ledger, Word::Disallow(&gone));
        }
        self.kernel.commit();
        Ok(self.kept(done))
    }
}

/// What was commanded, for the log. Programs command too, for strangers' deeds: of more than [`TOLD`] lines in a
/// minute there is a count.
fn told(text: impl FnOnce() -> String) {
    limiter::say(log::Level::Info, ("commands", "done"), TOLD, text);
}

fn row(net: IpNet, text: String) -> DoneRow {
    DoneRow { address: value::written(net), text, ..DoneRow::default() }
}

/// Commands of which parts have come, and the last has not: two at a time, each for a minute after its last
/// part, so that a client that died leaves nothing behind.
#[derive(Default)]
pub(super) struct Batches(Vec<Batch>);

struct Batch {
    name: String,
    nets: Vec<IpNet>,
    touched: Instant,
}

impl Batches {
    /// All networks of a command: these, or, where it comes in parts under a name, those of its parts. `None`: there
    /// is `more` to come.
    fn gather(
        &mut self,
        name: Option<&str>,
        nets: Vec<IpNet>,
        more: bool,
        most: usize,
    ) -> Result<Option<Vec<IpNet>>, Refusal> {
        let Some(name) = name else { return Ok(Some(nets)) };
        self.add(name, nets, most)?;
        Ok((!more).then(|| self.take(name)))
    }

    /// Takes a part in. `most`: so many networks of both families a command may have.
    fn add(&mut self, name: &str, nets: Vec<IpNet>, most: usize) -> Result<(), Refusal> {
        self.0.retain(|batch| batch.touched.elapsed() < BATCH_KEPT);
        let at = self.0.iter().position(|batch| batch.name == name);
        if at.is_none() && self.0.len() >= BATCHES {
            return Err(Refusal::failed("other long commands are under way; try again in a minute"));
        }
        let mut batch = match at {
            Some(at) => self.0.swap_remove(at),
            None => Batch { name: name.into(), nets: Vec::new(), touched: Instant::now() },
        };
        if batch.nets.len() + nets.len() > most {
            let message = format!("more than {most} addresses (max_entries) in one command; nothing was done");
            return Err(Refusal { code: Code::Refused, message });
        }
        batch.nets.extend(nets);
        batch.touched = Instant::now();
        self.0.push(batch);
        Ok(())
    }

    /// All that has come of a command.
    fn take(&mut self, name: &str) -> Vec<IpNet> {
        let at = self.0.iter().position(|batch| batch.name == name);
        at.map_or_else(Vec::new, |at| self.0.swap_remove(at).nets)
    }
}

/// Whose bans of a network have been taken back.
#[derive(Default)]
struct Taken {
    names: Vec<String>,
    sources: Vec<Source>,
}

fn of(by: Option<&str>) -> String {
    by.map_or(String::new(), |by| format!(" by {}", who(by)))
}

fn full(error: HoldError) -> Refusal {
    let message = match error {
        HoldError::Holders => format!("{HOLDERS_MAX} other programs hold bans already; no more names are taken"),
        HoldError::Full(most) => {
            format!("there is no room for so many: max_entries is {most}; nothing was done")
        }
    };
    Refusal { code: Code::Refused, message }
}

fn in_brackets(comment: &str) -> String {
    if comment.is_empty() { String::new() } else { format!(" ({comment})") }
}

fn lifetime(timeout: Option<u32>) -> Lifetime {
    match timeout {
        None | Some(0) => Lifetime::Forever,
        Some(seconds) => Lifetime::Seconds(seconds),
    }
}
