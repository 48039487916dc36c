//! `config list 'NAME'`: a list of addresses and networks, and what becomes of what it has.

use std::path::Path;
use std::time::Duration;

use super::{Format, places};
use crate::feed::Terms;
use crate::feed::fetch;
use crate::model::{ListUse, Source};
use crate::options::value::{self, Action, BadValue, Checked, PortRange, Proto, refuse};
use crate::options::{Checks, LeftOut, Many, list, one, secret};
use crate::own;

/// Most lists.
pub const MOST: usize = 64;

/// What stands in a template for a country's two letters.
pub const COUNTRY: &str = "{country}";
/// What stands in a template for an autonomous system's number.
pub const ASN: &str = "{asn}";

/// Where the networks of countries are unless the owner says otherwise.
const COUNTRY_URLS: [&str; 2] = [
    "https://www.ipdeny.com/ipblocks/data/aggregated/{country}-aggregated.zone",
    "https://www.ipdeny.com/ipv6/ipaddresses/aggregated/{country}-aggregated.zone",
];
const ASN_URLS: [&str; 2] = [
    "https://raw.githubusercontent.com/ipverse/as-ip-blocks/master/as/{asn}/ipv4-aggregated.txt",
    "https://raw.githubusercontent.com/ipverse/as-ip-blocks/master/as/{asn}/ipv6-aggregated.txt",
];

/// Most countries, continents and autonomous systems that one list may name.
const PLACES: usize = 256;

/// Names of sets that a list cannot have.
const TAKEN: [&str; 5] = ["allow", "severed", "crowd", "once", "cut"];

/// Shortest and longest time between two fetches.
const SHORTEST: Duration = Duration::from_secs(600);
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// On which side of a packet a list's addresses are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sides {
    /// Its sender.
    #[default]
    Src,
    /// Its receiver: LAN hosts and the router calling out.
    Dst,
    /// Both.
    Both,
}

/// One of the places that a list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `url`, or a template that was filled.
    pub url: String,
    /// Whose networks these are; there may be none, then. `None`: an address that the owner gave.
    pub of: Option<String>,
}

/// One list.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whose entries they are: the section's name.
    pub source: Source,
    /// `enabled`.
    pub enabled: bool,
    /// `url`: https, http, file; or a path. All of them together are the list.
    pub urls: Vec<String>,
    /// `country`: letters of countries, and names of continents. Their networks belong to the list.
    pub countries: Vec<&'static str>,
    /// `asn`: numbers of autonomous systems, whose networks belong to it too.
    pub asns: Vec<u32>,
    /// `country_url`: where a country's networks are, with [`COUNTRY`] for its letters.
    pub country_urls: Vec<String>,
    /// `asn_url`: the same of an autonomous system, with [`ASN`] for its number.
    pub asn_urls: Vec<String>,
    /// `format`.
    pub format: Format,
    /// `interval`: time between two fetches; at least 10 minutes.
    pub interval: Duration,
    /// `max_age`: a list that has not been fetched for longer lapses; zero: never.
    pub max_age: Duration,
    /// `zone`: fw4 zones in which it holds; empty: those of `main`.
    pub zones: Vec<String>,
    /// `direction`.
    pub sides: Sides,
    /// `proto`.
    pub proto: Proto,
    /// `dest_port`; empty: every port.
    pub dest_ports: Vec<PortRange>,
    /// `action`; `None`: as in `main`.
    pub action: Option<Action>,
    /// `log_drops`; `None`: as in `main`.
    pub log_drops: Option<bool>,
    /// `use`.
    pub usage: ListUse,
    /// `login`: name and password with a colon between them, or the path of a file that has them.
    pub login: Option<String>,
    /// `keep`: kept on flash, so that it is there after a reboot.
    pub keep: bool,
}

impl Default for Settings {
    /// A section without a word in it, whose name is not known yet.
    fn default() -> Settings {
        Settings::of(Source::MANUAL)
    }
}

