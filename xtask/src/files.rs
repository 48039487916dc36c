//! Files and directories, with a failure told in one sentence that names the path. Every subcommand uses it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;

/// The whole of a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(told(path))
}

/// The whole of a file, as text.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(told(path))
}

/// Makes a file of this content, or gives it to the one that is there.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, content).map_err(told(path))
}

/// Makes a directory and those above it, where they are not there.
pub fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(told(path))
}

/// The path from the root on.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(told(path))
}

fn told(path: &Path) -> impl FnOnce(std::io::Error) -> String + use<'_> {
    move |error| format!("{}: {error}", path.display())
}
