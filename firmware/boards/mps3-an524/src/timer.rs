//! The two timers of the subsystem (CMSDK APB timer, Arm DDI 0479 §4.3): one is the counter that
//! the clock is made of, the other wakes the main loop.

use embedded_time::fraction::Fraction;
use embedded_time::{Clock, clock};
use truechimer_boards::register::Registers;
use truechimer_core::units::Span;

const HERTZ: u32 = 32_000_000;

// SAFETY: both timers are there; each has these four registers.
const COUNTER: Registers = unsafe { Registers::at(0x4000_0000) };
const ALARM: Registers = unsafe { Registers::at(0x4000_1000) };

const CTRL: usize = 0x0;
const ENABLE: u32 = 1;
const INTERRUPT: u32 = 1 << 3;
const VALUE: usize = 0x4;
const RELOAD: usize = 0x8;
const INTCLEAR: usize = 0xC;

/// Runs freely, up, and wraps after 134 s.
#[derive(Debug)]
pub struct Counter;

impl Counter {
    pub fn start() {
        COUNTER.write(RELOAD, u32::MAX);
        COUNTER.write(VALUE, u32::MAX);
        COUNTER.write(CTRL, ENABLE);
    }
}

impl Clock for Counter {
    type T = u32;
    const SCALING_FACTOR: Fraction = Fraction::new(1, HERTZ);

    fn try_now(&self) -> Result<embedded_time::Instant<Self>, clock::Error> {
        Ok(embedded_time::Instant::new(!COUNTER.read(VALUE)))
    }
}

/// In ticks.
const AGAIN: u32 = 32;

/// Interrupts once after `pause`, at most the 134 s that it can count.
pub fn set_alarm(pause: Span) {
    let nanos_per_16_ticks = 16_000_000_000 / i64::from(HERTZ);
    let ticks = (pause.as_nanos() / nanos_per_16_ticks).clamp(1, i64::from(u32::MAX / 16)) * 16;
    ALARM.write(CTRL, 0);
    // Once more soon after: with -icount QEMU at times sleeps through the first.
    ALARM.write(RELOAD, AGAIN);
    ALARM.write(VALUE, ticks as u32);
    ALARM.write(CTRL, ENABLE | INTERRUPT);
}

/// What the interrupt calls.
pub fn silence_alarm() {
    ALARM.write(CTRL, 0);
    ALARM.write(INTCLEAR, 1);
}
