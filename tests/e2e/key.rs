//! The published key over HTTPS, by the programs that routers have: taken from a server whose certificate
//! is good, and from no other. The server is real, its authority one of the test's own that the machine
//! trusts inside a mount namespace.

use std::fs;
use std::path::Path;

use diswall::feed::dynfw::key;
use tempfile::TempDir;

use crate::support::{Authority, Mount, Netns, Proc, own_mounts, web};

const KEY: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
const SERVER: &str = "
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path == '/moved':
            self.send_response(302); self.send_header('Location', 'http://127.0.0.1:8080/dynfw.pub'); self.end_headers()
        elif self.path == '/endless':
            self.send_response(200); self.end_headers()
            try:
                while True: self.wfile.write(b'x' * 4096)
            except OSError: pass
        else: super().do_GET()
    def log_message(self, *_): pass
";

fn serve(place: &Path, port: &str, certificate: Option<&str>) -> Proc {
    web::serve(SERVER, &place.join("files"), port, certificate)
}

fn fetch(url: &str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(key::fetch(url))
}

#[test]
fn the_published_key_comes_over_checked_https_alone() {
    let _netns = Netns::enter();
    own_mounts();
    let directory = TempDir::new().expect("a directory");
    let place = directory.path();
    let authority = Authority::new(place);
    fs::create_dir(place.join("files")).expect("a directory");
    let published = format!("metadata\n    name = \"dynfw\"\ncurve\n    public-key = \"{KEY}\"\n");
    fs::write(place.join("files/dynfw.pub"), published).expect("a file");
    fs::write(place.join("files/page"), "<html>").expect("a file");
    let _plain = serve(place, "8080", None);
    let _good = serve(place, "8443", Some(&authority.certify("IP:127.0.0.1")));
    let _other = serve(place, "8444", Some(&authority.certify("DNS:elsewhere.example")));

    let mut hidden = Vec::new();
    for program in ["curl", "wget"] {
        let unknown = fetch("https://127.0.0.1:8443/dynfw.pub").expect_err("an authority that nobody knows");
        assert!(unknown.contains("could not prove who it is"), "{program}: {unknown}");
        let trusted = Mount::bind(&authority.certificate(), Path::new("/etc/ssl/certs/ca-certificates.crt"));
        assert_eq!(fetch("https://127.0.0.1:8443/dynfw.pub").as_deref(), Ok(KEY), "{program}");
        for (url, why) in [
            ("https://127.0.0.1:8443/page", "holds no CURVE public key (6 bytes"),
            ("https://127.0.0.1:8443/nothing", "status 404"),
            ("https://127.0.0.1:8443/moved", if program == "curl" { "not allowed" } else { "not followed" }),
            ("https://127.0.0.1:8443/endless", "sent more than is taken"),
            ("https://127.0.0.1:8444/dynfw.pub", "could not prove who it is"),
            ("https://127.0.0.1:1/dynfw.pub", "cannot be reached"),
            ("http://127.0.0.1:8443/dynfw.pub", "only https:// is trusted"),
        ] {
            let refusal = fetch(url).expect_err(url);
            assert!(refusal.contains(why), "{program}, {url}: {refusal}");
        }
        drop(trusted);
        // The next program's turn: this one is no file any more.
        hidden.push(Mount::bind(Path::new("/dev/null"), &Path::new("/usr/bin").join(program)));
    }
    assert!(fetch("https://127.0.0.1:8443/dynfw.pub").expect_err("no program is left").contains("nor wget"));
}
