//! The real-time clock, a PL031 (Arm DDI 0224): a 32-bit count of seconds, good until 2106.

use core::convert::Infallible;

use truechimer_core::units::Span;
use truechimer_firmware::rtc::SecondCounter;

use crate::register::Registers;

const DR: usize = 0x0;
const LR: usize = 0x8;

/// The one with these registers.
pub struct Pl031(pub Registers);

impl SecondCounter for Pl031 {
    type Error = Infallible;
    const WINDOW: Span = Span::from_millis(2);

    fn read(&mut self) -> Result<i64, Infallible> {
        Ok(self.0.read(DR).into())
    }

    fn set(&mut self, secs: i64) -> Result<(), Infallible> {
        self.0.write(LR, secs as u32);
        Ok(())
    }
}
