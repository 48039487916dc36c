//! The parts of the daemon, and the one face that each shows the loop and `status`: when it wants to be called, what
//! it does then, what is wrong with it, and whether what it protects is in force.
//!
//! A new part is a row of [`PARTS`]. [`Daemon::parts`] gathers what they say of protection, and
//! [`Daemon::protection`] sums that up: nothing that `status`, its exit status or a page says about protection comes
//! from anywhere else. A part that is switched off has no answer and counts for nothing.

use std::path::Path;

use tokio::time::Instant;

use super::Daemon;
use super::clock;
use super::kernel::State;
use crate::control::protocol::{Part, PartState, Problem};
use crate::feed::FeedState;
use crate::firewall;
use crate::limiter;
use crate::model::{SetId, Source};
use crate::plural;

/// What a part shows. What it has nothing to say to is [`NOTHING`]'s.
struct Face {
    /// The next moment at which something is to be done without anybody asking.
    due: fn(&Daemon) -> Option<Instant>,
    /// Does it; called when it is due.
    on_time: fn(&mut Daemon),
    /// What is wrong.
    troubles: fn(&Daemon, &mut Troubles),
    /// Whether it is in force: one answer or several, none while it is switched off.
    in_force: fn(&Daemon, &mut Vec<Part>),
    /// It is there, and answers, while diswall as a whole is switched off.
    always: bool,
}

const NOTHING: Face = Face { due: |_| None, on_time: |_| {}, troubles: |_, _| {}, in_force: |_, _| {}, always: false };

/// A remedy as it is done where there is no OpenWrt.
fn with_systemd(remedy: &str) -> String {
    let remedy = remedy.replace("/etc/init.d/firewall restart", "`diswall rules --load`");
    ["reload", "restart"].iter().fold(remedy, |remedy, verb| {
        remedy.replace(&format!("/etc/init.d/diswall {verb}"), &format!("systemctl {verb} diswall"))
    })
}

/// In the order in which people are told, and in which what is due at a time is done.
const PARTS: [Face; 14] = [
    Face {
        due: |daemon| daemon.kernel.due(),
        on_time: Daemon::repair,
        troubles: Daemon::kernel_troubles,
        in_force: |daemon, parts| parts.extend(daemon.kernel.parts(&daemon.settings)),
        ..NOTHING
    },
    Face {
        troubles: Daemon::feed_troubles,
        in_force: |daemon, parts| {
            parts.extend(daemon.feeds.parts(daemon.kernel.unruled()).chain(daemon.feeds.share_part()))
        },
        ..NOTHING
    },
    Face {
        due: |daemon| daemon.surroundings.due(),
        on_time: |daemon| {
            daemon.read_surroundings();
            daemon.kernel.commit();
        },
        troubles: |daemon, troubles| {
            daemon.by_hand.troubles.iter().for_each(|text| troubles.warn("config", text));
        },
        ..NOTHING
    },
    // Before the next sample, whose readings would count for the new hour.
    Face { due: |daemon| daemon.hourly.due(), on_time: Daemon::share_statistics, ..NOTHING },
    Face { due: |daemon| Some(daemon.tally.due()), on_time: Daemon::sample, ..NOTHING },
    Face {
        due: |daemon| daemon.own.packets.due(),
        on_time: Daemon::try_packets,
        troubles: |daemon, troubles| daemon.own.packets.troubles().for_each(|text| troubles.warn("nflog", &text)),
        in_force: |daemon, parts| {
            parts.extend(daemon.own.packets.part(&daemon.settings, daemon.kernel.lacks_scans()));
        },
        ..NOTHING
    },
    Face {
        due: |daemon| daemon.own.offences.due(),
        on_time: |daemon| {
            daemon.follow_offences();
            daemon.kernel.commit();
        },
        troubles: |daemon, troubles| {
            daemon.own.scans.trouble(clock::now()).into_iter().for_each(|text| troubles.warn("nflog", text));
        },
        ..NOTHING
    },
    Face {
        due: |daemon| daemon.own.logins.due(),
        on_time: |daemon| daemon.own.logins.on_time(),
        troubles: Daemon::login_troubles,
        in_force: |daemon, parts| parts.extend(daemon.login_part()),
        ..NOTHING
    },
    Face { in_force: |daemon, parts| parts.extend(daemon.own.reporter.part()), ..NOTHING },
    Face {
        due: |daemon| daemon.disconnect.due(),
        on_time: Daemon::end_connections,
        troubles: |daemon, troubles| {
            daemon.disconnect.trouble.iter().for_each(|text| troubles.warn("disconnect", text));
        },
        in_force: |daemon, parts| parts.extend(daemon.disconnect.part(daemon.kernel.lacks_cuts())),
        ..NOTHING
    },
    Face {
        due: |daemon| daemon.keeper.due(),
        on_time: |daemon| daemon.keep(false),
        troubles: |daemon, troubles| daemon.keeper.trouble.iter().for_each(|text| troubles.warn("state_dir", text)),
        in_force: |daemon, parts| parts.push(daemon.keeper.part()),
        ..NOTHING
    },
    Face {
        due: |_| limiter::due().map(Instant::from_std),
        on_time: |_| limiter::on_time(),
        troubles: |daemon, troubles| daemon.run.log_trouble.iter().for_each(|text| troubles.warn("log", text)),
        in_force: |daemon, parts| parts.push(daemon.log_part()),
        always: true,
    },
    Face {
        troubles: |daemon, troubles| daemon.configuration.troubles(troubles),
        in_force: |daemon, parts| parts.push(daemon.configuration.part()),
        always: true,
        ..NOTHING
    },
    Face { due: Daemon::next_expiry, on_time: Daemon::expire, troubles: Daemon::cut_troubles, ..NOTHING },
];

