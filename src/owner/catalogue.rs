//! The catalogue of well-known lists, and what each would cost this router before it is switched on.
//!
//! One file of data beside the program, read when somebody asks; nothing of it is switched on by itself. Pure but for
//! [`read`] and [`Budget::of`]. The command line and rpcd show it, [`super::steer`] goes by it.

use std::path::Path;

use super::edit::{NewList, NewOption};
use crate::config::Settings;
use crate::control::protocol::{Nothing, Request, Status};
use crate::control::{client, protocol};
use crate::json::{self, fields};
use crate::memory;
use crate::plural;

/// Where the package puts it.
pub const PATH: &str = "/usr/share/diswall/catalogue.json";

/// Longest file that is read, in bytes.
const MOST: u64 = 1 << 20;

/// Bytes of a single address: in the daemon, and in the kernel's set (Linux 6.18, x86-64, 200,000 elements with the
/// flags that diswall's sets have). IPv6 takes more.
const HOST: u64 = 4 + 88;
const HOST_6: u64 = 16 + 120 - HOST;
/// The same of a network.
const NETWORK: u64 = 8 + 170;
const NETWORK_6: u64 = 32 + 234 - NETWORK;

/// A list of the catalogue, and how it stands on this router.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// Name of its section.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// `attackers`, `crime`, `collections`, `spam`, `anonymity`, `resolvers`, `unassigned`.
    pub category: String,
    /// What it is for.
    pub about: String,
    /// Where it is.
    pub url: String,
    /// Its other addresses.
    pub also: Vec<String>,
    /// As option `format`.
    pub format: String,
    /// Licence and conditions, or `unknown`.
    pub licence: String,
    /// Whether it may be used commercially; absent: not known.
    pub commercial: Option<bool>,
    /// About so many addresses, of both families; absent: not known.
    pub hosts: Option<u64>,
    /// About so many networks.
    pub networks: Option<u64>,
    /// How many of the addresses are IPv6.
    pub hosts6: Option<u64>,
    /// How many of the networks are.
    pub networks6: Option<u64>,
    /// As option `interval`.
    pub interval: String,
    /// As option `direction`.
    pub direction: String,
    /// As option `proto`.
    pub proto: Option<String>,
    /// As option `dest_port`.
    pub ports: Vec<String>,
    /// How likely it is to hit the innocent: `low`, `medium`, `high`.
    pub risk: String,
    /// Recommended to routers of so many MB of memory and more.
    pub from_mb: Option<u64>,
    /// Its home page.
    pub home: String,
    /// It is switched on.
    pub enabled: bool,
    /// It is recommended for this router.
    pub recommended: bool,
    /// Bytes of memory that it takes, about; absent: not known.
    pub memory: Option<u64>,
    /// Why it does not fit.
    pub refusal: Option<String>,
}

fields!(Item {
    name, title, category, about, url, format, licence, commercial, hosts, networks, hosts6, networks6, interval,
    direction, proto, risk, from_mb, home, enabled, recommended, memory, refusal
} omit_empty { also, ports });

/// The catalogue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    /// Bytes of this router's memory that are free.
    pub memory_free: u64,
    /// Entries that `max_entries` leaves to lists; a network takes two.
    pub room: u64,
    /// The lists.
    pub lists: Vec<Item>,
}

fields!(Catalogue { memory_free, room, lists });

impl Item {
    /// Elements, as room is counted; `None`: not known.
    fn room(&self) -> Option<u64> {
        Some(self.hosts?.saturating_add(self.networks?.saturating_mul(2)))
    }

    fn bytes(&self) -> Option<u64> {
        let (hosts6, networks6) = (self.hosts6.unwrap_or(0), self.networks6.unwrap_or(0));
        let parts = [(self.hosts?, HOST), (self.networks?, NETWORK), (hosts6, HOST_6), (networks6, NETWORK_6)];
        Some(parts.iter().fold(0, |sum, (count, size)| sum.saturating_add(count.saturating_mul(*size))))
    }

    /// About how long it is, what it takes and on which terms it may be used.
    pub fn conditions(&self) -> String {
        let terms = match self.commercial {
            Some(false) => ", not for commercial use",
            _ => "",
        };
        [&self.size(), "; licence: ", &self.licence, terms].concat()
    }

