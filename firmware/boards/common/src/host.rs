//! The machine that emulates this board, by semihosting (Arm IHI 0104): the command line stands for
//! the settings that a product keeps in its flash, the end of the program ends the emulator.

use core::arch::asm;

const SYS_OPEN: usize = 0x01;
const SYS_WRITE: usize = 0x05;
const SYS_READ: usize = 0x06;
const SYS_SEEK: usize = 0x0A;
const SYS_GET_CMDLINE: usize = 0x15;
const SYS_EXIT: usize = 0x18;
/// Ended by a run-time error, or as it should.
const RUN_TIME_ERROR: usize = 0x20023;
const APPLICATION_EXIT: usize = 0x20026;

/// # Safety
/// `block` must be what the operation `number` takes.
unsafe fn call(number: usize, block: usize) -> isize {
    let result;
    // SAFETY: the emulator carries it out and returns behind it.
    #[cfg(target_arch = "arm")]
    unsafe {
        asm!("bkpt #0xAB", inout("r0") number => result, in("r1") block)
    };
    // SAFETY: likewise.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("hlt #0xF000", inout("x0") number => result, in("x1") block)
    };
    result
}

/// The command line, without the name of the program.
pub fn arguments(buffer: &'static mut [u8; 256]) -> &'static str {
    let mut block = [buffer.as_mut_ptr() as usize, buffer.len()];
    // SAFETY: an address and a length, which come back.
    let found = unsafe { call(SYS_GET_CMDLINE, block.as_mut_ptr() as usize) } == 0;
    let line = buffer.get(..block[1]).filter(|_| found).unwrap_or_default();
    let line = core::str::from_utf8(line).unwrap_or_default();
    line.split_once(' ').map_or("", |(_, arguments)| arguments)
}

/// A file of the host.
#[derive(Debug)]
pub struct File(usize);

/// How a file is opened (Arm IHI 0104 §7.9): `rb`, `r+b`.
const READ: usize = 1;
const UPDATE: usize = 3;

/// The host does not do as it is asked.
#[derive(Debug, defmt::Format)]
pub struct Refused;

impl File {
    fn open(path: &str, mode: usize) -> Option<Self> {
        let mut name = [0; 128];
        // Ended by a zero.
        name.get_mut(..path.len())
            .filter(|place| place.len() < 128)?
            .copy_from_slice(path.as_bytes());
        let block = [name.as_ptr() as usize, mode, path.len()];
        // SAFETY: a path, a mode and a length.
        let handle = unsafe { call(SYS_OPEN, block.as_ptr() as usize) };
        usize::try_from(handle).ok().map(Self)
    }

    /// The file at `path`, to be read and written.
    pub fn update(path: &str) -> Option<Self> {
        Self::open(path, UPDATE)
    }

    fn seek(&mut self, offset: u32) -> Result<(), Refused> {
        let block = [self.0, offset as usize];
        // SAFETY: a handle and an offset.
        let result = unsafe { call(SYS_SEEK, block.as_ptr() as usize) };
        if result == 0 { Ok(()) } else { Err(Refused) }
    }

    pub fn read(&mut self, offset: u32, octets: &mut [u8]) -> Result<(), Refused> {
        self.seek(offset)?;
        self.read_on(octets)
    }

    /// From where it is.
    pub fn read_on(&mut self, octets: &mut [u8]) -> Result<(), Refused> {
        let block = [self.0, octets.as_mut_ptr() as usize, octets.len()];
        // SAFETY: a handle, an address and a length.
        let missing = unsafe { call(SYS_READ, block.as_ptr() as usize) };
        if missing == 0 { Ok(()) } else { Err(Refused) }
    }

    pub fn write(&mut self, offset: u32, octets: &[u8]) -> Result<(), Refused> {
        self.seek(offset)?;
        let block = [self.0, octets.as_ptr() as usize, octets.len()];
        // SAFETY: a handle, an address and a length.
        let missing = unsafe { call(SYS_WRITE, block.as_ptr() as usize) };
        if missing == 0 { Ok(()) } else { Err(Refused) }
    }
}

/// Unpredictable bits: the board has no source of them.
pub fn entropy() -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/urandom", READ)?.read_on(&mut seed).ok()?;
    Some(seed)
}

/// Ends the emulator with a failure.
pub fn fail() -> ! {
    exit(RUN_TIME_ERROR, 1)
}

/// Ends the emulator with success.
pub fn succeed() -> ! {
    exit(APPLICATION_EXIT, 0)
}

fn exit(reason: usize, status: usize) -> ! {
    let block = [reason, status];
    let argument = if cfg!(target_arch = "arm") { reason } else { block.as_ptr() as usize };
    loop {
        // SAFETY: the reason; with 64 bits, where it stands before the status.
        unsafe { call(SYS_EXIT, argument) };
    }
}
