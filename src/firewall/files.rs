//! The rules' text on disk, where fw4 includes it: written only after nft has accepted it.
//!
//! `diswall rules --write` calls this as root before fw4 is started or reloaded. It runs `nft` and, for
//! `states 'all'`, `fw4`. Where there is no fw4, `diswall rules --load` has it load the text itself. What
//! the kernel has no modules for is left out, and said, so that the rest is in force.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::former::{self, Thing};
use super::rules::{self, ZoneDevices};
use crate::config::{Settings, States};
use crate::options::uci;
use crate::own;
use crate::programs;

/// Where fw4's include looks: `/usr/share/nftables.d/ruleset-post/90-diswall.nft` names `*.nft` in here.
pub const DIRECTORY: &str = "/var/run/diswall/fw4";

/// The one file in it.
const FILE: &str = "diswall.nft";

/// What came of writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file is new, different, or gone: fw4 is to be reloaded.
    pub changed: bool,
    /// What of the configuration the rules do without, and why, as a sentence.
    pub lacking: Option<String>,
}

/// Why nothing was written or loaded; what was there stays.
#[derive(Debug)]
pub enum Error {
    /// nft does not accept the text.
    Refused {
        /// Where the refused text is kept, if it is.
        aside: Option<PathBuf>,
        /// What nft says.
        message: String,
    },
    /// A zone that is to be guarded is none of the firewall's.
    Zone {
        /// Its name.
        zone: String,
        /// The zones there are.
        known: Vec<String>,
    },
    /// nft could not be run.
    NoNft(io::Error),
    /// The kernel could not be asked for what former rules left.
    Kernel(super::Error),
    /// A file could not be written.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused { aside: Some(aside), message } => {
                write!(f, "nft refuses the rules; kept aside in {}: {message}", aside.display())
            }
            Error::Refused { aside: None, message } => write!(f, "nft refuses the rules: {message}"),
            Error::Zone { zone, known } => {
                write!(f, "zone '{zone}' is not in the firewall's configuration; accepted: {}", known.join(", "))
            }
            Error::NoNft(error) => write!(f, "nft cannot be run: {error}"),
            Error::Kernel(error) => error.fmt(f),
            Error::File { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for Error {}

/// Brings the file in `directory` to what the settings say; with `enabled '0'` there is none.
///
/// # Errors
/// See [`Error`]; then everything is as it was.
pub fn write(settings: &Settings, directory: &Path) -> Result<Written, Error> {
    let path = directory.join(FILE);
    own::check(directory).map_err(|error| Error::File { path: directory.to_path_buf(), error })?;
    if !settings.main.enabled {
        return match fs::remove_file(&path) {
            Ok(()) => Ok(Written { changed: true, lacking: None }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Written { changed: false, lacking: None }),
            Err(error) => Err(Error::File { path, error }),
        };
    }
    let zones = zone_devices(settings);
    let render = |settings: &Settings| rules::for_fw4(settings, &zones);
    let text = render(settings);
    let old = fs::read_to_string(&path).ok();
    if old.as_ref() == Some(&text) {
        note(directory, &[&text]);
        return Ok(Written { changed: false, lacking: None });
    }
    let file = |path: &Path| {
        let path = path.to_path_buf();
        move |error| Error::File { path, error }
    };
    fs::DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(file(directory))?;
    let (text, lacking) = accepted(settings, &render, &["-c", "-f", "-"]).map_err(|error| match error {
        Error::Refused { message, .. } => {
            let aside = directory.join(format!("{FILE}.rejected"));
            Error::Refused { aside: put(&aside, &text).is_ok().then_some(aside), message }
        }
        other => other,
    })?;
    note(directory, &[old.as_deref().unwrap_or_default(), &text]);
    if old.as_ref() == Some(&text) {
        return Ok(Written { changed: false, lacking });
    }
    // Renamed into place, under a name that the include's glob does not match until then.
    let new = directory.join(format!("{FILE}.new"));
    put(&new, &text).map_err(file(&new))?;
    fs::rename(&new, &path).map_err(file(&path))?;
    Ok(Written { changed: true, lacking })
}

/// Loads the stand-alone rules, on a machine without fw4, and takes away what former ones left; with `enabled '0'`
/// these, too. `directory`: where is noted what is loaded; `None`: nowhere. Gives what they do without, and why, as a
/// sentence.
///
/// # Errors
/// [`Error::Refused`], [`Error::NoNft`]; then the ruleset is as it was. [`Error::Kernel`].
pub fn load(settings: &Settings, directory: Option<&Path>) -> Result<Option<String>, Error> {
    if !settings.main.enabled {
        return clear(settings, directory, true);
    }
    let (text, lacking) = accepted(settings, &rules::standalone, &["-f", "-"])?;
    if let Some(directory) = directory {
        note(directory, &[&text]);
    }
    // The new ones are in force: between these and those nothing is let in.
    let stays = clear(settings, directory, false)?;
    Ok(lacking.or(stays))
}

/// Takes away what former rules have put into the kernel and those of these settings do not name; or, if `all`, whatever is
/// of diswall. Nothing of the present ones is touched. Gives a sentence about what stays.
///
/// # Errors
/// [`Error::Kernel`].
pub fn clear(settings: &Settings, directory: Option<&Path>, all: bool) -> Result<Option<String>, Error> {
    let in_text = |text: String| former::named_in(&text);
    let mut present = in_text(rules::for_fw4(settings, &[]));
    present.extend(in_text(rules::standalone(settings)));
    let left = if all || !settings.main.enabled {
        present.extend(in_text(rules::removal(settings)));
        former::clear(directory, present, &[])
    } else {
        // What the kernel lacked was left out of it, and what others have written since is not these settings'.
        let written = directory.and_then(|directory| fs::read_to_string(directory.join(FILE)).ok());
        present.extend(in_text(written.unwrap_or_default()));
        former::clear(directory, Vec::new(), &present)
    };
    let left = left.map_err(Error::Kernel)?;
    let names: Vec<String> = left.iter().take(NAMED).map(Thing::to_string).collect();
    let more = if left.len() > NAMED { ", …" } else { "" };
    let text = || format!("of former rules these stay, since rules of others name them: {}{more}", names.join(", "));
    Ok((!left.is_empty()).then(text))
}

/// Things that are named of those that stay.
const NAMED: usize = 5;

/// A note that cannot be written costs nothing but what it is for.
fn note(directory: &Path, texts: &[&str]) {
    if let Err(error) = former::note(directory, texts) {
        eprintln!("diswall: what is in the kernel cannot be noted, and may stay there until the next boot: {error}");
    }
}

/// The most of the rules that nft accepts with these arguments, and a sentence about the rest.
///
/// # Errors
/// What nft says about the whole of them, where it does not accept the least of them either.
fn accepted(
    settings: &Settings,
    render: &dyn Fn(&Settings) -> String,
    arguments: &[&str],
) -> Result<(String, Option<String>), Error> {
    let mut whole = None;
    for (without_log, without_nat) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut less = settings.clone();
        let mut parts: Vec<&str> = Vec::new();
        if without_log {
            parts.push("scan detection, logging and the report of ports and senders (packages kmod-nfnetlink-log, kmod-nft-core)");
            less.feeds.tell_no_packets();
            (less.main.log_drops, less.main.report) = (false, false);
            less.block.iter_mut().for_each(|block| block.log = false);
        }
        if without_nat {
            parts.push("keeping ended connections from coming back (package kmod-nft-nat)");
            less.main.disconnect = false;
        }
        // Scans are looked for with the help of a nat chain too.
        if without_nat && less.feeds.scan.enabled {
            continue;
        }
        let text = render(&less);
        let Some(message) = nft(arguments, &text).map_err(Error::NoNft)? else {
            let why = |message: String| {
                let first: Vec<&str> = message.lines().take(2).map(str::trim).collect();
                let (parts, first) = (parts.join(" and "), first.join(" "));
                format!("the kernel refuses a part of the rules, which go without {parts}: {first}")
            };
            return Ok((text, whole.map(why)));
        };
        whole.get_or_insert(message);
    }
    Err(Error::Refused { aside: None, message: whole.unwrap_or_default() })
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?;
    file.write_all(text.as_bytes()).inspect_err(|_| {
        // Half a text on a full disk is of no use to anybody, and takes room.
        let _ = fs::remove_file(path);
    })
}

