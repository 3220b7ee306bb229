//! The list of leap seconds that the IERS publishes and tzdata installs: what it says of the present.

mod parse;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use truechimer_core::clock::LeapList;
use truechimer_core::server::LeapSecond;
use truechimer_core::units::WallTime;

pub use parse::ListError;

/// Where Debian's and FreeBSD's tzdata have it, among others. Nobody misses it there.
pub const DEFAULT: &str = "/usr/share/zoneinfo/leap-seconds.list";
/// Of a longer file no more is read, octets; 5,000 are usual.
const LONGEST: u64 = 64 * 1_024;

/// What a file says, in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// From when on TAI − UTC is so many seconds, in order.
    offsets: Vec<(i64, i32)>,
    expires: i64,
}

/// Why there is no list although there should be one.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("cannot read it: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    List(#[from] ListError),
}

/// The list of a file, if there is to be one; none if it is not at [`DEFAULT`].
///
/// # Errors
/// With the path, what is wrong.
pub fn load(path: Option<&Path>) -> Result<Option<List>, String> {
    let Some(path) = path else { return Ok(None) };
    match read(path) {
        Ok(list) => Ok(Some(list)),
        Err(ReadError::Io(error))
            if error.kind() == io::ErrorKind::NotFound && path == Path::new(DEFAULT) =>
        {
            Ok(None)
        }
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn read(path: &Path) -> Result<List, ReadError> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).parse()?)
}

impl List {
    /// From then on there may be leap seconds that it does not know.
    #[must_use]
    pub const fn expires(&self) -> WallTime {
        WallTime::from_unix(self.expires, 0)
    }

    /// What it says at a time; nothing before 1972.
    #[must_use]
    pub fn at(&self, time: WallTime) -> Option<LeapList> {
        let later = self.offsets.partition_point(|(from, _)| *from <= time.unix_secs());
        let (_, tai) = *self.offsets.get(later.checked_sub(1)?)?;
        let next = self.offsets.get(later).map(|&(from, after)| LeapSecond {
            end: WallTime::from_unix(from, 0),
            deleted: after < tai,
        });
        Some(LeapList { next, tai, expires: self.expires() })
    }
}
