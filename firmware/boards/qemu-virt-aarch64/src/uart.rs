//! The serial line, a PL011 (Arm DDI 0183).

use truechimer_boards::register::Registers;

// SAFETY: it is there, and has these registers.
const UART: Registers = unsafe { Registers::at(0x0900_0000) };

const DR: usize = 0x0;
const FR: usize = 0x18;
const RX_EMPTY: u32 = 1 << 4;
const TX_FULL: u32 = 1 << 5;
const CR: usize = 0x30;
/// On, both ways.
const ENABLE: u32 = 1 | 1 << 8 | 1 << 9;
const IMSC: usize = 0x38;
const ICR: usize = 0x44;
const RX_INTERRUPT: u32 = 1 << 4;

pub fn start() {
    UART.write(CR, ENABLE);
    UART.write(IMSC, RX_INTERRUPT);
}

/// What the interrupt calls; it has woken the main loop.
pub fn silence() {
    UART.write(ICR, RX_INTERRUPT);
}

/// What was typed.
pub fn typed() -> Option<u8> {
    (UART.read(FR) & RX_EMPTY == 0).then(|| UART.read(DR) as u8)
}

/// Puts out all of them.
pub fn put(bytes: &[u8]) {
    for &byte in bytes {
        while UART.read(FR) & TX_FULL != 0 {}
        UART.write(DR, byte.into());
    }
}
