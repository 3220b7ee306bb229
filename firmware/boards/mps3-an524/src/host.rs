//! The machine that emulates this board, by semihosting (Arm IHI 0104): the command line stands for
//! the settings that a product keeps in its flash, the end of the program ends the emulator.

use core::arch::asm;

const SYS_OPEN: usize = 0x01;
const SYS_READ: usize = 0x06;
const SYS_GET_CMDLINE: usize = 0x15;
const SYS_EXIT: usize = 0x18;
/// Ended by a run-time error.
const RUN_TIME_ERROR: usize = 0x20023;

/// # Safety
/// `block` must be what the operation `number` takes.
unsafe fn call(number: usize, block: usize) -> isize {
    let result;
    // SAFETY: the emulator carries it out and returns behind it.
    unsafe { asm!("bkpt #0xAB", inout("r0") number => result, in("r1") block) };
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

/// Unpredictable bits: the board has no source of them.
pub fn entropy() -> Option<[u8; 32]> {
    let path = c"/dev/urandom";
    let open = [path.as_ptr() as usize, 1, path.to_bytes().len()];
    let mut seed = [0; 32];
    // SAFETY: a path, a mode (binary reading) and a length; a handle, an address and a length.
    let unread = unsafe {
        let handle = call(SYS_OPEN, open.as_ptr() as usize);
        let read = [handle as usize, seed.as_mut_ptr() as usize, seed.len()];
        call(SYS_READ, read.as_ptr() as usize)
    };
    (unread == 0).then_some(seed)
}

/// Ends the emulator with a failure.
pub fn fail() -> ! {
    loop {
        // SAFETY: the reason.
        unsafe { call(SYS_EXIT, RUN_TIME_ERROR) };
    }
}
