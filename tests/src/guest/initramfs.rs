//! The files that a guest begins with.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use cpio::NewcBuilder;
use cpio::newc::ModeFileType;

/// Writes an archive in the kernel's format: each file for root and executable, directories before
/// what is in them, and those where systems are mounted.
pub(super) fn write(path: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let parents = files.iter().flat_map(|(name, _)| Path::new(name).ancestors().skip(1));
    let mut directories: BTreeSet<&str> = parents.filter_map(Path::to_str).collect();
    directories.extend(["dev", "proc", "sys"]);
    directories.remove("");
    let directories = directories.into_iter().map(|name| (name, ModeFileType::Directory, &[][..]));
    let files =
        files.iter().map(|(name, content)| (name.as_str(), ModeFileType::Regular, &content[..]));
    let entries = directories.chain(files).map(|(name, kind, content)| {
        (NewcBuilder::new(name).mode(0o755).set_mode_file_type(kind), Cursor::new(content))
    });
    let archive = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    cpio::write_cpio(entries, archive).context("cannot write the initramfs")?;
    Ok(())
}
