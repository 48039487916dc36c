//! A web server that answers as a test wants it to.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::Proc;

const READY: Duration = Duration::from_secs(30);

/// Around a handler: what it may need, and a server on the port and with the certificate that are given.
const HEAD: &str = "import gzip, glob, http.server, os, ssl, sys, time, zlib\n";
const TAIL: &str = "
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler)
server.daemon_threads, server.handle_error = True, lambda *_: None
if len(sys.argv) > 2:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[2])
    server.socket = tls.wrap_socket(server.socket, server_side=True)
print('ready', flush=True)
server.serve_forever()
";

/// A handler that gives files, with an ETag, and says what was asked for and the status of the answer.
pub const FILES: &str = r#"
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open(self.path.strip('/'), 'rb').read()
        etag = '"%d"' % zlib.crc32(body)
        same = self.headers.get('If-None-Match') == etag
        print(self.path, 304 if same else 200, flush=True)
        self.send_response(304 if same else 200)
        self.send_header('ETag', etag)
        if not same: self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if not same: self.wfile.write(body)
    def log_message(self, *_): pass
"#;

/// Serves on this port of 127.0.0.1, with TLS where there is a certificate, from the directory `place`. `handler` is
/// Python: a class `Handler`.
#[track_caller]
pub fn serve(handler: &str, place: &Path, port: &str, certificate: Option<&str>) -> Proc {
    let program = [HEAD, handler, TAIL].concat();
    let mut python = Command::new("/usr/bin/python3");
    let server = Proc::spawn(python.args(["-c", &program, port]).args(certificate).current_dir(place));
    assert_eq!(server.line(READY), "ready");
    server
}
