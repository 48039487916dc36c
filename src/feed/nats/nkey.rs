//! NKEY: a login proves itself by signing what the server made up, so that no password crosses the wire.
//!
//! The key's seed is a line `SU…` in a file, as `nk -gen user` and `diswall-hub user add` write it: base32 of two
//! bytes that say what it is, 32 of the seed, and a CRC-16. Only `transport` calls it. The traffic itself stays
//! readable: for that there is TLS.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey};

/// Longest file that is read, in bytes.
const FILE_MAX: u64 = 4096;
/// What the bytes of a user's seed and of a user's public key begin with.
const SEED: [u8; 2] = [149, 0];
const PUBLIC: u8 = 160;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A user's key.
pub struct Nkey(SigningKey);

impl Nkey {
    /// Reads the file of `option nkey_file`.
    ///
    /// # Errors
    /// Why there is no key in it, as a sentence that does not repeat what is in it.
    pub fn read(path: &Path) -> Result<Nkey, String> {
        let failed = |what: &dyn std::fmt::Display| format!("option nkey_file: {}: {what}", path.display());
        let file = File::open(path).map_err(|error| failed(&error))?;
        let mode = file.metadata().map_err(|error| failed(&error))?.permissions().mode();
        if mode & 0o007 != 0 {
            return Err(failed(&"everybody may read or change it; chmod 0640 it"));
        }
        let mut text = String::new();
        file.take(FILE_MAX).read_to_string(&mut text).map_err(|error| failed(&error))?;
        let seed = text.lines().map(str::trim).find(|line| line.starts_with('S'));
        let key = seed.and_then(Nkey::parse);
        key.ok_or_else(|| failed(&"no line of it is the seed of a user's key, which begins with SU"))
    }

    fn parse(seed: &str) -> Option<Nkey> {
        let bytes = from_base32(seed)?;
        let (content, check) = bytes.split_at_checked(34)?;
        let key = content.strip_prefix(&SEED)?;
        let whole = crc16(content).to_le_bytes() == check;
        whole.then_some(())?;
        Some(Nkey(SigningKey::from_bytes(key.try_into().ok()?)))
    }

    /// The public key, `U…`: what the server knows the login by.
    pub fn public(&self) -> String {
        let mut bytes = vec![PUBLIC];
        bytes.extend_from_slice(self.0.verifying_key().as_bytes());
        let check = crc16(&bytes).to_le_bytes();
        bytes.extend_from_slice(&check);
        encode(&bytes, BASE32, 5)
    }

    /// The signature of what the server made up, as it is written to it.
    pub fn sign(&self, nonce: &str) -> String {
        encode(&self.0.sign(nonce.as_bytes()).to_bytes(), BASE64, 6)
    }
}

/// Base32 or base64 without padding: `bits` of the bytes a letter.
fn encode(bytes: &[u8], letters: &[u8], bits: u32) -> String {
    let (mut text, mut held, mut have) = (String::new(), 0_u32, 0);
    let mut letter = |value: u32| text.push(letters.get(value as usize).copied().unwrap_or(b'?').into());
    for byte in bytes {
        (held, have) = (held << 8 | u32::from(*byte), have + 8);
        while have >= bits {
            have -= bits;
            letter(held >> have & ((1 << bits) - 1));
        }
        held &= (1 << have) - 1;
    }
    if have > 0 {
        letter(held << (bits - have) & ((1 << bits) - 1));
    }
    text
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut held, mut have) = (Vec::with_capacity(36), 0_u32, 0_u32);
    for letter in text.bytes() {
        let value = BASE32.iter().position(|known| *known == letter)?;
        (held, have) = (held << 5 | u32::try_from(value).ok()?, have + 5);
        if have >= 8 {
            have -= 8;
            bytes.push(u8::try_from(held >> have).ok()?);
            held &= (1 << have) - 1;
        }
    }
    (held == 0 && have < 5).then_some(bytes)
}

/// CRC-16 of XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let mut crc = crc ^ u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    /// Made by nats-py's `nkeys`, with the public key that it says.
    const SEED: &str = "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ";
    const PUBLIC: &str = "UB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGJBFE";

    #[test]
    fn a_key_of_another_implementation() {
        let key = Nkey::parse(SEED).expect("a key");
        assert_eq!(key.public(), PUBLIC);
        assert_eq!(
            key.sign("nonce"),
            "IS_uxqvrJEAcKRHwsX89a5su01zbw0I73qspVdU0VgiLMqwzyWHqGS5-kjkFOfeeCyikwCaUmXhxxfXvciycDA"
        );
    }

    #[test]
    fn what_is_no_seed_is_none() {
        for n in 0..SEED.len() {
            let mut other = SEED.to_owned();
            other.replace_range(n..=n, if &SEED[n..=n] == "A" { "B" } else { "A" });
            assert!(Nkey::parse(&other).is_none(), "{n}");
        }
        for text in ["", "S", "SU", PUBLIC, &SEED[..57], &format!("{SEED}A"), "SUÄ", &"S".repeat(4000)] {
            assert!(Nkey::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_file_is_to_be_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nkey");
        let read = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Nkey::read(&path).map(|key| key.public())
        };
        assert_eq!(read(&format!("-----BEGIN USER NKEY SEED-----\n {SEED}\r\n---\n"), 0o600).as_deref(), Ok(PUBLIC));
        assert_eq!(read(SEED, 0o640).as_deref(), Ok(PUBLIC));
        assert!(read(SEED, 0o644).unwrap_err().ends_with("everybody may read or change it; chmod 0640 it"));
        let said = read("SUSECRET\n", 0o600).unwrap_err();
        assert!(said.ends_with("which begins with SU") && !said.contains("SECRET"), "{said}");
        assert!(read(&"x".repeat(1_000_000), 0o600).is_err());
        assert!(Nkey::read(Path::new("/nowhere")).err().unwrap().starts_with("option nkey_file: /nowhere: No such"));
    }
}
