//! Small files that are read whole, and replaced so that after a crash either the old text is there or
//! the new one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::sys::fault::{Call, fault};

/// No file of ours is longer; of another, so much is looked at.
const LONGEST: u64 = 4_096;

/// What failed.
#[derive(Debug)]
pub(super) enum ReadError {
    Open(io::Error),
    Read(io::Error),
}

pub(super) fn read(path: &Path) -> Result<String, ReadError> {
    let file = File::open(path).map_err(ReadError::Open)?;
    let mut bytes = Vec::new();
    fault(Call::ReadFile).map_err(io::Error::from).map_err(ReadError::Read)?;
    file.take(LONGEST).read_to_end(&mut bytes).map_err(ReadError::Read)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes beside it, and puts that in its place.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let written = write(&beside, text).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    // The name is only safe with its folder.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    // A link that somebody else put there is not followed.
    let _ = fs::remove_file(path);
    let mut file = File::create_new(path)?;
    fault(Call::WriteFile)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
