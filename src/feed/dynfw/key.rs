//! The server's CURVE key: the configured one, until the server has refused it for so long that it must
//! have been changed; then the published one.
//!
//! A fetched key is used only when the owner allows it (`key_url`), came over HTTPS with certificates
//! checked, and has the right form. It is kept in `state_dir` for the next start, together with the
//! configured key that it stands in for: a newly configured key always wins. `client` asks and tells.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use omq_proto::CurvePublicKey;
use tokio::time::Instant;

use super::settings::Settings;
use crate::feed::fetch::{self, Wanted};
use crate::{own, whole_file};

/// How long the server must have refused the key.
const REFUSED_FOR: Duration = Duration::from_secs(600);
/// The published key is looked at at most so often.
const FETCH_EVERY: Duration = Duration::from_secs(3600);
/// How long a fetch may take.
const FETCH_MAX: Duration = Duration::from_secs(30);
/// A published key file has about 400 bytes.
const FILE_MAX: u64 = 4096;
/// File in `state_dir`: the configured key and the fetched one, a line each.
pub const KEPT: &str = "dynfw.key";

/// Which key is used, and why.
#[derive(Debug)]
pub struct Keys {
    configured: Option<String>,
    fetched: Option<String>,
    url: Option<String>,
    file: PathBuf,
    refused_since: Option<Instant>,
    asked: Option<Instant>,
}

impl Keys {
    /// The configured key, or the one that was fetched in its place before.
    pub fn new(settings: &Settings, state_dir: &Path) -> Keys {
        let file = state_dir.join(KEPT);
        let configured = settings.server_key.clone();
        let usable = own::check(state_dir).is_ok();
        let fetched = configured.as_deref().filter(|_| usable).and_then(|configured| kept(&file, configured));
        Keys { configured, fetched, url: settings.key_url.clone(), file, refused_since: None, asked: None }
    }

    /// The key to connect with; `None`: no CURVE.
    pub fn current(&self) -> Option<&str> {
        self.fetched.as_deref().or(self.configured.as_deref())
    }

    /// What the owner should know of the key; `None` while the configured one is used.
    pub fn notice(&self) -> Option<String> {
        let (key, url) = (self.fetched.as_deref()?, self.url.as_deref().unwrap_or("its key_url"));
        Some(format!("the server refused the configured server_key; the one published at {url} is used: {key}"))
    }

    /// The server took the key.
    pub fn accepted(&mut self) {
        self.refused_since = None;
    }

    /// The server refused the key.
    pub fn refused(&mut self, now: Instant) {
        self.refused_since.get_or_insert(now);
    }

    /// Where the published key should be looked at now, if it should.
    pub fn due(&mut self, now: Instant) -> Option<String> {
        let long = self.refused_since.is_some_and(|since| now - since >= REFUSED_FOR);
        let again = self.asked.is_none_or(|asked| now - asked >= FETCH_EVERY);
        if !long || !again {
            return None;
        }
        self.asked = Some(now);
        self.url.clone()
    }

    /// Uses the published key from now on; whether it is another one than before. An error says why it
    /// could not be kept for the next start.
    pub fn replace(&mut self, published: String) -> io::Result<bool> {
        if self.current() == Some(&published) {
            return Ok(false);
        }
        self.refused_since = None;
        if self.configured.as_deref() == Some(&published) {
            self.fetched = None;
            own::check(self.file.parent().unwrap_or(Path::new("/"))).and_then(|()| fs::remove_file(&self.file))?;
            return Ok(true);
        }
        let text = format!("{}\n{published}\n", self.configured.as_deref().unwrap_or_default());
        self.fetched = Some(published);
        whole_file::replace(&self.file, &mut |file| file.write_all(text.as_bytes()))?;
        Ok(true)
    }
}

/// The key kept in place of `configured`, if the file says so and is whole.
fn kept(file: &Path, configured: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (instead_of, fetched) = text.strip_suffix('\n')?.split_once('\n')?;
    (instead_of == configured && CurvePublicKey::from_z85(fetched).is_ok()).then(|| fetched.to_owned())
}

/// Fetches a published key with the router's own program for HTTPS. The error is a sentence.
pub async fn fetch(url: &str) -> Result<String, String> {
    let mut text = Vec::new();
    let request = Wanted { secure: true, list: false, most: FILE_MAX, time: FETCH_MAX, ..Wanted::new(url) };
    let mut sink = |piece: &[u8]| {
        text.extend_from_slice(piece);
        true
    };
    fetch::fetch(&request, &mut sink)
        .await
        .map_err(|failure| format!("the published key cannot be fetched: {}", failure.text))?;
    let key = certificate(&String::from_utf8_lossy(&text));
    key.ok_or_else(|| format!("{url} holds no CURVE public key ({} bytes came)", text.len()))
}