/// What is wrong, as `status` tells it.
#[derive(Default)]
pub(super) struct Troubles(Vec<Problem>);

impl Troubles {
    /// What should be seen to. `key` names the matter for programs.
    pub(super) fn warn(&mut self, key: &str, text: &str) {
        self.add("warning", key, text);
    }

    /// `error`, `warning` or `notice`.
    pub(super) fn add(&mut self, severity: &str, key: &str, text: &str) {
        self.0.push(Problem { key: key.into(), severity: severity.into(), text: text.into() });
    }
}

impl Daemon {
    /// The next moment at which something is to be done without anybody asking.
    pub(super) fn next_due(&self) -> Instant {
        PARTS.iter().filter_map(|part| (part.due)(self)).min().unwrap_or_else(Instant::now)
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self) {
        for part in &PARTS {
            // In this order: what is due now says so with a look at the clock of its own.
            if (part.due)(self).is_some_and(|due| due <= Instant::now()) {
                (part.on_time)(self);
            }
        }
        // Nothing tells when the wall clock is set.
        self.keeper.note_clock();
    }

    /// Everything that is wrong, the worst first.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut troubles = Troubles::default();
        PARTS.iter().for_each(|part| (part.troubles)(self, &mut troubles));
        let rank = |severity: &str| ["error", "warning", "notice"].iter().position(|each| *each == severity);
        let Troubles(mut problems) = troubles;
        problems.sort_by_key(|problem| rank(&problem.severity));
        problems
    }

    /// Every part that is switched on, in the order in which people are told.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let on = PARTS.iter().filter(|part| part.always || self.settings.main.enabled);
        on.for_each(|part| (part.in_force)(self, &mut parts));
        if !Path::new("/etc/init.d/diswall").exists() {
            parts.iter_mut().filter_map(|part| part.remedy.as_mut()).for_each(|remedy| *remedy = with_systemd(remedy));
        }
        parts
    }

    /// Tries again what packets are heard by.
    fn try_packets(&mut self) {
        if self.own.packets.on_time() {
            self.kernel.compare(SetId::Ban(Source::SCAN));
        }
    }

    fn kernel_troubles(&self, troubles: &mut Troubles) {
        match self.kernel.state() {
            State::Ok | State::Off => {}
            State::Missing(text) | State::Error(text) | State::Unguarded(text) => {
                troubles.add("error", "firewall", text)
            }
        }
        if let Some(text) = self.kernel.quarrel() {
            troubles.add("error", "firewall", &text);
        }
        if let Some(text) = self.kernel.lacking(&self.settings) {
            troubles.warn("firewall", &text);
        }
    }

    fn feed_troubles(&self, troubles: &mut Troubles) {
        for slot in self.feeds.slots() {
            let name = slot.source();
            let twin = slot.feed.twin.filter(|_| slot.handle.is_some());
            if let Some(twin) = twin.filter(|twin| twin.sets.iter().any(|set| firewall::holds_any(twin.table, set))) {
                troubles.warn(&format!("feed.{name}"), twin.text);
            }
            if let FeedState::Waiting { error, .. } | FeedState::Partial { error, .. } = &slot.state {
                troubles.warn(&format!("feed.{name}"), &format!("{name}: {error}"));
            }
            for text in slot.notices.values() {
                troubles.add("notice", &format!("feed.{name}"), &format!("{name}: {text}"));
            }
        }
    }

    fn login_troubles(&self, troubles: &mut Troubles) {
        let forgotten = self.own.logins.forgotten();
        if forgotten > 0 {
            let text = format!(
                "so many fail to log in that {forgotten} of them had to be forgotten, those who had failed least often"
            );
            troubles.add("notice", "login", &text);
        }
        self.own.logins.troubles().for_each(|text| troubles.warn("logwatch", text));
    }

    fn cut_troubles(&self, troubles: &mut Troubles) {
        let sources = self.ledger.sources().map(|source| (source.name(), self.ledger.counts(source).cut));
        for (name, cut) in sources.chain([("allow", self.ledger.cut_allowances())]) {
            if cut > 0 {
                let limit = self.most;
                let cut = plural::of(cut.into(), "entry is", "entries are");
                let text = format!("{name}: {cut} not in force, because max_entries is {limit}");
                troubles.warn(&format!("cut.{name}"), &text);
            }
        }
    }

    /// Whether failed log-ins are noticed; `None` while nothing is to be followed.
    fn login_part(&self) -> Option<Part> {
        const LOST: &str = "nobody is banned for failed log-ins that stand there";
        let logins = &self.own.logins;
        if !logins.is_on() {
            return None;
        }
        Some(match (logins.troubles().next(), logins.absent(), self.own.offences.unproven()) {
            (Some(why), ..) => Part::broken("login", why).losing(LOST).remedied(logins.remedy().unwrap_or_default()),
            (None, Some(path), _) => {
                Part::waiting("login", format!("there is no file {} yet", path.display())).losing(LOST)
            }
            (None, None, Some(why)) => Part::broken("login", why)
                .losing("nobody is banned for failed log-ins")
                .remedied("a kernel with nf_conntrack_netlink; or `option proof 'never'`, see the manual"),
            (None, None, None) => Part::in_force("login"),
        })
    }

    fn log_part(&self) -> Part {
        match &self.run.log_trouble {
            None => Part::in_force("log"),
            Some(why) => Part::broken("log", why)
                .losing("what diswall says is not in the system log")
                .remedied("start the system's log, then /etc/init.d/diswall restart"),
        }
    }

    /// The one word on top of everything.
    pub(super) fn protection(&self, parts: &[Part]) -> &'static str {
        if !self.settings.main.enabled {
            return "off";
        }
        if *self.kernel.state() != State::Ok {
            return "unprotected";
        }
        let worst = parts.iter().map(|part| part.state).max().unwrap_or_default();
        match (worst, self.feeds.run()) {
            (PartState::Broken, _) => "degraded",
            (PartState::Waiting, _) => "waiting",
            (PartState::InForce, true) => "protected",
            (PartState::InForce, false) => "local",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_openwrt_a_remedy_names_systemd() {
        for (said, here) in [
            ("mend the line; then /etc/init.d/diswall reload", "mend the line; then systemctl reload diswall"),
            ("/etc/init.d/diswall restart", "systemctl restart diswall"),
            ("/etc/init.d/firewall restart, and see", "`diswall rules --load`, and see"),
            ("make room there", "make room there"),
        ] {
            assert_eq!(with_systemd(said), here);
        }
    }
}
