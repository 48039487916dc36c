//! Getting lists with each of the programs that routers have, from a real server that answers as servers do
//! on good and on bad days. curl and GNU wget are the machine's; OpenWrt's own uclient-fetch is tried where
//! `DISWALL_UCLIENT_FETCH` names one.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use diswall::feed::fetch::{Failure, Outcome, Validators, Wanted, fetch};
use tempfile::TempDir;

use crate::support::{Authority, Mount, Netns, Proc, own_mounts, wait_for, web};

const DEADLINE: Duration = Duration::from_secs(30);
/// What `/list` holds.
const LENGTH: u64 = 11_898;
const SERVER: &str = r#"
BODY = b''.join(b'192.0.2.%d\n' % (n % 256) for n in range(1024)) + b'x' * 50
DATE = 'Wed, 01 Jan 2025 00:00:00 GMT'
LOGIN = 'Basic bWU6YSAiXCAjJTIwcGFzcw=='

def seen():
    for name in glob.glob('/proc/[0-9]*/cmdline'):
        try:
            if b'#%20' + b'pass' in open(name, 'rb').read(): return True
        except OSError: pass

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def head(self, status, length=None, **headers):
        self.send_response(status)
        for name, value in headers.items(): self.send_header(name.replace('_', '-'), value)
        if length is not None: self.send_header('Content-Length', str(length))
        self.end_headers()
    def whole(self, body, status=200, **headers):
        self.head(status, len(body), **headers)
        self.wfile.write(body)
    def chunks(self, body, end=b'0\r\n\r\n', extra=0, **headers):
        self.head(200, Transfer_Encoding='chunked', **headers)
        self.wfile.write(b'%x\r\n' % (len(body) + extra) + body + (b'' if extra else b'\r\n') + end)
    def endless(self, pause):
        while True:
            self.wfile.write(b'192.0.2.1\n' * (1 if pause else 1000))
            time.sleep(pause)
    def do_GET(self):
        said = [self.headers.get(name, '-') for name in ('If-None-Match', 'If-Modified-Since', 'Authorization')]
        print(self.path, *said, sep='|', flush=True)
        try: self.answer(self.path, *said)
        except OSError: pass
    def answer(self, path, etag, since, login):
        packed = gzip.compress(BODY)
        if path == '/list':
            if etag == '"one"' or etag == '-' and since > '-': self.head(304, ETag='"one"')
            else: self.whole(BODY, ETag='"one"', Last_Modified=DATE)
        elif path == '/other': self.whole(BODY, ETag='"two"')
        elif path == '/marks': self.whole(BODY, ETag='"%s"' % ('x' * 300), Last_Modified='y' * 300)
        elif path == '/packed': self.whole(packed, Content_Encoding='gzip')
        elif path == '/list.gz': self.whole(packed, Content_Type='application/gzip')
        elif path == '/packed-chunks': self.chunks(packed, Content_Encoding='gzip')
        elif path == '/chunks': self.chunks(BODY)
        elif path == '/cut': self.head(200, len(BODY) + 9); self.wfile.write(BODY); self.close_connection = True
        elif path == '/cut-chunk': self.chunks(BODY, b'', 9); self.close_connection = True
        elif path == '/cut-chunks': self.chunks(BODY, b''); self.close_connection = True
        elif path == '/no-length': self.head(200, Connection='close'); self.wfile.write(BODY); self.close_connection = True
        elif path == '/nothing': self.close_connection = True
        elif path == '/chain': self.head(301, 0, Location='/chain/1')
        elif path == '/chain/1': self.head(302, 0, Location=self.path[:-1] + '2?three')
        elif path == '/chain/2?three': self.head(307, 0, Location='http://127.0.0.1:8081/list')
        elif path == '/loop': self.head(302, 0, Location='/loop')
        elif path == '/to-file': self.head(302, 0, Location='file:///etc/passwd')
        elif path == '/to-plain': self.head(302, 0, Location='http://localhost:8080/list')
        elif path == '/to-list': self.head(302, 0, Location='/list')
        elif path == '/404': self.whole(b'<html>', 404)
        elif path == '/206': self.whole(b'192.0.2.1\n', 206)
        elif path == '/304': self.head(304)
        elif path == '/large': self.head(200, 100 << 20); [self.wfile.write(b'192.0.2.1\n' * 104858) for n in range(100)]
        elif path == '/endless': self.head(200); self.endless(0)
        elif path == '/trickle': self.head(200, 1 << 20); self.endless(0.1)
        elif path == '/silent': self.head(200, 1 << 20); self.wfile.write(BODY); time.sleep(60)
        elif path == '/login':
            if login == LOGIN: self.whole(BODY, 500 if seen() else 200)
            else: self.whole(b'<html>', 401, WWW_Authenticate='Basic realm="lists"')
        elif path == '/login-elsewhere':
            if login == LOGIN: self.head(302, 0, Location='http://127.0.0.1:8081/login')
            else: self.whole(b'<html>', 401, WWW_Authenticate='Basic realm="lists"')
        else: self.whole(b'<html>', 404)
    def log_message(self, *_): pass
