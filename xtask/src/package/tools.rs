//! Compression and digests, by the programs that every Debian has or `setup` installed. Called by the two
//! package formats and the index.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::Result;
use crate::command::{command, output, shown};

/// How hard to try: what is fetched to a router ten thousand times is worth some seconds once.
#[derive(Clone, Copy)]
pub enum Effort {
    /// zopfli: some 4 % below what `gzip -9` reaches.
    Most,
    /// For what is compressed already.
    Little,
}

/// `content` as a gzip file that holds neither name nor time.
pub fn gzip(content: &[u8], effort: Effort) -> Result<Vec<u8>> {
    match effort {
        Effort::Most => filtered(content, "zopfli", &["-c", "--gzip", "--i15"]),
        Effort::Little => filtered(content, "gzip", &["-c", "-n", "-9"]),
    }
}

/// `content` as a bare deflate stream.
pub fn deflate(content: &[u8]) -> Result<Vec<u8>> {
    filtered(content, "zopfli", &["-c", "--deflate", "--i15"])
}

/// SHA-256 in hexadecimal.
pub fn sha256(content: &[u8]) -> Result<String> {
    let printed = filtered(content, "sha256sum", &["--"])?;
    let digest: Vec<u8> = printed.iter().copied().take_while(u8::is_ascii_hexdigit).collect();
    Ok(String::from_utf8_lossy(&digest).into_owned())
}

/// SHA-512.
pub fn sha512(content: &[u8]) -> Result<Vec<u8>> {
    filtered(content, "openssl", &["dgst", "-sha512", "-binary"])
}

/// Seconds of Unix time that everything packed is dated at: SOURCE_DATE_EPOCH, else the last commit's.
pub fn source_date() -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => output(&mut command("git", &["log", "-1", "--format=%ct"]))?,
    };
    text.trim().parse().map_err(|_| format!("SOURCE_DATE_EPOCH is {text:?}; it must be whole seconds of Unix time"))
}

/// What a program that takes a file as its last argument prints about this content.
pub fn filtered(content: &[u8], program: &str, args: &[&str]) -> Result<Vec<u8>> {
    let file = scratch(program, content)?;
    let mut command = command(program, args);
    command.arg(&file);
    let printed = output_of(&mut command);
    let _ = fs::remove_file(&file);
    printed
}

/// What a command prints, whatever bytes that are.
pub fn output_of(command: &mut Command) -> Result<Vec<u8>> {
    let printed = command.output().map_err(|error| format!("{}: {error}", shown(command)))?;
    if !printed.status.success() {
        return Err(format!("{}: {}", shown(command), String::from_utf8_lossy(&printed.stderr).trim_end()));
    }
    Ok(printed.stdout)
}

fn scratch(program: &str, content: &[u8]) -> Result<PathBuf> {
    let place = crate::root().join("target/package");
    let file = place.join(format!("{program}.{}.{:?}", std::process::id(), std::thread::current().id()));
    let told = |error: std::io::Error| format!("{}: {error}", file.display());
    fs::create_dir_all(&place).map_err(told)?;
    fs::write(&file, content).map_err(told)?;
    Ok(file)
}
