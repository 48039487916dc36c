//! The hub's own CURVE key, by which routers know it. All hubs of a fleet have the same.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use log::warn;
use omq_proto::{CurveKeypair, CurveSecretKey};

use crate::config::{self, Dynfw};

/// Where it is made unless the configuration names another place.
const PLACE: &str = "/etc/diswall-hub/dynfw.key";

/// Reads it.
///
/// # Errors
/// A sentence for the owner.
pub fn read(file: &Path) -> Result<CurveKeypair, String> {
    let told = |error: &dyn std::fmt::Display| format!("[dynfw] key_file: {error}");
    let text = config::secret(file).map_err(|error| format!("{}. `diswall-hub dynfw key` makes one", told(&error)))?;
    // What is wrong with it is not repeated: it is a secret.
    let secret = CurveSecretKey::from_z85(&text)
        .map_err(|_| told(&format_args!("{} holds no CURVE key in Z85", file.display())))?;
    if fs::metadata(file).is_ok_and(|file| file.mode() & 0o007 != 0) {
        warn!("DynFW: everybody on this machine can read {}: chmod 640", file.display());
    }
    Ok(CurveKeypair { public: secret.derive_public(), secret })
}

/// Makes it unless it is there, for the group that may read the configuration; and what the hub and the routers must be
/// told.
///
/// # Errors
/// A sentence for the owner.
pub fn make(config: &Dynfw, configuration: &Path) -> Result<String, String> {
    let file = config.key_file.as_deref().unwrap_or(Path::new(PLACE));
    let told = |error: std::io::Error| format!("{}: {error}", file.display());
    match OpenOptions::new().write(true).create_new(true).mode(0o640).open(file) {
        Ok(made) => fill(made, configuration).map_err(told)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(told(error)),
    }
    let public = read(file)?.public.to_z85();
    let hub = match config.key_file {
        Some(_) => String::new(),
        None => format!(
            "# For the hub's configuration; then: systemctl restart diswall-hub\n[dynfw]\nkey_file = \"{}\"\n\n",
            file.display()
        ),
    };
    Ok(format!(
        "{hub}# For each router, as root; server is the name or address by which it reaches the hubs\nuci set \
         diswall.dynfw=dynfw\nuci set diswall.dynfw.enabled='1'\nuci set diswall.dynfw.server='HUB'\nuci set \
         diswall.dynfw.port='{}'\nuci set diswall.dynfw.server_key='{public}'\nuci set \
         diswall.dynfw.key_url='none'\nuci commit diswall\nservice diswall reload\n",
        config.listen.port()
    ))
}

fn fill(mut file: File, configuration: &Path) -> std::io::Result<()> {
    let keys = CurveKeypair::generate();
    if let Ok(readers) = fs::metadata(configuration) {
        // Whoever is not root makes it for himself.
        let _ = fchown(&file, None, Some(readers.gid()));
    }
    writeln!(file, "{}", keys.secret.to_z85())?;
    file.sync_all()
}
