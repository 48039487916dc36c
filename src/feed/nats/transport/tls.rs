//! TLS to a NATS server: TLS 1.3, which every supported one speaks, and nothing older.
//!
//! The accepted authorities are the owner's file or the system's. Only `transport` calls it, and only in
//! programs built with the feature `tls`.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::{ConnectError, Settings, Stream};

/// The stream, encrypted, when the server's certificate is good for its name.
pub(super) async fn encrypt(
    settings: &Settings,
    server: &str,
    address: SocketAddr,
    stream: Box<dyn Stream>,
) -> Result<Box<dyn Stream>, ConnectError> {
    let name = ServerName::try_from(server.to_owned()).map_err(|_| {
        let why = format!("\"{server}\" cannot be the name in a certificate");
        ConnectError::CannotEncrypt(io::Error::new(io::ErrorKind::InvalidInput, why))
    })?;
    let config = client_config(settings).map_err(ConnectError::CannotEncrypt)?;
    let connector = TlsConnector::from(Arc::new(config));
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(cause) => Err(ConnectError::Tls(address, cause)),
    }
}

fn client_config(settings: &Settings) -> io::Result<ClientConfig> {
    let roots = match &settings.ca_file {
        Some(path) => authorities(path)
            .map_err(|cause| io::Error::new(cause.kind(), format!("option ca_file: {}: {cause}", path.display())))?,
        None => system_authorities()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let versions = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(io::Error::other)?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

fn authorities(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&std::fs::read(path)?) {
        certificate.map_err(pem_error).and_then(|it| roots.add(it).map_err(io::Error::other))?;
    }
    if roots.is_empty() { Err(io::Error::other("no certificate in PEM form in it")) } else { Ok(roots) }
}

fn system_authorities() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let causes: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let what = "no certificate authorities on this system (package ca-bundle); name a file in option ca_file";
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{what}: {}", causes.join("; "))));
    }
    Ok(roots)
}

fn pem_error(error: pem::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
