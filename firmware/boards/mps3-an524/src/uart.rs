//! defmt's frames on UART 0, and what is typed there (CMSDK APB UART, Arm DDI 0479 §4.4).

use core::cell::{Cell, UnsafeCell};

use critical_section::RestoreState;

use crate::register::Registers;

// SAFETY: it is there, and has these registers.
const UART: Registers = unsafe { Registers::at(0x4130_3000) };

const DATA: usize = 0x0;
const STATE: usize = 0x4;
const TX_FULL: u32 = 1;
const RX_FULL: u32 = 1 << 1;
const CTRL: usize = 0x8;
/// Both ways, with an interrupt when something has come.
const ENABLE: u32 = 1 | 1 << 1 | 1 << 3;
const INTCLEAR: usize = 0xC;
const RX_INTERRUPT: u32 = 1 << 1;
const BAUDDIV: usize = 0x10;
/// 1 Mbaud of 32 MHz: a frame keeps interrupts waiting for less than a millisecond.
const DIVISOR: u32 = 32;

#[defmt::global_logger]
struct Logger;

struct State {
    /// What `acquire` found; meaningful while it is held.
    restore: Cell<RestoreState>,
    encoder: UnsafeCell<defmt::Encoder>,
}

// SAFETY: only touched between `acquire` and `release`, without interrupts, on the only core that
// runs.
unsafe impl Sync for State {}

static STATE_OF: State = State {
    restore: Cell::new(RestoreState::invalid()),
    encoder: UnsafeCell::new(defmt::Encoder::new()),
};

pub fn start() {
    UART.write(BAUDDIV, DIVISOR);
    UART.write(CTRL, ENABLE);
}

/// What the interrupt calls; it has woken the main loop.
pub fn silence() {
    UART.write(INTCLEAR, RX_INTERRUPT);
}

/// What was typed.
pub fn typed() -> Option<u8> {
    (UART.read(STATE) & RX_FULL != 0).then(|| UART.read(DATA) as u8)
}

fn put(bytes: &[u8]) {
    for &byte in bytes {
        while UART.read(STATE) & TX_FULL != 0 {}
        UART.write(DATA, byte.into());
    }
}

// SAFETY: a critical section keeps others out, interrupt handlers among them; defmt promises that
// `acquire` is not nested and `release` ends it.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: `release` ends it.
        let restore = unsafe { critical_section::acquire() };
        STATE_OF.restore.set(restore);
        // SAFETY: nobody else is here.
        unsafe { &mut *STATE_OF.encoder.get() }.start_frame(put);
    }

    unsafe fn flush() {}

    unsafe fn release() {
        // SAFETY: nobody else is here.
        unsafe { &mut *STATE_OF.encoder.get() }.end_frame(put);
        // SAFETY: as `acquire` had it.
        unsafe { critical_section::release(STATE_OF.restore.get()) };
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: between the two above.
        unsafe { &mut *STATE_OF.encoder.get() }.write(bytes, put);
    }
}
