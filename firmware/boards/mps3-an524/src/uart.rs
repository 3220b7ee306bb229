//! defmt's frames on UART 0, and what is typed there (CMSDK APB UART, Arm DDI 0479 §4.4).

use truechimer_boards::register::Registers;

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

/// Puts out all of them.
pub fn put(bytes: &[u8]) {
    for &byte in bytes {
        while UART.read(STATE) & TX_FULL != 0 {}
        UART.write(DATA, byte.into());
    }
}
