//! Debian's own CrowdSec, its local API alone: unpacked, never installed, with nothing of CrowdSec's central API.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use super::{Proc, run, wait_until};

/// Far more than anything here takes.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Where it listens, in the test's own namespace.
pub const PORT: u16 = 8080;

/// A running local API. Dropping it ends it and removes its files.
pub struct Lapi {
    directory: TempDir,
    process: Option<Proc>,
}

/// Where its files are. Fetched by the first test that asks.
fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| here.join("target"), PathBuf::from);
        let script = here.join("tests/parts/lapi.sh");
        // The test's own network leads nowhere; the process' first thread is still in the machine's.
        let process = std::process::id().to_string();
        let (script, place) = (script.to_string_lossy(), target.join("debian"));
        run("nsenter", &["-t", &process, "-n", "sh", &script, &place.to_string_lossy()]).trim().into()
    })
}

impl Lapi {
    /// Starts one that knows the key `secret` of the bouncer `router`.
    pub fn start() -> Lapi {
        Lapi::begin(None)
    }

    /// As [`Lapi::start`], over TLS: with the certificate in the file `server`, asking for one by the authority in
    /// `clients`, which it takes for a key where the organisational unit is `routers`.
    pub fn start_with_tls(server: &str, clients: &Path) -> Lapi {
        let clients = clients.display();
        Lapi::begin(Some(&format!(
            ",\n    tls: {{ cert_file: {server}, key_file: {server}, ca_cert_path: {clients},\n\
             \x20     client_verification: VerifyClientCertIfGiven, bouncers_allowed_ou: [ routers ] }}"
        )))
    }

    fn begin(tls: Option<&str>) -> Lapi {
        let mut lapi = Lapi::prepare(tls);
        let credentials = lapi.path("credentials.yaml");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{PORT}/");
        lapi.cscli(&["machines", "add", "t", "--password", "p", "-f", &credentials, "--force", "-u", &url]);
        lapi.cscli(&["bouncers", "add", "router", "-k", "secret"]);
        lapi.resume();
        lapi
    }

    fn prepare(tls: Option<&str>) -> Lapi {
        let directory = TempDir::new().expect("a directory");
        let (here, theirs) = (directory.path().display(), root().display());
        let text = format!(
            "common: {{ daemonize: false, log_media: stdout, log_level: info }}\n\
             config_paths: {{ config_dir: {here}, data_dir: {here}, simulation_path: {theirs}/etc/crowdsec/simulation.yaml,\n\
             \x20 hub_dir: {here}, index_path: {here}/index.json, notification_dir: {here}, plugin_dir: {here} }}\n\
             crowdsec_service: {{ acquisition_path: {here}/acquis.yaml, parser_routines: 1 }}\n\
             cscli: {{ output: human }}\n\
             db_config: {{ type: sqlite, db_path: {here}/crowdsec.db, use_wal: true }}\n\
             api:\n  client: {{ insecure_skip_verify: {}, credentials_path: {here}/credentials.yaml }}\n\
             \x20 server: {{ log_level: info, listen_uri: '127.0.0.1:{PORT}',\n\
             \x20   profiles_path: {theirs}/etc/crowdsec/profiles.yaml, console_path: {here}/console.yaml{} }}\n",
            // Its owner's program alone: what comes by TLS is for others to prove.
            tls.is_some(),
            tls.unwrap_or_default()
        );
        for (name, text) in [
            ("config.yaml", &*text),
            ("index.json", "{}"),
            ("acquis.yaml", ""),
            ("console.yaml", ""),
            ("credentials.yaml", ""),
        ] {
            std::fs::write(directory.path().join(name), text).expect("a written file");
        }
        Lapi { directory, process: None }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again and waits until it listens.
    pub fn resume(&mut self) {
        let program = root().join("usr/bin/crowdsec");
        self.process = Some(Proc::spawn(Command::new(program).args(["-no-cs", "-c", &self.path("config.yaml")])));
        wait_until(DEADLINE, "the local API listens", || TcpStream::connect(("127.0.0.1", PORT)).is_ok());
    }

    /// Its owner's program.
    pub fn cscli(&self, args: &[&str]) -> String {
        let program = root().join("usr/bin/cscli").display().to_string();
        run(&program, &[&["-c", &self.path("config.yaml")], args].concat())
    }

    /// Adds a decision.
    pub fn decide(&self, args: &[&str]) {
        self.cscli(&[&["decisions", "add", "-R", "crowdsecurity/ssh-bf"], args].concat());
    }

    /// Adds many, as lines `duration,scope,value,type,reason`.
    pub fn import(&self, lines: &str) {
        let file = self.path("decisions.csv");
        std::fs::write(&file, format!("duration,scope,value,type,reason\n{lines}")).expect("a written file");
        self.cscli(&["decisions", "import", "-i", &file]);
    }
}
