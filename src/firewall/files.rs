//! The rules' text on disk, where fw4 includes it: written only after nft has accepted it.
//!
//! `diswall rules --write` calls this as root before fw4 is started or reloaded. It runs `nft` and, for
//! `states 'all'`, `fw4`; it never loads anything itself.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::rules::{self, ZoneDevices};
use crate::config::{Settings, States, uci};

/// Where fw4's include looks: `/usr/share/nftables.d/ruleset-post/90-diswall.nft` names `*.nft` in here.
pub const DIRECTORY: &str = "/var/run/diswall/fw4";

/// The one file in it.
const FILE: &str = "diswall.nft";

/// What came of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The file is new, different, or gone: fw4 is to be reloaded.
    Changed,
    /// Nothing to do.
    Unchanged,
}

/// Why nothing was written; the file that was there stays.
#[derive(Debug)]
pub enum Error {
    /// nft does not accept the text, which is kept aside.
    Refused {
        /// Where the refused text is.
        aside: PathBuf,
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
            Error::Refused { aside, message } => {
                write!(f, "nft refuses the rules; kept aside in {}: {message}", aside.display())
            }
            Error::Zone { zone, known } => {
                write!(f, "zone '{zone}' is not in the firewall's configuration; accepted: {}", known.join(", "))
            }
            Error::NoNft(error) => write!(f, "nft cannot be run: {error}"),
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
    if !settings.main.enabled {
        return match fs::remove_file(&path) {
            Ok(()) => Ok(Written::Changed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Written::Unchanged),
            Err(error) => Err(Error::File { path, error }),
        };
    }
    let text = rules::for_fw4(settings, &zone_devices(settings));
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(Written::Unchanged);
    }
    let file = |path: &Path| {
        let path = path.to_path_buf();
        move |error| Error::File { path, error }
    };
    fs::DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(file(directory))?;
    if let Some(message) = refusal(&text).map_err(Error::NoNft)? {
        let aside = directory.join(format!("{FILE}.rejected"));
        put(&aside, &text).map_err(file(&aside))?;
        return Err(Error::Refused { aside, message });
    }
    // Renamed into place, under a name that the include's glob does not match until then.
    let new = directory.join(format!("{FILE}.new"));
    put(&new, &text).map_err(file(&new))?;
    fs::rename(&new, &path).map_err(file(&path))?;
    Ok(Written::Changed)
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?;
    file.write_all(text.as_bytes())
}

/// What nft has against the text; `None`: nothing.
fn refusal(text: &str) -> io::Result<Option<String>> {
    let mut nft = Command::new("nft")
        .args(["-c", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = nft.stdin.take() {
        stdin.write_all(text.as_bytes())?;
    }
    let output = nft.wait_with_output()?;
    Ok((!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).trim().to_string()))
}

/// Whether every zone that is to be guarded is in fw4's configuration (`/etc/config/firewall`). Rules for
/// another would load and guard nothing. Where there is no such file, nobody can tell.
///
/// # Errors
/// [`Error::Zone`] names the first that is not, [`Error::File`] if the file cannot be read.
pub fn check_zones(settings: &Settings, firewall: &Path) -> Result<(), Error> {
    let text = match fs::read(firewall) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::File { path: firewall.to_path_buf(), error }),
    };
    // What is wrong with the file is for fw4 to say.
    let (sections, _) = uci::sections(&text);
    let zones = sections.iter().filter(|section| section.kind == "zone");
    let known: Vec<String> = zones.filter_map(name_of).map(str::to_string).collect();
    match settings.main.zones.iter().find(|zone| !known.contains(zone)) {
        Some(zone) => Err(Error::Zone { zone: zone.clone(), known }),
        None => Ok(()),
    }
}

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
        let output = Command::new("fw4").args(["-q", "zone", zone]).stdin(Stdio::null()).output().ok()?;
        let names = String::from_utf8_lossy(&output.stdout).lines().map(str::to_string).collect();
        output.status.success().then_some(ZoneDevices { zone: zone.clone(), devices: names })
    };
    settings.main.zones.iter().filter_map(devices).collect()
}