/// The sections.
pub const SECTION: Many<Settings, Settings> = Many {
    options: &[
        list("url", |list, given| given.add(&mut list.urls, url)),
        list("country", |list, given| given.add(&mut list.countries, places::place)),
        list("asn", |list, given| given.add(&mut list.asns, asn)),
        list("country_url", |list, given| given.add(&mut list.country_urls, country_url)),
        list("asn_url", |list, given| given.add(&mut list.asn_urls, asn_url)),
        one("format", |list, given| given.set(&mut list.format, format)),
        one("interval", |list, given| given.set(&mut list.interval, interval)),
        one("max_age", |list, given| given.set(&mut list.max_age, value::duration)),
        one("enabled", |list, given| given.set(&mut list.enabled, value::boolean)),
        one("use", |list, given| given.set(&mut list.usage, usage)),
        one("direction", |list, given| given.set(&mut list.sides, sides)),
        list("zone", |list, given| given.add(&mut list.zones, value::zone)),
        one("proto", |list, given| given.set(&mut list.proto, value::proto)),
        list("dest_port", |list, given| given.add(&mut list.dest_ports, value::port_range)),
        one("action", |list, given| given.set(&mut list.action, |text| value::action(text).map(Some))),
        one("log_drops", |list, given| given.set(&mut list.log_drops, |text| value::boolean(text).map(Some))),
        secret("login", |list, given| given.set(&mut list.login, login)),
        one("keep", |list, given| given.set(&mut list.keep, value::boolean)),
    ],
    // Without these it would be another list, or block more than was meant.
    needed: &[
        "url",
        "country",
        "asn",
        "country_url",
        "asn_url",
        "format",
        "enabled",
        "use",
        "direction",
        "zone",
        "proto",
        "dest_port",
    ],
    build,
};

fn build(mut list: Settings, section: &mut Checks<'_, '_>) -> Result<Option<Settings>, LeftOut> {
    let name = section.own_name()?;
    if TAKEN.contains(&name.as_str()) || Source::named().any(|source| source.name() == name) {
        return Err(section.refuse(None, format!("config list '{name}': that name is taken; give the list another")));
    }
    list.source = Source::list(&name);
    if list.urls.is_empty() && list.countries.is_empty() && list.asns.is_empty() {
        let text = format!("config list '{name}' without list url, an address or a file, list country or list asn");
        return Err(section.refuse(None, text));
    }
    if list.countries.len() + list.asns.len() > PLACES {
        let text = format!("config list '{name}' names more than {PLACES} countries and autonomous systems");
        return Err(section.refuse(None, text));
    }
    if list.format == Format::Names && list.countries.len() + list.asns.len() > 0 {
        let text = "format 'names' is of host names, and list country and list asn bring networks: make two lists";
        return Err(section.refuse(Some("format"), text.to_owned()));
    }
    if list.proto == Proto::Icmp && !list.dest_ports.is_empty() {
        return Err(section.refuse(Some("dest_port"), "dest_port: icmp has no ports".to_owned()));
    }
    let narrowed = list.sides != Sides::Src
        || list.usage == ListUse::Allow
            && (list.proto != Proto::Any || !list.dest_ports.is_empty() || !list.zones.is_empty());
    if list.usage != ListUse::Block && narrowed {
        let message = match list.usage {
            ListUse::Allow => "use 'allow' holds everywhere: direction, zone, proto and dest_port count for nothing",
            _ => "use 'only' is about who comes in: direction counts for nothing",
        };
        section.warn(Some("use"), message.to_owned());
        list.sides = Sides::Src;
    }
    Ok(Some(list).filter(|list| list.enabled))
}

fn url(value: &str) -> Checked<String> {
    fetch::check(value).map(|()| value.to_owned()).map_err(|error| BadValue::new(&error))
}

fn country_url(value: &str) -> Checked<String> {
    template(value, COUNTRY)
}

fn asn_url(value: &str) -> Checked<String> {
    template(value, ASN)
}

/// An address with a place for a word in it.
fn template(value: &str, place: &str) -> Checked<String> {
    match value.contains(place) {
        true => url(value),
        false => refuse(value, &["has no ", place, " in it; write an address or a path with it"].concat()),
    }
}

/// `64496` or `AS64496`.
fn asn(value: &str) -> Checked<u32> {
    let digits = value.strip_prefix("AS").or_else(|| value.strip_prefix("as")).unwrap_or(value);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|number| plain && *number > 0);
    number.map_or_else(|| refuse(value, "is no number of an autonomous system; write 1 to 4294967295"), Ok)
}

fn format(value: &str) -> Checked<Format> {
    value.parse().or_else(|error: super::format::UnknownFormat| refuse(value, &error.to_string()))
}

fn interval(value: &str) -> Checked<Duration> {
    let interval = value::duration(value)?;
    if (SHORTEST..=LONGEST).contains(&interval) {
        return Ok(interval);
    }
    refuse(value, "is out of range; write 10m to 30d")
}

fn usage(value: &str) -> Checked<ListUse> {
    let known = [ListUse::Block, ListUse::Allow, ListUse::Only];
    let found = known.into_iter().find(|usage| usage.name() == value);
    found.map_or_else(|| refuse(value, "is no use of a list; write block, allow or only"), Ok)
}

fn sides(value: &str) -> Checked<Sides> {
    match value {
        "src" => Ok(Sides::Src),
        "dst" => Ok(Sides::Dst),
        "src-dst" => Ok(Sides::Both),
        _ => refuse(value, "is no direction; write src, dst or src-dst"),
    }
}

