//! A list on disk, packed: distances between entries as short numbers, so that 120,000 addresses take 250 KB. Whole
//! or not at all, like every file of the daemon's; a damaged one is no list.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;

use crate::feed::fetch::Validators;
use crate::limiter;
use crate::model::entries::{ARRAYS, Shape};
use crate::model::{Builder, Entries, Range};
use crate::own;
use crate::whole_file::{self, Crc};

/// What the file begins with: what it is, and the version of its form. The first knew no texts: what such a file has
/// is in force, and the list is asked for anew even if it has not changed.
const MAGIC: [&[u8; 8]; 2] = [b"dwlist\x00\x01", b"dwlist\x00\x02"];

/// A file that is longer is none of ours: 4,194,304 ranges of IPv6 take less.
const MOST: u64 = 160 << 20;

/// Longest text that a file has.
pub const TEXT_MAX: usize = 1024;

/// What is known of a list beside its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Unix seconds at which it was fetched, or seen to be unchanged: in the file, or later its date ([`date()`]).
    pub fetched: u64,
    /// From where: another address's list is not this one.
    pub origin: String,
    /// By what its server tells whether it has changed.
    pub validators: Validators,
}

impl Facts {
    /// Whether they tell that it is the same list.
    pub fn is_same(&self, other: &Facts) -> bool {
        self.validators == other.validators && !self.validators.are_none()
    }
}

/// As [`write()`], while others have their turn; what the owner hears of it when it cannot be written.
pub async fn keep(path: PathBuf, facts: Facts, entries: Arc<Entries>) -> Option<String> {
    match spawn_blocking(move || write(&path, &facts, &entries)).await {
        Ok(Err(error)) => Some(format!("it cannot be kept over a restart: {error}")),
        _ => None,
    }
}

/// Where a list of that name is.
pub fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("list.{name}"))
}

/// Whether a list is kept in that file.
fn is_kept(file: &Path) -> bool {
    let mut magic = [0; 8];
    file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"list."))
        && fs::symlink_metadata(file).is_ok_and(|found| found.is_file())
        && File::open(file).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && MAGIC.contains(&&magic)
}

/// Takes away what is kept there of lists that are not kept there any more: else it would stay on flash, or in the
/// router's memory, until somebody finds it. Whatever else has such a name is not ours.
pub fn clear(directory: &Path, wanted: &[PathBuf]) {
    if own::check(directory).is_err() {
        return;
    }
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|found| found.path()) {
        if is_kept(&path)
            && !wanted.contains(&path)
            && let Err(error) = fs::remove_file(&path)
        {
            limiter::warn(("keep", "list"), || {
                format!("{} is no longer used, and cannot be removed: {error}", path.display())
            });
        }
    }
}

/// Writes it.
///
/// # Errors
/// Those of the file system, with the path in them.
pub fn write(path: &Path, facts: &Facts, entries: &Entries) -> io::Result<()> {
    whole_file::replace(path, &mut |file: &mut File| {
        let mut out = Output { out: io::BufWriter::new(&mut *file), crc: Crc::new() };
        out.bytes(MAGIC[1])?;
        out.number(facts.fetched.into())?;
        let Validators { etag, modified } = &facts.validators;
        let texts = [&facts.origin, etag.as_deref().unwrap_or_default(), modified.as_deref().unwrap_or_default()];
        texts.into_iter().try_for_each(|text| out.text(text))?;
        out.number(entries.texts().len() as u128)?;
        entries.texts().iter().try_for_each(|text| out.text(text))?;
        for (part, family) in ARRAYS {
            let pieces = || entries.pieces(part, family, 0, [&[]; 2]);
            out.number(pieces().count() as u128)?;
            let mut before = 0;
            for (first, last) in pieces() {
                out.number(first - before)?;
                if part == Shape::Nets {
                    out.number(last - first)?;
                } else if !entries.texts().is_empty() {
                    out.number(entries.tag(Range::of(family, first, last).first).into())?;
                }
                before = last;
            }
        }
        let crc = out.crc.value();
        out.out.write_all(&crc.to_be_bytes())?;
        out.out.flush()?;
        drop(out);
        date(file, facts.fetched);
        Ok(())
    })
}

/// Says by its date that it was good at that time. Where that cannot be said it was when it was written.
pub fn date(file: &File, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    let _ = time.map(|time| file.set_modified(time));
}

