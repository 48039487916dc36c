//! A real `nats-server` with the simulated DisWall service (`examples/diswall_service.rs`, which says
//! what its commands are) on it. Tests of the wire itself want a server configured otherwise: they have
//! helpers of their own.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Proc, output_of};
use super::wait::wait_until;

const ANSWER: Duration = Duration::from_secs(30);

/// The login that the server knows beside the service's own.
const LOGIN: &str = "owner";

/// Server and service.
pub struct DisWallService {
    directory: TempDir,
    server: Option<Proc>,
    service: Proc,
    port: u16,
}

impl DisWallService {
    /// Starts both on a free port of the test's own namespace.
    pub fn start() -> DisWallService {
        let directory = tempfile::Builder::new().prefix("diswall-nats-").tempdir().expect("a temporary directory");
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a free port").port();
        let server = start_server(&directory, port);
        let url = format!("nats://service:service@127.0.0.1:{port}");
        let service = Proc::spawn(Command::new(program()).arg(url));
        assert_eq!(service.json(ANSWER)["ready"], true);
        DisWallService { directory, server: Some(server), service, port }
    }

    /// Gives the service a command and waits until it is done.
    #[track_caller]
    pub fn tell(&mut self, line: &str) {
        self.service.send(line);
        loop {
            let answer: Value = self.service.json(ANSWER);
            assert!(answer.get("error").is_none(), "diswall_service: {line}: {answer}");
            if answer.get("done").is_some() {
                return;
            }
        }
    }

    /// Ends the server; the service waits for it.
    pub fn stop_server(&mut self) {
        self.server = None;
    }

    /// Starts the server again on the same port.
    pub fn start_server(&mut self) {
        self.server = Some(start_server(&self.directory, self.port));
    }

    /// The section of a configuration that follows it.
    pub fn section(&self) -> String {
        format!(
            "config nats 'nats'\n\toption server '127.0.0.1'\n\toption port '{}'\n\toption client_name '{LOGIN}'\n\
             \toption client_pass '{LOGIN}'\n\toption hostname 'router'\n",
            self.port
        )
    }
}

fn start_server(directory: &TempDir, port: u16) -> Proc {
    let file = directory.path().join("nats.conf");
    let text = format!(
        "listen: 127.0.0.1:{port}\nauthorization {{ users: [\n  {{ user: {LOGIN}, password: {LOGIN} }}\n  \
         {{ user: service, password: service }}\n] }}\n"
    );
    std::fs::write(&file, text).expect("the server's configuration is written");
    let mut server = Proc::spawn(Command::new("nats-server").arg("-c").arg(&file));
    wait_until(ANSWER, "nats-server listens", || {
        assert!(server.is_running(), "nats-server ended:\n{}", server.stderr());
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    server
}

/// The service's program, built once a run: an end-to-end test builds no example by itself.
pub fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--example", "diswall_service"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        // What cargo has set for this test would make build scripts believe that something changed.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO_PKG_") || name.to_string_lossy().starts_with("CARGO_MANIFEST_")
            {
                build.env_remove(name);
            }
        }
        output_of(&mut build).unwrap_or_else(|error| panic!("{error}"));
        let own = std::env::current_exe().expect("the test's own path");
        let profile = own.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps/e2e-…");
        profile.join("examples/diswall_service")
    })
}
