//! Signatures of what routers fetch: of opkg's index in the form of usign (which is signify's), of apk's in a block of
//! its own. Keys are never in the checkout: whoever releases names their directory. Called by `package` and `release`.

use std::path::{Path, PathBuf};

use super::{adb, tools};
use crate::command::{command, run};
use crate::{Result, setup};

/// Where the two secret keys are.
pub struct Keys {
    usign: PathBuf,
    apk: PathBuf,
}

/// Signs a file with a key. openssl takes part of a signature from chance, and so two builds would not be the same;
/// here it comes from the key and the content (RFC 6979), and who verifies cannot tell.
const DETERMINISTIC: &str = "\
import hashlib, sys
from ecdsa import SigningKey, util
key = SigningKey.from_pem(open(sys.argv[1]).read(), hashlib.sha512)
content = open(sys.argv[2], 'rb').read()
sys.stdout.buffer.write(key.sign_deterministic(content, sigencode=util.sigencode_der))
";

/// apk's number of SHA-512.
const SHA512: u8 = 4;

/// Bytes of a digest by which apk knows a key.
const ID: usize = 16;

/// Bytes of a point on P-256, uncompressed: how an EC key's public half ends.
const POINT: usize = 65;

impl Keys {
    /// The keys of a directory: `usign.sec` and `apk.pem`.
    pub fn of(directory: &str) -> Result<Keys> {
        setup::ensure(&[setup::SIGN])?;
        let key = |name: &str| {
            let path = std::path::absolute(Path::new(directory).join(name)).map_err(|error| error.to_string())?;
            if path.is_file() { Ok(path) } else { Err(format!("{}: no such key; see CONTRIBUTING.md", path.display())) }
        };
        Ok(Keys { usign: key("usign.sec")?, apk: key("apk.pem")? })
    }

    /// Writes `FILE.sig`, as `usign -V` and opkg look for it.
    pub fn sign_for_opkg(&self, file: &Path) -> Result<()> {
        let mut signify = command("signify-openbsd", &["-S", "-s"]);
        run(signify.arg(&self.usign).arg("-m").arg(file).arg("-x").arg(format!("{}.sig", file.display())))
    }

    /// The block that follows the one with `content`, in a file of this schema.
    pub fn sign_for_apk(&self, schema: &[u8; 4], content: &[u8]) -> Result<Vec<u8>> {
        let key = self.apk.to_string_lossy();
        let public = tools::output_of(&mut command("openssl", &["pkey", "-in", &key, "-pubout", "-outform", "DER"]))?;
        let point = public.len().checked_sub(POINT).and_then(|start| public.get(start..));
        let point = point.filter(|point| point.first() == Some(&4)).ok_or_else(|| format!("{key}: no key on P-256"))?;
        let mut header = vec![0, SHA512];
        header.extend(&tools::sha512(point)?[..ID]);
        let signed = [schema.as_slice(), &header, &tools::sha512(content)?].concat();
        let signature = tools::filtered(&signed, "/usr/bin/python3", &["-c", DETERMINISTIC, &key])?;
        Ok(adb::signature(&[header, signature].concat()))
    }
}
