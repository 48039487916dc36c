//! The configuration in force: where it came from, what is wrong with it, and how every part follows a new one.
//!
//! A file with a bad option is taken but for that option; a broken one changes nothing.

use std::path::PathBuf;

use super::parts::Troubles;
use super::{Daemon, clock, offences};
use crate::config::{Loaded, Settings, Severity, is_services, last_good};
use crate::control::protocol::{Activity, Part, Refusal};
use crate::feed::lists;
use crate::ledger::ListPlan;
use crate::limiter;
use crate::memory;
use crate::model::{AllowOrigin, Event};
use crate::plural;

/// Lines in a minute about the configuration: each interface that comes up may have it read again.
const LINES: u32 = 200;

/// See the module's head.
pub(super) struct Configuration {
    file: PathBuf,
    /// The options that the settings came from, as UCI text: where the file has a bad one, this one stays.
    options: String,
    /// What is wrong with it as it was read last.
    notes: Vec<(Severity, String)>,
    /// It could not be read as a whole, and what was in force before is.
    stays: bool,
}

impl Configuration {
    /// As it was read from this file.
    pub(super) fn new(file: PathBuf, options: String, notes: Vec<(Severity, String)>, broken: bool) -> Configuration {
        // Where none was kept, what can be read of it is in force.
        let stays = broken && last_good::text(&file).is_some();
        let mut new = Configuration { file, options, notes: Vec::new(), stays };
        new.note(notes, stays);
        new
    }

    fn note(&mut self, notes: Vec<(Severity, String)>, stays: bool) {
        self.stays = stays;
        for (severity, text) in &notes {
            let (level, name) = match severity {
                Severity::Error => (log::Level::Error, "error"),
                Severity::Warning => (log::Level::Warn, "warning"),
            };
            limiter::say(level, ("config", name), LINES, || text.clone());
        }
        self.notes = notes;
    }

    /// What is wrong with it.
    pub(super) fn troubles(&self, troubles: &mut Troubles) {
        for (severity, text) in &self.notes {
            troubles.add(if *severity == Severity::Error { "error" } else { "warning" }, "config", text);
        }
    }

    /// Whether all that it says is in force.
    pub(super) fn part(&self) -> Part {
        let error = self.notes.iter().find(|(severity, _)| *severity == Severity::Error);
        match error {
            None => Part::in_force("config"),
            Some((_, why)) if self.stays => {
                Part::broken("config", why).losing("nothing that was changed in the file is in force").remedied(
                    "mend the file; `diswall config check` says whether all is well; then /etc/init.d/diswall reload; or \
                     `diswall config restore`, which puts the last good one in its place",
                )
            }
            Some((_, why)) => Part::broken("config", why).losing("what that line says is not in force").remedied(
                "mend the line; `diswall config check` says whether all is well; then /etc/init.d/diswall reload",
            ),
        }
    }
}

impl Daemon {
    /// Reads the configuration again.
    pub(super) fn reload(&mut self) -> Result<(), Refusal> {
        let Configuration { file, options, .. } = &self.configuration;
        match Settings::load(file, options.as_bytes()) {
            Ok(loaded) if !loaded.broken => {
                let old = std::mem::replace(&mut self.settings, loaded.settings);
                self.configuration.options = loaded.options;
                self.configuration.note(loaded.problems.lines().collect(), false);
                self.configure(Some(&old));
                self.kernel.commit();
                // Who has made room is told so at once.
                if !self.keeper.keeps() {
                    self.keeper.write(&self.ledger, (&self.tally.totals(), &self.tally.days), true);
                }
                limiter::say(log::Level::Info, ("config", "read"), LINES, || "configuration read again".into());
                let text = Some("read again".to_string());
                self.happened("config", Activity { text, ..Activity::default() });
                Ok(())
            }
            Ok(Loaded { problems, .. }) | Err(problems) => {
                log::error!("configuration refused; the one in force stays");
                self.configuration.note(problems.lines().collect(), true);
                Err(Refusal::failed(format!("configuration refused; the one in force stays\n{problems}")))
            }
        }
    }

