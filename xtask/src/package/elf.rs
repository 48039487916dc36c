//! Reads of a binary what decides whether a router can start it: processor, loader, needed libraries.
//! Called on every binary before it is packed.

use std::ops::Range;

use super::targets::Target;
use crate::Result;

/// Libraries every router with fw4 has. Whatever else a binary needs would keep it from starting.
const ALLOWED: [&str; 4] = ["libc.so", "libnftnl.so.11", "libmnl.so.0", "libgcc_s.so.1"];

/// Refuses a binary that the target cannot run, with the reason.
pub fn check(binary: &[u8], target: &Target) -> Result<Vec<String>> {
    let elf = Elf::read(binary).ok_or("this is no ELF binary, or a damaged one")?;
    let found = (elf.class, elf.data, elf.machine);
    if found != target.elf {
        return Err(format!(
            "built for another processor: ELF class, data and machine {found:?}, not {:?}",
            target.elf
        ));
    }
    let loader = elf.loader().ok_or("statically linked: it has no loader")?;
    if loader != target.loader {
        return Err(format!("wants the loader {loader}; the router has {}", target.loader));
    }
    let needed = elf.needed().ok_or("its dynamic section cannot be read")?;
    if let Some(library) = needed.iter().find(|library| !ALLOWED.contains(&library.as_str())) {
        return Err(format!("needs {library}; allowed are {}", ALLOWED.join(", ")));
    }
    Ok(needed)
}

/// What the binary or library is to be loaded with: its loader, if it names one, and the libraries it needs.
pub fn links(binary: &[u8]) -> Option<(Option<String>, Vec<String>)> {
    let elf = Elf::read(binary)?;
    Some((elf.loader(), elf.needed()?))
}

/// The binary without what is never loaded: section headers, names, MIPS's procedure descriptors (140 KB).
/// OpenWrt's own sstrip leaves the same.
pub fn loaded_part(binary: &[u8]) -> Option<Vec<u8>> {
    let elf = Elf::read(binary)?;
    let end = elf.segments.iter().map(|segment| segment.offset.saturating_add(segment.size)).max()?;
    let mut part = binary.get(..usize::try_from(end).ok()?)?.to_vec();
    // Where the section headers are (e_shoff), and from e_shentsize on how long and how many they are.
    let (offset, width, counts) = if elf.class == 2 { (40, 8, 58) } else { (32, 4, 46) };
    part.get_mut(offset..offset + width)?.fill(0);
    part.get_mut(counts..counts + 6)?.fill(0);
    Some(part)
}

/// Program header types and dynamic tags, as the ELF specification numbers them.
const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;

struct Elf<'a> {
    bytes: &'a [u8],
    class: u8,
    data: u8,
    machine: u16,
    segments: Vec<Segment>,
}

struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

impl<'a> Elf<'a> {
    fn read(bytes: &'a [u8]) -> Option<Elf<'a>> {
        let [0x7f, b'E', b'L', b'F', class @ 1..=2, data @ 1..=2, ..] = *bytes else { return None };
        let mut elf = Elf { bytes, class, data, machine: 0, segments: Vec::new() };
        elf.machine = elf.number(18, 2)? as u16;
        let wide = class == 2;
        let (table, size, count) = if wide { (32, 54, 56) } else { (28, 42, 44) };
        let (table, size, count) = (elf.word(table)?, elf.number(size, 2)?, elf.number(count, 2)?);
        // Where offset, address and size in the file stand in a program header.
        let (offset, address, length) = if wide { (8, 16, 32) } else { (4, 8, 16) };
        for index in 0..count {
            let header = table + index * size;
            let segment = Segment {
                kind: elf.number(header, 4)?,
                offset: elf.word(header + offset)?,
                address: elf.word(header + address)?,
                size: elf.word(header + length)?,
            };
            elf.segments.push(segment);
        }
        Some(elf)
    }

    fn loader(&self) -> Option<String> {
        self.text(self.segment(PT_INTERP)?.offset)
    }

    fn needed(&self) -> Option<Vec<String>> {
        let dynamic = self.segment(PT_DYNAMIC)?;
        let width = if self.class == 2 { 8 } else { 4 };
        let entries: Option<Vec<(u64, u64)>> = (0..dynamic.size / (2 * width))
            .map(|index| dynamic.offset + index * 2 * width)
            .map(|at| Some((self.word(at)?, self.word(at + width)?)))
            .collect();
        let entries = entries?;
        let names = entries.iter().find(|(tag, _)| *tag == DT_STRTAB).map(|(_, address)| *address)?;
        let names = self.offset_of(names)?;
        entries.iter().filter(|(tag, _)| *tag == DT_NEEDED).map(|(_, name)| self.text(names + name)).collect()
    }

    fn segment(&self, kind: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.kind == kind)
    }

    /// Where in the file the byte is that gets this address in memory.
    fn offset_of(&self, address: u64) -> Option<u64> {
        let holds = |segment: &&Segment| {
            segment.kind == PT_LOAD && address.checked_sub(segment.address).is_some_and(|into| into < segment.size)
        };
        self.segments.iter().find(holds).map(|segment| address - segment.address + segment.offset)
    }

    fn word(&self, at: u64) -> Option<u64> {
        self.number(at, if self.class == 2 { 8 } else { 4 })
    }

    fn number(&self, at: u64, width: u64) -> Option<u64> {
        let range: Range<usize> = usize::try_from(at).ok()?..usize::try_from(at.checked_add(width)?).ok()?;
        let bytes = self.bytes.get(range)?.iter().map(|byte| u64::from(*byte));
        let shifted = |number: u64, byte: u64| number << 8 | byte;
        Some(if self.data == 1 { bytes.rev().fold(0, shifted) } else { bytes.fold(0, shifted) })
    }

    fn text(&self, at: u64) -> Option<String> {
        let rest = self.bytes.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(rest.get(..end)?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::targets::TARGETS;

    #[test]
    fn reads_the_program_it_is_part_of() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = Elf::read(&bytes).unwrap();
        assert!(elf.loader().unwrap().contains("/ld"), "{:?}", elf.loader());
        assert!(elf.needed().unwrap().iter().any(|library| library.starts_with("libc.")), "{:?}", elf.needed());
    }

    #[test]
    fn what_is_loaded_of_a_program_still_runs() {
        use std::os::unix::fs::PermissionsExt;
        let bytes = std::fs::read("/bin/true").unwrap();
        let part = loaded_part(&bytes).unwrap();
        assert!(part.len() < bytes.len());
        let path = std::env::temp_dir().join(format!("diswall-loaded-part-{}", std::process::id()));
        std::fs::write(&path, part).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let ran = std::process::Command::new(&path).status();
        std::fs::remove_file(&path).unwrap();
        assert!(ran.unwrap().success());
    }

    #[test]
    fn refuses_what_a_router_cannot_start() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for target in &TARGETS {
            assert!(check(&bytes, target).is_err(), "a program of this machine passes for {}", target.arch);
        }
        assert!(check(b"#!/bin/sh\n", &TARGETS[0]).unwrap_err().contains("no ELF"));
        for length in 0..bytes.len().min(512) {
            let _ = Elf::read(&bytes[..length]).map(|elf| (elf.loader(), elf.needed()));
        }
    }
}
