//! Gets what is published on the web, or lies in a file of the router's: lists, keys.
//!
//! There is no TLS in the packages for routers, so their own programs do it ([`program`]): started with an
//! environment of our making, the body handed on piece by piece as it comes, so that a list of 40 MB costs
//! no more than one of 40 bytes, and nothing is written anywhere. Each has an end: a size, a time, a silence.
//!
//! An answer that was cut is never taken for a whole one: either its length was announced and all of it
//! came, or it marks its own end and the program looked, or it is packed, and unpacking shows the end.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::io::AsyncReadExt;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub use self::address::server;
use self::address::{Place, host, is_secure, keep_port, resolve, same_origin};
use self::program::{Program, Question, Running};
use self::said::{Said, validator};
use crate::{calendar, outside, own};

mod address;
mod program;
mod said;

/// Bytes of a body that are held at once.
const PIECE: usize = 16 << 10;
/// How often an answer may lead elsewhere.
const REDIRECTIONS: usize = 5;
/// Longest name and password.
const LOGIN: usize = 256;
/// How long a program may take to end once it has closed its output.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Seconds that the own clock is put back before a server hears of it: what it published shortly before it
/// was asked may not have reached every place that it answers from.
const MARGIN: u64 = 3600;
/// The first bytes of what gzip packed.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// What is said of an answer that is too large.
const LARGE: &str = "sent more than is taken";

/// Takes the pieces of a body, up to [`Wanted`]'s limit; `false`: no more is wanted.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> bool;

/// What to get, and within which bounds.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// `https://…`, `http://…`, `file:///…` or the path of a file.
    pub url: &'a str,
    /// For basic authentication: name and password with a colon between them, or the path of a file that has
    /// them in its first line.
    pub login: Option<&'a str>,
    /// What an earlier fetch of the same address gave.
    pub before: Validators,
    /// What is shown to the server beside; it is then asked at this address alone, wherever it leads.
    pub pass: Option<&'a Pass<'a>>,
    /// Over HTTPS alone.
    pub secure: bool,
    /// A list: may come packed with gzip, which the reader sees by its first bytes, and has no end by which
    /// the reader would know it whole.
    pub list: bool,
    /// That there is no such thing is an answer ([`Outcome::Missing`]) and no failure.
    pub may_lack: bool,
    /// Bytes at most, as they come.
    pub most: u64,
    /// How long the whole may take.
    pub time: Duration,
    /// How long nothing may come.
    pub silence: Duration,
}

impl<'a> Wanted<'a> {
    /// A list of at most 64 MB, within ten minutes.
    pub fn new(url: &'a str) -> Wanted<'a> {
        Wanted {
            url,
            login: None,
            before: Validators::default(),
            pass: None,
            secure: false,
            list: true,
            may_lack: false,
            most: 64 << 20,
            time: Duration::from_secs(600),
            silence: Duration::from_secs(60),
        }
    }
}

/// By what a server knows who asks, and what it is told. No other program can see any of it.
#[derive(Debug, Default)]
pub struct Pass<'a> {
    /// Lines of the question's head, checked.
    pub headers: Vec<String>,
    /// PEM file of a certificate.
    pub certificate: Option<&'a Path>,
    /// PEM file of its key.
    pub key: Option<&'a Path>,
    /// Sent with it; without quotes that stand in one another.
    pub body: Option<&'a str>,
    /// The body is a form's fields rather than JSON.
    pub form: bool,
}

/// By what the next fetch tells whether there is anything new. Each at most 200 bytes, printable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The server's mark of what it sent; of a file, which one it was.
    pub etag: Option<String>,
    /// When it was changed, or asked for, as HTTP writes dates.
    pub modified: Option<String>,
}

impl Validators {
    /// As they may stand in a header: they may have been kept in a file that others can write to.
    fn checked(&self) -> Validators {
        let check = |value: &Option<String>| value.as_deref().and_then(validator);
        Validators { etag: check(&self.etag), modified: check(&self.modified) }
    }

    pub(in crate::feed) fn are_none(&self) -> bool {
        self.etag.is_none() && self.modified.is_none()
    }
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is nothing new since [`Wanted::before`].
    NotModified,
    /// There is no such thing.
    Missing,
    /// All of it went into the sink.
    Body {
        /// For the next time.
        validators: Validators,
        /// Bytes that came.
        length: u64,
    },
    /// The sink wanted no more.
    Enough,
}