/// What is there; `None`: nothing that can be used, or more than there may be, or others could have put it there.
pub fn read(path: &Path, most: u64) -> Option<(Facts, Entries)> {
    own::check(path.parent()?).ok()?;
    let file = File::open(path).ok()?;
    let seen = u64::try_from(file.metadata().ok()?.mtime()).unwrap_or_default();
    let mut input = Input { input: io::BufReader::new(file.take(MOST)), crc: Crc::new() };
    let mut magic = [0; 8];
    input.bytes(&mut magic)?;
    let version = MAGIC.iter().position(|known| **known == magic)?;
    let fetched = u64::try_from(input.number()?).ok()?.max(seen);
    let (origin, etag, modified) = (input.text()?, input.text()?, input.text()?);
    let texts = if version == 0 { 0 } else { usize::try_from(input.number()?).ok()? };
    if texts > usize::from(u16::MAX) {
        return None;
    }
    let mut builder = Builder::with_texts(most, texts);
    for _ in 0..texts {
        builder.text(&input.text()?);
    }
    for (part, family) in ARRAYS {
        let mut before = 0u128;
        for _ in 0..input.number()? {
            let first = before.checked_add(input.number()?)?;
            before = if part == Shape::Nets { first.checked_add(input.number()?)? } else { first };
            let tag = if part == Shape::Hosts && texts > 0 { u16::try_from(input.number()?).ok()? } else { 0 };
            if before > family.max() || usize::from(tag) > texts {
                return None;
            }
            builder.tagged(Range::of(family, first, before), tag);
        }
    }
    let crc = input.crc.value();
    let mut kept = [0; 4];
    input.input.read_exact(&mut kept).ok()?;
    let entries = builder.finish().ok().filter(|_| kept == crc.to_be_bytes())?;
    let some = |text: String| Some(text).filter(|text| !text.is_empty() && version > 0);
    Some((Facts { fetched, origin, validators: Validators { etag: some(etag), modified: some(modified) } }, entries))
}

struct Output<'a> {
    out: io::BufWriter<&'a mut File>,
    crc: Crc,
}

impl Output<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.add(bytes);
        self.out.write_all(bytes)
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let text = text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or_default();
        self.number(text.len() as u128)?;
        self.bytes(text.as_bytes())
    }

    fn number(&mut self, mut number: u128) -> io::Result<()> {
        while number > 0x7f {
            self.bytes(&[number as u8 | 0x80])?;
            number >>= 7;
        }
        self.bytes(&[number as u8])
    }
}

struct Input {
    input: io::BufReader<io::Take<File>>,
    crc: Crc,
}

impl Input {
    fn bytes(&mut self, into: &mut [u8]) -> Option<()> {
        self.input.read_exact(into).ok()?;
        self.crc.add(into);
        Some(())
    }

