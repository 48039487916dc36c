//! NKEY: a login proves itself by signing what the server made up, so that no password crosses the wire.
//!
//! The key's seed is a line `SU…` in a file, as `nk -gen user` and `diswall-hub user add` write it: base32 of two
//! bytes that say what it is, 32 of the seed, and a CRC-16. Only `transport` calls it. The traffic itself stays
//! readable: for that there is TLS.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};

use crate::feed::fetch;
use crate::letters::encode;

/// Longest file that is read, in bytes.
const FILE_MAX: u64 = 4096;
/// What the bytes of a user's seed and of a user's public key begin with.
const SEED: [u8; 2] = [149, 0];
const PUBLIC: u8 = 160;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A user's key, as RFC 8032 makes it of the seed. Not `ed25519-dalek`, which costs a router 75 KB, most of it for its
/// SHA-512; the arithmetic is linked already, for CURVE.
pub struct Nkey {
    scalar: Scalar,
    /// What makes a signature's secret number, beside the message.
    prefix: [u8; 32],
    public: [u8; 32],
}

impl Nkey {
    /// Reads the file of `option nkey_file`.
    ///
    /// # Errors
    /// Why there is no key in it, as a sentence that does not repeat what is in it.
    pub fn read(path: &Path) -> Result<Nkey, String> {
        let failed = |what: &dyn std::fmt::Display| format!("option nkey_file: {}: {what}", path.display());
        let file = fetch::open(path).map_err(|error| failed(&error))?;
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
        if !whole || key.len() != 32 {
            return None;
        }
        let [scalar, prefix] = halves(&sha512(&[key]));
        let scalar = Scalar::from_bytes_mod_order(clamp_integer(scalar));
        Some(Nkey { scalar, prefix, public: EdwardsPoint::mul_base(&scalar).compress().to_bytes() })
    }

    /// The public key, `U…`: what the server knows the login by.
    pub fn public(&self) -> String {
        let mut bytes = vec![PUBLIC];
        bytes.extend_from_slice(&self.public);
        let check = crc16(&bytes).to_le_bytes();
        bytes.extend_from_slice(&check);
        encode(&bytes, BASE32, 5)
    }

    /// The signature of what the server made up, as it is written to it.
    pub fn sign(&self, nonce: &str) -> String {
        let number = |parts: &[&[u8]]| Scalar::from_bytes_mod_order_wide(&sha512(parts));
        let secret = number(&[&self.prefix, nonce.as_bytes()]);
        let point = EdwardsPoint::mul_base(&secret).compress().to_bytes();
        let challenge = number(&[&point, &self.public, nonce.as_bytes()]);
        let proof = secret + challenge * self.scalar;
        encode(&[point, proof.to_bytes()].concat(), BASE64, 6)
    }
}

fn halves(bytes: &[u8; 64]) -> [[u8; 32]; 2] {
    let mut halves = [[0; 32]; 2];
    for (half, part) in halves.iter_mut().zip(bytes.chunks_exact(32)) {
        half.copy_from_slice(part);
    }
    halves
}

/// SHA-512 (FIPS 180-4) of these parts, one after the other. As small as it can be: a log-in takes five of them.
fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    let mut bytes = parts.concat();
    let bits = 8 * bytes.len() as u128;
    bytes.push(0x80);
    bytes.resize((bytes.len() + 16).next_multiple_of(128) - 16, 0);
    bytes.extend_from_slice(&bits.to_be_bytes());
    let mut state = SHA512_START;
    for block in bytes.chunks_exact(128) {
        sha512_block(&mut state, block);
    }
    let mut hash = [0; 64];
    for (out, word) in hash.chunks_exact_mut(8).zip(state) {
        out.copy_from_slice(&word.to_be_bytes());
    }
    hash
}

fn sha512_block(state: &mut [u64; 8], block: &[u8]) {
    // The last sixteen words of the schedule, the oldest at its place by number.
    let mut words = [0_u64; 16];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(8)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (round, constant) in SHA512_ROUNDS.iter().enumerate() {
        let at = |behind: usize| words.get((round + behind) % 16).copied().unwrap_or_default();
        let spread = |x: u64, one: u32, two: u32, by: u32| x.rotate_right(one) ^ x.rotate_right(two) ^ x >> by;
        let word = if round < 16 {
            at(0)
        } else {
            let sum = at(0).wrapping_add(spread(at(1), 1, 8, 7)).wrapping_add(at(9));
            sum.wrapping_add(spread(at(14), 19, 61, 6))
        };
        if let Some(place) = words.get_mut(round % 16) {
            *place = word;
        }
        let turn = |x: u64, by: [u32; 3]| by.iter().fold(0, |sum, by| sum ^ x.rotate_right(*by));
        let chosen = e & f ^ !e & g;
        let one = h.wrapping_add(turn(e, [14, 18, 41])).wrapping_add(chosen).wrapping_add(*constant).wrapping_add(word);
        let two = turn(a, [28, 34, 39]).wrapping_add(a & b ^ a & c ^ b & c);
        (h, g, f, e) = (g, f, e, d.wrapping_add(one));
        (d, c, b, a) = (c, b, a, one.wrapping_add(two));
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(add);
    }
}