/// A name and a password, or a file that has them. A refusal repeats neither.
fn login(value: &str) -> Checked<Option<String>> {
    let plain = value.len() <= 256 && !value.chars().any(char::is_control);
    match plain && (value.starts_with('/') || value.contains(':')) {
        true => Ok(Some(value.to_owned())),
        false => {
            Err(BadValue::new("the login is not accepted; write name:password, or the path of a file that has it"))
        }
    }
}

impl Settings {
    /// A list of that name as it is when nothing else is said.
    pub fn new(name: &str) -> Settings {
        Settings::of(Source::list(name))
    }

    fn of(source: Source) -> Settings {
        Settings {
            source,
            enabled: true,
            urls: Vec::new(),
            countries: Vec::new(),
            asns: Vec::new(),
            country_urls: COUNTRY_URLS.map(String::from).to_vec(),
            asn_urls: ASN_URLS.map(String::from).to_vec(),
            format: Format::Auto,
            interval: Duration::from_secs(12 * 3600),
            max_age: Duration::from_secs(30 * 86_400),
            zones: Vec::new(),
            sides: Sides::Src,
            proto: Proto::Any,
            dest_ports: Vec::new(),
            action: None,
            log_drops: None,
            usage: ListUse::Block,
            login: None,
            keep: false,
        }
    }

    /// Where it comes from, before countries and numbers are put in.
    fn sources(&self) -> impl Iterator<Item = &String> {
        let countries = self.country_urls.iter().filter(|_| !self.countries.is_empty());
        let asns = self.asn_urls.iter().filter(|_| !self.asns.is_empty());
        self.urls.iter().chain(countries).chain(asns)
    }

    /// Every address that it comes from.
    pub fn addresses(&self) -> Vec<Address> {
        let plain = self.urls.iter().map(|url| Address { url: url.clone(), of: None });
        let filled = |template: &str, place: &str, with: &str, of: String| Address {
            url: template.replace(place, with),
            of: Some(of),
        };
        let countries = self.countries.iter().flat_map(|word| places::letters(word)).flat_map(|letters| {
            self.country_urls.iter().map(move |url| filled(url, COUNTRY, letters, letters.to_owned()))
        });
        let asns = self.asns.iter().flat_map(|number| {
            let number = number.to_string();
            self.asn_urls.iter().map(move |url| filled(url, ASN, &number, ["AS", &number].concat()))
        });
        let mut all: Vec<Address> = plain.chain(countries).chain(asns).collect();
        // A country that is named beside its continent is asked for once.
        let mut seen = std::collections::HashSet::new();
        all.retain(|address| seen.insert(address.url.clone()));
        all
    }

    /// Whether it is made of countries and autonomous systems alone.
    pub fn is_of_places(&self) -> bool {
        self.urls.is_empty() && !(self.countries.is_empty() && self.asns.is_empty())
    }

    /// The places that it has, for people: `Czechia, AS64496`; `None`: it is no list of places.
    pub fn title(&self) -> Option<String> {
        const SHOWN: usize = 4;
        let countries = self.countries.iter().map(|word| places::title(word).to_owned());
        let all: Vec<String> = countries.chain(self.asns.iter().map(|number| format!("AS{number}"))).collect();
        let more = if all.len() > SHOWN { format!(" and {} more", all.len() - SHOWN) } else { String::new() };
        let shown = all.get(..SHOWN).unwrap_or(&all).join(", ");
        self.is_of_places().then(|| shown + &more)
    }

    /// Where it is kept.
    pub fn directory<'a>(&self, state_dir: &'a Path) -> &'a Path {
        if self.keep { Path::new(own::KEPT) } else { state_dir }
    }

    /// Whether nothing of it comes over the network.
    pub fn is_local(&self) -> bool {
        self.sources().all(|url| fetch::server(url).is_none())
    }

    /// Name or address and port of the first server that it comes from; an empty name where it is a file.
    pub fn server(&self) -> (&str, u16) {
        self.sources().find_map(|url| fetch::server(url)).unwrap_or(("", 0))
    }

    /// On which terms it is got.
    pub fn terms(&self) -> Terms<'_> {
        let encrypted = self.sources().all(|url| !url.starts_with("http://"));
        let max_age = Some(self.max_age).filter(|age| !age.is_zero());
        Terms { encrypted, account: None, max_age, list: Some(self.usage) }
    }

    /// Whether everything that a listed host sends is blocked, in every zone.
    pub fn is_whole(&self) -> bool {
        self.usage == ListUse::Block && !self.is_limited()
    }

    /// Whether it is about some services, zones or destinations alone.
    pub fn is_limited(&self) -> bool {
        self.sides == Sides::Dst || self.proto != Proto::Any || !self.dest_ports.is_empty() || !self.zones.is_empty()
    }
}