/// Why it did not end well.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// A sentence for people.
    pub text: String,
    /// What the server answered, if it was an answer that says no.
    pub status: Option<u16>,
    /// Seconds that it wants to be left alone.
    pub retry_after: Option<u32>,
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure { text, status: None, retry_after: None }
    }
}

/// Whether an address is one that can be fetched.
///
/// # Errors
/// A sentence.
pub fn check(url: &str) -> Result<(), String> {
    address::place(url).map(|_| ())
}

/// Gets it.
///
/// # Errors
/// What went into the sink before is then of no use.
pub async fn fetch(request: &Wanted<'_>, sink: Sink<'_>) -> Result<Outcome, Failure> {
    match address::place(request.url)? {
        Place::File(path) => Ok(from_file(path, request, sink).await?),
        Place::Web(url) if request.secure && !is_secure(url) => {
            Err("only https:// is trusted with it".to_owned().into())
        }
        Place::Web(url) => {
            let late = |_| format!("{} did not send all of it within {} s", host(url), request.time.as_secs());
            timeout(request.time, from_web(url, request, sink)).await.map_err(late)?
        }
    }
}

/// What one program's run gave.
enum Answer {
    Outcome(Outcome),
    /// Where it leads.
    Moved(String),
}

async fn from_web(url: &str, request: &Wanted<'_>, sink: Sink<'_>) -> Result<Outcome, Failure> {
    let (program, path) = Program::find()?;
    let login = request.login.map(login).transpose()?;
    if (login.is_some() || request.pass.is_some()) && !program.keeps_secrets() {
        return Err(format!("{} has no place for a secret that others cannot see: install curl", program.name).into());
    }
    let before = request.before.checked();
    let mut url = url.to_owned();
    for _ in 0..=REDIRECTIONS {
        let question = Question {
            url: &url,
            login: login.as_deref().filter(|_| same_origin(request.url, &url)),
            pass: request.pass,
            before: &before,
            secure: request.secure,
            packed: request.list,
            most: request.most,
        };
        let failed = |error| format!("{} could not be started: {error}", program.name);
        let running = program.start(&path, &question).map_err(failed)?;
        let mut run = Run::new(program, &question, request);
        match run.follow(running, sink).await? {
            Answer::Outcome(outcome) => return Ok(outcome),
            Answer::Moved(next) if request.pass.is_some() => {
                return Err(format!("{} leads to \"{}\", which is not followed", host(&url), shown(&next)).into());
            }
            Answer::Moved(next) if is_secure(&url) && !is_secure(&next) => {
                let text = format!("{} leads from HTTPS to \"{}\", which is not followed", host(&url), shown(&next));
                return Err(text.into());
            }
            Answer::Moved(next) => {
                if !matches!(address::place(&next), Ok(Place::Web(_))) {
                    return Err(format!("{} leads to \"{}\", which is no address", host(&url), shown(&next)).into());
                }
                url = next;
            }
        }
    }
    Err(format!("{} redirects again and again", host(&url)).into())
}

/// A name and a password, or what a file has of them.
fn login(given: &str) -> Result<String, String> {
    let text = if given.starts_with('/') {
        first_line(Path::new(given)).map_err(|error| format!("the login in {given} cannot be read: {error}"))?
    } else {
        given.to_owned()
    };
    // wget leaves blanks at the ends out.
    let whole = text
        .split_once(':')
        .is_some_and(|(user, password)| !user.is_empty() && user.trim() == user && password.trim() == password);
    if !whole || text.len() > LOGIN || text.chars().any(char::is_control) {
        return Err("the login is not a name and a password with a colon between them".into());
    }
    Ok(text)
}

/// The first line of a file that has a secret.
///
/// # Errors
/// It is no file, or cannot be read.
pub fn first_line(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_own(path)?.take(LOGIN as u64 + 2).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// One program at work.
struct Run<'a> {
    program: &'static Program,
    question: &'a Question<'a>,
    request: &'a Wanted<'a>,
    /// Unix seconds.
    began: u64,
    said: Said,
    length: u64,
    /// The first bytes of the body.
    start: [u8; 2],
}