"#;

fn serve(port: &str, certificate: Option<&str>) -> Proc {
    web::serve(SERVER, Path::new("/"), port, certificate)
}

/// The machine with one of the programs alone; `None` where it has none of that name.
struct Alone {
    name: &'static str,
    _mounts: Vec<Mount>,
    _netns: Netns,
}

impl Alone {
    fn with(name: &'static str) -> Option<Alone> {
        let own = env::var_os("DISWALL_UCLIENT_FETCH").map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
        if name == "uclient-fetch" && own.is_none() {
            eprintln!("uclient-fetch is not tried here: DISWALL_UCLIENT_FETCH names none");
            return None;
        }
        let netns = Netns::enter();
        own_mounts();
        let mut mounts: Vec<Mount> = ["curl", "wget"]
            .iter()
            .filter(|other| **other != name)
            .map(|other| Mount::bind(Path::new("/dev/null"), &Path::new("/usr/bin").join(other)))
            .collect();
        let place = Path::new("/usr/local/sbin");
        mounts.push(Mount::tmpfs("size=64k", place));
        if let Some(own) = own.filter(|_| name == "uclient-fetch") {
            symlink(own, place.join(name)).expect("a link");
        }
        Some(Alone { name, _mounts: mounts, _netns: netns })
    }

    fn is(&self, name: &str) -> bool {
        self.name == name
    }
}

/// What came of a request, and what the sink got.
fn get(request: &Wanted<'_>) -> (Result<Outcome, Failure>, Vec<u8>) {
    let mut body = Vec::new();
    let outcome = run(request, &mut |piece| {
        assert!(!piece.is_empty() && piece.len() <= 64 << 10, "{} bytes at once", piece.len());
        body.extend_from_slice(piece);
        true
    });
    (outcome, body)
}