    fn number(&mut self) -> Option<u128> {
        let mut number = 0u128;
        for shift in (0..128).step_by(7) {
            let mut byte = [0];
            self.bytes(&mut byte)?;
            number |= u128::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok().filter(|length| *length <= TEXT_MAX)?;
        let mut bytes = vec![0; length];
        self.bytes(&mut bytes)?;
        String::from_utf8(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::model::Family;

    fn list(ranges: &[(bool, u128, u128)]) -> Entries {
        let mut builder = Builder::new(u64::MAX);
        for &(v6, first, length) in ranges {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let first = first & family.max();
            builder.take(Range::of(family, first, first.saturating_add(length).min(family.max())));
        }
        builder.finish().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What was written is read; no part of it, and none with a byte changed, is taken for it.
        #[test]
        fn a_list_comes_back_or_not_at_all(
            ranges in prop::collection::vec((any::<bool>(), any::<u128>(), prop_oneof![Just(0u128), 0u128..9]), 0..40),
            (cut, flip) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let directory = tempfile::Builder::new().prefix("diswall-").tempdir().unwrap();
            let path = path(directory.path(), "one");
            let entries = list(&ranges);
            let facts = Facts { fetched: 7, origin: "https://example.org/ž".into(), validators: Validators { etag: Some("\"a\"".into()), modified: None } };
            write(&path, &facts, &entries).unwrap();
            prop_assert_eq!(read(&path, u64::MAX), Some((facts, entries.clone())));
            prop_assert_eq!(read(&path, entries.size().room().saturating_sub(1)).is_none(), entries.size().room() > 0);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..cut.index(bytes.len())]).unwrap();
            prop_assert_eq!(read(&path, u64::MAX), None);
            let mut bytes = bytes;
            let at = flip.index(bytes.len());
            bytes[at] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            prop_assert_eq!(read(&path, u64::MAX), None);
        }
    }

    #[test]
    fn what_is_kept_of_a_list_goes_with_it_and_nothing_else_does() {
        let directory = tempfile::Builder::new().prefix("diswall-").tempdir().unwrap();
        let facts = || Facts { fetched: 7, origin: String::new(), validators: Validators::default() };
        let all = ["wanted", "gone"].map(|name| path(directory.path(), name));
        for path in &all {
            write(path, &facts(), &list(&[(false, 1, 0)])).unwrap();
        }
        let owners = directory.path().join("list.txt");
        std::fs::write(&owners, "192.0.2.1\n").unwrap();
        clear(directory.path(), &all[..1]);
        assert!(all[0].exists() && !all[1].exists() && owners.exists());
    }

    /// As [`MAGIC`] says of the first form.
    #[test]
    fn a_file_of_the_first_form_is_taken_and_its_list_asked_for_anew() {
        let directory = tempfile::Builder::new().prefix("diswall-").tempdir().unwrap();
        let path = path(directory.path(), "old");
        let mut file = MAGIC[0].to_vec();
        file.extend([7, 1, b'x', 3, b'"', b'a', b'"', 0]);
        // 192.0.2.1 and 192.0.2.3, no networks, nothing of IPv6.
        file.extend([2, 0x81, 0x84, 0x80, 0x80, 0x0c, 2, 0, 0, 0]);
        let mut crc = Crc::new();
        crc.add(&file);
        file.extend(crc.value().to_be_bytes());
        std::fs::write(&path, &file).unwrap();
        date(&File::open(&path).unwrap(), 7);
        let (facts, entries) = read(&path, u64::MAX).unwrap();
        assert_eq!(facts, Facts { fetched: 7, origin: "x".into(), validators: Validators::default() });
        assert!(entries.find([192, 0, 2, 3].into()).is_some() && entries.size().hosts4 == 2);
        assert_eq!(entries.text([192, 0, 2, 3].into()), None);
    }

    #[test]
    fn texts_come_back_with_their_addresses() {
        let directory = tempfile::Builder::new().prefix("diswall-").tempdir().unwrap();
        let path = path(directory.path(), "greylist");
        for count in [1u32, 255, 300] {
            let mut builder = Builder::with_texts(u64::MAX, 1000);
            for n in 0..2000u32 {
                let tag = if n % 3 == 0 { 0 } else { builder.text(&format!("tag {}", n % count)) };
                builder.tagged(Range::of(Family::V4, (7 * n).into(), (7 * n).into()), tag);
                builder.tagged(Range::of(Family::V6, (9 * n).into(), (9 * n).into()), tag);
            }
            builder.tagged(Range::of(Family::V4, 100_000, 100_005), 1);
            let entries = builder.finish().unwrap();
            write(&path, &Facts::default(), &entries).unwrap();
            assert_eq!(read(&path, u64::MAX), Some((Facts::default(), entries.clone())));
            for n in 0..2000u32 {
                let text = (n % 3 != 0).then(|| format!("tag {}", n % count));
                assert_eq!(entries.text(std::net::Ipv4Addr::from_bits(7 * n).into()), text.as_deref());
            }
            assert_eq!(entries.text([0, 1, 134, 162].into()), None, "a network has none");
        }
    }

    #[test]
    fn a_hundred_thousand_addresses_are_packed() {
        let directory = tempfile::Builder::new().prefix("diswall-").tempdir().unwrap();
        let path = path(directory.path(), "many");
        let entries = list(&(0..120_000u128).map(|n| (false, n * 35_000 + n * n % 997, 0)).collect::<Vec<_>>());
        write(&path, &Facts::default(), &entries).unwrap();
        assert_eq!(read(&path, u64::MAX).map(|(_, entries)| entries.size().hosts4), Some(120_000));
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length < 400_000, "{length}");
    }
}
