//! Unpredictable bits from the system.

use std::fs::File;
use std::io::{self, Read};

use truechimer_core::hal::Entropy;

/// `/dev/urandom`, which every Unix has and which never waits.
#[derive(Debug)]
pub struct Urandom(File);

impl Urandom {
    /// Opens it.
    ///
    /// # Errors
    /// It is not there, as in an empty chroot.
    pub fn open() -> io::Result<Self> {
        File::open("/dev/urandom").map(Self)
    }

    /// A seed.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn seed(&mut self) -> io::Result<[u8; 32]> {
        let mut seed = [0; 32];
        nb::block!(self.fill(&mut seed))?;
        Ok(seed)
    }
}

impl Entropy for Urandom {
    type Error = io::Error;

    fn fill(&mut self, seed: &mut [u8; 32]) -> nb::Result<(), io::Error> {
        self.0.read_exact(seed).map_err(nb::Error::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ() {
        let mut urandom = Urandom::open().unwrap();
        assert_ne!(urandom.seed().unwrap(), urandom.seed().unwrap());
    }
}