    /// Makes the limit what settings and memory say now; true if it has been raised. What a feed's list lacks
    /// since it was cut comes back with a fresh list.
    pub(super) fn set_most(&mut self) -> bool {
        let most = memory::entries(self.settings.main.max_entries);
        let raised = most > self.most;
        if most == self.most {
            return false;
        }
        self.most = most;
        self.feeds.set_most(most);
        let Daemon { ledger, kernel, .. } = self;
        let applied = ledger.set_max_entries(clock::now(), most, &mut |change| kernel.push(change));
        if applied.cut > 0 {
            limiter::warn(("limit", "cut"), || {
                let cut = plural::of(applied.cut.into(), "entry", "entries");
                format!("{cut} cut; max_entries is {most}")
            });
        }
        for slot in self.feeds.slots() {
            if raised && self.ledger.counts(slot.source()).cut > 0 {
                self.feeds.resync(Some(slot.source()));
            }
        }
        raised
    }

    /// Brings every part from the old settings (`None`: nothing yet) to `self.settings`, touching only
    /// what differs; the caller commits or repairs.
    pub(super) fn configure(&mut self, old: Option<&Settings>) {
        let main = &self.settings.main;
        log::set_max_level(main.log_level);
        if old.is_some_and(|old| old.main.control != main.control) {
            self.control.move_to(&main.control);
        }
        if old.is_some_and(|old| old.main.state_dir != main.state_dir) {
            self.keeper.move_to(&main.state_dir);
            self.keeper.look();
            self.keeper.settle(&self.ledger, (&self.tally.totals(), &self.tally.days));
        }
        self.kernel.configure(&self.settings);
        let raised = self.set_most();
        let plan = |list: &lists::Settings| ListPlan { source: list.source, usage: list.usage, whole: list.is_whole() };
        let plans: Vec<ListPlan> = self.settings.feeds.lists.iter().map(plan).collect();
        let Daemon { ledger, kernel, .. } = self;
        ledger.set_lists(&plans, &mut |change| kernel.push(change));
        ledger.set_sources(clock::now(), &self.settings.sources(), &mut |change| kernel.push(change));
        self.tally.set_sources(self.settings.sources());
        self.tell_room();
        self.ledger.set_ladder(offences::ladder(&self.settings));
        let bits = self.settings.feeds.scan.ipv6_prefix;
        self.change(|ledger, sink| ledger.set_scan_prefix(clock::now(), bits, sink));
        self.own.packets.configure(&self.settings);
        self.own.scans.configure(&self.settings.feeds.scan);
        self.own.logins.configure(self.settings.main.enabled.then_some(&self.settings.feeds));
        self.own.offences.configure(&self.settings);
        self.own.reporter.configure(self.settings.reports());
        self.disconnect.configure(old, &self.settings);
        self.surroundings.look_up(&self.settings);
        for source in self.feeds.configure(old, &self.settings) {
            self.apply(Event::Lapse { source });
            if let Some(origin) = AllowOrigin::of_feed(source) {
                self.apply(Event::AllowList { origin, list: Vec::new() });
            }
        }
        // Beside the service's there may be daemons with files of their own, and lists of other names.
        if is_services(&self.configuration.file) {
            lists::clear(&self.settings.feeds.lists, &self.settings.main.state_dir);
        }
        let sends = self.feeds.publisher().is_some_and(|publisher| publisher.sends().1);
        self.hourly.configure(sends, clock::wall());
        if let Some(old) = old {
            self.tell_lists(old);
        }
        if old.is_none_or(|old| raised || old.allow != self.settings.allow) {
            self.apply_allows();
        }
        if old.is_none_or(|old| {
            raised || old.block != self.settings.block || old.main.action != self.settings.main.action
        }) {
            self.apply_blocks();
        }
        self.follow_names();
    }
}