/// Of the square roots of the first eight primes, what is behind the point.
const SHA512_START: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// Likewise of the cube roots of the first eighty.
const SHA512_ROUNDS: [u64; 80] = [
    0x428a_2f98_d728_ae22,
    0x7137_4491_23ef_65cd,
    0xb5c0_fbcf_ec4d_3b2f,
    0xe9b5_dba5_8189_dbbc,
    0x3956_c25b_f348_b538,
    0x59f1_11f1_b605_d019,
    0x923f_82a4_af19_4f9b,
    0xab1c_5ed5_da6d_8118,
    0xd807_aa98_a303_0242,
    0x1283_5b01_4570_6fbe,
    0x2431_85be_4ee4_b28c,
    0x550c_7dc3_d5ff_b4e2,
    0x72be_5d74_f27b_896f,
    0x80de_b1fe_3b16_96b1,
    0x9bdc_06a7_25c7_1235,
    0xc19b_f174_cf69_2694,
    0xe49b_69c1_9ef1_4ad2,
    0xefbe_4786_384f_25e3,
    0x0fc1_9dc6_8b8c_d5b5,
    0x240c_a1cc_77ac_9c65,
    0x2de9_2c6f_592b_0275,
    0x4a74_84aa_6ea6_e483,
    0x5cb0_a9dc_bd41_fbd4,
    0x76f9_88da_8311_53b5,
    0x983e_5152_ee66_dfab,
    0xa831_c66d_2db4_3210,
    0xb003_27c8_98fb_213f,
    0xbf59_7fc7_beef_0ee4,
    0xc6e0_0bf3_3da8_8fc2,
    0xd5a7_9147_930a_a725,
    0x06ca_6351_e003_826f,
    0x1429_2967_0a0e_6e70,
    0x27b7_0a85_46d2_2ffc,
    0x2e1b_2138_5c26_c926,
    0x4d2c_6dfc_5ac4_2aed,
    0x5338_0d13_9d95_b3df,
    0x650a_7354_8baf_63de,
    0x766a_0abb_3c77_b2a8,
    0x81c2_c92e_47ed_aee6,
    0x9272_2c85_1482_353b,
    0xa2bf_e8a1_4cf1_0364,
    0xa81a_664b_bc42_3001,
    0xc24b_8b70_d0f8_9791,
    0xc76c_51a3_0654_be30,
    0xd192_e819_d6ef_5218,
    0xd699_0624_5565_a910,
    0xf40e_3585_5771_202a,
    0x106a_a070_32bb_d1b8,
    0x19a4_c116_b8d2_d0c8,
    0x1e37_6c08_5141_ab53,
    0x2748_774c_df8e_eb99,
    0x34b0_bcb5_e19b_48a8,
    0x391c_0cb3_c5c9_5a63,
    0x4ed8_aa4a_e341_8acb,
    0x5b9c_ca4f_7763_e373,
    0x682e_6ff3_d6b2_b8a3,
    0x748f_82ee_5def_b2fc,
    0x78a5_636f_4317_2f60,
    0x84c8_7814_a1f0_ab72,
    0x8cc7_0208_1a64_39ec,
    0x90be_fffa_2363_1e28,
    0xa450_6ceb_de82_bde9,
    0xbef9_a3f7_b2c6_7915,
    0xc671_78f2_e372_532b,
    0xca27_3ece_ea26_619c,
    0xd186_b8c7_21c0_c207,
    0xeada_7dd6_cde0_eb1e,
    0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba,
    0x0a63_7dc5_a2c8_98a6,
    0x113f_9804_bef9_0dae,
    0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84,
    0x32ca_ab7b_40c7_2493,
    0x3c9e_be0a_15c9_bebc,
    0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6,
    0x597f_299c_fc65_7e2a,
    0x5fcb_6fab_3ad6_faec,
    0x6c44_198c_4a47_5817,
];

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

    /// A pipe would be waited for, by the whole daemon.
    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        assert!(Nkey::read(&pipe).err().unwrap().contains("it is no file"));
    }

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
    fn sha512_as_the_standard_has_it() {
        let hex = |parts: &[&[u8]]| sha512(parts).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            hex(&[]),
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
             47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
        );
        assert_eq!(
            hex(&[b"a", b"bc"]),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
        assert_eq!(
            hex(&[&[b'a'; 111]]),
            "fa9121c7b32b9e01733d034cfc78cbf67f926c7ed83e82200ef8681819692176\
             0b4beff48404df811b953828274461673c68d04e297b0eb7b2b4d60fc6b566a2"
        );
        assert_eq!(
            hex(&[&[b'a'; 112]]),
            "c01d080efd492776a1c43bd23dd99d0a2e626d481e16782e75d54c2503b5dc32\
             bd05f0f1ba33e568b88fd2d970929b719ecbb152f58f130a407c8830604b70ca"
        );
        assert_eq!(
            hex(&[&[b'a'; 1000]]),
            "67ba5535a46e3f86dbfbed8cbbaf0125c76ed549ff8b0b9e03e0c88cf90fa634\
             fa7b12b47d77b694de488ace8d9a65967dc96df599727d3292a8d9d447709c97"
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
