//! Other systems than Linux do not tell what a card stamped.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use truechimer_core::event::Level;

use super::{Cards, Reading, Source};
use crate::log::Log;

/// Nobody's.
#[derive(Debug)]
pub(super) struct Clock(#[expect(dead_code, reason = "there is none")] pub(super) OwnedFd);

impl Source for Clock {
    fn read(&self) -> Result<Option<Reading>, Errno> {
        Ok(Reading::best(&[]))
    }
}

/// There are none.
#[must_use]
pub fn open(wanted: &[String], log: &Log) -> Cards {
    if !wanted.is_empty() {
        let text = "timestamps.hardware is of no use on this system: the kernel stamps packets";
        log.message(Level::Warning, &text);
    }
    Cards::default()
}
