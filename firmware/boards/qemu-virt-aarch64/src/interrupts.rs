//! The interrupt controller, a GICv2 (Arm IHI 0048), and the processor's mask.

use core::arch::asm;

use critical_section::RawRestoreState;
use truechimer_boards::register::Registers;

// SAFETY: both are there, and have these registers.
const DISTRIBUTOR: Registers = unsafe { Registers::at(0x0800_0000) };
const INTERFACE: Registers = unsafe { Registers::at(0x0801_0000) };

/// Of both.
const CTLR: usize = 0x0;
const ENABLE: u32 = 1;
const ISENABLER: usize = 0x100;
const PMR: usize = 0x4;
const ANY_PRIORITY: u32 = 0xFF;
const IAR: usize = 0xC;
const EOIR: usize = 0x10;
const ID: u32 = 0x3FF;

/// Lets these interrupts come.
pub fn enable(ids: &[u32]) {
    for id in ids {
        DISTRIBUTOR.write(ISENABLER + *id as usize / 32 * 4, 1 << (id % 32));
    }
    DISTRIBUTOR.write(CTLR, ENABLE);
    INTERFACE.write(PMR, ANY_PRIORITY);
    INTERFACE.write(CTLR, ENABLE);
    // SAFETY: the handlers are there.
    unsafe { asm!("msr daifclr, #2") };
}

/// Has the one handled that has come.
pub fn take(handle: impl FnOnce(u32)) {
    let taken = INTERFACE.read(IAR);
    handle(taken & ID);
    INTERFACE.write(EOIR, taken);
}

/// Sleeps until one comes, though it be masked.
pub fn wait() {
    // SAFETY: nothing else happens. What was stored is seen by others before.
    unsafe { asm!("dsb sy", "wfi") };
}

struct Masked;
critical_section::set_impl!(Masked);

// SAFETY: there is one core, and nothing interrupts it meanwhile.
unsafe impl critical_section::Impl for Masked {
    unsafe fn acquire() -> RawRestoreState {
        let before: u64;
        // SAFETY: as the caller promises, `release` follows.
        unsafe { asm!("mrs {}, daif", "msr daifset, #2", out(reg) before) };
        before
    }

    unsafe fn release(before: RawRestoreState) {
        // SAFETY: it was so.
        unsafe { asm!("msr daif, {}", in(reg) before) };
    }
}
