//! Writes tar archives (POSIX ustar) that depend on nothing but their content: everything is root's, in
//! order, with one time for all. Called by `ipk`.

use super::recipe::File;

/// The archive of these files, each parent directory before what is in it; `time` in seconds of Unix time.
pub fn archive(files: &[File], time: u64) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut directories = vec![String::new()];
    directory(&mut archive, "./", time);
    for file in files {
        for (end, _) in file.path.match_indices('/') {
            let parent = &file.path[..end];
            if !directories.iter().any(|known| known == parent) {
                directory(&mut archive, &format!("./{parent}/"), time);
                directories.push(parent.to_owned());
            }
        }
        header(&mut archive, &format!("./{}", file.path), file.mode, file.content.len(), time, b'0');
        archive.extend_from_slice(&file.content);
        pad(&mut archive);
    }
    // Two empty blocks end an archive.
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

const BLOCK: usize = 512;

fn directory(archive: &mut Vec<u8>, name: &str, time: u64) {
    header(archive, name, 0o755, 0, time, b'5');
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
}

fn header(archive: &mut Vec<u8>, name: &str, mode: u32, size: usize, time: u64, kind: u8) {
    assert!(name.len() <= 100, "a path too long for a tar header: {name}");
    let start = archive.len();
    let mut field = |text: &[u8], width: usize| {
        archive.extend_from_slice(text);
        archive.resize(archive.len() + width - text.len(), 0);
    };
    let octal = |number: u64, digits: usize| format!("{number:0digits$o}").into_bytes();
    field(name.as_bytes(), 100);
    field(&octal(mode.into(), 7), 8);
    field(&octal(0, 7), 8); // user
    field(&octal(0, 7), 8); // group
    field(&octal(size as u64, 11), 12);
    field(&octal(time, 11), 12);
    field(b"        ", 8); // the checksum counts as blanks while it is summed up
    field(&[kind], 1);
    field(b"", 100); // link target
    field(b"ustar\x0000", 8);
    field(b"root", 32);
    field(b"root", 32);
    field(b"", BLOCK - 329);
    let sum: u64 = archive[start..].iter().map(|byte| u64::from(*byte)).sum();
    let mut checksum = octal(sum, 6);
    checksum.extend_from_slice(b"\0 ");
    archive[start + 148..start + 156].copy_from_slice(&checksum);
}
