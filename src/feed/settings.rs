//! What the feeds go by, all of them, and the types of sections that they have: the configuration reads these
//! without knowing any of them.
//!
//! A feed's own `settings` holds its struct, its defaults, its options and its checks; a row here says where
//! they go.

use super::{abuseipdb, crowdsec, dynfw, lists, login, nats, scan};
use crate::model::Source;
use crate::options::SectionType;
use crate::options::section::names;

/// What the configuration says to every feed.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Settings {
    /// `config dynfw 'dynfw'`.
    pub dynfw: dynfw::Settings,
    /// `config nats 'nats'`.
    pub nats: nats::Settings,
    /// `config crowdsec 'crowdsec'`.
    pub crowdsec: crowdsec::Settings,
    /// `config scan 'scan'`.
    pub scan: scan::Settings,
    /// `config login 'login'`.
    pub login: login::Settings,
    /// `config logwatch`, in file order; those that are switched off are not here.
    pub logwatch: Vec<login::Logwatch>,
    /// `config abuseipdb 'abuseipdb'`.
    pub abuseipdb: abuseipdb::Settings,
    /// `config list`, in file order; those that are switched off are not here.
    pub lists: Vec<lists::Settings>,
}

impl Settings {
    /// The sources whose bans may begin anew with every packet of the banned host, and whether they do.
    pub fn refreshes(&self) -> [(Source, bool); 2] {
        [(Source::SCAN, self.scan.refresh), (Source::NATS, self.nats.refresh)]
    }

    /// Nothing that needs to be told of single packets any more.
    pub fn tell_no_packets(&mut self) {
        (self.scan.enabled, self.scan.refresh, self.nats.refresh) = (false, false, false);
    }
}

/// The feeds' types of sections, in the order in which people are told of them.
pub const ROWS: [SectionType<Settings>; 8] = [
    SectionType {
        kind: "dynfw",
        once: true,
        options: || names(dynfw::settings::SECTION.options),
        read: |reader, section, all| reader.single(section, &dynfw::settings::SECTION, &mut all.dynfw),
    },
    SectionType {
        kind: "nats",
        once: true,
        options: || names(nats::settings::SECTION.options),
        read: |reader, section, all| reader.single(section, &nats::settings::SECTION, &mut all.nats),
    },
    SectionType {
        kind: "crowdsec",
        once: true,
        options: || names(crowdsec::settings::SECTION.options),
        read: |reader, section, all| reader.single(section, &crowdsec::settings::SECTION, &mut all.crowdsec),
    },
    SectionType {
        kind: "abuseipdb",
        once: true,
        options: || names(abuseipdb::settings::SECTION.options),
        read: |reader, section, all| reader.single(section, &abuseipdb::settings::SECTION, &mut all.abuseipdb),
    },
    SectionType {
        kind: "scan",
        once: true,
        options: || names(scan::settings::SECTION.options),
        read: |reader, section, all| reader.single(section, &scan::settings::SECTION, &mut all.scan),
    },
    SectionType {
        kind: "login",
        once: true,
        options: || names(login::settings::SECTION.options),
        read: |reader, section, all| reader.single(section, &login::settings::SECTION, &mut all.login),
    },
    SectionType {
        kind: "logwatch",
        once: false,
        options: || names(login::settings::LOGWATCH.options),
        read: |reader, section, all| all.logwatch.extend(reader.many(section, &login::settings::LOGWATCH)),
    },
    SectionType {
        kind: "list",
        once: false,
        options: || names(lists::settings::SECTION.options),
        read: |reader, section, all| {
            let list = reader.many(section, &lists::settings::SECTION);
            if list.is_some() && all.lists.len() >= lists::settings::MOST {
                return reader.one_too_many(section, lists::settings::MOST);
            }
            all.lists.extend(list);
        },
    },
];
