//! The owner's lists: what the configuration allows and blocks, and what its host names stand for now.
//!
//! What is written as an address counts before what a name stands for.

use std::collections::{BTreeSet, HashSet};

use ipnet::IpNet;

use super::Daemon;
use super::answers::reason_view;
use super::commands::LINES;
use super::surroundings::OfName;
use crate::config::{Allow, Block, Settings};
use crate::control::protocol::Activity;
use crate::firewall::rules;
use crate::ledger::ReasonRef;
use crate::limiter;
use crate::model::{AllowOrigin, Entry, Event, Lifetime, Reason, Source};
use crate::options::value;

/// Lines in a minute about what the owner's host names stand for.
const NAMES: u32 = 20;

/// What is in force of the owner's host names, and what is wrong with them.
#[derive(Default)]
pub(super) struct ByHand {
    names: Vec<OfName>,
    pub(super) troubles: Vec<String>,
}

impl Daemon {
    /// Tells what the owner's lists have and those of the old settings had not, and the other way round.
    pub(super) fn tell_lists(&mut self, old: &Settings) {
        let allowed = tell_changes("allow", &nets_of(&old.allow), &nets_of(&self.settings.allow));
        let blocked = tell_changes("block", &block_nets(&old.block), &block_nets(&self.settings.block));
        for (net, come) in allowed {
            let address = Some(value::written(net));
            self.happened(if come { "allow" } else { "disallow" }, Activity { address, ..Activity::default() });
        }
        for (net, come) in blocked {
            let (address, source) = (Some(value::written(net)), Some(Source::MANUAL.to_string()));
            let block = self.settings.block.iter().find(|block| come && block.net == net);
            let reason =
                block.map(|block| reason_view(ReasonRef::from(&Reason::Comment(block.comment.as_str().into()))));
            let activity = Activity { address, source, reason, ..Activity::default() };
            self.happened(if come { "ban" } else { "unban" }, activity);
        }
    }

    pub(super) fn apply_allows(&mut self) {
        let mut list: Vec<Entry> = self.settings.allow.iter().map(|allow| entry(allow.net, &allow.comment)).collect();
        self.add_names(true, &mut list);
        self.apply(Event::AllowList { origin: AllowOrigin::Config, list });
    }

    pub(super) fn apply_blocks(&mut self) {
        let in_set = self.settings.block.iter().filter(|block| rules::in_manual_set(block, &self.settings.main));
        let mut list: Vec<Entry> = in_set.map(|block| entry(block.net, &block.comment)).collect();
        self.add_names(false, &mut list);
        self.apply(Event::BlockList { list });
    }

    /// What the owner wrote as an address counts before what a name stands for.
    fn add_names(&self, allowed: bool, list: &mut Vec<Entry>) {
        let written: HashSet<IpNet> = list.iter().map(|entry| entry.net).collect();
        for (_, address, words) in self.by_hand.names.iter().filter(|(allow, ..)| *allow == allowed) {
            let net = IpNet::from(*address);
            if !written.contains(&net) && !list.iter().skip(written.len()).any(|entry| entry.net == net) {
                list.push(entry(net, words));
            }
        }
    }

    /// Brings allow and block list up to the addresses that the owner's host names have now; the caller
    /// commits.
    pub(super) fn follow_names(&mut self) {
        let troubles = self.surroundings.name_troubles(&self.settings);
        for text in troubles.iter().filter(|text| !self.by_hand.troubles.contains(text)) {
            limiter::say(log::Level::Warn, ("names", "trouble"), NAMES, || text.clone());
        }
        self.by_hand.troubles = troubles;
        let found = self.surroundings.of_names(&self.settings);
        if found == self.by_hand.names {
            return;
        }
        for (allow, address, words) in found.iter().filter(|each| !self.by_hand.names.contains(each)) {
            let list = if *allow { "allow" } else { "block" };
            limiter::say(log::Level::Info, ("names", list), NAMES, || format!("{list}: {words} is {address} now"));
        }
        self.by_hand.names = found;
        let Daemon { keeper, surroundings, settings, ledger, .. } = self;
        keeper.note_names(ledger, surroundings.answers(settings));
        self.apply_allows();
        self.apply_blocks();
    }
}

fn nets_of(allows: &[Allow]) -> Vec<IpNet> {
    allows.iter().map(|allow| allow.net).collect()
}

fn block_nets(blocks: &[Block]) -> Vec<IpNet> {
    blocks.iter().map(|block| block.net).collect()
}

fn entry(net: IpNet, comment: &str) -> Entry {
    Entry { net, lifetime: Lifetime::Forever, comment: comment.into() }
}

/// Logs what a new configuration allows or blocks and the old one did not, and the other way round. Gives
/// the first of them back, `true` for what has come.
fn tell_changes(list: &str, old: &[IpNet], new: &[IpNet]) -> Vec<(IpNet, bool)> {
    let (old, new): (BTreeSet<&IpNet>, BTreeSet<&IpNet>) = (old.iter().collect(), new.iter().collect());
    let gone = old.difference(&new).map(|net| (**net, false));
    let come = new.difference(&old).map(|net| (**net, true));
    let mut changes: Vec<_> = come.chain(gone).collect();
    for (net, come) in changes.iter().take(LINES) {
        let what = if *come { "is in the configuration" } else { "is out of the configuration" };
        log::info!("{list}: {} {what}", value::written(*net));
    }
    if changes.len() > LINES {
        log::info!("{list}: and {} more changes", changes.len() - LINES);
        changes.truncate(LINES);
    }
    changes
}