/// The public key of a ZeroMQ certificate: `public-key = "…"` in its section `curve`. Source: czmq's
/// `zcert`, and docs/protocols.md section 1.
fn certificate(text: &str) -> Option<String> {
    let mut in_curve = false;
    for line in text.lines() {
        if !line.starts_with([' ', '\t', '#']) && !line.trim().is_empty() {
            in_curve = line.trim() == "curve";
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        if in_curve && name.trim() == "public-key" {
            let key = value.trim().strip_prefix('"')?.strip_suffix('"')?;
            return CurvePublicKey::from_z85(key).is_ok().then(|| key.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: &str = "D=rkicUyn5AcL)>9$2Db0HIELd2F*WaS-zDTikU*";
    const OTHER: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";

    #[test]
    fn certificates() {
        let whole = format!(
            "#   ****  Generated on 2019-01-01 by CZMQ  ****\n#   ZeroMQ CURVE Public Certificate\n\n\
             metadata\n    name = \"x\"\ncurve\n    public-key = \"{CONFIGURED}\"\n"
        );
        assert_eq!(certificate(&whole).as_deref(), Some(CONFIGURED));
        let table = [
            String::new(),
            "<html>404</html>".into(),
            whole.replace("curve\n", "else\n"),
            whole.replace("public-key", "secret-key"),
            whole.replace(CONFIGURED, "short"),
            whole.replace(CONFIGURED, &"\u{e9}".repeat(20)),
            whole.replace('"', ""),
        ];
        for text in table {
            assert_eq!(certificate(&text), None, "{text}");
        }
    }

    #[test]
    fn the_published_key_is_asked_for_only_after_long_refusal() {
        let directory = tempfile::Builder::new().prefix("diswall-").tempdir().unwrap();
        let settings = Settings { server_key: Some(CONFIGURED.into()), ..Settings::default() };
        let mut keys = Keys::new(&settings, directory.path());
        let start = Instant::now();
        let minutes = |count: u64| start + Duration::from_secs(60 * count);
        assert_eq!(keys.due(minutes(60)), None, "never refused");
        keys.refused(start);
        keys.refused(minutes(9));
        assert_eq!(keys.due(minutes(9)), None);
        keys.accepted();
        assert_eq!(keys.due(minutes(11)), None, "taken in between");
        keys.refused(minutes(11));
        assert_eq!(keys.due(minutes(20)), None);
        assert_eq!(keys.due(minutes(21)), settings.key_url);
        assert_eq!(keys.due(minutes(22)), None, "not again so soon");
        assert!(keys.due(minutes(82)).is_some());

        let never = Settings { key_url: None, ..settings };
        let mut keys = Keys::new(&never, directory.path());
        keys.refused(start);
        assert_eq!(keys.due(minutes(60)), None, "the owner does not want it");
    }

    #[test]
    fn a_fetched_key_is_kept_until_another_is_configured() {
        let directory = tempfile::Builder::new().prefix("diswall-").tempdir().unwrap();
        let settings = Settings { server_key: Some(CONFIGURED.into()), ..Settings::default() };
        let mut keys = Keys::new(&settings, directory.path());
        assert!(!keys.replace(CONFIGURED.into()).unwrap(), "the same key is no other");
        assert_eq!((keys.current(), keys.notice()), (Some(CONFIGURED), None));
        assert!(keys.replace(OTHER.into()).unwrap());
        assert_eq!(keys.current(), Some(OTHER));
        assert!(keys.notice().is_some_and(|notice| notice.contains(OTHER)));

        assert_eq!(Keys::new(&settings, directory.path()).current(), Some(OTHER), "after a restart");
        let newer = Settings { server_key: Some(OTHER.replace('r', "s")), ..settings.clone() };
        assert_eq!(Keys::new(&newer, directory.path()).current(), newer.server_key.as_deref());
        let without = Settings { server_key: None, ..settings.clone() };
        assert_eq!(Keys::new(&without, directory.path()).current(), None);

        assert!(keys.replace(CONFIGURED.into()).unwrap(), "the server has gone back to it");
        assert_eq!(Keys::new(&settings, directory.path()).current(), Some(CONFIGURED));
        fs::write(directory.path().join(KEPT), format!("{CONFIGURED}\ncut")).unwrap();
        assert_eq!(Keys::new(&settings, directory.path()).current(), Some(CONFIGURED), "not whole");
    }
}