/// Lines that are kept of what nft says: three complaints, of which it has one for every rule.
const SAID: usize = 9;

/// Hands nft the text; what it has against it, `None`: nothing.
fn nft(arguments: &[&str], text: &str) -> io::Result<Option<String>> {
    let mut nft = programs::command("nft")?
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = nft.stdin.take() {
        // One that ends before it has read all says why.
        let _ = stdin.write_all(text.as_bytes());
    }
    let output = nft.wait_with_output()?;
    let said = || String::from_utf8_lossy(&output.stderr).lines().take(SAID).collect::<Vec<_>>().join("\n");
    Ok((!output.status.success()).then(|| said().trim().to_string()))
}

/// The zones that are to be guarded and are not in fw4's configuration (`/etc/config/firewall`), as an error each: rules
/// for such a one would load and guard nothing. Where there is no such file, nobody can tell.
///
/// # Errors
/// [`Error::File`] if the file cannot be read.
pub fn unknown_zones(settings: &Settings, firewall: &Path) -> Result<Vec<(String, Error)>, Error> {
    let text = match fs::read(firewall) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::File { path: firewall.to_path_buf(), error }),
    };
    // What is wrong with the file is for fw4 to say.
    let (sections, _) = uci::sections(&text);
    let zones = sections.iter().filter(|section| section.kind == "zone");
    let known: Vec<String> = zones.filter_map(name_of).map(str::to_string).collect();
    let unknown = settings.main.zones.iter().filter(|zone| !known.contains(zone));
    Ok(unknown.map(|zone| (zone.clone(), Error::Zone { zone: zone.clone(), known: known.clone() })).collect())
}

