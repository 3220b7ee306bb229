//! A serial line, a PL011 (Arm DDI 0183).

use crate::register::Registers;

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

/// The one with these registers, whose rate is set.
pub struct Pl011(pub Registers);

impl Pl011 {
    pub fn start(&self) {
        self.0.write(CR, ENABLE);
        self.0.write(IMSC, RX_INTERRUPT);
    }

    /// What the interrupt calls; it has woken the main loop.
    pub fn silence(&self) {
        self.0.write(ICR, RX_INTERRUPT);
    }

    /// What was typed.
    pub fn typed(&self) -> Option<u8> {
        (self.0.read(FR) & RX_EMPTY == 0).then(|| self.0.read(DR) as u8)
    }

    /// Puts out all of them.
    pub fn put(&self, bytes: &[u8]) {
        for &byte in bytes {
            while self.0.read(FR) & TX_FULL != 0 {}
            self.0.write(DR, byte.into());
        }
    }
}