    /// About how long it is, and what it takes of the memory.
    pub fn size(&self) -> String {
        let (Some(hosts), Some(networks), Some(memory)) = (self.hosts, self.networks, self.bytes()) else {
            return "of unknown size".into();
        };
        let parts = [(hosts, "address", "addresses"), (networks, "network", "networks")];
        let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, one, more)| plural::of(count, one, more)).collect();
        format!("about {}, {}", parts.join(" and "), megabytes(memory))
    }

    /// The section that switches it on.
    pub fn section(&self) -> NewList {
        let one = |name, value: &str| NewOption { is_list: false, name, value: value.to_owned() };
        let many = |name, value: &String| NewOption { is_list: true, name, value: value.clone() };
        let mut options: Vec<NewOption> =
            std::iter::once(&self.url).chain(&self.also).map(|url| many("url", url)).collect();
        for (name, value) in [("format", &self.format), ("interval", &self.interval), ("direction", &self.direction)] {
            options.push(one(name, value));
        }
        options.extend(self.proto.iter().map(|proto| one("proto", proto)));
        options.extend(self.ports.iter().map(|port| many("dest_port", port)));
        options.push(one("enabled", "1"));
        NewList { name: self.name.clone(), options }
    }
}

impl Catalogue {
    /// The list of this name.
    ///
    /// # Errors
    /// A sentence with the nearest names.
    pub fn find(&self, name: &str) -> Result<&Item, String> {
        self.lists.iter().find(|item| item.name == name).ok_or_else(|| {
            let near = crate::nearest::to(name, self.lists.iter().map(|item| item.name.as_str()));
            format!("no list of the catalogue is called '{name}'; nearest: {near}")
        })
    }
}

/// What this router has left for lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of memory that are free.
    pub free: u64,
    /// Bytes that the lists before have taken of it.
    taken: u64,
    /// Entries.
    pub room: u64,
}

impl Budget {
    fn of(settings: &Settings, lists: &[Item]) -> Budget {
        let limit = u64::from(memory::entries(settings.main.max_entries));
        let mut budget = Budget { free: memory::free().unwrap_or(u64::MAX), taken: 0, room: limit - limit / 4 };
        let status: Option<Status> = client::ask(&settings.main.control, &Request::Status(Nothing {})).ok();
        for list in &settings.feeds.lists {
            let name = list.source.name();
            let held = status.iter().flat_map(|status| &status.sources).find(|source| source.name == name);
            let held = held.map_or(0, |source: &protocol::SourceCounts| source.v4 + source.v6 + 2 * source.networks);
            let expected = lists.iter().find(|item| item.name == name);
            budget.room = budget.room.saturating_sub(match held {
                // It has not come yet.
                0 => {
                    budget.taken = budget.taken.saturating_add(expected.and_then(Item::bytes).unwrap_or(0));
                    expected.and_then(Item::room).unwrap_or(0)
                }
                held => held,
            });
        }
        budget
    }

    /// Takes what a list costs, or says why it does not fit. Nothing is known to be against a list of unknown size.
    fn take(&mut self, item: &Item) -> Result<(), String> {
        let (Some(room), Some(bytes)) = (item.room(), item.bytes()) else { return Ok(()) };
        // While one is taken up, what was there before is still there.
        let left = (self.free / 2).saturating_sub(self.taken);
        if bytes > left {
            let [bytes, free] = [bytes, self.free].map(megabytes);
            return Err(format!(
                "{} takes about {bytes}, and {free} of memory are free, of which half may go to lists",
                item.name
            ));
        }
        if room > self.room {
            return Err(format!(
                "{} has about {room} entries, a network counting as two, and max_entries leaves room for {}",
                item.name, self.room
            ));
        }
        (self.taken, self.room) = (self.taken + bytes, self.room - room);
        Ok(())
    }
}

/// Bytes in MB, to a tenth.
pub fn megabytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

/// The catalogue at `path`, with how it stands on a router of these settings.
///
/// # Errors
/// A sentence: it cannot be read.
pub fn read(path: &Path, settings: &Settings) -> Result<(Catalogue, Budget), String> {
    let unread = |error: &dyn std::fmt::Display| format!("the catalogue {} cannot be read: {error}", path.display());
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| std::io::Read::read_to_string(&mut std::io::Read::take(file, MOST), &mut text));
    read.map_err(|error| unread(&error))?;
    let mut catalogue: Catalogue = json::from_str(&text).map_err(|error| unread(&error))?;
    let budget = Budget::of(settings, &catalogue.lists);
    let total = memory::total();
    judge(&mut catalogue, settings, budget, total);
    Ok((catalogue, budget))
}

