//! What protects, part by part: each part that is switched on says for itself whether it is in force.
//!
//! [`Daemon::parts`] gathers the answers, and [`Daemon::protection`] sums them up: nothing that `status`, its exit
//! status or a page says about protection comes from anywhere else. A part that is switched off has no
//! answer and counts for nothing.

use super::Daemon;
use super::kernel::State;
use crate::config::Severity;
use crate::control::protocol::{Part, PartState};

impl Daemon {
    /// Every part that is switched on, in the order in which people are told.
    pub(super) fn parts(&self) -> Vec<Part> {
        let settings = &self.settings;
        let mut parts = Vec::new();
        if settings.main.enabled {
            parts.extend(self.kernel.parts(settings));
            parts.extend(self.feeds.parts());
            parts.extend(self.feeds.share_part());
            parts.extend(self.packets.part(settings, self.kernel.lacks_scans()));
            parts.extend(self.login_part());
            parts.extend(self.disconnect.part(self.kernel.lacks_cuts()));
            parts.push(self.keeper.part());
        }
        parts.push(self.log_part());
        parts.push(self.config_part());
        parts
    }

    /// Whether failed log-ins are noticed; `None` while nothing is to be followed.
    fn login_part(&self) -> Option<Part> {
        const LOST: &str = "nobody is banned for failed log-ins that stand there";
        let logins = &self.logins;
        if !logins.is_on() {
            return None;
        }
        Some(match (logins.troubles().next(), logins.absent(), self.offences.unproven()) {
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
        match &self.log_trouble {
            None => Part::in_force("log"),
            Some(why) => Part::broken("log", why)
                .losing("what diswall says is not in the system log")
                .remedied("start the system's log, then /etc/init.d/diswall restart"),
        }
    }

    fn config_part(&self) -> Part {
        let error = self.config_notes.iter().find(|(severity, _)| *severity == Severity::Error);
        match error {
            None => Part::in_force("config"),
            Some((_, why)) => Part::broken("config", why).losing("what that line says is not in force").remedied(
                "mend the line; `diswall config check` says whether all is well; then /etc/init.d/diswall reload",
            ),
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
