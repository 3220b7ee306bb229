//! The last two pages of the flash, by the boot ROM (RP2350 datasheet §5.4.8.8), which leaves the
//! program's own reading of it as it was.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use rp235x_hal::rom_data;

const PAGE: usize = 4096;
/// Where the two are, behind `memory.x`'s FLASH.
const START: usize = 0x1000_0000 + 2048 * 1024 - 2 * PAGE;
/// What is programmed at a time: bits that are to stay as they are count as ones.
const ROW: usize = 256;

/// Addresses are the program's (bits 1 and 0), with the rights of one that is secure (bits 9 and 8).
const SECURE_RUNTIME: u32 = 1 | 1 << 8;
const ERASE: u32 = 0 << 16;
const PROGRAM: u32 = 1 << 16;

/// The two pages.
pub struct Flash;

/// The ROM does not do as it is asked: its reason.
#[derive(Debug, defmt::Format)]
pub struct Refused(i32);

impl NorFlashError for Refused {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Flash {
    type Error = Refused;
}

/// Nobody may read the flash meanwhile, interrupt handlers for one.
fn operate(operation: u32, offset: usize, len: usize, octets: *mut u8) -> Result<(), Refused> {
    let (flags, address) = (SECURE_RUNTIME | operation, (START + offset) as u32);
    let result = critical_section::with(|_| {
        // SAFETY: no code or constant is in these pages, and there are `len` octets to program.
        unsafe { rom_data::flash_op(flags, address, len as u32, octets) }
    });
    if result == 0 { Ok(()) } else { Err(Refused(result)) }
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, octets: &mut [u8]) -> Result<(), Refused> {
        for (place, octet) in (START + offset as usize..START + 2 * PAGE).zip(octets) {
            // SAFETY: it is one of the pages'.
            *octet = unsafe { (place as *const u8).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        2 * PAGE
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Refused> {
        operate(ERASE, from as usize, (to - from) as usize, core::ptr::null_mut())
    }

    fn write(&mut self, offset: u32, octets: &[u8]) -> Result<(), Refused> {
        let (mut offset, mut rest) = (offset as usize, octets);
        while !rest.is_empty() {
            let mut row = [0xFF; ROW];
            let room = row.iter_mut().skip(offset % ROW);
            let fitting = room.zip(rest).map(|(to, from)| *to = *from).count();
            operate(PROGRAM, offset - offset % ROW, ROW, row.as_mut_ptr())?;
            offset += fitting;
            rest = rest.get(fitting..).unwrap_or_default();
        }
        Ok(())
    }
}
