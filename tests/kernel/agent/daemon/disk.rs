//! The disk of the daemon's state.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use truechimer_tests::guest::scenario::{Disk, STATE};

use crate::sys;

const PLACE: &std::ffi::CStr = c"/state";
/// It is empty.
pub fn begin() -> Result<()> {
    // There may be none yet.
    let _ = sys::unmount(PLACE);
    sys::mount_disk(PLACE, None).context("mount /state")
}

/// It does so from now on.
pub fn set(how: Disk) -> Result<()> {
    let all = Path::new(STATE).join("all");
    sys::mount_disk(PLACE, Some(false)).context("mount /state again")?;
    match how {
        Disk::Good => drop(fs::remove_file(all)),
        Disk::Full => {
            let mut file = File::create(all)?;
            while file.write_all(&[0; 64]).is_ok() {}
        }
        Disk::ReadOnly => sys::mount_disk(PLACE, Some(true)).context("mount /state for reading")?,
    }
    Ok(())
}
