//! The real-time clock, a PL031 (Arm DDI 0224): a 32-bit count of seconds, good until 2106.

use core::convert::Infallible;

use truechimer_core::units::Span;
use truechimer_firmware::rtc::SecondCounter;

use crate::register::Registers;

// SAFETY: it is there, and has these two registers.
const RTC: Registers = unsafe { Registers::at(0x4130_B000) };

const DR: usize = 0x0;
const LR: usize = 0x8;

pub struct Pl031;

impl SecondCounter for Pl031 {
    type Error = Infallible;
    const WINDOW: Span = Span::from_millis(2);

    fn read(&mut self) -> Result<i64, Infallible> {
        Ok(RTC.read(DR).into())
    }

    fn set(&mut self, secs: i64) -> Result<(), Infallible> {
        RTC.write(LR, secs as u32);
        Ok(())
    }
}
