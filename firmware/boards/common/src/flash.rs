//! The board's flash memory cannot be written by it: a file of the host stands for two pages of one.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use crate::host::{File, Refused};

const PAGE: usize = 4096;
const ERASED: u8 = 0xFF;

/// Two pages.
pub struct Flash(pub File);

impl NorFlashError for Refused {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Flash {
    type Error = Refused;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, octets: &mut [u8]) -> Result<(), Refused> {
        self.0.read(offset, octets)
    }

    fn capacity(&self) -> usize {
        2 * PAGE
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Refused> {
        let mut places = (from..to).step_by(256);
        places.try_for_each(|offset| self.0.write(offset, &[ERASED; 256]))
    }

    fn write(&mut self, offset: u32, octets: &[u8]) -> Result<(), Refused> {
        self.0.write(offset, octets)
    }
}