/// Fills in what the file does not say. `total`: bytes of memory.
fn judge(catalogue: &mut Catalogue, settings: &Settings, budget: Budget, total: u64) {
    (catalogue.memory_free, catalogue.room) = (budget.free, budget.room);
    let mut recommended = budget;
    for item in &mut catalogue.lists {
        item.enabled = settings.feeds.lists.iter().any(|list| list.source.name() == item.name);
        item.memory = item.bytes();
        if item.enabled {
            continue;
        }
        item.refusal = { budget }.take(item).err();
        // What is called 64 MB shows somewhat less, without the kernel.
        let is_for_us = item.from_mb.is_some_and(|least| total + total / 8 >= least.saturating_mul(1 << 20));
        item.recommended = is_for_us && recommended.take(item).is_ok();
    }
}

/// Takes what these cost out of the budget.
///
/// # Errors
/// Why not all of them fit.
pub fn afford(items: &[&Item], mut budget: Budget) -> Result<(), String> {
    items.iter().filter(|item| !item.enabled).try_for_each(|item| budget.take(item))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use super::*;
    use crate::feed::fetch;
    use crate::options::value;

    fn shipped() -> Catalogue {
        json::from_str(include_str!("../../openwrt/files/catalogue.json")).unwrap()
    }

    #[test]
    fn every_list_that_is_shipped_can_be_switched_on() {
        let catalogue = shipped();
        assert!(catalogue.lists.len() >= 45);
        let mut names = HashSet::new();
        for item in &catalogue.lists {
            assert!(names.insert(&item.name), "{} twice", item.name);
            value::section_name(&item.name).unwrap();
            let mut text = format!("config list '{}'\n", item.name);
            for option in item.section().options {
                let kind = if option.is_list { "list" } else { "option" };
                text.push_str(&format!("\t{kind} {} '{}'\n", option.name, option.value));
            }
            let loaded = Settings::parse(text.as_bytes(), "", b"");
            assert!(loaded.problems.is_empty(), "{text}{}", loaded.problems);
            let [list] = loaded.settings.feeds.lists.as_slice() else { panic!("{text}") };
            assert_eq!(list.format.to_string(), item.format);
            for said in [&item.title, &item.about, &item.licence, &item.category, &item.home] {
                assert!(!said.is_empty(), "{}", item.name);
            }
            assert!(["low", "medium", "high"].contains(&item.risk.as_str()), "{}", item.name);
            assert!(item.home.starts_with("https://") && fetch::check(&item.home).is_ok(), "{}", item.home);
            assert_eq!(item.hosts.is_some(), item.networks.is_some(), "{}", item.name);
            // What is not known is said so.
            assert_eq!(item.licence == "unknown", item.commercial.is_none(), "{}", item.name);
        }
    }

    #[test]
    fn what_is_recommended_fits_and_may_be_used_by_everybody() {
        for (megabytes, room, least) in [(58, 50_000, 5), (122, 123_000, 6), (500, 196_000, 6)] {
            let mut catalogue = shipped();
            let budget = Budget { free: (megabytes << 20) / 3, taken: 0, room };
            judge(&mut catalogue, &Settings::default(), budget, megabytes << 20);
            let chosen: Vec<&Item> = catalogue.lists.iter().filter(|item| item.recommended).collect();
            assert!(chosen.len() >= least, "{megabytes} MB: {}", chosen.len());
            assert!(chosen.iter().all(|item| item.risk == "low" && item.commercial != Some(false)));
            afford(&chosen, budget).unwrap();
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_unknown_is_not() {
        let item = |hosts, networks| Item { name: "x".into(), hosts, networks, ..Item::default() };
        let budget = Budget { free: 2 << 20, taken: 0, room: 10_000 };
        let mib = |count: u64| (count << 20) / HOST;
        for (item, why) in [
            (item(Some(5000), Some(2500)), None),
            (item(Some(5001), Some(2500)), Some("10001 entries")),
            (item(Some(mib(1) + 1), Some(0)), Some("1.1 MB, and 2.0 MB of memory are free")),
            (item(Some(u64::MAX), Some(u64::MAX)), Some("of memory are free")),
            (item(None, None), None),
        ] {
            let refusal = { budget }.take(&item).err();
            assert_eq!(refusal.is_some(), why.is_some(), "{refusal:?}");
            assert!(why.is_none_or(|why| refusal.as_deref().is_some_and(|said| said.contains(why))), "{refusal:?}");
        }
        // Each fits, both do not.
        let both = [&item(Some(6000), Some(0)), &item(Some(6000), Some(0))];
        assert!(afford(&both, budget).is_err());
    }

    #[test]
    fn who_asks_for_none_that_there_is_hears_the_nearest() {
        let catalogue = shipped();
        for (asked, near) in
            [("spamhause", "spamhaus"), ("fierhol2", "firehol2"), ("DEBL", "debl"), ("tor exit", "tor_exits")]
        {
            let said = catalogue.find(asked).unwrap_err();
            assert!(said.contains(near), "{said}");
        }
    }
}
