//! An authority of a test's own, and what it certifies.

use std::fs;
use std::path::{Path, PathBuf};

use super::process::run;

/// Signs certificates; its own is in `ca.pem`.
pub struct Authority(PathBuf);

impl Authority {
    /// A new one in this directory.
    pub fn new(place: &Path) -> Authority {
        let authority = Authority(place.to_path_buf());
        let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority"];
        run(
            "openssl",
            &[&request[..], &["-keyout", &authority.file("ca.key"), "-out", &authority.file("ca.pem")]].concat(),
        );
        authority
    }

    /// Its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// A certificate for `name` (`IP:…`, `DNS:…`), with its key in one file.
    pub fn certify(&self, name: &str) -> String {
        self.certify_as("/CN=sentinel", name)
    }

    /// As [`Authority::certify`], for this subject (`/OU=…/CN=…`).
    pub fn certify_as(&self, subject: &str, name: &str) -> String {
        let (key, chain) = (self.file("server.key"), self.file(&format!("{}.pem", name.replace(':', "-"))));
        let request = self.file("request");
        let asked = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", &key, "-out", &request];
        run("openssl", &asked);
        let names = self.file("names");
        fs::write(&names, format!("subjectAltName={name}")).expect("a file");
        let (ca, ca_key) = (self.file("ca.pem"), self.file("ca.key"));
        let sign = ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", "2"];
        run("openssl", &[&sign[..], &["-extfile", &names, "-out", &chain]].concat());
        let both = fs::read_to_string(&chain).expect("the certificate") + &fs::read_to_string(&key).expect("the key");
        fs::write(&chain, both).expect("a file");
        chain
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}