/// As the daemon runs: by an account that may do nothing. No program is left behind, not even as a zombie.
fn run(request: &Wanted<'_>, sink: &mut (dyn FnMut(&[u8]) -> bool + Send)) -> Result<Outcome, Failure> {
    let by_another = || {
        let another = rustix::thread::Uid::from_raw(65_534);
        rustix::thread::set_thread_res_uid(another, another, another).expect("another account");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let outcome = runtime.block_on(fetch(request, sink));
        let children = fs::read_to_string("/proc/thread-self/children").expect("the kernel's word");
        assert_eq!(children, "", "{}", request.url);
        outcome
    };
    std::thread::scope(|threads| threads.spawn(by_another).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

/// A directory that everybody may enter.
fn open_directory() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("mode");
    directory
}

fn url(path: &str) -> String {
    format!("http://127.0.0.1:8080{path}")
}

/// A request that is made, the beginning of what it gives, and a part of it if it is refused.
fn refused(program: &Alone, request: &Wanted<'_>, why: &str) {
    let began = Instant::now();
    let (outcome, body) = get(request);
    let Failure { text: refusal, status, .. } = outcome.expect_err(request.url);
    let said = status.is_some_and(|status| refusal.contains(&format!("status {status}")));
    assert_eq!(refusal.contains("status "), said, "{refusal}: {status:?}");
    assert!(refusal.contains(why), "{}, {}: {refusal}", program.name, request.url);
    assert!(refusal.len() < 400 && !refusal.contains(['\n', '\u{1b}']), "{refusal}");
    assert!(!body.starts_with(b"<html>"), "{}, {}: an error page is no list", program.name, request.url);
    assert!(body.len() as u64 <= request.most, "{}, {}: {} bytes", program.name, request.url, body.len());
    assert!(began.elapsed() < Duration::from_secs(10), "{}, {}", program.name, request.url);
}

fn taken(program: &Alone, url: &str) -> (Validators, Vec<u8>) {
    match get(&Wanted::new(url)) {
        (Ok(Outcome::Body { validators, length }), body) => {
            assert_eq!(body.len() as u64, length, "{}, {url}", program.name);
            (validators, body)
        }
        (other, _) => panic!("{}, {url}: {other:?}", program.name),
    }
}

fn lists_come(name: &'static str) {
    let Some(program) = Alone::with(name) else { return };
    let (server, _second) = (serve("8080", None), serve("8081", None));
    let next = |server: &Proc| server.line(DEADLINE);

    // New, then unchanged, then another.
    let (validators, body) = taken(&program, &url("/list"));
    assert!(body.starts_with(b"192.0.2.0\n192.0.2.1\n") && body.len() as u64 == LENGTH, "{} bytes", body.len());
    assert_eq!(next(&server), "/list|-|-|-");
    let again = |path: &str| get(&Wanted { before: validators.clone(), ..Wanted::new(&url(path)) });
    assert_eq!(again("/list"), (Ok(Outcome::NotModified), Vec::new()), "{name}");
    let asked = next(&server);
    if program.is("uclient-fetch") {
        assert!(validators.etag.is_none() && asked.starts_with("/list|-|") && asked.ends_with(" GMT|-"), "{asked}");
    } else {
        assert_eq!(asked, "/list|\"one\"|Wed, 01 Jan 2025 00:00:00 GMT|-");
    }
    let (outcome, body) = again("/other");
    assert!(matches!(outcome, Ok(Outcome::Body { length: LENGTH, .. })) && body.len() as u64 == LENGTH, "{outcome:?}");
    // Marks that are kept somewhere may be anything by now.
    let forged = Validators { etag: Some("\"x\"\r\nX-Evil: 1".into()), modified: Some("-".repeat(300)) };
    assert!(get(&Wanted { before: forged, ..Wanted::new(&url("/list")) }).0.is_ok());
    next(&server);
    assert_eq!(next(&server), "/list|-|-|-");
    let marks = taken(&program, &url("/marks")).0;
    assert!(marks.etag.is_none() && marks.modified.is_none_or(|date| date.ends_with(" GMT")), "{name}");

    for path in ["/packed", "/packed-chunks", "/list.gz"] {
        assert!(taken(&program, &url(path)).1.starts_with(&[0x1f, 0x8b]), "{name}, {path}");
    }
    assert_eq!(taken(&program, &url("/chain")).1.len() as u64, LENGTH, "{name}");
    let chunks = url("/chunks");
    if program.is("curl") {
        assert_eq!(taken(&program, &chunks).1.len() as u64, LENGTH);
    } else {
        refused(&program, &Wanted::new(&chunks), "cannot tell that nothing was cut: install curl");
    }
    // Who needs no more is heard.
    let large = url("/large");
    let request = Wanted { most: 1 << 30, ..Wanted::new(&large) };
    assert_eq!(run(&request, &mut |_| false), Ok(Outcome::Enough), "{name}");
}

#[test]
fn curl_gets_lists() {
    lists_come("curl");
}

#[test]
fn wget_gets_lists() {
    lists_come("wget");
}

#[test]
fn uclient_fetch_gets_lists() {
    lists_come("uclient-fetch");
}

fn bad_answers_are_no_lists(name: &'static str) {
    let Some(program) = Alone::with(name) else { return };
    let _server = serve("8080", None);
    let uclient = program.is("uclient-fetch");
    let cannot = if program.is("curl") { "cut" } else { "nothing was cut" };
    for (path, why) in [
        ("/cut", "cut"),
        ("/cut-chunk", cannot),
        ("/no-length", if uclient { "cut" } else { "nothing was cut" }),
        ("/nothing", if program.is("wget") { "cannot be reached" } else { "cut" }),
        ("/loop", if uclient { "status 302" } else { "again and again" }),
        ("/to-file", if program.is("curl") { "not allowed" } else { "" }),
        ("/404", "status 404"),
        ("/206", if uclient { "Partial content" } else { "status 206" }),
        ("/304", "status 304"),
        ("/login", "wants a login"),
    ] {
        refused(&program, &Wanted::new(&url(path)), why);
    }
    let second = Duration::from_secs(1);
    let minute = Duration::from_secs(60);
    let cut = if program.is("curl") { "cut" } else { "cannot be reached" };
    for (path, time, why) in [
        ("/large", minute, "sent more than is taken: 1048576 bytes"),
        ("/endless", minute, "sent more than is taken"),
        ("/silent", minute, "sent nothing for 1 s"),
        ("/trickle", second, "did not send all of it within 1 s"),
        ("/cut-chunks", minute, if uclient { "sent nothing for 1 s" } else { cut }),
    ] {
        refused(&program, &Wanted { most: 1 << 20, silence: second, time, ..Wanted::new(&url(path)) }, why);
    }
    refused(&program, &Wanted::new("http://127.0.0.1:1/list"), "cannot be reached");
    let unknown = if program.is("curl") { "has no address" } else { "cannot be reached" };
    refused(&program, &Wanted::new("http://lists.invalid/list"), unknown);
    for url in ["ftp://127.0.0.1/", "-O/tmp/x", "http://127.0.0.1:8080/ -O/tmp/x", "http://me:me@127.0.0.1:8080/list"] {
        refused(&program, &Wanted::new(url), "the address");
    }
}

#[test]
fn curl_gives_no_bad_answer() {
    bad_answers_are_no_lists("curl");
}

#[test]
fn wget_gives_no_bad_answer() {
    bad_answers_are_no_lists("wget");
}

#[test]
fn uclient_fetch_gives_no_bad_answer() {
    bad_answers_are_no_lists("uclient-fetch");
}

#[test]
fn logins_are_seen_by_nobody_else() {
    const LOGIN: &str = "me:a \"\\ #%20pass";
    for name in ["curl", "wget", "uclient-fetch"] {
        std::thread::spawn(move || logins(name, LOGIN)).join().expect("the same with each program");
    }
}

fn logins(name: &'static str, login: &str) {
    let Some(program) = Alone::with(name) else { return };
    let (_server, second) = (serve("8080", None), serve("8081", None));
    let directory = open_directory();
    let file = directory.path().join("login");
    fs::write(&file, format!("{login}\nmore\n")).expect("a file");
    let file = file.to_string_lossy();
    for login in [login, &file] {
        let (place, elsewhere) = (url("/login"), url("/login-elsewhere"));
        let with = |url| Wanted { login: Some(login), ..Wanted::new(url) };
        if program.is("uclient-fetch") {
            refused(&program, &with(&place), "install curl");
            continue;
        }
        let (outcome, body) = get(&with(&place));
        assert!(matches!(outcome, Ok(Outcome::Body { length: LENGTH, .. })), "{name}: {outcome:?} {body:?}");
        refused(&program, &with(&elsewhere), "login");
        assert_eq!(second.line(DEADLINE), "/login|-|-|-", "{name}: the login went to another");
        refused(&program, &Wanted { login: Some("me:wrong"), ..Wanted::new(&place) }, "does not take the login");
    }
    for login in ["", "me", ":x", "me:x\ny", "/no/such/file", "me: x"] {
        if !program.is("uclient-fetch") || login.starts_with('/') {
            refused(&program, &Wanted { login: Some(login), ..Wanted::new(&url("/login")) }, "the login");
        }
    }
}

#[test]
fn https_stays_https() {
    let directory = TempDir::new().expect("a directory");
    let authority = Authority::new(directory.path());
    let (good, other) = (authority.certify("DNS:localhost"), authority.certify("DNS:elsewhere.example"));
    let ca = authority.certificate();
    std::thread::scope(|threads| {
        for name in ["curl", "wget", "uclient-fetch"] {
            threads.spawn(|| https(name, &ca, &good, &other));
        }
    });
}

fn https(name: &'static str, ca: &Path, good: &str, other: &str) {
    let Some(program) = Alone::with(name) else { return };
    let _servers = [serve("8080", None), serve("8443", Some(good)), serve("8444", Some(other))];
    let refuses = |path: &str, why: &str| refused(&program, &Wanted::new(&format!("https://localhost:{path}")), why);
    let uclient = program.is("uclient-fetch");
    refuses("8443/list", if uclient { "" } else { "could not prove who it is" });
    let _trusted = Mount::bind(ca, Path::new("/etc/ssl/certs/ca-certificates.crt"));
    // Its TLS loses a race with a server as near as this one now and then.
    let patient = |url: &str| match uclient {
        true => wait_for(DEADLINE, url, || {
            get(&Wanted::new(url)).0.ok().filter(|outcome| matches!(outcome, Outcome::Body { length: LENGTH, .. }))
        }),
        false => get(&Wanted::new(url)).0.expect(url),
    };
    for path in ["list", "to-list"] {
        let url = format!("https://localhost:8443/{path}");
        assert!(matches!(patient(&url), Outcome::Body { length: LENGTH, .. }), "{name}, {url}");
    }
    if uclient {
        // It does not say by which protocol it goes on: by none but HTTPS, then.
        patient("https://localhost:8443/to-plain");
    } else {
        refuses("8443/to-plain", if program.is("curl") { "not allowed" } else { "not followed" });
    }
    refuses("8444/list", if uclient { "" } else { "could not prove who it is" });
    let secure = Wanted { secure: true, ..Wanted::new("http://127.0.0.1:8080/list") };
    refused(&program, &secure, "only https://");
}

#[test]
fn files_of_the_routers_are_lists_too() {
    let directory = open_directory();
    let path = directory.path().join("my list");
    let name = path.to_string_lossy().into_owned();
    let url = format!("file://{name}");
    let files = Alone { name: "no program", _mounts: Vec::new(), _netns: Netns::enter() };
    refused(&files, &Wanted::new(&url), "No such file");
    fs::write(&path, "192.0.2.1\n".repeat(10_000)).expect("a file");
    let (validators, body) = taken(&files, &url);
    assert_eq!(body.len(), 100_000);
    assert_eq!(taken(&files, &name).0, validators);
    let before = |path| Wanted { before: validators.clone(), ..Wanted::new(path) };
    assert_eq!(get(&before(&url)).0, Ok(Outcome::NotModified));
    fs::write(&path, "192.0.2.2\n").expect("a file");
    assert!(matches!(get(&before(&url)).0, Ok(Outcome::Body { length: 10, .. })));
    refused(&files, &Wanted { most: 9, ..Wanted::new(&url) }, "more than 9 bytes");
    refused(&files, &Wanted::new("/dev/zero"), "it is no file");
    refused(&files, &Wanted::new(&directory.path().to_string_lossy()), "it is no file");
    let pipe = directory.path().join("pipe");
    crate::support::run("mkfifo", &[&pipe.to_string_lossy()]);
    refused(&files, &Wanted::new(&pipe.to_string_lossy()), "it is no file");

    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("mode");
    refused(&files, &Wanted::new(&url), "must be open to others");
}