impl<'a> Run<'a> {
    fn new(program: &'static Program, question: &'a Question<'a>, request: &'a Wanted<'a>) -> Run<'a> {
        let began = calendar::now();
        Run { program, question, request, began, said: Said::new(program.indent), length: 0, start: [0; 2] }
    }

    /// Reads what comes, to the end.
    async fn follow(&mut self, mut running: Running, sink: Sink<'_>) -> Result<Answer, Failure> {
        let mut body = vec![0; PIECE];
        let mut words = [0; 512];
        let (mut speaks, mut sends) = (true, true);
        let mut silent_at = Instant::now() + self.request.silence;
        while speaks || sends {
            tokio::select! {
                said = running.errors.read(&mut words), if speaks => {
                    let count = said.unwrap_or(0);
                    speaks = count > 0;
                    self.said.take(words.get(..count).unwrap_or_default());
                }
                sent = running.output.read(&mut body), if sends => {
                    let count = sent.unwrap_or(0);
                    sends = count > 0;
                    silent_at = Instant::now() + if sends { self.request.silence } else { LAST_WORDS };
                    // What it said before it sent this comes first.
                    while let Ok(count @ 1..) = running.errors.try_read(&mut words) {
                        self.said.take(words.get(..count).unwrap_or_default());
                    }
                    let piece = body.get(..count).unwrap_or_default();
                    if sends && self.lacks() {
                        return Ok(Answer::Outcome(Outcome::Missing));
                    }
                    if sends && !self.is_wanted(piece)? {
                        break;
                    }
                    if sends && !sink(piece) {
                        return Ok(Answer::Outcome(Outcome::Enough));
                    }
                }
                () = sleep_until(silent_at) => {
                    if !sends {
                        break;
                    }
                    return Err(self.failure(&format!("sent nothing for {} s", self.request.silence.as_secs())).into());
                }
            }
        }
        if let Some(next) = self.moved() {
            return Ok(Answer::Moved(next));
        }
        let status =
            end_of(&mut running).await.map_err(|error| self.failure(&format!("could not be asked: {error}")))?;
        self.judge(status)
    }

    /// Whether there is no such thing, which was to be told.
    fn lacks(&self) -> bool {
        self.request.may_lack && matches!(self.said.status, Some(404 | 410))
    }

    /// Whether the status says that it is what was asked for, or that what was told was taken.
    fn is_good(&self) -> bool {
        let told = self.request.pass.is_some_and(|pass| pass.body.is_some());
        matches!(self.said.status, Some(200 | 203)) || told && matches!(self.said.status, Some(201..=204))
    }

    /// Looks at a piece of a body; whether it belongs to what was asked for.
    fn is_wanted(&mut self, piece: &[u8]) -> Result<bool, Failure> {
        if self.moved().is_some() {
            return Ok(false);
        }
        if self.program.indent.is_some() && !self.is_good() {
            return Err(self.status());
        }
        let known = usize::try_from(self.length).unwrap_or(self.start.len());
        self.start.iter_mut().skip(known).zip(piece).for_each(|(start, byte)| *start = *byte);
        self.length += piece.len() as u64;
        self.bounded()?;
        Ok(true)
    }

    fn bounded(&self) -> Result<(), String> {
        if self.length.max(self.said.length.unwrap_or(0)) <= self.request.most {
            return Ok(());
        }
        Err(format!("{} {LARGE}: {} bytes", host(self.question.url), self.request.most))
    }

    /// Where the answer leads, if it does and the program did not follow.
    fn moved(&self) -> Option<String> {
        if !self.program.leaves_redirections(self.question.url) {
            return None;
        }
        let location = self.said.location.as_deref()?;
        if self.program.indent.is_some() {
            let leads = matches!(self.said.status, Some(301 | 302 | 303 | 307 | 308));
            return leads.then(|| resolve(self.question.url, location));
        }
        Some(keep_port(self.question.url, location))
    }

    /// What the end means.
    fn judge(&self, status: ExitStatus) -> Result<Answer, Failure> {
        let said = &self.said;
        match said.status {
            Some(304) if !self.question.before.are_none() => return Ok(Answer::Outcome(Outcome::NotModified)),
            _ if self.is_good() => {}
            None => {}
            _ if self.lacks() => return Ok(Answer::Outcome(Outcome::Missing)),
            // It was on its way elsewhere, and says why it did not go on.
            Some(300..400) if self.program.sees_the_end() && !status.success() => {}
            Some(_) => return Err(self.status()),
        }
        self.bounded()?;
        if let Some(length) = said.length.filter(|length| *length > self.length) {
            return Err(self
                .failure(&format!("sent an answer that was cut: {} of {length} bytes", self.length))
                .into());
        }
        if !status.success() {
            let words = status.code().map_or("could not be asked", |code| self.program.words(code, &said.last));
            return Err(self.failure(words).into());
        }
        let marked = said.framed && self.program.sees_the_end();
        let counted = said.length.is_some() || said.counted;
        if self.request.list && !marked && !counted && self.start != GZIP {
            return Err(format!(
                "{} sent no length, and {} cannot tell that nothing was cut{}",
                host(self.question.url),
                self.program.name,
                if self.program.sees_the_end() { "" } else { ": install curl" }
            )
            .into());
        }
        let validators = match self.program.indent {
            Some(_) => Validators { etag: said.etag.clone(), modified: said.modified.clone() },
            None => Validators { etag: None, modified: Some(calendar::http(self.began.saturating_sub(MARGIN))) },
        };
        Ok(Answer::Outcome(Outcome::Body { validators, length: self.length }))
    }

    fn status(&self) -> Failure {
        let text = match self.said.status {
            Some(401) if self.request.login.is_none() => {
                format!("{} wants a login (status 401)", host(self.question.url))
            }
            Some(401) => format!("{} does not take the login (status 401)", host(self.question.url)),
            Some(status) => format!("{} answered with status {status}", host(self.question.url)),
            None => self.failure("sent something that is no answer"),
        };
        Failure { text, status: self.said.status, retry_after: self.said.retry_after }
    }

    /// A sentence, with the program's own words.
    fn failure(&self, words: &str) -> String {
        let (host, said) = (host(self.question.url), self.said.last.as_str());
        if said.is_empty() { format!("{host} {words}") } else { format!("{host} {words} ({said})") }
    }
}

/// Waits for the end of a program that has nothing more to say.
async fn end_of(running: &mut Running) -> io::Result<ExitStatus> {
    let end = Instant::now() + LAST_WORDS;
    loop {
        match running.child.0.try_wait()? {
            Some(status) => return Ok(status),
            None if Instant::now() >= end => return Err(io::ErrorKind::TimedOut.into()),
            None => sleep(Duration::from_millis(5)).await,
        }
    }
}

/// A file that is no secret: everybody may read it. Who may write the configuration names it, and is not always root; of
/// what is in it the first lines are shown to whoever may see `status`.
fn open_for_all(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    if file.metadata()?.mode() & 0o004 == 0 {
        let why = "not everybody may read it, and a list is no secret; chmod o+r it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(file)
}

/// Opens a file with a secret of diswall's, which goes to a server that the configuration names. As root it could be
/// anybody's secret: there a part of the path begins with `diswall`.
fn open_own(path: &Path) -> io::Result<File> {
    if rustix::process::geteuid().is_root() && !own::is_named_for_diswall(path) {
        let why = "diswall runs as root, and takes a secret only from where a part of the path begins with diswall";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    open(path)
}

/// Opens what is a file and nothing else: a pipe would be waited for.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

/// Which file it is, and in what state.
fn mark(file: &File) -> io::Result<String> {
    let data = file.metadata()?;
    Ok(format!("{}.{}.{}.{}.{}", data.dev(), data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
}

async fn from_file(path: &Path, request: &Wanted<'_>, sink: Sink<'_>) -> Result<Outcome, String> {
    let unread = |error: io::Error| {
        let open = "; it must be open to others, and each directory above it";
        let more = if error.kind() == io::ErrorKind::PermissionDenied { open } else { "" };
        shown(&format!("{} cannot be read: {error}{more}", path.display()))
    };
    let opened = if request.list { open_for_all(path) } else { open(path) };
    let mut file = match opened {
        Err(error) if request.may_lack && error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::Missing),
        file => file.map_err(unread)?,
    };
    let before = mark(&file).map_err(unread)?;
    if request.before.etag.as_ref() == Some(&before) {
        return Ok(Outcome::NotModified);
    }
    let (mut piece, mut length) = (vec![0; PIECE], 0);
    loop {
        let count = file.read(&mut piece).map_err(unread)?;
        length += count as u64;
        if length > request.most {
            return Err(shown(&format!("{} has more than {} bytes", path.display(), request.most)));
        }
        if count == 0 {
            break;
        }
        if !sink(piece.get(..count).unwrap_or_default()) {
            return Ok(Outcome::Enough);
        }
        yield_now().await;
    }
    if mark(&file).map_err(unread)? != before {
        return Err(shown(&format!("{} changed while it was read", path.display())));
    }
    Ok(Outcome::Body { validators: Validators { etag: Some(before), modified: None }, length })
}

/// Words that are not our own, in a sentence.
fn shown(text: &str) -> String {
    outside::clean(text, outside::SENTENCE)
}