/// What is wrong where fw4 is this machine's firewall and `option table` is not its table: our chains would stand in one
/// that no packet meets.
pub fn strayed(settings: &Settings) -> Option<String> {
    let table = &settings.main.table;
    (table != TABLE && programs::find("fw4").is_some())
        .then(|| format!("option table '{table}': fw4's own is '{TABLE}', and no packet comes to another"))
}

/// fw4's.
const TABLE: &str = "fw4";

fn name_of<'a>(zone: &'a uci::Section<'_>) -> Option<&'a str> {
    let entry = zone.options.iter().find(|entry| entry.name == "name")?;
    match &entry.value {
        uci::Value::Single(name) => Some(name),
        uci::Value::List(_) => None,
    }
}

/// The devices of the guarded zones, where the rules need them. A zone that fw4 does not know has none.
pub fn zone_devices(settings: &Settings) -> Vec<ZoneDevices> {
    if settings.main.states == States::New {
        return Vec::new();
    }
    let devices = |zone: &String| {
        let output = programs::command("fw4").ok()?.args(["-q", "zone", zone]).stdin(Stdio::null()).output().ok()?;
        let names = String::from_utf8_lossy(&output.stdout).lines().map(str::to_string).collect();
        output.status.success().then_some(ZoneDevices { zone: zone.clone(), devices: names })
    };
    let mut zones: Vec<&String> = settings.main.zones.iter().collect();
    for zone in settings.feeds.lists.iter().flat_map(|list| &list.zones) {
        if !zones.contains(&zone) {
            zones.push(zone);
        }
    }
    zones.into_iter().filter_map(devices).collect()
}
